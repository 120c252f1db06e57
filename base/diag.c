/* Diagnostics are collected in order and formatted on demand. Names in them come from files, so what could drive a
 * terminal is escaped when formatting. */
#include "base/diag.h"

#include <string.h>

const DiagInfo diag_info[D_COUNT] = {
#define DIAG(symbol, sev, no, text) [D_##symbol] = {#symbol, text, SEV_##sev, no},
#include "base/diag.def"
#undef DIAG
};

static const char *const severity_word[] = {[SEV_N] = "note", [SEV_W] = "warning", [SEV_E] = "error"};
static const char severity_letter[] = {[SEV_N] = 'N', [SEV_W] = 'W', [SEV_E] = 'E'};
/* ANSI SGR: cyan, magenta, red; all bold. */
static const char *const severity_colour[] = {[SEV_N] = "\33[1;36m", [SEV_W] = "\33[1;35m", [SEV_E] = "\33[1;31m"};
static const char *const bold = "\33[1m", *const plain = "\33[0m";

void diags_init(Diags *d, Arena *arena) {
    *d = (Diags){.arena = arena};
    d->last = &d->first;
}

/* Counts one, and says whether it is among those that are kept. */
static bool count_one(Diags *d, Severity sev) {
    if (sev == SEV_E) return ++d->n_errors <= DIAG_CAP;
    if (sev == SEV_W) return ++d->n_warnings <= DIAG_CAP;
    return true;
}

Diag *diag(Diags *d, DiagId id, Loc loc, const char *fmt, ...) {
    Diag *g = NEW(d->arena, Diag);
    g->id = id;
    g->loc = loc;
    va_list ap;
    va_start(ap, fmt);
    g->text = arena_vprintf(d->arena, fmt, ap);
    va_end(ap);
    if (count_one(d, diag_info[id].sev)) {
        *d->last = g;
        d->last = &g->next;
    }
    return g;
}

void diag_note(Diags *d, Diag *g, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    const char *s = arena_vprintf(d->arena, fmt, ap);
    va_end(ap);
    vec_push(d->arena, &g->notes, s);
}

void diag_hint(Diags *d, Diag *g, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    g->hint = arena_vprintf(d->arena, fmt, ap);
    va_end(ap);
}

/* ASCII's controls, and Unicode's second set of them (U+0080 to U+009F), which some terminals obey as well. */
static bool is_control(const unsigned char *s) {
    return *s < 0x20 || *s == 0x7f || (*s == 0xc2 && s[1] >= 0x80 && s[1] <= 0x9f);
}

static void add_escaped(Text *t, const char *text) {
    for (const unsigned char *s = (const unsigned char *)text; *s; s++) {
        if (is_control(s))
            text_add(t, "\\x%02x", *s);
        else
            text_put(t, (const char *)s, 1);
    }
}

const char *printable_str(Arena *a, const char *text) {
    Text t = {.arena = a};
    text_put(&t, "", 0);
    add_escaped(&t, text ? text : "");
    return t.s;
}

static void add_place(Text *t, const Loc *l) {
    add_escaped(t, l->file ? l->file : "qcc");
    if (l->line > 0) text_add(t, ":%d", l->line);
    if (l->line > 0 && l->col > 0) text_add(t, ":%d", l->col);
    text_add(t, ": ");
}

/* node 'name' (Op #3): or, with less known, node Op #3: */
static void add_node(Text *t, const Loc *l) {
    const char *op = l->op && *l->op ? l->op : NULL;
    bool named = l->node && *l->node, typed = op || l->index >= 0;
    if (!named && !typed) return;
    text_add(t, "node ");
    if (named) {
        text_add(t, "'");
        add_escaped(t, l->node);
        text_add(t, typed ? "' (" : "'");
    }
    if (op) add_escaped(t, op);
    if (l->index >= 0) text_add(t, op ? " #%d" : "#%d", l->index);
    text_add(t, named && typed ? "): " : ": ");
}

static void add_line(Text *t, const char *what, const char *text) {
    text_add(t, "    %s: ", what);
    add_escaped(t, text);
    text_add(t, "\n");
}

void diag_format(Text *t, const Diag *g, bool colour) {
    const DiagInfo *info = &diag_info[g->id];
    if (colour) text_add(t, "%s", bold);
    add_place(t, &g->loc);
    if (colour) text_add(t, "%s", plain);
    add_node(t, &g->loc);
    if (colour) text_add(t, "%s", severity_colour[info->sev]);
    text_add(t, "%s %c%03d: ", severity_word[info->sev], severity_letter[info->sev], info->no);
    if (colour) text_add(t, "%s", plain);
    add_escaped(t, g->text);
    text_add(t, "\n");
    for (size_t i = 0; i < g->notes.n; i++) add_line(t, "note", g->notes.at[i]);
    if (g->hint) add_line(t, "hint", g->hint);
}
