/* Control: counted loops with values carried in registers, branches that merge values, helper functions. SSA form is
 * written directly, so that code is good before any optimisation runs. */
#include "codegen/scalar.h"

#include <llvm-c/Core.h>
#include <string.h>

static RegBlock block_new(Emit *e) { return LLVMAppendBasicBlockInContext(e->ctx, e->fn, ""); }
static RegBlock here(Emit *e) { return LLVMGetInsertBlock(e->builder); }
static void go_on_in(Emit *e, RegBlock b) { LLVMPositionBuilderAtEnd(e->builder, b); }
static void jump(Emit *e, RegBlock to) { LLVMBuildBr(e->builder, to); }

static Reg phi_new(Emit *e, RegType t, Reg value, RegBlock from) {
    Reg phi = LLVMBuildPhi(e->builder, t, "");
    LLVMAddIncoming(phi, &value, &from, 1);
    return phi;
}
static void phi_add(Reg phi, Reg value, RegBlock from) { LLVMAddIncoming(phi, &value, &from, 1); }

/* ---- loops --------------------------------------------------------------------------------------------------- */

/* Opens the block that carries the loop's phis, coming from the current block. */
static void open_head(Emit *e, Loop *l, Reg from) {
    RegBlock before = here(e);
    l->head = block_new(e);
    jump(e, l->head);
    go_on_in(e, l->head);
    l->iphi = l->i = phi_new(e, e->i64, from, before);
    l->phi = NEW_ARRAY(e->arena, Reg, l->n);
    for (int k = 0; k < l->n; k++) l->carry[k] = l->phi[k] = phi_new(e, em_type(l->carry[k]), l->carry[k], before);
}

Loop em_loop(Emit *e, int64_t from, int64_t to, int64_t step, int n, Reg *carry) {
    if (from >= to) return em_loop_reg(e, em_i64(e, from), em_i64(e, to), step, n, carry);
    Loop l = {.to = em_i64(e, to), .step = step, .n = n, .carry = carry, .straight = from + step >= to};
    if (l.straight) {
        l.i = em_i64(e, from);
        return l;
    }
    open_head(e, &l, em_i64(e, from));
    return l;
}

Loop em_loop_reg(Emit *e, Reg from, Reg to, int64_t step, int n, Reg *carry) {
    Loop l = {.to = to, .step = step, .n = n, .carry = carry, .tested_first = true};
    open_head(e, &l, from);
    l.body = block_new(e);
    l.exit = block_new(e);
    LLVMBuildCondBr(e->builder, em_compare(e, CMP_LT, l.i, to), l.body, l.exit);
    go_on_in(e, l.body);
    return l;
}

void em_loop_end(Emit *e, Loop *l) {
    if (l->straight) return;
    RegBlock latch = here(e);
    Reg next = LLVMBuildNSWAdd(e->builder, l->i, em_i64(e, l->step), "");
    phi_add(l->iphi, next, latch);
    for (int k = 0; k < l->n; k++) phi_add(l->phi[k], l->carry[k], latch);
    if (l->tested_first) {
        jump(e, l->head);
        for (int k = 0; k < l->n; k++) l->carry[k] = l->phi[k];
    } else {
        l->exit = block_new(e);
        LLVMBuildCondBr(e->builder, em_compare(e, CMP_LT, next, l->to), l->head, l->exit);
    }
    go_on_in(e, l->exit);
}

/* ---- branches ------------------------------------------------------------------------------------------------ */

static Reg *copy_regs(Emit *e, int n, const Reg *v) {
    Reg *c = NEW_ARRAY(e->arena, Reg, n);
    for (int k = 0; k < n; k++) c[k] = v[k];
    return c;
}

If em_if(Emit *e, Reg cond, int n, Reg *values) {
    If f = {.n = n, .values = values, .before = copy_regs(e, n, values)};
    f.then_block = block_new(e);
    f.else_block = block_new(e);
    f.end = block_new(e);
    LLVMBuildCondBr(e->builder, cond, f.then_block, f.else_block);
    go_on_in(e, f.then_block);
    return f;
}

void em_else(Emit *e, If *f) {
    f->then_values = copy_regs(e, f->n, f->values);
    f->then_end = here(e);
    f->has_else = true;
    jump(e, f->end);
    go_on_in(e, f->else_block);
    for (int k = 0; k < f->n; k++) f->values[k] = f->before[k];
}

void em_if_end(Emit *e, If *f) {
    if (!f->has_else) em_else(e, f);
    RegBlock else_end = here(e);
    jump(e, f->end);
    go_on_in(e, f->end);
    for (int k = 0; k < f->n; k++) {
        Reg phi = phi_new(e, em_type(f->values[k]), f->then_values[k], f->then_end);
        phi_add(phi, f->values[k], else_end);
        f->values[k] = phi;
    }
}

/* ---- functions ----------------------------------------------------------------------------------------------- */

static void attribute(Emit *e, Reg fn, unsigned at, const char *name, uint64_t value) {
    unsigned id = LLVMGetEnumAttributeKindForName(name, strlen(name));
    LLVMAddAttributeAtIndex(fn, at, LLVMCreateEnumAttribute(e->ctx, id, value));
}

