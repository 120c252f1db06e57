/* Outputs whose sizes depend on data, and sums over named indices. */
#include "tests/op_case.h"

#include "tests/support.h"

#include <math.h>

#define TEST(name) static void name(void **state)
#define OPEN                \
    OpCase *c = case_new(); \
    (void)state

/* ---- NonZero, Compress, Unique, NonMaxSuppression ---- */

TEST(non_zero) {
    OPEN;
    case_const(c, F32(c, DIMS(2, 3), 0, 1, NAN, -2, 0, -0.0));
    case_gives(c, OP_NonZero, NULL, I64(c, DIMS(2, 3), 0, 0, 1, 1, 2, 0));
    c->n_in = 0;
    case_const(c, TENSOR(c, QCC_BOOL, DIMS(3), 0));
    case_gives(c, OP_NonZero, NULL, I64(c, DIMS(1, 0), 0));
    c->n_in = 0;
    case_in(c, F32(c, DIMS(2), 0));
    case_refused(c, OP_NonZero, NULL, D_CONST_UNBOUND, "operand 0 (X)");
    case_free(c);
}

TEST(compress) {
    OPEN;
    case_in(c, case_ramp(c, QCC_F32, DIMS(3, 2)));
    case_const(c, TENSOR(c, QCC_BOOL, DIMS(3), 0, 1, 1));
    case_gives(c, OP_Compress, "axis=0", F32(c, DIMS(2, 2), 2, 3, 4, 5));
    case_gives(c, OP_Compress, NULL, F32(c, DIMS(2), 1, 2)); /* flat, shorter than the data */
    case_refused(c, OP_Compress, "axis=1", D_OPERAND_SHAPE, "3 conditions; wanted at most 2");
    case_free(c);
}

TEST(unique) {
    OPEN;
    case_const(c, F32(c, DIMS(6), 2, 1, 1, 3, 4, 3));
    c->n_out = 4;
    Node *n = case_node(c, OP_Unique, NULL);
    case_output(c, n, 0, F32(c, DIMS(4), 1, 2, 3, 4));
    case_output(c, n, 1, LIST(c, 1, 0, 3, 4));
    case_output(c, n, 2, LIST(c, 1, 0, 0, 2, 3, 2));
    case_output(c, n, 3, LIST(c, 2, 1, 2, 1));
    n = case_node(c, OP_Unique, "sorted=0");
    case_output(c, n, 0, F32(c, DIMS(4), 2, 1, 3, 4));
    case_output(c, n, 2, LIST(c, 0, 1, 1, 2, 3, 2));
    c->n_in = 0;
    case_const(c, TENSOR(c, QCC_I32, DIMS(3, 2), 5, 1, 4, 9, 5, 1));
    n = case_node(c, OP_Unique, "axis=0");
    case_output(c, n, 0, TENSOR(c, QCC_I32, DIMS(2, 2), 4, 9, 5, 1));
    case_output(c, n, 2, LIST(c, 1, 0, 1));
    case_free(c);
}

TEST(suppression) {
    OPEN;
    case_in(c, F32(c, DIMS(1, 2, 4), 0));
    case_in(c, F32(c, DIMS(1, 1, 2), 0));
    case_refused(c, OP_NonMaxSuppression, NULL, D_NOT_STATIC, "known only at run time");
    case_free(c);
}

/* ---- Einsum ---- */

static void pair(OpCase *c, const Tensor *p, const Tensor *q) {
    c->n_in = 0;
    case_in(c, p);
    if (q) case_in(c, q);
}

TEST(einsum_of_one) {
    OPEN;
    pair(c, case_ramp(c, QCC_F32, DIMS(2, 3)), NULL);
    case_gives(c, OP_Einsum, "equation=ij->ji", F32(c, DIMS(3, 2), 0, 3, 1, 4, 2, 5));
    case_gives(c, OP_Einsum, "equation=ij->i", F32(c, DIMS(2), 3, 12));
    case_gives(c, OP_Einsum, "equation=ba", F32(c, DIMS(3, 2), 0, 3, 1, 4, 2, 5)); /* implied: ab */
    case_gives(c, OP_Einsum, "equation=ij->", F32(c, SCALAR, 15));
    pair(c, case_ramp(c, QCC_F32, DIMS(3, 3)), NULL);
    case_gives(c, OP_Einsum, "equation=ii->i", F32(c, DIMS(3), 0, 4, 8));
    case_gives(c, OP_Einsum, "equation=ii", F32(c, SCALAR, 12));
    pair(c, case_ramp(c, QCC_F32, DIMS(2, 1, 2)), NULL);
    case_gives(c, OP_Einsum, "equation=...j->j...", F32(c, DIMS(2, 2, 1), 0, 2, 1, 3));
    case_free(c);
}

