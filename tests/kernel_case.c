/* Graphs of nodes with operands whose sums of products are exact. */
#include "tests/kernel_case.h"

#include "passes/pass.h"
#include "tests/codegen_support.h"
#include "tests/support.h"

#include <stdlib.h>
#include <string.h>

KernelCase *kernel_case_new(void) {
    Arena first = {0};
    KernelCase *c = NEW(&first, KernelCase);
    c->arena = first;
    c->seed = 1;
    diags_init(&c->diags, &c->arena);
    c->graph = graph_new(&c->arena, NULL, "case");
    return c;
}

/* -8 .. 8, from the linear congruential generator of Numerical Recipes. */
static int draw(KernelCase *c) {
    c->seed = c->seed * 1664525u + 1013904223u;
    return (int)(c->seed >> 24) % 17 - 8;
}

static Tensor *exact_tensor(KernelCase *c, Elem elem, Shape s) {
    Tensor *t = tensor_new(&c->arena, (Type){elem, s});
    for (int64_t i = 0; i < shape_count(&s); i++) {
        if (elem_is_float(elem))
            tensor_set(t, i, draw(c) / 8.0);
        else
            tensor_set_int(t, i, elem_info[elem].kind == ELEM_I ? draw(c) : draw(c) & 7);
    }
    return t;
}

Value *kernel_feed(KernelCase *c, const Tensor *t) {
    vec_push(&c->arena, &c->feeds, t);
    return graph_input(c->graph, arena_printf(&c->arena, "in%zu", c->feeds.n - 1), t->type);
}

Value *kernel_input(KernelCase *c, Elem elem, Shape s) { return kernel_feed(c, exact_tensor(c, elem, s)); }

Value *kernel_list(KernelCase *c, int64_t n, const int64_t *v) { return graph_const_ints(c->graph, "", n, v); }

Value *kernel_weight(KernelCase *c, Elem elem, Shape s) {
    return graph_constant(c->graph, "", exact_tensor(c, elem, s));
}

/* What a failure names. */
static const char *node_words(KernelCase *c, const Node *n, const char *attrs) {
    Text t = {.arena = &c->arena};
    text_add(&t, "%s(", op_def(n->op)->name);
    for (int i = 0; i < n->n_in; i++) {
        if (n->in[i]) text_add(&t, "%s%s", n->in[i]->constant ? "const " : "", type_str(&c->arena, &n->in[i]->type));
        text_add(&t, i + 1 < n->n_in ? ", " : ") ");
    }
    text_add(&t, "%s", attrs ? attrs : "");
    return t.s;
}

static Node *add_node(KernelCase *c, OpId op, const char *attrs, int n_out, int n_in, Value *const *in) {
    Loc loc = LOC_NONE;
    loc.file = "case.onnx";
    Node *n = graph_node(c->graph, NULL, op, loc, n_in, in, n_out);
    if (attrs) node_set_attrs_text(n, attrs);
    if (!node_infer(&c->diags, n)) fail_msg("refused: %s", test_diags(&c->arena, &c->diags));
    return n;
}

void kernel_node_of(KernelCase *c, OpId op, const char *attrs, int n_out, int n_in, Value *const *in) {
    Node *n = add_node(c, op, attrs, n_out, n_in, in);
    for (int i = 0; i < n_out; i++) graph_output(c->graph, node_words(c, n, attrs), n->out[i]);
}

Value *kernel_inner_of(KernelCase *c, OpId op, const char *attrs, int n_in, Value *const *in) {
    return add_node(c, op, attrs, 1, n_in, in)->out[0];
}

/* ---- views --------------------------------------------------------------------------------------------------- */

Value *kernel_clipped(KernelCase *c, Value *v, int64_t low, int64_t high) {
    Value *bound[2];
    for (int i = 0; i < 2; i++)
        bound[i] =
            graph_constant(c->graph, "", tensor_from_ints(&c->arena, v->type.elem, (Shape){0}, i ? &high : &low));
    return kernel_inner(c, OP_Clip, NULL, v, bound[0], bound[1]);
}

static Value *reversed_dims(KernelCase *c, Value *v) { return kernel_inner(c, OP_Transpose, NULL, v); }

