/* The parts of the importer among themselves.
 *
 * A model is walked once, node by node in the file's order. Each node becomes a Draft, is brought to the newest
 * operator set (upgrade.def), built, inferred, and folded if its operands are constants; so when a node is met, the
 * types of its operands are complete and the shapes that the graph computes are already constants. Functions and
 * control flow are resolved on the way: their bodies are walked in place. */
#ifndef QCC_FRONTEND_IMPORT_H
#define QCC_FRONTEND_IMPORT_H

#include "frontend/frontend.h"
#include "frontend/tensor.h"
#include "ir/op.h"

enum {
    OPSET_NEWEST = 28,
    MAX_STEPS = 100000,    /* nodes that inlining and unrolling may add */
    MAX_ITERATIONS = 4096, /* of one loop */
    MAX_CALL_DEPTH = 64,   /* functions within functions, bodies within bodies */
    MAX_ATTRS = 1000,      /* of one node */
    MAX_PORTS = 10000,     /* inputs of a graph, and outputs */
    MAX_OPSETS = 1000      /* that a model or a function imports */
};

/* An operator that is not supported, and the nodes that use it. */
typedef struct Missing {
    const char *domain, *op, *why; /* why: NULL where there is no more to say */
    Loc first;
    size_t count;
    VEC(const char *) nodes; /* the first few */
} Missing;

typedef struct Import {
    Arena *arena; /* the graph's */
    Diags *d;
    const char *file;
    const ImportOptions *o;
    const Onnx__ModelProto *model;
    TensorSource source;
    Map tensors; /* TensorProto -> Tensor: bodies are walked more than once */
    Graph *g;
    Map functions; /* "domain:name:overload" -> FunctionProto */
    VEC(Missing *) missing;
    Map missing_keys; /* "domain\nop" -> Missing */
    Value poison;     /* stands for what could not be made; what uses it is passed over in silence */
    Value absent;     /* stands, under a name, for an optional operand that is not there */
    int depth;
    int64_t steps;    /* nodes added by inlining and unrolling */
    double fold_work; /* rough operations and bytes spent on folding so far */
} Import;

/* A call of a model-local function that is being inlined. */
typedef struct Call {
    const struct Call *outer;
    const Onnx__FunctionProto *function;
    Map attrs; /* name -> AttributeProto, those given and those with defaults */
} Call;

/* The names visible in one graph, body or function. */
typedef struct Scope {
    const struct Scope *outer; /* whose names are visible too; NULL for the main graph and for functions */
    const Call *call;          /* NULL outside of functions */
    const char *prefix;        /* of node names: where the body is walked, "" or "loop/3/" */
    Map values;                /* name -> Value */
    size_t n_nodes;            /* of the list being walked: tells a name used too early from an unknown one */
    Onnx__NodeProto **nodes;
} Scope;

/* A node on its way from the file into the graph. */
typedef struct Foreign Foreign;
typedef struct Draft {
    Import *imp;
    const char *op;
    const Foreign *foreign; /* the row of an operator of another domain; NULL for ONNX's own */
    int64_t opset;          /* of its domain; upgrades read it */
    Loc loc;
    VEC(Value *) in; /* NULL where absent */
    VEC(Attr) attr;
    int n_out;
    Value **out; /* n_out results, NULL until made; preset ones (by an upgrade) are kept */
    bool *wanted;
    bool done; /* an upgrade has made all wanted results itself */
} Draft;

/* ---- import.c ---- */
Value *import_poison(Import *imp);
static inline bool is_poison(const Import *imp, const Value *v) { return v == &imp->poison; }
const Tensor *import_tensor(Import *imp, const Onnx__TensorProto *p, Loc loc);
/* Type of a graph input, output or value_info. dims that are not static are -1, their names in `names`. False after a
 * diagnostic. */
typedef struct Declared {
    bool has_shape;
    Elem elem;
    Shape shape;
    const char *names[MAX_RANK]; /* NULL where static; "" where unnamed */
} Declared;
bool declared_type(Import *imp, Loc loc, const char *what, const Onnx__TypeProto *t, Declared *out);

/* ---- walk.c ---- */
/* Walks the nodes in order, making values in `s`. */
void walk_nodes(Import *imp, Scope *s, size_t n, Onnx__NodeProto **nodes);
void walk_initializers(Import *imp, Scope *s, const Onnx__GraphProto *g);
/* A sub-graph with its inputs bound; out[i] is the value of its i-th output, never NULL. */
void walk_body(Import *imp, Scope *s, const Onnx__GraphProto *g, Value *const *in, Value **out);
Value *scope_find(const Scope *s, const char *name);
/* Binds a new name; a second value of that name is an error. */
void scope_bind(Import *imp, Scope *s, Loc loc, const char *name, Value *v);
/* Counts steps of inlining and unrolling; false after a diagnostic where there are too many. */
bool walk_step(Import *imp, Loc loc);

