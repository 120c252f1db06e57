/* Alphabets, scales and ranges: on values worked out by hand, and ranges against random runs of random programs. */
#include "ir/op.h"
#include "quant/alphabet.h"
#include "quant/range.h"
#include "quant/scaled.h"
#include "tests/expr_random.h"
#include "tests/op_case.h"
#include "tests/support.h"

#include <math.h>
#include <string.h>

#define TEST(name) static void name(void **state)
#define OPEN                \
    OpCase *c = case_new(); \
    (void)state

/* ---- alphabets ---- */

static const char *letters(OpCase *c, const Tensor *t, Alphabet *al) {
    assert_true(alphabet_of(t, al));
    return alphabet_str(&c->arena, al);
}

TEST(alphabets) {
    OPEN;
    Alphabet al;
    assert_string_equal(letters(c, TENSOR(c, QCC_I8, DIMS(4), 1, -1, -1, 1), &al), "{-1,1}");
    assert_true(al.bipolar && !al.ternary && al.odd && al.powers && al.bits == 1 && al.step == 2);
    assert_string_equal(letters(c, TENSOR(c, QCC_I8, DIMS(4), 1, -1, 0, 1), &al), "{-1,0,1}");
    assert_true(!al.bipolar && al.ternary && !al.odd && al.bits == 2 && al.step == 1);
    assert_string_equal(letters(c, TENSOR(c, QCC_I16, DIMS(4), 3, -3, -1, 1), &al), "{-3,-1..3}");
    assert_true(al.odd && !al.powers && al.bits == 2 && al.step == 2);
    assert_string_equal(letters(c, TENSOR(c, QCC_I32, DIMS(7), 4, -4, 2, -2, 1, -1, 0), &al), "{-4,-2,-1,0,1,2,4}");
    assert_true(al.powers && al.bits == 3 && al.step == 1);
    assert_string_equal(letters(c, TENSOR(c, QCC_I64, DIMS(2), -9e15, 9e15), &al),
                        "{-9000000000000000,9000000000000000}");
    assert_string_equal(letters(c, TENSOR(c, QCC_U8, DIMS(3), 7), &al), "{7}");
    assert_true(al.bits == 0 && al.step == 0 && !al.bipolar && al.odd);
    assert_string_equal(letters(c, case_ramp(c, QCC_U8, DIMS(16)), &al), "{0..15}");
    assert_true(al.bits == 4 && al.n == 16);
    case_free(c);
}

TEST(alphabets_refused) {
    OPEN;
    Alphabet al;
    assert_false(alphabet_of(case_ramp(c, QCC_I16, DIMS(257)), &al));
    assert_true(alphabet_of(case_ramp(c, QCC_I16, DIMS(256)), &al));
    assert_int_equal(al.bits, 8);
    assert_false(alphabet_of(F32(c, DIMS(2), 1, 2), &al));
    assert_false(alphabet_of(case_ramp(c, QCC_I8, DIMS(0)), &al));
    case_free(c);
}

/* ---- scales ---- */

/* Codes times a scale, as floats, give back that scale, or a multiple where the codes have a divisor. */
TEST(scales_come_back) {
    OPEN;
    uint32_t seed = 7;
    for (int round = 0; round < 2000; round++) {
        float v[12], scale = ldexpf(1 + (float)(seed >> 9) / 8388608, (int)(seed % 30) - 20);
        int most = (int[]){1, 2, 3, 7, 15, 127, 255}[round % 7], k[12];
        for (int i = 0; i < 12; i++) {
            seed = seed * 1664525u + 1013904223u;
            k[i] = (int)(seed >> 8) % (2 * most + 1) - most;
            v[i] = scale * (float)k[i];
        }
        float found = scale_find(v, 12, 1);
        assert_true(found > 0);
        for (int i = 0; i < 12; i++) {
            int64_t code = scale_code(v[i], found);
            assert_true(found * (float)code == v[i] && code <= k[i] * k[i] && code >= -(int64_t)k[i] * k[i]);
        }
    }
    case_free(c);
}

TEST(scales_refused) {
    OPEN;
    assert_true(scale_find((float[]){0.1f, 0.2571f, 0.7013f}, 3, 1) == 0);
    assert_true(scale_find((float[]){1, 256}, 2, 1) == 0);
    assert_true(scale_find((float[]){1, 255}, 2, 1) == 1);
    assert_true(scale_find((float[]){1, INFINITY}, 2, 1) == 0);
    assert_true(scale_find((float[]){1, NAN}, 2, 1) == 0);
    assert_true(scale_find((float[]){0, -0.0f}, 2, 1) == 1);
    /* one unit in the last place beside a multiple */
    assert_true(scale_find((float[]){0.1f, nextafterf(0.3f, 1), 0.3f}, 3, 1) == 0);
    case_free(c);
}

