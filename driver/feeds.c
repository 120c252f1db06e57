/* Inputs from the command line: --input x=@x.npy, --input x=@all.npz:x, --input @all.npz, --input '#0=@input_0.pb' (by
 * position). */
#include "driver/driver.h"

#include <stdlib.h>
#include <string.h>

static int find_port(const PortType *ports, uint32_t n, const char *name) {
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(ports[i].name, name) == 0) return (int)i;
    char *end;
    unsigned long index = name[0] == '#' ? strtoul(name + 1, &end, 10) : n;
    return index < n && *end == '\0' ? (int)index : -1;
}

static void list_ports(Driver *dr, Diag *g, const PortType *ports, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        diag_note(dr->diags, g, "input '%s': %s", ports[i].name, type_str(dr->arena, &ports[i].type));
}

static bool ends_with(const char *s, const char *suffix) {
    size_t n = strlen(s), k = strlen(suffix);
    return n >= k && strcmp(s + n - k, suffix) == 0;
}

static bool given_twice(Driver *dr, const char *name) {
    diag(dr->diags, D_USAGE, LOC_NONE, "input '%s' is given twice", name);
    return false;
}

/* --input @all.npz: members go to the inputs of their names. */
static bool take_bundle(Driver *dr, const PortType *ports, uint32_t n, const char *path, Feeds *f) {
    NamedTensor *all;
    size_t count;
    if (!npz_read(dr->arena, dr->diags, path, &all, &count)) return false;
    for (size_t i = 0; i < count; i++) {
        int port = find_port(ports, n, all[i].name);
        if (port < 0) continue;
        if (f->tensor[port]) return given_twice(dr, ports[port].name);
        f->tensor[port] = all[i].tensor;
    }
    return true;
}

const Tensor *array_read(Driver *dr, const char *path) {
    const char *colon = strstr(path, ".npz:");
    const char *member = colon ? colon + strlen(".npz:") : NULL;
    if (colon) path = arena_strn(dr->arena, path, (size_t)(colon - path) + strlen(".npz"));
    file_names_add(&dr->cmd.read, path);
    return tensor_read(dr->arena, dr->diags, path, member);
}

static bool take_input(Driver *dr, const PortType *ports, uint32_t n, const char *word, Feeds *f) {
    if (word[0] == '@' && ends_with(word, ".npz")) return take_bundle(dr, ports, n, word + 1, f);
    const char *at = strstr(word, "=@");
    int port = -1;
    if (at) {
        const char *name = arena_strn(dr->arena, word, (size_t)(at - word));
        port = find_port(ports, n, name);
    } else if (word[0] == '@' && n == 1) {
        port = 0;
    }
    if (port < 0) {
        Diag *g = diag(dr->diags, D_USAGE, LOC_NONE, "--input %s: expected NAME=@FILE with the name of an input", word);
        list_ports(dr, g, ports, n);
        return false;
    }
    if (f->tensor[port]) return given_twice(dr, ports[port].name);
    f->tensor[port] = array_read(dr, at ? at + 2 : word + 1);
    return f->tensor[port] != NULL;
}

/* How many samples of type `want` array `got` holds along its first dimension; 0 if it does not fit. */
static int64_t samples_of(const Type *got, const Type *want) {
    if (got->elem != want->elem) return 0;
    if (shape_equal(&got->shape, &want->shape)) return 1;
    if (got->shape.rank != want->shape.rank || want->shape.rank == 0 || want->shape.dim[0] == 0) return 0;
    for (int i = 1; i < want->shape.rank; i++)
        if (got->shape.dim[i] != want->shape.dim[i]) return 0;
    return got->shape.dim[0] % want->shape.dim[0] == 0 ? got->shape.dim[0] / want->shape.dim[0] : 0;
}

static const Tensor *fill_input(Arena *a, Type type) {
    Tensor *t = tensor_new(a, type);
    int64_t n = shape_count(&type.shape);
    uint64_t state = 0x9e3779b97f4a7c15u;
    for (int64_t i = 0; i < n; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        if (elem_is_float(type.elem)) {
            tensor_set(t, i, (double)(state >> 40) / 16777216.0);
        } else {
            tensor_set_int(t, i, (int64_t)(state >> 62));
        }
    }
    return t;
}

static bool check_input(Driver *dr, const PortType *port, const Tensor *t, bool first, Feeds *f) {
    int64_t samples = samples_of(&t->type, &port->type);
    if (samples == 0) {
        diag(dr->diags, D_USAGE, LOC_NONE, "input '%s' was given %s, but it takes %s", port->name,
             type_str(dr->arena, &t->type), type_str(dr->arena, &port->type));
        return false;
    }
    if (!first && samples != f->samples) {
        diag(dr->diags, D_USAGE, LOC_NONE, "input '%s' was given %lld samples, others %lld", port->name,
             (long long)samples, (long long)f->samples);
        return false;
    }
    f->samples = samples;
    return true;
}

bool feeds_read(Driver *dr, const PortType *ports, uint32_t n, bool fill, Feeds *out) {
    *out = (Feeds){.samples = 1, .tensor = NEW_ARRAY(dr->arena, const Tensor *, n ? n : 1)};
    for (size_t i = 0; i < dr->cmd.opts.n; i++) {
        const OptValue *o = &dr->cmd.opts.at[i];
        if (o->id == O_DATA && !take_bundle(dr, ports, n, o->value, out)) return false;
        if (o->id == O_INPUT && !take_input(dr, ports, n, o->value, out)) return false;
    }
    bool first = true;
    for (uint32_t i = 0; i < n; i++) {
        if (!out->tensor[i] && fill) continue;
        if (!out->tensor[i]) {
            Diag *g = diag(dr->diags, D_USAGE, LOC_NONE, "no data for input '%s'", ports[i].name);
            list_ports(dr, g, ports, n);
            diag_hint(dr->diags, g, "give it with --input '%s=@FILE.npy'", ports[i].name);
            return false;
        }
        if (!check_input(dr, &ports[i], out->tensor[i], first, out)) return false;
        first = false;
    }
    for (uint32_t i = 0; i < n; i++) {
        Type type = ports[i].type;
        if (out->tensor[i]) {
            out->tensor[i] = tensor_dense(dr->arena, out->tensor[i]);
            continue;
        }
        if (type.shape.rank) type.shape.dim[0] *= out->samples;
        out->tensor[i] = fill_input(dr->arena, type);
    }
    return true;
}
