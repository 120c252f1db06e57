/* Matrix products on the register tile: Gemm and MatMul of floats, QMatMul of integers and QXorMatMul
 * of bit-planes with constant weights. Lanes are
 * the columns of B, pixels the rows of A.
 *
 *     for batch, m, n:
 *         sum = 0; for k: sum += a[batch][m][k] * b[batch][k][n]
 *         y[batch][m][n] = epilogue(alpha * sum + beta * c[m][n])
 *
 * Constant B is packed into panels; other B is read where it lies, its columns being neighbours. A's scalars are
 * broadcast, so it may be transposed, or have any strides, at no cost. */
#include "codegen/kernels/product.h"

#include "codegen/kernels/layer.h"
#include "codegen/kernels/tile.h"
#include "ir/op.h"

static int64_t dim_of(const Value *v, int dim) { return dim < 0 ? 1 : v->type.shape.dim[dim]; }

static void describe_gemm(const Node *n, Product *p) {
    bool ta = node_int(n, "transA") != 0, tb = node_int(n, "transB") != 0;
    p->dim_am = ta ? 1 : 0;
    p->dim_ak = ta ? 0 : 1;
    p->dim_bk = tb ? 1 : 0;
    p->dim_bn = tb ? 0 : 1;
    p->dim_m = 0;
    p->dim_n = 1;
    p->alpha = node_float(n, "alpha");
    p->beta = node_float(n, "beta");
}

static void describe_matmul(const Node *n, Product *p) {
    int a = in_shape(n, 0)->rank, b = in_shape(n, 1)->rank, out = n->out[0]->type.shape.rank;
    p->dim_ak = a - 1;
    p->dim_am = a > 1 ? a - 2 : -1;
    p->dim_bk = b > 1 ? b - 2 : 0;
    p->dim_bn = b > 1 ? b - 1 : -1;
    p->n_batch = out - (a > 1) - (b > 1);
    p->dim_m = a > 1 ? p->n_batch : -1;
    p->dim_n = b > 1 ? out - 1 : -1;
    p->alpha = p->beta = 1;
}

bool product_describe(const Node *n, Product *p) {
    if (n->op == OP_Gemm)
        describe_gemm(n, p);
    else
        describe_matmul(n, p);
    p->m = dim_of(n->in[0], p->dim_am);
    p->k = dim_of(n->in[0], p->dim_ak);
    p->n = dim_of(n->in[1], p->dim_bn);
    p->weights = p->bias = -1;
    return shape_count(&n->out[0]->type.shape) > 0;
}

static int64_t cells_of(const Product *p) { return ceil_div(p->k, core_values(p->core)); }
static int64_t rounds_of(const Product *p) { return p->b_planes * cells_of(p); } /* of B */

/* ---- planning -------------------------------------------------------------------------------------------------- */

static PanelPack weight_pack(const Product *p, const Value *b) {
    int64_t stride[MAX_RANK];
    shape_strides(&b->type.shape, stride);
    return (PanelPack){.core = p->core,
                       .tensor = b->constant,
                       .groups = shape_count(&b->type.shape) / (p->n * p->k * p->b_planes),
                       .channels = p->n,
                       .stride_g = p->n * p->k * p->b_planes,
                       .stride_c = p->dim_bn < 0 ? 0 : stride[p->dim_bn],
                       .n = 2,
                       .count = {p->b_planes, p->k},
                       .stride = {p->k * stride[p->dim_bk], stride[p->dim_bk]},
                       .nr = p->nr,
                       .lanes = p->lanes,
                       .scale = (float)p->alpha};
}

static void plan_weights(KernelPlan *kp, Product *p) {
    Value *b = kp->node->in[1];
    if (b->constant) {
        kp->in[1].packed = true;
        PanelPack pack = weight_pack(p, b);
        p->weights = plan_panels(kp, b, &pack);
        p->bias = plan_start(kp, b, &pack);
        p->alpha = 1;
    } else if (p->dim_bn >= 0) {
        kp->in[1].unit = true;
        kp->in[1].unit_dim = p->dim_bn;
    }
}

