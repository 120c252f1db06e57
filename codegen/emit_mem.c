/* Memory: addresses whose variable part is shared between the rounds of an unrolled body, and loads and stores of part
 * of a vector. A part of constant length is one masked access where the target has those, else pieces of 1, 2, 4 ..
 * lanes. */
#include "codegen/emit.h"

#include <llvm-c/Core.h>
#include <string.h>

Reg em_index(Emit *e, Index i) {
    Reg plus = em_i64(e, i.plus);
    return !i.reg ? plus : i.plus ? em_add(e, i.reg, plus) : i.reg;
}

Reg em_at_reg(Emit *e, Reg base, Reg bytes) { return LLVMBuildInBoundsGEP2(e->builder, e->i8, base, &bytes, 1, ""); }
Reg em_at(Emit *e, Reg base, int64_t bytes) { return bytes ? em_at_reg(e, base, em_i64(e, bytes)) : base; }

Reg em_address(Emit *e, Reg base, int n, const Index *idx, const int64_t *stride) {
    int64_t plus = 0;
    Reg p = base;
    for (int k = 0; k < n; k++) {
        plus += idx[k].plus * stride[k];
        if (idx[k].reg && stride[k])
            p = em_at_reg(e, p, LLVMBuildNSWMul(e->builder, idx[k].reg, em_i64(e, stride[k]), ""));
    }
    return em_at(e, p, plus);
}

Reg em_load(Emit *e, RegType t, Reg p, int align) {
    Reg v = LLVMBuildLoad2(e->builder, t, p, "");
    LLVMSetAlignment(v, (unsigned)align);
    return v;
}

void em_store(Emit *e, Reg v, Reg p, int align) { LLVMSetAlignment(LLVMBuildStore(e->builder, v, p), (unsigned)align); }

static int elem_size(RegType t) {
    RegType s = LLVMGetTypeKind(t) == LLVMVectorTypeKind ? LLVMGetElementType(t) : t;
    return em_bits(s) / 8;
}
static int type_lanes(RegType t) { return LLVMGetTypeKind(t) == LLVMVectorTypeKind ? (int)LLVMGetVectorSize(t) : 1; }

static int min_align(int align, int64_t offset) {
    while (align > 1 && offset % align) align /= 2;
    return align;
}

/* ---- masked accesses ----------------------------------------------------------------------------------------- */

static Reg mask_of(Emit *e, int lanes, int active) {
    Reg *bits = NEW_ARRAY(e->arena, Reg, lanes);
    for (int i = 0; i < lanes; i++) bits[i] = em_int(e, e->i1, i < active);
    return LLVMConstVector(bits, (unsigned)lanes);
}

static Reg mask_some(Emit *e, int lanes, Reg active) {
    int64_t *iota = NEW_ARRAY(e->arena, int64_t, lanes);
    for (int i = 0; i < lanes; i++) iota[i] = i;
    Reg n = em_type(active) == e->i64 ? em_trunc(e, active, e->i32) : active;
    return em_compare_unsigned(e, CMP_LT, em_ints(e, e->i32, lanes, iota), em_splat(e, n, lanes));
}

static Reg masked_load(Emit *e, RegType t, Reg p, int align, Reg mask) {
    unsigned id = LLVMLookupIntrinsicID("llvm.masked.load", strlen("llvm.masked.load"));
    RegType over[] = {t, e->ptr};
    Reg args[] = {p, em_i32(e, align), mask, em_zero(e, t)};
    return LLVMBuildCall2(e->builder, LLVMIntrinsicGetType(e->ctx, id, over, 2),
                          LLVMGetIntrinsicDeclaration(e->module, id, over, 2), args, 4, "");
}

static void masked_store(Emit *e, Reg v, Reg p, int align, Reg mask) {
    unsigned id = LLVMLookupIntrinsicID("llvm.masked.store", strlen("llvm.masked.store"));
    RegType over[] = {em_type(v), e->ptr};
    Reg args[] = {v, p, em_i32(e, align), mask};
    LLVMBuildCall2(e->builder, LLVMIntrinsicGetType(e->ctx, id, over, 2),
                   LLVMGetIntrinsicDeclaration(e->module, id, over, 2), args, 4, "");
}

/* ---- parts of constant length -------------------------------------------------------------------------------- */

/* The largest power of two that is <= n. */
static int piece(int n) {
    int p = 1;
    while (2 * p <= n) p *= 2;
    return p;
}

static Reg load_pieces(Emit *e, RegType t, Reg p, int align, int active) {
    int lanes = type_lanes(t), size = elem_size(t);
    Reg all = NULL;
    for (int at = 0; at < active;) {
        int n = piece(active - at);
        RegType part = em_vec(e, LLVMGetElementType(t), n);
        Reg v = em_load(e, part, em_at(e, p, (int64_t)at * size), min_align(align, (int64_t)at * size));
        all = all ? em_concat(e, all, v) : v;
        at += n;
    }
    Reg wide = em_widen(e, all, lanes);
    return em_select(e, mask_of(e, lanes, active), wide, em_zero(e, t));
}

Reg em_load_part(Emit *e, RegType t, Reg p, int align, int active) {
    int lanes = type_lanes(t);
    if (active == lanes) return em_load(e, t, p, align);
    return e->target->masks ? masked_load(e, t, p, align, mask_of(e, lanes, active))
                            : load_pieces(e, t, p, align, active);
}

