/* A walk back from each value asked for, with what is found kept. The walk's depth is bounded, so that no graph,
 * however deep, exhausts the stack: beyond it nothing is known but the type. */
#include "quant/range.h"

#include "ir/op.h"
#include "ir/ops/window.h"

#include <math.h>

enum { MOST_DEPTH = 400 }; /* a quantizer of 255 thresholds is a sum of as many */

/* ---- element-wise programs ------------------------------------------------------------------------------------ */

static Span of_program(Ranges *r, const Node *n) {
    Arena scratch;
    arena_open(&scratch);
    const Expr *e = expr_of_node(&scratch, n);
    Span *in = NEW_ARRAY(&scratch, Span, n->n_in + 1), *at = NEW_ARRAY(&scratch, Span, e->n);
    int k = 0;
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i]) in[k++] = range_span(r, n->in[i]);
    span_run(e, in, at);
    Span result = at[e->n - 1];
    arena_free(&scratch);
    return result;
}

static Span of_epilogue(Ranges *r, const Node *n, Span own) {
    Arena scratch;
    arena_open(&scratch);
    Span *in = NEW_ARRAY(&scratch, Span, n->n_in + 1), *at = NEW_ARRAY(&scratch, Span, n->expr->n);
    in[0] = own;
    for (int i = n->epilogue_in; i < n->n_in; i++) in[1 + i - n->epilogue_in] = range_span(r, n->in[i]);
    span_run(n->expr, in, at);
    Span result = at[n->expr->n - 1];
    arena_free(&scratch);
    return result;
}

/* ---- integer products ----------------------------------------------------------------------------------------- */

/* Which channel each weight belongs to, and how many terms a sum has. */
typedef struct Layout {
    int64_t channels, terms, inner,
        stride_outer; /* channel of weight i: i / inner % per_outer + i / stride_outer * per_outer */
    int64_t per_outer;
    bool padded; /* some terms may be missing */
} Layout;

static bool window_pads(const Node *n) {
    Window w;
    window_of_node(n, &w);
    if (n->op == OP_QConvTranspose) return true;
    for (int i = 0; i < w.rank; i++) {
        int64_t reach = (w.out[i] - 1) * w.stride[i] + window_extent(&w, i);
        if (w.pad_begin[i] > 0 || reach > w.pad_begin[i] + w.in[i]) return true;
    }
    return false;
}

static Layout conv_layout(const Node *n) {
    const Shape *w = in_shape(n, 1);
    int64_t taps = 1;
    for (int i = 2; i < w->rank; i++) taps *= w->dim[i];
    Layout l = {.padded = window_pads(n)};
    if (n->op == OP_QConv) {
        l.channels = l.per_outer = w->dim[0];
        l.terms = l.inner = w->dim[1] * taps;
        l.stride_outer = INT64_MAX;
        return l;
    }
    int64_t group = node_int(n, "group");
    l.per_outer = w->dim[1];
    l.channels = group * w->dim[1];
    l.inner = taps;
    l.stride_outer = w->dim[0] / group * w->dim[1] * taps;
    l.terms = w->dim[0] / group * taps;
    return l;
}

static Layout product_layout(const Node *n) {
    const Shape *b = in_shape(n, 1);
    int64_t columns = b->rank > 1 ? b->dim[b->rank - 1] : 1;
    return (Layout){.channels = columns,
                    .terms = b->dim[b->rank > 1 ? b->rank - 2 : 0],
                    .per_outer = columns,
                    .inner = 1,
                    .stride_outer = INT64_MAX};
}

static Layout layout_of(const Node *n) { return n->op == OP_QMatMul ? product_layout(n) : conv_layout(n); }

static int64_t channel_of(const Layout *l, int64_t i) {
    int64_t outer = l->stride_outer == INT64_MAX ? 0 : i / l->stride_outer;
    return i / l->inner % l->per_outer + outer * l->per_outer;
}

static Span times(Span x, double w) {
    return w < 0 ? (Span){x.hi * w, x.lo * w, true, x.step * -w} : (Span){x.lo * w, x.hi * w, true, x.step * w};
}

static double common_divisor(double a, double b) {
    while (b > 0) {
        double r = fmod(a, b);
        a = b;
        b = r;
    }
    return a;
}

static void add_term(Span *sum, Span term) {
    sum->lo += term.lo;
    sum->hi += term.hi;
    sum->step = common_divisor(fmax(sum->step, term.step), fmin(sum->step, term.step));
}

