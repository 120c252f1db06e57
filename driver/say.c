/* Words for the terminal. */
#include "driver/driver.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

static double started;
static bool shown;

double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void progress_say(const char *fmt, ...) {
    if (!isatty(STDERR_FILENO)) return;
    if (started == 0) started = seconds_now();
    if (seconds_now() - started < 1) return;
    va_list ap;
    va_start(ap, fmt);
    fputs("\r\033[K", stderr);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fflush(stderr);
    shown = true;
}

void progress_done(void) {
    if (shown) fputs("\r\033[K", stderr);
    shown = false;
}

const char *bytes_str(Arena *a, uint64_t bytes) {
    if (bytes < 10240) return arena_printf(a, "%llu B", (unsigned long long)bytes);
    if (bytes < 10240 * 1024ull) return arena_printf(a, "%.1f KiB", (double)bytes / 1024);
    return arena_printf(a, "%.1f MiB", (double)bytes / (1024.0 * 1024));
}

const char *count_str(Arena *a, uint64_t n) {
    if (n < 10000) return arena_printf(a, "%llu", (unsigned long long)n);
    if (n < 10000000) return arena_printf(a, "%.1f k", (double)n / 1e3);
    return arena_printf(a, "%.1f M", (double)n / 1e6);
}
