/* Fuzz target for a model's way as far as LLVM: what the importer takes must verify, survive its text form, get through
 * the passes, and have kernels, layouts and a memory plan; whatever is refused must be named. */
#include "codegen/codegen.h"
#include "frontend/frontend.h"
#include "passes/pass.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
const char *__asan_default_options(void);

/* Memory is bounded by the guard, as in the compiler: a failing allocation is an answer. */
const char *__asan_default_options(void) {
    return "allocator_may_return_null=1:max_allocation_size_mb=1024:quarantine_size_mb=32";
}

enum { PRINTED_BYTES = 1 << 16 /* of a constant: a larger one is shown by its hash, which cannot be read back */ };

static bool printed_whole(const Graph *g) {
    for (const Node *k = g->first; k; k = k->next) {
        for (int i = 0; i < k->n_in; i++) {
            const Value *v = k->in[i];
            if (v && v->constant && !v->constant->splat && type_bytes(&v->type) > PRINTED_BYTES) return false;
        }
    }
    return true;
}

static void check_text(Arena *a, Diags *d, const Graph *g) {
    Text once = {.arena = a}, twice = {.arena = a};
    graph_print(&once, g, PRINTED_BYTES);
    if (!printed_whole(g)) return;
    Graph *again = graph_parse(a, d, "", once.s, once.n);
    if (!again) bug("what was printed does not parse:\n%s", once.s);
    graph_print(&twice, again, PRINTED_BYTES);
    if (strcmp(once.s, twice.s) != 0) bug("printing is no fixed point:\n%s\n%s", once.s, twice.s);
}

static bool check_plan(Arena *a, Diags *d, Graph *g) {
    PassOptions passes = {.level = 2};
    CodegenOptions o = {.name = "m", .target = "x86-64", .cpu = "x86-64-v3", .level = 2, .max_batch = 1, .options = ""};
    return passes_run(g, d, &passes) && codegen_run(a, d, g, &o, EMIT_HEADER, "/dev/null", NULL);
}

static void check(Arena *a, const uint8_t *data, size_t n) {
    Diags d;
    diags_init(&d, a);
    Graph *g = onnx_import_bytes(a, &d, "", NULL, data, n, NULL);
    if (g) {
        graph_verify(g, "import");
        check_text(a, &d, g);
    }
    if (!(g && check_plan(a, &d, g)) && !d.n_errors) bug("a model was refused without a word");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    Arena a = {0};
    Guard guard;
    if (setjmp(*guard_enter(&guard)) == 0) {
        check(&a, data, n);
        guard_leave(&guard);
    }
    arena_free(&a);
    return 0;
}
