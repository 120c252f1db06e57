/* ONNX Runtime's matrix products on codes, of domain com.microsoft, written with MatMulInteger (exact sums in i32) and
 * float32 scales behind it; and MatMulNBits, whose weights are codes of few bits with a scale for each block. */
#include "ir/ops/scale.h"

#include <inttypes.h>

static bool infer_matrix(Infer *c, int a, int b) {
    Shape y;
    if (!infer_as(c, OP_MatMul, 2, (Value *[]){c->node->in[a], c->node->in[b]}, &y)) return false;
    set_out(c, 0, 0, &y);
    return true;
}

/* Operand i has one element, or one for each of n columns. */
static bool check_columns(Infer *c, int i, int64_t n) {
    if (!has_in(c->node, i)) return true;
    const Shape *s = in_shape(c->node, i);
    return shape_count(s) == 1 || (s->rank == 1 && s->dim[0] == n) ||
           infer_error(c, D_OPERAND_SHAPE, i, "shape %s; wanted one element, or one for each of %" PRId64 " columns",
                       shape_str(c->arena, s), n);
}

static int64_t last_dim(const Shape *s) { return s->dim[s->rank - 1]; }

static Value *integer_product(Expand *e, Value *a, Value *b, Value *a_zero, Value *b_zero) {
    return EXPAND(e, MatMulInteger, NULL, a, b, a_zero, b_zero);
}

/* ---- MatMulIntegerToFloat, DynamicQuantizeMatMul --------------------------------------------------------------------
 */

enum { A, B, A_SCALE, B_SCALE, A_ZERO, B_ZERO, BIAS };

bool infer_MatMulIntegerToFloat(Infer *c) {
    if (!infer_rank_min(c, B, 2) || !infer_matrix(c, A, B)) return false;
    int64_t n = last_dim(in_shape(c->node, B));
    return infer_single(c, A_SCALE) && infer_single(c, A_ZERO) && check_columns(c, B_SCALE, n) &&
           check_columns(c, B_ZERO, n) && check_columns(c, BIAS, n) && infer_finite(c, A_SCALE) &&
           infer_finite(c, B_SCALE);
}

static void give_scaled(Expand *e, Value *sum, Value *a_scale, Value *b_scale, Value *bias) {
    Value *v = EXPAND(e, Mul, NULL, expand_cast(e, sum, QCC_F32), EXPAND(e, Mul, NULL, a_scale, b_scale));
    if (bias) v = EXPAND(e, Add, NULL, v, bias);
    expand_result(e, 0, v);
}

static Value *operand(const Expand *e, int i) { return has_in(e->node, i) ? e->node->in[i] : NULL; }

void expand_MatMulIntegerToFloat(Expand *e) {
    Value *sum = integer_product(e, operand(e, A), operand(e, B), operand(e, A_ZERO), operand(e, B_ZERO));
    give_scaled(e, sum, expand_factor(e, A_SCALE, QCC_F32), expand_factor(e, B_SCALE, QCC_F32),
                expand_factor(e, BIAS, QCC_F32));
}

enum { DYNAMIC_B_SCALE = 2, DYNAMIC_B_ZERO, DYNAMIC_BIAS };

bool infer_DynamicQuantizeMatMul(Infer *c) {
    if (!infer_rank_min(c, B, 2) || !infer_matrix(c, A, B)) return false;
    int64_t n = last_dim(in_shape(c->node, B));
    return check_columns(c, DYNAMIC_B_SCALE, n) && check_columns(c, DYNAMIC_B_ZERO, n) &&
           check_columns(c, DYNAMIC_BIAS, n) && infer_finite(c, DYNAMIC_B_SCALE);
}

void expand_DynamicQuantizeMatMul(Expand *e) {
    Node *q = graph_node(e->graph, e->node, OP_DynamicQuantizeLinear, e->node->loc, 1, e->node->in, 3);
    if (!node_infer(e->diags, q)) bug("the quantizer of a DynamicQuantizeMatMul does not infer");
    Value *sum = integer_product(e, q->out[0], operand(e, B), q->out[2], operand(e, DYNAMIC_B_ZERO));
    give_scaled(e, sum, q->out[1], expand_factor(e, DYNAMIC_B_SCALE, QCC_F32), expand_factor(e, DYNAMIC_BIAS, QCC_F32));
}

/* ---- QGemm: with a scale of the result codes, without it real numbers
 * ------------------------------------------------- */

enum { G_A, G_A_SCALE, G_A_ZERO, G_B, G_B_SCALE, G_B_ZERO, G_C, G_Y_SCALE, G_Y_ZERO };

