#include "tests/conformance/case.h"

#include "base/file.h"
#include "codegen/codegen.h"
#include "frontend/frontend.h"
#include "passes/pass.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Tolerances of ONNX's own runner. */
static const double relative = 1e-3, absolute = 1e-7;

typedef struct Named {
    const char *name;
    const Tensor *tensor;
} Named;

typedef struct DataSet {
    VEC(Named) in, out;
} DataSet;

typedef struct Case {
    Arena arena;
    Diags diags;
    const char *folder; /* or, of a light case, the model itself */
    bool light;
    const CaseMachine *machine;
    CaseResult *result;
    DataSet data;
    VEC(ImportConst) consts;
    ImportOptions options;
} Case;

PRINTF_LIKE(2, 3) static bool note(Case *c, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(c->result->note, sizeof c->result->note, fmt, ap);
    va_end(ap);
    for (char *s = c->result->note; *s; s++)
        if (*s == '\n' || *s == '|') *s = ' ';
    return false;
}

static bool note_error(Case *c) {
    for (const Diag *g = c->diags.first; g; g = g->next)
        if (diag_info[g->id].sev == SEV_E) return note(c, "%s", g->text);
    return note(c, "no reason given");
}

/* ---- data sets ------------------------------------------------------------------------------------------------- */

static bool read_varint(const uint8_t **p, const uint8_t *end, uint64_t *v) {
    *v = 0;
    for (int shift = 0; *p < end && shift < 64; shift += 7) {
        uint8_t byte = *(*p)++;
        *v |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) return true;
    }
    return false;
}

/* TensorProto.name, field 8, which tensor_read does not give. "" where there is none. */
static const char *tensor_name(Arena *a, const FileView *f) {
    const uint8_t *p = f->data, *end = f->data + f->bytes;
    uint64_t tag, n;
    while (p < end && read_varint(&p, end, &tag)) {
        if ((tag & 7) == 2) {
            if (!read_varint(&p, end, &n) || n > (uint64_t)(end - p)) break;
            if (tag >> 3 == 8) return arena_strn(a, (const char *)p, (size_t)n);
            p += n;
        } else if ((tag & 7) == 0) {
            if (!read_varint(&p, end, &n)) break;
        } else if ((tag & 7) == 5 || (tag & 7) == 1) {
            p += (tag & 7) == 5 ? 4 : 8;
        } else {
            break;
        }
    }
    return "";
}

static bool read_tensor(Case *c, const char *path, Named *out) {
    FileView file;
    if (!file_map(&c->arena, &c->diags, path, &file)) return false;
    out->name = tensor_name(&c->arena, &file);
    out->tensor = tensor_read(&c->arena, &c->diags, path, NULL);
    return out->tensor != NULL;
}

/* Beside a light model lies its output; its inputs are made up, see made_up. */
static bool read_light_output(Case *c) {
    Named t;
    const char *stem = arena_strn(&c->arena, c->folder, strlen(c->folder) - strlen(".onnx"));
    if (!read_tensor(c, arena_printf(&c->arena, "%s_output_0.pb", stem), &t)) return note_error(c);
    vec_push(&c->arena, &c->data.out, t);
    return true;
}

/* False if set `index` has a tensor that cannot be read; with no tensors in it if there is no such set. */
static bool read_set(Case *c, int index) {
    c->data = (DataSet){0};
    if (c->light) return read_light_output(c);
    for (int k = 0; k < 2; k++) {
        for (int i = 0;; i++) {
            const char *path =
                arena_printf(&c->arena, "%s/test_data_set_%d/%s_%d.pb", c->folder, index, k ? "output" : "input", i);
            Named t;
            if (access(path, R_OK) != 0) break;
            if (!read_tensor(c, path, &t)) return note_error(c);
            if (k) {
                vec_push(&c->arena, &c->data.out, t);
            } else {
                vec_push(&c->arena, &c->data.in, t);
            }
        }
    }
    return true;
}

/* ---- gates ----------------------------------------------------------------------------------------------------- */

static void reset_diags(Case *c) { diags_init(&c->diags, &c->arena); }

static bool is_bound(const Case *c, const char *input) {
    for (size_t k = 0; k < c->consts.n; k++)
        if (strcmp(c->consts.at[k].input, input) == 0) return true;
    return false;
}

