/* The walk back from a float tensor to the integers that it is made of, kept by value. What moves elements is done once
 * more on the integers, so that in the end nobody reads the floats. */
#include "passes/codes.h"

#include "passes/rewrite.h"
#include "quant/scaled.h"

#include <math.h>
#include <string.h>

enum { MOST_DEPTH = 100, MOST_PARTS = 8, MOST_RATIO = 256 };

/* ---- building ------------------------------------------------------------------------------------------------- */

Value *build_node(Graph *g, Node *before, Loc loc, OpId op, const char *attrs, int n_in, Value *const *in) {
    Node *n = graph_node(g, before, op, loc, n_in, in, 1);
    if (attrs) node_set_attrs_text(n, attrs);
    infer_or_bug(n);
    return n->out[0];
}

Value *build_cast(Graph *g, Node *before, Loc loc, Value *v, Elem to) {
    if (v->type.elem == to) return v;
    return build_node(g, before, loc, OP_Cast, arena_printf(g->arena, "to=%d", (int)to), 1, &v);
}

Value *build_reshape(Graph *g, Node *before, Loc loc, Value *v, const Shape *s) {
    if (shape_equal(&v->type.shape, s)) return v;
    Value *in[] = {v, graph_const_ints(g, "", s->rank, s->dim)};
    return build_node(g, before, loc, OP_Reshape, "allowzero=1", 2, in);
}

static Value *computed(Graph *g, const Node *n) {
    const Tensor *in[] = {n->in[0]->constant, n->in[1]->constant};
    Tensor *out = NULL;
    Diags d;
    diags_init(&d, g->arena);
    if (!node_eval(g->arena, &d, n, in, &out)) bug("a scale cannot be computed");
    return graph_constant(g, "", out);
}

static Value *build_scale(Graph *g, Node *before, Loc loc, OpId op, Value *p, Value *q) {
    Value *v = build_node(g, before, loc, op, NULL, 2, (Value *[]){p, q});
    if (!p->constant || !q->constant) return v;
    Value *c = computed(g, v->def);
    graph_erase(v->def);
    return c;
}

Value *build_factor(Graph *g, Node *before, Loc loc, Value *p, Value *q) {
    if (!p || !q) return p ? p : q;
    return build_scale(g, before, loc, OP_Mul, p, q);
}

Value *build_ratio(Graph *g, Node *before, Loc loc, Value *p, Value *q) {
    if (!q) return p;
    return build_scale(g, before, loc, OP_Div, p ? p : graph_const_f32(g, 1), q);
}

/* ---- what can be said of a value ------------------------------------------------------------------------------- */

static const Codes *refuse(CodeTable *t, const Value *v, const char *what) {
    const Node *n = v->def;
    const char *name = v->name[0] ? v->name : n && n->loc.node && n->loc.node[0] ? n->loc.node : "";
    t->why = arena_printf(t->graph->arena, "'%s' (%s) %s", name,
                          n             ? op_def(n->op)->name
                          : v->constant ? "constant"
                                        : "input",
                          what);
    return NULL;
}

/* The integers have the tensor's name, by which tools that look inside speak of them. */
static const Codes *keep(CodeTable *t, const Value *v, Value *ints, Value *scale) {
    if (!ints->name[0]) ints->name = v->name;
    Codes *c = NEW(t->graph->arena, Codes);
    *c = (Codes){ints, scale};
    map_put_ptr(t->graph->arena, &t->known, v, c);
    return c;
}

static bool is_narrow(Elem e) { return e == QCC_U8 || e == QCC_I8 || e == QCC_U16 || e == QCC_I16; }

static bool positive(const Value *scale) {
    double v;
    return !scale || (scale->constant && constant_is_splat(scale->constant, &v) && v > 0);
}

static bool same_scale(const Value *p, const Value *q) {
    double a = 1, b = 1;
    if (p == q) return true;
    if (p && (!p->constant || !constant_is_splat(p->constant, &a))) return false;
    if (q && (!q->constant || !constant_is_splat(q->constant, &b))) return false;
    return a == b;
}

/* One element, as a scalar. */
static Value *as_scale(CodeTable *t, Node *before, Loc loc, Value *v) {
    static const Shape none = {.rank = 0};
    return build_reshape(t->graph, before, loc, v, &none);
}

