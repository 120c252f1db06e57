/* Attributes of nodes. A node keeps only those it was given; defaults come from the operator table. */
#include "ir/op.h"

#include <string.h>

static Attr *given(const Node *n, const char *name) {
    for (int i = 0; i < n->n_attr; i++) {
        if (strcmp(n->attr[i].name, name) == 0) return &n->attr[i];
    }
    return NULL;
}

const Attr *node_attr(const Node *n, const char *name) { return given(n, name); }

/* The attribute or its default; NULL where it has neither. */
static const Attr *lookup(const Node *n, const char *name, AttrKind kind) {
    const OpDef *def = op_def(n->op);
    for (int i = 0; i < def->n_attr; i++) {
        const OpAttr *row = &def->attr[i];
        if (strcmp(row->name, name) != 0) continue;
        const Attr *a = given(n, name);
        if (!a) return row->has_default ? &row->value : NULL;
        if (row->kind != kind || a->kind != kind) bug("attribute '%s' of %s read as another kind", name, def->name);
        return a;
    }
    bug("%s has no attribute '%s'", def->name, name);
}

int64_t node_int(const Node *n, const char *name) {
    const Attr *a = lookup(n, name, ATTR_INT);
    return a ? a->i : 0;
}

double node_float(const Node *n, const char *name) {
    const Attr *a = lookup(n, name, ATTR_FLOAT);
    return a ? a->f : 0;
}

const char *node_string(const Node *n, const char *name) {
    const Attr *a = lookup(n, name, ATTR_STRING);
    return a ? a->s : NULL;
}

const int64_t *node_ints(const Node *n, const char *name, int *count) {
    const Attr *a = lookup(n, name, ATTR_INTS);
    *count = a ? (int)a->n : 0;
    return a ? a->ints : NULL;
}

void node_set_attr(Node *n, const Attr *a) {
    Attr *slot = given(n, a->name);
    if (!slot) {
        Attr *grown = NEW_ARRAY(n->graph->arena, Attr, n->n_attr + 1);
        if (n->n_attr) memcpy(grown, n->attr, (size_t)n->n_attr * sizeof *grown);
        n->attr = grown;
        slot = &grown[n->n_attr++];
    }
    *slot = *a;
}

void node_set_int(Node *n, const char *name, int64_t v) {
    node_set_attr(n, &(Attr){.name = arena_str(n->graph->arena, name), .kind = ATTR_INT, .i = v});
}

void node_set_float(Node *n, const char *name, double v) {
    node_set_attr(n, &(Attr){.name = arena_str(n->graph->arena, name), .kind = ATTR_FLOAT, .f = v});
}

void node_set_string(Node *n, const char *name, const char *v) {
    Arena *a = n->graph->arena;
    node_set_attr(n, &(Attr){.name = arena_str(a, name), .kind = ATTR_STRING, .s = arena_str(a, v)});
}

void node_set_ints(Node *n, const char *name, int64_t count, const int64_t *v) {
    Arena *a = n->graph->arena;
    const int64_t *copy = count ? arena_copy(a, v, (size_t)count * sizeof *v) : NULL;
    node_set_attr(n, &(Attr){.name = arena_str(a, name), .kind = ATTR_INTS, .n = count, .ints = copy});
}
