/* Operators of other domains than ONNX's own, rewritten to its newest set: mostly fusions that ONNX Runtime's optimizer
 * writes into files, taken apart again; the passes put together what suits the target. */
#include <string.h>

#include "frontend/import.h"

/* ---- small things ---- */

static bool need(Draft *d, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (!draft_in(d, i)) return draft_error(d, D_ARITY, "operand %zu is missing", i);
    }
    return true;
}

static Value *emit2(const Draft *d, const char *op, Value *a, Value *b) {
    return draft_emit(d, op, 2, (Value *[]){a, b}, 0, NULL);
}

/* `op` with the operands and attributes that the draft has now. */
static Value *emit_rest(const Draft *d, const char *op) {
    return draft_emit(d, op, d->in.n, d->in.at, d->attr.n, d->attr.at);
}

/* a + b, where b may be absent. */
static Value *add(const Draft *d, Value *a, Value *b) { return b ? emit2(d, "Add", a, b) : a; }

/* Takes an attribute out of the draft; `v` keeps what it was where there is none. False if it is of another kind. */
static bool take(Draft *d, const char *name, AttrKind kind, Attr *v) {
    const Attr *a = draft_attr(d, name);
    if (!a) return true;
    if (a->kind != kind) return draft_error(d, D_ATTRIBUTE, "attribute '%s' is of the wrong kind", name);
    *v = *a;
    draft_drop(d, name);
    return true;
}

static bool take_float(Draft *d, const char *name, double *v) {
    Attr a = {.f = *v};
    bool ok = take(d, name, ATTR_FLOAT, &a);
    *v = a.f;
    return ok;
}

static bool take_int(Draft *d, const char *name, int64_t *v) {
    Attr a = {.i = *v};
    bool ok = take(d, name, ATTR_INT, &a);
    *v = a.i;
    return ok;
}

static Attr attr_float(const char *name, double v) { return (Attr){.name = name, .kind = ATTR_FLOAT, .f = v}; }

static void put_float(Draft *d, const char *name, double v) { draft_put(d, attr_float(name, v)); }

/* The node becomes one of ONNX with these operands and the attributes that it has now. */
static bool become(Draft *d, const char *op, size_t n, Value *const *in) {
    d->op = op;
    d->in.n = 0;
    for (size_t i = 0; i < n; i++) draft_set_in(d, i, in[i]);
    return true;
}

static bool result(Draft *d, Value *v) {
    d->out[0] = v;
    d->done = true;
    return true;
}

static bool same(Draft *d) {
    (void)d;
    return true;
}

/* ---- activations ---- */

static bool bias_gelu(Draft *d) {
    return need(d, 2) && become(d, "Gelu", 1, (Value *[]){add(d, draft_in(d, 0), draft_in(d, 1))});
}

static bool fast_gelu(Draft *d) {
    if (!need(d, 1)) return false;
    draft_put_string(d, "approximate", "tanh");
    return become(d, "Gelu", 1, (Value *[]){add(d, draft_in(d, 0), draft_in(d, 1))});
}

static bool quick_gelu(Draft *d) {
    if (!draft_attr(d, "alpha")) put_float(d, "alpha", (double)1.702F);
    d->op = "Swish";
    return true;
}

/* What a fusion may end in, and the names of its numbers. */
static const struct Activation {
    const char *op, *param[2];
} activations[] = {{"Relu", {0}},
                   {"Tanh", {0}},
                   {"Sigmoid", {0}},
                   {"Softplus", {0}},
                   {"Softsign", {0}},
                   {"Elu", {"alpha"}},
                   {"LeakyRelu", {"alpha"}},
                   {"ThresholdedRelu", {"alpha"}},
                   {"HardSigmoid", {"alpha", "beta"}},
                   {"Selu", {"alpha", "gamma"}}};

