/* Whether networks keep the samples of a batch apart. What is said to do so also computes, for two samples, what it
 * does for each alone. */
#include "ir/op.h"
#include "passes/pass.h"
#include "tests/op_case.h"
#include "tests/support.h"

#include <string.h>

typedef Value *Net(OpCase *c, Value *x);

#define INTS(c, ...) \
    graph_const_ints((c)->graph, "", (int64_t)COUNT_OF(((int64_t[]){__VA_ARGS__})), (int64_t[]){__VA_ARGS__})

static Tensor *numbers(OpCase *c, Shape s) {
    Tensor *t = tensor_new(&c->arena, (Type){QCC_F32, s});
    for (int64_t i = 0; i < shape_count(&s); i++) tensor_set(t, i, (double)(i * 37 % 101) / 8.0 - 6);
    return t;
}
static Value *weights(OpCase *c, Shape s) { return graph_constant(c->graph, "", numbers(c, s)); }
static int64_t batch_of(const Value *x) { return x->type.shape.dim[0]; }

/* ---- networks on x[n,4,6,6] ---- */

static Value *convolutions(OpCase *c, Value *x) {
    Value *v = NODE(c, Conv, "pads=1,1,1,1", x, weights(c, DIMS(8, 4, 3, 3)), weights(c, DIMS(8)));
    Value *s = weights(c, DIMS(8));
    v = NODE(c, BatchNormalization, NULL, v, s, s, s, NODE(c, Abs, NULL, s));
    v = NODE(c, Add, NULL, NODE(c, Relu, NULL, v), weights(c, DIMS(8, 1, 1)));
    v = NODE(c, MaxPool, "kernel_shape=2,2 strides=2,2", v);
    v = NODE(c, Concat, "axis=1", v, NODE(c, AveragePool, "kernel_shape=3,3 pads=1,1,1,1", v), v);
    return v;
}

static Value *classifier(OpCase *c, Value *x) {
    Value *v = NODE(c, ReduceMean, "keepdims=0", x, INTS(c, 2, 3));
    v = NODE(c, Gemm, NULL, v, weights(c, DIMS(4, 5)), weights(c, DIMS(5)));
    return NODE(c, Softmax, "axis=1", v);
}

/* Attention over 6 tokens behind a class token, which is repeated for every sample. */
static Value *attention(OpCase *c, Value *x) {
    int64_t n = batch_of(x);
    Value *tokens = NODE(c, Reshape, NULL, x, INTS(c, n, 6, 24));
    Value *first = NODE(c, Expand, NULL, weights(c, DIMS(1, 1, 24)), INTS(c, n, 1, 24));
    Value *v = NODE(c, Concat, "axis=1", first, tokens);
    Value *heads = NODE(c, Reshape, NULL, v, INTS(c, n, 7, 3, 8));
    Value *q = NODE(c, Transpose, "perm=0,2,1,3", heads), *k = NODE(c, Transpose, "perm=0,2,3,1", heads);
    Value *p = NODE(c, Softmax, "axis=-1", NODE(c, MatMul, NULL, q, k));
    Value *y = NODE(c, Transpose, "perm=0,2,1,3", NODE(c, MatMul, NULL, p, q));
    return NODE(c, MatMul, NULL, NODE(c, Reshape, NULL, y, INTS(c, n * 7, 24)), weights(c, DIMS(24, 3)));
}
static Value *first_token(OpCase *c, Value *x) {
    Value *y = NODE(c, Reshape, NULL, attention(c, x), INTS(c, batch_of(x), 7, 3));
    return NODE(c, Gather, "axis=1", y, graph_constant(c->graph, "", I64(c, SCALAR, 0)));
}

static Value *quantizers(OpCase *c, Value *x) {
    Value *s = graph_const_f32(c->graph, 0.25f), *z = graph_constant(c->graph, "", TENSOR(c, QCC_U8, SCALAR, 128));
    Value *v = NODE(c, DequantizeLinear, NULL, NODE(c, QuantizeLinear, NULL, x, s, z), s, z);
    return NODE(c, Slice, NULL, v, INTS(c, 1), INTS(c, 3), INTS(c, 1));
}

