/* Building, inferring and evaluating one node. */
#include "tests/op_case.h"

#include "tests/support.h"

#include <math.h>
#include <string.h>

OpCase *case_new(void) {
    Arena first = {0};
    OpCase *c = NEW(&first, OpCase);
    c->arena = first;
    c->n_out = 1;
    diags_init(&c->diags, &c->arena);
    c->graph = graph_new(&c->arena, NULL, "case");
    return c;
}

void case_free(OpCase *c) {
    Arena all = c->arena;
    arena_free(&all);
}

static void add_operand(OpCase *c, Value *v, const Tensor *t) {
    assert_true(c->n_in < CASE_OPERANDS);
    c->in[c->n_in] = v;
    c->data[c->n_in++] = t;
}

void case_in(OpCase *c, const Tensor *t) { add_operand(c, graph_input(c->graph, "in", t->type), t); }
void case_const(OpCase *c, const Tensor *t) { add_operand(c, graph_constant(c->graph, "const", t), t); }
void case_absent(OpCase *c) { add_operand(c, NULL, NULL); }

static Node *build(OpCase *c, OpId op, const char *attrs) {
    Loc loc = LOC_NONE;
    loc.file = "case.onnx";
    Node *n = graph_node(c->graph, NULL, op, loc, c->n_in, c->in, c->n_out);
    if (attrs) node_set_attrs_text(n, attrs);
    return n;
}

Value *case_append(OpCase *c, OpId op, const char *attrs, int n_in, Value **in) {
    Node *n = graph_node(c->graph, NULL, op, LOC_NONE, n_in, in, 1);
    if (attrs) node_set_attrs_text(n, attrs);
    if (!node_infer(&c->diags, n)) fail_msg("refused: %s", test_diags(&c->arena, &c->diags));
    return n->out[0];
}

Node *case_node(OpCase *c, OpId op, const char *attrs) {
    Node *n = build(c, op, attrs);
    if (!node_infer(&c->diags, n)) fail_msg("refused: %s", test_diags(&c->arena, &c->diags));
    return n;
}

const Tensor *case_eval(OpCase *c, Node *n, int output) {
    Tensor *out[CASE_OPERANDS] = {0};
    assert_true(n->n_out <= CASE_OPERANDS);
    if (!node_eval(&c->arena, &c->diags, n, c->data, out)) fail_msg("failed: %s", test_diags(&c->arena, &c->diags));
    assert_non_null(out[output]);
    return tensor_dense(&c->arena, out[output]);
}

static bool agrees(double found, double want, double tolerance) {
    if (isnan(want) || isnan(found)) return isnan(want) && isnan(found);
    if (found == want) return tolerance > 0 || signbit(found) == signbit(want);
    return fabs(found - want) <= tolerance * fmax(1, fabs(want));
}

void case_output(OpCase *c, Node *n, int output, const Tensor *want) {
    assert_string_equal(type_str(&c->arena, &n->out[output]->type), type_str(&c->arena, &want->type));
    const Tensor *found = case_eval(c, n, output);
    bool whole = !elem_is_float(want->type.elem);
    for (int64_t i = 0; i < shape_count(&want->type.shape); i++) {
        bool same = whole ? tensor_get_int(found, i) == tensor_get_int(want, i)
                          : agrees(tensor_get(found, i), tensor_get(want, i), c->tolerance);
        if (!same) {
            fail_msg("element %lld is %.17g, not %.17g", (long long)i, tensor_get(found, i), tensor_get(want, i));
        }
    }
}

void case_gives(OpCase *c, OpId op, const char *attrs, const Tensor *want) {
    case_output(c, case_node(c, op, attrs), 0, want);
}

void case_refused(OpCase *c, OpId op, const char *attrs, DiagId id, const char *text) {
    diags_init(&c->diags, &c->arena);
    if (node_infer(&c->diags, build(c, op, attrs)))
        fail_msg("%s %s was accepted", op_def(op)->name, attrs ? attrs : "");
    const char *said = test_diags(&c->arena, &c->diags);
    if (!c->diags.first || c->diags.first->id != id || !strstr(said, text)) {
        fail_msg("wanted %s with '%s', but got: %s", diag_info[id].symbol, text, said);
    }
    diags_init(&c->diags, &c->arena);
}

const Tensor *case_tensor(OpCase *c, Elem elem, Shape s, int64_t n, const double *v) {
    Tensor *t = tensor_new(&c->arena, (Type){elem, s});
    int64_t count = shape_count(&s);
    if (n != 1) assert_int_equal(n, count);
    for (int64_t i = 0; i < count; i++) tensor_set(t, i, v[n == 1 ? 0 : i]);
    return t;
}

const Tensor *case_ramp(OpCase *c, Elem elem, Shape s) {
    Tensor *t = tensor_new(&c->arena, (Type){elem, s});
    for (int64_t i = 0; i < shape_count(&s); i++) tensor_set_int(t, i, i);
    return t;
}
