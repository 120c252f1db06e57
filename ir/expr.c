/* Building element-wise programs. The builder keeps them in a normal form as it goes (hash-consing, or local value
 * numbering): an instruction that is there already is shared, one over constants is run by the interpreter and becomes
 * a constant, and what an identity makes superfluous never comes to be. Only identities that hold bit for bit count: x
 * + 0 is not one (-0 + 0 is +0), x + -0 is. */
#include "ir/expr.h"

#include "runtime/ref/ref.h"

#include <string.h>

const XOpInfo x_op_info[X_OP_COUNT] = {
#define XINST(symbol, text, operands, result) [X_##symbol] = {text, operands, #result[0]},
#include "ir/expr.def"
#undef XINST
};

/* ---- what may stand where ------------------------------------------------------------------------------------ */

static bool is_real(Elem e) { return e == QCC_F32 || e == QCC_F64; }
static bool is_half(Elem e) { return e == QCC_F16 || e == QCC_BF16; }
static bool is_whole(Elem e) { return elem_is_int(e) && elem_info[e].bits >= 8; }

static bool op_takes(XOp op, Elem e) {
    switch (op) {
    case X_SQRT:
    case X_FLOOR:
    case X_CEIL:
    case X_TRUNC:
    case X_RINT:
        return is_real(e);
    case X_AND:
    case X_OR:
    case X_XOR:
        return is_whole(e) || e == QCC_BOOL;
    case X_SHL:
    case X_SHR:
        return is_whole(e);
    case X_EQ:
        return is_real(e) || is_whole(e) || e == QCC_BOOL;
    default:
        return is_real(e) || is_whole(e);
    }
}

static const char *check_cast(Elem from, Elem to) {
    if (is_half(from) && to != QCC_F32) return "a half type is cast to f32 only";
    if (is_half(to) && from != QCC_F32) return "a half type is cast from f32 only";
    return NULL;
}

static const char *check_bitcast(Elem from, Elem to) {
    int bits = elem_info[from].bits;
    bool fits = bits >= 8 && bits == elem_info[to].bits && from != QCC_BOOL && to != QCC_BOOL;
    return fits ? NULL : "bitcast is between types of one width, bool excepted";
}

const char *x_check(const ExprBuilder *b, const XInst *i) {
    if ((unsigned)i->op >= X_OP_COUNT) return "no such instruction";
    int operands[] = {i->a, i->b, i->c};
    for (int k = 0; k < x_op_info[i->op].n; k++) {
        if (operands[k] < 0 || (size_t)operands[k] >= b->inst.n) return "an operand that is not there";
    }
    if (!elem_known((int64_t)i->elem)) return "no element type";
    Elem a = x_op_info[i->op].n ? x_elem(b, i->a) : i->elem;
    switch (i->op) {
    case X_CONST:
        return NULL;
    case X_INPUT:
        return i->k.i >= 0 && i->k.i < INT32_MAX ? NULL : "the input's number is out of range";
    case X_CAST:
        return check_cast(a, i->elem);
    case X_BITCAST:
        return check_bitcast(a, i->elem);
    case X_SELECT:
        if (a != QCC_BOOL) return "select's condition is not bool";
        return x_elem(b, i->b) == x_elem(b, i->c) && x_elem(b, i->b) == i->elem ? NULL : "operands differ in type";
    default:
        break;
    }
    if (x_op_info[i->op].n == 2 && x_elem(b, i->b) != a) return "operands differ in type";
    if (i->elem != (x_op_info[i->op].result == 'B' ? QCC_BOOL : a)) return "the result's type is wrong";
    return op_takes(i->op, a) ? NULL : "the instruction does not take this type";
}

/* ---- sharing ------------------------------------------------------------------------------------------------- */

static uint64_t payload(const XInst *i) {
    uint64_t u = 0;
    if (i->op == X_CONST || i->op == X_INPUT) memcpy(&u, &i->k, sizeof u);
    return u;
}

/* The fields that an instruction has no use for are zero (x_add). */
static bool same(const XInst *p, const XInst *q) {
    return p->op == q->op && p->elem == q->elem && p->a == q->a && p->b == q->b && p->c == q->c &&
           payload(p) == payload(q);
}

