/* Quantizers of activations as the dialects write them, drawn at random. */
#include "ir/op.h"
#include "tests/codegen_support.h"
#include "tests/net_build.h"
#include "tests/op_case.h"

#include <stdlib.h>

Value *net_node(Net *n, OpId op, const char *attrs, int n_in, Value *const *in) {
    Loc loc = LOC_NONE;
    loc.file = "net.onnx";
    Node *m = graph_node(n->graph, NULL, op, loc, n_in, in, 1);
    if (attrs) node_set_attrs_text(m, attrs);
    if (!node_infer(n->diags, m))
        fail_msg("seed %llu: %s", (unsigned long long)n->seed, test_diags(n->arena, n->diags));
    return m->out[0];
}

Coding net_coding(Net *n, bool bytes) {
    static const Elem elems[] = {QCC_U8, QCC_I8, QCC_U4, QCC_I4, QCC_U2, QCC_I2};
    Coding c = {.elem = elems[draw(n, 0, bytes ? 1 : 5)]};
    int bits = elem_info[c.elem].bits, half = 1 << (bits - 1);
    bool is_signed = elem_info[c.elem].kind == ELEM_I;
    c.scale = draw_scale(n, n->rms * 2 / half);
    if (chance(n, 50)) c.zero = is_signed ? 0 : half;
    if (chance(n, 30)) c.zero = is_signed ? draw(n, -half, half - 1) : draw(n, 0, 2 * half - 1);
    return c;
}

Value *net_encode(Net *n, Value *v, const Coding *c) {
    return NET_NODE(n, QuantizeLinear, NULL, v, number(n, (double)c->scale), zero_of(n, c));
}
Value *net_decode(Net *n, Value *v, const Coding *c) {
    return NET_NODE(n, DequantizeLinear, NULL, v, number(n, (double)c->scale), zero_of(n, c));
}

/* Some codes are cut at others: at multiples of the scale about 0, in range or beyond. */
static Value *perhaps_clip(Net *n, Value *v, float scale) {
    if (!chance(n, 15)) return v;
    int most = chance(n, 50) ? 4 : 40;
    Value *lo = number(n, (double)((float)draw(n, -most, 0) * scale));
    Value *hi = number(n, (double)((float)draw(n, 0, most) * scale));
    if (chance(n, 30)) return NET_NODE(n, Clip, NULL, v, lo);
    return NET_NODE(n, Clip, NULL, v, chance(n, 30) ? NULL : lo, hi);
}

Value *net_quantize_linear(Net *n, Value *v) {
    Coding c = net_coding(n, false);
    bool cut = elem_info[c.elem].bits == 8 && chance(n, 40);
    int bits = draw(n, 2, 7), half = 1 << (bits - 1);
    bool is_signed = elem_info[c.elem].kind == ELEM_I;
    if (cut) c.zero = is_signed ? 0 : draw(n, 0, 2 * half - 1);
    if (cut) c.scale = draw_scale(n, n->rms * 2 / half);
    v = net_encode(n, v, &c);
    if (cut)
        v = NET_NODE(n, Clip, NULL, v, number_of(n, c.elem, is_signed ? -half + (bits < 4) : 0),
                     number_of(n, c.elem, is_signed ? half - 1 : 2 * half - 1));
    return perhaps_clip(n, net_decode(n, v, &c), c.scale);
}

static const char *draw_mode(Net *n) {
    static const char *const modes[] = {"ROUND", "ROUND", "ROUND", "FLOOR", "CEIL", "HALF_UP", "HALF_DOWN"};
    return modes[draw(n, 0, (int)COUNT_OF(modes) - 1)];
}

static Value *quantize_qonnx(Net *n, Value *v) {
    int bits = draw(n, 1, 8), is_signed = draw(n, 0, 1), narrow = bits > 1 && chance(n, 30);
    double zero = chance(n, 15) ? draw(n, 0, (1 << bits) - 1) : 0;
    if (bits == 1 && is_signed) zero = 0;
    float scale = draw_scale(n, n->rms * 3 / (1 << bits));
    const char *attrs = arena_printf(n->arena, "signed=%d narrow=%d rounding_mode=%s", is_signed, narrow, draw_mode(n));
    v = NET_NODE(n, Quant, attrs, v, number(n, (double)scale), number(n, zero), number(n, bits));
    return zero == 0 ? perhaps_clip(n, v, scale) : v;
}

