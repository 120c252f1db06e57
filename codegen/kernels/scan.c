/* Kernels that walk a line from one end to the other, element by element: the place of an extreme, running sums and
 * products, the k best. */
#include "codegen/kernels/nest.h"
#include "ir/op.h"

static Reg convert(Emit *e, Elem from, Elem to, Reg v) {
    return from == to ? v : em_expr(e, expr_convert(e->arena, from, to), 1, &v);
}

static int line_axis(Arena *a, const Node *n, Pack *pack) {
    *pack = (Pack){0};
    node_pack(a, n, pack);
    return (int)pack->ints.at[0];
}

/* The operand's element k of a line, in the type it is compared or added in. */
static Reg load_at(KernelEmit *k, Reg line, int axis, Reg i, Elem as) {
    Emit *e = k->em;
    const Place *p = &k->in[0];
    Reg at = em_at_reg(e, line, em_mul(e, i, em_i64(e, p->stride[axis])));
    Reg v = em_from_mem(e, p->elem, em_load(e, em_mem_type(e, p->elem), at, elem_bytes(p->elem)));
    return convert(e, p->elem, as, v);
}

static Elem computed_in(Elem e) { return e == QCC_F16 || e == QCC_BF16 ? QCC_F32 : e; }

static bool plan_lines(KernelPlan *p, int64_t cost) {
    Pack pack;
    const Node *n = p->node;
    Elem e = n->in[0]->type.elem;
    if (!elem_is_float(e) && elem_info[e].bits < 8) return false;
    if (shape_count(in_shape(n, 0)) == 0) return false;
    int axis = line_axis(p->arena, n, &pack);
    p->n_tasks = lines_tasks(p, in_shape(n, 0), 1u << axis, shape_count(in_shape(n, 0)) * cost);
    plan_name(p, "%s_%s", elem_info[e].name, op_def(n->op)->name);
    return true;
}

/* Indices of the output for those of the operand: the line's axis may be gone. */
static void drop_axis(const Index *in, int rank, int axis, bool kept, Index *out) {
    int n = 0;
    for (int d = 0; d < rank; d++)
        if (d != axis || kept) out[n++] = d == axis ? index_const(0) : in[d];
}

/* ---- comparing ----------------------------------------------------------------------------------------------- */

static Reg less(Emit *e, Elem elem, Reg a, Reg b) {
    return elem_info[elem].kind == ELEM_U ? em_compare_unsigned(e, CMP_LT, a, b) : em_compare(e, CMP_LT, a, b);
}

/* Whether a takes the place of b as the extreme; NaN never does, and gives way to anything. */
static Reg beats(Emit *e, Elem elem, bool max, Reg a, Reg b) {
    Reg wins = max ? less(e, elem, b, a) : less(e, elem, a, b);
    if (!elem_is_float(elem)) return wins;
    return em_or(e, wins, em_and(e, em_compare(e, CMP_NE, b, b), em_compare(e, CMP_EQ, a, a)));
}

/* ---- ArgMax, ArgMin ------------------------------------------------------------------------------------------ */

static void emit_arg(KernelEmit *k, bool max) {
    Emit *e = k->em;
    Pack pack;
    const Place *in = &k->in[0];
    int axis = line_axis(e->arena, k->node, &pack), rank = in->shape.rank;
    Elem as = computed_in(in->elem);
    Lines l = lines_open(k, &in->shape, 1u << axis);
    Reg line = place_address(e, in, l.idx);
    Reg best[2] = {em_i64(e, 0), load_at(k, line, axis, em_i64(e, 0), as)};
    Loop run = em_loop(e, 1, in->shape.dim[axis], 1, 2, best);
    Reg v = load_at(k, line, axis, run.i, as), take = beats(e, as, max, v, best[1]);
    if (pack.ints.at[1]) { /* the last of equals */
        Reg ties = em_not(e, beats(e, as, max, best[1], v));
        if (elem_is_float(as)) ties = em_and(e, ties, em_compare(e, CMP_EQ, v, v));
        take = em_or(e, take, ties);
    }
    best[0] = em_select(e, take, run.i, best[0]);
    best[1] = em_select(e, take, v, best[1]);
    em_loop_end(e, &run);
    Index idx[MAX_RANK] = {{0}};
    drop_axis(l.idx, rank, axis, k->out[0].shape.rank == rank, idx);
    em_store(e, best[0], place_address(e, &k->out[0], idx), 8);
    lines_close(k, &l);
}

bool plan_arg_max(KernelPlan *p) { return plan_lines(p, 4); }
bool plan_arg_min(KernelPlan *p) { return plan_lines(p, 4); }
void emit_arg_max(KernelEmit *k) { emit_arg(k, true); }
void emit_arg_min(KernelEmit *k) { emit_arg(k, false); }

/* ---- CumSum, CumProd: floats in f64, each partial result rounded ----------------------------------------------- */

