/* The IR: a network as SSA over tensors.
 *
 * A Graph is a list of Nodes in topological order over Values. Everything lives in the graph's arena. Types are
 * complete after import: an element type and static dimensions. Constants are Values with data. The operators are
 * ONNX's of the newest operator set (ir/op.def) and a few of our own that carry a name beginning with a capital Q or
 * the name Map. The text form is specified in docs/ir.md. */
#ifndef QCC_IR_IR_H
#define QCC_IR_IR_H

#include "base/base.h"
#include "base/diag.h"
#include "qcc/qcc.h"

/* ---- types --------------------------------------------------------------------------------------------------- */

enum { MAX_RANK = 8 };

typedef qcc_elem Elem; /* QCC_F32, ...; 0 = not known */
typedef enum ElemKind { ELEM_F, ELEM_I, ELEM_U, ELEM_B } ElemKind;

typedef struct ElemInfo {
    const char *name; /* "f32"; NULL for numbers that are no element type */
    int bits;
    ElemKind kind;
} ElemInfo;
extern const ElemInfo elem_info[QCC_ELEM_END]; /* indexed by Elem */

bool elem_known(int64_t number);
int elem_bytes(Elem e); /* in the compiler's memory: at least 1 */
static inline bool elem_is_float(Elem e) { return elem_info[e].kind == ELEM_F; }
static inline bool elem_is_int(Elem e) { return elem_info[e].kind == ELEM_I || elem_info[e].kind == ELEM_U; }

typedef struct Shape {
    int rank;
    int64_t dim[MAX_RANK];
} Shape;

typedef struct Type {
    Elem elem;
    Shape shape;
} Type;

/* Number of elements; -1 if it or the byte size overflows MAX_TENSOR_BYTES. 0 for a tensor with an empty dimension. */
#define MAX_TENSOR_BYTES ((int64_t)1 << 40)
int64_t shape_count(const Shape *s);
int64_t type_bytes(const Type *t); /* -1 as above */
bool shape_equal(const Shape *a, const Shape *b);
bool type_equal(const Type *a, const Type *b);
Shape shape_of(int rank, const int64_t *dims);
/* Numpy broadcasting; false where it does not apply. */
bool shape_broadcast(const Shape *a, const Shape *b, Shape *out);
/* Row-major strides in elements. */
void shape_strides(const Shape *s, int64_t strides[MAX_RANK]);
/* "f32[1,3,8,8]" */
const char *type_str(Arena *a, const Type *t);
const char *shape_str(Arena *a, const Shape *s);

/* ---- tensors ------------------------------------------------------------------------------------------------- */

/* Data of a known type. A splat keeps one element for all. Data may lie in a mapped file and is never written once the
 * tensor is part of a graph. */
typedef struct Tensor {
    Type type;
    bool splat;
    const void *data;
} Tensor;

Tensor *tensor_new(Arena *a, Type type);                     /* zeroed dense data, to be filled through tensor_data */
Tensor *tensor_splat(Arena *a, Type type, const void *elem); /* copies one element */
Tensor *tensor_from_ints(Arena *a, Elem elem, Shape s, const int64_t *v);
Tensor *tensor_from_f32(Arena *a, Shape s, const float *v);
static inline void *tensor_data(Tensor *t) { return (void *)(uintptr_t)t->data; }
const Tensor *tensor_dense(Arena *a, const Tensor *t); /* itself, or the splat written out */
double tensor_get(const Tensor *t, int64_t i);         /* any element type; splats too */
int64_t tensor_get_int(const Tensor *t, int64_t i);
void tensor_set(Tensor *t, int64_t i, double v);
void tensor_set_int(Tensor *t, int64_t i, int64_t v);
/* All elements as int64, of a tensor of integer or bool type. */
int64_t *tensor_ints(Arena *a, const Tensor *t, int64_t *n);

/* ---- graph --------------------------------------------------------------------------------------------------- */

typedef struct Graph Graph;
typedef struct Node Node;
typedef struct Value Value;
typedef struct Expr Expr;

typedef struct Use {
    Node *node;
    int operand;
} Use;

struct Value {
    int id;           /* unique in its top-level graph, never reused */
    const char *name; /* of the ONNX tensor; "" where a pass made it. Names need not be unique in the IR */
    Type type;        /* elem 0 until inferred */
    Graph *graph;
    Node *def;              /* NULL for graph inputs and constants */
    int def_index;          /* among def's outputs, or among the graph's inputs */
    const Tensor *constant; /* NULL if not a constant */
    VEC(Use) uses;          /* by nodes; the graph's outputs are not in it */
};

typedef enum OpId {
    OP_NONE,
#define OP(name, kind, signature, attrs, limits) OP_##name,
#include "ir/op.def"
#undef OP
    OP_COUNT
} OpId;

typedef enum AttrKind {
    ATTR_INT,
    ATTR_FLOAT,
    ATTR_STRING,
    ATTR_INTS,
    ATTR_FLOATS,
    ATTR_STRINGS,
    ATTR_TENSOR,
    ATTR_GRAPH
} AttrKind;

typedef struct Attr {
    const char *name;
    AttrKind kind;
    int64_t i;
    double f; /* ONNX floats are f32; our own operators use all of it */
    const char *s;
    int64_t n; /* of the lists */
    const int64_t *ints;
    const double *floats;
    const char *const *strings;
    const Tensor *t;
    Graph *g;
} Attr;

