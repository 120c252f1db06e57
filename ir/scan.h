/* Reading words and numbers of the text form. The first mistake ends the reading: scan_fail adds a D_TEXT_SYNTAX
 * diagnostic with line and column and jumps to `refused`. The text need not be terminated and may hold any bytes. */
#ifndef QCC_IR_SCAN_H
#define QCC_IR_SCAN_H

#include "ir/ir.h"

typedef struct Scan {
    Arena *arena; /* what is read goes here */
    Diags *diags;
    const char *file, *at, *end, *line_start;
    const char *token; /* where what was read last begins; mistakes are reported there */
    int line;
    jmp_buf refused;
} Scan;

Loc scan_loc(Scan *s); /* of what comes next */
NORETURN void scan_fail(Scan *s, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Each skips blanks and comments ('#' to the end of the line) first. */
char scan_peek(Scan *s);                     /* 0 at the end */
bool scan_accept(Scan *s, const char *what); /* punctuation */
void scan_expect(Scan *s, const char *what);
bool scan_accept_word(Scan *s, const char *word);
const char *scan_word(Scan *s); /* letters, digits and '_' */
const char *scan_string(Scan *s);
int64_t scan_int(Scan *s, int64_t lo, int64_t hi);
double scan_double(Scan *s); /* with a final 'f': rounded to f32 */
Elem scan_elem(Scan *s);
Type scan_type(Scan *s);
/* One element of the tensor's type into its place i. */
void scan_element(Scan *s, Tensor *t, int64_t i);

#endif
