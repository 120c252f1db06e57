/* Chains of operators from an integer sum to a code become thresholds. A Map of one integer operand, with constants per
 * channel, whose result is an integer of few values is, if it never falls (or never rises) as the sum grows, a count of
 * thresholds passed (QLadder). That it does not is proved instruction by instruction (span_direction), or else by
 * computing it for every value that the sum can take. Each threshold is the least sum that reaches a level, found by
 * bisection with the very program, run by the interpreter that defines it: so ties, rounding, slopes of any sign and
 * channels that are dead need no cases of their own, and the result is equal to the bit.
 *
 * Only sums that can occur count (quant/range.h: bounds and stride from the weights themselves), so a level that no
 * sum reaches is dropped: sign(acc - b) of odd sums and even b has two levels, not three.
 *
 * A channel that falls is turned round: its weights in front are negated, or where they cannot be (others read the sum,
 * the type has no such number) the sum is multiplied by -1 for it.
 *
 * Where several tensors meet in a program (a shortcut), or it goes on from a code to floats, the part up to the code of
 * one sum is folded; fuse_map joins it with the rest again.
 *
 * Requires: fuse_map. Keeps: element-wise results to the bit. Breaks: the ladder is no Map until fuse_map runs again.
 */
#include "passes/pass.h"
#include "passes/report.h"
#include "passes/rewrite.h"
#include "quant/range.h"

#include <math.h>

enum {
    MOST_LEVELS = 256,
    CHEAP_THRESHOLDS = 3,    /* that many are worth it whatever the chain is */
    MOST_VALUES = 1 << 20,   /* of one channel, when enumerating */
    MOST_COMPUTED = 1 << 24, /* in all */
    CHUNK = 4096
};

typedef struct Fold {
    Arena *scratch;
    Ranges *ranges;
    Node *map;
    int x;            /* the operand that varies */
    int axis;         /* of the channels */
    int64_t channels; /* 1: all alike */
    Elem to;
    int n; /* levels but the first */
    int64_t level[MOST_LEVELS];
    int64_t *base, *step, *last; /* sums of channel c: sign * (base + i * step), i = 0 .. last */
    int64_t *sign;
    int64_t *thr[MOST_LEVELS]; /* [level - 1][channel], of sign * sum */
    const char *why;
    FoldMethod method;
    int64_t runs, falling;
} Fold;

static bool refuse(Fold *f, const char *why) {
    f->why = why;
    return false;
}

/* ---- what varies ------------------------------------------------------------------------------------------------ */

/* The axis of the channels is that along which constants differ. */
static bool find_channels(Fold *f) {
    const Node *m = f->map;
    f->axis = -1;
    for (int i = 0; i < m->n_in; i++) {
        int axis = m->in[i]->constant ? constant_axis(m->in[i], m->out[0]->type.shape.rank) : -1;
        if (axis == -2 || (axis >= 0 && f->axis >= 0 && axis != f->axis))
            return refuse(f, "its constants differ along several dimensions");
        if (axis >= 0) f->axis = axis;
    }
    if (!shape_equal(&m->in[f->x]->type.shape, &m->out[0]->type.shape)) return refuse(f, "its operand is broadcast");
    f->channels = f->axis < 0 ? 1 : m->out[0]->type.shape.dim[f->axis];
    return true;
}

/* An integer product whose sums have channels. */
static bool is_product(const Node *n) {
    if (!n || n->expr) return false;
    return n->op == OP_QConv || n->op == OP_QConvTranspose || (n->op == OP_QMatMul && in_shape(n, 1)->rank > 1);
}

static int product_axis(const Node *n) { return n->op == OP_QMatMul ? n->out[0]->type.shape.rank - 1 : 1; }

static bool set_channel(Fold *f, int64_t c, Span s) {
    if (!s.whole || s.lo < INT32_MIN || s.hi >= INT32_MAX) return refuse(f, "its operand may need all of 32 bits");
    f->base[c] = (int64_t)s.lo;
    f->step[c] = s.step >= 1 ? (int64_t)s.step : 1;
    f->last[c] = ((int64_t)s.hi - (int64_t)s.lo) / f->step[c];
    f->sign[c] = 1;
    return true;
}

