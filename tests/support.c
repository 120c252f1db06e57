#include "tests/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"

enum { CTEST_SKIPPED = 77 };

static bool without_data;

int test_result(int n_failed) {
    if (n_failed) return 1;
    return without_data ? CTEST_SKIPPED : 0;
}

static bool is_set(const char *variable) {
    const char *s = getenv(variable);
    return s && strcmp(s, "true") == 0;
}

const char *test_data(Arena *a, const char *name) {
    const char *dir = getenv("QCC_DATA");
    if (!dir || !*dir) dir = QCC_SOURCE_DIR "/../shared/data";
    struct stat st;
    if (stat(dir, &st) != 0 || !S_ISDIR(st.st_mode)) {
        if (is_set("CI")) fail_msg("there is no data folder %s", dir);
        print_message("there is no data folder %s (QCC_DATA names it): skipped\n", dir);
        without_data = true;
        arena_free(a); /* skip() does not come back */
        skip();
    }
    if (!name) return arena_str(a, dir);
    const char *path = arena_printf(a, "%s/%s", dir, name);
    if (stat(path, &st) != 0) fail_msg("there is no %s", path);
    return path;
}

const char *test_dir(Arena *a) {
    Diags d;
    diags_init(&d, a);
    const char *dir = file_temp_dir(a, &d);
    if (!dir) fail_msg("%s", test_diags(a, &d));
    return dir;
}

const char *test_file(Arena *a, const char *dir, const char *name, const void *data, size_t bytes) {
    Diags d;
    diags_init(&d, a);
    const char *path = arena_printf(a, "%s/%s", dir, name);
    if (!file_write(&d, path, data, bytes)) fail_msg("%s", test_diags(a, &d));
    return path;
}

const char *test_diags(Arena *a, const Diags *d) {
    Text t = {.arena = a};
    text_put(&t, "", 0);
    for (const Diag *g = d->first; g; g = g->next) diag_format(&t, g, false);
    return t.s;
}

bool test_alloc_run(AllocBody *body, void *ctx, long at, long *n) {
    Arena a = {0};
    Guard g;
    volatile bool through = false;
    if (setjmp(*guard_enter(&g)) == 0) {
        mem_fail_at(at);
        body(&a, ctx);
        *n = mem_count();
        through = true;
        guard_leave(&g);
    }
    mem_fail_at(-1);
    arena_free(&a);
    return through;
}

long test_alloc_failures(AllocBody *body, void *ctx, long most) {
    long total = 0, tried = 0;
    for (int i = 0; i < 2; i++) assert_true(test_alloc_run(body, ctx, -1, &total));
    long step = total > most ? (total + most - 1) / most : 1;
    for (long at = 0; at < total; at += step, tried++) {
        long n;
        if (test_alloc_run(body, ctx, at, &n)) fail_msg("allocation %ld of %ld failed, and nobody saw it", at, total);
    }
    return tried;
}
