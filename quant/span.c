/* Interval arithmetic with strides. Every bound is computed in double and rounded to the instruction's type; for f32
 * this is the correctly rounded result, as a double has more than twice its digits. */
#include "quant/span.h"

#include <math.h>

/* Up to this magnitude every integer is a number of the type. */
static double exact_limit(Elem e) { return e == QCC_F32 ? 0x1p24 : e == QCC_F64 ? 0x1p53 : 0x1p53; }

static double common_divisor(double a, double b) {
    a = fabs(a);
    b = fabs(b);
    if (!(a <= 0x1p53) || !(b <= 0x1p53)) return 1;
    while (b > 0) {
        double r = fmod(a, b);
        a = b;
        b = r;
    }
    return a;
}

static bool is_whole(double v) { return isfinite(v) && v == rint(v); }

static Span make(double lo, double hi, bool whole, double step) {
    if (isnan(lo)) lo = -INFINITY;
    if (isnan(hi)) hi = INFINITY;
    if (lo == hi) return (Span){lo, hi, whole || is_whole(lo), 0};
    if (!whole) return (Span){lo, hi, false, 0};
    return (Span){lo, hi, true, isfinite(lo) && step > 1 ? step : 1};
}

static double limit(Elem e, bool high) {
    int bits = elem_info[e].bits;
    bool is_signed = elem_info[e].kind == ELEM_I;
    if (e == QCC_BOOL) return high;
    return high ? ldexp(1, is_signed ? bits - 1 : bits) - 1 : is_signed ? -ldexp(1, bits - 1) : 0;
}

Span span_of_elem(Elem e) {
    if (elem_is_float(e)) return (Span){-INFINITY, INFINITY, false, 0};
    return (Span){limit(e, false), limit(e, true), true, 1};
}

Span span_of_number(double v) { return make(v, v, false, 0); }

bool span_is_number(Span s) { return s.lo == s.hi; }

/* A grid that has all values of both, starting from either's lowest. */
static double joint_step(Span a, Span b) {
    if (!isfinite(a.lo) || !isfinite(b.lo)) return 1;
    return common_divisor(common_divisor(a.step, b.step), a.lo - b.lo);
}

Span span_union(Span a, Span b) {
    bool whole = a.whole && b.whole;
    return make(fmin(a.lo, b.lo), fmax(a.hi, b.hi), whole, whole ? joint_step(a, b) : 0);
}

Span span_of_tensor(const Tensor *t) {
    int64_t n = shape_count(&t->type.shape);
    if (n <= 0) return span_of_elem(t->type.elem);
    if (t->splat) n = 1;
    Span all = span_of_number(tensor_get(t, 0));
    if (isnan(tensor_get(t, 0)) || fabs(all.lo) > 0x1p53) return span_of_elem(t->type.elem);
    for (int64_t i = 1; i < n; i++) {
        double v = tensor_get(t, i);
        if (v != v || fabs(v) > 0x1p53) return span_of_elem(t->type.elem);
        if (v == all.lo || v == all.hi) continue;
        if (all.whole && all.step == 1 && v >= all.lo && v <= all.hi && is_whole(v)) continue;
        all = span_union(all, span_of_number(v));
    }
    return all;
}

/* ---- instructions --------------------------------------------------------------------------------------------- */

/* Bounds of a result of type e, its grid where that survives rounding, and the whole type where integers might wrap. */
static Span fit(Elem e, double lo, double hi, bool whole, double step) {
    if (!elem_is_float(e)) {
        bool inside = lo >= limit(e, false) && hi <= limit(e, true) && fabs(lo) <= 0x1p53 && fabs(hi) <= 0x1p53;
        return inside ? make(lo, hi, true, step) : span_of_elem(e);
    }
    if (fmax(fabs(lo), fabs(hi)) > exact_limit(e)) step = 1;
    if (e == QCC_F32) {
        lo = (double)(float)lo;
        hi = (double)(float)hi;
    }
    return make(lo, hi, whole, step);
}

