/* Networks are grown layer by layer from a quantized input. */
#include "tests/net_random.h"

#include "ir/op.h"
#include "tests/codegen_support.h"
#include "tests/net_build.h"
#include "tests/op_case.h"

static Shape shape_like(const Value *v) { return v->type.shape; }
static int spatial_of(const Value *v) { return v->type.shape.rank - 2; }

/* "1,2" */
static const char *list_str(Net *n, int count, const int *v) {
    Text t = {.arena = n->arena};
    for (int i = 0; i < count; i++) text_add(&t, "%s%d", i ? "," : "", v[i]);
    return t.s;
}

/* A factor for each channel, in the shape that broadcasts to rank `rank` along `axis`. */
static Tensor *new_along(Net *n, int64_t count, int rank, int axis) {
    Shape s = {.rank = rank};
    for (int i = 0; i < rank; i++) s.dim[i] = i == axis ? count : 1;
    return tensor_new(n->arena, (Type){QCC_F32, s});
}

/* ---- weights --------------------------------------------------------------------------------------------------- */

typedef enum Letters { BIPOLAR, TERNARY, ODD, POWERS, WHOLE, LETTERS } Letters;

static int draw_letter(Net *n, Letters letters, int bits) {
    int half = 1 << (bits - 1);
    switch (letters) {
    case BIPOLAR:
        return chance(n, 50) ? 1 : -1;
    case TERNARY:
        return draw(n, -1, 1);
    case ODD:
        return 2 * draw(n, -half, half - 1) + 1;
    case POWERS: {
        int k = draw(n, -(bits + 1), bits + 1);
        return k == 0 ? 0 : k < 0 ? -(1 << (-k - 1) % 7) : 1 << (k - 1) % 7;
    }
    default:
        return draw(n, -half, half - 1);
    }
}

/* Weights in the making: whole numbers, and a scale for all or for each index of `axis`. */
typedef struct Weights {
    Letters letters;
    int bits, axis;
    Tensor *codes;       /* i8 */
    const Tensor *scale; /* f32, rank 0, or 1 where each has its own */
    double rms;          /* of the values */
} Weights;

static Tensor *draw_scales(Net *n, int64_t count, bool each, double about) {
    Tensor *t = tensor_new(n->arena, (Type){QCC_F32, each ? DIMS(count) : SCALAR});
    for (int64_t i = 0; i < shape_count(&t->type.shape); i++) tensor_set(t, i, (double)draw_scale(n, about));
    return t;
}

static Weights draw_weights(Net *n, Shape s, int axis, bool may_each) {
    Weights w = {.letters = (Letters)draw(n, 0, LETTERS - 1), .axis = axis};
    w.bits = w.letters == ODD ? draw(n, 1, 6) : draw(n, 2, 8);
    w.codes = tensor_new(n->arena, (Type){QCC_I8, s});
    double sum = 0;
    int64_t count = shape_count(&s);
    for (int64_t i = 0; i < count; i++) {
        int k = draw_letter(n, w.letters, w.bits);
        tensor_set_int(w.codes, i, k);
        sum += k * k;
    }
    double about = chance(n, 50) ? 1 : 0.05;
    bool each = may_each && chance(n, 50);
    w.scale = draw_scales(n, s.dim[axis], each, about);
    w.rms = about * sqrt(sum / (double)i64_max(count, 1)) + 1e-6;
    return w;
}

static int64_t index_along(const Shape *s, int axis, int64_t i) {
    for (int d = s->rank - 1; d > axis; d--) i /= s->dim[d];
    return i % s->dim[axis];
}

static float scale_at(const Weights *w, int64_t i) {
    int64_t at = w->scale->type.shape.rank ? index_along(&w->codes->type.shape, w->axis, i) : 0;
    return (float)tensor_get(w->scale, at);
}

/* The values, each fl(code * scale), and up to `noise` of a step beside that. */
static Value *as_floats(Net *n, const Weights *w, double noise) {
    Tensor *t = tensor_new(n->arena, (Type){QCC_F32, w->codes->type.shape});
    for (int64_t i = 0; i < shape_count(&t->type.shape); i++) {
        double k = tensor_get(w->codes, i) + noise * (2 * draw_unit(n) - 1);
        tensor_set(t, i, (double)((float)k * scale_at(w, i)));
    }
    return constant(n, t);
}

