/* Scaled dot-product attention (Vaswani et al., "Attention Is All You Need", 2017) with ONNX's extras: grouped heads
 * (Ainslie et al., "GQA", 2023), a cache of keys and values, causal and sliding-window masks, soft capping.
 *
 * Query head h reads key head h / group, so grouped queries are rows of one matrix per key head and keys are never
 * repeated. All masks become one additive bias of zeros and minus infinities. Scores are computed in float32 at least.
 */
#include "ir/ops/expand.h"

#include <inttypes.h>
#include <math.h>

typedef struct Heads {
    int64_t batch, q_heads, kv_heads, q_length, head, v_head;
    int64_t past, length, total; /* of keys: cached, given, and both together */
} Heads;

enum { Q, K, V, MASK, PAST_KEY, PAST_VALUE, NONPAD };
enum { Y, PRESENT_KEY, PRESENT_VALUE, SCORES };

/* ---- reading ------------------------------------------------------------------------------------------------------
 */

/* Heads, length and head size of operand i: [batch, heads, length, size], or [batch, length, heads * size]. */
static bool read_operand(Infer *c, int i, const char *attr, int64_t *heads, int64_t *length, int64_t *size) {
    const Shape *s = in_shape(c->node, i);
    const Attr *given = node_attr(c->node, attr);
    if (s->rank != 3 && s->rank != 4) return infer_error(c, D_OPERAND_SHAPE, i, "rank %d; wanted 3 or 4", s->rank);
    if (s->rank != in_shape(c->node, Q)->rank)
        return infer_error(c, D_OPERAND_SHAPE, i, "rank %d; wanted that of Q, %d", s->rank, in_shape(c->node, Q)->rank);
    if (s->dim[0] != in_shape(c->node, Q)->dim[0])
        return infer_error(c, D_OPERAND_SHAPE, i, "a batch of %" PRId64 "; that of Q is %" PRId64, s->dim[0],
                           in_shape(c->node, Q)->dim[0]);
    if (s->rank == 3 && !given) return infer_error(c, D_ATTRIBUTE, i, "no %s; operands of rank 3 want it", attr);
    *heads = s->rank == 4 ? s->dim[1] : given->i;
    if (*heads < 1 || (s->rank == 3 && s->dim[2] % *heads) || (given && given->i != *heads))
        return infer_error(c, D_ATTRIBUTE, i, "%s is %" PRId64 ", which does not fit the shape %s", attr,
                           given ? given->i : *heads, shape_str(c->arena, s));
    *length = s->rank == 4 ? s->dim[2] : s->dim[1];
    *size = s->rank == 4 ? s->dim[3] : s->dim[2] / *heads;
    return true;
}

static bool check_past(Infer *c, int i, Heads *h, int64_t size) {
    const Shape *s = in_shape(c->node, i);
    if (s->rank == 4 && i == PAST_KEY) h->past = s->dim[2];
    Shape want = shape_of(4, (int64_t[]){h->batch, h->kv_heads, h->past, size});
    if (shape_equal(s, &want)) return true;
    return infer_error(c, D_OPERAND_SHAPE, i, "a cache of shape %s; wanted %s", shape_str(c->arena, s),
                       shape_str(c->arena, &want));
}

/* The mask broadcasts to the scores, and may be shorter at the end of the keys. */
static bool check_mask(Infer *c, const Heads *h) {
    const Shape *s = in_shape(c->node, MASK);
    Shape full = shape_of(4, (int64_t[]){h->batch, h->q_heads, h->q_length, h->total}), cut = *s, r;
    if (s->rank > 0 && s->dim[s->rank - 1] <= h->total) cut.dim[s->rank - 1] = h->total;
    if (s->rank > 0 && shape_broadcast(&full, &cut, &r) && shape_equal(&r, &full)) return true;
    return infer_error(c, D_OPERAND_SHAPE, MASK, "a mask of shape %s; wanted one that broadcasts to %s",
                       shape_str(c->arena, s), shape_str(c->arena, &full));
}

