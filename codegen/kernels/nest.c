/* Loop nests: see nest.h.
 *
 *     for each row of the output (outer dimensions):
 *         for i in 0 .. n, a vector at a time:  out[i] = program(in0[i * s0], in1[i * s1], ...)
 *
 * The inner dimension is the one along which the output has its least stride. Operands that lie along another dimension
 * ("crossed": what a transposition reads) are read in square tiles, a vector along their own dimension at a time, and
 * transposed in registers:
 *
 *     for each tile of N by N:
 *         N vectors along dimension d of the operand -> N vectors along the inner dimension
 *         for each of N rows:  out[row, 0 .. N] = program(...)
 *
 * Where the inner dimension has 2 to 4 elements, the channels of an image, and the operands lie along the next one, a
 * vector of each channel is computed and they are woven into one:
 *
 *     for N pixels at a time:  out[N * channels] = weave(program(in[channel 0, N]), program(in[channel 1, N]), ...) */
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

/* Dimension `from` comes to stand behind those up to `to` (from <= to). */
static void sink_dim(Nest *n, int from, int to) {
    Nest old = *n;
    for (int d = from; d < to; d++) move_dim(n, d, d + 1);
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

/* A loop over `dim`; shared by the tasks if `share` is set. */
static Loop open_loop(KernelEmit *k, int64_t dim, bool share) {
    Reg from, to;
    if (!share || k->plan->n_tasks == 1) return em_loop(k->em, 0, dim, 1, 0, NULL);
    kernel_range(k, dim, &from, &to);
    return em_loop_reg(k->em, from, to, 1, 0, NULL);
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

/* ---- crossed operands ---------------------------------------------------------------------------------------- */

enum { MAX_TILE = 16, MAX_CROSSED = 2, LEAST_TILE = 4 };

/* Dimension d is the last but one of the nest. */
typedef struct Cross {
    Row *row;
    int size;       /* rows and columns of a tile */
    uint64_t which; /* bit set of crossed operands */
    Reg tile[MAX_OPERANDS];
} Cross;

static bool is_crossed(const Nest *n, const NestWork *w, int k) {
    int64_t along_inner = n->in[k][n->rank - 1];
    return along_inner != 0 && along_inner != elem_bytes(w->in_elem[k]);
}

/* The dimension that crossed operands lie along; -1 if there is none, or tiles do not pay. */
static int crossed_dim(const Nest *n, const NestWork *w) {
    int found = -1, many = 0, inner = n->rank - 1;
    if (n->out[inner] != elem_bytes(w->out_elem) || n->dim[inner] < LEAST_TILE) return -1;
    for (int k = 0; k < n->n_in; k++) {
        if (!is_crossed(n, w, k)) continue;
        int d = inner - 1;
        while (d >= 0 && n->in[k][d] != elem_bytes(w->in_elem[k])) d--;
        if (d < 0 || n->dim[d] < LEAST_TILE || (found >= 0 && d != found) || ++many > MAX_CROSSED) return -1;
        found = d;
    }
    return found;
}

static uint64_t crossed_operands(const Nest *n, const NestWork *w) {
    uint64_t set = 0;
    for (int k = 0; k < n->n_in; k++) set |= (uint64_t)is_crossed(n, w, k) << k;
    return set;
}

/* A square of vectors by recursive exchange of blocks (Eklundh, 1972). */
static void transpose(Emit *e, int n, Reg *v) {
    int low[MAX_TILE], high[MAX_TILE];
    for (int s = 1; s < n; s *= 2) {
        for (int l = 0; l < n; l++) {
            low[l] = l & s ? n + l - s : l;
            high[l] = l & s ? n + l : l + s;
        }
        for (int i = 0; i < n; i++) {
            if (i & s) continue;
            Reg a = v[i], b = v[i | s];
            v[i] = em_shuffle(e, a, b, n, low);
            v[i | s] = em_shuffle(e, a, b, n, high);
        }
    }
}

/* The tile of operand k that begins at column `i`: vectors along the inner dimension, one for each row. */
static void load_tile(const Cross *c, int k, Reg i, Reg *v) {
    Row *r = c->row;
    Emit *e = r->em;
    Elem elem = r->work->in_elem[k];
    int64_t stride = r->nest->in[k][r->nest->rank - 1];
    RegType t = em_vec(e, em_mem_type(e, elem), c->size);
    Reg base = along(e, r->in[k], i, stride);
    for (int m = 0; m < c->size; m++) v[m] = em_load(e, t, em_at(e, base, m * stride), elem_bytes(elem));
    transpose(e, c->size, v);
}

static bool only_copies(const Row *r) {
    const Expr *x = r->work->expr;
    return r->nest->n_in == 1 && x->n == 1 && x->inst[0].op == X_INPUT;
}

static void copy_tile(const Cross *c, Reg i) {
    Row *r = c->row;
    Emit *e = r->em;
    int inner = r->nest->rank - 1, bytes = elem_bytes(r->work->out_elem);
    Reg v[MAX_TILE], to = along(e, r->out, i, bytes);
    load_tile(c, 0, i, v);
    for (int j = 0; j < c->size; j++) {
        Reg x = em_to_mem(e, r->work->out_elem, em_from_mem(e, r->work->in_elem[0], v[j]));
        em_store(e, x, em_at(e, to, j * r->nest->out[inner - 1]), bytes);
    }
}

/* The crossed operands' tiles go to the stack, so that the program stands in the code once. */
static void compute_tile(const Cross *c, Reg i) {
    Row *r = c->row, line = *r;
    Emit *e = r->em;
    Nest n = *r->nest;
    int d = n.rank - 2, inner = n.rank - 1;
    Reg v[MAX_TILE];
    line.nest = &n;
    line.in = NEW_ARRAY(e->arena, Reg, n.n_in);
    for (int k = 0; k < n.n_in; k++) {
        line.in[k] = along(e, r->in[k], i, n.in[k][inner]);
        if (!(c->which >> k & 1)) continue;
        int bytes = elem_bytes(r->work->in_elem[k]);
        load_tile(c, k, i, v);
        for (int j = 0; j < c->size; j++) em_store(e, v[j], em_at(e, c->tile[k], (int64_t)j * c->size * bytes), bytes);
        line.in[k] = c->tile[k];
        n.in[k][inner] = bytes;
        n.in[k][d] = (int64_t)c->size * bytes;
    }
    line.out = along(e, r->out, i, n.out[inner]);
    Reg *first = line.in, out = line.out;
    line.in = NEW_ARRAY(e->arena, Reg, n.n_in);
    Loop rows = em_loop(e, 0, c->size, 1, 0, NULL);
    for (int k = 0; k < n.n_in; k++) line.in[k] = along(e, first[k], rows.i, n.in[k][d]);
    line.out = along(e, out, rows.i, n.out[d]);
    emit_group(&line, em_i64(e, 0), c->size, c->size);
    em_loop_end(e, &rows);
}

/* Rows 0 .. count of the nest at `r`, from column `from` on, in the plain way. */
static void plain_rows(Row *r, int64_t count, int64_t from, int lanes) {
    Emit *e = r->em;
    const Nest *n = r->nest;
    int d = n->rank - 2;
    Row line = *r;
    if (from == n->dim[n->rank - 1]) return;
    line.in = NEW_ARRAY(e->arena, Reg, n->n_in);
    Loop rows = em_loop(e, 0, count, 1, 0, NULL);
    for (int k = 0; k < n->n_in; k++) line.in[k] = along(e, r->in[k], rows.i, n->in[k][d]);
    line.out = along(e, r->out, rows.i, n->out[d]);
    if (from)
        emit_tail(&line, em_i64(e, from), lanes, n->dim[n->rank - 1] - from);
    else
        emit_row(&line, lanes);
    em_loop_end(e, &rows);
}

/* A strip of tiles and what is left of its rows. */
static void emit_strip(Cross *c) {
    Row *r = c->row;
    Emit *e = r->em;
    int64_t n = r->nest->dim[r->nest->rank - 1], whole = n / c->size * c->size;
    Loop l = em_loop(e, 0, whole, c->size, 0, NULL);
    if (only_copies(r))
        copy_tile(c, l.i);
    else
        compute_tile(c, l.i);
    em_loop_end(e, &l);
    plain_rows(r, c->size, whole, c->size);
}

/* ---- few channels ------------------------------------------------------------------------------------------------ */

enum { MOST_WOVEN = 4 };

static bool is_woven(const Nest *n, const NestWork *w) {
    int inner = n->rank - 1, d = inner - 1;
    if (d < 0 || n->dim[inner] > MOST_WOVEN || n->dim[d] < LEAST_TILE) return false;
    if (n->out[inner] != elem_bytes(w->out_elem) || n->out[d] != n->dim[inner] * n->out[inner]) return false;
    for (int k = 0; k < n->n_in; k++)
        if (n->in[k][d] != 0 && n->in[k][d] != elem_bytes(w->in_elem[k])) return false;
    return n->n_in > 0;
}

/* Lane i of the result is lane i / n of vector i % n. */
static Reg weave(Emit *e, int n, const Reg *v) {
    int lanes = em_lanes(v[0]), index[MOST_WOVEN * MAX_TILE];
    for (int i = 0; i < n * lanes; i++) index[i] = i % n * lanes + i / n;
    if (n == 2) return em_shuffle(e, v[0], v[1], n * lanes, index);
    return em_shuffle(e, em_concat(e, v[0], v[1]), em_concat(e, v[2], v[n - 1]), n * lanes, index);
}

/* `active` pixels from pixel `lanes` times i on. */
static void weave_group(const Row *r, Reg i, int lanes, int active) {
    Emit *e = r->em;
    const Nest *n = r->nest;
    const NestWork *w = r->work;
    int inner = n->rank - 1, d = inner - 1, channels = (int)n->dim[inner], bytes = elem_bytes(w->out_elem);
    Reg made[MOST_WOVEN], *v = NEW_ARRAY(e->arena, Reg, n->n_in);
    for (int c = 0; c < channels; c++) {
        for (int k = 0; k < n->n_in; k++) {
            RegType t = em_vec(e, em_mem_type(e, w->in_elem[k]), lanes);
            Reg at = em_at(e, along(e, r->in[k], i, lanes * n->in[k][d]), c * n->in[k][inner]);
            v[k] = em_from_mem(e, w->in_elem[k], em_load_strided(e, t, at, n->in[k][d], active));
        }
        made[c] = em_to_mem(e, w->out_elem, em_expr(e, w->expr, lanes, v));
    }
    em_store_part(e, weave(e, channels, made), along(e, r->out, i, lanes * n->out[d]), bytes, active * channels);
}

/* All groups of pixels, or this task's. */
static void emit_woven(KernelEmit *k, const Row *r, int lanes, bool share) {
    Emit *e = r->em;
    int64_t pixels = r->nest->dim[r->nest->rank - 2];
    lanes = lanes > MAX_TILE ? MAX_TILE : lanes;
    while (lanes > pixels) lanes /= 2;
    Loop l = open_loop(k, ceil_div(pixels, lanes), share);
    if (pixels % lanes == 0) {
        weave_group(r, l.i, lanes, lanes);
    } else {
        If full = em_if(e, em_compare(e, CMP_LT, l.i, em_i64(e, pixels / lanes)), 0, NULL);
        weave_group(r, l.i, lanes, lanes);
        em_else(e, &full);
        weave_group(r, l.i, lanes, (int)(pixels % lanes));
        em_if_end(e, &full);
    }
    em_loop_end(e, &l);
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

static int tile_size(const Row *r) {
    const Nest *n = r->nest;
    int64_t least = i64_min(n->dim[n->rank - 2], n->dim[n->rank - 1]);
    int size = nest_lanes(r->em->target, r->work->expr);
    size = size < LEAST_TILE ? LEAST_TILE : size > MAX_TILE ? MAX_TILE : size;
    while (size > least) size /= 2;
    return size;
}

/* All strips, or this task's; the last may be lower than a tile. */
static void emit_crossed(KernelEmit *k, Row *r, bool share) {
    Emit *e = r->em;
    const Nest *n = r->nest;
    int d = n->rank - 2;
    int size = tile_size(r);
    int64_t rows = n->dim[d];
    Cross c = {.size = size, .which = crossed_operands(n, r->work)};
    for (int i = 0; i < n->n_in; i++)
        if (c.which >> i & 1 && !only_copies(r))
            c.tile[i] = em_local(e, (int64_t)size * size * elem_bytes(r->work->in_elem[i]), 64);
    Row strip = *r;
    strip.in = NEW_ARRAY(e->arena, Reg, n->n_in);
    c.row = &strip;
    Loop l = open_loop(k, ceil_div(rows, size), share);
    for (int i = 0; i < n->n_in; i++) strip.in[i] = along(e, r->in[i], l.i, size * n->in[i][d]);
    strip.out = along(e, r->out, l.i, size * n->out[d]);
    if (rows % size == 0) {
        emit_strip(&c);
    } else {
        If full = em_if(e, em_compare(e, CMP_LT, l.i, em_i64(e, rows / size)), 0, NULL);
        emit_strip(&c);
        em_else(e, &full);
        plain_rows(&strip, rows % size, 0, size);
        em_if_end(e, &full);
    }
    em_loop_end(e, &l);
}

/* Opens loops over the first `depth` dimensions, the first of them shared by the tasks, and moves the row along. */
static void open_outer(KernelEmit *k, Row *r, int depth, bool tasks, Loop *loops) {
    Emit *e = k->em;
    const Nest *n = r->nest;
    for (int d = 0; d < depth; d++) {
        loops[d] = open_loop(k, n->dim[d], tasks && d == 0);
        r->out = along(e, r->out, loops[d].i, n->out[d]);
        for (int i = 0; i < n->n_in; i++) r->in[i] = along(e, r->in[i], loops[d].i, n->in[i][d]);
    }
}

void nest_emit(KernelEmit *k, Nest *n, const NestWork *w) {
    Emit *e = k->em;
    int lanes = nest_lanes(e->target, w->expr), crossed = crossed_dim(n, w);
    bool tasks = w->tasks && k->plan->n_tasks > 1;
    Row r = {.em = e, .nest = n, .work = w, .in = NEW_ARRAY(e->arena, Reg, n->n_in), .out = w->out};
    for (int i = 0; i < n->n_in; i++) r.in[i] = w->in[i];
    if (tasks && n->rank == 1) split(n, row_parts(n->dim[0], k->plan->n_tasks, lanes));
    Loop loops[NEST_RANK];
    int depth = n->rank - 1;
    if (lanes > 1 && is_woven(n, w)) {
        depth--;
        open_outer(k, &r, depth, tasks, loops);
        emit_woven(k, &r, lanes, tasks && depth == 0);
    } else if (crossed >= 0) {
        sink_dim(n, crossed, n->rank - 2);
        depth--;
        open_outer(k, &r, depth, tasks, loops);
        emit_crossed(k, &r, tasks && depth == 0);
    } else {
        while (lanes > 1 && lanes / 2 >= n->dim[n->rank - 1]) lanes /= 2;
        open_outer(k, &r, depth, tasks, loops);
        emit_row(&r, lanes);
    }
    for (int d = depth - 1; d >= 0; d--) em_loop_end(e, &loops[d]);
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
