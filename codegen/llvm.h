/* LLVM's module as a whole: opening it, optimising it, writing it out. */
#ifndef QCC_CODEGEN_LLVM_H
#define QCC_CODEGEN_LLVM_H

#include "codegen/codegen.h"
#include "codegen/emit.h"

/* Checks the module (bug() if it is malformed), then runs the passes of the level. */
void em_optimise(Emit *e);
/* Writes an object (EMIT_OBJ), assembly (EMIT_ASM) or LLVM's text (EMIT_LLVM) to `path`. False after a diagnostic. */
bool em_write(Emit *e, EmitKind kind, const char *path);

#endif
