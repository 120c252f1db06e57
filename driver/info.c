/* qcc info: what is in a model, or in a library. */
#include "driver/driver.h"

#include "ir/op.h"

#include <inttypes.h>
#include <stdio.h>

static void print_ports(Driver *dr, const char *what, const char *name, const Type *type) {
    printf("  %-7s %-24s %s\n", what, printable_str(dr->arena, name), type_str(dr->arena, type));
}

static const char *name_or(Driver *dr, const char *name, const char *otherwise) {
    return *name ? printable_str(dr->arena, name) : otherwise;
}

static const char *elem_name(uint32_t elem) { return elem < QCC_ELEM_END ? elem_info[elem].name : "?"; }

/* "4608 of i8, 1 bit, {-1,1}"; of floats the type says all. */
static const char *code_str(Driver *dr, uint64_t elements, uint32_t elem, uint32_t bits, const char *code) {
    const char *what = arena_printf(dr->arena, "%" PRIu64 " of %s", elements, elem_name(elem));
    if (!*code) return what;
    return arena_printf(dr->arena, "%s, %u bit%s, %s", what, bits, bits == 1 ? "" : "s", code);
}

static uint64_t slot_bytes(const qcc_slot *v) {
    qcc_port port = {.elem = v->planes ? QCC_U32 : v->elem, .rank = v->rank, .dims = v->dims};
    Type type = port_type(&port);
    if (v->planes) type.shape.dim[v->axis] = v->planes * ceil_div(v->dims[v->axis], 32);
    return (uint64_t)type_bytes(&type);
}

/* What a step reads of constants, and writes. */
static void print_tensors(Driver *dr, const qcc_step *s) {
    for (uint32_t i = 0; i < s->n_constants; i++) {
        const qcc_constant *c = &s->constants[i];
        printf("  %14s  reads %s: %s", bytes_str(dr->arena, c->bytes), name_or(dr, c->name, "a constant"),
               code_str(dr, c->elements, c->elem, c->bits, c->code));
        if (c->prep_bytes) printf("; prepared %s", bytes_str(dr->arena, c->prep_bytes));
        printf("\n");
    }
    for (uint32_t i = 0; i < s->n_slots; i++) {
        const qcc_slot *v = &s->slots[i];
        Shape shape = shape_of((int)v->rank, v->dims);
        printf("  %14s  writes %s: %s\n", bytes_str(dr->arena, slot_bytes(v)), name_or(dr, v->name, "a value"),
               code_str(dr, (uint64_t)shape_count(&shape), v->elem, v->bits, v->code));
    }
}

static void print_model(Driver *dr, const qcc_model *m) {
    uint64_t macs = 0, bit_ops = 0;
    bool tensors = command_has(&dr->cmd, O_TENSORS);
    printf("%s: compiled by qcc %s for %s\n", m->name, m->qcc_version, m->target);
    printf("  options %s\n  source  sha256 %s\n", m->options, m->source_sha256);
    for (uint32_t i = 0; i < m->n_inputs; i++) {
        Type type = port_type(&m->inputs[i]);
        print_ports(dr, "input", m->inputs[i].name, &type);
    }
    for (uint32_t i = 0; i < m->n_outputs; i++) {
        Type type = port_type(&m->outputs[i]);
        print_ports(dr, "output", m->outputs[i].name, &type);
    }
    if (m->max_batch > 1) printf("  batch   up to %u\n", m->max_batch);
    for (uint32_t i = 0; m->steps && i < m->n_steps; i++) {
        const qcc_step *s = &m->steps[i];
        macs += s->macs;
        bit_ops += s->bit_ops;
        printf("  %3u  %-36s %9s MACs %9s bit-ops %10s  %s\n", i, s->kernel, count_str(dr->arena, s->macs),
               count_str(dr->arena, s->bit_ops), bytes_str(dr->arena, s->bytes), step_nodes(dr->arena, s));
        if (tensors) print_tensors(dr, s);
    }
    const char *steps = "the table of steps was left out (--no-steps)";
    if (m->steps)
        steps = arena_printf(dr->arena, "%u steps, %s MACs, %s bit-ops", m->n_steps, count_str(dr->arena, macs),
                             count_str(dr->arena, bit_ops));
    printf("  %s, weights %s, prepared %s, work area %s + %s per worker%s\n", steps,
           bytes_str(dr->arena, m->weight_bytes), bytes_str(dr->arena, m->prep_bytes),
           bytes_str(dr->arena, m->work_bytes), bytes_str(dr->arena, m->scratch_bytes),
           m->flags & QCC_MODEL_FALLBACK ? "; calls reference kernels" : "");
}

static void print_node(Driver *dr, const Node *n, int index) {
    Text t = {.arena = dr->arena};
    text_put(&t, "", 0);
    for (int i = 0; i < n->n_out; i++) {
        if (n->out[i]) text_add(&t, "%s%s", t.n ? ", " : "", type_str(dr->arena, &n->out[i]->type));
    }
    printf("  %3d  %-22s %-28s %s\n", index, op_def(n->op)->name, t.s, printable_str(dr->arena, n->loc.node));
}

/* Elements and bytes of the constants that nodes use. */
static void count_parameters(const Graph *g, int64_t *elements, int64_t *bytes) {
    Arena *scratch = arena_nested(g->arena);
    Map seen = {0};
    for (const Node *n = g->first; n; n = n->next) {
        for (int i = 0; i < n->n_in; i++) {
            Value *v = n->in[i];
            if (!v || !v->constant || map_get_ptr(&seen, v)) continue;
            map_put_ptr(scratch, &seen, v, v);
            *elements += shape_count(&v->type.shape);
            *bytes += v->constant->splat ? elem_bytes(v->type.elem) : type_bytes(&v->type);
        }
    }
    arena_free(scratch);
}

static void print_graph(Driver *dr, const Graph *g) {
    int64_t elements = 0, bytes = 0;
    int index = 0;
    printf("%s: %s\n", g->source, printable_str(dr->arena, g->name));
    printf("  source  sha256 %s\n", g->sha256);
    for (size_t i = 0; i < g->inputs.n; i++)
        print_ports(dr, "input", g->inputs.at[i].name, &g->inputs.at[i].value->type);
    for (size_t i = 0; i < g->outputs.n; i++)
        print_ports(dr, "output", g->outputs.at[i].name, &g->outputs.at[i].value->type);
    for (const Node *n = g->first; n; n = n->next) print_node(dr, n, index++);
    count_parameters(g, &elements, &bytes);
    printf("  %d nodes, %s parameters, %s\n", index, count_str(dr->arena, (uint64_t)elements),
           bytes_str(dr->arena, (uint64_t)bytes));
}

bool info_verb(Driver *dr) {
    const char *path = single_file(dr);
    if (!path) return false;
    if (!path_is_elf(path)) {
        Graph *imported = import_graph(dr, path);
        if (!imported) return false;
        print_graph(dr, imported);
    }
    const qcc_model *m = library_open(dr, path);
    if (m) print_model(dr, m);
    return m != NULL;
}
