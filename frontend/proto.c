/* Unpacking untrusted protocol buffers.
 *
 * protobuf-c recurses as deep as the file says, copies every bytes field, and takes for a two-byte message as much
 * memory as its struct needs. So each file is first walked here, guided by the same descriptors, in two rounds of one
 * function: the first checks and measures, the second writes a slim copy in which
 *   - raw_data is a handle (offset and length in the file),
 *   - unknown fields and groups are gone, but for the few newer fields that we want,
 *   - every nested length is a padded five-byte varint, so that it can be written before it is known.
 * The slim copy is what protobuf-c unpacks. */
#include "frontend/proto.h"

#include <stdint.h>
#include <string.h>

enum {
    MAX_NESTING = 100,    /* as other readers of protocol buffers have it */
    MEMBER_BYTES = 48,    /* what unpacking takes for a field besides its contents */
    HANDLE_BYTES = 16,    /* offset and length, 64 bits each */
    LENGTH_BYTES = 5,     /* of a padded length */
    MAX_VARINT_BYTES = 10 /* 64 bits in groups of 7 */
};
#define MAX_UNPACKED_BYTES ((int64_t)512 << 20) /* tensors' raw data not counted */

enum WireType { WIRE_VARINT, WIRE_64, WIRE_LEN, WIRE_GROUP, WIRE_GROUP_END, WIRE_32 };

typedef struct Scan {
    Diags *d;
    const char *file;
    const uint8_t *base;
    const char *whole;                         /* what the file should be */
    const ProtobufCMessageDescriptor *message; /* being read */
    uint8_t *out;                              /* NULL in the first round */
    size_t n;
    int64_t budget;
} Scan;

typedef struct Cursor {
    const uint8_t *p, *end;
} Cursor;

typedef struct Field {
    uint32_t number;
    unsigned wire;
    const ProtobufCFieldDescriptor *known; /* NULL: not in the descriptor */
    const uint8_t *start, *payload;        /* of the tag; of the contents of a WIRE_LEN field */
    uint64_t value, length;                /* of a varint; of the contents */
} Field;

/* Newer fields that are kept though the distribution's proto does not know them. */
static const struct {
    const ProtobufCMessageDescriptor *message;
    uint32_t number;
    const ProtobufCMessageDescriptor *contents; /* NULL: text */
} newer_fields[] = {
    {&onnx__node_proto__descriptor, 8, NULL},
    {&onnx__function_proto__descriptor, 11, &onnx__attribute_proto__descriptor},
    {&onnx__function_proto__descriptor, 13, NULL},
};

static bool damaged(Scan *s, const uint8_t *at, const char *what) {
    if (!s->out) {
        diag(s->d, D_NOT_ONNX, (Loc){.file = s->file, .index = -1}, "not %s, or damaged: %s at byte %zu, in a %s",
             s->whole, what, (size_t)(at - s->base), s->message->short_name);
    }
    return false;
}

static bool too_much(Scan *s, const char *what) {
    diag(s->d, D_MODEL_LIMIT, (Loc){.file = s->file, .index = -1}, "%s", what);
    return false;
}

static void put(Scan *s, const void *p, size_t n) {
    if (s->out && n > 0) memcpy(s->out + s->n, p, n);
    s->n += n;
}

static void put_varint(Scan *s, uint64_t v) {
    uint8_t b[MAX_VARINT_BYTES];
    size_t n = 0;
    for (; v >= 128; v >>= 7) b[n++] = (uint8_t)(v | 128);
    b[n++] = (uint8_t)v;
    put(s, b, n);
}

/* Writes the length of what follows `at` in the place kept for it. */
static void patch_length(Scan *s, size_t at) {
    if (!s->out) return;
    size_t length = s->n - at - LENGTH_BYTES;
    for (int i = 0; i < LENGTH_BYTES; i++) {
        s->out[at + (size_t)i] = (uint8_t)((length >> (7 * i) & 127) | (i < LENGTH_BYTES - 1 ? 128 : 0));
    }
}

static bool read_varint(Cursor *c, uint64_t *out) {
    uint64_t v = 0;
    for (int i = 0; i < MAX_VARINT_BYTES && c->p < c->end; i++) {
        uint8_t b = *c->p++;
        v |= (uint64_t)(b & 127) << (7 * i);
        if (b < 128) {
            *out = v;
            return true;
        }
    }
    return false;
}

