/* Operators that carry a state along a sequence. Sequences have a static length, so they are unrolled: LinearAttention
 * (Yang et al., "Gated delta networks", 2024, and the simpler rules before it) and the causal convolution that goes
 * with it, whose state is the last inputs. */
#include "ir/ops/expand.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- CausalConvWithState ------------------------------------------------------------------------------------------
 */

static const char *const activations[] = {"none", "silu", "swish"};

bool infer_CausalConvWithState(Infer *c) {
    const Node *n = c->node;
    const char *activation = node_string(n, "activation");
    if (!infer_rank(c, 0, 3) || !infer_rank(c, 1, 3)) return false;
    const Shape *x = in_shape(n, 0), *w = in_shape(n, 1);
    int64_t channels = x->dim[1], k = w->dim[2];
    bool known = false;
    for (size_t i = 0; i < COUNT_OF(activations); i++) known |= strcmp(activation, activations[i]) == 0;
    if (!known) return infer_error(c, D_ATTRIBUTE, -1, "activation '%s'; wanted none, silu or swish", activation);
    if (w->dim[0] != channels || w->dim[1] != 1 || k < 1)
        return infer_error(c, D_OPERAND_SHAPE, 1, "weights of shape %s; wanted [%" PRId64 ",1,k]",
                           shape_str(c->arena, w), channels);
    if (has_in(n, 2) && (in_shape(n, 2)->rank != 1 || in_shape(n, 2)->dim[0] != channels))
        return infer_error(c, D_OPERAND_SHAPE, 2, "a bias of shape %s; wanted one for each of %" PRId64 " channels",
                           shape_str(c->arena, in_shape(n, 2)), channels);
    Shape state = shape_of(3, (int64_t[]){x->dim[0], channels, k - 1});
    if (has_in(n, 3) && !shape_equal(in_shape(n, 3), &state))
        return infer_error(c, D_OPERAND_SHAPE, 3, "a state of shape %s; wanted %s", shape_str(c->arena, in_shape(n, 3)),
                           shape_str(c->arena, &state));
    set_out(c, 0, 0, x);
    set_out(c, 1, 0, &state);
    return true;
}

static Value *zeros(Expand *e, Elem elem, const Shape *s) {
    double zero = 0;
    return expand_constant(e, tensor_splat(e->graph->arena, (Type){elem, *s}, &zero));
}

/* The state goes before the input; a convolution without padding follows, and the end is the next state. */
void expand_CausalConvWithState(Expand *e) {
    const Node *n = e->node;
    const Shape *x = in_shape(n, 0);
    int64_t channels = x->dim[1], k = in_shape(n, 1)->dim[2];
    Shape state = shape_of(3, (int64_t[]){x->dim[0], channels, k - 1});
    Value *past = has_in(n, 3) ? n->in[3] : zeros(e, in_elem(n, 0), &state);
    Value *all = k > 1 ? expand_concat(e, 2, past, n->in[0]) : n->in[0];
    expand_result(e, 1, expand_slice(e, all, 2, x->dim[2], x->dim[2] + k - 1));
    Value *in[] = {expand_widen(e, all), expand_widen(e, n->in[1]), has_in(n, 2) ? expand_widen(e, n->in[2]) : NULL};
    Value *y = expand_node(e, OP_Conv, arena_printf(e->graph->arena, "group=%" PRId64, channels), 3, in);
    if (strcmp(node_string(n, "activation"), "none") != 0) y = EXPAND(e, Mul, NULL, y, EXPAND(e, Sigmoid, NULL, y));
    expand_narrow(e, 0, y);
}

/* ---- LinearAttention ----------------------------------------------------------------------------------------------
 */

enum { QUERY, KEY, VALUE, PAST, DECAY, BETA };
enum { MAX_STEPS = 256 };

typedef struct Linear {
    int64_t batch, steps, q_heads, kv_heads, key, value; /* sizes of a key and of a value */
    bool gated, delta;
} Linear;

/* Operand i is [batch, steps, n] with n one of two numbers. */
static bool check_packed(Infer *c, int i, const Linear *l, int64_t n, int64_t or_n) {
    const Shape *s = in_shape(c->node, i);
    if (s->rank == 3 && s->dim[0] == l->batch && s->dim[1] == l->steps && (s->dim[2] == n || s->dim[2] == or_n))
        return true;
    return infer_error(c, D_OPERAND_SHAPE, i, "shape %s; wanted [%" PRId64 ",%" PRId64 ",%" PRId64 "]",
                       shape_str(c->arena, s), l->batch, l->steps, n);
}

static bool read_rule(Infer *c, Linear *l) {
    const char *rule = node_string(c->node, "update_rule");
    l->gated = strcmp(rule, "gated") == 0 || strcmp(rule, "gated_delta") == 0;
    l->delta = strcmp(rule, "delta") == 0 || strcmp(rule, "gated_delta") == 0;
    if (!l->gated && !l->delta && strcmp(rule, "linear") != 0)
        return infer_error(c, D_ATTRIBUTE, -1, "update_rule '%s'; wanted linear, gated, delta or gated_delta", rule);
    if (has_in(c->node, DECAY) != l->gated || has_in(c->node, BETA) != l->delta)
        return infer_error(c, D_ARITY, -1, "update_rule '%s' wants %s decay and %s beta", rule, l->gated ? "a" : "no",
                           l->delta ? "a" : "no");
    return true;
}

