/* Reductions and scans: small vectors worked out by hand, and every refusal. */
#include "tests/op_case.h"

#include "tests/support.h"

#include <math.h>

#define TEST(name) static void name(void **state)
#define OPEN                \
    OpCase *c = case_new(); \
    (void)state

static void operands(OpCase *c, const Tensor *x, const Tensor *axes) {
    c->n_in = 0;
    case_in(c, x);
    if (axes) case_const(c, axes);
}

TEST(sum) {
    OPEN;
    operands(c, case_ramp(c, QCC_F32, DIMS(2, 3, 2)), NULL);
    case_gives(c, OP_ReduceSum, NULL, F32(c, DIMS(1, 1, 1), 66));
    case_gives(c, OP_ReduceSum, "keepdims=0", F32(c, SCALAR, 66));
    case_gives(c, OP_ReduceSum, "noop_with_empty_axes=1", case_ramp(c, QCC_F32, DIMS(2, 3, 2)));
    operands(c, case_ramp(c, QCC_F32, DIMS(2, 3, 2)), LIST(c, 1));
    case_gives(c, OP_ReduceSum, "keepdims=0", F32(c, DIMS(2, 2), 6, 9, 24, 27));
    operands(c, case_ramp(c, QCC_F32, DIMS(2, 3, 2)), LIST(c, -1, 0));
    case_gives(c, OP_ReduceSum, NULL, F32(c, DIMS(1, 3, 1), 14, 22, 30));
    operands(c, case_ramp(c, QCC_F32, DIMS(2, 3, 2)), I64(c, DIMS(0), 0));
    case_gives(c, OP_ReduceSum, "keepdims=0", F32(c, SCALAR, 66));
    case_free(c);
}

TEST(sum_and_product_of_types) {
    OPEN;
    operands(c, TENSOR(c, QCC_I32, DIMS(2), 2147483647, 1), NULL);
    case_gives(c, OP_ReduceSum, "keepdims=0", TENSOR(c, QCC_I32, SCALAR, -2147483648.0));
    operands(c, TENSOR(c, QCC_I32, DIMS(3), 65536, 65536, 7), NULL);
    case_gives(c, OP_ReduceProd, "keepdims=0", TENSOR(c, QCC_I32, SCALAR, 0));
    operands(c, F32(c, DIMS(4), 16777216, 1, 1, -3), NULL);
    case_gives(c, OP_ReduceSum, "keepdims=0", F32(c, SCALAR, 16777215));
    case_gives(c, OP_ReduceProd, "keepdims=0", F32(c, SCALAR, -50331648));
    operands(c, TENSOR(c, QCC_F16, DIMS(3), 2048, 1, 1), NULL);
    case_gives(c, OP_ReduceSum, "keepdims=0", TENSOR(c, QCC_F16, SCALAR, 2050));
    case_free(c);
}

TEST(extremes) {
    OPEN;
    operands(c, F32(c, DIMS(2, 3), 1, NAN, -4, NAN, NAN, NAN), LIST(c, 1));
    case_gives(c, OP_ReduceMax, "keepdims=0", F32(c, DIMS(2), NAN, NAN));
    case_gives(c, OP_ReduceMin, "keepdims=0", F32(c, DIMS(2), NAN, NAN));
    operands(c, TENSOR(c, QCC_U8, DIMS(3), 3, 200, 7), NULL);
    case_gives(c, OP_ReduceMax, "keepdims=0", TENSOR(c, QCC_U8, SCALAR, 200));
    operands(c, TENSOR(c, QCC_BOOL, DIMS(2, 2), 0, 1, 0, 0), LIST(c, 1));
    case_gives(c, OP_ReduceMax, NULL, TENSOR(c, QCC_BOOL, DIMS(2, 1), 1, 0));
    case_gives(c, OP_ReduceMin, NULL, TENSOR(c, QCC_BOOL, DIMS(2, 1), 0, 0));
    operands(c, TENSOR(c, QCC_U64, DIMS(2), 1, 18446744073709549568.0), NULL);
    case_gives(c, OP_ReduceMax, "keepdims=0", TENSOR(c, QCC_U64, SCALAR, 18446744073709549568.0));
    case_free(c);
}

