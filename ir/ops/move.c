/* Operators that move elements and compute nothing: Transpose, Slice and Expand as strided views of their operand
 * (strided.h), Concat, Split, Pad and Tile, and the two that trade space for depth. */
#include "ir/ops/operand.h"
#include "ir/ops/strided.h"

#include <string.h>

/* ---- Transpose ------------------------------------------------------------------------------------------------- */

static bool read_perm(Infer *c, int perm[MAX_RANK]) {
    int rank = in_shape(c->node, 0)->rank, n;
    const int64_t *given = node_ints(c->node, "perm", &n);
    for (int i = 0; i < rank; i++) perm[i] = rank - 1 - i;
    if (!given) return true;
    if (n != rank) return infer_error(c, D_ATTRIBUTE, -1, "perm has %d entries; operand 0 has rank %d", n, rank);
    bool seen[MAX_RANK] = {0};
    for (int i = 0; i < rank; i++) {
        if (given[i] < 0 || given[i] >= rank || seen[given[i]])
            return infer_error(c, D_ATTRIBUTE, -1, "perm[%d] is %lld; a permutation of 0 to %d is wanted", i,
                               (long long)given[i], rank - 1);
        seen[given[i]] = true;
        perm[i] = (int)given[i];
    }
    return true;
}

bool infer_Transpose(Infer *c) {
    int perm[MAX_RANK];
    if (!read_perm(c, perm)) return false;
    const Shape *in = in_shape(c->node, 0);
    Shape s = {.rank = in->rank};
    for (int i = 0; i < s.rank; i++) s.dim[i] = in->dim[perm[i]];
    set_out(c, 0, 0, &s);
    return true;
}

/* ---- Expand ---------------------------------------------------------------------------------------------------- */

bool infer_Expand(Infer *c) {
    IntList want;
    if (!infer_ints(c, 1, MAX_RANK, &want)) return false;
    for (int64_t i = 0; i < want.n; i++)
        if (want.v[i] < 0)
            return infer_error(c, D_OPERAND_VALUE, 1, "dimension %lld is %lld; at least 0 is wanted", (long long)i,
                               (long long)want.v[i]);
    Shape to = shape_of((int)want.n, want.v), s;
    if (!shape_broadcast(in_shape(c->node, 0), &to, &s))
        return infer_error(c, D_OPERAND_SHAPE, 0, "the shape cannot be broadcast with %s", shape_str(c->arena, &to));
    set_out(c, 0, 0, &s);
    return true;
}

/* ---- Slice ----------------------------------------------------------------------------------------------------- */

typedef struct Range {
    int64_t start, step, n;
} Range;

/* ONNX's rule: bounds count from the end if negative and are then clamped, the start to an element (unlike numpy's of a
 * negative step), the end to one before or behind all. */
static Range clamp_range(int64_t start, int64_t end, int64_t step, int64_t dim) {
    if (dim == 0) return (Range){0, 1, 0};
    if (start < 0) start += dim;
    if (end < 0) end += dim;
    start = i64_max(0, i64_min(start, step > 0 ? dim : dim - 1));
    end = i64_max(step > 0 ? 0 : -1, i64_min(end, step > 0 ? dim : dim - 1));
    uint64_t span = step > 0 ? (uint64_t)i64_max(0, end - start) : (uint64_t)i64_max(0, start - end);
    uint64_t by = step > 0 ? (uint64_t)step : -(uint64_t)step;
    int64_t n = span ? (int64_t)((span - 1) / by + 1) : 0;
    return (Range){n ? start : 0, n > 1 ? step : 1, n}; /* a step that is never taken may be any; small ones are safe */
}

