/* Element-wise operators on values worked out by hand: corner cases of each type, and every refusal. The functions
 * behind the transcendental ones have their own test (test_expr_math.c). */
#include "tests/op_case.h"

#include "tests/support.h"

#include <math.h>

#define TEST(name) static void name(void **state)
#define OPEN                \
    OpCase *c = case_new(); \
    (void)state

/* A row of operands and of results, of types that may differ. */
#define ROW(elem, ...) TENSOR(c, elem, DIMS((int64_t)COUNT_OF(((double[]){__VA_ARGS__}))), __VA_ARGS__)
#define F(...) ROW(QCC_F32, __VA_ARGS__)
#define B(...) ROW(QCC_BOOL, __VA_ARGS__)

static void with(OpCase *c, const Tensor *p, const Tensor *q, const Tensor *r) {
    const Tensor *all[] = {p, q, r};
    c->n_in = 0;
    for (int k = 0; k < 3 && all[k]; k++) case_in(c, all[k]);
}

static void unary(OpCase *c, OpId op, const char *attrs, const Tensor *x, const Tensor *want) {
    with(c, x, NULL, NULL);
    case_gives(c, op, attrs, want);
}

static void binary(OpCase *c, OpId op, const char *attrs, const Tensor *p, const Tensor *q, const Tensor *want) {
    with(c, p, q, NULL);
    case_gives(c, op, attrs, want);
}

/* ---- arithmetic ---- */

TEST(integers_wrap_and_divide) {
    OPEN;
    binary(c, OP_Add, NULL, ROW(QCC_I8, 127, -128), ROW(QCC_I8, 1, -1), ROW(QCC_I8, -128, 127));
    binary(c, OP_Sub, NULL, ROW(QCC_U8, 3), ROW(QCC_U8, 5), ROW(QCC_U8, 254));
    binary(c, OP_Mul, NULL, ROW(QCC_I32, 65536), ROW(QCC_I32, 65537), ROW(QCC_I32, 65536));
    binary(c, OP_Div, NULL, ROW(QCC_I32, -7, 7, -2147483648.0, 5), ROW(QCC_I32, 2, -2, -1, 0),
           ROW(QCC_I32, -3, -3, -2147483648.0, 0));
    unary(c, OP_Neg, NULL, ROW(QCC_I8, -128, 5), ROW(QCC_I8, -128, -5));
    unary(c, OP_Abs, NULL, ROW(QCC_I8, -128, -5), ROW(QCC_I8, -128, 5));
    unary(c, OP_Sign, NULL, ROW(QCC_U8, 0, 200), ROW(QCC_U8, 0, 1));
    case_free(c);
}

TEST(remainders) {
    OPEN;
    const Tensor *x = ROW(QCC_I32, -4, 7, 5, 4, -7, 8), *y = ROW(QCC_I32, 2, -3, 8, -2, 3, 5);
    binary(c, OP_Mod, NULL, x, y, ROW(QCC_I32, 0, -2, 5, 0, 2, 3));
    binary(c, OP_Mod, "fmod=1", x, y, ROW(QCC_I32, 0, 1, 5, 0, -1, 3));
    const Tensor *p = F(-4.3, 7.2, 5, -0.0, 3, 3, INFINITY, 6), *q = F(2.1, -3.4, 8, 2, INFINITY, -INFINITY, 2, 0);
    c->tolerance = 1e-6;
    binary(c, OP_Mod, "fmod=1", p, q, F(-0.1, 0.4, 5, 0, 3, 3, NAN, NAN));
    binary(c, OP_Mod, NULL, p, q, F(2, -3, 5, 0, 3, -INFINITY, NAN, NAN));
    c->tolerance = 0;
    binary(c, OP_Mod, NULL, F(-0.0, 0, 4), F(2, -2, -2), F(0, -0.0, -0.0));
    case_free(c);
}

