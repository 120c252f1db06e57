/* Element access and half precision of the reference kernels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>

#include "runtime/ref/ref.h"

static void f16_returns(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 0x10000; h++) {
        float f = ref_f16_to_f32((uint16_t)h);
        if (f != f) {
            assert_int_equal(ref_f32_to_f16(f), h | 0x200u);
        } else {
            assert_int_equal(ref_f32_to_f16(f), h);
        }
    }
    assert_true(ref_f16_to_f32(0x3555) == 0.333251953125f);
    assert_true(ref_f16_to_f32(0xfbff) == -65504.0f);
    assert_true(ref_f16_to_f32(0x8001) == -0x1p-24f);
}

/* Between each pair of neighbours: the middle goes to the even one, what is beside it to the nearer one. */
static void f16_rounds_to_even(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 0x7bff; h++) {
        float lo = ref_f16_to_f32((uint16_t)h), hi = ref_f16_to_f32((uint16_t)(h + 1)), mid = (lo + hi) / 2;
        assert_int_equal(ref_f32_to_f16(mid), h + (h & 1));
        assert_int_equal(ref_f32_to_f16(nextafterf(mid, 0)), h);
        assert_int_equal(ref_f32_to_f16(-nextafterf(mid, hi)), 0x8000u | (h + 1));
    }
    assert_int_equal(ref_f32_to_f16(65519.996f), 0x7bff);
    assert_int_equal(ref_f32_to_f16(65520.0f), 0x7c00);
}

static void bf16_rounds_to_even(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 0x7f7f; h++) {
        float lo = ref_bf16_to_f32((uint16_t)h), hi = ref_bf16_to_f32((uint16_t)(h + 1)), mid = lo + (hi - lo) / 2;
        assert_int_equal(ref_f32_to_bf16(lo), h);
        assert_int_equal(ref_f32_to_bf16(mid), h + (h & 1));
        assert_int_equal(ref_f32_to_bf16(nextafterf(mid, 0)), h);
        assert_int_equal(ref_f32_to_bf16(-nextafterf(mid, hi)), 0x8000u | (h + 1));
    }
    assert_int_equal(ref_f32_to_bf16(INFINITY), 0x7f80);
    assert_true(ref_bf16_to_f32(ref_f32_to_bf16(NAN)) != ref_bf16_to_f32(ref_f32_to_bf16(NAN)));
}

static double stored(int32_t elem, double v) {
    uint64_t room = 0;
    RefTensor t = {&room, elem, 0, {0}};
    ref_store(&t, 0, v);
    return ref_load(&t, 0);
}

static void stores_convert(void **state) {
    (void)state;
    /* a double just above the middle of two halves, which a detour over f32 would bring to the middle and then down */
    assert_true(stored(QCC_F16, 1 + 0x1p-11 + 0x1p-40) == 1 + 0x1p-10);
    assert_true(stored(QCC_F16, 1 + 0x1p-11) == 1);
    assert_true(stored(QCC_BF16, -(1 + 0x1p-8 + 0x1p-40)) == -(1 + 0x1p-7));
    assert_true(stored(QCC_F16, 1e300) == INFINITY);
    assert_true(stored(QCC_I8, 300.7) == 44);
    assert_true(stored(QCC_I8, -1.9) == -1);
    assert_true(stored(QCC_U8, -1) == 255);
    assert_true(stored(QCC_I4, 9) == -7);
    assert_true(stored(QCC_U4, -3) == 13);
    assert_true(stored(QCC_I2, 6) == -2);
    assert_true(stored(QCC_U2, 7) == 3);
    assert_true(stored(QCC_BOOL, 0.25) == 1);
    assert_true(stored(QCC_I32, NAN) == 0);
    assert_true(stored(QCC_I32, 1e20) == INT32_MAX);
    assert_true(stored(QCC_U32, 4e9) == 4e9);
    assert_true(stored(QCC_U32, 1e20) == UINT32_MAX);
    assert_true(stored(QCC_I64, -1e20) == -0x1p63);
    assert_true(stored(QCC_U64, 0x1.8p63) == 0x1.8p63);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f16_returns),
        cmocka_unit_test(f16_rounds_to_even),
        cmocka_unit_test(bf16_rounds_to_even),
        cmocka_unit_test(stores_convert),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
