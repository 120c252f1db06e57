/* Finding the common scale of floats: an approximate greatest common divisor, made exact by intervals. The smallest
 * magnitude is 1, 2, 3, ... times the scale; each guess narrows the interval of scales that round to every element, and
 * the first guess that leaves a float in it is the answer. */
#include "quant/scaled.h"

#include <math.h>
#include <string.h>

static bool extremes(const float *v, int64_t n, int64_t stride, float *least, float *most) {
    *least = INFINITY;
    *most = 0;
    for (int64_t i = 0; i < n; i++) {
        float m = fabsf(v[i * stride]);
        if (!isfinite(m)) return false;
        if (m > *most) *most = m;
        if (m > 0 && m < *least) *least = m;
    }
    return true;
}

/* The scales s with fl32(s * k) = v lie between the middles to v's neighbours, over k. */
static bool narrow(float v, double guess, double *lo, double *hi) {
    double m = fabs((double)v), k = rint(m / guess);
    if (k == 0) return m == 0;
    double below = ((double)nextafterf((float)m, 0) + m) / 2 / k,
           above = ((double)nextafterf((float)m, INFINITY) + m) / 2 / k;
    *lo = fmax(*lo, below);
    *hi = fmin(*hi, above);
    return *lo <= *hi;
}

static bool fits(const float *v, int64_t n, int64_t stride, float scale) {
    for (int64_t i = 0; i < n; i++) {
        double k = rint((double)v[i * stride] / (double)scale);
        if ((float)((double)scale * k) != v[i * stride]) return false;
    }
    return true;
}

/* A float in [lo, hi] that all elements are multiples of: the middle, or a neighbour of it. */
static float settle(const float *v, int64_t n, int64_t stride, double lo, double hi) {
    float middle = (float)((lo + hi) / 2);
    float tries[] = {middle, nextafterf(middle, 0), nextafterf(middle, INFINITY)};
    for (size_t i = 0; i < COUNT_OF(tries); i++)
        if (isnormal(tries[i]) && fits(v, n, stride, tries[i])) return tries[i];
    return 0;
}

float scale_find(const float *v, int64_t n, int64_t stride) {
    float least, most;
    if (!extremes(v, n, stride, &least, &most)) return 0;
    if (most == 0) return 1;
    for (int k = 1; k <= SCALED_MOST && (double)most / least * k <= (double)SCALED_MOST + 0.5; k++) {
        double guess = (double)least / k, lo = 0, hi = INFINITY;
        int64_t i = 0;
        while (i < n && narrow(v[i * stride], guess, &lo, &hi)) i++;
        float scale = i == n ? settle(v, n, stride, lo, hi) : 0;
        if (scale > 0) return scale;
    }
    return 0;
}

int64_t scale_code(float v, float scale) { return (int64_t)rint((double)v / (double)scale); }

/* ---- whole tensors -------------------------------------------------------------------------------------------- */

static Elem code_elem(int64_t lo, int64_t hi) {
    if (lo >= INT8_MIN && hi <= INT8_MAX) return QCC_I8;
    return lo >= 0 ? QCC_U8 : QCC_I16;
}

/* Element i belongs to scale i / inner % scales. */
static const Tensor *make_codes(Arena *a, const Tensor *t, const float *scale, int64_t scales, int64_t inner) {
    int64_t n = t->splat ? 1 : shape_count(&t->type.shape), lo = 0, hi = 0;
    const float *v = t->data;
    for (int64_t i = 0; i < n; i++) {
        int64_t k = scale_code(v[i], scale[i / inner % scales]);
        lo = i64_min(lo, k);
        hi = i64_max(hi, k);
    }
    Type type = {.elem = code_elem(lo, hi), .shape = t->type.shape};
    if (t->splat) {
        Tensor *one = tensor_new(a, (Type){.elem = type.elem});
        tensor_set_int(one, 0, scale_code(v[0], scale[0]));
        return tensor_splat(a, type, one->data);
    }
    Tensor *codes = tensor_new(a, type);
    for (int64_t i = 0; i < n; i++) tensor_set_int(codes, i, scale_code(v[i], scale[i / inner % scales]));
    return codes;
}

static const Tensor *list(Arena *a, int64_t n, const float *v) {
    Shape one = {.rank = 0};
    return tensor_from_f32(a, n < 0 ? one : shape_of(1, &n), v);
}

static bool find_along(Arena *a, const Tensor *t, int axis, ScaledTensor *out) {
    const Shape *s = &t->type.shape;
    int64_t channels = s->dim[axis], inner = 1, n = shape_count(s);
    for (int i = axis + 1; i < s->rank; i++) inner *= s->dim[i];
    int64_t outer = n / (channels * inner);
    float *scale = NEW_ARRAY(a, float, channels), *v = NEW_ARRAY(a, float, outer *inner);
    for (int64_t c = 0; c < channels; c++) {
        for (int64_t o = 0; o < outer; o++)
            memcpy(v + o * inner, (const float *)t->data + (o * channels + c) * inner, (size_t)inner * sizeof *v);
        scale[c] = scale_find(v, outer * inner, 1);
        if (scale[c] == 0) return false;
    }
    *out = (ScaledTensor){make_codes(a, t, scale, channels, inner), list(a, channels, scale)};
    return true;
}

/* Bits of the greatest magnitude. */
static int width(const Tensor *codes) {
    int64_t n = codes->splat ? 1 : shape_count(&codes->type.shape), all = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t k = tensor_get_int(codes, i);
        all |= k < 0 ? -k : k;
    }
    int bits = 0;
    while (all >> bits) bits++;
    return bits;
}

/* Scales that are powers of two of one another are multiples of one scale, at the price of wider codes. */
bool scaled_find(Arena *a, const Tensor *t, int axis, ScaledTensor *out) {
    int64_t n = shape_count(&t->type.shape);
    if (t->type.elem != QCC_F32 || n <= 0) return false;
    bool several = axis >= 0 && !t->splat;
    float scale = scale_find(t->data, t->splat ? 1 : n, 1);
    if (scale == 0) return several && find_along(a, t, axis, out);
    ScaledTensor one = {make_codes(a, t, &scale, 1, n), list(a, -1, &scale)};
    int bits = several ? width(one.codes) : 0;
    if (bits <= 1 || !find_along(a, t, axis, out) || width(out->codes) >= bits) *out = one;
    return true;
}
