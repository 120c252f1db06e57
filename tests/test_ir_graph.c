/* Types, tensors and graphs: counting that cannot overflow, use lists that stay true, and a verifier that sees every
 * breach. */
#include "ir/op.h"
#include "tests/support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHAPE(...) shape_of((int)COUNT_OF(((int64_t[]){__VA_ARGS__})), (int64_t[]){__VA_ARGS__})

/* ---- types ---- */

static void counts_do_not_overflow(void **state) {
    (void)state;
    Shape one = {.rank = 0}, cap = SHAPE(MAX_TENSOR_BYTES), over = SHAPE(MAX_TENSOR_BYTES, 2);
    Shape wraps = SHAPE(1LL << 32, 1LL << 32), empty = SHAPE(3, 0, 7), huge_empty = SHAPE(0, 1LL << 62, 1LL << 62);
    Shape negative = SHAPE(2, -1);
    assert_int_equal(shape_count(&one), 1);
    assert_int_equal(shape_count(&cap), MAX_TENSOR_BYTES);
    assert_int_equal(shape_count(&over), -1);
    assert_int_equal(shape_count(&wraps), -1);
    assert_int_equal(shape_count(&empty), 0);
    assert_int_equal(shape_count(&huge_empty), -1);
    assert_int_equal(shape_count(&negative), -1);
    assert_int_equal(type_bytes(&(Type){QCC_U8, cap}), MAX_TENSOR_BYTES);
    assert_int_equal(type_bytes(&(Type){QCC_F16, cap}), -1);
    assert_int_equal(type_bytes(&(Type){QCC_I4, SHAPE(5)}), 5);
}

