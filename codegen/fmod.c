/* The exact remainder of floats, C's fmod: long division of the mantissas, one bit a round, in integers. A compiled
 * model cannot call the C library's.
 *
 *     if y is 0 or NaN, or x is NaN or infinite: NaN;  if |x| < |y|: x
 *     (mx, ex) = x, (my, ey) = y, with the leading bit of mx and my at `mant`
 *     ex - ey times: if mx >= my: mx -= my;  mx *= 2
 *     if mx >= my: mx -= my
 *     shift the leading bit of mx back to `mant`, or as far as the exponent allows; give it the sign of x */
#include "codegen/scalar.h"

typedef struct Format {
    Emit *em;
    RegType f, i;
    int bits, mant; /* width; explicit bits of the mantissa */
} Format;

static Reg k(const Format *t, int64_t v) { return em_int(t->em, t->i, v); }

/* The number of places by which m must go up for its leading bit to be at `mant`. */
static Reg leading(const Format *t, Reg m) {
    return em_sub(t->em, em_leading_zeros(t->em, m), k(t, t->bits - 1 - t->mant));
}

/* Splits |v| (bits, not zero) into a mantissa with its leading bit and the exponent that goes with it. */
static void split(const Format *t, Reg v, Reg *mant, Reg *exponent) {
    Emit *e = t->em;
    Reg field = em_lshr(e, v, k(t, t->mant));
    Reg m = em_and(e, v, k(t, ((int64_t)1 << t->mant) - 1));
    Reg tiny = em_compare(e, CMP_EQ, field, k(t, 0));
    Reg up = leading(t, em_or(e, m, k(t, 1)));
    *mant = em_select(e, tiny, em_shl(e, m, up), em_or(e, m, k(t, (int64_t)1 << t->mant)));
    *exponent = em_select(e, tiny, em_sub(e, k(t, 1), up), field);
}

static Reg reduce_once(const Format *t, Reg mx, Reg my) {
    return em_select(t->em, em_compare_unsigned(t->em, CMP_GE, mx, my), em_sub(t->em, mx, my), mx);
}

/* Puts the remainder mx of exponent ey together. */
static Reg join(const Format *t, Reg mx, Reg ey) {
    Emit *e = t->em;
    Reg zero = em_compare(e, CMP_EQ, mx, k(t, 0));
    Reg up = leading(t, em_or(e, mx, k(t, 1)));
    Reg at = em_sub(e, ey, up);
    Reg normal = em_compare(e, CMP_GT, at, k(t, 0));
    Reg m = em_shl(e, mx, up);
    Reg large = em_add(e, em_sub(e, m, k(t, (int64_t)1 << t->mant)), em_shl(e, at, k(t, t->mant)));
    Reg down = em_select(e, normal, k(t, 0), em_sub(e, k(t, 1), at));
    down = em_select(e, em_compare(e, CMP_LT, down, k(t, t->bits)), down, k(t, t->bits - 1));
    Reg bits = em_select(e, normal, large, em_lshr(e, m, down));
    return em_select(e, zero, k(t, 0), bits);
}

static void body(const Format *t, Reg x, Reg y) {
    Emit *e = t->em;
    Reg bits = em_bitcast(e, x, t->i), all = k(t, (int64_t)(UINT64_MAX >> (65 - t->bits)));
    Reg infinite = k(t, (int64_t)((UINT64_MAX >> (65 - t->bits)) >> t->mant << t->mant));
    Reg ax = em_and(e, bits, all), ay = em_and(e, em_bitcast(e, y, t->i), all);
    Reg sign = em_xor(e, bits, ax);
    Reg valid = em_and(e, em_compare(e, CMP_LT, ax, infinite), em_compare(e, CMP_LE, ay, infinite));
    valid = em_and(e, valid, em_compare(e, CMP_NE, ay, k(t, 0)));
    Reg work = em_and(e, valid, em_compare(e, CMP_GE, ax, ay)), r = ax;
    If f = em_if(e, work, 1, &r);
    Reg mx, my, ex, ey;
    split(t, ax, &mx, &ex);
    split(t, ay, &my, &ey);
    Loop l = em_loop_reg(e, em_i64(e, 0), em_sext(e, em_sub(e, ex, ey), e->i64), 1, 1, &mx);
    mx = em_shl(e, reduce_once(t, mx, my), k(t, 1));
    em_loop_end(e, &l);
    r = join(t, reduce_once(t, mx, my), ey);
    em_if_end(e, &f);
    Reg nan = em_float(e, t->f, __builtin_nan(""));
    em_return(e, em_select(e, valid, em_bitcast(e, em_or(e, r, sign), t->f), nan));
}

static Reg function_of(Emit *e, RegType f) {
    bool single = f == e->f32;
    const char *key = single ? "fmod f32" : "fmod f64";
    Function *known = map_get(&e->functions, key);
    if (known) return known->fn;
    Function *made = NEW(e->arena, Function);
    Format t = {e, f, single ? e->i32 : e->i64, single ? 32 : 64, single ? 23 : 52};
    RegBlock outer = em_block(e);
    Reg outer_fn = e->fn;
    made->fn = em_function_new(e, arena_printf(e->arena, "%s_fmod_%s", e->name, single ? "f32" : "f64"), f, 2,
                               (RegType[]){f, f}, true);
    em_attribute_noinline(e, made->fn);
    em_function_open(e, made->fn);
    body(&t, em_param(made->fn, 0), em_param(made->fn, 1));
    e->fn = outer_fn;
    em_block_resume(e, outer);
    map_put(e->arena, &e->functions, key, made);
    return made->fn;
}

Reg em_fmod(Emit *e, Reg a, Reg b) {
    Reg fn = function_of(e, em_scalar_type(a)), r = em_undef(e, em_type(a));
    for (int i = 0, n = em_lanes(a); i < n; i++) {
        Reg one = em_call_function(e, fn, 2, (Reg[]){em_extract(e, a, i), em_extract(e, b, i)});
        r = em_insert(e, r, one, i);
    }
    return r;
}
