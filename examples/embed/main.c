/* Two compiled networks in one program: the symbols of each carry its name, so they do not meet. */
#include "first.h"
#include "second.h"

#include "qcc/pool.h"

#include <stdio.h>
#include <stdlib.h>

/* Runs a model on zeros through its descriptor and prints what it is. */
static int run_model(const qcc_model *m, const qcc_exec *exec) {
    const void *in[8];
    void *out[8];
    unsigned workers = exec ? exec->workers : 1;
    if (m->n_inputs > 8 || m->n_outputs > 8) return 1;
    for (uint32_t i = 0; i < m->n_inputs; i++) in[i] = calloc(1, m->inputs[i].bytes + QCC_ALIGN);
    for (uint32_t i = 0; i < m->n_outputs; i++) out[i] = calloc(1, m->outputs[i].bytes + QCC_ALIGN);
    void *prep = aligned_alloc(QCC_ALIGN, m->prep_bytes / QCC_ALIGN * QCC_ALIGN + QCC_ALIGN);
    size_t bytes = m->work_bytes + workers * m->scratch_bytes;
    void *work = aligned_alloc(QCC_ALIGN, bytes / QCC_ALIGN * QCC_ALIGN + QCC_ALIGN);
    int status = m->prepare(prep);
    if (status == QCC_OK) status = m->run(in, out, 1, prep, work, exec);
    printf("%s: %u steps, status %d, first output %g\n", m->name, m->n_steps, status,
           m->n_outputs && m->outputs[0].elem == QCC_F32 ? (double)((float *)out[0])[0] : 0.0);
    for (uint32_t i = 0; i < m->n_inputs; i++) free((void *)in[i]);
    for (uint32_t i = 0; i < m->n_outputs; i++) free(out[i]);
    free(prep);
    free(work);
    return status;
}

int main(void) {
    qcc_pool *pool = qcc_pool_new(2);
    if (!pool) return 1;
    int status = run_model(&first_qcc_model, NULL);
    if (status == QCC_OK) status = run_model(&second_qcc_model, qcc_pool_exec(pool));
    qcc_pool_free(pool);
    return status;
}