/* Operand C of Gemm: a constant that is the same in every row starts the sums, any other is added behind them. */
static void plan_addend(KernelPlan *kp, Product *p) {
    const Node *n = kp->node;
    if (n->op != OP_Gemm || !has_in(n, 2) || p->beta == 0) return;
    const Shape *c = in_shape(n, 2);
    int64_t columns = c->rank > 0 ? c->dim[c->rank - 1] : 1, rows = c->rank > 1 ? c->dim[0] : 1;
    if (!n->in[2]->constant || rows > 1 || p->alpha != 1) {
        p->added = true;
        return;
    }
    kp->in[2].packed = true;
    p->bias = plan_channel_pack(kp, n->in[2], 1, p->n, columns > 1, p->lanes, (float)p->beta);
}

enum { WORD_BITS = 32 };

static SweepShape product_shape(const Node *n, const Product *p) {
    int64_t outer = 1;
    for (int d = 0; d < p->n_batch; d++) outer *= n->out[0]->type.shape.dim[d];
    return (SweepShape){.core = p->core,
                        .outer = outer,
                        .h = p->m,
                        .w = 1,
                        .groups = 1,
                        .channels = p->n,
                        .nr = p->nr,
                        .lanes = p->lanes,
                        .row_bytes = cells_of(p) * CELL_BYTES,
                        .weight_bytes = rounds_of(p) * p->n * CELL_BYTES};
}

static bool choose_core(const KernelPlan *kp, Product *p) {
    const Node *n = kp->node;
    p->core = n->op == OP_QXorMatMul ? CORE_XOR : CORE_F32;
    p->a_planes = p->core == CORE_XOR ? (int)node_int(n, "a_planes") : 1;
    p->b_planes = p->core == CORE_XOR ? (int)node_int(n, "b_planes") : 1;
    if (p->core == CORE_XOR) return n->in[1]->constant != NULL;
    if (n->op != OP_QMatMul) return n->in[0]->type.elem == QCC_F32;
    if (!n->in[1]->constant || !core_choose(kp, &p->core)) return false;
    return !core_shifted(p->core) || in_shape(n, 1)->rank <= 2; /* sums of one matrix start where plan_start says */
}

/* A cell of integers is read at once: they must be neighbours, and what is behind the last be readable. */
static void wish_cells(KernelPlan *kp, const Product *p) {
    if (p->core == CORE_F32) return;
    kp->in[0].unit = true;
    kp->in[0].unit_dim = p->dim_ak;
    kp->in[0].slack = p->k % core_values(p->core) != 0;
}

bool plan_product(KernelPlan *kp) {
    const Node *n = kp->node;
    Product *p = NEW(kp->arena, Product);
    if (!choose_core(kp, p) || !product_describe(n, p) || p->k == 0) return false;
    kp->data = p;
    p->k /= p->a_planes;
    int64_t rows = p->m;
    if (in_shape(n, 1)->rank <= 2)
        for (int d = 0; d < p->n_batch; d++) rows *= n->out[0]->type.shape.dim[d];
    p->lanes = tile_lanes(kp->target, p->n);
    p->nr = tile_vectors(kp->target, p->core, rows, 1, rounds_of(p), p->n, p->lanes);
    plan_weights(kp, p);
    plan_addend(kp, p);
    wish_cells(kp, p);
    if (p->dim_n >= 0) {
        kp->out[0].unit = true;
        kp->out[0].unit_dim = p->dim_n;
        kp->finish_lanes = p->lanes;
        kp->finish_dim = p->dim_n;
    }
    SweepShape s = product_shape(n, p);
    int64_t results = s.outer * p->m * p->n;
    kp->macs = results * p->k * (p->core == CORE_XOR ? WORD_BITS : 1);
    kp->n_tasks = plan_tasks(kp, sweep_units(kp->target, &s), results * rounds_of(p) * p->a_planes / p->lanes);
    const char *core = core_name(p->core);
    if (p->core == CORE_XOR) core = arena_printf(kp->arena, "w%da%d", p->b_planes, p->a_planes);
    plan_name(kp, "%s_%s_%dx%d", p->m == 1 ? "gemv" : "gemm", core, p->nr, p->lanes);
    return true;
}

