/* The compiler's ground: memory, containers, strings. Nothing here knows what a network is.
 *
 * Memory has lifetimes, not owners: everything lives in an Arena and goes with it. An allocation that fails does not
 * return: it unwinds to the innermost Guard (as Lua does), whose owner frees the arenas. No function above base/ ever
 * checks an allocation. */
#ifndef QCC_BASE_BASE_H
#define QCC_BASE_BASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))
#define NORETURN __attribute__((noreturn))

/* ---- failing ------------------------------------------------------------------------------------------------- */

/* A recovery point for exhausted memory. Use:
 *     Guard g;
 *     if (setjmp(*guard_enter(&g)) == 0) { work; guard_leave(&g); } else { memory ran out; free the arenas }
 * Guards nest; the innermost one catches, and is already left when setjmp returns the second time. */
typedef struct Guard {
    jmp_buf env;
    struct Guard *outer;
    struct Arena *open; /* see arena_open */
} Guard;

jmp_buf *guard_enter(Guard *g);
void guard_leave(Guard *g);

/* Reports an error of the compiler itself (never of its input), with `what` naming the place, and exits with 70. */
NORETURN void bug(const char *what, ...) PRINTF_LIKE(1, 2);

/* The one door to malloc. mem_get unwinds to the guard on failure and never returns NULL; mem_try returns NULL. */
void *mem_get(size_t bytes);
void *mem_try(size_t bytes);
void mem_put(void *p);
/* What mem_get does when there is nothing: unwinds to the innermost guard. A bug() where there is none. */
NORETURN void mem_exhausted(void);

/* For tests: makes the n-th allocation of this thread from now fail (0 = the next one), be it from mem_get, mem_try or
 * an arena, so that every place that allocates can be made to unwind; negative switches it off. */
void mem_fail_at(long n);
/* Allocations asked for since the last mem_fail_at. */
long mem_count(void);
/* Counts one, and says whether it is the one to fail: for allocators on top of this one. */
bool mem_refused(void);

/* ---- arena --------------------------------------------------------------------------------------------------- */

typedef struct ArenaBlock ArenaBlock;
typedef struct ArenaCleanup ArenaCleanup;
typedef struct Arena {
    ArenaBlock *blocks;
    ArenaCleanup *cleanups;
    size_t used;                /* bytes handed out, for reports */
    struct Arena *next, **link; /* among the guard's open ones; link is NULL where it is not among them */
} Arena;

/* An all-zero Arena is ready for use, and goes with whoever owns it. One on the stack of a function that may unwind is
 * opened instead: then it goes with unwinding too. Every way out of that function frees it. */
void arena_open(Arena *a);
void arena_free(Arena *a);                           /* runs clean-ups, newest first; the arena is empty afterwards */
void *arena_get(Arena *a, size_t bytes);             /* zeroed, aligned to 64 bytes where bytes >= 64, else to 16 */
void *arena_array(Arena *a, size_t n, size_t bytes); /* n * bytes checked for overflow (unwinds like no memory) */
void *arena_copy(Arena *a, const void *p, size_t bytes);
char *arena_str(Arena *a, const char *s); /* NULL stays NULL */
char *arena_strn(Arena *a, const char *s, size_t n);
char *arena_printf(Arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
char *arena_vprintf(Arena *a, const char *fmt, va_list ap);
/* Calls fn(p) when the arena is freed: for what is not memory (mappings, handles). Where there is no memory to note it
 * down, fn(p) is called before unwinding, so nothing is lost either way. */
void arena_defer(Arena *a, void (*fn)(void *), void *p);

static inline void arena_free_nested(void *a) { arena_free(a); }

#define NEW(a, T) ((T *)arena_get((a), sizeof(T)))
#define NEW_ARRAY(a, T, n) ((T *)arena_array((a), (size_t)(n), sizeof(T)))

/* An arena for work whose memory can go before `a` does: free it when done; at the latest it goes with `a`. */
static inline Arena *arena_nested(Arena *a) {
    Arena *inner = NEW(a, Arena);
    arena_defer(a, arena_free_nested, inner);
    return inner;
}

/* ---- vector -------------------------------------------------------------------------------------------------- */

/* VEC(int) v = {0}; vec_push(arena, &v, 3); v.at[0]; v.n. Old storage stays in the arena until it goes. */
#define VEC(T)         \
    struct {           \
        T *at;         \
        size_t n, cap; \
    }
void *vec_grow(Arena *a, void *at, size_t n, size_t *cap, size_t bytes);
#define vec_push(a, v, ...)                                                                                       \
    ((v)->n == (v)->cap ? (void)((v)->at = vec_grow((a), (v)->at, (v)->n, &(v)->cap, sizeof *(v)->at)) : (void)0, \
     (v)->at[(v)->n++] = (__VA_ARGS__))

/* ---- map ----------------------------------------------------------------------------------------------------- */

/* From strings, or from pointers (one kind per map), to non-NULL pointers. Keys are not copied. An all-zero Map is an
 * empty one. map_get gives NULL where there is nothing; map_put replaces. */
typedef struct Map {
    struct MapSlot *slots;
    size_t n, cap;
} Map;
void *map_get(const Map *m, const char *key);
void map_put(Arena *a, Map *m, const char *key, void *value);
void *map_get_ptr(const Map *m, const void *key);
void map_put_ptr(Arena *a, Map *m, const void *key, void *value);

/* ---- text ---------------------------------------------------------------------------------------------------- */

/* Grows in an arena; `s` is always terminated. An all-zero Text with its arena set is empty. */
typedef struct Text {
    Arena *arena;
    char *s;
    size_t n, cap;
} Text;
void text_add(Text *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
void text_vadd(Text *t, const char *fmt, va_list ap);
void text_put(Text *t, const char *s, size_t n);
/* The decimal form with the fewest digits that reads back as exactly this float (f32) or double; in positional notation
 * where %g would use it at full precision. inf, -inf, nan in words. In the C locale, which the compiler never leaves.
 */
void text_f32(Text *t, float v);
void text_f64(Text *t, double v);

/* True if s matches a shell-like pattern of '*' and '?'. */
bool glob_match(const char *pattern, const char *s);

/* ---- arithmetic on sizes that come from files ------------------------------------------------------------------ */

static inline bool mul_overflow(int64_t a, int64_t b, int64_t *r) { return __builtin_mul_overflow(a, b, r); }
static inline bool add_overflow(int64_t a, int64_t b, int64_t *r) { return __builtin_add_overflow(a, b, r); }
static inline int64_t i64_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t i64_max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }
static inline int64_t ceil_div(int64_t n, int64_t by) { return n / by + (n % by > 0); }

#endif