bool infer_QGemm(Infer *c) {
    const Node *n = c->node;
    Shape y;
    Value *in[] = {n->in[G_A], n->in[G_B], has_in(n, G_C) ? n->in[G_C] : NULL};
    if (!infer_as(c, OP_Gemm, in[2] ? 3 : 2, in, &y)) return false;
    if (!infer_single(c, G_A_SCALE) || !infer_single(c, G_A_ZERO) || !check_columns(c, G_B_SCALE, y.dim[1]) ||
        !check_columns(c, G_B_ZERO, y.dim[1]) || !infer_single(c, G_Y_SCALE) || !infer_single(c, G_Y_ZERO) ||
        !infer_finite(c, G_A_SCALE) || !infer_finite(c, G_B_SCALE) || !infer_scales(c, G_Y_SCALE))
        return false;
    if (has_in(n, G_Y_SCALE) != has_in(n, G_Y_ZERO))
        return infer_error(c, D_ARITY, -1, "y_scale and y_zero_point go together");
    set_out(c, 0, has_in(n, G_Y_ZERO) ? in_elem(n, G_Y_ZERO) : QCC_F32, &y);
    return true;
}

static Value *turned(Expand *e, int operand, const char *flag) {
    Value *v = e->node->in[operand];
    return node_int(e->node, flag) ? expand_transpose(e, v, 2, (int[]){1, 0}) : v;
}

void expand_QGemm(Expand *e) {
    const Node *n = e->node;
    Value *sum =
        integer_product(e, turned(e, G_A, "transA"), turned(e, G_B, "transB"), n->in[G_A_ZERO], n->in[G_B_ZERO]);
    if (has_in(n, G_C)) sum = EXPAND(e, Add, NULL, sum, n->in[G_C]);
    Value *m =
        EXPAND(e, Mul, NULL, expand_scalar(e, QCC_F32, node_float(n, "alpha")), expand_factor(e, G_A_SCALE, QCC_F32));
    m = EXPAND(e, Mul, NULL, m, expand_factor(e, G_B_SCALE, QCC_F32));
    Value *v = expand_cast(e, sum, QCC_F32);
    if (!has_in(n, G_Y_SCALE)) {
        expand_result(e, 0, EXPAND(e, Mul, NULL, v, m));
        return;
    }
    v = EXPAND(e, Mul, NULL, v, EXPAND(e, Div, NULL, m, expand_factor(e, G_Y_SCALE, QCC_F32)));
    expand_result(e, 0,
                  EXPAND(e, QuantizeLinear, NULL, v, expand_scalar(e, QCC_F32, 1),
                         expand_factor(e, G_Y_ZERO, in_elem(n, G_Y_ZERO))));
}

/* ---- MatMulNBits
 * ------------------------------------------------------------------------------------------------------ B is [N,
 * blocks, bytes], the codes of a block packed from the lowest bits on; scales and zero points go with blocks, zero
 * points packed like B (each row in whole bytes) or as numbers. Absent ones are 2^(bits - 1). */

enum { W_A, W_B, W_SCALES, W_ZEROS, W_GROUPS, W_BIAS };

typedef struct Blocks {
    int64_t k, n, size, count, bits;
} Blocks;

static Blocks read_blocks(const Node *n) {
    Blocks b = {
        .k = node_int(n, "K"), .n = node_int(n, "N"), .size = node_int(n, "block_size"), .bits = node_int(n, "bits")};
    b.count = b.size > 0 ? ceil_div(b.k, b.size) : 0;
    return b;
}

static int64_t packed_bytes(int64_t codes, int64_t bits) { return ceil_div(codes * bits, 8); }

static bool check_count(Infer *c, int operand, int64_t want) {
    if (!has_in(c->node, operand)) return true;
    int64_t found = shape_count(in_shape(c->node, operand));
    return found == want ||
           infer_error(c, D_OPERAND_SHAPE, operand, "%" PRId64 " elements; wanted %" PRId64, found, want);
}

static bool check_blocks(Infer *c, const Blocks *b) {
    const int64_t most = (int64_t)1 << 30;
    if (b->bits != 2 && b->bits != 4 && b->bits != 8)
        return infer_error(c, D_ATTRIBUTE, -1, "bits is %" PRId64 "; wanted 2, 4 or 8", b->bits);
    if (b->size < 16 || b->size > most || (b->size & (b->size - 1)))
        return infer_error(c, D_ATTRIBUTE, -1, "block_size is %" PRId64 "; wanted a power of 2 of at least 16",
                           b->size);
    bool sane = b->k >= 1 && b->k <= most && b->n >= 1 && b->n <= most;
    if (sane && b->n * b->count * b->size > most) return infer_error(c, D_SIZE_LIMIT, W_B, "more than 2^30 weights");
    if (!sane)
        return infer_error(c, D_ATTRIBUTE, -1, "K and N are %" PRId64 " and %" PRId64 "; wanted 1 to 2^30", b->k, b->n);
    return true;
}

