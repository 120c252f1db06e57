/* The text form: golden texts that print as they are, mistakes with their exact diagnostics, hostile texts. */
#include "ir/op.h"
#include "tests/support.h"

#include "base/file.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

static const char *printed(Arena *a, const Graph *g, int64_t max_bytes) {
    Text t = {.arena = a};
    graph_print(&t, g, max_bytes);
    return t.s;
}

static void golden(Arena *a, const char *path) {
    Diags d;
    diags_init(&d, a);
    FileView f;
    assert_true(file_map(a, &d, path, &f));
    const char *text = arena_strn(a, (const char *)f.data, f.bytes);
    Graph *g = graph_parse(a, &d, path, text, f.bytes);
    assert_string_equal(test_diags(a, &d), "");
    assert_non_null(g);
    graph_verify(g, "parse");
    assert_string_equal(printed(a, g, 0), text);
    Arena other = {0};
    Graph *copy = graph_clone(&other, g);
    graph_verify(copy, "clone");
    assert_string_equal(printed(&other, copy, 0), text);
    arena_free(&other);
}

static void goldens_print_as_they_are(void **state) {
    (void)state;
    DIR *dir = opendir(QCC_SOURCE_DIR "/tests/ir");
    assert_non_null(dir);
    int n = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        if (!glob_match("*.qir", e->d_name)) continue;
        Arena a = {0};
        golden(&a, arena_printf(&a, "%s/tests/ir/%s", QCC_SOURCE_DIR, e->d_name));
        arena_free(&a);
        n++;
    }
    closedir(dir);
    assert_true(n > 0);
}

/* What hand-written text becomes: numbers by order, names kept, types filled in. */
static void loose_text_is_normalised(void **state) {
    (void)state;
    static const char text[] = "qir 1 graph \"g\" { # a comment\n"
                               "in %x \"x\":f32[2] in %unused \"u\" : i4 [ ]\n"
                               "%r = Map(%x, %x) => [f32,f32] {t1 = neg($1); add(t1, t1)}\r\n"
                               "out %r \"r\" }\n# the end";
    Arena a = {0};
    Diags d;
    diags_init(&d, &a);
    Graph *g = graph_parse(&a, &d, "loose.qir", text, sizeof text - 1);
    assert_string_equal(test_diags(&a, &d), "");
    assert_string_equal(printed(&a, g, 0), "qir 1\n"
                                           "graph \"g\" {\n"
                                           "  in %0 \"x\": f32[2]\n"
                                           "  in %1 \"u\": i4[]\n"
                                           "  %2: f32[2] = Map(%0, %0) => [_, f32] {t0 = neg($1); add(t0, t0)}\n"
                                           "  out %2 \"r\"\n"
                                           "}\n");
    assert_int_equal(g->first->loc.line, 3);
    arena_free(&a);
}

static void large_constants_can_be_hashed(void **state) {
    (void)state;
    static const char text[] =
        "qir 1 graph \"g\" { %a:u8[3] = const [1,2,3] %b:u8[2]=const[4,5] out %a \"\" out %b \"\"}";
    Arena a = {0};
    Diags d;
    diags_init(&d, &a);
    Graph *g = graph_parse(&a, &d, "", text, sizeof text - 1);
    const char *s = printed(&a, g, 2);
    assert_non_null(strstr(s, "%0: u8[3] = opaque "
                              "\"039058c6f2c0cb492c533b0a4d14ef77cc0f78abccced5287d84a1a2011cfb81\"\n"));
    assert_non_null(strstr(s, "%1: u8[2] = const [4, 5]\n"));
    assert_null(graph_parse(&a, &d, "", s, strlen(s)));
    arena_free(&a);
}

typedef struct Mistake {
    const char *text, *said;
} Mistake;

