/* Storage: where every value lies. Views cost nothing; parts of a concatenation, of a padding and of an output are
 * written in place by whoever computes them; images that convolutions read lie channels-last with a border of zeros.
 *
 * Backwards over the graph, hosts are found: a value that is only a part of a later one is given its place inside.
 * Forwards, what has no place yet gets a buffer of its own, and where a value does not lie as its reader needs it, a
 * copy (a Map that computes nothing) is put between. Copies are the only relayouts there are, each a step of its own.
 */
#include "codegen/program.h"
#include "ir/op.h"

#include <string.h>

const Storage *storage_of(const Program *p, const Value *v) { return map_get_ptr(&p->storages, v); }

static void put(Program *p, const Value *v, const Storage *s) {
    map_put_ptr(p->arena, &p->storages, v, arena_copy(p->arena, s, sizeof *s));
}

static Step *step_of(const Program *p, const Node *n) { return map_get_ptr(&p->chosen, n); }

static const Wish *in_wish(const Program *p, const Use *u) {
    Step *s = step_of(p, u->node);
    return s ? &s->plan.in[u->operand] : NULL;
}
static const Wish *out_wish(const Program *p, const Value *v) {
    Step *s = v->def ? step_of(p, v->def) : NULL;
    return s ? &s->plan.out[v->def_index] : NULL;
}

/* ---- do they lie as wished? ---------------------------------------------------------------------------------- */

static void row_order(int rank, int order[MAX_RANK]) {
    for (int i = 0; i < rank; i++) order[i] = i;
}
static void channel_order(int rank, int order[MAX_RANK]) {
    row_order(rank, order);
    for (int i = 1; i + 1 < rank; i++) order[i] = i + 1;
    if (rank > 1) order[rank - 1] = 1;
}

static bool lies_dense(const Storage *s, const Type *t) {
    int order[MAX_RANK];
    int64_t dense[MAX_RANK];
    row_order(t->shape.rank, order);
    dense_strides(t, order, dense);
    for (int d = 0; d < t->shape.rank; d++)
        if (t->shape.dim[d] > 1 && s->stride[d] != dense[d]) return false;
    return true;
}

static bool lies_channels_last(const Storage *s, const Type *t) {
    int order[MAX_RANK], rank = t->shape.rank;
    int64_t need = elem_bytes(t->elem);
    channel_order(rank, order);
    for (int i = rank - 1; i >= 0; i--) {
        int d = order[i];
        if (d == 1 && t->shape.dim[d] > 1 && s->stride[d] != need) return false;
        if (t->shape.dim[d] > 1 && s->stride[d] < need) return false;
        if (t->shape.dim[d] > 1)
            need = s->stride[d] * t->shape.dim[d];
        else
            need = i64_max(need, d == 1 ? need : 0);
    }
    return true;
}

static bool satisfies(const Storage *s, const Type *t, const Wish *w) {
    if (w->slack && (s->buffer->space == SPACE_INPUT || s->buffer->space == SPACE_OUTPUT)) return false;
    if (w->order == ORDER_ROWS && !lies_dense(s, t)) return false;
    if (w->order == ORDER_CHANNELS && !lies_channels_last(s, t)) return false;
    if (w->unit && t->shape.dim[w->unit_dim] > 1 && s->stride[w->unit_dim] != elem_bytes(t->elem)) return false;
    for (int d = 0; d < t->shape.rank; d++)
        if (s->halo_lo[d] < w->halo_lo[d] || s->halo_hi[d] < w->halo_hi[d]) return false;
    return true;
}

/* ---- buffers ------------------------------------------------------------------------------------------------- */

static Buffer *buffer_new(Program *p, Space space, int port, int64_t bytes, const Value *owner) {
    Buffer *b = NEW(p->arena, Buffer);
    *b = (Buffer){.space = space, .port = port, .bytes = bytes, .first = 1, .owner = owner};
    if (space == SPACE_WORK) vec_push(p->arena, &p->buffers, b);
    return b;
}

