/* ONNX Runtime's operators on 8-bit codes, com.microsoft.QLinear...: the operator's meaning on real numbers between
 * DequantizeLinear and a quantizer. Codes that are only moved keep their form. Some of the operators are documented,
 * and computed there, with the zero point added before rounding, the others as QuantizeLinear does: with an odd zero
 * point ties differ. */
#include "ir/ops/scale.h"

/* An operand with its scale and its zero point, which may be absent, from operand `at` on. */
static Value *dequantize(Expand *e, int at) {
    const Node *n = e->node;
    Value *in[] = {n->in[at], expand_factor(e, at + 1, in_elem(n, at + 1)), NULL};
    if (has_in(n, at + 2)) in[2] = expand_factor(e, at + 2, in_elem(n, at + 2));
    return expand_node(e, OP_DequantizeLinear, NULL, in[2] ? 3 : 2, in);
}

/* The result's scale is operand `at`. */
static void quantize(Expand *e, int at, Value *v) {
    const Node *n = e->node;
    const char *type = arena_printf(e->graph->arena, "output_dtype=%d", (int)n->out[0]->type.elem);
    Value *in[] = {v, expand_factor(e, at, in_elem(n, at)), NULL};
    if (has_in(n, at + 1)) in[2] = expand_factor(e, at + 1, in_elem(n, at + 1));
    expand_result(e, 0, expand_node(e, OP_QuantizeLinear, type, in[2] ? 3 : 2, in));
}

/* Adds the zero point, operand `zero`, to what the scale has been divided out of, then rounds. */
static void round_shifted(Expand *e, int zero, Value *v) {
    if (has_in(e->node, zero)) v = EXPAND(e, Add, NULL, v, expand_factor(e, zero, QCC_F32));
    expand_result(e, 0, expand_saturate(e, EXPAND(e, Round, NULL, v), e->node->out[0]->type.elem));
}

/* The same from real numbers; the result's scale is operand `at`. */
static void quantize_shifted(Expand *e, int at, Value *v) {
    round_shifted(e, at + 1, EXPAND(e, Div, NULL, v, expand_factor(e, at, QCC_F32)));
}

static bool check_scale(Infer *c, int at) {
    return infer_single(c, at) && infer_single(c, at + 1) && infer_scales(c, at);
}

/* ---- two operands -------------------------------------------------------------------------------------------------
 */

enum { A, B = 3, Y_OF_TWO = 6 };

static bool infer_two(Infer *c) {
    Shape y = *in_shape(c->node, A);
    if (!check_scale(c, A + 1) || !check_scale(c, B + 1) || !check_scale(c, Y_OF_TWO)) return false;
    if (!shape_broadcast(&y, in_shape(c->node, B), &y))
        return infer_error(c, D_OPERAND_SHAPE, B, "shape %s does not broadcast with %s",
                           shape_str(c->arena, in_shape(c->node, B)), shape_str(c->arena, in_shape(c->node, A)));
    set_out(c, 0, 0, &y);
    return true;
}

bool infer_QLinearAdd(Infer *c) { return infer_two(c); }
bool infer_QLinearMul(Infer *c) { return infer_two(c); }

void expand_QLinearAdd(Expand *e) {
    quantize_shifted(e, Y_OF_TWO, EXPAND(e, Add, NULL, dequantize(e, A), dequantize(e, B)));
}

static Value *centred(Expand *e, int at) {
    return expand_centred(e, e->node->in[at], has_in(e->node, at + 2) ? e->node->in[at + 2] : NULL);
}

/* The product is one of whole numbers, scaled by fl(fl(s_a * s_b) / s_c). */
void expand_QLinearMul(Expand *e) {
    Value *a = expand_cast(e, centred(e, A), QCC_I32), *b = expand_cast(e, centred(e, B), QCC_I32);
    Value *m = EXPAND(e, Mul, NULL, expand_factor(e, A + 1, QCC_F32), expand_factor(e, B + 1, QCC_F32));
    m = EXPAND(e, Div, NULL, m, expand_factor(e, Y_OF_TWO, QCC_F32));
    Value *product = expand_cast(e, EXPAND(e, Mul, NULL, a, b), QCC_F32);
    round_shifted(e, Y_OF_TWO + 1, EXPAND(e, Mul, NULL, product, m));
}

