/* Operators whose outputs' sizes depend on data. They are taken where that data is constant, and then are constants
 * themselves, or a gather of constant places. */
#include "ir/ops/expand.h"

#include <inttypes.h>
#include <stdlib.h>

static int64_t count_if(const Tensor *t, int64_t n) {
    if (t->splat) return n > 0 && tensor_get(t, 0) != 0 ? n : 0;
    int64_t found = 0;
    for (int64_t i = 0; i < n; i++) found += tensor_get(t, i) != 0;
    return found;
}

/* ---- NonZero ------------------------------------------------------------------------------------------------------
 */

bool infer_NonZero(Infer *c) {
    const Tensor *x = in_const(c->node, 0);
    Shape y = shape_of(2, (int64_t[]){x->type.shape.rank, count_if(x, shape_count(&x->type.shape))});
    set_out(c, 0, 0, &y);
    return true;
}

void expand_NonZero(Expand *e) {
    const Tensor *x = in_const(e->node, 0);
    const Shape *s = &x->type.shape, *y = &e->node->out[0]->type.shape;
    Tensor *t = tensor_new(e->graph->arena, e->node->out[0]->type);
    int64_t strides[MAX_RANK], found = 0;
    shape_strides(s, strides);
    for (int64_t i = 0; found < y->dim[1]; i++) {
        if (tensor_get(x, i) == 0) continue;
        for (int d = 0; d < s->rank; d++) tensor_set_int(t, d * y->dim[1] + found, i / strides[d] % s->dim[d]);
        found++;
    }
    expand_result(e, 0, expand_constant(e, t));
}

/* ---- Compress -----------------------------------------------------------------------------------------------------
 */

/* Along which axis; the data counts as flat where none is given. */
static bool read_axis(Infer *c, Shape *data, int *axis) {
    const Attr *given = node_attr(c->node, "axis");
    *data = *in_shape(c->node, 0);
    *axis = 0;
    if (given) return infer_axis(c, given->i, data->rank, axis);
    int64_t n = shape_count(data);
    *data = shape_of(1, &n);
    return true;
}

bool infer_Compress(Infer *c) {
    Shape data;
    int axis;
    if (!read_axis(c, &data, &axis) || !infer_rank(c, 1, 1)) return false;
    const Tensor *condition = in_const(c->node, 1);
    int64_t n = condition->type.shape.dim[0];
    if (n > data.dim[axis])
        return infer_error(c, D_OPERAND_SHAPE, 1, "%" PRId64 " conditions; wanted at most %" PRId64, n, data.dim[axis]);
    data.dim[axis] = count_if(condition, n);
    set_out(c, 0, 0, &data);
    return true;
}

void expand_Compress(Expand *e) {
    Shape data;
    int axis;
    Again again;
    if (!read_axis(infer_again(&again, e->node), &data, &axis)) bug("Compress: the axis was good before");
    const Tensor *condition = in_const(e->node, 1);
    int64_t n = e->node->out[0]->type.shape.dim[axis], *places = NEW_ARRAY(e->graph->arena, int64_t, n);
    for (int64_t i = 0, found = 0; found < n; i++)
        if (tensor_get(condition, i) != 0) places[found++] = i;
    const char *attrs = arena_printf(e->graph->arena, "axis=%d", axis);
    Value *v = expand_reshape(e, e->node->in[0], &data);
    expand_result(e, 0, EXPAND(e, Gather, attrs, v, expand_ints(e, n, places)));
}

/* ---- Unique -------------------------------------------------------------------------------------------------------
 */

/* The items that are compared: slices across an axis, or single elements. */
typedef struct Items {
    const Tensor *t;
    Shape shape;
    int axis;
    int64_t n, outer, inner;
} Items;

typedef struct Item {
    const Items *all;
    int64_t at;    /* place along the axis */
    int64_t group; /* number of its value in the output */
} Item;

static int compare_elements(const Tensor *t, int64_t p, int64_t q) {
    if (!elem_is_float(t->type.elem)) {
        int64_t a = tensor_get_int(t, p), b = tensor_get_int(t, q);
        if (t->type.elem == QCC_U64) return ((uint64_t)a > (uint64_t)b) - ((uint64_t)a < (uint64_t)b);
        return (a > b) - (a < b);
    }
    double a = tensor_get(t, p), b = tensor_get(t, q);
    if (a != a || b != b) return (a != a) - (b != b); /* NaN equals NaN and is above everything */
    return (a > b) - (a < b);
}

