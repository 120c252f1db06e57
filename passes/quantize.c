/* Quantization without training: look, fit, insert, correct.
 *
 * The float network is observed once, on samples or through what its batch normalisations say; every quantizer is
 * fitted to that. Then weights become quantizers on the latent floats, activations quantizers in front of the layers
 * that read them (in the place of a ReLU where nobody else reads it), and the layers' means are brought back to what
 * they were, from the front to the back (bias correction: Nagel et al., arXiv 1906.04721, and re-estimation of
 * normalisation). */
#include "passes/quantize.h"

#include <inttypes.h>
#include <math.h>

#include "ir/op.h"
#include "passes/rewrite.h"

typedef struct Job {
    Graph *g;
    Arena *a;
    Diags *d;
    const QuantizeOptions *o;
    Layers layers;
    Expect expect;
    VEC(Watch) watches;
    Map watched; /* Value -> index + 1 in watches, as a pointer */
    Map by_node; /* Node -> Layer */
} Job;

/* ---- looking ---- */

static Watch *watch(Job *j, const Value *v) {
    uintptr_t at = (uintptr_t)map_get_ptr(&j->watched, v);
    if (!at) {
        vec_push(j->a, &j->watches, (Watch){.value = v, .axis = -1});
        at = j->watches.n;
        map_put_ptr(j->a, &j->watched, v, (void *)at);
    }
    return &j->watches.at[at - 1];
}

static bool look(Job *j) {
    for (size_t i = 0; i < j->layers.n; i++) {
        Layer *l = j->layers.at[i];
        if (l->scheme.a_bits) watch(j, l->source)->sample = true;
        if (l->scheme.a_bits || l->scheme.w_bits) watch(j, l->node->out[0])->axis = layer_output_axis(l->node);
    }
    return j->o->n_samples == 0 || observe(j->a, j->d, j->g, j->o, j->watches.at, j->watches.n);
}

static bool find_spread(Job *j, const Layer *l, Spread *out) {
    if (j->o->n_samples) {
        *out = watch(j, l->source)->spread;
        if (out->n) return true;
        diag(j->d, D_USAGE, l->node->loc, "on the samples this layer reads no value that is finite");
        return false;
    }
    if (expect_spread(&j->expect, l->source, out)) return true;
    Diag *g = diag(j->d, D_USAGE, l->node->loc, "nothing is known of the values that this layer reads");
    diag_hint(j->d, g, "give some inputs with --calibrate=FILE%s", l->first ? ", or --input-range=LEAST,MOST" : "");
    return false;
}

/* ---- fitting ---- */

static void fit_weights(Job *j, Layer *l) {
    Weights w = layer_weights(j->a, l);
    l->was = l->is = w.w;
    if (!l->scheme.w_bits) return;
    l->weights = scheme_fit_weights(j->a, &l->scheme, &w);
    float *is = NEW_ARRAY(j->a, float, w.channels *w.each);
    for (int64_t i = 0; i < w.channels * w.each; i++) is[i] = quantizer_value(&l->weights, i / w.each, w.w[i]);
    l->is = is;
}

/* Layers that read the same values by the same scheme share the quantizer. */
static const Layer *same_input(const Job *j, const Layer *l) {
    for (size_t i = 0; j->layers.at[i] != l; i++) {
        const Layer *k = j->layers.at[i];
        if (k->source == l->source && k->input.n_step && k->scheme.id == l->scheme.id && k->drop == l->drop &&
            k->scheme.a_bits == l->scheme.a_bits && k->scheme.words == l->scheme.words)
            return k;
    }
    return NULL;
}

/* Methods for what a ReLU has passed. Values of both signs, as between linear bottlenecks, are not theirs. */
static bool needs_rectified(SchemeId id) {
    return id == SCHEME_hwgq || id == SCHEME_pact || id == SCHEME_dorefa || id == SCHEME_qn;
}

static bool fit_input(Job *j, Layer *l) {
    Spread s;
    const Layer *same = same_input(j, l);
    if (!l->scheme.a_bits) return true;
    if (same) {
        l->input = same->input;
        return true;
    }
    if (!find_spread(j, l, &s)) return false;
    Scheme scheme = l->scheme;
    if (s.min < 0 && needs_rectified(scheme.id)) scheme = (Scheme){.id = SCHEME_lsq, .a_bits = scheme.a_bits};
    l->input = scheme_fit_activations(j->a, &scheme, &s, &j->o->range);
    return true;
}

