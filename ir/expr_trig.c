/* The circular functions, their inverses, the hyperbolic ones and powers. They are computed in f64, also for f32, whose
 * results are thereby all but correctly rounded: none of them is common enough in a network to be worth a form of its
 * own. Polynomials as in expr_math.c. */
#include "ir/expr_math.h"

#include "ir/expr_words.h"

static X sign_flipped(ExprBuilder *b, X p, X bit) { /* bit: i64, only the sign bit may be set */
    return x_bitcast(b, QCC_F64, x_2(b, X_XOR, x_bitcast(b, QCC_I64, p), bit));
}

/* ---- circular ------------------------------------------------------------------------------------------------ */

/* (sin(r) - r) / r^3 in r^2 for |r| <= pi/4: error 2^-57.9 */
static const double sin_poly[] = {-0x1.5555555555548p-3, 0x1.111111110f7b0p-7,   -0x1.a01a019bf9b4ap-13,
                                  0x1.71de356407aa5p-19, -0x1.ae5e5780756a8p-26, 0x1.5d8ee76a194eep-33};
/* (cos(r) - 1 + r^2 / 2) / r^4 in r^2: error 2^-64 */
static const double cos_poly[] = {0x1.555555555554bp-5,   -0x1.6c16c16c14f6cp-10, 0x1.a01a019c8095bp-16,
                                  -0x1.27e4f7e801eeap-22, 0x1.1ee9d5c8bf1b0p-29,  -0x1.8fa3955a35bd7p-37};

typedef struct Turn {
    X sin, cos; /* of what is left after whole quarter turns */
    X quarters; /* i64; its two low bits count */
} Turn;

/* Quarters by adding 1.5 * 2^52, as in exp; pi/2 in three parts, of which the first two have 33 bits. */
static Turn turn(ExprBuilder *b, X x) {
    X magic = num(b, x, 0x1.8p52);
    X shifted = add(b, times(b, x, 0x1.45f306dc9c883p-1), magic), n = sub(b, shifted, magic);
    X r = sub(b, x, times(b, n, 0x1.921fb544p+0));
    r = sub(b, r, times(b, n, 0x1.0b4611a6p-34));
    r = sub(b, r, times(b, n, 0x1.3198a2e037073p-69));
    r = clamp(b, r, -0x1.93p-1, 0x1.93p-1);
    X z = mul(b, r, r);
    X s = add(b, r, mul(b, mul(b, r, z), xm_poly(b, z, sin_poly, COUNT_OF(sin_poly))));
    X c = mul(b, mul(b, z, z), xm_poly(b, z, cos_poly, COUNT_OF(cos_poly)));
    return (Turn){s, add(b, from(b, 1, times(b, z, 0.5)), c), x_bitcast(b, QCC_I64, shifted)};
}

static X odd_quarters(ExprBuilder *b, X quarters) {
    return x_2(b, X_EQ, x_2(b, X_AND, quarters, whole(b, quarters, 1)), whole(b, quarters, 1));
}

/* sin of x plus `ahead` quarter turns */
static X sin_from(ExprBuilder *b, X x, int ahead) {
    Turn t = turn(b, x);
    X quarters = add(b, t.quarters, whole(b, t.quarters, ahead));
    X value = x_select(b, odd_quarters(b, quarters), t.cos, t.sin);
    X half = x_2(b, X_AND, quarters, whole(b, quarters, 2));
    return sign_flipped(b, value, x_2(b, X_SHL, half, whole(b, quarters, 62)));
}

static X sin_f64(ExprBuilder *b, X x) { return sin_from(b, x, 0); }
static X cos_f64(ExprBuilder *b, X x) { return sin_from(b, x, 1); }

static X tan_f64(ExprBuilder *b, X x) {
    Turn t = turn(b, x);
    X odd = odd_quarters(b, t.quarters);
    return over(b, x_select(b, odd, negate(b, t.cos), t.sin), x_select(b, odd, t.sin, t.cos));
}

/* (atan(t) - t) / t^3 in t^2 for |t| <= tan(pi/8): error 2^-59.4 */
static const double atan_poly[] = {-0x1.555555555553dp-2, 0x1.99999999957aep-3,  -0x1.24924922a981ep-3,
                                   0x1.c71c70e4bafefp-4,  -0x1.745cf8b9c08a5p-4, 0x1.3b1116e30a414p-4,
                                   -0x1.10eba0a6e4609p-4, 0x1.df0e06e012daep-5,  -0x1.9ccd500b507b9p-5,
                                   0x1.37c876a8a8a9ap-5,  -0x1.254e9c505d8dcp-6};