/* ---- emitting -------------------------------------------------------------------------------------------------- */

int64_t product_batch_stride(const Place *p, const Product *q, int d, const int64_t *stride) {
    int own = d - q->n_batch + p->shape.rank - 2;
    return own < 0 || p->shape.dim[own] == 1 ? 0 : stride[own];
}

/* The strides of B's batch dimensions as they lie in the panels, in bytes. */
static void panel_strides(const Place *b, int64_t matrix_bytes, int64_t stride[MAX_RANK]) {
    int64_t step = matrix_bytes;
    for (int d = b->shape.rank - 3; d >= 0; d--) {
        stride[d] = step;
        step *= b->shape.dim[d];
    }
}

static void add_batches(Sweep *s, const Product *p) {
    const Place *a = &s->k->in[0], *b = &s->k->in[1];
    const Shape *out = &s->k->out[0].shape;
    int64_t in_panels[MAX_RANK] = {0};
    panel_strides(b, rounds_of(p) * round_up(p->n, p->lanes) * CELL_BYTES, in_panels);
    for (int d = 0; d < p->n_batch; d++)
        s->outer[s->n_outer++] = (Outer){out->dim[d], product_batch_stride(a, p, d, a->stride),
                                         product_batch_stride(b, p, d, p->weights >= 0 ? in_panels : b->stride), d};
}

/* Batches that share B and whose rows follow each other are one longer matrix. */
static void fold_batches(Sweep *s) {
    int inner = s->h.dim;
    for (; s->n_outer; s->n_outer--) {
        const Outer *o = &s->outer[s->n_outer - 1];
        if (o->n == 1) continue;
        if (o->b != 0) return;
        if (s->shape.h == 1) {
            s->h = (Axis){.a = o->a, .dim = o->dim, .step = 1};
        } else if (o->a != s->shape.h * s->h.a || !output_folds(s->k, o->dim, inner)) {
            return;
        }
        s->shape.h *= o->n;
        inner = o->dim;
    }
}

void emit_product(KernelEmit *k) {
    const Product *p = k->plan->data;
    const Place *a = &k->in[0], *b = &k->in[1];
    bool packed = p->weights >= 0;
    int64_t width = (int64_t)p->nr * p->lanes * CELL_BYTES;
    Sweep s = {.k = k,
               .shape = product_shape(k->node, p),
               .a = a->base,
               .b = packed ? k->pack[p->weights] : b->base,
               .bias = p->bias < 0 ? NULL : k->pack[p->bias],
               .h = {.a = place_stride(a, p->dim_am), .dim = p->dim_m, .step = 1},
               .w = {.dim = -1},
               .dim_c = p->dim_n < 0 ? MAX_RANK - 1 : p->dim_n, /* no dimension at all for a single column */
               .b_panel = packed ? rounds_of(p) * width : width,
               .panels = packed,
               .scale = (float)p->alpha,
               .addend = p->added ? &k->in[2] : NULL,
               .addend_scale = (float)p->beta};
    reduction_add(&s.reduction, cells_of(p), core_values(p->core) * place_stride(a, p->dim_ak),
                  packed ? 1 : place_stride(b, p->dim_bk));
    if (p->core == CORE_XOR) s.planes = (Planes){p->a_planes, p->b_planes, p->k * place_stride(a, p->dim_ak), p->k};
    add_batches(&s, p);
    fold_batches(&s);
    sweep_emit(&s);
}