/* v is whole and narrow: its integers are a conversion of it. Who else reads v reads them too, so that only the
 * integers need a place in memory. */
static const Codes *take_whole(CodeTable *t, Value *v) {
    Range r;
    Elem elem = range_of(&t->ranges, v, &r) ? range_elem(r) : (Elem)0;
    if (!is_narrow(elem)) return refuse(t, v, "is not proved to be whole numbers of at most 16 bits");
    Graph *g = t->graph;
    Node *def = v->def;
    if (def->op == OP_Cast && is_narrow(in_elem(def, 0)) && elem_info[in_elem(def, 0)].bits <= elem_info[elem].bits)
        return keep(t, v, def->in[0], NULL);
    Value *ints = build_cast(g, def->next, def->loc, v, elem), *back = NULL;
    for (size_t i = 0; i < v->uses.n;) {
        Use u = v->uses.at[i];
        if (u.node == ints->def) {
            i++;
            continue;
        }
        if (!back) back = build_cast(g, ints->def->next, def->loc, ints, QCC_F32);
        node_set_in(u.node, u.operand, back); /* takes this use off the list */
    }
    if (back) keep(t, back, ints, NULL);
    return keep(t, v, ints, NULL);
}

/* ---- operators that move elements ------------------------------------------------------------------------------ */

/* Node n once more behind itself, with other operands in front. */
static Value *twin(CodeTable *t, Node *n, int n_data, Value *const *data) {
    Node *m = graph_node(t->graph, n->next, n->op, n->loc, n->n_in, n->in, n->n_out);
    for (int i = 0; i < n->n_attr; i++) node_set_attr(m, &n->attr[i]);
    for (int i = 0; i < n_data; i++) node_set_in(m, i, data[i]);
    for (int i = 1; i < n->n_out; i++) m->out[i] = NULL;
    infer_or_bug(m);
    return m->out[0];
}

static const Codes *move_one(CodeTable *t, Value *v) {
    const Codes *x = codes_of(t, v->def->in[0]);
    if (!x) return NULL;
    return keep(t, v, twin(t, v->def, 1, &x->ints), x->scale);
}

static const Codes *move_pool(CodeTable *t, Value *v) {
    const Codes *x = codes_of(t, v->def->in[0]);
    if (!x) return NULL;
    if (!positive(x->scale)) return refuse(t, v, "takes the maximum at a scale that may be negative");
    Elem e = x->ints->type.elem;
    if (!is_narrow(e)) return take_whole(t, v);
    return keep(t, v, twin(t, v->def, 1, &x->ints), x->scale);
}

/* The number that the padding is, in units of the scale. */
static bool pad_code(const Node *n, const Codes *x, int64_t *code) {
    double v = 0, scale = 1;
    if (has_in(n, 2) && (!in_const(n, 2) || !constant_is_splat(in_const(n, 2), &v))) return false;
    *code = 0;
    if (v == 0) return true;
    if (x->scale && (!x->scale->constant || !constant_is_splat(x->scale->constant, &scale))) return false;
    double k = rint(v / scale);
    *code = fabs(k) < INT16_MAX ? (int64_t)k : INT16_MAX;
    return (double)((float)k * (float)scale) == v;
}

static const Codes *move_pad(CodeTable *t, Value *v) {
    Node *n = v->def;
    const Codes *x = codes_of(t, n->in[0]);
    int64_t code;
    Range r;
    if (!x) return NULL;
    if (!pad_code(n, x, &code)) return refuse(t, v, "pads with what is no multiple of the scale");
    if (!range_of(&t->ranges, x->ints, &r)) bug("codes without a range");
    r = (Range){i64_min(r.lo, code), i64_max(r.hi, code), 1};
    Elem elem = range_elem(r);
    if (!is_narrow(elem)) return refuse(t, v, "pads with what has no place in 16 bits");
    if (elem_info[x->ints->type.elem].bits >= elem_info[elem].bits && code == 0) elem = x->ints->type.elem;
    Value *ints = build_cast(t->graph, n->next, n->loc, x->ints, elem);
    Tensor *pad = tensor_new(t->graph->arena, (Type){.elem = elem});
    tensor_set_int(pad, 0, code);
    Node *m = graph_node(t->graph, ints == x->ints ? n->next : ints->def->next, OP_Pad, n->loc, n->n_in, n->in, 1);
    for (int i = 0; i < n->n_attr; i++) node_set_attr(m, &n->attr[i]);
    node_set_in(m, 0, ints);
    if (has_in(m, 2)) node_set_in(m, 2, graph_constant(t->graph, "", pad));
    infer_or_bug(m);
    return keep(t, v, m->out[0], x->scale);
}

