/* Batch normalisation with constant statistics behind a layer with constant float weights: per output channel
 *     y = scale * (x - mean) / sqrt(var + epsilon) + b = a * x + (b - a * mean),   a = scale / sqrt(var + epsilon)
 * and x is linear in the layer's weights and bias, so a goes into the weights and the rest into the bias. a and
 * b - a * mean are rounded to float32 at every step, as the operator itself is expanded: where its arithmetic is exact,
 * so is the fold, and a sum that lay on a threshold stays there. Weights that are a splat stay one where a is the same
 * for all channels.
 * Requires: constants folded. Keeps: canonical form. Breaks: nothing. */
#include "passes/pass.h"
#include "passes/rewrite.h"

#include <math.h>

typedef struct Affine {
    int64_t n;
    float *mul, *add;
    bool uniform; /* mul is the same for all */
} Affine;

static bool is_const_f32(const Node *n, int i) { return in_const(n, i) && in_elem(n, i) == QCC_F32; }

/* The normalisation of node n as mul * x + add per channel. */
static bool read_affine(Arena *a, const Node *n, Affine *out) {
    if (n->op != OP_BatchNormalization || node_int(n, "training_mode")) return false;
    for (int i = 1; i < 5; i++)
        if (!is_const_f32(n, i)) return false;
    float epsilon = (float)node_float(n, "epsilon");
    *out = (Affine){.n = in_shape(n, 1)->dim[0], .uniform = true};
    out->mul = NEW_ARRAY(a, float, out->n);
    out->add = NEW_ARRAY(a, float, out->n);
    for (int64_t c = 0; c < out->n; c++) {
        float p[5];
        for (int i = 1; i < 5; i++) p[i] = (float)tensor_get(in_const(n, i), c);
        out->mul[c] = p[1] * (1 / sqrtf(p[4] + epsilon));
        out->add[c] = p[2] - p[3] * out->mul[c];
        if (!isfinite(out->mul[c]) || !isfinite(out->add[c])) return false;
        if (out->mul[c] != out->mul[0]) out->uniform = false;
    }
    return true;
}

/* Output channel of weight element i of layer n. */
typedef struct Channels {
    int64_t outer, count, inner; /* element i belongs to channel (i / inner) % count, plus count per group of `outer` */
} Channels;

static bool weight_channels(const Node *n, Channels *c) {
    const Shape *w = in_shape(n, 1);
    int64_t inner = 1;
    for (int i = 2; i < w->rank; i++) inner *= w->dim[i];
    switch (n->op) {
    case OP_Conv:
        *c = (Channels){.outer = INT64_MAX, .count = w->dim[0], .inner = w->dim[1] * inner};
        return true;
    case OP_ConvTranspose: {
        int64_t per_group = w->dim[0] / node_int(n, "group");
        *c = (Channels){.outer = per_group * w->dim[1] * inner, .count = w->dim[1], .inner = inner};
        return true;
    }
    case OP_Gemm:
        if (node_int(n, "transB")) {
            *c = (Channels){.outer = INT64_MAX, .count = w->dim[0], .inner = w->dim[1]};
        } else {
            *c = (Channels){.outer = INT64_MAX, .count = w->dim[1], .inner = 1};
        }
        return true;
    default:
        return false;
    }
}

static int64_t channel_at(const Channels *c, int64_t i) {
    return i / c->inner % c->count + (c->outer == INT64_MAX ? 0 : i / c->outer * c->count);
}

static const Tensor *scale_weights(Arena *a, const Tensor *w, const Channels *c, const Affine *f) {
    if (w->splat && f->uniform) {
        float v = (float)(tensor_get(w, 0) * (double)f->mul[0]);
        return tensor_splat(a, w->type, &v);
    }
    Tensor *out = tensor_new(a, w->type);
    float *to = tensor_data(out);
    int64_t n = shape_count(&w->type.shape);
    for (int64_t i = 0; i < n; i++) to[i] = (float)(tensor_get(w, i) * (double)f->mul[channel_at(c, i)]);
    return out;
}

static bool has_layer(const Node *bn, Node **layer, Channels *c) {
    Node *n = bn->in[0]->def;
    if (!n || !used_once(bn->in[0]) || n->expr || n->n_out != 1) return false;
    if (n->op != OP_Conv && n->op != OP_ConvTranspose && n->op != OP_Gemm) return false;
    if (!is_const_f32(n, 1) || (has_in(n, 2) && !is_const_f32(n, 2))) return false;
    *layer = n;
    return weight_channels(n, c);
}

/* The bias operand's element of channel c, as it enters the sum (Gemm scales it by beta and may broadcast it). */
static bool bias_at(const Node *n, int64_t channels, double *bias) {
    double beta = n->op == OP_Gemm ? node_float(n, "beta") : 1;
    const Tensor *b = in_const(n, 2);
    int64_t count = b ? shape_count(&b->type.shape) : 0;
    if (b && count != 1 && (count != channels || b->type.shape.dim[b->type.shape.rank - 1] != channels)) return false;
    for (int64_t c = 0; c < channels; c++) bias[c] = b ? beta * tensor_get(b, count == 1 ? 0 : c) : 0;
    return true;
}

static bool fold(Node *bn) {
    Node *layer;
    Channels channels;
    Affine f;
    Arena *a = bn->graph->arena;
    if (!has_layer(bn, &layer, &channels) || !read_affine(a, bn, &f)) return false;
    double *bias = NEW_ARRAY(a, double, f.n);
    if (!bias_at(layer, f.n, bias)) return false;
    float *folded = NEW_ARRAY(a, float, f.n);
    for (int64_t c = 0; c < f.n; c++) folded[c] = (float)(bias[c] * (double)f.mul[c] + (double)f.add[c]);
    const Tensor *w = scale_weights(a, in_const(layer, 1), &channels, &f);
    const Tensor *b = tensor_from_f32(a, shape_of(1, &f.n), folded);
    node_set_in(layer, 1, graph_constant(bn->graph, layer->in[1]->name, w));
    Value *bias_value = graph_constant(bn->graph, has_in(layer, 2) ? layer->in[2]->name : "", b);
    if (layer->n_in > 2) {
        node_set_in(layer, 2, bias_value);
    } else {
        node_add_in(layer, bias_value);
    }
    if (layer->op == OP_Gemm) node_set_float(layer, "beta", 1);
    replace_node(bn, layer->out[0]);
    return true;
}

bool pass_fold_batchnorm(Graph *g, Diags *d) {
    (void)d;
    for (Node *n = g->first, *next; n; n = next) {
        next = n->next;
        if (n->op == OP_BatchNormalization && (n->n_out == 1 || !has_out(n, 1))) fold(n);
    }
    return true;
}
