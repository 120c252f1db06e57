/* Comparisons, logic and selection. */
#include "ir/expr_words.h"
#include "ir/op.h"

static void apply_2(ExprOp *o, XOp op, int left, int right) { o->result = x_2(o->b, op, o->in[left], o->in[right]); }

void expr_And(ExprOp *o) { apply_2(o, X_AND, 0, 1); }
void expr_Or(ExprOp *o) { apply_2(o, X_OR, 0, 1); }
void expr_Xor(ExprOp *o) { apply_2(o, X_XOR, 0, 1); }
void expr_Not(ExprOp *o) { o->result = not(o->b, o->in[0]); }
void expr_Equal(ExprOp *o) { apply_2(o, X_EQ, 0, 1); }
void expr_Less(ExprOp *o) { apply_2(o, X_LT, 0, 1); }
void expr_LessOrEqual(ExprOp *o) { apply_2(o, X_LE, 0, 1); }
void expr_Greater(ExprOp *o) { apply_2(o, X_LT, 1, 0); }
void expr_GreaterOrEqual(ExprOp *o) { apply_2(o, X_LE, 1, 0); }
void expr_Where(ExprOp *o) { o->result = x_select(o->b, o->in[0], o->in[1], o->in[2]); }
void expr_IsNaN(ExprOp *o) { o->result = not(o->b, x_2(o->b, X_EQ, o->in[0], o->in[0])); }

void expr_IsInf(ExprOp *o) {
    ExprBuilder *b = o->b;
    X x = o->in[0], found = x_const_int(b, QCC_BOOL, 0);
    X inf = x_const(b, x_elem(b, x), (double)__builtin_inff());
    if (node_int(o->node, "detect_positive")) found = x_2(b, X_OR, found, x_2(b, X_EQ, x, inf));
    if (node_int(o->node, "detect_negative")) found = x_2(b, X_OR, found, x_2(b, X_EQ, x, x_1(b, X_NEG, inf)));
    o->result = found;
}
