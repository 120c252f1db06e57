/* From an ONNX file to a Graph: the model's header, its inputs with their dimensions bound, the walk over its nodes,
 * its outputs, and one report of everything that is not supported. */
#include "frontend/import.h"

#include <string.h>

#include "base/file.h"

enum { IR_NEWEST = 14 };

Value *import_poison(Import *imp) { return &imp->poison; }

static Loc loc_of(const Import *imp) { return (Loc){.file = imp->file, .index = -1}; }

const Tensor *import_tensor(Import *imp, const Onnx__TensorProto *p, Loc loc) {
    const Tensor *t = map_get_ptr(&imp->tensors, p);
    if (t) return t;
    t = tensor_import(&imp->source, p, loc);
    if (t) map_put_ptr(imp->arena, &imp->tensors, p, (void *)(uintptr_t)t);
    return t;
}

/* ---- declared types ---- */

static const char *foreign_kind(const Onnx__TypeProto *t) {
    switch (t->value_case) {
    case ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE:
        return "a sequence";
    case ONNX__TYPE_PROTO__VALUE_MAP_TYPE:
        return "a map";
    case ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE:
        return "an optional";
    case ONNX__TYPE_PROTO__VALUE_SPARSE_TENSOR_TYPE:
        return "a sparse tensor";
    default:
        return "of no known type";
    }
}

static bool declared_shape(Import *imp, Loc loc, const char *what, const Onnx__TensorShapeProto *p, Declared *out) {
    out->has_shape = true;
    if (p->n_dim > MAX_RANK) {
        diag(imp->d, D_MODEL_LIMIT, loc, "%s has rank %zu, at most %d is supported", what, p->n_dim, MAX_RANK);
        return false;
    }
    out->shape.rank = (int)p->n_dim;
    for (size_t i = 0; i < p->n_dim; i++) {
        const Onnx__TensorShapeProto__Dimension *d = p->dim[i];
        out->shape.dim[i] = -1;
        out->names[i] = "";
        if (d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM) {
            out->names[i] = arena_str(imp->arena, proto_str(d->dim_param));
        } else if (d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE && d->dim_value >= 0) {
            out->shape.dim[i] = d->dim_value;
            out->names[i] = NULL;
        }
    }
    return true;
}

bool declared_type(Import *imp, Loc loc, const char *what, const Onnx__TypeProto *t, Declared *out) {
    *out = (Declared){0};
    if (!t || t->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || !t->tensor_type) {
        diag(imp->d, D_ELEM_TYPE, loc, "%s is %s, only tensors are supported", what,
             t ? foreign_kind(t) : "of no type");
        return false;
    }
    out->elem = elem_import(imp->d, loc, what, t->tensor_type->elem_type);
    if (!out->elem) return false;
    return !t->tensor_type->shape || declared_shape(imp, loc, what, t->tensor_type->shape, out);
}

/* ---- inputs ---- */

typedef struct Input {
    const char *name, *what;
    Declared declared;
} Input;

typedef struct Dim {
    int64_t size;
} Dim;

typedef struct Inputs {
    Import *imp;
    VEC(Input) list;
    Map dims; /* name -> Dim */
} Inputs;

/* As the model declares it: f32[N,3,?,224]. */
static const char *declared_str(const Import *imp, const Declared *d) {
    Text t = {.arena = imp->arena};
    text_add(&t, "%s", elem_info[d->elem].name);
    for (int i = 0; d->has_shape && i < d->shape.rank; i++) {
        text_add(&t, "%s", i ? "," : "[");
        if (!d->names[i])
            text_add(&t, "%lld", (long long)d->shape.dim[i]);
        else
            text_add(&t, "%s", *d->names[i] ? d->names[i] : "?");
    }
    if (d->has_shape) text_add(&t, "%s", d->shape.rank ? "]" : "[]");
    return t.s;
}

static void list_inputs(const Inputs *s, Diag *g) {
    enum { SHOWN = 20 };
    for (size_t i = 0; i < s->list.n && i < SHOWN; i++) {
        const Input *in = &s->list.at[i];
        diag_note(s->imp->d, g, "%s: %s", in->what, declared_str(s->imp, &in->declared));
    }
}

static bool bind_dim(Inputs *s, const char *name, int64_t size) {
    Dim *known = map_get(&s->dims, name);
    if (known) return known->size == size;
    known = NEW(s->imp->arena, Dim);
    known->size = size;
    map_put(s->imp->arena, &s->dims, name, known);
    return true;
}

