/* NumPy's array format (NEP 1), in memory. */
#ifndef QCC_FRONTEND_NPY_H
#define QCC_FRONTEND_NPY_H

#include "frontend/proto.h"
#include "ir/ir.h"

/* The array in the bytes of a .npy file; `what` names it in diagnostics. NULL after a diagnostic. The data is copied.
 */
const Tensor *npy_parse(Arena *a, Diags *d, const char *what, ProtoBytes b);
/* A .npy file, version 1.0. What NumPy has no type for is widened: bfloat16 to float32, less than 8 bits to a byte. */
ProtoBytes npy_format(Arena *a, const Tensor *t);

#endif
