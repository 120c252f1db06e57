/* net_export FOLDER FIRST COUNT exact|any: random quantized networks as ONNX files net_SEED.onnx, each beside
 * net_SEED.npz with an array for every input and what the evaluator gives for every output. What ONNX cannot say is
 * left out. */
#include "base/file.h"
#include "frontend/frontend.h"
#include "passes/pass.h"
#include "tests/net_random.h"
#include "tests/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool write_arrays(Arena *a, Diags *d, const Graph *net, uint64_t seed, const char *path) {
    NamedTensor *all = NEW_ARRAY(a, NamedTensor, net->inputs.n + net->outputs.n);
    Tensor **out = NEW_ARRAY(a, Tensor *, net->outputs.n);
    const Tensor **in = net_feeds(a, net, seed);
    Graph *g = graph_clone(a, net);
    size_t n = 0;
    if (!passes_define(g, d) || !graph_eval(a, d, g, in, out, NULL, NULL)) return false;
    for (size_t i = 0; i < net->inputs.n; i++) all[n++] = (NamedTensor){net->inputs.at[i].name, in[i]};
    for (size_t i = 0; i < net->outputs.n; i++) all[n++] = (NamedTensor){net->outputs.at[i].name, out[i]};
    return npz_write(a, d, path, all, n);
}

static bool write_net(Arena *a, Diags *d, const char *folder, uint64_t seed, bool exact) {
    const Graph *net = net_random(a, d, seed, NET_LAYERS, exact);
    const char *stem = arena_printf(a, "%s/net_%llu", folder, (unsigned long long)seed);
    const uint8_t *data;
    size_t bytes;
    if (!onnx_export(a, d, net, DIALECT_OWN, &data, &bytes)) return true;
    return file_write(d, arena_printf(a, "%s.onnx", stem), data, bytes) &&
           write_arrays(a, d, net, seed, arena_printf(a, "%s.npz", stem));
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    uint64_t first = strtoull(argv[2], NULL, 10), count = strtoull(argv[3], NULL, 10);
    for (uint64_t i = 0; i < count; i++) {
        Arena a = {0};
        Diags d;
        diags_init(&d, &a);
        bool good = write_net(&a, &d, argv[1], first + i, strcmp(argv[4], "exact") == 0);
        if (!good) fputs(test_diags(&a, &d), stderr);
        arena_free(&a);
        if (!good) return 1;
    }
    return 0;
}
