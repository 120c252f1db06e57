/* Protocol buffers made for writing. Everything lies in the arena; strings and tensors' data are shared, not copied. */
#ifndef QCC_FRONTEND_WRITE_H
#define QCC_FRONTEND_WRITE_H

#include "frontend/proto.h"
#include "ir/ir.h"

/* A list of protobuf-c's: grows by one. */
#define proto_push(a, n, list, item) ((list) = proto_grow((a), (list), (n), sizeof *(list)), (list)[(n)++] = (item))
void *proto_grow(Arena *a, void *list, size_t n, size_t bytes);

Onnx__NodeProto *node_proto(Arena *a, const char *domain, const char *op);
void node_proto_in(Arena *a, Onnx__NodeProto *n, const char *name);
void node_proto_out(Arena *a, Onnx__NodeProto *n, const char *name);
Onnx__AttributeProto *node_proto_attr(Arena *a, Onnx__NodeProto *n, const char *name,
                                      Onnx__AttributeProto__AttributeType type);
void node_proto_int(Arena *a, Onnx__NodeProto *n, const char *name, int64_t v);
void node_proto_float(Arena *a, Onnx__NodeProto *n, const char *name, float v);
void node_proto_string(Arena *a, Onnx__NodeProto *n, const char *name, const char *v);
void node_proto_ints(Arena *a, Onnx__NodeProto *n, const char *name, size_t count, const int64_t *v);
/* Any attribute but a graph. */
void node_proto_copy(Arena *a, Onnx__NodeProto *n, const Attr *attr);

/* Raw data, dense; elements of less than 8 bits are packed low bits first. */
Onnx__TensorProto *tensor_proto(Arena *a, const char *name, const Tensor *t);
Onnx__ValueInfoProto *value_info_proto(Arena *a, const char *name, const Type *t, const char *batch);
Onnx__OperatorSetIdProto *opset_proto(Arena *a, const char *domain, int64_t version);

#endif
