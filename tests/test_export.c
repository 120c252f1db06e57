/* ONNX out: what was imported and exported imports as the same graph again; our quantizers stay operators where their
 * function is ours; other dialects get what they can say, and what they cannot is named. */
#include "tests/support.h"

#include <dirent.h>
#include <string.h>

#include "base/file.h"
#include "frontend/export.h"
#include "frontend/frontend.h"
#include "ir/op.h"

/* ---- round trips ---- */

static Graph *import_file(Arena *a, const char *path, const ImportOptions *o, const char **said) {
    Diags d;
    diags_init(&d, a);
    Graph *g = onnx_import(a, &d, path, o);
    *said = test_diags(a, &d);
    return g;
}

static Graph *import_bytes(Arena *a, const uint8_t *data, size_t bytes) {
    Diags d;
    diags_init(&d, a);
    Graph *g = onnx_import_bytes(a, &d, "again.onnx", NULL, data, bytes, NULL);
    if (!g) print_error("%s", test_diags(a, &d));
    return g;
}

/* The graph's text without what a file may change: names of values that nobody outside knows, places, and copies of
 * inputs, where an input is an output by another name. */
static const char *skeleton(Arena *a, const Graph *g) {
    Graph *copy = graph_clone(a, g);
    for (size_t i = 0; i < copy->outputs.n; i++) {
        Value *v = copy->outputs.at[i].value;
        if (v->def && v->def->op == OP_Identity && !v->def->in[0]->def) {
            graph_replace(copy, v, v->def->in[0]);
            graph_erase(v->def);
        }
        copy->outputs.at[i].value->name = "";
    }
    for (Node *n = copy->first; n; n = n->next) {
        n->loc = LOC_NONE;
        for (int i = 0; i < n->n_in; i++)
            if (n->in[i]) n->in[i]->name = "";
        for (int i = 0; i < n->n_out; i++)
            if (n->out[i]) n->out[i]->name = "";
    }
    copy->source = NULL;
    copy->sha256[0] = '\0';
    copy->name = "";
    Text t = {.arena = a};
    graph_print(&t, copy, 256);
    return t.s;
}

/* What was written and read again. */
static Graph *once_more(Arena *a, const char *what, const Graph *g, Dialect dialect) {
    Diags d;
    const uint8_t *data;
    size_t bytes;
    diags_init(&d, a);
    if (onnx_export(a, &d, g, dialect, &data, &bytes)) return import_bytes(a, data, bytes);
    print_error("%s: %s", what, test_diags(a, &d));
    return NULL;
}

static bool same(Arena *a, const char *what, const Graph *g, const Graph *again) {
    const char *before = skeleton(a, g), *after = again ? skeleton(a, again) : "";
    if (strcmp(before, after) == 0) return true;
    print_error("%s: was\n%s\nis\n%s\n", what, before, after);
    return false;
}

/* Quantizers of QONNX are themselves in its dialect, and ours in our own: that is a graph of its own. */
static bool returns(Arena *a, const char *what, const Graph *g) {
    static const OpId others[] = {OP_Quant,          OP_BipolarQuant,       OP_Trunc,
                                  OP_MultiThreshold, OP_XnorPopcountMatMul, OP_QuantAvgPool2d};
    bool qonnx = false, other = false;
    for (const Node *n = g->first; n; n = n->next) {
        other = other || n->op == OP_RequantShift;
        for (size_t i = 0; i < COUNT_OF(others); i++) qonnx = qonnx || n->op == others[i];
    }
    if (qonnx && !same(a, what, g, once_more(a, what, g, DIALECT_QONNX))) return false;
    if (qonnx || other) g = once_more(a, what, g, DIALECT_OWN);
    return g && same(a, what, g, once_more(a, what, g, DIALECT_OWN));
}

