/* Every allocation of the operator table and of the archives fails once, and each time all
 * is unwound: the sanitizer build sees what is lost or touched afterwards. */
#include "tests/support.h"

#include "base/file.h"
#include "frontend/frontend.h"
#include "ir/op.h"

enum { MOST = 3000 };

/* The operator table is kept for good, so filling it is seen only by who comes first: each failure must leave it to be
 * filled by the next. */
static void look_up(Arena *a, void *ctx) {
    (void)a;
    *(OpId *)ctx = op_find("Add");
}

static void test_op_table(void **state) {
    (void)state;
    OpId op = OP_NONE;
    long at = 0, n;
    while (!test_alloc_run(look_up, &op, at, &n)) at++;
    assert_true(at > 50);
    assert_string_equal(op_def(op)->name, "Add");
}

/* An archive of tensors, read and written. */
static void read_and_write(Arena *a, void *ctx) {
    const char *to = ctx;
    Diags d;
    diags_init(&d, a);
    NamedTensor *t;
    size_t n;
    if (npz_read(a, &d, QCC_SOURCE_DIR "/tests/exports/residual_script.npz", &t, &n)) npz_write(a, &d, to, t, n);
}

static void test_archive(void **state) {
    (void)state;
    Arena a = {0};
    const char *to = arena_printf(&a, "%s/copy.npz", test_dir(&a));
    assert_true(test_alloc_failures(read_and_write, arena_str(&a, to), MOST) > 10);
    NamedTensor *t;
    size_t n;
    Diags d;
    diags_init(&d, &a);
    assert_true(npz_read(&a, &d, to, &t, &n));
    assert_true(n > 1);
    arena_free(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_op_table), cmocka_unit_test(test_archive)};
    return TEST_RUN(tests);
}