TEST(einsum_of_two) {
    OPEN;
    pair(c, F32(c, DIMS(2, 2), 1, 2, 3, 4), F32(c, DIMS(2, 2), 5, 6, 7, 8));
    case_gives(c, OP_Einsum, "equation=ij,jk->ik", F32(c, DIMS(2, 2), 19, 22, 43, 50));
    case_gives(c, OP_Einsum, "equation=ij,jk", F32(c, DIMS(2, 2), 19, 22, 43, 50));
    case_gives(c, OP_Einsum, "equation=ij,kj->ki", F32(c, DIMS(2, 2), 17, 39, 23, 53));
    case_gives(c, OP_Einsum, "equation=ij,ij->", F32(c, SCALAR, 70));
    case_gives(c, OP_Einsum, "equation=ij,ij->ij", F32(c, DIMS(2, 2), 5, 12, 21, 32));
    case_gives(c, OP_Einsum, "equation=ij,kl->il", F32(c, DIMS(2, 2), 36, 42, 84, 98));
    pair(c, F32(c, DIMS(2), 1, 2), F32(c, DIMS(3), 3, 4, 5));
    case_gives(c, OP_Einsum, "equation=i,j->ij", F32(c, DIMS(2, 3), 3, 4, 5, 6, 8, 10));
    pair(c, TENSOR(c, QCC_I32, DIMS(2, 1, 2), 1, 2, 3, 4), TENSOR(c, QCC_I32, DIMS(2, 2, 1), 1, 10, 100, 1000));
    case_gives(c, OP_Einsum, "equation=bij,bjk->bik", TENSOR(c, QCC_I32, DIMS(2, 1, 1), 21, 4300));
    case_free(c);
}

TEST(einsum_of_three) {
    OPEN;
    pair(c, F32(c, DIMS(2), 1, 2), F32(c, DIMS(2, 2), 1, 2, 3, 4));
    case_in(c, F32(c, DIMS(2), 10, 100));
    case_gives(c, OP_Einsum, "equation=i,ij,j->", F32(c, SCALAR, 1 * 210 + 2 * 430));
    case_free(c);
}

TEST(einsum_refusals) {
    OPEN;
    pair(c, F32(c, DIMS(2, 3), 0), F32(c, DIMS(2, 2), 0));
    case_refused(c, OP_Einsum, "equation=ij,jk->ik", D_OPERAND_SHAPE, "dimension 0 is 2; its label has 3");
    case_refused(c, OP_Einsum, "equation=ij", D_ATTRIBUTE, "fewer terms than operands");
    case_refused(c, OP_Einsum, "equation=ij,kl,m", D_ATTRIBUTE, "more terms than operands");
    case_refused(c, OP_Einsum, "equation=ij,kl->z", D_ATTRIBUTE, "a label in the output that no operand has");
    case_refused(c, OP_Einsum, "equation=ij,kl->ii", D_ATTRIBUTE, "a label twice in the output");
    case_refused(c, OP_Einsum, "equation=i1,kl", D_ATTRIBUTE, "wanted letters");
    case_refused(c, OP_Einsum, "equation=ijk,kl", D_OPERAND_SHAPE, "term 0 of the equation has 3 labels");
    case_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(non_zero),        cmocka_unit_test(compress),        cmocka_unit_test(unique),
        cmocka_unit_test(suppression),     cmocka_unit_test(einsum_of_one),   cmocka_unit_test(einsum_of_two),
        cmocka_unit_test(einsum_of_three), cmocka_unit_test(einsum_refusals),
    };
    return TEST_RUN(tests);
}
