/* Map: an element-wise node of our own, of any operands, which carries its program (what fusion makes). */
#include "ir/op.h"

/* Called for nodes without a program of their own only. */
void expr_Map(ExprOp *o) { bug("a Map without a program (%d operands)", o->n_in); }
