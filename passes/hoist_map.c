/* Element-wise programs go in front of what only moves elements, so that they reach the layer that computes them and
 * its registers: a quantizer behind a reshape becomes an epilogue, and what is moved are codes. In front of a reshape
 * always, of a transposition unless elements become wider; in front of a shuffle, a concatenation or a maximum only if
 * the elements become narrower, and in front of a maximum only if the program never falls (max f(x) = f(max x)).
 * Requires: fuse_map. Keeps: element-wise results to the bit. Breaks: canonical form (reshapes may meet), and maps may
 * meet that fuse_map joins.
 */
#include "passes/pass.h"
#include "passes/rewrite.h"
#include "quant/range.h"

/* The operand of a map that is no constant; -1 if there are several, or none. */
static int varying_operand(const Node *map) {
    int found = -1;
    for (int i = 0; i < map->n_in; i++) {
        if (map->in[i]->constant) continue;
        if (found >= 0) return -1;
        found = i;
    }
    return found;
}

/* ---- where each dimension goes ----------------------------------------------------------------------------------- */

/* Dimension of operand 0 of `move` that becomes dimension `dim` of its result, whole and in order; -1 if none does. */
static int source_dim(const Node *move, int dim) {
    const Shape *from = in_shape(move, 0), *to = &move->out[0]->type.shape;
    int given;
    const int64_t *perm;
    switch (move->op) {
    case OP_Reshape: {
        int64_t before = 1;
        for (int i = 0; i < dim; i++) before *= to->dim[i];
        int64_t passed = 1;
        for (int i = 0; i < from->rank; i++) {
            if (passed == before && from->dim[i] == to->dim[dim]) return i;
            passed *= from->dim[i];
        }
        return -1;
    }
    case OP_Transpose:
        perm = node_ints(move, "perm", &given);
        return perm ? (int)perm[dim] : from->rank - 1 - dim;
    case OP_MaxPool:
        return dim < 2 ? dim : -1;
    case OP_Gather:
    case OP_Concat: {
        int64_t axis = node_int(move, "axis");
        if (axis < 0) axis += from->rank;
        return from->rank == to->rank && dim != axis ? dim : -1;
    }
    default:
        return -1;
    }
}

/* A constant of the map, as it lies against the operand of `move`: NULL if it cannot. */
static Value *moved_constant(const Node *move, Value *v) {
    int rank = move->out[0]->type.shape.rank, along = constant_axis(v, rank), from;
    if (along == -2) return NULL;
    Shape s = {.rank = 0};
    if (along >= 0) {
        from = source_dim(move, along);
        if (from < 0) return NULL;
        s.rank = in_shape(move, 0)->rank;
        for (int i = 0; i < s.rank; i++) s.dim[i] = i == from ? move->out[0]->type.shape.dim[along] : 1;
    }
    if (shape_equal(&s, &v->type.shape)) return v;
    Tensor *t = NEW(move->graph->arena, Tensor);
    *t = *v->constant;
    t->type.shape = s;
    return graph_constant(move->graph, v->name, t);
}

/* ---- whether it pays --------------------------------------------------------------------------------------------- */

static bool narrows(const Node *map, int x) {
    return elem_info[map->out[0]->type.elem].bits < elem_info[map->in[x]->type.elem].bits;
}

static bool widens(const Node *map, int x) {
    return elem_info[map->out[0]->type.elem].bits > elem_info[map->in[x]->type.elem].bits;
}

/* How the result moves as operand x grows, for each channel. */
typedef struct Slopes {
    int axis; /* of the channels; -1: one for all */
    int64_t channels;
    Direction *of;
    bool known, falls; /* all are; some do */
} Slopes;

static bool find_channels(const Node *map, int x, Slopes *s) {
    *s = (Slopes){.axis = -1, .channels = 1};
    for (int i = 0; i < map->n_in; i++) {
        int along = i == x ? -1 : constant_axis(map->in[i], map->out[0]->type.shape.rank);
        if (along < 0) continue;
        if (s->axis >= 0 && along != s->axis) return false;
        s->axis = along;
        s->channels = shape_count(&map->in[i]->type.shape);
    }
    return true;
}

