/* The pass manager: the table, in order. */
#include "passes/pass.h"

#include <string.h>
#include <time.h>

const PassInfo pass_info[PASS_COUNT] = {
#define PASS(id, function, stage, level, help) {#id, #stage, help, level, pass_##function},
#include "passes/pass.def"
#undef PASS
};

static double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

bool pass_run(Graph *g, Diags *d, PassId id) {
    graph_verify(g, pass_info[id].name);
    bool good = pass_info[id].run(g, d);
    if (good) graph_verify(g, pass_info[id].name);
    return good;
}

bool passes_run(Graph *g, Diags *d, PassOptions *o) {
    for (PassId id = 0; id < PASS_COUNT; id++) {
        const PassInfo *p = &pass_info[id];
        if (o->level < p->level || (o->disable && glob_match(o->disable, p->name))) continue;
        double start = seconds_now();
        if (!pass_run(g, d, id)) return false;
        o->seconds[id] = seconds_now() - start;
        if (!o->print_after || !glob_match(o->print_after, p->name)) continue;
        text_add(o->dump, "; after %s\n", p->name);
        graph_print(o->dump, g, 256);
    }
    return true;
}

bool passes_define(Graph *g, Diags *d) {
    for (PassId id = 0; id < PASS_COUNT && strcmp(pass_info[id].stage, "streamline") != 0; id++)
        if (pass_info[id].level == 0 && !pass_run(g, d, id)) return false;
    return true;
}
