/* QLadder: a monotone function of an integer with few values, by its thresholds. */
#include "ir/op.h"

#include <inttypes.h>

static bool check_levels(ExprOp *o, const int64_t *level, int n, Elem to) {
    int bits = elem_info[to].bits;
    int64_t lo = elem_info[to].kind == ELEM_I ? -((int64_t)1 << (bits - 1)) : 0, hi = lo + ((int64_t)1 << bits) - 1;
    for (int k = 0; k < n; k++) {
        if (level[k] >= lo && level[k] <= hi && (k == 0 || level[k] > level[k - 1])) continue;
        expr_refuse(o, D_ATTRIBUTE, -1, "level %d is %" PRId64 "; rising numbers of %s are wanted", k, level[k],
                    elem_info[to].name);
        return false;
    }
    return true;
}

/* levels[0] + sum of (levels[k] - levels[k - 1]) for each threshold reached, in x's type, which is converted. */
void expr_QLadder(ExprOp *o) {
    ExprBuilder *b = o->b;
    int n;
    const int64_t *level = node_ints(o->node, "levels", &n);
    int64_t to = node_int(o->node, "to");
    if (!elem_known(to) || !elem_is_int((Elem)to) || elem_info[to].bits > 32) {
        expr_refuse(o, D_ATTRIBUTE, -1, "to is %" PRId64 "; an integer type of at most 32 bits is wanted", to);
        return;
    }
    if (n != o->n_in) {
        expr_refuse(o, D_ATTRIBUTE, -1, "%d levels for %d thresholds; one more is wanted", n, o->n_in - 1);
        return;
    }
    if (!check_levels(o, level, n, (Elem)to)) return;
    X sum = x_const_int(b, QCC_I32, level[0]);
    for (int k = 1; k < n; k++) {
        X reached = x_2(b, X_LE, o->in[k], o->in[0]);
        int64_t step = level[k] - level[k - 1];
        X up = step == 1 ? x_cast(b, QCC_I32, reached)
                         : x_select(b, reached, x_const_int(b, QCC_I32, step), x_const_int(b, QCC_I32, 0));
        sum = x_2(b, X_ADD, sum, up);
    }
    o->result = x_cast(b, (Elem)to, sum);
}
