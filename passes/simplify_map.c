/* Shorter programs from integers to integers, by the ranges of what they compute: a limit that is never reached goes, a
 * code that is converted to a float and back stays what it is, a zero point that is added before clipping and taken off
 * after it moves into the limits, and a requantization that gives every code itself disappears. Programs on integers
 * only, that end in integers, where no zero's sign is seen.
 * Requires: fuse_map. Keeps: results to the bit. Breaks: nothing. */
#include "passes/pass.h"
#include "passes/rewrite.h"
#include "quant/range.h"

#include <math.h>

enum { MOST_INSTRUCTIONS = 96, MOST_ROUNDS = 4, MOST_CODES = 256 };

static bool is_number(const XInst *i) { return i->op == X_CONST; }
static double value_of(const XInst *i) { return elem_is_float(i->elem) ? i->k.f : (double)i->k.i; }

/* Integers in, integers out, and nothing in between that tells 0 from -0. */
static bool is_candidate(const Node *map) {
    const Expr *e = map->expr;
    if (map->op != OP_Map || e->n > MOST_INSTRUCTIONS || !elem_is_int(map->out[0]->type.elem)) return false;
    for (int i = 0; i < map->n_in; i++)
        if (!map->in[i]->constant && !elem_is_int(map->in[i]->type.elem)) return false;
    for (int k = 0; k < e->n; k++) {
        const XInst *i = &e->inst[k];
        if (i->op == X_BITCAST || i->op == X_REM || (i->op == X_DIV && !is_number(&e->inst[i->b]))) return false;
    }
    return true;
}

/* ---- one instruction --------------------------------------------------------------------------------------------- */

typedef struct Rewrite {
    const Expr *e;
    const Span *at;
    const bool *doubt; /* the span may not hold */
    const X *now;      /* of each instruction of e, in b */
    ExprBuilder *b;
} Rewrite;

/* The copy of the operand that a minimum or maximum always is; -1 if either may be. */
static X decided(const Rewrite *w, const XInst *i) {
    Span p = w->at[i->a], q = w->at[i->b];
    bool high = i->op == X_MAX;
    if (w->doubt[i->a] || w->doubt[i->b]) return -1;
    if (high ? p.lo >= q.hi : p.hi <= q.lo) return w->now[i->a];
    if (high ? q.lo >= p.hi : q.hi <= p.lo) return w->now[i->b];
    return -1;
}

static bool holds(Elem e, Span s) {
    Span all = span_of_elem(e);
    return s.whole && s.lo >= all.lo && s.hi <= all.hi;
}

/* A whole number converted to an integer type that holds it, and back. */
static X unconverted(const Rewrite *w, const XInst *i) {
    const XInst *inner = &w->e->inst[i->a];
    if (inner->op != X_CAST || w->e->inst[inner->a].elem != i->elem || !elem_is_int(inner->elem)) return -1;
    return !w->doubt[inner->a] && holds(inner->elem, w->at[inner->a]) ? w->now[inner->a] : -1;
}

/* v in another integer type, through one that holds it: there directly. */
static X converted_once(const Rewrite *w, const XInst *i) {
    const XInst *inner = &w->e->inst[i->a];
    if (inner->op != X_CAST || !elem_is_int(i->elem) || !elem_is_int(inner->elem)) return -1;
    Span v = w->at[inner->a];
    return holds(inner->elem, v) && holds(i->elem, v) ? x_cast(w->b, i->elem, w->now[inner->a]) : -1;
}

/* The other operand of a commutative instruction of type `op` with a constant; -1 if it is none. */
static int beside_number(const Expr *e, int k, XOp op, double *c) {
    const XInst *i = &e->inst[k];
    if (i->op != op) return -1;
    int number = is_number(&e->inst[i->a]) ? i->a : is_number(&e->inst[i->b]) ? i->b : -1;
    if (number < 0) return -1;
    *c = value_of(&e->inst[number]);
    return number == i->a ? i->b : i->a;
}

