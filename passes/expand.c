/* Rewrites composite operators into the simple ones that have kernels; in two steps, as batch normalisation goes into
 * the weights of a float layer in front if it can, which is known only when the quantized layers are. An expansion may
 * hold composites again; they are in front of the node's successor, so the walk goes back to the first new node.
 * Requires: a verified graph. Keeps: names of results. Breaks: canonical form. */
#include "passes/pass.h"
#include "passes/rewrite.h"

static bool expand_but(Graph *g, Diags *d, OpId kept) {
    for (Node *n = g->first; n;) {
        if (op_def(n->op)->kind != OP_EXPAND || n->op == kept) {
            n = n->next;
            continue;
        }
        Node *before = n->prev;
        if (!node_expand(d, n)) return false;
        n = before ? before->next : g->first;
    }
    return true;
}

bool pass_expand(Graph *g, Diags *d) { return expand_but(g, d, OP_BatchNormalization); }
bool pass_expand_rest(Graph *g, Diags *d) { return expand_but(g, d, OP_NONE); }
