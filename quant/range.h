/* Ranges: what is proved about the integers in each tensor of a graph, by interval arithmetic with strides from the
 * graph's constants on: over element-wise programs as quant/span.h says, through whatever moves elements, and through
 * integer products from their very weights. Accumulator widths, kernels and the folding of thresholds rest on it. */
#ifndef QCC_QUANT_RANGE_H
#define QCC_QUANT_RANGE_H

#include "quant/span.h"

/* Integers lo + k * step up to hi; the step is at least 1, and 1 for a single number. */
typedef struct Range {
    int64_t lo, hi, step;
} Range;

/* A side table: what was found is kept by value. It must not outlive a change of a value's definition. */
typedef struct Ranges {
    Arena *arena;
    Map known; /* Value -> Span */
    int depth;
} Ranges;

/* What the elements of v can be; of floats too. */
Span range_span(Ranges *r, const Value *v);
/* The same where all are integers within 2^53 (by magnitude), whatever the type; else false. */
bool range_of(Ranges *r, const Value *v, Range *out);
/* The exact sums of a QConv, QConvTranspose or QMatMul, as they are before they wrap to i32, per output channel: the
 * output's dimension 1 of the convolutions, the last of QMatMul (one range if that is given by a vector). Without
 * constant weights all channels have the same. Returns a list of *channels. */
Span *range_products(Ranges *r, const Node *n, int64_t *channels);
/* Neither sum nor partial sum of n can leave the 32 bits. */
bool range_sums_fit(Ranges *r, const Node *n);
/* The narrowest of u8, i8, u16, i16, u32, i32 (in this order) that holds the range; 0 if none does. */
Elem range_elem(Range r);

#endif
