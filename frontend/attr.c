/* AttributeProto to Attr. Files before IR version 2 may lack the kind; it is then that of the field that is set. A
 * reference (ref_attr_name) within a function stands for the calling node's attribute, or is absent like it. */
#include <string.h>

#include "frontend/import.h"

const Onnx__AttributeProto *attr_resolve(const Scope *s, const Onnx__AttributeProto *p) {
    if (!p->ref_attr_name || !*p->ref_attr_name) return p;
    return s->call ? map_get(&s->call->attrs, p->ref_attr_name) : NULL;
}

const Onnx__AttributeProto *attr_find(const Scope *s, const Onnx__NodeProto *n, const char *name) {
    for (size_t i = 0; i < n->n_attribute; i++) {
        if (strcmp(proto_str(n->attribute[i]->name), name) == 0) return attr_resolve(s, n->attribute[i]);
    }
    return NULL;
}

static int kind_of(const Onnx__AttributeProto *p) {
    if (p->type != ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__UNDEFINED) return (int)p->type;
    if (p->has_f) return ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
    if (p->has_i) return ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
    if (p->has_s) return ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING;
    if (p->t) return ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR;
    if (p->g) return ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH;
    if (p->n_floats) return ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS;
    if (p->n_ints) return ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
    if (p->n_strings) return ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS;
    return ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__UNDEFINED;
}

static const char *text_of(Arena *a, ProtobufCBinaryData b) { return arena_strn(a, (const char *)b.data, b.len); }

static const int64_t *copy_ints(Arena *a, const Onnx__AttributeProto *p) {
    return p->n_ints ? arena_copy(a, p->ints, p->n_ints * sizeof *p->ints) : NEW_ARRAY(a, int64_t, 1);
}

static const double *copy_floats(Arena *a, const Onnx__AttributeProto *p) {
    double *v = NEW_ARRAY(a, double, p->n_floats + 1);
    for (size_t i = 0; i < p->n_floats; i++) v[i] = (double)p->floats[i];
    return v;
}

static const char *const *copy_strings(Arena *a, const Onnx__AttributeProto *p) {
    const char **v = NEW_ARRAY(a, const char *, p->n_strings + 1);
    for (size_t i = 0; i < p->n_strings; i++) v[i] = text_of(a, p->strings[i]);
    return v;
}

/* False where the kind is none that an operator of ours takes. */
static bool convert(Import *imp, const Onnx__AttributeProto *p, Loc loc, Attr *out) {
    Arena *a = imp->arena;
    switch (kind_of(p)) {
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT:
        *out = (Attr){.kind = ATTR_INT, .i = p->i};
        return true;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT:
        *out = (Attr){.kind = ATTR_FLOAT, .f = (double)p->f};
        return true;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING:
        *out = (Attr){.kind = ATTR_STRING, .s = text_of(a, p->s)};
        return true;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS:
        *out = (Attr){.kind = ATTR_INTS, .n = (int64_t)p->n_ints, .ints = copy_ints(a, p)};
        return true;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS:
        *out = (Attr){.kind = ATTR_FLOATS, .n = (int64_t)p->n_floats, .floats = copy_floats(a, p)};
        return true;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS:
        *out = (Attr){.kind = ATTR_STRINGS, .n = (int64_t)p->n_strings, .strings = copy_strings(a, p)};
        return true;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR:
        *out = (Attr){.kind = ATTR_TENSOR};
        return p->t && (out->t = import_tensor(imp, p->t, loc));
    default:
        return false;
    }
}

static bool refuse(Import *imp, Loc loc, const char *name, const char *why) {
    diag(imp->d, D_ATTRIBUTE, loc, "attribute '%s' %s", name, why);
    return false;
}

bool attrs_import(Import *imp, const Scope *s, const Onnx__NodeProto *n, Loc loc, Draft *out) {
    if (n->n_attribute > MAX_ATTRS) {
        diag(imp->d, D_MODEL_LIMIT, loc, "the node has %zu attributes, at most %d are supported", n->n_attribute,
             MAX_ATTRS);
        return false;
    }
    for (size_t i = 0; i < n->n_attribute; i++) {
        const char *name = arena_str(imp->arena, proto_str(n->attribute[i]->name));
        const Onnx__AttributeProto *p = attr_resolve(s, n->attribute[i]);
        Attr a;
        if (!*name) return refuse(imp, loc, name, "has no name");
        if (draft_attr(out, name)) return refuse(imp, loc, name, "is given twice");
        if (!p) continue;
        int errors = imp->d->n_errors;
        if (!convert(imp, p, loc, &a)) {
            return imp->d->n_errors > errors ? false
                                             : refuse(imp, loc, name, "is of a kind that is not supported here");
        }
        a.name = name;
        draft_put(out, a);
    }
    return true;
}
