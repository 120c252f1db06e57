/* Runs a fuzz target on every file of a folder: the corpus as an ordinary test, under any compiler. */
#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void replay(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0) {
        perror(path);
        exit(1);
    }
    size_t n = (size_t)ftell(f);
    rewind(f);
    uint8_t *data = malloc(n + 1); /* malloc(0) may give NULL */
    if (!data || fread(data, 1, n, f) != n) {
        perror(path);
        exit(1);
    }
    fclose(f);
    LLVMFuzzerTestOneInput(data, n);
    free(data);
}

int main(int argc, char **argv) {
    DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
    if (!dir) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    int files = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        char path[PATH_MAX];
        if (e->d_name[0] == '.' || snprintf(path, sizeof path, "%s/%s", argv[1], e->d_name) >= PATH_MAX) continue;
        replay(path);
        files++;
    }
    closedir(dir);
    printf("%d files\n", files);
    return files ? 0 : 1;
}
