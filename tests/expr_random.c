#include "tests/expr_random.h"

#include "runtime/ref/ref.h"

#include <math.h>
#include <string.h>

/* xorshift64* */
uint64_t random_bits(uint64_t *seed) {
    uint64_t s = *seed ? *seed : 1;
    s ^= s >> 12;
    s ^= s << 25;
    s ^= s >> 27;
    *seed = s;
    return s * 0x2545f4914f6cdd1du;
}

int random_below(uint64_t *seed, int n) { return (int)(random_bits(seed) >> 33) % n; }

/* ---- values -------------------------------------------------------------------------------------------------- */

static double random_float(uint64_t *seed) {
    static const double special[] = {0,   -0.0, 1,        -1,        0.5, INFINITY, -INFINITY, NAN,  0x1p31,
                                     255, -129, 0x1p-149, -0x1p-140, 3e9, 1e10,     -1e20,     -0.3, 0x1.fffffep127};
    double v = (double)(int64_t)random_bits(seed) * 0x1p-63;
    switch (random_below(seed, 6)) {
    case 0:
        return special[random_below(seed, COUNT_OF(special))];
    case 1:
        return ldexp(v, random_below(seed, 280) - 140);
    case 2:
        return trunc(v * 300);
    default:
        return v * 10;
    }
}

static int64_t random_int(uint64_t *seed) {
    switch (random_below(seed, 4)) {
    case 0:
        return random_below(seed, 7) - 3;
    case 1:
        return (int64_t)(((uint64_t)1 << random_below(seed, 64)) - (uint64_t)random_below(seed, 2));
    default:
        return (int64_t)random_bits(seed) >> random_below(seed, 64);
    }
}

void random_elems(uint64_t *seed, Elem elem, int64_t n, void *data) {
    RefTensor t = {.data = data, .elem = (int32_t)elem};
    for (int64_t i = 0; i < n; i++) {
        if (elem_is_float(elem)) {
            ref_store(&t, i, random_float(seed));
        } else {
            ref_store_int(&t, i, elem == QCC_BOOL ? random_below(seed, 2) : random_int(seed));
        }
    }
}

int64_t elems_differ(Elem elem, int64_t n, const void *p, const void *q) {
    RefTensor tp = {.data = (void *)(uintptr_t)p, .elem = (int32_t)elem};
    RefTensor tq = {.data = (void *)(uintptr_t)q, .elem = (int32_t)elem};
    size_t bytes = (size_t)elem_bytes(elem);
    for (int64_t i = 0; i < n; i++) {
        if (memcmp((const char *)p + (size_t)i * bytes, (const char *)q + (size_t)i * bytes, bytes) == 0) continue;
        if (elem_is_float(elem) && isnan(ref_load(&tp, i)) && isnan(ref_load(&tq, i))) continue;
        return i;
    }
    return -1;
}

/* ---- programs ------------------------------------------------------------------------------------------------ */

static const Elem all_elems[] = {QCC_F32, QCC_F32, QCC_F32, QCC_F64,  QCC_I32, QCC_I64, QCC_I8,
                                 QCC_U8,  QCC_I16, QCC_U16, QCC_U32,  QCC_U64, QCC_F16, QCC_BF16,
                                 QCC_I4,  QCC_U4,  QCC_I2,  QCC_BOOL, QCC_U2};

typedef struct Draw {
    ExprBuilder b; /* only its list is used: nothing is shared or folded */
    uint64_t *seed;
    Elem plain;
} Draw;

static Elem draw_elem(Draw *d) { return d->plain ? d->plain : all_elems[random_below(d->seed, COUNT_OF(all_elems))]; }

static X write_down(Draw *d, XInst i) {
    vec_push(d->b.arena, &d->b.inst, i);
    return (X)d->b.inst.n - 1;
}

static X draw_const(Draw *d, Elem elem) {
    uint64_t room = 0;
    random_elems(d->seed, elem, 1, &room);
    RefTensor t = {.data = &room, .elem = (int32_t)elem};
    XInst i = {.op = X_CONST, .elem = elem};
    if (elem_is_float(elem)) {
        i.k.f = ref_load(&t, 0);
    } else {
        i.k.i = ref_load_int(&t, 0);
    }
    return write_down(d, i);
}

