#include "tests/codegen_support.h"
#include "base/file.h"
#include "tests/support.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

const CodegenOptions test_options = {
    .name = "m", .cpu = NULL, .level = 2, .steps = true, .max_batch = 1, .options = "-O2"};

static void unload(void *p) { dlclose(p); }

CompiledModel compile_graph(Arena *a, const Graph *g, const CodegenOptions *o) {
    Diags d;
    diags_init(&d, a);
    CompiledModel m = {.path = arena_printf(a, "%s/m.so", test_dir(a))};
    bool ok = codegen_run(a, &d, graph_clone(a, g), o, EMIT_LIB, m.path, NULL);
    if (!ok) print_error("%s", test_diags(a, &d));
    assert_true(ok);
    m.handle = dlopen(m.path, RTLD_NOW | RTLD_LOCAL);
    if (!m.handle) print_error("%s\n", dlerror());
    assert_non_null(m.handle);
    arena_defer(a, unload, m.handle);
    m.model = dlsym(m.handle, arena_printf(a, "%s_qcc_model", o->name));
    assert_non_null(m.model);
    assert_int_equal(m.model->abi_version, QCC_ABI_VERSION);
    return m;
}

/* ---- guarded memory ------------------------------------------------------------------------------------------ */

typedef struct Guarded {
    uint8_t *map, *at;
    size_t mapped;
} Guarded;

static void unmap(void *p) {
    Guarded *g = p;
    munmap(g->map, g->mapped);
}

/* `bytes` bytes that end at a forbidden page (`tail`) or begin behind one, aligned as promised. */
static uint8_t *guarded(Arena *a, size_t bytes, size_t align, bool tail) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), inner = (bytes + page - 1) / page * page;
    Guarded *g = NEW(a, Guarded);
    g->mapped = inner + 2 * page;
    g->map = mmap(NULL, g->mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(g->map, MAP_FAILED);
    if (inner) assert_int_equal(mprotect(g->map + page, inner, PROT_READ | PROT_WRITE), 0);
    arena_defer(a, unmap, g);
    g->at = g->map + page + (tail ? (inner - bytes) / align * align : 0);
    memset(g->map + page, 0xA5, inner);
    return g->at;
}

enum { MOST_PORTS = 256 };

static void backwards(void *ctx, size_t n, qcc_task *task, void *arg) {
    const unsigned *workers = ctx;
    for (size_t i = n; i-- > 0;) task(arg, i, (unsigned)i % *workers);
}

static void run_once(Arena *a, const CompiledModel *m, const Tensor *const *in, Tensor **out, unsigned workers,
                     bool tail) {
    const qcc_model *q = m->model;
    const void *inputs[MOST_PORTS];
    void *outputs[MOST_PORTS];
    assert_true(q->n_inputs <= COUNT_OF(inputs) && q->n_outputs <= COUNT_OF(outputs));
    for (uint32_t i = 0; i < q->n_inputs; i++) {
        const Tensor *t = tensor_dense(a, in[i]);
        size_t align = (size_t)elem_bytes(t->type.elem);
        uint8_t *p = guarded(a, q->inputs[i].bytes, align, tail);
        assert_int_equal((int64_t)q->inputs[i].bytes, type_bytes(&t->type));
        if (q->inputs[i].bytes) memcpy(p, t->data, q->inputs[i].bytes);
        inputs[i] = p;
    }
    for (uint32_t i = 0; i < q->n_outputs; i++)
        outputs[i] = guarded(a, q->outputs[i].bytes, (size_t)elem_bytes((Elem)q->outputs[i].elem), tail);
    void *work = guarded(a, q->work_bytes + workers * q->scratch_bytes, QCC_ALIGN, tail);
    qcc_exec exec = {workers, &workers, backwards};
    void *prep = q->prep_bytes ? guarded(a, q->prep_bytes, QCC_ALIGN, tail) : NULL;
    assert_int_equal(q->prepare(prep), QCC_OK);
    assert_int_equal(q->run(inputs, outputs, 1, prep, work, workers > 1 ? &exec : NULL), QCC_OK);
    for (uint32_t i = 0; i < q->n_inputs; i++)
        assert_memory_equal(inputs[i], tensor_dense(a, in[i])->data, q->inputs[i].bytes);
    for (uint32_t i = 0; i < q->n_outputs; i++) {
        Type t = {(Elem)q->outputs[i].elem, shape_of((int)q->outputs[i].rank, q->outputs[i].dims)};
        out[i] = tensor_new(a, t);
        memcpy(tensor_data(out[i]), outputs[i], q->outputs[i].bytes);
    }
}

static void assert_same_bytes(const Tensor *x, const Tensor *y) {
    assert_memory_equal(x->data, y->data, (size_t)type_bytes(&x->type));
}

void run_guarded(Arena *a, const CompiledModel *m, const Tensor *const *in, Tensor **out, unsigned workers) {
    Tensor *again[MOST_PORTS];
    run_once(a, m, in, again, workers, false);
    run_once(a, m, in, out, workers, true);
    for (uint32_t i = 0; i < m->model->n_outputs; i++) assert_same_bytes(again[i], out[i]);
}

/* ---- comparing ----------------------------------------------------------------------------------------------- */

