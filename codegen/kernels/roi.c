/* Regions of an image brought to one size (He et al., "Mask R-CNN", 2017).
 *
 *     for each region, channel, row and column of bins:
 *         for each sample of the bin, a fixed number along each axis or as many as the bin has pixels:
 *             v[4] = the four pixels around it, each by its weight
 *         out = mean of the sums of v, or the largest v
 *
 * Computed in f64 where the target has it, as the reference kernel does. */
#include "codegen/kernels/nest.h"
#include "ir/expr_words.h"
#include "ir/op.h"

enum { MAX_SAMPLES = 1024 }; /* per bin and axis, as in the reference kernel */

typedef struct Roi {
    KernelEmit *k;
    Emit *em;
    Elem wide;
    bool max, half_pixel;
    int64_t ratio;
    double scale;
} Roi;

/* What a region is along one axis. */
typedef struct Span {
    Reg start, bin; /* wide */
    Reg samples;    /* wide, a whole number */
} Span;

/* The two pixels around a sample along one axis. */
typedef struct Corner {
    Reg offset[2], weight[2]; /* of the lower and the higher; bytes */
    Reg outside;
} Corner;

static void read_roi(Arena *a, const Node *n, Roi *r) {
    Pack pack;
    node_pack(a, n, &pack);
    r->max = pack.ints.at[0] != 0;
    r->half_pixel = pack.ints.at[1] == 0;
    r->ratio = pack.ints.at[2];
    r->scale = pack.floats.at[0];
}

static Reg program(Roi *r, ExprBuilder *b, X result, int n, Reg *in) {
    return em_expr(r->em, x_finish(b, result, n), 1, in);
}

static Reg load_wide(Roi *r, const Place *p, const Index *idx) {
    Emit *e = r->em;
    Reg v = em_from_mem(e, p->elem, em_load(e, em_mem_type(e, p->elem), place_address(e, p, idx), elem_bytes(p->elem)));
    return p->elem == r->wide ? v : em_expr(e, expr_convert(e->arena, p->elem, r->wide), 1, &v);
}

/* ---- regions --------------------------------------------------------------------------------------------------- */

static X edge(const Roi *r, ExprBuilder *b, int in) {
    return plus(b, times(b, x_in(b, in, r->wide), r->scale), r->half_pixel ? -0.5 : 0);
}

static Span read_span(Roi *r, Index region, int axis) {
    Emit *e = r->em;
    const Place *rois = &r->k->in[1];
    Reg ends[] = {load_wide(r, rois, (Index[]){region, index_const(1 - axis)}),
                  load_wide(r, rois, (Index[]){region, index_const(3 - axis)})};
    Span s;
    ExprBuilder p = {.arena = e->arena}, q = p, t = p;
    s.start = program(r, &p, edge(r, &p, 0), 2, ends);
    X extent = sub(&q, edge(r, &q, 1), edge(r, &q, 0));
    if (!r->half_pixel) extent = x_select(&q, above(&q, extent, 1), extent, num(&q, extent, 1));
    s.bin = program(r, &q, over(&q, extent, num(&q, extent, (double)r->k->out[0].shape.dim[2 + axis])), 2, ends);
    X bin = x_in(&t, 0, r->wide), n = x_1(&t, X_CEIL, bin);
    n = x_select(&t, above(&t, n, 0), at_most(&t, n, MAX_SAMPLES), num(&t, n, 0)); /* 0 for NaN */
    s.samples = program(r, &t, r->ratio > 0 ? num(&t, bin, (double)r->ratio) : n, 1, &s.bin);
    return s;
}

/* Where sample i of bin `bin` lies; both are wide. */
static Reg sample_place(Roi *r, const Span *s, Reg bin, Reg i) {
    ExprBuilder b = {.arena = r->em->arena};
    X start = x_in(&b, 0, r->wide), width = x_in(&b, 1, r->wide), n = x_in(&b, 2, r->wide);
    X first = add(&b, start, mul(&b, x_in(&b, 3, r->wide), width));
    X ahead = over(&b, mul(&b, plus(&b, x_in(&b, 4, r->wide), 0.5), width), n);
    return program(r, &b, add(&b, first, ahead), 5, (Reg[]){s->start, s->bin, s->samples, bin, i});
}

