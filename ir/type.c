/* Element types and shapes. Every count and product is checked here, once, so that later code may multiply freely. */
#include "ir/ir.h"

#include <string.h>

const ElemInfo elem_info[QCC_ELEM_END] = {
#define ELEM(symbol, number, text, width, letter) [number] = {.name = text, .bits = width, .kind = ELEM_##letter},
#include "qcc/elem.def"
#undef ELEM
};

bool elem_known(int64_t number) { return number > 0 && number < QCC_ELEM_END && elem_info[number].name; }

int elem_bytes(Elem e) { return elem_info[e].bits > 8 ? elem_info[e].bits / 8 : 1; }

/* Empty dimensions are left out of the product, so that strides cannot overflow either where the count is not -1. */
int64_t shape_count(const Shape *s) {
    int64_t product = 1;
    bool empty = false;
    for (int i = 0; i < s->rank; i++) {
        if (s->dim[i] < 0) return -1;
        if (s->dim[i] == 0) {
            empty = true;
        } else if (mul_overflow(product, s->dim[i], &product) || product > MAX_TENSOR_BYTES) {
            return -1;
        }
    }
    return empty ? 0 : product;
}

int64_t type_bytes(const Type *t) {
    int64_t n = shape_count(&t->shape);
    if (n < 0 || n > MAX_TENSOR_BYTES / elem_bytes(t->elem)) return -1;
    return n * elem_bytes(t->elem);
}

bool shape_equal(const Shape *a, const Shape *b) {
    if (a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++) {
        if (a->dim[i] != b->dim[i]) return false;
    }
    return true;
}

bool type_equal(const Type *a, const Type *b) { return a->elem == b->elem && shape_equal(&a->shape, &b->shape); }

Shape shape_of(int rank, const int64_t *dims) {
    if (rank < 0 || rank > MAX_RANK) bug("shape_of: rank %d", rank);
    Shape s = {.rank = rank};
    if (rank) memcpy(s.dim, dims, (size_t)rank * sizeof *dims);
    return s;
}

bool shape_broadcast(const Shape *a, const Shape *b, Shape *out) {
    Shape r = {.rank = a->rank > b->rank ? a->rank : b->rank};
    for (int i = 1; i <= r.rank; i++) {
        int64_t p = i <= a->rank ? a->dim[a->rank - i] : 1, q = i <= b->rank ? b->dim[b->rank - i] : 1;
        if (p != q && p != 1 && q != 1) return false;
        r.dim[r.rank - i] = p == 1 ? q : p;
    }
    *out = r;
    return true;
}

void shape_strides(const Shape *s, int64_t strides[MAX_RANK]) {
    int64_t step = 1;
    for (int i = s->rank - 1; i >= 0; i--) {
        strides[i] = step;
        step *= s->dim[i] ? s->dim[i] : 1;
    }
}

const char *shape_str(Arena *a, const Shape *s) {
    Text t = {.arena = a};
    text_put(&t, "[", 1);
    for (int i = 0; i < s->rank; i++) text_add(&t, "%s%lld", i ? "," : "", (long long)s->dim[i]);
    text_put(&t, "]", 1);
    return t.s;
}

const char *type_str(Arena *a, const Type *t) {
    const char *name = elem_known(t->elem) ? elem_info[t->elem].name : "?";
    return arena_printf(a, "%s%s", name, shape_str(a, &t->shape));
}