/* The sums that can occur, for each channel where that is known. */
static bool find_sums(Fold *f) {
    Value *x = f->map->in[f->x];
    int64_t **lists[] = {&f->base, &f->step, &f->last, &f->sign}, n = 0;
    for (size_t i = 0; i < COUNT_OF(lists); i++) *lists[i] = NEW_ARRAY(f->scratch, int64_t, f->channels);
    const Span *sums = NULL;
    if (is_product(x->def) && f->axis == product_axis(x->def)) sums = range_products(f->ranges, x->def, &n);
    if (sums && n != f->channels)
        bug("fold_ladder: %lld ranges for %lld channels", (long long)n, (long long)f->channels);
    for (int64_t c = 0; c < f->channels; c++)
        if (!set_channel(f, c, sums ? sums[c] : range_span(f->ranges, x))) return false;
    return true;
}

static int cost(const Expr *e) {
    int n = 0;
    for (int k = 0; k < e->n; k++) n += e->inst[k].op != X_INPUT && e->inst[k].op != X_CONST;
    return n;
}

static bool find_levels(Fold *f) {
    Range r;
    if (!range_of(f->ranges, f->map->out[0], &r)) return refuse(f, "its result has no range");
    int64_t n = (r.hi - r.lo) / r.step;
    if (n < 1) return refuse(f, "its result is always the same");
    if (n >= MOST_LEVELS) return refuse(f, "its result has more than 256 values");
    int chain = cost(map_simplified(f->ranges, f->scratch, f->map));
    if (n > CHEAP_THRESHOLDS && 2 * n > chain) {
        return refuse(
            f, arena_printf(f->map->graph->arena, "%d thresholds cost more than %d instructions", (int)n, chain));
    }
    f->n = (int)n;
    for (int k = 0; k <= f->n; k++) f->level[k] = r.lo + k * r.step;
    return true;
}

/* ---- computing the chain ---------------------------------------------------------------------------------------- */

static double constant_at(const Value *v, int64_t c) {
    return tensor_get(v->constant, v->constant->splat || shape_count(&v->type.shape) == 1 ? 0 : c);
}

/* The program's results for n sums of the channels given. */
static void compute(Fold *f, int64_t n, const int64_t *x, const int64_t *channel, int64_t *y) {
    Arena a;
    arena_open(&a);
    const Node *m = f->map;
    const void **in = NEW_ARRAY(&a, const void *, m->n_in);
    for (int i = 0; i < m->n_in; i++) {
        const Value *v = m->in[i];
        Tensor *t = tensor_new(&a, (Type){.elem = v->type.elem, .shape = shape_of(1, &n)});
        for (int64_t k = 0; k < n; k++) {
            if (i == f->x)
                tensor_set_int(t, k, x[k]);
            else if (elem_is_float(v->type.elem))
                tensor_set(t, k, constant_at(v, channel[k]));
            else
                tensor_set_int(t, k, tensor_get_int(v->constant, shape_count(&v->type.shape) == 1 ? 0 : channel[k]));
        }
        in[i] = t->data;
    }
    Tensor *out = tensor_new(&a, (Type){.elem = f->to, .shape = shape_of(1, &n)});
    expr_run(m->expr, n, in, tensor_data(out));
    for (int64_t k = 0; k < n; k++) y[k] = tensor_get_int(out, k);
    f->runs += n;
    arena_free(&a);
}

static int64_t sum_at(const Fold *f, int64_t c, int64_t i) { return f->sign[c] * (f->base[c] + i * f->step[c]); }

/* Channel c counted from the other end, for what falls. */
static void turn(Fold *f, int64_t c) {
    f->base[c] = -(f->base[c] + f->last[c] * f->step[c]);
    f->sign[c] = -1;
    f->falling++;
}

/* ---- proofs ------------------------------------------------------------------------------------------------------ */

static Direction direction(Fold *f, int64_t c) {
    const Node *m = f->map;
    Arena a;
    arena_open(&a);
    Span *in = NEW_ARRAY(&a, Span, m->n_in), *at = NEW_ARRAY(&a, Span, m->expr->n);
    for (int i = 0; i < m->n_in; i++) {
        if (i == f->x)
            in[i] =
                (Span){(double)f->base[c], (double)(f->base[c] + f->last[c] * f->step[c]), true, (double)f->step[c]};
        else
            in[i] = span_of_number(constant_at(m->in[i], c));
    }
    span_run(m->expr, in, at);
    Direction d = span_direction(m->expr, f->x, at);
    arena_free(&a);
    return d;
}