static bool small_whole(double v) { return v == (double)(int64_t)v && v > -0x1p20 && v < 0x1p20; }

/* clip(r + z, lo, hi) - z of whole r. */
static X recentred(const Rewrite *w, const XInst *i) {
    double hi, lo, z;
    if (!is_number(&w->e->inst[i->b]) || !elem_is_float(i->elem)) return -1;
    int clipped = beside_number(w->e, i->a, X_MIN, &hi),
        low = clipped < 0 ? -1 : beside_number(w->e, clipped, X_MAX, &lo);
    int sum = clipped < 0 ? -1 : low < 0 ? clipped : low, r = sum < 0 ? -1 : beside_number(w->e, sum, X_ADD, &z);
    if (r < 0 || w->doubt[r] || z != value_of(&w->e->inst[i->b]) || !w->at[r].whole || !small_whole(z) ||
        !small_whole(hi))
        return -1;
    X v = w->now[r];
    if (low >= 0) {
        if (!small_whole(lo)) return -1;
        v = x_2(w->b, X_MAX, x_const(w->b, i->elem, lo - z), v);
    } else if (!(w->at[sum].lo > -0x1p24)) {
        return -1;
    }
    return x_2(w->b, X_MIN, x_const(w->b, i->elem, hi - z), v);
}

static bool exact(Span s) { return s.whole && s.lo > -0x1p23 && s.hi < 0x1p23; }

/* (r + z) - z of whole r that is small enough to be exact. */
static X untouched(const Rewrite *w, const XInst *i) {
    double z;
    int r = beside_number(w->e, i->a, X_ADD, &z);
    if (r < 0 || !elem_is_float(i->elem) || !is_number(&w->e->inst[i->b]) || z != value_of(&w->e->inst[i->b]))
        return -1;
    return small_whole(z) && !w->doubt[r] && exact(w->at[r]) ? w->now[r] : -1;
}

/* An integer constant taken off a converted whole float: off the float, before converting it. */
static X taken_before(const Rewrite *w, const XInst *i) {
    const XInst *inner = &w->e->inst[i->a], *c = &w->e->inst[i->b];
    if (!elem_is_int(i->elem) || inner->op != X_CAST || !is_number(c)) return -1;
    Elem real = w->e->inst[inner->a].elem;
    Span v = w->at[inner->a];
    double z = value_of(c);
    if (real != QCC_F32 || w->doubt[inner->a] || !exact(v) || !holds(i->elem, v) || !small_whole(z)) return -1;
    Span less = {v.lo - z, v.hi - z, true, 1};
    if (!holds(i->elem, less)) return -1;
    return x_cast(w->b, i->elem, x_2(w->b, X_SUB, w->now[inner->a], x_const(w->b, real, z)));
}

/* x + 0: only the sign of a zero may change. */
static X plus_zero(const Rewrite *w, const XInst *i) {
    double z;
    int k = (int)(i - w->e->inst), x = beside_number(w->e, k, X_ADD, &z);
    return x >= 0 && z == 0 ? w->now[x] : -1;
}

/* (p - c) - d of integers. */
static X regrouped(const Rewrite *w, const XInst *i) {
    const XInst *inner = &w->e->inst[i->a];
    if (elem_is_float(i->elem) || inner->op != X_SUB || !is_number(&w->e->inst[i->b]) ||
        !is_number(&w->e->inst[inner->b]))
        return -1;
    uint64_t c = (uint64_t)w->e->inst[i->b].k.i + (uint64_t)w->e->inst[inner->b].k.i;
    return x_2(w->b, X_SUB, w->now[inner->a], x_const_int(w->b, i->elem, (int64_t)c));
}

