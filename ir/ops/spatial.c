/* Operators on images: sampling at computed places, and rearrangements that become windows, products or slices. */
#include "ir/ops/expand.h"

#include <inttypes.h>
#include <string.h>

/* Number of the string attribute among the words; -1 after an error. */
static int read_word(Infer *c, const char *name, const char *const *words, int n) {
    const char *s = node_string(c->node, name);
    for (int i = 0; i < n; i++)
        if (strcmp(s, words[i]) == 0) return i;
    Text t = {.arena = c->arena};
    for (int i = 0; i < n; i++) text_add(&t, "%s%s", i == 0 ? "" : i == n - 1 ? " or " : ", ", words[i]);
    infer_error(c, D_ATTRIBUTE, -1, "%s '%s'; wanted %s", name, s, t.s);
    return -1;
}

static int word_of(const Node *n, const char *name, const char *const *words, int count) {
    int i = 0;
    while (i + 1 < count && strcmp(node_string(n, name), words[i]) != 0) i++;
    return i;
}

/* ---- GridSample ---------------------------------------------------------------------------------------------------
 */

static const char *const sample_modes[] = {"nearest", "linear", "cubic"};
static const char *const paddings[] = {"zeros", "border", "reflection"};

bool infer_GridSample(Infer *c) {
    const Shape *x = in_shape(c->node, 0), *grid = in_shape(c->node, 1);
    if (read_word(c, "mode", sample_modes, COUNT_OF(sample_modes)) < 0) return false;
    if (read_word(c, "padding_mode", paddings, COUNT_OF(paddings)) < 0) return false;
    if (!infer_rank_min(c, 0, 3) || !infer_rank(c, 1, x->rank)) return false;
    int spatial = x->rank - 2;
    if (grid->dim[0] != x->dim[0] || grid->dim[grid->rank - 1] != spatial)
        return infer_error(c, D_OPERAND_SHAPE, 1,
                           "a grid of shape %s; wanted a batch of %" PRId64 " and %d coordinates",
                           shape_str(c->arena, grid), x->dim[0], spatial);
    Shape y = *x;
    int64_t pixels = 1;
    for (int i = 0; i < spatial; i++) {
        y.dim[2 + i] = grid->dim[1 + i];
        pixels *= x->dim[2 + i];
    }
    if (pixels == 0) return infer_error(c, D_OPERAND_SHAPE, 0, "an image without pixels");
    set_out(c, 0, 0, &y);
    return true;
}

void pack_GridSample(Pack *p) {
    pack_int(p, word_of(p->node, "mode", sample_modes, COUNT_OF(sample_modes)));
    pack_int(p, word_of(p->node, "padding_mode", paddings, COUNT_OF(paddings)));
    pack_int(p, node_int(p->node, "align_corners") != 0);
}

/* ---- AffineGrid ---------------------------------------------------------------------------------------------------
 */

bool infer_AffineGrid(Infer *c) {
    const Shape *theta = in_shape(c->node, 0);
    IntList size;
    if (!infer_ints(c, 1, 5, &size)) return false;
    if (size.n != 4 && size.n != 5)
        return infer_error(c, D_OPERAND_SHAPE, 1, "%" PRId64 " dimensions; wanted 4 or 5", size.n);
    int64_t spatial = size.n - 2;
    for (int i = 0; i < size.n; i++)
        if (size.v[i] < 1)
            return infer_error(c, D_OPERAND_VALUE, 1, "a dimension of %" PRId64 "; wanted 1 or more", size.v[i]);
    Shape want = shape_of(3, (int64_t[]){size.v[0], spatial, spatial + 1});
    if (!shape_equal(theta, &want))
        return infer_error(c, D_OPERAND_SHAPE, 0, "shape %s; wanted %s", shape_str(c->arena, theta),
                           shape_str(c->arena, &want));
    Shape y = shape_of((int)size.n, size.v);
    for (int i = 0; i < spatial; i++) y.dim[1 + i] = size.v[2 + i];
    y.dim[1 + spatial] = spatial;
    set_out(c, 0, 0, &y);
    return true;
}

