/* The uniform quantizer of QuantizeLinear: clip(rint(x / step), lo, hi). LSQ (Esser et al., arXiv 1902.08153) learns
 * the step; here it is fitted. Weights use two's complement's range, or the symmetric one if 'narrow', with a step for
 * each output channel unless 'tensor' is asked for; activations that are never negative use 0..2^b-1. 'affine' gives
 * activations of both signs a range that is not symmetric, which is a zero point by another name. One bit of two signs
 * is sign(x). */
#include "quant/scheme.h"

#include <math.h>

static const RangeChoice least_error = {.rule = RANGE_MSE};

Quantizer fit_lsq_weights(Arena *a, const Scheme *s, const Weights *w) {
    if (s->w_bits == 1) return fit_signs(a, "lsq", w, !(s->words & WORD_TENSOR));
    int half = 1 << (s->w_bits - 1), lo = s->words & WORD_NARROW ? 1 - half : -half;
    if (s->words & WORD_TENSOR) {
        Spread all = weights_spread(a, w);
        return fit_uniform(a, "lsq", &all, &least_error, lo, half - 1);
    }
    Quantizer q = {.form = QUANT_UNIFORM, .scheme = "lsq", .n_step = w->channels, .lo = lo, .hi = half - 1};
    float *step = NEW_ARRAY(a, float, w->channels);
    for (int64_t c = 0; c < w->channels; c++) {
        Arena scratch;
        arena_open(&scratch);
        Spread x = spread_of_values(&scratch, w->each, w->w + c * w->each);
        step[c] = *fit_uniform(&scratch, "lsq", &x, &least_error, lo, half - 1).step;
        arena_free(&scratch);
    }
    q.step = step;
    return q;
}

/* The range of 2^b codes that fits min..max best, 0 among them. */
static void affine_range(const Spread *x, int n, int *lo, int *hi) {
    double min = fmin(x->min, 0), max = fmax(x->max, 0), step = (max - min) / n;
    *lo = step > 0 ? -(int)fmin(rint(-min / step), n) : 0;
    *hi = *lo + n;
}

Quantizer fit_lsq_activations(Arena *a, const Scheme *s, const Spread *x, const RangeChoice *r) {
    int n = (1 << s->a_bits) - 1, lo = 0, hi = n;
    if (x->min < 0 && s->a_bits == 1) {
        Quantizer q = {.form = QUANT_SIGN, .scheme = "lsq"};
        quantizer_set_step(a, &q, spread_mean_abs(x));
        return q;
    }
    if (x->min < 0 && s->words & WORD_AFFINE) {
        affine_range(x, n, &lo, &hi);
    } else if (x->min < 0) {
        lo = -(n + 1) / 2;
        hi = lo + n;
    }
    return fit_uniform(a, "lsq", x, r, lo, hi);
}
