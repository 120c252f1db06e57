/* Folding quantizers into thresholds: the order of random programs against what they compute, thresholds worked out by
 * hand, and random chains (slopes of any sign and zero, dead channels, ties) evaluated before and after. */
#include "ir/op.h"
#include "passes/pass.h"
#include "passes/report.h"
#include "quant/span.h"
#include "tests/expr_random.h"
#include "tests/op_case.h"
#include "tests/support.h"

#include <math.h>
#include <string.h>

#define TEST(name) static void name(void **state)

/* ---- directions ------------------------------------------------------------------------------------------------- */

enum { POINTS = 41 };

static double point(const Tensor *t, int i) { return tensor_get(t, i); }

/* What is said to rise or fall does, between -20 and 20. Returns 1 where something was said. */
static int check_direction(uint64_t seed, Elem elem) {
    Arena a = {0};
    const Expr *e = random_expr(&a, &seed, 2 + random_below(&seed, 12), elem);
    const void **in = NEW_ARRAY(&a, const void *, e->n_in);
    Span *spans = NEW_ARRAY(&a, Span, e->n_in), *at = NEW_ARRAY(&a, Span, e->n);
    for (int k = 0; k < e->n_in; k++) {
        Tensor *t = tensor_new(&a, (Type){elem, DIMS(POINTS)});
        double fixed = random_below(&seed, 9) - 4;
        for (int i = 0; i < POINTS; i++) tensor_set(t, i, k == 0 ? i - 20 : fixed);
        in[k] = t->data;
        spans[k] = span_of_tensor(t);
    }
    span_run(e, spans, at);
    Direction d = span_direction(e, 0, at);
    Tensor *out = tensor_new(&a, (Type){e->inst[e->n - 1].elem, DIMS(POINTS)});
    expr_run(e, POINTS, in, tensor_data(out));
    for (int i = 1; i < POINTS && d != DIR_UNKNOWN; i++) {
        double p = point(out, i - 1), q = point(out, i);
        bool good = (isnan(p) && isnan(q)) || (d == DIR_UP ? q >= p : d == DIR_DOWN ? q <= p : q == p);
        if (!good) fail_msg("direction %d, but %.17g before %.17g\n%s", (int)d, p, q, expr_str(&a, e));
    }
    arena_free(&a);
    return d == DIR_UP || d == DIR_DOWN;
}

TEST(directions_hold) {
    (void)state;
    static const Elem elems[] = {QCC_F32, QCC_I32, QCC_I64, QCC_F64};
    int said = 0;
    for (uint64_t seed = 1; seed <= 40000; seed++) said += check_direction(seed * 7919, elems[seed % COUNT_OF(elems)]);
    assert_true(said > 1000);
}

/* ---- graphs ------------------------------------------------------------------------------------------------------ */

static Value *constant(OpCase *c, const Tensor *t) { return graph_constant(c->graph, "", t); }
static Value *number(OpCase *c, double v) { return constant(c, F32(c, SCALAR, v)); }

/* One channel whose sums are 32768 * a + b, with a, b from -100 .. 100 by a weight each: any number in between may
 * occur as far as anyone can tell. */
static Value *any_sum(OpCase *c) {
    Value *x = graph_input(c->graph, "x", (Type){QCC_I16, DIMS(1, 1, 1)});
    return NODE(c, QConv, NULL, x, constant(c, TENSOR(c, QCC_I8, DIMS(1, 1, 1), 1)));
}

static Node *find(const Graph *g, OpId op) {
    for (Node *n = g->first; n; n = n->next)
        if (n->op == op) return n;
    return NULL;
}

/* The thresholds of the chain that ends in y, a code of i8. */
static void gives_thresholds(OpCase *c, Value *y, int n, const int64_t *want) {
    graph_output(c->graph, "y", NODE(c, Cast, "to=3", y));
    assert_true(pass_run(c->graph, &c->diags, PASS_fuse_map));
    assert_true(pass_run(c->graph, &c->diags, PASS_fold_ladder));
    Node *l = find(c->graph, OP_QLadder);
    assert_non_null(l);
    assert_int_equal(l->n_in - 1, n);
    for (int k = 0; k < n; k++) assert_int_equal(tensor_get_int(in_const(l, k + 1), 0), want[k]);
    case_free(c);
}
#define THRESHOLDS(c, y, ...) \
    gives_thresholds((c), (y), (int)COUNT_OF(((int64_t[]){__VA_ARGS__})), (int64_t[]){__VA_ARGS__})

