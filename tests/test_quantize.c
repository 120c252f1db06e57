/* Quantization without training, on small networks whose numbers can be followed. */
#include "tests/support.h"

#include <math.h>
#include <string.h>

#include "ir/op.h"
#include "passes/quantize.h"

typedef struct Net {
    Arena *a;
    Diags d;
    Graph *g;
    Value *x;
    uint64_t seed;
} Net;

static Net net_new(Arena *a) {
    Net n = {.a = a, .g = graph_new(a, NULL, "net"), .seed = 3};
    diags_init(&n.d, a);
    n.x = graph_input(n.g, "x", (Type){QCC_F32, shape_of(4, (int64_t[]){1, 4, 6, 6})});
    return n;
}

/* Nearly Gaussian. */
static double noise(Net *n) {
    double sum = -6;
    for (int i = 0; i < 12; i++) {
        n->seed = n->seed * 6364136223846793005u + 1442695040888963407u;
        sum += (double)(n->seed >> 40) / 16777216.0;
    }
    return sum;
}

static Value *numbers(Net *n, const char *name, Shape s, double mean, double sd) {
    Tensor *t = tensor_new(n->a, (Type){QCC_F32, s});
    for (int64_t i = 0; i < shape_count(&s); i++) tensor_set(t, i, mean + sd * noise(n));
    return graph_constant(n->g, name, t);
}

static Node *append(Net *n, OpId op, const char *name, int n_in, Value *const *in, const char *attrs) {
    Loc loc = LOC_NONE;
    loc.node = name;
    Node *node = graph_node(n->g, NULL, op, loc, n_in, in, 1);
    if (attrs) node_set_attrs_text(node, attrs);
    assert_true(node_infer(&n->d, node));
    node->out[0]->name = arena_printf(n->a, "%s_y", name);
    n->x = node->out[0];
    return node;
}
#define APPEND(n, op, name, attrs, ...) \
    append((n), (op), (name), (int)COUNT_OF(((Value *[]){__VA_ARGS__})), (Value *[]){__VA_ARGS__}, (attrs))

static Node *conv(Net *n, const char *name, int64_t from, int64_t to, int64_t size) {
    Shape s = shape_of(4, (int64_t[]){to, from, size, size});
    const char *attrs = size == 3 ? "pads=1,1,1,1" : NULL;
    return APPEND(n, OP_Conv, name, attrs, n->x, numbers(n, arena_printf(n->a, "%s_w", name), s, 0.02, 0.2));
}

static void batchnorm(Net *n, const char *name, int64_t channels) {
    Shape s = shape_of(1, &channels);
    Value *scale = numbers(n, "scale", s, 1, 0.2), *shift = numbers(n, "shift", s, 0.3, 0.4);
    Value *mean = numbers(n, "mean", s, 0, 0.1);
    Tensor *var = tensor_new(n->a, (Type){QCC_F32, s});
    for (int64_t c = 0; c < channels; c++) tensor_set(var, c, 1.5);
    APPEND(n, OP_BatchNormalization, name, NULL, n->x, scale, shift, mean, graph_constant(n->g, "var", var));
}

/* conv, norm, relu, conv, norm, relu, pool, flatten, fully connected: a network as it is imported. */
static Net small_network(Arena *a) {
    Net n = net_new(a);
    conv(&n, "first", 4, 8, 3);
    batchnorm(&n, "norm1", 8);
    APPEND(&n, OP_Relu, "relu1", NULL, n.x);
    conv(&n, "middle", 8, 8, 3);
    batchnorm(&n, "norm2", 8);
    APPEND(&n, OP_Relu, "relu2", NULL, n.x);
    conv(&n, "deep", 8, 6, 1);
    batchnorm(&n, "norm3", 6);
    APPEND(&n, OP_Relu, "relu3", NULL, n.x);
    APPEND(&n, OP_MaxPool, "pool", "kernel_shape=2,2 strides=2,2", n.x);
    APPEND(&n, OP_Flatten, "flat", NULL, n.x);
    Value *w = numbers(&n, "fc_w", shape_of(2, (int64_t[]){54, 10}), 0, 0.2);
    APPEND(&n, OP_Gemm, "fc", NULL, n.x, w);
    graph_output(n.g, "y", n.x);
    return n;
}

static QuantizeOptions options(Net *n, const char *scheme) {
    QuantizeOptions o = {0};
    static const double range[] = {-3, 3};
    assert_true(scheme_parse(&n->d, scheme, &o.scheme));
    assert_true(scheme_parse(&n->d, "lsq:w8a8", &o.edge));
    o.input_range = range;
    return o;
}

