/* Passes keep what a graph computes: whole networks are evaluated before and after each prefix of the pipeline, and
 * small graphs are looked at for the form that a pass promises. */
#include "frontend/frontend.h"
#include "ir/op.h"
#include "passes/pass.h"
#include "tests/support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const networks[] = {
    "tests/exports/residual_script.onnx",    "tests/exports/residual_dynamo.onnx",
    "tests/exports/depthwise_script.onnx",   "tests/exports/depthwise_dynamo.onnx",
    "tests/exports/transformer_script.onnx", "tests/exports/transformer_dynamo.onnx",
    "examples/digits/digits.onnx",           "examples/embed/second.onnx",
};

static Graph *import(Arena *a, const char *path) {
    Diags d;
    ImportOptions o = {0};
    diags_init(&d, a);
    Graph *g = onnx_import(a, &d, arena_printf(a, "%s/%s", QCC_SOURCE_DIR, path), &o);
    for (const Diag *e = d.first; !g && e; e = e->next) print_error("%s: %s\n", path, e->text);
    assert_non_null(g);
    return g;
}

/* The first output on a fixed pseudo-random input. */
static Tensor *evaluate(Arena *a, const Graph *g) {
    Diags d;
    diags_init(&d, a);
    const Tensor **in = NEW_ARRAY(a, const Tensor *, g->inputs.n);
    Tensor **out = NEW_ARRAY(a, Tensor *, g->outputs.n);
    uint32_t state = 12345;
    for (size_t i = 0; i < g->inputs.n; i++) {
        Tensor *t = tensor_new(a, g->inputs.at[i].value->type);
        int64_t n = shape_count(&t->type.shape);
        for (int64_t k = 0; k < n; k++) {
            state = state * 1664525u + 1013904223u;
            tensor_set(t, k, (double)(state >> 8) / 8388608.0 - 1);
        }
        in[i] = t;
    }
    assert_true(graph_eval(a, &d, g, in, out, NULL, NULL));
    return out[0];
}

static double largest_error(const Tensor *p, const Tensor *q) {
    assert_true(type_equal(&p->type, &q->type));
    double worst = 0, range = 1e-30;
    int64_t n = shape_count(&p->type.shape);
    for (int64_t i = 0; i < n; i++) {
        range = fmax(range, fabs(tensor_get(p, i)));
        worst = fmax(worst, fabs(tensor_get(p, i) - tensor_get(q, i)));
    }
    return worst / range;
}

static void test_pipeline_keeps_meaning(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(networks); i++) {
        Arena a = {0};
        Diags d;
        diags_init(&d, &a);
        Graph *g = import(&a, networks[i]);
        const Tensor *before = evaluate(&a, g);
        for (PassId id = 0; id < PASS_COUNT; id++) {
            assert_true(pass_run(g, &d, id));
            double error = largest_error(before, evaluate(&a, g));
            if (error > 1e-5) fail_msg("%s after %s: error %g", networks[i], pass_info[id].name, error);
        }
        arena_free(&a);
    }
}

static int count_nodes(const Graph *g, OpId op) {
    int n = 0;
    for (const Node *m = g->first; m; m = m->next) n += op == OP_NONE || m->op == op;
    return n;
}

static Graph *optimised(Arena *a, const char *path) {
    Diags d;
    PassOptions o = {.level = 2};
    diags_init(&d, a);
    Graph *g = import(a, path);
    assert_true(passes_run(g, &d, &o));
    return g;
}

/* Convolutions take their activations and shortcuts with them: nothing element-wise is left over. */
static void test_residual_network_fuses(void **state) {
    (void)state;
    Arena a = {0};
    const Graph *g = optimised(&a, "tests/exports/residual_script.onnx");
    assert_int_equal(count_nodes(g, OP_Conv), 4);
    assert_int_equal(count_nodes(g, OP_Map), 1); /* the mean's division */
    arena_free(&a);
}

static Value *float_input(Graph *g, const char *name, int64_t n) {
    Type type = {.elem = QCC_F32, .shape = shape_of(1, &n)};
    return graph_input(g, name, type);
}

static Value *add_node(Graph *g, OpId op, int n_in, Value *const *in) {
    Diags d;
    diags_init(&d, g->arena);
    Node *n = graph_node(g, NULL, op, LOC_NONE, n_in, in, 1);
    assert_true(node_infer(&d, n));
    return n->out[0];
}
#define ADD(g, op, ...) add_node((g), (op), (int)COUNT_OF(((Value *[]){__VA_ARGS__})), (Value *[]){__VA_ARGS__})