static bool read_slice(Infer *c, Range r[MAX_RANK]) {
    const Shape *in = in_shape(c->node, 0);
    IntList start, end, step;
    int axes[MAX_RANK], n;
    if (!infer_ints(c, 1, in->rank, &start) || !infer_ints(c, 2, in->rank, &end) ||
        !infer_ints(c, 4, in->rank, &step) || !infer_axes_operand(c, 3, in->rank, axes, &n))
        return false;
    if (!has_in(c->node, 3)) n = (int)start.n;
    if (start.n != n || end.n != n || (step.given && step.n != n))
        return infer_error(c, D_OPERAND_SHAPE, -1,
                           "%lld starts, %lld ends and %lld steps for %d axes; as many are wanted", (long long)start.n,
                           (long long)end.n, (long long)(step.given ? step.n : n), n);
    for (int i = 0; i < in->rank; i++) r[i] = (Range){0, 1, in->dim[i]};
    for (int i = 0; i < n; i++) {
        int64_t by = step.given ? step.v[i] : 1;
        if (by == 0) return infer_error(c, D_OPERAND_VALUE, 4, "step %d is 0; it must not be", i);
        r[axes[i]] = clamp_range(start.v[i], end.v[i], by, in->dim[axes[i]]);
    }
    return true;
}

bool infer_Slice(Infer *c) {
    Range r[MAX_RANK];
    if (!read_slice(c, r)) return false;
    Shape s = {.rank = in_shape(c->node, 0)->rank};
    for (int i = 0; i < s.rank; i++) s.dim[i] = r[i].n;
    set_out(c, 0, 0, &s);
    return true;
}

/* ---- the strided view of the three ------------------------------------------------------------------------------- */

static Strided view_transpose(Infer *c, const int64_t in[MAX_RANK]) {
    Strided v = {0};
    int perm[MAX_RANK];
    if (!read_perm(c, perm)) bug("Transpose does not resolve again");
    for (int i = 0; i < in_shape(c->node, 0)->rank; i++) v.stride[i] = in[perm[i]];
    return v;
}

static Strided view_slice(Infer *c, const int64_t in[MAX_RANK]) {
    Strided v = {0};
    Range r[MAX_RANK];
    if (!read_slice(c, r)) bug("Slice does not resolve again");
    for (int i = 0; i < in_shape(c->node, 0)->rank; i++) {
        v.offset += r[i].start * in[i];
        v.stride[i] = r[i].step * in[i];
    }
    return v;
}

static Strided view_expand(const Node *n, const int64_t in[MAX_RANK]) {
    Strided v = {0};
    const Shape *from = in_shape(n, 0);
    int added = n->out[0]->type.shape.rank - from->rank;
    for (int i = 0; i < from->rank; i++) v.stride[added + i] = from->dim[i] == 1 ? 0 : in[i];
    return v;
}

Strided strided_of_node(const Node *n) {
    int64_t in[MAX_RANK];
    Again again;
    Infer *c = infer_again(&again, n);
    shape_strides(in_shape(n, 0), in);
    switch (n->op) {
    case OP_Transpose:
        return view_transpose(c, in);
    case OP_Slice:
        return view_slice(c, in);
    case OP_Expand:
        return view_expand(n, in);
    default:
        bug("strided_of_node on operator %d", (int)n->op);
    }
}

static void pack_strided(Pack *p) {
    Strided v = strided_of_node(p->node);
    pack_int(p, v.offset);
    pack_ints(p, p->node->out[0]->type.shape.rank, v.stride);
}

void pack_Transpose(Pack *p) { pack_strided(p); }
void pack_Slice(Pack *p) { pack_strided(p); }
void pack_Expand(Pack *p) { pack_strided(p); }

/* ---- Concat ---------------------------------------------------------------------------------------------------- */

bool infer_Concat(Infer *c) {
    Shape s = *in_shape(c->node, 0);
    int axis;
    if (!infer_axis(c, node_int(c->node, "axis"), s.rank, &axis)) return false;
    for (int k = 1; k < own_in(c->node); k++) {
        const Shape *in = in_shape(c->node, k);
        bool fits = in->rank == s.rank;
        for (int i = 0; fits && i < s.rank; i++) fits = i == axis || in->dim[i] == s.dim[i];
        if (!fits)
            return infer_error(c, D_OPERAND_SHAPE, k, "%s does not fit %s on the axes other than %d",
                               shape_str(c->arena, in), shape_str(c->arena, in_shape(c->node, 0)), axis);
        if (add_overflow(s.dim[axis], in->dim[axis], &s.dim[axis]))
            return infer_error(c, D_SIZE_LIMIT, k, "the joined dimension %d is too large", axis);
    }
    set_out(c, 0, 0, &s);
    return true;
}

