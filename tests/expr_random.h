/* Random element-wise programs and operands, the same for the same seed: for whatever runs programs to be held against
 * whatever else does. Everything defined in ir/expr.def may occur, and nothing that is not: the bits of a NaN are never
 * looked at. Results are equal where their bits are, or where both are NaN. */
#ifndef QCC_TESTS_EXPR_RANDOM_H
#define QCC_TESTS_EXPR_RANDOM_H

#include "ir/expr.h"

uint64_t random_bits(uint64_t *seed);
int random_below(uint64_t *seed, int n); /* 0 .. n - 1 */

/* A program of about n instructions on 1 to 4 inputs, written down as it was drawn: nothing is folded or shared. With
 * `plain`, all inputs and constants are of that type (0: any). */
const Expr *random_expr(Arena *a, uint64_t *seed, int n, Elem plain);
/* The element type of an input, 0 if the program does not read it. */
Elem expr_input_elem(const Expr *e, int input);
/* n elements: ordinary and extreme values, zeros, infinities, NaN. */
void random_elems(uint64_t *seed, Elem elem, int64_t n, void *data);
/* Index of the first element that differs; -1 if none does. */
int64_t elems_differ(Elem elem, int64_t n, const void *p, const void *q);
/* The program's text, for messages. */
const char *expr_str(Arena *a, const Expr *e);

#endif
