/* From a Graph to machine code: lower, choose layouts and kernels, plan memory, emit, link. The only folder that sees
 * LLVM; this header does not. */
#ifndef QCC_CODEGEN_CODEGEN_H
#define QCC_CODEGEN_CODEGEN_H

#include "ir/ir.h"

typedef enum EmitKind { EMIT_LIB, EMIT_OBJ, EMIT_ASM, EMIT_LLVM, EMIT_IR, EMIT_HEADER } EmitKind;

typedef struct CodegenOptions {
    const char *name;     /* the model's C identifier; prefixes every symbol */
    const char *target;   /* a name or triple of codegen/target.def; NULL: the host */
    const char *cpu;      /* an LLVM CPU name, "native", or x86-64-v3 and the like; NULL: the target's default */
    const char *features; /* "+avx2,-fma", or NULL */
    int level;            /* 0..3 */
    bool strict;          /* a fallback is an error */
    bool prepared;        /* the file carries weights as kernels read them, none in fewer bits */
    bool steps;           /* keep the step table */
    int max_batch;        /* n of NAME_run */
    const char *options;  /* the command's flags, for the descriptor */
    const char *header;   /* path of the C header to write beside the output, or NULL */
} CodegenOptions;

typedef struct CompiledStep {
    const char *kernel, *nodes;
    int64_t macs, bytes, tasks;
    bool fallback;
} CompiledStep;

typedef struct CompileReport {
    const char *triple, *cpu;
    VEC(CompiledStep) steps;
    int64_t weight_bytes, prep_bytes, work_bytes, scratch_bytes;
    double seconds_lower, seconds_plan, seconds_emit, seconds_link;
} CompileReport;

/* Compiles and writes `output` and, if asked for, the header (EMIT_HEADER: `output` is the header, nothing else). False
 * after diagnostics, nothing written. The graph is used up. EMIT_IR writes the graph as code generation gets it. */
bool codegen_run(Arena *a, Diags *d, Graph *g, const CodegenOptions *o, EmitKind kind, const char *output,
                 CompileReport *report);
/* One line per target, and per CPU name of the host's architecture. */
void codegen_print_targets(Text *t);
/* True if s is a C identifier that is no keyword and may prefix symbols; path_identifier derives one from a file name.
 */
bool identifier_valid(const char *s);
const char *path_identifier(Arena *a, const char *path);

#endif