static const struct Activation *find_activation(const char *op) {
    for (size_t i = 0; i < COUNT_OF(activations); i++) {
        if (strcmp(activations[i].op, op) == 0) return &activations[i];
    }
    return NULL;
}

/* The attribute `activation`: an empty name is none. */
static bool take_activation(Draft *d, const char **name, const struct Activation **act) {
    Attr a = {.s = ""};
    if (!take(d, "activation", ATTR_STRING, &a)) return false;
    *name = a.s;
    *act = find_activation(a.s);
    return true;
}

static bool refuse_activation(Draft *d, const char *name) {
    return draft_error(d, D_UNSUPPORTED_FORM, "the activation '%s' is not supported", name);
}

/* ---- products and convolutions ---- */

static bool is_param(const struct Activation *act, const char *name) {
    for (int i = 0; act && i < 2; i++) {
        if (act->param[i] && strcmp(act->param[i], name) == 0) return true;
    }
    return false;
}

static bool fused_gemm(Draft *d) {
    static const char *const numbers[] = {"activation_alpha", "activation_beta", "activation_gamma"};
    const char *name;
    const struct Activation *act;
    Attr params[COUNT_OF(numbers)];
    size_t n = 0;
    if (!take_activation(d, &name, &act)) return false;
    if (*name && !act) return refuse_activation(d, name);
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        Attr v = {0};
        if (!take(d, numbers[i], ATTR_FLOAT, &v)) return false;
        const char *own = numbers[i] + strlen("activation_");
        if (v.name && is_param(act, own)) params[n++] = attr_float(own, v.f);
    }
    d->op = "Gemm";
    return !act || result(d, draft_emit(d, act->op, 1, &(Value *){emit_rest(d, "Gemm")}, n, params));
}

static Value *clip(const Draft *d, Value *v, const double *bounds) {
    Value *in[] = {v, draft_const_floats(d, v->type.elem, 0, 1, bounds),
                   draft_const_floats(d, v->type.elem, 0, 1, bounds + 1)};
    return draft_emit(d, "Clip", 3, in, 0, NULL);
}

static Value *activate(const Draft *d, const struct Activation *act, Value *v, const Attr *params) {
    Attr attrs[2];
    size_t n = 0;
    for (; n < 2 && act->param[n] && (int64_t)n < params->n; n++)
        attrs[n] = attr_float(act->param[n], params->floats[n]);
    return draft_emit(d, act->op, 1, &v, n, attrs);
}

/* Conv, then its operand 3 is added, then an activation. */
static bool fused_conv(Draft *d) {
    const char *name;
    const struct Activation *act;
    Attr params = {0};
    if (!take_activation(d, &name, &act) || !take(d, "activation_params", ATTR_FLOATS, &params)) return false;
    bool clips = strcmp(name, "Clip") == 0 && params.n == 2;
    if (*name && !act && !clips) return refuse_activation(d, name);
    Value *z = draft_in(d, 3);
    if (d->in.n > 3) d->in.n = 3;
    Value *v = add(d, emit_rest(d, "Conv"), z);
    if (is_poison(d->imp, v)) return false;
    return result(d, clips ? clip(d, v, params.floats) : act ? activate(d, act, v, &params) : v);
}

/* The last two dimensions exchanged. */
static Value *transposed(const Draft *d, Value *v) {
    int rank = v->type.shape.rank;
    if (rank < 2) return v;
    int64_t *perm = NEW_ARRAY(d->imp->arena, int64_t, rank);
    for (int i = 0; i < rank; i++) perm[i] = i < rank - 2 ? i : 2 * rank - 3 - i;
    return draft_emit(d, "Transpose", 1, &v, 1, (Attr[]){{.name = "perm", .kind = ATTR_INTS, .n = rank, .ints = perm}});
}

