/* Moments of a sample come from prefix sums, those of Gaussians from the error function. The best scale of a staircase
 * is found by a scan and golden section; where the moments are smooth it is then polished to full precision as the zero
 * of the derivative, which is the condition of a centroid (Lloyd-Max with one free parameter). */
#include "quant/spread.h"

#include <math.h>
#include <stdlib.h>

/* ---- making ---- */

static int compare(const void *p, const void *q) {
    float a = *(const float *)p, b = *(const float *)q;
    return (a > b) - (a < b);
}

Spread spread_of_values(Arena *a, int64_t n, const float *x) {
    float *own = NEW_ARRAY(a, float, n + 1);
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++)
        if (isfinite(x[i])) own[count++] = x[i];
    qsort(own, (size_t)count, sizeof *own, compare);
    double *sum1 = NEW_ARRAY(a, double, count + 1), *sum2 = NEW_ARRAY(a, double, count + 1);
    for (int64_t i = 0; i < count; i++) {
        sum1[i + 1] = sum1[i] + (double)own[i];
        sum2[i + 1] = sum2[i] + (double)own[i] * (double)own[i];
    }
    Spread s = {.n = count, .x = own, .sum1 = sum1, .sum2 = sum2};
    if (count) s.min = (double)own[0], s.max = (double)own[count - 1];
    return s;
}

#define SD_REACH 4.5 /* P(|z| > 4.5) is 7e-6 */

Spread spread_of_normals(Arena *a, int64_t n, const Normal *normal, bool rectified) {
    Spread s = {.n_normal = n, .rectified = rectified, .min = INFINITY, .max = -INFINITY};
    s.normal = arena_copy(a, normal, (size_t)n * sizeof *normal);
    for (int64_t i = 0; i < n; i++) {
        s.min = fmin(s.min, normal[i].mean - SD_REACH * normal[i].sd);
        s.max = fmax(s.max, normal[i].mean + SD_REACH * normal[i].sd);
    }
    if (rectified) s.min = fmax(s.min, 0), s.max = fmax(s.max, 0);
    return s;
}

/* ---- moments ---- */

static Moments normal_below(const Normal *d, double t) {
    if (t == INFINITY) return (Moments){1, d->mean, d->mean * d->mean + d->sd * d->sd};
    double z = (t - d->mean) / d->sd, p = 0.5 * erfc(-z * M_SQRT1_2);
    if (p == 0) return (Moments){0, 0, 0};
    double phi = 0.5 * M_SQRT1_2 * M_2_SQRTPI * exp(-0.5 * z * z);
    return (Moments){p, d->mean * p - d->sd * phi,
                     (d->mean * d->mean + d->sd * d->sd) * p - d->sd * (d->mean + t) * phi};
}

static Moments normals_below(const Spread *s, double t) {
    Moments sum = {0};
    if (s->rectified && t < 0) return sum;
    for (int64_t i = 0; i < s->n_normal; i++) {
        const Normal *d = &s->normal[i];
        Moments m = normal_below(d, t), zero = {0};
        if (s->rectified) zero = normal_below(d, 0);
        sum.m0 += d->weight * m.m0;
        sum.m1 += d->weight * (m.m1 - zero.m1);
        sum.m2 += d->weight * (m.m2 - zero.m2);
    }
    return sum;
}

