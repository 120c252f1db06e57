/* Element-wise programs: the meaning of every element-wise operator, of fused chains, and of the epilogues of other
 * operators. One definition serves the evaluator (expr_run) and the code generator. exp, log, tanh, erf and the like
 * are not instructions but programs over them (expr_math.h): own polynomials, the same bits on every machine. */
#ifndef QCC_IR_EXPR_H
#define QCC_IR_EXPR_H

#include "ir/ir.h"

typedef enum XOp {
#define XINST(symbol, text, n, result) X_##symbol,
#include "ir/expr.def"
#undef XINST
    X_OP_COUNT
} XOp;

typedef struct XOpInfo {
    const char *name; /* "add" */
    int n;            /* operands */
    char result;      /* a column of the table */
} XOpInfo;
extern const XOpInfo x_op_info[X_OP_COUNT];

/* One instruction; a, b, c are indices of earlier ones. */
typedef struct XInst {
    XOp op;
    Elem elem; /* of the result */
    int a, b, c;
    union {
        double f;  /* constants of float type, a value of that type */
        int64_t i; /* constants of integer and bool type (u64 by its bits); the input's number */
    } k;
} XInst;

/* The result is the last instruction. */
struct Expr {
    int n, n_in;
    const XInst *inst;
};

/* ---- building ------------------------------------------------------------------------------------------------ */

typedef int X; /* index of an instruction */
typedef struct ExprBuilder {
    Arena *arena;
    VEC(XInst) inst;
    int *table; /* hash of the instructions, to find equal ones; -1 empty */
    size_t table_cap;
} ExprBuilder; /* all zero but the arena: empty */

X x_in(ExprBuilder *b, int input, Elem elem);
X x_const(ExprBuilder *b, Elem elem, double v);
X x_const_int(ExprBuilder *b, Elem elem, int64_t v);
/* Equal instructions are shared, those over constants computed, and identities that hold for every bit applied; so
 * what comes back need not be the last instruction. Operand types must fit the table (bug() otherwise). */
X x_1(ExprBuilder *b, XOp op, X p);
X x_2(ExprBuilder *b, XOp op, X p, X q);
X x_select(ExprBuilder *b, X cond, X p, X q);
/* p itself if of that type. Half types go through f32, where f64 is rounded so that the half is the nearest one. */
X x_cast(ExprBuilder *b, Elem to, X p);
X x_bitcast(ExprBuilder *b, Elem to, X p);
static inline Elem x_elem(const ExprBuilder *b, X p) { return b->inst.at[p].elem; }
/* The same for an instruction that was read from a file: why it cannot stand here, or NULL; and adding it then. */
const char *x_check(const ExprBuilder *b, const XInst *i);
X x_add(ExprBuilder *b, XInst i);
/* Appends program `e` with its inputs replaced by args; returns its result. */
X x_inline(ExprBuilder *b, const Expr *e, const X *args);
/* Ends the program with `result` as its last instruction; drops what it does not need. */
const Expr *x_finish(ExprBuilder *b, X result, int n_in);

/* ---- using --------------------------------------------------------------------------------------------------- */

/* Runs the program over n elements: in[k] points to n elements of input k's type, dense; out to n of the result's. */
void expr_run(const Expr *e, int64_t n, const void *const *in, void *out);
bool expr_equal(const Expr *p, const Expr *q);
bool expr_reads(const Expr *e, int input);
/* The program of a node of kind EXPR, with the operands' types as inferred: inputs are the node's present operands.
 * Those that are constant and of one value stand in it as constants and are not read. */
const Expr *expr_of_node(Arena *a, const Node *n);

#endif
