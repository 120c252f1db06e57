/* Finding a target: from a row's name, a triple, a CPU's name or the host, with the user's features on top. All facts
 * that kernels choose by are read off the feature list, so that "-avx512f" on the command line is enough to get AVX2
 * kernels. */
#include "codegen/target.h"
#include "codegen/codegen.h"

#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>
#include <stdlib.h>
#include <string.h>

typedef struct Row {
    const char *name, *parent;
    Arch arch;
    const char *triple, *cpu, *features, *isa;
    int vector_bits, n_vector_regs;
} Row;

typedef struct Cpu {
    const char *name, *row, *features;
} Cpu;

static const Row rows[] = {
#define TARGET(name, parent, arch, triple, cpu, features, isa, bits, regs) \
    {name, parent, ARCH_##arch, triple, cpu, features, isa, bits, regs},
#define CPU(name, row, features)
#include "codegen/target.def"
#undef TARGET
#undef CPU
};

static const Cpu cpus[] = {
#define TARGET(name, parent, arch, triple, cpu, features, isa, bits, regs)
#define CPU(name, row, features) {name, row, features},
#include "codegen/target.def"
#undef TARGET
#undef CPU
};

static const Row *row_find(const char *name) {
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (strcmp(rows[i].name, name) == 0) return &rows[i];
    return NULL;
}

/* The first row of an architecture is its plainest. */
static const Row *row_of_arch(Arch arch) {
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (rows[i].arch == arch) return &rows[i];
    bug("target.def has no row for architecture %d", (int)arch);
}

static const Cpu *cpu_find(const char *name) {
    for (size_t i = 0; i < COUNT_OF(cpus); i++)
        if (strcmp(cpus[i].name, name) == 0) return &cpus[i];
    return NULL;
}

#if defined(__x86_64__)
#define HOST_ARCH ARCH_X86
#elif defined(__aarch64__)
#define HOST_ARCH ARCH_AARCH64
#elif defined(__arm__)
#define HOST_ARCH ARCH_ARM
#elif defined(__riscv) && __riscv_xlen == 64
#define HOST_ARCH ARCH_RISCV64
#else
#error "qcc runs on x86-64, aarch64, armv7 and riscv64"
#endif

/* The row of a triple, by the architecture that both begin with. */
static const Row *row_of_triple(const char *triple) {
    size_t n = strcspn(triple, "-");
    if (strncmp(triple, "amd64-", n + 1) == 0) return row_of_arch(ARCH_X86);
    if (strncmp(triple, "arm64-", n + 1) == 0) return row_of_arch(ARCH_AARCH64);
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (strcspn(rows[i].triple, "-") == n && n && strncmp(rows[i].triple, triple, n) == 0) return &rows[i];
    return NULL;
}

/* ---- features ------------------------------------------------------------------------------------------------ */

/* The last mention of a feature counts. */
static bool has(const char *features, const char *name) {
    bool on = false;
    size_t n = strlen(name);
    for (const char *p = features; *p; p += strcspn(p, ","), p += *p == ',')
        if ((*p == '+' || *p == '-') && strncmp(p + 1, name, n) == 0 && (p[n + 1] == ',' || p[n + 1] == 0))
            on = *p == '+';
    return on;
}

static const char *features_of(Arena *a, const Row *r) {
    if (!*r->parent) return r->features;
    return arena_printf(a, "%s,%s", features_of(a, row_find(r->parent)), r->features);
}

static const char *triple_of(const Row *r) { return *r->triple ? r->triple : triple_of(row_find(r->parent)); }

/* The largest row of the architecture whose features are all there. */
static const Row *best_row(Arena *a, Arch arch, const char *features) {
    const Row *best = row_of_arch(arch);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (rows[i].arch != arch || strcmp(rows[i].parent, best->name) != 0) continue;
        const char *want = features_of(a, &rows[i]);
        bool all = true;
        for (const char *p = want; *p; p += strcspn(p, ","), p += *p == ',')
            all = all && has(features, arena_strn(a, p + 1, strcspn(p, ",") - 1));
        if (all) best = &rows[i];
    }
    return best;
}

/* Fills what follows from the features. */
static void read_facts(Target *t) {
    const char *f = t->features;
    bool x86 = t->arch == ARCH_X86, arm64 = t->arch == ARCH_AARCH64, wasm = t->arch == ARCH_WASM32;
    bool arm = t->arch == ARCH_ARM, single = has(f, "vfp4d16sp") || has(f, "fp-armv8d16sp");
    t->pointer_bits = arm || wasm ? 32 : 64;
    t->elf = !wasm;
    t->fma = x86 ? has(f, "fma") : arm ? single || has(f, "vfp4") : !wasm;
    t->masks = x86 && has(f, "avx512f") && has(f, "avx512vl") && has(f, "avx512bw");
    t->round = x86 ? has(f, "sse4.1") : arm64 || wasm;
    t->f16 = x86 ? has(f, "f16c") : arm64;
    t->f64 = !arm || !single;
    t->dot8 = x86 && (has(f, "avx512vnni") || has(f, "avxvnni"));
    t->pair8 = x86 && has(f, "ssse3");
    t->count = x86 && has(f, "avx512vpopcntdq") && has(f, "avx512vl");
    if (wasm && !has(f, "simd128")) t->vector_bits = 32;
}

