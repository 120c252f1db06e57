/* Poolings. */
#include "ir/ops/operand.h"
#include "ir/ops/window.h"

static bool infer_pool(Infer *c, Shape *s) {
    Window w;
    if (!window_resolve(c, &w)) return false;
    *s = *in_shape(c->node, 0);
    for (int i = 0; i < w.rank; i++) s->dim[2 + i] = w.out[i];
    set_out(c, 0, 0, s);
    return true;
}

/* Kernels, strides, dilations, begin and end pads of three spatial axes. */
static void pack_pool(Pack *p) {
    Window w;
    window_of_node(p->node, &w);
    window_widen(&w);
    pack_ints(p, MAX_SPATIAL, w.kernel);
    pack_ints(p, MAX_SPATIAL, w.stride);
    pack_ints(p, MAX_SPATIAL, w.dilation);
    pack_ints(p, MAX_SPATIAL, w.pad_begin);
    pack_ints(p, MAX_SPATIAL, w.pad_end);
}

bool infer_MaxPool(Infer *c) {
    Shape s;
    int64_t order = node_int(c->node, "storage_order");
    if (order != 0 && order != 1)
        return infer_error(c, D_ATTRIBUTE, -1, "storage_order is %lld; 0 or 1 is wanted", (long long)order);
    if (!infer_pool(c, &s)) return false;
    set_out(c, 1, QCC_I64, &s);
    return true;
}

void pack_MaxPool(Pack *p) {
    pack_int(p, node_int(p->node, "storage_order"));
    pack_pool(p);
}

bool infer_AveragePool(Infer *c) {
    Shape s;
    return infer_pool(c, &s);
}

void pack_AveragePool(Pack *p) {
    pack_int(p, node_int(p->node, "count_include_pad") != 0);
    pack_pool(p);
}

/* ---- global poolings: reductions over all spatial axes ------------------------------------------------------------
 */

static bool infer_global(Infer *c) {
    if (!infer_rank_min(c, 0, 3)) return false;
    Shape s = *in_shape(c->node, 0);
    for (int i = 2; i < s.rank; i++) s.dim[i] = 1;
    set_out(c, 0, 0, &s);
    return true;
}

static Value *spatial_axes(Expand *e) {
    int64_t axes[MAX_RANK];
    int n = in_shape(e->node, 0)->rank - 2;
    for (int i = 0; i < n; i++) axes[i] = 2 + i;
    return expand_ints(e, n, axes);
}

bool infer_GlobalAveragePool(Infer *c) { return infer_global(c); }
bool infer_GlobalMaxPool(Infer *c) { return infer_global(c); }

void expand_GlobalAveragePool(Expand *e) {
    expand_result(e, 0, EXPAND(e, ReduceMean, NULL, e->node->in[0], spatial_axes(e)));
}

void expand_GlobalMaxPool(Expand *e) {
    expand_result(e, 0, EXPAND(e, ReduceMax, NULL, e->node->in[0], spatial_axes(e)));
}

/* ---- MaxUnpool ------------------------------------------------------------------------------------------------- */

/* The size that pooling would have come from; the indices count in an image of this size. */
static bool read_unpool(Infer *c, Shape *inner) {
    const Shape *x = in_shape(c->node, 0);
    int rank = x->rank - 2, n_kernel, n_stride, n_pads;
    const int64_t *kernel = node_ints(c->node, "kernel_shape", &n_kernel);
    const int64_t *stride = node_ints(c->node, "strides", &n_stride), *pads = node_ints(c->node, "pads", &n_pads);
    if (rank < 1 || n_kernel != rank || (stride && n_stride != rank) || (pads && n_pads != 2 * rank))
        return infer_error(c, D_ATTRIBUTE, 0, "%d kernel sizes, %d strides and %d pads for %d spatial axes", n_kernel,
                           n_stride, n_pads, rank);
    *inner = *x;
    for (int i = 0; i < rank; i++) {
        int64_t begin = pads ? pads[i] : 0, end = pads ? pads[rank + i] : 0, by = stride ? stride[i] : 1,
                *d = &inner->dim[2 + i];
        if (kernel[i] < 1 || by < 1 || begin < 0 || end < 0 ||
            i64_max(i64_max(kernel[i], by), i64_max(begin, end)) > INT32_MAX)
            return infer_error(c, D_ATTRIBUTE, -1, "kernel %lld, stride %lld, pads %lld and %lld on spatial axis %d",
                               (long long)kernel[i], (long long)by, (long long)begin, (long long)end, i);
        if (*d < 1 || mul_overflow(*d - 1, by, d) || *d > MAX_TENSOR_BYTES || (*d += kernel[i] - begin - end) < 1)
            return infer_error(c, D_OPERAND_SHAPE, 0, "spatial axis %d cannot be unpooled", i);
    }
    return true;
}

bool infer_MaxUnpool(Infer *c) {
    Shape inner;
    IntList want;
    if (!read_unpool(c, &inner) || !infer_ints(c, 2, MAX_RANK, &want)) return false;
    if (!shape_equal(in_shape(c->node, 0), in_shape(c->node, 1)))
        return infer_error(c, D_OPERAND_SHAPE, 1, "the indices need the shape of operand 0, %s",
                           shape_str(c->arena, in_shape(c->node, 0)));
    if (!want.given) return set_out(c, 0, 0, &inner), true;
    Shape s = shape_of((int)want.n, want.v);
    bool fits = s.rank == inner.rank && s.dim[0] == inner.dim[0] && s.dim[1] == inner.dim[1];
    for (int i = 2; fits && i < s.rank; i++) fits = s.dim[i] >= inner.dim[i];
    if (!fits)
        return infer_error(c, D_OPERAND_VALUE, 2, "output_shape is %s; at least %s is wanted", shape_str(c->arena, &s),
                           shape_str(c->arena, &inner));
    set_out(c, 0, 0, &s);
    return true;
}

void pack_MaxUnpool(Pack *p) {
    Again again;
    Shape inner;
    if (!read_unpool(infer_again(&again, p->node), &inner)) bug("MaxUnpool does not resolve again");
    pack_ints(p, inner.rank, inner.dim);
}
