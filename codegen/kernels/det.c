/* Determinants by Gaussian elimination with partial pivoting, in f64 where the target has it.
 *
 *     for each matrix:
 *         m = a copy;  det = 1
 *         for k in 0 .. n:
 *             exchange rows k and the one with the largest |m[i][k]|, i >= k: each exchange negates det
 *             det *= m[k][k];  stop at 0
 *             for i in k+1 .. n: row i -= m[i][k] / m[k][k] * row k */
#include "codegen/kernels/nest.h"
#include "codegen/scalar.h"
#include "ir/op.h"

typedef struct Det {
    KernelEmit *k;
    Emit *em;
    Elem wide;
    int64_t n, cell; /* rows; bytes of an element of m */
} Det;

static Reg cell_at(const Det *d, Reg row, Reg column) {
    Reg place = em_add(d->em, em_mul(d->em, row, em_i64(d->em, d->n)), column);
    return em_at_reg(d->em, d->k->scratch, em_mul(d->em, place, em_i64(d->em, d->cell)));
}

static Reg load_cell(const Det *d, Reg row, Reg column) {
    return em_load(d->em, em_elem_type(d->em, d->wide), cell_at(d, row, column), (int)d->cell);
}

static void store_cell(const Det *d, Reg v, Reg row, Reg column) {
    em_store(d->em, v, cell_at(d, row, column), (int)d->cell);
}

static Reg magnitude(const Det *d, Reg v) { return em_intrinsic(d->em, "llvm.fabs", 1, &v); }

static void copy_matrix(const Det *d, const Index *idx) {
    Emit *e = d->em;
    const Place *in = &d->k->in[0];
    int rank = in->shape.rank;
    Index at[MAX_RANK];
    for (int i = 0; i < rank - 2; i++) at[i] = idx[i];
    Loop rows = em_loop(e, 0, d->n, 1, 0, NULL), columns = em_loop(e, 0, d->n, 1, 0, NULL);
    at[rank - 2] = index_reg(rows.i);
    at[rank - 1] = index_reg(columns.i);
    Reg v =
        em_from_mem(e, in->elem, em_load(e, em_mem_type(e, in->elem), place_address(e, in, at), elem_bytes(in->elem)));
    if (in->elem != d->wide) v = em_expr(e, expr_convert(e->arena, in->elem, d->wide), 1, &v);
    store_cell(d, v, rows.i, columns.i);
    em_loop_end(e, &columns);
    em_loop_end(e, &rows);
}

/* The row from k on whose element in column k is the largest: the first of equals. */
static Reg find_pivot(const Det *d, Reg k) {
    Emit *e = d->em;
    Reg best[2] = {k, magnitude(d, load_cell(d, k, k))};
    Loop l = em_loop_reg(e, em_add(e, k, em_i64(e, 1)), em_i64(e, d->n), 1, 2, best);
    Reg v = magnitude(d, load_cell(d, l.i, k)), more = em_compare(e, CMP_GT, v, best[1]);
    best[0] = em_select(e, more, l.i, best[0]);
    best[1] = em_select(e, more, v, best[1]);
    em_loop_end(e, &l);
    return best[0];
}

static void exchange(const Det *d, Reg p, Reg q) {
    Loop l = em_loop(d->em, 0, d->n, 1, 0, NULL);
    Reg v = load_cell(d, p, l.i);
    store_cell(d, load_cell(d, q, l.i), p, l.i);
    store_cell(d, v, q, l.i);
    em_loop_end(d->em, &l);
}

static void eliminate(const Det *d, Reg k, Reg pivot) {
    Emit *e = d->em;
    Reg end = em_i64(e, d->n);
    Loop rows = em_loop_reg(e, em_add(e, k, em_i64(e, 1)), end, 1, 0, NULL);
    Reg f = em_div(e, load_cell(d, rows.i, k), pivot);
    Loop columns = em_loop_reg(e, k, end, 1, 0, NULL);
    Reg v = em_sub(e, load_cell(d, rows.i, columns.i), em_mul(e, f, load_cell(d, k, columns.i)));
    store_cell(d, v, rows.i, columns.i);
    em_loop_end(e, &columns);
    em_loop_end(e, &rows);
}

/* A pivot of 0 ends it: from there on `left` is 0. */
static Reg determinant(const Det *d) {
    Emit *e = d->em;
    RegType t = em_elem_type(e, d->wide);
    Reg carry[2] = {em_float(e, t, 1), em_int(e, e->i1, 1)}; /* det, left */
    Loop l = em_loop(e, 0, d->n, 1, 2, carry);
    If go = em_if(e, carry[1], 2, carry);
    Reg row = find_pivot(d, l.i);
    carry[0] = em_select(e, em_compare(e, CMP_NE, row, l.i), em_neg(e, carry[0]), carry[0]);
    exchange(d, l.i, row);
    Reg pivot = load_cell(d, l.i, l.i);
    carry[0] = em_mul(e, carry[0], pivot);
    carry[1] = em_compare(e, CMP_NE, pivot, em_zero(e, t));
    If more = em_if(e, carry[1], 0, NULL);
    eliminate(d, l.i, pivot);
    em_if_end(e, &more);
    em_if_end(e, &go);
    em_loop_end(e, &l);
    return carry[0];
}

bool plan_det(KernelPlan *p) {
    const Node *n = p->node;
    const Shape *x = in_shape(n, 0);
    Elem elem = n->in[0]->type.elem;
    int64_t rows = x->dim[x->rank - 1], count = shape_count(&n->out[0]->type.shape);
    if (!p->target->f64 && elem == QCC_F64) return false;
    p->scratch_bytes = rows * rows * 8;
    p->n_tasks = lines_tasks(p, &n->out[0]->type.shape, 0, count * rows * rows * rows);
    plan_name(p, "%s_det", elem_info[elem].name);
    return true;
}

void emit_det(KernelEmit *k) {
    Emit *e = k->em;
    const Place *in = &k->in[0], *out = &k->out[0];
    Det d = {.k = k, .em = e, .wide = e->target->f64 ? QCC_F64 : QCC_F32, .n = in->shape.dim[in->shape.rank - 1]};
    d.cell = elem_bytes(d.wide);
    Lines l = lines_open(k, &out->shape, 0);
    copy_matrix(&d, l.idx);
    Reg v = determinant(&d);
    if (out->elem != d.wide) v = em_expr(e, expr_convert(e->arena, d.wide, out->elem), 1, &v);
    em_store(e, em_to_mem(e, out->elem, v), place_address(e, out, l.idx), elem_bytes(out->elem));
    lines_close(k, &l);
}
