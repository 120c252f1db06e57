/* Files by POSIX. Nothing is allocated while a descriptor is open, since running out of memory would leave it so. */
#include "base/temp.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint8_t no_bytes[1];

static Loc loc_of_file(const char *path) {
    Loc l = LOC_NONE;
    l.file = path && !*path ? "''" : path;
    return l;
}

/* ---- reading --------------------------------------------------------------------------------------------------- */

typedef struct Mapping {
    void *at;
    size_t bytes;
} Mapping;

static void unmap(void *p) {
    Mapping *m = p;
    if (m->at) munmap(m->at, m->bytes);
}

/* Registered before there is anything to unmap, so that the descriptor's owner need not allocate. */
static Mapping *new_mapping(Arena *a) {
    Mapping *m = NEW(a, Mapping);
    arena_defer(a, unmap, m);
    return m;
}

/* Maps and closes fd (which may be -1 with errno set). NULL, or what was wrong. */
static const char *map_and_close(int fd, Mapping *m, FileView *out) {
    if (fd < 0) return strerror(errno);
    struct stat st;
    const char *why = NULL;
    if (fstat(fd, &st) != 0) {
        why = strerror(errno);
    } else if (!S_ISREG(st.st_mode)) {
        why = S_ISDIR(st.st_mode) ? "it is a folder" : "it is not a regular file";
    } else if (st.st_size == 0) {
        *out = (FileView){no_bytes, 0};
    } else {
        void *at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (at == MAP_FAILED)
            why = strerror(errno);
        else
            *m = (Mapping){at, (size_t)st.st_size}, *out = (FileView){at, (size_t)st.st_size};
    }
    close(fd);
    return why;
}

/* Not to wait for the other end of a pipe: it is refused anyhow. */
enum { READ_FLAGS = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY };

bool file_map(Arena *a, Diags *d, const char *path, FileView *out) {
    Mapping *m = new_mapping(a);
    const char *why = map_and_close(open(path, READ_FLAGS), m, out);
    if (why) diag(d, D_FILE_OPEN, loc_of_file(path), "cannot read the file: %s", why);
    return !why;
}

static const char *refuse_name(const char *name) {
    if (!name || !*name) return "the name is empty";
    if (*name == '/') return "the name is absolute";
    for (const char *s = name; s; s = strchr(s, '/')) {
        s += *s == '/';
        if (strncmp(s, "..", 2) == 0 && (s[2] == '/' || s[2] == '\0')) return "the name has a '..' in it";
    }
    return NULL;
}

/* Opens `path`, which has no links as far as was known, part by part from folder `fd` (which it closes), so that a link
 * put there meanwhile is not followed. */
static int open_by_parts(int fd, char *path) {
    for (char *part = path, *slash; fd >= 0; part = slash + 1) {
        slash = strchr(part, '/');
        if (slash) *slash = '\0';
        int flags = slash ? O_RDONLY | O_CLOEXEC | O_DIRECTORY : READ_FLAGS;
        int next = openat(fd, part, flags | O_NOFOLLOW), failed = errno;
        close(fd);
        errno = failed;
        if (!slash) return next;
        fd = next;
    }
    return fd;
}

/* The path of dir/name below dir once all links are followed, written to `real`; NULL with *why where it is not below.
 */
static char *resolve_inside(const char *dir, const char *path, char root[PATH_MAX], char real[PATH_MAX],
                            const char **why) {
    if (!realpath(dir, root) || !realpath(path, real)) {
        *why = strerror(errno);
        return NULL;
    }
    size_t n = strcmp(root, "/") == 0 ? 0 : strlen(root);
    if (strcmp(root, real) == 0) {
        *why = "it is the folder itself";
        return NULL;
    }
    if (strncmp(root, real, n) != 0 || real[n] != '/') {
        *why = "a link leads out of the folder";
        return NULL;
    }
    return real + n + 1;
}

bool file_map_inside(Arena *a, const char *dir, const char *name, FileView *out, const char **why) {
    char root[PATH_MAX], real[PATH_MAX];
    *why = refuse_name(name);
    if (*why) return false;
    Mapping *m = new_mapping(a);
    char *below = resolve_inside(dir, arena_printf(a, "%s/%s", dir, name), root, real, why);
    if (!below) return false;
    int fd = open_by_parts(open(root, O_RDONLY | O_CLOEXEC | O_DIRECTORY), below);
    *why = map_and_close(fd, m, out);
    return !*why;
}

/* ---- writing --------------------------------------------------------------------------------------------------- */

/* What a file is to hold: bytes in memory, or another file. */
typedef struct Content {
    const void *data;
    size_t bytes;
    int from; /* a descriptor, or -1 */
} Content;

