/* Steps. The body takes one pointer per operand, output and prepared constant, so that layers of one shape share it;
 * the step around it only computes addresses from the frame. */
#include "codegen/step.h"
#include "codegen/scalar.h"
#include "ir/op.h"

#include <stdio.h>
#include <string.h>

/* One pointer of the body. */
typedef struct Param {
    const Storage *at; /* an operand or output; else */
    const Blob *blob;  /* a prepared constant; else the scratch memory */
    bool written;
    Place *place;
    Reg *reg;
} Param;

typedef struct Frame {
    StepEmitter *s;
    Step *step;
    VEC(Param) params;
    Place *in, *out;
    Reg *pack, scratch;
} Frame;

/* ---- parameters ---------------------------------------------------------------------------------------------- */

static int power_of_two_in(int64_t v) {
    int a = QCC_ALIGN;
    while (a > 1 && v % a) a /= 2;
    return a;
}

static void fill_place(Place *p, const Value *v, const Storage *st) {
    *p = (Place){.elem = v->type.elem, .shape = v->type.shape};
    memcpy(p->stride, st->stride, sizeof p->stride);
    bool ours = st->buffer->space == SPACE_WORK || st->buffer->space == SPACE_WEIGHTS;
    p->align = ours ? power_of_two_in(st->buffer->offset + st->offset) : elem_bytes(v->type.elem);
    p->slack = ours;
}

static void add_value(Frame *f, const Value *v, Place *place, bool written) {
    const Storage *st = storage_of(f->s->program, v);
    fill_place(place, v, st);
    vec_push(f->s->program->arena, &f->params,
             (Param){.at = st, .written = written, .place = place, .reg = &place->base});
}

static void list_params(Frame *f) {
    Step *step = f->step;
    Node *n = step->node;
    Arena *a = f->s->program->arena;
    f->in = NEW_ARRAY(a, Place, n->n_in);
    f->out = NEW_ARRAY(a, Place, n->n_out);
    f->pack = NEW_ARRAY(a, Reg, step->plan.packs.n);
    for (int i = 0; i < n->n_in; i++) {
        if (n->in[i]) f->in[i] = (Place){.elem = n->in[i]->type.elem, .shape = n->in[i]->type.shape};
        if (n->in[i] && !step->plan.in[i].packed) add_value(f, n->in[i], &f->in[i], false);
    }
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i]) add_value(f, n->out[i], &f->out[i], true);
    if (n->n_out) f->out[0].bits = step->bits;
    for (size_t i = 0; i < step->plan.packs.n; i++)
        vec_push(a, &f->params, (Param){.blob = step->packs[i], .reg = &f->pack[i]});
    if (step->plan.scratch_bytes) vec_push(a, &f->params, (Param){.written = true, .reg = &f->scratch});
}

static bool overlap(const Storage *a, const Storage *b) {
    const Buffer *x = a->buffer, *y = b->buffer;
    return x != y && x->space == SPACE_WORK && y->space == SPACE_WORK && x->offset < y->offset + y->bytes &&
           y->offset < x->offset + x->bytes;
}

/* A Map may write over an operand; the two pointers then alias. Within one buffer, values never share an element. */
static bool aliased(const Frame *f, size_t i) {
    const Param *p = &f->params.at[i];
    for (size_t k = 0; k < f->params.n; k++) {
        const Param *q = &f->params.at[k];
        if (k != i && p->at && q->at && (p->written || q->written) && overlap(p->at, q->at)) return true;
    }
    return false;
}

/* ---- the key of a body --------------------------------------------------------------------------------------- */

static void add_ints(Text *t, int n, const int64_t *v) {
    for (int i = 0; i < n; i++) text_add(t, "%lld,", (long long)v[i]);
}

static void add_expr(Text *t, const Expr *x) {
    for (int i = 0; i < x->n; i++)
        text_add(t, "%d:%d:%d:%d:%d:%llx;", (int)x->inst[i].op, (int)x->inst[i].elem, x->inst[i].a, x->inst[i].b,
                 x->inst[i].c, (long long)x->inst[i].k.i);
}

static void add_attr(Text *t, const Attr *a) {
    text_add(t, " %s=%lld,%.17g,%s,", a->name, (long long)a->i, a->f, a->s ? a->s : "");
    if (a->ints) add_ints(t, (int)a->n, a->ints);
    for (int64_t i = 0; a->floats && i < a->n; i++) text_add(t, "%.17g,", a->floats[i]);
    for (int64_t i = 0; a->strings && i < a->n; i++) text_add(t, "%s,", a->strings[i]);
}

