/* Operands of integer products in as few bits as their proved range needs, for bytes are multiplied twice as fast as
 * words. What fits is converted: constants at once, others where they are made. Codes with a zero point in the middle,
 * of 256 values but neither i8 nor u8, become bytes by an offset where no padding is in the way: sum x w = sum (x - lo)
 * w + lo sum w,   x - lo in 0 .. 255,   lo sum w a constant for each channel Other readers of x then read x - lo too,
 * and add lo, so that the bytes are what is stored. Requires: integerize, constants folded. Keeps: everything to the
 * bit. Breaks: canonical form. */
#include "ir/ops/window.h"
#include "passes/codes.h"
#include "passes/pass.h"
#include "passes/rewrite.h"
#include "quant/range.h"

static bool is_product(const Node *n) { return n->op == OP_QConv || n->op == OP_QConvTranspose || n->op == OP_QMatMul; }

static bool is_wide(const Value *v) { return v->type.elem == QCC_I16 || v->type.elem == QCC_U16; }

/* The type of 8 bits that holds all of v; 0 if none does. */
static Elem byte_elem(Ranges *r, const Value *v) {
    Range range;
    Elem e = range_of(r, v, &range) ? range_elem(range) : (Elem)0;
    return e && elem_info[e].bits == 8 ? e : (Elem)0;
}

static Value *converted(Graph *g, const Tensor *t, Elem elem) {
    if (t->splat) {
        Tensor *one = tensor_new(g->arena, (Type){.elem = elem});
        tensor_set_int(one, 0, tensor_get_int(t, 0));
        return graph_constant(g, "", tensor_splat(g->arena, (Type){elem, t->type.shape}, one->data));
    }
    Tensor *out = tensor_new(g->arena, (Type){elem, t->type.shape});
    int64_t n = shape_count(&t->type.shape);
    for (int64_t i = 0; i < n; i++) tensor_set_int(out, i, tensor_get_int(t, i));
    return graph_constant(g, "", out);
}

typedef struct Bytes {
    Value *value; /* x - lo */
    int64_t lo;
} Bytes;

typedef struct Narrow {
    Graph *graph;
    Ranges ranges;
    Map known; /* Value -> Bytes */
} Narrow;

static Value *scalar(Graph *g, Elem elem, int64_t v) {
    Tensor *t = tensor_new(g->arena, (Type){.elem = elem});
    tensor_set_int(t, 0, v);
    return graph_constant(g, "", t);
}

static Value *shifted(Graph *g, Node *before, Loc loc, OpId op, Value *x, int64_t by) {
    return by ? build_node(g, before, loc, op, NULL, 2, (Value *[]){x, scalar(g, x->type.elem, by)}) : x;
}

/* Bytes for x, right behind it. Its other readers get x back from them, so that nothing else needs to be stored. */
static const Bytes *make_bytes(Narrow *t, Value *x, Elem elem, int64_t lo) {
    Graph *g = t->graph;
    Node *def = x->def;
    size_t own = x->uses.n;
    Value *moved = shifted(g, def->next, def->loc, OP_Sub, x, lo);
    Value *bytes = build_cast(g, lo ? moved->def->next : def->next, def->loc, moved, elem);
    Value *back = build_cast(g, bytes->def->next, def->loc, bytes, x->type.elem);
    if (lo) back = shifted(g, back->def->next, def->loc, OP_Add, back, lo);
    while (own-- > 0) { /* each takes itself off the front of the list */
        Use u = x->uses.at[0];
        node_set_in(u.node, u.operand, back);
    }
    Bytes *b = NEW(g->arena, Bytes);
    *b = (Bytes){bytes, lo};
    map_put_ptr(g->arena, &t->known, x, b);
    map_put_ptr(g->arena, &t->known, back, b);
    return b;
}

/* ---- offsets ------------------------------------------------------------------------------------------------------
 */

static bool is_padded(const Node *n) {
    Window w;
    if (n->op == OP_QMatMul) return false;
    if (n->op == OP_QConvTranspose) return true;
    window_of_node(n, &w);
    for (int i = 0; i < w.rank; i++) {
        int64_t reach = (w.out[i] - 1) * w.stride[i] + window_extent(&w, i);
        if (w.pad_begin[i] > 0 || reach > w.in[i]) return true;
    }
    return false;
}