static unsigned wire_of(ProtobufCType t) {
    switch (t) {
    case PROTOBUF_C_TYPE_DOUBLE:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return WIRE_64;
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
        return WIRE_32;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return WIRE_LEN;
    default:
        return WIRE_VARINT;
    }
}

/* A list of numbers in one field: whole elements only. */
static bool check_packed(Scan *s, const Field *f) {
    unsigned wire = wire_of(f->known->type);
    if (wire != WIRE_VARINT) {
        return f->length % (wire == WIRE_32 ? 4 : 8) == 0 || damaged(s, f->start, "a list ends within an element");
    }
    Cursor c = {f->payload, f->payload + f->length};
    uint64_t v;
    while (c.p < c.end) {
        if (!read_varint(&c, &v)) return damaged(s, f->start, "a list ends within an element");
    }
    return true;
}

static bool spend(Scan *s, uint64_t bytes) {
    if (bytes > (uint64_t)s->budget) return too_much(s, "unpacking the file would take more than 512 MiB");
    s->budget -= (int64_t)bytes;
    return true;
}

static bool read_value(Scan *s, Cursor *c, Field *f) {
    size_t fixed = f->wire == WIRE_64 ? 8 : 4;
    switch (f->wire) {
    case WIRE_VARINT:
        return read_varint(c, &f->value) || damaged(s, f->start, "a number that does not end");
    case WIRE_64:
    case WIRE_32:
        if ((size_t)(c->end - c->p) < fixed) return damaged(s, f->start, "a number that is cut off");
        c->p += fixed;
        return true;
    case WIRE_LEN:
        if (!read_varint(c, &f->length)) return damaged(s, f->start, "a length that does not end");
        if (f->length > (uint64_t)(c->end - c->p)) return damaged(s, f->start, "a field longer than what is left");
        f->payload = c->p;
        c->p += f->length;
        return true;
    default:
        return damaged(s, f->start, "an unknown wire type");
    }
}

static bool read_tag(Scan *s, Cursor *c, Field *f) {
    uint64_t tag;
    *f = (Field){.start = c->p};
    if (!read_varint(c, &tag)) return damaged(s, f->start, "a field tag that does not end");
    f->wire = (unsigned)(tag & 7);
    if (tag >> 3 == 0 || tag >> 3 >= 1u << 29) return damaged(s, f->start, "a field number out of range");
    f->number = (uint32_t)(tag >> 3);
    return true;
}

/* Groups nest, but need no recursion: only their number has to match when they end. */
static bool skip_group(Scan *s, Cursor *c, const Field *group) {
    uint32_t open[MAX_NESTING];
    int depth = 0;
    open[depth++] = group->number;
    while (depth > 0) {
        Field f;
        if (c->p == c->end) return damaged(s, group->start, "a group that does not end");
        if (!read_tag(s, c, &f)) return false;
        if (f.wire == WIRE_GROUP) {
            if (depth == MAX_NESTING) return too_much(s, "groups are nested more than 100 deep");
            open[depth++] = f.number;
        } else if (f.wire == WIRE_GROUP_END) {
            if (open[--depth] != f.number) return damaged(s, f.start, "the end of another group");
        } else if (!read_value(s, c, &f)) {
            return false;
        }
    }
    return true;
}

static bool scan_message(Scan *s, const ProtobufCMessageDescriptor *m, Cursor c, int depth);

static bool scan_nested(Scan *s, const ProtobufCMessageDescriptor *m, const Field *f, int depth) {
    if (!spend(s, m->sizeof_message)) return false;
    put_varint(s, (uint64_t)f->number << 3 | WIRE_LEN);
    size_t at = s->n;
    s->n += LENGTH_BYTES;
    if (!scan_message(s, m, (Cursor){f->payload, f->payload + f->length}, depth + 1)) return false;
    patch_length(s, at);
    return true;
}

static void put_handle(Scan *s, const Field *f) {
    uint64_t handle[2] = {(uint64_t)(f->payload - s->base), f->length};
    put_varint(s, (uint64_t)f->number << 3 | WIRE_LEN);
    put_varint(s, HANDLE_BYTES);
    put(s, handle, HANDLE_BYTES);
}

