/* Float convolution 3x3 of stride 1 by Winograd's minimal filtering F(2x2, 3x3) (Lavin and Gray 2016): 16 products
 * instead of 36 per tile of 2x2 pixels and pair of channels. The transforms are sums and differences, exact up to
 * rounding, so that the error stays that of the direct sum.
 *
 *     for each block of tiles (and chunk of channels):
 *         for each tile, c:      v[16][tile][c] = B' x[4x4 pixels][c] B                         in the scratch memory
 *         for each panel of channels:
 *             for each of 16:    m[16][tile][oc] = v[16][tile][:] * u[16][:][oc]                the register tile
 *             for each tile, oc: y[2x2 pixels][oc] = epilogue(A' m[4x4][oc] A + bias[oc])
 *
 * u = G w G' is prepared:                 [panel][16][c][channels of the panel]
 * of what the file holds, 9/16 of that: w  [panel][9][c][channels of the panel]
 *
 * A block's v fits the second-level cache, and so does m of a panel; u streams through once per block. */
#include "codegen/kernels/layer.h"
#include "codegen/kernels/tile.h"

/* Of the tile, of the input that it needs; products; weights. */
enum { OUT = 2, IN = 4, POINTS = IN * IN, TAPS = 9 };

typedef struct Winograd {
    Window w;
    int64_t images, ins, outs;
    int64_t rows, cols, tiles;     /* of an image, of all images */
    int64_t block, blocks;         /* tiles of a block */
    int64_t panels, chunk, chunks; /* panels of a chunk */
    int64_t row_bytes;             /* of a tile in v */
    int lanes, nr;
    int weights, bias; /* packs; -1: none */
} Winograd;

/* The widest panels, by the registers there are: the wider, the fewer times v is read. */
enum { WIDE_PANEL = 4, NARROW_PANEL = 2 };
/* Bytes of v that leave the second-level cache room for the rest; tiles below which reading u for a block takes longer
 * than multiplying, and tiles that make a block worth having just to keep workers busy; channels below which
 * transforming a block once for each chunk of them costs too much; units wanted for the workers. */
enum { BLOCK_BYTES = 256 << 10, LEAST_BLOCK = 25, WORTH_BLOCK = 28, LEAST_CHUNK = 128, UNITS_WANTED = 8 };

/* ---- planning -------------------------------------------------------------------------------------------------- */

static bool winograd_fits(const KernelPlan *p, const Window *w) {
    const Node *n = p->node;
    if (p->level < 2 || p->target->vector_bits < 128 || n->in[0]->type.elem != QCC_F32) return false;
    if (!n->in[1]->constant || !in_known(n, 2) || n->out[0]->type.shape.rank != 4 || w->group != 1) return false;
    for (int i = 1; i < MAX_SPATIAL; i++)
        if (w->kernel[i] != 3 || w->stride[i] != 1 || w->dilation[i] != 1) return false;
    return shape_count(&n->out[0]->type.shape) > 0 && shape_count(&n->in[0]->type.shape) > 0;
}

/* Cycles of multiply-adds, or of reading the weights where that is longer. Two multiply-adds and, from beyond the
 * second-level cache, 9.5 bytes a cycle; a tile of one vector is held up by its broadcasts. */
static double product_cycles(const Winograd *g, int64_t rows, int64_t products, double held_up) {
    double weights = (double)(products * g->ins * round_up(g->outs, g->lanes));
    double muls = (double)rows * weights / g->lanes / 2 * held_up, stream = weights * 4 / 9.5;
    return muls > stream ? muls : stream;
}

/* True if fewer products gain more than the transforms cost, which take about 40 and 60 cycles a vector. */
static bool worth(const Winograd *g) {
    int64_t pixels = g->images * g->w.out[1] * g->w.out[2];
    double cost = product_cycles(g, g->tiles, POINTS, g->outs <= g->lanes ? 1.25 : 1);
    cost += (double)(g->tiles * (ceil_div(g->ins, g->lanes) * 40 + ceil_div(g->outs, g->lanes) * 60));
    return cost < 0.85 * product_cycles(g, pixels, 9, 1);
}

