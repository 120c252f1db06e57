/* The builder of element-wise programs: what it shares, folds and leaves out, and that none of it changes a bit. */
#include "ir/expr.h"
#include "runtime/ref/ref.h"

#include "tests/expr_random.h"
#include "tests/support.h"

#include <math.h>
#include <string.h>

#define TEST(name) static void name(void **state)
#define OPEN                       \
    Arena a = {0};                 \
    ExprBuilder b = {.arena = &a}; \
    (void)state
#define SHUT arena_free(&a)

/* ---- form ---- */

TEST(equal_instructions_are_shared) {
    OPEN;
    X p = x_in(&b, 0, QCC_F32), q = x_in(&b, 1, QCC_F32);
    assert_int_equal(x_in(&b, 0, QCC_F32), p);
    assert_int_equal(x_2(&b, X_ADD, p, q), x_2(&b, X_ADD, q, p));
    assert_int_not_equal(x_2(&b, X_SUB, p, q), x_2(&b, X_SUB, q, p));
    assert_int_not_equal(x_2(&b, X_MIN, p, q), x_2(&b, X_MIN, q, p));
    assert_int_not_equal(x_const(&b, QCC_F32, 0), x_const(&b, QCC_F32, -0.0));
    assert_int_not_equal(x_const(&b, QCC_F32, 1), x_const(&b, QCC_F64, 1));
    assert_int_equal(x_const(&b, QCC_F32, 0.1), x_const(&b, QCC_F32, (double)0.1f));
    for (int k = 0; k < 1000; k++) x_const_int(&b, QCC_I32, k);
    size_t n = b.inst.n;
    for (int k = 0; k < 1000; k++) x_const_int(&b, QCC_I32, k);
    assert_int_equal(b.inst.n, n);
    SHUT;
}

TEST(constants_are_computed) {
    OPEN;
    X sum = x_2(&b, X_ADD, x_const(&b, QCC_F32, 0.1), x_const(&b, QCC_F32, 0.2));
    assert_int_equal(b.inst.at[sum].op, X_CONST);
    assert_true(b.inst.at[sum].k.f == (double)(0.1f + 0.2f));
    X wrapped = x_2(&b, X_MUL, x_const_int(&b, QCC_I8, 100), x_const_int(&b, QCC_I8, 3));
    assert_int_equal(b.inst.at[wrapped].k.i, 44);
    X p = x_in(&b, 0, QCC_F32), q = x_in(&b, 1, QCC_F32);
    X smaller = x_2(&b, X_LT, sum, x_const(&b, QCC_F32, 1));
    assert_int_equal(x_select(&b, smaller, p, q), p);
    assert_int_equal(x_const_int(&b, QCC_U4, 17), x_const_int(&b, QCC_U4, 1));
    SHUT;
}

TEST(programs_keep_what_they_need) {
    OPEN;
    X p = x_in(&b, 0, QCC_F32), q = x_in(&b, 1, QCC_F32);
    X sum = x_2(&b, X_ADD, p, q);
    x_2(&b, X_MUL, sum, sum);
    x_const(&b, QCC_F32, 7);
    const Expr *e = x_finish(&b, sum, 2);
    assert_int_equal(e->n, 3);
    assert_int_equal(e->n_in, 2);
    assert_int_equal(e->inst[2].op, X_ADD);
    const Expr *only = x_finish(&b, q, 2);
    assert_int_equal(only->n, 1);
    assert_int_equal(only->inst[0].k.i, 1);
    assert_false(expr_equal(e, only));
    assert_true(expr_equal(e, x_finish(&b, sum, 2)));
    assert_false(expr_equal(e, x_finish(&b, sum, 3)));
    SHUT;
}

TEST(programs_are_put_into_others) {
    OPEN;
    X p = x_in(&b, 0, QCC_F32), q = x_in(&b, 1, QCC_F32);
    const Expr *difference = x_finish(&b, x_2(&b, X_SUB, p, q), 2);
    ExprBuilder c = {.arena = &a};
    X r = x_in(&c, 0, QCC_F32);
    X args[] = {r, x_const(&c, QCC_F32, 3)};
    X three_less = x_inline(&c, difference, args);
    assert_int_equal(three_less, x_2(&c, X_SUB, r, args[1]));
    X back[] = {args[1], three_less};
    const Expr *e = x_finish(&c, x_inline(&c, difference, back), 1);
    float in[] = {1, 10}, out[2];
    const void *at[] = {in};
    expr_run(e, 2, at, out);
    assert_true(out[0] == 5 && out[1] == -4);
    SHUT;
}

