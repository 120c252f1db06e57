/* Control flow, resolved during the walk: the branch that a constant condition takes, loops of a known trip count
 * unrolled. What depends on run-time data is refused; the compiled model has no control flow. */
#include <string.h>

#include "frontend/import.h"

/* ---- helpers ---- */

typedef struct Control {
    Import *imp;
    Scope *scope;
    const Onnx__NodeProto *node;
    Loc loc;
    Draft *at; /* to emit further nodes from */
} Control;

static Control control_of(Import *imp, Scope *s, const Onnx__NodeProto *n, Loc loc) {
    return (Control){imp, s, n, loc, draft_new(imp, loc.op, OPSET_NEWEST, loc, 0)};
}

static bool refuse(const Control *c, DiagId id, const char *what) {
    diag(c->imp->d, id, c->loc, "%s", what);
    return false;
}

/* The value of an operand that must be one constant number. False after a diagnostic, or where it is poison. */
static bool known(const Control *c, const Value *v, const char *what, int64_t *out) {
    if (is_poison(c->imp, v)) return false;
    if (!v->constant && !v->def) {
        Diag *g = diag(c->imp->d, D_CONST_UNBOUND, c->loc, "%s is the graph's input '%s'", what, v->name);
        diag_hint(c->imp->d, g, "--const %s=@FILE", v->name);
        return false;
    }
    if (!v->constant) {
        diag(c->imp->d, D_NOT_STATIC, c->loc, "%s must be known, but is computed from the graph's input %s", what,
             value_sources(c->imp->arena, v));
        return false;
    }
    if (shape_count(&v->type.shape) != 1 || elem_is_float(v->type.elem)) {
        diag(c->imp->d, D_OPERAND_TYPE, c->loc, "%s '%s' is %s, one integer or bool is needed", what, v->name,
             type_str(c->imp->arena, &v->type));
        return false;
    }
    *out = tensor_get_int(v->constant, 0);
    return true;
}

/* A body must be the node's own: one passed into a function would need the names around the call. */
static const Onnx__GraphProto *find_body(const Control *c, const char *name, size_t n_in, size_t min_out) {
    for (size_t i = 0; i < c->node->n_attribute; i++) {
        const Onnx__AttributeProto *p = c->node->attribute[i];
        if (strcmp(proto_str(p->name), name) != 0) continue;
        if (!p->g) break;
        if (p->g->n_input == n_in && p->g->n_output >= min_out) return p->g;
        diag(c->imp->d, D_ARITY, c->loc,
             "the body '%s' has %zu inputs and %zu outputs, %zu and at least %zu are needed", name, p->g->n_input,
             p->g->n_output, n_in, min_out);
        return NULL;
    }
    diag(c->imp->d, D_ATTRIBUTE, c->loc, "the body '%s' is missing", name);
    return NULL;
}

/* Walks a body in a scope of its own; part tells the walks of one node apart. */
static Value **run_body(const Control *c, const Onnx__GraphProto *g, const char *part, Value *const *in) {
    Arena *a = c->imp->arena;
    Scope s = {.outer = c->scope, .call = c->scope->call};
    s.prefix = arena_printf(a, "%s/%s/", *c->loc.node ? c->loc.node : c->loc.op, part);
    Value **out = NEW_ARRAY(a, Value *, g->n_output + 1);
    walk_body(c->imp, &s, g, in, out);
    return out;
}

static Value *emit_with_axis(const Control *c, const char *op, Value *v, int64_t axis) {
    return draft_emit(c->at, op, 2, (Value *[]){v, draft_const_ints(c->at, 1, &axis)}, 0, NULL);
}

/* Element i of v along an axis, which is dropped. */
static Value *take(const Control *c, Value *v, int64_t i, int64_t axis) {
    int64_t end = i + 1;
    Value *in[] = {v, draft_const_ints(c->at, 1, &i), draft_const_ints(c->at, 1, &end),
                   draft_const_ints(c->at, 1, &axis)};
    return emit_with_axis(c, "Squeeze", draft_emit(c->at, "Slice", COUNT_OF(in), in, 0, NULL), axis);
}

/* Values of equal shape along a new axis. */
static Value *stack(const Control *c, size_t n, Value **v, int64_t axis, bool reversed) {
    Value **parts = NEW_ARRAY(c->imp->arena, Value *, n);
    for (size_t i = 0; i < n; i++) parts[reversed ? n - 1 - i : i] = emit_with_axis(c, "Unsqueeze", v[i], axis);
    return n == 1 ? parts[0] : draft_emit(c->at, "Concat", n, parts, 1, (Attr[]){attr_int("axis", axis)});
}

/* ---- If ---- */

static void resolve_if(Import *imp, Scope *s, const Onnx__NodeProto *n, Loc loc, Value *const *in, Value **out) {
    Control c = control_of(imp, s, n, loc);
    int64_t cond;
    if (n->n_input != 1 || !in[0]) {
        refuse(&c, D_ARITY, "an If has one input, its condition");
        return;
    }
    if (!known(&c, in[0], "the condition", &cond)) return;
    const char *name = cond ? "then_branch" : "else_branch";
    const Onnx__GraphProto *g = find_body(&c, name, 0, n->n_output);
    if (g) memcpy(out, run_body(&c, g, name, NULL), n->n_output * sizeof *out);
}

