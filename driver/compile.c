/* qcc MODEL.onnx -o MODEL.so */
#include "driver/driver.h"

#include "base/file.h"
#include "passes/report.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool parse_count(const char *s, int64_t lo, int64_t hi, int64_t *out) {
    char *end;
    errno = 0;
    long long v = strtoll(s, &end, 10);
    if (!*s || *end || errno || v < lo || v > hi) return false;
    *out = v;
    return true;
}

bool command_count(Driver *dr, OptId id, int64_t lo, int64_t hi, int64_t otherwise, int64_t *out) {
    const char *s = command_get(&dr->cmd, id);
    *out = otherwise;
    if (!s || parse_count(s, lo, hi, out)) return true;
    diag(dr->diags, D_USAGE, LOC_NONE, "option '%s': '%s' is no count from %lld to %lld", option_str(dr->arena, id), s,
         (long long)lo, (long long)hi);
    return false;
}

static bool writes(OptId id) {
    return id == O_OUTPUT || id == O_HEADER || id == O_REPORT || id == O_RUN_OUTPUT || id == O_DEPFILE;
}

/* False after a diagnostic if an option names a file to write that is the model, or is what another one writes. */
static bool check_outputs(Driver *dr, const char *model) {
    const Command *c = &dr->cmd;
    for (size_t i = 0; i < c->opts.n; i++) {
        const OptValue *o = &c->opts.at[i];
        if (!writes(o->id)) continue;
        if (!spares_model(dr, model, o->value)) return false;
        for (size_t k = 0; k < i; k++) {
            if (!writes(c->opts.at[k].id) || c->opts.at[k].id == o->id || file_is_stream(o->value)) continue;
            if (strcmp(c->opts.at[k].value, o->value) != 0) continue;
            diag(dr->diags, D_USAGE, LOC_NONE, "'%s' would be written twice, for %s and for %s", o->value,
                 option_str(dr->arena, c->opts.at[k].id), option_str(dr->arena, o->id));
            return false;
        }
    }
    return true;
}

const char *single_file(Driver *dr) {
    if (dr->cmd.files.n == 1) return check_outputs(dr, dr->cmd.files.at[0]) ? dr->cmd.files.at[0] : NULL;
    Diag *g = dr->cmd.files.n == 0
                  ? diag(dr->diags, D_USAGE, LOC_NONE, "no model given")
                  : diag(dr->diags, D_USAGE, LOC_NONE, "one model at a time, but found '%s' after '%s'",
                         dr->cmd.files.at[1], dr->cmd.files.at[0]);
    bool wrong_verb = !dr->cmd.verb[0] && dr->cmd.files.n > 1 && !strpbrk(dr->cmd.files.at[0], "./");
    diag_hint(dr->diags, g,
              wrong_verb
                  ? "the commands are run, bench, info, verify, quantize and export; without one a model is compiled"
                  : "qcc --help shows how it is used");
    return NULL;
}

/* NAME=REST; the name up to the first '='. */
static bool split_pair(Driver *dr, const char *word, const char *form, const char **name, const char **rest) {
    const char *eq = strchr(word, '=');
    if (!eq || eq == word) {
        diag(dr->diags, D_USAGE, LOC_NONE, "'%s' is not of the form %s", word, form);
        return false;
    }
    *name = arena_strn(dr->arena, word, (size_t)(eq - word));
    *rest = eq + 1;
    return true;
}

static bool parse_shape(const char *s, Shape *out) {
    *out = (Shape){0};
    while (*s) {
        char *end;
        errno = 0;
        long long v = strtoll(s, &end, 10);
        if (end == s || errno || v < 0 || out->rank == MAX_RANK) return false;
        out->dim[out->rank++] = v;
        if (*end && *end != 'x' && *end != ',') return false;
        s = *end ? end + 1 : end;
        if (*end && !*s) return false;
    }
    return true;
}

static const Tensor *read_at_file(Driver *dr, const char *word) {
    if (*word != '@') {
        diag(dr->diags, D_USAGE, LOC_NONE, "'%s' is not of the form @FILE", word);
        return NULL;
    }
    return array_read(dr, word + 1);
}

typedef struct Bindings {
    VEC(ImportDim) dims;
    VEC(ImportShape) shapes;
    VEC(ImportConst) consts;
} Bindings;

