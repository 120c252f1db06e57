/* NumPy's archives: a zip file of .npy members. Read by the central directory (APPNOTE 6.3), stored or deflated, with
 * sizes of 64 bits where they are so; written stored, without times, so that equal arrays make equal files. */
#include <string.h>

#include <zlib.h>

#include "base/file.h"
#include "frontend/frontend.h"
#include "frontend/npy.h"

enum {
    LOCAL_BYTES = 30,
    CENTRAL_BYTES = 46,
    END_BYTES = 22,
    COMMENT_BYTES = 65535,
    STORED = 0,
    DEFLATED = 8,
    MAX_RATIO = 1032, /* of deflate: no stream makes more of a byte */
    MAX_MEMBERS = 65535
};
#define LOCAL_MAGIC 0x04034b50u
#define CENTRAL_MAGIC 0x02014b50u
#define END_MAGIC 0x06054b50u

typedef struct Member {
    const char *name;
    unsigned flags, method;
    uint32_t crc;
    uint64_t packed, bytes, offset;
} Member;

typedef struct Zip {
    Arena *arena;
    Diags *d;
    const char *path;
    ProtoBytes b;
} Zip;

/* ---- reading ---- */

static uint64_t little(const uint8_t *p, int bytes) {
    uint64_t v = 0;
    for (int i = bytes - 1; i >= 0; i--) v = v << 8 | p[i];
    return v;
}

static bool refuse(Zip *z, const char *what, const char *why) {
    diag(z->d, D_TENSOR_DATA, (Loc){.file = z->path, .index = -1}, "%s%s", what, why);
    return false;
}

/* The bytes [at, at + n) of the file; NULL where it has none. */
static const uint8_t *bytes_at(const Zip *z, uint64_t at, uint64_t n) {
    return at <= z->b.bytes && n <= z->b.bytes - at ? z->b.data + at : NULL;
}

/* Sizes that need 64 bits are all ones, and stand in this order in an extra field. */
static bool widen(Member *m, const uint8_t *extra, size_t n) {
    uint64_t *fields[] = {&m->bytes, &m->packed, &m->offset};
    for (size_t at = 0; at + 4 <= n;) {
        size_t id = (size_t)little(extra + at, 2), size = (size_t)little(extra + at + 2, 2);
        at += 4;
        if (size > n - at) return false;
        for (size_t i = 0, k = at; id == 1 && i < COUNT_OF(fields); i++) {
            if (*fields[i] != UINT32_MAX) continue;
            if (k + 8 > at + size) return false;
            *fields[i] = little(extra + k, 8);
            k += 8;
        }
        at += size;
    }
    return true;
}

/* Reads the entry of the central directory at *at and moves behind it. */
static bool read_entry(Zip *z, uint64_t *at, Member *m) {
    const uint8_t *p = bytes_at(z, *at, CENTRAL_BYTES);
    if (!p || little(p, 4) != CENTRAL_MAGIC) return false;
    size_t name = (size_t)little(p + 28, 2), extra = (size_t)little(p + 30, 2), comment = (size_t)little(p + 32, 2);
    const uint8_t *rest = bytes_at(z, *at + CENTRAL_BYTES, name + extra + comment);
    if (!rest) return false;
    *m = (Member){.flags = (unsigned)little(p + 8, 2), .method = (unsigned)little(p + 10, 2)};
    m->crc = (uint32_t)little(p + 16, 4);
    m->packed = little(p + 20, 4);
    m->bytes = little(p + 24, 4);
    m->offset = little(p + 42, 4);
    m->name = arena_strn(z->arena, (const char *)rest, name);
    *at += CENTRAL_BYTES + name + extra + comment;
    return widen(m, rest + name, extra);
}

static const uint8_t *find_end(const Zip *z) {
    if (z->b.bytes < END_BYTES) return NULL;
    for (size_t back = 0; back <= COMMENT_BYTES && back <= z->b.bytes - END_BYTES; back++) {
        const uint8_t *p = z->b.data + (z->b.bytes - END_BYTES - back);
        if (little(p, 4) == END_MAGIC) return p;
    }
    return NULL;
}

static void *zip_alloc(void *arena, unsigned n, unsigned bytes) { return arena_array(arena, n, bytes); }
static void zip_free(void *arena, void *p) {
    (void)arena;
    (void)p;
}

static bool inflate_member(Zip *z, const Member *m, const uint8_t *packed, uint8_t *out) {
    Arena *scratch = arena_nested(z->arena);
    z_stream s = {.zalloc = zip_alloc, .zfree = zip_free, .opaque = scratch};
    bool ok = inflateInit2(&s, -MAX_WBITS) == Z_OK;
    uint64_t in_left = m->packed, out_left = m->bytes;
    s.next_in = (z_const Bytef *)packed;
    s.next_out = out;
    int status = Z_OK;
    while (ok && status == Z_OK) {
        uInt in = (uInt)(in_left > UINT32_MAX ? UINT32_MAX : in_left),
             room = (uInt)(out_left > UINT32_MAX ? UINT32_MAX : out_left);
        s.avail_in = in;
        s.avail_out = room;
        status = inflate(&s, Z_NO_FLUSH);
        in_left -= in - s.avail_in;
        out_left -= room - s.avail_out;
        if (in == s.avail_in && room == s.avail_out) break;
    }
    arena_free(scratch);
    return status == Z_STREAM_END && out_left == 0;
}

