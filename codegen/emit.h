/* The emitters' vocabulary: one LLVM context, module and builder behind verbs of the code generator's own domain. No
 * other header shows LLVM, and kernel emitters call nothing but this and codegen/kernel.h.
 *
 * A Reg is a value of the emitted code (a scalar, a vector, a pointer), a RegType its type. Lengths are compile-time
 * constants nearly everywhere: kernels are written for one layer. Nothing is reassociated or contracted: em_fma is the
 * only fused multiply-add, and no fast-math flag is ever set. Loops are loops: what should be unrolled is unrolled by
 * the emitter, LLVM neither vectorises nor unrolls. */
#ifndef QCC_CODEGEN_EMIT_H
#define QCC_CODEGEN_EMIT_H

#include "codegen/target.h"
#include "ir/expr.h"
#include "ir/ir.h"

typedef struct LLVMOpaqueValue *Reg;
typedef struct LLVMOpaqueType *RegType;
typedef struct LLVMOpaqueBasicBlock *RegBlock;

typedef struct Emit {
    Arena *arena;
    Diags *diags;
    const Target *target;
    const char *name; /* the model's; prefixes every symbol */
    struct LLVMOpaqueContext *ctx;
    struct LLVMOpaqueModule *module;
    struct LLVMOpaqueBuilder *builder;
    struct LLVMOpaqueTargetMachine *machine;
    RegType i1, i8, i16, i32, i64, f32, f64, ptr, none;
    RegType size;  /* size_t of the target */
    Reg fn;        /* the function under construction, or NULL */
    int level;     /* -O */
    Map functions; /* key of em_function -> its Function */
    int n_functions;
} Emit;

/* Starts a module for `target`; the handles go with the arena. */
Emit *em_new(Arena *a, Diags *d, const Target *target, const char *name, int level);

/* ---- types --------------------------------------------------------------------------------------------------- */

RegType em_vec(Emit *e, RegType scalar, int lanes); /* the scalar itself for one lane */
RegType em_int_type(Emit *e, int bits);
RegType em_type(Reg r);
RegType em_scalar_type(Reg r); /* of a vector's lanes */
int em_lanes(Reg r);           /* 1 for scalars */
int em_bits(RegType scalar);
/* How an element lies in memory: f16 and bf16 as i16, bool and what is below a byte as i8. */
RegType em_mem_type(Emit *e, Elem elem);

/* ---- constants ----------------------------------------------------------------------------------------------- */

Reg em_int(Emit *e, RegType t, int64_t v); /* of an integer type, or a vector of one (splat) */
Reg em_i32(Emit *e, int64_t v);
Reg em_i64(Emit *e, int64_t v);
Reg em_f32(Emit *e, float v);
Reg em_float(Emit *e, RegType t, double v); /* of a float type, or a vector of one (splat) */
Reg em_zero(Emit *e, RegType t);
Reg em_splat(Emit *e, Reg scalar, int lanes);                  /* the scalar itself for one lane */
Reg em_ints(Emit *e, RegType scalar, int n, const int64_t *v); /* vector constant */

/* ---- arithmetic: operands of one type, scalars or vectors; floats and integers alike ------------------------- */

Reg em_add(Emit *e, Reg a, Reg b);
Reg em_sub(Emit *e, Reg a, Reg b);
Reg em_mul(Emit *e, Reg a, Reg b);
Reg em_div(Emit *e, Reg a, Reg b);            /* floats */
Reg em_fma(Emit *e, Reg a, Reg b, Reg c);     /* a * b + c, one rounding; a call to nothing: target->fma must hold */
Reg em_mul_add(Emit *e, Reg a, Reg b, Reg c); /* em_fma where the target has it, else multiply, then add */
Reg em_neg(Emit *e, Reg a);
Reg em_min(Emit *e, Reg a, Reg b); /* a < b ? a : b, signed for integers */
Reg em_max(Emit *e, Reg a, Reg b); /* a > b ? a : b, signed for integers */
Reg em_and(Emit *e, Reg a, Reg b);
Reg em_or(Emit *e, Reg a, Reg b);
Reg em_xor(Emit *e, Reg a, Reg b);
Reg em_not(Emit *e, Reg a);
Reg em_shl(Emit *e, Reg a, Reg b);
Reg em_lshr(Emit *e, Reg a, Reg b);
Reg em_ashr(Emit *e, Reg a, Reg b);
Reg em_udiv(Emit *e, Reg a, int64_t by); /* by a positive constant */
Reg em_urem(Emit *e, Reg a, int64_t by);
Reg em_popcount(Emit *e, Reg a);
/* A target's own LLVM intrinsic whose operands have the one type that its name says. */
Reg em_intrinsic_of_width(Emit *e, const char *name, int n, Reg *args);

