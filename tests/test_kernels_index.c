/* Reading and writing at computed places against the evaluator: axes, ranks of the indices, places that are negative or
 * outside, views, element types, what a scatter does with the element that is there. */
#include "tests/codegen_support.h"
#include "tests/kernel_case.h"
#include "tests/op_case.h"
#include "tests/support.h"

static const Elem all[] = {QCC_F32, QCC_F64, QCC_F16, QCC_BF16, QCC_I8,   QCC_U8, QCC_I16, QCC_U16,
                           QCC_I32, QCC_U32, QCC_I64, QCC_U64,  QCC_BOOL, QCC_I4, QCC_U4};

/* Indices from lo to hi, both included. */
static Value *places(KernelCase *c, Elem elem, Shape s, int64_t lo, int64_t hi) {
    Random r = {(uint64_t)(shape_count(&s) + hi)};
    Tensor *t = tensor_new(&c->arena, (Type){elem, s});
    for (int64_t i = 0; i < shape_count(&s); i++) tensor_set_int(t, i, random_int(&r, lo, hi));
    return kernel_feed(c, t);
}

static void test_gather(void **state) {
    (void)state;
    KernelCase *c = kernel_case_new();
    Value *x = kernel_input(c, QCC_F32, DIMS(5, 7, 18));
    for (int axis = 0; axis < 3; axis++) {
        const char *attrs = arena_printf(&c->arena, "axis=%d", axis);
        int64_t n = x->type.shape.dim[axis];
        kernel_node(c, OP_Gather, attrs, 1, x, places(c, QCC_I64, SCALAR, -1, -1));
        kernel_node(c, OP_Gather, attrs, 1, x, places(c, QCC_I32, DIMS(4), -n, n - 1));
        kernel_node(c, OP_Gather, attrs, 1, x, places(c, QCC_I64, DIMS(3, 2), -n, n - 1));
        kernel_node(c, OP_Gather, attrs, 1, x, kernel_view(c, places(c, QCC_I64, DIMS(3, 5), 0, n - 1), 1 + axis));
        for (int view = 1; view < KERNEL_VIEWS; view++)
            kernel_node(c, OP_Gather, attrs, 1, kernel_view(c, x, view), places(c, QCC_I64, DIMS(3), -2, 1));
    }
    kernel_case_check(c);
}

static void test_gather_types(void **state) {
    (void)state;
    KernelCase *c = kernel_case_new();
    Random r = {21};
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        Value *x = kernel_feed(c, random_tensor(&c->arena, &r, (Type){all[i], DIMS(6, 9)}, true));
        kernel_node(c, OP_Gather, "axis=0", 1, x, places(c, QCC_I64, DIMS(4), -6, 5));
        kernel_node(c, OP_Gather, "axis=1", 1, x, places(c, QCC_I32, DIMS(20), -9, 8));
        kernel_node(c, OP_GatherElements, "axis=1", 1, x, places(c, QCC_I64, DIMS(6, 4), -9, 8));
        kernel_node(c, OP_GatherND, NULL, 1, x, places(c, QCC_I64, DIMS(3, 2), 0, 5));
    }
    kernel_case_check(c);
}

/* Places outside are refused by the reference kernel's status only; the nearest is read. Both must stay inside. */
static void test_outside(void **state) {
    (void)state;
    Arena a = {0};
    Graph *g = graph_new(&a, NULL, "outside");
    Type type = {QCC_F32, DIMS(3, 4)}, index = {QCC_I64, DIMS(4)};
    Value *in[] = {graph_input(g, "x", type), graph_input(g, "i", index)};
    Node *n = graph_node(g, NULL, OP_Gather, LOC_NONE, 2, in, 1);
    Diags d;
    diags_init(&d, &a);
    assert_true(node_infer(&d, n));
    graph_output(g, "y", n->out[0]);
    static const int64_t wild[] = {INT64_MIN, -4, 3, INT64_MAX};
    Random r = {22};
    const Tensor *feeds[] = {random_tensor(&a, &r, type, true), tensor_from_ints(&a, QCC_I64, index.shape, wild)};
    Tensor *out[1];
    CompiledModel m = compile_graph(&a, g, &test_options);
    run_guarded(&a, &m, feeds, out, 1);
    for (int64_t i = 0; i < 16; i++) {
        int64_t row = i < 8 ? 0 : 2;
        assert_true(tensor_get(out[0], i) == tensor_get(feeds[0], row * 4 + i % 4));
    }
    arena_free(&a);
}

static void test_gather_nd(void **state) {
    (void)state;
    KernelCase *c = kernel_case_new();
    Value *x = kernel_input(c, QCC_F32, DIMS(2, 3, 4, 5));
    for (int depth = 1; depth <= 4; depth++) {
        kernel_node(c, OP_GatherND, NULL, 1, x, places(c, QCC_I64, DIMS(6, depth), 0, 1));
        kernel_node(c, OP_GatherND, NULL, 1, kernel_view(c, x, depth), places(c, QCC_I64, DIMS(2, 3, depth), -1, 0));
    }
    kernel_node(c, OP_GatherND, "batch_dims=1", 1, x, places(c, QCC_I64, DIMS(2, 5, 2), -3, 2));
    kernel_node(c, OP_GatherND, "batch_dims=2", 1, x, places(c, QCC_I64, DIMS(2, 3, 1), -4, 3));
    for (int axis = 0; axis < 4; axis++) {
        const char *attrs = arena_printf(&c->arena, "axis=%d", axis);
        kernel_node(c, OP_GatherElements, attrs, 1, x, places(c, QCC_I64, DIMS(2, 3, 4, 5), -2, 1));
        kernel_node(c, OP_GatherElements, attrs, 1, x, places(c, QCC_I32, DIMS(2, 2, 1, 3), 0, 1));
    }
    Value *lengths = places(c, QCC_I64, DIMS(3), 1, 2);
    kernel_node(c, OP_ReverseSequence, "batch_axis=1 time_axis=0", 1, x, lengths);
    kernel_case_check(c);
}

