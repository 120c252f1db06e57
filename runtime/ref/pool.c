/* Poolings over windows. A NaN never is a maximum; ties take the first in row-major order. */
#include "runtime/ref/row.h"

#include <string.h>

RefFn ref_MaxPool, ref_AveragePool, ref_MaxUnpool;

enum { AXES = 3 };

/* ints of MaxPool: storage order; of AveragePool: whether pads are counted; then for both kernels, strides, dilations,
 * begin pads and end pads of three spatial axes (leading axes of fewer than three count as size 1). */
typedef struct Job {
    const RefTensor *x;
    int64_t planes, points;
    int64_t in[AXES], out[AXES];
    const int64_t *kernel, *stride, *dilation, *begin, *end;
} Job;

static Job open_job(const RefArgs *a) {
    const RefTensor *x = &a->in[0], *y = &a->out[0];
    const int64_t *p = a->ints + 1;
    Job j = {.x = x, .planes = x->dim[0] * x->dim[1], .points = 1};
    for (int i = 0; i < AXES; i++) {
        int from = x->rank - AXES + i;
        j.in[i] = from >= 2 ? x->dim[from] : 1;
        j.out[i] = from >= 2 ? y->dim[from] : 1;
        j.points *= j.in[i];
    }
    j.kernel = p;
    j.stride = p + AXES;
    j.dilation = p + 2 * AXES;
    j.begin = p + 3 * AXES;
    j.end = p + 4 * AXES;
    return j;
}

/* The next point in row-major order of a box; false after the last. */
static bool advance(int64_t at[AXES], const int64_t size[AXES]) {
    for (int i = AXES - 1; i >= 0; i--) {
        if (++at[i] < size[i]) return true;
        at[i] = 0;
    }
    return false;
}

/* Where tap k of the window of result o reads, per axis; false in the padding. *counted is cleared where it lies even
 * outside the padding (a partial last window of ceil_mode). */
static bool locate(const Job *j, const int64_t o[AXES], const int64_t k[AXES], int64_t at[AXES], bool *counted) {
    bool inside = true;
    *counted = true;
    for (int i = 0; i < AXES; i++) {
        at[i] = o[i] * j->stride[i] - j->begin[i] + k[i] * j->dilation[i];
        inside = inside && at[i] >= 0 && at[i] < j->in[i];
        *counted = *counted && at[i] < j->in[i] + j->end[i];
    }
    return inside;
}

static int64_t index_of(const Job *j, const int64_t at[AXES], bool column_major) {
    if (column_major) return at[0] + j->in[0] * (at[1] + j->in[1] * at[2]);
    return (at[0] * j->in[1] + at[1]) * j->in[2] + at[2];
}

/* ---- MaxPool --------------------------------------------------------------------------------------------------- */

/* The largest element of one window: its index in the plane, with *where in the order asked for; -1 if all is padding.
 */
static int64_t find_max(const Job *j, int64_t plane, const int64_t o[AXES], bool column_major, int64_t *where) {
    int64_t best = -1, k[AXES] = {0}, at[AXES];
    double max = 0;
    bool counted;
    do {
        if (!locate(j, o, k, at, &counted)) continue;
        int64_t here = index_of(j, at, false);
        double v = ref_load(j->x, plane * j->points + here);
        if (best >= 0 && !(v > max) && max == max) continue;
        if (best >= 0 && v != v) continue;
        best = here;
        max = v;
        *where = index_of(j, at, column_major);
    } while (advance(k, j->kernel));
    return best;
}

/* A window of padding alone gives the lowest value of the type, and its index is the plane's first. */
static void store_lowest(const RefTensor *y, int64_t i) {
    bool real = ref_is_float(y->elem);
    if (real) ref_store(y, i, -__builtin_inf());
    if (!real) ref_store_int(y, i, y->elem == QCC_I8 ? INT8_MIN : y->elem == QCC_I16 ? INT16_MIN : 0);
}

int ref_MaxPool(const RefArgs *a) {
    Job j = open_job(a);
    const RefTensor *y = &a->out[0], *indices = &a->out[1];
    int64_t i = 0;
    if (ref_count(y) == 0) return REF_OK;
    for (int64_t plane = 0; plane < j.planes; plane++) {
        int64_t o[AXES] = {0};
        do {
            int64_t where = 0, best = find_max(&j, plane, o, a->ints[0] != 0, &where);
            if (best < 0)
                store_lowest(y, i);
            else
                ref_store(y, i, ref_load(j.x, plane * j.points + best));
            if (indices->data) ref_store_int(indices, i, plane * j.points + where);
            i++;
        } while (advance(o, j.out));
    }
    return REF_OK;
}

/* ---- AveragePool ----------------------------------------------------------------------------------------------- */

/* The sum over the taps inside divided by their number, or by that of the taps inside the padded input; 0 of none. */
static double average(const Job *j, int64_t plane, const int64_t o[AXES], bool count_pads) {
    int64_t n = 0, k[AXES] = {0}, at[AXES];
    double sum = 0;
    bool counted;
    do {
        bool inside = locate(j, o, k, at, &counted);
        if (inside) sum += ref_load(j->x, plane * j->points + index_of(j, at, false));
        n += inside || (counted && count_pads);
    } while (advance(k, j->kernel));
    return n ? sum / (double)n : 0;
}

int ref_AveragePool(const RefArgs *a) {
    Job j = open_job(a);
    const RefTensor *y = &a->out[0];
    int64_t i = 0;
    if (ref_count(y) == 0) return REF_OK;
    for (int64_t plane = 0; plane < j.planes; plane++) {
        int64_t o[AXES] = {0};
        do {
            ref_store(y, i++, average(&j, plane, o, a->ints[0] != 0));
        } while (advance(o, j.out));
    }
    return REF_OK;
}

/* ---- MaxUnpool ------------------------------------------------------------------------------------------------- */

/* ints: the dimensions that the indices count in; the result may be larger, and holds that box at its origin. */
int ref_MaxUnpool(const RefArgs *a) {
    const RefTensor *x = &a->in[0], *indices = &a->in[1], *y = &a->out[0];
    int64_t inner = 1, n = ref_count(x);
    int status = REF_OK;
    for (int i = 0; i < y->rank; i++) inner *= a->ints[i];
    memset(y->data, 0, (size_t)(ref_count(y) * ref_elem_bytes(y->elem)));
    for (int64_t i = 0; i < n; i++) {
        int64_t at = ref_load_int(indices, i), to = 0, step = 1;
        if (at < 0 || at >= inner) {
            status = REF_INDEX;
            at = at < 0 ? 0 : inner - 1;
        }
        for (int k = y->rank - 1; k >= 0; k--) {
            to += at % a->ints[k] * step;
            at /= a->ints[k];
            step *= y->dim[k];
        }
        ref_store(y, to, ref_load(x, i));
    }
    return status;
}
