/* Convolution 3x3 of stride 1 by Winograd's minimal filtering F(2x2, 3x3) (Lavin and Gray 2016), of floats and of codes
 * of few bits: 16 products instead of 36 per tile of 2x2 pixels and pair of channels.
 *
 *     for each block of tiles (and chunk of channels):
 *         for each tile, c:      v[16][tile][c] = B' x[4x4 pixels][c] B                         in the scratch memory
 *         for each panel of channels, for each group of the block's tiles:
 *             for each of 16:    m[16][tile][oc] = v[16][tile][:] * u[16][:][oc]                the register tile
 *             for each tile, oc: y[2x2 pixels][oc] = epilogue(A' m[4x4][oc] A + bias[oc])
 *
 * u = G w G' is prepared. The transforms are sums and differences, of floats exact up to rounding, so that the error
 * stays that of the direct sum. Of integers everything is exact: with 2 G in place of G, A' m A is four times the sum.
 * v of codes 0 .. a has values -2a .. 2a, or 0 .. 4a; an offset for each point makes them u8, for up to 6 bits, and the
 * sums start at -offset * sum(u). u must be s8, which weights of 4 bits always are.
 *
 * A block's v fits the second-level cache, m of a group and panel the first; u streams through once per block. */
#include "codegen/kernels/winograd.h"
#include "quant/range.h"

/* The widest panels of floats, by the registers there are: the wider, the fewer times v is read. */
enum { WIDE_PANEL = 4, NARROW_PANEL = 2 };
/* Bytes of v that leave the second-level cache room for the rest; tiles below which reading u for a block takes longer
 * than multiplying, and tiles that make a block worth having just to keep workers busy; channels below which
 * transforming a block once for each chunk of them costs too much; units wanted for the workers. */
enum { BLOCK_BYTES = 256 << 10, LEAST_BLOCK = 25, WORTH_BLOCK = 28, LEAST_CHUNK = 128, UNITS_WANTED = 8 };
/* Lanes below which vectors of four-byte cells, and their codes in few bits, are not whole groups. */
enum { LEAST_LANES = 4 };

static const int8_t b_matrix[IN][IN] = {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}};
static const int8_t a_matrix[OUT][IN] = {{1, 1, 1, 0}, {0, 1, -1, -1}};

/* ---- planning -------------------------------------------------------------------------------------------------- */

static bool winograd_fits(const KernelPlan *p, const Window *w) {
    const Node *n = p->node;
    if (p->level < 2 || p->target->vector_bits < 128) return false;
    if (!n->in[1]->constant || !in_known(n, 2) || n->out[0]->type.shape.rank != 4 || w->group != 1) return false;
    for (int i = 1; i < MAX_SPATIAL; i++)
        if (w->kernel[i] != TAP || w->stride[i] != 1 || w->dilation[i] != 1) return false;
    return shape_count(&n->out[0]->type.shape) > 0 && shape_count(&n->in[0]->type.shape) > 0;
}

/* The offset that makes the least v at a point, of pixels lo .. hi, 0; and the greatest v then. */
static int64_t find_offset(int point, int64_t lo, int64_t hi, uint8_t *out) {
    int64_t least = 0, most = 0;
    for (int i = 0; i < POINTS; i++) {
        int by = b_matrix[point / IN][i / IN] * b_matrix[point % IN][i % IN];
        least += by * (by > 0 ? lo : hi);
        most += by * (by > 0 ? hi : lo);
    }
    *out = (uint8_t)-least;
    return most - least;
}