/* The codes in type `elem`, shifted by a zero point, and DequantizeLinear. */
static Value *as_dequantized(Net *n, const Weights *w, Elem elem, int zero) {
    Tensor *t = tensor_new(n->arena, (Type){elem, w->codes->type.shape});
    for (int64_t i = 0; i < shape_count(&t->type.shape); i++) tensor_set_int(t, i, tensor_get_int(w->codes, i) + zero);
    Tensor *z = tensor_new(n->arena, (Type){elem, w->scale->type.shape});
    for (int64_t i = 0; i < shape_count(&z->type.shape); i++) tensor_set_int(z, i, zero);
    const char *attrs = arena_printf(n->arena, "axis=%d", w->axis);
    return NET_NODE(n, DequantizeLinear, attrs, constant(n, t), constant(n, w->scale), constant(n, z));
}

static Value *spread_scale(Net *n, const Weights *w) {
    if (w->scale->type.shape.rank == 0) return constant(n, w->scale);
    Tensor *t = new_along(n, shape_count(&w->scale->type.shape), w->codes->type.shape.rank, w->axis);
    for (int64_t i = 0; i < shape_count(&t->type.shape); i++) tensor_set(t, i, tensor_get(w->scale, i));
    return constant(n, t);
}

static Value *as_qonnx(Net *n, const Weights *w) {
    if (w->letters == BIPOLAR) return NET_NODE(n, BipolarQuant, NULL, as_floats(n, w, 0.4), spread_scale(n, w));
    Value *bits = number(n, w->letters == WHOLE ? w->bits : 8);
    return NET_NODE(n, Quant, NULL, as_floats(n, w, 0.4), spread_scale(n, w), number(n, 0), bits);
}

static Value *as_values(Net *n, const Weights *w) {
    switch (draw(n, 0, 4)) {
    case 0:
        return as_qonnx(n, w);
    case 1:
        return as_dequantized(n, w, QCC_I8, 0);
    case 2:
        if (w->letters == WHOLE && w->bits <= 4) return as_dequantized(n, w, w->bits == 2 ? QCC_I2 : QCC_I4, 0);
        return as_dequantized(n, w, QCC_U8, 128);
    case 3:
        return as_dequantized(n, w, QCC_I16, draw(n, -200, 200));
    default:
        return as_floats(n, w, 0);
    }
}

/* ---- behind products ------------------------------------------------------------------------------------------- */

static Tensor *draw_list(Net *n, int64_t count, double middle, double spread) {
    Tensor *t = tensor_new(n->arena, (Type){QCC_F32, DIMS(count)});
    double grid = n->exact ? exp2(rint(log2(spread)) - 3) : 0;
    for (int64_t i = 0; i < count; i++) {
        double v = middle + spread * draw_normal(n);
        tensor_set(t, i, grid > 0 ? grid * rint(v / grid) : v);
    }
    return t;
}

/* Variances about the square of n->rms. */
static Tensor *draw_variances(Net *n, int64_t count) {
    Tensor *t = draw_list(n, count, 0, 0.3);
    for (int64_t i = 0; i < count; i++) {
        double v = n->rms * exp(tensor_get(t, i) / 2);
        if (n->exact) v = exp2(rint(log2(v)));
        tensor_set(t, i, v * v);
    }
    return t;
}

/* With factors that are negative, zero, or so small that a channel is constant. */
static void normalize(Net *n) {
    int64_t c = channels_of(n->v);
    Tensor *gamma = draw_list(n, c, chance(n, 50), 0.7), *beta = draw_list(n, c, 0, 0.5);
    for (int64_t i = 0; i < c; i++)
        if (chance(n, 10)) tensor_set(gamma, i, n->exact || chance(n, 70) ? 0 : 1e-12);
    Tensor *mean = draw_list(n, c, 0, 0.5 * n->rms), *var = draw_variances(n, c);
    n->v = NET_NODE(n, BatchNormalization, n->exact ? "epsilon=0" : NULL, n->v, constant(n, gamma), constant(n, beta),
                    constant(n, mean), constant(n, var));
    n->rms = 1;
}