static int check_folder(const char *folder, const char *pattern, int *seen) {
    Arena a = {0};
    int wrong = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        if (!glob_match(pattern, e->d_name)) continue;
        Arena *own = arena_nested(&a);
        const char *said, *path = arena_printf(own, "%s/%s", folder, e->d_name);
        const ImportDim n = {"n", 3}, m = {"m", 4};
        const ImportOptions dims = {.n_dims = 2, .dims = (ImportDim[]){n, m}};
        Graph *g = import_file(own, path, NULL, &said);
        if (!g) g = import_file(own, path, &dims, &said);
        if (g) (*seen)++, wrong += !returns(own, path, g);
        arena_free(own);
    }
    closedir(dir);
    arena_free(&a);
    return wrong;
}

static void round_trips(void **state) {
    (void)state;
    int seen = 0;
    assert_int_equal(check_folder(QCC_BUILD_DIR "/tests/models", "*.onnx", &seen), 0);
    assert_true(seen > 20);
    assert_int_equal(check_folder(QCC_SOURCE_DIR "/tests/exports", "*.onnx", &seen), 0);
    assert_true(seen > 26);
}

/* ---- our quantizers ---- */

typedef struct Net {
    Arena a;
    Graph *g;
    Value *x; /* the last value made */
} Net;

static Net *net_new(void) {
    Arena a = {0};
    Net *n = NEW(&a, Net);
    n->a = a;
    n->g = graph_new(&n->a, NULL, "net");
    n->x = graph_input(n->g, "x", (Type){QCC_F32, shape_of(2, (int64_t[]){2, 4})});
    return n;
}

static void net_free(Net *n) {
    Arena a = n->a;
    arena_free(&a);
}

static Value *list(Net *n, const char *name, int64_t count, const float *v) {
    Shape s = {.rank = count > 1, .dim = {count}};
    return graph_constant(n->g, name, tensor_from_f32(&n->a, s, v));
}
#define LIST(n, name, ...) list((n), (name), (int64_t)COUNT_OF(((float[]){__VA_ARGS__})), (float[]){__VA_ARGS__})

static Value *single(Net *n, float v) {
    return graph_constant(n->g, "", tensor_from_f32(&n->a, shape_of(1, (int64_t[]){1}), &v));
}

/* Appends a quantizer of `x` (NULL: of the last value) whose output is the next last value. */
static Node *quantize(Net *n, OpId op, const char *name, Value *x, int count, Value *const *more) {
    Value *in[8] = {x ? x : n->x};
    Diags d;
    diags_init(&d, &n->a);
    for (int i = 0; i < count; i++) in[i + 1] = more[i];
    Loc loc = LOC_NONE;
    loc.node = name;
    Node *node = graph_node(n->g, NULL, op, loc, count + 1, in, 1);
    node_set_string(node, "scheme", "test");
    assert_true(node_infer(&d, node));
    n->x = node->out[0];
    return node;
}
#define QUANTIZE(n, op, name, x, ...) \
    quantize((n), (op), (name), (x), (int)COUNT_OF(((Value *[]){__VA_ARGS__})), (Value *[]){__VA_ARGS__})

static Net *all_quantizers(void) {
    Net *n = net_new();
    QUANTIZE(n, OP_QUniform, "uniform", NULL, LIST(n, "s", 0.5f), LIST(n, "lo", -2), LIST(n, "hi", 1));
    QUANTIZE(n, OP_QHwgq, "hwgq", NULL, LIST(n, "", 0.25f), LIST(n, "", 3));
    QUANTIZE(n, OP_QLevels, "levels", NULL, LIST(n, "", 0.25f), LIST(n, "", 0, 0.5f), LIST(n, "", 0, 3, 10));
    QUANTIZE(n, OP_QMagnitude, "magnitude", NULL, LIST(n, "", 1), LIST(n, "", 0.05f, 0.5f), LIST(n, "", 0, 1, 2));
    QUANTIZE(n, OP_QDorefa, "dorefa", NULL, LIST(n, "", 1), LIST(n, "", 0.9f), LIST(n, "", 3));
    QUANTIZE(n, OP_QOdd, "odd", NULL, LIST(n, "", 1), LIST(n, "", 3));
    QUANTIZE(n, OP_QSign, "sign", NULL, LIST(n, "", 2));
    graph_output(n->g, "y", n->x);
    return n;
}