static size_t hash(const XInst *i) {
    uint64_t parts[] = {(uint64_t)i->op << 8 | (uint64_t)i->elem, (uint64_t)i->a, (uint64_t)i->b, (uint64_t)i->c,
                        payload(i)};
    uint64_t h = 0x9e3779b97f4a7c15u;
    for (size_t k = 0; k < COUNT_OF(parts); k++) h = (h ^ parts[k]) * 0xff51afd7ed558ccdu, h ^= h >> 32;
    return (size_t)h;
}

/* The table's place for an instruction: where it is, or where it would go. */
static int *place(const ExprBuilder *b, const XInst *i) {
    size_t at = hash(i) & (b->table_cap - 1);
    while (b->table[at] >= 0 && !same(&b->inst.at[b->table[at]], i)) at = (at + 1) & (b->table_cap - 1);
    return &b->table[at];
}

static void grow_table(ExprBuilder *b) {
    size_t cap = b->table_cap ? 2 * b->table_cap : 64;
    b->table = NEW_ARRAY(b->arena, int, cap);
    b->table_cap = cap;
    for (size_t k = 0; k < cap; k++) b->table[k] = -1;
    for (size_t k = 0; k < b->inst.n; k++) *place(b, &b->inst.at[k]) = (int)k;
}

static X share(ExprBuilder *b, const XInst *i) {
    if (2 * (b->inst.n + 1) > b->table_cap) grow_table(b);
    int *at = place(b, i);
    if (*at >= 0) return *at;
    vec_push(b->arena, &b->inst, *i);
    return *at = (int)b->inst.n - 1;
}

/* ---- constants ----------------------------------------------------------------------------------------------- */

static bool is_const(const ExprBuilder *b, X p) { return b->inst.at[p].op == X_CONST; }

static X constant(ExprBuilder *b, Elem elem, const void *bytes) {
    RefTensor t = {(void *)(uintptr_t)bytes, (int32_t)elem, 0, {0}};
    XInst i = {.op = X_CONST, .elem = elem};
    if (elem_is_float(elem)) {
        double v = ref_load(&t, 0);
        i.k.f = v == v ? v : (double)__builtin_nan("");
    } else {
        i.k.i = ref_load_int(&t, 0);
    }
    return share(b, &i);
}

X x_const(ExprBuilder *b, Elem elem, double v) {
    uint64_t room = 0;
    ref_store(&(RefTensor){&room, (int32_t)elem, 0, {0}}, 0, v);
    return constant(b, elem, &room);
}

X x_const_int(ExprBuilder *b, Elem elem, int64_t v) {
    uint64_t room = 0;
    ref_store_int(&(RefTensor){&room, (int32_t)elem, 0, {0}}, 0, v);
    return constant(b, elem, &room);
}

X x_in(ExprBuilder *b, int input, Elem elem) { return x_add(b, (XInst){.op = X_INPUT, .elem = elem, .k.i = input}); }

static bool const_is(const ExprBuilder *b, X p, double v) {
    const XInst *i = &b->inst.at[p];
    if (i->op != X_CONST) return false;
    if (elem_is_float(i->elem)) return i->k.f == v && __builtin_signbit(i->k.f) == __builtin_signbit(v);
    return v == 0 ? i->k.i == 0 : i->k.i == (int64_t)v;
}

/* Runs one instruction whose operands are constants. */
static X fold(ExprBuilder *b, const XInst *i) {
    XInst program[4];
    int n = x_op_info[i->op].n, from[] = {i->a, i->b, i->c};
    for (int k = 0; k < n; k++) program[k] = b->inst.at[from[k]];
    program[n] = *i;
    program[n].a = 0;
    program[n].b = 1;
    program[n].c = 2;
    uint64_t room = 0;
    expr_run(&(Expr){n + 1, 0, program}, 1, NULL, &room);
    return constant(b, i->elem, &room);
}

static bool foldable(const ExprBuilder *b, const XInst *i) {
    int from[] = {i->a, i->b, i->c}, n = x_op_info[i->op].n;
    for (int k = 0; k < n; k++) {
        if (!is_const(b, from[k])) return false;
    }
    return n > 0;
}

/* ---- identities ---------------------------------------------------------------------------------------------- */

enum { NONE = -1 };