/* If an error asks for an input at compile time, makes that input a constant. False if none does. */
static bool bind_wanted(Case *c) {
    bool bound = false;
    for (const Diag *g = c->diags.first; g; g = g->next) {
        if (g->id != D_CONST_UNBOUND && g->id != D_NOT_STATIC) continue;
        for (size_t i = 0; i < c->data.in.n; i++) {
            const Named *in = &c->data.in.at[i];
            if (!in->name[0] || !strstr(g->text, arena_printf(&c->arena, "'%s'", in->name))) continue;
            if (is_bound(c, in->name)) continue;
            vec_push(&c->arena, &c->consts, (ImportConst){.input = in->name, .value = in->tensor});
            bound = true;
        }
    }
    return bound;
}

/* Inputs whose dimensions the model leaves open take the data's. */
static void bind_shapes(Case *c) {
    ImportShape *shapes = NEW_ARRAY(&c->arena, ImportShape, c->data.in.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < c->data.in.n; i++) {
        if (!c->data.in.at[i].name[0] || is_bound(c, c->data.in.at[i].name)) continue;
        shapes[n++] = (ImportShape){.input = c->data.in.at[i].name, .shape = c->data.in.at[i].tensor->type.shape};
    }
    c->options.shapes = shapes;
    c->options.n_shapes = n;
}

static Graph *import_model(Case *c) {
    const char *path = c->light ? c->folder : arena_printf(&c->arena, "%s/model.onnx", c->folder);
    for (;;) {
        bind_shapes(c);
        reset_diags(c);
        c->options.consts = c->consts.at;
        c->options.n_consts = c->consts.n;
        Graph *g = onnx_import(&c->arena, &c->diags, path, &c->options);
        if (g || !bind_wanted(c)) return g;
    }
}

static const Tensor *find_input(const Case *c, const char *name, size_t index, bool by_index) {
    for (size_t i = 0; i < c->data.in.n; i++)
        if (strcmp(c->data.in.at[i].name, name) == 0) return c->data.in.at[i].tensor;
    return by_index && index < c->data.in.n ? c->data.in.at[index].tensor : NULL;
}

/* 0, 1/n, 2/n, ...: what ONNX's own runner gives models that come without inputs. */
static const Tensor *made_up(Case *c, const Type *type) {
    Tensor *t = tensor_new(&c->arena, *type);
    int64_t n = shape_count(&type->shape);
    float *at = tensor_data(t);
    for (int64_t i = 0; i < n; i++) at[i] = (float)((double)i / (double)n);
    return t;
}

static bool gather_inputs(Case *c, const Graph *g, const Tensor **in) {
    for (size_t i = 0; i < g->inputs.n; i++) {
        const GraphPort *p = &g->inputs.at[i];
        in[i] = c->light && p->value->type.elem == QCC_F32 ? made_up(c, &p->value->type)
                                                           : find_input(c, p->name, i, c->consts.n == 0);
        if (!in[i]) return note(c, "no data for input '%s'", p->name);
        if (!type_equal(&in[i]->type, &p->value->type))
            return note(c, "input '%s' has %s, the data %s", p->name, type_str(&c->arena, &p->value->type),
                        type_str(&c->arena, &in[i]->type));
        in[i] = tensor_dense(&c->arena, in[i]);
    }
    return true;
}

static bool element_close(const Tensor *got, const Tensor *want, int64_t i) {
    if (!elem_is_float(want->type.elem)) return tensor_get_int(got, i) == tensor_get_int(want, i);
    double p = tensor_get(got, i), q = tensor_get(want, i);
    if (isnan(p) || isnan(q)) return isnan(p) && isnan(q);
    return p == q || fabs(p - q) <= absolute + relative * fabs(q);
}

static bool outputs_agree(Case *c, const Graph *g, const Tensor *const *got) {
    if (g->outputs.n != c->data.out.n) return note(c, "%zu outputs, the data has %zu", g->outputs.n, c->data.out.n);
    for (size_t k = 0; k < g->outputs.n; k++) {
        const Tensor *want = c->data.out.at[k].tensor;
        const char *name = g->outputs.at[k].name;
        if (!type_equal(&got[k]->type, &want->type))
            return note(c, "output '%s' is %s, should be %s", name, type_str(&c->arena, &got[k]->type),
                        type_str(&c->arena, &want->type));
        int64_t n = shape_count(&want->type.shape);
        for (int64_t i = 0; i < n; i++)
            if (!element_close(got[k], want, i))
                return note(c, "output '%s' element %lld is %.9g, should be %.9g", name, (long long)i,
                            tensor_get(got[k], i), tensor_get(want, i));
    }
    return true;
}