static Span add(Elem e, Span a, Span b, double sign) {
    double lo = sign > 0 ? a.lo + b.lo : a.lo - b.hi, hi = sign > 0 ? a.hi + b.hi : a.hi - b.lo;
    return fit(e, lo, hi, a.whole && b.whole, common_divisor(a.step, b.step));
}

static Span corners(Elem e, Span a, Span b, bool divide, bool whole, double step) {
    double x[] = {a.lo, a.lo, a.hi, a.hi}, y[] = {b.lo, b.hi, b.lo, b.hi};
    double lo = INFINITY, hi = -INFINITY;
    for (int i = 0; i < 4; i++) {
        double v = divide ? x[i] / y[i] : x[i] * y[i];
        if (isnan(v)) return span_of_elem(e);
        lo = fmin(lo, v);
        hi = fmax(hi, v);
    }
    if (divide && !elem_is_float(e)) {
        lo = trunc(lo);
        hi = trunc(hi);
    }
    return fit(e, lo, hi, whole, step);
}

/* (a + i s)(b + j t) = ab + i bs + j at + ij st. */
static Span multiply(Elem e, Span a, Span b) {
    bool whole = a.whole && b.whole && isfinite(a.lo) && isfinite(b.lo);
    double step = whole ? common_divisor(common_divisor(a.lo * b.step, b.lo * a.step), a.step * b.step) : 1;
    return corners(e, a, b, false, a.whole && b.whole, step);
}

static Span divide(Elem e, Span a, Span b) {
    if (b.lo <= 0 && b.hi >= 0) return span_of_elem(e);
    return corners(e, a, b, true, !elem_is_float(e), 1);
}

static Span remainder_of(Elem e, Span a, Span b) {
    double most = fmax(fabs(b.lo), fabs(b.hi));
    if (elem_is_float(e) && ((b.lo <= 0 && b.hi >= 0) || !isfinite(a.lo) || !isfinite(a.hi))) return span_of_elem(e);
    if (!elem_is_float(e)) most = fmax(0, most - 1);
    return fit(e, a.lo < 0 ? -fmin(most, -a.lo) : 0, a.hi > 0 ? fmin(most, a.hi) : 0, a.whole && b.whole, 1);
}

static Span extreme(Span a, Span b, bool high) {
    bool whole = a.whole && b.whole;
    double lo = high ? fmax(a.lo, b.lo) : fmin(a.lo, b.lo), hi = high ? fmax(a.hi, b.hi) : fmin(a.hi, b.hi);
    return make(lo, hi, whole, whole ? joint_step(a, b) : 0);
}

static Span negate(Elem e, Span a) { return fit(e, -a.hi, -a.lo, a.whole, a.step); }

static Span absolute(Elem e, Span a) {
    if (a.lo >= 0) return a;
    if (a.hi <= 0) return negate(e, a);
    bool grid = a.whole && isfinite(a.lo);
    return fit(e, 0, fmax(-a.lo, a.hi), a.whole, grid ? common_divisor(a.step, a.lo) : 1);
}

static Span rounded(const XInst *i, Span a) {
    if (a.whole) return a;
    double (*f)(double) = i->op == X_FLOOR ? floor : i->op == X_CEIL ? ceil : i->op == X_TRUNC ? trunc : rint;
    return make(f(a.lo), f(a.hi), true, 1);
}

/* The smallest 2^k - 1 that is not less. */
static double ones_above(double v) { return v <= 0 ? 0 : ldexp(1, ilogb(v) + 1) - 1; }

static Span bitwise(const XInst *i, Span a, Span b) {
    if (a.lo < 0 || b.lo < 0) return span_of_elem(i->elem);
    double hi = i->op == X_AND ? fmin(a.hi, b.hi) : ones_above(fmax(a.hi, b.hi));
    return make(0, fmin(hi, limit(i->elem, true)), true, 1);
}

