/* qcc verify: the model's meaning, evaluated, beside what a library computes, step by step. The model goes through the
 * passes again as the library's own record of its options says; the numbers of values then say which of the graph's
 * tensors each step has stored. Two things are held against the meaning: the graph after all passes, by its outputs,
 * and the library against that graph, by every tensor that it stores. */
#include "driver/session.h"

#include "base/file.h"
#include "passes/report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Floats may differ by these parts of the largest, as sums in another order do. On the way to an output they may lose
 * more, where large numbers have cancelled. */
static const double nearly = 1e-5, nearly_inside = 1e-3;

/* Tensors of one evaluation. */
typedef struct Trace {
    Arena *arena;
    Map tensors; /* by value: const Tensor * */
} Trace;

/* What became of one tensor, over all samples. */
typedef struct Finding {
    const char *name;  /* of the ONNX tensor, or of what computes it */
    const char *proof; /* report_proof */
    bool compared, is_float, inside;
    int64_t count, differ; /* elements; those too far apart */
    double worst, largest; /* difference, and magnitude in the reference */
    int64_t at, sample;    /* of the worst */
    double want, got;
    Shape shape;
} Finding;

typedef struct Verify {
    Driver *dr;
    const qcc_model *model;
    Graph *meaning, *compiled;
    Report report; /* on `compiled` */
    Session session;
    Feeds feeds;
    Map by_number;    /* value number + 1: Value * of `compiled` */
    Finding *passes;  /* per output: what the passes made of the meaning */
    Finding *astray;  /* where they differ: the first tensor of `compiled` that is not what it was; NULL: none found */
    Finding *outputs; /* per output: the library */
    Finding **slots;  /* per step and slot */
} Verify;

/* ---- comparing ------------------------------------------------------------------------------------------------- */

static bool same_number(double a, double b) { return a == b || (isnan(a) && isnan(b)); }

static void note_element(Finding *f, int64_t at, int64_t sample, double want, double got) {
    f->count++;
    if (isfinite(want)) f->largest = fmax(f->largest, fabs(want));
    if (same_number(want, got)) return;
    double by = isfinite(want) && isfinite(got) ? fabs(want - got) : INFINITY;
    f->differ++;
    if (by <= f->worst) return;
    f->worst = by;
    f->at = at;
    f->sample = sample;
    f->want = want;
    f->got = got;
}

static bool is_wrong(const Finding *f) {
    return f->differ && !(f->is_float && f->worst <= f->largest * (f->inside ? nearly_inside : nearly));
}

static void compare(Finding *f, const Tensor *want, const Tensor *got, int64_t sample) {
    f->compared = true;
    f->is_float = elem_is_float(want->type.elem);
    f->shape = want->type.shape;
    for (int64_t i = 0; i < shape_count(&want->type.shape); i++)
        note_element(f, i, sample, tensor_get(want, i), tensor_get(got, i));
}

/* ---- the library's tensors ------------------------------------------------------------------------------------- */

static const uint8_t *slot_base(const Session *s, const qcc_slot *slot) {
    if (slot->space == QCC_SPACE_INPUT) return s->in[slot->port];
    return slot->space == QCC_SPACE_OUTPUT ? s->out[slot->port] : s->work;
}

/* The code of element i of dimension slot->axis of a row of bit-planes. */
static int64_t read_code(const qcc_slot *slot, const uint8_t *row, int64_t i) {
    int64_t code = 0, words = ceil_div(slot->dims[slot->axis], 32);
    for (uint32_t p = 0; p < slot->planes; p++) {
        uint32_t word;
        memcpy(&word, row + (p * words + i / 32) * slot->strides[slot->axis], sizeof word);
        code = code * 2 + (word >> i % 32 & 1);
    }
    return slot->low + slot->step * code;
}

