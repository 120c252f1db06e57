/* Reading at computed places. Gather along one axis is the primitive; the other two compute positions in the flattened
 * data and gather there. */
#include "ir/ops/index.h"

#include <inttypes.h>

/* The first n dimensions of p followed by those of q from dimension `from` on; false if the rank is too large. */
static bool join(Infer *c, const Shape *p, int n, const Shape *q, int from, Shape *out) {
    *out = (Shape){.rank = 0};
    if (n + q->rank - from > MAX_RANK)
        return infer_error(c, D_UNSUPPORTED_FORM, 1, "an output of rank %d; at most %d is supported",
                           n + q->rank - from, MAX_RANK);
    for (int i = 0; i < n; i++) out->dim[out->rank++] = p->dim[i];
    for (int i = from; i < q->rank; i++) out->dim[out->rank++] = q->dim[i];
    return true;
}

bool infer_Gather(Infer *c) {
    const Shape *data = in_shape(c->node, 0), *indices = in_shape(c->node, 1);
    int axis;
    Shape head, out;
    if (!infer_axis(c, node_int(c->node, "axis"), data->rank, &axis)) return false;
    if (!check_indices(c, 1, data->dim[axis])) return false;
    if (data->rank - 1 + indices->rank > MAX_RANK)
        return infer_error(c, D_UNSUPPORTED_FORM, 1, "an output of rank %d; at most %d is supported",
                           data->rank - 1 + indices->rank, MAX_RANK);
    if (!join(c, data, axis, indices, 0, &head) || !join(c, &head, head.rank, data, axis + 1, &out)) return false;
    set_out(c, 0, 0, &out);
    return true;
}

void pack_Gather(Pack *p) { pack_int(p, node_axis(p->node, in_shape(p->node, 0)->rank)); }

bool infer_GatherElements(Infer *c) {
    int axis;
    if (!infer_axis(c, node_int(c->node, "axis"), in_shape(c->node, 0)->rank, &axis)) return false;
    if (!check_element_indices(c, axis)) return false;
    set_out(c, 0, 0, in_shape(c->node, 1));
    return true;
}

void expand_GatherElements(Expand *e) {
    const Node *n = e->node;
    const Shape *data = in_shape(n, 0);
    Shape flat = shape_merged(data, 0, data->rank);
    Value *at = expand_element_positions(e, n->in[1], data, node_axis(n, data->rank));
    expand_result(e, 0, EXPAND(e, Gather, "axis=0", expand_reshape(e, n->in[0], &flat), at));
}

bool infer_GatherND(Infer *c) {
    const Shape *data = in_shape(c->node, 0), *s = in_shape(c->node, 1);
    int64_t batch = node_int(c->node, "batch_dims");
    if (data->rank < 1) return infer_error(c, D_OPERAND_SHAPE, 0, "a scalar; wanted at least rank 1");
    if (s->rank < 1) return infer_error(c, D_OPERAND_SHAPE, 1, "a scalar; wanted at least rank 1");
    if (batch < 0 || batch >= data->rank || batch >= s->rank)
        return infer_error(c, D_ATTRIBUTE, -1, "batch_dims %" PRId64 "; wanted 0 or more, below both ranks", batch);
    for (int i = 0; i < batch; i++)
        if (data->dim[i] != s->dim[i])
            return infer_error(c, D_OPERAND_SHAPE, 1, "batch dimension %d is %" PRId64 "; the data's is %" PRId64, i,
                               s->dim[i], data->dim[i]);
    int64_t k = s->dim[s->rank - 1];
    if (k < 1 || k > data->rank - batch)
        return infer_error(c, D_OPERAND_SHAPE, 1, "index tuples of %" PRId64 " components; wanted 1 to %" PRId64, k,
                           data->rank - batch);
    Shape out;
    if (!check_index_tuples(c, 1, data->dim + batch)) return false;
    if (!join(c, s, s->rank - 1, data, (int)(batch + k), &out)) return false;
    int64_t last = shape_merged(data, (int)batch, (int)(batch + k)).dim[batch];
    if (last == 0 && shape_count(s) > 0)
        return infer_error(c, D_OPERAND_SHAPE, 0, "indices into a dimension without elements");
    set_out(c, 0, 0, &out);
    return true;
}

