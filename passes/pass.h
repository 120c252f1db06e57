/* Passes: IR to IR, independent of the target. The ordered table passes/pass.def is the pipeline. */
#ifndef QCC_PASSES_PASS_H
#define QCC_PASSES_PASS_H

#include "ir/ir.h"

typedef enum PassId {
#define PASS(id, function, stage, level, help) PASS_##id,
#include "passes/pass.def"
#undef PASS
    PASS_COUNT
} PassId;

typedef struct PassOptions {
    int level;                  /* 0..3, as -O */
    const char *print_after;    /* a glob of pass names, or NULL */
    const char *disable;        /* a glob of pass names, or NULL */
    Text *dump;                 /* where print_after goes */
    double seconds[PASS_COUNT]; /* filled: time per pass */
} PassOptions;

/* A pass; false after diagnostics. A function that stands in several rows is declared as often. */
#define PASS(id, function, stage, level, help) bool pass_##function(Graph *g, Diags *d);
#include "passes/pass.def"
#undef PASS

typedef struct PassInfo {
    const char *name, *stage, *help;
    int level; /* least optimisation level that runs it */
    bool (*run)(Graph *g, Diags *d);
} PassInfo;
extern const PassInfo pass_info[PASS_COUNT];

/* Runs the table in order, verifying the graph before and after each pass. False after diagnostics. */
bool passes_run(Graph *g, Diags *d, PassOptions *o);
/* Runs what defines the meaning of a quantized network and no more: the passes of level 0 before stage streamline. The
 * evaluator on such a graph is what every compiled form is held against. */
bool passes_define(Graph *g, Diags *d);
/* `one` and `two` are the same model with its symbolic batch dimension bound to 1 and to 2, both defined as above. True
 * if it is proved that every sample's outputs are those that the model gives for the sample alone, one after the other
 * along the outputs' first dimension. Else *mixes is the first node of `one` that stands against it, NULL where it is
 * none of them. */
bool graph_keeps_samples_apart(const Graph *one, const Graph *two, const Node **mixes);
/* Runs one pass, verified likewise: for tests. */
bool pass_run(Graph *g, Diags *d, PassId id);

#endif