typedef enum Compare { CMP_EQ, CMP_NE, CMP_LT, CMP_LE, CMP_GT, CMP_GE } Compare;
Reg em_compare(Emit *e, Compare c, Reg a, Reg b); /* signed; floats ordered (false with NaN), NE unordered */
Reg em_compare_unsigned(Emit *e, Compare c, Reg a, Reg b);
Reg em_select(Emit *e, Reg cond, Reg a, Reg b); /* cond: i1, or a vector of as many lanes */

Reg em_bitcast(Emit *e, Reg a, RegType t);
Reg em_sext(Emit *e, Reg a, RegType t); /* t: the whole result type, vector for vectors */
Reg em_zext(Emit *e, Reg a, RegType t);
Reg em_trunc(Emit *e, Reg a, RegType t);
Reg em_sint_to_float(Emit *e, Reg a, RegType t);
Reg em_uint_to_float(Emit *e, Reg a, RegType t);
Reg em_float_to_sint(Emit *e, Reg a, RegType t); /* toward zero; out of range is undefined */
Reg em_float_resize(Emit *e, Reg a, RegType t);  /* between f32 and f64 */

/* ---- lanes --------------------------------------------------------------------------------------------------- */

Reg em_extract(Emit *e, Reg v, int lane); /* v itself if it is a scalar */
Reg em_insert(Emit *e, Reg v, Reg scalar, int lane);
Reg em_undef(Emit *e, RegType t);
/* Lane i of the result is lane index[i] of a followed by b; b may be NULL; -1: any value. */
Reg em_shuffle(Emit *e, Reg a, Reg b, int n, const int *index);
Reg em_concat(Emit *e, Reg a, Reg b);          /* lanes of a, then of b */
Reg em_slice(Emit *e, Reg v, int from, int n); /* lanes from .. from + n - 1; a scalar for one lane */
Reg em_widen(Emit *e, Reg v, int lanes);       /* more lanes, the new ones undefined */
Reg em_lane_sum(Emit *e, Reg v);               /* of floats in a fixed tree: halves added until one lane is left */

/* ---- memory -------------------------------------------------------------------------------------------------- */

/* An index of which a constant part is kept apart, so that addresses of an unrolled body share their variable part. */
typedef struct Index {
    Reg reg; /* i64, NULL: 0 */
    int64_t plus;
} Index;
static inline Index index_const(int64_t plus) { return (Index){NULL, plus}; }
static inline Index index_reg(Reg r) { return (Index){r, 0}; }
static inline Index index_plus(Index i, int64_t plus) { return (Index){i.reg, i.plus + plus}; }
Reg em_index(Emit *e, Index i); /* i64 */

Reg em_at(Emit *e, Reg base, int64_t bytes); /* base + bytes */
Reg em_at_reg(Emit *e, Reg base, Reg bytes); /* bytes: i64 */
/* base + sum of idx[k] * stride[k], strides in bytes. */
Reg em_address(Emit *e, Reg base, int n, const Index *idx, const int64_t *stride);

/* align in bytes, 1 = nothing known. */
Reg em_load(Emit *e, RegType t, Reg p, int align);
void em_store(Emit *e, Reg v, Reg p, int align);
/* The first `active` lanes only (1 <= active <= lanes, a constant); memory behind them is not touched. The other
 * loaded lanes are zero. */
