/* Normalisations: each becomes means, a variance and one affine step. Variances are means of squared differences from
 * the mean (two passes), which is exact where the one-pass form cancels. Half types are computed in float32. */
#include "ir/ops/expand.h"

#include <inttypes.h>

static bool infer_same(Infer *c) {
    set_out(c, 0, 0, in_shape(c->node, 0));
    return true;
}

/* Operand i must be a vector with an element per channel of operand 0. */
static bool check_channels(Infer *c, int i, int64_t channels) {
    const Shape *s = in_shape(c->node, i);
    if (s->rank == 1 && s->dim[0] == channels) return true;
    return infer_error(c, D_OPERAND_SHAPE, i, "shape %s; wanted a vector of %" PRId64 " elements, one per channel",
                       shape_str(c->arena, s), channels);
}

/* Vector v along axis 1 of a tensor of the rank given. */
static Value *per_channel(Expand *e, Value *v, int rank) {
    Shape s = shape_along(rank, rank > 1 ? 1 : 0, v->type.shape.dim[0]);
    return expand_reshape(e, expand_widen(e, v), &s);
}

static Value *scalar_like(Expand *e, const Value *v, double x) { return expand_scalar(e, v->type.elem, x); }

/* 1 / sqrt(var + eps) */
static Value *inverse_deviation(Expand *e, Value *var, double eps) {
    Value *sum = EXPAND(e, Add, NULL, var, scalar_like(e, var, eps));
    return EXPAND(e, Div, NULL, scalar_like(e, var, 1), EXPAND(e, Sqrt, NULL, sum));
}

typedef struct Moments {
    Value *mean, *centred, *var;
} Moments;

static Moments moments(Expand *e, Value *x, int n, const int64_t *axes) {
    Moments m;
    m.mean = expand_reduce(e, OP_ReduceMean, x, n, axes);
    m.centred = EXPAND(e, Sub, NULL, x, m.mean);
    m.var = expand_reduce(e, OP_ReduceMean, EXPAND(e, Mul, NULL, m.centred, m.centred), n, axes);
    return m;
}

static Value *standardize(Expand *e, Value *x, int n, const int64_t *axes, double eps) {
    Moments m = moments(e, x, n, axes);
    return EXPAND(e, Mul, NULL, m.centred, inverse_deviation(e, m.var, eps));
}

/* The axes from `first` on. */
static int axes_from(int first, int rank, int64_t axes[MAX_RANK]) {
    for (int i = first; i < rank; i++) axes[i - first] = i;
    return rank - first;
}

/* ---- BatchNormalization ---------------------------------------------------------------------------------------- */

bool infer_BatchNormalization(Infer *c) {
    const Node *n = c->node;
    const Shape *x = in_shape(n, 0);
    if (!infer_rank_min(c, 0, 1)) return false;
    int64_t channels = x->rank > 1 ? x->dim[1] : 1;
    for (int i = 1; i < 5; i++)
        if (!check_channels(c, i, channels)) return false;
    bool training = node_int(n, "training_mode") != 0;
    if (!training && (has_out(n, 1) || has_out(n, 2)))
        return infer_error(c, D_ARITY, -1, "running statistics are asked for; only training_mode=1 gives them");
    set_out(c, 0, 0, x);
    set_out(c, 1, in_elem(n, 3), in_shape(n, 3));
    set_out(c, 2, in_elem(n, 4), in_shape(n, 4));
    return true;
}

/* running * momentum + batch * (1 - momentum), as a vector. */
static void update_running(Expand *e, int output, int operand, Value *batch) {
    if (!has_out(e->node, output)) return;
    double momentum = node_float(e->node, "momentum");
    Value *old = expand_widen(e, e->node->in[operand]);
    Value *now = expand_cast(e, expand_reshape(e, batch, &old->type.shape), old->type.elem);
    Value *p = EXPAND(e, Mul, NULL, old, scalar_like(e, old, momentum));
    Value *q = EXPAND(e, Mul, NULL, now, scalar_like(e, now, 1 - momentum));
    expand_narrow(e, output, EXPAND(e, Add, NULL, p, q));
}

/* y = x * a + b with a = scale / sqrt(var + eps), b = B - mean * a: two operations an element, and what follows folding
 * into a convolution. In training the statistics are the batch's. */
