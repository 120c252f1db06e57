/* Gathering, scattering and selecting: small vectors worked out by hand, and every refusal. */
#include "tests/op_case.h"

#include "tests/support.h"

#include <math.h>

#define TEST(name) static void name(void **state)
#define OPEN                \
    OpCase *c = case_new(); \
    (void)state

/* Forgets all operands but the first n. */
static void keep(OpCase *c, int n) { c->n_in = n; }

/* ---- Gather ---- */

TEST(gather_rows_and_columns) {
    OPEN;
    case_in(c, case_ramp(c, QCC_F32, DIMS(3, 2)));
    case_in(c, LIST(c, 2, -3));
    case_gives(c, OP_Gather, NULL, F32(c, DIMS(2, 2), 4, 5, 0, 1));
    keep(c, 1);
    case_in(c, TENSOR(c, QCC_I32, DIMS(1, 3), 1, 0, -1));
    case_gives(c, OP_Gather, "axis=-1", F32(c, DIMS(3, 1, 3), 1, 0, 1, 3, 2, 3, 5, 4, 5));
    keep(c, 1);
    case_in(c, I64(c, SCALAR, 1));
    case_gives(c, OP_Gather, NULL, F32(c, DIMS(2), 2, 3));
    case_free(c);
}

TEST(gather_of_codes_and_of_nothing) {
    OPEN;
    case_in(c, TENSOR(c, QCC_I4, DIMS(4), -8, 7, 3, 1));
    case_in(c, LIST(c, 1, 0));
    case_gives(c, OP_Gather, NULL, TENSOR(c, QCC_I4, DIMS(2), 7, -8));
    keep(c, 1);
    case_in(c, case_ramp(c, QCC_I64, DIMS(0)));
    case_gives(c, OP_Gather, NULL, case_ramp(c, QCC_I4, DIMS(0)));
    case_free(c);
}

/* An index that is only seen when the node runs reads the nearest row, and is reported. */
TEST(gather_out_of_range_at_run_time) {
    OPEN;
    case_in(c, case_ramp(c, QCC_F32, DIMS(3)));
    case_in(c, LIST(c, 3));
    Node *n = case_node(c, OP_Gather, NULL);
    Tensor *out[1] = {0};
    assert_false(node_eval(&c->arena, &c->diags, n, c->data, out));
    case_free(c);
}

TEST(gather_refusals) {
    OPEN;
    case_in(c, case_ramp(c, QCC_F32, DIMS(3, 2)));
    case_const(c, LIST(c, 0, 3));
    case_refused(c, OP_Gather, NULL, D_OPERAND_VALUE, "index 3; wanted one in [-3, 2]");
    case_refused(c, OP_Gather, "axis=2", D_ATTRIBUTE, "axis 2 is outside [-2, 2)");
    keep(c, 1);
    case_const(c, LIST(c, -4));
    case_refused(c, OP_Gather, NULL, D_OPERAND_VALUE, "index -4");
    keep(c, 1);
    case_in(c, case_ramp(c, QCC_I64, DIMS(1, 1, 1, 1, 1, 1, 1, 1)));
    case_refused(c, OP_Gather, NULL, D_UNSUPPORTED_FORM, "an output of rank 9");
    keep(c, 0);
    case_in(c, case_ramp(c, QCC_F32, DIMS(0, 2)));
    case_in(c, LIST(c, 0));
    case_refused(c, OP_Gather, NULL, D_OPERAND_SHAPE, "a dimension without elements");
    keep(c, 1);
    case_const(c, LIST(c, 0));
    case_refused(c, OP_Gather, NULL, D_OPERAND_VALUE, "a dimension without elements");
    case_free(c);
}

TEST(gather_elements) {
    OPEN;
    case_in(c, case_ramp(c, QCC_F32, DIMS(3, 3)));
    case_in(c, TENSOR(c, QCC_I32, DIMS(2, 3), 1, 2, 0, -1, 0, 0));
    case_gives(c, OP_GatherElements, NULL, F32(c, DIMS(2, 3), 3, 7, 2, 6, 1, 2));
    case_gives(c, OP_GatherElements, "axis=1", F32(c, DIMS(2, 3), 1, 2, 0, 5, 3, 3));
    keep(c, 1);
    case_in(c, LIST(c, 0));
    case_refused(c, OP_GatherElements, NULL, D_OPERAND_SHAPE, "indices of rank 1; wanted the data's rank 2");
    keep(c, 1);
    case_in(c, case_ramp(c, QCC_I64, DIMS(1, 4)));
    case_refused(c, OP_GatherElements, NULL, D_OPERAND_SHAPE, "dimension 1 of the indices is 4; wanted at most 3");
    keep(c, 1);
    case_const(c, I64(c, DIMS(1, 1), 3));
    case_refused(c, OP_GatherElements, NULL, D_OPERAND_VALUE, "index 3");
    case_free(c);
}

