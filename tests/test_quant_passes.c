/* The passes between integer layers: programs in front of what moves elements, codes instead of sums where layers meet,
 * operands in bytes. Each graph is evaluated before and after, and looked at for what the pass promises. */
#include "ir/op.h"
#include "passes/pass.h"
#include "passes/rewrite.h"
#include "tests/expr_random.h"
#include "tests/op_case.h"
#include "tests/support.h"

#define TEST(name) static void name(void **state)
#define OPEN                \
    OpCase *c = case_new(); \
    (void)state

static Value *constant(OpCase *c, const Tensor *t) { return graph_constant(c->graph, "", t); }
static Value *number(OpCase *c, double v) { return constant(c, F32(c, SCALAR, v)); }

static Tensor *mixed(OpCase *c, Elem elem, Shape s, int most) {
    Tensor *t = tensor_new(&c->arena, (Type){elem, s});
    int lo = elem == QCC_U8 ? 0 : -most, n = elem == QCC_U8 ? most + 1 : 2 * most + 1;
    for (int64_t i = 0; i < shape_count(&s); i++) tensor_set_int(t, i, lo + i * 37 % n);
    return t;
}

static Value *input(OpCase *c, Elem elem, Shape s, int most) {
    Tensor *t = mixed(c, elem, s, most);
    c->data[c->n_in++] = t;
    return graph_input(c->graph, "x", t->type);
}

/* The sums of a layer as floats, with a factor for each channel. */
static Value *layer(OpCase *c, Value *x, int64_t channels) {
    int64_t in = x->type.shape.dim[1];
    Value *w = constant(c, mixed(c, QCC_I8, DIMS(channels, in, 1, 1), 3));
    Value *y = NODE(c, Cast, "to=1", NODE(c, QConv, NULL, x, w));
    Tensor *f = tensor_new(&c->arena, (Type){QCC_F32, DIMS(1, channels, 1, 1)});
    for (int64_t i = 0; i < channels; i++) tensor_set(f, i, 0.25 * (double)(i + 1));
    return NODE(c, Mul, NULL, y, constant(c, f));
}

static Value *code(OpCase *c, Value *v, double step, double lo, double hi) {
    v = NODE(c, Round, NULL, NODE(c, Div, NULL, v, number(c, step)));
    return NODE(c, Cast, lo < 0 ? "to=3" : "to=2", NODE(c, Clip, NULL, v, number(c, lo), number(c, hi)));
}

static const Tensor *evaluate(OpCase *c) {
    Tensor *out[4];
    assert_true(graph_eval(&c->arena, &c->diags, c->graph, c->data, out, NULL, NULL));
    return out[0];
}

static void run(OpCase *c, int n, const PassId *passes) {
    const Tensor *before = evaluate(c);
    for (int i = 0; i < n; i++) assert_true(pass_run(c->graph, &c->diags, passes[i]));
    const Tensor *after = evaluate(c);
    assert_true(type_equal(&before->type, &after->type));
    for (int64_t i = 0; i < shape_count(&before->type.shape); i++) {
        if (tensor_get(before, i) != tensor_get(after, i))
            fail_msg("element %lld is %g, not %g", (long long)i, tensor_get(after, i), tensor_get(before, i));
    }
}
#define RUN(c, ...) run((c), (int)COUNT_OF(((PassId[]){__VA_ARGS__})), (PassId[]){__VA_ARGS__})

static int count(const Graph *g, OpId op) {
    int n = 0;
    for (const Node *m = g->first; m; m = m->next) n += m->op == op;
    return n;
}

static Node *find(const Graph *g, OpId op) {
    for (Node *n = g->first; n; n = n->next)
        if (n->op == op) return n;
    return NULL;
}

/* ---- hoist_map ---- */

/* Everything between the layer and the code moves, and the code is computed by the layer. */
static void check_hoisted(OpCase *c, Value *y, OpId moves, bool by_layer) {
    graph_output(c->graph, "y", y);
    RUN(c, PASS_fuse_map, PASS_hoist_map, PASS_clean_hoisted, PASS_fuse_hoisted, PASS_fuse_epilogue, PASS_dce_fused);
    assert_int_equal(count(c->graph, OP_Map), by_layer ? 0 : 1);
    if (moves) assert_int_equal(elem_info[find(c->graph, moves)->out[0]->type.elem].bits, by_layer ? 8 : 32);
    case_free(c);
}

