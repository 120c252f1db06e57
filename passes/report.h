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

/* What became of a chain of operators from a layer's sums to codes. */
typedef struct FoldNote {
    Loc loc; /* where the chain ends */
    FoldMethod method;
    const char *kept;
    int levels;
    int64_t channels, falling; /* channels with thresholds of their own (1: the same for all); that fall as sums grow */
    int64_t runs;              /* how often the chain was computed to prove it */
} FoldNote;

typedef struct LayerNote {
    Loc loc;
    OpId op;           /* as the layer was */
    const char *why;   /* why it sums floats; NULL where it sums integers */
    const char *x, *w; /* the operands' integers, for reading: "u8 0..3", "{-1,1}"; no w: a sum of x alone */
    double lo, hi;     /* of the sums */
    VEC(FoldNote) folds;
} LayerNote;

typedef struct Report {
    Arena *arena;
    VEC(LayerNote *) layers;
} Report;

/* The note of the layer at this place, made if there is none yet; in nobody's report if r is NULL. */
LayerNote *report_layer(Report *r, Arena *a, Loc loc, OpId op);
/* What is proved of a node of the finished graph: that it computes, on every input of its own, what the network means.
 * In words: "float" where sums are of floats, so that nothing is; "proved, ..." where sums are exact and fit, and
 * "sums": are all that it stores; "operators": go through the network's own operators in their order; "bisection",
 * "enumeration": go through thresholds found so. "-" where the node neither sums nor was folded. */
const char *report_proof(const Report *r, const Node *n);
/* As a table for a terminal, or as JSON. */
void report_text(Text *t, const Report *r);
void report_json(Text *t, const Report *r);

#endif