TEST(gather_nd) {
    OPEN;
    case_in(c, case_ramp(c, QCC_I32, DIMS(2, 2, 2)));
    case_in(c, I64(c, DIMS(2, 2), 0, 1, -1, 0));
    case_gives(c, OP_GatherND, NULL, TENSOR(c, QCC_I32, DIMS(2, 2), 2, 3, 4, 5));
    keep(c, 1);
    case_in(c, I64(c, DIMS(2, 1), 1, 0));
    case_gives(c, OP_GatherND, "batch_dims=1", TENSOR(c, QCC_I32, DIMS(2, 2), 2, 3, 4, 5));
    keep(c, 1);
    case_in(c, I64(c, DIMS(1, 3), 1, 1, 1));
    case_gives(c, OP_GatherND, NULL, TENSOR(c, QCC_I32, DIMS(1), 7));
    case_free(c);
}

TEST(gather_nd_refusals) {
    OPEN;
    case_in(c, case_ramp(c, QCC_F32, DIMS(2, 3)));
    case_in(c, case_ramp(c, QCC_I64, DIMS(2, 3)));
    case_refused(c, OP_GatherND, NULL, D_OPERAND_SHAPE, "index tuples of 3 components; wanted 1 to 2");
    case_refused(c, OP_GatherND, "batch_dims=2", D_ATTRIBUTE, "batch_dims 2");
    case_refused(c, OP_GatherND, "batch_dims=-1", D_ATTRIBUTE, "batch_dims -1");
    keep(c, 1);
    case_in(c, case_ramp(c, QCC_I64, DIMS(3, 1)));
    case_refused(c, OP_GatherND, "batch_dims=1", D_OPERAND_SHAPE, "batch dimension 0 is 3; the data's is 2");
    keep(c, 1);
    case_const(c, I64(c, DIMS(1, 2), 1, 3));
    case_refused(c, OP_GatherND, NULL, D_OPERAND_VALUE, "index 3; wanted one in [-3, 2]");
    keep(c, 1);
    case_in(c, I64(c, SCALAR, 0));
    case_refused(c, OP_GatherND, NULL, D_OPERAND_SHAPE, "a scalar");
    keep(c, 0);
    case_in(c, case_ramp(c, QCC_F32, DIMS(0, 3)));
    case_in(c, case_ramp(c, QCC_I64, DIMS(1, 1)));
    case_refused(c, OP_GatherND, NULL, D_OPERAND_SHAPE, "a dimension without elements");
    keep(c, 0);
    case_in(c, F32(c, SCALAR, 1));
    case_in(c, case_ramp(c, QCC_I64, DIMS(1, 1)));
    case_refused(c, OP_GatherND, NULL, D_OPERAND_SHAPE, "a scalar");
    keep(c, 0);
    case_in(c, case_ramp(c, QCC_F32, DIMS(1, 1, 1, 1, 1, 1, 1, 1)));
    case_in(c, case_ramp(c, QCC_I64, DIMS(1, 1, 1)));
    case_refused(c, OP_GatherND, NULL, D_UNSUPPORTED_FORM, "an output of rank 9");
    case_free(c);
}

TEST(reverse_sequence) {
    OPEN;
    case_in(c, case_ramp(c, QCC_F32, DIMS(3, 2)));
    case_in(c, LIST(c, 3, 2));
    case_gives(c, OP_ReverseSequence, NULL, F32(c, DIMS(3, 2), 4, 3, 2, 1, 0, 5));
    case_refused(c, OP_ReverseSequence, "time_axis=1", D_ATTRIBUTE, "batch_axis 1 and time_axis 1");
    case_refused(c, OP_ReverseSequence, "batch_axis=0 time_axis=1", D_OPERAND_SHAPE, "one for each of the 3 sequences");
    keep(c, 1);
    case_const(c, LIST(c, 3, 4));
    case_refused(c, OP_ReverseSequence, NULL, D_OPERAND_VALUE, "length 4; wanted 0 to 3");
    keep(c, 0);
    case_in(c, case_ramp(c, QCC_F32, DIMS(3)));
    case_in(c, LIST(c, 3));
    case_refused(c, OP_ReverseSequence, NULL, D_OPERAND_SHAPE, "rank 1; at least rank 2");
    case_free(c);
}

/* ---- scattering ---- */

TEST(scatter_nd) {
    OPEN;
    case_in(c, case_ramp(c, QCC_F32, DIMS(4)));
    case_in(c, I64(c, DIMS(3, 1), 1, -1, 1));
    case_in(c, F32(c, DIMS(3), 10, 20, 30));
    case_gives(c, OP_ScatterND, NULL, F32(c, DIMS(4), 0, 30, 2, 20));
    case_gives(c, OP_ScatterND, "reduction=add", F32(c, DIMS(4), 0, 41, 2, 23));
    case_gives(c, OP_ScatterND, "reduction=mul", F32(c, DIMS(4), 0, 300, 2, 60));
    case_gives(c, OP_ScatterND, "reduction=max", F32(c, DIMS(4), 0, 30, 2, 20));
    case_gives(c, OP_ScatterND, "reduction=min", F32(c, DIMS(4), 0, 1, 2, 3));
    case_free(c);
}

