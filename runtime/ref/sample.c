/* Images read between their pixels: GridSample and RoiAlign. */
#include "runtime/ref/ref.h"

#include <stdbool.h>

enum { MAX_SPATIAL = REF_MAX_RANK - 2 };

/* Freestanding: the range is that of int64, beyond it there are no fractions. */
static double round_down(double x) {
    if (!(x > -0x1p52 && x < 0x1p52)) return x;
    double t = (double)(int64_t)x;
    return t > x ? t - 1 : t;
}

static double round_even(double x) {
    double f = round_down(x), d = x - f;
    if (d != 0.5) return d < 0.5 ? f : f + 1;
    return f == 2 * round_down(f / 2) ? f : f + 1;
}

static double clamp(double x, double lo, double hi) { return x > lo ? (x < hi ? x : hi) : lo; }

/* ---- GridSample ---------------------------------------------------------------------------------------------------
 */

enum { NEAREST, LINEAR, CUBIC };
enum { ZEROS, BORDER, REFLECTION };

typedef struct Sampler {
    int mode, padding, spatial;
    bool corners, wide;
    int64_t size[MAX_SPATIAL], stride[MAX_SPATIAL];
} Sampler;

/* What one axis contributes to a sample: places and weights; place -1 reads zero. */
typedef struct AxisTaps {
    int n;
    int64_t place[4];
    double weight[4];
} AxisTaps;

/* From [-1, 1] to pixels. In the precision of the grid: where it falls between two pixels decides. */
static double to_pixels(const Sampler *s, double v, int64_t size) {
    if (s->wide) return s->corners ? (v + 1) / 2 * (double)(size - 1) : ((v + 1) * (double)size - 1) / 2;
    float w = (float)v + 1.0f;
    if (s->corners) return (double)(w / 2.0f * (float)(size - 1));
    float scaled = w * (float)size;
    return (double)((scaled - 1.0f) / 2.0f);
}

/* Mirrored at both ends until it is inside. */
static double reflect(double x, double lo, double hi) {
    double range = hi - lo;
    if (!(range > 0)) return lo;
    double far = x < lo ? lo - x : x > hi ? x - hi : -1;
    if (far < 0) return x;
    double turns = round_down(far / range), rest = far - turns * range;
    bool even = turns == 2 * round_down(turns / 2);
    return (x < lo) == even ? lo + rest : hi - rest;
}

static int64_t pixel(const Sampler *s, double i, int64_t size) {
    double last = (double)(size - 1);
    if (s->padding == ZEROS && !(i >= 0 && i <= last)) return -1;
    if (s->padding == REFLECTION) i = s->corners ? reflect(i, 0, last) : reflect(i, -0.5, last + 0.5);
    return (int64_t)clamp(i, 0, last);
}

/* Keys' cubic convolution with a = -0.75. */
static void cubic_weights(double t, double w[4]) {
    const double a = -0.75;
    double p = t + 1, q = 1 - t, r = 2 - t;
    w[0] = ((a * p - 5 * a) * p + 8 * a) * p - 4 * a;
    w[1] = ((a + 2) * t - (a + 3)) * t * t + 1;
    w[2] = ((a + 2) * q - (a + 3)) * q * q + 1;
    w[3] = ((a * r - 5 * a) * r + 8 * a) * r - 4 * a;
}

/* At the border a cubic keeps its place, and each of its four pixels is clamped: so do PyTorch and ONNX Runtime, whose
 * models these are, while ONNX's own evaluator clamps the place; no case of its suite tells them apart. */