static X simpler(const Rewrite *w, const XInst *i) {
    switch (i->op) {
    case X_MIN:
    case X_MAX:
        return decided(w, i);
    case X_CAST: {
        X x = unconverted(w, i);
        return x >= 0 ? x : converted_once(w, i);
    }
    case X_ADD:
        return plus_zero(w, i);
    case X_SUB: {
        X (*rules[])(const Rewrite *, const XInst *) = {recentred, untouched, regrouped, taken_before};
        X x = -1;
        for (size_t k = 0; k < COUNT_OF(rules) && x < 0; k++) x = rules[k](w, i);
        return x;
    }
    default:
        return -1;
    }
}

/* What a NaN may have gone into: it comes of what may be infinite, and spans leave it out. */
static bool *find_doubts(Arena *a, const Expr *e, const Span *at) {
    bool *doubt = NEW_ARRAY(a, bool, e->n);
    for (int k = 0; k < e->n; k++) {
        const XInst *i = &e->inst[k];
        int operands[] = {i->a, i->b, i->c};
        doubt[k] = elem_is_float(i->elem) && (!isfinite(at[k].lo) || !isfinite(at[k].hi));
        for (int o = 0; o < x_op_info[i->op].n; o++) doubt[k] = doubt[k] || doubt[operands[o]];
    }
    return doubt;
}

static const Expr *rewritten(Arena *a, const Expr *e, const Span *at, const bool *doubt) {
    ExprBuilder b = {.arena = a};
    X *now = NEW_ARRAY(a, X, e->n);
    Rewrite w = {e, at, doubt, now, &b};
    for (int k = 0; k < e->n; k++) {
        XInst i = e->inst[k];
        X x = simpler(&w, &e->inst[k]);
        if (x < 0) {
            int n = x_op_info[i.op].n;
            if (n > 0) i.a = now[i.a];
            if (n > 1) i.b = now[i.b];
            if (n > 2) i.c = now[i.c];
            x = x_add(&b, i);
        }
        now[k] = x;
    }
    return x_finish(&b, now[e->n - 1], e->n_in);
}

/* ---- codes that stay -----------------------------------------------------------------------------------------------
 */

static bool is_code(const XInst *i, Span s) {
    return elem_is_int(i->elem) && elem_info[i->elem].bits == 8 && s.hi - s.lo < (double)MOST_CODES;
}

/* Instruction j is computed from d and constants alone. */
static bool follows(const Expr *e, int d, int j, bool *from) {
    for (int k = 0; k <= j; k++) {
        const XInst *i = &e->inst[k];
        int operands[] = {i->a, i->b, i->c};
        from[k] = k == d || is_number(i);
        if (k == d || i->op == X_INPUT) continue;
        bool all = x_op_info[i->op].n > 0;
        for (int o = 0; o < x_op_info[i->op].n; o++) all = all && from[operands[o]];
        from[k] = from[k] || all;
    }
    return from[j];
}

/* j gives, for every value of d, that value. */
static bool is_same(Arena *a, const Expr *e, int d, int j, Span s) {
    int64_t n = (int64_t)(s.hi - s.lo) + 1;
    XInst *inst = arena_copy(a, e->inst, (size_t)(j + 1) * sizeof *inst);
    inst[d] = (XInst){.op = X_INPUT, .elem = e->inst[d].elem};
    bool *from = NEW_ARRAY(a, bool, j + 1);
    if (!follows(e, d, j, from)) return false;
    for (int k = 0; k < j; k++)
        if (!from[k]) inst[k] = (XInst){.op = X_CONST, .elem = inst[k].elem}; /* not read */
    Expr prefix = {j + 1, 1, inst};
    Tensor *x = tensor_new(a, (Type){e->inst[d].elem, shape_of(1, &n)}),
           *y = tensor_new(a, (Type){e->inst[j].elem, shape_of(1, &n)});
    for (int64_t i = 0; i < n; i++) tensor_set_int(x, i, (int64_t)s.lo + i);
    expr_run(&prefix, n, (const void *[]){x->data}, tensor_data(y));
    for (int64_t i = 0; i < n; i++)
        if (tensor_get_int(x, i) != tensor_get_int(y, i)) return false;
    return true;
}

