/* Reductions, places of extremes, running sums and the k best against the evaluator: axes, views, element types,
 * corners, empty sets, several tasks. */
#include "tests/codegen_support.h"
#include "tests/kernel_case.h"
#include "tests/op_case.h"
#include "tests/support.h"

static const Elem numbers[] = {QCC_F32, QCC_F64, QCC_F16, QCC_BF16, QCC_I8,  QCC_U8,
                               QCC_I16, QCC_U16, QCC_I32, QCC_U32,  QCC_I64, QCC_U64};
static const OpId reductions[] = {OP_ReduceSum, OP_ReduceMax, OP_ReduceMin};

/* The kernel's sums have another order than the reference's; and of two zeros either is the larger. */
static void check_close(KernelCase *c) {
    c->tolerance = 1e-7;
    kernel_case_check(c);
}

static Value *axes_of(KernelCase *c, int rank, unsigned set) {
    int64_t axes[MAX_RANK], n = 0;
    for (int d = 0; d < rank; d++)
        if (set >> d & 1) axes[n++] = d;
    return kernel_list(c, n, axes);
}

static void test_axes(void **state) {
    (void)state;
    static const int64_t shapes[][4] = {{2, 3, 4, 33}, {5, 1, 3, 16}, {1, 31, 1, 7}};
    KernelCase *c = kernel_case_new();
    size_t turn = 0;
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        Value *x = kernel_input(c, QCC_F32, shape_of(4, shapes[i]));
        for (unsigned set = 1; set < 16; set++, turn++)
            kernel_node(c, reductions[turn % 3], turn & 1 ? "keepdims=0" : NULL, 1, x, axes_of(c, 4, set));
    }
    static const int64_t lengths[] = {1, 2, 7, 8, 15, 16, 17, 63, 64, 65, 1000};
    for (size_t i = 0; i < COUNT_OF(lengths); i++, turn++) {
        Value *row = kernel_input(c, QCC_F32, DIMS(lengths[i]));
        kernel_node(c, reductions[turn % 3], "keepdims=0", 1, row);
        Value *table = kernel_input(c, QCC_F32, DIMS(3, lengths[i]));
        kernel_node(c, reductions[(turn + 1) % 3], NULL, 1, table, KERNEL_LIST(c, (int64_t)i % 2));
    }
    check_close(c);
}

static void test_views(void **state) {
    (void)state;
    KernelCase *c = kernel_case_new();
    Value *x = kernel_input(c, QCC_F32, DIMS(5, 6, 35));
    for (int view = 0; view < KERNEL_VIEWS; view++)
        for (unsigned set = 1; set < 8; set++)
            kernel_node(c, reductions[(view + (int)set) % 3], NULL, 1, kernel_view(c, x, view), axes_of(c, 3, set));
    check_close(c);
}

static void test_types(void **state) {
    (void)state;
    KernelCase *c = kernel_case_new();
    Random r = {11};
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        Type t = {numbers[i], DIMS(3, 4, 37)};
        Value *tame = kernel_input(c, t.elem, t.shape), *wild = kernel_feed(c, random_tensor(&c->arena, &r, t, false));
        for (int axis = 0; axis < 3; axis++) {
            kernel_node(c, OP_ReduceSum, NULL, 1, tame, KERNEL_LIST(c, axis));
            kernel_node(c, OP_ReduceMax, NULL, 1, wild, KERNEL_LIST(c, axis));
            kernel_node(c, OP_ReduceMin, NULL, 1, wild, KERNEL_LIST(c, axis));
        }
    }
    Value *flags = kernel_feed(c, random_tensor(&c->arena, &r, (Type){QCC_BOOL, DIMS(40, 3)}, true));
    kernel_node(c, OP_ReduceMax, NULL, 1, flags, KERNEL_LIST(c, 1));
    kernel_node(c, OP_ReduceMin, NULL, 1, flags, KERNEL_LIST(c, 1));
    kernel_node(c, OP_ReduceMin, NULL, 1, flags, KERNEL_LIST(c, 0));
    check_close(c);
}

/* Powers of two, so that products are exact, and their integer fellows. */
static void test_products(void **state) {
    (void)state;
    static const double factors[] = {1, -1, 2, 0.5, -2, 1};
    KernelCase *c = kernel_case_new();
    Random r = {12};
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        Tensor *t = tensor_new(&c->arena, (Type){numbers[i], DIMS(3, 35)});
        for (int64_t k = 0; k < 105; k++) {
            if (elem_is_float(numbers[i]))
                tensor_set(t, k, factors[random_int(&r, 0, 5)]);
            else
                tensor_set_int(t, k, random_int(&r, 1, 5));
        }
        Value *x = kernel_feed(c, t);
        kernel_node(c, OP_ReduceProd, NULL, 1, x, KERNEL_LIST(c, 0));
        kernel_node(c, OP_ReduceProd, NULL, 1, x, KERNEL_LIST(c, 1));
        kernel_node(c, OP_CumProd, NULL, 1, x, KERNEL_LIST(c, 1));
    }
    check_close(c);
}

