/* What passes found out about the layers of a network, for the user: which of them sum integers, and how their
 * activations became thresholds, or why not. */
#ifndef QCC_PASSES_REPORT_H
#define QCC_PASSES_REPORT_H

#include "quant/range.h"

typedef enum FoldMethod {
    FOLD_NONE,       /* kept as the chain of operators that it is: `kept` says why */
    FOLD_BISECTION,  /* shown to be monotone instruction by instruction; each threshold found by bisection */
    FOLD_ENUMERATION /* computed for every value that the sums can take */
} FoldMethod;

typedef struct LayerNote {
    Loc loc;
    OpId op;           /* as the layer was */
    const char *why;   /* why it sums floats; NULL where it sums integers */
    const char *x, *w; /* the operands' integers, for reading: "u8 0..3", "{-1,1}" */
    double lo, hi;     /* of the sums */
    /* What follows it, where that gives integers. */
    bool quantized;
    FoldMethod method;
    const char *kept;
    int levels;
    int64_t channels, falling; /* channels with thresholds of their own (1: the same for all); that fall as sums grow */
    int64_t runs;              /* how often the chain was computed to prove it */
} LayerNote;

typedef struct Report {
    Arena *arena;
    VEC(LayerNote *) layers;
} Report;

/* The note of the layer at this place, made if there is none yet; in nobody's report if r is NULL. */
LayerNote *report_layer(Report *r, Arena *a, Loc loc, OpId op);
/* As a table for a terminal, or as JSON. */
void report_text(Text *t, const Report *r);
void report_json(Text *t, const Report *r);

#endif
