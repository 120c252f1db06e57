/* Convolutions: small vectors worked out by hand, the resolved windows, and every refusal. */
#include "tests/op_case.h"

#include "ir/ops/window.h"
#include "tests/support.h"

#define TEST(name) static void name(void **state)
#define OPEN                \
    OpCase *c = case_new(); \
    (void)state

static void operands(OpCase *c, const Tensor *x, const Tensor *w) {
    c->n_in = 0;
    case_in(c, x);
    case_in(c, w);
}

/* ---- Conv ---- */

TEST(conv_plain) {
    OPEN;
    operands(c, case_ramp(c, QCC_F32, DIMS(1, 1, 3, 3)), F32(c, DIMS(2, 1, 2, 2), 1, 1, 1, 1, 1, 0, 0, -1));
    case_gives(c, OP_Conv, NULL, F32(c, DIMS(1, 2, 2, 2), 8, 12, 20, 24, -4, -4, -4, -4));
    case_in(c, F32(c, DIMS(2), 100, 4));
    case_gives(c, OP_Conv, "kernel_shape=2,2", F32(c, DIMS(1, 2, 2, 2), 108, 112, 120, 124, 0, 0, 0, 0));
    case_free(c);
}

TEST(conv_pads_strides_dilations) {
    OPEN;
    operands(c, F32(c, DIMS(1, 1, 5), 1, 2, 3, 4, 5), F32(c, DIMS(1, 1, 3), 1, 10, 100));
    case_gives(c, OP_Conv, "pads=1,1", F32(c, DIMS(1, 1, 5), 210, 321, 432, 543, 54));
    case_gives(c, OP_Conv, "pads=2,0 strides=2", F32(c, DIMS(1, 1, 3), 100, 321, 543));
    case_gives(c, OP_Conv, "dilations=2", F32(c, DIMS(1, 1, 1), 531));
    case_gives(c, OP_Conv, "dilations=2 pads=0,3 strides=3", F32(c, DIMS(1, 1, 2), 531, 4));
    case_gives(c, OP_Conv, "auto_pad=SAME_UPPER strides=2", F32(c, DIMS(1, 1, 3), 210, 432, 54));
    case_gives(c, OP_Conv, "auto_pad=VALID", F32(c, DIMS(1, 1, 3), 321, 432, 543));
    case_free(c);
}

/* An odd total of pads is larger at the end with SAME_UPPER, at the beginning with SAME_LOWER. */
TEST(conv_same) {
    OPEN;
    operands(c, F32(c, DIMS(1, 1, 4), 1, 2, 3, 4), F32(c, DIMS(1, 1, 2), 1, 10));
    case_gives(c, OP_Conv, "auto_pad=SAME_UPPER", F32(c, DIMS(1, 1, 4), 21, 32, 43, 4));
    case_gives(c, OP_Conv, "auto_pad=SAME_LOWER", F32(c, DIMS(1, 1, 4), 10, 21, 32, 43));
    case_free(c);
}

TEST(conv_groups) {
    OPEN;
    operands(c, F32(c, DIMS(2, 4, 1), 1, 2, 3, 4, 5, 6, 7, 8), F32(c, DIMS(2, 2, 1), 1, 10, 100, 1000));
    case_gives(c, OP_Conv, "group=2", F32(c, DIMS(2, 2, 1), 21, 4300, 65, 8700));
    case_free(c);
}

TEST(conv_volume) {
    OPEN;
    operands(c, case_ramp(c, QCC_F64, DIMS(1, 1, 2, 2, 3)), TENSOR(c, QCC_F64, DIMS(1, 1, 2, 1, 2), 1, 2, 3, 4));
    case_gives(c, OP_Conv, NULL, TENSOR(c, QCC_F64, DIMS(1, 1, 1, 2, 2), 48, 58, 78, 88));
    case_free(c);
}

