/* Types, constants, arithmetic and lanes: thin words over LLVM's builder. What makes them worth having is what they do
 * not offer: no fast-math flag, no implicit contraction, no target-dependent choice that would change a result. */
#include "codegen/scalar.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>
#include <string.h>

/* ---- types --------------------------------------------------------------------------------------------------- */

RegType em_int_type(Emit *e, int bits) { return LLVMIntTypeInContext(e->ctx, (unsigned)bits); }
RegType em_vec(Emit *e, RegType scalar, int lanes) {
    (void)e;
    return lanes == 1 ? scalar : LLVMVectorType(scalar, (unsigned)lanes);
}

RegType em_type(Reg r) { return LLVMTypeOf(r); }

static RegType scalar_of(RegType t) { return LLVMGetTypeKind(t) == LLVMVectorTypeKind ? LLVMGetElementType(t) : t; }
static int lanes_of(RegType t) { return LLVMGetTypeKind(t) == LLVMVectorTypeKind ? (int)LLVMGetVectorSize(t) : 1; }

RegType em_scalar_type(Reg r) { return scalar_of(LLVMTypeOf(r)); }
int em_lanes(Reg r) { return lanes_of(LLVMTypeOf(r)); }

int em_bits(RegType scalar) {
    switch (LLVMGetTypeKind(scalar)) {
    case LLVMFloatTypeKind:
        return 32;
    case LLVMDoubleTypeKind:
        return 64;
    case LLVMIntegerTypeKind:
        return (int)LLVMGetIntTypeWidth(scalar);
    default:
        bug("em_bits: not a number");
    }
}

static bool is_float(RegType t) {
    LLVMTypeKind k = LLVMGetTypeKind(scalar_of(t));
    return k == LLVMFloatTypeKind || k == LLVMDoubleTypeKind;
}
static bool float_reg(Reg r) { return is_float(LLVMTypeOf(r)); }

RegType em_mem_type(Emit *e, Elem elem) {
    switch (elem) {
    case QCC_F32:
        return e->f32;
    case QCC_F64:
        return e->f64;
    case QCC_I64:
    case QCC_U64:
        return e->i64;
    case QCC_I32:
    case QCC_U32:
        return e->i32;
    case QCC_I16:
    case QCC_U16:
    case QCC_F16:
    case QCC_BF16:
        return e->i16;
    default:
        return e->i8;
    }
}

/* ---- constants ----------------------------------------------------------------------------------------------- */

Reg em_splat(Emit *e, Reg scalar, int lanes) {
    if (lanes == 1) return scalar;
    if (LLVMIsConstant(scalar)) {
        Reg *all = NEW_ARRAY(e->arena, Reg, lanes);
        for (int i = 0; i < lanes; i++) all[i] = scalar;
        return LLVMConstVector(all, (unsigned)lanes);
    }
    RegType t = em_vec(e, LLVMTypeOf(scalar), lanes);
    Reg one = LLVMBuildInsertElement(e->builder, LLVMGetPoison(t), scalar, LLVMConstInt(e->i32, 0, 0), "");
    return LLVMBuildShuffleVector(e->builder, one, LLVMGetPoison(t), LLVMConstNull(em_vec(e, e->i32, lanes)), "");
}

Reg em_int(Emit *e, RegType t, int64_t v) {
    return em_splat(e, LLVMConstInt(scalar_of(t), (unsigned long long)v, true), lanes_of(t));
}
Reg em_i32(Emit *e, int64_t v) { return em_int(e, e->i32, v); }
Reg em_i64(Emit *e, int64_t v) { return em_int(e, e->i64, v); }
Reg em_float(Emit *e, RegType t, double v) { return em_splat(e, LLVMConstReal(scalar_of(t), v), lanes_of(t)); }
Reg em_f32(Emit *e, float v) { return em_float(e, e->f32, (double)v); }
Reg em_undef(Emit *e, RegType t) {
    (void)e;
    return LLVMGetPoison(t);
}
Reg em_zero(Emit *e, RegType t) {
    (void)e;
    return LLVMConstNull(t);
}