static AxisTaps axis_taps(const Sampler *s, double v, int64_t size) {
    AxisTaps t = {.n = s->mode == CUBIC ? 4 : s->mode == LINEAR ? 2 : 1, .weight = {1}};
    double x = to_pixels(s, v, size), margin = s->corners ? 0 : 0.5, last = (double)(size - 1);
    if (s->mode == NEAREST) x = round_even(x);
    if (!(x >= -margin && x <= last + margin)) {
        if (s->padding == BORDER && s->mode != CUBIC) x = clamp(x, 0, last);
        if (s->padding == REFLECTION) x = reflect(x, -margin, last + margin);
    }
    double first = s->mode == NEAREST ? x : round_down(x), fraction = x - first;
    if (s->mode == LINEAR) {
        t.weight[0] = 1 - fraction;
        t.weight[1] = fraction;
    } else if (s->mode == CUBIC) {
        cubic_weights(fraction, t.weight);
        first -= 1;
    }
    for (int i = 0; i < t.n; i++) t.place[i] = pixel(s, first + i, size);
    return t;
}

/* Sum over all combinations of the axes' taps. */
static double weigh(const Sampler *s, const AxisTaps *taps, const RefTensor *x, int64_t base) {
    int at[MAX_SPATIAL] = {0};
    double sum = 0;
    for (;;) {
        double w = 1;
        int64_t place = base;
        bool inside = true;
        for (int i = 0; i < s->spatial; i++) {
            int64_t p = taps[i].place[at[i]];
            inside &= p >= 0;
            place += p * s->stride[i];
            w *= taps[i].weight[at[i]];
        }
        if (inside) sum += w * ref_load(x, place);
        int i = s->spatial - 1;
        while (i >= 0 && ++at[i] == taps[i].n) at[i--] = 0;
        if (i < 0) return sum;
    }
}

static void store_sample(const RefTensor *y, int64_t i, double v) {
    bool is_float = y->elem == QCC_F32 || y->elem == QCC_F64 || y->elem == QCC_F16 || y->elem == QCC_BF16;
    if (is_float)
        ref_store(y, i, v);
    else
        ref_store_int(y, i, (int64_t)clamp(v, -0x1p62, 0x1p62));
}

/* ints: mode (0 nearest, 1 linear, 2 cubic), padding (0 zeros, 1 border, 2 reflection), align_corners. */
REF_KERNEL(GridSample) {
    const RefTensor *x = &a->in[0], *grid = &a->in[1], *y = &a->out[0];
    Sampler s = {.mode = (int)a->ints[0],
                 .padding = (int)a->ints[1],
                 .corners = a->ints[2] != 0,
                 .spatial = x->rank - 2,
                 .wide = grid->elem == QCC_F64};
    int64_t pixels = 1, places = 1;
    for (int i = s.spatial - 1; i >= 0; i--) {
        s.size[i] = x->dim[2 + i];
        s.stride[i] = pixels;
        pixels *= s.size[i];
        places *= y->dim[2 + i];
    }
    for (int64_t n = 0; n < x->dim[0]; n++) {
        for (int64_t p = 0; p < places; p++) {
            AxisTaps taps[MAX_SPATIAL];
            for (int i = 0; i < s.spatial; i++) { /* the grid's coordinates begin with the last axis */
                double v = ref_load(grid, (n * places + p) * s.spatial + s.spatial - 1 - i);
                taps[i] = axis_taps(&s, v, s.size[i]);
            }
            for (int64_t c = 0; c < x->dim[1]; c++) {
                int64_t image = n * x->dim[1] + c;
                store_sample(y, image * places + p, weigh(&s, taps, x, image * pixels));
            }
        }
    }
    return REF_OK;
}

/* ---- RoiAlign -----------------------------------------------------------------------------------------------------
 */

enum { MAX_SAMPLES = 1024 }; /* per bin and axis, where regions of any size come from run-time data */

typedef struct Region {
    double start[2], bin[2]; /* y, x */
    int64_t samples[2];
} Region;

typedef struct Corner {
    int64_t low, high;
    double weight; /* of high */
    bool outside;
} Corner;

