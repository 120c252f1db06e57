/* Views: operators that only say where elements lie. Transpose permutes strides, Slice moves the start and multiplies
 * them, Expand sets them to 0, Reshape splits and joins dimensions where their strides allow it, Concat gives each
 * operand a part of one whole. */
#include "codegen/program.h"
#include "ir/op.h"
#include "ir/ops/strided.h"

bool node_is_view(const Node *n) {
    return n->op == OP_Reshape || n->op == OP_Transpose || n->op == OP_Slice || n->op == OP_Expand ||
           n->op == OP_Concat;
}

void dense_strides(const Type *t, const int *order, int64_t stride[MAX_RANK]) {
    int64_t step = elem_bytes(t->elem);
    for (int i = t->shape.rank - 1; i >= 0; i--) {
        stride[order[i]] = step;
        step *= i64_max(1, t->shape.dim[order[i]]);
    }
}

/* Numpy's rule: groups of dimensions with equal products correspond; within a group the old ones must lie densely in
 * one another, then any split of the group does. Dimensions of one element say nothing. */
static bool reshape_strides(const Shape *from, const int64_t *stride, const Shape *to, int64_t *result) {
    int old[MAX_RANK], n_old = 0, i = 0, j = 0;
    for (int d = 0; d < from->rank; d++)
        if (from->dim[d] != 1) old[n_old++] = d;
    while (i < n_old && j < to->rank) {
        int i0 = i, j0 = j;
        int64_t a = from->dim[old[i++]], b = to->dim[j++];
        while (a != b) {
            if (a < b)
                a *= from->dim[old[i++]];
            else
                b *= to->dim[j++];
        }
        for (int k = i0; k + 1 < i; k++)
            if (stride[old[k]] != stride[old[k + 1]] * from->dim[old[k + 1]]) return false;
        result[j - 1] = stride[old[i - 1]];
        for (int k = j - 1; k > j0; k--) result[k - 1] = result[k] * to->dim[k];
    }
    for (; j < to->rank; j++) result[j] = j ? result[j - 1] : 0;
    return true;
}

static void transpose_perm(const Node *n, int perm[MAX_RANK]) {
    int given, rank = in_shape(n, 0)->rank;
    const int64_t *p = node_ints(n, "perm", &given);
    for (int i = 0; i < rank; i++) perm[i] = given ? (int)p[i] : rank - 1 - i;
}

/* Start and step of each axis, read off the strided view of a dense operand. */
static void slice_forward(const Node *n, const Storage *in, Storage *out) {
    const Shape *s = in_shape(n, 0);
    Strided v = strided_of_node(n);
    int64_t dense[MAX_RANK];
    shape_strides(s, dense);
    for (int d = 0; d < s->rank; d++) {
        int64_t start = s->dim[d] ? v.offset / dense[d] % s->dim[d] : 0;
        out->offset += start * in->stride[d];
        out->stride[d] = v.stride[d] / dense[d] * in->stride[d];
    }
}

static void expand_forward(const Node *n, const Storage *in, Storage *out) {
    const Shape *from = in_shape(n, 0), *to = &n->out[0]->type.shape;
    int lead = to->rank - from->rank;
    for (int d = 0; d < to->rank; d++)
        out->stride[d] = d < lead || from->dim[d - lead] != to->dim[d] ? 0 : in->stride[d - lead];
}

bool view_forward(const Node *n, const Storage *in, Storage *out) {
    int perm[MAX_RANK];
    *out = (Storage){.buffer = in->buffer, .offset = in->offset};
    if (shape_count(&n->out[0]->type.shape) == 0) return true;
    switch (n->op) {
    case OP_Reshape:
        return reshape_strides(in_shape(n, 0), in->stride, &n->out[0]->type.shape, out->stride);
    case OP_Transpose:
        transpose_perm(n, perm);
        for (int d = 0; d < in_shape(n, 0)->rank; d++) out->stride[d] = in->stride[perm[d]];
        return true;
    case OP_Slice:
        slice_forward(n, in, out);
        return true;
    case OP_Expand:
        expand_forward(n, in, out);
        return true;
    default:
        bug("view_forward: %s", op_def(n->op)->name);
    }
}

bool view_backward(const Node *n, const Storage *out, Storage *in) {
    int perm[MAX_RANK];
    *in = (Storage){.buffer = out->buffer, .offset = out->offset};
    switch (n->op) {
    case OP_Reshape:
        return reshape_strides(&n->out[0]->type.shape, out->stride, in_shape(n, 0), in->stride);
    case OP_Transpose:
        transpose_perm(n, perm);
        for (int d = 0; d < in_shape(n, 0)->rank; d++) in->stride[perm[d]] = out->stride[d];
        return true;
    default:
        return false;
    }
}

static int64_t concat_start(const Node *n, int axis, int operand) {
    int64_t at = 0;
    for (int i = 0; i < operand; i++) at += in_shape(n, i)->dim[axis];
    return at;
}

Storage view_part(const Node *n, const Storage *whole, int operand) {
    Storage part = {.buffer = whole->buffer, .offset = whole->offset};
    for (int d = 0; d < MAX_RANK; d++) part.stride[d] = whole->stride[d];
    if (n->op == OP_Pad) {
        PadAxis axes[MAX_RANK];
        pad_of_node(n, axes);
        for (int d = 0; d < in_shape(n, 0)->rank; d++) part.offset += axes[d].begin * whole->stride[d];
    } else {
        int rank = in_shape(n, operand)->rank, axis = (int)node_int(n, "axis");
        if (axis < 0) axis += rank;
        part.offset += concat_start(n, axis, operand) * whole->stride[axis];
    }
    return part;
}