static void test_empty(void **state) {
    (void)state;
    static const OpId all[] = {OP_ReduceSum, OP_ReduceProd, OP_ReduceMax, OP_ReduceMin};
    KernelCase *c = kernel_case_new();
    Value *x = kernel_input(c, QCC_F32, DIMS(2, 0, 3)), *k = kernel_input(c, QCC_I32, DIMS(2, 0, 3));
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        kernel_node(c, all[i], NULL, 1, x, KERNEL_LIST(c, 1));
        kernel_node(c, all[i], NULL, 1, k, KERNEL_LIST(c, 1));
        kernel_node(c, all[i], NULL, 1, x, KERNEL_LIST(c, 0));
    }
    kernel_case_check(c);
}

/* Enough for several tasks, which share the largest kept axis; or where all is reduced, one. */
static void test_tasks(void **state) {
    (void)state;
    KernelCase *c = kernel_case_new();
    Value *x = kernel_input(c, QCC_F32, DIMS(6, 31, 1024));
    for (unsigned set = 1; set < 8; set++) kernel_node(c, reductions[set % 3], NULL, 1, x, axes_of(c, 3, set));
    kernel_node(c, OP_ArgMax, "axis=1", 1, x);
    kernel_node(c, OP_CumSum, NULL, 1, x, KERNEL_LIST(c, 1));
    check_close(c);
}

static void test_places(void **state) {
    (void)state;
    static const char *const attrs[] = {"", "select_last_index=1", "keepdims=0", "keepdims=0 select_last_index=1"};
    KernelCase *c = kernel_case_new();
    Random r = {13};
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        Type t = {numbers[i], DIMS(4, 5, 9)};
        Value *x = kernel_feed(c, random_tensor(&c->arena, &r, t, i % 2));
        for (int axis = 0; axis < 3; axis++) {
            const char *text = arena_printf(&c->arena, "axis=%d %s", axis, attrs[(i + (size_t)axis) % 4]);
            kernel_node(c, OP_ArgMax, text, 1, kernel_view(c, x, (int)i % KERNEL_VIEWS));
            kernel_node(c, OP_ArgMin, text, 1, x);
        }
    }
    kernel_case_check(c);
}

/* Long enough for vectors, with ties, NaN and ends that are no vector. */
static void test_long_lines(void **state) {
    (void)state;
    static const Elem elems[] = {QCC_F32, QCC_F64, QCC_F16, QCC_I8, QCC_U16, QCC_I64};
    static const int64_t lengths[] = {16, 32, 33, 100, 257};
    KernelCase *c = kernel_case_new();
    Random r = {15};
    for (size_t i = 0; i < COUNT_OF(elems); i++)
        for (size_t n = 0; n < COUNT_OF(lengths); n++) {
            Type t = {elems[i], DIMS(3, lengths[n])};
            Tensor *x = random_tensor(&c->arena, &r, t, n % 2);
            for (int64_t k = 0; k < lengths[n]; k++) /* the second line: few values, often */
                tensor_set(x, lengths[n] + k, (double)random_int(&r, 0, 3));
            Value *v = kernel_feed(c, x);
            kernel_node(c, OP_ArgMax, "axis=1", 1, v);
            kernel_node(c, OP_ArgMin, "axis=1 select_last_index=1", 1, v);
            kernel_node(c, OP_ArgMax, "axis=0 select_last_index=1", 1, v);
            kernel_node(c, OP_TopK, NULL, 2, v, KERNEL_LIST(c, 1 + (int64_t)n * 7));
        }
    kernel_case_check(c);
}

static void test_running(void **state) {
    (void)state;
    static const char *const attrs[] = {NULL, "exclusive=1", "reverse=1", "exclusive=1 reverse=1"};
    KernelCase *c = kernel_case_new();
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        Value *x = kernel_input(c, numbers[i], DIMS(4, 5, 9));
        for (int axis = 0; axis < 3; axis++)
            kernel_node(c, OP_CumSum, attrs[(i + (size_t)axis) % 4], 1, kernel_view(c, x, (int)(i + 1) % KERNEL_VIEWS),
                        KERNEL_LIST(c, axis));
    }
    check_close(c);
}

static void test_best(void **state) {
    (void)state;
    KernelCase *c = kernel_case_new();
    Random r = {14};
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        Type t = {numbers[i], DIMS(4, 5, 9)};
        Value *x = kernel_feed(c, random_tensor(&c->arena, &r, t, i % 2));
        for (int axis = 0; axis < 3; axis++) {
            Value *v = kernel_view(c, x, (int)i % KERNEL_VIEWS), *k = KERNEL_LIST(c, v->type.shape.dim[axis]);
            kernel_node(c, OP_TopK, arena_printf(&c->arena, "axis=%d largest=%d", axis, (int)i & 1), 2, v, k);
            kernel_node(c, OP_TopK, arena_printf(&c->arena, "axis=%d", axis), 2, x, KERNEL_LIST(c, 2));
        }
    }
    kernel_case_check(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_axes),       cmocka_unit_test(test_views),   cmocka_unit_test(test_types),
        cmocka_unit_test(test_products),   cmocka_unit_test(test_empty),   cmocka_unit_test(test_tasks),
        cmocka_unit_test(test_places),     cmocka_unit_test(test_running), cmocka_unit_test(test_best),
        cmocka_unit_test(test_long_lines),
    };
    return TEST_RUN(tests);
}
