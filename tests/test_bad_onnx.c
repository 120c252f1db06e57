/* Broken and hostile models: every file of bad-onnx is judged as its manifest says, in a process of its own that may
 * take 5 seconds and 1 GiB. */
#include "tests/support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "frontend/frontend.h"

enum { MAX_SECONDS = 5, MAX_KIB = 1 << 20 };
/* A child's verdict: no exit status that a sanitizer or the compiler's bug() gives. */
enum { ACCEPTED = 100, REJECTED, SILENT, UNLOCATED };

static int judge(const char *path) {
    Arena a = {0};
    Diags d;
    diags_init(&d, &a);
    int verdict = ACCEPTED;
    if (!onnx_import(&a, &d, path, NULL)) {
        Text t = {.arena = &a};
        verdict = d.n_errors > 0 ? REJECTED : SILENT;
        for (const Diag *g = d.first; g; g = g->next) {
            if (!g->loc.file) verdict = UNLOCATED;
            diag_format(&t, g, false);
        }
    }
    arena_free(&a);
    return verdict;
}

/* NULL, or what is wrong with how the file was taken. */
static const char *run(Arena *a, const char *path, const char *expect) {
    int status;
    struct rusage usage;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(MAX_SECONDS);
        _exit(judge(path));
    }
    if (child < 0 || wait4(child, &status, 0, &usage) != child) return "no process could be started";
    if (WIFSIGNALED(status)) return arena_printf(a, "killed: %s", strsignal(WTERMSIG(status)));
    if (usage.ru_maxrss > MAX_KIB) return arena_printf(a, "it took %ld KiB", usage.ru_maxrss);
    int verdict = WEXITSTATUS(status);
    if (verdict == SILENT) return "rejected without a word";
    if (verdict == UNLOCATED) return "rejected without a location";
    if (verdict < ACCEPTED || verdict > UNLOCATED) return arena_printf(a, "exit status %d", verdict);
    if (strcmp(expect, "accept") == 0 && verdict != ACCEPTED) return "rejected, should be accepted";
    if (strcmp(expect, "reject") == 0 && verdict != REJECTED) return "accepted, should be rejected";
    return NULL;
}

/* Rows begin with: file,expect, */
static void test_manifest(void **state) {
    (void)state;
    Arena a = {0};
    const char *dir = test_data(&a, "bad-onnx");
    Diags d;
    FileView v;
    diags_init(&d, &a);
    assert_true(file_map(&a, &d, arena_printf(&a, "%s/manifest.csv", dir), &v));
    int n = 0, wrong = 0;
    char *row = strchr(arena_strn(&a, (const char *)v.data, v.bytes), '\n');
    while (row && row[1]) {
        char *file = row + 1, *expect = strchr(file, ','), *rest = expect ? strchr(expect + 1, ',') : NULL;
        row = strchr(file, '\n');
        assert_non_null(rest);
        *expect++ = *rest = '\0';
        const char *why = run(&a, arena_printf(&a, "%s/%s", dir, file), expect);
        if (why) print_error("%s: %s\n", file, why);
        wrong += why != NULL;
        n++;
    }
    arena_free(&a);
    assert_true(n > 600);
    assert_int_equal(wrong, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_manifest)};
    return TEST_RUN(tests);
}