static void add_samples(Net *n, QuantizeOptions *o, int64_t count) {
    const Tensor **all = NEW_ARRAY(n->a, const Tensor *, count);
    for (int64_t i = 0; i < count; i++) all[i] = numbers(n, "", n->g->inputs.at[0].value->type.shape, 0, 1)->constant;
    o->samples = all;
    o->n_samples = count;
}

static void quantize(Net *n, const QuantizeOptions *o) {
    bool good = graph_quantize(n->g, &n->d, o);
    if (!good) print_error("%s", test_diags(n->a, &n->d));
    assert_true(good);
}

static const char *operators(const Net *n) {
    Text t = {.arena = n->a};
    for (const Node *k = n->g->first; k; k = k->next) text_add(&t, "%s%s", k->prev ? " " : "", op_def(k->op)->name);
    return t.s;
}

static const Node *node_named(const Net *n, const char *name) {
    for (const Node *k = n->g->first; k; k = k->next)
        if (k->loc.node && strcmp(k->loc.node, name) == 0) return k;
    fail_msg("no node is named %s", name);
    return NULL;
}

/* ---- where quantizers go ---- */

static void places(void **state) {
    (void)state;
    Arena a = {0};
    Net n = small_network(&a);
    QuantizeOptions o = options(&n, "hwgq:w1a2");
    quantize(&n, &o);
    assert_string_equal(operators(&n), "QUniform QUniform Conv BatchNormalization QHwgq QSign Conv BatchNormalization "
                                       "QHwgq QSign Conv BatchNormalization QUniform MaxPool Flatten QUniform Gemm");
    assert_string_equal(node_named(&n, "relu1")->out[0]->name, "relu1_y"); /* the quantizer in its place */
    assert_string_equal(node_string(node_named(&n, "middle_weight_quant"), "scheme"), "hwgq");
    const Shape *step = in_shape(node_named(&n, "middle_weight_quant"), 1);
    assert_int_equal(step->rank, 4);
    assert_int_equal(step->dim[0], 8);
    assert_int_equal(node_named(&n, "fc_weight_quant")->in[1]->type.shape.dim[1], 10); /* along Gemm's columns */
    arena_free(&a);
}

static void rules(void **state) {
    (void)state;
    Arena a = {0};
    Net n = small_network(&a);
    QuantizeOptions o = options(&n, "lsq:w4a4");
    LayerRule list[] = {{.glob = "f*", .keep = true}, {.glob = "deep"}};
    assert_true(scheme_parse(&n.d, "qn:w3a32", &list[1].scheme));
    o.rules = list;
    o.n_rules = 2;
    quantize(&n, &o);
    assert_string_equal(operators(&n), "Conv BatchNormalization QUniform QUniform Conv BatchNormalization Relu QLevels "
                                       "Conv BatchNormalization Relu MaxPool Flatten Gemm");
    arena_free(&a);
}

/* A ReLU that someone else reads stays, and layers that read one value share its quantizer. */
static void shared(void **state) {
    (void)state;
    Arena a = {0};
    Net n = net_new(&a);
    conv(&n, "first", 4, 4, 3);
    batchnorm(&n, "norm", 4);
    APPEND(&n, OP_Relu, "relu", NULL, n.x);
    Value *cut = n.x;
    conv(&n, "left", 4, 4, 3);
    Value *left = n.x;
    n.x = cut;
    conv(&n, "right", 4, 4, 1);
    APPEND(&n, OP_Add, "sum", NULL, left, n.x);
    APPEND(&n, OP_Add, "sum2", NULL, n.x, cut);
    conv(&n, "last", 4, 2, 1);
    graph_output(n.g, "y", n.x);
    QuantizeOptions o = options(&n, "lsq:w4a4");
    quantize(&n, &o);
    assert_string_equal(operators(&n), "QUniform QUniform Conv BatchNormalization Relu QUniform QUniform Conv QUniform "
                                       "Conv Add Add QUniform QUniform Conv");
    assert_ptr_equal(node_named(&n, "left")->in[0], node_named(&n, "right")->in[0]);
    arena_free(&a);
}