/* Each batch's rows come after those of the one before: with batches merged into the rows, a position is the row in the
 * batch plus the batch's first row. */
void expand_GatherND(Expand *e) {
    const Node *n = e->node;
    const Shape *data = in_shape(n, 0), *s = in_shape(n, 1);
    int batch = (int)node_int(n, "batch_dims"), k = (int)s->dim[s->rank - 1];
    Value *at = expand_tuple_positions(e, n->in[1], data, batch);
    int64_t first = 1;
    for (int i = batch; i < batch + k; i++) first *= data->dim[i];
    for (int i = batch - 1; i >= 0; i--) {
        Shape row = shape_along(s->rank, i, s->dim[i]);
        Value *step = expand_scalar(e, QCC_I64, (double)first);
        at = EXPAND(e, Add, NULL, at, EXPAND(e, Mul, NULL, expand_iota(e, &row), step));
        first *= data->dim[i];
    }
    Shape places = shape_of(s->rank - 1, s->dim), rows = shape_merged(data, 0, batch + k);
    at = expand_reshape(e, at, &places);
    expand_result(e, 0, EXPAND(e, Gather, "axis=0", expand_reshape(e, n->in[0], &rows), at));
}

/* ---- ReverseSequence ----------------------------------------------------------------------------------------------
 */

bool infer_ReverseSequence(Infer *c) {
    const Shape *x = in_shape(c->node, 0), *len = in_shape(c->node, 1);
    int64_t batch = node_int(c->node, "batch_axis"), time = node_int(c->node, "time_axis");
    if (!infer_rank_min(c, 0, 2)) return false;
    if (!((batch == 0 && time == 1) || (batch == 1 && time == 0)))
        return infer_error(c, D_ATTRIBUTE, -1,
                           "batch_axis %" PRId64 " and time_axis %" PRId64 "; wanted 0 and 1 or 1 and 0", batch, time);
    if (len->rank != 1 || len->dim[0] != x->dim[batch])
        return infer_error(c, D_OPERAND_SHAPE, 1,
                           "lengths of shape %s; wanted one for each of the %" PRId64 " sequences",
                           shape_str(c->arena, len), x->dim[batch]);
    const Tensor *t = in_const(c->node, 1);
    for (int64_t i = 0; t && i < len->dim[0]; i++) {
        int64_t v = tensor_get_int(t, i);
        if (v < 0 || v > x->dim[time])
            return infer_error(c, D_OPERAND_VALUE, 1, "length %" PRId64 "; wanted 0 to %" PRId64, v, x->dim[time]);
    }
    set_out(c, 0, 0, x);
    return true;
}

/* Step t of a sequence of length n comes from step n - 1 - t where t < n, else from t itself. */
void expand_ReverseSequence(Expand *e) {
    const Node *n = e->node;
    const Shape *x = in_shape(n, 0);
    int batch = (int)node_int(n, "batch_axis"), time = 1 - batch;
    Shape steps = shape_along(2, time, x->dim[time]), lanes = shape_along(2, batch, x->dim[batch]);
    Value *t = expand_iota(e, &steps), *len = expand_reshape(e, n->in[1], &lanes);
    Value *back = EXPAND(e, Sub, NULL, EXPAND(e, Sub, NULL, len, expand_scalar(e, QCC_I64, 1)), t);
    Value *from = EXPAND(e, Where, NULL, EXPAND(e, Less, NULL, t, len), back, t);
    Shape both = shape_of(2, x->dim), rows = shape_merged(x, 0, 2);
    Value *at = expand_element_positions(e, from, &both, time);
    expand_result(e, 0, EXPAND(e, Gather, "axis=0", expand_reshape(e, n->in[0], &rows), at));
}