/* Sums of halves are exact, so one rounding is all that can be seen: 2048 + 1 + 1 is 2050, not 2048. */
TEST(conv_half) {
    OPEN;
    operands(c, TENSOR(c, QCC_F16, DIMS(1, 3, 1), 2048, 1, 1), TENSOR(c, QCC_F16, DIMS(1, 3, 1), 1));
    case_gives(c, OP_Conv, NULL, TENSOR(c, QCC_F16, DIMS(1, 1, 1), 2050));
    operands(c, TENSOR(c, QCC_BF16, DIMS(1, 3, 1), 256, 1, 1), TENSOR(c, QCC_BF16, DIMS(1, 3, 1), 1));
    case_gives(c, OP_Conv, NULL, TENSOR(c, QCC_BF16, DIMS(1, 1, 1), 258));
    case_free(c);
}

/* Rows of more than one block of accumulators, in 1-D so that every column is known: x_i = i, taps 1 and -1. */
TEST(conv_long_row) {
    OPEN;
    operands(c, case_ramp(c, QCC_F32, DIMS(1, 1, 200)), F32(c, DIMS(1, 1, 2), -1, 1));
    case_gives(c, OP_Conv, NULL, F32(c, DIMS(1, 1, 199), 1));
    case_free(c);
}

TEST(conv_empty_batch) {
    OPEN;
    operands(c, case_ramp(c, QCC_F32, DIMS(0, 1, 3)), F32(c, DIMS(0, 1, 2), 0));
    case_gives(c, OP_Conv, NULL, case_ramp(c, QCC_F32, DIMS(0, 0, 2)));
    case_free(c);
}

TEST(conv_attribute_refusals) {
    static const struct {
        const char *attrs, *text;
    } cases[] = {{"strides=0,1", "strides[0] is 0; 1 to 2147483647 is wanted"},
                 {"strides=1,-1", "strides[1] is -1"},
                 {"strides=1,4294967296", "strides[1] is 4294967296"},
                 {"strides=1", "strides has 1 entries; 2 are wanted"},
                 {"dilations=0,1", "dilations[0] is 0"},
                 {"pads=1,1", "pads has 2 entries; 4 are wanted"},
                 {"pads=0,0,-1,0", "pads[2] is -1; 0 to"},
                 {"pads=0,0,4611686018427387904,0", "pads[2] is 4611686018427387904"},
                 {"group=0", "group is 0; at least 1 is wanted"},
                 {"group=-1", "group is -1"},
                 {"kernel_shape=2,3", "kernel_shape[1] is 3, but the weights have 2 there"},
                 {"kernel_shape=2", "kernel_shape has 1 entries"},
                 {"auto_pad=SAME", "auto_pad is 'SAME'"},
                 {"auto_pad=SAME_UPPER pads=1,1,1,1", "both auto_pad and pads"}};
    OPEN;
    operands(c, case_ramp(c, QCC_F32, DIMS(1, 1, 4, 4)), F32(c, DIMS(1, 1, 2, 2), 1));
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        case_refused(c, OP_Conv, cases[i].attrs, D_ATTRIBUTE, cases[i].text);
    }
    case_refused(c, OP_Conv, "dilations=4,1", D_OPERAND_SHAPE, "a window of 5 exceeds the padded input of 4");
    case_refused(c, OP_Conv, "dilations=2147483647,1", D_OPERAND_SHAPE, "a window of 2147483648 exceeds");
    case_refused(c, OP_Conv, "pads=2147483647,2147483647,0,0", D_SIZE_LIMIT, "more than");
    case_free(c);
}

