/* Places of maxima and minima.
 *
 * Where another axis has unit stride, lanes are results:     Where it is the axis itself, lanes share the line:
 *     for each group of results:                                 for each result:
 *         best = x[0], place = 0                                     best[] = x[lane], place[] = lane
 *         for i in 1 .. n:                                           for each vector of the line:
 *             if x[i] beats best: best = x[i], place = i                 if x[lane] beats best[]: ...
 *                                                                    the best of best[], of equals the first (or last)
 *
 * NaN never beats anything, and everything beats NaN. */
#include "codegen/kernels/line.h"

typedef struct Arg {
    KernelEmit *k;
    Emit *em;
    Elem elem; /* that elements are compared in */
    bool max, last;
    int axis, vector, lanes; /* vector: the axis along lanes, -1: none */
} Arg;

typedef struct Best {
    Reg carry[2]; /* place (i32), value */
} Best;

/* ---- comparing ------------------------------------------------------------------------------------------------- */

static Reg beats(const Arg *a, Reg v, Reg best) {
    Emit *e = a->em;
    Reg wins = a->max ? line_less(e, a->elem, best, v) : line_less(e, a->elem, v, best);
    if (!elem_is_float(a->elem)) return wins;
    return em_or(e, wins, em_and(e, em_compare(e, CMP_NE, best, best), em_compare(e, CMP_EQ, v, v)));
}

static Reg equal(const Arg *a, Reg v, Reg best) { return em_compare(a->em, CMP_EQ, v, best); }

static void take(const Arg *a, Best *b, Reg when, Reg place, Reg v) {
    b->carry[0] = em_select(a->em, when, place, b->carry[0]);
    b->carry[1] = em_select(a->em, when, v, b->carry[1]);
}

/* Element i of a line, later than all that was seen. */
static void see(const Arg *a, Best *b, Reg place, Reg v) {
    Reg when = beats(a, v, b->carry[1]);
    if (a->last) when = em_or(a->em, when, equal(a, v, b->carry[1]));
    take(a, b, when, place, v);
}

/* ---- loading and storing --------------------------------------------------------------------------------------- */

static Reg load(const Arg *a, Reg at, int lanes, int active) {
    const Place *in = &a->k->in[0];
    RegType t = em_vec(a->em, em_mem_type(a->em, in->elem), lanes);
    Reg v = em_load_strided(a->em, t, at, lanes > 1 ? in->stride[a->vector] : 0, active);
    v = em_from_mem(a->em, in->elem, v);
    return in->elem == a->elem ? v : em_expr(a->em, expr_convert(a->em->arena, in->elem, a->elem), lanes, &v);
}

static Reg at_line(const Arg *a, Reg line, Reg i) {
    return em_at_reg(a->em, line, em_mul(a->em, i, em_i64(a->em, a->k->in[0].stride[a->axis])));
}

/* The output's dimension for one of the operand's, other than the axis. */
static int out_dim(const Arg *a, int d) {
    bool kept = a->k->out[0].shape.rank == a->k->in[0].shape.rank;
    return kept || d < a->axis ? d : d - 1;
}

static void store(const Arg *a, Reg place, const Index *in, int active) {
    Emit *e = a->em;
    const Place *out = &a->k->out[0];
    Index idx[MAX_RANK] = {{0}};
    int lanes = em_lanes(place);
    for (int d = 0; d < a->k->in[0].shape.rank; d++)
        if (d != a->axis) idx[out_dim(a, d)] = in[d];
    Reg wide = em_sext(e, place, em_vec(e, e->i64, lanes));
    em_store_strided(e, wide, place_address(e, out, idx), lanes > 1 ? out->stride[out_dim(a, a->vector)] : 8, active);
}

/* ---- lanes are results ----------------------------------------------------------------------------------------- */

static void group(const Arg *a, const Index *idx, int active) {
    Emit *e = a->em;
    const Place *in = &a->k->in[0];
    Reg line = place_address(e, in, idx);
    RegType places = em_vec(e, e->i32, a->lanes);
    Best b = {{em_int(e, places, 0), load(a, line, a->lanes, active)}};
    Loop l = em_loop(e, 1, in->shape.dim[a->axis], 1, 2, b.carry);
    Reg place = em_splat(e, em_trunc(e, l.i, e->i32), a->lanes);
    see(a, &b, place, load(a, at_line(a, line, l.i), a->lanes, active));
    em_loop_end(e, &l);
    store(a, b.carry[0], idx, active);
}

