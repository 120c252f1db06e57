/* Activation functions. Constants are those of the operators' definitions; attributes are f32 as in the file. */
#include "ir/expr_math.h"
#include "ir/expr_words.h"
#include "ir/op.h"

#include <string.h>

static double attr(const ExprOp *o, const char *name) { return (double)(float)node_float(o->node, name); }

void expr_Relu(ExprOp *o) { o->result = at_least(o->b, o->in[0], 0); }

void expr_LeakyRelu(ExprOp *o) {
    X x = o->in[0];
    o->result = x_select(o->b, below(o->b, x, 0), times(o->b, x, attr(o, "alpha")), x);
}

/* The slope broadcasts to X, never X to the slope. */
void expr_PRelu(ExprOp *o) {
    const Shape *x = in_shape(o->node, 0), *slope = in_shape(o->node, 1);
    Shape both_shapes;
    if (!shape_broadcast(x, slope, &both_shapes) || !shape_equal(&both_shapes, x)) {
        expr_refuse(o, D_OPERAND_SHAPE, 1, "the slope is %s, which does not broadcast to X, %s",
                    shape_str(o->b->arena, slope), shape_str(o->b->arena, x));
        return;
    }
    o->result = x_select(o->b, below(o->b, o->in[0], 0), mul(o->b, o->in[0], o->in[1]), o->in[0]);
}

void expr_ThresholdedRelu(ExprOp *o) {
    X x = o->in[0];
    o->result = x_select(o->b, above(o->b, x, attr(o, "alpha")), x, num(o->b, x, 0));
}

void expr_Elu(ExprOp *o) {
    X x = o->in[0];
    o->result = x_select(o->b, below(o->b, x, 0), times(o->b, xm_expm1(o->b, x), attr(o, "alpha")), x);
}

/* max(0, x) + min(0, alpha (exp(x / alpha) - 1)) */
void expr_Celu(ExprOp *o) {
    ExprBuilder *b = o->b;
    double alpha = attr(o, "alpha");
    X x = o->in[0], bent = times(b, xm_expm1(b, over(b, x, num(b, x, alpha))), alpha);
    o->result = add(b, at_least(b, x, 0), at_most(b, bent, 0));
}

void expr_Selu(ExprOp *o) {
    ExprBuilder *b = o->b;
    X x = o->in[0], bent = times(b, xm_expm1(b, x), attr(o, "alpha"));
    o->result = times(b, x_select(b, above(b, x, 0), x, bent), attr(o, "gamma"));
}

/* x / 2 (1 + erf(x / sqrt(2))), or x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) */
void expr_Gelu(ExprOp *o) {
    ExprBuilder *b = o->b;
    const char *kind = node_string(o->node, "approximate");
    X x = o->in[0], curve;
    if (strcmp(kind, "none") == 0) {
        curve = xm_erf(b, times(b, x, 0x1.6a09e667f3bcdp-1));
    } else if (strcmp(kind, "tanh") == 0) {
        X cube = mul(b, mul(b, x, x), x);
        curve = xm_tanh(b, times(b, add(b, x, times(b, cube, 0.044715)), 0x1.9884533d43651p-1));
    } else {
        expr_refuse(o, D_ATTRIBUTE, -1, "approximate is '%s', but must be none or tanh", kind);
        return;
    }
    o->result = mul(b, times(b, x, 0.5), plus(b, curve, 1));
}

static X hard_sigmoid(ExprBuilder *b, X x, double alpha, double beta) {
    return at_least(b, at_most(b, plus(b, times(b, x, alpha), beta), 1), 0);
}

void expr_HardSigmoid(ExprOp *o) { o->result = hard_sigmoid(o->b, o->in[0], attr(o, "alpha"), attr(o, "beta")); }
void expr_HardSwish(ExprOp *o) { o->result = mul(o->b, o->in[0], hard_sigmoid(o->b, o->in[0], 1.0 / 6, 0.5)); }

void expr_Swish(ExprOp *o) {
    o->result = mul(o->b, o->in[0], xm_sigmoid(o->b, times(o->b, o->in[0], attr(o, "alpha"))));
}

/* x tanh(softplus(x)); with e = exp(x) that is x (e^2 + 2 e) / (e^2 + 2 e + 2), which is x from 20 on (40 in f64). */
void expr_Mish(ExprOp *o) {
    ExprBuilder *b = o->b;
    X x = o->in[0], e = xm_exp(b, at_most(b, x, x_elem(b, x) == QCC_F64 ? 40 : 20));
    X p = mul(b, e, plus(b, e, 2));
    o->result = mul(b, x, over(b, p, plus(b, p, 2)));
}

void expr_Softsign(ExprOp *o) { o->result = over(o->b, o->in[0], plus(o->b, magnitude(o->b, o->in[0]), 1)); }

/* x + bias below -lambd, x - bias above lambd, 0 between. Integers are computed in f64. */
void expr_Shrink(ExprOp *o) {
    ExprBuilder *b = o->b;
    double bias = attr(o, "bias"), lambd = attr(o, "lambd");
    X x = elem_is_float(x_elem(b, o->in[0])) ? o->in[0] : x_cast(b, QCC_F64, o->in[0]);
    X inner = x_select(b, above(b, x, lambd), plus(b, x, -bias), num(b, x, 0));
    X y = x_select(b, below(b, x, -lambd), plus(b, x, bias), inner);
    o->result = x_cast(b, x_elem(b, o->in[0]), y);
}
