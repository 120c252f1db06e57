/* Holding random networks against the evaluator, and cutting those that fail short. */
#include "base/file.h"
#include "codegen/codegen.h"
#include "passes/pass.h"
#include "tests/codegen_support.h"
#include "tests/net_random.h"
#include "tests/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_OUTPUTS = 4 };

const char *const *net_cpus(void) {
    static const char *cpus[8];
    int n = 0;
    cpus[n++] = "native";
#ifdef __x86_64__
    __builtin_cpu_init();
    if (__builtin_cpu_supports("x86-64-v4")) cpus[n++] = "x86-64-v4";
    if (__builtin_cpu_supports("x86-64-v3")) cpus[n++] = "x86-64-v3";
    if (__builtin_cpu_supports("x86-64-v2")) cpus[n++] = "x86-64-v2";
    cpus[n++] = "x86-64";
#endif
    return cpus;
}

/* ---- one network ----------------------------------------------------------------------------------------------- */

typedef struct Trial {
    Arena *arena;
    Diags diags;
    uint64_t seed;
    int layers;
    const Graph *net; /* as drawn */
    const Tensor **in;
    Tensor *want[MOST_OUTPUTS];
    const char *what; /* is wrong; NULL: nothing */
} Trial;

static bool wrong(Trial *t, const char *what) {
    t->what = what;
    return false;
}

/* Every product must have become one of integers: of floats the order of the sum would matter. */
static bool check_products(Trial *t, const Graph *g) {
    for (const Node *n = g->first; n; n = n->next) {
        bool product = n->op == OP_Conv || n->op == OP_ConvTranspose || n->op == OP_MatMul || n->op == OP_Gemm;
        if (product && elem_is_float(n->out[0]->type.elem)) return wrong(t, "a product of floats is left");
    }
    return true;
}

static bool check_equal(Trial *t, Tensor *const *got, const char *where) {
    for (size_t k = 0; k < t->net->outputs.n; k++) {
        const Tensor *want = tensor_dense(t->arena, t->want[k]), *have = tensor_dense(t->arena, got[k]);
        size_t size = (size_t)elem_bytes(want->type.elem);
        int64_t count = shape_count(&want->type.shape), differ = 0, first = 0;
        for (int64_t i = count; i-- > 0;) {
            const char *p = (const char *)want->data + (size_t)i * size,
                       *q = (const char *)have->data + (size_t)i * size;
            if (memcmp(p, q, size) == 0 || tensor_get(want, i) == tensor_get(have, i)) continue;
            differ++;
            first = i;
        }
        if (differ == 0) continue;
        return wrong(t, arena_printf(t->arena,
                                     "%s: output '%s' differs in %lld of %lld elements, in %lld first: %.9g, not %.9g",
                                     where, t->net->outputs.at[k].name, (long long)differ, (long long)count,
                                     (long long)first, tensor_get(have, first), tensor_get(want, first)));
    }
    return true;
}

static bool refused(Trial *t) { return wrong(t, test_diags(t->arena, &t->diags)); }

static bool check_compiled_for(Trial *t, const Graph *g, const char *cpu) {
    CodegenOptions o = test_options;
    Tensor *got[MOST_OUTPUTS];
    o.cpu = cpu;
    o.strict = true;
    o.prepared = t->seed % 4 == 3;
    CompiledModel m = compile_graph(t->arena, g, &o);
    run_guarded(t->arena, &m, t->in, got, 1);
    if (!check_equal(t, got, cpu)) return false;
    run_guarded(t->arena, &m, t->in, got, 2);
    return check_equal(t, got, arena_printf(t->arena, "%s, two threads", cpu));
}

/* ---- on another machine ---- */

static const char *port_path(Trial *t, const char *folder, const char *kind, size_t i) {
    return arena_printf(t->arena, "%s/%s_%zu.bin", folder, kind, i);
}

static void write_inputs(Trial *t, const char *folder) {
    for (size_t i = 0; i < t->net->inputs.n; i++) {
        const Tensor *x = tensor_dense(t->arena, t->in[i]);
        size_t bytes = (size_t)type_bytes(&x->type);
        if (!file_write(&t->diags, port_path(t, folder, "in", i), x->data, bytes)) fail_msg("cannot write an input");
    }
}

