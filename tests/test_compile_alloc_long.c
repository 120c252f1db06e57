/* The whole compile of a small model with each allocation failing in turn: it must unwind and leave nothing behind (the
 * sanitizer build sees what is lost). LLVM's own allocations are not among them. */
#include "codegen/codegen.h"
#include "frontend/frontend.h"
#include "passes/pass.h"
#include "tests/support.h"

#include <unistd.h>

typedef struct Compile {
    EmitKind kind;
    const char *output;
} Compile;

static void compile(Arena *a, void *ctx) {
    const Compile *c = ctx;
    Diags d;
    diags_init(&d, a);
    ImportOptions import = {0};
    PassOptions passes = {.level = 2};
    CodegenOptions o = {.name = "m", .level = 1, .steps = true, .max_batch = 1, .options = ""};
    CompileReport report = {0};
    Graph *g = onnx_import(a, &d, QCC_SOURCE_DIR "/examples/embed/second.onnx", &import);
    assert_non_null(g);
    assert_true(passes_run(g, &d, &passes));
    assert_true(codegen_run(a, &d, g, &o, c->kind, c->output, &report));
}

/* Everything in front of LLVM, one allocation after the other. */
static void test_every_allocation_to_the_plan(void **state) {
    (void)state;
    Compile c = {EMIT_HEADER, "/dev/null"};
    long n;
    for (int i = 0; i < 2; i++) assert_true(test_alloc_run(compile, &c, -1, &n));
    assert_int_equal(test_alloc_failures(compile, &c, n), n);
}

/* With code generation a run is slow: as many as are spread over it. */
static void test_allocations_of_all(void **state) {
    (void)state;
    Arena a = {0};
    Compile c = {EMIT_OBJ, arena_printf(&a, "%s/m.o", test_dir(&a))};
    assert_true(test_alloc_failures(compile, &c, 400) > 200);
    assert_int_equal(access(c.output, R_OK), 0); /* a run without a failure got through */
    arena_free(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation_to_the_plan),
        cmocka_unit_test(test_allocations_of_all),
    };
    return TEST_RUN(tests);
}
