/* base/: memory that runs out, arenas, containers, text. */
#include "tests/support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"

/* ---- running out ----------------------------------------------------------------------------------------------- */

static void test_guard_catches(void **state) {
    (void)state;
    Guard outer, inner;
    volatile int caught = 0;
    if (setjmp(*guard_enter(&outer)) == 0) {
        if (setjmp(*guard_enter(&inner)) == 0) {
            mem_fail_at(0);
            mem_put(mem_get(1));
            fail();
        } else {
            caught = 1;
        }
        mem_fail_at(1);
        mem_put(mem_get(1)); /* the first is let through */
        mem_put(mem_get(1));
        fail();
    } else {
        caught = caught + 10;
    }
    mem_fail_at(-1);
    assert_int_equal(caught, 11);
}

static void test_guard_left_in_order(void **state) {
    (void)state;
    Guard outer, inner;
    volatile bool caught = false;
    if (setjmp(*guard_enter(&outer)) == 0) {
        if (setjmp(*guard_enter(&inner)) == 0) guard_leave(&inner);
        mem_exhausted();
    } else {
        caught = true;
    }
    assert_true(caught);
}

static void test_mem_counts(void **state) {
    (void)state;
    mem_fail_at(2);
    void *first = mem_try(0), *second = mem_try(8), *third = mem_try(8), *fourth = mem_try(8);
    assert_non_null(first);
    assert_non_null(second);
    assert_null(third);
    assert_non_null(fourth);
    assert_int_equal(mem_count(), 4);
    mem_fail_at(-1);
    assert_int_equal(mem_count(), 0);
    mem_put(first), mem_put(second), mem_put(fourth);
}

/* Exit status of a child that runs fn, and the first of what it says on standard error. */
static int run_child(void (*fn)(void), char *said, size_t room) {
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]), close(ends[1]);
        fn();
        _exit(0);
    }
    close(ends[1]);
    size_t n = 0;
    for (ssize_t got; n < room - 1 && (got = read(ends[0], said + n, room - 1 - n)) > 0;) n += (size_t)got;
    said[n] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void say_bug(void) { bug("pass %d", 7); }
static void run_out_unguarded(void) { mem_exhausted(); }

static void test_bug_exits_70(void **state) {
    (void)state;
    char said[512];
    assert_int_equal(run_child(say_bug, said, sizeof said), 70);
    assert_non_null(strstr(said, "internal error: pass 7\n"));
    assert_int_equal(run_child(run_out_unguarded, said, sizeof said), 70);
    assert_non_null(strstr(said, "no guard"));
}

/* ---- arena ----------------------------------------------------------------------------------------------------- */

static void test_arena_gives_zeroed_aligned_memory(void **state) {
    (void)state;
    Arena a = {0};
    size_t asked = 0;
    for (int round = 0; round < 2; round++) {
        for (size_t bytes = 0; bytes < 3000000; bytes = bytes * 5 / 4 + 1) {
            unsigned char *p = arena_get(&a, bytes);
            assert_int_equal((uintptr_t)p % (bytes >= 64 ? 64 : 16), 0);
            for (size_t i = 0; i < bytes; i++) assert_int_equal(p[i], 0);
            memset(p, 0xff, bytes);
            asked += bytes;
        }
        assert_int_equal(a.used, asked);
        arena_free(&a);
        assert_int_equal(a.used, 0);
        assert_null(a.blocks);
        asked = 0;
    }
}

static void test_arena_pieces_are_apart(void **state) {
    (void)state;
    enum { PIECES = 2000 };
    Arena a = {0};
    unsigned char *piece[PIECES];
    for (size_t i = 0; i < PIECES; i++) memset(piece[i] = arena_get(&a, i), (int)(i & 0xff), i);
    for (size_t i = 0; i < PIECES; i++)
        for (size_t j = 0; j < i; j++) assert_int_equal(piece[i][j], i & 0xff);
    arena_free(&a);
}

