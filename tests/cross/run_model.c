/* Runs a compiled model of another architecture under an emulator: run_model MODEL.so FOLDER reads FOLDER/in_N.bin,
 * runs m_qcc_model once and writes FOLDER/out_N.bin. */
#include "qcc/qcc.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_PORTS = 64 };

static void *aligned(uint64_t bytes) {
    size_t size = (size_t)(bytes / QCC_ALIGN + 1) * QCC_ALIGN;
    void *p = aligned_alloc(QCC_ALIGN, size);
    if (!p) exit(3);
    return p;
}

static void transfer(const char *folder, const char *kind, uint32_t i, void *data, uint64_t bytes, int writing) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s_%u.bin", folder, kind, i);
    FILE *f = fopen(path, writing ? "wb" : "rb");
    if (!f) exit(4);
    size_t done = writing ? fwrite(data, 1, (size_t)bytes, f) : fread(data, 1, (size_t)bytes, f);
    if (fclose(f) != 0 || done != (size_t)bytes) exit(5);
}

int main(int argc, char **argv) {
    void *handle = argc == 3 ? dlopen(argv[1], RTLD_NOW) : NULL;
    const qcc_model *m = handle ? dlsym(handle, "m_qcc_model") : NULL;
    const void *in[MOST_PORTS];
    void *out[MOST_PORTS];
    if (!m || m->n_inputs > MOST_PORTS || m->n_outputs > MOST_PORTS) {
        fprintf(stderr, "%s\n", handle ? "no model" : dlerror());
        return 2;
    }
    for (uint32_t i = 0; i < m->n_inputs; i++) {
        void *data = aligned(m->inputs[i].bytes);
        transfer(argv[2], "in", i, data, m->inputs[i].bytes, 0);
        in[i] = data;
    }
    for (uint32_t i = 0; i < m->n_outputs; i++) out[i] = aligned(m->outputs[i].bytes);
    void *prep = aligned(m->prep_bytes), *work = aligned(m->work_bytes + m->scratch_bytes);
    if (m->prepare(prep) != QCC_OK || m->run(in, out, 1, prep, work, NULL) != QCC_OK) return 6;
    for (uint32_t i = 0; i < m->n_outputs; i++) transfer(argv[2], "out", i, out[i], m->outputs[i].bytes, 1);
    return 0;
}
