/* Region allocation: a list of blocks with a bump pointer in the newest (Hanson 1990). Blocks double up to a limit;
 * what would waste much of a block gets one of its own, kept behind the newest so that the bump goes on. */
#include <stdio.h>
#include <string.h>

#include "base/base.h"

struct ArenaBlock {
    ArenaBlock *next;
    size_t bytes, used; /* of the memory that follows the header */
};

struct ArenaCleanup {
    ArenaCleanup *next;
    void (*fn)(void *);
    void *p;
};

enum { FIRST_BLOCK = 4096, LAST_BLOCK = 1 << 20, SMALL_ALIGN = 16, LARGE_ALIGN = 64 };

static char *block_memory(ArenaBlock *b) { return (char *)(b + 1); }

/* Bytes to skip in b so that the next one is aligned. */
static size_t padding(ArenaBlock *b, size_t align) {
    uintptr_t at = (uintptr_t)(block_memory(b) + b->used);
    return (size_t)(-at & (align - 1));
}

static void *bump(ArenaBlock *b, size_t bytes, size_t align) {
    size_t skip = padding(b, align), left = b->bytes - b->used;
    if (left < skip || left - skip < bytes) return NULL;
    void *p = block_memory(b) + b->used + skip;
    b->used += skip + bytes;
    return p;
}

static ArenaBlock *add_block(Arena *a, size_t need) {
    size_t usual = a->blocks ? a->blocks->bytes * 2 : FIRST_BLOCK;
    if (usual > LAST_BLOCK) usual = LAST_BLOCK;
    bool alone = need > usual / 2;
    size_t bytes = alone ? need : usual;
    ArenaBlock *b = mem_try(sizeof *b + bytes);
    if (!b) return NULL;
    *b = (ArenaBlock){.bytes = bytes};
    ArenaBlock **at = alone && a->blocks ? &a->blocks->next : &a->blocks;
    b->next = *at;
    *at = b;
    return b;
}

/* Not zeroed; NULL where there is no memory. */
static void *take(Arena *a, size_t bytes) {
    size_t align = bytes >= LARGE_ALIGN ? LARGE_ALIGN : SMALL_ALIGN;
    if (bytes > SIZE_MAX / 2 || mem_refused()) return NULL;
    void *p = a->blocks ? bump(a->blocks, bytes, align) : NULL;
    if (!p) {
        ArenaBlock *b = add_block(a, bytes + align);
        if (!b) return NULL;
        p = bump(b, bytes, align);
    }
    a->used += bytes;
    return p;
}

static void *take_or_unwind(Arena *a, size_t bytes) {
    void *p = take(a, bytes);
    if (!p) mem_exhausted();
    return p;
}

void arena_free(Arena *a) {
    if (a->link) *a->link = a->next;
    if (a->next) a->next->link = a->link;
    while (a->cleanups) {
        ArenaCleanup *c = a->cleanups;
        a->cleanups = c->next;
        c->fn(c->p);
    }
    for (ArenaBlock *b = a->blocks, *next; b; b = next) {
        next = b->next;
        mem_put(b);
    }
    *a = (Arena){0};
}

void *arena_get(Arena *a, size_t bytes) { return memset(take_or_unwind(a, bytes), 0, bytes); }

void *arena_array(Arena *a, size_t n, size_t bytes) {
    size_t total;
    if (__builtin_mul_overflow(n, bytes, &total)) mem_exhausted();
    return arena_get(a, total);
}

void *arena_copy(Arena *a, const void *p, size_t bytes) {
    void *to = take_or_unwind(a, bytes);
    return bytes ? memcpy(to, p, bytes) : to;
}

char *arena_strn(Arena *a, const char *s, size_t n) {
    if (n == SIZE_MAX) mem_exhausted();
    char *to = take_or_unwind(a, n + 1);
    if (n) memcpy(to, s, n);
    to[n] = '\0';
    return to;
}

char *arena_str(Arena *a, const char *s) { return s ? arena_strn(a, s, strlen(s)) : NULL; }

char *arena_vprintf(Arena *a, const char *fmt, va_list ap) {
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    char *s = n < 0 ? NULL : take(a, (size_t)n + 1);
    if (s) vsnprintf(s, (size_t)n + 1, fmt, again);
    va_end(again);
    if (!s) mem_exhausted();
    return s;
}

char *arena_printf(Arena *a, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    char *s = arena_vprintf(a, fmt, ap);
    va_end(ap);
    return s;
}

void arena_defer(Arena *a, void (*fn)(void *), void *p) {
    ArenaCleanup *c = take(a, sizeof *c);
    if (!c) {
        fn(p);
        mem_exhausted();
    }
    *c = (ArenaCleanup){a->cleanups, fn, p};
    a->cleanups = c;
}

enum { FIRST_ROOM = 8 };

void *vec_grow(Arena *a, void *at, size_t n, size_t *cap, size_t bytes) {
    if (*cap > SIZE_MAX / 2) mem_exhausted();
    size_t room = *cap ? *cap * 2 : FIRST_ROOM;
    void *to = arena_array(a, room, bytes);
    if (n) memcpy(to, at, n * bytes);
    *cap = room;
    return to;
}
