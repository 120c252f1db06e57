/* Operators of older sets, rewritten to the newest. Every rewrite sees the complete types of the operands, and what it
 * emits in front is folded at once where it can be. No file behind this one asks for the operator set. */
#include <string.h>

#include "frontend/import.h"

/* ---- small things ---- */

static const Shape *operand_shape(const Draft *d, size_t i) { return &d->in.at[i]->type.shape; }

/* Operands that the rewrite needs; what is wrong with them otherwise, inference will say. */
static bool has_operands(const Draft *d, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (!draft_in(d, i)) return false;
    }
    return true;
}

static Value *reshape(Draft *d, Value *v, const Shape *s) {
    return draft_emit(d, "Reshape", 2, (Value *[]){v, draft_const_ints(d, (size_t)s->rank, s->dim)}, 1,
                      (Attr[]){attr_int("allowzero", 1)});
}

/* A list attribute becomes operand i. */
static bool ints_to_operand(Draft *d, const char *name, size_t i) {
    const Attr *a = draft_attr(d, name);
    if (!a) return true;
    if (a->kind != ATTR_INTS) return draft_error(d, D_ATTRIBUTE, "attribute '%s' is no list of integers", name);
    draft_set_in(d, i, draft_const_ints(d, (size_t)a->n, a->ints));
    draft_drop(d, name);
    return true;
}

/* A number becomes operand i, of the type of operand 0. */
static bool float_to_operand(Draft *d, const char *name, size_t i) {
    const Attr *a = draft_attr(d, name);
    if (!a || !has_operands(d, 1)) return true;
    if (a->kind != ATTR_FLOAT) return draft_error(d, D_ATTRIBUTE, "attribute '%s' is no float", name);
    draft_set_in(d, i, draft_const_floats(d, d->in.at[0]->type.elem, 0, 1, &a->f));
    draft_drop(d, name);
    return true;
}

static bool rename_attr(Draft *d, const char *from, const char *to) {
    const Attr *a = draft_attr(d, from);
    if (!a) return true;
    Attr renamed = *a;
    renamed.name = to;
    draft_drop(d, from);
    draft_put(d, renamed);
    return true;
}

static bool has_string(const Draft *d, const char *name, const char *value) {
    const Attr *a = draft_attr(d, name);
    return a && a->kind == ATTR_STRING && strcmp(a->s, value) == 0;
}

/* ---- what went, and what was renamed ---- */

static bool drop(Draft *d, const char *name) {
    draft_drop(d, name);
    return true;
}
static bool drop_is_test(Draft *d) { return drop(d, "is_test"); }
static bool drop_ratio(Draft *d) { return drop(d, "ratio"); }
static bool drop_broadcast(Draft *d) { return drop(d, "broadcast"); }

static bool drop_spatial(Draft *d) {
    if (draft_int(d, "spatial", 1) == 0) return draft_error(d, D_UNSUPPORTED_FORM, "spatial=0 is not supported");
    return drop(d, "spatial");
}

static bool refuse_training_results(Draft *d) {
    for (int i = 1; i < d->n_out; i++) {
        if (d->wanted[i]) return draft_error(d, D_UNSUPPORTED_FORM, "result %d is made in training only", i);
    }
    return true;
}

static bool rename_scatter(Draft *d) {
    d->op = "ScatterElements";
    return true;
}

/* The rows of Resize do the rest. */
static bool rename_upsample(Draft *d) {
    if (has_string(d, "mode", "bilinear")) draft_put_string(d, "mode", "linear");
    d->op = "Resize";
    d->opset = 10;
    return true;
}

static bool rename_paddings(Draft *d) { return rename_attr(d, "paddings", "pads"); }

static bool grid_modes(Draft *d) {
    if (has_string(d, "mode", "bilinear")) draft_put_string(d, "mode", "linear");
    if (has_string(d, "mode", "bicubic")) draft_put_string(d, "mode", "cubic");
    return true;
}

/* ---- defaults ---- */

static bool concat_axis(Draft *d) {
    if (!draft_attr(d, "axis")) draft_put_int(d, "axis", 1);
    return true;
}

static bool roi_mode(Draft *d) {
    if (!draft_attr(d, "coordinate_transformation_mode"))
        draft_put_string(d, "coordinate_transformation_mode", "output_half_pixel");
    return true;
}

static bool selu_defaults(Draft *d) {
    if (!draft_attr(d, "alpha")) draft_put(d, (Attr){.name = "alpha", .kind = ATTR_FLOAT, .f = (double)1.6732F});
    if (!draft_attr(d, "gamma")) draft_put(d, (Attr){.name = "gamma", .kind = ATTR_FLOAT, .f = (double)1.0507F});
    return true;
}

