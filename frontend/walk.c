/* The walk over the nodes: names to values, and each node to whoever makes it. */
#include <string.h>

#include "frontend/import.h"

enum { NODES_SHOWN = 8 }; /* of those that use an operator that is not supported */

/* ---- names ---- */

Value *scope_find(const Scope *s, const char *name) {
    for (; s; s = s->outer) {
        Value *v = map_get(&s->values, name);
        if (v) return v;
    }
    return NULL;
}

void scope_bind(Import *imp, Scope *s, Loc loc, const char *name, Value *v) {
    if (map_get(&s->values, name)) {
        diag(imp->d, D_GRAPH_STRUCTURE, loc, "the name '%s' is defined twice", name);
        return;
    }
    const char *own = arena_str(imp->arena, name);
    map_put(imp->arena, &s->values, own, v);
    if (v->graph && !*v->name) v->name = own;
}

static bool is_made_later(const Scope *s, const char *name) {
    for (size_t i = 0; i < s->n_nodes; i++) {
        for (size_t k = 0; k < s->nodes[i]->n_output; k++) {
            if (strcmp(s->nodes[i]->output[k], name) == 0) return true;
        }
    }
    return false;
}

static Value *find_operand(Import *imp, const Scope *s, Loc loc, const char *name) {
    Value *v = scope_find(s, name);
    if (v) return v == &imp->absent ? NULL : v;
    for (const Scope *o = s; o; o = o->outer) {
        if (!is_made_later(o, name)) continue;
        diag(imp->d, D_GRAPH_STRUCTURE, loc, "'%s' is used before it is made: nodes must be in topological order",
             name);
        return import_poison(imp);
    }
    diag(imp->d, D_GRAPH_STRUCTURE, loc, "'%s' is neither an input, an initializer nor made by a node", name);
    return import_poison(imp);
}

/* ---- one node ---- */

static void note_missing(Import *imp, Loc loc, const char *domain, const char *op, const char *why) {
    const char *key = arena_printf(imp->arena, "%s\n%s", domain, op);
    Missing *m = map_get(&imp->missing_keys, key);
    if (!m) {
        m = NEW(imp->arena, Missing);
        *m = (Missing){arena_str(imp->arena, domain), arena_str(imp->arena, op), .why = why, .first = loc};
        vec_push(imp->arena, &imp->missing, m);
        map_put(imp->arena, &imp->missing_keys, key, m);
    }
    m->count++;
    if (m->nodes.n < NODES_SHOWN && *loc.node) vec_push(imp->arena, &m->nodes, loc.node);
}

static const Tensor *constant_list(Import *imp, const Onnx__AttributeProto *p) {
    Arena *a = imp->arena;
    const char *name = proto_str(p->name);
    if (strcmp(name, "value_int") == 0) return tensor_from_ints(a, QCC_I64, shape_of(0, NULL), &p->i);
    if (strcmp(name, "value_float") == 0) return tensor_from_f32(a, shape_of(0, NULL), &p->f);
    if (strcmp(name, "value_ints") == 0) {
        return tensor_from_ints(a, QCC_I64, shape_of(1, &(int64_t){(int64_t)p->n_ints}), p->ints);
    }
    if (strcmp(name, "value_floats") == 0) {
        return tensor_from_f32(a, shape_of(1, &(int64_t){(int64_t)p->n_floats}), p->floats);
    }
    return NULL;
}

static void make_constant(Import *imp, Scope *s, const Onnx__NodeProto *n, Loc loc, Value **out) {
    const Tensor *t = NULL;
    const Onnx__AttributeProto *p = n->n_attribute == 1 ? attr_resolve(s, n->attribute[0]) : NULL;
    const char *name = p ? proto_str(n->attribute[0]->name) : "";
    if (n->n_output != 1) {
        diag(imp->d, D_ARITY, loc, "a Constant has one output, this one has %zu", n->n_output);
        return;
    }
    if (p && strcmp(name, "value") == 0 && p->t) {
        t = import_tensor(imp, p->t, loc);
        if (!t) return;
    } else if (p) {
        t = constant_list(imp, p);
    }
    if (t)
        out[0] = graph_constant(imp->g, "", t);
    else if (strcmp(name, "sparse_value") == 0 || strncmp(name, "value_string", 12) == 0)
        diag(imp->d, D_ELEM_TYPE, loc, "the constant is %s, which is not supported",
             *name == 's' ? "a sparse tensor" : "of element type string");
    else
        diag(imp->d, D_ATTRIBUTE, loc, "a Constant has exactly one attribute, its value");
}

static const Foreign *foreign_of(const Onnx__NodeProto *n) {
    return foreign_find(domain_short(proto_str(n->domain)), proto_str(n->op_type));
}

static void make_node(Import *imp, Scope *s, const Onnx__NodeProto *n, Loc loc, Value *const *in, Value **out) {
    Draft *d = draft_new(imp, loc.op, loc.opset, loc, (int)n->n_output);
    d->foreign = foreign_of(n);
    for (size_t i = 0; i < n->n_input; i++) vec_push(imp->arena, &d->in, in[i]);
    for (size_t i = 0; i < n->n_output; i++) d->wanted[i] = *n->output[i] != '\0';
    if (!attrs_import(imp, s, n, loc, d) || !draft_build(d)) return;
    for (size_t i = 0; i < n->n_output; i++) {
        if (d->out[i]) out[i] = d->out[i];
    }
}

static bool is_constant_op(const char *op) { return strcmp(op, "Constant") == 0; }

static bool is_known(const char *domain, const char *op, const Foreign *foreign) {
    if (foreign) return !foreign_refusal(foreign);
    return !*domain && (is_constant_op(op) || control_find(op) || op_find(op) != OP_NONE || upgrade_knows(op));
}

