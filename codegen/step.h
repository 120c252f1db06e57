/* A step's code: the body that a kernel emits, shared by all steps of one key, and the step itself, which hands it its
 * addresses. */
#ifndef QCC_CODEGEN_STEP_H
#define QCC_CODEGEN_STEP_H

#include "codegen/program.h"

typedef struct StepEmitter {
    Program *program;
    Reg weights; /* the model's weights */
    Map bodies;  /* key -> function */
    int n_bodies;
} StepEmitter;

/* Emits void step(const qcc_frame *, size_t task, unsigned worker) and returns it. */
Reg step_emit(StepEmitter *s, Step *step, int index);

#endif
