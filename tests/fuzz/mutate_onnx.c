/* Mutations that know what a model is (structure-aware fuzzing): of ten mutants most are still well-formed protocol
 * buffers, so that types, shapes and attributes are reached and not only the reader of bytes. libFuzzer's own mutations
 * take the rest. */
#include "base/base.h"
#include "ir/op.h"
#include "onnx/onnx.pb-c.h"

#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t n, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t max, unsigned seed);

enum { MUTATED_RANK = 5 };

typedef struct Mutation {
    Arena *arena;
    uint64_t state;
    Onnx__ModelProto *model;
    Onnx__GraphProto *graph; /* the main one, or a body */
} Mutation;

/* 0 to n - 1; 0 if there is nothing. */
static size_t pick(Mutation *m, size_t n) {
    m->state = m->state * 6364136223846793005u + 1442695040888963407u;
    return n ? (size_t)(m->state >> 33) % n : 0;
}

static int64_t some_number(Mutation *m) {
    static const int64_t edges[] = {INT64_MIN, INT32_MIN, -65536, 1 << 16,         INT32_MAX,
                                    INT64_MAX, 1 << 24,   4096,   (int64_t)1 << 40};
    return pick(m, 8) ? (int64_t)pick(m, 9) - 3 : edges[pick(m, COUNT_OF(edges))];
}

static float some_float(Mutation *m) {
    static const float edges[] = {0.0f, -0.0f, 1e-45f, 1e38f, -1e38f, __builtin_inff(), __builtin_nanf("")};
    return pick(m, 4) ? (float)some_number(m) / 4 : edges[pick(m, COUNT_OF(edges))];
}

static OpId some_operator(Mutation *m) { return (OpId)(1 + pick(m, OP_COUNT - 1)); }

static char *no_null(Mutation *m, char *s) { return s ? s : arena_str(m->arena, ""); }

/* A value that there is before node number `before`. */
static char *some_name(Mutation *m, size_t before) {
    const Onnx__GraphProto *g = m->graph;
    size_t kind = pick(m, 10);
    if (kind < 2 && g->n_initializer) return no_null(m, g->initializer[pick(m, g->n_initializer)]->name);
    if (kind == 9) return arena_str(m->arena, "");
    const Onnx__NodeProto *n = before ? g->node[pick(m, before)] : NULL;
    if (kind < 7 && n && n->n_output) return no_null(m, n->output[pick(m, n->n_output)]);
    return g->n_input ? no_null(m, g->input[pick(m, g->n_input)]->name) : arena_str(m->arena, "");
}

/* ---- tensors and types --------------------------------------------------------------------------------------- */

static void change_dims(Mutation *m, Onnx__TensorProto *t) {
    if (t->n_dims && pick(m, 4)) t->dims[pick(m, t->n_dims)] = some_number(m);
    if (pick(m, 8) == 0) t->data_type = (int32_t)(1 + pick(m, 16));
}

/* New dimensions and data that fit. */
static void fill_tensor(Mutation *m, Onnx__TensorProto *t, bool ints, size_t rank) {
    size_t count = 1;
    t->n_dims = rank;
    t->dims = NEW_ARRAY(m->arena, int64_t, rank + 1);
    for (size_t i = 0; i < rank; i++) {
        t->dims[i] = (int64_t)(1 + pick(m, 4));
        count *= (size_t)t->dims[i];
    }
    t->has_data_type = t->has_raw_data = 1;
    t->data_type = ints ? ONNX__TENSOR_PROTO__DATA_TYPE__INT64 : ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    t->n_float_data = t->n_int64_data = t->n_int32_data = t->n_double_data = t->n_uint64_data = 0;
    t->raw_data.len = count * (ints ? 8 : 4);
    t->raw_data.data = arena_get(m->arena, t->raw_data.len);
    for (size_t i = 0; i < count; i++) {
        int64_t whole = (int64_t)pick(m, 5) - 1;
        float part = some_float(m);
        if (ints)
            memcpy(t->raw_data.data + i * 8, &whole, 8);
        else
            memcpy(t->raw_data.data + i * 4, &part, 4);
    }
}

static void change_tensor(Mutation *m) {
    if (!m->graph->n_initializer) return;
    Onnx__TensorProto *t = m->graph->initializer[pick(m, m->graph->n_initializer)];
    size_t kind = pick(m, 3);
    if (kind == 0) {
        change_dims(m, t);
    } else if (kind == 1) {
        fill_tensor(m, t, pick(m, 2), pick(m, MUTATED_RANK));
    } else if (t->has_raw_data && t->raw_data.len) {
        t->raw_data.len = LLVMFuzzerMutate(t->raw_data.data, t->raw_data.len, t->raw_data.len);
    }
}