TEST(scatter_nd_slices_of_integers) {
    OPEN;
    case_in(c, TENSOR(c, QCC_U8, DIMS(2, 2), 250, 2, 3, 4));
    case_in(c, I64(c, DIMS(1, 1), 0));
    case_in(c, TENSOR(c, QCC_U8, DIMS(1, 2), 10, 1));
    case_gives(c, OP_ScatterND, "reduction=add", TENSOR(c, QCC_U8, DIMS(2, 2), 4, 3, 3, 4));
    case_gives(c, OP_ScatterND, "reduction=max", TENSOR(c, QCC_U8, DIMS(2, 2), 250, 2, 3, 4));
    case_gives(c, OP_ScatterND, "reduction=min", TENSOR(c, QCC_U8, DIMS(2, 2), 10, 1, 3, 4));
    case_free(c);
}

TEST(scatter_nd_refusals) {
    OPEN;
    case_in(c, case_ramp(c, QCC_F32, DIMS(4)));
    case_const(c, I64(c, DIMS(1, 1), 4));
    case_in(c, F32(c, DIMS(1), 1));
    case_refused(c, OP_ScatterND, NULL, D_OPERAND_VALUE, "index 4; wanted one in [-4, 3]");
    case_refused(c, OP_ScatterND, "reduction=sub", D_ATTRIBUTE, "reduction 'sub'");
    keep(c, 1);
    case_in(c, I64(c, DIMS(1, 2), 0, 0));
    case_in(c, F32(c, DIMS(1), 1));
    case_refused(c, OP_ScatterND, NULL, D_OPERAND_SHAPE, "index tuples of 2 components; wanted 1 to 1");
    keep(c, 1);
    case_in(c, I64(c, DIMS(2, 1), 0, 0));
    case_in(c, F32(c, DIMS(1), 1));
    case_refused(c, OP_ScatterND, NULL, D_OPERAND_SHAPE, "updates of shape [1]; wanted [2]");
    keep(c, 1);
    case_in(c, I64(c, SCALAR, 0));
    case_in(c, F32(c, DIMS(1), 1));
    case_refused(c, OP_ScatterND, NULL, D_OPERAND_SHAPE, "a scalar");
    keep(c, 0);
    case_in(c, TENSOR(c, QCC_BOOL, DIMS(1), 1));
    case_in(c, I64(c, DIMS(1, 1), 0));
    case_in(c, TENSOR(c, QCC_BOOL, DIMS(1), 1));
    case_refused(c, OP_ScatterND, "reduction=add", D_OPERAND_TYPE, "of a bool tensor");
    case_free(c);
}

TEST(scatter_elements) {
    OPEN;
    case_in(c, F32(c, DIMS(2, 3), 0));
    case_in(c, I64(c, DIMS(2, 2), 2, 0, -2, 0));
    case_in(c, F32(c, DIMS(2, 2), 1, 2, 3, 4));
    case_gives(c, OP_ScatterElements, "axis=1", F32(c, DIMS(2, 3), 2, 0, 1, 4, 3, 0));
    keep(c, 2);
    case_in(c, F32(c, DIMS(2, 1), 1));
    case_refused(c, OP_ScatterElements, "axis=1", D_OPERAND_SHAPE, "updates of shape [2,1]; wanted the indices' [2,2]");
    case_free(c);
}

TEST(tensor_scatter) {
    OPEN;
    case_in(c, F32(c, DIMS(2, 3, 1), 0));
    case_in(c, F32(c, DIMS(2, 2, 1), 1, 2, 3, 4));
    case_gives(c, OP_TensorScatter, NULL, F32(c, DIMS(2, 3, 1), 1, 2, 0, 3, 4, 0));
    case_in(c, LIST(c, 1, 2));
    case_gives(c, OP_TensorScatter, "mode=circular", F32(c, DIMS(2, 3, 1), 0, 1, 2, 4, 0, 3));
    case_refused(c, OP_TensorScatter, "mode=ring", D_ATTRIBUTE, "mode 'ring'");
    case_refused(c, OP_TensorScatter, "axis=0", D_ATTRIBUTE, "axis 0 is the batch");
    case_refused(c, OP_TensorScatter, "axis=2", D_OPERAND_SHAPE, "an update of shape [2,2,1] into a cache of [2,3,1]");
    keep(c, 2);
    case_in(c, LIST(c, 1));
    case_refused(c, OP_TensorScatter, NULL, D_OPERAND_SHAPE, "one for each of the batch of 2");
    case_free(c);
}

