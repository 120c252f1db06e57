/* Model-local functions (IR version 8): a call is replaced by the function's nodes, in a scope of their own. The
 * call's attributes are what references within the body resolve to. */
#include <string.h>

#include "frontend/import.h"
#include "frontend/own.h"

static const char *key_of(Arena *a, const char *domain, const char *name, const char *overload) {
    return arena_printf(a, "%s\n%s\n%s", domain_short(domain), name, overload);
}

bool check_opset_count(Import *imp, size_t n) {
    if (n <= MAX_OPSETS) return true;
    diag(imp->d, D_MODEL_LIMIT, (Loc){.file = imp->file, .index = -1},
         "%zu operator sets are imported, at most %d are supported", n, MAX_OPSETS);
    return false;
}

void functions_collect(Import *imp) {
    for (size_t i = 0; i < imp->model->n_functions; i++) {
        Onnx__FunctionProto *f = imp->model->functions[i];
        if (own_match(imp->arena, f)) continue; /* calls of it are operators */
        const char *overload = proto_function_overload(imp->arena, f);
        if (!check_opset_count(imp, f->n_opset_import)) return;
        const char *key = key_of(imp->arena, proto_str(f->domain), proto_str(f->name), overload);
        if (map_get(&imp->functions, key)) {
            diag(imp->d, D_GRAPH_STRUCTURE, (Loc){.file = imp->file, .index = -1}, "function '%s' is defined twice",
                 proto_str(f->name));
        } else {
            map_put(imp->arena, &imp->functions, key, f);
        }
    }
}

const Onnx__FunctionProto *function_find(Import *imp, const Onnx__NodeProto *n) {
    if (imp->functions.n == 0) return NULL;
    const char *overload = proto_overload(imp->arena, n);
    return map_get(&imp->functions, key_of(imp->arena, proto_str(n->domain), proto_str(n->op_type), overload));
}

int64_t opset_version(Import *imp, const Scope *s, const char *domain) {
    const Onnx__FunctionProto *f = s->call ? s->call->function : NULL;
    size_t n = f ? f->n_opset_import : imp->model->n_opset_import;
    Onnx__OperatorSetIdProto **list = f ? f->opset_import : imp->model->opset_import;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(domain_short(proto_str(list[i]->domain)), domain_short(domain)) == 0) return list[i]->version;
    }
    /* Before IR version 3 there were no imports, and one operator set. */
    return !f && imp->model->ir_version < 3 && *domain_short(domain) == '\0' ? 1 : 0;
}

static bool is_active(const Call *c, const Onnx__FunctionProto *f) {
    for (; c; c = c->outer) {
        if (c->function == f) return true;
    }
    return false;
}

/* The attributes that references in the body see: the function's defaults, then the call's own. */
static void bind_attrs(Import *imp, const Scope *s, const Onnx__NodeProto *n, Call *c) {
    Onnx__AttributeProto **defaults;
    size_t n_defaults = proto_function_defaults(imp->arena, c->function, &defaults);
    for (size_t i = 0; i < n_defaults; i++) {
        map_put(imp->arena, &c->attrs, proto_str(defaults[i]->name), defaults[i]);
    }
    for (size_t i = 0; i < n->n_attribute; i++) {
        const Onnx__AttributeProto *p = attr_resolve(s, n->attribute[i]);
        if (p) map_put(imp->arena, &c->attrs, proto_str(n->attribute[i]->name), (void *)(uintptr_t)p);
    }
}

static bool check_call(Import *imp, const Scope *s, const Onnx__NodeProto *n, const Onnx__FunctionProto *f, Loc loc) {
    if (is_active(s->call, f)) {
        diag(imp->d, D_GRAPH_STRUCTURE, loc, "function '%s' calls itself", proto_str(f->name));
        return false;
    }
    if (n->n_input > f->n_input || n->n_output > f->n_output) {
        diag(imp->d, D_ARITY, loc, "the call has %zu inputs and %zu outputs, function '%s' has %zu and %zu", n->n_input,
             n->n_output, proto_str(f->name), f->n_input, f->n_output);
        return false;
    }
    return walk_step(imp, loc);
}

void function_inline(Import *imp, Scope *s, const Onnx__NodeProto *n, const Onnx__FunctionProto *f, Loc loc,
                     Value *const *in, Value **out) {
    Call call = {.outer = s->call, .function = f};
    Scope body = {.call = &call};
    int errors = imp->d->n_errors;
    for (size_t i = 0; i < n->n_output; i++) out[i] = import_poison(imp);
    if (!check_call(imp, s, n, f, loc)) return;
    bind_attrs(imp, s, n, &call);
    const char *name = *loc.node ? loc.node : loc.op;
    body.prefix = arena_printf(imp->arena, "%s/", name);
    for (size_t i = 0; i < f->n_input; i++) {
        scope_bind(imp, &body, loc, f->input[i], i < n->n_input && in[i] ? in[i] : &imp->absent);
    }
    imp->depth++;
    if (imp->depth > MAX_CALL_DEPTH)
        diag(imp->d, D_MODEL_LIMIT, loc, "functions and bodies are nested more than %d deep", MAX_CALL_DEPTH);
    else
        walk_nodes(imp, &body, f->n_node, f->node);
    imp->depth--;
    for (size_t i = 0; i < n->n_output; i++) {
        Value *v = scope_find(&body, f->output[i]);
        if (v && v != &imp->absent)
            out[i] = v;
        else if (imp->d->n_errors == errors)
            diag(imp->d, D_GRAPH_STRUCTURE, loc, "output '%s' of function '%s' is made by none of its nodes",
                 f->output[i], proto_str(f->name));
    }
}
