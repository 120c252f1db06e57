/* Einsum: sums of products named by index letters. Operands are taken in from the left, two at a time: what neither the
 * output nor a later operand needs is summed on the way, and each pair becomes one batched matrix product (batch
 * letters, rows, columns, summed letters), or a broadcast multiplication where nothing is summed. */
#include "ir/ops/expand.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

/* Letters A-Z, a-z in this order; the ellipsis' dimensions follow, its last being the last label. */
enum { LETTERS = 52, LABELS = LETTERS + MAX_RANK };

/* The labels of a tensor's dimensions, in order. */
typedef struct Term {
    int n;
    int label[MAX_RANK];
} Term;

typedef struct Equation {
    int n;
    Term *in, out;
    int ellipsis; /* dimensions that "..." stands for: the largest number of any operand */
    int64_t size[LABELS];
    int count[LABELS]; /* appearances among the operands */
} Equation;

/* ---- reading ------------------------------------------------------------------------------------------------------
 */

static int label_of(char ch) { return isupper((unsigned char)ch) ? ch - 'A' : 26 + ch - 'a'; }

static bool equation_error(Infer *c, const char *what) {
    return infer_error(c, D_ATTRIBUTE, -1, "equation '%s': %s", node_string(c->node, "equation"), what);
}

static bool push(Infer *c, Term *t, int label) {
    if (t->n == MAX_RANK) return equation_error(c, "a term of more labels than the largest supported rank");
    t->label[t->n++] = label;
    return true;
}

/* One term up to ',', '-' or the end; `dots` labels stand for its ellipsis. */
static bool read_term(Infer *c, const char **at, int dots, Term *t, bool *has_dots) {
    *t = (Term){0};
    *has_dots = false;
    for (const char *s = *at;; s++) {
        *at = s;
        if (*s == ' ') continue;
        if (*s == 0 || *s == ',' || *s == '-') return true;
        if (strncmp(s, "...", 3) == 0) {
            if (*has_dots) return equation_error(c, "two ellipses in one term");
            *has_dots = true;
            for (int i = 0; i < dots; i++)
                if (!push(c, t, LABELS - dots + i)) return false;
            s += 2;
        } else if (isalpha((unsigned char)*s) && (unsigned char)*s < 128) {
            if (!push(c, t, label_of(*s))) return false;
        } else {
            return equation_error(c, "wanted letters, '...', ',' and '->'");
        }
    }
}

/* A diagonal is one of equal dimensions. */
static bool check_diagonal(Infer *c, const Term *t, const Shape *s, int operand, int i) {
    for (int j = 0; j < i; j++) {
        if (t->label[j] != t->label[i] || s->dim[j] == s->dim[i]) continue;
        return infer_error(c, D_OPERAND_SHAPE, operand,
                           "dimensions %d and %d have one label, but are %" PRId64 " and %" PRId64, j, i, s->dim[j],
                           s->dim[i]);
    }
    return true;
}

/* Dimensions agree, or are 1 and broadcast. */
static bool bind(Infer *c, Equation *q, int operand) {
    const Shape *s = in_shape(c->node, operand);
    const Term *t = &q->in[operand];
    if (t->n != s->rank)
        return infer_error(c, D_OPERAND_SHAPE, operand,
                           "term %d of the equation has %d labels; the operand's rank is %d", operand, t->n, s->rank);
    for (int i = 0; i < t->n; i++) {
        if (!check_diagonal(c, t, s, operand, i)) return false;
        int64_t *size = &q->size[t->label[i]];
        bool first = q->count[t->label[i]]++ == 0;
        if (first || *size == 1)
            *size = s->dim[i];
        else if (s->dim[i] != *size && s->dim[i] != 1)
            return infer_error(c, D_OPERAND_SHAPE, operand,
                               "dimension %d is %" PRId64 "; its label has %" PRId64 " elsewhere", i, s->dim[i], *size);
    }
    return true;
}

/* An operand's term is read twice: once to learn how many dimensions its ellipsis stands for. */
static bool read_operand(Infer *c, Equation *q, int operand, const char **at) {
    const char *start = *at;
    bool dots;
    Term *t = &q->in[operand];
    if (!read_term(c, at, 0, t, &dots)) return false;
    int rest = in_shape(c->node, operand)->rank - t->n;
    if (dots && rest > 0) {
        *at = start;
        if (!read_term(c, at, rest, t, &dots)) return false;
        if (rest > q->ellipsis) q->ellipsis = rest;
    }
    return bind(c, q, operand);
}

