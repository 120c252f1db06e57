/* The programs of expr_math.h against the C library: f32 against its doubles, f64 against its long doubles. Arguments
 * are swept evenly over an interval and again evenly over the bit patterns, so that small and large ones both count;
 * special values are compared as they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>

#include "ir/expr_math.h"
#include "runtime/ref/ref.h"

typedef X Program(ExprBuilder *, X);
typedef long double Exact(long double);

static long double sigmoid(long double x) { return 1 / (1 + expl(-x)); }
static long double softplus(long double x) { return fmaxl(x, 0) + log1pl(expl(-fabsl(x))); }

/* Largest errors allowed, in units in the last place of the exact result, and the interval swept. */
typedef struct Row {
    const char *name;
    Program *program;
    Exact *exact;
    double lo, hi;
    double ulp_f32, ulp_f64;
} Row;

static const Row rows[] = {
    {"exp", xm_exp, expl, -103, 88.72, 1.0, 1.1},
    {"expm1", xm_expm1, expm1l, -20, 88.72, 1.5, 2.0},
    {"log", xm_log, logl, 0, 1e6, 0.9, 0.9},
    {"log near 1", xm_log, logl, 0.5, 2, 0.9, 0.9},
    {"log1p", xm_log1p, log1pl, -1, 1000, 0.9, 0.9},
    {"tanh", xm_tanh, tanhl, -10, 10, 2.2, 2.3},
    {"erf", xm_erf, erfl, -4.5, 4.5, 1.3, 1.3},
    {"sigmoid", xm_sigmoid, sigmoid, -87, 87, 2.2, 2.3},
    {"softplus", xm_softplus, softplus, -80, 80, 1.5, 1.6},
    {"sin", xm_sin, sinl, -100, 100, 0.501, 2},
    {"sin far", xm_sin, sinl, -1e6, 1e6, 0.501, 2.5},
    {"cos", xm_cos, cosl, -100, 100, 0.501, 2},
    {"tan", xm_tan, tanl, -100, 100, 0.501, 3.3},
    {"asin", xm_asin, asinl, -1, 1, 0.501, 3.3},
    {"acos", xm_acos, acosl, -1, 1, 0.501, 1.3},
    {"atan", xm_atan, atanl, -50, 50, 0.501, 2.2},
    {"sinh", xm_sinh, sinhl, -89, 89, 0.501, 2.5},
    {"cosh", xm_cosh, coshl, -89, 89, 0.501, 2.5},
    {"asinh", xm_asinh, asinhl, -1000, 1000, 0.501, 1.6},
    {"acosh", xm_acosh, acoshl, 1, 1000, 0.501, 1.7},
    {"atanh", xm_atanh, atanhl, -1, 1, 0.501, 2},
};

/* ---- sweeps ---- */

enum { EVEN = 1 << 15, BY_SIZE = 1 << 13, POINTS = EVEN + 2 * BY_SIZE };

static const Expr *program_of(Arena *a, Program *fn, Elem elem) {
    ExprBuilder b = {.arena = a};
    return x_finish(&b, fn(&b, x_in(&b, 0, elem)), 1);
}

/* Evenly over the interval, then evenly over the exponents down to 2^-120. */
static void fill(RefTensor *x, double lo, double hi) {
    for (int i = 0; i < EVEN; i++) ref_store(x, i, lo + (hi - lo) * (i + 0.5) / (double)EVEN);
    for (int i = 0; i < BY_SIZE; i++) {
        double v = ldexp(1 + (double)(i % 997) / 997, -i % 120);
        ref_store(x, EVEN + 2 * i, v > lo && v < hi ? v : (lo + hi) / 2);
        ref_store(x, EVEN + 2 * i + 1, -v > lo && -v < hi ? -v : (lo + hi) / 2);
    }
}

static double ulps(Elem elem, double found, long double exact) {
    int exponent, least = elem == QCC_F32 ? -149 : -1074;
    frexpl(exact, &exponent);
    exponent -= elem == QCC_F32 ? 24 : 53;
    return (double)(fabsl((long double)found - exact) / ldexpl(1, exponent > least ? exponent : least));
}

static void check_row(const Row *row, Elem elem, double allowed) {
    Arena a = {0};
    RefTensor x = {.data = NEW_ARRAY(&a, double, POINTS), .elem = (int32_t)elem};
    RefTensor y = {.data = NEW_ARRAY(&a, double, POINTS), .elem = (int32_t)elem};
    fill(&x, row->lo, row->hi);
    const void *in[] = {x.data};
    expr_run(program_of(&a, row->program, elem), POINTS, in, y.data);
    double worst = 0, at = 0;
    for (int i = 0; i < POINTS; i++) {
        double e = ulps(elem, ref_load(&y, i), row->exact((long double)ref_load(&x, i)));
        if (e <= worst) continue;
        worst = e;
        at = ref_load(&x, i);
    }
    if (!(worst <= allowed)) fail_msg("%s: %g ulp at %a, but %g are allowed", row->name, worst, at, allowed);
    arena_free(&a);
}

static void f32_is_close(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) check_row(&rows[i], QCC_F32, rows[i].ulp_f32);
}

static void f64_is_close(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) check_row(&rows[i], QCC_F64, rows[i].ulp_f64);
}

/* ---- special values ---- */

static bool same_value(double found, double wanted) {
    if (wanted != wanted) return found != found;
    return found == wanted && signbit(found) == signbit(wanted);
}

static double run_1(Arena *a, Program *fn, Elem elem, double x) {
    double in = 0, out = 0;
    const void *at[] = {&in};
    RefTensor tx = {.data = &in, .elem = (int32_t)elem}, ty = {.data = &out, .elem = (int32_t)elem};
    ref_store(&tx, 0, x);
    expr_run(program_of(a, fn, elem), 1, at, &out);
    return ref_load(&ty, 0);
}

