/* ONNX in: a file becomes a Graph of the newest operator set with complete types. */
#ifndef QCC_FRONTEND_FRONTEND_H
#define QCC_FRONTEND_FRONTEND_H

#include "base/file.h"
#include "ir/ir.h"

typedef struct ImportDim {
    const char *name;
    int64_t size;
} ImportDim;
typedef struct ImportShape {
    const char *input;
    Shape shape;
} ImportShape;
typedef struct ImportConst {
    const char *input;
    const Tensor *value;
} ImportConst;

typedef struct ImportOptions {
    size_t n_dims, n_shapes, n_consts;
    const ImportDim *dims;     /* --dim NAME=SIZE */
    const ImportShape *shapes; /* --shape INPUT=AxBxC */
    const ImportConst *consts; /* --const INPUT=@FILE: this graph input is a constant */
    int64_t batch;             /* what a symbolic first dimension is taken as; 0 stands for 1 */
    FileNames *read;           /* external data that is read goes here; may be NULL */
} ImportOptions;

/* Reads a model. NULL after diagnostics; all unsupported operators are reported together. The result has been inferred,
 * shapes computed in the graph are folded, and control flow with constant conditions and trip counts is resolved.
 * Constants may point into mappings that live as long as `a`. */
Graph *onnx_import(Arena *a, Diags *d, const char *path, const ImportOptions *o);
/* The same from memory; `dir` is where external data may lie (NULL: none allowed). */
Graph *onnx_import_bytes(Arena *a, Diags *d, const char *name, const char *dir, const void *data, size_t bytes,
                         const ImportOptions *o);

/* A line for each operator of another domain that is taken: what it becomes. */
void onnx_print_foreign(Text *t);

/* ---- ONNX out ---- */

/* How quantizers are written. */
typedef enum Dialect {
    DIALECT_OWN,   /* functions of the domain qcc, which any ONNX tool can run */
    DIALECT_QONNX, /* Quant, BipolarQuant and MultiThreshold of qonnx.custom_op.general */
    DIALECT_QDQ    /* QuantizeLinear, Clip, DequantizeLinear; weights as integers */
} Dialect;

/* The graph as a model of operator set 21, or of a newer one where an operator in it is newer. The graph must not have
 * been through the passes that fuse. Names of tensors and nodes are kept. False after diagnostics: all nodes that ONNX,
 * or the dialect, cannot say are reported. */
bool onnx_export(Arena *a, Diags *d, const Graph *g, Dialect dialect, const uint8_t **data, size_t *bytes);

/* ---- tensors in files: .npy, .npz (name inside given by ":name", or the only one), .pb (TensorProto) ---- */

/* NULL after a diagnostic. */
const Tensor *tensor_read(Arena *a, Diags *d, const char *path, const char *member);
typedef struct NamedTensor {
    const char *name;
    const Tensor *tensor;
} NamedTensor;
/* All members of an .npz, in its order. */
bool npz_read(Arena *a, Diags *d, const char *path, NamedTensor **out, size_t *n);
bool npz_write(Arena *a, Diags *d, const char *path, const NamedTensor *t, size_t n);
bool npy_write(Arena *a, Diags *d, const char *path, const Tensor *t);

#endif
