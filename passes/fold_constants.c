/* Constant folding with the reference kernels. A result that is large and was not large before stays unfolded, so that
 * the library does not carry what a small computation makes; a result whose elements are all equal becomes a splat.
 * Requires: a verified graph. Keeps: canonical form. Breaks: nothing. */
#include "passes/pass.h"
#include "passes/rewrite.h"

#define FOLD_BYTES_CAP ((int64_t)1 << 24)
#define SMALL_WORK 1e4
#define FOLD_WORK 1e9 /* of one run of the pass: seconds */

/* Bytes of operands that are written out already. */
static bool operands_constant(const Node *n, int64_t *bytes) {
    for (int i = 0; i < n->n_in; i++) {
        if (!n->in[i]) continue;
        if (!n->in[i]->constant) return false;
        if (!n->in[i]->constant->splat) *bytes += type_bytes(&n->in[i]->type);
    }
    return true;
}

static bool worth_folding(const Node *n, double *work) {
    int64_t in_bytes = 0;
    if (n->n_in == 0 || !operands_constant(n, &in_bytes) || op_def(n->op)->kind == OP_CONTROL) return false;
    EvalCost c = node_eval_cost(n);
    if (c.bytes > i64_max(in_bytes, FOLD_BYTES_CAP)) return false;
    if (c.work > SMALL_WORK && *work + c.work > FOLD_WORK) return false;
    *work += c.work;
    return true;
}

static const Tensor *compact(Arena *a, const Tensor *t) {
    return constant_is_splat(t, NULL) ? tensor_splat(a, t->type, t->data) : t;
}

static bool fold_node(Graph *g, Diags *d, Node *n) {
    Arena *scratch = arena_nested(g->arena);
    const Tensor **in = NEW_ARRAY(scratch, const Tensor *, n->n_in + 1);
    Tensor **out = NEW_ARRAY(scratch, Tensor *, n->n_out + 1);
    for (int i = 0; i < n->n_in; i++) in[i] = n->in[i] ? n->in[i]->constant : NULL;
    bool good = node_eval(g->arena, d, n, in, out);
    for (int i = 0; good && i < n->n_out; i++) {
        if (!n->out[i]) continue;
        Value *v = graph_constant(g, n->out[i]->name, compact(g->arena, out[i]));
        graph_replace(g, n->out[i], v);
    }
    arena_free(scratch);
    if (good) graph_erase(n);
    return good;
}

bool pass_fold_constants(Graph *g, Diags *d) {
    double work = 0;
    for (Node *n = g->first, *next; n; n = next) {
        next = n->next;
        if (worth_folding(n, &work) && !fold_node(g, d, n)) return false;
    }
    return true;
}
