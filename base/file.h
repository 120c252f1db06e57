/* Files: mapped for reading, written whole. Errors are D_FILE_OPEN diagnostics and a false result. */
#ifndef QCC_BASE_FILE_H
#define QCC_BASE_FILE_H

#include "base/diag.h"

typedef struct FileView {
    const uint8_t *data; /* read-only mapping, unmapped with the arena; never NULL, also for an empty file */
    size_t bytes;
} FileView;

/* Names of files, each once. */
typedef struct FileNames {
    Arena *arena;
    VEC(const char *) v;
} FileNames;
/* The name is copied. Nothing is done if f is NULL. */
void file_names_add(FileNames *f, const char *path);

bool file_map(Arena *a, Diags *d, const char *path, FileView *out);
/* Regular file `name` (relative, no "..", no link that leaves `dir`) inside folder `dir`. On refusal *why says it. */
bool file_map_inside(Arena *a, const char *dir, const char *name, FileView *out, const char **why);
/* Writes through a temporary file in the same folder and renames, so that a failure leaves the old file. "-" = stdout.
 */
bool file_write(Diags *d, const char *path, const void *data, size_t bytes);
/* The same with what the file `from` holds, and its mode. */
bool file_copy(Diags *d, const char *from, const char *path);
/* True if both are there and are one file, by links for instance. */
bool file_is_same(const char *a, const char *b);
/* True for "-" and for what is there and is no regular file (devices, pipes, folders): it is written to, never
 * replaced, and nothing belongs beside it. */
bool file_is_stream(const char *path);
/* Path of a fresh private temporary folder, NULL on failure; it and its files are removed when the arena is freed. */
const char *file_temp_dir(Arena *a, Diags *d);
const char *path_dir(Arena *a, const char *path);  /* "." where there is none */
const char *path_base(const char *path);           /* after the last '/' */
const char *path_stem(Arena *a, const char *path); /* base without its last suffix */

/* SHA-256 as 64 hex digits and a terminator. */
void sha256_hex(const void *data, size_t bytes, char out[65]);

#endif
