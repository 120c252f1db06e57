/* Matrix products. */
#include "ir/ops/expand.h"

/* ---- Gemm: Y = alpha * A' * B' + beta * C ------------------------------------------------------------------------ */

bool infer_Gemm(Infer *c) {
    const Node *n = c->node;
    if (!infer_rank(c, 0, 2) || !infer_rank(c, 1, 2)) return false;
    int ta = node_int(n, "transA") != 0, tb = node_int(n, "transB") != 0;
    const Shape *a = in_shape(n, 0), *b = in_shape(n, 1);
    Shape s = {.rank = 2, .dim = {a->dim[ta], b->dim[!tb]}}, both;
    if (a->dim[!ta] != b->dim[tb])
        return infer_error(c, D_OPERAND_SHAPE, 1, "A gives %lld terms of each product, B %lld; as many are wanted",
                           (long long)a->dim[!ta], (long long)b->dim[tb]);
    if (has_in(n, 2) && (!shape_broadcast(in_shape(n, 2), &s, &both) || !shape_equal(&both, &s)))
        return infer_error(c, D_OPERAND_SHAPE, 2, "%s cannot be broadcast to %s", shape_str(c->arena, in_shape(n, 2)),
                           shape_str(c->arena, &s));
    set_out(c, 0, 0, &s);
    return true;
}

void pack_Gemm(Pack *p) {
    pack_int(p, node_int(p->node, "transA") != 0);
    pack_int(p, node_int(p->node, "transB") != 0);
    pack_float(p, node_float(p->node, "alpha"));
    pack_float(p, node_float(p->node, "beta"));
}

/* ---- MatMul: numpy's rule ---------------------------------------------------------------------------------------- */

static bool infer_product(Infer *c, Elem elem) {
    const Shape *a = in_shape(c->node, 0), *b = in_shape(c->node, 1);
    if (!infer_rank_min(c, 0, 1) || !infer_rank_min(c, 1, 1)) return false;
    int64_t left = a->dim[a->rank - 1], right = b->dim[b->rank == 1 ? 0 : b->rank - 2];
    if (left != right)
        return infer_error(c, D_OPERAND_SHAPE, 1, "operand 0 gives %lld terms of each product, operand 1 %lld",
                           (long long)left, (long long)right);
    Shape batch_a = shape_of(a->rank < 2 ? 0 : a->rank - 2, a->dim),
          batch_b = shape_of(b->rank < 2 ? 0 : b->rank - 2, b->dim);
    Shape s;
    if (!shape_broadcast(&batch_a, &batch_b, &s))
        return infer_error(c, D_OPERAND_SHAPE, 1, "batches %s and %s cannot be broadcast",
                           shape_str(c->arena, &batch_a), shape_str(c->arena, &batch_b));
    if (a->rank > 1) s.dim[s.rank++] = a->dim[a->rank - 2];
    if (b->rank > 1) s.dim[s.rank++] = b->dim[b->rank - 1];
    set_out(c, 0, elem, &s);
    return true;
}

bool infer_MatMul(Infer *c) { return infer_product(c, 0); }

void pack_MatMul(Pack *p) { (void)p; }

/* ---- MatMulInteger: a QMatMul ------------------------------------------------------------------------------------ */

/* A zero point for all, or one for each row of A or column of B, as a list or with the matrix's own rank. */
static bool check_zero(Infer *c, int operand, int zero) {
    if (!has_in(c->node, zero)) return true;
    const Shape *z = in_shape(c->node, zero), *m = in_shape(c->node, operand);
    if (shape_count(z) == 1) return true;
    int axis = m->rank - (operand == 0 ? 2 : 1), other = m->rank - (operand == 0 ? 1 : 2);
    Shape s;
    bool list = z->rank == 1 && axis >= 0 && z->dim[0] == m->dim[axis];
    bool full =
        z->rank == m->rank && m->rank >= 2 && z->dim[other] == 1 && shape_broadcast(z, m, &s) && shape_equal(&s, m);
    return list || full ||
           infer_error(c, D_OPERAND_SHAPE, zero, "zero points of shape %s do not fit operand %d, %s",
                       shape_str(c->arena, z), operand, shape_str(c->arena, m));
}

bool infer_MatMulInteger(Infer *c) { return infer_product(c, QCC_I32) && check_zero(c, 0, 2) && check_zero(c, 1, 3); }

/* A list of zero points of A goes down its rows. */
static Value *centred(Expand *e, int i, int zero) {
    Value *z = has_in(e->node, zero) ? e->node->in[zero] : NULL;
    if (z && i == 0 && z->type.shape.rank == 1)
        z = expand_reshape(e, z, &(Shape){.rank = 2, .dim = {z->type.shape.dim[0], 1}});
    return expand_centred(e, e->node->in[i], z);
}

void expand_MatMulInteger(Expand *e) {
    expand_result(e, 0, EXPAND(e, QMatMul, NULL, centred(e, 0, 2), centred(e, 1, 3)));
}

/* ---- QMatMul ------------------------------------------------------------------------------------------------------
 */

bool infer_QMatMul(Infer *c) { return infer_product(c, 0); }

void pack_QMatMul(Pack *p) { (void)p; }