static bool integer_p(Draft *d) {
    const Attr *a = draft_attr(d, "p");
    if (!a || a->kind != ATTR_FLOAT) return true;
    if (!(a->f >= 1 && a->f <= 1e6)) return draft_error(d, D_ATTRIBUTE, "attribute 'p' is %g", a->f);
    if (a->f != (double)(int64_t)a->f) return draft_error(d, D_UNSUPPORTED_FORM, "p=%g is no integer", a->f);
    draft_put_int(d, "p", (int64_t)a->f);
    return true;
}

static bool name_to_number(Draft *d) {
    static const struct {
        const char *name;
        Elem elem;
    } names[] = {{"FLOAT", QCC_F32},   {"UINT8", QCC_U8},   {"INT8", QCC_I8},    {"UINT16", QCC_U16},
                 {"INT16", QCC_I16},   {"INT32", QCC_I32},  {"INT64", QCC_I64},  {"BOOL", QCC_BOOL},
                 {"FLOAT16", QCC_F16}, {"DOUBLE", QCC_F64}, {"UINT32", QCC_U32}, {"UINT64", QCC_U64}};
    const Attr *a = draft_attr(d, "to");
    if (!a || a->kind != ATTR_STRING) return true;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (strcmp(a->s, names[i].name) != 0) continue;
        draft_put_int(d, "to", names[i].elem);
        return true;
    }
    return draft_error(d, D_ELEM_TYPE, "element type '%s' is not supported", a->s);
}

/* ---- attributes that became operands ---- */

static bool axes_operand(Draft *d) { return ints_to_operand(d, "axes", 1); }
static bool shape_operand(Draft *d) { return ints_to_operand(d, "shape", 1); }
static bool split_operand(Draft *d) { return ints_to_operand(d, "split", 1); }
static bool clip_bounds(Draft *d) { return float_to_operand(d, "min", 1) && float_to_operand(d, "max", 2); }
static bool pad_operands(Draft *d) { return ints_to_operand(d, "pads", 1) && float_to_operand(d, "value", 2); }

static bool slice_operands(Draft *d) {
    return ints_to_operand(d, "starts", 1) && ints_to_operand(d, "ends", 2) && ints_to_operand(d, "axes", 3);
}

static bool k_operand(Draft *d) {
    const Attr *a = draft_attr(d, "k");
    if (!a || a->kind != ATTR_INT) return draft_error(d, D_ATTRIBUTE, "attribute 'k' is missing or no integer");
    draft_set_in(d, 1, draft_const_ints(d, 1, &a->i));
    return drop(d, "k");
}

static bool dft_axis(Draft *d) {
    int64_t axis = draft_int(d, "axis", 1);
    draft_set_in(d, 2,
                 graph_constant(d->imp->g, "", tensor_from_ints(d->imp->arena, QCC_I64, shape_of(0, NULL), &axis)));
    return drop(d, "axis");
}

static bool count_parts(Draft *d) {
    if (!draft_in(d, 1) && !draft_attr(d, "num_outputs")) draft_put_int(d, "num_outputs", d->n_out);
    return true;
}

/* The mask of a Dropout that drops nothing is all ones. */
static bool number_mask(Draft *d) {
    if (d->n_out < 2 || !d->wanted[1] || !has_operands(d, 1)) return true;
    Tensor *one = tensor_new(d->imp->arena, (Type){d->in.at[0]->type.elem, shape_of(0, NULL)});
    tensor_set(one, 0, 1);
    d->out[1] = graph_constant(d->imp->g, "", tensor_splat(d->imp->arena, d->in.at[0]->type, one->data));
    d->wanted[1] = false;
    return true;
}

/* ---- shapes ---- */

/* Operand i with ones behind its dimensions, so that its first stands at `axis` of operand 0. */
static bool align(Draft *d, size_t i, int64_t axis) {
    Shape s = *operand_shape(d, i);
    int64_t rank = operand_shape(d, 0)->rank - axis;
    if (axis < 0 || rank < s.rank) {
        return draft_error(d, D_OPERAND_SHAPE, "operand %zu does not fit operand 0 from axis %lld on", i,
                           (long long)axis);
    }
    if (rank == s.rank) return true;
    while (s.rank < rank) s.dim[s.rank++] = 1;
    d->in.at[i] = reshape(d, d->in.at[i], &s);
    return true;
}

static bool align_operand(Draft *d) {
    int64_t axis = draft_int(d, "axis", -1);
    bool broadcast = draft_int(d, "broadcast", 0) != 0;
    draft_drop(d, "axis");
    draft_drop(d, "broadcast");
    return !broadcast || axis < 0 || !has_operands(d, 2) || align(d, 1, axis);
}

static bool align_slope(Draft *d) {
    if (!has_operands(d, 2) || operand_shape(d, 1)->rank != 1 || operand_shape(d, 1)->dim[0] == 1) return true;
    return operand_shape(d, 0)->rank < 2 || align(d, 1, 1);
}

