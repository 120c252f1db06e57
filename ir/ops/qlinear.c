/* ONNX Runtime's operators on 8-bit codes, com.microsoft.QLinear...: the operator's meaning on real numbers between
 * DequantizeLinear and QuantizeLinear. Codes that are only moved keep their form. */
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

void expand_QLinearAdd(Expand *e) { quantize(e, Y_OF_TWO, EXPAND(e, Add, NULL, dequantize(e, A), dequantize(e, B))); }
void expand_QLinearMul(Expand *e) { quantize(e, Y_OF_TWO, EXPAND(e, Mul, NULL, dequantize(e, A), dequantize(e, B))); }

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

static void expand_like(Expand *e, OpId op) {
    quantize(e, Y_OF_ONE, expand_as(e, op, 1, &(Value *){dequantize(e, A)}));
}

bool infer_QLinearSigmoid(Infer *c) { return infer_one(c, in_shape(c->node, A)); }
bool infer_QLinearLeakyRelu(Infer *c) { return infer_one(c, in_shape(c->node, A)); }
bool infer_QLinearAveragePool(Infer *c) { return infer_like(c, OP_AveragePool); }
bool infer_QLinearGlobalAveragePool(Infer *c) { return infer_like(c, OP_GlobalAveragePool); }

void expand_QLinearSigmoid(Expand *e) { expand_like(e, OP_Sigmoid); }
void expand_QLinearLeakyRelu(Expand *e) { expand_like(e, OP_LeakyRelu); }
void expand_QLinearAveragePool(Expand *e) { expand_like(e, OP_AveragePool); }
void expand_QLinearGlobalAveragePool(Expand *e) { expand_like(e, OP_GlobalAveragePool); }

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
