/* Shape and data movement: small vectors worked out by hand, and every refusal. */
#include "tests/op_case.h"

#include "ir/ops/strided.h"
#include "tests/support.h"

#define TEST(name) static void name(void **state)
#define OPEN                \
    OpCase *c = case_new(); \
    (void)state

/* ---- views ---- */

TEST(reshape) {
    OPEN;
    case_in(c, case_ramp(c, QCC_F32, DIMS(2, 3, 4)));
    case_const(c, LIST(c, 4, -1, 0));
    case_refused(c, OP_Reshape, NULL, D_OPERAND_VALUE, "cannot be divided");
    c->n_in = 1;
    case_const(c, LIST(c, 0, -1, 2));
    Node *n = case_node(c, OP_Reshape, NULL);
    assert_string_equal(type_str(&c->arena, &n->out[0]->type), "f32[2,6,2]");
    case_output(c, n, 0, case_ramp(c, QCC_F32, DIMS(2, 6, 2)));
    case_free(c);
}

TEST(reshape_of_nothing) {
    OPEN;
    case_in(c, case_ramp(c, QCC_I8, DIMS(0, 5)));
    case_const(c, LIST(c, 3, 0));
    case_gives(c, OP_Reshape, "allowzero=1", case_ramp(c, QCC_I8, DIMS(3, 0)));
    c->n_in = 1;
    case_const(c, LIST(c, 0, -1));
    case_refused(c, OP_Reshape, "allowzero=1", D_OPERAND_VALUE, "0 elements cannot be divided");
    case_free(c);
}

TEST(reshape_refusals) {
    static const struct {
        double dims[3];
        const char *text;
    } cases[] = {{{-1, -1, 6}, "dimensions 0 and 1 are both -1"},
                 {{-2, 3, 1}, "dimension 0 is -2"},
                 {{1, 6, 0}, "dimension 2 is 0 (copied), but operand 0 has rank 2"},
                 {{7, 1, 1}, "6 elements cannot become [7,1,1]"},
                 {{4, -1, 1}, "6 elements cannot be divided"},
                 {{4611686018427387904.0, 8, -1}, "6 elements cannot be divided"}};
    OPEN;
    case_in(c, case_ramp(c, QCC_F32, DIMS(2, 3)));
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        c->n_in = 1;
        case_const(c, case_tensor(c, QCC_I64, DIMS(3), 3, cases[i].dims));
        case_refused(c, OP_Reshape, NULL, D_OPERAND_VALUE, cases[i].text);
    }
    c->n_in = 1;
    case_const(c, I64(c, DIMS(1, 1), 6));
    case_refused(c, OP_Reshape, NULL, D_OPERAND_SHAPE, "a list of rank 2");
    c->n_in = 1;
    case_const(c, I64(c, DIMS(9), 1));
    case_refused(c, OP_Reshape, NULL, D_OPERAND_SHAPE, "a list of 9 elements; at most 8");
    c->n_in = 1;
    case_in(c, LIST(c, 6));
    case_refused(c, OP_Reshape, NULL, D_CONST_UNBOUND, "operand 1 (shape)");
    case_free(c);
}

TEST(flatten) {
    OPEN;
    case_in(c, case_ramp(c, QCC_U8, DIMS(2, 3, 4)));
    case_gives(c, OP_Flatten, NULL, case_ramp(c, QCC_U8, DIMS(2, 12)));
    case_gives(c, OP_Flatten, "axis=0", case_ramp(c, QCC_U8, DIMS(1, 24)));
    case_gives(c, OP_Flatten, "axis=3", case_ramp(c, QCC_U8, DIMS(24, 1)));
    case_gives(c, OP_Flatten, "axis=-1", case_ramp(c, QCC_U8, DIMS(6, 4)));
    case_refused(c, OP_Flatten, "axis=4", D_ATTRIBUTE, "axis is 4; it must lie in [-3, 3]");
    case_free(c);
}

