/* Fuzz target for arrays in files (.npy, .npz, .pb): what is read has all its elements, what is refused is named. The
 * readers take paths, so the bytes are put into a file in memory. */
#include "frontend/frontend.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
const char *__asan_default_options(void);

/* Memory is bounded by the guard, as in the compiler: a failing allocation is an answer. */
const char *__asan_default_options(void) {
    return "allocator_may_return_null=1:max_allocation_size_mb=512:quarantine_size_mb=32";
}

enum { MOST_ELEMENTS = 1 << 16 /* looked at */ };

static volatile double seen;

static void look_at(const Tensor *t) {
    int64_t n = shape_count(&t->type.shape);
    double sum = 0;
    for (int64_t i = 0; i < n && i < MOST_ELEMENTS; i++) sum += tensor_get(t, i);
    if (n > 0) sum += tensor_get(t, n - 1);
    seen = sum;
}

static void read_both(Arena *a, const char *path) {
    Diags d, e;
    NamedTensor *list;
    size_t n = 0;
    diags_init(&d, a);
    diags_init(&e, a);
    const Tensor *t = tensor_read(a, &d, path, NULL);
    if (!t && !d.n_errors) bug("an array was refused without a word");
    if (t) look_at(t);
    if (!npz_read(a, &e, path, &list, &n) && !e.n_errors) bug("an archive was refused without a word");
    for (size_t i = 0; i < n && !e.n_errors; i++) look_at(list[i].tensor);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static int file = -1;
    char path[32];
    if (file < 0) file = memfd_create("array", 0);
    if (ftruncate(file, 0) != 0 || pwrite(file, data, n, 0) != (ssize_t)n) abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    Arena a = {0};
    Guard guard;
    if (setjmp(*guard_enter(&guard)) == 0) {
        read_both(&a, path);
        guard_leave(&guard);
    }
    arena_free(&a);
    return 0;
}