/* Are all numbers on the way in 8 bits, and four times the sum in 32? */
static bool codes_fit(KernelPlan *p, Winograd *g) {
    const Node *n = p->node;
    int64_t v = 0, u;
    Range x;
    if (n->in[0]->type.elem != QCC_U8 && n->in[0]->type.elem != QCC_I8) return false;
    if (g->lanes < LEAST_LANES || !range_of(p->ranges, n->in[0], &x)) return false;
    int64_t lo = i64_min(x.lo, 0), hi = i64_max(x.hi, 0); /* zeros around the image */
    for (int i = 0; i < POINTS; i++) v = i64_max(v, find_offset(i, lo, hi, &g->offset[i]));
    if (v > UINT8_MAX || g->ins > INT32_MAX / (4 * TAPS * INT8_MAX * i64_max(1, i64_max(-lo, hi)))) return false;
    u = winograd_reach(n->in[1]->constant, g->ins * g->outs);
    g->core = core_of_bytes(p->target, v, u);
    return u <= INT8_MAX;
}

static bool types_fit(KernelPlan *p, Winograd *g) {
    const Node *n = p->node;
    g->core = n->op == OP_QConv ? CORE_DOT8 : CORE_F32;
    g->ins = n->in[1]->type.shape.dim[1];
    g->outs = n->in[1]->type.shape.dim[0];
    g->cells = ceil_div(g->ins, core_values(g->core));
    g->lanes = tile_lanes(p->target, g->outs);
    return g->core == CORE_DOT8 ? codes_fit(p, g) : n->in[0]->type.elem == QCC_F32;
}

/* Instructions of a multiply-add of vectors of cells. */
static double add_cost(const Target *t, Core core) {
    return core == CORE_F32 || t->dot8 ? 1 : core == CORE_PAIR8 ? 3 : t->arch == ARCH_X86 ? 6 : 20;
}

/* Cycles of multiply-adds, or of reading the weights where that is longer. Two multiply-adds and, from beyond the
 * second-level cache, 9.5 bytes a cycle; a tile of one vector is held up by its broadcasts. */
static double product_cycles(const Winograd *g, int64_t rows, int64_t products, double held_up) {
    double weights = (double)(products * g->cells * round_up(g->outs, g->lanes));
    double muls = (double)rows * weights / g->lanes / 2 * held_up, stream = weights * 4 / 9.5;
    return muls > stream ? muls : stream;
}

/* True if fewer products gain more than the transforms cost, which take about 40 and 60 cycles a vector. */
static bool worth(const Target *t, const Winograd *g) {
    int64_t pixels = g->images * g->w.out[1] * g->w.out[2];
    double add = add_cost(t, g->core), held_up = g->core == CORE_F32 && g->outs <= g->lanes ? 1.25 : 1;
    double cost = product_cycles(g, g->tiles, POINTS, add * held_up);
    cost += (double)(g->tiles * (ceil_div(g->ins, g->in_lanes) * 40 + ceil_div(g->outs, g->lanes) * 60));
    return cost < 0.85 * product_cycles(g, pixels, TAPS, add);
}

/* Vectors of a panel, and tiles that have an m at a time: of integers so many that it stays in the first-level cache.
 */
static void choose_tile(const Target *t, Winograd *g) {
    int64_t vectors = ceil_div(g->outs, g->lanes), most = t->n_vector_regs >= 32 ? WIDE_PANEL : NARROW_PANEL;
    g->nr = (int)ceil_div(vectors, ceil_div(vectors, most));
    g->group = g->block;
    if (g->core == CORE_F32) return;
    int rows, one;
    g->nr = tile_vectors(t, g->core, g->block, 1, g->cells, g->outs, g->lanes);
    tile_pixels(t, g->core, g->block, 1, g->nr, &rows, &one);
    g->group = rows;
}