static void add_place(Text *t, const Place *p, bool alias) {
    text_add(t, " %d[", (int)p->elem);
    add_ints(t, p->shape.rank, p->shape.dim);
    text_add(t, "|");
    add_ints(t, p->shape.rank, p->stride);
    text_add(t, "]a%d%d%d", p->align, p->slack, alias);
    const Bits *b = &p->bits;
    if (b->planes)
        text_add(t, "b%d,%d,%lld,%lld,%d", b->planes, b->axis, (long long)b->low, (long long)b->step, b->nested);
}

/* Everything that an emitter may look at. Constants that steer an operator are part of it by their contents. */
static const char *body_key(const Frame *f, int index) {
    const Step *step = f->step;
    const Node *n = step->node;
    Text t = {.arena = f->s->program->arena};
    text_add(&t, "%s %d %lld %lld", step->name, (int)n->op, (long long)step->plan.n_tasks,
             (long long)step->plan.scratch_bytes);
    for (int i = 0; i < n->n_attr; i++) add_attr(&t, &n->attr[i]);
    for (int i = 0; i < n->n_in; i++) {
        add_place(&t, &f->in[i], false);
        const OpDef *d = op_def(n->op);
        if (n->in[i] && n->in[i]->constant && i < d->n_in && d->in[i].constant) {
            int64_t count;
            const int64_t *v =
                elem_is_int(n->in[i]->type.elem) ? tensor_ints(t.arena, n->in[i]->constant, &count) : NULL;
            if (v)
                add_ints(&t, (int)count, v);
            else
                text_add(&t, "@%d", index);
        }
    }
    for (int i = 0; i < n->n_out; i++) add_place(&t, &f->out[i], false);
    for (size_t i = 0; i < f->params.n; i++) text_add(&t, " %d", aliased(f, i));
    if (n->expr) add_expr(&t, n->expr);
    if (step->plan.reads_constants) text_add(&t, " only %d", index);
    return t.s;
}

/* ---- body ---------------------------------------------------------------------------------------------------- */

static void emit_body(Frame *f, Reg fn, Emit *e) {
    Step *step = f->step;
    for (size_t i = 0; i < f->params.n; i++) {
        const Param *p = &f->params.at[i];
        *p->reg = em_param(fn, (int)i);
        if (!aliased(f, i)) em_attribute_noalias(e, fn, (int)i);
        if (!p->written) em_attribute_readonly(e, fn, (int)i);
        em_attribute_align(e, fn, (int)i, p->place ? p->place->align : QCC_ALIGN);
    }
    KernelEmit k = {.em = e,
                    .target = e->target,
                    .node = step->node,
                    .plan = &step->plan,
                    .in = f->in,
                    .out = f->out,
                    .pack = f->pack,
                    .task = step->plan.n_tasks > 1 ? em_param(fn, (int)f->params.n) : em_i64(e, 0),
                    .scratch = f->scratch};
    em_function_open(e, fn);
    step->kernel->emit(&k);
    em_return(e, NULL);
}

static Reg body_of(Frame *f, int index) {
    StepEmitter *s = f->s;
    Emit *e = s->program->em;
    const char *key = body_key(f, index);
    Reg known = map_get(&s->bodies, key);
    if (known) return known;
    RegType *types = NEW_ARRAY(e->arena, RegType, f->params.n + 1);
    for (size_t i = 0; i < f->params.n; i++) types[i] = e->ptr;
    types[f->params.n] = e->i64;
    int n = (int)f->params.n + (f->step->plan.n_tasks > 1);
    Reg fn =
        em_function_new(e, arena_printf(e->arena, "%s_kernel_%d", e->name, s->n_bodies++), e->none, n, types, true);
    em_attribute_noinline(e, fn);
    em_attribute_frame(e, fn);
    emit_body(f, fn, e);
    map_put(e->arena, &s->bodies, key, fn);
    return fn;
}

/* ---- step ---------------------------------------------------------------------------------------------------- */

/* The frame's members: inputs, outputs, prep, work. */
enum { FRAME_INPUTS, FRAME_OUTPUTS, FRAME_PREP, FRAME_WORK };

static Reg frame_field(Emit *e, Reg frame, int field) {
    int bytes = e->target->pointer_bits / 8;
    return em_load(e, e->ptr, em_at(e, frame, (int64_t)field * bytes), bytes);
}

