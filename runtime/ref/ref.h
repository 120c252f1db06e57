/* Reference kernels: one obvious loop nest per computation. They are the specification, the body of the IR evaluator,
 * the oracle of every kernel test, and the fallback when no emitter fits. Freestanding: they call nothing but memcpy,
 * memmove and memset and take no memory.
 *
 * Tensors are dense and row-major; a type of less than 8 bits takes a byte an element. Each kernel is
 *     int ref_NAME(const RefArgs *a)
 * with the operands of the ONNX operator in order, the outputs ready with their shapes (absent operands and outputs
 * that are not wanted have data NULL, also those at the end, so n_in and n_out are at least the operator's), and the
 * operator's parameters as ints and floats whose order the kernel's header comment gives. It returns 0, or REF_INDEX
 * where an index operand was out of range (it was clamped; nothing outside was touched), or REF_DIVIDE (integer
 * division by zero; the result is 0). Any operand values are safe. */
#ifndef QCC_RUNTIME_REF_REF_H
#define QCC_RUNTIME_REF_REF_H

#include "qcc/qcc.h"

enum { REF_MAX_RANK = 8 };

typedef struct RefTensor {
    void *data;
    int32_t elem; /* qcc_elem */
    int32_t rank;
    int64_t dim[REF_MAX_RANK];
} RefTensor;

typedef struct RefArgs {
    const RefTensor *in;
    const RefTensor *out;
    int32_t n_in, n_out;
    const int64_t *ints;
    const double *floats;
    int32_t n_ints, n_floats;
} RefArgs;

typedef int RefFn(const RefArgs *a);
/* Opens the definition of a kernel. */
#define REF_KERNEL(name) \
    RefFn ref_##name;    \
    int ref_##name(const RefArgs *a)

enum { REF_OK = 0, REF_INDEX = 1, REF_DIVIDE = 2 };

/* Element access of any type, by value. Floats round to nearest even. Integers convert by wrapping; from floats toward
 * zero, saturating at 64 bits for the 64-bit types and at 32 for all others before they wrap; NaN gives 0. Any byte but
 * 0 is true. */
double ref_load(const RefTensor *t, int64_t i);
int64_t ref_load_int(const RefTensor *t, int64_t i);
void ref_store(const RefTensor *t, int64_t i, double v);
void ref_store_int(const RefTensor *t, int64_t i, int64_t v);
int64_t ref_count(const RefTensor *t); /* product of the dimensions */
int ref_elem_bytes(int32_t elem);

float ref_f16_to_f32(uint16_t h);
uint16_t ref_f32_to_f16(float f); /* nearest, ties to even */
float ref_bf16_to_f32(uint16_t h);
uint16_t ref_f32_to_bf16(float f); /* nearest, ties to even */

#endif