/* ---- the choice ---------------------------------------------------------------------------------------------- */

static const Target *refuse(Arena *a, Diags *d, const char *what, const char *given) {
    Text list = {.arena = a};
    for (size_t i = 0; i < COUNT_OF(rows); i++) text_add(&list, "%s%s", i ? ", " : "", rows[i].name);
    Diag *g = diag(d, D_TARGET, LOC_NONE, "%s '%s' is not known", what, given);
    diag_note(d, g, "targets: %s; \"native\" is this machine", list.s);
    return NULL;
}

static void dispose_text(void *s) { LLVMDisposeMessage(s); }

static const char *host_text(Arena *a, char *(*get)(void)) {
    char *s = get();
    arena_defer(a, dispose_text, s);
    return s;
}

/* This machine. */
static void take_host(Arena *a, Target *t) {
    t->name = "native";
    t->cpu = host_text(a, LLVMGetHostCPUName);
    t->features = host_text(a, LLVMGetHostCPUFeatures);
    t->triple = host_text(a, LLVMGetDefaultTargetTriple);
}

static void take_row(Arena *a, Target *t, const Row *r) {
    t->name = r->name;
    t->cpu = r->cpu;
    t->features = features_of(a, r);
    t->triple = triple_of(r);
}

static bool mentions(const char *features, const char *name) {
    size_t n = strlen(name);
    for (const char *p = features; *p; p += strcspn(p, ","), p += *p == ',')
        if (strncmp(p + 1, name, n) == 0 && (p[n + 1] == ',' || p[n + 1] == 0)) return true;
    return false;
}

/* LLVM ignores a feature that it does not know. It knows those of the table, and this machine's. */
static bool feature_known(Arena *a, Arch arch, const char *name) {
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (rows[i].arch == arch && mentions(rows[i].features, name)) return true;
    for (size_t i = 0; i < COUNT_OF(cpus); i++)
        if (row_find(cpus[i].row)->arch == arch && mentions(cpus[i].features, name)) return true;
    return arch == HOST_ARCH && mentions(host_text(a, LLVMGetHostCPUFeatures), name);
}

static const Row *root_of(const Row *r) { return *r->parent ? root_of(row_find(r->parent)) : r; }

/* The user's "+a,-b". What the plainest target of the kind has cannot be taken away: calling conventions rest on it. */
static bool check_features(Arena *a, Diags *d, const Row *r, const char *f) {
    const Row *root = root_of(r);
    for (const char *p = f; *p; p += strcspn(p, ","), p += *p == ',') {
        size_t n = strcspn(p, ",");
        const char *name = n ? arena_strn(a, p + 1, n - 1) : "";
        if ((*p != '+' && *p != '-') || !feature_known(a, r->arch, name)) {
            diag(d, D_TARGET, LOC_NONE, "feature '%s' is not known; wanted +NAME or -NAME with a feature of %s",
                 arena_strn(a, p, n), root->name);
            return false;
        }
        if (*p == '-' && has(root->features, name)) {
            diag(d, D_TARGET, LOC_NONE, "feature '%s' is part of every %s and cannot be left out", name, root->name);
            return false;
        }
    }
    return true;
}

const Target *target_find(Arena *a, Diags *d, const char *target, const char *cpu, const char *features) {
    Target *t = NEW(a, Target);
    bool native = !target || strcmp(target, "native") == 0;
    const Row *r = native ? row_of_arch(HOST_ARCH) : row_find(target);
    if (!r) r = row_of_triple(target);
    if (!r) return refuse(a, d, "target", target);
    t->arch = r->arch;
    if (native && (!cpu || strcmp(cpu, "native") == 0)) {
        take_host(a, t);
    } else {
        take_row(a, t, r);
        if (!native && !row_find(target)) t->triple = arena_str(a, target);
    }
    if (cpu && strcmp(cpu, "native") != 0) {
        const Cpu *known = cpu_find(cpu);
        const Row *by_cpu = row_find(known ? known->row : cpu);
        if (!by_cpu || by_cpu->arch != r->arch) return refuse(a, d, "CPU", cpu);
        const char *triple = t->triple;
        take_row(a, t, by_cpu);
        t->triple = triple;
        if (known) t->cpu = known->name;
        if (known && *known->features) t->features = arena_printf(a, "%s,%s", t->features, known->features);
    }
    if (features && *features) {
        if (!check_features(a, d, r, features)) return NULL;
        t->features = arena_printf(a, "%s,%s", t->features, features);
    }
    const Row *best = native || cpu || features ? best_row(a, t->arch, t->features) : r;
    if (t->arch == ARCH_ARM) best = r;
    t->isa = best->isa;
    t->vector_bits = best->vector_bits;
    t->n_vector_regs = best->n_vector_regs;
    t->host = t->arch == HOST_ARCH;
    read_facts(t);
    return t;
}

void codegen_print_targets(Text *t) {
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        text_add(t, "%-16s %-32s %s\n", rows[i].name, triple_of(&rows[i]), rows[i].isa);
    for (size_t i = 0; i < COUNT_OF(cpus); i++) {
        const Row *r = row_find(cpus[i].row);
        if (!r || r->arch != HOST_ARCH) continue;
        text_add(t, "  -mcpu=%-18s as %s%s%s\n", cpus[i].name, r->name, *cpus[i].features ? " with " : "",
                 cpus[i].features);
    }
}