static bool bind_option(Driver *dr, const OptValue *o, Bindings *b) {
    const char *name, *rest;
    if (o->id == O_DIM) {
        ImportDim dim = {0};
        if (!split_pair(dr, o->value, "NAME=N", &dim.name, &rest)) return false;
        if (!parse_count(rest, 0, INT32_MAX, &dim.size)) {
            diag(dr->diags, D_USAGE, LOC_NONE, "'%s' is no size for dimension '%s'", rest, dim.name);
            return false;
        }
        vec_push(dr->arena, &b->dims, dim);
    } else if (o->id == O_SHAPE) {
        ImportShape shape = {0};
        if (!split_pair(dr, o->value, "INPUT=AxBxC", &shape.input, &rest)) return false;
        if (!parse_shape(rest, &shape.shape)) {
            diag(dr->diags, D_USAGE, LOC_NONE, "'%s' is no shape such as 1x3x224x224", rest);
            return false;
        }
        vec_push(dr->arena, &b->shapes, shape);
    } else if (o->id == O_CONST) {
        if (!split_pair(dr, o->value, "INPUT=@FILE", &name, &rest)) return false;
        const Tensor *t = read_at_file(dr, rest);
        if (!t) return false;
        vec_push(dr->arena, &b->consts, (ImportConst){.input = name, .value = t});
    }
    return true;
}

/* False after a diagnostic if a dimension of size 0 leaves an output without elements. */
static bool outputs_hold(Diags *d, const Graph *g, const ImportOptions *o) {
    for (size_t i = 0; i < o->n_dims; i++) {
        if (o->dims[i].size) continue;
        for (size_t k = 0; k < g->outputs.n; k++) {
            if (shape_count(&g->outputs.at[k].value->type.shape)) continue;
            diag(d, D_USAGE, LOC_NONE, "--dim=%s=0 leaves output '%s' without elements", o->dims[i].name,
                 g->outputs.at[k].name);
            return false;
        }
    }
    return true;
}

static Graph *import_batch(Driver *dr, Diags *d, const char *path, int64_t batch) {
    Bindings b = {0};
    for (size_t i = 0; i < dr->cmd.opts.n; i++)
        if (!bind_option(dr, &dr->cmd.opts.at[i], &b)) return NULL;
    progress_say("reading %s", path);
    ImportOptions o = {.n_dims = b.dims.n,
                       .n_shapes = b.shapes.n,
                       .n_consts = b.consts.n,
                       .dims = b.dims.at,
                       .shapes = b.shapes.at,
                       .consts = b.consts.at,
                       .batch = batch,
                       .read = &dr->cmd.read};
    file_names_add(&dr->cmd.read, path);
    Graph *g = onnx_import(dr->arena, d, path, &o);
    return g && outputs_hold(d, g, &o) ? g : NULL;
}

Graph *import_graph(Driver *dr, const char *path) { return import_batch(dr, dr->diags, path, 1); }

bool samples_apart(Driver *dr, const char *path, int64_t samples) {
    const Node *mixes = NULL;
    Graph *g[2];
    Diags quiet;
    diags_init(&quiet, dr->arena);
    progress_say("looking at a batch of %s", path);
    for (int i = 0; i < 2; i++) {
        g[i] = import_batch(dr, &quiet, path, i + 1);
        if (g[i] && !passes_define(g[i], &quiet)) g[i] = NULL;
    }
    if (!g[0] || g[0]->inputs.n == 0 || !g[0]->inputs.at[0].batch) return true;
    if (g[1] && graph_keeps_samples_apart(g[0], g[1], &mixes)) return true;
    Loc loc = mixes ? mixes->loc : LOC_NONE;
    if (!mixes) loc.file = path;
    Diag *e = diag(dr->diags, D_SAMPLES_MIX, loc, "a batch of %lld is not proved to be that many samples apart%s",
                   (long long)samples,
                   mixes  ? ": this node may mix them"
                   : g[1] ? ""
                          : ": the model cannot be read with more than one");
    diag_hint(dr->diags, e, "--dim=%s=%lld makes all of it the model's input", g[0]->inputs.at[0].batch,
              (long long)samples);
    return false;
}