/* ---- TopK ---- */

TEST(top_k) {
    OPEN;
    c->n_out = 2;
    case_in(c, F32(c, DIMS(2, 4), 1, 7, 3, 7, -1, -2, -3, -4));
    case_const(c, LIST(c, 3));
    Node *n = case_node(c, OP_TopK, NULL);
    case_output(c, n, 0, F32(c, DIMS(2, 3), 7, 7, 3, -1, -2, -3));
    case_output(c, n, 1, I64(c, DIMS(2, 3), 1, 3, 2, 0, 1, 2));
    n = case_node(c, OP_TopK, "largest=0");
    case_output(c, n, 0, F32(c, DIMS(2, 3), 1, 3, 7, -4, -3, -2));
    case_output(c, n, 1, I64(c, DIMS(2, 3), 0, 2, 1, 3, 2, 1));
    case_free(c);
}

TEST(top_k_along_the_first_axis) {
    OPEN;
    c->n_out = 2;
    case_in(c, TENSOR(c, QCC_U64, DIMS(3, 2), 1, 6, 5, 2, 3, 4));
    case_const(c, LIST(c, 2));
    Node *n = case_node(c, OP_TopK, "axis=0");
    case_output(c, n, 0, TENSOR(c, QCC_U64, DIMS(2, 2), 5, 6, 3, 4));
    case_output(c, n, 1, I64(c, DIMS(2, 2), 1, 0, 2, 2));
    case_free(c);
}

/* All of a row is a stable sort: NaN is above everything, and equals keep their order. */
TEST(top_k_sorts) {
    OPEN;
    c->n_out = 2;
    case_in(c, F32(c, DIMS(5), 2, NAN, 1, 2, INFINITY));
    case_const(c, LIST(c, 5));
    Node *n = case_node(c, OP_TopK, NULL);
    case_output(c, n, 0, F32(c, DIMS(5), NAN, INFINITY, 2, 2, 1));
    case_output(c, n, 1, LIST(c, 1, 4, 0, 3, 2));
    keep(c, 1);
    case_const(c, LIST(c, 0));
    n = case_node(c, OP_TopK, NULL);
    case_output(c, n, 0, case_ramp(c, QCC_F32, DIMS(0)));
    case_free(c);
}

TEST(top_k_without_indices) {
    OPEN;
    case_in(c, TENSOR(c, QCC_I8, DIMS(5), 3, 1, 4, 1, 5));
    case_const(c, LIST(c, 3));
    c->n_out = 2;
    Node *n = case_node(c, OP_TopK, NULL);
    n->out[1] = NULL;
    case_output(c, n, 0, TENSOR(c, QCC_I8, DIMS(3), 5, 4, 3));
    case_free(c);
}

TEST(top_k_refusals) {
    OPEN;
    c->n_out = 2;
    case_in(c, case_ramp(c, QCC_F32, DIMS(2, 4)));
    case_const(c, LIST(c, 5));
    case_refused(c, OP_TopK, NULL, D_OPERAND_VALUE, "k is 5; wanted 0 to 4");
    case_refused(c, OP_TopK, "axis=-3", D_ATTRIBUTE, "axis -3");
    keep(c, 1);
    case_const(c, LIST(c, -1));
    case_refused(c, OP_TopK, NULL, D_OPERAND_VALUE, "k is -1");
    keep(c, 1);
    case_const(c, LIST(c, 1, 2));
    case_refused(c, OP_TopK, NULL, D_OPERAND_SHAPE, "k of shape [2]; wanted one element");
    keep(c, 1);
    case_in(c, LIST(c, 1));
    case_refused(c, OP_TopK, NULL, D_CONST_UNBOUND, "operand 1 (K)");
    case_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gather_rows_and_columns),
        cmocka_unit_test(gather_of_codes_and_of_nothing),
        cmocka_unit_test(gather_out_of_range_at_run_time),
        cmocka_unit_test(gather_refusals),
        cmocka_unit_test(gather_elements),
        cmocka_unit_test(gather_nd),
        cmocka_unit_test(gather_nd_refusals),
        cmocka_unit_test(reverse_sequence),
        cmocka_unit_test(scatter_nd),
        cmocka_unit_test(scatter_nd_slices_of_integers),
        cmocka_unit_test(scatter_nd_refusals),
        cmocka_unit_test(scatter_elements),
        cmocka_unit_test(tensor_scatter),
        cmocka_unit_test(top_k),
        cmocka_unit_test(top_k_along_the_first_axis),
        cmocka_unit_test(top_k_sorts),
        cmocka_unit_test(top_k_without_indices),
        cmocka_unit_test(top_k_refusals),
    };
    return TEST_RUN(tests);
}
