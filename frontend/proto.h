/* The ONNX protocol buffers, from bytes that nobody has vouched for.
 *
 * The bytes are first scanned against protobuf-c's own descriptors, and copied without the tensors' data: nesting,
 * lengths, wire types and the memory that unpacking would take are bounded before protobuf-c sees anything, and the
 * weights are never copied. A TensorProto's raw_data holds a handle afterwards; proto_raw follows it. */
#ifndef QCC_FRONTEND_PROTO_H
#define QCC_FRONTEND_PROTO_H

#include "base/diag.h"
#include "onnx/onnx.pb-c.h"

/* The bytes that a message was unpacked from; they outlive it. */
typedef struct ProtoBytes {
    const uint8_t *data;
    size_t bytes;
} ProtoBytes;

/* NULL after a diagnostic (D_NOT_ONNX, D_MODEL_LIMIT). Everything lies in `a`. */
Onnx__ModelProto *proto_model(Arena *a, Diags *d, const char *file, ProtoBytes b);
Onnx__TensorProto *proto_tensor(Arena *a, Diags *d, const char *file, ProtoBytes b);

/* The raw_data of a tensor: the bytes in the file. False if it has none. */
bool proto_raw(ProtoBytes b, const Onnx__TensorProto *t, ProtoBytes *out);

/* Fields that are newer than the distribution's proto. */
const char *proto_overload(Arena *a, const Onnx__NodeProto *n);              /* "" where there is none */
const char *proto_function_overload(Arena *a, const Onnx__FunctionProto *f); /* "" where there is none */
/* Attributes of a function that have defaults. */
size_t proto_function_defaults(Arena *a, const Onnx__FunctionProto *f, Onnx__AttributeProto ***out);

/* A string field that may be absent: "" then. */
static inline const char *proto_str(const char *s) { return s ? s : ""; }

#endif
