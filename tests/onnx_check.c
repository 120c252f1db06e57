/* Imports models, evaluates them on given inputs and compares with given outputs: the first two gates of conformance.
 *     onnx_check [DIM=SIZE...] FOLDER...
 * A folder holds model.onnx and test_data_set_N/{input,output}_K.pb. One line for each: its name, then "pass", or the
 * gate that failed (data, import, eval, compare) and why. Inputs that an operator needs at compile time are bound from
 * the first data set. Floats agree within rtol 1e-3 and atol 1e-7, all else exactly; NaN equals NaN. Exit 0 if all
 * pass. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "frontend/frontend.h"
#include "frontend/proto.h"

typedef struct Case {
    Arena *a;
    const char *dir, *gate;
    Graph *g;
    VEC(ImportDim) dims;
    VEC(ImportConst) consts;
} Case;

typedef struct Data {
    VEC(NamedTensor) in, out;
} Data;

/* The first error on one line. */
static const char *first_error(Case *c, const Diags *d) {
    Text t = {.arena = c->a};
    for (const Diag *g = d->first; g; g = g->next) {
        if (diag_info[g->id].sev != SEV_E) continue;
        diag_format(&t, g, false);
        for (char *s = t.s; *s; s++) *s = *s == '\n' ? ' ' : *s;
        return t.s;
    }
    return "no diagnostic";
}

static const char *name_in_file(Case *c, Diags *d, const char *path) {
    FileView v;
    if (!file_map(c->a, d, path, &v)) return "";
    const Onnx__TensorProto *p = proto_tensor(c->a, d, path, (ProtoBytes){v.data, v.bytes});
    return p ? proto_str(p->name) : "";
}

static const char *read_set(Case *c, int set, Data *out) {
    Diags d;
    diags_init(&d, c->a);
    for (int kind = 0; kind < 2; kind++) {
        for (size_t k = 0;; k++) {
            const char *path =
                arena_printf(c->a, "%s/test_data_set_%d/%s_%zu.pb", c->dir, set, kind ? "output" : "input", k);
            if (access(path, R_OK) != 0) break;
            NamedTensor t = {name_in_file(c, &d, path), tensor_read(c->a, &d, path, NULL)};
            if (!t.tensor) return first_error(c, &d);
            if (kind)
                vec_push(c->a, &out->out, t);
            else
                vec_push(c->a, &out->in, t);
        }
    }
    return NULL;
}

/* Binds the inputs that the error asks for: "... the graph's input 'a', 'b'". False if none is left to bind. */
static bool bind_asked(Case *c, const Data *data, const char *error) {
    size_t before = c->consts.n;
    const char *asked = strstr(error, "the graph's input '");
    if (!asked) return false;
    const char *end = strstr(asked, "     note:");
    error = end ? arena_strn(c->a, asked, (size_t)(end - asked)) : asked;
    for (size_t k = 0; k < data->in.n; k++) {
        const NamedTensor *t = &data->in.at[k];
        bool bound = false;
        for (size_t i = 0; i < before; i++) bound = bound || strcmp(c->consts.at[i].input, t->name) == 0;
        if (bound || !strstr(error, arena_printf(c->a, "'%s'", t->name))) continue;
        vec_push(c->a, &c->consts, (ImportConst){t->name, t->tensor});
    }
    return c->consts.n > before;
}

static const char *import(Case *c, const Data *first) {
    const char *path = arena_printf(c->a, "%s/model.onnx", c->dir);
    for (;;) {
        Diags d;
        diags_init(&d, c->a);
        ImportOptions o = {c->dims.n, 0, c->consts.n, c->dims.at, NULL, c->consts.at};
        c->g = onnx_import(c->a, &d, path, &o);
        if (c->g) return NULL;
        const char *error = first_error(c, &d);
        if (!bind_asked(c, first, error)) return error;
    }
}

static const Tensor *input_of(const Case *c, const Data *data, size_t i) {
    for (size_t k = 0; k < data->in.n; k++) {
        if (strcmp(data->in.at[k].name, c->g->inputs.at[i].name) == 0) return data->in.at[k].tensor;
    }
    return i < data->in.n && c->consts.n == 0 ? data->in.at[i].tensor : NULL;
}

