/* Alphabets: the set of values that a constant of integers takes, whatever type stores it. Kernels are chosen by it
 * (one bit for {-1, 1}, two planes for {-1, 0, 1}, odd integers as sums of bipolar planes) and it says in how many bits
 * a weight needs to be kept. */
#ifndef QCC_QUANT_ALPHABET_H
#define QCC_QUANT_ALPHABET_H

#include "ir/ir.h"

enum { ALPHABET_MOST = 256 };

typedef struct Alphabet {
    int n;                        /* different values, at least 1 */
    int64_t value[ALPHABET_MOST]; /* rising */
    int bits;                     /* that number a value among n: ceil(log2 n), 0 for a single one */
    int64_t step; /* greatest common divisor of the differences: values are value[0] + k * step; 0 for a single one */
    bool bipolar; /* {-1, 1}, or one of the two */
    bool ternary; /* among {-1, 0, 1}, and not bipolar */
    bool odd;     /* all are odd */
    bool powers;  /* all are 0 or plus or minus a power of two */
} Alphabet;

/* Of a constant of integer type with at least one element; false (and *out unset) for other types, for empty ones and
 * where there are more than ALPHABET_MOST values. */
bool alphabet_of(const Tensor *t, Alphabet *out);
/* "{-1,1}", "{-7..7}", "{-15,-13..15}" (rising evenly), or the values themselves, at most eight of them. */
const char *alphabet_str(Arena *a, const Alphabet *al);

#endif