/* A buffer for `v` whose dimensions go from outer to inner as in `order`, with the halo of `w`. */
static Storage own_buffer(Program *p, const Value *v, const int *order, const Wish *w) {
    const Shape *s = &v->type.shape;
    Storage st = {0};
    Type wide = v->type;
    bool halo = false;
    for (int d = 0; d < s->rank; d++) {
        st.halo_lo[d] = w->halo_lo[d];
        st.halo_hi[d] = w->halo_hi[d];
        wide.shape.dim[d] += w->halo_lo[d] + w->halo_hi[d];
        halo = halo || w->halo_lo[d] || w->halo_hi[d];
    }
    dense_strides(&wide, order, st.stride);
    for (int d = 0; d < s->rank; d++) st.offset += w->halo_lo[d] * st.stride[d];
    st.buffer = buffer_new(p, SPACE_WORK, 0, type_bytes(&wide), v);
    st.buffer->halo = halo;
    return st;
}

static Storage caller_buffer(Program *p, const Value *v, Space space, int port) {
    int order[MAX_RANK];
    Storage st = {.buffer = buffer_new(p, space, port, type_bytes(&v->type), v)};
    row_order(v->type.shape.rank, order);
    dense_strides(&v->type, order, st.stride);
    return st;
}

/* Raw data among the weights; a splat is one element with strides of 0. */
static Storage constant_buffer(Program *p, const Value *v) {
    int order[MAX_RANK];
    int64_t bytes = v->constant->splat ? elem_bytes(v->type.elem) : type_bytes(&v->type);
    Storage st = {.buffer = buffer_new(p, SPACE_WEIGHTS, 0, bytes, v)};
    row_order(v->type.shape.rank, order);
    if (!v->constant->splat) dense_strides(&v->type, order, st.stride);
    Blob *b = blob_add(p, arena_printf(p->arena, "raw %p %lld", v->constant->data, (long long)bytes), bytes, NULL, NULL,
                       v->constant->data);
    st.buffer->offset = b->offset;
    return st;
}

/* ---- what a value's own buffer should be like ------------------------------------------------------------------ */

/* The halos that readers ask for, all of them together. */
static void add_halos(const Program *p, const Value *v, Wish *w) {
    for (size_t i = 0; i < v->uses.n; i++) {
        const Wish *u = in_wish(p, &v->uses.at[i]);
        for (int d = 0; u && d < v->type.shape.rank; d++) {
            w->halo_lo[d] = i64_max(w->halo_lo[d], u->halo_lo[d]);
            w->halo_hi[d] = i64_max(w->halo_hi[d], u->halo_hi[d]);
        }
    }
}

static bool reader_wishes(const Program *p, const Value *v, Order order) {
    for (size_t i = 0; i < v->uses.n; i++) {
        const Wish *u = in_wish(p, &v->uses.at[i]);
        if (u && u->order == order && !u->packed) return true;
        if (order == ORDER_ROWS && v->uses.at[i].node->op == OP_Reshape) return true;
    }
    return value_is_output(v) && order == ORDER_ROWS;
}

/* Operand of the same shape whose order of dimensions an indifferent kernel had best follow. */
static const Storage *guide(const Program *p, const Value *v) {
    for (int i = 0; v->def && i < v->def->n_in; i++) {
        const Value *in = v->def->in[i];
        if (in && !in->constant && shape_equal(&in->type.shape, &v->type.shape) && storage_of(p, in))
            return storage_of(p, in);
    }
    return NULL;
}

/* Dimensions by falling stride; equal ones, and those of one element, keep their place. */
static void order_of_strides(const Storage *s, const Shape *shape, int order[MAX_RANK]) {
    int many[MAX_RANK], n = 0, at[MAX_RANK];
    for (int d = 0; d < shape->rank; d++)
        if (shape->dim[d] > 1) at[n] = d, many[n++] = d;
    for (int i = 1; i < n; i++)
        for (int j = i; j > 0 && s->stride[many[j - 1]] < s->stride[many[j]]; j--) {
            int t = many[j];
            many[j] = many[j - 1];
            many[j - 1] = t;
        }
    row_order(shape->rank, order);
    for (int i = 0; i < n; i++) order[at[i]] = many[i];
}

/* True if something before `v` in the graph is an image that lies channels-last. Followed a few nodes back: it is a
 * matter of speed only. */
