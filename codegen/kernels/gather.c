/* Reading and writing at computed places. An index is known only at run time and may be anything: it is brought into
 * range, as the reference kernels do it, before it becomes an address.
 *
 *     for each position j of the indices:
 *         i = index[j], counted from the end if negative, clamped
 *         out[outer..., j..., inner...] = data[outer..., i, inner...]      a nest over outer and inner              */
#include "codegen/kernels/nest.h"
#include "ir/op.h"

/* Index in [0, n), n >= 1. */
static Reg wrap(Emit *e, Reg i, int64_t n) {
    Reg zero = em_i64(e, 0);
    i = em_select(e, em_compare(e, CMP_LT, i, zero), em_add(e, i, em_i64(e, n)), i);
    return em_min(e, em_max(e, i, zero), em_i64(e, n - 1));
}

static Reg load_index(Emit *e, const Place *p, const Index *idx) {
    Reg v = em_load(e, em_mem_type(e, p->elem), place_address(e, p, idx), elem_bytes(p->elem));
    return em_sext(e, v, e->i64);
}

/* Copies a nest of one operand. */
static void copy(KernelEmit *k, Nest *n, Elem elem, Reg to, Reg from) {
    nest_simplify(n);
    nest_emit(
        k, n,
        &(NestWork){.expr = expr_copy(k->em->arena, elem), .in = &from, .in_elem = &elem, .out = to, .out_elem = elem});
}

/* ---- Gather -------------------------------------------------------------------------------------------------- */

/* Constant indices along an axis of unit stride, as resizing has them: a vector of results comes from one vector or two
 * of the operand by a constant shuffle where its indices lie close together.
 *
 *     for each line:  for each vector of results:  out[...] = shuffle(data[first ...], data[first + lanes ...]) */
enum { MAX_SHUFFLED = 2048 }; /* results of a line: they are unrolled */

typedef struct Shuffle {
    Emit *em;
    RegType type; /* of a vector */
    Reg line;     /* address of the operand's first element */
    int64_t n;    /* elements of the operand's line */
    int lanes, bytes;
} Shuffle;

static Reg shuffle_load(const Shuffle *s, int64_t at) {
    int active = (int)i64_min(s->lanes, s->n - at);
    return em_load_part(s->em, s->type, em_at(s->em, s->line, at * s->bytes), s->bytes, active);
}

/* Results `place[0 .. active-1]` of the line, as a vector. */
static Reg shuffled(const Shuffle *s, const int64_t *place, int active) {
    int *index = NEW_ARRAY(s->em->arena, int, s->lanes);
    int64_t lo = place[0], hi = place[0];
    for (int i = 1; i < active; i++) lo = i64_min(lo, place[i]), hi = i64_max(hi, place[i]);
    int many = hi - lo < s->lanes ? 1 : 2;
    int64_t first = i64_max(0, i64_min(lo, s->n - many * s->lanes));
    if (s->lanes > 1 && hi - first < 2 * s->lanes) {
        for (int i = 0; i < s->lanes; i++) index[i] = i < active ? (int)(place[i] - first) : 0;
        Reg second = hi - first < s->lanes ? NULL : shuffle_load(s, first + s->lanes);
        return em_shuffle(s->em, shuffle_load(s, first), second, s->lanes, index);
    }
    Reg v = em_undef(s->em, s->type);
    for (int i = 0; i < active; i++) {
        Reg x = em_load(s->em, em_scalar_type(v), em_at(s->em, s->line, place[i] * s->bytes), s->bytes);
        v = em_insert(s->em, v, x, i);
    }
    return v;
}

static bool can_shuffle(const KernelEmit *k, int axis) {
    const Tensor *index = k->node->in[1]->constant;
    return index && index->type.shape.rank == 1 && shape_count(&index->type.shape) <= MAX_SHUFFLED &&
           place_unit(&k->in[0], axis) && place_unit(&k->out[0], axis);
}

static void emit_shuffles(KernelEmit *k, int axis) {
    Emit *e = k->em;
    const Place *data = &k->in[0], *out = &k->out[0];
    Shuffle s = {.em = e, .n = data->shape.dim[axis], .bytes = elem_bytes(data->elem)};
    int64_t count, *place = tensor_ints(e->arena, k->node->in[1]->constant, &count);
    for (int64_t i = 0; i < count; i++)
        place[i] = i64_max(0, i64_min(place[i] < 0 ? place[i] + s.n : place[i], s.n - 1));
    s.lanes = target_lanes(k->target, 8 * s.bytes);
    while (s.lanes > 1 && s.lanes / 2 >= count) s.lanes /= 2;
    s.type = em_vec(e, em_mem_type(e, data->elem), s.lanes);
    Lines l = lines_open(k, &out->shape, 1u << axis);
    Reg to = place_address(e, out, l.idx);
    s.line = place_address(e, data, l.idx);
    for (int64_t i = 0; i < count; i += s.lanes) {
        int active = (int)i64_min(s.lanes, count - i);
        em_store_part(e, shuffled(&s, place + i, active), em_at(e, to, i * s.bytes), s.bytes, active);
    }
    lines_close(k, &l);
}

