/* MultiThreshold of FINN and QONNX: out_scale * n + out_bias, where n is the number of thresholds of the channel that
 * the element reaches (>=; NaN reaches none). It becomes an element-wise program (several where there are many
 * thresholds) that counts, takes scale and bias into the integers where that gives the same values, and leaves the
 * result as an integer, the code; float32 operators behind it make the values. */
#include "ir/ops/scale.h"

#include <math.h>
#include <string.h>

enum { X_IN, THRESHOLDS };
enum { MAX_THRESHOLDS = 255, CHUNK = 32 }; /* of thresholds in one program */
/* Of a scale and a bias that are taken into the codes, which so stay within 16 bits. */
#define MAX_TIMES 64.0F
#define MAX_PLUS 16384.0F

/* "NCHW", "NC" and the like; channels are last where the name ends in C. */
static int channel_axis(const Node *n) {
    const char *layout = node_string(n, "data_layout");
    size_t length = strlen(layout);
    return length && layout[length - 1] == 'C' ? in_shape(n, X_IN)->rank - 1 : 1;
}

static bool check_layout(Infer *c) {
    static const char *const names[] = {"NCHW", "NHWC", "NC", "NCW", "NWC", "NHC", "NCH", "NCDHW", "NDHWC"};
    const char *layout = node_string(c->node, "data_layout");
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (strcmp(names[i], layout) == 0) return true;
    }
    return infer_error(c, D_ATTRIBUTE, -1, "data_layout is '%s'; wanted NCHW, NHWC, NC or the like", layout);
}

static double threshold(const Tensor *t, int64_t channel, int64_t k) {
    return tensor_get(t, channel * t->type.shape.dim[1] + k);
}

static bool check_order(Infer *c, const Tensor *t) {
    const Shape *s = &t->type.shape;
    int64_t channels = t->splat ? i64_min(s->dim[0], 1) : s->dim[0];
    for (int64_t i = 0; i < channels; i++) {
        for (int64_t k = 0; k < s->dim[1]; k++) {
            double v = threshold(t, i, k);
            if (isnan(v))
                return infer_error(c, D_OPERAND_VALUE, THRESHOLDS, "threshold %lld of channel %lld is NaN",
                                   (long long)k, (long long)i);
            if (k > 0 && v < threshold(t, i, k - 1))
                return infer_error(c, D_OPERAND_VALUE, THRESHOLDS,
                                   "thresholds %lld and %lld of channel %lld, %g and %g, are not in ascending order",
                                   (long long)k - 1, (long long)k, (long long)i, threshold(t, i, k - 1), v);
        }
    }
    return true;
}

bool infer_MultiThreshold(Infer *c) {
    const Node *n = c->node;
    double scale = node_float(n, "out_scale"), bias = node_float(n, "out_bias");
    if (!check_layout(c) || !infer_rank_min(c, X_IN, 2) || !infer_rank(c, THRESHOLDS, 2)) return false;
    if (!isfinite(scale) || scale == 0)
        return infer_error(c, D_ATTRIBUTE, -1, "out_scale is %g; wanted a finite number that is not 0", scale);
    if (!isfinite(bias)) return infer_error(c, D_ATTRIBUTE, -1, "out_bias is %g; wanted a finite number", bias);
    const Shape *x = in_shape(n, X_IN), *t = in_shape(n, THRESHOLDS);
    int64_t channels = x->dim[channel_axis(n)];
    if (t->dim[0] != 1 && t->dim[0] != channels)
        return infer_error(c, D_OPERAND_SHAPE, THRESHOLDS, "thresholds for %lld channels; wanted those for %lld, or 1",
                           (long long)t->dim[0], (long long)channels);
    if (t->dim[1] < 1 || t->dim[1] > MAX_THRESHOLDS)
        return infer_error(c, D_UNSUPPORTED_FORM, THRESHOLDS, "%lld thresholds in a channel; wanted 1 to %d",
                           (long long)t->dim[1], MAX_THRESHOLDS);
    if (!check_order(c, in_const(n, THRESHOLDS))) return false;
    set_out(c, 0, 0, x);
    return true;
}

/* ---- codes --------------------------------------------------------------------------------------------------------
 */

/* value = (n * times + plus) * scale + bias, the product in brackets in integers. */
typedef struct Affine {
    double times, plus; /* whole */
    float scale, bias;
} Affine;

static float value_at(const Affine *f, int n) {
    float v = (float)((double)n * f->times + f->plus);
    return v * f->scale + f->bias;
}

static bool same_values(const Affine *p, const Affine *q, int most) {
    for (int n = 0; n <= most; n++) {
        volatile float v = value_at(p, n), w = value_at(q, n);
        if (v != w) return false;
    }
    return true;
}