/* An eighth or a quarter turn is taken off first: atan(a) = pi/4 + atan((a - 1) / (a + 1)) = pi/2 + atan(-1 / a). */
static X atan_f64(ExprBuilder *b, X x) {
    X a = magnitude(b, x), one = num(b, x, 1), zero = num(b, x, 0);
    X middle = above(b, a, 0x1.a827999fcef32p-2), far = above(b, a, 0x1.3504f333f9de6p+1); /* tan(pi/8), 1 / that */
    X p = x_select(b, far, num(b, x, -1), x_select(b, middle, plus(b, a, -1), a));
    X q = x_select(b, far, a, x_select(b, middle, plus(b, a, 1), one));
    X base =
        x_select(b, far, num(b, x, 0x1.921fb54442d18p+0), x_select(b, middle, num(b, x, 0x1.921fb54442d18p-1), zero));
    X t = over(b, p, q), z = mul(b, t, t);
    X y = add(b, t, mul(b, mul(b, t, z), xm_poly(b, z, atan_poly, COUNT_OF(atan_poly))));
    return xm_copysign(b, add(b, base, y), x);
}

/* (asin(s) - s) / s^3 in s^2 for s^2 <= 1/4: error 2^-55.9 */
static const double asin_poly[] = {0x1.5555555555390p-3, 0x1.333333336e7cbp-4,  0x1.6db6db427c82dp-5,
                                   0x1.f1c72c3862675p-6, 0x1.6e89f44c8b1edp-6,  0x1.1c6be0ffa0be7p-6,
                                   0x1.c6fdcd5086d62p-7, 0x1.8ec2b696ec12ap-7,  0x1.abd18d9db6ccap-8,
                                   0x1.3ff343a318aa1p-6, -0x1.09d118b6ce9a7p-6, 0x1.056cc1c8994cep-5};

/* asin(s) of s = a up to 1/2, else of s = sqrt((1 - a) / 2), which gives half the angle from pi/2. NaN above 1. */
static X asin_part(ExprBuilder *b, X a, X large) {
    X z = x_select(b, large, times(b, from(b, 1, a), 0.5), mul(b, a, a));
    X s = x_select(b, large, root(b, z), a);
    return add(b, s, mul(b, mul(b, s, z), xm_poly(b, z, asin_poly, COUNT_OF(asin_poly))));
}

static X asin_f64(ExprBuilder *b, X x) {
    X a = magnitude(b, x), large = above(b, a, 0.5), y = asin_part(b, a, large);
    X far = sub(b, num(b, x, 0x1.921fb54442d18p+0), add(b, y, plus(b, y, -0x1.1a62633145c07p-54)));
    return xm_copysign(b, x_select(b, large, far, y), x);
}

static X acos_f64(ExprBuilder *b, X x) {
    X a = magnitude(b, x), large = above(b, a, 0.5), y = asin_part(b, a, large), twice = add(b, y, y);
    X negative = below(b, x, 0);
    X far = x_select(b, negative, from(b, 0x1.921fb54442d18p+1, twice), twice);
    X near = from(b, 0x1.921fb54442d18p+0, x_select(b, negative, negate(b, y), y));
    return x_select(b, large, far, near);
}

/* ---- hyperbolic ---------------------------------------------------------------------------------------------- */

/* exp(a) / 2 for a >= 0, without running over early */
static X half_exp(ExprBuilder *b, X a) { return times(b, xm_exp(b, plus(b, a, -1)), 0x1.5bf0a8b145769p+0); }

static X sinh_f64(ExprBuilder *b, X x) {
    X a = magnitude(b, x), h = half_exp(b, a), t = xm_expm1(b, at_most(b, a, 1));
    X near = times(b, add(b, t, over(b, t, plus(b, t, 1))), 0.5);
    X far = sub(b, h, over(b, num(b, x, 0.25), h));
    return xm_copysign(b, x_select(b, below(b, a, 1), near, far), x);
}

static X cosh_f64(ExprBuilder *b, X x) {
    X h = half_exp(b, magnitude(b, x));
    return add(b, h, over(b, num(b, x, 0.25), h));
}

/* log(a + rest), or log(a) + log(2) where a is so large that its square could run over. */
static X log_of_sum(ExprBuilder *b, X a, X less_one) {
    X huge = above(b, a, 0x1p500);
    X y = xm_log1p(b, x_select(b, huge, a, less_one));
    return add(b, y, x_select(b, huge, num(b, a, 0x1.62e42fefa39efp-1), num(b, a, 0)));
}

/* a + sqrt(a^2 + 1) - 1 = a + a^2 / (1 + sqrt(a^2 + 1)) */
static X asinh_f64(ExprBuilder *b, X x) {
    X a = magnitude(b, x), z = mul(b, a, a);
    X less_one = add(b, a, over(b, z, plus(b, root(b, plus(b, z, 1)), 1)));
    return xm_copysign(b, log_of_sum(b, a, less_one), x);
}

/* With t = x - 1: x + sqrt(x^2 - 1) - 1 = t + sqrt(2 t + t^2) */
static X acosh_f64(ExprBuilder *b, X x) {
    X t = plus(b, x, -1);
    X y = log_of_sum(b, x, add(b, t, root(b, add(b, add(b, t, t), mul(b, t, t)))));
    return x_select(b, below(b, x, 1), num(b, x, (double)__builtin_nanf("")), y);
}

