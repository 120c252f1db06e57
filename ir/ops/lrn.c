/* Local response normalisation across channels (Krizhevsky et al., "ImageNet classification with deep convolutional
 * neural networks", 2012, section 3.3). */
#include "ir/ops/expand.h"

#include <inttypes.h>

bool infer_LRN(Infer *c) {
    int64_t size = node_int(c->node, "size");
    if (size < 1) return infer_error(c, D_ATTRIBUTE, -1, "size %" PRId64 "; wanted at least 1", size);
    if (!infer_rank_min(c, 0, 2)) return false;
    set_out(c, 0, 0, in_shape(c->node, 0));
    return true;
}

/* x / (bias + alpha * mean of the squares of `size` neighbouring channels) ^ beta, channels outside counting as zeros.
 * With channels laid as image rows the mean is an average pooling. A window wider than twice the channels sees no more
 * of them, so it is cut there and the mean rescaled. */
void expand_LRN(Expand *e) {
    const Node *n = e->node;
    Value *x = expand_widen(e, n->in[0]);
    const Shape shape = x->type.shape;
    Elem elem = x->type.elem;
    if (shape_count(&shape) == 0) {
        expand_result(e, 0, n->in[0]);
        return;
    }
    int64_t size = node_int(n, "size"), channels = shape.dim[1];
    int64_t below = i64_min((size - 1) / 2, channels - 1), above = i64_min(size / 2, channels - 1);
    int64_t window = below + above + 1, rows = shape.dim[0] * channels, count = shape_count(&shape);
    Shape image = shape_of(4, (int64_t[]){shape.dim[0], 1, channels, count / rows});
    const char *attrs =
        arena_printf(e->graph->arena, "kernel_shape=%" PRId64 ",1 pads=%" PRId64 ",0,%" PRId64 ",0 count_include_pad=1",
                     window, below, above);
    Value *mean = EXPAND(e, AveragePool, attrs, expand_reshape(e, EXPAND(e, Mul, NULL, x, x), &image));
    double alpha = node_float(n, "alpha") * (double)window / (double)size;
    Value *sum = EXPAND(e, Mul, NULL, expand_reshape(e, mean, &shape), expand_scalar(e, elem, alpha));
    sum = EXPAND(e, Add, NULL, sum, expand_scalar(e, elem, node_float(n, "bias")));
    Value *power = EXPAND(e, Pow, NULL, sum, expand_scalar(e, elem, node_float(n, "beta")));
    expand_narrow(e, 0, EXPAND(e, Div, NULL, x, power));
}
