/* Integer products of constant weights on the register tile, held against the evaluator: reductions that end inside a
 * cell, tile edges, groups, windows with padding, and the extremes of every type, whose products are the largest there
 * are. */
#include "tests/kernel_case.h"

#include "tests/codegen_support.h"
#include "tests/op_case.h"
#include "tests/support.h"

#include <string.h>

static const Elem lefts[] = {QCC_U8, QCC_I8, QCC_I16};

static int64_t least(Elem e) { return elem_info[e].kind == ELEM_I ? -((int64_t)1 << (elem_info[e].bits - 1)) : 0; }
static int64_t most(Elem e) { return least(e) + ((int64_t)1 << elem_info[e].bits) - 1; }

/* Fills with the type's extremes: all the least, all the most, or both in turn. */
static void fill_extremes(Tensor *t, int how) {
    Elem e = t->type.elem;
    for (int64_t i = 0; i < shape_count(&t->type.shape); i++)
        tensor_set_int(t, i, how == 0 || (how == 2 && i % 2) ? least(e) : most(e));
}

static void test_reductions(void **state) {
    (void)state;
    static const int64_t terms[] = {1, 2, 3, 4, 5, 7, 8, 16, 31, 64, 131};
    for (size_t e = 0; e < COUNT_OF(lefts); e++) {
        KernelCase *c = kernel_case_new();
        for (size_t k = 0; k < COUNT_OF(terms); k++) {
            Value *a = kernel_input(c, lefts[e], DIMS(15, terms[k]));
            kernel_node(c, OP_QMatMul, NULL, 1, a, kernel_weight(c, QCC_I8, DIMS(terms[k], 33)));
        }
        c->kernel = e == 0 ? "_u8" : e == 1 ? "_s8" : "_s16";
        kernel_case_check(c);
    }
}

static void test_extremes(void **state) {
    (void)state;
    for (size_t e = 0; e < COUNT_OF(lefts); e++) {
        KernelCase *c = kernel_case_new();
        Elem weight = lefts[e] == QCC_I16 ? QCC_I16 : QCC_I8;
        for (int i = 0; i < 9; i++) {
            Shape s = DIMS(lefts[e] == QCC_I16 ? 2 : 1023, 20);
            Value *a = kernel_input(c, lefts[e], DIMS(9, s.dim[0]));
            Tensor *w = tensor_new(&c->arena, (Type){weight, s});
            fill_extremes((Tensor *)(uintptr_t)c->feeds.at[i], i / 3);
            fill_extremes(w, i % 3);
            kernel_node(c, OP_QMatMul, NULL, 1, a, graph_constant(c->graph, "", w));
        }
        kernel_case_check(c);
    }
}

#ifdef __x86_64__
static const char *kernel_of(const CompiledModel *m, const char *part) {
    for (uint32_t i = 0; i < m->model->n_steps; i++)
        if (strstr(m->model->steps[i].kernel, part)) return m->model->steps[i].kernel;
    return "none";
}

/* Codes within bounds: where two products always fit 16 bits there is a shorter way than over even and odd bytes. At
 * the bound, and one beyond it, with operands that are all at the bound. */
