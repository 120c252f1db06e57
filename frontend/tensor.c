/* Data of tensors: as raw bytes in the file, as typed lists, or in another file. Whatever the form, the number of
 * bytes must be exactly that of the dimensions, and it is compared before anything is allocated. */
#include "frontend/tensor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

/* Names of types that have numbers but are not in our table. */
static const struct {
    int number;
    const char *name;
} foreign_elems[] = {
    {8, "string"},      {14, "complex64"},      {15, "complex128"}, {17, "float8e4m3fn"}, {18, "float8e4m3fnuz"},
    {19, "float8e5m2"}, {20, "float8e5m2fnuz"}, {23, "float4e2m1"}, {24, "float8e8m0"},
};

Elem elem_import(Diags *d, Loc loc, const char *what, int64_t number) {
    if (elem_known(number)) return (Elem)number;
    for (size_t i = 0; i < COUNT_OF(foreign_elems); i++) {
        if (foreign_elems[i].number != number) continue;
        diag(d, D_ELEM_TYPE, loc, "%s is of element type %s, which is not supported", what, foreign_elems[i].name);
        return (Elem)0;
    }
    if (number == 0) {
        diag(d, D_ELEM_TYPE, loc, "%s has no element type", what);
    } else {
        diag(d, D_ELEM_TYPE, loc, "%s is of element type number %lld, which is not known", what, (long long)number);
    }
    return (Elem)0;
}

bool dims_import(Diags *d, Loc loc, const char *what, size_t n, const int64_t *dims, Shape *out) {
    if (n > MAX_RANK) {
        diag(d, D_MODEL_LIMIT, loc, "%s has rank %zu, at most %d is supported", what, n, MAX_RANK);
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (dims[i] >= 0) continue;
        diag(d, D_TENSOR_DATA, loc, "dimension %zu of %s is %lld", i, what, (long long)dims[i]);
        return false;
    }
    *out = shape_of((int)n, dims);
    return true;
}

/* ---- the bytes ---- */

typedef struct Reader {
    TensorSource *s;
    const Onnx__TensorProto *p;
    Loc loc;
    const char *what; /* "tensor 'w'" */
    Type type;
    int64_t n; /* elements */
} Reader;

/* Bytes of the elements as files have them: types of less than 8 bits are packed. */
static int64_t packed_bytes(const Reader *r) {
    return (int64_t)(((uint64_t)r->n * (uint64_t)elem_info[r->type.elem].bits + 7) / 8);
}

/* Low bits first, as ONNX packs 4-bit and 2-bit types. */
static void unpack_bits(const uint8_t *p, int bits, bool sign, int64_t n, uint8_t *out) {
    int per_byte = 8 / bits, mask = (1 << bits) - 1, top = sign ? 1 << (bits - 1) : 0;
    for (int64_t i = 0; i < n; i++) {
        int v = p[i / per_byte] >> (i % per_byte * bits) & mask;
        out[i] = (uint8_t)((v ^ top) - top);
    }
}

static const Tensor *from_packed(Reader *r, const uint8_t *p) {
    Tensor *t = tensor_new(r->s->arena, r->type);
    const ElemInfo *e = &elem_info[r->type.elem];
    unpack_bits(p, e->bits, e->kind == ELEM_I, r->n, tensor_data(t));
    return t;
}

/* Bytes other than 0 and 1 are true, but nothing behind this door need know. */
static const Tensor *from_bools(Reader *r, const uint8_t *p) {
    Tensor *t = tensor_new(r->s->arena, r->type);
    uint8_t *out = tensor_data(t);
    for (int64_t i = 0; i < r->n; i++) out[i] = p[i] != 0;
    return t;
}

static const Tensor *from_bytes(Reader *r, const uint8_t *p) {
    if (elem_info[r->type.elem].bits < 8) return from_packed(r, p);
    if (r->type.elem == QCC_BOOL) return from_bools(r, p);
    size_t align = (size_t)elem_bytes(r->type.elem), bytes = (size_t)r->n * align;
    Tensor *t = NEW(r->s->arena, Tensor);
    *t = (Tensor){.type = r->type, .data = p};
    if ((uintptr_t)p % align != 0 || bytes < 64) t->data = arena_copy(r->s->arena, p, bytes);
    return t;
}

static const Tensor *from_raw(Reader *r, ProtoBytes raw) {
    int64_t want = packed_bytes(r);
    if (raw.bytes != (size_t)want) {
        diag(r->s->d, D_TENSOR_DATA, r->loc, "%s has %zu bytes of data, %s takes %lld", r->what, raw.bytes,
             type_str(r->s->arena, &r->type), (long long)want);
        return NULL;
    }
    return from_bytes(r, raw.data);
}

/* ---- typed lists ---- */

static bool check_list(Reader *r, const char *field, size_t n, int64_t want) {
    if (n == (size_t)want) return true;
    diag(r->s->d, D_TENSOR_DATA, r->loc, "%s has %zu elements in %s, %s takes %lld", r->what, n, field,
         type_str(r->s->arena, &r->type), (long long)want);
    return false;
}