/* The version of the node's operator set; 0 after a diagnostic or a note that the operator is not supported. */
static int opset_of(Import *imp, const Scope *s, const Onnx__NodeProto *n, Loc loc) {
    const char *domain = domain_short(proto_str(n->domain)), *op = loc.op;
    const Foreign *foreign = foreign_of(n);
    int64_t version = opset_version(imp, s, domain);
    if (!*op) {
        diag(imp->d, D_GRAPH_STRUCTURE, loc, "the node has no operator");
        return 0;
    }
    bool fits = version >= 1 && version <= OPSET_NEWEST, known = is_known(domain, op, foreign);
    if (!fits && !*domain) {
        diag(imp->d, D_OPSET, loc,
             version ? "operator set %lld is not known, 1 to %d are" : "no operator set is imported",
             (long long)version, OPSET_NEWEST);
        return 0;
    }
    if (!known) note_missing(imp, loc, proto_str(n->domain), op, foreign_refusal(foreign));
    return !known ? 0 : fits ? (int)version : 1;
}

/* The sub-graphs of a node whose operator is not supported are not looked into: nothing is known of their inputs. */
static void walk_node(Import *imp, Scope *s, const Onnx__NodeProto *n, int index) {
    Arena *a = imp->arena;
    Loc loc = {.file = imp->file, .index = index};
    const char *name = proto_str(n->name);
    loc.op = arena_str(a, proto_str(n->op_type));
    /* Within a body a path that ended in nothing would not tell its nodes apart. */
    loc.node = arena_printf(a, "%s%s", s->prefix, *name || !*s->prefix ? name : loc.op);
    Value **in = NEW_ARRAY(a, Value *, n->n_input + 1), **out = NEW_ARRAY(a, Value *, n->n_output + 1);
    for (size_t i = 0; i < n->n_input; i++) in[i] = *n->input[i] ? find_operand(imp, s, loc, n->input[i]) : NULL;
    for (size_t i = 0; i < n->n_output; i++) out[i] = import_poison(imp);
    const Onnx__FunctionProto *f = function_find(imp, n);
    if (f)
        function_inline(imp, s, n, f, loc, in, out);
    else if ((loc.opset = opset_of(imp, s, n, loc)) > 0) {
        ControlFn *control = control_find(loc.op);
        if (is_constant_op(loc.op))
            make_constant(imp, s, n, loc, out);
        else if (control)
            control(imp, s, n, loc, in, out);
        else
            make_node(imp, s, n, loc, in, out);
    }
    for (size_t i = 0; i < n->n_output; i++) {
        if (*n->output[i]) scope_bind(imp, s, loc, n->output[i], out[i]);
    }
}

/* ---- lists of nodes ---- */

bool walk_step(Import *imp, Loc loc) {
    if (++imp->steps <= MAX_STEPS) return true;
    if (imp->steps == MAX_STEPS + 1) {
        diag(imp->d, D_MODEL_LIMIT, loc, "inlining and unrolling make more than %d nodes", MAX_STEPS);
    }
    return false;
}

void walk_nodes(Import *imp, Scope *s, size_t n, Onnx__NodeProto **nodes) {
    bool inlined = s->call || s->outer;
    s->n_nodes = n;
    s->nodes = nodes;
    for (size_t i = 0; i < n && imp->d->n_errors < DIAG_CAP; i++) {
        if (inlined && !walk_step(imp, (Loc){.file = imp->file, .index = (int)i})) return;
        walk_node(imp, s, nodes[i], (int)i);
    }
}

void walk_initializers(Import *imp, Scope *s, const Onnx__GraphProto *g) {
    Loc loc = {.file = imp->file, .index = -1};
    for (size_t i = 0; i < g->n_initializer; i++) {
        const char *name = proto_str(g->initializer[i]->name);
        if (!*name) diag(imp->d, D_GRAPH_STRUCTURE, loc, "initializer %zu has no name", i);
        if (!*name || imp->d->n_errors >= DIAG_CAP) continue;
        const Tensor *t = import_tensor(imp, g->initializer[i], loc);
        scope_bind(imp, s, loc, name, t ? graph_constant(imp->g, "", t) : import_poison(imp));
    }
    if (g->n_sparse_initializer > 0) diag(imp->d, D_ELEM_TYPE, loc, "sparse initializers are not supported");
}

void walk_body(Import *imp, Scope *s, const Onnx__GraphProto *g, Value *const *in, Value **out) {
    Loc loc = {.file = imp->file, .index = -1, .node = s->prefix};
    int errors = imp->d->n_errors;
    for (size_t i = 0; i < g->n_output; i++) out[i] = import_poison(imp);
    for (size_t i = 0; i < g->n_input; i++) scope_bind(imp, s, loc, proto_str(g->input[i]->name), in[i]);
    if (imp->depth >= MAX_CALL_DEPTH) {
        diag(imp->d, D_MODEL_LIMIT, loc, "functions and bodies are nested more than %d deep", MAX_CALL_DEPTH);
        return;
    }
    imp->depth++;
    walk_initializers(imp, s, g);
    walk_nodes(imp, s, g->n_node, g->node);
    imp->depth--;
    for (size_t i = 0; i < g->n_output; i++) {
        const char *name = proto_str(g->output[i]->name);
        Value *v = scope_find(s, name);
        if (v && v != &imp->absent)
            out[i] = v;
        else if (imp->d->n_errors == errors)
            diag(imp->d, D_GRAPH_STRUCTURE, loc, "output '%s' of the body is made by none of its nodes", name);
    }
}
