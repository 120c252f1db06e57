/* Softmax, response and other normalisations: numbers chosen so that means, deviations and exponentials are whole. */
#include "tests/op_case.h"

#include "tests/support.h"

#include <math.h>

#define TEST(name) static void name(void **state)
#define OPEN                \
    OpCase *c = case_new(); \
    (void)state;            \
    c->tolerance = 1e-6

static void operand(OpCase *c, const Tensor *x) {
    c->n_in = 0;
    case_in(c, x);
}

/* ---- Softmax and its kin ---- */

TEST(softmax) {
    OPEN;
    operand(c, F32(c, DIMS(2, 2), 0, log(3), 1000, 1000));
    case_gives(c, OP_Softmax, NULL, F32(c, DIMS(2, 2), 0.25, 0.75, 0.5, 0.5));
    case_gives(c, OP_LogSoftmax, NULL, F32(c, DIMS(2, 2), log(0.25), log(0.75), log(0.5), log(0.5)));
    operand(c, F32(c, DIMS(2, 2), 0, log(3), log(9), log(3)));
    case_gives(c, OP_Softmax, "axis=0", F32(c, DIMS(2, 2), 0.1, 0.5, 0.9, 0.5));
    operand(c, F32(c, DIMS(3), -INFINITY, 5, 5));
    case_gives(c, OP_Softmax, NULL, F32(c, DIMS(3), 0, 0.5, 0.5));
    operand(c, F32(c, DIMS(2), NAN, 1));
    case_gives(c, OP_Softmax, NULL, F32(c, DIMS(2), NAN));
    operand(c, TENSOR(c, QCC_F16, DIMS(2), 60000, 60000));
    case_gives(c, OP_Softmax, NULL, TENSOR(c, QCC_F16, DIMS(2), 0.5));
    operand(c, F32(c, SCALAR, 1));
    case_refused(c, OP_Softmax, NULL, D_ATTRIBUTE, "axis -1");
    case_free(c);
}

TEST(hardmax) {
    OPEN;
    operand(c, F32(c, DIMS(2, 3), 1, 3, 3, -1, -2, -3));
    case_gives(c, OP_Hardmax, NULL, F32(c, DIMS(2, 3), 0, 1, 0, 1, 0, 0));
    case_gives(c, OP_Hardmax, "axis=0", F32(c, DIMS(2, 3), 1, 1, 1, 0, 0, 0));
    case_free(c);
}

/* ---- LRN: x / (bias + alpha / size * sum of squares) ^ beta ---- */

TEST(lrn) {
    OPEN;
    operand(c, F32(c, DIMS(1, 4, 1, 1), 1, 2, 3, 4));
    case_gives(c, OP_LRN, "size=3 alpha=3 beta=1", F32(c, DIMS(1, 4, 1, 1), 1 / 6.0, 2 / 15.0, 3 / 30.0, 4 / 26.0));
    case_gives(c, OP_LRN, "size=2 alpha=2 beta=1 bias=0",
               F32(c, DIMS(1, 4, 1, 1), 1 / 5.0, 2 / 13.0, 3 / 25.0, 4 / 16.0));
    case_gives(c, OP_LRN, "size=9 alpha=9 beta=0.5 bias=6",
               F32(c, DIMS(1, 4, 1, 1), 1 / 6.0, 2 / 6.0, 3 / 6.0, 4 / 6.0));
    case_gives(c, OP_LRN, "size=1 alpha=0 beta=2 bias=2", F32(c, DIMS(1, 4, 1, 1), 0.25, 0.5, 0.75, 1));
    case_refused(c, OP_LRN, "size=0", D_ATTRIBUTE, "size 0");
    operand(c, F32(c, DIMS(3), 1));
    case_refused(c, OP_LRN, "size=1", D_OPERAND_SHAPE, "rank 1");
    case_free(c);
}

/* ---- BatchNormalization ---- */

