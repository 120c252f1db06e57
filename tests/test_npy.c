/* Arrays in files: what is written reads back, what NumPy writes is understood, what is damaged is refused. */
#include "tests/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "frontend/frontend.h"

typedef struct Ground {
    Arena a;
    Diags d;
    const char *dir;
} Ground;

static Ground *ground(Ground *g) {
    diags_init(&g->d, &g->a);
    g->dir = test_dir(&g->a);
    return g;
}

static void leave(Ground *g) { arena_free(&g->a); }

static const char *path_of(Ground *g, const char *name) { return arena_printf(&g->a, "%s/%s", g->dir, name); }

/* 0, 1, 2, ... of any type. */
static Tensor *counting(Arena *a, Elem elem, Shape s) {
    Tensor *t = tensor_new(a, (Type){elem, s});
    for (int64_t i = 0; i < shape_count(&s); i++) tensor_set(t, i, (double)(elem == QCC_BOOL ? i % 2 : i));
    return t;
}

static void assert_same(const Tensor *t, const Tensor *want) {
    assert_non_null(t);
    assert_true(type_equal(&t->type, &want->type));
    for (int64_t i = 0; i < shape_count(&want->type.shape); i++) {
        assert_true(tensor_get(t, i) == tensor_get(want, i));
    }
}

static void test_npy(void **state) {
    (void)state;
    static const Elem elems[] = {QCC_F32, QCC_F64, QCC_F16, QCC_I8,  QCC_I16, QCC_I32,
                                 QCC_I64, QCC_U8,  QCC_U16, QCC_U32, QCC_U64, QCC_BOOL};
    Ground own = {0}, *g = ground(&own);
    const char *path = path_of(g, "x.npy");
    for (size_t i = 0; i < COUNT_OF(elems); i++) {
        for (int rank = 0; rank <= 3; rank++) {
            Tensor *t = counting(&g->a, elems[i], shape_of(rank, (int64_t[]){2, 3, 2}));
            assert_true(npy_write(&g->a, &g->d, path, t));
            assert_same(tensor_read(&g->a, &g->d, path, NULL), t);
        }
    }
    leave(g);
}

/* What NumPy has no type for is widened. */
static void test_npy_widened(void **state) {
    (void)state;
    Ground own = {0}, *g = ground(&own);
    const char *path = path_of(g, "x.npy");
    Shape s = shape_of(1, (int64_t[]){6});
    assert_true(npy_write(&g->a, &g->d, path, counting(&g->a, QCC_BF16, s)));
    assert_same(tensor_read(&g->a, &g->d, path, NULL), counting(&g->a, QCC_F32, s));
    assert_true(npy_write(&g->a, &g->d, path, counting(&g->a, QCC_I4, s)));
    assert_same(tensor_read(&g->a, &g->d, path, NULL), counting(&g->a, QCC_I8, s));
    leave(g);
}

/* The bytes that NumPy 1.24 writes for np.asfortranarray([[0, 1, 2], [3, 4, 5]], np.int16). */
static void test_npy_fortran(void **state) {
    (void)state;
    Ground own = {0}, *g = ground(&own);
    Text t = {.arena = &g->a};
    text_put(&t, "\x93NUMPY\1\0\x76\0", 10);
    text_add(&t, "%-117s\n", "{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3), }");
    text_put(&t, "\0\0\3\0\1\0\4\0\2\0\5\0", 12);
    const char *path = test_file(&g->a, g->dir, "f.npy", t.s, t.n);
    assert_same(tensor_read(&g->a, &g->d, path, NULL), counting(&g->a, QCC_I16, shape_of(2, (int64_t[]){2, 3})));
    leave(g);
}

static void assert_refused(const char *header, size_t data, DiagId id) {
    Ground own = {0}, *g = ground(&own);
    Text t = {.arena = &g->a};
    size_t n = strlen(header);
    text_put(&t, "\x93NUMPY\1\0", 8);
    text_put(&t, (const char[]){(char)(n & 255), (char)(n >> 8)}, 2);
    text_put(&t, header, n);
    text_put(&t, "0123456789abcdef", data);
    const char *path = test_file(&g->a, g->dir, "bad.npy", t.s, t.n);
    assert_null(tensor_read(&g->a, &g->d, path, NULL));
    assert_int_equal(g->d.n_errors, 1);
    assert_int_equal(g->d.first->id, id);
    leave(g);
}

static void test_npy_refused(void **state) {
    (void)state;
    assert_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 7, D_TENSOR_DATA);
    assert_refused("{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }", 8, D_ELEM_TYPE);
    assert_refused("{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", 8, D_ELEM_TYPE);
    assert_refused("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", 4, D_ELEM_TYPE);
    assert_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }", 8, D_TENSOR_DATA);
    assert_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999999999999,), }", 8, D_TENSOR_DATA);
    assert_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", 8, D_TENSOR_DATA);
    assert_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1), }", 4, D_MODEL_LIMIT);
    assert_refused("{'descr': '<f4', 'fortran_order': False, }", 4, D_TENSOR_DATA);
    assert_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (", 0, D_TENSOR_DATA);
}