static int gather_axis(Arena *a, const Node *n) {
    Pack pack = {0};
    node_pack(a, n, &pack);
    return (int)pack.ints.at[0];
}

bool plan_gather(KernelPlan *p) {
    const Node *n = p->node;
    if (in_shape(n, 0)->dim[gather_axis(p->arena, n)] == 0) return false;
    p->n_tasks = lines_tasks(p, in_shape(n, 1), 0, shape_count(&n->out[0]->type.shape));
    p->reads_constants = n->in[1]->constant != NULL;
    plan_name(p, "%s_gather", elem_info[n->in[0]->type.elem].name);
    return true;
}

void emit_gather(KernelEmit *k) {
    Emit *e = k->em;
    const Place *data = &k->in[0], *index = &k->in[1], *out = &k->out[0];
    int axis = gather_axis(e->arena, k->node), many = index->shape.rank;
    if (can_shuffle(k, axis)) {
        emit_shuffles(k, axis);
        return;
    }
    Lines l = lines_open(k, &index->shape, 0);
    Reg i = wrap(e, load_index(e, index, l.idx), data->shape.dim[axis]);
    Index at[MAX_RANK] = {{0}};
    for (int d = 0; d < many; d++) at[axis + d] = l.idx[d];
    Reg from = em_at_reg(e, data->base, em_mul(e, i, em_i64(e, data->stride[axis])));
    Nest n = {.n_in = 1};
    for (int d = 0; d < data->shape.rank; d++)
        if (d != axis) nest_add(&n, data->shape.dim[d], out->stride[d < axis ? d : d - 1 + many], data->stride[d]);
    copy(k, &n, data->elem, place_address(e, out, at), from);
    lines_close(k, &l);
}

/* ---- ScatterND ----------------------------------------------------------------------------------------------- */

enum { SCATTER_SET, SCATTER_ADD, SCATTER_MUL, SCATTER_MIN, SCATTER_MAX };

/* What becomes of the old element (in0) and the update (in1); NaN from either side stays. */
static const Expr *scatter_program(Arena *a, Elem elem, int how) {
    ExprBuilder b = {.arena = a};
    X p = x_in(&b, 0, elem), q = x_in(&b, 1, elem), r;
    if (elem == QCC_F16 || elem == QCC_BF16) p = x_cast(&b, QCC_F32, p), q = x_cast(&b, QCC_F32, q);
    bool real = elem_is_float(elem);
    if (how == SCATTER_SET) return x_finish(&b, x_in(&b, 1, elem), 2);
    if (how == SCATTER_ADD)
        r = x_2(&b, X_ADD, p, q);
    else if (how == SCATTER_MUL)
        r = x_2(&b, X_MUL, p, q);
    else {
        X best = x_2(&b, how == SCATTER_MIN ? X_MIN : X_MAX, p, q);
        r = best; /* q where either is NaN: right if q is */
        if (real) r = x_select(&b, x_2(&b, X_EQ, p, p), best, p);
    }
    return x_finish(&b, x_cast(&b, elem, r), 2);
}

bool plan_scatter_nd(KernelPlan *p) {
    const Node *n = p->node;
    Pack pack = {0};
    Elem e = n->in[0]->type.elem;
    node_pack(p->arena, n, &pack);
    if (shape_count(in_shape(n, 0)) == 0) return false;
    if (pack.ints.at[0] != SCATTER_SET && (e == QCC_BOOL || elem_info[e].bits < 8)) return false;
    plan_name(p, "%s_scatter", elem_info[e].name);
    return true;
}

/* Address of the slice of the output that the tuple at `idx` of the indices names. */
static Reg slice_address(KernelEmit *k, Index *idx, int depth) {
    Emit *e = k->em;
    const Place *out = &k->out[0], *index = &k->in[1];
    Reg to = out->base;
    for (int j = 0; j < depth; j++) {
        idx[index->shape.rank - 1] = index_const(j);
        Reg i = wrap(e, load_index(e, index, idx), out->shape.dim[j]);
        to = em_at_reg(e, to, em_mul(e, i, em_i64(e, out->stride[j])));
    }
    idx[index->shape.rank - 1] = index_const(0);
    return to;
}

