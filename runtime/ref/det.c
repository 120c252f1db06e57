/* Determinants by Gaussian elimination with partial pivoting. */
#include "runtime/ref/ref.h"

enum { MAX_N = 32 };

static double magnitude(double v) { return v < 0 ? -v : v; }

/* m is destroyed. */
static double determinant(int n, double m[MAX_N][MAX_N]) {
    double det = 1;
    for (int k = 0; k < n; k++) {
        int pivot = k;
        for (int i = k + 1; i < n; i++)
            if (magnitude(m[i][k]) > magnitude(m[pivot][k])) pivot = i;
        if (pivot != k) det = -det;
        for (int j = 0; j < n; j++) {
            double v = m[k][j];
            m[k][j] = m[pivot][j];
            m[pivot][j] = v;
        }
        det *= m[k][k];
        if (m[k][k] == 0) return det;
        for (int i = k + 1; i < n; i++) {
            double f = m[i][k] / m[k][k];
            for (int j = k; j < n; j++) m[i][j] -= f * m[k][j];
        }
    }
    return det;
}

/* Of each n by n matrix, n <= 32. */
REF_KERNEL(Det) {
    const RefTensor *x = &a->in[0], *y = &a->out[0];
    int n = (int)x->dim[x->rank - 1];
    int64_t count = ref_count(y);
    for (int64_t t = 0; t < count; t++) {
        double m[MAX_N][MAX_N];
        for (int i = 0; i < n * n; i++) m[i / n][i % n] = ref_load(x, t * n * n + i);
        ref_store(y, t, determinant(n, m));
    }
    return REF_OK;
}
