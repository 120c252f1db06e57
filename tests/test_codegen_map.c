/* Random element-wise programs, compiled for every x86 level and run, must give the evaluator's bits: every instruction
 * at every type, broadcasting, odd lengths, strided operands, overwritten operands. */
#include "ir/expr.h"
#include "ir/op.h"
#include "tests/codegen_support.h"
#include "tests/support.h"

static const Elem elems[] = {QCC_F32, QCC_F64, QCC_I64,  QCC_I32,  QCC_I16, QCC_I8, QCC_U8, QCC_U16, QCC_U32,
                             QCC_U64, QCC_F16, QCC_BF16, QCC_BOOL, QCC_I4,  QCC_U4, QCC_I2, QCC_U2};

static const char *const cpus[] = {NULL, "x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4"};

static bool host_runs(const char *cpu) {
#if defined(__x86_64__)
    if (!cpu) return true;
    if (cpu[6] == 0) return true;
    return cpu[8] == '2'   ? __builtin_cpu_supports("sse4.2") != 0
           : cpu[8] == '3' ? __builtin_cpu_supports("avx2") != 0
                           : __builtin_cpu_supports("avx512bw") != 0;
#else
    return cpu == NULL;
#endif
}

static bool computes(Elem e) { return e != QCC_F16 && e != QCC_BF16; }

/* An instruction of the builder of a type that `want` accepts, from `n` on backwards at random. */
static X pick(ExprBuilder *b, Random *r, bool (*want)(Elem e)) {
    for (int tries = 0; tries < 50; tries++) {
        X x = (X)random_int(r, 0, (int64_t)b->inst.n - 1);
        if (want(x_elem(b, x))) return x;
    }
    return -1;
}
static bool any_number(Elem e) { return computes(e); }
static bool any_float(Elem e) { return e == QCC_F32 || e == QCC_F64; }
static bool any_int(Elem e) { return elem_is_int(e); }
static bool any(Elem e) { return e != 0; }
static bool is_bool(Elem e) { return e == QCC_BOOL; }

static bool int_or_bool(Elem e) { return elem_is_int(e) || e == QCC_BOOL; }

/* Half types meet the others through f32 only. */
static X cast(ExprBuilder *b, Elem to, X x) {
    bool direct = x_elem(b, x) == to || (computes(to) && computes(x_elem(b, x)));
    return x_cast(b, to, direct ? x : x_cast(b, QCC_F32, x));
}

/* The instruction, or -1 if it does not take the type. */
static X checked(ExprBuilder *b, XOp op, X p, X q) {
    bool compare = op == X_EQ || op == X_LT || op == X_LE;
    XInst i = {.op = op, .elem = compare ? QCC_BOOL : x_elem(b, p), .a = p, .b = q};
    if (x_check(b, &i)) return -1;
    return x_op_info[op].n == 1 ? x_1(b, op, p) : x_2(b, op, p, q);
}

static X binary(ExprBuilder *b, Random *r, XOp op, bool (*want)(Elem)) {
    X p = pick(b, r, want);
    if (p < 0) return -1;
    X q = random_int(r, 0, 3) ? cast(b, x_elem(b, p), pick(b, r, any)) : p;
    return checked(b, op, p, q);
}

static X one_instruction(ExprBuilder *b, Random *r) {
    static const XOp rounding[] = {X_SQRT, X_FLOOR, X_CEIL, X_TRUNC, X_RINT};
    static const XOp numeric[] = {X_ADD, X_SUB, X_MUL, X_DIV, X_REM, X_MIN, X_MAX};
    X p;
    switch (random_int(r, 0, 9)) {
    case 0:
        p = pick(b, r, any_float);
        return p < 0 ? -1 : checked(b, rounding[random_int(r, 0, 4)], p, 0);
    case 1:
        p = pick(b, r, any_number);
        return p < 0 ? -1 : checked(b, random_int(r, 0, 1) ? X_NEG : X_ABS, p, 0);
    case 2:
        return binary(b, r, (XOp)(X_AND + random_int(r, 0, 2)), int_or_bool);
    case 3:
        return binary(b, r, random_int(r, 0, 1) ? X_SHL : X_SHR, any_int);
    case 4:
        return binary(b, r, (XOp)(X_EQ + random_int(r, 0, 2)), any_number);
    case 5: {
        X c = pick(b, r, is_bool);
        p = pick(b, r, any);
        return c < 0 ? -1 : x_select(b, c, p, cast(b, x_elem(b, p), pick(b, r, any)));
    }
    case 6:
    case 7:
        return cast(b, elems[random_int(r, 0, (int64_t)COUNT_OF(elems) - 1)], pick(b, r, any));
    case 8:
        return x_const(b, random_int(r, 0, 1) ? QCC_F32 : QCC_F64, (double)random_int(r, -40, 40) * 0.25);
    default:
        return binary(b, r, numeric[random_int(r, 0, 6)], any_number);
    }
}