/* Without '->': the ellipsis, then in order of the alphabet every letter that appears once. */
static bool implied_output(Infer *c, Equation *q) {
    for (int i = LABELS - q->ellipsis; i < LABELS; i++)
        if (!push(c, &q->out, i)) return false;
    for (int i = 0; i < LETTERS; i++)
        if (q->count[i] == 1 && !push(c, &q->out, i)) return false;
    return true;
}

static bool check_output(Infer *c, const Equation *q) {
    bool seen[LABELS] = {false};
    for (int i = 0; i < q->out.n; i++) {
        int l = q->out.label[i];
        if (seen[l]) return equation_error(c, "a label twice in the output");
        if (!q->count[l]) return equation_error(c, "a label in the output that no operand has");
        seen[l] = true;
    }
    int distinct = 0;
    for (int i = 0; i < LABELS; i++) distinct += q->count[i] > 0;
    if (distinct <= MAX_RANK) return true;
    return infer_error(c, D_UNSUPPORTED_FORM, -1, "%d different labels; at most %d are supported", distinct, MAX_RANK);
}

static bool read_equation(Infer *c, Equation *q) {
    const char *at = node_string(c->node, "equation");
    bool dots;
    *q = (Equation){.n = c->node->n_in, .in = NEW_ARRAY(c->arena, Term, c->node->n_in)};
    for (int i = 0; i < q->n; i++) {
        if (i > 0 && *at++ != ',') return equation_error(c, "fewer terms than operands");
        if (!read_operand(c, q, i, &at)) return false;
    }
    if (*at == ',') return equation_error(c, "more terms than operands");
    if (*at == 0) return implied_output(c, q) && check_output(c, q);
    if (at[1] != '>') return equation_error(c, "wanted '->'");
    at += 2;
    if (!read_term(c, &at, q->ellipsis, &q->out, &dots)) return false;
    return *at == 0 ? check_output(c, q) : equation_error(c, "text after the output's term");
}

bool infer_Einsum(Infer *c) {
    Equation q;
    if (!read_equation(c, &q)) return false;
    Shape s = {.rank = q.out.n};
    for (int i = 0; i < q.out.n; i++) s.dim[i] = q.size[q.out.label[i]];
    set_out(c, 0, 0, &s);
    return true;
}

/* ---- building ------------------------------------------------------------------------------------------------------
 */

/* A tensor whose dimensions are named. */
typedef struct Named {
    Value *v;
    Term t;
} Named;

static int find(const Term *t, int label) {
    for (int i = 0; i < t->n; i++)
        if (t->label[i] == label) return i;
    return -1;
}

static void append(Term *t, int label) { t->label[t->n++] = label; }

/* Dimensions in the order of `to`, which names the same labels. */
static Value *order(Expand *e, const Named *x, const Term *to) {
    int perm[MAX_RANK];
    bool same = true;
    for (int i = 0; i < to->n; i++) {
        perm[i] = find(&x->t, to->label[i]);
        same &= perm[i] == i;
    }
    return same ? x->v : expand_transpose(e, x->v, to->n, perm);
}

/* Dimensions p < q with one label become its diagonal: both go last and are gathered as one. */
static Named take_diagonal(Expand *e, const Named *x, int p, int q) {
    Named r = {0};
    int perm[MAX_RANK], n = 0, rank = x->t.n;
    int64_t length = i64_min(x->v->type.shape.dim[p], x->v->type.shape.dim[q]), width = x->v->type.shape.dim[q];
    for (int i = 0; i < rank; i++) {
        if (i == p || i == q) continue;
        perm[n++] = i;
        append(&r.t, x->t.label[i]);
    }
    append(&r.t, x->t.label[p]);
    perm[n] = p;
    perm[n + 1] = q;
    Value *v = expand_transpose(e, x->v, rank, perm);
    Shape s = v->type.shape;
    s.dim[n] *= s.dim[n + 1];
    s.rank--;
    int64_t *places = NEW_ARRAY(e->graph->arena, int64_t, length);
    for (int64_t i = 0; i < length; i++) places[i] = i * (width + 1);
    const char *attrs = arena_printf(e->graph->arena, "axis=%d", n);
    r.v = EXPAND(e, Gather, attrs, expand_reshape(e, v, &s), expand_ints(e, length, places));
    return r;
}

static Named distinct(Expand *e, Named x) {
    for (int i = 0; i < x.t.n; i++)
        for (int j = i + 1; j < x.t.n; j++)
            if (x.t.label[i] == x.t.label[j]) return distinct(e, take_diagonal(e, &x, i, j));
    return x;
}