TEST(in_front_of_reshapes) {
    OPEN;
    Value *v = layer(c, input(c, QCC_I8, DIMS(2, 3, 4, 4), 7), 6);
    v = NODE(c, Reshape, NULL, v, constant(c, LIST(c, 2, 6, 16)));
    v = NODE(c, Add, NULL, v, constant(c, F32(c, DIMS(1, 6, 1), 1, 2, 3, 4, 5, 6)));
    v = NODE(c, Reshape, NULL, v, constant(c, LIST(c, 2, 6, 4, 4)));
    check_hoisted(c, code(c, v, 0.5, 0, 3), 0, true);
}

TEST(in_front_of_transpositions) {
    OPEN;
    Value *v = NODE(c, Transpose, "perm=0,2,3,1", layer(c, input(c, QCC_I8, DIMS(2, 3, 4, 4), 7), 4));
    v = NODE(c, Mul, NULL, v, constant(c, F32(c, DIMS(4), 1, -2, 3, 4)));
    check_hoisted(c, code(c, v, 0.5, 0, 3), OP_Transpose, true);
}

TEST(in_front_of_concatenations) {
    OPEN;
    Value *x = input(c, QCC_I8, DIMS(1, 3, 4, 4), 7);
    Value *v = NODE(c, Concat, "axis=1", layer(c, x, 4), layer(c, x, 2));
    check_hoisted(c, code(c, v, 0.5, -8, 7), OP_Concat, true);
}

/* The maximum of codes is the code of the maximum only where codes never fall. */
TEST(in_front_of_maxima) {
    OPEN;
    Value *v = layer(c, input(c, QCC_I8, DIMS(1, 3, 4, 4), 7), 4);
    check_hoisted(c, code(c, NODE(c, MaxPool, "kernel_shape=2,2 pads=1,0,0,1", v), 2, -8, 7), OP_MaxPool, true);
}

/* Codes that fall are turned round in front of it, and back behind it. */
TEST(in_front_of_maxima_of_falling_codes) {
    OPEN;
    Value *v = layer(c, input(c, QCC_I8, DIMS(1, 3, 4, 4), 7), 4);
    v = NODE(c, MaxPool, "kernel_shape=2,2", v);
    v = NODE(c, Mul, NULL, v, constant(c, F32(c, DIMS(1, 4, 1, 1), 1, 0, -1, -3)));
    graph_output(c->graph, "y", code(c, v, 2, -8, 7));
    RUN(c, PASS_fuse_map, PASS_hoist_map, PASS_clean_hoisted, PASS_fuse_hoisted, PASS_fold_ladder, PASS_fuse_ladder,
        PASS_fuse_epilogue);
    assert_int_equal(in_elem(find(c->graph, OP_MaxPool), 0), QCC_I8);
    assert_int_equal(count(c->graph, OP_Map), 1);
    case_free(c);
}

/* Where |x| is coded the order is not known. */
TEST(not_where_codes_rise_and_fall) {
    OPEN;
    Value *v = NODE(c, MaxPool, "kernel_shape=2,2", layer(c, input(c, QCC_I8, DIMS(1, 3, 4, 4), 7), 4));
    check_hoisted(c, code(c, NODE(c, Abs, NULL, v), 2, -8, 7), OP_MaxPool, false);
}

/* ---- sink_map ---- */

#define SUNK(c)                                                                                              \
    RUN(c, PASS_expand, PASS_fuse_map, PASS_hoist_map, PASS_clean_hoisted, PASS_fuse_hoisted, PASS_sink_map, \
        PASS_fold_ladder, PASS_fuse_ladder, PASS_fuse_epilogue, PASS_dce_fused)

static int moved_bits(const Graph *g, OpId op) {
    int most = 0;
    for (const Node *n = g->first; n; n = n->next)
        if (n->op == op && elem_info[in_elem(n, 0)].bits > most) most = elem_info[in_elem(n, 0)].bits;
    return most;
}

/* The values of codes of a layer. */
static Value *coded_layer(OpCase *c, Value *x, double step) {
    return NODE(c, Mul, NULL, NODE(c, Cast, "to=1", code(c, layer(c, x, 4), step, -8, 7)), number(c, step));
}

