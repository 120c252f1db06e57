/* Operators of the quantized dialects, on values worked out by hand from their definitions. */
#include "tests/op_case.h"
#include "tests/support.h"

#include <math.h>

/* ---- Quant ---------------------------------------------------------------------------------------------------------
 */

static void add_scalar(OpCase *c, Elem elem, double v) { case_const(c, TENSOR(c, elem, SCALAR, v)); }

/* Scale, zero point and width behind the operand. */
static void add_quantizer(OpCase *c, double scale, double zero, double bits) {
    add_scalar(c, QCC_F32, scale);
    add_scalar(c, QCC_F32, zero);
    add_scalar(c, QCC_F32, bits);
}

/* The table of rounding modes: 5.5, 2.5, 1.6, 1.1 and their negatives. */
static void test_rounding_modes(void **state) {
    (void)state;
    static const struct {
        const char *mode;
        double want[8];
    } rows[] = {
        {"ROUND", {6, 2, 2, 1, -1, -2, -2, -6}},
        {"half_even", {6, 2, 2, 1, -1, -2, -2, -6}},
        {"CEIL", {6, 3, 2, 2, -1, -1, -2, -5}},
        {"FLOOR", {5, 2, 1, 1, -2, -2, -3, -6}},
        {"UP", {6, 3, 2, 2, -2, -2, -3, -6}},
        {"DOWN", {5, 2, 1, 1, -1, -1, -2, -5}},
        {"HALF_UP", {6, 3, 2, 1, -1, -2, -3, -6}},
        {"HALF_DOWN", {5, 2, 2, 1, -1, -2, -2, -5}},
        {"round_to_zero", {5, 2, 1, 1, -1, -1, -2, -5}},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        OpCase *c = case_new();
        case_in(c, F32(c, DIMS(8), 5.5, 2.5, 1.6, 1.1, -1.1, -1.6, -2.5, -5.5));
        add_quantizer(c, 1, 0, 8);
        const char *attrs = arena_printf(&c->arena, "rounding_mode=%s", rows[i].mode);
        case_gives(c, OP_Quant, attrs, case_tensor(c, QCC_F32, DIMS(8), 8, rows[i].want));
        case_free(c);
    }
}

typedef struct Range {
    const char *attrs;
    double bits, low, high;
} Range;

/* What lies beyond the codes, infinities too, becomes the last of them. */
static void test_ranges(void **state) {
    (void)state;
    static const Range rows[] = {{"", 8, -128, 127},
                                 {"narrow=1", 8, -127, 127},
                                 {"signed=0", 8, 0, 255},
                                 {"signed=0 narrow=1", 8, 0, 254},
                                 {"", 2, -2, 1},
                                 {"narrow=1", 2, -1, 1},
                                 {"signed=0", 1, 0, 1},
                                 {"", 9, -256, 255},
                                 {"signed=0", 16, 0, 65535},
                                 {"", 24, -8388608, 8388607},
                                 {"", 32, -2147483648.0, 2147483648.0},
                                 {"signed=0", 32, 0, 4294967296.0}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        OpCase *c = case_new();
        case_in(c, F32(c, DIMS(4), -INFINITY, -1e12, 1e12, INFINITY));
        add_quantizer(c, 1, 0, rows[i].bits);
        case_gives(c, OP_Quant, rows[i].attrs, F32(c, DIMS(4), rows[i].low, rows[i].low, rows[i].high, rows[i].high));
        case_free(c);
    }
}

/* The zero point is added before rounding: x / s = 0.5 with a zero point of 1 is code 2, not 1 as QuantizeLinear's. */
static void test_zero_point(void **state) {
    (void)state;
    OpCase *c = case_new();
    case_in(c, F32(c, DIMS(3), 1, 5, -7));
    add_quantizer(c, 2, 1, 3);
    case_gives(c, OP_Quant, NULL, F32(c, DIMS(3), 2, 4, -6));
    case_free(c);
    c = case_new();
    case_in(c, F32(c, DIMS(2, 2), 1, 1, 1, 1));
    case_const(c, F32(c, DIMS(2, 1), 0.5, 0.75));
    case_const(c, I64(c, DIMS(2), 0, 3));
    case_const(c, I64(c, DIMS(1), 4));
    case_gives(c, OP_Quant, "signed=0", F32(c, DIMS(2, 2), 1, 1, 0.75, 0.75));
    case_free(c);
}