static void batch_norm(OpCase *c, const Tensor *x, const Tensor *scale, const Tensor *b, const Tensor *mean,
                       const Tensor *var) {
    operand(c, x);
    case_in(c, scale);
    case_in(c, b);
    case_in(c, mean);
    case_in(c, var);
}

TEST(batch_normalization) {
    OPEN;
    batch_norm(c, F32(c, DIMS(1, 2, 2), 1, 5, 2, -2), F32(c, DIMS(2), 3, 1), F32(c, DIMS(2), 10, 0),
               F32(c, DIMS(2), 1, 0), F32(c, DIMS(2), 4, 1));
    case_gives(c, OP_BatchNormalization, "epsilon=0", F32(c, DIMS(1, 2, 2), 10, 16, 2, -2));
    case_gives(c, OP_BatchNormalization, "epsilon=3", F32(c, DIMS(1, 2, 2), 10, 10 + 12 / sqrt(7), 1, -1));
    c->n_out = 3;
    Node *n = case_node(c, OP_BatchNormalization, "epsilon=0 training_mode=1 momentum=0.75");
    case_output(c, n, 0, F32(c, DIMS(1, 2, 2), 7, 13, 1, -1));     /* means 3 and 0, deviations 2 */
    case_output(c, n, 1, F32(c, DIMS(2), 0.75 * 1 + 0.25 * 3, 0)); /* running mean */
    case_output(c, n, 2, F32(c, DIMS(2), 4, 0.75 * 1 + 0.25 * 4));
    case_refused(c, OP_BatchNormalization, NULL, D_ARITY, "only training_mode=1");
    c->n_out = 1;
    batch_norm(c, F32(c, DIMS(1, 2, 2), 1), F32(c, DIMS(2), 1), F32(c, DIMS(3), 1), F32(c, DIMS(2), 1),
               F32(c, DIMS(2), 1));
    case_refused(c, OP_BatchNormalization, NULL, D_OPERAND_SHAPE, "shape [3]; wanted a vector of 2");
    case_free(c);
}

/* ---- InstanceNormalization, GroupNormalization ---- */

static void affine(OpCase *c, const Tensor *x, const Tensor *scale, const Tensor *b) {
    operand(c, x);
    case_in(c, scale);
    if (b) case_in(c, b);
}

TEST(instances_and_groups) {
    OPEN;
    affine(c, F32(c, DIMS(1, 2, 4), 1, 3, 1, 3, 0, 8, 0, 8), F32(c, DIMS(2), 2, 1), F32(c, DIMS(2), 0, 5));
    case_gives(c, OP_InstanceNormalization, "epsilon=0", F32(c, DIMS(1, 2, 4), -2, 2, -2, 2, 4, 6, 4, 6));
    case_gives(c, OP_GroupNormalization, "epsilon=0 num_groups=2", F32(c, DIMS(1, 2, 4), -2, 2, -2, 2, 4, 6, 4, 6));
    case_refused(c, OP_GroupNormalization, "num_groups=3", D_ATTRIBUTE, "num_groups 3; wanted a divisor of the 2");
    /* One group: mean 3, mean square 37 / 2, variance 19 / 2. */
    double d = 1 / sqrt(9.5);
    case_gives(c, OP_GroupNormalization, "epsilon=0 num_groups=1",
               F32(c, DIMS(1, 2, 4), -4 * d, 0, -4 * d, 0, 5 - 3 * d, 5 + 5 * d, 5 - 3 * d, 5 + 5 * d));
    affine(c, F32(c, DIMS(2, 2), 1), F32(c, DIMS(2), 1), F32(c, DIMS(2), 1));
    case_refused(c, OP_InstanceNormalization, NULL, D_OPERAND_SHAPE, "rank 2; at least rank 3");
    case_free(c);
}

/* ---- LayerNormalization, RMSNormalization ---- */