/* The layer's inputs are the source's channels, in their order. */
static bool keeps_order(const Layer *l) {
    for (const Value *v = l->node->in[0]; v != l->source && v->def; v = v->def->in[0])
        if (v->def->op == OP_Transpose) return false;
    return true;
}

static void expect_change(Job *j, Layer *l) {
    Steps steps;
    if (!keeps_order(l)) return;
    bool quantized = l->input.n_step > 0;
    if (quantized) steps = quantizer_steps(j->a, &l->input);
    ChannelStats before, after;
    if (!expect_output(&j->expect, l, NULL, l->was, &before)) return;
    if (!expect_output(&j->expect, l, quantized ? &steps : NULL, l->is, &after)) return;
    l->before = before;
    l->after = after;
}

static bool fit(Job *j) {
    bool good = true;
    for (size_t i = 0; i < j->layers.n; i++) {
        Layer *l = j->layers.at[i];
        if (!l->scheme.a_bits && !l->scheme.w_bits) continue;
        fit_weights(j, l);
        good = fit_input(j, l) && good;
        if (good && j->o->n_samples) l->before = watch(j, l->node->out[0])->stats;
        if (good && !j->o->n_samples) expect_change(j, l);
    }
    return good;
}

/* ---- inserting ---- */

static Node *behind(Graph *g, const Value *v) { return v->def ? v->def->next : g->first; }

static void insert_input(Job *j, Layer *l, Map *made) {
    const char *name = arena_printf(j->g->arena, "%s_input_quant", l->name);
    const Layer *same = same_input(j, l);
    Value *q = same ? map_get_ptr(made, same) : NULL;
    if (!q) q = quantizer_insert(j->g, behind(j->g, l->source), &l->input, l->source, -1, name);
    map_put_ptr(j->a, made, l, q);
    if (l->drop) {
        graph_replace(j->g, l->drop->out[0], q);
        graph_erase(l->drop);
    } else {
        node_set_in(l->user, l->operand, q);
    }
}

static void insert(Job *j) {
    Map made = {0};
    for (size_t i = 0; i < j->layers.n; i++) {
        Layer *l = j->layers.at[i];
        if (l->input.n_step) insert_input(j, l, &made);
        if (!l->weights.n_step) continue;
        const char *name = arena_printf(j->g->arena, "%s_weight_quant", l->name);
        node_set_in(l->node, 1, quantizer_insert(j->g, l->node, &l->weights, l->node->in[1], l->axis, name));
    }
}

/* ---- correcting ---- */

/* What has been computed already moves too. */
static void shift_tensors(int64_t n, const Tensor *const *t, int axis, const double *by) {
    const Shape *s = &t[0]->type.shape;
    int64_t inner = 1, count = shape_count(s);
    for (int i = axis + 1; i < s->rank; i++) inner *= s->dim[i];
    for (int64_t k = 0; k < n; k++) {
        float *v = (float *)(uintptr_t)t[k]->data;
        for (int64_t i = 0; i < count && !t[k]->splat; i++) v[i] += (float)by[i / inner % s->dim[axis]];
    }
}

static void correct_at(void *ctx, const Node *n, int64_t samples, const Tensor *const *out) {
    Job *j = ctx;
    Layer *l = map_get_ptr(&j->by_node, n);
    const double *shift;
    if (!l) return;
    int axis = layer_output_axis(n);
    l->after = stats_of_tensors(j->a, samples, out, axis);
    layer_correct(l, &shift);
    if (shift) shift_tensors(samples, out, axis, shift);
}

enum { CORRECTED_ON = 128 }; /* samples, which are held all at once */

static bool correct(Job *j) {
    const double *shift;
    QuantizeOptions some = *j->o;
    some.n_samples = i64_min(some.n_samples, CORRECTED_ON);
    for (size_t i = 0; i < j->layers.n; i++) {
        Layer *l = j->layers.at[i];
        if (!l->input.n_step && !l->weights.n_step) continue;
        map_put_ptr(j->a, &j->by_node, l->node, l);
        if (!some.n_samples) layer_correct(l, &shift);
    }
    return !some.n_samples || observe_stepwise(j->a, j->d, j->g, &some, correct_at, j);
}

