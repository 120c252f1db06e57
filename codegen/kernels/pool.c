/* MaxPool and AveragePool of any element type, without a halo: the kernel's rows are clipped to the image at run time,
 * its columns at compile time, for only a few columns at the borders differ from those inside. Lanes are channels.
 *
 *     for n, d, h, blocks of channels:
 *         for columns at the left border one by one, inside in tiles, at the right border one by one:
 *             for kd, kh clipped by (d, h): for kw clipped by the column: acc = max(acc, x) or acc + x
 *
 * f16 and bf16 are widened to f32. A NaN is no maximum but of a window of NaNs: maxima of floats start with a NaN,
 * which gives way to anything. */
#include "codegen/kernels/layer.h"
#include "codegen/kernels/tile.h"

#include <math.h>

typedef struct Pool {
    Window w;
    int64_t images, channels;
    int lanes, pixels;
    bool max, indices, count_pads;
    int64_t place[MAX_SPATIAL]; /* what a step along an axis adds to an index in the plane */
} Pool;

enum { MAX_BORDER = 6, MAX_UNROLLED_KW = 16 };

/* ---- planning -------------------------------------------------------------------------------------------------- */

static bool plan_pool(KernelPlan *p, Pool *l) {
    const Node *n = p->node;
    const Shape *x = &n->in[0]->type.shape;
    if (shape_count(x) <= 0 || shape_count(&n->out[0]->type.shape) <= 0) return false;
    p->data = l;
    l->w = window_wide(n);
    l->images = x->dim[0];
    l->channels = x->dim[1];
    l->lanes = any_lanes(p->target, n->in[0]->type.elem, l->channels);
    l->pixels = l->indices || p->target->n_vector_regs < 16 ? 1 : p->target->n_vector_regs / 4;
    int64_t rows = l->images * l->w.out[0] * l->w.out[1], taps = l->w.kernel[0] * l->w.kernel[1] * l->w.kernel[2];
    p->in[0].order = ORDER_CHANNELS;
    for (int i = 0; i < p->node->n_out; i++) p->out[i].order = ORDER_CHANNELS;
    wish_channels(p);
    p->n_tasks = plan_tasks(p, rows, 2 * rows * l->w.out[2] * taps * ceil_div(l->channels, l->lanes));
    p->finish_lanes = l->lanes;
    p->finish_dim = 1;
    plan_name(p, "%s%dx%d_%s_%d", l->max ? "maxpool" : "averagepool", (int)l->w.kernel[1], (int)l->w.kernel[2],
              elem_info[n->in[0]->type.elem].name, l->lanes);
    return true;
}

bool plan_maxpool(KernelPlan *p) {
    Pool *l = NEW(p->arena, Pool);
    bool column_major = node_int(p->node, "storage_order") != 0;
    l->max = true;
    l->indices = has_out(p->node, 1);
    if (!plan_pool(p, l)) return false;
    const int64_t *in = l->w.in;
    for (int i = 0; i < MAX_SPATIAL; i++)
        l->place[i] =
            column_major ? (i > 0 ? in[0] : 1) * (i > 1 ? in[1] : 1) : (i < 1 ? in[1] : 1) * (i < 2 ? in[2] : 1);
    return true;
}

bool plan_averagepool(KernelPlan *p) {
    Pool *l = NEW(p->arena, Pool);
    l->count_pads = node_int(p->node, "count_include_pad") != 0;
    return plan_pool(p, l);
}

/* ---- spans of the kernel that lie inside the image --------------------------------------------------------------- */

/* Taps [from, to) of one axis are inside; `count` of them count. */
typedef struct Span {
    Reg from, to, count;
} Span;
typedef struct FixedSpan {
    int64_t from, to, count;
} FixedSpan;

static int64_t clip(int64_t v, int64_t most) { return i64_max(0, i64_min(v, most)); }