static Value *real_sum(OpCase *c, double scale) {
    return NODE(c, Mul, NULL, NODE(c, Cast, "to=1", any_sum(c)), number(c, scale));
}

static Value *clipped(OpCase *c, Value *v, double lo, double hi) {
    return NODE(c, Clip, NULL, v, number(c, lo), number(c, hi));
}

/* PACT, a = 2.5, 2 bits, sums in 1/1024: the odd ties go down, the even one up. 0.41667, 1.25, 2.08333. */
TEST(thresholds_of_pact) {
    (void)state;
    OpCase *c = case_new();
    Value *v = NODE(c, Div, NULL, clipped(c, real_sum(c, 0x1p-10), 0, 2.5), number(c, 2.5 / 3));
    THRESHOLDS(c, clipped(c, NODE(c, Round, NULL, v), 0, 3), 427, 1280, 2134);
}

/* HWGQ's own form, D = 0.5, sums in 1/16: any x > 0 is at least level 1, ties at 0.75 and 1.25 go down. */
TEST(thresholds_of_hwgq) {
    (void)state;
    OpCase *c = case_new();
    Value *x = real_sum(c, 0x1p-4), *steps = NODE(c, Div, NULL, x, number(c, 0.5));
    Value *level = NODE(c, Ceil, NULL, NODE(c, Sub, NULL, steps, number(c, 0.5)));
    Value *up = NODE(c, Cast, "to=1", NODE(c, Greater, NULL, x, number(c, 0)));
    THRESHOLDS(c, NODE(c, Mul, NULL, up, clipped(c, level, 1, 3)), 1, 13, 21);
}

/* AQE with Delta = 5/16: |x| <= Delta is 0. */
TEST(thresholds_of_aqe) {
    (void)state;
    OpCase *c = case_new();
    Value *x = real_sum(c, 0x1p-4), *delta = number(c, 0.3125), *down = number(c, -0.3125);
    Value *up = NODE(c, Cast, "to=1", NODE(c, Greater, NULL, x, delta));
    Value *low = NODE(c, Cast, "to=1", NODE(c, Less, NULL, x, down));
    THRESHOLDS(c, NODE(c, Sub, NULL, up, low), -5, 6);
}

/* QuantizeLinear rounds before it adds the zero point, half to even. */
TEST(thresholds_of_quantize_linear) {
    (void)state;
    OpCase *c = case_new();
    Value *v = NODE(c, Round, NULL, NODE(c, Div, NULL, real_sum(c, 0.5), number(c, 1)));
    THRESHOLDS(c, clipped(c, NODE(c, Add, NULL, v, number(c, 1)), 0, 3), -1, 2, 3);
}

/* Odd sums less an even bias are never 0: their sign has two levels. */
TEST(idle_levels_go) {
    (void)state;
    OpCase *c = case_new();
    Value *x = graph_input(c->graph, "x", (Type){QCC_I8, DIMS(1, 3, 1)});
    Value *bits = NODE(c, Where, NULL, NODE(c, Greater, NULL, x, constant(c, TENSOR(c, QCC_I8, SCALAR, 0))),
                       constant(c, TENSOR(c, QCC_I8, SCALAR, 1)), constant(c, TENSOR(c, QCC_I8, SCALAR, -1)));
    Value *sum = NODE(c, QConv, NULL, bits, constant(c, TENSOR(c, QCC_I8, DIMS(1, 3, 1), 1, -1, 1)));
    THRESHOLDS(c, NODE(c, Sign, NULL, NODE(c, Sub, NULL, NODE(c, Cast, "to=1", sum), number(c, 2))), 3);
}

/* Integers throughout: floor((3 x + 5) >> 3) between 0 and 2. */
TEST(thresholds_of_integers) {
    (void)state;
    OpCase *c = case_new();
    Value *three = constant(c, TENSOR(c, QCC_I32, SCALAR, 3)), *five = constant(c, TENSOR(c, QCC_I32, SCALAR, 5));
    Value *v = NODE(c, Add, NULL, NODE(c, Mul, NULL, any_sum(c), three), five);
    v = NODE(c, BitShift, "direction=RIGHT", v, three);
    Value *lo = constant(c, TENSOR(c, QCC_I32, SCALAR, 0)), *hi = constant(c, TENSOR(c, QCC_I32, SCALAR, 2));
    THRESHOLDS(c, NODE(c, Clip, NULL, v, lo, hi), 1, 4);
}

