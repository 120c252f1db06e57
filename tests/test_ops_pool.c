/* Poolings: small vectors worked out by hand, and every refusal. */
#include "tests/op_case.h"

#include "ir/ops/window.h"
#include "tests/support.h"

#include <math.h>

#define TEST(name) static void name(void **state)
#define OPEN                \
    OpCase *c = case_new(); \
    (void)state

static void operand(OpCase *c, const Tensor *x) {
    c->n_in = 0;
    case_in(c, x);
}

/* ---- MaxPool ---- */

TEST(max_pool) {
    OPEN;
    operand(c, F32(c, DIMS(1, 1, 3, 3), 1, 5, 2, 8, 4, 3, 0, 7, 6));
    case_gives(c, OP_MaxPool, "kernel_shape=2,2", F32(c, DIMS(1, 1, 2, 2), 8, 5, 8, 7));
    case_gives(c, OP_MaxPool, "kernel_shape=2,2 strides=2,2 ceil_mode=1", F32(c, DIMS(1, 1, 2, 2), 8, 3, 7, 6));
    case_gives(c, OP_MaxPool, "kernel_shape=2,2 dilations=2,2", F32(c, DIMS(1, 1, 1, 1), 6));
    case_gives(c, OP_MaxPool, "kernel_shape=2,2 pads=1,1,0,0 strides=2,2", F32(c, DIMS(1, 1, 2, 2), 1, 5, 8, 7));
    case_gives(c, OP_MaxPool, "kernel_shape=3,3 auto_pad=SAME_UPPER strides=2,2", F32(c, DIMS(1, 1, 2, 2), 8, 5, 8, 7));
    case_free(c);
}

TEST(max_pool_indices) {
    OPEN;
    c->n_out = 2;
    operand(c, F32(c, DIMS(1, 2, 2, 3), 1, 5, 2, 8, 4, 8, 3, 3, 3, 3, 3, 3));
    Node *n = case_node(c, OP_MaxPool, "kernel_shape=2,2");
    case_output(c, n, 0, F32(c, DIMS(1, 2, 1, 2), 8, 8, 3, 3));
    case_output(c, n, 1, I64(c, DIMS(1, 2, 1, 2), 3, 5, 6, 7));
    n = case_node(c, OP_MaxPool, "kernel_shape=2,2 storage_order=1");
    case_output(c, n, 1, I64(c, DIMS(1, 2, 1, 2), 1, 5, 6, 8));
    case_free(c);
}

TEST(max_pool_bytes) {
    OPEN;
    operand(c, TENSOR(c, QCC_I8, DIMS(1, 1, 4), -128, -5, -7, -6));
    case_gives(c, OP_MaxPool, "kernel_shape=2 pads=1,1", TENSOR(c, QCC_I8, DIMS(1, 1, 5), -128, -5, -5, -6, -6));
    operand(c, TENSOR(c, QCC_U8, DIMS(1, 1, 3), 0, 255, 128));
    case_gives(c, OP_MaxPool, "kernel_shape=2", TENSOR(c, QCC_U8, DIMS(1, 1, 2), 255, 255));
    case_free(c);
}

TEST(max_pool_special_values) {
    OPEN;
    operand(c, F32(c, DIMS(1, 1, 5), NAN, 1, NAN, NAN, -INFINITY));
    case_gives(c, OP_MaxPool, "kernel_shape=2", F32(c, DIMS(1, 1, 4), 1, 1, NAN, -INFINITY));
    operand(c, F32(c, DIMS(1, 1, 1), 3)); /* taps at -1 and 1 lie both in the padding */
    case_gives(c, OP_MaxPool, "kernel_shape=2 dilations=2 pads=1,1", F32(c, DIMS(1, 1, 1), -INFINITY));
    operand(c, TENSOR(c, QCC_I8, DIMS(1, 1, 1), 3));
    case_gives(c, OP_MaxPool, "kernel_shape=2 dilations=2 pads=1,1", TENSOR(c, QCC_I8, DIMS(1, 1, 1), -128));
    case_free(c);
}