static FixedSpan fixed_span(const Pool *l, int axis, int64_t o) {
    const Window *w = &l->w;
    int64_t at = o * w->stride[axis] - w->pad_begin[axis], by = w->dilation[axis], k = w->kernel[axis];
    FixedSpan s = {clip(ceil_div(i64_max(-at, 0), by), k), 0, 0};
    s.to = i64_max(s.from, clip(ceil_div(i64_max(w->in[axis] - at, 0), by), k));
    s.count = l->count_pads ? clip(ceil_div(i64_max(w->in[axis] + w->pad_end[axis] - at, 0), by), k) : s.to - s.from;
    return s;
}

static Span constant_span(Emit *e, FixedSpan s) {
    return (Span){em_i64(e, s.from), em_i64(e, s.to), em_i64(e, s.count)};
}

static bool same_span(FixedSpan a, FixedSpan b) { return a.from == b.from && a.to == b.to && a.count == b.count; }

/* Taps before position `limit` of the input, where the window begins at position `at`. */
static Reg taps_before(Emit *e, const Window *w, int axis, Reg at, int64_t limit) {
    Reg room = em_max(e, em_sub(e, em_i64(e, limit), at), em_i64(e, 0));
    Reg taps = em_udiv(e, em_add(e, room, em_i64(e, w->dilation[axis] - 1)), w->dilation[axis]);
    return em_min(e, taps, em_i64(e, w->kernel[axis]));
}

/* The same at run time, for output position o. */
static Span span_at(Emit *e, const Pool *l, int axis, Reg o) {
    const Window *w = &l->w;
    FixedSpan first = fixed_span(l, axis, 0), last = fixed_span(l, axis, w->out[axis] - 1);
    FixedSpan all = {0, w->kernel[axis], w->kernel[axis]};
    if (same_span(first, all) && same_span(last, all)) return constant_span(e, all);
    Reg at = em_sub(e, em_mul(e, o, em_i64(e, w->stride[axis])), em_i64(e, w->pad_begin[axis]));
    Span s = {.from = taps_before(e, w, axis, at, 0)};
    s.to = em_max(e, s.from, taps_before(e, w, axis, at, w->in[axis]));
    s.count = l->count_pads ? taps_before(e, w, axis, at, w->in[axis] + w->pad_end[axis]) : em_sub(e, s.to, s.from);
    return s;
}

/* ---- one tile: n pixels of a row, one vector of channels ----------------------------------------------------------
 */

typedef struct PoolTile {
    KernelEmit *k;
    const Pool *l;
    int n, active;
    Reg x;              /* address of the plane's position (0, 0, 0), for this block of channels */
    Reg d, h;           /* where the window begins, in the input */
    Span kd, kh, kw;    /* kw: of all n pixels */
    FixedSpan columns;  /* kw again where it is known */
    bool columns_known; /* at compile time */
    Index column;       /* output column of pixel 0 */
    Index idx[MAX_RANK];
    Reg acc[2 * MAX_TILE]; /* values, then indices */
} PoolTile;

/* Position along `axis` of tap k of a window that begins at `at`. */
static Reg tap_position(PoolTile *t, int axis, Reg at, Reg k) {
    Emit *e = t->k->em;
    return em_add(e, at, em_mul(e, k, em_i64(e, t->l->w.dilation[axis])));
}

/* The input column where the window of pixel i begins. */
static Reg column_of(PoolTile *t, int i) {
    Emit *e = t->k->em;
    Reg o = em_index(e, index_plus(t->column, i));
    return em_sub(e, em_mul(e, o, em_i64(e, t->l->w.stride[2])), em_i64(e, t->l->w.pad_begin[2]));
}

/* Whether v takes the place of acc. */
static Reg exceeds(Emit *e, Elem elem, Reg v, Reg acc) {
    if (elem_info[elem].kind == ELEM_U) return em_compare_unsigned(e, CMP_GT, v, acc);
    Reg more = em_compare(e, CMP_GT, v, acc);
    if (!elem_is_float(elem)) return more;
    return em_or(e, more, em_and(e, em_compare(e, CMP_NE, acc, acc), em_compare(e, CMP_EQ, v, v)));
}

