/* Our quantizers in the words of other tools.
 *
 * Weights are constants, so their codes are known and any alphabet can be said: qonnx has a Quant whose operand is
 * already quantized (it maps multiples of its scale to themselves), qdq an integer tensor and its scale. Activations
 * are said where the dialect has the same levels and the same thresholds; qonnx's MultiThreshold has its thresholds
 * given, compared by >=, so they are found as the least floats that reach each level. What cannot be said exactly is
 * not said. */
#include <math.h>
#include <string.h>

#include "frontend/export.h"
#include "ir/op.h"
#include "quant/scheme.h"

enum { QONNX_VERSION = 2 };

/* ---- what the node says ---- */

enum { X_VALUE, STEP, THIRD, FOURTH };

static float number(const Node *n, int operand) { return (float)tensor_get(in_const(n, operand), 0); }

static bool read_levels(Arena *a, const Node *n, Quantizer *q) {
    const Tensor *thr = in_const(n, THIRD), *code = in_const(n, FOURTH);
    if (thr->type.shape.rank != 1) return false;
    q->n = (int)shape_count(&thr->type.shape);
    float *own = NEW_ARRAY(a, float, q->n);
    int *codes = NEW_ARRAY(a, int, q->n + 1);
    for (int k = 0; k < q->n; k++) own[k] = (float)tensor_get(thr, k);
    for (int k = 0; k <= q->n; k++) codes[k] = (int)tensor_get(code, k);
    q->thr = own;
    q->code = codes;
    return true;
}

/* A quantizer of one step; false where there are several, or several ladders, or it is for weights only. */
static bool read_quantizer(Arena *a, const Node *n, Quantizer *q) {
    if (!in_const(n, STEP) || shape_count(in_shape(n, STEP)) != 1) return false;
    *q = (Quantizer){.n_step = 1, .step = arena_copy(a, &(float){number(n, STEP)}, sizeof(float))};
    switch (n->op) {
    case OP_QSign:
        q->form = QUANT_SIGN;
        return true;
    case OP_QUniform:
        q->form = QUANT_UNIFORM;
        q->lo = (int)number(n, THIRD), q->hi = (int)number(n, FOURTH);
        return true;
    case OP_QHwgq:
        q->form = QUANT_HWGQ;
        q->hi = (int)number(n, THIRD);
        return true;
    case OP_QLevels:
    case OP_QMagnitude:
        q->form = n->op == OP_QLevels ? QUANT_LEVELS : QUANT_MAGNITUDE;
        return read_levels(a, n, q);
    default:
        return false;
    }
}

/* ---- weights ---- */

typedef struct Codes {
    int64_t n;
    const Tensor *value; /* step * code */
    int64_t *code;
    int64_t lo, hi;
    const Tensor *step;
    int axis; /* of the steps, -1 where there is one */
} Codes;

/* The axis of x along which the steps lie; false where they lie along several. */
static bool find_axis(const Shape *x, const Shape *step, int *axis) {
    *axis = -1;
    for (int i = 0; i < step->rank; i++) {
        if (step->dim[i] == 1) continue;
        if (*axis >= 0) return false;
        *axis = i + x->rank - step->rank;
    }
    return true;
}

static double step_of(const Codes *c, const Shape *x, int64_t i) {
    if (c->axis < 0) return tensor_get(c->step, 0);
    int64_t strides[MAX_RANK];
    shape_strides(x, strides);
    return tensor_get(c->step, i / strides[c->axis] % x->dim[c->axis]);
}