/* Codes of `bits` bits, finer than those in front by `area`, of which Trunc keeps the upper ones; the scale stays, or
 * grows by the power of two that was dropped. */
static Value *truncate_codes(Net *n, Value *v, double scale, int bits, int keep, bool is_signed) {
    const char *attrs = arena_printf(n->arena, "signed=%d rounding_mode=%s", is_signed, draw_mode(n));
    Value *to = chance(n, 50) ? NULL : number(n, ldexp(scale, bits - keep));
    return NET_NODE(n, Trunc, attrs, v, number(n, scale), number(n, 0), number(n, bits), to, number(n, keep));
}

static Value *quantize_truncated(Net *n, Value *v) {
    int bits = draw(n, 3, 8), is_signed = draw(n, 0, 1);
    double scale = (double)draw_scale(n, n->rms * 3 / (1 << bits));
    v = NET_NODE(n, Quant, is_signed ? NULL : "signed=0", v, number(n, scale), number(n, 0), number(n, bits));
    return truncate_codes(n, v, scale, bits, draw(n, 1, bits - 1), is_signed);
}

Value *net_average_truncated(Net *n, Value *v, int k) {
    int bits = draw(n, 2, 6), is_signed = draw(n, 0, 1), axes = v->type.shape.rank - 2, area = axes == 2 ? k * k : k;
    double scale = (double)draw_scale(n, n->rms * 3 / (1 << bits));
    v = NET_NODE(n, Quant, is_signed ? NULL : "signed=0", v, number(n, scale), number(n, 0), number(n, bits));
    v = NET_NODE(n, AveragePool, arena_printf(n->arena, axes == 2 ? "kernel_shape=%d,%d" : "kernel_shape=%d", k, k), v);
    int more = (int)ceil(log2(area));
    return truncate_codes(n, v, (double)((float)scale / (float)area), bits + more, bits, is_signed);
}

static Value *quantize_bipolar(Net *n, Value *v) {
    return NET_NODE(n, BipolarQuant, NULL, v, number(n, (double)draw_scale(n, 1)));
}

static int compare_floats(const void *p, const void *q) {
    double a = *(const double *)p, b = *(const double *)q;
    return (a > b) - (a < b);
}

/* Thresholds of each channel or of all; some of them equal, some on what sums of powers of two can be. */
static Value *quantize_thresholds(Net *n, Value *v) {
    int count = chance(n, 10) ? draw(n, 16, 255) : draw(n, 1, 15), rows = chance(n, 50) ? 1 : (int)channels_of(v);
    double grid = chance(n, 50) ? exp2(rint(log2(n->rms)) - 3) : 0, *row = NEW_ARRAY(n->arena, double, count);
    Tensor *t = tensor_new(n->arena, (Type){QCC_F32, DIMS(rows, count)});
    for (int r = 0; r < rows; r++) {
        for (int i = 0; i < count; i++) {
            row[i] = 1.5 * n->rms * draw_normal(n);
            if (grid > 0) row[i] = grid * rint(row[i] / grid);
        }
        qsort(row, (size_t)count, sizeof *row, compare_floats);
        for (int i = 0; i < count; i++) tensor_set(t, r * count + i, row[i]);
    }
    int steps = chance(n, 50) ? 0 : -(count + 1) / 2;
    double scale = chance(n, 40) ? 1 : chance(n, 30) ? 2 : (double)draw_scale(n, 0.25);
    if (steps) scale = exp2(rint(log2(scale))); /* else count * scale + bias is rounded twice and no multiple */
    const char *attrs = arena_printf(n->arena, "out_scale=%.9g out_bias=%.9g", scale, (double)(float)(steps * scale));
    return NET_NODE(n, MultiThreshold, attrs, v, constant(n, t));
}

