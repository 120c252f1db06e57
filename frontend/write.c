/* protobuf-c's structures, filled in. Its fields are not const; nothing is written through them. */
#include "frontend/write.h"

#include <string.h>

static char *text(const char *s) { return (char *)(uintptr_t)s; }

void *proto_grow(Arena *a, void *list, size_t n, size_t bytes) {
    if (n & (n - 1) || n == 1) return list; /* room for the next power of two */
    size_t cap = n ? 2 * n : 2;
    void *grown = arena_array(a, cap, bytes);
    if (n) memcpy(grown, list, n * bytes);
    return grown;
}

/* ---- nodes ---- */

Onnx__NodeProto *node_proto(Arena *a, const char *domain, const char *op) {
    Onnx__NodeProto *n = NEW(a, Onnx__NodeProto);
    onnx__node_proto__init(n);
    n->op_type = text(op);
    if (*domain) n->domain = text(domain);
    return n;
}

void node_proto_in(Arena *a, Onnx__NodeProto *n, const char *name) { proto_push(a, n->n_input, n->input, text(name)); }

void node_proto_out(Arena *a, Onnx__NodeProto *n, const char *name) {
    proto_push(a, n->n_output, n->output, text(name));
}

Onnx__AttributeProto *node_proto_attr(Arena *a, Onnx__NodeProto *n, const char *name,
                                      Onnx__AttributeProto__AttributeType type) {
    Onnx__AttributeProto *p = NEW(a, Onnx__AttributeProto);
    onnx__attribute_proto__init(p);
    p->name = text(name);
    p->has_type = true;
    p->type = type;
    proto_push(a, n->n_attribute, n->attribute, p);
    return p;
}

