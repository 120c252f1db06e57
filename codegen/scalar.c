/* Element-wise programs at any width: each instruction of ir/expr.def becomes the few LLVM instructions that give
 * exactly its bits on every target. Where a target lacks an instruction (rounding without SSE4.1, half conversions) the
 * same result is composed from integer operations instead of a call, since a compiled model calls nothing. */
#include "codegen/scalar.h"

#include <math.h>

/* What is known of a float value: needed to convert it to integers without saturation. */
typedef struct Range {
    double lo, hi;
    bool nan;
} Range;

typedef struct Scalar {
    Emit *em;
    const Expr *x;
    int lanes;
    const Reg *in;
    Reg *v;       /* per instruction */
    Range *range; /* per instruction of float type */
} Scalar;

RegType em_elem_type(Emit *e, Elem elem) { return elem == QCC_BOOL ? e->i1 : em_mem_type(e, elem); }

Reg em_from_mem(Emit *e, Elem elem, Reg v) {
    return elem == QCC_BOOL ? em_compare(e, CMP_NE, v, em_int(e, em_type(v), 0)) : v;
}
Reg em_to_mem(Emit *e, Elem elem, Reg v) { return elem == QCC_BOOL ? em_zext(e, v, em_vec(e, e->i8, em_lanes(v))) : v; }

static RegType type_at(Scalar *s, Elem elem) { return em_vec(s->em, em_elem_type(s->em, elem), s->lanes); }
static bool is_unsigned(Elem elem) { return elem_info[elem].kind == ELEM_U || elem_info[elem].kind == ELEM_B; }
static bool is_half(Elem elem) { return elem == QCC_F16 || elem == QCC_BF16; }
static Reg like(Emit *e, Reg v, int64_t k) { return em_int(e, em_type(v), k); }

/* Brings the byte that holds an element of less than 8 bits back into its range. */
static Reg narrow(Emit *e, Elem elem, Reg v) {
    int bits = elem_info[elem].bits;
    if (bits >= 8) return v;
    Reg by = like(e, v, 8 - bits);
    Reg up = em_shl(e, v, by);
    return is_unsigned(elem) ? em_lshr(e, up, by) : em_ashr(e, up, by);
}

/* ---- rounding to whole numbers ------------------------------------------------------------------------------- */

/* For targets without the instruction: below 2^23 (2^52) by way of adding and taking away that number, which rounds to
 * nearest, or of 32-bit integers; above it every float is whole. The sign of a zero result is the operand's. */
static Reg round_composed(Emit *e, XOp op, Reg x) {
    bool f32 = em_scalar_type(x) == e->f32;
    int lanes = em_lanes(x);
    RegType ft = em_type(x), it = em_vec(e, f32 ? e->i32 : e->i64, lanes);
    Reg limit = em_float(e, ft, f32 ? 0x1p23 : 0x1p52), one = em_float(e, ft, 1);
    Reg sign = em_and(e, em_bitcast(e, x, it), em_int(e, it, f32 ? INT32_MIN : INT64_MIN));
    Reg small = em_compare(e, CMP_LT, em_intrinsic(e, "llvm.fabs", 1, &x), limit);
    Reg safe = em_select(e, small, x, em_zero(e, ft));
    Reg whole;
    if (op == X_TRUNC && !f32) {
        safe = em_intrinsic(e, "llvm.fabs", 1, &safe);
        op = X_FLOOR;
    }
    if (f32 && op != X_RINT) {
        whole = em_sint_to_float(e, em_float_to_sint(e, safe, it), ft);
    } else {
        Reg up = em_and(e, em_bitcast(e, safe, it), em_int(e, it, f32 ? INT32_MIN : INT64_MIN));
        Reg magic = em_bitcast(e, em_or(e, em_bitcast(e, limit, it), up), ft);
        whole = em_sub(e, em_add(e, safe, magic), magic);
    }
    if (op == X_FLOOR) whole = em_select(e, em_compare(e, CMP_GT, whole, safe), em_sub(e, whole, one), whole);
    if (op == X_CEIL) whole = em_select(e, em_compare(e, CMP_LT, whole, safe), em_add(e, whole, one), whole);
    whole = em_bitcast(e, em_or(e, em_bitcast(e, whole, it), sign), ft);
    return em_select(e, small, whole, x);
}