static bool evaluate(Case *c, const Graph *g, const Tensor *const *in) {
    Tensor **out = NEW_ARRAY(&c->arena, Tensor *, g->outputs.n + 1);
    reset_diags(c);
    if (!graph_eval(&c->arena, &c->diags, g, in, out, NULL, NULL)) return note_error(c);
    return outputs_agree(c, g, (const Tensor *const *)out);
}

/* ---- compiled code between guard pages --------------------------------------------------------------------------- */

typedef struct Guarded {
    uint8_t *map, *data;
    size_t map_bytes, bytes, room; /* room: from data to the page behind */
} Guarded;

enum { CANARY = 0xa5 };

/* `bytes` that end, but for alignment, at an inaccessible page, with another one in front. */
static Guarded guarded_new(size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    Guarded g = {.bytes = bytes, .room = (bytes + QCC_ALIGN - 1) / QCC_ALIGN * QCC_ALIGN};
    size_t body = (g.room + page - 1) / page * page;
    g.map_bytes = body + 2 * page;
    g.map = mmap(NULL, g.map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g.map == MAP_FAILED) bug("no memory for a guarded buffer");
    mprotect(g.map, page, PROT_NONE);
    mprotect(g.map + page + body, page, PROT_NONE);
    g.data = g.map + page + body - g.room;
    memset(g.map + page, CANARY, body);
    return g;
}

static bool guarded_intact(const Guarded *g) {
    for (size_t i = g->bytes; i < g->room; i++)
        if (g->data[i] != CANARY) return false;
    const uint8_t *first = g->map + sysconf(_SC_PAGESIZE);
    for (const uint8_t *p = first; p < g->data; p++)
        if (*p != CANARY) return false;
    return true;
}

static Guarded guarded_copy(const Tensor *t) {
    Guarded g = guarded_new((size_t)type_bytes(&t->type));
    if (g.bytes) memcpy(g.data, t->data, g.bytes);
    return g;
}

static bool run_guarded(Case *c, const qcc_model *m, const Graph *g, const Tensor *const *in) {
    Arena *a = &c->arena;
    Guarded *gin = NEW_ARRAY(a, Guarded, g->inputs.n + 1), *gout = NEW_ARRAY(a, Guarded, g->outputs.n + 1);
    const void **inputs = NEW_ARRAY(a, const void *, g->inputs.n + 1);
    void **outputs = NEW_ARRAY(a, void *, g->outputs.n + 1);
    const Tensor **got = NEW_ARRAY(a, const Tensor *, g->outputs.n + 1);
    if (m->n_inputs != g->inputs.n || m->n_outputs != g->outputs.n) return note(c, "the descriptor has other ports");
    for (size_t i = 0; i < g->inputs.n; i++) {
        gin[i] = guarded_copy(in[i]);
        inputs[i] = gin[i].data;
    }
    for (size_t i = 0; i < g->outputs.n; i++) {
        Type type = g->outputs.at[i].value->type;
        gout[i] = guarded_new((size_t)type_bytes(&type));
        outputs[i] = gout[i].data;
        Tensor *t = NEW(a, Tensor);
        *t = (Tensor){.type = type, .data = gout[i].data};
        got[i] = t;
    }
    Guarded prep = guarded_new((size_t)m->prep_bytes);
    Guarded work = guarded_new((size_t)(m->work_bytes + m->scratch_bytes));
    int status = m->prepare(prep.data);
    if (status == QCC_OK) status = m->run(inputs, outputs, 1, prep.data, work.data, NULL);
    if (status != QCC_OK) return note(c, "run gave %d", status);
    bool intact = guarded_intact(&prep) && guarded_intact(&work);
    for (size_t i = 0; i < g->outputs.n; i++) intact = intact && guarded_intact(&gout[i]);
    for (size_t i = 0; i < g->inputs.n; i++) {
        intact = intact && guarded_intact(&gin[i]);
        if (gin[i].bytes && memcmp(gin[i].data, in[i]->data, gin[i].bytes) != 0)
            return note(c, "an input was written to");
    }
    if (!intact) return note(c, "bytes outside a buffer were written");
    return outputs_agree(c, g, got);
}

/* ---- compiled code of another machine ---------------------------------------------------------------------------- */

static bool write_file(const char *path, const void *data, size_t bytes) {
    FILE *f = fopen(path, "wb");
    bool good = f && fwrite(data, 1, bytes, f) == bytes;
    return f && fclose(f) == 0 && good;
}