Reg em_ints(Emit *e, RegType scalar, int n, const int64_t *v) {
    Reg *all = NEW_ARRAY(e->arena, Reg, n);
    for (int i = 0; i < n; i++) all[i] = em_int(e, scalar, v[i]);
    return n == 1 ? all[0] : LLVMConstVector(all, (unsigned)n);
}

/* ---- arithmetic ---------------------------------------------------------------------------------------------- */

/* A call of the LLVM intrinsic `name`, overloaded on the type `t` of its operands. */
static Reg intrinsic(Emit *e, const char *name, RegType t, int n, Reg *args) {
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    if (id == 0) bug("LLVM has no %s", name);
    Reg fn = LLVMGetIntrinsicDeclaration(e->module, id, &t, 1);
    return LLVMBuildCall2(e->builder, LLVMIntrinsicGetType(e->ctx, id, &t, 1), fn, args, (unsigned)n, "");
}

Reg em_intrinsic(Emit *e, const char *name, int n, Reg *args) {
    return intrinsic(e, name, LLVMTypeOf(args[0]), n, args);
}

Reg em_intrinsic_of_width(Emit *e, const char *name, int n, Reg *args) {
    unsigned id = name ? LLVMLookupIntrinsicID(name, strlen(name)) : 0;
    if (id == 0) bug("LLVM has no %s", name ? name : "instruction of this width");
    Reg fn = LLVMGetIntrinsicDeclaration(e->module, id, NULL, 0);
    return LLVMBuildCall2(e->builder, LLVMIntrinsicGetType(e->ctx, id, NULL, 0), fn, args, (unsigned)n, "");
}

static Reg arith(Emit *e, LLVMOpcode for_float, LLVMOpcode for_int, Reg a, Reg b) {
    if (LLVMTypeOf(a) != LLVMTypeOf(b)) bug("operands of two types in emitted code");
    return LLVMBuildBinOp(e->builder, float_reg(a) ? for_float : for_int, a, b, "");
}
Reg em_add(Emit *e, Reg a, Reg b) { return arith(e, LLVMFAdd, LLVMAdd, a, b); }
Reg em_sub(Emit *e, Reg a, Reg b) { return arith(e, LLVMFSub, LLVMSub, a, b); }
Reg em_mul(Emit *e, Reg a, Reg b) { return arith(e, LLVMFMul, LLVMMul, a, b); }
Reg em_div(Emit *e, Reg a, Reg b) { return arith(e, LLVMFDiv, LLVMSDiv, a, b); }
Reg em_and(Emit *e, Reg a, Reg b) { return LLVMBuildAnd(e->builder, a, b, ""); }
Reg em_or(Emit *e, Reg a, Reg b) { return LLVMBuildOr(e->builder, a, b, ""); }
Reg em_xor(Emit *e, Reg a, Reg b) { return LLVMBuildXor(e->builder, a, b, ""); }
Reg em_not(Emit *e, Reg a) { return LLVMBuildNot(e->builder, a, ""); }
Reg em_shl(Emit *e, Reg a, Reg b) { return LLVMBuildShl(e->builder, a, b, ""); }
Reg em_lshr(Emit *e, Reg a, Reg b) { return LLVMBuildLShr(e->builder, a, b, ""); }
Reg em_ashr(Emit *e, Reg a, Reg b) { return LLVMBuildAShr(e->builder, a, b, ""); }
Reg em_udiv(Emit *e, Reg a, int64_t by) { return LLVMBuildUDiv(e->builder, a, em_int(e, LLVMTypeOf(a), by), ""); }
Reg em_urem(Emit *e, Reg a, int64_t by) { return LLVMBuildURem(e->builder, a, em_int(e, LLVMTypeOf(a), by), ""); }
Reg em_leading_zeros(Emit *e, Reg a) {
    return intrinsic(e, "llvm.ctlz", LLVMTypeOf(a), 2, (Reg[]){a, em_int(e, e->i1, 1)});
}
Reg em_popcount(Emit *e, Reg a) { return em_intrinsic(e, "llvm.ctpop", 1, &a); }

Reg em_neg(Emit *e, Reg a) { return float_reg(a) ? LLVMBuildFNeg(e->builder, a, "") : LLVMBuildNeg(e->builder, a, ""); }

