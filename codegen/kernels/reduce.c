/* Sums, products, maxima and minima over any axes. Floats are summed and multiplied in f64 and rounded once, so that
 * the order, and with it the width of the target's vectors, hardly ever shows.
 *
 * Where the axis of unit stride is kept, lanes are results:      Where it is reduced, lanes are partial results:
 *     for each group of results:                                     for each result:
 *         acc = first                                                    acc[] = first
 *         for each reduced index: acc = acc + in[..., group]             for each vector of the row: acc += in[vector]
 *         out[group] = acc                                               out = sum of acc[]                          */
#include "codegen/kernels/nest.h"
#include "ir/op.h"

typedef struct Reduce {
    KernelEmit *k;
    Emit *em;
    OpId op;
    Elem elem, acc; /* of the operand; accumulated in */
    unsigned over;  /* bit set of reduced axes */
    int vector;     /* axis that runs along lanes, -1: none */
    int lanes;
    int64_t count; /* elements per result */
    const int64_t *stride;
    const Shape *shape;
} Reduce;

static unsigned reduced_axes(Arena *a, const Node *n) {
    Pack pack = {0};
    unsigned over = 0;
    node_pack(a, n, &pack);
    for (int d = 0; d < in_shape(n, 0)->rank; d++)
        if (pack.ints.at[d]) over |= 1u << d;
    return over;
}

/* ---- the operation ------------------------------------------------------------------------------------------- */

static Elem acc_elem(const Target *t, OpId op, Elem e) {
    bool exact = op == OP_ReduceMax || op == OP_ReduceMin;
    if (e == QCC_F16 || e == QCC_BF16) return exact || !t->f64 ? QCC_F32 : QCC_F64;
    return e == QCC_F32 && !exact && t->f64 ? QCC_F64 : e;
}

static Reg convert(Reduce *r, Elem from, Elem to, Reg v) {
    return from == to ? v : em_expr(r->em, expr_convert(r->em->arena, from, to), em_lanes(v), &v);
}

/* A NaN stays, and is taken by what is none. */
static Reg extreme(Reduce *r, Reg acc, Reg v) {
    Emit *e = r->em;
    bool max = r->op == OP_ReduceMax;
    if (r->acc == QCC_BOOL) return max ? em_or(e, acc, v) : em_and(e, acc, v);
    Compare c = max ? CMP_GT : CMP_LT;
    if (!elem_is_float(r->acc)) {
        bool u = elem_info[r->acc].kind == ELEM_U;
        return em_select(e, u ? em_compare_unsigned(e, c, v, acc) : em_compare(e, c, v, acc), v, acc);
    }
    return em_select(e, em_or(e, em_compare(e, c, v, acc), em_compare(e, CMP_NE, v, v)), v, acc);
}

static Reg combine(Reduce *r, Reg acc, Reg v) {
    if (r->op == OP_ReduceSum) return em_add(r->em, acc, v);
    return r->op == OP_ReduceProd ? em_mul(r->em, acc, v) : extreme(r, acc, v);
}

/* What an empty set gives. */
static Reg neutral(Reduce *r, RegType t) {
    Emit *e = r->em;
    bool max = r->op == OP_ReduceMax;
    int bits = elem_info[r->acc].kind == ELEM_B ? 1 : elem_info[r->acc].bits;
    if (r->op == OP_ReduceSum) return em_zero(e, t);
    if (elem_is_float(r->acc))
        return em_float(e, t, r->op == OP_ReduceProd ? 1 : max ? -__builtin_inf() : __builtin_inf());
    if (r->op == OP_ReduceProd) return em_int(e, t, 1);
    if (elem_info[r->acc].kind != ELEM_I) return em_int(e, t, max ? 0 : -1);
    uint64_t top = (uint64_t)1 << (bits - 1);
    return em_int(e, t, (int64_t)(max ? 0 - top : top - 1));
}

/* ---- loads --------------------------------------------------------------------------------------------------- */

static Reg load(Reduce *r, Reg at, int lanes, int active) {
    RegType t = em_vec(r->em, em_mem_type(r->em, r->elem), lanes);
    int64_t along = lanes == 1 ? 0 : r->stride[r->vector];
    Reg v = em_from_mem(r->em, r->elem, em_load_strided(r->em, t, at, along, active));
    return convert(r, r->elem, r->acc, v);
}