static bool run_pass(Graph *g, PassId id) {
    Diags d;
    diags_init(&d, g->arena);
    return pass_run(g, &d, id);
}

static void test_cse_shares_equal_nodes(void **state) {
    (void)state;
    Arena a = {0};
    Graph *g = graph_new(&a, NULL, "g");
    Value *x = float_input(g, "x", 4);
    Value *p = ADD(g, OP_Add, x, graph_const_f32(g, 2)), *q = ADD(g, OP_Add, x, graph_const_f32(g, 2));
    Value *r = ADD(g, OP_Add, x, graph_const_f32(g, 3));
    graph_output(g, "y", ADD(g, OP_Mul, ADD(g, OP_Mul, p, q), r));
    assert_true(run_pass(g, PASS_cse));
    assert_int_equal(count_nodes(g, OP_Add), 2);
    arena_free(&a);
}

static void test_dce_drops_unused_chains(void **state) {
    (void)state;
    Arena a = {0};
    Graph *g = graph_new(&a, NULL, "g");
    Value *x = float_input(g, "x", 4);
    ADD(g, OP_Sqrt, ADD(g, OP_Abs, x));
    graph_output(g, "y", ADD(g, OP_Neg, x));
    assert_true(run_pass(g, PASS_dce));
    assert_int_equal(count_nodes(g, OP_NONE), 1);
    arena_free(&a);
}

static void test_constants_fold_and_splats_stay(void **state) {
    (void)state;
    Arena a = {0};
    Graph *g = graph_new(&a, NULL, "g");
    Value *x = float_input(g, "x", 4);
    float two = 2;
    Value *splat = graph_constant(g, "s", tensor_splat(&a, x->type, &two));
    Value *sum = ADD(g, OP_Add, splat, graph_const_f32(g, 1));
    graph_output(g, "y", ADD(g, OP_Mul, x, sum));
    assert_true(run_pass(g, PASS_fold_constants));
    assert_int_equal(count_nodes(g, OP_NONE), 1);
    const Tensor *folded = g->first->in[1]->constant;
    assert_non_null(folded);
    assert_true(folded->splat);
    assert_true(tensor_get(folded, 3) == 3);
    arena_free(&a);
}

static void test_chains_become_one_map(void **state) {
    (void)state;
    Arena a = {0};
    Graph *g = graph_new(&a, NULL, "g");
    Value *x = float_input(g, "x", 4), *y = float_input(g, "y", 4);
    Value *sum = ADD(g, OP_Add, x, y);
    graph_output(g, "z", ADD(g, OP_Abs, ADD(g, OP_Mul, sum, graph_const_f32(g, 3))));
    const Tensor *before = evaluate(&a, g);
    assert_true(run_pass(g, PASS_fuse_map));
    assert_int_equal(count_nodes(g, OP_NONE), 1);
    assert_int_equal(g->first->n_in, 2);
    assert_true(largest_error(before, evaluate(&a, g)) == 0);
    arena_free(&a);
}

/* A value with two readers is computed once and kept. */
static void test_shared_values_do_not_fuse(void **state) {
    (void)state;
    Arena a = {0};
    Graph *g = graph_new(&a, NULL, "g");
    Value *shared = ADD(g, OP_Abs, float_input(g, "x", 4));
    graph_output(g, "y", ADD(g, OP_Neg, shared));
    graph_output(g, "z", ADD(g, OP_Sqrt, shared));
    assert_true(run_pass(g, PASS_fuse_map));
    assert_int_equal(count_nodes(g, OP_Map), 3);
    arena_free(&a);
}

static void test_transposes_cancel(void **state) {
    (void)state;
    Arena a = {0};
    Graph *g = graph_new(&a, NULL, "g");
    Type type = {.elem = QCC_F32, .shape = shape_of(2, (int64_t[]){3, 4})};
    Value *x = graph_input(g, "x", type);
    graph_output(g, "y", ADD(g, OP_Neg, ADD(g, OP_Transpose, ADD(g, OP_Transpose, x))));
    assert_true(run_pass(g, PASS_canonicalize));
    assert_true(run_pass(g, PASS_dce));
    assert_int_equal(count_nodes(g, OP_NONE), 1);
    arena_free(&a);
}

