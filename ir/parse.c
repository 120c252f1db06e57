/* The text form, read: recursive descent over docs/ir.md's grammar. The text may be anybody's: nesting is bounded, no
 * tensor takes more memory than its text, and types are what inference says, not what the text claims. */
#include "ir/op.h"
#include "ir/scan.h"
#include "ir/text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

typedef struct Parse {
    Scan s;
    Graph *graph; /* the one being read */
    Map values;   /* by their name in the text, of all graphs */
    int depth;
} Parse;

/* ---- values ---- */

static const char *parse_id(Parse *p) {
    scan_expect(&p->s, "%");
    return scan_word(&p->s);
}

static Value *find_value(Parse *p, const char *id) {
    Value *v = map_get(&p->values, id);
    if (!v) scan_fail(&p->s, "%%%s is not defined above", id);
    for (const Graph *g = p->graph; g; g = g->parent) {
        if (g == v->graph) return v;
    }
    scan_fail(&p->s, "%%%s belongs to a graph that is not around this one", id);
}

static void define(Parse *p, const char *id, Value *v) {
    if (map_get(&p->values, id)) scan_fail(&p->s, "%%%s is defined twice", id);
    map_put(p->s.arena, &p->values, id, v);
}

/* ---- data ---- */

static const Tensor *parse_dense(Parse *p, Type type) {
    int64_t n = shape_count(&type.shape);
    scan_expect(&p->s, "[");
    if (n > p->s.end - p->s.at) scan_fail(&p->s, "the text ends before %lld elements", (long long)n);
    Tensor *t = tensor_new(p->s.arena, type);
    for (int64_t i = 0; i < n; i++) {
        if (i) scan_expect(&p->s, ",");
        scan_element(&p->s, t, i);
    }
    scan_expect(&p->s, "]");
    return t;
}

static const Tensor *parse_splat(Parse *p, Type type) {
    uint64_t room = 0;
    scan_element(&p->s, &(Tensor){.type = {.elem = type.elem}, .data = &room}, 0);
    return tensor_splat(p->s.arena, type, &room);
}

/* NULL where no data stands here. */
static const Tensor *parse_data(Parse *p, Type type) {
    if (scan_accept_word(&p->s, "const")) return parse_dense(p, type);
    if (scan_accept_word(&p->s, "splat")) return parse_splat(p, type);
    if (scan_accept_word(&p->s, "opaque")) scan_fail(&p->s, "this text was printed without its constants");
    return NULL;
}

/* ---- programs ---- */

typedef struct Program {
    Parse *p;
    ExprBuilder b;
    VEC(Elem) inputs; /* 0: not read */
    Map names;        /* of instructions: boxed */
    int depth;
} Program;

/* As it stands, without the builder's simplifications: the text keeps its form. */
static X add_inst(Program *q, XInst i) {
    const char *wrong = x_check(&q->b, &i);
    if (wrong) scan_fail(&q->p->s, "%s: %s", x_op_info[i.op].name, wrong);
    vec_push(q->b.arena, &q->b.inst, i);
    return (X)q->b.inst.n - 1;
}

static X parse_input(Program *q) {
    int64_t k = scan_int(&q->p->s, 0, INT32_MAX);
    if ((size_t)k >= q->inputs.n || !q->inputs.at[k])
        scan_fail(&q->p->s, "the program has no input $%lld", (long long)k);
    return add_inst(q, (XInst){.op = X_INPUT, .elem = q->inputs.at[k], .k.i = k});
}

/* The number comes before its type, so it is read twice: first over, then as what it is. */
static X parse_literal(Program *q) {
    Scan *s = &q->p->s;
    uint64_t room = 0;
    const char *start = s->at;
    while (s->at < s->end && *s->at != ':' && *s->at != '\n') s->at++;
    scan_expect(s, ":");
    Elem e = scan_elem(s);
    const char *after = s->at;
    Tensor one = {.type = {.elem = e}, .data = &room};
    s->at = start;
    scan_element(s, &one, 0);
    if (scan_peek(s) != ':') scan_fail(s, "a literal is a number, ':' and its type");
    s->at = after;
    XInst i = {.op = X_CONST, .elem = e};
    if (elem_is_float(e)) {
        i.k.f = tensor_get(&one, 0);
    } else {
        i.k.i = tensor_get_int(&one, 0);
    }
    return add_inst(q, i);
}

static X parse_inst(Program *q);

