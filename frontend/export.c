/* ONNX out. The IR's operators are ONNX's of the newest set, and nearly all of them are the same in the set that is
 * written; where one is newer (export.def) the whole model is declared newer. Operators of our own are functions, or
 * are written in another dialect, or are expanded into ONNX's first; those of other domains go back there. */
#include "frontend/export.h"

#include <string.h>

#include "frontend/import.h"
#include "ir/op.h"

enum { OPSET_WRITTEN = 21 };
#define MAX_BYTES (((int64_t)1 << 31) - 1) /* of a protocol buffer */

static char *text(const char *s) { return (char *)(uintptr_t)s; }

/* ---- names ---- */

static const char *fresh(Export *e, Map *taken, const char *like) {
    const char *name = like;
    for (int i = 1; map_get(taken, name); i++) name = arena_printf(e->arena, "%s_%d", like, i);
    map_put(e->arena, taken, name, e);
    return name;
}

const char *export_fresh(Export *e, const char *like) { return fresh(e, &e->taken, like); }

static void give_name(Export *e, const Value *v, const char *like) {
    if (map_get_ptr(&e->names, v)) return;
    map_put_ptr(e->arena, &e->names, v, text(export_fresh(e, like)));
}

/* Ports are promised to callers, so they come first; then the values that have names; the rest are numbered. */
static void give_names(Export *e) {
    for (size_t i = 0; i < e->g->inputs.n; i++) give_name(e, e->g->inputs.at[i].value, e->g->inputs.at[i].name);
    for (size_t i = 0; i < e->g->outputs.n; i++) {
        const GraphPort *p = &e->g->outputs.at[i];
        if (map_get_ptr(&e->names, p->value))
            map_put(e->arena, &e->taken, p->name, e);
        else
            give_name(e, p->value, p->name);
    }
    for (int named = 1; named >= 0; named--) {
        for (const Node *n = e->g->first; n; n = n->next) {
            for (int i = 0; i < n->n_in + n->n_out; i++) {
                const Value *v = i < n->n_in ? n->in[i] : n->out[i - n->n_in];
                if (v && (*v->name != '\0') == named)
                    give_name(e, v, named ? v->name : arena_printf(e->arena, "v%d", v->id));
            }
        }
    }
}

/* ---- what is declared ---- */

static void need_opset(Export *e, int64_t opset) { e->opset = i64_max(e->opset, opset); }

static void need_elem(Export *e, Elem elem) {
    if (elem == QCC_I2 || elem == QCC_U2) need_opset(e, 25);
}

static void need_operator(Export *e, const Node *n) {
    static const struct {
        OpId op;
        const char *attr;
        int opset;
    } newer[] = {
#define NEWER(op, attr, opset) {OP_##op, attr, opset},
#include "frontend/export.def"
#undef NEWER
    };
    for (size_t i = 0; i < COUNT_OF(newer); i++) {
        if (newer[i].op == n->op && (!*newer[i].attr || node_attr(n, newer[i].attr))) need_opset(e, newer[i].opset);
    }
    for (int i = 0; i < n->n_in + n->n_out; i++) {
        const Value *v = i < n->n_in ? n->in[i] : n->out[i - n->n_in];
        if (v) need_elem(e, v->type.elem);
    }
}

/* The IR version that came with an operator set. */
static int64_t ir_version(int64_t opset) {
    static const struct {
        int opset, ir;
    } since[] = {{28, 14}, {25, 13}, {24, 12}, {23, 11}, {21, 10}};
    for (size_t i = 0; i < COUNT_OF(since); i++)
        if (opset >= since[i].opset) return since[i].ir;
    bug("export: operator set %d", (int)opset);
}

void export_domain(Export *e, const char *domain, int64_t version) {
    Onnx__ModelProto *m = e->model;
    for (size_t i = 0; i < m->n_opset_import; i++)
        if (strcmp(m->opset_import[i]->domain, domain) == 0) return;
    proto_push(e->arena, m->n_opset_import, m->opset_import, opset_proto(e->arena, domain, version));
}

void export_unsaid(Export *e, const Node *n, const char *why) {
    const char *node = n->loc.node ? n->loc.node : "", *result = n->out[0]->name;
    const char *which = *node ? "" : *result ? "that makes " : "behind ";
    const char *name = *node ? node : *result ? result : n->in[0]->name;
    vec_push(e->arena, &e->unsaid,
             arena_printf(e->arena, "node %s'%s' (%s): %s", which, name, op_def(n->op)->name, why));
}

/* ---- tensors ---- */

static void add_initializer(Export *e, const char *name, const Tensor *t) {
    Onnx__GraphProto *g = e->model->graph;
    need_elem(e, t->type.elem);
    proto_push(e->arena, g->n_initializer, g->initializer, tensor_proto(e->arena, name, t));
}

