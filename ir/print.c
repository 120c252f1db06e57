/* The text form, written. Values are numbered in the order in which the text defines them, so that the text depends on
 * nothing but the graph. A constant stands in its own graph in front of the first node that needs it. */
#include "base/file.h"
#include "ir/op.h"
#include "ir/text.h"

#include <math.h>
#include <string.h>

typedef struct Print {
    Text *t;
    Arena *scratch;
    int64_t max_bytes;
    const char *source;
    Map numbers; /* of values: a boxed int */
    int next, depth;
} Print;

/* ---- words ---- */

static void put_string(Text *t, const char *s) {
    text_put(t, "\"", 1);
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\') {
            text_add(t, "\\%c", c);
        } else if (c == '\n') {
            text_put(t, "\\n", 2);
        } else if (c < 0x20 || c == 0x7f) {
            text_add(t, "\\x%02x", c);
        } else {
            text_put(t, s, 1);
        }
    }
    text_put(t, "\"", 1);
}

static void put_type(Print *p, const Type *type) { text_add(p->t, "%s", type_str(p->scratch, type)); }

static void put_name(Text *t, const char *name) {
    if (!name[0]) return;
    text_put(t, " ", 1);
    put_string(t, name);
}

static void new_line(Print *p) {
    text_put(p->t, "\n", 1);
    for (int i = 0; i < p->depth; i++) text_put(p->t, "  ", 2);
}

static void put_definition(Print *p, const Value *v) {
    int *number = NEW(p->scratch, int);
    *number = p->next++;
    map_put_ptr(p->scratch, &p->numbers, v, number);
    text_add(p->t, "%%%d", *number);
    put_name(p->t, v->name);
    text_put(p->t, ": ", 2);
    put_type(p, &v->type);
}

/* What is used before its definition (a graph that bug() prints may do that) is shown by its id. */
static void put_value(Print *p, const Value *v) {
    const int *number = v ? map_get_ptr(&p->numbers, v) : NULL;
    if (!v) {
        text_put(p->t, "_", 1);
    } else if (number) {
        text_add(p->t, "%%%d", *number);
    } else {
        text_add(p->t, "%%undefined_%d", v->id);
    }
}

/* ---- data ---- */

/* A NaN is written by its bits, so that none is lost. */
static void put_nan(Text *t, const Tensor *data, int64_t i) {
    int width = elem_bytes(data->type.elem);
    uint64_t bits = 0;
    const unsigned char *at = (const unsigned char *)data->data + (data->splat ? 0 : i * width);
    if (width == 2) {
        uint16_t half;
        memcpy(&half, at, sizeof half);
        bits = half;
    } else if (width == 4) {
        uint32_t single;
        memcpy(&single, at, sizeof single);
        bits = single;
    } else {
        memcpy(&bits, at, sizeof bits);
    }
    text_add(t, "0x%llx", (unsigned long long)bits);
}

static void put_element(Text *t, const Tensor *data, int64_t i) {
    Elem e = data->type.elem;
    if (elem_is_float(e)) {
        double v = tensor_get(data, i);
        if (isnan(v)) {
            put_nan(t, data, i);
        } else if (e == QCC_F64) {
            text_f64(t, v);
        } else {
            text_f32(t, (float)v);
        }
    } else if (e == QCC_U64) {
        text_add(t, "%llu", (unsigned long long)tensor_get_int(data, i));
    } else {
        text_add(t, "%lld", (long long)tensor_get_int(data, i));
    }
}

static void put_data(Print *p, const Tensor *data) {
    int64_t n = shape_count(&data->type.shape), bytes = type_bytes(&data->type);
    if (data->splat) {
        text_add(p->t, "splat ");
        put_element(p->t, data, 0);
    } else if (p->max_bytes && bytes > p->max_bytes) {
        char hash[65];
        sha256_hex(data->data, (size_t)bytes, hash);
        text_add(p->t, "opaque \"%s\"", hash);
    } else {
        text_add(p->t, "const [");
        for (int64_t i = 0; i < n; i++) {
            if (i) text_put(p->t, ", ", 2);
            put_element(p->t, data, i);
        }
        text_put(p->t, "]", 1);
    }
}

/* ---- programs ---- */

/* Which instructions get a name: those read more than once, and those under which the nesting would be too deep. */
typedef struct Names {
    const Expr *e;
    int *readers, *depth, *name; /* name: -1 = none */
} Names;

static bool is_leaf(const XInst *i) { return i->op == X_INPUT || i->op == X_CONST; }

static void operands_of(const XInst *i, int out[3]) {
    out[0] = i->a;
    out[1] = i->b;
    out[2] = i->c;
}

