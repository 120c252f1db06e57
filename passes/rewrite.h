/* What several passes need to look at and to change a graph. */
#ifndef QCC_PASSES_REWRITE_H
#define QCC_PASSES_REWRITE_H

#include "ir/op.h"
#include "quant/range.h"

/* No output of n is used by a node or the graph. */
bool node_is_dead(const Node *n);
/* The node that makes v if it is `op` and v is its output 0, else NULL. */
Node *made_by(const Value *v, OpId op);
/* v has one use in all, and that is by a node (so not by a graph output). */
bool used_once(const Value *v);
/* The constant's elements are all equal (a splat, or found so); their value goes to *v if it is not NULL. */
bool constant_is_splat(const Tensor *t, double *v);
/* Dimension of a result of `rank`, to which v is broadcast, along which v has several elements; -1 none, -2 several. */
int constant_axis(const Value *v, int rank);
/* The same operator with the same attributes, program and presence of operands and outputs. */
bool node_alike(const Node *p, const Node *q);
/* Node `n` of one output is replaced by v and erased. */
void replace_node(Node *n, Value *v);
/* A layer whose kernel can run an element-wise program on its result before storing it, and has none yet. */
bool takes_epilogue(const Node *n);
/* The program of a Map on integers made shorter by what its operands can be (simplify_map.c); else as it is. */
const Expr *map_simplified(Ranges *r, Arena *a, const Node *map);
/* Splits off what a Map makes of its operand x alone, up to a code of fewer bits than x has, through which all of x
 * goes: that becomes a Map in front, which is returned, and another Map takes the place of this one. NULL, and nothing
 * is changed, if there is no such code (split_map.c). */
Node *map_split(Node *map, int x);
/* A new node in front of n with n's location; to be inferred once its attributes are set. */
Node *node_before(Node *n, OpId op, int n_in, Value *const *in, int n_out);
/* Infers the outputs of a node that a pass made or changed; a failure is the pass's fault. */
void infer_or_bug(Node *n);

#endif
