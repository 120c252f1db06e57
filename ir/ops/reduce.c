/* Reductions. Sum, product, maximum and minimum have kernels; the others are written in them and element-wise
 * operators. Half types are widened to f32 before and narrowed once after such a chain, integers go through f64 where
 * it leaves them. */
#include "ir/ops/operand.h"

/* ---- shapes, for all of them ----------------------------------------------------------------------------------- */

/* Which axes are reduced. No axes given, or none listed: all, or none with noop_with_empty_axes. */
static bool read_axes(Infer *c, bool reduced[MAX_RANK]) {
    int rank = in_shape(c->node, 0)->rank, axes[MAX_RANK];
    IntList list;
    if (!infer_ints(c, 1, rank, &list) || !infer_axes(c, list.n, list.v, rank, axes)) return false;
    bool all = list.n == 0 && !node_int(c->node, "noop_with_empty_axes");
    for (int i = 0; i < rank; i++) reduced[i] = all;
    for (int64_t i = 0; i < list.n; i++) reduced[axes[i]] = true;
    return true;
}

static Shape reduced_shape(const Shape *in, const bool reduced[MAX_RANK], bool keep) {
    Shape s = {0};
    for (int i = 0; i < in->rank; i++) {
        if (!reduced[i])
            s.dim[s.rank++] = in->dim[i];
        else if (keep)
            s.dim[s.rank++] = 1;
    }
    return s;
}

static bool infer_reduce(Infer *c) {
    bool reduced[MAX_RANK];
    if (!read_axes(c, reduced)) return false;
    Shape s = reduced_shape(in_shape(c->node, 0), reduced, node_int(c->node, "keepdims") != 0);
    set_out(c, 0, 0, &s);
    return true;
}

static void pack_reduce(Pack *p) {
    Again again;
    bool reduced[MAX_RANK];
    if (!read_axes(infer_again(&again, p->node), reduced)) bug("a reduction does not resolve again");
    for (int i = 0; i < in_shape(p->node, 0)->rank; i++) pack_int(p, reduced[i]);
}

bool infer_ReduceSum(Infer *c) { return infer_reduce(c); }
bool infer_ReduceProd(Infer *c) { return infer_reduce(c); }
bool infer_ReduceMax(Infer *c) { return infer_reduce(c); }
bool infer_ReduceMin(Infer *c) { return infer_reduce(c); }
bool infer_ReduceMean(Infer *c) { return infer_reduce(c); }
bool infer_ReduceL1(Infer *c) { return infer_reduce(c); }
bool infer_ReduceL2(Infer *c) { return infer_reduce(c); }
bool infer_ReduceSumSquare(Infer *c) { return infer_reduce(c); }
bool infer_ReduceLogSum(Infer *c) { return infer_reduce(c); }
bool infer_ReduceLogSumExp(Infer *c) { return infer_reduce(c); }
void pack_ReduceSum(Pack *p) { pack_reduce(p); }
void pack_ReduceProd(Pack *p) { pack_reduce(p); }
void pack_ReduceMax(Pack *p) { pack_reduce(p); }
void pack_ReduceMin(Pack *p) { pack_reduce(p); }

/* ---- those written in others ------------------------------------------------------------------------------------- */

/* The type that a chain is computed in. `real`: the chain leaves the integers. */
static Elem chain_elem(Elem e, bool real) {
    if (e == QCC_F16 || e == QCC_BF16) return QCC_F32;
    return elem_is_float(e) || !real ? e : QCC_F64;
}

static Value *chain_in(Expand *e, bool real) {
    return expand_cast(e, e->node->in[0], chain_elem(in_elem(e->node, 0), real));
}

static void chain_out(Expand *e, Value *v) {
    v = expand_cast(e, v, e->node->out[0]->type.elem);
    expand_result(e, 0, expand_reshape(e, v, &e->node->out[0]->type.shape));
}

/* `v` reduced by `op` over the axes of the node being expanded. */
static Value *reduce_keeping(Expand *e, OpId op, Value *v, bool keep) {
    Node *n = e->node;
    const char *attrs = arena_printf(e->graph->arena, "keepdims=%d noop_with_empty_axes=%d", keep,
                                     (int)(node_int(n, "noop_with_empty_axes") != 0));
    return expand_node(e, op, attrs, has_in(n, 1) ? 2 : 1, (Value *[]){v, has_in(n, 1) ? n->in[1] : NULL});
}

static Value *reduce(Expand *e, OpId op, Value *v) {
    return reduce_keeping(e, op, v, node_int(e->node, "keepdims") != 0);
}

