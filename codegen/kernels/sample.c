/* Images read between their pixels, at places that the grid gives (Jaderberg et al., "Spatial Transformer Networks",
 * 2015). What an axis contributes is worked out once for all channels: 1, 2 or 4 taps, each a pixel and a weight.
 *
 *     for each place of the grid:
 *         for each axis: pixel[], weight[], inside[] of its taps
 *         for each channel:
 *             out = sum over all combinations of taps: inside ? weight * weight * ... * in[pixel, pixel, ...] : 0
 *
 * Everything is computed in f64 where the target has it, as the reference kernel does. */
#include "codegen/kernels/nest.h"
#include "ir/expr_words.h"
#include "ir/op.h"

enum { NEAREST, LINEAR, CUBIC };
enum { ZEROS, BORDER, REFLECTION };
enum { MAX_COMBINATIONS = 64 }; /* they are unrolled */

typedef struct Sampler {
    KernelEmit *k;
    Emit *em;
    int mode, padding, spatial, taps;
    bool corners;
    Elem wide;
} Sampler;

typedef struct Tap {
    Reg offset, weight, inside; /* bytes from the first pixel; inside: NULL where all pixels are */
} Tap;

static int taps_of(int mode) { return mode == CUBIC ? 4 : mode == LINEAR ? 2 : 1; }

static void read_sampler(Arena *a, const Node *n, Sampler *s) {
    Pack pack;
    node_pack(a, n, &pack);
    s->mode = (int)pack.ints.at[0];
    s->padding = (int)pack.ints.at[1];
    s->corners = pack.ints.at[2] != 0;
    s->spatial = in_shape(n, 0)->rank - 2;
    s->taps = taps_of(s->mode);
}

/* ---- along one axis, as programs ------------------------------------------------------------------------------- */

static X floor_of(ExprBuilder *b, X x) { return x_1(b, X_FLOOR, x); }

/* Mirrored at both ends until it is inside. */
static X reflect(ExprBuilder *b, X x, double lo, double hi) {
    double range = hi - lo;
    if (!(range > 0)) return num(b, x, lo);
    X under = below(b, x, lo), out = x_2(b, X_OR, under, above(b, x, hi));
    X far = x_select(b, under, from(b, lo, x), plus(b, x, -hi));
    X turns = floor_of(b, over(b, far, num(b, x, range))), rest = sub(b, far, times(b, turns, range));
    X even = x_2(b, X_EQ, turns, times(b, floor_of(b, times(b, turns, 0.5)), 2));
    X mirrored = x_select(b, x_2(b, X_EQ, under, even), plus(b, rest, lo), from(b, hi, rest));
    return x_select(b, out, mirrored, x);
}

/* Where a coordinate of the grid (in0) falls, in pixels, padding applied. From [-1, 1] to pixels in the precision of
 * the grid: where it falls between two pixels decides. */
static const Expr *place_program(const Sampler *s, Elem grid, int64_t size) {
    ExprBuilder b = {.arena = s->em->arena};
    double last = (double)(size - 1), margin = s->corners ? 0 : 0.5;
    X v = x_in(&b, 0, grid);
    if (grid != QCC_F64) v = x_cast(&b, QCC_F32, v);
    v = plus(&b, v, 1);
    X x = s->corners ? times(&b, times(&b, v, 0.5), last) : times(&b, plus(&b, times(&b, v, (double)size), -1), 0.5);
    x = x_cast(&b, s->wide, x);
    if (s->mode == NEAREST) x = x_1(&b, X_RINT, x);
    if (s->padding == REFLECTION) x = reflect(&b, x, -margin, last + margin);
    if (s->padding == BORDER && s->mode != CUBIC) {
        X inside = both(&b, not(&b, below(&b, x, -margin)), not(&b, above(&b, x, last + margin)));
        inside = both(&b, inside, x_2(&b, X_EQ, x, x));
        X lo = x_select(&b, above(&b, x, 0), x, num(&b, x, 0)); /* 0 for NaN */
        x = x_select(&b, inside, x, at_most(&b, lo, last));
    }
    return x_finish(&b, x, 1);
}

