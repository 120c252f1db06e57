/* Compiled models are ordinary ELF libraries. The descriptor's symbol carries the model's name, which the file does not
 * tell otherwise, so the dynamic symbol table is searched for the one that ends in _qcc_model. */
#include "driver/driver.h"

#include "base/file.h"

#include <dlfcn.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char model_suffix[] = "_qcc_model";

bool path_is_elf(const char *path) {
    char magic[SELFMAG] = {0};
    FILE *f = fopen(path, "rb");
    if (!f) return false;
    size_t n = fread(magic, 1, sizeof magic, f);
    fclose(f);
    return n == sizeof magic && memcmp(magic, ELFMAG, SELFMAG) == 0;
}

static const void *inside(const FileView *f, uint64_t offset, uint64_t bytes) {
    return offset > f->bytes || bytes > f->bytes - offset ? NULL : f->data + offset;
}

static bool ends_in(const char *s, size_t n, const char *suffix) {
    size_t k = strlen(suffix);
    return n > k && memcmp(s + n - k, suffix, k) == 0;
}

/* Name of the descriptor among the dynamic symbols of section `sh`; NULL if it is not there. */
static const char *scan_symbols(Arena *a, const FileView *f, const Elf64_Shdr *sh, const Elf64_Shdr *strings) {
    const char *text = inside(f, strings->sh_offset, strings->sh_size);
    const unsigned char *symbols = inside(f, sh->sh_offset, sh->sh_size);
    if (!text || !symbols) return NULL;
    for (uint64_t at = 0; at + sizeof(Elf64_Sym) <= sh->sh_size; at += sizeof(Elf64_Sym)) {
        Elf64_Sym sym;
        memcpy(&sym, symbols + at, sizeof sym);
        if (sym.st_name >= strings->sh_size || sym.st_shndx == SHN_UNDEF) continue;
        size_t n = strnlen(text + sym.st_name, strings->sh_size - sym.st_name);
        if (ends_in(text + sym.st_name, n, model_suffix)) return arena_strn(a, text + sym.st_name, n);
    }
    return NULL;
}

static const char *find_descriptor(Arena *a, const FileView *f) {
    const Elf64_Ehdr *eh = inside(f, 0, sizeof *eh);
    if (!eh || eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_shentsize != sizeof(Elf64_Shdr)) return NULL;
    const unsigned char *headers = inside(f, eh->e_shoff, (uint64_t)eh->e_shnum * sizeof(Elf64_Shdr));
    if (!headers) return NULL;
    for (unsigned i = 0; i < eh->e_shnum; i++) {
        Elf64_Shdr sh, strings;
        memcpy(&sh, headers + i * sizeof sh, sizeof sh);
        if (sh.sh_type != SHT_DYNSYM || sh.sh_link >= eh->e_shnum) continue;
        memcpy(&strings, headers + sh.sh_link * sizeof strings, sizeof strings);
        const char *name = scan_symbols(a, f, &sh, &strings);
        if (name) return name;
    }
    return NULL;
}

/* What a library is for that this machine cannot load; NULL if it is for this one, or of an unknown kind. */
static const char *foreign_machine(const FileView *f) {
    static const struct {
        int machine;
        const char *name;
    } names[] = {{EM_X86_64, "x86-64"}, {EM_AARCH64, "aarch64"}, {EM_ARM, "arm"}, {EM_RISCV, "riscv64"}};
#if defined(__x86_64__)
    static const int own = EM_X86_64;
#elif defined(__aarch64__)
    static const int own = EM_AARCH64;
#elif defined(__riscv)
    static const int own = EM_RISCV;
#else
    static const int own = EM_NONE;
#endif
    const Elf64_Ehdr *eh = inside(f, 0, sizeof *eh);
    if (!eh || own == EM_NONE || eh->e_ident[EI_DATA] != ELFDATA2LSB || eh->e_machine == own) return NULL;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (names[i].machine == eh->e_machine) return names[i].name;
    return NULL;
}

static void close_library(void *handle) { dlclose(handle); }

static const qcc_model *open_elf(Driver *dr, const char *path) {
    FileView file;
    if (!file_map(dr->arena, dr->diags, path, &file)) return NULL;
    const char *machine = foreign_machine(&file), *symbol = find_descriptor(dr->arena, &file);
    if (machine) {
        diag(dr->diags, D_USAGE, (Loc){.file = path, .index = -1}, "the library is for %s, not for this machine",
             machine);
        return NULL;
    }
    if (!symbol) {
        diag(dr->diags, D_USAGE, (Loc){.file = path, .index = -1}, "this is no library that qcc made for this machine");
        return NULL;
    }
    const char *full = strchr(path, '/') ? path : arena_printf(dr->arena, "./%s", path);
    void *handle = dlopen(full, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        diag(dr->diags, D_FILE_OPEN, (Loc){.file = path, .index = -1}, "the library cannot be loaded: %s", dlerror());
        return NULL;
    }
    arena_defer(dr->arena, close_library, handle);
    const qcc_model *m = dlsym(handle, symbol);
    if (!m || m->abi_version != QCC_ABI_VERSION) {
        diag(dr->diags, D_USAGE, (Loc){.file = path, .index = -1}, "the library has interface version %u, wanted %u",
             m ? m->abi_version : 0, (unsigned)QCC_ABI_VERSION);
        return NULL;
    }
    return m;
}

const qcc_model *library_open(Driver *dr, const char *path) {
    if (path_is_elf(path)) return open_elf(dr, path);
    Graph *g = load_graph(dr, path);
    if (!g) return NULL;
    const char *dir = file_temp_dir(dr->arena, dr->diags);
    if (!dir) return NULL;
    const char *temp = arena_printf(dr->arena, "%s/model.so", dir);
    if (!compile_graph(dr, g, EMIT_LIB, temp, NULL, NULL)) return NULL;
    return open_elf(dr, temp);
}

const char *step_nodes(Arena *a, const qcc_step *step) {
    Text t = {.arena = a};
    text_put(&t, "", 0);
    for (const char *const *n = step->nodes; n && *n; n++) text_add(&t, "%s%s", t.n ? " " : "", printable_str(a, *n));
    return t.s;
}

Type port_type(const qcc_port *p) { return (Type){.elem = (Elem)p->elem, .shape = shape_of((int)p->rank, p->dims)}; }
