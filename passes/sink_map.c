/* What only moves elements moves codes, not the floats that they stand for: a short program that makes floats of codes
 * goes behind a gather (so a nearest Resize), a slice, a repetition or a transposition, where its readers take it in.
 * Where the program begins before the code, with the sums of a layer say, it is split there. Reshapes on the way cost
 * nothing and are passed. hoist_map does the same the other way round, for programs that make codes of floats.
 * Requires: fuse_map. Keeps: element-wise results to the bit. Breaks: maps may meet that fuse_map joins. */
#include "passes/pass.h"
#include "passes/rewrite.h"

enum { CHEAP_INSTRUCTIONS = 8 }; /* which may be done more often behind a repetition */

static Node *only_reader(const Node *n) { return used_once(n->out[0]) ? n->out[0]->uses.at[0].node : NULL; }

static bool moves(const Node *n) {
    return n->op == OP_Slice || n->op == OP_Tile || n->op == OP_Expand || n->op == OP_Transpose || n->op == OP_Reshape;
}

/* A node that moves the elements of its operand 0, and behind which a reader will take a program in. A gather makes
 * many of few, or few of many: there a program of its own is no loss. */
static bool is_mover(const Node *n) {
    enum { MOST_MOVES = 8 };
    for (int i = 0; n && i < MOST_MOVES; i++) {
        if (n->op == OP_Gather) return true;
        if (!moves(n)) return false;
        n = only_reader(n);
        if (n && n->op == OP_Map) return true;
    }
    return false;
}

/* A short program that makes floats of codes, and reads nothing else. */
static bool is_conversion(const Node *n) {
    return n && n->op == OP_Map && n->n_in == 1 && n->expr->n <= CHEAP_INSTRUCTIONS && elem_is_int(in_elem(n, 0)) &&
           elem_is_float(n->out[0]->type.elem) &&
           elem_info[in_elem(n, 0)].bits < elem_info[n->out[0]->type.elem].bits &&
           shape_equal(in_shape(n, 0), &n->out[0]->type.shape);
}

/* The conversion in front of n, split off a longer program if need be. */
static Node *find_conversion(Node *n) {
    Node *map = n->in[0]->def;
    if (!map || map->op != OP_Map || map->graph != n->graph) return NULL;
    if (is_conversion(map)) return map;
    if (!used_once(n->in[0]) || !elem_is_float(map->out[0]->type.elem)) return NULL;
    for (int i = 0; i < map->n_in; i++)
        if (!map->in[i]->constant && map_split(map, i)) break;
    return is_conversion(n->in[0]->def) ? n->in[0]->def : NULL;
}

static void sink(Node *n, Node *map) {
    Node *m = node_before(n, n->op, n->n_in, n->in, 1);
    for (int i = 0; i < n->n_attr; i++) node_set_attr(m, &n->attr[i]);
    node_set_in(m, 0, map->in[0]);
    infer_or_bug(m);
    Node *back = node_before(n, OP_Map, 1, m->out, 1);
    back->expr = map->expr;
    back->loc = map->loc;
    infer_or_bug(back);
    replace_node(n, back->out[0]);
    if (node_is_dead(map)) graph_erase(map);
}

bool pass_sink_map(Graph *g, Diags *d) {
    (void)d;
    for (Node *n = g->first, *next; n; n = next) {
        next = n->next;
        Node *map = is_mover(n) && !n->in[0]->constant ? find_conversion(n) : NULL;
        if (map) sink(n, map);
    }
    return true;
}