static void divide(KernelPlan *p, Winograd *g) {
    g->row_bytes = round_up(g->ins, g->in_lanes) * (g->core == CORE_F32 ? 4 : 1);
    g->row_bytes = round_up(g->row_bytes, QCC_ALIGN) + QCC_ALIGN; /* not a power of two: see MAX_PIXELS in tile.c */
    g->blocks = ceil_div(g->tiles * POINTS * g->row_bytes, BLOCK_BYTES);
    g->blocks = i64_min(g->blocks, ceil_div(g->tiles, LEAST_BLOCK));
    g->blocks = i64_max(g->blocks, i64_min(UNITS_WANTED, g->tiles / WORTH_BLOCK));
    g->block = ceil_div(g->tiles, g->blocks);
    g->blocks = ceil_div(g->tiles, g->block);
    choose_tile(p->target, g);
    int64_t width = (int64_t)g->nr * g->lanes;
    g->panels = ceil_div(g->outs, width);
    g->chunks = i64_max(1, i64_min(ceil_div(UNITS_WANTED, g->blocks), g->outs / LEAST_CHUNK));
    g->chunk = ceil_div(g->panels, g->chunks);
    g->chunks = ceil_div(g->panels, g->chunk);
}

static int input_lanes(const KernelPlan *p, const Winograd *g) {
    if (g->core == CORE_F32) return g->lanes;
    int lanes = target_lanes(p->target, 8);
    while (lanes / 2 >= g->ins) lanes /= 2;
    return lanes;
}

bool plan_conv_winograd(KernelPlan *p) {
    const Node *n = p->node;
    Winograd *g = NEW(p->arena, Winograd);
    g->w = window_wide(n);
    if (!winograd_fits(p, &g->w) || !types_fit(p, g) || !wish_halo(p, &g->w)) return false;
    g->images = n->in[0]->type.shape.dim[0];
    g->in_lanes = input_lanes(p, g);
    g->rows = ceil_div(g->w.out[1], OUT);
    g->cols = ceil_div(g->w.out[2], OUT);
    g->tiles = g->images * g->rows * g->cols;
    if (!worth(p->target, g)) return false;
    p->data = g;
    divide(p, g);
    wish_channels(p);
    p->in[0].order = ORDER_CHANNELS;
    for (int i = 1; i < MAX_SPATIAL; i++) p->in[0].halo_hi[1 + i] += g->w.out[i] % OUT; /* tiles over the edge */
    p->in[1].packed = true;
    g->weights = winograd_plan_weights(p, g);
    g->bias = -1;
    if (has_in(n, 2)) {
        p->in[2].packed = true;
        g->bias = plan_channel_pack(p, n->in[2], 1, g->outs, 1, g->lanes, 1);
    }
    p->scratch_bytes = POINTS * (g->block * g->row_bytes + g->group * (int64_t)g->nr * g->lanes * 4);
    p->macs = g->images * g->w.out[1] * g->w.out[2] * TAPS * g->ins * g->outs;
    p->n_tasks = plan_tasks(p, g->blocks * g->chunks, g->tiles * POINTS * g->cells * g->outs / g->lanes);
    p->finish_lanes = g->lanes;
    p->finish_dim = 1;
    plan_name(p, "conv3x3_winograd2x2_%s_%dx%d", core_name(g->core), g->nr, g->lanes);
    return true;
}

/* ---- transforms ------------------------------------------------------------------------------------------------ */

/* to[i * step] = sum over j of m[i][j] * from[j * step], of small coefficients. */
static void apply(Emit *e, const int8_t *m, int n, int k, const Reg *from, int step_from, Reg *to, int step_to) {
    for (int i = 0; i < n; i++) {
        Reg sum = NULL;
        for (int pass = 1; pass >= -1; pass -= 2) /* those that are added first: a sum begins with one of them */
            for (int j = 0; j < k; j++)
                for (int times = m[i * k + j] * pass; times > 0; times--) {
                    Reg v = from[j * step_from];
                    sum = !sum ? v : pass > 0 ? em_add(e, sum, v) : em_sub(e, sum, v);
                }
        to[i * step_to] = sum;
    }
}

void winograd_transform(Emit *e, const int8_t *m, int n, int k, const Reg *from, Reg *to) {
    Reg half[POINTS];
    for (int x = 0; x < k; x++) apply(e, m, n, k, from + x, k, half + x, k);
    for (int y = 0; y < n; y++) apply(e, m, n, k, half + y * k, 1, to + y * n, 1);
}

