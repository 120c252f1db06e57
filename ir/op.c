/* Nodes against the operator table: the checks that no operator's file has to make, and type inference. */
#include "ir/op.h"

#include <string.h>

/* ---- messages ---- */

static const char *operand_name(const OpDef *def, int i) {
    if (i < def->n_in) return def->in[i].name;
    return def->n_in && def->in[def->n_in - 1].variadic ? def->in[def->n_in - 1].name : "";
}

static void note_operands(Diags *d, Diag *g, const Node *n, int wrong) {
    const OpDef *def = op_def(n->op);
    for (int i = 0; i < n->n_in; i++) {
        const Value *v = n->in[i];
        if (!v) continue;
        diag_note(d, g, "operand %d (%s) '%s': %s%s%s", i, operand_name(def, i), v->name, type_str(d->arena, &v->type),
                  v->constant ? ", constant" : "", i == wrong ? "  <- here" : "");
    }
}

/* Adds the operands to `g`, the wrong one marked. Always false, as infer functions return after a diagnostic. */
static bool with_operands(Infer *c, Diag *g, int wrong) {
    note_operands(c->diags, g, c->node, wrong);
    return false;
}

bool infer_error(Infer *c, DiagId id, int wrong, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    const char *text = arena_vprintf(c->diags->arena, fmt, ap);
    va_end(ap);
    return with_operands(c, diag(c->diags, id, c->node->loc, "%s", text), wrong);
}

bool infer_axis(Infer *c, int64_t axis, int rank, int *out) {
    if (axis < -rank || axis >= rank) {
        return infer_error(c, D_ATTRIBUTE, -1, "axis %lld is outside [%d, %d)", (long long)axis, -rank, rank);
    }
    *out = (int)(axis < 0 ? axis + rank : axis);
    return true;
}

bool infer_axes(Infer *c, int64_t n, const int64_t *axes, int rank, int *out) {
    bool seen[MAX_RANK] = {false};
    if (n > rank) return infer_error(c, D_ATTRIBUTE, -1, "%lld axes, but the rank is %d", (long long)n, rank);
    for (int64_t i = 0; i < n; i++) {
        if (!infer_axis(c, axes[i], rank, &out[i])) return false;
        if (seen[out[i]]) return infer_error(c, D_ATTRIBUTE, -1, "axis %d is given twice", out[i]);
        seen[out[i]] = true;
    }
    return true;
}

bool infer_list(Infer *c, const char *name, int n, int64_t least, int64_t absent, int64_t *out) {
    int found;
    const int64_t *given = node_ints(c->node, name, &found);
    for (int i = 0; i < n; i++) out[i] = absent;
    if (!given) return true;
    if (found != n) return infer_error(c, D_ATTRIBUTE, -1, "%s has %d entries; %d are wanted", name, found, n);
    for (int i = 0; i < n; i++) {
        if (given[i] < least || given[i] > INT32_MAX)
            return infer_error(c, D_ATTRIBUTE, -1, "%s[%d] is %lld; %lld to %lld is wanted", name, i,
                               (long long)given[i], (long long)least, (long long)INT32_MAX);
        out[i] = given[i];
    }
    return true;
}

void set_out(Infer *c, int output, Elem elem, const Shape *s) {
    if (!has_out(c->node, output)) return;
    Type *t = &c->node->out[output]->type;
    if (elem) t->elem = elem;
    t->shape = *s;
}

/* ---- checks ---- */

/* Operands of the operator itself, without those of an epilogue. */
static int own_operands(const OpDef *def, const Node *n) {
    if (n->epilogue_in < 0 || n->epilogue_in > n->n_in) bug("infer: the epilogue of %s has no operands", def->name);
    return n->expr && def->kind != OP_EXPR ? n->epilogue_in : n->n_in;
}

static bool variadic(const OpOperand *list, int n) { return n && list[n - 1].variadic; }

