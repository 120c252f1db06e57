/* Constant data. Elements are read and written by the reference kernels' own accessors, so that a constant means the
 * same to the compiler, the evaluator and a compiled model. */
#include "ir/ir.h"
#include "runtime/ref/ref.h"

#include <string.h>

static int64_t checked_bytes(const Type *t) {
    int64_t bytes = type_bytes(t);
    if (bytes < 0) bug("tensor: a type of more than MAX_TENSOR_BYTES");
    return bytes;
}

Tensor *tensor_new(Arena *a, Type type) {
    Tensor *t = NEW(a, Tensor);
    *t = (Tensor){.type = type, .data = arena_get(a, (size_t)checked_bytes(&type))};
    return t;
}

Tensor *tensor_splat(Arena *a, Type type, const void *elem) {
    checked_bytes(&type);
    Tensor *t = NEW(a, Tensor);
    *t = (Tensor){.type = type, .splat = true, .data = arena_copy(a, elem, (size_t)elem_bytes(type.elem))};
    return t;
}

Tensor *tensor_from_ints(Arena *a, Elem elem, Shape s, const int64_t *v) {
    Tensor *t = tensor_new(a, (Type){elem, s});
    int64_t n = shape_count(&s);
    for (int64_t i = 0; i < n; i++) tensor_set_int(t, i, v[i]);
    return t;
}

Tensor *tensor_from_f32(Arena *a, Shape s, const float *v) {
    Tensor *t = tensor_new(a, (Type){QCC_F32, s});
    int64_t n = shape_count(&s);
    if (n) memcpy(tensor_data(t), v, (size_t)n * sizeof *v);
    return t;
}

/* Copies the element, then doubles what is there. */
static void repeat(char *to, const void *elem, size_t width, size_t bytes) {
    if (!bytes) return;
    memcpy(to, elem, width);
    for (size_t done = width; done < bytes;) {
        size_t step = done < bytes - done ? done : bytes - done;
        memcpy(to + done, to, step);
        done += step;
    }
}

const Tensor *tensor_dense(Arena *a, const Tensor *t) {
    if (!t->splat) return t;
    Tensor *dense = tensor_new(a, t->type);
    repeat(tensor_data(dense), t->data, (size_t)elem_bytes(t->type.elem), (size_t)checked_bytes(&t->type));
    return dense;
}

static RefTensor view(const Tensor *t) {
    return (RefTensor){.data = (void *)(uintptr_t)t->data, .elem = (int32_t)t->type.elem};
}

double tensor_get(const Tensor *t, int64_t i) {
    RefTensor r = view(t);
    return ref_load(&r, t->splat ? 0 : i);
}

int64_t tensor_get_int(const Tensor *t, int64_t i) {
    RefTensor r = view(t);
    return ref_load_int(&r, t->splat ? 0 : i);
}

void tensor_set(Tensor *t, int64_t i, double v) {
    RefTensor r = view(t);
    ref_store(&r, t->splat ? 0 : i, v);
}

void tensor_set_int(Tensor *t, int64_t i, int64_t v) {
    RefTensor r = view(t);
    ref_store_int(&r, t->splat ? 0 : i, v);
}

int64_t *tensor_ints(Arena *a, const Tensor *t, int64_t *n) {
    if (elem_is_float(t->type.elem)) bug("tensor_ints: elements are %s", elem_info[t->type.elem].name);
    *n = shape_count(&t->type.shape);
    int64_t *v = NEW_ARRAY(a, int64_t, *n);
    for (int64_t i = 0; i < *n; i++) v[i] = tensor_get_int(t, i);
    return v;
}
