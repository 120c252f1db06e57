/* What NAME_prepare writes out: packs that have a smaller form for the file.
 *
 * Kernels may give one. Else it is weights at their true width: what a kernel prepared of a constant is bytes, or
 * words, of few different values, where its weights are of few bits; the file then holds the number of each one's value
 * in 1, 2 or 4 bits, behind a table of the values, and NAME_prepare writes them out. Whatever order the kernel's format
 * has, this keeps it:
 *
 *     table: 16 units | byte 0: codes of units 0 .. 8/bits-1, the first in the lowest bits | byte 1 ... */
#include "codegen/program.h"

#include <string.h>

enum { VALUES = 16, WORTH_BYTES = 4096, MOST_UNIT = 4 };

typedef struct Crush {
    const ConstPack *pack;
    int bits, n;
    uint8_t table[VALUES * MOST_UNIT];
} Crush;

/* The number of the value at `unit`; VALUES if it is new and there is no room. */
static int code_of(Crush *c, const uint8_t *unit) {
    size_t bytes = (size_t)c->pack->unit;
    for (int i = 0; i < c->n; i++)
        if (memcmp(c->table + (size_t)i * bytes, unit, bytes) == 0) return i;
    if (c->n < VALUES) memcpy(c->table + (size_t)c->n * bytes, unit, bytes);
    return c->n < VALUES ? c->n++ : VALUES;
}

/* Numbers the different values; false if there are more than 16. */
static bool number_values(Crush *c, const uint8_t *data) {
    for (int64_t i = 0; i < c->pack->bytes; i += c->pack->unit)
        if (code_of(c, data + i) == VALUES) return false;
    c->bits = c->n <= 2 ? 1 : c->n <= 4 ? 2 : 4;
    return true;
}

static int64_t code_bytes(const Crush *c) { return ceil_div(c->pack->bytes / c->pack->unit * c->bits, 8); }

static void write_crushed(void *ctx, uint8_t *dst) {
    Crush *c = ctx;
    int per = 8 / c->bits, unit = c->pack->unit;
    Arena scratch;
    arena_open(&scratch);
    uint8_t *data = arena_get(&scratch, (size_t)c->pack->bytes);
    c->pack->fill(c->pack->ctx, data);
    memcpy(dst, c->table, (size_t)(VALUES * unit));
    for (int64_t i = 0; i < c->pack->bytes / unit; i++)
        dst[VALUES * unit + i / per] |= (uint8_t)(code_of(c, data + i * unit) << (i % per * c->bits));
    arena_free(&scratch);
}

/* void expand(dst, src, n): n bytes of codes behind the table at src. */
static void emit_crushed(void *ctx, Emit *e, Reg dst, Reg src) {
    const Crush *c = ctx;
    int bits = c->bits, unit = c->pack->unit;
    RegType args[] = {e->ptr, e->ptr, e->i64}, type = unit == 1 ? e->i8 : e->i32;
    Function f = em_function(e, arena_printf(e->arena, "expand %d to %d", bits, unit), 3, args);
    if (!f.exists) {
        Loop l = em_loop_reg(e, em_i64(e, 0), f.arg[2], 1, 0, NULL);
        Index at = index_reg(l.i);
        Reg codes = em_at(e, f.arg[1], (int64_t)VALUES * unit);
        Reg byte = em_zext(e, em_load(e, e->i8, em_address(e, codes, 1, &at, (int64_t[]){1}), 1), e->i64);
        Reg out = em_address(e, f.arg[0], 1, &at, (int64_t[]){8 / bits * unit});
        for (int i = 0; i < 8 / bits; i++) {
            Index code = index_reg(em_and(e, em_lshr(e, byte, em_i64(e, i * bits)), em_i64(e, (1 << bits) - 1)));
            Reg value = em_load(e, type, em_address(e, f.arg[1], 1, &code, (int64_t[]){unit}), unit);
            em_store(e, value, em_at(e, out, (int64_t)i * unit), unit);
        }
        em_loop_end(e, &l);
        em_function_end(e, &f);
    }
    em_call(e, &f, 3, (Reg[]){dst, src, em_i64(e, code_bytes(c))});
}

/* NULL where the pack has too many values. */
static const PackForm *find_values(Arena *a, const ConstPack *pack) {
    Crush *c = NEW(a, Crush);
    c->pack = pack;
    Arena scratch;
    arena_open(&scratch);
    uint8_t *data = arena_get(&scratch, (size_t)pack->bytes);
    pack->fill(pack->ctx, data);
    bool few = number_values(c, data);
    arena_free(&scratch);
    if (!few) return NULL;
    PackForm form = {VALUES * pack->unit + code_bytes(c), write_crushed, emit_crushed, c};
    return arena_copy(a, &form, sizeof form);
}

Blob *blob_crushed(Program *p, const char *key, const ConstPack *pack) {
    if ((!pack->unit && !pack->form) || p->options->prepared || pack->bytes < WORTH_BYTES) return NULL;
    Blob *b = map_get(&p->blob_keys, key);
    if (b) return b->form ? b : NULL;
    const PackForm *form = pack->form ? pack->form : find_values(p->arena, pack);
    if (!form) return NULL;
    b = blob_add(p, key, form->bytes, form->fill, form->ctx, NULL);
    b->form = form;
    b->prep_offset = p->prep_bytes;
    b->prep_bytes = pack->bytes;
    p->prep_bytes += round_up(pack->bytes, QCC_ALIGN) + QCC_ALIGN; /* as in blob_add */
    return b;
}

void crushed_emit(Program *p, Reg weights, Reg prep) {
    for (size_t i = 0; i < p->blobs.n; i++) {
        const Blob *b = p->blobs.at[i];
        if (b->form)
            b->form->emit(b->form->ctx, p->em, em_at(p->em, prep, b->prep_offset), em_at(p->em, weights, b->offset));
    }
}
