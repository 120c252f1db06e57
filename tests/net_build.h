/* What grows random networks: draws, and nodes behind one another. */
#ifndef QCC_TESTS_NET_BUILD_H
#define QCC_TESTS_NET_BUILD_H

#include "tests/codegen_support.h"
#include "tests/support.h"

#include <math.h>

/* A network in the making. Beside the tensor at its end goes a guess of how large its elements are, by which scales,
 * thresholds and normalisations are drawn so that codes of all sizes occur. */
typedef struct Net {
    Arena *arena;
    Diags *diags;
    Graph *graph;
    uint64_t seed;
    Random random;
    bool exact; /* numbers of few bits only */
    Value *v;   /* the end: f32, [samples, channels, positions...] */
    double rms; /* roughly, of its elements */
} Net;

/* ---- drawing ---- */

static inline int draw(Net *n, int lo, int hi) { return (int)random_int(&n->random, lo, hi); }
static inline bool chance(Net *n, int percent) { return draw(n, 0, 99) < percent; }
static inline double draw_unit(Net *n) { return (double)(random_bits(&n->random) >> 11) * 0x1p-53; } /* below 1 */

/* Of standard deviation 1, near enough: the sum of three uniform ones. */
static inline double draw_normal(Net *n) {
    double sum = 0;
    for (int i = 0; i < 3; i++) sum += 2 * draw_unit(n) - 1;
    return sum;
}

/* Within a factor of 2; a power of two with half of the draws, which puts sums on thresholds exactly. */
static inline float draw_scale(Net *n, double about) {
    double v = about * exp2(2 * draw_unit(n) - 1);
    return chance(n, 50) && !n->exact ? (float)v : (float)exp2(rint(log2(v)));
}

/* ---- nodes ---- */

/* The first output of a new node at the end; its attributes as text, or NULL. Fails the test where it is wrong. */
Value *net_node(Net *n, OpId op, const char *attrs, int n_in, Value *const *in);
#define NET_NODE(n, op, attrs, ...) \
    net_node((n), OP_##op, (attrs), (int)COUNT_OF(((Value *[]){__VA_ARGS__})), (Value *[]){__VA_ARGS__})

static inline Value *constant(Net *n, const Tensor *t) { return graph_constant(n->graph, "", t); }

static inline Value *number_of(Net *n, Elem elem, double v) {
    Tensor *t = tensor_new(n->arena, (Type){elem, {.rank = 0}});
    tensor_set(t, 0, v);
    return constant(n, t);
}
static inline Value *number(Net *n, double v) { return number_of(n, QCC_F32, v); }

static inline int64_t channels_of(const Value *v) { return v->type.shape.dim[1]; }

/* ---- quantizers of activations ---- */

/* Codes of a type that QuantizeLinear gives. */
typedef struct Coding {
    Elem elem;
    float scale;
    int zero;
} Coding;

Coding net_coding(Net *n, bool bytes); /* for n->v; bytes: of 8 bits */
Value *net_encode(Net *n, Value *v, const Coding *c);
Value *net_decode(Net *n, Value *v, const Coding *c);
static inline Value *zero_of(Net *n, const Coding *c) { return number_of(n, c->elem, c->zero); }

Value *net_quantize_linear(Net *n, Value *v); /* QDQ, or QCDQ: with the codes cut to fewer bits than their type has */
Value *net_quantize(Net *n, Value *v);        /* by whatever any of the dialects has */
/* The average of windows of k positions on each axis, of codes, whose lowest bits Trunc drops again. */
Value *net_average_truncated(Net *n, Value *v, int k);

#endif