static bool check_cache(Infer *c, Heads *h) {
    const Node *n = c->node;
    if (has_in(n, PAST_KEY) != has_in(n, PAST_VALUE))
        return infer_error(c, D_ARITY, -1, "one of past_key and past_value; wanted both or none");
    if (has_in(n, PAST_KEY) && (!check_past(c, PAST_KEY, h, h->head) || !check_past(c, PAST_VALUE, h, h->v_head)))
        return false;
    h->total = h->past + h->length;
    if (!has_in(n, NONPAD)) return true;
    if (has_in(n, PAST_KEY))
        return infer_error(c, D_ARITY, NONPAD, "nonpad_kv_seqlen together with past_key; wanted one of them");
    const Shape *s = in_shape(n, NONPAD);
    if (s->rank == 1 && s->dim[0] == h->batch) return true;
    return infer_error(c, D_OPERAND_SHAPE, NONPAD, "shape %s; wanted one length for each of the batch of %" PRId64,
                       shape_str(c->arena, s), h->batch);
}

static bool check_attributes(Infer *c) {
    const Node *n = c->node;
    int64_t mode = node_int(n, "qk_matmul_output_mode"), left = node_int(n, "left_window_size"),
            right = node_int(n, "right_window_size");
    double cap = node_float(n, "softcap");
    const Attr *scale = node_attr(n, "scale");
    if (mode < 0 || mode > 3)
        return infer_error(c, D_ATTRIBUTE, -1, "qk_matmul_output_mode %" PRId64 "; wanted 0 to 3", mode);
    if (left < -1 || right < -1) return infer_error(c, D_ATTRIBUTE, -1, "a window size below -1");
    if (!(cap >= 0) || isinf(cap))
        return infer_error(c, D_ATTRIBUTE, -1, "softcap %g; wanted 0 or a positive number", cap);
    if (scale && !isfinite(scale->f))
        return infer_error(c, D_ATTRIBUTE, -1, "scale %g; wanted a finite number", scale->f);
    return true;
}

static bool read_heads(Infer *c, Heads *h) {
    int64_t length, heads, size;
    *h = (Heads){.batch = in_shape(c->node, Q)->rank ? in_shape(c->node, Q)->dim[0] : 0};
    if (!check_attributes(c)) return false;
    if (!read_operand(c, Q, "q_num_heads", &h->q_heads, &h->q_length, &h->head)) return false;
    if (!read_operand(c, K, "kv_num_heads", &h->kv_heads, &h->length, &size)) return false;
    if (size != h->head)
        return infer_error(c, D_OPERAND_SHAPE, K, "heads of %" PRId64 " elements; those of Q have %" PRId64, size,
                           h->head);
    if (!read_operand(c, V, "kv_num_heads", &heads, &length, &h->v_head)) return false;
    if (heads != h->kv_heads || length != h->length)
        return infer_error(c, D_OPERAND_SHAPE, V,
                           "%" PRId64 " heads of length %" PRId64 "; K has %" PRId64 " of %" PRId64, heads, length,
                           h->kv_heads, h->length);
    if (h->q_heads % h->kv_heads)
        return infer_error(c, D_OPERAND_SHAPE, Q, "%" PRId64 " heads; wanted a multiple of the %" PRId64 " of K",
                           h->q_heads, h->kv_heads);
    return check_cache(c, h) && (!has_in(c->node, MASK) || check_mask(c, h));
}

bool infer_Attention(Infer *c) {
    Heads h;
    if (!read_heads(c, &h)) return false;
    Shape y = shape_of(4, (int64_t[]){h.batch, h.q_heads, h.q_length, h.v_head});
    if (in_shape(c->node, Q)->rank == 3) y = shape_of(3, (int64_t[]){h.batch, h.q_length, h.q_heads * h.v_head});
    Shape key = shape_of(4, (int64_t[]){h.batch, h.kv_heads, h.total, h.head}), value = key;
    value.dim[3] = h.v_head;
    Shape scores = shape_of(4, (int64_t[]){h.batch, h.q_heads, h.q_length, h.total});
    set_out(c, Y, in_elem(c->node, Q), &y);
    set_out(c, PRESENT_KEY, in_elem(c->node, K), &key);
    set_out(c, PRESENT_VALUE, in_elem(c->node, V), &value);
    set_out(c, SCORES, in_elem(c->node, Q), &scores);
    return true;
}

