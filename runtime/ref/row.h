/* Rows of accumulators: what convolutions, matrix products and sums share. A row belongs to up to REF_ROW neighbouring
 * results. Floats of any type are accumulated in f64 and rounded once when stored; integers modulo 2^64, which is their
 * own wrap-around after storing. */
#ifndef QCC_RUNTIME_REF_ROW_H
#define QCC_RUNTIME_REF_ROW_H

#include <stdbool.h>

#include "runtime/ref/ref.h"

enum { REF_ROW = 64 };

typedef struct RefRow {
    bool real; /* f is used, else u */
    double f[REF_ROW];
    uint64_t u[REF_ROW];
} RefRow;

/* Where a run of elements begins in a tensor and how far apart they are. */
typedef struct RefRun {
    const RefTensor *t;
    int64_t at, step;
} RefRun;

bool ref_is_float(int32_t elem);
/* n accumulators of 0, or of element `at` of `bias` where that has data. */
void ref_row_start(RefRow *row, int64_t n, int32_t elem, const RefTensor *bias, int64_t at);
/* row[first + i * step] += x[i] * w[w_at] for i < n. x and w have the type that the row was
 * started with, or are integers of any types where that is one. */
void ref_row_add(RefRow *row, int64_t first, int64_t step, int64_t n, RefRun x, const RefTensor *w, int64_t w_at);
void ref_row_store(const RefRow *row, int64_t n, const RefTensor *out, int64_t at);

#endif
