/* Reductions and scans. Floats are summed and multiplied in f64 and rounded once, integers wrap. A NaN is the maximum
 * and the minimum of what it is among, but ArgMax and ArgMin pass over it unless there is nothing else. */
#include "runtime/ref/row.h"

RefFn ref_ReduceSum, ref_ReduceProd, ref_ReduceMax, ref_ReduceMin, ref_ArgMax, ref_ArgMin, ref_CumSum, ref_CumProd;

/* ---- comparing elements of any type ---------------------------------------------------------------------------- */

static bool is_nan(const RefTensor *t, int64_t i) {
    if (!ref_is_float(t->elem)) return false;
    double v = ref_load(t, i);
    return v != v;
}

/* Whether element i is less than element j; a NaN is neither less nor greater. */
static bool less(const RefTensor *t, int64_t i, int64_t j) {
    if (ref_is_float(t->elem)) return ref_load(t, i) < ref_load(t, j);
    if (t->elem == QCC_U64) return (uint64_t)ref_load_int(t, i) < (uint64_t)ref_load_int(t, j);
    return ref_load_int(t, i) < ref_load_int(t, j);
}

/* Whether element i takes the place of `best` as the maximum (minimum). */
static bool beats(const RefTensor *t, int64_t i, int64_t best, bool max) {
    if (is_nan(t, best)) return !is_nan(t, i);
    return max ? less(t, best, i) : less(t, i, best);
}

/* ---- ReduceSum, ReduceProd, ReduceMax, ReduceMin. ints: for each axis of operand 0, whether it is reduced
 * ------------- */

/* The axes in two groups, each walked in row-major order. */
typedef struct Walk {
    int n;
    int64_t size[REF_MAX_RANK], stride[REF_MAX_RANK], at[REF_MAX_RANK];
    int64_t offset, count; /* of the present element; of elements in all */
} Walk;

static Walk open_walk(const RefTensor *x, const int64_t *reduced, bool wanted) {
    Walk w = {.count = 1};
    int64_t stride[REF_MAX_RANK], step = 1;
    for (int i = x->rank - 1; i >= 0; i--) {
        stride[i] = step;
        step *= x->dim[i];
    }
    for (int i = 0; i < x->rank; i++) {
        if ((reduced[i] != 0) != wanted) continue;
        w.size[w.n] = x->dim[i];
        w.stride[w.n++] = stride[i];
        w.count *= x->dim[i];
    }
    return w;
}

static void walk_next(Walk *w) {
    for (int i = w->n - 1; i >= 0; i--) {
        w->offset += w->stride[i];
        if (++w->at[i] < w->size[i]) return;
        w->offset -= w->stride[i] * w->size[i];
        w->at[i] = 0;
    }
}

/* Reduces what `over` walks through, from element `base` on, to element `to` of y. */
typedef void Fold(const RefTensor *x, int64_t base, Walk *over, const RefTensor *y, int64_t to);

static int reduce(const RefArgs *a, Fold *fold) {
    const RefTensor *x = &a->in[0];
    Walk kept = open_walk(x, a->ints, false), over = open_walk(x, a->ints, true);
    for (int64_t i = 0; i < kept.count; i++) {
        fold(x, kept.offset, &over, &a->out[0], i);
        walk_next(&kept);
    }
    return REF_OK;
}

static void sum(const RefTensor *x, int64_t base, Walk *over, const RefTensor *y, int64_t to) {
    double f = 0;
    uint64_t u = 0;
    bool real = ref_is_float(x->elem);
    for (int64_t i = 0; i < over->count; i++, walk_next(over)) {
        if (real)
            f += ref_load(x, base + over->offset);
        else
            u += (uint64_t)ref_load_int(x, base + over->offset);
    }
    if (real)
        ref_store(y, to, f);
    else
        ref_store_int(y, to, (int64_t)u);
}

static void product(const RefTensor *x, int64_t base, Walk *over, const RefTensor *y, int64_t to) {
    double f = 1;
    uint64_t u = 1;
    bool real = ref_is_float(x->elem);
    for (int64_t i = 0; i < over->count; i++, walk_next(over)) {
        if (real)
            f *= ref_load(x, base + over->offset);
        else
            u *= (uint64_t)ref_load_int(x, base + over->offset);
    }
    if (real)
        ref_store(y, to, f);
    else
        ref_store_int(y, to, (int64_t)u);
}