static void test_npz(void **state) {
    (void)state;
    Ground own = {0}, *g = ground(&own);
    const char *path = path_of(g, "x.npz");
    NamedTensor list[] = {{"a", counting(&g->a, QCC_F32, shape_of(1, (int64_t[]){1000}))},
                          {"b/c", counting(&g->a, QCC_I64, shape_of(0, NULL))}},
                *back;
    size_t n;
    FileView first, second;
    assert_true(npz_write(&g->a, &g->d, path, list, 2));
    assert_true(file_map(&g->a, &g->d, path, &first));
    assert_true(npz_read(&g->a, &g->d, path, &back, &n));
    assert_int_equal(n, 2);
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(back[i].name, list[i].name);
        assert_same(back[i].tensor, list[i].tensor);
    }
    assert_same(tensor_read(&g->a, &g->d, path, "b/c"), list[1].tensor);
    assert_null(tensor_read(&g->a, &g->d, path, "z"));
    assert_null(tensor_read(&g->a, &g->d, path, NULL));
    assert_true(npz_write(&g->a, &g->d, path_of(g, "y.npz"), list, 2));
    assert_true(file_map(&g->a, &g->d, path_of(g, "y.npz"), &second));
    assert_int_equal(first.bytes, second.bytes);
    assert_memory_equal(first.data, second.data, first.bytes);
    leave(g);
}

/* An archive of the data folder, deflated by NumPy itself. */
static void test_npz_deflated(void **state) {
    (void)state;
    Ground own = {0}, *g = ground(&own);
    NamedTensor *list;
    size_t n;
    const char *path = test_data(&g->a, "models/float/mnist-8/io.npz");
    assert_true(npz_read(&g->a, &g->d, path, &list, &n));
    assert_int_equal(n, 2);
    const Tensor *in = tensor_read(&g->a, &g->d, path, "in_0");
    assert_non_null(in);
    assert_int_equal(in->type.elem, QCC_F32);
    assert_int_equal(shape_count(&in->type.shape), 4 * 28 * 28);
    leave(g);
}

/* Every archive with one byte changed, and every beginning of one, is read or refused, never more. */
static void test_npz_damaged(void **state) {
    (void)state;
    Ground own = {0}, *g = ground(&own);
    const char *path = path_of(g, "x.npz");
    NamedTensor list[] = {{"a", counting(&g->a, QCC_U8, shape_of(1, (int64_t[]){16}))}}, *back;
    FileView v;
    size_t n;
    int refused = 0;
    assert_true(npz_write(&g->a, &g->d, path, list, 1));
    assert_true(file_map(&g->a, &g->d, path, &v));
    for (size_t i = 0; i < 2 * v.bytes; i++) {
        Arena *part = arena_nested(&g->a);
        Diags d;
        diags_init(&d, part);
        char *bytes = arena_copy(part, v.data, v.bytes);
        if (i < v.bytes) bytes[i] = (char)(bytes[i] ^ 0x81);
        const char *bad = test_file(part, g->dir, "bad.npz", bytes, i < v.bytes ? v.bytes : i - v.bytes);
        bool ok = npz_read(part, &d, bad, &back, &n);
        assert_true(ok || d.n_errors == 1);
        refused += !ok;
        arena_free(part);
    }
    assert_true(refused > (int)v.bytes);
    leave(g);
}

static void test_pb(void **state) {
    (void)state;
    Ground own = {0}, *g = ground(&own);
    /* dims: 2, data_type: INT4, raw_data: one byte; then the same with a byte too many */
    static const uint8_t good[] = {0x08, 2, 0x10, 22, 0x4a, 1, 0xf7}, bad[] = {0x08, 2, 0x10, 22, 0x4a, 2, 0xf7, 0};
    const Tensor *t = tensor_read(&g->a, &g->d, test_file(&g->a, g->dir, "good.pb", good, sizeof good), NULL);
    assert_non_null(t);
    assert_int_equal(tensor_get_int(t, 0), 7);
    assert_int_equal(tensor_get_int(t, 1), -1);
    assert_null(tensor_read(&g->a, &g->d, test_file(&g->a, g->dir, "bad.pb", bad, sizeof bad), NULL));
    assert_int_equal(g->d.first->id, D_TENSOR_DATA);
    leave(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_npy),         cmocka_unit_test(test_npy_widened), cmocka_unit_test(test_npy_fortran),
        cmocka_unit_test(test_npy_refused), cmocka_unit_test(test_npz),         cmocka_unit_test(test_npz_deflated),
        cmocka_unit_test(test_npz_damaged), cmocka_unit_test(test_pb),
    };
    return TEST_RUN(tests);
}
