/* A Map that is the only reader of a layer's result, at the same shape, becomes the layer's epilogue: the kernel
 * applies the program to its register tile before it stores. The layer moves down to where the Map was, so that the
 * Map's other operands (a shortcut, say) are known there; of two layers that meet in one Map the later one takes it.
 * Requires: fuse_map. Keeps: element-wise results to the bit. Breaks: nothing. */
#include "passes/pass.h"
#include "passes/rewrite.h"

/* The last operand of the Map that a layer in front could take it for; -1 if there is none. */
static int layer_operand(const Node *map) {
    int found = -1;
    for (int i = 0; i < map->n_in; i++) {
        const Value *v = map->in[i];
        if (!v->def || !used_once(v) || !takes_epilogue(v->def) || !expr_reads(map->expr, i)) continue;
        if (shape_equal(&v->type.shape, &map->out[0]->type.shape)) found = i;
    }
    return found;
}

static void fuse(Node *map, int operand) {
    Node *layer = map->in[operand]->def;
    Arena *a = map->graph->arena;
    Node *n = node_before(map, layer->op, layer->n_in, layer->in, 1);
    n->loc = layer->loc;
    for (int i = 0; i < layer->n_attr; i++) node_set_attr(n, &layer->attr[i]);
    infer_or_bug(n);
    while (n->n_in < op_def(n->op)->n_in) node_add_in(n, NULL); /* the layer's own optional operands */
    ExprBuilder b = {.arena = a};
    X *args = NEW_ARRAY(a, X, map->n_in);
    int k = 0;
    n->epilogue_in = n->n_in;
    for (int i = 0; i < map->n_in; i++) {
        if (i == operand) {
            args[i] = x_in(&b, 0, map->in[i]->type.elem);
        } else {
            node_add_in(n, map->in[i]);
            args[i] = x_in(&b, ++k, map->in[i]->type.elem);
        }
    }
    n->expr = x_finish(&b, x_inline(&b, map->expr, args), k + 1);
    n->out[0]->type.elem = map->out[0]->type.elem;
    replace_node(map, n->out[0]);
    graph_erase(layer);
}

bool pass_fuse_epilogue(Graph *g, Diags *d) {
    (void)d;
    for (Node *n = g->first, *next; n; n = next) {
        next = n->next;
        int operand = n->op == OP_Map ? layer_operand(n) : -1;
        if (operand >= 0) fuse(n, operand);
    }
    return true;
}
