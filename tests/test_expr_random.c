/* Random programs, three ways: by the interpreter as drawn; by the interpreter after the builder has shared, folded and
 * simplified them; and one element at a time in 128-bit integers and doubles, as ir/expr.def defines each instruction.
 */
#include "tests/expr_random.h"

#include "runtime/ref/ref.h"
#include "tests/support.h"

#include <math.h>
#include <string.h>

enum { PROGRAMS = 3000, ELEMS = 300 };

__extension__ typedef __int128 Big;
__extension__ typedef unsigned __int128 BigBits;

/* ---- the definition ------------------------------------------------------------------------------------------ */

/* f where the type is a float, i otherwise. */
typedef struct Value1 {
    double f;
    Big i;
} Value1;

static Big wrapped(Elem elem, Big v) {
    if (elem == QCC_BOOL) return v != 0;
    int bits = elem_info[elem].bits;
    Big span = (Big)1 << bits, low = ((v % span) + span) % span;
    return elem_info[elem].kind == ELEM_I && low >= span / 2 ? low - span : low;
}

static Value1 loaded(Elem elem, const void *bytes, int64_t at) {
    RefTensor t = {.data = (void *)(uintptr_t)bytes, .elem = (int32_t)elem};
    if (elem_is_float(elem)) return (Value1){.f = ref_load(&t, at)};
    return (Value1){.i = wrapped(elem, ref_load_int(&t, at))};
}

static void store(Elem elem, void *bytes, int64_t at, Value1 v) {
    RefTensor t = {.data = bytes, .elem = (int32_t)elem};
    if (elem_is_float(elem)) {
        ref_store(&t, at, v.f);
    } else {
        ref_store_int(&t, at, (int64_t)v.i);
    }
}

static Big whole_of(double v, Elem to) {
    if (isnan(v)) return 0;
    bool wide = elem_info[to].bits == 64, keeps_upper = to == QCC_U32 || to == QCC_U64;
    double half = wide ? 0x1p63 : 0x1p31, most = keeps_upper ? 2 * half : half;
    if (v >= most) return (Big)most - 1;
    return v <= -half ? -(Big)half : (Big)trunc(v);
}

static Value1 convert(Elem from, Elem to, Value1 v) {
    if (to == QCC_BOOL) return (Value1){.i = elem_is_float(from) ? v.f != 0 : v.i != 0};
    if (!elem_is_float(to)) return (Value1){.i = wrapped(to, elem_is_float(from) ? whole_of(v.f, to) : v.i)};
    double f = elem_is_float(from) ? v.f : to == QCC_F32 ? (double)(float)v.i : (double)v.i;
    uint64_t room = 0;
    store(to, &room, 0, (Value1){.f = f});
    return loaded(to, &room, 0);
}

static double real_result(XOp op, double a, double b) {
    switch (op) {
    case X_ADD:
        return a + b;
    case X_SUB:
        return a - b;
    case X_MUL:
        return a * b;
    case X_DIV:
        return a / b;
    case X_REM:
        return fmod(a, b);
    case X_MIN:
        return a < b ? a : b;
    case X_MAX:
        return a > b ? a : b;
    case X_NEG:
        return -a;
    case X_ABS:
        return fabs(a);
    case X_SQRT:
        return sqrt(a);
    case X_FLOOR:
        return floor(a);
    case X_CEIL:
        return ceil(a);
    case X_TRUNC:
        return trunc(a);
    case X_RINT:
        return nearbyint(a);
    default:
        fail_msg("%s of floats", x_op_info[op].name);
        return 0;
    }
}

static Big shifted(XOp op, Elem elem, Big a, Big b) {
    int bits = elem_info[elem].bits;
    bool too_far = b < 0 || b >= bits;
    if (op == X_SHL) return too_far ? 0 : a * ((Big)1 << (int)b); /* a may be negative */
    return too_far ? (a < 0 ? -1 : 0) : a >> (int)b;
}

static Big whole_result(XOp op, Elem elem, Big a, Big b) {
    switch (op) {
    case X_ADD:
        return a + b;
    case X_SUB:
        return a - b;
    case X_MUL:
        return (Big)((BigBits)a * (BigBits)b);
    case X_DIV:
        return b ? a / b : 0;
    case X_REM:
        return b ? a % b : 0;
    case X_MIN:
        return a < b ? a : b;
    case X_MAX:
        return a > b ? a : b;
    case X_NEG:
        return -a;
    case X_ABS:
        return a < 0 ? -a : a;
    case X_AND:
        return a & b;
    case X_OR:
        return a | b;
    case X_XOR:
        return a ^ b;
    default:
        return shifted(op, elem, a, b);
    }
}