void emit_scatter_nd(KernelEmit *k) {
    Emit *e = k->em;
    const Place *data = &k->in[0], *index = &k->in[1], *update = &k->in[2], *out = &k->out[0];
    Pack pack = {0};
    node_pack(e->arena, k->node, &pack);
    Nest all = {.n_in = 1}, slice = {.n_in = 2};
    for (int d = 0; d < out->shape.rank; d++) nest_add(&all, out->shape.dim[d], out->stride[d], data->stride[d]);
    copy(k, &all, data->elem, out->base, data->base);
    if (shape_count(&index->shape) == 0 || shape_count(&update->shape) == 0) return;
    int tuple_axis = index->shape.rank - 1, depth = (int)index->shape.dim[tuple_axis];
    Lines l = lines_open(k, &index->shape, 1u << tuple_axis);
    Reg to = slice_address(k, l.idx, depth), from = em_address(e, update->base, tuple_axis, l.idx, update->stride);
    for (int d = depth; d < out->shape.rank; d++) {
        slice.in[1][slice.rank] = update->stride[d - depth + tuple_axis];
        nest_add(&slice, out->shape.dim[d], out->stride[d], out->stride[d]);
    }
    nest_simplify(&slice);
    nest_emit(k, &slice,
              &(NestWork){.expr = scatter_program(e->arena, out->elem, (int)pack.ints.at[0]),
                          .in = (Reg[]){to, from},
                          .in_elem = (Elem[]){out->elem, out->elem},
                          .out = to,
                          .out_elem = out->elem});
    lines_close(k, &l);
}

/* ---- MaxUnpool --------------------------------------------------------------------------------------------------- */

/* The address of element `at` (i32) of a box of `dims` at the origin of the output. */
static Reg box_address(KernelEmit *k, Reg at, const int64_t *dims) {
    Emit *e = k->em;
    const Place *out = &k->out[0];
    Reg to = out->base;
    for (int d = out->shape.rank - 1; d >= 0; d--) {
        Reg i = em_zext(e, em_urem(e, at, dims[d]), e->i64);
        to = em_at_reg(e, to, em_mul(e, i, em_i64(e, out->stride[d])));
        at = em_udiv(e, at, dims[d]);
    }
    return to;
}

static void fill_zero(KernelEmit *k) {
    const Place *out = &k->out[0];
    ExprBuilder b = {.arena = k->em->arena};
    Nest n = {0};
    for (int d = 0; d < out->shape.rank; d++) nest_add(&n, out->shape.dim[d], out->stride[d], 0);
    nest_simplify(&n);
    nest_emit(k, &n,
              &(NestWork){.expr = x_finish(&b, x_const(&b, out->elem, 0), 0), .out = out->base, .out_elem = out->elem});
}

static int64_t box_count(Arena *a, const Node *n, Pack *pack) {
    int64_t count = 1;
    *pack = (Pack){0};
    node_pack(a, n, pack);
    for (size_t d = 0; d < pack->ints.n; d++) count *= pack->ints.at[d];
    return count;
}

bool plan_max_unpool(KernelPlan *p) {
    Pack pack;
    if (box_count(p->arena, p->node, &pack) > INT32_MAX) return false;
    plan_name(p, "%s_unpool", elem_info[p->node->in[0]->type.elem].name);
    return true;
}

/* In the order of the elements: of two at one place the last one stays. */
void emit_max_unpool(KernelEmit *k) {
    Emit *e = k->em;
    const Place *in = &k->in[0], *index = &k->in[1];
    Pack pack;
    int64_t count = box_count(e->arena, k->node, &pack);
    fill_zero(k);
    if (shape_count(&in->shape) == 0) return;
    Loop loops[MAX_RANK];
    Index idx[MAX_RANK];
    for (int d = 0; d < in->shape.rank; d++) {
        loops[d] = em_loop(e, 0, in->shape.dim[d], 1, 0, NULL);
        idx[d] = index_reg(loops[d].i);
    }
    Reg at = em_min(e, em_max(e, load_index(e, index, idx), em_i64(e, 0)), em_i64(e, count - 1));
    Reg v = em_load(e, em_mem_type(e, in->elem), place_address(e, in, idx), elem_bytes(in->elem));
    em_store(e, v, box_address(k, em_trunc(e, at, e->i32), pack.ints.at), elem_bytes(in->elem));
    for (int d = in->shape.rank - 1; d >= 0; d--) em_loop_end(e, &loops[d]);
}
