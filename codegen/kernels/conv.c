/* Dense convolution of one to three spatial axes with constant weights, of floats (Conv), of integers (QConv) and of
 * bit-planes (QXorConv, whose channels are words), as an implicit matrix product: no im2col, the register tile reads
 * the image where it lies, in a halo of zeros instead of bounds checks.
 *
 *     for n, d, h, w, oc:
 *         sum = bias[oc]
 *         for kd, kh, kw, c: sum += x[n][d*sd + kd*dd][h*sh + kh*dh][w*sw + kw*dw][c] * weights[kd][kh][kw][c][oc]
 *         y[n][d][h][w][oc] = epilogue(sum)
 *
 * Lanes are output channels. Of a channels-last image kw and c are one run of memory, so the innermost loop is long;
 * images of few channels (a network's input) are read in any order. */
#include "codegen/kernels/layer.h"
#include "codegen/kernels/tile.h"

typedef struct Conv {
    Core core;
    int x_planes, w_planes; /* 1 but for QXorConv */
    Window w;
    int64_t images, in_channels, channels; /* in_channels: of one plane; both of one group */
    int lanes, nr;
    int weights, bias; /* packs; -1: none */
} Conv;

/* Fewer input channels than this are not worth bringing to channels-last order. */
enum { FEW_CHANNELS = 4, WORD_BITS = 32 };

static bool choose_core(const KernelPlan *p, Conv *c) {
    const Node *n = p->node;
    c->x_planes = c->w_planes = 1;
    switch (n->op) {
    case OP_QConv:
        return core_choose(p, &c->core);
    case OP_QXorConv:
        c->core = CORE_XOR;
        c->x_planes = (int)node_int(n, "x_planes");
        c->w_planes = (int)node_int(n, "w_planes");
        return true;
    default:
        c->core = CORE_F32;
        return n->in[0]->type.elem == QCC_F32 && in_known(n, 2);
    }
}

static bool conv_fits(const Node *n) {
    if (!n->in[1]->constant || n->out[0]->type.shape.rank < 3 || shape_count(&n->out[0]->type.shape) <= 0) return false;
    return shape_count(&n->in[0]->type.shape) > 0;
}

static int64_t cells_of(const Conv *c) { return ceil_div(c->in_channels, core_values(c->core)); }
static int64_t kernel_of(const Conv *c) { return c->w.kernel[0] * c->w.kernel[1] * c->w.kernel[2]; }
static int64_t rounds_of(const Conv *c) { return c->w_planes * kernel_of(c) * cells_of(c); } /* of B */

static PanelPack weight_pack(const Conv *c, const Tensor *t) {
    const int64_t *k = c->w.kernel;
    int64_t taps = kernel_of(c);
    return (PanelPack){.core = c->core,
                       .tensor = t,
                       .groups = c->w.group,
                       .channels = c->channels,
                       .stride_g = c->channels * c->w_planes * c->in_channels * taps,
                       .stride_c = c->w_planes * c->in_channels * taps,
                       .n = 5,
                       .count = {c->w_planes, k[0], k[1], k[2], c->in_channels},
                       .stride = {c->in_channels * taps, k[1] * k[2], k[2], 1, taps},
                       .nr = c->nr,
                       .lanes = c->lanes,
                       .scale = 1};
}

static SweepShape conv_shape(const Conv *c) {
    const Window *w = &c->w;
    return (SweepShape){.core = c->core,
                        .outer = c->images * w->out[0],
                        .h = w->out[1],
                        .w = w->out[2],
                        .groups = w->group,
                        .channels = c->channels,
                        .nr = c->nr,
                        .lanes = c->lanes,
                        .row_bytes = w->in[2] * w->stride[1] * cells_of(c) * CELL_BYTES,
                        .weight_bytes = rounds_of(c) * c->channels * w->group * CELL_BYTES};
}

