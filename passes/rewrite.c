#include "passes/rewrite.h"

#include <string.h>

bool node_is_dead(const Node *n) {
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i] && value_use_count(n->out[i]) > 0) return false;
    return true;
}

Node *made_by(const Value *v, OpId op) { return v && v->def && v->def->op == op && v->def_index == 0 ? v->def : NULL; }

bool used_once(const Value *v) { return v->uses.n == 1 && value_use_count(v) == 1; }

bool constant_is_splat(const Tensor *t, double *v) {
    int64_t n = shape_count(&t->type.shape);
    if (n <= 0) return false;
    if (!t->splat) {
        size_t bytes = (size_t)elem_bytes(t->type.elem);
        const uint8_t *data = t->data;
        if (n > 1 && memcmp(data, data + bytes, bytes * (size_t)(n - 1)) != 0) return false;
    }
    if (v) *v = tensor_get(t, 0);
    return true;
}

int constant_axis(const Value *v, int rank) {
    int found = -1;
    for (int i = 0; i < v->type.shape.rank; i++) {
        if (v->type.shape.dim[i] == 1) continue;
        if (found >= 0) return -2;
        found = i + rank - v->type.shape.rank;
    }
    return found;
}

void replace_node(Node *n, Value *v) {
    graph_replace(n->graph, n->out[0], v);
    graph_erase(n);
}

void infer_or_bug(Node *n) {
    Diags d;
    Arena *scratch = arena_nested(n->graph->arena);
    diags_init(&d, scratch);
    if (!node_infer(&d, n)) bug("a pass made an invalid %s: %s", op_def(n->op)->name, d.first ? d.first->text : "");
    arena_free(scratch);
}

Node *node_before(Node *n, OpId op, int n_in, Value *const *in, int n_out) {
    return graph_node(n->graph, n, op, n->loc, n_in, in, n_out);
}

bool takes_epilogue(const Node *n) {
    if (n->expr || n->n_out != 1) return false;
    switch (n->op) {
    case OP_Conv:
    case OP_ConvTranspose:
    case OP_Gemm:
    case OP_MatMul:
        return n->out[0]->type.elem == QCC_F32;
    case OP_QConv:
    case OP_QConvTranspose:
    case OP_QMatMul:
        return true;
    default:
        return false;
    }
}