static Reg round_whole(Emit *e, XOp op, Reg x) {
    if (!e->target->round) return round_composed(e, op, x);
    const char *name = op == X_FLOOR  ? "llvm.floor"
                       : op == X_CEIL ? "llvm.ceil"
                       : op == X_RINT ? "llvm.rint"
                                      : "llvm.trunc";
    return em_intrinsic(e, name, 1, &x);
}

/* ---- half types ---------------------------------------------------------------------------------------------- */

static Reg half_to_f32(Emit *e, Elem from, Reg v) {
    int lanes = em_lanes(v);
    RegType it = em_vec(e, e->i32, lanes), ft = em_vec(e, e->f32, lanes);
    Reg bits = em_zext(e, v, it);
    if (from == QCC_BF16) return em_bitcast(e, em_shl(e, bits, em_int(e, it, 16)), ft);
    if (e->target->f16) return em_half_extend(e, v);
    Reg sign = em_shl(e, em_and(e, bits, em_int(e, it, 0x8000)), em_int(e, it, 16));
    Reg size = em_and(e, bits, em_int(e, it, 0x7fff));
    Reg up = em_shl(e, size, em_int(e, it, 13));
    Reg normal = em_add(e, up, em_int(e, it, 112 << 23));
    Reg tiny = em_bitcast(e, em_mul(e, em_uint_to_float(e, size, ft), em_float(e, ft, 0x1p-24)), it);
    Reg r = em_select(e, em_compare(e, CMP_LT, size, em_int(e, it, 0x400)), tiny, normal);
    r = em_select(e, em_compare(e, CMP_GE, size, em_int(e, it, 0x7c00)), em_or(e, up, em_int(e, it, 0x7f800000)), r);
    return em_bitcast(e, em_or(e, r, sign), ft);
}

static Reg f32_to_bf16(Emit *e, Reg v) {
    int lanes = em_lanes(v);
    RegType it = em_vec(e, e->i32, lanes);
    Reg bits = em_bitcast(e, v, it), by = em_int(e, it, 16);
    Reg odd = em_and(e, em_lshr(e, bits, by), em_int(e, it, 1));
    Reg rounded = em_lshr(e, em_add(e, em_add(e, bits, em_int(e, it, 0x7fff)), odd), by);
    Reg nan = em_or(e, em_lshr(e, bits, by), em_int(e, it, 0x40));
    return em_trunc(e, em_select(e, em_compare(e, CMP_NE, v, v), nan, rounded), em_vec(e, e->i16, lanes));
}

static Reg f32_to_half(Emit *e, Elem to, Reg v) {
    if (to == QCC_BF16) return f32_to_bf16(e, v);
    if (e->target->f16) return em_half_round(e, v);
    int lanes = em_lanes(v);
    RegType it = em_vec(e, e->i32, lanes), ft = em_vec(e, e->f32, lanes);
    Reg bits = em_bitcast(e, v, it);
    Reg size = em_and(e, bits, em_int(e, it, 0x7fffffff));
    Reg sign = em_lshr(e, em_and(e, bits, em_int(e, it, INT32_MIN)), em_int(e, it, 16));
    Reg thirteen = em_int(e, it, 13);
    Reg odd = em_and(e, em_lshr(e, size, thirteen), em_int(e, it, 1));
    Reg normal = em_lshr(e, em_add(e, em_add(e, size, em_int(e, it, 0xfff)), odd), thirteen);
    normal = em_sub(e, normal, em_int(e, it, 112 << 10));
    /* Adding 0.5 makes the unit of the last place 2^-24, the smallest f16: the addition itself rounds. */
    Reg half = em_float(e, ft, 0.5);
    Reg tiny = em_sub(e, em_bitcast(e, em_add(e, em_bitcast(e, size, ft), half), it), em_bitcast(e, half, it));
    Reg r = em_select(e, em_compare(e, CMP_LT, size, em_int(e, it, 0x38800000)), tiny, normal);
    r = em_select(e, em_compare(e, CMP_GE, size, em_int(e, it, 0x47800000)), em_int(e, it, 0x7c00), r);
    Reg nan = em_or(e, em_and(e, em_lshr(e, size, thirteen), em_int(e, it, 0x3ff)), em_int(e, it, 0x7e00));
    r = em_select(e, em_compare(e, CMP_GT, size, em_int(e, it, 0x7f800000)), nan, r);
    return em_trunc(e, em_or(e, r, sign), em_vec(e, e->i16, lanes));
}