static Onnx__ModelProto *export_model(Net *n, Dialect dialect, const uint8_t **data, size_t *bytes) {
    Diags d;
    diags_init(&d, &n->a);
    bool good = onnx_export(&n->a, &d, n->g, dialect, data, bytes);
    if (!good) print_error("%s", test_diags(&n->a, &d));
    assert_true(good);
    Onnx__ModelProto *m = onnx__model_proto__unpack(NULL, *bytes, *data);
    assert_non_null(m);
    return m;
}

static void functions_stay(void **state) {
    (void)state;
    Net *n = all_quantizers();
    const uint8_t *data;
    size_t bytes;
    assert_true(returns(&n->a, "all quantizers", n->g));
    Onnx__ModelProto *m = export_model(n, DIALECT_OWN, &data, &bytes);
    assert_int_equal(m->ir_version, 10);
    assert_int_equal(m->n_functions, 7);
    assert_int_equal(m->graph->n_node, 7);
    assert_string_equal(m->graph->node[0]->name, "uniform");
    assert_string_equal(m->graph->node[0]->domain, "qcc");
    assert_string_equal(m->graph->node[0]->input[1], "s");
    onnx__model_proto__free_unpacked(m, NULL);
    net_free(n);
}

/* A function of our name that does something else is no operator of ours. */
static void other_bodies_are_inlined(void **state) {
    (void)state;
    static char ceil[] = "Ceil";
    Net *n = net_new();
    const uint8_t *data;
    size_t bytes;
    QUANTIZE(n, OP_QUniform, "q", NULL, LIST(n, "s", 0.5f), LIST(n, "lo", -2), LIST(n, "hi", 1));
    graph_output(n->g, "y", n->x);
    Onnx__ModelProto *m = export_model(n, DIALECT_OWN, &data, &bytes);
    char *was = m->functions[0]->node[1]->op_type;
    assert_string_equal(was, "Round");
    m->functions[0]->node[1]->op_type = ceil;
    bytes = onnx__model_proto__get_packed_size(m);
    uint8_t *changed = arena_get(&n->a, bytes);
    onnx__model_proto__pack(m, changed);
    m->functions[0]->node[1]->op_type = was;
    onnx__model_proto__free_unpacked(m, NULL);
    Graph *g = import_bytes(&n->a, changed, bytes);
    assert_non_null(g);
    assert_int_equal(g->first->op, OP_Div);
    assert_int_equal(g->first->next->op, OP_Ceil);
    net_free(n);
}

/* ---- other dialects ---- */

static const char *operators_of(Arena *a, const Onnx__ModelProto *m) {
    Text t = {.arena = a};
    for (size_t i = 0; i < m->graph->n_node; i++) text_add(&t, "%s%s", i ? " " : "", m->graph->node[i]->op_type);
    return t.s;
}

static void check_operators(Net *n, Dialect dialect, const char *want) {
    const uint8_t *data;
    size_t bytes;
    Onnx__ModelProto *m = export_model(n, dialect, &data, &bytes);
    assert_string_equal(operators_of(&n->a, m), want);
    onnx__model_proto__free_unpacked(m, NULL);
}

static void refused(Net *n, Dialect dialect, const char *first, const char *second) {
    Diags d;
    const uint8_t *data;
    size_t bytes;
    diags_init(&d, &n->a);
    assert_false(onnx_export(&n->a, &d, n->g, dialect, &data, &bytes));
    assert_non_null(strstr(test_diags(&n->a, &d), first));
    assert_non_null(strstr(test_diags(&n->a, &d), second));
}

