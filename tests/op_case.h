/* One operator under test: a graph of a single node, its operands, and what it is held against. Use:
 *     OpCase *c = case_new();
 *     case_in(c, F32(c, DIMS(1, 1, 2, 2), 1, 2, 3, 4));
 *     case_const(c, I64(c, DIMS(1), -1));
 *     case_gives(c, OP_Reshape, "allowzero=1", F32(c, DIMS(4), 1, 2, 3, 4));
 *     case_free(c);
 * or, where the node must be refused, case_refused(c, op, attrs, D_ATTRIBUTE, "part of the message"). */
#ifndef QCC_TESTS_OP_CASE_H
#define QCC_TESTS_OP_CASE_H

#include "ir/op.h"

enum { CASE_OPERANDS = 9 };

typedef struct OpCase {
    Arena arena;
    Diags diags;
    Graph *graph;
    Node *node;
    int n_in, n_out; /* n_out: 1 unless set */
    Value *in[CASE_OPERANDS];
    const Tensor *data[CASE_OPERANDS];
    double tolerance; /* relative to the larger of 1 and the expected element; 0: equal bits, but any NaN for a NaN */
} OpCase;

OpCase *case_new(void);
void case_free(OpCase *c);

/* Adds an operand: known at run time, a constant, or left out. */
void case_in(OpCase *c, const Tensor *t);
void case_const(OpCase *c, const Tensor *t);
void case_absent(OpCase *c);

/* The node, inferred; fails the test where it does not. */
Node *case_node(OpCase *c, OpId op, const char *attrs);
/* Appends a node of one output to c's graph; fails the test where it does not infer. Its output. */
Value *case_append(OpCase *c, OpId op, const char *attrs, int n_in, Value **in);
#define NODE(c, op, attrs, ...) \
    case_append((c), OP_##op, (attrs), (int)COUNT_OF(((Value *[]){__VA_ARGS__})), (Value *[]){__VA_ARGS__})
/* The node evaluated: its output `output`. */
const Tensor *case_eval(OpCase *c, Node *n, int output);
void case_gives(OpCase *c, OpId op, const char *attrs, const Tensor *want);
void case_output(OpCase *c, Node *n, int output, const Tensor *want);
/* Inference must fail with this diagnostic, whose printed form holds `text`. Operands stay, so that another may follow.
 */
void case_refused(OpCase *c, OpId op, const char *attrs, DiagId id, const char *text);

/* A tensor of these elements; a single one fills it. */
const Tensor *case_tensor(OpCase *c, Elem elem, Shape s, int64_t n, const double *v);
/* 0, 1, 2, ... */
const Tensor *case_ramp(OpCase *c, Elem elem, Shape s);

#define DIMS(...) shape_of((int)COUNT_OF(((int64_t[]){__VA_ARGS__})), (int64_t[]){__VA_ARGS__})
#define SCALAR ((Shape){.rank = 0})
#define TENSOR(c, elem, shape, ...) \
    case_tensor((c), (elem), (shape), (int64_t)COUNT_OF(((double[]){__VA_ARGS__})), (double[]){__VA_ARGS__})
#define F32(c, shape, ...) TENSOR(c, QCC_F32, shape, __VA_ARGS__)
#define I64(c, shape, ...) TENSOR(c, QCC_I64, shape, __VA_ARGS__)
/* A rank-1 i64 tensor. */
#define LIST(c, ...) I64(c, DIMS((int64_t)COUNT_OF(((double[]){__VA_ARGS__}))), __VA_ARGS__)

#endif