/* Integer and bool instructions on equal operands or with 0 (in p after sorting, or q). */
static X simplify_whole(ExprBuilder *b, const XInst *i) {
    X p = i->a, q = i->b;
    bool p0 = const_is(b, p, 0), q0 = const_is(b, q, 0);
    switch (i->op) {
    case X_ADD:
    case X_OR:
    case X_XOR:
        return p0 ? q : q0 ? p : i->op == X_OR && p == q ? p : NONE;
    case X_SUB:
    case X_SHL:
    case X_SHR:
        return q0 ? p : NONE;
    case X_MUL:
    case X_AND:
        return p0 ? p : q0 ? q : i->op == X_AND && p == q ? p : NONE;
    default:
        return NONE;
    }
}

static X simplify_real(ExprBuilder *b, const XInst *i) {
    X p = i->a, q = i->b;
    switch (i->op) {
    case X_ADD:
        return const_is(b, p, -0.0) ? q : const_is(b, q, -0.0) ? p : NONE;
    case X_SUB:
        return const_is(b, q, 0.0) ? p : NONE;
    default:
        return NONE;
    }
}

static X simplify_2(ExprBuilder *b, const XInst *i) {
    X p = i->a, q = i->b;
    if (i->op == X_MUL && const_is(b, p, 1)) return q;
    if ((i->op == X_MUL || i->op == X_DIV) && const_is(b, q, 1)) return p;
    if ((i->op == X_MIN || i->op == X_MAX) && p == q) return p;
    return is_real(x_elem(b, p)) ? simplify_real(b, i) : simplify_whole(b, i);
}

/* A conversion that its inverse follows, where nothing is lost on the way. */
static bool cast_keeps(Elem from, Elem to) {
    if (from == QCC_F32 && to == QCC_F64) return true;
    if (from == QCC_BOOL) return true;
    if (is_half(from)) return to == QCC_F32;
    if (elem_is_int(from) && is_real(to)) return elem_info[from].bits <= (to == QCC_F32 ? 16 : 32);
    if (!elem_is_int(from) || !elem_is_int(to)) return false;
    return elem_info[to].bits > elem_info[from].bits || (elem_info[to].bits == elem_info[from].bits && is_whole(from));
}

static X simplify_1(ExprBuilder *b, const XInst *i) {
    const XInst *p = &b->inst.at[i->a];
    switch (i->op) {
    case X_NEG:
        return p->op == X_NEG ? p->a : NONE;
    case X_ABS:
        return p->op == X_ABS ? i->a : p->op == X_NEG && is_real(i->elem) ? x_1(b, X_ABS, p->a) : NONE;
    case X_CAST:
        if (p->elem == i->elem) return i->a;
        return p->op == X_CAST && x_elem(b, p->a) == i->elem && cast_keeps(i->elem, p->elem) ? p->a : NONE;
    case X_BITCAST:
        if (p->elem == i->elem) return i->a;
        return p->op == X_BITCAST ? x_bitcast(b, i->elem, p->a) : NONE;
    default:
        return NONE;
    }
}

static X simplify(ExprBuilder *b, const XInst *i) {
    if (i->op == X_SELECT) {
        if (i->b == i->c) return i->b;
        return is_const(b, i->a) ? (b->inst.at[i->a].k.i ? i->b : i->c) : NONE;
    }
    return x_op_info[i->op].n == 1 ? simplify_1(b, i) : x_op_info[i->op].n == 2 ? simplify_2(b, i) : NONE;
}

/* ---- adding -------------------------------------------------------------------------------------------------- */

static bool commutes(XOp op) {
    return op == X_ADD || op == X_MUL || op == X_AND || op == X_OR || op == X_XOR || op == X_EQ;
}

X x_add(ExprBuilder *b, XInst i) {
    const char *wrong = x_check(b, &i);
    if (wrong) bug("expr: %s %s: %s", x_op_info[i.op].name, elem_info[i.elem].name, wrong);
    if (i.op == X_CONST) return elem_is_float(i.elem) ? x_const(b, i.elem, i.k.f) : x_const_int(b, i.elem, i.k.i);
    int n = x_op_info[i.op].n;
    XInst own = {.op = i.op, .elem = i.elem, .a = n > 0 ? i.a : 0, .b = n > 1 ? i.b : 0, .c = n > 2 ? i.c : 0};
    if (i.op == X_INPUT) own.k = i.k;
    if (commutes(i.op) && own.a > own.b) {
        own.a = i.b;
        own.b = i.a;
    }
    if (foldable(b, &own)) return fold(b, &own);
    X known = simplify(b, &own);
    return known == NONE ? share(b, &own) : known;
}

X x_1(ExprBuilder *b, XOp op, X p) { return x_add(b, (XInst){.op = op, .elem = x_elem(b, p), .a = p}); }