TEST(scaled_tensors) {
    OPEN;
    ScaledTensor s;
    assert_true(scaled_find(&c->arena, F32(c, DIMS(2, 2), 0.5, -1.5, 1, 0), 0, &s));
    assert_int_equal(s.scale->type.shape.rank, 0);
    assert_true(tensor_get(s.scale, 0) == 0.5 && tensor_get_int(s.codes, 1) == -3 && s.codes->type.elem == QCC_I8);
    const Tensor *rows = F32(c, DIMS(2, 2), 0.123, -0.123, 0.7, 0);
    assert_false(scaled_find(&c->arena, rows, -1, &s));
    assert_false(scaled_find(&c->arena, rows, 1, &s));
    assert_true(scaled_find(&c->arena, rows, 0, &s));
    assert_int_equal(s.scale->type.shape.rank, 1);
    assert_true(tensor_get(s.scale, 0) == 0.123f && tensor_get(s.scale, 1) == 0.7f);
    assert_true(tensor_get_int(s.codes, 0) == 1 && tensor_get_int(s.codes, 1) == -1 && tensor_get_int(s.codes, 3) == 0);
    const Tensor *powers = F32(c, DIMS(2, 2), 0.25, -0.25, 8, -8); /* signs, but for a factor of each row */
    assert_true(scaled_find(&c->arena, powers, 1, &s) && tensor_get_int(s.codes, 3) == -32);
    assert_true(scaled_find(&c->arena, powers, 0, &s) && tensor_get_int(s.codes, 3) == -1);
    assert_true(tensor_get(s.scale, 0) == 0.25 && tensor_get(s.scale, 1) == 8);
    assert_true(scaled_find(&c->arena, F32(c, DIMS(2, 2), 1, 200, 3, 0), 0, &s) && s.codes->type.elem == QCC_U8);
    assert_true(scaled_find(&c->arena, F32(c, DIMS(2, 2), 1, -200, 3, 0), 0, &s) && s.codes->type.elem == QCC_I16);
    case_free(c);
}

/* ---- ranges ---- */

static Value *constant(OpCase *c, const Tensor *t) { return graph_constant(c->graph, "", t); }
static Value *number(OpCase *c, double v) { return constant(c, F32(c, SCALAR, v)); }

static void holds(OpCase *c, const Value *v, int64_t lo, int64_t hi, int64_t step) {
    Ranges r = {.arena = &c->arena};
    Range found;
    if (!range_of(&r, v, &found)) fail_msg("no range, but %lld to %lld is wanted", (long long)lo, (long long)hi);
    if (found.lo != lo || found.hi != hi || found.step != step)
        fail_msg("%lld to %lld by %lld; %lld to %lld by %lld is wanted", (long long)found.lo, (long long)found.hi,
                 (long long)found.step, (long long)lo, (long long)hi, (long long)step);
}

TEST(range_of_quantizers) {
    OPEN;
    Ranges r = {.arena = &c->arena};
    Range found;
    Value *x = graph_input(c->graph, "x", (Type){QCC_F32, DIMS(1, 2, 4, 4)});
    assert_false(range_of(&r, x, &found));
    Value *rounded = NODE(c, Round, NULL, NODE(c, Div, NULL, x, number(c, 0.3)));
    assert_false(range_of(&r, rounded, &found));
    Value *clipped = NODE(c, Clip, NULL, rounded, number(c, -8), number(c, 7));
    holds(c, clipped, -8, 7, 1);
    holds(c, NODE(c, Cast, "to=3", clipped), -8, 7, 1);
    holds(c, NODE(c, Clip, NULL, NODE(c, Mul, NULL, clipped, number(c, 2)), number(c, -10), number(c, 4)), -10, 4, 2);
    holds(c, NODE(c, Relu, NULL, clipped), 0, 7, 1);
    holds(c, NODE(c, Sign, NULL, x), -1, 1, 1);
    Value *odd = NODE(c, Add, NULL, NODE(c, Mul, NULL, clipped, number(c, 2)), number(c, 1));
    holds(c, odd, -15, 15, 2);
    holds(c, NODE(c, Sign, NULL, odd), -1, 1, 2);
    Value *none = NODE(c, Mul, NULL, NODE(c, Clip, NULL, clipped, number(c, 0), number(c, 0)), number(c, 0.3));
    holds(c, none, 0, 0, 1); /* fractions of nothing */
    holds(c, NODE(c, Sign, NULL, none), 0, 0, 1);
    Value *below = NODE(c, Clip, NULL, NODE(c, Mul, NULL, clipped, number(c, 0.3)), number(c, -9), number(c, 0));
    holds(c, NODE(c, Sign, NULL, below), -1, 0, 1);
    holds(c, NODE(c, Sign, NULL, NODE(c, Sub, NULL, below, number(c, 0.1))), -1, -1, 1);
    holds(c, NODE(c, Sign, NULL, NODE(c, Abs, NULL, below)), 0, 1, 1);
    holds(c, NODE(c, MaxPool, "kernel_shape=2,2", odd), -15, 15, 2);
    holds(c, NODE(c, Where, NULL, NODE(c, Greater, NULL, x, number(c, 0)), number(c, 1), number(c, -1)), -1, 1, 2);
    case_free(c);
}