TEST(conv_operand_refusals) {
    OPEN;
    operands(c, case_ramp(c, QCC_F32, DIMS(1, 4, 4, 4)), F32(c, DIMS(3, 2, 2, 2), 1));
    case_refused(c, OP_Conv, NULL, D_OPERAND_SHAPE, "4 input channels; the weights take 2 in each of 1 groups");
    case_refused(c, OP_Conv, "group=9223372036854775807", D_OPERAND_SHAPE,
                 "the weights take 2 in each of 9223372036854775807");
    case_refused(c, OP_Conv, "group=2", D_ATTRIBUTE, "group 2 does not divide 3 output channels");
    operands(c, case_ramp(c, QCC_F32, DIMS(1, 2, 4, 4)), F32(c, DIMS(3, 2, 2, 2), 1));
    case_in(c, F32(c, DIMS(2), 1));
    case_refused(c, OP_Conv, NULL, D_OPERAND_SHAPE, "a bias of shape [2]; [3] is wanted");
    operands(c, case_ramp(c, QCC_F32, DIMS(1, 2, 4, 4)), F32(c, DIMS(3, 2, 2), 1));
    case_refused(c, OP_Conv, NULL, D_OPERAND_SHAPE, "weights of rank 3; rank 4 is wanted");
    operands(c, case_ramp(c, QCC_F32, DIMS(1, 2, 4, 4)), F32(c, DIMS(3, 2, 0, 2), 1));
    case_refused(c, OP_Conv, NULL, D_OPERAND_SHAPE, "a kernel of 0 on spatial axis 0");
    operands(c, case_ramp(c, QCC_F32, DIMS(1, 2)), F32(c, DIMS(3, 2), 1));
    case_refused(c, OP_Conv, NULL, D_OPERAND_SHAPE, "rank 2; a batch, channels and 1 to 3 spatial axes");
    operands(c, case_ramp(c, QCC_F32, DIMS(1, 2, 1, 1, 1, 1)), F32(c, DIMS(3, 2, 1, 1, 1, 1), 1));
    case_refused(c, OP_Conv, NULL, D_UNSUPPORTED_FORM, "rank 6");
    operands(c, case_ramp(c, QCC_F32, DIMS(1, 2, 0)), F32(c, DIMS(3, 2, 1), 1));
    case_refused(c, OP_Conv, "auto_pad=SAME_UPPER", D_OPERAND_SHAPE, "spatial axis 0 is empty");
    operands(c, case_ramp(c, QCC_F32, DIMS(1, 2, 3)), I64(c, DIMS(3, 2, 1), 1));
    case_refused(c, OP_Conv, NULL, D_OPERAND_TYPE, "operand 1 (W) is i64");
    case_free(c);
}

TEST(conv_window) {
    OPEN;
    Window w;
    operands(c, case_ramp(c, QCC_F32, DIMS(1, 2, 7)), F32(c, DIMS(4, 1, 3), 1));
    window_of_node(case_node(c, OP_Conv, "auto_pad=SAME_LOWER strides=2 dilations=2 group=2"), &w);
    assert_int_equal(w.rank, 1);
    assert_int_equal(w.group, 2);
    assert_int_equal(window_extent(&w, 0), 5);
    assert_int_equal(w.in[0], 7);
    assert_int_equal(w.out[0], 4);
    assert_int_equal(w.pad_begin[0], 2);
    assert_int_equal(w.pad_end[0], 2);
    window_widen(&w);
    assert_int_equal(w.rank, MAX_SPATIAL);
    assert_int_equal(w.in[0], 1);
    assert_int_equal(w.in[2], 7);
    assert_int_equal(w.pad_begin[1], 0);
    assert_int_equal(w.stride[1], 1);
    assert_int_equal(w.stride[2], 2);
    case_free(c);
}

/* An epilogue's operand behind X and W is no bias. */
TEST(conv_epilogue) {
    OPEN;
    operands(c, F32(c, DIMS(1, 1, 3), 1, 2, 3), F32(c, DIMS(1, 1, 2), 1, 1));
    Node *n = case_node(c, OP_Conv, NULL);
    case_in(c, F32(c, DIMS(1, 1, 2), 10, 20));
    node_add_in(n, c->in[2]);
    n->epilogue_in = 2;
    ExprBuilder b = {.arena = &c->arena};
    X sum = x_2(&b, X_ADD, x_in(&b, 0, QCC_F32), x_in(&b, 1, QCC_F32));
    n->expr = x_finish(&b, sum, 2);
    assert_true(node_infer(&c->diags, n));
    case_output(c, n, 0, F32(c, DIMS(1, 1, 2), 13, 25));
    case_free(c);
}

/* ---- ConvTranspose ---- */