/* All channels at once: for each level the least place on the grid that reaches it. */
static void bisect(Fold *f) {
    int64_t *lo = NEW_ARRAY(f->scratch, int64_t, f->channels), *hi = NEW_ARRAY(f->scratch, int64_t, f->channels);
    int64_t *x = NEW_ARRAY(f->scratch, int64_t, f->channels), *y = NEW_ARRAY(f->scratch, int64_t, f->channels);
    int64_t *of = NEW_ARRAY(f->scratch, int64_t, f->channels);
    for (int64_t c = 0; c < f->channels; c++) lo[c] = 0;
    for (int k = 1; k <= f->n; k++) {
        for (int64_t c = 0; c < f->channels; c++) hi[c] = f->last[c] + 1;
        for (;;) {
            int64_t n = 0;
            for (int64_t c = 0; c < f->channels; c++) {
                if (lo[c] == hi[c]) continue;
                of[n] = c;
                x[n++] = sum_at(f, c, lo[c] + (hi[c] - lo[c]) / 2);
            }
            if (n == 0) break;
            compute(f, n, x, of, y);
            for (int64_t i = 0; i < n; i++) {
                int64_t c = of[i], middle = lo[c] + (hi[c] - lo[c]) / 2;
                if (y[i] >= f->level[k])
                    hi[c] = middle;
                else
                    lo[c] = middle + 1;
            }
        }
        for (int64_t c = 0; c < f->channels; c++) f->thr[k][c] = lo[c]; /* places for now */
    }
}

static bool prove_by_order(Fold *f) {
    Direction *d = NEW_ARRAY(f->scratch, Direction, f->channels);
    for (int64_t c = 0; c < f->channels; c++) {
        d[c] = direction(f, c);
        if (d[c] == DIR_UNKNOWN) return false;
    }
    for (int64_t c = 0; c < f->channels; c++)
        if (d[c] == DIR_DOWN) turn(f, c);
    f->method = FOLD_BISECTION;
    bisect(f);
    return true;
}

/* Results of channel c for all its sums, from the first place to the last. */
static int64_t *table(Fold *f, Arena *a, int64_t c) {
    int64_t n = f->last[c] + 1, *y = NEW_ARRAY(a, int64_t, n), x[CHUNK], of[CHUNK];
    for (int64_t from = 0; from < n; from += CHUNK) {
        int64_t some = i64_min(CHUNK, n - from);
        for (int64_t i = 0; i < some; i++) {
            x[i] = sum_at(f, c, from + i);
            of[i] = c;
        }
        compute(f, some, x, of, y + from);
    }
    return y;
}

static bool read_table(Fold *f, int64_t c, int64_t *y) {
    int64_t n = f->last[c] + 1;
    bool rises = true, falls = true;
    for (int64_t i = 1; i < n; i++) {
        rises = rises && y[i] >= y[i - 1];
        falls = falls && y[i] <= y[i - 1];
    }
    if (!rises && !falls) return refuse(f, "it rises and falls");
    if (!rises) {
        turn(f, c);
        for (int64_t i = 0; i < n / 2; i++) {
            int64_t t = y[i];
            y[i] = y[n - 1 - i];
            y[n - 1 - i] = t;
        }
    }
    for (int k = 1; k <= f->n; k++) {
        int64_t at = 0;
        while (at < n && y[at] < f->level[k]) at++;
        f->thr[k][c] = at;
    }
    int k = 0; /* ranges leave out what a NaN would give: see that all is there */
    for (int64_t i = 0; i < n; i++) {
        while (k < f->n && f->thr[k + 1][c] <= i) k++;
        if (y[i] != f->level[k]) return refuse(f, "it gives what is outside of its range");
    }
    return true;
}

static bool prove_by_trying(Fold *f) {
    int64_t all = 0;
    for (int64_t c = 0; c < f->channels; c++) {
        if (f->last[c] >= MOST_VALUES) return refuse(f, "its order is not known, and its operand has too many values");
        all += f->last[c] + 1;
    }
    if (all > MOST_COMPUTED) return refuse(f, "its order is not known, and its operands have too many values");
    f->method = FOLD_ENUMERATION;
    for (int64_t c = 0; c < f->channels; c++) {
        Arena a;
        arena_open(&a);
        bool good = read_table(f, c, table(f, &a, c));
        arena_free(&a);
        if (!good) return false;
    }
    return true;
}

/* ---- the ladder -------------------------------------------------------------------------------------------------- */

/* No sum of any channel gives level k. */
static bool level_is_idle(const Fold *f, int k) {
    for (int64_t c = 0; c < f->channels; c++) {
        int64_t from = k == 0 ? 0 : f->thr[k][c], to = k == f->n ? f->last[c] + 1 : f->thr[k + 1][c];
        if (from < to) return false;
    }
    return true;
}

