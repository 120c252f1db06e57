/* Running element-wise programs: a vector interpreter. Each instruction is run over a block of elements at a time, so
 * that finding its loop costs nothing beside the loop and a block's values stay in the first cache; the loops have no
 * branches and the compiler vectorises them. Values lie in slots, given back after their last use; inputs are read
 * where they are and the last instruction writes where the result goes.
 *
 * This file is built for speed and without trapping math and errno (CMakeLists.txt), which changes no result. */
#include "ir/expr.h"

#include "runtime/ref/ref.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 256 };

typedef void Loop(int n, void *restrict to, const void *a, const void *b, const void *c);

/* ---- the loops ----------------------------------------------------------------------------------------------- */

/* Element types that are computed with: M(symbol, C type, unsigned type to compute in). */
#define REALS(M) M(F32, float, f) M(F64, double, )
#define SIGNED(M) M(I8, int8_t, uint32_t) M(I16, int16_t, uint32_t) M(I32, int32_t, uint32_t) M(I64, int64_t, uint64_t)
#define UNSIGNED(M) \
    M(U8, uint8_t, uint32_t) M(U16, uint16_t, uint32_t) M(U32, uint32_t, uint32_t) M(U64, uint64_t, uint64_t)
#define WHOLES(M) SIGNED(M) UNSIGNED(M)

#define LOOP(name, R, T, value)                                                                  \
    static void name(int n, void *restrict to, const void *pa, const void *pb, const void *pc) { \
        (void)pb, (void)pc;                                                                      \
        const T *a = pa;                                                                         \
        R *r = to;                                                                               \
        for (int i = 0; i < n; i++) r[i] = (R)(value);                                           \
    }
#define LOOP_2(name, R, T, value)                                                                \
    static void name(int n, void *restrict to, const void *pa, const void *pb, const void *pc) { \
        (void)pc;                                                                                \
        const T *a = pa, *b = pb;                                                                \
        R *r = to;                                                                               \
        for (int i = 0; i < n; i++) r[i] = (R)(value);                                           \
    }