/* The window that ceil_mode adds counts only if it begins before the end padding. */
TEST(ceil_mode) {
    OPEN;
    operand(c, F32(c, DIMS(1, 1, 4), 1, 2, 3, 4));
    case_gives(c, OP_MaxPool, "kernel_shape=3 strides=2", F32(c, DIMS(1, 1, 1), 3));
    case_gives(c, OP_MaxPool, "kernel_shape=3 strides=2 ceil_mode=1", F32(c, DIMS(1, 1, 2), 3, 4));
    case_gives(c, OP_MaxPool, "kernel_shape=1 strides=4 ceil_mode=1", F32(c, DIMS(1, 1, 1), 1));
    case_gives(c, OP_MaxPool, "kernel_shape=2 strides=3 pads=0,1 ceil_mode=1", F32(c, DIMS(1, 1, 2), 2, 4));
    case_gives(c, OP_MaxPool, "kernel_shape=2 strides=3 pads=1,1 ceil_mode=1", F32(c, DIMS(1, 1, 2), 1, 4));
    operand(c, F32(c, DIMS(1, 1, 2), 1, 2));
    case_gives(c, OP_MaxPool, "kernel_shape=2 strides=3 pads=1,1 ceil_mode=1", F32(c, DIMS(1, 1, 1), 1));
    case_gives(c, OP_MaxPool, "kernel_shape=3 strides=2 ceil_mode=1", F32(c, DIMS(1, 1, 1), 2));
    case_refused(c, OP_MaxPool, "kernel_shape=3 strides=1 ceil_mode=1", D_OPERAND_SHAPE, "a window of 3 exceeds");
    case_refused(c, OP_MaxPool, "kernel_shape=3 strides=2 ceil_mode=1 auto_pad=VALID", D_OPERAND_SHAPE, "exceeds");
    case_free(c);
}

TEST(pool_refusals) {
    OPEN;
    operand(c, F32(c, DIMS(1, 1, 3), 1));
    case_refused(c, OP_MaxPool, NULL, D_ATTRIBUTE, "'kernel_shape' is missing");
    case_refused(c, OP_MaxPool, "kernel_shape=4", D_OPERAND_SHAPE, "a window of 4 exceeds the padded input of 3");
    case_refused(c, OP_MaxPool, "kernel_shape=0", D_ATTRIBUTE, "kernel_shape[0] is 0");
    case_refused(c, OP_MaxPool, "kernel_shape=2 pads=2,0", D_ATTRIBUTE, "pads of 2 and 0 reach a whole window of 2");
    case_refused(c, OP_AveragePool, "kernel_shape=2 pads=0,2", D_ATTRIBUTE, "pads of 0 and 2 reach a whole window");
    case_refused(c, OP_MaxPool, "kernel_shape=2 storage_order=2", D_ATTRIBUTE, "storage_order is 2");
    case_refused(c, OP_AveragePool, "kernel_shape=2,2", D_ATTRIBUTE, "kernel_shape has 2 entries; 1 are wanted");
    operand(c, I64(c, DIMS(1, 1, 3), 1));
    case_refused(c, OP_AveragePool, "kernel_shape=2", D_OPERAND_TYPE, "operand 0 (X) is i64");
    case_free(c);
}

/* ---- AveragePool ---- */

