/* The k best elements of each row, best first: a heap of the best k so far with the worst of them on top, kept in the
 * outputs themselves, then sorted in place (heapsort; Knuth, The Art of Computer Programming 3, 5.2.3). */
#include "runtime/ref/ref.h"

#include <stdbool.h>
#include <string.h>

/* One row: its elements and the slots of its outputs lie `stride` apart. Either output may be absent. */
typedef struct Row {
    const RefTensor *x, *values, *indices;
    int64_t x_first, y_first, stride;
    bool largest;
} Row;

/* A candidate: its value, exact in both readings, and its place in the row (0 where no indices are wanted). */
typedef struct Item {
    double f;
    int64_t i, place;
} Item;

static bool is_int(int32_t elem) { return elem != QCC_F32 && elem != QCC_F64 && elem != QCC_F16 && elem != QCC_BF16; }

static Item read_item(const RefTensor *t, int64_t at, int64_t place) {
    Item r = {.place = place};
    if (is_int(t->elem))
        r.i = ref_load_int(t, at);
    else
        r.f = ref_load(t, at);
    return r;
}

static Item get_slot(const Row *r, int64_t slot) {
    int64_t at = r->y_first + slot * r->stride;
    if (!r->indices->data) return read_item(r->values, at, 0);
    int64_t place = ref_load_int(r->indices, at);
    return read_item(r->x, r->x_first + place * r->stride, place);
}

static void put_slot(const Row *r, int64_t slot, Item v) {
    int64_t at = r->y_first + slot * r->stride;
    if (r->indices->data) ref_store_int(r->indices, at, v.place);
    if (!r->values->data) return;
    if (is_int(r->values->elem))
        ref_store_int(r->values, at, v.i);
    else
        ref_store(r->values, at, v.f);
}

/* -1, 0, 1; NaN is above everything, as in a sort by numpy. */
static int compare(const Row *r, const Item *p, const Item *q) {
    if (r->x->elem == QCC_U64) return ((uint64_t)p->i > (uint64_t)q->i) - ((uint64_t)p->i < (uint64_t)q->i);
    if (is_int(r->x->elem)) return (p->i > q->i) - (p->i < q->i);
    if (p->f != p->f || q->f != q->f) return (p->f != p->f) - (q->f != q->f);
    return (p->f > q->f) - (p->f < q->f);
}

/* Of equals the one that comes first. */
static bool better(const Row *r, const Item *p, const Item *q) {
    int order = compare(r, p, q);
    if (order == 0) return p->place < q->place;
    return (order > 0) == r->largest;
}

/* v sinks from `slot` to where the heap of n slots wants it: no parent is better than its children. */
static void sift(const Row *r, int64_t slot, int64_t n, Item v) {
    for (int64_t child; (child = 2 * slot + 1) < n; slot = child) {
        Item worst = get_slot(r, child);
        if (child + 1 < n) {
            Item other = get_slot(r, child + 1);
            if (better(r, &worst, &other)) {
                worst = other;
                child++;
            }
        }
        if (!better(r, &v, &worst)) break;
        put_slot(r, slot, worst);
    }
    put_slot(r, slot, v);
}

static void select_row(const Row *r, int64_t length, int64_t k) {
    for (int64_t i = 0; i < k; i++) put_slot(r, i, read_item(r->x, r->x_first + i * r->stride, i));
    for (int64_t i = k / 2; i-- > 0;) sift(r, i, k, get_slot(r, i));
    for (int64_t i = k; i < length; i++) {
        Item v = read_item(r->x, r->x_first + i * r->stride, i), worst = get_slot(r, 0);
        if (better(r, &v, &worst)) sift(r, 0, k, v);
    }
    for (int64_t n = k - 1; n > 0; n--) {
        Item worst = get_slot(r, 0), last = get_slot(r, n);
        put_slot(r, n, worst);
        sift(r, 0, n, last);
    }
}

/* ints: axis, 1 for the largest or 0 for the smallest. */
REF_KERNEL(TopK) {
    const RefTensor *x = &a->in[0], *y = a->out[0].data ? &a->out[0] : &a->out[1];
    int axis = (int)a->ints[0];
    int64_t outer = 1, inner = 1, length = x->dim[axis], k = y->dim[axis];
    for (int i = 0; i < axis; i++) outer *= x->dim[i];
    for (int i = axis + 1; i < x->rank; i++) inner *= x->dim[i];
    if (k == 0) return REF_OK;
    for (int64_t row = 0; row < outer * inner; row++) {
        int64_t o = row / inner, i = row % inner;
        Row r = {.x = x,
                 .values = &a->out[0],
                 .indices = &a->out[1],
                 .x_first = o * length * inner + i,
                 .y_first = o * k * inner + i,
                 .stride = inner,
                 .largest = a->ints[1] != 0};
        select_row(&r, length, k);
    }
    return REF_OK;
}