static Reg buffer_base(StepEmitter *s, Reg frame, const Buffer *b) {
    Emit *e = s->program->em;
    int bytes = e->target->pointer_bits / 8;
    switch (b->space) {
    case SPACE_WEIGHTS:
        return em_at(e, s->weights, b->offset);
    case SPACE_WORK:
        return em_at(e, frame_field(e, frame, FRAME_WORK), b->offset);
    case SPACE_INPUT:
    case SPACE_OUTPUT:
        break;
    }
    Reg list = frame_field(e, frame, b->space == SPACE_INPUT ? FRAME_INPUTS : FRAME_OUTPUTS);
    return em_load(e, e->ptr, em_at(e, list, (int64_t)b->port * bytes), bytes);
}

static Reg param_value(Frame *f, const Param *p, Reg frame, Reg worker) {
    Emit *e = f->s->program->em;
    if (p->at) return em_at(e, buffer_base(f->s, frame, p->at->buffer), p->at->offset);
    if (p->blob && p->blob->form) return em_at(e, frame_field(e, frame, FRAME_PREP), p->blob->prep_offset);
    if (p->blob) return em_at(e, f->s->weights, p->blob->offset);
    Reg own = em_mul(e, em_zext(e, worker, e->i64), em_i64(e, f->s->program->scratch_bytes));
    return em_at_reg(e, em_at(e, frame_field(e, frame, FRAME_WORK), f->s->program->work_bytes), own);
}

/* Zeros around the image: rows of the whole buffer that hold no element, and the two ends of the others. Written run by
 * run along the dimensions from outer to inner; each level clears what lies before and behind its elements. */
static void zero_around(Emit *e, const Storage *st, const Type *t, Reg base) {
    int order[MAX_RANK], rank = t->shape.rank;
    for (int i = 0; i < rank; i++) order[i] = i;
    for (int i = 1; i < rank; i++)
        for (int j = i; j > 0 && st->stride[order[j - 1]] < st->stride[order[j]]; j--) {
            int swap = order[j];
            order[j] = order[j - 1];
            order[j - 1] = swap;
        }
    Loop loops[MAX_RANK];
    Reg p = base;
    int depth = 0, inner = rank - 1;
    while (inner > 0 && !st->halo_lo[order[inner]] && !st->halo_hi[order[inner]]) inner--;
    for (int i = 0; i <= inner; i++) {
        int d = order[i];
        int64_t lo = st->halo_lo[d], hi = st->halo_hi[d], stride = st->stride[d];
        int64_t before = 0; /* from element (.., d, 0, 0 ..) back to the first byte of the inner halos */
        for (int k = i + 1; k < rank; k++) before += st->halo_lo[order[k]] * st->stride[order[k]];
        em_memset_zero(e, em_at(e, p, -lo * stride - before), lo * stride);
        em_memset_zero(e, em_at(e, p, t->shape.dim[d] * stride - before), hi * stride);
        if (i == inner) break;
        loops[depth] = em_loop(e, 0, t->shape.dim[d], 1, 0, NULL);
        p = em_at_reg(e, p, em_mul(e, loops[depth].i, em_i64(e, stride)));
        depth++;
    }
    while (depth > 0) em_loop_end(e, &loops[--depth]);
}

static void zero_halos(Frame *f, Reg frame, Reg task) {
    Program *p = f->s->program;
    Emit *e = p->em;
    const Node *n = f->step->node;
    for (int i = 0; i < n->n_out; i++) {
        if (!n->out[i]) continue;
        const Buffer *b = storage_of(p, n->out[i])->buffer;
        if (!b->halo) continue;
        const Storage *whole = storage_of(p, b->owner);
        If first = em_if(e, em_compare(e, CMP_EQ, task, em_int(e, e->size, 0)), 0, NULL);
        zero_around(e, whole, &b->owner->type, em_at(e, buffer_base(f->s, frame, b), whole->offset));
        em_if_end(e, &first);
    }
}

Reg step_emit(StepEmitter *s, Step *step, int index) {
    Program *p = s->program;
    Emit *e = p->em;
    Frame f = {.s = s, .step = step};
    list_params(&f);
    Reg body = body_of(&f, index);
    const char *name = arena_printf(e->arena, "%s_step_%d", e->name, index);
    Reg fn = em_function_new(e, name, e->none, 3, (RegType[]){e->ptr, e->size, e->i32}, true);
    em_function_open(e, fn);
    Reg frame = em_param(fn, 0), task = em_param(fn, 1), worker = em_param(fn, 2);
    if (step->zero_halo) zero_halos(&f, frame, task);
    Reg *args = NEW_ARRAY(e->arena, Reg, f.params.n + 1);
    for (size_t i = 0; i < f.params.n; i++) args[i] = param_value(&f, &f.params.at[i], frame, worker);
    args[f.params.n] = em_zext(e, task, e->i64);
    em_call_function(e, body, (int)f.params.n + (step->plan.n_tasks > 1), args);
    em_return(e, NULL);
    return fn;
}
