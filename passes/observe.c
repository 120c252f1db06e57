/* What samples show. All values of interest are observed in one run of the float network; how the quantized one differs
 * is observed node by node over all samples at once, so that what was corrected in front counts behind. */
#include <math.h>
#include <string.h>

#include "ir/op.h"
#include "passes/quantize.h"

/* ---- statistics ---- */

typedef struct Sums {
    int64_t n;
    double count, *sum, *square;
} Sums;

static void add_tensor(Arena *a, Sums *s, const Tensor *t, int axis) {
    const Shape *x = &t->type.shape;
    int64_t inner = 1, count = shape_count(x);
    if (axis >= x->rank || t->type.elem != QCC_F32 || count == 0) return;
    for (int i = axis + 1; i < x->rank; i++) inner *= x->dim[i];
    if (!s->sum) {
        s->n = x->dim[axis];
        s->sum = NEW_ARRAY(a, double, s->n);
        s->square = NEW_ARRAY(a, double, s->n);
    }
    const float *v = tensor_dense(a, t)->data;
    for (int64_t i = 0; i < count; i++) {
        int64_t c = i / inner % s->n;
        s->sum[c] += (double)v[i];
        s->square[c] += (double)v[i] * (double)v[i];
    }
    s->count += (double)count / (double)s->n;
}

static ChannelStats finish_sums(Arena *a, const Sums *s) {
    ChannelStats out = {s->n, NEW_ARRAY(a, double, s->n), NEW_ARRAY(a, double, s->n)};
    for (int64_t c = 0; c < s->n; c++) {
        out.mean[c] = s->sum[c] / s->count;
        out.var[c] = fmax(s->square[c] / s->count - out.mean[c] * out.mean[c], 0);
    }
    return out;
}

ChannelStats stats_of_tensors(Arena *a, int64_t n, const Tensor *const *t, int axis) {
    Sums s = {0};
    for (int64_t i = 0; i < n; i++) add_tensor(a, &s, t[i], axis);
    return finish_sums(a, &s);
}

/* ---- one run ---- */

enum { SAMPLE_VALUES = 1 << 18 }; /* kept of each value watched, over all samples */

typedef struct Watched {
    Watch *watch;
    Sums sums;
    VEC(float) values;
    float min, max;
} Watched;

typedef struct Observer {
    Arena *arena;
    Map by_value; /* Value -> Watched */
    int64_t samples, now;
} Observer;

/* Every so many-th value, from another one on in each sample; the extremes are added at the end. */
static void keep_values(Observer *o, Watched *w, const Tensor *t) {
    int64_t n = shape_count(&t->type.shape), stride = ceil_div(n * o->samples, SAMPLE_VALUES);
    const float *v = tensor_dense(o->arena, t)->data;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(v[i])) continue;
        if (v[i] < w->min) w->min = v[i];
        if (v[i] > w->max) w->max = v[i];
        if ((i + o->now) % stride == 0) vec_push(o->arena, &w->values, v[i]);
    }
}

static void see(void *ctx, const Value *v, const Tensor *t) {
    Observer *o = ctx;
    Watched *w = map_get_ptr(&o->by_value, v);
    if (!w || t->type.elem != QCC_F32) return;
    if (w->watch->sample) keep_values(o, w, t);
    if (w->watch->axis >= 0) add_tensor(o->arena, &w->sums, t, w->watch->axis);
}

static void finish_watch(Observer *o, Watched *w) {
    if (w->watch->axis >= 0) w->watch->stats = finish_sums(o->arena, &w->sums);
    if (!w->watch->sample) return;
    if (w->values.n) {
        vec_push(o->arena, &w->values, w->min);
        vec_push(o->arena, &w->values, w->max);
    }
    w->watch->spread = spread_of_values(o->arena, (int64_t)w->values.n, w->values.at);
}