TEST(squeeze) {
    OPEN;
    case_in(c, case_ramp(c, QCC_F32, DIMS(1, 3, 1, 2)));
    case_gives(c, OP_Squeeze, NULL, case_ramp(c, QCC_F32, DIMS(3, 2)));
    case_const(c, LIST(c, -2));
    case_gives(c, OP_Squeeze, NULL, case_ramp(c, QCC_F32, DIMS(1, 3, 2)));
    c->n_in = 1;
    case_const(c, LIST(c, 1));
    case_refused(c, OP_Squeeze, NULL, D_OPERAND_SHAPE, "axis 1 is squeezed but has 3 elements");
    c->n_in = 1;
    case_const(c, LIST(c, 4));
    case_refused(c, OP_Squeeze, NULL, D_ATTRIBUTE, "axis 4 is outside");
    case_free(c);
}

TEST(unsqueeze) {
    OPEN;
    case_in(c, case_ramp(c, QCC_F32, DIMS(3, 2)));
    case_const(c, LIST(c, -1, 0));
    case_gives(c, OP_Unsqueeze, NULL, case_ramp(c, QCC_F32, DIMS(1, 3, 2, 1)));
    c->n_in = 1;
    case_const(c, LIST(c, 1, -3));
    case_refused(c, OP_Unsqueeze, NULL, D_ATTRIBUTE, "axis 1 is given twice");
    c->n_in = 1;
    case_const(c, I64(c, DIMS(7), 0));
    case_refused(c, OP_Unsqueeze, NULL, D_OPERAND_SHAPE, "7 elements; at most 6");
    case_free(c);
}

/* ---- strided copies ---- */

TEST(transpose) {
    OPEN;
    case_in(c, case_ramp(c, QCC_I16, DIMS(2, 3)));
    case_gives(c, OP_Transpose, NULL, TENSOR(c, QCC_I16, DIMS(3, 2), 0, 3, 1, 4, 2, 5));
    c->n_in = 0;
    case_in(c, case_ramp(c, QCC_F32, DIMS(2, 1, 3)));
    case_gives(c, OP_Transpose, "perm=1,2,0", F32(c, DIMS(1, 3, 2), 0, 3, 1, 4, 2, 5));
    case_refused(c, OP_Transpose, "perm=1,1,0", D_ATTRIBUTE, "perm[1] is 1");
    case_refused(c, OP_Transpose, "perm=0,1,3", D_ATTRIBUTE, "perm[2] is 3");
    case_refused(c, OP_Transpose, "perm=0,1", D_ATTRIBUTE, "perm has 2 entries; operand 0 has rank 3");
    case_free(c);
}

TEST(expand) {
    OPEN;
    case_in(c, F32(c, DIMS(2, 1), 5, 7));
    case_const(c, LIST(c, 2, 1, 3));
    case_gives(c, OP_Expand, NULL, F32(c, DIMS(2, 2, 3), 5, 5, 5, 7, 7, 7, 5, 5, 5, 7, 7, 7));
    c->n_in = 1;
    case_const(c, LIST(c, 3, 1));
    case_refused(c, OP_Expand, NULL, D_OPERAND_SHAPE, "cannot be broadcast with [3,1]");
    c->n_in = 1;
    case_const(c, LIST(c, -1));
    case_refused(c, OP_Expand, NULL, D_OPERAND_VALUE, "dimension 0 is -1");
    c->n_in = 1;
    case_const(c, I64(c, DIMS(3), 1e6, 1e9, 1));
    case_refused(c, OP_Expand, NULL, D_OPERAND_SHAPE, "cannot be broadcast");
    c->n_in = 1;
    case_const(c, I64(c, DIMS(3), 1e9, 2, 1e9));
    case_refused(c, OP_Expand, NULL, D_SIZE_LIMIT, "more than");
    case_free(c);
}