static bool fused_matmul(Draft *d) {
    static const char *const names[] = {"transA", "transB", "transBatchA", "transBatchB"};
    double alpha = 1;
    int64_t flags[4] = {0};
    if (!need(d, 2) || !take_float(d, "alpha", &alpha)) return false;
    for (int i = 0; i < 4; i++) {
        if (!take_int(d, names[i], &flags[i])) return false;
    }
    if (flags[2] || flags[3])
        return draft_error(d, D_UNSUPPORTED_FORM, "transBatchA and transBatchB are not supported");
    Value *in[] = {draft_in(d, 0), draft_in(d, 1)};
    for (int i = 0; i < 2; i++) {
        if (flags[i]) in[i] = transposed(d, in[i]);
    }
    if (alpha == 1) return become(d, "MatMul", 2, in);
    Value *scale = draft_const_floats(d, draft_in(d, 0)->type.elem, 0, 1, &alpha);
    return become(d, "Mul", 2, (Value *[]){emit2(d, "MatMul", in[0], in[1]), scale});
}

/* ---- normalisations ---- */

static bool simplified_norm(Draft *d) {
    d->op = "RMSNormalization";
    return true;
}

/* input + skip + bias, which is result 3, goes into `op`. `beta` may be absent. */
static bool norm_of_sum(Draft *d, const char *op, Value *beta, Value *bias) {
    Value *sum = add(d, emit2(d, "Add", draft_in(d, 0), draft_in(d, 1)), bias);
    if (!draft_attr(d, "epsilon")) put_float(d, "epsilon", (double)1e-12F);
    if (d->n_out > 3 && d->wanted[3]) {
        d->out[3] = sum;
        d->wanted[3] = false;
    }
    return become(d, op, beta ? 3 : 2, (Value *[]){sum, draft_in(d, 2), beta});
}

static bool skip_norm(Draft *d) {
    return need(d, 3) && norm_of_sum(d, "LayerNormalization", draft_in(d, 3), draft_in(d, 4));
}

static bool skip_simplified_norm(Draft *d) {
    return need(d, 3) && norm_of_sum(d, "RMSNormalization", NULL, draft_in(d, 3));
}

/* ---- sampling ---- */

/* The row of upgrade.def brings the names of the modes on from there. */
static bool grid_sample(Draft *d) {
    d->opset = 16;
    return true;
}

/* ---- attention ---- */

enum { MAX_POSITIONS = 1 << 24 };

/* One offset for all: positions offset, offset + 1, ... in each row of the batch. */
static Value *positions_from(const Draft *d, Value *offset, int64_t batch, int64_t length) {
    Tensor *t = tensor_new(d->imp->arena, (Type){QCC_I64, shape_of(2, (int64_t[]){batch, length})});
    int64_t *v = tensor_data(t);
    for (int64_t i = 0; i < batch * length; i++) v[i] = i % length;
    return emit2(d, "Add", graph_constant(d->imp->g, "", t), offset);
}

static bool rotary_embedding(Draft *d) {
    if (!need(d, 4)) return false;
    Value *x = draft_in(d, 0), *position = draft_in(d, 1), *in[] = {x, draft_in(d, 2), draft_in(d, 3), position};
    const Shape *s = &x->type.shape, *table = &in[1]->type.shape;
    double scale = 1;
    int64_t packed = 0;
    if (!take_float(d, "scale", &scale) || !take_int(d, "is_packed_batching", &packed)) return false;
    if (scale != 1 || packed) return draft_error(d, D_UNSUPPORTED_FORM, "a scale and packed batches are not supported");
    if (s->rank == 3 && table->rank == 2 && table->dim[1] > 0 && draft_int(d, "num_heads", 0) == 0)
        draft_put_int(d, "num_heads", s->dim[2] / table->dim[1] / 2);
    if (position->type.shape.rank == 1 && position->type.shape.dim[0] == 1 && (s->rank == 3 || s->rank == 4)) {
        int64_t length = s->dim[s->rank - 2], n;
        if (mul_overflow(s->dim[0], length, &n) || n > MAX_POSITIONS)
            return draft_error(d, D_SIZE_LIMIT, "more than %d positions", MAX_POSITIONS);
        in[3] = positions_from(d, position, s->dim[0], length);
    }
    return become(d, "RotaryEmbedding", 4, in);
}

