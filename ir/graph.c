/* Graphs: building, rewriting, copying. Every change keeps the use lists true; that is what makes replacing a value a
 * walk over its uses instead of over the graph. */
#include "ir/ir.h"

#include <string.h>

/* ---- uses ---- */

static void add_use(Value *v, Node *n, int operand) {
    if (v) vec_push(v->graph->arena, &v->uses, (Use){n, operand});
}

static bool is_use(const Use *u, const Node *n, int operand) { return u->node == n && u->operand == operand; }

/* Index of a use, looked for from both ends: what is dropped is mostly the oldest or the newest. */
static size_t find_use(const Value *v, const Node *n, int operand) {
    for (size_t i = 0, k = v->uses.n; i < k; i++) {
        if (is_use(&v->uses.at[i], n, operand)) return i;
        if (is_use(&v->uses.at[--k], n, operand)) return k;
    }
    bug("graph: a use is missing from its value");
}

/* Keeps the order of the others: passes walk uses, and their result must not depend on what was removed before. The
 * shorter side moves up. */
static void drop_use(Value *v, const Node *n, int operand) {
    if (!v) return;
    size_t i = find_use(v, n, operand);
    Use *u = v->uses.at;
    if (i < v->uses.n / 2) {
        memmove(u + 1, u, i * sizeof *u);
        v->uses.at++;
        v->uses.cap--;
    } else {
        memmove(u + i, u + i + 1, (v->uses.n - i - 1) * sizeof *u);
    }
    v->uses.n--;
}

/* Outputs of g and of the bodies in it that are `old`: counts them, and makes them `new_value` if there is one. */
static int visit_outputs(Graph *g, const Value *old, Value *new_value) {
    int count = 0;
    for (size_t i = 0; i < g->outputs.n; i++) {
        if (g->outputs.at[i].value != old) continue;
        count++;
        if (new_value) g->outputs.at[i].value = new_value;
    }
    for (Node *n = g->has_bodies ? g->first : NULL; n; n = n->next) {
        for (int i = 0; i < n->n_attr; i++) {
            if (n->attr[i].kind == ATTR_GRAPH) count += visit_outputs(n->attr[i].g, old, new_value);
        }
    }
    return count;
}

bool value_is_output(const Value *v) { return visit_outputs(v->graph, v, NULL) > 0; }

int value_use_count(const Value *v) { return (int)v->uses.n + visit_outputs(v->graph, v, NULL); }

/* ---- building ---- */

Graph *graph_new(Arena *a, Graph *parent, const char *name) {
    Graph *g = NEW(a, Graph);
    *g = (Graph){.arena = a, .parent = parent, .name = name ? arena_str(a, name) : ""};
    if (parent) {
        parent->has_bodies = true;
        g->next_id = parent->next_id;
        g->source = parent->source;
    } else {
        g->next_id = NEW(a, int);
    }
    return g;
}

static Value *new_value(Graph *g, const char *name) {
    Value *v = NEW(g->arena, Value);
    *v = (Value){.id = (*g->next_id)++, .name = name ? name : "", .graph = g};
    return v;
}

Value *graph_input(Graph *g, const char *name, Type type) {
    Value *v = new_value(g, arena_str(g->arena, name));
    v->type = type;
    v->def_index = (int)g->inputs.n;
    vec_push(g->arena, &g->inputs, (GraphPort){.name = v->name, .value = v});
    return v;
}

void graph_output(Graph *g, const char *name, Value *v) {
    vec_push(g->arena, &g->outputs, (GraphPort){.name = name ? arena_str(g->arena, name) : "", .value = v});
}

Value *graph_constant(Graph *g, const char *name, const Tensor *t) {
    Value *v = new_value(g, arena_str(g->arena, name));
    v->type = t->type;
    v->constant = t;
    return v;
}

Value *graph_const_ints(Graph *g, const char *name, int64_t n, const int64_t *v) {
    return graph_constant(g, name, tensor_from_ints(g->arena, QCC_I64, shape_of(1, &n), v));
}

Value *graph_const_f32(Graph *g, float v) {
    return graph_constant(g, "", tensor_from_f32(g->arena, (Shape){.rank = 0}, &v));
}

static void link_node(Graph *g, Node *n, Node *before) {
    n->next = before;
    n->prev = before ? before->prev : g->last;
    *(n->prev ? &n->prev->next : &g->first) = n;
    *(before ? &before->prev : &g->last) = n;
}

Node *graph_node(Graph *g, Node *before, OpId op, Loc loc, int n_in, Value *const *in, int n_out) {
    if (before && before->graph != g) bug("graph_node: the node to insert before is of another graph");
    Node *n = NEW(g->arena, Node);
    *n = (Node){.op = op, .graph = g, .loc = loc, .n_in = n_in, .n_out = n_out};
    n->in = NEW_ARRAY(g->arena, Value *, n_in);
    n->out = NEW_ARRAY(g->arena, Value *, n_out);
    for (int i = 0; i < n_in; i++) {
        n->in[i] = in[i];
        add_use(in[i], n, i);
    }
    for (int i = 0; i < n_out; i++) {
        n->out[i] = new_value(g, "");
        n->out[i]->def = n;
        n->out[i]->def_index = i;
    }
    link_node(g, n, before);
    return n;
}

/* ---- rewriting ---- */

void node_set_in(Node *n, int operand, Value *v) {
    if (operand < 0 || operand >= n->n_in) bug("node_set_in: operand %d of %d", operand, n->n_in);
    drop_use(n->in[operand], n, operand);
    n->in[operand] = v;
    add_use(v, n, operand);
}

