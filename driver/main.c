/* qcc: parse the command, do the verb, print what was found wrong. */
#include "driver/driver.h"

#include "base/temp.h"
#include "ir/op.h"
#include "quant/scheme.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_GOOD = 0, EXIT_MODEL = 1, EXIT_WORLD = 2 };

static bool wants_colour(const Command *c) {
    const char *when = command_get(c, O_COLOUR);
    if (when && strcmp(when, "always") == 0) return true;
    if (when && strcmp(when, "never") == 0) return false;
    return isatty(STDERR_FILENO) && !getenv("NO_COLOR");
}

static void print_diags(Arena *a, const Diags *d, bool colour) {
    Text t = {.arena = a};
    for (const Diag *g = d->first; g; g = g->next) diag_format(&t, g, colour);
    if (t.n) fputs(t.s, stderr);
    if (d->n_errors > DIAG_CAP) fprintf(stderr, "qcc: %d more errors not shown\n", d->n_errors - DIAG_CAP);
}

static void print_operators(Text *t) {
    for (OpId op = 1; op < OP_COUNT; op++) {
        const OpDef *def = op_def(op);
        text_add(t, "%-28s %s\n", def->name, def->limits);
    }
    onnx_print_foreign(t);
}

static void print_passes(Text *t) {
    for (int i = 0; i < PASS_COUNT; i++)
        text_add(t, "%-12s %-12s %s\n", pass_info[i].stage, pass_info[i].name, pass_info[i].help);
}

static void print_schemes(Text *t) {
    for (int i = 0; i < SCHEME_COUNT; i++) {
        const SchemeInfo *s = &scheme_info[i];
        text_add(t, "%-8s weights to %d bits, activations to %d%s%s\n         %s\n", s->name, s->w_bits, s->a_bits,
                 *s->words ? "; words: " : "", s->words, s->help);
    }
}

/* Options that print something and are done; false if there is none. */
static bool answer_questions(const Command *c, Arena *a) {
    Text t = {.arena = a};
    if (command_has(c, O_HELP) || command_has(c, O_HELP_SHORT)) {
        command_help(&t, c->verb);
    } else if (command_has(c, O_VERSION)) {
        text_add(&t, "qcc %s\n", QCC_VERSION);
    } else if (command_has(c, O_OPS)) {
        print_operators(&t);
    } else if (command_has(c, O_TARGETS)) {
        codegen_print_targets(&t);
    } else if (command_has(c, O_SCHEMES)) {
        print_schemes(&t);
    } else if (command_has(c, O_PASSES)) {
        print_passes(&t);
    } else {
        return false;
    }
    fputs(t.s, stdout);
    return true;
}

static bool do_verb(Driver *dr) {
    switch (dr->cmd.verb[0]) {
    case 'r':
        return run_verb(dr);
    case 'b':
        return bench_verb(dr);
    case 'i':
        return info_verb(dr);
    case 'e':
        return export_verb(dr);
    case 'q':
        return quantize_verb(dr);
    case 'v':
        return verify_verb(dr);
    default:
        return compile_verb(dr);
    }
}

/* 2 if everything wrong is the world's fault, else 1. */
static int exit_status(const Diags *d) {
    for (const Diag *g = d->first; g; g = g->next)
        if (diag_info[g->id].sev == SEV_E && diag_info[g->id].no >= 100) return EXIT_MODEL;
    return EXIT_WORLD;
}

/* Opens what the caller closed of the standard streams, or the next file opened would be taken for one. They refuse
 * use.
 */
static void hold_streams(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0) (void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

/* Interrupted, it leaves nothing behind, and ends as if it had not noticed. */
static void leave(int sig) {
    temp_remove_all();
    raise(sig);
}

static void catch_signals(void) {
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction a = {.sa_handler = leave, .sa_flags = (int)SA_RESETHAND}, old;
    for (size_t i = 0; i < COUNT_OF(signals); i++) {
        if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler == SIG_IGN) continue;
        sigaction(signals[i], &a, NULL);
    }
}

static bool flush_output(Diags *d) {
    bool lost = ferror(stdout);
    errno = 0;
    if (fflush(stdout) == 0 && !lost) return true;
    diag(d, D_FILE_OPEN, LOC_NONE, "cannot write to standard output%s%s", errno ? ": " : "",
         errno ? strerror(errno) : "");
    return false;
}

/* Everything after memory can run out: returns the exit status. */
static int command_main(Driver *dr, int argc, char **argv) {
    int status = EXIT_GOOD;
    if (!command_parse(dr->arena, dr->diags, argc, argv, &dr->cmd)) {
        status = exit_status(dr->diags);
    } else if (!answer_questions(&dr->cmd, dr->arena) && !do_verb(dr)) {
        status = exit_status(dr->diags);
    }
    progress_done();
    if (!flush_output(dr->diags) && status == EXIT_GOOD) status = EXIT_WORLD;
    print_diags(dr->arena, dr->diags, wants_colour(&dr->cmd));
    return status;
}

int main(int argc, char **argv) {
    Arena arena = {0};
    Diags diags;
    Guard guard;
    hold_streams();
    catch_signals();
    if (setjmp(*guard_enter(&guard)) != 0) {
        progress_done();
        fputs("qcc: error E002: out of memory\n", stderr);
        arena_free(&arena);
        return EXIT_WORLD;
    }
    diags_init(&diags, &arena);
    Driver dr = {.arena = &arena, .diags = &diags};
    int status = command_main(&dr, argc, argv);
    guard_leave(&guard);
    arena_free(&arena);
    return status;
}
