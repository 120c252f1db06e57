/* The operator table and what is checked of every node; evaluation of the three kinds of operators. */
#include "tests/op_case.h"

#include "tests/support.h"

#include <malloc.h>
#include <math.h>
#include <string.h>

/* ---- the table ---- */

static void names_find_their_rows(void **state) {
    (void)state;
    for (int i = 1; i < OP_COUNT; i++) assert_int_equal(op_find(op_def((OpId)i)->name), i);
    assert_int_equal(op_find("Nosuch"), OP_NONE);
    assert_int_equal(op_find(""), OP_NONE);
    assert_int_equal(op_find("None"), OP_NONE);
}

static void texts_become_schemas(void **state) {
    (void)state;
    const OpDef *conv = op_def(OP_Conv), *clip = op_def(OP_Clip), *concat = op_def(OP_Concat);
    assert_int_equal(conv->kind, OP_REF);
    assert_string_equal(conv->ref_symbol, "ref_Conv");
    assert_int_equal(conv->n_in, 3);
    assert_int_equal(conv->min_in, 2);
    assert_true(conv->in[2].optional && !conv->in[1].optional);
    assert_true(conv->types['T' - 'A'] & 1u << QCC_F32);
    assert_false(conv->types['T' - 'A'] & 1u << QCC_BOOL);
    assert_int_equal(clip->kind, OP_EXPR);
    assert_int_equal(clip->min_in, 1);
    assert_true(concat->in[0].variadic && concat->min_in == 1);
    assert_true(concat->attr[0].required && concat->attr[0].kind == ATTR_INT);
    assert_true(op_def(OP_Reshape)->in[1].constant);
}

static void defaults_stand_in(void **state) {
    (void)state;
    OpCase *c = case_new();
    case_in(c, case_ramp(c, QCC_F32, DIMS(2, 2)));
    case_in(c, case_ramp(c, QCC_F32, DIMS(2, 2)));
    Node *n = case_node(c, OP_Gemm, "transA=1");
    assert_int_equal(node_int(n, "transA"), 1);
    assert_int_equal(node_int(n, "transB"), 0);
    assert_true(node_float(n, "alpha") == 1);
    node_set_float(n, "alpha", 0.5);
    node_set_int(n, "transA", 0);
    assert_true(node_float(n, "alpha") == 0.5 && node_int(n, "transA") == 0 && n->n_attr == 2);
    assert_null(node_attr(n, "beta"));
    case_free(c);
}

/* ---- checks ---- */

static void counts_of_operands_are_checked(void **state) {
    (void)state;
    OpCase *c = case_new();
    case_in(c, case_ramp(c, QCC_F32, DIMS(2)));
    case_refused(c, OP_Add, NULL, D_ARITY, "1 operands, but Add takes 2\n    note: operand 0 (A) '");
    case_in(c, case_ramp(c, QCC_F32, DIMS(2)));
    case_in(c, case_ramp(c, QCC_F32, DIMS(2)));
    case_refused(c, OP_Add, NULL, D_ARITY, "3 operands, but Add takes 2");
    c->n_out = 2;
    c->n_in = 2;
    case_refused(c, OP_Add, NULL, D_ARITY, "2 outputs, but Add takes 1");
    c->n_out = 1;
    c->n_in = 0;
    case_refused(c, OP_Concat, "axis=0", D_ARITY, "0 operands, but Concat takes at least 1");
    case_absent(c);
    case_in(c, case_ramp(c, QCC_F32, DIMS(2)));
    case_refused(c, OP_Add, NULL, D_ARITY, "operand 0 (A) is missing");
    case_free(c);
}

