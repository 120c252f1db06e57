/* Random quantized networks, the same for the same seed: layers on codes of 1 to 8 bits, as the dialects write them,
 * for whatever compiles networks to be held against the evaluator. Every product in them can be made exact in integers
 * and all else is element-wise, so results are to be equal to the bit, whatever code computes them. */
#ifndef QCC_TESTS_NET_RANDOM_H
#define QCC_TESTS_NET_RANDOM_H

#include "ir/ir.h"

enum { NET_LAYERS = 6 }; /* at most */

/* A network of a few layers, cut off behind `layers` of them. Its outputs are what the last of them gives, in codes
 * and, with some seeds, as floats too. `exact`: scales are powers of two, other numbers have few bits and averages are
 * of powers of two of elements, so that floats round nothing, in whatever order they are added. */
Graph *net_random(Arena *a, Diags *d, uint64_t seed, int layers, bool exact);
/* An array for each input. */
const Tensor **net_feeds(Arena *a, const Graph *g, uint64_t seed);

/* How networks of a test are compiled and run. */
typedef struct NetTest {
    uint64_t first; /* seed */
    int count;
    const char *const *cpus; /* ended by NULL; NULL: the host's own */
    bool all;                /* each network for all of them, else for one of them in turn */
    const char *target;      /* NULL: the host; else `runner LIBRARY FOLDER` runs what is compiled for it, */
    const char *runner;      /* reading in_N.bin and writing out_N.bin there */
} NetTest;

/* Each network as the passes that define its meaning leave it is evaluated; the same with all passes, and what is
 * compiled of that, with one thread and with more, must give equal outputs. Fails the test with the seed and the text
 * of the shortest beginning of the network that fails. */
void net_check(const NetTest *t);
/* The host's CPU first, then those of x86-64's levels that it has; ended by NULL. */
const char *const *net_cpus(void);

#endif