/* ---- emitting -------------------------------------------------------------------------------------------------- */

/* A block of tiles, and one panel of channels. */
typedef struct Block {
    KernelEmit *k;
    const Winograd *g;
    Reg v, m;
    Reg first; /* number of the block's first tile */
    int nr, last;
    Reg u, bias, channel;
} Block;

typedef struct TileAt {
    Reg image, y, x; /* of its first pixel */
} TileAt;

static TileAt tile_at(const Block *b, Reg tile) {
    Emit *e = b->k->em;
    Reg col = reg_digit(e, &tile, b->g->cols), row = reg_digit(e, &tile, b->g->rows), two = em_i64(e, OUT);
    return (TileAt){tile, em_mul(e, row, two), em_mul(e, col, two)};
}

/* The `active` channels from those at x on, of the tile whose place in v is to. */
static void transform_input(Block *b, Reg x, Reg to, int active) {
    Emit *e = b->k->em;
    const Place *in = &b->k->in[0];
    int lanes = b->g->in_lanes;
    bool codes = b->g->core != CORE_F32;
    RegType vec = em_vec(e, codes ? e->i8 : e->f32, lanes);
    int size = codes ? 1 : 4;
    Reg d[POINTS], v[POINTS];
    for (int i = 0; i < POINTS; i++) {
        Reg p = em_at(e, x, i / IN * in->stride[2] + i % IN * in->stride[3]);
        d[i] = em_load_part(e, vec, p, size, in->slack ? lanes : active);
    }
    winograd_transform(e, b_matrix[0], IN, IN, d, v);
    for (int i = 0; i < POINTS; i++) {
        if (codes) v[i] = em_add(e, v[i], em_int(e, vec, (int8_t)b->g->offset[i]));
        em_store(e, v[i], em_at(e, to, i * b->g->block * b->g->row_bytes), lanes * size);
    }
}

/* Places of the block behind the last tile of all repeat it. */
static void transform_block(Block *b) {
    const Winograd *g = b->g;
    Emit *e = b->k->em;
    const Place *in = &b->k->in[0];
    int64_t full = g->ins / g->in_lanes * g->in_lanes, size = g->core == CORE_F32 ? 4 : 1;
    Loop l = em_loop(e, 0, g->block, 1, 0, NULL);
    TileAt t = tile_at(b, em_min(e, em_add(e, b->first, l.i), em_i64(e, g->tiles - 1)));
    Index at[] = {index_reg(t.image), index_reg(t.y), index_reg(t.x)};
    Reg x = em_address(e, window_origin(b->k, &g->w), 3, at, (int64_t[]){in->stride[0], in->stride[2], in->stride[3]});
    Reg to = reg_advance(e, b->v, l.i, g->row_bytes);
    if (full) {
        Loop c = em_loop(e, 0, full, g->in_lanes, 0, NULL);
        transform_input(b, reg_advance(e, x, c.i, in->stride[1]), reg_advance(e, to, c.i, size), g->in_lanes);
        em_loop_end(e, &c);
    }
    if (full < g->ins)
        transform_input(b, em_at(e, x, full * in->stride[1]), em_at(e, to, full * size), (int)(g->ins - full));
    em_loop_end(e, &l);
}

/* n rows of one of the 16 products: v, u and m point at them. */
static void multiply_rows(const Block *b, int n, Reg v, Reg u, Reg m) {
    const Winograd *g = b->g;
    Emit *e = b->k->em;
    int64_t lanes = g->lanes, width = b->nr * lanes * 4, size = (int64_t)n * b->nr;
    RegType vec = core_sum(e, g->core, g->lanes);
    Reduction r = {0};
    reduction_add(&r, g->cells, CELL_BYTES, 1);
    TileSum sum = {.core = g->core,
                   .mh = n,
                   .mw = 1,
                   .nr = b->nr,
                   .lanes = g->lanes,
                   .last = g->lanes,
                   .step_h = g->row_bytes,
                   .panels = true,
                   .ahead = winograd_point_rows(g) * width,
                   .reduction = &r};
    Reg acc[MAX_TILE];
    for (int i = 0; i < size; i++) {
        Reg start = em_at(e, u, i % b->nr * lanes * 4);
        acc[i] = g->core == CORE_F32 ? em_zero(e, vec) : em_load(e, vec, start, g->lanes * 4);
    }
    tile_accumulate(e, &sum, v, g->core == CORE_F32 ? u : em_at(e, u, width), acc);
    for (int i = 0; i < size; i++) em_store(e, acc[i], em_at(e, m, i * lanes * 4), g->lanes * 4);
}

