/* Random graphs of element-wise operators, views, reductions, products and movements go through the passes and are
 * compiled; they must give what the evaluator gives on the graph as it was. Values stay between -2 and 2 mostly, and no
 * operator has steps, so that roundings stay roundings. QCC_SEEDS=FROM:TO in the environment runs those seeds. */
#include "ir/op.h"
#include "passes/pass.h"
#include "tests/codegen_support.h"
#include "tests/support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_VALUES = 64, MOST_ELEMENTS = 20000, MANY_ELEMENTS = 400000 };

typedef struct Maker {
    Arena *a;
    Random *r;
    Graph *g;
    Diags d;
    int n, n_in;
    bool large;            /* enough elements for several tasks */
    Value *v[MOST_VALUES]; /* f32 all */
} Maker;

static int64_t draw(Maker *m, int64_t lo, int64_t hi) { return random_int(m->r, lo, hi); }
static Value *pick(Maker *m) { return m->v[draw(m, i64_max(0, m->n - 6), m->n - 1)]; }
static Value *ints(Maker *m, int64_t n, const int64_t *v) { return graph_const_ints(m->g, "", n, v); }

/* A node that the operands may not fit: then there is none. */
static Value *try(Maker *m, OpId op, const char *attrs, int n_in, Value *const *in) {
    Node *n = graph_node(m->g, NULL, op, LOC_NONE, n_in, in, 1);
    if (attrs) node_set_attrs_text(n, attrs);
    if (node_infer(&m->d, n) && shape_count(&n->out[0]->type.shape) <= (m->large ? MANY_ELEMENTS : MOST_ELEMENTS))
        return n->out[0];
    diags_init(&m->d, m->a);
    graph_erase(n);
    return NULL;
}

/* ---- operators ------------------------------------------------------------------------------------------------- */

/* Back between -1 and 1, so that no later sum cancels what is large. */
static Value *bounded(Maker *m, Value *v) { return v ? try(m, OP_Tanh, NULL, 1, &v) : NULL; }

static Value *unary(Maker *m) {
    static const OpId ops[] = {OP_Relu, OP_Tanh, OP_Sigmoid, OP_Neg,      OP_Abs,  OP_Gelu,
                               OP_Erf,  OP_Elu,  OP_Sin,     OP_Softsign, OP_Selu, OP_HardSwish};
    Value *x = pick(m);
    return try(m, ops[draw(m, 0, COUNT_OF(ops) - 1)], NULL, 1, &x);
}

static Value *binary(Maker *m) {
    static const OpId ops[] = {OP_Add, OP_Sub, OP_Mul, OP_Max, OP_Min};
    OpId op = ops[draw(m, 0, COUNT_OF(ops) - 1)];
    Value *y = try(m, op, NULL, 2, (Value *[]){pick(m), pick(m)});
    return y && op == OP_Mul ? bounded(m, y) : y;
}

/* A constant along one axis, as biases and scales are. */
static Value *biased(Maker *m) {
    Value *x = pick(m);
    Shape s = {.rank = x->type.shape.rank};
    int axis = s.rank ? (int)draw(m, 0, s.rank - 1) : 0;
    for (int d = 0; d < s.rank; d++) s.dim[d] = d == axis ? x->type.shape.dim[d] : 1;
    Value *c = graph_constant(m->g, "", random_tensor(m->a, m->r, (Type){QCC_F32, s}, true));
    return try(m, draw(m, 0, 1) ? OP_Add : OP_Mul, NULL, 2, (Value *[]){x, c});
}

/* Of an input, whose values have no rounding that this could make larger. */
static Value *half(Maker *m) {
    Value *x = m->v[draw(m, 0, m->n_in - 1)], *h = try(m, OP_Cast, draw(m, 0, 1) ? "to=10" : "to=16", 1, &x);
    return h ? try(m, OP_Cast, "to=1", 1, &h) : NULL;
}

static Value *transposed(Maker *m) {
    Value *x = pick(m);
    int rank = x->type.shape.rank, perm[MAX_RANK];
    Text t = {.arena = m->a};
    if (rank < 2) return NULL;
    for (int i = 0; i < rank; i++) perm[i] = i;
    for (int i = rank - 1; i > 0; i--) {
        int k = (int)draw(m, 0, i), old = perm[i];
        perm[i] = perm[k];
        perm[k] = old;
    }
    for (int i = 0; i < rank; i++) text_add(&t, "%s%d", i ? "," : "perm=", perm[i]);
    return try(m, OP_Transpose, t.s, 1, &x);
}

