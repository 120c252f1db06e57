/* Data movement against the evaluator: all element types, views of views, pads of every mode, joins and cuts; and
 * images read between their pixels. */
#include "tests/codegen_support.h"
#include "tests/kernel_case.h"
#include "tests/op_case.h"
#include "tests/support.h"

#include <math.h>

static const Elem all[] = {QCC_F32, QCC_F64, QCC_F16, QCC_BF16, QCC_I8, QCC_U8, QCC_I16, QCC_U16, QCC_I32,
                           QCC_U32, QCC_I64, QCC_U64, QCC_BOOL, QCC_I4, QCC_U4, QCC_I2,  QCC_U2};

static Value *any_values(KernelCase *c, Elem elem, Shape s) {
    Random r = {31};
    return kernel_feed(c, random_tensor(&c->arena, &r, (Type){elem, s}, elem_info[elem].bits < 8));
}

static void test_types(void **state) {
    (void)state;
    KernelCase *c = kernel_case_new();
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        Value *x = any_values(c, all[i], DIMS(3, 4, 5));
        kernel_node(c, OP_Transpose, "perm=2,0,1", 1, x);
        kernel_node(c, OP_Concat, "axis=1", 1, x, kernel_view(c, x, 2), x);
        kernel_node(c, OP_Tile, NULL, 1, x, KERNEL_LIST(c, 2, 1, 3));
        kernel_node(c, OP_Pad, NULL, 1, x, KERNEL_LIST(c, 1, 0, 2, 0, 1, 3));
        kernel_node(c, OP_Pad, "mode=reflect", 1, x, KERNEL_LIST(c, 1, 0, 2, 0, 1, 3));
        kernel_node(c, OP_Reshape, NULL, 1, kernel_view(c, x, 6), KERNEL_LIST(c, -1));
    }
    kernel_case_check(c);
}

/* Every view of every view, written out. */
static void test_views(void **state) {
    (void)state;
    KernelCase *c = kernel_case_new();
    Value *x = any_values(c, QCC_F32, DIMS(4, 7, 34));
    for (int i = 0; i < KERNEL_VIEWS; i++)
        for (int k = 0; k < KERNEL_VIEWS; k++) kernel_node(c, OP_Neg, NULL, 1, kernel_view(c, kernel_view(c, x, i), k));
    kernel_case_check(c);
}

static void test_broadcasts(void **state) {
    (void)state;
    static const int64_t shapes[][3] = {{1, 1, 1}, {4, 1, 1}, {1, 7, 1}, {1, 1, 34}, {4, 7, 1}, {4, 1, 34}, {1, 7, 34}};
    KernelCase *c = kernel_case_new();
    Value *x = any_values(c, QCC_F32, DIMS(4, 7, 34));
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        Value *y = any_values(c, QCC_F32, shape_of(3, shapes[i])), *z = any_values(c, QCC_F32, DIMS(34));
        kernel_node(c, OP_Add, NULL, 1, x, y);
        kernel_node(c, OP_Max, NULL, 1, y, z, x);
        kernel_node(c, OP_Sub, NULL, 1, kernel_inner(c, OP_Transpose, NULL, y), kernel_inner(c, OP_Transpose, NULL, x));
    }
    kernel_case_check(c);
}

/* Read across: whole and partial tiles, several tasks, computing and copying, two crossed operands, a broadcast one. */
static void test_crossings(void **state) {
    (void)state;
    static const int64_t sides[][2] = {{4, 4}, {16, 16}, {17, 31}, {5, 200}, {64, 48}, {130, 301}};
    KernelCase *c = kernel_case_new();
    for (size_t i = 0; i < COUNT_OF(sides); i++)
        for (size_t k = 0; k < 2; k++) {
            Elem elem = all[(i + 5 * k) % 12];
            Value *x = any_values(c, elem, DIMS(sides[i][0], sides[i][1])),
                  *flat = any_values(c, elem, DIMS(sides[i][1]));
            Value *y = any_values(c, elem, DIMS(sides[i][1], sides[i][0])),
                  *across = kernel_inner(c, OP_Transpose, NULL, x);
            kernel_node(c, OP_Transpose, NULL, 1, x);
            kernel_node(c, OP_Add, NULL, 1, across, y);
            kernel_node(c, OP_Sub, NULL, 1, kernel_inner(c, OP_Transpose, NULL, kernel_inner(c, OP_Add, NULL, x, flat)),
                        across);
        }
    Value *image = any_values(c, QCC_F32, DIMS(2, 19, 12, 35)), *tail = any_values(c, QCC_F32, DIMS(19));
    Value *last = kernel_inner(c, OP_Transpose, "perm=0,2,3,1", image);
    kernel_node(c, OP_Mul, NULL, 1, last, tail);
    kernel_node(c, OP_Transpose, "perm=3,1,2,0", 1, last);
    kernel_node(c, OP_Max, NULL, 1, last, kernel_inner(c, OP_Transpose, "perm=0,2,3,1", kernel_view(c, image, 2)),
                tail);
    kernel_case_check(c);
}

