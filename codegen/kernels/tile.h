/* The register tile of all dense kernels: mh x mw pixels by nr vectors of channels, held in registers over the whole
 * reduction. Every step of the reduction loads nr vectors of B (weights: lanes are output channels), broadcasts one
 * cell of A per pixel and does mh * mw * nr multiply-adds.
 *
 *     for each round of the reduction loops:                 a, b: addresses of this round
 *         for p in pixels: x = broadcast(a + offset[p])      offsets are compile-time constants
 *             for r < nr:  acc[p][r] += x * load(b + r)
 *
 * A cell has 32 bits: one f32, or neighbouring integers of the reduction, as the accumulation core has it.
 *
 * A convolution and a matrix product differ in strides only. A Sweep walks such tiles over a whole layer. */
#ifndef QCC_CODEGEN_KERNELS_TILE_H
#define QCC_CODEGEN_KERNELS_TILE_H

#include "codegen/kernel.h"

/* The accumulation core: what a round adds to a sum of 32 bits. The values of a cell are neighbours in A; behind the
 * last one the cell may hold anything, its weights being zero.
 *     F32     acc += a * b
 *     DOT8    acc += the sum of four u8 of a times four s8 of b
 *     DOT8S   the same with four s8 of a, read as a + 128: the sums start at -128 * sum(b)
 *     PAIR8, PAIR8S   as DOT8 and DOT8S, where two neighbouring products always fit 16 bits together
 *     DOT16   acc += the sum of two s16 of a times two s16 of b
 *     XOR     acc += the number of bits in which a and b differ
 *     I32     acc += a * b, integers; of the depthwise kernel only, which widens a itself */
typedef enum Core { CORE_F32, CORE_DOT8, CORE_DOT8S, CORE_PAIR8, CORE_PAIR8S, CORE_DOT16, CORE_XOR, CORE_I32 } Core;
enum { CELL_BYTES = 4 };
int core_values(Core core);                          /* of A in a cell */
bool core_shifted(Core core);                        /* a is read as a + 128: DOT8S, PAIR8S */
const char *core_name(Core core);                    /* "f32", "u8", "s8pair", "xor", ...: for kernel names */
RegType core_sum(Emit *e, Core core, int lanes);     /* type of a vector of sums */
Reg core_cell(Emit *e, Core core, Reg p, int lanes); /* the cell at p in every lane */
Reg core_add(Emit *e, Core core, Reg a, Reg b, Reg acc);
/* The core for the integers of the node's operand 0 and the constant weights that operand 1 is; false if their values
 * fit none. */
bool core_choose(const KernelPlan *p, Core *out);
/* The same for u8 of at most `x` and weights of at most `w`, by magnitude, that fit eight bits. */
Core core_of_bytes(const Target *t, int64_t x, int64_t w);

/* One loop of the reduction: how often, and by how much A and B advance each time: A in bytes, B in bytes or, if it
 * lies in panels, in rows of a panel. */
typedef struct Reduce {
    int64_t n, a, b;
} Reduce;
enum { MAX_REDUCE = MAX_RANK };

typedef struct Reduction {
    int n;
    Reduce loop[MAX_REDUCE]; /* the innermost last */
} Reduction;
/* Adds an inner loop; one of a single round is left out, and one that continues its outer neighbour becomes part of it.
 */
void reduction_add(Reduction *r, int64_t n, int64_t a, int64_t b);
int64_t reduction_rounds(const Reduction *r);

/* Operands in bit-planes, the most significant first: the reduction is done for every pair of planes, each weighed by a
 * power of two. All zero: no planes. */
typedef struct Planes {
    int a, b;               /* numbers of planes */
    int64_t a_step, b_step; /* from plane to plane, as in Reduce */
} Planes;

/* The most vectors of B in a tile. */
enum { MAX_NR = 8, MAX_TILE = 32 };

/* Vectors of B per panel for an image of h x w pixels, a reduction of `rounds` and so many result channels, each vector
 * of `lanes`: the cheapest by the target's registers and ports. */
int tile_vectors(const Target *t, Core core, int64_t h, int64_t w, int64_t rounds, int64_t channels, int lanes);
/* The cheapest block mh x mw for an image of h x w pixels and nr vectors. */
void tile_pixels(const Target *t, Core core, int64_t h, int64_t w, int nr, int *mh, int *mw);
/* Lanes of 32 bits that suit `channels`: the target's, or fewer where the channels would leave most of them empty. */
int tile_lanes(const Target *t, int64_t channels);