/* Products carry what is known of their input on: the last layer's range is that of samples. */
static void known_behind_products(void **state) {
    (void)state;
    float step[2];
    for (int sampled = 0; sampled < 2; sampled++) {
        Arena a = {0};
        Net n = net_new(&a);
        APPEND(&n, OP_Flatten, "flat", NULL, n.x);
        Value *w = numbers(&n, "w", shape_of(2, (int64_t[]){200, 144}), 0.01, 0.1);
        APPEND(&n, OP_Gemm, "fc", "transB=1 alpha=2 beta=0.5", n.x, w,
               numbers(&n, "b", shape_of(1, (int64_t[]){200}), 4, 1));
        APPEND(&n, OP_Relu, "relu", NULL, n.x);
        APPEND(&n, OP_MatMul, "last", NULL, n.x, numbers(&n, "w2", shape_of(2, (int64_t[]){200, 10}), 0, 0.2));
        graph_output(n.g, "y", n.x);
        QuantizeOptions o = options(&n, "lsq:w8a8");
        static const double range[] = {-1.7320508, 1.7320508}; /* of the samples' deviation */
        o.input_range = range;
        if (sampled) add_samples(&n, &o, 50);
        quantize(&n, &o);
        step[sampled] = (float)tensor_get(in_const(node_named(&n, "relu"), 1), 0);
        arena_free(&a);
    }
    assert_true(fabsf(step[0] / step[1] - 1) < 0.2F);
}

static Node *conv_on_bytes(Net *n, const char *name, int64_t channels, bool of_codes) {
    Tensor *w = tensor_new(n->a, (Type){QCC_I8, shape_of(4, (int64_t[]){channels, channels, 1, 1})});
    for (int64_t i = 0; i < channels * channels; i++) tensor_set_int(w, i, i * 37 % 255 - 127);
    Value *x = n->x, *codes = graph_constant(n->g, "bytes", w), *step = graph_const_f32(n->g, 0.015625f);
    if (of_codes) {
        APPEND(n, OP_QuantizeLinear, "q", NULL, x, step);
        x = APPEND(n, OP_DequantizeLinear, "dq", NULL, n->x, step)->out[0];
    }
    APPEND(n, OP_DequantizeLinear, "weights", NULL, codes, step);
    return APPEND(n, OP_Conv, name, NULL, x, n->x);
}

/* Weights that were stored as bytes only to be smaller are quantized like others; a layer that is quantized is not. */
static void weights_stored_as_integers(void **state) {
    (void)state;
    for (int of_codes = 0; of_codes < 2; of_codes++) {
        Arena a = {0};
        Net n = net_new(&a);
        conv(&n, "first", 4, 4, 3);
        conv_on_bytes(&n, "middle", 4, of_codes);
        conv(&n, "last", 4, 4, 1);
        graph_output(n.g, "y", n.x);
        QuantizeOptions o = options(&n, "lsq:w4a4");
        add_samples(&n, &o, 4);
        quantize(&n, &o);
        assert_string_equal(operators(&n),
                            of_codes ? "QUniform QUniform Conv QuantizeLinear DequantizeLinear DequantizeLinear Conv "
                                       "QUniform QUniform Conv"
                                     : "QUniform QUniform Conv QUniform QUniform Conv QUniform QUniform Conv");
        arena_free(&a);
    }
}

/* A clip goes where the quantizer ends where it does, and stays where the codes reach beyond it. */
static void clips(void **state) {
    (void)state;
    for (int beyond = 0; beyond < 2; beyond++) {
        Arena a = {0};
        Net n = net_new(&a);
        conv(&n, "first", 4, 4, 3);
        APPEND(&n, OP_Clip, "clip", NULL, n.x, graph_const_f32(n.g, beyond ? -0.25f : 0), graph_const_f32(n.g, 0.5f));
        conv(&n, "last", 4, 4, 1);
        graph_output(n.g, "y", n.x);
        QuantizeOptions o = options(&n, "lsq:w8a8");
        o.range.rule = RANGE_MINMAX;
        add_samples(&n, &o, 4);
        quantize(&n, &o);
        assert_int_equal(strstr(operators(&n), "Clip") != NULL, beyond);
        arena_free(&a);
    }
}

/* ---- what is corrected ---- */

static double mean_of(const Graph *g, Net *n, const QuantizeOptions *o) {
    double sum = 0;
    int64_t count = 0;
    for (int64_t s = 0; s < o->n_samples; s++) {
        Tensor *y;
        assert_true(graph_eval(n->a, &n->d, g, &o->samples[s], &y, NULL, NULL));
        count = shape_count(&y->type.shape);
        for (int64_t i = 0; i < count; i++) sum += tensor_get(y, i);
    }
    return sum / (double)(count * o->n_samples);
}