static void divide(KernelPlan *p, Winograd *g) {
    g->row_bytes = round_up(g->ins, g->lanes) * 4 + QCC_ALIGN; /* not a power of two: see MAX_PIXELS in tile.c */
    g->blocks = ceil_div(g->tiles * POINTS * g->row_bytes, BLOCK_BYTES);
    g->blocks = i64_min(g->blocks, ceil_div(g->tiles, LEAST_BLOCK));
    g->blocks = i64_max(g->blocks, i64_min(UNITS_WANTED, g->tiles / WORTH_BLOCK));
    g->block = ceil_div(g->tiles, g->blocks);
    g->blocks = ceil_div(g->tiles, g->block);
    int64_t vectors = ceil_div(g->outs, g->lanes), most = p->target->n_vector_regs >= 32 ? WIDE_PANEL : NARROW_PANEL;
    g->nr = (int)ceil_div(vectors, ceil_div(vectors, most));
    int64_t width = (int64_t)g->nr * g->lanes;
    g->panels = ceil_div(g->outs, width);
    g->chunks = i64_max(1, i64_min(ceil_div(UNITS_WANTED, g->blocks), g->outs / LEAST_CHUNK));
    g->chunk = ceil_div(g->panels, g->chunks);
    g->chunks = ceil_div(g->panels, g->chunk);
}

/* ---- weights --------------------------------------------------------------------------------------------------- */

typedef struct WeightPack {
    const Tensor *tensor;
    int64_t ins, outs;
    int nr, lanes;
} WeightPack;

static const double g_matrix[IN][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};

/* What is computed of weights, in the library as in the compiler: in doubles, where these products are exact, term
 * after term, and rounded once. */
static double coefficient(int point, int tap) { return g_matrix[point / IN][tap / 3] * g_matrix[point % IN][tap % 3]; }

static float transform_weights(const float w[TAPS], int point) {
    double u = 0;
    for (int i = 0; i < TAPS; i++)
        if (coefficient(point, i) != 0) u += coefficient(point, i) * (double)w[i];
    return (float)u;
}

/* Panels of `n` numbers for each pair of channels: the taps, or the points made of them. */
static void fill_panels(const WeightPack *p, int n, float *to) {
    const float *data = p->tensor->data;
    int64_t panel = (int64_t)p->nr * p->lanes;
    for (int64_t c = 0; c < p->outs; c += panel) {
        int64_t some = i64_min(panel, p->outs - c), width = round_up(some, p->lanes);
        for (int64_t j = 0; j < some; j++)
            for (int64_t i = 0; i < p->ins; i++) {
                float w[TAPS];
                for (int k = 0; k < TAPS; k++) w[k] = data[p->tensor->splat ? 0 : ((c + j) * p->ins + i) * TAPS + k];
                for (int k = 0; k < n; k++)
                    to[(k * p->ins + i) * width + j] = n == TAPS ? w[k] : transform_weights(w, k);
            }
        to += n * p->ins * width;
    }
}

static void points_fill(void *ctx, uint8_t *dst) { fill_panels(ctx, POINTS, (float *)(void *)dst); }
static void taps_fill(void *ctx, uint8_t *dst) { fill_panels(ctx, TAPS, (float *)(void *)dst); }

/* A vector of floats at each of n places. */
static void transform_taps(Emit *e, int lanes, Reg dst, Reg src, Reg n) {
    RegType wide = em_vec(e, e->f64, lanes), narrow = em_vec(e, e->f32, lanes);
    const int64_t four[] = {4, 4};
    Loop l = em_loop_reg(e, em_i64(e, 0), n, lanes, 0, NULL);
    Reg w[TAPS];
    for (int i = 0; i < TAPS; i++) {
        Index at[] = {index_reg(l.i), index_reg(em_mul(e, n, em_i64(e, i)))};
        w[i] = em_float_resize(e, em_load(e, narrow, em_address(e, src, 2, at, four), lanes * 4), wide);
    }
    for (int k = 0; k < POINTS; k++) {
        Reg u = em_zero(e, wide);
        for (int i = 0; i < TAPS; i++) {
            double by = coefficient(k, i);
            if (by != 0) u = em_add(e, u, em_mul(e, w[i], em_float(e, wide, by)));
        }
        Index at[] = {index_reg(l.i), index_reg(em_mul(e, n, em_i64(e, k)))};
        em_store(e, em_float_resize(e, u, narrow), em_address(e, dst, 2, at, four), lanes * 4);
    }
    em_loop_end(e, &l);
}

