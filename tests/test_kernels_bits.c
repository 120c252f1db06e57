/* Bit-planes: the kernels held against the reference, and products of integers that code generation makes bit-serial
 * held against the evaluator, which knows nothing of it. */
#include "tests/kernel_case.h"

#include "tests/codegen_support.h"
#include "tests/op_case.h"
#include "tests/support.h"

#include "ir/expr.h"

#include <string.h>

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
    static const int64_t lengths[] = {1, 8, 31, 32, 33, 64, 65, 100, 160};
    KernelCase *c = kernel_case_new();
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        Value *image = kernel_input(c, QCC_U8, DIMS(2, lengths[i], 3, 4)),
              *rows = kernel_input(c, QCC_I8, DIMS(5, lengths[i]));
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
    Value *x = kernel_input(c, elem, s), *pick[3];
    const int64_t values[] = {0, high, low};
    if (!two) return kernel_clipped(c, x, low, high);
    for (int i = 0; i < 3; i++)
        pick[i] = graph_constant(c->graph, "", tensor_from_ints(&c->arena, elem, (Shape){0}, &values[i]));
    return kernel_inner(c, OP_Where, NULL, kernel_inner(c, OP_Greater, NULL, x, pick[0]), pick[1], pick[2]);
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
    {QCC_U8, 0, 1, false, 1, "w1a1"}, {QCC_I8, -1, 1, true, 1, "w1a1"}, {QCC_U8, 0, 3, false, 1, NULL},
    {QCC_I8, -2, 1, false, 1, NULL},  {QCC_U8, 0, 1, false, 3, NULL},   {QCC_I8, -5, 6, true, 3, NULL},
}; /* kernel: on every CPU; two pairs of planes pay where a vector's bits are counted in one instruction */

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

/* ---- codes written as bit-planes by the kernel that computes them -------------------------------------------------
 */

/* low + step * the number of `levels` comparisons that hold of a result of v's node with thresholds (per channel, along
 * dimension `dim`), as the node's epilogue. rising: result at or above thresholds, each at least the one before it;
 * falling: at or below them, each at most the one before it; else at or above any. */
typedef struct Ladder {
    Elem elem;
    int levels, low, step, planes;
    enum { ANY, RISING, FALLING } order;
} Ladder;

static const Ladder ladders[] = {
    {QCC_U8, 1, 0, 1, 1, ANY},     {QCC_I8, 1, -1, 2, 1, ANY},    {QCC_U8, 3, 0, 1, 2, ANY},
    {QCC_I8, 2, -1, 1, 2, ANY},    {QCC_I8, 7, -4, 1, 3, RISING}, {QCC_U8, 3, 0, 1, 2, FALLING},
    {QCC_I8, 7, -4, 1, 3, ANY},    {QCC_I8, 2, -1, 1, 2, RISING}, {QCC_U8, 3, 0, 1, 2, RISING},
    {QCC_U8, 6, 0, 1, 3, FALLING}, {QCC_U8, 9, 0, 1, 4, ANY},
};

/* Thresholds of v's type, in order behind those before. */
static Value *thresholds(KernelCase *c, Elem elem, Shape s, const Ladder *l, const Value *before) {
    Value *v = kernel_weight(c, elem, s);
    Tensor *t = (Tensor *)(uintptr_t)v->constant;
    for (int64_t m = 0; before && l->order != ANY && m < shape_count(&s); m++) {
        double last = tensor_get(before->constant, m), own = tensor_get(t, m);
        if (l->order == RISING ? own < last : own > last) tensor_set(t, m, last);
    }
    return v;
}