static void print_times(const PassOptions *o) {
    for (int i = 0; i < PASS_COUNT; i++) fprintf(stderr, "%8.1f ms  %s\n", 1e3 * o->seconds[i], pass_info[i].name);
}

/* False after a diagnostic if the option's pattern matches no pass. */
static bool check_pattern(Driver *dr, OptId id) {
    const char *pattern = command_get(&dr->cmd, id);
    for (int i = 0; pattern && i < PASS_COUNT; i++)
        if (glob_match(pattern, pass_info[i].name)) return true;
    if (!pattern) return true;
    Diag *g =
        diag(dr->diags, D_USAGE, LOC_NONE, "option '%s': no pass matches '%s'", option_str(dr->arena, id), pattern);
    diag_hint(dr->diags, g, "qcc --print-passes lists them");
    return false;
}

/* To where --report says. */
static bool write_report(Driver *dr, const Report *r) {
    const char *path = command_get(&dr->cmd, O_REPORT);
    if (!path) return true;
    if (!spares_read(dr, path)) return false;
    Text t = {.arena = dr->arena};
    const char *suffix = strrchr(path, '.');
    if (suffix && strcmp(suffix, ".json") == 0)
        report_json(&t, r);
    else
        report_text(&t, r);
    if (strcmp(path, "-") != 0) return file_write(dr->diags, path, t.s, t.n);
    fputs(t.s, stdout);
    return true;
}

Graph *load_reported(Driver *dr, const char *path, Report *report) {
    int64_t level;
    if (!command_count(dr, O_LEVEL, 0, 3, 2, &level)) return NULL;
    if (!check_pattern(dr, O_PRINT_AFTER) || !check_pattern(dr, O_DISABLE)) return NULL;
    Graph *g = import_graph(dr, path);
    if (!g) return NULL;
    const char *scheme = command_get(&dr->cmd, O_QUANTIZE);
    if (scheme && !quantize_graph(dr, g, scheme, NULL)) return NULL;
    Text dump = {.arena = dr->arena};
    PassOptions o = {.level = (int)level,
                     .print_after = command_get(&dr->cmd, O_PRINT_AFTER),
                     .disable = command_get(&dr->cmd, O_DISABLE),
                     .dump = &dump};
    progress_say("optimising %s", path);
    g->report = report;
    bool good = passes_run(g, dr->diags, &o);
    g->report = NULL;
    if (dump.n) fputs(dump.s, stderr);
    if (command_has(&dr->cmd, O_TIME)) print_times(&o);
    return good ? g : NULL;
}

Graph *load_graph(Driver *dr, const char *path) {
    Report report = {.arena = dr->arena};
    Graph *g = load_reported(dr, path, command_has(&dr->cmd, O_REPORT) ? &report : NULL);
    return g && write_report(dr, &report) ? g : NULL;
}

static bool max_batch(Driver *dr, const Graph *g, int *out) {
    int64_t n;
    if (!command_count(dr, O_BATCH, 1, 1 << 20, 1, &n)) return false;
    *out = (int)n;
    if (n == 1) return true;
    for (size_t i = 0; i < g->inputs.n + g->outputs.n; i++) {
        const GraphPort *p = i < g->inputs.n ? &g->inputs.at[i] : &g->outputs.at[i - g->inputs.n];
        const Shape *s = &p->value->type.shape;
        if ((p->batch || i >= g->inputs.n) && s->rank > 0 && s->dim[0] == 1) continue;
        Diag *e = diag(dr->diags, D_USAGE, LOC_NONE,
                       "--batch=%lld: '%s' has no symbolic batch dimension in front that is bound to 1", (long long)n,
                       p->name);
        diag_hint(dr->diags, e, "give the batch as a fixed size with --shape instead");
        return false;
    }
    return samples_apart(dr, g->source, n);
}

static bool weights_form(Driver *dr, bool *prepared) {
    const char *form = command_get(&dr->cmd, O_WEIGHTS);
    *prepared = form && strcmp(form, "prepared") == 0;
    if (!form || *prepared || strcmp(form, "packed") == 0) return true;
    diag(dr->diags, D_USAGE, LOC_NONE, "--weights takes packed or prepared, not '%s'", form);
    return false;
}

