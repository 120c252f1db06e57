/* Words and numbers of the text form. */
#include "ir/scan.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_CHARS = 64 };

static void skip(Scan *s) {
    for (; s->at < s->end; s->at++) {
        if (*s->at == '#') {
            while (s->at < s->end && *s->at != '\n') s->at++;
        }
        if (s->at == s->end) break;
        if (*s->at == '\n') {
            s->line++;
            s->line_start = s->at + 1;
        } else if (*s->at != ' ' && *s->at != '\t' && *s->at != '\r') {
            break;
        }
    }
    s->token = s->at;
}

static Loc token_loc(const Scan *s) {
    int col = (int)i64_min(s->token - s->line_start, 1 << 30) + 1;
    return (Loc){.file = s->file, .index = -1, .line = s->line, .col = col};
}

Loc scan_loc(Scan *s) {
    skip(s);
    return token_loc(s);
}

void scan_fail(Scan *s, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    const char *text = arena_vprintf(s->diags->arena, fmt, ap);
    va_end(ap);
    diag(s->diags, D_TEXT_SYNTAX, token_loc(s), "%s", text);
    longjmp(s->refused, 1);
}

char scan_peek(Scan *s) {
    skip(s);
    return s->at < s->end ? *s->at : '\0';
}

/* What stands at the reading point, for messages. */
static const char *found(Scan *s) {
    skip(s);
    if (s->at == s->end) return "the end of the text";
    size_t n = 0, left = (size_t)(s->end - s->at);
    while (n < left && n < 24 && (isalnum((unsigned char)s->at[n]) || s->at[n] == '_')) n++;
    return arena_printf(s->diags->arena, "'%s'", arena_strn(s->diags->arena, s->at, n ? n : 1));
}

bool scan_accept(Scan *s, const char *what) {
    skip(s);
    size_t n = strlen(what);
    if ((size_t)(s->end - s->at) < n || memcmp(s->at, what, n) != 0) return false;
    s->at += n;
    return true;
}

void scan_expect(Scan *s, const char *what) {
    if (!scan_accept(s, what)) scan_fail(s, "%s, but '%s' must stand here", found(s), what);
}

static size_t word_length(Scan *s) {
    skip(s);
    size_t n = 0, left = (size_t)(s->end - s->at);
    while (n < left && (isalnum((unsigned char)s->at[n]) || s->at[n] == '_')) n++;
    return n;
}

bool scan_accept_word(Scan *s, const char *word) {
    size_t n = word_length(s);
    if (n != strlen(word) || memcmp(s->at, word, n) != 0) return false;
    s->at += n;
    return true;
}

const char *scan_word(Scan *s) {
    size_t n = word_length(s);
    if (!n) scan_fail(s, "%s, but a name must stand here", found(s));
    s->at += n;
    return arena_strn(s->arena, s->at - n, n);
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

/* After the backslash. */
static char scan_escape(Scan *s) {
    char c = s->at < s->end ? *s->at++ : '\0';
    if (c == '"' || c == '\\') return c;
    if (c == 'n') return '\n';
    if (c == 'x' && s->end - s->at >= 2) {
        int hi = hex_digit(s->at[0]), lo = hex_digit(s->at[1]);
        if (hi >= 0 && lo >= 0 && hi + lo > 0) {
            s->at += 2;
            return (char)(hi * 16 + lo);
        }
    }
    scan_fail(s, "no such escape; there are \\\" \\\\ \\n and \\xHH but not \\x00");
}

const char *scan_string(Scan *s) {
    if (!scan_accept(s, "\"")) scan_fail(s, "%s, but a string must stand here", found(s));
    Text t = {.arena = s->arena};
    text_put(&t, "", 0);
    while (s->at < s->end && *s->at != '"' && *s->at != '\n' && *s->at != '\0') {
        char c = *s->at++;
        if (c == '\\') c = scan_escape(s);
        text_put(&t, &c, 1);
    }
    if (s->at == s->end || *s->at != '"') scan_fail(s, "a string is not closed on its line");
    s->at++;
    return t.s;
}

/* ---- numbers ---- */

/* Copies the characters that a number may have. */
static size_t scan_number(Scan *s, char text[NUMBER_CHARS]) {
    skip(s);
    size_t n = 0;
    for (const char *p = s->at; p < s->end; p++, n++) {
        if (!isalnum((unsigned char)*p) && *p != '+' && *p != '-' && *p != '.') break;
        if (n + 1 == NUMBER_CHARS) scan_fail(s, "a number of too many characters");
        text[n] = *p;
    }
    text[n] = '\0';
    if (!n) scan_fail(s, "%s, but a number must stand here", found(s));
    return n;
}

int64_t scan_int(Scan *s, int64_t lo, int64_t hi) {
    char text[NUMBER_CHARS], *end;
    size_t n = scan_number(s, text);
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (*end) scan_fail(s, "'%s' is not an integer", text);
    if (errno || v < lo || v > hi) {
        scan_fail(s, "'%s' is not from %lld to %lld", text, (long long)lo, (long long)hi);
    }
    s->at += n;
    return v;
}

static uint64_t unsigned_number(Scan *s, const char *text, int base, uint64_t most) {
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, base);
    if (*end || *text == '-' || errno || v > most)
        scan_fail(s, "'%s' is not from 0 to %llu", text, (unsigned long long)most);
    return v;
}

