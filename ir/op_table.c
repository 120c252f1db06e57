/* The operator table: ir/op.def's texts parsed into OpDefs, all at once, when the first is asked for. A text that does
 * not parse is our mistake, not the model's: bug(). */
#include "ir/op.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

typedef struct Row {
    const char *name, *signature, *attrs, *limits;
    OpKind kind;
    bool (*infer)(Infer *);
    void (*expr)(ExprOp *);
    void (*expand)(Expand *);
    void (*pack)(Pack *);
    RefFn *ref;
    const char *ref_symbol;
} Row;

#define GIVES_EXPR(name) .expr = expr_##name
#define GIVES_EXPAND(name) .infer = infer_##name, .expand = expand_##name
#define GIVES_REF(name) .infer = infer_##name, .pack = pack_##name, .ref = ref_##name, .ref_symbol = "ref_" #name
#define GIVES_CONTROL(name) .infer = infer_##name
static const Row rows[OP_COUNT] = {
    [OP_NONE] = {.name = "None", .signature = "->", .attrs = "", .limits = "", .kind = OP_CONTROL},
#define OP(text, letter, sig, attributes, limit) \
    [OP_##text] = {.name = #text,                \
                   .signature = sig,             \
                   .attrs = attributes,          \
                   .limits = limit,              \
                   .kind = OP_##letter,          \
                   GIVES_##letter(text)},
#include "ir/op.def"
#undef OP
};

/* Both live as long as the process, and are filled anew if memory ran out halfway. */
static Arena table_arena;
static Map table_names;
static OpDef table[OP_COUNT];
static bool table_ready;

/* ---- the texts ---- */

typedef struct Scan {
    const char *at, *op;
} Scan;

NORETURN static void malformed(const Scan *s) { bug("op.def: %s: cannot read '%s'", s->op, s->at); }

static bool accept(Scan *s, const char *what) {
    size_t n = strlen(what);
    if (strncmp(s->at, what, n) != 0) return false;
    s->at += n;
    return true;
}

static void skip_spaces(Scan *s) { s->at += strspn(s->at, " \n"); }

static const char *scan_name(Scan *s) {
    const char *start = s->at;
    while (isalnum((unsigned char)*s->at) || *s->at == '_') s->at++;
    if (s->at == start) malformed(s);
    return arena_strn(&table_arena, start, (size_t)(s->at - start));
}

static OpOperand scan_operand(Scan *s) {
    OpOperand o = {.name = scan_name(s)};
    if (!accept(s, ":") || !(isupper((unsigned char)*s->at) || *s->at == '_')) malformed(s);
    o.var = *s->at++;
    for (;;) {
        if (accept(s, "?")) {
            o.optional = true;
        } else if (accept(s, "!")) {
            o.constant = true;
        } else if (accept(s, "*")) {
            o.variadic = true;
        } else {
            break;
        }
    }
    skip_spaces(s);
    return o;
}

/* Operands up to `end`. The least count is that of the last operand that is not optional. */
static const OpOperand *scan_operands(Scan *s, const char *end, int *n, int *least) {
    VEC(OpOperand) list = {0};
    *least = 0;
    for (skip_spaces(s); *s->at && !accept(s, end);) {
        OpOperand o = scan_operand(s);
        if (list.n && list.at[list.n - 1].variadic) malformed(s);
        vec_push(&table_arena, &list, o);
        if (!o.optional) *least = (int)list.n;
    }
    *n = (int)list.n;
    return list.at;
}

static uint32_t kind_bits(bool f, bool i, bool u, bool b) {
    uint32_t set = 0;
    for (int e = 1; e < QCC_ELEM_END; e++) {
        const ElemInfo *info = &elem_info[e];
        if (!info->name || info->bits < 8) continue;
        bool wanted = (info->kind == ELEM_F && f) || (info->kind == ELEM_I && i) || (info->kind == ELEM_U && u) ||
                      (info->kind == ELEM_B && b);
        if (wanted) set |= 1u << e;
    }
    return set;
}

static uint32_t all_bits(void) {
    uint32_t set = 0;
    for (int e = 1; e < QCC_ELEM_END; e++) set |= elem_info[e].name ? 1u << e : 0;
    return set;
}

static uint32_t type_set(const Scan *s, const char *name) {
    if (strcmp(name, "any") == 0) return all_bits();
    if (strcmp(name, "num") == 0) return kind_bits(true, true, true, false);
    if (strcmp(name, "float") == 0) return kind_bits(true, false, false, false);
    if (strcmp(name, "int") == 0) return kind_bits(false, true, true, false);
    if (strcmp(name, "sint") == 0) return kind_bits(false, true, false, false);
    if (strcmp(name, "uint") == 0) return kind_bits(false, false, true, false);
    if (strcmp(name, "index") == 0) return 1u << QCC_I32 | 1u << QCC_I64;
    for (int e = 1; e < QCC_ELEM_END; e++) {
        if (elem_info[e].name && strcmp(elem_info[e].name, name) == 0) return 1u << e;
    }
    malformed(s);
}

static void scan_types(Scan *s, OpDef *def) {
    for (skip_spaces(s); *s->at; skip_spaces(s)) {
        char var = *s->at++;
        if (!isupper((unsigned char)var) || !accept(s, "=") || def->types[var - 'A']) malformed(s);
        do {
            def->types[var - 'A'] |= type_set(s, scan_name(s));
        } while (accept(s, "|"));
    }
}

static void check_vars(const Scan *s, const OpDef *def, const OpOperand *list, int n) {
    for (int i = 0; i < n; i++) {
        if (list[i].var != '_' && !def->types[list[i].var - 'A']) malformed(s);
    }
}

static void scan_signature(OpDef *def, const char *text) {
    Scan s = {text, def->name};
    def->in = scan_operands(&s, "->", &def->n_in, &def->min_in);
    def->out = scan_operands(&s, ";", &def->n_out, &def->min_out);
    scan_types(&s, def);
    check_vars(&s, def, def->in, def->n_in);
    check_vars(&s, def, def->out, def->n_out);
}

/* ---- attributes ---- */

static AttrKind scan_kind(Scan *s) {
    static const char letters[] = "ifsIFStg";
    static const AttrKind kinds[] = {ATTR_INT,    ATTR_FLOAT,   ATTR_STRING, ATTR_INTS,
                                     ATTR_FLOATS, ATTR_STRINGS, ATTR_TENSOR, ATTR_GRAPH};
    const char *at = *s->at ? strchr(letters, *s->at) : NULL;
    if (!at) malformed(s);
    s->at++;
    return kinds[at - letters];
}

static double scan_float(Scan *s) {
    char *end;
    double v = strtod(s->at, &end);
    if (end == s->at) malformed(s);
    s->at = end;
    return v;
}

static int64_t scan_int(Scan *s) {
    char *end;
    int64_t v = strtoll(s->at, &end, 10);
    if (end == s->at) malformed(s);
    s->at = end;
    return v;
}

/* A value as it stands in op.def's defaults and in expand_node's text: up to the next space. */
static void scan_value(Scan *s, Arena *a, Attr *to) {
    VEC(int64_t) ints = {0};
    size_t n = strcspn(s->at, " \n");
    switch (to->kind) {
    case ATTR_INT:
        to->i = scan_int(s);
        break;
    case ATTR_FLOAT:
        to->f = scan_float(s);
        break;
    case ATTR_STRING:
        to->s = arena_strn(a, s->at, n);
        s->at += n;
        break;
    case ATTR_INTS:
        while (n && *s->at && *s->at != ' ') {
            vec_push(a, &ints, scan_int(s));
            accept(s, ",");
        }
        to->ints = ints.at;
        to->n = (int64_t)ints.n;
        break;
    default:
        malformed(s);
    }
    if (*s->at && *s->at != ' ' && *s->at != '\n') malformed(s);
}

static OpAttr scan_attr(Scan *s) {
    OpAttr attr = {.name = scan_name(s)};
    if (!accept(s, ":")) malformed(s);
    attr.kind = scan_kind(s);
    attr.value = (Attr){.name = attr.name, .kind = attr.kind};
    if (accept(s, "!")) {
        attr.required = true;
    } else if (accept(s, "=")) {
        attr.has_default = true;
        scan_value(s, &table_arena, &attr.value);
    }
    return attr;
}

static void scan_attrs(OpDef *def, const char *text) {
    Scan s = {text, def->name};
    VEC(OpAttr) list = {0};
    for (skip_spaces(&s); *s.at; skip_spaces(&s)) vec_push(&table_arena, &list, scan_attr(&s));
    def->attr = list.at;
    def->n_attr = (int)list.n;
}

void node_set_attrs_text(Node *n, const char *text) {
    const OpDef *def = op_def(n->op);
    Scan s = {text, def->name};
    for (skip_spaces(&s); *s.at; skip_spaces(&s)) {
        const char *start = s.at;
        size_t length = strcspn(start, "= ");
        int i = 0;
        while (i < def->n_attr &&
               (strlen(def->attr[i].name) != length || strncmp(def->attr[i].name, start, length) != 0))
            i++;
        s.at += length;
        if (i == def->n_attr || !accept(&s, "=")) malformed(&s);
        Attr a = {.name = def->attr[i].name, .kind = def->attr[i].kind};
        scan_value(&s, n->graph->arena, &a);
        node_set_attr(n, &a);
    }
}

/* ---- the table ---- */

static void fill_row(OpDef *def, const Row *row) {
    *def = (OpDef){.name = row->name,
                   .limits = row->limits,
                   .kind = row->kind,
                   .infer = row->infer,
                   .expr = row->expr,
                   .expand = row->expand,
                   .pack = row->pack,
                   .ref = row->ref,
                   .ref_symbol = row->ref_symbol};
    scan_signature(def, row->signature);
    scan_attrs(def, row->attrs);
}

static void fill_table(void) {
    table_names = (Map){0};
    for (int i = 0; i < OP_COUNT; i++) {
        fill_row(&table[i], &rows[i]);
        if (i) map_put(&table_arena, &table_names, table[i].name, &table[i]);
    }
    table_ready = true;
}

const OpDef *op_def(OpId op) {
    if (!table_ready) fill_table();
    if ((unsigned)op >= OP_COUNT) bug("op_def: number %d", (int)op);
    return &table[op];
}

OpId op_find(const char *name) {
    if (!table_ready) fill_table();
    const OpDef *def = map_get(&table_names, name);
    return def ? (OpId)(def - table) : OP_NONE;
}