/* Coordinate i of n along an axis from -1 to 1: of the corners, or of the pixels' centres. */
static double grid_coordinate(bool corners, int64_t i, int64_t n) {
    if (corners) return n > 1 ? -1 + 2 * (double)i / (double)(n - 1) : 0;
    return (2 * (double)i + 1) / (double)n - 1;
}

/* theta times (x, y, 1) of every place: a matrix product with a constant. */
void expand_AffineGrid(Expand *e) {
    const Shape y = e->node->out[0]->type.shape;
    bool corners = node_int(e->node, "align_corners") != 0;
    int spatial = y.rank - 2;
    int64_t places = 1, step = 1;
    for (int i = 0; i < spatial; i++) places *= y.dim[1 + i];
    Value *theta = expand_widen(e, e->node->in[0]);
    Type type = {theta->type.elem, shape_of(2, (int64_t[]){spatial + 1, places})};
    Tensor *base = tensor_new(e->graph->arena, type);
    for (int row = 0; row < spatial; row++) { /* x, the last axis, comes first */
        int64_t n = y.dim[spatial - row];
        for (int64_t i = 0; i < places; i++)
            tensor_set(base, row * places + i, grid_coordinate(corners, i / step % n, n));
        step *= n;
    }
    for (int64_t i = 0; i < places; i++) tensor_set(base, spatial * places + i, 1);
    Value *v = EXPAND(e, MatMul, NULL, theta, expand_constant(e, base));
    expand_narrow(e, 0, expand_reshape(e, expand_transpose(e, v, 3, (int[]){0, 2, 1}), &y));
}

/* ---- CenterCropPad ------------------------------------------------------------------------------------------------
 */

bool infer_CenterCropPad(Infer *c) {
    Shape y = *in_shape(c->node, 0);
    IntList size;
    int n, axes[MAX_RANK];
    const int64_t *list = node_ints(c->node, "axes", &n);
    if (!infer_ints(c, 1, y.rank, &size) || !infer_axes(c, n, list, y.rank, axes)) return false;
    if (!node_attr(c->node, "axes"))
        for (n = 0; n < y.rank; n++) axes[n] = n;
    if (size.n != n) return infer_error(c, D_OPERAND_SHAPE, 1, "%" PRId64 " sizes for %d axes", size.n, n);
    for (int i = 0; i < n; i++) {
        if (size.v[i] < 0) return infer_error(c, D_OPERAND_VALUE, 1, "a size of %" PRId64, size.v[i]);
        y.dim[axes[i]] = size.v[i];
    }
    set_out(c, 0, 0, &y);
    return true;
}

void expand_CenterCropPad(Expand *e) {
    const Shape *y = &e->node->out[0]->type.shape;
    Value *v = e->node->in[0];
    int rank = y->rank;
    int64_t pads[2 * MAX_RANK] = {0};
    bool grows = false;
    for (int i = 0; i < rank; i++) {
        int64_t more = y->dim[i] - v->type.shape.dim[i], first = -more / 2;
        if (more < 0) v = expand_slice(e, v, i, first, first + y->dim[i]);
        if (more <= 0) continue;
        pads[i] = more / 2;
        pads[rank + i] = more - more / 2;
        grows = true;
    }
    if (grows) v = EXPAND(e, Pad, "mode=constant", v, expand_ints(e, 2 * rank, pads));
    expand_result(e, 0, v);
}

/* ---- Col2Im -------------------------------------------------------------------------------------------------------
 */

typedef struct Blocks {
    int rank;
    int64_t image[MAX_RANK], block[MAX_RANK], grid[MAX_RANK], stride[MAX_RANK], dilation[MAX_RANK];
    int64_t pads[2 * MAX_RANK], spare[MAX_RANK]; /* spare: rows of the image that no block reaches */
    int64_t taps, places;
} Blocks;