static Slopes find_slopes(Ranges *r, Arena *a, const Node *map, int x) {
    Slopes s;
    if (!find_channels(map, x, &s)) return s;
    Span *in = NEW_ARRAY(a, Span, map->n_in), *at = NEW_ARRAY(a, Span, map->expr->n);
    s.of = NEW_ARRAY(a, Direction, s.channels);
    s.known = true;
    for (int64_t c = 0; c < s.channels; c++) {
        for (int i = 0; i < map->n_in; i++) {
            const Value *v = map->in[i];
            bool one = i != x && (v->constant->splat || shape_count(&v->type.shape) == 1);
            in[i] = i == x ? range_span(r, v) : span_of_number(tensor_get(v->constant, one ? 0 : c));
        }
        span_run(map->expr, in, at);
        s.of[c] = span_direction(map->expr, x, at);
        s.known = s.known && s.of[c] != DIR_UNKNOWN;
        s.falls = s.falls || s.of[c] == DIR_DOWN;
    }
    return s;
}

static bool slopes_known(Ranges *r, const Node *map, int x) {
    Arena a;
    arena_open(&a);
    bool known = find_slopes(r, &a, map, x).known;
    Range range;
    arena_free(&a);
    return known && range_of(r, map->out[0], &range);
}

static bool pays(Ranges *r, const Node *map, int x) {
    const Node *move = map->in[x]->def;
    switch (move->op) {
    case OP_Reshape:
        return true;
    case OP_Transpose:
        return !widens(map, x);
    case OP_Concat:
        return narrows(map, x);
    case OP_Gather:
        return narrows(map, x) && shape_count(in_shape(move, 0)) <= shape_count(&move->out[0]->type.shape);
    case OP_MaxPool:
        return move->n_out == 1 && narrows(map, x) && slopes_known(r, map, x);
    default:
        return false;
    }
}

/* MaxPool takes floats and bytes. */
static bool type_fits(const Node *move, Elem e) { return move->op != OP_MaxPool || e == QCC_I8 || e == QCC_U8; }

/* ---- moving ------------------------------------------------------------------------------------------------------ */

static bool move_constants(const Node *map, int x, Value **in) {
    const Node *move = map->in[x]->def;
    for (int i = 0; i < map->n_in; i++) {
        in[i] = i == x ? NULL : moved_constant(move, map->in[i]);
        if (i != x && !in[i]) return false;
    }
    return true;
}

/* offset + sign * p in i32, converted to `elem`; sign and offset are inputs k and k + 1. */
static X turned(ExprBuilder *b, X p, int k, Elem elem) {
    X whole = x_2(b, X_MUL, x_cast(b, QCC_I32, p), x_in(b, k, QCC_I32));
    return x_cast(b, elem, x_2(b, X_ADD, whole, x_in(b, k + 1, QCC_I32)));
}

static Value *channel_list(const Node *map, const Slopes *s, const int64_t *v) {
    Shape shape = {.rank = s->axis < 0 ? 0 : map->out[0]->type.shape.rank};
    for (int i = 0; i < shape.rank; i++) shape.dim[i] = i == s->axis ? s->channels : 1;
    return graph_constant(map->graph, "", tensor_from_ints(map->graph->arena, QCC_I32, shape, v));
}

/* In front of a maximum, where channels fall: codes lo .. hi become lo + hi - code there, and are turned back behind
 * it. Returns the first of the two maps, which never falls; the map itself where nothing falls. */