/* v plus its part [from, from + size) of the bias of all three projections; moves `from` on. */
static Value *add_bias(const Draft *d, Value *v, Value *bias, int64_t *from) {
    if (!bias) return v;
    int64_t size = v->type.shape.dim[2], start = *from, end = start + size;
    *from = end;
    Value *in[] = {bias, draft_const_ints(d, 1, &start), draft_const_ints(d, 1, &end)};
    return emit2(d, "Add", v, draft_emit(d, "Slice", 3, in, 0, NULL));
}

/* `mask_filter_value` is of use with a padding mask only. */
static bool attention_attrs(Draft *d) {
    int64_t heads = 0, causal = 0;
    double scale = 0, filter = 0;
    if (!take_int(d, "num_heads", &heads) || !take_int(d, "unidirectional", &causal) ||
        !take_float(d, "mask_filter_value", &filter) || !take_float(d, "scale", &scale))
        return false;
    draft_put_int(d, "is_causal", causal);
    draft_put_int(d, "q_num_heads", heads);
    draft_put_int(d, "kv_num_heads", heads);
    if (scale != 0) put_float(d, "scale", scale);
    return true;
}

static bool multi_head_attention(Draft *d) {
    enum { BIAS = 3, PADDING, MASK, PAST_KEY, PAST_VALUE };
    int64_t from = 0;
    Value *in[6] = {[3] = draft_in(d, MASK), draft_in(d, PAST_KEY), draft_in(d, PAST_VALUE)};
    for (size_t i = 0; i < 3; i++) {
        in[i] = draft_in(d, i);
        if (!in[i] || in[i]->type.shape.rank != 3 || draft_in(d, PADDING) || d->in.n > PAST_VALUE + 1)
            return draft_error(d, D_UNSUPPORTED_FORM,
                               "query, key and value must be given, each of rank 3, without padding mask");
    }
    for (size_t i = 0; i < 3; i++) in[i] = add_bias(d, in[i], draft_in(d, BIAS), &from);
    return attention_attrs(d) && become(d, "Attention", 6, in);
}

/* ---- channels last ---- */

/* Operand or result v of rank 3 or more with its channels moved from the end to place 1, or back. */
static Value *move_channels(const Draft *d, Value *v, bool to_end) {
    int rank = v->type.shape.rank;
    if (rank < 3) return v;
    int64_t *perm = NEW_ARRAY(d->imp->arena, int64_t, rank);
    for (int i = 1; i < rank; i++) perm[i] = to_end ? i + 1 : i - 1;
    perm[to_end ? rank - 1 : 1] = to_end ? 1 : rank - 1;
    return draft_emit(d, "Transpose", 1, &v, 1, (Attr[]){{.name = "perm", .kind = ATTR_INTS, .n = rank, .ints = perm}});
}

/* `op` on images whose channels are last, as are the input channels of its operand 1 where `kernel` says so. */
static bool channels_last(Draft *d, const char *op, bool kernel) {
    if (!need(d, kernel ? 2 : 1)) return false;
    for (int i = 1; i < d->n_out; i++) {
        if (d->wanted[i]) return draft_error(d, D_UNSUPPORTED_FORM, "result %d is not supported with channels last", i);
    }
    for (size_t i = 0; i < (kernel ? 2 : 1); i++) draft_set_in(d, i, move_channels(d, draft_in(d, i), false));
    Value *v = emit_rest(d, op);
    return !is_poison(d->imp, v) && result(d, move_channels(d, v, true));
}

static bool channels_last_conv(Draft *d) { return channels_last(d, d->op, true); }

static bool channels_last_pool(Draft *d) {
    return channels_last(d, strcmp(d->op, "MaxPoolNHWC") == 0 ? "MaxPool" : d->op, false);
}

