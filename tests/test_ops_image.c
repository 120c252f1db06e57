/* Images resized, sampled between pixels, cropped and taken apart: small ones worked out by hand. */
#include "tests/op_case.h"

#include "tests/support.h"

#include <math.h>

#define TEST(name) static void name(void **state)
#define OPEN                \
    OpCase *c = case_new(); \
    (void)state;            \
    c->tolerance = 1e-6

/* ---- Resize ---- */

static void resize_to(OpCase *c, const Tensor *x, const Tensor *scales, const Tensor *sizes) {
    c->n_in = 0;
    case_in(c, x);
    case_absent(c);
    if (scales)
        case_const(c, scales);
    else
        case_absent(c);
    if (sizes) case_const(c, sizes);
}

TEST(resize_nearest) {
    OPEN;
    resize_to(c, F32(c, DIMS(4), 1, 2, 3, 4), NULL, LIST(c, 6));
    /* Centres lie at (i + 0.5) * 4 / 6 - 0.5 = -1/6, 1/2, 7/6, 11/6, 5/2, 19/6. */
    case_gives(c, OP_Resize, NULL, F32(c, DIMS(6), 1, 1, 2, 3, 3, 4));
    case_gives(c, OP_Resize, "nearest_mode=round_prefer_ceil", F32(c, DIMS(6), 1, 2, 2, 3, 4, 4));
    case_gives(c, OP_Resize, "nearest_mode=floor", F32(c, DIMS(6), 1, 1, 2, 2, 3, 4));
    case_gives(c, OP_Resize, "nearest_mode=ceil", F32(c, DIMS(6), 1, 2, 3, 3, 4, 4));
    case_gives(c, OP_Resize, "coordinate_transformation_mode=asymmetric nearest_mode=floor",
               F32(c, DIMS(6), 1, 1, 2, 3, 3, 4));
    resize_to(c, TENSOR(c, QCC_U8, DIMS(1, 2), 7, 9), F32(c, DIMS(2), 2, 1.5), NULL);
    case_gives(c, OP_Resize, NULL, TENSOR(c, QCC_U8, DIMS(2, 3), 7, 7, 9, 7, 7, 9));
    case_free(c);
}

TEST(resize_linear) {
    OPEN;
    resize_to(c, F32(c, DIMS(2), 0, 8), NULL, LIST(c, 4));
    case_gives(c, OP_Resize, "mode=linear", F32(c, DIMS(4), 0, 2, 6, 8));
    case_gives(c, OP_Resize, "mode=linear coordinate_transformation_mode=align_corners",
               F32(c, DIMS(4), 0, 8 / 3.0, 16 / 3.0, 8));
    case_gives(c, OP_Resize, "mode=linear coordinate_transformation_mode=asymmetric", F32(c, DIMS(4), 0, 4, 8, 8));
    resize_to(c, F32(c, DIMS(4), 0, 4, 8, 12), NULL, LIST(c, 2));
    case_gives(c, OP_Resize, "mode=linear", F32(c, DIMS(2), 2, 10));
    /* Stretched by two, the triangle weighs neighbours 0.25, 0.75, 0.75, 0.25 (halved), the first of them outside. */
    case_gives(c, OP_Resize, "mode=linear antialias=1 exclude_outside=1",
               F32(c, DIMS(2), (0.75 * 0 + 0.75 * 4 + 0.25 * 8) / 1.75, (0.25 * 4 + 0.75 * 8 + 0.75 * 12) / 1.75));
    resize_to(c, TENSOR(c, QCC_I8, DIMS(2), -3, 4), NULL, LIST(c, 4));
    case_gives(c, OP_Resize, "mode=linear", TENSOR(c, QCC_I8, DIMS(4), -3, -1, 2, 4)); /* -1.25, 2.25 */
    case_free(c);
}

/* Keys' weights at a distance of a half are -3/32, 19/32, 19/32, -3/32 for a = -0.75. */
TEST(resize_cubic) {
    OPEN;
    resize_to(c, F32(c, DIMS(4), 0, 32, 64, 0), NULL, LIST(c, 2));
    case_gives(c, OP_Resize, "mode=cubic", F32(c, DIMS(2), 19 - 3 * 2, -3 + 19 * 2));
    resize_to(c, F32(c, DIMS(4), 0, 32, 64, 0), NULL, LIST(c, 4));
    case_gives(c, OP_Resize, "mode=cubic", F32(c, DIMS(4), 0, 32, 64, 0));
    case_free(c);
}

