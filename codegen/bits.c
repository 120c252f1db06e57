/* Bit-serial products. Where weights are sums of bipolar planes, w = sum_l 2^l v_l with v in {-1, 1} (one plane: binary
 * weights; several: the odd integers of DoReFa), and codes have few bits, x = low + step * sum_j 2^j b_j, a product is
 *
 *     sum w x = low * sum w + step * ((2^planes - 1) * sum_l 2^l ones(W_l) - sum_l sum_j 2^(l+j) popcount(W_l ^ X_j))
 *
 * W_l being the bits v_l > 0. All but the last sum is known per channel; it becomes part of the epilogue. Behind the
 * image X is 0, which is the value 0 where low is 0; where it is not, layers with padding are left alone. (XNOR-Net,
 * Rastegari et al. 2016; DoReFa-Net, Zhou et al. 2016.) */
#include "codegen/program.h"
#include "ir/op.h"
#include "ir/ops/window.h"
#include "quant/alphabet.h"
#include "quant/range.h"

enum { WORD_BITS = 32, MOST_PLANES = 3 };

typedef struct Codes {
    int64_t low, step;
    int planes;
} Codes;

static int bits_of(int64_t n) {
    int bits = 0;
    for (; n > 0; n >>= 1) bits++;
    return bits;
}

static bool read_codes(Ranges *r, const Value *x, Codes *out) {
    Range range;
    if ((x->type.elem != QCC_U8 && x->type.elem != QCC_I8) || !range_of(r, x, &range) || range.lo == range.hi)
        return false;
    int64_t most = (range.hi - range.lo) / range.step;
    *out = (Codes){range.lo, range.step, bits_of(most)};
    /* Zero is what padding holds; codes that count from it are the better ones. */
    if (range.step == 1 && range.lo > 0 && bits_of(range.hi) == out->planes) out->low = 0;
    return out->planes <= MOST_PLANES && (most == 1 || range.step == 1);
}

/* Planes of the weights; 0 where they are no sums of bipolar ones. */
static int weight_planes(const Tensor *w) {
    Alphabet a;
    if (!alphabet_of(w, &a) || !a.odd) return 0;
    int64_t most = i64_max(-a.value[0], a.value[a.n - 1]);
    return bits_of(most) <= MOST_PLANES ? bits_of(most) : 0;
}

/* ---- what pays ------------------------------------------------------------------------------------------------- */

/* Instructions per vector of sums: for a word of bits in one pair of planes, and for four bytes. */
static int word_cost(const Target *t) {
    if (t->count) return 3;
    return t->arch == ARCH_X86 && t->vector_bits >= 256 ? 12 : t->arch == ARCH_AARCH64 ? 6 : 16;
}
static int bytes_cost(const Target *t) {
    return t->dot8 ? 1 : t->pair8 ? 3 : t->arch == ARCH_X86 && t->vector_bits > 32 ? 6 : 20;
}

static bool pays(const Target *t, int64_t terms, int pairs) {
    return ceil_div(terms, WORD_BITS) * pairs * word_cost(t) < ceil_div(terms, 4) * bytes_cost(t);
}

/* ---- weights ----------------------------------------------------------------------------------------------------- */

/* How weights lie: element (m, k, t) of channel, term and tap at m * channel + k * term + t * tap. */
typedef struct Weights {
    const Tensor *tensor;
    int planes;
    int64_t channels, terms, taps;          /* terms: input channels, or rows of a matrix */
    int64_t channel, term, tap;             /* strides, in elements */
    int64_t out_channel, out_term, out_tap; /* the same of the words */
    Type type;                              /* of the words */
} Weights;

static Weights conv_weights(const Node *n, int planes) {
    const Tensor *t = n->in[1]->constant;
    Weights w = {.tensor = t, .planes = planes, .type = {QCC_U32, t->type.shape}};
    int64_t *dim = w.type.shape.dim;
    w.channels = dim[0];
    w.terms = dim[1];
    w.taps = shape_count(&t->type.shape) / (w.channels * w.terms);
    w.tap = w.out_tap = 1;
    w.term = w.out_term = w.taps;
    w.channel = w.terms * w.taps;
    dim[1] = planes * ceil_div(w.terms, WORD_BITS);
    w.out_channel = dim[1] * w.taps;
    return w;
}