static Node *turn_falling(Ranges *r, Node *map, int x) {
    Arena *a = map->graph->arena;
    Slopes s = find_slopes(r, a, map, x);
    Range range;
    if (map->in[x]->def->op != OP_MaxPool || !s.falls) return map;
    if (!range_of(r, map->out[0], &range)) bug("hoist_map: codes without a range");
    int64_t *sign = NEW_ARRAY(a, int64_t, s.channels), *offset = NEW_ARRAY(a, int64_t, s.channels);
    for (int64_t c = 0; c < s.channels; c++) {
        sign[c] = s.of[c] == DIR_DOWN ? -1 : 1;
        offset[c] = s.of[c] == DIR_DOWN ? range.lo + range.hi : 0;
    }
    Elem elem = map->out[0]->type.elem;
    ExprBuilder first = {.arena = a}, second = {.arena = a};
    Value **in = NEW_ARRAY(a, Value *, map->n_in + 2);
    X *args = NEW_ARRAY(a, X, map->n_in);
    for (int i = 0; i < map->n_in; i++) {
        in[i] = map->in[i];
        args[i] = x_in(&first, i, in[i]->type.elem);
    }
    in[map->n_in] = channel_list(map, &s, sign);
    in[map->n_in + 1] = channel_list(map, &s, offset);
    Node *p = node_before(map, OP_Map, map->n_in + 2, in, 1);
    p->expr = x_finish(&first, turned(&first, x_inline(&first, map->expr, args), map->n_in, elem), map->n_in + 2);
    infer_or_bug(p);
    Value *back[] = {p->out[0], in[map->n_in], in[map->n_in + 1]};
    Node *q = node_before(map, OP_Map, 3, back, 1);
    q->expr = x_finish(&second, turned(&second, x_in(&second, 0, elem), 1, elem), 3);
    infer_or_bug(q);
    replace_node(map, q->out[0]);
    return p;
}

/* What stands in place of the map, with maps in front of it; NULL if nothing was done. */
static Node *hoist(Ranges *r, Node *map) {
    int x = varying_operand(map);
    if (x < 0 || !map->in[x]->def || !used_once(map->in[x])) return NULL;
    Node *move = map->in[x]->def;
    int n_data = move->op == OP_Concat ? move->n_in : 1;
    Value **in = NEW_ARRAY(map->graph->arena, Value *, map->n_in);
    if (move->expr || !shape_equal(&map->in[x]->type.shape, &map->out[0]->type.shape) || !pays(r, map, x) ||
        !type_fits(move, map->out[0]->type.elem) || !move_constants(map, x, in))
        return NULL;
    for (int i = 0; i < n_data; i++)
        if (move->in[i]->constant) return NULL;
    map = turn_falling(r, map, x);
    in = NEW_ARRAY(map->graph->arena, Value *, map->n_in);
    if (!move_constants(map, x, in)) bug("hoist_map: a list of channels does not move");
    Node *m = node_before(map, move->op, move->n_in, move->in, 1);
    m->loc = move->loc;
    for (int i = 0; i < move->n_attr; i++) node_set_attr(m, &move->attr[i]);
    for (int i = 0; i < n_data; i++) {
        in[x] = move->in[i];
        Node *part = node_before(m, OP_Map, map->n_in, in, 1);
        part->loc = map->loc;
        part->expr = map->expr;
        infer_or_bug(part);
        node_set_in(m, i, part->out[0]);
    }
    infer_or_bug(m);
    replace_node(map, m->out[0]);
    graph_erase(move);
    return m;
}

/* From the end to the front: a map that has moved is met again. */
static bool sweep(Graph *g, Ranges *r) {
    bool changed = false;
    for (Node *n = g->last; n;) {
        Node *moved = n->op == OP_Map && n->n_out == 1 ? hoist(r, n) : NULL;
        changed = changed || moved;
        n = moved ? moved->prev : n->prev;
    }
    return changed;
}

enum { MOST_SWEEPS = 16 }; /* a map follows the one in front of it in the next sweep */

bool pass_hoist_map(Graph *g, Diags *d) {
    (void)d;
    Ranges ranges = {.arena = g->arena};
    for (int i = 0; i < MOST_SWEEPS && sweep(g, &ranges); i++) {
    }
    return true;
}