static Value *laddered(KernelCase *c, Value *v, int dim, const Ladder *l) {
    Node *n = v->def;
    Value *last = NULL;
    ExprBuilder b = {.arena = &c->arena};
    Shape s = {.rank = v->type.shape.rank - dim, .dim = {v->type.shape.dim[dim], 1, 1, 1}};
    X sum = x_const_int(&b, l->elem, 0), in = x_in(&b, 0, v->type.elem);
    n->epilogue_in = n->n_in;
    for (int i = 0; i < l->levels; i++) {
        last = thresholds(c, v->type.elem, s, l, last);
        node_add_in(n, last);
        X t = x_in(&b, i + 1, v->type.elem), holds = l->order == FALLING ? x_2(&b, X_LE, in, t) : x_2(&b, X_LE, t, in);
        sum = x_2(&b, X_ADD, sum, x_cast(&b, l->elem, holds));
    }
    if (l->step != 1) sum = x_2(&b, X_MUL, sum, x_const_int(&b, l->elem, l->step));
    n->expr = x_finish(&b, x_2(&b, X_ADD, sum, x_const_int(&b, l->elem, l->low)), l->levels + 1);
    v->type.elem = l->elem;
    return v;
}

static Value *planes_of(KernelCase *c, Value *v, int axis, const Ladder *l) {
    const char *attrs = arena_printf(&c->arena, "axis=%d planes=%d low=%d step=%d", axis, l->planes, l->low, l->step);
    return kernel_inner(c, OP_QPack, attrs, v);
}

/* A convolution with a halo of the codes of v, which reads every bit of their words. */
static void read_image(KernelCase *c, Value *v, const Ladder *l) {
    Value *words = planes_of(c, v, 1, l);
    const char *attrs = arena_printf(&c->arena, "pads=1,0,1,2 x_planes=%d", l->planes);
    kernel_node(c, OP_QXorConv, attrs, 1, words, word_weight(c, DIMS(3, words->type.shape.dim[1] / l->planes, 2, 3)));
}

static void read_rows(KernelCase *c, Value *v, const Ladder *l) {
    Value *words = planes_of(c, v, -1, l);
    int64_t n = words->type.shape.dim[words->type.shape.rank - 1] / l->planes;
    kernel_node(c, OP_QXorMatMul, arena_printf(&c->arena, "a_planes=%d", l->planes), 1, words,
                word_weight(c, DIMS(n, 3)));
}

static void test_bits_of_products(void **state) {
    (void)state;
    KernelCase *c = kernel_case_new();
    for (int64_t n = 1; n <= 130; n++) {
        const Ladder *l = &ladders[n % (int64_t)COUNT_OF(ladders)];
        int64_t rows = n % 5 == 3 ? 13 : 1 + n % 2;
        Value *v;
        if (n % 3 == 0)
            v = kernel_inner(c, OP_QXorMatMul, NULL, word_input(c, DIMS(rows, 1)), word_weight(c, DIMS(1, n)));
        else if (n % 3 == 1)
            v = kernel_inner(c, OP_QMatMul, NULL, kernel_input(c, QCC_U8, DIMS(2, rows, 6)),
                             kernel_weight(c, QCC_I8, DIMS(6, n)));
        else
            v = kernel_inner(c, OP_MatMul, NULL, kernel_input(c, QCC_F32, DIMS(rows, 3)),
                             kernel_weight(c, QCC_F32, DIMS(3, n)));
        read_rows(c, laddered(c, v, v->type.shape.rank - 1, l), l);
    }
    kernel_case_check(c);
}

/* Around each number of lanes and each word's end, in one or several panels. */
static const int64_t counts[] = {1,  5,  7,  8,  9,  12, 15, 16, 17, 23, 24,  25,  31,  32,  33,  39,
                                 40, 47, 48, 49, 56, 63, 64, 65, 80, 96, 100, 112, 127, 128, 129, 130};

static void test_bits_of_convolutions(void **state) {
    (void)state;
    KernelCase *c = kernel_case_new();
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        const Ladder *l = &ladders[i % COUNT_OF(ladders)];
        Value *v;
        if (i % 3 == 0)
            v = kernel_inner(c, OP_QXorConv, "pads=1,1,1,1", word_input(c, DIMS(2, 2, 5, 6)),
                             word_weight(c, DIMS(counts[i], 2, 3, 3)));
        else if (i % 3 == 1)
            v = kernel_inner(c, OP_QConv, "strides=1,2", kernel_input(c, QCC_I8, DIMS(1, 5, 6, 17)),
                             kernel_weight(c, QCC_I8, DIMS(counts[i], 5, 2, 3)));
        else
            v = kernel_inner(c, OP_Conv, NULL, kernel_input(c, QCC_F32, DIMS(1, 3, 4, 5)),
                             kernel_weight(c, QCC_F32, DIMS(counts[i], 3, 1, 2)));
        read_image(c, laddered(c, v, 1, l), l);
    }
    kernel_case_check(c);
}

