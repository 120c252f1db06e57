/* The interface between a compiled model and the program that calls it. Freestanding C99 and C++; no allocation, no
 * stdio, no global state: every buffer is the caller's.
 *
 * A model NAME gives (in its generated header):
 *   NAME_WORK_BYTES(workers)   bytes of the work area; NAME_PREP_BYTES of the prepared weights, may be 0
 *   NAME_prepare(prep)         once per process; afterwards `prep` is read-only and may be shared between threads
 *   NAME_run(in, out, n, prep, work, exec)
 *   NAME_qcc_model             this file's qcc_model, for tools
 * Buffers are aligned to QCC_ALIGN bytes unless the header says otherwise; tensors are dense, row-major. */
#ifndef QCC_QCC_H
#define QCC_QCC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define QCC_ABI_VERSION 2
#define QCC_ALIGN 64

typedef enum qcc_elem {
#define ELEM(symbol, number, name, bits, kind) QCC_##symbol = number,
#include "qcc/elem.def"
#undef ELEM
    QCC_ELEM_END = 32
} qcc_elem;

/* What NAME_run returns. */
typedef enum qcc_status {
    QCC_OK = 0,
    QCC_BAD_BATCH = 1,   /* n is 0 or above the compiled batch */
    QCC_BAD_POINTER = 2, /* a required buffer is NULL */
} qcc_status;

typedef void qcc_task(void *arg, size_t i, unsigned worker);

/* How the caller runs n independent tasks: parallel_for calls task(arg, i, worker) once for every i < n, in any order
 * and on any threads, worker < workers being different for calls that overlap, and returns when all are done. Running
 * them serially with worker 0 is allowed. */
typedef struct qcc_exec {
    unsigned workers;
    void *ctx;
    void (*parallel_for)(void *ctx, size_t n, qcc_task *task, void *arg);
} qcc_exec;

/* A graph input or output. */
typedef struct qcc_port {
    const char *name;
    uint32_t elem; /* qcc_elem */
    uint32_t rank;
    const int64_t *dims; /* of one sample: of a batched model, without the factor n on the first dimension */
    uint64_t bytes;      /* of one sample */
} qcc_port;

/* What a step is given: the caller's buffers, for one sample. */
typedef struct qcc_frame {
    const void *const *inputs;
    void *const *outputs;
    const void *prep;
    void *work;
} qcc_frame;

typedef enum qcc_space { QCC_SPACE_INPUT, QCC_SPACE_OUTPUT, QCC_SPACE_WORK } qcc_space;

/* Where a value lies after the step that made it, for tools that look inside: element (i0, i1, ...) is at
 * base + offset + sum(i_k * strides[k]) bytes. Where planes is not 0 the elements are codes low + step * c whose c are
 * stored by their bits, in words of 32 bits that stand in place of the elements of dimension axis, each plane's words
 * after those of the plane above: bit j of c of element i is bit i % 32 of word (planes - 1 - j) * ceil(dims[axis] /
 * 32) + i / 32. */
typedef struct qcc_slot {
    const char *name; /* of the ONNX tensor */
    uint32_t elem, rank;
    const int64_t *dims, *strides;
    uint32_t space, port; /* port: index of the input or output */
    uint64_t offset;
    uint32_t value;   /* its number in the graph that was compiled: the same each time that is done in the same way */
    uint32_t bits;    /* that tell its values apart, as far as is proved: at most those of elem */
    const char *code; /* integers: what they are, as "0..3" */
    uint32_t planes, axis;
    int64_t low, step;
} qcc_slot;

/* A constant that a step reads. */
typedef struct qcc_constant {
    const char *name; /* of the ONNX tensor, or empty */
    uint64_t elements;
    uint32_t elem, bits; /* qcc_elem; bits that tell the values of one apart */
    const char *code;    /* integers: the values, as "{-1,1}" */
    uint64_t bytes;      /* in the file */
    uint64_t prep_bytes; /* as NAME_prepare writes it out; 0: it is read as it lies */
} qcc_constant;

typedef struct qcc_step {
    const char *kernel;       /* the specification name of the kernel, as w1a2_conv_4x64_ladder__avx512_vnni */
    const char *const *nodes; /* ONNX names (or op types) of the nodes that it computes; NULL at the end */
    qcc_task *task;           /* arg is a const qcc_frame * */
    uint64_t n_tasks;
    uint64_t macs;         /* multiply-accumulates of one run */
    uint64_t bit_ops;      /* those of integers, times the bits of both factors */
    uint64_t bytes;        /* read and written at least once: inputs, outputs, weights */
    const qcc_slot *slots; /* what it writes */
    const qcc_constant *constants;
    uint32_t n_slots, n_constants;
} qcc_step;

typedef struct qcc_model {
    uint32_t abi_version, flags; /* bit 0: some step calls a reference kernel */
    const char *name, *qcc_version, *source_sha256, *options, *target;
    uint32_t n_inputs, n_outputs, n_steps, max_batch;
    const qcc_port *inputs, *outputs;
    const qcc_step *steps;                                        /* NULL with --no-steps */
    uint64_t weight_bytes, prep_bytes, work_bytes, scratch_bytes; /* work area = work_bytes + workers * scratch_bytes */
    int (*prepare)(void *prep);
    int (*run)(const void *const *inputs, void *const *outputs, size_t n, const void *prep, void *work,
               const qcc_exec *exec);
} qcc_model;
#define QCC_MODEL_FALLBACK 1u

#ifdef __cplusplus
}
#endif
#endif
