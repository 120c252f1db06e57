/* What files note about the widths of numbers beside the operators: attributes of DORY (weight_bits and the like) and
 * QONNX's quantization_annotation (finn_datatype). The notes bind nothing: values are what the operators make. They are
 * held against the constants, and one that contradicts them is worth a word. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/import.h"

/* ---- ranges -------------------------------------------------------------------------------------------------------
 */

/* What a type name or a width admits: whole numbers from low to high; bipolar: without 0. */
typedef struct Domain {
    double low, high;
    bool any, bipolar;
} Domain;

/* Signed or not is left open where only a width is given. */
static Domain of_width(double bits, bool is_signed) {
    return (Domain){.low = is_signed ? -exp2(bits - 1) : 0, .high = exp2(is_signed ? bits - 1 : bits) - 1};
}

static bool admits(const Domain *d, double v) {
    if (d->any) return true;
    return v >= d->low && v <= d->high && v == floor(v) && !(d->bipolar && v == 0);
}

/* The first stored element that is not admitted; -1: none. */
static int64_t find_breach(const Domain *d, const Tensor *t) {
    int64_t n = t->splat ? i64_min(1, shape_count(&t->type.shape)) : shape_count(&t->type.shape);
    for (int64_t i = 0; i < n; i++) {
        if (!admits(d, tensor_get(t, i))) return i;
    }
    return -1;
}

/* ---- attributes ---------------------------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    int operand; /* whose width it is */
} widths[] = {{"weight_bits", 1}, {"bias_bits", 2}, {"mult_bits", 1}, {"add_bits", 1}, {"out_bits", -1}};

enum { MAX_WIDTH = 64 };

static bool fits_width(const Tensor *t, int64_t bits) {
    Domain s = of_width((double)bits, true), u = of_width((double)bits, false);
    return find_breach(&s, t) < 0 || find_breach(&u, t) < 0;
}

/* The result's width is that of a Clip's limits. */
static bool limits_fit(const Draft *d, int64_t bits) {
    const Value *low = draft_in(d, 1), *high = draft_in(d, 2);
    if (strcmp(d->op, "Clip") != 0 || !low || !high || !low->constant || !high->constant) return true;
    Domain of = of_width((double)bits, tensor_get(low->constant, 0) < 0);
    return find_breach(&of, low->constant) < 0 && find_breach(&of, high->constant) < 0;
}

static void check_width(const Draft *d, const char *name, int operand, int64_t bits) {
    Import *imp = d->imp;
    if (bits < 1 || bits > MAX_WIDTH) {
        diag(imp->d, D_ANNOTATION, d->loc, "attribute '%s' is %" PRId64 "; wanted 1 to %d", name, bits, MAX_WIDTH);
        return;
    }
    const Value *v = operand < 0 ? NULL : draft_in(d, (size_t)operand);
    bool fits = operand < 0 ? limits_fit(d, bits) : !v || !v->constant || fits_width(v->constant, bits);
    if (!fits)
        diag(imp->d, D_ANNOTATION, d->loc, "attribute '%s' says %" PRId64 " bits, which the values of %s exceed", name,
             bits, operand < 0 ? "the result" : arena_printf(imp->arena, "operand %d", operand));
}

static bool has_attr(const OpDef *def, const char *name) {
    for (int i = 0; i < def->n_attr; i++) {
        if (strcmp(def->attr[i].name, name) == 0) return true;
    }
    return false;
}

void draft_check_widths(Draft *d, const OpDef *def) {
    for (size_t i = 0; i < COUNT_OF(widths); i++) {
        const Attr *a = draft_attr(d, widths[i].name);
        if (!a || a->kind != ATTR_INT || has_attr(def, widths[i].name)) continue;
        check_width(d, widths[i].name, widths[i].operand, a->i);
        draft_drop(d, widths[i].name);
    }
}

/* ---- finn_datatype --------------------------------------------------------------------------------------------------
 */

static bool starts_with(const char *s, const char *with) { return strncmp(s, with, strlen(with)) == 0; }

static bool whole_width(const char *s, double *bits) {
    char *end;
    *bits = strtod(s, &end);
    return end != s && !*end && *bits >= 1 && *bits <= (double)MAX_WIDTH && *bits == floor(*bits);
}

static bool read_datatype(const char *name, Domain *d) {
    double bits;
    *d = (Domain){.any = starts_with(name, "FLOAT") || starts_with(name, "FIXED<") || starts_with(name, "SCALEDINT<")};
    if (d->any) return true;
    if (strcmp(name, "BIPOLAR") == 0) *d = (Domain){-1, 1, .bipolar = true};
    if (strcmp(name, "TERNARY") == 0) *d = (Domain){-1, 1, .any = false};
    if (strcmp(name, "BINARY") == 0) *d = (Domain){0, 1, .any = false};
    if (d->high > 0) return true;
    bool is_signed = starts_with(name, "INT");
    if (!is_signed && !starts_with(name, "UINT")) return false;
    if (!whole_width(name + (is_signed ? 3 : 4), &bits)) return false;
    *d = of_width(bits, is_signed);
    return true;
}

bool datatype_known(const char *name) {
    Domain d;
    return read_datatype(name, &d);
}

bool datatype_admits(const char *name, double low, double high) {
    Domain d;
    return !read_datatype(name, &d) || (admits(&d, low) && admits(&d, high));
}

static void check_datatype(Import *imp, const Scope *s, const char *tensor, const char *name) {
    Loc loc = {.file = imp->file, .index = -1};
    const Value *v = scope_find(s, tensor);
    Domain d;
    if (!read_datatype(name, &d)) {
        diag(imp->d, D_ANNOTATION, loc, "'%s' is annotated '%s', which is no type of numbers that is known", tensor,
             name);
        return;
    }
    int64_t at = v && !is_poison(imp, v) && v->constant ? find_breach(&d, v->constant) : -1;
    if (at >= 0)
        diag(imp->d, D_ANNOTATION, loc, "'%s' is annotated %s, but its element %" PRId64 " is %g", tensor, name, at,
             tensor_get(v->constant, at));
}

void check_annotations(Import *imp, const Scope *s) {
    const Onnx__GraphProto *g = imp->model->graph;
    Map seen = {0}; /* tensor -> datatype */
    for (size_t i = 0; i < g->n_quantization_annotation; i++) {
        const Onnx__TensorAnnotation *a = g->quantization_annotation[i];
        const char *tensor = proto_str(a->tensor_name);
        for (size_t k = 0; k < a->n_quant_parameter_tensor_names; k++) {
            const Onnx__StringStringEntryProto *entry = a->quant_parameter_tensor_names[k];
            if (strcmp(proto_str(entry->key), "finn_datatype") != 0) continue;
            const char *name = arena_str(imp->arena, proto_str(entry->value)), *other = map_get(&seen, tensor);
            if (other && strcmp(other, name) != 0)
                diag(imp->d, D_ANNOTATION, (Loc){.file = imp->file, .index = -1}, "'%s' is annotated both %s and %s",
                     tensor, other, name);
            if (!other) check_datatype(imp, s, tensor, name);
            map_put(imp->arena, &seen, tensor, (void *)(uintptr_t)name);
        }
    }
}