/* A splat is written as what makes it again. */
static void add_splat(Export *e, const char *name, const Tensor *t) {
    Onnx__GraphProto *g = e->model->graph;
    Tensor one = {.type = {.elem = t->type.elem, .shape = {.rank = 1, .dim = {1}}}, .data = t->data};
    int64_t rank = t->type.shape.rank;
    const Tensor *dims = tensor_from_ints(e->arena, QCC_I64, shape_of(1, &rank), t->type.shape.dim);
    Onnx__NodeProto *n = node_proto(e->arena, "", "ConstantOfShape");
    node_proto_in(e->arena, n, export_constant(e, arena_printf(e->arena, "%s_shape", name), dims));
    node_proto_out(e->arena, n, name);
    node_proto_attr(e->arena, n, "value", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR)->t =
        tensor_proto(e->arena, "", &one);
    proto_push(e->arena, g->n_node, g->node, n);
}

const char *export_constant(Export *e, const char *like, const Tensor *t) {
    const char *name = export_fresh(e, like);
    add_initializer(e, name, t);
    return name;
}

const char *export_instead(Export *e, const Value *v, const Tensor *t) {
    const char *name = map_get_ptr(&e->names, v);
    if (map_get_ptr(&e->written, v)) name = export_fresh(e, name);
    map_put_ptr(e->arena, &e->written, v, text(name));
    add_initializer(e, name, t);
    return name;
}

/* ConstantOfShape does not make the types of less than 8 bits everywhere. */
static void add_constant(Export *e, const char *name, const Tensor *t) {
    bool splat = t->splat && shape_count(&t->type.shape) > 1 && elem_info[t->type.elem].bits >= 8;
    if (splat)
        add_splat(e, name, t);
    else
        add_initializer(e, name, t);
}

/* The constants that a node needs and that are not written yet, in front of it. */
const char *export_name(Export *e, const Value *v) {
    if (!v) return "";
    const char *name = map_get_ptr(&e->names, v);
    if (!name) bug("export: a value without a name");
    if (v->constant && !map_get_ptr(&e->written, v)) {
        map_put_ptr(e->arena, &e->written, v, text(name));
        add_constant(e, name, v->constant);
    }
    return name;
}

/* ---- nodes ---- */

Onnx__NodeProto *export_node(Export *e, const Node *n, const char *domain, const char *op) {
    Onnx__GraphProto *g = e->model->graph;
    Onnx__NodeProto *p = node_proto(e->arena, domain, op);
    if (n->loc.node && *n->loc.node) p->name = text(fresh(e, &e->nodes, n->loc.node));
    proto_push(e->arena, g->n_node, g->node, p);
    return p;
}

static void write_operands(Export *e, const Node *n, Onnx__NodeProto *p) {
    int n_in = n->n_in, n_out = n->n_out;
    while (n_in > 0 && !n->in[n_in - 1]) n_in--;
    while (n_out > 0 && !n->out[n_out - 1]) n_out--;
    for (int i = 0; i < n_in; i++) node_proto_in(e->arena, p, export_name(e, n->in[i]));
    for (int i = 0; i < n_out; i++) node_proto_out(e->arena, p, export_name(e, n->out[i]));
}

static void name_operands(Export *e, const Node *n) {
    for (int i = 0; i < n->n_in; i++) export_name(e, n->in[i]);
}

static void write_own(Export *e, const Node *n) {
    name_operands(e, n);
    Onnx__NodeProto *p = export_node(e, n, OWN_DOMAIN, op_def(n->op)->name);
    write_operands(e, n, p);
    const Attr *scheme = node_attr(n, "scheme");
    node_proto_string(e->arena, p, "scheme", scheme ? scheme->s : "");
    export_domain(e, OWN_DOMAIN, OWN_VERSION);
    e->used[n->op] = true;
}

/* An operator that came from another domain goes back there. */
static void write_foreign(Export *e, const Node *n, const char *domain) {
    enum { VERSION = 1 };
    name_operands(e, n);
    Onnx__NodeProto *p = export_node(e, n, domain, op_def(n->op)->name);
    write_operands(e, n, p);
    for (int i = 0; i < n->n_attr; i++) node_proto_copy(e->arena, p, &n->attr[i]);
    export_domain(e, domain, VERSION);
}

/* The domain of an operator that stays what it is, NULL for ONNX's. ONNX Runtime runs its own; QONNX's are for those
 * who asked for that dialect. */
static const char *kept_domain(const Export *e, const Node *n) {
    const char *home = foreign_home(op_def(n->op)->name);
    if (!home || strcmp(home, "com.microsoft") == 0) return home;
    bool qonnx = strcmp(home, QONNX_DOMAIN) == 0 && e->dialect == DIALECT_QONNX;
    return qonnx ? home : NULL;
}

static void write_node(Export *e, const Node *n) {
    const char *home = kept_domain(e, n);
    if (home) {
        write_foreign(e, n, home);
        return;
    }
    if (own_has(n->op)) {
        if (e->dialect == DIALECT_OWN)
            write_own(e, n);
        else
            dialect_write(e, n);
        return;
    }
    name_operands(e, n);
    Onnx__NodeProto *p = export_node(e, n, "", op_def(n->op)->name);
    write_operands(e, n, p);
    for (int i = 0; i < n->n_attr; i++) node_proto_copy(e->arena, p, &n->attr[i]);
    need_operator(e, n);
}

