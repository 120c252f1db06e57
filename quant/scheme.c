/* The table of methods, their names on the command line, and how a quantizer makes a code. */
#include "quant/scheme.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

const SchemeInfo scheme_info[SCHEME_COUNT] = {
#define SCHEME(name, w, a, words, help) {#name, w, a, words, help},
#include "quant/scheme.def"
#undef SCHEME
};

static const struct {
    Quantizer (*weights)(Arena *, const Scheme *, const Weights *);
    Quantizer (*activations)(Arena *, const Scheme *, const Spread *, const RangeChoice *);
} fits[SCHEME_COUNT] = {
#define SCHEME(name, w, a, words, help) {fit_##name##_weights, fit_##name##_activations},
#include "quant/scheme.def"
#undef SCHEME
};

Quantizer scheme_fit_weights(Arena *a, const Scheme *s, const Weights *w) { return fits[s->id].weights(a, s, w); }

Quantizer scheme_fit_activations(Arena *a, const Scheme *s, const Spread *x, const RangeChoice *r) {
    return fits[s->id].activations(a, s, x, r);
}

/* ---- names ---- */

static const struct {
    const char *text;
    SchemeWord word;
} words[] = {{"nonuniform", WORD_NONUNIFORM},
             {"midpoint", WORD_MIDPOINT},
             {"narrow", WORD_NARROW},
             {"tensor", WORD_TENSOR},
             {"affine", WORD_AFFINE}};

static bool refuse(Diags *d, const char *text, const char *why) {
    Diag *g = diag(d, D_USAGE, LOC_NONE, "'%s' is no quantization scheme: %s", text, why);
    Text names = {.arena = d->arena};
    for (int i = 0; i < SCHEME_COUNT; i++) text_add(&names, "%s%s", i ? ", " : "", scheme_info[i].name);
    diag_note(d, g, "schemes: %s", names.s);
    diag_hint(d, g, "for example hwgq:w1a2, lsq:w8a8 or qn:w3a2,narrow");
    return false;
}

/* One of the space-separated words of `list`. */
static bool listed(const char *list, const char *word, size_t n) {
    for (const char *at = list; *at; at += strcspn(at, " "), at += strspn(at, " "))
        if (strcspn(at, " ") == n && strncmp(at, word, n) == 0) return true;
    return false;
}

/* "w4" or "a4" at *at. */
static bool parse_bits(const char **at, char side, int *bits) {
    if (**at != side) return true;
    if (!isdigit((unsigned char)(*at)[1])) return false;
    *bits = 0;
    for ((*at)++; isdigit((unsigned char)**at); (*at)++) *bits = *bits < 100 ? *bits * 10 + (**at - '0') : 100;
    return **at != '.';
}

static bool parse_words(Diags *d, const char *text, const char *at, Scheme *out) {
    while (*at == ',') {
        size_t n = strcspn(++at, ",");
        bool known = false;
        for (size_t i = 0; i < COUNT_OF(words); i++) {
            if (strlen(words[i].text) != n || strncmp(words[i].text, at, n) != 0) continue;
            known = listed(scheme_info[out->id].words, at, n);
            out->words |= words[i].word;
        }
        if (!known && out->id == SCHEME_xnor && listed("map", at, n))
            return refuse(d, text, "XNOR-Net's map has a scale for each position, so codes have no common step");
        if (!known) {
            const char *own = scheme_info[out->id].words;
            return refuse(d, text,
                          arena_printf(d->arena, "'%.*s' is none of its words (%s)", (int)n, at, *own ? own : "none"));
        }
        at += n;
    }
    return *at == '\0' || refuse(d, text, "what follows the widths is not understood");
}

/* 32 is the usual way of writing float. */
static bool check_bits(Diags *d, const char *text, const char *side, int *bits, int most) {
    if (*bits == 32) *bits = 0;
    if (*bits >= 0 && *bits <= most) return true;
    return refuse(d, text, arena_printf(d->arena, "%d-bit %s; wanted 1 to %d, or 32 for float", *bits, side, most));
}

bool scheme_parse(Diags *d, const char *text, Scheme *out) {
    size_t n = strcspn(text, ":");
    *out = (Scheme){.id = SCHEME_COUNT, .w_bits = 32, .a_bits = 32};
    for (SchemeId id = 0; id < SCHEME_COUNT; id++)
        if (strlen(scheme_info[id].name) == n && strncmp(scheme_info[id].name, text, n) == 0) out->id = id;
    if (n == 3 && strncmp(text, "ttq", n) == 0)
        return refuse(d, text, "TTQ's weights have two scales, one for each sign, so codes have no common step");
    if (out->id == SCHEME_COUNT) return refuse(d, text, "its name is not known");
    const char *at = text + n + (text[n] == ':'), *start = at;
    if (!parse_bits(&at, 'w', &out->w_bits) || !parse_bits(&at, 'a', &out->a_bits) || at == start)
        return refuse(d, text, "widths are written like w1a2");
    if (out->w_bits == 0 || out->a_bits == 0) return refuse(d, text, "a width of 0 bits");
    int most = scheme_info[out->id].a_bits;
    return check_bits(d, text, "weights", &out->w_bits, scheme_info[out->id].w_bits) &&
           check_bits(d, text, "activations", &out->a_bits, most) && parse_words(d, text, at, out);
}

