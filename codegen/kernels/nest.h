/* Loop nests over the elements of an output, shared by element-wise kernels, copies and fills; and plain loops over
 * indices for kernels that work line by line. */
#ifndef QCC_CODEGEN_KERNELS_NEST_H
#define QCC_CODEGEN_KERNELS_NEST_H

#include "codegen/kernel.h"

enum { NEST_RANK = 2 * MAX_RANK };

/* Dimensions from outer to inner, with a stride in bytes for the output and each operand. */
typedef struct Nest {
    int rank, n_in;
    int64_t dim[NEST_RANK], out[NEST_RANK];
    int64_t in[MAX_OPERANDS][NEST_RANK];
} Nest;

/* Drops dimensions of one element, sorts by the output's strides, joins neighbours where all operands allow it, so that
 * a dense tensor is one row. rank >= 1 afterwards. */
void nest_simplify(Nest *n);
/* Adds an innermost dimension with its stride in the output and, of one operand, in that. */
void nest_add(Nest *n, int64_t dim, int64_t out, int64_t in0);

/* out = program(in...) over a simplified nest whose first elements are at the given addresses. The work is shared by
 * the tasks of `k` if `tasks` is set. */
typedef struct NestWork {
    const Expr *expr;
    const Reg *in;
    const Elem *in_elem;
    Reg out;
    Elem out_elem;
    bool tasks;
} NestWork;
void nest_emit(KernelEmit *k, Nest *n, const NestWork *w);
/* Vector lanes for a program on a target: by its widest type, counting at most 32 bits of it. */
int nest_lanes(const Target *t, const Expr *x);

const Expr *expr_copy(Arena *a, Elem e);                /* in0 */
const Expr *expr_convert(Arena *a, Elem from, Elem to); /* cast of in0 */

/* Loops over all dimensions of `s` but those in the bit set `skip`, leaving their indices in idx (skipped ones: 0). If
 * the kernel has several tasks they share the largest of these dimensions. */
typedef struct Lines {
    int n;
    Loop loops[MAX_RANK];
    Index idx[MAX_RANK];
} Lines;
Lines lines_open(KernelEmit *k, const Shape *s, unsigned skip);
void lines_close(KernelEmit *k, Lines *l);
/* The number of tasks that lines_open can share out. */
int64_t lines_tasks(const KernelPlan *p, const Shape *s, unsigned skip, int64_t ops);

#endif