struct Node {
    OpId op;
    Graph *graph;
    Node *prev, *next; /* topological order */
    Loc loc;
    int n_in, n_out;
    Value **in;  /* NULL where an optional operand is absent */
    Value **out; /* NULL where an optional output is not wanted */
    int n_attr;
    Attr *attr; /* those given; defaults are in the op table */
    /* Of Map: its program. Of other operators: an element-wise program on the result, fused behind it, whose input 0 is
     * the result and whose further inputs are the operands from `epilogue_in` on. NULL: none. */
    const Expr *expr;
    int epilogue_in; /* index in `in` of the first operand of the epilogue */
};

typedef struct GraphPort {
    const char *name; /* as the caller knows it */
    Value *value;
    const char *batch; /* name of the symbolic first dimension that was bound, or NULL */
} GraphPort;

struct Graph {
    Arena *arena;
    Graph *parent; /* of a control-flow body: the graph around it, whose values it may use */
    const char *name;
    Node *first, *last;
    VEC(GraphPort) inputs; /* run-time inputs only */
    VEC(GraphPort) outputs;
    int *next_id;          /* shared with bodies */
    bool has_bodies;       /* a body was made for one of its nodes, now or earlier */
    const char *source;    /* path, for reports */
    struct Report *report; /* what passes write down about layers (passes/report.h); NULL where nobody asks */
    char sha256[65];       /* of the source file */
};

Graph *graph_new(Arena *a, Graph *parent, const char *name);
Value *graph_input(Graph *g, const char *name, Type type);
void graph_output(Graph *g, const char *name, Value *v);
Value *graph_constant(Graph *g, const char *name, const Tensor *t);
Value *graph_const_ints(Graph *g, const char *name, int64_t n, const int64_t *v); /* rank-1 i64 */
Value *graph_const_f32(Graph *g, float v);                                        /* rank-0 */
/* Appends (before == NULL) or inserts a node. The outputs are new values of unknown type with empty names. */
Node *graph_node(Graph *g, Node *before, OpId op, Loc loc, int n_in, Value *const *in, int n_out);
/* All uses of `old`, graph outputs included (bodies too), become uses of `new`. The name moves if `new` has none. */
void graph_replace(Graph *g, Value *old, Value *new_value);
/* Removes a node (with its bodies) whose outputs have no uses (asserted). Its `next` stays readable. */
void graph_erase(Node *n);
void node_set_in(Node *n, int operand, Value *v);
void node_add_in(Node *n, Value *v);
bool value_is_output(const Value *v); /* of its graph or of a body in it */
/* Uses by nodes plus graph outputs. */
int value_use_count(const Value *v);
/* A copy of the whole graph in another arena, with the same ids. Names and the data of constants and attributes are
 * shared, so the original's memory must outlive the copy. */
Graph *graph_clone(Arena *a, const Graph *g);
/* Copies the nodes of `body` (a body of a graph around `g`, or a graph apart) into `g` before `before` (NULL: at the
 * end). args stand for its inputs; results[i] is what became of its output i. */
void graph_inline(Graph *g, Node *before, const Graph *body, Value *const *args, Value **results);

/* Attributes. Getters give the schema's default where the node has none and bug() on a name that the schema lacks. */
const Attr *node_attr(const Node *n, const char *name); /* NULL if not given on the node */
int64_t node_int(const Node *n, const char *name);
double node_float(const Node *n, const char *name);
const char *node_string(const Node *n, const char *name);
const int64_t *node_ints(const Node *n, const char *name, int *count); /* NULL, 0 if absent */
void node_set_int(Node *n, const char *name, int64_t v);
void node_set_float(Node *n, const char *name, double v);
void node_set_string(Node *n, const char *name, const char *v);
void node_set_ints(Node *n, const char *name, int64_t count, const int64_t *v);
void node_set_attr(Node *n, const Attr *a); /* any kind; the name and payload must outlive the graph */

/* ---- text, checking, evaluating -------------------------------------------------------------------------------- */

/* Constants above `max_bytes` (0 = all printed whole) are written as an opaque hash, for reading only. */
void graph_print(Text *t, const Graph *g, int64_t max_bytes);
/* NULL after diagnostics. */
Graph *graph_parse(Arena *a, Diags *d, const char *file, const char *text, size_t n);
/* Checks every invariant of this header and re-infers types; a violation is the compiler's fault: bug() with `stage`
 * and the graph's text. */
void graph_verify(const Graph *g, const char *stage);

/* Computes one node on given operands with the reference kernels; out[i] are new tensors in `a` (NULL for outputs not
 * wanted), dense but for element-wise nodes on nothing but splats and single elements and for moves of a splat, which
 * give a splat. False after a diagnostic (an index out of range, a division by zero). */
bool node_eval(Arena *a, Diags *d, const Node *n, const Tensor *const *in, Tensor **out);
/* What node_eval would take on the constants among its operands, roughly: memory for results and for splats that are
 * written out, and elements touched (some 10 ns each at worst). */
typedef struct EvalCost {
    int64_t bytes;
    double work;
} EvalCost;
EvalCost node_eval_cost(const Node *n);
/* Evaluates a whole graph without control flow. in: one per graph input, of its type; out[i]: new dense tensors in `a`.
 * `seen`, if not NULL, is called on every value computed; the tensor lives only as long as the graph still needs it. */
bool graph_eval(Arena *a, Diags *d, const Graph *g, const Tensor *const *in, Tensor **out,
                void (*seen)(void *ctx, const Value *v, const Tensor *t), void *ctx);

#endif
