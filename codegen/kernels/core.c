/* Accumulation cores: one round's multiply-add, by the target's means. x86 has instructions for whole cells (VNNI:
 * vpdpbusd; SSSE3: pmaddubsw; SSE2: pmaddwd); elsewhere a cell's values are taken apart. All of them are exact: four
 * products of eight bits, and two of sixteen, fit 32 bits, and the sum's range is the caller's matter. */
#include "codegen/kernels/tile.h"
#include "quant/range.h"

int core_values(Core core) {
    switch (core) {
    case CORE_F32:
        return 1;
    case CORE_DOT8:
    case CORE_DOT8S:
    case CORE_PAIR8:
    case CORE_PAIR8S:
        return 4;
    case CORE_DOT16:
        return 2;
    case CORE_XOR: /* words are the elements */
    case CORE_I32:
        return 1;
    }
    return 1;
}

bool core_shifted(Core core) { return core == CORE_DOT8S || core == CORE_PAIR8S; }

const char *core_name(Core core) {
    static const char *const names[] = {"f32", "u8", "s8", "u8pair", "s8pair", "s16", "xor", "i32"};
    return names[core];
}

RegType core_sum(Emit *e, Core core, int lanes) { return em_vec(e, core == CORE_F32 ? e->f32 : e->i32, lanes); }

Reg core_cell(Emit *e, Core core, Reg p, int lanes) {
    bool whole = core == CORE_F32 || core == CORE_XOR; /* else neighbours, that begin anywhere */
    Reg x = em_splat(e, em_load(e, core == CORE_F32 ? e->f32 : e->i32, p, whole ? CELL_BYTES : 1), lanes);
    return core_shifted(core) ? em_xor(e, x, em_int(e, em_type(x), (int32_t)0x80808080)) : x;
}

/* ---- whole cells at once --------------------------------------------------------------------------------------- */

static const char *pick_width(int lanes, const char *w128, const char *w256, const char *w512) {
    return lanes == 4 ? w128 : lanes == 8 ? w256 : lanes == 16 ? w512 : NULL;
}

static Reg vnni(Emit *e, Reg a, Reg b, Reg acc) {
    const char *name = pick_width(em_lanes(acc), "llvm.x86.avx512.vpdpbusd.128", "llvm.x86.avx512.vpdpbusd.256",
                                  "llvm.x86.avx512.vpdpbusd.512");
    return em_intrinsic_of_width(e, name, 3, (Reg[]){acc, a, b});
}

/* Sums of neighbouring products of s16. */
static Reg pairs(Emit *e, Reg a, Reg b) {
    int lanes = em_lanes(a);
    const char *name =
        pick_width(lanes, "llvm.x86.sse2.pmadd.wd", "llvm.x86.avx2.pmadd.wd", "llvm.x86.avx512.pmaddw.d.512");
    RegType halves = em_vec(e, e->i16, 2 * lanes);
    return em_intrinsic_of_width(e, name, 2, (Reg[]){em_bitcast(e, a, halves), em_bitcast(e, b, halves)});
}

static Reg shift(Emit *e, Reg (*by)(Emit *, Reg, Reg), Reg v, int n) { return by(e, v, em_int(e, em_type(v), n)); }

/* Without VNNI, of products that leave room: two of them in s16, and these in pairs. */
static Reg narrow_pairs(Emit *e, Reg a, Reg b, Reg acc) {
    int lanes = em_lanes(acc);
    RegType bytes = em_vec(e, e->i8, 4 * lanes), halves = em_vec(e, e->i16, 2 * lanes), cells = em_type(acc);
    const char *name = pick_width(lanes, "llvm.x86.ssse3.pmadd.ub.sw.128", "llvm.x86.avx2.pmadd.ub.sw",
                                  "llvm.x86.avx512.pmaddubs.w.512");
    Reg two = em_intrinsic_of_width(e, name, 2, (Reg[]){em_bitcast(e, a, bytes), em_bitcast(e, b, bytes)});
    Reg ones = em_bitcast(e, em_int(e, halves, 1), cells);
    return em_add(e, acc, pairs(e, em_bitcast(e, two, cells), ones));
}

