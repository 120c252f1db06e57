#include "ir/ops/index.h"

#include <inttypes.h>

static bool index_error(Infer *c, int operand, int64_t found, int64_t dim) {
    if (dim == 0)
        return infer_error(c, D_OPERAND_VALUE, operand, "index %" PRId64 " into a dimension without elements", found);
    return infer_error(c, D_OPERAND_VALUE, operand, "index %" PRId64 "; wanted one in [%" PRId64 ", %" PRId64 "]",
                       found, -dim, dim - 1);
}

bool check_index_tuples(Infer *c, int i, const int64_t *dims) {
    const Tensor *t = in_const(c->node, i);
    const Shape *s = in_shape(c->node, i);
    if (!t) return true;
    int64_t k = s->dim[s->rank - 1], n = shape_count(s);
    if (t->splat) n = i64_min(n, k);
    for (int64_t j = 0; j < n; j++) {
        int64_t v = tensor_get_int(t, j), dim = dims[j % k];
        if (v < -dim || v >= dim) return index_error(c, i, v, dim);
    }
    return true;
}

bool check_indices(Infer *c, int i, int64_t dim) {
    const Tensor *t = in_const(c->node, i);
    int64_t n = t ? shape_count(&t->type.shape) : 0;
    if (t && t->splat) n = i64_min(n, 1);
    for (int64_t j = 0; j < n; j++) {
        int64_t v = tensor_get_int(t, j);
        if (v < -dim || v >= dim) return index_error(c, i, v, dim);
    }
    if (!t && dim == 0 && shape_count(in_shape(c->node, i)) > 0)
        return infer_error(c, D_OPERAND_SHAPE, 0, "indices into a dimension without elements");
    return true;
}

bool check_element_indices(Infer *c, int axis) {
    const Shape *data = in_shape(c->node, 0), *s = in_shape(c->node, 1);
    if (s->rank != data->rank)
        return infer_error(c, D_OPERAND_SHAPE, 1, "indices of rank %d; wanted the data's rank %d", s->rank, data->rank);
    for (int i = 0; i < s->rank; i++)
        if (i != axis && s->dim[i] > data->dim[i])
            return infer_error(c, D_OPERAND_SHAPE, 1,
                               "dimension %d of the indices is %" PRId64 "; wanted at most %" PRId64, i, s->dim[i],
                               data->dim[i]);
    return check_indices(c, 1, data->dim[axis]);
}

Value *expand_wrapped(Expand *e, Value *indices, Value *n) {
    Value *zero = expand_scalar(e, QCC_I64, 0), *one = expand_scalar(e, QCC_I64, 1);
    Value *negative = EXPAND(e, Less, NULL, indices, zero);
    Value *v = EXPAND(e, Where, NULL, negative, EXPAND(e, Add, NULL, indices, n), indices);
    v = EXPAND(e, Max, NULL, v, zero);
    return EXPAND(e, Min, NULL, v, EXPAND(e, Sub, NULL, n, one));
}

Value *expand_element_positions(Expand *e, Value *indices, const Shape *data, int axis) {
    int64_t strides[MAX_RANK];
    shape_strides(data, strides);
    const Shape s = indices->type.shape;
    Value *n = expand_scalar(e, QCC_I64, (double)data->dim[axis]);
    Value *at = expand_wrapped(e, expand_cast(e, indices, QCC_I64), n);
    at = EXPAND(e, Mul, NULL, at, expand_scalar(e, QCC_I64, (double)strides[axis]));
    for (int i = 0; i < s.rank; i++) {
        if (i == axis || s.dim[i] == 1) continue;
        Shape row = shape_along(s.rank, i, s.dim[i]);
        Value *step = expand_scalar(e, QCC_I64, (double)strides[i]);
        at = EXPAND(e, Add, NULL, at, EXPAND(e, Mul, NULL, expand_iota(e, &row), step));
    }
    return at;
}

Value *expand_tuple_positions(Expand *e, Value *indices, const Shape *data, int first) {
    const Shape *s = &indices->type.shape;
    int k = (int)s->dim[s->rank - 1];
    Value *at = expand_wrapped(e, expand_cast(e, indices, QCC_I64), expand_ints(e, k, data->dim + first));
    if (k == 1) return at;
    int64_t strides[MAX_RANK], step = 1, axis = s->rank - 1;
    for (int i = k - 1; i >= 0; i--) {
        strides[i] = step;
        step *= data->dim[first + i];
    }
    return expand_reduce(e, OP_ReduceSum, EXPAND(e, Mul, NULL, at, expand_ints(e, k, strides)), 1, &axis);
}

Shape shape_merged(const Shape *data, int first, int last) {
    Shape r = {0};
    for (int i = 0; i < first; i++) r.dim[r.rank++] = data->dim[i];
    int64_t n = 1;
    for (int i = first; i < last; i++) n *= data->dim[i];
    r.dim[r.rank++] = n;
    for (int i = last; i < data->rank; i++) r.dim[r.rank++] = data->dim[i];
    return r;
}