static Weights matrix_weights(const Node *n, int planes) {
    const Tensor *t = n->in[1]->constant;
    Weights w = {.tensor = t, .planes = planes, .taps = 1, .type = {QCC_U32, t->type.shape}};
    int64_t *dim = w.type.shape.dim;
    w.terms = dim[0];
    w.channels = dim[1];
    w.term = w.out_term = w.channels;
    w.channel = w.out_channel = 1;
    dim[0] = planes * ceil_div(w.terms, WORD_BITS);
    return w;
}

/* The words; in sum[m] the channel's sum of weights, in ones[m] that of 2^l * ones(W_l). */
static Tensor *pack_weights(Arena *a, const Weights *w, int64_t *sum, int64_t *ones) {
    Tensor *out = tensor_new(a, w->type);
    uint32_t *words = tensor_data(out);
    int64_t per_plane = ceil_div(w->terms, WORD_BITS);
    for (int64_t m = 0; m < w->channels; m++)
        for (int64_t k = 0; k < w->terms; k++)
            for (int64_t t = 0; t < w->taps; t++) {
                int64_t v = tensor_get_int(w->tensor, m * w->channel + k * w->term + t * w->tap);
                int64_t code = (v + ((int64_t)1 << w->planes) - 1) / 2; /* bit l: v_l > 0 */
                sum[m] += v;
                ones[m] += code;
                for (int l = 0; l < w->planes; l++) {
                    int64_t at = (w->planes - 1 - l) * per_plane + k / WORD_BITS;
                    uint32_t bit = (uint32_t)(code >> l & 1) << (k % WORD_BITS);
                    words[m * w->out_channel + at * w->out_term + t * w->out_tap] |= bit;
                }
            }
    return out;
}

/* low * sum + step * (2^planes - 1) * ones of each channel; false if one leaves i32. */
static bool find_offsets(const Weights *w, const Codes *x, const int64_t *sum, const int64_t *ones, int64_t *out) {
    for (int64_t m = 0; m < w->channels; m++) {
        out[m] = x->low * sum[m] + x->step * (((int64_t)1 << x->planes) - 1) * ones[m];
        if (out[m] > INT32_MAX / 2 || out[m] < INT32_MIN / 2) return false;
    }
    return true;
}

/* ---- the graph ------------------------------------------------------------------------------------------------- */

/* What was packed, by the value: along dimension 1, and along the last one. */
typedef struct Packed {
    Map channels, last;
} Packed;

/* x in bit-planes; one node serves all readers. */
static Value *packed(Program *p, Packed *all, Node *before, Value *x, bool conv, const Codes *codes) {
    Map *made = conv ? &all->channels : &all->last;
    int axis = conv ? 1 : x->type.shape.rank - 1;
    Value *y = map_get_ptr(made, x);
    if (y) return y;
    Node *n = graph_node(p->graph, before, OP_QPack, before->loc, 1, &x, 1);
    node_set_int(n, "axis", axis);
    node_set_int(n, "planes", codes->planes);
    node_set_int(n, "low", codes->low);
    node_set_int(n, "step", codes->step);
    if (!node_infer(p->diags, n)) bug("bit-planes do not infer");
    n->out[0]->name = x->name;
    map_put_ptr(p->arena, made, x, n->out[0]);
    return n->out[0];
}

/* ---- the epilogue: a program on offset - step * count, count being the new node's result ----------------------------
 */

typedef struct Epilogue {
    Program *p;
    const Node *old;
    Node *node;
    const Weights *w;
    const int64_t *offset; /* per channel */
    int64_t step, most;    /* count is in 0 .. most */
    ExprBuilder b;
    int n_in; /* inputs of the program so far */
} Epilogue;

static X add_operand(Epilogue *e, Value *v) {
    node_add_in(e->node, v);
    return x_in(&e->b, e->n_in++, v->type.elem);
}

/* A constant of one number for each channel, in 16 bits if they fit. */
static X add_constant(Epilogue *e, const int64_t *v) {
    int64_t n = e->w->channels, lo = 0, hi = 0;
    for (int64_t m = 0; m < n; m++) {
        lo = i64_min(lo, v[m]);
        hi = i64_max(hi, v[m]);
    }
    Elem elem = lo >= INT16_MIN && hi <= INT16_MAX ? QCC_I16 : QCC_I32;
    Shape s = {.rank = e->old->op == OP_QConv ? e->old->out[0]->type.shape.rank - 1 : 1, .dim = {n, 1, 1, 1}};
    Value *c = graph_constant(e->p->graph, "", tensor_from_ints(e->p->arena, elem, s, v));
    return x_cast(&e->b, QCC_I32, add_operand(e, c));
}

