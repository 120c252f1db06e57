/* Whether a model keeps the samples of a batch apart, so that a batch may be computed sample by sample.
 *
 * The model is looked at twice, with a batch of 1 and of 2, node by node: the sample axis of a value is the one whose
 * size doubles, samples being the outermost part of it. A value without one is shared by all samples, and must then
 * depend on nothing but constants that are the same in both. For each operator it is known along which axes it keeps
 * apart what it reads; one that is not known is taken to mix. */
#include "passes/pass.h"
#include "passes/rewrite.h"

#include <string.h>

enum { SHARED = -1, MIXED = -2 };

/* The one axis whose size doubles; SHARED: none changes. */
static int doubled_axis(const Shape *one, const Shape *two) {
    int axis = SHARED;
    if (one->rank != two->rank) return MIXED;
    for (int d = 0; d < one->rank; d++) {
        if (one->dim[d] == two->dim[d]) continue;
        if (axis != SHARED || two->dim[d] != 2 * one->dim[d]) return MIXED;
        axis = d;
    }
    return axis;
}

static int64_t product(const Shape *s, int from, int to) {
    int64_t n = 1;
    for (int d = from; d < to; d++) n *= s->dim[d];
    return n;
}

/* `two` holds what `one` does, once for each sample where it has a sample axis. */
static bool constant_repeats(Arena *a, const Tensor *one, const Tensor *two, int axis) {
    const Shape *s = &one->type.shape;
    size_t whole = (size_t)type_bytes(&one->type);
    if (one->type.elem != two->type.elem) return false;
    if (one->splat && two->splat) return memcmp(one->data, two->data, (size_t)elem_bytes(one->type.elem)) == 0;
    const char *p = tensor_dense(a, one)->data, *q = tensor_dense(a, two)->data;
    if (axis == SHARED) return p == q || memcmp(p, q, whole) == 0;
    size_t outer = (size_t)product(s, 0, axis), block = outer ? whole / outer : 0;
    for (size_t i = 0; i < 2 * outer; i++)
        if (memcmp(p + i / 2 * block, q + i * block, block) != 0) return false;
    return true;
}

/* ---- one node ---------------------------------------------------------------------------------------------------- */

typedef struct Pair {
    const Node *one, *two;
    int axis[64]; /* sample axes of the operands */
    int out;      /* of the output that is looked at */
    Map *known;
    Arena *arena;
} Pair;

/* The sample axis found for a value of `one`; MIXED where none was: such as outputs that are constants. Kept off 0,
 * which a map cannot tell from nothing. */
static void remember(Pair *p, const Value *v, int axis) {
    map_put_ptr(p->arena, p->known, v, (void *)(intptr_t)(axis - MIXED + 1));
}
static int recall(const Pair *p, const Value *v) {
    intptr_t found = (intptr_t)map_get_ptr(p->known, v);
    return found ? (int)found - 1 + MIXED : MIXED;
}

/* Axis `d` of operand i, counted in the output's rank, to which it is aligned from the right. */
static int aligned(const Pair *p, int i, int d) {
    return d + p->one->out[0]->type.shape.rank - in_shape(p->one, i)->rank;
}

/* Operand i is broadcast along the output's sample axis, or has its own there. */
static bool broadcasts(const Pair *p, int i) {
    if (p->axis[i] != SHARED) return aligned(p, i, p->axis[i]) == p->out;
    int d = p->out - aligned(p, i, 0);
    return d < 0 || in_shape(p->one, i)->dim[d] == 1;
}

static bool all_broadcast(const Pair *p, int from) {
    for (int i = from; i < p->one->n_in; i++)
        if (p->one->in[i] && !broadcasts(p, i)) return false;
    return true;
}

static bool shared_from(const Pair *p, int from) {
    for (int i = from; i < p->one->n_in; i++)
        if (p->one->in[i] && p->axis[i] != SHARED) return false;
    return true;
}

/* The first operand's sample axis is the output's and has its size: nothing is taken out, put in or moved along it. */
static bool passes_through(const Pair *p) {
    return p->axis[0] == p->out && in_shape(p->one, 0)->dim[p->out] == p->one->out[0]->type.shape.dim[p->out];
}