/* In a graph "g" on line 2, input %x of f32[2]. */
static const Mistake mistakes[] = {
    {"%a = Map(%y)", "2:11: error E601: %y is not defined above"},
    {"in %x \"x\": f32[2]", "2:19: error E601: %x is defined twice"},
    {"%a = Nosuch(%x)", "2:6: error E601: no operator is called 'Nosuch'"},
    {"%a: f32[2,-1] = const []", "2:11: error E601: '-1' is not from 0 to 1099511627776"},
    {"%a: f32[1,1,1,1,1,1,1,1,1] = splat 0", "2:24: error E601: more than 8 dimensions"},
    {"%a: f32[1099511627776,2] = splat 0", "2:24: error E601: a type of more than 1099511627776 bytes"},
    {"%a: f99[2] = splat 0", "2:5: error E601: no element type is called 'f99'"},
    {"%a: f32[1000000] = const [1]", "2:26: error E601: the text ends before 1000000 elements"},
    {"%a: f32[2] = const [1]", "2:22: error E601: ']', but ',' must stand here"},
    {"%a: i8[] = splat 128", "2:18: error E601: '128' is not from -128 to 127"},
    {"%a: u2[] = splat 4", "2:18: error E601: '4' is not from 0 to 3"},
    {"%a: bool[] = splat 2", "2:20: error E601: '2' is not from 0 to 1"},
    {"%a: u64[] = splat -1", "2:19: error E601: '-1' is not from 0 to 18446744073709551615"},
    {"%a: f16[] = splat 0x10000", "2:19: error E601: '0x10000' is not from 0 to 65535"},
    {"%a: f32[] = splat 1e39", "2:19: error E601: '1e39' is out of range"},
    {"%a: f32[] = splat 0x1p3", "2:19: error E601: '0x1p3' is not from 0 to 4294967295"},
    {"%a: f32[] = splat infinity", "2:19: error E601: 'infinity' is not a number"},
    {"%a: i32[] = splat 1.5", "2:19: error E601: '1.5' is not an integer"},
    {"%a: i32[] = splat ;", "2:19: error E601: ';', but a number must stand here"},
    {"out %x \"a", "2:8: error E601: a string is not closed on its line"},
    {"out %x \"\\q\"", "2:8: error E601: no such escape; there are \\\" \\\\ \\n and \\xHH but not \\x00"},
    {"out %x \"\\x00\"", "2:8: error E601: no such escape; there are \\\" \\\\ \\n and \\xHH but not \\x00"},
    {"out %x y", "2:8: error E601: 'y', but a string must stand here"},
    {"%a = Map(%x) => [f32] {sqrt($1)}", "2:30: error E601: the program has no input $1"},
    {"%a = Map(%x) => [_] {sqrt($0)}", "2:28: error E601: the program has no input $0"},
    {"%a = Map(%x) => [i32] {sqrt($0)}", "2:31: error E601: sqrt: the instruction does not take this type"},
    {"%a = Map(%x) => [f32] {add($0, 1:f64)}", "2:37: error E601: add: operands differ in type"},
    {"%a = Map(%x) => [f32] {nosuch($0)}", "2:24: error E601: no instruction or name 'nosuch'"},
    {"%a = Map(%x) => [f32] {in}", "2:24: error E601: no instruction or name 'in'"},
    {"%a = Map(%x) => [f32] {t0 = $0; t0 = $0; t0}", "2:33: error E601: t0 is defined twice"},
    {"%a = Map(%x; %x) => [f32, f32] {$0}", "2:37: error E601: operands after ';' are for an epilogue"},
    {"%a: i32[2] = Map(%x) => [f32] {$0}", "2:36: error E601: %a is said to be i32[2], but is f32[2]"},
    {"%a = Map(%x) {x=1} => [f32] {$0}", "2:15: error E601: Map has no attribute 'x'"},
    {"%a = Map(%x) => [f32] {$0} @(\"n\", \"o\", -2, 1)", "2:40: error E601: '-2' is not from -1 to 2147483647"},
    {"in _", "2:4: error E601: an input is '%', its number, its name, ':' and its type"},
    {"} x", "2:3: error E601: something stands after the graph"},
    {"%a = Map(%x) => [f64] {$0}",
     "2:1: error E304: the program reads its input 0 as f64\n    note: operand 0 (in) 'x': f32[2]  <- here"},
    {"%a = Map(%x) => [f32,f32] {$0}",
     "2:1: error E302: the program reads 2 inputs, but there are 1\n    note: operand 0 (in) 'x': f32[2]"},
    {"%a = Map(%x)", "2:1: error E307: Map needs a program\n    note: operand 0 (in) 'x': f32[2]"},
    {"%a = Map(_) => [f32] {$0}", "2:1: error E302: operand 0 (in) is missing"},
    {"%a:f32[3]=splat 0 %b = Map(%x, %a) => [f32, f32] {$0}",
     "2:19: error E305: operand 1 is [3], which does not broadcast with [2]\n    note: operand 0 (in) 'x': f32[2]\n    "
     "note: operand 1 (in) '': f32[3], constant  <- here"},
};

