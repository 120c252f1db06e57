/* Integer layers: networks whose operands are scaled integers become integer products, give what the float network
 * gives where that is exact, and leave no float in between. */
#include "ir/op.h"
#include "passes/pass.h"
#include "tests/op_case.h"
#include "tests/support.h"

#include <math.h>
#include <string.h>

#define TEST(name) static void name(void **state)
#define OPEN                \
    OpCase *c = case_new(); \
    (void)state

static Value *constant(OpCase *c, const Tensor *t) { return graph_constant(c->graph, "", t); }
static Value *number(OpCase *c, double v) { return constant(c, F32(c, SCALAR, v)); }

static Value *input(OpCase *c, Shape s) {
    Tensor *t = tensor_new(&c->arena, (Type){QCC_F32, s});
    for (int64_t i = 0; i < shape_count(&s); i++) tensor_set(t, i, (double)(i * 37 % 101) / 8.0 - 6);
    c->data[c->n_in++] = t;
    return graph_input(c->graph, "x", t->type);
}

/* clip(round(x / scale), lo, hi) * scale. The scales are powers of two, so that float sums are exact. */
static Value *quantized(OpCase *c, Value *x, double scale, double lo, double hi) {
    Value *v = NODE(c, Round, NULL, NODE(c, Div, NULL, x, number(c, scale)));
    return NODE(c, Mul, NULL, NODE(c, Clip, NULL, v, number(c, lo), number(c, hi)), number(c, scale));
}

static Value *weights(OpCase *c, Shape s, double scale, int most) {
    Tensor *t = tensor_new(&c->arena, (Type){QCC_F32, s});
    for (int64_t i = 0; i < shape_count(&s); i++) tensor_set(t, i, scale * (double)(i * 29 % (2 * most + 1) - most));
    return constant(c, t);
}

static int count(const Graph *g, OpId op) {
    int n = 0;
    for (const Node *m = g->first; m; m = m->next) n += m->op == op;
    return n;
}

static const Tensor *evaluate(OpCase *c) {
    Tensor *out[1];
    assert_true(graph_eval(&c->arena, &c->diags, c->graph, c->data, out, NULL, NULL));
    return out[0];
}

/* Ends the graph with y, makes its layers integer and compares. The last of the arguments are the operators that must
 * then be there, and those that must not. */
static void becomes(OpCase *c, Value *y, OpId now, int n, OpId gone) {
    graph_output(c->graph, "y", y);
    const Tensor *before = evaluate(c);
    static const PassId passes[] = {PASS_integerize, PASS_fold_scales, PASS_dce_quantized, PASS_dce_quantized};
    for (size_t i = 0; i < COUNT_OF(passes); i++) assert_true(pass_run(c->graph, &c->diags, passes[i]));
    const Tensor *after = evaluate(c);
    assert_int_equal(count(c->graph, now), n);
    assert_int_equal(count(c->graph, gone), 0);
    for (int64_t i = 0; i < shape_count(&before->type.shape); i++)
        if (tensor_get(before, i) != tensor_get(after, i))
            fail_msg("element %lld is %g, not %g", (long long)i, tensor_get(after, i), tensor_get(before, i));
    case_free(c);
}

TEST(convolution) {
    OPEN;
    Value *x = quantized(c, input(c, DIMS(2, 4, 6, 5)), 0.25, -8, 7);
    Value *y = NODE(c, Conv, "pads=1,0,1,1 strides=2,1 group=2", x, weights(c, DIMS(6, 2, 3, 3), 0.5, 3),
                    constant(c, F32(c, DIMS(6), 1, 2, 3, 4, 5, 6)));
    becomes(c, y, OP_QConv, 1, OP_Conv);
}

TEST(transposed_convolution) {
    OPEN;
    Value *x = quantized(c, input(c, DIMS(1, 4, 5)), 0.25, 0, 15);
    Value *y = NODE(c, ConvTranspose, "strides=2 group=2", x, weights(c, DIMS(4, 3, 3), 0.5, 1));
    becomes(c, y, OP_QConvTranspose, 1, OP_ConvTranspose);
}

/* A scale for each output channel, found in the weights of each. */
TEST(scales_by_channel) {
    OPEN;
    Value *x = quantized(c, input(c, DIMS(1, 2, 4, 4)), 0.5, 0, 3);
    const Tensor *w = F32(c, DIMS(3, 2, 1, 1), 1, -1, 0.0009765625, 0.0009765625, 1000, 3000);
    becomes(c, NODE(c, Conv, NULL, x, constant(c, w)), OP_QConv, 1, OP_Conv);
}

