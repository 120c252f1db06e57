/* The kernel contract. A kernel computes one kind of node for some shapes and targets. Rows of codegen/kernel.def are
 * tried in order; the first whose plan function accepts the node is taken.
 *
 * plan  looks at the node and the target, accepts or declines, and says what it needs: how operands must lie, prepared
 *       constants, scratch memory, and into how many independent tasks it splits.
 * emit  is called once when everything has a place. It writes the body of a function that computes one task. All
 *       addresses come through `in`, `out`, `pack` and `scratch`; two steps with the same key share one body, so an
 *       emitter must not look at a constant's data (prepared constants are for that) unless it says so
 *       (KernelPlan.reads_constants).
 *
 * How tensors lie: element (i0, i1, ...) of an operand is at base + sum(i_k * stride[k]) bytes. Strides may be 0
 * (broadcast) or negative (reversed slices), outputs' never. An image of channels-last order has stride[1] == element
 * size and the other strides falling from dimension 0 over 2 to rank-1, each at least what the dimensions inside it
 * need; they are wider where the tensor has a halo or is part of a concatenation. Always address through the strides.
 * Memory in the work area and in the weights may be read (not written) up to QCC_ALIGN bytes behind a tensor's last
 * element; the caller's buffers may not: Place.slack says.
 */
#ifndef QCC_CODEGEN_KERNEL_H
#define QCC_CODEGEN_KERNEL_H

#include "codegen/emit.h"

typedef enum Order {
    ORDER_ANY,      /* any strides */
    ORDER_ROWS,     /* dense, row-major */
    ORDER_CHANNELS, /* channels-last: dims 0, 2 .. rank-1, 1 from outer to inner */
} Order;

/* What a kernel asks of an operand. */
typedef struct Wish {
    Order order;
    bool packed; /* not read itself: only its prepared form is (constants) */
    bool slack;  /* QCC_ALIGN bytes behind the last element must be readable: no buffer of the caller's */
    bool unit;   /* dimension unit_dim must have a stride of one element */
    int unit_dim;
    /* Zeros that must surround the tensor: elements -lo[k] .. dim[k]-1+hi[k] may be read. */
    int64_t halo_lo[MAX_RANK], halo_hi[MAX_RANK];
} Wish;

/* A form of a prepared constant that takes less room in the file; NAME_prepare makes the constant of it. */
typedef struct PackForm {
    int64_t bytes;
    void (*fill)(void *ctx, uint8_t *dst); /* as that of ConstPack */
    /* Emits what makes of the form at src, at dst, the very bytes that the constant's own fill gives. */
    void (*emit)(void *ctx, Emit *e, Reg dst, Reg src);
    void *ctx; /* in the plan's arena */
} PackForm;

/* A constant prepared for one kernel. */
typedef struct ConstPack {
    const Value *value; /* what it is made from */
    const char *key;    /* its format: packs of one value and key are stored once */
    int64_t bytes;
    void (*fill)(void *ctx, uint8_t *dst); /* dst is zeroed and aligned to QCC_ALIGN */
    void *ctx;                             /* in the plan's arena */
    int unit;                              /* 1, 2 or 4: bytes of one weight, which the file may hold in fewer bits */
    const PackForm *form;                  /* a smaller one for the file, or NULL */
} ConstPack;

enum { MAX_OPERANDS = 64 };

typedef struct KernelPlan {
    /* given */
    Arena *arena;
    const Target *target;
    const Node *node;
    struct Ranges *ranges; /* what is proved about the integers of the graph */
    int level;
    /* to be filled; zeros mean: any order, no packs, no scratch, one task */
    const char *name; /* what is computed; "__isa" is appended */
    Wish *in, *out;   /* per operand and output of the node, epilogue operands included */
    VEC(ConstPack) packs;
    int64_t scratch_bytes; /* per worker */
    int64_t n_tasks;
    int64_t macs;
    bool in_place;        /* reads only element i of same-shaped operands before it writes element i */
    bool reads_constants; /* the body depends on constants' data */
    bool fallback;
    /* All results go through kernel_finish in vectors of finish_lanes along dimension finish_dim, which begin at
     * multiples of finish_lanes and but for the last are full: the step may be asked to store bit-planes. 0: it may
     * not. */
    int finish_lanes, finish_dim;
    void *data; /* the kernel's own */
} KernelPlan;

/* Asks for a prepared constant; returns its index in KernelEmit.pack. */
int plan_pack(KernelPlan *p, const Value *v, const char *key, int64_t bytes, void (*fill)(void *ctx, uint8_t *dst),
              void *ctx);
