/* The whole compile of a small model with each allocation failing in turn: it must unwind and leave nothing behind (the
 * sanitizer build sees what is lost). LLVM's own allocations are not among them. */
#include "codegen/codegen.h"
#include "frontend/frontend.h"
#include "passes/pass.h"
#include "tests/support.h"

#include <unistd.h>

static void compile(Arena *a, void *ctx) {
    const char *output = ctx;
    Diags d;
    diags_init(&d, a);
    ImportOptions import = {0};
    PassOptions passes = {.level = 2};
    CodegenOptions o = {.name = "m", .level = 1, .steps = true, .max_batch = 1, .options = ""};
    CompileReport report = {0};
    Graph *g = onnx_import(a, &d, QCC_SOURCE_DIR "/examples/embed/second.onnx", &import);
    assert_non_null(g);
    assert_true(passes_run(g, &d, &passes));
    assert_true(codegen_run(a, &d, g, &o, EMIT_OBJ, output, &report));
}

static void test_every_allocation_may_fail(void **state) {
    (void)state;
    Arena a = {0};
    const char *output = arena_printf(&a, "%s/m.o", test_dir(&a));
    long failures = test_alloc_failures(compile, (void *)(uintptr_t)output, 400);
    assert_true(failures >= 400);
    assert_int_equal(access(output, R_OK), 0); /* the last run gets through */
    arena_free(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_allocation_may_fail)};
    return TEST_RUN(tests);
}
