/* Matrix products against the evaluator: tile edges, ragged columns, vectors, batches and their broadcasting,
 * transposed and run-time operands, element types. */
#include "tests/kernel_case.h"

#include "tests/op_case.h"
#include "tests/support.h"

static const int64_t edges[] = {1, 2, 5, 7, 13, 14, 15, 16, 17, 29, 33, 65};

static void test_packed(void **state) {
    (void)state;
    KernelCase *c = kernel_case_new();
    for (size_t m = 0; m < COUNT_OF(edges); m++)
        for (size_t n = m % 3; n < COUNT_OF(edges); n += 3) {
            Value *a = kernel_input(c, QCC_F32, DIMS(edges[m], 19));
            kernel_node(c, OP_MatMul, NULL, 1, a, kernel_weight(c, QCC_F32, DIMS(19, edges[n])));
        }
    kernel_case_check(c);
}

static void test_run_time(void **state) {
    (void)state;
    KernelCase *c = kernel_case_new();
    for (size_t m = 0; m < COUNT_OF(edges); m++)
        for (size_t n = m % 3; n < COUNT_OF(edges); n += 3) {
            Value *a = kernel_input(c, QCC_F32, DIMS(edges[m], 11));
            kernel_node(c, OP_MatMul, NULL, 1, a, kernel_input(c, QCC_F32, DIMS(11, edges[n])));
        }
    kernel_case_check(c);
}

static void test_batches(void **state) {
    (void)state;
    static const Shape shapes[][2] = {
        {{1, {7}}, {1, {7}}},
        {{1, {7}}, {2, {7, 9}}},
        {{2, {9, 7}}, {1, {7}}},
        {{3, {3, 4, 7}}, {2, {7, 9}}},
        {{3, {5, 1, 7}}, {2, {7, 20}}},
        {{3, {3, 4, 7}}, {3, {3, 7, 9}}},
        {{4, {2, 3, 4, 7}}, {4, {2, 3, 7, 9}}},
        {{4, {2, 1, 4, 7}}, {4, {1, 3, 7, 9}}},
        {{2, {4, 7}}, {4, {2, 3, 7, 9}}},
        {{4, {2, 3, 4, 7}}, {1, {7}}},
        {{1, {7}}, {3, {2, 7, 33}}},
    };
    KernelCase *c = kernel_case_new();
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        Value *a = kernel_input(c, QCC_F32, shapes[i][0]);
        kernel_node(c, OP_MatMul, NULL, 1, a, kernel_weight(c, QCC_F32, shapes[i][1]));
        kernel_node(c, OP_MatMul, NULL, 1, a, kernel_input(c, QCC_F32, shapes[i][1]));
    }
    kernel_case_check(c);
}

static void test_gemm(void **state) {
    (void)state;
    static const Shape addends[] = {{2, {9, 21}}, {2, {1, 21}}, {2, {9, 1}}, {1, {21}},
                                    {1, {1}},     {0, {0}},     {2, {1, 1}}};
    KernelCase *c = kernel_case_new();
    for (int t = 0; t < 4; t++)
        for (size_t i = 0; i < COUNT_OF(addends); i++) {
            const char *attrs = arena_printf(&c->arena, "transA=%d transB=%d alpha=%s beta=%s", t & 1, t >> 1,
                                             i % 2 ? "0.5" : "1.0", i % 3 ? "1.0" : "0.25");
            Value *a = kernel_input(c, QCC_F32, t & 1 ? DIMS(13, 9) : DIMS(9, 13));
            Value *add = kernel_weight(c, QCC_F32, addends[i]), *late = kernel_input(c, QCC_F32, addends[i]);
            Shape b = t >> 1 ? DIMS(21, 13) : DIMS(13, 21);
            kernel_node(c, OP_Gemm, attrs, 1, a, kernel_weight(c, QCC_F32, b), add);
            kernel_node(c, OP_Gemm, attrs, 1, a, kernel_input(c, QCC_F32, b), add);
            kernel_node(c, OP_Gemm, attrs, 1, a, kernel_weight(c, QCC_F32, b), late);
            kernel_node(c, OP_Gemm, attrs, 1, a, kernel_input(c, QCC_F32, b));
        }
    kernel_case_check(c);
}

static void test_types(void **state) {
    (void)state;
    static const Elem elems[] = {QCC_F64, QCC_F16, QCC_BF16, QCC_I32, QCC_I64, QCC_U32, QCC_U64};
    KernelCase *c = kernel_case_new();
    c->tolerance = 1e-2; /* of halves; integers are far below */
    for (size_t i = 0; i < COUNT_OF(elems); i++)
        for (int64_t n = 1; n < 40; n += 13) {
            Value *a = kernel_input(c, elems[i], DIMS(3, 5, 7)), *b = kernel_input(c, elems[i], DIMS(7, n));
            kernel_node(c, OP_MatMul, NULL, 1, a, b);
            kernel_node(c, OP_Gemm, "transB=1 beta=2.0", 1, kernel_input(c, elems[i], DIMS(4, 6)),
                        kernel_weight(c, elems[i], DIMS(n, 6)), kernel_input(c, elems[i], DIMS(n)));
        }
    kernel_case_check(c);
}

static void test_no_terms(void **state) {
    (void)state;
    KernelCase *c = kernel_case_new();
    kernel_node(c, OP_MatMul, NULL, 1, kernel_input(c, QCC_F32, DIMS(3, 0)), kernel_input(c, QCC_F32, DIMS(0, 5)));
    kernel_case_check(c);
}

/* Integer products of operands of different types. */
static void test_mixed_integers(void **state) {
    (void)state;
    static const Elem elems[] = {QCC_I8, QCC_U8, QCC_I16, QCC_U16};
    KernelCase *c = kernel_case_new();
    for (size_t i = 0; i < COUNT_OF(elems); i++) {
        Elem other = elems[(i + 1) % COUNT_OF(elems)];
        Value *a = kernel_input(c, elems[i], DIMS(2, 5, 11));
        kernel_node(c, OP_QMatMul, NULL, 1, a, kernel_weight(c, other, DIMS(11, 19)));
        kernel_node(c, OP_QMatMul, NULL, 1, a, kernel_input(c, other, DIMS(2, 11, 33)));
        kernel_node(c, OP_QMatMul, NULL, 1, a, kernel_input(c, other, DIMS(11)));
    }
    kernel_case_check(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packed),         cmocka_unit_test(test_run_time), cmocka_unit_test(test_batches),
        cmocka_unit_test(test_gemm),           cmocka_unit_test(test_types),    cmocka_unit_test(test_no_terms),
        cmocka_unit_test(test_mixed_integers),
    };
    return TEST_RUN(tests);
}