static Span shift(const XInst *i, Span a, Span b) {
    if (!span_is_number(b) || b.lo < 0 || b.lo >= elem_info[i->elem].bits) return span_of_elem(i->elem);
    double by = ldexp(1, (int)b.lo);
    if (i->op == X_SHL) return fit(i->elem, a.lo * by, a.hi * by, true, a.step * by);
    return fit(i->elem, floor(a.lo / by), floor(a.hi / by), true, 1);
}

static Span truth(bool never, bool always) { return make(always, !never, true, 1); }

static Span compare(const XInst *i, Span a, Span b) {
    switch (i->op) {
    case X_LT:
        return truth(a.lo >= b.hi, a.hi < b.lo);
    case X_LE:
        return truth(a.lo > b.hi, a.hi <= b.lo);
    default:
        return truth(a.hi < b.lo || b.hi < a.lo, a.lo == a.hi && b.lo == b.hi && a.lo == b.lo);
    }
}

static Span cast(Elem to, Elem from, Span a) {
    if (to == QCC_BOOL) return truth(a.lo == 0 && a.hi == 0, a.lo > 0 || a.hi < 0);
    if (elem_is_float(to) || elem_is_int(from) || from == QCC_BOOL) {
        bool half = to == QCC_F16 || to == QCC_BF16;
        if (half) return span_of_elem(to);
        return fit(to, a.lo, a.hi, a.whole, a.step);
    }
    Span t = a.whole ? a : make(trunc(a.lo), trunc(a.hi), true, 1);
    return fit(to, t.lo, t.hi, true, t.step);
}

static Span run_2(const XInst *i, Span a, Span b) {
    switch (i->op) {
    case X_ADD:
        return add(i->elem, a, b, 1);
    case X_SUB:
        return add(i->elem, a, b, -1);
    case X_MUL:
        return multiply(i->elem, a, b);
    case X_DIV:
        return divide(i->elem, a, b);
    case X_REM:
        return remainder_of(i->elem, a, b);
    case X_MIN:
    case X_MAX:
        return extreme(a, b, i->op == X_MAX);
    case X_AND:
    case X_OR:
    case X_XOR:
        return bitwise(i, a, b);
    case X_SHL:
    case X_SHR:
        return shift(i, a, b);
    default:
        return compare(i, a, b);
    }
}

static Span run_1(const XInst *i, Elem from, Span a) {
    switch (i->op) {
    case X_NEG:
        return negate(i->elem, a);
    case X_ABS:
        return absolute(i->elem, a);
    case X_SQRT:
        return a.lo < 0 ? span_of_elem(i->elem) : fit(i->elem, sqrt(a.lo), sqrt(a.hi), false, 0);
    case X_CAST:
        return cast(i->elem, from, a);
    case X_BITCAST:
        return span_of_elem(i->elem);
    default:
        return rounded(i, a);
    }
}

static double const_value(const XInst *i) {
    if (elem_is_float(i->elem)) return i->k.f;
    return i->elem == QCC_U64 ? (double)(uint64_t)i->k.i : (double)i->k.i;
}

/* Integers beyond 2^53 have no exact bounds here. */
static Span of_const(const XInst *i) {
    double v = const_value(i);
    bool exact = elem_is_float(i->elem) ? !isnan(v) : fabs(v) <= 0x1p53;
    return exact ? span_of_number(v) : span_of_elem(i->elem);
}

static bool is_zero(const XInst *i) { return i->op == X_CONST && const_value(i) == 0; }

/* 0 < x ? p : x < 0 ? q : x gives x only where that is 0: the sign. */
static bool is_sign(const XInst *i, const XInst *all) {
    const XInst *up = &all[i->a], *inner = &all[i->c], *down = &all[inner->a];
    if (inner->op != X_SELECT || up->op != X_LT || down->op != X_LT) return false;
    return is_zero(&all[up->a]) && is_zero(&all[down->b]) && down->a == up->b && inner->c == up->b;
}

