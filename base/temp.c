/* Temporary folders, and files that are written beside the one that they will replace. Those that there are stand in a
 * list, from which a signal's handler may remove them at any moment: so the list is changed by single stores, and is
 * walked with nothing but system calls. */
#include "base/temp.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static Temp *volatile temps;

void temp_add(Temp *t, const char *path, bool folder) {
    *t = (Temp){path, folder, temps};
    temps = t;
}

void temp_forget(const Temp *t) {
    if (temps == t) {
        temps = t->next;
        return;
    }
    for (Temp *p = temps; p; p = p->next)
        if (p->next == t) p->next = t->next;
}

/* ---- in a handler ---------------------------------------------------------------------------------------------- */

/* As getdents64(2) writes them. */
typedef struct Entry {
    uint64_t inode;
    int64_t next;
    uint16_t bytes;
    uint8_t kind;
    char name[];
} Entry;

/* Removes the files in a folder. How many there were. */
static int empty_once(int fd) {
    _Alignas(Entry) char some[1 << 12];
    int removed = 0;
    if (lseek(fd, 0, SEEK_SET) != 0) return 0;
    for (;;) {
        long n = syscall(SYS_getdents64, fd, some, sizeof some);
        if (n <= 0) return removed;
        for (long at = 0; at < n;) {
            const Entry *e = (const Entry *)(const void *)(some + at);
            removed += unlinkat(fd, e->name, 0) == 0;
            at += e->bytes;
        }
    }
}

/* A linker that still runs may be making files there. */
static void remove_now(const char *folder) {
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    do {
        while (empty_once(fd) > 0) continue;
    } while (rmdir(folder) != 0 && errno == ENOTEMPTY && empty_once(fd) > 0);
    close(fd);
}

void temp_remove_all(void) {
    int was = errno;
    for (const Temp *t = temps; t; t = t->next) {
        if (t->folder)
            remove_now(t->path);
        else
            unlink(t->path);
    }
    errno = was;
}

/* ---- folders --------------------------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw) {
    (void)st, (void)kind, (void)ftw;
    remove(path);
    return 0;
}

static void remove_dir(void *p) {
    enum { OPEN_FOLDERS = 8 };
    Temp *t = p;
    nftw(t->path, remove_one, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS);
    temp_forget(t);
}

const char *file_temp_dir(Arena *a, Diags *d) {
    const char *parent = getenv("TMPDIR");
    if (!parent || !*parent) parent = "/tmp";
    char *path = arena_printf(a, "%s/qcc-XXXXXX", parent);
    Temp *t = NEW(a, Temp);
    if (!mkdtemp(path)) {
        const char *why = strerror(errno);
        Loc here = LOC_NONE;
        here.file = parent;
        diag(d, D_FILE_OPEN, here, "cannot make a temporary folder here: %s", why);
        return NULL;
    }
    temp_add(t, path, true);
    arena_defer(a, remove_dir, t);
    return path;
}