static void slice_case(OpCase *c, const Tensor *starts, const Tensor *ends, const Tensor *axes, const Tensor *steps) {
    c->n_in = 1;
    case_const(c, starts);
    case_const(c, ends);
    if (axes) case_const(c, axes);
    if (!axes && steps) case_absent(c);
    if (steps) case_const(c, steps);
}

TEST(slice) {
    OPEN;
    case_in(c, case_ramp(c, QCC_F32, DIMS(3, 4)));
    slice_case(c, LIST(c, 1, 0), LIST(c, 3, -1), NULL, NULL);
    case_gives(c, OP_Slice, NULL, F32(c, DIMS(2, 3), 4, 5, 6, 8, 9, 10));
    slice_case(c, LIST(c, 3), LIST(c, -1000), LIST(c, -1), LIST(c, -2));
    case_gives(c, OP_Slice, NULL, F32(c, DIMS(3, 2), 3, 1, 7, 5, 11, 9));
    slice_case(c, LIST(c, 9e18, -9e18), LIST(c, -9e18, 9e18), NULL, LIST(c, -1, 3));
    case_gives(c, OP_Slice, NULL, F32(c, DIMS(3, 2), 8, 11, 4, 7, 0, 3));
    slice_case(c, LIST(c, -5), LIST(c, -8), LIST(c, 0), LIST(c, -3));
    case_gives(c, OP_Slice, NULL, F32(c, DIMS(1, 4), 0, 1, 2, 3));
    slice_case(c, LIST(c, 2), LIST(c, 1), LIST(c, 0), NULL);
    case_gives(c, OP_Slice, NULL, F32(c, DIMS(0, 4), 0));
    slice_case(c, LIST(c, 1), LIST(c, 3), LIST(c, 0), LIST(c, 9e18));
    case_gives(c, OP_Slice, NULL, F32(c, DIMS(1, 4), 4, 5, 6, 7));
    case_free(c);
}

TEST(slice_of_nothing) {
    OPEN;
    case_in(c, F32(c, DIMS(0), 0));
    slice_case(c, LIST(c, 0), LIST(c, -2), NULL, LIST(c, -1));
    case_gives(c, OP_Slice, NULL, F32(c, DIMS(0), 0));
    slice_case(c, LIST(c, -1), LIST(c, 5), NULL, NULL);
    case_gives(c, OP_Slice, NULL, F32(c, DIMS(0), 0));
    case_free(c);
}

TEST(slice_refusals) {
    OPEN;
    case_in(c, case_ramp(c, QCC_F32, DIMS(3, 4)));
    slice_case(c, LIST(c, 1), LIST(c, 3), LIST(c, 0), LIST(c, 0));
    case_refused(c, OP_Slice, NULL, D_OPERAND_VALUE, "step 0 is 0");
    slice_case(c, LIST(c, 1, 1), LIST(c, 3), NULL, NULL);
    case_refused(c, OP_Slice, NULL, D_OPERAND_SHAPE, "2 starts, 1 ends");
    slice_case(c, LIST(c, 1, 1), LIST(c, 3, 3), LIST(c, 1, -1), NULL);
    case_refused(c, OP_Slice, NULL, D_ATTRIBUTE, "axis 1 is given twice");
    slice_case(c, LIST(c, 1, 1, 1), LIST(c, 3, 3, 3), NULL, NULL);
    case_refused(c, OP_Slice, NULL, D_OPERAND_SHAPE, "3 elements; at most 2");
    case_free(c);
}

/* What the code generator reads instead of the attributes. */
TEST(strided_views) {
    OPEN;
    case_in(c, case_ramp(c, QCC_F32, DIMS(3, 4)));
    Strided v = strided_of_node(case_node(c, OP_Transpose, NULL));
    assert_int_equal(v.offset, 0);
    assert_int_equal(v.stride[0], 1);
    assert_int_equal(v.stride[1], 4);
    slice_case(c, LIST(c, 3), LIST(c, -1000), LIST(c, 1), LIST(c, -1));
    v = strided_of_node(case_node(c, OP_Slice, NULL));
    assert_int_equal(v.offset, 3);
    assert_int_equal(v.stride[0], 4);
    assert_int_equal(v.stride[1], -1);
    case_free(c);
}