/* ---- casts --------------------------------------------------------------------------------------------------- */

/* The least signed integer of `by`'s width. */
static int64_t least(RegType by) { return em_bits(by) == 64 ? INT64_MIN : INT32_MIN; }

/* To signed integers, saturating; NaN gives 0. For vectors LLVM 19 would do it lane by lane. */
static Reg saturate(Emit *e, Reg v, RegType by) {
    int lanes = em_lanes(v);
    if (lanes == 1) return em_float_to_int_sat(e, v, by, false);
    RegType ft = em_type(v), it = em_vec(e, by, lanes);
    Reg limit = em_float(e, ft, -(double)least(by)), low = em_compare(e, CMP_LT, v, em_neg(e, limit));
    Reg high = em_compare(e, CMP_GE, v, limit), number = em_compare(e, CMP_EQ, v, v);
    Reg inside = em_and(e, number, em_not(e, em_or(e, low, high)));
    Reg i = em_float_to_sint(e, em_select(e, inside, v, em_zero(e, ft)), it);
    i = em_select(e, high, em_int(e, it, -(least(by) + 1)), i);
    return em_select(e, low, em_int(e, it, least(by)), i);
}

/* The upper half of the unsigned integers: moved down by it and back. */
static Reg saturate_upper(Emit *e, Reg v, RegType by) {
    if (em_lanes(v) == 1) return em_float_to_int_sat(e, v, by, true);
    Reg down = em_sub(e, v, em_float(e, em_type(v), -(double)least(by)));
    Reg i = saturate(e, down, by);
    return em_xor(e, i, em_int(e, em_type(i), least(by)));
}

static Reg float_to_int(Scalar *s, Elem to, Reg v, const Range *known) {
    Emit *e = s->em;
    RegType t = type_at(s, to), wide = em_vec(e, e->i32, s->lanes), ft = em_type(v);
    if (known->lo > -0x1p31 && known->hi < 0x1p31) {
        if (known->nan) v = em_select(e, em_compare(e, CMP_EQ, v, v), v, em_zero(e, ft));
        Reg i = em_float_to_sint(e, v, wide);
        return elem_info[to].bits > 32 ? em_sext(e, i, t) : em_trunc(e, i, t);
    }
    RegType by = elem_info[to].bits > 32 ? e->i64 : e->i32;
    Reg i = saturate(e, v, by);
    if (to == QCC_U32 || to == QCC_U64) {
        Reg upper = em_compare(e, CMP_GE, v, em_float(e, ft, to == QCC_U32 ? 0x1p31 : 0x1p63));
        i = em_select(e, upper, saturate_upper(e, v, by), i);
    }
    return em_trunc(e, i, t);
}

static Reg cast(Scalar *s, Elem from, Elem to, Reg v, const Range *known) {
    Emit *e = s->em;
    if (from == to) return v;
    if (is_half(from)) return cast(s, QCC_F32, to, half_to_f32(e, from, v), known);
    if (is_half(to)) return f32_to_half(e, to, cast(s, from, QCC_F32, v, known));
    RegType t = type_at(s, to);
    if (to == QCC_BOOL) return em_compare(e, CMP_NE, v, em_zero(e, em_type(v)));
    if (elem_is_float(from)) {
        if (elem_is_float(to)) return em_float_resize(e, v, t);
        return narrow(e, to, float_to_int(s, to, v, known));
    }
    if (elem_is_float(to)) return is_unsigned(from) ? em_uint_to_float(e, v, t) : em_sint_to_float(e, v, t);
    int have = from == QCC_BOOL ? 1 : em_bits(em_mem_type(e, from)), want = em_bits(em_mem_type(e, to));
    if (want < have) v = em_trunc(e, v, t);
    if (want > have) v = is_unsigned(from) ? em_zext(e, v, t) : em_sext(e, v, t);
    return narrow(e, to, v);
}

/* ---- integers ------------------------------------------------------------------------------------------------ */

