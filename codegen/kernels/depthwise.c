/* Grouped convolution of few channels per group, depthwise above all, with constant weights, of floats (Conv) and of
 * integers (QConv), which are widened to 32 bits. Lanes are output
 * channels of several groups at once; the input channels that they need are one vector or a few, and a constant shuffle
 * brings each lane its own.
 *
 *     for n, d, h, blocks of channels, tiles of w:            a tile's sums stay in registers
 *         for kd, kh: for each input column of the tile: for each kw, pixel that meet there, each channel j of a group:
 *             sum[pixel][c] += x[column][c / per_group * inputs + j] * weights[c][kd][kh][kw][j]
 *
 * Weights, one vector each: [block][kd][kh][kw][j][lanes]. */
#include "codegen/kernels/layer.h"
#include "codegen/kernels/tile.h"

typedef struct Depthwise {
    Core core;
    Window w;
    int64_t images, channels;
    int inputs, per_group, lanes; /* input and output channels of one group */
    int weights, bias;
} Depthwise;

enum { MAX_INPUT_VECTORS = 4, MAX_ROW_TAPS = 12, MAX_UNROLLED_TAPS = 64 };

static bool depthwise_fits(KernelPlan *p, Depthwise *d) {
    const Node *n = p->node;
    bool whole = n->op == OP_QConv;
    d->core = whole ? CORE_I32 : CORE_F32;
    if (!n->in[1]->constant || (!whole && (n->in[0]->type.elem != QCC_F32 || !in_known(n, 2)))) return false;
    if (shape_count(&n->out[0]->type.shape) <= 0 || shape_count(&n->in[0]->type.shape) <= 0) return false;
    const Shape *k = &n->in[1]->type.shape;
    d->w = window_wide(n);
    d->images = n->in[0]->type.shape.dim[0];
    d->channels = k->dim[0];
    d->lanes = tile_lanes(p->target, d->channels);
    int64_t per_group = k->dim[0] / d->w.group, inputs = k->dim[1];
    if (d->w.group == 1 || d->lanes % per_group || inputs > MAX_INPUT_VECTORS * per_group) return false;
    d->per_group = (int)per_group;
    d->inputs = (int)inputs;
    return d->w.kernel[2] * inputs <= MAX_ROW_TAPS;
}

static PanelPack weight_pack(const Depthwise *d, const Tensor *t) {
    const int64_t *k = d->w.kernel;
    int64_t taps = k[0] * k[1] * k[2];
    return (PanelPack){.core = d->core,
                       .tensor = t,
                       .groups = 1,
                       .channels = d->channels,
                       .stride_c = d->inputs * taps,
                       .n = 4,
                       .count = {k[0], k[1], k[2], d->inputs},
                       .stride = {k[1] * k[2], k[2], 1, taps},
                       .nr = 1,
                       .lanes = d->lanes,
                       .scale = 1};
}

bool plan_conv_depthwise(KernelPlan *p) {
    Depthwise *d = NEW(p->arena, Depthwise);
    const Node *n = p->node;
    if (!depthwise_fits(p, d) || !wish_halo(p, &d->w)) return false;
    p->data = d;
    wish_channels(p);
    p->in[0].order = ORDER_CHANNELS;
    p->in[1].packed = true;
    PanelPack pack = weight_pack(d, n->in[1]->constant);
    d->weights = plan_panels(p, n->in[1], &pack);
    d->bias = -1;
    if (d->core == CORE_F32 && has_in(n, 2)) {
        p->in[2].packed = true;
        d->bias = plan_channel_pack(p, n->in[2], 1, d->channels, 1, d->lanes, 1);
    }
    p->macs = shape_count(&n->out[0]->type.shape) * d->w.kernel[0] * d->w.kernel[1] * d->w.kernel[2] * d->inputs;
    p->n_tasks = plan_tasks(p, d->images * d->w.out[0] * d->w.out[1], 2 * p->macs / d->lanes);
    p->finish_lanes = d->lanes;
    p->finish_dim = 1;
    plan_name(p, "depthwise%dx%d_%s_%d", (int)d->w.kernel[1], (int)d->w.kernel[2], elem_info[n->in[0]->type.elem].name,
              d->lanes);
    return true;
}

/* ---- one tile: pixels [x, x + n) of a row, one vector of channels ---------------------------------------------- */

