/* Bit-planes: the kernels held against the reference, and products of integers that code generation makes bit-serial
 * held against the evaluator, which knows nothing of it. */
#include "tests/kernel_case.h"

#include "tests/op_case.h"
#include "tests/support.h"

/* Random words in the feed of the last input, or in a constant. */
static void fill_words(KernelCase *c, const Tensor *t) {
    uint32_t *words = tensor_data((Tensor *)(uintptr_t)t);
    for (int64_t i = 0; i < shape_count(&t->type.shape); i++) {
        c->seed = c->seed * 1664525u + 1013904223u;
        words[i] = c->seed ^ c->seed >> 15;
    }
}

static Value *word_input(KernelCase *c, Shape s) {
    Value *v = kernel_input(c, QCC_U32, s);
    fill_words(c, c->feeds.at[c->feeds.n - 1]);
    return v;
}

static Value *word_weight(KernelCase *c, Shape s) {
    Value *v = kernel_weight(c, QCC_U32, s);
    fill_words(c, v->constant);
    return v;
}

static void test_packing(void **state) {
    (void)state;
    static const int64_t counts[] = {1, 8, 31, 32, 33, 64, 65, 100, 160};
    KernelCase *c = kernel_case_new();
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        Value *image = kernel_input(c, QCC_U8, DIMS(2, counts[i], 3, 4)),
              *rows = kernel_input(c, QCC_I8, DIMS(5, counts[i]));
        kernel_node(c, OP_QPack, "axis=1 planes=3", 1, image);
        kernel_node(c, OP_QPack, "axis=-1 planes=2 low=-8", 1, rows);
        kernel_node(c, OP_QPack, "axis=1 planes=4 low=-8", 1, rows);
    }
    kernel_case_check(c);
}

static void test_convolutions(void **state) {
    (void)state;
    static const char *const windows[] = {"pads=1,1,1,1", "strides=2,2 pads=1,1,1,1", "strides=2,1 dilations=1,2"};
    static const int64_t channels[] = {1, 15, 16, 33, 64};
    KernelCase *c = kernel_case_new();
    for (size_t i = 0; i < COUNT_OF(channels); i++)
        for (int planes = 0; planes < 4; planes++) {
            int x_planes = 1 + planes % 2, w_planes = 1 + planes / 2;
            Value *x = word_input(c, DIMS(2, 3 * x_planes, 7, 8)),
                  *w = word_weight(c, DIMS(channels[i], 3 * w_planes, 3, 3));
            const char *attrs = arena_printf(&c->arena, "%s x_planes=%d w_planes=%d", windows[i % COUNT_OF(windows)],
                                             x_planes, w_planes);
            kernel_node(c, OP_QXorConv, attrs, 1, x, w);
        }
    kernel_case_check(c);
}

static void test_products(void **state) {
    (void)state;
    static const int64_t rows[] = {1, 2, 13, 17}, columns[] = {1, 16, 20, 65};
    KernelCase *c = kernel_case_new();
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        for (size_t j = 0; j < COUNT_OF(columns); j++) {
            int a = 1 + (int)i % 3, b = 1 + (int)j % 2;
            const char *attrs = arena_printf(&c->arena, "a_planes=%d b_planes=%d", a, b);
            kernel_node(c, OP_QXorMatMul, attrs, 1, word_input(c, DIMS(2, rows[i], 5 * a)),
                        word_weight(c, DIMS(5 * b, columns[j])));
        }
    kernel_case_check(c);
}

/* ---- whole products, made bit-serial --------------------------------------------------------------------------- */

/* Codes low .. high of step 1, or low and high alone, as code generation sees them: a clipped input. */
static Value *codes(KernelCase *c, Elem elem, Shape s, int64_t low, int64_t high, bool two) {
    Value *x = kernel_input(c, elem, s);
    Node *n;
    if (two) {
        Value *in[] = {x, graph_constant(c->graph, "", tensor_from_ints(&c->arena, elem, (Shape){0}, (int64_t[]){0}))};
        Node *is = graph_node(c->graph, NULL, OP_Greater, LOC_NONE, 2, in, 1);
        assert_true(node_infer(&c->diags, is));
        Value *pick[] = {is->out[0], graph_constant(c->graph, "", tensor_from_ints(&c->arena, elem, (Shape){0}, &high)),
                         graph_constant(c->graph, "", tensor_from_ints(&c->arena, elem, (Shape){0}, &low))};
        n = graph_node(c->graph, NULL, OP_Where, LOC_NONE, 3, pick, 1);
    } else {
        Value *in[] = {x, graph_constant(c->graph, "", tensor_from_ints(&c->arena, elem, (Shape){0}, &low)),
                       graph_constant(c->graph, "", tensor_from_ints(&c->arena, elem, (Shape){0}, &high))};
        n = graph_node(c->graph, NULL, OP_Clip, LOC_NONE, 3, in, 1);
    }
    assert_true(node_infer(&c->diags, n));
    return n->out[0];
}

/* Odd weights up to `most`. */
static Value *odd_weight(KernelCase *c, Shape s, int most) {
    Value *v = kernel_weight(c, QCC_I8, s);
    Tensor *t = (Tensor *)(uintptr_t)v->constant;
    for (int64_t i = 0; i < shape_count(&s); i++) {
        c->seed = c->seed * 1664525u + 1013904223u;
        tensor_set_int(t, i, (int64_t)(c->seed >> 16) % (most + 1) * 2 - most);
    }
    return v;
}

static const struct {
    Elem elem;
    int64_t low, high;
    bool two;
    int most;
    const char *kernel;
} schemes[] = {
    {QCC_U8, 0, 1, false, 1, "w1a1"},  {QCC_I8, -1, 1, true, 1, "w1a1"}, {QCC_U8, 0, 3, false, 1, "w1a2"},
    {QCC_I8, -2, 1, false, 1, "w1a2"}, {QCC_U8, 0, 1, false, 3, "w2a1"}, {QCC_I8, -5, 6, true, 3, "w2a1"},
};

static void test_bit_serial(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(schemes); i++) {
        KernelCase *c = kernel_case_new();
        c->kernel = schemes[i].kernel;
        for (int64_t in = 64; in <= 128; in += 32) {
            int64_t odd = in - in / 33; /* a last word that is not full */
            Value *x = codes(c, schemes[i].elem, DIMS(1, odd, 6, 7), schemes[i].low, schemes[i].high, schemes[i].two);
            Value *a = codes(c, schemes[i].elem, DIMS(3, in), schemes[i].low, schemes[i].high, schemes[i].two);
            const char *attrs = schemes[i].low ? "strides=2,1" : "pads=1,0,1,2";
            kernel_node(c, OP_QConv, attrs, 1, x, odd_weight(c, DIMS(37, odd, 3, 3), schemes[i].most));
            kernel_node(c, OP_QMatMul, NULL, 1, a, odd_weight(c, DIMS(in, 21), schemes[i].most));
        }
        kernel_case_check(c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packing),
        cmocka_unit_test(test_convolutions),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_bit_serial),
    };
    return TEST_RUN(tests);
}