bool compile_graph(Driver *dr, Graph *g, EmitKind kind, const char *output, const char *header, CompileReport *report) {
    int64_t level;
    CodegenOptions o = {.name = command_get(&dr->cmd, O_NAME),
                        .target = command_get(&dr->cmd, O_TARGET),
                        .cpu = command_get(&dr->cmd, O_MCPU),
                        .features = command_get(&dr->cmd, O_MATTR),
                        .strict = command_has(&dr->cmd, O_STRICT),
                        .steps = !command_has(&dr->cmd, O_NO_STEPS),
                        .options = dr->cmd.flags,
                        .header = header};
    if (!o.cpu) o.cpu = command_get(&dr->cmd, O_MARCH);
    if (!weights_form(dr, &o.prepared)) return false;
    if (!command_count(dr, O_LEVEL, 0, 3, 2, &level) || !max_batch(dr, g, &o.max_batch)) return false;
    o.level = (int)level;
    if (!o.name) o.name = path_identifier(dr->arena, g->source);
    if (!identifier_valid(o.name)) {
        diag(dr->diags, D_USAGE, LOC_NONE,
             "'%s' cannot be a model's name: it must be a C identifier"
             " of at most 100 characters that is no keyword",
             o.name);
        return false;
    }
    progress_say("generating code");
    CompileReport scratch = {0};
    return codegen_run(dr->arena, dr->diags, g, &o, kind, output, report ? report : &scratch);
}

static const struct {
    const char *word, *suffix;
    EmitKind kind;
} kinds[] = {{"lib", ".so", EMIT_LIB},   {"obj", ".o", EMIT_OBJ}, {"asm", ".s", EMIT_ASM},
             {"llvm", ".ll", EMIT_LLVM}, {"ir", ".qir", EMIT_IR}, {"header", ".h", EMIT_HEADER}};

static const char *kind_suffix(EmitKind kind) {
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (kinds[i].kind == kind) return kinds[i].suffix;
    return "";
}

static bool choose_kind(Driver *dr, const char *output, EmitKind *kind) {
    const char *word = command_get(&dr->cmd, O_EMIT);
    const char *suffix = output ? strrchr(output, '.') : NULL;
    *kind = EMIT_LIB;
    if (command_has(&dr->cmd, O_OBJECT)) {
        *kind = EMIT_OBJ;
    } else if (command_has(&dr->cmd, O_ASSEMBLY)) {
        *kind = EMIT_ASM;
    } else if (word) {
        for (size_t i = 0; i < COUNT_OF(kinds); i++) {
            if (strcmp(kinds[i].word, word) != 0) continue;
            *kind = kinds[i].kind;
            return true;
        }
        diag(dr->diags, D_USAGE, LOC_NONE, "--emit=%s: expected ir, llvm, asm, obj, lib, header or onnx", word);
        return false;
    } else if (suffix) {
        for (size_t i = 0; i < COUNT_OF(kinds); i++)
            if (strcmp(kinds[i].suffix, suffix) == 0) *kind = kinds[i].kind;
    }
    return true;
}

static const char *replace_suffix(Arena *a, const char *path, const char *suffix) {
    const char *dot = strrchr(path_base(path), '.');
    int n = dot ? (int)(dot - path) : (int)strlen(path);
    return arena_printf(a, "%.*s%s", n, path, suffix);
}

static void print_summary(Driver *dr, const char *output, const CompileReport *r) {
    const char *prepared = "";
    if (r->prep_bytes)
        prepared = arena_printf(dr->arena, " (%s prepared)", bytes_str(dr->arena, (uint64_t)r->prep_bytes));
    printf("%s: for %s, %s: %s of weights%s, %s of work area, %zu steps\n", output, r->triple, r->cpu,
           bytes_str(dr->arena, (uint64_t)r->weight_bytes), prepared, bytes_str(dr->arena, (uint64_t)r->work_bytes),
           r->steps.n);
    if (!command_has(&dr->cmd, O_VERBOSE)) return;
    for (size_t i = 0; i < r->steps.n; i++) {
        const CompiledStep *s = &r->steps.at[i];
        printf("  %-44s %10s MACs  %s\n", s->kernel, count_str(dr->arena, (uint64_t)s->macs),
               printable_str(dr->arena, s->nodes));
    }
}