/* From..to in steps along the axis; to < 0 with step < 0: down to the first. */
static Value *sliced(KernelCase *c, Value *v, int axis, int64_t from, int64_t to, int64_t step) {
    if (to < 0) to = INT64_MIN;
    return kernel_inner(c, OP_Slice, NULL, v, KERNEL_LIST(c, from), KERNEL_LIST(c, to), KERNEL_LIST(c, axis),
                        KERNEL_LIST(c, step));
}

static Value *cut(KernelCase *c, Value *v) {
    for (int d = 0; d < v->type.shape.rank; d++)
        if (v->type.shape.dim[d] > 2) v = sliced(c, v, d, 1, v->type.shape.dim[d] - 1, 1);
    return v;
}

Value *kernel_view(KernelCase *c, Value *v, int which) {
    int last = v->type.shape.rank - 1;
    int64_t n = last < 0 ? 0 : v->type.shape.dim[last];
    if (last < 0 || which == 0) return v;
    switch (which) {
    case 1:
        return reversed_dims(c, v);
    case 2:
        return sliced(c, v, last, n - 1, -1, -1);
    case 3:
        return cut(c, v);
    case 4:
        return sliced(c, v, last, n > 2, n, 2);
    case 5: { /* the first dimension, cut to one, three times */
        Shape s = v->type.shape;
        s.dim[0] = 3;
        return kernel_inner(c, OP_Expand, NULL, sliced(c, v, 0, 0, 1, 1), kernel_list(c, s.rank, s.dim));
    }
    default:
        return reversed_dims(c, sliced(c, cut(c, v), 0, INT64_MAX, -1, -1));
    }
}

/* ---- the parts of a case --------------------------------------------------------------------------------------- */

/* The host's own CPU where that is x86 has all three. */
static const char *const cpus[] = {NULL,
#ifdef __x86_64__
                                   "x86-64-v3", "x86-64-v2"
#endif
};

/* Node i of the case is for this CPU. Neighbours are for different ones, and so are the same places in neighbouring
 * triples, as kernels come in pairs and triples. */
static bool is_for(int i, int cpu) { return (i + i / 3) % (int)COUNT_OF(cpus) == cpu; }

/* A copy with the outputs for one CPU only, and what they need. */
static Graph *share(KernelCase *c, int cpu) {
    Graph *g = graph_clone(&c->arena, c->graph);
    const Node *last = NULL;
    size_t kept = 0;
    int i = -1;
    for (size_t k = 0; k < g->outputs.n; k++) {
        const Node *n = g->outputs.at[k].value->def;
        if (n != last) i++;
        last = n;
        if (is_for(i, cpu)) g->outputs.at[kept++] = g->outputs.at[k];
    }
    g->outputs.n = kept;
    pass_dce(g, &c->diags);
    return g;
}

static Graph *optimized(KernelCase *c, const Graph *from) {
    Graph *g = graph_clone(&c->arena, from);
    PassOptions o = {.level = 2};
    if (!passes_run(g, &c->diags, &o)) fail_msg("refused: %s", test_diags(&c->arena, &c->diags));
    return g;
}

/* Every node that gives an output is computed by a kernel of the name that the case expects. */
static void check_kernels(const KernelCase *c, const Graph *g, const qcc_model *m) {
    size_t nodes = 0, found = 0;
    for (const Node *n = g->first; n; n = n->next) nodes += value_is_output(n->out[0]);
    for (uint32_t i = 0; i < m->n_steps; i++) found += strstr(m->steps[i].kernel, c->kernel) != NULL;
    assert_int_equal(found, nodes);
}

void kernel_case_check(KernelCase *c) {
    bool all = getenv("QCC_TEST_ALL") != NULL;
    for (size_t i = 0; i < COUNT_OF(cpus); i++) {
        CodegenOptions o = test_options;
        o.cpu = cpus[i];
        o.strict = true;
        const Graph *g = all ? c->graph : share(c, (int)i), *compiled = c->optimize ? optimized(c, g) : g;
        CompiledModel m = check_compiled(&c->arena, g, compiled, c->feeds.at, &o, c->tolerance);
        if (c->kernel) check_kernels(c, g, m.model);
    }
    Arena rest = c->arena;
    arena_free(&rest);
}