static void apply_shape(Inputs *s, Input *in, const Shape *given) {
    Import *imp = s->imp;
    Declared *d = &in->declared;
    bool fits = !d->has_shape || d->shape.rank == given->rank;
    for (int i = 0; fits && d->has_shape && i < given->rank; i++) {
        if (!d->names[i])
            fits = d->shape.dim[i] == given->dim[i];
        else if (*d->names[i])
            fits = bind_dim(s, d->names[i], given->dim[i]);
    }
    if (fits) {
        bool symbolic = d->has_shape && given->rank > 0 && d->names[0];
        const char *batch = symbolic ? d->names[0] : NULL;
        *d = (Declared){.has_shape = true, .elem = d->elem, .shape = *given, .names = {batch}};
        return;
    }
    diag(imp->d, D_USAGE, loc_of(imp), "the shape %s given for %s does not fit its declaration, %s",
         shape_str(imp->arena, given), in->what, declared_str(imp, d));
}

static Input *find_input(Inputs *s, const char *name) {
    for (size_t i = 0; i < s->list.n; i++) {
        if (strcmp(s->list.at[i].name, name) == 0) return &s->list.at[i];
    }
    return NULL;
}

static bool is_declared(const Inputs *s, const char *dim) {
    for (size_t i = 0; i < s->list.n; i++) {
        for (int k = 0; k < s->list.at[i].declared.shape.rank; k++) {
            const char *name = s->list.at[i].declared.names[k];
            if (name && strcmp(name, dim) == 0) return true;
        }
    }
    return false;
}

static void apply_options(Inputs *s) {
    const ImportOptions *o = s->imp->o;
    for (size_t i = 0; i < o->n_dims; i++) {
        const ImportDim *dim = &o->dims[i];
        if (!is_declared(s, dim->name)) {
            list_inputs(s, diag(s->imp->d, D_USAGE, loc_of(s->imp),
                                "a size is given for '%s', which is no dimension of an input", dim->name));
        } else if (!bind_dim(s, dim->name, dim->size)) {
            diag(s->imp->d, D_USAGE, loc_of(s->imp), "the size %lld given for '%s' contradicts another",
                 (long long)dim->size, dim->name);
        }
    }
    for (size_t i = 0; i < o->n_shapes; i++) {
        Input *in = find_input(s, o->shapes[i].input);
        if (in)
            apply_shape(s, in, &o->shapes[i].shape);
        else
            list_inputs(s, diag(s->imp->d, D_USAGE, loc_of(s->imp), "a shape is given for '%s', which is no input",
                                o->shapes[i].input));
    }
}

static void default_batch(Inputs *s, Input *in) {
    Declared *d = &in->declared;
    if (!d->has_shape || d->shape.rank == 0 || !d->names[0] || d->shape.dim[0] >= 0) return;
    if (*d->names[0] && map_get(&s->dims, d->names[0])) return;
    int64_t batch = s->imp->o->batch ? s->imp->o->batch : 1;
    if (*d->names[0])
        bind_dim(s, d->names[0], batch);
    else
        d->shape.dim[0] = batch;
    diag(s->imp->d, D_BATCH_DEFAULT, loc_of(s->imp), "dimension 0 ('%s') of %s is taken as %lld", d->names[0], in->what,
         (long long)batch);
}

static void refuse_symbolic(Inputs *s, const Input *in, int dim) {
    const char *name = in->declared.names[dim];
    Diag *g =
        diag(s->imp->d, D_SYMBOLIC_DIM, loc_of(s->imp), "dimension %d ('%s') of %s has no value", dim, name, in->what);
    if (*name)
        diag_hint(s->imp->d, g, "--dim %s=SIZE", name);
    else
        diag_hint(s->imp->d, g, "--shape %s=AxBxC", in->name);
}