TEST(wrong_instructions_are_told) {
    OPEN;
    X p = x_in(&b, 0, QCC_F32), i = x_in(&b, 1, QCC_I32), h = x_in(&b, 2, QCC_F16), t = x_in(&b, 3, QCC_BOOL);
    const XInst wrong[] = {
        {.op = X_ADD, .elem = QCC_F32, .a = p, .b = i},
        {.op = X_ADD, .elem = QCC_F16, .a = h, .b = h},
        {.op = X_ADD, .elem = QCC_F32, .a = p, .b = 99},
        {.op = X_ADD, .elem = QCC_F32, .a = -1, .b = p},
        {.op = X_SQRT, .elem = QCC_I32, .a = i},
        {.op = X_AND, .elem = QCC_F32, .a = p, .b = p},
        {.op = X_LT, .elem = QCC_F32, .a = p, .b = p},
        {.op = X_LT, .elem = QCC_BOOL, .a = t, .b = t},
        {.op = X_SELECT, .elem = QCC_F32, .a = i, .b = p, .c = p},
        {.op = X_SELECT, .elem = QCC_F32, .a = t, .b = p, .c = i},
        {.op = X_CAST, .elem = QCC_I32, .a = h},
        {.op = X_CAST, .elem = QCC_F16, .a = i},
        {.op = X_CAST, .elem = (Elem)8, .a = p},
        {.op = X_BITCAST, .elem = QCC_I64, .a = p},
        {.op = X_BITCAST, .elem = QCC_BOOL, .a = p},
        {.op = X_INPUT, .elem = QCC_F32, .k.i = -1},
        {.op = X_OP_COUNT, .elem = QCC_F32},
    };
    for (size_t k = 0; k < COUNT_OF(wrong); k++) assert_non_null(x_check(&b, &wrong[k]));
    assert_null(x_check(&b, &(XInst){.op = X_CAST, .elem = QCC_F16, .a = p}));
    assert_null(x_check(&b, &(XInst){.op = X_SELECT, .elem = QCC_F16, .a = t, .b = h, .c = h}));
    assert_null(x_check(&b, &(XInst){.op = X_BITCAST, .elem = QCC_U16, .a = h}));
    SHUT;
}

/* ---- meaning ---- */

enum { POINTS = 24, LONG = 700 };

static const Elem elems[] = {QCC_F32, QCC_F64, QCC_I8, QCC_I16, QCC_I32, QCC_I64,  QCC_U8,  QCC_U16, QCC_U32,
                             QCC_U64, QCC_I4,  QCC_U4, QCC_I2,  QCC_U2,  QCC_BOOL, QCC_F16, QCC_BF16};

/* Ordinary and extreme values of a type. */
static void points(Elem elem, void *data) {
    static const double floats[POINTS] = {0,        -0.0,      1,     -1,      2,     -2,       0.5, -0.5,
                                          1.5,      NAN,       1e30,  3e9,     -3e9,  7,        255, 0x1p31,
                                          INFINITY, -INFINITY, 1e-40, -0x1p63, 65520, -32769.7, 3,   0x1.8p63};
    static const int64_t ints[POINTS] = {0,          1,     -1,     2,   -2,        3,         7,         -8,
                                         127,        -128,  255,    256, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN,
                                         UINT32_MAX, 32767, -32768, 63,  64,        31,        5,         100};
    RefTensor t = {.data = data, .elem = (int32_t)elem};
    for (int k = 0; k < POINTS; k++) {
        if (elem_is_float(elem)) {
            ref_store(&t, k, floats[k]);
        } else {
            ref_store_int(&t, k, ints[k]);
        }
    }
}

static XInst constant_at(Elem elem, const void *data, int k) {
    RefTensor t = {.data = (void *)(uintptr_t)data, .elem = (int32_t)elem};
    XInst i = {.op = X_CONST, .elem = elem};
    if (elem_is_float(elem)) {
        i.k.f = ref_load(&t, k);
    } else {
        i.k.i = ref_load_int(&t, k);
    }
    return i;
}

/* The program as written, and as the builder makes it, on the points of its input: instruction 0, or 1 behind a
 * constant that the builder then also sees first. */
static void same_after_building(const XInst *inst, int n) {
    Arena a = {0};
    uint64_t in[POINTS] = {0}, plain[POINTS] = {0}, built[POINTS] = {0};
    Elem from = expr_input_elem(&(Expr){n, 1, inst}, 0), to = inst[n - 1].elem;
    points(from, in);
    const void *at[] = {in};
    const Expr e = {n, 1, inst};
    ExprBuilder b = {.arena = &a};
    if (inst[0].op == X_CONST) x_add(&b, inst[0]);
    X input = x_in(&b, 0, from);
    const Expr *simple = x_finish(&b, x_inline(&b, &e, &input), 1);
    expr_run(&e, POINTS, at, plain);
    expr_run(simple, POINTS, at, built);
    int64_t k = elems_differ(to, POINTS, plain, built);
    if (k >= 0) fail_msg("point %d\n%sbecame\n%s", (int)k, expr_str(&a, &e), expr_str(&a, simple));
    arena_free(&a);
}

static bool fits(const XInst *inst, int n) {
    ExprBuilder b = {.inst = {.at = (XInst *)(uintptr_t)inst, .n = (size_t)n, .cap = (size_t)n}};
    return !x_check(&b, &inst[n]);
}