static void test_arena_strings(void **state) {
    (void)state;
    Arena a = {0};
    assert_null(arena_str(&a, NULL));
    assert_string_equal(arena_str(&a, "abc"), "abc");
    assert_string_equal(arena_strn(&a, "abc", 2), "ab");
    assert_string_equal(arena_strn(&a, NULL, 0), "");
    assert_memory_equal(arena_copy(&a, "a\0b", 3), "a\0b", 3);
    assert_non_null(arena_copy(&a, NULL, 0));
    assert_string_equal(arena_printf(&a, "%d %s", 5, "x"), "5 x");
    char *wide = arena_printf(&a, "%20000d", 1);
    assert_int_equal(strlen(wide), 20000);
    assert_int_equal(wide[19999], '1');
    arena_free(&a);
}

static bool array_unwinds(size_t n, size_t bytes) {
    Arena a = {0};
    Guard g;
    volatile bool caught = true;
    if (setjmp(*guard_enter(&g)) == 0) {
        arena_array(&a, n, bytes);
        guard_leave(&g);
        caught = false;
    }
    arena_free(&a);
    return caught;
}

static void test_arena_array_overflow_unwinds(void **state) {
    (void)state;
    static const size_t hostile[][2] = {{SIZE_MAX, 2}, {SIZE_MAX / 2, 3}, {SIZE_MAX, 1}, {(size_t)1 << 62, 4}};
    for (size_t i = 0; i < COUNT_OF(hostile); i++) assert_true(array_unwinds(hostile[i][0], hostile[i][1]));
    assert_false(array_unwinds(3, 4));
}

static char cleaned[8];
static void clean(void *p) { strcat(cleaned, p); }

static void test_arena_defers(void **state) {
    (void)state;
    Arena a = {0};
    cleaned[0] = '\0';
    char one[] = "1", two[] = "2";
    arena_defer(&a, clean, one);
    arena_defer(&a, clean, two);
    assert_string_equal(cleaned, "");
    arena_free(&a);
    assert_string_equal(cleaned, "21");
    arena_free(&a);
    assert_string_equal(cleaned, "21");
}

static void test_arena_defer_without_memory(void **state) {
    (void)state;
    Arena a = {0};
    Guard g;
    cleaned[0] = '\0';
    char one[] = "1";
    if (setjmp(*guard_enter(&g)) == 0) {
        mem_fail_at(0);
        arena_defer(&a, clean, one);
        guard_leave(&g);
    }
    mem_fail_at(-1);
    assert_string_equal(cleaned, "1");
    arena_free(&a);
    assert_string_equal(cleaned, "1");
}

/* Three open arenas, of which the middle one is freed in time, and memory runs out. */
static void open_and_fail(const char *outer, const char *middle, const char *inner) {
    Arena a, b, c;
    arena_open(&a);
    arena_defer(&a, clean, (void *)(uintptr_t)outer);
    arena_open(&b);
    arena_defer(&b, clean, (void *)(uintptr_t)middle);
    arena_open(&c);
    arena_defer(&c, clean, (void *)(uintptr_t)inner);
    arena_free(&b);
    mem_exhausted();
}

static void test_open_arenas_go_with_unwinding(void **state) {
    (void)state;
    Guard g;
    cleaned[0] = '\0';
    if (setjmp(*guard_enter(&g)) == 0) {
        open_and_fail("1", "2", "3");
        guard_leave(&g);
    }
    assert_string_equal(cleaned, "231");
}

static void leave_open(void) {
    Guard g;
    Arena a;
    guard_enter(&g);
    arena_open(&a);
    guard_leave(&g);
}

static void test_leaving_an_open_arena_is_a_bug(void **state) {
    (void)state;
    char said[512];
    assert_int_equal(run_child(leave_open, said, sizeof said), 70);
    assert_non_null(strstr(said, "open arena"));
}

/* ---- containers ------------------------------------------------------------------------------------------------ */

static void test_vec_grows(void **state) {
    (void)state;
    Arena a = {0};
    VEC(int) v = {0};
    for (int i = 0; i < 10000; i++) vec_push(&a, &v, i * 3);
    assert_int_equal(v.n, 10000);
    for (int i = 0; i < 10000; i++) assert_int_equal(v.at[i], i * 3);
    arena_free(&a);
}