static bool read_outputs(Trial *t, const char *folder, Tensor **out) {
    for (size_t i = 0; i < t->net->outputs.n; i++) {
        FileView file;
        out[i] = tensor_new(t->arena, t->net->outputs.at[i].value->type);
        size_t bytes = (size_t)type_bytes(&out[i]->type);
        if (!file_map(t->arena, &t->diags, port_path(t, folder, "out", i), &file) || file.bytes != bytes)
            return wrong(t, "an output is missing");
        memcpy(tensor_data(out[i]), file.data, bytes);
    }
    return true;
}

static bool check_foreign(Trial *t, Graph *g, const NetTest *test) {
    CodegenOptions o = test_options;
    Tensor *got[MOST_OUTPUTS];
    const char *folder = test_dir(t->arena), *library = arena_printf(t->arena, "%s/m.so", folder);
    o.target = test->target;
    o.strict = true;
    if (!codegen_run(t->arena, &t->diags, g, &o, EMIT_LIB, library, NULL)) return refused(t);
    write_inputs(t, folder);
    int status = system(arena_printf(t->arena, "%s %s %s", test->runner, library, folder));
    if (status != 0) return wrong(t, arena_printf(t->arena, "the runner ended with %d", status));
    return read_outputs(t, folder, got) && check_equal(t, got, test->target);
}

static bool run_trial(Trial *t, const NetTest *test) {
    diags_init(&t->diags, t->arena);
    t->net = net_random(t->arena, &t->diags, t->seed, t->layers, false);
    t->in = net_feeds(t->arena, t->net, t->seed);
    Graph *g = graph_clone(t->arena, t->net);
    if (!passes_define(g, &t->diags)) return refused(t);
    if (!graph_eval(t->arena, &t->diags, g, t->in, t->want, NULL, NULL)) return refused(t);
    if (!check_products(t, g)) return false;
    Graph *fast = graph_clone(t->arena, t->net);
    PassOptions o = {.level = 1 + (int)(t->seed % 3)};
    Tensor *got[MOST_OUTPUTS];
    if (!passes_run(fast, &t->diags, &o)) return refused(t);
    if (!graph_eval(t->arena, &t->diags, fast, t->in, got, NULL, NULL)) return refused(t);
    if (!check_equal(t, got, "evaluated after all passes")) return false;
    if (test->target) return check_foreign(t, fast, test);
    int n = 0;
    while (test->cpus[n]) n++;
    for (int i = 0; i < n; i++)
        if ((test->all || (uint64_t)i == t->seed % (uint64_t)n) && !check_compiled_for(t, fast, test->cpus[i]))
            return false;
    return true;
}

/* ---- all of them ----------------------------------------------------------------------------------------------- */

/* For mistakes of the compiler, which end the process in the middle of a network. */
static uint64_t at_seed;
static bool in_trial;

static void tell_seed(void) {
    if (in_trial) fprintf(stderr, "seed %llu ended the process\n", (unsigned long long)at_seed);
}

static bool passes_trial(const NetTest *test, uint64_t seed, int layers, bool print) {
    Arena first = {0};
    Trial *t = NEW(&first, Trial);
    t->arena = &first;
    t->seed = seed;
    t->layers = layers;
    at_seed = seed;
    in_trial = true;
    bool good = run_trial(t, test);
    in_trial = false;
    if (!good && print) {
        Text text = {.arena = t->arena};
        graph_print(&text, t->net, 0);
        fprintf(stderr, "\nseed %llu, %d layers: %s\n%s\n", (unsigned long long)seed, layers, t->what, text.s);
    }
    arena_free(&first);
    return good;
}

void net_check(const NetTest *test) {
    static bool registered;
    if (!registered) registered = atexit(tell_seed) == 0;
    int failed = 0;
    for (int i = 0; i < test->count; i++) {
        uint64_t seed = test->first + (uint64_t)i;
        if (passes_trial(test, seed, NET_LAYERS, false)) continue;
        failed++;
        int layers = 0;
        while (layers < NET_LAYERS && passes_trial(test, seed, layers, false)) layers++;
        passes_trial(test, seed, layers, true);
    }
    if (failed) fail_msg("%d of %d networks fail", failed, test->count);
}
