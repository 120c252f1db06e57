/* Softmax and its kin, over one axis. The row's maximum is taken off first, so that no exponential overflows and the
 * largest is exactly 1 (the usual stable form). */
#include "ir/ops/expand.h"

#include <stdio.h>

static bool infer_along_axis(Infer *c) {
    int axis;
    const Shape *s = in_shape(c->node, 0);
    if (!infer_axis(c, node_int(c->node, "axis"), s->rank, &axis)) return false;
    set_out(c, 0, 0, s);
    return true;
}

bool infer_Softmax(Infer *c) { return infer_along_axis(c); }
bool infer_LogSoftmax(Infer *c) { return infer_along_axis(c); }
bool infer_Hardmax(Infer *c) { return infer_along_axis(c); }

/* x minus its maximum along the axis. */
static Value *shift(Expand *e, int64_t axis) {
    Value *x = expand_widen(e, e->node->in[0]);
    return EXPAND(e, Sub, NULL, x, expand_reduce(e, OP_ReduceMax, x, 1, &axis));
}

void expand_Softmax(Expand *e) {
    int64_t axis = node_axis(e->node, in_shape(e->node, 0)->rank);
    Value *p = EXPAND(e, Exp, NULL, shift(e, axis));
    expand_narrow(e, 0, EXPAND(e, Div, NULL, p, expand_reduce(e, OP_ReduceSum, p, 1, &axis)));
}

void expand_LogSoftmax(Expand *e) {
    int64_t axis = node_axis(e->node, in_shape(e->node, 0)->rank);
    Value *x = shift(e, axis);
    Value *sum = expand_reduce(e, OP_ReduceSum, EXPAND(e, Exp, NULL, x), 1, &axis);
    expand_narrow(e, 0, EXPAND(e, Sub, NULL, x, EXPAND(e, Log, NULL, sum)));
}

/* One where the first maximum of the row lies, else zero. */
void expand_Hardmax(Expand *e) {
    const Shape *s = in_shape(e->node, 0);
    int axis = node_axis(e->node, s->rank);
    if (s->dim[axis] == 0) {
        expand_result(e, 0, e->node->in[0]); /* empty rows */
        return;
    }
    char attrs[48];
    snprintf(attrs, sizeof attrs, "axis=%d keepdims=1 select_last_index=0", axis);
    Value *best = EXPAND(e, ArgMax, attrs, e->node->in[0]);
    Shape row = shape_along(s->rank, axis, s->dim[axis]);
    expand_narrow(e, 0, EXPAND(e, Equal, NULL, expand_iota(e, &row), best));
}