X x_2(ExprBuilder *b, XOp op, X p, X q) {
    Elem elem = x_op_info[op].result == 'B' ? QCC_BOOL : x_elem(b, p);
    return x_add(b, (XInst){.op = op, .elem = elem, .a = p, .b = q});
}

X x_select(ExprBuilder *b, X cond, X p, X q) {
    return x_add(b, (XInst){.op = X_SELECT, .elem = x_elem(b, p), .a = cond, .b = p, .c = q});
}

X x_bitcast(ExprBuilder *b, Elem to, X p) { return x_add(b, (XInst){.op = X_BITCAST, .elem = to, .a = p}); }

/* f64 to f32 with the last bit set where bits were lost ("round to odd"): rounding that to half precision then gives
 * the half that is nearest to the double. */
static X narrow_to_odd(ExprBuilder *b, X p) {
    X f = x_add(b, (XInst){.op = X_CAST, .elem = QCC_F32, .a = p});
    X back = x_cast(b, QCC_F64, f), bits = x_bitcast(b, QCC_I32, f);
    X exact = x_2(b, X_EQ, back, p), too_far = x_2(b, X_LT, x_1(b, X_ABS, p), x_1(b, X_ABS, back));
    X odd = x_2(b, X_OR, x_2(b, X_SUB, bits, x_cast(b, QCC_I32, too_far)), x_const_int(b, QCC_I32, 1));
    return x_bitcast(b, QCC_F32, x_select(b, exact, bits, odd));
}

X x_cast(ExprBuilder *b, Elem to, X p) {
    Elem from = x_elem(b, p);
    if (from == to) return p;
    if (is_half(to)) p = from == QCC_F64 ? narrow_to_odd(b, p) : x_cast(b, QCC_F32, p);
    if (is_half(from) && to != QCC_F32) p = x_cast(b, QCC_F32, p);
    return x_add(b, (XInst){.op = X_CAST, .elem = to, .a = p});
}

/* ---- whole programs ------------------------------------------------------------------------------------------ */

X x_inline(ExprBuilder *b, const Expr *e, const X *args) {
    X *at = NEW_ARRAY(b->arena, X, e->n);
    for (int k = 0; k < e->n; k++) {
        XInst i = e->inst[k];
        int n = x_op_info[i.op].n;
        if (i.op == X_INPUT) {
            at[k] = args[i.k.i];
            if (x_elem(b, at[k]) != i.elem) bug("expr: input %d of an inlined program differs in type", (int)i.k.i);
            continue;
        }
        if (n > 0) i.a = at[i.a];
        if (n > 1) i.b = at[i.b];
        if (n > 2) i.c = at[i.c];
        at[k] = x_add(b, i);
    }
    return at[e->n - 1];
}

const Expr *x_finish(ExprBuilder *b, X result, int n_in) {
    int *number = NEW_ARRAY(b->arena, int, (size_t)result + 1), n = 0;
    number[result] = 1;
    for (X k = result; k >= 0; k--) { /* an operand comes before its user */
        if (!number[k]) continue;
        const XInst *i = &b->inst.at[k];
        int operands[] = {i->a, i->b, i->c};
        for (int o = 0; o < x_op_info[i->op].n; o++) number[operands[o]] = 1;
        if (i->op == X_INPUT && i->k.i >= n_in) bug("expr: input %d of %d", (int)i->k.i, n_in);
        n++;
    }
    XInst *inst = NEW_ARRAY(b->arena, XInst, n);
    int at = 0;
    for (X k = 0; k <= result; k++) {
        if (!number[k]) continue;
        number[k] = at;
        inst[at] = b->inst.at[k];
        inst[at].a = number[inst[at].a];
        inst[at].b = number[inst[at].b];
        inst[at].c = number[inst[at].c];
        at++;
    }
    Expr *e = NEW(b->arena, Expr);
    *e = (Expr){n, n_in, inst};
    return e;
}

bool expr_reads(const Expr *e, int input) {
    for (int k = 0; k < e->n; k++)
        if (e->inst[k].op == X_INPUT && e->inst[k].k.i == input) return true;
    return false;
}

bool expr_equal(const Expr *p, const Expr *q) {
    if (p->n != q->n || p->n_in != q->n_in) return false;
    for (int k = 0; k < p->n; k++) {
        if (!same(&p->inst[k], &q->inst[k])) return false;
    }
    return true;
}
