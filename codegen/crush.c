/* What NAME_prepare writes out: packs that have a smaller form for the file.
 *
 * Kernels may give one. Else it is weights at their true width: what a kernel prepared of a constant is bytes, or
 * words, of few different values, where its weights are of few bits; the file then holds the number of each one's value
 * in 1 to 7 bits, behind a table of the values, and NAME_prepare writes them out (dictionary coding). Whatever order
 * the kernel's format has, this keeps it:
 *
 *     table: a unit for each value | group 0: codes of units 0 .. 7 in `bits` bytes | group 1 ...
 *
 * A group is a little-endian number that has the first code in its lowest bits. */
#include "codegen/program.h"

#include <string.h>

/* WORTH_BYTES: what must be saved, for the code that writes a pack out takes room too. */
enum { VALUES = 128, SLOTS = 2 * VALUES, MOST_UNIT = 4, GROUP = 8, WORTH_BYTES = 256 };

typedef struct Crush {
    const ConstPack *pack;
    int bits, n;
    uint8_t table[VALUES * MOST_UNIT];
    uint8_t slot[SLOTS]; /* by hash of the value: its number + 1, 0 where there is none */
} Crush;

/* A byte is its own hash, so that bytes never meet. */
static unsigned hash_of(const uint8_t *unit, size_t bytes) {
    if (bytes == 1) return *unit;
    uint32_t bits = 0;
    memcpy(&bits, unit, bytes);
    return bits * 2654435769u >> 24;
}

/* The number of the value at `unit`; VALUES if it is new and there is no room. */
static int code_of(Crush *c, const uint8_t *unit) {
    size_t bytes = (size_t)c->pack->unit;
    unsigned s = hash_of(unit, bytes);
    for (; c->slot[s]; s = (s + 1) % SLOTS)
        if (memcmp(c->table + (c->slot[s] - 1u) * bytes, unit, bytes) == 0) return c->slot[s] - 1;
    if (c->n == VALUES) return VALUES;
    memcpy(c->table + (size_t)c->n * bytes, unit, bytes);
    c->slot[s] = (uint8_t)++c->n;
    return c->n - 1;
}

/* Numbers the different values; false if there are too many. */
static bool number_values(Crush *c, const uint8_t *data) {
    for (int64_t i = 0; i < c->pack->bytes; i += c->pack->unit)
        if (code_of(c, data + i) == VALUES) return false;
    c->bits = 1;
    while (1 << c->bits < c->n) c->bits++;
    return true;
}

static int64_t table_bytes(const Crush *c) { return (int64_t)c->n * c->pack->unit; }
static int64_t group_count(const Crush *c) { return ceil_div(c->pack->bytes, (int64_t)GROUP * c->pack->unit); }

static void write_crushed(void *ctx, uint8_t *dst) {
    Crush *c = ctx;
    int unit = c->pack->unit;
    Arena scratch;
    arena_open(&scratch);
    uint8_t *data = arena_get(&scratch, (size_t)c->pack->bytes);
    c->pack->fill(c->pack->ctx, data);
    memcpy(dst, c->table, (size_t)table_bytes(c));
    dst += table_bytes(c);
    for (int64_t i = 0; i < c->pack->bytes / unit; i++) {
        int64_t bit = i * c->bits;
        int code = code_of(c, data + i * unit) << (bit % 8);
        dst[bit / 8] |= (uint8_t)code;
        if (code >> 8) dst[bit / 8 + 1] |= (uint8_t)(code >> 8);
    }
    arena_free(&scratch);
}

/* void expand(dst, table, codes, n): n groups. The load of the last one may reach behind the blob, the stores behind
 * the pack: both have QCC_ALIGN bytes there. */
static void emit_crushed(void *ctx, Emit *e, Reg dst, Reg src) {
    const Crush *c = ctx;
    int bits = c->bits, unit = c->pack->unit;
    RegType args[] = {e->ptr, e->ptr, e->ptr, e->i64}, type = unit == 1 ? e->i8 : unit == 2 ? e->i16 : e->i32;
    Function f = em_function(e, arena_printf(e->arena, "expand %d to %d", bits, unit), 4, args);
    if (!f.exists) {
        Loop l = em_loop_reg(e, em_i64(e, 0), f.arg[3], 1, 0, NULL);
        Index at = index_reg(l.i);
        Reg group = em_load(e, e->i64, em_address(e, f.arg[2], 1, &at, (int64_t[]){bits}), 1);
        Reg out = em_address(e, f.arg[0], 1, &at, (int64_t[]){GROUP * unit});
        for (int i = 0; i < GROUP; i++) {
            Index code = index_reg(em_and(e, em_lshr(e, group, em_i64(e, i * bits)), em_i64(e, (1 << bits) - 1)));
            Reg value = em_load(e, type, em_address(e, f.arg[1], 1, &code, (int64_t[]){unit}), unit);
            em_store(e, value, em_at(e, out, (int64_t)i * unit), unit);
        }
        em_loop_end(e, &l);
        em_function_end(e, &f);
    }
    em_call(e, &f, 4, (Reg[]){dst, src, em_at(e, src, table_bytes(c)), em_i64(e, group_count(c))});
}

static bool worth(const ConstPack *pack, int64_t bytes) {
    return round_up(bytes, QCC_ALIGN) + WORTH_BYTES <= round_up(pack->bytes, QCC_ALIGN);
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
    PackForm form = {table_bytes(c) + group_count(c) * c->bits, write_crushed, emit_crushed, c};
    return arena_copy(a, &form, sizeof form);
}

Blob *blob_crushed(Program *p, const char *key, const ConstPack *pack) {
    if ((!pack->unit && !pack->form) || p->options->prepared || !worth(pack, 1)) return NULL;
    Blob *b = map_get(&p->blob_keys, key);
    if (b) return b->form ? b : NULL;
    const PackForm *form = pack->form ? pack->form : find_values(p->arena, pack);
    if (!form || !worth(pack, form->bytes)) return NULL;
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