/* Operators that are in no domain we write; by the contract of ir/ir.h our own begin with a Q, or are Map. */
static bool is_foreign(const Export *e, const Node *n) {
    const char *name = op_def(n->op)->name;
    if (n->expr || n->op == OP_Map) return true;
    if (kept_domain(e, n)) return false;
    if (foreign_home(name)) return true;
    return name[0] == 'Q' && n->op != OP_QuantizeLinear && n->op != OP_QLinearConv && n->op != OP_QLinearMatMul;
}

/* Quantizers of others become ours, and what else ONNX does not have is expanded. */
static void legalize(Export *e) {
    for (Node *n = e->g->first, *next; n; n = next) {
        next = n->next;
        if (export_lower(n) || !is_foreign(e, n) || own_has(n->op) || quantizer_adopt(n)) continue;
        Node *before = n->prev;
        if (n->expr || op_def(n->op)->kind != OP_EXPAND || !node_expand(e->d, n))
            export_unsaid(e, n, "ONNX has no such operator");
        else
            next = before ? before->next : e->g->first;
    }
}

/* ---- the model ---- */

static void write_ports(Export *e) {
    Onnx__GraphProto *g = e->model->graph;
    Arena *a = e->arena;
    for (size_t i = 0; i < e->g->inputs.n; i++) {
        const GraphPort *p = &e->g->inputs.at[i];
        proto_push(a, g->n_input, g->input, value_info_proto(a, export_name(e, p->value), &p->value->type, p->batch));
        need_elem(e, p->value->type.elem);
    }
    for (size_t i = 0; i < e->g->outputs.n; i++) {
        const GraphPort *p = &e->g->outputs.at[i];
        const char *name = export_name(e, p->value);
        if (strcmp(name, p->name) != 0) { /* another port has the value's name */
            Onnx__NodeProto *n = node_proto(a, "", "Identity");
            node_proto_in(a, n, name);
            node_proto_out(a, n, p->name);
            proto_push(a, g->n_node, g->node, n);
        }
        proto_push(a, g->n_output, g->output, value_info_proto(a, p->name, &p->value->type, p->batch));
        need_elem(e, p->value->type.elem);
    }
}

static void write_header(Export *e) {
    static char producer[] = "qcc", version[] = QCC_VERSION;
    Onnx__ModelProto *m = e->model;
    m->has_ir_version = true;
    m->ir_version = ir_version(e->opset);
    m->producer_name = producer;
    m->producer_version = version;
    m->graph->name = text(*e->g->name ? e->g->name : "graph");
    export_domain(e, "", e->opset);
    for (OpId op = 0; op < OP_COUNT; op++) {
        if (e->used[op]) proto_push(e->arena, m->n_functions, m->functions, own_function(e->arena, op, e->opset));
    }
}

static bool report_unsaid(Export *e) {
    if (e->unsaid.n == 0) return true;
    static const char *const names[] = {"ONNX", "the dialect qonnx", "the dialect qdq"};
    Diag *g = diag(e->d, D_UNSUPPORTED_FORM, (Loc){.file = e->g->source, .index = -1}, "%zu %s cannot be written in %s",
                   e->unsaid.n, e->unsaid.n == 1 ? "node" : "nodes", names[e->dialect]);
    for (size_t i = 0; i < e->unsaid.n; i++) diag_note(e->d, g, "%s", e->unsaid.at[i]);
    if (e->dialect != DIALECT_OWN) diag_hint(e->d, g, "the default dialect can say them");
    return false;
}

static bool pack_model(Export *e, const uint8_t **data, size_t *bytes) {
    *bytes = onnx__model_proto__get_packed_size(e->model);
    if (*bytes > (size_t)MAX_BYTES) {
        diag(e->d, D_SIZE_LIMIT, (Loc){.file = e->g->source, .index = -1},
             "the model would take %zu bytes, a file of this kind has at most %lld", *bytes, (long long)MAX_BYTES);
        return false;
    }
    uint8_t *to = arena_get(e->arena, *bytes + 1);
    onnx__model_proto__pack(e->model, to);
    *data = to;
    return true;
}

bool onnx_export(Arena *a, Diags *d, const Graph *g, Dialect dialect, const uint8_t **data, size_t *bytes) {
    Export e = {.arena = a, .d = d, .g = graph_clone(a, g), .dialect = dialect, .opset = OPSET_WRITTEN};
    e.model = NEW(a, Onnx__ModelProto);
    onnx__model_proto__init(e.model);
    e.model->graph = NEW(a, Onnx__GraphProto);
    onnx__graph_proto__init(e.model->graph);
    legalize(&e);
    give_names(&e);
    for (const Node *n = e.g->first; n; n = n->next) write_node(&e, n);
    write_ports(&e);
    write_header(&e);
    return report_unsaid(&e) && pack_model(&e, data, bytes);
}