/* Older suites keep bfloat16 as the integers of its bits. */
static const Tensor *as_declared(Case *c, const Tensor *t, const Type *type) {
    if (t->type.elem != QCC_U16 || type->elem != QCC_BF16) return t;
    Tensor *r = NEW(c->a, Tensor);
    *r = (Tensor){.type = {QCC_BF16, t->type.shape}, .splat = t->splat, .data = t->data};
    return r;
}

static bool close_enough(double got, double want, bool exact) {
    if (isnan(got) || isnan(want)) return isnan(got) && isnan(want);
    return got == want || (!exact && fabs(got - want) <= 1e-7 + 1e-3 * fabs(want));
}

static const char *compare(Case *c, const char *name, const Tensor *got, const Tensor *want) {
    if (!type_equal(&got->type, &want->type)) {
        return arena_printf(c->a, "'%s' is %s, not %s", name, type_str(c->a, &got->type), type_str(c->a, &want->type));
    }
    bool exact = !elem_is_float(got->type.elem);
    int64_t n = shape_count(&got->type.shape), wrong = 0, first = -1;
    for (int64_t i = 0; i < n; i++) {
        bool same = exact ? tensor_get_int(got, i) == tensor_get_int(want, i)
                          : close_enough(tensor_get(got, i), tensor_get(want, i), false);
        if (same) continue;
        if (wrong++ == 0) first = i;
    }
    if (wrong == 0) return NULL;
    return arena_printf(c->a, "'%s' %s: %lld of %lld differ, the first at %lld: %.9g, not %.9g", name,
                        type_str(c->a, &got->type), (long long)wrong, (long long)n, (long long)first,
                        tensor_get(got, first), tensor_get(want, first));
}

static const char *run_set(Case *c, const Data *data) {
    Diags d;
    diags_init(&d, c->a);
    const Tensor **in = NEW_ARRAY(c->a, const Tensor *, c->g->inputs.n + 1);
    Tensor **out = NEW_ARRAY(c->a, Tensor *, c->g->outputs.n + 1);
    c->gate = "data";
    for (size_t i = 0; i < c->g->inputs.n; i++) {
        const GraphPort *p = &c->g->inputs.at[i];
        in[i] = input_of(c, data, i);
        if (!in[i]) return arena_printf(c->a, "no data for input '%s'", p->name);
        in[i] = as_declared(c, in[i], &p->value->type);
        const char *why = arena_printf(c->a, "the data of input '%s' is %s, not %s", p->name,
                                       type_str(c->a, &in[i]->type), type_str(c->a, &p->value->type));
        if (!type_equal(&in[i]->type, &p->value->type)) return why;
    }
    if (data->out.n != c->g->outputs.n) return "the number of outputs differs";
    c->gate = "eval";
    if (!graph_eval(c->a, &d, c->g, in, out, NULL, NULL)) return first_error(c, &d);
    c->gate = "compare";
    for (size_t i = 0; i < data->out.n; i++) {
        const Tensor *want = as_declared(c, data->out.at[i].tensor, &out[i]->type);
        const char *why = compare(c, c->g->outputs.at[i].name, out[i], want);
        if (why) return why;
    }
    return NULL;
}

/* ---- io.npz ---- */

static const Tensor *find_array(const NamedTensor *list, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++) {
        if (strcmp(list[i].name, name) == 0) return list[i].tensor;
    }
    return NULL;
}

/* The part of a stacked array that is sample i of a port; NULL where it does not fit. */
static Tensor *sample_of(Case *c, const Tensor *all, const Type *type, int64_t i) {
    int64_t n = shape_count(&type->shape);
    if (!all || all->type.elem != type->elem || (i + 1) * n > shape_count(&all->type.shape)) return NULL;
    Tensor *t = NEW(c->a, Tensor);
    *t = (Tensor){.type = *type, .data = (const char *)all->data + i * n * elem_bytes(type->elem)};
    return t;
}

