/* A kernel for every node that computes: the first row of kernel.def that accepts it. */
#include "codegen/program.h"
#include "ir/op.h"
#include "quant/range.h"

#include <string.h>

const Kernel kernel_table[] = {
#define KERNEL(name, op) {#name, OP_##op, plan_##name, emit_##name},
#include "codegen/kernel.def"
#undef KERNEL
};
const int kernel_count = (int)COUNT_OF(kernel_table);

/* Operands that are known at compile time and only steer the operator are not read at run time. */
static bool steers(const Node *n, int i) {
    const OpDef *d = op_def(n->op);
    return i < d->n_in && d->in[i].constant;
}

static KernelPlan fresh_plan(Program *p, const Node *n) {
    KernelPlan plan = {.arena = p->arena,
                       .target = p->target,
                       .node = n,
                       .ranges = p->ranges,
                       .level = p->options->level,
                       .in = NEW_ARRAY(p->arena, Wish, n->n_in),
                       .out = NEW_ARRAY(p->arena, Wish, n->n_out),
                       .n_tasks = 1};
    for (int i = 0; i < n->n_in; i++) plan.in[i].packed = !n->in[i] || steers(n, i);
    return plan;
}

static void note_operands(Program *p, Diag *g, const Node *n) {
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i]) diag_note(p->diags, g, "operand %d: %s", i, type_str(p->arena, &n->in[i]->type));
}

static void report_fallback(Program *p, const Node *n) {
    note_operands(p,
                  diag(p->diags, D_FALLBACK, n->loc,
                       "%s has no kernel for these operands on %s; the reference kernel is called", op_def(n->op)->name,
                       p->target->name),
                  n);
    p->fallback = true;
}

static void report_none(Program *p, const Node *n) {
    const char *why =
        p->options->strict ? "--strict refuses reference kernels" : "reference kernels run on the host only";
    note_operands(p,
                  diag(p->diags, D_UNSUPPORTED_FORM, n->loc, "%s has no kernel for these operands on %s, and %s",
                       op_def(n->op)->name, p->target->name, why),
                  n);
}

static Step *take(Program *p, Node *n, const Kernel *k, const KernelPlan *plan) {
    Step *s = NEW(p->arena, Step);
    *s = (Step){.node = n, .kernel = k, .plan = *plan};
    if (!s->plan.name) s->plan.name = k->name;
    s->name = arena_printf(p->arena, "%s__%s", s->plan.name, p->target->isa);
    if (plan->fallback) report_fallback(p, n);
    map_put_ptr(p->arena, &p->chosen, n, s);
    return s;
}

static void forget_ranges(Program *p) {
    p->ranges = NEW(p->arena, Ranges);
    p->ranges->arena = p->arena;
}

Step *select_node(Program *p, Node *n) {
    for (int i = 0; i < kernel_count; i++) {
        const Kernel *k = &kernel_table[i];
        if (k->op != n->op && k->op != OP_NONE) continue;
        KernelPlan plan = fresh_plan(p, n);
        if (k->plan(&plan) && !(plan.fallback && p->options->strict)) return take(p, n, k, &plan);
    }
    if (n->expr && n->op != OP_Map) {
        node_unfuse(p, n);
        forget_ranges(p);
        return select_node(p, n);
    }
    report_none(p, n);
    return NULL;
}

static bool empty(const Node *n) {
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i] && shape_count(&n->out[i]->type.shape) > 0) return false;
    return true;
}

bool select_run(Program *p) {
    bool ok = true;
    forget_ranges(p);
    for (Node *n = p->graph->first; n; n = n->next)
        if (!node_is_view(n) && !empty(n) && !bits_absorbed(p, n)) ok = select_node(p, n) && ok;
    return ok;
}