TEST(layer_normalization) {
    OPEN;
    affine(c, F32(c, DIMS(2, 4), 1, 3, 1, 3, 5, 5, -5, -5), F32(c, DIMS(4), 1, 1, 2, 2), F32(c, DIMS(4), 0, 0, 0, 7));
    c->n_out = 3;
    Node *n = case_node(c, OP_LayerNormalization, "epsilon=0");
    case_output(c, n, 0, F32(c, DIMS(2, 4), -1, 1, -2, 9, 1, 1, -2, 5));
    case_output(c, n, 1, F32(c, DIMS(2, 1), 2, 0));
    case_output(c, n, 2, F32(c, DIMS(2, 1), 1, 0.2));
    n = case_node(c, OP_LayerNormalization, "epsilon=0 axis=0"); /* mean 1, mean square 15 */
    case_output(c, n, 1, F32(c, DIMS(1, 1), 1));
    case_output(c, n, 2, F32(c, DIMS(1, 1), 1 / sqrt(14)));
    c->n_out = 1;
    affine(c, F32(c, DIMS(1, 2), 1, 3), F32(c, DIMS(1), 4), NULL);
    case_gives(c, OP_LayerNormalization, "epsilon=3", F32(c, DIMS(1, 2), -2, 2));
    case_refused(c, OP_LayerNormalization, "axis=2", D_ATTRIBUTE, "axis 2");
    case_refused(c, OP_LayerNormalization, "stash_type=7", D_ATTRIBUTE, "stash_type 7");
    affine(c, F32(c, DIMS(1, 2), 1, 3), F32(c, DIMS(3), 4), NULL);
    case_refused(c, OP_LayerNormalization, NULL, D_OPERAND_SHAPE, "shape [3] does not broadcast to the input's [1,2]");
    case_free(c);
}

TEST(rms_normalization) {
    OPEN;
    affine(c, F32(c, DIMS(2, 2), 1, 7, -2, 0), F32(c, DIMS(2), 1, 3), NULL);
    case_gives(c, OP_RMSNormalization, "epsilon=0", F32(c, DIMS(2, 2), 0.2, 4.2, -sqrt(2), 0));
    case_gives(c, OP_RMSNormalization, "epsilon=2.5 axis=-2",
               F32(c, DIMS(2, 2), 0.25, 5.25, -0.5, 0)); /* mean square 13.5 */
    case_free(c);
}

/* ---- LpNormalization, MeanVarianceNormalization ---- */

TEST(lp_normalization) {
    OPEN;
    operand(c, F32(c, DIMS(3, 2), 3, -4, 0, 0, 5, 0));
    case_gives(c, OP_LpNormalization, NULL, F32(c, DIMS(3, 2), 0.6, -0.8, 0, 0, 1, 0));
    case_gives(c, OP_LpNormalization, "p=1", F32(c, DIMS(3, 2), 3 / 7.0, -4 / 7.0, 0, 0, 1, 0));
    case_gives(c, OP_LpNormalization, "axis=0 p=1", F32(c, DIMS(3, 2), 0.375, -1, 0, 0, 0.625, 0));
    case_refused(c, OP_LpNormalization, "p=3", D_ATTRIBUTE, "p 3; wanted 1 or 2");
    case_free(c);
}

TEST(mean_variance_normalization) {
    OPEN;
    operand(c, F32(c, DIMS(2, 1, 1, 2), 1, 3, 1, 3));
    case_gives(c, OP_MeanVarianceNormalization, NULL, F32(c, DIMS(2, 1, 1, 2), -1, 1, -1, 1));
    case_gives(c, OP_MeanVarianceNormalization, "axes=0", F32(c, DIMS(2, 1, 1, 2), 0));
    case_refused(c, OP_MeanVarianceNormalization, "axes=4", D_ATTRIBUTE, "axis 4");
    case_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(softmax),
        cmocka_unit_test(hardmax),
        cmocka_unit_test(lrn),
        cmocka_unit_test(batch_normalization),
        cmocka_unit_test(instances_and_groups),
        cmocka_unit_test(layer_normalization),
        cmocka_unit_test(rms_normalization),
        cmocka_unit_test(lp_normalization),
        cmocka_unit_test(mean_variance_normalization),
    };
    return TEST_RUN(tests);
}