typedef struct Strip {
    KernelEmit *k;
    const Depthwise *d;
    int n, active; /* pixels; channels of this vector */
    Reg x;         /* address of the window's first element of pixel 0, for this block of channels */
    Reg weights, bias;
    Reg acc[MAX_TILE];
    Index idx[MAX_RANK];
} Strip;

/* The inputs of all lanes at p: for each channel j of a group a vector. */
static void load_inputs(Strip *s, Reg p, Reg *in) {
    const Depthwise *d = s->d;
    Emit *e = s->k->em;
    int groups = d->lanes / d->per_group, window = groups * d->inputs, present = s->active / d->per_group * d->inputs;
    int lane[MAX_LANES];
    Elem elem = s->k->in[0].elem;
    Reg all = em_load_part(e, em_vec(e, em_mem_type(e, elem), window), p, elem_bytes(elem),
                           s->k->in[0].slack ? window : present);
    if (d->core == CORE_I32) all = any_as(e, elem, QCC_I32, all);
    for (int j = 0; j < d->inputs; j++) {
        for (int i = 0; i < d->lanes; i++) lane[i] = i / d->per_group * d->inputs + j;
        if (window == 1) /* one group of one input */
            in[j] = em_splat(e, all, d->lanes);
        else
            in[j] = d->inputs == 1 && d->per_group == 1 ? all : em_shuffle(e, all, NULL, d->lanes, lane);
    }
}

/* Adds what column `col` of the tile's input row gives to every pixel whose window holds it. */
static void add_column(Strip *s, Reg row, int64_t col, const Reg *weight) {
    const Window *w = &s->d->w;
    Reg in[MAX_ROW_TAPS];
    bool loaded = false;
    for (int64_t kw = 0; kw < w->kernel[2]; kw++) {
        int64_t at = col - kw * w->dilation[2], pixel = at / w->stride[2];
        if (at < 0 || at % w->stride[2] || pixel >= s->n) continue;
        if (!loaded) load_inputs(s, em_at(s->k->em, row, col * axis_stride(&s->k->in[0], 2)), in);
        loaded = true;
        for (int j = 0; j < s->d->inputs; j++)
            s->acc[pixel] = core_add(s->k->em, s->d->core, in[j], weight[kw * s->d->inputs + j], s->acc[pixel]);
    }
}

/* One row of the kernel at the addresses `row` and `weights`. */
static void add_row(Strip *s, Reg row, Reg weights) {
    const Depthwise *d = s->d;
    Emit *e = s->k->em;
    RegType vec = core_sum(e, d->core, d->lanes);
    Reg weight[MAX_ROW_TAPS];
    int taps = (int)d->w.kernel[2] * d->inputs;
    for (int t = 0; t < taps; t++) weight[t] = em_load(e, vec, em_at(e, weights, t * d->lanes * 4), d->lanes * 4);
    int64_t columns = (s->n - 1) * d->w.stride[2] + window_extent(&d->w, 2);
    for (int64_t col = 0; col < columns; col++) add_column(s, row, col, weight);
}

/* The kernel's rows (axis 1) or slices of rows (axis 0): in a loop, or written out where that is little code. */
static void add_rows(Strip *s, int axis, Reg x, Reg weights) {
    const Depthwise *d = s->d;
    Emit *e = s->k->em;
    const int64_t *k = d->w.kernel;
    int64_t taps = k[2] * d->inputs * (axis == 0 ? k[1] : 1);
    int64_t step[] = {axis_stride(&s->k->in[0], axis) * d->w.dilation[axis], taps * d->lanes * 4};
    bool unrolled = k[axis] * taps <= MAX_UNROLLED_TAPS;
    Loop l = {0};
    if (!unrolled) l = em_loop(e, 0, k[axis], 1, s->n, s->acc);
    for (int64_t i = 0; i < (unrolled ? k[axis] : 1); i++) {
        Index at = unrolled ? index_const(i) : index_reg(l.i);
        Reg px = em_address(e, x, 1, &at, &step[0]), pw = em_address(e, weights, 1, &at, &step[1]);
        if (axis == 0)
            add_rows(s, 1, px, pw);
        else
            add_row(s, px, pw);
    }
    if (!unrolled) em_loop_end(e, &l);
}

