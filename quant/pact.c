/* PACT (Choi et al., arXiv 1805.06085): activations clipped to [0, a] and rounded, ties to even, to one of 2^k levels;
 * `a` is learned in training and chosen from the spread here. Weights as DoReFa. */
#include "quant/scheme.h"

Quantizer fit_pact_weights(Arena *a, const Scheme *s, const Weights *w) {
    Quantizer q = fit_dorefa_weights(a, s, w);
    q.scheme = "pact";
    return q;
}

Quantizer fit_pact_activations(Arena *a, const Scheme *s, const Spread *x, const RangeChoice *r) {
    return fit_uniform(a, "pact", x, r, 0, (1 << s->a_bits) - 1);
}