/* ---- joining and cutting ---- */

TEST(concat) {
    OPEN;
    case_in(c, F32(c, DIMS(2, 1), 1, 2));
    case_in(c, F32(c, DIMS(2, 2), 3, 4, 5, 6));
    case_in(c, F32(c, DIMS(2, 0), 0));
    case_gives(c, OP_Concat, "axis=-1", F32(c, DIMS(2, 3), 1, 3, 4, 2, 5, 6));
    case_refused(c, OP_Concat, "axis=0", D_OPERAND_SHAPE, "[2,2] does not fit [2,1] on the axes other than 0");
    case_refused(c, OP_Concat, "axis=2", D_ATTRIBUTE, "axis 2 is outside");
    case_refused(c, OP_Concat, NULL, D_ATTRIBUTE, "'axis' is missing");
    case_free(c);
}

TEST(split) {
    OPEN;
    c->n_out = 3;
    case_in(c, case_ramp(c, QCC_F32, DIMS(2, 5)));
    Node *n = case_node(c, OP_Split, "axis=1 num_outputs=3");
    case_output(c, n, 0, F32(c, DIMS(2, 2), 0, 1, 5, 6));
    case_output(c, n, 1, F32(c, DIMS(2, 2), 2, 3, 7, 8));
    case_output(c, n, 2, F32(c, DIMS(2, 1), 4, 9));
    case_refused(c, OP_Split, "axis=1 num_outputs=2", D_ATTRIBUTE, "num_outputs is 2, but the node has 3 outputs");
    case_const(c, LIST(c, 0, 4, 1));
    n = case_node(c, OP_Split, "axis=-1");
    case_output(c, n, 0, F32(c, DIMS(2, 0), 0));
    case_output(c, n, 1, F32(c, DIMS(2, 4), 0, 1, 2, 3, 5, 6, 7, 8));
    case_free(c);
}

TEST(split_refusals) {
    static const struct {
        double sizes[3];
        const char *text;
    } cases[] = {{{1, 1, 1}, "the sizes leave 2 of 5 elements over"},
                 {{3, -1, 3}, "size 1 is -1"},
                 {{3, 3, 3}, "size 1 is 3; of 5 elements 2 are left"}};
    OPEN;
    c->n_out = 3;
    case_in(c, case_ramp(c, QCC_F32, DIMS(2, 5)));
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        c->n_in = 1;
        case_const(c, case_tensor(c, QCC_I64, DIMS(3), 3, cases[i].sizes));
        case_refused(c, OP_Split, "axis=1", D_OPERAND_VALUE, cases[i].text);
    }
    c->n_in = 1;
    case_const(c, LIST(c, 2, 3));
    case_refused(c, OP_Split, "axis=1", D_OPERAND_SHAPE, "2 sizes for 3 outputs");
    case_free(c);
}

/* ---- Pad ---- */

TEST(pad_modes) {
    OPEN;
    case_in(c, F32(c, DIMS(1, 3), 1, 2, 3));
    case_const(c, LIST(c, 0, 2, 1, 4));
    case_in(c, F32(c, SCALAR, 9));
    case_gives(c, OP_Pad, NULL, F32(c, DIMS(2, 9), 9, 9, 1, 2, 3, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9));
    c->n_in = 1;
    case_const(c, LIST(c, 0, 2, 0, 4));
    case_gives(c, OP_Pad, "mode=reflect", F32(c, DIMS(1, 9), 3, 2, 1, 2, 3, 2, 1, 2, 3));
    case_gives(c, OP_Pad, "mode=edge", F32(c, DIMS(1, 9), 1, 1, 1, 2, 3, 3, 3, 3, 3));
    case_gives(c, OP_Pad, "mode=wrap", F32(c, DIMS(1, 9), 2, 3, 1, 2, 3, 1, 2, 3, 1));
    case_gives(c, OP_Pad, NULL, F32(c, DIMS(1, 9), 0, 0, 1, 2, 3, 0, 0, 0, 0));
    case_free(c);
}