/* Up to one pixel outside still reads the border. */
static Reg is_outside(Roi *r, Reg place, double size) {
    ExprBuilder b = {.arena = r->em->arena};
    X x = x_in(&b, 0, r->wide);
    X inside = both(&b, x_2(&b, X_LE, num(&b, x, -1), x), x_2(&b, X_LE, x, num(&b, x, size)));
    return program(r, &b, not(&b, inside), 1, &place);
}

static Reg low_pixel(Roi *r, Reg place, double size) {
    ExprBuilder b = {.arena = r->em->arena};
    X x = x_in(&b, 0, r->wide);
    x = x_select(&b, above(&b, x, 0), at_most(&b, x, size - 1), num(&b, x, 0)); /* 0 for NaN */
    return program(r, &b, x_cast(&b, QCC_I32, x), 1, &place);
}

/* The weight of the pixel behind `low`; the last one has none behind it. */
static Reg high_weight(Roi *r, Reg place, Reg low, double size) {
    ExprBuilder b = {.arena = r->em->arena};
    X x = x_in(&b, 0, r->wide), whole = x_cast(&b, r->wide, x_in(&b, 1, QCC_I32));
    X weight = x_select(&b, below(&b, whole, size - 1), sub(&b, at_least(&b, x, 0), whole), num(&b, x, 0));
    return program(r, &b, weight, 2, (Reg[]){place, low});
}

static Corner corner(Roi *r, const Span *s, int axis, Reg bin, Reg i) {
    Emit *e = r->em;
    const Place *in = &r->k->in[0];
    int64_t size = in->shape.dim[2 + axis];
    Reg place = sample_place(r, s, bin, i), low = low_pixel(r, place, (double)size);
    Reg high = em_min(e, em_add(e, low, em_i32(e, 1)), em_i32(e, size - 1)), stride = em_i64(e, in->stride[2 + axis]);
    Corner c = {.outside = is_outside(r, place, (double)size)};
    c.offset[0] = em_mul(e, em_sext(e, low, e->i64), stride);
    c.offset[1] = em_mul(e, em_sext(e, high, e->i64), stride);
    c.weight[1] = high_weight(r, place, low, (double)size);
    c.weight[0] = em_sub(e, em_float(e, em_type(place), 1), c.weight[1]);
    return c;
}

/* ---- bins ------------------------------------------------------------------------------------------------------ */

static Reg larger(Emit *e, Reg p, Reg q) { return em_max(e, q, p); } /* p where either is NaN */

/* acc[0]: the sum; acc[1]: the largest, replaced where this is the first sample. */
static void take_sample(Roi *r, Reg image, const Corner *p, const Corner *q, Reg first, Reg acc[2]) {
    Emit *e = r->em;
    Elem elem = r->k->in[0].elem;
    Reg v[4], outside = em_or(e, p->outside, q->outside);
    for (int i = 0; i < 4; i++) {
        Reg at = em_at_reg(e, image, em_add(e, p->offset[i / 2], q->offset[i % 2]));
        Reg x = em_from_mem(e, elem, em_load(e, em_mem_type(e, elem), at, elem_bytes(elem)));
        if (elem != r->wide) x = em_expr(e, expr_convert(e->arena, elem, r->wide), 1, &x);
        x = em_mul(e, em_mul(e, p->weight[i / 2], q->weight[i % 2]), x);
        v[i] = em_select(e, outside, em_zero(e, em_type(x)), x);
    }
    Reg most = larger(e, larger(e, v[0], v[1]), larger(e, v[2], v[3]));
    acc[0] = em_add(e, acc[0], em_add(e, em_add(e, em_add(e, v[0], v[1]), v[2]), v[3]));
    acc[1] = em_select(e, first, most, larger(e, acc[1], most));
}