/* The pixel `ahead` of the one at or before place in0: the whole number, not yet brought inside. */
static X pixel_place(ExprBuilder *b, const Sampler *s, int ahead, int64_t size) {
    double last = (double)(size - 1), margin = s->corners ? 0 : 0.5;
    X x = x_in(b, 0, s->wide), i = plus(b, s->mode == NEAREST ? x : floor_of(b, x), ahead);
    return s->padding == REFLECTION ? reflect(b, i, -margin, last + margin) : i;
}

static const Expr *pixel_program(const Sampler *s, int ahead, int64_t size) {
    ExprBuilder b = {.arena = s->em->arena};
    X i = pixel_place(&b, s, ahead, size);
    i = x_select(&b, above(&b, i, 0), i, num(&b, i, 0)); /* 0 for NaN */
    return x_finish(&b, x_cast(&b, QCC_I32, at_most(&b, i, (double)(size - 1))), 1);
}

static const Expr *inside_program(const Sampler *s, int ahead, int64_t size) {
    ExprBuilder b = {.arena = s->em->arena};
    X i = pixel_place(&b, s, ahead, size);
    X first = x_2(&b, X_LE, num(&b, i, 0), i), last = x_2(&b, X_LE, i, num(&b, i, (double)(size - 1)));
    return x_finish(&b, both(&b, first, last), 1);
}

/* Keys' cubic convolution with a = -0.75; t is the distance. */
static X cubic_near(ExprBuilder *b, X t) {
    const double a = -0.75;
    return plus(b, mul(b, mul(b, plus(b, times(b, t, a + 2), -(a + 3)), t), t), 1);
}

static X cubic_far(ExprBuilder *b, X t) {
    const double a = -0.75;
    X v = mul(b, plus(b, times(b, t, a), -5 * a), t);
    return plus(b, mul(b, plus(b, v, 8 * a), t), -4 * a);
}

static const Expr *weight_program(const Sampler *s, int tap) {
    ExprBuilder b = {.arena = s->em->arena};
    X x = x_in(&b, 0, s->wide), t = sub(&b, x, s->mode == NEAREST ? x : floor_of(&b, x)), w;
    if (s->mode == NEAREST)
        w = num(&b, x, 1);
    else if (s->mode == LINEAR)
        w = tap == 0 ? from(&b, 1, t) : t;
    else if (tap == 0 || tap == 3)
        w = cubic_far(&b, tap == 0 ? plus(&b, t, 1) : from(&b, 2, t));
    else
        w = cubic_near(&b, tap == 1 ? t : from(&b, 1, t));
    return x_finish(&b, w, 1);
}

static void axis_taps(const Sampler *s, int axis, Reg coordinate, Tap *taps) {
    Emit *e = s->em;
    const Place *in = &s->k->in[0];
    int64_t size = in->shape.dim[2 + axis], stride = in->stride[2 + axis];
    Reg x = em_expr(e, place_program(s, s->k->in[1].elem, size), 1, &coordinate);
    for (int i = 0; i < s->taps; i++) {
        int ahead = s->mode == CUBIC ? i - 1 : i;
        Reg pixel = em_expr(e, pixel_program(s, ahead, size), 1, &x);
        taps[i].offset = em_mul(e, em_sext(e, pixel, e->i64), em_i64(e, stride));
        taps[i].weight = em_expr(e, weight_program(s, i), 1, &x);
        taps[i].inside = s->padding == ZEROS ? em_expr(e, inside_program(s, ahead, size), 1, &x) : NULL;
    }
}

/* ---- all axes together ----------------------------------------------------------------------------------------- */

static Tap combine(Emit *e, Tap p, const Tap *q) {
    p.offset = em_add(e, p.offset, q->offset);
    p.weight = em_mul(e, p.weight, q->weight);
    if (p.inside) p.inside = em_and(e, p.inside, q->inside);
    return p;
}

/* Combination i of the axes' taps, the last axis changing fastest. */
static Tap combination(const Sampler *s, Tap taps[][4], int i) {
    int digit[MAX_RANK] = {0};
    for (int axis = s->spatial - 1; axis >= 0; axis--, i /= s->taps) digit[axis] = i % s->taps;
    Tap t = taps[0][digit[0]];
    for (int axis = 1; axis < s->spatial; axis++) t = combine(s->em, t, &taps[axis][digit[axis]]);
    return t;
}

