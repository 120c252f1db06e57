/* The evaluator. It has no arithmetic of its own: a node is a reference kernel, an element-wise program, or an
 * expansion into such nodes. Each node's results have an arena of their own that goes when their last reader has run,
 * so a network takes about the memory of its widest cut. */
#include "ir/op.h"

#include <string.h>

/* ---- element-wise programs over broadcast operands ---- */

/* Elements that a program is run on at a time: operands that are not laid out as the result are gathered into blocks
 * of this many. */
enum { BLOCK = 1024 };

typedef struct Source {
    const char *data;
    size_t width;
    bool direct, constant; /* laid out as the result; one element for all, already in `block` */
    int64_t stride[MAX_RANK];
    char *block;
} Source;

static bool one_element(const Tensor *t) { return t->splat || shape_count(&t->type.shape) == 1; }

static Source open_source(Arena *a, const Tensor *t, const Shape *result) {
    const Shape *s = &t->type.shape;
    Source src = {.data = t->data, .width = (size_t)elem_bytes(t->type.elem)};
    src.constant = one_element(t);
    src.direct = !src.constant && shape_equal(s, result);
    if (src.direct) return src;
    src.block = arena_array(a, BLOCK, src.width);
    if (src.constant) {
        for (size_t i = 0; i < BLOCK; i++) memcpy(src.block + i * src.width, src.data, src.width);
        return src;
    }
    int64_t own[MAX_RANK];
    shape_strides(s, own);
    for (int i = 1; i <= s->rank; i++) {
        src.stride[result->rank - i] = s->dim[s->rank - i] == 1 ? 0 : own[s->rank - i];
    }
    return src;
}

/* Elements [start, start + n) of the result's index space, row by row. */
static const void *gather(const Source *src, const Shape *s, int64_t start, int64_t n) {
    if (src->constant) return src->block;
    if (src->direct) return src->data + (size_t)start * src->width;
    int last = s->rank - 1;
    char *to = src->block;
    while (n > 0) {
        int64_t at = 0, rest = start / s->dim[last], column = start % s->dim[last];
        for (int i = last - 1; i >= 0; i--) {
            at += rest % s->dim[i] * src->stride[i];
            rest /= s->dim[i];
        }
        int64_t run = i64_min(n, s->dim[last] - column);
        const char *from = src->data + (size_t)(at + column * src->stride[last]) * src->width;
        if (src->stride[last]) {
            memcpy(to, from, (size_t)run * src->width);
        } else {
            for (int64_t i = 0; i < run; i++) memcpy(to + (size_t)i * src->width, from, src->width);
        }
        to += (size_t)run * src->width;
        start += run;
        n -= run;
    }
    return src->block;
}

static Tensor *run_program(Arena *a, const Expr *e, Type type, const Tensor *const *in) {
    Arena *scratch = arena_nested(a);
    Source *src = NEW_ARRAY(scratch, Source, e->n_in);
    const void **at = NEW_ARRAY(scratch, const void *, e->n_in);
    int64_t n = shape_count(&type.shape);
    bool uniform = n > 1;
    for (int k = 0; k < e->n_in; k++) {
        src[k] = open_source(scratch, in[k], &type.shape);
        uniform = uniform && src[k].constant;
    }
    Tensor *out = uniform ? tensor_splat(a, type, &(int64_t){0}) : tensor_new(a, type);
    if (uniform) n = 1;
    size_t width = (size_t)elem_bytes(type.elem);
    for (int64_t start = 0; start < n; start += BLOCK) {
        int64_t count = i64_min(BLOCK, n - start);
        for (int k = 0; k < e->n_in; k++) at[k] = gather(&src[k], &type.shape, start, count);
        expr_run(e, count, at, (char *)tensor_data(out) + (size_t)start * width);
    }
    arena_free(scratch);
    return out;
}

static void eval_elementwise(Arena *a, const Node *n, const Tensor *const *in, Tensor **out) {
    Arena *scratch = arena_nested(a);
    const Tensor **present = NEW_ARRAY(scratch, const Tensor *, n->n_in);
    int count = 0;
    for (int i = 0; i < n->n_in; i++) {
        if (in[i]) present[count++] = in[i];
    }
    if (has_out(n, 0)) out[0] = run_program(a, expr_of_node(scratch, n), n->out[0]->type, present);
    arena_free(scratch);
}

/* ---- reference kernels ---- */

static RefTensor ref_tensor(const Tensor *t) {
    RefTensor r = {.data = (void *)(uintptr_t)t->data, .elem = (int32_t)t->type.elem, .rank = t->type.shape.rank};
    memcpy(r.dim, t->type.shape.dim, sizeof r.dim);
    return r;
}