static Value *twice(OpCase *c, Value *v) {
    return NODE(c, Resize, "mode=nearest", v, NULL, constant(c, F32(c, DIMS(4), 1, 1, 2, 2)));
}

/* The branch of a pyramid: both codes meet in one program, and neither is stored as floats. */
TEST(resized_codes_meet_others) {
    OPEN;
    Value *x = input(c, QCC_I8, DIMS(1, 3, 8, 8), 7);
    Value *small = NODE(c, MaxPool, "kernel_shape=2,2 strides=2,2", x);
    Value *v = NODE(c, Add, NULL, twice(c, coded_layer(c, small, 0.5)), coded_layer(c, x, 0.25));
    graph_output(c->graph, "y", code(c, v, 1, -8, 7));
    SUNK(c);
    assert_int_equal(count(c->graph, OP_Gather), 2);
    assert_int_equal(moved_bits(c->graph, OP_Gather), 8);
    assert_int_equal(count(c->graph, OP_Map), 0);
    case_free(c);
}

/* Floats, where they are wanted, are made at the end. */
TEST(resized_codes_leave_as_floats) {
    OPEN;
    graph_output(c->graph, "y", twice(c, coded_layer(c, input(c, QCC_I8, DIMS(1, 3, 4, 4), 7), 0.5)));
    SUNK(c);
    assert_int_equal(moved_bits(c->graph, OP_Gather), 8);
    assert_int_equal(count(c->graph, OP_Map), 1);
    assert_int_equal(c->graph->last->op, OP_Map);
    case_free(c);
}

/* Through the reshapes of a shuffle, to who reads it. */
TEST(shuffled_codes) {
    OPEN;
    Value *x = input(c, QCC_I8, DIMS(1, 3, 4, 4), 7);
    Value *v = NODE(c, DepthToSpace, "blocksize=2", coded_layer(c, x, 0.5));
    graph_output(c->graph, "y", NODE(c, Mul, NULL, v, graph_input(c->graph, "z", v->type)));
    c->data[c->n_in++] = mixed(c, QCC_F32, v->type.shape, 50);
    SUNK(c);
    assert_int_equal(moved_bits(c->graph, OP_Transpose), 8);
    case_free(c);
}

/* Nobody behind the transposition would take the conversion in. */
TEST(transposed_floats_that_are_wanted) {
    OPEN;
    Value *v = coded_layer(c, input(c, QCC_I8, DIMS(1, 3, 4, 4), 7), 0.5);
    graph_output(c->graph, "y", NODE(c, Transpose, "perm=0,2,3,1", v));
    SUNK(c);
    assert_int_equal(moved_bits(c->graph, OP_Transpose), 32);
    assert_int_equal(count(c->graph, OP_Map), 0);
    case_free(c);
}

/* What is computed of a code is not done again for each copy. */
TEST(long_programs_stay) {
    OPEN;
    Value *v = coded_layer(c, input(c, QCC_I8, DIMS(1, 3, 4, 4), 7), 0.5);
    for (int i = 0; i < 8; i++) v = NODE(c, Mul, NULL, v, number(c, 0.75));
    graph_output(c->graph, "y", twice(c, v));
    SUNK(c);
    assert_int_equal(moved_bits(c->graph, OP_Gather), 32);
    assert_int_equal(count(c->graph, OP_Map), 0);
    case_free(c);
}

/* ---- fuse_epilogue ---- */

/* A program that is one number, as x to the power of 0, says nothing of the layer in front of it. */
TEST(no_epilogue_without_the_result) {
    OPEN;
    Value *v = layer(c, input(c, QCC_I8, DIMS(1, 3, 4, 4), 7), 4);
    graph_output(c->graph, "y", code(c, NODE(c, Pow, NULL, v, number(c, 0)), 0.5, -8, 7));
    RUN(c, PASS_fuse_map, PASS_fuse_epilogue);
    assert_int_equal(count(c->graph, OP_Map), 1);
    case_free(c);
}

/* ---- split_map ---- */