/* The products of n tiles from number `from` of the block on. */
static void multiply(const Block *b, Reg from, int64_t n) {
    const Winograd *g = b->g;
    Emit *e = b->k->em;
    int rows, one;
    tile_pixels(b->k->target, g->core, n, 1, b->nr, &rows, &one);
    int64_t width = (int64_t)b->nr * g->lanes * 4, full = n / rows * rows;
    Loop points = em_loop(e, 0, POINTS, 1, 0, NULL);
    Reg v = reg_advance(e, reg_advance(e, b->v, points.i, g->block * g->row_bytes), from, g->row_bytes);
    Reg u = reg_advance(e, b->u, points.i, winograd_point_rows(g) * width);
    Reg m = reg_advance(e, b->m, points.i, n * width);
    Loop l = em_loop(e, 0, full, rows, 0, NULL);
    multiply_rows(b, rows, reg_advance(e, v, l.i, g->row_bytes), u, reg_advance(e, m, l.i, width));
    em_loop_end(e, &l);
    if (full < n) multiply_rows(b, (int)(n - full), em_at(e, v, full * g->row_bytes), u, em_at(e, m, full * width));
    em_loop_end(e, &points);
}

/* Stores the four pixels of a tile, as far as they are inside the image. */
static void finish_pixels(const Block *b, const Reg y[OUT * OUT], int active, const TileAt *t, Reg channel) {
    Emit *e = b->k->em;
    const int64_t *out = &b->g->w.out[1];
    Reg at[] = {t->y, t->x};
    for (int i = 0; i < OUT * OUT; i++) {
        int plus[] = {i / OUT, i % OUT};
        Reg inside = NULL;
        for (int d = 0; d < 2; d++) {
            if (!plus[d] || out[d] % OUT == 0) continue;
            Reg in = em_compare(e, CMP_LT, em_add(e, at[d], em_i64(e, 1)), em_i64(e, out[d]));
            inside = inside ? em_and(e, inside, in) : in;
        }
        If f = {0};
        if (inside) f = em_if(e, inside, 0, NULL);
        Index idx[MAX_RANK] = {index_reg(t->image), index_reg(channel), {t->y, plus[0]}, {t->x, plus[1]}};
        kernel_finish(b->k, y[i], active, 1, idx);
        if (inside) em_if_end(e, &f);
    }
}

/* The vector whose first channel is `from`, counted in the panel. m: the tile's place in the first product, `step`
 * bytes before that in the next. */
static void transform_output(const Block *b, Reg m, int64_t step, const TileAt *t, Reg from, int active) {
    const Winograd *g = b->g;
    Emit *e = b->k->em;
    RegType vec = core_sum(e, g->core, g->lanes);
    Reg p[POINTS], y[OUT * OUT], at = reg_advance(e, m, from, 4);
    for (int i = 0; i < POINTS; i++) p[i] = em_load(e, vec, em_at(e, at, i * step), g->lanes * 4);
    winograd_transform(e, a_matrix[0], OUT, IN, p, y);
    for (int i = 0; g->core != CORE_F32 && i < OUT * OUT; i++) y[i] = em_ashr(e, y[i], em_int(e, vec, 2));
    if (b->bias) {
        Reg bias = em_load(e, vec, reg_advance(e, b->bias, from, 4), g->lanes * 4);
        for (int i = 0; i < OUT * OUT; i++) y[i] = em_add(e, y[i], bias);
    }
    finish_pixels(b, y, active, t, em_add(e, b->channel, from));
}

