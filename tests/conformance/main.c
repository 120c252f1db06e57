/* The ONNX backend suite through three gates: imports, evaluates, compiles.
 *
 *     conformance SUITE_FOLDER INDEX.csv [--only GLOB] [--suite NAME] [--tier TIER] [--gate 1|2|3] [--jobs N]
 *                 [--table FILE.md [--write]] [--seconds N] [--quiet] [-O LEVEL] [--target NAME --runner COMMAND]
 *
 * Each case runs in a process of its own, so that a crash or a hang is a result and not an end. --table compares the
 * outcome with the committed table and fails on any difference; with --write it replaces the table. Without --table it
 * fails if a case of tier 4-out is not refused or any other case chosen does not pass its last gate. */
#include "tests/conformance/case.h"

#include "base/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct Row {
    const char *suite, *name, *ops, *opset, *tier;
} Row;

typedef struct Options {
    const char *folder, *index, *only, *suite, *tier, *table;
    CaseMachine machine;
    int gate, jobs, seconds;
    bool write, quiet;
} Options;

typedef VEC(Row) Rows;

/* The next field of a CSV line; quotes as in RFC 4180. */
static const char *next_field(Arena *a, const char **p, const char *end) {
    Text t = {.arena = a};
    text_put(&t, "", 0);
    bool quoted = *p < end && **p == '"';
    if (quoted) ++*p;
    while (*p < end) {
        char c = *(*p)++;
        if (quoted && c == '"') {
            if (*p < end && **p == '"') {
                ++*p;
            } else {
                quoted = false;
                continue;
            }
        } else if (!quoted && (c == ',' || c == '\n')) {
            if (c == '\n') --*p;
            break;
        } else if (c == '\r') {
            continue;
        }
        text_put(&t, &c, 1);
    }
    return t.s;
}

/* Fields of a line in order; at most `most`. *p goes to the next line. */
static int read_line(Arena *a, const char **p, const char *end, const char **fields, int most) {
    int n = 0;
    while (*p < end && **p != '\n') {
        const char *field = next_field(a, p, end);
        if (n < most) fields[n++] = field;
    }
    if (*p < end) ++*p;
    return n;
}

static int column(const char **head, int n, const char *name) {
    for (int i = 0; i < n; i++)
        if (strcmp(head[i], name) == 0) return i;
    fprintf(stderr, "conformance: the index has no column '%s'\n", name);
    exit(2);
}

static bool row_wanted(const Options *o, const Row *r) {
    return (!o->only || glob_match(o->only, r->name)) && (!o->suite || glob_match(o->suite, r->suite)) &&
           (!o->tier || glob_match(o->tier, r->tier));
}

enum { MOST_COLUMNS = 32 };

static bool read_index(Arena *a, const Options *o, Rows *rows) {
    Diags d;
    diags_init(&d, a);
    FileView file;
    if (!file_map(a, &d, o->index, &file)) return false;
    const char *p = (const char *)file.data, *end = p + file.bytes;
    const char *head[MOST_COLUMNS], *f[MOST_COLUMNS];
    int n = read_line(a, &p, end, head, MOST_COLUMNS);
    int suite = column(head, n, "suite"), name = column(head, n, "test"), ops = column(head, n, "ops");
    int opset = column(head, n, "opset"), tier = column(head, n, "tier");
    while (p < end) {
        if (read_line(a, &p, end, f, MOST_COLUMNS) < n) continue;
        Row r = {.suite = f[suite], .name = f[name], .ops = f[ops], .opset = f[opset], .tier = f[tier]};
        if (row_wanted(o, &r)) vec_push(a, rows, r);
    }
    return true;
}

static void run_child(const Options *o, const Row *r, CaseResult *result) {
    Arena a = {0};
    if (freopen("/dev/null", "w", stdout) == NULL) _exit(1);
    snprintf(result->note, sizeof result->note, "crash or time-out");
    alarm((unsigned)o->seconds);
    CaseResult got;
    case_run(arena_printf(&a, "%s/%s/%s", o->folder, r->suite, r->name), (Gate)o->gate, &o->machine, &got);
    *result = got;
    _exit(0);
}

