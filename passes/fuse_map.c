/* Element-wise nodes become Map nodes, and a Map whose only reader is another of the same shape moves into it: a chain
 * is then one loop that keeps its values in registers. Operands that are the same everywhere become constants of the
 * program. Requires: composite operators expanded. Keeps: element-wise results to the bit. Breaks: canonical form (no
 * element-wise ONNX operator is left). */
#include "passes/pass.h"
#include "passes/rewrite.h"

enum { MOST_OPERANDS = 12, MOST_INSTRUCTIONS = 256 };

typedef struct Fusion {
    ExprBuilder b;
    VEC(Value *) in;
} Fusion;

static X operand_of(Arena *a, Fusion *f, Value *v) {
    for (size_t i = 0; i < f->in.n; i++)
        if (f->in.at[i] == v) return x_in(&f->b, (int)i, v->type.elem);
    vec_push(a, &f->in, v);
    return x_in(&f->b, (int)f->in.n - 1, v->type.elem);
}

/* The operand as a constant of the program, if it is one number that does not widen the result's shape. */
static bool as_constant(ExprBuilder *b, const Value *v, const Shape *result, X *out) {
    if (!v->constant || !constant_is_splat(v->constant, NULL) || v->type.shape.rank > result->rank) return false;
    if (elem_is_float(v->type.elem)) {
        *out = x_const(b, v->type.elem, tensor_get(v->constant, 0));
    } else {
        *out = x_const_int(b, v->type.elem, tensor_get_int(v->constant, 0));
    }
    return true;
}

/* The shape without those operands that are to become constants is still the result's. */
static bool shape_survives(const Node *n) {
    Shape s = {0};
    for (int i = 0; i < n->n_in; i++) {
        if (!n->in[i] || (n->in[i]->constant && constant_is_splat(n->in[i]->constant, NULL))) continue;
        if (!shape_broadcast(&s, in_shape(n, i), &s)) return false;
    }
    return shape_equal(&s, &n->out[0]->type.shape);
}

static bool may_absorb(const Node *into, const Value *v) {
    return v->def && v->def->op == OP_Map && used_once(v) && shape_equal(&v->type.shape, &into->out[0]->type.shape);
}

/* The program without what building it took. */
static const Expr *kept(Arena *a, const Expr *x) {
    Expr *own = arena_copy(a, x, sizeof *x);
    own->inst = arena_copy(a, x->inst, (size_t)x->n * sizeof *x->inst);
    return own;
}

static void make_map(Node *n) {
    Arena *a = arena_nested(n->graph->arena);
    const Expr *own = expr_of_node(a, n);
    Fusion f = {.b = {.arena = a}};
    bool constants = shape_survives(n);
    X args[MAX_RANK * 8];
    int k = 0, budget = MOST_INSTRUCTIONS - own->n;
    size_t room = MOST_OPERANDS;
    for (int i = 0; i < n->n_in; i++) {
        Value *v = n->in[i];
        if (!v) continue;
        if (constants && as_constant(&f.b, v, &n->out[0]->type.shape, &args[k])) {
            k++;
            continue;
        }
        Node *inner = may_absorb(n, v) ? v->def : NULL;
        if (!inner || inner->expr->n > budget || (size_t)inner->n_in > room) {
            args[k++] = operand_of(a, &f, v);
            room -= room > 0;
            continue;
        }
        X *inner_args = NEW_ARRAY(a, X, inner->n_in + 1);
        for (int j = 0; j < inner->n_in; j++) inner_args[j] = operand_of(a, &f, inner->in[j]);
        args[k++] = x_inline(&f.b, inner->expr, inner_args);
        budget -= inner->expr->n;
        room -= (size_t)inner->n_in;
    }
    X result = x_inline(&f.b, own, args);
    Node *map = node_before(n, OP_Map, (int)f.in.n, f.in.at, 1);
    map->expr = kept(n->graph->arena, x_finish(&f.b, result, (int)f.in.n));
    infer_or_bug(map);
    replace_node(n, map->out[0]);
    arena_free(a);
}

static bool is_candidate(const Node *n) {
    if (op_def(n->op)->kind != OP_EXPR || n->n_out < 1 || !n->out[0] || n->n_in > MAX_RANK * 8) return false;
    for (int i = 1; i < n->n_out; i++)
        if (n->out[i]) return false;
    return true;
}

static void absorb_dead(Graph *g) {
    for (Node *n = g->last, *prev; n; n = prev) {
        prev = n->prev;
        if (n->op == OP_Map && node_is_dead(n)) graph_erase(n);
    }
}

bool pass_fuse_map(Graph *g, Diags *d) {
    (void)d;
    for (Node *n = g->first, *next; n; n = next) {
        next = n->next;
        if (is_candidate(n)) make_map(n);
    }
    absorb_dead(g);
    return true;
}