static Region read_region(const RefTensor *rois, int64_t n, double scale, bool half_pixel, int64_t ratio,
                          const RefTensor *y) {
    Region r;
    for (int i = 0; i < 2; i++) {
        double offset = half_pixel ? 0.5 : 0;
        double start = ref_load(rois, 4 * n + 1 - i) * scale - offset,
               end = ref_load(rois, 4 * n + 3 - i) * scale - offset;
        double extent = end - start;
        if (!half_pixel && !(extent > 1)) extent = 1;
        r.start[i] = start;
        r.bin[i] = extent / (double)y->dim[2 + i];
        double needed = clamp(-round_down(-r.bin[i]), 0, MAX_SAMPLES);
        r.samples[i] = ratio > 0 ? ratio : (int64_t)needed;
    }
    return r;
}

/* The two pixels around sample i of bin `bin` along an axis. Up to one pixel outside reads the border. */
static Corner corner(const Region *r, int axis, int64_t bin, int64_t i, int64_t size) {
    double at =
        r->start[axis] + (double)bin * r->bin[axis] + ((double)i + 0.5) * r->bin[axis] / (double)r->samples[axis];
    Corner c = {.outside = !(at >= -1 && at <= (double)size)};
    if (c.outside) return c;
    if (at < 0) at = 0;
    c.low = (int64_t)at;
    if (c.low >= size - 1) {
        c.low = c.high = size - 1;
    } else {
        c.high = c.low + 1;
        c.weight = at - (double)c.low;
    }
    return c;
}

static double larger(double p, double q) { return q > p ? q : p; }

/* The mean of the samples; or, as ONNX has it, the largest of all weighted pixels. */
static double pool_bin(const Region *r, const RefTensor *x, int64_t base, int64_t row, int64_t column, bool max) {
    int64_t h = x->dim[2], w = x->dim[3], n = r->samples[0] * r->samples[1];
    double sum = 0, best = 0;
    for (int64_t i = 0; i < n; i++) {
        Corner p = corner(r, 0, row, i / r->samples[1], h), q = corner(r, 1, column, i % r->samples[1], w);
        double v[4] = {0};
        if (!p.outside && !q.outside) {
            v[0] = (1 - p.weight) * (1 - q.weight) * ref_load(x, base + p.low * w + q.low);
            v[1] = (1 - p.weight) * q.weight * ref_load(x, base + p.low * w + q.high);
            v[2] = p.weight * (1 - q.weight) * ref_load(x, base + p.high * w + q.low);
            v[3] = p.weight * q.weight * ref_load(x, base + p.high * w + q.high);
        }
        sum += v[0] + v[1] + v[2] + v[3];
        double most = larger(larger(v[0], v[1]), larger(v[2], v[3]));
        best = i == 0 ? most : larger(best, most);
    }
    return max ? best : sum / (double)(n > 1 ? n : 1);
}

/* ints: mode (0 mean, 1 maximum), coordinates (0 half_pixel, 1 output_half_pixel), sampling_ratio; floats:
 * spatial_scale. */
REF_KERNEL(RoiAlign) {
    const RefTensor *x = &a->in[0], *rois = &a->in[1], *batch = &a->in[2], *y = &a->out[0];
    int64_t channels = x->dim[1], pixels = x->dim[2] * x->dim[3], out = 0;
    bool bad = false;
    for (int64_t n = 0; n < y->dim[0]; n++) {
        Region r = read_region(rois, n, a->floats[0], a->ints[1] == 0, a->ints[2], y);
        int64_t image = ref_load_int(batch, n);
        if (image < 0 || image >= x->dim[0]) {
            bad = true;
            image = 0;
        }
        for (int64_t c = 0; c < channels; c++) {
            for (int64_t i = 0; i < y->dim[2] * y->dim[3]; i++, out++) {
                int64_t base = (image * channels + c) * pixels;
                ref_store(y, out, pool_bin(&r, x, base, i / y->dim[3], i % y->dim[3], a->ints[0] != 0));
            }
        }
    }
    return bad ? REF_INDEX : REF_OK;
}