static const Tensor *from_int32s(Reader *r) {
    const int32_t *v = r->p->int32_data;
    int bits = elem_info[r->type.elem].bits;
    if (!check_list(r, "int32_data", r->p->n_int32_data, bits < 8 ? packed_bytes(r) : r->n)) return NULL;
    if (r->type.elem == QCC_I32) return from_bytes(r, arena_copy(r->s->arena, v, r->p->n_int32_data * sizeof *v));
    Arena *scratch = arena_nested(r->s->arena);
    uint8_t *bytes = arena_get(scratch, r->p->n_int32_data * 2 + 1);
    for (size_t i = 0; i < r->p->n_int32_data; i++) {
        if (bits == 16)
            memcpy(bytes + 2 * i, &(uint16_t){(uint16_t)v[i]}, 2);
        else
            bytes[i] = r->type.elem == QCC_BOOL ? v[i] != 0 : (uint8_t)v[i];
    }
    if (bits >= 8) bytes = arena_copy(r->s->arena, bytes, (size_t)r->n * (size_t)elem_bytes(r->type.elem));
    const Tensor *t = from_bytes(r, bytes);
    arena_free(scratch);
    return t;
}

static const Tensor *from_uint64s(Reader *r) {
    if (!check_list(r, "uint64_data", r->p->n_uint64_data, r->n)) return NULL;
    Tensor *t = tensor_new(r->s->arena, r->type);
    for (int64_t i = 0; i < r->n; i++) tensor_set_int(t, i, (int64_t)r->p->uint64_data[i]);
    return t;
}

static const Tensor *from_list(Reader *r, const char *field, size_t n, const void *list) {
    if (!check_list(r, field, n, r->n)) return NULL;
    return from_bytes(r, arena_copy(r->s->arena, list, n * (size_t)elem_bytes(r->type.elem)));
}

static const Tensor *from_lists(Reader *r) {
    const Onnx__TensorProto *p = r->p;
    switch (r->type.elem) {
    case QCC_F32:
        return from_list(r, "float_data", p->n_float_data, p->float_data);
    case QCC_F64:
        return from_list(r, "double_data", p->n_double_data, p->double_data);
    case QCC_I64:
        return from_list(r, "int64_data", p->n_int64_data, p->int64_data);
    case QCC_U32:
    case QCC_U64:
        return from_uint64s(r);
    default:
        return from_int32s(r);
    }
}

/* ---- other files ---- */

static const Tensor *refuse_external(Reader *r, const char *location, const char *why) {
    diag(r->s->d, D_EXTERNAL_DATA, r->loc, "the data of %s in '%s' cannot be read: %s", r->what, location, why);
    return NULL;
}

static bool parse_size(const char *s, uint64_t *out) {
    char *end;
    if (*s < '0' || *s > '9') return false;
    errno = 0;
    *out = strtoull(s, &end, 10);
    return errno == 0 && *end == '\0';
}

static const FileView *map_external(Reader *r, const char *location, const char **why) {
    FileView *v = map_get(&r->s->views, location);
    if (v) return v;
    if (!r->s->dir) {
        *why = "this model may have none";
        return NULL;
    }
    v = NEW(r->s->arena, FileView);
    if (!file_map_inside(r->s->arena, r->s->dir, location, v, why)) return NULL;
    map_put(r->s->arena, &r->s->views, arena_str(r->s->arena, location), v);
    file_names_add(r->s->read, arena_printf(r->s->arena, "%s/%s", r->s->dir, location));
    return v;
}

static const Tensor *from_external(Reader *r) {
    const char *location = "", *why = NULL;
    uint64_t offset = 0, want = (uint64_t)packed_bytes(r), length = want;
    for (size_t i = 0; i < r->p->n_external_data; i++) {
        const char *key = proto_str(r->p->external_data[i]->key), *value = proto_str(r->p->external_data[i]->value);
        if (strcmp(key, "location") == 0) location = arena_str(r->s->arena, value);
        if (strcmp(key, "offset") == 0 && !parse_size(value, &offset)) why = "its offset is no number";
        if (strcmp(key, "length") == 0 && !parse_size(value, &length)) why = "its length is no number";
    }
    if (why) return refuse_external(r, location, why);
    if (length != want) return refuse_external(r, location, "its length does not fit its type and dimensions");
    const FileView *v = map_external(r, location, &why);
    if (!v) return refuse_external(r, location, why);
    if (offset > v->bytes || want > v->bytes - offset) return refuse_external(r, location, "the file is too short");
    return from_bytes(r, v->data + offset);
}

/* ---- the door ---- */

static int count_forms(const Onnx__TensorProto *p) {
    return (p->has_raw_data != 0) + (p->n_float_data > 0) + (p->n_int32_data > 0) + (p->n_string_data > 0) +
           (p->n_int64_data > 0) + (p->n_double_data > 0) + (p->n_uint64_data > 0);
}

const Tensor *tensor_import(TensorSource *s, const Onnx__TensorProto *p, Loc loc) {
    Reader r = {.s = s, .p = p, .loc = loc};
    r.what = arena_printf(s->arena, "tensor '%s'", proto_str(p->name));
    r.type.elem = elem_import(s->d, loc, r.what, p->data_type);
    if (!r.type.elem || !dims_import(s->d, loc, r.what, p->n_dims, p->dims, &r.type.shape)) return NULL;
    r.n = shape_count(&r.type.shape);
    if (r.n < 0 || type_bytes(&r.type) < 0) {
        diag(s->d, D_SIZE_LIMIT, loc, "%s is too large: %s", r.what, type_str(s->arena, &r.type));
        return NULL;
    }
    bool external = p->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    if (p->segment || count_forms(p) + external > 1) {
        diag(s->d, D_TENSOR_DATA, loc, "%s has its data in %s", r.what,
             p->segment ? "segments" : "several forms at once");
        return NULL;
    }
    if (external) return from_external(&r);
    ProtoBytes raw;
    return proto_raw(s->bytes, p, &raw) ? from_raw(&r, raw) : from_lists(&r);
}