static bool takes_offset(const Node *n, int operand) {
    return operand == 0 && in_const(n, 1) && in_shape(n, 1)->rank > 1 &&
           (n->op != OP_QMatMul || in_shape(n, 1)->rank == 2) && !is_padded(n);
}

/* All products that read x could do with an offset. */
static bool all_take_offset(const Value *x) {
    for (size_t i = 0; i < x->uses.n; i++) {
        const Use *u = &x->uses.at[i];
        if (is_product(u->node) && !takes_offset(u->node, u->operand)) return false;
    }
    return true;
}

/* lo times the sum of each channel's weights, as it broadcasts to the sums. */
static Value *channel_sums(Graph *g, const Node *n, int64_t lo) {
    const Tensor *w = in_const(n, 1);
    int rank = n->out[0]->type.shape.rank, axis = n->op == OP_QMatMul ? rank - 1 : 1;
    int64_t channels = n->out[0]->type.shape.dim[axis], count = shape_count(&w->type.shape);
    int64_t *sum = NEW_ARRAY(g->arena, int64_t, channels);
    for (int64_t i = 0; i < count; i++) {
        int64_t c = n->op == OP_QMatMul ? i % channels : i / (count / channels);
        sum[c] += lo * tensor_get_int(w, i);
    }
    Shape s = {.rank = rank, .dim = {1, 1, 1, 1, 1, 1, 1, 1}};
    s.dim[axis] = channels;
    return graph_constant(g, "", tensor_from_ints(g->arena, QCC_I32, s, sum));
}

/* The sums of n get what the offset took away. */
static void add_back(Graph *g, Node *n, int64_t lo) {
    Value *sums = n->out[0];
    Value *constant = channel_sums(g, n, lo);
    size_t own = sums->uses.n;
    Value *whole = build_node(g, n->next, n->loc, OP_Add, NULL, 2, (Value *[]){sums, constant});
    while (own-- > 0) {
        Use u = sums->uses.at[0];
        node_set_in(u.node, u.operand, whole);
    }
}

/* ---- weights -------------------------------------------------------------------------------------------------------
 */

/* What to take off channel c's weights so that bytes hold them; false if nothing does. */
typedef struct Offsets {
    int64_t channels;
    int64_t *of;
} Offsets;

static int64_t weight_channel(const Node *n, int64_t i, int64_t count, int64_t channels) {
    return n->op == OP_QMatMul ? i % channels : i / (count / channels);
}

static bool find_offsets(const Node *n, Arena *a, Offsets *out) {
    const Tensor *w = in_const(n, 1);
    const Shape *s = &w->type.shape;
    int64_t count = shape_count(s), channels = n->op == OP_QMatMul ? s->dim[s->rank - 1] : s->dim[0];
    int64_t *lo = NEW_ARRAY(a, int64_t, channels), *hi = NEW_ARRAY(a, int64_t, channels);
    for (int64_t i = 0; i < count; i++) {
        int64_t c = weight_channel(n, i, count, channels), v = tensor_get_int(w, i);
        lo[c] = i64_min(lo[c], v);
        hi[c] = i64_max(hi[c], v);
    }
    for (int64_t c = 0; c < channels; c++) {
        if (hi[c] - lo[c] > UINT8_MAX) return false;
        lo[c] = lo[c] < INT8_MIN ? lo[c] - INT8_MIN : hi[c] > INT8_MAX ? hi[c] - INT8_MAX : 0;
    }
    *out = (Offsets){channels, lo};
    return true;
}

static const Tensor *less_offsets(const Node *n, const Offsets *o, Arena *a) {
    const Tensor *w = in_const(n, 1);
    int64_t count = shape_count(&w->type.shape);
    Tensor *t = tensor_new(a, (Type){QCC_I8, w->type.shape});
    for (int64_t i = 0; i < count; i++)
        tensor_set_int(t, i, tensor_get_int(w, i) - o->of[weight_channel(n, i, count, o->channels)]);
    return t;
}

