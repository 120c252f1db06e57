/* What the gathering and scattering operators share: checks of their indices, and positions in a flattened tensor. */
#ifndef QCC_IR_OPS_INDEX_H
#define QCC_IR_OPS_INDEX_H

#include "ir/ops/expand.h"

/* If operand i is a constant: every element must be in [-dim, dim). */
bool check_indices(Infer *c, int i, int64_t dim);
/* If operand i is a constant of index tuples (its last dimension): component j of each must be in [-dims[j], dims[j]).
 */
bool check_index_tuples(Infer *c, int i, const int64_t *dims);
/* The index tensor of *Elements operators must have data's rank and, but along `axis`, no larger dimensions. */
bool check_element_indices(Infer *c, int axis);
/* i64 indices brought from [-n, n) to [0, n); what is outside goes to the nearest end. `n` broadcasts to them. */
Value *expand_wrapped(Expand *e, Value *indices, Value *n);
/* For the index tensor of a *Elements operator: the position of each element in `data` flattened. */
Value *expand_element_positions(Expand *e, Value *indices, const Shape *data, int axis);
/* For index tuples into dimensions [first, first + k) of `data`, k being the last dimension of `indices`: positions in
 * data with these dimensions made one. The last dimension of the result is 1. */
Value *expand_tuple_positions(Expand *e, Value *indices, const Shape *data, int first);
/* `data` with dimensions [first, last) made one. */
Shape shape_merged(const Shape *data, int first, int last);

#endif
