/* Rewrites composite operators into the simple ones that have kernels. An expansion may hold composites again; they are
 * in front of the node's successor, so the walk goes back to the first new node. Requires: a verified graph. Keeps:
 * names of results. Breaks: canonical form. */
#include "passes/pass.h"
#include "passes/rewrite.h"

bool pass_expand(Graph *g, Diags *d) {
    for (Node *n = g->first; n;) {
        if (op_def(n->op)->kind != OP_EXPAND) {
            n = n->next;
            continue;
        }
        Node *before = n->prev;
        if (!node_expand(d, n)) return false;
        n = before ? before->next : g->first;
    }
    return true;
}