/* Zeros, infinities, NaN and arguments outside the domain give what the C library gives. */
static void ends_are_right(void **state) {
    (void)state;
    static const double points[] = {0, -0.0, 1, -1, -2, INFINITY, -INFINITY, NAN, 2, -1e30, 1e30};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        bool circular = rows[i].exact == sinl || rows[i].exact == cosl || rows[i].exact == tanl;
        for (size_t k = 0; k < COUNT_OF(points); k++) {
            double wanted = (double)rows[i].exact((long double)points[k]);
            bool pole = isinf(wanted) || isnan(wanted) || wanted == 0 || wanted == 1 || wanted == -1;
            if (!pole || (circular && fabs(points[k]) == 1e30)) continue;
            Arena a = {0};
            double f32 = run_1(&a, rows[i].program, QCC_F32, points[k]);
            double f64 = run_1(&a, rows[i].program, QCC_F64, points[k]);
            bool unsigned_zero = circular || rows[i].program == xm_expm1 || rows[i].program == xm_log1p;
            bool zero_sign = unsigned_zero && wanted == 0; /* -0 may give +0 */
            if (!same_value(zero_sign ? fabs(f32) : f32, zero_sign ? 0 : wanted)) {
                fail_msg("%s(%g) is %g in f32", rows[i].name, points[k], f32);
            }
            if (!same_value(zero_sign ? fabs(f64) : f64, zero_sign ? 0 : wanted)) {
                fail_msg("%s(%g) is %g in f64", rows[i].name, points[k], f64);
            }
            arena_free(&a);
        }
    }
}

static void exp_runs_out_and_dwindles(void **state) {
    (void)state;
    Arena a = {0};
    for (double x = -104.5; x < -87.5; x += 0.037) { /* denormal results, rounded once */
        double found = run_1(&a, xm_exp, QCC_F32, x);
        assert_true(fabs(found - exp((double)(float)x)) <= 0x1p-149);
    }
    assert_true(run_1(&a, xm_exp, QCC_F32, 88.7228317) < INFINITY);
    assert_true(run_1(&a, xm_exp, QCC_F32, 88.7228394) == INFINITY);
    assert_true(run_1(&a, xm_exp, QCC_F64, 709.78) < INFINITY);
    assert_true(run_1(&a, xm_exp, QCC_F64, 709.79) == INFINITY);
    assert_true(run_1(&a, xm_exp, QCC_F64, -745.1) == 0x1p-1074);
    assert_true(run_1(&a, xm_exp, QCC_F64, -746) == 0);
    assert_true(fabs(run_1(&a, xm_log, QCC_F32, 0x1.8p-140) - log(0x1.8p-140)) < 1e-5);
    assert_true(fabs(run_1(&a, xm_log, QCC_F64, 0x1.8p-1070) - log(0x1.8p-1070)) < 1e-12);
    assert_true(fabs(run_1(&a, xm_sinh, QCC_F64, 710.2) / sinh(710.2) - 1) < 1e-14);
    assert_true(fabs(run_1(&a, xm_asinh, QCC_F64, 1e300) / asinh(1e300) - 1) < 1e-15);
    arena_free(&a);
}

/* ---- powers ---- */

static double run_pow(Arena *a, Elem elem, double x, double y) {
    ExprBuilder b = {.arena = a};
    const Expr *e = x_finish(&b, xm_pow(&b, x_in(&b, 0, elem), x_in(&b, 1, QCC_F64)), 2);
    double in = 0, out = 0;
    RefTensor tx = {.data = &in, .elem = (int32_t)elem}, ty = {.data = &out, .elem = (int32_t)elem};
    ref_store(&tx, 0, x);
    const void *at[] = {&in, &y};
    expr_run(e, 1, at, &out);
    return ref_load(&ty, 0);
}

static void pow_ends_are_right(void **state) {
    (void)state;
    static const double points[] = {0,    -0.0, 1,   -1,       2,         -2,  0.5, -0.5, 3,
                                    -3.0, 1e20, 2.5, INFINITY, -INFINITY, NAN, 63,  64,   -1e300};
    for (size_t i = 0; i < COUNT_OF(points); i++) {
        for (size_t k = 0; k < COUNT_OF(points); k++) {
            Arena a = {0};
            double x = points[i], y = points[k], wanted = pow(x, y), f64 = run_pow(&a, QCC_F64, x, y);
            bool close = same_value(f64, wanted) || fabs(f64 / wanted - 1) < 1e-13;
            if (!close) fail_msg("pow(%g, %g) is %g, not %g", x, y, f64, wanted);
            float in = (float)x, want32 = powf(in, (float)y);
            double f32 = run_pow(&a, QCC_F32, x, (double)(float)y);
            if (!same_value(f32, (double)want32)) fail_msg("powf(%g, %g) is %g, not %g", x, y, f32, (double)want32);
            arena_free(&a);
        }
    }
}

static void pow_of_whole_numbers_is_exact(void **state) {
    (void)state;
    Arena a = {0};
    for (int x = -12; x <= 12; x++) {
        double exact = 1;
        for (int y = 0; y < 15 && fabs(exact) < 0x1p53; y++, exact *= x) {
            assert_true(run_pow(&a, QCC_F64, x, y) == exact);
            if (fabs(exact) <= 0x1p24) assert_true(run_pow(&a, QCC_F32, x, y) == exact);
        }
    }
    arena_free(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f32_is_close),       cmocka_unit_test(f64_is_close),
        cmocka_unit_test(ends_are_right),     cmocka_unit_test(exp_runs_out_and_dwindles),
        cmocka_unit_test(pow_ends_are_right), cmocka_unit_test(pow_of_whole_numbers_is_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
