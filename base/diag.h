/* Diagnostics: everything that is said about a model, a command or the world around them. They are collected, never
 * printed here; the driver prints. Form:
 *     model.onnx: node 'conv1' (Conv #12): error E305: what was found, what was wanted
 *         note: operand 0 'x': f32[1,3,8,8]
 *         hint: one action, where there is an obvious one */
#ifndef QCC_BASE_DIAG_H
#define QCC_BASE_DIAG_H

#include "base/base.h"

typedef enum DiagId {
#define DIAG(symbol, sev, no, text) D_##symbol,
#include "base/diag.def"
#undef DIAG
    D_COUNT
} DiagId;

typedef enum Severity { SEV_N, SEV_W, SEV_E } Severity;

typedef struct DiagInfo {
    const char *symbol, *text;
    Severity sev;
    int no;
} DiagInfo;
extern const DiagInfo diag_info[D_COUNT];

/* Where something comes from; survives every rewrite. Unknown parts are NULL or -1. Strings outlive the diagnostics. */
typedef struct Loc {
    const char *file; /* as given on the command line */
    const char *node; /* the node's name in the file; may be empty */
    const char *op;   /* its operator as the file spells it */
    int index;        /* its index among its graph's nodes */
    int opset;
    int line, col; /* of the text form, from 1; 0 where there is none */
} Loc;
#define LOC_NONE ((Loc){.index = -1})

typedef struct Diag {
    struct Diag *next;
    DiagId id;
    Loc loc;
    const char *text, *hint;
    VEC(const char *) notes;
} Diag;

typedef struct Diags {
    Arena *arena;
    Diag *first, **last;
    int n_errors, n_warnings;
} Diags;

void diags_init(Diags *d, Arena *arena);
/* Adds one and returns it for notes and a hint; `fmt` says what was found and what was wanted, in that order. After
 * DIAG_CAP errors, or as many warnings, further ones are counted but not kept (the returned diagnostic is a dummy). */
enum { DIAG_CAP = 100 };
Diag *diag(Diags *d, DiagId id, Loc loc, const char *fmt, ...) PRINTF_LIKE(4, 5);
void diag_note(Diags *d, Diag *g, const char *fmt, ...) PRINTF_LIKE(3, 4);
void diag_hint(Diags *d, Diag *g, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The printed form of one, ending in a newline, colour if asked for. Control characters, which only a hostile file
 * would put there, come out as \xNN. */
void diag_format(Text *t, const Diag *g, bool colour);
/* The same for a text from a file that is shown elsewhere; NULL is the empty text. */
const char *printable_str(Arena *a, const char *text);

#endif