void em_store_part(Emit *e, Reg v, Reg p, int align, int active) {
    int lanes = em_lanes(v), size = elem_size(em_type(v));
    if (active == lanes) {
        em_store(e, v, p, align);
    } else if (e->target->masks) {
        masked_store(e, v, p, align, mask_of(e, lanes, active));
    } else {
        for (int at = 0, n; at < active; at += n) {
            n = piece(active - at);
            em_store(e, em_slice(e, v, at, n), em_at(e, p, (int64_t)at * size), min_align(align, (int64_t)at * size));
        }
    }
}

/* ---- parts of a length known at run time --------------------------------------------------------------------- */

/* Copies `active` elements of type `scalar` one by one. */
static void copy_elements(Emit *e, RegType scalar, Reg dst, Reg src, Reg active) {
    Loop l = em_loop_reg(e, em_i64(e, 0), em_zext(e, active, e->i64), 1, 0, NULL);
    Reg at = em_mul(e, l.i, em_i64(e, em_bits(scalar) / 8));
    em_store(e, em_load(e, scalar, em_at_reg(e, src, at), 1), em_at_reg(e, dst, at), 1);
    em_loop_end(e, &l);
}

Reg em_load_some(Emit *e, RegType t, Reg p, int align, Reg active) {
    int lanes = type_lanes(t);
    if (e->target->masks && lanes > 1) return masked_load(e, t, p, align, mask_some(e, lanes, active));
    Reg copy = em_local(e, (int64_t)lanes * elem_size(t), 64);
    em_store(e, em_zero(e, t), copy, 64);
    copy_elements(e, lanes > 1 ? LLVMGetElementType(t) : t, copy, p, active);
    return em_load(e, t, copy, 64);
}

void em_store_some(Emit *e, Reg v, Reg p, int align, Reg active) {
    int lanes = em_lanes(v);
    if (e->target->masks && lanes > 1) {
        masked_store(e, v, p, align, mask_some(e, lanes, active));
        return;
    }
    Reg copy = em_local(e, (int64_t)lanes * elem_size(em_type(v)), 64);
    em_store(e, v, copy, 64);
    copy_elements(e, em_scalar_type(v), p, copy, active);
}

/* ---- strided ------------------------------------------------------------------------------------------------- */

Reg em_load_strided(Emit *e, RegType t, Reg p, int64_t stride_bytes, int active) {
    int lanes = type_lanes(t), size = elem_size(t);
    if (lanes == 1) return em_load(e, t, p, size);
    RegType scalar = LLVMGetElementType(t);
    if (stride_bytes == 0) return em_splat(e, em_load(e, scalar, p, size), lanes);
    if (stride_bytes == size) return em_load_part(e, t, p, size, active);
    Reg v = active == lanes ? em_undef(e, t) : em_zero(e, t);
    for (int i = 0; i < active; i++) v = em_insert(e, v, em_load(e, scalar, em_at(e, p, i * stride_bytes), size), i);
    return v;
}

void em_store_strided(Emit *e, Reg v, Reg p, int64_t stride_bytes, int active) {
    int size = elem_size(em_type(v));
    if (stride_bytes == size || em_lanes(v) == 1) {
        em_store_part(e, v, p, size, active);
        return;
    }
    for (int i = 0; i < active; i++) em_store(e, em_extract(e, v, i), em_at(e, p, i * stride_bytes), size);
}

/* ---- blocks -------------------------------------------------------------------------------------------------- */

void em_prefetch(Emit *e, Reg p, int locality) {
    unsigned id = LLVMLookupIntrinsicID("llvm.prefetch", strlen("llvm.prefetch"));
    Reg args[] = {p, em_i32(e, 0), em_i32(e, locality), em_i32(e, 1)};
    LLVMBuildCall2(e->builder, LLVMIntrinsicGetType(e->ctx, id, &e->ptr, 1),
                   LLVMGetIntrinsicDeclaration(e->module, id, &e->ptr, 1), args, 4, "");
}

void em_memcpy(Emit *e, Reg dst, Reg src, int64_t bytes) {
    if (bytes) LLVMBuildMemCpy(e->builder, dst, 1, src, 1, em_int(e, e->size, bytes));
}
void em_memset_zero(Emit *e, Reg dst, int64_t bytes) {
    if (bytes) LLVMBuildMemSet(e->builder, dst, em_int(e, e->i8, 0), em_int(e, e->size, bytes), 1);
}

Reg em_data(Emit *e, const void *data, int64_t bytes, int align) {
    if (bytes == 0) return em_zero(e, e->ptr);
    Reg v = LLVMConstStringInContext2(e->ctx, data, (size_t)bytes, true);
    Reg g = LLVMAddGlobal(e->module, em_type(v), arena_printf(e->arena, "%s_table", e->name));
    LLVMSetInitializer(g, v);
    LLVMSetGlobalConstant(g, true);
    LLVMSetLinkage(g, LLVMPrivateLinkage);
    LLVMSetUnnamedAddress(g, LLVMGlobalUnnamedAddr);
    LLVMSetAlignment(g, (unsigned)align);
    return g;
}

Reg em_local(Emit *e, int64_t bytes, int align) {
    RegBlock here = LLVMGetInsertBlock(e->builder), entry = LLVMGetEntryBasicBlock(e->fn);
    Reg first = LLVMGetFirstInstruction(entry);
    if (first)
        LLVMPositionBuilderBefore(e->builder, first);
    else
        LLVMPositionBuilderAtEnd(e->builder, entry);
    Reg p = LLVMBuildAlloca(e->builder, LLVMArrayType2(e->i8, (uint64_t)bytes), "");
    LLVMSetAlignment(p, (unsigned)align);
    LLVMPositionBuilderAtEnd(e->builder, here);
    return p;
}