static bool run_foreign(Case *c, const char *dir, const Graph *g, const Tensor *const *in) {
    Arena *a = &c->arena;
    const Tensor **got = NEW_ARRAY(a, const Tensor *, g->outputs.n + 1);
    for (size_t i = 0; i < g->inputs.n; i++)
        if (!write_file(arena_printf(a, "%s/in_%zu.bin", dir, i), in[i]->data, (size_t)type_bytes(&in[i]->type)))
            return note(c, "the inputs cannot be written");
    int status = system(arena_printf(a, "%s %s/m.so %s", c->machine->runner, dir, dir));
    if (status != 0) return note(c, "the runner gave %d", status);
    for (size_t i = 0; i < g->outputs.n; i++) {
        FileView file;
        Tensor *t = NEW(a, Tensor);
        *t = (Tensor){.type = g->outputs.at[i].value->type};
        if (!file_map(a, &c->diags, arena_printf(a, "%s/out_%zu.bin", dir, i), &file)) return note_error(c);
        if (file.bytes != (size_t)type_bytes(&t->type)) return note(c, "an output has %zu bytes", file.bytes);
        t->data = file.data;
        got[i] = t;
    }
    return outputs_agree(c, g, got);
}

/* ---- compiling ------------------------------------------------------------------------------------------------- */

/* Compiles into a temporary folder; its path, or NULL after a note. */
static const char *compile(Case *c, Graph *g) {
    PassOptions passes = {.level = c->machine->level};
    CodegenOptions o = {.name = "m",
                        .target = c->machine->target,
                        .level = c->machine->level,
                        .steps = true,
                        .max_batch = 1,
                        .options = ""};
    CompileReport report = {0};
    reset_diags(c);
    const char *dir = file_temp_dir(&c->arena, &c->diags);
    if (dir && passes_run(g, &c->diags, &passes) &&
        codegen_run(&c->arena, &c->diags, g, &o, EMIT_LIB, arena_printf(&c->arena, "%s/m.so", dir), &report))
        return dir;
    note_error(c);
    return NULL;
}

static bool run_native(Case *c, const char *dir, const Graph *g, const Tensor *const *in) {
    void *handle = dlopen(arena_printf(&c->arena, "%s/m.so", dir), RTLD_NOW | RTLD_LOCAL);
    if (!handle) return note(c, "%s", dlerror());
    const qcc_model *m = dlsym(handle, "m_qcc_model");
    if (!m) return note(c, "the library has no descriptor");
    if (m->flags & QCC_MODEL_FALLBACK) c->result->fallback = true;
    return run_guarded(c, m, g, in);
}

static void run_set(Case *c, int index, Gate last) {
    Gate passed = GATE_NONE;
    c->consts.n = 0;
    reset_diags(c);
    bool readable = read_set(c, index); /* where it is not, the model is to be refused */
    Graph *g = import_model(c);
    if (g && !readable) {
        passed = GATE_IMPORT;
    } else if (g) {
        passed = GATE_IMPORT;
        const Tensor **in = NEW_ARRAY(&c->arena, const Tensor *, g->inputs.n + 1);
        if (last >= GATE_EVALUATE && gather_inputs(c, g, in) && evaluate(c, g, in)) {
            passed = GATE_EVALUATE;
            const Graph *ports = graph_clone(&c->arena, g); /* the compiler uses the other one up */
            const char *dir = last >= GATE_COMPILE ? compile(c, g) : NULL;
            if (dir && (c->machine->target ? run_foreign(c, dir, ports, in) : run_native(c, dir, ports, in)))
                passed = GATE_COMPILE;
        }
    } else {
        c->result->refused = c->diags.n_errors > 0;
        note_error(c);
    }
    if (passed < c->result->passed) c->result->passed = passed;
}

static bool has_set(const Case *c, int index) {
    if (c->light) return false;
    Arena scratch = {0};
    bool has = access(arena_printf(&scratch, "%s/test_data_set_%d", c->folder, index), R_OK) == 0;
    arena_free(&scratch);
    return has;
}

void case_run(const char *folder, Gate last, const CaseMachine *machine, CaseResult *out) {
    *out = (CaseResult){.passed = last};
    Guard guard;
    size_t n = strlen(folder);
    Case c = {.folder = folder, .machine = machine, .result = out};
    c.light = n > 5 && strcmp(folder + n - 5, ".onnx") == 0;
    if (setjmp(*guard_enter(&guard)) == 0) {
        for (int i = 0; (i == 0 || has_set(&c, i)) && (i == 0 || out->passed == last); i++) run_set(&c, i, last);
        guard_leave(&guard);
    } else {
        out->passed = GATE_NONE;
        snprintf(out->note, sizeof out->note, "out of memory");
    }
    arena_free(&c.arena);
}
