/* DoReFa-Net (Zhou et al., arXiv 1606.06160): weights go through tanh, scaled to [0, 1] by the layer's largest, and are
 * rounded to one of 2^k levels that lie symmetrically about 0 without it: odd multiples of a step. Training has them
 * span [-1, 1] and leaves their size to batch normalisation; a network that was trained in float is not prepared for
 * that, so the step is the one of least square error. One bit: sign(w) with the mean magnitude of the layer.
 * Activations are clipped to [0, 1], which is the method's own range and is not fitted. */
#include "quant/scheme.h"

#include <math.h>

Quantizer fit_dorefa_weights(Arena *a, const Scheme *s, const Weights *w) {
    if (s->w_bits == 1) return fit_signs(a, "dorefa", w, false);
    int64_t n = w->channels * w->each;
    Quantizer q = {.form = QUANT_DOREFA, .scheme = "dorefa", .hi = (1 << s->w_bits) - 1};
    for (int64_t i = 0; i < n; i++) q.range = fmaxf(q.range, fabsf(tanhf(w->w[i])));
    if (!(q.range > 0)) q.range = 1;
    quantizer_set_step(a, &q, 1);
    double up = 0, down = 0;
    for (int64_t i = 0; i < n; i++) {
        double code = quantizer_code(&q, 0, w->w[i]);
        up += code * (double)w->w[i];
        down += code * code;
    }
    quantizer_set_step(a, &q, down > 0 ? up / down : 0);
    return q;
}

Quantizer fit_dorefa_activations(Arena *a, const Scheme *s, const Spread *x, const RangeChoice *r) {
    (void)x, (void)r;
    Quantizer q = {.form = QUANT_UNIFORM, .scheme = "dorefa", .hi = (1 << s->a_bits) - 1};
    quantizer_set_step(a, &q, 1.0 / q.hi);
    return q;
}