/* Every instruction of two operands with every point as a constant, on either side; and with its operand twice. */
TEST(identities_with_constants_hold) {
    (void)state;
    for (size_t t = 0; t < COUNT_OF(elems); t++) {
        uint64_t data[POINTS] = {0};
        points(elems[t], data);
        for (int op = X_ADD; op <= X_LE; op++) {
            if (x_op_info[op].n != 2) continue;
            Elem elem = x_op_info[op].result == 'B' ? QCC_BOOL : elems[t];
            for (int k = 0; k < POINTS; k++) {
                XInst inst[] = {{.op = X_INPUT, .elem = elems[t]},
                                constant_at(elems[t], data, k),
                                {.op = (XOp)op, .elem = elem, .a = 0, .b = 1}};
                if (!fits(inst, 2)) break;
                same_after_building(inst, 3);
                inst[2].a = 1;
                inst[2].b = 0;
                same_after_building(inst, 3);
                XInst turned[] = {inst[1], inst[0], inst[2]};
                same_after_building(turned, 3);
                inst[2].a = 0;
                same_after_building(inst, 3);
            }
        }
    }
}

/* Every pair of instructions of one operand, conversions to every type among them. */
TEST(identities_of_pairs_hold) {
    (void)state;
    enum { N = COUNT_OF(elems), STEPS = N + 3 };
    static const XOp ops[] = {X_NEG, X_ABS, X_RINT};
    int count = 0;
    for (int from = 0; from < N; from++) {
        for (int p = 0; p < STEPS; p++) {
            for (int q = 0; q < STEPS; q++) {
                XInst inst[] = {{.op = X_INPUT, .elem = elems[from]}, {.op = X_CAST}, {.op = X_CAST, .a = 1}};
                if (p >= N) inst[1].op = ops[p - N];
                if (q >= N) inst[2].op = ops[q - N];
                inst[1].elem = p < N ? elems[p] : elems[from];
                inst[2].elem = q < N ? elems[q] : inst[1].elem;
                if (!fits(inst, 1) || !fits(inst, 2)) continue;
                same_after_building(inst, 3);
                count++;
            }
        }
    }
    assert_true(count > 2000);
}

/* Results do not depend on where an element lies in its block. */
TEST(blocks_do_not_show) {
    OPEN;
    X p = x_in(&b, 0, QCC_F32), t = x_in(&b, 1, QCC_BOOL);
    X y = x_select(&b, t, x_2(&b, X_MUL, p, p), x_2(&b, X_ADD, p, x_const(&b, QCC_F32, 1)));
    const Expr *e = x_finish(&b, x_cast(&b, QCC_I16, y), 2);
    float in[LONG];
    uint8_t pick[LONG];
    int16_t out[LONG + 1], one;
    for (int k = 0; k < LONG; k++) {
        in[k] = (float)k / 4;
        pick[k] = (uint8_t)(k % 3 ? 0 : k); /* any byte but 0 is true */
    }
    out[LONG] = 77;
    const void *at[] = {in, pick};
    expr_run(e, LONG, at, out);
    for (int k = 0; k < LONG; k++) {
        const void *here[] = {&in[k], &pick[k]};
        expr_run(e, 1, here, &one);
        assert_int_equal(out[k], one);
        assert_int_equal(one, (int16_t)(pick[k] ? in[k] * in[k] : in[k] + 1));
    }
    assert_int_equal(out[LONG], 77);
    expr_run(e, 0, at, out);
    SHUT;
}

/* f64 to a half type is rounded once: this value is just above the middle of two halves, and f32 cannot see that. */
TEST(halves_of_doubles_are_nearest) {
    OPEN;
    const Expr *e = x_finish(&b, x_cast(&b, QCC_F16, x_in(&b, 0, QCC_F64)), 1);
    double in[] = {1 + 0x1p-11 + 0x1p-40, 1 + 0x1p-11, -(1 + 0x1p-11 + 0x1p-40), 65519.999999999, 1e300,
                   0x1p-25 + 0x1p-60,     NAN};
    uint16_t out[COUNT_OF(in)];
    const void *at[] = {in};
    expr_run(e, COUNT_OF(in), at, out);
    const uint16_t want[] = {0x3c01, 0x3c00, 0xbc01, 0x7bff, 0x7c00, 0x0001};
    for (size_t k = 0; k < COUNT_OF(want); k++) assert_int_equal(out[k], want[k]);
    assert_int_equal(out[6] & 0x7c00, 0x7c00);
    assert_int_not_equal(out[6] & 0x3ff, 0);
    SHUT;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_instructions_are_shared), cmocka_unit_test(constants_are_computed),
        cmocka_unit_test(programs_keep_what_they_need),  cmocka_unit_test(programs_are_put_into_others),
        cmocka_unit_test(wrong_instructions_are_told),   cmocka_unit_test(identities_with_constants_hold),
        cmocka_unit_test(identities_of_pairs_hold),      cmocka_unit_test(blocks_do_not_show),
        cmocka_unit_test(halves_of_doubles_are_nearest),
    };
    return TEST_RUN(tests);
}
