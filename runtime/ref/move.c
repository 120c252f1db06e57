/* Data movement. Elements are copied as bytes, whatever their type. */
#include "runtime/ref/ref.h"

#include <stdbool.h>
#include <string.h>

RefFn ref_Reshape, ref_Transpose, ref_Slice, ref_Expand, ref_Concat, ref_Tile, ref_Pad;

static const char *byte_at(const RefTensor *t, int64_t i) {
    return (const char *)t->data + i * ref_elem_bytes(t->elem);
}

static void copy_elem(const RefTensor *y, int64_t to, const RefTensor *x, int64_t from) {
    int64_t bytes = ref_elem_bytes(y->elem);
    memcpy((char *)y->data + to * bytes, byte_at(x, from), (size_t)bytes);
}

/* The next place in row-major order. */
static void advance(int64_t at[REF_MAX_RANK], const RefTensor *y) {
    for (int i = y->rank - 1; i >= 0; i--) {
        if (++at[i] < y->dim[i]) return;
        at[i] = 0;
    }
}

/* No parameters. */
int ref_Reshape(const RefArgs *a) {
    int64_t bytes = ref_count(&a->out[0]) * ref_elem_bytes(a->out[0].elem);
    if (bytes) memcpy(a->out[0].data, a->in[0].data, (size_t)bytes);
    return REF_OK;
}

/* ints: offset, then a stride for each axis of the result: element (i0, i1, ...) is offset + sum(i_k * stride_k) of
 * operand 0. */
static int copy_strided(const RefArgs *a) {
    const RefTensor *x = &a->in[0], *y = &a->out[0];
    int64_t n = ref_count(y), at[REF_MAX_RANK] = {0};
    for (int64_t i = 0; i < n; i++) {
        int64_t from = a->ints[0];
        for (int k = 0; k < y->rank; k++) from += at[k] * a->ints[1 + k];
        copy_elem(y, i, x, from);
        advance(at, y);
    }
    return REF_OK;
}

int ref_Transpose(const RefArgs *a) { return copy_strided(a); }
int ref_Slice(const RefArgs *a) { return copy_strided(a); }
int ref_Expand(const RefArgs *a) { return copy_strided(a); }

/* ints: axis. */
int ref_Concat(const RefArgs *a) {
    const RefTensor *y = &a->out[0];
    int axis = (int)a->ints[0];
    int64_t outer = 1, inner = ref_elem_bytes(y->elem);
    for (int i = 0; i < axis; i++) outer *= y->dim[i];
    for (int i = axis + 1; i < y->rank; i++) inner *= y->dim[i];
    char *to = y->data;
    for (int64_t i = 0; i < outer; i++)
        for (int k = 0; k < a->n_in; k++) {
            int64_t bytes = a->in[k].dim[axis] * inner;
            if (bytes) memcpy(to, (const char *)a->in[k].data + i * bytes, (size_t)bytes);
            to += bytes;
        }
    return REF_OK;
}

/* No parameters: the shapes say it all. */
int ref_Tile(const RefArgs *a) {
    const RefTensor *x = &a->in[0], *y = &a->out[0];
    int64_t n = ref_count(y), at[REF_MAX_RANK] = {0};
    for (int64_t i = 0; i < n; i++) {
        int64_t from = 0;
        for (int k = 0; k < y->rank; k++) from = from * x->dim[k] + at[k] % x->dim[k];
        copy_elem(y, i, x, from);
        advance(at, y);
    }
    return REF_OK;
}

/* ---- Pad ------------------------------------------------------------------------------------------------------- */

enum { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE, PAD_WRAP };

static int64_t modulo(int64_t i, int64_t n) {
    i %= n;
    return i < 0 ? i + n : i;
}

/* Where position i before or behind n kept elements comes from; -1: from nowhere. */
static int64_t fold_index(int64_t mode, int64_t i, int64_t n) {
    if (i >= 0 && i < n) return i;
    switch (mode) {
    case PAD_REFLECT:
        if (n == 1) return 0;
        i = modulo(i, 2 * (n - 1));
        return i < n ? i : 2 * (n - 1) - i;
    case PAD_EDGE:
        return i < 0 ? 0 : n - 1;
    case PAD_WRAP:
        return modulo(i, n);
    default:
        return -1;
    }
}

/* ints: mode, then for each axis where the kept elements begin in the result, and the range of the operand's that is
 * kept. */
int ref_Pad(const RefArgs *a) {
    const RefTensor *x = &a->in[0], *value = &a->in[2], *y = &a->out[0];
    int64_t n = ref_count(y), at[REF_MAX_RANK] = {0};
    for (int64_t i = 0; i < n; i++) {
        int64_t from = 0;
        bool inside = true;
        for (int k = 0; k < y->rank; k++) {
            const int64_t *p = a->ints + 1 + 3 * k;
            int64_t j = fold_index(a->ints[0], at[k] - p[0], p[2] - p[1]);
            inside = inside && j >= 0;
            from = from * x->dim[k] + p[1] + j;
        }
        if (inside)
            copy_elem(y, i, x, from);
        else if (value->data)
            copy_elem(y, i, value, 0);
        else
            memset((char *)y->data + i * ref_elem_bytes(y->elem), 0, (size_t)ref_elem_bytes(y->elem));
        advance(at, y);
    }
    return REF_OK;
}