Reg em_fma(Emit *e, Reg a, Reg b, Reg c) { return em_intrinsic(e, "llvm.fma", 3, (Reg[]){a, b, c}); }
Reg em_mul_add(Emit *e, Reg a, Reg b, Reg c) {
    return e->target->fma ? em_fma(e, a, b, c) : em_add(e, em_mul(e, a, b), c);
}

Reg em_min(Emit *e, Reg a, Reg b) { return em_select(e, em_compare(e, CMP_LT, a, b), a, b); }
Reg em_max(Emit *e, Reg a, Reg b) { return em_select(e, em_compare(e, CMP_GT, a, b), a, b); }

Reg em_compare(Emit *e, Compare c, Reg a, Reg b) {
    static const LLVMIntPredicate ints[] = {LLVMIntEQ, LLVMIntNE, LLVMIntSLT, LLVMIntSLE, LLVMIntSGT, LLVMIntSGE};
    static const LLVMRealPredicate reals[] = {LLVMRealOEQ, LLVMRealUNE, LLVMRealOLT,
                                              LLVMRealOLE, LLVMRealOGT, LLVMRealOGE};
    if (LLVMTypeOf(a) != LLVMTypeOf(b)) bug("comparison of two types in emitted code");
    return float_reg(a) ? LLVMBuildFCmp(e->builder, reals[c], a, b, "") : LLVMBuildICmp(e->builder, ints[c], a, b, "");
}

Reg em_compare_unsigned(Emit *e, Compare c, Reg a, Reg b) {
    static const LLVMIntPredicate ints[] = {LLVMIntEQ, LLVMIntNE, LLVMIntULT, LLVMIntULE, LLVMIntUGT, LLVMIntUGE};
    return LLVMBuildICmp(e->builder, ints[c], a, b, "");
}

Reg em_select(Emit *e, Reg cond, Reg a, Reg b) { return LLVMBuildSelect(e->builder, cond, a, b, ""); }

Reg em_bitcast(Emit *e, Reg a, RegType t) { return LLVMBuildBitCast(e->builder, a, t, ""); }
Reg em_sext(Emit *e, Reg a, RegType t) { return LLVMTypeOf(a) == t ? a : LLVMBuildSExt(e->builder, a, t, ""); }
Reg em_zext(Emit *e, Reg a, RegType t) { return LLVMTypeOf(a) == t ? a : LLVMBuildZExt(e->builder, a, t, ""); }
Reg em_trunc(Emit *e, Reg a, RegType t) { return LLVMTypeOf(a) == t ? a : LLVMBuildTrunc(e->builder, a, t, ""); }
Reg em_sint_to_float(Emit *e, Reg a, RegType t) { return LLVMBuildSIToFP(e->builder, a, t, ""); }
Reg em_uint_to_float(Emit *e, Reg a, RegType t) { return LLVMBuildUIToFP(e->builder, a, t, ""); }
Reg em_float_to_sint(Emit *e, Reg a, RegType t) { return LLVMBuildFPToSI(e->builder, a, t, ""); }
Reg em_float_resize(Emit *e, Reg a, RegType t) { return LLVMBuildFPCast(e->builder, a, t, ""); }

Reg em_int_div(Emit *e, bool is_unsigned, Reg a, Reg b) {
    return is_unsigned ? LLVMBuildUDiv(e->builder, a, b, "") : LLVMBuildSDiv(e->builder, a, b, "");
}
Reg em_int_rem(Emit *e, bool is_unsigned, Reg a, Reg b) {
    return is_unsigned ? LLVMBuildURem(e->builder, a, b, "") : LLVMBuildSRem(e->builder, a, b, "");
}

Reg em_half_extend(Emit *e, Reg bits) {
    int lanes = em_lanes(bits);
    Reg half = em_bitcast(e, bits, em_vec(e, LLVMHalfTypeInContext(e->ctx), lanes));
    return LLVMBuildFPExt(e->builder, half, em_vec(e, e->f32, lanes), "");
}
Reg em_half_round(Emit *e, Reg f32) {
    int lanes = em_lanes(f32);
    Reg half = LLVMBuildFPTrunc(e->builder, f32, em_vec(e, LLVMHalfTypeInContext(e->ctx), lanes), "");
    return em_bitcast(e, half, em_vec(e, e->i16, lanes));
}