/* Takes the element at address p, in the plane at index `where`, into pixel i. */
static void take(PoolTile *t, int i, Reg p, Reg where) {
    const Pool *l = t->l;
    Emit *e = t->k->em;
    const Place *x = &t->k->in[0];
    Index none[MAX_RANK] = {{NULL, 0}};
    Place at = {.base = p, .elem = x->elem, .slack = x->slack};
    Reg v = half_widen(e, x->elem, kernel_load(e, &at, x->stride, 2, l->lanes, t->active, 1, none));
    Reg *acc = &t->acc[i], *index = &t->acc[t->n + i];
    if (!l->max) {
        *acc = em_add(e, *acc, v);
        return;
    }
    if (!l->indices && elem_info[x->elem].kind != ELEM_U) {
        Reg best = em_max(e, v, *acc);
        *acc = elem_is_float(x->elem) ? em_select(e, em_compare(e, CMP_NE, *acc, *acc), v, best) : best;
        return;
    }
    Reg more = exceeds(e, x->elem, v, *acc);
    *acc = em_select(e, more, v, *acc);
    if (l->indices) *index = em_select(e, more, em_splat(e, where, l->lanes), *index);
}

/* Row `row` (its address at column 0; index `where` in the plane), tap kw. */
static void take_column(PoolTile *t, Reg row, Reg where, Index kw) {
    Emit *e = t->k->em;
    const Window *w = &t->l->w;
    int64_t step = axis_stride(&t->k->in[0], 2);
    for (int i = 0; i < t->n; i++) {
        Index at[] = {{t->column.reg, t->column.plus + i}, kw, index_const(-1)};
        Reg p =
            em_address(e, row, 3, at, (int64_t[]){step * w->stride[2], step * w->dilation[2], step * w->pad_begin[2]});
        Reg column = NULL;
        if (t->l->indices) {
            column = tap_position(t, 2, column_of(t, i), em_index(e, kw));
            column = em_add(e, where, em_mul(e, column, em_i64(e, t->l->place[2])));
        }
        take(t, i, p, column);
    }
}

static void take_row(PoolTile *t, Reg row, Reg where) {
    Emit *e = t->k->em;
    int n = t->l->indices ? 2 * t->n : t->n;
    if (t->columns_known && t->columns.to - t->columns.from <= MAX_UNROLLED_KW) {
        for (int64_t kw = t->columns.from; kw < t->columns.to; kw++) take_column(t, row, where, index_const(kw));
        return;
    }
    Loop l = em_loop_reg(e, t->kw.from, t->kw.to, 1, n, t->acc);
    take_column(t, row, where, index_reg(l.i));
    em_loop_end(e, &l);
}

static void take_window(PoolTile *t) {
    Emit *e = t->k->em;
    const Place *x = &t->k->in[0];
    int n = t->l->indices ? 2 * t->n : t->n;
    Loop ld = em_loop_reg(e, t->kd.from, t->kd.to, 1, n, t->acc);
    Reg d = tap_position(t, 0, t->d, ld.i);
    Loop lh = em_loop_reg(e, t->kh.from, t->kh.to, 1, n, t->acc);
    Reg h = tap_position(t, 1, t->h, lh.i);
    Reg row = reg_advance(e, reg_advance(e, t->x, d, axis_stride(x, 0)), h, axis_stride(x, 1));
    Reg where = em_add(e, em_mul(e, d, em_i64(e, t->l->place[0])), em_mul(e, h, em_i64(e, t->l->place[1])));
    take_row(t, row, where);
    em_loop_end(e, &lh);
    em_loop_end(e, &ld);
}

/* ---- beginning and end of a tile --------------------------------------------------------------------------------- */

/* Whether the window has a tap inside the image. */
static Reg any_inside(PoolTile *t) {
    Emit *e = t->k->em;
    Reg some = em_and(e, em_compare(e, CMP_LT, t->kd.from, t->kd.to), em_compare(e, CMP_LT, t->kh.from, t->kh.to));
    return em_and(e, some, em_compare(e, CMP_LT, t->kw.from, t->kw.to));
}

