/* What batch normalisation says of the values behind it: each channel is a Gaussian whose mean is the shift and whose
 * deviation is the scale. That is carried through what follows as if channels, and the operands of a sum, were
 * independent, and Gaussian again where they are only nearly so: data-free quantization (Nagel et al., arXiv
 * 1906.04721).
 */
#include <math.h>
#include <string.h>

#include "ir/op.h"
#include "passes/quantize.h"
#include "passes/rewrite.h"

static ChannelStats new_stats(Arena *a, int64_t n) {
    return (ChannelStats){n, NEW_ARRAY(a, double, n), NEW_ARRAY(a, double, n)};
}

static bool is_rectifier(const Node *n) {
    if (n->op == OP_Relu) return true;
    const Tensor *low = n->op == OP_Clip ? in_const(n, 1) : NULL;
    return low && elem_is_float(low->type.elem) && tensor_get(low, 0) == 0;
}

/* Of max(0, x), x Gaussian. */
static void rectify(ChannelStats *s) {
    for (int64_t c = 0; c < s->n; c++) {
        Arena scratch;
        arena_open(&scratch);
        const Normal normal = {s->mean[c], sqrt(s->var[c]), 1};
        Moments m = {1, fmax(s->mean[c], 0), fmax(s->mean[c], 0) * fmax(s->mean[c], 0)};
        if (normal.sd > 0) {
            Spread one = spread_of_normals(&scratch, 1, &normal, true);
            m = spread_all(&one);
        }
        s->mean[c] = m.m1;
        s->var[c] = fmax(m.m2 - m.m1 * m.m1, 0);
        arena_free(&scratch);
    }
}

static bool known(Expect *e, const Value *v, ChannelStats *out);

static bool of_batchnorm(Expect *e, const Node *n, ChannelStats *out) {
    if (!in_const(n, 1) || !in_const(n, 2)) return false;
    *out = new_stats(e->arena, shape_count(in_shape(n, 1)));
    for (int64_t c = 0; c < out->n; c++) {
        double scale = tensor_get(in_const(n, 1), c);
        out->mean[c] = tensor_get(in_const(n, 2), c);
        out->var[c] = scale * scale;
    }
    return true;
}

/* Constants of one element, or one for each channel. */
static bool of_constant(Expect *e, const Value *v, int64_t channels, ChannelStats *out) {
    int64_t n = shape_count(&v->type.shape);
    if (!v->constant || !elem_is_float(v->type.elem) || (n != 1 && n != channels)) return false;
    *out = new_stats(e->arena, channels);
    for (int64_t c = 0; c < channels; c++) out->mean[c] = tensor_get(v->constant, n == 1 ? 0 : c);
    return true;
}

static bool of_sum(Expect *e, const Node *n, ChannelStats *out) {
    ChannelStats part[2];
    const Shape *y = &n->out[0]->type.shape;
    for (int i = 0; i < 2; i++) {
        if (n->in[i]->constant ? !of_constant(e, n->in[i], y->rank > 1 ? y->dim[1] : 1, &part[i])
                               : !known(e, n->in[i], &part[i]))
            return false;
    }
    if (part[0].n != part[1].n) return false;
    *out = new_stats(e->arena, part[0].n);
    for (int64_t c = 0; c < out->n; c++) {
        out->mean[c] = part[0].mean[c] + part[1].mean[c];
        out->var[c] = part[0].var[c] + part[1].var[c];
    }
    return true;
}

static bool of_concat(Expect *e, const Node *n, ChannelStats *out) {
    int64_t axis = node_int(n, "axis"), at = 0;
    int rank = n->out[0]->type.shape.rank;
    if (rank < 2 || (axis != 1 && axis != 1 - rank)) return false;
    *out = new_stats(e->arena, n->out[0]->type.shape.dim[1]);
    for (int i = 0; i < n->n_in; i++) {
        ChannelStats part;
        if (!known(e, n->in[i], &part) || at + part.n > out->n) return false;
        memcpy(out->mean + at, part.mean, (size_t)part.n * sizeof *part.mean);
        memcpy(out->var + at, part.var, (size_t)part.n * sizeof *part.var);
        at += part.n;
    }
    return at == out->n;
}