static const char *compare_range(Case *c, const char *name, const Tensor *got, const Tensor *want) {
    double least = INFINITY, most = -INFINITY, error = 0;
    for (int64_t i = 0; i < shape_count(&want->type.shape); i++) {
        double w = tensor_get(want, i), e = fabs(tensor_get(got, i) - w);
        least = fmin(least, w);
        most = fmax(most, w);
        if (!(e <= error)) error = e;
    }
    if (error <= fmax(1e-4 * (most - least), 0x1p-23)) return NULL;
    return arena_printf(c->a, "'%s': the largest error is %g, of a range of %g", name, error, most - least);
}

static const char *run_sample(Case *c, const NamedTensor *io, size_t n, int64_t sample, bool *done) {
    Diags d;
    diags_init(&d, c->a);
    const Tensor **in = NEW_ARRAY(c->a, const Tensor *, c->g->inputs.n + 1);
    Tensor **out = NEW_ARRAY(c->a, Tensor *, c->g->outputs.n + 1);
    for (size_t k = 0; k < c->g->inputs.n; k++) {
        const Tensor *all = find_array(io, n, arena_printf(c->a, "in_%zu", k));
        in[k] = sample_of(c, all, &c->g->inputs.at[k].value->type, sample);
        *done = !in[k];
        if (*done) return sample > 0 ? NULL : arena_printf(c->a, "no data for input %zu", k);
    }
    c->gate = "eval";
    if (!graph_eval(c->a, &d, c->g, in, out, NULL, NULL)) return first_error(c, &d);
    c->gate = "compare";
    for (size_t k = 0; k < c->g->outputs.n; k++) {
        const Tensor *all = find_array(io, n, arena_printf(c->a, "out_%zu", k));
        const Tensor *want = sample_of(c, all, &c->g->outputs.at[k].value->type, sample);
        if (!want) return arena_printf(c->a, "no data for output %zu", k);
        const char *why = compare_range(c, c->g->outputs.at[k].name, out[k], want);
        if (why) return why;
    }
    return NULL;
}

static const char *run_io(Case *c, const char *path) {
    Diags d;
    NamedTensor *io;
    size_t n;
    bool done = false;
    diags_init(&d, c->a);
    c->gate = "data";
    if (!npz_read(c->a, &d, path, &io, &n)) return first_error(c, &d);
    c->gate = "import";
    const char *why = import(c, &(Data){0});
    for (int64_t i = 0; !why && !done; i++) why = run_sample(c, io, n, i, &done);
    return why;
}

/* ---- all ---- */

static const char *run_case(Case *c) {
    Data data = {0};
    const char *npz = arena_printf(c->a, "%s/io.npz", c->dir);
    if (access(npz, R_OK) == 0) return run_io(c, npz);
    c->gate = "data";
    const char *why = read_set(c, 0, &data);
    if (why) return why;
    c->gate = "import";
    why = import(c, &data);
    for (int set = 0; !why && data.out.n > 0; set++) {
        why = run_set(c, &data);
        data = (Data){0};
        if (!why) why = read_set(c, set + 1, &data);
        if (c->consts.n > 0) break;
    }
    return why;
}

static bool check(const char *dir, int n_dims, char **dims) {
    Arena arena = {0};
    Case c = {.a = &arena, .dir = dir};
    Guard guard;
    const char *volatile why = "memory ran out";
    if (setjmp(*guard_enter(&guard)) == 0) {
        for (int i = 0; i < n_dims; i++) {
            char *name = arena_str(&arena, dims[i]), *size = strchr(name, '=');
            *size++ = '\0';
            vec_push(&arena, &c.dims, (ImportDim){name, strtoll(size, NULL, 10)});
        }
        why = run_case(&c);
        guard_leave(&guard);
    }
    if (why)
        printf("%s %s: %s\n", path_base(dir), c.gate, why);
    else
        printf("%s pass\n", path_base(dir));
    fflush(stdout);
    arena_free(&arena);
    return !why;
}

int main(int argc, char **argv) {
    int failed = 0, dims = 1;
    while (dims < argc && strchr(argv[dims], '=')) dims++;
    for (int i = dims; i < argc; i++) failed += !check(argv[i], dims - 1, argv + 1);
    return failed > 0;
}