/* What the accumulator starts with: nothing, or (maxima) the first element. */
static Reg start(Reduce *r, Reg at, int lanes, int active, bool splat) {
    bool first = (r->op == OP_ReduceMax || r->op == OP_ReduceMin) && r->count > 0;
    if (first) return splat ? em_splat(r->em, load(r, at, 1, 1), lanes) : load(r, at, lanes, active);
    return neutral(r, em_vec(r->em, em_elem_type(r->em, r->acc), lanes));
}

static Reg step(Emit *e, Reg base, Reg i, int64_t stride) {
    return em_at_reg(e, base, em_mul(e, i, em_i64(e, stride)));
}

/* ---- lanes are results ----------------------------------------------------------------------------------------- */

/* Loops over the reduced axes from `d` on, the vector's excepted, around fn. */
static void over_axes(Reduce *r, int d, Reg at, Reg *acc, int active, void (*fn)(Reduce *, Reg, Reg *, int)) {
    while (d < r->shape->rank && (!(r->over >> d & 1) || d == r->vector)) d++;
    if (d == r->shape->rank) {
        fn(r, at, acc, active);
        return;
    }
    Loop l = em_loop(r->em, 0, r->shape->dim[d], 1, 1, acc);
    over_axes(r, d + 1, step(r->em, at, l.i, r->stride[d]), acc, active, fn);
    em_loop_end(r->em, &l);
}

static void take_group(Reduce *r, Reg at, Reg *acc, int active) {
    *acc = combine(r, *acc, load(r, at, em_lanes(*acc), active));
}

/* ---- lanes are partial results ------------------------------------------------------------------------------- */

static Reg first_lanes(Emit *e, int lanes, int active) {
    int64_t *bits = NEW_ARRAY(e->arena, int64_t, lanes);
    for (int i = 0; i < active; i++) bits[i] = 1;
    return em_ints(e, e->i1, lanes, bits);
}

static void take_row(Reduce *r, Reg at, Reg *acc, int active) {
    Emit *e = r->em;
    (void)active;
    int64_t n = r->shape->dim[r->vector], stride = r->stride[r->vector], whole = n / r->lanes * r->lanes;
    if (whole) {
        Loop l = em_loop(e, 0, whole, r->lanes, 1, acc);
        *acc = combine(r, *acc, load(r, step(e, at, l.i, stride), r->lanes, r->lanes));
        em_loop_end(e, &l);
    }
    int left = (int)(n - whole);
    if (left == 0) return;
    Reg more = combine(r, *acc, load(r, em_at(e, at, whole * stride), r->lanes, left));
    *acc = em_select(e, first_lanes(e, r->lanes, left), more, *acc);
}

static Reg fold_lanes(Reduce *r, Reg v) {
    for (int n = em_lanes(v); n > 1; n /= 2)
        v = combine(r, em_slice(r->em, v, 0, n / 2), em_slice(r->em, v, n / 2, n / 2));
    return v;
}

/* ---- all of it ----------------------------------------------------------------------------------------------- */

/* The axis that lanes run along: the one of unit stride, else the longest kept one, else the longest. */
static int vector_axis(const Reduce *r) {
    int best = -1;
    for (int d = 0; d < r->shape->rank; d++)
        if (r->shape->dim[d] > 1 && r->stride[d] == elem_bytes(r->elem)) return d;
    for (int kept = 1; kept >= 0 && best < 0; kept--)
        for (int d = 0; d < r->shape->rank; d++) {
            bool fits = r->shape->dim[d] > 1 && (!kept || !(r->over >> d & 1));
            if (fits && (best < 0 || r->shape->dim[d] > r->shape->dim[best])) best = d;
        }
    return best;
}

/* The output's axis for an axis of the operand that is kept. */
static int out_axis(const Reduce *r, int axis) {
    if (r->k->out[0].shape.rank == r->shape->rank) return axis;
    int d = axis;
    for (int i = 0; i < axis; i++) d -= (int)(r->over >> i & 1);
    return d;
}