void expand_BatchNormalization(Expand *e) {
    const Node *n = e->node;
    Value *x = expand_widen(e, n->in[0]);
    int rank = x->type.shape.rank;
    Value *p[5] = {x};
    for (int i = 1; i < 5; i++) p[i] = expand_cast(e, per_channel(e, n->in[i], rank), x->type.elem);
    if (node_int(n, "training_mode")) {
        int64_t axes[MAX_RANK];
        int n_axes = 0;
        for (int i = 0; i < rank; i++)
            if (i != 1) axes[n_axes++] = i;
        Moments m = moments(e, x, n_axes, axes);
        p[3] = m.mean;
        p[4] = m.var;
        update_running(e, 1, 3, m.mean);
        update_running(e, 2, 4, m.var);
    }
    Value *a = EXPAND(e, Mul, NULL, p[1], inverse_deviation(e, p[4], node_float(n, "epsilon")));
    Value *b = EXPAND(e, Sub, NULL, p[2], EXPAND(e, Mul, NULL, p[3], a));
    expand_narrow(e, 0, EXPAND(e, Add, NULL, EXPAND(e, Mul, NULL, x, a), b));
}

/* ---- InstanceNormalization, GroupNormalization ------------------------------------------------------------------- */

bool infer_InstanceNormalization(Infer *c) {
    const Shape *x = in_shape(c->node, 0);
    if (!infer_rank_min(c, 0, 3)) return false;
    return check_channels(c, 1, x->dim[1]) && check_channels(c, 2, x->dim[1]) && infer_same(c);
}

static void scale_and_shift(Expand *e, Value *y) {
    int rank = y->type.shape.rank;
    y = EXPAND(e, Mul, NULL, y, per_channel(e, e->node->in[1], rank));
    expand_narrow(e, 0, EXPAND(e, Add, NULL, y, per_channel(e, e->node->in[2], rank)));
}

void expand_InstanceNormalization(Expand *e) {
    Value *x = expand_widen(e, e->node->in[0]);
    int64_t axes[MAX_RANK];
    int n = axes_from(2, x->type.shape.rank, axes);
    scale_and_shift(e, standardize(e, x, n, axes, node_float(e->node, "epsilon")));
}

bool infer_GroupNormalization(Infer *c) {
    const Shape *x = in_shape(c->node, 0);
    if (!infer_rank_min(c, 0, 2)) return false;
    int64_t groups = node_int(c->node, "num_groups"), channels = x->dim[1];
    if (groups < 1 || channels % groups)
        return infer_error(c, D_ATTRIBUTE, 0, "num_groups %" PRId64 "; wanted a divisor of the %" PRId64 " channels",
                           groups, channels);
    return check_channels(c, 1, channels) && check_channels(c, 2, channels) && infer_same(c);
}

void expand_GroupNormalization(Expand *e) {
    Value *x = expand_widen(e, e->node->in[0]);
    const Shape shape = x->type.shape;
    int64_t groups = node_int(e->node, "num_groups"), rows = shape.dim[0] * groups, count = shape_count(&shape);
    Shape grouped = shape_of(2, (int64_t[]){rows, rows ? count / rows : 0});
    Value *y = standardize(e, expand_reshape(e, x, &grouped), 1, (int64_t[]){1}, node_float(e->node, "epsilon"));
    scale_and_shift(e, expand_reshape(e, y, &shape));
}

/* ---- LayerNormalization, RMSNormalization -------------------------------------------------------------------------
 */

/* Operand i must broadcast to operand 0 without changing its shape. */
static bool check_broadcast(Infer *c, int i) {
    Shape r;
    const Shape *x = in_shape(c->node, 0), *s = in_shape(c->node, i);
    if (shape_broadcast(x, s, &r) && shape_equal(&r, x)) return true;
    return infer_error(c, D_OPERAND_SHAPE, i, "shape %s does not broadcast to the input's %s", shape_str(c->arena, s),
                       shape_str(c->arena, x));
}

bool infer_LayerNormalization(Infer *c) {
    const Node *n = c->node;
    const Shape *x = in_shape(n, 0);
    int axis;
    if (!infer_axis(c, node_int(n, "axis"), x->rank, &axis)) return false;
    int64_t stash = node_int(n, "stash_type");
    if (stash != QCC_F32 && stash != QCC_BF16)
        return infer_error(c, D_ATTRIBUTE, -1, "stash_type %" PRId64 "; wanted 1 (f32) or 16 (bf16)", stash);
    if (!check_broadcast(c, 1) || (has_in(n, 2) && !check_broadcast(c, 2))) return false;
    Shape statistics = shape_head(x, axis);
    set_out(c, 0, 0, x);
    set_out(c, 1, (Elem)stash, &statistics);
    set_out(c, 2, (Elem)stash, &statistics);
    return true;
}