void pack_Concat(Pack *p) {
    int64_t axis = node_int(p->node, "axis");
    pack_int(p, axis < 0 ? axis + in_shape(p->node, 0)->rank : axis);
}

/* ---- Split ----------------------------------------------------------------------------------------------------- */

/* The size of part i of n when `dim` is cut into equal parts of which the last may be smaller (or the last ones
 * empty). */
static int64_t equal_part(int64_t dim, int64_t n, int64_t i) {
    int64_t size = ceil_div(dim, n);
    return i64_max(0, i64_min(size, dim - size * i));
}

bool infer_Split(Infer *c) {
    Shape s = *in_shape(c->node, 0);
    IntList sizes;
    int axis, n = c->node->n_out;
    if (!infer_axis(c, node_int(c->node, "axis"), s.rank, &axis) || !infer_ints(c, 1, n, &sizes)) return false;
    if (sizes.given && sizes.n != n)
        return infer_error(c, D_OPERAND_SHAPE, 1, "%lld sizes for %d outputs", (long long)sizes.n, n);
    if (!sizes.given && node_attr(c->node, "num_outputs") && node_int(c->node, "num_outputs") != n)
        return infer_error(c, D_ATTRIBUTE, -1, "num_outputs is %lld, but the node has %d outputs",
                           (long long)node_int(c->node, "num_outputs"), n);
    int64_t dim = s.dim[axis], left = dim;
    for (int i = 0; i < n; i++) {
        s.dim[axis] = sizes.given ? sizes.v[i] : equal_part(dim, n, i);
        if (s.dim[axis] < 0 || s.dim[axis] > left)
            return infer_error(c, D_OPERAND_VALUE, 1, "size %d is %lld; of %lld elements %lld are left", i,
                               (long long)s.dim[axis], (long long)dim, (long long)left);
        left -= s.dim[axis];
        set_out(c, i, 0, &s);
    }
    return left == 0 || infer_error(c, D_OPERAND_VALUE, 1, "the sizes leave %lld of %lld elements over",
                                    (long long)left, (long long)dim);
}

void expand_Split(Expand *e) {
    Again again;
    Infer *c = infer_again(&again, e->node);
    IntList sizes;
    int axis, n = e->node->n_out;
    const Shape *in = in_shape(e->node, 0);
    if (!infer_axis(c, node_int(e->node, "axis"), in->rank, &axis) || !infer_ints(c, 1, n, &sizes))
        bug("Split does not resolve again");
    int64_t from = 0;
    for (int i = 0; i < n; i++) {
        int64_t to = from + (sizes.given ? sizes.v[i] : equal_part(in->dim[axis], n, i));
        if (has_out(e->node, i))
            expand_result(
                e, i,
                EXPAND(e, Slice, NULL, e->node->in[0], expand_int(e, from), expand_int(e, to), expand_int(e, axis)));
        from = to;
    }
}

/* ---- Pad ------------------------------------------------------------------------------------------------------- */

static bool read_pad_mode(Infer *c, PadMode *mode) {
    static const char *const names[] = {"constant", "reflect", "edge", "wrap"};
    const char *name = node_string(c->node, "mode");
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        *mode = (PadMode)i;
        if (!strcmp(name, names[i])) return true;
    }
    return infer_error(c, D_ATTRIBUTE, -1, "mode is '%s'; constant, reflect, edge or wrap is wanted", name);
}