static Value *bias_of(Net *n, int64_t channels) { return constant(n, draw_list(n, channels, 0, 0.5 * n->rms)); }

/* What stands between a product and the quantizer behind it. */
static void dress(Net *n) {
    if (chance(n, 60)) normalize(n);
    if (chance(n, 10)) n->v = NET_NODE(n, Mul, NULL, n->v, number(n, (double)draw_scale(n, 1)));
    int kind = draw(n, 0, 9);
    if (kind < 3) n->v = NET_NODE(n, Relu, NULL, n->v);
    if (kind == 3) n->v = NET_NODE(n, Clip, NULL, n->v, number(n, -n->rms), number(n, n->rms));
    if (kind == 4) n->v = NET_NODE(n, LeakyRelu, "alpha=0.125", n->v);
}

static void set_quantized(Net *n) { n->v = net_quantize(n, n->v), n->rms = 1; }

/* How large the elements are follows from clipping and padding too: the network so far is evaluated. */
static void measure(Net *n) {
    size_t outputs = n->graph->outputs.n;
    graph_output(n->graph, "probe", n->v);
    const Tensor **in = net_feeds(n->arena, n->graph, n->random.state);
    Tensor **out = NEW_ARRAY(n->arena, Tensor *, outputs + 1);
    Graph *g = graph_clone(n->arena, n->graph);
    n->graph->outputs.n = outputs;
    n->rms = 1;
    if (!graph_eval(n->arena, n->diags, g, in, out, NULL, NULL))
        fail_msg("seed %llu: %s", (unsigned long long)n->seed, test_diags(n->arena, n->diags));
    double sum = 0;
    int64_t count = shape_count(&n->v->type.shape);
    for (int64_t i = 0; i < count; i++) sum += tensor_get(out[outputs], i) * tensor_get(out[outputs], i);
    if (count && sum > 0) n->rms = sqrt(sum / (double)count);
}

/* ---- windows --------------------------------------------------------------------------------------------------- */

typedef struct Window {
    int dims, kernel[2], stride[2], dilation[2], pad[4];
} Window;

/* A window that gives at least one position for each axis of v. `same`: as many as v has. */
static Window draw_window(Net *n, const Value *v, bool same, bool pads_below_kernel) {
    Window w = {.dims = spatial_of(v)};
    for (int i = 0; i < w.dims; i++) {
        int size = (int)v->type.shape.dim[2 + i], *pad = w.pad;
        w.kernel[i] = same ? 2 * draw(n, 0, 1) + 1 : draw(n, 1, 4);
        w.stride[i] = same ? 1 : chance(n, 60) ? 1 : draw(n, 2, 3);
        w.dilation[i] = chance(n, 80) ? 1 : 2;
        int reach = (w.kernel[i] - 1) * w.dilation[i];
        pad[i] = same ? reach / 2 : draw(n, 0, pads_below_kernel ? w.kernel[i] - 1 : 2);
        pad[w.dims + i] = same ? reach / 2 : draw(n, 0, pads_below_kernel ? w.kernel[i] - 1 : 2);
        if (size + pad[i] + pad[w.dims + i] > reach) continue;
        w.kernel[i] = w.stride[i] = w.dilation[i] = 1;
        pad[i] = pad[w.dims + i] = 0;
    }
    return w;
}

static const char *window_str(Net *n, const Window *w) {
    Text t = {.arena = n->arena};
    text_add(&t, "kernel_shape=%s ", list_str(n, w->dims, w->kernel));
    text_add(&t, "strides=%s ", list_str(n, w->dims, w->stride));
    text_add(&t, "dilations=%s ", list_str(n, w->dims, w->dilation));
    text_add(&t, "pads=%s", list_str(n, 2 * w->dims, w->pad));
    return t.s;
}

/* ---- layers ---------------------------------------------------------------------------------------------------- */

typedef struct Groups {
    int count, out; /* groups, and channels that come out */
} Groups;

static int draw_channels(Net *n) { return chance(n, 20) ? draw(n, 30, 70) : draw(n, 1, 20); }

