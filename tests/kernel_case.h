/* Kernels under test: a graph of independent nodes is compiled for a CPU, run between guard pages and held against the
 * evaluator. Use:
 *     KernelCase *c = kernel_case_new();
 *     Value *x = kernel_input(c, QCC_F32, DIMS(1, 8, 5, 5)), *w = kernel_weight(c, QCC_F32, DIMS(4, 8, 3, 3));
 *     kernel_node(c, OP_Conv, "pads=1,1,1,1", 1, x, w);
 *     kernel_case_check(c);
 * Float operands are small multiples of 1/8, so that sums of products are exact in whatever order: results must be
 * equal. */
#ifndef QCC_TESTS_KERNEL_CASE_H
#define QCC_TESTS_KERNEL_CASE_H

#include "ir/op.h"

typedef struct KernelCase {
    Arena arena;
    Diags diags;
    Graph *graph;
    uint32_t seed;
    VEC(const Tensor *) feeds; /* of the graph's inputs */
    double tolerance;          /* 0: equal; else relative to the largest magnitude of the output */
    bool optimize;             /* the passes run before it is compiled */
    const char *kernel;        /* part of the name of every node's kernel, or NULL: any kernel will do */
} KernelCase;

KernelCase *kernel_case_new(void);
Value *kernel_input(KernelCase *c, Elem elem, Shape s);
Value *kernel_weight(KernelCase *c, Elem elem, Shape s); /* a constant */
Value *kernel_feed(KernelCase *c, const Tensor *t);      /* an input of these values */
/* v clipped to low .. high, which code generation so knows of it. */
Value *kernel_clipped(KernelCase *c, Value *v, int64_t low, int64_t high);
Value *kernel_list(KernelCase *c, int64_t n, const int64_t *v); /* a constant, i64, rank 1 */
#define KERNEL_LIST(c, ...) kernel_list((c), (int64_t)COUNT_OF(((int64_t[]){__VA_ARGS__})), (int64_t[]){__VA_ARGS__})
/* A node of one output that only other nodes of the case use: views, and what chains begin with. */
Value *kernel_inner_of(KernelCase *c, OpId op, const char *attrs, int n_in, Value *const *in);
#define kernel_inner(c, op, attrs, ...) \
    kernel_inner_of((c), (op), (attrs), (int)COUNT_OF(((Value *[]){__VA_ARGS__})), (Value *[]){__VA_ARGS__})
/* v, read otherwise than it lies: transposed, backwards, cut, in steps, broadcast, and several of these; 0: v itself.
 */
enum { KERNEL_VIEWS = 7 };
Value *kernel_view(KernelCase *c, Value *v, int which);
/* Adds a node all of whose outputs are outputs of the graph. */
void kernel_node_of(KernelCase *c, OpId op, const char *attrs, int n_out, int n_in, Value *const *in);
#define kernel_node(c, op, attrs, n_out, ...) \
    kernel_node_of((c), (op), (attrs), (n_out), (int)COUNT_OF(((Value *[]){__VA_ARGS__})), (Value *[]){__VA_ARGS__})
/* Compiles for vectors of 512, 256 and 128 bits as far as the host has them, each node for one of them in turn or, with
 * QCC_TEST_ALL in the environment, for all; runs, compares; no fallback is allowed. The case goes. */
void kernel_case_check(KernelCase *c);

#endif