/* The sums of x over n's windows: one channel with weights of 1. */
static Value *window_sums(Graph *g, Node *n) {
    Shape s = *in_shape(n, 1);
    s.dim[n->op == OP_QMatMul ? s.rank - 1 : 0] = 1;
    int8_t one = 1;
    Value *in[] = {n->in[0], graph_constant(g, "", tensor_splat(g->arena, (Type){QCC_I8, s}, &one))};
    Node *q = graph_node(g, n->next, n->op, n->loc, 2, in, 1);
    for (int i = 0; i < n->n_attr; i++) node_set_attr(q, &n->attr[i]);
    infer_or_bug(q);
    return q->out[0];
}

/* sum x w = sum x (w - off) + off sum x, with an offset for each channel. */
static bool offset_weights(Narrow *t, Node *n) {
    Graph *g = t->graph;
    Arena scratch;
    arena_open(&scratch);
    Offsets o;
    int rank = n->out[0]->type.shape.rank, axis = n->op == OP_QMatMul ? rank - 1 : 1;
    bool one_group = n->op == OP_QMatMul ? in_shape(n, 1)->rank == 2 : n->op == OP_QConv && node_int(n, "group") == 1;
    bool good = one_group && !value_is_output(n->out[0]) && find_offsets(n, &scratch, &o);
    if (good) {
        Value *sums = n->out[0];
        size_t own = sums->uses.n;
        Shape s = {.rank = rank, .dim = {1, 1, 1, 1, 1, 1, 1, 1}};
        s.dim[axis] = o.channels;
        Value *offsets = graph_constant(g, "", tensor_from_ints(g->arena, QCC_I32, s, o.of));
        Value *x_sums = window_sums(g, n);
        node_set_in(n, 1, graph_constant(g, n->in[1]->name, less_offsets(n, &o, g->arena)));
        Value *rest = build_node(g, x_sums->def->next, n->loc, OP_Mul, NULL, 2, (Value *[]){offsets, x_sums});
        Value *whole = build_node(g, rest->def->next, n->loc, OP_Add, NULL, 2, (Value *[]){sums, rest});
        while (own-- > 0) {
            Use u = sums->uses.at[0];
            node_set_in(u.node, u.operand, whole);
        }
    }
    arena_free(&scratch);
    return good;
}

/* Bytes times words: there are products of two of either only. */
static void match_operands(Narrow *t, Node *n) {
    if (is_wide(n->in[0]) || !is_wide(n->in[1])) return;
    if (n->op == OP_QConv && in_shape(n, 1)->dim[1] == 1) return; /* depthwise: summed in place */
    if (in_const(n, 1) && offset_weights(t, n)) return;
    node_set_in(n, 0, build_cast(t->graph, n, n->loc, n->in[0], QCC_I16));
}

/* ---- the pass ------------------------------------------------------------------------------------------------------
 */

static void narrow_operand(Narrow *t, Node *n, int i) {
    Value *x = n->in[i];
    if (!is_wide(x)) return;
    Elem elem = byte_elem(&t->ranges, x);
    if (x->constant) {
        if (elem) node_set_in(n, i, converted(t->graph, x->constant, elem));
        return;
    }
    const Bytes *b = map_get_ptr(&t->known, x);
    Range r;
    if (!b && (!x->def || x->def->graph != t->graph || value_is_output(x))) return;
    if (!b && elem) b = make_bytes(t, x, elem, 0);
    if (!b && all_take_offset(x) && range_of(&t->ranges, x, &r) && r.hi - r.lo <= UINT8_MAX)
        b = make_bytes(t, x, QCC_U8, r.lo);
    if (!b || (b->lo && (!takes_offset(n, i) || value_is_output(n->out[0])))) return;
    node_set_in(n, i, b->value);
    if (b->lo) add_back(t->graph, n, b->lo);
}

bool pass_narrow(Graph *g, Diags *d) {
    (void)d;
    Narrow t = {.graph = g, .ranges = {.arena = g->arena}};
    for (Node *n = g->first, *next; n; n = next) {
        next = n->next;
        if (!is_product(n)) continue;
        narrow_operand(&t, n, 1);
        narrow_operand(&t, n, 0);
        match_operands(&t, n);
    }
    return true;
}
