/* Writing the report down. */
#include "passes/report.h"

#include "ir/op.h"

#include <inttypes.h>
#include <string.h>

static bool same_place(Loc p, Loc q) {
    return p.index == q.index && p.line == q.line && p.col == q.col &&
           strcmp(p.node ? p.node : "", q.node ? q.node : "") == 0 && strcmp(p.op ? p.op : "", q.op ? q.op : "") == 0;
}

LayerNote *report_layer(Report *r, Arena *a, Loc loc, OpId op) {
    for (size_t i = 0; r && i < r->layers.n; i++)
        if (same_place(r->layers.at[i]->loc, loc)) return r->layers.at[i];
    LayerNote *n = NEW(a, LayerNote);
    *n = (LayerNote){.loc = loc, .op = op};
    if (r) vec_push(r->arena, &r->layers, n);
    return n;
}

static const char *layer_name(const LayerNote *n) { return n->loc.node && n->loc.node[0] ? n->loc.node : "-"; }
static const char *layer_op(const LayerNote *n) { return n->loc.op && n->loc.op[0] ? n->loc.op : op_def(n->op)->name; }
static const char *method_name(FoldMethod m) {
    return m == FOLD_BISECTION ? "bisection" : m == FOLD_ENUMERATION ? "enumeration" : "none";
}

/* ---- text ------------------------------------------------------------------------------------------------------ */

static void text_quantizer(Text *t, const LayerNote *n) {
    if (!n->quantized) return;
    if (n->method == FOLD_NONE) {
        text_add(t, "      kept as its operators: %s\n", n->kept);
        return;
    }
    text_add(t, "      %d levels by thresholds, ", n->levels);
    text_add(t, n->channels == 1 ? "the same for all channels" : "for %" PRId64 " channels", n->channels);
    if (n->falling) text_add(t, ", %" PRId64 " of them falling", n->falling);
    text_add(t, "; proved by %s (%" PRId64 " values computed)\n", method_name(n->method), n->runs);
}

void report_text(Text *t, const Report *r) {
    size_t whole = 0;
    for (size_t i = 0; i < r->layers.n; i++) whole += !r->layers.at[i]->why;
    text_add(t, "%zu layers, %zu on integers\n", r->layers.n, whole);
    for (size_t i = 0; i < r->layers.n; i++) {
        const LayerNote *n = r->layers.at[i];
        text_add(t, "  %s #%d %s: ", printable_str(t->arena, layer_op(n)), n->loc.index,
                 printable_str(t->arena, layer_name(n)));
        if (n->why) {
            text_add(t, "float: %s\n", n->why);
        } else if (!n->x) {
            text_add(t, "sums of integers\n");
        } else {
            text_add(t, "x %s, w %s, sums %.0f to %.0f\n", n->x, n->w, n->lo, n->hi);
        }
        text_quantizer(t, n);
    }
}

/* ---- JSON ------------------------------------------------------------------------------------------------------ */

static void json_string(Text *t, const char *key, const char *s) {
    text_add(t, "\"%s\": \"", key);
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            text_add(t, "\\%c", c);
        else if (c < 0x20)
            text_add(t, "\\u%04x", c);
        else
            text_put(t, s, 1);
    }
    text_add(t, "\"");
}

static void json_quantizer(Text *t, const LayerNote *n) {
    if (!n->quantized) return;
    text_add(t, ", \"quantizer\": {");
    json_string(t, "method", method_name(n->method));
    if (n->method == FOLD_NONE) {
        text_add(t, ", ");
        json_string(t, "why", n->kept);
    } else {
        text_add(t, ", \"levels\": %d, \"channels\": %" PRId64 ", \"falling\": %" PRId64 ", \"computed\": %" PRId64,
                 n->levels, n->channels, n->falling, n->runs);
    }
    text_add(t, "}");
}

void report_json(Text *t, const Report *r) {
    text_add(t, "{\"layers\": [");
    for (size_t i = 0; i < r->layers.n; i++) {
        const LayerNote *n = r->layers.at[i];
        text_add(t, "%s\n  {\"index\": %d, ", i ? "," : "", n->loc.index);
        json_string(t, "node", n->loc.node ? n->loc.node : "");
        text_add(t, ", ");
        json_string(t, "op", layer_op(n));
        text_add(t, ", \"integer\": %s", n->why ? "false" : "true");
        if (n->why || n->x) text_add(t, ", ");
        if (n->why) {
            json_string(t, "why", n->why);
        } else if (n->x) {
            json_string(t, "x", n->x);
            text_add(t, ", ");
            json_string(t, "w", n->w);
            text_add(t, ", \"sums\": [%.0f, %.0f]", n->lo, n->hi);
        }
        json_quantizer(t, n);
        text_add(t, "}");
    }
    text_add(t, "\n]}\n");
}
