/* RequantShift of QuantLib and Deeploy: clip(floor((x * mul + add) / 2^shift)) in whole numbers, which the dialect
 * keeps in float32 tensors. The products exceed what float32 holds, so they are made in 64-bit integers. */
#include "ir/ops/scale.h"

#include <inttypes.h>
#include <math.h>

enum { X_IN, MUL_BY, ADD_TO };

static bool check_whole(Infer *c, int operand) {
    const Tensor *t = in_const(c->node, operand);
    int64_t n = !t ? 0 : t->splat ? 1 : shape_count(&t->type.shape);
    for (int64_t i = 0; i < n; i++) {
        double v = tensor_get(t, i);
        if (v != floor(v) || fabs(v) > ldexp(1, 40))
            return infer_error(c, D_OPERAND_VALUE, operand, "element %" PRId64 " is %g; wanted a whole number", i, v);
    }
    return infer_spreads(c, operand, in_shape(c->node, X_IN));
}

bool infer_RequantShift(Infer *c) {
    const Node *n = c->node;
    int64_t div = node_int(n, "div"), levels = node_int(n, "n_levels");
    if (div < 1 || div > (int64_t)1 << 62 || (div & (div - 1)))
        return infer_error(c, D_ATTRIBUTE, -1, "div is %" PRId64 "; wanted a power of 2", div);
    if (levels < 2 || levels > (int64_t)1 << 32)
        return infer_error(c, D_ATTRIBUTE, -1, "n_levels is %" PRId64 "; wanted 2 to 2^32", levels);
    if (!check_whole(c, MUL_BY) || !check_whole(c, ADD_TO)) return false;
    set_out(c, 0, 0, in_shape(n, X_IN));
    return true;
}

void expand_RequantShift(Expand *e) {
    const Node *n = e->node;
    int64_t levels = node_int(n, "n_levels"), low = node_int(n, "signed") ? -(levels / 2) : 0, high = low + levels - 1;
    Value *v = EXPAND(e, Mul, NULL, expand_cast(e, n->in[X_IN], QCC_I64), expand_factor(e, MUL_BY, QCC_I64));
    v = EXPAND(e, Add, NULL, v, expand_factor(e, ADD_TO, QCC_I64));
    int64_t div = node_int(n, "div");
    if (div > 1) v = EXPAND(e, Add, NULL, v, expand_scalar(e, QCC_I64, (double)(div / 2)));
    Value *shift = expand_scalar(e, QCC_I64, __builtin_ctzll((uint64_t)div));
    v = EXPAND(e, BitShift, "direction=RIGHT", v, shift);
    v = EXPAND(e, Clip, NULL, v, expand_scalar(e, QCC_I64, (double)low), expand_scalar(e, QCC_I64, (double)high));
    v = expand_cast(e, v, code_elem((double)low, (double)high));
    expand_result(e, 0, expand_cast(e, v, QCC_F32));
}
