/* Short forms of what expand functions build most, beside those of operand.h. */
#ifndef QCC_IR_OPS_EXPAND_H
#define QCC_IR_OPS_EXPAND_H

#include "ir/ops/operand.h"

/* The node's attribute `axis`, already checked by infer, brought to [0, rank). */
int node_axis(const Node *n, int rank);
/* Shape `s` with its first `keep` dimensions and ones for the rest, rank kept. */
Shape shape_head(const Shape *s, int keep);
/* Rank `rank`, all ones but dimension `axis`, which is n: how a vector lies along one axis of a tensor. */
Shape shape_along(int rank, int axis, int64_t n);
/* The type in which floats of type e are computed: f32 for the half types, else e itself. */
Elem elem_wide(Elem e);

/* v computed in elem_wide of its type. */
Value *expand_widen(Expand *e, Value *v);
/* Makes v, cast to the type of the node's output, that output's result. Skips absent outputs. */
void expand_narrow(Expand *e, int output, Value *v);
Value *expand_broadcast(Expand *e, Value *v, const Shape *s);
Value *expand_slice(Expand *e, Value *v, int axis, int64_t start, int64_t end);
Value *expand_concat(Expand *e, int axis, Value *p, Value *q);
/* Reduces over the n axes, which stay as ones. op is one of the Reduce operators. */
Value *expand_reduce(Expand *e, OpId op, Value *v, int n, const int64_t *axes);
/* Codes v of at most 8 bits less their zero points (NULL: none), in i16; v itself where nothing is taken off. A single
 * zero point is for all, others have a shape that broadcasts to v's. */
Value *expand_centred(Expand *e, Value *v, Value *zero);
Value *expand_constant(Expand *e, const Tensor *t);

#endif