static bool count_fits(Infer *c, const char *what, int found, int least, int most, bool open) {
    if (found >= least && (open || found <= most)) return true;
    const char *wanted = open            ? arena_printf(c->diags->arena, "at least %d", least)
                         : least == most ? arena_printf(c->diags->arena, "%d", least)
                                         : arena_printf(c->diags->arena, "%d to %d", least, most);
    return infer_error(c, D_ARITY, -1, "%d %s, but %s takes %s", found, what, op_def(c->node->op)->name, wanted);
}

static bool any_wanted(const Node *n) {
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i]) return true;
    return n->n_out == 0;
}

static bool check_arity(Infer *c, const OpDef *def) {
    const Node *n = c->node;
    int n_in = own_operands(def, n);
    if (!count_fits(c, "operands", n_in, def->min_in, def->n_in, variadic(def->in, def->n_in))) return false;
    if (!count_fits(c, "outputs", n->n_out, def->min_out, def->n_out, variadic(def->out, def->n_out))) return false;
    if (!any_wanted(n)) return infer_error(c, D_ARITY, -1, "none of its outputs is wanted");
    for (int i = 0; i < n_in; i++) {
        const OpOperand *o = &def->in[i < def->n_in ? i : def->n_in - 1];
        if (!n->in[i] && !o->optional) return infer_error(c, D_ARITY, i, "operand %d (%s) is missing", i, o->name);
    }
    return true;
}

static const OpAttr *find_attr(const OpDef *def, const char *name) {
    for (int i = 0; i < def->n_attr; i++) {
        if (strcmp(def->attr[i].name, name) == 0) return &def->attr[i];
    }
    return NULL;
}

/* An attribute that the table lacks is dropped after the warning, so that it is given once. */
static bool check_attrs(Infer *c, const OpDef *def) {
    static const char *const kinds[] = {"an int",           "a float",           "a string", "a list of ints",
                                        "a list of floats", "a list of strings", "a tensor", "a graph"};
    Node *n = c->node;
    Text unknown = {.arena = c->diags->arena};
    int kept = 0;
    for (int i = 0; i < n->n_attr; i++) {
        const Attr *a = &n->attr[i];
        const OpAttr *row = find_attr(def, a->name);
        if (!row) {
            text_add(&unknown, "%s'%s'", unknown.n ? ", " : "", a->name);
            continue;
        }
        if (row->kind != a->kind) {
            return infer_error(c, D_ATTRIBUTE, -1, "attribute '%s' is %s, but must be %s", a->name, kinds[a->kind],
                               kinds[row->kind]);
        }
        n->attr[kept++] = *a;
    }
    bool several = n->n_attr - kept > 1;
    n->n_attr = kept;
    if (unknown.n && several)
        diag(c->diags, D_UNKNOWN_ATTRIBUTE, n->loc, "attributes %s are not among %s's", unknown.s, def->name);
    else if (unknown.n)
        diag(c->diags, D_UNKNOWN_ATTRIBUTE, n->loc, "attribute %s is not one of %s's", unknown.s, def->name);
    for (int i = 0; i < def->n_attr; i++) {
        if (def->attr[i].required && !node_attr(n, def->attr[i].name)) {
            return infer_error(c, D_ATTRIBUTE, -1, "attribute '%s' is missing", def->attr[i].name);
        }
    }
    return true;
}

static const char *set_str(Arena *a, uint32_t set) {
    Text t = {.arena = a};
    for (int e = 1; e < QCC_ELEM_END; e++) {
        if (set >> e & 1) text_add(&t, "%s%s", t.n ? ", " : "", elem_info[e].name);
    }
    return t.s;
}