static const char *const pad_modes[] = {"mode=constant", "mode=reflect", "mode=edge", "mode=wrap"};

static void test_pads(void **state) {
    (void)state;
    static const int64_t pads[][6] = {
        {0, 0, 1, 0, 0, 1}, {1, 2, 3, 3, 2, 1}, {0, 3, 0, 0, 0, 17}, {-1, 1, -2, 1, -2, 4}};
    KernelCase *c = kernel_case_new();
    Value *x = any_values(c, QCC_F32, DIMS(4, 5, 19)), *fill = kernel_weight(c, QCC_F32, SCALAR);
    for (size_t i = 0; i < COUNT_OF(pads); i++)
        for (size_t mode = 0; mode < COUNT_OF(pad_modes); mode++) {
            Value *by = kernel_list(c, 6, pads[i]);
            kernel_node(c, OP_Pad, pad_modes[mode], 1, x, by, mode ? NULL : fill);
            kernel_node(c, OP_Pad, pad_modes[mode], 1, kernel_view(c, x, 2), by);
        }
    for (size_t mode = 0; mode < COUNT_OF(pad_modes); mode++)
        kernel_node(c, OP_Pad, pad_modes[mode], 1, x, KERNEL_LIST(c, 2, 1), NULL, KERNEL_LIST(c, -1));
    kernel_case_check(c);
}

static void test_joins(void **state) {
    (void)state;
    KernelCase *c = kernel_case_new();
    Value *x = any_values(c, QCC_F32, DIMS(2, 8, 4, 6)), *y = any_values(c, QCC_F32, DIMS(2, 8, 4, 6));
    for (int axis = 0; axis < 4; axis++) {
        const char *attrs = arena_printf(&c->arena, "axis=%d", axis);
        int64_t n = x->type.shape.dim[axis];
        kernel_node(c, OP_Concat, attrs, 1, x, y);
        kernel_node(c, OP_Concat, attrs, 1, kernel_inner(c, OP_Relu, NULL, x), x, kernel_inner(c, OP_Abs, NULL, y));
        kernel_node(c, OP_Split, attrs, 2, x, KERNEL_LIST(c, 1, n - 1));
        kernel_node(c, OP_Tile, NULL, 1, x, KERNEL_LIST(c, 1 + (axis == 0), 1 + (axis == 1), 1, 1 + 2 * (axis == 3)));
    }
    static const char *const blocks[] = {"blocksize=2 mode=DCR", "blocksize=2 mode=CRD"};
    for (size_t i = 0; i < COUNT_OF(blocks); i++) kernel_node(c, OP_DepthToSpace, blocks[i], 1, x);
    kernel_node(c, OP_SpaceToDepth, "blocksize=2", 1, x);
    kernel_node(c, OP_Trilu, "upper=0", 1, x, KERNEL_LIST(c, -1));
    kernel_node(c, OP_CenterCropPad, "axes=2,3", 1, x, KERNEL_LIST(c, 7, 3));
    kernel_case_check(c);
}

/* ---- sampling -------------------------------------------------------------------------------------------------- */

static const char *const resizes[] = {
    "mode=nearest",
    "mode=nearest coordinate_transformation_mode=asymmetric nearest_mode=floor",
    "mode=nearest coordinate_transformation_mode=align_corners nearest_mode=round_prefer_ceil",
    "mode=linear",
    "mode=linear coordinate_transformation_mode=align_corners",
    "mode=linear coordinate_transformation_mode=pytorch_half_pixel",
    "mode=linear antialias=1",
    "mode=cubic",
    "mode=cubic coordinate_transformation_mode=asymmetric exclude_outside=1",
};

static void test_resizes(void **state) {
    (void)state;
    static const int64_t sizes[][4] = {{1, 3, 10, 14}, {1, 3, 3, 4}, {1, 3, 5, 20}, {1, 3, 1, 1}};
    KernelCase *c = kernel_case_new();
    c->tolerance = 1e-6;
    Value *x = kernel_input(c, QCC_F32, DIMS(1, 3, 5, 7));
    for (size_t i = 0; i < COUNT_OF(resizes); i++)
        for (size_t k = 0; k < COUNT_OF(sizes); k++)
            kernel_node(c, OP_Resize, resizes[i], 1, x, NULL, NULL, kernel_list(c, 4, sizes[k]));
    kernel_case_check(c);
}

static const char *const samplings[] = {"mode=nearest", "mode=linear", "mode=cubic"};
static const char *const paddings[] = {"padding_mode=zeros", "padding_mode=border", "padding_mode=reflection"};

/* Places inside, at pixels and between them, outside, far away and nowhere. */
static Value *wild_grid(KernelCase *c, Elem elem, Shape s) {
    static const double corners[] = {-1, 1, 0, -1.25, 1.5, 3, -7.75, 1e9, -1e30, NAN};
    Random r = {32};
    Tensor *t = random_tensor(&c->arena, &r, (Type){elem, s}, true);
    for (int64_t i = 0; i < shape_count(&s); i += 3)
        tensor_set(t, i, corners[random_int(&r, 0, (int64_t)COUNT_OF(corners) - 1)]);
    return kernel_feed(c, t);
}