/* What every maximum exceeds, or 0. */
static Reg start_value(PoolTile *t, RegType type) {
    Emit *e = t->k->em;
    Elem elem = t->k->in[0].elem;
    if (!t->l->max) return em_zero(e, type);
    if (elem_is_float(elem))
        return em_select(e, any_inside(t), em_float(e, type, (double)NAN), em_float(e, type, -(double)INFINITY));
    if (elem_info[elem].kind == ELEM_I) return em_int(e, type, INT64_MIN >> (64 - elem_info[elem].bits));
    return em_zero(e, type);
}

/* Index of the first tap inside the image, 0 where there is none. */
static Reg first_index(PoolTile *t, int i) {
    Emit *e = t->k->em;
    Reg at[] = {tap_position(t, 0, t->d, t->kd.from), tap_position(t, 1, t->h, t->kh.from),
                tap_position(t, 2, column_of(t, i), t->kw.from)};
    Reg index = em_i64(e, 0);
    for (int a = 0; a < MAX_SPATIAL; a++) index = em_add(e, index, em_mul(e, at[a], em_i64(e, t->l->place[a])));
    return em_select(e, any_inside(t), index, em_i64(e, 0));
}

static void start(PoolTile *t) {
    Emit *e = t->k->em;
    RegType scalar = em_elem_type(e, half_widened(t->k->in[0].elem));
    for (int i = 0; i < t->n; i++) {
        t->acc[i] = start_value(t, em_vec(e, scalar, t->l->lanes));
        if (t->l->indices) t->acc[t->n + i] = em_splat(e, first_index(t, i), t->l->lanes);
    }
}

/* The sum over the number of taps; 0 of none. */
static Reg mean(PoolTile *t, Reg sum) {
    Emit *e = t->k->em;
    Reg n = em_mul(e, em_mul(e, t->kd.count, t->kh.count), t->kw.count);
    n = em_max(e, n, em_i64(e, 1));
    return em_div(e, sum, em_splat(e, em_sint_to_float(e, n, em_scalar_type(sum)), t->l->lanes));
}

/* Indices count over the whole tensor: those of a plane follow those of the planes before it. */
static void store_indices(PoolTile *t, Reg index) {
    Emit *e = t->k->em;
    const Pool *l = t->l;
    int64_t plane = l->w.in[0] * l->w.in[1] * l->w.in[2], lane[MAX_LANES];
    for (int i = 0; i < l->lanes; i++) lane[i] = i * plane;
    Reg planes = em_add(e, em_mul(e, em_index(e, t->idx[0]), em_i64(e, l->channels)), em_index(e, t->idx[1]));
    Reg before = em_splat(e, em_mul(e, planes, em_i64(e, plane)), l->lanes);
    Reg all = em_add(e, em_add(e, before, em_ints(e, e->i64, l->lanes, lane)), index);
    const Place *out = &t->k->out[1];
    em_store_strided(e, all, place_address(e, out, t->idx), out->stride[1], t->active);
}

static void emit_pool_tile(PoolTile *t) {
    Emit *e = t->k->em;
    const Place *x = &t->k->in[0];
    start(t);
    take_window(t);
    for (int i = 0; i < t->n; i++) {
        t->idx[x->shape.rank - 1] = index_plus(t->column, i);
        Reg v = t->l->max ? t->acc[i] : mean(t, t->acc[i]);
        kernel_finish(t->k, half_narrow(e, x->elem, v), t->active, 1, t->idx);
        if (t->l->indices) store_indices(t, t->acc[t->n + i]);
    }
}

/* ---- columns of a row ---------------------------------------------------------------------------------------------
 */

/* n columns from o on whose windows are clipped alike. */
static void emit_fixed_columns(PoolTile *t, Index o, int n, FixedSpan span) {
    t->n = n;
    t->column = o;
    t->columns_known = true;
    t->columns = span;
    t->kw = constant_span(t->k->em, span);
    emit_pool_tile(t);
}

static void emit_column(PoolTile *t, int64_t o) { emit_fixed_columns(t, index_const(o), 1, fixed_span(t->l, 2, o)); }

