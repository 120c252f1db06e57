/* The invariants of ir.h, checked. Types are checked on a copy, so that inference, which writes them, leaves no trace.
 */
#include "ir/op.h"

#include <string.h>

enum { SHOWN_BYTES = 256 }; /* constants above are only hashed in the report */

typedef struct Verify {
    Arena *arena;
    const Graph *top;
    const char *stage;
    const Value **values; /* by id: those met */
    Map uses;             /* by the address of the operand: accounted for in its value's list */
    size_t n_uses, n_operands;
} Verify;

NORETURN static void broken(const Verify *v, const char *fmt, ...) PRINTF_LIKE(2, 3);
NORETURN static void broken(const Verify *v, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    const char *what = arena_vprintf(v->arena, fmt, ap);
    va_end(ap);
    Text t = {.arena = v->arena};
    graph_print(&t, v->top, SHOWN_BYTES);
    bug("%s: the graph is broken: %s\n%s", v->stage, what, t.s);
}

/* ---- structure ---- */

static void check_uses(Verify *v, const Value *x) {
    for (size_t i = 0; i < x->uses.n; i++) {
        Use u = x->uses.at[i];
        if (!u.node->graph) broken(v, "value %d is used by an erased node", x->id);
        if (u.operand < 0 || u.operand >= u.node->n_in || u.node->in[u.operand] != x) {
            broken(v, "value %d has a use that is not one", x->id);
        }
        Value **at = &u.node->in[u.operand];
        if (map_get_ptr(&v->uses, at)) broken(v, "value %d has a use twice", x->id);
        map_put_ptr(v->arena, &v->uses, at, at);
        v->n_uses++;
    }
}

static void define(Verify *v, const Graph *g, const Value *x) {
    if (x->id < 0 || x->id >= *v->top->next_id) broken(v, "value id %d is out of range", x->id);
    if (v->values[x->id]) broken(v, "value %d is defined twice", x->id);
    if (x->graph != g) broken(v, "value %d belongs to another graph", x->id);
    if (!elem_known(x->type.elem)) broken(v, "value %d has no type", x->id);
    v->values[x->id] = x;
    check_uses(v, x);
}

/* A constant is defined by being used, where its graph is in sight. */
static void check_visible(Verify *v, const Graph *g, const Value *x) {
    while (g && g != x->graph) g = g->parent;
    if (!g) broken(v, "value %d of a graph apart is used", x->id);
    if (x->constant && x->def) broken(v, "constant %d has a node", x->id);
    if (x->constant && !type_equal(&x->constant->type, &x->type)) broken(v, "constant %d has another type", x->id);
    if (x->id >= 0 && x->id < *v->top->next_id && v->values[x->id] == x) return;
    if (!x->constant) broken(v, "value %d is used before it is defined", x->id);
    define(v, g, x);
}

static void check_graph(Verify *v, const Graph *g);

static void check_node(Verify *v, const Graph *g, const Node *n) {
    const char *name = op_def(n->op)->name;
    if (n->graph != g || (n->next ? n->next->prev != n : g->last != n)) broken(v, "%s is linked wrongly", name);
    if (n->expr && (n->epilogue_in < 0 || n->epilogue_in > n->n_in)) broken(v, "%s has a wrong epilogue_in", name);
    for (int i = 0; i < n->n_in; i++) {
        if (!n->in[i]) continue;
        check_visible(v, g, n->in[i]);
        v->n_operands++;
    }
    for (int i = 0; i < n->n_attr; i++) {
        if (n->attr[i].kind != ATTR_GRAPH) continue;
        if (n->attr[i].g->parent != g || !g->has_bodies) broken(v, "a body of %s has another parent", name);
        check_graph(v, n->attr[i].g);
    }
    for (int i = 0; i < n->n_out; i++) {
        if (!n->out[i]) continue;
        if (n->out[i]->def != n || n->out[i]->def_index != i) broken(v, "output %d of %s is of another node", i, name);
        define(v, g, n->out[i]);
    }
}

static void check_graph(Verify *v, const Graph *g) {
    if (g->next_id != v->top->next_id) broken(v, "graph '%s' counts ids of its own", g->name);
    for (size_t i = 0; i < g->inputs.n; i++) {
        const Value *x = g->inputs.at[i].value;
        if (x->def || x->constant || x->def_index != (int)i) broken(v, "input %zu is not one", i);
        define(v, g, x);
    }
    for (const Node *n = g->first; n; n = n->next) check_node(v, g, n);
    for (size_t i = 0; i < g->outputs.n; i++) check_visible(v, g, g->outputs.at[i].value);
}

/* ---- types ---- */

static void infer_graph(Verify *v, Diags *d, const Graph *g, const Graph *copy);

static void infer_node(Verify *v, Diags *d, const Node *n, Node *copy) {
    for (int i = 0; i < n->n_attr; i++) {
        if (n->attr[i].kind == ATTR_GRAPH) infer_graph(v, d, n->attr[i].g, copy->attr[i].g);
    }
    const char *name = op_def(n->op)->name;
    if (!node_infer(d, copy)) {
        Text t = {.arena = v->arena};
        diag_format(&t, d->first, false);
        broken(v, "a node %s does not infer: %s", name, t.s);
    }
    for (int i = 0; i < n->n_out; i++) {
        if (!n->out[i] || type_equal(&n->out[i]->type, &copy->out[i]->type)) continue;
        broken(v, "output %d of %s is %s, but infers as %s", i, name, type_str(v->arena, &n->out[i]->type),
               type_str(v->arena, &copy->out[i]->type));
    }
}

static void infer_graph(Verify *v, Diags *d, const Graph *g, const Graph *copy) {
    Node *m = copy->first;
    for (const Node *n = g->first; n; n = n->next, m = m->next) infer_node(v, d, n, m);
}

void graph_verify(const Graph *g, const char *stage) {
    Verify v = {.arena = arena_nested(g->arena), .top = g, .stage = stage};
    if (g->parent) broken(&v, "it is a body");
    v.values = NEW_ARRAY(v.arena, const Value *, *g->next_id);
    check_graph(&v, g);
    if (v.n_uses != v.n_operands) broken(&v, "%zu operands, but %zu uses", v.n_operands, v.n_uses);
    Diags d;
    diags_init(&d, v.arena);
    infer_graph(&v, &d, g, graph_clone(v.arena, g));
    arena_free(v.arena);
}