/* Binds the type variables to the operands' element types. */
static bool bind_types(Infer *c, const OpDef *def, Elem bound[26]) {
    const Node *n = c->node;
    int n_in = own_operands(def, n);
    if (!any_wanted(n)) return infer_error(c, D_ARITY, -1, "none of its outputs is wanted");
    for (int i = 0; i < n_in; i++) {
        const OpOperand *o = &def->in[i < def->n_in ? i : def->n_in - 1];
        if (!n->in[i]) continue;
        Elem e = in_elem(n, i);
        if (!elem_known(e)) bug("infer: operand %d of %s has no type yet", i, def->name);
        if (o->var == '_') continue;
        uint32_t allowed = def->types[o->var - 'A'];
        if (!(allowed >> e & 1)) {
            return infer_error(c, D_OPERAND_TYPE, i, "operand %d (%s) is %s, but must be one of %s", i, o->name,
                               elem_info[e].name, set_str(c->diags->arena, allowed));
        }
        Elem *var = &bound[o->var - 'A'];
        if (*var && *var != e) {
            return infer_error(c, D_OPERAND_TYPE, i, "operand %d (%s) is %s, but must be %s as the operands before it",
                               i, o->name, elem_info[e].name, elem_info[*var].name);
        }
        *var = e;
    }
    return true;
}

static Elem only_member(uint32_t set) { return set && !(set & (set - 1)) ? (Elem)__builtin_ctz(set) : (Elem)0; }

/* Outputs start without shape, and with the type of their variable if that is settled. */
static void type_outputs(Infer *c, const OpDef *def, const Elem bound[26]) {
    for (int i = 0; i < c->node->n_out; i++) {
        if (!c->node->out[i]) continue;
        char var = def->out[i < def->n_out ? i : def->n_out - 1].var;
        Elem e = (Elem)0;
        if (var != '_') e = bound[var - 'A'] ? bound[var - 'A'] : only_member(def->types[var - 'A']);
        c->node->out[i]->type = (Type){.elem = e};
    }
}

enum { SOURCES_SHOWN = 8 };

const char *value_sources(Arena *a, const Value *v) {
    VEC(const Value *) list = {0};
    Map seen = {0};
    Text names = {.arena = a};
    text_put(&names, "", 0);
    vec_push(a, &list, v);
    int shown = 0;
    for (size_t k = 0; k < list.n && shown < SOURCES_SHOWN; k++) {
        const Node *def = list.at[k]->def;
        if (!def && !list.at[k]->constant) text_add(&names, "%s'%s'", shown++ ? ", " : "", list.at[k]->name);
        for (int i = 0; def && i < def->n_in; i++) {
            if (!def->in[i] || map_get_ptr(&seen, def->in[i])) continue;
            map_put_ptr(a, &seen, def->in[i], def->in[i]);
            vec_push(a, &list, def->in[i]);
        }
    }
    return names.s;
}

static bool check_static(Infer *c, const OpDef *def) {
    const Node *n = c->node;
    int n_in = own_operands(def, n);
    for (int i = 0; i < n_in; i++) {
        const OpOperand *o = &def->in[i < def->n_in ? i : def->n_in - 1];
        const Value *v = n->in[i];
        if (!o->constant || !v || v->constant) continue;
        if (!v->def && !v->graph->parent) {
            Diag *g = diag(c->diags, D_CONST_UNBOUND, n->loc,
                           "operand %d (%s) must be known, but is the graph's input '%s'", i, o->name, v->name);
            diag_hint(c->diags, g, "--const '%s=@FILE'", v->name);
            return with_operands(c, g, i);
        }
        return infer_error(c, D_NOT_STATIC, i,
                           "operand %d (%s) must be known, but is computed from the graph's input %s", i, o->name,
                           value_sources(c->diags->arena, v));
    }
    return true;
}

/* ---- inference ---- */

static bool broadcast_operands(Infer *c, int from, Shape *shape) {
    const Node *n = c->node;
    for (int i = from; i < n->n_in; i++) {
        if (n->in[i] && !shape_broadcast(shape, in_shape(n, i), shape)) {
            return infer_error(c, D_OPERAND_SHAPE, i, "operand %d is %s, which does not broadcast with %s", i,
                               shape_str(c->diags->arena, in_shape(n, i)), shape_str(c->diags->arena, shape));
        }
    }
    return true;
}