/* The only axis from `from` on that is longer than 1 (or the last); -1 if there are several. */
static int only_axis(const Shape *s, int from) {
    int found = -1;
    for (int i = from; i < s->rank; i++) {
        if (s->dim[i] == 1) continue;
        if (found >= 0) return -1;
        found = i;
    }
    return found >= 0 ? found : s->rank - 1;
}

static bool flatten_softmax(Draft *d) {
    if (!has_operands(d, 1) || operand_shape(d, 0)->rank == 0) return true;
    const Shape *s = operand_shape(d, 0);
    int64_t axis = draft_int(d, "axis", 1);
    if (axis < 0) axis += s->rank;
    if (axis < 0 || axis > s->rank || (axis == s->rank && s->rank > 1)) {
        return draft_error(d, D_ATTRIBUTE, "axis %lld is out of range", (long long)draft_int(d, "axis", 1));
    }
    if (axis == s->rank) axis = 0;
    int only = only_axis(s, (int)axis);
    draft_put_int(d, "axis", only);
    if (only >= 0) return true;
    Value *flat = draft_emit(d, "Flatten", 1, d->in.at, 1, (Attr[]){attr_int("axis", axis)});
    d->out[0] = reshape(d, draft_emit(d, d->op, 1, &flat, 1, (Attr[]){attr_int("axis", 1)}), s);
    d->done = true;
    return true;
}

/* [groups] -> [channels], each entry repeated. */
static Value *widen(Draft *d, Value *v, int64_t groups, int64_t channels) {
    Shape column = shape_of(2, (int64_t[]){groups, 1}), line = shape_of(1, &channels);
    int64_t table[] = {groups, channels / groups};
    Value *in[] = {reshape(d, v, &column), draft_const_ints(d, 2, table)};
    return reshape(d, draft_emit(d, "Expand", 2, in, 0, NULL), &line);
}

static bool widen_groups(Draft *d) {
    int64_t groups = draft_int(d, "num_groups", 0);
    if (!has_operands(d, 3) || operand_shape(d, 0)->rank < 2) return true;
    int64_t channels = operand_shape(d, 0)->dim[1];
    if (groups < 1 || channels % groups != 0) {
        return draft_error(d, D_ATTRIBUTE, "num_groups is %lld, with %lld channels", (long long)groups,
                           (long long)channels);
    }
    for (size_t i = 1; i < 3; i++) d->in.at[i] = widen(d, d->in.at[i], groups, channels);
    return true;
}

static bool tile_repeats(Draft *d) {
    if (!has_operands(d, 3)) return true;
    const Tensor *tiles = d->in.at[1]->constant, *axis = d->in.at[2]->constant;
    int rank = operand_shape(d, 0)->rank;
    if (!tiles || !axis || shape_count(&tiles->type.shape) != 1 || shape_count(&axis->type.shape) != 1) {
        return draft_error(d, D_UNSUPPORTED_FORM, "tiles and axis must be constants of one element");
    }
    double at = tensor_get(axis, 0), times = tensor_get(tiles, 0);
    if (!(at >= 0 && at < rank && times >= 0 && times < 1e9))
        return draft_error(d, D_OPERAND_VALUE, "tiles or axis is out of range");
    int64_t repeats[MAX_RANK];
    for (int i = 0; i < rank; i++) repeats[i] = i == (int)at ? (int64_t)times : 1;
    d->in.n = 1;
    draft_set_in(d, 1, draft_const_ints(d, (size_t)rank, repeats));
    return true;
}

/* output_shape could begin with the batch and the channels. */
static bool spatial_shape(Draft *d) {
    const Attr *a = draft_attr(d, "output_shape");
    if (!a || a->kind != ATTR_INTS || !has_operands(d, 1) || a->n != operand_shape(d, 0)->rank || a->n < 2) return true;
    draft_put(d, (Attr){.name = "output_shape", .kind = ATTR_INTS, .n = a->n - 2, .ints = a->ints + 2});
    return true;
}

/* ---- resizing ---- */

static bool upsample_scales(Draft *d) {
    const Attr *w = draft_attr(d, "width_scale"), *h = draft_attr(d, "height_scale");
    if (!w || !h || w->kind != ATTR_FLOAT || h->kind != ATTR_FLOAT) {
        return draft_error(d, D_ATTRIBUTE, "attribute 'width_scale' or 'height_scale' is missing or no float");
    }
    double *scales = NEW_ARRAY(d->imp->arena, double, 4);
    scales[0] = scales[1] = 1, scales[2] = h->f, scales[3] = w->f;
    draft_drop(d, "width_scale");
    draft_drop(d, "height_scale");
    draft_put(d, (Attr){.name = "scales", .kind = ATTR_FLOATS, .n = 4, .floats = scales});
    return true;
}

