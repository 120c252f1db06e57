/* Operators that choose between two values by position: Trilu and OneHot, both a comparison of positions and a Where.
 */
#include "ir/ops/operand.h"

bool infer_Trilu(Infer *c) {
    if (!infer_rank_min(c, 0, 2)) return false;
    if (has_in(c->node, 1) && shape_count(in_shape(c->node, 1)) != 1)
        return infer_error(c, D_OPERAND_SHAPE, 1, "%s; a scalar is wanted", shape_str(c->arena, in_shape(c->node, 1)));
    const Shape *s = in_shape(c->node, 0);
    if (i64_max(s->dim[s->rank - 2], s->dim[s->rank - 1]) > MAX_MADE)
        return infer_error(c, D_SIZE_LIMIT, 0, "a matrix with a side of more than %lld", (long long)MAX_MADE);
    set_out(c, 0, 0, s);
    return true;
}

/* Kept where column >= row + k (upper), or column <= row + k. */
void expand_Trilu(Expand *e) {
    Node *n = e->node;
    const Shape *s = in_shape(n, 0);
    Value *row = expand_iota(e, &(Shape){.rank = 2, .dim = {s->dim[s->rank - 2], 1}});
    Value *col = expand_iota(e, &(Shape){.rank = 2, .dim = {1, s->dim[s->rank - 1]}});
    if (has_in(n, 1)) row = EXPAND(e, Add, NULL, row, expand_reshape(e, n->in[1], &(Shape){0}));
    Value *keep =
        node_int(n, "upper") ? EXPAND(e, GreaterOrEqual, NULL, col, row) : EXPAND(e, LessOrEqual, NULL, col, row);
    expand_result(e, 0, EXPAND(e, Where, NULL, keep, n->in[0], expand_scalar(e, in_elem(n, 0), 0)));
}

bool infer_OneHot(Infer *c) {
    const Shape *in = in_shape(c->node, 0), *values = in_shape(c->node, 2);
    const Tensor *depth = in_const(c->node, 1);
    int axis;
    if (values->rank != 1 || values->dim[0] != 2)
        return infer_error(c, D_OPERAND_SHAPE, 2, "%s; the values are [off, on]", shape_str(c->arena, values));
    if (shape_count(&depth->type.shape) != 1)
        return infer_error(c, D_OPERAND_SHAPE, 1, "%s; a scalar is wanted", shape_str(c->arena, &depth->type.shape));
    if (!infer_axis(c, node_int(c->node, "axis"), in->rank + 1, &axis)) return false;
    double d = tensor_get(depth, 0);
    if (!(d >= 1 && d <= (double)MAX_MADE))
        return infer_error(c, D_OPERAND_VALUE, 1, "the depth is %g; 1 to %lld is wanted", d, (long long)MAX_MADE);
    if (in->rank == MAX_RANK)
        return infer_error(c, D_OPERAND_SHAPE, 0, "rank %d is the largest; none can be added", MAX_RANK);
    Shape s = {.rank = in->rank + 1};
    for (int i = 0, from = 0; i < s.rank; i++) s.dim[i] = i == axis ? (int64_t)d : in->dim[from++];
    set_out(c, 0, in_elem(c->node, 2), &s);
    return true;
}

/* Negative indices count from the end; those outside [-depth, depth) meet no position. */
void expand_OneHot(Expand *e) {
    Node *n = e->node;
    const Shape *out = &n->out[0]->type.shape;
    int64_t axis = node_int(n, "axis") + (node_int(n, "axis") < 0 ? out->rank : 0);
    Shape at = *out, along = {.rank = out->rank};
    for (int i = 0; i < out->rank; i++) along.dim[i] = i == axis ? out->dim[axis] : 1;
    at.dim[axis] = 1;
    Value *idx = expand_reshape(e, expand_cast(e, n->in[0], QCC_I64), &at);
    Value *wrapped = EXPAND(e, Add, NULL, idx, expand_scalar(e, QCC_I64, (double)out->dim[axis]));
    idx = EXPAND(e, Where, NULL, EXPAND(e, Less, NULL, idx, expand_scalar(e, QCC_I64, 0)), wrapped, idx);
    Value *hit = EXPAND(e, Equal, NULL, idx, expand_iota(e, &along));
    Value *off = EXPAND(e, Slice, NULL, n->in[2], expand_int(e, 0), expand_int(e, 1));
    Value *on = EXPAND(e, Slice, NULL, n->in[2], expand_int(e, 1), expand_int(e, 2));
    expand_result(e, 0, EXPAND(e, Where, NULL, hit, on, off));
}