/* Number of sample values <= t. */
static int64_t count_below(const Spread *s, double t) {
    int64_t lo = 0, hi = s->n;
    while (lo < hi) {
        int64_t mid = (lo + hi) / 2;
        if ((double)s->x[mid] <= t)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

Moments spread_below(const Spread *s, double t) {
    if (s->n_normal) return normals_below(s, t);
    int64_t i = count_below(s, t);
    return s->n ? (Moments){(double)i, s->sum1[i], s->sum2[i]} : (Moments){0, 0, 0};
}

double spread_mean_abs(const Spread *s) {
    Moments all = spread_all(s), low = spread_below(s, 0);
    return all.m0 > 0 ? (all.m1 - 2 * low.m1) / all.m0 : 0;
}

double spread_sd(const Spread *s) {
    Moments all = spread_all(s);
    if (all.m0 <= 0) return 0;
    double mean = all.m1 / all.m0;
    return sqrt(fmax(all.m2 / all.m0 - mean * mean, 0));
}

double spread_max_abs(const Spread *s) { return fmax(fabs(s->min), fabs(s->max)); }

double spread_percentile(const Spread *s, double p) {
    double lo = 0, hi = spread_max_abs(s), want = p * spread_all(s).m0;
    for (int i = 0; i < 60; i++) {
        double mid = 0.5 * (lo + hi);
        double inside = spread_below(s, mid).m0 - spread_below(s, nextafter(-mid, -INFINITY)).m0;
        if (inside >= want)
            hi = mid;
        else
            lo = mid;
    }
    return hi;
}

/* ---- staircases ---- */

Steps steps_uniform(Arena *a, int lo, int hi) {
    int n = hi - lo;
    double *thr = NEW_ARRAY(a, double, n), *level = NEW_ARRAY(a, double, n + 1);
    for (int k = 0; k <= n; k++) level[k] = lo + k;
    for (int k = 0; k < n; k++) thr[k] = lo + k + 0.5;
    return (Steps){n, thr, level};
}

/* Of the values within step k. */
static Moments step_moments(const Steps *q, const Spread *s, double scale, int k, Moments *below) {
    Moments to = k < q->n ? spread_below(s, scale * q->thr[k]) : spread_all(s);
    Moments m = {to.m0 - below->m0, to.m1 - below->m1, to.m2 - below->m2};
    *below = to;
    return m;
}

double steps_error(const Steps *q, const Spread *s, double scale) {
    Moments below = {0};
    double sum = 0, all = spread_all(s).m0;
    for (int k = 0; k <= q->n; k++) {
        Moments m = step_moments(q, s, scale, k, &below);
        double v = scale * q->level[k];
        sum += m.m2 - 2 * v * m.m1 + v * v * m.m0;
    }
    return all > 0 ? sum / all : 0;
}

/* Half the derivative of steps_error by the scale, times the mass: where thresholds lie halfway between levels, or at
 * 0, moving them changes nothing to first order. */
static double slope(const Steps *q, const Spread *s, double scale) {
    Moments below = {0};
    double sum = 0;
    for (int k = 0; k <= q->n; k++) {
        Moments m = step_moments(q, s, scale, k, &below);
        sum += q->level[k] * (scale * q->level[k] * m.m0 - m.m1);
    }
    return sum;
}

static double polish(const Steps *q, const Spread *s, double lo, double hi) {
    if (!(slope(q, s, lo) < 0 && slope(q, s, hi) > 0)) return 0.5 * (lo + hi);
    for (int i = 0; i < 60; i++) {
        double mid = 0.5 * (lo + hi);
        if (slope(q, s, mid) < 0)
            lo = mid;
        else
            hi = mid;
    }
    return 0.5 * (lo + hi);
}

static double golden(const Steps *q, const Spread *s, double lo, double hi) {
    const double part = 0.3819660112501051; /* 2 - golden ratio */
    double a = lo + part * (hi - lo), b = hi - part * (hi - lo);
    double fa = steps_error(q, s, a), fb = steps_error(q, s, b);
    for (int i = 0; i < 32; i++) {
        if (fa <= fb) {
            hi = b, b = a, fb = fa;
            a = lo + part * (hi - lo);
            fa = steps_error(q, s, a);
        } else {
            lo = a, a = b, fa = fb;
            b = hi - part * (hi - lo);
            fb = steps_error(q, s, b);
        }
    }
    return 0.5 * (lo + hi);
}

static double top_level(const Steps *q) { return fmax(fabs(q->level[0]), fabs(q->level[q->n])); }

/* The optimum clips, so the top level lies below the largest value: looked for from a fiftieth of it up. */
double steps_scale(const Steps *q, const Spread *s) {
    enum { POINTS = 40 };
    double hi = 1.05 * spread_max_abs(s) / top_level(q), best = hi, least = INFINITY;
    if (!(hi > 0)) return 1;
    double ratio = pow(1.0 / 50, 1.0 / (double)POINTS);
    for (int i = 0; i <= POINTS; i++) {
        double scale = hi * pow(ratio, i), error = steps_error(q, s, scale);
        if (error < least) least = error, best = scale;
    }
    double scale = golden(q, s, best * ratio, best / ratio);
    return s->n_normal ? polish(q, s, scale * 0.999, scale * 1.001) : scale;
}

double steps_factor(const Steps *q, const Spread *s, double scale) {
    Moments below = {0};
    double up = 0, down = 0;
    for (int k = 0; k <= q->n; k++) {
        Moments m = step_moments(q, s, scale, k, &below);
        up += q->level[k] * m.m1;
        down += q->level[k] * q->level[k] * m.m0;
    }
    return up > 0 && down > 0 ? up / down : scale;
}

double steps_choose(const Steps *q, const Spread *s, const RangeChoice *r) {
    if (r->rule == RANGE_MSE) return steps_scale(q, s);
    double reach = 0, top = q->level[q->n], low = -q->level[0];
    if (r->rule == RANGE_PERCENTILE) {
        reach = spread_percentile(s, r->share) / fmax(top, low);
    } else {
        if (top > 0) reach = s->max / top;
        if (low > 0) reach = fmax(reach, -s->min / low);
    }
    return reach > 0 ? reach : 1;
}
