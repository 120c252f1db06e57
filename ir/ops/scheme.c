/* Quantizers of our own domain: from float32 to multiples of a step. The forms and their ties are those of
 * quant/scheme.h, the numbers are operands, `scheme` names the method for whoever trains the network further. In an
 * ONNX file each is a function of the domain qcc whose body (frontend/function.def) computes what the expansion here
 * does, bit for bit. Expansions are sums of steps that only rise, so that thresholds can be carried through them. */
#include "ir/ops/expand.h"

#include <inttypes.h>
#include <math.h>

/* ---- checks ---- */

enum { MAX_THRESHOLDS = 255, MAX_CODE = 1 << 15 };

/* Operand i broadcasts to x and, where it is known, is positive and finite throughout. */
static bool check_positive(Infer *c, int operand) {
    Shape s;
    const Tensor *t = in_const(c->node, operand);
    if (!shape_broadcast(in_shape(c->node, 0), in_shape(c->node, operand), &s) ||
        !shape_equal(&s, in_shape(c->node, 0)))
        return infer_error(c, D_OPERAND_SHAPE, operand, "shape %s; wanted one that broadcasts to %s",
                           shape_str(c->arena, in_shape(c->node, operand)), shape_str(c->arena, in_shape(c->node, 0)));
    int64_t n = !t ? 0 : t->splat ? 1 : shape_count(&t->type.shape);
    for (int64_t i = 0; i < n; i++) {
        double v = tensor_get(t, i);
        if (v > 0 && isfinite(v)) continue;
        return infer_error(c, D_OPERAND_VALUE, operand, "element %" PRId64 " is %g; wanted a positive number", i, v);
    }
    return true;
}

/* Operand i is one whole number in [lo, hi]. */
static bool check_whole(Infer *c, int operand, double lo, double hi, double *out) {
    const Tensor *t = in_const(c->node, operand);
    if (shape_count(&t->type.shape) != 1)
        return infer_error(c, D_OPERAND_SHAPE, operand, "shape %s; wanted one element",
                           shape_str(c->arena, &t->type.shape));
    *out = tensor_get(t, 0);
    if (*out >= lo && *out <= hi && *out == rint(*out)) return true;
    return infer_error(c, D_OPERAND_VALUE, operand, "%g; wanted a whole number from %g to %g", *out, lo, hi);
}

static bool infer_same(Infer *c) {
    set_out(c, 0, 0, in_shape(c->node, 0));
    return true;
}

/* ---- uniform kinds ---- */

static Value *in_of(Expand *e, int i) { return e->node->in[i]; }
static Value *number(Expand *e, double v) { return expand_scalar(e, QCC_F32, v); }

/* Operand i, of one element, as a scalar. */
static Value *scalar(Expand *e, int i) {
    static const Shape none = {.rank = 0};
    return expand_reshape(e, in_of(e, i), &none);
}

static void finish(Expand *e, Value *codes, int step) {
    expand_result(e, 0, EXPAND(e, Mul, NULL, codes, in_of(e, step)));
}

bool infer_QSign(Infer *c) { return check_positive(c, 1) && infer_same(c); }

void expand_QSign(Expand *e) {
    Value *up = EXPAND(e, GreaterOrEqual, NULL, in_of(e, 0), number(e, 0));
    finish(e, EXPAND(e, Where, NULL, up, number(e, 1), number(e, -1)), 1);
}

bool infer_QUniform(Infer *c) {
    double lo, hi;
    return check_positive(c, 1) && check_whole(c, 2, -MAX_CODE, MAX_CODE, &lo) &&
           check_whole(c, 3, lo, MAX_CODE, &hi) && infer_same(c);
}

void expand_QUniform(Expand *e) {
    Value *v = EXPAND(e, Round, NULL, EXPAND(e, Div, NULL, in_of(e, 0), in_of(e, 1)));
    finish(e, EXPAND(e, Clip, NULL, v, scalar(e, 2), scalar(e, 3)), 1);
}