/* ---- one operand ---------------------------------------------------------------------------------------------------
 */

enum { Y_OF_ONE = 3 };

static bool infer_one(Infer *c, const Shape *y) {
    if (!check_scale(c, A + 1) || !check_scale(c, Y_OF_ONE)) return false;
    set_out(c, 0, 0, y);
    return true;
}

static bool infer_like(Infer *c, OpId op) {
    Shape y;
    return infer_as(c, op, 1, c->node->in, &y) && infer_one(c, &y);
}

static Value *apply(Expand *e, OpId op) { return expand_as(e, op, 1, &(Value *){dequantize(e, A)}); }

bool infer_QLinearSigmoid(Infer *c) { return infer_one(c, in_shape(c->node, A)); }
bool infer_QLinearLeakyRelu(Infer *c) { return infer_one(c, in_shape(c->node, A)); }
bool infer_QLinearAveragePool(Infer *c) { return infer_like(c, OP_AveragePool); }
bool infer_QLinearGlobalAveragePool(Infer *c) { return infer_like(c, OP_GlobalAveragePool); }

void expand_QLinearSigmoid(Expand *e) { quantize(e, Y_OF_ONE, apply(e, OP_Sigmoid)); }
void expand_QLinearLeakyRelu(Expand *e) { quantize(e, Y_OF_ONE, apply(e, OP_LeakyRelu)); }
void expand_QLinearAveragePool(Expand *e) { quantize_shifted(e, Y_OF_ONE, apply(e, OP_AveragePool)); }
void expand_QLinearGlobalAveragePool(Expand *e) { quantize(e, Y_OF_ONE, apply(e, OP_GlobalAveragePool)); }

/* ---- QLinearConcat: Y_scale, Y_zero_point, then tensor, scale, zero point of each part -----------------------------
 */

enum { Y_SCALE, Y_ZERO, PARTS };

bool infer_QLinearConcat(Infer *c) {
    const Node *n = c->node;
    VEC(Value *) parts = {0};
    Shape y;
    if (!check_scale(c, Y_SCALE)) return false;
    if ((n->n_in - PARTS) % 3 != 0)
        return infer_error(c, D_ARITY, -1, "%d operands behind the first two; wanted three for each part",
                           n->n_in - PARTS);
    for (int i = PARTS; i < n->n_in; i += 3) {
        if (in_elem(n, i) != in_elem(n, Y_ZERO) || in_elem(n, i + 2) != in_elem(n, i))
            return infer_error(c, D_OPERAND_TYPE, i, "a part and its zero point must be %s",
                               elem_info[in_elem(n, Y_ZERO)].name);
        if (in_elem(n, i + 1) != QCC_F32)
            return infer_error(c, D_OPERAND_TYPE, i + 1, "a scale must be %s", elem_info[QCC_F32].name);
        if (!check_scale(c, i + 1)) return false;
        vec_push(c->arena, &parts, n->in[i]);
    }
    if (!infer_as(c, OP_Concat, (int)parts.n, parts.at, &y)) return false;
    set_out(c, 0, 0, &y);
    return true;
}

static bool same_number(const Value *p, const Value *q) {
    return p == q || (p->constant && q->constant && tensor_get(p->constant, 0) == tensor_get(q->constant, 0));
}

/* Part i in the codes of the result. */
static Value *recoded(Expand *e, int i) {
    const Node *n = e->node;
    if (same_number(n->in[i + 1], n->in[Y_SCALE]) && same_number(n->in[i + 2], n->in[Y_ZERO])) return n->in[i];
    return EXPAND(e, QuantizeLinear, NULL, dequantize(e, i), expand_factor(e, Y_SCALE, QCC_F32),
                  expand_factor(e, Y_ZERO, in_elem(n, Y_ZERO)));
}

void expand_QLinearConcat(Expand *e) {
    VEC(Value *) parts = {0};
    for (int i = PARTS; i < e->node->n_in; i += 3) vec_push(e->graph->arena, &parts, recoded(e, i));
    expand_result(e, 0, expand_as(e, OP_Concat, (int)parts.n, parts.at));
}