/* One signed bit has the codes -1 and +1; so has BipolarQuant, whose 0 is positive and whose NaN is not. */
static void test_bipolar(void **state) {
    (void)state;
    OpCase *c = case_new();
    case_in(c, F32(c, DIMS(5), 0, -0.0, 3, -0.1, NAN));
    add_quantizer(c, 0.5, 0, 1);
    case_gives(c, OP_Quant, "narrow=1", F32(c, DIMS(5), 0.5, 0.5, 0.5, -0.5, -0.5));
    case_free(c);
    c = case_new();
    case_in(c, F32(c, DIMS(5), 0, -0.0, 3, -0.1, NAN));
    add_scalar(c, QCC_F32, 0.25);
    case_gives(c, OP_BipolarQuant, NULL, F32(c, DIMS(5), 0.25, 0.25, 0.25, -0.25, -0.25));
    case_free(c);
}

/* The integers that an expansion goes through: the operand of the cast to float. */
static Elem code_type(OpCase *c, Node *n) {
    assert_true(node_expand(&c->diags, n));
    for (n = c->graph->first; n; n = n->next) {
        if (n->op == OP_Cast && n->out[0]->type.elem == QCC_F32 && elem_is_int(in_elem(n, 0)) && !n->in[0]->constant)
            return in_elem(n, 0);
    }
    return (Elem)0;
}

static void test_code_types(void **state) {
    (void)state;
    static const struct {
        const char *attrs;
        double bits;
        Elem elem;
    } rows[] = {{"", 1, QCC_I8},   {"", 4, QCC_I8},          {"signed=0", 1, QCC_U8},  {"signed=0", 8, QCC_U8},
                {"", 8, QCC_I8},   {"", 9, QCC_I16},         {"signed=0", 9, QCC_I16}, {"signed=0", 16, QCC_I32},
                {"", 32, QCC_I32}, {"signed=0", 32, QCC_U32}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        OpCase *c = case_new();
        case_in(c, F32(c, DIMS(2), 1, 2));
        add_quantizer(c, 0.5, 0, rows[i].bits);
        assert_int_equal(code_type(c, case_node(c, OP_Quant, rows[i].attrs)), rows[i].elem);
        case_free(c);
    }
}

/* ---- Trunc ----------------------------------------------------------------------------------------------------------
 */

/* Without a scale of the output the scale stays, though the codes lose two bits. */
static void test_trunc(void **state) {
    (void)state;
    OpCase *c = case_new();
    case_in(c, F32(c, DIMS(4), 3.5, 4, -0.5, 7.5));
    add_quantizer(c, 0.5, 0, 8);
    case_absent(c);
    add_scalar(c, QCC_F32, 6);
    case_gives(c, OP_Trunc, NULL, F32(c, DIMS(4), 0.5, 1, -0.5, 1.5));
    case_gives(c, OP_Trunc, "rounding_mode=ROUND", F32(c, DIMS(4), 1, 1, 0, 2));
    case_free(c);
}

/* Codes 7, 8, -1, 15 by 4 and to three bits; the zero point is divided too. */
static void test_trunc_rescaled(void **state) {
    (void)state;
    OpCase *c = case_new();
    case_in(c, F32(c, DIMS(4), 3.5, 4, -0.5, 7.5));
    add_quantizer(c, 0.5, 0, 8);
    add_scalar(c, QCC_F32, 2);
    add_scalar(c, QCC_F32, 3);
    case_gives(c, OP_Trunc, "signed=0", F32(c, DIMS(4), 2, 4, 0, 6));
    case_gives(c, OP_Trunc, "rounding_mode=HALF_UP narrow=1", F32(c, DIMS(4), 4, 4, 0, 6));
    case_free(c);
    c = case_new();
    case_in(c, F32(c, DIMS(1), 4));
    add_quantizer(c, 0.5, 4, 8);
    add_scalar(c, QCC_F32, 2);
    add_scalar(c, QCC_F32, 3);
    case_gives(c, OP_Trunc, "signed=0", F32(c, DIMS(1), 4));
    case_free(c);
}

/* ---- MultiThreshold -------------------------------------------------------------------------------------------------
 */