static bool scan_known(Scan *s, const Field *f, const uint8_t *end, int depth) {
    const ProtobufCFieldDescriptor *k = f->known;
    bool packed = f->wire == WIRE_LEN && k->label == PROTOBUF_C_LABEL_REPEATED && wire_of(k->type) != WIRE_LEN;
    if (!packed && f->wire != wire_of(k->type)) return damaged(s, f->start, "a field of the wrong wire type");
    if (packed && !check_packed(s, f)) return false;
    if (k->type == PROTOBUF_C_TYPE_MESSAGE) return scan_nested(s, k->descriptor, f, depth);
    if (s->message == &onnx__tensor_proto__descriptor && k->type == PROTOBUF_C_TYPE_BYTES &&
        k->label == PROTOBUF_C_LABEL_OPTIONAL) {
        put_handle(s, f);
        return true;
    }
    if (k->type == PROTOBUF_C_TYPE_STRING && memchr(f->payload, 0, f->length)) {
        return damaged(s, f->start, "a zero byte within a text");
    }
    if (f->wire == WIRE_LEN && !spend(s, f->length)) return false;
    put(s, f->start, (size_t)(end - f->start));
    return true;
}

static bool scan_unknown(Scan *s, const Field *f, const uint8_t *end, int depth) {
    for (size_t i = 0; i < COUNT_OF(newer_fields); i++) {
        if (newer_fields[i].message != s->message || newer_fields[i].number != f->number) continue;
        if (f->wire != WIRE_LEN) return damaged(s, f->start, "a field of the wrong wire type");
        if (newer_fields[i].contents) return scan_nested(s, newer_fields[i].contents, f, depth);
        if (memchr(f->payload, 0, f->length)) return damaged(s, f->start, "a zero byte within a text");
        put(s, f->start, (size_t)(end - f->start));
        return spend(s, f->length);
    }
    return true;
}

static bool scan_message(Scan *s, const ProtobufCMessageDescriptor *m, Cursor c, int depth) {
    const ProtobufCMessageDescriptor *outer = s->message;
    if (depth > MAX_NESTING) return too_much(s, "messages are nested more than 100 deep");
    s->message = m;
    while (c.p < c.end) {
        Field f;
        if (!read_tag(s, &c, &f)) return false;
        f.known = protobuf_c_message_descriptor_get_field(m, f.number);
        if (f.wire == WIRE_GROUP && !f.known) {
            if (!skip_group(s, &c, &f)) return false;
            continue;
        }
        if (!read_value(s, &c, &f) || !spend(s, MEMBER_BYTES)) return false;
        if (f.known ? !scan_known(s, &f, c.p, depth) : !scan_unknown(s, &f, c.p, depth)) return false;
    }
    s->message = outer;
    return true;
}

static void *proto_alloc(void *arena, size_t bytes) { return arena_get(arena, bytes + (bytes == 0)); }
static void proto_free(void *arena, void *p) {
    (void)arena;
    (void)p;
}

static ProtobufCMessage *unpack(Arena *a, Diags *d, const char *file, ProtoBytes b,
                                const ProtobufCMessageDescriptor *m) {
    Scan s = {.d = d,
              .file = file,
              .base = b.data,
              .whole = m == &onnx__tensor_proto__descriptor ? "a tensor" : "an ONNX model",
              .message = m,
              .budget = MAX_UNPACKED_BYTES};
    Cursor all = {b.data, b.data + b.bytes};
    if (!scan_message(&s, m, all, 1)) return NULL;
    Arena *scratch = arena_nested(a);
    Scan copy = s;
    copy.budget = MAX_UNPACKED_BYTES;
    copy.n = 0;
    copy.out = arena_get(scratch, s.n + 1);
    if (!scan_message(&copy, m, all, 1) || copy.n != s.n) bug("two scans of %s differ", file);
    ProtobufCAllocator allocator = {proto_alloc, proto_free, a};
    ProtobufCMessage *r = protobuf_c_message_unpack(m, &allocator, copy.n, copy.out);
    arena_free(scratch);
    if (!r) diag(d, D_NOT_ONNX, (Loc){.file = file, .index = -1}, "the bytes are no %s", m->short_name);
    return r;
}