/* A dense copy of what a step has stored. */
static const Tensor *read_slot(Arena *a, const Session *s, const qcc_slot *slot) {
    Type type = {(Elem)slot->elem, shape_of((int)slot->rank, slot->dims)};
    Tensor *t = tensor_new(a, type);
    const uint8_t *base = slot_base(s, slot) + slot->offset;
    size_t bytes = (size_t)elem_bytes(type.elem);
    uint8_t *to = tensor_data(t);
    for (int64_t i = 0; i < shape_count(&type.shape); i++) {
        int64_t rest = i, offset = 0, along = 0;
        for (int d = type.shape.rank - 1; d >= 0; d--) {
            int64_t at = rest % type.shape.dim[d];
            bool packed = slot->planes && d == (int)slot->axis;
            if (packed) along = at;
            if (!packed) offset += at * slot->strides[d];
            rest /= type.shape.dim[d];
        }
        if (slot->planes)
            tensor_set_int(t, i, read_code(slot, base + offset, along));
        else
            memcpy(to + (size_t)i * bytes, base + offset, bytes);
    }
    return t;
}

static const void *number_key(uint32_t number) { return (const void *)((uintptr_t)number + 1); }

static const Tensor *find_tensor(const Verify *v, const Trace *t, const qcc_slot *slot) {
    const Value *value = map_get_ptr(&v->by_number, number_key(slot->value));
    const Tensor *found = value ? map_get_ptr(&t->tensors, value) : NULL;
    Type type = {(Elem)slot->elem, shape_of((int)slot->rank, slot->dims)};
    return found && type_equal(&found->type, &type) ? found : NULL;
}

static const char *tensor_words(const Verify *v, const char *name, const char *node) {
    Arena *a = v->dr->arena;
    if (*name) return arena_printf(a, "tensor '%s'", printable_str(a, name));
    return arena_printf(a, "a tensor of node '%s'", printable_str(a, node));
}

/* ---- one sample ------------------------------------------------------------------------------------------------ */

static void keep_tensor(void *ctx, const Value *v, const Tensor *t) {
    Trace *trace = ctx;
    const Tensor *dense = tensor_dense(trace->arena, t);
    if (dense == t) { /* it goes when the graph needs it no more */
        Tensor *copy = tensor_new(trace->arena, t->type);
        memcpy(tensor_data(copy), t->data, (size_t)type_bytes(&t->type));
        dense = copy;
    }
    map_put_ptr(trace->arena, &trace->tensors, v, (void *)(uintptr_t)dense);
}

static const Tensor **sample_inputs(Verify *v, Arena *a, int64_t sample) {
    const Graph *g = v->meaning;
    const Tensor **in = NEW_ARRAY(a, const Tensor *, g->inputs.n + 1);
    for (size_t i = 0; i < g->inputs.n; i++) {
        Tensor *t = NEW(a, Tensor);
        *t = (Tensor){.type = g->inputs.at[i].value->type};
        t->data = (const uint8_t *)v->feeds.tensor[i]->data + sample * type_bytes(&t->type);
        in[i] = t;
        v->session.in[i] = t->data;
    }
    return in;
}

static void run_steps(Verify *v, Arena *a, const Trace *trace, int64_t sample) {
    const qcc_model *m = v->model;
    const Session *s = &v->session;
    qcc_frame frame = {.inputs = s->in, .outputs = s->out, .prep = s->prep, .work = s->work};
    for (uint32_t i = 0; m->steps && i < m->n_steps; i++) {
        session_step(s, &m->steps[i], &frame);
        for (uint32_t k = 0; k < m->steps[i].n_slots; k++) {
            const Tensor *want = find_tensor(v, trace, &m->steps[i].slots[k]);
            if (want) compare(&v->slots[i][k], want, read_slot(a, s, &m->steps[i].slots[k]), sample);
        }
    }
}

static const Tensor *read_output(Arena *a, const Verify *v, uint32_t i) {
    Tensor *t = tensor_new(a, port_type(&v->model->outputs[i]));
    memcpy(tensor_data(t), v->session.out[i], (size_t)v->model->outputs[i].bytes);
    return t;
}

/* The tensor of the meaning that has v's name. */
static const Tensor *find_meaning(const Trace *meaning, const Graph *g, const Value *v) {
    for (const Node *n = g->first; n; n = n->next)
        for (int i = 0; i < n->n_out; i++) {
            const Value *w = n->out[i];
            if (w && *v->name && strcmp(w->name, v->name) == 0 && type_equal(&w->type, &v->type))
                return map_get_ptr(&meaning->tensors, w);
        }
    return NULL;
}