/* The type of the result before its epilogue: that of the program's input 0. */
static Type type_before_epilogue(const Node *n, int output) {
    Type t = n->out[output]->type;
    for (int i = 0; n->expr && output == 0 && i < n->expr->n; i++) {
        const XInst *x = &n->expr->inst[i];
        if (x->op == X_INPUT && x->k.i == 0) t.elem = x->elem;
    }
    return t;
}

static bool report(Diags *d, const Node *n, int status) {
    if (status == REF_OK) return true;
    diag(d, D_OPERAND_VALUE, n->loc,
         status == REF_INDEX ? "an index is out of the range of the operand that it points into"
                             : "an integer is divided by zero");
    return false;
}

static bool eval_kernel(Arena *a, Diags *d, const Node *n, const Tensor *const *in, Tensor **out) {
    const OpDef *def = op_def(n->op);
    Arena *scratch = arena_nested(a);
    int own = n->expr ? n->epilogue_in : n->n_in;
    int n_in = own > def->n_in ? own : def->n_in, n_out = n->n_out > def->n_out ? n->n_out : def->n_out;
    if (def->n_in && def->in[def->n_in - 1].variadic) n_in = own;
    if (def->n_out && def->out[def->n_out - 1].variadic) n_out = n->n_out;
    RefTensor *ins = NEW_ARRAY(scratch, RefTensor, n_in), *outs = NEW_ARRAY(scratch, RefTensor, n_out);
    for (int i = 0; i < own; i++) {
        if (in[i]) ins[i] = ref_tensor(op_is_static(n->op) ? in[i] : tensor_dense(scratch, in[i]));
    }
    for (int i = 0; i < n->n_out; i++) {
        if (!n->out[i]) continue;
        out[i] = tensor_new(n->expr && i == 0 ? scratch : a, type_before_epilogue(n, i));
        outs[i] = ref_tensor(out[i]);
    }
    Pack p;
    node_pack(scratch, n, &p);
    RefArgs args = {ins, outs, n_in, n_out, p.ints.at, p.floats.at, (int32_t)p.ints.n, (int32_t)p.floats.n};
    bool ok = report(d, n, def->ref(&args));
    if (ok && n->expr) {
        const Tensor **operands = NEW_ARRAY(scratch, const Tensor *, n->expr->n_in);
        operands[0] = out[0];
        for (int k = 1; k < n->expr->n_in; k++) operands[k] = in[own + k - 1];
        out[0] = run_program(a, n->expr, n->out[0]->type, operands);
    }
    arena_free(scratch);
    return ok;
}

/* ---- expansions ---- */

/* A graph of the node alone. Operands that the node knows at compile time stay known, the others become inputs. */
static Graph *graph_of_node(Arena *a, const Node *n, const Tensor *const *in) {
    Graph *g = graph_new(a, NULL, "");
    Value **operands = NEW_ARRAY(a, Value *, n->n_in);
    for (int i = 0; i < n->n_in; i++) {
        if (!n->in[i]) continue;
        operands[i] = n->in[i]->constant ? graph_constant(g, "", in[i]) : graph_input(g, "", n->in[i]->type);
    }
    Node *m = graph_node(g, NULL, n->op, n->loc, n->n_in, operands, n->n_out);
    m->n_attr = n->n_attr;
    m->attr = arena_copy(a, n->attr, (size_t)n->n_attr * sizeof *n->attr);
    for (int i = 0; i < n->n_out; i++) {
        if (n->out[i]) {
            graph_output(g, "", m->out[i]);
        } else {
            m->out[i] = NULL;
        }
    }
    return g;
}

static bool eval_expansion(Arena *a, Diags *d, const Node *n, const Tensor *const *in, Tensor **out) {
    Arena *scratch = arena_nested(a);
    Graph *g = graph_of_node(scratch, n, in);
    const Tensor **inputs = NEW_ARRAY(scratch, const Tensor *, n->n_in);
    Tensor **results = NEW_ARRAY(scratch, Tensor *, n->n_out);
    for (int i = 0, k = 0; i < n->n_in; i++) {
        if (n->in[i] && !n->in[i]->constant) inputs[k++] = in[i];
    }
    bool ok = node_infer(d, g->first) && node_expand(d, g->first) && graph_eval(a, d, g, inputs, results, NULL, NULL);
    for (int i = 0, k = 0; ok && i < n->n_out; i++) {
        if (n->out[i]) out[i] = results[k++];
    }
    arena_free(scratch);
    return ok;
}