TEST(resize_regions_and_proportions) {
    OPEN;
    case_in(c, F32(c, DIMS(4), 0, 10, 20, 30));
    case_const(c, F32(c, DIMS(2), 0.5, 1.5));
    case_absent(c);
    case_const(c, LIST(c, 3));
    case_gives(c, OP_Resize, "mode=linear coordinate_transformation_mode=tf_crop_and_resize extrapolation_value=-1",
               F32(c, DIMS(3), 15, 30, -1));
    resize_to(c, case_ramp(c, QCC_F32, DIMS(4, 2)), NULL, LIST(c, 8, 8));
    assert_string_equal(
        type_str(&c->arena, &case_node(c, OP_Resize, "keep_aspect_ratio_policy=not_larger")->out[0]->type), "f32[8,4]");
    assert_string_equal(
        type_str(&c->arena, &case_node(c, OP_Resize, "keep_aspect_ratio_policy=not_smaller")->out[0]->type),
        "f32[16,8]");
    resize_to(c, case_ramp(c, QCC_F32, DIMS(2, 2)), NULL, LIST(c, 1));
    case_gives(c, OP_Resize, "axes=1 coordinate_transformation_mode=asymmetric", F32(c, DIMS(2, 1), 0, 2));
    case_free(c);
}

TEST(resize_refusals) {
    OPEN;
    resize_to(c, F32(c, DIMS(2), 1), NULL, LIST(c, 2, 2));
    case_refused(c, OP_Resize, NULL, D_OPERAND_SHAPE, "wanted 1 elements");
    resize_to(c, F32(c, DIMS(2), 1), F32(c, DIMS(1), -1), NULL);
    case_refused(c, OP_Resize, NULL, D_OPERAND_VALUE, "scale -1");
    case_refused(c, OP_Resize, "mode=bilinear", D_ATTRIBUTE, "mode 'bilinear'; wanted nearest, linear or cubic");
    case_refused(c, OP_Resize, "antialias=1", D_ATTRIBUTE, "antialias with mode nearest");
    resize_to(c, F32(c, DIMS(2), 1), F32(c, DIMS(1), 1e30), NULL);
    case_refused(c, OP_Resize, NULL, D_SIZE_LIMIT, "scale 1e+30");
    resize_to(c, F32(c, DIMS(2), 1), NULL, LIST(c, 3));
    case_refused(c, OP_Resize, "coordinate_transformation_mode=tf_crop_and_resize", D_ARITY, "no roi");
    case_free(c);
}

/* ---- GridSample, AffineGrid ---- */

static void sample(OpCase *c, const Tensor *x, const Tensor *grid) {
    c->n_in = 0;
    case_in(c, x);
    case_in(c, grid);
}

/* With align_corners the three pixels lie at -1, 0 and 1. */
TEST(grid_sample) {
    OPEN;
    sample(c, F32(c, DIMS(1, 1, 3), 8, 16, 32), F32(c, DIMS(1, 5, 1), -1, -0.5, 0.75, 1, 1.5));
    case_gives(c, OP_GridSample, "align_corners=1", F32(c, DIMS(1, 1, 5), 8, 12, 28, 32, 16));
    case_gives(c, OP_GridSample, "align_corners=1 padding_mode=border", F32(c, DIMS(1, 1, 5), 8, 12, 28, 32, 32));
    case_gives(c, OP_GridSample, "align_corners=1 padding_mode=reflection", F32(c, DIMS(1, 1, 5), 8, 12, 28, 32, 24));
    case_gives(c, OP_GridSample, "align_corners=1 mode=nearest", F32(c, DIMS(1, 1, 5), 8, 8, 32, 32, 32));
    /* Without it they are -2/3, 0 and 2/3, and -1 and 1 are edges. */
    case_gives(c, OP_GridSample, NULL, F32(c, DIMS(1, 1, 5), 4, 10, 28, 16, 0));
    sample(c, F32(c, DIMS(1, 1, 2, 2), 0, 4, 8, 20), F32(c, DIMS(1, 1, 2, 2), 0, -1, 1, 0)); /* x, then y */
    case_gives(c, OP_GridSample, "align_corners=1", F32(c, DIMS(1, 1, 1, 2), 2, 12));
    case_free(c);
}

/* Halfway between pixels 1 and 2; the first pixel's left neighbour is 0, or itself. */
TEST(grid_sample_cubic) {
    OPEN;
    sample(c, F32(c, DIMS(1, 1, 4), 32, 64, 0, 96), F32(c, DIMS(1, 2, 1), 0, -2 / 3.0));
    case_gives(c, OP_GridSample, "align_corners=1 mode=cubic", F32(c, DIMS(1, 1, 2), -3 + 38 - 9, 19 + 38));
    case_gives(c, OP_GridSample, "align_corners=1 mode=cubic padding_mode=border",
               F32(c, DIMS(1, 1, 2), -3 + 38 - 9, -3 + 19 + 38));
    /* Half a pixel outside, at the border: the place stays, its pixels are clamped. */
    sample(c, F32(c, DIMS(1, 1, 4), 32, 64, 0, 96), F32(c, DIMS(1, 1, 1), -4 / 3.0));
    case_gives(c, OP_GridSample, "align_corners=1 mode=cubic padding_mode=border",
               F32(c, DIMS(1, 1, 1), -3 + 19 + 19 - 6));
    case_free(c);
}