static char *new_initializer(Mutation *m, bool ints, size_t rank) {
    Onnx__GraphProto *g = m->graph;
    Onnx__TensorProto *t = NEW(m->arena, Onnx__TensorProto);
    onnx__tensor_proto__init(t);
    t->name = arena_printf(m->arena, "c%zu", pick(m, 100000));
    fill_tensor(m, t, ints, rank);
    Onnx__TensorProto **more = NEW_ARRAY(m->arena, Onnx__TensorProto *, g->n_initializer + 1);
    if (g->n_initializer) memcpy(more, g->initializer, g->n_initializer * sizeof *more);
    more[g->n_initializer++] = t;
    g->initializer = more;
    return t->name;
}

static void change_input(Mutation *m) {
    if (!m->graph->n_input) return;
    Onnx__TypeProto *t = m->graph->input[pick(m, m->graph->n_input)]->type;
    if (!t || t->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE) return;
    if (pick(m, 4) == 0) t->tensor_type->elem_type = (int32_t)(1 + pick(m, 16));
    Onnx__TensorShapeProto *s = t->tensor_type->shape;
    if (!s || !s->n_dim) return;
    Onnx__TensorShapeProto__Dimension *d = s->dim[pick(m, s->n_dim)];
    d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
    d->dim_value = pick(m, 4) ? (int64_t)(1 + pick(m, 9)) : some_number(m);
    if (pick(m, 6) == 0) s->n_dim--;
}

/* ---- attributes ---------------------------------------------------------------------------------------------- */

static void fill_ints(Mutation *m, Onnx__AttributeProto *p) {
    p->n_ints = pick(m, 7);
    p->ints = NEW_ARRAY(m->arena, int64_t, p->n_ints + 1);
    for (size_t i = 0; i < p->n_ints; i++) p->ints[i] = pick(m, 3) ? (int64_t)pick(m, 3) : some_number(m);
}

static void change_value(Mutation *m, Onnx__AttributeProto *p) {
    switch (p->type) {
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT:
        p->has_i = 1, p->i = some_number(m);
        break;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT:
        p->has_f = 1, p->f = some_float(m);
        break;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS:
        if (p->n_ints && pick(m, 4))
            p->ints[pick(m, p->n_ints)] = some_number(m);
        else
            fill_ints(m, p);
        break;
    default:
        break;
    }
}

static Onnx__AttributeProto *new_attribute(Mutation *m, const OpAttr *a) {
    Onnx__AttributeProto *p = NEW(m->arena, Onnx__AttributeProto);
    onnx__attribute_proto__init(p);
    p->name = arena_str(m->arena, a->name);
    p->has_type = 1;
    switch (a->kind) {
    case ATTR_INT:
        p->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
        break;
    case ATTR_FLOAT:
        p->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
        break;
    case ATTR_INTS:
        p->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
        break;
    default:
        return NULL;
    }
    change_value(m, p);
    return p;
}

static void append_attribute(Mutation *m, Onnx__NodeProto *n, const OpAttr *a) {
    Onnx__AttributeProto *p = new_attribute(m, a);
    if (!p) return;
    Onnx__AttributeProto **more = NEW_ARRAY(m->arena, Onnx__AttributeProto *, n->n_attribute + 1);
    if (n->n_attribute) memcpy(more, n->attribute, n->n_attribute * sizeof *more);
    more[n->n_attribute++] = p;
    n->attribute = more;
}

/* ---- nodes --------------------------------------------------------------------------------------------------- */

static Onnx__NodeProto *some_node(Mutation *m, size_t *at) {
    *at = pick(m, m->graph->n_node);
    return m->graph->n_node ? m->graph->node[*at] : NULL;
}

static void change_attribute(Mutation *m) {
    size_t at;
    Onnx__NodeProto *n = some_node(m, &at);
    if (n && n->n_attribute) change_value(m, n->attribute[pick(m, n->n_attribute)]);
}

/* One that the operator's schema has. */
static void add_attribute(Mutation *m) {
    size_t at;
    Onnx__NodeProto *n = some_node(m, &at);
    OpId op = n && n->op_type ? op_find(n->op_type) : OP_NONE;
    if (op == OP_NONE || op_def(op)->n_attr == 0) return;
    append_attribute(m, n, &op_def(op)->attr[pick(m, (size_t)op_def(op)->n_attr)]);
}

/* Operands and attributes by the schema; operand 0 stays where there is one. */
static void become(Mutation *m, Onnx__NodeProto *n, size_t at, OpId op) {
    const OpDef *def = op_def(op);
    size_t n_in = (size_t)def->min_in + pick(m, (size_t)(def->n_in - def->min_in) + 1);
    char **in = NEW_ARRAY(m->arena, char *, n_in + 1);
    for (size_t i = 0; i < n_in; i++) {
        if (def->in[i].constant)
            in[i] = new_initializer(m, true, pick(m, 2));
        else
            in[i] = i < n->n_input ? n->input[i] : some_name(m, at);
    }
    n->op_type = arena_str(m->arena, def->name);
    n->domain = NULL;
    n->input = in;
    n->n_input = n_in;
    n->n_attribute = 0;
    for (int i = 0; i < def->n_attr; i++)
        if (def->attr[i].required || pick(m, 5) == 0) append_attribute(m, n, &def->attr[i]);
}