/* Quantizers written in comparisons and signs, as binary and ternary networks have them. */
static Value *quantize_idiom(Net *n, Value *v) {
    double at = chance(n, 50) ? 0 : n->rms * draw_normal(n) / 2, size = (double)draw_scale(n, 1);
    if (chance(n, 30)) return NET_NODE(n, Mul, NULL, NET_NODE(n, Sign, NULL, v), number(n, size));
    Value *up = chance(n, 50) ? NET_NODE(n, Greater, NULL, v, number(n, at))
                              : NET_NODE(n, GreaterOrEqual, NULL, v, number(n, at));
    if (chance(n, 50)) return NET_NODE(n, Where, NULL, up, number(n, size), number(n, -size));
    return NET_NODE(n, Sub, NULL, NET_NODE(n, Mul, NULL, NET_NODE(n, Cast, "to=1", up), number(n, 2)), number(n, 1));
}

/* The schemes' own with levels at any distances: those of the released HWGQ, or what was drawn. */
static Value *quantize_levels(Net *n, Value *v) {
    static const int hwgq[] = {0, 3, 10}, powers[] = {0, 1, 2, 4, 8, 16};
    bool half = chance(n, 50);
    int count = half ? 2 : draw(n, 1, 5);
    float step = draw_scale(n, n->rms / (half ? 6 : 4));
    Tensor *thr = tensor_new(n->arena, (Type){QCC_F32, DIMS(count)});
    Tensor *code = tensor_new(n->arena, (Type){QCC_F32, DIMS(count + 1)});
    for (int i = 0; i <= count; i++) {
        int below = i ? (int)tensor_get(code, i - 1) : 0;
        tensor_set(code, i, half ? hwgq[i] : powers[i]);
        if (i) tensor_set(thr, i - 1, (double)((float)(tensor_get(code, i) + below) / 2 * step));
    }
    Value *in[] = {v, number(n, (double)step), constant(n, thr), constant(n, code)};
    return net_node(n, half || chance(n, 50) ? OP_QLevels : OP_QMagnitude, NULL, COUNT_OF(in), in);
}

static Value *quantize_scheme(Net *n, Value *v) {
    int hi = (1 << draw(n, 1, 8)) - 1;
    float step = draw_scale(n, 2 * n->rms / hi);
    Value *s = number(n, (double)step);
    switch (draw(n, 0, 9)) {
    case 0:
        return NET_NODE(n, QSign, NULL, v, s);
    case 1:
        return NET_NODE(n, QOdd, NULL, v, s, number(n, hi));
    case 2:
    case 3:
        return quantize_levels(n, v);
    case 4:
    case 5:
    case 6:
        return perhaps_clip(n, NET_NODE(n, QHwgq, NULL, v, s, number(n, hi)), step);
    default:
        return perhaps_clip(n, NET_NODE(n, QUniform, NULL, v, s, number(n, draw(n, -hi, 0)), number(n, hi)), step);
    }
}

/* What is learned as clip(x, 0, alpha) and a division of that interval (PACT), or written out in division, rounding and
 * clipping. */
static Value *quantize_written(Net *n, Value *v) {
    int hi = (1 << draw(n, 1, 8)) - 1, lo = chance(n, 50) ? 0 : -hi;
    double scale = (double)draw_scale(n, 2 * n->rms / hi);
    if (chance(n, 50)) {
        v = NET_NODE(n, Clip, NULL, v, number(n, lo * scale), number(n, hi * scale));
        return NET_NODE(n, Mul, NULL, NET_NODE(n, Round, NULL, NET_NODE(n, Div, NULL, v, number(n, scale))),
                        number(n, scale));
    }
    v = NET_NODE(n, Div, NULL, v, number(n, scale));
    v = chance(n, 50) ? NET_NODE(n, Round, NULL, v)
                      : NET_NODE(n, Floor, NULL, NET_NODE(n, Add, NULL, v, number(n, 0.5)));
    return NET_NODE(n, Mul, NULL, NET_NODE(n, Clip, NULL, v, number(n, lo), number(n, hi)), number(n, scale));
}

Value *net_quantize(Net *n, Value *v) {
    static Value *(*const kinds[])(Net *, Value *) = {net_quantize_linear, net_quantize_linear, quantize_qonnx,
                                                      quantize_qonnx,      quantize_bipolar,    quantize_thresholds,
                                                      quantize_thresholds, quantize_idiom,      quantize_scheme,
                                                      quantize_scheme,     quantize_written,    quantize_truncated};
    return kinds[draw(n, 0, (int)COUNT_OF(kinds) - 1)](n, v);
}