/* `panels` of n places each, in a function of its own. */
static void emit_taps(Emit *e, int lanes, Reg dst, Reg src, int64_t panels, int64_t n) {
    RegType args[] = {e->ptr, e->ptr, e->i64, e->i64};
    Function f = em_function(e, arena_printf(e->arena, "winograd weights %d", lanes), 4, args);
    if (!f.exists) {
        Loop l = em_loop_reg(e, em_i64(e, 0), f.arg[2], 1, 0, NULL);
        Index at = index_reg(em_mul(e, l.i, f.arg[3]));
        transform_taps(e, lanes, em_address(e, f.arg[0], 1, &at, (int64_t[]){POINTS * 4}),
                       em_address(e, f.arg[1], 1, &at, (int64_t[]){TAPS * 4}), f.arg[3]);
        em_loop_end(e, &l);
        em_function_end(e, &f);
    }
    em_call(e, &f, 4, (Reg[]){dst, src, em_i64(e, panels), em_i64(e, n)});
}

static void emit_points(void *ctx, Emit *e, Reg dst, Reg src) {
    const WeightPack *p = ctx;
    int64_t panel = (int64_t)p->nr * p->lanes, whole = p->outs / panel, rest = p->outs % panel;
    if (whole) emit_taps(e, p->lanes, dst, src, whole, p->ins * panel);
    int64_t done = whole * p->ins * panel * 4;
    if (rest)
        emit_taps(e, p->lanes, em_at(e, dst, done * POINTS), em_at(e, src, done * TAPS), 1,
                  p->ins * round_up(rest, p->lanes));
}

static int plan_weights(KernelPlan *p, const Winograd *g) {
    const Value *v = p->node->in[1];
    WeightPack pack = {v->constant, g->ins, g->outs, g->nr, g->lanes};
    const char *key = arena_printf(p->arena, "winograd 2x2 %dx%d", g->nr, g->lanes);
    int64_t numbers = g->ins * round_up(g->outs, g->lanes);
    void *ctx = arena_copy(p->arena, &pack, sizeof pack);
    PackForm form = {numbers * TAPS * 4, taps_fill, emit_points, ctx};
    int i = plan_pack(p, v, key, numbers * POINTS * 4, points_fill, ctx);
    p->packs.at[i].form = arena_copy(p->arena, &form, sizeof form);
    return i;
}

bool plan_conv_winograd(KernelPlan *p) {
    const Node *n = p->node;
    Winograd *g = NEW(p->arena, Winograd);
    g->w = window_wide(n);
    if (!winograd_fits(p, &g->w) || !wish_halo(p, &g->w)) return false;
    g->images = n->in[0]->type.shape.dim[0];
    g->ins = n->in[1]->type.shape.dim[1];
    g->outs = n->in[1]->type.shape.dim[0];
    g->lanes = tile_lanes(p->target, g->outs);
    g->rows = ceil_div(g->w.out[1], OUT);
    g->cols = ceil_div(g->w.out[2], OUT);
    g->tiles = g->images * g->rows * g->cols;
    if (!worth(g)) return false;
    p->data = g;
    divide(p, g);
    wish_channels(p);
    p->in[0].order = ORDER_CHANNELS;
    for (int i = 1; i < MAX_SPATIAL; i++) p->in[0].halo_hi[1 + i] += g->w.out[i] % OUT; /* tiles over the edge */
    p->in[1].packed = true;
    g->weights = plan_weights(p, g);
    g->bias = -1;
    if (has_in(n, 2)) {
        p->in[2].packed = true;
        g->bias = plan_channel_pack(p, n->in[2], 1, g->outs, 1, g->lanes, 1);
    }
    p->scratch_bytes = POINTS * g->block * (g->row_bytes + (int64_t)g->nr * g->lanes * 4);
    p->macs = g->images * g->w.out[1] * g->w.out[2] * 9 * g->ins * g->outs;
    p->n_tasks = plan_tasks(p, g->blocks * g->chunks, g->tiles * POINTS * g->ins * g->outs / g->lanes);
    plan_name(p, "conv3x3_winograd2x2_f32_%dx%d", g->nr, g->lanes);
    return true;
}