static XOp find_op(const Program *q, const char *name) {
    for (int op = 0; op < X_OP_COUNT; op++) {
        if (op != X_INPUT && op != X_CONST && strcmp(x_op_info[op].name, name) == 0) return (XOp)op;
    }
    scan_fail(&q->p->s, "no instruction or name '%s'", name);
}

static X parse_call(Program *q, const char *name) {
    Scan *s = &q->p->s;
    XInst i = {.op = find_op(q, name)};
    char result = x_op_info[i.op].result;
    if (result == 'T') {
        scan_expect(s, ":");
        i.elem = scan_elem(s);
    }
    int *operands[] = {&i.a, &i.b, &i.c};
    for (int k = 0; k < x_op_info[i.op].n; k++) {
        scan_expect(s, k ? "," : "(");
        *operands[k] = parse_inst(q);
    }
    scan_expect(s, ")");
    if (result == 'B') i.elem = QCC_BOOL;
    if (result == 'S') i.elem = x_elem(&q->b, i.a);
    if (result == '1') i.elem = x_elem(&q->b, i.b);
    return add_inst(q, i);
}

static X parse_inst(Program *q) {
    Scan *s = &q->p->s;
    char c = scan_peek(s);
    if (c == '$') {
        scan_expect(s, "$");
        return parse_input(q);
    }
    if (isdigit((unsigned char)c) || c == '-' || c == '.') return parse_literal(q);
    if (scan_accept(s, "inf:") || scan_accept(s, "nan:")) {
        s->at -= 4;
        return parse_literal(q);
    }
    const char *name = scan_word(s);
    const X *known = map_get(&q->names, name);
    if (known) return *known;
    if (++q->depth > TEXT_EXPR_LIMIT) scan_fail(s, "a program nested deeper than %d", TEXT_EXPR_LIMIT);
    X x = parse_call(q, name);
    q->depth--;
    return x;
}

static bool is_name(const Scan *s, const char *at) {
    if (at == s->end || *at++ != 't' || at == s->end || !isdigit((unsigned char)*at)) return false;
    while (at < s->end && isdigit((unsigned char)*at)) at++;
    while (at < s->end && *at == ' ') at++;
    return at < s->end && *at == '=';
}

static void parse_inputs(Program *q) {
    Scan *s = &q->p->s;
    scan_expect(s, "[");
    while (!scan_accept(s, "]")) {
        if (q->inputs.n) scan_expect(s, ",");
        Elem e = scan_accept_word(s, "_") ? (Elem)0 : scan_elem(s);
        vec_push(s->arena, &q->inputs, e);
    }
}

/* After "=>". */
static const Expr *parse_program(Parse *p) {
    Program q = {.p = p, .b = {.arena = p->s.arena}};
    Scan *s = &p->s;
    parse_inputs(&q);
    scan_expect(s, "{");
    while (scan_peek(s) == 't' && is_name(s, s->at)) {
        const char *name = scan_word(s);
        if (map_get(&q.names, name)) scan_fail(s, "%s is defined twice", name);
        scan_expect(s, "=");
        X *x = NEW(s->arena, X);
        *x = parse_inst(&q);
        scan_expect(s, ";");
        map_put(s->arena, &q.names, name, x);
    }
    X result = parse_inst(&q);
    scan_expect(s, "}");
    return x_finish(&q.b, result, (int)q.inputs.n);
}

/* ---- attributes ---- */

static Graph *parse_graph(Parse *p, Graph *parent);

static void parse_list(Parse *p, Attr *a) {
    Scan *s = &p->s;
    VEC(int64_t) ints = {0};
    VEC(double) floats = {0};
    VEC(const char *) strings = {0};
    scan_expect(s, "[");
    for (; !scan_accept(s, "]"); a->n++) {
        if (a->n) scan_expect(s, ",");
        if (a->kind == ATTR_INTS) {
            vec_push(s->arena, &ints, scan_int(s, INT64_MIN, INT64_MAX));
        } else if (a->kind == ATTR_FLOATS) {
            vec_push(s->arena, &floats, scan_double(s));
        } else {
            vec_push(s->arena, &strings, scan_string(s));
        }
    }
    a->ints = ints.at;
    a->floats = floats.at;
    a->strings = strings.at;
}

