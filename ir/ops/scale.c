/* Checks of scales, zero points and widths, and what the expansions of operators on codes are written with. */
#include "ir/ops/scale.h"

#include <inttypes.h>
#include <math.h>

static int64_t stored(const Tensor *t) {
    return t->splat ? i64_min(1, shape_count(&t->type.shape)) : shape_count(&t->type.shape);
}

static const char *name_of(const Infer *c, int operand) {
    const OpDef *def = op_def(c->node->op);
    return operand < def->n_in ? def->in[operand].name : def->in[def->n_in - 1].name;
}

static bool check_values(Infer *c, int operand, bool positive) {
    const Tensor *t = in_const(c->node, operand);
    for (int64_t i = 0; t && i < stored(t); i++) {
        double v = tensor_get(t, i);
        if (isfinite(v) && (!positive || v > 0)) continue;
        return infer_error(c, D_OPERAND_VALUE, operand, "element %" PRId64 " of %s is %g; wanted a %s number", i,
                           name_of(c, operand), v, positive ? "positive, finite" : "finite");
    }
    return true;
}

bool infer_finite(Infer *c, int operand) { return check_values(c, operand, false); }
bool infer_scales(Infer *c, int operand) { return check_values(c, operand, true); }

bool infer_single(Infer *c, int operand) {
    if (!has_in(c->node, operand) || shape_count(in_shape(c->node, operand)) == 1) return true;
    return infer_error(c, D_OPERAND_SHAPE, operand, "shape %s; wanted one element",
                       shape_str(c->arena, in_shape(c->node, operand)));
}

bool infer_spreads(Infer *c, int operand, const Shape *to) {
    Shape s;
    const Shape *from = in_shape(c->node, operand);
    if (shape_count(from) == 1 || (shape_broadcast(from, to, &s) && shape_equal(&s, to))) return true;
    return infer_error(c, D_OPERAND_SHAPE, operand, "shape %s; wanted one that broadcasts to %s",
                       shape_str(c->arena, from), shape_str(c->arena, to));
}

bool infer_whole(Infer *c, int operand, const char *what, int low, int high, int *out) {
    const Tensor *t = in_const(c->node, operand);
    if (!t || stored(t) < 1) return infer_error(c, D_OPERAND_SHAPE, operand, "no %s is given", what);
    double first = tensor_get(t, 0);
    for (int64_t i = 0; i < stored(t); i++) {
        double v = tensor_get(t, i);
        if (!(v >= low && v <= high && v == floor(v)))
            return infer_error(c, D_OPERAND_VALUE, operand, "the %s is %g; wanted a whole number from %d to %d", what,
                               v, low, high);
        if (v != first)
            return infer_error(c, D_UNSUPPORTED_FORM, operand, "the %s differs within the tensor: %g and %g", what,
                               first, v);
    }
    *out = (int)first;
    return true;
}

Elem code_elem(double low, double high) {
    static const Elem order[] = {QCC_U8, QCC_I8, QCC_I16, QCC_I32, QCC_U32};
    for (size_t i = 0; i < COUNT_OF(order); i++) {
        int bits = elem_info[order[i]].bits;
        bool is_signed = elem_info[order[i]].kind == ELEM_I;
        if (low >= (is_signed ? -ldexp(1, bits - 1) : 0) && high < ldexp(1, is_signed ? bits - 1 : bits))
            return order[i];
    }
    return QCC_I64;
}

Value *expand_factor(Expand *e, int operand, Elem elem) {
    if (!has_in(e->node, operand)) return NULL;
    Value *v = expand_cast(e, e->node->in[operand], elem);
    return shape_count(&v->type.shape) == 1 ? expand_reshape(e, v, &(Shape){.rank = 0}) : v;
}

Value *expand_shift(Expand *e, int operand, Elem elem) {
    const Tensor *t = in_const(e->node, operand);
    bool zero = t != NULL;
    for (int64_t i = 0; zero && i < stored(t); i++) zero = tensor_get(t, i) == 0;
    return zero ? NULL : expand_factor(e, operand, elem);
}

bool infer_as(Infer *c, OpId op, int n_in, Value *const *in, Shape *out) {
    Node inside = *c->node;
    Value y = {.graph = c->node->graph}, *outs[] = {&y};
    inside.op = op;
    inside.in = (Value **)(uintptr_t)in;
    inside.n_in = n_in;
    inside.out = outs;
    inside.n_out = 1;
    Infer i = {.arena = c->arena, .diags = c->diags, .node = &inside};
    if (!op_def(op)->infer(&i)) return false;
    *out = y.type.shape;
    return true;
}

Value *expand_as(Expand *e, OpId op, int n_in, Value *const *in) {
    const Node *n = e->node;
    Node *inside = graph_node(e->graph, e->node, op, n->loc, n_in, in, 1);
    for (int i = 0; i < n->n_attr; i++) node_set_attr(inside, &n->attr[i]);
    if (!node_infer(e->diags, inside))
        bug("expanding %s: its %s does not infer", op_def(n->op)->name, op_def(op)->name);
    return inside->out[0];
}

Value *expand_saturate(Expand *e, Value *v, Elem elem) {
    int bits = elem_info[elem].bits;
    bool is_signed = elem_info[elem].kind == ELEM_I;
    double low = is_signed ? -ldexp(1, bits - 1) : 0, high = ldexp(1, is_signed ? bits - 1 : bits) - 1;
    Elem work = v->type.elem;
    return expand_cast(e, EXPAND(e, Clip, NULL, v, expand_scalar(e, work, low), expand_scalar(e, work, high)), elem);
}