/* The program with one such instruction less; itself if there is none. */
static const Expr *unrequantized(Arena *a, const Expr *e, const Span *at, const bool *doubt) {
    for (int j = e->n - 1; j > 0; j--) {
        if (!is_code(&e->inst[j], at[j]) || e->inst[j].op == X_INPUT) continue;
        for (int d = 0; d < j; d++) {
            if (!is_code(&e->inst[d], at[d]) || doubt[d] || e->inst[d].elem != e->inst[j].elem ||
                is_number(&e->inst[d]))
                continue;
            if (!is_same(a, e, d, j, at[d])) continue;
            XInst *inst = arena_copy(a, e->inst, (size_t)e->n * sizeof *inst);
            for (int k = j + 1; k < e->n; k++) {
                int *operands[] = {&inst[k].a, &inst[k].b, &inst[k].c};
                for (int o = 0; o < x_op_info[inst[k].op].n; o++)
                    if (*operands[o] == j) *operands[o] = d;
            }
            Expr *shorter = NEW(a, Expr);
            *shorter = (Expr){j == e->n - 1 ? d + 1 : e->n, e->n_in, inst};
            return shorter;
        }
    }
    return e;
}

/* ---- the pass ------------------------------------------------------------------------------------------------------
 */

const Expr *map_simplified(Ranges *r, Arena *a, const Node *map) {
    const Expr *e = map->expr;
    if (!is_candidate(map)) return e;
    Span *in = NEW_ARRAY(a, Span, map->n_in + 1);
    for (int i = 0; i < map->n_in; i++) in[i] = range_span(r, map->in[i]);
    for (int round = 0; round < MOST_ROUNDS; round++) {
        Span *at = NEW_ARRAY(a, Span, e->n);
        span_run(e, in, at);
        const bool *doubt = find_doubts(a, e, at);
        const Expr *shorter = rewritten(a, unrequantized(a, e, at, doubt), at, doubt);
        if (expr_equal(shorter, e)) break;
        e = shorter;
    }
    return e;
}

/* In place of the map: one of this program, with the operands that it reads; or an operand itself. */
static void replace_program(Node *map, const Expr *e) {
    Arena *a = map->graph->arena;
    ExprBuilder b = {.arena = a};
    X *args = NEW_ARRAY(a, X, map->n_in);
    Value **in = NEW_ARRAY(a, Value *, map->n_in);
    int n = 0;
    for (int i = 0; i < map->n_in; i++) {
        if (!expr_reads(e, i)) continue;
        args[i] = x_in(&b, n, map->in[i]->type.elem);
        in[n++] = map->in[i];
    }
    if (n == 0) { /* the same for every element */
        uint64_t elem = 0;
        expr_run(e, 1, NULL, &elem);
        replace_node(map, graph_constant(map->graph, "", tensor_splat(a, map->out[0]->type, &elem)));
        return;
    }
    if (n == 1 && e->n == 1 && in[0]->def && type_equal(&in[0]->type, &map->out[0]->type) &&
        !value_is_output(map->out[0])) {
        replace_node(map, in[0]);
        return;
    }
    Node *m = node_before(map, OP_Map, n, in, 1);
    m->expr = x_finish(&b, x_inline(&b, e, args), n);
    infer_or_bug(m);
    if (shape_equal(&m->out[0]->type.shape, &map->out[0]->type.shape)) {
        replace_node(map, m->out[0]);
    } else { /* an operand that is not read any more gave the result its shape */
        graph_erase(m);
    }
}

bool pass_simplify_map(Graph *g, Diags *d) {
    (void)d;
    Ranges ranges = {.arena = g->arena};
    for (Node *n = g->first, *next; n; n = next) {
        next = n->next;
        if (n->op != OP_Map) continue;
        Arena scratch;
        arena_open(&scratch);
        const Expr *e = map_simplified(&ranges, &scratch, n);
        if (!expr_equal(e, n->expr)) replace_program(n, e);
        arena_free(&scratch);
    }
    return true;
}
