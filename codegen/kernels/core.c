/* Accumulation cores: one round's multiply-add, by the target's means. x86 has instructions for whole cells (VNNI:
 * vpdpbusd; SSE2 and later: pmaddwd); elsewhere a cell's values are taken apart. All of them are exact: four products
 * of eight bits, and two of sixteen, fit 32 bits, and the sum's range is the caller's matter. */
#include "codegen/kernels/tile.h"

int core_values(Core core) {
    switch (core) {
    case CORE_F32:
        return 1;
    case CORE_DOT8:
    case CORE_DOT8S:
        return 4;
    case CORE_DOT16:
        return 2;
    case CORE_XOR: /* words are the elements */
    case CORE_I32:
        return 1;
    }
    return 1;
}

const char *core_name(Core core) {
    static const char *const names[] = {"f32", "u8", "s8", "s16", "xor", "i32"};
    return names[core];
}

RegType core_sum(Emit *e, Core core, int lanes) { return em_vec(e, core == CORE_F32 ? e->f32 : e->i32, lanes); }

Reg core_cell(Emit *e, Core core, Reg p, int lanes) {
    bool whole = core == CORE_F32 || core == CORE_XOR; /* else neighbours, that begin anywhere */
    Reg x = em_splat(e, em_load(e, core == CORE_F32 ? e->f32 : e->i32, p, whole ? CELL_BYTES : 1), lanes);
    return core == CORE_DOT8S ? em_xor(e, x, em_int(e, em_type(x), (int32_t)0x80808080)) : x;
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

static bool weights_within(const Tensor *t, int64_t lo, int64_t hi) {
    int64_t n = t->splat ? 1 : shape_count(&t->type.shape);
    for (int64_t i = 0; i < n; i++) {
        int64_t v = tensor_get_int(t, i);
        if (v < lo || v > hi) return false;
    }
    return true;
}

bool core_choose(Elem x, const Tensor *weights, Core *out) {
    bool bytes = weights_within(weights, INT8_MIN, INT8_MAX), words = weights_within(weights, INT16_MIN, INT16_MAX);
    *out = x == QCC_U8 ? CORE_DOT8 : x == QCC_I8 ? CORE_DOT8S : CORE_DOT16;
    return *out == CORE_DOT16 ? x == QCC_I16 && words : bytes;
}
