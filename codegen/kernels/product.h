/* Gemm, MatMul and QMatMul as one thing: a matrix product per batch, with the dimensions found. */
#ifndef QCC_CODEGEN_KERNELS_PRODUCT_H
#define QCC_CODEGEN_KERNELS_PRODUCT_H

#include "codegen/kernels/tile.h"

typedef struct Product {
    int64_t m, n, k;
    int dim_am, dim_ak, dim_bk, dim_bn; /* dimensions of the operands; -1: a missing one of size 1 */
    int dim_m, dim_n;                   /* of the output; -1: missing */
    int n_batch;                        /* batch dimensions: the output's first */
    double alpha, beta;
    /* the kernel's own: */
    Core core;
    int a_planes, b_planes; /* 1 but for QXorMatMul; k counts the terms of one plane */
    int lanes, nr;
    int weights, bias; /* packs; -1: none */
    bool added;        /* operand 2 is added behind the sum */
} Product;

/* False where the output is empty. */
bool product_describe(const Node *n, Product *p);
/* Bytes by which operand p, of batch strides `stride`, advances along batch dimension d of the output; 0: broadcast. */
int64_t product_batch_stride(const Place *p, const Product *q, int d, const int64_t *stride);
/* Stride in bytes; 0 for dimension -1. */
static inline int64_t place_stride(const Place *p, int dim) { return dim < 0 ? 0 : p->stride[dim]; }

#endif