Reg em_float_to_int_sat(Emit *e, Reg a, RegType to, bool is_unsigned) {
    const char *name = is_unsigned ? "llvm.fptoui.sat" : "llvm.fptosi.sat";
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    RegType over[] = {em_vec(e, to, em_lanes(a)), LLVMTypeOf(a)};
    return LLVMBuildCall2(e->builder, LLVMIntrinsicGetType(e->ctx, id, over, 2),
                          LLVMGetIntrinsicDeclaration(e->module, id, over, 2), &a, 1, "");
}

/* ---- lanes --------------------------------------------------------------------------------------------------- */

Reg em_extract(Emit *e, Reg v, int lane) {
    return em_lanes(v) == 1 ? v : LLVMBuildExtractElement(e->builder, v, em_i32(e, lane), "");
}

Reg em_insert(Emit *e, Reg v, Reg scalar, int lane) {
    return em_lanes(v) == 1 ? scalar : LLVMBuildInsertElement(e->builder, v, scalar, em_i32(e, lane), "");
}

Reg em_shuffle(Emit *e, Reg a, Reg b, int n, const int *index) {
    if (em_lanes(a) == 1) bug("em_shuffle of a scalar");
    if (n == 1) {
        int from = index[0], lanes = em_lanes(a);
        return from < lanes ? em_extract(e, a, from < 0 ? 0 : from) : em_extract(e, b, from - lanes);
    }
    Reg *mask = NEW_ARRAY(e->arena, Reg, n);
    for (int i = 0; i < n; i++) mask[i] = index[i] < 0 ? LLVMGetPoison(e->i32) : em_i32(e, index[i]);
    if (!b) b = LLVMGetPoison(LLVMTypeOf(a));
    return LLVMBuildShuffleVector(e->builder, a, b, LLVMConstVector(mask, (unsigned)n), "");
}

/* Shuffles that only count upwards from `from`, with -1 from `known` lanes on. */
static Reg run_of_lanes(Emit *e, Reg a, Reg b, int from, int known, int n) {
    int *index = NEW_ARRAY(e->arena, int, n);
    for (int i = 0; i < n; i++) index[i] = i < known ? from + i : -1;
    return em_shuffle(e, a, b, n, index);
}

static Reg as_vector(Emit *e, Reg v) {
    return em_lanes(v) > 1
               ? v
               : LLVMBuildInsertElement(e->builder, em_undef(e, LLVMVectorType(LLVMTypeOf(v), 1)), v, em_i32(e, 0), "");
}

Reg em_slice(Emit *e, Reg v, int from, int n) { return n == em_lanes(v) ? v : run_of_lanes(e, v, NULL, from, n, n); }

Reg em_widen(Emit *e, Reg v, int lanes) {
    int have = em_lanes(v);
    if (have == lanes) return v;
    if (have == 1) return em_insert(e, em_undef(e, em_vec(e, em_type(v), lanes)), v, 0);
    return run_of_lanes(e, v, NULL, 0, have, lanes);
}

Reg em_concat(Emit *e, Reg a, Reg b) {
    int na = em_lanes(a), nb = em_lanes(b), wide = na > nb ? na : nb;
    if (wide == 1) return em_insert(e, em_insert(e, em_undef(e, em_vec(e, em_type(a), 2)), a, 0), b, 1);
    Reg wa = em_widen(e, a, wide), wb = em_widen(e, b, wide);
    int *index = NEW_ARRAY(e->arena, int, na + nb);
    for (int i = 0; i < na + nb; i++) index[i] = i < na ? i : wide + i - na;
    return em_shuffle(e, as_vector(e, wa), as_vector(e, wb), na + nb, index);
}

Reg em_lane_sum(Emit *e, Reg v) {
    for (int n = em_lanes(v); n > 1; n /= 2) {
        if (n % 2) bug("em_lane_sum: %d lanes", n);
        v = em_add(e, em_slice(e, v, 0, n / 2), em_slice(e, v, n / 2, n / 2));
    }
    return v;
}
