/* Reading and writing at computed places. Blocks of bytes are moved, so one loop serves every element type. */
#include "runtime/ref/ref.h"

#include <stdbool.h>
#include <string.h>

/* Product of the dimensions [first, last). */
static int64_t span(const RefTensor *t, int first, int last) {
    int64_t n = 1;
    for (int i = first; i < last; i++) n *= t->dim[i];
    return n;
}

/* Index i brought into [0, n); one that is out of range goes to the nearest end and sets *bad. */
static int64_t wrap(int64_t i, int64_t n, bool *bad) {
    if (i >= -n && i < n) return i < 0 ? i + n : i;
    *bad = true;
    return i < 0 ? 0 : n - 1;
}

/* ints: axis. */
REF_KERNEL(Gather) {
    const RefTensor *data = &a->in[0], *indices = &a->in[1];
    int axis = (int)a->ints[0];
    int64_t outer = span(data, 0, axis), length = data->dim[axis], count = ref_count(indices);
    size_t block = (size_t)(span(data, axis + 1, data->rank) * ref_elem_bytes(data->elem));
    const char *from = data->data;
    char *to = a->out[0].data;
    bool bad = false;
    if (length == 0) return ref_count(&a->out[0]) ? REF_INDEX : REF_OK;
    for (int64_t i = 0; i < outer; i++) {
        for (int64_t j = 0; j < count; j++, to += block) {
            int64_t row = i * length + wrap(ref_load_int(indices, j), length, &bad);
            memcpy(to, from + (size_t)row * block, block);
        }
    }
    return bad ? REF_INDEX : REF_OK;
}

enum { NONE, ADD, MUL, MIN, MAX };

/* Integers wrap. */
static uint64_t combine_ints(int how, int64_t p, int64_t q, bool is_signed) {
    uint64_t u = (uint64_t)p, v = (uint64_t)q;
    bool less = is_signed ? p < q : u < v;
    switch (how) {
    case ADD:
        return u + v;
    case MUL:
        return u * v;
    case MIN:
        return less ? u : v;
    default:
        return less ? v : u;
    }
}

/* NaN from either side stays. */
static double combine_floats(int how, double p, double q) {
    if (how == ADD) return p + q;
    if (how == MUL) return p * q;
    if (p != p || q != q) return p + q;
    return (p < q) == (how == MIN) ? p : q;
}

static bool is_float(int32_t elem) { return elem == QCC_F32 || elem == QCC_F64 || elem == QCC_F16 || elem == QCC_BF16; }

/* y[to + i] = reduce(y[to + i], update[from + i]) for i < n. f32 sums round after each update. */
static void combine(int how, const RefTensor *y, int64_t to, const RefTensor *update, int64_t from, int64_t n) {
    bool is_signed = y->elem != QCC_U64;
    for (int64_t i = 0; i < n; i++) {
        if (is_float(y->elem)) {
            ref_store(y, to + i, combine_floats(how, ref_load(y, to + i), ref_load(update, from + i)));
        } else {
            int64_t p = ref_load_int(y, to + i), q = ref_load_int(update, from + i);
            ref_store_int(y, to + i, (int64_t)combine_ints(how, p, q, is_signed));
        }
    }
}

/* data with slices replaced by, or reduced with, the updates, in the order of the indices.
 * ints: reduction: 0 none, 1 add, 2 mul, 3 min, 4 max. */
REF_KERNEL(ScatterND) {
    const RefTensor *data = &a->in[0], *indices = &a->in[1], *update = &a->in[2], *y = &a->out[0];
    int how = (int)a->ints[0], k = (int)indices->dim[indices->rank - 1];
    int64_t tuples = span(indices, 0, indices->rank - 1), slice = span(data, k, data->rank);
    size_t bytes = (size_t)ref_elem_bytes(data->elem);
    bool bad = false;
    memcpy(y->data, data->data, (size_t)ref_count(data) * bytes);
    if (ref_count(data) == 0) return tuples && slice ? REF_INDEX : REF_OK;
    for (int64_t t = 0; t < tuples; t++) {
        int64_t row = 0;
        for (int j = 0; j < k; j++)
            row = row * data->dim[j] + wrap(ref_load_int(indices, t * k + j), data->dim[j], &bad);
        if (how == NONE) {
            memcpy((char *)y->data + (size_t)(row * slice) * bytes,
                   (const char *)update->data + (size_t)(t * slice) * bytes, (size_t)slice * bytes);
        } else {
            combine(how, y, row * slice, update, t * slice, slice);
        }
    }
    return bad ? REF_INDEX : REF_OK;
}