TEST(grid_sample_refusals) {
    OPEN;
    sample(c, F32(c, DIMS(1, 1, 2, 2), 0), F32(c, DIMS(1, 1, 1, 3), 0));
    case_refused(c, OP_GridSample, NULL, D_OPERAND_SHAPE, "wanted a batch of 1 and 2 coordinates");
    case_refused(c, OP_GridSample, "mode=bilinear", D_ATTRIBUTE, "mode 'bilinear'");
    sample(c, F32(c, DIMS(1, 1, 0, 2), 0), F32(c, DIMS(1, 1, 1, 2), 0));
    case_refused(c, OP_GridSample, NULL, D_OPERAND_SHAPE, "an image without pixels");
    case_free(c);
}

TEST(affine_grid) {
    OPEN;
    case_in(c, F32(c, DIMS(1, 2, 3), 1, 0, 10, 0, 2, 0));
    case_const(c, LIST(c, 1, 1, 2, 2));
    case_gives(c, OP_AffineGrid, NULL, F32(c, DIMS(1, 2, 2, 2), 9.5, -1, 10.5, -1, 9.5, 1, 10.5, 1));
    case_gives(c, OP_AffineGrid, "align_corners=1", F32(c, DIMS(1, 2, 2, 2), 9, -2, 11, -2, 9, 2, 11, 2));
    c->n_in = 1;
    case_const(c, LIST(c, 1, 1, 2));
    case_refused(c, OP_AffineGrid, NULL, D_OPERAND_SHAPE, "3 dimensions; wanted 4 or 5");
    case_free(c);
}

/* ---- CenterCropPad, Col2Im ---- */

TEST(center_crop_pad) {
    OPEN;
    case_in(c, case_ramp(c, QCC_I32, DIMS(2, 5)));
    case_const(c, LIST(c, 5, 2));
    case_gives(c, OP_CenterCropPad, NULL, TENSOR(c, QCC_I32, DIMS(5, 2), 0, 0, 1, 2, 6, 7, 0, 0, 0, 0));
    c->n_in = 1;
    case_const(c, LIST(c, 3));
    case_gives(c, OP_CenterCropPad, "axes=-1", TENSOR(c, QCC_I32, DIMS(2, 3), 1, 2, 3, 6, 7, 8));
    case_refused(c, OP_CenterCropPad, NULL, D_OPERAND_SHAPE, "1 sizes for 2 axes");
    case_free(c);
}

/* Blocks of two with a step of one overlap in the middle. */
TEST(col2im) {
    OPEN;
    case_in(c, F32(c, DIMS(1, 2, 3), 1, 2, 3, 10, 20, 30));
    case_const(c, LIST(c, 4));
    case_const(c, LIST(c, 2));
    case_gives(c, OP_Col2Im, NULL, F32(c, DIMS(1, 1, 4), 1, 12, 23, 30));
    c->n_in = 1;
    case_const(c, LIST(c, 5));
    case_const(c, LIST(c, 2));
    case_gives(c, OP_Col2Im, "strides=2 pads=1,0", F32(c, DIMS(1, 1, 5), 10, 2, 20, 3, 30));
    case_gives(c, OP_Col2Im, "dilations=2", F32(c, DIMS(1, 1, 5), 1, 2, 13, 20, 30));
    case_refused(c, OP_Col2Im, NULL, D_OPERAND_SHAPE, "4 columns");
    case_free(c);
}

/* ---- RoiAlign ---- */

static void align(OpCase *c, const Tensor *rois, const Tensor *batch) {
    c->n_in = 0;
    case_in(c, F32(c, DIMS(2, 1, 2, 4), 0, 1, 2, 3, 10, 11, 12, 13, 5, 5, 5, 5, 5, 5, 5, 5));
    case_in(c, rois);
    case_in(c, batch);
}