#define COMMON(S, T)                                 \
    LOOP_2(min_##S, T, T, a[i] < b[i] ? a[i] : b[i]) \
    LOOP_2(max_##S, T, T, a[i] > b[i] ? a[i] : b[i]) \
    LOOP_2(eq_##S, uint8_t, T, a[i] == b[i])         \
    LOOP_2(lt_##S, uint8_t, T, a[i] < b[i])          \
    LOOP_2(le_##S, uint8_t, T, a[i] <= b[i])

#define REAL_LOOPS(S, T, f)                    \
    COMMON(S, T)                               \
    LOOP_2(add_##S, T, T, a[i] + b[i])         \
    LOOP_2(sub_##S, T, T, a[i] - b[i])         \
    LOOP_2(mul_##S, T, T, a[i] * b[i])         \
    LOOP_2(div_##S, T, T, a[i] / b[i])         \
    LOOP_2(rem_##S, T, T, fmod##f(a[i], b[i])) \
    LOOP(neg_##S, T, T, -a[i])                 \
    LOOP(abs_##S, T, T, fabs##f(a[i]))         \
    LOOP(sqrt_##S, T, T, sqrt##f(a[i]))        \
    LOOP(floor_##S, T, T, floor##f(a[i]))      \
    LOOP(ceil_##S, T, T, ceil##f(a[i]))        \
    LOOP(trunc_##S, T, T, trunc##f(a[i]))      \
    LOOP(rint_##S, T, T, nearbyint##f(a[i]))
REALS(REAL_LOOPS)

/* Wrapping: computed in an unsigned type of at least 32 bits, which int does not widen. */
#define WHOLE_LOOPS(S, T, W)                 \
    COMMON(S, T)                             \
    LOOP_2(add_##S, T, T, (W)a[i] + (W)b[i]) \
    LOOP_2(sub_##S, T, T, (W)a[i] - (W)b[i]) \
    LOOP_2(mul_##S, T, T, (W)a[i] * (W)b[i]) \
    LOOP(neg_##S, T, T, 0 - (W)a[i])         \
    LOOP_2(and_##S, T, T, a[i] & b[i])       \
    LOOP_2(or_##S, T, T, a[i] | b[i])        \
    LOOP_2(xor_##S, T, T, a[i] ^ b[i])       \
    LOOP_2(shl_##S, T, T, (W)b[i] < 8 * sizeof(T) ? (W)a[i] << (b[i] & (8 * (int)sizeof(T) - 1)) : 0)
WHOLES(WHOLE_LOOPS)

#define SIGNED_LOOPS(S, T, W)                                                               \
    LOOP_2(div_##S, T, T, b[i] == 0 ? 0 : b[i] == -1 ? (T)(0 - (W)a[i]) : (T)(a[i] / b[i])) \
    LOOP_2(rem_##S, T, T, b[i] == 0 || b[i] == -1 ? 0 : a[i] % b[i])                        \
    LOOP(abs_##S, T, T, a[i] < 0 ? 0 - (W)a[i] : (W)a[i])                                   \
    LOOP_2(shr_##S, T, T, a[i] >> ((W)b[i] < 8 * sizeof(T) ? b[i] : 8 * (int)sizeof(T) - 1))
SIGNED(SIGNED_LOOPS)

#define UNSIGNED_LOOPS(S, T, W)                        \
    LOOP_2(div_##S, T, T, b[i] == 0 ? 0 : a[i] / b[i]) \
    LOOP_2(rem_##S, T, T, b[i] == 0 ? 0 : a[i] % b[i]) \
    LOOP(abs_##S, T, T, a[i])                          \
    LOOP_2(shr_##S, T, T, (W)b[i] < 8 * sizeof(T) ? a[i] >> b[i] : 0)
UNSIGNED(UNSIGNED_LOOPS)

LOOP_2(and_BOOL, uint8_t, uint8_t, a[i] & b[i])
LOOP_2(or_BOOL, uint8_t, uint8_t, a[i] | b[i])
LOOP_2(xor_BOOL, uint8_t, uint8_t, a[i] ^ b[i])
LOOP_2(eq_BOOL, uint8_t, uint8_t, a[i] == b[i])
LOOP(in_BOOL, uint8_t, uint8_t, a[i] != 0)

#define SELECT_LOOP(T)                                                                                 \
    static void select_##T(int n, void *restrict to, const void *pa, const void *pb, const void *pc) { \
        const uint8_t *a = pa;                                                                         \
        const T *b = pb, *c = pc;                                                                      \
        T *r = to;                                                                                     \
        for (int i = 0; i < n; i++) r[i] = a[i] ? b[i] : c[i];                                         \
    }
SELECT_LOOP(uint8_t)
SELECT_LOOP(uint16_t)
SELECT_LOOP(uint32_t)
SELECT_LOOP(uint64_t)
LOOP(copy_1, uint8_t, uint8_t, a[i])
LOOP(copy_2, uint16_t, uint16_t, a[i])
LOOP(copy_4, uint32_t, uint32_t, a[i])
LOOP(copy_8, uint64_t, uint64_t, a[i])

/* ---- conversions --------------------------------------------------------------------------------------------- */

/* Floats to integers as expr.def says it; an f32 is exact in double. */
static inline int32_t to_i32(double v) {
    if (!(v == v)) return 0;
    return v >= 0x1p31 ? INT32_MAX : v <= -0x1p31 ? INT32_MIN : (int32_t)v;
}
static inline int64_t to_i64(double v) {
    if (!(v == v)) return 0;
    return v >= 0x1p63 ? INT64_MAX : v <= -0x1p63 ? INT64_MIN : (int64_t)v;
}
static inline uint32_t to_u32(double v) {
    return v >= 0x1p32 ? UINT32_MAX : v >= 0x1p31 ? (uint32_t)v : (uint32_t)to_i32(v);
}
static inline uint64_t to_u64(double v) {
    return v >= 0x1p64 ? UINT64_MAX : v >= 0x1p63 ? (uint64_t)v : (uint64_t)to_i64(v);
}
static inline int low_signed(int32_t v, int bits) {
    return ((v & ((1 << bits) - 1)) ^ 1 << (bits - 1)) - (1 << (bits - 1));
}

#define CASTS_FROM(S, T, real)                                                     \
    LOOP(cast_##S##_F32, float, T, a[i])                                           \
    LOOP(cast_##S##_F64, double, T, a[i])                                          \
    LOOP(cast_##S##_BOOL, uint8_t, T, a[i] != 0)                                   \
    LOOP(cast_##S##_I8, int8_t, T, CAST_##real(i32, int32_t, a[i]))                \
    LOOP(cast_##S##_I16, int16_t, T, CAST_##real(i32, int32_t, a[i]))              \
    LOOP(cast_##S##_I32, int32_t, T, CAST_##real(i32, int32_t, a[i]))              \
    LOOP(cast_##S##_I64, int64_t, T, CAST_##real(i64, int64_t, a[i]))              \
    LOOP(cast_##S##_U8, uint8_t, T, CAST_##real(i32, int32_t, a[i]))               \
    LOOP(cast_##S##_U16, uint16_t, T, CAST_##real(i32, int32_t, a[i]))             \
    LOOP(cast_##S##_U32, uint32_t, T, CAST_##real(u32, uint32_t, a[i]))            \
    LOOP(cast_##S##_U64, uint64_t, T, CAST_##real(u64, uint64_t, a[i]))            \
    LOOP(cast_##S##_I4, int8_t, T, low_signed(CAST_##real(i32, int32_t, a[i]), 4)) \
    LOOP(cast_##S##_I2, int8_t, T, low_signed(CAST_##real(i32, int32_t, a[i]), 2)) \
    LOOP(cast_##S##_U4, uint8_t, T, CAST_##real(i32, int32_t, a[i]) & 15)          \
    LOOP(cast_##S##_U2, uint8_t, T, CAST_##real(i32, int32_t, a[i]) & 3)
#define CAST_1(to, W, v) to_##to((double)(v))
#define CAST_0(to, W, v) (W)(v)
CASTS_FROM(F32, float, 1)
CASTS_FROM(F64, double, 1)
CASTS_FROM(I8, int8_t, 0)
CASTS_FROM(I16, int16_t, 0)
CASTS_FROM(I32, int32_t, 0)
CASTS_FROM(I64, int64_t, 0)
CASTS_FROM(U8, uint8_t, 0)
CASTS_FROM(U16, uint16_t, 0)
CASTS_FROM(U32, uint32_t, 0)
CASTS_FROM(U64, uint64_t, 0)
LOOP(cast_F32_F16, uint16_t, float, ref_f32_to_f16(a[i]))
LOOP(cast_F32_BF16, uint16_t, float, ref_f32_to_bf16(a[i]))
LOOP(cast_F16_F32, float, uint16_t, ref_f16_to_f32(a[i]))
LOOP(cast_BF16_F32, float, uint16_t, ref_bf16_to_f32(a[i]))

#define CAST_ROW(S)                                                                                                 \
    [QCC_F32] = cast_##S##_F32, [QCC_F64] = cast_##S##_F64, [QCC_BOOL] = cast_##S##_BOOL, [QCC_I8] = cast_##S##_I8, \
    [QCC_I16] = cast_##S##_I16, [QCC_I32] = cast_##S##_I32, [QCC_I64] = cast_##S##_I64, [QCC_U8] = cast_##S##_U8,   \
    [QCC_U16] = cast_##S##_U16, [QCC_U32] = cast_##S##_U32, [QCC_U64] = cast_##S##_U64, [QCC_I4] = cast_##S##_I4,   \
    [QCC_I2] = cast_##S##_I2, [QCC_U4] = cast_##S##_U4, [QCC_U2] = cast_##S##_U2
/* [from][to]; bool and what is below a byte are read as the bytes that they are. */
static Loop *const casts[QCC_ELEM_END][QCC_ELEM_END] = {
    [QCC_F32] = {CAST_ROW(F32), [QCC_F16] = cast_F32_F16, [QCC_BF16] = cast_F32_BF16},
    [QCC_F64] = {CAST_ROW(F64)},
    [QCC_I8] = {CAST_ROW(I8)},
    [QCC_I4] = {CAST_ROW(I8)},
    [QCC_I2] = {CAST_ROW(I8)},
    [QCC_I16] = {CAST_ROW(I16)},
    [QCC_I32] = {CAST_ROW(I32)},
    [QCC_I64] = {CAST_ROW(I64)},
    [QCC_U8] = {CAST_ROW(U8)},
    [QCC_U4] = {CAST_ROW(U8)},
    [QCC_U2] = {CAST_ROW(U8)},
    [QCC_BOOL] = {CAST_ROW(U8)},
    [QCC_U16] = {CAST_ROW(U16)},
    [QCC_U32] = {CAST_ROW(U32)},
    [QCC_U64] = {CAST_ROW(U64)},
    [QCC_F16] = {[QCC_F32] = cast_F16_F32},
    [QCC_BF16] = {[QCC_F32] = cast_BF16_F32},
};

/* ---- the table ----------------------------------------------------------------------------------------------- */

#define ENTRY(S, op) [QCC_##S] = op##_##S
#define REAL_ROW(op) ENTRY(F32, op), ENTRY(F64, op)
#define WHOLE_ROW(op)                                                                                             \
    ENTRY(I8, op), ENTRY(I16, op), ENTRY(I32, op), ENTRY(I64, op), ENTRY(U8, op), ENTRY(U16, op), ENTRY(U32, op), \
        ENTRY(U64, op)
/* By the type of operand 0. */
static Loop *const loops[X_OP_COUNT][QCC_ELEM_END] = {
    [X_ADD] = {REAL_ROW(add), WHOLE_ROW(add)},
    [X_SUB] = {REAL_ROW(sub), WHOLE_ROW(sub)},
    [X_MUL] = {REAL_ROW(mul), WHOLE_ROW(mul)},
    [X_DIV] = {REAL_ROW(div), WHOLE_ROW(div)},
    [X_REM] = {REAL_ROW(rem), WHOLE_ROW(rem)},
    [X_MIN] = {REAL_ROW(min), WHOLE_ROW(min)},
    [X_MAX] = {REAL_ROW(max), WHOLE_ROW(max)},
    [X_NEG] = {REAL_ROW(neg), WHOLE_ROW(neg)},
    [X_ABS] = {REAL_ROW(abs), WHOLE_ROW(abs)},
    [X_SQRT] = {REAL_ROW(sqrt)},
    [X_FLOOR] = {REAL_ROW(floor)},
    [X_CEIL] = {REAL_ROW(ceil)},
    [X_TRUNC] = {REAL_ROW(trunc)},
    [X_RINT] = {REAL_ROW(rint)},
    [X_AND] = {WHOLE_ROW(and), ENTRY(BOOL, and)},
    [X_OR] = {WHOLE_ROW(or), ENTRY(BOOL, or)},
    [X_XOR] = {WHOLE_ROW(xor), ENTRY(BOOL, xor)},
    [X_SHL] = {WHOLE_ROW(shl)},
    [X_SHR] = {WHOLE_ROW(shr)},
    [X_EQ] = {REAL_ROW(eq), WHOLE_ROW(eq), ENTRY(BOOL, eq)},
    [X_LT] = {REAL_ROW(lt), WHOLE_ROW(lt)},
    [X_LE] = {REAL_ROW(le), WHOLE_ROW(le)},
};

static Loop *select_loop(Elem e) {
    int bytes = elem_bytes(e);
    return bytes == 1 ? select_uint8_t : bytes == 2 ? select_uint16_t : bytes == 4 ? select_uint32_t : select_uint64_t;
}

static Loop *copy_loop(Elem e) {
    int bytes = elem_bytes(e);
    return bytes == 1 ? copy_1 : bytes == 2 ? copy_2 : bytes == 4 ? copy_4 : copy_8;
}

static Loop *loop_of(const Expr *e, const XInst *i) {
    if (i->op == X_INPUT) return i->elem == QCC_BOOL ? in_BOOL : copy_loop(i->elem);
    if (i->op == X_SELECT) return select_loop(i->elem);
    if (i->op == X_BITCAST || i->op == X_CONST) return copy_loop(i->elem);
    Elem from = e->inst[i->a].elem;
    Loop *l = i->op == X_CAST ? casts[from][i->elem] : loops[i->op][from];
    if (!l) bug("expr_run: no loop for %s of %s", x_op_info[i->op].name, elem_info[from].name);
    return l;
}

/* ---- running ------------------------------------------------------------------------------------------------- */

/* Where an instruction's value lies: a slot, or input -1 - slot. */
typedef struct Step {
    int slot, last_use;
} Step;

typedef struct Run {
    const Expr *e;
    Step *steps;
    char *slots; /* of BLOCK elements of 8 bytes */
    const void *const *in;
    int64_t at; /* first element of the block */
} Run;

/* Not computed in every block: constants are written before the first, inputs are read where they are. */
static bool is_fixed(const XInst *i) { return i->op == X_CONST || (i->op == X_INPUT && i->elem != QCC_BOOL); }

static void find_last_uses(const Expr *e, Step *steps) {
    for (int k = 0; k < e->n; k++) {
        const XInst *i = &e->inst[k];
        int operands[] = {i->a, i->b, i->c};
        steps[k].last_use = k;
        for (int o = 0; o < x_op_info[i->op].n; o++) steps[operands[o]].last_use = k;
    }
}

/* Gives each value a slot; `spare` holds those given back. An operand's slot goes back only after
 * the result has its own, so that a loop never writes what it reads. */
static void give_slots(const Expr *e, Step *steps, int *spare) {
    int n_slots = 0, n_spare = 0;
    find_last_uses(e, steps);
    for (int k = 0; k < e->n; k++) {
        const XInst *i = &e->inst[k];
        int operands[] = {i->a, i->b, i->c};
        if (is_fixed(i)) {
            steps[k].slot = i->op == X_INPUT ? -1 - (int)i->k.i : n_slots++;
            continue;
        }
        steps[k].slot = n_spare ? spare[--n_spare] : n_slots++;
        for (int o = 0; o < x_op_info[i->op].n; o++) {
            Step *from = &steps[operands[o]];
            if (from->last_use != k || is_fixed(&e->inst[operands[o]])) continue;
            spare[n_spare++] = from->slot;
            from->last_use = -1; /* once, though it be both operands */
        }
    }
}

static void *slot(const Run *r, int k) { return r->slots + (size_t)r->steps[k].slot * BLOCK * 8; }

static void fill_constants(const Run *r, int n) {
    for (int k = 0; k < r->e->n; k++) {
        const XInst *i = &r->e->inst[k];
        if (i->op != X_CONST) continue;
        RefTensor t = {.data = slot(r, k), .elem = (int32_t)i->elem};
        for (int at = 0; at < n; at++) {
            if (elem_is_float(i->elem)) {
                ref_store(&t, at, i->k.f);
            } else {
                ref_store_int(&t, at, i->k.i);
            }
        }
    }
}

/* Where the value of instruction k lies in this block. */
static const void *value(const Run *r, int k) {
    const XInst *i = &r->e->inst[k];
    if (r->steps[k].slot >= 0) return slot(r, k);
    return (const char *)r->in[i->k.i] + r->at * elem_bytes(i->elem);
}

static void run_block(const Run *r, int n, void *out) {
    for (int k = 0; k < r->e->n; k++) {
        const XInst *i = &r->e->inst[k];
        bool last = k == r->e->n - 1;
        if (is_fixed(i) && !last) continue;
        const void *operand[3] = {NULL, NULL, NULL};
        int from[] = {i->a, i->b, i->c};
        for (int o = 0; o < x_op_info[i->op].n; o++) operand[o] = value(r, from[o]);
        if (i->op == X_CONST) operand[0] = slot(r, k);
        if (i->op == X_INPUT) operand[0] = (const char *)r->in[i->k.i] + r->at * elem_bytes(i->elem);
        loop_of(r->e, i)(n, last ? out : slot(r, k), operand[0], operand[1], operand[2]);
    }
}

void expr_run(const Expr *e, int64_t n, const void *const *in, void *out) {
    size_t count = (size_t)e->n;
    char *memory = mem_get(count * (BLOCK * 8 + sizeof(Step) + sizeof(int))); /* as if each value needed its own slot */
    Run r = {.e = e, .slots = memory, .steps = (Step *)(void *)(memory + count * BLOCK * 8), .in = in};
    give_slots(e, r.steps, (int *)(r.steps + count));
    fill_constants(&r, (int)i64_min(BLOCK, n));
    int bytes = elem_bytes(e->inst[e->n - 1].elem);
    for (; r.at < n; r.at += BLOCK) run_block(&r, (int)i64_min(BLOCK, n - r.at), (char *)out + r.at * bytes);
    mem_put(memory);
}