static Reg as_wide(Roi *r, Reg i) {
    ExprBuilder b = {.arena = r->em->arena};
    i = em_trunc(r->em, i, r->em->i32);
    return program(r, &b, x_cast(&b, r->wide, x_in(&b, 0, QCC_I32)), 1, &i);
}

static Reg as_count(Roi *r, Reg n) {
    ExprBuilder b = {.arena = r->em->arena};
    return em_sext(r->em, program(r, &b, x_cast(&b, QCC_I32, x_in(&b, 0, r->wide)), 1, &n), r->em->i64);
}

static Reg pool_bin(Roi *r, const Span *spans, Reg image, Index row, Index column) {
    Emit *e = r->em;
    Reg zero = em_i64(e, 0), n[2] = {as_count(r, spans[0].samples), as_count(r, spans[1].samples)};
    Reg acc[2] = {em_zero(e, em_elem_type(e, r->wide)), em_zero(e, em_elem_type(e, r->wide))};
    Reg bins[2] = {as_wide(r, em_index(e, row)), as_wide(r, em_index(e, column))};
    Loop outer = em_loop_reg(e, zero, n[0], 1, 2, acc);
    Corner p = corner(r, &spans[0], 0, bins[0], as_wide(r, outer.i));
    Loop inner = em_loop_reg(e, zero, n[1], 1, 2, acc);
    Corner q = corner(r, &spans[1], 1, bins[1], as_wide(r, inner.i));
    Reg first = em_compare(e, CMP_EQ, em_or(e, outer.i, inner.i), zero);
    take_sample(r, image, &p, &q, first, acc);
    em_loop_end(e, &inner);
    em_loop_end(e, &outer);
    if (r->max) return acc[1];
    Reg count = em_mul(e, spans[0].samples, spans[1].samples), one = em_float(e, em_type(count), 1);
    return em_div(e, acc[0], em_max(e, count, one));
}

/* ---- the kernel ------------------------------------------------------------------------------------------------ */

/* The image that a region is of, 0 where there is none of that number. */
static Reg image_address(Roi *r, const Index *idx) {
    Emit *e = r->em;
    const Place *in = &r->k->in[0], *batch = &r->k->in[2];
    Reg n = em_load(e, e->i64, place_address(e, batch, idx), 8), zero = em_i64(e, 0);
    Reg good = em_compare_unsigned(e, CMP_LT, n, em_i64(e, in->shape.dim[0]));
    Index at[] = {index_reg(em_select(e, good, n, zero)), idx[1]};
    return em_address(e, in->base, 2, at, in->stride);
}

bool plan_roi_align(KernelPlan *p) {
    const Node *n = p->node;
    Elem elem = n->in[0]->type.elem;
    const Shape *x = in_shape(n, 0), *y = &n->out[0]->type.shape;
    if (!p->target->f64 && elem == QCC_F64) return false;
    for (int i = 2; i < 4; i++)
        if (x->dim[i] > 1 << 24) return false; /* places are exact in f32 */
    p->n_tasks = lines_tasks(p, y, 0, shape_count(y) * 32);
    plan_name(p, "%s_roialign", elem_info[elem].name);
    return true;
}

void emit_roi_align(KernelEmit *k) {
    Emit *e = k->em;
    const Place *out = &k->out[0];
    Roi r = {.k = k, .em = e, .wide = e->target->f64 ? QCC_F64 : QCC_F32};
    read_roi(e->arena, k->node, &r);
    Lines l = lines_open(k, &out->shape, 0);
    Span spans[2] = {read_span(&r, l.idx[0], 0), read_span(&r, l.idx[0], 1)};
    Reg v = pool_bin(&r, spans, image_address(&r, l.idx), l.idx[2], l.idx[3]);
    if (out->elem != r.wide) v = em_expr(e, expr_convert(e->arena, r.wide, out->elem), 1, &v);
    em_store(e, em_to_mem(e, out->elem, v), place_address(e, out, l.idx), elem_bytes(out->elem));
    lines_close(k, &l);
}
