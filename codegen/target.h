/* What code is generated for: rows of codegen/target.def, each falling back to its parent, and the facts that kernels
 * choose by. */
#ifndef QCC_CODEGEN_TARGET_H
#define QCC_CODEGEN_TARGET_H

#include "base/diag.h"

typedef enum Arch { ARCH_X86, ARCH_AARCH64, ARCH_ARM, ARCH_RISCV64, ARCH_WASM32 } Arch;

typedef struct Target {
    const char *name; /* of the row, or "native" */
    const char *isa;  /* behind the "__" of kernel names: avx512, avx2, sse2, neon, scalar, ... */
    const char *triple;
    const char *cpu;
    const char *features; /* LLVM's, complete */
    Arch arch;
    int pointer_bits;
    int vector_bits; /* of the widest registers to use; 32 where there are none */
    int n_vector_regs;
    bool elf;   /* else wasm */
    bool host;  /* runs here: reference kernels can be linked in */
    bool fma;   /* fused multiply-add of f32 in one instruction */
    bool masks; /* masked vector loads and stores (AVX-512) */
    bool round; /* floor, ceil, trunc, rint of f32 in one instruction */
    bool f16;   /* conversions between f16 and f32 in one instruction */
    bool f64;   /* double arithmetic in hardware */
    bool dot8;  /* u8 x s8 dot products into i32 (VNNI) */
    bool pair8; /* sums of two u8 x s8 products in s16 (SSSE3) */
    bool count; /* population counts of vectors of 32-bit words in one instruction */
} Target;

/* NULL after a D_TARGET diagnostic that lists the choices. Arguments as in CodegenOptions. */
const Target *target_find(Arena *a, Diags *d, const char *target, const char *cpu, const char *features);
/* f32 lanes of a register. */
static inline int target_lanes(const Target *t, int bits) {
    return t->vector_bits / bits > 0 ? t->vector_bits / bits : 1;
}

#endif