static void mistakes_are_located(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(mistakes); i++) {
        Arena a = {0};
        Diags d;
        diags_init(&d, &a);
        const char *text = arena_printf(&a, "qir 1 graph \"g\" { in %%x \"x\": f32[2]\n%s }", mistakes[i].text);
        assert_null(graph_parse(&a, &d, "bad.qir", text, strlen(text)));
        assert_string_equal(test_diags(&a, &d), arena_printf(&a, "bad.qir:%s\n", mistakes[i].said));
        arena_free(&a);
    }
}

static void refused(const char *text, size_t n) {
    Arena a = {0};
    Diags d;
    diags_init(&d, &a);
    assert_null(graph_parse(&a, &d, "bad.qir", text, n));
    assert_true(d.n_errors > 0);
    arena_free(&a);
}

/* Every prefix of a good text is refused, read to exactly its end. */
static void prefixes_are_refused(void **state) {
    (void)state;
    Arena a = {0};
    Diags d;
    diags_init(&d, &a);
    FileView f;
    assert_true(file_map(&a, &d, QCC_SOURCE_DIR "/tests/ir/map.qir", &f));
    size_t whole = f.bytes;
    while (whole && f.data[whole - 1] != '}') whole--;
    for (size_t n = 0; n < whole; n++) {
        char *exact = mem_get(n + 1);
        memcpy(exact, f.data, n);
        refused(exact, n);
        mem_put(exact);
    }
    arena_free(&a);
}

static void nesting_is_bounded(void **state) {
    (void)state;
    Arena a = {0};
    Text t = {.arena = &a};
    text_add(&t, "qir 1 graph \"g\" { in %%x \"x\": f32[] %%a = Map(%%x) => [f32] {");
    for (int i = 0; i < 100000; i++) text_add(&t, "neg(");
    refused(t.s, t.n);
    arena_free(&a);
}

/* A chain of a thousand instructions is printed in named pieces and read again. */
static void long_chains_are_named(void **state) {
    (void)state;
    Arena a = {0};
    Diags d;
    diags_init(&d, &a);
    Graph *g = graph_new(&a, NULL, "chain");
    Value *x = graph_input(g, "x", (Type){.elem = QCC_F32});
    ExprBuilder b = {.arena = &a};
    X at = x_in(&b, 0, QCC_F32);
    for (int i = 0; i < 1000; i++) at = x_1(&b, X_SQRT, at);
    Node *n = graph_node(g, NULL, OP_Map, LOC_NONE, 1, &x, 1);
    n->expr = x_finish(&b, at, 1);
    assert_true(node_infer(&d, n));
    graph_output(g, "y", n->out[0]);
    const char *s = printed(&a, g, 0);
    Graph *again = graph_parse(&a, &d, "", s, strlen(s));
    assert_string_equal(test_diags(&a, &d), "");
    assert_true(expr_equal(again->first->expr, n->expr));
    assert_string_equal(printed(&a, again, 0), s);
    arena_free(&a);
}

static void parse_and_print(Arena *a, void *ctx) {
    const FileView *f = ctx;
    Diags d;
    diags_init(&d, a);
    Graph *g = graph_parse(a, &d, "", (const char *)f->data, f->bytes);
    graph_verify(g, "parse");
    printed(a, graph_clone(arena_nested(a), g), 0);
}

static void memory_may_run_out(void **state) {
    (void)state;
    Arena a = {0};
    Diags d;
    diags_init(&d, &a);
    FileView f;
    assert_true(file_map(&a, &d, QCC_SOURCE_DIR "/tests/ir/map.qir", &f));
    assert_true(test_alloc_failures(parse_and_print, &f, 1000) > 50);
    arena_free(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goldens_print_as_they_are),     cmocka_unit_test(loose_text_is_normalised),
        cmocka_unit_test(large_constants_can_be_hashed), cmocka_unit_test(mistakes_are_located),
        cmocka_unit_test(prefixes_are_refused),          cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(long_chains_are_named),         cmocka_unit_test(memory_may_run_out),
    };
    return TEST_RUN(tests);
}
