/* Function bodies from their text, and back: a function in a file is ours if it packs to the same bytes. */
#include "frontend/own.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/write.h"
#include "ir/op.h"

static const struct {
    OpId op;
    const char *name, *inputs, *body;
} rows[] = {
#define OWN(name, inputs, body) {OP_##name, #name, inputs, body},
#include "frontend/own.def"
#undef OWN
};

static int find_row(OpId op) {
    for (int i = 0; i < (int)COUNT_OF(rows); i++)
        if (rows[i].op == op) return i;
    return -1;
}

bool own_has(OpId op) { return find_row(op) >= 0; }

/* ---- the text ---- */

typedef struct Body {
    Arena *a;
    Onnx__FunctionProto *f;
    const char *at;
    int n_constants;
} Body;

NORETURN static void malformed(const Body *b) { bug("own.def: %s: cannot read '%s'", b->f->name, b->at); }

static bool accept(Body *b, char c) {
    b->at += strspn(b->at, " ");
    if (*b->at != c) return false;
    b->at++;
    return true;
}

static const char *read_name(Body *b) {
    b->at += strspn(b->at, " ");
    const char *start = b->at;
    while (isalnum((unsigned char)*b->at)) b->at++;
    if (b->at == start) malformed(b);
    return arena_strn(b->a, start, (size_t)(b->at - start));
}

static void add_node(Body *b, Onnx__NodeProto *n) { proto_push(b->a, b->f->n_node, b->f->node, n); }

/* A Constant for the number or list at hand; its name. */
static const char *read_constant(Body *b) {
    char *end;
    Onnx__NodeProto *n = node_proto(b->a, "", "Constant");
    const char *name = arena_printf(b->a, "c%d", b->n_constants++);
    if (accept(b, '[')) {
        int64_t *v = NEW(b->a, int64_t);
        *v = strtoll(b->at, &end, 10);
        b->at = end;
        if (!accept(b, ']')) malformed(b);
        node_proto_ints(b->a, n, "value_ints", 1, v);
    } else {
        node_proto_float(b->a, n, "value_float", strtof(b->at, &end));
        if (end == b->at) malformed(b);
        b->at = end;
    }
    node_proto_out(b->a, n, name);
    add_node(b, n);
    return name;
}

static void read_argument(Body *b, Onnx__NodeProto *n) {
    b->at += strspn(b->at, " ");
    if (!isalpha((unsigned char)*b->at)) {
        node_proto_in(b->a, n, read_constant(b));
        return;
    }
    const char *name = read_name(b);
    if (accept(b, '=')) {
        char *end;
        node_proto_int(b->a, n, name, strtoll(b->at, &end, 10));
        b->at = end;
    } else {
        node_proto_in(b->a, n, name);
    }
}

static void read_statement(Body *b) {
    const char *result = read_name(b);
    if (!accept(b, '=')) malformed(b);
    Onnx__NodeProto *n = node_proto(b->a, "", read_name(b));
    if (!accept(b, '(')) malformed(b);
    do read_argument(b, n);
    while (accept(b, ','));
    if (!accept(b, ')')) malformed(b);
    node_proto_out(b->a, n, result);
    add_node(b, n);
}

static void read_inputs(Body *b, const char *inputs) {
    for (b->at = inputs; *b->at;) {
        char *name = (char *)(uintptr_t)read_name(b);
        proto_push(b->a, b->f->n_input, b->f->input, name);
    }
}

Onnx__FunctionProto *own_function(Arena *a, OpId op, int64_t opset) {
    static char result[] = "y", attribute[] = "scheme", domain[] = OWN_DOMAIN;
    int row = find_row(op);
    if (row < 0) bug("own_function: %s has none", op_def(op)->name);
    Body b = {.a = a, .f = NEW(a, Onnx__FunctionProto)};
    onnx__function_proto__init(b.f);
    b.f->name = (char *)(uintptr_t)rows[row].name;
    b.f->domain = domain;
    read_inputs(&b, rows[row].inputs);
    proto_push(a, b.f->n_output, b.f->output, result);
    proto_push(a, b.f->n_attribute, b.f->attribute, attribute);
    b.at = rows[row].body;
    do read_statement(&b);
    while (accept(&b, ';'));
    if (*b.at) malformed(&b);
    if (opset) proto_push(a, b.f->n_opset_import, b.f->opset_import, opset_proto(a, "", opset));
    return b.f;
}

/* ---- and back ---- */

static ProtoBytes pack(Arena *a, const Onnx__FunctionProto *f) {
    ProtoBytes b = {.bytes = onnx__function_proto__get_packed_size(f)};
    uint8_t *data = arena_get(a, b.bytes + 1);
    onnx__function_proto__pack(f, data);
    b.data = data;
    return b;
}

/* A copy without what may differ: remarks, names of nodes, the operator set, fields that are newer than the proto. */
static const Onnx__FunctionProto *bare(Arena *a, const Onnx__FunctionProto *f) {
    Onnx__FunctionProto *copy = arena_copy(a, f, sizeof *f);
    copy->doc_string = NULL;
    copy->n_opset_import = 0;
    copy->base.n_unknown_fields = 0;
    copy->node = NEW_ARRAY(a, Onnx__NodeProto *, f->n_node + 1);
    for (size_t i = 0; i < f->n_node; i++) {
        copy->node[i] = arena_copy(a, f->node[i], sizeof *f->node[i]);
        copy->node[i]->doc_string = NULL;
        copy->node[i]->name = NULL;
        copy->node[i]->base.n_unknown_fields = 0;
        if (copy->node[i]->domain && !*copy->node[i]->domain) copy->node[i]->domain = NULL;
    }
    return copy;
}

OpId own_match(Arena *a, const Onnx__FunctionProto *f) {
    if (strcmp(proto_str(f->domain), OWN_DOMAIN) != 0) return OP_NONE;
    OpId op = op_find(proto_str(f->name));
    if (op == OP_NONE || !own_has(op)) return OP_NONE;
    Arena *scratch = arena_nested(a);
    ProtoBytes found = pack(scratch, bare(scratch, f)), ours = pack(scratch, own_function(scratch, op, 0));
    bool same = found.bytes == ours.bytes && memcmp(found.data, ours.data, ours.bytes) == 0;
    arena_free(scratch);
    return same ? op : OP_NONE;
}
