/* What the test programs share: the way to run them, to the data folder, and through every failing allocation. Includes
 * cmocka, which needs others before it. */
#ifndef QCC_TESTS_SUPPORT_H
#define QCC_TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/diag.h"

/* The last statement of main: `return TEST_RUN(tests);`. 0 good, 77 (CTest's "skipped") if all that ran was good but
 * some test had no data, else 1. */
#define TEST_RUN(tests) test_result(cmocka_run_group_tests((tests), NULL, NULL))
int test_result(int n_failed);

/* Path of `name` (NULL: of the folder itself) in the data folder, which is $QCC_DATA or else shared/data beside the
 * tree. Where there is no such folder the arena is freed and the test skipped, with a word about it; under CI=true it
 * fails. A folder without the file is a failure always. Lives in the arena. */
const char *test_data(Arena *a, const char *name);

/* A private folder, removed with the arena. */
const char *test_dir(Arena *a);
/* Writes text or bytes to dir/name and returns that path; fails the test if it cannot. */
const char *test_file(Arena *a, const char *dir, const char *name, const void *data, size_t bytes);

/* Everything that `d` holds, as printed without colour. */
const char *test_diags(Arena *a, const Diags *d);

/* Runs body(arena, ctx) with its first allocation failing, then its second, ..., until it gets through: whatever it
 * does must unwind cleanly each time (the sanitizer build sees what is lost). The arena is fresh for every run. If
 * there are more than `most` allocations, that many are tried, evenly spread. Returns the number of failures provoked.
 */
typedef void AllocBody(Arena *a, void *ctx);
long test_alloc_failures(AllocBody *body, void *ctx, long most);
/* One such run: true if the body got through, *n being the number of its allocations. `at` < 0: none fails. */
bool test_alloc_run(AllocBody *body, void *ctx, long at, long *n);

#endif