/* A channel that a NaN has got into gives 0 throughout, which is no level: it is left as it is. */
TEST(not_a_number) {
    (void)state;
    OpCase *c = case_new();
    c->data[0] = case_ramp(c, QCC_I16, DIMS(1, 1, 1));
    Value *v = NODE(c, Add, NULL, real_sum(c, 0.5), constant(c, F32(c, DIMS(1, 1, 1), NAN)));
    graph_output(c->graph, "y", NODE(c, Cast, "to=3", clipped(c, NODE(c, Round, NULL, v), 1, 3)));
    Tensor *out[1];
    for (int i = 0; i < 2; i++) {
        assert_true(graph_eval(&c->arena, &c->diags, c->graph, c->data, out, NULL, NULL));
        assert_int_equal(tensor_get_int(out[0], 0), 0);
        assert_true(pass_run(c->graph, &c->diags, PASS_fuse_map));
        assert_true(pass_run(c->graph, &c->diags, PASS_fold_ladder));
        assert_null(find(c->graph, OP_QLadder));
    }
    case_free(c);
}

/* ---- random chains ------------------------------------------------------------------------------------------------
 */

enum { CHANNELS = 6, SIDE = 7 };

static double drawn(uint64_t *seed, double most) { return (random_below(seed, 2001) - 1000) / 1000.0 * most; }

/* Per channel: some zero, some negative, mostly ordinary. */
static Value *per_channel(OpCase *c, uint64_t *seed, double most) {
    double v[CHANNELS];
    for (int i = 0; i < CHANNELS; i++) v[i] = random_below(seed, 6) == 0 ? 0 : drawn(seed, most);
    return constant(c, case_tensor(c, QCC_F32, DIMS(1, CHANNELS, 1, 1), CHANNELS, v));
}

static Value *random_layer(OpCase *c, uint64_t *seed, Elem elem) {
    int64_t taps = 1 + random_below(seed, 3), in = 1 + random_below(seed, 4);
    Tensor *x = tensor_new(&c->arena, (Type){elem, DIMS(1, in, SIDE, SIDE)});
    for (int64_t i = 0; i < shape_count(&x->type.shape); i++)
        tensor_set_int(x, i, elem == QCC_U8 ? random_below(seed, 16) : random_below(seed, 3) - 1);
    Tensor *w = tensor_new(&c->arena, (Type){QCC_I8, DIMS(CHANNELS, in, taps, taps)});
    bool binary = random_below(seed, 2);
    for (int64_t i = 0; i < shape_count(&w->type.shape); i++)
        tensor_set_int(w, i, binary ? 2 * random_below(seed, 2) - 1 : random_below(seed, 256) - 128);
    c->data[0] = x;
    Value *codes = graph_input(c->graph, "x", x->type);
    return NODE(c, QConv, random_below(seed, 2) ? "pads=1,1,1,1" : NULL, codes, constant(c, w));
}

static Value *random_quantizer(OpCase *c, uint64_t *seed, Value *v) {
    Value *step = number(c, 0.25 + random_below(seed, 4));
    switch (random_below(seed, 4)) {
    case 0:
        return NODE(c, Sign, NULL, v);
    case 1:
        return clipped(c, NODE(c, Round, NULL, NODE(c, Div, NULL, v, step)), 0, 1 + 2 * random_below(seed, 2));
    case 2:
        return clipped(c, NODE(c, Floor, NULL, NODE(c, Div, NULL, v, step)), -2, 1);
    default:
        return NODE(c, Where, NULL, NODE(c, GreaterOrEqual, NULL, v, per_channel(c, seed, 5)), number(c, 1),
                    number(c, -1));
    }
}

