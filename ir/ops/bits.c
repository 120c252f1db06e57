/* Bit-planes: QPack, QXorConv, QXorMatMul. A sum of products of bipolar weights with codes is, but for a constant per
 * channel, minus the number of bits that differ (Rastegari et al. 2016 for one bit each; by planes: Zhou et al. 2016);
 * codegen/bits.c says how. */
#include "ir/ops/expand.h"
#include "ir/ops/window.h"

enum { WORD_BITS = 32, MOST_PLANES = 8 };

static bool check_planes(Infer *c, const char *attr, int64_t *out) {
    *out = node_int(c->node, attr);
    return (*out >= 1 && *out <= MOST_PLANES) ||
           infer_error(c, D_ATTRIBUTE, -1, "%s is %lld; wanted 1 to %d", attr, (long long)*out, MOST_PLANES);
}

bool infer_QPack(Infer *c) {
    Shape s = *in_shape(c->node, 0);
    int64_t planes;
    int axis;
    if (!infer_axis(c, node_int(c->node, "axis"), s.rank, &axis) || !check_planes(c, "planes", &planes)) return false;
    if (node_int(c->node, "step") < 1)
        return infer_error(c, D_ATTRIBUTE, -1, "step is %lld; wanted 1 or more", (long long)node_int(c->node, "step"));
    s.dim[axis] = planes * ceil_div(s.dim[axis], WORD_BITS);
    set_out(c, 0, 0, &s);
    return true;
}

/* axis, planes, low, step */
void pack_QPack(Pack *p) {
    int64_t axis = node_int(p->node, "axis"), rank = in_shape(p->node, 0)->rank;
    pack_int(p, axis < 0 ? axis + rank : axis);
    pack_int(p, node_int(p->node, "planes"));
    pack_int(p, node_int(p->node, "low"));
    pack_int(p, node_int(p->node, "step"));
}

static bool words_agree(Infer *c, int64_t x, int64_t x_planes, int64_t w, int64_t w_planes) {
    return (x % x_planes == 0 && w % w_planes == 0 && x / x_planes == w / w_planes) ||
           infer_error(c, D_OPERAND_SHAPE, 1, "%lld words in %lld planes against %lld words in %lld planes",
                       (long long)x, (long long)x_planes, (long long)w, (long long)w_planes);
}

bool infer_QXorConv(Infer *c) {
    Window w;
    int64_t x_planes, w_planes;
    if (!check_planes(c, "x_planes", &x_planes) || !check_planes(c, "w_planes", &w_planes)) return false;
    if (!window_resolve(c, &w)) return false;
    const Shape *x = in_shape(c->node, 0), *k = in_shape(c->node, 1);
    if (w.group != 1) return infer_error(c, D_ATTRIBUTE, -1, "group is %lld; wanted 1", (long long)w.group);
    if (!words_agree(c, x->dim[1], x_planes, k->dim[1], w_planes)) return false;
    Shape s = {.rank = w.rank + 2, .dim = {x->dim[0], k->dim[0]}};
    for (int i = 0; i < w.rank; i++) s.dim[2 + i] = w.out[i];
    set_out(c, 0, 0, &s);
    return true;
}

/* x_planes, w_planes, then strides, dilations and begin pads of three spatial axes. */
void pack_QXorConv(Pack *p) {
    Window w;
    window_of_node(p->node, &w);
    window_widen(&w);
    pack_int(p, node_int(p->node, "x_planes"));
    pack_int(p, node_int(p->node, "w_planes"));
    pack_ints(p, MAX_SPATIAL, w.stride);
    pack_ints(p, MAX_SPATIAL, w.dilation);
    pack_ints(p, MAX_SPATIAL, w.pad_begin);
}

bool infer_QXorMatMul(Infer *c) {
    int64_t a_planes, b_planes;
    if (!check_planes(c, "a_planes", &a_planes) || !check_planes(c, "b_planes", &b_planes)) return false;
    if (!infer_rank_min(c, 0, 1) || !infer_rank(c, 1, 2)) return false;
    Shape s = *in_shape(c->node, 0);
    const Shape *b = in_shape(c->node, 1);
    if (!words_agree(c, s.dim[s.rank - 1], a_planes, b->dim[0], b_planes)) return false;
    s.dim[s.rank - 1] = b->dim[1];
    set_out(c, 0, 0, &s);
    return true;
}

void pack_QXorMatMul(Pack *p) {
    pack_int(p, node_int(p->node, "a_planes"));
    pack_int(p, node_int(p->node, "b_planes"));
}
