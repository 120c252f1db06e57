/* The inner loops of the register tile: the micro-kernel. */
#include "codegen/kernels/tile.h"

/* Multiply-adds unrolled in the innermost loop: enough to hide its counting, few enough for the instruction cache. */
enum { UNROLLED = 112, MAX_UNROLL = 8 };

typedef struct Sum {
    Emit *em;
    const TileSum *t;
    Reg *acc;
} Sum;

static int tile_size(const TileSum *t) { return t->mh * t->mw * t->nr; }

/* One round at the addresses a and b. */
static void one_round(Sum *s, Reg a, Reg b) {
    Emit *e = s->em;
    const TileSum *t = s->t;
    RegType vec = core_sum(e, t->core, t->lanes);
    Reg weights[MAX_NR];
    for (int r = 0; r < t->nr; r++) {
        Reg p = em_at(e, b, (int64_t)r * t->lanes * 4);
        if (t->ahead) em_prefetch(e, em_at(e, p, t->ahead), 2);
        weights[r] = em_load_part(e, vec, p, t->panels ? t->lanes * 4 : 4, r == t->nr - 1 ? t->last : t->lanes);
    }
    for (int m = 0; m < t->mh * t->mw; m++) {
        Reg x = core_cell(e, t->core, em_at(e, a, m / t->mw * t->step_h + m % t->mw * t->step_w), t->lanes);
        for (int r = 0; r < t->nr; r++) {
            Reg *acc = &s->acc[m * t->nr + r];
            *acc = core_add(e, t->core, x, weights[r], *acc);
        }
    }
}

/* Bytes by which B advances in a round of l. */
static int64_t step_b(const TileSum *t, const Reduce *l) { return t->panels ? l->b * t->nr * t->lanes * 4 : l->b; }

static void some_rounds(Sum *s, const Reduce *l, Reg a, Reg b, int64_t n) {
    for (int64_t u = 0; u < n; u++) one_round(s, em_at(s->em, a, u * l->a), em_at(s->em, b, u * step_b(s->t, l)));
}

/* The innermost loop: some rounds at a time, then those left. */
static void inner_loop(Sum *s, const Reduce *l, Reg a, Reg b) {
    Emit *e = s->em;
    int size = tile_size(s->t);
    int64_t unroll = i64_max(1, i64_min(UNROLLED / size, MAX_UNROLL)), rest = l->n % unroll, done = l->n - rest;
    int64_t next_b = step_b(s->t, l);
    if (done) {
        Loop loop = em_loop(e, 0, done, unroll, size, s->acc);
        Index i = index_reg(loop.i);
        some_rounds(s, l, em_address(e, a, 1, &i, &l->a), em_address(e, b, 1, &i, &next_b), unroll);
        em_loop_end(e, &loop);
    }
    some_rounds(s, l, em_at(e, a, done * l->a), em_at(e, b, done * next_b), rest);
}

static void loops(Sum *s, int level, Reg a, Reg b) {
    Emit *e = s->em;
    const Reduction *r = s->t->reduction;
    const Reduce *l = &r->loop[level];
    if (level == r->n - 1) {
        inner_loop(s, l, a, b);
        return;
    }
    int64_t next_b = step_b(s->t, l);
    Loop loop = em_loop(e, 0, l->n, 1, tile_size(s->t), s->acc);
    Index i = index_reg(loop.i);
    loops(s, level + 1, em_address(e, a, 1, &i, &l->a), em_address(e, b, 1, &i, &next_b));
    em_loop_end(e, &loop);
}

static void one_pass(Sum *s, Reg a, Reg b) {
    if (s->t->reduction->n)
        loops(s, 0, a, b);
    else
        one_round(s, a, b);
}

/* Horner's scheme over the pairs of planes, those of the highest weight first. */
static void by_planes(Sum *s, Reg a, Reg b) {
    Emit *e = s->em;
    const Planes *p = &s->t->planes;
    Reduce plane = {.b = p->b_step};
    for (int sum = 0; sum <= p->a + p->b - 2; sum++) {
        for (int i = 0; sum > 0 && i < tile_size(s->t); i++) s->acc[i] = em_add(e, s->acc[i], s->acc[i]);
        for (int i = 0; i < p->a && i <= sum; i++)
            if (sum - i < p->b) one_pass(s, em_at(e, a, i * p->a_step), em_at(e, b, (sum - i) * step_b(s->t, &plane)));
    }
}

void tile_accumulate(Emit *e, const TileSum *t, Reg a, Reg b, Reg *acc) {
    Sum s = {e, t, acc};
    if (t->planes.a)
        by_planes(&s, a, b);
    else
        one_pass(&s, a, b);
}