static void attributes_are_checked(void **state) {
    (void)state;
    OpCase *c = case_new();
    case_in(c, case_ramp(c, QCC_F32, DIMS(2)));
    case_refused(c, OP_Concat, NULL, D_ATTRIBUTE, "attribute 'axis' is missing");
    Node *n = case_node(c, OP_Concat, "axis=0");
    node_set_float(n, "axis", 1);
    assert_false(node_infer(&c->diags, n));
    assert_non_null(strstr(test_diags(&c->arena, &c->diags), "attribute 'axis' is a float, but must be an int"));
    node_set_int(n, "axis", 0);
    node_set_int(n, "sixaxis", 0);
    assert_true(node_infer(&c->diags, n));
    assert_int_equal(c->diags.n_warnings, 1);
    assert_true(node_infer(&c->diags, n));
    assert_int_equal(c->diags.n_warnings, 1);
    assert_int_equal(n->n_attr, 1);
    case_free(c);
}

static void element_types_are_checked(void **state) {
    (void)state;
    OpCase *c = case_new();
    case_in(c, case_ramp(c, QCC_F32, DIMS(2)));
    case_in(c, case_ramp(c, QCC_I32, DIMS(2)));
    case_refused(c, OP_Add, NULL, D_OPERAND_TYPE, "operand 1 (B) is i32, but must be f32 as the operands before it");
    case_refused(c, OP_And, NULL, D_OPERAND_TYPE, "operand 0 (A) is f32, but must be one of bool");
    case_free(c);
}

static void constants_are_asked_for(void **state) {
    (void)state;
    OpCase *c = case_new();
    case_in(c, case_ramp(c, QCC_F32, DIMS(2, 3)));
    case_in(c, LIST(c, 3, 2));
    case_refused(c, OP_Reshape, NULL, D_CONST_UNBOUND, "must be known, but is the graph's input '");
    c->in[1] = graph_node(c->graph, NULL, OP_Neg, LOC_NONE, 1, &c->in[1], 1)->out[0];
    assert_true(node_infer(&c->diags, c->in[1]->def));
    case_refused(c, OP_Reshape, NULL, D_NOT_STATIC,
                 "operand 1 (shape) must be known, but is computed from the graph's input ");
    case_free(c);
}

static void sizes_are_bounded(void **state) {
    (void)state;
    OpCase *c = case_new();
    case_in(c, case_ramp(c, QCC_F32, DIMS(1)));
    case_const(c, LIST(c, 1099511627776.0));
    case_refused(c, OP_Expand, NULL, D_SIZE_LIMIT, "output 0 is f32[1099511627776], more than 1099511627776 bytes");
    case_free(c);
}

static void shapes_must_broadcast(void **state) {
    (void)state;
    OpCase *c = case_new();
    case_in(c, case_ramp(c, QCC_F32, DIMS(2, 3)));
    case_in(c, case_ramp(c, QCC_F32, DIMS(2)));
    case_refused(c, OP_Mul, NULL, D_OPERAND_SHAPE, "operand 1 is [2], which does not broadcast with [2,3]");
    case_free(c);
}

/* ---- evaluating ---- */

/* Shapes over several blocks, broadcast on the outside, in the middle and on the inside. */
static void operands_broadcast(void **state) {
    (void)state;
    static const Shape shapes[] = {{3, {7, 1, 450}}, {3, {1, 3, 1}}, {2, {3, 450}},   {1, {450}},
                                   {3, {7, 3, 1}},   {0, {0}},       {3, {7, 3, 450}}};
    Shape whole = {3, {7, 3, 450}};
    for (size_t k = 0; k < COUNT_OF(shapes); k++) {
        OpCase *c = case_new();
        const Tensor *p = case_ramp(c, QCC_I32, whole), *q = case_ramp(c, QCC_I32, shapes[k]);
        case_in(c, p);
        case_in(c, q);
        const Tensor *r = case_eval(c, case_node(c, OP_Sub, NULL), 0);
        int64_t own[MAX_RANK], i = 0;
        shape_strides(&shapes[k], own);
        for (int64_t x = 0; x < 7; x++) {
            for (int64_t y = 0; y < 3; y++) {
                for (int64_t z = 0; z < 450; z++, i++) {
                    int64_t at[] = {x, y, z}, from = 0;
                    for (int d = 0; d < shapes[k].rank; d++) {
                        int64_t size = shapes[k].dim[d];
                        from += size == 1 ? 0 : at[d + 3 - shapes[k].rank] * own[d];
                    }
                    assert_int_equal(tensor_get_int(r, i), i - from);
                }
            }
        }
        case_free(c);
    }
}

