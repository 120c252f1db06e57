/* Half-wave Gaussian quantization (Cai, He, Sun, Vasconcelos, CVPR 2017; arXiv 1702.00953), as its authors' code has
 * it.
 *
 * Behind batch normalisation values are nearly Gaussian, so one quantizer fitted to N(0, 1) serves the whole network:
 * level k * D for 1.5 D + (k - 2) D < x, any x > 0 being at least level 1 and ties going down. 'midpoint' is the later
 * convention of the same authors (EdMIPS): round to nearest, so that 0 < x <= D / 2 is 0 too. Where normalisation has a
 * scale and a shift, or the values are a sample, the same staircase is scaled to the layer's own spread.
 * Weights: sign(w) * mean|w| for each output channel; above 1 bit odd multiples of half a step, the step being the best
 * for a Gaussian of the layer's standard deviation (EdMIPS).
 *
 * 'nonuniform': the levels are Lloyd and Max's. Code is integer, so they are put on the coarsest grid of at most 8 bits
 * that loses next to nothing; for the 2 levels of the paper that is {3, 10}, of which its constants 0.453 and 1.51 are
 * multiples too. */
#include "quant/scheme.h"

#include <math.h>

static const Normal standard = {0, 1, 1};

/* ---- Lloyd-Max for half a Gaussian ---- */

static double density(double z) { return isinf(z) ? 0 : 0.5 * M_SQRT1_2 * M_2_SQRTPI * exp(-0.5 * z * z); }

/* P(a < z < b) for 0 <= a. */
static double mass(double a, double b) { return 0.5 * (erfc(a * M_SQRT1_2) - erfc(b * M_SQRT1_2)); }

static double quantile(double p) {
    double lo = 0, hi = 10;
    for (int i = 0; i < 60; i++) {
        double mid = 0.5 * (lo + hi);
        if (0.5 + mass(0, mid) < p)
            lo = mid;
        else
            hi = mid;
    }
    return 0.5 * (lo + hi);
}

/* One step of Newton's method for "every level is the centroid of its cell", whose Jacobian is tridiagonal. */
static void improve_levels(int n, bool zero_cell, double *q, double *diagonal, double *right) {
    double below = 0; /* entry left of the diagonal */
    for (int i = 0; i < n; i++) {
        bool moves = i > 0 || zero_cell; /* the cell's lower end moves with the levels */
        double a = moves ? 0.5 * (q[i] + (i ? q[i - 1] : 0)) : 0, b = i + 1 < n ? 0.5 * (q[i] + q[i + 1]) : INFINITY;
        double p = mass(a, b), centre = (density(a) - density(b)) / p;
        double by_a = moves ? 0.5 * density(a) * (centre - a) / p : 0;
        double by_b = i + 1 < n ? 0.5 * density(b) * (b - centre) / p : 0;
        below = i ? -by_a : 0;
        diagonal[i] = 1 - by_a - by_b;
        right[i] = q[i] - centre;
        if (i) {
            double f = below / diagonal[i - 1];
            double above = right[n + i - 1];
            diagonal[i] -= f * above;
            right[i] -= f * right[i - 1];
        }
        right[n + i] = -by_b; /* entry right of the diagonal */
    }
    for (int i = n - 1; i >= 0; i--) {
        if (i + 1 < n) right[i] -= right[n + i] * right[i + 1];
        right[i] /= diagonal[i];
    }
    for (int i = 0; i < n; i++) q[i] -= right[i];
}

/* Starts from the asymptotically best points, whose density is the cube root of the Gaussian's (Panter and Dite). */
static void lloyd_levels(int n, bool zero_cell, double *q) {
    Arena scratch;
    arena_open(&scratch);
    double *diagonal = NEW_ARRAY(&scratch, double, n), *right = NEW_ARRAY(&scratch, double, 2 * n);
    for (int i = 0; i < n; i++)
        q[i] = sqrt(3) * quantile(zero_cell ? 0.5 + (i + 1) / (2.0 * n + 1) : 0.5 + (i + 0.5) / (2.0 * n));
    for (int i = 0; i < 30; i++) improve_levels(n, zero_cell, q, diagonal, right);
    arena_free(&scratch);
}

/* ---- the standard quantizers ---- */

/* The staircase in units of its step; of the Lloyd kinds, of 1. */
static Steps half_steps(Arena *a, HalfWave kind, int n) {
    double *thr = NEW_ARRAY(a, double, n), *level = NEW_ARRAY(a, double, n + 1);
    if (kind == HALF_LLOYD || kind == HALF_LLOYD_ZERO) lloyd_levels(n, kind == HALF_LLOYD_ZERO, level + 1);
    for (int k = 1; k <= n; k++) {
        if (kind == HALF_UNIFORM || kind == HALF_MIDPOINT) level[k] = k;
        if (kind == HALF_MIDRISE) level[k] = k - 0.5;
        thr[k - 1] = 0.5 * (level[k - 1] + level[k]);
    }
    if (kind == HALF_MIDRISE)
        for (int k = 0; k < n; k++) thr[k] = k;
    if (kind == HALF_UNIFORM || kind == HALF_LLOYD) thr[0] = 0;
    return (Steps){n, thr, level};
}