/* Looks for the first tensor that the passes have made another, in the order of computation. */
static bool find_astray(Verify *v, Arena *a, const Tensor *const *in, const Trace *compiled, int64_t sample) {
    Trace meaning = {.arena = a};
    Tensor **out = NEW_ARRAY(a, Tensor *, v->meaning->outputs.n + 1);
    if (!graph_eval(a, v->dr->diags, v->meaning, in, out, keep_tensor, &meaning)) return false;
    for (const Node *n = v->compiled->first; n; n = n->next)
        for (int i = 0; i < n->n_out; i++) {
            const Tensor *got = n->out[i] ? map_get_ptr(&compiled->tensors, n->out[i]) : NULL;
            const Tensor *want = got ? find_meaning(&meaning, v->meaning, n->out[i]) : NULL;
            if (!want) continue;
            Finding f = {.inside = true};
            compare(&f, want, got, sample);
            if (!is_wrong(&f)) continue;
            f.name = tensor_words(v, n->out[i]->name, NULL);
            v->astray = arena_copy(v->dr->arena, &f, sizeof f);
            return true;
        }
    return true;
}

static bool passes_differ(const Verify *v) {
    for (uint32_t i = 0; i < v->model->n_outputs; i++)
        if (is_wrong(&v->passes[i])) return true;
    return false;
}

static bool verify_sample(Verify *v, Arena *a, int64_t sample) {
    const Tensor **in = sample_inputs(v, a, sample);
    Tensor **want = NEW_ARRAY(a, Tensor *, v->meaning->outputs.n + 1),
           **got = NEW_ARRAY(a, Tensor *, v->meaning->outputs.n + 1);
    Trace trace = {.arena = a};
    if (!graph_eval(a, v->dr->diags, v->meaning, in, want, NULL, NULL)) return false;
    if (!graph_eval(a, v->dr->diags, v->compiled, in, got, keep_tensor, &trace)) return false;
    session_run(&v->session, 1);
    for (uint32_t i = 0; i < v->model->n_outputs; i++) {
        const Tensor *meant = tensor_dense(a, want[i]);
        compare(&v->passes[i], meant, tensor_dense(a, got[i]), sample);
        compare(&v->outputs[i], meant, read_output(a, v, i), sample);
    }
    run_steps(v, a, &trace, sample);
    return v->astray || !passes_differ(v) || find_astray(v, a, in, &trace, sample);
}

/* ---- the model again ------------------------------------------------------------------------------------------- */

/* The options that the library was compiled with, as a command. */
static bool recorded_command(Driver *dr, const qcc_model *m, Command *out) {
    VEC(char *) words = {0};
    vec_push(dr->arena, &words, arena_str(dr->arena, "qcc"));
    for (const char *at = m->options; *at;) {
        size_t n = strcspn(at, " ");
        if (n) vec_push(dr->arena, &words, (char *)(uintptr_t)arena_strn(dr->arena, at, n));
        at += n + (at[n] == ' ');
    }
    return command_parse(dr->arena, dr->diags, (int)words.n, words.at, out);
}

static bool load_both(Verify *v, const char *path) {
    Driver as = {.arena = v->dr->arena, .diags = v->dr->diags};
    if (!recorded_command(v->dr, v->model, &as.cmd)) return false;
    v->meaning = import_graph(&as, path);
    if (!v->meaning) return false;
    if (strcmp(v->meaning->sha256, v->model->source_sha256) != 0) {
        Diag *g =
            diag(v->dr->diags, D_USAGE, LOC_NONE, "'%s' was not compiled from '%s'", v->dr->cmd.files.at[1], path);
        diag_note(v->dr->diags, g, "the library's source has sha256 %s", v->model->source_sha256);
        return false;
    }
    const char *scheme = command_get(&as.cmd, O_QUANTIZE);
    if (scheme && !quantize_graph(&as, v->meaning, scheme, NULL)) return false;
    if (!passes_define(v->meaning, v->dr->diags)) return false;
    v->report.arena = as.arena;
    v->compiled = load_reported(&as, path, &v->report);
    return v->compiled != NULL;
}