/* One group, one for each channel, or some. */
static Groups draw_groups(Net *n, int64_t channels, int keep) {
    Groups g = {1, keep ? keep : draw_channels(n)};
    if (chance(n, 65) || (keep && keep != channels)) return g;
    int some = draw(n, 2, 5);
    g.count = chance(n, 50) && channels % some == 0 ? some : (int)channels;
    if (!keep) g.out = g.count * draw(n, 1, g.count > 5 ? 2 : 6);
    return g;
}

static Shape weight_shape(const Window *w, int64_t first, int64_t second) {
    Shape s = {.rank = 2 + w->dims, .dim = {first, second}};
    for (int i = 0; i < w->dims; i++) s.dim[2 + i] = w->kernel[i];
    return s;
}

/* keep: the number of channels that come out, at as many positions as come in; 0: any. */
static void convolve(Net *n, int keep) {
    Window win = draw_window(n, n->v, keep != 0, false);
    int64_t in = channels_of(n->v);
    Groups g = draw_groups(n, in, keep);
    Shape s = weight_shape(&win, g.out, in / g.count);
    Weights w = draw_weights(n, s, 0, true);
    const char *attrs = arena_printf(n->arena, "%s group=%d", window_str(n, &win), g.count);
    n->rms *= w.rms * sqrt((double)(shape_count(&s) / g.out));
    Value *weights = as_values(n, &w);
    n->v = chance(n, 40) ? NET_NODE(n, Conv, attrs, n->v, weights, bias_of(n, g.out))
                         : NET_NODE(n, Conv, attrs, n->v, weights);
}

static void convolve_transposed(Net *n) {
    Window win = draw_window(n, n->v, false, false);
    for (int i = 0; i < win.dims; i++) {
        win.pad[i] = win.pad[win.dims + i] = 0;
        win.dilation[i] = 1;
    }
    int64_t in = channels_of(n->v), out = draw(n, 1, 12);
    Weights w = draw_weights(n, weight_shape(&win, in, out), 1, true);
    Value *weights = as_values(n, &w);
    n->v = NET_NODE(n, ConvTranspose, window_str(n, &win), n->v, weights);
}

/* The convolution of codes: QLinearConv. */
static void convolve_codes(Net *n) {
    Window win = draw_window(n, n->v, false, false);
    int64_t in = channels_of(n->v);
    Groups g = draw_groups(n, in, 0);
    Shape s = weight_shape(&win, g.out, in / g.count);
    Weights w = draw_weights(n, s, 0, true);
    Coding x = net_coding(n, true);
    n->rms *= w.rms * sqrt((double)(shape_count(&s) / g.out));
    Coding y = net_coding(n, true);
    const char *attrs = arena_printf(n->arena, "%s group=%d", window_str(n, &win), g.count);
    Tensor *bias = tensor_new(n->arena, (Type){QCC_I32, DIMS(g.out)});
    for (int i = 0; i < g.out; i++) tensor_set_int(bias, i, draw(n, -300, 300));
    Value *xs = number(n, (double)x.scale), *xz = zero_of(n, &x), *ys = number(n, (double)y.scale),
          *yz = zero_of(n, &y), *codes = net_encode(n, n->v, &x);
    Value *v = NET_NODE(n, QLinearConv, attrs, codes, xs, xz, constant(n, w.codes), constant(n, w.scale),
                        number_of(n, QCC_I8, 0), ys, yz, constant(n, bias));
    n->v = net_decode(n, v, &y);
}

/* ConvInteger, and its sums as floats. */
static void convolve_integers(Net *n) {
    Window win = draw_window(n, n->v, false, false);
    int64_t in = channels_of(n->v), out = draw_channels(n);
    Weights w = draw_weights(n, weight_shape(&win, out, in), 0, false);
    Coding x = net_coding(n, true);
    Value *codes = net_encode(n, n->v, &x), *zero = zero_of(n, &x), *wz = number_of(n, QCC_I8, chance(n, 70) ? 0 : 3);
    Value *sum = NET_NODE(n, ConvInteger, window_str(n, &win), codes, constant(n, w.codes), zero, wz);
    n->v = NET_NODE(n, Mul, NULL, NET_NODE(n, Cast, "to=1", sum), number(n, (double)(x.scale * scale_at(&w, 0))));
}