TEST(pad_cuts) {
    OPEN;
    case_in(c, case_ramp(c, QCC_I64, DIMS(2, 4)));
    case_const(c, LIST(c, -1, 2));
    case_absent(c);
    case_const(c, LIST(c, -1));
    case_gives(c, OP_Pad, NULL, I64(c, DIMS(2, 5), 1, 2, 3, 0, 0, 5, 6, 7, 0, 0));
    case_gives(c, OP_Pad, "mode=edge", I64(c, DIMS(2, 5), 1, 2, 3, 3, 3, 5, 6, 7, 7, 7));
    case_free(c);
}

TEST(pad_refusals) {
    OPEN;
    case_in(c, case_ramp(c, QCC_F32, DIMS(2)));
    case_const(c, LIST(c, 1, 1));
    case_refused(c, OP_Pad, "mode=mirror", D_ATTRIBUTE, "mode is 'mirror'");
    c->n_in = 1;
    case_const(c, LIST(c, 1, 1, 1));
    case_refused(c, OP_Pad, NULL, D_OPERAND_SHAPE, "3 pads for 1 axes; 2 are wanted");
    c->n_in = 1;
    case_const(c, LIST(c, -2, -1));
    case_refused(c, OP_Pad, NULL, D_OPERAND_VALUE, "pads -2 and -1 on axis 0 of 2 elements");
    c->n_in = 1;
    case_const(c, LIST(c, 9e18, 9e18));
    case_refused(c, OP_Pad, NULL, D_OPERAND_VALUE, "on axis 0 of 2 elements");
    c->n_in = 1;
    case_const(c, LIST(c, -2, 3));
    case_refused(c, OP_Pad, "mode=edge", D_OPERAND_SHAPE, "axis 0 has no element that could fill");
    case_in(c, F32(c, DIMS(2), 1));
    case_refused(c, OP_Pad, NULL, D_OPERAND_SHAPE, "[2]; a scalar is wanted");
    case_free(c);
}

/* ---- Tile, DepthToSpace, SpaceToDepth ---- */

TEST(tile) {
    OPEN;
    case_in(c, F32(c, DIMS(1, 2), 1, 2));
    case_const(c, LIST(c, 2, 2));
    case_gives(c, OP_Tile, NULL, F32(c, DIMS(2, 4), 1, 2, 1, 2, 1, 2, 1, 2));
    c->n_in = 1;
    case_const(c, LIST(c, 2));
    case_refused(c, OP_Tile, NULL, D_OPERAND_SHAPE, "1 repeats for an operand of rank 2");
    c->n_in = 1;
    case_const(c, LIST(c, 2, -1));
    case_refused(c, OP_Tile, NULL, D_OPERAND_VALUE, "repeat 1 is -1");
    c->n_in = 1;
    case_const(c, LIST(c, 1, 9e18));
    case_refused(c, OP_Tile, NULL, D_OPERAND_VALUE, "repeat 1 is 9");
    case_free(c);
}

TEST(depth_to_space) {
    OPEN;
    case_in(c, case_ramp(c, QCC_F32, DIMS(1, 8, 1, 1)));
    case_gives(c, OP_DepthToSpace, "blocksize=2", F32(c, DIMS(1, 2, 2, 2), 0, 2, 4, 6, 1, 3, 5, 7));
    case_gives(c, OP_DepthToSpace, "blocksize=2 mode=CRD", F32(c, DIMS(1, 2, 2, 2), 0, 1, 2, 3, 4, 5, 6, 7));
    case_refused(c, OP_DepthToSpace, "blocksize=3", D_OPERAND_SHAPE, "8 channels cannot be divided");
    case_refused(c, OP_DepthToSpace, "blocksize=0", D_ATTRIBUTE, "blocksize is 0");
    case_refused(c, OP_DepthToSpace, "blocksize=2 mode=DRC", D_ATTRIBUTE, "mode is 'DRC'");
    c->n_in = 0;
    case_in(c, case_ramp(c, QCC_F32, DIMS(1, 8, 1)));
    case_refused(c, OP_DepthToSpace, "blocksize=2", D_OPERAND_SHAPE, "rank 3; rank 4 is wanted");
    case_free(c);
}

