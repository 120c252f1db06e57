/* Bit-planes: QPack (ints: axis, planes, low, step), QXorConv (x_planes, w_planes, then strides, dilations and begin
 * pads of three spatial axes; outside the image words are 0), QXorMatMul (a_planes, b_planes). */
#include "runtime/ref/ref.h"

enum { WORD_BITS = 32, AXES = 3 };

static int32_t count_bits(uint32_t v) {
    int32_t n = 0;
    for (; v; v &= v - 1) n++;
    return n;
}

REF_KERNEL(QPack) {
    const RefTensor *x = &a->in[0], *y = &a->out[0];
    int axis = (int)a->ints[0];
    int64_t planes = a->ints[1], low = a->ints[2], step = a->ints[3], n = x->dim[axis], outer = 1, inner = 1;
    int64_t words = (n + WORD_BITS - 1) / WORD_BITS;
    for (int d = 0; d < axis; d++) outer *= x->dim[d];
    for (int d = axis + 1; d < x->rank; d++) inner *= x->dim[d];
    for (int64_t o = 0; o < outer; o++)
        for (int64_t p = 0; p < planes; p++)
            for (int64_t w = 0; w < words; w++)
                for (int64_t i = 0; i < inner; i++) {
                    uint32_t word = 0;
                    for (int64_t b = 0; b < WORD_BITS && w * WORD_BITS + b < n; b++) {
                        int64_t code = (ref_load_int(x, (o * n + w * WORD_BITS + b) * inner + i) - low) / step;
                        word |= (uint32_t)(code >> (planes - 1 - p) & 1) << b;
                    }
                    ref_store_int(y, ((o * planes + p) * words + w) * inner + i, word);
                }
    return REF_OK;
}

/* The number of bits that differ between x's planes at word x_at + plane * x_plane and w's likewise, weighed. */
static int64_t differing(const RefTensor *x, int64_t x_at, int64_t x_planes, int64_t x_plane, const RefTensor *w,
                         int64_t w_at, int64_t w_planes, int64_t w_plane) {
    const uint32_t *xs = x->data, *ws = w->data;
    int64_t sum = 0;
    for (int64_t p = 0; p < x_planes; p++)
        for (int64_t q = 0; q < w_planes; q++) {
            uint32_t xv = x_at < 0 ? 0 : xs[x_at + p * x_plane];
            sum += (int64_t)count_bits(xv ^ ws[w_at + q * w_plane]) << (x_planes - 1 - p + w_planes - 1 - q);
        }
    return sum;
}

typedef struct Sizes {
    int64_t d[AXES];
} Sizes;

static Sizes spatial(const RefTensor *t) {
    Sizes s;
    for (int i = 0; i < AXES; i++) s.d[i] = t->rank - AXES + i >= 2 ? t->dim[t->rank - AXES + i] : 1;
    return s;
}

/* Index of the input position that tap k meets from output position o, both as positions on three axes; -1 outside. */
static int64_t meet(const RefArgs *a, const Sizes *in, const int64_t *o, const int64_t *k) {
    const int64_t *stride = a->ints + 2, *dilation = stride + AXES, *pad = dilation + AXES;
    int64_t at = 0;
    for (int i = 0; i < AXES; i++) {
        int64_t p = o[i] * stride[i] - pad[i] + k[i] * dilation[i];
        if (p < 0 || p >= in->d[i]) return -1;
        at = at * in->d[i] + p;
    }
    return at;
}

static void split(int64_t i, const Sizes *s, int64_t *at) {
    for (int d = AXES - 1; d >= 0; d--) {
        at[d] = i % s->d[d];
        i /= s->d[d];
    }
}

REF_KERNEL(QXorConv) {
    const RefTensor *x = &a->in[0], *w = &a->in[1], *y = &a->out[0];
    Sizes in = spatial(x), kernel = spatial(w), out = spatial(y);
    int64_t x_planes = a->ints[0], w_planes = a->ints[1], words = x->dim[1] / x_planes;
    int64_t points = in.d[0] * in.d[1] * in.d[2], taps = kernel.d[0] * kernel.d[1] * kernel.d[2];
    int64_t results = out.d[0] * out.d[1] * out.d[2];
    for (int64_t n = 0; n < y->dim[0]; n++)
        for (int64_t m = 0; m < y->dim[1]; m++)
            for (int64_t r = 0; r < results; r++) {
                int64_t sum = 0, o[AXES], k[AXES];
                split(r, &out, o);
                for (int64_t t = 0; t < taps; t++) {
                    split(t, &kernel, k);
                    int64_t at = meet(a, &in, o, k);
                    for (int64_t c = 0; c < words; c++)
                        sum += differing(x, at < 0 ? -1 : (n * x->dim[1] + c) * points + at, x_planes, words * points,
                                         w, (m * w->dim[1] + c) * taps + t, w_planes, words * taps);
                }
                ref_store_int(y, (n * y->dim[1] + m) * results + r, sum);
            }
    return REF_OK;
}

REF_KERNEL(QXorMatMul) {
    const RefTensor *x = &a->in[0], *w = &a->in[1], *y = &a->out[0];
    int64_t x_planes = a->ints[0], w_planes = a->ints[1], words = x->dim[x->rank - 1] / x_planes, n = w->dim[1];
    int64_t rows = 1;
    for (int d = 0; d + 1 < x->rank; d++) rows *= x->dim[d];
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < n; j++) {
            int64_t sum = 0;
            for (int64_t c = 0; c < words; c++)
                sum += differing(x, i * words * x_planes + c, x_planes, words, w, c * n + j, w_planes, words * n);
            ref_store_int(y, i * n + j, sum);
        }
    return REF_OK;
}
