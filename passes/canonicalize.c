/* One form for each thing, so that later passes look for one pattern: identities and moves that move nothing disappear,
 * all reshapes of static shape become Reshape, chains of reshapes and of transposes become one, sums, means and
 * extremes of more operands than a kernel takes become several. Requires: a verified graph. Keeps: names of graph
 * outputs. Breaks: nothing. */
#include "passes/pass.h"
#include "passes/rewrite.h"

#include <string.h>

static bool same_type(const Node *n) { return type_equal(&n->in[0]->type, &n->out[0]->type); }

/* Nodes that give their operand unchanged. */
static bool is_identity(const Node *n) {
    switch (n->op) {
    case OP_Identity:
        return true;
    case OP_Dropout:
        return !has_out(n, 1) || value_use_count(n->out[1]) == 0;
    case OP_Cast:
    case OP_CastLike:
    case OP_Reshape:
    case OP_Flatten:
    case OP_Squeeze:
    case OP_Unsqueeze:
    case OP_Expand:
    case OP_Tile:
        return same_type(n);
    case OP_Sum:
    case OP_Max:
    case OP_Min:
    case OP_Mean:
    case OP_Concat:
        return n->n_in == 1;
    default:
        return false;
    }
}

/* Nodes whose output has the operand's type, and whose parameters show that nothing moves. */
static bool moves_nothing(const Node *n) {
    if (!same_type(n)) return false;
    int64_t count;
    if (n->op == OP_Transpose) {
        int rank;
        const int64_t *perm = node_ints(n, "perm", &rank);
        for (int i = 0; i < rank; i++)
            if (perm[i] != i) return false;
        return perm || in_shape(n, 0)->rank < 2;
    }
    if (n->op == OP_Pad && in_const(n, 1)) {
        Arena *scratch = arena_nested(n->graph->arena);
        const int64_t *pads = tensor_ints(scratch, in_const(n, 1), &count);
        bool zero = true;
        for (int64_t i = 0; i < count; i++) zero = zero && pads[i] == 0;
        arena_free(scratch);
        return zero;
    }
    if (n->op == OP_Slice && (!has_in(n, 4) || in_const(n, 4))) {
        if (!has_in(n, 4)) return true;
        Arena *scratch = arena_nested(n->graph->arena);
        const int64_t *steps = tensor_ints(scratch, in_const(n, 4), &count);
        bool forward = true;
        for (int64_t i = 0; i < count; i++) forward = forward && steps[i] == 1;
        arena_free(scratch);
        return forward;
    }
    return false;
}

static bool is_reshape(OpId op) {
    return op == OP_Reshape || op == OP_Flatten || op == OP_Squeeze || op == OP_Unsqueeze;
}

/* Reshape to the shape of n's output, of `from`. */
static Node *make_reshape(Node *n, Value *from) {
    const Shape *s = &n->out[0]->type.shape;
    Value *shape = graph_const_ints(n->graph, "", s->rank, s->dim);
    Node *r = node_before(n, OP_Reshape, 2, (Value *[]){from, shape}, 1);
    node_set_int(r, "allowzero", 1);
    infer_or_bug(r);
    return r;
}

static bool simplify_reshape(Node *n) {
    Node *inner = n->in[0]->def;
    bool chain = inner && is_reshape(inner->op);
    if (n->op == OP_Reshape && !chain) return false;
    replace_node(n, make_reshape(n, chain ? inner->in[0] : n->in[0])->out[0]);
    return true;
}

static void default_perm(const Node *n, int64_t perm[MAX_RANK]) {
    int given, rank = in_shape(n, 0)->rank;
    const int64_t *p = node_ints(n, "perm", &given);
    for (int i = 0; i < rank; i++) perm[i] = p ? p[i] : rank - 1 - i;
}

static bool simplify_transpose(Node *n) {
    Node *inner = made_by(n->in[0], OP_Transpose);
    if (!inner) return false;
    int64_t outer_perm[MAX_RANK], inner_perm[MAX_RANK], perm[MAX_RANK];
    int rank = in_shape(n, 0)->rank;
    default_perm(n, outer_perm);
    default_perm(inner, inner_perm);
    for (int i = 0; i < rank; i++) perm[i] = inner_perm[outer_perm[i]];
    Node *joined = node_before(n, OP_Transpose, 1, inner->in, 1);
    node_set_ints(joined, "perm", rank, perm);
    infer_or_bug(joined);
    replace_node(n, joined->out[0]);
    return true;
}

/* A transpose that only moves dimensions of size 1 is a reshape. */
static bool transpose_is_reshape(const Node *n) {
    int64_t perm[MAX_RANK], last = -1;
    default_perm(n, perm);
    for (int i = 0; i < in_shape(n, 0)->rank; i++) {
        if (in_shape(n, 0)->dim[perm[i]] == 1) continue;
        if (perm[i] < last) return false;
        last = perm[i];
    }
    return true;
}

/* ---- many operands ----------------------------------------------------------------------------------------------- */

enum { MOST_TERMS = 16 };

static Value *join(Node *before, OpId op, int n, Value *const *terms) {
    Node *made = node_before(before, op, n, terms, 1);
    infer_or_bug(made);
    return made->out[0];
}

static Value *count_of(const Node *n) {
    Tensor *t = tensor_new(n->graph->arena, (Type){.elem = n->out[0]->type.elem});
    tensor_set(t, 0, n->n_in);
    return graph_constant(n->graph, "", t);
}

/* These take their operands one after the other, so that a few at a time give the same; a Sum becomes Adds. */
static bool split_terms(Node *n) {
    bool mean = n->op == OP_Mean, sum = n->op == OP_Sum;
    if (!sum && n->op != OP_Max && n->op != OP_Min && !mean) return false;
    if (n->n_in < 2 || (!sum && n->n_in <= MOST_TERMS)) return false;
    int at_once = sum || mean ? 2 : MOST_TERMS;
    Value *acc = n->in[0], *terms[MOST_TERMS];
    for (int next = 1; next < n->n_in;) {
        int k = 0;
        terms[k++] = acc;
        while (k < at_once && next < n->n_in) terms[k++] = n->in[next++];
        acc = join(n, sum || mean ? OP_Add : n->op, k, terms);
    }
    if (mean) acc = join(n, OP_Div, 2, (Value *[]){acc, count_of(n)});
    replace_node(n, acc);
    return true;
}

static bool simplify(Node *n) {
    if (split_terms(n)) return true;
    if (n->n_in == 0 || !n->in[0] || n->in[0]->constant) return false;
    if (is_identity(n) || moves_nothing(n)) {
        if (value_is_output(n->out[0]) && (n->in[0]->def == NULL || value_is_output(n->in[0]))) return false;
        graph_replace(n->graph, n->out[0], n->in[0]);
        if (node_is_dead(n)) graph_erase(n);
        return true;
    }
    if (is_reshape(n->op)) return simplify_reshape(n);
    if (n->op != OP_Transpose) return false;
    if (simplify_transpose(n)) return true;
    if (!transpose_is_reshape(n)) return false;
    replace_node(n, make_reshape(n, n->in[0])->out[0]);
    return true;
}

bool pass_canonicalize(Graph *g, Diags *d) {
    (void)d;
    for (bool changed = true; changed;) {
        changed = false;
        for (Node *n = g->first, *next; n; n = next) {
            next = n->next;
            changed = simplify(n) || changed;
        }
    }
    return true;
}