static Shape random_shape(Random *r) {
    static const int64_t dims[] = {1, 2, 3, 5, 7, 16, 17, 33};
    Shape s = {.rank = (int)random_int(r, 0, 4)};
    for (int d = 0; d < s.rank; d++) s.dim[d] = dims[random_int(r, 0, 7)];
    return s;
}

/* A shape that broadcasts to `s`. */
static Shape narrower(Random *r, const Shape *s) {
    Shape n = {0};
    int drop = (int)random_int(r, 0, s->rank);
    if (random_int(r, 0, 2)) drop = 0;
    for (int d = drop; d < s->rank; d++) n.dim[n.rank++] = random_int(r, 0, 3) ? s->dim[d] : 1;
    return n;
}

static Graph *random_graph(Arena *a, Random *r, const Tensor **in) {
    Graph *g = graph_new(a, NULL, "random");
    ExprBuilder b = {.arena = a};
    Shape whole = random_shape(r);
    int n_in = (int)random_int(r, 1, 3);
    Value *v[3];
    for (int i = 0; i < n_in; i++) {
        Elem e =
            random_int(r, 0, 1) ? elems[random_int(r, 0, 2)] : elems[random_int(r, 0, (int64_t)COUNT_OF(elems) - 1)];
        Type t = {e, i ? narrower(r, &whole) : whole};
        v[i] = graph_input(g, arena_printf(a, "in%d", i), t);
        in[i] = random_tensor(a, r, t, false);
        x_in(&b, i, e);
    }
    X last = 0;
    for (int64_t n = random_int(r, 1, 12); n > 0; n--) {
        X x = one_instruction(&b, r);
        if (x >= 0) last = x;
    }
    Node *m = graph_node(g, NULL, OP_Map, LOC_NONE, n_in, v, 1);
    m->out[0]->type = (Type){x_elem(&b, last), whole};
    m->expr = x_finish(&b, last, n_in);
    graph_output(g, "out", m->out[0]);
    return g;
}

static void compiled_programs_give_the_evaluators_bits(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) {
        Arena a = {0};
        Random r = {seed};
        const Tensor *in[3];
        Graph *g = random_graph(&a, &r, in);
        CodegenOptions o = test_options;
        o.cpu = cpus[seed % COUNT_OF(cpus)];
        if (!host_runs(o.cpu)) o.cpu = NULL;
        o.level = (int)(seed / 5 % 4);
        print_message("seed %llu\n", (unsigned long long)seed);
        check_graph(&a, g, in, &o, 0);
        arena_free(&a);
    }
}

/* A transposed operand is read in tiles, others beside it in rows, however many there are. */
static void many_operands_beside_a_transposed_one(void **state) {
    enum { MANY = 60 };
    (void)state;
    Arena a = {0};
    Random r = {7};
    const Tensor *in[MANY];
    Value *v[MANY];
    Graph *g = graph_new(&a, NULL, "many");
    Diags d;
    diags_init(&d, &a);
    ExprBuilder b = {.arena = &a};
    for (int i = 0; i < MANY; i++) {
        Type t = {QCC_F32, i ? shape_of(2, (int64_t[]){1, 16}) : shape_of(2, (int64_t[]){16, 24})};
        v[i] = graph_input(g, arena_printf(&a, "in%d", i), t);
        in[i] = random_tensor(&a, &r, t, true);
    }
    Node *turned = graph_node(g, NULL, OP_Transpose, LOC_NONE, 1, v, 1);
    node_set_ints(turned, "perm", 2, (int64_t[]){1, 0});
    assert_true(node_infer(&d, turned));
    v[0] = turned->out[0];
    X sum = x_in(&b, 0, QCC_F32);
    for (int i = 1; i < MANY; i++) sum = x_2(&b, X_ADD, sum, x_in(&b, i, QCC_F32));
    Node *m = graph_node(g, NULL, OP_Map, LOC_NONE, MANY, v, 1);
    m->out[0]->type = v[0]->type;
    m->expr = x_finish(&b, sum, MANY);
    graph_output(g, "out", m->out[0]);
    check_graph(&a, g, in, &test_options, 0);
    arena_free(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(compiled_programs_give_the_evaluators_bits),
                                       cmocka_unit_test(many_operands_beside_a_transposed_one)};
    return TEST_RUN(tests);
}