static Span finish_sum(Span s) {
    if (s.lo == s.hi) s.step = 0;
    return s;
}

/* Several matrices of B in a batch: their columns share a channel, so each matrix is summed by itself. */
static void sum_weights(const Tensor *w, const Layout *l, Span x, Span *sums) {
    int64_t n = shape_count(&w->type.shape), per_matrix = l->channels * l->terms;
    Arena scratch;
    arena_open(&scratch);
    Span *one = NEW_ARRAY(&scratch, Span, l->channels);
    for (int64_t from = 0; from < n; from += per_matrix) {
        for (int64_t c = 0; c < l->channels; c++) one[c] = (Span){0, 0, true, 0};
        for (int64_t i = 0; i < per_matrix; i++) {
            int64_t v = tensor_get_int(w, from + i);
            if (v) add_term(&one[channel_of(l, i)], times(x, (double)v));
        }
        for (int64_t c = 0; c < l->channels; c++) {
            Span s = finish_sum(one[c]);
            sums[c] = from ? span_union(sums[c], s) : s;
        }
    }
    arena_free(&scratch);
}

/* Every term within the extremes of w times x. */
static Span any_weights(Span w, Span x, int64_t terms) {
    double c[] = {w.lo * x.lo, w.lo * x.hi, w.hi * x.lo, w.hi * x.hi}, lo = c[0], hi = c[0];
    for (int i = 1; i < 4; i++) {
        lo = fmin(lo, c[i]);
        hi = fmax(hi, c[i]);
    }
    return (Span){fmin(lo, 0) * (double)terms, fmax(hi, 0) * (double)terms, true, 1};
}

static Span *products(Ranges *r, Arena *a, const Node *n, int64_t *channels) {
    Layout l = layout_of(n);
    Span x = range_span(r, n->in[0]);
    if (l.padded) x = span_union(x, span_of_number(0));
    Span *sums = NEW_ARRAY(a, Span, i64_max(l.channels, 1));
    *channels = l.channels;
    const Tensor *w = in_const(n, 1);
    if (w && l.terms > 0 && shape_count(&w->type.shape) > 0) {
        sum_weights(w, &l, x, sums);
        return sums;
    }
    Span all = any_weights(range_span(r, n->in[1]), x, l.terms);
    for (int64_t c = 0; c < l.channels; c++) sums[c] = all;
    return sums;
}

Span *range_products(Ranges *r, const Node *n, int64_t *channels) { return products(r, r->arena, n, channels); }

bool range_sums_fit(Ranges *r, const Node *n) {
    Layout l = layout_of(n);
    Span w = range_span(r, n->in[1]), x = range_span(r, n->in[0]);
    Span all = any_weights(w, x, l.terms);
    if (all.lo >= INT32_MIN && all.hi <= INT32_MAX) return true;
    if (!in_const(n, 1)) return false;
    Span with_zero = span_union(x, span_of_number(0)); /* so that the bound holds for every partial sum too */
    Arena scratch;
    arena_open(&scratch);
    Span *sums = NEW_ARRAY(&scratch, Span, i64_max(l.channels, 1));
    bool fits = true;
    if (l.terms > 0 && shape_count(in_shape(n, 1)) > 0) sum_weights(in_const(n, 1), &l, with_zero, sums);
    for (int64_t c = 0; c < l.channels; c++) fits = fits && sums[c].lo >= INT32_MIN && sums[c].hi <= INT32_MAX;
    arena_free(&scratch);
    return fits;
}

static Span of_products(Ranges *r, const Node *n) {
    Arena scratch;
    arena_open(&scratch);
    int64_t channels;
    const Span *sums = products(r, &scratch, n, &channels);
    Span all = channels > 0 ? sums[0] : span_of_elem(QCC_I32);
    for (int64_t c = 1; c < channels; c++) all = span_union(all, sums[c]);
    arena_free(&scratch);
    return all.lo >= INT32_MIN && all.hi <= INT32_MAX ? all : span_of_elem(QCC_I32);
}

/* ---- other operators ------------------------------------------------------------------------------------------ */

