/* exp, log and what follows from them. The schemes are the classical ones (Cody and Waite 1980): bring the argument to
 * a small interval by exact steps, evaluate a minimax polynomial there, put the power of two back with integer
 * arithmetic on the exponent's bits. Polynomials were computed by Remez' exchange in 50 digits for the weight given,
 * then rounded; the error stated is that of the polynomial before rounding. */
#include "ir/expr_math.h"

#include "ir/expr_words.h"

/* ---- parts --------------------------------------------------------------------------------------------------- */

static bool wide(const ExprBuilder *b, X p) { return x_elem(b, p) == QCC_F64; }
/* The bits of a float as an integer of its width, and back. */
static X bits(ExprBuilder *b, X p) { return x_bitcast(b, wide(b, p) ? QCC_I64 : QCC_I32, p); }
static X real(ExprBuilder *b, X i) { return x_bitcast(b, x_elem(b, i) == QCC_I64 ? QCC_F64 : QCC_F32, i); }

X xm_poly(ExprBuilder *b, X x, const double *c, int n) {
    X y = num(b, x, c[n - 1]);
    for (int i = n - 2; i >= 0; i--) y = plus(b, mul(b, y, x), c[i]);
    return y;
}

X xm_copysign(ExprBuilder *b, X size, X sign) {
    X s = bits(b, sign), top = whole(b, s, INT64_MIN);
    if (x_elem(b, s) == QCC_I32) top = whole(b, s, INT32_MIN);
    return real(b, x_2(b, X_OR, bits(b, size), x_2(b, X_AND, s, top)));
}

X xm_via_f64(ExprBuilder *b, X x, X (*fn)(ExprBuilder *, X)) {
    return x_cast(b, x_elem(b, x), fn(b, x_cast(b, QCC_F64, x)));
}

/* ---- exp ----------------------------------------------------------------------------------------------------- */

/* (exp(r) - 1 - r) / r^2 for |r| <= ln(2)/2, weight r^2 / exp(r): error 2^-28.3 */
static const double exp_f32[] = {0x1.fffffcp-2, 0x1.555492p-3, 0x1.5558f2p-5, 0x1.123a2p-7, 0x1.6a23cap-10};
/* the same: error 2^-57.9 */
static const double exp_f64[] = {
    0x1.000000000000ap-1,  0x1.55555555554f9p-3,  0x1.555555555083fp-5,  0x1.1111111127d18p-7,  0x1.6c16c18438ab0p-10,
    0x1.a01a012a0bf10p-13, 0x1.a01999e26f7bep-16, 0x1.71df25ba59a6fp-19, 0x1.28ad9b7ce4641p-22, 0x1.ad7f338d451bep-26};
/* ln(2) in two parts, the first short enough that its product with the exponent is exact. */
static const double ln2_hi[] = {0x1.62e4p-1, 0x1.62e42feep-1}, ln2_lo[] = {0x1.7f7d1cp-20, 0x1.a39ef35793c76p-33};

typedef struct Exp {
    X n, m; /* exp(x) = 2^n (1 + m), n an integer of x's width */
} Exp;

/* Adding 1.5 * 2^23 (2^52) leaves the nearest integer in the low bits: no conversion is needed either way. */
static Exp split_exp(ExprBuilder *b, X x) {
    bool w = wide(b, x);
    X magic = num(b, x, w ? 0x1.8p52 : 0x1.8p23);
    X shifted = add(b, times(b, x, 0x1.71547652b82fep+0), magic);
    X n = sub(b, bits(b, shifted), bits(b, magic)), nf = sub(b, shifted, magic);
    X r = sub(b, sub(b, x, times(b, nf, ln2_hi[w])), times(b, nf, ln2_lo[w]));
    X q = w ? xm_poly(b, r, exp_f64, COUNT_OF(exp_f64)) : xm_poly(b, r, exp_f32, COUNT_OF(exp_f32));
    return (Exp){n, add(b, r, mul(b, mul(b, r, r), q))};
}

/* 2^n of an exponent in the normal range. */
static X power_of_2(ExprBuilder *b, X n) {
    bool w = x_elem(b, n) == QCC_I64;
    return real(b, x_2(b, X_SHL, add(b, n, whole(b, n, w ? 1023 : 127)), whole(b, n, w ? 52 : 23)));
}

/* The power is applied in two halves: its range is wider than that of a normal exponent, and a denormal result is then
 * rounded once. */
X xm_exp(ExprBuilder *b, X x) {
    bool w = wide(b, x);
    Exp e = split_exp(b, clamp(b, x, w ? -746 : -104, w ? 710 : 89));
    X half = x_2(b, X_SHR, e.n, whole(b, e.n, 1));
    X y = mul(b, plus(b, e.m, 1), power_of_2(b, half));
    return mul(b, y, power_of_2(b, sub(b, e.n, half)));
}

