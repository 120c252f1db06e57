/* Rotary position embedding (Su et al., "RoFormer", 2021): pairs of elements are turned by angles that grow with the
 * position in the sequence; and SwiGLU, the gated activation that goes with it in today's transformers. */
#include "ir/ops/expand.h"

#include <inttypes.h>

typedef struct Rotary {
    int64_t batch, length, heads, size, turned; /* the first `turned` elements of each head are turned */
    int position_axis;                          /* of the four-dimensional form: 1, or 2 where heads come first */
} Rotary;

enum { INPUT, COS, SIN, POSITIONS };

static bool read_form(Infer *c, Rotary *r) {
    const Shape *x = in_shape(c->node, INPUT);
    const Attr *heads = node_attr(c->node, "num_heads");
    if (x->rank == 4) {
        *r = (Rotary){x->dim[0], x->dim[2], x->dim[1], x->dim[3], 0, 2};
        return true;
    }
    if (x->rank != 3) return infer_error(c, D_OPERAND_SHAPE, INPUT, "rank %d; wanted 3 or 4", x->rank);
    if (!heads || heads->i < 1 || x->dim[2] % heads->i)
        return infer_error(c, D_ATTRIBUTE, INPUT,
                           "num_heads %" PRId64 "; an input of rank 3 wants a divisor of %" PRId64,
                           heads ? heads->i : 0, x->dim[2]);
    *r = (Rotary){x->dim[0], x->dim[1], heads->i, x->dim[2] / heads->i, 0, 1};
    return true;
}

static bool check_table(Infer *c, int i, const Rotary *r) {
    const Shape *s = in_shape(c->node, i);
    bool by_position = has_in(c->node, POSITIONS);
    Shape want = shape_of(3, (int64_t[]){r->batch, r->length, r->turned / 2});
    if (by_position && s->rank == 2 && s->dim[1] == r->turned / 2) return true;
    if (!by_position && shape_equal(s, &want)) return true;
    if (by_position)
        return infer_error(c, D_OPERAND_SHAPE, i, "shape %s; wanted rows of %" PRId64, shape_str(c->arena, s),
                           r->turned / 2);
    return infer_error(c, D_OPERAND_SHAPE, i, "shape %s; wanted %s", shape_str(c->arena, s),
                       shape_str(c->arena, &want));
}

static bool read_rotary(Infer *c, Rotary *r) {
    if (!read_form(c, r)) return false;
    int64_t turned = node_int(c->node, "rotary_embedding_dim");
    r->turned = turned ? turned : r->size;
    if (r->turned < 0 || r->turned > r->size || r->turned % 2)
        return infer_error(c, D_ATTRIBUTE, INPUT,
                           "%" PRId64 " elements to turn; wanted an even number up to the %" PRId64 " of a head",
                           r->turned, r->size);
    if (!check_table(c, COS, r) || !check_table(c, SIN, r)) return false;
    if (!has_in(c->node, POSITIONS)) return true;
    Shape want = shape_of(2, (int64_t[]){r->batch, r->length});
    const Shape *s = in_shape(c->node, POSITIONS);
    if (!shape_equal(s, &want))
        return infer_error(c, D_OPERAND_SHAPE, POSITIONS, "shape %s; wanted %s", shape_str(c->arena, s),
                           shape_str(c->arena, &want));
    return true;
}

bool infer_RotaryEmbedding(Infer *c) {
    Rotary r;
    if (!read_rotary(c, &r)) return false;
    set_out(c, 0, 0, in_shape(c->node, INPUT));
    return true;
}

/* The table's angles for every position, along the four-dimensional form. */
static Value *angles(Expand *e, int i, const Rotary *r) {
    Value *v = e->node->in[i];
    if (has_in(e->node, POSITIONS)) v = EXPAND(e, Gather, "axis=0", v, e->node->in[POSITIONS]);
    Shape s = shape_of(4, (int64_t[]){r->batch, 1, 1, r->turned / 2});
    s.dim[r->position_axis] = r->length;
    return expand_reshape(e, expand_widen(e, v), &s);
}

/* (p, q) -> (p cos - q sin, p sin + q cos) for the pairs along the axis, whose two members are `half` long each. */
static Value *turn(Expand *e, Value *x, int axis, int64_t half, Value *cosine, Value *sine) {
    Value *p = expand_slice(e, x, axis, 0, half), *q = expand_slice(e, x, axis, half, 2 * half);
    Value *real = EXPAND(e, Sub, NULL, EXPAND(e, Mul, NULL, p, cosine), EXPAND(e, Mul, NULL, q, sine));
    Value *imag = EXPAND(e, Add, NULL, EXPAND(e, Mul, NULL, p, sine), EXPAND(e, Mul, NULL, q, cosine));
    return expand_concat(e, axis, real, imag);
}

/* Pairs are the two halves of the turned elements or, interleaved, neighbours: then they lie along an axis of their
 * own. */
void expand_RotaryEmbedding(Expand *e) {
    Rotary r;
    Again again;
    if (!read_rotary(infer_again(&again, e->node), &r)) bug("RotaryEmbedding: the operands were good before");
    const Shape given = *in_shape(e->node, INPUT);
    Shape four = given.rank == 4 ? given : shape_of(4, (int64_t[]){r.batch, r.length, r.heads, r.size});
    Value *x = expand_reshape(e, expand_widen(e, e->node->in[INPUT]), &four);
    Value *cosine = angles(e, COS, &r), *sine = angles(e, SIN, &r);
    Value *rest = r.turned < r.size ? expand_slice(e, x, 3, r.turned, r.size) : NULL;
    x = expand_slice(e, x, 3, 0, r.turned);
    if (node_int(e->node, "interleaved")) {
        Shape flat = x->type.shape, pairs = flat, table = cosine->type.shape;
        pairs.rank = table.rank = 5;
        pairs.dim[3] = r.turned / 2;
        pairs.dim[4] = 2;
        table.dim[4] = 1;
        cosine = expand_reshape(e, cosine, &table);
        sine = expand_reshape(e, sine, &table);
        x = expand_reshape(e, turn(e, expand_reshape(e, x, &pairs), 4, 1, cosine, sine), &flat);
    } else {
        x = turn(e, x, 3, r.turned / 2, cosine, sine);
    }
    if (rest) x = expand_concat(e, 3, x, rest);
    expand_narrow(e, 0, expand_reshape(e, x, &given));
}

/* ---- SwiGLU -------------------------------------------------------------------------------------------------------
 */

bool infer_SwiGLU(Infer *c) {
    const Shape *p = in_shape(c->node, 0), *q = in_shape(c->node, 1);
    if (!shape_equal(p, q))
        return infer_error(c, D_OPERAND_SHAPE, 1, "shape %s; wanted that of the gate, %s", shape_str(c->arena, q),
                           shape_str(c->arena, p));
    set_out(c, 0, 0, p);
    return true;
}

/* (a * sigmoid(alpha * a)) * b */
void expand_SwiGLU(Expand *e) {
    Value *p = expand_widen(e, e->node->in[0]), *q = expand_widen(e, e->node->in[1]);
    Value *alpha = expand_scalar(e, p->type.elem, node_float(e->node, "alpha"));
    Value *gate = EXPAND(e, Mul, NULL, p, EXPAND(e, Sigmoid, NULL, EXPAND(e, Mul, NULL, p, alpha)));
    expand_narrow(e, 0, EXPAND(e, Mul, NULL, gate, q));
}
