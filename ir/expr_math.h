/* Transcendental functions as element-wise programs: own polynomials over the exact instructions, no branches, the same
 * bits on every machine. The argument is of f32 or f64, the result of its type. Special values are those of the C
 * library: NaN, infinities, zeros with their sign (but sin, tan, expm1 and log1p may give +0 for -0), denormal results;
 * poles give infinities.
 *
 * Largest errors against the exact value, in units in the last place, as tests/test_expr_math.c holds them: in f32
 * exp 1, log and log1p 0.9, erf 1.3, expm1 and softplus 1.5, tanh and sigmoid 2.2, all others, which go through f64,
 * 0.501; in f64 at most 3.3. sin, cos, tan: arguments up to 2^29 in size; above, the error grows until only |result| <=
 * 1 is left. */
#ifndef QCC_IR_EXPR_MATH_H
#define QCC_IR_EXPR_MATH_H

#include "ir/expr.h"

X xm_exp(ExprBuilder *b, X x);
X xm_expm1(ExprBuilder *b, X x);
X xm_log(ExprBuilder *b, X x);
X xm_log1p(ExprBuilder *b, X x);
X xm_tanh(ExprBuilder *b, X x);
X xm_erf(ExprBuilder *b, X x);
X xm_sigmoid(ExprBuilder *b, X x);
X xm_softplus(ExprBuilder *b, X x); /* log(1 + exp(x)) */

X xm_sin(ExprBuilder *b, X x);
X xm_cos(ExprBuilder *b, X x);
X xm_tan(ExprBuilder *b, X x);
X xm_asin(ExprBuilder *b, X x);
X xm_acos(ExprBuilder *b, X x);
X xm_atan(ExprBuilder *b, X x);
X xm_sinh(ExprBuilder *b, X x);
X xm_cosh(ExprBuilder *b, X x);
X xm_asinh(ExprBuilder *b, X x);
X xm_acosh(ExprBuilder *b, X x);
X xm_atanh(ExprBuilder *b, X x);
/* x of any type that is computed with, which is also the result's; integers are rounded toward zero. */
X xm_pow(ExprBuilder *b, X x, X y);

/* Parts that several of them share. */
X xm_poly(ExprBuilder *b, X x, const double *c, int n); /* c[0] + c[1] x + ... + c[n-1] x^(n-1), by Horner's rule */
X xm_copysign(ExprBuilder *b, X size, X sign);          /* size must not be negative */
X xm_via_f64(ExprBuilder *b, X x, X (*fn)(ExprBuilder *, X)); /* fn in f64, rounded to x's type */

#endif
