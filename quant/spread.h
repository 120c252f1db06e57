/* How the values of a tensor are spread, for fitting a quantizer to them: a sample, or one Gaussian for each channel as
 * batch normalisation states it. Everything that a fit asks is a moment below some point, so that both kinds serve. */
#ifndef QCC_QUANT_SPREAD_H
#define QCC_QUANT_SPREAD_H

#include "base/base.h"

typedef struct Normal {
    double mean, sd; /* sd > 0 */
    double weight;   /* of this channel among all; they need not add up to 1 */
} Normal;

typedef struct Spread {
    int64_t n;          /* of the sample */
    const float *x;     /* ascending; NULL where there are Gaussians */
    const double *sum1; /* n + 1: sums of the first i values, and of their squares */
    const double *sum2;
    int64_t n_normal;
    const Normal *normal;
    bool rectified;  /* of Gaussians: negative values count as 0, as behind a ReLU */
    double min, max; /* of Gaussians: those of a sample of some 10^5, 4.5 sd from the mean */
} Spread;

/* Mass, sum of values and sum of squares. */
typedef struct Moments {
    double m0, m1, m2;
} Moments;

/* Copies and sorts; values that are not finite are left out. An empty spread is all 0. */
Spread spread_of_values(Arena *a, int64_t n, const float *x);
Spread spread_of_normals(Arena *a, int64_t n, const Normal *normal, bool rectified);
/* Of the values <= t; t may be infinite. */
Moments spread_below(const Spread *s, double t);
static inline Moments spread_all(const Spread *s) { return spread_below(s, __builtin_inf()); }
double spread_mean_abs(const Spread *s);
double spread_sd(const Spread *s);
double spread_max_abs(const Spread *s);
/* The least v such that a share p of all values x has |x| <= v. */
double spread_percentile(const Spread *s, double p);

/* A staircase: value level[k] where k of the thresholds lie below x. Ascending both. */
typedef struct Steps {
    int n;
    const double *thr;   /* n */
    const double *level; /* n + 1 */
} Steps;

/* Levels lo..hi with thresholds halfway. lo < hi. */
Steps steps_uniform(Arena *a, int lo, int hi);
/* Mean square of x - scale * steps(x / scale). */
double steps_error(const Steps *q, const Spread *s, double scale);
/* The scale > 0 that makes it least. 1 where the values are all 0. */
double steps_scale(const Steps *q, const Spread *s);
/* The factor f for which f * steps(x / scale) comes closest to x in the mean square: least squares. `scale` where there
 * is nothing to fit. */
double steps_factor(const Steps *q, const Spread *s, double scale);

/* The scale at which scale * top lies at a given point of the spread. */
typedef enum RangeRule { RANGE_MSE, RANGE_MINMAX, RANGE_PERCENTILE } RangeRule;
typedef struct RangeChoice {
    RangeRule rule;
    double share; /* RANGE_PERCENTILE: of values within, such as 0.999 */
} RangeChoice;
double steps_choose(const Steps *q, const Spread *s, const RangeChoice *r);

#endif
