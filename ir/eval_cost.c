/* What evaluating a node takes, so that folding constants stays within bounds whatever a file asks for. Work is counted
 * in elements touched: for most operators every operand and result a few times; contractions and windows are the
 * exception. */
#include "ir/ir.h"
#include "ir/op.h"

#include <string.h>

/* Of an element in a kernel, in those that a composite operator is made of, in a program of arithmetic. */
enum { KERNEL_WORK = 3, EXPANSION_WORK = 8, PROGRAM_WORK = 1 };

/* out = sums over the last two dimensions of operand 0, one of which is the rows. */
static const OpId products[] = {OP_MatMul,  OP_Gemm,  OP_MatMulInteger,        OP_QLinearMatMul,
                                OP_QMatMul, OP_QGemm, OP_MatMulIntegerToFloat, OP_DynamicQuantizeMatMul};
/* Sums over all dimensions of the weights, operand 1, but the first. */
static const OpId convolutions[] = {OP_Conv, OP_QConv, OP_ConvInteger};
/* Whatever the reason, at most every result with every element of an operand. */
static const OpId others[] = {
    OP_ConvTranspose, OP_QConvTranspose, OP_DeformConv,         OP_QLinearConv,        OP_MaxPool,
    OP_AveragePool,   OP_LpPool,         OP_QLinearAveragePool, OP_QuantAvgPool2d,     OP_RoiAlign,
    OP_Det,           OP_Einsum,         OP_Attention,          OP_LinearAttention,    OP_LRN,
    OP_MatMulNBits,   OP_MultiThreshold, OP_XnorPopcountMatMul, OP_CausalConvWithState};

/* They only move elements of operand 0. */
static const OpId moves[] = {OP_Reshape, OP_Squeeze, OP_Unsqueeze,    OP_Flatten,      OP_Transpose, OP_Expand,
                             OP_Slice,   OP_Tile,    OP_DepthToSpace, OP_SpaceToDepth, OP_Split};

static bool among(OpId op, const OpId *list, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (list[i] == op) return true;
    return false;
}
#define AMONG(op, list) among((op), (list), COUNT_OF(list))

static double rows_or_depth(const Shape *s) {
    int64_t most = 1;
    for (int i = s->rank - 1; i >= 0 && i >= s->rank - 2; i--) most = i64_max(most, s->dim[i]);
    return (double)most;
}

static double work_of(const Node *n, double out, double in) {
    if (AMONG(n->op, products)) return in + out * rows_or_depth(in_shape(n, 0));
    if (AMONG(n->op, convolutions)) {
        const Shape *w = in_shape(n, 1);
        return in + out * (double)shape_count(w) / (double)i64_max(1, w->rank ? w->dim[0] : 1);
    }
    if (AMONG(n->op, others)) return (out + 1) * (in + 1);
    OpKind kind = op_def(n->op)->kind;
    return (out + in) * (kind == OP_EXPAND ? EXPANSION_WORK : kind == OP_REF ? KERNEL_WORK : PROGRAM_WORK);
}

bool op_only_moves(OpId op) { return AMONG(op, moves); }

static bool splat_in(const Node *n, int i) { return n->in[i]->constant && n->in[i]->constant->splat; }

static bool all_splats(const Node *n) {
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] && !splat_in(n, i)) return false;
    return n->n_in > 0;
}

EvalCost node_eval_cost(const Node *n) {
    EvalCost c = {0};
    bool elementwise = op_def(n->op)->kind == OP_EXPR, fixed = op_is_static(n->op);
    if (elementwise && all_splats(n)) return c;
    if (op_only_moves(n->op) && n->in[0] && splat_in(n, 0)) return c;
    double out = 0, in = 0;
    for (int i = 0; i < n->n_out; i++) {
        if (!n->out[i]) continue;
        c.bytes += type_bytes(&n->out[i]->type);
        out += (double)shape_count(&n->out[i]->type.shape);
    }
    for (int i = 0; i < n->n_in && !fixed; i++) {
        if (!n->in[i]) continue;
        if (!elementwise && splat_in(n, i)) c.bytes += type_bytes(&n->in[i]->type);
        in += (double)shape_count(&n->in[i]->type.shape);
    }
    c.work = work_of(n, out, in);
    return c;
}