static Span of_sum(Ranges *r, const Node *n) {
    int64_t in = shape_count(in_shape(n, 0)), out = shape_count(&n->out[0]->type.shape);
    Span x = range_span(r, n->in[0]);
    if (in <= 0 || out <= 0 || !x.whole || !elem_is_int(in_elem(n, 0))) return span_of_elem(n->out[0]->type.elem);
    double terms = (double)(in / out);
    Span s = {x.lo * terms, x.hi * terms, true, x.step}, type = span_of_elem(n->out[0]->type.elem);
    return s.lo >= type.lo && s.hi <= type.hi && fabs(s.lo) <= 0x1p53 && fabs(s.hi) <= 0x1p53 ? s : type;
}

static Span of_pad(Ranges *r, const Node *n) {
    Span s = range_span(r, n->in[0]);
    return span_union(s, has_in(n, 2) ? range_span(r, n->in[2]) : span_of_number(0));
}

static Span of_arg(const Node *n) {
    const Shape *s = in_shape(n, 0);
    int64_t most = 1;
    for (int i = 0; i < s->rank; i++) most = i64_max(most, s->dim[i]);
    return (Span){0, (double)(most - 1), true, most > 1};
}

static Span of_result(Ranges *r, const Node *n, Elem own) {
    switch (n->op) {
    case OP_Reshape:
    case OP_Flatten:
    case OP_Squeeze:
    case OP_Unsqueeze:
    case OP_Transpose:
    case OP_Expand:
    case OP_Slice:
    case OP_Tile:
    case OP_Gather:
    case OP_Split:
    case OP_DepthToSpace:
    case OP_SpaceToDepth:
    case OP_MaxPool:
    case OP_GlobalMaxPool:
    case OP_ReduceMax:
    case OP_ReduceMin:
    case OP_Dropout:
        return range_span(r, n->in[0]);
    case OP_Concat: {
        Span s = range_span(r, n->in[0]);
        for (int i = 1; i < n->n_in; i++) s = span_union(s, range_span(r, n->in[i]));
        return s;
    }
    case OP_Pad:
        return of_pad(r, n);
    case OP_ReduceSum:
        return of_sum(r, n);
    case OP_ArgMax:
    case OP_ArgMin:
        return of_arg(n);
    case OP_QConv:
    case OP_QConvTranspose:
    case OP_QMatMul:
        return of_products(r, n);
    default:
        return span_of_elem(own);
    }
}

static Span find(Ranges *r, const Value *v) {
    const Node *n = v->def;
    if (v->constant) return span_of_tensor(v->constant);
    if (!n || (v->def_index > 0 && n->op != OP_Split) || r->depth >= MOST_DEPTH) return span_of_elem(v->type.elem);
    if (shape_count(&v->type.shape) <= 0) return span_of_elem(v->type.elem);
    r->depth++;
    Span s;
    if (op_def(n->op)->kind == OP_EXPR) {
        s = of_program(r, n);
    } else if (n->expr) {
        bool whole = n->op == OP_QConv || n->op == OP_QConvTranspose || n->op == OP_QMatMul;
        s = of_epilogue(r, n, of_result(r, n, whole ? QCC_I32 : in_elem(n, 0)));
    } else {
        s = of_result(r, n, v->type.elem);
    }
    r->depth--;
    return s;
}

Span range_span(Ranges *r, const Value *v) {
    Span *known = map_get_ptr(&r->known, v);
    if (known) return *known;
    Span s = find(r, v);
    known = NEW(r->arena, Span);
    *known = s;
    map_put_ptr(r->arena, &r->known, v, known);
    return s;
}

bool range_of(Ranges *r, const Value *v, Range *out) {
    Span s = range_span(r, v);
    if (!s.whole || !(fabs(s.lo) <= 0x1p53) || !(fabs(s.hi) <= 0x1p53)) return false;
    *out = (Range){(int64_t)s.lo, (int64_t)s.hi, s.step >= 1 ? (int64_t)s.step : 1};
    return true;
}

Elem range_elem(Range r) {
    static const struct {
        Elem elem;
        int64_t lo, hi;
    } types[] = {{QCC_U8, 0, UINT8_MAX},          {QCC_I8, INT8_MIN, INT8_MAX},      {QCC_U16, 0, UINT16_MAX},
                 {QCC_I16, INT16_MIN, INT16_MAX}, {QCC_U32, 0, (int64_t)UINT32_MAX}, {QCC_I32, INT32_MIN, INT32_MAX}};
    for (size_t i = 0; i < COUNT_OF(types); i++)
        if (r.lo >= types[i].lo && r.hi <= types[i].hi) return types[i].elem;
    return (Elem)0;
}
