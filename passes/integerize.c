/* Layers on scaled integers become exact integer products: where the operands of a convolution or matrix product are
 * fl32(scale * integers), the product of the integers is summed exactly, converted to f32 and multiplied by
 * fl32(scale of x * scale of w); bias and everything behind it follow as the graph has them, each rounded. Averages and
 * sums of scaled integers likewise sum integers. This defines what a quantized network means here: every compiled form
 * is held to it bit for bit, and the float graph differs from it by the rounding of its float sums only.
 *
 * It looks at float operators alone, after quantizers of every dialect were expanded into rounding, clipping and
 * scaling, and at constants whatever stored them. Batch normalisation behind such a layer is no longer behind a float
 * layer, so it is not folded into weights.
 *
 * Requires: composite operators but batch normalisation expanded, constants folded. Keeps: results of the float layers
 * to the bit. Breaks: canonical form (new scales may be folded, old quantizers may be dead). */
#include "ir/ops/window.h"
#include "passes/codes.h"
#include "passes/pass.h"
#include "passes/report.h"
#include "passes/rewrite.h"
#include "quant/alphabet.h"
#include "quant/scaled.h"

/* ---- operands -------------------------------------------------------------------------------------------------- */

/* Weights: integers, and a scale for all or (rank 1) for each output channel. */
static bool weight_codes(CodeTable *t, Value *w, int axis, Codes *out) {
    if (!w->constant) {
        const Codes *c = codes_of(t, w);
        if (c) *out = *c;
        return c != NULL;
    }
    ScaledTensor s;
    if (!scaled_find(t->graph->arena, w->constant, axis, &s)) {
        t->why = "the weights have no scale of which all are small multiples";
        return false;
    }
    bool unit = s.scale->type.shape.rank == 0 && tensor_get(s.scale, 0) == 1;
    *out = (Codes){graph_constant(t->graph, w->name, s.codes), unit ? NULL : graph_constant(t->graph, "", s.scale)};
    return true;
}

/* Weights of u16 have no kernel. */
static bool narrow_weights(CodeTable *t, Node *before, Codes *w) {
    Range r;
    if (w->ints->type.elem != QCC_U16) return true;
    t->why = "the weights need more than 16 bits with a sign";
    if (!range_of(&t->ranges, w->ints, &r) || r.hi > INT16_MAX) return false;
    w->ints = build_cast(t->graph, before, before->loc, w->ints, QCC_I16);
    return true;
}

/* A list of scales along dimension `axis` of a tensor of `rank`. */
static Value *along(CodeTable *t, Node *before, Value *scale, int rank, int axis) {
    if (!scale || scale->type.shape.rank == 0) return scale;
    Shape s = {.rank = rank};
    for (int i = 0; i < rank; i++) s.dim[i] = i == axis ? shape_count(&scale->type.shape) : 1;
    return build_reshape(t->graph, before, before->loc, scale, &s);
}

/* ---- results --------------------------------------------------------------------------------------------------- */

static Value *to_float(CodeTable *t, Node *n, Value *sum, Value *scale) {
    Value *y = build_cast(t->graph, n, n->loc, sum, QCC_F32);
    return scale ? build_node(t->graph, n, n->loc, OP_Mul, NULL, 2, (Value *[]){y, scale}) : y;
}

static Value *add_to(CodeTable *t, Node *n, Value *y, Value *addend) {
    return build_node(t->graph, n, n->loc, OP_Add, NULL, 2, (Value *[]){y, addend});
}

static const char *codes_str(CodeTable *t, const Value *v) {
    Alphabet al;
    Arena *a = t->graph->arena;
    if (v->constant && alphabet_of(v->constant, &al)) return alphabet_str(a, &al);
    Span s = range_span(&t->ranges, v);
    const char *by = s.step > 1 ? arena_printf(a, " by %.0f", s.step) : "";
    return arena_printf(a, "%s %.0f..%.0f%s", elem_info[v->type.elem].name, s.lo + 0.0, s.hi, by);
}

/* Writes down what layer n has become. */
static void describe(CodeTable *t, const Node *n, const Node *q) {
    Report *r = t->graph->report;
    if (!r) return;
    LayerNote *note = report_layer(r, r->arena, n->loc, n->op);
    Span s = range_span(&t->ranges, q->out[0]);
    note->x = codes_str(t, q->in[0]);
    note->w = q->op == OP_ReduceSum ? NULL : codes_str(t, q->in[1]);
    note->lo = s.lo;
    note->hi = s.hi;
}

/* The integer product in front of n, or NULL where its sums might not fit. */
static Value *product(CodeTable *t, Node *n, OpId op, Value *x, Value *w) {
    Node *q = graph_node(t->graph, n, op, n->loc, 2, (Value *[]){x, w}, 1);
    if (op != OP_QMatMul)
        for (int i = 0; i < n->n_attr; i++) node_set_attr(q, &n->attr[i]);
    infer_or_bug(q);
    if (range_sums_fit(&t->ranges, q)) {
        describe(t, n, q);
        return q->out[0];
    }
    graph_erase(q);
    t->why = "the sums may need more than 32 bits";
    return NULL;
}