static void test_bits_of_groups(void **state) {
    (void)state;
    KernelCase *c = kernel_case_new();
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        const Ladder *l = &ladders[i % COUNT_OF(ladders)];
        int64_t groups = i % 2 ? 2 : counts[i], n = counts[i] * (i % 2 ? 2 : 1);
        Value *v = kernel_inner(c, OP_QConv, arena_printf(&c->arena, "pads=1,1,1,1 group=%d", (int)groups),
                                kernel_input(c, QCC_U8, DIMS(1, 3 * groups, 3, 4)),
                                kernel_weight(c, QCC_I8, DIMS(n, 3, 3, 3)));
        read_image(c, laddered(c, v, 1, l), l);
        Value *one = kernel_inner(c, OP_QConv, arena_printf(&c->arena, "group=%d", (int)counts[i]),
                                  kernel_input(c, QCC_U8, DIMS(2, counts[i], 3, 4)),
                                  kernel_weight(c, QCC_I8, DIMS(counts[i], 1, 2, 2)));
        read_image(c, laddered(c, one, 1, l), l);
    }
    kernel_case_check(c);
}

static void test_bits_of_pools(void **state) {
    (void)state;
    static const Ladder octal = {QCC_U8, 7, 0, 1, 3, ANY}, deep = {QCC_I8, 15, -8, 1, 5, ANY};
    KernelCase *c = kernel_case_new();
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        const Ladder *l = i % 2 ? &deep : &octal;
        Value *x = kernel_input(c, l->elem, DIMS(1, counts[i], 6, 7));
        read_image(c, kernel_inner(c, OP_MaxPool, "kernel_shape=2,3 strides=2,1 pads=1,0,0,1", x), l);
        Value *mean =
            kernel_inner(c, OP_AveragePool, "kernel_shape=2,2", kernel_input(c, QCC_F32, DIMS(1, counts[i], 3, 3)));
        read_image(c, laddered(c, mean, 1, &ladders[0]), &ladders[0]);
    }
    kernel_case_check(c);
}

/* Of at most 3 where it is an integer, and known to be, as convolution by Winograd wants it. */
static Value *narrow_input(KernelCase *c, Elem elem, Shape s) {
    return elem_is_float(elem) ? kernel_input(c, elem, s) : codes(c, elem, s, 0, 3, false);
}

/* Larger images, where steps are shared out and tiles are ragged, and Winograd pays. */
static void test_bits_of_tasks(void **state) {
    (void)state;
    static const int64_t channels[] = {64, 48, 40, 72, 130};
    KernelCase *c = kernel_case_new();
    for (size_t i = 0; i < COUNT_OF(channels); i++) {
        const Ladder *l = &ladders[i % COUNT_OF(ladders)];
        Value *v = kernel_inner(c, OP_QXorConv, "pads=1,1,1,1", word_input(c, DIMS(1, 4, 27, 29)),
                                word_weight(c, DIMS(channels[i], 4, 3, 3)));
        read_image(c, laddered(c, v, 1, l), l);
        Elem elem = i % 2 ? QCC_U8 : QCC_F32;
        Value *w =
            kernel_inner(c, i % 2 ? OP_QConv : OP_Conv, "pads=1,1,1,1", narrow_input(c, elem, DIMS(1, 64, 15, 14)),
                         kernel_weight(c, i % 2 ? QCC_I8 : QCC_F32, DIMS(channels[i], 64, 3, 3)));
        read_image(c, laddered(c, w, 1, l), l);
    }
    kernel_case_check(c);
}

static int steps_named(KernelCase *c, const char *cpu, const char *part) {
    CodegenOptions o = test_options;
    o.cpu = cpu;
    CompiledModel m = compile_graph(&c->arena, c->graph, &o);
    int n = 0;
    for (uint32_t i = 0; i < m.model->n_steps; i++) n += strstr(m.model->steps[i].kernel, part) != NULL;
    return n;
}