static const XInst *inst_of(const Epilogue *e, int i) { return &e->old->expr->inst[i]; }
static bool is_product(const Epilogue *e, int i) { return inst_of(e, i)->op == X_INPUT && inst_of(e, i)->k.i == 0; }

/* Threshold of channel m in an instruction `threshold <= product`; false where that is not known. */
static bool threshold_at(const Epilogue *e, const XInst *i, int64_t m, int64_t *out) {
    const XInst *t = inst_of(e, i->a);
    if (t->op == X_CONST) *out = t->k.i;
    if (t->op != X_INPUT || t->k.i == 0) return t->op == X_CONST;
    const Tensor *c = e->old->in[e->old->epilogue_in + (int)t->k.i - 1]->constant;
    if (!c || (!c->splat && shape_count(&c->type.shape) != e->w->channels)) return false;
    *out = tensor_get_int(c, m);
    return true;
}

static bool is_threshold(const Epilogue *e, const XInst *i) {
    int64_t t;
    return i->op == X_LE && is_product(e, i->b) && !is_product(e, i->a) && threshold_at(e, i, 0, &t);
}

/* Is the product looked at through thresholds only? */
static bool thresholds_only(const Epilogue *e) {
    for (int k = 0; k < e->old->expr->n; k++) {
        const XInst *i = inst_of(e, k);
        int operands = x_op_info[i->op].n;
        bool reads = (operands > 0 && is_product(e, i->a)) || (operands > 1 && is_product(e, i->b)) ||
                     (operands > 2 && is_product(e, i->c));
        if (reads && !is_threshold(e, i)) return false;
    }
    return true;
}

/* t <= offset - step * count, as count <= floor((offset - t) / step). */
static X count_below(Epilogue *e, const XInst *i) {
    int64_t *bound = NEW_ARRAY(e->p->arena, int64_t, e->w->channels), t = 0;
    for (int64_t m = 0; m < e->w->channels; m++) {
        threshold_at(e, i, m, &t);
        int64_t room = e->offset[m] - t;
        bound[m] = room < 0 ? -1 : i64_min(room / e->step, e->most);
    }
    return x_2(&e->b, X_LE, x_in(&e->b, 0, QCC_I32), add_constant(e, bound));
}

/* The old program with `product` in place of its input 0; thresholds on it become bounds of the count if it is -1. */
static X transcribe(Epilogue *e, X product) {
    const Expr *x = e->old->expr;
    X *made = NEW_ARRAY(e->p->arena, X, x->n), last = product;
    for (int k = 0; k < x->n; k++) {
        XInst i = *inst_of(e, k);
        if (i.op == X_INPUT) {
            made[k] = i.k.i ? -1 : product; /* operands are added where they are read */
            continue;
        }
        int *operand[] = {&i.a, &i.b, &i.c};
        for (int o = 0; o < x_op_info[i.op].n && !(product < 0 && is_threshold(e, inst_of(e, k))); o++) {
            int from = *operand[o];
            if (inst_of(e, from)->op == X_INPUT && made[from] < 0)
                made[from] = add_operand(e, e->old->in[e->old->epilogue_in + (int)inst_of(e, from)->k.i - 1]);
            *operand[o] = made[from];
        }
        made[k] = product < 0 && is_threshold(e, inst_of(e, k)) ? count_below(e, inst_of(e, k)) : x_add(&e->b, i);
        last = made[k];
    }
    return last;
}

static void write_epilogue(Epilogue *e) {
    X result, count = x_in(&e->b, 0, QCC_I32);
    if (e->old->expr && thresholds_only(e)) {
        result = transcribe(e, -1);
    } else {
        X scaled = x_2(&e->b, X_MUL, count, x_const_int(&e->b, QCC_I32, e->step));
        X product = x_2(&e->b, X_SUB, add_constant(e, e->offset), scaled);
        result = e->old->expr ? transcribe(e, product) : product;
    }
    e->node->expr = x_finish(&e->b, result, e->n_in);
}

static void copy_window(Node *to, const Node *from) {
    for (int i = 0; i < from->n_attr; i++) node_set_attr(to, &from->attr[i]);
}

