/* A node on its way into the graph: upgrade, build, infer, fold. Upgrades that need further nodes emit drafts of their
 * own, which take the same way. */
#include <string.h>

#include "frontend/import.h"

Draft *draft_new(Import *imp, const char *op, int64_t opset, Loc loc, int n_out) {
    Draft *d = NEW(imp->arena, Draft);
    *d = (Draft){.imp = imp, .op = op, .opset = opset, .loc = loc, .n_out = n_out};
    d->out = NEW_ARRAY(imp->arena, Value *, n_out + 1);
    d->wanted = NEW_ARRAY(imp->arena, bool, n_out + 1);
    return d;
}

/* ---- attributes and operands ---- */

static Attr *find_attr(const Draft *d, const char *name) {
    for (size_t i = 0; i < d->attr.n; i++) {
        if (strcmp(d->attr.at[i].name, name) == 0) return &d->attr.at[i];
    }
    return NULL;
}

const Attr *draft_attr(const Draft *d, const char *name) { return find_attr(d, name); }

int64_t draft_int(const Draft *d, const char *name, int64_t otherwise) {
    const Attr *a = find_attr(d, name);
    return a && a->kind == ATTR_INT ? a->i : otherwise;
}

void draft_drop(Draft *d, const char *name) {
    Attr *a = find_attr(d, name);
    if (!a) return;
    Attr *end = d->attr.at + d->attr.n--;
    memmove(a, a + 1, (size_t)(end - a - 1) * sizeof *a);
}

void draft_put(Draft *d, Attr attr) {
    Attr *old = find_attr(d, attr.name);
    if (old)
        *old = attr;
    else
        vec_push(d->imp->arena, &d->attr, attr);
}

void draft_put_int(Draft *d, const char *name, int64_t v) { draft_put(d, attr_int(name, v)); }
void draft_put_string(Draft *d, const char *name, const char *v) {
    draft_put(d, (Attr){.name = name, .kind = ATTR_STRING, .s = v});
}

void draft_set_in(Draft *d, size_t i, Value *v) {
    while (d->in.n <= i) vec_push(d->imp->arena, &d->in, NULL);
    d->in.at[i] = v;
}

Value *draft_const_ints(const Draft *d, size_t n, const int64_t *v) {
    return graph_const_ints(d->imp->g, "", (int64_t)n, v);
}

Value *draft_const_floats(const Draft *d, Elem elem, int rank, size_t n, const double *v) {
    int64_t count = (int64_t)n;
    Tensor *t = tensor_new(d->imp->arena, (Type){elem, shape_of(rank, &count)});
    for (size_t i = 0; i < n; i++) tensor_set(t, (int64_t)i, v[i]);
    return graph_constant(d->imp->g, "", t);
}

bool draft_error(Draft *d, DiagId id, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    const char *text = arena_vprintf(d->imp->arena, fmt, ap);
    va_end(ap);
    Diag *g = diag(d->imp->d, id, d->loc, "%s", text);
    for (size_t i = 0; i < d->in.n; i++) {
        const Value *v = d->in.at[i];
        if (v) diag_note(d->imp->d, g, "operand %zu '%s': %s", i, v->name, type_str(d->imp->arena, &v->type));
    }
    return false;
}

/* ---- building ---- */

Value *draft_emit(const Draft *d, const char *op, size_t n_in, Value *const *in, size_t n_attr, const Attr *attrs) {
    Draft *e = draft_new(d->imp, op, OPSET_NEWEST, d->loc, 1);
    e->wanted[0] = true;
    for (size_t i = 0; i < n_in; i++) draft_set_in(e, i, in[i]);
    for (size_t i = 0; i < n_attr; i++) draft_put(e, attrs[i]);
    draft_build(e);
    return e->out[0];
}

static void poison_results(Draft *d) {
    for (int i = 0; i < d->n_out; i++) d->out[i] = import_poison(d->imp);
}

static bool has_poison(const Draft *d) {
    for (size_t i = 0; i < d->in.n; i++) {
        if (is_poison(d->imp, d->in.at[i])) return true;
    }
    return false;
}

/* Absent operands and unwanted results at the end are as good as not there. */
static void trim(Draft *d) {
    while (d->in.n > 0 && !d->in.at[d->in.n - 1]) d->in.n--;
}

/* Of a node without a wanted result the first one is kept. */
static Node *build(Draft *d, OpId op) {
    int n_out = d->n_out;
    while (n_out > 1 && !d->wanted[n_out - 1]) n_out--;
    if (n_out == 1) d->wanted[0] = true;
    Node *n = graph_node(d->imp->g, NULL, op, d->loc, (int)d->in.n, d->in.at, n_out);
    for (size_t i = 0; i < d->attr.n; i++) node_set_attr(n, &d->attr.at[i]);
    for (int i = 0; i < n_out; i++) {
        if (!d->wanted[i]) n->out[i] = NULL;
        d->out[i] = n->out[i];
    }
    return n;
}

bool draft_build(Draft *d) {
    bool ok = !has_poison(d) && draft_localize(d) && draft_upgrade(d);
    if (ok && d->done) return true;
    ok = ok && !has_poison(d);
    if (ok) {
        OpId op = op_find(d->op);
        if (op == OP_NONE) {
            ok = draft_error(d, D_UNSUPPORTED_OP, "the operator is written with %s, which is not supported", d->op);
        } else {
            trim(d);
            draft_check_widths(d, op_def(op));
            Node *n = build(d, op);
            ok = node_infer(d->imp->d, n);
            if (ok) doubt_node(d->imp, n);
            ok = ok && fold_node(d->imp, n, d->out);
        }
    }
    if (!ok) poison_results(d);
    return ok;
}
