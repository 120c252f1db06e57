/* Passes: IR to IR, independent of the target. The ordered table passes/pass.def is the pipeline. */
#ifndef QCC_PASSES_PASS_H
#define QCC_PASSES_PASS_H

#include "ir/ir.h"

typedef enum PassId {
#define PASS(name, stage, help) PASS_##name,
#include "passes/pass.def"
#undef PASS
    PASS_COUNT
} PassId;

typedef struct PassOptions {
    int level;                  /* 0..3, as -O */
    const char *print_after;    /* a glob of pass names, or NULL */
    const char *disable;        /* comma-separated globs, or NULL */
    Text *dump;                 /* where print_after goes */
    double seconds[PASS_COUNT]; /* filled: time per pass */
} PassOptions;

typedef struct PassInfo {
    const char *name, *stage, *help;
    bool (*run)(Graph *g, Diags *d, const PassOptions *o);
} PassInfo;
extern const PassInfo pass_info[PASS_COUNT];

/* Runs the table in order, verifying the graph before and after each pass. False after diagnostics. */
bool passes_run(Graph *g, Diags *d, PassOptions *o);

#endif