static void test_map_of_strings(void **state) {
    (void)state;
    enum { KEYS = 5000 };
    Arena a = {0};
    Map m = {0};
    static int value[KEYS];
    assert_null(map_get(&m, "k0"));
    for (int i = 0; i < KEYS; i++) {
        char *key = arena_printf(&a, "k%d%s", i, i % 3 ? "" : "/long/enough/for/several/words");
        map_put(&a, &m, key, &value[i]);
    }
    assert_int_equal(m.n, KEYS);
    for (int i = 0; i < KEYS; i++) {
        char *key = arena_printf(&a, "k%d%s", i, i % 3 ? "" : "/long/enough/for/several/words");
        assert_ptr_equal(map_get(&m, key), &value[i]);
        map_put(&a, &m, key, &value[0]);
        assert_ptr_equal(map_get(&m, key), &value[0]);
    }
    assert_int_equal(m.n, KEYS);
    assert_null(map_get(&m, "k5000"));
    assert_null(map_get(&m, ""));
    map_put(&a, &m, "", &value[1]);
    assert_ptr_equal(map_get(&m, ""), &value[1]);
    arena_free(&a);
}

static void test_map_of_pointers(void **state) {
    (void)state;
    enum { KEYS = 5000 };
    Arena a = {0};
    Map m = {0};
    static char key[KEYS + 1];
    for (size_t i = 0; i < KEYS; i++) map_put_ptr(&a, &m, &key[i], &key[KEYS - i]);
    for (size_t i = 0; i < KEYS; i++) assert_ptr_equal(map_get_ptr(&m, &key[i]), &key[KEYS - i]);
    assert_null(map_get_ptr(&m, &key[KEYS]));
    assert_null(map_get_ptr(&(Map){0}, key));
    arena_free(&a);
}

/* ---- text ------------------------------------------------------------------------------------------------------ */

static void test_text_grows(void **state) {
    (void)state;
    Arena a = {0};
    Text t = {.arena = &a};
    for (int i = 0; i < 1000; i++) text_add(&t, "%d,", i % 10);
    assert_int_equal(t.n, 2000);
    assert_int_equal(strlen(t.s), 2000);
    text_add(&t, "%5000d", 1);
    assert_int_equal(strlen(t.s), 7000);
    text_put(&t, "tail", 3);
    assert_string_equal(t.s + 6999, "1tai");
    Text empty = {.arena = &a};
    text_put(&empty, "", 0);
    assert_string_equal(empty.s, "");
    arena_free(&a);
}

static const char *f32_text(Arena *a, float v) {
    Text t = {.arena = a};
    text_f32(&t, v);
    return t.s;
}

static const char *f64_text(Arena *a, double v) {
    Text t = {.arena = a};
    text_f64(&t, v);
    return t.s;
}

static void test_text_of_floats(void **state) {
    (void)state;
    Arena a = {0};
    static const struct {
        float v;
        const char *text;
    } row[] = {
        {0.0f, "0"},
        {-0.0f, "-0"},
        {1.0f, "1"},
        {-1.5f, "-1.5"},
        {0.1f, "0.1"},
        {100.0f, "100"},
        {1e8f, "100000000"},
        {1e9f, "1e+09"},
        {1e-5f, "1e-05"},
        {0.0001f, "0.0001"},
        {INFINITY, "inf"},
        {-INFINITY, "-inf"},
        {NAN, "nan"},
        {0x1p24f, "16777216"},
        {0x1p-149f, "1e-45"},
        {1.0f / 3, "0.33333334"},
        {0x1.fffffep127f, "3.4028235e+38"},
        {123456792.0f, "123456792"},
    };
    for (size_t i = 0; i < COUNT_OF(row); i++) assert_string_equal(f32_text(&a, row[i].v), row[i].text);
    assert_string_equal(f64_text(&a, 0.1), "0.1");
    assert_string_equal(f64_text(&a, 1.0 / 3), "0.3333333333333333");
    assert_string_equal(f64_text(&a, 0x1p53), "9007199254740992");
    assert_string_equal(f64_text(&a, 5e-324), "5e-324");
    assert_string_equal(f64_text(&a, (double)0.1f), "0.10000000149011612");
    arena_free(&a);
}