static void splats_stay_splats(void **state) {
    (void)state;
    OpCase *c = case_new();
    Type huge = {QCC_F32, DIMS(1 << 20, 1 << 17)};
    case_in(c, tensor_splat(&c->arena, huge, &(float){1.5f}));
    case_in(c, F32(c, SCALAR, 2));
    Tensor *r;
    assert_true(node_eval(&c->arena, &c->diags, case_node(c, OP_Mul, NULL), c->data, &r));
    assert_true(r->splat && tensor_get(r, 12345) == 3 && type_equal(&r->type, &huge));
    case_free(c);
}

static Expr const *scale_and_clip(Arena *a) {
    ExprBuilder b = {.arena = a};
    X scaled = x_2(&b, X_MUL, x_in(&b, 0, QCC_F32), x_in(&b, 1, QCC_F32));
    return x_finish(&b, x_cast(&b, QCC_I32, x_2(&b, X_MIN, scaled, x_const(&b, QCC_F32, 40))), 2);
}

/* An epilogue gives what the nodes would give that it stands for. */
static void epilogues_apply(void **state) {
    (void)state;
    OpCase *c = case_new();
    case_in(c, case_ramp(c, QCC_F32, DIMS(2, 3)));
    case_in(c, case_ramp(c, QCC_F32, DIMS(3, 2)));
    Node *n = case_node(c, OP_MatMul, NULL);
    n->epilogue_in = 2;
    n->expr = scale_and_clip(&c->arena);
    case_in(c, F32(c, DIMS(2), 2, -1));
    node_add_in(n, c->in[2]);
    assert_true(node_infer(&c->diags, n));
    assert_string_equal(type_str(&c->arena, &n->out[0]->type), "i32[2,2]");
    case_output(c, n, 0, TENSOR(c, QCC_I32, DIMS(2, 2), 20, -13, 40, -40));
    n->expr = NULL;
    assert_false(node_infer(&c->diags, n));
    case_free(c);
}

static void epilogues_are_checked(void **state) {
    (void)state;
    OpCase *c = case_new();
    case_in(c, case_ramp(c, QCC_F32, DIMS(2, 3)));
    case_in(c, case_ramp(c, QCC_F32, DIMS(3, 2)));
    Node *n = case_node(c, OP_MatMul, NULL);
    case_in(c, F32(c, DIMS(4, 2, 2), 1));
    n->epilogue_in = 2;
    n->expr = scale_and_clip(&c->arena);
    assert_false(node_infer(&c->diags, n));
    node_add_in(n, c->in[2]);
    assert_false(node_infer(&c->diags, n));
    const char *said = test_diags(&c->arena, &c->diags);
    assert_non_null(strstr(said, "the program reads 2 inputs, but there are 1"));
    assert_non_null(strstr(said, "the epilogue's operands broadcast to [4,2,2], but the result is [2,2]"));
    ExprBuilder b = {.arena = &c->arena};
    n->expr = x_finish(&b, x_in(&b, 1, QCC_F32), 2);
    assert_false(node_infer(&c->diags, n));
    assert_non_null(strstr(test_diags(&c->arena, &c->diags), "the epilogue does not read the result"));
    case_free(c);
}

typedef struct Seen {
    int values;
    size_t bytes; /* most that was allocated in all */
} Seen;

static void look(void *ctx, const Value *v, const Tensor *t) {
    Seen *seen = ctx;
    struct mallinfo2 m = mallinfo2();
    size_t bytes = m.uordblks + m.hblkhd;
    assert_true(type_equal(&v->type, &t->type));
    seen->values++;
    if (bytes > seen->bytes) seen->bytes = bytes;
}