TEST(gemm_of_all_kinds) {
    OPEN;
    Value *x = quantized(c, input(c, DIMS(6, 4)), 0.25, -8, 7);
    Value *y = NODE(c, Gemm, "transA=1 alpha=2 beta=0.5", x, weights(c, DIMS(6, 3), 0.5, 3), number(c, 5));
    y = quantized(c, y, 8, -3, 3);
    y = NODE(c, Gemm, "transB=1", y, weights(c, DIMS(5, 3), 0.125, 127), constant(c, F32(c, DIMS(5), 1, 2, 3, 4, 5)));
    becomes(c, y, OP_QMatMul, 2, OP_Gemm);
}

TEST(product_of_activations) {
    OPEN;
    Value *a = quantized(c, input(c, DIMS(2, 3, 4)), 0.25, -8, 7),
          *b = quantized(c, input(c, DIMS(2, 4, 3)), 0.5, 0, 7);
    becomes(c, NODE(c, MatMul, NULL, a, b), OP_QMatMul, 1, OP_MatMul);
}

/* Thresholds written as signs, comparisons and choices. */
TEST(binary_idioms) {
    OPEN;
    Value *x = input(c, DIMS(1, 2, 4, 4)), *zero = number(c, 0), *w = weights(c, DIMS(2, 2, 1, 1), 1, 1);
    Value *y = NODE(c, Conv, NULL, NODE(c, Sign, NULL, x), w);
    y = NODE(c, Where, NULL, NODE(c, Greater, NULL, y, zero), number(c, 0.25), number(c, -0.25));
    y = NODE(c, Conv, NULL, y, w);
    y = NODE(c, Cast, "to=1", NODE(c, GreaterOrEqual, NULL, y, zero));
    y = NODE(c, Conv, NULL, NODE(c, Sub, NULL, NODE(c, Mul, NULL, y, number(c, 2)), number(c, 1)), w);
    Value *two = NODE(c, Add, NULL, NODE(c, Sign, NULL, NODE(c, Sub, NULL, y, number(c, 0.5))),
                      NODE(c, Sign, NULL, NODE(c, Add, NULL, y, number(c, 0.5))));
    y = NODE(c, Conv, NULL, NODE(c, Mul, NULL, two, number(c, 0.5)), w);
    becomes(c, y, OP_QConv, 4, OP_Conv);
}

/* Steps that are powers of two of one another have a common one; others have not. */
TEST(steps_in_proportion) {
    OPEN;
    Value *x = input(c, DIMS(1, 2, 4, 4)), *w = weights(c, DIMS(2, 2, 1, 1), 1, 1),
          *v = weights(c, DIMS(2, 6, 1, 1), 1, 1);
    Value *a = quantized(c, x, 0.25, -8, 7), *b = quantized(c, x, 1, 0, 3), *d = quantized(c, x, 0.125, -4, 3);
    Value *y = NODE(c, Conv, NULL, NODE(c, Sub, NULL, a, b), w);
    y = NODE(c, Add, NULL, y, NODE(c, Conv, NULL, NODE(c, Concat, "axis=1", a, b, d), v));
    y = NODE(c, Add, NULL, y, NODE(c, Conv, NULL, NODE(c, Max, NULL, d, a), w));
    becomes(c, y, OP_QConv, 3, OP_Conv);
}

TEST(steps_out_of_proportion) {
    OPEN;
    Value *x = input(c, DIMS(1, 2, 4, 4)), *w = weights(c, DIMS(2, 2, 1, 1), 1, 1);
    Value *sum = NODE(c, Add, NULL, quantized(c, x, 0.25, -8, 7), quantized(c, x, 0.75, 0, 3));
    becomes(c, NODE(c, Conv, NULL, sum, w), OP_Conv, 1, OP_QConv);
}

/* Sums of any number of operands, the greater and the lesser of two. */
TEST(many_operands) {
    OPEN;
    Value *x = input(c, DIMS(1, 2, 4, 4)), *w = weights(c, DIMS(2, 2, 1, 1), 1, 1);
    Value *a = quantized(c, x, 0.25, -8, 7), *b = quantized(c, x, 0.25, 0, 3), *d = quantized(c, x, 0.25, -4, 3);
    Value *y = NODE(c, Conv, NULL, NODE(c, Sum, NULL, a, b, d), w);
    y = NODE(c, Add, NULL, y, NODE(c, Conv, NULL, NODE(c, Max, NULL, a, b), w));
    y = NODE(c, Add, NULL, y, NODE(c, Conv, NULL, NODE(c, Min, NULL, a, d), w));
    assert_true(pass_run(c->graph, &c->diags, PASS_canonicalize));
    becomes(c, y, OP_QConv, 3, OP_Conv);
}