static X atanh_f64(ExprBuilder *b, X x) {
    X a = magnitude(b, x);
    return xm_copysign(b, times(b, xm_log1p(b, over(b, add(b, a, a), from(b, 1, a))), 0.5), x);
}

X xm_sin(ExprBuilder *b, X x) { return xm_via_f64(b, x, sin_f64); }
X xm_cos(ExprBuilder *b, X x) { return xm_via_f64(b, x, cos_f64); }
X xm_tan(ExprBuilder *b, X x) { return xm_via_f64(b, x, tan_f64); }
X xm_asin(ExprBuilder *b, X x) { return xm_via_f64(b, x, asin_f64); }
X xm_acos(ExprBuilder *b, X x) { return xm_via_f64(b, x, acos_f64); }
X xm_atan(ExprBuilder *b, X x) { return xm_via_f64(b, x, atan_f64); }
X xm_sinh(ExprBuilder *b, X x) { return xm_via_f64(b, x, sinh_f64); }
X xm_cosh(ExprBuilder *b, X x) { return xm_via_f64(b, x, cosh_f64); }
X xm_asinh(ExprBuilder *b, X x) { return xm_via_f64(b, x, asinh_f64); }
X xm_acosh(ExprBuilder *b, X x) { return xm_via_f64(b, x, acosh_f64); }
X xm_atanh(ExprBuilder *b, X x) { return xm_via_f64(b, x, atanh_f64); }

/* ---- powers -------------------------------------------------------------------------------------------------- */

static X is_whole(ExprBuilder *b, X y) { return x_2(b, X_EQ, x_1(b, X_TRUNC, y), y); }

/* x^y for x >= 0. Where the logarithm is 0 the power is 1 whatever y is; infinities come out right by themselves. */
static X pow_of_magnitude(ExprBuilder *b, X x, X y) {
    X l = xm_log(b, x);
    X exponent = x_select(b, is(b, l, 0), l, mul(b, y, l));
    return xm_exp(b, x_select(b, is(b, y, 0), y, exponent));
}

/* x^y for whole |y| < 64 by squaring, so that it is exact where it can be. */
static X pow_by_squares(ExprBuilder *b, X x, X y) {
    X n = x_cast(b, QCC_I32, magnitude(b, y)), square = x, p = num(b, x, 1);
    for (int bit = 1; bit < 64; bit *= 2) {
        X set = x_2(b, X_EQ, x_2(b, X_AND, n, whole(b, n, bit)), whole(b, n, bit));
        p = x_select(b, set, mul(b, p, square), p);
        square = mul(b, square, square);
    }
    return x_select(b, below(b, y, 0), over(b, num(b, x, 1), p), p);
}

/* `exact`: whole powers in the middle of the range go by squaring (elsewhere squares would lose digits or run over). */
static X pow_f64(ExprBuilder *b, X x, X y, bool exact) {
    X a = magnitude(b, x), y_whole = is_whole(b, y), odd = both(b, y_whole, not(b, is_whole(b, times(b, y, 0.5))));
    X p = pow_of_magnitude(b, a, y);
    p = x_select(b, odd, xm_copysign(b, p, x), p);
    if (exact) {
        X inside = both(b, above(b, a, 0x1p-16), below(b, a, 0x1p16));
        X plain = both(b, both(b, y_whole, inside), below(b, magnitude(b, y), 64));
        p = x_select(b, plain, pow_by_squares(b, x, y), p);
    }
    X negative = both(b, below(b, x, 0), above(b, x, -(double)__builtin_inff()));
    X y_nan = both(b, not(b, x_2(b, X_EQ, y, y)), not(b, is(b, x, 1)));
    X nan = num(b, x, (double)__builtin_nanf(""));
    return x_select(b, x_2(b, X_OR, both(b, negative, not(b, y_whole)), y_nan), nan, p);
}

/* A few constant exponents as products; -1 for others. Adding +0 to the radicand brings -0 to where pow has it. */
static X pow_constant(ExprBuilder *b, X x, const XInst *y) {
    if (y->op != X_CONST) return -1;
    if (y->k.f == 0.5) {
        X inf = num(b, x, (double)__builtin_inff());
        return x_select(b, x_2(b, X_EQ, x, negate(b, inf)), inf, root(b, plus(b, x, 0)));
    }
    if (y->k.f == -1) return over(b, num(b, x, 1), x);
    X square = mul(b, x, x);
    return y->k.f == 1 ? x : y->k.f == 2 ? square : y->k.f == 3 ? mul(b, square, x) : -1;
}

X xm_pow(ExprBuilder *b, X x, X y) {
    Elem e = x_elem(b, x);
    y = x_cast(b, QCC_F64, y);
    X product = elem_is_float(e) ? pow_constant(b, x, &b->inst.at[y]) : -1;
    if (product >= 0) return product;
    return x_cast(b, e, pow_f64(b, x_cast(b, QCC_F64, x), y, e != QCC_F32));
}