/* The channels of a product have ranges of their own, from their weights; padding adds zeros. */
TEST(range_of_products) {
    OPEN;
    Value *x = graph_input(c->graph, "x", (Type){QCC_F32, DIMS(1, 2, 4, 4)});
    Value *codes = NODE(c, Cast, "to=3",
                        NODE(c, Where, NULL, NODE(c, Greater, NULL, x, number(c, 0)), number(c, 1), number(c, -1)));
    Value *w = constant(c, TENSOR(c, QCC_I8, DIMS(2, 2, 1, 1), 1, -1, 3, 5));
    Value *y = NODE(c, QConv, NULL, codes, w);
    Ranges r = {.arena = &c->arena};
    int64_t channels;
    Span *s = range_products(&r, y->def, &channels);
    assert_int_equal(channels, 2);
    assert_true(s[0].lo == -2 && s[0].hi == 2 && s[0].step == 2);
    assert_true(s[1].lo == -8 && s[1].hi == 8 && s[1].step == 2);
    holds(c, y, -8, 8, 2);
    holds(c, NODE(c, QConv, "pads=0,0,1,0", codes, w), -8, 8, 1);
    Value *deep = constant(c, TENSOR(c, QCC_I16, DIMS(32, 3), 32767));
    Value *wide = graph_input(c->graph, "y", (Type){QCC_I16, DIMS(4, 32)});
    assert_false(range_sums_fit(&r, NODE(c, QMatMul, NULL, wide, deep)->def));
    assert_true(range_sums_fit(&r, y->def));
    case_free(c);
}

/* The transposed convolution's channels count through its groups. */
TEST(range_of_transposed) {
    OPEN;
    Value *x = graph_input(c->graph, "x", (Type){QCC_U8, DIMS(1, 2, 3)});
    Value *w = constant(c, TENSOR(c, QCC_I8, DIMS(2, 2, 1), 1, 2, 3, -4));
    Node *y = NODE(c, QConvTranspose, "group=2", x, w)->def;
    Ranges r = {.arena = &c->arena};
    int64_t channels;
    Span *s = range_products(&r, y, &channels);
    assert_int_equal(channels, 4);
    assert_true(s[0].hi == 255 && s[1].hi == 510 && s[2].hi == 765 && s[3].hi == 0 && s[3].lo == -1020);
    case_free(c);
}

static bool contains(Span s, double v) {
    if (v < s.lo || v > s.hi) return false;
    return !s.whole || isinf(v) || (v == rint(v) && (s.step == 0 || isinf(s.lo) || fmod(v - s.lo, s.step) == 0));
}

enum { ELEMS = 8 };

static double element(const Expr *e, int k, const void *data, int at) {
    Tensor t = {.type = {.elem = e->inst[k].elem, .shape = DIMS(ELEMS)}, .data = data};
    return e->inst[k].elem == QCC_U64 ? (double)(uint64_t)tensor_get_int(&t, at) : tensor_get(&t, at);
}

/* Whatever a random program gives lies in the spans of its instructions; NaNs are left out of account. */
static void check_program(uint64_t seed) {
    Arena a = {0};
    const Expr *e = random_expr(&a, &seed, 3 + random_below(&seed, 20), (Elem)0);
    const void **in = NEW_ARRAY(&a, const void *, e->n_in);
    Span *spans = NEW_ARRAY(&a, Span, e->n_in), *at = NEW_ARRAY(&a, Span, e->n);
    for (int k = 0; k < e->n_in; k++) {
        Elem elem = expr_input_elem(e, k);
        Tensor t = {.type = {.elem = elem, .shape = DIMS(ELEMS)}, .data = NEW_ARRAY(&a, uint64_t, ELEMS)};
        in[k] = t.data;
        if (!elem) continue;
        random_elems(&seed, elem, ELEMS, tensor_data(&t));
        spans[k] = span_of_tensor(&t);
    }
    span_run(e, spans, at);
    bool real[ELEMS] = {0};
    void *out = NEW_ARRAY(&a, uint64_t, ELEMS);
    for (int i = 0; i < ELEMS; i++) real[i] = true;
    for (int k = 0; k < e->n; k++) {
        Expr prefix = {k + 1, e->n_in, e->inst};
        expr_run(&prefix, ELEMS, in, out);
        for (int i = 0; i < ELEMS; i++) {
            double v = element(e, k, out, i);
            real[i] = real[i] && !isnan(v);
            if (real[i] && !contains(at[k], v))
                fail_msg("instruction %d gives %.17g, not in %.17g to %.17g by %g\n%s", k, v, at[k].lo, at[k].hi,
                         at[k].step, expr_str(&a, e));
        }
    }
    arena_free(&a);
}

TEST(spans_hold) {
    (void)state;
    for (uint64_t seed = 1; seed <= 20000; seed++) check_program(seed * 7919);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alphabets),         cmocka_unit_test(alphabets_refused),
        cmocka_unit_test(scales_come_back),  cmocka_unit_test(scales_refused),
        cmocka_unit_test(scaled_tensors),    cmocka_unit_test(range_of_quantizers),
        cmocka_unit_test(range_of_products), cmocka_unit_test(range_of_transposed),
        cmocka_unit_test(spans_hold),
    };
    return TEST_RUN(tests);
}