/* Whole numbers all through, as integer networks written in floats have them. */
static void convolve_whole(Net *n) {
    static const char *const shifts[] = {"div=16 n_levels=16", "div=128 n_levels=256 signed=0", "div=4096"};
    n->v = NET_NODE(n, Quant, NULL, n->v, number(n, exp2(rint(log2(n->rms)) - 2)), number(n, 0), number(n, 4));
    n->v = NET_NODE(n, Mul, NULL, n->v, number(n, exp2(2 - rint(log2(n->rms)))));
    Window win = draw_window(n, n->v, false, false);
    int64_t in = channels_of(n->v), out = draw_channels(n);
    Weights w = draw_weights(n, weight_shape(&win, out, in), 0, false);
    Tensor *one = tensor_new(n->arena, (Type){QCC_F32, SCALAR});
    tensor_set(one, 0, 1);
    w.scale = one;
    n->v = NET_NODE(n, Conv, window_str(n, &win), n->v, as_floats(n, &w, 0));
    int rank = n->v->type.shape.rank;
    Tensor *mul = new_along(n, out, rank, 1), *add = new_along(n, out, rank, 1);
    for (int64_t i = 0; i < out; i++) {
        tensor_set(mul, i, draw(n, -20, 40));
        tensor_set(add, i, draw(n, -300, 300));
    }
    n->v = NET_NODE(n, RequantShift, shifts[draw(n, 0, 2)], n->v, constant(n, mul), constant(n, add));
}

static void product_layer(Net *n) {
    int kind = draw(n, 0, 99);
    if (kind < 72)
        convolve(n, 0);
    else if (kind < 80)
        convolve_transposed(n);
    else if (kind < 90)
        convolve_codes(n);
    else if (kind < 96)
        convolve_integers(n);
    else
        convolve_whole(n);
    measure(n);
    dress(n);
    measure(n);
    set_quantized(n);
}

/* A branch beside nothing or beside another, added. */
static void shortcut_layer(Net *n) {
    Value *x = n->v;
    double rms = n->rms;
    int channels = (int)channels_of(x);
    convolve(n, channels);
    measure(n);
    dress(n);
    Value *y = n->v;
    if (chance(n, 40)) {
        measure(n);
        y = net_quantize(n, y);
    }
    if (chance(n, 40)) {
        n->v = x;
        n->rms = rms;
        convolve(n, channels);
        measure(n);
        dress(n);
        x = n->v;
    }
    n->v = NET_NODE(n, Add, NULL, y, x);
    if (chance(n, 40)) n->v = NET_NODE(n, Relu, NULL, n->v);
    measure(n);
    set_quantized(n);
}

/* QLinearAdd of the codes of two branches. */
static void add_codes_layer(Net *n) {
    Value *x = n->v;
    Coding a = net_coding(n, true);
    convolve(n, (int)channels_of(x));
    measure(n);
    Coding b = net_coding(n, true), y = net_coding(n, true);
    b.elem = y.elem = a.elem;
    b.zero = y.zero = a.zero;
    Value *codes[] = {net_encode(n, x, &a), net_encode(n, n->v, &b)};
    Value *sum = NET_NODE(n, QLinearAdd, NULL, codes[0], number(n, (double)a.scale), zero_of(n, &a), codes[1],
                          number(n, (double)b.scale), zero_of(n, &b), number(n, (double)y.scale), zero_of(n, &y));
    n->v = net_decode(n, sum, &y);
}

/* The product of two branches, one of them turned: MatMul over the last two dimensions. */
static void attend_layer(Net *n) {
    Value *x = n->v;
    convolve(n, (int)channels_of(x));
    measure(n);
    dress(n);
    measure(n);
    set_quantized(n);
    Value *turned = NET_NODE(n, Transpose, x->type.shape.rank == 4 ? "perm=0,1,3,2" : "perm=0,2,1", n->v);
    n->v = chance(n, 50) ? NET_NODE(n, MatMul, NULL, x, turned) : NET_NODE(n, MatMul, NULL, turned, x);
    measure(n);
    dress(n);
    measure(n);
    set_quantized(n);
}