static void finish(const Block *b, Reg from, int64_t n) {
    const Winograd *g = b->g;
    Emit *e = b->k->em;
    int64_t lanes = g->lanes, width = b->nr * lanes * 4, full = b->nr - (b->last < lanes);
    Reg first = em_add(e, b->first, from);
    Reg count = em_min(e, em_i64(e, n), em_sub(e, em_i64(e, g->tiles), first));
    Loop l = em_loop_reg(e, em_i64(e, 0), count, 1, 0, NULL);
    TileAt t = tile_at(b, em_add(e, first, l.i));
    Reg m = reg_advance(e, b->m, l.i, width);
    if (full) {
        Loop r = em_loop(e, 0, full * lanes, lanes, 0, NULL);
        transform_output(b, m, n * width, &t, r.i, (int)lanes);
        em_loop_end(e, &r);
    }
    if (full < b->nr) transform_output(b, m, n * width, &t, em_i64(e, full * lanes), b->last);
    em_loop_end(e, &l);
}

/* `panel` of nr vectors, the last with `last` channels. */
static void emit_panel(Block b, Reg panel, int nr, int last) {
    const Winograd *g = b.g;
    Emit *e = b.k->em;
    int64_t width = (int64_t)g->nr * g->lanes;
    b.nr = nr;
    b.last = last;
    b.channel = em_mul(e, panel, em_i64(e, width));
    b.u = reg_advance(e, b.k->pack[g->weights], panel, POINTS * winograd_point_rows(g) * width * 4);
    if (g->bias >= 0) b.bias = reg_advance(e, b.k->pack[g->bias], panel, width * 4);
    int64_t full = g->block / g->group * g->group;
    Loop l = em_loop(e, 0, full, g->group, 0, NULL);
    multiply(&b, l.i, g->group);
    finish(&b, l.i, g->group);
    em_loop_end(e, &l);
    if (full == g->block) return;
    multiply(&b, em_i64(e, full), g->block - full);
    finish(&b, em_i64(e, full), g->block - full);
}

static void emit_unit(KernelEmit *k, Reg unit) {
    const Winograd *g = k->plan->data;
    Emit *e = k->em;
    Reg chunk = reg_digit(e, &unit, g->chunks);
    Block b = {.k = k, .g = g, .v = k->scratch, .first = em_mul(e, unit, em_i64(e, g->block))};
    b.m = em_at(e, k->scratch, POINTS * g->block * g->row_bytes);
    transform_block(&b);
    int64_t vectors = ceil_div(g->outs, g->lanes), whole = g->outs / ((int64_t)g->nr * g->lanes);
    Reg from = em_mul(e, chunk, em_i64(e, g->chunk)), to = em_add(e, from, em_i64(e, g->chunk));
    if (whole) {
        Loop l = em_loop_reg(e, from, em_min(e, to, em_i64(e, whole)), 1, 0, NULL);
        emit_panel(b, l.i, g->nr, g->lanes);
        em_loop_end(e, &l);
    }
    if (whole == g->panels) return;
    If f = em_if(e, em_compare(e, CMP_EQ, chunk, em_i64(e, g->chunks - 1)), 0, NULL);
    emit_panel(b, em_i64(e, whole), (int)(vectors - whole * g->nr), (int)(g->outs - (vectors - 1) * g->lanes));
    em_if_end(e, &f);
}

void emit_conv_winograd(KernelEmit *k) {
    const Winograd *g = k->plan->data;
    Reg from, to;
    kernel_range(k, g->blocks * g->chunks, &from, &to);
    Loop l = em_loop_reg(k->em, from, to, 1, 0, NULL);
    emit_unit(k, l.i);
    em_loop_end(k->em, &l);
}