/* An earlier value of the type, rather a late one; a constant where there is none. */
static X draw_operand(Draw *d, Elem elem) {
    int n = (int)d->b.inst.n;
    for (int tries = 0; tries < 8; tries++) {
        X p = n - 1 - random_below(d->seed, tries < 4 && n > 6 ? 6 : n);
        if (x_elem(&d->b, p) == elem) return p;
    }
    return draw_const(d, elem);
}

/* The bits of a NaN mean nothing, so that it is taken out first. */
static X without_nan(Draw *d, X p) {
    Elem elem = x_elem(&d->b, p);
    X ordered = write_down(d, (XInst){.op = X_EQ, .elem = QCC_BOOL, .a = p, .b = p});
    X zero = write_down(d, (XInst){.op = X_CONST, .elem = elem});
    return write_down(d, (XInst){.op = X_SELECT, .elem = elem, .a = ordered, .b = p, .c = zero});
}

static void draw_bitcast(Draw *d, X p) {
    Elem from = x_elem(&d->b, p);
    bool real = from == QCC_F32 || from == QCC_F64;
    for (size_t k = 0; k < COUNT_OF(all_elems); k++) {
        XInst i = {.op = X_BITCAST, .elem = all_elems[k], .a = p};
        bool half = from == QCC_F16 || from == QCC_BF16 || i.elem == QCC_F16 || i.elem == QCC_BF16;
        if (i.elem == from || half || x_check(&d->b, &i)) continue;
        if (real) i.a = without_nan(d, p);
        write_down(d, i);
        return;
    }
}

/* One instruction on a value drawn before, if it takes that type. */
static void draw_instruction(Draw *d) {
    X p = (X)d->b.inst.n - 1 - random_below(d->seed, d->b.inst.n < 8 ? (int)d->b.inst.n : 8);
    Elem elem = x_elem(&d->b, p);
    XOp op = X_ADD + (XOp)random_below(d->seed, X_OP_COUNT - X_ADD);
    XInst i = {.op = op, .elem = elem, .a = p};
    if (op == X_BITCAST) {
        draw_bitcast(d, p);
        return;
    }
    if (op == X_CAST) i.elem = draw_elem(d);
    if (op == X_SELECT) {
        i.a = draw_operand(d, QCC_BOOL);
        i.b = p;
        i.c = draw_operand(d, elem);
    } else if (x_op_info[op].n == 2) {
        i.b = draw_operand(d, elem);
        if (random_below(d->seed, 2)) i.a = i.b, i.b = p;
        if (x_op_info[op].result == 'B') i.elem = QCC_BOOL;
    }
    if (!x_check(&d->b, &i)) write_down(d, i);
}

const Expr *random_expr(Arena *a, uint64_t *seed, int n, Elem plain) {
    Draw d = {.b = {.arena = a}, .seed = seed, .plain = plain};
    int n_in = 1 + random_below(seed, 4);
    for (int k = 0; k < n_in; k++) write_down(&d, (XInst){.op = X_INPUT, .elem = draw_elem(&d), .k.i = k});
    while ((int)d.b.inst.n < n) draw_instruction(&d);
    return x_finish(&d.b, (X)d.b.inst.n - 1, n_in);
}

Elem expr_input_elem(const Expr *e, int input) {
    for (int k = 0; k < e->n; k++) {
        if (e->inst[k].op == X_INPUT && e->inst[k].k.i == input) return e->inst[k].elem;
    }
    return (Elem)0;
}

const char *expr_str(Arena *a, const Expr *e) {
    Text t = {.arena = a};
    for (int k = 0; k < e->n; k++) {
        const XInst *i = &e->inst[k];
        text_add(&t, "  %d = %s %s", k, x_op_info[i->op].name, elem_info[i->elem].name);
        int from[] = {i->a, i->b, i->c};
        for (int o = 0; o < x_op_info[i->op].n; o++) text_add(&t, " %d", from[o]);
        if (i->op == X_INPUT || (i->op == X_CONST && !elem_is_float(i->elem))) text_add(&t, " %lld", (long long)i->k.i);
        if (i->op == X_CONST && elem_is_float(i->elem)) text_add(&t, " %a", i->k.f);
        text_add(&t, "\n");
    }
    return t.s;
}
