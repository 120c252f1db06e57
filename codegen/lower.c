/* Legalisation: afterwards the graph holds Map, views and operators with kernels of their own. Operators that are
 * defined by others are written out, element-wise ones become Map, and constants of one value move into the programs
 * that use them. */
#include "codegen/program.h"
#include "ir/op.h"
#include "ir/ops/strided.h"

/* ---- constants in programs ----------------------------------------------------------------------------------- */

static bool one_value(const Value *v) {
    return v->constant && (v->constant->splat || shape_count(&v->type.shape) == 1);
}

static X constant(ExprBuilder *b, const Value *v) {
    Elem elem = v->type.elem;
    return elem_is_float(elem) ? x_const(b, elem, tensor_get(v->constant, 0))
                               : x_const_int(b, elem, tensor_get_int(v->constant, 0));
}

/* The element type of a program's input `k`, or 0 if it does not use it. */
static Elem input_elem(const Expr *x, int k) {
    for (int i = 0; i < x->n; i++)
        if (x->inst[i].op == X_INPUT && x->inst[i].k.i == k) return x->inst[i].elem;
    return 0;
}

/* Operands from `first` on feed the program's inputs from `lead` on; those of one value become constants in it. */
static void absorb_constants(Program *p, Node *n, int first, int lead) {
    int found = 0;
    for (int i = first; i < n->n_in; i++) found += one_value(n->in[i]);
    if (!found) return;
    ExprBuilder b = {.arena = p->arena};
    X *args = NEW_ARRAY(p->arena, X, n->n_in - first + lead);
    int kept = first;
    if (lead) args[0] = x_in(&b, 0, input_elem(n->expr, 0));
    for (int i = first; i < n->n_in; i++) {
        Value *v = n->in[i];
        args[i - first + lead] = one_value(v) ? constant(&b, v) : x_in(&b, kept - first + lead, v->type.elem);
        if (!one_value(v)) node_set_in(n, kept++, v);
    }
    n->expr = x_finish(&b, x_inline(&b, n->expr, args), kept - first + lead);
    for (int i = kept; i < n->n_in; i++) node_set_in(n, i, NULL);
    n->n_in = kept;
}

static void absorb(Program *p, Node *n) {
    if (n->op == OP_Map)
        absorb_constants(p, n, 0, 0);
    else if (n->expr && input_elem(n->expr, 0))
        absorb_constants(p, n, n->epilogue_in, 1);
}

void value_succeed(Value *old, Value *new_value) {
    graph_replace(old->graph, old, new_value);
    int id = old->id;
    old->id = new_value->id;
    new_value->id = id;
}

void node_unfuse(Program *p, Node *n) {
    int more = n->n_in - n->epilogue_in;
    Value *old = n->out[0], **in = NEW_ARRAY(p->arena, Value *, more + 1);
    in[0] = old;
    for (int i = 0; i < more; i++) in[i + 1] = n->in[n->epilogue_in + i];
    Node *m = graph_node(p->graph, n->next, OP_Map, n->loc, more + 1, in, 1);
    m->expr = n->expr;
    m->out[0]->type = old->type;
    Elem before = input_elem(n->expr, 0);
    value_succeed(old, m->out[0]);
    node_set_in(m, 0, old);
    if (before) old->type.elem = before;
    for (int i = n->epilogue_in; i < n->n_in; i++) node_set_in(n, i, NULL);
    n->n_in = n->epilogue_in;
    n->expr = NULL;
}

/* ---- operators ----------------------------------------------------------------------------------------------- */

static void to_map(Program *p, Node *n) {
    Value **in = NEW_ARRAY(p->arena, Value *, n->n_in);
    int n_in = 0;
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i]) in[n_in++] = n->in[i];
    Node *m = graph_node(p->graph, n, OP_Map, n->loc, n_in, in, 1);
    m->expr = expr_of_node(p->arena, n);
    m->out[0]->type = n->out[0]->type;
    value_succeed(n->out[0], m->out[0]);
    graph_erase(n);
    absorb(p, m);
}

/* A Pad that takes elements away is a Slice and then a Pad that only adds. False after diagnostics. */
static bool split_pad(Program *p, Node *n) {
    PadAxis axes[MAX_RANK];
    const Shape *in = in_shape(n, 0), *out = &n->out[0]->type.shape;
    int64_t start[MAX_RANK], end[MAX_RANK], pads[2 * MAX_RANK];
    bool cuts = false;
    pad_of_node(n, axes);
    for (int d = 0; d < in->rank; d++) {
        start[d] = axes[d].keep_from;
        end[d] = axes[d].keep_to;
        cuts = cuts || start[d] > 0 || end[d] < in->dim[d];
        pads[d] = axes[d].begin;
        pads[in->rank + d] = out->dim[d] - axes[d].begin - i64_max(0, end[d] - start[d]);
    }
    if (!cuts) return true;
    Graph *g = p->graph;
    Value *bounds[] = {n->in[0], graph_const_ints(g, "", in->rank, start), graph_const_ints(g, "", in->rank, end)};
    Node *slice = graph_node(g, n, OP_Slice, n->loc, 3, bounds, 1);
    if (!node_infer(p->diags, slice)) return false;
    node_set_in(n, 0, slice->out[0]);
    node_set_in(n, 1, graph_const_ints(g, "", 2 * (int64_t)in->rank, pads));
    if (n->n_in > 3) node_set_in(n, 3, NULL);
    return true;
}

static bool lower_node(Program *p, Node *n) {
    switch (op_def(n->op)->kind) {
    case OP_EXPR:
        if (n->op != OP_Map)
            to_map(p, n);
        else
            absorb(p, n);
        return true;
    case OP_EXPAND:
        return node_expand(p->diags, n);
    case OP_REF:
        absorb(p, n);
        return n->op != OP_Pad || split_pad(p, n);
    case OP_CONTROL:
        diag(p->diags, D_UNSUPPORTED_OP, n->loc, "%s is left after import: its condition or trip count is not constant",
             op_def(n->op)->name);
        return false;
    }
    return false;
}

static bool is_used(const Node *n) {
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i] && value_use_count(n->out[i])) return true;
    return false;
}

static void drop_unused(Graph *g) {
    for (Node *n = g->last, *prev; n; n = prev) {
        prev = n->prev;
        if (!is_used(n)) graph_erase(n);
    }
}

bool lower_run(Program *p) {
    bool ok = true;
    drop_unused(p->graph);
    for (Node *n = p->graph->first; n;) {
        Node *before = n->prev, *next = n->next;
        OpKind kind = op_def(n->op)->kind;
        if (!lower_node(p, n))
            ok = false;
        else if (kind == OP_EXPAND)
            next = before ? before->next : p->graph->first; /* what it became comes next */
        n = next;
    }
    if (ok) drop_unused(p->graph);
    return ok;
}