static Attr parse_attr(Parse *p, const OpDef *def) {
    Scan *s = &p->s;
    const char *name = scan_word(s);
    int i = 0;
    while (i < def->n_attr && strcmp(def->attr[i].name, name) != 0) i++;
    if (i == def->n_attr) scan_fail(s, "%s has no attribute '%s'", def->name, name);
    Attr a = {.name = def->attr[i].name, .kind = def->attr[i].kind};
    scan_expect(s, "=");
    switch (a.kind) {
    case ATTR_INT:
        a.i = scan_int(s, INT64_MIN, INT64_MAX);
        break;
    case ATTR_FLOAT:
        a.f = scan_double(s);
        break;
    case ATTR_STRING:
        a.s = scan_string(s);
        break;
    case ATTR_TENSOR:
        a.t = parse_data(p, scan_type(s));
        if (!a.t) scan_fail(s, "'const' or 'splat' must stand here");
        break;
    case ATTR_GRAPH:
        a.g = parse_graph(p, p->graph);
        break;
    default:
        parse_list(p, &a);
    }
    return a;
}

/* ---- nodes ---- */

/* What a statement defines. */
typedef struct Definition {
    const char *id; /* NULL: an output that is not wanted */
    const char *name;
    bool typed;
    Type type;
} Definition;

/* A node as it is read; built when all of it is known. */
typedef struct Draft {
    VEC(Definition) out;
    VEC(Value *) in;
    VEC(Attr) attr;
    OpId op;
    int epilogue_in; /* -1: no ';' among the operands */
    const Expr *expr;
    Loc loc;
} Draft;

static Definition parse_definition(Parse *p) {
    Scan *s = &p->s;
    if (scan_accept_word(s, "_")) return (Definition){0};
    Definition d = {.id = parse_id(p), .name = ""};
    if (scan_peek(s) == '"') d.name = scan_string(s);
    if (scan_accept(s, ":")) {
        d.typed = true;
        d.type = scan_type(s);
    }
    return d;
}

static void parse_operands(Parse *p, Draft *f) {
    Scan *s = &p->s;
    scan_expect(s, "(");
    f->epilogue_in = -1;
    for (bool first = true; !scan_accept(s, ")"); first = false) {
        if (f->epilogue_in < 0 && scan_accept(s, ";")) {
            f->epilogue_in = (int)f->in.n;
        } else if (!first) {
            scan_expect(s, ",");
        }
        Value *v = scan_accept_word(s, "_") ? NULL : find_value(p, parse_id(p));
        vec_push(s->arena, &f->in, v);
    }
}

static void parse_attrs(Parse *p, Draft *f) {
    Scan *s = &p->s;
    if (!scan_accept(s, "{")) return;
    while (!scan_accept(s, "}")) {
        if (f->attr.n) scan_expect(s, ",");
        Attr a = parse_attr(p, op_def(f->op));
        for (size_t i = 0; i < f->attr.n; i++) {
            if (strcmp(f->attr.at[i].name, a.name) == 0) scan_fail(s, "attribute '%s' is given twice", a.name);
        }
        vec_push(s->arena, &f->attr, a);
    }
}

/* "@(node, operator, index, opset, file)"; without it a node is where its statement stands. */
static void parse_loc(Parse *p, Draft *f) {
    Scan *s = &p->s;
    if (!scan_accept(s, "@")) return;
    scan_expect(s, "(");
    f->loc = (Loc){.file = p->graph->source, .node = scan_string(s)};
    scan_expect(s, ",");
    f->loc.op = scan_string(s);
    scan_expect(s, ",");
    f->loc.index = (int)scan_int(s, -1, INT32_MAX);
    scan_expect(s, ",");
    f->loc.opset = (int)scan_int(s, 0, INT32_MAX);
    if (scan_accept(s, ",")) f->loc.file = scan_string(s);
    scan_expect(s, ")");
}

static void check_types(Parse *p, const Draft *f, const Node *n) {
    for (size_t i = 0; i < f->out.n; i++) {
        const Definition *d = &f->out.at[i];
        if (!d->id || !d->typed || type_equal(&d->type, &n->out[i]->type)) continue;
        Arena *a = p->s.diags->arena;
        scan_fail(&p->s, "%%%s is said to be %s, but is %s", d->id, type_str(a, &d->type),
                  type_str(a, &n->out[i]->type));
    }
}

static void build_node(Parse *p, const Draft *f) {
    Scan *s = &p->s;
    Node *n = graph_node(p->graph, NULL, f->op, f->loc, (int)f->in.n, f->in.at, (int)f->out.n);
    for (size_t i = 0; i < f->attr.n; i++) node_set_attr(n, &f->attr.at[i]);
    n->expr = f->expr;
    n->epilogue_in = f->epilogue_in < 0 ? n->n_in : f->epilogue_in;
    for (size_t i = 0; i < f->out.n; i++) {
        if (!f->out.at[i].id) n->out[i] = NULL;
    }
    if (!node_infer(s->diags, n)) longjmp(s->refused, 1);
    check_types(p, f, n);
    for (size_t i = 0; i < f->out.n; i++) {
        if (!n->out[i]) continue;
        n->out[i]->name = f->out.at[i].name;
        define(p, f->out.at[i].id, n->out[i]);
    }
}

