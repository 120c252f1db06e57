/* Gemm, MatMul and QMatMul of every element type: a plain loop nest. Lanes are the columns of B; halves accumulate in
 * f32, integers wrap (QMatMul's in i32).
 *
 *     for batch, m, blocks of n:
 *         sum[block] = 0; for k: sum[block] += a[batch][m][k] * b[batch][k][block]
 *         y = epilogue(alpha * sum + beta * c) */
#include "codegen/kernels/layer.h"
#include "codegen/kernels/product.h"
#include "ir/op.h"

bool plan_product_any(KernelPlan *kp) {
    const Node *n = kp->node;
    Product *p = NEW(kp->arena, Product);
    if (!product_describe(n, p)) return false;
    Elem elem = n->in[0]->type.elem;
    kp->data = p;
    p->lanes = any_lanes(kp->target, sum_elem(n), p->n);
    if (p->dim_bn >= 0) {
        kp->in[1].unit = kp->out[0].unit = true;
        kp->in[1].unit_dim = p->dim_bn;
        kp->out[0].unit_dim = p->dim_n;
    }
    p->added = n->op == OP_Gemm && has_in(n, 2) && p->beta != 0;
    int64_t rows = shape_count(&n->out[0]->type.shape) / p->n;
    kp->macs = rows * p->n * p->k;
    kp->n_tasks = plan_tasks(kp, rows, 4 * rows * p->k * ceil_div(p->n, p->lanes));
    plan_name(kp, "gemm_%s_%d", elem_info[elem].name, p->lanes);
    return true;
}

/* One row of the result. */
typedef struct Row {
    KernelEmit *k;
    const Product *p;
    Reg a, b;
    Index idx[MAX_RANK];
} Row;

/* Element-type constant: integers cut it. */
static Reg factor(Emit *e, RegType t, Elem elem, double v) {
    return elem_is_float(elem) ? em_float(e, t, v) : em_int(e, t, (int64_t)v);
}

static Reg scale(Emit *e, Elem elem, Reg v, double by) {
    return by == 1 ? v : em_mul(e, v, factor(e, em_type(v), elem, by));
}

static Reg scaled_addend(Row *r, int active, int dim, const Index *idx) {
    Emit *e = r->k->em;
    const Place *c = &r->k->in[2];
    const Shape *out = &r->k->out[0].shape;
    int64_t stride[MAX_RANK];
    place_broadcast(c, out, stride);
    Reg v = kernel_load(e, c, stride, out->rank, r->p->lanes, active, dim, idx);
    return scale(e, c->elem, half_widen(e, c->elem, v), r->p->beta);
}

/* The `active` columns from `column` on. */
static void emit_columns(Row *r, Reg column, int active) {
    KernelEmit *k = r->k;
    Emit *e = k->em;
    const Product *p = r->p;
    const Place *a = &k->in[0], *b = &k->in[1];
    Elem elem = sum_elem(k->node);
    int64_t step = place_stride(b, p->dim_bn);
    Reg from = reg_advance(e, r->b, column, step), sum = em_zero(e, any_type(e, elem, p->lanes));
    Loop l = em_loop(e, 0, p->k, 1, 1, &sum);
    Reg x = any_load(e, a, reg_advance(e, r->a, l.i, place_stride(a, p->dim_ak)), 0, 1, 1);
    Reg y = any_load(e, b, reg_advance(e, from, l.i, place_stride(b, p->dim_bk)), step, p->lanes, active);
    x = em_splat(e, any_as(e, a->elem, elem, x), p->lanes);
    sum = any_multiply_add(e, elem, x, any_as(e, b->elem, elem, y), sum);
    em_loop_end(e, &l);
    int dim = p->dim_n < 0 ? 0 : p->dim_n;
    if (p->dim_n >= 0) r->idx[dim] = index_reg(column);
    sum = scale(e, elem, sum, p->alpha);
    if (p->added) sum = em_add(e, sum, scaled_addend(r, active, dim, r->idx));
    kernel_finish(k, half_narrow(e, elem, sum), active, dim, r->idx);
}

static void emit_row(Row *r) {
    Emit *e = r->k->em;
    int64_t full = r->p->n / r->p->lanes * r->p->lanes;
    if (full) {
        Loop l = em_loop(e, 0, full, r->p->lanes, 0, NULL);
        emit_columns(r, l.i, r->p->lanes);
        em_loop_end(e, &l);
    }
    if (full < r->p->n) emit_columns(r, em_i64(e, full), (int)(r->p->n - full));
}

void emit_product_any(KernelEmit *k) {
    const Product *p = k->plan->data;
    Emit *e = k->em;
    const Place *a = &k->in[0], *b = &k->in[1];
    Reg from, to;
    kernel_range(k, shape_count(&k->out[0].shape) / p->n, &from, &to);
    Loop l = em_loop_reg(e, from, to, 1, 0, NULL);
    Reg number = l.i, m = reg_digit(e, &number, p->m);
    Row r = {.k = k, .p = p, .a = reg_advance(e, a->base, m, place_stride(a, p->dim_am)), .b = b->base};
    if (p->dim_m >= 0) r.idx[p->dim_m] = index_reg(m);
    for (int d = p->n_batch - 1; d >= 0; d--) {
        Reg i = reg_digit(e, &number, k->out[0].shape.dim[d]);
        r.idx[d] = index_reg(i);
        r.a = reg_advance(e, r.a, i, product_batch_stride(a, p, d, a->stride));
        r.b = reg_advance(e, r.b, i, product_batch_stride(b, p, d, b->stride));
    }
    emit_row(&r);
    em_loop_end(e, &l);
}