static Value *mean_of_all(OpCase *c, Value *x) {
    return NODE(c, Sub, NULL, x, NODE(c, ReduceMean, NULL, x, INTS(c, 0)));
}
static Value *softmax_over_samples(OpCase *c, Value *x) { return NODE(c, Softmax, "axis=0", x); }
static Value *sums_over_samples(OpCase *c, Value *x) {
    return NODE(c, CumSum, NULL, x, graph_constant(c->graph, "", I64(c, SCALAR, 0)));
}
static Value *other_way_round(OpCase *c, Value *x) {
    return NODE(c, Slice, NULL, x, INTS(c, -1), INTS(c, -100), INTS(c, 0), INTS(c, -1));
}
static Value *one_for_each(OpCase *c, Value *x) {
    return NODE(c, Add, NULL, x, weights(c, DIMS(batch_of(x), 4, 6, 6)));
}
static Value *by_the_number(OpCase *c, Value *x) {
    return NODE(c, Mul, NULL, x, graph_const_f32(c->graph, (float)batch_of(x)));
}
static Value *each_with_each(OpCase *c, Value *x) {
    Value *v = NODE(c, Reshape, NULL, x, INTS(c, batch_of(x), 144));
    return NODE(c, MatMul, NULL, v, NODE(c, Transpose, "perm=1,0", v));
}
static Value *only_the_first(OpCase *c, Value *x) { return NODE(c, Gather, "axis=0", x, INTS(c, 0)); }
static Value *interleaved(OpCase *c, Value *x) {
    Value *v = NODE(c, Transpose, "perm=1,0,2,3", x);
    return NODE(c, Reshape, NULL, v, INTS(c, batch_of(x), 4, 6, 6));
}
static Value *range_of_all(OpCase *c, Value *x) {
    Node *n = graph_node(c->graph, NULL, OP_DynamicQuantizeLinear, LOC_NONE, 1, &x, 3);
    assert_true(node_infer(&c->diags, n));
    return NODE(c, DequantizeLinear, NULL, n->out[0], n->out[1], n->out[2]);
}

/* ---- what is found ---- */

static OpCase *open_net(Net *net, int64_t n) {
    OpCase *c = case_new();
    Value *x = graph_input(c->graph, "x", (Type){QCC_F32, DIMS(n, 4, 6, 6)});
    c->data[c->n_in++] = numbers(c, DIMS(2, 4, 6, 6));
    graph_output(c->graph, "y", net(c, x));
    assert_true(passes_define(c->graph, &c->diags));
    return c;
}

static bool apart(Net *net) {
    const Node *mixes;
    OpCase *one = open_net(net, 1), *two = open_net(net, 2);
    bool good = graph_keeps_samples_apart(one->graph, two->graph, &mixes);
    case_free(one);
    case_free(two);
    return good;
}

/* Evaluated for both samples at once, and for sample i alone. */
static void check_sample(Net *net, int64_t i) {
    OpCase *one = open_net(net, 1), *two = open_net(net, 2);
    Tensor *all[1], *alone[1], x = {.type = {QCC_F32, DIMS(1, 4, 6, 6)}};
    x.data = (const float *)one->data[0]->data + i * 144;
    const Tensor *in[] = {&x};
    assert_true(graph_eval(&two->arena, &two->diags, two->graph, two->data, all, NULL, NULL));
    assert_true(graph_eval(&one->arena, &one->diags, one->graph, in, alone, NULL, NULL));
    size_t bytes = (size_t)type_bytes(&alone[0]->type);
    assert_memory_equal((const char *)all[0]->data + (size_t)i * bytes, alone[0]->data, bytes);
    case_free(one);
    case_free(two);
}

static void test_apart(void **state) {
    (void)state;
    Net *nets[] = {convolutions, classifier, first_token, quantizers};
    for (size_t i = 0; i < COUNT_OF(nets); i++) {
        if (!apart(nets[i])) fail_msg("network %zu is said to mix its samples", i);
        check_sample(nets[i], 0);
        check_sample(nets[i], 1);
    }
}

static void test_mixing(void **state) {
    (void)state;
    Net *nets[] = {mean_of_all,  softmax_over_samples, sums_over_samples, other_way_round,
                   one_for_each, by_the_number,        each_with_each,    only_the_first,
                   interleaved,  range_of_all,         attention};
    for (size_t i = 0; i < COUNT_OF(nets); i++)
        if (apart(nets[i])) fail_msg("network %zu is said to keep its samples apart", i);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_apart), cmocka_unit_test(test_mixing)};
    return TEST_RUN(tests);
}