static void number_values(Verify *v) {
    Arena *a = v->dr->arena;
    for (Node *n = v->compiled->first; n; n = n->next)
        for (int i = 0; i < n->n_out; i++)
            if (n->out[i]) map_put_ptr(a, &v->by_number, number_key((uint32_t)n->out[i]->id), n->out[i]);
}

static const char *slot_proof(const Verify *v, const qcc_slot *slot) {
    const Value *made = map_get_ptr(&v->by_number, number_key(slot->value));
    return made && made->def ? report_proof(&v->report, made->def) : "-";
}

static void make_findings(Verify *v) {
    Arena *a = v->dr->arena;
    const qcc_model *m = v->model;
    v->passes = NEW_ARRAY(a, Finding, m->n_outputs + 1);
    v->outputs = NEW_ARRAY(a, Finding, m->n_outputs + 1);
    for (uint32_t i = 0; i < m->n_outputs; i++) {
        v->passes[i].name = v->outputs[i].name = arena_printf(a, "output '%s'", printable_str(a, m->outputs[i].name));
        v->session.out[i] = arena_get(a, (size_t)m->outputs[i].bytes + QCC_ALIGN);
    }
    v->slots = NEW_ARRAY(a, Finding *, m->n_steps + 1);
    for (uint32_t i = 0; m->steps && i < m->n_steps; i++) {
        const qcc_step *step = &m->steps[i];
        v->slots[i] = NEW_ARRAY(a, Finding, step->n_slots + 1);
        for (uint32_t k = 0; k < step->n_slots; k++)
            v->slots[i][k] = (Finding){.name = tensor_words(v, step->slots[k].name, step->nodes ? *step->nodes : NULL),
                                       .proof = slot_proof(v, &step->slots[k]),
                                       .inside = step->slots[k].space != QCC_SPACE_OUTPUT};
    }
}

/* ---- what is said ---------------------------------------------------------------------------------------------- */

static const char *verdict(Arena *a, const Finding *f) {
    if (!f->compared) return "not compared";
    if (is_wrong(f)) return arena_printf(a, "WRONG in %lld of %lld", (long long)f->differ, (long long)f->count);
    if (f->differ) return arena_printf(a, "within %.2g", f->worst);
    return "equal";
}

static const char *position(Arena *a, const Finding *f) {
    Text t = {.arena = a};
    text_add(&t, "[");
    int64_t at[MAX_RANK], rest = f->at;
    for (int d = f->shape.rank - 1; d >= 0; d--) {
        at[d] = rest % f->shape.dim[d];
        rest /= f->shape.dim[d];
    }
    for (int d = 0; d < f->shape.rank; d++) text_add(&t, "%s%lld", d ? "," : "", (long long)at[d]);
    text_add(&t, "]");
    return t.s;
}

static Diag *fault(Verify *v, const Finding *f, const char *by) {
    Diag *g =
        diag(v->dr->diags, D_DIFFERS, LOC_NONE, "%s: %s differs from what the model means in %lld of %lld elements", by,
             f->name, (long long)f->differ, (long long)f->count);
    diag_note(v->dr->diags, g, "worst in element %s of sample %lld: %.9g, wanted %.9g", position(v->dr->arena, f),
              (long long)f->sample, f->got, f->want);
    return g;
}

/* How many layers there are, and of them those proved and those of each verdict. */
typedef struct Tally {
    int layers, proved, equal, within, wrong, unseen;
} Tally;

static void count_layer(Tally *t, const Finding *f) {
    if (strcmp(f->proof, "-") == 0) return;
    t->layers++;
    t->proved += strcmp(f->proof, "float") != 0;
    t->equal += f->compared && !f->differ;
    t->within += f->compared && f->differ && !is_wrong(f);
    t->wrong += is_wrong(f);
    t->unseen += !f->compared;
}

static void print_tally(const Verify *v, const Tally *t) {
    const struct {
        int n;
        const char *word;
    } parts[] = {{t->equal, "equal"}, {t->within, "within rounding"}, {t->wrong, "WRONG"}, {t->unseen, "not compared"}};
    printf("%d layer%s: %d proved", t->layers, t->layers == 1 ? "" : "s", t->proved);
    const char *before = "; ";
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        if (parts[i].n) printf("%s%d %s", before, parts[i].n, parts[i].word);
        if (parts[i].n) before = ", ";
    }
    printf(" on %lld sample%s\n", (long long)v->feeds.samples, v->feeds.samples == 1 ? "" : "s");
}