static Net *weights_and_activations(void) {
    Net *n = net_new();
    Value *w = LIST(n, "w", -1.5f, 0.25f, 0.5f, 9);
    QUANTIZE(n, OP_QUniform, "w4", w, LIST(n, "", 0.5f), LIST(n, "", -8), LIST(n, "", 7));
    Value *sum = n->x;
    QUANTIZE(n, OP_QSign, "w1", w, LIST(n, "", 0.5f));
    Value *sign = n->x;
    QUANTIZE(n, OP_QUniform, "a3", n->g->inputs.at[0].value, LIST(n, "", 0.5f), LIST(n, "", 0), LIST(n, "", 7));
    for (int i = 0; i < 2; i++) {
        Diags d;
        diags_init(&d, &n->a);
        Node *add = graph_node(n->g, NULL, OP_Add, LOC_NONE, 2, (Value *[]){n->x, i ? sign : sum}, 1);
        assert_true(node_infer(&d, add));
        n->x = add->out[0];
    }
    graph_output(n->g, "y", n->x);
    return n;
}

static void other_dialects(void **state) {
    (void)state;
    Net *n = weights_and_activations();
    check_operators(n, DIALECT_QONNX, "Quant BipolarQuant Quant Add Add");
    check_operators(n, DIALECT_QDQ, "DequantizeLinear DequantizeLinear QuantizeLinear Clip DequantizeLinear Add Add");
    net_free(n);
    n = net_new();
    QUANTIZE(n, OP_QHwgq, "half", NULL, LIST(n, "", 0.5f), LIST(n, "", 3));
    QUANTIZE(n, OP_QMagnitude, "ternary", NULL, LIST(n, "", 1), single(n, 0.5f), LIST(n, "", 0, 1));
    graph_output(n->g, "y", n->x);
    check_operators(n, DIALECT_QONNX, "MultiThreshold Mul MultiThreshold Mul");
    refused(n, DIALECT_QDQ, "'half' (QHwgq)", "'ternary' (QMagnitude)");
    net_free(n);
    n = all_quantizers();
    refused(n, DIALECT_QONNX, "'levels' (QLevels)", "'dorefa' (QDorefa)");
    net_free(n);
}

/* MultiThreshold compares by >=: its thresholds are the least floats of each level. */
static void thresholds_are_exact(void **state) {
    (void)state;
    Net *n = net_new();
    QUANTIZE(n, OP_QHwgq, "half", NULL, LIST(n, "", 0.5f), LIST(n, "", 2));
    graph_output(n->g, "y", n->x);
    const uint8_t *data;
    size_t bytes;
    Onnx__ModelProto *m = export_model(n, DIALECT_QONNX, &data, &bytes);
    float thr[2];
    assert_int_equal(m->graph->n_initializer, 2);
    assert_string_equal(m->graph->initializer[1]->name, "thresholds");
    assert_int_equal(m->graph->initializer[1]->raw_data.len, sizeof thr);
    memcpy(thr, m->graph->initializer[1]->raw_data.data, sizeof thr);
    assert_true(thr[0] == 0x1p-149f); /* any x > 0 */
    assert_true(thr[1] == __builtin_nextafterf(0.75f, 1));
    onnx__model_proto__free_unpacked(m, NULL);
    net_free(n);
}

/* What passes leave behind is not ONNX. */
static void fused_graphs_are_refused(void **state) {
    (void)state;
    Net *n = net_new();
    Diags d;
    const uint8_t *data;
    size_t bytes;
    Node *q = graph_node(n->g, NULL, OP_Relu, LOC_NONE, 1, &n->x, 1);
    diags_init(&d, &n->a);
    assert_true(node_infer(&d, q));
    q->expr = expr_try_node(&n->a, q, &(struct ExprFault){0});
    q->epilogue_in = 1;
    graph_output(n->g, "y", q->out[0]);
    assert_false(onnx_export(&n->a, &d, n->g, DIALECT_OWN, &data, &bytes));
    assert_non_null(strstr(test_diags(&n->a, &d), "ONNX has no such operator"));
    net_free(n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),
        cmocka_unit_test(functions_stay),
        cmocka_unit_test(other_bodies_are_inlined),
        cmocka_unit_test(other_dialects),
        cmocka_unit_test(thresholds_are_exact),
        cmocka_unit_test(fused_graphs_are_refused),
    };
    return TEST_RUN(tests);
}