static void drop_idle_levels(Fold *f) {
    for (int k = f->n; k >= 0 && f->n > 1; k--) {
        if (!level_is_idle(f, k)) continue;
        for (int j = k; j < f->n; j++) f->level[j] = f->level[j + 1];
        for (int j = k == 0 ? 1 : k; j < f->n; j++) f->thr[j] = f->thr[j + 1];
        f->n--;
    }
}

/* Places become sums. */
static void settle(Fold *f) {
    for (int k = 1; k <= f->n; k++)
        for (int64_t c = 0; c < f->channels; c++) {
            int64_t at = f->thr[k][c];
            f->thr[k][c] = at > f->last[c] ? f->base[c] + f->last[c] * f->step[c] + 1 : f->base[c] + at * f->step[c];
        }
}

/* A constant i32 along the channels. */
static Value *list(Fold *f, const int64_t *v) {
    Node *m = f->map;
    Shape s = {.rank = f->axis < 0 ? 0 : m->out[0]->type.shape.rank};
    for (int i = 0; i < s.rank; i++) s.dim[i] = i == f->axis ? f->channels : 1;
    return graph_constant(m->graph, "", tensor_from_ints(m->graph->arena, QCC_I32, s, v));
}

/* The channel of each weight is the one that range_products counts by. */
static int64_t weight_channel(const Node *n, int64_t i) {
    const Shape *w = in_shape(n, 1);
    int64_t inner = 1;
    for (int d = 2; d < w->rank; d++) inner *= w->dim[d];
    if (n->op == OP_QMatMul) return i % w->dim[w->rank - 1];
    if (n->op == OP_QConv) return i / (w->dim[1] * inner);
    int64_t per_group = w->dim[0] / node_int(n, "group");
    return i / inner % w->dim[1] + i / (per_group * w->dim[1] * inner) * w->dim[1];
}

/* The layer in front with the weights of the falling channels negated, in place of the one that is there. */
static bool negate_weights(Fold *f) {
    Value *x = f->map->in[f->x];
    Node *n = x->def;
    if (!is_product(n) || !used_once(x) || !in_const(n, 1) || f->axis != product_axis(n)) return false;
    Arena *a = f->map->graph->arena;
    const Tensor *w = tensor_dense(a, in_const(n, 1));
    Tensor *turned = tensor_new(a, w->type);
    Span type = span_of_elem(w->type.elem);
    int64_t count = shape_count(&w->type.shape);
    for (int64_t i = 0; i < count; i++) {
        int64_t v = tensor_get_int(w, i) * f->sign[weight_channel(n, i)];
        if ((double)v < type.lo || (double)v > type.hi) return false;
        tensor_set_int(turned, i, v);
    }
    Value *in[] = {n->in[0], graph_constant(n->graph, n->in[1]->name, turned)};
    Node *m = node_before(n, n->op, 2, in, 1);
    for (int i = 0; i < n->n_attr; i++) node_set_attr(m, &n->attr[i]);
    infer_or_bug(m);
    replace_node(n, m->out[0]);
    return true;
}

/* The operand of the ladder: the sum in i32, falling channels turned round. */
static Value *turned_sum(Fold *f) {
    Node *m = f->map;
    bool turned = f->falling && !negate_weights(f);
    Value *x = m->in[f->x];
    if (x->type.elem != QCC_I32) {
        Node *wide = node_before(m, OP_Cast, 1, &x, 1);
        node_set_int(wide, "to", QCC_I32);
        infer_or_bug(wide);
        x = wide->out[0];
    }
    if (!turned) return x;
    Node *times = node_before(m, OP_Mul, 2, (Value *[]){x, list(f, f->sign)}, 1);
    infer_or_bug(times);
    return times->out[0];
}

static void build(Fold *f) {
    Node *m = f->map;
    Value **in = NEW_ARRAY(m->graph->arena, Value *, f->n + 1);
    in[0] = turned_sum(f);
    for (int k = 1; k <= f->n; k++) in[k] = list(f, f->thr[k]);
    Node *l = node_before(m, OP_QLadder, f->n + 1, in, 1);
    node_set_ints(l, "levels", f->n + 1, f->level);
    node_set_int(l, "to", (int64_t)f->to);
    infer_or_bug(l);
    replace_node(m, l->out[0]);
}

static bool fold(Fold *f) {
    if (!find_channels(f) || !find_levels(f) || !find_sums(f)) return false;
    for (int k = 1; k <= f->n; k++) f->thr[k] = NEW_ARRAY(f->scratch, int64_t, f->channels);
    if (!prove_by_order(f) && !prove_by_trying(f)) {
        f->method = FOLD_NONE;
        return false;
    }
    drop_idle_levels(f);
    settle(f);
    return true;
}