static void test_thresholds(void **state) {
    (void)state;
    OpCase *c = case_new();
    case_in(c, F32(c, DIMS(1, 2, 3), -1, 0, 2.5, 0.5, 1, NAN));
    case_const(c, F32(c, DIMS(2, 3), 0, 1, 2, -INFINITY, 1, 1));
    case_gives(c, OP_MultiThreshold, NULL, F32(c, DIMS(1, 2, 3), 0, 1, 3, 1, 3, 0));
    case_gives(c, OP_MultiThreshold, "out_scale=0.5 out_bias=-1", F32(c, DIMS(1, 2, 3), -1, -0.5, 0.5, -0.5, 0.5, -1));
    case_gives(c, OP_MultiThreshold, "out_scale=0.1 out_bias=0.05",
               F32(c, DIMS(1, 2, 3), 0.05F, 0.1F + 0.05F, 3 * 0.1F + 0.05F, 0.1F + 0.05F, 3 * 0.1F + 0.05F, 0.05F));
    case_free(c);
}

/* Channels are last where the layout ends in C; one row of thresholds serves all. */
static void test_threshold_layouts(void **state) {
    (void)state;
    OpCase *c = case_new();
    case_in(c, F32(c, DIMS(1, 2, 1, 2), 0, 0, 5, 5));
    case_const(c, F32(c, DIMS(2, 1), 0, 5));
    case_gives(c, OP_MultiThreshold, "data_layout=NHWC", F32(c, DIMS(1, 2, 1, 2), 1, 0, 1, 1));
    case_gives(c, OP_MultiThreshold, NULL, F32(c, DIMS(1, 2, 1, 2), 1, 1, 1, 1));
    case_free(c);
    c = case_new();
    case_in(c, F32(c, DIMS(2, 2), -1, 0, 1, 2));
    case_const(c, F32(c, DIMS(1, 1), 0));
    case_gives(c, OP_MultiThreshold, "out_scale=2 out_bias=-1 data_layout=NC out_dtype=BIPOLAR",
               F32(c, DIMS(2, 2), -1, 1, 1, 1));
    case_free(c);
}

/* As many thresholds as 8 bits take. */
static void test_many_thresholds(void **state) {
    (void)state;
    OpCase *c = case_new();
    Tensor *t = tensor_new(&c->arena, (Type){QCC_F32, DIMS(2, 255)});
    for (int64_t i = 0; i < 510; i++) tensor_set(t, i, (double)(i % 255) + (i < 255 ? 0.5 : 100));
    case_in(c, F32(c, DIMS(3, 2), 0, 0, 100, 100, 1000, 1000));
    case_const(c, t);
    case_gives(c, OP_MultiThreshold, "out_bias=-128", F32(c, DIMS(3, 2), -128, -128, -28, -127, 127, 127));
    case_free(c);
}

/* Scale and bias go into the codes where that gives the same values. */
static void test_threshold_codes(void **state) {
    (void)state;
    static const struct {
        const char *attrs;
        Elem elem;
        int behind; /* operators behind the cast */
    } rows[] = {{"", QCC_U8, 0},
                {"out_scale=2 out_bias=-1", QCC_I8, 0},
                {"out_scale=0.25 out_bias=-0.5", QCC_I8, 1},
                {"out_scale=0.25", QCC_U8, 1},
                {"out_scale=0.3 out_bias=0.1", QCC_U8, 2},
                {"out_scale=-1", QCC_I8, 0},
                {"out_bias=300", QCC_I16, 0}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        OpCase *c = case_new();
        case_in(c, F32(c, DIMS(1, 2), 1, 2));
        case_const(c, F32(c, DIMS(2, 2), 1, 2, 2, 3));
        assert_int_equal(code_type(c, case_node(c, OP_MultiThreshold, rows[i].attrs)), rows[i].elem);
        int behind = -2;
        for (Node *n = c->graph->first; n; n = n->next) behind++;
        assert_int_equal(behind, rows[i].behind);
        case_free(c);
    }
}

/* ---- FINN
 * ------------------------------------------------------------------------------------------------------------ */

