/* The linker, as a process of its own: it makes the shared library, or merges code and weights into one object. */
#include "base/file.h"
#include "codegen/program.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* Starts argv[0], what it says going to the file `log`, and waits. Its exit status, or -1 if it cannot be started. */
static int run_process(const char *const *argv, const char *log) {
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int status;
    if (posix_spawn_file_actions_init(&actions)) return -1;
    posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    int failed = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failed) return -1;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* The archive of reference kernels, beside the program: as installed, or in the build tree. NULL if there is none. */
static const char *reference_archive(Arena *a) {
    static const char *const places[] = {"../" QCC_LIBDIR "/libqcc_ref.a", "../lib/libqcc_ref.a",
                                         "../runtime/libqcc_ref.a"};
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0) return NULL;
    self[n] = 0;
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        const char *path = arena_printf(a, "%s/%s", path_dir(a, self), places[i]);
        if (access(path, R_OK) == 0) return path;
    }
    return NULL;
}

typedef VEC(const char *) Args;

static void fill_args(Program *p, Args *v, EmitKind kind, const char *const *inputs, int n, const char *output) {
    static const char *const lib[] = {"-shared", "--hash-style=gnu", "--exclude-libs=ALL", "-Bsymbolic"};
    Arena *a = p->arena;
    vec_push(a, v, "linker");
    if (kind == EMIT_OBJ) vec_push(a, v, "-r");
    for (size_t i = 0; kind == EMIT_LIB && i < COUNT_OF(lib); i++) vec_push(a, v, lib[i]);
    vec_push(a, v, "--build-id=none");
    vec_push(a, v, "-z");
    vec_push(a, v, "noexecstack");
    vec_push(a, v, "-o");
    vec_push(a, v, output);
    for (int i = 0; i < n; i++) vec_push(a, v, inputs[i]);
    const char *ref = p->fallback && kind == EMIT_LIB ? reference_archive(a) : NULL;
    if (ref) vec_push(a, v, ref);
    vec_push(a, v, NULL);
}

/* What the linker said, a note for each line. */
static void note_lines(Program *p, Diag *g, const char *s, const char *end) {
    enum { SHOWN = 10, LONGEST = 500 };
    for (int i = 0; s < end && i < SHOWN; i++) {
        const char *stop = memchr(s, '\n', (size_t)(end - s));
        if (!stop) stop = end;
        diag_note(p->diags, g, "it says: %.*s", (int)i64_min(stop - s, LONGEST), s);
        s = stop + 1;
    }
}

static void report(Program *p, const char *linker, const char *log) {
    FileView text = {0};
    Diags none;
    diags_init(&none, p->arena);
    Diag *g = diag(p->diags, D_LINK, LOC_NONE, "%s failed", linker);
    if (file_map(p->arena, &none, log, &text))
        note_lines(p, g, (const char *)text.data, (const char *)text.data + text.bytes);
}

/* GNU ld of this machine links for this machine only. */
static bool fits(const Program *p, const char *linker) { return strcmp(linker, "ld") != 0 || p->target->host; }

bool link_run(Program *p, EmitKind kind, const char *const *inputs, int n, const char *output) {
    static const char *const linkers[] = {"ld.lld-19", "ld.lld", "/usr/lib/llvm-19/bin/ld.lld", "ld"};
    const char *log = arena_printf(p->arena, "%s.log", inputs[0]);
    Args v = {0};
    fill_args(p, &v, kind, inputs, n, output);
    for (size_t i = 0; i < COUNT_OF(linkers); i++) {
        if (!fits(p, linkers[i])) continue;
        v.at[0] = linkers[i];
        int status = run_process(v.at, log);
        if (status == -1 || status == 127) continue;
        if (status == 0) return true;
        report(p, linkers[i], log);
        return false;
    }
    Diag *g = diag(p->diags, D_LINK, LOC_NONE, "no linker was found: ld.lld-19, ld.lld and ld were tried");
    diag_hint(p->diags, g, "install lld-19");
    return false;
}