/* Runs all rows, `jobs` at a time, results in shared memory. */
static CaseResult *run_all(const Options *o, const Rows *rows) {
    size_t bytes = (rows->n + 1) * sizeof(CaseResult);
    CaseResult *results = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (results == MAP_FAILED) return NULL;
    int running = 0;
    for (size_t i = 0; i < rows->n || running > 0;) {
        if (i < rows->n && running < o->jobs) {
            fflush(NULL);
            pid_t child = fork();
            if (child == 0) run_child(o, &rows->at[i], &results[i]);
            if (child < 0) return NULL;
            running++;
            i++;
        } else if (wait(NULL) > 0) {
            running--;
        } else if (errno != EINTR) {
            return NULL;
        }
    }
    return results;
}

static bool in_scope(const Row *r) { return strcmp(r->tier, "4-out") != 0; }

static bool as_expected(const Options *o, const Row *r, const CaseResult *c) {
    return in_scope(r) ? (int)c->passed >= o->gate : c->refused || (int)c->passed >= o->gate;
}

static const char *gate_mark(const CaseResult *c, Gate gate) { return c->passed >= gate ? "yes" : "no"; }

static void write_row(Text *t, const Row *r, const CaseResult *c) {
    bool refused = c->passed == GATE_NONE && c->refused;
    text_add(t, "| %s/%s | %s | %s | %s | %s | %s | %s | %s | %s |\n", r->suite, r->name, r->ops, r->opset, r->tier,
             refused ? "refused" : gate_mark(c, GATE_IMPORT), gate_mark(c, GATE_EVALUATE), gate_mark(c, GATE_COMPILE),
             c->passed >= GATE_COMPILE ? (c->fallback ? "yes" : "no") : "", c->passed >= GATE_COMPILE ? "" : c->note);
}

typedef struct Count {
    const char *tier;
    int all, gate[4], fallback, refused;
} Count;

static void count_rows(const Rows *rows, const CaseResult *results, const char *tier, Count *n) {
    *n = (Count){.tier = tier};
    for (size_t i = 0; i < rows->n; i++) {
        if (tier && strcmp(rows->at[i].tier, tier) != 0) continue;
        n->all++;
        for (int g = 1; g <= 3; g++) n->gate[g] += (int)results[i].passed >= g;
        n->fallback += results[i].passed >= GATE_COMPILE && results[i].fallback;
        n->refused += results[i].passed == GATE_NONE && results[i].refused;
    }
}

static const char *const tiers[] = {"1-core", "2-quant", "2-quant-lowbit", "2-transformer", "3-stretch", "4-out", NULL};

static void write_counts(Text *t, const Rows *rows, const CaseResult *results) {
    text_add(t, "| tier | cases | imports | evaluates | compiles | of these with fallback | refused |\n"
                "| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n");
    for (size_t i = 0; i < COUNT_OF(tiers); i++) {
        Count n;
        count_rows(rows, results, tiers[i], &n);
        if (n.all == 0) continue;
        text_add(t, "| %s | %d | %d | %d | %d | %d | %d |\n", tiers[i] ? tiers[i] : "all", n.all, n.gate[1], n.gate[2],
                 n.gate[3], n.fallback, n.refused);
    }
}