static void concat_layer(Net *n) {
    Value *x = n->v;
    double rms = n->rms;
    bool codes = chance(n, 50);
    Value *part[2];
    for (int i = 0; i < 2; i++) {
        n->v = x;
        n->rms = rms;
        convolve(n, draw_channels(n) * (int)channels_of(x) % 23 + 1);
        measure(n);
        dress(n);
        if (codes) measure(n);
        if (codes) set_quantized(n);
        part[i] = n->v;
    }
    n->v = NET_NODE(n, Concat, "axis=1", part[0], chance(n, 20) ? x : part[1]);
    measure(n);
    set_quantized(n);
}

static void pool_layer(Net *n) {
    Window w = draw_window(n, n->v, false, true);
    int64_t least = n->v->type.shape.dim[2];
    if (spatial_of(n->v) == 2) least = i64_min(least, n->v->type.shape.dim[3]);
    if (least > 1 && chance(n, 20)) {
        n->v = net_average_truncated(n, n->v, n->exact || chance(n, 50) ? 2 : (int)i64_min(least, 3));
        return;
    }
    for (int i = 0; i < w.dims; i++) w.dilation[i] = 1;
    if (chance(n, 60)) {
        n->v = NET_NODE(n, MaxPool, window_str(n, &w), n->v);
        return;
    }
    for (int i = 0; i < w.dims; i++)
        if (n->exact && w.kernel[i] == 3) w.kernel[i] = 1, w.pad[i] = w.pad[w.dims + i] = 0;
    int counted = draw(n, 0, 1);
    const char *attrs = arena_printf(n->arena, "%s count_include_pad=%d", window_str(n, &w), counted || n->exact);
    n->v =
        chance(n, 70) || n->exact ? NET_NODE(n, AveragePool, attrs, n->v) : NET_NODE(n, GlobalAveragePool, NULL, n->v);
    measure(n);
    set_quantized(n);
}

/* A larger image of the same codes, which may meet a branch. */
static void resize_layer(Net *n) {
    const Shape *s = &n->v->type.shape;
    Tensor *scales = tensor_new(n->arena, (Type){QCC_F32, DIMS(s->rank)});
    for (int i = 0; i < s->rank; i++) tensor_set(scales, i, i < 2 || s->dim[i] > 11 ? 1 : draw(n, 1, 3));
    const char *how =
        chance(n, 50) ? "mode=nearest coordinate_transformation_mode=asymmetric nearest_mode=floor" : "mode=nearest";
    Value *x = NET_NODE(n, Resize, how, n->v, NULL, constant(n, scales));
    n->v = x;
    if (chance(n, 60)) {
        convolve(n, (int)channels_of(x));
        measure(n);
        set_quantized(n);
        n->v = NET_NODE(n, Add, NULL, n->v, x);
    }
    measure(n);
    set_quantized(n);
}

/* Of codes: QLinearMatMul, or MatMulInteger and its sums as floats. */
static void connect_codes(Net *n, const Weights *w) {
    Coding x = net_coding(n, true);
    Value *codes = net_encode(n, n->v, &x), *none = number_of(n, QCC_I8, 0), *zero = zero_of(n, &x);
    if (chance(n, 50)) {
        Value *sum = NET_NODE(n, MatMulInteger, NULL, codes, constant(n, w->codes), zero, none);
        n->v = NET_NODE(n, Mul, NULL, NET_NODE(n, Cast, "to=1", sum), number(n, (double)(x.scale * scale_at(w, 0))));
        return;
    }
    n->rms *= w->rms * sqrt((double)w->codes->type.shape.dim[0]);
    Coding y = net_coding(n, true);
    Value *scale = number(n, (double)scale_at(w, 0)), *xs = number(n, (double)x.scale),
          *ys = number(n, (double)y.scale);
    Value *v =
        NET_NODE(n, QLinearMatMul, NULL, codes, xs, zero, constant(n, w->codes), scale, none, ys, zero_of(n, &y));
    n->v = net_decode(n, v, &y);
}

