/* Transcendental operators: each is a program of expr_math.h. */
#include "ir/expr_math.h"
#include "ir/expr_words.h"
#include "ir/op.h"

void expr_Exp(ExprOp *o) { o->result = xm_exp(o->b, o->in[0]); }
void expr_Log(ExprOp *o) { o->result = xm_log(o->b, o->in[0]); }
void expr_Erf(ExprOp *o) { o->result = xm_erf(o->b, o->in[0]); }
void expr_Sin(ExprOp *o) { o->result = xm_sin(o->b, o->in[0]); }
void expr_Cos(ExprOp *o) { o->result = xm_cos(o->b, o->in[0]); }
void expr_Tan(ExprOp *o) { o->result = xm_tan(o->b, o->in[0]); }
void expr_Asin(ExprOp *o) { o->result = xm_asin(o->b, o->in[0]); }
void expr_Acos(ExprOp *o) { o->result = xm_acos(o->b, o->in[0]); }
void expr_Atan(ExprOp *o) { o->result = xm_atan(o->b, o->in[0]); }
void expr_Sinh(ExprOp *o) { o->result = xm_sinh(o->b, o->in[0]); }
void expr_Cosh(ExprOp *o) { o->result = xm_cosh(o->b, o->in[0]); }
void expr_Asinh(ExprOp *o) { o->result = xm_asinh(o->b, o->in[0]); }
void expr_Acosh(ExprOp *o) { o->result = xm_acosh(o->b, o->in[0]); }
void expr_Atanh(ExprOp *o) { o->result = xm_atanh(o->b, o->in[0]); }
void expr_Sigmoid(ExprOp *o) { o->result = xm_sigmoid(o->b, o->in[0]); }
void expr_Tanh(ExprOp *o) { o->result = xm_tanh(o->b, o->in[0]); }
void expr_Softplus(ExprOp *o) { o->result = xm_softplus(o->b, o->in[0]); }

/* Integers to an integer power, modulo 2^width, by squaring. A negative power is 1 / x^n rounded toward zero: itself
 * for 1 and -1, else 0. */
static X pow_whole(ExprBuilder *b, X x, X y) {
    bool is_signed = elem_info[x_elem(b, y)].kind == ELEM_I;
    X n = x_cast(b, QCC_U64, y), square = x, p = num(b, x, 1);
    for (int bit = 0; bit < elem_info[x_elem(b, y)].bits - is_signed; bit++) {
        X odd = x_cast(b, QCC_BOOL, x_2(b, X_AND, x_2(b, X_SHR, n, whole(b, n, bit)), whole(b, n, 1)));
        p = x_select(b, odd, mul(b, p, square), p);
        square = mul(b, square, square);
    }
    if (!is_signed) return p;
    X unit = x_2(b, X_OR, is(b, x, 1), is(b, x, -1)), inverse = x_select(b, unit, p, num(b, x, 0));
    return x_select(b, below(b, y, 0), inverse, p);
}

void expr_Pow(ExprOp *o) {
    X x = o->in[0], y = o->in[1];
    bool whole_both = elem_is_int(x_elem(o->b, x)) && elem_is_int(x_elem(o->b, y));
    o->result = whole_both ? pow_whole(o->b, x, y) : xm_pow(o->b, x, y);
}
