/* The frame around a module: context, target machine, pass list, output. The pass list is our own and short: emitters
 * write loops that need neither vectorising nor unrolling, so what is left is to share addresses, move invariants out
 * of loops and clean up. */
#include "codegen/llvm.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Core.h>
#include <llvm-c/Error.h>
#include <llvm-c/ErrorHandling.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <string.h>

static void fatal(const char *reason) { bug("LLVM: %s", reason); }

static void on_diagnostic(LLVMDiagnosticInfoRef info, void *ctx) {
    (void)ctx;
    if (LLVMGetDiagInfoSeverity(info) == LLVMDSError) bug("LLVM: %s", LLVMGetDiagInfoDescription(info));
}

static void start_backend(Arch arch) {
    static bool handler;
    if (!handler) LLVMInstallFatalErrorHandler(fatal);
    handler = true;
    switch (arch) {
#define START(name)                     \
    LLVMInitialize##name##TargetInfo(); \
    LLVMInitialize##name##Target();     \
    LLVMInitialize##name##TargetMC();   \
    LLVMInitialize##name##AsmPrinter(); \
    break
    case ARCH_X86:
        START(X86);
    case ARCH_AARCH64:
        START(AArch64);
    case ARCH_ARM:
        START(ARM);
    case ARCH_RISCV64:
        START(RISCV);
    case ARCH_WASM32:
        START(WebAssembly);
#undef START
    }
}

static void dispose_text(void *s) { LLVMDisposeMessage(s); }

static LLVMTargetMachineRef machine_new(Arena *a, Diags *d, const Target *t, int level) {
    start_backend(t->arch);
    LLVMTargetRef target;
    char *why = NULL;
    if (LLVMGetTargetFromTriple(t->triple, &target, &why)) {
        arena_defer(a, dispose_text, why);
        diag(d, D_TARGET, LOC_NONE, "LLVM does not know the triple '%s': %s", t->triple, why);
        return NULL;
    }
    static const LLVMCodeGenOptLevel levels[] = {LLVMCodeGenLevelNone, LLVMCodeGenLevelLess, LLVMCodeGenLevelDefault,
                                                 LLVMCodeGenLevelAggressive};
    LLVMTargetMachineOptionsRef o = LLVMCreateTargetMachineOptions();
    LLVMTargetMachineOptionsSetCPU(o, t->cpu);
    LLVMTargetMachineOptionsSetFeatures(o, t->features);
    if (t->arch == ARCH_RISCV64) LLVMTargetMachineOptionsSetABI(o, "lp64d");
    LLVMTargetMachineOptionsSetCodeGenOptLevel(o, levels[level]);
    LLVMTargetMachineOptionsSetRelocMode(o, LLVMRelocPIC);
    LLVMTargetMachineRef m = LLVMCreateTargetMachineWithOptions(target, t->triple, o);
    LLVMDisposeTargetMachineOptions(o);
    return m;
}

static void close_module(void *p) {
    Emit *e = p;
    LLVMDisposeBuilder(e->builder);
    LLVMDisposeModule(e->module);
    LLVMContextDispose(e->ctx);
    LLVMDisposeTargetMachine(e->machine);
}

/* A triple may name a system with other object files, or an interface with other pointers. */
static bool check_layout(Emit *e, LLVMTargetDataRef layout) {
    char *text = LLVMCopyStringRepOfTargetData(layout);
    bool elf = strstr(text, "m:e") != NULL; /* as ELF mangles names; WebAssembly does so too */
    LLVMDisposeMessage(text);
    if (elf && (int)LLVMPointerSize(layout) * 8 == e->target->pointer_bits) return true;
    diag(e->diags, D_TARGET, LOC_NONE, "target '%s' has other %s; wanted %s", e->target->triple,
         elf ? "pointers" : "object files", elf ? "its architecture's usual ones" : "ELF or WebAssembly");
    return false;
}

static void name_types(Emit *e) {
    e->i1 = LLVMInt1TypeInContext(e->ctx);
    e->i8 = LLVMInt8TypeInContext(e->ctx);
    e->i16 = LLVMInt16TypeInContext(e->ctx);
    e->i32 = LLVMInt32TypeInContext(e->ctx);
    e->i64 = LLVMInt64TypeInContext(e->ctx);
    e->f32 = LLVMFloatTypeInContext(e->ctx);
    e->f64 = LLVMDoubleTypeInContext(e->ctx);
    e->ptr = LLVMPointerTypeInContext(e->ctx, 0);
    e->none = LLVMVoidTypeInContext(e->ctx);
    e->size = e->target->pointer_bits == 32 ? e->i32 : e->i64;
}

Emit *em_new(Arena *a, Diags *d, const Target *target, const char *name, int level) {
    Emit *e = NEW(a, Emit);
    LLVMTargetMachineRef m = machine_new(a, d, target, level);
    if (!m) return NULL;
    *e = (Emit){.arena = a, .diags = d, .target = target, .name = name, .level = level, .machine = m};
    e->ctx = LLVMContextCreate();
    LLVMContextSetDiagnosticHandler(e->ctx, on_diagnostic, NULL);
    LLVMContextSetDiscardValueNames(e->ctx, true);
    e->module = LLVMModuleCreateWithNameInContext(name, e->ctx);
    e->builder = LLVMCreateBuilderInContext(e->ctx);
    LLVMSetTarget(e->module, target->triple);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(m);
    LLVMSetModuleDataLayout(e->module, layout);
    bool fits = check_layout(e, layout);
    LLVMDisposeTargetData(layout);
    arena_defer(a, close_module, e);
    name_types(e);
    return fits ? e : NULL;
}

void em_optimise(Emit *e) {
    char *why = NULL;
    if (LLVMVerifyModule(e->module, LLVMReturnStatusAction, &why)) bug("emitted code is malformed: %s", why);
    LLVMDisposeMessage(why);
    if (e->level == 0) return;
    const char *passes = "function(simplifycfg,early-cse,instcombine<no-verify-fixpoint>,loop-mssa(licm),"
                         "early-cse<memssa>,simplifycfg,instcombine<no-verify-fixpoint>),globaldce";
    LLVMPassBuilderOptionsRef o = LLVMCreatePassBuilderOptions();
    LLVMPassBuilderOptionsSetLoopVectorization(o, false);
    LLVMPassBuilderOptionsSetSLPVectorization(o, false);
    LLVMPassBuilderOptionsSetLoopUnrolling(o, false);
    LLVMErrorRef error = LLVMRunPasses(e->module, passes, e->machine, o);
    LLVMDisposePassBuilderOptions(o);
    if (error) bug("LLVM passes: %s", LLVMGetErrorMessage(error));
}

bool em_write(Emit *e, EmitKind kind, const char *path) {
    char *why = NULL;
    LLVMBool failed;
    if (kind == EMIT_LLVM) {
        failed = LLVMPrintModuleToFile(e->module, path, &why);
    } else {
        LLVMCodeGenFileType type = kind == EMIT_ASM ? LLVMAssemblyFile : LLVMObjectFile;
        failed = LLVMTargetMachineEmitToFile(e->machine, e->module, path, type, &why);
    }
    if (failed) {
        arena_defer(e->arena, dispose_text, why);
        diag(e->diags, D_FILE_OPEN, LOC_NONE, "%s cannot be written: %s", path, why);
    }
    return !failed;
}