/* With correction the mean output is that of the float network, without it is not. */
static void means_return(void **state) {
    (void)state;
    double off[2];
    for (int keep = 0; keep < 2; keep++) {
        Arena a = {0};
        Net n = small_network(&a);
        QuantizeOptions o = options(&n, "aqe:w2a2");
        add_samples(&n, &o, 24);
        const Graph *was = graph_clone(&a, n.g);
        o.keep_means = keep;
        quantize(&n, &o);
        off[keep] = fabs(mean_of(n.g, &n, &o) - mean_of(was, &n, &o));
        arena_free(&a);
    }
    assert_true(off[0] < 1e-5);
    assert_true(off[1] > 100 * off[0]);
}

static double error_of(const char *scheme, bool data) {
    Arena a = {0};
    Net n = small_network(&a);
    QuantizeOptions o = options(&n, scheme), all;
    add_samples(&n, &o, 16);
    all = o;
    const Graph *was = graph_clone(&a, n.g);
    if (!data) o.n_samples = 0;
    quantize(&n, &o);
    double error = 0, size = 0;
    for (int64_t s = 0; s < all.n_samples; s++) {
        Tensor *y, *z;
        assert_true(graph_eval(&a, &n.d, was, &all.samples[s], &y, NULL, NULL));
        assert_true(graph_eval(&a, &n.d, n.g, &all.samples[s], &z, NULL, NULL));
        for (int64_t i = 0; i < shape_count(&y->type.shape); i++) {
            double v = tensor_get(y, i), e = v - tensor_get(z, i);
            error += e * e;
            size += v * v;
        }
    }
    arena_free(&a);
    return sqrt(error / size);
}

/* More bits come closer, with samples and without. */
static void bits_help(void **state) {
    (void)state;
    static const char *const schemes[] = {"lsq:w2a2", "lsq:w4a4", "lsq:w8a8"};
    for (int data = 0; data < 2; data++) {
        double last = 1e9;
        for (size_t i = 0; i < COUNT_OF(schemes); i++) {
            double error = error_of(schemes[i], data);
            assert_true(error < 0.6 * last);
            last = error;
        }
        assert_true(last < 0.05);
    }
    assert_true(error_of("pact:w4a4", true) < 0.3);
    assert_true(error_of("qn:w4a4", true) < 0.3);
    assert_true(error_of("hwgq:w4a4", false) < 0.5);
}

/* ---- what is refused ---- */

static void refusals(void **state) {
    (void)state;
    Arena a = {0};
    Net n = small_network(&a);
    QuantizeOptions o = options(&n, "lsq:w4a4");
    diags_init(&n.d, &a);
    LayerRule rule = {.glob = "nowhere*", .keep = true};
    o.rules = &rule;
    o.n_rules = 1;
    assert_false(graph_quantize(n.g, &n.d, &o));
    assert_non_null(strstr(test_diags(&a, &n.d), "no layer is named 'nowhere*'"));
    n = small_network(&a);
    o = options(&n, "lsq:w4a4");
    o.input_range = NULL;
    diags_init(&n.d, &a);
    assert_false(graph_quantize(n.g, &n.d, &o));
    assert_non_null(strstr(test_diags(&a, &n.d), "node 'first'"));
    assert_non_null(strstr(test_diags(&a, &n.d), "--input-range"));
    arena_free(&a);
}

/* No quantizer has a code for them. */
static void test_weights_that_are_no_numbers(void **state) {
    (void)state;
    static const double odd[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < COUNT_OF(odd); i++) {
        Arena a = {0};
        Net n = small_network(&a);
        Tensor *w = (Tensor *)(uintptr_t)in_const(n.g->first, 1);
        tensor_set(w, 5, odd[i]);
        diags_init(&n.d, &a);
        QuantizeOptions o = options(&n, "hwgq:w1a2");
        assert_false(graph_quantize(n.g, &n.d, &o));
        assert_int_equal(n.d.first->id, D_OPERAND_VALUE);
        assert_string_equal(n.d.first->loc.node, "first");
        assert_non_null(strstr(n.d.first->text, "weight 5 of 'first_w'"));
        arena_free(&a);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights_that_are_no_numbers),
        cmocka_unit_test(places),
        cmocka_unit_test(rules),
        cmocka_unit_test(shared),
        cmocka_unit_test(known_behind_products),
        cmocka_unit_test(weights_stored_as_integers),
        cmocka_unit_test(clips),
        cmocka_unit_test(means_return),
        cmocka_unit_test(bits_help),
        cmocka_unit_test(refusals),
    };
    return TEST_RUN(tests);
}
