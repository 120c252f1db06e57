/* Transpose, Slice and Expand read their operand through a strided view: result element (i0, i1, ...) is element
 * offset + sum(i_k * stride[k]) of operand 0, counted in elements. Strides may be 0 (Expand) or negative (Slice). */
#ifndef QCC_IR_OPS_STRIDED_H
#define QCC_IR_OPS_STRIDED_H

#include "ir/ir.h"

typedef struct Strided {
    int64_t offset, stride[MAX_RANK]; /* one stride per dimension of the result */
} Strided;

/* Of an inferred node of one of these three operators. */
Strided strided_of_node(const Node *n);

/* What Pad does along each axis: it keeps the elements [keep_from, keep_to) of its operand and puts them at `begin` of
 * the result (keep_from > 0 or keep_to < dim where a pad is negative). */
typedef struct PadAxis {
    int64_t begin, keep_from, keep_to;
} PadAxis;
typedef enum PadMode { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE, PAD_WRAP } PadMode;
/* Of an inferred Pad; fills one entry per axis. */
PadMode pad_of_node(const Node *n, PadAxis axes[MAX_RANK]);

#endif
