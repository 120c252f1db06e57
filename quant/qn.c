/* Quantization Networks (Yang et al., CVPR 2019; arXiv 1911.09464). Levels are multiples of a learned factor;
 * thresholds lie where clusters of values meet, so at unequal distances, and stay there. Strict comparison, as the
 * authors' code has it. With beta = 5 max|Y| / (4 max|x|), the two thresholds about the level 0 are +-0.05 / beta, and
 * a single one of weights 0, of activations 0.05 / beta. The factor is learned in training; here it is the one of least
 * square error. */
#include "quant/scheme.h"

#include <math.h>

/* The levels of b-bit weights; returns their number. At 3 bits the paper has two sets. */
static int weight_levels(const Scheme *s, int *level) {
    static const int wide[] = {-4, -2, -1, 0, 1, 2, 4};
    if (s->w_bits == 1) {
        level[0] = -1, level[1] = 1;
        return 2;
    }
    if (s->w_bits == 3 && !(s->words & WORD_NARROW)) {
        for (int k = 0; k < 7; k++) level[k] = wide[k];
        return 7;
    }
    int top = s->w_bits == 3 ? 2 : (1 << (s->w_bits - 1)) - 1;
    for (int k = -top; k <= top; k++) level[k + top] = k;
    return 2 * top + 1;
}

/* Thresholds halfway between the centres of clusters that start at level / beta (k-means in one dimension). */
static void cluster(Arena *a, const Spread *x, int n, const int *level, double beta, double *thr) {
    double *centre = NEW_ARRAY(a, double, n + 1);
    for (int k = 0; k <= n; k++) centre[k] = level[k] / beta;
    for (int round = 0; round < 100; round++) {
        Moments below = {0};
        for (int k = 0; k < n; k++) thr[k] = 0.5 * (centre[k] + centre[k + 1]);
        for (int k = 0; k <= n; k++) {
            Moments to = k < n ? spread_below(x, thr[k]) : spread_all(x);
            double mass = to.m0 - below.m0;
            if (mass > 0) centre[k] = (to.m1 - below.m1) / mass;
            below = to;
        }
    }
}

/* Thresholds and levels are known: the factor, and the whole. */
static Quantizer finish(Arena *a, const Spread *x, int n, const double *thr, const int *level) {
    Quantizer q = {.form = QUANT_LEVELS, .scheme = "qn"};
    double *value = NEW_ARRAY(a, double, n + 1);
    for (int k = 0; k <= n; k++) value[k] = level[k];
    Steps steps = {n, thr, value};
    quantizer_set_levels(a, &q, n, thr, level);
    quantizer_set_step(a, &q, steps_factor(&steps, x, 1));
    return q;
}

static double find_beta(const Spread *x, int top) {
    double most = spread_max_abs(x);
    return most > 0 ? 5.0 * top / (4 * most) : 1;
}

Quantizer fit_qn_weights(Arena *a, const Scheme *s, const Weights *w) {
    int level[256], n = weight_levels(s, level) - 1;
    double *thr = NEW_ARRAY(a, double, n);
    Spread x = weights_spread(a, w);
    if (n > 1) {
        double beta = find_beta(&x, level[n]);
        cluster(a, &x, n, level, beta, thr);
        thr[n / 2 - 1] = -0.05 / beta;
        thr[n / 2] = 0.05 / beta;
        for (int k = n / 2 + 1; k < n; k++) {
            thr[k] = fmax(thr[k], thr[k - 1]);
            thr[n - 1 - k] = fmin(thr[n - 1 - k], thr[n - k]);
        }
    }
    return finish(a, &x, n, thr, level);
}

Quantizer fit_qn_activations(Arena *a, const Scheme *s, const Spread *x, const RangeChoice *r) {
    (void)r;
    int level[256], n = (1 << s->a_bits) - 1;
    double *thr = NEW_ARRAY(a, double, n);
    for (int k = 0; k <= n; k++) level[k] = k;
    double beta = find_beta(x, n);
    cluster(a, x, n, level, beta, thr);
    if (n == 1) thr[0] = 0.05 / beta;
    return finish(a, x, n, thr, level);
}
