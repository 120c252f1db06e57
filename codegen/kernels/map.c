/* Element-wise nodes: any number of operands with broadcasting, any strides. Copies, also those that change how a
 * tensor lies, are nodes of this kind with an empty program. */
#include "codegen/kernels/nest.h"

bool plan_map(KernelPlan *p) {
    const Node *n = p->node;
    if (n->n_in > MAX_OPERANDS) return false;
    int64_t count = shape_count(&n->out[0]->type.shape);
    int lanes = nest_lanes(p->target, n->expr);
    p->in_place = true;
    p->n_tasks = plan_tasks(p, ceil_div(count, 4096), count / lanes * (n->expr->n + n->n_in + 1));
    plan_name(p, n->expr->n == 1 ? "%s_copy" : "%s_map", elem_info[n->out[0]->type.elem].name);
    return true;
}

void emit_map(KernelEmit *k) {
    const Place *out = &k->out[0];
    int n_in = k->node->n_in;
    Nest n = {.n_in = n_in};
    Reg in[MAX_OPERANDS];
    Elem elems[MAX_OPERANDS];
    for (int d = 0; d < out->shape.rank; d++) nest_add(&n, out->shape.dim[d], out->stride[d], 0);
    for (int i = 0; i < n_in; i++) {
        place_broadcast(&k->in[i], &out->shape, n.in[i]);
        in[i] = k->in[i].base;
        elems[i] = k->in[i].elem;
    }
    nest_simplify(&n);
    nest_emit(
        k, &n,
        &(NestWork){
            .expr = k->node->expr, .in = in, .in_elem = elems, .out = out->base, .out_elem = out->elem, .tasks = true});
}
