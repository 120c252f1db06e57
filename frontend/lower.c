/* What ONNX, or the operator set that is written, has no operator for, in operators that it has. */
#include <string.h>

#include "frontend/export.h"
#include "ir/op.h"

static Value *build(Node *n, OpId op, int n_in, Value *const *in) {
    Diags d;
    Arena scratch;
    arena_open(&scratch);
    diags_init(&d, &scratch);
    Node *made = graph_node(n->graph, n, op, n->loc, n_in, in, 1);
    if (!node_infer(&d, made)) bug("export: %s does not infer", op_def(op)->name);
    arena_free(&scratch);
    return made->out[0];
}

static Value *cast(Node *n, Value *v, Elem elem) {
    if (v->type.elem == elem) return v;
    Diags d;
    Arena scratch;
    arena_open(&scratch);
    diags_init(&d, &scratch);
    Node *made = graph_node(n->graph, n, OP_Cast, n->loc, 1, &v, 1);
    node_set_int(made, "to", elem);
    if (!node_infer(&d, made)) bug("export: Cast does not infer");
    arena_free(&scratch);
    return made->out[0];
}

static void take_place(Node *n, Value *v) {
    graph_replace(n->graph, n->out[0], v);
    graph_erase(n);
}

/* Shifting signed numbers came with operator set 28. To the right by s it is (x - mod(x, 2^s)) / 2^s, Mod having the
 * divisor's sign. */
static bool lower_shift(Node *n) {
    const Tensor *by = in_const(n, 1);
    if (elem_info[in_elem(n, 0)].kind != ELEM_I || strcmp(node_string(n, "direction"), "RIGHT") != 0 || !by)
        return false;
    Tensor *power = tensor_new(n->graph->arena, by->type);
    int64_t count = shape_count(&by->type.shape);
    for (int64_t i = 0; i < count; i++) {
        int64_t s = tensor_get_int(by, i);
        if (s < 0 || s > elem_info[by->type.elem].bits - 2) return false;
        tensor_set_int(power, i, (int64_t)1 << s);
    }
    Value *x = n->in[0], *to = graph_constant(n->graph, n->in[1]->name, power);
    Value *rest = build(n, OP_Mod, 2, (Value *[]){x, to});
    take_place(n, build(n, OP_Div, 2, (Value *[]){build(n, OP_Sub, 2, (Value *[]){x, rest}), to}));
    return true;
}

static bool is_byte(const Node *n, int i) { return in_elem(n, i) == QCC_I8 || in_elem(n, i) == QCC_U8; }

/* The same node as another operator with the same attributes. */
static Value *copy_as(Node *n, OpId op, Value *const *in) {
    Diags d;
    Arena scratch;
    arena_open(&scratch);
    diags_init(&d, &scratch);
    Node *made = graph_node(n->graph, n, op, n->loc, 2, in, 1);
    for (int i = 0; i < n->n_attr; i++) node_set_attr(made, &n->attr[i]);
    if (!node_infer(&d, made)) bug("export: %s does not infer", op_def(op)->name);
    arena_free(&scratch);
    return made->out[0];
}

/* Exact sums: of bytes ONNX has them, of wider numbers in double precision. */
static bool lower_product(Node *n, OpId bytes, OpId floats) {
    if (n->expr) return false;
    if (bytes && is_byte(n, 0) && is_byte(n, 1)) {
        take_place(n, copy_as(n, bytes, n->in));
    } else {
        Value *in[] = {cast(n, n->in[0], QCC_F64), cast(n, n->in[1], QCC_F64)};
        take_place(n, cast(n, copy_as(n, floats, in), QCC_I32));
    }
    return true;
}

bool export_lower(Node *n) {
    switch (n->op) {
    case OP_BitShift:
        return lower_shift(n);
    case OP_QConv:
        return lower_product(n, OP_ConvInteger, OP_Conv);
    case OP_QMatMul:
        return lower_product(n, OP_MatMulInteger, OP_MatMul);
    case OP_QConvTranspose:
        return lower_product(n, OP_NONE, OP_ConvTranspose);
    default:
        return false;
    }
}