TEST(logarithms_of_sums) {
    OPEN;
    c->tolerance = 1e-6;
    operands(c, F32(c, DIMS(2, 2), 1, 3, 0, 0), LIST(c, 1));
    case_gives(c, OP_ReduceLogSum, "keepdims=0", F32(c, DIMS(2), log(4), -INFINITY));
    case_gives(c, OP_ReduceLogSumExp, "keepdims=0", F32(c, DIMS(2), 1 + log(1 + exp(2)), log(2)));
    operands(c, F32(c, DIMS(4, 2), 1000, 1000, -INFINITY, -INFINITY, INFINITY, 0, NAN, 0), LIST(c, 1));
    case_gives(c, OP_ReduceLogSumExp, NULL, F32(c, DIMS(4, 1), 1000 + log(2), -INFINITY, INFINITY, NAN));
    operands(c, F32(c, DIMS(2, 0), 0), LIST(c, 1));
    case_gives(c, OP_ReduceLogSum, "keepdims=0", F32(c, DIMS(2), -INFINITY));
    case_gives(c, OP_ReduceLogSumExp, "keepdims=0", F32(c, DIMS(2), -INFINITY));
    operands(c, TENSOR(c, QCC_I32, DIMS(3), 2, 3, 5), NULL);
    case_gives(c, OP_ReduceLogSum, "keepdims=0", TENSOR(c, QCC_I32, SCALAR, 2));    /* 2.3 */
    case_gives(c, OP_ReduceLogSumExp, "keepdims=0", TENSOR(c, QCC_I32, SCALAR, 5)); /* 5.2 */
    operands(c, F32(c, DIMS(2), 1, 3), NULL);
    case_gives(c, OP_ReduceLogSumExp, "noop_with_empty_axes=1", F32(c, DIMS(2), 1, 3));
    case_free(c);
}

TEST(empty_sets) {
    OPEN;
    operands(c, F32(c, DIMS(2, 0), 0), LIST(c, 1));
    case_gives(c, OP_ReduceSum, "keepdims=0", F32(c, DIMS(2), 0));
    case_gives(c, OP_ReduceProd, "keepdims=0", F32(c, DIMS(2), 1));
    case_gives(c, OP_ReduceMax, "keepdims=0", F32(c, DIMS(2), -INFINITY));
    case_gives(c, OP_ReduceMin, "keepdims=0", F32(c, DIMS(2), INFINITY));
    case_gives(c, OP_ReduceMean, "keepdims=0", F32(c, DIMS(2), NAN));
    operands(c, F32(c, DIMS(2, 0), 0), LIST(c, 0));
    case_gives(c, OP_ReduceMax, NULL, F32(c, DIMS(1, 0), 0));
    operands(c, TENSOR(c, QCC_I8, DIMS(0), 0), NULL);
    case_gives(c, OP_ReduceMax, "keepdims=0", TENSOR(c, QCC_I8, SCALAR, -128));
    case_gives(c, OP_ReduceMin, "keepdims=0", TENSOR(c, QCC_I8, SCALAR, 127));
    operands(c, TENSOR(c, QCC_U32, DIMS(0), 0), NULL);
    case_gives(c, OP_ReduceMax, "keepdims=0", TENSOR(c, QCC_U32, SCALAR, 0));
    case_gives(c, OP_ReduceMin, "keepdims=0", TENSOR(c, QCC_U32, SCALAR, 4294967295.0));
    operands(c, TENSOR(c, QCC_BOOL, DIMS(0), 0), NULL);
    case_gives(c, OP_ReduceMax, "keepdims=0", TENSOR(c, QCC_BOOL, SCALAR, 0));
    case_gives(c, OP_ReduceMin, "keepdims=0", TENSOR(c, QCC_BOOL, SCALAR, 1));
    case_free(c);
}

TEST(derived) {
    OPEN;
    operands(c, F32(c, DIMS(2, 2), 3, -4, 1, 2), LIST(c, 1));
    case_gives(c, OP_ReduceMean, "keepdims=0", F32(c, DIMS(2), -0.5, 1.5));
    case_gives(c, OP_ReduceL1, NULL, F32(c, DIMS(2, 1), 7, 3));
    case_gives(c, OP_ReduceL2, "keepdims=0", F32(c, DIMS(2), 5, (double)sqrtf(5)));
    case_gives(c, OP_ReduceSumSquare, NULL, F32(c, DIMS(2, 1), 25, 5));
    case_free(c);
}

/* The squares of half numbers need a wider type on the way; those of integers leave them at the root. */
TEST(derived_of_types) {
    OPEN;
    operands(c, TENSOR(c, QCC_F16, DIMS(2), 300, 400), NULL);
    case_gives(c, OP_ReduceL2, "keepdims=0", TENSOR(c, QCC_F16, SCALAR, 500));
    operands(c, TENSOR(c, QCC_I32, DIMS(2), -3, 4), NULL);
    case_gives(c, OP_ReduceL2, "keepdims=0", TENSOR(c, QCC_I32, SCALAR, 5));
    case_gives(c, OP_ReduceMean, "keepdims=0", TENSOR(c, QCC_I32, SCALAR, 0));
    case_gives(c, OP_ReduceL1, "keepdims=0", TENSOR(c, QCC_I32, SCALAR, 7));
    case_free(c);
}