/* times * ints + steps behind n, in the first type of 16 bits or fewer that holds it; NULL if there is none. */
static Value *affine(CodeTable *t, const Node *n, Value *ints, int64_t times, int64_t steps) {
    Graph *g = t->graph;
    Value *wide = build_cast(g, n->next, n->loc, ints, QCC_I32);
    Node *at = wide->def && wide != ints ? wide->def->next : n->next;
    static const Shape none = {.rank = 0};
    const int64_t by[] = {times, steps};
    for (int i = 0; i < 2; i++) {
        Value *c = graph_constant(g, "", tensor_from_ints(g->arena, QCC_I32, none, &by[i]));
        wide = build_node(g, at, n->loc, i ? OP_Add : OP_Mul, NULL, 2, (Value *[]){wide, c});
    }
    Range r;
    Elem elem = range_of(&t->ranges, wide, &r) ? range_elem(r) : (Elem)0;
    return is_narrow(elem) ? build_cast(g, at, n->loc, wide, elem) : NULL;
}

static double number_of(const Value *scale) {
    double v = 1;
    return !scale || (scale->constant && constant_is_splat(scale->constant, &v)) ? v : 0;
}

/* Codes whose scales are powers of two of one another, all at the least of them; false where they are not. */
static bool align(CodeTable *t, Node *n, int count, const Codes *const *parts, Value **ints, Value **scale) {
    double least = INFINITY;
    for (int i = 0; i < count; i++) {
        double s = number_of(parts[i]->scale);
        if (!(s > 0)) return false;
        if (s < least) least = s, *scale = parts[i]->scale;
    }
    for (int i = 0; i < count; i++) {
        int power;
        double ratio = number_of(parts[i]->scale) / least;
        if (frexp(ratio, &power) != 0.5 || ratio > (double)MOST_RATIO) return false;
        ints[i] = ratio == 1 ? parts[i]->ints : affine(t, n, parts[i]->ints, (int64_t)ratio, 0);
        if (!ints[i]) return false;
    }
    return true;
}

static const Codes *move_concat(CodeTable *t, Value *v) {
    Node *n = v->def;
    const Codes **parts = NEW_ARRAY(t->graph->arena, const Codes *, n->n_in);
    Value **ints = NEW_ARRAY(t->graph->arena, Value *, n->n_in), *scale;
    bool same = true;
    for (int i = 0; i < n->n_in; i++) {
        parts[i] = codes_of(t, n->in[i]);
        if (!parts[i]) return NULL;
        same = same && same_scale(parts[0]->scale, parts[i]->scale);
        ints[i] = parts[i]->ints;
    }
    Node *at = n->next;
    scale = parts[0]->scale;
    if (!same && !align(t, n, n->n_in, parts, ints, &scale)) return refuse(t, v, "joins tensors of different scales");
    Elem elem = ints[0]->type.elem;
    Range all, r;
    if (!range_of(&t->ranges, ints[0], &all)) bug("codes without a range");
    for (int i = 1; i < n->n_in; i++) {
        if (!range_of(&t->ranges, ints[i], &r)) bug("codes without a range");
        all = (Range){i64_min(all.lo, r.lo), i64_max(all.hi, r.hi), 1};
        if (ints[i]->type.elem != elem) elem = (Elem)0;
    }
    if (!elem) elem = range_elem(all);
    if (!is_narrow(elem)) return refuse(t, v, "joins tensors that share no type of 16 bits");
    for (int i = 0; i < n->n_in; i++) ints[i] = build_cast(t->graph, at, n->loc, ints[i], elem);
    Node *m = graph_node(t->graph, at, OP_Concat, n->loc, n->n_in, ints, 1);
    for (int i = 0; i < n->n_attr; i++) node_set_attr(m, &n->attr[i]);
    infer_or_bug(m);
    return keep(t, v, m->out[0], scale);
}