Reg em_load_part(Emit *e, RegType t, Reg p, int align, int active);
void em_store_part(Emit *e, Reg v, Reg p, int align, int active);
/* The first lanes only, their number (0 .. lanes) known at run time: active is an i32 or i64. */
Reg em_load_some(Emit *e, RegType t, Reg p, int align, Reg active);
void em_store_some(Emit *e, Reg v, Reg p, int align, Reg active);
/* Lane i from or to p + i * stride_bytes; a stride of 0 loads once. */
Reg em_load_strided(Emit *e, RegType t, Reg p, int64_t stride_bytes, int active);
void em_store_strided(Emit *e, Reg v, Reg p, int64_t stride_bytes, int active);
void em_prefetch(Emit *e, Reg p, int locality); /* for reading; locality 0 (streaming) .. 3 (keep) */
void em_memcpy(Emit *e, Reg dst, Reg src, int64_t bytes);
void em_memset_zero(Emit *e, Reg dst, int64_t bytes);
Reg em_data(Emit *e, const void *data, int64_t bytes, int align); /* read-only data in the module; NULL for none */
Reg em_local(Emit *e, int64_t bytes, int align); /* on the stack, in the entry block; keep it below a few KiB */

/* ---- control ------------------------------------------------------------------------------------------------- */

/* A counted loop. n values are carried: `carry[k]` goes in as the initial value, is the loop's own value inside, is
 * read as the next one by em_loop_end, and is the final one afterwards:
 *     Reg acc[2] = {zero, zero};
 *     Loop l = em_loop(e, 0, 100, 4, 2, acc);
 *     acc[0] = em_add(e, acc[0], ...l.i...);
 *     em_loop_end(e, &l);
 * A loop of one round leaves no loop in the code. */
typedef struct Loop {
    Reg i; /* i64 */
    Reg to;
    int64_t step;
    int n;
    Reg *carry, *phi, iphi;
    RegBlock head, body, exit;
    bool straight, tested_first;
} Loop;
Loop em_loop(Emit *e, int64_t from, int64_t to, int64_t step, int n, Reg *carry);
Loop em_loop_reg(Emit *e, Reg from, Reg to, int64_t step, int n, Reg *carry); /* i64 bounds; may run zero times */
void em_loop_end(Emit *e, Loop *l);

/* If f = em_if(e, cond, n, values); ... em_else(e, &f); ... em_if_end(e, &f);   em_else may be left out. values[k] may
 * be changed in either branch and is merged at the end. */
typedef struct If {
    int n;
    Reg *values, *before, *then_values;
    RegBlock then_block, else_block, then_end, end;
    bool has_else;
} If;
If em_if(Emit *e, Reg cond, int n, Reg *values);
void em_else(Emit *e, If *f);
void em_if_end(Emit *e, If *f);

/* A helper function private to the module, e.g. a micro-kernel that several places call. `key` says everything that its
 * code depends on: if one of this key exists, *exists is set and there is no body to emit. Else the parameters are in
 * arg[] and code goes into the new function until em_function_end (which returns nothing: results go through memory);
 * the function begun before is then continued. Pointer parameters do not alias each other's written memory. */
typedef struct Function {
    Reg fn;
    Reg arg[24];
    Reg outer_fn;
    RegBlock outer_block;
    bool exists;
} Function;
Function em_function(Emit *e, const char *key, int n_args, const RegType *args);
void em_function_end(Emit *e, Function *f);
void em_call(Emit *e, Function *f, int n_args, const Reg *args);

/* ---- element-wise programs (codegen/scalar.c) ------------------------------------------------------------------ */

/* The register type of an element of a program: bool is i1, f16 and bf16 are their bits (i16), i4 and the like i8. */
RegType em_elem_type(Emit *e, Elem elem);
/* Emits a program on in[k] (of input k's register type, all of `lanes` lanes) and returns the result. Bits are exactly
 * those of expr_run. */
Reg em_expr(Emit *e, const Expr *x, int lanes, const Reg *in);
Reg em_from_mem(Emit *e, Elem elem, Reg v); /* memory form to register form: for bool, v != 0 */
Reg em_to_mem(Emit *e, Elem elem, Reg v);

#endif