/* Sums over every dimension whose label is not marked in `needed`. */
static Named sum_out(Expand *e, Named x, const bool *needed) {
    Named r = {0};
    Shape s = {0};
    int64_t axes[MAX_RANK];
    int n = 0;
    for (int i = 0; i < x.t.n; i++) {
        if (needed[x.t.label[i]]) {
            append(&r.t, x.t.label[i]);
            s.dim[s.rank++] = x.v->type.shape.dim[i];
        } else {
            axes[n++] = i;
        }
    }
    if (n == 0) return x;
    r.v = expand_reshape(e, expand_reduce(e, OP_ReduceSum, x.v, n, axes), &s);
    return r;
}

/* The labels of x that y has too, or has not. */
static Term shared(const Term *x, const Term *y, bool both, const bool *needed, bool wanted) {
    Term r = {0};
    for (int i = 0; i < x->n; i++)
        if ((find(y, x->label[i]) >= 0) == both && needed[x->label[i]] == wanted) append(&r, x->label[i]);
    return r;
}

static int64_t size_of(const Equation *q, const Term *t) {
    int64_t n = 1;
    for (int i = 0; i < t->n; i++) n *= q->size[t->label[i]];
    return n;
}

static Term joined(const Term *p, const Term *q) {
    Term r = *p;
    for (int i = 0; i < q->n; i++) append(&r, q->label[i]);
    return r;
}

/* x's dimensions in the order batch, p, q at their full sizes, as a tensor of three dimensions. */
static Value *as_matrices(Expand *e, const Equation *eq, const Named *x, const Term *batch, const Term *p,
                          const Term *q) {
    Term head = joined(batch, p), all = joined(&head, q);
    Value *v = order(e, x, &all);
    Shape full = {.rank = all.n};
    for (int i = 0; i < all.n; i++) full.dim[i] = eq->size[all.label[i]];
    Shape s = shape_of(3, (int64_t[]){size_of(eq, batch), size_of(eq, p), size_of(eq, q)});
    return expand_reshape(e, expand_broadcast(e, v, &full), &s);
}

static Named multiply(Expand *e, const Equation *q, Named x, Named y, const bool *needed) {
    bool either[LABELS];
    memcpy(either, needed, sizeof either);
    for (int i = 0; i < x.t.n; i++)
        if (find(&y.t, x.t.label[i]) >= 0) either[x.t.label[i]] = true;
    x = sum_out(e, x, either);
    y = sum_out(e, y, either);
    Term batch = shared(&x.t, &y.t, true, needed, true), sum = shared(&x.t, &y.t, true, needed, false);
    Term rows = shared(&x.t, &y.t, false, needed, true), columns = shared(&y.t, &x.t, false, needed, true);
    Term head = joined(&batch, &rows);
    Named r = {.t = joined(&head, &columns)};
    Value *p = as_matrices(e, q, &x, &batch, &rows, &sum), *w = as_matrices(e, q, &y, &batch, &sum, &columns);
    r.v = sum.n ? EXPAND(e, MatMul, NULL, p, w) : EXPAND(e, Mul, NULL, p, w);
    Shape s = {.rank = r.t.n};
    for (int i = 0; i < r.t.n; i++) s.dim[i] = q->size[r.t.label[i]];
    r.v = expand_reshape(e, r.v, &s);
    return r;
}

/* The type in which products are summed: halves in f32, small integers in 32 bits, which wrap to the same result. */
static Elem sum_elem(Elem e) {
    if (!elem_is_int(e) || elem_info[e].bits >= 32) return elem_wide(e);
    return elem_info[e].kind == ELEM_I ? QCC_I32 : QCC_U32;
}

static Named operand(Expand *e, const Equation *q, int i) {
    Value *v = e->node->in[i];
    return distinct(e, (Named){expand_cast(e, v, sum_elem(v->type.elem)), q->in[i]});
}

void expand_Einsum(Expand *e) {
    Equation q;
    Again again;
    if (!read_equation(infer_again(&again, e->node), &q)) bug("Einsum: the equation was good before");
    Named x = operand(e, &q, 0);
    for (int i = 1; i <= q.n; i++) {
        bool needed[LABELS] = {false};
        for (int j = 0; j < q.out.n; j++) needed[q.out.label[j]] = true;
        for (int k = i + 1; k < q.n; k++)
            for (int j = 0; j < q.in[k].n; j++) needed[q.in[k].label[j]] = true;
        x = i < q.n ? multiply(e, &q, x, operand(e, &q, i), needed) : sum_out(e, x, needed);
    }
    expand_narrow(e, 0, order(e, &x, &q.out));
}