static bool from_channels(const Program *p, const Value *v, int depth) {
    if (!v->def || depth == 0 || v->type.shape.rank < 3) return false;
    const Wish *w = out_wish(p, v);
    if (w && w->order != ORDER_ANY) return w->order == ORDER_CHANNELS;
    OpId op = v->def->op;
    if (op != OP_Map && op != OP_Concat && op != OP_Pad && op != OP_Slice && op != OP_Gather) return false;
    for (int i = 0; i < v->def->n_in; i++) {
        const Value *in = v->def->in[i];
        if (in && in->type.shape.rank == v->type.shape.rank && from_channels(p, in, depth - 1)) return true;
    }
    return false;
}

static Storage choose_buffer(Program *p, const Value *v) {
    int order[MAX_RANK], rank = v->type.shape.rank;
    const Wish *out = out_wish(p, v);
    const Storage *like = guide(p, v);
    Wish w = {0};
    add_halos(p, v, &w);
    row_order(rank, order);
    bool rows = out && out->order == ORDER_ROWS, channels = out && out->order == ORDER_CHANNELS;
    if (channels || (!rows && rank >= 3 && reader_wishes(p, v, ORDER_CHANNELS)))
        channel_order(rank, order);
    else if (rows || reader_wishes(p, v, ORDER_ROWS))
        row_order(rank, order);
    else if (like)
        order_of_strides(like, &v->type.shape, order);
    else if (from_channels(p, v, 8))
        channel_order(rank, order);
    return own_buffer(p, v, order, &w);
}

/* ---- copies -------------------------------------------------------------------------------------------------- */

/* A Map that copies `v`, in front of `before` (NULL: at the end). NULL after a diagnostic. */
static Value *copy_node(Program *p, Value *v, Node *before, Loc loc) {
    ExprBuilder b = {.arena = p->arena};
    Node *n = graph_node(p->graph, before, OP_Map, loc, 1, &v, 1);
    n->expr = x_finish(&b, x_in(&b, 0, v->type.elem), 1);
    n->out[0]->type = v->type;
    n->out[0]->name = v->name;
    map_put_ptr(p->arena, &p->copies, n, n);
    return select_node(p, n) ? n->out[0] : NULL;
}

/* An earlier copy of `v` that lies as wished. */
static Value *find_copy(const Program *p, const Value *v, const Wish *w) {
    for (size_t i = 0; i < v->uses.n; i++) {
        Node *n = v->uses.at[i].node;
        if (!map_get_ptr(&p->copies, n)) continue;
        const Storage *s = storage_of(p, n->out[0]);
        if (s && s->buffer->space == SPACE_WORK && satisfies(s, &v->type, w)) return n->out[0];
    }
    return NULL;
}

static void copy_order(const Type *t, const Wish *w, int order[MAX_RANK]) {
    int rank = t->shape.rank;
    if (w->order == ORDER_CHANNELS)
        channel_order(rank, order);
    else
        row_order(rank, order);
    if (!w->unit || w->order != ORDER_ANY) return;
    for (int i = w->unit_dim; i + 1 < rank; i++) order[i] = i + 1;
    order[rank - 1] = w->unit_dim;
}

/* `v` as operand `u` wishes it: itself, an earlier copy or a new one. */
static bool fit_operand(Program *p, const Use *u) {
    Value *v = u->node->in[u->operand];
    Wish w = *in_wish(p, u);
    if (satisfies(storage_of(p, v), &v->type, &w)) return true;
    Value *c = find_copy(p, v, &w);
    if (!c) {
        int order[MAX_RANK];
        c = copy_node(p, v, u->node, u->node->loc);
        if (!c) return false;
        add_halos(p, v, &w);
        copy_order(&v->type, &w, order);
        Storage s = own_buffer(p, c, order, &w);
        put(p, c, &s);
    }
    node_set_in(u->node, u->operand, c);
    return true;
}

/* ---- backwards: hosts ---------------------------------------------------------------------------------------- */

