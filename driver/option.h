/* The command line, parsed by the table driver/option.def. */
#ifndef QCC_DRIVER_OPTION_H
#define QCC_DRIVER_OPTION_H

#include "base/file.h"

typedef enum OptId {
#define OPT(id, name, value, where, help) O_##id,
#include "driver/option.def"
#undef OPT
    O_COUNT
} OptId;

typedef struct OptValue {
    OptId id;
    const char *value; /* "" where the option takes none */
} OptValue;

typedef struct Command {
    const char *verb; /* "", "run", "bench", "info" */
    VEC(OptValue) opts;
    VEC(const char *) files;
    FileNames read;    /* all that was read for the command: what its result depends on */
    const char *flags; /* the options that shape the code, as one line: the compiled model records it */
} Command;

/* Parses the words after the program's name; @FILE words are replaced by the file's words, and QCC_FLAGS comes first.
 * False after D_USAGE diagnostics. */
bool command_parse(Arena *a, Diags *d, int argc, char **argv, Command *out);
/* Last value of an option, or NULL; for options without a value "" if given. */
const char *command_get(const Command *c, OptId id);
bool command_has(const Command *c, OptId id);
/* The option as it is written: "--batch", "-O". */
const char *option_str(Arena *a, OptId id);
void command_help(Text *t, const char *verb);

#endif
