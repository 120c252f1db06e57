/* Dead code elimination: backwards over the list, so that one walk suffices.
 * Requires: a verified graph. Keeps: graph inputs, even unused ones: the caller's interface. Breaks: nothing. */
#include "passes/pass.h"
#include "passes/rewrite.h"

bool pass_dce(Graph *g, Diags *d) {
    (void)d;
    for (Node *n = g->last, *prev; n; n = prev) {
        prev = n->prev;
        if (node_is_dead(n)) graph_erase(n);
    }
    return true;
}
