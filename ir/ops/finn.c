/* Further operators of FINN and QONNX. Their tensors are float32 whose values are whole numbers. */
#include "ir/ops/scale.h"

#include <inttypes.h>
#include <string.h>

/* ---- XnorPopcountMatMul: over {0, 1}, the number of places where row and column agree -----------------------------
 */

bool infer_XnorPopcountMatMul(Infer *c) {
    Shape y;
    if (!infer_rank(c, 1, 2) || !infer_as(c, OP_MatMul, 2, c->node->in, &y)) return false;
    set_out(c, 0, 0, &y);
    return true;
}

/* 2v - 1 */
static Value *bipolar(Expand *e, Value *v) {
    v = EXPAND(e, Mul, NULL, v, expand_scalar(e, QCC_F32, 2));
    return EXPAND(e, Sub, NULL, v, expand_scalar(e, QCC_F32, 1));
}

/* Of k places p agree: the product of the bipolar matrices is p - (k - p). */
void expand_XnorPopcountMatMul(Expand *e) {
    double k = (double)in_shape(e->node, 1)->dim[0];
    Value *v = EXPAND(e, MatMul, NULL, bipolar(e, e->node->in[0]), bipolar(e, e->node->in[1]));
    v = EXPAND(e, Add, NULL, v, expand_scalar(e, QCC_F32, k));
    expand_result(e, 0, EXPAND(e, Mul, NULL, v, expand_scalar(e, QCC_F32, 0.5)));
}

/* ---- QuantAvgPool2d: the sum over a square window, of which as many low bits are dropped as fit obits ---------------
 */

enum { MAX_KERNEL = 4096, MAX_STEP = 1 << 20 };

static bool attr_within(Infer *c, const char *name, int64_t low, int64_t high) {
    int64_t v = node_int(c->node, name);
    return (v >= low && v <= high) ||
           infer_error(c, D_ATTRIBUTE, -1, "%s is %" PRId64 "; wanted %" PRId64 " to %" PRId64, name, v, low, high);
}

static bool channels_last(const Node *n) { return strcmp(node_string(n, "data_layout"), "NHWC") == 0; }

/* Of unsigned inputs. */
static int64_t largest_sum(const Node *n) {
    int64_t k = node_int(n, "kernel");
    return (((int64_t)1 << node_int(n, "ibits")) - 1) * k * k;
}

bool infer_QuantAvgPool2d(Infer *c) {
    const Node *n = c->node;
    const char *layout = node_string(n, "data_layout");
    if (!infer_rank(c, 0, 4) || !attr_within(c, "kernel", 1, MAX_KERNEL) || !attr_within(c, "stride", 1, MAX_STEP) ||
        !attr_within(c, "ibits", 1, 16) || !attr_within(c, "obits", 1, 32))
        return false;
    if (!channels_last(n) && strcmp(layout, "NCHW") != 0)
        return infer_error(c, D_ATTRIBUTE, -1, "data_layout is '%s'; wanted NCHW or NHWC", layout);
    Shape y = *in_shape(n, 0);
    int64_t k = node_int(n, "kernel"), step = node_int(n, "stride");
    if (largest_sum(n) > INT32_MAX)
        return infer_error(c, D_UNSUPPORTED_FORM, -1, "a sum may exceed 32 bits; it must not");
    if (y.dim[channels_last(n) ? 3 : 1] < 1) return infer_error(c, D_OPERAND_SHAPE, 0, "there are no channels");
    for (int i = channels_last(n) ? 1 : 2, end = i + 2; i < end; i++) {
        if (y.dim[i] < k)
            return infer_error(c, D_OPERAND_SHAPE, 0, "a window of %" PRId64 " on %" PRId64 " places", k, y.dim[i]);
        y.dim[i] = (y.dim[i] - k) / step + 1;
    }
    set_out(c, 0, 0, &y);
    return true;
}

static int dropped_bits(const Node *n) {
    int bits = 64 - __builtin_clzll((uint64_t)largest_sum(n)), wanted = (int)node_int(n, "obits");
    return bits > wanted ? bits - wanted : 0;
}

/* Sums are products with a depthwise kernel of ones. */
static Value *window_sums(Expand *e, Value *v) {
    const Node *n = e->node;
    long long k = node_int(n, "kernel"), step = node_int(n, "stride"), channels = v->type.shape.dim[1];
    Value *ones = expand_constant(
        e, tensor_splat(e->graph->arena, (Type){QCC_I8, shape_of(4, (int64_t[]){channels, 1, k, k})}, &(int8_t){1}));
    return EXPAND(e, QConv, arena_printf(e->graph->arena, "group=%lld strides=%lld,%lld", channels, step, step), v,
                  ones);
}

void expand_QuantAvgPool2d(Expand *e) {
    static const int first[] = {0, 3, 1, 2}, last[] = {0, 2, 3, 1};
    const Node *n = e->node;
    int bits = (int)node_int(n, "ibits");
    bool is_signed = node_int(n, "signed") != 0;
    Value *v = expand_cast(e, n->in[0], is_signed ? bits > 8 ? QCC_I16 : QCC_I8 : bits > 8 ? QCC_U16 : QCC_U8);
    if (channels_last(n)) v = expand_transpose(e, v, 4, first);
    v = EXPAND(e, BitShift, "direction=RIGHT", window_sums(e, v), expand_scalar(e, QCC_I32, dropped_bits(n)));
    if (channels_last(n)) v = expand_transpose(e, v, 4, last);
    expand_result(e, 0, expand_cast(e, v, QCC_F32));
}
