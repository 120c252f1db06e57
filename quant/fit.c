/* What the methods' fits share. Every fit ends here, so that a tensor of zeros, or of a range that overflows, still
 * gives a step that can be divided by. */
#include "quant/scheme.h"

#include <float.h>
#include <math.h>

static float good_step(double step) {
    if (!(step > 0)) return 1;
    return (float)fmin(fmax(step, (double)FLT_MIN), (double)FLT_MAX / 1024);
}

void quantizer_set_step(Arena *a, Quantizer *q, double step) {
    float *own = NEW(a, float);
    *own = good_step(step);
    q->step = own;
    q->n_step = 1;
}

void quantizer_set_levels(Arena *a, Quantizer *q, int n, const double *thr, const int *code) {
    float *own = NEW_ARRAY(a, float, n);
    for (int k = 0; k < n; k++) own[k] = (float)thr[k];
    q->n = n;
    q->thr = own;
    q->code = arena_copy(a, code, (size_t)(n + 1) * sizeof *code);
}

Spread weights_spread(Arena *a, const Weights *w) { return spread_of_values(a, w->channels * w->each, w->w); }

Quantizer fit_signs(Arena *a, const char *scheme, const Weights *w, bool per_channel) {
    Quantizer q = {.form = QUANT_SIGN, .scheme = scheme, .n_step = per_channel ? w->channels : 1};
    int64_t each = w->channels * w->each / i64_max(q.n_step, 1);
    float *step = NEW_ARRAY(a, float, q.n_step);
    for (int64_t c = 0; c < q.n_step; c++) {
        double sum = 0;
        for (int64_t i = 0; i < each; i++) sum += fabs((double)w->w[c * each + i]);
        step[c] = good_step(sum / (double)i64_max(each, 1));
    }
    q.step = step;
    return q;
}

Quantizer fit_uniform(Arena *a, const char *scheme, const Spread *x, const RangeChoice *r, int lo, int hi) {
    Quantizer q = {.form = QUANT_UNIFORM, .scheme = scheme, .lo = lo, .hi = hi};
    Steps steps = steps_uniform(a, lo, hi);
    quantizer_set_step(a, &q, steps_choose(&steps, x, r));
    return q;
}