static void test_xnor_popcount(void **state) {
    (void)state;
    OpCase *c = case_new();
    case_in(c, F32(c, DIMS(2, 3), 1, 0, 1, 0, 0, 0));
    case_const(c, F32(c, DIMS(3, 2), 1, 0, 0, 0, 1, 1));
    case_gives(c, OP_XnorPopcountMatMul, NULL, F32(c, DIMS(2, 2), 3, 2, 1, 2));
    case_free(c);
}

/* Four inputs of 4 bits make 6 bits, of which 4 are kept. */
static void test_quant_avg_pool(void **state) {
    (void)state;
    OpCase *c = case_new();
    case_in(c, F32(c, DIMS(1, 1, 2, 4), 1, 2, 15, 15, 3, 1, 15, 15));
    case_gives(c, OP_QuantAvgPool2d, "kernel=2 stride=2 ibits=4 obits=4", F32(c, DIMS(1, 1, 1, 2), 1, 15));
    case_gives(c, OP_QuantAvgPool2d, "kernel=2 stride=2 ibits=4 obits=8", F32(c, DIMS(1, 1, 1, 2), 7, 60));
    case_gives(c, OP_QuantAvgPool2d, "kernel=1 stride=1 ibits=4 obits=2 data_layout=NHWC",
               F32(c, DIMS(1, 1, 2, 4), 0, 0, 3, 3, 0, 0, 3, 3));
    case_free(c);
    c = case_new();
    case_in(c, F32(c, DIMS(1, 1, 1, 2), -3, 5));
    case_gives(c, OP_QuantAvgPool2d, "kernel=1 stride=1 ibits=4 obits=3 signed=1", F32(c, DIMS(1, 1, 1, 2), -2, 2));
    case_free(c);
}

/* ---- Deeploy
 * ---------------------------------------------------------------------------------------------------------- */

/* (x * mul + add + 4) >> 3: ties go up, of negative numbers too. */
static void test_requant_shift(void **state) {
    (void)state;
    OpCase *c = case_new();
    case_in(c, F32(c, DIMS(1, 2, 3), 4, 12, -4, 1000, -1000, -3));
    case_const(c, F32(c, DIMS(2, 1), 1, 3));
    case_const(c, F32(c, DIMS(2, 1), 0, 1));
    case_gives(c, OP_RequantShift, "div=8", F32(c, DIMS(1, 2, 3), 1, 2, 0, 127, -128, -1));
    case_gives(c, OP_RequantShift, "div=8 signed=0 n_levels=4", F32(c, DIMS(1, 2, 3), 1, 2, 0, 3, 0, 0));
    case_gives(c, OP_RequantShift, "div=1 n_levels=65536", F32(c, DIMS(1, 2, 3), 4, 12, -4, 3001, -2999, -8));
    case_free(c);
}

/* Products beyond what float32 and 32 bits hold. */
static void test_requant_exact(void **state) {
    (void)state;
    OpCase *c = case_new();
    case_in(c, F32(c, DIMS(2), 16777215, -16777215));
    add_scalar(c, QCC_F32, 65537);
    add_scalar(c, QCC_F32, 0);
    case_gives(c, OP_RequantShift, "div=1073741824 n_levels=4096", F32(c, DIMS(2), 1024, -1024));
    case_free(c);
}

/* ---- com.microsoft
 * ------------------------------------------------------------------------------------------------------ */

static void add_codes(OpCase *c, Elem elem, const Tensor *codes, double scale, double zero) {
    case_in(c, codes);
    add_scalar(c, QCC_F32, scale);
    add_scalar(c, elem, zero);
}

static void add_result(OpCase *c, Elem elem, double scale, double zero) {
    add_scalar(c, QCC_F32, scale);
    add_scalar(c, elem, zero);
}

#define U8(c, shape, ...) TENSOR(c, QCC_U8, shape, __VA_ARGS__)
#define I8(c, shape, ...) TENSOR(c, QCC_I8, shape, __VA_ARGS__)

static void test_qlinear_binary(void **state) {
    (void)state;
    OpCase *c = case_new();
    add_codes(c, QCC_U8, U8(c, DIMS(2, 2), 10, 20, 0, 255), 0.5, 10);
    add_codes(c, QCC_U8, U8(c, DIMS(2), 4, 8), 0.25, 4);
    add_result(c, QCC_U8, 1, 100);
    case_gives(c, OP_QLinearAdd, NULL, U8(c, DIMS(2, 2), 100, 106, 95, 224));
    case_gives(c, OP_QLinearMul, NULL, U8(c, DIMS(2, 2), 100, 105, 100, 222));
    case_free(c);
}

