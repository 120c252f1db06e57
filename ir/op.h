/* The operator table, and what an operator's file provides.
 *
 * A row of ir/op.def:  OP(Name, KIND, "signature", "attributes", "limits")
 *
 * signature: "X:T W:T B:T? shape:I! rest:T* -> Y:T; T=float I=i64" names each operand and output with a type variable.
 *   ?  optional    !  must be known at compile time    *  any number (last operand or output; at least one, with ?
 *   none too). The variable '_' is any type, each operand by itself. After ';' each variable's element types: any num
 * float int sint uint bool index (i32 or i64) or names of types, joined by '|' (f32|i64). Types of less than 8 bits are
 * in `any` only. Operands with one variable must agree in type. An output takes its variable's type where an operand
 * bound it or the variable allows but one; others are typed by the infer function. attributes: "axis:i=1 pads:I
 * auto_pad:s=NOTSET mode:s! body:g!" with kinds i f s t g, and I F S for lists; '=' gives the default, '!' marks what
 * must be given, nothing else means absent without a default. limits: what is not supported, in a few words, for
 * --print-supported-ops; "" if all of the operator is.
 *
 * Kinds, and the functions that a row demands of ir/ops/ (a missing one is a link error):
 *   EXPR     void expr_NAME(ExprOp *)                      element-wise with broadcasting; shape and type follow
 *   EXPAND   bool infer_NAME(Infer *), void expand_NAME(Expand *)   rewritten into other operators before code
 * generation REF      bool infer_NAME(Infer *), void pack_NAME(Pack *), int ref_NAME(const RefArgs *)     a kernel of
 * its own CONTROL  bool infer_NAME(Infer *)                      resolved by the passes; never evaluated
 */
#ifndef QCC_IR_OP_H
#define QCC_IR_OP_H

#include "ir/expr.h"
#include "ir/ir.h"
#include "runtime/ref/ref.h"

typedef enum OpKind { OP_EXPR, OP_EXPAND, OP_REF, OP_CONTROL } OpKind;

typedef struct OpOperand {
    const char *name;
    char var; /* type variable */
    bool optional, constant, variadic;
} OpOperand;

typedef struct OpAttr {
    const char *name;
    AttrKind kind;
    bool required, has_default;
    Attr value; /* the default */
} OpAttr;

/* What an infer function works on. Before it is called: arity, attribute names, kinds and required ones, operand types
 * against the signature, and the constness of '!' operands have been checked, and outputs whose variable is bound have
 * their element type. It must set the shape (and type where unbound) of every wanted output. */
typedef struct Infer {
    Arena *arena; /* the graph's */
    Diags *diags;
    Node *node;
} Infer;

/* What an expr function works on: in[i] are the operands (-1 where absent), already widened to f32 if of a half type.
 */
typedef struct ExprOp {
    ExprBuilder *b;
    const Node *node;
    int n_in;
    const X *in;
    Elem elem; /* of operand 0 as the graph has it, before widening */
    X result;  /* to be set. An f32 is narrowed if the output's type variable is bound to a half type by an operand */
    struct ExprFault *fault; /* set by expr_refuse */
} ExprOp;
static inline bool has_arg(const ExprOp *o, int i) { return i < o->n_in && o->in[i] >= 0; }

