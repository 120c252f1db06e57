#include "ir/ops/expand.h"

#include <stdio.h>

int node_axis(const Node *n, int rank) {
    int64_t axis = node_int(n, "axis");
    return (int)(axis < 0 ? axis + rank : axis);
}

Shape shape_head(const Shape *s, int keep) {
    Shape r = *s;
    for (int i = keep; i < r.rank; i++) r.dim[i] = 1;
    return r;
}

Shape shape_along(int rank, int axis, int64_t n) {
    Shape r = {.rank = rank};
    for (int i = 0; i < rank; i++) r.dim[i] = i == axis ? n : 1;
    return r;
}

Elem elem_wide(Elem e) { return e == QCC_F16 || e == QCC_BF16 ? QCC_F32 : e; }

Value *expand_widen(Expand *e, Value *v) { return expand_cast(e, v, elem_wide(v->type.elem)); }

void expand_narrow(Expand *e, int output, Value *v) {
    if (has_out(e->node, output)) expand_result(e, output, expand_cast(e, v, e->node->out[output]->type.elem));
}

Value *expand_broadcast(Expand *e, Value *v, const Shape *s) {
    if (shape_equal(&v->type.shape, s)) return v;
    return EXPAND(e, Expand, NULL, v, expand_ints(e, s->rank, s->dim));
}

Value *expand_slice(Expand *e, Value *v, int axis, int64_t start, int64_t end) {
    if (start == 0 && end == v->type.shape.dim[axis]) return v;
    return EXPAND(e, Slice, NULL, v, expand_int(e, start), expand_int(e, end), expand_int(e, axis));
}

Value *expand_concat(Expand *e, int axis, Value *p, Value *q) {
    char attrs[32];
    snprintf(attrs, sizeof attrs, "axis=%d", axis);
    return EXPAND(e, Concat, attrs, p, q);
}

Value *expand_reduce(Expand *e, OpId op, Value *v, int n, const int64_t *axes) {
    Value *in[] = {v, expand_ints(e, n, axes)};
    return expand_node(e, op, "keepdims=1 noop_with_empty_axes=1", 2, in);
}

Value *expand_constant(Expand *e, const Tensor *t) { return graph_constant(e->graph, "", t); }

static bool all_zero(const Tensor *t) {
    int64_t n = t->splat ? 1 : shape_count(&t->type.shape);
    for (int64_t i = 0; i < n; i++)
        if (tensor_get_int(t, i) != 0) return false;
    return true;
}

Value *expand_centred(Expand *e, Value *v, Value *zero) {
    if (!zero || (zero->constant && all_zero(zero->constant))) return v;
    zero = expand_cast(e, zero, QCC_I16);
    if (shape_count(&zero->type.shape) == 1) zero = expand_reshape(e, zero, &(Shape){.rank = 0});
    return EXPAND(e, Sub, NULL, expand_cast(e, v, QCC_I16), zero);
}