static void write_table(Text *t, const Rows *rows, const CaseResult *results) {
    text_add(
        t, "# ONNX backend suite\n\n"
           "Written by `tests/conformance` (see docs/hacking.md); each build's tests compare with it, so a change here "
           "is a change of what qcc can do. A case *imports*, *evaluates* to the expected outputs with the reference "
           "kernels, and *compiles* to a library whose run gives the expected outputs (relative 1e-3, absolute 1e-7, "
           "integers exactly) without touching a byte outside its buffers. *Fallback*: the library calls a reference "
           "kernel. Tier 4-out (strings, sequences, training, random numbers) is to be refused.\n\n");
    write_counts(t, rows, results);
    text_add(t, "\n| case | operators | opset | tier | imports | evaluates | compiles | fallback | why not |\n"
                "| --- | --- | ---: | --- | --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < rows->n; i++) write_row(t, &rows->at[i], &results[i]);
}

/* Prints lines that differ between the committed table and this one; true if there are none. */
static bool same_lines(const FileView *old, const Text *now) {
    const char *p = (const char *)old->data, *pe = p + old->bytes, *q = now->s, *qe = q + now->n;
    int shown = 0;
    while (p < pe || q < qe) {
        size_t pn = p < pe ? strcspn(p, "\n") : 0, qn = q < qe ? strcspn(q, "\n") : 0;
        if ((pn != qn || memcmp(p, q, pn) != 0) && shown++ < 40) printf("- %.*s\n+ %.*s\n", (int)pn, p, (int)qn, q);
        p += pn + (p + pn < pe);
        q += qn + (q + qn < qe);
        if (pn == 0 && qn == 0 && p >= pe && q >= qe) break;
    }
    return shown == 0;
}

static bool handle_table(Arena *a, const Options *o, const Rows *rows, const CaseResult *results) {
    Text t = {.arena = a};
    Diags d;
    diags_init(&d, a);
    write_table(&t, rows, results);
    if (o->write) return file_write(&d, o->table, t.s, t.n);
    FileView old;
    if (!file_map(a, &d, o->table, &old)) {
        fprintf(stderr, "conformance: %s cannot be read\n", o->table);
        return false;
    }
    Text copy = {.arena = a};
    text_put(&copy, (const char *)old.data, old.bytes);
    old.data = (const uint8_t *)copy.s;
    return same_lines(&old, &t);
}

static bool report(Arena *a, const Options *o, const Rows *rows, const CaseResult *results) {
    int wrong = 0;
    for (size_t i = 0; i < rows->n; i++) {
        const CaseResult *c = &results[i];
        bool good = as_expected(o, &rows->at[i], c);
        wrong += !good;
        if (!good && !o->quiet)
            printf("%s/%s [%s] gate %d: %s\n", rows->at[i].suite, rows->at[i].name, rows->at[i].tier,
                   (int)c->passed + 1, c->note);
    }
    Text t = {.arena = a};
    write_counts(&t, rows, results);
    fputs(t.s, stdout);
    if (o->table) return handle_table(a, o, rows, results);
    printf("%zu passed, %d failed\n", rows->n - (size_t)wrong, wrong);
    return wrong == 0;
}

static bool parse_options(int argc, char **argv, Options *o) {
    *o = (Options){.gate = 3, .jobs = 2, .seconds = 60, .machine.level = 2};
    const struct {
        const char *name;
        const char **text;
        int *number;
    } known[] = {{"--only", &o->only, NULL},
                 {"--suite", &o->suite, NULL},
                 {"--tier", &o->tier, NULL},
                 {"--table", &o->table, NULL},
                 {"--gate", NULL, &o->gate},
                 {"--jobs", NULL, &o->jobs},
                 {"--seconds", NULL, &o->seconds},
                 {"--target", &o->machine.target, NULL},
                 {"--runner", &o->machine.runner, NULL},
                 {"-O", NULL, &o->machine.level}};
    for (int i = 1; i < argc; i++) {
        size_t k = 0;
        while (k < COUNT_OF(known) && strcmp(argv[i], known[k].name) != 0) k++;
        if (k < COUNT_OF(known) && i + 1 < argc) {
            i++;
            if (known[k].text) *known[k].text = argv[i];
            if (known[k].number) *known[k].number = atoi(argv[i]);
        } else if (strcmp(argv[i], "--write") == 0) {
            o->write = true;
        } else if (strcmp(argv[i], "--quiet") == 0) {
            o->quiet = true;
        } else if (argv[i][0] == '-') {
            return false;
        } else if (!o->folder) {
            o->folder = argv[i];
        } else if (!o->index) {
            o->index = argv[i];
        } else {
            return false;
        }
    }
    if (o->machine.target && !o->machine.runner) return false;
    return o->folder && o->index && o->gate >= 1 && o->gate <= 3 && o->jobs > 0 && o->seconds > 0;
}

int main(int argc, char **argv) {
    Arena a = {0};
    Options o;
    Rows rows = {0};
    if (!parse_options(argc, argv, &o)) {
        fprintf(stderr,
                "usage: conformance SUITE_FOLDER INDEX.csv [--only GLOB] [--suite GLOB] [--tier GLOB] [--gate N] "
                "[--jobs N] [--seconds N] [--table FILE [--write]] [--quiet] [-O LEVEL] [--target NAME --runner "
                "COMMAND]\n");
        return 2;
    }
    if (!read_index(&a, &o, &rows) || rows.n == 0) {
        fprintf(stderr, "conformance: no cases in %s\n", o.index);
        return 2;
    }
    const CaseResult *results = run_all(&o, &rows);
    bool good = results && report(&a, &o, &rows, results);
    arena_free(&a);
    return good ? 0 : 1;
}
