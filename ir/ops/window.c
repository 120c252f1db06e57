/* Resolving a sliding window from attributes and operand shapes. Each number is bounded first, so that none of the
 * sums below can overflow. */
#include "ir/ops/window.h"

#include "ir/ops/operand.h"

#include <string.h>

#define MAX_STEP ((int64_t)INT32_MAX) /* of kernels, strides, dilations and pads */

typedef enum AutoPad { AUTO_NOTSET, AUTO_SAME_UPPER, AUTO_SAME_LOWER, AUTO_VALID } AutoPad;

static bool is_pool(OpId op) { return op == OP_MaxPool || op == OP_AveragePool || op == OP_LpPool; }

static bool read_auto_pad(Infer *c, AutoPad *mode) {
    static const char *const names[] = {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"};
    const char *name = node_string(c->node, "auto_pad");
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        *mode = (AutoPad)i;
        if (!strcmp(name, names[i])) return true;
    }
    if (!*name) return *mode = AUTO_NOTSET, true; /* written by old exporters */
    return infer_error(c, D_ATTRIBUTE, -1, "auto_pad is '%s'; NOTSET, SAME_UPPER, SAME_LOWER or VALID is wanted", name);
}

static bool read_kernel(Infer *c, Window *w) {
    if (!infer_list(c, "kernel_shape", w->rank, 1, 0, w->kernel)) return false;
    if (is_pool(c->node->op)) return true;
    const Shape *s = in_shape(c->node, 1);
    if (s->rank != w->rank + 2)
        return infer_error(c, D_OPERAND_SHAPE, 1, "weights of rank %d; rank %d is wanted, as operand 0 has", s->rank,
                           w->rank + 2);
    for (int i = 0; i < w->rank; i++) {
        int64_t k = s->dim[2 + i];
        if (w->kernel[i] && w->kernel[i] != k)
            return infer_error(c, D_ATTRIBUTE, 1, "kernel_shape[%d] is %lld, but the weights have %lld there", i,
                               (long long)w->kernel[i], (long long)k);
        if (k < 1 || k > MAX_STEP)
            return infer_error(c, D_OPERAND_SHAPE, 1, "a kernel of %lld on spatial axis %d", (long long)k, i);
        w->kernel[i] = k;
    }
    return true;
}

static bool read_pads(Infer *c, AutoPad mode, Window *w) {
    int64_t pads[2 * MAX_SPATIAL];
    if (!infer_list(c, "pads", 2 * w->rank, 0, 0, pads)) return false;
    for (int i = 0; i < 2 * w->rank; i++)
        if (mode != AUTO_NOTSET && pads[i])
            return infer_error(c, D_ATTRIBUTE, -1, "both auto_pad and pads are given; one of them is wanted");
    for (int i = 0; i < w->rank; i++) {
        w->pad_begin[i] = pads[i];
        w->pad_end[i] = pads[w->rank + i];
    }
    return true;
}

/* Puts `total` (none if negative) round one axis; an odd one is larger at the end if `more_end`. */
static void share_pads(Window *w, int i, int64_t total, bool more_end) {
    total = i64_max(0, total);
    w->pad_begin[i] = more_end ? total / 2 : total - total / 2;
    w->pad_end[i] = total - w->pad_begin[i];
}

static bool forward_size(Infer *c, AutoPad mode, bool ceil_mode, Window *w, int i) {
    int64_t extent = window_extent(w, i), stride = w->stride[i];
    if (mode == AUTO_SAME_UPPER || mode == AUTO_SAME_LOWER) {
        w->out[i] = ceil_div(w->in[i], stride);
        share_pads(w, i, (w->out[i] - 1) * stride + extent - w->in[i], mode == AUTO_SAME_UPPER);
    } else {
        int64_t room = w->in[i] + w->pad_begin[i] + w->pad_end[i] - extent;
        bool partial = ceil_mode && mode == AUTO_NOTSET; /* windows that reach past the padded input count */
        if (room < 0 && !(partial && room > -stride))
            return infer_error(c, D_OPERAND_SHAPE, 0,
                               "on spatial axis %d a window of %lld exceeds the padded input of %lld", i,
                               (long long)extent, (long long)(room + extent));
        w->out[i] = room / stride + 1;
        /* But not one that would begin in the end padding. */
        if (partial && room > 0 && room % stride && w->out[i] * stride < w->in[i] + w->pad_begin[i]) w->out[i]++;
    }
    if (w->out[i] < 1) return infer_error(c, D_OPERAND_SHAPE, 0, "spatial axis %d is empty", i);
    if (is_pool(c->node->op) && (w->pad_begin[i] >= extent || w->pad_end[i] >= extent))
        return infer_error(c, D_ATTRIBUTE, -1, "on spatial axis %d, pads of %lld and %lld reach a whole window of %lld",
                           i, (long long)w->pad_begin[i], (long long)w->pad_end[i], (long long)extent);
    return true;
}