/* ---- layers ---------------------------------------------------------------------------------------------------- */

static bool convert_conv(CodeTable *t, Node *n) {
    bool transposed = n->op == OP_ConvTranspose;
    int axis = !transposed ? 0 : node_int(n, "group") == 1 ? 1 : -1;
    Codes w;
    const Codes *x = codes_of(t, n->in[0]);
    if (!x || !weight_codes(t, n->in[1], axis, &w) || !narrow_weights(t, n, &w)) return false;
    Value *sum = product(t, n, transposed ? OP_QConvTranspose : OP_QConv, x->ints, w.ints);
    if (!sum) return false;
    int rank = sum->type.shape.rank;
    Value *scale = build_factor(t->graph, n, n->loc, x->scale, along(t, n, w.scale, rank, 1));
    Value *y = to_float(t, n, sum, scale);
    if (has_in(n, 2)) {
        Shape s = {.rank = rank, .dim = {1, 1, 1, 1, 1, 1, 1, 1}};
        s.dim[1] = in_shape(n, 2)->dim[0];
        y = add_to(t, n, y, build_reshape(t->graph, n, n->loc, n->in[2], &s));
    }
    replace_node(n, y);
    return true;
}

static Value *transposed(CodeTable *t, Node *n, Value *v) {
    return build_node(t->graph, n, n->loc, OP_Transpose, "perm=1,0", 1, &v);
}

static Value *number(CodeTable *t, double v) { return v == 1 ? NULL : graph_const_f32(t->graph, (float)v); }

static bool convert_gemm(CodeTable *t, Node *n) {
    bool ta = node_int(n, "transA") != 0, tb = node_int(n, "transB") != 0;
    double beta = node_float(n, "beta");
    Codes b;
    const Codes *a = codes_of(t, n->in[0]);
    if (!a || !weight_codes(t, n->in[1], tb ? 0 : 1, &b) || !narrow_weights(t, n, &b)) return false;
    Value *left = ta ? transposed(t, n, a->ints) : a->ints, *right = tb ? transposed(t, n, b.ints) : b.ints;
    if (right->def && b.ints->constant) { /* known weights must stay known, for their range */
        const Tensor *in[] = {b.ints->constant};
        Tensor *out = NULL;
        Diags d;
        diags_init(&d, t->graph->arena);
        if (!node_eval(t->graph->arena, &d, right->def, in, &out)) bug("weights cannot be transposed");
        graph_erase(right->def);
        right = graph_constant(t->graph, b.ints->name, out);
    }
    Value *sum = product(t, n, OP_QMatMul, left, right);
    if (!sum) return false;
    Value *scale = build_factor(t->graph, n, n->loc, a->scale, along(t, n, b.scale, 2, 1));
    scale = build_factor(t->graph, n, n->loc, scale, number(t, node_float(n, "alpha")));
    Value *y = to_float(t, n, sum, scale);
    if (has_in(n, 2) && beta != 0) y = add_to(t, n, y, build_factor(t->graph, n, n->loc, n->in[2], number(t, beta)));
    replace_node(n, y);
    return true;
}

static bool convert_matmul(CodeTable *t, Node *n) {
    int rank = in_shape(n, 1)->rank;
    Codes b;
    const Codes *a = codes_of(t, n->in[0]);
    if (!a || !weight_codes(t, n->in[1], rank > 1 ? rank - 1 : -1, &b) || !narrow_weights(t, n, &b)) return false;
    Value *sum = product(t, n, OP_QMatMul, a->ints, b.ints);
    if (!sum) return false;
    replace_node(n, to_float(t, n, sum, build_factor(t->graph, n, n->loc, a->scale, b.scale)));
    return true;
}

/* How many elements of the image each window of an AveragePool is divided by, as [1, 1, positions]. */
static Value *window_counts(CodeTable *t, const Node *n, const Window *w) {
    bool with_pads = node_int(n, "count_include_pad") != 0;
    Shape s = {.rank = w->rank + 2, .dim = {1, 1}};
    for (int i = 0; i < w->rank; i++) s.dim[2 + i] = w->out[i];
    Tensor *counts = tensor_new(t->graph->arena, (Type){QCC_F32, s});
    int64_t positions = shape_count(&s);
    for (int64_t at = 0; at < positions; at++) {
        int64_t rest = at, count = 1;
        for (int i = w->rank - 1; i >= 0; i--) {
            int64_t from = rest % w->out[i] * w->stride[i] - w->pad_begin[i], inside = 0;
            int64_t lo = with_pads ? -w->pad_begin[i] : 0, hi = w->in[i] + (with_pads ? w->pad_end[i] : 0);
            for (int64_t k = 0; k < w->kernel[i]; k++)
                inside += from + k * w->dilation[i] >= lo && from + k * w->dilation[i] < hi;
            count *= inside;
            rest /= w->out[i];
        }
        tensor_set(counts, at, (double)count);
    }
    double one;
    if (!constant_is_splat(counts, &one)) return graph_constant(t->graph, "", counts);
    return one == 1 ? NULL : graph_const_f32(t->graph, (float)one);
}