/* More operands than any kernel takes: several nodes give the same. */
static void test_many_operands_are_split(void **state) {
    (void)state;
    static const OpId ops[] = {OP_Sum, OP_Mean, OP_Max, OP_Min};
    enum { MANY = 100 };
    for (size_t i = 0; i < COUNT_OF(ops); i++) {
        Arena a = {0};
        Graph *g = graph_new(&a, NULL, "g");
        Value *x[MANY];
        for (int k = 0; k < MANY; k++) x[k] = float_input(g, arena_printf(&a, "x%d", k), 4);
        graph_output(g, "y", add_node(g, ops[i], MANY, x));
        const Tensor *before = evaluate(&a, g);
        assert_true(run_pass(g, PASS_canonicalize));
        for (const Node *n = g->first; n; n = n->next) assert_true(n->n_in <= 16);
        assert_true(largest_error(before, evaluate(&a, g)) == 0);
        arena_free(&a);
    }
}

/* Nodes that are left of a Pad by `pad` all round in front of an average pooling over windows of 2 x 2. */
static int nodes_of_padded_pool(int pad) {
    Arena a = {0};
    Diags d;
    diags_init(&d, &a);
    const char *text = arena_printf(&a,
                                    "qir 1\ngraph \"g\" {\n  in %%0 \"x\": f32[1,1,4,4]\n"
                                    "  %%1: i64[8] = const [0, 0, %d, %d, 0, 0, %d, %d]\n  %%2 = Pad(%%0, %%1)\n"
                                    "  %%3 \"y\" = AveragePool(%%2) {count_include_pad=1, kernel_shape=[2, 2]}\n"
                                    "  out %%3 \"y\"\n}\n",
                                    pad, pad, pad, pad);
    Graph *g = graph_parse(&a, &d, "", text, strlen(text));
    if (!g) fail_msg("%s", test_diags(&a, &d));
    const Tensor *before = evaluate(&a, g);
    assert_true(run_pass(g, PASS_fold_pad));
    assert_true(largest_error(before, evaluate(&a, g)) == 0);
    int n = count_nodes(g, OP_NONE);
    arena_free(&a);
    return n;
}

/* A pooling takes no window of padding alone. */
static void test_pad_becomes_pads_where_they_may_be(void **state) {
    (void)state;
    assert_int_equal(nodes_of_padded_pool(1), 1);
    assert_int_equal(nodes_of_padded_pool(2), 2);
}

/* A variance that the epsilon makes 1 to the last bit of a float: the layer takes 1 and 0.5 - 0.25, and nothing else.
 */
static void test_normalisation_folds_exactly(void **state) {
    (void)state;
    static const char text[] = "qir 1\ngraph \"g\" {\n  in %0 \"x\": f32[1,2,1,1]\n"
                               "  %1: f32[2,2,1,1] = const [1, -3, 0.5, 7]\n  %2 = Conv(%0, %1)\n"
                               "  %3: f32[2] = splat 1\n  %4: f32[2] = splat 0.5\n  %5: f32[2] = splat 0.25\n"
                               "  %6: f32[2] = splat 0.99999\n"
                               "  %7 \"y\" = BatchNormalization(%2, %3, %4, %5, %6) {epsilon=1e-5}\n"
                               "  out %7 \"y\"\n}\n";
    static const double weights[] = {1, -3, 0.5, 7};
    Arena a = {0};
    Diags d;
    diags_init(&d, &a);
    Graph *g = graph_parse(&a, &d, "", text, strlen(text));
    if (!g) fail_msg("%s", test_diags(&a, &d));
    assert_true(run_pass(g, PASS_fold_batchnorm));
    assert_int_equal(count_nodes(g, OP_BatchNormalization), 0);
    const Tensor *w = in_const(g->first, 1), *b = in_const(g->first, 2);
    for (int i = 0; i < 4; i++) assert_true(tensor_get(w, i) == weights[i]);
    for (int i = 0; i < 2; i++) assert_true(tensor_get(b, i) == 0.25);
    arena_free(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cse_shares_equal_nodes),
        cmocka_unit_test(test_dce_drops_unused_chains),
        cmocka_unit_test(test_constants_fold_and_splats_stay),
        cmocka_unit_test(test_chains_become_one_map),
        cmocka_unit_test(test_shared_values_do_not_fuse),
        cmocka_unit_test(test_transposes_cancel),
        cmocka_unit_test(test_many_operands_are_split),
        cmocka_unit_test(test_pad_becomes_pads_where_they_may_be),
        cmocka_unit_test(test_normalisation_folds_exactly),
        cmocka_unit_test(test_residual_network_fuses),
        cmocka_unit_test(test_pipeline_keeps_meaning),
    };
    return TEST_RUN(tests);
}