static bool find_codes(Export *e, const Node *n, Codes *c) {
    const Shape *x = in_shape(n, X_VALUE);
    c->step = in_const(n, STEP);
    if (!c->step || !find_axis(x, &c->step->type.shape, &c->axis)) return false;
    const Tensor **in = NEW_ARRAY(e->arena, const Tensor *, n->n_in);
    Tensor *out;
    for (int i = 0; i < n->n_in; i++) in[i] = in_const(n, i);
    if (!node_eval(e->arena, e->d, n, in, &out)) return false;
    c->value = tensor_dense(e->arena, out);
    c->n = shape_count(x);
    c->code = NEW_ARRAY(e->arena, int64_t, c->n);
    for (int64_t i = 0; i < c->n; i++) {
        c->code[i] = (int64_t)rint(tensor_get(c->value, i) / step_of(c, x, i));
        c->lo = i ? i64_min(c->lo, c->code[i]) : c->code[i];
        c->hi = i ? i64_max(c->hi, c->code[i]) : c->code[i];
    }
    return true;
}

static bool is_bipolar(const Codes *c) {
    for (int64_t i = 0; i < c->n; i++)
        if (c->code[i] != 1 && c->code[i] != -1) return false;
    return c->n > 0;
}

static Onnx__NodeProto *qonnx_node(Export *e, const Node *n, const char *op) {
    export_domain(e, QONNX_DOMAIN, QONNX_VERSION);
    return export_node(e, n, QONNX_DOMAIN, op);
}

static const char *scalar(Export *e, const char *like, float v) {
    return export_constant(e, like, tensor_from_f32(e->arena, (Shape){.rank = 0}, &v));
}

/* Quant or BipolarQuant of `x`, which may have any value on the grid. */
static void write_quant(Export *e, const Node *n, const char *x, const char *step, bool bipolar, int bits,
                        bool is_signed, bool narrow) {
    const char *zero = bipolar ? NULL : scalar(e, "zeropt", 0);
    const char *width = bipolar ? NULL : scalar(e, "bitwidth", (float)bits);
    Onnx__NodeProto *p = qonnx_node(e, n, bipolar ? "BipolarQuant" : "Quant");
    node_proto_in(e->arena, p, x);
    node_proto_in(e->arena, p, step);
    if (!bipolar) {
        node_proto_in(e->arena, p, zero);
        node_proto_in(e->arena, p, width);
        node_proto_int(e->arena, p, "signed", is_signed);
        node_proto_int(e->arena, p, "narrow", narrow);
        node_proto_string(e->arena, p, "rounding_mode", "ROUND");
    }
    node_proto_out(e->arena, p, export_name(e, n->out[0]));
}

static void qonnx_weights(Export *e, const Node *n, const Codes *c) {
    const char *x = export_instead(e, n->in[X_VALUE], c->value), *step = export_name(e, n->in[STEP]);
    int bits = 2;
    while (c->lo < -((int64_t)1 << (bits - 1)) || c->hi >= (int64_t)1 << (bits - 1)) bits++;
    write_quant(e, n, x, step, is_bipolar(c), bits, true, c->lo > -((int64_t)1 << (bits - 1)));
}

static void qdq_weights(Export *e, const Node *n, const Codes *c) {
    Elem elem = c->lo >= -8 && c->hi <= 7 ? QCC_I4 : c->lo >= -128 && c->hi <= 127 ? QCC_I8 : QCC_I16;
    Shape flat = {.rank = c->axis >= 0};
    Tensor *step = arena_copy(e->arena, tensor_dense(e->arena, c->step), sizeof *step);
    if (c->axis >= 0) flat.dim[0] = in_shape(n, X_VALUE)->dim[c->axis];
    step->type.shape = flat;
    const Tensor *codes = tensor_from_ints(e->arena, elem, *in_shape(n, X_VALUE), c->code);
    const char *x = export_instead(e, n->in[X_VALUE], codes), *scale = export_constant(e, "scale", step);
    Onnx__NodeProto *p = export_node(e, n, "", "DequantizeLinear");
    node_proto_in(e->arena, p, x);
    node_proto_in(e->arena, p, scale);
    node_proto_out(e->arena, p, export_name(e, n->out[0]));
    if (c->axis >= 0) node_proto_int(e->arena, p, "axis", c->axis);
}

