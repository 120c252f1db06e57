/* What the operators' files share: reading constant operands, and small rewrites. */
#ifndef QCC_IR_OPS_OPERAND_H
#define QCC_IR_OPS_OPERAND_H

#include "ir/op.h"

/* Elements of a dense constant that an operator makes up (Range, EyeLike, the positions in Trilu and OneHot): bounded,
 * as a file of a hundred bytes shall not ask for a terabyte. */
#define MAX_MADE ((int64_t)1 << 26)

/* The integers of a constant operand; given = false (and n = 0) where the operand is absent. */
typedef struct IntList {
    int64_t n;
    const int64_t *v;
    bool given;
} IntList;

/* Reads operand `operand`, a constant of rank 1 (rank 0 counts as one element) with at most `max` elements. */
bool infer_ints(Infer *c, int operand, int64_t max, IntList *out);
/* Reads a constant of exactly one element; `absent` where there is no such operand. */
bool infer_int(Infer *c, int operand, int64_t absent, int64_t *out);
/* The same axes for an operand that may be absent (then 0, 1, ... rank - 1). Sets *n. */
bool infer_axes_operand(Infer *c, int operand, int rank, int axes[MAX_RANK], int *n);
/* False after an error where operand `operand` has not this rank, or not at least it. */
bool infer_rank(Infer *c, int operand, int rank);
bool infer_rank_min(Infer *c, int operand, int rank);

/* For use after inference (pack functions, the code generator): an Infer on the node whose errors go nowhere. What was
 * resolved once resolves again, so a false result then is a bug. */
typedef struct Again {
    Infer infer;
    Diags diags;
} Again;
Infer *infer_again(Again *s, const Node *n);

/* v with other dimensions of the same count. */
Value *expand_reshape(Expand *e, Value *v, const Shape *s);
Value *expand_transpose(Expand *e, Value *v, int rank, const int *perm);
/* v as `elem`; v itself if it is. */
Value *expand_cast(Expand *e, Value *v, Elem elem);
/* A dense rank-1 i64 constant of n elements: 0, 1, ... n - 1, with the shape `s` of that count. */
Value *expand_iota(Expand *e, const Shape *s);

#endif