static void emit_groups(const Arg *a) {
    const Shape *s = &a->k->in[0].shape;
    Lines l = lines_open(a->k, s, 1u << a->axis | (a->vector >= 0 ? 1u << a->vector : 0));
    int64_t n = a->vector >= 0 ? s->dim[a->vector] : 1, whole = n / a->lanes * a->lanes;
    if (a->vector >= 0 && whole) {
        Loop groups = em_loop(a->em, 0, whole, a->lanes, 0, NULL);
        l.idx[a->vector] = index_reg(groups.i);
        group(a, l.idx, a->lanes);
        em_loop_end(a->em, &groups);
        l.idx[a->vector] = index_const(whole);
    }
    if (a->vector < 0 || n > whole) group(a, l.idx, a->vector < 0 ? 1 : (int)(n - whole));
    lines_close(a->k, &l);
}

/* ---- lanes share the line -------------------------------------------------------------------------------------- */

/* Lane `i` against the best of those before it. */
static void fold(const Arg *a, Best *b, Reg place, Reg v) {
    Emit *e = a->em;
    Reg sooner = em_compare(e, a->last ? CMP_GT : CMP_LT, place, b->carry[0]);
    take(a, b, em_or(e, beats(a, v, b->carry[1]), em_and(e, equal(a, v, b->carry[1]), sooner)), place, v);
}

static void row(const Arg *a, const Index *idx) {
    Emit *e = a->em;
    int64_t lane[64], n = a->k->in[0].shape.dim[a->axis], whole = n / a->lanes * a->lanes;
    Reg line = place_address(e, &a->k->in[0], idx);
    for (int i = 0; i < a->lanes; i++) lane[i] = i;
    Reg iota = em_ints(e, e->i32, a->lanes, lane);
    Best b = {{iota, load(a, line, a->lanes, a->lanes)}}, one;
    Loop l = em_loop(e, a->lanes, whole, a->lanes, 2, b.carry);
    Reg place = em_add(e, iota, em_splat(e, em_trunc(e, l.i, e->i32), a->lanes));
    see(a, &b, place, load(a, at_line(a, line, l.i), a->lanes, a->lanes));
    em_loop_end(e, &l);
    one = (Best){{em_extract(e, b.carry[0], 0), em_extract(e, b.carry[1], 0)}};
    for (int i = 1; i < a->lanes; i++) fold(a, &one, em_extract(e, b.carry[0], i), em_extract(e, b.carry[1], i));
    Loop rest = em_loop(e, whole, n, 1, 2, one.carry);
    see(a, &one, em_trunc(e, rest.i, e->i32), load(a, at_line(a, line, rest.i), 1, 1));
    em_loop_end(e, &rest);
    store(a, one.carry[0], idx, 1);
}

static void emit_rows(const Arg *a) {
    Lines l = lines_open(a->k, &a->k->in[0].shape, 1u << a->axis);
    row(a, l.idx);
    lines_close(a->k, &l);
}

/* ---- the kernels ----------------------------------------------------------------------------------------------- */

static int unit_axis(const Place *p) {
    for (int d = 0; d < p->shape.rank; d++)
        if (p->shape.dim[d] > 1 && place_unit(p, d)) return d;
    return -1;
}

static void emit_arg(KernelEmit *k, bool max) {
    Pack pack;
    const Place *in = &k->in[0];
    Arg a = {
        .k = k, .em = k->em, .elem = line_elem(in->elem), .max = max, .axis = line_axis(k->em->arena, k->node, &pack)};
    a.last = pack.ints.at[1] != 0;
    a.vector = unit_axis(in);
    a.lanes = a.vector < 0 ? 1 : target_lanes(k->target, 32);
    if (a.vector == a.axis && in->shape.dim[a.axis] >= 2 * a.lanes) {
        emit_rows(&a);
        return;
    }
    if (a.vector == a.axis) a.vector = -1;
    while (a.lanes > 1 && (a.vector < 0 || a.lanes / 2 >= in->shape.dim[a.vector])) a.lanes /= 2;
    emit_groups(&a);
}

static bool plan_arg(KernelPlan *p) {
    Pack pack;
    return in_shape(p->node, 0)->dim[line_axis(p->arena, p->node, &pack)] <= INT32_MAX && plan_line(p, 1);
}

bool plan_arg_max(KernelPlan *p) { return plan_arg(p); }
bool plan_arg_min(KernelPlan *p) { return plan_arg(p); }
void emit_arg_max(KernelEmit *k) { emit_arg(k, true); }
void emit_arg_min(KernelEmit *k) { emit_arg(k, false); }