/* ---- arithmetic ------------------------------------------------------------------------------------------------ */

static bool one_element(const Value *v) { return shape_count(&v->type.shape) == 1 && v->type.elem == QCC_F32; }

static bool same_shape(const Value *p, const Value *q) { return shape_equal(&p->type.shape, &q->type.shape); }

/* A factor that is a finite constant, or a number of the run. */
static bool is_factor(const Value *by, const Value *v) {
    double c = 1;
    if (!one_element(by) || same_shape(by, v)) return false;
    return !by->constant || (constant_is_splat(by->constant, &c) && isfinite(c) && c != 0);
}

static const Codes *scale_by(CodeTable *t, Value *v, Value *x, Value *by, bool divide) {
    const Codes *c = codes_of(t, x);
    if (!c) return NULL;
    Node *n = v->def, *at = n->next;
    Value *s = as_scale(t, at, n->loc, by);
    s = divide ? build_ratio(t->graph, at, n->loc, c->scale, s) : build_factor(t->graph, at, n->loc, c->scale, s);
    return keep(t, v, c->ints, s);
}

static const Codes *add_two(CodeTable *t, Value *v, OpId op) {
    Node *n = v->def;
    if (!same_shape(n->in[0], v) || !same_shape(n->in[1], v)) return refuse(t, v, "broadcasts");
    const Codes *p = codes_of(t, n->in[0]), *q = p ? codes_of(t, n->in[1]) : NULL;
    if (!q) return NULL;
    Node *at = n->next;
    Value *in[] = {p->ints, q->ints}, *scale = p->scale;
    if (!same_scale(p->scale, q->scale) && !align(t, n, 2, (const Codes *[]){p, q}, in, &scale))
        return refuse(t, v, "combines tensors of different scales");
    if ((op == OP_Max || op == OP_Min) && !positive(scale))
        return refuse(t, v, "compares at a scale that may be negative");
    for (int i = 0; i < 2; i++) in[i] = build_cast(t->graph, at, n->loc, in[i], QCC_I32);
    Value *sum = build_node(t->graph, at, n->loc, op, NULL, 2, in);
    Range r;
    Elem elem = range_of(&t->ranges, sum, &r) ? range_elem(r) : (Elem)0;
    if (!is_narrow(elem)) return refuse(t, v, "is wider than 16 bits");
    return keep(t, v, build_cast(t->graph, at, n->loc, sum, elem), scale);
}

/* sign * x + by, x being codes: whether that is (times * sign * code + steps) * step, to the bit, for all of them. */
static bool same_shifted(const Range *r, float scale, int sign, float by, int64_t times, float step, int64_t steps) {
    for (int64_t k = r->lo; k <= r->hi; k += r->step) {
        float x = (float)k * scale;
        if ((sign < 0 ? by - x : x + by) != (float)(times * sign * k + steps) * step) return false;
    }
    return true;
}

/* A number added that is a multiple of the step or of a part of it, as where signs are written 2 a b - a. */
static const Codes *shift(CodeTable *t, Value *v, Value *x, float by, int sign) {
    const Codes *c = codes_of(t, x);
    double scale = 1;
    Range r;
    if (!c) return NULL;
    if (c->scale && (!c->scale->constant || !constant_is_splat(c->scale->constant, &scale)))
        return refuse(t, v, "adds to what has no constant scale");
    if (!range_of(&t->ranges, c->ints, &r)) bug("codes without a range");
    for (int64_t times = 1; times <= MOST_PARTS; times *= 2) {
        float step = (float)scale / (float)times;
        double steps = rint((double)by / (double)step);
        if (!isnormal(step) || !(fabs(steps) <= INT16_MAX)) break;
        if (!same_shifted(&r, (float)scale, sign, by, times, step, (int64_t)steps)) continue;
        Value *ints = affine(t, v->def, c->ints, times * sign, (int64_t)steps);
        return ints ? keep(t, v, ints, graph_const_f32(t->graph, step)) : refuse(t, v, "is wider than 16 bits");
    }
    return refuse(t, v, "adds what is no multiple of the scale");
}

