/* Dense float convolution of one to three spatial axes with constant weights, as an implicit matrix product: no im2col,
 * the register tile reads the image where it lies, in a halo of zeros instead of bounds checks.
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
    Window w;
    int64_t images, in_channels, channels; /* channels: of one group */
    int lanes, nr;
    int weights, bias; /* packs; -1: none */
} Conv;

/* Fewer input channels than this are not worth bringing to channels-last order. */
enum { FEW_CHANNELS = 4 };

static bool conv_fits(const Node *n) {
    return n->in[0]->type.elem == QCC_F32 && n->in[1]->constant && in_known(n, 2) && n->out[0]->type.shape.rank >= 3 &&
           shape_count(&n->out[0]->type.shape) > 0 && shape_count(&n->in[0]->type.shape) > 0;
}

static int64_t taps_of(const Conv *c) { return c->w.kernel[0] * c->w.kernel[1] * c->w.kernel[2] * c->in_channels; }

static PanelPack weight_pack(const Conv *c, const Tensor *t) {
    const int64_t *k = c->w.kernel;
    int64_t taps = k[0] * k[1] * k[2];
    return (PanelPack){.tensor = t,
                       .groups = c->w.group,
                       .channels = c->channels,
                       .stride_g = c->channels * c->in_channels * taps,
                       .stride_c = c->in_channels * taps,
                       .n = 4,
                       .count = {k[0], k[1], k[2], c->in_channels},
                       .stride = {k[1] * k[2], k[2], 1, taps},
                       .nr = c->nr,
                       .lanes = c->lanes,
                       .scale = 1};
}

static SweepShape conv_shape(const Conv *c) {
    const Window *w = &c->w;
    return (SweepShape){.outer = c->images * w->out[0],
                        .h = w->out[1],
                        .w = w->out[2],
                        .groups = w->group,
                        .channels = c->channels,
                        .nr = c->nr,
                        .lanes = c->lanes,
                        .row_bytes = w->in[2] * w->stride[1] * c->in_channels * 4,
                        .weight_bytes = taps_of(c) * c->channels * w->group * 4};
}

bool plan_conv_dense(KernelPlan *p) {
    const Node *n = p->node;
    if (!conv_fits(n)) return false;
    Conv *c = NEW(p->arena, Conv);
    p->data = c;
    c->w = window_wide(n);
    c->images = n->in[0]->type.shape.dim[0];
    c->in_channels = n->in[1]->type.shape.dim[1];
    c->channels = n->in[1]->type.shape.dim[0] / c->w.group;
    c->lanes = tile_lanes(p->target, c->channels);
    c->nr = tile_vectors(p->target, c->w.out[1], c->w.out[2], taps_of(c), c->channels, c->lanes);
    if (!wish_halo(p, &c->w)) return false;
    wish_channels(p);
    if (n->in[0]->type.shape.dim[1] >= FEW_CHANNELS) p->in[0].order = ORDER_CHANNELS;
    p->in[1].packed = true;
    PanelPack pack = weight_pack(c, n->in[1]->constant);
    c->weights = plan_panels(p, n->in[1], &pack);
    c->bias = -1;
    if (has_in(n, 2)) {
        p->in[2].packed = true;
        c->bias = plan_channel_pack(p, n->in[2], c->w.group, c->channels, 1, c->lanes, 1);
    }
    SweepShape s = conv_shape(c);
    p->macs = s.outer * s.h * s.w * s.groups * s.channels * taps_of(c);
    p->n_tasks = plan_tasks(p, sweep_units(p->target, &s), p->macs / c->lanes);
    plan_name(p, "conv%dx%d_f32_%dx%d", (int)c->w.kernel[1], (int)c->w.kernel[2], c->nr, c->lanes);
    return true;
}

static Reduction conv_reduction(const Conv *c, const Place *x) {
    Reduction r = {0};
    const int64_t *k = c->w.kernel;
    int64_t rows[MAX_SPATIAL] = {k[1] * k[2] * c->in_channels, k[2] * c->in_channels, c->in_channels};
    for (int i = 0; i < MAX_SPATIAL; i++) reduction_add(&r, k[i], axis_stride(x, i) * c->w.dilation[i], rows[i]);
    reduction_add(&r, c->in_channels, x->stride[1], 1);
    return r;
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
    int64_t rounds = taps_of(c), panel = (int64_t)c->nr * c->lanes;
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
               .a_group = c->in_channels * x->stride[1],
               .b_group = rounds * round_up(c->channels, c->lanes) * 4,
               .b_panel = rounds * panel * 4,
               .panels = true,
               .scale = 1};
    fold_rows(&s);
    sweep_emit(&s);
}
