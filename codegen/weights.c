/* The weights: constants and what kernels prepared of them, one after the other at multiples of QCC_ALIGN. They are
 * written into an object file of our own, each piece made when its turn comes, so that a model's weights are never in
 * memory as a whole. The object has one read-only section, one symbol and the mark of a stack that is not executed:
 *
 *     ELF header | strings | symbols | section headers | padding | weights */
#include "codegen/program.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

Blob *blob_add(Program *p, const char *key, int64_t bytes, void (*fill)(void *ctx, uint8_t *dst), void *ctx,
               const void *data) {
    Blob *b = map_get(&p->blob_keys, key);
    if (b) return b;
    b = NEW(p->arena, Blob);
    int64_t offset = p->weight_bytes ? p->weight_bytes - QCC_ALIGN : 0;
    *b = (Blob){.key = key, .offset = offset, .bytes = bytes, .fill = fill, .ctx = ctx, .data = data};
    map_put(p->arena, &p->blob_keys, key, b);
    vec_push(p->arena, &p->blobs, b);
    p->weight_bytes = offset + round_up(bytes, QCC_ALIGN) + QCC_ALIGN; /* emitters may read a little behind the last */
    return b;
}

const char *weights_symbol(const Program *p) { return arena_printf(p->arena, "%s_weights", p->options->name); }

void blob_write(const Blob *b, uint8_t *dst) {
    if (b->fill)
        b->fill(b->ctx, dst);
    else
        memcpy(dst, b->data, (size_t)b->bytes);
}

/* ---- the object ---------------------------------------------------------------------------------------------- */

static const char section_names[] = "\0.rodata\0.note.GNU-stack\0.symtab\0.strtab";
enum { NAME_RODATA = 1, NAME_STACK = 9, NAME_SYMTAB = 25, NAME_STRTAB = 33 };
enum { SEC_NONE, SEC_RODATA, SEC_STACK, SEC_SYMTAB, SEC_STRTAB, SEC_COUNT };

/* Where the parts lie in the file. */
typedef struct Parts {
    uint64_t strings, string_bytes, symbols, sections, data;
    uint32_t symbol_name; /* in the strings */
} Parts;

static uint16_t elf_machine(Arch arch) {
    switch (arch) {
    case ARCH_X86:
        return EM_X86_64;
    case ARCH_AARCH64:
        return EM_AARCH64;
    case ARCH_ARM:
        return EM_ARM;
    case ARCH_RISCV64:
        return EM_RISCV;
    case ARCH_WASM32:
        break;
    }
    bug("no ELF for this architecture");
}

static uint32_t elf_flags(Arch arch) {
    if (arch == ARCH_ARM) return EF_ARM_EABI_VER5;
    return arch == ARCH_RISCV64 ? EF_RISCV_RVC | EF_RISCV_FLOAT_ABI_DOUBLE : 0;
}

