/* A hash table with open addressing and linear probing, at most half full. Keys come from files that may mean harm, so
 * strings are hashed by SipHash-1-3 (Aumasson and Bernstein 2012) under a secret drawn once: nobody outside can choose
 * names that collide. Nothing walks over a table, so the secret never shows in what the compiler writes. */
#include <string.h>
#include <unistd.h>

#include "base/base.h"

struct MapSlot {
    const void *key;
    void *value; /* NULL: the slot is free */
    uint64_t hash;
};

enum { FIRST_SLOTS = 16 };

typedef bool SameKey(const void *a, const void *b);

static bool same_text(const void *a, const void *b) { return strcmp(a, b) == 0; }
static bool same_ptr(const void *a, const void *b) { return a == b; }

static uint64_t rotate(uint64_t x, int by) { return x << by | x >> (64 - by); }

static void sip_round(uint64_t v[4]) {
    v[0] += v[1], v[1] = rotate(v[1], 13) ^ v[0], v[0] = rotate(v[0], 32);
    v[2] += v[3], v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3], v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1], v[1] = rotate(v[1], 17) ^ v[2], v[2] = rotate(v[2], 32);
}

static void sip_word(uint64_t v[4], uint64_t word) {
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
}

static const uint64_t *secret(void) {
    static _Thread_local uint64_t key[2];
    static _Thread_local bool drawn;
    if (!drawn) {
        /* Without entropy the table still works; only the defence is weaker. */
        if (getentropy(key, sizeof key) != 0) key[0] = (uint64_t)(uintptr_t)&key;
        drawn = true;
    }
    return key;
}

static uint64_t hash_text(const char *s, const uint64_t key[2]) {
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d, key[0] ^ 0x6c7967656e657261,
                     key[1] ^ 0x7465646279746573};
    size_t n = strlen(s), i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t word;
        memcpy(&word, s + i, 8);
        sip_word(v, word);
    }
    uint64_t tail = (uint64_t)n << 56;
    memcpy(&tail, s + i, n - i);
    sip_word(v, tail);
    v[2] ^= 0xff;
    for (int r = 0; r < 3; r++) sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* Fibonacci hashing (Knuth, TAOCP 3, 6.4); the high bits are the good ones. */
static uint64_t hash_ptr(const void *p) {
    uint64_t h = (uint64_t)(uintptr_t)p * 0x9e3779b97f4a7c15;
    return h ^ h >> 32;
}

/* The slot that holds the key, or the free one where it would go. There is always a free one. */
static struct MapSlot *find(const Map *m, const void *key, uint64_t hash, SameKey *same) {
    size_t mask = m->cap - 1, i = (size_t)hash & mask;
    while (m->slots[i].value && !(m->slots[i].hash == hash && same(m->slots[i].key, key))) i = (i + 1) & mask;
    return &m->slots[i];
}

static void grow(Arena *a, Map *m) {
    Map bigger = {.n = m->n, .cap = m->cap ? m->cap * 2 : FIRST_SLOTS};
    bigger.slots = NEW_ARRAY(a, struct MapSlot, bigger.cap);
    for (size_t i = 0; i < m->cap; i++) {
        struct MapSlot s = m->slots[i];
        size_t to = (size_t)s.hash & (bigger.cap - 1);
        while (s.value && bigger.slots[to].value) to = (to + 1) & (bigger.cap - 1);
        if (s.value) bigger.slots[to] = s;
    }
    *m = bigger;
}

static void *get(const Map *m, const void *key, uint64_t hash, SameKey *same) {
    return m->n ? find(m, key, hash, same)->value : NULL;
}

static void put(Arena *a, Map *m, const void *key, uint64_t hash, SameKey *same, void *value) {
    if (!value) bug("map_put: a NULL value");
    if (2 * m->n >= m->cap) grow(a, m);
    struct MapSlot *s = find(m, key, hash, same);
    m->n += !s->value;
    *s = (struct MapSlot){key, value, hash};
}

void *map_get(const Map *m, const char *key) { return m->n ? get(m, key, hash_text(key, secret()), same_text) : NULL; }
void map_put(Arena *a, Map *m, const char *key, void *value) {
    put(a, m, key, hash_text(key, secret()), same_text, value);
}
void *map_get_ptr(const Map *m, const void *key) { return get(m, key, hash_ptr(key), same_ptr); }
void map_put_ptr(Arena *a, Map *m, const void *key, void *value) { put(a, m, key, hash_ptr(key), same_ptr, value); }
