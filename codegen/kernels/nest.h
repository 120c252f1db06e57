/* A loop nest over the elements of an output: dimensions in the order in which the output lies, joined where all
 * operands allow it. What element-wise kernels, copies and fills have in common. */
#ifndef QCC_CODEGEN_KERNELS_NEST_H
#define QCC_CODEGEN_KERNELS_NEST_H

#include "codegen/kernel.h"

typedef struct Nest {
    int rank, n_in;                               /* rank >= 1 */
    int64_t dim[MAX_RANK + 1], out[MAX_RANK + 1]; /* strides in bytes */
    int64_t in[MAX_OPERANDS][MAX_RANK + 1];
} Nest;

/* Drops dimensions of one element, sorts by the output's strides, joins neighbours. */
void nest_simplify(Nest *n);
/* Cuts dimension 0 into `units` equal parts, which become dimension 0. */
void nest_split(Nest *n, int64_t units);

#endif
