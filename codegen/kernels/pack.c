/* Bit-planes of codes: 64 or 32 neighbours are compared at once, and the mask of the comparison is their word.
 *
 *     for each position: for each group of words: x = load(neighbours)
 *         for each plane p: y[p][group] = mask(bit p of (x - low) is set)
 */
#include "codegen/kernels/layer.h"

enum { WORD_BITS = 32, WORD_BYTES = 4, GROUP_WORDS = 2 };

bool plan_pack_bits(KernelPlan *p) {
    const Node *n = p->node;
    const Type *x = &n->in[0]->type;
    Bits *q = NEW(p->arena, Bits);
    *q = bits_of_node(n);
    p->data = q;
    if (q->step != 1 && q->planes != 1) return false;
    p->in[0].unit = p->out[0].unit = true;
    p->in[0].unit_dim = p->out[0].unit_dim = q->axis;
    if (q->axis == 1 && x->shape.rank > 2) p->in[0].order = p->out[0].order = ORDER_CHANNELS;
    int64_t positions = shape_count(&x->shape) / x->shape.dim[q->axis];
    p->n_tasks = plan_tasks(p, positions / x->shape.dim[x->shape.rank - 1], positions * q->words * (1 + q->planes));
    plan_name(p, "pack_%d", q->planes);
    return true;
}

/* Words [word, word + n) of all planes at one position. */
static void pack_group(KernelEmit *k, Reg from, Reg to, Index word, int n, int active) {
    const Bits *q = k->plan->data;
    Emit *e = k->em;
    int lanes = n * WORD_BITS;
    Reg at = em_address(e, from, 1, &word, (int64_t[]){WORD_BITS});
    Reg x = em_load_part(e, em_vec(e, e->i8, lanes), at, 1, active);
    Reg base = em_address(e, to, 1, &word, (int64_t[]){WORD_BYTES});
    for (int p = 0; p < q->planes; p++)
        kernel_store_bits(e, kernel_plane(e, q, x, q->planes - 1 - p), em_at(e, base, p * q->words * WORD_BYTES),
                          active, lanes);
}

static void pack_position(KernelEmit *k, Reg from, Reg to) {
    const Bits *q = k->plan->data;
    Emit *e = k->em;
    int64_t n = k->in[0].shape.dim[q->axis], full = n / (GROUP_WORDS * WORD_BITS) * GROUP_WORDS;
    if (full) {
        Loop l = em_loop(e, 0, full, GROUP_WORDS, 0, NULL);
        pack_group(k, from, to, index_reg(l.i), GROUP_WORDS, GROUP_WORDS * WORD_BITS);
        em_loop_end(e, &l);
    }
    for (int64_t w = full; w < q->words; w++)
        pack_group(k, from, to, index_const(w), 1, (int)i64_min(WORD_BITS, n - w * WORD_BITS));
}

/* Positions are counted by the dimensions but the axis; the innermost of them is a loop within a task's share. */
void emit_pack_bits(KernelEmit *k) {
    const Bits *q = k->plan->data;
    const Place *x = &k->in[0], *y = &k->out[0];
    Emit *e = k->em;
    int rank = x->shape.rank, inner = q->axis == rank - 1 ? rank - 2 : rank - 1;
    int64_t outer = 1, n = inner < 0 ? 1 : x->shape.dim[inner];
    for (int d = 0; d < rank; d++) outer *= d == q->axis || d == inner ? 1 : x->shape.dim[d];
    Reg from, to, a = x->base, b = y->base;
    kernel_range(k, outer, &from, &to);
    Loop rows = em_loop_reg(e, from, to, 1, 0, NULL);
    Reg rest = rows.i;
    for (int d = rank - 1; d >= 0; d--) {
        if (d == q->axis || d == inner) continue;
        Reg i = reg_digit(e, &rest, x->shape.dim[d]);
        a = reg_advance(e, a, i, x->stride[d]);
        b = reg_advance(e, b, i, y->stride[d]);
    }
    Loop points = em_loop(e, 0, n, 1, 0, NULL);
    if (inner >= 0) {
        a = reg_advance(e, a, points.i, x->stride[inner]);
        b = reg_advance(e, b, points.i, y->stride[inner]);
    }
    pack_position(k, a, b);
    em_loop_end(e, &points);
    em_loop_end(e, &rows);
}
