#include "driver/session.h"

static void free_pool(void *pool) { qcc_pool_free(pool); }

bool session_open(Driver *dr, const qcc_model *m, int64_t threads, Session *out) {
    *out = (Session){.model = m,
                     .in = NEW_ARRAY(dr->arena, const void *, m->n_inputs + 1),
                     .out = NEW_ARRAY(dr->arena, void *, m->n_outputs + 1)};
    unsigned workers = 1;
    if (threads != 1) {
        qcc_pool *pool = qcc_pool_new((unsigned)threads);
        if (!pool) {
            diag(dr->diags, D_NO_MEMORY, LOC_NONE, "%lld threads are not to be had", (long long)threads);
            return false;
        }
        arena_defer(dr->arena, free_pool, pool);
        out->exec = qcc_pool_exec(pool);
        workers = out->exec->workers;
    }
    out->prep = arena_get(dr->arena, (size_t)m->prep_bytes + QCC_ALIGN);
    out->work = arena_get(dr->arena, (size_t)(m->work_bytes + workers * m->scratch_bytes) + QCC_ALIGN);
    int status = m->prepare(out->prep);
    if (status != QCC_OK) bug("prepare of '%s' gave %d", m->name, status);
    return true;
}

void session_run(const Session *s, size_t n) {
    int status = s->model->run(s->in, s->out, n, s->prep, s->work, s->exec);
    if (status != QCC_OK) bug("run of '%s' gave %d", s->model->name, status);
}

void session_step(const Session *s, const qcc_step *step, qcc_frame *frame) {
    if (s->exec && step->n_tasks > 1) {
        s->exec->parallel_for(s->exec->ctx, step->n_tasks, step->task, frame);
        return;
    }
    for (uint64_t i = 0; i < step->n_tasks; i++) step->task(frame, i, 0);
}
