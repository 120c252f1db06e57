/* base/file and base/sha256: files of honest and of hostile kinds. */
#include "tests/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

typedef struct Setup {
    Arena a;
    Diags d;
    const char *dir;
} Setup;

static void begin(Setup *s) {
    *s = (Setup){0};
    diags_init(&s->d, &s->a);
    s->dir = test_dir(&s->a);
}

static void end(Setup *s) { arena_free(&s->a); }

static const char *in_dir(Setup *s, const char *name) { return arena_printf(&s->a, "%s/%s", s->dir, name); }

static void assert_view(FileView v, const char *text) {
    assert_int_equal(v.bytes, strlen(text));
    assert_memory_equal(v.data, text, v.bytes);
}

/* ---- reading --------------------------------------------------------------------------------------------------- */

static void test_map_reads(void **state) {
    (void)state;
    Setup s;
    begin(&s);
    FileView v;
    assert_true(file_map(&s.a, &s.d, test_file(&s.a, s.dir, "x", "hello", 5), &v));
    assert_view(v, "hello");
    assert_true(file_map(&s.a, &s.d, test_file(&s.a, s.dir, "empty", "", 0), &v));
    assert_int_equal(v.bytes, 0);
    assert_non_null(v.data);
    assert_int_equal(s.d.n_errors, 0);
    end(&s);
}

static void test_map_refuses(void **state) {
    (void)state;
    Setup s;
    begin(&s);
    FileView v;
    assert_int_equal(mkfifo(in_dir(&s, "pipe"), 0600), 0);
    static const char *const name[] = {"missing", "", "pipe", "no/such"};
    for (size_t i = 0; i < COUNT_OF(name); i++) {
        assert_false(file_map(&s.a, &s.d, in_dir(&s, name[i]), &v));
        assert_int_equal(s.d.n_errors, (int)i + 1);
        assert_int_equal(s.d.first->id, D_FILE_OPEN);
    }
    assert_string_equal(s.d.first->loc.file, in_dir(&s, "missing"));
    assert_string_equal(s.d.first->text, "cannot read the file: No such file or directory");
    assert_string_equal(s.d.first->next->text, "cannot read the file: it is a folder");
    assert_string_equal(s.d.first->next->next->text, "cannot read the file: it is not a regular file");
    assert_false(file_map(&s.a, &s.d, "/dev/zero", &v));
    end(&s);
}

/* dir/in/{data, sub/deep, link -> data, up -> ../secret, abs -> /etc/passwd, loop, back -> ../in/data, out -> ..} */
static const char *make_inside(Setup *s) {
    const char *in = in_dir(s, "in");
    test_file(&s->a, s->dir, "secret", "secret", 6);
    assert_int_equal(mkdir(in, 0700), 0);
    assert_int_equal(mkdir(in_dir(s, "in/sub"), 0700), 0);
    test_file(&s->a, in, "data", "data", 4);
    test_file(&s->a, in, "..data", "dots", 4);
    test_file(&s->a, in, "sub/deep", "deep", 4);
    static const char *const link[][2] = {{"data", "in/link"},  {"../secret", "in/up"},     {"/etc/passwd", "in/abs"},
                                          {"loop", "in/loop"},  {"../in/data", "in/back"},  {"..", "in/out"},
                                          {"sub", "in/folder"}, {"../innocent", "in/near"}, {"in", "alias"}};
    for (size_t i = 0; i < COUNT_OF(link); i++) assert_int_equal(symlink(link[i][0], in_dir(s, link[i][1])), 0);
    assert_int_equal(mkfifo(in_dir(s, "in/pipe"), 0600), 0);
    test_file(&s->a, s->dir, "innocent", "near", 4); /* shares the folder's name as a prefix */
    return in;
}

static void test_map_inside_reads(void **state) {
    (void)state;
    Setup s;
    begin(&s);
    const char *in = make_inside(&s), *why;
    static const char *const row[][2] = {{"data", "data"},        {"./data", "data"}, {"sub/deep", "deep"},
                                         {"sub//deep", "deep"},   {"link", "data"},   {"back", "data"},
                                         {"folder/deep", "deep"}, {"..data", "dots"}};
    for (size_t i = 0; i < COUNT_OF(row); i++) {
        FileView v;
        if (!file_map_inside(&s.a, in, row[i][0], &v, &why)) fail_msg("%s: %s", row[i][0], why);
        assert_view(v, row[i][1]);
        assert_true(file_map_inside(&s.a, in_dir(&s, "alias"), row[i][0], &v, &why));
    }
    end(&s);
}

