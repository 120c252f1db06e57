/* Quantizers as nodes of the graph. */
#include <float.h>
#include <math.h>

#include "ir/op.h"
#include "passes/quantize.h"
#include "passes/rewrite.h"

/* ---- making ---- */

typedef struct Making {
    Graph *g;
    const char *name;
    Value *in[4];
    int n;
} Making;

static void add_operand(Making *m, const char *what, const Tensor *t) {
    m->in[m->n++] = graph_constant(m->g, arena_printf(m->g->arena, "%s_%s", m->name, what), t);
}

static void add_number(Making *m, const char *what, float v) {
    add_operand(m, what, tensor_from_f32(m->g->arena, (Shape){.rank = 0}, &v));
}

static void add_step(Making *m, const Quantizer *q, int rank, int axis) {
    Shape s = {.rank = 0};
    if (q->n_step > 1) {
        s.rank = rank;
        for (int i = 0; i < rank; i++) s.dim[i] = i == axis ? q->n_step : 1;
    }
    add_operand(m, "step", tensor_from_f32(m->g->arena, s, q->step));
}

static void add_levels(Making *m, const Quantizer *q) {
    int64_t n = q->n, more = n + 1;
    float *code = NEW_ARRAY(m->g->arena, float, more);
    for (int64_t k = 0; k < more; k++) code[k] = (float)q->code[k];
    add_operand(m, "thresholds", tensor_from_f32(m->g->arena, shape_of(1, &n), q->thr));
    add_operand(m, "codes", tensor_from_f32(m->g->arena, shape_of(1, &more), code));
}

static OpId add_numbers(Making *m, const Quantizer *q) {
    switch (q->form) {
    case QUANT_SIGN:
        return OP_QSign;
    case QUANT_UNIFORM:
        add_number(m, "lo", (float)q->lo);
        add_number(m, "hi", (float)q->hi);
        return OP_QUniform;
    case QUANT_HWGQ:
        add_number(m, "hi", (float)q->hi);
        return OP_QHwgq;
    case QUANT_LEVELS:
        add_levels(m, q);
        return OP_QLevels;
    case QUANT_MAGNITUDE:
        add_levels(m, q);
        return OP_QMagnitude;
    case QUANT_DOREFA:
        add_number(m, "range", q->range);
        add_number(m, "hi", (float)q->hi);
        return OP_QDorefa;
    case QUANT_ODD:
        add_number(m, "hi", (float)q->hi);
        return OP_QOdd;
    }
    bug("quantizer_insert: form %d", (int)q->form);
}

/* Weights on a threshold behind tanh, whose last bit differs from one library to another, move off it. */
static const Tensor *move_off_ties(Arena *a, const Quantizer *q, const Tensor *w) {
    const double least = 1e-4; /* of a code: far more than tanh errs, far less than matters */
    Tensor *out = tensor_new(a, w->type);
    float *to = tensor_data(out);
    int64_t n = shape_count(&w->type.shape);
    for (int64_t i = 0; i < n; i++) {
        double v = tensor_get(w, i), t = tanh(v), code = q->hi * (t / (2 * (double)q->range) + 0.5);
        double over = code - floor(code) - 0.5, slope = q->hi * (1 - t * t) / (2 * (double)q->range);
        if (fabs(over) < least && slope > 0) v += (over < 0 ? -least : least) / slope;
        to[i] = (float)v;
    }
    return out;
}

Value *quantizer_insert(Graph *g, Node *before, const Quantizer *q, Value *x, int axis, const char *name) {
    Making m = {.g = g, .name = name, .in = {x}, .n = 1};
    if (q->form == QUANT_DOREFA && x->constant)
        m.in[0] = graph_constant(g, x->name, move_off_ties(g->arena, q, x->constant));
    add_step(&m, q, x->type.shape.rank, axis);
    OpId op = add_numbers(&m, q);
    Loc loc = LOC_NONE;
    loc.file = g->source;
    loc.node = name;
    loc.op = op_def(op)->name;
    Node *n = graph_node(g, before, op, loc, m.n, m.in, 1);
    node_set_string(n, "scheme", q->scheme);
    infer_or_bug(n);
    n->out[0]->name = arena_printf(g->arena, "%s_out", name);
    return n->out[0];
}

/* ---- what they make needless ---- */

static float number(const Node *n, int operand) { return (float)tensor_get(in_const(n, operand), 0); }

/* The code of v, of a node whose operands are known. */
static bool value_at(const Node *n, float v, double *out) {
    Arena scratch;
    arena_open(&scratch);
    Diags d;
    diags_init(&d, &scratch);
    Graph *g = graph_new(&scratch, NULL, "one");
    Value *in[4] = {graph_constant(g, "", tensor_from_f32(&scratch, shape_of(1, (int64_t[]){1}), &v))};
    bool known = n->n_in <= 4;
    for (int i = 1; known && i < n->n_in; i++) {
        known = n->in[i]->constant && (i > 1 || shape_count(in_shape(n, i)) == 1);
        if (known) in[i] = graph_constant(g, "", n->in[i]->constant);
    }
    const Tensor *operands[4];
    Tensor *result;
    for (int i = 0; known && i < n->n_in; i++) operands[i] = in[i]->constant;
    Node *one = known ? graph_node(g, NULL, n->op, LOC_NONE, n->n_in, in, 1) : NULL;
    known = one && node_infer(&d, one) && node_eval(&scratch, &d, one, operands, &result);
    if (known) *out = tensor_get(result, 0);
    arena_free(&scratch);
    return known;
}

/* Quantizers rise, so one that gives the same at the bound and far beyond it does what the bound does. */
static bool bound_is_needless(const Node *n, float bound, float beyond) {
    double at, off;
    return value_at(n, bound, &at) && value_at(n, beyond, &off) && at == off;
}

static bool does_the_same(const Node *q, const Node *activation) {
    if (activation->op == OP_Relu) return bound_is_needless(q, 0, -FLT_MAX);
    if (activation->op != OP_Clip || !in_const(activation, 1) || !in_const(activation, 2)) return false;
    return bound_is_needless(q, number(activation, 1), -FLT_MAX) &&
           bound_is_needless(q, number(activation, 2), FLT_MAX);
}

static bool is_quantizer(const Node *n) {
    return n->op == OP_QUniform || n->op == OP_QHwgq || n->op == OP_QLevels || n->op == OP_QMagnitude;
}

/* The quantizer takes the name of what it replaces. */
void quantizers_absorb(Graph *g) {
    for (Node *n = g->first; n; n = n->next) {
        Node *activation = is_quantizer(n) ? n->in[0]->def : NULL;
        if (!activation || !used_once(n->in[0]) || !does_the_same(n, activation)) continue;
        if (activation->loc.node && *activation->loc.node) n->loc.node = activation->loc.node;
        n->out[0]->name = activation->out[0]->name;
        node_set_in(n, 0, activation->in[0]);
        graph_erase(activation);
    }
}