static bool read_sizes(Infer *c, int operand, int64_t n, int64_t *out) {
    IntList list;
    if (!infer_ints(c, operand, MAX_RANK, &list)) return false;
    if (list.n != n || n < 1 || n > 3)
        return infer_error(c, D_OPERAND_SHAPE, operand,
                           "%" PRId64 " dimensions; wanted 1 to 3, as many of image and block", list.n);
    for (int i = 0; i < n; i++) {
        if (list.v[i] < 1 || list.v[i] > INT32_MAX)
            return infer_error(c, D_OPERAND_VALUE, operand, "a dimension of %" PRId64, list.v[i]);
        out[i] = list.v[i];
    }
    return true;
}

static bool read_blocks(Infer *c, Blocks *b) {
    IntList image;
    if (!infer_ints(c, 1, MAX_RANK, &image)) return false;
    *b = (Blocks){.rank = (int)image.n, .taps = 1, .places = 1};
    if (!read_sizes(c, 1, image.n, b->image) || !read_sizes(c, 2, image.n, b->block)) return false;
    if (!infer_list(c, "strides", b->rank, 1, 1, b->stride) ||
        !infer_list(c, "dilations", b->rank, 1, 1, b->dilation) || !infer_list(c, "pads", 2 * b->rank, 0, 0, b->pads))
        return false;
    for (int i = 0; i < b->rank; i++) {
        int64_t room = b->image[i] + b->pads[i] + b->pads[b->rank + i] - ((b->block[i] - 1) * b->dilation[i] + 1);
        if (room < 0) return infer_error(c, D_OPERAND_VALUE, 2, "a block that is larger than the padded image");
        b->grid[i] = room / b->stride[i] + 1;
        b->spare[i] = room % b->stride[i];
        if (mul_overflow(b->taps, b->block[i], &b->taps) || mul_overflow(b->places, b->grid[i], &b->places))
            return infer_error(c, D_SIZE_LIMIT, 2, "too many blocks");
    }
    return true;
}

bool infer_Col2Im(Infer *c) {
    Blocks b;
    if (!infer_rank(c, 0, 3) || !read_blocks(c, &b)) return false;
    const Shape *x = in_shape(c->node, 0);
    if (x->dim[1] % b.taps || x->dim[2] != b.places)
        return infer_error(c, D_OPERAND_SHAPE, 0,
                           "shape %s; wanted a multiple of %" PRId64 " rows and %" PRId64 " columns",
                           shape_str(c->arena, x), b.taps, b.places);
    Shape y = shape_of(2, (int64_t[]){x->dim[0], x->dim[1] / b.taps});
    for (int i = 0; i < b.rank; i++) y.dim[y.rank++] = b.image[i];
    set_out(c, 0, 0, &y);
    return true;
}

static void add_list(Text *t, const char *name, int n, const int64_t *v) {
    for (int i = 0; i < n; i++) text_add(t, "%s%s%" PRId64, i ? "," : name, i ? "" : "=", v[i]);
}

/* Each row of a channel adds to its own place of every block: a transposed convolution by groups whose filters are the
 * unit vectors. */
void expand_Col2Im(Expand *e) {
    Blocks b;
    Again again;
    if (!read_blocks(infer_again(&again, e->node), &b)) bug("Col2Im: the operands were good before");
    Value *x = expand_widen(e, e->node->in[0]);
    int64_t channels = e->node->out[0]->type.shape.dim[1];
    Shape image = shape_of(2, x->type.shape.dim), filter = shape_of(2, (int64_t[]){channels * b.taps, 1});
    for (int i = 0; i < b.rank; i++) {
        image.dim[image.rank++] = b.grid[i];
        filter.dim[filter.rank++] = b.block[i];
    }
    Tensor *w = tensor_new(e->graph->arena, (Type){x->type.elem, filter});
    for (int64_t i = 0; i < channels * b.taps; i++) tensor_set(w, i * b.taps + i % b.taps, 1);
    Text t = {.arena = e->graph->arena};
    text_add(&t, "group=%" PRId64, channels);
    add_list(&t, " strides", b.rank, b.stride);
    add_list(&t, " dilations", b.rank, b.dilation);
    add_list(&t, " pads", 2 * b.rank, b.pads);
    add_list(&t, " output_padding", b.rank, b.spare);
    expand_narrow(e, 0, EXPAND(e, ConvTranspose, t.s, expand_reshape(e, x, &image), expand_constant(e, w)));
}

