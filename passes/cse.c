/* Common subexpressions: nodes with the same operator, operands, attributes and program; and constants with the same
 * type and bytes. Nodes are found through a hash of what they are. Requires: a verified graph. Keeps: canonical form.
 * Breaks: nothing. */
#include "passes/pass.h"
#include "passes/rewrite.h"

#include <string.h>

static uint64_t mix(uint64_t h, uint64_t v) {
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ (h >> 29);
}

static uint64_t hash_bytes(uint64_t h, const void *p, size_t n) {
    const uint8_t *b = p;
    for (; n >= 8; n -= 8, b += 8) {
        uint64_t word;
        memcpy(&word, b, 8);
        h = mix(h, word);
    }
    for (size_t i = 0; i < n; i++) h = mix(h, b[i]);
    return h;
}

static uint64_t hash_node(const Node *n) {
    uint64_t h = mix((uint64_t)n->op, (uint64_t)n->n_out);
    for (int i = 0; i < n->n_in; i++) h = mix(h, n->in[i] ? (uint64_t)n->in[i]->id + 1 : 0);
    return mix(h, (uint64_t)n->n_attr);
}

static bool attr_equal(const Attr *p, const Attr *q) {
    if (p->kind != q->kind) return false;
    switch (p->kind) {
    case ATTR_INT:
        return p->i == q->i;
    case ATTR_FLOAT:
        return memcmp(&p->f, &q->f, sizeof p->f) == 0;
    case ATTR_STRING:
        return strcmp(p->s, q->s) == 0;
    case ATTR_INTS:
        return p->n == q->n && (p->n == 0 || memcmp(p->ints, q->ints, (size_t)p->n * sizeof *p->ints) == 0);
    default:
        return p == q;
    }
}

bool node_alike(const Node *p, const Node *q) {
    if (p->op != q->op || p->n_in != q->n_in || p->n_out != q->n_out || p->n_attr != q->n_attr) return false;
    if (!p->expr != !q->expr || (p->expr && !expr_equal(p->expr, q->expr))) return false;
    if (p->epilogue_in != q->epilogue_in) return false;
    for (int i = 0; i < p->n_in; i++)
        if (!p->in[i] != !q->in[i]) return false;
    for (int i = 0; i < p->n_out; i++)
        if (!p->out[i] != !q->out[i]) return false;
    for (int i = 0; i < p->n_attr; i++) {
        const Attr *other = node_attr(q, p->attr[i].name);
        if (!other || !attr_equal(&p->attr[i], other)) return false;
    }
    return true;
}

static bool node_equal(const Node *p, const Node *q) {
    if (!node_alike(p, q)) return false;
    for (int i = 0; i < p->n_in; i++)
        if (p->in[i] != q->in[i]) return false;
    for (int i = 0; i < p->n_out; i++)
        if (p->out[i] && !type_equal(&p->out[i]->type, &q->out[i]->type)) return false;
    return true;
}

static size_t stored_bytes(const Tensor *t) {
    return (size_t)(t->splat ? elem_bytes(t->type.elem) : type_bytes(&t->type));
}

static bool constant_equal(const Tensor *p, const Tensor *q) {
    return type_equal(&p->type, &q->type) && p->splat == q->splat &&
           (p->data == q->data || memcmp(p->data, q->data, stored_bytes(p)) == 0);
}

typedef struct Entry {
    struct Entry *next;
    Node *node;
    Value *constant;
} Entry;

typedef struct Table {
    Arena *arena;
    Entry **buckets;
    size_t mask;
    Map seen; /* constants met already */
} Table;

static Entry **bucket(Table *t, uint64_t h) { return &t->buckets[h & t->mask]; }

static void add_entry(Table *t, uint64_t h, Node *n, Value *c) {
    Entry *e = NEW(t->arena, Entry), **head = bucket(t, h);
    *e = (Entry){.next = *head, .node = n, .constant = c};
    *head = e;
}

/* The constant to use instead of v. */
static Value *shared_constant(Table *t, Value *v) {
    Value *known = map_get_ptr(&t->seen, v);
    if (known) return known;
    const Tensor *data = v->constant;
    uint64_t h = hash_bytes(mix(~0u, (uint64_t)data->type.elem), data->data, stored_bytes(data));
    known = v;
    for (Entry *e = *bucket(t, h); e; e = e->next)
        if (e->constant && constant_equal(e->constant->constant, data)) known = e->constant;
    if (known == v) add_entry(t, h, NULL, v);
    map_put_ptr(t->arena, &t->seen, v, known);
    return known;
}

static void share_node(Table *t, Node *n) {
    for (int i = 0; i < n->n_in; i++) {
        if (!n->in[i] || !n->in[i]->constant) continue;
        Value *shared = shared_constant(t, n->in[i]);
        if (shared != n->in[i]) node_set_in(n, i, shared);
    }
    if (op_def(n->op)->kind == OP_CONTROL) return;
    uint64_t h = hash_node(n);
    for (Entry *e = *bucket(t, h); e; e = e->next) {
        if (!e->node || !node_equal(e->node, n)) continue;
        for (int i = 0; i < n->n_out; i++)
            if (n->out[i]) graph_replace(n->graph, n->out[i], e->node->out[i]);
        graph_erase(n);
        return;
    }
    add_entry(t, h, n, NULL);
}

bool pass_cse(Graph *g, Diags *d) {
    (void)d;
    size_t n_nodes = 0, size = 64;
    for (const Node *n = g->first; n; n = n->next) n_nodes++;
    while (size < 2 * n_nodes) size *= 2;
    Table t = {.arena = arena_nested(g->arena), .mask = size - 1};
    t.buckets = NEW_ARRAY(t.arena, Entry *, size);
    for (Node *n = g->first, *next; n; n = next) {
        next = n->next;
        share_node(&t, n);
    }
    arena_free(t.arena);
    return true;
}
