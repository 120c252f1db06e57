/* Convolutions against the evaluator over the shape space: tile edges, ragged channels, strides, dilations, groups,
 * pads, one to three axes, and the element types that the plain nest takes. */
#include "tests/kernel_case.h"

#include "tests/op_case.h"
#include "tests/support.h"

/* One square convolution: x[1, c, h, w], m results, kernel k. */
static void add_conv(KernelCase *c, int64_t in, int64_t m, int64_t h, int64_t w, int64_t k, const char *more,
                     int group) {
    Value *x = kernel_input(c, QCC_F32, DIMS(1, in, h, w)),
          *weights = kernel_weight(c, QCC_F32, DIMS(m, in / group, k, k));
    const char *attrs = arena_printf(&c->arena, "%s group=%d", more, group);
    kernel_node(c, OP_Conv, attrs, 1, x, weights, kernel_weight(c, QCC_F32, DIMS(m)));
}

static void test_channels(void **state) {
    (void)state;
    static const int64_t channels[] = {1, 2, 3, 7, 8, 15, 16, 17, 24, 31, 32, 33, 48, 65, 80};
    KernelCase *c = kernel_case_new();
    for (size_t i = 0; i < COUNT_OF(channels); i++) {
        add_conv(c, 5, channels[i], 5, 6, 3, "pads=1,1,1,1", 1);
        add_conv(c, channels[i], 9, 4, 5, 1, "", 1);
    }
    kernel_case_check(c);
}

static void test_sizes(void **state) {
    (void)state;
    static const int64_t sizes[] = {1, 2, 6, 7, 8, 13, 14, 15, 17, 28, 29, 31};
    KernelCase *c = kernel_case_new();
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        add_conv(c, 4, 32, sizes[i], sizes[COUNT_OF(sizes) - 1 - i], 3, "pads=1,1,1,1", 1);
        add_conv(c, 4, 16, sizes[i], sizes[i], 1, "", 1);
        add_conv(c, 3, 48, sizes[i], 3, 3, "pads=2,1,0,1", 1);
    }
    kernel_case_check(c);
}

static void test_windows(void **state) {
    (void)state;
    static const char *const windows[] = {
        "",
        "strides=2,2",
        "pads=0,1,2,0",
        "strides=2,1 pads=1,1,1,1",
        "dilations=2,2 pads=2,2,2,2",
        "dilations=1,3 strides=3,2 pads=4,4,1,2",
        "auto_pad=SAME_UPPER strides=2,2",
        "auto_pad=SAME_LOWER",
        "auto_pad=VALID",
    };
    KernelCase *c = kernel_case_new();
    for (size_t i = 0; i < COUNT_OF(windows); i++)
        for (int64_t k = 1; k <= 5; k += 2) {
            add_conv(c, 6, 20, 13, 14, k, windows[i], 1);
            add_conv(c, 6, 12, 13, 14, k, windows[i], 2);
            add_conv(c, 6, 6, 13, 14, k, windows[i], 6);
        }
    kernel_case_check(c);
}

static void test_groups(void **state) {
    (void)state;
    static const int64_t per_group[][3] = {{1, 1, 17}, {1, 1, 64}, {1, 2, 9},  {2, 2, 12}, {4, 4, 8},
                                           {2, 1, 16}, {3, 5, 3},  {8, 16, 2}, {16, 8, 3}, {1, 3, 7},
                                           {5, 4, 4},  {4, 8, 5},  {1, 16, 3}, {1, 8, 3},  {1, 4, 12}};
    KernelCase *c = kernel_case_new();
    for (size_t i = 0; i < COUNT_OF(per_group); i++) {
        const int64_t *g = per_group[i];
        add_conv(c, g[0] * g[2], g[1] * g[2], 9, 10, 3, "pads=1,1,1,1", (int)g[2]);
        add_conv(c, g[0] * g[2], g[1] * g[2], 9, 10, 5, "strides=2,2 pads=2,2,2,2", (int)g[2]);
    }
    kernel_case_check(c);
}

static void test_large_kernels(void **state) {
    (void)state;
    KernelCase *c = kernel_case_new();
    add_conv(c, 3, 64, 30, 30, 7, "strides=2,2 pads=3,3,3,3", 1);
    add_conv(c, 16, 16, 12, 12, 11, "pads=5,5,5,5", 16);
    add_conv(c, 16, 16, 14, 14, 9, "pads=4,4,4,4", 16);
    add_conv(c, 1, 10, 49, 10, 10, "auto_pad=SAME_UPPER strides=2,2", 1);
    kernel_case_check(c);
}