static Value *sliced(Maker *m) {
    Value *x = pick(m);
    if (x->type.shape.rank == 0) return NULL;
    int64_t axis = draw(m, 0, x->type.shape.rank - 1), n = x->type.shape.dim[axis], from = draw(m, 0, n - 1);
    int64_t step = draw(m, 0, 2) ? draw(m, 1, 3) : -draw(m, 1, 2), to = step > 0 ? draw(m, from + 1, n) : INT64_MIN;
    return try(m, OP_Slice, NULL, 5,
               (Value *[]){x, ints(m, 1, &from), ints(m, 1, &to), ints(m, 1, &axis), ints(m, 1, &step)});
}

static Value *reshaped(Maker *m) {
    Value *x = pick(m);
    int64_t rest = shape_count(&x->type.shape), dims[3];
    for (int i = 0; i < 2; i++) {
        dims[i] = draw(m, 1, 6);
        while (rest % dims[i]) dims[i]--;
        rest /= dims[i];
    }
    dims[2] = rest;
    return try(m, OP_Reshape, NULL, 2, (Value *[]){x, ints(m, 3, dims)});
}

static Value *expanded(Maker *m) {
    Value *x = pick(m);
    int64_t dims[] = {draw(m, 1, 3), 1, 1, 1};
    return x->type.shape.rank > 3 ? NULL : try(m, OP_Expand, NULL, 2, (Value *[]){x, ints(m, 4, dims)});
}

static Value *padded(Maker *m) {
    static const char *const modes[] = {"mode=constant", "mode=edge", "mode=reflect", "mode=wrap"};
    Value *x = pick(m);
    int rank = x->type.shape.rank;
    int64_t pads[2 * MAX_RANK];
    for (int i = 0; i < 2 * rank; i++) pads[i] = draw(m, 0, 2);
    return try(m, OP_Pad, modes[draw(m, 0, 3)], 2, (Value *[]){x, ints(m, 2 * (int64_t)rank, pads)});
}

static Value *along(Maker *m, OpId op, int n_in, Value *const *in) {
    int rank = in[0]->type.shape.rank;
    if (rank == 0) return NULL;
    return try(m, op, arena_printf(m->a, "axis=%d", (int)draw(m, 0, rank - 1)), n_in, in);
}

static Value *joined(Maker *m) { return along(m, OP_Concat, 3, (Value *[]){pick(m), pick(m), pick(m)}); }

static Value *normed(Maker *m) {
    static const OpId ops[] = {OP_Softmax, OP_LogSoftmax, OP_LpNormalization};
    Value *x = pick(m);
    return along(m, ops[draw(m, 0, 2)], 1, &x);
}

static Value *layer_normed(Maker *m) {
    Value *x = pick(m);
    int rank = x->type.shape.rank;
    if (rank == 0) return NULL;
    Type t = {QCC_F32, shape_of(1, &x->type.shape.dim[rank - 1])};
    Value *scale = graph_constant(m->g, "", random_tensor(m->a, m->r, t, true));
    return try(m, draw(m, 0, 1) ? OP_LayerNormalization : OP_RMSNormalization, "epsilon=0.5", 2, (Value *[]){x, scale});
}

static Value *reduced(Maker *m) {
    static const OpId ops[] = {OP_ReduceMean, OP_ReduceMax, OP_ReduceMin, OP_ReduceL2};
    Value *x = pick(m);
    if (x->type.shape.rank == 0) return NULL;
    int64_t axis = draw(m, 0, x->type.shape.rank - 1);
    return try(m, ops[draw(m, 0, 3)], draw(m, 0, 1) ? "keepdims=0" : NULL, 2, (Value *[]){x, ints(m, 1, &axis)});
}

/* With a constant of few columns, scaled so that values stay small; or with another value. */
static Value *product(Maker *m) {
    Value *x = pick(m), *y = pick(m);
    int rank = x->type.shape.rank;
    if (rank == 0) return NULL;
    if (draw(m, 0, 1)) {
        Type t = {QCC_F32, shape_of(2, (int64_t[]){x->type.shape.dim[rank - 1], draw(m, 1, 20)})};
        Tensor *w = random_tensor(m->a, m->r, t, true);
        for (int64_t i = 0; i < shape_count(&t.shape); i++)
            tensor_set(w, i, tensor_get(w, i) / (8 + sqrt((double)t.shape.dim[0])));
        y = graph_constant(m->g, "", w);
    }
    return bounded(m, try(m, OP_MatMul, NULL, 2, (Value *[]){x, y}));
}