void expand_ReduceMean(Expand *e) {
    Again again;
    bool reduced[MAX_RANK];
    const Shape *in = in_shape(e->node, 0);
    if (!read_axes(infer_again(&again, e->node), reduced)) bug("ReduceMean does not resolve again");
    double n = 1;
    for (int i = 0; i < in->rank; i++) n *= reduced[i] ? (double)in->dim[i] : 1;
    Value *v = reduce(e, OP_ReduceSum, chain_in(e, false));
    chain_out(e, EXPAND(e, Div, NULL, v, expand_scalar(e, v->type.elem, n)));
}

void expand_ReduceL1(Expand *e) { chain_out(e, reduce(e, OP_ReduceSum, EXPAND(e, Abs, NULL, chain_in(e, false)))); }

void expand_ReduceSumSquare(Expand *e) {
    Value *v = chain_in(e, false);
    chain_out(e, reduce(e, OP_ReduceSum, EXPAND(e, Mul, NULL, v, v)));
}

void expand_ReduceL2(Expand *e) {
    Value *v = chain_in(e, true);
    chain_out(e, EXPAND(e, Sqrt, NULL, reduce(e, OP_ReduceSum, EXPAND(e, Mul, NULL, v, v))));
}

void expand_ReduceLogSum(Expand *e) { chain_out(e, EXPAND(e, Log, NULL, reduce(e, OP_ReduceSum, chain_in(e, true)))); }

/* The maximum is taken off first and added last, so that no exponential overflows. Where it is infinite (all are -inf,
 * none are there, or one is inf) nothing is taken off: inf - inf is not a number. */
void expand_ReduceLogSumExp(Expand *e) {
    Value *v = chain_in(e, true), *zero = expand_scalar(e, v->type.elem, 0);
    Value *most = reduce_keeping(e, OP_ReduceMax, v, true);
    most = EXPAND(e, Where, NULL, EXPAND(e, IsInf, NULL, most), zero, most);
    Value *sum = reduce_keeping(e, OP_ReduceSum, EXPAND(e, Exp, NULL, EXPAND(e, Sub, NULL, v, most)), true);
    chain_out(e, EXPAND(e, Add, NULL, EXPAND(e, Log, NULL, sum), most));
}

/* ---- ArgMax, ArgMin -------------------------------------------------------------------------------------------- */

static bool infer_arg(Infer *c) {
    const Shape *in = in_shape(c->node, 0);
    int axis;
    bool reduced[MAX_RANK] = {0};
    if (!infer_axis(c, node_int(c->node, "axis"), in->rank, &axis)) return false;
    if (in->dim[axis] == 0)
        return infer_error(c, D_OPERAND_SHAPE, 0, "axis %d is empty; there is nothing to find", axis);
    reduced[axis] = true;
    Shape s = reduced_shape(in, reduced, node_int(c->node, "keepdims") != 0);
    set_out(c, 0, QCC_I64, &s);
    return true;
}

static void pack_arg(Pack *p) {
    int64_t axis = node_int(p->node, "axis");
    pack_int(p, axis < 0 ? axis + in_shape(p->node, 0)->rank : axis);
    pack_int(p, node_int(p->node, "select_last_index") != 0);
}

bool infer_ArgMax(Infer *c) { return infer_arg(c); }
bool infer_ArgMin(Infer *c) { return infer_arg(c); }
void pack_ArgMax(Pack *p) { pack_arg(p); }
void pack_ArgMin(Pack *p) { pack_arg(p); }

/* ---- CumSum, CumProd ------------------------------------------------------------------------------------------- */

static bool read_scan_axis(Infer *c, int *axis) {
    int64_t given;
    return infer_int(c, 1, 0, &given) && infer_axis(c, given, in_shape(c->node, 0)->rank, axis);
}

static bool infer_scan(Infer *c) {
    int axis;
    if (!read_scan_axis(c, &axis)) return false;
    set_out(c, 0, 0, in_shape(c->node, 0));
    return true;
}

static void pack_scan(Pack *p) {
    Again again;
    int axis;
    if (!read_scan_axis(infer_again(&again, p->node), &axis)) bug("a scan's axis does not resolve again");
    pack_int(p, axis);
    pack_int(p, node_int(p->node, "exclusive") != 0);
    pack_int(p, node_int(p->node, "reverse") != 0);
}

bool infer_CumSum(Infer *c) { return infer_scan(c); }
bool infer_CumProd(Infer *c) { return infer_scan(c); }
void pack_CumSum(Pack *p) { pack_scan(p); }
void pack_CumProd(Pack *p) { pack_scan(p); }
