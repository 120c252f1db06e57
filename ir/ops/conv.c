/* Convolutions. X is [N, C, spatial...]; W is [M, C/group, kernel...], of ConvTranspose [C, M/group, kernel...]. */
#include "ir/ops/expand.h"
#include "ir/ops/window.h"

static bool check_bias(Infer *c, int64_t channels) {
    if (!has_in(c->node, 2)) return true;
    const Shape *b = in_shape(c->node, 2);
    return (b->rank == 1 && b->dim[0] == channels) ||
           infer_error(c, D_OPERAND_SHAPE, 2, "a bias of shape %s; [%lld] is wanted, one for each output channel",
                       shape_str(c->arena, b), (long long)channels);
}

static void set_image(Infer *c, Elem elem, int64_t channels, const Window *w) {
    Shape s = {.rank = w->rank + 2, .dim = {in_shape(c->node, 0)->dim[0], channels}};
    for (int i = 0; i < w->rank; i++) s.dim[2 + i] = w->out[i];
    set_out(c, 0, elem, &s);
}

/* The shapes of Conv and its integer relative. */
static bool infer_forward(Infer *c, Elem elem, int64_t *channels) {
    Window w;
    int64_t wanted;
    if (!window_resolve(c, &w)) return false;
    const Shape *x = in_shape(c->node, 0), *k = in_shape(c->node, 1);
    if (mul_overflow(k->dim[1], w.group, &wanted) || x->dim[1] != wanted)
        return infer_error(c, D_OPERAND_SHAPE, 1, "%lld input channels; the weights take %lld in each of %lld groups",
                           (long long)x->dim[1], (long long)k->dim[1], (long long)w.group);
    if (k->dim[0] % w.group != 0)
        return infer_error(c, D_ATTRIBUTE, 1, "group %lld does not divide %lld output channels", (long long)w.group,
                           (long long)k->dim[0]);
    *channels = k->dim[0];
    set_image(c, elem, *channels, &w);
    return true;
}

bool infer_Conv(Infer *c) {
    int64_t channels;
    return infer_forward(c, 0, &channels) && check_bias(c, channels);
}

/* group, then strides, dilations and begin pads of three spatial axes. */
static void pack_conv(Pack *p) {
    Window w;
    window_of_node(p->node, &w);
    window_widen(&w);
    pack_int(p, w.group);
    pack_ints(p, MAX_SPATIAL, w.stride);
    pack_ints(p, MAX_SPATIAL, w.dilation);
    pack_ints(p, MAX_SPATIAL, w.pad_begin);
}

void pack_Conv(Pack *p) { pack_conv(p); }

static bool infer_transposed(Infer *c, int64_t *channels) {
    Window w;
    if (!window_resolve(c, &w)) return false;
    const Shape *x = in_shape(c->node, 0), *k = in_shape(c->node, 1);
    if (x->dim[1] != k->dim[0] || x->dim[1] % w.group != 0)
        return infer_error(c, D_OPERAND_SHAPE, 1,
                           "%lld input channels; the weights want %lld, a multiple of group %lld", (long long)x->dim[1],
                           (long long)k->dim[0], (long long)w.group);
    if (mul_overflow(k->dim[1], w.group, channels))
        return infer_error(c, D_SIZE_LIMIT, 1, "the output channels overflow");
    set_image(c, 0, *channels, &w);
    return true;
}

bool infer_ConvTranspose(Infer *c) {
    int64_t channels;
    return infer_transposed(c, &channels) && check_bias(c, channels);
}

void pack_ConvTranspose(Pack *p) { pack_conv(p); }

/* ---- ConvInteger: a QConv of operands less their zero points, whose padding is then 0 ---------------------------- */

bool infer_ConvInteger(Infer *c) {
    int64_t channels;
    if (!infer_forward(c, QCC_I32, &channels)) return false;
    if (has_in(c->node, 2) && shape_count(in_shape(c->node, 2)) != 1)
        return infer_error(c, D_OPERAND_SHAPE, 2, "a zero point of shape %s; a scalar is wanted",
                           shape_str(c->arena, in_shape(c->node, 2)));
    int64_t zeros = has_in(c->node, 3) ? shape_count(in_shape(c->node, 3)) : 1;
    return zeros == 1 || (zeros == channels && in_shape(c->node, 3)->rank == 1) ||
           infer_error(c, D_OPERAND_SHAPE, 3, "zero points of shape %s; a scalar or [%lld] is wanted",
                       shape_str(c->arena, in_shape(c->node, 3)), (long long)channels);
}

void expand_ConvInteger(Expand *e) {
    Node *n = e->node;
    Value *zw = has_in(n, 3) ? n->in[3] : NULL;
    if (zw && shape_count(&zw->type.shape) > 1) {
        Shape s = shape_along(in_shape(n, 1)->rank, 0, shape_count(&zw->type.shape));
        zw = expand_reshape(e, zw, &s);
    }
    Value *in[] = {expand_centred(e, n->in[0], has_in(n, 2) ? n->in[2] : NULL), expand_centred(e, n->in[1], zw)};
    Node *conv = graph_node(e->graph, n, OP_QConv, n->loc, 2, in, 1);
    for (int i = 0; i < n->n_attr; i++) node_set_attr(conv, &n->attr[i]);
    if (!node_infer(e->diags, conv)) bug("the QConv of a ConvInteger does not infer");
    expand_result(e, 0, conv->out[0]);
}

/* ---- integer products -------------------------------------------------------------------------------------------- */

bool infer_QConv(Infer *c) {
    int64_t channels;
    return infer_forward(c, 0, &channels);
}

void pack_QConv(Pack *p) { pack_conv(p); }

bool infer_QConvTranspose(Infer *c) {
    int64_t channels;
    return infer_transposed(c, &channels);
}

void pack_QConvTranspose(Pack *p) { pack_conv(p); }