/* A program that a node carries: it reads `result` (if known) as input 0 and then the operands from `from` on. */
static bool check_program(Infer *c, Elem result, int from) {
    const Node *n = c->node;
    const Expr *e = n->expr;
    int lead = result ? 1 : 0;
    if (e->n_in != lead + n->n_in - from) {
        return infer_error(c, D_ARITY, -1, "the program reads %d inputs, but there are %d", e->n_in,
                           lead + n->n_in - from);
    }
    for (int i = from; i < n->n_in; i++) {
        if (!n->in[i]) return infer_error(c, D_ARITY, i, "operand %d is missing", i);
    }
    bool reads_result = false;
    for (int i = 0; i < e->n; i++) {
        if (e->inst[i].op != X_INPUT) continue;
        int operand = (int)e->inst[i].k.i - lead + from;
        bool own = e->inst[i].k.i < lead;
        reads_result = reads_result || own;
        if (e->inst[i].elem != (own ? result : in_elem(n, operand))) {
            return infer_error(c, D_OPERAND_TYPE, own ? -1 : operand, "the program reads its input %d as %s",
                               (int)e->inst[i].k.i, elem_info[e->inst[i].elem].name);
        }
    }
    if (lead && !reads_result) return infer_error(c, D_UNSUPPORTED_FORM, -1, "the epilogue does not read the result");
    return true;
}

/* The result's type is that of the program which the node stands for. */
static bool infer_elementwise(Infer *c) {
    const Node *n = c->node;
    Shape shape = {0};
    bool carries = n->op == OP_Map;
    if (carries != (n->expr != NULL)) {
        return infer_error(c, D_UNSUPPORTED_FORM, -1, carries ? "Map needs a program" : "only Map carries a program");
    }
    if (carries && !check_program(c, (Elem)0, 0)) return false;
    if (!broadcast_operands(c, 0, &shape)) return false;
    Arena *scratch = arena_nested(c->arena);
    ExprFault fault = {.operand = -1};
    const Expr *e = expr_try_node(scratch, c->node, &fault);
    if (e) {
        set_out(c, 0, e->inst[e->n - 1].elem, &shape);
    } else {
        infer_error(c, fault.id, fault.operand, "%s", fault.text);
    }
    arena_free(scratch);
    return e != NULL;
}

/* An epilogue must keep the shape of the result that it works on; it may change the element type. */
static bool infer_epilogue(Infer *c) {
    const Node *n = c->node;
    if (!has_out(n, 0)) bug("infer: an epilogue without a result");
    Type *t = &n->out[0]->type;
    Shape shape = t->shape;
    if (!check_program(c, t->elem, n->epilogue_in)) return false;
    if (!broadcast_operands(c, n->epilogue_in, &shape)) return false;
    if (!shape_equal(&shape, &t->shape)) {
        return infer_error(c, D_OPERAND_SHAPE, -1, "the epilogue's operands broadcast to %s, but the result is %s",
                           shape_str(c->diags->arena, &shape), shape_str(c->diags->arena, &t->shape));
    }
    t->elem = n->expr->inst[n->expr->n - 1].elem;
    return true;
}

static bool check_outputs(Infer *c, const OpDef *def) {
    for (int i = 0; i < c->node->n_out; i++) {
        const Value *v = c->node->out[i];
        if (!v) continue;
        if (!elem_known(v->type.elem)) bug("infer: %s left output %d without a type", def->name, i);
        if (type_bytes(&v->type) < 0) {
            return infer_error(c, D_SIZE_LIMIT, -1, "output %d is %s, more than %lld bytes", i,
                               type_str(c->diags->arena, &v->type), (long long)MAX_TENSOR_BYTES);
        }
    }
    return true;
}

bool node_infer(Diags *d, Node *n) {
    const OpDef *def = op_def(n->op);
    Infer c = {.arena = n->graph->arena, .diags = d, .node = n};
    Elem bound[26] = {(Elem)0};
    if (!check_arity(&c, def) || !check_attrs(&c, def) || !bind_types(&c, def, bound) || !check_static(&c, def)) {
        return false;
    }
    type_outputs(&c, def, bound);
    if (!(def->kind == OP_EXPR ? infer_elementwise(&c) : def->infer(&c))) return false;
    if (!check_outputs(&c, def)) return false;
    return !n->expr || def->kind == OP_EXPR || infer_epilogue(&c);
}