/* Columns [from, to), whose windows lie inside the image. */
static void emit_inside(PoolTile *t, int64_t from, int64_t to) {
    Emit *e = t->k->em;
    int64_t k = t->l->w.kernel[2], n = i64_min(t->l->pixels, i64_max(to - from, 1)), full = from + (to - from) / n * n;
    FixedSpan all = {0, k, k};
    if (from < full) {
        Loop l = em_loop(e, from, full, n, 0, NULL);
        emit_fixed_columns(t, index_reg(l.i), (int)n, all);
        em_loop_end(e, &l);
    }
    if (full < to) emit_fixed_columns(t, index_const(full), (int)(to - full), all);
}

static void emit_any_columns(PoolTile *t) {
    Emit *e = t->k->em;
    Loop l = em_loop(e, 0, t->l->w.out[2], 1, 0, NULL);
    t->n = 1;
    t->column = index_reg(l.i);
    t->columns_known = false;
    t->kw = span_at(e, t->l, 2, l.i);
    emit_pool_tile(t);
    em_loop_end(e, &l);
}

static void emit_columns(PoolTile *t) {
    const Window *w = &t->l->w;
    int64_t columns = w->out[2], k = w->kernel[2], from = 0, to = columns;
    FixedSpan all = {0, k, k};
    while (from < columns && from <= MAX_BORDER && !same_span(fixed_span(t->l, 2, from), all)) from++;
    while (to > from && columns - to <= MAX_BORDER && !same_span(fixed_span(t->l, 2, to - 1), all)) to--;
    if (from + columns - to > MAX_BORDER) {
        emit_any_columns(t);
        return;
    }
    for (int64_t o = 0; o < from; o++) emit_column(t, o);
    emit_inside(t, from, to);
    for (int64_t o = to; o < columns; o++) emit_column(t, o);
}

/* ---- rows and blocks of channels -----------------------------------------------------------------------------------
 */

/* Blocks [from, to) of channels of one output row; x is the image's first element. */
static void emit_channels(PoolTile *t, Reg x, int64_t from, int64_t to) {
    Emit *e = t->k->em;
    if (from == to) return;
    Loop l = em_loop(e, from, to, 1, 0, NULL);
    t->x = reg_advance(e, x, l.i, t->l->lanes * t->k->in[0].stride[1]);
    t->idx[1] = index_reg(em_mul(e, l.i, em_i64(e, t->l->lanes)));
    emit_columns(t);
    em_loop_end(e, &l);
}

static Reg window_begin(Emit *e, const Window *w, int axis, Reg o) {
    return em_sub(e, em_mul(e, o, em_i64(e, w->stride[axis])), em_i64(e, w->pad_begin[axis]));
}

static void emit_pool(KernelEmit *k) {
    const Pool *l = k->plan->data;
    Emit *e = k->em;
    const Place *x = &k->in[0];
    Reg from, to;
    kernel_range(k, l->images * l->w.out[0] * l->w.out[1], &from, &to);
    Loop rows = em_loop_reg(e, from, to, 1, 0, NULL);
    Reg h = em_urem(e, rows.i, l->w.out[1]), rest = em_udiv(e, rows.i, l->w.out[1]);
    Reg d = em_urem(e, rest, l->w.out[0]), image = em_udiv(e, rest, l->w.out[0]);
    PoolTile t = {.k = k, .l = l, .active = l->lanes};
    t.kd = span_at(e, l, 0, d);
    t.kh = span_at(e, l, 1, h);
    t.d = window_begin(e, &l->w, 0, d);
    t.h = window_begin(e, &l->w, 1, h);
    t.idx[0] = index_reg(image);
    if (axis_dim(x->shape.rank, 0) >= 0) t.idx[axis_dim(x->shape.rank, 0)] = index_reg(d);
    if (axis_dim(x->shape.rank, 1) >= 0) t.idx[axis_dim(x->shape.rank, 1)] = index_reg(h);
    int64_t full = l->channels / l->lanes;
    Reg base = reg_advance(e, x->base, image, x->stride[0]);
    emit_channels(&t, base, 0, full);
    t.active = (int)(l->channels - full * l->lanes);
    emit_channels(&t, base, full, full + (t.active > 0));
    em_loop_end(e, &rows);
}

void emit_maxpool(KernelEmit *k) { emit_pool(k); }
void emit_averagepool(KernelEmit *k) { emit_pool(k); }
