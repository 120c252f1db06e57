/* Shared by the kernels of windows and products; see layer.h. */
#include "codegen/kernels/layer.h"

#include "ir/op.h"

Window window_wide(const Node *n) {
    Window w;
    window_of_node(n, &w);
    window_widen(&w);
    return w;
}

bool in_known(const Node *n, int i) { return !has_in(n, i) || n->in[i]->constant; }

static int first_epilogue(const Node *n) { return n->expr ? n->epilogue_in : n->n_in; }

void wish_channels(KernelPlan *p) {
    p->out[0].order = ORDER_CHANNELS;
    const Shape *s = &p->node->out[0]->type.shape;
    for (int i = first_epilogue(p->node); i < p->node->n_in; i++)
        if (shape_equal(&p->node->in[i]->type.shape, s)) p->in[i].order = ORDER_CHANNELS;
}

int64_t window_overhang(const Window *w, int i) {
    int64_t reach = (w->out[i] - 1) * w->stride[i] + window_extent(w, i);
    return i64_max(0, reach - w->pad_begin[i] - w->in[i]);
}

bool wish_halo(KernelPlan *p, const Window *w) {
    const Type *x = &p->node->in[0]->type;
    int64_t bytes = type_bytes(x), limit = 4 * (bytes + type_bytes(&p->node->out[0]->type)) + (1 << 20);
    for (int i = 0; i < MAX_SPATIAL; i++) {
        int dim = axis_dim(x->shape.rank, i);
        if (dim < 0) continue;
        int64_t lo = w->pad_begin[i], hi = window_overhang(w, i);
        p->in[0].halo_lo[dim] = lo;
        p->in[0].halo_hi[dim] = hi;
        if (mul_overflow(bytes / i64_max(w->in[i], 1), lo + w->in[i] + hi, &bytes) || bytes > limit) return false;
    }
    return true;
}

Reg window_origin(KernelEmit *k, const Window *w) {
    const Place *x = &k->in[0];
    int64_t at = 0;
    for (int i = 0; i < MAX_SPATIAL; i++) at -= w->pad_begin[i] * axis_stride(x, i);
    return em_at(k->em, x->base, at);
}

static bool folds(const int64_t *stride, const Shape *s, int outer, int inner) {
    return stride[outer] == s->dim[inner] * stride[inner];
}

bool output_folds(const KernelEmit *k, int outer, int inner) {
    const Shape *s = &k->out[0].shape;
    if (!folds(k->out[0].stride, s, outer, inner)) return false;
    for (int i = first_epilogue(k->node); i < k->node->n_in; i++) {
        int64_t stride[MAX_RANK];
        place_broadcast(&k->in[i], s, stride);
        if (!folds(stride, s, outer, inner)) return false;
    }
    return true;
}

/* ---- half types ------------------------------------------------------------------------------------------------ */

Elem half_widened(Elem elem) { return elem == QCC_F16 || elem == QCC_BF16 ? QCC_F32 : elem; }

static Reg convert(Emit *e, Elem from, Elem to, Reg v) {
    if (from == to) return v;
    ExprBuilder b = {.arena = e->arena};
    const Expr *x = x_finish(&b, x_cast(&b, to, x_in(&b, 0, from)), 1);
    return em_expr(e, x, em_lanes(v), &v);
}

Reg half_widen(Emit *e, Elem elem, Reg v) { return convert(e, elem, half_widened(elem), v); }
Reg half_narrow(Emit *e, Elem elem, Reg v) { return convert(e, half_widened(elem), elem, v); }

Reg any_load(Emit *e, const Place *p, Reg at, int64_t step, int lanes, int active) {
    Reg v = em_load_strided(e, em_vec(e, em_mem_type(e, p->elem), lanes), at, lanes == 1 ? 0 : step, active);
    return half_widen(e, p->elem, em_from_mem(e, p->elem, v));
}

Elem sum_elem(const Node *n) {
    bool whole = n->op == OP_QConv || n->op == OP_QConvTranspose || n->op == OP_QMatMul;
    return whole ? QCC_I32 : n->in[0]->type.elem;
}

Reg any_as(Emit *e, Elem from, Elem sum, Reg v) { return convert(e, half_widened(from), half_widened(sum), v); }

RegType any_type(Emit *e, Elem elem, int lanes) { return em_vec(e, em_elem_type(e, half_widened(elem)), lanes); }

Reg any_multiply_add(Emit *e, Elem elem, Reg a, Reg b, Reg c) {
    return half_widened(elem) == QCC_F32 ? em_mul_add(e, a, b, c) : em_add(e, em_mul(e, a, b), c);
}

int any_lanes(const Target *t, Elem elem, int64_t n) {
    int lanes = target_lanes(t, 8 * elem_bytes(half_widened(elem)));
    while (lanes > 1 && lanes / 2 >= n) lanes /= 2;
    return lanes;
}

/* ---- addresses and counting -------------------------------------------------------------------------------------- */

Reg reg_advance(Emit *e, Reg base, Reg n, int64_t bytes) {
    Index i = index_reg(n);
    return em_address(e, base, 1, &i, &bytes);
}

Reg reg_digit(Emit *e, Reg *number, int64_t radix) {
    if (radix == 1) return em_i64(e, 0);
    Reg digit = em_urem(e, *number, radix);
    *number = em_udiv(e, *number, radix);
    return digit;
}
