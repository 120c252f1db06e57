/* The order of things in code generation. */
#include "codegen/codegen.h"
#include "base/file.h"
#include "codegen/llvm.h"
#include "codegen/program.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void fill_report(Program *p, CompileReport *r) {
    r->triple = p->target->triple;
    r->cpu = p->target->cpu;
    r->weight_bytes = p->weight_bytes;
    r->prep_bytes = p->prep_bytes;
    r->work_bytes = p->work_bytes;
    r->scratch_bytes = p->scratch_bytes;
    for (size_t i = 0; i < p->steps.n; i++) {
        const Step *s = p->steps.at[i];
        CompiledStep c = {.kernel = s->name,
                          .nodes = step_node_name(s),
                          .macs = s->plan.macs,
                          .bytes = step_bytes(s),
                          .tasks = s->plan.n_tasks,
                          .fallback = s->plan.fallback};
        vec_push(p->arena, &r->steps, c);
    }
}

static bool write_graph(Program *p, const char *path) {
    Text t = {.arena = p->arena};
    graph_print(&t, p->graph, 0);
    return file_write(p->diags, path, t.s, t.n);
}

/* Shared libraries exist on hosted ELF targets; elsewhere the library is an object. */
static bool has_shared(const Target *t) { return t->elf && !strstr(t->triple, "none"); }

static bool write_code(Program *p, EmitKind kind, const char *output, CompileReport *r) {
    double start = now();
    if (kind == EMIT_LIB && !has_shared(p->target)) kind = EMIT_OBJ;
    bool text = kind == EMIT_ASM || kind == EMIT_LLVM, alone = text || !p->target->elf;
    p->em = em_new(p->arena, p->diags, p->target, p->options->name, p->options->level);
    if (!p->em) return false;
    module_emit(p, alone);
    em_optimise(p->em);
    const char *dir = file_temp_dir(p->arena, p->diags);
    if (!dir) return false;
    const char *inputs[] = {arena_printf(p->arena, "%s/code.o", dir), arena_printf(p->arena, "%s/weights.o", dir)};
    if (!em_write(p->em, text ? kind : EMIT_OBJ, inputs[0])) return false;
    r->seconds_emit = now() - start;
    start = now();
    const char *made = inputs[0];
    if (!alone) {
        made = arena_printf(p->arena, "%s/linked", dir);
        if (p->weight_bytes && !weights_write(p, inputs[1])) return false;
        if (!link_run(p, kind, inputs, p->weight_bytes ? 2 : 1, made)) return false;
    }
    bool ok = file_copy(p->diags, made, output);
    r->seconds_link = now() - start;
    return ok;
}

bool codegen_run(Arena *a, Diags *d, Graph *g, const CodegenOptions *o, EmitKind kind, const char *output,
                 CompileReport *report) {
    CompileReport unused = {0}, *r = report ? report : &unused;
    Program p = {.arena = a, .diags = d, .graph = g, .options = o};
    p.target = target_find(a, d, o->target, o->cpu, o->features);
    if (!p.target) return false;
    double start = now();
    if (!lower_run(&p)) return false;
    if (kind == EMIT_IR) return write_graph(&p, output);
    bits_run(&p);
    if (!select_run(&p) || !layout_run(&p)) return false;
    r->seconds_lower = now() - start;
    start = now();
    plan_run(&p);
    r->seconds_plan = now() - start;
    fill_report(&p, r);
    if (kind == EMIT_HEADER) return header_write(&p, output);
    return write_code(&p, kind, output, r) && (!o->header || header_write(&p, o->header));
}

/* ---- names --------------------------------------------------------------------------------------------------- */

static bool is_keyword(const char *s) {
    static const char *const words[] = {
        "auto",      "break",    "case",     "char",   "const", "continue", "default",  "do",     "double",
        "else",      "enum",     "extern",   "float",  "for",   "goto",     "if",       "inline", "int",
        "long",      "register", "restrict", "return", "short", "signed",   "sizeof",   "static", "struct",
        "switch",    "typedef",  "union",    "void",   "while", "unsigned", "volatile", "class",  "new",
        "delete",    "this",     "template", "try",    "catch", "throw",    "private",  "public", "operator",
        "namespace", "virtual",  "friend",   "using",  "bool",  "true",     "false",    "qcc"};
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (strcmp(s, words[i]) == 0) return true;
    return false;
}

bool identifier_valid(const char *s) {
    if (!isalpha((unsigned char)*s) || strlen(s) > 100 || is_keyword(s)) return false;
    for (const char *c = s; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '_') return false;
    return strncmp(s, "qcc_", 4) != 0;
}

const char *path_identifier(Arena *a, const char *path) {
    char *s = arena_str(a, path_stem(a, path));
    for (char *c = s; *c; c++)
        if (!isalnum((unsigned char)*c)) *c = '_';
    if (strlen(s) > 100) s[100] = 0;
    return identifier_valid(s) ? s : arena_printf(a, "model_%.90s", s);
}
