/* Finding the integers behind float tensors, and building what computes them. */
#ifndef QCC_PASSES_CODES_H
#define QCC_PASSES_CODES_H

#include "quant/range.h"

/* A float value is fl32(ints * scale): ints is a value of i8, u8, i16 or u16, scale an f32 value of one element (a
 * constant, or known at run time only), or NULL for 1. */
typedef struct Codes {
    Value *ints, *scale;
} Codes;

typedef struct CodeTable {
    Graph *graph;
    Ranges ranges;
    Map known; /* Value -> Codes */
    int depth;
    const char *why; /* of the last failure: what has no integers */
} CodeTable;

/* The integers behind v. Where they are not there yet the nodes that make them are put right behind v's own: a Cast of
 * what is proved to be whole, or what moves v's elements once more, on integers. NULL, and t->why set, if v is no
 * scaled integer. */
const Codes *codes_of(CodeTable *t, Value *v);

/* ---- building, in front of a node (NULL: at the end) ---- */

Value *build_node(Graph *g, Node *before, Loc loc, OpId op, const char *attrs, int n_in, Value *const *in);
Value *build_cast(Graph *g, Node *before, Loc loc, Value *v, Elem to);
Value *build_reshape(Graph *g, Node *before, Loc loc, Value *v, const Shape *s);
/* p * q and p / q in f32, with NULL for 1; constants are computed at once. The shapes broadcast. */
Value *build_factor(Graph *g, Node *before, Loc loc, Value *p, Value *q);
Value *build_ratio(Graph *g, Node *before, Loc loc, Value *p, Value *q);

#endif