static bool scales_operand(Draft *d) {
    const Attr *a = draft_attr(d, "scales");
    if (!a || a->kind != ATTR_FLOATS)
        return draft_error(d, D_ATTRIBUTE, "attribute 'scales' is missing or no list of floats");
    draft_set_in(d, 1, draft_const_floats(d, QCC_F32, 1, (size_t)a->n, a->floats));
    return drop(d, "scales");
}

/* The scales of a nearest Resize that shrink (or grow), the others 1. */
static Value *part_of_scales(Draft *d, const Tensor *scales, bool shrink) {
    int64_t n = shape_count(&scales->type.shape);
    double *part = NEW_ARRAY(d->imp->arena, double, n + 1);
    for (int64_t i = 0; i < n; i++) {
        double s = tensor_get(scales, i);
        part[i] = (s < 1) == shrink ? s : 1;
    }
    return draft_const_floats(d, QCC_F32, 1, (size_t)n, part);
}

/* Set 10 took the nearest element above where it shrank, and the one below where it grew. Axes do not touch each other,
 * so the growing ones go first, in a node of their own. */
static bool round_by_direction(Draft *d, Value *scales) {
    const Attr modes[] = {{.name = "coordinate_transformation_mode", .kind = ATTR_STRING, .s = "asymmetric"},
                          {.name = "nearest_mode", .kind = ATTR_STRING, .s = "floor"}};
    bool grows = false, shrinks = false;
    for (int64_t i = 0; i < shape_count(&scales->type.shape); i++) {
        double s = tensor_get(scales->constant, i);
        grows = grows || s > 1;
        shrinks = shrinks || s < 1;
    }
    if (!shrinks) return true;
    draft_put_string(d, "nearest_mode", "ceil");
    if (!grows) return true;
    Value *in[] = {d->in.at[0], NULL, part_of_scales(d, scales->constant, false)};
    d->in.at[0] = draft_emit(d, "Resize", 3, in, 2, modes);
    d->in.at[2] = part_of_scales(d, scales->constant, true);
    return true;
}

static bool resize_operands(Draft *d) {
    Value *scales = draft_in(d, 1);
    bool nearest = !draft_attr(d, "mode") || has_string(d, "mode", "nearest");
    draft_set_in(d, 1, NULL);
    draft_set_in(d, 2, scales);
    draft_put_string(d, "coordinate_transformation_mode", "asymmetric");
    draft_put_string(d, "nearest_mode", "floor");
    return !nearest || !scales || !scales->constant || !has_operands(d, 1) || round_by_direction(d, scales);
}

/* x = (i + 0.5) / s is half_pixel's x plus a half: rounding it down at ties is the other's ceil, and its floor is the
 * other's rounding up. */
static bool tf_half_pixel(Draft *d) {
    if (!has_string(d, "coordinate_transformation_mode", "tf_half_pixel_for_nn")) return true;
    bool floor = has_string(d, "nearest_mode", "floor");
    if (!floor && draft_attr(d, "nearest_mode") && !has_string(d, "nearest_mode", "round_prefer_floor")) {
        return draft_error(d, D_UNSUPPORTED_FORM, "tf_half_pixel_for_nn is not supported with this nearest_mode");
    }
    draft_put_string(d, "coordinate_transformation_mode", "half_pixel");
    draft_put_string(d, "nearest_mode", floor ? "round_prefer_ceil" : "ceil");
    return true;
}

static bool drop_empty_operands(Draft *d) {
    for (size_t i = 1; i < d->in.n; i++) {
        const Value *v = d->in.at[i];
        if (v && shape_count(&v->type.shape) == 0) d->in.at[i] = NULL;
    }
    return true;
}

/* ---- the table ---- */

static const struct {
    const char *op;
    int since;
    bool (*rewrite)(Draft *);
} changes[] = {
#define CHANGE(op, since, rewrite, before) {op, since, rewrite},
#include "frontend/upgrade.def"
#undef CHANGE
};

bool upgrade_knows(const char *op) {
    for (size_t i = 0; i < COUNT_OF(changes); i++) {
        bool renames = changes[i].rewrite == rename_scatter || changes[i].rewrite == rename_upsample;
        if (renames && strcmp(changes[i].op, op) == 0) return true;
    }
    return false;
}

bool draft_upgrade(Draft *d) {
    if (d->opset < 6) draft_drop(d, "consumed_inputs");
    for (size_t i = 0; i < COUNT_OF(changes); i++) {
        if (d->opset >= changes[i].since || strcmp(changes[i].op, d->op) != 0) continue;
        const char *op = d->op;
        if (!changes[i].rewrite(d)) return false;
        if (d->done) return true;
        if (d->op != op) return draft_upgrade(d);
        d->opset = changes[i].since;
    }
    return true;
}