void node_proto_int(Arena *a, Onnx__NodeProto *n, const char *name, int64_t v) {
    Onnx__AttributeProto *p = node_proto_attr(a, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    p->has_i = true;
    p->i = v;
}

void node_proto_float(Arena *a, Onnx__NodeProto *n, const char *name, float v) {
    Onnx__AttributeProto *p = node_proto_attr(a, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    p->has_f = true;
    p->f = v;
}

static ProtobufCBinaryData bytes_of(const char *s) {
    return (ProtobufCBinaryData){.len = strlen(s), .data = (uint8_t *)(uintptr_t)s};
}

void node_proto_string(Arena *a, Onnx__NodeProto *n, const char *name, const char *v) {
    Onnx__AttributeProto *p = node_proto_attr(a, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
    p->has_s = true;
    p->s = bytes_of(v);
}

void node_proto_ints(Arena *a, Onnx__NodeProto *n, const char *name, size_t count, const int64_t *v) {
    Onnx__AttributeProto *p = node_proto_attr(a, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    p->n_ints = count;
    p->ints = (int64_t *)(uintptr_t)v;
}

static void copy_floats(Arena *a, Onnx__NodeProto *n, const Attr *attr) {
    Onnx__AttributeProto *p = node_proto_attr(a, n, attr->name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS);
    p->floats = NEW_ARRAY(a, float, attr->n + 1);
    for (int64_t i = 0; i < attr->n; i++) p->floats[p->n_floats++] = (float)attr->floats[i];
}

static void copy_strings(Arena *a, Onnx__NodeProto *n, const Attr *attr) {
    Onnx__AttributeProto *p = node_proto_attr(a, n, attr->name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS);
    for (int64_t i = 0; i < attr->n; i++) proto_push(a, p->n_strings, p->strings, bytes_of(attr->strings[i]));
}

void node_proto_copy(Arena *a, Onnx__NodeProto *n, const Attr *attr) {
    switch (attr->kind) {
    case ATTR_INT:
        node_proto_int(a, n, attr->name, attr->i);
        break;
    case ATTR_FLOAT:
        node_proto_float(a, n, attr->name, (float)attr->f);
        break;
    case ATTR_STRING:
        node_proto_string(a, n, attr->name, attr->s);
        break;
    case ATTR_INTS:
        node_proto_ints(a, n, attr->name, (size_t)attr->n, attr->ints);
        break;
    case ATTR_FLOATS:
        copy_floats(a, n, attr);
        break;
    case ATTR_STRINGS:
        copy_strings(a, n, attr);
        break;
    case ATTR_TENSOR:
        node_proto_attr(a, n, attr->name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR)->t =
            tensor_proto(a, "", attr->t);
        break;
    case ATTR_GRAPH:
        bug("node_proto_copy: '%s' is a graph", attr->name);
    }
}

/* ---- tensors and types ---- */

static ProtobufCBinaryData packed(Arena *a, const Tensor *t, int64_t n) {
    int bits = elem_info[t->type.elem].bits, per_byte = 8 / bits;
    ProtobufCBinaryData b = {.len = (size_t)ceil_div(n, per_byte)};
    b.data = arena_get(a, b.len + 1);
    for (int64_t i = 0; i < n; i++) {
        unsigned v = (unsigned)tensor_get_int(t, i) & ((1u << bits) - 1);
        b.data[i / per_byte] |= (uint8_t)(v << (i % per_byte * bits));
    }
    return b;
}

static ProtobufCBinaryData raw_data(Arena *a, const Tensor *t) {
    if (elem_info[t->type.elem].bits < 8 && t->type.elem != QCC_BOOL) return packed(a, t, shape_count(&t->type.shape));
    const Tensor *dense = tensor_dense(a, t);
    return (ProtobufCBinaryData){.len = (size_t)type_bytes(&t->type), .data = (uint8_t *)(uintptr_t)dense->data};
}

Onnx__TensorProto *tensor_proto(Arena *a, const char *name, const Tensor *t) {
    Onnx__TensorProto *p = NEW(a, Onnx__TensorProto);
    onnx__tensor_proto__init(p);
    if (*name) p->name = text(name);
    p->n_dims = (size_t)t->type.shape.rank;
    p->dims = arena_copy(a, t->type.shape.dim, (p->n_dims + 1) * sizeof *p->dims);
    p->has_data_type = true;
    p->data_type = (int32_t)t->type.elem;
    p->has_raw_data = true;
    p->raw_data = raw_data(a, t);
    return p;
}

static Onnx__TensorShapeProto *shape_proto(Arena *a, const Shape *s, const char *batch) {
    Onnx__TensorShapeProto *p = NEW(a, Onnx__TensorShapeProto);
    onnx__tensor_shape_proto__init(p);
    for (int i = 0; i < s->rank; i++) {
        Onnx__TensorShapeProto__Dimension *d = NEW(a, Onnx__TensorShapeProto__Dimension);
        onnx__tensor_shape_proto__dimension__init(d);
        if (i == 0 && batch) {
            d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
            d->dim_param = text(batch);
        } else {
            d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
            d->dim_value = s->dim[i];
        }
        proto_push(a, p->n_dim, p->dim, d);
    }
    return p;
}

Onnx__ValueInfoProto *value_info_proto(Arena *a, const char *name, const Type *t, const char *batch) {
    Onnx__ValueInfoProto *p = NEW(a, Onnx__ValueInfoProto);
    onnx__value_info_proto__init(p);
    p->name = text(name);
    p->type = NEW(a, Onnx__TypeProto);
    onnx__type_proto__init(p->type);
    p->type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    p->type->tensor_type = NEW(a, Onnx__TypeProto__Tensor);
    onnx__type_proto__tensor__init(p->type->tensor_type);
    p->type->tensor_type->has_elem_type = true;
    p->type->tensor_type->elem_type = (int32_t)t->elem;
    p->type->tensor_type->shape = shape_proto(a, &t->shape, batch);
    return p;
}

Onnx__OperatorSetIdProto *opset_proto(Arena *a, const char *domain, int64_t version) {
    Onnx__OperatorSetIdProto *p = NEW(a, Onnx__OperatorSetIdProto);
    onnx__operator_set_id_proto__init(p);
    p->domain = text(domain);
    p->has_version = true;
    p->version = version;
    return p;
}