/* 2 a b - a and a - 2 a b of bits b, and levels that lie between multiples of their distance. */
TEST(shifted_codes) {
    OPEN;
    Value *x = input(c, DIMS(1, 2, 4, 4)), *w = weights(c, DIMS(2, 2, 1, 1), 1, 1), *a = number(c, 0.25);
    Value *bit = NODE(c, Cast, "to=1", NODE(c, Greater, NULL, x, number(c, 0)));
    Value *twice = NODE(c, Mul, NULL, bit, number(c, 0.5));
    Value *y = NODE(c, Conv, NULL, NODE(c, Sub, NULL, twice, a), w);
    Value *z = NODE(c, Conv, NULL, NODE(c, Sub, NULL, a, twice), w);
    Value *levels = NODE(c, Add, NULL, number(c, -1.125), quantized(c, x, 0.5, 0, 7));
    z = NODE(c, Add, NULL, z, NODE(c, Conv, NULL, levels, w));
    becomes(c, NODE(c, Add, NULL, y, z), OP_QConv, 3, OP_Conv);
}

TEST(shifted_between_codes) {
    OPEN;
    Value *x = quantized(c, input(c, DIMS(1, 2, 4, 4)), 0.25, -8, 7), *w = weights(c, DIMS(2, 2, 1, 1), 0.5, 1);
    becomes(c, NODE(c, Conv, NULL, NODE(c, Add, NULL, x, number(c, 0.1)), w), OP_Conv, 1, OP_QConv);
}

/* Thresholds of 8 bits, one after the other, as a quantizer with learned ones has them. */
TEST(many_thresholds) {
    OPEN;
    Value *x = input(c, DIMS(1, 2, 4, 4)), *y = number(c, 0);
    for (int k = 0; k < 255; k++) {
        Value *passed = NODE(c, Greater, NULL, x, number(c, (double)k / 20 - 6));
        y = NODE(c, Add, NULL, y, NODE(c, Where, NULL, passed, number(c, 1), number(c, 0)));
    }
    becomes(c, NODE(c, Conv, NULL, y, weights(c, DIMS(2, 2, 1, 1), 1, 1)), OP_QConv, 1, OP_Conv);
}

/* What moves elements does so on integers: no Conv is left, and every one of these has integer operands. */
TEST(movement) {
    OPEN;
    Value *a = quantized(c, input(c, DIMS(1, 2, 8, 8)), 0.25, 0, 15),
          *b = quantized(c, input(c, DIMS(1, 2, 8, 8)), 0.25, -8, 7);
    Value *y = NODE(c, Concat, "axis=1", a, b);
    y = NODE(c, Pad, NULL, y, constant(c, LIST(c, 0, 0, 1, 0, 0, 0, 0, 2)), number(c, 0.5));
    y = NODE(c, Transpose, "perm=0,2,3,1", y);
    y = NODE(c, Reshape, NULL, y, constant(c, LIST(c, 1, 45, 2, 4)));
    y = NODE(c, Relu, NULL,
             NODE(c, Slice, NULL, y, constant(c, LIST(c, 5)), constant(c, LIST(c, 45)), constant(c, LIST(c, 1))));
    y = NODE(c, MaxPool, "kernel_shape=1,2", y);
    y = NODE(c, Conv, NULL, y, weights(c, DIMS(3, 40, 1, 1), 0.5, 3));
    graph_output(c->graph, "y", y);
    assert_true(pass_run(c->graph, &c->diags, PASS_integerize));
    assert_true(pass_run(c->graph, &c->diags, PASS_dce_quantized));
    for (const Node *n = c->graph->first; n; n = n->next)
        if (n->op == OP_MaxPool || n->op == OP_Slice || n->op == OP_Pad || n->op == OP_Concat)
            assert_true(elem_is_int(n->out[0]->type.elem));
    c->graph->outputs.n = 0;
    becomes(c, c->graph->last->out[0], OP_QConv, 1, OP_Conv);
}

/* Two readers of one tensor share its integers; two tensors of one scale are added as integers, of two as floats. */
TEST(shortcuts) {
    OPEN;
    Value *a = quantized(c, input(c, DIMS(1, 3, 4, 4)), 0.25, -8, 7), *w = weights(c, DIMS(3, 3, 1, 1), 0.5, 3);
    Value *b = quantized(c, NODE(c, Conv, NULL, a, w), 0.25, -8, 7), *e = quantized(c, b, 0.5, -4, 3);
    Value *same = NODE(c, Conv, NULL, NODE(c, Add, NULL, a, b), w);
    Value *other = NODE(c, Conv, NULL, quantized(c, NODE(c, Add, NULL, a, e), 1, -8, 7), w);
    becomes(c, NODE(c, Add, NULL, same, other), OP_QConv, 3, OP_Conv);
}