static void finish(Reduce *r, Reg acc, int active, const Index *in_idx) {
    Index idx[MAX_RANK] = {{0}};
    for (int d = 0; d < r->shape->rank; d++)
        if (!(r->over >> d & 1)) idx[out_axis(r, d)] = in_idx[d];
    int dim = r->vector >= 0 && em_lanes(acc) > 1 ? out_axis(r, r->vector) : 0;
    kernel_finish(r->k, convert(r, r->acc, r->elem, acc), active, dim, idx);
}

static void group(Reduce *r, const Index *idx, int lanes, int active) {
    Reg at = em_address(r->em, r->k->in[0].base, r->shape->rank, idx, r->stride);
    Reg acc = start(r, at, lanes, active, false);
    over_axes(r, 0, at, &acc, active, take_group);
    finish(r, acc, active, idx);
}

/* Four vectors of results at once where there are as many: a reduced index is then read in one piece of a cache line or
 * more. */
static void emit_groups(Reduce *r) {
    Lines l = lines_open(r->k, r->shape, r->over | (r->vector >= 0 ? 1u << r->vector : 0));
    int64_t n = r->vector >= 0 ? r->shape->dim[r->vector] : 1, done = 0;
    for (int lanes = 4 * r->lanes; r->vector >= 0 && lanes >= r->lanes; lanes /= 4) {
        int64_t whole = done + (n - done) / lanes * lanes;
        if (whole == done) continue;
        Loop groups = em_loop(r->em, done, whole, lanes, 0, NULL);
        l.idx[r->vector] = index_reg(groups.i);
        group(r, l.idx, lanes, lanes);
        em_loop_end(r->em, &groups);
        done = whole;
    }
    if (r->vector >= 0) l.idx[r->vector] = index_const(done);
    if (n > done) group(r, l.idx, r->lanes, (int)(n - done));
    lines_close(r->k, &l);
}

static void emit_rows(Reduce *r) {
    Lines l = lines_open(r->k, r->shape, r->over);
    Reg at = em_address(r->em, r->k->in[0].base, r->shape->rank, l.idx, r->stride);
    Reg acc = start(r, at, r->lanes, r->lanes, true);
    over_axes(r, 0, at, &acc, 0, take_row);
    finish(r, fold_lanes(r, acc), 1, l.idx);
    lines_close(r->k, &l);
}

static bool plan_reduce(KernelPlan *p) {
    const Node *n = p->node;
    Elem e = n->in[0]->type.elem;
    if (!elem_is_float(e) && elem_info[e].bits < 8) return false;
    int64_t count = shape_count(in_shape(n, 0));
    p->n_tasks = lines_tasks(p, in_shape(n, 0), reduced_axes(p->arena, n), count / target_lanes(p->target, 32) * 2);
    plan_name(p, "%s_%s", elem_info[e].name, op_def(n->op)->name);
    return true;
}

static void emit_reduce(KernelEmit *k) {
    Reduce r = {.k = k, .em = k->em, .op = k->node->op, .elem = k->in[0].elem, .count = 1};
    r.acc = acc_elem(k->target, r.op, r.elem);
    r.over = reduced_axes(k->em->arena, k->node);
    r.shape = &k->in[0].shape;
    r.stride = k->in[0].stride;
    for (int d = 0; d < r.shape->rank; d++)
        if (r.over >> d & 1) r.count *= r.shape->dim[d];
    r.vector = vector_axis(&r);
    bool rows = r.vector >= 0 && (r.over >> r.vector & 1);
    r.lanes = r.vector < 0 ? 1 : target_lanes(k->target, 32) * (rows ? 2 : 1);
    while (r.lanes > 1 && r.lanes / 2 >= r.shape->dim[r.vector]) r.lanes /= 2;
    if (rows)
        emit_rows(&r);
    else
        emit_groups(&r);
}

bool plan_reduce_sum(KernelPlan *p) { return plan_reduce(p); }
bool plan_reduce_prod(KernelPlan *p) { return plan_reduce(p); }
bool plan_reduce_max(KernelPlan *p) { return plan_reduce(p); }
bool plan_reduce_min(KernelPlan *p) { return plan_reduce(p); }
void emit_reduce_sum(KernelEmit *k) { emit_reduce(k); }
void emit_reduce_prod(KernelEmit *k) { emit_reduce(k); }
void emit_reduce_max(KernelEmit *k) { emit_reduce(k); }
void emit_reduce_min(KernelEmit *k) { emit_reduce(k); }
