/* Conversion between real numbers and codes of few bits, and the operators on codes, written in integer products and
 * element-wise operators. A scale belongs to a whole tensor, to each index of an axis, or to each block along an axis.
 * Codes are round-half-even(x / scale) + zero point, saturated; a product's sum is exact in 32 bits, converted to
 * float32 and scaled by fl(fl(s_a * s_b) / s_y). */
#include "ir/ops/scale.h"

#include <inttypes.h>
#include <math.h>

/* ---- scales -------------------------------------------------------------------------------------------------------
 */

static bool is_code(int64_t elem) {
    if (!elem_known(elem)) return false;
    return elem_is_int((Elem)elem) && elem_info[elem].bits <= 16;
}

/* Along which axis and in blocks of how many elements scale operand `i` goes: axis -1 for one scale. */
typedef struct Grain {
    int axis;
    int64_t block;
} Grain;

static bool blocked_fits(const Shape *x, const Shape *s, int axis, int64_t block) {
    bool fits = s->rank == x->rank;
    for (int i = 0; fits && i < x->rank; i++) fits = s->dim[i] == (i == axis ? ceil_div(x->dim[i], block) : x->dim[i]);
    return fits;
}

static bool read_grain(Infer *c, int operand, Grain *g) {
    const Shape *x = in_shape(c->node, 0), *s = in_shape(c->node, operand);
    int64_t block = node_int(c->node, "block_size");
    *g = (Grain){-1, 0};
    if (block < 0) return infer_error(c, D_ATTRIBUTE, -1, "block_size %" PRId64 "; wanted 0 or more", block);
    if (s->rank == 0 || (block == 0 && s->rank == 1 && s->dim[0] == 1)) return true;
    if (!infer_axis(c, node_int(c->node, "axis"), x->rank, &g->axis)) return false;
    g->block = block;
    if (block ? blocked_fits(x, s, g->axis, block) : s->rank == 1 && s->dim[0] == x->dim[g->axis]) return true;
    return infer_error(c, D_OPERAND_SHAPE, operand, "shape %s fits neither the tensor, axis %d, nor blocks of %" PRId64,
                       shape_str(c->arena, s), g->axis, block);
}

static bool check_zero_points(Infer *c, Grain *g) {
    if (!read_grain(c, 1, g)) return false;
    if (!has_in(c->node, 2)) return true;
    const Shape *s = in_shape(c->node, 1), *z = in_shape(c->node, 2);
    if (shape_equal(s, z) || (shape_count(s) == 1 && shape_count(z) == 1)) return true;
    return infer_error(c, D_OPERAND_SHAPE, 2, "zero points of shape %s; wanted that of the scales, %s",
                       shape_str(c->arena, z), shape_str(c->arena, s));
}

/* Scales or zero points v in type `elem`, in a shape that broadcasts to x. */
static Value *spread(Expand *e, Value *v, Elem elem, const Grain *g, const Shape *x) {
    Shape one = {.rank = 0}, along = shape_along(x->rank, g->axis, shape_count(&v->type.shape));
    v = expand_cast(e, v, elem);
    if (shape_count(&v->type.shape) == 1 && !g->block) return expand_reshape(e, v, &one);
    if (!g->block) return expand_reshape(e, v, &along);
    int64_t n = x->dim[g->axis], *from = NEW_ARRAY(e->graph->arena, int64_t, n);
    for (int64_t i = 0; i < n; i++) from[i] = i / g->block;
    const char *attrs = arena_printf(e->graph->arena, "axis=%d", g->axis);
    return EXPAND(e, Gather, attrs, v, expand_ints(e, n, from));
}

/* ---- QuantizeLinear, DequantizeLinear -----------------------------------------------------------------------------
 */

bool infer_QuantizeLinear(Infer *c) {
    const Node *n = c->node;
    Grain g;
    int64_t to = node_int(n, "output_dtype"), precision = node_int(n, "precision");
    if (precision && (!elem_known(precision) || !elem_is_float((Elem)precision)))
        return infer_error(c, D_ATTRIBUTE, -1, "precision %" PRId64 "; wanted a float type", precision);
    if (to && !is_code(to))
        return infer_error(c, D_ATTRIBUTE, -1, "output_dtype %" PRId64 "; wanted an integer type of at most 16 bits",
                           to);
    if (to && has_in(n, 2) && (Elem)to != in_elem(n, 2))
        return infer_error(c, D_ATTRIBUTE, 2, "output_dtype is %s; wanted the zero point's type", elem_info[to].name);
    if (!check_zero_points(c, &g) || !infer_scales(c, 1)) return false;
    set_out(c, 0, has_in(n, 2) ? in_elem(n, 2) : to ? (Elem)to : QCC_U8, in_shape(n, 0));
    return true;
}

