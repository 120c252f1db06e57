/* What NAME_prepare writes out: packs that have a smaller form for the file. Kernels may give one; else it is the
 * dictionary coding of codegen/crush.h, which holds weights at their true width. */
#include "codegen/crush.h"
#include "codegen/program.h"

#include <string.h>

/* WORTH_BYTES: what must be saved, for the code that writes a pack out takes room too. */
enum { VALUES = 128, SLOTS = 2 * VALUES, MOST_UNIT = 4, WORTH_BYTES = 256 };

struct Crush {
    const ConstPack *pack;
    int bits, n;
    uint8_t table[VALUES * MOST_UNIT];
    uint8_t slot[SLOTS]; /* by hash of the value: its number + 1, 0 where there is none */
};

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

int64_t crush_table(const Crush *c) { return (int64_t)c->n * c->pack->unit; }
static int64_t group_count(const Crush *c) { return ceil_div(c->pack->bytes, (int64_t)CRUSH_GROUP * c->pack->unit); }

void crush_fill(void *ctx, uint8_t *dst) {
    Crush *c = ctx;
    int unit = c->pack->unit;
    Arena scratch;
    arena_open(&scratch);
    uint8_t *data = arena_get(&scratch, (size_t)c->pack->bytes);
    c->pack->fill(c->pack->ctx, data);
    memcpy(dst, c->table, (size_t)crush_table(c));
    dst += crush_table(c);
    for (int64_t i = 0; i < c->pack->bytes / unit; i++) {
        int64_t bit = i * c->bits;
        int code = code_of(c, data + i * unit) << (bit % 8);
        dst[bit / 8] |= (uint8_t)code;
        if (code >> 8) dst[bit / 8 + 1] |= (uint8_t)(code >> 8);
    }
    arena_free(&scratch);
}

int crush_bits(const Crush *c) { return c->bits; }
int64_t crush_bytes(const Crush *c) { return crush_table(c) + group_count(c) * c->bits; }

void crush_expand(Emit *e, int bits, int unit, Reg dst, Reg table, Reg codes, int64_t n) {
    RegType args[] = {e->ptr, e->ptr, e->ptr, e->i64}, type = unit == 1 ? e->i8 : unit == 2 ? e->i16 : e->i32;
    Function f = em_function(e, arena_printf(e->arena, "expand %d to %d", bits, unit), 4, args);
    if (!f.exists) {
        Loop l = em_loop_reg(e, em_i64(e, 0), f.arg[3], 1, 0, NULL);
        Index at = index_reg(l.i);
        Reg group = em_load(e, e->i64, em_address(e, f.arg[2], 1, &at, (int64_t[]){bits}), 1);
        Reg out = em_address(e, f.arg[0], 1, &at, (int64_t[]){CRUSH_GROUP * unit});
        for (int i = 0; i < CRUSH_GROUP; i++) {
            Index code = index_reg(em_and(e, em_lshr(e, group, em_i64(e, i * bits)), em_i64(e, (1 << bits) - 1)));
            Reg value = em_load(e, type, em_address(e, f.arg[1], 1, &code, (int64_t[]){unit}), unit);
            em_store(e, value, em_at(e, out, (int64_t)i * unit), unit);
        }
        em_loop_end(e, &l);
        em_function_end(e, &f);
    }
    em_call(e, &f, 4, (Reg[]){dst, table, codes, em_i64(e, n)});
}

/* The load of the last group may reach behind the blob, the stores behind the pack: both have QCC_ALIGN bytes there. */
static void emit_whole(void *ctx, Emit *e, Reg dst, Reg src) {
    const Crush *c = ctx;
    crush_expand(e, c->bits, c->pack->unit, dst, src, em_at(e, src, crush_table(c)), group_count(c));
}

Crush *crush_find(Arena *a, const ConstPack *pack) {
    Crush *c = NEW(a, Crush);
    c->pack = pack;
    Arena scratch;
    arena_open(&scratch);
    uint8_t *data = arena_get(&scratch, (size_t)pack->bytes);
    pack->fill(pack->ctx, data);
    bool few = number_values(c, data);
    arena_free(&scratch);
    return few ? c : NULL;
}

static bool worth(const ConstPack *pack, int64_t bytes) {
    return round_up(bytes, QCC_ALIGN) + WORTH_BYTES <= round_up(pack->bytes, QCC_ALIGN);
}

static const PackForm *find_values(Arena *a, const ConstPack *pack) {
    Crush *c = crush_find(a, pack);
    if (!c) return NULL;
    PackForm form = {crush_bytes(c), crush_fill, emit_whole, c};
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