/* The fully connected end: codes of rank 2. */
static void connect_layer(Net *n) {
    Shape s = shape_like(n->v);
    int64_t rest = shape_count(&s) / s.dim[0], out = draw(n, 1, 20);
    n->v = NET_NODE(n, Flatten, NULL, n->v);
    bool turned = chance(n, 50);
    if (chance(n, 20)) {
        Weights w = draw_weights(n, DIMS(rest, out), 1, false);
        connect_codes(n, &w);
        return;
    }
    Weights w = draw_weights(n, turned ? DIMS(out, rest) : DIMS(rest, out), turned ? 0 : 1, true);
    n->rms *= w.rms * sqrt((double)rest);
    Value *weights = as_values(n, &w);
    if (turned && chance(n, 50))
        n->v = NET_NODE(n, MatMul, NULL, n->v, NET_NODE(n, Transpose, NULL, weights));
    else if (turned)
        n->v = NET_NODE(n, Gemm, "transB=1", n->v, weights, bias_of(n, out));
    else
        n->v = chance(n, 50) ? NET_NODE(n, Gemm, NULL, n->v, weights) : NET_NODE(n, MatMul, NULL, n->v, weights);
    measure(n);
    if (chance(n, 40)) n->v = NET_NODE(n, Add, NULL, n->v, bias_of(n, out));
}

static void inner_layer(Net *n) {
    int kind = draw(n, 0, 99);
    if (kind < 44)
        product_layer(n);
    else if (kind < 50)
        attend_layer(n);
    else if (kind < 65)
        shortcut_layer(n);
    else if (kind < 72)
        add_codes_layer(n);
    else if (kind < 84)
        concat_layer(n);
    else if (kind < 96)
        pool_layer(n);
    else
        resize_layer(n);
    measure(n);
}

/* ---- whole networks -------------------------------------------------------------------------------------------- */

static void begin(Net *n) {
    Shape s = {.rank = chance(n, 85) ? 4 : 3, .dim = {chance(n, 85) ? 1 : 2}};
    s.dim[1] = draw(n, 1, 9);
    for (int i = 2; i < s.rank; i++) s.dim[i] = draw(n, 1, 11);
    n->rms = 1;
    if (chance(n, 20)) {
        Coding c = net_coding(n, true);
        n->v = net_decode(n, graph_input(n->graph, "x", (Type){c.elem, s}), &c);
    } else {
        n->v = graph_input(n->graph, "x", (Type){QCC_F32, s});
        n->v = net_quantize_linear(n, n->v);
    }
    measure(n);
}

/* The end as codes and perhaps as it is. */
static void end(Net *n) {
    measure(n);
    Coding c = net_coding(n, true);
    if (chance(n, 50)) graph_output(n->graph, "values", n->v);
    graph_output(n->graph, "codes", net_encode(n, n->v, &c));
}

Graph *net_random(Arena *a, Diags *d, uint64_t seed, int layers, bool exact) {
    Net n = {
        .arena = a, .diags = d, .graph = graph_new(a, NULL, "net"), .seed = seed, .random = {seed}, .exact = exact};
    n.graph->source = "net.onnx";
    begin(&n);
    int inner = draw(&n, 1, NET_LAYERS - 1);
    bool connected = chance(&n, 60);
    for (int i = 0; i < inner && i < layers; i++) inner_layer(&n);
    if (connected && layers > inner) connect_layer(&n);
    end(&n);
    return n.graph;
}

const Tensor **net_feeds(Arena *a, const Graph *g, uint64_t seed) {
    const Tensor **in = NEW_ARRAY(a, const Tensor *, g->inputs.n + 1);
    Random r = {seed};
    for (size_t i = 0; i < g->inputs.n; i++) {
        Type t = g->inputs.at[i].value->type;
        Tensor *x = tensor_new(a, t);
        int most = elem_info[t.elem].kind == ELEM_I ? 127 : 255;
        for (int64_t k = 0; k < shape_count(&t.shape); k++) {
            if (elem_is_float(t.elem))
                tensor_set(x, k, (double)random_int(&r, -4096, 4096) / 1024);
            else
                tensor_set_int(x, k, random_int(&r, most - 255, most));
        }
        in[i] = x;
    }
    return in;
}
