/* Poolings. */
#include "ir/ops/expand.h"
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

/* ---- LpPool, GlobalLpPool: the p-th root of the sum of |x|^p; padding adds nothing ---------------------------------
 */

static bool check_p(Infer *c) {
    int64_t p = node_int(c->node, "p");
    return p >= 1 || infer_error(c, D_ATTRIBUTE, -1, "p is %lld; at least 1 is wanted", (long long)p);
}

/* The weights of window_sums. */
static Shape ones_shape(const Window *w, int64_t channels) {
    Shape s = {.rank = w->rank + 2, .dim = {channels, 1}};
    for (int i = 0; i < w->rank; i++) s.dim[2 + i] = w->kernel[i];
    return s;
}

bool infer_LpPool(Infer *c) {
    Shape s;
    Window w;
    if (!check_p(c) || !infer_pool(c, &s)) return false;
    window_of_node(c->node, &w);
    Type ones = {QCC_F64, ones_shape(&w, s.dim[1])};
    int64_t bytes = type_bytes(&ones);
    return (bytes >= 0 && bytes / 8 <= MAX_MADE) ||
           infer_error(c, D_SIZE_LIMIT, 0, "windows of more than %lld elements over all channels", (long long)MAX_MADE);
}

bool infer_GlobalLpPool(Infer *c) { return check_p(c) && infer_global(c); }

static Value *powers(Expand *e, int64_t p) {
    Value *x = expand_widen(e, e->node->in[0]);
    if (p == 2) return EXPAND(e, Mul, NULL, x, x);
    x = EXPAND(e, Abs, NULL, x);
    return p == 1 ? x : EXPAND(e, Pow, NULL, x, expand_scalar(e, x->type.elem, (double)p));
}

static Value *root(Expand *e, Value *v, int64_t p) {
    if (p == 1) return v;
    if (p == 2) return EXPAND(e, Sqrt, NULL, v);
    return EXPAND(e, Pow, NULL, v, expand_scalar(e, v->type.elem, 1 / (double)p));
}

void expand_GlobalLpPool(Expand *e) {
    int64_t p = node_int(e->node, "p");
    expand_narrow(e, 0, root(e, EXPAND(e, ReduceSum, NULL, powers(e, p), spatial_axes(e)), p));
}

static void add_list(Text *t, const char *name, int n, const int64_t *v) {
    text_add(t, " %s=", name);
    for (int i = 0; i < n; i++) text_add(t, "%s%lld", i ? "," : "", (long long)v[i]);
}

/* Sums over windows are a convolution of each channel by itself with weights of one. Its end pads are those that make
 * the last window fit: with ceil_mode that window reaches past LpPool's own. */
static Value *window_sums(Expand *e, Value *v, const Window *w) {
    Arena *a = e->graph->arena;
    int64_t channels = v->type.shape.dim[1], pads[2 * MAX_SPATIAL];
    Type type = {v->type.elem, ones_shape(w, channels)};
    for (int i = 0; i < w->rank; i++) {
        pads[i] = w->pad_begin[i];
        pads[w->rank + i] =
            i64_max(0, (w->out[i] - 1) * w->stride[i] + window_extent(w, i) - w->in[i] - w->pad_begin[i]);
    }
    Tensor *one = tensor_new(a, (Type){type.elem, {0}});
    tensor_set(one, 0, 1);
    Text t = {.arena = a};
    text_add(&t, "group=%lld", (long long)channels);
    add_list(&t, "pads", 2 * w->rank, pads);
    add_list(&t, "strides", w->rank, w->stride);
    add_list(&t, "dilations", w->rank, w->dilation);
    return EXPAND(e, Conv, t.s, v, expand_constant(e, tensor_splat(a, type, one->data)));
}

void expand_LpPool(Expand *e) {
    int64_t p = node_int(e->node, "p");
    Window w;
    const Type *out = &e->node->out[0]->type;
    if (shape_count(&out->shape) == 0) {
        expand_result(e, 0, expand_constant(e, tensor_new(e->graph->arena, *out)));
        return;
    }
    window_of_node(e->node, &w);
    expand_narrow(e, 0, root(e, window_sums(e, powers(e, p), &w), p));
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
