/* What is in the file system for a while only. */
#ifndef QCC_BASE_TEMP_H
#define QCC_BASE_TEMP_H

#include "base/file.h"

typedef struct Temp {
    const char *path;
    bool folder; /* of files alone */
    struct Temp *volatile next;
} Temp;

/* Writes down a path in t, both of which stay the caller's, until it is forgotten. By one thread at a time. */
void temp_add(Temp *t, const char *path, bool folder);
void temp_forget(const Temp *t);
/* Removes what is written down. May be called in a signal's handler, after which the process ends. */
void temp_remove_all(void);

#endif
