/* The parts of the exporter among themselves. */
#ifndef QCC_FRONTEND_EXPORT_H
#define QCC_FRONTEND_EXPORT_H

#include "frontend/frontend.h"
#include "frontend/own.h"
#include "frontend/write.h"

typedef struct Export {
    Arena *arena;
    Diags *d;
    Graph *g; /* a copy of what is exported, to be rewritten */
    Dialect dialect;
    Onnx__ModelProto *model;
    int64_t opset;
    Map names;                /* Value -> its name in the file */
    Map taken;                /* names of tensors given so far */
    Map nodes;                /* names of nodes */
    Map written;              /* constants that are initializers already */
    bool used[OP_COUNT];      /* operators whose functions are wanted */
    VEC(const char *) unsaid; /* nodes that cannot be written, and why */
} Export;

/* The value's name; a constant becomes an initializer when it is first asked for. */
const char *export_name(Export *e, const Value *v);
/* A name that nothing has, beginning like this. */
const char *export_fresh(Export *e, const char *like);
/* An initializer of its own; its name. */
const char *export_constant(Export *e, const char *like, const Tensor *t);
/* The same in the place of a constant value, under its name if that is still free. */
const char *export_instead(Export *e, const Value *v, const Tensor *t);
/* A node at the end, named after n. */
Onnx__NodeProto *export_node(Export *e, const Node *n, const char *domain, const char *op);
void export_domain(Export *e, const char *domain, int64_t version);
void export_unsaid(Export *e, const Node *n, const char *why);

/* ---- adopt.c ---- */
/* Replaces a quantizer of QONNX by the one of ours that gives the same values; false where there is none. */
bool quantizer_adopt(Node *n);

/* ---- lower.c ---- */
/* Replaces an operator that ONNX does not have by others that it has; false where nothing is known of it. */
bool export_lower(Node *n);

/* ---- dialect.c ---- */
#define QONNX_DOMAIN "qonnx.custom_op.general"
/* Writes a quantizer of ours in the dialect, which is not our own. */
void dialect_write(Export *e, const Node *n);

#endif