static Span sign_span(const XInst *i, const XInst *all, const Span *at) {
    Span x = at[all[i->a].b], parts[3];
    int n = 0;
    if (x.hi > 0) parts[n++] = at[i->b];
    if (x.lo < 0) parts[n++] = at[all[i->c].b];
    bool passes_zero = !x.whole || x.step <= 1 || fmod(x.lo, x.step) == 0;
    if (x.lo <= 0 && x.hi >= 0 && passes_zero) parts[n++] = span_of_number(0);
    for (int k = 1; k < n; k++) parts[0] = span_union(parts[0], parts[k]);
    return parts[0];
}

static Span select_span(const XInst *i, const XInst *all, const Span *at) {
    if (is_sign(i, all)) return sign_span(i, all, at);
    if (at[i->a].lo == 1) return at[i->b];
    if (at[i->a].hi == 0) return at[i->c];
    return span_union(at[i->b], at[i->c]);
}

static Span run(const XInst *i, const XInst *all, const Span *in, const Span *at) {
    switch (i->op) {
    case X_INPUT:
        return in[i->k.i];
    case X_CONST:
        return of_const(i);
    case X_SELECT:
        return select_span(i, all, at);
    case X_EQ:
        if (i->a == i->b) return truth(false, true);
        return compare(i, at[i->a], at[i->b]);
    default:
        return x_op_info[i->op].n == 2 ? run_2(i, at[i->a], at[i->b]) : run_1(i, all[i->a].elem, at[i->a]);
    }
}

void span_run(const Expr *e, const Span *in, Span *out) {
    for (int k = 0; k < e->n; k++) out[k] = run(&e->inst[k], e->inst, in, out);
}

/* ---- directions ------------------------------------------------------------------------------------------------- */

static Direction flip(Direction d) { return d == DIR_UP ? DIR_DOWN : d == DIR_DOWN ? DIR_UP : d; }

static Direction join(Direction p, Direction q) {
    if (p == DIR_CONST || p == q) return q;
    return q == DIR_CONST ? p : DIR_UNKNOWN;
}

/* d, kept or turned round by a factor of known sign. */
static Direction by_sign(Direction d, Span factor) {
    return factor.lo >= 0 ? d : factor.hi <= 0 ? flip(d) : DIR_UNKNOWN;
}

static Direction multiplied(Direction p, Direction q, Span a, Span b) {
    if (p == DIR_CONST) return by_sign(q, a);
    if (q == DIR_CONST) return by_sign(p, b);
    return a.lo >= 0 && b.lo >= 0 ? join(p, q) : DIR_UNKNOWN;
}

static Direction divided(Direction p, Direction q, Span b) {
    if (q != DIR_CONST || (b.lo <= 0 && b.hi >= 0)) return DIR_UNKNOWN;
    return by_sign(p, b);
}

static Direction converted(Elem to, Elem from, Direction d, Span a) {
    if (to == QCC_BOOL) return from == QCC_BOOL ? d : a.lo >= 0 ? d : DIR_UNKNOWN;
    if (elem_is_float(to)) return d;
    return trunc(a.lo) >= limit(to, false) && trunc(a.hi) <= limit(to, true) ? d : DIR_UNKNOWN;
}

/* The result goes from q to p where the condition becomes true. */
static Direction selected(const XInst *i, const XInst *all, const Direction *d, const Span *at) {
    if (d[i->a] == DIR_UNKNOWN) return DIR_UNKNOWN;
    if (is_sign(i, all)) {
        bool rises = span_is_number(at[i->b]) && at[i->b].lo >= 0 && at[all[i->c].b].hi <= 0;
        return rises && span_is_number(at[all[i->c].b]) ? d[all[i->a].b] : DIR_UNKNOWN;
    }
    if (at[i->a].lo == 1) return d[i->b];
    if (at[i->a].hi == 0) return d[i->c];
    Direction both = join(d[i->b], d[i->c]), turn = d[i->a];
    if (turn == DIR_CONST) return DIR_UNKNOWN;
    Direction step = at[i->c].hi <= at[i->b].lo ? turn : at[i->b].hi <= at[i->c].lo ? flip(turn) : DIR_UNKNOWN;
    return join(both, step);
}