static void test_map_inside_refuses(void **state) {
    (void)state;
    Setup s;
    begin(&s);
    const char *in = make_inside(&s), *why;
    static const char *const row[][2] = {
        {"", "empty"},           {"/etc/passwd", "absolute"}, {"..", "'..'"},
        {"../secret", "'..'"},   {"sub/../data", "'..'"},     {"sub/..", "'..'"},
        {"up", "leads out"},     {"abs", "leads out"},        {"out/secret", "leads out"},
        {"near", "leads out"},   {"loop", "symbolic"},        {"missing", "No such"},
        {"data/x", "Not a dir"}, {"sub", "folder"},           {".", "folder itself"},
        {"pipe", "regular"},     {"out", "leads out"},
    };
    FileView v;
    for (size_t i = 0; i < COUNT_OF(row); i++) {
        why = NULL;
        if (file_map_inside(&s.a, in, row[i][0], &v, &why)) fail_msg("'%s' was read", row[i][0]);
        if (!strstr(why, row[i][1])) fail_msg("'%s' was refused because: %s", row[i][0], why);
    }
    assert_false(file_map_inside(&s.a, in, NULL, &v, &why));
    assert_false(file_map_inside(&s.a, in_dir(&s, "no-such"), "data", &v, &why));
    char *lengthy = arena_get(&s.a, 100001);
    memset(lengthy, 'x', 100000);
    assert_false(file_map_inside(&s.a, in, lengthy, &v, &why));
    end(&s);
}

/* ---- writing --------------------------------------------------------------------------------------------------- */

static void test_write_replaces(void **state) {
    (void)state;
    Setup s;
    begin(&s);
    FileView old, new;
    const char *path = test_file(&s.a, s.dir, "x", "old", 3);
    assert_true(file_map(&s.a, &s.d, path, &old));
    assert_true(file_write(&s.d, path, "newer", 5));
    assert_true(file_map(&s.a, &s.d, path, &new));
    assert_view(new, "newer");
    assert_view(old, "old"); /* who has it open keeps the old one */
    mode_t mask = umask(0);
    umask(mask);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0666 & ~mask);
    end(&s);
}

static void test_write_follows_a_link(void **state) {
    (void)state;
    Setup s;
    begin(&s);
    FileView v;
    test_file(&s.a, s.dir, "x", "old", 3);
    assert_int_equal(symlink("x", in_dir(&s, "link")), 0);
    assert_true(file_write(&s.d, in_dir(&s, "link"), "new", 3));
    assert_true(file_map(&s.a, &s.d, in_dir(&s, "x"), &v));
    assert_view(v, "new");
    char to[8];
    assert_int_equal(readlink(in_dir(&s, "link"), to, sizeof to), 1);
    end(&s);
}

static void test_write_fails_cleanly(void **state) {
    (void)state;
    Setup s;
    begin(&s);
    assert_false(file_write(&s.d, in_dir(&s, "no/such"), "x", 1));
    assert_false(file_write(&s.d, s.dir, "x", 1));
    assert_false(file_write(&s.d, "/dev/full", "x", 1));
    assert_true(file_write(&s.d, "/dev/null", "x", 1));
    assert_int_equal(s.d.n_errors, 3);
    assert_string_equal(s.d.first->text, "cannot write the file: No such file or directory");
    assert_string_equal(s.d.first->next->next->text, "cannot write the file: No space left on device");
    struct stat st;
    assert_int_equal(stat("/dev/null", &st), 0);
    assert_true(S_ISCHR(st.st_mode));
    assert_int_equal(rmdir(s.dir), 0); /* nothing was left there */
    end(&s);
}

static void test_write_to_stdout(void **state) {
    (void)state;
    Setup s;
    begin(&s);
    fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    FILE *to = freopen(in_dir(&s, "out"), "w", stdout);
    assert_non_null(to);
    bool good = file_write(&s.d, "-", "said", 4);
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    assert_true(good);
    FileView v;
    assert_true(file_map(&s.a, &s.d, in_dir(&s, "out"), &v));
    assert_view(v, "said");
    end(&s);
}

/* ---- temporary folders, names, digests ----------------------------------------------------------------------------
 */

