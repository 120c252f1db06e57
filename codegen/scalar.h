/* Verbs of codegen/emit*.c that only the code generator's own files need: instructions behind element-wise programs,
 * functions with a result, attributes. */
#ifndef QCC_CODEGEN_SCALAR_H
#define QCC_CODEGEN_SCALAR_H

#include "codegen/emit.h"

/* LLVM's intrinsic of this name, overloaded on the type of its operands. */
Reg em_intrinsic(Emit *e, const char *name, int n, Reg *args);
Reg em_leading_zeros(Emit *e, Reg a); /* of integers that are not 0 */
/* To integers of scalar type `to`, saturating; NaN gives 0. */
Reg em_float_to_int_sat(Emit *e, Reg a, RegType to, bool is_unsigned);
Reg em_half_extend(Emit *e, Reg bits); /* f16 bits to f32 by the target's instruction */
Reg em_half_round(Emit *e, Reg f32);   /* and back, to nearest even */
Reg em_int_div(Emit *e, bool is_unsigned, Reg a, Reg b);
Reg em_int_rem(Emit *e, bool is_unsigned, Reg a, Reg b);
Reg em_fmod(Emit *e, Reg a, Reg b); /* of floats; a loop in a function of the module */

/* A function without a body; internal ones are not seen outside the object. */
Reg em_function_new(Emit *e, const char *name, RegType result, int n, const RegType *args, bool internal);
void em_function_open(Emit *e, Reg fn); /* code goes into it from here on */
void em_attribute_noalias(Emit *e, Reg fn, int arg);
void em_attribute_readonly(Emit *e, Reg fn, int arg);
void em_attribute_align(Emit *e, Reg fn, int arg, int align);
void em_attribute_noinline(Emit *e, Reg fn);
/* The stack frame begins at a multiple of the vector registers' size, so that those kept there lie in one cache line.
 */
void em_attribute_frame(Emit *e, Reg fn);
Reg em_param(Reg fn, int arg);
Reg em_call_function(Emit *e, Reg fn, int n, const Reg *args);
/* Through a pointer to a function that returns nothing. */
void em_call_pointer(Emit *e, Reg fn, int n, const Reg *args);
/* A function of another object that takes pointers and returns an int, which is dropped. */
void em_call_extern(Emit *e, const char *symbol, int n, const Reg *args);
Reg em_is_null(Emit *e, Reg pointer);
RegBlock em_block(Emit *e); /* where code goes; em_block_resume goes on there */
void em_block_resume(Emit *e, RegBlock b);
void em_return(Emit *e, Reg value); /* NULL: none */

#endif