void plan_name(KernelPlan *p, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* A number of tasks, at most `units`, each worth having at `ops` vector operations in all (about 5 us a task). */
int64_t plan_tasks(const KernelPlan *p, int64_t units, int64_t ops);

/* Codes low + step * c stored by the bits of c, as QPack defines it (ir/op.def): of each position of the other
 * dimensions `planes` runs of `words` words along `axis`. Where there are several planes the step is 1. */
typedef struct Bits {
    int planes, axis; /* planes 0: not stored so */
    int64_t low, step, words;
    bool nested; /* see bits_nested */
} Bits;
Bits bits_of_node(const Node *pack);
/* True if node n's result is low + the number of comparisons of its epilogue that hold, with constants so that each
 * holds only where those before it do. */
bool bits_nested(const Node *n, const Bits *b);

/* Where an operand lies. */
typedef struct Place {
    Reg base; /* address of element (0, 0, ...) */
    Elem elem;
    Shape shape;
    int64_t stride[MAX_RANK]; /* bytes */
    Bits bits;  /* of outputs; elem and shape are the codes', stride[bits.axis] goes from word to word: 4 */
    int align;  /* of base: a power of two, in bytes */
    bool slack; /* QCC_ALIGN bytes behind the last element may be read */
} Place;

typedef struct KernelEmit {
    Emit *em;
    const Target *target;
    const Node *node;
    const KernelPlan *plan;
    const Place *in, *out; /* absent operands have base NULL */
    const Reg *pack;
    Reg task;    /* i64, 0 .. n_tasks - 1; a constant 0 if there is one task */
    Reg scratch; /* of this worker, aligned to QCC_ALIGN; NULL if none was asked for */
} KernelEmit;

typedef struct Kernel {
    const char *name; /* of the row */
    OpId op;
    bool (*plan)(KernelPlan *p);
    void (*emit)(KernelEmit *k);
} Kernel;
#define KERNEL(name, op)             \
    bool plan_##name(KernelPlan *p); \
    void emit_##name(KernelEmit *k);
#include "codegen/kernel.def"
#undef KERNEL
extern const Kernel kernel_table[];
extern const int kernel_count;

/* ---- for emitters -------------------------------------------------------------------------------------------- */

/* This task's share of units 0 .. units-1: [*from, *to), as i64; shares differ by one unit at most. */
void kernel_range(KernelEmit *k, int64_t units, Reg *from, Reg *to);
/* Strides of operand `in` aligned to the output's shape by numpy's rules, broadcast dimensions 0. */
void place_broadcast(const Place *in, const Shape *out, int64_t stride[MAX_RANK]);
Reg place_address(Emit *e, const Place *p, const Index *idx); /* of element idx[0 .. rank-1] */
/* True if stride[dim] is one element. */
bool place_unit(const Place *p, int dim);

/* The end of every accumulating kernel. v holds `lanes` results (register form of the type before the epilogue) that
 * lie along dimension `dim` of output 0 from idx[] on; the first `active` of them count. Applies the node's epilogue
 * (none: v itself), loading its operands by their broadcast strides, and stores: elements, or bits of out[0].bits. */
void kernel_finish(KernelEmit *k, Reg v, int active, int dim, const Index *idx);
/* The epilogue alone; the result is in the register form of the output's element type. */
Reg kernel_epilogue(KernelEmit *k, Reg v, int active, int dim, const Index *idx);
/* Operand form of the same: loads `active` of `lanes` elements along dimension `dim` (a dimension of `shape`) of a
 * place whose strides are given, in register form. */
Reg kernel_load(Emit *e, const Place *p, const int64_t *stride, int rank, int lanes, int active, int dim,
                const Index *idx);
/* Plane `plane` (0: the least significant) of the codes v (bytes): a vector of i1. */
Reg kernel_plane(Emit *e, const Bits *b, Reg v, int plane);
/* Stores the first `active` lanes of a vector of i1 as bits at an address, and zeros behind them up to `room` bits: a
 * multiple of 8, at least the power of two that `active` fits. */
void kernel_store_bits(Emit *e, Reg set, Reg at, int active, int room);
/* kernel_finish where out[0].bits says that the codes are stored as bit-planes. */
void kernel_finish_bits(KernelEmit *k, Reg v, int active, int dim, const Index *idx);
/* True if the epilogue keeps f32 in f32 out, or there is none. */
bool node_epilogue_plain(const Node *n);

#endif