static void attribute_text(Emit *e, Reg fn, const char *name, const char *value) {
    LLVMAddAttributeAtIndex(
        fn, (unsigned)LLVMAttributeFunctionIndex,
        LLVMCreateStringAttribute(e->ctx, name, (unsigned)strlen(name), value, (unsigned)strlen(value)));
}

Reg em_function_new(Emit *e, const char *name, RegType result, int n, const RegType *args, bool internal) {
    RegType *copy = NEW_ARRAY(e->arena, RegType, n);
    for (int i = 0; i < n; i++) copy[i] = args[i];
    Reg fn = LLVMAddFunction(e->module, name, LLVMFunctionType(result, copy, (unsigned)n, false));
    if (internal) LLVMSetLinkage(fn, LLVMInternalLinkage);
    LLVMSetUnnamedAddress(fn, LLVMNoUnnamedAddr);
    attribute(e, fn, (unsigned)LLVMAttributeFunctionIndex, "nounwind", 0);
    attribute_text(e, fn, "no-builtins", "");
    if (e->target->vector_bits >= 512) attribute_text(e, fn, "prefer-vector-width", "512");
    return fn;
}

void em_function_open(Emit *e, Reg fn) {
    e->fn = fn;
    go_on_in(e, block_new(e));
}

void em_attribute_noalias(Emit *e, Reg fn, int arg) { attribute(e, fn, (unsigned)arg + 1, "noalias", 0); }
void em_attribute_readonly(Emit *e, Reg fn, int arg) { attribute(e, fn, (unsigned)arg + 1, "readonly", 0); }
void em_attribute_align(Emit *e, Reg fn, int arg, int align) {
    attribute(e, fn, (unsigned)arg + 1, "align", (uint64_t)align);
}
void em_attribute_noinline(Emit *e, Reg fn) { attribute(e, fn, (unsigned)LLVMAttributeFunctionIndex, "noinline", 0); }

/* LLVM decides whether a frame is aligned before it knows what it will have to keep there. */
void em_attribute_frame(Emit *e, Reg fn) {
    int bytes = e->target->vector_bits / 8;
    if (bytes > 16) attribute(e, fn, (unsigned)LLVMAttributeFunctionIndex, "alignstack", (uint64_t)bytes);
}

RegBlock em_block(Emit *e) { return here(e); }
void em_block_resume(Emit *e, RegBlock b) {
    if (b) go_on_in(e, b);
}
Reg em_param(Reg fn, int arg) { return LLVMGetParam(fn, (unsigned)arg); }
Reg em_call_function(Emit *e, Reg fn, int n, const Reg *args) {
    return LLVMBuildCall2(e->builder, LLVMGlobalGetValueType(fn), fn, copy_regs(e, n, args), (unsigned)n, "");
}
void em_call_pointer(Emit *e, Reg fn, int n, const Reg *args) {
    RegType *types = NEW_ARRAY(e->arena, RegType, n);
    for (int i = 0; i < n; i++) types[i] = em_type(args[i]);
    LLVMBuildCall2(e->builder, LLVMFunctionType(e->none, types, (unsigned)n, false), fn, copy_regs(e, n, args),
                   (unsigned)n, "");
}
void em_call_extern(Emit *e, const char *symbol, int n, const Reg *args) {
    Reg fn = LLVMGetNamedFunction(e->module, symbol);
    RegType *types = NEW_ARRAY(e->arena, RegType, n);
    for (int i = 0; i < n; i++) types[i] = em_type(args[i]);
    if (!fn) fn = LLVMAddFunction(e->module, symbol, LLVMFunctionType(e->i32, types, (unsigned)n, false));
    em_call_function(e, fn, n, args);
}
Reg em_is_null(Emit *e, Reg pointer) { return LLVMBuildIsNull(e->builder, pointer, ""); }
void em_return(Emit *e, Reg value) {
    if (value)
        LLVMBuildRet(e->builder, value);
    else
        LLVMBuildRetVoid(e->builder);
}

Function em_function(Emit *e, const char *key, int n_args, const RegType *args) {
    if (n_args > (int)COUNT_OF(((Function *)NULL)->arg)) bug("em_function: %d parameters", n_args);
    Function *known = map_get(&e->functions, key);
    if (known) return *known;
    Function f = {.outer_fn = e->fn, .outer_block = here(e), .exists = false};
    f.fn = em_function_new(e, arena_printf(e->arena, "%s_part_%d", e->name, e->n_functions++), e->none, n_args, args,
                           true);
    em_attribute_noinline(e, f.fn);
    em_attribute_frame(e, f.fn);
    for (int i = 0; i < n_args; i++) {
        f.arg[i] = LLVMGetParam(f.fn, (unsigned)i);
        if (args[i] == e->ptr) em_attribute_noalias(e, f.fn, i);
    }
    Function *copy = NEW(e->arena, Function);
    *copy = f;
    copy->exists = true;
    map_put(e->arena, &e->functions, arena_str(e->arena, key), copy);
    em_function_open(e, f.fn);
    return f;
}

void em_function_end(Emit *e, Function *f) {
    if (f->exists) return;
    LLVMBuildRetVoid(e->builder);
    e->fn = f->outer_fn;
    if (f->outer_block) go_on_in(e, f->outer_block);
}

void em_call(Emit *e, Function *f, int n_args, const Reg *args) { em_call_function(e, f->fn, n_args, args); }