static bool complete_shape(Inputs *s, Input *in) {
    Declared *d = &in->declared;
    bool complete = true;
    if (!d->has_shape) {
        Diag *g = diag(s->imp->d, D_SYMBOLIC_DIM, loc_of(s->imp), "%s has no shape", in->what);
        diag_hint(s->imp->d, g, "--shape %s=AxBxC", in->name);
        return false;
    }
    for (int i = 0; i < d->shape.rank; i++) {
        if (d->shape.dim[i] >= 0) continue;
        const Dim *known = *d->names[i] ? map_get(&s->dims, d->names[i]) : NULL;
        if (known)
            d->shape.dim[i] = known->size;
        else
            refuse_symbolic(s, in, i), complete = false;
    }
    if (!complete) return false;
    Type t = {d->elem, d->shape};
    if (type_bytes(&t) >= 0) return true;
    diag(s->imp->d, D_SIZE_LIMIT, loc_of(s->imp), "%s is too large: %s", in->what, type_str(s->imp->arena, &t));
    return false;
}

static const Tensor *given_constant(const Import *imp, const char *name) {
    for (size_t i = 0; i < imp->o->n_consts; i++) {
        if (strcmp(imp->o->consts[i].input, name) == 0) return imp->o->consts[i].value;
    }
    return NULL;
}

/* An input that --const binds; its type must be what the model declares. */
static void bind_constant(Inputs *s, Scope *scope, Input *in, const Tensor *t) {
    Import *imp = s->imp;
    Declared *d = &in->declared;
    bool fits = d->elem == t->type.elem && (!d->has_shape || d->shape.rank == t->type.shape.rank);
    for (int i = 0; fits && d->has_shape && i < d->shape.rank; i++) {
        int64_t size = t->type.shape.dim[i];
        fits = d->shape.dim[i] >= 0 ? d->shape.dim[i] == size : !*d->names[i] || bind_dim(s, d->names[i], size);
    }
    if (!fits) {
        diag(imp->d, D_USAGE, loc_of(imp), "the constant %s does not fit the declaration of %s, %s",
             type_str(imp->arena, &t->type), in->what, declared_str(imp, d));
    }
    scope_bind(imp, scope, loc_of(imp), in->name, graph_constant(imp->g, "", t));
}

/* Inputs that are no initializers, with their declared types; --const binds some at once. */
static void collect_inputs(Inputs *s, Scope *scope) {
    Import *imp = s->imp;
    const Onnx__GraphProto *g = imp->model->graph;
    Map seen = {0};
    for (size_t i = 0; i < g->n_input && imp->d->n_errors < DIAG_CAP; i++) {
        const char *name = arena_str(imp->arena, proto_str(g->input[i]->name));
        if (map_get(&seen, name)) {
            diag(imp->d, D_GRAPH_STRUCTURE, loc_of(imp), "there are two inputs named '%s'", name);
            continue;
        }
        map_put(imp->arena, &seen, name, imp);
        if (map_get(&scope->values, name)) continue;
        Input in = {.name = name, .what = arena_printf(imp->arena, "input '%s'", name)};
        const Tensor *t = given_constant(imp, name);
        if (!declared_type(imp, loc_of(imp), in.what, g->input[i]->type, &in.declared))
            scope_bind(imp, scope, loc_of(imp), name, import_poison(imp));
        else if (t)
            bind_constant(s, scope, &in, t);
        else
            vec_push(imp->arena, &s->list, in);
    }
}

static void make_input(Inputs *s, Scope *scope, Input *in) {
    Import *imp = s->imp;
    bool symbolic = in->declared.names[0] != NULL;
    if (!complete_shape(s, in)) {
        scope_bind(imp, scope, loc_of(imp), in->name, import_poison(imp));
        return;
    }
    Value *v = graph_input(imp->g, in->name, (Type){in->declared.elem, in->declared.shape});
    if (symbolic) imp->g->inputs.at[imp->g->inputs.n - 1].batch = *in->declared.names[0] ? in->declared.names[0] : "N";
    scope_bind(imp, scope, loc_of(imp), in->name, v);
}

static void check_constants_used(Import *imp, const Scope *scope) {
    for (size_t i = 0; i < imp->o->n_consts; i++) {
        const char *name = imp->o->consts[i].input;
        if (map_get(&scope->values, name)) continue;
        diag(imp->d, D_USAGE, loc_of(imp), "a constant is given for '%s', which is no input", name);
    }
}

static void make_inputs(Import *imp, Scope *scope) {
    Inputs s = {.imp = imp};
    collect_inputs(&s, scope);
    apply_options(&s);
    for (size_t i = 0; i < s.list.n; i++) default_batch(&s, &s.list.at[i]);
    for (size_t i = 0; i < s.list.n; i++) make_input(&s, scope, &s.list.at[i]);
    check_constants_used(imp, scope);
}

