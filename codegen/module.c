/* The model's own functions, NAME_run and NAME_prepare, and its weights. Everything but these and the descriptor is
 * private to the object. */
#include "codegen/scalar.h"
#include "codegen/step.h"

#include <llvm-c/Core.h>

/* ---- run ----------------------------------------------------------------------------------------------------- */

/* void each(fn, n, frame, exec): a step's tasks, through the caller's parallel_for or one after the other. */
static Reg emit_each(Program *p) {
    Emit *e = p->em;
    int ptr = e->target->pointer_bits / 8;
    Reg fn = em_function_new(e, arena_printf(p->arena, "%s_each", e->name), e->none, 4,
                             (RegType[]){e->ptr, e->size, e->ptr, e->ptr}, true);
    em_attribute_noinline(e, fn);
    em_function_open(e, fn);
    Reg step = em_param(fn, 0), n = em_param(fn, 1), frame = em_param(fn, 2), exec = em_param(fn, 3);
    If f = em_if(e, em_is_null(e, exec), 0, NULL);
    Loop l = em_loop_reg(e, em_i64(e, 0), em_zext(e, n, e->i64), 1, 0, NULL);
    em_call_pointer(e, step, 3, (Reg[]){frame, em_trunc(e, l.i, e->size), em_i32(e, 0)});
    em_loop_end(e, &l);
    em_else(e, &f);
    Reg ctx = em_load(e, e->ptr, em_at(e, exec, ptr), ptr), run = em_load(e, e->ptr, em_at(e, exec, 2 * ptr), ptr);
    em_call_pointer(e, run, 4, (Reg[]){ctx, n, step, frame});
    em_if_end(e, &f);
    em_return(e, NULL);
    return fn;
}

/* void sample(frame, exec): all steps for one sample. */
static Reg emit_sample(Program *p) {
    Emit *e = p->em;
    Reg each = emit_each(p);
    Reg fn =
        em_function_new(e, arena_printf(p->arena, "%s_sample", e->name), e->none, 2, (RegType[]){e->ptr, e->ptr}, true);
    em_attribute_noinline(e, fn);
    em_function_open(e, fn);
    Reg frame = em_param(fn, 0), exec = em_param(fn, 1);
    for (size_t i = 0; i < p->steps.n; i++) {
        const Step *s = p->steps.at[i];
        Reg n = em_int(e, e->size, s->plan.n_tasks);
        if (s->plan.n_tasks > 1)
            em_call_function(e, each, 4, (Reg[]){s->fn, n, frame, exec});
        else
            em_call_function(e, s->fn, 3, (Reg[]){frame, em_int(e, e->size, 0), em_i32(e, 0)});
    }
    em_return(e, NULL);
    return fn;
}

/* True if `list` or one of its n pointers that is needed is NULL. */
static Reg any_null(Program *p, Reg list, const GraphPort *ports, size_t n) {
    Emit *e = p->em;
    int ptr = e->target->pointer_bits / 8;
    Reg bad = em_int(e, e->i1, n > 0);
    If f = em_if(e, em_not(e, em_is_null(e, list)), 1, &bad);
    bad = em_int(e, e->i1, 0);
    for (size_t i = 0; i < n; i++) {
        if (type_bytes(&ports[i].value->type) == 0) continue;
        Reg one = em_load(e, e->ptr, em_at(e, list, (int64_t)i * ptr), ptr);
        bad = em_or(e, bad, em_is_null(e, one));
    }
    em_if_end(e, &f);
    return bad;
}

/* Pointers of sample `i`: each of the caller's moved on by i samples. */
static void copy_pointers(Program *p, Reg to, Reg from, Reg i, const GraphPort *ports, size_t n) {
    Emit *e = p->em;
    int ptr = e->target->pointer_bits / 8;
    for (size_t k = 0; k < n; k++) {
        Reg base = em_load(e, e->ptr, em_at(e, from, (int64_t)k * ptr), ptr);
        Reg at = em_at_reg(e, base, em_mul(e, i, em_i64(e, type_bytes(&ports[k].value->type))));
        em_store(e, at, em_at(e, to, (int64_t)k * ptr), ptr);
    }
}

/* The arguments of NAME_run. */
typedef struct RunArgs {
    Reg inputs, outputs, n, prep, work, exec;
} RunArgs;

static void store_frame(Emit *e, Reg frame, Reg inputs, Reg outputs, const RunArgs *a) {
    int ptr = e->target->pointer_bits / 8;
    Reg fields[] = {inputs, outputs, a->prep, a->work};
    for (int i = 0; i < 4; i++) em_store(e, fields[i], em_at(e, frame, (int64_t)i * ptr), ptr);
}

