/* Element access and the conversions between number formats: the one place that knows how an element lies in memory.
 * Half precision is done on bit patterns, so that no target needs a library routine for it. */
#include "runtime/ref/ref.h"

#include <stdbool.h>
#include <string.h>

static uint32_t bits_of(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static float from_bits(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* ---- half precision ------------------------------------------------------------------------------------------ */

float ref_f16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, rest = h & 0x7fffu;
    if (rest >= 0x7c00u) return from_bits(sign | 0x7f800000u | rest << 13); /* infinity, NaN */
    if (rest >= 0x0400u) return from_bits(sign | ((rest << 13) + (112u << 23)));
    float tiny = (float)rest * 0x1p-24f; /* zero and denormals */
    return sign ? -tiny : tiny;
}

uint16_t ref_f32_to_f16(float f) {
    uint32_t u = bits_of(f), sign = u >> 16 & 0x8000u;
    u &= 0x7fffffffu;
    if (u > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | (u >> 13 & 0x3ffu)); /* a NaN stays one, made quiet */
    if (u >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u);                     /* from 65520 on */
    if (u < 0x38800000u) { /* below 2^-14 the step is 2^-24: adding 0.5, whose own step that is, rounds to it */
        return (uint16_t)(sign | (bits_of(from_bits(u) + 0.5f) - bits_of(0.5f)));
    }
    u += 0xfffu + (u >> 13 & 1u);
    return (uint16_t)(sign | ((u - (112u << 23)) >> 13));
}

float ref_bf16_to_f32(uint16_t h) { return from_bits((uint32_t)h << 16); }

uint16_t ref_f32_to_bf16(float f) {
    uint32_t u = bits_of(f);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(u >> 16 | 0x40u);
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

/* To f32, with the last bit set where bits were lost ("round to odd"): rounding that again to half precision gives what
 * rounding the double at once would have given. */
static float narrow_to_odd(double v) {
    float f = (float)v;
    if ((double)f == v || v != v) return f;
    uint32_t u = bits_of(f);
    bool too_far = v > 0 ? (double)f > v : (double)f < v;
    if (too_far) u--; /* toward zero */
    return from_bits(u | 1u);
}

/* ---- elements ------------------------------------------------------------------------------------------------ */

int ref_elem_bytes(int32_t elem) {
    switch (elem) {
#define ELEM(symbol, number, name, bits, kind) \
    case QCC_##symbol:                         \
        return bits < 8 ? 1 : bits / 8;
#include "qcc/elem.def"
#undef ELEM
    default:
        return 0;
    }
}

int64_t ref_count(const RefTensor *t) {
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++) n *= t->dim[i];
    return n;
}

/* Toward zero, saturating at the width that `elem` is computed in: 64 bits for the 64-bit types, 32 for all others,
 * which then wrap to their own. Unsigned targets of that width take its upper half too. NaN gives 0. */
static int64_t to_int(double v, int32_t elem) {
    if (v != v) return 0;
    bool wide = elem == QCC_I64 || elem == QCC_U64;
    double half = wide ? 0x1p63 : 0x1p31;
    if (v >= half && (elem == QCC_U64 || elem == QCC_U32)) return v >= 2 * half ? -1 : (int64_t)(uint64_t)v;
    if (v >= half) return wide ? INT64_MAX : INT32_MAX;
    if (v <= -half) return wide ? INT64_MIN : INT32_MIN;
    return (int64_t)v;
}

double ref_load(const RefTensor *t, int64_t i) {
    switch (t->elem) {
    case QCC_F32:
        return (double)((const float *)t->data)[i];
    case QCC_F64:
        return ((const double *)t->data)[i];
    case QCC_F16:
        return (double)ref_f16_to_f32(((const uint16_t *)t->data)[i]);
    case QCC_BF16:
        return (double)ref_bf16_to_f32(((const uint16_t *)t->data)[i]);
    case QCC_U64:
        return (double)((const uint64_t *)t->data)[i];
    default:
        return (double)ref_load_int(t, i);
    }
}

int64_t ref_load_int(const RefTensor *t, int64_t i) {
    switch (t->elem) {
    case QCC_I8:
    case QCC_I4:
    case QCC_I2:
        return ((const int8_t *)t->data)[i];
    case QCC_U8:
    case QCC_U4:
    case QCC_U2:
        return ((const uint8_t *)t->data)[i];
    case QCC_BOOL:
        return ((const uint8_t *)t->data)[i] != 0;
    case QCC_I16:
        return ((const int16_t *)t->data)[i];
    case QCC_U16:
        return ((const uint16_t *)t->data)[i];
    case QCC_I32:
        return ((const int32_t *)t->data)[i];
    case QCC_U32:
        return ((const uint32_t *)t->data)[i];
    case QCC_I64:
    case QCC_U64:
        return ((const int64_t *)t->data)[i];
    default:
        return to_int(ref_load(t, i), QCC_I64);
    }
}

void ref_store(const RefTensor *t, int64_t i, double v) {
    switch (t->elem) {
    case QCC_F32:
        ((float *)t->data)[i] = (float)v;
        break;
    case QCC_F64:
        ((double *)t->data)[i] = v;
        break;
    case QCC_F16:
        ((uint16_t *)t->data)[i] = ref_f32_to_f16(narrow_to_odd(v));
        break;
    case QCC_BF16:
        ((uint16_t *)t->data)[i] = ref_f32_to_bf16(narrow_to_odd(v));
        break;
    case QCC_BOOL:
        ((uint8_t *)t->data)[i] = v != 0;
        break;
    default:
        ref_store_int(t, i, to_int(v, t->elem));
    }
}

void ref_store_int(const RefTensor *t, int64_t i, int64_t v) {
    uint64_t u = (uint64_t)v;
    switch (t->elem) {
    case QCC_I4:
        ((int8_t *)t->data)[i] = (int8_t)((u & 15) ^ 8) - 8;
        break;
    case QCC_I2:
        ((int8_t *)t->data)[i] = (int8_t)((u & 3) ^ 2) - 2;
        break;
    case QCC_U4:
        ((uint8_t *)t->data)[i] = u & 15;
        break;
    case QCC_U2:
        ((uint8_t *)t->data)[i] = u & 3;
        break;
    case QCC_BOOL:
        ((uint8_t *)t->data)[i] = v != 0;
        break;
    case QCC_I8:
    case QCC_U8:
        ((uint8_t *)t->data)[i] = (uint8_t)u;
        break;
    case QCC_I16:
    case QCC_U16:
        ((uint16_t *)t->data)[i] = (uint16_t)u;
        break;
    case QCC_I32:
    case QCC_U32:
        ((uint32_t *)t->data)[i] = (uint32_t)u;
        break;
    case QCC_I64:
    case QCC_U64:
        ((uint64_t *)t->data)[i] = u;
        break;
    default:
        ref_store(t, i, (double)v);
    }
}
