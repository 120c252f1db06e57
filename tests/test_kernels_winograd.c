/* Convolutions by Winograd's minimal filtering against the evaluator, of floats and of codes; and the forms in which
 * their weights are kept. */
#include "tests/kernel_case.h"

#include "tests/codegen_support.h"
#include "tests/op_case.h"
#include "tests/support.h"

#include <string.h>

static const char *const pads[] = {"pads=1,1,1,1", "", "pads=2,0,1,3", "auto_pad=SAME_UPPER"};

/* Shapes for which fewer multiplications pay: whole and ragged tiles of 2x2 pixels, several blocks of tiles, ragged
 * panels and inputs, several images. */
static void test_floats(void **state) {
    (void)state;
    static const int64_t shapes[][4] = {{32, 32, 8, 8},  {32, 64, 9, 14}, {40, 48, 14, 9},  {17, 65, 8, 8},
                                        {64, 33, 13, 5}, {33, 80, 6, 31}, {48, 128, 12, 1}, {128, 40, 10, 11},
                                        {24, 300, 5, 6}, {32, 36, 46, 45}};
    KernelCase *c = kernel_case_new();
    c->kernel = "winograd";
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        const int64_t *s = shapes[i];
        Value *x = kernel_input(c, QCC_F32, DIMS(1, s[0], s[2] + 2, s[3] + 2));
        kernel_node(c, OP_Conv, pads[i % COUNT_OF(pads)], 1, x, kernel_weight(c, QCC_F32, DIMS(s[1], s[0], 3, 3)),
                    kernel_weight(c, QCC_F32, DIMS(s[1])));
    }
    Value *x = kernel_input(c, QCC_F32, DIMS(3, 32, 7, 10));
    kernel_node(c, OP_Conv, "pads=1,1,1,1", 1, x, kernel_weight(c, QCC_F32, DIMS(64, 32, 3, 3)));
    kernel_case_check(c);
}

static const char *const cpus[] = {NULL,
#ifdef __x86_64__
                                   "x86-64-v3", "x86-64-v2"
#endif
};

/* Weights that rounding and signs of zeros show in. */
static const Tensor *rough_weights(Arena *a, Random *r, Shape s) {
    static const double corners[] = {-0.0, 1e-40, -1e-45, 3e38, 1e-20};
    Tensor *w = random_tensor(a, r, (Type){QCC_F32, s}, true);
    for (size_t i = 0; i < COUNT_OF(corners); i++) tensor_set(w, (int64_t)i * 7, corners[i]);
    return w;
}

static const Tensor *run_winograd(Arena *a, const Graph *g, const Tensor *x, const char *cpu, bool prepared) {
    CodegenOptions o = test_options;
    Tensor *out[1];
    o.cpu = cpu;
    o.prepared = prepared;
    CompiledModel m = compile_graph(a, g, &o);
    bool found = false;
    for (uint32_t i = 0; i < m.model->n_steps; i++) found |= strstr(m.model->steps[i].kernel, "winograd") != NULL;
    assert_true(found);
    assert_int_equal(m.model->prep_bytes == 0, prepared);
    CompiledModel again = compile_graph(a, g, &o);
    assert_same_files(a, m.path, again.path);
    run_guarded(a, &m, &x, out, 1);
    return out[0];
}

/* Weights that the library transforms are those that the compiler does, to the bit; and the same graph gives the same
 * file. */
static void test_float_forms(void **state) {
    (void)state;
    static const int64_t channels[][2] = {{32, 64}, {17, 65}, {33, 80}, {24, 300}};
    for (size_t i = 0; i < COUNT_OF(channels) * COUNT_OF(cpus); i++) {
        KernelCase *c = kernel_case_new();
        Arena *a = &c->arena;
        Random r = {i + 1};
        const int64_t *s = channels[i / COUNT_OF(cpus)];
        Value *w = graph_constant(c->graph, "", rough_weights(a, &r, DIMS(s[1], s[0], 3, 3)));
        kernel_node(c, OP_Conv, "pads=1,1,1,1", 1, kernel_input(c, QCC_F32, DIMS(1, s[0], 8, 8)), w);
        const Tensor *x = random_tensor(a, &r, c->feeds.at[0]->type, true), *y[2];
        for (int k = 0; k < 2; k++) y[k] = run_winograd(a, c->graph, x, cpus[i % COUNT_OF(cpus)], k);
        assert_memory_equal(y[0]->data, y[1]->data, (size_t)type_bytes(&y[0]->type));
        Arena rest = c->arena;
        arena_free(&rest);
    }
}

/* ---- codes ------------------------------------------------------------------------------------------------------- */

