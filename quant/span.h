/* What values an element-wise program can give: interval arithmetic with strides (as in analyses of array indices) over
 * its instructions.
 *
 * Bounds are reached by rounding as the instruction rounds, which is monotone, so they hold for the rounded results and
 * not only for the real ones. NaN is left out of account: it has no code, and what a quantizer makes of one is not
 * kept; where an operation may make a NaN of numbers, its span is infinite. Integers that might wrap have their type's
 * whole range. */
#ifndef QCC_QUANT_SPAN_H
#define QCC_QUANT_SPAN_H

#include "ir/expr.h"

/* Numbers in [lo, hi], which may be infinite. If whole, all are integers (of floats too), and they are lo + k * step;
 * the step is at least 1, 1 where lo is infinite, and 0 only for a single number. */
typedef struct Span {
    double lo, hi;
    bool whole;
    double step;
} Span;

Span span_of_elem(Elem e);            /* all that the type can hold, infinities included */
Span span_of_number(double v);        /* one number */
Span span_union(Span a, Span b);      /* values of either */
Span span_of_tensor(const Tensor *t); /* a constant's; of all of the type if it is empty */
bool span_is_number(Span s);
/* The program's instructions in order; in[k] is for input k. */
void span_run(const Expr *e, const Span *in, Span *out);

/* How a program's result moves when one of its inputs grows. */
typedef enum Direction { DIR_CONST, DIR_UP, DIR_DOWN, DIR_UNKNOWN } Direction;
/* Of input `input`, the others staying; DIR_UP: never falls, DIR_DOWN: never rises. Proved instruction by instruction:
 * rounding, and any function that is rounded correctly, keeps order. at: the program's spans from span_run, with what
 * stays given as single numbers. A direction is given only where nothing wraps and no infinity may appear. */
Direction span_direction(const Expr *e, int input, const Span *at);

#endif