TEST(average_pool) {
    OPEN;
    operand(c, F32(c, DIMS(1, 1, 4), 2, 4, 6, 10));
    case_gives(c, OP_AveragePool, "kernel_shape=2", F32(c, DIMS(1, 1, 3), 3, 5, 8));
    case_gives(c, OP_AveragePool, "kernel_shape=2 pads=1,1 strides=2", F32(c, DIMS(1, 1, 3), 2, 5, 10));
    case_gives(c, OP_AveragePool, "kernel_shape=2 pads=1,1 strides=2 count_include_pad=1",
               F32(c, DIMS(1, 1, 3), 1, 5, 5));
    case_gives(c, OP_AveragePool, "kernel_shape=2 dilations=2", F32(c, DIMS(1, 1, 2), 4, 7));
    case_gives(c, OP_AveragePool, "kernel_shape=2 auto_pad=SAME_UPPER", F32(c, DIMS(1, 1, 4), 3, 5, 8, 10));
    case_gives(c, OP_AveragePool, "kernel_shape=2 auto_pad=SAME_LOWER", F32(c, DIMS(1, 1, 4), 2, 3, 5, 8));
    case_free(c);
}

/* What lies beyond the padding never counts. */
TEST(average_pool_ceil) {
    OPEN;
    operand(c, F32(c, DIMS(1, 1, 4), 2, 4, 6, 10));
    case_gives(c, OP_AveragePool, "kernel_shape=3 strides=2 ceil_mode=1 count_include_pad=1",
               F32(c, DIMS(1, 1, 2), 4, 8));
    case_gives(c, OP_AveragePool, "kernel_shape=4 strides=3 ceil_mode=1 count_include_pad=1 pads=0,1",
               F32(c, DIMS(1, 1, 2), 5.5, 5));
    case_free(c);
}

TEST(average_of_nothing) {
    OPEN;
    operand(c, F32(c, DIMS(1, 1, 1), 3));
    case_gives(c, OP_AveragePool, "kernel_shape=2 dilations=2 pads=1,1", F32(c, DIMS(1, 1, 1), 0));
    operand(c, F32(c, DIMS(0, 2, 5), 0));
    case_gives(c, OP_AveragePool, "kernel_shape=2", F32(c, DIMS(0, 2, 4), 0));
    case_free(c);
}

/* ---- global poolings ---- */

TEST(global_pools) {
    OPEN;
    operand(c, F32(c, DIMS(1, 2, 2, 2), 1, 2, 3, 6, -3, 4, 0, 0));
    case_gives(c, OP_GlobalAveragePool, NULL, F32(c, DIMS(1, 2, 1, 1), 3, 0.25));
    case_gives(c, OP_GlobalMaxPool, NULL, F32(c, DIMS(1, 2, 1, 1), 6, 4));
    operand(c, F32(c, DIMS(1, 2), 1));
    case_refused(c, OP_GlobalAveragePool, NULL, D_OPERAND_SHAPE, "rank 2; at least rank 3 is wanted");
    case_free(c);
}

/* ---- LpPool ---- */

TEST(lp_pools) {
    OPEN;
    c->tolerance = 1e-6;
    operand(c, F32(c, DIMS(1, 2, 4), 3, -4, 0, 12, 1, 1, 1, -2));
    case_gives(c, OP_LpPool, "kernel_shape=2", F32(c, DIMS(1, 2, 3), 5, 4, 12, sqrt(2), sqrt(2), sqrt(5)));
    case_gives(c, OP_LpPool, "kernel_shape=2 strides=2 p=1", F32(c, DIMS(1, 2, 2), 7, 12, 2, 3));
    case_gives(c, OP_LpPool, "kernel_shape=2 dilations=2 p=3",
               F32(c, DIMS(1, 2, 2), 3, cbrt(64 + 1728), cbrt(2), cbrt(9)));
    case_gives(c, OP_LpPool, "kernel_shape=3 strides=2 pads=1,0",
               F32(c, DIMS(1, 2, 2), 5, sqrt(160), sqrt(2), sqrt(6)));
    case_gives(c, OP_LpPool, "kernel_shape=3 strides=2 ceil_mode=1",
               F32(c, DIMS(1, 2, 2), 5, 12, sqrt(3), sqrt(5))); /* the last window reaches outside */
    case_gives(c, OP_LpPool, "kernel_shape=3 auto_pad=SAME_UPPER strides=3 p=1", F32(c, DIMS(1, 2, 2), 7, 12, 2, 3));
    case_gives(c, OP_GlobalLpPool, NULL, F32(c, DIMS(1, 2, 1), 13, sqrt(7)));
    case_gives(c, OP_GlobalLpPool, "p=1", F32(c, DIMS(1, 2, 1), 19, 5));
    case_refused(c, OP_LpPool, "kernel_shape=2 p=0", D_ATTRIBUTE, "p is 0");
    case_refused(c, OP_GlobalLpPool, "p=-1", D_ATTRIBUTE, "p is -1");
    operand(c, F32(c, DIMS(1, 1, 1), 1));
    case_refused(c, OP_LpPool, "kernel_shape=100000000 pads=99999999,99999999", D_SIZE_LIMIT, "windows of more than");
    operand(c, F32(c, DIMS(2, 0, 4), 0));
    case_gives(c, OP_LpPool, "kernel_shape=2", F32(c, DIMS(2, 0, 3), 0));
    case_free(c);
}