static void emit_strip(Strip *s, Reg x) {
    const Depthwise *d = s->d;
    Emit *e = s->k->em;
    RegType vec = core_sum(e, d->core, d->lanes);
    const Place *in = &s->k->in[0];
    Reg start = s->bias ? em_load(e, vec, s->bias, d->lanes * 4) : em_zero(e, vec);
    for (int i = 0; i < s->n; i++) s->acc[i] = start;
    Index at = index_reg(x);
    add_rows(s, 0, em_address(e, s->x, 1, &at, (int64_t[]){axis_stride(in, 2) * d->w.stride[2]}), s->weights);
    for (int i = 0; i < s->n; i++) {
        s->idx[in->shape.rank - 1] = (Index){x, i};
        kernel_finish(s->k, s->acc[i], s->active, 1, s->idx);
    }
}

/* ---- rows ------------------------------------------------------------------------------------------------------ */

/* Pixels of a tile: what fits beside a row of weights, in tiles as equal as possible. */
static int strip_pixels(const Target *t, const Depthwise *d) {
    int64_t room = t->n_vector_regs - d->w.kernel[2] * d->inputs - 1 - d->inputs;
    int64_t most = i64_max(1, i64_min(room, 14)), tiles = ceil_div(d->w.out[2], most);
    return (int)ceil_div(d->w.out[2], tiles);
}

static void emit_strips(Strip *s) {
    Emit *e = s->k->em;
    int64_t w = s->d->w.out[2];
    int n = strip_pixels(s->k->target, s->d);
    int64_t full = w / n * n;
    s->n = n;
    Loop l = em_loop(e, 0, full, n, 0, NULL);
    emit_strip(s, l.i);
    em_loop_end(e, &l);
    s->n = (int)(w - full);
    if (s->n) emit_strip(s, em_i64(e, full));
}

/* Blocks [from, to) of channels of one output row. */
static void emit_blocks(Strip *s, Reg x, int64_t from, int64_t to) {
    const Depthwise *d = s->d;
    Emit *e = s->k->em;
    const Place *in = &s->k->in[0];
    int64_t taps = d->w.kernel[0] * d->w.kernel[1] * d->w.kernel[2] * d->inputs;
    int64_t lanes = d->lanes, step_x = lanes / d->per_group * d->inputs * in->stride[1];
    if (from == to) return;
    Loop l = em_loop(e, from, to, 1, 0, NULL);
    Index block = index_reg(l.i);
    s->x = em_address(e, x, 1, &block, &step_x);
    s->weights = em_address(e, s->k->pack[d->weights], 1, &block, (int64_t[]){taps * lanes * 4});
    if (d->bias >= 0) s->bias = em_address(e, s->k->pack[d->bias], 1, &block, (int64_t[]){lanes * 4});
    s->idx[1] = index_reg(em_mul(e, l.i, em_i64(e, lanes)));
    emit_strips(s);
    em_loop_end(e, &l);
}

void emit_conv_depthwise(KernelEmit *k) {
    const Depthwise *d = k->plan->data;
    const Place *in = &k->in[0];
    Emit *e = k->em;
    int rank = in->shape.rank;
    Reg from, to;
    kernel_range(k, d->images * d->w.out[0] * d->w.out[1], &from, &to);
    Loop l = em_loop_reg(e, from, to, 1, 0, NULL);
    Reg row = em_urem(e, l.i, d->w.out[1]), rest = em_udiv(e, l.i, d->w.out[1]);
    Index at[] = {index_reg(em_udiv(e, rest, d->w.out[0])), index_reg(em_urem(e, rest, d->w.out[0])), index_reg(row)};
    int64_t step[] = {in->stride[0], axis_stride(in, 0) * d->w.stride[0], axis_stride(in, 1) * d->w.stride[1]};
    Reg x = em_address(e, window_origin(k, &d->w), 3, at, step);
    Strip s = {.k = k, .d = d, .active = d->lanes};
    s.idx[0] = at[0];
    for (int i = 0; i < 2; i++)
        if (axis_dim(rank, i) >= 0) s.idx[axis_dim(rank, i)] = at[1 + i];
    int64_t full = d->channels / d->lanes;
    emit_blocks(&s, x, 0, full);
    s.active = (int)(d->channels - full * d->lanes);
    emit_blocks(&s, x, full, full + (s.active > 0));
    em_loop_end(e, &l);
}
