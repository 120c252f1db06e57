/* Asymptotic-quantized estimator, the networks of M-bit inputs and N-bit weights (Chen, Liu, Zhang, Hou, Yang, IEEE
 * JSTSP 2020; arXiv 2003.04296): both sides have the same signed levels, 1 bit sign(x) with sign(0) = -1, above that 0
 * and
 * +-2^-p for p < 2^(b-1) - 1; a value on a threshold goes to the lower magnitude. The paper gives no thresholds; those
 * of 2 bits are read from its figures, those of 3 from the code of the authors' sibling paper (n-BQ-NN, arXiv
 * 2004.02396), as shares of the largest magnitude: 0.05, and 0.02, 0.07, 0.14. Neither goes to 4 bits, where they lie
 * halfway between levels. The method has no scale factor; networks trained in float need one, the one of least square
 * error. */
#include "quant/scheme.h"

enum { MOST = 7 }; /* magnitudes above 0 at 4 bits */

/* Thresholds as shares of the largest magnitude, codes from 0: the numbers of magnitudes above 0. */
static int magnitudes(int bits, double *thr, int *code) {
    static const double two[] = {0.05}, three[] = {0.02, 0.07, 0.14};
    int n = (1 << (bits - 1)) - 1;
    code[0] = 0;
    for (int k = 0; k < n; k++) {
        double level = 1.0 / (1 << (n - 1 - k)), below = k ? level / 2 : 0;
        code[k + 1] = 1 << k;
        thr[k] = bits == 2 ? two[k] : bits == 3 ? three[k] : 0.5 * (below + level);
    }
    return n;
}

/* The staircase over both signs, in units of the largest magnitude. */
static Steps signed_steps(Arena *a, int n, const double *thr, const int *code) {
    double *t = NEW_ARRAY(a, double, 2 * n), *level = NEW_ARRAY(a, double, 2 * n + 1);
    for (int k = 0; k < n; k++) {
        t[n + k] = thr[k], t[n - 1 - k] = -thr[k];
        level[n + 1 + k] = (double)code[k + 1] / code[n];
        level[n - 1 - k] = -level[n + 1 + k];
    }
    return (Steps){2 * n, t, level};
}

static Quantizer fit_sign(Arena *a, const Spread *x) {
    static const int codes[] = {-1, 1};
    static const double zero = 0;
    Quantizer q = {.form = QUANT_LEVELS, .scheme = "aqe"};
    quantizer_set_levels(a, &q, 1, &zero, codes);
    quantizer_set_step(a, &q, spread_mean_abs(x));
    return q;
}

static Quantizer fit_magnitudes(Arena *a, int bits, const Spread *x, const RangeChoice *r) {
    double thr[MOST];
    int code[MOST + 1], n = magnitudes(bits, thr, code);
    Quantizer q = {.form = QUANT_MAGNITUDE, .scheme = "aqe"};
    Steps steps = signed_steps(a, n, thr, code);
    double reach = steps_choose(&steps, x, r);
    for (int k = 0; k < n; k++) thr[k] *= reach;
    quantizer_set_levels(a, &q, n, thr, code);
    quantizer_set_step(a, &q, steps_factor(&steps, x, reach) / code[n]);
    return q;
}

Quantizer fit_aqe_weights(Arena *a, const Scheme *s, const Weights *w) {
    static const RangeChoice largest = {.rule = RANGE_MINMAX};
    Spread x = weights_spread(a, w);
    return s->w_bits == 1 ? fit_sign(a, &x) : fit_magnitudes(a, s->w_bits, &x, &largest);
}

Quantizer fit_aqe_activations(Arena *a, const Scheme *s, const Spread *x, const RangeChoice *r) {
    return s->a_bits == 1 ? fit_sign(a, x) : fit_magnitudes(a, s->a_bits, x, r);
}
