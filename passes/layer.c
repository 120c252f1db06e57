/* The layers that can be quantized: where their inputs are, which are first and last, and how their bias is moved. */
#include <math.h>
#include <string.h>

#include "ir/op.h"
#include "passes/quantize.h"
#include "passes/rewrite.h"

/* ---- finding ---- */

bool layer_weight_axis(const Node *n, int *axis) {
    switch (n->op) {
    case OP_Conv:
        *axis = 0;
        return true;
    case OP_ConvTranspose:
        *axis = node_int(n, "group") == 1 ? 1 : -1;
        return true;
    case OP_Gemm:
        *axis = node_int(n, "transB") ? 0 : 1;
        return !node_int(n, "transA");
    case OP_MatMul:
        *axis = 1;
        return in_shape(n, 1)->rank == 2;
    default:
        return false;
    }
}

static bool is_layer(const Node *n, int *axis) {
    if (n->n_in < 2 || !n->in[0] || n->in[0]->constant || !in_const(n, 1)) return false;
    if (in_elem(n, 0) != QCC_F32 || in_elem(n, 1) != QCC_F32 || in_shape(n, 1)->rank < 2) return false;
    return shape_count(in_shape(n, 1)) > 0 && layer_weight_axis(n, axis);
}

int layer_output_axis(const Node *n) {
    return n->op == OP_Conv || n->op == OP_ConvTranspose ? 1 : n->out[0]->type.shape.rank - 1;
}

static const char *layer_name(const Node *n) { return n->loc.node && *n->loc.node ? n->loc.node : n->out[0]->name; }

/* What moves values without changing them, or picks the largest: codes pass through it as values do. */
static bool is_mover(const Node *n) {
    switch (n->op) {
    case OP_MaxPool:
    case OP_Dropout:
        return n->n_out == 1 || !has_out(n, 1);
    case OP_Reshape:
    case OP_Flatten:
    case OP_Squeeze:
    case OP_Unsqueeze:
    case OP_Transpose:
    case OP_Identity:
        return true;
    default:
        return false;
    }
}

static bool is_activation(const Node *n) {
    return n->op == OP_Relu || (n->op == OP_Clip && in_const(n, 1) && in_const(n, 2));
}

static void find_source(Layer *l) {
    l->user = l->node;
    l->source = l->node->in[0];
    while (l->source->def && is_mover(l->source->def) && used_once(l->source)) {
        l->user = l->source->def;
        l->source = l->user->in[0];
    }
    /* Signs say nothing of what a ReLU has passed: they take its place. */
    Node *made = l->source->def;
    if (l->scheme.id != SCHEME_xnor || !l->scheme.a_bits || !made || !is_activation(made) || !used_once(l->source))
        return;
    l->drop = l->user = made;
    l->source = made->in[0];
}

static void choose_scheme(Layer *l, const QuantizeOptions *o) {
    l->scheme = l->first || l->last ? o->edge : o->scheme;
    for (size_t i = 0; i < o->n_rules; i++) {
        if (!glob_match(o->rules[i].glob, l->name) && !glob_match(o->rules[i].glob, l->node->out[0]->name)) continue;
        l->scheme = o->rules[i].scheme;
        if (o->rules[i].keep) l->scheme.w_bits = l->scheme.a_bits = 0;
    }
}

/* first: no layer in front of it; last: none behind. */
static void find_ends(Graph *g, Layers *layers) {
    Map behind = {0}, leads = {0}, by_node = {0};
    for (size_t i = 0; i < layers->n; i++) map_put_ptr(g->arena, &by_node, layers->at[i]->node, layers->at[i]);
    for (Node *n = g->first; n; n = n->next) {
        Layer *l = map_get_ptr(&by_node, n);
        bool reached = false;
        for (int i = 0; i < n->n_in; i++) reached = reached || (n->in[i] && map_get_ptr(&behind, n->in[i]));
        if (l) l->first = !reached;
        for (int i = 0; (l || reached) && i < n->n_out; i++)
            if (n->out[i]) map_put_ptr(g->arena, &behind, n->out[i], n);
    }
    for (Node *n = g->last; n; n = n->prev) {
        Layer *l = map_get_ptr(&by_node, n);
        bool leading = false;
        for (int i = 0; i < n->n_out; i++) leading = leading || (n->out[i] && map_get_ptr(&leads, n->out[i]));
        if (l) l->last = !leading;
        for (int i = 0; (l || leading) && i < n->n_in; i++)
            if (n->in[i]) map_put_ptr(g->arena, &leads, n->in[i], n);
    }
}

static bool reads_codes(const Value *v) {
    while (v->def && is_mover(v->def)) v = v->def->in[0];
    return made_by(v, OP_DequantizeLinear) != NULL;
}

/* Weights that are stored as integers beside float activations, to be smaller, are the floats that they stand for. */
static void open_weights(Node *n) {
    Arena *a = n->graph->arena;
    Node *made = n->n_in > 1 && n->in[1] ? made_by(n->in[1], OP_DequantizeLinear) : NULL;
    if (!made || reads_codes(n->in[0])) return;
    const Tensor **in = NEW_ARRAY(a, const Tensor *, made->n_in);
    for (int i = 0; i < made->n_in; i++) {
        if (made->in[i] && !made->in[i]->constant) return;
        in[i] = in_const(made, i);
    }
    Tensor *w;
    Diags d;
    diags_init(&d, a);
    if (!node_eval(a, &d, made, in, &w)) bug("weights cannot be dequantized");
    node_set_in(n, 1, graph_constant(n->graph, arena_printf(a, "%s_float", made->out[0]->name), w));
    if (node_is_dead(made)) graph_erase(made);
}

