/* What writing and reading the text form share. The form itself is specified in docs/ir.md. */
#ifndef QCC_IR_TEXT_H
#define QCC_IR_TEXT_H

enum {
    TEXT_VERSION = 1,
    TEXT_EXPR_DEPTH = 8,   /* programs are written no deeper; what is deeper gets a name */
    TEXT_EXPR_LIMIT = 64,  /* and not read if nested deeper than this */
    TEXT_GRAPH_LIMIT = 16, /* nor are graphs */
};

#endif