const char *scheme_str(Arena *a, const Scheme *s) {
    Text t = {.arena = a};
    text_add(&t, "%s:", scheme_info[s->id].name);
    if (s->w_bits) text_add(&t, "w%d", s->w_bits);
    if (s->a_bits) text_add(&t, "a%d", s->a_bits);
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (s->words & words[i].word) text_add(&t, ",%s", words[i].text);
    return t.s;
}

/* ---- codes ---- */

/* NaN is the lowest code. */
static float clip(float v, float lo, float hi) { return !(v >= lo) ? lo : v > hi ? hi : v; }

static int count_below(const Quantizer *q, float x) {
    int k = 0;
    while (k < q->n && x > q->thr[k]) k++;
    return k;
}

int quantizer_code(const Quantizer *q, int64_t channel, float x) {
    float step = q->step[q->n_step > 1 ? channel : 0], lo = (float)q->lo, hi = (float)q->hi;
    switch (q->form) {
    case QUANT_SIGN:
        return x >= 0 ? 1 : -1;
    case QUANT_UNIFORM:
        return (int)clip(rintf(x / step), lo, hi);
    case QUANT_HWGQ:
        return x > 0 ? (int)clip(ceilf(x / step - 0.5f), 1, hi) : 0;
    case QUANT_LEVELS:
        return q->code[count_below(q, x)];
    case QUANT_MAGNITUDE:
        return (x < 0 ? -1 : 1) * q->code[count_below(q, fabsf(x))];
    case QUANT_DOREFA:
        return 2 * (int)clip(rintf(hi * (tanhf(x) / (2 * q->range) + 0.5f)), 0, hi) - q->hi;
    case QUANT_ODD:
        return 2 * (int)clip(rintf(x / (2 * step) + 0.5f), (1 - hi) / 2, (1 + hi) / 2) - 1;
    }
    bug("quantizer_code: form %d", (int)q->form);
}

float quantizer_value(const Quantizer *q, int64_t channel, float x) {
    return q->step[q->n_step > 1 ? channel : 0] * (float)quantizer_code(q, channel, x);
}

int quantizer_high(const Quantizer *q) {
    switch (q->form) {
    case QUANT_SIGN:
        return 1;
    case QUANT_LEVELS:
    case QUANT_MAGNITUDE:
        return q->code[q->n];
    default:
        return q->hi;
    }
}

int quantizer_low(const Quantizer *q) {
    switch (q->form) {
    case QUANT_UNIFORM:
        return q->lo;
    case QUANT_HWGQ:
        return 0;
    case QUANT_LEVELS:
        return q->code[0];
    default:
        return -quantizer_high(q);
    }
}

/* Threshold below code k of a quantizer whose codes lie at distance 1, or 2. */
static double threshold_below(const Quantizer *q, int code) {
    switch (q->form) {
    case QUANT_SIGN:
        return 0;
    case QUANT_ODD:
        return code - 1;
    case QUANT_HWGQ:
        return code == 1 ? 0 : code - 0.5;
    default:
        return code - 0.5;
    }
}

static Steps even_steps(Arena *a, const Quantizer *q) {
    int lo = quantizer_low(q), hi = quantizer_high(q), by = q->form == QUANT_SIGN || q->form == QUANT_ODD ? 2 : 1;
    int n = (hi - lo) / by;
    double step = (double)q->step[0], *thr = NEW_ARRAY(a, double, n), *level = NEW_ARRAY(a, double, n + 1);
    for (int k = 0; k <= n; k++) level[k] = step * (lo + k * by);
    for (int k = 0; k < n; k++) thr[k] = step * threshold_below(q, lo + (k + 1) * by);
    return (Steps){n, thr, level};
}

Steps quantizer_steps(Arena *a, const Quantizer *q) {
    if (q->form == QUANT_DOREFA || q->n_step != 1) bug("quantizer_steps: form %d", (int)q->form);
    if (!q->n) return even_steps(a, q);
    bool both = q->form == QUANT_MAGNITUDE;
    int n = both ? 2 * q->n : q->n, from = both ? q->n : 0;
    double *thr = NEW_ARRAY(a, double, n), *level = NEW_ARRAY(a, double, n + 1);
    for (int k = 0; k < q->n; k++) {
        thr[from + k] = (double)q->thr[k];
        if (both) thr[from - 1 - k] = -(double)q->thr[k];
    }
    for (int k = 0; k <= q->n; k++) {
        level[from + k] = (double)q->step[0] * q->code[k];
        if (both) level[from - k] = -level[from + k];
    }
    return (Steps){n, thr, level};
}