static void test_temp_dir_goes(void **state) {
    (void)state;
    Setup s;
    begin(&s);
    char *kept = strdup(s.dir);
    struct stat st;
    assert_int_equal(stat(kept, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(mkdir(in_dir(&s, "sub"), 0700), 0);
    test_file(&s.a, s.dir, "sub/x", "x", 1);
    assert_int_equal(symlink("/etc/passwd", in_dir(&s, "link")), 0);
    end(&s);
    assert_int_not_equal(stat(kept, &st), 0);
    assert_int_equal(stat("/etc/passwd", &st), 0);
    free(kept);
}

static void test_temp_dir_refused(void **state) {
    (void)state;
    Setup s;
    begin(&s);
    const char *old = getenv("TMPDIR");
    old = arena_str(&s.a, old);
    setenv("TMPDIR", in_dir(&s, "no-such"), 1);
    const char *dir = file_temp_dir(&s.a, &s.d);
    if (old)
        setenv("TMPDIR", old, 1);
    else
        unsetenv("TMPDIR");
    assert_null(dir);
    assert_int_equal(s.d.n_errors, 1);
    end(&s);
}

static void test_paths(void **state) {
    (void)state;
    static const char *const row[][4] = {/* path, dir, base, stem */
                                         {"m.onnx", ".", "m.onnx", "m"},
                                         {"a/m.onnx", "a", "m.onnx", "m"},
                                         {"/m", "/", "m", "m"},
                                         {"a//m", "a", "m", "m"},
                                         {"a.b/m", "a.b", "m", "m"},
                                         {".rc", ".", ".rc", ".rc"},
                                         {"m.tar.gz", ".", "m.tar.gz", "m.tar"},
                                         {"a/", "a", "", ""},
                                         {"", ".", "", ""}};
    Arena a = {0};
    for (size_t i = 0; i < COUNT_OF(row); i++) {
        assert_string_equal(path_dir(&a, row[i][0]), row[i][1]);
        assert_string_equal(path_base(row[i][0]), row[i][2]);
        assert_string_equal(path_stem(&a, row[i][0]), row[i][3]);
    }
    arena_free(&a);
}

/* Digests as by other tools (of abc: FIPS 180-4's example); the lengths stand on both sides of where padding takes
 * another block. */
static void test_sha256(void **state) {
    (void)state;
    static const struct {
        size_t bytes;
        const char *digest;
    } row[] = {
        {55, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318"},
        {56, "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a"},
        {63, "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34"},
        {64, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb"},
        {65, "635361c48bb9eab14198e76ea8ab7f1a41685d6ad62aa9146d301d4f17eb0ae0"},
        {119, "31eba51c313a5c08226adf18d4a359cfdfd8d2e816b13f4af952f7ea6584dcfb"},
        {120, "2f3d335432c70b580af0e8e1b3674a7c020d683aa5f73aaaedfdc55af904c21c"},
        {1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
    };
    char hex[65], *text = test_malloc(1000000);
    memset(text, 'a', 1000000);
    sha256_hex("abc", 3, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha256_hex(NULL, 0, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    for (size_t i = 0; i < COUNT_OF(row); i++) {
        sha256_hex(text, row[i].bytes, hex);
        assert_string_equal(hex, row[i].digest);
    }
    test_free(text);
}

static void use_files(Arena *a, void *ctx) {
    const char *from = ctx, *why;
    Diags d;
    diags_init(&d, a);
    FileView v;
    const char *dir = file_temp_dir(a, &d);
    file_map(a, &d, from, &v);
    file_write(&d, arena_printf(a, "%s/x", dir), "text", 4);
    file_map_inside(a, dir, "x", &v, &why);
    file_map(a, &d, dir, &v);
}

static void test_alloc_failures_unwind(void **state) {
    (void)state;
    Setup s;
    begin(&s);
    const char *path = test_file(&s.a, s.dir, "from", "x", 1);
    assert_true(test_alloc_failures(use_files, arena_str(&s.a, path), 1000) > 10);
    end(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map_reads),
        cmocka_unit_test(test_map_refuses),
        cmocka_unit_test(test_map_inside_reads),
        cmocka_unit_test(test_map_inside_refuses),
        cmocka_unit_test(test_write_replaces),
        cmocka_unit_test(test_write_follows_a_link),
        cmocka_unit_test(test_write_fails_cleanly),
        cmocka_unit_test(test_write_to_stdout),
        cmocka_unit_test(test_temp_dir_goes),
        cmocka_unit_test(test_temp_dir_refused),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_alloc_failures_unwind),
    };
    return TEST_RUN(tests);
}