TEST(transposed_plain) {
    OPEN;
    operands(c, F32(c, DIMS(1, 1, 3), 1, 2, 3), F32(c, DIMS(1, 1, 3), 1, 10, 100));
    case_gives(c, OP_ConvTranspose, NULL, F32(c, DIMS(1, 1, 5), 1, 12, 123, 230, 300));
    case_gives(c, OP_ConvTranspose, "strides=2", F32(c, DIMS(1, 1, 7), 1, 10, 102, 20, 203, 30, 300));
    case_gives(c, OP_ConvTranspose, "strides=2 pads=1,2", F32(c, DIMS(1, 1, 4), 10, 102, 20, 203));
    case_gives(c, OP_ConvTranspose, "strides=2 output_padding=1 pads=1,1",
               F32(c, DIMS(1, 1, 6), 10, 102, 20, 203, 30, 300));
    case_gives(c, OP_ConvTranspose, "dilations=2", F32(c, DIMS(1, 1, 7), 1, 2, 13, 20, 130, 200, 300));
    case_in(c, F32(c, DIMS(1), 0.5));
    case_gives(c, OP_ConvTranspose, NULL, F32(c, DIMS(1, 1, 5), 1.5, 12.5, 123.5, 230.5, 300.5));
    case_free(c);
}

TEST(transposed_sizes) {
    OPEN;
    operands(c, F32(c, DIMS(1, 1, 3), 1, 2, 3), F32(c, DIMS(1, 1, 3), 1, 10, 100));
    case_gives(c, OP_ConvTranspose, "strides=2 auto_pad=SAME_UPPER", F32(c, DIMS(1, 1, 6), 1, 10, 102, 20, 203, 30));
    case_gives(c, OP_ConvTranspose, "strides=2 auto_pad=SAME_LOWER", F32(c, DIMS(1, 1, 6), 10, 102, 20, 203, 30, 300));
    case_gives(c, OP_ConvTranspose, "strides=2 output_shape=8", F32(c, DIMS(1, 1, 8), 1, 10, 102, 20, 203, 30, 300, 0));
    case_gives(c, OP_ConvTranspose, "strides=2 output_shape=1,1,5", F32(c, DIMS(1, 1, 5), 10, 102, 20, 203, 30));
    case_gives(c, OP_ConvTranspose, "strides=2 output_shape=5", F32(c, DIMS(1, 1, 5), 10, 102, 20, 203, 30));
    case_free(c);
}

TEST(transposed_groups) {
    OPEN;
    operands(c, F32(c, DIMS(1, 2, 2), 1, 2, 3, 4), F32(c, DIMS(2, 2, 1), 1, 10, 100, 1000));
    case_gives(c, OP_ConvTranspose, "group=2", F32(c, DIMS(1, 4, 2), 1, 2, 10, 20, 300, 400, 3000, 4000));
    case_gives(c, OP_ConvTranspose, NULL, F32(c, DIMS(1, 2, 2), 301, 402, 3010, 4020));
    case_free(c);
}

TEST(transposed_image) {
    OPEN;
    operands(c, F32(c, DIMS(1, 1, 2, 2), 1, 2, 3, 4), F32(c, DIMS(1, 1, 2, 2), 1, 10, 100, 1000));
    case_gives(c, OP_ConvTranspose, NULL, F32(c, DIMS(1, 1, 3, 3), 1, 12, 20, 103, 1234, 2040, 300, 3400, 4000));
    case_free(c);
}

TEST(transposed_refusals) {
    OPEN;
    operands(c, F32(c, DIMS(1, 3, 3), 1), F32(c, DIMS(3, 1, 3), 1));
    case_refused(c, OP_ConvTranspose, "group=2", D_OPERAND_SHAPE, "3 input channels; the weights want 3, a multiple");
    case_refused(c, OP_ConvTranspose, "pads=3,2", D_ATTRIBUTE, "on spatial axis 0 the pads leave 0 of 5 outputs");
    case_refused(c, OP_ConvTranspose, "output_shape=0", D_ATTRIBUTE, "output_shape[0] is 0");
    case_refused(c, OP_ConvTranspose, "output_padding=-1", D_ATTRIBUTE, "output_padding[0] is -1");
    operands(c, F32(c, DIMS(1, 3, 0), 1), F32(c, DIMS(3, 1, 3), 1));
    case_refused(c, OP_ConvTranspose, NULL, D_OPERAND_SHAPE, "spatial axis 0 is empty");
    c->n_in = 0;
    c->in[c->n_in++] = graph_input(c->graph, "x", (Type){QCC_F32, DIMS(1, 1, (int64_t)1 << 37)});
    case_in(c, F32(c, DIMS(1, 1, 3), 1));
    case_refused(c, OP_ConvTranspose, "strides=2147483647", D_SIZE_LIMIT, "spatial axis 0 is too large");
    case_free(c);
}