/* ---- transforms ------------------------------------------------------------------------------------------------ */

/* to[i * step] = sum over j of m[i][j] * from[j * step], of coefficients 0, 1 and -1. */
static void apply(Emit *e, const int8_t m[][IN], int n, const Reg *from, int step_from, Reg *to, int step_to) {
    for (int i = 0; i < n; i++) {
        Reg sum = NULL;
        for (int pass = 1; pass >= -1; pass -= 2) /* those that are added first: a sum begins with one of them */
            for (int j = 0; j < IN; j++) {
                Reg v = from[j * step_from];
                if (m[i][j] == pass) sum = !sum ? v : pass > 0 ? em_add(e, sum, v) : em_sub(e, sum, v);
            }
        to[i * step_to] = sum;
    }
}

/* M x M' for a matrix M of n rows: from IN x IN to n x n. */
static void apply_both(Emit *e, const int8_t m[][IN], int n, const Reg from[POINTS], Reg *to) {
    Reg half[POINTS];
    for (int x = 0; x < IN; x++) apply(e, m, n, from + x, IN, half + x, IN);
    for (int y = 0; y < n; y++) apply(e, m, n, half + y * IN, 1, to + y * n, 1);
}

static const int8_t b_matrix[IN][IN] = {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}};
static const int8_t a_matrix[OUT][IN] = {{1, 1, 1, 0}, {0, 1, -1, -1}};

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
    int lanes = b->g->lanes;
    Reg d[POINTS], v[POINTS];
    for (int i = 0; i < POINTS; i++) {
        Reg p = em_at(e, x, i / IN * in->stride[2] + i % IN * in->stride[3]);
        d[i] = em_load_part(e, em_vec(e, e->f32, lanes), p, 4, in->slack ? lanes : active);
    }
    apply_both(e, b_matrix, IN, d, v);
    for (int i = 0; i < POINTS; i++) em_store(e, v[i], em_at(e, to, i * b->g->block * b->g->row_bytes), lanes * 4);
}

/* Places of the block behind the last tile of all repeat it. */
static void transform_block(Block *b) {
    const Winograd *g = b->g;
    Emit *e = b->k->em;
    const Place *in = &b->k->in[0];
    int64_t full = g->ins / g->lanes * g->lanes, step[] = {in->stride[1], 4};
    Loop l = em_loop(e, 0, g->block, 1, 0, NULL);
    TileAt t = tile_at(b, em_min(e, em_add(e, b->first, l.i), em_i64(e, g->tiles - 1)));
    Index at[] = {index_reg(t.image), index_reg(t.y), index_reg(t.x)};
    Reg x = em_address(e, window_origin(b->k, &g->w), 3, at, (int64_t[]){in->stride[0], in->stride[2], in->stride[3]});
    Reg to = reg_advance(e, b->v, l.i, g->row_bytes);
    if (full) {
        Loop c = em_loop(e, 0, full, g->lanes, 0, NULL);
        transform_input(b, reg_advance(e, x, c.i, step[0]), reg_advance(e, to, c.i, step[1]), g->lanes);
        em_loop_end(e, &c);
    }
    if (full < g->ins)
        transform_input(b, em_at(e, x, full * step[0]), em_at(e, to, full * step[1]), (int)(g->ins - full));
    em_loop_end(e, &l);
}

