/* TopK. */
#include "ir/ops/expand.h"

#include <inttypes.h>

bool infer_TopK(Infer *c) {
    const Node *n = c->node;
    int axis;
    Shape s = *in_shape(n, 0);
    if (!infer_axis(c, node_int(n, "axis"), s.rank, &axis)) return false;
    if (shape_count(in_shape(n, 1)) != 1)
        return infer_error(c, D_OPERAND_SHAPE, 1, "k of shape %s; wanted one element",
                           shape_str(c->arena, in_shape(n, 1)));
    int64_t k = tensor_get_int(in_const(n, 1), 0);
    if (k < 0 || k > s.dim[axis])
        return infer_error(c, D_OPERAND_VALUE, 1, "k is %" PRId64 "; wanted 0 to %" PRId64 ", the length of axis %d", k,
                           s.dim[axis], axis);
    s.dim[axis] = k;
    set_out(c, 0, 0, &s);
    set_out(c, 1, QCC_I64, &s);
    return true;
}

void pack_TopK(Pack *p) {
    pack_int(p, node_axis(p->node, in_shape(p->node, 0)->rank));
    pack_int(p, node_int(p->node, "largest") != 0);
}
