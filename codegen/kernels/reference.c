/* The kernel of last resort: a call of ref_NAME, the plain-C loop nest that also serves the evaluator. It is linked in
 * from an archive and so runs on the host only. The descriptors it takes are built on the stack, laid out as the
 * compiler's own: host and target are one here. */
#include "codegen/kernel.h"
#include "codegen/scalar.h"
#include "ir/op.h"

bool plan_reference(KernelPlan *p) {
    const OpDef *d = op_def(p->node->op);
    if (!p->target->host || d->kind != OP_REF || p->node->expr) return false;
    for (int i = 0; i < p->node->n_in; i++) {
        p->in[i].order = ORDER_ROWS;
        p->in[i].packed = !p->node->in[i];
    }
    for (int i = 0; i < p->node->n_out; i++) p->out[i].order = ORDER_ROWS;
    p->fallback = true;
    plan_name(p, "reference_%s", d->name);
    return true;
}

static void store_tensor(Emit *e, Reg at, const Place *p) {
    Reg null = em_zero(e, e->ptr);
    em_store(e, p->base ? p->base : null, em_at(e, at, offsetof(RefTensor, data)), 8);
    em_store(e, em_i32(e, p->base ? (int64_t)p->elem : 0), em_at(e, at, offsetof(RefTensor, elem)), 4);
    em_store(e, em_i32(e, p->shape.rank), em_at(e, at, offsetof(RefTensor, rank)), 4);
    for (int d = 0; d < p->shape.rank; d++)
        em_store(e, em_i64(e, p->shape.dim[d]), em_at(e, at, (int64_t)(offsetof(RefTensor, dim) + 8 * (size_t)d)), 8);
}

static Reg tensor_list(Emit *e, const Place *p, int n) {
    Reg list = em_local(e, (int64_t)sizeof(RefTensor) * (n + 1), 16);
    for (int i = 0; i < n; i++) store_tensor(e, em_at(e, list, (int64_t)sizeof(RefTensor) * i), &p[i]);
    return list;
}

void emit_reference(KernelEmit *k) {
    Emit *e = k->em;
    const Node *n = k->node;
    Pack pack = {0};
    node_pack(e->arena, n, &pack);
    Reg args = em_local(e, sizeof(RefArgs), 16);
    Reg ints = em_data(e, pack.ints.at, (int64_t)(pack.ints.n * sizeof(int64_t)), 8);
    Reg floats = em_data(e, pack.floats.at, (int64_t)(pack.floats.n * sizeof(double)), 8);
    em_store(e, tensor_list(e, k->in, n->n_in), em_at(e, args, offsetof(RefArgs, in)), 8);
    em_store(e, tensor_list(e, k->out, n->n_out), em_at(e, args, offsetof(RefArgs, out)), 8);
    em_store(e, em_i32(e, n->n_in), em_at(e, args, offsetof(RefArgs, n_in)), 4);
    em_store(e, em_i32(e, n->n_out), em_at(e, args, offsetof(RefArgs, n_out)), 4);
    em_store(e, ints, em_at(e, args, offsetof(RefArgs, ints)), 8);
    em_store(e, floats, em_at(e, args, offsetof(RefArgs, floats)), 8);
    em_store(e, em_i32(e, (int64_t)pack.ints.n), em_at(e, args, offsetof(RefArgs, n_ints)), 4);
    em_store(e, em_i32(e, (int64_t)pack.floats.n), em_at(e, args, offsetof(RefArgs, n_floats)), 4);
    em_call_extern(e, op_def(n->op)->ref_symbol, 1, &args);
}
