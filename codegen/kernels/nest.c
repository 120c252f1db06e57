/* Loop nests: see nest.h.
 *
 *     for each row of the output (outer dimensions):
 *         for i in 0 .. n, a vector at a time:  out[i] = program(in0[i * s0], in1[i * s1], ...)
 *
 * The inner dimension is the one along which the output has its least stride. */
#include "codegen/kernels/nest.h"

/* ---- shape --------------------------------------------------------------------------------------------------- */

static void move_dim(Nest *n, int to, int from) {
    n->dim[to] = n->dim[from];
    n->out[to] = n->out[from];
    for (int k = 0; k < n->n_in; k++) n->in[k][to] = n->in[k][from];
}

void nest_add(Nest *n, int64_t dim, int64_t out, int64_t in0) {
    n->dim[n->rank] = dim;
    n->out[n->rank] = out;
    if (n->n_in) n->in[0][n->rank] = in0;
    n->rank++;
}

/* Dimension `from` comes to stand before dimension `to` (to < from). */
static void lift_dim(Nest *n, int to, int from) {
    Nest old = *n;
    for (int d = from; d > to; d--) move_dim(n, d, d - 1);
    n->dim[to] = old.dim[from];
    n->out[to] = old.out[from];
    for (int k = 0; k < n->n_in; k++) n->in[k][to] = old.in[k][from];
}

static bool joins(const Nest *n, int outer, int inner) {
    if (n->out[outer] != n->out[inner] * n->dim[inner]) return false;
    for (int k = 0; k < n->n_in; k++)
        if (n->in[k][outer] != n->in[k][inner] * n->dim[inner]) return false;
    return true;
}

static void sort_dims(Nest *n) {
    for (int i = 1; i < n->rank; i++) {
        int to = i;
        while (to > 0 && n->out[to - 1] < n->out[i]) to--;
        if (to < i) lift_dim(n, to, i);
    }
}

void nest_simplify(Nest *n) {
    int rank = 0, at = 0;
    for (int d = 0; d < n->rank; d++)
        if (n->dim[d] != 1) move_dim(n, rank++, d);
    n->rank = rank;
    if (rank == 0) {
        nest_add(n, 1, 0, 0);
        for (int k = 1; k < n->n_in; k++) n->in[k][0] = 0;
        return;
    }
    sort_dims(n);
    for (int d = 1; d < rank; d++) {
        if (!joins(n, at, d)) {
            move_dim(n, ++at, d);
            continue;
        }
        int64_t all = n->dim[at] * n->dim[d];
        move_dim(n, at, d);
        n->dim[at] = all;
    }
    n->rank = at + 1;
}

/* Cuts dimension 0 into `units` equal parts, which become dimension 0. */
static void split(Nest *n, int64_t units) {
    for (int d = n->rank; d > 0; d--) move_dim(n, d, d - 1);
    n->rank++;
    n->dim[0] = units;
    n->dim[1] /= units;
    n->out[0] = n->out[1] * n->dim[1];
    for (int k = 0; k < n->n_in; k++) n->in[k][0] = n->in[k][1] * n->dim[1];
}

/* A number of equal parts of a row of n elements for the tasks to share: the largest that leaves each a multiple of the
 * vector, or one. */
static int64_t row_parts(int64_t n, int64_t tasks, int lanes) {
    for (int64_t parts = i64_min(n / lanes, 8 * tasks); parts > 1; parts--)
        if (n % parts == 0 && n / parts % lanes == 0) return parts;
    return 1;
}

/* ---- one row ------------------------------------------------------------------------------------------------- */

typedef struct Row {
    Emit *em;
    const Nest *nest;
    const NestWork *work;
    Reg *in, out; /* addresses of the row's first elements */
} Row;

static Reg along(Emit *e, Reg base, Reg i, int64_t stride) {
    return stride ? em_at_reg(e, base, em_mul(e, i, em_i64(e, stride))) : base;
}

/* `active` elements from element i on, as one vector of `lanes`. */
static void emit_group(Row *r, Reg i, int lanes, int active) {
    Emit *e = r->em;
    const Nest *n = r->nest;
    const NestWork *w = r->work;
    int inner = n->rank - 1;
    Reg *v = NEW_ARRAY(e->arena, Reg, n->n_in);
    for (int k = 0; k < n->n_in; k++) {
        RegType t = em_vec(e, em_mem_type(e, w->in_elem[k]), lanes);
        Reg at = along(e, r->in[k], i, n->in[k][inner]);
        v[k] = em_from_mem(e, w->in_elem[k], em_load_strided(e, t, at, n->in[k][inner], active));
    }
    Reg result = em_to_mem(e, w->out_elem, em_expr(e, w->expr, lanes, v));
    em_store_strided(e, result, along(e, r->out, i, n->out[inner]), n->out[inner], active);
}