static bool transposed_size(Infer *c, AutoPad mode, const int64_t *extra, const int64_t *wanted, Window *w, int i) {
    int64_t full;
    if (w->in[i] < 1) return infer_error(c, D_OPERAND_SHAPE, 0, "spatial axis %d is empty", i);
    if (mul_overflow(w->in[i] - 1, w->stride[i], &full) || full > MAX_TENSOR_BYTES)
        return infer_error(c, D_SIZE_LIMIT, 0, "the output's spatial axis %d is too large", i);
    full += extra[i] + window_extent(w, i);
    bool same = mode == AUTO_SAME_UPPER || mode == AUTO_SAME_LOWER;
    if (wanted[i] || same) {
        w->out[i] = wanted[i] ? wanted[i] : w->in[i] * w->stride[i];
        share_pads(w, i, full - w->out[i], mode == AUTO_SAME_UPPER);
    } else {
        w->out[i] = full - w->pad_begin[i] - w->pad_end[i];
    }
    return w->out[i] >= 1 || infer_error(c, D_ATTRIBUTE, -1, "on spatial axis %d the pads leave %lld of %lld outputs",
                                         i, (long long)w->out[i], (long long)full);
}

/* Old models gave the output's whole shape, which ONNX has since narrowed to the spatial axes. */
static bool read_output_shape(Infer *c, int rank, int64_t *out) {
    int found;
    int64_t whole[MAX_SPATIAL + 2];
    node_ints(c->node, "output_shape", &found);
    if (found != rank + 2) return infer_list(c, "output_shape", rank, 1, 0, out);
    if (!infer_list(c, "output_shape", found, 1, 0, whole)) return false;
    for (int i = 0; i < rank; i++) out[i] = whole[i + 2];
    return true;
}

static bool read_sizes(Infer *c, AutoPad mode, Window *w) {
    const Node *n = c->node;
    int64_t extra[MAX_SPATIAL], wanted[MAX_SPATIAL];
    bool transposed = n->op == OP_ConvTranspose || n->op == OP_QConvTranspose;
    bool ceil_mode = is_pool(n->op) && node_int(n, "ceil_mode");
    if (transposed &&
        (!infer_list(c, "output_padding", w->rank, 0, 0, extra) || !read_output_shape(c, w->rank, wanted)))
        return false;
    for (int i = 0; i < w->rank; i++) {
        w->in[i] = in_shape(n, 0)->dim[2 + i];
        if (transposed ? !transposed_size(c, mode, extra, wanted, w, i) : !forward_size(c, mode, ceil_mode, w, i))
            return false;
    }
    return true;
}

bool window_resolve(Infer *c, Window *w) {
    const Shape *x = in_shape(c->node, 0);
    AutoPad mode;
    *w = (Window){.rank = x->rank - 2, .group = is_pool(c->node->op) ? 1 : node_int(c->node, "group")};
    if (w->rank < 1 || w->rank > MAX_SPATIAL)
        return infer_error(c, w->rank < 1 ? D_OPERAND_SHAPE : D_UNSUPPORTED_FORM, 0,
                           "rank %d; a batch, channels and 1 to %d spatial axes are wanted", x->rank, MAX_SPATIAL);
    if (w->group < 1)
        return infer_error(c, D_ATTRIBUTE, -1, "group is %lld; at least 1 is wanted", (long long)w->group);
    return read_auto_pad(c, &mode) && read_kernel(c, w) && infer_list(c, "strides", w->rank, 1, 1, w->stride) &&
           infer_list(c, "dilations", w->rank, 1, 1, w->dilation) && read_pads(c, mode, w) && read_sizes(c, mode, w);
}

void window_of_node(const Node *n, Window *w) {
    Again again;
    if (!window_resolve(infer_again(&again, n), w)) bug("the window of node '%s' does not resolve again", n->loc.node);
}

static void shift(int64_t v[MAX_SPATIAL], int by, int64_t fill) {
    for (int i = MAX_SPATIAL - 1; i >= 0; i--) v[i] = i >= by ? v[i - by] : fill;
}

void window_widen(Window *w) {
    int by = MAX_SPATIAL - w->rank;
    shift(w->in, by, 1);
    shift(w->out, by, 1);
    shift(w->kernel, by, 1);
    shift(w->stride, by, 1);
    shift(w->dilation, by, 1);
    shift(w->pad_begin, by, 0);
    shift(w->pad_end, by, 0);
    w->rank = MAX_SPATIAL;
}