bool observe(Arena *a, Diags *d, const Graph *g, const QuantizeOptions *o, Watch *w, size_t n) {
    Observer ob = {.arena = a, .samples = o->n_samples};
    Watched *all = NEW_ARRAY(a, Watched, n + 1);
    for (size_t i = 0; i < n; i++) {
        all[i] = (Watched){.watch = &w[i], .min = INFINITY, .max = -INFINITY};
        map_put_ptr(a, &ob.by_value, w[i].value, &all[i]);
    }
    bool good = true;
    for (; good && ob.now < o->n_samples; ob.now++) {
        Arena scratch;
        arena_open(&scratch);
        const Tensor *const *in = o->samples + ob.now * (int64_t)g->inputs.n;
        Tensor **out = NEW_ARRAY(&scratch, Tensor *, g->outputs.n + 1);
        for (size_t i = 0; i < g->inputs.n; i++) see(&ob, g->inputs.at[i].value, in[i]);
        good = graph_eval(&scratch, d, g, in, out, see, &ob);
        arena_free(&scratch);
    }
    for (size_t i = 0; good && i < n; i++) finish_watch(&ob, &all[i]);
    return good;
}

/* ---- node by node ---- */

/* A value in every sample, or once for all where it does not depend on them. */
typedef struct Held {
    const Tensor **t;
    Arena *arena; /* of its node's results */
    int *live;    /* of those results, how many are still to be read */
    int readers;
    bool same;
} Held;

typedef struct Stepper {
    Arena *arena;
    Diags *d;
    int64_t n;
    Map held; /* Value -> Held */
} Stepper;

static Held *hold(Stepper *s, const Value *v) {
    Held *h = map_get_ptr(&s->held, v);
    if (h) return h;
    h = NEW(s->arena, Held);
    h->readers = value_use_count(v);
    h->same = v->constant != NULL;
    map_put_ptr(s->arena, &s->held, v, h);
    return h;
}

static const Tensor *held_tensor(Stepper *s, const Value *v, int64_t sample) {
    if (!v) return NULL;
    if (v->constant) return v->constant;
    Held *h = hold(s, v);
    return h->t[h->same ? 0 : sample];
}

static void release(Stepper *s, const Value *v) {
    Held *h = v && !v->constant ? hold(s, v) : NULL;
    if (!h || --h->readers > 0 || !h->arena) return;
    if (--*h->live == 0) arena_free(h->arena);
}

static bool depends(Stepper *s, const Node *n) {
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] && !hold(s, n->in[i])->same) return true;
    return false;
}

static bool compute(Stepper *s, const Node *n, bool varies) {
    Arena *own = arena_nested(s->arena);
    int *live = NEW(s->arena, int);
    for (int k = 0; k < n->n_out; k++) {
        if (!n->out[k]) continue;
        Held *h = hold(s, n->out[k]);
        h->t = NEW_ARRAY(own, const Tensor *, s->n);
        h->arena = own, h->live = live, h->same = !varies;
        *live += h->readers > 0;
    }
    bool good = true;
    for (int64_t i = 0; good && i < (varies ? s->n : 1); i++) {
        const Tensor **in = NEW_ARRAY(own, const Tensor *, n->n_in + 1);
        Tensor **out = NEW_ARRAY(own, Tensor *, n->n_out + 1);
        for (int k = 0; k < n->n_in; k++) in[k] = held_tensor(s, n->in[k], i);
        good = node_eval(own, s->d, n, in, out);
        for (int k = 0; good && k < n->n_out; k++)
            if (n->out[k]) hold(s, n->out[k])->t[i] = out[k];
    }
    return good;
}

bool observe_stepwise(Arena *a, Diags *d, Graph *g, const QuantizeOptions *o,
                      void (*at)(void *ctx, const Node *n, int64_t samples, const Tensor *const *out), void *ctx) {
    Stepper s = {.arena = arena_nested(a), .d = d, .n = o->n_samples};
    for (size_t i = 0; i < g->inputs.n; i++) {
        Held *h = hold(&s, g->inputs.at[i].value);
        h->t = NEW_ARRAY(s.arena, const Tensor *, s.n);
        for (int64_t k = 0; k < s.n; k++) h->t[k] = o->samples[k * (int64_t)g->inputs.n + (int64_t)i];
    }
    bool good = true;
    for (Node *n = g->first; good && n; n = n->next) {
        bool varies = depends(&s, n);
        good = compute(&s, n, varies);
        if (good && varies && n->out[0]) at(ctx, n, s.n, hold(&s, n->out[0])->t);
        for (int i = 0; good && i < n->n_in; i++) release(&s, n->in[i]);
    }
    arena_free(s.arena);
    return good;
}