/* Gives `v` the place `s` inside something later, if whoever makes v can write there. */
static bool try_host(Program *p, Value *v, const Storage *s) {
    if (!v->def || v->constant || storage_of(p, v) || shape_count(&v->type.shape) == 0) return false;
    if (node_is_view(v->def) && v->def->op != OP_Concat) {
        Storage back;
        if (v->def->n_out != 1 || !view_backward(v->def, s, &back) || !try_host(p, v->def->in[0], &back)) return false;
    } else {
        const Wish *w = out_wish(p, v);
        if (w && !satisfies(s, &v->type, w)) return false;
    }
    put(p, v, s);
    return true;
}

static void host_outputs(Program *p) {
    for (size_t i = 0; i < p->graph->outputs.n; i++) {
        Value *v = p->graph->outputs.at[i].value;
        Storage s = caller_buffer(p, v, SPACE_OUTPUT, (int)i);
        try_host(p, v, &s);
    }
}

static void host_operands(Program *p, Node *n) {
    if ((n->op != OP_Concat && n->op != OP_Pad) || shape_count(&n->out[0]->type.shape) == 0) return;
    if (!storage_of(p, n->out[0])) {
        Storage s = choose_buffer(p, n->out[0]);
        put(p, n->out[0], &s);
    }
    Step *step = step_of(p, n);
    if (step && step->plan.fallback) return;
    int parts = n->op == OP_Pad ? 1 : n->n_in;
    for (int i = 0; i < parts; i++) {
        Storage part = view_part(n, storage_of(p, n->out[0]), i);
        try_host(p, n->in[i], &part);
    }
}

/* ---- forwards ------------------------------------------------------------------------------------------------ */

static bool same_place(const Storage *a, const Storage *b, const Shape *s) {
    if (a->buffer != b->buffer || a->offset != b->offset) return false;
    for (int d = 0; d < s->rank; d++)
        if (s->dim[d] > 1 && a->stride[d] != b->stride[d]) return false;
    return true;
}

/* Copies operand `i` of n to where `want` says, unless it is there. */
static bool bring(Program *p, Node *n, int i, const Storage *want) {
    Value *v = n->in[i];
    if (shape_count(&v->type.shape) == 0 || same_place(storage_of(p, v), want, &v->type.shape)) return true;
    Value *c = copy_node(p, v, n, n->loc);
    if (!c) return false;
    put(p, c, want);
    node_set_in(n, i, c);
    return true;
}

static bool place_concat(Program *p, Node *n) {
    for (int i = 0; i < n->n_in; i++) {
        Storage part = view_part(n, storage_of(p, n->out[0]), i);
        if (!bring(p, n, i, &part)) return false;
    }
    return true;
}

/* A view whose operand cannot be read so: the operand is made dense first. */
static bool place_on_copy(Program *p, Node *n, Storage *out) {
    int order[MAX_RANK];
    Value *v = n->in[0], *c = find_copy(p, v, &(Wish){.order = ORDER_ROWS});
    if (!c) {
        c = copy_node(p, v, n, n->loc);
        if (!c) return false;
        row_order(v->type.shape.rank, order);
        Storage s = own_buffer(p, c, order, &(Wish){0});
        put(p, c, &s);
    }
    node_set_in(n, 0, c);
    if (!view_forward(n, storage_of(p, c), out)) bug("no view of a dense tensor");
    return true;
}

static bool place_view(Program *p, Node *n) {
    Value *v = n->out[0];
    if (shape_count(&v->type.shape) == 0) {
        Storage none = own_buffer(p, v, (int[MAX_RANK]){0, 1, 2, 3, 4, 5, 6, 7}, &(Wish){0});
        if (!storage_of(p, v)) put(p, v, &none);
        return true;
    }
    if (n->op == OP_Concat) return place_concat(p, n);
    if (storage_of(p, v)) return true; /* hosted, and so is the operand */
    Storage s;
    if (!view_forward(n, storage_of(p, n->in[0]), &s) && !place_on_copy(p, n, &s)) return false;
    put(p, v, &s);
    return true;
}

static void place_source(Program *p, Value *v) {
    if (storage_of(p, v)) return;
    if (v->constant) {
        Storage s = constant_buffer(p, v);
        put(p, v, &s);
    } else if (!v->def) {
        Storage s = caller_buffer(p, v, SPACE_INPUT, v->def_index);
        put(p, v, &s);
    }
}

