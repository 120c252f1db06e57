/* One table-driven parser for all verbs. */
#include "driver/option.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

typedef struct OptInfo {
    const char *name, *value, *where, *help;
} OptInfo;

static const OptInfo infos[O_COUNT] = {
#define OPT(id, name, value, where, help) {name, value, where, help},
#include "driver/option.def"
#undef OPT
};

static const struct {
    const char *verb, *usage, *help;
} verbs[] = {
    {"", "qcc [options] MODEL.onnx [-o MODEL.so]", "compile a model to a native library and a C header"},
    {"run", "qcc run [options] MODEL.so|MODEL.onnx --input NAME=@FILE ...", "run a model on given inputs"},
    {"bench", "qcc bench [options] MODEL.so|MODEL.onnx", "time a model, as a whole and by layer"},
    {"info", "qcc info [options] MODEL.so|MODEL.onnx", "show a model's layers, sizes and chosen kernels"},
    {"verify", "qcc verify [options] MODEL.onnx MODEL.so [--data=FILE.npz]",
     "hold a library against what its model means, step by step"},
    {"quantize", "qcc quantize [options] MODEL.onnx --scheme=SCHEME -o OUT.onnx",
     "make a float model a quantized one, as ONNX"},
    {"export", "qcc export [options] MODEL.onnx -o OUT.onnx", "write a model as ONNX, as the compiler reads it"},
};

typedef struct Words {
    VEC(const char *) v;
} Words;

/* Splits at white space; quotes group, a backslash takes the next character. */
static void split_words(Arena *a, Words *out, const char *s, size_t n) {
    Text word = {.arena = a};
    bool open = false;
    char quote = 0;
    for (size_t i = 0; i < n; i++) {
        char c = s[i];
        if (quote ? c == quote : (c == '"' || c == '\'')) {
            quote = quote ? 0 : c;
            open = true;
        } else if (!quote && isspace((unsigned char)c)) {
            if (open) vec_push(a, &out->v, word.s ? word.s : "");
            if (open) word = (Text){.arena = a};
            open = false;
        } else {
            if (c == '\\' && i + 1 < n) c = s[++i];
            text_put(&word, &c, 1);
            open = true;
        }
    }
    if (open) vec_push(a, &out->v, word.s ? word.s : "");
}

static bool is_short(const OptInfo *o) { return o->name[1] == '\0'; }
static bool is_dashed(const OptInfo *o) { return o->name[0] == '-'; } /* spelt -march, --march too */
static const char *bare_name(const OptInfo *o) { return o->name + is_dashed(o); }
static const char *dashes(const OptInfo *o) { return is_short(o) || is_dashed(o) ? "-" : "--"; }

const char *option_str(Arena *a, OptId id) {
    return arena_printf(a, "%s%s", dashes(&infos[id]), bare_name(&infos[id]));
}

/* Does `word` name option o? If so *value is what follows in the word itself, or NULL. */
static bool word_matches(const OptInfo *o, const char *word, const char **value) {
    const char *rest = word + 1;
    if (is_short(o)) {
        if (*rest != o->name[0]) return false;
        *value = rest[1] ? rest + 1 : NULL;
        return o->value[0] || !rest[1];
    }
    if (*rest == '-') {
        rest++;
    } else if (!is_dashed(o)) {
        return false;
    }
    size_t n = strlen(bare_name(o));
    if (strncmp(rest, bare_name(o), n) != 0 || (rest[n] && rest[n] != '=')) return false;
    *value = rest[n] == '=' ? rest + n + 1 : NULL;
    return true;
}

static OptId find_option(const char *word, const char **value) {
    for (int shorts = 0; shorts < 2; shorts++) {
        for (OptId id = 0; id < O_COUNT; id++)
            if (is_short(&infos[id]) == (shorts == 1) && word_matches(&infos[id], word, value)) return id;
    }
    return O_COUNT;
}

/* Is `word` an option whose value is the word behind it? */
static bool wants_next(const char *word) {
    const char *value = NULL;
    OptId id = word[0] == '-' ? find_option(word, &value) : O_COUNT;
    return id != O_COUNT && infos[id].value[0] && !value;
}

/* All words, with those of response files: @FILE, but not where a value is expected. */
static bool gather_words(Arena *a, Diags *d, int argc, char **argv, Words *out, FileNames *read) {
    const char *env = getenv("QCC_FLAGS");
    if (env) split_words(a, out, env, strlen(env));
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '@' || wants_next(argv[i - 1])) {
            vec_push(a, &out->v, (const char *)argv[i]);
            continue;
        }
        FileView file;
        if (!file_map(a, d, argv[i] + 1, &file)) return false;
        file_names_add(read, argv[i] + 1);
        split_words(a, out, (const char *)file.data, file.bytes);
    }
    return true;
}

static void unknown_option(Diags *d, const char *word) {
    Diag *g = diag(d, D_USAGE, LOC_NONE, "unknown option '%s'", word);
    const char *bare = word + strspn(word, "-");
    size_t best = 2;
    const OptInfo *near = NULL;
    for (OptId id = 0; id < O_COUNT; id++) {
        size_t same = 0;
        while (bare[same] && bare[same] == bare_name(&infos[id])[same]) same++;
        if (same <= best || is_short(&infos[id])) continue;
        best = same;
        near = &infos[id];
    }
    if (near) {
        diag_hint(d, g, "did you mean '%s%s'?", dashes(near), bare_name(near));
    } else {
        diag_hint(d, g, "qcc --help lists the options");
    }
}