/* Of codes that Winograd's tiles give. */
static void test_bits_of_tiles(void **state) {
    (void)state;
    static const int64_t channels[] = {33, 64, 65, 80, 100};
    KernelCase *c = kernel_case_new();
    for (size_t i = 0; i < COUNT_OF(channels); i++) {
        const Ladder *l = &ladders[i % COUNT_OF(ladders)];
        Value *w = kernel_weight(c, QCC_F32, DIMS(channels[i], 33, 3, 3));
        Value *v = kernel_inner(c, OP_Conv, "pads=1,1,1,1", kernel_input(c, QCC_F32, DIMS(1, 33, 9, 11)), w);
        read_image(c, laddered(c, v, 1, l), l);
    }
    assert_int_equal(steps_named(c, NULL, "winograd2x2_f32"), COUNT_OF(channels));
    kernel_case_check(c);
}

static KernelCase *chain_of(bool output, bool again) {
    KernelCase *c = kernel_case_new();
    Value *v = kernel_inner(c, OP_QConv, NULL, kernel_input(c, QCC_U8, DIMS(1, 8, 5, 5)),
                            kernel_weight(c, QCC_I8, DIMS(40, 8, 3, 3)));
    read_image(c, laddered(c, v, 1, &ladders[2]), &ladders[2]);
    if (output) graph_output(c->graph, "codes", v);
    if (again) kernel_node(c, OP_MaxPool, "kernel_shape=2,2", 1, v);
    return c;
}

/* Who stores what: bits where only a product of bits reads them and vectors are wide enough. */
static void test_who_packs(void **state) {
    (void)state;
#ifdef __x86_64__
    static const struct {
        bool output, again;
        const char *cpu;
        int bits, packs;
    } cases[] = {{false, false, "x86-64-v3", 1, 0},
                 {false, false, "x86-64-v4", 1, 0},
                 {false, false, "x86-64-v2", 0, 1},
                 {true, false, "x86-64-v3", 0, 1},
                 {false, true, "x86-64-v3", 0, 1}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        KernelCase *c = chain_of(cases[i].output, cases[i].again);
        assert_int_equal(steps_named(c, cases[i].cpu, "_bits__"), cases[i].bits);
        assert_int_equal(steps_named(c, cases[i].cpu, "pack_"), cases[i].packs);
        kernel_case_check(c);
    }
#endif
}

/* Two pairs of planes pay where a vector's bits are counted in one instruction, one pair nearly everywhere. */
static void test_who_counts(void **state) {
    (void)state;
#ifdef __x86_64__
    static const struct {
        const char *cpu;
        int64_t high;
        const char *kernel;
    } cases[] = {{"icelake-server", 1, "_w1a1_"}, {"znver4", 3, "_w1a2_"},    {"cascadelake", 3, "_u8_"},
                 {"x86-64-v4", 3, "_u8pair_"},    {"x86-64-v3", 1, "_w1a1_"}, {"x86-64-v3", 3, "_u8pair_"},
                 {"alderlake", 3, "_u8_"},        {"x86-64", 1, "_w1a1_"}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        KernelCase *c = kernel_case_new();
        Value *a = codes(c, QCC_U8, DIMS(3, 64), 0, cases[i].high, false);
        kernel_node(c, OP_QMatMul, NULL, 1, a, odd_weight(c, DIMS(64, 32), 1));
        assert_int_equal(steps_named(c, cases[i].cpu, cases[i].kernel), 1);
        Arena rest = c->arena;
        arena_free(&rest);
    }
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packing),          cmocka_unit_test(test_convolutions),
        cmocka_unit_test(test_products),         cmocka_unit_test(test_bit_serial),
        cmocka_unit_test(test_bits_of_products), cmocka_unit_test(test_bits_of_convolutions),
        cmocka_unit_test(test_bits_of_groups),   cmocka_unit_test(test_bits_of_pools),
        cmocka_unit_test(test_bits_of_tasks),    cmocka_unit_test(test_bits_of_tiles),
        cmocka_unit_test(test_who_packs),        cmocka_unit_test(test_who_counts),
    };
    return TEST_RUN(tests);
}