static const Codes *shift_or_add(CodeTable *t, Value *v, OpId op) {
    const Node *n = v->def;
    for (int i = 0; i < 2; i++) {
        double by;
        if (!in_const(n, i) || !constant_is_splat(in_const(n, i), &by) || !same_shape(n->in[1 - i], v)) continue;
        bool from = op == OP_Sub && i == 0;
        return shift(t, v, n->in[1 - i], (float)(op == OP_Sub && i == 1 ? -by : by), from ? -1 : 1);
    }
    return add_two(t, v, op);
}

static const Codes *rectify(CodeTable *t, Value *v) {
    Node *n = v->def;
    const Codes *c = codes_of(t, n->in[0]);
    if (!c) return NULL;
    if (!positive(c->scale)) return refuse(t, v, "cuts at 0 at a scale that may be negative");
    if (elem_info[c->ints->type.elem].kind == ELEM_U) return keep(t, v, c->ints, c->scale);
    Tensor *zero = tensor_new(t->graph->arena, (Type){.elem = c->ints->type.elem});
    Value *in[] = {c->ints, graph_constant(t->graph, "", zero)};
    return keep(t, v, build_node(t->graph, n->next, n->loc, OP_Max, NULL, 2, in), c->scale);
}

/* A limit of Clip: false where it is no number known here. */
static bool limit_of(const Node *n, int operand, double absent, double *v) {
    *v = absent;
    return !has_in(n, operand) || (in_const(n, operand) && constant_is_splat(in_const(n, operand), v) && !isnan(*v));
}

/* Code k becomes the one that it is cut to; false where that is between codes. */
static bool clip_code(const Codes *c, double least, double most, int64_t *k) {
    double scale = 1;
    if (c->scale) constant_is_splat(c->scale->constant, &scale);
    double v = (double)((float)*k * (float)scale);
    if (v >= least && v <= most) return true;
    v = v < least && least <= most ? least : most;
    double code = rint(v / scale);
    if (!(fabs(code) <= UINT16_MAX)) return false;
    *k = (int64_t)code;
    return (double)((float)*k * (float)scale) == v;
}

/* What becomes of the least and the greatest code says it for all between them. */
static const Codes *clip(CodeTable *t, Value *v) {
    Node *n = v->def;
    const Codes *c = codes_of(t, n->in[0]);
    double least, most;
    Range r;
    if (!c) return NULL;
    if (!limit_of(n, 1, -INFINITY, &least) || !limit_of(n, 2, INFINITY, &most))
        return refuse(t, v, "cuts at what is no constant");
    if (!range_of(&t->ranges, c->ints, &r)) bug("codes without a range");
    if (!positive(c->scale) || !clip_code(c, least, most, &r.lo) || !clip_code(c, least, most, &r.hi))
        return refuse(t, v, "cuts where there is no multiple of the scale");
    Elem e = c->ints->type.elem;
    Span all = span_of_elem(e);
    if ((double)r.lo < all.lo || (double)r.hi > all.hi) return refuse(t, v, "cuts outside of its codes");
    Tensor *low = tensor_new(t->graph->arena, (Type){.elem = e}), *high = tensor_new(t->graph->arena, low->type);
    tensor_set_int(low, 0, r.lo);
    tensor_set_int(high, 0, r.hi);
    Value *in[] = {c->ints, graph_constant(t->graph, "", low), graph_constant(t->graph, "", high)};
    return keep(t, v, build_node(t->graph, n->next, n->loc, OP_Clip, NULL, 3, in), c->scale);
}