double half_wave(HalfWave kind, int n, double *level) {
    Arena scratch;
    arena_open(&scratch);
    Spread s = spread_of_normals(&scratch, 1, &standard, true);
    Steps q = half_steps(&scratch, kind, n);
    double scale = kind == HALF_LLOYD || kind == HALF_LLOYD_ZERO ? 1 : steps_scale(&q, &s);
    for (int k = 0; k < n; k++) level[k] = scale * q.level[k + 1];
    double error = 2 * steps_error(&q, &s, scale); /* half of the mass is at x > 0 */
    arena_free(&scratch);
    return error;
}

/* ---- levels on a grid ---- */

enum { GRID_MOST = 255 };

/* The levels as integers up to `top`; false where two coincide. On the finest grid they are moved apart. */
static bool round_levels(const double *level, int n, int top, int *code) {
    code[0] = 0;
    for (int k = 1; k <= n; k++) {
        code[k] = (int)rint(level[k] * top / level[n]);
        if (code[k] > code[k - 1]) continue;
        if (top < GRID_MOST) return false;
        code[k] = code[k - 1] + 1;
    }
    for (int k = n; k > 0 && code[k] > top - (n - k); k--) code[k] = top - (n - k);
    return true;
}

static Steps grid_steps(Arena *a, int n, const int *code) {
    double *thr = NEW_ARRAY(a, double, n), *level = NEW_ARRAY(a, double, n + 1);
    for (int k = 1; k <= n; k++) {
        level[k] = code[k];
        thr[k - 1] = k > 1 ? 0.5 * (code[k - 1] + code[k]) : 0;
    }
    return (Steps){n, thr, level};
}

/* Relative loss of error that is next to nothing: the published constants have up to this. */
#define GRID_LOSS 2e-4

/* The coarsest grid that loses no more, or else the best of 8 bits. */
static Steps choose_grid(Arena *a, int n, int *code) {
    Spread s = spread_of_normals(a, 1, &standard, true);
    Steps lloyd = half_steps(a, HALF_LLOYD, n), best = {0};
    double optimum = steps_error(&lloyd, &s, 1), least = INFINITY;
    int *trial = NEW_ARRAY(a, int, n + 1);
    for (int top = n; top <= GRID_MOST && least > (1 + GRID_LOSS) * optimum; top++) {
        if (!round_levels(lloyd.level, n, top, trial)) continue;
        Steps steps = grid_steps(a, n, trial);
        double error = steps_error(&steps, &s, steps_scale(&steps, &s));
        if (error >= least) continue;
        least = error, best = steps;
        for (int k = 0; k <= n; k++) code[k] = trial[k];
    }
    return best;
}

/* ---- fitting ---- */

static Quantizer fit_nonuniform(Arena *a, int n, const Spread *x) {
    Quantizer q = {.form = QUANT_LEVELS, .scheme = "hwgq"};
    int *code = NEW_ARRAY(a, int, n + 1);
    Steps grid = choose_grid(a, n, code);
    double scale = steps_scale(&grid, x), *thr = NEW_ARRAY(a, double, n);
    for (int k = 0; k < n; k++) thr[k] = scale * grid.thr[k];
    quantizer_set_levels(a, &q, n, thr, code);
    quantizer_set_step(a, &q, scale);
    return q;
}

Quantizer fit_hwgq_activations(Arena *a, const Scheme *s, const Spread *x, const RangeChoice *r) {
    (void)r; /* the method itself says how: least square error */
    int n = (1 << s->a_bits) - 1;
    if (s->words & WORD_NONUNIFORM) return fit_nonuniform(a, n, x);
    bool midpoint = s->words & WORD_MIDPOINT;
    Steps steps = half_steps(a, midpoint ? HALF_MIDPOINT : HALF_UNIFORM, n);
    Quantizer q = {.form = midpoint ? QUANT_UNIFORM : QUANT_HWGQ, .scheme = "hwgq", .hi = n};
    quantizer_set_step(a, &q, steps_scale(&steps, x));
    return q;
}

Quantizer fit_hwgq_weights(Arena *a, const Scheme *s, const Weights *w) {
    if (s->w_bits == 1) return fit_signs(a, "hwgq", w, true);
    int half = 1 << (s->w_bits - 1);
    double *level = NEW_ARRAY(a, double, half);
    half_wave(HALF_MIDRISE, half, level);
    Spread x = weights_spread(a, w);
    Quantizer q = {.form = QUANT_ODD, .scheme = "hwgq", .hi = 2 * half - 1};
    quantizer_set_step(a, &q, level[0] * spread_sd(&x)); /* level[0] is half a step */
    return q;
}
