/* What the two halves of the Winograd kernel share: winograd.c (the choice, the transforms of pixels) and
 * winograd_weights.c (prepared weights). */
#ifndef QCC_CODEGEN_KERNELS_WINOGRAD_H
#define QCC_CODEGEN_KERNELS_WINOGRAD_H

#include "codegen/kernels/layer.h"
#include "codegen/kernels/tile.h"

/* Of the tile, of the input that it needs; products; weights. */
enum { OUT = 2, IN = 4, POINTS = IN * IN, TAP = 3, TAPS = TAP * TAP };

typedef struct Winograd {
    Window w;
    Core core;
    int64_t images, ins, outs;
    int64_t cells;                 /* of the input channels */
    int64_t rows, cols, tiles;     /* of an image, of all images */
    int64_t block, blocks;         /* tiles of a block */
    int64_t group;                 /* tiles of a block that have an m at a time */
    int64_t panels, chunk, chunks; /* panels of a chunk */
    int64_t row_bytes;             /* of a tile in v */
    int in_lanes, lanes, nr;       /* of the input transform; of channels behind it */
    int weights, bias;             /* packs; -1: none */
    uint8_t offset[POINTS];        /* integers: what is added to v, that it is u8 */
} Winograd;

/* M x M' for a matrix M of n rows and k columns, small integers: from k x k to n x n. */
void winograd_transform(Emit *e, const int8_t *m, int n, int k, const Reg *from, Reg *to);

/* The prepared weights: for each panel of channels and point of floats, rows of u by input channel; of integers a row
 * of i32 where the sums start, then rows of cells. */
int winograd_plan_weights(KernelPlan *p, const Winograd *g);
static inline int64_t winograd_point_rows(const Winograd *g) { return g->cells + (g->core != CORE_F32); }
/* The largest magnitude of a transformed weight of w, integers; more than INT8_MAX if any is more. */
int64_t winograd_reach(const Tensor *w, int64_t pairs);

#endif