static bool unpack(Zip *z, const Member *m, ProtoBytes *out) {
    const uint8_t *local = bytes_at(z, m->offset, LOCAL_BYTES);
    if (!local || little(local, 4) != LOCAL_MAGIC) return refuse(z, m->name, ": the archive is damaged");
    uint64_t start = m->offset + LOCAL_BYTES + little(local + 26, 2) + little(local + 28, 2);
    const uint8_t *packed = bytes_at(z, start, m->packed);
    if (!packed) return refuse(z, m->name, ": the archive is cut off");
    if (m->flags & 1) return refuse(z, m->name, ": the member is encrypted");
    if (m->method == STORED && m->packed == m->bytes) {
        *out = (ProtoBytes){packed, (size_t)m->bytes};
    } else if (m->method == DEFLATED && m->bytes / MAX_RATIO <= m->packed) {
        uint8_t *p = arena_get(z->arena, (size_t)m->bytes + 1);
        if (!inflate_member(z, m, packed, p)) return refuse(z, m->name, ": the member is damaged");
        *out = (ProtoBytes){p, (size_t)m->bytes};
    } else {
        return refuse(z, m->name, ": the member's sizes or way of packing are not supported");
    }
    uint32_t crc = (uint32_t)crc32_z(0, out->data, out->bytes);
    return crc == m->crc || refuse(z, m->name, ": the member's checksum is wrong");
}

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), k = strlen(end);
    return n >= k && strcmp(s + n - k, end) == 0;
}

static bool read_members(Zip *z, Arena *a, NamedTensor **out, size_t *n) {
    VEC(NamedTensor) list = {0};
    const uint8_t *end = find_end(z);
    if (!end) return refuse(z, "", "the file is no zip archive");
    uint64_t count = little(end + 10, 2), at = little(end + 16, 4);
    if (count >= MAX_MEMBERS || at == UINT32_MAX) return refuse(z, "", "the archive has too many members");
    for (uint64_t i = 0; i < count; i++) {
        Member m;
        ProtoBytes b;
        if (!read_entry(z, &at, &m)) return refuse(z, "", "the archive's directory is damaged");
        if (!ends_with(m.name, ".npy")) continue;
        if (!unpack(z, &m, &b)) return false;
        const Tensor *t = npy_parse(a, z->d, arena_printf(a, "%s:%s", z->path, m.name), b);
        if (!t) return false;
        vec_push(a, &list, (NamedTensor){arena_strn(a, m.name, strlen(m.name) - 4), t});
    }
    *out = list.at;
    *n = list.n;
    return true;
}

bool npz_read(Arena *a, Diags *d, const char *path, NamedTensor **out, size_t *n) {
    Arena *scratch = arena_nested(a);
    Zip z = {.arena = scratch, .d = d, .path = arena_str(a, path)};
    FileView v;
    bool ok = file_map(scratch, d, path, &v);
    if (ok) {
        z.b = (ProtoBytes){v.data, v.bytes};
        ok = read_members(&z, a, out, n);
    }
    arena_free(scratch);
    return ok;
}

/* ---- writing ---- */

static void put(Text *t, uint64_t v, int bytes) {
    for (int i = 0; i < bytes; i++, v >>= 8) text_put(t, (const char[]){(char)(v & 255)}, 1);
}

/* What the local header and the directory have in common: version to name length. The date is 1980-01-01, zip's first.
 */
static void put_common(Text *t, const Member *m) {
    put(t, 20, 2);
    put(t, 0, 2);
    put(t, STORED, 2);
    put(t, 0x00210000, 4);
    put(t, m->crc, 4);
    put(t, m->packed, 4);
    put(t, m->bytes, 4);
    put(t, strlen(m->name), 2);
}

static void put_local(Text *t, const Member *m, ProtoBytes b) {
    put(t, LOCAL_MAGIC, 4);
    put_common(t, m);
    put(t, 0, 2);
    text_put(t, m->name, strlen(m->name));
    text_put(t, (const char *)b.data, b.bytes);
}

static void put_entry(Text *t, const Member *m) {
    put(t, CENTRAL_MAGIC, 4);
    put(t, 20, 2);
    put_common(t, m);
    put(t, 0, 2 + 2 + 2 + 2 + 4); /* extra, comment, disk, attributes */
    put(t, m->offset, 4);
    text_put(t, m->name, strlen(m->name));
}

bool npz_write(Arena *a, Diags *d, const char *path, const NamedTensor *t, size_t n) {
    Arena *scratch = arena_nested(a);
    Text file = {.arena = scratch}, directory = {.arena = scratch};
    for (size_t i = 0; i < n; i++) {
        Arena *own = arena_nested(scratch);
        ProtoBytes b = npy_format(own, t[i].tensor);
        Member m = {
            .name = arena_printf(own, "%s.npy", t[i].name), .packed = b.bytes, .bytes = b.bytes, .offset = file.n};
        m.crc = (uint32_t)crc32_z(0, b.data, b.bytes);
        put_local(&file, &m, b);
        put_entry(&directory, &m);
        arena_free(own);
    }
    bool fits = file.n + directory.n < UINT32_MAX && n < MAX_MEMBERS;
    if (!fits) diag(d, D_FILE_OPEN, (Loc){.file = path, .index = -1}, "the arrays take more than 4 GiB");
    Text end = {.arena = scratch};
    put(&end, END_MAGIC, 4);
    put(&end, 0, 4);
    put(&end, n, 2);
    put(&end, n, 2);
    put(&end, directory.n, 4);
    put(&end, file.n, 4);
    put(&end, 0, 2);
    text_put(&file, directory.s, directory.n);
    text_put(&file, end.s, end.n);
    bool ok = fits && file_write(d, path, file.s, file.n);
    arena_free(scratch);
    return ok;
}