static void test_pairs(void **state) {
    (void)state;
    static const struct {
        Elem elem;
        int64_t lo, hi, weight;
        const char *kernel;
    } cases[] = {
        {QCC_U8, 0, 127, -128, "_u8pair_"},  {QCC_U8, 0, 128, -128, "_u8_"},      {QCC_U8, 0, 255, 64, "_u8pair_"},
        {QCC_U8, 0, 255, 65, "_u8_"},        {QCC_U8, 0, 130, 127, "_u8_"},       {QCC_U8, 0, 128, 127, "_u8pair_"},
        {QCC_I8, -128, -1, 127, "_s8pair_"}, {QCC_I8, -128, 0, 127, "_s8pair_"},  {QCC_I8, -8, 7, 121, "_s8pair_"},
        {QCC_I8, -8, 7, 122, "_s8_"},        {QCC_I8, -128, 127, 64, "_s8pair_"},
    };
    static const char *const cpus[] = {"x86-64-v2", "x86-64-v3", "x86-64-v4"};
    for (size_t i = 0; i < COUNT_OF(cases) * COUNT_OF(cpus); i++) {
        size_t k = i / COUNT_OF(cpus);
        KernelCase *c = kernel_case_new();
        Tensor *x = tensor_new(&c->arena, (Type){cases[k].elem, DIMS(9, 1023)});
        Tensor *w = tensor_new(&c->arena, (Type){QCC_I8, DIMS(1023, 20)});
        for (int64_t j = 0; j < shape_count(&x->type.shape); j++)
            tensor_set_int(x, j, j % 1023 > 1000 ? cases[k].lo : cases[k].hi);
        for (int64_t j = 0; j < shape_count(&w->type.shape); j++)
            tensor_set_int(w, j, j % 20 == 7 ? j % 3 - 1 : cases[k].weight);
        Value *codes = kernel_clipped(c, kernel_feed(c, x), cases[k].lo, cases[k].hi);
        kernel_node(c, OP_QMatMul, NULL, 1, codes, graph_constant(c->graph, "", w));
        CodegenOptions o = test_options;
        o.cpu = cpus[i % COUNT_OF(cpus)];
        CompiledModel m = check_graph(&c->arena, c->graph, c->feeds.at, &o, 0);
        if (!strstr(kernel_of(&m, "gemm"), cases[k].kernel)) fail_msg("case %zu: %s", k, kernel_of(&m, "gemm"));
        Arena rest = c->arena;
        arena_free(&rest);
    }
}
#endif

static void test_windows(void **state) {
    (void)state;
    static const char *const windows[] = {"pads=1,1,1,1", "strides=2,2 pads=1,1,1,1", "strides=2,1 dilations=1,2",
                                          "pads=2,0,0,2"};
    static const int64_t channels[] = {1, 3, 4, 6, 16, 33};
    for (size_t e = 0; e < COUNT_OF(lefts); e++) {
        KernelCase *c = kernel_case_new();
        for (size_t i = 0; i < COUNT_OF(channels); i++)
            for (size_t w = i % 2; w < COUNT_OF(windows); w += 2) {
                Value *x = kernel_input(c, lefts[e], DIMS(2, channels[i], 9, 8));
                kernel_node(c, OP_QConv, windows[w], 1, x,
                            kernel_weight(c, QCC_I8, DIMS(channels[COUNT_OF(channels) - 1 - i], channels[i], 3, 3)));
            }
        kernel_case_check(c);
    }
}

static void test_shapes(void **state) {
    (void)state;
    for (size_t e = 0; e < COUNT_OF(lefts); e++) {
        KernelCase *c = kernel_case_new();
        Value *line = kernel_input(c, lefts[e], DIMS(1, 10, 41)), *box = kernel_input(c, lefts[e], DIMS(1, 5, 4, 6, 7));
        Value *image = kernel_input(c, lefts[e], DIMS(1, 12, 9, 9));
        kernel_node(c, OP_QConv, "pads=2,2", 1, line, kernel_weight(c, QCC_I8, DIMS(18, 10, 5)));
        kernel_node(c, OP_QConv, "pads=1,1,1,1,1,1", 1, box, kernel_weight(c, QCC_I8, DIMS(7, 5, 3, 3, 3)));
        kernel_node(c, OP_QConv, "group=2 pads=1,1,1,1", 1, image, kernel_weight(c, QCC_I8, DIMS(34, 6, 3, 3)));
        kernel_node(c, OP_QConv, "group=4", 1, image, kernel_weight(c, QCC_I8, DIMS(8, 3, 1, 1)));
        kernel_node(c, OP_QConv, NULL, 1, image, kernel_weight(c, QCC_I8, DIMS(65, 12, 1, 1)));
        kernel_node(c, OP_QConv, "pads=1,1,1,1 group=12", 1, image, kernel_weight(c, QCC_I8, DIMS(12, 1, 3, 3)));
        kernel_node(c, OP_QConv, "pads=2,2,2,2 strides=2,2 group=12", 1, image,
                    kernel_weight(c, QCC_I8, DIMS(24, 1, 5, 5)));
        kernel_case_check(c);
    }
}

