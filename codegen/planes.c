/* Bit-planes at the end of a kernel: the bits of a vector of codes are the masks of comparisons, a run of bytes in each
 * plane. Where the code is the number of comparisons that hold (a ladder of thresholds), their bits are added in
 * planes and no code is ever made. Two planes of three thresholds are, by a full adder:
 *
 *     plane 0 = t1 ^ t2 ^ t3        plane 1 = (t1 & t2) | (t3 & (t1 ^ t2)), or t2 where t3 implies t2 and t2 implies t1
 */
#include "codegen/kernel.h"

enum { WORD_BITS = 32, WORD_BYTES = 4, BYTE_BITS = 8 };

Bits bits_of_node(const Node *pack) {
    const Shape *s = &pack->in[0]->type.shape;
    int64_t axis = node_int(pack, "axis");
    Bits b = {.planes = (int)node_int(pack, "planes"),
              .axis = (int)(axis < 0 ? axis + s->rank : axis),
              .low = node_int(pack, "low"),
              .step = node_int(pack, "step")};
    b.words = ceil_div(s->dim[b.axis], WORD_BITS);
    return b;
}

/* ---- codes to bits --------------------------------------------------------------------------------------------- */

Reg kernel_plane(Emit *e, const Bits *b, Reg v, int plane) {
    RegType t = em_type(v);
    Reg code = em_sub(e, v, em_int(e, t, b->low));
    Reg bit = b->step == 1 ? em_and(e, code, em_int(e, t, (int64_t)1 << plane)) : code;
    return em_compare(e, CMP_NE, bit, em_zero(e, t));
}

/* No mask is extended, nor are its upper bytes cleared: LLVM 19 does both with kmovb and the like, which it takes for
 * copies where it spills. */
void kernel_store_bits(Emit *e, Reg set, Reg at, int active, int room) {
    int lanes = em_lanes(set), width = BYTE_BITS;
    while (width < active) width *= 2;
    RegType t = em_int_type(e, width);
    Reg mask = em_bitcast(e, set, em_int_type(e, lanes));
    if (width < lanes) mask = em_trunc(e, mask, t);
    if (active < width) mask = em_and(e, mask, em_int(e, t, (int64_t)(((uint64_t)1 << active) - 1)));
    em_store(e, mask, at, width >= WORD_BITS ? WORD_BYTES : width / BYTE_BITS);
    em_memset_zero(e, em_at(e, at, width / BYTE_BITS), (room - width) / BYTE_BITS);
}

/* ---- ladders to bits ------------------------------------------------------------------------------------------- */

enum { MOST_TERMS = 15, MOST_PLANES = 8 };

/* A sum of a constant and of comparisons: the numbers of these instructions. */
typedef struct Ladder {
    int term[MOST_TERMS], n;
    int64_t constant;
} Ladder;

static bool add_terms(const Expr *x, int at, Ladder *l) {
    const XInst *i = &x->inst[at];
    if (!elem_is_int(i->elem) || l->n == MOST_TERMS) return false;
    switch (i->op) {
    case X_CONST:
        l->constant += i->k.i;
        return true;
    case X_ADD:
        return add_terms(x, i->a, l) && add_terms(x, i->b, l);
    case X_CAST:
        if (x->inst[i->a].elem != QCC_BOOL) return add_terms(x, i->a, l);
        l->term[l->n++] = i->a;
        return true;
    default:
        return false;
    }
}

/* True if the result is low and the number of comparisons that hold. */
static bool is_ladder(const Expr *x, int64_t low, Ladder *l) {
    *l = (Ladder){0};
    return x && add_terms(x, x->n - 1, l) && l->constant == low;
}

/* What a comparison holds the kernel's result against: a constant operand, or a number. */
typedef struct Bound {
    const Tensor *tensor;
    double number;
} Bound;

static bool is_result(const Expr *x, int at) { return x->inst[at].op == X_INPUT && x->inst[at].k.i == 0; }

static bool read_bound(const Node *n, int at, Bound *out) {
    const XInst *i = &n->expr->inst[at];
    if (i->op == X_CAST && i->elem == QCC_I32 && n->expr->inst[i->a].elem == QCC_I16) i = &n->expr->inst[i->a];
    *out = (Bound){0};
    if (i->op == X_INPUT && i->k.i > 0) out->tensor = n->in[n->epilogue_in + (int)i->k.i - 1]->constant;
    if (i->op == X_CONST) out->number = elem_is_float(i->elem) ? i->k.f : (double)i->k.i;
    return out->tensor || i->op == X_CONST;
}

/* p >= q for all channels. */
static bool no_less(const Bound *p, const Bound *q) {
    if (p->tensor && q->tensor && !shape_equal(&p->tensor->type.shape, &q->tensor->type.shape)) return false;
    const Tensor *counted = p->tensor ? p->tensor : q->tensor;
    int64_t n = counted ? shape_count(&counted->type.shape) : 1;
    for (int64_t m = 0; m < n; m++) {
        double a = p->tensor ? tensor_get(p->tensor, m) : p->number,
               b = q->tensor ? tensor_get(q->tensor, m) : q->number;
        if (!(a >= b)) return false;
    }
    return true;
}

bool bits_nested(const Node *n, const Bits *b) {
    Ladder l;
    Bound last, bound;
    if (!is_ladder(n->expr, b->low, &l)) return false;
    for (int k = 0; k < l.n; k++, last = bound) {
        const XInst *i = &n->expr->inst[l.term[k]], *first = &n->expr->inst[l.term[0]];
        bool below = is_result(n->expr, i->b);
        if (i->op != X_LE || below != is_result(n->expr, first->b) || (!below && !is_result(n->expr, i->a)))
            return false;
        if (!read_bound(n, below ? i->a : i->b, &bound)) return false;
        if (k && !(below ? no_less(&bound, &last) : no_less(&last, &bound))) return false;
    }
    return true;
}