TEST(space_to_depth) {
    OPEN;
    case_in(c, case_ramp(c, QCC_F32, DIMS(1, 2, 2, 2)));
    case_gives(c, OP_SpaceToDepth, "blocksize=2", F32(c, DIMS(1, 8, 1, 1), 0, 4, 1, 5, 2, 6, 3, 7));
    case_gives(c, OP_SpaceToDepth, "blocksize=2 mode=CRD", F32(c, DIMS(1, 8, 1, 1), 0, 1, 2, 3, 4, 5, 6, 7));
    case_refused(c, OP_SpaceToDepth, "blocksize=3", D_OPERAND_SHAPE,
                 "dimension 2, 2, cannot be divided by blocksize 3");
    case_free(c);
}

/* ---- constants ---- */

TEST(shape_and_size) {
    OPEN;
    assert_true(op_is_static(OP_Shape) && op_is_static(OP_Size) && op_is_static(OP_EyeLike));
    assert_false(op_is_static(OP_Reshape));
    case_in(c, case_ramp(c, QCC_F32, DIMS(2, 3, 4)));
    case_gives(c, OP_Shape, NULL, LIST(c, 2, 3, 4));
    case_gives(c, OP_Shape, "start=-2", LIST(c, 3, 4));
    case_gives(c, OP_Shape, "start=1 end=-1", LIST(c, 3));
    case_gives(c, OP_Shape, "start=2 end=1", I64(c, DIMS(0), 0));
    case_gives(c, OP_Shape, "start=-9 end=9", LIST(c, 2, 3, 4));
    case_gives(c, OP_Size, NULL, I64(c, SCALAR, 24));
    case_free(c);
}

TEST(constant_of_shape) {
    OPEN;
    case_const(c, LIST(c, 2, 3));
    case_gives(c, OP_ConstantOfShape, NULL, F32(c, DIMS(2, 3), 0));
    Node *n = case_node(c, OP_ConstantOfShape, NULL);
    node_set_attr(n, &(Attr){.name = "value", .kind = ATTR_TENSOR, .t = TENSOR(c, QCC_I8, DIMS(1), -3)});
    assert_true(node_infer(&c->diags, n));
    case_output(c, n, 0, TENSOR(c, QCC_I8, DIMS(2, 3), -3));
    node_set_attr(n, &(Attr){.name = "value", .kind = ATTR_TENSOR, .t = TENSOR(c, QCC_I8, DIMS(2), -3)});
    assert_false(node_infer(&c->diags, n));
    assert_int_equal(c->diags.first->id, D_ATTRIBUTE);
    c->n_in = 0;
    case_const(c, LIST(c, 2, -3));
    case_refused(c, OP_ConstantOfShape, NULL, D_OPERAND_VALUE, "dimension 1 is -3");
    c->n_in = 0;
    case_const(c, LIST(c, 1e12, 1e12));
    case_refused(c, OP_ConstantOfShape, NULL, D_SIZE_LIMIT, "more than");
    case_free(c);
}