bool node_eval(Arena *a, Diags *d, const Node *n, const Tensor *const *in, Tensor **out) {
    const OpDef *def = op_def(n->op);
    for (int i = 0; i < n->n_in; i++) {
        if (n->in[i] && !type_equal(&n->in[i]->type, &in[i]->type)) bug("eval: operand %d of %s", i, def->name);
    }
    for (int i = 0; i < n->n_out; i++) out[i] = NULL;
    if (op_only_moves(n->op) && !n->expr && in[0]->splat) {
        for (int i = 0; i < n->n_out; i++)
            if (n->out[i]) out[i] = tensor_splat(a, n->out[i]->type, in[0]->data);
        return true;
    }
    switch (def->kind) {
    case OP_EXPR:
        eval_elementwise(a, n, in, out);
        return true;
    case OP_REF:
        return eval_kernel(a, d, n, in, out);
    case OP_EXPAND:
        return eval_expansion(a, d, n, in, out);
    case OP_CONTROL:
        break;
    }
    diag(d, D_UNSUPPORTED_OP, n->loc, "%s was not resolved and cannot be evaluated", def->name);
    return false;
}

/* ---- whole graphs ---- */

/* The results of one node, and how many of them are still to be read. */
typedef struct Owner {
    Arena *arena;
    int live;
} Owner;

typedef struct Slot {
    const Tensor *t;
    Owner *owner; /* NULL for constants and inputs */
    int readers;
} Slot;

typedef struct Eval {
    Arena *arena; /* for the evaluation */
    Diags *diags;
    Slot *slots; /* by the values' ids */
    void (*seen)(void *ctx, const Value *v, const Tensor *t);
    void *ctx;
} Eval;

static const Tensor *operand(const Eval *e, const Value *v) {
    if (!v) return NULL;
    return v->constant ? v->constant : e->slots[v->id].t;
}

static void count_readers(Eval *e, const Graph *g) {
    for (const Node *n = g->first; n; n = n->next) {
        for (int i = 0; i < n->n_in; i++) {
            if (n->in[i]) e->slots[n->in[i]->id].readers++;
        }
    }
    for (size_t i = 0; i < g->outputs.n; i++) e->slots[g->outputs.at[i].value->id].readers++;
}

static void release(Slot *s) {
    if (--s->readers > 0 || !s->owner) return;
    s->t = NULL;
    if (--s->owner->live == 0) arena_free(s->owner->arena);
}

static bool eval_step(Eval *e, const Node *n) {
    Owner *owner = NEW(e->arena, Owner);
    *owner = (Owner){.arena = arena_nested(e->arena), .live = 1};
    const Tensor **in = NEW_ARRAY(owner->arena, const Tensor *, n->n_in);
    Tensor **out = NEW_ARRAY(owner->arena, Tensor *, n->n_out);
    for (int i = 0; i < n->n_in; i++) in[i] = operand(e, n->in[i]);
    if (!node_eval(owner->arena, e->diags, n, in, out)) return false;
    for (int i = 0; i < n->n_out; i++) {
        if (!n->out[i]) continue;
        if (e->seen) e->seen(e->ctx, n->out[i], out[i]);
        Slot *s = &e->slots[n->out[i]->id];
        s->t = out[i];
        s->owner = owner;
        owner->live += s->readers > 0;
    }
    for (int i = 0; i < n->n_in; i++) {
        if (n->in[i]) release(&e->slots[n->in[i]->id]);
    }
    if (--owner->live == 0) arena_free(owner->arena);
    return true;
}

static Tensor *copy_dense(Arena *a, const Tensor *t) {
    Tensor *copy = NEW(a, Tensor);
    *copy = *tensor_dense(a, t);
    if (copy->data == t->data) copy->data = arena_copy(a, t->data, (size_t)type_bytes(&t->type));
    return copy;
}

bool graph_eval(Arena *a, Diags *d, const Graph *g, const Tensor *const *in, Tensor **out,
                void (*seen)(void *ctx, const Value *v, const Tensor *t), void *ctx) {
    Arena *scratch = arena_nested(a);
    Eval e = {.arena = scratch, .diags = d, .seen = seen, .ctx = ctx};
    e.slots = NEW_ARRAY(scratch, Slot, *g->next_id);
    count_readers(&e, g);
    for (size_t i = 0; i < g->inputs.n; i++) {
        const Value *v = g->inputs.at[i].value;
        if (!type_equal(&v->type, &in[i]->type)) bug("eval: input '%s' of another type", v->name);
        e.slots[v->id].t = in[i];
    }
    bool ok = true;
    for (const Node *n = g->first; ok && n; n = n->next) ok = eval_step(&e, n);
    for (size_t i = 0; ok && i < g->outputs.n; i++) out[i] = copy_dense(a, operand(&e, g->outputs.at[i].value));
    arena_free(scratch);
    return ok;
}