static void write_weights(Export *e, const Node *n) {
    Codes c = {0};
    if (!find_codes(e, n, &c))
        export_unsaid(e, n, "its steps do not lie along one axis");
    else if (e->dialect == DIALECT_QONNX)
        qonnx_weights(e, n, &c);
    else
        qdq_weights(e, n, &c);
}

/* ---- activations: qonnx ---- */

/* Floats in order, as integers. */
static int64_t rank_of(float x) {
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits < 0 ? -(int64_t)(bits & INT32_MAX) : bits;
}

static float of_rank(int64_t rank) {
    int32_t bits = (int32_t)(rank < 0 ? -rank : rank);
    float x;
    memcpy(&x, &bits, sizeof x);
    return rank < 0 ? -x : x;
}

/* The least float whose code is at least `code`. */
static float find_threshold(const Quantizer *q, int code) {
    int64_t lo = rank_of(-INFINITY), hi = rank_of(INFINITY);
    while (hi - lo > 1) {
        int64_t mid = (lo + hi) / 2 - (lo + hi < 0 && (lo + hi) % 2);
        if (quantizer_code(q, 0, of_rank(mid)) >= code)
            hi = mid;
        else
            lo = mid;
    }
    return of_rank(hi);
}

/* Counted in whole numbers, then scaled: that is the rounding of step * code. */
static void write_thresholds(Export *e, const Node *n, const Quantizer *q, int rise) {
    int lo = quantizer_low(q), hi = quantizer_high(q), count = (hi - lo) / rise, bits = 1;
    float *thr = NEW_ARRAY(e->arena, float, count);
    for (int k = 0; k < count; k++) thr[k] = find_threshold(q, lo + (k + 1) * rise);
    while (lo < 0 ? lo < -(1 << (bits - 1)) || hi >= 1 << (bits - 1) : hi >= 1 << bits) bits++;
    Shape s = shape_of(2, (int64_t[]){1, count});
    const char *range = arena_printf(e->arena, "%s%d", lo < 0 ? "INT" : "UINT", bits);
    const char *x = export_name(e, n->in[X_VALUE]), *y = export_name(e, n->out[0]), *step = export_name(e, n->in[STEP]);
    const char *list = export_constant(e, "thresholds", tensor_from_f32(e->arena, s, thr));
    const char *codes = export_fresh(e, arena_printf(e->arena, "%s_codes", y));
    Onnx__NodeProto *p = qonnx_node(e, n, "MultiThreshold");
    node_proto_in(e->arena, p, x);
    node_proto_in(e->arena, p, list);
    node_proto_out(e->arena, p, codes);
    node_proto_string(e->arena, p, "out_dtype", lo == -1 && rise == 2 ? "BIPOLAR" : range);
    node_proto_float(e->arena, p, "out_scale", (float)rise);
    node_proto_float(e->arena, p, "out_bias", (float)lo);
    p = export_node(e, n, "", "Mul");
    node_proto_in(e->arena, p, codes);
    node_proto_in(e->arena, p, step);
    node_proto_out(e->arena, p, y);
}

/* The distance of the codes; 0 where they have several. */
static int common_rise(const Quantizer *q) {
    int rise = q->n ? q->code[1] - q->code[0] : 1;
    for (int k = 1; k < q->n; k++)
        if (q->code[k + 1] - q->code[k] != rise) return 0;
    return rise;
}

/* The width whose range this is; 0 if there is none. */
static int width_of(const Quantizer *q, bool *is_signed, bool *narrow) {
    *is_signed = q->lo < 0;
    for (int bits = *is_signed ? 2 : 1; bits <= 16; bits++) {
        int lo = *is_signed ? -(1 << (bits - 1)) : 0, hi = *is_signed ? (1 << (bits - 1)) - 1 : (1 << bits) - 1;
        *narrow = *is_signed ? q->lo == lo + 1 && q->hi == hi : q->hi == hi - 1;
        if (*narrow || (q->lo == lo && q->hi == hi)) return bits;
    }
    return 0;
}