TEST(eye_like) {
    OPEN;
    case_in(c, case_ramp(c, QCC_I32, DIMS(2, 3)));
    case_gives(c, OP_EyeLike, NULL, TENSOR(c, QCC_I32, DIMS(2, 3), 1, 0, 0, 0, 1, 0));
    case_gives(c, OP_EyeLike, "k=1 dtype=1", F32(c, DIMS(2, 3), 0, 1, 0, 0, 0, 1));
    case_gives(c, OP_EyeLike, "k=-1", TENSOR(c, QCC_I32, DIMS(2, 3), 0, 0, 0, 1, 0, 0));
    case_gives(c, OP_EyeLike, "k=-9223372036854775807", TENSOR(c, QCC_I32, DIMS(2, 3), 0));
    case_refused(c, OP_EyeLike, "dtype=99", D_ATTRIBUTE, "dtype is 99");
    c->n_in = 0;
    case_in(c, case_ramp(c, QCC_I32, DIMS(2)));
    case_refused(c, OP_EyeLike, NULL, D_OPERAND_SHAPE, "rank 1; rank 2 is wanted");
    c->n_in = 0;
    c->in[c->n_in++] = graph_input(c->graph, "big", (Type){QCC_I8, DIMS(1 << 16, 1 << 16)});
    case_refused(c, OP_EyeLike, NULL, D_SIZE_LIMIT, "a matrix of 4294967296 elements");
    case_free(c);
}

static void range_case(OpCase *c, Elem elem, double start, double limit, double delta) {
    double v[] = {start, limit, delta};
    c->n_in = 0;
    for (int i = 0; i < 3; i++) case_const(c, TENSOR(c, elem, SCALAR, v[i]));
}

TEST(range) {
    OPEN;
    range_case(c, QCC_I64, 10, 4, -2);
    case_gives(c, OP_Range, NULL, LIST(c, 10, 8, 6));
    range_case(c, QCC_I32, 3, 10, 3);
    case_gives(c, OP_Range, NULL, TENSOR(c, QCC_I32, DIMS(3), 3, 6, 9));
    range_case(c, QCC_I64, 3, 3, 1);
    case_gives(c, OP_Range, NULL, I64(c, DIMS(0), 0));
    range_case(c, QCC_F32, 0, 1, 0.25);
    case_gives(c, OP_Range, NULL, F32(c, DIMS(4), 0, 0.25, 0.5, 0.75));
    range_case(c, QCC_F64, 1, 0, 0.5);
    case_gives(c, OP_Range, NULL, TENSOR(c, QCC_F64, DIMS(0), 0));
    case_free(c);
}

TEST(range_refusals) {
    OPEN;
    range_case(c, QCC_I64, 0, 5, 0);
    case_refused(c, OP_Range, NULL, D_OPERAND_VALUE, "delta is 0");
    range_case(c, QCC_I64, -9e18, 9e18, 1);
    case_refused(c, OP_Range, NULL, D_SIZE_LIMIT, "no end within");
    range_case(c, QCC_F32, 0, __builtin_nan(""), 1);
    case_refused(c, OP_Range, NULL, D_SIZE_LIMIT, "no end within");
    c->in[2] = graph_constant(c->graph, "", LIST(c, 1, 2));
    c->in[0] = c->in[1] = graph_constant(c->graph, "", LIST(c, 1));
    case_refused(c, OP_Range, NULL, D_OPERAND_SHAPE, "[2]; a scalar is wanted");
    case_free(c);
}

/* ---- Trilu, OneHot ---- */

TEST(trilu) {
    OPEN;
    case_in(c, F32(c, DIMS(2, 3), 1, 2, 3, 4, 5, 6));
    case_gives(c, OP_Trilu, NULL, F32(c, DIMS(2, 3), 1, 2, 3, 0, 5, 6));
    case_gives(c, OP_Trilu, "upper=0", F32(c, DIMS(2, 3), 1, 0, 0, 4, 5, 0));
    case_in(c, I64(c, SCALAR, 1));
    case_gives(c, OP_Trilu, NULL, F32(c, DIMS(2, 3), 0, 2, 3, 0, 0, 6));
    case_gives(c, OP_Trilu, "upper=0", F32(c, DIMS(2, 3), 1, 2, 0, 4, 5, 6));
    c->n_in = 1;
    case_in(c, I64(c, DIMS(1), -1));
    case_gives(c, OP_Trilu, NULL, F32(c, DIMS(2, 3), 1, 2, 3, 4, 5, 6));
    c->n_in = 1;
    case_in(c, I64(c, DIMS(2), -1));
    case_refused(c, OP_Trilu, NULL, D_OPERAND_SHAPE, "[2]; a scalar is wanted");
    c->n_in = 0;
    case_in(c, F32(c, DIMS(2), 1));
    case_refused(c, OP_Trilu, NULL, D_OPERAND_SHAPE, "rank 1; at least rank 2 is wanted");
    c->n_in = 0;
    c->in[c->n_in++] = graph_input(c->graph, "long", (Type){QCC_I8, DIMS(1, 1 << 27)});
    case_refused(c, OP_Trilu, NULL, D_SIZE_LIMIT, "a matrix with a side of more than 67108864");
    case_free(c);
}

