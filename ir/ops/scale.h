/* What the operators on codes share: checks of their parameters, and codes of a given range. */
#ifndef QCC_IR_OPS_SCALE_H
#define QCC_IR_OPS_SCALE_H

#include "ir/ops/expand.h"

/* If operand `operand` is a constant, each of its elements must be finite; of scales that are divided by, positive too.
 * False after an error. What is computed at run time is not looked at. */
bool infer_finite(Infer *c, int operand);
bool infer_scales(Infer *c, int operand);
/* Operand `operand`, if there is one, must have one element. */
bool infer_single(Infer *c, int operand);
/* Operand `operand` must broadcast to shape `to` without making it larger. */
bool infer_spreads(Infer *c, int operand, const Shape *to);
/* A constant of equal whole numbers in [low, high], whatever its type; `what` names it in messages. */
bool infer_whole(Infer *c, int operand, const char *what, int low, int high, int *out);

/* The first of u8, i8, i16, i32, u32, i64 that holds the whole numbers from low to high. */
Elem code_elem(double low, double high);
/* Operand i in type `elem`, reshaped to a scalar if it has one element; NULL where it is absent. */
Value *expand_factor(Expand *e, int operand, Elem elem);
/* The same; NULL also where it is a constant of zeros, which is as good as absent. */
Value *expand_shift(Expand *e, int operand, Elem elem);
/* v, whole numbers of a float type, cut to the range of `elem` and converted. */
Value *expand_saturate(Expand *e, Value *v, Elem elem);

/* Infers `op` on these operands with the node's attributes, as if it stood in its place: the shape of its result. */
bool infer_as(Infer *c, OpId op, int n_in, Value *const *in, Shape *out);
/* The same as a node in front. */
Value *expand_as(Expand *e, OpId op, int n_in, Value *const *in);

#endif