void layers_find(Graph *g, const QuantizeOptions *o, Layers *out) {
    for (Node *n = g->first; n; n = n->next) {
        int axis;
        if (layer_weight_axis(n, &axis)) open_weights(n);
        if (!is_layer(n, &axis)) continue;
        Layer *l = NEW(g->arena, Layer);
        *l = (Layer){.node = n, .name = layer_name(n), .axis = axis};
        vec_push(g->arena, out, l);
    }
    find_ends(g, out);
    for (size_t i = 0; i < out->n; i++) {
        choose_scheme(out->at[i], o);
        find_source(out->at[i]);
    }
}

/* ---- weights ---- */

Weights layer_weights(Arena *a, const Layer *l) {
    const Tensor *t = tensor_dense(a, in_const(l->node, 1));
    const Shape *s = &t->type.shape;
    int64_t n = shape_count(s), inner = 1, channels = l->axis < 0 ? 1 : s->dim[l->axis];
    for (int i = l->axis + 1; l->axis >= 0 && i < s->rank; i++) inner *= s->dim[i];
    if (l->axis <= 0) return (Weights){channels, n / channels, t->data};
    float *to = NEW_ARRAY(a, float, n);
    const float *from = t->data;
    int64_t each = n / channels, outer = each / inner;
    for (int64_t o = 0; o < outer; o++)
        for (int64_t c = 0; c < channels; c++)
            memcpy(to + c * each + o * inner, from + (o * channels + c) * inner, (size_t)inner * sizeof *to);
    return (Weights){channels, each, to};
}

/* ---- corrections ---- */

static const Tensor *const_f32(const Node *n, int i) {
    const Tensor *t = in_const(n, i);
    return t && t->type.elem == QCC_F32 ? t : NULL;
}

static Node *normalisation_behind(const Layer *l) {
    Value *y = l->node->out[0];
    Node *bn = used_once(y) ? y->uses.at[0].node : NULL;
    if (!bn || bn->op != OP_BatchNormalization || bn->in[0] != y || node_int(bn, "training_mode")) return NULL;
    return const_f32(bn, 3) && const_f32(bn, 4) && shape_count(in_shape(bn, 3)) == l->after.n ? bn : NULL;
}

static void set_constant(Node *n, int operand, const char *name, int64_t count, const float *v) {
    Value *c = graph_constant(n->graph, name, tensor_from_f32(n->graph->arena, shape_of(1, &count), v));
    if (operand < n->n_in)
        node_set_in(n, operand, c);
    else
        node_add_in(n, c);
}

static void move_statistics(const Layer *l, Node *bn) {
    int64_t n = l->after.n;
    double epsilon = node_float(bn, "epsilon");
    float *mean = NEW_ARRAY(bn->graph->arena, float, n), *var = NEW_ARRAY(bn->graph->arena, float, n);
    for (int64_t c = 0; c < n; c++) {
        double was = l->before.var[c], is = l->after.var[c], v = tensor_get(in_const(bn, 4), c);
        mean[c] = (float)(tensor_get(in_const(bn, 3), c) + l->after.mean[c] - l->before.mean[c]);
        if (was > 0 && is > 0) v = fmax((v + epsilon) * is / was - epsilon, 0);
        var[c] = (float)v;
    }
    set_constant(bn, 3, bn->in[3]->name, n, mean);
    set_constant(bn, 4, bn->in[4]->name, n, var);
}

/* The bias operand of the layer itself with the shift added; false where it has no place for one. */
static bool move_bias(const Layer *l, const double *shift) {
    Node *n = l->node;
    int64_t count = l->after.n;
    if (n->op == OP_MatMul || (has_in(n, 2) && !const_f32(n, 2))) return false;
    if (n->op == OP_Gemm && node_float(n, "beta") != 1 && has_in(n, 2)) return false;
    const Tensor *old = in_const(n, 2);
    int64_t have = old ? shape_count(&old->type.shape) : 0;
    if (old && have != 1 && (have != count || old->type.shape.dim[old->type.shape.rank - 1] != count)) return false;
    float *bias = NEW_ARRAY(n->graph->arena, float, count);
    for (int64_t c = 0; c < count; c++) bias[c] = (float)((old ? tensor_get(old, have == 1 ? 0 : c) : 0) + shift[c]);
    set_constant(n, 2, old ? n->in[2]->name : arena_printf(n->graph->arena, "%s_bias", l->name), count, bias);
    return true;
}

/* The constant of the addition behind a product. */
static bool move_addend(const Layer *l, const double *shift) {
    Value *y = l->node->out[0];
    Node *add = used_once(y) ? y->uses.at[0].node : NULL;
    if (!add || add->op != OP_Add) return false;
    int other = add->in[0] == y;
    const Tensor *old = const_f32(add, other);
    if (!old || old->type.shape.rank != 1 || old->type.shape.dim[0] != l->after.n) return false;
    float *sum = NEW_ARRAY(add->graph->arena, float, l->after.n);
    for (int64_t c = 0; c < l->after.n; c++) sum[c] = (float)(tensor_get(old, c) + shift[c]);
    set_constant(add, other, add->in[other]->name, l->after.n, sum);
    return true;
}

void layer_correct(Layer *l, const double **shift) {
    *shift = NULL;
    if (l->before.n == 0 || l->before.n != l->after.n) return;
    Node *bn = normalisation_behind(l);
    if (bn) {
        move_statistics(l, bn);
        return;
    }
    double *by = NEW_ARRAY(l->node->graph->arena, double, l->after.n);
    for (int64_t c = 0; c < l->after.n; c++) by[c] = l->before.mean[c] - l->after.mean[c];
    if (move_bias(l, by))
        *shift = by;
    else
        move_addend(l, by);
}
