/* Parameters of quantizers that have a meaning, which is kept, but hardly the one intended; and what a user should know
 * of a quantizer. Each is said once, when the node is built. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "frontend/import.h"

static const Tensor *constant(const Node *n, int operand) { return in_const(n, operand); }

static int64_t stored(const Tensor *t) {
    return t->splat ? i64_min(1, shape_count(&t->type.shape)) : shape_count(&t->type.shape);
}

/* A scale of 0 makes everything 0; a negative one is legal too, but no exporter's convention. */
static void doubt_dequantize(Import *imp, const Node *n) {
    const Tensor *t = constant(n, 1);
    for (int64_t i = 0; t && i < stored(t); i++) {
        double v = tensor_get(t, i);
        if (v > 0) continue;
        diag(imp->d, D_DOUBTFUL, n->loc, "scale %" PRId64 " is %g; a positive one is usual", i, v);
        return;
    }
}

enum { NARROW_BITS = 8 }; /* that packed kernels take */

static void doubt_quant(Import *imp, const Node *n) {
    const Tensor *zero = constant(n, 2);
    int bits = (int)tensor_get(constant(n, 3), 0);
    bool is_signed = node_int(n, "signed") != 0, narrow = node_int(n, "narrow") != 0;
    double low = is_signed ? -exp2(bits - 1) + narrow : 0, high = exp2(is_signed ? bits - 1 : bits) - 1;
    if (!is_signed && narrow) high--;
    for (int64_t i = 0; zero && i < stored(zero); i++) {
        double z = tensor_get(zero, i);
        if (z >= low && z <= high) continue;
        diag(imp->d, D_DOUBTFUL, n->loc, "zero point %" PRId64 " is %g, outside of the codes %.0f to %.0f", i, z, low,
             high);
        break;
    }
    if (bits > NARROW_BITS && !n->in[0]->constant)
        diag(imp->d, D_WIDE_CODES, n->loc, "codes of %d bits are exact, but kernels for codes take at most %d", bits,
             NARROW_BITS);
}

static void doubt_thresholds(Import *imp, const Node *n) {
    const Attr *type = node_attr(n, "out_dtype");
    double scale = node_float(n, "out_scale"), bias = node_float(n, "out_bias");
    double last = (double)in_shape(n, 1)->dim[1] * scale + bias;
    if (!type || !*type->s) return;
    if (!datatype_known(type->s))
        diag(imp->d, D_ANNOTATION, n->loc, "out_dtype is '%s', which is no type of numbers that is known", type->s);
    if (datatype_admits(type->s, bias, last)) return;
    diag(imp->d, D_ANNOTATION, n->loc, "out_dtype is %s, but the results go from %g to %g", type->s, bias, last);
}

void doubt_node(Import *imp, const Node *n) {
    if (n->op == OP_DequantizeLinear) doubt_dequantize(imp, n);
    if (n->op == OP_Quant) doubt_quant(imp, n);
    if (n->op == OP_MultiThreshold) doubt_thresholds(imp, n);
}
