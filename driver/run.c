/* qcc run: a compiled model, or a model file that is compiled to a temporary, or its reference evaluation. */
#include "driver/session.h"

#include <stdio.h>
#include <string.h>

static bool write_outputs(Driver *dr, const NamedTensor *outs, size_t n) {
    const char *path = command_get(&dr->cmd, O_RUN_OUTPUT);
    const char *suffix = strrchr(path, '.');
    if (suffix && strcmp(suffix, ".npy") == 0) {
        if (n == 1) return npy_write(dr->arena, dr->diags, path, outs[0].tensor);
        diag(dr->diags, D_USAGE, LOC_NONE, "'%s' holds one array, but the model has %zu outputs: write an .npz", path,
             n);
        return false;
    }
    return npz_write(dr->arena, dr->diags, path, outs, n);
}

static void print_output(Driver *dr, const NamedTensor *o) {
    const Tensor *t = o->tensor;
    int64_t n = shape_count(&t->type.shape), top = 0;
    printf("%s: %s", printable_str(dr->arena, o->name), type_str(dr->arena, &t->type));
    if (n == 0) {
        printf("\n");
        return;
    }
    double lo = tensor_get(t, 0), hi = lo, sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double v = tensor_get(t, i);
        sum += v;
        if (v < lo) lo = v;
        if (v > hi) {
            hi = v;
            top = i;
        }
    }
    printf("  min %g  mean %g  max %g at %lld\n", lo, sum / (double)n, hi, (long long)top);
    if (n > 20) return;
    for (int64_t i = 0; i < n; i++) printf("%s%g", i ? "  " : "  [", tensor_get(t, i));
    printf("]\n");
}

static bool finish_outputs(Driver *dr, const NamedTensor *outs, size_t n) {
    if (command_has(&dr->cmd, O_RUN_OUTPUT)) return write_outputs(dr, outs, n);
    for (size_t i = 0; i < n; i++) print_output(dr, &outs[i]);
    return true;
}

/* An output array for `samples` samples of `type`. */
static Tensor *new_output(Driver *dr, Type type, int64_t samples) {
    if (type.shape.rank > 0) type.shape.dim[0] *= samples;
    return tensor_new(dr->arena, type);
}

static const uint8_t *sample_at(const Tensor *t, const Type *one, int64_t i) {
    return (const uint8_t *)t->data + i * type_bytes(one);
}

static bool run_library(Driver *dr, const char *path) {
    int64_t threads;
    if (!command_count(dr, O_THREADS, 0, 1024, 1, &threads)) return false;
    const qcc_model *m = library_open(dr, path);
    if (!m) return false;
    PortType *ports = NEW_ARRAY(dr->arena, PortType, m->n_inputs + 1);
    for (uint32_t i = 0; i < m->n_inputs; i++) ports[i] = (PortType){m->inputs[i].name, port_type(&m->inputs[i])};
    Feeds feeds;
    Session s;
    if (!feeds_read(dr, ports, m->n_inputs, false, &feeds) || !session_open(dr, m, threads, &s)) return false;
    if (feeds.samples > 1 && !path_is_elf(path) && !samples_apart(dr, path, feeds.samples)) return false;
    NamedTensor *outs = NEW_ARRAY(dr->arena, NamedTensor, m->n_outputs + 1);
    for (uint32_t i = 0; i < m->n_outputs; i++)
        outs[i] = (NamedTensor){m->outputs[i].name, new_output(dr, port_type(&m->outputs[i]), feeds.samples)};
    for (int64_t at = 0; at < feeds.samples;) {
        int64_t n = i64_min(feeds.samples - at, m->max_batch);
        for (uint32_t i = 0; i < m->n_inputs; i++) s.in[i] = sample_at(feeds.tensor[i], &ports[i].type, at);
        for (uint32_t i = 0; i < m->n_outputs; i++) {
            Type one = port_type(&m->outputs[i]);
            s.out[i] = (void *)(uintptr_t)sample_at(outs[i].tensor, &one, at);
        }
        session_run(&s, (size_t)n);
        at += n;
        progress_say("sample %lld of %lld", (long long)at, (long long)feeds.samples);
    }
    progress_done();
    return finish_outputs(dr, outs, m->n_outputs);
}

static bool evaluate_sample(Driver *dr, const Graph *g, const Feeds *feeds, int64_t at, NamedTensor *outs) {
    Arena *scratch = arena_nested(dr->arena);
    const Tensor **in = NEW_ARRAY(dr->arena, const Tensor *, g->inputs.n + 1);
    Tensor **out = NEW_ARRAY(dr->arena, Tensor *, g->outputs.n + 1);
    for (size_t i = 0; i < g->inputs.n; i++) {
        Tensor *t = NEW(dr->arena, Tensor);
        *t = (Tensor){.type = g->inputs.at[i].value->type};
        t->data = sample_at(feeds->tensor[i], &t->type, at);
        in[i] = t;
    }
    bool good = graph_eval(scratch, dr->diags, g, in, out, NULL, NULL);
    for (size_t i = 0; good && i < g->outputs.n; i++) {
        const Tensor *t = tensor_dense(scratch, out[i]);
        void *to = (void *)(uintptr_t)sample_at(outs[i].tensor, &t->type, at);
        memcpy(to, t->data, (size_t)type_bytes(&t->type));
    }
    arena_free(scratch);
    return good;
}

static bool run_reference(Driver *dr, const char *path) {
    Graph *g = import_graph(dr, path);
    if (!g || !passes_define(g, dr->diags)) return false;
    PortType *ports = NEW_ARRAY(dr->arena, PortType, g->inputs.n + 1);
    for (size_t i = 0; i < g->inputs.n; i++) ports[i] = (PortType){g->inputs.at[i].name, g->inputs.at[i].value->type};
    Feeds feeds;
    if (!feeds_read(dr, ports, (uint32_t)g->inputs.n, false, &feeds)) return false;
    if (feeds.samples > 1 && !samples_apart(dr, path, feeds.samples)) return false;
    NamedTensor *outs = NEW_ARRAY(dr->arena, NamedTensor, g->outputs.n + 1);
    for (size_t i = 0; i < g->outputs.n; i++)
        outs[i] = (NamedTensor){g->outputs.at[i].name, new_output(dr, g->outputs.at[i].value->type, feeds.samples)};
    for (int64_t at = 0; at < feeds.samples; at++) {
        progress_say("evaluating sample %lld of %lld", (long long)at + 1, (long long)feeds.samples);
        if (!evaluate_sample(dr, g, &feeds, at, outs)) return false;
    }
    progress_done();
    return finish_outputs(dr, outs, g->outputs.n);
}

bool run_verb(Driver *dr) {
    const char *path = single_file(dr);
    if (!path) return false;
    if (!command_has(&dr->cmd, O_REFERENCE)) return run_library(dr, path);
    if (!path_is_elf(path)) return run_reference(dr, path);
    diag(dr->diags, D_USAGE, LOC_NONE, "--reference needs the model file, not the library '%s'", path);
    return false;
}