/* exp(x) where neither the result nor its scale leaves the normal range. */
static X exp_normal(ExprBuilder *b, X x) {
    Exp e = split_exp(b, x);
    return mul(b, plus(b, e.m, 1), power_of_2(b, e.n));
}

/* 2^n m + (2^n - 1), with half the power so that 2^n may be one step beyond the largest. */
X xm_expm1(ExprBuilder *b, X x) {
    bool w = wide(b, x);
    Exp e = split_exp(b, clamp(b, x, w ? -38 : -18, w ? 710 : 89));
    X s = power_of_2(b, sub(b, e.n, whole(b, e.n, 1)));
    return times(b, add(b, mul(b, s, e.m), plus(b, s, -0.5)), 2);
}

/* t / (t + 2) with t = exp(2|x|) - 1; 1 beyond the clamp. */
X xm_tanh(ExprBuilder *b, X x) {
    X a = at_most(b, magnitude(b, x), wide(b, x) ? 20 : 9.2);
    Exp e = split_exp(b, add(b, a, a));
    X s = power_of_2(b, e.n);
    X t = add(b, mul(b, s, e.m), plus(b, s, -1));
    return xm_copysign(b, over(b, t, plus(b, t, 2)), x);
}

/* With e = exp(-|x|): 1 / (1 + e), or e / (1 + e) for negative x, so that small results keep their digits. */
X xm_sigmoid(ExprBuilder *b, X x) {
    X e = xm_exp(b, negate(b, magnitude(b, x)));
    X negative = below(b, x, 0);
    return over(b, x_select(b, negative, e, num(b, x, 1)), plus(b, e, 1));
}

/* max(x, 0) + log(1 + exp(-|x|)) */
X xm_softplus(ExprBuilder *b, X x) {
    X e = xm_exp(b, negate(b, magnitude(b, x)));
    return add(b, at_least(b, x, 0), xm_log1p(b, e));
}

/* ---- log ----------------------------------------------------------------------------------------------------- */

/* (log(1 + f) - f + f^2 / 2) / f^3 for sqrt(1/2) <= 1 + f <= sqrt(2), weight f^3 / log(1 + f): error 2^-30.3 */
static const double log_f32[] = {0x1.555548p-2,  -0x1.000006p-2, 0x1.99a4b6p-3,  -0x1.555c4ep-3, 0x1.233768p-3,
                                 -0x1.fc2208p-4, 0x1.e6f06cp-4,  -0x1.de3c16p-4, 0x1.1457a8p-4};
/* with s = f / (2 + f), z = s^2: (log(1 + f) - 2 s) / (s z), weight z: error 2^-58.5 */
static const double log_f64[] = {0x1.5555555555592p-1, 0x1.999999997fd76p-2, 0x1.24924941f504bp-2, 0x1.c71c520600fd9p-3,
                                 0x1.74663fa38245ep-3, 0x1.39a1a6d563ab4p-3, 0x1.2f0635d1a1247p-3};

/* log(1 + f) - f */
static X log_rest(ExprBuilder *b, X f, X carry) {
    X square = mul(b, f, f), half = times(b, square, 0.5);
    if (!wide(b, f)) {
        X cubic = mul(b, mul(b, f, square), xm_poly(b, f, log_f32, COUNT_OF(log_f32)));
        return sub(b, add(b, cubic, carry), half);
    }
    X s = over(b, f, plus(b, f, 2)), z = mul(b, s, s);
    X r = mul(b, z, xm_poly(b, z, log_f64, COUNT_OF(log_f64)));
    return sub(b, add(b, mul(b, s, add(b, half, r)), carry), half);
}

/* log(x) + carry, carry being tiny: x = 2^k (1 + f), taken apart by its bits. Denormals are scaled up first. */
static X log_sum(ExprBuilder *b, X x, X carry) {
    bool w = wide(b, x);
    X tiny = below(b, x, w ? 0x1p-1022 : 0x1p-126);
    X i = bits(b, x_select(b, tiny, times(b, x, 0x1p54), x)), low = bits(b, num(b, x, 0x1.6a09e6p-1));
    X rise = sub(b, i, low), fraction = whole(b, i, w ? ((int64_t)1 << 52) - 1 : (1 << 23) - 1);
    X k = x_cast(b, x_elem(b, x), x_2(b, X_SHR, rise, whole(b, i, w ? 52 : 23)));
    k = add(b, k, x_select(b, tiny, num(b, x, -54), num(b, x, 0)));
    X f = plus(b, real(b, add(b, x_2(b, X_AND, rise, fraction), low)), -1);
    X rest = log_rest(b, f, add(b, times(b, k, ln2_lo[w]), carry));
    return add(b, times(b, k, ln2_hi[w]), add(b, f, rest));
}