static void change_operator(Mutation *m) {
    size_t at;
    Onnx__NodeProto *n = some_node(m, &at);
    if (n) become(m, n, at, some_operator(m));
}

static void change_operand(Mutation *m) {
    size_t at;
    Onnx__NodeProto *n = some_node(m, &at);
    if (!n) return;
    size_t k = pick(m, n->n_input + 1);
    if (k == n->n_input) {
        char **more = NEW_ARRAY(m->arena, char *, n->n_input + 1);
        if (n->n_input) memcpy(more, n->input, n->n_input * sizeof *more);
        n->input = more;
        n->n_input++;
    }
    n->input[k] = pick(m, 4) ? some_name(m, at) : new_initializer(m, pick(m, 2), pick(m, MUTATED_RANK));
    if (pick(m, 8) == 0) n->n_input = k;
}

/* What used it takes its operand. */
static void drop_node(Mutation *m) {
    Onnx__GraphProto *g = m->graph;
    size_t at;
    const Onnx__NodeProto *gone = some_node(m, &at);
    if (!gone) return;
    memmove(g->node + at, g->node + at + 1, (g->n_node - at - 1) * sizeof *g->node);
    g->n_node--;
    if (!gone->n_input || !gone->n_output) return;
    for (size_t i = at; i < g->n_node; i++) {
        for (size_t k = 0; k < g->node[i]->n_input; k++)
            if (strcmp(g->node[i]->input[k], gone->output[0]) == 0) g->node[i]->input[k] = gone->input[0];
    }
}

/* A new node behind an old one: it takes the old one's output and gives it under the old name. */
static void insert_node(Mutation *m) {
    Onnx__GraphProto *g = m->graph;
    Onnx__NodeProto *n = NEW(m->arena, Onnx__NodeProto);
    size_t at;
    Onnx__NodeProto *old = some_node(m, &at);
    if (!old || !old->n_output) return;
    Onnx__NodeProto **nodes = NEW_ARRAY(m->arena, Onnx__NodeProto *, g->n_node + 1);
    memcpy(nodes, g->node, (at + 1) * sizeof *nodes);
    nodes[at + 1] = n;
    memcpy(nodes + at + 2, g->node + at + 1, (g->n_node - at - 1) * sizeof *nodes);
    onnx__node_proto__init(n);
    n->input = NEW_ARRAY(m->arena, char *, 1);
    n->output = NEW_ARRAY(m->arena, char *, 1);
    n->n_input = n->n_output = 1;
    n->output[0] = old->output[0];
    old->output[0] = n->input[0] = arena_printf(m->arena, "v%zu", pick(m, 100000));
    become(m, n, at, some_operator(m));
    g->node = nodes;
    g->n_node++;
}

static void change_opset(Mutation *m) {
    if (m->model->n_opset_import) m->model->opset_import[0]->version = pick(m, 2) ? 28 : (int64_t)(1 + pick(m, 28));
}

/* ---- the whole ----------------------------------------------------------------------------------------------- */

static void *take(void *arena, size_t n) { return arena_get(arena, n); }
static void keep(void *arena, void *p) { (void)arena, (void)p; }

/* The bodies of control flow are graphs too. */
static void enter_body(Mutation *m) {
    size_t at;
    const Onnx__NodeProto *n = some_node(m, &at);
    for (size_t i = 0; n && i < n->n_attribute; i++) {
        if (n->attribute[i]->g) m->graph = n->attribute[i]->g;
    }
}

static void mutate(Mutation *m) {
    static void (*const kinds[])(Mutation *) = {change_operator, change_operand,   drop_node,
                                                insert_node,     change_attribute, add_attribute,
                                                change_tensor,   change_input,     change_opset};
    m->graph = m->model->graph;
    if (pick(m, 4) == 0) enter_body(m);
    kinds[pick(m, COUNT_OF(kinds))](m);
}

static size_t mutated_model(Arena *a, uint8_t *data, size_t n, size_t max, unsigned seed) {
    ProtobufCAllocator allocator = {take, keep, a};
    Mutation m = {.arena = a, .state = seed, .model = onnx__model_proto__unpack(&allocator, n, data)};
    if (!m.model || !m.model->graph) return 0;
    for (size_t i = 1 + pick(&m, 3); i-- > 0;) mutate(&m);
    size_t bytes = onnx__model_proto__get_packed_size(m.model);
    if (bytes > max) return 0;
    return onnx__model_proto__pack(m.model, data);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t max, unsigned seed) {
    Arena a = {0};
    size_t bytes = seed % 10 == 0 ? 0 : mutated_model(&a, data, n, max, seed);
    arena_free(&a);
    return bytes ? bytes : LLVMFuzzerMutate(data, n, max);
}
