/* A graph on its way to code: what lies where, which kernel computes what, in which order. Private to codegen/. The
 * stages, each a file: lower (only core operators are left), select (a kernel for each node), layout (a place for each
 * value), plan (offsets in the work area), module (code), descriptor (what tools read). */
#ifndef QCC_CODEGEN_PROGRAM_H
#define QCC_CODEGEN_PROGRAM_H

#include "codegen/codegen.h"
#include "codegen/kernel.h"

typedef enum Space { SPACE_INPUT, SPACE_OUTPUT, SPACE_WORK, SPACE_WEIGHTS } Space;

/* Memory that one or more values share: a value of its own, or a concatenation and its parts. */
typedef struct Buffer {
    Space space;
    int port;           /* of SPACE_INPUT and SPACE_OUTPUT */
    int64_t bytes;      /* whole, halo included */
    int64_t offset;     /* in the work area or the weights; set by plan */
    int first, last;    /* steps between which it is alive; first > last: never */
    const Value *owner; /* the value that it was made for */
    bool halo;          /* has one: the first step that writes it fills it with zeros */
} Buffer;

/* Where a value lies: element (i0, ...) at buffer + offset + sum(i_k * stride[k]) bytes. */
typedef struct Storage {
    Buffer *buffer;
    int64_t offset, stride[MAX_RANK];
    int64_t halo_lo[MAX_RANK], halo_hi[MAX_RANK]; /* zeros around it that may be read, in elements */
} Storage;

/* A piece of the weights: raw data of a constant, or a pack. */
typedef struct Blob {
    const char *key;
    int64_t offset, bytes;
    void (*fill)(void *ctx, uint8_t *dst);
    void *ctx;
    const void *data;     /* instead of fill */
    const PackForm *form; /* what it is, made by NAME_prepare into prep_bytes; NULL: it is read as it lies */
    int64_t prep_offset, prep_bytes;
} Blob;

typedef struct Step {
    Node *node;
    const Kernel *kernel;
    KernelPlan plan;
    const char *name; /* with "__isa" */
    Blob **packs;     /* per plan.packs */
    Node *planes;     /* the QPack that output 0 is stored as, which is then no step; NULL: it is stored as it is */
    Bits bits;        /* what it is then */
    Reg fn;           /* set by emission */
    bool zero_halo;   /* this step writes first into its output's buffer, which has a halo */
} Step;

typedef struct Program {
    Arena *arena;
    Diags *diags;
    Graph *graph;
    const CodegenOptions *options;
    const Target *target;
    struct Ranges *ranges; /* of the lowered graph */
    Map chosen;            /* Node -> Step, before they are put in order */
    Map storages;          /* Value -> Storage */
    Map copies;            /* nodes that layout put in */
    VEC(Buffer *) buffers; /* of the work area */
    VEC(Step *) steps;
    VEC(Blob *) blobs;
    Map blob_keys;
    int64_t weight_bytes, prep_bytes, work_bytes, scratch_bytes;
    bool fallback; /* some step calls a reference kernel */
    Emit *em;
} Program;

bool lower_run(Program *p); /* false after diagnostics */
void bits_run(Program *p);  /* makes integer products bit-serial where the target does them faster so */
/* While kernels are selected: true if `n` is a QPack whose operand's kernel shall store the bit-planes itself. */
bool bits_absorbed(Program *p, Node *n);
/* Makes the epilogue of `n` a Map behind it. */
void node_unfuse(Program *p, Node *n);
bool select_run(Program *p); /* chooses kernels for all nodes that compute */
Step *select_node(Program *p, Node *n);
bool layout_run(Program *p); /* places values, inserts copies, puts the steps in order */
void plan_run(Program *p);
const Storage *storage_of(const Program *p, const Value *v);
Blob *blob_add(Program *p, const char *key, int64_t bytes, void (*fill)(void *ctx, uint8_t *dst), void *ctx,
               const void *data);

/* The pack in the smaller form that it has, or as codes of few bits where it has few values, if that pays; else NULL.
 * `pack` must outlive the program. */
Blob *blob_crushed(Program *p, const char *key, const ConstPack *pack);
void crushed_emit(Program *p, Reg weights, Reg prep); /* writes all of them out */

/* new_value takes the place of old, which has the same elements: its uses, its name and its number, by which tools find
 * values of the graph that was compiled again. */
void value_succeed(Value *old, Value *new_value);

bool node_is_view(const Node *n); /* Reshape, Transpose, Slice, Expand, Concat: no step, only addresses */
/* Places the outputs of view `n` on its operand's storage; false where strides cannot say it (some reshapes). */
bool view_forward(const Node *n, const Storage *in, Storage *out);
/* The other way: where must operand 0 lie so that the output lies at `out`? False where there is no such place. */
bool view_backward(const Node *n, const Storage *out, Storage *in);
/* The part of a concatenation's or padding's storage that belongs to one operand. */
Storage view_part(const Node *n, const Storage *whole, int operand);
/* Dense strides in bytes for dimensions taken from outer to inner as in `order` (rank entries). */
void dense_strides(const Type *t, const int *order, int64_t stride[MAX_RANK]);

/* Emits all steps and the model's symbols into p->em; the weights as LLVM data or only declared. */
void module_emit(Program *p, bool weights_inside);
void descriptor_emit(Program *p, Reg prepare, Reg run); /* the symbol NAME_qcc_model */
const char *step_node_name(const Step *s);
int64_t step_bytes(const Step *s); /* read and written at least once */
const char *weights_symbol(const Program *p);
void blob_write(const Blob *b, uint8_t *dst); /* dst is zeroed */
/* Weights as an object of our own making: large ones never pass through LLVM. False after a diagnostic. */
bool weights_write(Program *p, const char *path);
/* Makes `output` from objects: a shared library (EMIT_LIB) or one object (EMIT_OBJ). False after a diagnostic. */
bool link_run(Program *p, EmitKind kind, const char *const *inputs, int n, const char *output);
bool header_write(Program *p, const char *path);

#endif
