/* Inputs to observe, in whatever files they come: an .npz with arrays named after the inputs (or in_0, in_1, ...), an
 * .npy or .pb of the only input, a folder of such files, or of folders test_data_set_N with input_0.pb, ... Arrays hold
 * one sample, or several along their first dimension. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "driver/driver.h"

typedef VEC(const Tensor *) Tensors;

typedef struct Reading {
    Driver *dr;
    const Graph *g;
    int64_t most;
    Tensors *of; /* for each input */
} Reading;

/* ---- arrays to samples ---- */

static int find_input(const Reading *r, const char *name) {
    int index;
    char end;
    for (size_t i = 0; i < r->g->inputs.n; i++)
        if (strcmp(r->g->inputs.at[i].name, name) == 0) return (int)i;
    bool numbered = sscanf(name, "in_%d%c", &index, &end) == 1 || sscanf(name, "input_%d%c", &index, &end) == 1;
    return numbered && index >= 0 && (size_t)index < r->g->inputs.n ? index : -1;
}

static bool refuse(Reading *r, const char *path, const Tensor *t, const GraphPort *p) {
    diag(r->dr->diags, D_USAGE, (Loc){.file = path, .index = -1}, "an array is %s, but input '%s' takes %s",
         type_str(r->dr->arena, &t->type), p->name, type_str(r->dr->arena, &p->value->type));
    return false;
}

static bool take_array(Reading *r, const char *path, int input, const Tensor *t) {
    const GraphPort *p = &r->g->inputs.at[input];
    const Type *want = &p->value->type;
    const Shape *s = &t->type.shape;
    int64_t bytes = type_bytes(want), n = 1;
    if (t->type.elem != want->elem || s->rank != want->shape.rank) return refuse(r, path, t, p);
    for (int i = 1; i < s->rank; i++)
        if (s->dim[i] != want->shape.dim[i]) return refuse(r, path, t, p);
    if (s->rank && (want->shape.dim[0] == 0 || s->dim[0] % want->shape.dim[0] != 0)) return refuse(r, path, t, p);
    if (s->rank) n = s->dim[0] / want->shape.dim[0];
    const uint8_t *data = tensor_dense(r->dr->arena, t)->data;
    for (int64_t i = 0; i < n && (int64_t)r->of[input].n < r->most; i++) {
        Tensor *one = NEW(r->dr->arena, Tensor);
        *one = (Tensor){.type = *want, .data = data + i * bytes};
        vec_push(r->dr->arena, &r->of[input], one);
    }
    return true;
}

static bool ends_with(const char *s, const char *suffix) {
    size_t n = strlen(s), k = strlen(suffix);
    return n >= k && strcmp(s + n - k, suffix) == 0;
}

static bool take_npz(Reading *r, const char *path) {
    NamedTensor *all;
    size_t n, taken = 0;
    if (!npz_read(r->dr->arena, r->dr->diags, path, &all, &n)) return false;
    for (size_t i = 0; i < n; i++) {
        int input = n == 1 && r->g->inputs.n == 1 ? 0 : find_input(r, all[i].name);
        if (input < 0) continue;
        taken++;
        if (!take_array(r, path, input, all[i].tensor)) return false;
    }
    if (taken) return true;
    diag(r->dr->diags, D_USAGE, (Loc){.file = path, .index = -1}, "no array in it has the name of an input");
    return false;
}

static bool take_file(Reading *r, const char *path) {
    file_names_add(&r->dr->cmd.read, path);
    if (ends_with(path, ".npz")) return take_npz(r, path);
    int input = find_input(r, path_stem(r->dr->arena, path));
    if (input < 0 && r->g->inputs.n == 1) input = 0;
    if (input < 0) {
        diag(r->dr->diags, D_USAGE, (Loc){.file = path, .index = -1},
             "it is not named after an input, and the model has %zu", r->g->inputs.n);
        return false;
    }
    const Tensor *t = tensor_read(r->dr->arena, r->dr->diags, path, NULL);
    return t && take_array(r, path, input, t);
}

/* ---- folders ---- */

static int compare_names(const void *p, const void *q) {
    return strcmp(*(const char *const *)p, *(const char *const *)q);
}

static bool is_folder(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

static void close_folder(void *dir) { closedir(dir); }

static bool wanted(const char *name) {
    if (glob_match("test_data_set_*", name)) return true;
    return ends_with(name, ".npz") || ends_with(name, ".npy") ||
           (ends_with(name, ".pb") && !glob_match("output_*", name));
}

static bool take_path(Reading *r, const char *path, int depth);

static bool take_folder(Reading *r, const char *path, int depth) {
    Arena *a = r->dr->arena;
    VEC(const char *) names = {0};
    DIR *dir = opendir(path);
    if (!dir) {
        diag(r->dr->diags, D_FILE_OPEN, (Loc){.file = path, .index = -1}, "cannot read the folder");
        return false;
    }
    Arena *own = arena_nested(a);
    arena_defer(own, close_folder, dir);
    file_names_add(&r->dr->cmd.read, path);
    for (struct dirent *e; (e = readdir(dir));)
        if (wanted(e->d_name)) vec_push(a, &names, (const char *)arena_printf(a, "%s/%s", path, e->d_name));
    arena_free(own);
    if (names.n) qsort(names.at, names.n, sizeof *names.at, compare_names);
    for (size_t i = 0; i < names.n; i++)
        if (!take_path(r, names.at[i], depth + 1)) return false;
    return true;
}

static bool take_path(Reading *r, const char *path, int depth) {
    enum { DEEPEST = 2 };
    if (depth <= DEEPEST && is_folder(path)) return take_folder(r, path, depth);
    return take_file(r, path);
}

/* ---- all of them ---- */

static bool check_counts(Reading *r, int64_t *n) {
    *n = r->g->inputs.n ? (int64_t)r->of[0].n : 0;
    if (*n == 0 && r->g->inputs.n) {
        diag(r->dr->diags, D_USAGE, LOC_NONE,
             "--calibrate gives no samples: no array in an .npz, .npy or .pb was found");
        return false;
    }
    for (size_t i = 0; i < r->g->inputs.n; i++) {
        if ((int64_t)r->of[i].n == *n) continue;
        diag(r->dr->diags, D_USAGE, LOC_NONE, "--calibrate gives %zu samples of input '%s', and %lld of '%s'",
             r->of[i].n, r->g->inputs.at[i].name, (long long)*n, r->g->inputs.at[0].name);
        return false;
    }
    return true;
}

bool samples_read(Driver *dr, const Graph *g, const Tensor *const **out, int64_t *n) {
    Reading r = {.dr = dr, .g = g, .of = NEW_ARRAY(dr->arena, Tensors, g->inputs.n + 1)};
    bool given = false;
    *n = 0;
    *out = NULL;
    if (!command_count(dr, O_SAMPLES, 1, 1 << 20, 128, &r.most)) return false;
    for (size_t i = 0; i < dr->cmd.opts.n; i++) {
        const OptValue *o = &dr->cmd.opts.at[i];
        if (o->id != O_CALIBRATE) continue;
        given = true;
        if (!take_path(&r, o->value, 0)) return false;
    }
    if (!given) return true;
    if (!check_counts(&r, n)) return false;
    const Tensor **all = NEW_ARRAY(dr->arena, const Tensor *, *n *(int64_t)g->inputs.n);
    for (int64_t s = 0; s < *n; s++)
        for (size_t i = 0; i < g->inputs.n; i++) all[s * (int64_t)g->inputs.n + (int64_t)i] = r.of[i].at[s];
    *out = all;
    return true;
}