static int combinations(const Sampler *s) {
    int n = 1;
    for (int i = 0; i < s->spatial && n <= MAX_COMBINATIONS; i++) n *= s->taps;
    return n;
}

static Reg weighted_sum(const Sampler *s, Tap taps[][4], Reg image) {
    Emit *e = s->em;
    Elem elem = s->k->in[0].elem;
    const Expr *widen = expr_convert(e->arena, elem, s->wide);
    Reg sum = em_zero(e, em_elem_type(e, s->wide));
    for (int i = 0; i < combinations(s); i++) {
        Tap t = combination(s, taps, i);
        Reg raw = em_load(e, em_mem_type(e, elem), em_at_reg(e, image, t.offset), elem_bytes(elem));
        Reg v = em_from_mem(e, elem, raw);
        v = em_mul(e, t.weight, elem == s->wide ? v : em_expr(e, widen, 1, &v));
        sum = em_add(e, sum, t.inside ? em_select(e, t.inside, v, em_zero(e, em_type(v))) : v);
    }
    return sum;
}

/* Toward zero for integers and bool. */
static const Expr *narrow_program(Arena *a, Elem wide, Elem to) {
    ExprBuilder b = {.arena = a};
    X v = x_in(&b, 0, wide);
    return x_finish(&b, x_cast(&b, to, to == QCC_BOOL ? x_cast(&b, QCC_I32, v) : v), 1);
}

static Reg load_coordinate(const Sampler *s, const Index *place, int axis) {
    const Place *grid = &s->k->in[1];
    Index at[MAX_RANK] = {place[0]};
    for (int i = 0; i < s->spatial; i++) at[1 + i] = place[2 + i];
    at[1 + s->spatial] = index_const(s->spatial - 1 - axis); /* its coordinates begin with the last axis */
    Reg v = em_load(s->em, em_mem_type(s->em, grid->elem), place_address(s->em, grid, at), elem_bytes(grid->elem));
    return em_from_mem(s->em, grid->elem, v);
}

bool plan_grid_sample(KernelPlan *p) {
    const Node *n = p->node;
    const Shape *x = in_shape(n, 0), *y = &n->out[0]->type.shape;
    Sampler s;
    Elem elem = n->in[0]->type.elem, grid = n->in[1]->type.elem;
    read_sampler(p->arena, n, &s);
    if (combinations(&s) > MAX_COMBINATIONS || elem_info[elem].bits < 8) return false;
    if (!p->target->f64 && (elem == QCC_F64 || grid == QCC_F64)) return false;
    for (int i = 2; i < x->rank; i++)
        if (x->dim[i] > 1 << 24) return false; /* places are exact in f32 */
    p->n_tasks = lines_tasks(p, y, 1u << 1, shape_count(y) * combinations(&s) * 4);
    plan_name(p, "%s_gridsample", elem_info[elem].name);
    return true;
}

void emit_grid_sample(KernelEmit *k) {
    Emit *e = k->em;
    const Place *in = &k->in[0], *out = &k->out[0];
    Sampler s = {.k = k, .em = e, .wide = e->target->f64 ? QCC_F64 : QCC_F32};
    Tap taps[MAX_RANK][4];
    read_sampler(e->arena, k->node, &s);
    Lines l = lines_open(k, &out->shape, 1u << 1);
    for (int axis = 0; axis < s.spatial; axis++) axis_taps(&s, axis, load_coordinate(&s, l.idx, axis), taps[axis]);
    Loop channels = em_loop(e, 0, in->shape.dim[1], 1, 0, NULL);
    l.idx[1] = index_reg(channels.i);
    Reg sum = weighted_sum(&s, taps, em_address(e, in->base, 2, l.idx, in->stride));
    Reg v = em_expr(e, narrow_program(e->arena, s.wide, out->elem), 1, &sum);
    em_store(e, em_to_mem(e, out->elem, v), place_address(e, out, l.idx), elem_bytes(out->elem));
    em_loop_end(e, &channels);
    lines_close(k, &l);
}
