/* What the kernels of windows and products share: wishes, foldable dimensions, the axes of an image. */
#ifndef QCC_CODEGEN_KERNELS_LAYER_H
#define QCC_CODEGEN_KERNELS_LAYER_H

#include "codegen/kernel.h"
#include "ir/ops/window.h"

/* The dimension of a tensor of `rank` that spatial axis i (of MAX_SPATIAL, the innermost last) is; -1 if it has none.
 */
static inline int axis_dim(int rank, int i) {
    int dim = rank - MAX_SPATIAL + i;
    return dim < 2 ? -1 : dim;
}
/* Stride of a spatial axis in bytes, 0 for one that the tensor lacks. */
static inline int64_t axis_stride(const Place *p, int i) {
    int dim = axis_dim(p->shape.rank, i);
    return dim < 0 ? 0 : p->stride[dim];
}
/* Asks for channels-last order of the output and of every epilogue operand of its shape. */
void wish_channels(KernelPlan *p);
/* Asks for the zeros round operand 0 that the window reads; false if they would take more room than the tensors. */
bool wish_halo(KernelPlan *p, const Window *w);
/* Positions that windows reach behind the end of axis i. */
int64_t window_overhang(const Window *w, int i);
/* The window of a node, on MAX_SPATIAL axes. */
Window window_wide(const Node *n);
/* Address of operand 0 where the window of output position 0 begins, in its halo. */
Reg window_origin(KernelEmit *k, const Window *w);
/* True if dimensions outer and inner of the output and of the epilogue's operands can be walked as one: index i of the
 * inner one, counted on beyond its size, addresses the same element. */
bool output_folds(const KernelEmit *k, int outer, int inner);
/* True if operand i is a constant or absent. */
bool in_known(const Node *n, int i);

/* Half types are computed in f32: the type computed in, and the conversions (nothing for other types). */
Elem half_widened(Elem elem);
Reg half_widen(Emit *e, Elem elem, Reg v);
Reg half_narrow(Emit *e, Elem elem, Reg v);
/* Loads `active` of `lanes` elements of p's type, step bytes apart, widened. */
Reg any_load(Emit *e, const Place *p, Reg at, int64_t step, int lanes, int active);
/* Sums of products are in the operands' type, widened, but of integer products in i32: that type, and what any_load
 * gave of type `from` converted to it. */
Elem sum_elem(const Node *n);
Reg any_as(Emit *e, Elem from, Elem sum, Reg v);
RegType any_type(Emit *e, Elem elem, int lanes); /* of what any_load returns */
Reg any_multiply_add(Emit *e, Elem elem, Reg a, Reg b, Reg c);
/* Lanes that suit `n` elements of a type, computed widened. */
int any_lanes(const Target *t, Elem elem, int64_t n);

/* base + n * bytes. */
Reg reg_advance(Emit *e, Reg base, Reg n, int64_t bytes);
/* Takes the lowest digit of a mixed-radix number off *number. */
Reg reg_digit(Emit *e, Reg *number, int64_t radix);

/* The most lanes of any vector: of bytes in 512 bits. */
enum { MAX_LANES = 64 };

#endif
