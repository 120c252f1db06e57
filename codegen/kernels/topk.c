/* The k best of each line, in order. They are kept in a heap in scratch memory whose root is the one that comes last:
 * it gives way to whatever comes before it (heapsort; Williams, 1964).
 *
 *     heap = the first k elements
 *     for i in k .. n:  if x[i] comes before heap[0]: heap[0] = x[i], sift down
 *     for m = k-1 .. 0: out[m] = heap[0]; heap[0] = heap[m], sift down among the first m
 *
 * Of equals the first one comes first; NaN is above everything. */
#include "codegen/kernels/line.h"

typedef struct Heap {
    KernelEmit *k;
    Emit *em;
    Elem elem; /* that elements are compared in */
    bool largest;
    int64_t size;
} Heap;

typedef struct Item {
    Reg value, place;
} Item;

/* ---- order ----------------------------------------------------------------------------------------------------- */

/* Whether a is above b, and b above a; with NaN above all numbers. */
static void compare(Emit *e, Elem elem, Reg a, Reg b, Reg *above, Reg *below) {
    *above = line_less(e, elem, b, a);
    *below = line_less(e, elem, a, b);
    if (!elem_is_float(elem)) return;
    Reg nan_a = em_compare(e, CMP_NE, a, a), nan_b = em_compare(e, CMP_NE, b, b);
    *above = em_or(e, *above, em_and(e, nan_a, em_not(e, nan_b)));
    *below = em_or(e, *below, em_and(e, nan_b, em_not(e, nan_a)));
}

static Reg comes_before(const Heap *h, Item a, Item b) {
    Emit *e = h->em;
    Reg above, below;
    compare(e, h->elem, a.value, b.value, &above, &below);
    Reg equal = em_not(e, em_or(e, above, below)), first = em_compare(e, CMP_LT, a.place, b.place);
    return em_or(e, h->largest ? above : below, em_and(e, equal, first));
}

/* ---- the heap: values, then places, eight bytes each ----------------------------------------------------------- */

static Reg value_at(const Heap *h, Reg i) {
    return em_at_reg(h->em, h->k->scratch, em_mul(h->em, i, em_i64(h->em, 8)));
}

static Item heap_load(const Heap *h, Reg i) {
    Reg at = value_at(h, i);
    return (Item){em_load(h->em, em_elem_type(h->em, h->elem), at, 8),
                  em_load(h->em, h->em->i64, em_at(h->em, at, 8 * h->size), 8)};
}

static void heap_store(const Heap *h, Reg i, Item x) {
    Reg at = value_at(h, i);
    em_store(h->em, x.value, at, 8);
    em_store(h->em, x.place, em_at(h->em, at, 8 * h->size), 8);
}

/* Puts x where `at` is, after moving up what comes later: as often as the heap has levels. */
static void sift_down(const Heap *h, Item x, Reg at, Reg size) {
    Emit *e = h->em;
    Reg one = em_i64(e, 1);
    int levels = 0;
    while ((int64_t)1 << levels < h->size + 1) levels++;
    Loop l = em_loop(e, 0, levels, 1, 1, &at);
    Reg left = em_add(e, em_shl(e, at, one), one), right = em_add(e, left, one);
    If inside = em_if(e, em_compare(e, CMP_LT, left, size), 1, &at);
    Reg two = em_compare(e, CMP_LT, right, size), other = em_select(e, two, right, left);
    Item p = heap_load(h, left), q = heap_load(h, other);
    Reg later = comes_before(h, p, q), child = em_select(e, later, other, left);
    Item worst = {em_select(e, later, q.value, p.value), em_select(e, later, q.place, p.place)};
    If up = em_if(e, comes_before(h, x, worst), 1, &at);
    heap_store(h, at, worst);
    at = child;
    em_if_end(e, &up);
    em_if_end(e, &inside);
    em_loop_end(e, &l);
    heap_store(h, at, x);
}

/* ---- a line ---------------------------------------------------------------------------------------------------- */

static Item element(const Heap *h, Reg line, int axis, Reg i) {
    return (Item){line_load(h->k, line, axis, i, h->elem), i};
}

static void fill(const Heap *h, Reg line, int axis) {
    Emit *e = h->em;
    Loop first = em_loop(e, 0, h->size, 1, 0, NULL);
    heap_store(h, first.i, element(h, line, axis, first.i));
    em_loop_end(e, &first);
    if (h->size < 2) return;
    Loop order = em_loop(e, 0, h->size / 2, 1, 0, NULL);
    Reg at = em_sub(e, em_i64(e, h->size / 2 - 1), order.i);
    sift_down(h, heap_load(h, at), at, em_i64(e, h->size));
    em_loop_end(e, &order);
}

static void take_better(const Heap *h, Reg line, int axis) {
    Emit *e = h->em;
    Reg root = em_i64(e, 0);
    Loop rest = em_loop(e, h->size, h->k->in[0].shape.dim[axis], 1, 0, NULL);
    Item x = element(h, line, axis, rest.i);
    If better = em_if(e, comes_before(h, x, heap_load(h, root)), 0, NULL);
    sift_down(h, x, root, em_i64(e, h->size));
    em_if_end(e, &better);
    em_loop_end(e, &rest);
}

static void write_out(const Heap *h, const Index *line, int axis) {
    Emit *e = h->em;
    const Node *n = h->k->node;
    const Place *values = &h->k->out[0], *places = &h->k->out[1];
    Index idx[MAX_RANK];
    for (int d = 0; d < h->k->in[0].shape.rank; d++) idx[d] = line[d];
    Loop l = em_loop(e, 0, h->size, 1, 0, NULL);
    Reg root = em_i64(e, 0), last = em_sub(e, em_i64(e, h->size - 1), l.i);
    Item x = heap_load(h, root);
    idx[axis] = index_reg(last);
    if (n->out[0]) {
        Elem elem = h->k->in[0].elem;
        Reg v = em_to_mem(e, elem, line_convert(e, h->elem, elem, x.value));
        em_store(e, v, place_address(e, values, idx), elem_bytes(elem));
    }
    if (n->n_out > 1 && n->out[1]) em_store(e, x.place, place_address(e, places, idx), 8);
    sift_down(h, heap_load(h, last), root, last);
    em_loop_end(e, &l);
}

static int64_t kept(const Node *n, int axis) {
    const Value *out = n->out[0] ? n->out[0] : n->out[1];
    return out->type.shape.dim[axis];
}

bool plan_top_k(KernelPlan *p) {
    Pack pack;
    int64_t k = kept(p->node, line_axis(p->arena, p->node, &pack));
    if (k > INT32_MAX) return false;
    p->scratch_bytes = 16 * k;
    return plan_line(p, 12);
}

void emit_top_k(KernelEmit *k) {
    Pack pack;
    const Place *in = &k->in[0];
    int axis = line_axis(k->em->arena, k->node, &pack);
    Heap h = {.k = k, .em = k->em, .elem = line_elem(in->elem), .largest = pack.ints.at[1] != 0};
    h.size = kept(k->node, axis);
    Lines l = lines_open(k, &in->shape, 1u << axis);
    Reg line = place_address(k->em, in, l.idx);
    fill(&h, line, axis);
    take_better(&h, line, axis);
    write_out(&h, l.idx, axis);
    lines_close(k, &l);
}