/* 0.5 * 1 and 0.5 + 1 with an odd zero point, which is added before rounding: 1.5 goes to 2, and 2.5 too. */
static void test_qlinear_ties(void **state) {
    (void)state;
    OpCase *c = case_new();
    add_codes(c, QCC_U8, U8(c, DIMS(1), 11), 0.5, 10);
    add_codes(c, QCC_U8, U8(c, DIMS(1), 5), 1, 4);
    add_result(c, QCC_U8, 1, 1);
    case_gives(c, OP_QLinearMul, NULL, U8(c, DIMS(1), 2));
    case_gives(c, OP_QLinearAdd, NULL, U8(c, DIMS(1), 2));
    case_free(c);
    c = case_new();
    add_codes(c, QCC_U8, U8(c, DIMS(1, 1, 1, 2), 0, 1), 1, 0);
    add_result(c, QCC_U8, 1, 1);
    case_gives(c, OP_QLinearAveragePool, "kernel_shape=1,2", U8(c, DIMS(1, 1, 1, 1), 2));
    case_gives(c, OP_QLinearGlobalAveragePool, NULL, U8(c, DIMS(1, 1, 1, 1), 1));
    case_free(c);
}

static void test_qlinear_unary(void **state) {
    (void)state;
    OpCase *c = case_new();
    add_codes(c, QCC_I8, I8(c, DIMS(3), -128, 0, 20), 0.5, 0);
    add_result(c, QCC_I8, 0.00390625, -128);
    case_gives(c, OP_QLinearSigmoid, NULL, I8(c, DIMS(3), -128, 0, 127));
    case_free(c);
    c = case_new();
    add_codes(c, QCC_I8, I8(c, DIMS(3), -128, 0, 20), 0.5, 0);
    add_result(c, QCC_I8, 0.25, 1);
    case_gives(c, OP_QLinearLeakyRelu, "alpha=0.125", I8(c, DIMS(3), -31, 1, 41));
    case_free(c);
}

static void test_qlinear_pools(void **state) {
    (void)state;
    OpCase *c = case_new();
    add_codes(c, QCC_U8, U8(c, DIMS(1, 1, 2, 4), 1, 3, 10, 10, 3, 9, 20, 20), 1, 1);
    add_result(c, QCC_U8, 0.5, 10);
    case_gives(c, OP_QLinearAveragePool, "kernel_shape=2,2 strides=2,2", U8(c, DIMS(1, 1, 1, 2), 16, 38));
    case_gives(c, OP_QLinearGlobalAveragePool, NULL, U8(c, DIMS(1, 1, 1, 1), 27));
    case_free(c);
}

/* The first part has the result's scale and keeps its codes. */
static void test_qlinear_concat(void **state) {
    (void)state;
    OpCase *c = case_new();
    add_result(c, QCC_U8, 0.5, 3);
    add_codes(c, QCC_U8, U8(c, DIMS(2), 0, 255), 0.5, 3);
    add_codes(c, QCC_U8, U8(c, DIMS(3), 3, 4, 255), 1, 3);
    case_gives(c, OP_QLinearConcat, "axis=0", U8(c, DIMS(5), 0, 255, 3, 5, 255));
    case_free(c);
}

/* (A - 1)(B - zB) + C with a column's own scale; alpha 2. */
static void add_gemm(OpCase *c) {
    add_codes(c, QCC_U8, U8(c, DIMS(1, 2), 3, 5), 0.5, 1);
    case_const(c, I8(c, DIMS(2, 2), 1, 2, 3, 5));
    case_const(c, F32(c, DIMS(2), 1, 0.25));
    case_const(c, I8(c, DIMS(2), 0, 1));
    case_const(c, TENSOR(c, QCC_I32, DIMS(2), 10, -30));
}

static void test_qgemm(void **state) {
    (void)state;
    OpCase *c = case_new();
    add_gemm(c);
    case_gives(c, OP_QGemm, "alpha=2", F32(c, DIMS(1, 2), 24, -3));
    case_gives(c, OP_QGemm, "alpha=2 transB=1", F32(c, DIMS(1, 2), 20, -2.5));
    add_result(c, QCC_U8, 2, 5);
    case_gives(c, OP_QGemm, "alpha=2", U8(c, DIMS(1, 2), 17, 3));
    case_free(c);
}

