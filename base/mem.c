/* The one door to malloc, and the way out when it is shut: a stack of recovery points as in Lua's luaD_throw. The stack
 * and the test's countdown belong to the thread. */
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"

static _Thread_local Guard *innermost;
static _Thread_local long countdown = -1;
static _Thread_local long asked;

jmp_buf *guard_enter(Guard *g) {
    g->outer = innermost;
    g->open = NULL;
    innermost = g;
    return &g->env;
}

void guard_leave(Guard *g) {
    if (innermost != g) bug("guard_leave: not the innermost guard");
    if (g->open) bug("guard_leave: an open arena was not freed");
    innermost = g->outer;
}

void arena_open(Arena *a) {
    *a = (Arena){0};
    if (!innermost) return;
    a->link = &innermost->open;
    a->next = innermost->open;
    if (a->next) a->next->link = &a->next;
    innermost->open = a;
}

void mem_exhausted(void) {
    Guard *g = innermost;
    if (!g) bug("memory ran out where no guard was entered");
    while (g->open) arena_free(g->open);
    innermost = g->outer;
    longjmp(g->env, 1);
}

void bug(const char *what, ...) {
    va_list ap;
    va_start(ap, what);
    fputs("qcc: internal error: ", stderr);
    vfprintf(stderr, what, ap);
    fputs("\nqcc: this is a mistake in qcc, not in the model; please report it\n", stderr);
    va_end(ap);
    exit(70);
}

bool mem_refused(void) {
    asked++;
    return countdown >= 0 && countdown-- == 0;
}

void *mem_try(size_t bytes) { return mem_refused() ? NULL : malloc(bytes ? bytes : 1); }

void *mem_get(size_t bytes) {
    void *p = mem_try(bytes);
    if (!p) mem_exhausted();
    return p;
}

void mem_put(void *p) { free(p); }

void mem_fail_at(long n) {
    countdown = n;
    asked = 0;
}

long mem_count(void) { return asked; }