TEST(reduce_refusals) {
    OPEN;
    operands(c, F32(c, DIMS(2, 2), 1), LIST(c, 2));
    case_refused(c, OP_ReduceSum, NULL, D_ATTRIBUTE, "axis 2 is outside [-2, 2)");
    operands(c, F32(c, DIMS(2, 2), 1), LIST(c, 1, -1));
    case_refused(c, OP_ReduceMean, NULL, D_ATTRIBUTE, "axis 1 is given twice");
    operands(c, F32(c, DIMS(2, 2), 1), LIST(c, 0, 1, 0));
    case_refused(c, OP_ReduceMax, NULL, D_OPERAND_SHAPE, "a list of 3 elements; at most 2");
    operands(c, TENSOR(c, QCC_BOOL, DIMS(2), 1), NULL);
    case_refused(c, OP_ReduceSum, NULL, D_OPERAND_TYPE, "operand 0 (data) is bool");
    case_free(c);
}

TEST(arg_extremes) {
    OPEN;
    operands(c, F32(c, DIMS(2, 3), 1, 5, 5, NAN, -1, NAN), NULL);
    case_gives(c, OP_ArgMax, "axis=1", I64(c, DIMS(2, 1), 1, 1));
    case_gives(c, OP_ArgMax, "axis=-1 keepdims=0 select_last_index=1", I64(c, DIMS(2), 2, 1));
    case_gives(c, OP_ArgMin, "axis=1 keepdims=0", I64(c, DIMS(2), 0, 1));
    case_gives(c, OP_ArgMax, "keepdims=0", I64(c, DIMS(3), 0, 0, 0));
    operands(c, TENSOR(c, QCC_I8, DIMS(4), -3, -7, -3, -7), NULL);
    case_gives(c, OP_ArgMin, "keepdims=0", I64(c, SCALAR, 1));
    case_gives(c, OP_ArgMin, "keepdims=0 select_last_index=1", I64(c, SCALAR, 3));
    case_refused(c, OP_ArgMax, "axis=1", D_ATTRIBUTE, "axis 1 is outside [-1, 1)");
    operands(c, F32(c, DIMS(2, 0), 1), NULL);
    case_refused(c, OP_ArgMax, "axis=1", D_OPERAND_SHAPE, "axis 1 is empty; there is nothing to find");
    case_free(c);
}

TEST(scans) {
    OPEN;
    operands(c, F32(c, DIMS(2, 3), 1, 2, 3, 4, 5, 6), I64(c, SCALAR, 1));
    case_gives(c, OP_CumSum, NULL, F32(c, DIMS(2, 3), 1, 3, 6, 4, 9, 15));
    case_gives(c, OP_CumSum, "exclusive=1", F32(c, DIMS(2, 3), 0, 1, 3, 0, 4, 9));
    case_gives(c, OP_CumSum, "reverse=1", F32(c, DIMS(2, 3), 6, 5, 3, 15, 11, 6));
    case_gives(c, OP_CumSum, "reverse=1 exclusive=1", F32(c, DIMS(2, 3), 5, 3, 0, 11, 6, 0));
    case_gives(c, OP_CumProd, NULL, F32(c, DIMS(2, 3), 1, 2, 6, 4, 20, 120));
    case_gives(c, OP_CumProd, "reverse=1 exclusive=1", F32(c, DIMS(2, 3), 6, 3, 1, 30, 6, 1));
    operands(c, TENSOR(c, QCC_I32, DIMS(2, 2), 1, 2, 3, 4), TENSOR(c, QCC_I32, DIMS(1), -2));
    case_gives(c, OP_CumSum, NULL, TENSOR(c, QCC_I32, DIMS(2, 2), 1, 2, 4, 6));
    operands(c, F32(c, DIMS(2, 0), 0), I64(c, SCALAR, 0));
    case_gives(c, OP_CumSum, NULL, F32(c, DIMS(2, 0), 0));
    operands(c, F32(c, DIMS(2), 0), I64(c, SCALAR, 1));
    case_refused(c, OP_CumSum, NULL, D_ATTRIBUTE, "axis 1 is outside");
    operands(c, F32(c, DIMS(2), 0), I64(c, DIMS(0), 1));
    case_refused(c, OP_CumSum, NULL, D_OPERAND_SHAPE, "an empty list; one element is wanted");
    case_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sum),
        cmocka_unit_test(sum_and_product_of_types),
        cmocka_unit_test(extremes),
        cmocka_unit_test(logarithms_of_sums),
        cmocka_unit_test(empty_sets),
        cmocka_unit_test(derived),
        cmocka_unit_test(derived_of_types),
        cmocka_unit_test(reduce_refusals),
        cmocka_unit_test(arg_extremes),
        cmocka_unit_test(scans),
    };
    return TEST_RUN(tests);
}
