/* Tensors in files, whatever kind of file it is: told by its first bytes. */
#include <string.h>

#include "base/file.h"
#include "frontend/frontend.h"
#include "frontend/npy.h"
#include "frontend/tensor.h"

static const Tensor *find_member(Arena *a, Diags *d, const char *path, const char *member) {
    NamedTensor *list;
    size_t n;
    Loc loc = {.file = path, .index = -1};
    if (!npz_read(a, d, path, &list, &n)) return NULL;
    if (!member && n == 1) return list[0].tensor;
    for (size_t i = 0; member && i < n; i++) {
        if (strcmp(list[i].name, member) == 0) return list[i].tensor;
    }
    Diag *g = member ? diag(d, D_TENSOR_DATA, loc, "the archive has no array '%s'", member)
                     : diag(d, D_TENSOR_DATA, loc, "the archive has %zu arrays, one must be named", n);
    for (size_t i = 0; i < n && i < 20; i++) diag_note(d, g, "array '%s'", list[i].name);
    return NULL;
}

static const Tensor *read_proto(Arena *a, Diags *d, const char *path, ProtoBytes b) {
    Arena *protos = arena_nested(a);
    TensorSource s = {.arena = a, .d = d, .bytes = b};
    const Onnx__TensorProto *p = proto_tensor(protos, d, path, b);
    const Tensor *t = p ? tensor_import(&s, p, (Loc){.file = path, .index = -1}) : NULL;
    arena_free(protos);
    return t;
}

const Tensor *tensor_read(Arena *a, Diags *d, const char *path, const char *member) {
    FileView v;
    const char *own = arena_str(a, path);
    if (!file_map(a, d, own, &v)) return NULL;
    if (v.bytes == 0) {
        diag(d, D_TENSOR_DATA, (Loc){.file = own, .index = -1}, "the file is empty");
        return NULL;
    }
    if (v.bytes >= 4 && memcmp(v.data, "PK\3\4", 4) == 0) return find_member(a, d, own, member);
    if (v.bytes >= 6 && memcmp(v.data, "\x93NUMPY", 6) == 0) return npy_parse(a, d, own, (ProtoBytes){v.data, v.bytes});
    return read_proto(a, d, own, (ProtoBytes){v.data, v.bytes});
}