TEST(shifts_and_bits) {
    OPEN;
    const Tensor *x = ROW(QCC_I8, -128, 64, -1, 3, 5), *by = ROW(QCC_I8, 1, 1, 8, -1, 0);
    binary(c, OP_BitShift, "direction=RIGHT", x, by, ROW(QCC_I8, -64, 32, -1, 0, 5));
    binary(c, OP_BitShift, "direction=LEFT", x, by, ROW(QCC_I8, 0, -128, 0, 0, 5));
    binary(c, OP_BitShift, "direction=RIGHT", ROW(QCC_U8, 255, 255), ROW(QCC_U8, 7, 8), ROW(QCC_U8, 1, 0));
    case_refused(c, OP_BitShift, "direction=UP", D_ATTRIBUTE, "direction is 'UP', but must be LEFT or RIGHT");
    case_refused(c, OP_BitShift, NULL, D_ATTRIBUTE, "attribute 'direction' is missing");
    binary(c, OP_BitwiseAnd, NULL, ROW(QCC_I16, -2, 12), ROW(QCC_I16, 7, 10), ROW(QCC_I16, 6, 8));
    binary(c, OP_BitwiseOr, NULL, ROW(QCC_U16, 1, 12), ROW(QCC_U16, 6, 10), ROW(QCC_U16, 7, 14));
    binary(c, OP_BitwiseXor, NULL, ROW(QCC_I64, -1), ROW(QCC_I64, 5), ROW(QCC_I64, -6));
    unary(c, OP_BitwiseNot, NULL, ROW(QCC_U8, 0, 240), ROW(QCC_U8, 255, 15));
    case_free(c);
}

TEST(rounding) {
    OPEN;
    const Tensor *x = F(0.5, 1.5, -2.5, -0.2, 8388609, NAN);
    unary(c, OP_Round, NULL, x, F(0, 2, -2, -0.0, 8388609, NAN));
    unary(c, OP_Floor, NULL, x, F(0, 1, -3, -1, 8388609, NAN));
    unary(c, OP_Ceil, NULL, x, F(1, 2, -2, -0.0, 8388609, NAN));
    unary(c, OP_Sign, NULL, F(-3, 0, 2, NAN, -INFINITY), F(-1, 0, 1, NAN, -1));
    unary(c, OP_Sqrt, NULL, F(4, -1, -0.0), F(2, NAN, -0.0));
    unary(c, OP_Reciprocal, NULL, F(4, -0.0), F(0.25, -INFINITY));
    case_free(c);
}

/* f16 is computed in f32 and rounded once at the end. */
TEST(halves_are_rounded_once) {
    OPEN;
    with(c, ROW(QCC_F16, 2048), ROW(QCC_F16, 1), ROW(QCC_F16, 1));
    case_gives(c, OP_Sum, NULL, ROW(QCC_F16, 2050));
    binary(c, OP_Add, NULL, ROW(QCC_F16, 2048, 60000), ROW(QCC_F16, 1, 60000), ROW(QCC_F16, 2048, INFINITY));
    binary(c, OP_Mul, NULL, ROW(QCC_BF16, 1.0078125), ROW(QCC_BF16, 1.0078125), ROW(QCC_BF16, 1.015625));
    case_free(c);
}

TEST(several_operands) {
    OPEN;
    with(c, F(1, NAN, 3, 4), F(2, 2, NAN, -4), F(0, 1, 1, 9));
    case_gives(c, OP_Min, NULL, F(0, NAN, NAN, -4));
    case_gives(c, OP_Max, NULL, F(2, NAN, NAN, 9));
    case_gives(c, OP_Sum, NULL, F(3, NAN, NAN, 9));
    case_gives(c, OP_Mean, NULL, F(1, NAN, NAN, 3));
    with(c, F(5, -5), NULL, NULL);
    case_gives(c, OP_Mean, NULL, F(5, -5));
    binary(c, OP_Max, NULL, ROW(QCC_U64, 1, 18446744073709549568.0), ROW(QCC_U64, 2, 7),
           ROW(QCC_U64, 2, 18446744073709549568.0));
    case_free(c);
}

TEST(clipping) {
    OPEN;
    with(c, F(-5, 0.5, 9, NAN), F32(c, SCALAR, -1), F32(c, SCALAR, 1));
    case_gives(c, OP_Clip, NULL, F(-1, 0.5, 1, NAN));
    with(c, F(-5, 0.5, 9), F32(c, SCALAR, 3), F32(c, SCALAR, 2)); /* limits the wrong way round: max wins */
    case_gives(c, OP_Clip, NULL, F(2, 2, 2));
    c->n_in = 0;
    case_in(c, ROW(QCC_I8, -100, 3));
    case_absent(c);
    case_const(c, TENSOR(c, QCC_I8, SCALAR, 1));
    case_gives(c, OP_Clip, NULL, ROW(QCC_I8, -100, 1));
    with(c, F(1, 2), F(0, 1), NULL);
    case_refused(c, OP_Clip, NULL, D_OPERAND_SHAPE, "a limit has the shape [2], but must be a scalar");
    case_free(c);
}