/* ---- what is folded, and what is said ---------------------------------------------------------------------------- */

static void note(const Node *map, int x, Report *r, FoldNote n) {
    const Node *layer = map->in[x]->def;
    if (!r) return;
    n.loc = map->loc;
    vec_push(r->arena, &report_layer(r, r->arena, layer ? layer->loc : map->loc, layer ? layer->op : map->op)->folds,
             n);
}

static void fold_map(Node *map, int x, Ranges *ranges, Report *r) {
    Arena scratch;
    arena_open(&scratch);
    Fold f = {.scratch = &scratch, .ranges = ranges, .map = map, .x = x, .to = map->out[0]->type.elem};
    bool folded = fold(&f);
    note(map, x, r,
         (FoldNote){.method = folded ? f.method : FOLD_NONE,
                    .kept = f.why,
                    .levels = f.n + 1,
                    .channels = f.channels,
                    .falling = f.falling,
                    .runs = f.runs});
    if (folded) build(&f);
    arena_free(&scratch);
}

static const char *value_words(Arena *a, const Value *v) {
    const char *name = *v->name ? v->name : v->def && v->def->loc.node ? v->def->loc.node : "";
    return arena_printf(a, "'%s'", printable_str(a, name));
}

/* An operator that became several nodes reads as one. */
static bool read_before(const Value *v, size_t use) {
    for (size_t i = 0; i < use; i++)
        if (v->uses.at[i].node->loc.index == v->uses.at[use].node->loc.index) return true;
    return false;
}

/* Why the program has no code of x alone that thresholds could give. */
static const char *why_kept(Arena *a, const Node *map, int x) {
    const Value *y = map->out[0];
    for (int i = 0; i < map->n_in; i++)
        if (i != x && !map->in[i]->constant)
            return arena_printf(a, "%s meets them before they are a code, so thresholds would differ with it",
                                value_words(a, map->in[i]));
    Text t = {.arena = a};
    int readers = 0;
    text_add(&t, "they end in %s", elem_info[y->type.elem].name);
    if (value_is_output(y)) text_add(&t, ", output %s", value_words(a, y));
    for (size_t i = 0; i < y->uses.n; i++) {
        const Loc *l = &y->uses.at[i].node->loc;
        if (l->index >= 0 && (l->index == map->loc.index || read_before(y, i))) continue;
        text_add(&t, "%s%s", readers++ ? " and " : ", read by ", l->op && *l->op ? printable_str(a, l->op) : "?");
        if (l->node && *l->node) text_add(&t, " '%s'", printable_str(a, l->node));
    }
    return t.s;
}

/* The next operand from i on that is a sum; n_in if there is none. */
static int next_sum(const Node *map, int i) {
    while (i < map->n_in && (map->in[i]->constant || map->in[i]->type.elem != QCC_I32)) i++;
    return i;
}

/* It gives a code of a sum and of nothing else. */
static bool is_code_of(const Node *map, int x) {
    Elem e = map->out[0]->type.elem;
    for (int i = 0; i < map->n_in; i++)
        if (i != x && !map->in[i]->constant) return false;
    return elem_is_int(e) && elem_info[e].bits <= 16;
}

/* A program that begins with a sum: of a layer, or what pooling made of one. Codes in its inside are split off first:
 * those are looked at next, and are joined with the rest again by fuse_map. Returns where to go on. */
static Node *look_at(Node *map, Ranges *ranges) {
    Report *r = map->graph->report;
    Node *next = map->next;
    int x = next_sum(map, 0);
    if (x < map->n_in && is_code_of(map, x)) {
        fold_map(map, x, ranges, r);
        return next;
    }
    for (int i = x; i < map->n_in; i = next_sum(map, i + 1)) {
        Node *part = map_split(map, i);
        if (part) return part;
    }
    for (; r && x < map->n_in; x = next_sum(map, x + 1))
        if (is_product(map->in[x]->def)) note(map, x, r, (FoldNote){.kept = why_kept(r->arena, map, x)});
    return next;
}

bool pass_fold_ladder(Graph *g, Diags *d) {
    (void)d;
    Ranges ranges = {.arena = g->arena};
    for (Node *n = g->first; n;)
        n = n->op == OP_Map && shape_count(&n->out[0]->type.shape) > 0 ? look_at(n, &ranges) : n->next;
    return true;
}
