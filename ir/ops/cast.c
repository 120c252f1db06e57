/* Conversions between element types, and operators that give their operand as it is. */
#include "ir/op.h"

void expr_Identity(ExprOp *o) { o->result = o->in[0]; }

/* `to` is a number of ONNX's own. Types below a byte wrap. */
static bool target_type(ExprOp *o, Elem *to) {
    int64_t number = node_int(o->node, "to");
    *to = (Elem)number;
    if (elem_known(number)) return true;
    expr_refuse(o, D_ELEM_TYPE, -1, "the target type (ONNX data type %lld) is not supported", (long long)number);
    return false;
}

void expr_Cast(ExprOp *o) {
    Elem to;
    if (target_type(o, &to)) o->result = x_cast(o->b, to, o->in[0]);
}

/* What BITCAST does not take, bool and types below a byte, is stored as the value that it is. */
void expr_BitCast(ExprOp *o) {
    Elem to;
    if (!target_type(o, &to)) return;
    int from_bits = elem_info[o->elem].bits, to_bits = elem_info[to].bits;
    if (from_bits != to_bits) {
        expr_refuse(o, D_OPERAND_TYPE, 0, "%s has %d bits, but the target type %s has %d", elem_info[o->elem].name,
                    from_bits, elem_info[to].name, to_bits);
        return;
    }
    X x = x_cast(o->b, o->elem, o->in[0]); /* as it was before widening */
    bool by_value = to_bits < 8 || o->elem == QCC_BOOL || to == QCC_BOOL;
    o->result = by_value ? x_cast(o->b, to, x) : x_bitcast(o->b, to, x);
}

/* Only the type of the second operand matters, not its shape. */
bool infer_CastLike(Infer *c) {
    set_out(c, 0, (Elem)0, in_shape(c->node, 0));
    return true;
}

void expand_CastLike(Expand *e) {
    const char *to = arena_printf(e->graph->arena, "to=%d", (int)in_elem(e->node, 1));
    expand_result(e, 0, EXPAND(e, Cast, to, e->node->in[0]));
}

/* At inference: the operand itself, and a mask that keeps all. */
bool infer_Dropout(Infer *c) {
    const Tensor *ratio = in_const(c->node, 1), *training = in_const(c->node, 2);
    bool drops = !(ratio && shape_count(&ratio->type.shape) == 1 && tensor_get(ratio, 0) == 0);
    if (training && shape_count(&training->type.shape) != 1) {
        return infer_error(c, D_OPERAND_SHAPE, 2, "training_mode must be a scalar");
    }
    if (training && tensor_get_int(training, 0) && drops) {
        return infer_error(c, D_UNSUPPORTED_FORM, 2, "training_mode is true: dropping at random is for training only");
    }
    set_out(c, 0, (Elem)0, in_shape(c->node, 0));
    set_out(c, 1, QCC_BOOL, in_shape(c->node, 0));
    return true;
}

void expand_Dropout(Expand *e) {
    const uint8_t kept = 1;
    expand_result(e, 0, EXPAND(e, Identity, NULL, e->node->in[0]));
    if (!has_out(e->node, 1)) return;
    const Tensor *mask = tensor_splat(e->graph->arena, e->node->out[1]->type, &kept);
    expand_result(e, 1, graph_constant(e->graph, "", mask));
}