static bool is_bits(const char *text) { return text[0] == '0' && text[1] == 'x'; }

/* A decimal number, inf or nan. Numbers beyond the type's range are mistakes, not infinities. */
static double decimal(Scan *s, const char *text, bool single) {
    char *end;
    bool word = strcmp(text, "inf") == 0 || strcmp(text, "-inf") == 0 || strcmp(text, "nan") == 0;
    const char *digits = text + strspn(text, "+-");
    if (!word && !isdigit((unsigned char)*digits) && *digits != '.') scan_fail(s, "'%s' is not a number", text);
    double v = single ? (double)strtof(text, &end) : strtod(text, &end);
    if (*end || strpbrk(text, "xX")) scan_fail(s, "'%s' is not a number", text);
    if (!word && isinf(v)) scan_fail(s, "'%s' is out of range", text);
    return v;
}

double scan_double(Scan *s) {
    char text[NUMBER_CHARS];
    size_t n = scan_number(s, text);
    double v;
    if (is_bits(text)) {
        uint64_t bits = unsigned_number(s, text, 16, UINT64_MAX);
        memcpy(&v, &bits, sizeof v);
    } else {
        bool single = n > 1 && text[n - 1] == 'f' && text[n - 2] != 'n';
        if (single) text[n - 1] = '\0';
        v = decimal(s, text, single);
    }
    s->at += n;
    return v;
}

static void store_bits(Tensor *t, int64_t i, uint64_t bits) {
    int width = elem_bytes(t->type.elem);
    char *at = (char *)tensor_data(t) + i * width;
    if (width == 2) {
        memcpy(at, &(uint16_t){(uint16_t)bits}, 2);
    } else if (width == 4) {
        memcpy(at, &(uint32_t){(uint32_t)bits}, 4);
    } else {
        memcpy(at, &bits, 8);
    }
}

static void scan_float_element(Scan *s, Tensor *t, int64_t i) {
    char text[NUMBER_CHARS];
    size_t n = scan_number(s, text);
    if (is_bits(text)) {
        store_bits(t, i, unsigned_number(s, text, 16, UINT64_MAX >> (64 - elem_info[t->type.elem].bits)));
    } else {
        tensor_set(t, i, decimal(s, text, t->type.elem != QCC_F64));
    }
    s->at += n;
}

void scan_element(Scan *s, Tensor *t, int64_t i) {
    const ElemInfo *info = &elem_info[t->type.elem];
    if (info->kind == ELEM_F) {
        scan_float_element(s, t, i);
    } else if (t->type.elem == QCC_U64) {
        char text[NUMBER_CHARS];
        size_t n = scan_number(s, text);
        tensor_set_int(t, i, (int64_t)unsigned_number(s, text, 10, UINT64_MAX));
        s->at += n;
    } else if (info->kind == ELEM_I) {
        int64_t hi = (int64_t)(UINT64_MAX >> (65 - info->bits));
        tensor_set_int(t, i, scan_int(s, -hi - 1, hi));
    } else {
        int64_t hi = info->kind == ELEM_B ? 1 : (int64_t)(UINT64_MAX >> (64 - info->bits));
        tensor_set_int(t, i, scan_int(s, 0, hi));
    }
}

/* ---- types ---- */

Elem scan_elem(Scan *s) {
    const char *name = scan_word(s);
    for (int e = 1; e < QCC_ELEM_END; e++) {
        if (elem_info[e].name && strcmp(elem_info[e].name, name) == 0) return (Elem)e;
    }
    scan_fail(s, "no element type is called '%s'", name);
}

Type scan_type(Scan *s) {
    Type t = {.elem = scan_elem(s)};
    scan_expect(s, "[");
    while (!scan_accept(s, "]")) {
        if (t.shape.rank) scan_expect(s, ",");
        if (t.shape.rank == MAX_RANK) scan_fail(s, "more than %d dimensions", MAX_RANK);
        t.shape.dim[t.shape.rank++] = scan_int(s, 0, MAX_TENSOR_BYTES);
    }
    if (type_bytes(&t) < 0) scan_fail(s, "a type of more than %lld bytes", (long long)MAX_TENSOR_BYTES);
    return t;
}
