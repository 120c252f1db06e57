/* Quantizers: what each method makes of weights and of activations.
 *
 * A Scheme is a method with the widths of both sides, as the command line writes it:
 *     NAME:wBaB[,WORD...]     hwgq:w1a2   qn:w3a2,narrow   lsq:w8a8,tensor   twn:w2a8
 * A side that is not named stays float. Fitting a side gives a Quantizer: integer codes, and a step such that the value
 * of a code is step * code, rounded once to float32. The rows of quant/scheme.def name the methods. */
#ifndef QCC_QUANT_SCHEME_H
#define QCC_QUANT_SCHEME_H

#include "base/diag.h"
#include "quant/spread.h"

/* How a value x becomes a code; all arithmetic is float32, each operation rounded, ties of `rint` to even. Each is an
 * operator of the IR with the same operands (ir/ops/scheme.c). */
typedef enum QuantForm {
    QUANT_SIGN,      /* x >= 0 ? 1 : -1 */
    QUANT_UNIFORM,   /* clip(rint(x / step), lo, hi) */
    QUANT_HWGQ,      /* 0 where x <= 0, else clip(ceil(x / step - 0.5), 1, hi): ties go down, any x > 0 is at least 1 */
    QUANT_LEVELS,    /* code[k], k the number of thresholds below x (strictly) */
    QUANT_MAGNITUDE, /* sign(x) * code[k], k the number of thresholds below |x|; code[0] = 0 */
    QUANT_DOREFA,    /* 2 * rint(hi * (tanh(x) / (2 range) + 0.5)) - hi */
    QUANT_ODD        /* 2 * clip(rint(x / (2 step) + 0.5), (1 - hi) / 2, (1 + hi) / 2) - 1, hi odd */
} QuantForm;

typedef struct Quantizer {
    QuantForm form;
    const char *scheme; /* name of its method */
    int64_t n_step;     /* 1, or one for each channel */
    const float *step;  /* > 0 */
    int lo, hi;         /* UNIFORM, HWGQ, DOREFA, ODD */
    int n;              /* LEVELS, MAGNITUDE: thresholds */
    const float *thr;   /* n, ascending */
    const int *code;    /* n + 1 */
    float range;        /* DOREFA: the largest |tanh(x)| of the tensor */
} Quantizer;

int quantizer_code(const Quantizer *q, int64_t channel, float x);
/* step * code */
float quantizer_value(const Quantizer *q, int64_t channel, float x);
/* The same as thresholds and levels on x, of a quantizer with one step that is no DOREFA: for expectations, where what
 * happens exactly at a threshold has no weight. */
Steps quantizer_steps(Arena *a, const Quantizer *q);
/* Least and greatest code. */
int quantizer_low(const Quantizer *q);
int quantizer_high(const Quantizer *q);

typedef enum SchemeId {
#define SCHEME(name, w, a, words, help) SCHEME_##name,
#include "quant/scheme.def"
#undef SCHEME
    SCHEME_COUNT
} SchemeId;

typedef enum SchemeWord {
    WORD_NONUNIFORM = 1, /* levels at unequal distances */
    WORD_MIDPOINT = 2,   /* the first threshold halfway to the first level, not at 0 */
    WORD_NARROW = 4,     /* a smaller range than the width allows */
    WORD_TENSOR = 8,     /* one step for a whole tensor of weights */
    WORD_AFFINE = 16     /* a range that need not be symmetric about 0 */
} SchemeWord;

typedef struct Scheme {
    SchemeId id;
    int w_bits, a_bits; /* 0: float */
    unsigned words;     /* of SchemeWord */
} Scheme;

typedef struct SchemeInfo {
    const char *name;
    int w_bits, a_bits; /* greatest */
    const char *words, *help;
} SchemeInfo;
extern const SchemeInfo scheme_info[SCHEME_COUNT];

/* False after a diagnostic (D_USAGE). */
bool scheme_parse(Diags *d, const char *text, Scheme *out);
/* "hwgq:w1a2,nonuniform" */
const char *scheme_str(Arena *a, const Scheme *s);

/* Weights, `each` for each of `channels` output channels, one channel after the other. */
typedef struct Weights {
    int64_t channels, each;
    const float *w;
} Weights;
/* The side must be a quantized one. All numbers in the result are finite and every step is > 0, whatever the values. */
Quantizer scheme_fit_weights(Arena *a, const Scheme *s, const Weights *w);
/* Values as they enter the quantizer. What the methods leave to the user (pact's clip, lsq's step) is chosen by `r`. */
Quantizer scheme_fit_activations(Arena *a, const Scheme *s, const Spread *x, const RangeChoice *r);

/* The standard quantizer of x > 0, x ~ N(0, 1), of `n` positive levels (HWGQ's constants). */
typedef enum HalfWave {
    HALF_UNIFORM,    /* k * D; thresholds 0, 1.5 D, 2.5 D, ... */
    HALF_MIDPOINT,   /* k * D; thresholds 0.5 D, 1.5 D, ... */
    HALF_LLOYD,      /* Lloyd-Max; threshold 0, then midpoints */
    HALF_LLOYD_ZERO, /* Lloyd-Max with a cell about 0 whose level is 0 */
    HALF_MIDRISE     /* (k - 0.5) * D; thresholds 0, D, 2 D, ...: the positive half of a symmetric quantizer */
} HalfWave;
/* level: n numbers. Returns the mean square error over x > 0. */
double half_wave(HalfWave kind, int n, double *level);

/* ---- what the methods' files define ---- */
#define SCHEME(name, w, a, words, help)                                       \
    Quantizer fit_##name##_weights(Arena *, const Scheme *, const Weights *); \
    Quantizer fit_##name##_activations(Arena *, const Scheme *, const Spread *, const RangeChoice *);
#include "quant/scheme.def"
#undef SCHEME

/* ---- what they share (quant/fit.c) ---- */

/* One step, which is made a good one: finite, at least the least normal float. */
void quantizer_set_step(Arena *a, Quantizer *q, double step);
/* Signs with mean|w| for each channel, or of the whole tensor. */
Quantizer fit_signs(Arena *a, const char *scheme, const Weights *w, bool per_channel);
Quantizer fit_uniform(Arena *a, const char *scheme, const Spread *x, const RangeChoice *r, int lo, int hi);
/* The levels' thresholds and codes, in float32. */
void quantizer_set_levels(Arena *a, Quantizer *q, int n, const double *thr, const int *code);
Spread weights_spread(Arena *a, const Weights *w);

#endif
