/* Collecting the values of a constant: a bitmap for those within 16 bits, which all but a few are, and sorting. */
#include "quant/alphabet.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { NEAR = 1 << 16, WORD = 64 }; /* values in [-NEAR, NEAR) are seen in the bitmap */

/* Adds v, keeping the list sorted; false if it is full. */
static bool insert(Alphabet *al, int64_t v) {
    int lo = 0, hi = al->n;
    while (lo < hi) {
        int mid = (lo + hi) / 2;
        if (al->value[mid] < v)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo < al->n && al->value[lo] == v) return true;
    if (al->n == ALPHABET_MOST) return false;
    memmove(&al->value[lo + 1], &al->value[lo], (size_t)(al->n - lo) * sizeof al->value[0]);
    al->value[lo] = v;
    al->n++;
    return true;
}

static bool collect(const Tensor *t, Alphabet *al) {
    uint64_t seen[2 * NEAR / WORD] = {0};
    int64_t n = t->splat ? 1 : shape_count(&t->type.shape);
    for (int64_t i = 0; i < n; i++) {
        int64_t v = tensor_get_int(t, i);
        if (v >= -NEAR && v < NEAR) {
            uint64_t at = (uint64_t)(v + NEAR), bit = (uint64_t)1 << at % WORD;
            if (seen[at / WORD] & bit) continue;
            seen[at / WORD] |= bit;
        }
        if (!insert(al, v)) return false;
    }
    return true;
}

static uint64_t common_divisor(uint64_t a, uint64_t b) {
    while (b) {
        uint64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

static bool is_power(int64_t v) {
    uint64_t m = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    return (m & (m - 1)) == 0;
}

static void describe(Alphabet *al) {
    bool unit = true, zero = false;
    uint64_t step = 0;
    al->odd = al->powers = true;
    for (int i = 0; i < al->n; i++) {
        int64_t v = al->value[i];
        unit = unit && v >= -1 && v <= 1;
        zero = zero || v == 0;
        al->odd = al->odd && v % 2 != 0;
        al->powers = al->powers && is_power(v);
        step = common_divisor(step, (uint64_t)v - (uint64_t)al->value[0]);
    }
    al->step = (int64_t)step;
    al->bipolar = unit && !zero;
    al->ternary = unit && zero;
    while ((1 << al->bits) < al->n) al->bits++;
}

bool alphabet_of(const Tensor *t, Alphabet *out) {
    if (!elem_is_int(t->type.elem) || shape_count(&t->type.shape) <= 0) return false;
    *out = (Alphabet){0};
    if (!collect(t, out)) return false;
    describe(out);
    return true;
}

const char *alphabet_str(Arena *a, const Alphabet *al) {
    int64_t lo = al->value[0], hi = al->value[al->n - 1];
    bool even = al->n > 3 && hi - lo == (al->n - 1) * al->step;
    if (even && al->step == 1) return arena_printf(a, "{%" PRId64 "..%" PRId64 "}", lo, hi);
    if (even) return arena_printf(a, "{%" PRId64 ",%" PRId64 "..%" PRId64 "}", lo, lo + al->step, hi);
    if (al->n > 8) return arena_printf(a, "%d values in {%" PRId64 "..%" PRId64 "}", al->n, lo, hi);
    Text t = {.arena = a};
    for (int i = 0; i < al->n; i++) text_add(&t, "%s%" PRId64, i ? "," : "{", al->value[i]);
    text_add(&t, "}");
    return t.s;
}