/* One axis from its pads; false where the result would be negative or too large. */
static bool pad_axis(int64_t dim, int64_t begin, int64_t end, PadAxis *a, int64_t *out) {
    int64_t limit = MAX_TENSOR_BYTES;
    if (begin > limit || end > limit || begin < -dim || end < -dim) return false;
    *a = (PadAxis){begin, i64_max(0, -begin), dim - i64_max(0, -end)};
    a->begin = i64_max(0, begin);
    *out = dim + begin + end;
    return *out >= 0 && a->keep_from <= a->keep_to;
}

static bool read_pads(Infer *c, PadMode mode, PadAxis a[MAX_RANK], Shape *out) {
    const Shape *in = in_shape(c->node, 0);
    IntList pads;
    int axes[MAX_RANK], n;
    if (!infer_ints(c, 1, 2 * MAX_RANK, &pads) || !infer_axes_operand(c, 3, in->rank, axes, &n)) return false;
    if (pads.n != 2 * n)
        return infer_error(c, D_OPERAND_SHAPE, 1, "%lld pads for %d axes; %d are wanted", (long long)pads.n, n, 2 * n);
    *out = *in;
    for (int i = 0; i < in->rank; i++) a[i] = (PadAxis){0, 0, in->dim[i]};
    for (int i = 0; i < n; i++) {
        int k = axes[i];
        if (!pad_axis(in->dim[k], pads.v[i], pads.v[n + i], &a[k], &out->dim[k]))
            return infer_error(c, D_OPERAND_VALUE, 1, "pads %lld and %lld on axis %d of %lld elements",
                               (long long)pads.v[i], (long long)pads.v[n + i], k, (long long)in->dim[k]);
        if (mode != PAD_CONSTANT && a[k].keep_from == a[k].keep_to && out->dim[k] > 0)
            return infer_error(c, D_OPERAND_SHAPE, 0, "axis %d has no element that could fill the padding", k);
    }
    return true;
}

bool infer_Pad(Infer *c) {
    PadMode mode;
    PadAxis a[MAX_RANK];
    Shape s;
    if (!read_pad_mode(c, &mode) || !read_pads(c, mode, a, &s)) return false;
    if (has_in(c->node, 2) && shape_count(in_shape(c->node, 2)) != 1)
        return infer_error(c, D_OPERAND_SHAPE, 2, "%s; a scalar is wanted", shape_str(c->arena, in_shape(c->node, 2)));
    set_out(c, 0, 0, &s);
    return true;
}

PadMode pad_of_node(const Node *n, PadAxis axes[MAX_RANK]) {
    Again again;
    Infer *c = infer_again(&again, n);
    PadMode mode;
    Shape s;
    if (!read_pad_mode(c, &mode) || !read_pads(c, mode, axes, &s)) bug("Pad does not resolve again");
    return mode;
}

void pack_Pad(Pack *p) {
    PadAxis a[MAX_RANK];
    pack_int(p, pad_of_node(p->node, a));
    for (int i = 0; i < in_shape(p->node, 0)->rank; i++) {
        pack_int(p, a[i].begin);
        pack_int(p, a[i].keep_from);
        pack_int(p, a[i].keep_to);
    }
}

/* ---- Tile ------------------------------------------------------------------------------------------------------ */

bool infer_Tile(Infer *c) {
    Shape s = *in_shape(c->node, 0);
    IntList repeats;
    if (!infer_ints(c, 1, MAX_RANK, &repeats)) return false;
    if (repeats.n != s.rank)
        return infer_error(c, D_OPERAND_SHAPE, 1, "%lld repeats for an operand of rank %d", (long long)repeats.n,
                           s.rank);
    for (int i = 0; i < s.rank; i++)
        if (repeats.v[i] < 0 || mul_overflow(s.dim[i], repeats.v[i], &s.dim[i]))
            return infer_error(c, D_OPERAND_VALUE, 1, "repeat %d is %lld", i, (long long)repeats.v[i]);
    set_out(c, 0, 0, &s);
    return true;
}

void pack_Tile(Pack *p) { (void)p; }

