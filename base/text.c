/* Text that grows, numbers that read back, patterns. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

enum { FIRST_CHARS = 64, NUMBER_CHARS = 40, DIGITS_F32 = 9, DIGITS_F64 = 17 };

/* Room for n more characters and the terminator. */
static void reserve(Text *t, size_t n) {
    if (n > SIZE_MAX / 4) mem_exhausted();
    size_t need = t->n + n + 1;
    if (need <= t->cap) return;
    size_t cap = t->cap ? t->cap * 2 : FIRST_CHARS;
    if (cap < need) cap = need;
    char *s = arena_get(t->arena, cap);
    if (t->n) memcpy(s, t->s, t->n);
    t->s = s;
    t->cap = cap;
}

void text_put(Text *t, const char *s, size_t n) {
    reserve(t, n);
    if (n) memcpy(t->s + t->n, s, n);
    t->n += n;
    t->s[t->n] = '\0';
}

void text_vadd(Text *t, const char *fmt, va_list ap) {
    char small[256];
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    if (n < 0) mem_exhausted(); /* the C library's own buffers: nothing else can fail here */
    if ((size_t)n < sizeof small) {
        text_put(t, small, (size_t)n);
    } else {
        reserve(t, (size_t)n);
        vsnprintf(t->s + t->n, (size_t)n + 1, fmt, again);
        t->n += (size_t)n;
    }
    va_end(again);
}

void text_add(Text *t, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    text_vadd(t, fmt, ap);
    va_end(ap);
}

/* Both are exact tests: equal values of equal sign (so that -0 is told from 0). */
static bool reads_f32(const char *s, double v) { return strtof(s, NULL) == (float)v; }
static bool reads_f64(const char *s, double v) { return strtod(s, NULL) == v; }

/* The first precision of %g that reads back has the fewest digits. Where that gives an exponent below the number of
 * digits (100 as 1e+02), writing the digits out is the readable form and still exact. */
static void add_number(Text *t, double v, int most_digits, bool (*reads)(const char *, double)) {
    if (isnan(v)) {
        text_put(t, "nan", 3);
        return;
    }
    char s[NUMBER_CHARS];
    int digits = 0;
    do snprintf(s, sizeof s, "%.*g", ++digits, v);
    while (digits < most_digits && !reads(s, v));
    const char *exponent = strstr(s, "e+");
    long e = exponent ? strtol(exponent + 2, NULL, 10) : most_digits;
    if (e < most_digits) snprintf(s, sizeof s, "%.*g", (int)e + 1, v);
    text_put(t, s, strlen(s));
}

void text_f32(Text *t, float v) { add_number(t, (double)v, DIGITS_F32, reads_f32); }
void text_f64(Text *t, double v) { add_number(t, v, DIGITS_F64, reads_f64); }

/* One '*' to come back to is enough: a later one makes the earlier ones' choices irrelevant. */
bool glob_match(const char *pattern, const char *s) {
    const char *star = NULL, *resume = NULL;
    while (*s) {
        if (*pattern == '*') {
            star = pattern++;
            resume = s;
        } else if (*pattern == '?' || *pattern == *s) {
            pattern++;
            s++;
        } else if (star) {
            pattern = star + 1;
            s = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*') pattern++;
    return *pattern == '\0';
}