bool infer_MatMulNBits(Infer *c) {
    const Node *n = c->node;
    Blocks b = read_blocks(n);
    if (has_in(n, W_GROUPS)) return infer_error(c, D_UNSUPPORTED_FORM, W_GROUPS, "g_idx is not supported");
    if (!infer_rank_min(c, W_A, 1) || !check_blocks(c, &b)) return false;
    Shape y = *in_shape(n, W_A);
    if (last_dim(&y) != b.k)
        return infer_error(c, D_OPERAND_SHAPE, W_A, "rows of %" PRId64 "; wanted K, %" PRId64, last_dim(&y), b.k);
    y.dim[y.rank - 1] = b.n;
    bool packed = has_in(n, W_ZEROS) && in_elem(n, W_ZEROS) == QCC_U8;
    int64_t zeros = b.n * (packed ? packed_bytes(b.count, b.bits) : b.count);
    if (!check_count(c, W_B, b.n * b.count * (b.size * b.bits / 8)) || !check_count(c, W_SCALES, b.n * b.count) ||
        !check_count(c, W_ZEROS, zeros) || !check_count(c, W_BIAS, b.n) || !infer_finite(c, W_SCALES))
        return false;
    set_out(c, 0, 0, &y);
    return true;
}

static int code_at(const Tensor *t, int64_t row_bytes, int64_t row, int64_t i, int64_t bits) {
    int64_t byte = tensor_get_int(t, row * row_bytes + i * bits / 8);
    return (int)(byte >> (i * bits % 8)) & ((1 << bits) - 1);
}

/* The zero point of block (row, i); those that are no whole numbers stay outside. */
static int zero_at(const Node *n, const Blocks *b, int64_t row, int64_t i) {
    const Tensor *t = in_const(n, W_ZEROS);
    if (!t || t->type.elem != QCC_U8) return t ? 0 : 1 << (b->bits - 1);
    return code_at(t, packed_bytes(b->count, b->bits), row, i, b->bits);
}

/* Codes less their zero points, [N, blocks, size]. */
static Value *unpacked(Expand *e, const Blocks *b) {
    const Tensor *from = in_const(e->node, W_B);
    Tensor *t = tensor_new(e->graph->arena, (Type){QCC_I16, shape_of(3, (int64_t[]){b->n, b->count, b->size})});
    int16_t *to = tensor_data(t);
    for (int64_t row = 0; row < b->n; row++) {
        for (int64_t i = 0; i < b->count * b->size; i++) {
            int code = code_at(from, b->count * b->size * b->bits / 8, row, i, b->bits);
            *to++ = (int16_t)(code - zero_at(e->node, b, row, i / b->size));
        }
    }
    return expand_constant(e, t);
}

/* One number for each block, to go with [N, blocks, size]. */
static Value *per_block(Expand *e, int operand, const Blocks *b) {
    return expand_reshape(e, expand_cast(e, e->node->in[operand], QCC_F32),
                          &(Shape){.rank = 3, .dim = {b->n, b->count, 1}});
}

void expand_MatMulNBits(Expand *e) {
    const Node *n = e->node;
    Blocks b = read_blocks(n);
    Shape flat = shape_of(2, (int64_t[]){b.n, b.count * b.size});
    Value *w = expand_cast(e, unpacked(e, &b), QCC_F32);
    if (has_in(n, W_ZEROS) && in_elem(n, W_ZEROS) != QCC_U8) w = EXPAND(e, Sub, NULL, w, per_block(e, W_ZEROS, &b));
    w = expand_reshape(e, EXPAND(e, Mul, NULL, w, per_block(e, W_SCALES, &b)), &flat);
    w = expand_cast(e, expand_transpose(e, expand_slice(e, w, 1, 0, b.k), 2, (int[]){1, 0}), in_elem(n, W_A));
    Value *v = EXPAND(e, MatMul, NULL, n->in[W_A], w);
    if (has_in(n, W_BIAS)) v = EXPAND(e, Add, NULL, v, n->in[W_BIAS]);
    expand_result(e, 0, v);
}