bool infer_QHwgq(Infer *c) {
    double hi;
    return check_positive(c, 1) && check_whole(c, 2, 1, MAX_CODE, &hi) && infer_same(c);
}

void expand_QHwgq(Expand *e) {
    Value *v = EXPAND(e, Sub, NULL, EXPAND(e, Div, NULL, in_of(e, 0), in_of(e, 1)), number(e, 0.5));
    v = EXPAND(e, Clip, NULL, EXPAND(e, Ceil, NULL, v), number(e, 0), scalar(e, 2));
    Value *above = expand_cast(e, EXPAND(e, Greater, NULL, in_of(e, 0), number(e, 0)), QCC_F32);
    finish(e, EXPAND(e, Max, NULL, above, v), 1);
}

bool infer_QDorefa(Infer *c) {
    double hi;
    return check_positive(c, 1) && check_positive(c, 2) && check_whole(c, 3, 1, MAX_CODE, &hi) && infer_same(c);
}

void expand_QDorefa(Expand *e) {
    Value *hi = scalar(e, 3), *two = number(e, 2);
    Value *v = EXPAND(e, Div, NULL, EXPAND(e, Tanh, NULL, in_of(e, 0)), EXPAND(e, Mul, NULL, in_of(e, 2), two));
    v = EXPAND(e, Mul, NULL, EXPAND(e, Add, NULL, v, number(e, 0.5)), hi);
    v = EXPAND(e, Clip, NULL, EXPAND(e, Round, NULL, v), number(e, 0), hi);
    finish(e, EXPAND(e, Sub, NULL, EXPAND(e, Mul, NULL, v, two), hi), 1);
}

bool infer_QOdd(Infer *c) {
    double hi;
    if (!check_positive(c, 1) || !check_whole(c, 2, 1, MAX_CODE, &hi)) return false;
    if (fmod(hi, 2) != 1) return infer_error(c, D_OPERAND_VALUE, 2, "%g; wanted an odd number", hi);
    return infer_same(c);
}

void expand_QOdd(Expand *e) {
    Value *hi = scalar(e, 2), *two = number(e, 2), *one = number(e, 1), *half = number(e, 0.5);
    Value *lo = EXPAND(e, Mul, NULL, EXPAND(e, Sub, NULL, one, hi), half);
    Value *v = EXPAND(e, Div, NULL, in_of(e, 0), EXPAND(e, Mul, NULL, in_of(e, 1), two));
    v = EXPAND(e, Round, NULL, EXPAND(e, Add, NULL, v, half));
    v = EXPAND(e, Clip, NULL, v, lo, EXPAND(e, Mul, NULL, EXPAND(e, Add, NULL, one, hi), half));
    finish(e, EXPAND(e, Sub, NULL, EXPAND(e, Mul, NULL, v, two), one), 1);
}

/* ---- thresholds at any distances ---- */

enum { X_VALUE, STEP, THRESHOLDS, CODES };

/* Thresholds are a list, or of x's dimensions (1 where they are the same) and their number. */
static bool check_threshold_shape(Infer *c, int64_t *n) {
    const Shape *x = in_shape(c->node, X_VALUE), *s = in_shape(c->node, THRESHOLDS);
    bool fits = s->rank == 1 || s->rank == x->rank + 1;
    *n = s->rank ? s->dim[s->rank - 1] : 0;
    for (int i = 0; fits && i < s->rank - 1; i++) fits = s->dim[i] == 1 || s->dim[i] == x->dim[i];
    if (fits && *n >= 1 && *n <= MAX_THRESHOLDS) return true;
    return infer_error(c, D_OPERAND_SHAPE, THRESHOLDS,
                       "thresholds of shape %s; wanted a list of 1 to %d, or one for places of %s",
                       shape_str(c->arena, s), MAX_THRESHOLDS, shape_str(c->arena, x));
}

