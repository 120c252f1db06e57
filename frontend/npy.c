/* NumPy's array format: a magic, a length, a Python dictionary literal, the elements. Only the dictionary that NumPy
 * writes is understood: keys in any order, a plain type name, a tuple of numbers. */
#include "frontend/npy.h"

#include <string.h>

#include "base/file.h"
#include "frontend/frontend.h"

static const uint8_t magic[6] = {0x93, 'N', 'U', 'M', 'P', 'Y'};

static const struct {
    const char *name;
    Elem elem;
} names[] = {{"f4", QCC_F32}, {"f8", QCC_F64}, {"f2", QCC_F16}, {"i1", QCC_I8},  {"i2", QCC_I16}, {"i4", QCC_I32},
             {"i8", QCC_I64}, {"u1", QCC_U8},  {"u2", QCC_U16}, {"u4", QCC_U32}, {"u8", QCC_U64}, {"b1", QCC_BOOL}};

typedef struct Header {
    Type type;
    bool fortran;
} Header;

/* ---- reading ---- */

typedef struct Parser {
    Diags *d;
    const char *what;
    const char *s; /* terminated */
} Parser;

static bool refuse(Parser *p, DiagId id, const char *why) {
    diag(p->d, id, (Loc){.file = p->what, .index = -1}, "%s", why);
    return false;
}

static bool take(Parser *p, const char *token) {
    while (*p->s == ' ') p->s++;
    if (strncmp(p->s, token, strlen(token)) != 0) return false;
    p->s += strlen(token);
    return true;
}

static bool refuse_type(Parser *p, const char *descr) {
    enum { MOST_SHOWN = 32 };
    diag(p->d, D_ELEM_TYPE, (Loc){.file = p->what, .index = -1}, "the array's type '%.*s' is not known",
         (int)i64_min(MOST_SHOWN, (int64_t)strcspn(descr, "'")), descr);
    return false;
}

static bool parse_descr(Parser *p, Header *h) {
    if (!take(p, "'")) return refuse(p, D_ELEM_TYPE, "the array's type is not a plain one");
    const char *descr = p->s;
    if (*p->s == '>') return refuse(p, D_ELEM_TYPE, "the array is big-endian");
    if (*p->s == '<' || *p->s == '|' || *p->s == '=') p->s++;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (!take(p, names[i].name)) continue;
        h->type.elem = names[i].elem;
        return take(p, "'") || refuse_type(p, descr);
    }
    return refuse_type(p, descr);
}

static bool parse_shape(Parser *p, Header *h) {
    if (!take(p, "(")) return false;
    while (!take(p, ")")) {
        if (h->type.shape.rank == MAX_RANK) return refuse(p, D_MODEL_LIMIT, "the array has more than 8 dimensions");
        int64_t v = 0;
        take(p, "");
        if (*p->s < '0' || *p->s > '9') return false;
        for (; *p->s >= '0' && *p->s <= '9'; p->s++) {
            if (mul_overflow(v, 10, &v) || add_overflow(v, *p->s - '0', &v)) return false;
        }
        h->type.shape.dim[h->type.shape.rank++] = v;
        if (!take(p, ",") && *p->s != ')') return false;
    }
    return true;
}

static bool parse_fortran(Parser *p, Header *h) {
    h->fortran = take(p, "True");
    return h->fortran || take(p, "False");
}

static bool parse_header(Parser *p, Header *h) {
    static const struct {
        const char *key;
        bool (*parse)(Parser *, Header *);
    } keys[] = {{"'descr':", parse_descr}, {"'fortran_order':", parse_fortran}, {"'shape':", parse_shape}};
    unsigned seen = 0;
    if (!take(p, "{")) return false;
    while (!take(p, "}")) {
        size_t k = 0;
        while (k < COUNT_OF(keys) && !take(p, keys[k].key)) k++;
        if (k == COUNT_OF(keys) || seen & 1u << k || !keys[k].parse(p, h)) return false;
        seen |= 1u << k;
        take(p, ",");
    }
    return seen == 7;
}

/* Columns first to rows first. */
static void transpose(Tensor *t, const uint8_t *from) {
    size_t width = (size_t)elem_bytes(t->type.elem);
    const Shape *s = &t->type.shape;
    int64_t index[MAX_RANK] = {0}, n = shape_count(s);
    uint8_t *to = tensor_data(t);
    for (int64_t i = 0; i < n; i++) {
        int64_t at = 0;
        for (int k = s->rank - 1; k >= 0; k--) at = at * s->dim[k] + index[k];
        memcpy(to + (size_t)i * width, from + (size_t)at * width, width);
        for (int k = s->rank - 1; k >= 0 && ++index[k] == s->dim[k]; k--) index[k] = 0;
    }
}