static void test_axes(void **state) {
    (void)state;
    KernelCase *c = kernel_case_new();
    Value *bias = kernel_weight(c, QCC_F32, DIMS(18));
    Value *line = kernel_input(c, QCC_F32, DIMS(2, 6, 61)), *box = kernel_input(c, QCC_F32, DIMS(2, 6, 5, 6, 7));
    kernel_node(c, OP_Conv, "pads=2,2 strides=2", 1, line, kernel_weight(c, QCC_F32, DIMS(18, 6, 5)), bias);
    kernel_node(c, OP_Conv, "pads=1,1 group=6", 1, line, kernel_weight(c, QCC_F32, DIMS(18, 1, 3)), bias);
    kernel_node(c, OP_Conv, "pads=1,1,1,1,1,1", 1, box, kernel_weight(c, QCC_F32, DIMS(18, 6, 3, 3, 3)), bias);
    kernel_node(c, OP_Conv, "pads=1,0,1,1,0,1 strides=2,1,2 dilations=1,2,1", 1, box,
                kernel_weight(c, QCC_F32, DIMS(18, 6, 3, 3, 3)));
    kernel_node(c, OP_Conv, "pads=1,1,1,1,1,1 group=6", 1, box, kernel_weight(c, QCC_F32, DIMS(6, 1, 3, 3, 3)));
    kernel_case_check(c);
}

static void test_types(void **state) {
    (void)state;
    static const Elem elems[] = {QCC_F64, QCC_F16, QCC_BF16};
    KernelCase *c = kernel_case_new();
    c->tolerance = 1e-2; /* halves are rounded once here, as there, but f16 sums in f32 */
    for (size_t i = 0; i < COUNT_OF(elems); i++) {
        Value *x = kernel_input(c, elems[i], DIMS(2, 4, 5, 6)), *w = kernel_weight(c, elems[i], DIMS(6, 2, 3, 3));
        kernel_node(c, OP_Conv, "pads=1,1,1,1 group=2", 1, x, w, kernel_weight(c, elems[i], DIMS(6)));
        kernel_node(c, OP_ConvTranspose, "strides=2,2 group=2", 1, x, kernel_weight(c, elems[i], DIMS(4, 3, 3, 3)));
    }
    kernel_case_check(c);
}

/* Weights that are computed at run time, which no panel can hold. */
static void test_run_time_weights(void **state) {
    (void)state;
    KernelCase *c = kernel_case_new();
    Value *x = kernel_input(c, QCC_F32, DIMS(2, 4, 7, 6)), *w = kernel_input(c, QCC_F32, DIMS(6, 4, 3, 3));
    Value *bias = kernel_input(c, QCC_F32, DIMS(6));
    kernel_node(c, OP_Conv, "pads=1,1,1,1", 1, x, w, bias);
    kernel_node(c, OP_Conv, "pads=1000,0,0,7 strides=90,2 dilations=3,1", 1, x, w);
    kernel_node(c, OP_ConvTranspose, "pads=1,1,1,1", 1, x, kernel_input(c, QCC_F32, DIMS(4, 6, 3, 3)), bias);
    kernel_case_check(c);
}

static void test_transposed(void **state) {
    (void)state;
    static const char *const windows[] = {"",
                                          "strides=2,2",
                                          "strides=3,2 pads=1,0,2,1 output_padding=1,0",
                                          "dilations=2,2 strides=2,2",
                                          "output_shape=14,15 strides=3,3",
                                          "auto_pad=SAME_UPPER strides=2,2"};
    KernelCase *c = kernel_case_new();
    for (size_t i = 0; i < COUNT_OF(windows); i++) {
        Value *x = kernel_input(c, QCC_F32, DIMS(1, 6, 5, 5)), *bias = kernel_weight(c, QCC_F32, DIMS(18));
        kernel_node(c, OP_ConvTranspose, windows[i], 1, x, kernel_weight(c, QCC_F32, DIMS(6, 18, 3, 3)), bias);
        const char *grouped = arena_printf(&c->arena, "%s group=3", windows[i]);
        kernel_node(c, OP_ConvTranspose, grouped, 1, x, kernel_weight(c, QCC_F32, DIMS(6, 6, 3, 3)), bias);
    }
    kernel_case_check(c);
}

/* Integer products of operands of different types. */
static void test_integers(void **state) {
    (void)state;
    static const Elem elems[] = {QCC_I8, QCC_U8, QCC_I16, QCC_U16};
    KernelCase *c = kernel_case_new();
    for (size_t i = 0; i < COUNT_OF(elems); i++) {
        Elem other = elems[(i + 1) % 3];
        Value *x = kernel_input(c, elems[i], DIMS(2, 4, 6, 5)), *line = kernel_input(c, elems[i], DIMS(1, 3, 17));
        kernel_node(c, OP_QConv, "pads=1,1,1,1 group=2", 1, x, kernel_weight(c, other, DIMS(6, 2, 3, 3)));
        kernel_node(c, OP_QConv, "strides=2,1 dilations=1,2 pads=0,1,1,0", 1, x,
                    kernel_weight(c, other, DIMS(5, 4, 3, 2)));
        kernel_node(c, OP_QConv, "pads=2,1 strides=2", 1, line, kernel_input(c, other, DIMS(7, 3, 5)));
        kernel_node(c, OP_QConvTranspose, "strides=2,2 group=2", 1, x, kernel_weight(c, other, DIMS(4, 3, 3, 3)));
    }
    kernel_case_check(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_channels),   cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_windows),    cmocka_unit_test(test_groups),
        cmocka_unit_test(test_axes),       cmocka_unit_test(test_large_kernels),
        cmocka_unit_test(test_types),      cmocka_unit_test(test_run_time_weights),
        cmocka_unit_test(test_transposed), cmocka_unit_test(test_integers),
    };
    return TEST_RUN(tests);
}
