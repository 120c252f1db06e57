/* Ternary weight networks (Li, Liu, arXiv 1605.04711): sign(w) where |w| > 0.7 mean|w|, else 0, with the mean magnitude
 * of what is not 0, over the layer. The method leaves activations alone: they are lsq's. */
#include "quant/scheme.h"

#include <math.h>

Quantizer fit_twn_weights(Arena *a, const Scheme *s, const Weights *w) {
    static const int codes[] = {0, 1};
    if (s->w_bits == 1) return fit_signs(a, "twn", w, false);
    Spread x = weights_spread(a, w);
    double thr = 0.7 * spread_mean_abs(&x), sum = 0, count = 0;
    Quantizer q = {.form = QUANT_MAGNITUDE, .scheme = "twn"};
    quantizer_set_levels(a, &q, 1, &thr, codes);
    for (int64_t i = 0; i < x.n; i++) {
        if (!(fabsf(x.x[i]) > q.thr[0])) continue;
        sum += fabs((double)x.x[i]);
        count++;
    }
    quantizer_set_step(a, &q, count > 0 ? sum / count : 0);
    return q;
}

Quantizer fit_twn_activations(Arena *a, const Scheme *s, const Spread *x, const RangeChoice *r) {
    return fit_lsq_activations(a, s, x, r);
}