/* ---- saying ---- */

static void say_side(Text *t, const char *what, const Quantizer *q) {
    if (!q->n_step) {
        text_add(t, "  %s float", what);
        return;
    }
    float lo = q->step[0], hi = lo;
    for (int64_t c = 1; c < q->n_step; c++) lo = fminf(lo, q->step[c]), hi = fmaxf(hi, q->step[c]);
    text_add(t, "  %s %s %d..%d step %.6g", what, q->scheme, quantizer_low(q), quantizer_high(q), (double)lo);
    if (hi > lo) text_add(t, "..%.6g", (double)hi);
}

/* Signal to noise of the weights, in decibels. */
static double weight_ratio(const Layer *l) {
    Arena scratch;
    arena_open(&scratch);
    Weights w = layer_weights(&scratch, l);
    double signal = 0, noise = 0;
    for (int64_t i = 0; i < w.channels * w.each; i++) {
        double v = (double)l->was[i], e = v - (double)l->is[i];
        signal += v * v;
        noise += e * e;
    }
    arena_free(&scratch);
    return noise > 0 ? 10 * log10(signal / noise) : INFINITY;
}

static void say(const Job *j) {
    for (size_t i = 0; j->o->report && i < j->layers.n; i++) {
        const Layer *l = j->layers.at[i];
        text_add(j->o->report, "%s (%s)", l->name, op_def(l->node->op)->name);
        say_side(j->o->report, "input", &l->input);
        say_side(j->o->report, "weights", &l->weights);
        if (l->weights.n_step) text_add(j->o->report, " (%.1f dB)", weight_ratio(l));
        text_add(j->o->report, "\n");
    }
}

static void check_rules(Job *j) {
    for (size_t r = 0; r < j->o->n_rules; r++) {
        bool used = false;
        for (size_t i = 0; i < j->layers.n; i++) {
            const Layer *l = j->layers.at[i];
            used = used || glob_match(j->o->rules[r].glob, l->name) ||
                   glob_match(j->o->rules[r].glob, l->node->out[0]->name);
        }
        if (used) continue;
        Diag *g = diag(j->d, D_USAGE, LOC_NONE, "no layer is named '%s'", j->o->rules[r].glob);
        for (size_t i = 0; i < j->layers.n && i < 20; i++) diag_note(j->d, g, "layer '%s'", j->layers.at[i]->name);
    }
}

static void check_weights(Job *j) {
    for (size_t i = 0; i < j->layers.n; i++) {
        const Layer *l = j->layers.at[i];
        const Tensor *w = in_const(l->node, 1);
        int64_t n = l->scheme.w_bits ? shape_count(&w->type.shape) : 0, at = 0;
        while (at < n && isfinite(tensor_get(w, at))) at++;
        if (at < n)
            diag(j->d, D_OPERAND_VALUE, l->node->loc, "weight %lld of '%s' is %g; only finite ones can be quantized",
                 (long long)at, l->node->in[1]->name, tensor_get(w, at));
    }
}

static bool quantize(Job *j) {
    int errors = j->d->n_errors;
    layers_find(j->g, j->o, &j->layers);
    if (!j->layers.n)
        diag(j->d, D_USAGE, (Loc){.file = j->g->source, .index = -1},
             "there is nothing to quantize: no convolution or product with constant weights");
    check_rules(j);
    check_weights(j);
    if (j->d->n_errors != errors || !look(j) || !fit(j)) return false;
    say(j);
    insert(j);
    if (!j->o->keep_means && !correct(j)) return false;
    quantizers_absorb(j->g);
    graph_verify(j->g, "quantize");
    return true;
}

bool graph_quantize(Graph *g, Diags *d, const QuantizeOptions *o) {
    Arena *a = arena_nested(g->arena);
    Job j = {.g = g, .a = a, .d = d, .o = o, .expect = {.arena = a, .input_range = o->input_range}};
    bool good = quantize(&j);
    arena_free(a);
    return good;
}