static void one_hot_case(OpCase *c, const Tensor *indices, const Tensor *depth) {
    c->n_in = 0;
    case_in(c, indices);
    case_const(c, depth);
    case_in(c, F32(c, DIMS(2), 2, 5));
}

TEST(one_hot) {
    OPEN;
    one_hot_case(c, TENSOR(c, QCC_I32, DIMS(4), 1, -1, 3, -4), TENSOR(c, QCC_F32, DIMS(1), 3));
    case_gives(c, OP_OneHot, NULL, F32(c, DIMS(4, 3), 2, 5, 2, 2, 2, 5, 2, 2, 2, 2, 2, 2));
    case_gives(c, OP_OneHot, "axis=0", F32(c, DIMS(3, 4), 2, 2, 2, 2, 5, 2, 2, 2, 2, 5, 2, 2));
    case_refused(c, OP_OneHot, "axis=2", D_ATTRIBUTE, "axis 2 is outside [-2, 2)");
    one_hot_case(c, F32(c, DIMS(1), 1), I64(c, SCALAR, 0));
    case_refused(c, OP_OneHot, NULL, D_OPERAND_VALUE, "the depth is 0");
    one_hot_case(c, F32(c, DIMS(1), 1), LIST(c, 1, 2));
    case_refused(c, OP_OneHot, NULL, D_OPERAND_SHAPE, "[2]; a scalar is wanted");
    one_hot_case(c, F32(c, DIMS(1, 1, 1, 1, 1, 1, 1, 1), 1), I64(c, SCALAR, 4));
    case_refused(c, OP_OneHot, NULL, D_OPERAND_SHAPE, "rank 8 is the largest");
    one_hot_case(c, F32(c, DIMS(1), 1), I64(c, SCALAR, 4));
    c->n_in = 2;
    case_in(c, F32(c, DIMS(3), 1));
    case_refused(c, OP_OneHot, NULL, D_OPERAND_SHAPE, "the values are [off, on]");
    case_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reshape),
        cmocka_unit_test(reshape_of_nothing),
        cmocka_unit_test(reshape_refusals),
        cmocka_unit_test(flatten),
        cmocka_unit_test(squeeze),
        cmocka_unit_test(unsqueeze),
        cmocka_unit_test(transpose),
        cmocka_unit_test(expand),
        cmocka_unit_test(slice),
        cmocka_unit_test(slice_of_nothing),
        cmocka_unit_test(slice_refusals),
        cmocka_unit_test(strided_views),
        cmocka_unit_test(concat),
        cmocka_unit_test(split),
        cmocka_unit_test(split_refusals),
        cmocka_unit_test(pad_modes),
        cmocka_unit_test(pad_cuts),
        cmocka_unit_test(pad_refusals),
        cmocka_unit_test(tile),
        cmocka_unit_test(depth_to_space),
        cmocka_unit_test(space_to_depth),
        cmocka_unit_test(shape_and_size),
        cmocka_unit_test(constant_of_shape),
        cmocka_unit_test(eye_like),
        cmocka_unit_test(range),
        cmocka_unit_test(range_refusals),
        cmocka_unit_test(trilu),
        cmocka_unit_test(one_hot),
    };
    return TEST_RUN(tests);
}