/* Division and remainder: a divisor that must not reach the machine (0, or -1 under the least number) becomes 1. */
static Reg int_divide(Emit *e, Elem elem, XOp op, Reg a, Reg b) {
    bool u = is_unsigned(elem);
    Reg zero = em_compare(e, CMP_EQ, b, like(e, b, 0)), bad = zero;
    if (!u) {
        int64_t least = (int64_t)(UINT64_MAX << (em_bits(em_scalar_type(a)) - 1));
        Reg wraps = em_and(e, em_compare(e, CMP_EQ, a, like(e, a, least)), em_compare(e, CMP_EQ, b, like(e, b, -1)));
        bad = em_or(e, bad, wraps);
    }
    Reg safe = em_select(e, bad, like(e, b, 1), b);
    if (op == X_REM) return em_int_rem(e, u, a, safe);
    return em_select(e, zero, like(e, a, 0), narrow(e, elem, em_int_div(e, u, a, safe)));
}

static Reg shift(Emit *e, Elem elem, XOp op, Reg a, Reg b) {
    int bits = elem_info[elem].bits;
    Reg ok = em_compare_unsigned(e, CMP_LT, b, like(e, b, bits));
    if (op == X_SHR && !is_unsigned(elem)) return em_ashr(e, a, em_select(e, ok, b, like(e, b, bits - 1)));
    Reg by = em_select(e, ok, b, like(e, b, 0));
    Reg r = op == X_SHL ? narrow(e, elem, em_shl(e, a, by)) : em_lshr(e, a, by);
    return em_select(e, ok, r, like(e, a, 0));
}

static Reg compare(Emit *e, Elem elem, Compare c, Reg a, Reg b) {
    return is_unsigned(elem) ? em_compare_unsigned(e, c, a, b) : em_compare(e, c, a, b);
}

static Reg absolute(Emit *e, Elem elem, Reg a) {
    if (elem_is_float(elem)) return em_intrinsic(e, "llvm.fabs", 1, &a);
    if (is_unsigned(elem)) return a;
    return narrow(e, elem, em_select(e, em_compare(e, CMP_LT, a, like(e, a, 0)), em_neg(e, a), a));
}

/* ---- ranges of floats ---------------------------------------------------------------------------------------- */

static const Range anything = {-INFINITY, INFINITY, true};

/* A bound that holds in spite of rounding to f32 or f64; unbounded where the sum or product is not finite. */
static Range rounded(double lo, double hi, bool nan) {
    if (!(isfinite(lo) && isfinite(hi))) return anything;
    return (Range){lo - fabs(lo) * 0x1p-20 - 0x1p-140, hi + fabs(hi) * 0x1p-20 + 0x1p-140, nan};
}

static Range product(Range a, Range b) {
    double p[4] = {a.lo * b.lo, a.lo * b.hi, a.hi * b.lo, a.hi * b.hi}, lo = p[0], hi = p[0];
    for (int i = 0; i < 4; i++) {
        if (!isfinite(p[i])) return anything;
        lo = fmin(lo, p[i]);
        hi = fmax(hi, p[i]);
    }
    return rounded(lo, hi, a.nan || b.nan);
}

static Range of_integers(Elem elem) {
    int bits = elem_info[elem].bits;
    bool u = is_unsigned(elem);
    return (Range){u ? 0 : -ldexp(1, bits - 1), ldexp(1, u ? bits : bits - 1), false};
}

static Range range_of(const Scalar *s, const XInst *i) {
    if (!elem_is_float(i->elem)) return anything;
    Range a = i->op > X_CONST ? s->range[i->a] : anything, b = i->op > X_CONST ? s->range[i->b] : anything;
    switch (i->op) {
    case X_CONST:
        return isnan(i->k.f) ? anything : (Range){i->k.f, i->k.f, false};
    case X_ADD:
        return rounded(a.lo + b.lo, a.hi + b.hi, a.nan || b.nan);
    case X_SUB:
        return rounded(a.lo - b.hi, a.hi - b.lo, a.nan || b.nan);
    case X_MUL:
        return product(a, b);
    case X_MIN:
        return (Range){fmin(a.lo, b.lo), a.nan ? b.hi : fmin(a.hi, b.hi), b.nan}; /* b where either is NaN */
    case X_MAX:
        return (Range){a.nan ? b.lo : fmax(a.lo, b.lo), fmax(a.hi, b.hi), b.nan};
    case X_NEG:
        return (Range){-a.hi, -a.lo, a.nan};
    case X_FLOOR:
    case X_CEIL:
    case X_TRUNC:
    case X_RINT:
        return (Range){floor(a.lo), ceil(a.hi), a.nan};
    case X_DIV:
        if (b.lo != b.hi || b.lo == 0) return anything;
        return rounded(fmin(a.lo / b.lo, a.hi / b.lo), fmax(a.lo / b.lo, a.hi / b.lo), a.nan);
    case X_CAST:
        return elem_is_float(s->x->inst[i->a].elem) ? anything : of_integers(s->x->inst[i->a].elem);
    case X_SELECT: {
        Range c = s->range[i->c];
        return (Range){fmin(b.lo, c.lo), fmax(b.hi, c.hi), b.nan || c.nan};
    }
    default:
        return anything;
    }
}