TEST(powers) {
    OPEN;
    binary(c, OP_Pow, NULL, F(2, -2, 0, -8, 0), F(3, 3, 0, 0.5, -1), F(8, -8, 1, NAN, INFINITY));
    binary(c, OP_Pow, NULL, F(1.5, 2), ROW(QCC_I64, 2, -3), F(2.25, 0.125));
    binary(c, OP_Pow, NULL, ROW(QCC_I32, 3, -3, 1, -1, 2, 0), ROW(QCC_I32, 4, 3, -5, -5, -1, 0),
           ROW(QCC_I32, 81, -27, 1, -1, 0, 1));
    binary(c, OP_Pow, NULL, ROW(QCC_I64, 3, 2), ROW(QCC_U8, 33, 64), ROW(QCC_I64, 5559060566555523, 0));
    binary(c, OP_Pow, NULL, ROW(QCC_I32, 2, 9), F(3.5, 0.5), ROW(QCC_I32, 11, 3));
    c->n_in = 0;
    case_in(c, F(3, -0.0, -INFINITY, 0.1));
    case_const(c, F32(c, SCALAR, 2));
    case_gives(c, OP_Pow, NULL, F(9, 0, INFINITY, (double)(0.1f * 0.1f)));
    c->n_in--;
    case_const(c, F32(c, SCALAR, 0.5));
    c->tolerance = 1e-6;
    case_gives(c, OP_Pow, NULL, F(1.7320508, 0, INFINITY, 0.31622777));
    case_free(c);
}

/* ---- comparison and selection ---- */

TEST(comparisons) {
    OPEN;
    const Tensor *x = F(1, 2, 3, NAN, 0), *y = F(2, 2, 2, NAN, -0.0);
    binary(c, OP_Equal, NULL, x, y, B(0, 1, 0, 0, 1));
    binary(c, OP_Less, NULL, x, y, B(1, 0, 0, 0, 0));
    binary(c, OP_LessOrEqual, NULL, x, y, B(1, 1, 0, 0, 1));
    binary(c, OP_Greater, NULL, x, y, B(0, 0, 1, 0, 0));
    binary(c, OP_GreaterOrEqual, NULL, x, y, B(0, 1, 1, 0, 1));
    binary(c, OP_Equal, NULL, B(0, 1), B(1, 1), B(0, 1));
    binary(c, OP_Less, NULL, ROW(QCC_U8, 200), ROW(QCC_U8, 100), B(0));
    binary(c, OP_Less, NULL, ROW(QCC_I8, -56), ROW(QCC_I8, 100), B(1));
    binary(c, OP_And, NULL, B(0, 0, 1, 1), B(0, 1, 0, 1), B(0, 0, 0, 1));
    binary(c, OP_Or, NULL, B(0, 0, 1, 1), B(0, 1, 0, 1), B(0, 1, 1, 1));
    binary(c, OP_Xor, NULL, B(0, 0, 1, 1), B(0, 1, 0, 1), B(0, 1, 1, 0));
    unary(c, OP_Not, NULL, B(0, 1), B(1, 0));
    unary(c, OP_IsNaN, NULL, ROW(QCC_F16, 1, NAN, INFINITY), B(0, 1, 0));
    unary(c, OP_IsInf, NULL, F(1, NAN, INFINITY, -INFINITY), B(0, 0, 1, 1));
    unary(c, OP_IsInf, "detect_negative=0", F(1, NAN, INFINITY, -INFINITY), B(0, 0, 1, 0));
    unary(c, OP_IsInf, "detect_positive=0", F(1, NAN, INFINITY, -INFINITY), B(0, 0, 0, 1));
    case_free(c);
}

TEST(selection_broadcasts) {
    OPEN;
    with(c, TENSOR(c, QCC_BOOL, DIMS(2, 1), 1, 0), F32(c, DIMS(1, 2), 1, 2), F32(c, SCALAR, NAN));
    case_gives(c, OP_Where, NULL, F32(c, DIMS(2, 2), 1, 2, NAN, NAN));
    with(c, B(1, 0), ROW(QCC_F16, 1, 2), ROW(QCC_F16, 3, 4));
    case_gives(c, OP_Where, NULL, ROW(QCC_F16, 1, 4));
    with(c, F(1, 0), F(1, 2), F(1, 2));
    case_refused(c, OP_Where, NULL, D_OPERAND_TYPE, "operand 0 (condition) is f32, but must be one of bool");
    with(c, F(1, 2, 3), F(1, 2), NULL);
    case_refused(c, OP_Add, NULL, D_OPERAND_SHAPE, "does not broadcast");
    case_free(c);
}