static void shapes_broadcast(void **state) {
    (void)state;
    static const struct {
        Shape a, b, both;
        bool fit;
    } cases[] = {
        {{3, {2, 1, 4}}, {2, {3, 1}}, {3, {2, 3, 4}}, true},
        {{0, {0}}, {2, {5, 0}}, {2, {5, 0}}, true},
        {{1, {1}}, {1, {0}}, {1, {0}}, true},
        {{1, {2}}, {1, {0}}, {0, {0}}, false},
        {{2, {2, 3}}, {2, {3, 2}}, {0, {0}}, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Shape r, s;
        assert_int_equal(shape_broadcast(&cases[i].a, &cases[i].b, &r), cases[i].fit);
        assert_int_equal(shape_broadcast(&cases[i].b, &cases[i].a, &s), cases[i].fit);
        if (cases[i].fit) assert_true(shape_equal(&r, &cases[i].both) && shape_equal(&s, &cases[i].both));
    }
}

static void elements_are_those_of_the_table(void **state) {
    (void)state;
    int known = 0;
    for (int64_t e = -1; e <= QCC_ELEM_END; e++) known += elem_known(e);
    assert_int_equal(known, 17);
    assert_false(elem_known(0) || elem_known(QCC_ELEM_END) || elem_known((int64_t)1 << 32 | QCC_F32));
    assert_int_equal(elem_bytes(QCC_I2), 1);
    assert_int_equal(elem_bytes(QCC_BF16), 2);
    assert_int_equal(elem_bytes(QCC_F64), 8);
}

/* ---- tensors ---- */

static void tensors_of_every_type_keep_elements(void **state) {
    (void)state;
    Arena a = {0};
    for (int e = 1; e < QCC_ELEM_END; e++) {
        if (!elem_known(e)) continue;
        Type type = {(Elem)e, SHAPE(1100)};
        Tensor *t = tensor_new(&a, type);
        for (int i = 0; i < 1100; i++) tensor_set(t, i, i % 2);
        for (int i = 0; i < 1100; i++) assert_true(tensor_get(t, i) == i % 2 && tensor_get_int(t, i) == i % 2);
        Tensor *s = tensor_splat(&a, type, (const char *)t->data + elem_bytes((Elem)e));
        assert_true(tensor_get(s, 1099) == 1);
        const Tensor *dense = tensor_dense(&a, s);
        assert_true(!dense->splat && tensor_dense(&a, dense) == dense);
        for (int i = 0; i < 1100; i++) assert_true(tensor_get(dense, i) == 1);
    }
    int64_t n, *v = tensor_ints(&a, tensor_from_ints(&a, QCC_I4, SHAPE(3), (int64_t[]){-8, 7, 3}), &n);
    assert_int_equal(n, 3);
    assert_true(v[0] == -8 && v[1] == 7 && v[2] == 3);
    arena_free(&a);
}

/* ---- graphs ---- */

typedef struct Fixture {
    Arena arena;
    Diags diags;
    Graph *g;
    Value *x;
} Fixture;

static Fixture *open_fixture(void) {
    Fixture *f = mem_get(sizeof *f);
    *f = (Fixture){.arena = {0}};
    diags_init(&f->diags, &f->arena);
    f->g = graph_new(&f->arena, NULL, "g");
    f->x = graph_input(f->g, "x", (Type){QCC_F32, SHAPE(2, 3)});
    return f;
}

static void close_fixture(Fixture *f) {
    arena_free(&f->arena);
    mem_put(f);
}

static Value *add(Fixture *f, Graph *g, Value *p, Value *q) {
    Node *n = graph_node(g, NULL, OP_Add, LOC_NONE, 2, (Value *[]){p, q}, 1);
    assert_true(node_infer(&f->diags, n));
    return n->out[0];
}

static const char *text_of(Fixture *f) {
    Text t = {.arena = &f->arena};
    graph_print(&t, f->g, 0);
    return t.s;
}

/* A body that uses `outer` and gives it, and the sum, to the graph around it; on a node that does not ask for one. */
static Graph *add_body(Fixture *f, Value *on, Value *outer) {
    Graph *body = graph_new(&f->arena, f->g, "body");
    graph_output(body, "sum", add(f, body, outer, graph_const_f32(body, 2)));
    graph_output(body, "outer", outer);
    node_set_attr(on->def, &(Attr){.name = "body", .kind = ATTR_GRAPH, .g = body});
    return body;
}

static void replacing_moves_every_use(void **state) {
    (void)state;
    Fixture *f = open_fixture();
    Value *p = add(f, f->g, f->x, f->x), *q = add(f, f->g, f->x, p), *r = add(f, f->g, p, p);
    p->name = "p";
    graph_output(f->g, "p", p);
    Graph *body = add_body(f, r, p);
    assert_int_equal(value_use_count(p), 6);
    assert_int_equal(value_use_count(f->x), 3);
    graph_replace(f->g, p, q);
    assert_int_equal(value_use_count(p), 0);
    assert_true(value_is_output(q) && !value_is_output(p));
    assert_true(body->outputs.at[1].value == q && body->first->in[0] == q && f->g->outputs.at[0].value == q);
    assert_string_equal(q->name, "p");
    assert_true(q->def->in[1] == q); /* also its own use: who replaces must see to that */
    node_set_in(q->def, 1, f->x);
    graph_erase(p->def);
    node_add_in(q->def, NULL);
    assert_int_equal(q->def->n_in, 3);
    assert_int_equal(value_use_count(f->x), 2);
    close_fixture(f);
}

static void erasing_frees_what_bodies_used(void **state) {
    (void)state;
    Fixture *f = open_fixture();
    Value *p = add(f, f->g, f->x, f->x), *q = add(f, f->g, f->x, f->x);
    add_body(f, q, p);
    assert_int_equal((int)p->uses.n, 1);
    Node *after = q->def->next;
    graph_erase(q->def);
    assert_int_equal((int)p->uses.n, 0);
    assert_true(f->g->last == p->def && q->def->next == after && !q->def->graph);
    assert_int_equal((int)f->x->uses.n, 2);
    close_fixture(f);
}

static void nodes_go_where_they_are_put(void **state) {
    (void)state;
    Fixture *f = open_fixture();
    Value *p = add(f, f->g, f->x, f->x), *q = add(f, f->g, p, p);
    Node *first = graph_node(f->g, p->def, OP_Abs, LOC_NONE, 1, &f->x, 1);
    Node *middle = graph_node(f->g, q->def, OP_Abs, LOC_NONE, 1, &p, 1);
    assert_true(f->g->first == first && first->next == p->def && p->def->prev == first && !first->prev);
    assert_true(p->def->next == middle && middle->next == q->def && q->def->prev == middle && f->g->last == q->def);
    close_fixture(f);
}

static void copies_stand_alone(void **state) {
    (void)state;
    Fixture *f = open_fixture();
    Value *w = graph_constant(f->g, "w", tensor_from_f32(&f->arena, SHAPE(3), (float[]){1, 2, 3}));
    Value *p = add(f, f->g, f->x, w);
    add_body(f, p, f->x);
    graph_output(f->g, "y", p);
    graph_output(f->g, "w", w);
    f->g->inputs.at[0].batch = "N";
    const char *text = text_of(f);
    Arena other = {0};
    Graph *copy = graph_clone(&other, f->g);
    assert_true(*copy->next_id == *f->g->next_id && copy->last->out[0]->id == p->id);
    assert_true(copy->last->attr[0].g->parent == copy && copy->last->in[1]->constant == w->constant);
    graph_replace(copy, copy->outputs.at[0].value, copy->inputs.at[0].value);
    assert_string_equal(text_of(f), text);
    Text t = {.arena = &other};
    graph_print(&t, copy, 0);
    assert_string_not_equal(t.s, text);
    arena_free(&other);
    close_fixture(f);
}

static void bodies_inline(void **state) {
    (void)state;
    Fixture *f = open_fixture();
    Value *p = add(f, f->g, f->x, f->x);
    Graph *body = graph_new(&f->arena, f->g, "body");
    Value *in = graph_input(body, "in", f->x->type);
    graph_output(body, "", add(f, body, in, add(f, body, p, graph_const_f32(body, 0.5f))));
    graph_output(body, "", in);
    graph_output(body, "", p);
    Node *marker = graph_node(f->g, NULL, OP_Abs, LOC_NONE, 1, &p, 1);
    Value *results[3];
    graph_inline(f->g, marker, body, &f->x, results);
    assert_true(results[1] == f->x && results[2] == p && results[0]->graph == f->g);
    assert_true(results[0]->def->next == marker && results[0]->def->in[0] == f->x);
    graph_output(f->g, "y", results[0]);
    assert_true(node_infer(&f->diags, marker));
    graph_replace(f->g, body->outputs.at[0].value, results[0]);
    for (Node *n = body->last; n; n = n->prev) graph_erase(n);
    graph_verify(f->g, "inline");
    close_fixture(f);
}

/* ---- the verifier ---- */

/* Runs graph_verify in a child on a graph that `breaks` has damaged: it must say so and exit as a bug. */
static void expect_broken(void (*breaks)(Fixture *), const char *what) {
    Fixture *f = open_fixture();
    Value *p = add(f, f->g, f->x, graph_const_f32(f->g, 1));
    graph_output(f->g, "y", add(f, f->g, p, f->x));
    graph_verify(f->g, "before");
    breaks(f);
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        graph_verify(f->g, "the test");
        _exit(0);
    }
    close(ends[1]);
    char said[4096];
    size_t n = 0;
    for (ssize_t got; n < sizeof said - 1 && (got = read(ends[0], said + n, sizeof said - 1 - n)) > 0;)
        n += (size_t)got;
    said[n] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 70);
    assert_non_null(strstr(said, "the test: the graph is broken: "));
    if (!strstr(said, what)) fail_msg("'%s' is not in: %s", what, said);
    close_fixture(f);
}