/* n rows of one of the 16 products: v, u and m point at them. */
static void multiply_rows(const Block *b, int n, Reg v, Reg u, Reg m) {
    Emit *e = b->k->em;
    int lanes = b->g->lanes, size = n * b->nr;
    Reduction r = {0};
    reduction_add(&r, b->g->ins, 4, 1);
    TileSum sum = {.mh = n,
                   .mw = 1,
                   .nr = b->nr,
                   .lanes = lanes,
                   .last = lanes,
                   .step_h = b->g->row_bytes,
                   .panels = true,
                   .ahead = b->g->ins * b->nr * lanes * 4,
                   .reduction = &r};
    Reg acc[MAX_TILE];
    for (int i = 0; i < size; i++) acc[i] = em_zero(e, em_vec(e, e->f32, lanes));
    tile_accumulate(e, &sum, v, u, acc);
    for (int i = 0; i < size; i++) em_store(e, acc[i], em_at(e, m, (int64_t)i * lanes * 4), lanes * 4);
}

static void multiply(const Block *b) {
    const Winograd *g = b->g;
    Emit *e = b->k->em;
    int rows, one;
    tile_pixels(b->k->target, CORE_F32, g->block, 1, b->nr, &rows, &one);
    int64_t width = (int64_t)b->nr * g->lanes * 4, full = g->block / rows * rows;
    Loop points = em_loop(e, 0, POINTS, 1, 0, NULL);
    Reg v = reg_advance(e, b->v, points.i, g->block * g->row_bytes);
    Reg u = reg_advance(e, b->u, points.i, g->ins * width);
    Reg m = reg_advance(e, b->m, points.i, g->block * width);
    Loop l = em_loop(e, 0, full, rows, 0, NULL);
    multiply_rows(b, rows, reg_advance(e, v, l.i, g->row_bytes), u, reg_advance(e, m, l.i, width));
    em_loop_end(e, &l);
    if (full < g->block)
        multiply_rows(b, (int)(g->block - full), em_at(e, v, full * g->row_bytes), u, em_at(e, m, full * width));
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

/* The vector whose first channel is `from`, counted in the panel. m: the tile's place in the first product. */
static void transform_output(const Block *b, Reg m, const TileAt *t, Reg from, int active) {
    const Winograd *g = b->g;
    Emit *e = b->k->em;
    RegType vec = em_vec(e, e->f32, g->lanes);
    Reg p[POINTS], y[OUT * OUT], at = reg_advance(e, m, from, 4);
    int64_t step = g->block * b->nr * g->lanes * 4;
    for (int i = 0; i < POINTS; i++) p[i] = em_load(e, vec, em_at(e, at, i * step), g->lanes * 4);
    apply_both(e, a_matrix, OUT, p, y);
    if (b->bias) {
        Reg bias = em_load(e, vec, reg_advance(e, b->bias, from, 4), g->lanes * 4);
        for (int i = 0; i < OUT * OUT; i++) y[i] = em_add(e, y[i], bias);
    }
    finish_pixels(b, y, active, t, em_add(e, b->channel, from));
}

static void finish_panel(const Block *b) {
    const Winograd *g = b->g;
    Emit *e = b->k->em;
    int64_t lanes = g->lanes, full = b->nr - (b->last < lanes);
    Reg count = em_min(e, em_i64(e, g->block), em_sub(e, em_i64(e, g->tiles), b->first));
    Loop l = em_loop_reg(e, em_i64(e, 0), count, 1, 0, NULL);
    TileAt t = tile_at(b, em_add(e, b->first, l.i));
    Reg m = reg_advance(e, b->m, l.i, b->nr * lanes * 4);
    if (full) {
        Loop r = em_loop(e, 0, full * lanes, lanes, 0, NULL);
        transform_output(b, m, &t, r.i, (int)lanes);
        em_loop_end(e, &r);
    }
    if (full < b->nr) transform_output(b, m, &t, em_i64(e, full * lanes), b->last);
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
    b.u = reg_advance(e, b.k->pack[g->weights], panel, POINTS * g->ins * width * 4);
    if (g->bias >= 0) b.bias = reg_advance(e, b.k->pack[g->bias], panel, width * 4);
    multiply(&b);
    finish_panel(&b);
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