/* Channels that stay as they are, each perhaps as several features in a row, or with others of zeros beside them. */
static bool of_moved(Expect *e, const Node *n, ChannelStats *out) {
    ChannelStats from;
    const Shape *y = &n->out[0]->type.shape;
    if (!known(e, n->in[0], &from) || y->rank < 2) return false;
    int64_t channels = y->dim[1], before = 0;
    *out = new_stats(e->arena, channels);
    if (n->op == OP_Pad) {
        const Tensor *pads = in_const(n, 1);
        if (!pads || has_in(n, 3) || shape_count(&pads->type.shape) != 2 * in_shape(n, 0)->rank) return false;
        before = tensor_get_int(pads, 1);
        if (before < 0 || before + from.n > channels) return false;
    } else if (channels % from.n != 0) {
        return false;
    }
    int64_t each = n->op == OP_Pad ? 1 : channels / from.n;
    for (int64_t c = 0; c < from.n * each; c++) {
        out->mean[before + c] = from.mean[c / each];
        out->var[before + c] = from.var[c / each];
    }
    return true;
}

/* ---- layers ---- */

/* Which of the input's channels output channel c sums over: `per` from `first` on. */
static bool input_channels(const Layer *l, int64_t inputs, int64_t outputs, int64_t c, int64_t *first, int64_t *per) {
    int64_t group = l->node->op == OP_Conv ? node_int(l->node, "group") : 1;
    *per = inputs / group;
    *first = c / (outputs / group) * *per;
    return *per > 0;
}

/* Means and variances of the input as the layer reads it. */
static bool quantized_input(Expect *e, const Value *v, const Steps *steps, ChannelStats *out) {
    bool rectified;
    if (!steps) return known(e, v, out);
    ChannelStats from;
    if (!expect_stats(e, v, &from, &rectified)) return false;
    *out = new_stats(e->arena, from.n);
    for (int64_t c = 0; c < from.n; c++) {
        Arena scratch;
        arena_open(&scratch);
        const Normal normal = {from.mean[c], fmax(sqrt(from.var[c]), 1e-12), 1};
        Spread s = spread_of_normals(&scratch, 1, &normal, rectified);
        Moments below = {0};
        double m1 = 0, m2 = 0;
        for (int k = 0; k <= steps->n; k++) {
            Moments to = k < steps->n ? spread_below(&s, steps->thr[k]) : spread_all(&s);
            m1 += steps->level[k] * (to.m0 - below.m0);
            m2 += steps->level[k] * steps->level[k] * (to.m0 - below.m0);
            below = to;
        }
        out->mean[c] = m1;
        out->var[c] = fmax(m2 - m1 * m1, 0);
        arena_free(&scratch);
    }
    return true;
}

/* What lies between the source and the layer keeps channels, or spreads each over several features. */
static bool repeat_channels(Expect *e, ChannelStats *s, int64_t features) {
    if (s->n == features) return true;
    if (s->n == 0 || features % s->n != 0) return false;
    int64_t each = features / s->n;
    ChannelStats out = new_stats(e->arena, features);
    for (int64_t c = 0; c < features; c++) {
        out.mean[c] = s->mean[c / each];
        out.var[c] = s->var[c / each];
    }
    *s = out;
    return true;
}

bool expect_output(Expect *e, const Layer *l, const Steps *steps, const float *w, ChannelStats *out) {
    ChannelStats in;
    const Node *n = l->node;
    Weights shape = layer_weights(e->arena, l);
    int64_t inputs = in_shape(n, 0)->dim[n->op == OP_Conv ? 1 : in_shape(n, 0)->rank - 1];
    if (l->axis < 0 || n->op == OP_ConvTranspose || (n->op != OP_Conv && in_shape(n, 0)->rank != 2)) return false;
    if (!quantized_input(e, l->source, steps, &in) || !repeat_channels(e, &in, inputs)) return false;
    double alpha = n->op == OP_Gemm ? node_float(n, "alpha") : 1;
    *out = new_stats(e->arena, shape.channels);
    for (int64_t c = 0; c < out->n; c++) {
        int64_t first, per;
        if (!input_channels(l, inputs, shape.channels, c, &first, &per) || shape.each % per) return false;
        int64_t taps = shape.each / per;
        for (int64_t i = 0; i < shape.each; i++) {
            double v = alpha * (double)w[c * shape.each + i];
            out->mean[c] += v * in.mean[first + i / taps];
            out->var[c] += v * v * in.var[first + i / taps];
        }
    }
    return true;
}

