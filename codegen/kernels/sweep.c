/* Walking register tiles over a layer: the macro-kernel.
 *
 *     for each unit of this task's share:          a unit is (outer position, block of rows, panel of channels)
 *         for each row of tiles in the block:
 *             for each tile in the row:            full tiles in a loop, the ragged one after it
 *                 accumulate; epilogue; store
 *
 * The panel is the innermost part of a unit's number, so that neighbouring units share their input rows in the
 * second-level cache, while a panel streams through once per row of tiles. */
#include "codegen/kernels/layer.h"
#include "codegen/kernels/tile.h"

/* An epilogue of more instructions than this is a loop over the tile, not written out for each of its vectors. */
enum { LONG_EPILOGUE = 12 };
/* Bytes of input that a block of rows may have, so that they stay in the second-level cache while panels pass by, and
 * the weights that stay there too. */
enum { BLOCK_BYTES = 192 << 10, RESIDENT_BYTES = 384 << 10, UNITS_WANTED = 32 };

/* ---- blocks of rows -------------------------------------------------------------------------------------------- */

static int64_t panel_count(int64_t channels, int nr, int lanes) { return ceil_div(channels, (int64_t)nr * lanes); }

/* Vectors of a group's last panel. */
static int last_vectors(int64_t channels, int nr, int lanes) {
    int rest = (int)(ceil_div(channels, lanes) % nr);
    return rest ? rest : nr;
}

static int64_t block_rows(const Target *t, const SweepShape *s) {
    int mh, mw, last_mh;
    tile_pixels(t, s->core, s->h, s->w, s->nr, &mh, &mw);
    tile_pixels(t, s->core, s->h, s->w, last_vectors(s->channels, s->nr, s->lanes), &last_mh, &mw);
    int64_t panels = s->groups * panel_count(s->channels, s->nr, s->lanes);
    int64_t rows = i64_max(BLOCK_BYTES / i64_max(s->row_bytes, 1), 1);
    if (s->weight_bytes <= RESIDENT_BYTES) rows = i64_min(rows, ceil_div(s->h * panels, UNITS_WANTED));
    return i64_min(round_up(rows, mh == last_mh ? mh : (int64_t)mh * last_mh), s->h);
}

int64_t sweep_units(const Target *t, const SweepShape *s) {
    return s->outer * s->groups * panel_count(s->channels, s->nr, s->lanes) * ceil_div(s->h, block_rows(t, s));
}

/* ---- one tile ------------------------------------------------------------------------------------------------ */

typedef struct Tile {
    Sweep *s;
    int mh, mw, nr;
    int last;            /* channels in the last vector */
    Reg a, b, bias;      /* addresses of the panel's first pixel, first weight, first channel */
    Index idx[MAX_RANK]; /* of the output: the outer dimensions and the first channel are set */
    Reg acc[MAX_TILE];
} Tile;

static int tile_size(const Tile *t) { return t->mh * t->mw * t->nr; }

static void accumulate(Tile *t, Reg y, Reg x) {
    Sweep *s = t->s;
    TileSum sum = {.core = s->shape.core,
                   .mh = t->mh,
                   .mw = t->mw,
                   .nr = t->nr,
                   .lanes = s->shape.lanes,
                   .last = s->panels ? s->shape.lanes : t->last,
                   .step_h = s->h.a,
                   .step_w = s->w.a,
                   .panels = s->panels,
                   .ahead = s->panels ? s->b_panel : 0,
                   .reduction = &s->reduction,
                   .planes = s->planes};
    Index at[] = {index_reg(y), index_reg(x)};
    tile_accumulate(s->k->em, &sum, em_address(s->k->em, t->a, 2, at, (int64_t[]){s->h.a, s->w.a}), t->b, t->acc);
}

static void start_sums(Tile *t) {
    Sweep *s = t->s;
    Emit *e = s->k->em;
    RegType vec = core_sum(e, s->shape.core, s->shape.lanes);
    for (int r = 0; r < t->nr; r++) {
        Reg start = em_zero(e, vec);
        if (t->bias) start = em_load(e, vec, em_at(e, t->bias, (int64_t)r * s->shape.lanes * 4), 4);
        for (int m = 0; m < t->mh * t->mw; m++) t->acc[m * t->nr + r] = start;
    }
}

/* ---- the end of a tile --------------------------------------------------------------------------------------- */