static Direction direction_2(const XInst *i, const Direction *d, const Span *at) {
    Direction p = d[i->a], q = d[i->b];
    switch (i->op) {
    case X_ADD:
    case X_MIN:
    case X_MAX:
        return join(p, q);
    case X_SUB:
        return join(p, flip(q));
    case X_MUL:
        return multiplied(p, q, at[i->a], at[i->b]);
    case X_DIV:
        return divided(p, q, at[i->b]);
    case X_AND:
    case X_OR:
        return i->elem == QCC_BOOL ? join(p, q) : DIR_UNKNOWN;
    case X_SHL:
    case X_SHR:
        return q == DIR_CONST ? p : DIR_UNKNOWN;
    case X_LT:
    case X_LE:
        return join(flip(p), q);
    default:
        return DIR_UNKNOWN;
    }
}

static Direction direction_1(const XInst *i, const XInst *all, Direction p, Span a) {
    switch (i->op) {
    case X_NEG:
        return flip(p);
    case X_ABS:
        return by_sign(p, a);
    case X_CAST:
        return converted(i->elem, all[i->a].elem, p, a);
    case X_BITCAST:
        return DIR_UNKNOWN;
    default:
        return p;
    }
}

static bool arithmetic(XOp op) {
    return op == X_ADD || op == X_SUB || op == X_MUL || op == X_NEG || op == X_ABS || op == X_SHL || op == X_DIV;
}

/* Integers may have wrapped, or floats have become infinite or, from there, NaN. */
static bool escapes(const XInst *i, Span s) {
    if (elem_is_float(i->elem)) return !isfinite(s.lo) || !isfinite(s.hi);
    return arithmetic(i->op) && s.lo <= limit(i->elem, false) && s.hi >= limit(i->elem, true);
}

/* Of an instruction that depends on the input. */
static Direction dependent(const XInst *i, const XInst *all, const Direction *d, const Span *at) {
    if (i->op == X_SELECT) return selected(i, all, d, at);
    if (i->op == X_EQ && i->a == i->b) return d[i->a] == DIR_UNKNOWN ? DIR_UNKNOWN : DIR_CONST; /* no NaN */
    return x_op_info[i->op].n == 2 ? direction_2(i, d, at) : direction_1(i, all, d[i->a], at[i->a]);
}

/* An operand has this direction. */
static bool has_direction(const XInst *i, const Direction *d, Direction wanted) {
    int operands[] = {i->a, i->b, i->c};
    for (int k = 0; k < x_op_info[i->op].n; k++)
        if (d[operands[k]] == wanted) return true;
    return false;
}

static bool depends(const XInst *i, const Direction *d) {
    return has_direction(i, d, DIR_UP) || has_direction(i, d, DIR_DOWN) || has_direction(i, d, DIR_UNKNOWN);
}

Direction span_direction(const Expr *e, int input, const Span *at) {
    Arena scratch;
    arena_open(&scratch);
    Direction *d = NEW_ARRAY(&scratch, Direction, e->n), result;
    for (int k = 0; k < e->n; k++) {
        const XInst *i = &e->inst[k];
        if (i->op == X_INPUT) {
            d[k] = i->k.i == input ? DIR_UP : DIR_CONST;
        } else {
            d[k] = depends(i, d) ? dependent(i, e->inst, d, at) : DIR_CONST;
        }
        if (escapes(i, at[k])) d[k] = DIR_UNKNOWN;
        /* One number never falls, unless an operand may be a NaN, which spans leave out. It is no constant for all
         * that: a zero may change its sign. */
        if (d[k] == DIR_UNKNOWN && span_is_number(at[k]) && !has_direction(i, d, DIR_UNKNOWN)) d[k] = DIR_UP;
    }
    result = d[e->n - 1];
    arena_free(&scratch);
    return result;
}