/* Sums over windows are a depthwise convolution with ones; its end pads are such that the same windows come out. */
static Value *window_sums(CodeTable *t, Node *n, const Window *w, Value *x) {
    int64_t channels = x->type.shape.dim[1], pads[2 * MAX_SPATIAL];
    Shape s = {.rank = w->rank + 2, .dim = {channels, 1}};
    for (int i = 0; i < w->rank; i++) {
        s.dim[2 + i] = w->kernel[i];
        pads[i] = w->pad_begin[i];
        int64_t reach = (w->out[i] - 1) * w->stride[i] + window_extent(w, i);
        pads[w->rank + i] = i64_max(0, reach - w->pad_begin[i] - w->in[i]);
    }
    int8_t one = 1;
    Value *ones = graph_constant(t->graph, "", tensor_splat(t->graph->arena, (Type){QCC_I8, s}, &one));
    Node *q = graph_node(t->graph, n, OP_QConv, n->loc, 2, (Value *[]){x, ones}, 1);
    node_set_ints(q, "strides", w->rank, w->stride);
    node_set_ints(q, "dilations", w->rank, w->dilation);
    node_set_ints(q, "pads", 2 * w->rank, pads);
    node_set_int(q, "group", channels);
    infer_or_bug(q);
    return q->out[0];
}

static bool convert_average(CodeTable *t, Node *n) {
    Window w;
    const Codes *x = codes_of(t, n->in[0]);
    if (!x) return false;
    window_of_node(n, &w);
    Value *sum = window_sums(t, n, &w, x->ints);
    if (!range_sums_fit(&t->ranges, sum->def) || !shape_equal(&sum->type.shape, &n->out[0]->type.shape)) {
        graph_erase(sum->def);
        t->why = "the sums may need more than 32 bits";
        return false;
    }
    describe(t, n, sum->def);
    Value *y = build_cast(t->graph, n, n->loc, sum, QCC_F32), *counts = window_counts(t, n, &w);
    if (counts) y = build_node(t->graph, n, n->loc, OP_Div, NULL, 2, (Value *[]){y, counts});
    if (x->scale) y = build_node(t->graph, n, n->loc, OP_Mul, NULL, 2, (Value *[]){y, x->scale});
    replace_node(n, y);
    return true;
}

static bool convert_sum(CodeTable *t, Node *n) {
    int64_t in = shape_count(in_shape(n, 0)), out = shape_count(&n->out[0]->type.shape);
    Range r;
    const Codes *x = codes_of(t, n->in[0]);
    if (!x || in <= 0 || out <= 0) return false;
    if (!range_of(&t->ranges, x->ints, &r)) bug("codes without a range");
    double terms = (double)(in / out);
    if ((double)i64_max(-r.lo, r.hi) * terms > INT32_MAX) {
        t->why = "the sums may need more than 32 bits";
        return false;
    }
    Node *m = graph_node(t->graph, n, OP_ReduceSum, n->loc, n->n_in, n->in, 1);
    for (int i = 0; i < n->n_attr; i++) node_set_attr(m, &n->attr[i]);
    node_set_in(m, 0, build_cast(t->graph, m, n->loc, x->ints, QCC_I32));
    infer_or_bug(m);
    describe(t, n, m);
    replace_node(n, to_float(t, n, m->out[0], x->scale));
    return true;
}

static bool convert(CodeTable *t, Node *n) {
    switch (n->op) {
    case OP_Conv:
    case OP_ConvTranspose:
        return convert_conv(t, n);
    case OP_Gemm:
        return convert_gemm(t, n);
    case OP_MatMul:
        return convert_matmul(t, n);
    case OP_AveragePool:
        return convert_average(t, n);
    default:
        return convert_sum(t, n);
    }
}

static bool is_layer(const Node *n) {
    bool sums = n->op == OP_Conv || n->op == OP_ConvTranspose || n->op == OP_Gemm || n->op == OP_MatMul ||
                n->op == OP_AveragePool || n->op == OP_ReduceSum;
    return sums && n->out[0]->type.elem == QCC_F32 && shape_count(&n->out[0]->type.shape) > 0;
}

bool pass_integerize(Graph *g, Diags *d) {
    (void)d;
    CodeTable t = {.graph = g, .ranges = {.arena = g->arena}};
    for (Node *n = g->first, *next; n; n = next) {
        next = n->next;
        if (n->op == OP_QConv || n->op == OP_QMatMul) describe(&t, n, n); /* of operators on codes, expanded */
        if (!is_layer(n)) continue;
        Loc loc = n->loc;
        OpId op = n->op;
        if (convert(&t, n) || !g->report || op == OP_AveragePool || op == OP_ReduceSum) continue;
        report_layer(g->report, g->arena, loc, op)->why = t.why;
    }
    return true;
}