TEST(averages) {
    OPEN;
    Value *x = quantized(c, input(c, DIMS(1, 3, 5, 5)), 0.25, 0, 15);
    Value *y = NODE(c, AveragePool, "kernel_shape=3,3 pads=1,1,1,1 strides=2,2", x);
    Value *z = NODE(c, AveragePool, "kernel_shape=2,2 ceil_mode=1 strides=2,2 count_include_pad=1 pads=1,0,0,0", x);
    Value *sum = NODE(c, ReduceSum, "keepdims=1", x, constant(c, LIST(c, 2, 3)));
    becomes(c, NODE(c, Add, NULL, NODE(c, Sub, NULL, y, z), sum), OP_QConv, 2, OP_AveragePool);
}

/* Limits that are multiples of the scale, or that are never reached. */
TEST(clipped_codes) {
    OPEN;
    Value *x = quantized(c, input(c, DIMS(1, 2, 4, 4)), 0.25, -8, 7), *w = weights(c, DIMS(2, 2, 1, 1), 0.5, 1);
    Value *y = NODE(c, Conv, NULL, NODE(c, Clip, NULL, x, number(c, -1), number(c, 6)), w);
    Value *z = NODE(c, Conv, NULL, NODE(c, Clip, NULL, x, number(c, -0.25), number(c, 1.5)), w);
    becomes(c, NODE(c, Add, NULL, y, z), OP_QConv, 2, OP_Conv);
}

/* Where all codes lie beyond a limit, or the limits the wrong way round, one is left. */
TEST(clipped_to_one_code) {
    OPEN;
    Value *x = quantized(c, input(c, DIMS(1, 2, 4, 4)), 0.25, -8, -3), *w = weights(c, DIMS(2, 2, 1, 1), 0.5, 1);
    Value *y = NODE(c, Conv, NULL, NODE(c, Clip, NULL, x, number(c, 0)), w);
    Value *z = NODE(c, Conv, NULL, NODE(c, Clip, NULL, x, number(c, 2), number(c, -1.25)), w);
    becomes(c, NODE(c, Add, NULL, y, z), OP_QConv, 2, OP_Conv);
}

TEST(clipped_between_codes) {
    OPEN;
    Value *x = quantized(c, input(c, DIMS(1, 2, 4, 4)), 0.25, -8, 7), *w = weights(c, DIMS(2, 2, 1, 1), 0.5, 1);
    becomes(c, NODE(c, Conv, NULL, NODE(c, Clip, NULL, x, number(c, -1), number(c, 1.3)), w), OP_Conv, 1, OP_QConv);
}

/* Nothing is done to a float network, or to sums that might not fit. */
TEST(left_alone) {
    OPEN;
    Value *x = input(c, DIMS(1, 2, 4, 4)), *w = weights(c, DIMS(2, 2, 1, 1), 1, 1);
    Value *y = NODE(c, Conv, NULL, x, w);
    const Tensor *odd = F32(c, DIMS(2, 2, 1, 1), 0.1234567, 0.7654321, -0.314159, 0.271828);
    y = NODE(c, Conv, NULL, quantized(c, y, 1, -8, 7), constant(c, odd));
    y = quantized(c, y, 0.5, -32768, 32767);
    y = NODE(c, MatMul, NULL, NODE(c, Reshape, NULL, y, constant(c, LIST(c, 8, 4))),
             NODE(c, Reshape, NULL, y, constant(c, LIST(c, 4, 8))));
    becomes(c, y, OP_Conv, 2, OP_QMatMul);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolution),
        cmocka_unit_test(transposed_convolution),
        cmocka_unit_test(scales_by_channel),
        cmocka_unit_test(gemm_of_all_kinds),
        cmocka_unit_test(product_of_activations),
        cmocka_unit_test(binary_idioms),
        cmocka_unit_test(many_thresholds),
        cmocka_unit_test(many_operands),
        cmocka_unit_test(steps_in_proportion),
        cmocka_unit_test(steps_out_of_proportion),
        cmocka_unit_test(shifted_codes),
        cmocka_unit_test(shifted_between_codes),
        cmocka_unit_test(movement),
        cmocka_unit_test(shortcuts),
        cmocka_unit_test(averages),
        cmocka_unit_test(left_alone),
        cmocka_unit_test(clipped_codes),
        cmocka_unit_test(clipped_to_one_code),
        cmocka_unit_test(clipped_between_codes),
    };
    return TEST_RUN(tests);
}