/* Why an operator refuses a node of right types: an attribute's value, or shapes that only broadcast one way. */
typedef struct ExprFault {
    DiagId id;
    int operand;      /* the wrong one, -1: none */
    const char *text; /* NULL: no fault */
} ExprFault;
/* `result` may then stay unset. */
void expr_refuse(ExprOp *o, DiagId id, int operand, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* As expr_of_node; NULL with *fault filled if the operator refuses the node. */
const Expr *expr_try_node(Arena *a, const Node *n, ExprFault *fault);

/* What a pack function fills: the parameters of ref_NAME. */
typedef struct Pack {
    const Node *node;
    Arena *arena;
    VEC(int64_t) ints;
    VEC(double) floats;
} Pack;
void pack_int(Pack *p, int64_t v);
void pack_ints(Pack *p, int64_t n, const int64_t *v);
void pack_float(Pack *p, double v);

/* What an expand function works on: it builds nodes before `node` with the helpers below and calls expand_result for
 * each wanted output. Where an intermediate tensor would be too large, expand_node does not return (node_expand does).
 */
typedef struct Expand {
    Graph *graph;
    Node *node;
    Diags *diags;
    jmp_buf refused;
} Expand;
/* A node of one output in front of the one being expanded, with its location, types inferred at once. Attributes are
 * given as in op.def's text: "axes=1,2 keepdims=0 mode=linear" (NULL: none). */
Value *expand_node(Expand *e, OpId op, const char *attrs, int n_in, Value *const *in);
#define EXPAND(e, op, attrs, ...) \
    expand_node((e), OP_##op, (attrs), (int)COUNT_OF(((Value *[]){__VA_ARGS__})), (Value *[]){__VA_ARGS__})
Value *expand_ints(Expand *e, int64_t n, const int64_t *v); /* constant, rank 1, i64 */
Value *expand_int(Expand *e, int64_t v);                    /* the same with one element */
Value *expand_scalar(Expand *e, Elem elem, double v);       /* constant, rank 0 */
void expand_result(Expand *e, int output, Value *v);

typedef struct OpDef {
    const char *name, *limits;
    OpKind kind;
    int n_in, n_out; /* declared, a variadic one counted once */
    int min_in, min_out;
    const OpOperand *in, *out;
    int n_attr;
    const OpAttr *attr;
    uint32_t types[26]; /* of variable 'A'+i: bit set of Elem; 0 = not declared */
    bool (*infer)(Infer *);
    void (*expr)(ExprOp *);
    void (*expand)(Expand *);
    void (*pack)(Pack *);
    RefFn *ref;
    const char *ref_symbol; /* "ref_Conv", for the code generator's fallback call */
} OpDef;

const OpDef *op_def(OpId op);   /* parsed from the table at first use */
OpId op_find(const char *name); /* OP_NONE if there is none */
/* True for operators whose result follows from their operands' types alone (Shape, Size, EyeLike): they can be expanded
 * into a constant whatever their operands are. */
bool op_is_static(OpId op);
/* True for operators whose results hold elements of operand 0 and nothing else (Transpose, Slice, Tile): of a splat
 * they make splats. */
bool op_only_moves(OpId op);

/* Sets attributes as expand_node gives them: "axes=1,2 keepdims=0 mode=linear". Unknown ones are a bug(). */
void node_set_attrs_text(Node *n, const char *text);

/* Checks the node against its schema, then infers its outputs' types. False after diagnostics. */
bool node_infer(Diags *d, Node *n);
/* Packs the reference kernel's parameters of a REF node. */
void node_pack(Arena *a, const Node *n, Pack *out);
/* Rewrites an EXPAND node in place: its results replace its outputs and it is erased. */
bool node_expand(Diags *d, Node *n);

/* ---- helpers for infer functions ------------------------------------------------------------------------------- */

/* The operands of the operator itself, without those of an epilogue. */
static inline int own_in(const Node *n) { return n->expr && n->op != OP_Map ? n->epilogue_in : n->n_in; }
static inline bool has_in(const Node *n, int i) { return i < own_in(n) && n->in[i]; }
static inline bool has_out(const Node *n, int i) { return i < n->n_out && n->out[i]; }
static inline const Shape *in_shape(const Node *n, int i) { return &n->in[i]->type.shape; }
static inline Elem in_elem(const Node *n, int i) { return n->in[i]->type.elem; }
/* Data of operand i if it is a constant, else NULL. */
static inline const Tensor *in_const(const Node *n, int i) { return has_in(n, i) ? n->in[i]->constant : NULL; }
void set_out(Infer *c, int output, Elem elem, const Shape *s); /* elem 0: leave as bound; skips absent outputs */
/* Adds an error with all operands' types as notes, operand `wrong` marked (-1: none); returns false. */
bool infer_error(Infer *c, DiagId id, int wrong, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* Names of the graph inputs that a value is computed from, the first few, as "'a', 'b'"; "" if there are none. */
const char *value_sources(Arena *a, const Value *v);
/* Brings an axis in [-rank, rank) to [0, rank); false after an error. */
bool infer_axis(Infer *c, int64_t axis, int rank, int *out);
/* The same for a list, refusing repeats; axes in the order given. */
bool infer_axes(Infer *c, int64_t n, const int64_t *axes, int rank, int *out);
/* The n integers of an attribute, each from `least` to INT32_MAX, or n times `absent`; false after an error. */
bool infer_list(Infer *c, const char *name, int n, int64_t least, int64_t absent, int64_t *out);

/* ---- what the operators' files define -------------------------------------------------------------------------- */

#define DECLARE_EXPR(name) void expr_##name(ExprOp *);
#define DECLARE_EXPAND(name)    \
    bool infer_##name(Infer *); \
    void expand_##name(Expand *);
#define DECLARE_REF(name)       \
    bool infer_##name(Infer *); \
    void pack_##name(Pack *);   \
    RefFn ref_##name;
#define DECLARE_CONTROL(name) bool infer_##name(Infer *);
#define OP(name, kind, signature, attrs, limits) DECLARE_##kind(name)
#include "ir/op.def"
#undef OP

#endif