/* ---- DepthToSpace, SpaceToDepth -------------------------------------------------------------------------------- */

static bool read_block(Infer *c, int64_t *block, bool *crd) {
    const char *mode = node_string(c->node, "mode");
    *block = node_int(c->node, "blocksize");
    *crd = !strcmp(mode, "CRD");
    if (!*crd && strcmp(mode, "DCR") != 0)
        return infer_error(c, D_ATTRIBUTE, -1, "mode is '%s'; DCR or CRD is wanted", mode);
    if (*block < 1 || *block > 1 << 16)
        return infer_error(c, D_ATTRIBUTE, -1, "blocksize is %lld; 1 to 65536 is wanted", (long long)*block);
    return infer_rank(c, 0, 4);
}

bool infer_DepthToSpace(Infer *c) {
    int64_t block;
    bool crd;
    if (!read_block(c, &block, &crd)) return false;
    Shape s = *in_shape(c->node, 0);
    if (s.dim[1] % (block * block) != 0)
        return infer_error(c, D_OPERAND_SHAPE, 0, "%lld channels cannot be divided by blocksize squared, %lld",
                           (long long)s.dim[1], (long long)(block * block));
    s.dim[1] /= block * block;
    for (int i = 2; i < 4; i++)
        if (mul_overflow(s.dim[i], block, &s.dim[i]))
            return infer_error(c, D_SIZE_LIMIT, 0, "dimension %d overflows", i);
    set_out(c, 0, 0, &s);
    return true;
}

void expand_DepthToSpace(Expand *e) {
    static const int dcr_perm[] = {0, 3, 4, 1, 5, 2}, crd_perm[] = {0, 1, 4, 2, 5, 3};
    const Shape *in = in_shape(e->node, 0), *out = &e->node->out[0]->type.shape;
    int64_t b = node_int(e->node, "blocksize"), n = in->dim[0], ch = out->dim[1], h = in->dim[2], w = in->dim[3];
    bool crd = !strcmp(node_string(e->node, "mode"), "CRD");
    Shape apart = crd ? shape_of(6, (int64_t[]){n, ch, b, b, h, w}) : shape_of(6, (int64_t[]){n, b, b, ch, h, w});
    Value *v = expand_transpose(e, expand_reshape(e, e->node->in[0], &apart), 6, crd ? crd_perm : dcr_perm);
    expand_result(e, 0, expand_reshape(e, v, out));
}

bool infer_SpaceToDepth(Infer *c) {
    int64_t block;
    bool crd;
    if (!read_block(c, &block, &crd)) return false;
    Shape s = *in_shape(c->node, 0);
    for (int i = 2; i < 4; i++) {
        if (s.dim[i] % block != 0)
            return infer_error(c, D_OPERAND_SHAPE, 0, "dimension %d, %lld, cannot be divided by blocksize %lld", i,
                               (long long)s.dim[i], (long long)block);
        s.dim[i] /= block;
    }
    if (mul_overflow(s.dim[1], block * block, &s.dim[1]))
        return infer_error(c, D_SIZE_LIMIT, 0, "the channels overflow");
    set_out(c, 0, 0, &s);
    return true;
}

void expand_SpaceToDepth(Expand *e) {
    static const int dcr_perm[] = {0, 3, 5, 1, 2, 4}, crd_perm[] = {0, 1, 3, 5, 2, 4};
    const Shape *in = in_shape(e->node, 0), *out = &e->node->out[0]->type.shape;
    int64_t b = node_int(e->node, "blocksize");
    bool crd = !strcmp(node_string(e->node, "mode"), "CRD");
    Shape apart = shape_of(6, (int64_t[]){in->dim[0], in->dim[1], out->dim[2], b, out->dim[3], b});
    Value *v = expand_transpose(e, expand_reshape(e, e->node->in[0], &apart), 6, crd ? crd_perm : dcr_perm);
    expand_result(e, 0, expand_reshape(e, v, out));
}