/* ---- Loop ---- */

typedef VEC(Value *) Values;

typedef struct Loop {
    Control c;
    const Onnx__GraphProto *body;
    size_t n_state, n_scan;
    Value **in;     /* of the body: iteration, condition, state */
    Values *stacks; /* of each scan output: its parts */
    int64_t trips;  /* -1: until the condition says so */
} Loop;

static bool start_loop(Loop *l, Value *const *in, int64_t *cond) {
    const Onnx__NodeProto *n = l->c.node;
    Arena *a = l->c.imp->arena;
    if (n->n_input < 2) return refuse(&l->c, D_ARITY, "a Loop has at least two inputs");
    l->trips = -1;
    *cond = 1;
    if (in[0] && !known(&l->c, in[0], "the trip count", &l->trips)) return false;
    if (in[1] && !known(&l->c, in[1], "the condition", cond)) return false;
    l->trips = in[0] ? i64_max(l->trips, 0) : -1;
    l->n_state = n->n_input - 2;
    size_t outputs = l->n_state > n->n_output ? l->n_state : n->n_output;
    l->body = find_body(&l->c, "body", n->n_input, 1 + outputs);
    if (!l->body) return false;
    l->n_scan = l->body->n_output - 1 - l->n_state;
    l->stacks = NEW_ARRAY(a, Values, l->n_scan + 1);
    l->in = NEW_ARRAY(a, Value *, n->n_input);
    for (size_t i = 0; i < l->n_state; i++) {
        l->in[2 + i] = in[2 + i];
        if (!in[2 + i]) return refuse(&l->c, D_ARITY, "a Loop's state has no initial value");
    }
    return true;
}

static bool refuse_long(const Loop *l) { return refuse(&l->c, D_MODEL_LIMIT, "the loop runs more than 4096 times"); }

static bool run_iteration(Loop *l, int64_t i, int64_t *cond) {
    Import *imp = l->c.imp;
    if (i == MAX_ITERATIONS) return refuse_long(l);
    const uint8_t yes = 1;
    l->in[0] = graph_constant(imp->g, "", tensor_from_ints(imp->arena, QCC_I64, shape_of(0, NULL), &i));
    l->in[1] = graph_constant(imp->g, "", tensor_splat(imp->arena, (Type){.elem = QCC_BOOL}, &yes));
    int errors = imp->d->n_errors;
    Value **out = run_body(&l->c, l->body, arena_printf(imp->arena, "%lld", (long long)i), l->in);
    if (imp->d->n_errors > errors) return false;
    /* A condition that is handed on as it is never ends the loop: no need to see that in every iteration. */
    if (out[0] == l->in[1] && (l->trips < 0 || l->trips > MAX_ITERATIONS)) return refuse_long(l);
    for (size_t k = 0; k < l->n_state; k++) l->in[2 + k] = out[1 + k];
    for (size_t k = 0; k < l->n_scan; k++) vec_push(imp->arena, &l->stacks[k], out[1 + l->n_state + k]);
    return known(&l->c, out[0], "the condition to go on", cond);
}

/* What a scan output is that has no parts: its declared type with a leading 0. */
static Value *empty_stack(Loop *l, size_t k) {
    const Onnx__ValueInfoProto *v = l->body->output[1 + l->n_state + k];
    Declared d;
    if (!declared_type(l->c.imp, l->c.loc, "the output of the body", v->type, &d)) return import_poison(l->c.imp);
    Type t = {.elem = d.elem, .shape = {.rank = 1}};
    for (int i = 0; d.has_shape && i < d.shape.rank && i + 1 < MAX_RANK; i++) {
        t.shape.dim[t.shape.rank++] = i64_max(0, d.shape.dim[i]);
    }
    return graph_constant(l->c.imp->g, "", tensor_new(l->c.imp->arena, t));
}

static void resolve_loop(Import *imp, Scope *s, const Onnx__NodeProto *n, Loc loc, Value *const *in, Value **out) {
    Loop l = {.c = control_of(imp, s, n, loc)};
    int64_t cond;
    if (!start_loop(&l, in, &cond)) return;
    for (int64_t i = 0; cond && i != l.trips; i++) {
        if (!run_iteration(&l, i, &cond)) return;
    }
    for (size_t k = 0; k < n->n_output; k++) {
        size_t scan = k - l.n_state;
        if (k < l.n_state)
            out[k] = l.in[2 + k];
        else if (l.stacks[scan].n == 0)
            out[k] = empty_stack(&l, scan);
        else
            out[k] = stack(&l.c, l.stacks[scan].n, l.stacks[scan].at, 0, false);
    }
}

/* ---- Scan ---- */

typedef struct ScanLoop {
    Control c;
    const Onnx__GraphProto *body;
    size_t n_state, n_in, n_out; /* state, scanned inputs, stacked outputs */
    Value *const *scanned;
    int64_t trips;
} ScanLoop;

