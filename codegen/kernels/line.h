/* What kernels that walk along lines share: a line runs along one axis of operand 0, which is the first parameter of
 * the reference kernel. */
#ifndef QCC_CODEGEN_KERNELS_LINE_H
#define QCC_CODEGEN_KERNELS_LINE_H

#include "codegen/kernels/nest.h"
#include "ir/op.h"

/* The axis; all parameters are left in *pack. */
int line_axis(Arena *a, const Node *n, Pack *pack);
/* Accepts numbers of 8 bits and more, in at least one line; an element of a line costs `cost` operations. */
bool plan_line(KernelPlan *p, int64_t cost);
/* The type in which elements are compared: f32 for the half types. */
Elem line_elem(Elem e);
Reg line_convert(Emit *e, Elem from, Elem to, Reg v);
/* Element i (i64) of the line that begins at `line`, as type `as`. */
Reg line_load(KernelEmit *k, Reg line, int axis, Reg i, Elem as);
Reg line_less(Emit *e, Elem elem, Reg a, Reg b);

#endif