static void emit_samples(Program *p, Reg sample, const RunArgs *a) {
    Emit *e = p->em;
    const Graph *g = p->graph;
    int ptr = e->target->pointer_bits / 8;
    Reg frame = em_local(e, 4 * (int64_t)ptr, ptr);
    if (p->options->max_batch == 1) {
        store_frame(e, frame, a->inputs, a->outputs, a);
        em_call_function(e, sample, 2, (Reg[]){frame, a->exec});
        return;
    }
    Reg in = em_local(e, ((int64_t)g->inputs.n + 1) * ptr, ptr),
        out = em_local(e, ((int64_t)g->outputs.n + 1) * ptr, ptr);
    store_frame(e, frame, in, out, a);
    Loop l = em_loop_reg(e, em_i64(e, 0), em_zext(e, a->n, e->i64), 1, 0, NULL);
    copy_pointers(p, in, a->inputs, l.i, g->inputs.at, g->inputs.n);
    copy_pointers(p, out, a->outputs, l.i, g->outputs.at, g->outputs.n);
    em_call_function(e, sample, 2, (Reg[]){frame, a->exec});
    em_loop_end(e, &l);
}

static Reg emit_run(Program *p) {
    Emit *e = p->em;
    Reg sample = emit_sample(p);
    Reg fn = em_function_new(e, arena_printf(p->arena, "%s_run", e->name), e->i32, 6,
                             (RegType[]){e->ptr, e->ptr, e->size, e->ptr, e->ptr, e->ptr}, false);
    em_function_open(e, fn);
    RunArgs a = {em_param(fn, 0), em_param(fn, 1), em_param(fn, 2), em_param(fn, 3), em_param(fn, 4), em_param(fn, 5)};
    Reg bad = em_or(e, any_null(p, a.inputs, p->graph->inputs.at, p->graph->inputs.n),
                    any_null(p, a.outputs, p->graph->outputs.at, p->graph->outputs.n));
    if (p->work_bytes || p->scratch_bytes) bad = em_or(e, bad, em_is_null(e, a.work));
    if (p->prep_bytes) bad = em_or(e, bad, em_is_null(e, a.prep));
    Reg below = em_sub(e, a.n, em_int(e, e->size, 1)); /* 0 wraps to the largest */
    Reg batch = em_compare_unsigned(e, CMP_LT, below, em_int(e, e->size, p->options->max_batch));
    Reg status =
        em_select(e, batch, em_select(e, bad, em_i32(e, QCC_BAD_POINTER), em_i32(e, QCC_OK)), em_i32(e, QCC_BAD_BATCH));
    If ok = em_if(e, em_compare(e, CMP_EQ, status, em_i32(e, QCC_OK)), 0, NULL);
    emit_samples(p, sample, &a);
    em_if_end(e, &ok);
    em_return(e, status);
    return fn;
}

static Reg emit_prepare(Program *p, Reg weights) {
    Emit *e = p->em;
    Reg fn = em_function_new(e, arena_printf(p->arena, "%s_prepare", e->name), e->i32, 1, (RegType[]){e->ptr}, false);
    em_function_open(e, fn);
    Reg status = em_i32(e, QCC_OK);
    if (p->prep_bytes) {
        Reg none = em_is_null(e, em_param(fn, 0));
        If some = em_if(e, em_not(e, none), 0, NULL);
        crushed_emit(p, weights, em_param(fn, 0));
        em_if_end(e, &some);
        status = em_select(e, none, em_i32(e, QCC_BAD_POINTER), status);
    }
    em_return(e, status);
    return fn;
}

/* ---- weights ------------------------------------------------------------------------------------------------- */

static Reg weights_data(Program *p) {
    uint8_t *all = arena_get(p->arena, (size_t)p->weight_bytes);
    for (size_t i = 0; i < p->blobs.n; i++) blob_write(p->blobs.at[i], all + p->blobs.at[i]->offset);
    return LLVMConstStringInContext2(p->em->ctx, (const char *)all, (size_t)p->weight_bytes, true);
}

static Reg declare_weights(Program *p, bool inside) {
    Emit *e = p->em;
    if (p->weight_bytes == 0) return LLVMConstNull(p->em->ptr);
    RegType t = LLVMArrayType2(e->i8, (uint64_t)p->weight_bytes);
    Reg g = LLVMAddGlobal(e->module, t, weights_symbol(p));
    LLVMSetGlobalConstant(g, true);
    LLVMSetAlignment(g, QCC_ALIGN);
    LLVMSetVisibility(g, LLVMHiddenVisibility);
    if (!inside) return g;
    LLVMSetInitializer(g, weights_data(p));
    LLVMSetLinkage(g, LLVMInternalLinkage);
    LLVMSetVisibility(g, LLVMDefaultVisibility);
    return g;
}

void module_emit(Program *p, bool weights_inside) {
    StepEmitter s = {.program = p, .weights = declare_weights(p, weights_inside)};
    for (size_t i = 0; i < p->steps.n; i++) p->steps.at[i]->fn = step_emit(&s, p->steps.at[i], (int)i);
    Reg prepare = emit_prepare(p, s.weights);
    descriptor_emit(p, prepare, emit_run(p));
}