bool plan_conv_dense(KernelPlan *p) {
    const Node *n = p->node;
    Conv *c = NEW(p->arena, Conv);
    if (!conv_fits(n) || !choose_core(p, c)) return false;
    p->data = c;
    c->w = window_wide(n);
    c->images = n->in[0]->type.shape.dim[0];
    c->in_channels = n->in[1]->type.shape.dim[1] / c->w_planes;
    c->channels = n->in[1]->type.shape.dim[0] / c->w.group;
    c->lanes = tile_lanes(p->target, c->channels);
    c->nr = tile_vectors(p->target, c->core, c->w.out[1], c->w.out[2], rounds_of(c), c->channels, c->lanes);
    if (!wish_halo(p, &c->w)) return false;
    wish_channels(p);
    p->in[0].slack = c->in_channels % core_values(c->core) != 0;
    if (c->core != CORE_F32 || n->in[0]->type.shape.dim[1] >= FEW_CHANNELS) p->in[0].order = ORDER_CHANNELS;
    p->in[1].packed = true;
    PanelPack pack = weight_pack(c, n->in[1]->constant);
    c->weights = plan_panels(p, n->in[1], &pack);
    c->bias = plan_start(p, n->in[1], &pack);
    if (c->core == CORE_F32 && has_in(n, 2)) {
        p->in[2].packed = true;
        c->bias = plan_channel_pack(p, n->in[2], c->w.group, c->channels, 1, c->lanes, 1);
    }
    SweepShape s = conv_shape(c);
    int64_t results = s.outer * s.h * s.w * s.groups * s.channels;
    p->macs = results * kernel_of(c) * c->in_channels * (c->core == CORE_XOR ? WORD_BITS : 1);
    p->n_tasks = plan_tasks(p, sweep_units(p->target, &s), results * rounds_of(c) * c->x_planes / c->lanes);
    const char *core = core_name(c->core);
    if (c->core == CORE_XOR) core = arena_printf(p->arena, "w%da%d", c->w_planes, c->x_planes);
    if (c->w.group == 1 || c->channels % c->lanes == 0) p->finish_lanes = c->lanes;
    p->finish_dim = 1;
    plan_name(p, "conv%dx%d_%s_%dx%d", (int)c->w.kernel[1], (int)c->w.kernel[2], core, c->nr, c->lanes);
    return true;
}

static Reduction conv_reduction(const Conv *c, const Place *x) {
    Reduction r = {0};
    const int64_t *k = c->w.kernel, cells = cells_of(c);
    int64_t rows[MAX_SPATIAL] = {k[1] * k[2] * cells, k[2] * cells, cells};
    for (int i = 0; i < MAX_SPATIAL; i++) reduction_add(&r, k[i], axis_stride(x, i) * c->w.dilation[i], rows[i]);
    reduction_add(&r, cells, core_values(c->core) * x->stride[1], 1);
    return r;
}

static Planes conv_planes(const Conv *c, const Place *x) {
    if (c->core != CORE_XOR) return (Planes){0};
    return (Planes){c->x_planes, c->w_planes, c->in_channels * x->stride[1], kernel_of(c) * cells_of(c)};
}

static Axis conv_axis(const Conv *c, const Place *x, int i) {
    return (Axis){.a = axis_stride(x, i) * c->w.stride[i], .dim = axis_dim(x->shape.rank, i), .step = 1};
}

/* An image of one row, or whose rows follow each other without a gap, in and out, is one long column of pixels. */
static void fold_rows(Sweep *s) {
    bool gapless = s->h.dim >= 0 && s->h.a == s->shape.w * s->w.a && output_folds(s->k, s->h.dim, s->w.dim);
    if (s->shape.h > 1 && !gapless) return;
    s->shape.h *= s->shape.w;
    s->shape.row_bytes /= s->shape.w;
    s->shape.w = 1;
    s->h = s->w;
    s->w.dim = -1;
}

void emit_conv_dense(KernelEmit *k) {
    const Conv *c = k->plan->data;
    const Place *x = &k->in[0];
    int64_t rounds = rounds_of(c), panel = (int64_t)c->nr * c->lanes;
    Sweep s = {.k = k,
               .shape = conv_shape(c),
               .a = window_origin(k, &c->w),
               .b = k->pack[c->weights],
               .bias = c->bias < 0 ? NULL : k->pack[c->bias],
               .n_outer = 2,
               .outer = {{c->images, x->stride[0], 0, 0},
                         {c->w.out[0], axis_stride(x, 0) * c->w.stride[0], 0, axis_dim(x->shape.rank, 0)}},
               .h = conv_axis(c, x, 1),
               .w = conv_axis(c, x, 2),
               .dim_c = 1,
               .reduction = conv_reduction(c, x),
               .planes = conv_planes(c, x),
               .a_group = c->in_channels * x->stride[1],
               .b_group = rounds * round_up(c->channels, c->lanes) * CELL_BYTES,
               .b_panel = rounds * panel * CELL_BYTES,
               .panels = true,
               .scale = 1};
    fold_rows(&s);
    sweep_emit(&s);
}