static void set_axis(Emit *e, Index *idx, const Axis *x, Index at) {
    if (x->dim < 0) return;
    Reg reg = at.reg && x->step != 1 ? em_mul(e, at.reg, em_i64(e, x->step)) : at.reg;
    idx[x->dim] = (Index){reg, x->from + at.plus * x->step};
}

static Reg load_addend(Tile *t, int r, const Index *idx) {
    Sweep *s = t->s;
    Emit *e = s->k->em;
    const Shape *out = &s->k->out[0].shape;
    int64_t stride[MAX_RANK];
    place_broadcast(s->addend, out, stride);
    int active = r == t->nr - 1 ? t->last : s->shape.lanes;
    Reg v = kernel_load(e, s->addend, stride, out->rank, s->shape.lanes, active, s->dim_c, idx);
    return s->addend_scale == 1 ? v : em_mul(e, v, em_float(e, em_type(v), s->addend_scale));
}

/* Finishes vector r of the pixel (y, x). */
static void finish_vector(Tile *t, Reg v, Index y, Index x, int r) {
    Sweep *s = t->s;
    Emit *e = s->k->em;
    Index idx[MAX_RANK];
    for (int d = 0; d < MAX_RANK; d++) idx[d] = t->idx[d];
    set_axis(e, idx, &s->h, y);
    set_axis(e, idx, &s->w, x);
    idx[s->dim_c] = index_plus(idx[s->dim_c], (int64_t)r * s->shape.lanes);
    if (s->scale != 1) v = em_mul(e, v, em_float(e, em_type(v), s->scale));
    if (s->addend) v = em_add(e, v, load_addend(t, r, idx));
    kernel_finish(s->k, v, r == t->nr - 1 ? t->last : s->shape.lanes, s->dim_c, idx);
}

static void finish_written_out(Tile *t, Reg y, Reg x) {
    for (int m = 0; m < t->mh * t->mw; m++)
        for (int r = 0; r < t->nr; r++)
            finish_vector(t, t->acc[m * t->nr + r], (Index){y, m / t->mw}, (Index){x, m % t->mw}, r);
}

/* Through a copy of the tile on the stack, in a loop over its pixels. */
static void finish_in_loop(Tile *t, Reg y, Reg x) {
    Sweep *s = t->s;
    Emit *e = s->k->em;
    RegType vec = core_sum(e, s->shape.core, s->shape.lanes);
    int64_t bytes = (int64_t)s->shape.lanes * 4;
    Reg copy = em_local(e, tile_size(t) * bytes, QCC_ALIGN);
    for (int i = 0; i < tile_size(t); i++) em_store(e, t->acc[i], em_at(e, copy, i * bytes), (int)bytes);
    Loop rows = em_loop(e, 0, t->mh, 1, 0, NULL), cols = em_loop(e, 0, t->mw, 1, 0, NULL);
    Index at[] = {index_reg(rows.i), index_reg(cols.i)};
    Reg from = em_address(e, copy, 2, at, (int64_t[]){t->mw * t->nr * bytes, t->nr * bytes});
    for (int r = 0; r < t->nr; r++)
        finish_vector(t, em_load(e, vec, em_at(e, from, r * bytes), (int)bytes), index_reg(em_add(e, y, rows.i)),
                      index_reg(em_add(e, x, cols.i)), r);
    em_loop_end(e, &cols);
    em_loop_end(e, &rows);
}

/* The tile whose first pixel is (y, x), of `shape`'s panel. */
static void emit_tile(const Tile *shape, int mh, int mw, Reg y, Reg x) {
    Tile t = *shape;
    t.mh = mh;
    t.mw = mw;
    start_sums(&t);
    accumulate(&t, y, x);
    const Expr *x_end = t.s->k->node->expr;
    if (x_end && x_end->n > LONG_EPILOGUE && mh * mw > 2)
        finish_in_loop(&t, y, x);
    else
        finish_written_out(&t, y, x);
}

/* ---- tiles over a block -------------------------------------------------------------------------------------- */

static void emit_row(const Tile *t, int mh, Reg y) {
    Emit *e = t->s->k->em;
    int64_t w = t->s->shape.w, full = w / t->mw * t->mw;
    if (full) {
        Loop l = em_loop(e, 0, full, t->mw, 0, NULL);
        emit_tile(t, mh, t->mw, y, l.i);
        em_loop_end(e, &l);
    }
    if (full < w) emit_tile(t, mh, (int)(w - full), y, em_i64(e, full));
}