static Value *gathered(Maker *m) {
    Value *x = pick(m);
    if (x->type.shape.rank == 0 || x->type.shape.rank > 4) return NULL;
    int64_t at[3], axis = draw(m, 0, x->type.shape.rank - 1), n = x->type.shape.dim[axis];
    for (int i = 0; i < 3; i++) at[i] = draw(m, -n, n - 1);
    return try(m, OP_Gather, arena_printf(m->a, "axis=%d", (int)axis), 2, (Value *[]){x, ints(m, 3, at)});
}

/* Images to other sizes: the last two dimensions. */
static Value *resized(Maker *m) {
    static const char *const modes[] = {"mode=nearest", "mode=linear", "mode=cubic",
                                        "mode=nearest nearest_mode=floor coordinate_transformation_mode=asymmetric"};
    Value *x = pick(m);
    Shape s = x->type.shape;
    if (s.rank < 3) return NULL;
    for (int d = s.rank - 2; d < s.rank; d++) s.dim[d] = draw(m, 1, 2) * s.dim[d] + draw(m, 0, 1);
    return try(m, OP_Resize, modes[draw(m, 0, 3)], 4, (Value *[]){x, NULL, NULL, ints(m, s.rank, s.dim)});
}

static Value *summed(Maker *m) {
    Value *x = pick(m);
    if (x->type.shape.rank == 0) return NULL;
    Value *axis = ints(m, 1, (int64_t[]){draw(m, 0, x->type.shape.rank - 1)});
    return bounded(m, try(m, OP_CumSum, draw(m, 0, 1) ? "reverse=1" : NULL, 2, (Value *[]){bounded(m, x), axis}));
}

/* Channels to pixels and back, as sub-pixel convolutions and shuffles have it. */
static Value *shuffled(Maker *m) {
    Value *x = pick(m);
    if (x->type.shape.rank != 4) return NULL;
    if (x->type.shape.dim[1] % 4 == 0) return try(m, OP_DepthToSpace, "blocksize=2", 1, &x);
    if (x->type.shape.dim[2] % 2 || x->type.shape.dim[3] % 2) return NULL;
    return try(m, OP_SpaceToDepth, "blocksize=2", 1, &x);
}

static Value *tiled(Maker *m) {
    Value *x = pick(m);
    int64_t times[MAX_RANK];
    for (int d = 0; d < x->type.shape.rank; d++) times[d] = draw(m, 0, 3) ? 1 : 2;
    return try(m, OP_Tile, NULL, 2, (Value *[]){x, ints(m, x->type.shape.rank, times)});
}

static void pads_of(Maker *m, Text *t, int spatial) {
    for (int i = 0; i < 2 * spatial; i++) text_add(t, "%s%d", i ? "," : " pads=", (int)draw(m, 0, 1));
    for (int i = 0; i < spatial; i++) text_add(t, "%s%d", i ? "," : " strides=", (int)draw(m, 1, 2));
}

/* By groups of any number, also one channel each. */
static Value *convolved(Maker *m) {
    Value *x = pick(m);
    const Shape *s = &x->type.shape;
    int spatial = s->rank - 2;
    if (spatial < 1 || spatial > 3) return NULL;
    int64_t group = draw(m, 0, 1) ? 1 : draw(m, 0, 1) ? s->dim[1] : 2;
    Type t = {QCC_F32, {.rank = s->rank, .dim = {group * draw(m, 1, 18), s->dim[1] / group}}};
    Text attrs = {.arena = m->a};
    if (s->dim[1] % group) return NULL;
    for (int i = 0; i < spatial; i++) t.shape.dim[2 + i] = draw(m, 1, 3);
    Tensor *w = random_tensor(m->a, m->r, t, true);
    int64_t count = shape_count(&t.shape);
    for (int64_t i = 0; i < count; i++) tensor_set(w, i, tensor_get(w, i) * (double)t.shape.dim[0] / (double)count);
    text_add(&attrs, "group=%lld", (long long)group);
    pads_of(m, &attrs, spatial);
    Value *in[] = {
        x, graph_constant(m->g, "", w),
        graph_constant(m->g, "", random_tensor(m->a, m->r, (Type){QCC_F32, shape_of(1, t.shape.dim)}, true))};
    return try(m, OP_Conv, attrs.s, draw(m, 2, 3) == 2 ? 2 : 3, in);
}