/* After the '=' of a node. */
static void parse_node(Parse *p, Draft *f) {
    Scan *s = &p->s;
    const char *name = scan_word(s);
    f->op = op_find(name);
    if (f->op == OP_NONE) scan_fail(s, "no operator is called '%s'", name);
    parse_operands(p, f);
    parse_attrs(p, f);
    if (scan_accept(s, "=>")) f->expr = parse_program(p);
    parse_loc(p, f);
    bool own = op_def(f->op)->kind == OP_EXPR;
    if (f->epilogue_in >= 0 && (own || !f->expr)) scan_fail(s, "operands after ';' are for an epilogue");
    build_node(p, f);
}

/* A constant or a node. */
static void parse_statement(Parse *p) {
    Scan *s = &p->s;
    Draft f = {.loc = scan_loc(s)};
    do vec_push(s->arena, &f.out, parse_definition(p));
    while (scan_accept(s, ","));
    scan_expect(s, "=");
    const Definition *d = &f.out.at[0];
    const Tensor *t = f.out.n == 1 && d->typed ? parse_data(p, d->type) : NULL;
    if (t) {
        define(p, d->id, graph_constant(p->graph, d->name, t));
    } else {
        parse_node(p, &f);
    }
}

/* ---- graphs ---- */

static const char *parse_batch(Parse *p) { return scan_accept_word(&p->s, "batch") ? scan_string(&p->s) : NULL; }

static void parse_in(Parse *p) {
    Scan *s = &p->s;
    Definition d = parse_definition(p);
    if (!d.id || !d.typed) scan_fail(s, "an input is '%%', its number, its name, ':' and its type");
    const char *port = scan_accept_word(s, "as") ? scan_string(s) : d.name;
    Value *v = graph_input(p->graph, port, d.type);
    v->name = d.name;
    p->graph->inputs.at[v->def_index].batch = parse_batch(p);
    define(p, d.id, v);
}

static void parse_out(Parse *p) {
    Value *v = find_value(p, parse_id(p));
    const char *name = scan_string(&p->s);
    graph_output(p->graph, name, v);
    p->graph->outputs.at[p->graph->outputs.n - 1].batch = parse_batch(p);
}

static void parse_source(Parse *p, Graph *g) {
    Scan *s = &p->s;
    if (scan_accept_word(s, "source")) g->source = scan_string(s);
    if (!scan_accept_word(s, "sha256")) return;
    const char *hash = scan_string(s);
    if (strlen(hash) != sizeof g->sha256 - 1) scan_fail(s, "a SHA-256 has 64 digits");
    memcpy(g->sha256, hash, sizeof g->sha256);
}

static Graph *parse_graph(Parse *p, Graph *parent) {
    Scan *s = &p->s;
    if (!scan_accept_word(s, "graph")) scan_fail(s, "'graph' must stand here");
    if (++p->depth > TEXT_GRAPH_LIMIT) scan_fail(s, "graphs nested deeper than %d", TEXT_GRAPH_LIMIT);
    Graph *g = graph_new(s->arena, parent, scan_string(s));
    p->graph = g;
    if (!parent) parse_source(p, g);
    scan_expect(s, "{");
    while (!scan_accept(s, "}")) {
        if (scan_accept_word(s, "in")) {
            parse_in(p);
        } else if (scan_accept_word(s, "out")) {
            parse_out(p);
        } else {
            parse_statement(p);
        }
    }
    p->graph = parent;
    p->depth--;
    return g;
}

Graph *graph_parse(Arena *a, Diags *d, const char *file, const char *text, size_t n) {
    Parse *p = NEW(a, Parse);
    p->s = (Scan){.arena = a, .diags = d, .file = file, .at = text, .end = text + n, .line_start = text, .line = 1};
    if (setjmp(p->s.refused)) return NULL;
    if (!scan_accept_word(&p->s, "qir")) scan_fail(&p->s, "the text does not begin with 'qir' and a version");
    scan_int(&p->s, TEXT_VERSION, TEXT_VERSION);
    Graph *g = parse_graph(p, NULL);
    scan_peek(&p->s);
    if (p->s.at != p->s.end) scan_fail(&p->s, "something stands after the graph");
    return g;
}