/* The sums of one tile. */
typedef struct TileSum {
    Core core;
    int mh, mw, nr, lanes;  /* mh * mw * nr <= MAX_TILE */
    int last;               /* lanes of the last vector of B that may be read */
    int64_t step_h, step_w; /* bytes of A from pixel to pixel */
    int64_t ahead;          /* bytes from B to the panel after this one, to be brought near meanwhile; 0: none */
    bool panels;            /* B is prepared: aligned rows of nr vectors; else rows of channels where they lie */
    const Reduction *reduction;
    Planes planes;
} TileSum;
/* acc[(y * mw + x) * nr + r] += the sum over the reduction; a, b: addresses of its first round at pixel (0, 0). */
void tile_accumulate(Emit *e, const TileSum *t, Reg a, Reg b, Reg *acc);

/* ---- weights ------------------------------------------------------------------------------------------------- */

/* How constant weights become panels. Element (g, c, k...) of the source lies at group * stride_g + c * stride_c +
 * sum(k_i * stride[i]), in elements. Prepared, for nr = 2:
 *
 *     group 0                                          group 1 ...
 *     panel 0                          panel 1 ...
 *     k=0: [c0 .. c15][c16 .. c31]  k=1: ...           channels past the last are zero;
 *                                                      the last panel has as few vectors as it needs
 *
 * Where a cell holds several values, k counts cells of the innermost reduction, and each lane holds a cell's weights.
 */
typedef struct PanelPack {
    Core core;
    const Tensor *tensor;
    int64_t groups, channels; /* channels of one group */
    int64_t stride_g, stride_c;
    int n;
    int64_t count[MAX_REDUCE], stride[MAX_REDUCE]; /* the reduction, the innermost last */
    int nr, lanes;
    float scale; /* factor on every weight; floats only */
} PanelPack;
int64_t panel_bytes(const PanelPack *p); /* of all groups */
int64_t panel_group_bytes(const PanelPack *p);
void panel_fill(void *pack, uint8_t *dst); /* ConstPack.fill with a PanelPack as context */
/* plan_pack with a key that says the format. */
int plan_panels(KernelPlan *p, const Value *v, const PanelPack *pack);

/* Where the sums of an integer core start, i32 per channel in the panels' order; -1 if at 0. */
int plan_start(KernelPlan *p, const Value *v, const PanelPack *weights);

/* A per-channel constant (a bias) as f32, times `scale`, padded with zeros to whole vectors in each group. `stride` in
 * elements from channel to channel: 1, or 0 where one value serves all. */
int plan_channel_pack(KernelPlan *p, const Value *v, int64_t groups, int64_t channels, int64_t stride, int lanes,
                      float scale);

/* ---- walking a layer ----------------------------------------------------------------------------------------- */

/* Anything outside the image: batch, depth. */
typedef struct Outer {
    int64_t n, a, b; /* rounds, bytes by which A and B advance */
    int dim;         /* of the output */
} Outer;

/* An image axis: bytes of A per pixel, and the output's coordinate from + i * step in dimension dim (-1: none). */
typedef struct Axis {
    int64_t a;
    int dim;
    int64_t from, step;
} Axis;

/* What a sweep's division into blocks and tiles depends on. */
typedef struct SweepShape {
    Core core;
    int64_t outer, h, w;      /* pixels of an image, images */
    int64_t groups, channels; /* channels: results per group */
    int nr, lanes;
    int64_t row_bytes;    /* of A that a further row of pixels takes */
    int64_t weight_bytes; /* of B in all */
} SweepShape;
/* Independent units of work, for plan_tasks. */
int64_t sweep_units(const Target *t, const SweepShape *s);

typedef struct Sweep {
    KernelEmit *k;
    SweepShape shape; /* outer is filled by sweep_emit */
    Reg a, b;
    Reg bias; /* where sums start: [groups][channels rounded up to lanes], or NULL: 0 */
    int n_outer;
    Outer outer[MAX_RANK];
    Axis h, w;
    int dim_c; /* the output's dimension that lies along the lanes */
    Reduction reduction;
    Planes planes;
    int64_t a_group, b_group, b_panel; /* bytes from group to group, from panel to panel */
    bool panels;         /* B is prepared; else its channels are read where they lie, and are neighbours */
    float scale;         /* of the sum */
    const Place *addend; /* added to the scaled sum, times addend_scale, broadcast to the output; or NULL */
    float addend_scale;
} Sweep;
/* Emits this task's share of the layer: the accumulation, the epilogue and the stores. */
void sweep_emit(Sweep *s);

#endif
