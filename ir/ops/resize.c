/* Resize and Upsample: separable resampling. Each axis that changes becomes a gather of the neighbours ("taps") of
 * every output coordinate and their weighted sum; places and weights are constants, computed here in double.
 *
 * Coordinates follow ONNX: a tap's place outside the axis reads the nearest element inside (edge padding); weights are
 * those of linear interpolation (a triangle), of cubic convolution (R. G. Keys, "Cubic convolution interpolation for
 * digital image processing", 1981), or, with antialias, of the same filters stretched by 1/scale. */
#include "ir/ops/expand.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef enum Mode { NEAREST, LINEAR, CUBIC } Mode;
typedef enum Transform { HALF_PIXEL, SYMMETRIC, PYTORCH, CORNERS, ASYMMETRIC, CROP } Transform;
typedef enum Rounding { PREFER_FLOOR, PREFER_CEIL, FLOOR, CEIL } Rounding;
typedef enum Policy { STRETCH, NOT_LARGER, NOT_SMALLER } Policy;

static const char *const modes[] = {"nearest", "linear", "cubic"};
static const char *const transforms[] = {"half_pixel",    "half_pixel_symmetric", "pytorch_half_pixel",
                                         "align_corners", "asymmetric",           "tf_crop_and_resize"};
static const char *const roundings[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"};
static const char *const policies[] = {"stretch", "not_larger", "not_smaller"};

typedef struct Axis {
    int64_t in, out;
    double scale;      /* as ONNX has it: out / in, or the operand's */
    double start, end; /* of the region, relative to the input; 0 and 1 but for tf_crop_and_resize */
} Axis;

typedef struct Plan {
    Mode mode;
    Transform transform;
    Rounding rounding;
    Policy policy;
    bool antialias, exclude_outside;
    double cubic_a, extrapolation;
    int rank;
    Axis axis[MAX_RANK];
} Plan;

/* ---- reading the node ------------------------------------------------------------------------------------------- */

static bool read_word(Infer *c, const char *name, const char *const *words, int n, int *out) {
    const char *s = node_string(c->node, name);
    for (*out = 0; *out < n; ++*out)
        if (strcmp(s, words[*out]) == 0) return true;
    Text t = {.arena = c->arena};
    for (int i = 0; i < n; i++) text_add(&t, "%s%s", i == 0 ? "" : i == n - 1 ? " or " : ", ", words[i]);
    return infer_error(c, D_ATTRIBUTE, -1, "%s '%s'; wanted %s", name, s, t.s);
}

static bool read_attributes(Infer *c, Plan *p) {
    int mode, transform, rounding, policy;
    if (!read_word(c, "mode", modes, COUNT_OF(modes), &mode) ||
        !read_word(c, "coordinate_transformation_mode", transforms, COUNT_OF(transforms), &transform) ||
        !read_word(c, "nearest_mode", roundings, COUNT_OF(roundings), &rounding) ||
        !read_word(c, "keep_aspect_ratio_policy", policies, COUNT_OF(policies), &policy))
        return false;
    *p = (Plan){.mode = (Mode)mode,
                .transform = (Transform)transform,
                .rounding = (Rounding)rounding,
                .policy = (Policy)policy,
                .antialias = node_int(c->node, "antialias") != 0,
                .exclude_outside = node_int(c->node, "exclude_outside") != 0,
                .cubic_a = node_float(c->node, "cubic_coeff_a"),
                .extrapolation = node_float(c->node, "extrapolation_value"),
                .rank = in_shape(c->node, 0)->rank};
    if (p->mode != NEAREST && in_elem(c->node, 0) == QCC_BOOL)
        return infer_error(c, D_UNSUPPORTED_FORM, 0, "interpolation of a bool tensor; wanted mode nearest");
    if (p->antialias && p->mode == NEAREST)
        return infer_error(c, D_ATTRIBUTE, -1, "antialias with mode nearest; wanted linear or cubic");
    return true;
}

/* An operand counts as absent where it has no elements, as older models write it. */
static bool given(const Node *n, int operand) { return has_in(n, operand) && shape_count(in_shape(n, operand)) != 0; }

static bool check_count(Infer *c, int operand, int64_t wanted) {
    const Shape *s = in_shape(c->node, operand);
    if (s->rank == 1 && s->dim[0] == wanted) return true;
    return infer_error(c, D_OPERAND_SHAPE, operand, "shape %s; wanted %" PRId64 " elements", shape_str(c->arena, s),
                       wanted);
}

/* Output lengths from scales are rounded down in float32, as ONNX's shape inference does. */
static bool read_scale(Infer *c, double scale, Axis *a) {
    if (!(scale > 0) || isinf(scale))
        return infer_error(c, D_OPERAND_VALUE, 2, "scale %g; wanted a positive, finite one", scale);
    float length = floorf((float)a->in * (float)scale);
    if (!(length < 0x1p40f))
        return infer_error(c, D_SIZE_LIMIT, 2, "scale %g of a dimension of %" PRId64, scale, a->in);
    a->scale = scale;
    a->out = (int64_t)length;
    return true;
}

static bool read_size(Infer *c, int64_t size, Axis *a) {
    if (size < 0 || (a->in == 0 && size > 0))
        return infer_error(c, D_OPERAND_VALUE, 3, "size %" PRId64 " for a dimension of %" PRId64, size, a->in);
    a->out = size;
    a->scale = a->in ? (double)size / (double)a->in : 1;
    return true;
}

/* One scale for all axes listed, so that the image keeps its proportions. */
static bool keep_proportions(Infer *c, Plan *p, int n, const int *axes) {
    double scale = p->axis[axes[0]].scale;
    for (int i = 1; i < n; i++) {
        double s = p->axis[axes[i]].scale;
        if (p->policy == NOT_LARGER ? s < scale : s > scale) scale = s;
    }
    for (int i = 0; i < n; i++) {
        Axis *a = &p->axis[axes[i]];
        double length = floor(scale * (double)a->in + 0.5);
        if (!(length < 0x1p40)) return infer_error(c, D_SIZE_LIMIT, 3, "a dimension of %g", length);
        a->scale = scale;
        a->out = (int64_t)length;
    }
    return true;
}

static bool read_region(Infer *c, Plan *p, int n, const int *axes) {
    if (p->transform != CROP) return true;
    if (!given(c->node, 1))
        return infer_error(c, D_ARITY, 1, "no roi; coordinate_transformation_mode tf_crop_and_resize wants one");
    if (!check_count(c, 1, 2 * n)) return false;
    const Tensor *roi = in_const(c->node, 1);
    for (int i = 0; i < n; i++) {
        Axis *a = &p->axis[axes[i]];
        a->start = tensor_get(roi, i);
        a->end = tensor_get(roi, n + i);
        if (!isfinite(a->start) || !isfinite(a->end))
            return infer_error(c, D_OPERAND_VALUE, 1, "a region from %g to %g; wanted finite ends", a->start, a->end);
    }
    return true;
}

static bool read_lengths(Infer *c, Plan *p, int n, const int *axes) {
    const Node *node = c->node;
    bool scales = given(node, 2);
    int operand = scales ? 2 : 3;
    if (scales == given(node, 3))
        return infer_error(c, D_ARITY, -1,
                           scales ? "both scales and sizes; wanted one of them" : "neither scales nor sizes");
    if (!check_count(c, operand, n)) return false;
    const Tensor *t = in_const(node, operand);
    for (int i = 0; i < n; i++) {
        Axis *a = &p->axis[axes[i]];
        if (!(scales ? read_scale(c, tensor_get(t, i), a) : read_size(c, tensor_get_int(t, i), a))) return false;
    }
    return scales || p->policy == STRETCH || n == 0 || keep_proportions(c, p, n, axes);
}

static bool read_plan(Infer *c, Plan *p) {
    if (!read_attributes(c, p)) return false;
    const Shape *x = in_shape(c->node, 0);
    int n, axes[MAX_RANK];
    const int64_t *list = node_ints(c->node, "axes", &n);
    if (!infer_axes(c, n, list, x->rank, axes)) return false;
    if (!node_attr(c->node, "axes"))
        for (n = 0; n < x->rank; n++) axes[n] = n;
    for (int i = 0; i < x->rank; i++) p->axis[i] = (Axis){x->dim[i], x->dim[i], 1, 0, 1};
    return read_lengths(c, p, n, axes) && read_region(c, p, n, axes);
}

enum { MAX_LENGTH = 1 << 23 }; /* of a resized axis: its table of taps is a constant */

bool infer_Resize(Infer *c) {
    Plan p;
    if (!read_plan(c, &p)) return false;
    Shape s = {.rank = p.rank};
    for (int i = 0; i < p.rank; i++) {
        s.dim[i] = p.axis[i].out;
        if (p.axis[i].in == 0 && s.dim[i] > 0)
            return infer_error(c, D_OPERAND_SHAPE, 0, "dimension %d has no elements to resize", i);
        if (s.dim[i] != p.axis[i].in && i64_max(s.dim[i], p.axis[i].in) > MAX_LENGTH)
            return infer_error(c, D_SIZE_LIMIT, 0,
                               "dimension %d is resized from %" PRId64 " to %" PRId64 "; at most %d is supported", i,
                               p.axis[i].in, s.dim[i], MAX_LENGTH);
    }
    set_out(c, 0, 0, &s);
    return true;
}

/* ---- coordinates and weights ------------------------------------------------------------------------------------ */

/* The output coordinate x in the input. */
static double source(const Plan *p, const Axis *a, int64_t at) {
    double x = (double)at, in = (double)a->in, width = a->scale * in;
    switch (p->transform) {
    case CORNERS:
        return width == 1 ? 0 : x * (in - 1) / (width - 1);
    case ASYMMETRIC:
        return x / a->scale;
    case CROP:
        if (a->out == 1) return 0.5 * (a->start + a->end) * (in - 1);
        return a->start * (in - 1) + x * (a->end - a->start) * (in - 1) / (width - 1);
    case PYTORCH:
        return a->out > 1 ? (x + 0.5) / a->scale - 0.5 : 0;
    case SYMMETRIC:
        return in / 2 * (1 - (double)a->out / width) + (x + 0.5) / a->scale - 0.5;
    default:
        return (x + 0.5) / a->scale - 0.5;
    }
}

static double nearest(Rounding r, double x) {
    switch (r) {
    case PREFER_FLOOR:
        return ceil(x - 0.5);
    case PREFER_CEIL:
        return floor(x + 0.5);
    case FLOOR:
        return floor(x);
    default:
        return ceil(x);
    }
}

/* The filter's value at distance d. */
static double filter(const Plan *p, double d) {
    d = fabs(d);
    if (p->mode == LINEAR) return d < 1 ? 1 - d : 0;
    double a = p->cubic_a;
    if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

/* Half the filter's support in input elements, and by how much its argument shrinks. */
static double shrink_of(const Plan *p, const Axis *a) { return p->antialias && a->scale < 1 ? a->scale : 1; }

static int64_t taps_of(const Plan *p, const Axis *a) {
    if (p->mode == NEAREST || a->out == 0) return 1;
    double radius = p->mode == LINEAR ? 1 : 2;
    return 2 * (int64_t)ceil(radius / shrink_of(p, a));
}

/* The taps of one axis: for output i and tap j, place[i * taps + j] and its weight. */
typedef struct Taps {
    int64_t out, taps;
    int64_t *place;
    double *weight;
    bool *outside; /* per output: to be given the extrapolation value */
} Taps;

static void fill_output(const Plan *p, const Axis *a, double x, int64_t taps, int64_t *place, double *weight) {
    double first = p->mode == NEAREST ? nearest(p->rounding, x) : ceil(x) - (double)(taps / 2), sum = 0;
    for (int64_t j = 0; j < taps; j++) {
        double at = first + (double)j;
        bool inside = at >= 0 && at <= (double)(a->in - 1);
        weight[j] = p->mode == NEAREST ? 1 : filter(p, (at - x) * shrink_of(p, a));
        if (p->exclude_outside && !inside) weight[j] = 0;
        sum += weight[j];
        place[j] = inside ? (int64_t)at : at < 0 ? 0 : a->in - 1;
    }
    bool normalize = p->mode != NEAREST && (p->exclude_outside || shrink_of(p, a) < 1) && sum != 0;
    for (int64_t j = 0; normalize && j < taps; j++) weight[j] /= sum;
}

static Taps make_taps(Arena *arena, const Plan *p, const Axis *a) {
    Taps t = {.out = a->out, .taps = taps_of(p, a)};
    t.place = NEW_ARRAY(arena, int64_t, t.out *t.taps);
    t.weight = NEW_ARRAY(arena, double, t.out *t.taps);
    t.outside = NEW_ARRAY(arena, bool, t.out);
    for (int64_t i = 0; i < t.out; i++) {
        double x = source(p, a, i);
        t.outside[i] = p->transform == CROP && !(x >= 0 && x <= (double)(a->in - 1));
        fill_output(p, a, x, t.taps, t.place + i * t.taps, t.weight + i * t.taps);
    }
    return t;
}

/* ---- building ------------------------------------------------------------------------------------------------------
 */

/* Column j of the places, or of the weights along the axis. */
static Value *place_column(Expand *e, const Taps *t, int64_t j) {
    int64_t *v = NEW_ARRAY(e->graph->arena, int64_t, t->out);
    for (int64_t i = 0; i < t->out; i++) v[i] = t->place[i * t->taps + j];
    return expand_ints(e, t->out, v);
}

static Value *weights(Expand *e, Elem elem, Shape s, const double *from, int64_t step) {
    Tensor *w = tensor_new(e->graph->arena, (Type){elem, s});
    for (int64_t i = 0, n = shape_count(&s); i < n; i++) tensor_set(w, i, from[i * step]);
    return expand_constant(e, w);
}

static Value *gather(Expand *e, Value *x, int axis, Value *places) {
    return EXPAND(e, Gather, arena_printf(e->graph->arena, "axis=%d", axis), x, places);
}

/* Few taps: one gather and one multiplication each. */
static Value *sum_taps(Expand *e, Value *x, int axis, const Taps *t) {
    Shape along = shape_along(x->type.shape.rank, axis, t->out);
    Value *y = NULL;
    for (int64_t j = 0; j < t->taps; j++) {
        Value *v = gather(e, x, axis, place_column(e, t, j));
        v = EXPAND(e, Mul, NULL, v, weights(e, x->type.elem, along, t->weight + j, t->taps));
        y = y ? EXPAND(e, Add, NULL, y, v) : v;
    }
    return y;
}

/* Many taps: all neighbours side by side, then one reduction. In three dimensions, as a fourth comes in. */
static Value *reduce_taps(Expand *e, Value *x, int axis, const Taps *t) {
    Shape s = x->type.shape, table = shape_of(2, (int64_t[]){t->out, t->taps}),
          along = shape_of(4, (int64_t[]){1, t->out, t->taps, 1});
    int64_t outer = 1, inner = 1;
    for (int i = 0; i < axis; i++) outer *= s.dim[i];
    for (int i = axis + 1; i < s.rank; i++) inner *= s.dim[i];
    Shape flat = shape_of(3, (int64_t[]){outer, s.dim[axis], inner});
    Value *places = expand_constant(e, tensor_from_ints(e->graph->arena, QCC_I64, table, t->place));
    Value *v = gather(e, expand_reshape(e, x, &flat), 1, places);
    v = EXPAND(e, Mul, NULL, v, weights(e, x->type.elem, along, t->weight, 1));
    s.dim[axis] = t->out;
    return expand_reshape(e, expand_reduce(e, OP_ReduceSum, v, 1, (int64_t[]){2}), &s);
}

static Value *extrapolate(Expand *e, const Plan *p, Value *y, int axis, const Taps *t) {
    bool any = false;
    for (int64_t i = 0; i < t->out; i++) any |= t->outside[i];
    if (!any) return y;
    Tensor *mask = tensor_new(e->graph->arena, (Type){QCC_BOOL, shape_along(y->type.shape.rank, axis, t->out)});
    for (int64_t i = 0; i < t->out; i++) tensor_set_int(mask, i, t->outside[i]);
    return EXPAND(e, Where, NULL, expand_constant(e, mask), expand_scalar(e, y->type.elem, p->extrapolation), y);
}

static Value *resize_axis(Expand *e, const Plan *p, int axis, Value *x) {
    Taps t = make_taps(e->graph->arena, p, &p->axis[axis]);
    Value *y;
    if (p->mode == NEAREST)
        y = gather(e, x, axis, place_column(e, &t, 0));
    else
        y = t.taps <= 4 ? sum_taps(e, x, axis, &t) : reduce_taps(e, x, axis, &t);
    return extrapolate(e, p, y, axis, &t);
}

static bool changes(const Plan *p, const Axis *a) {
    return a->in != a->out || a->scale != 1 || (p->transform == CROP && (a->start != 0 || a->end != 1));
}

/* The type in which weighted sums are taken. */
static Elem work_elem(const Plan *p, Elem e) {
    if (p->mode == NEAREST) return e;
    bool wide = e == QCC_F64 || e == QCC_I32 || e == QCC_U32 || e == QCC_I64 || e == QCC_U64;
    return wide ? QCC_F64 : QCC_F32;
}

/* Back to an integer type: rounded to even and saturated. */
static Value *to_integers(Expand *e, Value *y, Elem elem) {
    bool is_signed = elem_info[elem].kind == ELEM_I;
    int bits = elem_info[elem].bits - (is_signed ? 1 : 0);
    double high = ldexp(1, bits) - (bits > 53 ? ldexp(1, bits - 53) : 1), low = is_signed ? -ldexp(1, bits) : 0;
    y = EXPAND(e, Round, NULL, y);
    y = EXPAND(e, Max, NULL, y, expand_scalar(e, y->type.elem, low));
    y = EXPAND(e, Min, NULL, y, expand_scalar(e, y->type.elem, high));
    return expand_cast(e, y, elem);
}

void expand_Resize(Expand *e) {
    Plan p;
    Infer c = {.arena = e->graph->arena, .diags = e->diags, .node = e->node};
    if (!read_plan(&c, &p)) return;
    Elem elem = in_elem(e->node, 0);
    Value *y = expand_cast(e, e->node->in[0], work_elem(&p, elem));
    for (int i = 0; i < p.rank; i++)
        if (changes(&p, &p.axis[i])) y = resize_axis(e, &p, i, y);
    if (y->type.elem != elem && elem_is_int(elem)) y = to_integers(e, y, elem);
    expand_narrow(e, 0, y);
}