static Value *random_chain(OpCase *c, uint64_t *seed, Value *sum) {
    Value *v = NODE(c, Mul, NULL, NODE(c, Cast, "to=1", sum), per_channel(c, seed, 0.1));
    v = NODE(c, Add, NULL, v, per_channel(c, seed, 3));
    if (random_below(seed, 2)) v = NODE(c, Sub, NULL, v, per_channel(c, seed, 3));
    if (random_below(seed, 2)) v = NODE(c, Mul, NULL, v, per_channel(c, seed, 4));
    if (random_below(seed, 2)) v = NODE(c, Add, NULL, v, per_channel(c, seed, 4));
    if (random_below(seed, 3) == 0) v = NODE(c, Relu, NULL, v);
    if (random_below(seed, 3) == 0) v = clipped(c, v, -1, 1);
    return NODE(c, Cast, "to=3", random_quantizer(c, seed, v));
}

/* The code and another tensor's, as a sum of integers or of floats. */
static Value *with_shortcut(OpCase *c, Value *code, bool floats) {
    c->data[1] = case_ramp(c, QCC_I8, code->type.shape);
    Value *other = graph_input(c->graph, "z", c->data[1]->type);
    if (!floats) return NODE(c, Add, NULL, code, other);
    return NODE(c, Mul, NULL, NODE(c, Cast, "to=1", other), NODE(c, Cast, "to=1", code));
}

static const Tensor *evaluate(OpCase *c) {
    Tensor *out[2];
    assert_true(graph_eval(&c->arena, &c->diags, c->graph, c->data, out, NULL, NULL));
    return out[0];
}

/* What is said of the layer and of the thresholds behind it is said whether they have met or not. */
static void check_proofs(const OpCase *c, const Report *r, int folded) {
    const Node *codes = c->graph->outputs.at[0].value->def;
    const char *proof = report_proof(r, codes), *otherwise = codes->op == OP_Map ? "-" : "proved, operators";
    if (!folded) assert_string_equal(proof, otherwise);
    if (folded) assert_true(strcmp(proof, "proved, bisection") == 0 || strcmp(proof, "proved, enumeration") == 0);
    if (c->graph->outputs.n > 1)
        assert_string_equal(report_proof(r, c->graph->outputs.at[1].value->def), "proved, sums");
    assert_string_equal(report_proof(&(Report){0}, codes), "-");
}

static int check_chain(uint64_t seed) {
    OpCase *c = case_new();
    uint64_t s = seed;
    Report r = {.arena = &c->arena};
    Value *sum = random_layer(c, &s, random_below(&s, 2) ? QCC_U8 : QCC_I8);
    Value *code = random_chain(c, &s, sum);
    graph_output(c->graph, "y", random_below(&s, 3) ? code : with_shortcut(c, code, random_below(&s, 2)));
    if (random_below(&s, 4) == 0) graph_output(c->graph, "sum", sum); /* then its weights must stay */
    const Tensor *before = evaluate(c);
    static const PassId passes[] = {PASS_fuse_map, PASS_fold_ladder, PASS_fuse_ladder, PASS_fuse_epilogue};
    c->graph->report = &r;
    for (size_t i = 0; i < COUNT_OF(passes); i++) assert_true(pass_run(c->graph, &c->diags, passes[i]));
    const Tensor *after = evaluate(c);
    for (int64_t i = 0; i < shape_count(&before->type.shape); i++)
        if (tensor_get(before, i) != tensor_get(after, i))
            fail_msg("seed %llu: element %lld is %g, not %g", (unsigned long long)seed, (long long)i,
                     tensor_get(after, i), tensor_get(before, i));
    int folded = 0;
    for (size_t i = 0; i < r.layers.n; i++)
        for (size_t k = 0; k < r.layers.at[i]->folds.n; k++) folded += r.layers.at[i]->folds.at[k].method != FOLD_NONE;
    check_proofs(c, &r, folded);
    case_free(c);
    return folded;
}

TEST(random_chains) {
    (void)state;
    int folded = 0;
    for (uint64_t seed = 1; seed <= 600; seed++) folded += check_chain(seed * 104729);
    assert_true(folded > 550); /* the others give the same code always */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(directions_hold),
        cmocka_unit_test(thresholds_of_pact),
        cmocka_unit_test(thresholds_of_hwgq),
        cmocka_unit_test(thresholds_of_aqe),
        cmocka_unit_test(thresholds_of_quantize_linear),
        cmocka_unit_test(thresholds_of_integers),
        cmocka_unit_test(idle_levels_go),
        cmocka_unit_test(not_a_number),
        cmocka_unit_test(random_chains),
    };
    return TEST_RUN(tests);
}