/* What is left of a row: one masked group, or groups of halving size. */
static void emit_tail(Row *r, Reg from, int lanes, int64_t left) {
    Emit *e = r->em;
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
    Emit *e = r->em;
    int64_t n = r->nest->dim[r->nest->rank - 1], whole = n / lanes * lanes;
    if (whole) {
        Loop l = em_loop(e, 0, whole, lanes, 0, NULL);
        emit_group(r, l.i, lanes, lanes);
        em_loop_end(e, &l);
    }
    emit_tail(r, em_i64(e, whole), lanes, n - whole);
}

/* ---- all rows ------------------------------------------------------------------------------------------------ */

int nest_lanes(const Target *t, const Expr *x) {
    int bits = 8;
    for (int i = 0; i < x->n; i++) {
        int b = elem_info[x->inst[i].elem].bits;
        if (b > bits) bits = b;
    }
    return target_lanes(t, bits > 32 ? 32 : bits);
}

/* A loop over `dim`; shared by the tasks if `share` is set. */
static Loop open_loop(KernelEmit *k, int64_t dim, bool share) {
    Reg from, to;
    if (!share || k->plan->n_tasks == 1) return em_loop(k->em, 0, dim, 1, 0, NULL);
    kernel_range(k, dim, &from, &to);
    return em_loop_reg(k->em, from, to, 1, 0, NULL);
}

void nest_emit(KernelEmit *k, Nest *n, const NestWork *w) {
    Emit *e = k->em;
    int lanes = nest_lanes(e->target, w->expr);
    bool tasks = w->tasks && k->plan->n_tasks > 1;
    if (tasks && n->rank == 1) split(n, row_parts(n->dim[0], k->plan->n_tasks, lanes));
    while (lanes > 1 && lanes / 2 >= n->dim[n->rank - 1]) lanes /= 2;
    Row r = {.em = e, .nest = n, .work = w, .in = NEW_ARRAY(e->arena, Reg, n->n_in), .out = w->out};
    for (int i = 0; i < n->n_in; i++) r.in[i] = w->in[i];
    Loop loops[NEST_RANK];
    for (int d = 0; d + 1 < n->rank; d++) {
        loops[d] = open_loop(k, n->dim[d], tasks && d == 0);
        r.out = along(e, r.out, loops[d].i, n->out[d]);
        for (int i = 0; i < n->n_in; i++) r.in[i] = along(e, r.in[i], loops[d].i, n->in[i][d]);
    }
    emit_row(&r, lanes);
    for (int d = n->rank - 2; d >= 0; d--) em_loop_end(e, &loops[d]);
}

const Expr *expr_copy(Arena *a, Elem e) {
    ExprBuilder b = {.arena = a};
    return x_finish(&b, x_in(&b, 0, e), 1);
}

const Expr *expr_convert(Arena *a, Elem from, Elem to) {
    ExprBuilder b = {.arena = a};
    return x_finish(&b, x_cast(&b, to, x_in(&b, 0, from)), 1);
}

/* ---- lines --------------------------------------------------------------------------------------------------- */

static int largest_dim(const Shape *s, unsigned skip) {
    int best = -1;
    for (int d = 0; d < s->rank; d++)
        if (!(skip >> d & 1) && (best < 0 || s->dim[d] > s->dim[best])) best = d;
    return best;
}

int64_t lines_tasks(const KernelPlan *p, const Shape *s, unsigned skip, int64_t ops) {
    int d = largest_dim(s, skip);
    return d < 0 ? 1 : plan_tasks(p, s->dim[d], ops);
}

Lines lines_open(KernelEmit *k, const Shape *s, unsigned skip) {
    Lines l = {0};
    int shared = largest_dim(s, skip);
    for (int i = 0; i <= s->rank; i++) {
        int d = i == 0 ? shared : i - 1; /* the shared one is the outermost loop */
        if (d < 0 || (i > 0 && d == shared) || (skip >> d & 1)) continue;
        l.loops[l.n] = open_loop(k, s->dim[d], d == shared);
        l.idx[d] = index_reg(l.loops[l.n++].i);
    }
    return l;
}

void lines_close(KernelEmit *k, Lines *l) {
    while (l->n > 0) em_loop_end(k->em, &l->loops[--l->n]);
}