static void test_samples(void **state) {
    (void)state;
    KernelCase *c = kernel_case_new();
    Value *plane = kernel_input(c, QCC_F32, DIMS(2, 3, 5, 8)), *box = kernel_input(c, QCC_F32, DIMS(1, 2, 3, 4, 5));
    Value *line = kernel_input(c, QCC_F32, DIMS(1, 20, 9)), *grid = wild_grid(c, QCC_F32, DIMS(2, 4, 10, 2));
    Value *spots = wild_grid(c, QCC_F32, DIMS(1, 3, 3, 3, 3)), *ticks = wild_grid(c, QCC_F32, DIMS(1, 33, 1));
    for (size_t i = 0; i < 18; i++) {
        const char *attrs =
            arena_printf(&c->arena, "%s %s align_corners=%d", samplings[i % 3], paddings[i / 3 % 3], (int)(i / 9));
        kernel_node(c, OP_GridSample, attrs, 1, plane, grid);
        kernel_node(c, OP_GridSample, attrs, 1, box, spots);
        kernel_node(c, OP_GridSample, attrs, 1, line, ticks);
    }
    kernel_node(c, OP_GridSample, NULL, 1, kernel_view(c, plane, 2), kernel_view(c, grid, 2));
    kernel_case_check(c);
}

static void test_sample_types(void **state) {
    (void)state;
    KernelCase *c = kernel_case_new();
    static const Elem grids[] = {QCC_F32, QCC_F64, QCC_F16, QCC_BF16};
    for (size_t i = 0; i < 13; i++) {
        Value *x = kernel_input(c, all[i], DIMS(1, 2, 5, 6)), *grid = wild_grid(c, grids[i % 4], DIMS(1, 4, 4, 2));
        kernel_node(c, OP_GridSample, samplings[i % 3], 1, x, grid);
        kernel_node(c, OP_GridSample, "mode=linear padding_mode=border", 1, x, grid);
    }
    kernel_case_check(c);
}

static void test_regions(void **state) {
    (void)state;
    static const double boxes[] = {1, 1, 6, 5, 0, 0, 15, 11, 3.5, 2.25, 4, 3, -3, -2, 3, 4, 8, 6, 30, 40, 5, 5, 2, 2};
    static const Elem elems[] = {QCC_F32, QCC_F64, QCC_F16};
    KernelCase *c = kernel_case_new();
    Value *batch = kernel_feed(c, tensor_from_ints(&c->arena, QCC_I64, DIMS(6), (int64_t[]){0, 1, 1, 0, 1, 0}));
    for (size_t i = 0; i < COUNT_OF(elems); i++) {
        Tensor *t = tensor_new(&c->arena, (Type){elems[i], DIMS(6, 4)});
        for (int64_t k = 0; k < 24; k++) tensor_set(t, k, boxes[k]);
        Value *x = kernel_input(c, elems[i], DIMS(2, 3, 12, 16)), *rois = kernel_feed(c, t);
        for (int k = 0; k < 8; k++)
            kernel_node(c, OP_RoiAlign,
                        arena_printf(&c->arena,
                                     "output_height=%d output_width=3 sampling_ratio=%d mode=%s spatial_scale=0.5 "
                                     "coordinate_transformation_mode=%s",
                                     1 + k, k & 1 ? 2 : 0, k & 2 ? "max" : "avg",
                                     k & 4 ? "half_pixel" : "output_half_pixel"),
                        1, x, rois, batch);
    }
    kernel_case_check(c);
}

static void test_determinants(void **state) {
    (void)state;
    static const Elem elems[] = {QCC_F32, QCC_F64, QCC_F16};
    KernelCase *c = kernel_case_new();
    for (int64_t n = 1; n < 10; n++) kernel_node(c, OP_Det, NULL, 1, kernel_input(c, elems[n % 3], DIMS(3, 2, n, n)));
    kernel_node(c, OP_Det, NULL, 1, kernel_input(c, QCC_F32, DIMS(32, 32)));
    kernel_node(c, OP_Det, NULL, 1, kernel_view(c, kernel_input(c, QCC_F32, DIMS(4, 4)), 1));
    Tensor *flat = tensor_new(&c->arena, (Type){QCC_F32, DIMS(3, 3)}); /* of no height: the second pivot is 0 */
    for (int64_t i = 0; i < 9; i++) tensor_set(flat, i, (double)(1 + i % 3));
    kernel_node(c, OP_Det, NULL, 1, kernel_feed(c, flat));
    kernel_case_check(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),        cmocka_unit_test(test_views),        cmocka_unit_test(test_broadcasts),
        cmocka_unit_test(test_crossings),    cmocka_unit_test(test_pads),         cmocka_unit_test(test_joins),
        cmocka_unit_test(test_resizes),      cmocka_unit_test(test_samples),      cmocka_unit_test(test_regions),
        cmocka_unit_test(test_sample_types), cmocka_unit_test(test_determinants),
    };
    return TEST_RUN(tests);
}