/* Weights are as ever. */
static bool image_of_codes(Draft *d) {
    int64_t last = 0;
    if (!take_int(d, "channels_last", &last)) return false;
    return !last || channels_last(d, d->op, false);
}

/* ---- quantizers ---- */

static bool int_quant(Draft *d) {
    d->op = "Quant";
    return true;
}

/* Version 1 had no scale of the output, in front of the last operand. */
static bool trunc_operands(Draft *d) {
    if (d->in.n != 5) return true;
    draft_set_in(d, 5, d->in.at[4]);
    draft_set_in(d, 4, NULL);
    return true;
}

/* A number that may be written as an int, a float or a tensor of one element becomes an int. */
static bool whole_number(Draft *d, const char *name, const char *to) {
    const Attr *a = draft_attr(d, name);
    if (!a) return true;
    double v = a->kind == ATTR_INT ? (double)a->i : a->f;
    if (a->kind == ATTR_TENSOR && shape_count(&a->t->type.shape) == 1) v = tensor_get(a->t, 0);
    bool number =
        a->kind == ATTR_INT || a->kind == ATTR_FLOAT || (a->kind == ATTR_TENSOR && shape_count(&a->t->type.shape) == 1);
    if (!number || !(v >= -0x1p53 && v <= 0x1p53) || v != (double)(int64_t)v)
        return draft_error(d, D_ATTRIBUTE, "attribute '%s' is no whole number", name);
    draft_drop(d, name);
    draft_put_int(d, to, (int64_t)v);
    return true;
}

static bool requant_numbers(Draft *d) {
    return whole_number(d, "div", "div") && whole_number(d, "signed", "signed") &&
           whole_number(d, "n_levels", "n_levels") && whole_number(d, "n_levels_out", "n_levels");
}

/* ---- the table ---- */

struct Foreign {
    const char *domain, *op, *what; /* what it is, or why it is refused */
    bool bare;
    bool (*rewrite)(Draft *); /* NULL: refused */
};
static const Foreign rows[] = {
#define FOREIGN(domain, op, rewrite, what) {domain, op, what, false, rewrite},
#define BARE(domain, op, rewrite, what) {domain, op, what, true, rewrite},
#define REFUSED(domain, op, why) {domain, op, why, false, NULL},
#define BARE_REFUSED(domain, op, why) {domain, op, why, true, NULL},
#include "frontend/foreign.def"
};

static const struct {
    const char *spelling, *domain;
} domains[] = {
#define DOMAIN(spelling, domain) {spelling, domain},
#define FOREIGN(domain, op, rewrite, what)
#include "frontend/foreign.def"
};

const char *domain_short(const char *domain) {
    for (size_t i = 0; i < COUNT_OF(domains); i++) {
        if (strcmp(domains[i].spelling, domain) == 0) return domains[i].domain;
    }
    return domain;
}

const Foreign *foreign_find(const char *domain, const char *op) {
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (!glob_match(rows[i].op, op)) continue;
        if (strcmp(rows[i].domain, domain) == 0 || (rows[i].bare && !*domain)) return &rows[i];
    }
    return NULL;
}

const char *foreign_home(const char *op) {
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (rows[i].bare && rows[i].rewrite && strcmp(rows[i].op, op) == 0) return rows[i].domain;
    }
    return NULL;
}

const char *foreign_refusal(const Foreign *f) { return f && !f->rewrite ? f->what : NULL; }

void onnx_print_foreign(Text *t) {
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const Foreign *f = &rows[i];
        text_add(t, "%-28s %s%s\n", arena_printf(t->arena, "%s%s%s", f->domain, *f->domain ? "." : "", f->op),
                 f->rewrite ? "" : "refused: ", f->what);
    }
}

bool draft_localize(Draft *d) {
    if (!d->foreign) return true;
    d->opset = OPSET_NEWEST;
    return d->foreign->rewrite(d);
}