/* Where(condition, p, q) of two numbers with a common scale. */
static const Codes *choose(CodeTable *t, Value *v) {
    Node *n = v->def;
    double p, q;
    if (!in_const(n, 1) || !in_const(n, 2) || !constant_is_splat(in_const(n, 1), &p) ||
        !constant_is_splat(in_const(n, 2), &q) || !same_shape(n->in[0], v))
        return refuse(t, v, "chooses between what are no constants");
    float both[] = {(float)p, (float)q}, scale = scale_find(both, 2, 1);
    if (scale == 0) return refuse(t, v, "chooses between numbers without a common scale");
    Value *in[3] = {n->in[0]};
    for (int i = 0; i < 2; i++) {
        Tensor *code = tensor_new(t->graph->arena, (Type){.elem = QCC_I16});
        tensor_set_int(code, 0, scale_code(both[i], scale));
        in[i + 1] = graph_constant(t->graph, "", code);
    }
    Value *wide = build_node(t->graph, n->next, n->loc, OP_Where, NULL, 3, in);
    Range r;
    if (!range_of(&t->ranges, wide, &r)) bug("a choice of codes without a range");
    Value *ints = build_cast(t->graph, wide->def->next, n->loc, wide, range_elem(r));
    return keep(t, v, ints, graph_const_f32(t->graph, scale));
}

static const Codes *constant_codes(CodeTable *t, Value *v) {
    ScaledTensor s;
    if (!scaled_find(t->graph->arena, v->constant, -1, &s)) return refuse(t, v, "has no scale");
    return keep(t, v, graph_constant(t->graph, v->name, s.codes),
                tensor_get(s.scale, 0) == 1 ? NULL : graph_constant(t->graph, "", s.scale));
}

static bool whole(CodeTable *t, const Value *v) {
    Range r;
    return range_of(&t->ranges, v, &r) && is_narrow(range_elem(r));
}

/* Whole numbers times, or by, constants that are not one. */
static bool scaled_by_channel(CodeTable *t, const Node *n) {
    for (int i = n->op == OP_Mul ? 0 : 1; i < 2 && (n->op == OP_Mul || n->op == OP_Div); i++) {
        const Tensor *by = in_const(n, i);
        if (by && !constant_is_splat(by, NULL) && whole(t, n->in[1 - i])) return true;
    }
    return false;
}

static const Codes *by_arithmetic(CodeTable *t, Value *v) {
    Node *n = v->def;
    if (n->op == OP_Mul && is_factor(n->in[1], v) && same_shape(n->in[0], v))
        return scale_by(t, v, n->in[0], n->in[1], false);
    if (n->op == OP_Mul && is_factor(n->in[0], v) && same_shape(n->in[1], v))
        return scale_by(t, v, n->in[1], n->in[0], false);
    if (n->op == OP_Div && is_factor(n->in[1], v) && same_shape(n->in[0], v))
        return scale_by(t, v, n->in[0], n->in[1], true);
    if (whole(t, v)) return take_whole(t, v);
    switch (n->op) {
    case OP_Add:
    case OP_Sub:
        return shift_or_add(t, v, n->op);
    case OP_Max:
    case OP_Min:
        return n->n_in == 2 ? add_two(t, v, n->op) : refuse(t, v, "compares more than two tensors");
    case OP_Relu:
        return rectify(t, v);
    case OP_Clip:
        return clip(t, v);
    case OP_Where:
        return choose(t, v);
    default:
        return refuse(t, v,
                      scaled_by_channel(t, n) ? "has a scale that differs by channel; sums need one for the tensor"
                                              : "is not proved to be whole numbers of at most 16 bits");
    }
}

static const Codes *find(CodeTable *t, Value *v) {
    if (v->type.elem != QCC_F32) return refuse(t, v, "is no float32");
    if (v->constant) return constant_codes(t, v);
    if (!v->def || v->def->graph != t->graph || v->def_index != 0 || v->def->expr)
        return refuse(t, v, "is not known to be quantized");
    switch (v->def->op) {
    case OP_Reshape:
    case OP_Transpose:
    case OP_Expand:
    case OP_Slice:
    case OP_Tile:
    case OP_Gather:
        return move_one(t, v);
    case OP_MaxPool:
        return move_pool(t, v);
    case OP_Pad:
        return move_pad(t, v);
    case OP_Concat:
        return move_concat(t, v);
    default:
        return by_arithmetic(t, v);
    }
}

const Codes *codes_of(CodeTable *t, Value *v) {
    const Codes *known = map_get_ptr(&t->known, v);
    if (known) return known;
    if (t->depth >= MOST_DEPTH) return refuse(t, v, "is too far from where it was quantized");
    t->depth++;
    known = find(t, v);
    t->depth--;
    return known;
}
