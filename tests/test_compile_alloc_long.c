/* The whole compile of a small model, and its way through quantization back to a file, with each allocation failing in
 * turn: it must unwind and leave nothing behind (the sanitizer build sees what is lost). LLVM's own allocations are not
 * among them. */
#include "codegen/codegen.h"
#include "frontend/export.h"
#include "frontend/frontend.h"
#include "passes/pass.h"
#include "passes/quantize.h"
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

static const char net[] = "qir 1\n"
                          "graph \"net\" {\n"
                          "  in %0 \"x\": f32[1,2,2,2]\n"
                          "  %1: f32[2,2,1,1] = const [1, -0.5, 0.25, 2]\n"
                          "  %2: f32[2] = const [0.5, -1]\n"
                          "  %3: f32[1,2,2,2] = Conv(%0, %1, %2) @(\"first\", \"Conv\", 0, 22)\n"
                          "  %4: f32[1,2,2,2] = Relu(%3)\n"
                          "  %5: f32[1,2,2,2] = Conv(%4, %1) @(\"middle\", \"Conv\", 1, 22)\n"
                          "  %6: f32[1,2,2,2] = Relu(%5)\n"
                          "  %7 \"y\": f32[1,2,2,2] = Conv(%6, %1, %2) @(\"last\", \"Conv\", 2, 22)\n"
                          "  out %7 \"y\"\n"
                          "}\n";

/* A float network becomes a quantized one and is written in every dialect. */
static void quantize_and_export(Arena *a, void *ctx) {
    (void)ctx;
    Diags d;
    diags_init(&d, a);
    const uint8_t *data;
    size_t bytes;
    QuantizeOptions o = {.range = {.rule = RANGE_MSE}, .input_range = (const double[]){0, 1}};
    Graph *g = graph_parse(a, &d, "net.qir", net, sizeof net - 1);
    assert_non_null(g);
    assert_true(scheme_parse(&d, "hwgq:w1a2", &o.scheme) && scheme_parse(&d, "lsq:w8a8", &o.edge));
    assert_true(graph_quantize(g, &d, &o));
    assert_true(onnx_export(a, &d, g, DIALECT_OWN, &data, &bytes));
    assert_true(onnx_export(a, &d, g, DIALECT_QONNX, &data, &bytes));
    onnx_export(a, &d, g, DIALECT_QDQ, &data, &bytes); /* cannot say all of it, and says so */
}

static void test_quantize_and_export(void **state) {
    (void)state;
    long n;
    for (int i = 0; i < 2; i++) assert_true(test_alloc_run(quantize_and_export, NULL, -1, &n));
    assert_int_equal(test_alloc_failures(quantize_and_export, NULL, n), n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation_to_the_plan),
        cmocka_unit_test(test_allocations_of_all),
        cmocka_unit_test(test_quantize_and_export),
    };
    return TEST_RUN(tests);
}
