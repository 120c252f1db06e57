/* From a node to its program: what all element-wise operators share. Operands of half precision are computed in f32 and
 * the result is rounded back once. */
#include "ir/op.h"

static bool is_half(Elem e) { return e == QCC_F16 || e == QCC_BF16; }

void expr_refuse(ExprOp *o, DiagId id, int operand, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    *o->fault = (ExprFault){id, operand, arena_vprintf(o->b->arena, fmt, ap)};
    va_end(ap);
}

/* The one value of an operand that is constant: in the program it is a constant too, so that it can be reckoned with
 * (a power of 2 becomes a product). */
static X load_constant(ExprBuilder *b, const Tensor *t) {
    Elem elem = t->type.elem;
    return elem_is_float(elem) ? x_const(b, elem, tensor_get(t, 0)) : x_const_int(b, elem, tensor_get_int(t, 0));
}

static X load_operand(ExprBuilder *b, const Value *v, int input) {
    bool one = v->constant && (v->constant->splat || shape_count(&v->type.shape) == 1);
    return one ? load_constant(b, v->constant) : x_in(b, input, v->type.elem);
}

/* The inputs of the program are the present operands in order. Returns their number. */
static int load_operands(ExprBuilder *b, const Node *n, X *in) {
    int n_in = 0;
    for (int i = 0; i < n->n_in; i++) {
        in[i] = -1;
        if (!n->in[i]) continue;
        in[i] = load_operand(b, n->in[i], n_in++);
        if (is_half(in_elem(n, i))) in[i] = x_cast(b, QCC_F32, in[i]);
    }
    return n_in;
}

/* The element type of the operand that binds the output's type variable; 0 if none does. */
static Elem bound_type(const Node *n) {
    const OpDef *def = op_def(n->op);
    for (int i = 0; i < n->n_in && def->out[0].var != '_'; i++) {
        if (n->in[i] && def->in[i < def->n_in ? i : def->n_in - 1].var == def->out[0].var) return in_elem(n, i);
    }
    return (Elem)0;
}

const Expr *expr_try_node(Arena *a, const Node *n, ExprFault *fault) {
    if (n->expr) return n->expr;
    ExprBuilder b = {.arena = a};
    X *in = NEW_ARRAY(a, X, n->n_in);
    int n_in = load_operands(&b, n, in);
    ExprOp o = {.b = &b, .node = n, .n_in = n->n_in, .in = in, .elem = in_elem(n, 0), .result = -1, .fault = fault};
    fault->text = NULL;
    op_def(n->op)->expr(&o);
    if (fault->text) return NULL;
    Elem bound = bound_type(n);
    if (is_half(bound) && x_elem(&b, o.result) == QCC_F32) o.result = x_cast(&b, bound, o.result);
    return x_finish(&b, o.result, n_in);
}

const Expr *expr_of_node(Arena *a, const Node *n) {
    ExprFault fault = {.text = NULL};
    const Expr *e = expr_try_node(a, n, &fault);
    if (!e) bug("expr_of_node: %s, which was inferred, is refused: %s", op_def(n->op)->name, fault.text);
    return e;
}
