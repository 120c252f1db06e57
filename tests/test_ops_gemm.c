/* Matrix products: small vectors worked out by hand, and every refusal. */
#include "tests/op_case.h"

#include "tests/support.h"

#define TEST(name) static void name(void **state)
#define OPEN                \
    OpCase *c = case_new(); \
    (void)state

static void operands(OpCase *c, const Tensor *a, const Tensor *b) {
    c->n_in = 0;
    case_in(c, a);
    case_in(c, b);
}

TEST(gemm) {
    OPEN;
    operands(c, F32(c, DIMS(2, 3), 1, 2, 3, 4, 5, 6), F32(c, DIMS(3, 2), 1, 0, 10, 1, 100, 2));
    case_gives(c, OP_Gemm, NULL, F32(c, DIMS(2, 2), 321, 8, 654, 17));
    case_gives(c, OP_Gemm, "alpha=0.5", F32(c, DIMS(2, 2), 160.5, 4, 327, 8.5));
    case_in(c, F32(c, DIMS(2), 10, 20));
    case_gives(c, OP_Gemm, "beta=2", F32(c, DIMS(2, 2), 341, 48, 674, 57));
    c->n_in = 2;
    case_in(c, F32(c, DIMS(2, 1), 10, 20));
    case_gives(c, OP_Gemm, NULL, F32(c, DIMS(2, 2), 331, 18, 674, 37));
    c->n_in = 2;
    case_in(c, F32(c, SCALAR, -1));
    case_gives(c, OP_Gemm, NULL, F32(c, DIMS(2, 2), 320, 7, 653, 16));
    case_free(c);
}

TEST(gemm_transposed) {
    OPEN;
    operands(c, F32(c, DIMS(3, 2), 1, 4, 2, 5, 3, 6), F32(c, DIMS(2, 3), 1, 10, 100, 0, 1, 2));
    case_gives(c, OP_Gemm, "transA=1 transB=1", F32(c, DIMS(2, 2), 321, 8, 654, 17));
    case_gives(c, OP_Gemm, NULL, F32(c, DIMS(3, 3), 1, 14, 108, 2, 25, 210, 3, 36, 312));
    case_free(c);
}

TEST(gemm_integers) {
    OPEN;
    operands(c, TENSOR(c, QCC_I32, DIMS(1, 2), 65536, 3), TENSOR(c, QCC_I32, DIMS(2, 2), 65536, 2, 1, 1));
    case_in(c, TENSOR(c, QCC_I32, DIMS(1, 1), 5));
    case_gives(c, OP_Gemm, NULL, TENSOR(c, QCC_I32, DIMS(1, 2), 8, 131080));
    case_gives(c, OP_Gemm, "alpha=2 beta=-1", TENSOR(c, QCC_I32, DIMS(1, 2), 1, 262145));
    case_free(c);
}

TEST(gemm_of_no_terms) {
    OPEN;
    operands(c, F32(c, DIMS(1, 0), 0), F32(c, DIMS(0, 2), 0));
    case_in(c, F32(c, DIMS(1, 2), 3, 4));
    case_gives(c, OP_Gemm, NULL, F32(c, DIMS(1, 2), 3, 4));
    case_free(c);
}

TEST(gemm_refusals) {
    OPEN;
    operands(c, F32(c, DIMS(2, 3), 1), F32(c, DIMS(2, 4), 1));
    case_refused(c, OP_Gemm, NULL, D_OPERAND_SHAPE, "A gives 3 terms of each product, B 2");
    case_in(c, F32(c, DIMS(3, 4, 1), 1));
    case_refused(c, OP_Gemm, "transA=1", D_OPERAND_SHAPE, "[3,4,1] cannot be broadcast to [3,4]");
    c->n_in = 2;
    case_in(c, F32(c, DIMS(2), 1));
    case_refused(c, OP_Gemm, "transA=1", D_OPERAND_SHAPE, "[2] cannot be broadcast to [3,4]");
    operands(c, F32(c, DIMS(1, 2, 3), 1), F32(c, DIMS(3, 4), 1));
    case_refused(c, OP_Gemm, NULL, D_OPERAND_SHAPE, "rank 3; rank 2 is wanted");
    case_free(c);
}

TEST(matmul) {
    OPEN;
    operands(c, F32(c, DIMS(2, 3), 1, 2, 3, 4, 5, 6), F32(c, DIMS(3, 2), 1, 0, 10, 1, 100, 2));
    case_gives(c, OP_MatMul, NULL, F32(c, DIMS(2, 2), 321, 8, 654, 17));
    operands(c, F32(c, DIMS(3), 1, 2, 3), F32(c, DIMS(3), 1, 10, 100));
    case_gives(c, OP_MatMul, NULL, F32(c, SCALAR, 321));
    operands(c, F32(c, DIMS(3), 1, 2, 3), F32(c, DIMS(3, 2), 1, 0, 10, 1, 100, 2));
    case_gives(c, OP_MatMul, NULL, F32(c, DIMS(2), 321, 8));
    operands(c, F32(c, DIMS(2, 3), 1, 2, 3, 4, 5, 6), F32(c, DIMS(3), 1, 10, 100));
    case_gives(c, OP_MatMul, NULL, F32(c, DIMS(2), 321, 654));
    case_free(c);
}

