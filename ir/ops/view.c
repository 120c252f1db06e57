/* Operators that give a tensor another shape and leave its elements where they are. All of them become Reshape. */
#include "ir/ops/operand.h"

/* ---- Reshape ------------------------------------------------------------------------------------------------- */

/* Brings the wanted dimensions into `s`, a -1 as 1; *open = its index or -1. */
static bool read_dims(Infer *c, const IntList *want, Shape *s, int *open) {
    const Shape *in = in_shape(c->node, 0);
    bool allow_zero = node_int(c->node, "allowzero") != 0;
    *open = -1;
    s->rank = (int)want->n;
    for (int i = 0; i < s->rank; i++) {
        int64_t d = want->v[i];
        if (d < -1)
            return infer_error(c, D_OPERAND_VALUE, 1, "dimension %d is %lld; at least -1 is wanted", i, (long long)d);
        if (d == -1 && *open >= 0)
            return infer_error(c, D_OPERAND_VALUE, 1, "dimensions %d and %d are both -1; one at most can be", *open, i);
        if (d == 0 && !allow_zero && i >= in->rank)
            return infer_error(c, D_OPERAND_VALUE, 1, "dimension %d is 0 (copied), but operand 0 has rank %d", i,
                               in->rank);
        if (d == -1) *open = i;
        s->dim[i] = d == -1 ? 1 : d == 0 && !allow_zero ? in->dim[i] : d;
    }
    return true;
}

bool infer_Reshape(Infer *c) {
    IntList want;
    Shape s = {0};
    int open;
    if (!infer_ints(c, 1, MAX_RANK, &want) || !read_dims(c, &want, &s, &open)) return false;
    int64_t n = shape_count(in_shape(c->node, 0)), known = shape_count(&s);
    if (open >= 0) {
        if (known <= 0 || n % known != 0)
            return infer_error(c, D_OPERAND_VALUE, 1, "%lld elements cannot be divided by the other dimensions of %s",
                               (long long)n, shape_str(c->arena, &s));
        s.dim[open] = n / known;
    } else if (known != n) {
        return infer_error(c, D_OPERAND_VALUE, 1, "%lld elements cannot become %s", (long long)n,
                           shape_str(c->arena, &s));
    }
    set_out(c, 0, 0, &s);
    return true;
}

void pack_Reshape(Pack *p) { (void)p; }

/* ---- Flatten, Squeeze, Unsqueeze ------------------------------------------------------------------------------- */

static void to_reshape(Expand *e) {
    expand_result(e, 0, expand_reshape(e, e->node->in[0], &e->node->out[0]->type.shape));
}

bool infer_Flatten(Infer *c) {
    const Shape *in = in_shape(c->node, 0);
    int64_t axis = node_int(c->node, "axis");
    if (axis < -in->rank || axis > in->rank)
        return infer_error(c, D_ATTRIBUTE, -1, "axis is %lld; it must lie in [-%d, %d]", (long long)axis, in->rank,
                           in->rank);
    if (axis < 0) axis += in->rank;
    Shape s = {.rank = 2, .dim = {1, 1}};
    for (int i = 0; i < in->rank; i++) s.dim[i >= axis] *= in->dim[i];
    set_out(c, 0, 0, &s);
    return true;
}

void expand_Flatten(Expand *e) { to_reshape(e); }

bool infer_Squeeze(Infer *c) {
    const Shape *in = in_shape(c->node, 0);
    int axes[MAX_RANK], n;
    bool drop[MAX_RANK] = {0};
    if (!infer_axes_operand(c, 1, in->rank, axes, &n)) return false;
    for (int i = 0; i < n; i++) {
        bool one = in->dim[axes[i]] == 1;
        if (!one && has_in(c->node, 1))
            return infer_error(c, D_OPERAND_SHAPE, 0, "axis %d is squeezed but has %lld elements; 1 is wanted", axes[i],
                               (long long)in->dim[axes[i]]);
        drop[axes[i]] = one;
    }
    Shape s = {0};
    for (int i = 0; i < in->rank; i++)
        if (!drop[i]) s.dim[s.rank++] = in->dim[i];
    set_out(c, 0, 0, &s);
    return true;
}

void expand_Squeeze(Expand *e) { to_reshape(e); }

bool infer_Unsqueeze(Infer *c) {
    const Shape *in = in_shape(c->node, 0);
    IntList list;
    int axes[MAX_RANK];
    bool added[MAX_RANK] = {0};
    if (!infer_ints(c, 1, MAX_RANK - in->rank, &list)) return false;
    int rank = in->rank + (int)list.n;
    if (!infer_axes(c, list.n, list.v, rank, axes)) return false;
    for (int64_t i = 0; i < list.n; i++) added[axes[i]] = true;
    Shape s = {.rank = rank};
    for (int i = 0, from = 0; i < rank; i++) s.dim[i] = added[i] ? 1 : in->dim[from++];
    set_out(c, 0, 0, &s);
    return true;
}

void expand_Unsqueeze(Expand *e) { to_reshape(e); }
