/* Deformable convolution (Dai et al., "Deformable convolutional networks", 2017; with a mask: Zhu et al., "Deformable
 * ConvNets v2", 2019): every tap of the kernel is sampled at a place of its own between the pixels. It is a bilinear
 * sampling of all taps, followed by the matrix product that any convolution is. */
#include "ir/ops/expand.h"

#include <inttypes.h>

enum { INPUT, W, OFFSET, BIAS, MASK };

typedef struct Deform {
    int64_t batch, channels, filters, in[2], out[2], kernel[2], stride[2], dilation[2], pad[4];
    int64_t group, offset_group, taps, places;
} Deform;

static bool read_window(Infer *c, Deform *d) {
    const Shape *x = in_shape(c->node, INPUT), *w = in_shape(c->node, W);
    if (!infer_rank(c, INPUT, 4) || !infer_rank(c, W, 4)) return false;
    if (!infer_list(c, "strides", 2, 1, 1, d->stride) || !infer_list(c, "dilations", 2, 1, 1, d->dilation) ||
        !infer_list(c, "pads", 4, 0, 0, d->pad))
        return false;
    int count;
    const int64_t *given = node_ints(c->node, "kernel_shape", &count);
    if (count && (count != 2 || given[0] != w->dim[2] || given[1] != w->dim[3]))
        return infer_error(c, D_ATTRIBUTE, W, "a kernel_shape that is not that of the weights");
    for (int i = 0; i < 2; i++) {
        d->in[i] = x->dim[2 + i];
        d->kernel[i] = w->dim[2 + i];
        if (d->in[i] < 1 || d->kernel[i] < 1 || d->kernel[i] > INT32_MAX || d->in[i] > INT32_MAX)
            return infer_error(c, D_OPERAND_SHAPE, d->in[i] < 1 ? INPUT : W,
                               "a spatial dimension without elements, or too large");
        int64_t room = d->in[i] + d->pad[i] + d->pad[2 + i] - ((d->kernel[i] - 1) * d->dilation[i] + 1);
        if (room < 0) return infer_error(c, D_OPERAND_SHAPE, INPUT, "a kernel that is larger than the padded image");
        d->out[i] = room / d->stride[i] + 1;
    }
    d->taps = d->kernel[0] * d->kernel[1];
    d->places = d->out[0] * d->out[1];
    return true;
}

static bool check_shape(Infer *c, int operand, int64_t rows, const Deform *d) {
    const Shape *s = in_shape(c->node, operand);
    Shape want = shape_of(4, (int64_t[]){d->batch, rows, d->out[0], d->out[1]});
    if (shape_equal(s, &want)) return true;
    return infer_error(c, D_OPERAND_SHAPE, operand, "shape %s; wanted %s", shape_str(c->arena, s),
                       shape_str(c->arena, &want));
}

static bool read_deform(Infer *c, Deform *d) {
    *d = (Deform){.group = node_int(c->node, "group"), .offset_group = node_int(c->node, "offset_group")};
    if (!read_window(c, d)) return false;
    const Shape *x = in_shape(c->node, INPUT), *w = in_shape(c->node, W);
    d->batch = x->dim[0];
    d->channels = x->dim[1];
    d->filters = w->dim[0];
    if (d->group < 1 || d->offset_group < 1 || d->channels % d->group || d->filters % d->group ||
        d->channels % d->offset_group)
        return infer_error(c, D_ATTRIBUTE, W,
                           "group %" PRId64 " and offset_group %" PRId64 "; wanted divisors of the channels", d->group,
                           d->offset_group);
    if (w->dim[1] != d->channels / d->group)
        return infer_error(c, D_OPERAND_SHAPE, W, "weights for %" PRId64 " channels; a group has %" PRId64, w->dim[1],
                           d->channels / d->group);
    int64_t points;
    if (mul_overflow(d->taps, d->offset_group, &points) || points > INT32_MAX)
        return infer_error(c, D_SIZE_LIMIT, W, "too many sampling points");
    if (!check_shape(c, OFFSET, 2 * points, d) || (has_in(c->node, MASK) && !check_shape(c, MASK, points, d)))
        return false;
    if (!has_in(c->node, BIAS) || (in_shape(c->node, BIAS)->rank == 1 && in_shape(c->node, BIAS)->dim[0] == d->filters))
        return true;
    return infer_error(c, D_OPERAND_SHAPE, BIAS, "a bias of shape %s; wanted one for each of %" PRId64 " filters",
                       shape_str(c->arena, in_shape(c->node, BIAS)), d->filters);
}