/* ---- ConvInteger ---- */

TEST(conv_integer) {
    OPEN;
    operands(c, TENSOR(c, QCC_U8, DIMS(1, 1, 3), 1, 2, 255), TENSOR(c, QCC_I8, DIMS(2, 1, 2), -128, 1, 2, 3));
    case_gives(c, OP_ConvInteger, NULL, TENSOR(c, QCC_I32, DIMS(1, 2, 2), -126, -1, 8, 769));
    case_in(c, TENSOR(c, QCC_U8, SCALAR, 1));
    case_gives(c, OP_ConvInteger, "pads=1,0", TENSOR(c, QCC_I32, DIMS(1, 2, 3), 0, 1, 126, 0, 3, 764));
    case_in(c, TENSOR(c, QCC_I8, DIMS(2), 0, 2));
    case_gives(c, OP_ConvInteger, NULL, TENSOR(c, QCC_I32, DIMS(1, 2, 2), 1, 126, 1, 254));
    c->n_in = 3;
    case_in(c, TENSOR(c, QCC_I8, DIMS(3), 0));
    case_refused(c, OP_ConvInteger, NULL, D_OPERAND_SHAPE, "zero points of shape [3]; a scalar or [2]");
    c->n_in = 2;
    case_in(c, TENSOR(c, QCC_U8, DIMS(2), 1));
    case_refused(c, OP_ConvInteger, NULL, D_OPERAND_SHAPE, "a zero point of shape [2]; a scalar");
    case_free(c);
}

/* ---- QConv, QConvTranspose ---- */

TEST(conv_codes) {
    OPEN;
    operands(c, TENSOR(c, QCC_U8, DIMS(1, 1, 3), 255, 1, 128), TENSOR(c, QCC_I8, DIMS(2, 1, 2), -128, 127, 1, 1));
    case_gives(c, OP_QConv, "pads=1,0", TENSOR(c, QCC_I32, DIMS(1, 2, 3), 32385, -32513, 16128, 255, 256, 129));
    operands(c, TENSOR(c, QCC_I16, DIMS(1, 2, 1), -32768, 32767), TENSOR(c, QCC_I16, DIMS(1, 2, 1), 32767, -32768));
    case_gives(c, OP_QConv, NULL, TENSOR(c, QCC_I32, DIMS(1, 1, 1), -2147418112));
    operands(c, TENSOR(c, QCC_U16, DIMS(1, 1, 2), 65535, 3), TENSOR(c, QCC_U8, DIMS(1, 1, 2), 255, 1));
    case_gives(c, OP_QConvTranspose, NULL, TENSOR(c, QCC_I32, DIMS(1, 1, 3), 16711425, 66300, 3));
    case_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conv_codes),
        cmocka_unit_test(conv_plain),
        cmocka_unit_test(conv_pads_strides_dilations),
        cmocka_unit_test(conv_same),
        cmocka_unit_test(conv_groups),
        cmocka_unit_test(conv_volume),
        cmocka_unit_test(conv_half),
        cmocka_unit_test(conv_long_row),
        cmocka_unit_test(conv_empty_batch),
        cmocka_unit_test(conv_attribute_refusals),
        cmocka_unit_test(conv_operand_refusals),
        cmocka_unit_test(conv_window),
        cmocka_unit_test(conv_epilogue),
        cmocka_unit_test(transposed_plain),
        cmocka_unit_test(transposed_sizes),
        cmocka_unit_test(transposed_groups),
        cmocka_unit_test(transposed_image),
        cmocka_unit_test(transposed_refusals),
        cmocka_unit_test(conv_integer),
    };
    return TEST_RUN(tests);
}