/* Entry i of a list attribute of the Scan, 0 where it is absent. */
static int64_t list_entry(const ScanLoop *l, const char *name, size_t i) {
    const Onnx__AttributeProto *p = attr_find(l->c.scope, l->c.node, name);
    return p && i < p->n_ints ? p->ints[i] : 0;
}

static bool scan_axis(const ScanLoop *l, const char *name, size_t i, int rank, int64_t *out) {
    *out = list_entry(l, name, i);
    if (*out < 0) *out += rank;
    return (*out >= 0 && *out < rank) || refuse(&l->c, D_ATTRIBUTE, "an axis of the Scan is out of range");
}

static bool count_trips(ScanLoop *l) {
    l->trips = -1;
    for (size_t i = 0; i < l->n_in; i++) {
        const Value *v = l->scanned[i];
        int64_t axis;
        if (!v) return refuse(&l->c, D_ARITY, "an input of a Scan may not be absent");
        if (is_poison(l->c.imp, v) || !scan_axis(l, "scan_input_axes", i, v->type.shape.rank, &axis)) return false;
        int64_t n = v->type.shape.dim[axis];
        if (l->trips >= 0 && n != l->trips)
            return refuse(&l->c, D_OPERAND_SHAPE, "the scanned inputs differ in length");
        l->trips = n;
    }
    if (l->trips > MAX_ITERATIONS) return refuse(&l->c, D_MODEL_LIMIT, "the scan runs more than 4096 times");
    return l->trips > 0 || refuse(&l->c, D_UNSUPPORTED_FORM, "the scan has nothing to scan");
}

static bool start_scan(ScanLoop *l, Value *const *in) {
    const Onnx__NodeProto *n = l->c.node;
    const Onnx__AttributeProto *count = attr_find(l->c.scope, n, "num_scan_inputs");
    if (l->c.loc.opset < 9)
        return refuse(&l->c, D_UNSUPPORTED_FORM, "a Scan of operator set 8 (with a batch) is not supported");
    if (!count || count->i < 1 || (uint64_t)count->i > n->n_input) {
        return refuse(&l->c, D_ATTRIBUTE, "attribute 'num_scan_inputs' is missing or out of range");
    }
    l->n_in = (size_t)count->i;
    l->n_state = n->n_input - l->n_in;
    l->scanned = in + l->n_state;
    for (size_t i = 0; i < l->n_state; i++) {
        if (!in[i]) return refuse(&l->c, D_ARITY, "an input of a Scan may not be absent");
    }
    size_t outputs = l->n_state > n->n_output ? l->n_state : n->n_output;
    l->body = find_body(&l->c, "body", n->n_input, outputs);
    if (!l->body || !count_trips(l)) return false;
    l->n_out = l->body->n_output - l->n_state;
    return true;
}

static void run_scan(ScanLoop *l, Value **in, Values *stacks) {
    Import *imp = l->c.imp;
    int errors = imp->d->n_errors;
    for (int64_t t = 0; t < l->trips && imp->d->n_errors == errors; t++) {
        for (size_t i = 0; i < l->n_in; i++) {
            int64_t at = list_entry(l, "scan_input_directions", i) ? l->trips - 1 - t : t, axis;
            scan_axis(l, "scan_input_axes", i, l->scanned[i]->type.shape.rank, &axis);
            in[l->n_state + i] = take(&l->c, l->scanned[i], at, axis);
        }
        Value **out = run_body(&l->c, l->body, arena_printf(imp->arena, "%lld", (long long)t), in);
        memcpy(in, out, l->n_state * sizeof *in);
        for (size_t k = 0; k < l->n_out; k++) vec_push(imp->arena, &stacks[k], out[l->n_state + k]);
    }
}

static void resolve_scan(Import *imp, Scope *s, const Onnx__NodeProto *n, Loc loc, Value *const *in, Value **out) {
    ScanLoop l = {.c = control_of(imp, s, n, loc)};
    if (!start_scan(&l, in)) return;
    Value **state = NEW_ARRAY(imp->arena, Value *, n->n_input);
    Values *stacks = NEW_ARRAY(imp->arena, Values, l.n_out + 1);
    memcpy(state, in, l.n_state * sizeof *state);
    int errors = imp->d->n_errors;
    run_scan(&l, state, stacks);
    if (imp->d->n_errors > errors) return;
    for (size_t k = 0; k < n->n_output; k++) {
        size_t i = k - l.n_state;
        int64_t axis;
        if (k < l.n_state)
            out[k] = state[k];
        else if (!is_poison(imp, stacks[i].at[0]) &&
                 scan_axis(&l, "scan_output_axes", i, stacks[i].at[0]->type.shape.rank + 1, &axis))
            out[k] = stack(&l.c, (size_t)l.trips, stacks[i].at, axis, list_entry(&l, "scan_output_directions", i));
    }
}

ControlFn *control_find(const char *op) {
    static const struct {
        const char *op;
        ControlFn *fn;
    } table[] = {{"If", resolve_if}, {"Loop", resolve_loop}, {"Scan", resolve_scan}};
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        if (strcmp(op, table[i].op) == 0) return table[i].fn;
    }
    return NULL;
}
