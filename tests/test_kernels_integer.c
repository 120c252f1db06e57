/* Integer products of constant weights on the register tile, held against the evaluator: reductions that end inside a
 * cell, tile edges, groups, windows with padding, and the extremes of every type, whose products are the largest there
 * are. */
#include "tests/kernel_case.h"

#include "tests/op_case.h"
#include "tests/support.h"

static const Elem lefts[] = {QCC_U8, QCC_I8, QCC_I16};

static int64_t least(Elem e) { return elem_info[e].kind == ELEM_I ? -((int64_t)1 << (elem_info[e].bits - 1)) : 0; }
static int64_t most(Elem e) { return least(e) + ((int64_t)1 << elem_info[e].bits) - 1; }

/* Fills with the type's extremes: all the least, all the most, or both in turn. */
static void fill_extremes(Tensor *t, int how) {
    Elem e = t->type.elem;
    for (int64_t i = 0; i < shape_count(&t->type.shape); i++)
        tensor_set_int(t, i, how == 0 || (how == 2 && i % 2) ? least(e) : most(e));
}

static void test_reductions(void **state) {
    (void)state;
    static const int64_t terms[] = {1, 2, 3, 4, 5, 7, 8, 16, 31, 64, 131};
    for (size_t e = 0; e < COUNT_OF(lefts); e++) {
        KernelCase *c = kernel_case_new();
        for (size_t k = 0; k < COUNT_OF(terms); k++) {
            Value *a = kernel_input(c, lefts[e], DIMS(15, terms[k]));
            kernel_node(c, OP_QMatMul, NULL, 1, a, kernel_weight(c, QCC_I8, DIMS(terms[k], 33)));
        }
        c->kernel = e == 0 ? "_u8_" : e == 1 ? "_s8_" : "_s16_";
        kernel_case_check(c);
    }
}

static void test_extremes(void **state) {
    (void)state;
    for (size_t e = 0; e < COUNT_OF(lefts); e++) {
        KernelCase *c = kernel_case_new();
        Elem weight = lefts[e] == QCC_I16 ? QCC_I16 : QCC_I8;
        for (int i = 0; i < 9; i++) {
            Shape s = DIMS(lefts[e] == QCC_I16 ? 2 : 1023, 20);
            Value *a = kernel_input(c, lefts[e], DIMS(9, s.dim[0]));
            Tensor *w = tensor_new(&c->arena, (Type){weight, s});
            fill_extremes((Tensor *)(uintptr_t)c->feeds.at[i], i / 3);
            fill_extremes(w, i % 3);
            kernel_node(c, OP_QMatMul, NULL, 1, a, graph_constant(c->graph, "", w));
        }
        kernel_case_check(c);
    }
}

static void test_windows(void **state) {
    (void)state;
    static const char *const windows[] = {"pads=1,1,1,1", "strides=2,2 pads=1,1,1,1", "strides=2,1 dilations=1,2",
                                          "pads=2,0,0,2"};
    static const int64_t channels[] = {1, 3, 4, 6, 16, 33};
    for (size_t e = 0; e < COUNT_OF(lefts); e++) {
        KernelCase *c = kernel_case_new();
        for (size_t i = 0; i < COUNT_OF(channels); i++)
            for (size_t w = i % 2; w < COUNT_OF(windows); w += 2) {
                Value *x = kernel_input(c, lefts[e], DIMS(2, channels[i], 9, 8));
                kernel_node(c, OP_QConv, windows[w], 1, x,
                            kernel_weight(c, QCC_I8, DIMS(channels[COUNT_OF(channels) - 1 - i], channels[i], 3, 3)));
            }
        kernel_case_check(c);
    }
}

static void test_shapes(void **state) {
    (void)state;
    for (size_t e = 0; e < COUNT_OF(lefts); e++) {
        KernelCase *c = kernel_case_new();
        Value *line = kernel_input(c, lefts[e], DIMS(1, 10, 41)), *box = kernel_input(c, lefts[e], DIMS(1, 5, 4, 6, 7));
        Value *image = kernel_input(c, lefts[e], DIMS(1, 12, 9, 9));
        kernel_node(c, OP_QConv, "pads=2,2", 1, line, kernel_weight(c, QCC_I8, DIMS(18, 10, 5)));
        kernel_node(c, OP_QConv, "pads=1,1,1,1,1,1", 1, box, kernel_weight(c, QCC_I8, DIMS(7, 5, 3, 3, 3)));
        kernel_node(c, OP_QConv, "group=2 pads=1,1,1,1", 1, image, kernel_weight(c, QCC_I8, DIMS(34, 6, 3, 3)));
        kernel_node(c, OP_QConv, "group=4", 1, image, kernel_weight(c, QCC_I8, DIMS(8, 3, 1, 1)));
        kernel_node(c, OP_QConv, NULL, 1, image, kernel_weight(c, QCC_I8, DIMS(65, 12, 1, 1)));
        kernel_node(c, OP_QConv, "pads=1,1,1,1 group=12", 1, image, kernel_weight(c, QCC_I8, DIMS(12, 1, 3, 3)));
        kernel_node(c, OP_QConv, "pads=2,2,2,2 strides=2,2 group=12", 1, image,
                    kernel_weight(c, QCC_I8, DIMS(24, 1, 5, 5)));
        kernel_case_check(c);
    }
}

/* Weights of few values are kept in as many bits and written out by NAME_prepare. */
static void test_few_values(void **state) {
    (void)state;
    static const int64_t values[][16] = {
        {-1, 1}, {-1, 0, 1}, {-4, -2, -1, 0, 1, 2, 4}, {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7}};
    static const int counts[] = {2, 3, 7, 16};
    KernelCase *c = kernel_case_new();
    for (size_t v = 0; v < COUNT_OF(values); v++)
        for (size_t e = 0; e < 2; e++) {
            Value *w = kernel_weight(c, QCC_I8, DIMS(80, 18, 3, 3)), *x = kernel_input(c, lefts[e], DIMS(1, 18, 5, 5));
            Tensor *t = (Tensor *)(uintptr_t)w->constant;
            for (int64_t i = 0; i < shape_count(&t->type.shape); i++)
                tensor_set_int(t, i, values[v][(i * 7 + i / 11) % counts[v]]);
            kernel_node(c, OP_QConv, "pads=1,1,1,1", 1, x, w);
        }
    kernel_case_check(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reductions), cmocka_unit_test(test_extremes),   cmocka_unit_test(test_windows),
        cmocka_unit_test(test_shapes),     cmocka_unit_test(test_few_values),
    };
    return TEST_RUN(tests);
}