/* ---- RoiAlign -----------------------------------------------------------------------------------------------------
 */

static const char *const roi_modes[] = {"avg", "max"};
static const char *const roi_transforms[] = {"half_pixel", "output_half_pixel"};

bool infer_RoiAlign(Infer *c) {
    const Node *n = c->node;
    const Shape *x = in_shape(n, 0), *rois = in_shape(n, 1), *batch = in_shape(n, 2);
    int64_t h = node_int(n, "output_height"), w = node_int(n, "output_width"), ratio = node_int(n, "sampling_ratio");
    if (!infer_rank(c, 0, 4) || !infer_rank(c, 1, 2) || !infer_rank(c, 2, 1)) return false;
    if (read_word(c, "mode", roi_modes, COUNT_OF(roi_modes)) < 0) return false;
    if (read_word(c, "coordinate_transformation_mode", roi_transforms, COUNT_OF(roi_transforms)) < 0) return false;
    if (rois->dim[1] != 4) return infer_error(c, D_OPERAND_SHAPE, 1, "%" PRId64 " coordinates; wanted 4", rois->dim[1]);
    if (batch->dim[0] != rois->dim[0])
        return infer_error(c, D_OPERAND_SHAPE, 2, "%" PRId64 " batch indices for %" PRId64 " regions", batch->dim[0],
                           rois->dim[0]);
    if (h < 1 || w < 1 || ratio < 0 || ratio > 1024)
        return infer_error(c, D_ATTRIBUTE, -1,
                           "output_height %" PRId64 ", output_width %" PRId64 ", sampling_ratio %" PRId64
                           "; wanted positive sizes and a ratio of 0 to 1024",
                           h, w, ratio);
    if (x->dim[0] == 0 || x->dim[2] == 0 || x->dim[3] == 0)
        return infer_error(c, D_OPERAND_SHAPE, 0, "images without pixels");
    Shape y = shape_of(4, (int64_t[]){rois->dim[0], x->dim[1], h, w});
    set_out(c, 0, 0, &y);
    return true;
}

void pack_RoiAlign(Pack *p) {
    pack_int(p, word_of(p->node, "mode", roi_modes, COUNT_OF(roi_modes)));
    pack_int(p, word_of(p->node, "coordinate_transformation_mode", roi_transforms, COUNT_OF(roi_transforms)));
    pack_int(p, node_int(p->node, "sampling_ratio"));
    pack_float(p, node_float(p->node, "spatial_scale"));
}

/* ---- Det ----------------------------------------------------------------------------------------------------------
 */

bool infer_Det(Infer *c) {
    Shape s = *in_shape(c->node, 0);
    if (!infer_rank_min(c, 0, 2)) return false;
    if (s.dim[s.rank - 1] != s.dim[s.rank - 2])
        return infer_error(c, D_OPERAND_SHAPE, 0, "matrices of %" PRId64 " by %" PRId64 "; wanted square ones",
                           s.dim[s.rank - 2], s.dim[s.rank - 1]);
    if (s.dim[s.rank - 1] > 32)
        return infer_error(c, D_UNSUPPORTED_FORM, 0, "matrices of %" PRId64 " rows; at most 32 are supported",
                           s.dim[s.rank - 1]);
    s.rank -= 2;
    set_out(c, 0, 0, &s);
    return true;
}

void pack_Det(Pack *p) { (void)p; }
