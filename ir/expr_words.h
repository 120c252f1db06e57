/* Short words for those files that write programs out (expr_math.c, expr_trig.c, ir/ops/): included by .c files only.
 * Constants take the type of an operand. */
#ifndef QCC_IR_EXPR_WORDS_H
#define QCC_IR_EXPR_WORDS_H

#include "ir/expr.h"

static inline X num(ExprBuilder *b, X like, double v) { return x_const(b, x_elem(b, like), v); }
static inline X whole(ExprBuilder *b, X like, int64_t v) { return x_const_int(b, x_elem(b, like), v); }

static inline X add(ExprBuilder *b, X p, X q) { return x_2(b, X_ADD, p, q); }
static inline X sub(ExprBuilder *b, X p, X q) { return x_2(b, X_SUB, p, q); }
static inline X mul(ExprBuilder *b, X p, X q) { return x_2(b, X_MUL, p, q); }
static inline X over(ExprBuilder *b, X p, X q) { return x_2(b, X_DIV, p, q); }
static inline X plus(ExprBuilder *b, X p, double v) { return add(b, p, num(b, p, v)); }
static inline X times(ExprBuilder *b, X p, double v) { return mul(b, p, num(b, p, v)); }
static inline X from(ExprBuilder *b, double v, X p) { return sub(b, num(b, p, v), p); } /* v - p */
static inline X negate(ExprBuilder *b, X p) { return x_1(b, X_NEG, p); }
static inline X magnitude(ExprBuilder *b, X p) { return x_1(b, X_ABS, p); }
static inline X root(ExprBuilder *b, X p) { return x_1(b, X_SQRT, p); }

static inline X less(ExprBuilder *b, X p, X q) { return x_2(b, X_LT, p, q); }
static inline X below(ExprBuilder *b, X p, double v) { return less(b, p, num(b, p, v)); }
static inline X above(ExprBuilder *b, X p, double v) { return less(b, num(b, p, v), p); }
static inline X is(ExprBuilder *b, X p, double v) { return x_2(b, X_EQ, p, num(b, p, v)); }
static inline X both(ExprBuilder *b, X p, X q) { return x_2(b, X_AND, p, q); }
static inline X not(ExprBuilder * b, X p) { return x_2(b, X_XOR, p, x_const_int(b, QCC_BOOL, 1)); }

/* Limits that let NaN pass. */
static inline X at_most(ExprBuilder *b, X p, double v) { return x_2(b, X_MIN, num(b, p, v), p); }
static inline X at_least(ExprBuilder *b, X p, double v) { return x_2(b, X_MAX, num(b, p, v), p); }
static inline X clamp(ExprBuilder *b, X p, double lo, double hi) { return at_most(b, at_least(b, p, lo), hi); }

#endif