static Names choose_names(Arena *a, const Expr *e) {
    Names w = {e, NEW_ARRAY(a, int, e->n), NEW_ARRAY(a, int, e->n), NEW_ARRAY(a, int, e->n)};
    int from[3], count = 0;
    w.readers[e->n - 1] = 1;
    for (int i = e->n - 1; i >= 0; i--) {
        operands_of(&e->inst[i], from);
        for (int k = 0; w.readers[i] && k < x_op_info[e->inst[i].op].n; k++) w.readers[from[k]]++;
    }
    for (int i = 0; i < e->n; i++) {
        w.name[i] = -1;
        if (is_leaf(&e->inst[i])) continue;
        operands_of(&e->inst[i], from);
        for (int k = 0; k < x_op_info[e->inst[i].op].n; k++) {
            int below = w.name[from[k]] < 0 ? w.depth[from[k]] : 0;
            if (below >= w.depth[i]) w.depth[i] = below + 1;
        }
        bool named = w.readers[i] > 1 || (w.readers[i] && w.depth[i] >= TEXT_EXPR_DEPTH);
        if (named && i != e->n - 1) w.name[i] = count++;
    }
    return w;
}

static void put_literal(Text *t, const XInst *i) {
    uint64_t room = 0;
    Tensor one = {.type = {.elem = i->elem}, .data = &room};
    if (elem_is_float(i->elem)) {
        tensor_set(&one, 0, i->k.f);
    } else {
        tensor_set_int(&one, 0, i->k.i);
    }
    put_element(t, &one, 0);
    text_add(t, ":%s", elem_info[i->elem].name);
}

/* Recursion ends at TEXT_EXPR_DEPTH, where what is below has a name. */
static void put_inst(Text *t, const Names *w, int at, bool defining) {
    const XInst *i = &w->e->inst[at];
    if (w->name[at] >= 0 && !defining) {
        text_add(t, "t%d", w->name[at]);
    } else if (i->op == X_INPUT) {
        text_add(t, "$%lld", (long long)i->k.i);
    } else if (i->op == X_CONST) {
        put_literal(t, i);
    } else {
        int from[3];
        operands_of(i, from);
        text_add(t, "%s", x_op_info[i->op].name);
        if (i->op == X_CAST || i->op == X_BITCAST) text_add(t, ":%s", elem_info[i->elem].name);
        for (int k = 0; k < x_op_info[i->op].n; k++) {
            text_put(t, k ? ", " : "(", k ? 2 : 1);
            put_inst(t, w, from[k], false);
        }
        text_put(t, ")", 1);
    }
}

static void put_program(Print *p, const Expr *e) {
    const char **types = NEW_ARRAY(p->scratch, const char *, e->n_in);
    for (int i = 0; i < e->n; i++) {
        if (e->inst[i].op == X_INPUT) types[e->inst[i].k.i] = elem_info[e->inst[i].elem].name;
    }
    text_add(p->t, " => [");
    for (int k = 0; k < e->n_in; k++) text_add(p->t, "%s%s", k ? ", " : "", types[k] ? types[k] : "_");
    text_add(p->t, "] {");
    Names w = choose_names(p->scratch, e);
    for (int i = 0; i < e->n; i++) {
        if (w.name[i] < 0) continue;
        text_add(p->t, "t%d = ", w.name[i]);
        put_inst(p->t, &w, i, true);
        text_put(p->t, "; ", 2);
    }
    put_inst(p->t, &w, e->n - 1, false);
    text_put(p->t, "}", 1);
}

/* ---- attributes ---- */

static void put_graph(Print *p, const Graph *g);

/* A number that is an f32 in fewer digits says so with an 'f'. */
static void put_double(Text *t, double v) {
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    Text longer = {.arena = t->arena}, shorter = {.arena = t->arena};
    text_f64(&longer, v);
    text_f32(&shorter, (float)v);
    if (isnan(v)) {
        text_add(t, "0x%llx", (unsigned long long)bits);
    } else if ((double)(float)v == v && shorter.n < longer.n) {
        text_add(t, "%sf", shorter.s);
    } else {
        text_put(t, longer.s, longer.n);
    }
}

static void put_list_item(Text *t, const Attr *a, int64_t i) {
    if (a->kind == ATTR_INTS) {
        text_add(t, "%lld", (long long)a->ints[i]);
    } else if (a->kind == ATTR_FLOATS) {
        put_double(t, a->floats[i]);
    } else {
        put_string(t, a->strings[i]);
    }
}

static void put_attr(Print *p, const Attr *a) {
    text_add(p->t, "%s=", a->name);
    switch (a->kind) {
    case ATTR_INT:
        text_add(p->t, "%lld", (long long)a->i);
        break;
    case ATTR_FLOAT:
        put_double(p->t, a->f);
        break;
    case ATTR_STRING:
        put_string(p->t, a->s);
        break;
    case ATTR_TENSOR:
        put_type(p, &a->t->type);
        text_put(p->t, " ", 1);
        put_data(p, a->t);
        break;
    case ATTR_GRAPH:
        put_graph(p, a->g);
        break;
    default:
        text_put(p->t, "[", 1);
        for (int64_t i = 0; i < a->n; i++) {
            if (i) text_put(p->t, ", ", 2);
            put_list_item(p->t, a, i);
        }
        text_put(p->t, "]", 1);
    }
}