static Value *pooled(Maker *m) {
    Value *x = pick(m);
    int spatial = x->type.shape.rank - 2;
    Text attrs = {.arena = m->a};
    if (spatial < 1 || spatial > 3) return NULL;
    for (int i = 0; i < spatial; i++) text_add(&attrs, "%s%d", i ? "," : "kernel_shape=", (int)draw(m, 2, 3));
    pads_of(m, &attrs, spatial);
    return try(m, draw(m, 0, 1) ? OP_MaxPool : OP_AveragePool, attrs.s, 1, &x);
}

/* ---- graphs ---------------------------------------------------------------------------------------------------- */

static Value *(*const makers[])(Maker *) = {unary,      unary,   binary,   binary,   biased,    biased,    half,
                                            transposed, sliced,  reshaped, expanded, padded,    joined,    layer_normed,
                                            normed,     reduced, product,  gathered, convolved, convolved, pooled,
                                            resized,    summed,  shuffled, tiled};

static void make_inputs(Maker *m, const Tensor **in, int n) {
    static const int64_t dims[] = {1, 2, 3, 4, 5, 8, 16, 17};
    for (int i = 0; i < n; i++) {
        Type t = {QCC_F32, {.rank = (int)draw(m, 1, 4)}};
        for (int d = 0; d < t.shape.rank; d++) t.shape.dim[d] = dims[draw(m, 0, 7)] * (m->large && d < 2 ? 9 : 1);
        if (draw(m, 0, 1))
            t.shape =
                shape_of(4, (int64_t[]){1, dims[draw(m, 1, 7)], draw(m, 3, 9) * (m->large ? 7 : 1), draw(m, 3, 9)});
        if (i > 0 && draw(m, 0, 1)) t = m->v[0]->type;
        in[i] = random_tensor(m->a, m->r, t, true);
        m->n_in++;
        m->v[m->n++] = graph_input(m->g, arena_printf(m->a, "in%d", i), t);
    }
}

/* The last value and a few others are outputs. */
static void make_outputs(Maker *m) {
    int64_t n = draw(m, 1, 5);
    for (int64_t i = 0; i < n; i++) {
        int64_t k = i == 0 ? m->n - 1 : draw(m, m->n_in, m->n - 1);
        graph_output(m->g, arena_printf(m->a, "out%d", (int)i), m->v[k]);
    }
}

static Graph *random_graph(Arena *a, Random *r, bool large, const Tensor **in) {
    Maker m = {.a = a, .r = r, .g = graph_new(a, NULL, "random"), .large = large};
    diags_init(&m.d, a);
    make_inputs(&m, in, (int)draw(&m, 1, 3));
    for (int tries = 0, want = (int)draw(&m, 1, 24); tries < 200 && m.n < m.n_in + want; tries++) {
        Value *v = makers[draw(&m, 0, COUNT_OF(makers) - 1)](&m);
        if (v) m.v[m.n++] = v;
    }
    if (m.n == m.n_in) m.v[m.n++] = try(&m, OP_Relu, NULL, 1, m.v);
    make_outputs(&m);
    pass_dce(m.g, &m.d);
    return m.g;
}

static void check_seed(uint64_t seed) {
    static const char *const cpus[] = {NULL,
#ifdef __x86_64__
                                       "x86-64-v3", "x86-64-v2"
#endif
    };
    Arena a = {0};
    Random r = {seed};
    const Tensor *in[3];
    Diags d;
    diags_init(&d, &a);
    print_message("seed %llu\n", (unsigned long long)seed);
    Graph *g = random_graph(&a, &r, seed % 8 == 7, in), *optimized = graph_clone(&a, g);
    PassOptions o = {.level = (int)(seed % 4)};
    if (!passes_run(optimized, &d, &o)) fail_msg("refused: %s", test_diags(&a, &d));
    CodegenOptions c = test_options;
    c.level = o.level;
    c.strict = true;
    c.cpu = cpus[seed / 4 % COUNT_OF(cpus)];
    check_compiled(&a, g, optimized, in, &c, 2e-5);
    arena_free(&a);
}

static void compiled_graphs_give_what_the_evaluator_gives(void **state) {
    (void)state;
    unsigned long long from = 0, to = 40;
    const char *seeds = getenv("QCC_SEEDS");
    if (seeds) assert_int_equal(sscanf(seeds, "%llu:%llu", &from, &to), 2);
    for (unsigned long long seed = from; seed < to; seed++) check_seed(seed);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(compiled_graphs_give_what_the_evaluator_gives)};
    return TEST_RUN(tests);
}