/* Bits of one weight that are still to be added. */
typedef struct Column {
    X bit[2 * MOST_TERMS];
    int n;
} Column;

static void push(Column *c, X bit) { c->bit[c->n++] = bit; }

/* Adds three bits of a column, or two, until one is left. */
static X add_column(ExprBuilder *b, Column *c, Column *carries) {
    while (c->n > 1) {
        X p = c->bit[--c->n], q = c->bit[--c->n];
        X half = x_2(b, X_XOR, p, q), carry = x_2(b, X_AND, p, q);
        if (c->n) {
            X r = c->bit[--c->n];
            carry = x_2(b, X_OR, carry, x_2(b, X_AND, r, half));
            half = x_2(b, X_XOR, r, half);
        }
        push(c, half);
        push(carries, carry);
    }
    return c->n ? c->bit[0] : x_const_int(b, QCC_BOOL, 0);
}

static X add_all(ExprBuilder *b, const Ladder *l, const X *made, int plane) {
    Column columns[MOST_PLANES + 1] = {0};
    X result = -1;
    for (int k = 0; k < l->n; k++) push(&columns[0], made[l->term[k]]);
    for (int p = 0; p <= plane; p++) result = add_column(b, &columns[p], &columns[p + 1]);
    return result;
}

/* Comparisons that imply those before them: the number has the bit if an odd number of multiples of it are reached. */
static X add_nested(ExprBuilder *b, const Ladder *l, const X *made, int plane) {
    X result = x_const_int(b, QCC_BOOL, 0);
    for (int k = 1 << plane; k <= l->n; k += 1 << plane) result = x_2(b, X_XOR, result, made[l->term[k - 1]]);
    return result;
}

/* The program whose result is the bit of plane `plane` of x's; NULL if x is no ladder from low on. */
static const Expr *plane_of_ladder(Arena *a, const Expr *x, const Bits *bits, int plane) {
    Ladder l;
    if (!is_ladder(x, bits->low, &l)) return NULL;
    ExprBuilder b = {.arena = a};
    X *made = NEW_ARRAY(a, X, x->n);
    for (int k = 0; k < x->n; k++) {
        XInst i = x->inst[k];
        int *operand[] = {&i.a, &i.b, &i.c};
        for (int o = 0; o < x_op_info[i.op].n; o++) *operand[o] = made[*operand[o]];
        made[k] = x_add(&b, i);
    }
    return x_finish(&b, (bits->nested ? add_nested : add_all)(&b, &l, made, plane), x->n_in);
}

/* ---- storing --------------------------------------------------------------------------------------------------- */

/* set: of all planes, the most significant first. Vectors of one word may be different tasks', so each stores its own
 * bytes only, and the last one zeros to the end of its word. Whether a full vector is the last one is known at run time
 * only. */
static void store_planes(KernelEmit *k, const Reg *set, int active, const Index *idx) {
    const Place *out = &k->out[0];
    const Bits *b = &out->bits;
    Emit *e = k->em;
    int lanes = em_lanes(set[0]);
    Index at[MAX_RANK], first = idx[b->axis];
    for (int d = 0; d < out->shape.rank; d++) at[d] = idx[d];
    at[b->axis] = index_const(0);
    Reg byte = em_udiv(e, em_index(e, first), BYTE_BITS), base = em_at_reg(e, place_address(e, out, at), byte);
    int64_t n = out->shape.dim[b->axis], last = (n - 1) / lanes * lanes, plane = b->words * WORD_BYTES;
    int room = (int)(b->words * WORD_BITS - last);
    for (int p = 0; p < b->planes; p++)
        kernel_store_bits(e, set[p], em_at(e, base, p * plane), active, active == lanes ? lanes : room);
    if (n % lanes || room == lanes) return;
    If f = em_if(e, em_compare(e, CMP_EQ, em_index(e, first), em_i64(e, last)), 0, NULL);
    for (int p = 0; p < b->planes; p++)
        em_memset_zero(e, em_at(e, base, p * plane + lanes / BYTE_BITS), (room - lanes) / BYTE_BITS);
    em_if_end(e, &f);
}

/* ---- the end of kernels ---------------------------------------------------------------------------------------- */

/* The bits of a plane, by a program of their own. */
static Reg ladder_plane(KernelEmit *k, const Expr *plane, Reg v, int active, int dim, const Index *idx) {
    Node n = *k->node;
    KernelEmit own = *k;
    n.expr = plane;
    own.node = &n;
    return kernel_epilogue(&own, v, active, dim, idx);
}

void kernel_finish_bits(KernelEmit *k, Reg v, int active, int dim, const Index *idx) {
    const Bits *b = &k->out[0].bits;
    const Expr *x = k->node->expr;
    Reg set[MOST_PLANES], codes = NULL;
    for (int p = 0; p < b->planes; p++) {
        int plane = b->planes - 1 - p;
        const Expr *own = b->planes > 1 ? plane_of_ladder(k->em->arena, x, b, plane) : NULL;
        if (!own && !codes) codes = kernel_epilogue(k, v, active, dim, idx);
        set[p] = own ? ladder_plane(k, own, v, active, dim, idx) : kernel_plane(k->em, b, codes, plane);
    }
    store_planes(k, set, active, idx);
}