static void print_findings(const Verify *v) {
    const qcc_model *m = v->model;
    Arena *a = v->dr->arena;
    Tally tally = {0};
    for (uint32_t i = 0; m->steps && i < m->n_steps; i++)
        for (uint32_t k = 0; k < m->steps[i].n_slots; k++) {
            const Finding *f = &v->slots[i][k];
            count_layer(&tally, f);
            printf("%4u  %-20s %-19s %-40s %s\n", i, verdict(a, f), f->proof, m->steps[i].kernel, f->name);
        }
    for (uint32_t i = 0; i < m->n_outputs; i++)
        printf("      %-20s %s\n", verdict(a, &v->outputs[i]), v->outputs[i].name);
    if (!m->steps) printf("no table of steps in the library (--no-steps): only outputs were compared\n");
    if (tally.layers) print_tally(v, &tally);
}

static bool blame_passes(Verify *v, const Finding *f) {
    Diag *g = fault(v, v->astray ? v->astray : f, "the passes");
    diag_hint(v->dr->diags, g, "compiling with --disable-pass=GLOB, one pass after another, tells which");
    return false;
}

/* False after a diagnostic on the first tensor that is wrong, in the order of computation. */
static bool judge(Verify *v) {
    const qcc_model *m = v->model;
    for (uint32_t i = 0; i < m->n_outputs; i++)
        if (is_wrong(&v->passes[i])) return blame_passes(v, &v->passes[i]);
    for (uint32_t i = 0; m->steps && i < m->n_steps; i++)
        for (uint32_t k = 0; k < m->steps[i].n_slots; k++)
            if (is_wrong(&v->slots[i][k])) return !fault(v, &v->slots[i][k], m->steps[i].kernel);
    for (uint32_t i = 0; i < m->n_outputs; i++)
        if (is_wrong(&v->outputs[i])) return !fault(v, &v->outputs[i], "the library");
    return true;
}

static bool verify_samples(Verify *v) {
    const Graph *g = v->meaning;
    PortType *ports = NEW_ARRAY(v->dr->arena, PortType, g->inputs.n + 1);
    for (size_t i = 0; i < g->inputs.n; i++) ports[i] = (PortType){g->inputs.at[i].name, g->inputs.at[i].value->type};
    if (!feeds_read(v->dr, ports, (uint32_t)g->inputs.n, true, &v->feeds)) return false;
    if (v->feeds.samples > 1 && !samples_apart(v->dr, v->dr->cmd.files.at[0], v->feeds.samples)) return false;
    for (int64_t i = 0; i < v->feeds.samples; i++) {
        progress_say("sample %lld of %lld", (long long)i + 1, (long long)v->feeds.samples);
        Arena *scratch = arena_nested(v->dr->arena);
        bool good = verify_sample(v, scratch, i);
        arena_free(scratch);
        if (!good) return false;
    }
    progress_done();
    print_findings(v);
    return judge(v);
}

bool verify_verb(Driver *dr) {
    Verify v = {.dr = dr};
    int64_t threads;
    for (size_t i = 0; i < dr->cmd.files.n; i++) {
        FileView file;
        if (!file_map(dr->arena, dr->diags, dr->cmd.files.at[i], &file)) return false;
    }
    if (dr->cmd.files.n != 2 || path_is_elf(dr->cmd.files.at[0]) || !path_is_elf(dr->cmd.files.at[1])) {
        diag(dr->diags, D_USAGE, LOC_NONE, "qcc verify takes a model and the library that was compiled from it");
        return false;
    }
    if (!command_count(dr, O_THREADS, 0, 1024, 1, &threads)) return false;
    v.model = library_open(dr, dr->cmd.files.at[1]);
    if (!v.model || !load_both(&v, dr->cmd.files.at[0]) || !session_open(dr, v.model, threads, &v.session))
        return false;
    number_values(&v);
    make_findings(&v);
    return verify_samples(&v);
}