static bool equal_constants(const Pair *p, int i) {
    if (!has_in(p->one, i)) return true;
    const Tensor *a = in_const(p->one, i), *b = in_const(p->two, i);
    return a && b && type_equal(&a->type, &b->type) && constant_repeats(p->arena, a, b, SHARED);
}

static bool never_negative(const Tensor *t) {
    for (int64_t i = 0; t && i < shape_count(&t->type.shape); i++)
        if (tensor_get_int(t, i) < 0) return false;
    return t != NULL;
}

static int axis_of(const Node *n) {
    int64_t axis = node_int(n, "axis");
    return (int)(axis < 0 ? axis + in_shape(n, 0)->rank : axis);
}

static bool reshape_apart(const Pair *p) {
    const Shape *x = in_shape(p->one, 0), *y = &p->one->out[0]->type.shape;
    return p->axis[0] != SHARED && product(x, 0, p->axis[0]) == product(y, 0, p->out);
}

static bool transpose_apart(const Pair *p) {
    int n;
    const int64_t *perm = node_ints(p->one, "perm", &n);
    return (perm ? (int)perm[p->out] : in_shape(p->one, 0)->rank - 1 - p->out) == p->axis[0];
}

static bool gather_apart(const Pair *p) {
    int axis = axis_of(p->one), rank = in_shape(p->one, 1)->rank;
    if (p->axis[0] == SHARED) return p->out == axis + p->axis[1];
    if (p->axis[1] != SHARED || p->axis[0] == axis) return false;
    return p->out == (p->axis[0] < axis ? p->axis[0] : p->axis[0] + rank - 1);
}

/* Rows of A, columns of B, or matrices of both. */
static bool product_apart(const Pair *p) {
    int rows = in_shape(p->one, 0)->rank - 2, inner = rows + 1, batch = in_shape(p->one, 1)->rank - 2;
    const int *x = p->axis;
    if (x[0] != SHARED && (x[0] == inner || aligned(p, 0, x[0]) != p->out)) return false;
    if (x[1] != SHARED && (x[1] == batch || batch < 0 || aligned(p, 1, x[1]) != p->out)) return false;
    if (x[0] != SHARED && x[1] != SHARED) return x[0] < rows && x[1] < batch;
    return true;
}

/* An element-wise program fused behind a layer reads operands by the output's shape. */
static bool layer_apart(const Pair *p) {
    const Node *n = p->one;
    return p->axis[0] == 0 && p->out == 0 && (n->n_in < 2 || shared_from(p, 1)) && (n->n_out < 2 || !n->out[1]);
}

/* Output 0 of a node some of whose operands have sample axes has one too: is it only that of theirs? */
static bool keeps_apart(const Pair *p) {
    const Node *n = p->one;
    if (op_def(n->op)->kind == OP_EXPR) return all_broadcast(p, 0);
    switch (n->op) {
    case OP_Conv:
    case OP_ConvTranspose:
    case OP_QConv:
    case OP_QConvTranspose:
    case OP_MaxPool:
    case OP_AveragePool:
        return layer_apart(p);
    case OP_BatchNormalization: /* the one composite that the defining passes leave */
        return layer_apart(p) && !node_int(n, "training_mode");
    case OP_Gemm:
        return p->axis[0] == 0 && p->out == 0 && !node_int(n, "transA") && p->axis[1] == SHARED && all_broadcast(p, 2);
    case OP_MatMul:
    case OP_QMatMul:
        return product_apart(p);
    case OP_Reshape:
        return reshape_apart(p);
    case OP_Transpose:
        return transpose_apart(p);
    case OP_Expand:
        return broadcasts(p, 0);
    case OP_Slice: /* all of the axis is there, so only its direction could change */
        return passes_through(p) && equal_constants(p, 1) && equal_constants(p, 3) && equal_constants(p, 4) &&
               (!has_in(n, 4) || never_negative(in_const(n, 4)));
    case OP_Pad:
        return passes_through(p) && equal_constants(p, 1) && equal_constants(p, 3) && never_negative(in_const(n, 1)) &&
               shared_from(p, 1);
    case OP_Tile:
        return passes_through(p) && equal_constants(p, 1);
    case OP_Concat: {
        for (int i = 0; i < n->n_in; i++)
            if (p->axis[i] != p->out) return false;
        return axis_of(n) != p->out;
    }
    case OP_ReduceSum:
    case OP_ReduceProd:
    case OP_ReduceMax:
    case OP_ReduceMin:
    case OP_ArgMax:
    case OP_ArgMin: /* a reduced axis would not have doubled */
        return p->axis[0] != SHARED;
    case OP_CumSum:
    case OP_CumProd: {
        const Tensor *t = in_const(n, 1);
        int64_t axis = t ? tensor_get_int(t, 0) : 0;
        return t && equal_constants(p, 1) && (axis < 0 ? axis + in_shape(n, 0)->rank : axis) != p->axis[0];
    }
    case OP_TopK:
        return axis_of(n) != p->axis[0] && equal_constants(p, 1);
    case OP_Gather:
        return gather_apart(p);
    case OP_GridSample:
        return p->axis[0] == 0 && p->axis[1] == 0 && p->out == 0;
    default:
        return false;
    }
}

