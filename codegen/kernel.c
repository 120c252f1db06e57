/* What emitters share: task ranges, addresses of operands, epilogues. */
#include "codegen/kernel.h"

/* ---- for plan functions ---------------------------------------------------------------------------------------- */

int plan_pack(KernelPlan *p, const Value *v, const char *key, int64_t bytes, void (*fill)(void *ctx, uint8_t *dst),
              void *ctx) {
    vec_push(p->arena, &p->packs,
             (ConstPack){.value = v, .key = arena_str(p->arena, key), .bytes = bytes, .fill = fill, .ctx = ctx});
    return (int)p->packs.n - 1;
}

void plan_name(KernelPlan *p, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    p->name = arena_vprintf(p->arena, fmt, ap);
    va_end(ap);
}

/* 5 us at about 4 GHz and one vector operation a cycle: sharing a step out to spinning workers costs half of one. */
enum { OPS_PER_TASK = 20000, MAX_TASKS = 64 };

int64_t plan_tasks(const KernelPlan *p, int64_t units, int64_t ops) {
    if (p->level == 0) return 1;
    return i64_max(1, i64_min(i64_min(units, MAX_TASKS), ops / OPS_PER_TASK));
}

/* ---- for emit functions ---------------------------------------------------------------------------------------- */

/* units * task / tasks, in 32 bits where that is enough: 64-bit division is a call on small targets. */
static Reg share_begin(Emit *e, Reg task, int64_t units, int64_t tasks) {
    if (units > INT32_MAX / tasks) return em_udiv(e, em_mul(e, task, em_i64(e, units)), tasks);
    Reg product = em_mul(e, em_trunc(e, task, e->i32), em_i32(e, units));
    return em_zext(e, em_udiv(e, product, tasks), e->i64);
}

void kernel_range(KernelEmit *k, int64_t units, Reg *from, Reg *to) {
    Emit *e = k->em;
    int64_t tasks = k->plan->n_tasks;
    if (tasks <= 1) {
        *from = em_i64(e, 0);
        *to = em_i64(e, units);
        return;
    }
    *from = share_begin(e, k->task, units, tasks);
    *to = share_begin(e, em_add(e, k->task, em_i64(e, 1)), units, tasks);
}

void place_broadcast(const Place *in, const Shape *out, int64_t stride[MAX_RANK]) {
    int lead = out->rank - in->shape.rank;
    for (int d = 0; d < out->rank; d++) {
        int k = d - lead;
        stride[d] = k < 0 || (in->shape.dim[k] == 1 && out->dim[d] != 1) ? 0 : in->stride[k];
    }
}

Reg place_address(Emit *e, const Place *p, const Index *idx) {
    return em_address(e, p->base, p->shape.rank, idx, p->stride);
}

bool place_unit(const Place *p, int dim) { return p->stride[dim] == elem_bytes(p->elem); }

Reg kernel_load(Emit *e, const Place *p, const int64_t *stride, int rank, int lanes, int active, int dim,
                const Index *idx) {
    RegType t = em_vec(e, em_mem_type(e, p->elem), lanes);
    int64_t along = lanes == 1 ? 0 : stride[dim];
    Reg v = em_load_strided(e, t, em_address(e, p->base, rank, idx, stride), along, active);
    return em_from_mem(e, p->elem, v);
}

Reg kernel_epilogue(KernelEmit *k, Reg v, int active, int dim, const Index *idx) {
    const Node *n = k->node;
    if (!n->expr) return v;
    const Shape *s = &k->out[0].shape;
    int lanes = em_lanes(v), more = n->n_in - n->epilogue_in;
    Reg *in = NEW_ARRAY(k->em->arena, Reg, more + 1);
    in[0] = v;
    for (int i = 0; i < more; i++) {
        const Place *p = &k->in[n->epilogue_in + i];
        int64_t stride[MAX_RANK];
        place_broadcast(p, s, stride);
        in[i + 1] = kernel_load(k->em, p, stride, s->rank, lanes, active, dim, idx);
    }
    return em_expr(k->em, n->expr, lanes, in);
}

void kernel_finish(KernelEmit *k, Reg v, int active, int dim, const Index *idx) {
    const Place *out = &k->out[0];
    if (out->bits.planes) {
        kernel_finish_bits(k, v, active, dim, idx);
        return;
    }
    Reg r = em_to_mem(k->em, out->elem, kernel_epilogue(k, v, active, dim, idx));
    em_store_strided(k->em, r, place_address(k->em, out, idx), em_lanes(r) == 1 ? 0 : out->stride[dim], active);
}

bool node_epilogue_plain(const Node *n) { return !n->expr || (n->expr->inst[n->expr->n - 1].elem == QCC_F32); }