static void normalize_bools(Tensor *t) {
    uint8_t *p = tensor_data(t);
    for (int64_t i = 0; t->type.elem == QCC_BOOL && i < shape_count(&t->type.shape); i++) p[i] = p[i] != 0;
}

static const Tensor *parse_array(Arena *a, Parser *p, ProtoBytes b) {
    if (b.bytes < 12 || memcmp(b.data, magic, sizeof magic) != 0) return NULL;
    size_t start = b.data[6] == 1 ? 10 : 12, length = (size_t)b.data[8] | (size_t)b.data[9] << 8;
    if (b.data[6] > 1) length |= (size_t)b.data[10] << 16 | (size_t)b.data[11] << 24;
    if (b.data[6] < 1 || b.data[6] > 3 || length > b.bytes - start) return NULL;
    p->s = arena_strn(a, (const char *)b.data + start, length);
    Header h = {0};
    if (!parse_header(p, &h)) return NULL;
    const uint8_t *data = b.data + start + length;
    int64_t bytes = type_bytes(&h.type);
    if (bytes < 0 || (uint64_t)bytes != b.bytes - start - length) {
        refuse(p, D_TENSOR_DATA, "the array's data does not fit its type and shape");
        return NULL;
    }
    Tensor *t = tensor_new(a, h.type);
    if (h.fortran) {
        transpose(t, data);
    } else if (bytes > 0) {
        memcpy(tensor_data(t), data, (size_t)bytes);
    }
    normalize_bools(t);
    return t;
}

const Tensor *npy_parse(Arena *a, Diags *d, const char *what, ProtoBytes b) {
    Parser p = {.d = d, .what = what};
    int errors = d->n_errors;
    const Tensor *t = parse_array(a, &p, b);
    if (!t && d->n_errors == errors) refuse(&p, D_TENSOR_DATA, "the bytes are no NumPy array");
    return t;
}

/* ---- writing ---- */

static Elem numpy_elem(Elem e) {
    if (e == QCC_BF16) return QCC_F32;
    if (elem_info[e].bits >= 8) return e;
    return elem_info[e].kind == ELEM_I ? QCC_I8 : QCC_U8;
}

/* Itself, or widened; dense either way. */
static const Tensor *for_numpy(Arena *a, const Tensor *t) {
    Type type = {numpy_elem(t->type.elem), t->type.shape};
    if (type.elem == t->type.elem) return tensor_dense(a, t);
    Tensor *wide = tensor_new(a, type);
    for (int64_t i = 0; i < shape_count(&type.shape); i++) tensor_set(wide, i, tensor_get(t, i));
    return wide;
}

static const char *name_of(Elem e) {
    size_t i = 0;
    while (names[i].elem != e) i++;
    return names[i].name;
}

ProtoBytes npy_format(Arena *a, const Tensor *t) {
    enum { PREFIX = 10, ALIGN = 64 };
    const Tensor *n = for_numpy(a, t);
    const Shape *s = &n->type.shape;
    Text h = {.arena = a};
    const char *name = name_of(n->type.elem);
    text_add(&h, "{'descr': '%s%s', 'fortran_order': False, 'shape': (", name[1] == '1' ? "|" : "<", name);
    for (int i = 0; i < s->rank; i++)
        text_add(&h, "%lld%s", (long long)s->dim[i], s->rank == 1 ? "," : i + 1 < s->rank ? ", " : "");
    text_add(&h, "), }");
    while ((h.n + PREFIX + 1) % ALIGN != 0) text_add(&h, " ");
    text_add(&h, "\n");
    size_t bytes = (size_t)type_bytes(&n->type);
    uint8_t *out = arena_get(a, PREFIX + h.n + bytes);
    memcpy(out, magic, sizeof magic);
    out[6] = 1;
    out[8] = (uint8_t)(h.n & 255);
    out[9] = (uint8_t)(h.n >> 8);
    memcpy(out + PREFIX, h.s, h.n);
    if (bytes > 0) memcpy(out + PREFIX + h.n, n->data, bytes);
    return (ProtoBytes){out, PREFIX + h.n + bytes};
}

bool npy_write(Arena *a, Diags *d, const char *path, const Tensor *t) {
    Arena *scratch = arena_nested(a);
    ProtoBytes b = npy_format(scratch, t);
    bool ok = file_write(d, path, b.data, b.bytes);
    arena_free(scratch);
    return ok;
}
