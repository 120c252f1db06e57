/* Element-wise arithmetic: operators that are an instruction or a few. */
#include "ir/op.h"

#include <string.h>

static bool is_float(const ExprOp *o, int i) { return elem_is_float(x_elem(o->b, o->in[i])); }
static X number(const ExprOp *o, double v) { return x_const(o->b, x_elem(o->b, o->in[0]), v); }
static void apply_1(ExprOp *o, XOp op) { o->result = x_1(o->b, op, o->in[0]); }
static void apply_2(ExprOp *o, XOp op) { o->result = x_2(o->b, op, o->in[0], o->in[1]); }

void expr_Add(ExprOp *o) { apply_2(o, X_ADD); }
void expr_Sub(ExprOp *o) { apply_2(o, X_SUB); }
void expr_Mul(ExprOp *o) { apply_2(o, X_MUL); }
void expr_Div(ExprOp *o) { apply_2(o, X_DIV); }
void expr_Neg(ExprOp *o) { apply_1(o, X_NEG); }
void expr_Abs(ExprOp *o) { apply_1(o, X_ABS); }
void expr_Sqrt(ExprOp *o) { apply_1(o, X_SQRT); }
void expr_Floor(ExprOp *o) { apply_1(o, X_FLOOR); }
void expr_Ceil(ExprOp *o) { apply_1(o, X_CEIL); }
void expr_Round(ExprOp *o) { apply_1(o, X_RINT); }
void expr_BitwiseAnd(ExprOp *o) { apply_2(o, X_AND); }
void expr_BitwiseOr(ExprOp *o) { apply_2(o, X_OR); }
void expr_BitwiseXor(ExprOp *o) { apply_2(o, X_XOR); }

void expr_BitwiseNot(ExprOp *o) {
    X ones = x_const_int(o->b, x_elem(o->b, o->in[0]), -1);
    o->result = x_2(o->b, X_XOR, o->in[0], ones);
}

void expr_Reciprocal(ExprOp *o) { o->result = x_2(o->b, X_DIV, number(o, 1), o->in[0]); }

/* 0 and NaN give themselves. */
void expr_Sign(ExprOp *o) {
    ExprBuilder *b = o->b;
    X x = o->in[0], zero = number(o, 0);
    X down = x_select(b, x_2(b, X_LT, x, zero), number(o, -1), x);
    o->result = x_select(b, x_2(b, X_LT, zero, x), number(o, 1), down);
}

/* With fmod the remainder has the sign of the dividend, else that of the divisor. */
void expr_Mod(ExprOp *o) {
    ExprBuilder *b = o->b;
    X divisor = o->in[1], zero = number(o, 0);
    X r = x_2(b, X_REM, o->in[0], divisor);
    o->result = r;
    if (node_int(o->node, "fmod")) return;
    X differs = x_2(b, X_XOR, x_2(b, X_LT, r, zero), x_2(b, X_LT, divisor, zero));
    X none = x_2(b, X_EQ, r, zero);
    X moved = x_select(b, differs, x_2(b, X_ADD, r, divisor), r);
    /* a zero takes the divisor's sign too */
    X zeros = is_float(o, 0) ? x_select(b, x_2(b, X_LT, divisor, zero), number(o, -0.0), zero) : r;
    o->result = x_select(b, none, zeros, moved);
}

/* The count is unsigned to SHL and SHR, so that a negative one is too large. */
void expr_BitShift(ExprOp *o) {
    const char *direction = node_string(o->node, "direction");
    bool left = strcmp(direction, "LEFT") == 0;
    if (!left && strcmp(direction, "RIGHT") != 0) {
        expr_refuse(o, D_ATTRIBUTE, -1, "direction is '%s', but must be LEFT or RIGHT", direction);
        return;
    }
    apply_2(o, left ? X_SHL : X_SHR);
}

/* ---- any number of operands ---------------------------------------------------------------------------------- */

static X sum(const ExprOp *o) {
    X acc = o->in[0];
    for (int i = 1; i < o->n_in; i++) acc = x_2(o->b, X_ADD, acc, o->in[i]);
    return acc;
}

void expr_Sum(ExprOp *o) { o->result = sum(o); }
void expr_Mean(ExprOp *o) { o->result = x_2(o->b, X_DIV, sum(o), number(o, o->n_in)); }

/* MIN and MAX give their second operand where either is NaN; here a NaN anywhere has to come through. */
static void extreme(ExprOp *o, XOp op) {
    X acc = o->in[0];
    for (int i = 1; i < o->n_in; i++) {
        X better = x_2(o->b, op, acc, o->in[i]);
        acc = is_float(o, 0) ? x_select(o->b, x_2(o->b, X_EQ, acc, acc), better, acc) : better;
    }
    o->result = acc;
}

void expr_Min(ExprOp *o) { extreme(o, X_MIN); }
void expr_Max(ExprOp *o) { extreme(o, X_MAX); }

/* Min(max, Max(input, min)), in the order in which a NaN of the input comes through. */
void expr_Clip(ExprOp *o) {
    X x = o->in[0];
    for (int i = 1; i < o->n_in; i++) {
        if (!has_arg(o, i)) continue;
        if (shape_count(in_shape(o->node, i)) != 1 || in_shape(o->node, i)->rank > in_shape(o->node, 0)->rank) {
            expr_refuse(o, D_OPERAND_SHAPE, i, "a limit has the shape %s, but must be a scalar",
                        shape_str(o->b->arena, in_shape(o->node, i)));
            return;
        }
        x = x_2(o->b, i == 1 ? X_MAX : X_MIN, o->in[i], x);
    }
    o->result = x;
}
