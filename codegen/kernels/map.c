/* Element-wise nodes: any number of operands with broadcasting, any strides.
 *
 *     for each row of the output (outer dimensions):
 *         for i in 0 .. n, a vector at a time:  out[i] = program(in0[i * s0], in1[i * s1], ...)
 *
 * The inner dimension is the one along which the output has unit stride; a dense tensor is one row. */
#include "codegen/kernels/nest.h"

static Nest nest_of(const KernelEmit *k) {
    const Place *out = &k->out[0];
    Nest n = {.rank = out->shape.rank, .n_in = k->node->n_in};
    for (int d = 0; d < n.rank; d++) {
        n.dim[d] = out->shape.dim[d];
        n.out[d] = out->stride[d];
    }
    for (int i = 0; i < n.n_in; i++) place_broadcast(&k->in[i], &out->shape, n.in[i]);
    nest_simplify(&n);
    return n;
}

/* Lanes by the widest type of the program, counting at most 32 bits of it: wider ones take several registers. */
static int lanes_for(const Target *t, const Expr *x) {
    int bits = 8;
    for (int i = 0; i < x->n; i++) {
        int b = elem_info[x->inst[i].elem].bits;
        if (b > bits) bits = b;
    }
    return target_lanes(t, bits > 32 ? 32 : bits);
}

/* ---- one row ------------------------------------------------------------------------------------------------- */

typedef struct Row {
    KernelEmit *k;
    const Nest *nest;
    Reg *in, out; /* addresses of the row's first elements */
} Row;

static Reg along(Emit *e, Reg base, Reg i, int64_t stride) {
    return stride ? em_at_reg(e, base, em_mul(e, i, em_i64(e, stride))) : base;
}

/* `active` elements from element i on, as one vector of `lanes`. */
static void emit_group(Row *r, Reg i, int lanes, int active) {
    Emit *e = r->k->em;
    const Nest *n = r->nest;
    int inner = n->rank - 1;
    Reg *v = NEW_ARRAY(e->arena, Reg, n->n_in);
    for (int k = 0; k < n->n_in; k++) {
        const Place *p = &r->k->in[k];
        RegType t = em_vec(e, em_mem_type(e, p->elem), lanes);
        Reg at = along(e, r->in[k], i, n->in[k][inner]);
        v[k] = em_from_mem(e, p->elem, em_load_strided(e, t, at, n->in[k][inner], active));
    }
    const Place *out = &r->k->out[0];
    Reg result = em_to_mem(e, out->elem, em_expr(e, r->k->node->expr, lanes, v));
    em_store_strided(e, result, along(e, r->out, i, n->out[inner]), n->out[inner], active);
}

/* What is left of a row: one masked group, or groups of halving size. */
static void emit_tail(Row *r, Reg from, int lanes, int64_t left) {
    Emit *e = r->k->em;
    if (left == 0) return;
    if (e->target->masks) {
        emit_group(r, from, lanes, (int)left);
        return;
    }
    for (int size = lanes / 2; size; size /= 2) {
        if (left < size) continue;
        emit_group(r, from, size, size);
        from = em_add(e, from, em_i64(e, size));
        left -= size;
    }
}

static void emit_row(Row *r, int lanes) {
    Emit *e = r->k->em;
    int64_t n = r->nest->dim[r->nest->rank - 1], whole = n / lanes * lanes;
    if (whole) {
        Loop l = em_loop(e, 0, whole, lanes, 0, NULL);
        emit_group(r, l.i, lanes, lanes);
        em_loop_end(e, &l);
    }
    emit_tail(r, em_i64(e, whole), lanes, n - whole);
}

/* ---- all of it ----------------------------------------------------------------------------------------------- */

bool plan_map(KernelPlan *p) {
    const Node *n = p->node;
    if (n->n_in > MAX_OPERANDS) return false;
    int64_t count = shape_count(&n->out[0]->type.shape);
    int lanes = lanes_for(p->target, n->expr);
    p->in_place = true;
    p->n_tasks = plan_tasks(p, ceil_div(count, 4096), count / lanes * (n->expr->n + n->n_in + 1));
    plan_name(p, n->expr->n == 1 ? "%s_copy" : "%s_map", elem_info[n->out[0]->type.elem].name);
    return true;
}

/* A number of equal parts of a row of n elements for the tasks to share: the largest that leaves each a multiple of the
 * vector, or one. */
static int64_t row_parts(int64_t n, int64_t tasks, int lanes) {
    for (int64_t parts = i64_min(n / lanes, 8 * tasks); parts > 1; parts--)
        if (n % parts == 0 && n / parts % lanes == 0) return parts;
    return 1;
}

static Loop open_loop(KernelEmit *k, const Nest *n, int d) {
    Reg from, to;
    if (d > 0 || k->plan->n_tasks == 1) return em_loop(k->em, 0, n->dim[d], 1, 0, NULL);
    kernel_range(k, n->dim[0], &from, &to);
    return em_loop_reg(k->em, from, to, 1, 0, NULL);
}

void emit_map(KernelEmit *k) {
    Emit *e = k->em;
    Nest n = nest_of(k);
    int lanes = lanes_for(k->target, k->node->expr);
    if (k->plan->n_tasks > 1 && n.rank == 1) nest_split(&n, row_parts(n.dim[0], k->plan->n_tasks, lanes));
    while (lanes > 1 && lanes / 2 >= n.dim[n.rank - 1]) lanes /= 2;
    Row r = {.k = k, .nest = &n, .in = NEW_ARRAY(e->arena, Reg, n.n_in), .out = k->out[0].base};
    for (int i = 0; i < n.n_in; i++) r.in[i] = k->in[i].base;
    Loop loops[MAX_RANK + 1];
    for (int d = 0; d + 1 < n.rank; d++) {
        loops[d] = open_loop(k, &n, d);
        r.out = along(e, r.out, loops[d].i, n.out[d]);
        for (int i = 0; i < n.n_in; i++) r.in[i] = along(e, r.in[i], loops[d].i, n.in[i][d]);
    }
    emit_row(&r, lanes);
    for (int d = n.rank - 2; d >= 0; d--) em_loop_end(e, &loops[d]);
}