static bool compared(XOp op, bool real, Value1 a, Value1 b) {
    if (op == X_EQ) return real ? a.f == b.f : a.i == b.i;
    if (op == X_LT) return real ? a.f < b.f : a.i < b.i;
    return real ? a.f <= b.f : a.i <= b.i;
}

static Value1 step(const Expr *e, int k, const Value1 *v, const void *const *in, int64_t at) {
    const XInst *i = &e->inst[k];
    uint64_t room = 0;
    Elem from = e->inst[i->a].elem;
    switch (i->op) {
    case X_INPUT:
        return loaded(i->elem, in[i->k.i], at);
    case X_CONST:
        return elem_is_float(i->elem) ? (Value1){.f = i->k.f} : (Value1){.i = wrapped(i->elem, i->k.i)};
    case X_SELECT:
        return v[i->a].i ? v[i->b] : v[i->c];
    case X_CAST:
        return convert(from, i->elem, v[i->a]);
    case X_BITCAST:
        store(from, &room, 0, v[i->a]);
        return loaded(i->elem, &room, 0);
    default:
        break;
    }
    Value1 a = v[i->a], b = v[i->b];
    bool real = elem_is_float(from);
    if (x_op_info[i->op].result == 'B') return (Value1){.i = compared(i->op, real, a, b)};
    if (!real) return (Value1){.i = wrapped(i->elem, whole_result(i->op, i->elem, a.i, b.i))};
    double r = real_result(i->op, a.f, b.f); /* an f32 result of doubles, rounded again, is the f32 result */
    return (Value1){.f = from == QCC_F32 ? (double)(float)r : r};
}

static void run_by_definition(Arena *a, const Expr *e, const void *const *in, void *out) {
    Value1 *v = NEW_ARRAY(a, Value1, e->n);
    for (int64_t at = 0; at < ELEMS; at++) {
        for (int k = 0; k < e->n; k++) v[k] = step(e, k, v, in, at);
        store(e->inst[e->n - 1].elem, out, at, v[e->n - 1]);
    }
}

/* ---- tests --------------------------------------------------------------------------------------------------- */

static const Expr *rebuilt(Arena *a, const Expr *e) {
    ExprBuilder b = {.arena = a};
    X *args = NEW_ARRAY(a, X, e->n_in);
    for (int k = 0; k < e->n_in; k++) args[k] = expr_input_elem(e, k) ? x_in(&b, k, expr_input_elem(e, k)) : -1;
    return x_finish(&b, x_inline(&b, e, args), e->n_in);
}

static void check_program(uint64_t seed, Elem plain) {
    Arena a = {0};
    uint64_t s = seed;
    const Expr *e = random_expr(&a, &s, 3 + random_below(&s, 30), plain), *simple = rebuilt(&a, e);
    const void **in = NEW_ARRAY(&a, const void *, e->n_in);
    for (int k = 0; k < e->n_in; k++) {
        uint64_t *data = NEW_ARRAY(&a, uint64_t, ELEMS);
        if (expr_input_elem(e, k)) random_elems(&s, expr_input_elem(e, k), ELEMS, data);
        in[k] = data;
    }
    Elem elem = e->inst[e->n - 1].elem;
    void *drawn = NEW_ARRAY(&a, uint64_t, ELEMS), *built = NEW_ARRAY(&a, uint64_t, ELEMS);
    void *defined = NEW_ARRAY(&a, uint64_t, ELEMS);
    expr_run(e, ELEMS, in, drawn);
    expr_run(simple, ELEMS, in, built);
    run_by_definition(&a, e, in, defined);
    int64_t wrong = elems_differ(elem, ELEMS, drawn, defined), changed = elems_differ(elem, ELEMS, drawn, built);
    if (wrong >= 0) fail_msg("seed %llu, element %d\n%s", (unsigned long long)seed, (int)wrong, expr_str(&a, e));
    if (changed >= 0) {
        fail_msg("seed %llu, element %d\n%ssimplified\n%s", (unsigned long long)seed, (int)changed, expr_str(&a, e),
                 expr_str(&a, simple));
    }
    arena_free(&a);
}

static void programs_mean_what_is_defined(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= PROGRAMS; seed++) check_program(seed * 7919, (Elem)0);
}

static void programs_of_one_type(void **state) {
    (void)state;
    static const Elem elems[] = {QCC_F32, QCC_F64, QCC_I8, QCC_U8, QCC_I32, QCC_U32, QCC_I64, QCC_U64};
    for (uint64_t seed = 1; seed <= PROGRAMS; seed++) check_program(seed * 104729, elems[seed % COUNT_OF(elems)]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(programs_mean_what_is_defined),
        cmocka_unit_test(programs_of_one_type),
    };
    return TEST_RUN(tests);
}