static void emit_scan(KernelEmit *k, bool multiply) {
    Emit *e = k->em;
    Pack pack;
    const Place *in = &k->in[0], *out = &k->out[0];
    int axis = line_axis(e->arena, k->node, &pack);
    bool exclusive = pack.ints.at[1] != 0, reverse = pack.ints.at[2] != 0;
    int64_t n = in->shape.dim[axis];
    Elem as = elem_is_float(in->elem) ? (e->target->f64 ? QCC_F64 : QCC_F32) : in->elem;
    RegType t = em_elem_type(e, as);
    Reg acc = elem_is_float(as) ? em_float(e, t, multiply) : em_int(e, t, multiply);
    Lines l = lines_open(k, &in->shape, 1u << axis);
    Reg line = place_address(e, in, l.idx), to = place_address(e, out, l.idx);
    Loop run = em_loop(e, 0, n, 1, 1, &acc);
    Reg i = reverse ? em_sub(e, em_i64(e, n - 1), run.i) : run.i, v = load_at(k, line, axis, i, as);
    Reg next = multiply ? em_mul(e, acc, v) : em_add(e, acc, v);
    Reg result = em_to_mem(e, out->elem, convert(e, as, out->elem, exclusive ? acc : next));
    em_store(e, result, em_at_reg(e, to, em_mul(e, i, em_i64(e, out->stride[axis]))), elem_bytes(out->elem));
    acc = next;
    em_loop_end(e, &run);
    lines_close(k, &l);
}

bool plan_cum_sum(KernelPlan *p) { return plan_lines(p, 5); }
bool plan_cum_prod(KernelPlan *p) { return plan_lines(p, 5); }
void emit_cum_sum(KernelEmit *k) { emit_scan(k, false); }
void emit_cum_prod(KernelEmit *k) { emit_scan(k, true); }

/* ---- TopK: k rounds, each finding the best of what comes after the one found before ------------------------------ */

/* -1, 0, 1 as i32; NaN is above everything. */
static Reg order_of(Emit *e, Elem elem, Reg a, Reg b) {
    Reg up = less(e, elem, b, a), down = less(e, elem, a, b);
    if (elem_is_float(elem)) {
        Reg nan_a = em_compare(e, CMP_NE, a, a), nan_b = em_compare(e, CMP_NE, b, b);
        up = em_or(e, up, em_and(e, nan_a, em_not(e, nan_b)));
        down = em_or(e, down, em_and(e, nan_b, em_not(e, nan_a)));
    }
    return em_sub(e, em_zext(e, up, e->i32), em_zext(e, down, e->i32));
}

/* Whether (a, at i) comes before (b, at j): of equals the first one does. */
static Reg before(Emit *e, Elem elem, bool largest, Reg a, Reg i, Reg b, Reg j) {
    Reg order = order_of(e, elem, a, b), zero = em_i32(e, 0);
    Reg first = em_and(e, em_compare(e, CMP_EQ, order, zero), em_compare(e, CMP_LT, i, j));
    return em_or(e, em_compare(e, largest ? CMP_GT : CMP_LT, order, zero), first);
}

/* One round: last = {place, value} of the round before, place -1 in the first. */
static void find_next(KernelEmit *k, Reg line, int axis, bool largest, Elem as, Reg last[2]) {
    Emit *e = k->em;
    Reg none = em_i64(e, -1), best[2] = {none, last[1]};
    Loop run = em_loop(e, 0, k->in[0].shape.dim[axis], 1, 2, best);
    Reg v = load_at(k, line, axis, run.i, as);
    Reg left = em_or(e, em_compare(e, CMP_EQ, last[0], none), before(e, as, largest, last[1], last[0], v, run.i));
    Reg better = em_or(e, em_compare(e, CMP_EQ, best[0], none), before(e, as, largest, v, run.i, best[1], best[0]));
    Reg take = em_and(e, left, better);
    best[0] = em_select(e, take, run.i, best[0]);
    best[1] = em_select(e, take, v, best[1]);
    em_loop_end(e, &run);
    last[0] = best[0];
    last[1] = best[1];
}

/* Rounds times length is what it costs; where that is too much the reference kernel's heap is better. */
bool plan_top_k(KernelPlan *p) {
    const Node *n = p->node;
    const Value *out = n->out[0] ? n->out[0] : n->out[1];
    Pack pack;
    int64_t rounds = out->type.shape.dim[line_axis(p->arena, n, &pack)];
    if (p->target->host && rounds > 64 && shape_count(in_shape(n, 0)) > ((int64_t)1 << 24) / rounds) return false;
    return plan_lines(p, 8 * rounds);
}

void emit_top_k(KernelEmit *k) {
    Emit *e = k->em;
    Pack pack;
    const Place *in = &k->in[0], *values = &k->out[0], *places = &k->out[1];
    const Node *n = k->node;
    bool has_places = n->n_out > 1 && n->out[1];
    int axis = line_axis(e->arena, n, &pack);
    bool largest = pack.ints.at[1] != 0;
    Elem as = computed_in(in->elem);
    Lines l = lines_open(k, &in->shape, 1u << axis);
    Reg line = place_address(e, in, l.idx);
    Reg last[2] = {em_i64(e, -1), em_zero(e, em_elem_type(e, as))};
    Loop rounds = em_loop(e, 0, (n->out[0] ? values : places)->shape.dim[axis], 1, 2, last);
    find_next(k, line, axis, largest, as, last);
    l.idx[axis] = index_reg(rounds.i);
    Reg v = em_to_mem(e, in->elem, convert(e, as, in->elem, last[1]));
    if (n->out[0]) em_store(e, v, place_address(e, values, l.idx), elem_bytes(in->elem));
    if (has_places) em_store(e, last[0], place_address(e, places, l.idx), 8);
    em_loop_end(e, &rounds);
    lines_close(k, &l);
}
