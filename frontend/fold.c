/* Constant folding during import, so that the shapes which a graph computes are known when they are needed. It is
 * bounded: what is large or costly stays a node, for the compiled model or a later pass to compute. A splat stays one.
 */
#include <string.h>

#include "frontend/import.h"
#include "frontend/own.h"

#define SMALL_WORK 1e4 /* folded at any rate: shapes, axes, scalars */
enum { SPLAT_BYTES = 4096 /* below that, equal elements are not looked for */ };
#define FOLD_BYTES ((int64_t)16 << 20)
#define FOLD_WORK 1e9 /* over the whole import; bounds the time to seconds */

/* Operators whose result is operand 0 under another shape. */
static const OpId views[] = {OP_Reshape, OP_Squeeze, OP_Unsqueeze, OP_Flatten, OP_Identity};

static bool is_view(OpId op) {
    for (size_t i = 0; i < COUNT_OF(views); i++) {
        if (views[i] == op) return true;
    }
    return false;
}

static void replace_by_constants(Import *imp, Node *n, const Tensor *const *t, Value **out) {
    for (int i = 0; i < n->n_out; i++) out[i] = n->out[i] ? graph_constant(imp->g, n->out[i]->name, t[i]) : NULL;
    graph_erase(n);
}

/* ---- splats and views ---- */

static const Tensor **new_results(Import *imp, const Node *n) {
    return NEW_ARRAY(imp->arena, const Tensor *, n->n_out);
}

static void fold_constant_of_shape(Import *imp, Node *n, Value **out) {
    const Attr *value = node_attr(n, "value");
    const float zero = 0;
    const Tensor *t = tensor_splat(imp->arena, n->out[0]->type, value ? value->t->data : &zero);
    replace_by_constants(imp, n, &t, out);
}

static void fold_view(Import *imp, Node *n, Value **out) {
    const Tensor *from = n->in[0]->constant;
    Tensor *r = NEW(imp->arena, Tensor);
    *r = (Tensor){.type = n->out[0]->type, .splat = from->splat, .data = from->data};
    replace_by_constants(imp, n, (const Tensor *[]){r}, out);
}

/* ---- evaluation ---- */

/* A dense tensor of equal elements as a splat. */
static const Tensor *shrink(Import *imp, Tensor *t) {
    size_t bytes = (size_t)type_bytes(&t->type), one = (size_t)elem_bytes(t->type.elem);
    if (t->splat || bytes < SPLAT_BYTES) return t;
    if (memcmp(t->data, (const char *)t->data + one, bytes - one) != 0) return t;
    return tensor_splat(imp->arena, t->type, t->data);
}

/* The operand's value; of an operator that looks at nothing but types, any of its type. */
static const Tensor *operand(Import *imp, const Node *n, int i) {
    static const uint64_t zero = 0;
    if (!n->in[i] || n->in[i]->constant) return in_const(n, i);
    return tensor_splat(imp->arena, n->in[i]->type, &zero);
}

static bool evaluate(Import *imp, Node *n, Value **out) {
    const Tensor **in = NEW_ARRAY(imp->arena, const Tensor *, n->n_in + 1), **result = new_results(imp, n);
    Tensor **made = NEW_ARRAY(imp->arena, Tensor *, n->n_out);
    for (int i = 0; i < n->n_in; i++) in[i] = operand(imp, n, i);
    if (!node_eval(imp->arena, imp->d, n, in, made)) return false;
    for (int i = 0; i < n->n_out; i++) {
        if (n->out[i]) result[i] = shrink(imp, made[i]);
    }
    replace_by_constants(imp, n, result, out);
    return true;
}

static bool all_constant(const Node *n) {
    for (int i = 0; i < n->n_in; i++) {
        if (n->in[i] && !n->in[i]->constant) return false;
    }
    return true;
}

/* What makes real weights of codes, and codes of weights, is for passes to fold: an export shall find it as it was. */
static bool is_quantizer(const Node *n) {
    enum { FEW = 64 };
    static const OpId others[] = {OP_QuantizeLinear, OP_DequantizeLinear, OP_Quant, OP_BipolarQuant, OP_MultiThreshold};
    for (size_t i = 0; i < COUNT_OF(others); i++)
        if (others[i] == n->op) return shape_count(in_shape(n, 0)) > FEW;
    return own_has(n->op);
}

bool fold_node(Import *imp, Node *n, Value **out) {
    if (is_quantizer(n)) return true;
    if (!(all_constant(n) || op_is_static(n->op)) || op_def(n->op)->kind == OP_CONTROL) return true;
    if (n->op == OP_ConstantOfShape) {
        fold_constant_of_shape(imp, n, out);
    } else if (is_view(n->op)) {
        fold_view(imp, n, out);
    } else {
        EvalCost c = node_eval_cost(n);
        if (c.bytes > FOLD_BYTES || (c.work > SMALL_WORK && imp->fold_work + c.work > FOLD_WORK)) return true;
        imp->fold_work += c.work;
        return evaluate(imp, n, out);
    }
    return true;
}
