/* Where two layers meet in one program (a shortcut), only one of them can run it on its registers; the other one's sums
 * would be stored as they are, at four bytes each, though the program rounds them to a code first. The part of the
 * program up to that code is split off: it becomes the other layer's own epilogue, and codes are stored.
 * Requires: fuse_map. Keeps: element-wise results to the bit. Breaks: nothing. */
#include "passes/pass.h"
#include "passes/rewrite.h"

/* Which varying operands each instruction depends on, as bits; `leaf`, if not negative, depends on none. */
static void find_sources(const Node *map, int leaf, uint64_t *from) {
    const Expr *e = map->expr;
    for (int k = 0; k < e->n; k++) {
        const XInst *i = &e->inst[k];
        int operands[] = {i->a, i->b, i->c};
        from[k] = i->op == X_INPUT && !map->in[i->k.i]->constant ? (uint64_t)1 << i->k.i : 0;
        for (int o = 0; o < x_op_info[i->op].n; o++) from[k] |= from[operands[o]];
        if (k == leaf) from[k] = 0;
    }
}

/* The narrowest instruction through which all of operand `x` goes; -1 if none is narrower than it. */
static int narrow_cut(const Node *map, int x) {
    const Expr *e = map->expr;
    uint64_t own = (uint64_t)1 << x;
    Arena a;
    arena_open(&a);
    uint64_t *from = NEW_ARRAY(&a, uint64_t, e->n), *after = NEW_ARRAY(&a, uint64_t, e->n);
    int best = -1, bits = elem_info[map->in[x]->type.elem].bits;
    find_sources(map, -1, from);
    for (int k = 0; k < e->n - 1; k++) {
        Elem elem = e->inst[k].elem;
        if (from[k] != own || !elem_is_int(elem) || elem_info[elem].bits < 8 || elem_info[elem].bits >= bits) continue;
        find_sources(map, k, after);
        if (after[e->n - 1] & own) continue;
        best = k;
        bits = elem_info[elem].bits;
    }
    arena_free(&a);
    return best;
}

/* The program up to instruction `last`, with instruction `given` (-1: none) being `value`. */
static X copy_program(ExprBuilder *b, const Node *map, int last, int given, X value) {
    const Expr *e = map->expr;
    X *at = NEW_ARRAY(b->arena, X, e->n);
    for (int k = 0; k <= last; k++) {
        XInst i = e->inst[k];
        int n = x_op_info[i.op].n;
        if (n > 0) i.a = at[i.a];
        if (n > 1) i.b = at[i.b];
        if (n > 2) i.c = at[i.c];
        at[k] = k == given ? value : x_add(b, i);
    }
    return at[last];
}

/* A Map in front of `before` of a program, with those of the n operands that it reads. */
static Node *compact_map(Node *before, ExprBuilder *b, X result, int n, Value *const *in) {
    const Expr *full = x_finish(b, result, n);
    ExprBuilder c = {.arena = b->arena};
    X *args = NEW_ARRAY(b->arena, X, n);
    Value **read = NEW_ARRAY(b->arena, Value *, n);
    int n_read = 0;
    for (int i = 0; i < n; i++) {
        if (!expr_reads(full, i)) continue;
        args[i] = x_in(&c, n_read, in[i]->type.elem);
        read[n_read++] = in[i];
    }
    Node *m = node_before(before, OP_Map, n_read, read, 1);
    m->expr = x_finish(&c, x_inline(&c, full, args), n_read);
    infer_or_bug(m);
    return m;
}

Node *map_split(Node *map, int x) {
    int cut = map->n_in < 64 ? narrow_cut(map, x) : -1;
    if (cut < 0) return NULL;
    Arena *a = map->graph->arena;
    ExprBuilder first = {.arena = a}, rest = {.arena = a};
    Node *code = compact_map(map, &first, copy_program(&first, map, cut, -1, -1), map->n_in, map->in);
    Value **in = NEW_ARRAY(a, Value *, map->n_in + 1);
    for (int i = 0; i < map->n_in; i++) in[i] = map->in[i];
    in[map->n_in] = code->out[0];
    X value = x_in(&rest, map->n_in, code->out[0]->type.elem);
    X result = copy_program(&rest, map, map->expr->n - 1, cut, value);
    Node *m = compact_map(map, &rest, result, map->n_in + 1, in);
    replace_node(map, m->out[0]);
    return code;
}

/* The sums of a layer that nobody else reads and that could take the beginning of the program. */
static bool is_sum(const Node *map, int i) {
    const Value *v = map->in[i];
    return v->def && used_once(v) && takes_epilogue(v->def) && shape_equal(&v->type.shape, &map->out[0]->type.shape);
}

/* All layers but the last, which will take the whole program. */
static bool split_one(Node *map) {
    int sums = 0;
    for (int i = 0; i < map->n_in; i++) sums += is_sum(map, i);
    for (int i = 0; i < map->n_in && sums > 1; i++) {
        if (!is_sum(map, i)) continue;
        sums--;
        if (map_split(map, i)) return true;
    }
    return false;
}

bool pass_split_map(Graph *g, Diags *d) {
    (void)d;
    for (Node *n = g->first, *next; n; n = next) {
        next = n->next;
        if (n->op != OP_Map) continue;
        while (n && split_one(n)) n = next ? next->prev : g->last; /* what is left of it */
    }
    return true;
}
