/* Loop nests: see nest.h. */
#include "codegen/kernels/nest.h"

static void move_dim(Nest *n, int to, int from) {
    n->dim[to] = n->dim[from];
    n->out[to] = n->out[from];
    for (int k = 0; k < n->n_in; k++) n->in[k][to] = n->in[k][from];
}

/* Dimension `from` comes to stand before dimension `to` (to < from). */
static void lift_dim(Nest *n, int to, int from) {
    Nest old = *n;
    for (int d = from; d > to; d--) move_dim(n, d, d - 1);
    n->dim[to] = old.dim[from];
    n->out[to] = old.out[from];
    for (int k = 0; k < n->n_in; k++) n->in[k][to] = old.in[k][from];
}

static bool joins(const Nest *n, int outer, int inner) {
    if (n->out[outer] != n->out[inner] * n->dim[inner]) return false;
    for (int k = 0; k < n->n_in; k++)
        if (n->in[k][outer] != n->in[k][inner] * n->dim[inner]) return false;
    return true;
}

static void sort_dims(Nest *n) {
    for (int i = 1; i < n->rank; i++) {
        int to = i;
        while (to > 0 && n->out[to - 1] < n->out[i]) to--;
        if (to < i) lift_dim(n, to, i);
    }
}

void nest_simplify(Nest *n) {
    int rank = 0, at = 0;
    for (int d = 0; d < n->rank; d++)
        if (n->dim[d] != 1) move_dim(n, rank++, d);
    n->rank = rank;
    if (rank == 0) {
        n->rank = 1;
        n->dim[0] = 1;
        n->out[0] = 0;
        for (int k = 0; k < n->n_in; k++) n->in[k][0] = 0;
        return;
    }
    sort_dims(n);
    for (int d = 1; d < rank; d++) {
        if (!joins(n, at, d)) {
            move_dim(n, ++at, d);
            continue;
        }
        int64_t all = n->dim[at] * n->dim[d];
        move_dim(n, at, d);
        n->dim[at] = all;
    }
    n->rank = at + 1;
}

void nest_split(Nest *n, int64_t units) {
    for (int d = n->rank; d > 0; d--) move_dim(n, d, d - 1);
    n->rank++;
    n->dim[0] = units;
    n->dim[1] /= units;
    n->out[0] = n->out[1] * n->dim[1];
    for (int k = 0; k < n->n_in; k++) n->in[k][0] = n->in[k][1] * n->dim[1];
}
