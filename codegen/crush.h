/* Weights at their true width in the file: what a kernel prepared of a constant is bytes, or words, of few different
 * values where its weights are of few bits; the file then holds the number of each one's value in 1 to 7 bits, behind a
 * table of the values (dictionary coding). Whatever order the kernel's format has, this keeps it:
 *
 *     table: a unit for each value | group 0: codes of units 0 .. 7 in `bits` bytes | group 1 ...
 *
 * A group is a little-endian number that has the first code in its lowest bits. */
#ifndef QCC_CODEGEN_CRUSH_H
#define QCC_CODEGEN_CRUSH_H

#include "codegen/kernel.h"

enum { CRUSH_GROUP = 8 }; /* units */
typedef struct Crush Crush;

/* How to write `pack` in few bits; NULL where it has too many values. It is filled for that, and must outlive what is
 * returned. */
Crush *crush_find(Arena *a, const ConstPack *pack);
int crush_bits(const Crush *c);
int64_t crush_table(const Crush *c);        /* bytes of the table, behind which the codes begin */
int64_t crush_bytes(const Crush *c);        /* of both */
void crush_fill(void *crush, uint8_t *dst); /* as ConstPack.fill */
/* Emits what writes n groups of codes out at dst, in units of `unit` bytes. Up to 8 bytes behind the codes are read. */
void crush_expand(Emit *e, int bits, int unit, Reg dst, Reg table, Reg codes, int64_t n);

#endif