static void test_products_to_float(void **state) {
    (void)state;
    OpCase *c = case_new();
    case_in(c, U8(c, DIMS(1, 2), 3, 5));
    case_const(c, I8(c, DIMS(2, 2), 1, 2, 3, 5));
    add_scalar(c, QCC_F32, 0.5);
    case_const(c, F32(c, DIMS(2), 1, 0.25));
    add_scalar(c, QCC_U8, 1);
    case_absent(c);
    case_const(c, F32(c, DIMS(2), 0.125, 1));
    case_gives(c, OP_MatMulIntegerToFloat, NULL, F32(c, DIMS(1, 2), 7.125, 4));
    case_free(c);
    /* 0 to 255 are their own codes. */
    c = case_new();
    case_in(c, F32(c, DIMS(1, 2), 3, 255));
    case_const(c, I8(c, DIMS(2, 1), 2, -1));
    add_scalar(c, QCC_F32, 0.5);
    case_absent(c);
    case_const(c, F32(c, DIMS(1), 0.5));
    case_gives(c, OP_DynamicQuantizeMatMul, NULL, F32(c, DIMS(1, 1), -124));
    case_free(c);
}

/* Two rows of 20 weights of 4 bits in blocks of 16, codes 8 + column in row 0 and 8 - row 1's; low nibbles come first.
 */
static void test_matmul_nbits(void **state) {
    (void)state;
    OpCase *c = case_new();
    Tensor *x = tensor_new(&c->arena, (Type){QCC_F32, DIMS(1, 20)}),
           *b = tensor_new(&c->arena, (Type){QCC_U8, DIMS(2, 2, 8)});
    tensor_set(x, 1, 1);
    tensor_set(x, 2, 10);
    tensor_set(x, 19, 100);
    for (int64_t i = 0; i < 32; i++) tensor_set_int(b, i, 0x88);
    tensor_set_int(b, 0, 0x98);  /* row 0: column 1 is +1 */
    tensor_set_int(b, 1, 0x8A);  /* row 0: column 2 is +2 */
    tensor_set_int(b, 9, 0xF8);  /* row 0: column 19 is +7, of block 1 */
    tensor_set_int(b, 25, 0x08); /* row 1: column 19 is -8 */
    case_in(c, x);
    case_const(c, b);
    case_const(c, F32(c, DIMS(4), 1, 0.5, 1, 0.25));
    case_gives(c, OP_MatMulNBits, "K=20 N=2 bits=4 block_size=16", F32(c, DIMS(1, 2), 371, -200));
    /* Zero points 8, 9 and 8, 0: of row 0, block 1, one less; of row 1, block 1, eight more. */
    case_const(c, U8(c, DIMS(2), 0x98, 0x08));
    case_gives(c, OP_MatMulNBits, "K=20 N=2 bits=4 block_size=16", F32(c, DIMS(1, 2), 321, 0));
    case_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounding_modes),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_zero_point),
        cmocka_unit_test(test_bipolar),
        cmocka_unit_test(test_code_types),
        cmocka_unit_test(test_trunc),
        cmocka_unit_test(test_trunc_rescaled),
        cmocka_unit_test(test_thresholds),
        cmocka_unit_test(test_threshold_layouts),
        cmocka_unit_test(test_many_thresholds),
        cmocka_unit_test(test_threshold_codes),
        cmocka_unit_test(test_xnor_popcount),
        cmocka_unit_test(test_quant_avg_pool),
        cmocka_unit_test(test_requant_shift),
        cmocka_unit_test(test_requant_exact),
        cmocka_unit_test(test_qlinear_binary),
        cmocka_unit_test(test_qlinear_ties),
        cmocka_unit_test(test_qlinear_unary),
        cmocka_unit_test(test_qlinear_pools),
        cmocka_unit_test(test_qlinear_concat),
        cmocka_unit_test(test_qgemm),
        cmocka_unit_test(test_products_to_float),
        cmocka_unit_test(test_matmul_nbits),
    };
    return TEST_RUN(tests);
}