/* ---- building ------------------------------------------------------------------------------------------------------
 */

static const int swap_heads[] = {0, 2, 1, 3};

/* Operand i as [batch, heads, length, size]. */
static Value *split_heads(Expand *e, int i, int64_t heads) {
    Value *v = e->node->in[i];
    const Shape s = v->type.shape;
    if (s.rank == 4) return v;
    Shape four = shape_of(4, (int64_t[]){s.dim[0], s.dim[1], heads, s.dim[2] / heads});
    return expand_transpose(e, expand_reshape(e, v, &four), 4, swap_heads);
}

/* Keys or values behind those of the cache; the output `present` gets them. */
static Value *with_past(Expand *e, int i, int past, int present, int64_t heads) {
    Value *v = split_heads(e, i, heads);
    if (has_in(e->node, past)) v = expand_concat(e, 2, e->node->in[past], v);
    expand_narrow(e, present, v);
    return v;
}

static Value *scalar_like(Expand *e, const Value *v, double x) { return expand_scalar(e, v->type.elem, x); }

/* 0 where `allowed`, else minus infinity. */
static Value *bias_where(Expand *e, Elem work, Value *allowed) {
    return EXPAND(e, Where, NULL, allowed, expand_scalar(e, work, 0), expand_scalar(e, work, -INFINITY));
}

/* The given mask as a bias, lengthened to all keys. */
static Value *mask_bias(Expand *e, Elem work, int64_t total) {
    Value *v = e->node->in[MASK];
    v = v->type.elem == QCC_BOOL ? bias_where(e, work, v) : expand_cast(e, v, work);
    int rank = v->type.shape.rank;
    int64_t missing = total - v->type.shape.dim[rank - 1], pads[2 * MAX_RANK] = {0};
    if (missing == 0) return v;
    pads[2 * rank - 1] = missing;
    return EXPAND(e, Pad, "mode=constant", v, expand_ints(e, 2 * rank, pads), expand_scalar(e, work, -INFINITY));
}

/* The positions of keys relative to each query's own: j - (i + offset), of shape [.., queries, keys], where offset is
 * the number of keys before the first query. */
static Value *relative_positions(Expand *e, const Heads *h) {
    Shape columns = shape_of(2, (int64_t[]){1, h->total}), rows = shape_of(2, (int64_t[]){h->q_length, 1});
    Value *d = EXPAND(e, Sub, NULL, expand_iota(e, &columns), expand_iota(e, &rows));
    if (!has_in(e->node, NONPAD)) return EXPAND(e, Sub, NULL, d, expand_scalar(e, QCC_I64, (double)h->past));
    Shape batch = shape_along(4, 0, h->batch);
    Value *length = expand_reshape(e, e->node->in[NONPAD], &batch);
    Value *offset = EXPAND(e, Sub, NULL, length, expand_scalar(e, QCC_I64, (double)h->q_length));
    return EXPAND(e, Sub, NULL, d, offset);
}

static Value *both(Expand *e, Value *p, Value *q) { return p ? EXPAND(e, And, NULL, p, q) : q; }

/* Which keys each query may see by position: causal, windows, and the padding of an external cache. NULL: all. */
static Value *allowed_positions(Expand *e, const Heads *h) {
    const Node *n = e->node;
    int64_t left = node_int(n, "left_window_size"), right = node_int(n, "right_window_size");
    if (node_int(n, "is_causal")) right = right < 0 ? 0 : i64_min(right, 0);
    Value *ok = NULL, *d = left >= 0 || right >= 0 ? relative_positions(e, h) : NULL;
    if (left >= 0) ok = EXPAND(e, GreaterOrEqual, NULL, d, expand_scalar(e, QCC_I64, -(double)left));
    if (right >= 0) ok = both(e, ok, EXPAND(e, LessOrEqual, NULL, d, expand_scalar(e, QCC_I64, (double)right)));
    if (!has_in(n, NONPAD)) return ok;
    Shape columns = shape_of(2, (int64_t[]){1, h->total}), batch = shape_along(4, 0, h->batch);
    Value *length = expand_reshape(e, n->in[NONPAD], &batch);
    return both(e, ok, EXPAND(e, Less, NULL, expand_iota(e, &columns), length));
}

