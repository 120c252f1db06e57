/* Runs a compiled model for an eye on every byte: all buffers are of their exact size and start out undefined, and the
 * outputs are written to /dev/null, where a byte that was never computed shows. usage: run_once MODEL.so NAME_qcc_model
 */
#include "qcc/qcc.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { WORKERS = 3 };

/* Not zeroed, and nothing behind the last byte. */
static void *undefined(uint64_t bytes) {
    void *p = aligned_alloc(QCC_ALIGN, (size_t)bytes);
    if (!p && bytes) exit(3);
    return p;
}

/* In [-1, 1), or small whole numbers. */
static void *some_input(const qcc_port *port) {
    void *data = undefined(port->bytes);
    float *f = data;
    unsigned char *b = data;
    uint32_t state = 1;
    for (uint64_t i = 0; i < port->bytes / (port->elem == QCC_F32 ? 4 : 1); i++) {
        state = state * 1664525u + 1013904223u;
        if (port->elem == QCC_F32)
            f[i] = (float)(int32_t)state / 2147483648.0f;
        else
            b[i] = 0;
    }
    return data;
}

/* Tasks from the last to the first, each by another worker. */
static void backwards(void *ctx, size_t n, qcc_task *task, void *arg) {
    (void)ctx;
    while (n-- > 0) task(arg, n, (unsigned)(n % WORKERS));
}

static int run(const qcc_model *m, const void *const *in, const void *prep, const qcc_exec *exec, int sink) {
    unsigned workers = exec ? exec->workers : 1;
    void **out = calloc(m->n_outputs + 1, sizeof *out), *work = undefined(m->work_bytes + workers * m->scratch_bytes);
    for (uint32_t i = 0; i < m->n_outputs; i++) out[i] = undefined(m->outputs[i].bytes);
    int status = m->run(in, out, 1, prep, work, exec);
    for (uint32_t i = 0; i < m->n_outputs; i++) {
        if (write(sink, out[i], (size_t)m->outputs[i].bytes) < 0) status = 4;
        free(out[i]);
    }
    free(work);
    free(out);
    return status;
}

int main(int argc, char **argv) {
    void *handle = argc == 3 ? dlopen(argv[1], RTLD_NOW) : NULL;
    const qcc_model *m = handle ? dlsym(handle, argv[2]) : NULL;
    const qcc_exec exec = {.workers = WORKERS, .parallel_for = backwards};
    int sink = open("/dev/null", O_WRONLY);
    if (!m || sink < 0) {
        fprintf(stderr, "%s\n", handle ? "no model" : argc == 3 ? dlerror() : "usage: run_once MODEL.so SYMBOL");
        return 2;
    }
    void **in = calloc(m->n_inputs + 1, sizeof *in), *prep = undefined(m->prep_bytes);
    for (uint32_t i = 0; i < m->n_inputs; i++) in[i] = some_input(&m->inputs[i]);
    int status = m->prepare(prep);
    if (!status) status = run(m, (const void *const *)in, prep, NULL, sink);
    if (!status) status = run(m, (const void *const *)in, prep, &exec, sink);
    for (uint32_t i = 0; i < m->n_inputs; i++) free(in[i]);
    free(prep);
    free(in);
    dlclose(handle);
    return status;
}