TEST(shortcut_stores_codes) {
    OPEN;
    Value *x = input(c, QCC_I8, DIMS(1, 3, 4, 4), 7);
    Value *p = NODE(c, Cast, "to=1", code(c, layer(c, x, 4), 0.5, -100, 100));
    Value *q = NODE(c, Cast, "to=1", code(c, layer(c, x, 4), 0.25, 0, 200));
    Value *y = NODE(c, Add, NULL, NODE(c, Mul, NULL, p, number(c, 0.5)), NODE(c, Mul, NULL, q, number(c, 0.25)));
    graph_output(c->graph, "y", code(c, y, 1, -8, 7));
    RUN(c, PASS_fuse_map, PASS_split_map, PASS_fuse_epilogue, PASS_dce_fused);
    assert_int_equal(count(c->graph, OP_QConv), 2);
    assert_int_equal(count(c->graph, OP_Map), 0);
    for (const Node *n = c->graph->first; n; n = n->next) assert_int_equal(elem_info[n->out[0]->type.elem].bits, 8);
    case_free(c);
}

/* ---- narrow ---- */

static Value *centred(OpCase *c, Value *x, double zero) {
    return NODE(c, Sub, NULL, NODE(c, Cast, "to=5", x), constant(c, TENSOR(c, QCC_I16, SCALAR, zero)));
}

static void check_operands(const Graph *g, OpId op, int bits) {
    for (const Node *n = g->first; n; n = n->next)
        if (n->op == op) assert_int_equal(elem_info[in_elem(n, 0)].bits, bits);
}

TEST(bytes_that_fit) {
    OPEN;
    Value *x = centred(c, input(c, QCC_U8, DIMS(1, 3, 4, 4), 255), 128);
    Value *w = constant(c, mixed(c, QCC_I16, DIMS(4, 3, 3, 3), 127));
    Value *y = NODE(c, QConv, "pads=1,1,1,1", x, w), *z = NODE(c, QConv, "pads=1,1,1,1", x, w);
    graph_output(c->graph, "y",
                 NODE(c, Add, NULL, NODE(c, Add, NULL, y, z),
                      NODE(c, Cast, "to=6",
                           NODE(c, Concat, "axis=1", x,
                                NODE(c, Slice, NULL, x, constant(c, LIST(c, 0)), constant(c, LIST(c, 1)),
                                     constant(c, LIST(c, 1)))))));
    RUN(c, PASS_narrow);
    check_operands(c->graph, OP_QConv, 8);
    assert_int_equal(in_elem(find(c->graph, OP_QConv), 1), QCC_I8);
    case_free(c);
}

/* A zero point in the middle: an offset, without padding in the way; the shortcut is made of the same bytes. */
TEST(bytes_by_offset) {
    OPEN;
    Value *x = centred(c, input(c, QCC_U8, DIMS(1, 3, 4, 4), 255), 100);
    Value *y =
        NODE(c, QConv, "group=3 strides=1,2 pads=0,0,0,0", x, constant(c, mixed(c, QCC_I8, DIMS(6, 1, 1, 1), 127)));
    Value *z = NODE(c, QMatMul, NULL, x, constant(c, mixed(c, QCC_I8, DIMS(4, 2), 127)));
    Value *both =
        NODE(c, Add, NULL,
             NODE(c, Slice, NULL, y, constant(c, LIST(c, 0)), constant(c, LIST(c, 3)), constant(c, LIST(c, 1))), z);
    Value *sum = NODE(c, ReduceSum, "keepdims=1", NODE(c, Cast, "to=6", x), constant(c, LIST(c, 1, 2, 3)));
    graph_output(c->graph, "y", NODE(c, Add, NULL, both, sum));
    RUN(c, PASS_narrow);
    check_operands(c->graph, OP_QConv, 8);
    check_operands(c->graph, OP_QMatMul, 8);
    case_free(c);
}

TEST(words_under_padding) {
    OPEN;
    Value *x = centred(c, input(c, QCC_U8, DIMS(1, 3, 4, 4), 255), 100),
          *w = constant(c, mixed(c, QCC_I8, DIMS(2, 3, 3, 3), 7));
    Value *y = NODE(c, QConv, "pads=1,1,1,1", x, w);
    graph_output(c->graph, "y",
                 NODE(c, ReduceSum, NULL, NODE(c, Add, NULL, y, NODE(c, ReduceSum, NULL, NODE(c, QConv, NULL, x, w)))));
    RUN(c, PASS_narrow);
    check_operands(c->graph, OP_QConv, 16);
    case_free(c);
}