/* ---- outputs ---- */

/* What a declaration says against a value's type; NULL: nothing. */
static const char *contradiction(const Import *imp, const Declared *d, const Value *v) {
    bool fits = d->elem == v->type.elem && (!d->has_shape || d->shape.rank == v->type.shape.rank);
    for (int i = 0; fits && d->has_shape && i < d->shape.rank; i++) {
        fits = d->shape.dim[i] < 0 || d->shape.dim[i] == v->type.shape.dim[i];
    }
    if (fits) return NULL;
    Type t = {d->elem, d->shape};
    const char *declared = d->has_shape ? type_str(imp->arena, &t) : elem_info[d->elem].name;
    return arena_printf(imp->arena, "is declared %s, but is %s", declared, type_str(imp->arena, &v->type));
}

/* Whether a declared shape differs from the computed one by dimensions of 1 only: what some exporters lose, and no
 * caller's buffer suffers from. */
static bool same_but_ones(const Declared *d, const Value *v) {
    const Shape *s = &v->type.shape;
    int k = 0;
    if (!d->has_shape || d->elem != v->type.elem) return false;
    for (int i = 0; i < d->shape.rank; i++) {
        if (d->shape.dim[i] == 1) continue;
        while (k < s->rank && s->dim[k] == 1) k++;
        if (k == s->rank || d->shape.dim[i] != s->dim[k++]) return false;
    }
    while (k < s->rank && s->dim[k] == 1) k++;
    return k == s->rank;
}

static void make_output(Import *imp, const Scope *scope, Map *seen, const Onnx__ValueInfoProto *p) {
    const char *name = arena_str(imp->arena, proto_str(p->name));
    Value *v = scope_find(scope, name);
    Declared declared = {0};
    if (!v) {
        diag(imp->d, D_GRAPH_STRUCTURE, loc_of(imp), "output '%s' is made by no node", name);
        return;
    }
    if (is_poison(imp, v)) return;
    if (map_get(seen, name)) {
        diag(imp->d, D_GRAPH_STRUCTURE, loc_of(imp), "output '%s' is declared twice", name);
        return;
    }
    map_put(imp->arena, seen, name, v);
    if (p->type) {
        const char *what = arena_printf(imp->arena, "output '%s'", name), *why;
        if (!declared_type(imp, loc_of(imp), what, p->type, &declared)) return;
        why = contradiction(imp, &declared, v);
        DiagId id = same_but_ones(&declared, v) ? D_VALUE_INFO : D_GRAPH_STRUCTURE;
        if (why) diag(imp->d, id, loc_of(imp), "%s %s", what, why);
    }
    graph_output(imp->g, name, v);
    const char *batch = declared.has_shape && declared.shape.rank > 0 ? declared.names[0] : NULL;
    if (batch) imp->g->outputs.at[imp->g->outputs.n - 1].batch = *batch ? batch : "N";
}

static void make_outputs(Import *imp, const Scope *scope) {
    const Onnx__GraphProto *g = imp->model->graph;
    Map seen = {0};
    if (g->n_output == 0) diag(imp->d, D_GRAPH_STRUCTURE, loc_of(imp), "the graph has no outputs");
    for (size_t i = 0; i < g->n_output && imp->d->n_errors < DIAG_CAP; i++)
        make_output(imp, scope, &seen, g->output[i]);
}

/* Types noted for values within the graph: they bind nothing, but a wrong one is worth a word. */
static void check_value_info(Import *imp, const Scope *scope) {
    const Onnx__GraphProto *g = imp->model->graph;
    for (size_t i = 0; i < g->n_value_info; i++) {
        const Onnx__ValueInfoProto *p = g->value_info[i];
        const Value *v = scope_find(scope, proto_str(p->name));
        Declared declared;
        if (!v || is_poison(imp, v) || !p->type || p->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE) continue;
        const char *what = arena_printf(imp->arena, "value '%s'", p->name), *why;
        if (!declared_type(imp, loc_of(imp), what, p->type, &declared)) continue;
        why = contradiction(imp, &declared, v);
        if (why) diag(imp->d, D_VALUE_INFO, loc_of(imp), "%s %s", what, why);
    }
}

/* ---- the model ---- */