/* The neutral element of a maximum (minimum): what an empty set gives. */
static void store_neutral(const RefTensor *y, int64_t i, bool max) {
    if (ref_is_float(y->elem)) {
        ref_store(y, i, max ? -__builtin_inf() : __builtin_inf());
        return;
    }
    int bits = y->elem == QCC_BOOL ? 1 : 8 * ref_elem_bytes(y->elem);
    bool is_signed = y->elem == QCC_I8 || y->elem == QCC_I16 || y->elem == QCC_I32 || y->elem == QCC_I64;
    uint64_t top = (uint64_t)1 << (bits - 1), largest = is_signed ? top - 1 : top | (top - 1);
    uint64_t least = is_signed ? 0 - top : 0;
    ref_store_int(y, i, (int64_t)(max ? least : largest));
}

static void extreme(const RefTensor *x, int64_t base, Walk *over, const RefTensor *y, int64_t to, bool max) {
    if (over->count == 0) {
        store_neutral(y, to, max);
        return;
    }
    int64_t best = base + over->offset;
    for (int64_t i = 0; i < over->count; i++, walk_next(over))
        if (is_nan(x, base + over->offset) || (!is_nan(x, best) && beats(x, base + over->offset, best, max)))
            best = base + over->offset;
    if (ref_is_float(x->elem))
        ref_store(y, to, ref_load(x, best));
    else
        ref_store_int(y, to, ref_load_int(x, best));
}

static void maximum(const RefTensor *x, int64_t base, Walk *over, const RefTensor *y, int64_t to) {
    extreme(x, base, over, y, to, true);
}

static void minimum(const RefTensor *x, int64_t base, Walk *over, const RefTensor *y, int64_t to) {
    extreme(x, base, over, y, to, false);
}

int ref_ReduceSum(const RefArgs *a) { return reduce(a, sum); }
int ref_ReduceProd(const RefArgs *a) { return reduce(a, product); }
int ref_ReduceMax(const RefArgs *a) { return reduce(a, maximum); }
int ref_ReduceMin(const RefArgs *a) { return reduce(a, minimum); }

/* ---- lines along one axis -------------------------------------------------------------------------------------- */

/* Line number i along `axis`: its first element, the distance of neighbours, and how many there are. */
typedef struct Line {
    int64_t first, step, n;
} Line;

static int64_t count_lines(const RefTensor *x, int axis) {
    int64_t n = 1;
    for (int i = 0; i < x->rank; i++) n *= i == axis ? 1 : x->dim[i];
    return n;
}

static Line line_at(const RefTensor *x, int axis, int64_t i) {
    int64_t inner = 1;
    for (int k = axis + 1; k < x->rank; k++) inner *= x->dim[k];
    return (Line){i / inner * inner * x->dim[axis] + i % inner, inner, x->dim[axis]};
}

/* ints: axis, and whether the last of equals is wanted. */
static int find_extreme(const RefArgs *a, bool max) {
    const RefTensor *x = &a->in[0];
    int axis = (int)a->ints[0];
    int64_t lines = count_lines(x, axis);
    for (int64_t i = 0; i < lines; i++) {
        Line line = line_at(x, axis, i);
        int64_t best = 0;
        for (int64_t k = 1; k < line.n; k++) {
            int64_t here = line.first + k * line.step, there = line.first + best * line.step;
            bool ties = a->ints[1] && !is_nan(x, here) && !beats(x, there, here, max);
            if (beats(x, here, there, max) || ties) best = k;
        }
        ref_store_int(&a->out[0], i, best);
    }
    return REF_OK;
}

int ref_ArgMax(const RefArgs *a) { return find_extreme(a, true); }
int ref_ArgMin(const RefArgs *a) { return find_extreme(a, false); }

/* ints: axis, exclusive, reverse. */
static int scan(const RefArgs *a, bool multiply) {
    const RefTensor *x = &a->in[0], *y = &a->out[0];
    int axis = (int)a->ints[0];
    bool exclusive = a->ints[1] != 0, reverse = a->ints[2] != 0, real = ref_is_float(x->elem);
    int64_t lines = ref_count(x) ? count_lines(x, axis) : 0;
    for (int64_t i = 0; i < lines; i++) {
        Line line = line_at(x, axis, i);
        double f = multiply;
        uint64_t u = multiply;
        for (int64_t k = 0; k < line.n; k++) {
            int64_t at = line.first + (reverse ? line.n - 1 - k : k) * line.step;
            double f_next = real ? multiply ? f * ref_load(x, at) : f + ref_load(x, at) : 0;
            uint64_t v = real ? 0 : (uint64_t)ref_load_int(x, at), u_next = multiply ? u * v : u + v;
            if (real)
                ref_store(y, at, exclusive ? f : f_next);
            else
                ref_store_int(y, at, (int64_t)(exclusive ? u : u_next));
            f = f_next;
            u = u_next;
        }
    }
    return REF_OK;
}

int ref_CumSum(const RefArgs *a) { return scan(a, false); }
int ref_CumProd(const RefArgs *a) { return scan(a, true); }
