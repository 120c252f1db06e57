/* What the operators' pack and expand functions are written with. */
#include "ir/op.h"

void pack_int(Pack *p, int64_t v) { vec_push(p->arena, &p->ints, v); }

void pack_ints(Pack *p, int64_t n, const int64_t *v) {
    for (int64_t i = 0; i < n; i++) pack_int(p, v[i]);
}

void pack_float(Pack *p, double v) { vec_push(p->arena, &p->floats, v); }

void node_pack(Arena *a, const Node *n, Pack *out) {
    const OpDef *def = op_def(n->op);
    if (def->kind != OP_REF) bug("node_pack: %s has no reference kernel", def->name);
    *out = (Pack){.node = n, .arena = a};
    def->pack(out);
}

/* What an expansion builds follows from operands that passed the operator's own checks, so it infers, unless it is too
 * large. */
Value *expand_node(Expand *e, OpId op, const char *attrs, int n_in, Value *const *in) {
    Node *n = graph_node(e->graph, e->node, op, e->node->loc, n_in, in, 1);
    if (attrs) node_set_attrs_text(n, attrs);
    if (node_infer(e->diags, n)) return n->out[0];
    if (type_bytes(&n->out[0]->type) < 0) longjmp(e->refused, 1);
    bug("expanding %s: its %s does not infer", op_def(e->node->op)->name, op_def(op)->name);
}

Value *expand_ints(Expand *e, int64_t n, const int64_t *v) { return graph_const_ints(e->graph, "", n, v); }

Value *expand_int(Expand *e, int64_t v) { return expand_ints(e, 1, &v); }

Value *expand_scalar(Expand *e, Elem elem, double v) {
    Tensor *t = tensor_new(e->graph->arena, (Type){.elem = elem});
    tensor_set(t, 0, v);
    return graph_constant(e->graph, "", t);
}

void expand_result(Expand *e, int output, Value *v) {
    if (!has_out(e->node, output)) return;
    Value *old = e->node->out[output];
    if (!type_equal(&old->type, &v->type)) {
        bug("expanding %s: output %d is %s, not %s", op_def(e->node->op)->name, output,
            type_str(e->graph->arena, &v->type), type_str(e->graph->arena, &old->type));
    }
    graph_replace(e->graph, old, v);
}

bool node_expand(Diags *d, Node *n) {
    const OpDef *def = op_def(n->op);
    if (def->kind != OP_EXPAND || n->expr) bug("node_expand: %s cannot be expanded here", def->name);
    Expand e = {.graph = n->graph, .node = n, .diags = d};
    int errors = d->n_errors;
    if (setjmp(e.refused)) return false;
    def->expand(&e);
    if (d->n_errors != errors) return false;
    graph_erase(n);
    return true;
}