static bool is_whole(float v, float most) { return v == rintf(v) && fabsf(v) <= most; }

/* Scale and bias are taken into the integers where they are whole; or the bias alone, where it is a whole number of
 * steps and no value differs for it. */
static Affine codes_of(const Node *n, int most) {
    Affine as_given = {1, 0, (float)node_float(n, "out_scale"), (float)node_float(n, "out_bias")};
    float scale = as_given.scale, bias = as_given.bias;
    if (is_whole(scale, MAX_TIMES) && is_whole(bias, MAX_PLUS)) return (Affine){(double)scale, (double)bias, 1, 0};
    float steps = rintf(bias / scale);
    Affine shifted = {1, (double)steps, scale, 0};
    return is_whole(steps, MAX_PLUS) && same_values(&as_given, &shifted, most) ? shifted : as_given;
}

/* ---- the program --------------------------------------------------------------------------------------------------
 */

typedef struct Count {
    Expand *e;
    ExprBuilder b;
    VEC(Value *) in;
} Count;

/* Threshold k of all channels: a constant in the program where they agree, else an input. */
static X load_threshold(Count *s, const Tensor *t, int64_t k) {
    const Node *n = s->e->node;
    int64_t channels = t->type.shape.dim[0], equal = 1;
    while (!t->splat && equal < channels && threshold(t, equal, k) == threshold(t, 0, k)) equal++;
    if (t->splat || equal == channels) return x_const(&s->b, QCC_F32, threshold(t, 0, k));
    Shape along = shape_along(in_shape(n, X_IN)->rank, channel_axis(n), channels);
    Tensor *column = tensor_new(s->b.arena, (Type){QCC_F32, along});
    for (int64_t i = 0; i < channels; i++) tensor_set(column, i, threshold(t, i, k));
    vec_push(s->b.arena, &s->in, expand_constant(s->e, column));
    return x_in(&s->b, (int)s->in.n - 1, QCC_F32);
}

static Elem elem_of(const Affine *f, int most) {
    double first = f->plus, last = (double)most * f->times + f->plus;
    return code_elem(fmin(first, last), fmax(first, last));
}

/* A program that adds the thresholds reached from `from` on, at most CHUNK of them, to the count so far (NULL: none).
 */
static X count_reached(Count *s, const Tensor *t, int64_t from, Value *so_far) {
    X x = x_in(&s->b, 0, QCC_F32), n = -1;
    if (so_far) {
        vec_push(s->b.arena, &s->in, so_far);
        n = x_in(&s->b, 1, QCC_I32);
    }
    for (int64_t k = from; k < i64_min(from + CHUNK, t->type.shape.dim[1]); k++) {
        X reached = x_cast(&s->b, QCC_I32, x_2(&s->b, X_LE, load_threshold(s, t, k), x));
        n = n >= 0 ? x_2(&s->b, X_ADD, n, reached) : reached;
    }
    return n;
}

static X to_code(Count *s, X n, const Affine *f, int most) {
    n = x_2(&s->b, X_MUL, n, x_const_int(&s->b, QCC_I32, (int64_t)f->times));
    n = x_2(&s->b, X_ADD, n, x_const_int(&s->b, QCC_I32, (int64_t)f->plus));
    return x_cast(&s->b, elem_of(f, most), n);
}

static Value *build_codes(Expand *e, const Tensor *t, const Affine *f) {
    int most = (int)t->type.shape.dim[1];
    Value *v = NULL;
    for (int from = 0; from < most; from += CHUNK) {
        Count s = {.e = e, .b = {.arena = e->graph->arena}};
        vec_push(s.b.arena, &s.in, e->node->in[X_IN]);
        X n = count_reached(&s, t, from, v);
        if (from + CHUNK >= most) n = to_code(&s, n, f, most);
        Node *map = graph_node(e->graph, e->node, OP_Map, e->node->loc, (int)s.in.n, s.in.at, 1);
        map->expr = x_finish(&s.b, n, (int)s.in.n);
        if (!node_infer(e->diags, map)) bug("the counting of a MultiThreshold does not infer");
        v = map->out[0];
    }
    return v;
}

void expand_MultiThreshold(Expand *e) {
    const Tensor *t = in_const(e->node, THRESHOLDS);
    Affine f = codes_of(e->node, (int)t->type.shape.dim[1]);
    Value *v = expand_cast(e, build_codes(e, t, &f), QCC_F32);
    if (f.scale != 1) v = EXPAND(e, Mul, NULL, v, expand_scalar(e, QCC_F32, (double)f.scale));
    if (f.bias != 0) v = EXPAND(e, Add, NULL, v, expand_scalar(e, QCC_F32, (double)f.bias));
    expand_result(e, 0, v);
}
