/* Writing at computed places. ScatterND is the primitive; the others compute positions in the flattened data. */
#include "ir/ops/index.h"

#include <inttypes.h>
#include <string.h>

static const char *const reductions[] = {"none", "add", "mul", "min", "max"};

/* Number of the attribute `reduction`, as ref_ScatterND has it; -1 if unknown. */
static int reduction_of(const Node *n) {
    const char *s = node_string(n, "reduction");
    for (int i = 0; i < (int)COUNT_OF(reductions); i++)
        if (strcmp(s, reductions[i]) == 0) return i;
    return -1;
}

static bool check_reduction(Infer *c) {
    int r = reduction_of(c->node);
    if (r < 0)
        return infer_error(c, D_ATTRIBUTE, -1, "reduction '%s'; wanted none, add, mul, min or max",
                           node_string(c->node, "reduction"));
    if (r > 0 && in_elem(c->node, 0) == QCC_BOOL)
        return infer_error(c, D_OPERAND_TYPE, 0, "reduction '%s' of a bool tensor; wanted numbers", reductions[r]);
    return true;
}

bool infer_ScatterND(Infer *c) {
    const Shape *data = in_shape(c->node, 0), *s = in_shape(c->node, 1), *updates = in_shape(c->node, 2);
    if (!check_reduction(c)) return false;
    if (data->rank < 1) return infer_error(c, D_OPERAND_SHAPE, 0, "a scalar; wanted at least rank 1");
    if (s->rank < 1) return infer_error(c, D_OPERAND_SHAPE, 1, "a scalar; wanted at least rank 1");
    int64_t k = s->dim[s->rank - 1];
    if (k < 1 || k > data->rank)
        return infer_error(c, D_OPERAND_SHAPE, 1, "index tuples of %" PRId64 " components; wanted 1 to %d", k,
                           data->rank);
    if (!check_index_tuples(c, 1, data->dim)) return false;
    Shape want = {.rank = 0};
    if (s->rank - 1 + data->rank - (int)k > MAX_RANK)
        return infer_error(c, D_UNSUPPORTED_FORM, 2, "updates of a rank above %d", MAX_RANK);
    for (int i = 0; i < s->rank - 1; i++) want.dim[want.rank++] = s->dim[i];
    for (int i = (int)k; i < data->rank; i++) want.dim[want.rank++] = data->dim[i];
    if (!shape_equal(&want, updates))
        return infer_error(c, D_OPERAND_SHAPE, 2, "updates of shape %s; wanted %s", shape_str(c->arena, updates),
                           shape_str(c->arena, &want));
    set_out(c, 0, 0, data);
    return true;
}

void pack_ScatterND(Pack *p) { pack_int(p, reduction_of(p->node)); }

bool infer_ScatterElements(Infer *c) {
    int axis;
    if (!check_reduction(c)) return false;
    if (!infer_axis(c, node_int(c->node, "axis"), in_shape(c->node, 0)->rank, &axis)) return false;
    if (!check_element_indices(c, axis)) return false;
    const Shape *s = in_shape(c->node, 1), *updates = in_shape(c->node, 2);
    if (!shape_equal(s, updates))
        return infer_error(c, D_OPERAND_SHAPE, 2, "updates of shape %s; wanted the indices' %s",
                           shape_str(c->arena, updates), shape_str(c->arena, s));
    set_out(c, 0, 0, in_shape(c->node, 0));
    return true;
}

/* data with updates written at positions in the flattened tensor. */
static Value *scatter_flat(Expand *e, Value *data, Value *at, Value *updates, const char *attrs) {
    const Shape shape = data->type.shape;
    int64_t n = shape_count(&at->type.shape);
    Shape flat = shape_merged(&shape, 0, shape.rank), tuples = shape_of(2, (int64_t[]){n, 1}), list = shape_of(1, &n);
    Value *y = EXPAND(e, ScatterND, attrs, expand_reshape(e, data, &flat), expand_reshape(e, at, &tuples),
                      expand_reshape(e, updates, &list));
    return expand_reshape(e, y, &shape);
}

void expand_ScatterElements(Expand *e) {
    const Node *n = e->node;
    const Shape *data = in_shape(n, 0);
    Value *at = expand_element_positions(e, n->in[1], data, node_axis(n, data->rank));
    const char *attrs = arena_printf(e->graph->arena, "reduction=%s", node_string(n, "reduction"));
    expand_result(e, 0, scatter_flat(e, n->in[0], at, n->in[2], attrs));
}

/* ---- TensorScatter ------------------------------------------------------------------------------------------------
 */

bool infer_TensorScatter(Infer *c) {
    const Node *n = c->node;
    const Shape *cache = in_shape(n, 0), *update = in_shape(n, 1);
    const char *mode = node_string(n, "mode");
    int axis;
    if (strcmp(mode, "linear") && strcmp(mode, "circular"))
        return infer_error(c, D_ATTRIBUTE, -1, "mode '%s'; wanted linear or circular", mode);
    if (!infer_axis(c, node_int(n, "axis"), cache->rank, &axis)) return false;
    if (axis == 0) return infer_error(c, D_ATTRIBUTE, -1, "axis 0 is the batch; wanted another");
    bool fits = update->rank == cache->rank;
    for (int i = 0; fits && i < cache->rank; i++)
        fits = i == axis ? update->dim[i] <= cache->dim[i] : update->dim[i] == cache->dim[i];
    if (!fits)
        return infer_error(c, D_OPERAND_SHAPE, 1, "an update of shape %s into a cache of %s",
                           shape_str(c->arena, update), shape_str(c->arena, cache));
    if (has_in(n, 2) && (in_shape(n, 2)->rank != 1 || in_shape(n, 2)->dim[0] != cache->dim[0]))
        return infer_error(c, D_OPERAND_SHAPE, 2,
                           "write indices of shape %s; wanted one for each of the batch of %" PRId64,
                           shape_str(c->arena, in_shape(n, 2)), cache->dim[0]);
    set_out(c, 0, 0, cache);
    return true;
}

void expand_TensorScatter(Expand *e) {
    const Node *n = e->node;
    const Shape *cache = in_shape(n, 0), *update = in_shape(n, 1);
    int axis = node_axis(n, cache->rank);
    Shape steps = shape_along(cache->rank, axis, update->dim[axis]);
    Shape batch = shape_along(cache->rank, 0, update->dim[0]);
    Value *step = expand_iota(e, &steps);
    if (has_in(n, 2)) step = EXPAND(e, Add, NULL, step, expand_reshape(e, n->in[2], &batch));
    if (strcmp(node_string(n, "mode"), "circular") == 0)
        step = EXPAND(e, Mod, NULL, step, expand_scalar(e, QCC_I64, (double)i64_max(cache->dim[axis], 1)));
    Value *at = expand_element_positions(e, expand_broadcast(e, step, update), cache, axis);
    expand_result(e, 0, scatter_flat(e, n->in[0], at, n->in[1], "reduction=none"));
}