/* One sample in the middle of each bin; pixel centres lie at halves. */
TEST(roi_align) {
    OPEN;
    align(c, F32(c, DIMS(2, 4), 0, 0, 4, 2, 1, 0, 3, 2), I64(c, DIMS(2), 0, 1));
    const char *mean = "output_height=1 output_width=2 sampling_ratio=1";
    case_gives(c, OP_RoiAlign, mean, F32(c, DIMS(2, 1, 1, 2), 5.5, 7.5, 5, 5));
    case_gives(c, OP_RoiAlign,
               "output_height=1 output_width=2 sampling_ratio=1 "
               "coordinate_transformation_mode=output_half_pixel",
               F32(c, DIMS(2, 1, 1, 2), 11, 13, 5, 5));
    align(c, F32(c, DIMS(1, 4), 0, 0, 8, 4), I64(c, DIMS(1), 0));
    case_gives(c, OP_RoiAlign, "output_height=1 output_width=2 sampling_ratio=1 spatial_scale=0.5",
               F32(c, DIMS(1, 1, 1, 2), 5.5, 7.5));
    /* The largest of the weighted pixels: half of a half of 11, and of 13. */
    case_gives(c, OP_RoiAlign, "output_height=1 output_width=2 sampling_ratio=1 spatial_scale=0.5 mode=max",
               F32(c, DIMS(1, 1, 1, 2), 11 / 4.0, 13 / 4.0));
    case_refused(c, OP_RoiAlign, "mode=min", D_ATTRIBUTE, "mode 'min'");
    case_refused(c, OP_RoiAlign, "sampling_ratio=-1", D_ATTRIBUTE, "sampling_ratio -1");
    align(c, F32(c, DIMS(1, 4), 0), I64(c, DIMS(2), 0));
    case_refused(c, OP_RoiAlign, NULL, D_OPERAND_SHAPE, "2 batch indices for 1 regions");
    case_free(c);
}

/* ---- DeformConv ---- */

static void deform(OpCase *c, const Tensor *offset) {
    c->n_in = 0;
    case_in(c, F32(c, DIMS(1, 1, 2, 3), 1, 2, 4, 10, 20, 40));
    case_in(c, F32(c, DIMS(1, 1, 1, 2), 1, 100));
    case_in(c, offset);
}

/* Offsets come as rows and columns for each tap. Without any it is a convolution. */
TEST(deform_conv) {
    OPEN;
    deform(c, F32(c, DIMS(1, 4, 2, 2), 0));
    case_gives(c, OP_DeformConv, NULL, F32(c, DIMS(1, 1, 2, 2), 201, 402, 2010, 4020));
    /* The first tap a row down, the second half a column to the left. */
    deform(c, F32(c, DIMS(1, 4, 2, 2), 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, -0.5, -0.5, -0.5, -0.5));
    case_gives(c, OP_DeformConv, NULL, F32(c, DIMS(1, 1, 2, 2), 10 + 150, 20 + 300, 1500, 3000));
    case_in(c, F32(c, DIMS(1), 7));
    case_in(c, F32(c, DIMS(1, 2, 2, 2), 1, 1, 1, 1, 0, 0, 0, 0.1));
    case_gives(c, OP_DeformConv, NULL, F32(c, DIMS(1, 1, 2, 2), 17, 27, 7, 307));
    deform(c, F32(c, DIMS(1, 2, 2, 2), 0));
    case_refused(c, OP_DeformConv, NULL, D_OPERAND_SHAPE, "shape [1,2,2,2]; wanted [1,4,2,2]");
    case_refused(c, OP_DeformConv, "offset_group=2", D_ATTRIBUTE, "offset_group 2");
    case_free(c);
}

/* ---- Det ---- */

TEST(determinants) {
    OPEN;
    case_in(c, F32(c, DIMS(2, 2, 2), 0, 2, 3, 4, 1, 2, 2, 4));
    case_gives(c, OP_Det, NULL, F32(c, DIMS(2), -6, 0));
    c->n_in = 0;
    case_in(c, F32(c, DIMS(3, 3), 2, 0, 1, 1, 3, 2, 1, 1, 4));
    case_gives(c, OP_Det, NULL, F32(c, SCALAR, 18));
    c->n_in = 0;
    case_in(c, F32(c, DIMS(2, 3), 0));
    case_refused(c, OP_Det, NULL, D_OPERAND_SHAPE, "matrices of 2 by 3");
    case_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resize_nearest),
        cmocka_unit_test(resize_linear),
        cmocka_unit_test(resize_cubic),
        cmocka_unit_test(resize_regions_and_proportions),
        cmocka_unit_test(resize_refusals),
        cmocka_unit_test(grid_sample),
        cmocka_unit_test(grid_sample_cubic),
        cmocka_unit_test(grid_sample_refusals),
        cmocka_unit_test(affine_grid),
        cmocka_unit_test(center_crop_pad),
        cmocka_unit_test(col2im),
        cmocka_unit_test(roi_align),
        cmocka_unit_test(deform_conv),
        cmocka_unit_test(determinants),
    };
    return TEST_RUN(tests);
}
