/* XNOR-Net (Rastegari et al., ECCV 2016) without the per-position scale of its activations, as later networks have it:
 * sign(x) on both sides, sign(0) = 1, with the mean magnitude of each output channel's weights, and of the activations
 * where the network was not trained for plain signs. */
#include "quant/scheme.h"

Quantizer fit_xnor_weights(Arena *a, const Scheme *s, const Weights *w) {
    (void)s;
    return fit_signs(a, "xnor", w, true);
}

Quantizer fit_xnor_activations(Arena *a, const Scheme *s, const Spread *x, const RangeChoice *r) {
    (void)s, (void)r;
    Quantizer q = {.form = QUANT_SIGN, .scheme = "xnor"};
    quantizer_set_step(a, &q, spread_mean_abs(x));
    return q;
}