/* ---- the walk ---------------------------------------------------------------------------------------------------- */

/* Sizes of what is made; how they make it is seen in the output's shape. */
static bool is_size(const Node *n, int i) { return i == 1 && (n->op == OP_Reshape || n->op == OP_Expand); }

static int axis_of_constants(Pair *p, int i) {
    const Value *a = p->one->in[i], *b = p->two->in[i];
    if (!b->constant) return MIXED;
    if (is_size(p->one, i) || (p->one->op == OP_Slice && i == 2)) return SHARED;
    int axis = doubled_axis(&a->type.shape, &b->type.shape);
    return axis != MIXED && constant_repeats(p->arena, a->constant, b->constant, axis) ? axis : MIXED;
}

static bool node_apart(Pair *p) {
    const Node *n = p->one;
    bool shared = true;
    if (!node_alike(n, p->two) || n->n_in > (int)COUNT_OF(p->axis)) return false;
    for (int i = 0; i < n->n_in; i++) {
        p->axis[i] = SHARED;
        if (!n->in[i]) continue;
        if (n->in[i]->constant)
            p->axis[i] = axis_of_constants(p, i);
        else
            p->axis[i] = recall(p, n->in[i]);
        if (p->axis[i] < SHARED) return false;
        shared = shared && p->axis[i] == SHARED;
    }
    for (int i = 0; i < n->n_out; i++) {
        if (!n->out[i]) continue;
        int axis = doubled_axis(&n->out[i]->type.shape, &p->two->out[i]->type.shape);
        p->out = axis;
        if (!(shared && axis == SHARED) && (axis < 0 || !keeps_apart(p))) return false;
        remember(p, n->out[i], axis);
    }
    return true;
}

static bool ports_apart(Pair *p, const Graph *one, const Graph *two) {
    if (one->inputs.n != two->inputs.n || one->outputs.n != two->outputs.n) return false;
    for (size_t i = 0; i < one->inputs.n; i++) {
        const Value *a = one->inputs.at[i].value, *b = two->inputs.at[i].value;
        if (doubled_axis(&a->type.shape, &b->type.shape) != 0 || a->type.shape.dim[0] != 1) return false;
        remember(p, a, 0);
    }
    return true;
}

bool graph_keeps_samples_apart(const Graph *one, const Graph *two, const Node **mixes) {
    Arena *scratch = arena_nested(one->arena);
    Map known = {0};
    Pair p = {.arena = scratch, .known = &known};
    bool good = ports_apart(&p, one, two);
    *mixes = NULL;
    const Node *b = two->first;
    for (const Node *a = one->first; good && a; a = a->next, b = b ? b->next : NULL) {
        p.one = a;
        p.two = b;
        good = b && node_apart(&p);
        if (!good) *mixes = a;
    }
    for (size_t i = 0; good && i < one->outputs.n; i++) {
        const Value *v = one->outputs.at[i].value;
        good = v->type.shape.rank > 0 && v->type.shape.dim[0] == 1 && recall(&p, v) == 0;
    }
    arena_free(scratch);
    return good;
}
