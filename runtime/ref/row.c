/* Rows of accumulators. The loop over a row is the innermost one of every kernel that uses them, and is written out for
 * the types that whole networks are evaluated with in tests. */
#include "runtime/ref/row.h"

bool ref_is_float(int32_t elem) { return elem == QCC_F32 || elem == QCC_F64 || elem == QCC_F16 || elem == QCC_BF16; }

void ref_row_start(RefRow *row, int64_t n, int32_t elem, const RefTensor *bias, int64_t at) {
    row->real = ref_is_float(elem);
    bool given = bias && bias->data;
    double f = given && row->real ? ref_load(bias, at) : 0;
    uint64_t u = given && !row->real ? (uint64_t)ref_load_int(bias, at) : 0;
    for (int64_t i = 0; i < n; i++) {
        row->f[i] = f;
        row->u[i] = u;
    }
}

static void add_f32(double *acc, int64_t step, int64_t n, const float *x, int64_t x_step, double w) {
    if (step == 1 && x_step == 1) {
        for (int64_t i = 0; i < n; i++) acc[i] += (double)x[i] * w;
    } else {
        for (int64_t i = 0; i < n; i++) acc[i * step] += (double)x[i * x_step] * w;
    }
}

static void add_f64(double *acc, int64_t step, int64_t n, const double *x, int64_t x_step, double w) {
    for (int64_t i = 0; i < n; i++) acc[i * step] += x[i * x_step] * w;
}

/* Sums wrap around in any case, so unsigned arithmetic on the sign-extended operands does. */
#define ADD_WHOLE(name, type)                                                                              \
    static void name(uint64_t *acc, int64_t step, int64_t n, const type *x, int64_t x_step, uint64_t by) { \
        if (step == 1 && x_step == 1) {                                                                    \
            for (int64_t i = 0; i < n; i++) acc[i] += (uint64_t)(int64_t)x[i] * by;                        \
        } else {                                                                                           \
            for (int64_t i = 0; i < n; i++) acc[i * step] += (uint64_t)(int64_t)x[i * x_step] * by;        \
        }                                                                                                  \
    }
ADD_WHOLE(add_i8, int8_t)
ADD_WHOLE(add_u8, uint8_t)
ADD_WHOLE(add_i16, int16_t)

static void add_whole(uint64_t *acc, int64_t step, int64_t n, RefRun x, uint64_t by) {
    switch (x.t->elem) {
    case QCC_I8:
        add_i8(acc, step, n, (const int8_t *)x.t->data + x.at, x.step, by);
        break;
    case QCC_U8:
        add_u8(acc, step, n, (const uint8_t *)x.t->data + x.at, x.step, by);
        break;
    case QCC_I16:
        add_i16(acc, step, n, (const int16_t *)x.t->data + x.at, x.step, by);
        break;
    default:
        for (int64_t i = 0; i < n; i++) acc[i * step] += (uint64_t)ref_load_int(x.t, x.at + i * x.step) * by;
    }
}

void ref_row_add(RefRow *row, int64_t first, int64_t step, int64_t n, RefRun x, const RefTensor *w, int64_t w_at) {
    if (n <= 0) return;
    if (x.t->elem == QCC_F32) {
        add_f32(row->f + first, step, n, (const float *)x.t->data + x.at, x.step, ref_load(w, w_at));
    } else if (x.t->elem == QCC_F64) {
        add_f64(row->f + first, step, n, (const double *)x.t->data + x.at, x.step, ref_load(w, w_at));
    } else if (row->real) {
        double by = ref_load(w, w_at);
        for (int64_t i = 0; i < n; i++) row->f[first + i * step] += ref_load(x.t, x.at + i * x.step) * by;
    } else {
        add_whole(row->u + first, step, n, x, (uint64_t)ref_load_int(w, w_at));
    }
}

void ref_row_store(const RefRow *row, int64_t n, const RefTensor *out, int64_t at) {
    for (int64_t i = 0; i < n; i++) {
        if (row->real) {
            ref_store(out, at + i, row->f[i]);
        } else {
            ref_store_int(out, at + i, (int64_t)row->u[i]);
        }
    }
}
