/* Element-wise nodes become Map nodes, and a Map whose only reader is another of the same shape moves into it: a chain
 * is then one loop that keeps its values in registers. A cheap conversion from stored codes to floats moves into each
 * of its readers, so that codes are what is stored. Operands that are the same everywhere become constants of the
 * program. Requires: composite operators expanded. Keeps: element-wise results to the bit. Breaks: canonical form (no
 * element-wise ONNX operator is left). */
#include "passes/pass.h"
#include "passes/rewrite.h"

enum { MOST_OPERANDS = 16, MOST_INSTRUCTIONS = 256, CHEAP_INSTRUCTIONS = 8 };

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

/* A conversion of narrow integers to floats, which is cheaper to do again for each reader than to keep. */
static bool is_cheap(const Node *map) {
    int varying = 0;
    for (int i = 0; i < map->n_in; i++) {
        if (map->in[i]->constant) continue;
        if (!elem_is_int(map->in[i]->type.elem) || elem_info[map->in[i]->type.elem].bits > 16) return false;
        varying++;
    }
    return varying == 1 && map->expr->n <= CHEAP_INSTRUCTIONS && elem_is_float(map->out[0]->type.elem);
}

/* The program without what building it took. */
static const Expr *kept(Arena *a, const Expr *x) {
    Expr *own = arena_copy(a, x, sizeof *x);
    own->inst = arena_copy(a, x->inst, (size_t)x->n * sizeof *x->inst);
    return own;
}

static bool may_absorb(const Node *into, const Value *v) {
    if (!v->def || v->def->op != OP_Map || !shape_equal(&v->type.shape, &into->out[0]->type.shape)) return false;
    return used_once(v) || is_cheap(v->def);
}

static void erase_absorbed(Node *n) {
    for (int i = 0; i < n->n_in; i++) {
        Node *inner = n->in[i] ? n->in[i]->def : NULL;
        if (!inner || inner->op != OP_Map) continue;
        node_set_in(n, i, NULL);
        if (node_is_dead(inner)) graph_erase(inner);
    }
}

static Node *make_map(Node *n) {
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
    graph_replace(n->graph, n->out[0], map->out[0]);
    erase_absorbed(n);
    graph_erase(n);
    arena_free(a);
    return map;
}

static bool is_candidate(const Node *n) {
    if (op_def(n->op)->kind != OP_EXPR || n->n_out < 1 || !n->out[0] || n->n_in > MAX_RANK * 8) return false;
    for (int i = 1; i < n->n_out; i++)
        if (n->out[i]) return false;
    return true;
}

/* What was read twice, by maps that have become one, is now read once: another round takes it in. */
static bool may_grow(const Node *map) {
    for (int i = 0; i < map->n_in; i++)
        if (may_absorb(map, map->in[i]) && (size_t)(map->n_in + map->in[i]->def->n_in) <= MOST_OPERANDS &&
            map->expr->n + map->in[i]->def->expr->n <= MOST_INSTRUCTIONS)
            return true;
    return false;
}

bool pass_fuse_map(Graph *g, Diags *d) {
    (void)d;
    for (Node *n = g->first, *next; n; n = next) {
        next = n->next;
        if (!is_candidate(n)) continue;
        Node *map = make_map(n);
        while (may_grow(map)) map = make_map(map);
    }
    return true;
}
