/* Matrix products, a row of results at a time, accumulated as row.h says. */
#include "runtime/ref/row.h"

RefFn ref_Gemm, ref_MatMul, ref_QMatMul;

/* A matrix inside a tensor: element (i, k) is at + i * row + k * col. */
typedef struct Matrix {
    const RefTensor *t;
    int64_t at, row, col;
} Matrix;

/* Row `i` of the product, columns [j, j + n), into `acc`. */
static void add_product(RefRow *acc, const Matrix *a, const Matrix *b, int64_t i, int64_t j, int64_t n, int64_t terms) {
    for (int64_t k = 0; k < terms; k++) {
        RefRun run = {b->t, b->at + k * b->row + j * b->col, b->col};
        ref_row_add(acc, 0, 1, n, run, a->t, a->at + i * a->row + k * a->col);
    }
}

/* ---- Gemm. ints: transA, transB; floats: alpha, beta ---------------------------------------------------------------
 */

/* Element (i, j) of operand C, broadcast to the result. */
static int64_t bias_at(const RefTensor *c, int64_t i, int64_t j) {
    int64_t row = c->rank > 1 && c->dim[c->rank - 2] > 1 ? i * c->dim[c->rank - 1] : 0;
    return row + (c->rank > 0 && c->dim[c->rank - 1] > 1 ? j : 0);
}

/* A factor of integers, cut to one; 0 where none is near. */
static uint64_t whole(double v) { return v > -0x1p63 && v < 0x1p63 ? (uint64_t)(int64_t)v : 0; }

/* Floats: rounded once, after alpha * sum + beta * C in f64. Integers: the factors are cut to integers. */
static void store_scaled(RefRow *acc, const RefArgs *a, int64_t i, int64_t j, int64_t n) {
    const RefTensor *c = &a->in[2], *y = &a->out[0];
    double alpha = a->floats[0], beta = a->floats[1];
    for (int64_t k = 0; k < n; k++) {
        acc->f[k] *= alpha;
        acc->u[k] *= whole(alpha);
        if (!c->data) continue;
        if (acc->real) {
            acc->f[k] += beta * ref_load(c, bias_at(c, i, j + k));
        } else {
            acc->u[k] += whole(beta) * (uint64_t)ref_load_int(c, bias_at(c, i, j + k));
        }
    }
    ref_row_store(acc, n, y, i * y->dim[1] + j);
}

int ref_Gemm(const RefArgs *args) {
    const RefTensor *ta = &args->in[0], *tb = &args->in[1], *y = &args->out[0];
    Matrix a = {ta, 0, ta->dim[1], 1}, b = {tb, 0, tb->dim[1], 1};
    if (args->ints[0]) a = (Matrix){ta, 0, 1, ta->dim[1]};
    if (args->ints[1]) b = (Matrix){tb, 0, 1, tb->dim[1]};
    int64_t terms = args->ints[0] ? ta->dim[0] : ta->dim[1];
    RefRow acc;
    for (int64_t i = 0; i < y->dim[0]; i++)
        for (int64_t j = 0; j < y->dim[1]; j += REF_ROW) {
            int64_t n = y->dim[1] - j < REF_ROW ? y->dim[1] - j : REF_ROW;
            ref_row_start(&acc, n, y->elem, NULL, 0);
            add_product(&acc, &a, &b, i, j, n, terms);
            store_scaled(&acc, args, i, j, n);
        }
    return REF_OK;
}

/* ---- MatMul and, of integers, QMatMul: numpy's rule; no parameters
 * ---------------------------------------------------------------------------
 */

/* Index of the matrix of `t` that belongs to batch number `at` of the broadcast batch dimensions batch[0..rank). */
static int64_t batch_of(const RefTensor *t, const int64_t *batch, int rank, int64_t at) {
    int64_t result = 0, step = 1;
    for (int i = rank - 1; i >= 0; i--) {
        int own = i - rank + t->rank - 2;
        if (own >= 0 && t->dim[own] > 1) result += at % batch[i] * step;
        if (own >= 0) step *= t->dim[own];
        at /= batch[i];
    }
    return result;
}

int ref_MatMul(const RefArgs *args) {
    const RefTensor *ta = &args->in[0], *tb = &args->in[1], *y = &args->out[0];
    int64_t terms = ta->dim[ta->rank - 1], m = ta->rank > 1 ? ta->dim[ta->rank - 2] : 1;
    int64_t n = tb->rank > 1 ? tb->dim[tb->rank - 1] : 1, batches = 1;
    int rank = y->rank - (ta->rank > 1) - (tb->rank > 1);
    for (int i = 0; i < rank; i++) batches *= y->dim[i];
    RefRow acc;
    for (int64_t at = 0; at < batches; at++) {
        Matrix a = {ta, batch_of(ta, y->dim, rank, at) * m * terms, terms, 1};
        Matrix b = {tb, batch_of(tb, y->dim, rank, at) * terms * n, n, 1};
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j += REF_ROW) {
                int64_t width = n - j < REF_ROW ? n - j : REF_ROW;
                ref_row_start(&acc, width, y->elem, NULL, 0);
                add_product(&acc, &a, &b, i, j, width, terms);
                ref_row_store(&acc, width, y, (at * m + i) * n + j);
            }
    }
    return REF_OK;
}

int ref_QMatMul(const RefArgs *args) { return ref_MatMul(args); }