bool spares_model(Driver *dr, const char *model, const char *output) {
    if (!output || !file_is_same(model, output)) return true;
    diag(dr->diags, D_USAGE, LOC_NONE, "'%s' is the model itself: it would be overwritten", output);
    return false;
}

bool spares_read(Driver *dr, const char *output) {
    for (size_t i = 0; output && i < dr->cmd.read.v.n; i++) {
        if (!file_is_same(dr->cmd.read.v.at[i], output)) continue;
        diag(dr->diags, D_USAGE, LOC_NONE, "'%s' is read for this: it would be overwritten", output);
        return false;
    }
    return true;
}

static bool wants_onnx(Driver *dr, const char *output) {
    const char *word = command_get(&dr->cmd, O_EMIT), *suffix = output ? strrchr(output, '.') : NULL;
    return word ? strcmp(word, "onnx") == 0 : suffix && strcmp(suffix, ".onnx") == 0;
}

/* Options of quantizing say nothing without it. */
static bool check_quantizing(Driver *dr) {
    static const OptId of_quantizing[] = {O_EDGES,   O_LAYER, O_KEEP,        O_CALIBRATE,
                                          O_SAMPLES, O_RANGE, O_INPUT_RANGE, O_NO_CORRECT};
    if (command_has(&dr->cmd, O_QUANTIZE)) return true;
    for (size_t i = 0; i < COUNT_OF(of_quantizing); i++) {
        if (!command_has(&dr->cmd, of_quantizing[i])) continue;
        diag(dr->diags, D_USAGE, LOC_NONE, "option '%s' needs --quantize=SCHEME",
             option_str(dr->arena, of_quantizing[i]));
        return false;
    }
    return true;
}

/* A name as make reads it. */
static void add_name(Text *t, const char *s) {
    for (; *s; s++) {
        if (*s == ' ' || *s == '#') text_add(t, "\\");
        if (*s == '$') text_add(t, "$");
        text_put(t, s, 1);
    }
}

/* To where --depfile says: what `output` was made from. */
static bool write_depfile(Driver *dr, const char *output) {
    const char *path = command_get(&dr->cmd, O_DEPFILE);
    if (!path) return true;
    Text t = {.arena = dr->arena};
    add_name(&t, output);
    text_add(&t, ":");
    for (size_t i = 0; i < dr->cmd.read.v.n; i++) {
        text_add(&t, " \\\n  ");
        add_name(&t, dr->cmd.read.v.at[i]);
    }
    text_add(&t, "\n");
    return file_write(dr->diags, path, t.s, t.n);
}

bool compile_verb(Driver *dr) {
    const char *path = single_file(dr);
    if (!path || !check_quantizing(dr)) return false;
    const char *output = command_get(&dr->cmd, O_OUTPUT);
    EmitKind kind;
    if (wants_onnx(dr, output)) return export_verb(dr) && write_depfile(dr, output);
    if (!choose_kind(dr, output, &kind)) return false;
    if (!output) output = arena_printf(dr->arena, "%s%s", path_stem(dr->arena, path), kind_suffix(kind));
    const char *header = command_get(&dr->cmd, O_HEADER);
    bool code = kind == EMIT_LIB || kind == EMIT_OBJ;
    if (!header && code && !file_is_stream(output)) header = replace_suffix(dr->arena, output, ".h");
    if (command_has(&dr->cmd, O_NO_HEADER)) header = NULL;
    if (!spares_model(dr, path, output) || !spares_model(dr, path, header)) return false;
    Graph *g = load_graph(dr, path);
    if (!g) return false;
    if (!spares_read(dr, output) || !spares_read(dr, header) || !spares_read(dr, command_get(&dr->cmd, O_DEPFILE)))
        return false;
    CompileReport report = {0};
    if (!compile_graph(dr, g, kind, output, header, &report) || !write_depfile(dr, output)) return false;
    progress_done();
    if (command_has(&dr->cmd, O_TIME))
        fprintf(stderr, "%8.1f ms  lower\n%8.1f ms  plan\n%8.1f ms  emit\n%8.1f ms  link\n", 1e3 * report.seconds_lower,
                1e3 * report.seconds_plan, 1e3 * report.seconds_emit, 1e3 * report.seconds_link);
    if (code && strcmp(output, "-") != 0) print_summary(dr, output, &report);
    return true;
}