/* ---- conversion ---- */

#define CAST(x, name, want)                                                        \
    do {                                                                           \
        const char *to = arena_printf(&c->arena, "to=%d", (int)(want)->type.elem); \
        unary(c, name, to, (x), (want));                                           \
    } while (0)

TEST(casts) {
    OPEN;
    const Tensor *x = F(-1.9, 300.7, 3e9, -3e9, NAN, INFINITY, 0.25);
    CAST(x, OP_Cast, ROW(QCC_I8, -1, 44, -1, 0, 0, -1, 0));
    CAST(x, OP_Cast, ROW(QCC_I32, -1, 300, 2147483647, -2147483648.0, 0, 2147483647, 0));
    CAST(x, OP_Cast, ROW(QCC_U32, 4294967295.0, 300, 3e9, 2147483648.0, 0, 4294967295.0, 0));
    CAST(x, OP_Cast, ROW(QCC_BOOL, 1, 1, 1, 1, 1, 1, 1));
    CAST(ROW(QCC_I32, 7, -9, 200), OP_Cast, ROW(QCC_I4, 7, 7, -8));
    CAST(ROW(QCC_I32, 7, -9, 200), OP_Cast, ROW(QCC_U2, 3, 3, 0));
    CAST(ROW(QCC_I4, -8, 7), OP_Cast, ROW(QCC_F16, -8, 7));
    CAST(ROW(QCC_F64, 1.00048828125 + 1e-12), OP_Cast, ROW(QCC_F16, 1.0009765625));
    CAST(ROW(QCC_F16, 0.333251953125, NAN), OP_Cast, ROW(QCC_F64, 0.333251953125, NAN));
    CAST(ROW(QCC_F16, 65504, 0.1), OP_Cast, ROW(QCC_BF16, 65536, 0.10009765625));
    CAST(ROW(QCC_I64, 16777217), OP_Cast, F(16777216));
    CAST(B(1, 0), OP_Cast, F(1, 0));
    with(c, F(1), NULL, NULL);
    case_refused(c, OP_Cast, "to=8", D_ELEM_TYPE, "ONNX data type 8) is not supported");
    case_refused(c, OP_Cast, "to=-1", D_ELEM_TYPE, "not supported");
    case_free(c);
}

TEST(bits_are_kept) {
    OPEN;
    CAST(F(1, -2), OP_BitCast, ROW(QCC_I32, 1065353216, -1073741824));
    CAST(ROW(QCC_U16, 0x3c00), OP_BitCast, ROW(QCC_F16, 1));
    CAST(ROW(QCC_F16, 1), OP_BitCast, ROW(QCC_U16, 0x3c00));
    CAST(ROW(QCC_I4, -1, 7), OP_BitCast, ROW(QCC_U4, 15, 7));
    CAST(ROW(QCC_BOOL, 1), OP_BitCast, ROW(QCC_U8, 1));
    with(c, F(1), NULL, NULL);
    case_refused(c, OP_BitCast, "to=7", D_OPERAND_TYPE, "f32 has 32 bits, but the target type i64 has 64");
    case_free(c);
}

TEST(cast_like_takes_the_type_only) {
    OPEN;
    with(c, F(1.5, 2.5), TENSOR(c, QCC_U8, DIMS(3, 1), 0, 0, 0), NULL);
    case_gives(c, OP_CastLike, NULL, ROW(QCC_U8, 1, 2));
    case_free(c);
}

TEST(dropout_at_inference) {
    OPEN;
    c->n_out = 2;
    c->n_in = 0;
    case_in(c, F(1, 2));
    case_in(c, F32(c, SCALAR, 0.5));
    case_const(c, TENSOR(c, QCC_BOOL, SCALAR, 0));
    Node *n = case_node(c, OP_Dropout, NULL);
    case_output(c, n, 0, F(1, 2));
    case_output(c, n, 1, B(1, 1));
    c->n_in--;
    case_const(c, TENSOR(c, QCC_BOOL, SCALAR, 1));
    case_refused(c, OP_Dropout, NULL, D_UNSUPPORTED_FORM, "dropping at random is for training only");
    c->n_in--;
    case_const(c, TENSOR(c, QCC_BOOL, DIMS(2), 1, 0));
    case_refused(c, OP_Dropout, NULL, D_OPERAND_SHAPE, "training_mode must be a scalar");
    c->n_in = 1;
    case_const(c, F32(c, SCALAR, 0));
    case_const(c, TENSOR(c, QCC_BOOL, SCALAR, 1));
    case_output(c, case_node(c, OP_Dropout, NULL), 0, F(1, 2));
    case_free(c);
}