/* The sum of all masks; NULL where there is none. */
static Value *make_bias(Expand *e, const Heads *h, Elem work) {
    Value *ok = allowed_positions(e, h), *bias = ok ? bias_where(e, work, ok) : NULL;
    if (!has_in(e->node, MASK)) return bias;
    Value *mask = mask_bias(e, work, h->total);
    return bias ? EXPAND(e, Add, NULL, bias, mask) : mask;
}

/* Probabilities; a query that may see no key has none, rather than NaN. */
static Value *probabilities(Expand *e, Value *scores, Value *bias) {
    Value *p = EXPAND(e, Softmax, "axis=-1", scores);
    if (!bias) return p;
    int64_t last = bias->type.shape.rank - 1;
    Value *best = expand_reduce(e, OP_ReduceMax, bias, 1, &last);
    Value *blind = EXPAND(e, Equal, NULL, best, scalar_like(e, best, -INFINITY));
    return EXPAND(e, Where, NULL, blind, scalar_like(e, p, 0), p);
}

/* If the output of scores is wanted at this stage, v is it. */
static void tap(Expand *e, int stage, Value *v) {
    if (node_int(e->node, "qk_matmul_output_mode") == stage) expand_narrow(e, SCORES, v);
}

static Value *make_scores(Expand *e, const Heads *h, Value *key, Elem work) {
    static const int transposed[] = {0, 1, 3, 2};
    const Attr *given = node_attr(e->node, "scale");
    double scale = given ? given->f : 1 / sqrt((double)i64_max(h->head, 1)), cap = node_float(e->node, "softcap");
    Value *q = expand_cast(e, split_heads(e, Q, h->q_heads), work);
    Shape rows = shape_of(4, (int64_t[]){h->batch, h->kv_heads, h->q_heads / h->kv_heads * h->q_length, h->head});
    Shape scores = shape_of(4, (int64_t[]){h->batch, h->q_heads, h->q_length, h->total});
    q = expand_reshape(e, EXPAND(e, Mul, NULL, q, scalar_like(e, q, scale)), &rows);
    Value *s = EXPAND(e, MatMul, NULL, q, expand_transpose(e, expand_cast(e, key, work), 4, transposed));
    s = expand_reshape(e, s, &scores);
    tap(e, 0, s);
    if (cap > 0) {
        s = EXPAND(e, Tanh, NULL, EXPAND(e, Div, NULL, s, scalar_like(e, s, cap)));
        s = EXPAND(e, Mul, NULL, s, scalar_like(e, s, cap));
    }
    tap(e, 1, s);
    return s;
}

void expand_Attention(Expand *e) {
    Heads h;
    Again again;
    if (!read_heads(infer_again(&again, e->node), &h)) bug("Attention: the operands were good before");
    bool wide = in_elem(e->node, Q) == QCC_F64 || in_elem(e->node, V) == QCC_F64;
    Elem work = wide ? QCC_F64 : QCC_F32;
    Value *key = with_past(e, K, PAST_KEY, PRESENT_KEY, h.kv_heads);
    Value *value = with_past(e, V, PAST_VALUE, PRESENT_VALUE, h.kv_heads);
    Value *s = make_scores(e, &h, key, work), *bias = make_bias(e, &h, work);
    if (bias) s = EXPAND(e, Add, NULL, s, bias);
    tap(e, 2, s);
    Value *p = probabilities(e, s, bias);
    tap(e, 3, p);
    Shape rows = shape_of(4, (int64_t[]){h.batch, h.kv_heads, h.q_heads / h.kv_heads * h.q_length, h.total});
    Value *y = EXPAND(e, MatMul, NULL, expand_reshape(e, p, &rows), expand_cast(e, value, work));
    Shape four = shape_of(4, (int64_t[]){h.batch, h.q_heads, h.q_length, h.v_head});
    Shape three = shape_of(3, (int64_t[]){h.batch, h.q_length, h.q_heads * h.v_head});
    y = expand_reshape(e, y, &four);
    if (in_shape(e->node, Q)->rank == 3) y = expand_reshape(e, expand_transpose(e, y, 4, swap_heads), &three);
    expand_narrow(e, Y, y);
}