static bool write_bytes(int fd, const void *data, size_t bytes) {
    const char *p = data;
    while (bytes) {
        ssize_t n = write(fd, p, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        p += n;
        bytes -= (size_t)n;
    }
    return true;
}

static bool write_content(int fd, const Content *c) {
    char piece[1 << 14];
    if (c->from < 0) return write_bytes(fd, c->data, c->bytes);
    for (;;) {
        ssize_t n = read(c->from, piece, sizeof piece);
        if (n == 0) return true;
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 || !write_bytes(fd, piece, (size_t)n)) return false;
    }
}

/* Writes to and closes fd (which may be -1). False with errno set. */
static bool write_and_close(int fd, const Content *c) {
    if (fd < 0) return false;
    bool good = write_content(fd, c);
    int failed = errno;
    if (close(fd) != 0 && good) return false;
    errno = failed;
    return good;
}

/* A new file beside `path`, its name in `tmp`, which has room for it. With open and not mkstemp, for the usual mode. */
static int create_beside(const char *path, char *tmp, size_t room, mode_t mode) {
    int fd = -1;
    for (int i = 0; i < 100; i++) {
        snprintf(tmp, room, "%s.%ld-%d.tmp", path, (long)getpid(), i);
        fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (fd >= 0 || errno != EEXIST) break;
    }
    return fd;
}

static bool replace_file(const char *path, char *tmp, size_t room, const Content *c) {
    struct stat st;
    mode_t mode = c->from >= 0 && fstat(c->from, &st) == 0 ? st.st_mode & 0777 : 0666;
    int fd = create_beside(path, tmp, room, mode);
    if (fd < 0) return false;
    Temp beside;
    temp_add(&beside, tmp, false);
    bool good = write_and_close(fd, c) && rename(tmp, path) == 0;
    int failed = errno;
    if (!good) unlink(tmp);
    temp_forget(&beside);
    errno = failed;
    return good;
}

static bool is_stdout(const char *path) { return strcmp(path, "-") == 0; }

bool file_is_same(const char *a, const char *b) {
    struct stat sa, sb;
    return stat(a, &sa) == 0 && stat(b, &sb) == 0 && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

bool file_is_stream(const char *path) {
    struct stat st;
    return is_stdout(path) || (stat(path, &st) == 0 && !S_ISREG(st.st_mode));
}

enum { SUFFIX_ROOM = 40 }; /* of a temporary file's name */

/* Devices and pipes are written to; only a regular file is replaced, the one a link points to. `tmp` has room for the
 * longest path and a suffix. */
static bool write_path(const char *path, char *tmp, const Content *c) {
    char real[PATH_MAX];
    if (is_stdout(path)) return write_content(STDOUT_FILENO, c);
    if (file_is_stream(path)) return write_and_close(open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY), c);
    const char *target = realpath(path, real) ? real : path;
    return replace_file(target, tmp, strlen(target) + SUFFIX_ROOM, c);
}

static bool told(Diags *d, const char *path, bool good, int why) {
    if (good) return true;
    diag(d, D_FILE_OPEN, loc_of_file(is_stdout(path) ? NULL : path), "cannot write %s: %s",
         is_stdout(path) ? "to standard output" : "the file", strerror(why));
    return false;
}

static char *room_for_tmp(Diags *d, const char *path) {
    return arena_get(d->arena, strlen(path) + PATH_MAX + SUFFIX_ROOM);
}

bool file_write(Diags *d, const char *path, const void *data, size_t bytes) {
    Content c = {data, bytes, -1};
    char *tmp = room_for_tmp(d, path);
    bool good = write_path(path, tmp, &c);
    return told(d, path, good, errno);
}

bool file_copy(Diags *d, const char *from, const char *path) {
    char *tmp = room_for_tmp(d, path);
    Content c = {.from = open(from, O_RDONLY | O_CLOEXEC)};
    bool good = c.from >= 0 && write_path(path, tmp, &c);
    int why = errno;
    if (c.from >= 0) close(c.from);
    return told(d, path, good, why);
}

void file_names_add(FileNames *f, const char *path) {
    for (size_t i = 0; f && i < f->v.n; i++)
        if (strcmp(f->v.at[i], path) == 0) return;
    if (f) vec_push(f->arena, &f->v, (const char *)arena_str(f->arena, path));
}

/* ---- names ----------------------------------------------------------------------------------------------------- */

const char *path_base(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

const char *path_dir(Arena *a, const char *path) {
    size_t n = (size_t)(path_base(path) - path);
    if (n == 0) return ".";
    while (n > 1 && path[n - 1] == '/') n--;
    return arena_strn(a, path, n);
}

const char *path_stem(Arena *a, const char *path) {
    const char *base = path_base(path), *dot = strrchr(base, '.');
    return dot && dot > base ? arena_strn(a, base, (size_t)(dot - base)) : arena_str(a, base);
}