/* ---- draft.c: one node ---- */
Draft *draft_new(Import *imp, const char *op, int64_t opset, Loc loc, int n_out);
/* Upgrades, builds, infers and folds. False after diagnostics; results are poison then. */
bool draft_build(Draft *d);
const Attr *draft_attr(const Draft *d, const char *name);
int64_t draft_int(const Draft *d, const char *name, int64_t otherwise);
void draft_drop(Draft *d, const char *name);
void draft_put(Draft *d, Attr attr); /* replaces one of that name */
void draft_put_int(Draft *d, const char *name, int64_t v);
void draft_put_string(Draft *d, const char *name, const char *v);
void draft_set_in(Draft *d, size_t i, Value *v); /* grows with absent operands */
static inline Value *draft_in(const Draft *d, size_t i) { return i < d->in.n ? d->in.at[i] : NULL; }
Value *draft_const_ints(const Draft *d, size_t n, const int64_t *v);
Value *draft_const_floats(const Draft *d, Elem elem, int rank, size_t n, const double *v); /* rank 0 or 1 */
/* A node of the newest operator set with one result, in front. `attrs` may be empty. */
Value *draft_emit(const Draft *d, const char *op, size_t n_in, Value *const *in, size_t n_attr, const Attr *attrs);
bool draft_error(Draft *d, DiagId id, const char *fmt, ...) PRINTF_LIKE(3, 4);
static inline Attr attr_int(const char *name, int64_t v) { return (Attr){.name = name, .kind = ATTR_INT, .i = v}; }

/* ---- foreign.c ---- */
/* The name by which a domain goes here: of several spellings one; of ONNX's own "". */
const char *domain_short(const char *domain);
/* The row of foreign.def; NULL if there is none. `domain` as domain_short gives it. */
const Foreign *foreign_find(const char *domain, const char *op);
/* The domain in which files write an operator of ir/op.def that is another's; NULL for ONNX's and our own. */
const char *foreign_home(const char *op);
/* Why the operator is not supported, and what would be; NULL if it is, or nothing is known of it. */
const char *foreign_refusal(const Foreign *f);
/* Rewrites a draft of another domain to ONNX's newest set; true for others. False after a diagnostic. */
bool draft_localize(Draft *d);

/* ---- annotation.c ---- */
/* Takes attributes that note widths out of the draft of an operator that lacks them, and checks them. */
void draft_check_widths(Draft *d, const OpDef *def);
/* The types noted for tensors. */
void check_annotations(Import *imp, const Scope *s);
/* A name such as INT4, BIPOLAR or FLOAT32. */
bool datatype_known(const char *name);
/* False if the type of numbers does not hold both; true where its name is not known. */
bool datatype_admits(const char *name, double low, double high);

/* ---- doubt.c ---- */
/* Warns of doubtful parameters of a node that has been inferred. */
void doubt_node(Import *imp, const Node *n);

/* ---- upgrade.c ---- */
/* Brings the draft to the newest operator set by the rows of upgrade.def. False after a diagnostic. */
bool draft_upgrade(Draft *d);
/* True for operators that exist in older sets only, and that a row of upgrade.def rewrites. */
bool upgrade_knows(const char *op);

/* ---- attr.c ---- */
/* Attributes of a node, references to the function's resolved. False after a diagnostic. */
bool attrs_import(Import *imp, const Scope *s, const Onnx__NodeProto *n, Loc loc, Draft *out);
/* The attribute as the node has it, a reference to the function's resolved; NULL if absent. */
const Onnx__AttributeProto *attr_find(const Scope *s, const Onnx__NodeProto *n, const char *name);
const Onnx__AttributeProto *attr_resolve(const Scope *s, const Onnx__AttributeProto *p);

/* ---- fold.c ---- */
/* If the node's results can be known now, replaces it by constants in `out`. True if it did or had nothing to do; false
 * after a diagnostic. The node may be gone afterwards. */
bool fold_node(Import *imp, Node *n, Value **out);

/* ---- function.c ---- */
void functions_collect(Import *imp);
const Onnx__FunctionProto *function_find(Import *imp, const Onnx__NodeProto *n);
void function_inline(Import *imp, Scope *s, const Onnx__NodeProto *n, const Onnx__FunctionProto *f, Loc loc,
                     Value *const *in, Value **out);
bool check_opset_count(Import *imp, size_t n); /* false after a diagnostic: too many are imported */
/* The version of a domain in the scope; 0 if it is not imported. */
int64_t opset_version(Import *imp, const Scope *s, const char *domain);

/* ---- control.c ---- */
typedef void ControlFn(Import *imp, Scope *s, const Onnx__NodeProto *n, Loc loc, Value *const *in, Value **out);
/* What resolves If, Loop and Scan; NULL for other operators. */
ControlFn *control_find(const char *op);

#endif
