/* Poolings against the evaluator: windows, pads, dilations, ceil mode, indices, one to three axes, element types. */
#include "tests/kernel_case.h"

#include "tests/codegen_support.h"
#include "tests/op_case.h"
#include "tests/support.h"

#include <math.h>

static void check_means(KernelCase *c) {
    c->tolerance = 1e-6; /* means are rounded once by the reference, twice by the kernel */
    kernel_case_check(c);
}

static const char *const windows[] = {
    "kernel_shape=3,3",
    "kernel_shape=2,2 strides=2,2",
    "kernel_shape=3,3 strides=2,2 pads=1,1,1,1",
    "kernel_shape=3,3 strides=2,2 ceil_mode=1",
    "kernel_shape=3,2 strides=2,3 pads=1,0,0,1 ceil_mode=1",
    "kernel_shape=5,5 pads=2,2,2,2",
    "kernel_shape=2,3 dilations=3,2",
    "kernel_shape=2,2 dilations=2,2 pads=1,1,1,1",
    "kernel_shape=3,3 auto_pad=SAME_UPPER strides=2,2",
    "kernel_shape=9,11 pads=8,10,8,10",
    "kernel_shape=9,11",
    "kernel_shape=1,1 strides=3,3",
};

static void test_windows(void **state) {
    (void)state;
    static const int64_t channels[] = {1, 3, 16, 17, 40};
    KernelCase *c = kernel_case_new();
    for (size_t i = 0; i < COUNT_OF(windows); i++)
        for (size_t n = 0; n < COUNT_OF(channels); n++) {
            Value *x = kernel_input(c, QCC_F32, DIMS(2, channels[n], 9, 11));
            kernel_node(c, OP_MaxPool, windows[i], 1, x);
            kernel_node(c, OP_AveragePool, windows[i], 1, x);
            kernel_node(c, OP_AveragePool, arena_printf(&c->arena, "%s count_include_pad=1", windows[i]), 1, x);
        }
    check_means(c);
}

static void test_indices(void **state) {
    (void)state;
    KernelCase *c = kernel_case_new();
    for (size_t i = 0; i < COUNT_OF(windows); i++) {
        Value *x = kernel_input(c, QCC_F32, DIMS(2, 3 + 7 * (int64_t)(i % 3), 9, 11));
        kernel_node(c, OP_MaxPool, windows[i], 2, x);
        kernel_node(c, OP_MaxPool, arena_printf(&c->arena, "%s storage_order=1", windows[i]), 2, x);
    }
    check_means(c);
}

/* Windows of some NaNs, of NaNs alone, and with padding. */
static void test_nans(void **state) {
    (void)state;
    static const Elem elems[] = {QCC_F32, QCC_F16, QCC_F64};
    KernelCase *c = kernel_case_new();
    Random r = {19};
    for (size_t i = 0; i < COUNT_OF(elems); i++) {
        Type t = {elems[i], DIMS(1, 19, 9, 11)};
        Tensor *x = random_tensor(&c->arena, &r, t, false);
        for (int64_t k = 0; k < shape_count(&t.shape); k++)
            if (random_int(&r, 0, 3)) tensor_set(x, k, NAN);
        Value *v = kernel_feed(c, x);
        for (size_t w = 0; w < COUNT_OF(windows); w++) {
            kernel_node(c, OP_MaxPool, windows[w], 1, v);
            kernel_node(c, OP_MaxPool, windows[w], 2, v);
        }
    }
    kernel_case_check(c);
}

static void test_axes(void **state) {
    (void)state;
    KernelCase *c = kernel_case_new();
    Value *line = kernel_input(c, QCC_F32, DIMS(2, 5, 31)), *box = kernel_input(c, QCC_F32, DIMS(1, 20, 5, 6, 7));
    static const OpId ops[] = {OP_MaxPool, OP_AveragePool};
    for (size_t i = 0; i < COUNT_OF(ops); i++) {
        kernel_node(c, ops[i], "kernel_shape=3 strides=2 pads=1,1", 1, line);
        kernel_node(c, ops[i], "kernel_shape=2,3,2 pads=1,1,0,0,1,1", 1, box);
        kernel_node(c, ops[i], "kernel_shape=5,6,7", 1, box);
    }
    kernel_node(c, OP_MaxPool, "kernel_shape=2,3,2 strides=2,2,2 ceil_mode=1", 2, box);
    check_means(c);
}

static void test_types(void **state) {
    (void)state;
    static const Elem elems[] = {QCC_F64, QCC_F16, QCC_I8, QCC_U8, QCC_I16, QCC_U16};
    KernelCase *c = kernel_case_new();
    for (size_t i = 0; i < COUNT_OF(elems); i++) {
        Value *x = kernel_input(c, elems[i], DIMS(1, 70, 7, 6));
        kernel_node(c, OP_MaxPool, windows[2], 1, x);
        kernel_node(c, OP_MaxPool, windows[4], 2, x);
    }
    kernel_node(c, OP_AveragePool, windows[2], 1, kernel_input(c, QCC_F64, DIMS(1, 9, 7, 6)));
    check_means(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows), cmocka_unit_test(test_indices), cmocka_unit_test(test_nans),
        cmocka_unit_test(test_axes),    cmocka_unit_test(test_types),
    };
    return TEST_RUN(tests);
}