static void loses_use(Fixture *f) { f->x->uses.n--; }
static void keeps_use(Fixture *f) { f->g->last->in[1] = f->g->first->in[1]; }
static void doubles_use(Fixture *f) { f->x->uses.at[1] = f->x->uses.at[0]; }
static void unsorts(Fixture *f) {
    Node *a = f->g->first, *b = f->g->last;
    b->prev = a->next = NULL;
    b->next = a;
    a->prev = b;
    f->g->first = b;
    f->g->last = a;
}
static void unlinks(Fixture *f) { f->g->last->prev = NULL; }
static void forgets_type(Fixture *f) { f->g->first->out[0]->type.elem = (Elem)0; }
static void lies_on_type(Fixture *f) { f->g->last->out[0]->type.shape.dim[0] = 7; }
static void shares_id(Fixture *f) { f->g->first->out[0]->id = f->x->id; }
static void borrows_value(Fixture *f) {
    node_set_in(f->g->last, 0, graph_input(graph_new(&f->arena, NULL, ""), "z", f->x->type));
}
static void hides_body(Fixture *f) { add_body(f, f->g->last->out[0], f->x)->parent = NULL; }
static void misuses_epilogue(Fixture *f) {
    ExprBuilder b = {.arena = &f->arena};
    f->g->last->expr = x_finish(&b, x_in(&b, 0, QCC_F32), 1);
    f->g->last->epilogue_in = 5;
}
static void retypes_constant(Fixture *f) { f->g->first->in[1]->type.elem = QCC_I32; }
static void drops_operand(Fixture *f) { node_set_in(f->g->last, 0, NULL); }

static void the_verifier_sees(void **state) {
    (void)state;
    expect_broken(loses_use, "4 operands, but 3 uses");
    expect_broken(keeps_use, "has a use that is not one");
    expect_broken(doubles_use, "has a use twice");
    expect_broken(unsorts, "is used before it is defined");
    expect_broken(unlinks, "Add is linked wrongly");
    expect_broken(forgets_type, "has no type");
    expect_broken(lies_on_type, "is f32[7,3], but infers as f32[2,3]");
    expect_broken(shares_id, "is defined twice");
    expect_broken(borrows_value, "of a graph apart");
    expect_broken(hides_body, "a body of Add has another parent");
    expect_broken(misuses_epilogue, "a wrong epilogue_in");
    expect_broken(retypes_constant, "has another type");
    expect_broken(drops_operand, "does not infer: qcc: error E302: operand 0 (A) is missing");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_do_not_overflow),
        cmocka_unit_test(shapes_broadcast),
        cmocka_unit_test(elements_are_those_of_the_table),
        cmocka_unit_test(tensors_of_every_type_keep_elements),
        cmocka_unit_test(replacing_moves_every_use),
        cmocka_unit_test(erasing_frees_what_bodies_used),
        cmocka_unit_test(nodes_go_where_they_are_put),
        cmocka_unit_test(copies_stand_alone),
        cmocka_unit_test(bodies_inline),
        cmocka_unit_test(the_verifier_sees),
    };
    return TEST_RUN(tests);
}