static int compare_items(const Items *s, int64_t p, int64_t q) {
    int64_t n = s->shape.dim[s->axis];
    for (int64_t o = 0; o < s->outer; o++) {
        for (int64_t i = 0; i < s->inner; i++) {
            int order = compare_elements(s->t, (o * n + p) * s->inner + i, (o * n + q) * s->inner + i);
            if (order) return order;
        }
    }
    return 0;
}

static int by_value(const void *p, const void *q) {
    const Item *a = p, *b = q;
    int order = compare_items(a->all, a->at, b->at);
    return order ? order : (a->at > b->at) - (a->at < b->at);
}

static int by_place(const void *p, const void *q) {
    const Item *a = p, *b = q;
    return (a->at > b->at) - (a->at < b->at);
}

/* Distinct items in the output's order: for each its first place and how often it comes. */
typedef struct Distinct {
    int64_t n, *first, *count;
    int64_t *group; /* of every item */
} Distinct;

static void renumber_by_place(Arena *a, Distinct *d, int64_t n) {
    Item *order = NEW_ARRAY(a, Item, d->n);
    int64_t *count = NEW_ARRAY(a, int64_t, d->n), *first = NEW_ARRAY(a, int64_t, d->n),
            *to = NEW_ARRAY(a, int64_t, d->n);
    for (int64_t i = 0; i < d->n; i++) order[i] = (Item){.at = d->first[i], .group = i};
    qsort(order, (size_t)d->n, sizeof *order, by_place);
    for (int64_t i = 0; i < d->n; i++) {
        first[i] = order[i].at;
        count[i] = d->count[order[i].group];
        to[order[i].group] = i;
    }
    for (int64_t i = 0; i < n; i++) d->group[i] = to[d->group[i]];
    d->first = first;
    d->count = count;
}

static Distinct find_distinct(Arena *a, const Items *s, bool sorted) {
    Distinct d = {.first = NEW_ARRAY(a, int64_t, s->n),
                  .count = NEW_ARRAY(a, int64_t, s->n),
                  .group = NEW_ARRAY(a, int64_t, s->n)};
    Item *item = NEW_ARRAY(a, Item, s->n);
    for (int64_t i = 0; i < s->n; i++) item[i] = (Item){.all = s, .at = i};
    qsort(item, (size_t)s->n, sizeof *item, by_value);
    for (int64_t i = 0; i < s->n; i++) {
        if (i == 0 || compare_items(s, item[i - 1].at, item[i].at) != 0) d.first[d.n++] = item[i].at;
        d.count[d.n - 1]++;
        d.group[item[i].at] = d.n - 1;
    }
    if (!sorted) renumber_by_place(a, &d, s->n);
    return d;
}

static bool read_items(Infer *c, Items *s) {
    *s = (Items){.t = tensor_dense(c->arena, in_const(c->node, 0)), .outer = 1, .inner = 1};
    if (!read_axis(c, &s->shape, &s->axis)) return false;
    s->n = s->shape.dim[s->axis];
    for (int i = 0; i < s->axis; i++) s->outer *= s->shape.dim[i];
    for (int i = s->axis + 1; i < s->shape.rank; i++) s->inner *= s->shape.dim[i];
    return true;
}

bool infer_Unique(Infer *c) {
    Items s;
    if (!read_items(c, &s)) return false;
    Distinct d = find_distinct(c->arena, &s, node_int(c->node, "sorted") != 0);
    Shape y = s.shape, list = shape_of(1, &d.n), all = shape_of(1, &s.n);
    y.dim[s.axis] = d.n;
    set_out(c, 0, 0, &y);
    set_out(c, 1, 0, &list);
    set_out(c, 2, 0, &all);
    set_out(c, 3, 0, &list);
    return true;
}

void expand_Unique(Expand *e) {
    Items s;
    Again again;
    if (!read_items(infer_again(&again, e->node), &s)) bug("Unique: the axis was good before");
    Distinct d = find_distinct(e->graph->arena, &s, node_int(e->node, "sorted") != 0);
    if (has_out(e->node, 0)) {
        Value *v = expand_reshape(e, e->node->in[0], &s.shape);
        const char *attrs = arena_printf(e->graph->arena, "axis=%d", s.axis);
        expand_result(e, 0, EXPAND(e, Gather, attrs, v, expand_ints(e, d.n, d.first)));
    }
    expand_result(e, 1, expand_ints(e, d.n, d.first));
    expand_result(e, 2, expand_ints(e, s.n, d.group));
    expand_result(e, 3, expand_ints(e, d.n, d.count));
}

/* ---- NonMaxSuppression --------------------------------------------------------------------------------------------
 */

bool infer_NonMaxSuppression(Infer *c) {
    return infer_error(c, D_NOT_STATIC, -1, "how many boxes are selected is known only at run time");
}
