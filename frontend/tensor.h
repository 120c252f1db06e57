/* TensorProto to Tensor, for models and for .pb files. */
#ifndef QCC_FRONTEND_TENSOR_H
#define QCC_FRONTEND_TENSOR_H

#include "base/file.h"
#include "frontend/proto.h"
#include "ir/ir.h"

/* Where tensors come from. */
typedef struct TensorSource {
    Arena *arena; /* for the tensors */
    Diags *d;
    const char *dir;  /* external data must lie in it; NULL: none allowed */
    ProtoBytes bytes; /* the file; outlives the tensors */
    Map views;        /* external files mapped so far, by location */
    FileNames *read;  /* their names; may be NULL */
} TensorSource;

/* Data of whole, aligned elements stays where it is in the file. NULL after a diagnostic at `loc`. */
const Tensor *tensor_import(TensorSource *s, const Onnx__TensorProto *p, Loc loc);
/* An element type from its number; 0 after a diagnostic that names `what`. */
Elem elem_import(Diags *d, Loc loc, const char *what, int64_t number);
/* A list of dimensions, for a tensor of data. False after a diagnostic that names `what`. */
bool dims_import(Diags *d, Loc loc, const char *what, size_t n, const int64_t *dims, Shape *out);

#endif
