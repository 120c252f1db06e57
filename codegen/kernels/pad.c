/* Padding and tiling. The operand of a Pad already lies inside the output (codegen/layout.c puts it there, or a copy of
 * it); what is left is the border. It is made axis by axis: the slabs before and behind along axis d, as wide as the
 * result along the axes before d and as wide as the operand along those after it:
 *
 *     axis 0, then axis 1:     1 0 0 0 1
 *                              1 . . . 1
 *                              1 . . . 1
 *                              1 0 0 0 1
 *
 * A constant border is filled; the other modes copy each layer of a slab from the layer that it mirrors or repeats. */
#include "codegen/kernels/nest.h"
#include "ir/op.h"
#include "ir/ops/strided.h"

static bool cuts(const Node *n, const PadAxis *axes) {
    const Shape *s = in_shape(n, 0);
    for (int d = 0; d < s->rank; d++)
        if (axes[d].keep_from > 0 || axes[d].keep_to < s->dim[d]) return true;
    return false;
}

bool plan_pad(KernelPlan *p) {
    PadAxis axes[MAX_RANK];
    const Node *n = p->node;
    PadMode mode = pad_of_node(n, axes);
    if (cuts(n, axes)) return false;
    static const char *const modes[] = {"constant", "reflect", "edge", "wrap"};
    plan_name(p, "%s_pad_%s", elem_info[n->out[0]->type.elem].name, modes[mode]);
    return true;
}

/* The slab's nest without axis `d`, and the address of its first element. */
static Reg slab(KernelEmit *k, const PadAxis *axes, int d, Nest *n) {
    const Place *out = &k->out[0];
    const Shape *in = &k->in[0].shape;
    int64_t offset = 0;
    for (int i = 0; i < out->shape.rank; i++) {
        if (i == d) continue;
        bool whole = i < d;
        nest_add(n, whole ? out->shape.dim[i] : in->dim[i], out->stride[i], out->stride[i]);
        if (!whole) offset += axes[i].begin * out->stride[i];
    }
    return em_at(k->em, out->base, offset);
}

/* ---- constant ------------------------------------------------------------------------------------------------ */

static void fill(KernelEmit *k, const PadAxis *axes, int d, int64_t from, int64_t count, Reg value) {
    Emit *e = k->em;
    const Place *out = &k->out[0];
    Nest n = {.n_in = 1};
    if (count == 0) return;
    Reg base = slab(k, axes, d, &n);
    nest_add(&n, count, out->stride[d], 0);
    for (int i = 0; i < n.rank; i++) {
        if (n.dim[i] == 0) return;
        n.in[0][i] = 0;
    }
    nest_simplify(&n);
    nest_emit(k, &n,
              &(NestWork){.expr = expr_copy(e->arena, out->elem),
                          .in = &value,
                          .in_elem = &out->elem,
                          .out = em_at(e, base, from * out->stride[d]),
                          .out_elem = out->elem});
}

/* ---- reflect, edge, wrap --------------------------------------------------------------------------------------- */

/* The element of an axis of n elements that stands at place i, which lies outside. */
static int64_t source(PadMode mode, int64_t i, int64_t n) {
    if (mode == PAD_EDGE) return i < 0 ? 0 : n - 1;
    int64_t period = mode == PAD_WRAP ? n : n > 1 ? 2 * (n - 1) : 1;
    int64_t at = (i % period + period) % period;
    return at < n ? at : period - at;
}

/* Layers from .. from + count - 1 of axis d, each copied from its source; the sources come from a table. */
static void repeat(KernelEmit *k, const PadAxis *axes, PadMode mode, int d, int64_t from, int64_t count) {
    Emit *e = k->em;
    const Place *out = &k->out[0];
    Nest n = {.n_in = 1};
    if (count == 0) return;
    Reg base = slab(k, axes, d, &n);
    int64_t *table = NEW_ARRAY(e->arena, int64_t, count), dim = k->in[0].shape.dim[d], begin = axes[d].begin;
    for (int64_t i = 0; i < count; i++) table[i] = (begin + source(mode, from + i - begin, dim)) * out->stride[d];
    for (int i = 0; i < n.rank; i++)
        if (n.dim[i] == 0) return;
    Loop l = em_loop(e, 0, count, 1, 0, NULL);
    Reg entry = em_at_reg(e, em_data(e, table, count * 8, 8), em_mul(e, l.i, em_i64(e, 8)));
    Reg src = em_at_reg(e, base, em_load(e, e->i64, entry, 8));
    Reg to = em_at_reg(e, em_at(e, base, from * out->stride[d]), em_mul(e, l.i, em_i64(e, out->stride[d])));
    nest_simplify(&n);
    nest_emit(k, &n,
              &(NestWork){.expr = expr_copy(e->arena, out->elem),
                          .in = &src,
                          .in_elem = &out->elem,
                          .out = to,
                          .out_elem = out->elem});
    em_loop_end(e, &l);
}

/* The padding value's address: operand 2, or a zero. */
static Reg border_value(KernelEmit *k) {
    static const uint64_t zero;
    if (k->node->n_in > 2 && k->node->in[2]) return k->in[2].base;
    return em_data(k->em, &zero, 8, 8);
}

void emit_pad(KernelEmit *k) {
    PadAxis axes[MAX_RANK];
    const Shape *in = &k->in[0].shape, *out = &k->out[0].shape;
    PadMode mode = pad_of_node(k->node, axes);
    Reg value = mode == PAD_CONSTANT ? border_value(k) : NULL;
    for (int d = 0; d < in->rank; d++) {
        int64_t behind = axes[d].begin + in->dim[d];
        if (mode == PAD_CONSTANT) {
            fill(k, axes, d, 0, axes[d].begin, value);
            fill(k, axes, d, behind, out->dim[d] - behind, value);
        } else {
            repeat(k, axes, mode, d, 0, axes[d].begin);
            repeat(k, axes, mode, d, behind, out->dim[d] - behind);
        }
    }
}

/* ---- Tile ---------------------------------------------------------------------------------------------------- */

bool plan_tiled_copy(KernelPlan *p) {
    const Node *n = p->node;
    if (shape_count(in_shape(n, 0)) == 0) return false;
    p->n_tasks = plan_tasks(p, 64, shape_count(&n->out[0]->type.shape) / target_lanes(p->target, 32) * 2);
    plan_name(p, "%s_tile", elem_info[n->out[0]->type.elem].name);
    return true;
}

/* Each axis becomes two: the repeats, along which the operand stands still, and its elements. */
void emit_tiled_copy(KernelEmit *k) {
    const Place *in = &k->in[0], *out = &k->out[0];
    Nest n = {.n_in = 1};
    for (int d = 0; d < in->shape.rank; d++) {
        int64_t dim = in->shape.dim[d];
        nest_add(&n, out->shape.dim[d] / dim, out->stride[d] * dim, 0);
        nest_add(&n, dim, out->stride[d], in->stride[d]);
    }
    nest_simplify(&n);
    nest_emit(k, &n,
              &(NestWork){.expr = expr_copy(k->em->arena, in->elem),
                          .in = &in->base,
                          .in_elem = &in->elem,
                          .out = out->base,
                          .out_elem = out->elem,
                          .tasks = true});
}