void expand_LayerNormalization(Expand *e) {
    const Node *n = e->node;
    Value *x = expand_widen(e, n->in[0]);
    int64_t axes[MAX_RANK];
    int rank = x->type.shape.rank, n_axes = axes_from(node_axis(n, rank), rank, axes);
    Moments m = moments(e, x, n_axes, axes);
    Value *inv = inverse_deviation(e, m.var, node_float(n, "epsilon"));
    Value *y = EXPAND(e, Mul, NULL, EXPAND(e, Mul, NULL, m.centred, inv), expand_widen(e, n->in[1]));
    if (has_in(n, 2)) y = EXPAND(e, Add, NULL, y, expand_widen(e, n->in[2]));
    expand_narrow(e, 0, y);
    expand_narrow(e, 1, m.mean);
    expand_narrow(e, 2, inv);
}

bool infer_RMSNormalization(Infer *c) {
    const Shape *x = in_shape(c->node, 0);
    int axis;
    if (!infer_axis(c, node_int(c->node, "axis"), x->rank, &axis) || !check_broadcast(c, 1)) return false;
    set_out(c, 0, in_elem(c->node, 1), x);
    return true;
}

void expand_RMSNormalization(Expand *e) {
    const Node *n = e->node;
    Value *x = expand_widen(e, n->in[0]);
    int64_t axes[MAX_RANK];
    int rank = x->type.shape.rank, n_axes = axes_from(node_axis(n, rank), rank, axes);
    Value *square = expand_reduce(e, OP_ReduceMean, EXPAND(e, Mul, NULL, x, x), n_axes, axes);
    Value *y = EXPAND(e, Mul, NULL, x, inverse_deviation(e, square, node_float(n, "epsilon")));
    Value *scale = expand_widen(e, n->in[1]);
    expand_narrow(e, 0, EXPAND(e, Mul, NULL, expand_cast(e, y, scale->type.elem), scale));
}

/* ---- LpNormalization, MeanVarianceNormalization -------------------------------------------------------------------
 */

bool infer_LpNormalization(Infer *c) {
    int axis;
    int64_t p = node_int(c->node, "p");
    if (p != 1 && p != 2) return infer_error(c, D_ATTRIBUTE, -1, "p %" PRId64 "; wanted 1 or 2", p);
    return infer_axis(c, node_int(c->node, "axis"), in_shape(c->node, 0)->rank, &axis) && infer_same(c);
}

/* A row of zeros stays one. */
void expand_LpNormalization(Expand *e) {
    Value *x = expand_widen(e, e->node->in[0]);
    int64_t axis = node_axis(e->node, x->type.shape.rank);
    OpId op = node_int(e->node, "p") == 1 ? OP_ReduceL1 : OP_ReduceL2;
    Value *norm = expand_reduce(e, op, x, 1, &axis), *zero = scalar_like(e, x, 0);
    Value *y = EXPAND(e, Div, NULL, x, norm);
    expand_narrow(e, 0, EXPAND(e, Where, NULL, EXPAND(e, Equal, NULL, norm, zero), zero, y));
}

bool infer_MeanVarianceNormalization(Infer *c) {
    int n, axes[MAX_RANK];
    const int64_t *given = node_ints(c->node, "axes", &n);
    return infer_axes(c, n, given, in_shape(c->node, 0)->rank, axes) && infer_same(c);
}

/* (x - mean) / (deviation + 1e-9), the constant of ONNX's definition. */
void expand_MeanVarianceNormalization(Expand *e) {
    int n;
    const int64_t *axes = node_ints(e->node, "axes", &n);
    Moments m = moments(e, expand_widen(e, e->node->in[0]), n, axes);
    Value *deviation = EXPAND(e, Sqrt, NULL, m.var);
    deviation = EXPAND(e, Add, NULL, deviation, scalar_like(e, deviation, 1e-9));
    expand_narrow(e, 0, EXPAND(e, Div, NULL, m.centred, deviation));
}