/* Weights of 256 values with a zero point. */
TEST(weights_by_offset) {
    OPEN;
    Value *x = input(c, QCC_U8, DIMS(2, 3, 4, 4), 255);
    Tensor *w = mixed(c, QCC_I16, DIMS(2, 3, 3, 3), 100), *m = mixed(c, QCC_I16, DIMS(4, 2), 90);
    for (int64_t i = 0; i < 27; i++) tensor_set_int(w, i, tensor_get_int(w, i) + (i % 2 ? 60 : 100));
    for (int64_t i = 0; i < 8; i++) tensor_set_int(m, i, tensor_get_int(m, i) - (i % 2 ? 0 : 120));
    Value *y = NODE(c, QConv, "pads=1,0,1,2", x, constant(c, w)), *z = NODE(c, QMatMul, NULL, x, constant(c, m));
    z = NODE(c, ReduceSum, "keepdims=1", z, constant(c, LIST(c, 1, 3)));
    graph_output(c->graph, "y", NODE(c, Add, NULL, y, z));
    RUN(c, PASS_narrow);
    for (const Node *n = c->graph->first; n; n = n->next)
        if (n->op == OP_QConv || n->op == OP_QMatMul) assert_int_equal(in_elem(n, 1), QCC_I8);
    assert_int_equal(count(c->graph, OP_QConv), 2);
    case_free(c);
}

/* ---- simplify_map ---- */

enum { ELEMS = 64 };

/* Returns 1 where the program became shorter. */
static int check_simplified(uint64_t seed) {
    static const Elem elems[] = {QCC_I8, QCC_U8, QCC_I16, QCC_I32};
    Arena a = {0};
    const Expr *e = random_expr(&a, &seed, 3 + random_below(&seed, 25), (Elem)0);
    ExprBuilder b = {.arena = &a};
    X *args = NEW_ARRAY(&a, X, e->n_in);
    Value **in = NEW_ARRAY(&a, Value *, e->n_in);
    const void **data = NEW_ARRAY(&a, const void *, e->n_in);
    Graph *g = graph_new(&a, NULL, "random");
    for (int k = 0; k < e->n_in; k++) { /* integers, converted to what the program reads */
        Elem elem = elems[random_below(&seed, COUNT_OF(elems))], wanted = expr_input_elem(e, k);
        Tensor *t = tensor_new(&a, (Type){elem, DIMS(ELEMS)});
        random_elems(&seed, elem, ELEMS, tensor_data(t));
        in[k] = graph_input(g, "x", t->type);
        data[k] = t->data;
        args[k] = wanted ? x_cast(&b, wanted, x_in(&b, k, elem)) : -1;
    }
    X result = x_cast(&b, random_below(&seed, 2) ? QCC_I8 : QCC_I32, x_inline(&b, e, args));
    Node *m = graph_node(g, NULL, OP_Map, LOC_NONE, e->n_in, in, 1);
    m->expr = x_finish(&b, result, e->n_in);
    infer_or_bug(m);
    Ranges r = {.arena = &a};
    const Expr *shorter = map_simplified(&r, &a, m);
    Elem elem = m->out[0]->type.elem;
    void *before = NEW_ARRAY(&a, uint64_t, ELEMS), *after = NEW_ARRAY(&a, uint64_t, ELEMS);
    expr_run(m->expr, ELEMS, data, before);
    expr_run(shorter, ELEMS, data, after);
    int64_t wrong = elems_differ(elem, ELEMS, before, after);
    if (wrong >= 0) fail_msg("element %d\n%sbecame\n%s", (int)wrong, expr_str(&a, m->expr), expr_str(&a, shorter));
    int less = shorter->n < m->expr->n;
    arena_free(&a);
    return less;
}

TEST(shorter_programs_give_the_same) {
    (void)state;
    int shorter = 0;
    for (uint64_t seed = 1; seed <= 20000; seed++) shorter += check_simplified(seed * 7919);
    assert_true(shorter > 200);
}

