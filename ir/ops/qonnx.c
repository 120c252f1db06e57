/* The quantizers of QONNX and Brevitas. Their tensors hold real values, x' = (code - zero) * scale; the expansions go
 * through the codes as integers, so that what comes behind can find them. Every step is a float32 operation in the
 * order of the dialect's definition: the zero point is added before rounding, unlike QuantizeLinear's. */
#include "ir/ops/scale.h"

#include <math.h>
#include <strings.h>

enum { MAX_BITS = 32 };

/* ---- rounding modes -----------------------------------------------------------------------------------------------
 */

typedef enum Mode { HALF_EVEN, CEIL, FLOOR, UP, DOWN, HALF_UP, HALF_DOWN } Mode;

static const struct {
    const char *name;
    Mode mode;
} modes[] = {
    {"ROUND", HALF_EVEN}, {"HALF_EVEN", HALF_EVEN}, {"CEIL", CEIL},           {"FLOOR", FLOOR},       {"UP", UP},
    {"DOWN", DOWN},       {"HALF_UP", HALF_UP},     {"HALF_DOWN", HALF_DOWN}, {"ROUND_TO_ZERO", DOWN}};

static bool find_mode(const char *name, Mode *mode) {
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        *mode = modes[i].mode;
        if (strcasecmp(modes[i].name, name) == 0) return true;
    }
    return false;
}

static bool check_mode(Infer *c) {
    Mode mode;
    const char *name = node_string(c->node, "rounding_mode");
    return find_mode(name, &mode) ||
           infer_error(c, D_ATTRIBUTE, -1,
                       "rounding_mode is '%s'; wanted ROUND, HALF_EVEN, CEIL, FLOOR, UP, DOWN, HALF_UP or HALF_DOWN",
                       name);
}

static Value *half(Expand *e) { return expand_scalar(e, QCC_F32, 0.5); }

/* UP and HALF_* are written on the magnitude, away from zero or toward it; the sign is put back. */
static Value *round_as(Expand *e, Value *v) {
    Mode mode;
    if (!find_mode(node_string(e->node, "rounding_mode"), &mode)) bug("%s: rounding_mode", op_def(e->node->op)->name);
    if (mode == HALF_EVEN) return EXPAND(e, Round, NULL, v);
    if (mode == CEIL) return EXPAND(e, Ceil, NULL, v);
    if (mode == FLOOR) return EXPAND(e, Floor, NULL, v);
    Value *sign = EXPAND(e, Sign, NULL, v), *r = EXPAND(e, Abs, NULL, v);
    if (mode == HALF_UP) r = EXPAND(e, Add, NULL, r, half(e));
    if (mode == HALF_DOWN) r = EXPAND(e, Sub, NULL, r, half(e));
    bool up = mode == UP || mode == HALF_DOWN;
    r = up ? EXPAND(e, Ceil, NULL, r) : EXPAND(e, Floor, NULL, r);
    return EXPAND(e, Mul, NULL, sign, r);
}

/* ---- ranges of codes ----------------------------------------------------------------------------------------------
 */

typedef struct Codes {
    double low, high;
} Codes;

/* Narrow takes the lowest code of signed ones and the highest of unsigned ones. */
static Codes codes_of(const Node *n, int bits) {
    bool narrow = node_int(n, "narrow") != 0;
    if (node_int(n, "signed")) return (Codes){-ldexp(1, bits - 1) + narrow, ldexp(1, bits - 1) - 1};
    return (Codes){0, ldexp(1, bits) - 1 - narrow};
}

static Value *clamp(Expand *e, Value *v, const Codes *r) {
    return EXPAND(e, Clip, NULL, v, expand_scalar(e, QCC_F32, r->low), expand_scalar(e, QCC_F32, r->high));
}

/* +1 where v >= 0, else (with NaN too) -1. */
static Value *bipolar(Expand *e, Value *v) {
    Value *positive = EXPAND(e, GreaterOrEqual, NULL, v, expand_scalar(e, QCC_F32, 0));
    return EXPAND(e, Where, NULL, positive, expand_scalar(e, QCC_I8, 1), expand_scalar(e, QCC_I8, -1));
}

/* (codes - zero) * scale, where `zero` may be NULL. */
static void give_values(Expand *e, Value *codes, Value *zero, Value *scale) {
    Value *v = expand_cast(e, codes, QCC_F32);
    if (zero) v = EXPAND(e, Sub, NULL, v, zero);
    expand_result(e, 0, EXPAND(e, Mul, NULL, v, scale));
}

/* ---- Quant --------------------------------------------------------------------------------------------------------
 */

enum { X_IN, SCALE, ZERO, BITS };

/* Scale and zero point of any quantizer here. */
static bool check_affine(Infer *c) {
    const Shape *x = in_shape(c->node, X_IN);
    return infer_spreads(c, SCALE, x) && infer_scales(c, SCALE) && infer_spreads(c, ZERO, x) && infer_finite(c, ZERO);
}

static bool check_flag(Infer *c, const char *name) {
    int64_t v = node_int(c->node, name);
    return v == 0 || v == 1 || infer_error(c, D_ATTRIBUTE, -1, "%s is %lld; wanted 0 or 1", name, (long long)v);
}

bool infer_Quant(Infer *c) {
    int bits;
    if (!check_mode(c) || !infer_whole(c, BITS, "bit width", 1, MAX_BITS, &bits) || !check_affine(c)) return false;
    if (!check_flag(c, "signed") || !check_flag(c, "narrow")) return false;
    set_out(c, 0, 0, in_shape(c->node, X_IN));
    return true;
}