/* What is often found where a model should be. None of these beginnings is one of a protocol buffer. */
static const struct {
    size_t at;
    const char *magic, *what, *hint;
} strangers[] = {
    {0, "version https://git-lfs", "a Git LFS pointer, not the model itself", "git lfs pull fetches it"},
    {0, "<!DOCTYPE", "a web page", "the download went wrong"},
    {0, "<!doctype", "a web page", "the download went wrong"},
    {0, "<html", "a web page", "the download went wrong"},
    {0, "\x1f\x8b", "compressed with gzip", "unpack it first"},
    {0, "PK\3\4", "a ZIP archive, perhaps of PyTorch", "unpack it, or export the network to ONNX"},
    {0, "\x89HDF", "an HDF5 file, perhaps of Keras", "convert it to ONNX"},
    {4, "TFL3", "a TensorFlow Lite model", "convert it to ONNX"},
    {1, "asm\1", "a WebAssembly module", "qcc run, bench and info take what is compiled for this machine"},
    {1, "ELF", "a program or a library", "qcc info shows what a compiled model holds"},
};

/* Says so if the file is plainly something else. */
static bool refuse_stranger(Diags *d, const char *file, ProtoBytes b) {
    Loc loc = {.file = file, .index = -1};
    if (b.bytes == 0) {
        diag(d, D_NOT_ONNX, loc, "the file is empty");
        return true;
    }
    for (size_t i = 0; i < COUNT_OF(strangers); i++) {
        size_t at = strangers[i].at, n = strlen(strangers[i].magic);
        if (b.bytes < at + n || memcmp(b.data + at, strangers[i].magic, n) != 0) continue;
        diag_hint(d, diag(d, D_NOT_ONNX, loc, "not an ONNX model: it is %s", strangers[i].what), "%s",
                  strangers[i].hint);
        return true;
    }
    return false;
}

Onnx__ModelProto *proto_model(Arena *a, Diags *d, const char *file, ProtoBytes b) {
    if (refuse_stranger(d, file, b)) return NULL;
    return (Onnx__ModelProto *)unpack(a, d, file, b, &onnx__model_proto__descriptor);
}

Onnx__TensorProto *proto_tensor(Arena *a, Diags *d, const char *file, ProtoBytes b) {
    return (Onnx__TensorProto *)unpack(a, d, file, b, &onnx__tensor_proto__descriptor);
}

bool proto_raw(ProtoBytes b, const Onnx__TensorProto *t, ProtoBytes *out) {
    uint64_t handle[2];
    if (!t->has_raw_data) return false;
    if (t->raw_data.len != HANDLE_BYTES) bug("raw_data is no handle");
    memcpy(handle, t->raw_data.data, HANDLE_BYTES);
    *out = (ProtoBytes){b.data + handle[0], (size_t)handle[1]};
    return true;
}

/* The contents of the newest (last) unknown field of that number, without its length prefix. */
static bool newer_field(const ProtobufCMessage *m, size_t from, uint32_t number, size_t *at, Cursor *out) {
    for (size_t i = from; i < m->n_unknown_fields; i++) {
        const ProtobufCMessageUnknownField *f = &m->unknown_fields[i];
        uint64_t length;
        if (f->tag != number) continue;
        *out = (Cursor){f->data, f->data + f->len};
        if (!read_varint(out, &length)) bug("an unknown field lost its length");
        *at = i;
        return true;
    }
    return false;
}

static const char *newer_text(Arena *a, const ProtobufCMessage *m, uint32_t number) {
    const char *text = "";
    size_t i = 0;
    for (Cursor c; newer_field(m, i, number, &i, &c); i++)
        text = arena_strn(a, (const char *)c.p, (size_t)(c.end - c.p));
    return text;
}

const char *proto_overload(Arena *a, const Onnx__NodeProto *n) { return newer_text(a, &n->base, 8); }
const char *proto_function_overload(Arena *a, const Onnx__FunctionProto *f) { return newer_text(a, &f->base, 13); }

size_t proto_function_defaults(Arena *a, const Onnx__FunctionProto *f, Onnx__AttributeProto ***out) {
    VEC(Onnx__AttributeProto *) list = {0};
    ProtobufCAllocator allocator = {proto_alloc, proto_free, a};
    size_t i = 0;
    for (Cursor c; newer_field(&f->base, i, 11, &i, &c); i++) {
        Onnx__AttributeProto *p = onnx__attribute_proto__unpack(&allocator, (size_t)(c.end - c.p), c.p);
        if (p) vec_push(a, &list, p);
    }
    *out = list.at;
    return list.n;
}