/* The division is done in the type of the scale, or in the one asked for. */
void expand_QuantizeLinear(Expand *e) {
    const Node *n = e->node;
    Grain g;
    Again again;
    if (!read_grain(infer_again(&again, n), 1, &g)) bug("QuantizeLinear: the scale was good before");
    const Shape *x = in_shape(n, 0);
    int64_t precision = node_int(n, "precision");
    Elem work = precision ? (Elem)precision : elem_is_float(in_elem(n, 1)) ? in_elem(n, 1) : QCC_F32;
    Value *scale = spread(e, n->in[1], work, &g, x);
    Value *v = expand_widen(e, EXPAND(e, Div, NULL, expand_cast(e, n->in[0], work), scale));
    v = EXPAND(e, Round, NULL, v);
    if (has_in(n, 2)) v = EXPAND(e, Add, NULL, v, spread(e, n->in[2], v->type.elem, &g, x));
    expand_result(e, 0, expand_saturate(e, v, n->out[0]->type.elem));
}

/* Codes of 32 bits are sums: they have no zero point. */
static bool check_sums(Infer *c) {
    const Tensor *z = in_const(c->node, 2);
    if (!z || in_elem(c->node, 0) != QCC_I32) return true;
    for (int64_t i = 0; i < (z->splat ? 1 : shape_count(&z->type.shape)); i++) {
        if (tensor_get_int(z, i) != 0)
            return infer_error(c, D_OPERAND_VALUE, 2, "zero point %" PRId64 " is %" PRId64 "; wanted 0 beside i32", i,
                               tensor_get_int(z, i));
    }
    return true;
}

bool infer_DequantizeLinear(Infer *c) {
    Grain g;
    int64_t to = node_int(c->node, "output_dtype");
    if (to && (!elem_known(to) || !elem_is_float((Elem)to)))
        return infer_error(c, D_ATTRIBUTE, -1, "output_dtype %" PRId64 "; wanted a float type", to);
    if (!check_zero_points(c, &g) || !infer_finite(c, 1) || !check_sums(c)) return false;
    set_out(c, 0, to ? (Elem)to : in_elem(c->node, 1), in_shape(c->node, 0));
    return true;
}

void expand_DequantizeLinear(Expand *e) {
    const Node *n = e->node;
    Grain g;
    Again again;
    if (!read_grain(infer_again(&again, n), 1, &g)) bug("DequantizeLinear: the scale was good before");
    const Shape *x = in_shape(n, 0);
    Value *v = expand_cast(e, n->in[0], QCC_F32);
    if (has_in(n, 2)) v = EXPAND(e, Sub, NULL, v, spread(e, n->in[2], QCC_F32, &g, x));
    expand_narrow(e, 0, EXPAND(e, Mul, NULL, v, spread(e, n->in[1], QCC_F32, &g, x)));
}

/* ---- DynamicQuantizeLinear ----------------------------------------------------------------------------------------
 */

bool infer_DynamicQuantizeLinear(Infer *c) {
    Shape one = {.rank = 0};
    set_out(c, 0, QCC_U8, in_shape(c->node, 0));
    set_out(c, 1, QCC_F32, &one);
    set_out(c, 2, QCC_U8, &one);
    return true;
}

/* The extreme of x, with 0 among its elements so that 0 has a code. */
static Value *extreme(Expand *e, OpId reduce, OpId pick, Value *zero) {
    Value *v = e->node->in[0];
    if (shape_count(&v->type.shape) == 0) return zero;
    v = expand_node(e, reduce, "keepdims=0", 1, &v);
    return expand_node(e, pick, NULL, 2, (Value *[]){v, zero});
}

void expand_DynamicQuantizeLinear(Expand *e) {
    Value *zero = expand_scalar(e, QCC_F32, 0), *top = expand_scalar(e, QCC_F32, 255);
    Value *high = extreme(e, OP_ReduceMax, OP_Max, zero), *low = extreme(e, OP_ReduceMin, OP_Min, zero);
    Value *range = EXPAND(e, Sub, NULL, high, low);
    range = EXPAND(e, Where, NULL, EXPAND(e, Equal, NULL, range, zero), expand_scalar(e, QCC_F32, 1), range);
    Value *scale = EXPAND(e, Div, NULL, range, top);
    Value *shift = EXPAND(e, Div, NULL, EXPAND(e, Sub, NULL, zero, low), scale);
    shift = EXPAND(e, Round, NULL, EXPAND(e, Clip, NULL, shift, zero, top));
    Value *codes = EXPAND(e, Round, NULL, EXPAND(e, Div, NULL, e->node->in[0], scale));
    expand_result(e, 0, expand_saturate(e, EXPAND(e, Add, NULL, codes, shift), QCC_U8));
    expand_result(e, 1, scale);
    expand_narrow(e, 2, shift);
}

/* ---- QLinearMatMul, QLinearConv -----------------------------------------------------------------------------------
 */

enum { A, A_SCALE, A_ZERO, B, B_SCALE, B_ZERO, Y_SCALE, Y_ZERO, BIAS };

/* The integer product inside the node, on the operands that it has in common with it. */
static bool infer_inside(Infer *c, OpId op, Shape *out) {
    Value *const *in = c->node->in;
    if (!infer_as(c, op, 4, (Value *[]){in[A], in[B], in[A_ZERO], in[B_ZERO]}, out)) return false;
    return infer_finite(c, A_SCALE) && infer_finite(c, B_SCALE) && infer_scales(c, Y_SCALE);
}