static uint64_t next_random(uint64_t *x) {
    *x ^= *x << 13, *x ^= *x >> 7, *x ^= *x << 17;
    return *x;
}

/* Random bit patterns read back to the same bits. */
static void test_text_of_floats_reads_back(void **state) {
    (void)state;
    uint64_t x = 88172645463325252;
    for (int i = 0; i < 20000; i++) {
        Arena a = {0};
        uint64_t r = next_random(&x);
        uint32_t r32 = (uint32_t)(r >> 32);
        float f, f_back;
        double d, d_back;
        memcpy(&f, &r32, sizeof f);
        memcpy(&d, &r, sizeof d);
        if (!isnan(f)) {
            f_back = strtof(f32_text(&a, f), NULL);
            assert_memory_equal(&f, &f_back, sizeof f);
        }
        if (!isnan(d)) {
            d_back = strtod(f64_text(&a, d), NULL);
            assert_memory_equal(&d, &d_back, sizeof d);
        }
        arena_free(&a);
    }
}

static void test_glob(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *s;
        bool match;
    } row[] = {
        {"", "", true},           {"", "a", false},           {"*", "", true},           {"*", "abc", true},
        {"a", "a", true},         {"a", "b", false},          {"a", "", false},          {"?", "", false},
        {"?", "x", true},         {"a*c", "abbc", true},      {"a*c", "abbd", false},    {"*.qir", "x.qir", true},
        {"*.qir", "qir", false},  {"a*b*c", "axbxbxc", true}, {"a*b*c", "axcxb", false}, {"**", "x", true},
        {"conv?", "conv", false}, {"*a?", "aab", true},       {"*ab", "aab", true},      {"[a]", "a", false},
    };
    for (size_t i = 0; i < COUNT_OF(row); i++)
        if (glob_match(row[i].pattern, row[i].s) != row[i].match) fail_msg("'%s' '%s'", row[i].pattern, row[i].s);
}

/* A pattern of many stars is what makes a naive matcher exponential. */
static void test_glob_is_not_exponential(void **state) {
    (void)state;
    Arena a = {0};
    char *s = arena_get(&a, 20001);
    memset(s, 'a', 20000);
    assert_false(glob_match("a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", s));
    arena_free(&a);
}

/* ---- every allocation fails once ------------------------------------------------------------------------------- */

static void use_everything(Arena *a, void *ctx) {
    (void)ctx;
    VEC(int) v = {0};
    Map m = {0};
    Text t = {.arena = a};
    for (int i = 0; i < 40; i++) {
        vec_push(a, &v, i);
        map_put(a, &m, arena_printf(a, "%d", i), a);
        text_add(&t, "%100d", i);
        text_f32(&t, (float)i);
    }
    arena_get(a, 3000000);
}

static void test_alloc_failures_unwind(void **state) {
    (void)state;
    assert_true(test_alloc_failures(use_everything, NULL, 1000) > 50);
    assert_true(test_alloc_failures(use_everything, NULL, 10) <= 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_guard_catches),
        cmocka_unit_test(test_guard_left_in_order),
        cmocka_unit_test(test_mem_counts),
        cmocka_unit_test(test_bug_exits_70),
        cmocka_unit_test(test_arena_gives_zeroed_aligned_memory),
        cmocka_unit_test(test_arena_pieces_are_apart),
        cmocka_unit_test(test_arena_strings),
        cmocka_unit_test(test_arena_array_overflow_unwinds),
        cmocka_unit_test(test_arena_defers),
        cmocka_unit_test(test_arena_defer_without_memory),
        cmocka_unit_test(test_open_arenas_go_with_unwinding),
        cmocka_unit_test(test_leaving_an_open_arena_is_a_bug),
        cmocka_unit_test(test_vec_grows),
        cmocka_unit_test(test_map_of_strings),
        cmocka_unit_test(test_map_of_pointers),
        cmocka_unit_test(test_text_grows),
        cmocka_unit_test(test_text_of_floats),
        cmocka_unit_test(test_text_of_floats_reads_back),
        cmocka_unit_test(test_glob),
        cmocka_unit_test(test_glob_is_not_exponential),
        cmocka_unit_test(test_alloc_failures_unwind),
    };
    return TEST_RUN(tests);
}