/* Without VNNI: the even bytes of both, then the odd ones, as s16. */
static Reg byte_pairs(Emit *e, Reg a, Reg b, Reg acc) {
    int lanes = em_lanes(acc);
    RegType halves = em_vec(e, e->i16, 2 * lanes), cells = em_type(acc);
    Reg ah = em_bitcast(e, a, halves), bh = em_bitcast(e, b, halves);
    Reg a_even = em_and(e, ah, em_int(e, halves, 255)), a_odd = shift(e, em_lshr, ah, 8);
    Reg b_even = shift(e, em_ashr, shift(e, em_shl, bh, 8), 8), b_odd = shift(e, em_ashr, bh, 8);
    acc = em_add(e, acc, pairs(e, em_bitcast(e, a_even, cells), em_bitcast(e, b_even, cells)));
    return em_add(e, acc, pairs(e, em_bitcast(e, a_odd, cells), em_bitcast(e, b_odd, cells)));
}

/* ---- one value after the other ----------------------------------------------------------------------------------- */

static Reg take(Emit *e, Reg cell, int bits, int i, bool is_signed) {
    Reg high = shift(e, em_shl, cell, 32 - bits * (i + 1));
    return shift(e, is_signed ? em_ashr : em_lshr, high, 32 - bits);
}

static Reg one_by_one(Emit *e, Reg a, Reg b, Reg acc, int bits, bool a_signed) {
    for (int i = 0; i < 32 / bits; i++)
        acc = em_add(e, acc, em_mul(e, take(e, a, bits, i, a_signed), take(e, b, bits, i, true)));
    return acc;
}

static bool x86_width(const Target *t, int lanes) {
    return t->arch == ARCH_X86 && lanes >= 4 && lanes * 32 <= t->vector_bits;
}

Reg core_add(Emit *e, Core core, Reg a, Reg b, Reg acc) {
    bool x86 = x86_width(e->target, em_lanes(acc));
    switch (core) {
    case CORE_F32:
        return em_mul_add(e, a, b, acc);
    case CORE_DOT8:
    case CORE_DOT8S:
        if (x86) return e->target->dot8 ? vnni(e, a, b, acc) : byte_pairs(e, a, b, acc);
        return one_by_one(e, a, b, acc, 8, false);
    case CORE_PAIR8:
    case CORE_PAIR8S:
        return x86 ? narrow_pairs(e, a, b, acc) : one_by_one(e, a, b, acc, 8, false);
    case CORE_DOT16:
        return x86 ? em_add(e, acc, pairs(e, a, b)) : one_by_one(e, a, b, acc, 16, true);
    case CORE_XOR:
        return em_add(e, acc, em_popcount(e, em_xor(e, a, b)));
    case CORE_I32:
        return em_add(e, acc, em_mul(e, a, b));
    }
    return acc;
}

/* ---- the choice -------------------------------------------------------------------------------------------------- */

/* The least and the greatest weight. */
static void weight_bounds(const Tensor *t, int64_t *lo, int64_t *hi) {
    int64_t n = t->splat ? 1 : shape_count(&t->type.shape);
    *lo = *hi = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t v = tensor_get_int(t, i);
        *lo = i64_min(*lo, v);
        *hi = i64_max(*hi, v);
    }
}

Core core_of_bytes(const Target *t, int64_t x, int64_t w) {
    return t->pair8 && !t->dot8 && 2 * x * w <= INT16_MAX ? CORE_PAIR8 : CORE_DOT8;
}

bool core_choose(const KernelPlan *p, Core *out) {
    const Value *x = p->node->in[0];
    int64_t lo, hi;
    Range r;
    weight_bounds(p->node->in[1]->constant, &lo, &hi);
    if (x->type.elem != QCC_U8 && x->type.elem != QCC_I8) {
        *out = CORE_DOT16;
        return x->type.elem == QCC_I16 && lo >= INT16_MIN && hi <= INT16_MAX;
    }
    bool known = range_of(p->ranges, x, &r), is_signed = x->type.elem == QCC_I8;
    int64_t most = known ? i64_max(r.hi, 0) : is_signed ? INT8_MAX : UINT8_MAX; /* 0: around the image */
    Core narrow = core_of_bytes(p->target, most + (is_signed ? 128 : 0), i64_max(-lo, hi));
    *out = narrow == CORE_PAIR8 ? (is_signed ? CORE_PAIR8S : CORE_PAIR8) : is_signed ? CORE_DOT8S : CORE_DOT8;
    return lo >= INT8_MIN && hi <= INT8_MAX;
}