static double largest(const Tensor *t) {
    double max = 0;
    for (int64_t i = 0; i < shape_count(&t->type.shape); i++) {
        double v = fabs(tensor_get(t, i));
        if (isfinite(v) && v > max) max = v;
    }
    return max;
}

static bool equal_at(const Tensor *want, const Tensor *got, int64_t i, double allowed) {
    Elem e = want->type.elem;
    if (!elem_is_float(e)) return tensor_get_int(want, i) == tensor_get_int(got, i);
    double w = tensor_get(want, i), g = tensor_get(got, i);
    if (isnan(w) || isnan(g)) return isnan(w) && isnan(g);
    size_t size = (size_t)elem_bytes(e);
    if (memcmp((const char *)want->data + (size_t)i * size, (const char *)got->data + (size_t)i * size, size) == 0)
        return true;
    return allowed > 0 && fabs(w - g) <= allowed;
}

static void compare(Arena *a, const Graph *g, int output, const Tensor *want, const Tensor *got, double tolerance) {
    assert_true(type_equal(&want->type, &got->type));
    want = tensor_dense(a, want);
    double allowed = tolerance * largest(want);
    for (int64_t i = 0; i < shape_count(&want->type.shape); i++) {
        if (equal_at(want, got, i, allowed)) continue;
        Text t = {.arena = a};
        graph_print(&t, g, 200);
        print_error("output %d (%s), element %lld: wanted %.17g, got %.17g\n%s\n", output, g->outputs.at[output].name,
                    (long long)i, tensor_get(want, i), tensor_get(got, i), t.s);
        fail();
    }
}

CompiledModel check_graph(Arena *a, const Graph *g, const Tensor *const *in, const CodegenOptions *o,
                          double tolerance) {
    return check_compiled(a, g, g, in, o, tolerance);
}

CompiledModel check_compiled(Arena *a, const Graph *g, const Graph *compiled, const Tensor *const *in,
                             const CodegenOptions *o, double tolerance) {
    Tensor *want[MOST_PORTS], *got[MOST_PORTS], *threaded[MOST_PORTS];
    Diags d;
    diags_init(&d, a);
    assert_true(graph_eval(a, &d, g, in, want, NULL, NULL));
    CompiledModel m = compile_graph(a, compiled, o);
    run_guarded(a, &m, in, got, 1);
    run_guarded(a, &m, in, threaded, 3);
    for (size_t i = 0; i < g->outputs.n; i++) {
        compare(a, g, (int)i, want[i], got[i], tolerance);
        assert_same_bytes(got[i], threaded[i]);
    }
    return m;
}

/* ---- random values ------------------------------------------------------------------------------------------- */

uint64_t random_bits(Random *r) { /* splitmix64, Steele, Lea and Flood 2014 */
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

int64_t random_int(Random *r, int64_t lo, int64_t hi) {
    return lo + (int64_t)(random_bits(r) % (uint64_t)(hi - lo + 1));
}

static double random_float(Random *r, bool tame) {
    static const double corners[] = {0.0,  -0.0, 1,    -1,      INFINITY, -INFINITY,    NAN,  1e-40, -1e-40, 0.5,
                                     -0.5, 2.5,  -3.5, 8388609, -2e9,     2147483648.0, 1e10, 3e38,  -1e30,  1e-45};
    double u = (double)(random_bits(r) >> 11) * 0x1p-53 * 4 - 2;
    if (tame) return u;
    int64_t kind = random_int(r, 0, 5);
    if (kind == 0) return corners[random_int(r, 0, (int64_t)COUNT_OF(corners) - 1)];
    return kind == 1 ? rint(u * 50) : kind == 2 ? u * 100 : kind == 3 ? ldexp(u, (int)random_int(r, -60, 60)) : u;
}

static int64_t random_integer(Random *r, Elem e, bool tame) {
    int bits = elem_info[e].bits;
    bool u = elem_info[e].kind == ELEM_U;
    int64_t hi = u ? (bits >= 63 ? INT64_MAX : ((int64_t)1 << bits) - 1) : (int64_t)(UINT64_MAX >> (65 - bits));
    int64_t lo = u ? 0 : -hi - 1, small = i64_min(hi, tame ? 7 : 100);
    int64_t kind = tame ? 2 : random_int(r, 0, 3);
    if (kind == 0) return random_int(r, 0, 1) ? hi : lo;
    if (kind == 1 && bits < 63) return random_int(r, lo, hi);
    return random_int(r, u ? 0 : i64_max(lo, -small), small);
}

Tensor *random_tensor(Arena *a, Random *r, Type t, bool tame) {
    Tensor *x = tensor_new(a, t);
    for (int64_t i = 0; i < shape_count(&t.shape); i++) {
        if (elem_is_float(t.elem))
            tensor_set(x, i, random_float(r, tame));
        else if (t.elem == QCC_BOOL)
            tensor_set_int(x, i, random_int(r, 0, 1));
        else
            tensor_set_int(x, i, random_integer(r, t.elem, tame));
    }
    return x;
}

void assert_same_files(Arena *a, const char *p, const char *q) {
    Diags d;
    FileView x, y;
    diags_init(&d, a);
    assert_true(file_map(a, &d, p, &x) && file_map(a, &d, q, &y));
    assert_int_equal(x.bytes, y.bytes);
    assert_memory_equal(x.data, y.data, x.bytes);
}