/* Codes low .. high as code generation sees them: a clipped input. */
static Value *codes(KernelCase *c, Elem elem, Shape s, int64_t low, int64_t high) {
    Tensor *t = tensor_new(&c->arena, (Type){elem, s});
    Random r = {(uint64_t)(shape_count(&s) + high)};
    for (int64_t i = 0; i < shape_count(&s); i++) tensor_set_int(t, i, random_int(&r, low, high));
    return kernel_clipped(c, kernel_feed(c, t), low, high);
}

/* Weights low .. high; where `far` is set nearly all of them high, the others 0. */
static Value *weights(KernelCase *c, Shape s, int64_t low, int64_t high, bool far) {
    Tensor *t = tensor_new(&c->arena, (Type){QCC_I8, s});
    Random r = {(uint64_t)(shape_count(&s) - low)};
    for (int64_t i = 0; i < shape_count(&s); i++)
        tensor_set_int(t, i, !far ? random_int(&r, low, high) : random_int(&r, 0, 7) ? high : 0);
    return graph_constant(c->graph, "", t);
}

static const struct {
    Elem elem;
    int64_t x_low, x_high, w_low, w_high;
} widths[] = {{QCC_U8, 0, 3, -1, 1},  {QCC_U8, 0, 63, -14, 14}, {QCC_I8, -8, 7, -8, 7}, {QCC_I8, -1, 1, -1, 1},
              {QCC_U8, 0, 15, -3, 3}, {QCC_I8, -63, 0, 0, 14},  {QCC_U8, 1, 4, -2, 1},  {QCC_I8, -32, 31, -14, 3}};

/* Whole and ragged tiles, groups and blocks of them, ragged panels, cells and vectors, several images. */
static void test_codes(void **state) {
    (void)state;
    static const int64_t shapes[][4] = {{64, 64, 10, 10}, {96, 64, 9, 14}, {67, 80, 14, 9},   {130, 65, 8, 8},
                                        {64, 100, 13, 8}, {99, 96, 6, 31}, {128, 128, 12, 3}, {160, 72, 40, 41}};
    KernelCase *c = kernel_case_new();
    c->kernel = "winograd2x2_u8";
    for (size_t i = 0; i < COUNT_OF(shapes) * 2; i++) {
        const int64_t *s = shapes[i % COUNT_OF(shapes)];
        size_t k = i * 3 % COUNT_OF(widths);
        Value *x = codes(c, widths[k].elem, DIMS(1 + (s[2] < 9), s[0], s[2], s[3]), widths[k].x_low, widths[k].x_high);
        Value *w = weights(c, DIMS(s[1], s[0], 3, 3), widths[k].w_low, widths[k].w_high, i >= COUNT_OF(shapes));
        kernel_node(c, OP_QConv, pads[i % COUNT_OF(pads)], 1, x, w);
    }
    kernel_case_check(c);
}

/* A step too many on either side, and the direct kernel computes: exactly, too. */
static void test_codes_too_wide(void **state) {
    (void)state;
    static const int64_t wide[][4] = {{0, 64, -1, 1}, {-32, 32, -1, 1}, {0, 3, -14, 15}, {0, 3, 14, -15}};
    KernelCase *c = kernel_case_new();
    c->kernel = "conv3x3_s8";
    for (size_t i = 0; i < COUNT_OF(wide); i++) {
        Value *x = codes(c, QCC_I8, DIMS(1, 64, 10, 10), wide[i][0], wide[i][1]);
        kernel_node(c, OP_QConv, NULL, 1, x, weights(c, DIMS(64, 64, 3, 3), wide[i][2], wide[i][3], i > 1));
    }
    kernel_case_check(c);
}

/* What the library makes of the codes in its file is what the compiler writes out whole. */
static void test_code_forms(void **state) {
    (void)state;
    static const int64_t channels[][2] = {{64, 64}, {67, 65}, {98, 100}, {96, 300}};
    for (size_t i = 0; i < COUNT_OF(widths); i++) {
        KernelCase *c = kernel_case_new();
        Arena *a = &c->arena;
        const int64_t *s = channels[i % COUNT_OF(channels)];
        Value *x = codes(c, widths[i].elem, DIMS(1, s[0], 8, 8), widths[i].x_low, widths[i].x_high);
        Value *w = weights(c, DIMS(s[1], s[0], 3, 3), widths[i].w_low, widths[i].w_high, false);
        kernel_node(c, OP_QConv, "pads=1,1,1,1", 1, x, w);
        const Tensor *y[2];
        for (int f = 0; f < 2; f++) y[f] = run_winograd(a, c->graph, c->feeds.at[0], cpus[i % COUNT_OF(cpus)], f);
        assert_memory_equal(y[0]->data, y[1]->data, (size_t)type_bytes(&y[0]->type));
        Arena rest = c->arena;
        arena_free(&rest);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_floats), cmocka_unit_test(test_float_forms),
                                       cmocka_unit_test(test_codes), cmocka_unit_test(test_codes_too_wide),
                                       cmocka_unit_test(test_code_forms)};
    return TEST_RUN(tests);
}
