/* Pad with zeros in front of a convolution, or of an average pooling that counts its padding, becomes its `pads`.
 * Requires: a verified graph. Keeps: canonical form. Breaks: nothing. */
#include "passes/pass.h"
#include "passes/rewrite.h"

#include "ir/ops/window.h"

#include <string.h>

/* The pads per axis, begins then ends, of a constant zero Pad; false if it is none or pads batch or channels. */
static bool zero_pads(Arena *a, const Node *pad, int64_t begin[MAX_RANK], int64_t end[MAX_RANK]) {
    int rank = in_shape(pad, 0)->rank;
    double value = 0;
    if (strcmp(node_string(pad, "mode"), "constant") != 0 || !in_const(pad, 1)) return false;
    if (has_in(pad, 2) && (!in_const(pad, 2) || !constant_is_splat(in_const(pad, 2), &value) || value != 0))
        return false;
    if (has_in(pad, 3)) return false;
    int64_t n;
    const int64_t *pads = tensor_ints(a, in_const(pad, 1), &n);
    if (n != 2 * rank) return false;
    for (int i = 0; i < rank; i++) {
        begin[i] = pads[i];
        end[i] = pads[rank + i];
        if (begin[i] < 0 || end[i] < 0 || (i < 2 && (begin[i] || end[i]))) return false;
    }
    return true;
}

static bool takes_pads(const Node *n) {
    if (n->op == OP_Conv) return true;
    return n->op == OP_AveragePool && node_int(n, "count_include_pad") == 1 && node_int(n, "ceil_mode") == 0;
}

/* An attribute holds no larger pads, and a window of a pooling never lies in the padding alone. */
static int64_t most_pad(const Node *n, const Window *w, int axis) {
    return n->op == OP_AveragePool ? window_extent(w, axis) - 1 : INT32_MAX;
}

static void merge(Node *n, Node *pad, const int64_t *begin, const int64_t *end) {
    Window w;
    window_of_node(n, &w);
    int64_t pads[2 * MAX_RANK];
    for (int i = 0; i < w.rank; i++) {
        pads[i] = w.pad_begin[i] + begin[i + 2];
        pads[w.rank + i] = w.pad_end[i] + end[i + 2];
        if (i64_max(pads[i], pads[w.rank + i]) > most_pad(n, &w, i)) return;
    }
    node_set_string(n, "auto_pad", "NOTSET");
    node_set_ints(n, "pads", 2 * w.rank, pads);
    node_set_in(n, 0, pad->in[0]);
    infer_or_bug(n);
    if (node_is_dead(pad)) graph_erase(pad);
}

bool pass_fold_pad(Graph *g, Diags *d) {
    (void)d;
    Arena *scratch = arena_nested(g->arena);
    for (Node *n = g->first; n; n = n->next) {
        int64_t begin[MAX_RANK], end[MAX_RANK];
        Node *pad = takes_pads(n) ? made_by(n->in[0], OP_Pad) : NULL;
        if (pad && zero_pads(scratch, pad, begin, end)) merge(n, pad, begin, end);
    }
    arena_free(scratch);
    return true;
}