/* Batches [2,1] and [3] become [2,3]; each matrix is a single number. */
TEST(matmul_batches) {
    OPEN;
    operands(c, TENSOR(c, QCC_I64, DIMS(2, 1, 1, 1), 1, 10), TENSOR(c, QCC_I64, DIMS(3, 1, 1), 5, 6, 7));
    case_gives(c, OP_MatMul, NULL, I64(c, DIMS(2, 3, 1, 1), 5, 6, 7, 50, 60, 70));
    operands(c, F32(c, DIMS(2, 1, 2), 1, 2, 3, 4), F32(c, DIMS(2), 1, 10));
    case_gives(c, OP_MatMul, NULL, F32(c, DIMS(2, 1), 21, 43));
    case_free(c);
}

/* More columns than a row of accumulators has. */
TEST(matmul_wide) {
    OPEN;
    operands(c, F32(c, DIMS(1, 1), 2), case_ramp(c, QCC_F32, DIMS(1, 150)));
    const Tensor *y = case_eval(c, case_node(c, OP_MatMul, NULL), 0);
    for (int i = 0; i < 150; i++) assert_true(tensor_get(y, i) == 2 * i);
    case_free(c);
}

/* 2^24 + 1 + 1 in f32 accumulation would stay 2^24. */
TEST(matmul_rounds_once) {
    OPEN;
    operands(c, F32(c, DIMS(1, 3), 16777216, 1, 1), F32(c, DIMS(3, 1), 1));
    case_gives(c, OP_MatMul, NULL, F32(c, DIMS(1, 1), 16777218));
    case_free(c);
}

TEST(matmul_refusals) {
    OPEN;
    operands(c, F32(c, DIMS(2, 3), 1), F32(c, DIMS(2, 3), 1));
    case_refused(c, OP_MatMul, NULL, D_OPERAND_SHAPE, "operand 0 gives 3 terms of each product, operand 1 2");
    operands(c, F32(c, DIMS(2, 2, 3), 1), F32(c, DIMS(3, 3, 1), 1));
    case_refused(c, OP_MatMul, NULL, D_OPERAND_SHAPE, "batches [2] and [3] cannot be broadcast");
    operands(c, F32(c, SCALAR, 1), F32(c, DIMS(1), 1));
    case_refused(c, OP_MatMul, NULL, D_OPERAND_SHAPE, "rank 0; at least rank 1 is wanted");
    case_free(c);
}

TEST(matmul_integer) {
    OPEN;
    operands(c, TENSOR(c, QCC_U8, DIMS(2, 2), 11, 7, 3, 255), TENSOR(c, QCC_I8, DIMS(2, 2), 1, 4, -2, 5));
    case_gives(c, OP_MatMulInteger, NULL, TENSOR(c, QCC_I32, DIMS(2, 2), -3, 79, -507, 1287));
    case_in(c, TENSOR(c, QCC_U8, DIMS(2), 10, 5));
    case_gives(c, OP_MatMulInteger, NULL, TENSOR(c, QCC_I32, DIMS(2, 2), 7, -11, -502, 1242));
    case_in(c, TENSOR(c, QCC_I8, DIMS(2), 1, 0));
    case_gives(c, OP_MatMulInteger, NULL, TENSOR(c, QCC_I32, DIMS(2, 2), 9, -11, -750, 1242));
    c->n_in = 2;
    case_in(c, TENSOR(c, QCC_U8, DIMS(2, 1), 10, 5));
    case_gives(c, OP_MatMulInteger, NULL, TENSOR(c, QCC_I32, DIMS(2, 2), 7, -11, -502, 1242));
    c->n_in = 2;
    case_in(c, TENSOR(c, QCC_U8, DIMS(3), 1));
    case_refused(c, OP_MatMulInteger, NULL, D_OPERAND_SHAPE, "zero points of shape [3] do not fit operand 0, [2,2]");
    case_free(c);
}

TEST(matmul_codes) {
    OPEN;
    operands(c, TENSOR(c, QCC_I8, DIMS(1, 2), -128, 127), TENSOR(c, QCC_U16, DIMS(2, 2), 65535, 0, 1, 2));
    case_gives(c, OP_QMatMul, NULL, TENSOR(c, QCC_I32, DIMS(1, 2), -8388353, 254));
    case_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matmul_codes),     cmocka_unit_test(gemm),
        cmocka_unit_test(gemm_transposed),  cmocka_unit_test(gemm_integers),
        cmocka_unit_test(gemm_of_no_terms), cmocka_unit_test(gemm_refusals),
        cmocka_unit_test(matmul),           cmocka_unit_test(matmul_batches),
        cmocka_unit_test(matmul_wide),      cmocka_unit_test(matmul_rounds_once),
        cmocka_unit_test(matmul_refusals),  cmocka_unit_test(matmul_integer),
    };
    return TEST_RUN(tests);
}