/* What the logarithm of u is where it is not `finite`: itself above the finite numbers and for NaN, -inf at 0, NaN
 * below. */
static X log_ends(ExprBuilder *b, X u, X finite) {
    X upper = x_select(b, x_2(b, X_LE, u, num(b, u, wide(b, u) ? 0x1.fffffffffffffp1023 : 0x1.fffffep127)), finite, u);
    X pole = x_select(b, is(b, u, 0), num(b, u, -(double)__builtin_inff()), num(b, u, (double)__builtin_nanf("")));
    return x_select(b, above(b, u, 0), upper, pole);
}

X xm_log(ExprBuilder *b, X x) { return log_ends(b, x, log_sum(b, x, num(b, x, 0))); }

/* log(u) with u = 1 + x rounded, plus what the rounding lost over u. */
X xm_log1p(ExprBuilder *b, X x) {
    X u = plus(b, x, 1);
    X lost = over(b, sub(b, x, plus(b, u, -1)), u);
    return log_ends(b, u, log_sum(b, u, lost));
}

/* ---- erf ----------------------------------------------------------------------------------------------------- */

/* erf(x) / x - 1 in x^2 for |x| <= 0.93, weight x / erf(x): error 2^-31 */
static const double erf_f32[] = {0x1.06eba8p-3, -0x1.812742p-2, 0x1.ce2e0ap-4, -0x1.b80e9p-6,
                                 0x1.54c7f6p-8, -0x1.aa3f3p-11, 0x1.5cd4b6p-14};
/* log(1 - erf(x)) for 0.92 <= x <= 4, weight 1 - erf(x): error 2^-34.5 */
static const double erfc_f32[] = {0x1.70d568p-13, -0x1.212846p+0, -0x1.44447p-1,  -0x1.bb926cp-4,
                                  0x1.9bb51p-6,   -0x1.1196d6p-8, 0x1.c85c02p-12, -0x1.63097p-16};
/* erf(x) / x - 1 in x^2 for |x| <= 1: error 2^-62.7 */
static const double erf_f64[] = {0x1.06eba8214db69p-3,   -0x1.812746b0379e6p-2,  0x1.ce2f21a042b20p-4,
                                 -0x1.b82ce3128499cp-6,  0x1.565bcd0db02dbp-8,   -0x1.c02db3d8ed079p-11,
                                 0x1.f9a321a11a6b8p-14,  -0x1.f4d1df3909ca7p-17, 0x1.b9def19ab6c16p-20,
                                 -0x1.5f1d36a78dfb4p-23, 0x1.f7a411188884bp-27,  -0x1.386abd8b2b711p-30,
                                 0x1.0579a25827aa0p-34};
/* (1 - erf(x)) exp(x^2) (x + 2) in t = (x - 2) / (x + 2) for 0.99 <= x <= 6, relative: error 2^-56.9 */
static const double erfc_f64[] = {0x1.058671b52c776p+0,   -0x1.5fd386754effbp-1,  0x1.1e2deea6b112ep-2,
                                  -0x1.2a88e6107ac42p-5,  -0x1.606e415507a38p-6,  0x1.a89eaff157f7ap-8,
                                  0x1.9517bb42e184dp-9,   -0x1.b6fbf0d184e98p-11, -0x1.5ba42c7cfcdcfp-11,
                                  0x1.2048b330ea376p-15,  0x1.2ef9c0ad61737p-13,  0x1.1ef5cec3e1ae8p-15,
                                  -0x1.6cb1061110896p-16, -0x1.142d9de90c222p-16, -0x1.6a339065ebec0p-21,
                                  0x1.28b65ac5544bbp-18,  0x1.041ddb991c0b5p-21};

/* 1 - erf(a) for a from about 1 to where erf is 1. */
static X erfc_large(ExprBuilder *b, X a) {
    if (!wide(b, a)) return exp_normal(b, xm_poly(b, a, erfc_f32, COUNT_OF(erfc_f32)));
    X inverse = over(b, num(b, a, 1), plus(b, a, 2));
    X g = xm_poly(b, mul(b, plus(b, a, -2), inverse), erfc_f64, COUNT_OF(erfc_f64));
    return mul(b, mul(b, exp_normal(b, negate(b, mul(b, a, a))), g), inverse);
}

X xm_erf(ExprBuilder *b, X x) {
    bool w = wide(b, x);
    X a = magnitude(b, x), square = mul(b, x, x);
    X p = w ? xm_poly(b, square, erf_f64, COUNT_OF(erf_f64)) : xm_poly(b, square, erf_f32, COUNT_OF(erf_f32));
    X near = add(b, x, mul(b, x, p));
    X far = from(b, 1, erfc_large(b, at_most(b, a, w ? 6 : 4)));
    return x_select(b, below(b, a, w ? 1 : 0.925), near, xm_copysign(b, far, x));
}