static void qonnx_activation(Export *e, const Node *n, const Quantizer *q) {
    bool is_signed = false, narrow = false;
    int bits = q->form == QUANT_UNIFORM ? width_of(q, &is_signed, &narrow) : 0;
    if (bits || q->form == QUANT_SIGN) {
        const char *x = export_name(e, n->in[X_VALUE]), *step = export_name(e, n->in[STEP]);
        write_quant(e, n, x, step, bits == 0, bits, is_signed, narrow);
    } else if (common_rise(q) && in_shape(n, X_VALUE)->rank >= 2) {
        write_thresholds(e, n, q, common_rise(q));
    } else {
        export_unsaid(e, n, "its levels lie at unequal distances");
    }
}

/* ---- activations: qdq ---- */

/* QuantizeLinear, Clip where the range is not a type's, DequantizeLinear. A range that does not begin at a type's end
 * has a zero point, which is added after rounding. */
static void qdq_activation(Export *e, const Node *n, const Quantizer *q) {
    Elem elem = q->lo == 0 ? QCC_U8 : q->lo >= -128 && q->hi <= 127 ? QCC_I8 : QCC_U8;
    int zero = elem == QCC_U8 ? -q->lo : 0, lo = q->lo + zero, hi = q->hi + zero;
    int least = elem == QCC_U8 ? 0 : -128, most = elem == QCC_U8 ? 255 : 127;
    if (lo < least || hi > most || zero < 0) {
        export_unsaid(e, n, "its codes do not fit 8 bits");
        return;
    }
    Arena *a = e->arena;
    int64_t bounds[] = {lo, hi, zero};
    const char *x = export_name(e, n->in[X_VALUE]), *y = export_name(e, n->out[0]), *step = export_name(e, n->in[STEP]);
    const char *point = export_constant(e, "zero_point", tensor_from_ints(a, elem, (Shape){.rank = 0}, &bounds[2]));
    const char *codes = export_fresh(e, arena_printf(a, "%s_codes", y));
    Onnx__NodeProto *p = export_node(e, n, "", "QuantizeLinear");
    node_proto_in(a, p, x);
    node_proto_in(a, p, step);
    node_proto_in(a, p, point);
    node_proto_out(a, p, codes);
    if (lo > least || hi < most) {
        const char *clipped = export_fresh(e, arena_printf(a, "%s_clipped", y));
        const char *min = export_constant(e, "min", tensor_from_ints(a, elem, (Shape){.rank = 0}, &bounds[0]));
        const char *max = export_constant(e, "max", tensor_from_ints(a, elem, (Shape){.rank = 0}, &bounds[1]));
        p = export_node(e, n, "", "Clip");
        node_proto_in(a, p, codes);
        node_proto_in(a, p, min);
        node_proto_in(a, p, max);
        node_proto_out(a, p, clipped);
        codes = clipped;
    }
    p = export_node(e, n, "", "DequantizeLinear");
    node_proto_in(a, p, codes);
    node_proto_in(a, p, step);
    node_proto_in(a, p, point);
    node_proto_out(a, p, y);
}

void dialect_write(Export *e, const Node *n) {
    Quantizer q;
    if (in_const(n, X_VALUE))
        write_weights(e, n);
    else if (!read_quantizer(e->arena, n, &q))
        export_unsaid(e, n, "its steps or thresholds differ from channel to channel, or it is for weights");
    else if (e->dialect == DIALECT_QONNX)
        qonnx_activation(e, n, &q);
    else if (q.form == QUANT_UNIFORM)
        qdq_activation(e, n, &q);
    else
        export_unsaid(e, n, "the thresholds of QuantizeLinear lie halfway between levels, its do not");
}
