/* The C header of a compiled model: what it is called with, in which shapes and sizes, and how. */
#include "base/file.h"
#include "codegen/program.h"

#include <ctype.h>
#include <string.h>

/* The C type of an element, as stdint.h has it. */
static const char *c_type(Elem e) {
    switch (e) {
    case QCC_F32:
        return "float";
    case QCC_F64:
        return "double";
    case QCC_I8:
    case QCC_I4:
    case QCC_I2:
        return "int8_t";
    case QCC_I16:
        return "int16_t";
    case QCC_I32:
        return "int32_t";
    case QCC_I64:
        return "int64_t";
    case QCC_U16:
    case QCC_F16:
    case QCC_BF16:
        return "uint16_t";
    case QCC_U32:
        return "uint32_t";
    case QCC_U64:
        return "uint64_t";
    default:
        return "uint8_t";
    }
}

/* Text from the model inside a comment: nothing that could end it. */
static const char *tame(Arena *a, const char *s) {
    char *t = arena_str(a, s ? s : "");
    for (char *c = t; *c; c++)
        if (!isprint((unsigned char)*c) || (c[0] == '*' && c[1] == '/') || *c == '\\' || (c[0] == '/' && c[1] == '*'))
            *c = '?';
    return t;
}

static void add_ports(Text *t, Arena *a, const char *kind, const GraphPort *ports, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const Type *type = &ports[i].value->type;
        text_add(t, " *     %s[%zu]  %-20s %s, %lld bytes (%s)\n", kind, i, tame(a, ports[i].name), type_str(a, type),
                 (long long)type_bytes(type), c_type(type->elem));
    }
}

static const char *upper(Arena *a, const char *s) {
    char *u = arena_str(a, s);
    for (char *c = u; *c; c++) *c = (char)toupper((unsigned char)*c);
    return u;
}

static void add_sizes(Text *t, const Program *p, const char *up) {
    const Graph *g = p->graph;
    text_add(t, "#define %s_ALIGN %d\n", up, QCC_ALIGN);
    text_add(t, "#define %s_MAX_BATCH %d\n", up, p->options->max_batch);
    text_add(t, "#define %s_N_INPUTS %zu\n#define %s_N_OUTPUTS %zu\n", up, g->inputs.n, up, g->outputs.n);
    text_add(t, "#define %s_PREP_BYTES ((size_t)%lld)\n", up, (long long)p->prep_bytes);
    text_add(t, "#define %s_WORK_BYTES(workers) ((size_t)%lld + (size_t)(workers) * (size_t)%lld)\n", up,
             (long long)p->work_bytes, (long long)p->scratch_bytes);
}

static void add_example(Text *t, const Program *p, const char *name, const char *up) {
    const Graph *g = p->graph;
    text_add(t, " * A call with one sample and one thread:\n *\n");
    text_add(t, " *     const void *in[] = {");
    for (size_t i = 0; i < g->inputs.n; i++) text_add(t, "%sinput%zu", i ? ", " : "", i);
    text_add(t, "};\n *     void *out[] = {");
    for (size_t i = 0; i < g->outputs.n; i++) text_add(t, "%soutput%zu", i ? ", " : "", i);
    text_add(t, "};\n *     void *work = aligned_alloc(%s_ALIGN, %s_WORK_BYTES(1));\n", up, up);
    if (p->prep_bytes) {
        text_add(t, " *     void *prep = aligned_alloc(%s_ALIGN, %s_PREP_BYTES);\n", up, up);
        text_add(t, " *     %s_prepare(prep); // once\n", name);
    }
    text_add(t, " *     int status = %s_run(in, out, 1, %s, work, NULL);\n", name, p->prep_bytes ? "prep" : "NULL");
}

bool header_write(Program *p, const char *path) {
    Arena *a = p->arena;
    const char *name = p->options->name, *up = upper(a, name);
    Text t = {.arena = a};
    text_add(&t, "/* %s: a compiled model. Made by qcc %s for %s.\n *\n", name, QCC_VERSION, p->target->triple);
    text_add(&t, " * Tensors are dense and row-major; a batch of n samples is n of them one after the other.\n *\n");
    add_ports(&t, a, "inputs", p->graph->inputs.at, p->graph->inputs.n);
    add_ports(&t, a, "outputs", p->graph->outputs.at, p->graph->outputs.n);
    text_add(&t, " *\n");
    add_example(&t, p, name, up);
    text_add(&t, " */\n#ifndef QCC_MODEL_%s_H\n#define QCC_MODEL_%s_H\n\n#include <qcc/qcc.h>\n\n", up, up);
    add_sizes(&t, p, up);
    text_add(&t, "\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n");
    text_add(&t, "/* Makes the weights ready in `prep` (%s_PREP_BYTES; NULL if 0), once. Returns QCC_OK. */\n", up);
    text_add(&t, "int %s_prepare(void *prep);\n", name);
    text_add(&t,
             "/* Runs n samples, 1 to %s_MAX_BATCH. work: %s_WORK_BYTES(workers) bytes aligned to %s_ALIGN, "
             "workers being 1\n * where exec is NULL. Returns a qcc_status. */\n",
             up, up, up);
    text_add(&t,
             "int %s_run(const void *const *inputs, void *const *outputs, size_t n, const void *prep, void *work,\n",
             name);
    text_add(&t,
             "    const qcc_exec *exec);\n/* What the model is, for tools. */\nextern const qcc_model %s_qcc_model;\n",
             name);
    text_add(&t, "\n#ifdef __cplusplus\n}\n#endif\n#endif\n");
    return file_write(p->diags, path, t.s, t.n);
}