/* Rows [from, to) of one panel of t->nr vectors. Only the last block can end with a ragged row of tiles. */
static void emit_block(Tile *t, Reg from, Reg to) {
    Sweep *s = t->s;
    Emit *e = s->k->em;
    tile_pixels(s->k->target, s->shape.core, s->shape.h, s->shape.w, t->nr, &t->mh, &t->mw);
    int64_t full = s->shape.h / t->mh * t->mh;
    if (full) {
        Loop l = em_loop_reg(e, from, em_min(e, to, em_i64(e, full)), t->mh, 0, NULL);
        emit_row(t, t->mh, l.i);
        em_loop_end(e, &l);
    }
    if (full == s->shape.h) return;
    If last = em_if(e, em_compare(e, CMP_EQ, to, em_i64(e, s->shape.h)), 0, NULL);
    emit_row(t, (int)(s->shape.h - full), em_i64(e, full));
    em_if_end(e, &last);
}

/* ---- units --------------------------------------------------------------------------------------------------- */

/* Panel `panel` of group `group`: moves the tile to it. */
static void enter_panel(Tile *t, Reg group, Reg panel) {
    Sweep *s = t->s;
    Emit *e = s->k->em;
    int64_t width = (int64_t)s->shape.nr * s->shape.lanes;
    t->a = reg_advance(e, t->a, group, s->a_group);
    t->b = reg_advance(e, reg_advance(e, t->b, group, s->b_group), panel, s->b_panel);
    if (s->bias) t->bias = reg_advance(e, s->bias, group, round_up(s->shape.channels, s->shape.lanes) * 4);
    if (s->bias) t->bias = reg_advance(e, t->bias, panel, width * 4);
    Reg channel = em_mul(e, panel, em_i64(e, width));
    if (s->shape.groups > 1) channel = em_add(e, channel, em_mul(e, group, em_i64(e, s->shape.channels)));
    t->idx[s->dim_c] = index_reg(channel);
}

/* The last panel of a group may be narrower, which is other code. */
static void emit_panel(Tile *t, Reg panel, int64_t panels, Reg from, Reg to) {
    const SweepShape *s = &t->s->shape;
    Emit *e = t->s->k->em;
    int last_nr = last_vectors(s->channels, s->nr, s->lanes);
    int last = (int)(s->channels - (ceil_div(s->channels, s->lanes) - 1) * s->lanes);
    t->nr = s->nr;
    t->last = s->lanes;
    if (last_nr == s->nr && last == s->lanes) {
        emit_block(t, from, to);
        return;
    }
    Tile end = *t;
    end.nr = last_nr;
    end.last = last;
    if (panels == 1) {
        emit_block(&end, from, to);
        return;
    }
    If f = em_if(e, em_compare(e, CMP_LT, panel, em_i64(e, panels - 1)), 0, NULL);
    emit_block(t, from, to);
    em_else(e, &f);
    emit_block(&end, from, to);
    em_if_end(e, &f);
}

static void emit_unit(Sweep *s, Reg unit) {
    Emit *e = s->k->em;
    int64_t panels = panel_count(s->shape.channels, s->shape.nr, s->shape.lanes);
    int64_t rows = block_rows(s->k->target, &s->shape), blocks = ceil_div(s->shape.h, rows);
    Tile t = {.s = s, .a = s->a, .b = s->b};
    Reg panel = reg_digit(e, &unit, panels), group = reg_digit(e, &unit, s->shape.groups);
    Reg block = reg_digit(e, &unit, blocks);
    for (int d = s->n_outer - 1; d >= 0; d--) {
        Reg i = reg_digit(e, &unit, s->outer[d].n);
        t.a = reg_advance(e, t.a, i, s->outer[d].a);
        t.b = reg_advance(e, t.b, i, s->outer[d].b);
        if (s->outer[d].dim >= 0) t.idx[s->outer[d].dim] = index_reg(i);
    }
    enter_panel(&t, group, panel);
    Reg from = em_mul(e, block, em_i64(e, rows));
    Reg to = em_min(e, em_add(e, from, em_i64(e, rows)), em_i64(e, s->shape.h));
    emit_panel(&t, panel, panels, from, to);
}

void sweep_emit(Sweep *s) {
    Reg from, to;
    s->shape.outer = 1;
    for (int d = 0; d < s->n_outer; d++) s->shape.outer *= s->outer[d].n;
    kernel_range(s->k, sweep_units(s->k->target, &s->shape), &from, &to);
    Loop l = em_loop_reg(s->k->em, from, to, 1, 0, NULL);
    emit_unit(s, l.i);
    em_loop_end(s->k->em, &l);
}