static Value *build_inside(Expand *e, OpId op) {
    Value *const *in = e->node->in;
    return expand_as(e, op, 4, (Value *[]){in[A], in[B], in[A_ZERO], in[B_ZERO]});
}

/* Scale or zero point operand i must broadcast to the output, a list being one for each row (of A and Y) or column. */
static bool factor_shape(const Shape *s, const Shape *y, bool rows, Shape *out) {
    Shape r;
    bool list = s->rank == 1 && s->dim[0] > 1 && rows;
    *out = list ? shape_of(2, (int64_t[]){s->dim[0], 1}) : *s;
    if (s->rank == 1 && s->dim[0] == 1) out->rank = 0;
    return shape_broadcast(out, y, &r) && shape_equal(&r, y);
}

static bool check_factor(Infer *c, int operand, const Shape *y, bool rows) {
    Shape r;
    const Shape *s = in_shape(c->node, operand);
    if (factor_shape(s, y, rows, &r)) return true;
    return infer_error(c, D_OPERAND_SHAPE, operand, "shape %s; wanted one element, or one for each row or column of %s",
                       shape_str(c->arena, s), shape_str(c->arena, y));
}

bool infer_QLinearMatMul(Infer *c) {
    Shape y;
    if (!infer_inside(c, OP_MatMulInteger, &y)) return false;
    if (!check_factor(c, A_SCALE, &y, true) || !check_factor(c, B_SCALE, &y, false) ||
        !check_factor(c, Y_SCALE, &y, true) || !check_factor(c, Y_ZERO, &y, true))
        return false;
    set_out(c, 0, 0, &y);
    return true;
}

static Value *factor(Expand *e, int operand, const Shape *y, bool rows) {
    Shape s;
    Value *v = e->node->in[operand];
    if (!factor_shape(&v->type.shape, y, rows, &s)) bug("QLinearMatMul: the scales were good before");
    return expand_reshape(e, expand_cast(e, v, QCC_F32), &s);
}

/* saturate(round(sum * (a * b / y)) + zero) */
static void requantize(Expand *e, Value *sum, Value *a, Value *b, Value *y, Value *zero) {
    Value *m = EXPAND(e, Div, NULL, EXPAND(e, Mul, NULL, a, b), y);
    Value *v = EXPAND(e, Round, NULL, EXPAND(e, Mul, NULL, expand_cast(e, sum, QCC_F32), m));
    expand_result(e, 0, expand_saturate(e, EXPAND(e, Add, NULL, v, zero), e->node->out[0]->type.elem));
}

void expand_QLinearMatMul(Expand *e) {
    const Shape y = e->node->out[0]->type.shape;
    Value *sum = build_inside(e, OP_MatMulInteger);
    requantize(e, sum, factor(e, A_SCALE, &y, true), factor(e, B_SCALE, &y, false), factor(e, Y_SCALE, &y, true),
               factor(e, Y_ZERO, &y, true));
}

bool infer_QLinearConv(Infer *c) {
    const Node *n = c->node;
    Shape y;
    if (!infer_inside(c, OP_ConvInteger, &y)) return false;
    if (!infer_single(c, A_SCALE) || !infer_single(c, Y_SCALE) || !infer_single(c, Y_ZERO)) return false;
    const Shape *s = in_shape(n, B_SCALE);
    if (shape_count(s) != 1 && (s->rank != 1 || s->dim[0] != y.dim[1]))
        return infer_error(c, D_OPERAND_SHAPE, B_SCALE,
                           "scales of shape %s; wanted one, or one for each of %" PRId64 " channels",
                           shape_str(c->arena, s), y.dim[1]);
    if (has_in(n, BIAS) && (in_shape(n, BIAS)->rank != 1 || in_shape(n, BIAS)->dim[0] != y.dim[1]))
        return infer_error(c, D_OPERAND_SHAPE, BIAS, "a bias of shape %s; wanted one for each of %" PRId64 " channels",
                           shape_str(c->arena, in_shape(n, BIAS)), y.dim[1]);
    set_out(c, 0, 0, &y);
    return true;
}

/* Operand i in type `elem`: a scalar, or along the channels. */
static Value *per_channel(Expand *e, int operand, Elem elem, int rank) {
    Value *v = expand_cast(e, e->node->in[operand], elem);
    int64_t n = shape_count(&v->type.shape);
    Shape s = n == 1 ? (Shape){.rank = 0} : shape_along(rank, 1, n);
    return expand_reshape(e, v, &s);
}

void expand_QLinearConv(Expand *e) {
    Value *sum = build_inside(e, OP_ConvInteger);
    int rank = sum->type.shape.rank;
    if (has_in(e->node, BIAS)) sum = EXPAND(e, Add, NULL, sum, per_channel(e, BIAS, QCC_I32, rank));
    requantize(e, sum, per_channel(e, A_SCALE, QCC_F32, rank), per_channel(e, B_SCALE, QCC_F32, rank),
               per_channel(e, Y_SCALE, QCC_F32, rank), per_channel(e, Y_ZERO, QCC_F32, rank));
}
