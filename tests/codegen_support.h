/* Compiling a graph to a shared library and running it between guard pages, for the tests of code generation. */
#ifndef QCC_TESTS_CODEGEN_SUPPORT_H
#define QCC_TESTS_CODEGEN_SUPPORT_H

#include "codegen/codegen.h"
#include "ir/ir.h"

typedef struct CompiledModel {
    void *handle;
    const qcc_model *model;
    const char *path;
} CompiledModel;

/* Compiles a copy of `g`; fails the test with the diagnostics where it cannot. Unloaded with the arena. */
CompiledModel compile_graph(Arena *a, const Graph *g, const CodegenOptions *o);
extern const CodegenOptions test_options; /* name "m", the host, -O2, steps, batch 1 */

/* Runs one sample. Inputs, outputs and work area each end at a page that must not be touched, and then begin behind
 * one. Inputs must not have changed. workers > 1 goes through an exec that runs tasks backwards. */
void run_guarded(Arena *a, const CompiledModel *m, const Tensor *const *in, Tensor **out, unsigned workers);

/* Evaluates and runs `g` on the same inputs and compares all outputs: bit for bit, but for NaN being any NaN, where
 * tolerance is 0, else to tolerance * largest |value| of the output. Returns what it compiled. */
CompiledModel check_graph(Arena *a, const Graph *g, const Tensor *const *in, const CodegenOptions *o, double tolerance);

/* The same where `compiled`, of the same inputs and outputs, is what runs, and `g` what is evaluated. */
CompiledModel check_compiled(Arena *a, const Graph *g, const Graph *compiled, const Tensor *const *in,
                             const CodegenOptions *o, double tolerance);

void assert_same_files(Arena *a, const char *p, const char *q);

/* A small generator; the same seed gives the same numbers everywhere. */
typedef struct Random {
    uint64_t state;
} Random;
uint64_t random_bits(Random *r);
int64_t random_int(Random *r, int64_t lo, int64_t hi); /* both included */
/* Values that hit the corners of a type: zeros, extremes, NaN, denormals, small numbers. */
Tensor *random_tensor(Arena *a, Random *r, Type t, bool tame); /* tame: floats in [-2, 2], no corners */

#endif
