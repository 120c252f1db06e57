/* Quantizers of QONNX, Brevitas and FINN as ours, so that what is exported runs everywhere and can be trained further.
 */
#include <math.h>
#include <string.h>
#include <strings.h>

#include "frontend/export.h"
#include "ir/op.h"

static const Tensor *scalar(Arena *a, float v) { return tensor_from_f32(a, (Shape){.rank = 0}, &v); }

/* An operator of ours in front of n; NULL where it does not take these operands. */
static Value *try_node(Node *n, OpId op, int n_in, Value *const *in) {
    Arena scratch;
    arena_open(&scratch);
    Diags d;
    diags_init(&d, &scratch);
    Node *own = graph_node(n->graph, n, op, n->loc, n_in, in, 1);
    bool good = node_infer(&d, own) && type_equal(&own->out[0]->type, &n->out[0]->type);
    arena_free(&scratch);
    if (good) return own->out[0];
    graph_erase(own);
    return NULL;
}

static bool take_place(Node *n, Value *v) {
    if (!v) return false;
    graph_replace(n->graph, n->out[0], v);
    graph_erase(n);
    return true;
}

static bool is_f32(const Node *n, int i) { return in_const(n, i) && in_elem(n, i) == QCC_F32; }

/* ---- Quant, BipolarQuant ---- */

static bool all_zero(const Tensor *t) {
    int64_t n = t->splat ? 1 : shape_count(&t->type.shape);
    for (int64_t i = 0; i < n; i++)
        if (tensor_get(t, i) != 0) return false;
    return true;
}

/* Of one bit and a sign, Quant compares after the division, which is not the same for the smallest numbers. */
static bool adopt_quant(Node *n) {
    enum { SCALE = 1, ZERO, BITS };
    const char *mode = node_string(n, "rounding_mode");
    if (strcasecmp(mode, "ROUND") != 0 && strcasecmp(mode, "HALF_EVEN") != 0) return false;
    if (!is_f32(n, SCALE) || !in_const(n, ZERO) || !all_zero(in_const(n, ZERO)) || !in_const(n, BITS)) return false;
    int bits = (int)tensor_get(in_const(n, BITS), 0), narrow = node_int(n, "narrow") != 0;
    bool is_signed = node_int(n, "signed") != 0;
    if (bits > 15 || (is_signed && bits == 1)) return false;
    float lo = is_signed ? (float)(narrow - (1 << (bits - 1))) : 0;
    float hi = (float)(is_signed ? (1 << (bits - 1)) - 1 : (1 << bits) - 1 - narrow);
    Graph *g = n->graph;
    Value *in[] = {n->in[0], n->in[SCALE], graph_constant(g, "", scalar(g->arena, lo)),
                   graph_constant(g, "", scalar(g->arena, hi))};
    return take_place(n, try_node(n, OP_QUniform, COUNT_OF(in), in));
}

static bool adopt_bipolar(Node *n) {
    return is_f32(n, 1) && take_place(n, try_node(n, OP_QSign, 2, (Value *[]){n->in[0], n->in[1]}));
}

/* ---- MultiThreshold ---- */

/* Thresholds for >, which is >= of the float above; a list where all channels agree, else along their axis. */
static const Tensor *strict_thresholds(const Node *n) {
    const Tensor *t = in_const(n, 1);
    const char *layout = node_string(n, "data_layout");
    int rank = in_shape(n, 0)->rank, axis = *layout && layout[strlen(layout) - 1] == 'C' ? rank - 1 : 1;
    int64_t channels = t->type.shape.dim[0], each = t->type.shape.dim[1];
    Type type = {QCC_F32, {.rank = 1, .dim = {each}}};
    if (channels > 1) {
        if (rank + 1 > MAX_RANK) return NULL;
        type.shape.rank = rank + 1;
        for (int i = 0; i < rank; i++) type.shape.dim[i] = i == axis ? channels : 1;
        type.shape.dim[rank] = each;
    }
    Tensor *out = tensor_new(n->graph->arena, type);
    for (int64_t i = 0; i < channels * each; i++) tensor_set(out, i, nextafterf((float)tensor_get(t, i), -INFINITY));
    return out;
}

static Value *join(Node *n, OpId op, Value *v, float by) {
    if (!v || (op == OP_Add && by == 0) || (op == OP_Mul && by == 1)) return v;
    return try_node(n, op, 2, (Value *[]){v, graph_constant(n->graph, "", scalar(n->graph->arena, by))});
}

/* The bias as so many steps, if every value stays the same for it. */
static bool bias_in_steps(float scale, float bias, int64_t most, float *steps) {
    *steps = rintf(bias / scale);
    if (!(scale > 0) || !(fabsf(*steps) <= 1024)) return false;
    for (int64_t k = 0; k <= most; k++) {
        float product = (float)k * scale;
        if (product + bias != ((float)k + *steps) * scale) return false;
    }
    return true;
}

static bool adopt_thresholds(Node *n) {
    Arena *a = n->graph->arena;
    float scale = (float)node_float(n, "out_scale"), bias = (float)node_float(n, "out_bias"), first;
    const Tensor *thr = strict_thresholds(n);
    int64_t most = in_shape(n, 1)->dim[1], n_codes = most + 1;
    bool whole = bias_in_steps(scale, bias, most, &first);
    if (!thr) return false;
    float *code = NEW_ARRAY(a, float, n_codes), step = whole ? scale : 1;
    for (int64_t k = 0; k < n_codes; k++) code[k] = (float)k + (whole ? first : 0);
    Value *in[] = {n->in[0], graph_constant(n->graph, "", scalar(a, step)),
                   graph_constant(n->graph, n->in[1]->name, thr),
                   graph_constant(n->graph, "", tensor_from_f32(a, shape_of(1, &n_codes), code))};
    Value *v = try_node(n, OP_QLevels, COUNT_OF(in), in);
    if (!whole) v = join(n, OP_Add, join(n, OP_Mul, v, scale), bias);
    return take_place(n, v);
}

bool quantizer_adopt(Node *n) {
    switch (n->op) {
    case OP_Quant:
        return adopt_quant(n);
    case OP_BipolarQuant:
        return adopt_bipolar(n);
    case OP_MultiThreshold:
        return adopt_thresholds(n);
    default:
        return false;
    }
}
