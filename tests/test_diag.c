/* base/diag: the table, collecting, the printed form. */
#include "tests/support.h"

#include <string.h>

static void test_table_is_sound(void **state) {
    (void)state;
    for (int i = 0; i < D_COUNT; i++) {
        assert_non_null(diag_info[i].symbol);
        assert_true(strlen(diag_info[i].text) > 10);
        assert_in_range(diag_info[i].no, 1, 699);
        if (i && diag_info[i].no <= diag_info[i - 1].no)
            fail_msg("%s: numbers rise, and none is used twice", diag_info[i].symbol);
    }
    assert_string_equal(diag_info[D_OPERAND_SHAPE].symbol, "OPERAND_SHAPE");
    assert_int_equal(diag_info[D_OPERAND_SHAPE].no, 305);
    assert_int_equal(diag_info[D_OPERAND_SHAPE].sev, SEV_E);
}

static void test_full_form(void **state) {
    (void)state;
    Arena a = {0};
    Diags d;
    diags_init(&d, &a);
    Loc l = {.file = "model.onnx", .node = "conv1", .op = "Conv", .index = 12, .opset = 13};
    Diag *g = diag(&d, D_OPERAND_SHAPE, l, "operand %d has rank %d, wanted 4", 0, 3);
    diag_note(&d, g, "operand 0 'x': f32[1,8,8]");
    diag_note(&d, g, "operand 1 'w': f32[8,3,3,3]");
    diag_hint(&d, g, "first");
    diag_hint(&d, g, "bind it with %s", "--shape");
    assert_string_equal(test_diags(&a, &d),
                        "model.onnx: node 'conv1' (Conv #12): error E305: operand 0 has rank 3, wanted 4\n"
                        "    note: operand 0 'x': f32[1,8,8]\n"
                        "    note: operand 1 'w': f32[8,3,3,3]\n"
                        "    hint: bind it with --shape\n");
    arena_free(&a);
}

static void test_place_with_less_known(void **state) {
    (void)state;
    static const struct {
        Loc loc;
        const char *place;
    } row[] = {
        {{.index = -1}, "qcc: "},
        {{.file = "m", .index = -1}, "m: "},
        {{.file = "m", .node = "", .op = "Add", .index = 0}, "m: node Add #0: "},
        {{.file = "m", .node = "n", .index = -1}, "m: node 'n': "},
        {{.file = "m", .node = "n", .op = "Add", .index = -1}, "m: node 'n' (Add): "},
        {{.file = "m", .index = 3}, "m: node #3: "},
        {{.file = "m", .node = "n", .op = "", .index = 3}, "m: node 'n' (#3): "},
        {{.file = "m.qir", .index = -1, .line = 4, .col = 9}, "m.qir:4:9: "},
        {{.file = "m.qir", .index = -1, .line = 4}, "m.qir:4: "},
    };
    for (size_t i = 0; i < COUNT_OF(row); i++) {
        Arena a = {0};
        Diags d;
        diags_init(&d, &a);
        diag(&d, D_FALLBACK, row[i].loc, "slow");
        assert_string_equal(test_diags(&a, &d), arena_printf(&a, "%swarning W501: slow\n", row[i].place));
        arena_free(&a);
    }
}

static void test_numbers_have_three_digits(void **state) {
    (void)state;
    Arena a = {0};
    Diags d;
    diags_init(&d, &a);
    diag(&d, D_FILE_OPEN, LOC_NONE, "x");
    diag(&d, D_BATCH_DEFAULT, LOC_NONE, "y");
    assert_string_equal(test_diags(&a, &d), "qcc: error E001: x\nqcc: note N104: y\n");
    assert_int_equal(d.n_errors, 1);
    assert_int_equal(d.n_warnings, 0);
    arena_free(&a);
}

static void test_control_characters_are_escaped(void **state) {
    (void)state;
    Arena a = {0};
    Diags d;
    diags_init(&d, &a);
    Loc l = {.file = "a\nb", .node = "\33[2J\xc2\x9b", .op = "O\x7f", .index = 1};
    Diag *g = diag(&d, D_ARITY, l, "name '%s'", "\xc3\xa9\r");
    diag_note(&d, g, "\t");
    diag_hint(&d, g, "\1");
    assert_string_equal(test_diags(&a, &d),
                        "a\\x0ab: node '\\x1b[2J\\xc2\x9b' (O\\x7f #1): error E302: name '\xc3\xa9\\x0d'\n"
                        "    note: \\x09\n"
                        "    hint: \\x01\n");
    arena_free(&a);
}

static void test_colour(void **state) {
    (void)state;
    Arena a = {0};
    Diags d;
    diags_init(&d, &a);
    Text t = {.arena = &a};
    diag_format(&t, diag(&d, D_USAGE, LOC_NONE, "x"), true);
    assert_string_equal(t.s, "\33[1mqcc: \33[0m\33[1;31merror E101: \33[0mx\n");
    arena_free(&a);
}

static void test_cap(void **state) {
    (void)state;
    Arena a = {0};
    Diags d;
    diags_init(&d, &a);
    for (int i = 0; i < 2 * DIAG_CAP; i++) {
        Diag *g = diag(&d, D_ARITY, LOC_NONE, "%d", i);
        diag_note(&d, g, "a note on one that is not kept does no harm");
        diag(&d, D_FALLBACK, LOC_NONE, "%d", i);
    }
    int kept = 0;
    for (Diag *g = d.first; g; g = g->next) kept++;
    assert_int_equal(kept, 2 * DIAG_CAP);
    assert_int_equal(d.n_errors, 2 * DIAG_CAP);
    assert_int_equal(d.n_warnings, 2 * DIAG_CAP);
    assert_string_equal(d.first->next->next->text, "1");
    arena_free(&a);
}

static void collect(Arena *a, void *ctx) {
    (void)ctx;
    Diags d;
    diags_init(&d, a);
    for (int i = 0; i < 10; i++) {
        Diag *g = diag(&d, D_ARITY, LOC_NONE, "%d", i);
        diag_note(&d, g, "note");
        diag_hint(&d, g, "hint");
    }
    test_diags(a, &d);
}

static void test_alloc_failures_unwind(void **state) {
    (void)state;
    assert_true(test_alloc_failures(collect, NULL, 1000) > 30);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_is_sound),
        cmocka_unit_test(test_full_form),
        cmocka_unit_test(test_place_with_less_known),
        cmocka_unit_test(test_numbers_have_three_digits),
        cmocka_unit_test(test_control_characters_are_escaped),
        cmocka_unit_test(test_colour),
        cmocka_unit_test(test_cap),
        cmocka_unit_test(test_alloc_failures_unwind),
    };
    return TEST_RUN(tests);
}
