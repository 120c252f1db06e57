/* Running sums and products along a line; and what all kernels on lines share. */
#include "codegen/kernels/line.h"

Reg line_convert(Emit *e, Elem from, Elem to, Reg v) {
    return from == to ? v : em_expr(e, expr_convert(e->arena, from, to), 1, &v);
}

int line_axis(Arena *a, const Node *n, Pack *pack) {
    *pack = (Pack){0};
    node_pack(a, n, pack);
    return (int)pack->ints.at[0];
}

/* The operand's element k of a line, in the type it is compared or added in. */
Reg line_load(KernelEmit *k, Reg line, int axis, Reg i, Elem as) {
    Emit *e = k->em;
    const Place *p = &k->in[0];
    Reg at = em_at_reg(e, line, em_mul(e, i, em_i64(e, p->stride[axis])));
    Reg v = em_from_mem(e, p->elem, em_load(e, em_mem_type(e, p->elem), at, elem_bytes(p->elem)));
    return line_convert(e, p->elem, as, v);
}

Elem line_elem(Elem e) { return e == QCC_F16 || e == QCC_BF16 ? QCC_F32 : e; }

bool plan_line(KernelPlan *p, int64_t cost) {
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

Reg line_less(Emit *e, Elem elem, Reg a, Reg b) {
    return elem_info[elem].kind == ELEM_U ? em_compare_unsigned(e, CMP_LT, a, b) : em_compare(e, CMP_LT, a, b);
}

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
    Reg i = reverse ? em_sub(e, em_i64(e, n - 1), run.i) : run.i, v = line_load(k, line, axis, i, as);
    Reg next = multiply ? em_mul(e, acc, v) : em_add(e, acc, v);
    Reg result = em_to_mem(e, out->elem, line_convert(e, as, out->elem, exclusive ? acc : next));
    em_store(e, result, em_at_reg(e, to, em_mul(e, i, em_i64(e, out->stride[axis]))), elem_bytes(out->elem));
    acc = next;
    em_loop_end(e, &run);
    lines_close(k, &l);
}

bool plan_cum_sum(KernelPlan *p) { return plan_line(p, 5); }
bool plan_cum_prod(KernelPlan *p) { return plan_line(p, 5); }
void emit_cum_sum(KernelEmit *k) { emit_scan(k, false); }
void emit_cum_prod(KernelEmit *k) { emit_scan(k, true); }