/* ---- MaxUnpool ---- */

TEST(max_unpool) {
    OPEN;
    operand(c, F32(c, DIMS(1, 1, 2, 2), 1, 2, 3, 4));
    case_in(c, I64(c, DIMS(1, 1, 2, 2), 5, 7, 13, 15));
    case_gives(c, OP_MaxUnpool, "kernel_shape=2,2 strides=2,2",
               F32(c, DIMS(1, 1, 4, 4), 0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 3, 0, 4));
    case_const(c, LIST(c, 1, 1, 4, 5));
    case_gives(c, OP_MaxUnpool, "kernel_shape=2,2 strides=2,2",
               F32(c, DIMS(1, 1, 4, 5), 0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 4, 0));
    case_free(c);
}

TEST(max_unpool_refusals) {
    OPEN;
    operand(c, F32(c, DIMS(1, 1, 2), 1));
    case_in(c, I64(c, DIMS(1, 1, 2), 9));
    case_refused(c, OP_MaxUnpool, "kernel_shape=2,2", D_ATTRIBUTE, "2 kernel sizes, 0 strides and 0 pads for 1");
    case_refused(c, OP_MaxUnpool, "kernel_shape=0", D_ATTRIBUTE, "kernel 0, stride 1");
    case_refused(c, OP_MaxUnpool, "kernel_shape=1 pads=2,2", D_OPERAND_SHAPE, "spatial axis 0 cannot be unpooled");
    Node *n = case_node(c, OP_MaxUnpool, "kernel_shape=2 strides=2");
    Tensor *out[1];
    assert_false(node_eval(&c->arena, &c->diags, n, c->data, out));
    assert_int_equal(c->diags.first->id, D_OPERAND_VALUE);
    case_const(c, LIST(c, 1, 1, 3));
    case_refused(c, OP_MaxUnpool, "kernel_shape=2 strides=2", D_OPERAND_VALUE, "at least [1,1,4] is wanted");
    c->n_in = 1;
    case_in(c, I64(c, DIMS(1, 1, 1), 0));
    case_refused(c, OP_MaxUnpool, "kernel_shape=2", D_OPERAND_SHAPE,
                 "the indices need the shape of operand 0, [1,1,2]");
    case_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(max_pool),
        cmocka_unit_test(max_pool_indices),
        cmocka_unit_test(max_pool_bytes),
        cmocka_unit_test(max_pool_special_values),
        cmocka_unit_test(ceil_mode),
        cmocka_unit_test(pool_refusals),
        cmocka_unit_test(average_pool),
        cmocka_unit_test(average_pool_ceil),
        cmocka_unit_test(average_of_nothing),
        cmocka_unit_test(global_pools),
        cmocka_unit_test(lp_pools),
        cmocka_unit_test(max_unpool),
        cmocka_unit_test(max_unpool_refusals),
    };
    return TEST_RUN(tests);
}