static bool check_header(Import *imp) {
    const Onnx__ModelProto *m = imp->model;
    int errors = imp->d->n_errors;
    if (m->ir_version < 1 || m->ir_version > IR_NEWEST) {
        diag(imp->d, D_NOT_ONNX, loc_of(imp), "the IR version is %lld, 1 to %d are known", (long long)m->ir_version,
             IR_NEWEST);
    }
    if (!m->graph) diag(imp->d, D_NOT_ONNX, loc_of(imp), "the model has no graph");
    if (!check_opset_count(imp, m->n_opset_import)) return false;
    for (size_t i = 0; i < m->n_opset_import; i++) {
        const char *domain = proto_str(m->opset_import[i]->domain);
        int64_t version = m->opset_import[i]->version;
        for (size_t k = 0; k < i; k++) {
            if (strcmp(domain, proto_str(m->opset_import[k]->domain)) != 0) continue;
            diag(imp->d, D_OPSET, loc_of(imp), "the operator set of domain '%s' is imported twice", domain);
            return false;
        }
        if (*domain || (version >= 1 && version <= OPSET_NEWEST)) continue;
        diag(imp->d, D_OPSET, loc_of(imp), "operator set %lld is not known, 1 to %d are", (long long)version,
             OPSET_NEWEST);
    }
    return imp->d->n_errors == errors;
}

static void report_missing(Import *imp) {
    for (size_t i = 0; i < imp->missing.n; i++) {
        const Missing *m = imp->missing.at[i];
        const char *domain = *m->domain ? arena_printf(imp->arena, " of domain '%s'", m->domain) : "";
        Diag *g =
            diag(imp->d, D_UNSUPPORTED_OP, m->first, "operator %s%s is not supported%s%s; %zu %s it", m->op, domain,
                 m->why ? ": " : "", m->why ? m->why : "", m->count, m->count == 1 ? "node uses" : "nodes use");
        Text names = {.arena = imp->arena};
        for (size_t k = 0; k < m->nodes.n; k++) text_add(&names, "%s'%s'", k ? ", " : "", m->nodes.at[k]);
        if (m->nodes.n > 0) diag_note(imp->d, g, "nodes: %s%s", names.s, m->nodes.n < m->count ? ", ..." : "");
    }
}

static bool check_ports(Import *imp) {
    const Onnx__GraphProto *g = imp->model->graph;
    size_t own = g->n_input > g->n_initializer ? g->n_input - g->n_initializer : 0; /* some may be initializers */
    if (own <= MAX_PORTS && g->n_output <= MAX_PORTS) return true;
    diag(imp->d, D_MODEL_LIMIT, loc_of(imp),
         "the graph has %zu inputs and %zu outputs, at most %d of each are supported", g->n_input, g->n_output,
         MAX_PORTS);
    return false;
}

static void import_graph(Import *imp) {
    Scope scope = {.prefix = ""};
    const Onnx__GraphProto *g = imp->model->graph;
    imp->g = graph_new(imp->arena, NULL, arena_str(imp->arena, proto_str(g->name)));
    imp->g->source = imp->file;
    sha256_hex(imp->source.bytes.data, imp->source.bytes.bytes, imp->g->sha256);
    functions_collect(imp);
    walk_initializers(imp, &scope, g);
    make_inputs(imp, &scope);
    walk_nodes(imp, &scope, g->n_node, g->node);
    make_outputs(imp, &scope);
    check_value_info(imp, &scope);
    check_annotations(imp, &scope);
    report_missing(imp);
}

Graph *onnx_import_bytes(Arena *a, Diags *d, const char *name, const char *dir, const void *data, size_t bytes,
                         const ImportOptions *o) {
    static const ImportOptions none;
    Import imp = {.arena = a, .d = d, .file = name, .o = o ? o : &none};
    Arena *protos = arena_nested(a);
    int errors = d->n_errors;
    imp.source = (TensorSource){.arena = a, .d = d, .dir = dir, .bytes = {data, bytes}, .read = imp.o->read};
    imp.model = proto_model(protos, d, name, imp.source.bytes);
    if (imp.model && check_header(&imp) && check_ports(&imp)) import_graph(&imp);
    arena_free(protos);
    return d->n_errors == errors ? imp.g : NULL;
}

Graph *onnx_import(Arena *a, Diags *d, const char *path, const ImportOptions *o) {
    FileView v;
    if (!file_map(a, d, path, &v)) return NULL;
    return onnx_import_bytes(a, d, path, path_dir(a, path), v.data, v.bytes, o);
}
