/* qcc info: what is in a model, or in a library. */
#include "driver/driver.h"

#include "ir/op.h"

#include <stdio.h>

static void print_ports(Driver *dr, const char *what, const char *name, const Type *type) {
    printf("  %-7s %-24s %s\n", what, printable_str(dr->arena, name), type_str(dr->arena, type));
}

static void print_model(Driver *dr, const qcc_model *m) {
    uint64_t macs = 0;
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
        printf("  %3u  %-44s %10s MACs %10s  %s\n", i, s->kernel, count_str(dr->arena, s->macs),
               bytes_str(dr->arena, s->bytes), step_nodes(dr->arena, s));
    }
    printf("  %u steps, %s MACs, weights %s, prepared %s, work area %s + %s per worker%s\n", m->n_steps,
           count_str(dr->arena, macs), bytes_str(dr->arena, m->weight_bytes), bytes_str(dr->arena, m->prep_bytes),
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
