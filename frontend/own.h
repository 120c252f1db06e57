/* Our own domain: quantizers as functions that every ONNX tool can run. */
#ifndef QCC_FRONTEND_OWN_H
#define QCC_FRONTEND_OWN_H

#include "frontend/proto.h"
#include "ir/ir.h"

#define OWN_DOMAIN "qcc"
enum { OWN_VERSION = 1 };

/* True for the operators that have a function (frontend/own.def). */
bool own_has(OpId op);
/* The function, written for this operator set. */
Onnx__FunctionProto *own_function(Arena *a, OpId op, int64_t opset);
/* The operator whose function this is: domain, name, interface and body are the same, whatever its operator set and
 * remarks. OP_NONE otherwise. */
OpId own_match(Arena *a, const Onnx__FunctionProto *f);

#endif
