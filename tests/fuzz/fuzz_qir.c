/* Fuzz target for the text form: whatever is read must verify, print as it was read, survive expansion, and evaluate
 * where it is small. */
#include "ir/op.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
const char *__asan_default_options(void);

/* The reader's memory is bounded by its guard, as in the compiler: a failing allocation is an answer. */
const char *__asan_default_options(void) { return "allocator_may_return_null=1"; }

/* What is evaluated: windows grow with attributes, all else with tensors. */
enum { MOST_ELEMENTS = 512, MOST_NODES = 64, MOST_LISTED = 16 };

static bool small_value(const Value *v) { return !v || shape_count(&v->type.shape) <= MOST_ELEMENTS; }

static bool small_node(const Node *n) {
    for (int i = 0; i < n->n_in; i++) {
        if (!small_value(n->in[i])) return false;
    }
    for (int i = 0; i < n->n_out; i++) {
        if (!small_value(n->out[i])) return false;
    }
    for (int i = 0; i < n->n_attr; i++) {
        for (int64_t k = 0; n->attr[i].kind == ATTR_INTS && k < n->attr[i].n; k++) {
            if (n->attr[i].ints[k] > MOST_LISTED) return false;
        }
    }
    return true;
}

static bool small(const Graph *g) {
    int nodes = 0;
    for (size_t i = 0; i < g->inputs.n; i++) {
        if (!small_value(g->inputs.at[i].value)) return false;
    }
    for (const Node *n = g->first; n; n = n->next) {
        if (++nodes > MOST_NODES || !small_node(n)) return false;
    }
    for (size_t i = 0; i < g->outputs.n; i++) {
        if (!small_value(g->outputs.at[i].value)) return false;
    }
    return true;
}

/* Small numbers of both signs, so that indices are sometimes good. */
static const Tensor *some_data(Arena *a, Type type) {
    Tensor *t = tensor_new(a, type);
    int64_t n = shape_count(&type.shape);
    for (int64_t i = 0; i < n; i++) {
        if (type.elem == QCC_BOOL) {
            tensor_set_int(t, i, i % 2);
        } else {
            tensor_set(t, i, (double)(i * 7 % 5 - 2));
        }
    }
    return t;
}

static void evaluate(Arena *a, Diags *d, const Graph *g) {
    const Tensor **in = NEW_ARRAY(a, const Tensor *, g->inputs.n);
    Tensor **out = NEW_ARRAY(a, Tensor *, g->outputs.n);
    for (size_t i = 0; i < g->inputs.n; i++) in[i] = some_data(a, g->inputs.at[i].value->type);
    graph_eval(a, d, g, in, out, NULL, NULL);
}

static bool expand_all(Diags *d, Graph *g) {
    for (Node *n = g->first, *next; n; n = next) {
        next = n->next;
        if (op_def(n->op)->kind != OP_EXPAND || n->expr) continue;
        Node *before = n->prev;
        if (!node_expand(d, n)) return false;
        next = before ? before->next : g->first; /* what an expansion is made of may itself expand */
    }
    return true;
}

static void check(Arena *a, const uint8_t *data, size_t n) {
    Diags d;
    diags_init(&d, a);
    Graph *g = graph_parse(a, &d, "", (const char *)data, n);
    if (!g) {
        if (!d.n_errors) bug("a text was refused without a word");
        return;
    }
    graph_verify(g, "parse");
    Text once = {.arena = a}, twice = {.arena = a};
    graph_print(&once, g, 0);
    Graph *again = graph_parse(a, &d, "", once.s, once.n);
    if (!again) bug("what was printed does not parse:\n%s", once.s);
    graph_print(&twice, again, 0);
    if (strcmp(once.s, twice.s) != 0) bug("printing is no fixed point:\n%s\n%s", once.s, twice.s);
    if (!small(g)) return;
    evaluate(a, &d, g);
    if (expand_all(&d, again)) graph_verify(again, "expand");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    Arena a = {0};
    Guard guard;
    if (setjmp(*guard_enter(&guard)) == 0) {
        check(&a, data, n);
        guard_leave(&guard);
    }
    arena_free(&a);
    return 0;
}