void node_add_in(Node *n, Value *v) {
    Value **grown = NEW_ARRAY(n->graph->arena, Value *, n->n_in + 1);
    if (n->n_in) memcpy(grown, n->in, (size_t)n->n_in * sizeof *grown);
    n->in = grown;
    n->in[n->n_in] = v;
    add_use(v, n, n->n_in++);
}

void graph_replace(Graph *g, Value *old, Value *replacement) {
    if (old->graph->next_id != g->next_id) bug("graph_replace: the value is of another graph");
    if (old == replacement) return;
    for (size_t i = 0; i < old->uses.n; i++) {
        Use u = old->uses.at[i];
        u.node->in[u.operand] = replacement;
        add_use(replacement, u.node, u.operand);
    }
    old->uses.n = 0;
    visit_outputs(old->graph, old, replacement);
    if (!replacement->name[0]) replacement->name = old->name;
}

static void drop_operands(Node *n) {
    for (int i = 0; i < n->n_in; i++) drop_use(n->in[i], n, i);
    for (int i = 0; i < n->n_attr; i++) {
        if (n->attr[i].kind != ATTR_GRAPH) continue;
        for (Node *inner = n->attr[i].g->first; inner; inner = inner->next) drop_operands(inner);
    }
}

void graph_erase(Node *n) {
    Graph *g = n->graph;
    for (int i = 0; i < n->n_out; i++) {
        if (n->out[i] && value_use_count(n->out[i])) bug("graph_erase: output %d of the node is in use", i);
    }
    drop_operands(n);
    *(n->prev ? &n->prev->next : &g->first) = n->next;
    *(n->next ? &n->next->prev : &g->last) = n->prev;
    n->graph = NULL;
}

/* ---- copying ---- */

/* `done` maps graphs and values of the original to those of the copy. What is not in it lies outside of what is being
 * copied and stands for itself. */
typedef struct Copy {
    Arena *scratch;
    Map done;
    bool keep_ids;
} Copy;

static Value *copied(Copy *c, Value *v) {
    if (!v) return NULL;
    Value *to = map_get_ptr(&c->done, v);
    if (to) return to;
    Graph *home = map_get_ptr(&c->done, v->graph);
    if (!home) return v;
    if (!v->constant) bug("graph: a value is used before it is defined");
    to = new_value(home, v->name);
    to->type = v->type;
    to->constant = v->constant;
    if (c->keep_ids) to->id = v->id;
    map_put_ptr(c->scratch, &c->done, v, to);
    return to;
}

static void take_over(Copy *c, Value *from, Value *to) {
    to->name = from->name;
    to->type = from->type;
    if (c->keep_ids) to->id = from->id;
    map_put_ptr(c->scratch, &c->done, from, to);
}

static Graph *copy_body(Copy *c, const Graph *g, Arena *a, Graph *parent);

static void copy_node(Copy *c, const Node *n, Graph *to, Node *before) {
    Value **in = NEW_ARRAY(c->scratch, Value *, n->n_in);
    for (int i = 0; i < n->n_in; i++) in[i] = copied(c, n->in[i]);
    Node *m = graph_node(to, before, n->op, n->loc, n->n_in, in, n->n_out);
    for (int i = 0; i < n->n_out; i++) {
        if (n->out[i]) {
            take_over(c, n->out[i], m->out[i]);
        } else {
            m->out[i] = NULL;
        }
    }
    m->expr = n->expr;
    m->epilogue_in = n->epilogue_in;
    m->n_attr = n->n_attr;
    m->attr = NEW_ARRAY(to->arena, Attr, n->n_attr);
    for (int i = 0; i < n->n_attr; i++) {
        m->attr[i] = n->attr[i];
        if (n->attr[i].kind == ATTR_GRAPH) m->attr[i].g = copy_body(c, n->attr[i].g, to->arena, to);
    }
}

static Graph *copy_body(Copy *c, const Graph *g, Arena *a, Graph *parent) {
    Graph *to = graph_new(a, parent, g->name);
    to->source = g->source;
    memcpy(to->sha256, g->sha256, sizeof to->sha256);
    map_put_ptr(c->scratch, &c->done, g, to);
    for (size_t i = 0; i < g->inputs.n; i++) {
        const GraphPort *port = &g->inputs.at[i];
        take_over(c, port->value, graph_input(to, port->name, port->value->type));
        to->inputs.at[i].batch = port->batch;
    }
    for (const Node *n = g->first; n; n = n->next) copy_node(c, n, to, NULL);
    for (size_t i = 0; i < g->outputs.n; i++) {
        const GraphPort *port = &g->outputs.at[i];
        graph_output(to, port->name, copied(c, port->value));
        to->outputs.at[i].batch = port->batch;
    }
    return to;
}

Graph *graph_clone(Arena *a, const Graph *g) {
    Copy c = {.scratch = arena_nested(a), .keep_ids = true};
    Graph *to = copy_body(&c, g, a, NULL);
    *to->next_id = *g->next_id;
    arena_free(c.scratch);
    return to;
}

void graph_inline(Graph *g, Node *before, const Graph *body, Value *const *args, Value **results) {
    Copy c = {.scratch = arena_nested(g->arena)};
    map_put_ptr(c.scratch, &c.done, body, g);
    for (size_t i = 0; i < body->inputs.n; i++) map_put_ptr(c.scratch, &c.done, body->inputs.at[i].value, args[i]);
    for (const Node *n = body->first; n; n = n->next) copy_node(&c, n, g, before);
    for (size_t i = 0; i < body->outputs.n; i++) results[i] = copied(&c, body->outputs.at[i].value);
    arena_free(c.scratch);
}
