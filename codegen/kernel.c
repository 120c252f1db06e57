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

/* ---- bit-planes ------------------------------------------------------------------------------------------------ */

enum { WORD_BITS = 32, WORD_BYTES = 4, BYTE_BITS = 8 };

Bits bits_of_node(const Node *pack) {
    const Shape *s = &pack->in[0]->type.shape;
    int64_t axis = node_int(pack, "axis");
    Bits b = {.planes = (int)node_int(pack, "planes"),
              .axis = (int)(axis < 0 ? axis + s->rank : axis),
              .low = node_int(pack, "low"),
              .step = node_int(pack, "step")};
    b.words = ceil_div(s->dim[b.axis], WORD_BITS);
    return b;
}

Reg kernel_plane(Emit *e, const Bits *b, Reg v, int plane, int active) {
    RegType t = em_type(v);
    int lanes = em_lanes(v);
    Reg code = em_sub(e, v, em_int(e, t, b->low));
    Reg bit = b->step == 1 ? em_and(e, code, em_int(e, t, (int64_t)1 << plane)) : code;
    Reg set = em_compare(e, CMP_NE, bit, em_zero(e, t));
    RegType word = em_int_type(e, lanes);
    Reg mask = em_bitcast(e, set, word);
    if (active == lanes) return mask;
    return em_and(e, mask, em_int(e, word, (int64_t)(((uint64_t)1 << active) - 1)));
}

/* Stores one vector's bits of one plane. Where it is the axis' last vector, `room` is the number of bits from its first
 * one to the end of its word (of its words, if it is longer than one), and those behind it become 0; else room is its
 * lanes. */
static void store_bits(Emit *e, Reg mask, Reg p, int lanes, int room) {
    bool whole = room == 8 || room == 16 || room == 32 || room == 64;
    int width = whole || room < lanes ? room : lanes;
    RegType t = em_int_type(e, width);
    if (width != lanes) mask = width > lanes ? em_zext(e, mask, t) : em_trunc(e, mask, t);
    em_store(e, mask, p, width >= WORD_BITS ? WORD_BYTES : width / BYTE_BITS);
    em_memset_zero(e, em_at(e, p, width / BYTE_BITS), (room - width) / BYTE_BITS);
}

/* Vectors of one word may be different tasks', so each stores its own bytes only. Whether a full vector is the last one
 * is known at run time only; where behind the last one there are bytes of its word that no other vector writes, it
 * writes them. */
static void store_planes(KernelEmit *k, Reg r, int active, const Index *idx) {
    const Place *out = &k->out[0];
    const Bits *b = &out->bits;
    Emit *e = k->em;
    int lanes = em_lanes(r);
    Index at[MAX_RANK], first = idx[b->axis];
    for (int d = 0; d < out->shape.rank; d++) at[d] = idx[d];
    at[b->axis] = index_const(0);
    Reg byte = em_udiv(e, em_index(e, first), BYTE_BITS), base = em_at_reg(e, place_address(e, out, at), byte);
    int64_t n = out->shape.dim[b->axis], last = (n - 1) / lanes * lanes;
    int room = (int)(b->words * WORD_BITS - last);
    for (int p = 0; p < b->planes; p++) {
        Reg mask = kernel_plane(e, b, r, b->planes - 1 - p, active), to = em_at(e, base, p * b->words * WORD_BYTES);
        store_bits(e, mask, to, lanes, active == lanes ? lanes : room);
    }
    if (n % lanes || room == lanes) return;
    If f = em_if(e, em_compare(e, CMP_EQ, em_index(e, first), em_i64(e, last)), 0, NULL);
    for (int p = 0; p < b->planes; p++)
        em_memset_zero(e, em_at(e, base, p * b->words * WORD_BYTES + lanes / BYTE_BITS), (room - lanes) / BYTE_BITS);
    em_if_end(e, &f);
}

/* ---- the end of kernels ------------------------------------------------------------------------------------------ */

void kernel_finish(KernelEmit *k, Reg v, int active, int dim, const Index *idx) {
    const Place *out = &k->out[0];
    Reg result = kernel_epilogue(k, v, active, dim, idx);
    if (out->bits.planes) {
        store_planes(k, result, active, idx);
        return;
    }
    Reg r = em_to_mem(k->em, out->elem, result);
    em_store_strided(k->em, r, place_address(k->em, out, idx), em_lanes(r) == 1 ? 0 : out->stride[dim], active);
}

bool node_epilogue_plain(const Node *n) { return !n->expr || (n->expr->inst[n->expr->n - 1].elem == QCC_F32); }