static bool read_linear(Infer *c, Linear *l) {
    const Node *n = c->node;
    *l = (Linear){.q_heads = node_int(n, "q_num_heads"), .kv_heads = node_int(n, "kv_num_heads")};
    if (!read_rule(c, l) || !infer_rank(c, QUERY, 3) || !infer_rank(c, VALUE, 3)) return false;
    const Shape *q = in_shape(n, QUERY), *v = in_shape(n, VALUE);
    l->batch = q->dim[0];
    l->steps = q->dim[1];
    if (l->kv_heads < 1 || l->q_heads < 1 || l->q_heads % l->kv_heads || q->dim[2] % l->q_heads ||
        v->dim[2] % l->kv_heads)
        return infer_error(c, D_ATTRIBUTE, -1,
                           "q_num_heads %" PRId64 " and kv_num_heads %" PRId64 " do not fit the operands", l->q_heads,
                           l->kv_heads);
    l->key = q->dim[2] / l->q_heads;
    l->value = v->dim[2] / l->kv_heads;
    int64_t keys = l->kv_heads * l->key, values = l->kv_heads * l->value;
    if (!check_packed(c, KEY, l, keys, keys) || !check_packed(c, VALUE, l, values, values)) return false;
    if (l->gated && !check_packed(c, DECAY, l, keys, l->kv_heads)) return false;
    if (l->delta && !check_packed(c, BETA, l, l->kv_heads, 1)) return false;
    Shape state = shape_of(4, (int64_t[]){l->batch, l->kv_heads, l->key, l->value});
    if (has_in(n, PAST) && !shape_equal(in_shape(n, PAST), &state))
        return infer_error(c, D_OPERAND_SHAPE, PAST, "a state of shape %s; wanted %s",
                           shape_str(c->arena, in_shape(n, PAST)), shape_str(c->arena, &state));
    if (l->steps < 1 || l->steps > MAX_STEPS)
        return infer_error(c, D_UNSUPPORTED_FORM, QUERY, "%" PRId64 " steps; 1 to %d are supported", l->steps,
                           MAX_STEPS);
    return true;
}

bool infer_LinearAttention(Infer *c) {
    Linear l;
    if (!read_linear(c, &l)) return false;
    Shape y = shape_of(3, (int64_t[]){l.batch, l.steps, l.q_heads * l.value});
    Shape state = shape_of(4, (int64_t[]){l.batch, l.kv_heads, l.key, l.value});
    set_out(c, 0, 0, &y);
    set_out(c, 1, has_in(c->node, PAST) ? in_elem(c->node, PAST) : in_elem(c->node, QUERY), &state);
    return true;
}

/* Step t of operand i, in f32, as [batch, heads, rows, columns]; heads 1 stands for all. */
static Value *step(Expand *e, const Linear *l, int i, int64_t t, int64_t heads, int64_t rows, int64_t columns) {
    Shape s = shape_of(4, (int64_t[]){l->batch, heads, rows, columns});
    return expand_reshape(e, expand_cast(e, expand_slice(e, e->node->in[i], 1, t, t + 1), QCC_F32), &s);
}

/* The state after step t: decayed, and with the step's value written under its key. */
static Value *update(Expand *e, const Linear *l, Value *state, int64_t t) {
    Value *k = step(e, l, KEY, t, l->kv_heads, l->key, 1), *v = step(e, l, VALUE, t, l->kv_heads, 1, l->value);
    if (l->gated) {
        int64_t rows = in_shape(e->node, DECAY)->dim[2] / l->kv_heads;
        Value *decay = step(e, l, DECAY, t, l->kv_heads, rows, 1);
        state = EXPAND(e, Mul, NULL, state, EXPAND(e, Exp, NULL, decay));
    }
    if (l->delta) {
        Value *row = step(e, l, KEY, t, l->kv_heads, 1, l->key);
        Value *rate = step(e, l, BETA, t, in_shape(e->node, BETA)->dim[2], 1, 1);
        v = EXPAND(e, Mul, NULL, rate, EXPAND(e, Sub, NULL, v, EXPAND(e, MatMul, NULL, row, state)));
    }
    return EXPAND(e, Add, NULL, state, EXPAND(e, Mul, NULL, k, v));
}

/* The queries of one key head are rows of one matrix. */
void expand_LinearAttention(Expand *e) {
    Linear l;
    Again again;
    if (!read_linear(infer_again(&again, e->node), &l)) bug("LinearAttention: the operands were good before");
    Shape shape = shape_of(4, (int64_t[]){l.batch, l.kv_heads, l.key, l.value});
    Shape out = shape_of(3, (int64_t[]){l.batch, 1, l.q_heads * l.value});
    double scale = node_float(e->node, "scale");
    Value *factor = expand_scalar(e, QCC_F32, scale != 0 ? scale : 1 / sqrt((double)i64_max(l.key, 1)));
    Value *state = has_in(e->node, PAST) ? expand_cast(e, e->node->in[PAST], QCC_F32) : zeros(e, QCC_F32, &shape);
    Value *y[MAX_STEPS];
    for (int64_t t = 0; t < l.steps; t++) {
        state = update(e, &l, state, t);
        Value *q = step(e, &l, QUERY, t, l.kv_heads, l.q_heads / l.kv_heads, l.key);
        y[t] = expand_reshape(e, EXPAND(e, Mul, NULL, EXPAND(e, MatMul, NULL, q, state), factor), &out);
    }
    expand_narrow(e, 0, expand_node(e, OP_Concat, "axis=1", (int)l.steps, y));
    expand_narrow(e, 1, state);
}