static bool of_layer(Expect *e, Node *n, ChannelStats *out) {
    int axis;
    if (!layer_weight_axis(n, &axis) || !in_const(n, 1) || in_elem(n, 1) != QCC_F32) return false;
    Layer l = {.node = n, .source = n->in[0], .axis = axis};
    if (!expect_output(e, &l, NULL, layer_weights(e->arena, &l).w, out)) return false;
    if (n->op == OP_MatMul || !has_in(n, 2)) return true;
    ChannelStats bias;
    if (!of_constant(e, n->in[2], out->n, &bias)) return false;
    double beta = n->op == OP_Gemm ? node_float(n, "beta") : 1;
    for (int64_t c = 0; c < out->n; c++) out->mean[c] += beta * bias.mean[c];
    return true;
}

/* ---- the walk ---- */

static bool of_node(Expect *e, Node *n, ChannelStats *out) {
    switch (n->op) {
    case OP_BatchNormalization:
        return of_batchnorm(e, n, out);
    case OP_Add:
        return of_sum(e, n, out);
    case OP_Concat:
        return of_concat(e, n, out);
    case OP_Conv:
    case OP_Gemm:
    case OP_MatMul:
        return of_layer(e, n, out);
    case OP_MaxPool:
    case OP_AveragePool:
    case OP_GlobalAveragePool:
    case OP_GlobalMaxPool:
    case OP_ReduceMean:
    case OP_Identity:
    case OP_Dropout:
    case OP_Reshape:
    case OP_Flatten:
    case OP_Squeeze:
    case OP_Slice:
    case OP_Pad:
        return of_moved(e, n, out);
    default:
        return false;
    }
}

static bool of_input(Expect *e, const Value *v, ChannelStats *out) {
    if (!e->input_range || v->constant || v->type.shape.rank < 2) return false;
    *out = new_stats(e->arena, v->type.shape.dim[1]);
    double lo = e->input_range[0], hi = e->input_range[1];
    for (int64_t c = 0; c < out->n; c++) {
        out->mean[c] = 0.5 * (lo + hi);
        out->var[c] = (hi - lo) * (hi - lo) / 12; /* of numbers that are equally likely between them */
    }
    return true;
}

/* Statistics of v itself, remembered: sums of sums would be walked over and over. */
static bool known(Expect *e, const Value *v, ChannelStats *out) {
    ChannelStats *seen = map_get_ptr(&e->known, v);
    if (!seen) {
        bool rectified = v->def && is_rectifier(v->def);
        seen = NEW(e->arena, ChannelStats);
        map_put_ptr(e->arena, &e->known, v, seen);
        ChannelStats s = {0};
        const Value *from = rectified ? v->def->in[0] : v;
        bool good = rectified ? known(e, from, &s) : v->def ? of_node(e, v->def, &s) : of_input(e, v, &s);
        if (good && rectified) {
            ChannelStats copy = new_stats(e->arena, s.n);
            memcpy(copy.mean, s.mean, (size_t)s.n * sizeof *s.mean);
            memcpy(copy.var, s.var, (size_t)s.n * sizeof *s.var);
            s = copy;
            rectify(&s);
        }
        if (good) *seen = s;
    }
    *out = *seen;
    return seen->n > 0;
}

bool expect_stats(Expect *e, const Value *v, ChannelStats *out, bool *rectified) {
    *rectified = v->def && is_rectifier(v->def);
    return known(e, *rectified ? v->def->in[0] : v, out);
}

bool expect_spread(Expect *e, const Value *v, Spread *out) {
    ChannelStats s;
    bool rectified;
    if (!v->def && e->input_range) {
        const float ends[] = {(float)e->input_range[0], (float)e->input_range[1]};
        *out = spread_of_values(e->arena, 2, ends);
        return true;
    }
    if (!expect_stats(e, v, &s, &rectified)) return false;
    Normal *normal = NEW_ARRAY(e->arena, Normal, s.n);
    int64_t n = 0;
    for (int64_t c = 0; c < s.n; c++)
        if (s.var[c] > 0) normal[n++] = (Normal){s.mean[c], sqrt(s.var[c]), 1};
    if (n == 0) return false;
    *out = spread_of_normals(e->arena, n, normal, rectified);
    const Tensor *top = v->def && v->def->op == OP_Clip ? in_const(v->def, 2) : NULL;
    if (top) out->max = fmin(out->max, tensor_get(top, 0));
    return true;
}