/* ---- instructions -------------------------------------------------------------------------------------------- */

static Reg constant(Scalar *s, const XInst *i) {
    RegType t = type_at(s, i->elem);
    if (is_half(i->elem))
        return f32_to_half(s->em, i->elem, em_float(s->em, em_vec(s->em, s->em->f32, s->lanes), i->k.f));
    return elem_is_float(i->elem) ? em_float(s->em, t, i->k.f) : em_int(s->em, t, i->k.i);
}

static Reg binary(Emit *e, XOp op, Elem elem, Reg a, Reg b) {
    bool f = elem_is_float(elem);
    switch (op) {
    case X_ADD:
        return narrow(e, elem, em_add(e, a, b));
    case X_SUB:
        return narrow(e, elem, em_sub(e, a, b));
    case X_MUL:
        return narrow(e, elem, em_mul(e, a, b));
    case X_DIV:
        return f ? em_div(e, a, b) : int_divide(e, elem, op, a, b);
    case X_REM:
        return f ? em_fmod(e, a, b) : int_divide(e, elem, op, a, b);
    case X_MIN:
        return em_select(e, compare(e, elem, CMP_LT, a, b), a, b);
    case X_MAX:
        return em_select(e, compare(e, elem, CMP_GT, a, b), a, b);
    case X_AND:
        return em_and(e, a, b);
    case X_OR:
        return em_or(e, a, b);
    case X_XOR:
        return em_xor(e, a, b);
    case X_SHL:
    case X_SHR:
        return shift(e, elem, op, a, b);
    case X_EQ:
        return compare(e, elem, CMP_EQ, a, b);
    case X_LT:
        return compare(e, elem, CMP_LT, a, b);
    case X_LE:
        return compare(e, elem, CMP_LE, a, b);
    default:
        bug("element-wise instruction %d", (int)op);
    }
}

static Reg bit_cast(Scalar *s, Elem from, Elem to, Reg v) {
    v = em_bitcast(s->em, em_to_mem(s->em, from, v), em_vec(s->em, em_mem_type(s->em, to), s->lanes));
    return em_from_mem(s->em, to, v);
}

static Reg instruction(Scalar *s, const XInst *i) {
    Emit *e = s->em;
    if (i->op == X_INPUT) return s->in[i->k.i];
    if (i->op == X_CONST) return constant(s, i);
    Reg a = s->v[i->a];
    Elem from = s->x->inst[i->a].elem;
    switch (i->op) {
    case X_NEG:
        return narrow(e, from, em_neg(e, a));
    case X_ABS:
        return absolute(e, from, a);
    case X_SQRT:
        return em_intrinsic(e, "llvm.sqrt", 1, &a);
    case X_FLOOR:
    case X_CEIL:
    case X_TRUNC:
    case X_RINT:
        return elem_is_float(from) ? round_whole(e, i->op, a) : a;
    case X_SELECT:
        return em_select(e, a, s->v[i->b], s->v[i->c]);
    case X_CAST:
        return cast(s, from, i->elem, a, &s->range[i->a]);
    case X_BITCAST:
        return bit_cast(s, from, i->elem, a);
    default:
        return binary(e, i->op, from, a, s->v[i->b]);
    }
}

Reg em_expr(Emit *e, const Expr *x, int lanes, const Reg *in) {
    Scalar s = {.em = e, .x = x, .lanes = lanes, .in = in};
    s.v = NEW_ARRAY(e->arena, Reg, x->n);
    s.range = NEW_ARRAY(e->arena, Range, x->n);
    for (int i = 0; i < x->n; i++) {
        s.range[i] = range_of(&s, &x->inst[i]);
        s.v[i] = instruction(&s, &x->inst[i]);
    }
    return s.v[x->n - 1];
}