/* What is left of a chain: its instructions in order, the last a conversion. */
static void becomes_shorter(OpCase *c, Value *y, int n, const XOp *want) {
    graph_output(c->graph, "y", y);
    RUN(c, PASS_fuse_map, PASS_simplify_map);
    const Expr *e = find(c->graph, OP_Map)->expr;
    int k = 0;
    for (int i = 0; i < e->n; i++) {
        if (e->inst[i].op == X_INPUT || e->inst[i].op == X_CONST) continue;
        if (k >= n || e->inst[i].op != want[k]) fail_msg("%s", expr_str(&c->arena, e));
        k++;
    }
    assert_int_equal(k, n);
    case_free(c);
}
#define BECOMES(c, y, ...) becomes_shorter((c), (y), (int)COUNT_OF(((XOp[]){__VA_ARGS__})), (XOp[]){__VA_ARGS__})

/* Quantized with a zero point, which is taken off for the next layer. */
TEST(zero_points_go) {
    OPEN;
    Value *v = NODE(c, Cast, "to=1", input(c, QCC_I32, DIMS(101), 1000));
    v = NODE(c, Round, NULL, NODE(c, Mul, NULL, v, number(c, 0.3)));
    v = NODE(c, Clip, NULL, NODE(c, Add, NULL, v, number(c, -128)), number(c, -128), number(c, 127));
    v = NODE(c, Sub, NULL, NODE(c, Cast, "to=1", NODE(c, Cast, "to=3", v)), number(c, -128));
    BECOMES(c, NODE(c, Cast, "to=2", v), X_CAST, X_MUL, X_RINT, X_MAX, X_MIN, X_CAST);
}

TEST(zero_points_of_integers_go) {
    OPEN;
    Value *v = NODE(c, Cast, "to=1", input(c, QCC_I32, DIMS(101), 1000));
    v = NODE(c, Round, NULL, NODE(c, Mul, NULL, v, number(c, 0.3)));
    v = NODE(c, Clip, NULL, NODE(c, Add, NULL, v, number(c, 128)), number(c, 0), number(c, 255));
    v = centred(c, NODE(c, Cast, "to=2", v), 128);
    BECOMES(c, NODE(c, Cast, "to=3", v), X_CAST, X_MUL, X_RINT, X_MAX, X_MIN, X_CAST);
}

/* Quantized again at its own scale; and limits that a rectifier keeps. */
TEST(requantization_goes) {
    OPEN;
    Value *v = NODE(c, Cast, "to=1", input(c, QCC_I32, DIMS(101), 1000));
    v = NODE(c, Relu, NULL, NODE(c, Mul, NULL, v, number(c, 0.3)));
    v = NODE(c, Cast, "to=2", NODE(c, Clip, NULL, NODE(c, Round, NULL, v), number(c, 0), number(c, 255)));
    v = NODE(c, Mul, NULL, NODE(c, Cast, "to=1", v), number(c, 0.032211483));
    v = NODE(c, Round, NULL, NODE(c, Div, NULL, v, number(c, 0.032211483)));
    v = NODE(c, Cast, "to=2", NODE(c, Clip, NULL, v, number(c, 0), number(c, 255)));
    BECOMES(c, v, X_CAST, X_MUL, X_MAX, X_RINT, X_MIN, X_CAST);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_front_of_reshapes),
        cmocka_unit_test(in_front_of_transpositions),
        cmocka_unit_test(in_front_of_concatenations),
        cmocka_unit_test(in_front_of_maxima),
        cmocka_unit_test(in_front_of_maxima_of_falling_codes),
        cmocka_unit_test(not_where_codes_rise_and_fall),
        cmocka_unit_test(resized_codes_meet_others),
        cmocka_unit_test(resized_codes_leave_as_floats),
        cmocka_unit_test(shuffled_codes),
        cmocka_unit_test(transposed_floats_that_are_wanted),
        cmocka_unit_test(long_programs_stay),
        cmocka_unit_test(no_epilogue_without_the_result),
        cmocka_unit_test(shortcut_stores_codes),
        cmocka_unit_test(bytes_that_fit),
        cmocka_unit_test(bytes_by_offset),
        cmocka_unit_test(words_under_padding),
        cmocka_unit_test(weights_by_offset),
        cmocka_unit_test(shorter_programs_give_the_same),
        cmocka_unit_test(zero_points_go),
        cmocka_unit_test(zero_points_of_integers_go),
        cmocka_unit_test(requantization_goes),
    };
    return TEST_RUN(tests);
}