/* ---- activations ---- */

TEST(rectifiers) {
    OPEN;
    const Tensor *x = F(-2, -0.5, 0, 0.5, 2, NAN);
    unary(c, OP_Relu, NULL, x, F(0, 0, 0, 0.5, 2, NAN));
    unary(c, OP_Relu, NULL, ROW(QCC_I8, -3, 3), ROW(QCC_I8, 0, 3));
    unary(c, OP_LeakyRelu, "alpha=0.25", x, F(-0.5, -0.125, 0, 0.5, 2, NAN));
    unary(c, OP_ThresholdedRelu, "alpha=0.5", x, F(0, 0, 0, 0, 2, 0));
    unary(c, OP_HardSigmoid, "alpha=0.5 beta=0.5", x, F(0, 0.25, 0.5, 0.75, 1, NAN));
    unary(c, OP_Softsign, NULL, F(-1, 0, 3), F(-0.5, 0, 0.75));
    unary(c, OP_Shrink, "lambd=0.5 bias=0.25", x, F(-1.75, 0, 0, 0, 1.75, 0));
    unary(c, OP_Shrink, "lambd=1.5 bias=1.5", ROW(QCC_I8, -2, 1, 4), ROW(QCC_I8, 0, 0, 2));
    binary(c, OP_PRelu, NULL, F32(c, DIMS(2, 2), -1, 2, -3, -4), F(0.5, 0.25), F32(c, DIMS(2, 2), -0.5, 2, -1.5, -1));
    with(c, F(-1, 2), F32(c, DIMS(2, 1), 1, 2), NULL);
    case_refused(c, OP_PRelu, NULL, D_OPERAND_SHAPE, "the slope is [2,1], which does not broadcast to X, [2]");
    case_free(c);
}

TEST(curves) {
    OPEN;
    c->tolerance = 2e-7;
    const Tensor *x = F(-3, -0.5, 0, 1, 90);
    unary(c, OP_Elu, "alpha=2", x, F(-1.9004259, -0.78693868, 0, 1, 90));
    unary(c, OP_Celu, "alpha=2", x, F(-1.5537397, -0.44239843, 0, 1, 90));
    unary(c, OP_Selu, NULL, x, F(-1.6705687, -0.69175819, 0, 1.0507010, 94.563090));
    unary(c, OP_Sigmoid, NULL, x, F(0.047425873, 0.37754067, 0.5, 0.73105858, 1));
    unary(c, OP_Tanh, NULL, x, F(-0.99505475, -0.46211716, 0, 0.76159416, 1));
    unary(c, OP_Softplus, NULL, x, F(0.048587352, 0.47407698, 0.69314718, 1.3132617, 90));
    unary(c, OP_Swish, "alpha=2", x, F(-0.0074178697, -0.13447071, 0, 0.88079708, 90));
    unary(c, OP_Mish, NULL, x, F(-0.14564741, -0.22074377, 0, 0.86509839, 90));
    unary(c, OP_HardSwish, NULL, x, F(0, -0.20833333, 0, 0.66666667, 90));
    unary(c, OP_Gelu, NULL, x, F(-0.0040496940, -0.15426877, 0, 0.84134475, 90));
    unary(c, OP_Gelu, "approximate=tanh", x, F(-0.0036373921, -0.15428599, 0, 0.84119199, 90));
    case_refused(c, OP_Gelu, "approximate=fast", D_ATTRIBUTE, "approximate is 'fast', but must be none or tanh");
    case_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_wrap_and_divide),
        cmocka_unit_test(remainders),
        cmocka_unit_test(shifts_and_bits),
        cmocka_unit_test(rounding),
        cmocka_unit_test(halves_are_rounded_once),
        cmocka_unit_test(several_operands),
        cmocka_unit_test(clipping),
        cmocka_unit_test(powers),
        cmocka_unit_test(comparisons),
        cmocka_unit_test(selection_broadcasts),
        cmocka_unit_test(casts),
        cmocka_unit_test(bits_are_kept),
        cmocka_unit_test(cast_like_takes_the_type_only),
        cmocka_unit_test(dropout_at_inference),
        cmocka_unit_test(rectifiers),
        cmocka_unit_test(curves),
    };
    return TEST_RUN(tests);
}