/* Written once for each width; W is 32 or 64. */
#define WRITE_FRAME(W)                                                                                              \
    static void write_frame_##W(const Program *p, const Parts *at, uint8_t *file) {                                 \
        Elf##W##_Ehdr *h = (Elf##W##_Ehdr *)(void *)file;                                                           \
        Elf##W##_Sym *symbols = (Elf##W##_Sym *)(void *)(file + at->symbols);                                       \
        Elf##W##_Shdr *s = (Elf##W##_Shdr *)(void *)(file + at->sections);                                          \
        uint##W##_t bytes = (uint##W##_t)p->weight_bytes;                                                           \
        *h = (Elf##W##_Ehdr){.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS##W, ELFDATA2LSB, EV_CURRENT}, \
                             .e_type = ET_REL,                                                                      \
                             .e_machine = elf_machine(p->target->arch),                                             \
                             .e_version = EV_CURRENT,                                                               \
                             .e_shoff = (uint##W##_t)at->sections,                                                  \
                             .e_flags = elf_flags(p->target->arch),                                                 \
                             .e_ehsize = sizeof *h,                                                                 \
                             .e_shentsize = sizeof *s,                                                              \
                             .e_shnum = SEC_COUNT,                                                                  \
                             .e_shstrndx = SEC_STRTAB};                                                             \
        symbols[1] = (Elf##W##_Sym){.st_name = at->symbol_name,                                                     \
                                    .st_info = ELF##W##_ST_INFO(STB_GLOBAL, STT_OBJECT),                            \
                                    .st_other = STV_HIDDEN,                                                         \
                                    .st_shndx = SEC_RODATA,                                                         \
                                    .st_size = bytes};                                                              \
        s[SEC_RODATA] = (Elf##W##_Shdr){.sh_name = NAME_RODATA,                                                     \
                                        .sh_type = SHT_PROGBITS,                                                    \
                                        .sh_flags = SHF_ALLOC,                                                      \
                                        .sh_offset = (uint##W##_t)at->data,                                         \
                                        .sh_size = bytes,                                                           \
                                        .sh_addralign = QCC_ALIGN};                                                 \
        s[SEC_STACK] = (Elf##W##_Shdr){                                                                             \
            .sh_name = NAME_STACK, .sh_type = SHT_PROGBITS, .sh_offset = (uint##W##_t)at->data, .sh_addralign = 1}; \
        s[SEC_SYMTAB] = (Elf##W##_Shdr){.sh_name = NAME_SYMTAB,                                                     \
                                        .sh_type = SHT_SYMTAB,                                                      \
                                        .sh_offset = (uint##W##_t)at->symbols,                                      \
                                        .sh_size = 2 * sizeof *symbols,                                             \
                                        .sh_link = SEC_STRTAB,                                                      \
                                        .sh_info = 1,                                                               \
                                        .sh_addralign = 8,                                                          \
                                        .sh_entsize = sizeof *symbols};                                             \
        s[SEC_STRTAB] = (Elf##W##_Shdr){.sh_name = NAME_STRTAB,                                                     \
                                        .sh_type = SHT_STRTAB,                                                      \
                                        .sh_offset = (uint##W##_t)at->strings,                                      \
                                        .sh_size = (uint##W##_t)at->string_bytes,                                   \
                                        .sh_addralign = 1};                                                         \
    }
WRITE_FRAME(32)
WRITE_FRAME(64)
#undef WRITE_FRAME

/* Everything before the weights. */
static uint8_t *frame_of(const Program *p, Parts *at) {
    const char *symbol = weights_symbol(p);
    at->strings = sizeof(Elf64_Ehdr);
    at->symbol_name = sizeof section_names;
    at->string_bytes = sizeof section_names + strlen(symbol) + 1;
    at->symbols = (uint64_t)round_up((int64_t)(at->strings + at->string_bytes), 8);
    at->sections = at->symbols + 2 * sizeof(Elf64_Sym);
    at->data = (uint64_t)round_up((int64_t)(at->sections + SEC_COUNT * sizeof(Elf64_Shdr)), QCC_ALIGN);
    uint8_t *file = arena_get(p->arena, at->data);
    if (p->target->pointer_bits == 64)
        write_frame_64(p, at, file);
    else
        write_frame_32(p, at, file);
    memcpy(file + at->strings, section_names, sizeof section_names);
    memcpy(file + at->strings + sizeof section_names, symbol, strlen(symbol) + 1);
    return file;
}

static bool write_blobs(Program *p, FILE *f) {
    bool ok = true;
    int64_t at = 0;
    for (size_t i = 0; ok && i <= p->blobs.n; i++) {
        bool last = i == p->blobs.n;
        int64_t bytes = last ? p->weight_bytes - at : round_up(p->blobs.at[i]->bytes, QCC_ALIGN);
        Arena *scratch = arena_nested(p->arena);
        uint8_t *piece = arena_get(scratch, (size_t)bytes);
        if (!last) blob_write(p->blobs.at[i], piece);
        ok = fwrite(piece, 1, (size_t)bytes, f) == (size_t)bytes;
        at += bytes;
        arena_free(scratch);
    }
    return ok;
}

/* Where memory runs out on the way. */
static void close_left_open(void *file) {
    FILE **f = file;
    if (*f) fclose(*f);
}

bool weights_write(Program *p, const char *path) {
    Parts at;
    uint8_t *frame = frame_of(p, &at);
    FILE **f = NEW(p->arena, FILE *);
    arena_defer(p->arena, close_left_open, f);
    *f = fopen(path, "wb");
    bool ok = *f && fwrite(frame, 1, at.data, *f) == at.data && write_blobs(p, *f);
    if (*f && fclose(*f) != 0) ok = false;
    *f = NULL;
    if (!ok) diag(p->diags, D_FILE_OPEN, LOC_NONE, "%s cannot be written: %s", path, strerror(errno));
    return ok;
}