/* Takes option `word` at *i; false after a diagnostic. */
static bool take_option(Arena *a, Diags *d, const Words *w, size_t *i, Command *out) {
    const char *word = w->v.at[*i], *value = NULL;
    OptId id = find_option(word, &value);
    if (id == O_COUNT) {
        unknown_option(d, word);
        return false;
    }
    const OptInfo *o = &infos[id];
    if (o->value[0] && !value) {
        if (*i + 1 == w->v.n) {
            diag(d, D_USAGE, LOC_NONE, "option '%s' needs a value: %s", word, o->value);
            return false;
        }
        value = w->v.at[++*i];
    } else if (!o->value[0] && value) {
        diag(d, D_USAGE, LOC_NONE, "option '%s%s' takes no value", dashes(o), bare_name(o));
        return false;
    }
    if (o->where[0] != '*' && !strchr(o->where, out->verb[0] ? out->verb[0] : 'c')) {
        diag(d, D_USAGE, LOC_NONE, "option '%s%s' does not apply to 'qcc%s%s'", dashes(o), bare_name(o),
             out->verb[0] ? " " : "", out->verb);
        return false;
    }
    vec_push(a, &out->opts, (OptValue){.id = id, .value = value ? value : ""});
    return true;
}

static bool shapes_the_code(OptId id) {
    switch (id) {
    case O_OUTPUT:
    case O_HEADER:
    case O_NO_HEADER:
    case O_COLOUR:
    case O_VERBOSE:
    case O_TIME:
    case O_PRINT_AFTER:
    case O_REPORT:
    case O_DEPFILE:
    case O_TENSORS:
    case O_LAYERS:
    case O_REPEAT:
    case O_WARMUP:
    case O_THREADS:
    case O_INPUT:
    case O_DATA:
    case O_RUN_OUTPUT:
        return false;
    default:
        return true;
    }
}

static const char *flags_line(Arena *a, const Command *c) {
    Text t = {.arena = a};
    text_put(&t, "", 0);
    for (size_t i = 0; i < c->opts.n; i++) {
        const OptInfo *o = &infos[c->opts.at[i].id];
        if (!shapes_the_code(c->opts.at[i].id)) continue;
        text_add(&t, "%s%s%s%s%s", t.n ? " " : "", dashes(o), bare_name(o), o->value[0] && !is_short(o) ? "=" : "",
                 c->opts.at[i].value);
    }
    return t.s;
}

static const char *find_verb(const char *word) {
    for (size_t k = 1; k < COUNT_OF(verbs); k++)
        if (strcmp(word, verbs[k].verb) == 0) return verbs[k].verb;
    return NULL;
}

static bool check_colour(Diags *d, const Command *c) {
    const char *when = command_get(c, O_COLOUR);
    if (!when || strcmp(when, "auto") == 0 || strcmp(when, "always") == 0 || strcmp(when, "never") == 0) return true;
    diag(d, D_USAGE, LOC_NONE, "--color=%s: expected auto, always or never", when);
    return false;
}

bool command_parse(Arena *a, Diags *d, int argc, char **argv, Command *out) {
    Words w = {0};
    *out = (Command){.verb = "", .flags = "", .read = {.arena = a}};
    if (!gather_words(a, d, argc, argv, &w, &out->read)) return false;
    bool only_files = false;
    for (size_t i = 0; i < w.v.n; i++) {
        const char *word = w.v.at[i];
        const char *verb = out->verb[0] || out->files.n || only_files ? NULL : find_verb(word);
        if (!only_files && strcmp(word, "--") == 0) {
            only_files = true;
        } else if (!only_files && word[0] == '-' && word[1]) {
            if (!take_option(a, d, &w, &i, out)) return false;
        } else if (!out->verb[0] && !out->files.n && !only_files && strcmp(word, "help") == 0) {
            vec_push(a, &out->opts, (OptValue){.id = O_HELP, .value = ""});
        } else if (verb) {
            out->verb = verb;
        } else {
            vec_push(a, &out->files, word);
        }
    }
    out->flags = flags_line(a, out);
    return check_colour(d, out);
}

const char *command_get(const Command *c, OptId id) {
    const char *found = NULL;
    for (size_t i = 0; i < c->opts.n; i++)
        if (c->opts.at[i].id == id) found = c->opts.at[i].value;
    return found;
}

bool command_has(const Command *c, OptId id) { return command_get(c, id) != NULL; }

static void help_option(Text *t, const OptInfo *o) {
    Text left = {.arena = t->arena};
    const char *joint = !o->value[0] || o->name[0] == 'O' ? "" : (is_short(o) ? " " : "=");
    text_add(&left, "  %s%s%s%s", dashes(o), bare_name(o), joint, o->value);
    text_add(t, "%-26s %s\n", left.s, o->help);
}

void command_help(Text *t, const char *verb) {
    text_add(t, "Usage:\n");
    for (size_t i = 0; i < COUNT_OF(verbs); i++) {
        if (verb[0] && strcmp(verb, verbs[i].verb) != 0) continue;
        text_add(t, "  %s\n      %s\n", verbs[i].usage, verbs[i].help);
    }
    text_add(t, "\nOptions%s%s:\n", verb[0] ? " of qcc " : "", verb);
    for (OptId id = 0; id < O_COUNT; id++) {
        const OptInfo *o = &infos[id];
        if (!verb[0] || o->where[0] == '*' || strchr(o->where, verb[0])) help_option(t, o);
    }
    text_add(t, "\nExit status: 0 good, 1 the model or the command is wrong, 2 files or memory, 70 an error of qcc.\n"
                "QCC_FLAGS in the environment is read first; @FILE stands for the words in FILE.\n");
}