/* ---- weights in few bits --------------------------------------------------------------------------------------- */

/* 61 channels of `n` values, 0 among them, in an order of no regularity. */
static Value *few_values(KernelCase *c, Elem elem, int64_t terms, int64_t n) {
    Random r = {(uint64_t)(n + terms)};
    Tensor *w = tensor_new(&c->arena, (Type){elem, DIMS(terms, 61)});
    for (int64_t i = 0; i < shape_count(&w->type.shape); i++)
        tensor_set_int(w, i, (elem == QCC_I16 ? 3 : 1) * (random_int(&r, 0, n - 1) - n / 2));
    return graph_constant(c->graph, "", w);
}

/* What the file saves: a panel of whole cells by 64 channels is a table and groups of eight codes there. */
static int64_t saving(Elem elem, int64_t terms, int64_t n) {
    int64_t width = elem_bytes(elem), units = round_up(terms, 4 / width) * 64, bits = 1;
    while (1 << bits < n) bits++;
    int64_t saved = round_up(units * width, QCC_ALIGN) - round_up(n * width + ceil_div(units, 8) * bits, QCC_ALIGN);
    return n > 128 || saved < 256 ? 0 : saved;
}

/* The results are those of the evaluator in either form, and each is the same file whenever it is made. */
static int64_t check_form(KernelCase *c, const char *cpu, bool prepared) {
    CodegenOptions o = test_options;
    o.cpu = cpu;
    o.prepared = prepared;
    CompiledModel m = check_graph(&c->arena, c->graph, c->feeds.at, &o, 0);
    assert_same_files(&c->arena, m.path, compile_graph(&c->arena, c->graph, &o).path);
    if (prepared) assert_int_equal(m.model->prep_bytes, 0);
    return (int64_t)m.model->weight_bytes;
}

/* Weights of few values are kept in as many bits and written out by NAME_prepare. */
static void test_few_values(void **state) {
    (void)state;
    static const int64_t values[] = {2, 3, 4, 5, 7, 8, 9, 16, 17, 31, 32, 33, 64, 65, 127, 128, 129, 255};
    static const int64_t terms[] = {131, 134, 61, 5, 77};
    static const char *const cpus[] = {NULL,
#ifdef __x86_64__
                                       "x86-64-v3", "x86-64-v2", "x86-64"
#endif
    };
    for (size_t i = 0; i < COUNT_OF(values) * COUNT_OF(lefts); i++) {
        KernelCase *c = kernel_case_new();
        int64_t n = values[i / COUNT_OF(lefts)], k = terms[i % COUNT_OF(terms)];
        Elem left = lefts[i % COUNT_OF(lefts)], elem = left == QCC_I16 ? QCC_I16 : QCC_I8;
        const char *cpu = cpus[i % COUNT_OF(cpus)];
        kernel_node(c, OP_QMatMul, NULL, 1, kernel_input(c, left, DIMS(3, k)), few_values(c, elem, k, n));
        int64_t packed = check_form(c, cpu, false);
        assert_int_equal(check_form(c, cpu, true) - packed, saving(elem, k, n));
        Arena rest = c->arena;
        arena_free(&rest);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reductions), cmocka_unit_test(test_extremes),   cmocka_unit_test(test_windows),
        cmocka_unit_test(test_shapes),     cmocka_unit_test(test_few_values),
#ifdef __x86_64__
        cmocka_unit_test(test_pairs),
#endif
    };
    return TEST_RUN(tests);
}
