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
static int bytes_cost(const Target *t) { return t->dot8 ? 1 : t->arch == ARCH_X86 && t->vector_bits > 32 ? 6 : 20; }

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

/* low * sum + step * (2^planes - 1) * ones, shaped to broadcast along the output's channels; NULL if it leaves i32. */
static Tensor *offsets(Arena *a, const Weights *w, const Codes *x, const int64_t *sum, const int64_t *ones, int rank) {
    Shape s = {.rank = rank, .dim = {w->channels, 1, 1}};
    Tensor *t = tensor_new(a, (Type){QCC_I32, s});
    for (int64_t m = 0; m < w->channels; m++) {
        int64_t v = x->low * sum[m] + x->step * (((int64_t)1 << x->planes) - 1) * ones[m];
        if (v > INT32_MAX / 2 || v < INT32_MIN / 2) return NULL;
        tensor_set_int(t, m, v);
    }
    return t;
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

/* The program on offset - step * sum, for the program on the product itself (NULL: none); `input` is the offset's. */
static const Expr *epilogue_of(Arena *a, const Node *n, int input, int64_t step) {
    ExprBuilder b = {.arena = a};
    X product =
        x_2(&b, X_SUB, x_in(&b, input, QCC_I32), x_2(&b, X_MUL, x_in(&b, 0, QCC_I32), x_const_int(&b, QCC_I32, step)));
    if (!n->expr) return x_finish(&b, product, input + 1);
    X *args = NEW_ARRAY(a, X, n->expr->n_in);
    args[0] = product;
    for (int i = 1; i < n->expr->n_in; i++) args[i] = x_in(&b, i, n->in[n->epilogue_in + i - 1]->type.elem);
    return x_finish(&b, x_inline(&b, n->expr, args), input + 1);
}

static void copy_window(Node *to, const Node *from) {
    for (int i = 0; i < from->n_attr; i++) node_set_attr(to, &from->attr[i]);
}

static void rewrite(Program *p, Node *n, Value *x, const Weights *w, const Codes *codes, Tensor *words, Tensor *start) {
    bool conv = n->op == OP_QConv;
    Graph *g = p->graph;
    Value *in[] = {x, graph_constant(g, n->in[1]->name, words)};
    Node *m = graph_node(g, n, conv ? OP_QXorConv : OP_QXorMatMul, n->loc, 2, in, 1);
    if (conv) copy_window(m, n);
    node_set_int(m, conv ? "x_planes" : "a_planes", codes->planes);
    node_set_int(m, conv ? "w_planes" : "b_planes", w->planes);
    if (!node_infer(p->diags, m)) bug("a product of bit-planes does not infer");
    int more = n->expr ? n->n_in - n->epilogue_in : 0;
    m->epilogue_in = 2;
    for (int i = 0; i < more; i++) node_add_in(m, n->in[n->epilogue_in + i]);
    node_add_in(m, graph_constant(g, "", start));
    m->expr = epilogue_of(p->arena, n, more + 1, codes->step);
    m->out[0]->type = n->out[0]->type;
    graph_replace(g, n->out[0], m->out[0]);
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
    int planes = weight_planes(n->in[1]->constant), rank = in_shape(n, 0)->rank;
    if (!planes) return;
    bool conv = n->op == OP_QConv;
    Weights w = conv ? conv_weights(n, planes) : matrix_weights(n, planes);
    if (!pays(p->target, w.terms, planes * codes.planes)) return;
    int64_t *sum = NEW_ARRAY(p->arena, int64_t, w.channels), *ones = NEW_ARRAY(p->arena, int64_t, w.channels);
    Tensor *words = pack_weights(p->arena, &w, sum, ones);
    Tensor *start = offsets(p->arena, &w, &codes, sum, ones, conv ? rank - 1 : 1);
    if (start) rewrite(p, n, packed(p, made, n, n->in[0], conv, &codes), &w, &codes, words, start);
}

void bits_run(Program *p) {
    Ranges r = {.arena = p->arena};
    Packed made = {0};
    for (Node *n = p->graph->first, *next; n; n = next) {
        next = n->next;
        try_node(p, &r, &made, n);
    }
}