static void put_attrs(Print *p, const Node *n) {
    for (int i = 0; i < n->n_attr; i++) {
        text_add(p->t, i ? ", " : " {");
        put_attr(p, &n->attr[i]);
    }
    if (n->n_attr) text_put(p->t, "}", 1);
}

/* ---- statements ---- */

static void put_constant(Print *p, const Value *v) {
    new_line(p);
    put_definition(p, v);
    text_add(p->t, " = ");
    put_data(p, v->constant);
}

static void put_constant_if_new(Print *p, const Graph *g, const Value *v) {
    if (v && v->constant && v->graph == g && !map_get_ptr(&p->numbers, v)) put_constant(p, v);
}

/* The constants of g that a node needs, be it in its bodies. */
static void put_constants(Print *p, const Graph *g, const Node *n) {
    for (int i = 0; i < n->n_in; i++) put_constant_if_new(p, g, n->in[i]);
    for (int i = 0; i < n->n_attr; i++) {
        if (n->attr[i].kind != ATTR_GRAPH) continue;
        const Graph *body = n->attr[i].g;
        for (const Node *inner = body->first; inner; inner = inner->next) put_constants(p, g, inner);
        for (size_t k = 0; k < body->outputs.n; k++) put_constant_if_new(p, g, body->outputs.at[k].value);
    }
}

/* Where a node was read from the text form, its place there says nothing; else it tells where it is from. */
static void put_loc(Print *p, const Loc *loc) {
    if (loc->line || (!loc->node && !loc->op && loc->index < 0)) return;
    text_add(p->t, " @(");
    put_string(p->t, loc->node ? loc->node : "");
    text_put(p->t, ", ", 2);
    put_string(p->t, loc->op ? loc->op : "");
    text_add(p->t, ", %d, %d", loc->index, loc->opset);
    if (loc->file && (!p->source || strcmp(loc->file, p->source) != 0)) {
        text_put(p->t, ", ", 2);
        put_string(p->t, loc->file);
    }
    text_put(p->t, ")", 1);
}

static void put_node(Print *p, const Node *n) {
    const OpDef *def = op_def(n->op);
    new_line(p);
    for (int i = 0; i < n->n_out; i++) {
        if (i) text_put(p->t, ", ", 2);
        if (n->out[i]) {
            put_definition(p, n->out[i]);
        } else {
            text_put(p->t, "_", 1);
        }
    }
    text_add(p->t, " = %s(", def->name);
    bool epilogue = n->expr && def->kind != OP_EXPR;
    for (int i = 0; i < n->n_in; i++) {
        bool first_of_epilogue = epilogue && i == n->epilogue_in;
        text_add(p->t, "%s", first_of_epilogue ? "; " : i ? ", " : "");
        put_value(p, n->in[i]);
    }
    text_put(p->t, ")", 1);
    put_attrs(p, n);
    if (n->expr) put_program(p, n->expr);
    put_loc(p, &n->loc);
}

static void put_batch(Print *p, const GraphPort *port) {
    if (!port->batch) return;
    text_add(p->t, " batch ");
    put_string(p->t, port->batch);
}

static void put_ports(Print *p, const Graph *g) {
    for (size_t i = 0; i < g->inputs.n; i++) {
        const GraphPort *port = &g->inputs.at[i];
        new_line(p);
        text_add(p->t, "in ");
        put_definition(p, port->value);
        if (strcmp(port->name, port->value->name) != 0) {
            text_add(p->t, " as ");
            put_string(p->t, port->name);
        }
        put_batch(p, port);
    }
}

static void put_outputs(Print *p, const Graph *g) {
    for (size_t i = 0; i < g->outputs.n; i++) put_constant_if_new(p, g, g->outputs.at[i].value);
    for (size_t i = 0; i < g->outputs.n; i++) {
        const GraphPort *port = &g->outputs.at[i];
        new_line(p);
        text_add(p->t, "out ");
        put_value(p, port->value);
        text_put(p->t, " ", 1);
        put_string(p->t, port->name);
        put_batch(p, port);
    }
}

static void put_graph(Print *p, const Graph *g) {
    text_add(p->t, "graph ");
    put_string(p->t, g->name);
    if (!g->parent && g->source) {
        text_add(p->t, " source ");
        put_string(p->t, g->source);
    }
    if (!g->parent && g->sha256[0]) text_add(p->t, " sha256 \"%s\"", g->sha256);
    text_add(p->t, " {");
    p->depth++;
    put_ports(p, g);
    for (const Node *n = g->first; n; n = n->next) {
        put_constants(p, g, n);
        put_node(p, n);
    }
    put_outputs(p, g);
    p->depth--;
    new_line(p);
    text_put(p->t, "}", 1);
}

void graph_print(Text *t, const Graph *g, int64_t max_bytes) {
    Print p = {.t = t, .scratch = arena_nested(t->arena), .max_bytes = max_bytes, .source = g->source};
    text_add(t, "qir %d\n", TEXT_VERSION);
    put_graph(&p, g);
    text_put(t, "\n", 1);
    arena_free(p.scratch);
}
