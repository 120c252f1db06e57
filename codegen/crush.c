/* Weights at their true width. What a kernel prepared of a constant is bytes of few different values, where its weights
 * are of few bits; the file then holds the number of each byte's value in 1, 2 or 4 bits, behind a table of the values,
 * and NAME_prepare writes the bytes out. Whatever order the kernel's format has, this keeps it:
 *
 *     16 bytes: table    | byte 0: codes of bytes 0 .. 8/bits-1, the first in the lowest bits | byte 1 ... */
#include "codegen/program.h"

#include <string.h>

enum { TABLE_BYTES = 16, WORTH_BYTES = 4096 };

typedef struct Crush {
    const ConstPack *pack;
    int bits;
    uint8_t table[TABLE_BYTES], code[256];
} Crush;

/* Numbers the different values; false if there are more than 16. */
static bool number_values(Crush *c, const uint8_t *data, int64_t n) {
    bool seen[256] = {false};
    int values = 0;
    for (int64_t i = 0; i < n; i++) seen[data[i]] = true;
    for (int v = 0; v < 256; v++) {
        if (!seen[v]) continue;
        if (values == TABLE_BYTES) return false;
        c->code[v] = (uint8_t)values;
        c->table[values++] = (uint8_t)v;
    }
    c->bits = values <= 2 ? 1 : values <= 4 ? 2 : 4;
    return true;
}

static void write_crushed(void *ctx, uint8_t *dst) {
    const Crush *c = ctx;
    int per = 8 / c->bits;
    Arena scratch = {0};
    uint8_t *data = arena_get(&scratch, (size_t)c->pack->bytes);
    c->pack->fill(c->pack->ctx, data);
    memcpy(dst, c->table, TABLE_BYTES);
    for (int64_t i = 0; i < c->pack->bytes; i++)
        dst[TABLE_BYTES + i / per] |= (uint8_t)(c->code[data[i]] << (i % per * c->bits));
    arena_free(&scratch);
}

Blob *blob_crushed(Program *p, const char *key, const ConstPack *pack) {
    if (!pack->bytewise || p->options->prepared || pack->bytes < WORTH_BYTES) return NULL;
    Blob *b = map_get(&p->blob_keys, key);
    if (b) return b->code_bits ? b : NULL;
    Crush *c = NEW(p->arena, Crush);
    c->pack = pack;
    Arena scratch = {0};
    uint8_t *data = arena_get(&scratch, (size_t)pack->bytes);
    pack->fill(pack->ctx, data);
    bool few = number_values(c, data, pack->bytes);
    arena_free(&scratch);
    if (!few) return NULL;
    b = blob_add(p, key, TABLE_BYTES + ceil_div(pack->bytes * c->bits, 8), write_crushed, c, NULL);
    b->code_bits = c->bits;
    b->prep_offset = p->prep_bytes;
    b->prep_bytes = pack->bytes;
    p->prep_bytes += round_up(pack->bytes, QCC_ALIGN) + QCC_ALIGN; /* as in blob_add */
    return b;
}

/* void expand(dst, src, n): n bytes of codes behind the table at src. */
static void emit_expand(Program *p, int bits, Reg dst, Reg src, int64_t n) {
    Emit *e = p->em;
    RegType args[] = {e->ptr, e->ptr, e->i64};
    Function f = em_function(e, arena_printf(p->arena, "expand %d", bits), 3, args);
    if (!f.exists) {
        Reg to = f.arg[0], from = f.arg[1];
        Loop l = em_loop_reg(e, em_i64(e, 0), f.arg[2], 1, 0, NULL);
        Index at = index_reg(l.i);
        Reg byte = em_zext(e, em_load(e, e->i8, em_address(e, em_at(e, from, TABLE_BYTES), 1, &at, (int64_t[]){1}), 1),
                           e->i64);
        Reg out = em_address(e, to, 1, &at, (int64_t[]){8 / bits});
        for (int i = 0; i < 8 / bits; i++) {
            Reg code = em_and(e, em_lshr(e, byte, em_i64(e, i * bits)), em_i64(e, (1 << bits) - 1));
            em_store(e, em_load(e, e->i8, em_at_reg(e, from, code), 1), em_at(e, out, i), 1);
        }
        em_loop_end(e, &l);
        em_function_end(e, &f);
    }
    em_call(e, &f, 3, (Reg[]){dst, src, em_i64(e, n)});
}

void crushed_emit(Program *p, Reg weights, Reg prep) {
    Emit *e = p->em;
    for (size_t i = 0; i < p->blobs.n; i++) {
        const Blob *b = p->blobs.at[i];
        if (!b->code_bits) continue;
        emit_expand(p, b->code_bits, em_at(e, prep, b->prep_offset), em_at(e, weights, b->offset),
                    b->bytes - TABLE_BYTES);
    }
}