static void rewrite(Program *p, Node *n, Value *x, const Weights *w, const Codes *codes, Tensor *words,
                    const int64_t *offset) {
    bool conv = n->op == OP_QConv;
    Graph *g = p->graph;
    Value *in[] = {x, graph_constant(g, n->in[1]->name, words)};
    Node *m = graph_node(g, n, conv ? OP_QXorConv : OP_QXorMatMul, n->loc, 2, in, 1);
    if (conv) copy_window(m, n);
    node_set_int(m, conv ? "x_planes" : "a_planes", codes->planes);
    node_set_int(m, conv ? "w_planes" : "b_planes", w->planes);
    if (!node_infer(p->diags, m)) bug("a product of bit-planes does not infer");
    int64_t pairs = (((int64_t)1 << codes->planes) - 1) * (((int64_t)1 << w->planes) - 1);
    m->epilogue_in = 2;
    Epilogue e = {.p = p,
                  .old = n,
                  .node = m,
                  .w = w,
                  .offset = offset,
                  .step = codes->step,
                  .most = w->terms * w->taps * pairs,
                  .b = {.arena = p->arena},
                  .n_in = 1};
    write_epilogue(&e);
    m->out[0]->type = n->out[0]->type;
    value_succeed(n->out[0], m->out[0]);
    graph_erase(n);
}

static bool has_padding(const Node *n) {
    Window w;
    if (n->op != OP_QConv) return false;
    window_of_node(n, &w);
    for (int i = 0; i < w.rank; i++)
        if (w.pad_begin[i] || window_extent(&w, i) + (w.out[i] - 1) * w.stride[i] > w.in[i] + w.pad_begin[i])
            return true;
    return false;
}

static bool is_candidate(const Node *n) {
    if (n->op != OP_QConv && n->op != OP_QMatMul) return false;
    if (!n->in[1]->constant || shape_count(&n->out[0]->type.shape) <= 0) return false;
    return n->op == OP_QConv ? node_int(n, "group") == 1 && in_shape(n, 0)->rank <= 5
                             : in_shape(n, 1)->rank == 2 && shape_count(in_shape(n, 1)) > 0;
}

static void try_node(Program *p, Ranges *r, Packed *made, Node *n) {
    Codes codes;
    if (!is_candidate(n) || !read_codes(r, n->in[0], &codes) || (codes.low && has_padding(n))) return;
    int planes = weight_planes(n->in[1]->constant);
    if (!planes) return;
    bool conv = n->op == OP_QConv;
    Weights w = conv ? conv_weights(n, planes) : matrix_weights(n, planes);
    if (!pays(p->target, w.terms, planes * codes.planes)) return;
    int64_t *sum = NEW_ARRAY(p->arena, int64_t, w.channels), *ones = NEW_ARRAY(p->arena, int64_t, w.channels);
    Tensor *words = pack_weights(p->arena, &w, sum, ones);
    int64_t *offset = NEW_ARRAY(p->arena, int64_t, w.channels);
    if (!find_offsets(&w, &codes, sum, ones, offset)) return;
    rewrite(p, n, packed(p, made, n, n->in[0], conv, &codes), &w, &codes, words, offset);
}

void bits_run(Program *p) {
    Ranges r = {.arena = p->arena};
    Packed made = {0};
    for (Node *n = p->graph->first, *next; n; n = next) {
        next = n->next;
        try_node(p, &r, &made, n);
    }
}

/* ---- bits instead of codes --------------------------------------------------------------------------------------- */

static bool reads_words(const Node *n) { return n->op == OP_QXorConv || n->op == OP_QXorMatMul; }

/* Only products of bit-planes read v, and layout can put it where they like. */
static bool only_words(const Value *v) {
    if (value_is_output(v)) return false;
    for (size_t i = 0; i < v->uses.n; i++)
        if (!reads_words(v->uses.at[i].node) || v->uses.at[i].operand != 0) return false;
    return true;
}

bool bits_absorbed(Program *p, Node *n) {
    if (n->op != OP_QPack) return false;
    Value *x = n->in[0];
    Step *maker = x->def ? map_get_ptr(&p->chosen, x->def) : NULL;
    Bits b = bits_of_node(n);
    if (!maker || x->def_index != 0 || value_use_count(x) != 1 || !only_words(n->out[0])) return false;
    if (b.planes > 1 && b.step != 1) return false;
    if (maker->plan.finish_lanes < 8 || maker->plan.finish_dim != b.axis) return false;
    maker->planes = n;
    maker->bits = b;
    maker->bits.nested = bits_nested(maker->node, &b);
    maker->name = arena_printf(p->arena, "%s_bits__%s", maker->plan.name, p->target->isa);
    return true;
}
