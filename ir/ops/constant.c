/* Operators whose result is known from their operands' types or constant values: they become constants. */
#include "ir/ops/operand.h"

#include <math.h>

bool op_is_static(OpId op) { return op == OP_Shape || op == OP_Size || op == OP_EyeLike; }

static void becomes(Expand *e, const Tensor *t) { expand_result(e, 0, graph_constant(e->graph, "", t)); }

/* ---- Shape, Size ----------------------------------------------------------------------------------------------- */

/* The part [*from, *to) of the dimensions that Shape gives. */
static void shape_part(const Node *n, int *from, int *to) {
    int rank = in_shape(n, 0)->rank;
    int64_t start = node_int(n, "start"), end = node_attr(n, "end") ? node_int(n, "end") : rank;
    if (start < 0) start += rank;
    if (end < 0) end += rank;
    *from = (int)i64_max(0, i64_min(start, rank));
    *to = (int)i64_max(*from, i64_min(end, rank));
}

bool infer_Shape(Infer *c) {
    int from, to;
    shape_part(c->node, &from, &to);
    set_out(c, 0, QCC_I64, &(Shape){.rank = 1, .dim = {to - from}});
    return true;
}

void expand_Shape(Expand *e) {
    int from, to;
    shape_part(e->node, &from, &to);
    expand_result(e, 0, expand_ints(e, to - from, in_shape(e->node, 0)->dim + from));
}

bool infer_Size(Infer *c) {
    set_out(c, 0, QCC_I64, &(Shape){0});
    return true;
}

void expand_Size(Expand *e) {
    int64_t n = shape_count(in_shape(e->node, 0));
    becomes(e, tensor_from_ints(e->graph->arena, QCC_I64, (Shape){0}, &n));
}

/* ---- ConstantOfShape, EyeLike ---------------------------------------------------------------------------------- */

bool infer_ConstantOfShape(Infer *c) {
    IntList dims;
    const Attr *value = node_attr(c->node, "value");
    if (value && shape_count(&value->t->type.shape) != 1)
        return infer_error(c, D_ATTRIBUTE, -1, "value has shape %s; one element is wanted",
                           shape_str(c->arena, &value->t->type.shape));
    if (!infer_ints(c, 0, MAX_RANK, &dims)) return false;
    Shape s = {.rank = (int)dims.n};
    for (int i = 0; i < s.rank; i++) {
        s.dim[i] = dims.v[i];
        if (s.dim[i] < 0)
            return infer_error(c, D_OPERAND_VALUE, 0, "dimension %d is %lld; at least 0 is wanted", i,
                               (long long)s.dim[i]);
    }
    set_out(c, 0, value ? value->t->type.elem : QCC_F32, &s);
    return true;
}

void expand_ConstantOfShape(Expand *e) {
    const Attr *value = node_attr(e->node, "value");
    static const float zero = 0;
    becomes(e, tensor_splat(e->graph->arena, e->node->out[0]->type, value ? value->t->data : &zero));
}

bool infer_EyeLike(Infer *c) {
    if (!infer_rank(c, 0, 2)) return false;
    int64_t elem = node_attr(c->node, "dtype") ? node_int(c->node, "dtype") : (int64_t)in_elem(c->node, 0);
    if (!elem_known(elem))
        return infer_error(c, D_ATTRIBUTE, -1, "dtype is %lld; no known element type", (long long)elem);
    int64_t n = shape_count(in_shape(c->node, 0));
    if (n > MAX_MADE)
        return infer_error(c, D_SIZE_LIMIT, 0, "a matrix of %lld elements; at most %lld are made", (long long)n,
                           (long long)MAX_MADE);
    set_out(c, 0, (Elem)elem, in_shape(c->node, 0));
    return true;
}

void expand_EyeLike(Expand *e) {
    Type type = e->node->out[0]->type;
    Tensor *t = tensor_new(e->graph->arena, type);
    int64_t rows = type.shape.dim[0], cols = type.shape.dim[1];
    int64_t k = i64_max(-rows, i64_min(node_int(e->node, "k"), cols));
    for (int64_t i = i64_max(0, -k); i < rows && i + k < cols; i++) tensor_set(t, i * cols + i + k, 1);
    becomes(e, t);
}

/* ---- Range ----------------------------------------------------------------------------------------------------- */

static int64_t count_ints(int64_t start, int64_t limit, int64_t delta) {
    if (delta > 0 ? start >= limit : start <= limit) return 0;
    uint64_t span = delta > 0 ? (uint64_t)limit - (uint64_t)start : (uint64_t)start - (uint64_t)limit;
    uint64_t step = delta > 0 ? (uint64_t)delta : -(uint64_t)delta, n = (span - 1) / step + 1;
    return n > (uint64_t)MAX_MADE ? -1 : (int64_t)n;
}

static int64_t count_floats(double start, double limit, double delta) {
    double n = ceil((limit - start) / delta);
    if (n <= 0) return 0;
    return n <= (double)MAX_MADE ? (int64_t)n : -1; /* a NaN is refused too */
}

bool infer_Range(Infer *c) {
    const Tensor *t[3];
    for (int i = 0; i < 3; i++) {
        t[i] = in_const(c->node, i);
        if (shape_count(&t[i]->type.shape) != 1)
            return infer_error(c, D_OPERAND_SHAPE, i, "%s; a scalar is wanted", shape_str(c->arena, &t[i]->type.shape));
    }
    if (tensor_get(t[2], 0) == 0) return infer_error(c, D_OPERAND_VALUE, 2, "delta is 0; it must not be");
    int64_t n = elem_is_float(in_elem(c->node, 0))
                    ? count_floats(tensor_get(t[0], 0), tensor_get(t[1], 0), tensor_get(t[2], 0))
                    : count_ints(tensor_get_int(t[0], 0), tensor_get_int(t[1], 0), tensor_get_int(t[2], 0));
    if (n < 0) return infer_error(c, D_SIZE_LIMIT, 1, "the range has no end within %lld elements", (long long)MAX_MADE);
    set_out(c, 0, 0, &(Shape){.rank = 1, .dim = {n}});
    return true;
}

/* Element i is start + i * delta, in f32 for the half types (stash_type 1) and f32, else exact or in f64. */
void expand_Range(Expand *e) {
    const Tensor *start = in_const(e->node, 0), *delta = in_const(e->node, 2);
    Type type = e->node->out[0]->type;
    Tensor *t = tensor_new(e->graph->arena, type);
    for (int64_t i = 0; i < type.shape.dim[0]; i++) {
        if (!elem_is_float(type.elem)) {
            uint64_t step = (uint64_t)tensor_get_int(delta, 0) * (uint64_t)i;
            tensor_set_int(t, i, (int64_t)((uint64_t)tensor_get_int(start, 0) + step));
        } else if (type.elem == QCC_F64) {
            tensor_set(t, i, tensor_get(start, 0) + (double)i * tensor_get(delta, 0));
        } else {
            tensor_set(t, i, (float)tensor_get(start, 0) + (float)i * (float)tensor_get(delta, 0));
        }
    }
    becomes(e, t);
}