/* Codes that are stored as bit-planes lie where these do, which nothing else reads than products of them. */
static void place_planes(Program *p, const Step *step) {
    int order[MAX_RANK];
    const Value *words = step->planes->out[0];
    Wish w = {.order = step->bits.axis == 1 ? ORDER_CHANNELS : ORDER_ROWS};
    add_halos(p, words, &w);
    copy_order(&words->type, &w, order);
    Storage s = own_buffer(p, words, order, &w);
    put(p, words, &s);
    put(p, step->node->out[0], &s);
}

static bool place_compute(Program *p, Node *n) {
    Step *step = step_of(p, n);
    for (int i = 0; i < n->n_in; i++) {
        Use u = {n, i};
        if (n->in[i] && !step->plan.in[i].packed && !fit_operand(p, &u)) return false;
    }
    if (n->op == OP_Pad && !step->plan.fallback) {
        Storage part = view_part(n, storage_of(p, n->out[0]), 0);
        if (!bring(p, n, 0, &part)) return false;
    }
    if (step->planes) place_planes(p, step);
    for (int i = 0; i < n->n_out; i++) {
        if (!n->out[i] || storage_of(p, n->out[i])) continue;
        Storage s = choose_buffer(p, n->out[i]);
        put(p, n->out[i], &s);
    }
    return true;
}

/* Outputs that are not where the caller wants them: inputs, constants, what is two outputs, what lies otherwise. */
static bool place_outputs(Program *p) {
    for (size_t i = 0; i < p->graph->outputs.n; i++) {
        Value *v = p->graph->outputs.at[i].value;
        place_source(p, v);
        const Storage *s = storage_of(p, v);
        if (shape_count(&v->type.shape) == 0) continue;
        if (s->buffer->space == SPACE_OUTPUT && s->buffer->port == (int)i && s->offset == 0 && lies_dense(s, &v->type))
            continue;
        Value *c = copy_node(p, v, NULL, v->def ? v->def->loc : LOC_NONE);
        if (!c) return false;
        Storage out = caller_buffer(p, v, SPACE_OUTPUT, (int)i);
        put(p, c, &out);
    }
    return true;
}

static bool place_node(Program *p, Node *n) {
    Step *step = step_of(p, n);
    for (int i = 0; i < n->n_in; i++) {
        bool attribute = n->in[i] && op_def(n->op)->in[i < op_def(n->op)->n_in ? i : op_def(n->op)->n_in - 1].constant;
        bool read = n->in[i] && !(step && step->plan.in[i].packed) && !(node_is_view(n) && attribute);
        if (read) place_source(p, n->in[i]);
    }
    if (node_is_view(n)) return place_view(p, n);
    if (step) return place_compute(p, n);
    for (int i = 0; i < n->n_out; i++) { /* nothing to compute: no elements */
        Storage none = {.buffer = buffer_new(p, SPACE_WORK, 0, 0, n->out[i])};
        if (n->out[i] && !storage_of(p, n->out[i])) put(p, n->out[i], &none);
    }
    return true;
}

/* ---- the order of steps -------------------------------------------------------------------------------------- */

static void collect_steps(Program *p) {
    for (Node *n = p->graph->first; n; n = n->next) {
        Step *s = step_of(p, n);
        if (!s) continue;
        vec_push(p->arena, &p->steps, s);
        s->packs = NEW_ARRAY(p->arena, Blob *, s->plan.packs.n);
        for (size_t i = 0; i < s->plan.packs.n; i++) {
            const ConstPack *c = &s->plan.packs.at[i];
            const char *key = arena_printf(p->arena, "pack %p %s", (const void *)c->value, c->key);
            s->packs[i] = blob_crushed(p, key, c);
            if (!s->packs[i]) s->packs[i] = blob_add(p, key, c->bytes, c->fill, c->ctx, NULL);
        }
    }
}

bool layout_run(Program *p) {
    host_outputs(p);
    for (Node *n = p->graph->last; n; n = n->prev) host_operands(p, n);
    for (Node *n = p->graph->first; n; n = n->next)
        if (!place_node(p, n)) return false;
    if (!place_outputs(p)) return false;
    collect_steps(p);
    return true;
}