static const char *const reductions[] = {"reduction=none", "reduction=add", "reduction=mul", "reduction=min",
                                         "reduction=max"};

/* Without a reduction no two updates may meet, as their order is open. */
static void test_scatter(void **state) {
    (void)state;
    KernelCase *c = kernel_case_new();
    Value *x = kernel_input(c, QCC_F32, DIMS(6, 5, 17)), *rows = kernel_input(c, QCC_F32, DIMS(4, 5, 17));
    Value *cells = kernel_input(c, QCC_F32, DIMS(4, 17)), *dots = kernel_input(c, QCC_F32, DIMS(4));
    for (size_t i = 0; i < COUNT_OF(reductions); i++) {
        Value *distinct = kernel_list(c, 4, (int64_t[]){4, -6, 2, -1});
        Value *row = i == 0 ? kernel_inner(c, OP_Reshape, NULL, distinct, KERNEL_LIST(c, 4, 1))
                            : places(c, QCC_I64, DIMS(4, 1), -6, 5);
        kernel_node(c, OP_ScatterND, reductions[i], 1, x, row, rows);
        if (i == 0) continue;
        kernel_node(c, OP_ScatterND, reductions[i], 1, x, places(c, QCC_I64, DIMS(4, 2), 0, 4), cells);
        kernel_node(c, OP_ScatterND, reductions[i], 1, x, places(c, QCC_I64, DIMS(4, 3), -5, 4), dots);
        kernel_node(c, OP_ScatterND, reductions[i], 1, kernel_view(c, x, 2), row, kernel_view(c, rows, 2));
        Value *e = kernel_input(c, QCC_F32, DIMS(2, 5, 3));
        kernel_node(c, OP_ScatterElements, arena_printf(&c->arena, "axis=%d %s", (int)i % 3, reductions[i]), 1, x,
                    places(c, QCC_I64, DIMS(2, 5, 3), -5, 4), e);
    }
    kernel_case_check(c);
}

static void test_scatter_types(void **state) {
    (void)state;
    KernelCase *c = kernel_case_new();
    Random r = {23};
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        Value *x = kernel_feed(c, random_tensor(&c->arena, &r, (Type){all[i], DIMS(6, 3)}, true));
        Value *u = kernel_feed(c, random_tensor(&c->arena, &r, (Type){all[i], DIMS(2, 3)}, true));
        Value *once = kernel_inner(c, OP_Reshape, NULL, KERNEL_LIST(c, 5, -5), KERNEL_LIST(c, 2, 1));
        kernel_node(c, OP_ScatterND, reductions[0], 1, x, once, u);
        if (all[i] == QCC_BOOL || elem_info[all[i]].bits < 8) continue;
        for (int how = 1; how < 5; how++)
            kernel_node(c, OP_ScatterND, reductions[how], 1, x, places(c, QCC_I64, DIMS(2, 1), 0, 1), u);
    }
    kernel_case_check(c);
}

static void test_unpool(void **state) {
    (void)state;
    static const Elem elems[] = {QCC_F32, QCC_F16, QCC_I8, QCC_U8};
    KernelCase *c = kernel_case_new();
    for (size_t i = 0; i < COUNT_OF(elems); i++) {
        Value *x = kernel_input(c, elems[i], DIMS(2, 3, 4, 5)), *at = places(c, QCC_I64, DIMS(2, 3, 4, 5), 0, 479);
        kernel_node(c, OP_MaxUnpool, "kernel_shape=2,2 strides=2,2", 1, x, at);
        kernel_node(c, OP_MaxUnpool, "kernel_shape=2,2 strides=2,2", 1, x, at, KERNEL_LIST(c, 2, 3, 9, 13));
        kernel_node(c, OP_MaxUnpool, "kernel_shape=2,2", 1, kernel_view(c, x, 2),
                    places(c, QCC_I64, DIMS(2, 3, 4, 5), 0, 99));
    }
    Value *line = kernel_input(c, QCC_F32, DIMS(1, 2, 6));
    kernel_node(c, OP_MaxUnpool, "kernel_shape=3 strides=3", 1, line, places(c, QCC_I64, DIMS(1, 2, 6), 0, 35));
    kernel_case_check(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gather),    cmocka_unit_test(test_gather_types), cmocka_unit_test(test_outside),
        cmocka_unit_test(test_gather_nd), cmocka_unit_test(test_scatter),      cmocka_unit_test(test_scatter_types),
        cmocka_unit_test(test_unpool),
    };
    return TEST_RUN(tests);
}
