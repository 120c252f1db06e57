/* Convolutions, plain and transposed, of every element type, with operands that may be computed at run time: a plain
 * loop nest that tests for the padding. It takes what the register tile does not: integers (which QConv and its like
 * sum in i32), f64, f16 and bf16 (accumulated in f32), weights that are no constants.
 *
 *     for n, d, h, w, m: sum = bias[m]
 *         for kd, kh, kw where they meet the image: for c: sum += x[n][c][d'][h'][w'] * weights[m][c][kd][kh][kw]
 */
#include "codegen/kernels/layer.h"
#include "ir/op.h"

typedef struct AnyConv {
    Window w;
    bool transposed;
    int64_t images, outs, ins; /* output and input channels of one group */
} AnyConv;

static bool plan_any(KernelPlan *p, bool transposed) {
    const Node *n = p->node;
    if (shape_count(&n->out[0]->type.shape) < 0) return false;
    AnyConv *c = NEW(p->arena, AnyConv);
    p->data = c;
    c->w = window_wide(n);
    c->transposed = transposed;
    c->images = n->in[0]->type.shape.dim[0];
    c->outs = n->out[0]->type.shape.dim[1] / c->w.group;
    c->ins = n->in[0]->type.shape.dim[1] / c->w.group;
    int64_t rows = c->images * c->w.group * c->outs * c->w.out[0] * c->w.out[1];
    p->macs = rows * c->w.out[2] * c->ins * c->w.kernel[0] * c->w.kernel[1] * c->w.kernel[2];
    p->n_tasks = plan_tasks(p, rows, 4 * p->macs);
    plan_name(p, "%s_%s", transposed ? "convtranspose" : "conv", elem_info[n->in[0]->type.elem].name);
    return true;
}

bool plan_conv_any(KernelPlan *p) { return plan_any(p, false); }
bool plan_convtranspose_any(KernelPlan *p) { return plan_any(p, true); }

static bool has_bias(const Node *n) { return has_in(n, 2) && (!n->expr || n->epilogue_in > 2); }

/* One result being computed. */
typedef struct Point {
    KernelEmit *k;
    const AnyConv *c;
    Reg o[MAX_SPATIAL]; /* its position */
    Reg sum;
} Point;

/* The input position that tap k of axis i meets, and whether it is inside the image. */
static Reg meet(Point *p, int i, Reg tap, Reg *inside) {
    Emit *e = p->k->em;
    const Window *w = &p->c->w;
    Reg reach = em_mul(e, tap, em_i64(e, w->dilation[i])), pad = em_i64(e, w->pad_begin[i]);
    if (!p->c->transposed) {
        Reg at = em_sub(e, em_add(e, em_mul(e, p->o[i], em_i64(e, w->stride[i])), reach), pad);
        *inside = em_compare_unsigned(e, CMP_LT, at, em_i64(e, w->in[i]));
        return at;
    }
    Reg scaled = em_sub(e, em_add(e, p->o[i], pad), reach), at = em_udiv(e, scaled, w->stride[i]);
    Reg whole = em_compare(e, CMP_EQ, em_mul(e, at, em_i64(e, w->stride[i])), scaled);
    Reg in = em_compare(e, CMP_LT, at, em_i64(e, w->in[i]));
    *inside = em_and(e, em_and(e, em_compare(e, CMP_GE, scaled, em_i64(e, 0)), whole), in);
    return at;
}

/* x and w: addresses of the first input channel. */
static void add_channels(Point *p, Reg x, Reg w) {
    Emit *e = p->k->em;
    const Place *px = &p->k->in[0], *pw = &p->k->in[1];
    Elem sum = sum_elem(p->k->node);
    Loop l = em_loop(e, 0, p->c->ins, 1, 1, &p->sum);
    Reg a = any_load(e, px, reg_advance(e, x, l.i, px->stride[1]), 0, 1, 1);
    Reg b = any_load(e, pw, reg_advance(e, w, l.i, pw->stride[p->c->transposed ? 0 : 1]), 0, 1, 1);
    p->sum = any_multiply_add(e, sum, any_as(e, px->elem, sum, a), any_as(e, pw->elem, sum, b), p->sum);
    em_loop_end(e, &l);
}

static void add_taps(Point *p, int axis, Reg x, Reg w) {
    if (axis == MAX_SPATIAL) {
        add_channels(p, x, w);
        return;
    }
    Emit *e = p->k->em;
    Loop l = em_loop(e, 0, p->c->w.kernel[axis], 1, 1, &p->sum);
    Reg inside, at = meet(p, axis, l.i, &inside);
    If f = em_if(e, inside, 1, &p->sum);
    Reg next_x = reg_advance(e, x, at, axis_stride(&p->k->in[0], axis));
    add_taps(p, axis + 1, next_x, reg_advance(e, w, l.i, axis_stride(&p->k->in[1], axis)));
    em_if_end(e, &f);
    em_loop_end(e, &l);
}

/* The result at position p->o of channel m (of group g: channel j) of image i. */
static void emit_point(Point *p, Reg i, Reg g, Reg j, Reg m) {
    KernelEmit *k = p->k;
    Emit *e = k->em;
    const Place *x = &k->in[0], *w = &k->in[1];
    const AnyConv *c = p->c;
    Elem sum = sum_elem(k->node);
    p->sum = em_zero(e, any_type(e, sum, 1));
    if (has_bias(k->node))
        p->sum = any_load(e, &k->in[2], reg_advance(e, k->in[2].base, m, k->in[2].stride[0]), 0, 1, 1);
    Reg from_x = reg_advance(e, reg_advance(e, x->base, i, x->stride[0]), g, c->ins * x->stride[1]);
    Reg from_w = c->transposed ? reg_advance(e, reg_advance(e, w->base, g, c->ins * w->stride[0]), j, w->stride[1])
                               : reg_advance(e, w->base, m, w->stride[0]);
    add_taps(p, 0, from_x, from_w);
    Index idx[MAX_RANK] = {index_reg(i), index_reg(m)};
    for (int a = 0; a < MAX_SPATIAL; a++)
        if (axis_dim(x->shape.rank, a) >= 0) idx[axis_dim(x->shape.rank, a)] = index_reg(p->o[a]);
    kernel_finish(k, half_narrow(e, sum, p->sum), 1, 1, idx);
}

void emit_conv_any(KernelEmit *k) {
    const AnyConv *c = k->plan->data;
    Emit *e = k->em;
    Reg from, to;
    kernel_range(k, c->images * c->w.group * c->outs * c->w.out[0] * c->w.out[1], &from, &to);
    Loop rows = em_loop_reg(e, from, to, 1, 0, NULL);
    Point p = {.k = k, .c = c};
    Reg number = rows.i;
    p.o[1] = reg_digit(e, &number, c->w.out[1]);
    p.o[0] = reg_digit(e, &number, c->w.out[0]);
    Reg j = reg_digit(e, &number, c->outs), g = reg_digit(e, &number, c->w.group);
    Reg m = em_add(e, em_mul(e, g, em_i64(e, c->outs)), j);
    Loop row = em_loop_reg(e, em_i64(e, 0), em_i64(e, c->w.out[2]), 1, 0, NULL);
    p.o[2] = row.i;
    emit_point(&p, number, g, j, m);
    em_loop_end(e, &row);
    em_loop_end(e, &rows);
}

void emit_convtranspose_any(KernelEmit *k) { emit_conv_any(k); }
