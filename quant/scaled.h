/* Floats that are scaled integers. A constant of f32 is one where integers k and a scale can be found such that every
 * element is fl32(scale * k) to the bit: so a quantized weight is recognised whatever dialect wrote it, and whatever
 * type stored it. */
#ifndef QCC_QUANT_SCALED_H
#define QCC_QUANT_SCALED_H

#include "ir/ir.h"

/* The greatest |k| that is looked for: two codes of 8 bits less their zero point. */
enum { SCALED_MOST = 255 };

/* The scale of n floats, stride apart, that are all fl32(scale * k) with |k| <= SCALED_MOST: the greatest one with
 * that. 1 where all are 0. 0 if there is none, or one is not finite. */
float scale_find(const float *v, int64_t n, int64_t stride);
/* k of one such float. */
int64_t scale_code(float v, float scale);

typedef struct ScaledTensor {
    const Tensor *codes; /* of i8, u8 or i16, the first that holds them; of the same shape */
    const Tensor *scale; /* f32, positive: rank 0, or one for each index of the axis */
} ScaledTensor;

/* Takes a constant f32 apart: with one scale if there is one, or with one for each index of `axis` (-1: not asked for)
 * where there is none or the codes then have fewer bits. False if there is no scale. What is returned lives in `a`. */
bool scaled_find(Arena *a, const Tensor *t, int axis, ScaledTensor *out);

#endif