bool infer_DeformConv(Infer *c) {
    Deform d;
    if (!read_deform(c, &d)) return false;
    Shape y = shape_of(4, (int64_t[]){d.batch, d.filters, d.out[0], d.out[1]});
    set_out(c, 0, 0, &y);
    return true;
}

/* Where each tap of each place lies without its offset: [1, taps, places, 2], rows before columns. */
static Value *fixed_places(Expand *e, const Deform *d, Elem elem) {
    Tensor *t = tensor_new(e->graph->arena, (Type){elem, shape_of(4, (int64_t[]){1, d->taps, d->places, 2})});
    int64_t at = 0;
    for (int64_t tap = 0; tap < d->taps; tap++) {
        for (int64_t place = 0; place < d->places; place++) {
            int64_t k[2] = {tap / d->kernel[1], tap % d->kernel[1]}, o[2] = {place / d->out[1], place % d->out[1]};
            for (int i = 0; i < 2; i++)
                tensor_set(t, at++, (double)(o[i] * d->stride[i] - d->pad[i] + k[i] * d->dilation[i]));
        }
    }
    return expand_constant(e, t);
}

/* GridSample's coordinates: columns before rows, from -1 to 1 between the image's edges. In double, so that whole
 * pixels stay whole through the conversion there and back. */
static Value *sampling_grid(Expand *e, const Deform *d) {
    const Elem elem = QCC_F64;
    Value *v = expand_cast(e, e->node->in[OFFSET], elem);
    Shape split = shape_of(4, (int64_t[]){d->batch * d->offset_group, d->taps, 2, d->places});
    v = expand_transpose(e, expand_reshape(e, v, &split), 4, (int[]){0, 1, 3, 2});
    v = EXPAND(e, Add, NULL, v, fixed_places(e, d, elem));
    Tensor *size = tensor_new(e->graph->arena, (Type){elem, shape_of(1, (int64_t[]){2})});
    for (int i = 0; i < 2; i++) tensor_set(size, i, (double)d->in[i]);
    Value *one = expand_scalar(e, elem, 1);
    v = EXPAND(e, Add, NULL, EXPAND(e, Mul, NULL, v, expand_scalar(e, elem, 2)), one);
    v = EXPAND(e, Sub, NULL, EXPAND(e, Div, NULL, v, expand_constant(e, size)), one);
    return EXPAND(e, Gather, "axis=3", v, expand_ints(e, 2, (int64_t[]){1, 0}));
}

void expand_DeformConv(Expand *e) {
    Deform d;
    Again again;
    if (!read_deform(infer_again(&again, e->node), &d)) bug("DeformConv: the operands were good before");
    int64_t images = d.batch * d.offset_group, depth = d.channels / d.group * d.taps;
    Shape image = shape_of(4, (int64_t[]){images, d.channels / d.offset_group, d.in[0], d.in[1]});
    Shape masked = shape_of(4, (int64_t[]){images, 1, d.taps, d.places});
    Shape columns = shape_of(4, (int64_t[]){d.batch, d.group, depth, d.places});
    Shape rows = shape_of(3, (int64_t[]){d.group, d.filters / d.group, depth});
    Value *x = expand_reshape(e, expand_widen(e, e->node->in[INPUT]), &image);
    x = EXPAND(e, GridSample, NULL, x, sampling_grid(e, &d));
    if (has_in(e->node, MASK))
        x = EXPAND(e, Mul, NULL, x, expand_reshape(e, expand_widen(e, e->node->in[MASK]), &masked));
    Value *w = expand_reshape(e, expand_widen(e, e->node->in[W]), &rows);
    Value *y = EXPAND(e, MatMul, NULL, w, expand_reshape(e, x, &columns));
    y = expand_reshape(e, y, &e->node->out[0]->type.shape);
    if (has_in(e->node, BIAS)) {
        Shape along = shape_along(4, 1, d.filters);
        y = EXPAND(e, Add, NULL, y, expand_reshape(e, expand_widen(e, e->node->in[BIAS]), &along));
    }
    expand_narrow(e, 0, y);
}