static int whole(const Node *n, int operand) { return (int)tensor_get(in_const(n, operand), 0); }

/* Signed codes of one bit are -1 and +1. */
void expand_Quant(Expand *e) {
    int bits = whole(e->node, BITS);
    Codes r = codes_of(e->node, bits);
    Value *scale = expand_factor(e, SCALE, QCC_F32), *zero = expand_shift(e, ZERO, QCC_F32);
    Value *v = EXPAND(e, Div, NULL, e->node->in[X_IN], scale);
    if (zero) v = EXPAND(e, Add, NULL, v, zero);
    bool signs = bits == 1 && node_int(e->node, "signed");
    v = signs ? bipolar(e, v) : expand_cast(e, round_as(e, clamp(e, v, &r)), code_elem(r.low, r.high));
    give_values(e, v, zero, scale);
}

/* ---- BipolarQuant -------------------------------------------------------------------------------------------------
 */

bool infer_BipolarQuant(Infer *c) {
    if (!infer_spreads(c, SCALE, in_shape(c->node, X_IN)) || !infer_scales(c, SCALE)) return false;
    set_out(c, 0, 0, in_shape(c->node, X_IN));
    return true;
}

void expand_BipolarQuant(Expand *e) {
    give_values(e, bipolar(e, e->node->in[X_IN]), NULL, expand_factor(e, SCALE, QCC_F32));
}

/* ---- Trunc: drops low bits of codes, as after an average pooling --------------------------------------------------
 */

enum { OUT_SCALE = 4, OUT_BITS };

/* 2^round(log2(out_scale / scale)), what the codes are divided by, for each pair of scales. NULL where there is no one
 * shape of the pairs. */
static const Tensor *divisors(Arena *a, const Node *n) {
    const Tensor *from = in_const(n, SCALE), *to = in_const(n, OUT_SCALE);
    bool one_from = shape_count(&from->type.shape) == 1, one_to = shape_count(&to->type.shape) == 1;
    if (!one_from && !one_to && !shape_equal(&from->type.shape, &to->type.shape)) return NULL;
    Shape s = one_from && one_to ? (Shape){.rank = 0} : one_from ? to->type.shape : from->type.shape;
    Tensor *t = tensor_new(a, (Type){QCC_F32, s});
    for (int64_t i = 0; i < shape_count(&s); i++) {
        double ratio = tensor_get(to, one_to ? 0 : i) / tensor_get(from, one_from ? 0 : i);
        tensor_set(t, i, ldexp(1, (int)rint(log2((double)(float)ratio))));
    }
    return t;
}

/* With a scale of the output the bits dropped follow from the scales, and the result is clamped. */
static bool check_rescale(Infer *c) {
    if (!infer_spreads(c, OUT_SCALE, in_shape(c->node, X_IN)) || !infer_scales(c, OUT_SCALE)) return false;
    if (!in_const(c->node, SCALE) || !in_const(c->node, OUT_SCALE))
        return infer_error(c, D_UNSUPPORTED_FORM, SCALE, "the scales are computed at run time; wanted constants");
    return divisors(c->arena, c->node) ||
           infer_error(c, D_UNSUPPORTED_FORM, OUT_SCALE, "scales of shape %s beside those of shape %s",
                       shape_str(c->arena, in_shape(c->node, OUT_SCALE)),
                       shape_str(c->arena, in_shape(c->node, SCALE)));
}

bool infer_Trunc(Infer *c) {
    int in_bits, out_bits;
    if (!check_mode(c) || !infer_whole(c, BITS, "bit width", 1, MAX_BITS, &in_bits) ||
        !infer_whole(c, OUT_BITS, "bit width", 1, MAX_BITS, &out_bits) || !check_affine(c))
        return false;
    if (has_in(c->node, OUT_SCALE) && !check_rescale(c)) return false;
    if (!has_in(c->node, OUT_SCALE) && out_bits > in_bits)
        return infer_error(c, D_OPERAND_VALUE, OUT_BITS, "%d bits; wanted no more than those of the input, %d",
                           out_bits, in_bits);
    set_out(c, 0, 0, in_shape(c->node, X_IN));
    return true;
}

void expand_Trunc(Expand *e) {
    const Node *n = e->node;
    bool rescales = has_in(n, OUT_SCALE);
    Codes r = codes_of(n, whole(n, OUT_BITS));
    Value *scale = expand_factor(e, SCALE, QCC_F32), *zero = expand_shift(e, ZERO, QCC_F32);
    Value *by = rescales ? expand_constant(e, divisors(e->graph->arena, n))
                         : expand_scalar(e, QCC_F32, ldexp(1, whole(n, BITS) - whole(n, OUT_BITS)));
    Value *v = EXPAND(e, Div, NULL, n->in[X_IN], scale);
    if (zero) v = EXPAND(e, Add, NULL, v, zero);
    v = EXPAND(e, Div, NULL, EXPAND(e, Round, NULL, v), by);
    Elem elem = rescales ? code_elem(r.low, r.high) : QCC_I32;
    if (rescales) v = clamp(e, v, &r);
    if (rescales && zero) zero = EXPAND(e, Div, NULL, zero, by);
    give_values(e, expand_cast(e, round_as(e, v), elem), zero, rescales ? expand_factor(e, OUT_SCALE, QCC_F32) : scale);
}
