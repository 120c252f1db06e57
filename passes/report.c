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

/* ---- proofs ---------------------------------------------------------------------------------------------------- */

static bool sums(const Node *n) {
    switch (n->op) {
    case OP_QConv:
    case OP_QConvTranspose:
    case OP_QMatMul:
    case OP_Conv:
    case OP_ConvTranspose:
    case OP_Gemm:
    case OP_MatMul:
        return true;
    default:
        return n->op == OP_ReduceSum && elem_is_int(n->out[0]->type.elem);
    }
}

static const char *fold_proof(FoldMethod m) {
    return m == FOLD_BISECTION ? "proved, bisection" : m == FOLD_ENUMERATION ? "proved, enumeration" : NULL;
}

/* A layer that runs a program on its sums runs all that is behind it: nobody else reads them. */
static const char *layer_proof(const LayerNote *n, bool has_program) {
    if (n->why) return "float";
    if (!has_program) return "proved, sums";
    for (size_t i = 0; i < n->folds.n; i++)
        if (n->folds.at[i].method != FOLD_NONE) return fold_proof(n->folds.at[i].method);
    return "proved, operators";
}

/* Thresholds that are a step of their own. */
static const char *program_proof(const LayerNote *n, const Node *map) {
    for (size_t i = 0; i < n->folds.n; i++)
        if (same_place(n->folds.at[i].loc, map->loc)) return fold_proof(n->folds.at[i].method);
    return NULL;
}

const char *report_proof(const Report *r, const Node *n) {
    const char *found = NULL;
    for (size_t i = 0; i < r->layers.n && !found; i++) {
        const LayerNote *l = r->layers.at[i];
        if (n->op == OP_Map)
            found = program_proof(l, n);
        else if (sums(n) && same_place(l->loc, n->loc))
            found = layer_proof(l, n->expr != NULL);
    }
    return found ? found : "-";
}

/* ---- text ------------------------------------------------------------------------------------------------------ */

static void text_fold(Text *t, const FoldNote *f) {
    if (f->method == FOLD_NONE) {
        text_add(t, "      kept as its operators: %s\n", f->kept);
        return;
    }
    text_add(t, "      %d levels by thresholds, ", f->levels);
    text_add(t, f->channels == 1 ? "the same for all channels" : "for %" PRId64 " channels", f->channels);
    if (f->falling) text_add(t, ", %" PRId64 " of them falling", f->falling);
    text_add(t, "; proved by %s (%" PRId64 " values computed)\n", method_name(f->method), f->runs);
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
            text_add(t, "x %s, ", n->x);
            if (n->w) text_add(t, "w %s, ", n->w);
            text_add(t, "sums %.0f to %.0f\n", n->lo, n->hi);
        }
        for (size_t k = 0; k < n->folds.n; k++) text_fold(t, &n->folds.at[k]);
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

static void json_fold(Text *t, const FoldNote *f) {
    text_add(t, "{");
    json_string(t, "method", method_name(f->method));
    if (f->method == FOLD_NONE) {
        text_add(t, ", ");
        json_string(t, "why", f->kept);
    } else {
        text_add(t, ", \"levels\": %d, \"channels\": %" PRId64 ", \"falling\": %" PRId64 ", \"computed\": %" PRId64,
                 f->levels, f->channels, f->falling, f->runs);
    }
    text_add(t, "}");
}

static void json_folds(Text *t, const LayerNote *n) {
    if (!n->folds.n) return;
    text_add(t, ", \"quantizers\": [");
    for (size_t i = 0; i < n->folds.n; i++) {
        text_add(t, i ? ", " : "");
        json_fold(t, &n->folds.at[i]);
    }
    text_add(t, "]");
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
            if (n->w) text_add(t, ", ");
            if (n->w) json_string(t, "w", n->w);
            text_add(t, ", \"sums\": [%.0f, %.0f]", n->lo, n->hi);
        }
        json_folds(t, n);
        text_add(t, "}");
    }
    text_add(t, "\n]}\n");
}