static bool check_codes(Infer *c, int64_t n) {
    const Tensor *code = in_const(c->node, CODES);
    if (code->type.shape.rank != 1 || code->type.shape.dim[0] != n + 1)
        return infer_error(c, D_OPERAND_SHAPE, CODES, "codes of shape %s; wanted a list of %" PRId64,
                           shape_str(c->arena, &code->type.shape), n + 1);
    double last = -MAX_CODE - 1;
    for (int64_t k = 0; k <= n; k++) {
        double v = tensor_get(code, k);
        if (!(v > last) || v > (double)MAX_CODE || v != rint(v))
            return infer_error(c, D_OPERAND_VALUE, CODES, "code %" PRId64 " is %g; wanted rising whole numbers", k, v);
        last = v;
    }
    return true;
}

/* Ascending thresholds from `least` on, and one code more, rising whole numbers. */
static bool check_ladder(Infer *c, double least) {
    const Tensor *thr = in_const(c->node, THRESHOLDS);
    int64_t n, count = shape_count(&thr->type.shape);
    if (!check_threshold_shape(c, &n) || !check_codes(c, n)) return false;
    for (int64_t i = 0; i < count; i++) {
        double v = tensor_get(thr, i), below = i % n ? tensor_get(thr, i - 1) : least;
        if (!(v >= below) || isinf(v))
            return infer_error(c, D_OPERAND_VALUE, THRESHOLDS, "threshold %" PRId64 " is %g; wanted them ascending",
                               i % n, v);
    }
    return check_positive(c, STEP) && infer_same(c);
}

static double code_step(const Expand *e, int64_t k) {
    const Tensor *code = in_const(e->node, CODES);
    return tensor_get(code, k + 1) - tensor_get(code, k);
}

/* Threshold k of all places, times `sign`. */
static Value *threshold(Expand *e, int64_t k, double sign) {
    const Tensor *thr = in_const(e->node, THRESHOLDS);
    Type t = {QCC_F32, thr->type.shape};
    int64_t n = t.shape.dim[--t.shape.rank], count = shape_count(&t.shape);
    Tensor *column = tensor_new(e->graph->arena, t);
    for (int64_t i = 0; i < count; i++) tensor_set(column, i, sign * tensor_get(thr, i * n + k));
    return expand_constant(e, column);
}

/* `rise` where x compares so with threshold k, else 0, added to sum. */
static Value *add_step(Expand *e, Value *sum, OpId compare, int64_t k, double sign) {
    Value *beyond = expand_node(e, compare, NULL, 2, (Value *[]){in_of(e, X_VALUE), threshold(e, k, sign)});
    Value *rise = number(e, sign * code_step(e, k));
    return EXPAND(e, Add, NULL, sum, EXPAND(e, Where, NULL, beyond, rise, number(e, 0)));
}

static int64_t n_thresholds(const Node *n) { return in_shape(n, THRESHOLDS)->dim[in_shape(n, THRESHOLDS)->rank - 1]; }

bool infer_QLevels(Infer *c) { return check_ladder(c, -INFINITY); }

void expand_QLevels(Expand *e) {
    Value *sum = number(e, tensor_get(in_const(e->node, CODES), 0));
    for (int64_t k = 0; k < n_thresholds(e->node); k++) sum = add_step(e, sum, OP_Greater, k, 1);
    finish(e, sum, STEP);
}

bool infer_QMagnitude(Infer *c) {
    if (!check_ladder(c, 0)) return false;
    double zero = tensor_get(in_const(c->node, CODES), 0);
    return zero == 0 || infer_error(c, D_OPERAND_VALUE, CODES, "code 0 is %g; wanted 0", zero);
}

/* Below 0 each threshold counts down where -x passes it. */
void expand_QMagnitude(Expand *e) {
    Value *sum = number(e, 0);
    for (int64_t k = n_thresholds(e->node) - 1; k >= 0; k--) sum = add_step(e, sum, OP_Less, k, -1);
    for (int64_t k = 0; k < n_thresholds(e->node); k++) sum = add_step(e, sum, OP_Greater, k, 1);
    finish(e, sum, STEP);
}
