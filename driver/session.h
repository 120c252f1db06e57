/* A compiled model with its buffers, ready to run. */
#ifndef QCC_DRIVER_SESSION_H
#define QCC_DRIVER_SESSION_H

#include "driver/driver.h"
#include "qcc/pool.h"

typedef struct Session {
    const qcc_model *model;
    void *prep, *work;
    const qcc_exec *exec; /* NULL: one thread */
    const void **in;      /* per input, for the next run */
    void **out;
} Session;

/* Prepares the weights and takes the work area, and a pool if threads != 1. False after diagnostics. */
bool session_open(Driver *dr, const qcc_model *m, int64_t threads, Session *out);
/* Runs n samples (at most the model's batch); bug() on a status other than QCC_OK. */
void session_run(const Session *s, size_t n);
/* Runs one step of the step table on the buffers of `frame`. */
void session_step(const Session *s, const qcc_step *step, qcc_frame *frame);

#endif
