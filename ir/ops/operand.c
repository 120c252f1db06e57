/* Constant operands and the small rewrites that several operators share. */
#include "ir/ops/operand.h"

bool infer_ints(Infer *c, int operand, int64_t max, IntList *out) {
    *out = (IntList){0};
    if (!has_in(c->node, operand)) return true;
    const Tensor *t = in_const(c->node, operand);
    if (!t)
        return infer_error(c, D_CONST_UNBOUND, operand, "the operand is computed at run time; it must be a constant");
    if (t->type.shape.rank > 1)
        return infer_error(c, D_OPERAND_SHAPE, operand, "a list of rank %d; it must have rank 1", t->type.shape.rank);
    if (shape_count(&t->type.shape) > max)
        return infer_error(c, D_OPERAND_SHAPE, operand, "a list of %lld elements; at most %lld have a meaning here",
                           (long long)shape_count(&t->type.shape), (long long)max);
    out->v = tensor_ints(c->arena, t, &out->n);
    out->given = true;
    return true;
}

bool infer_int(Infer *c, int operand, int64_t absent, int64_t *out) {
    IntList list;
    *out = absent;
    if (!infer_ints(c, operand, 1, &list)) return false;
    if (!list.given) return true;
    if (list.n != 1) return infer_error(c, D_OPERAND_SHAPE, operand, "an empty list; one element is wanted");
    *out = list.v[0];
    return true;
}

bool infer_axes_operand(Infer *c, int operand, int rank, int axes[MAX_RANK], int *n) {
    IntList list;
    if (!infer_ints(c, operand, rank, &list)) return false;
    *n = list.given ? (int)list.n : rank;
    if (list.given) return infer_axes(c, list.n, list.v, rank, axes);
    for (int i = 0; i < rank; i++) axes[i] = i;
    return true;
}

bool infer_rank(Infer *c, int operand, int rank) {
    int found = in_shape(c->node, operand)->rank;
    return found == rank || infer_error(c, D_OPERAND_SHAPE, operand, "rank %d; rank %d is wanted", found, rank);
}

bool infer_rank_min(Infer *c, int operand, int rank) {
    int found = in_shape(c->node, operand)->rank;
    return found >= rank ||
           infer_error(c, D_OPERAND_SHAPE, operand, "rank %d; at least rank %d is wanted", found, rank);
}

Infer *infer_again(Again *s, const Node *n) {
    diags_init(&s->diags, n->graph->arena);
    s->infer = (Infer){.arena = n->graph->arena, .diags = &s->diags, .node = (Node *)(uintptr_t)n};
    return &s->infer;
}

Value *expand_reshape(Expand *e, Value *v, const Shape *s) {
    if (shape_equal(&v->type.shape, s)) return v;
    return EXPAND(e, Reshape, "allowzero=1", v, expand_ints(e, s->rank, s->dim));
}

Value *expand_transpose(Expand *e, Value *v, int rank, const int *perm) {
    Text t = {.arena = e->graph->arena};
    for (int i = 0; i < rank; i++) text_add(&t, "%s%d", i ? "," : "perm=", perm[i]);
    return EXPAND(e, Transpose, t.s, v);
}

Value *expand_cast(Expand *e, Value *v, Elem elem) {
    if (v->type.elem == elem) return v;
    return EXPAND(e, Cast, arena_printf(e->graph->arena, "to=%d", (int)elem), v);
}

Value *expand_iota(Expand *e, const Shape *s) {
    Tensor *t = tensor_new(e->graph->arena, (Type){QCC_I64, *s});
    int64_t *v = tensor_data(t), n = shape_count(s);
    for (int64_t i = 0; i < n; i++) v[i] = i;
    return graph_constant(e->graph, "", t);
}