/* x + x, 60 times on 4 MiB: what is dead goes, so that a few of them live at a time. (A sanitizer's allocator does not
 * say how much it gave; there the bound holds idly.) */
static void graphs_evaluate(void **state) {
    (void)state;
    Arena a = {0};
    Diags d;
    diags_init(&d, &a);
    Graph *g = graph_new(&a, NULL, "g");
    Value *x = graph_input(g, "x", (Type){QCC_F32, DIMS(1 << 20)}), *at = x;
    for (int i = 0; i < 60; i++) {
        Node *n = graph_node(g, NULL, OP_Add, LOC_NONE, 2, (Value *[]){at, at}, 1);
        assert_true(node_infer(&d, n));
        at = n->out[0];
    }
    graph_output(g, "x", x);
    graph_output(g, "y", at);
    graph_output(g, "one", graph_const_f32(g, 1));
    const Tensor *in = tensor_dense(&a, tensor_splat(&a, x->type, &(float){1}));
    Tensor *out[3];
    Seen seen = {0};
    assert_true(graph_eval(&a, &d, g, &in, out, look, &seen));
    assert_int_equal(seen.values, 60);
    assert_true(seen.bytes < 40u << 20);
    assert_true(tensor_get(out[1], 77) == ldexp(1, 60) && !out[1]->splat && !out[0]->splat);
    assert_true(tensor_get(out[0], 5) == 1 && tensor_get(out[2], 0) == 1);
    arena_free(&a);
}

/* An expansion evaluates as its parts, whether its operands are known or not. */
static void expansions_evaluate(void **state) {
    (void)state;
    OpCase *c = case_new();
    case_in(c, F32(c, DIMS(2, 2), 1, 2, 3, 4));
    case_gives(c, OP_Flatten, "axis=0", F32(c, DIMS(1, 4), 1, 2, 3, 4));
    case_gives(c, OP_ReduceMean, "keepdims=0", F32(c, SCALAR, 2.5));
    c->n_in = 0;
    case_const(c, F32(c, DIMS(2, 2), 1, 2, 3, 4));
    case_gives(c, OP_ReduceMean, "keepdims=0", F32(c, SCALAR, 2.5));
    case_free(c);
}

static void expansions_replace_in_place(void **state) {
    (void)state;
    OpCase *c = case_new();
    case_in(c, F32(c, DIMS(2, 2), 1, 2, 3, 4));
    Node *n = case_node(c, OP_ReduceMean, "keepdims=0");
    n->out[0]->name = "mean";
    n->loc = (Loc){.node = "the mean", .index = 5};
    graph_output(c->graph, "mean", n->out[0]);
    assert_true(node_expand(&c->diags, n));
    graph_verify(c->graph, "expand");
    Value *v = c->graph->outputs.at[0].value;
    assert_true(v->def && v->def->op != OP_ReduceMean);
    assert_string_equal(v->name, "mean");
    assert_string_equal(v->def->loc.node, "the mean");
    case_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_find_their_rows),   cmocka_unit_test(texts_become_schemas),
        cmocka_unit_test(defaults_stand_in),       cmocka_unit_test(counts_of_operands_are_checked),
        cmocka_unit_test(attributes_are_checked),  cmocka_unit_test(element_types_are_checked),
        cmocka_unit_test(constants_are_asked_for), cmocka_unit_test(sizes_are_bounded),
        cmocka_unit_test(shapes_must_broadcast),   cmocka_unit_test(operands_broadcast),
        cmocka_unit_test(splats_stay_splats),      cmocka_unit_test(epilogues_apply),
        cmocka_unit_test(epilogues_are_checked),   cmocka_unit_test(graphs_evaluate),
        cmocka_unit_test(expansions_evaluate),     cmocka_unit_test(expansions_replace_in_place),
    };
    return TEST_RUN(tests);
}
