/* Attention against its definition written as loops; position embeddings, gates and linear attention on numbers worked
 * out by hand. */
#include "tests/op_case.h"

#include "tests/support.h"

#include <math.h>

#define TEST(name) static void name(void **state)
#define OPEN                \
    OpCase *c = case_new(); \
    (void)state;            \
    c->tolerance = 1e-6

/* ---- Attention by its definition ---- */

typedef struct Form {
    int64_t batch, heads, kv_heads, queries, keys, past, size, v_size;
    bool causal, masked, flat; /* flat: operands of rank 3 */
    double scale, cap;         /* 0: the default, none */
} Form;

static const Tensor *waves(OpCase *c, Shape s, double speed) {
    Tensor *t = tensor_new(&c->arena, (Type){QCC_F32, s});
    for (int64_t i = 0; i < shape_count(&s); i++) tensor_set(t, i, sin(speed * (double)(i + 1)));
    return t;
}

/* Element (b, h, i, k) of an operand of `n` heads, `length` rows. */
static double part(const Tensor *t, bool flat, int64_t n, int64_t length, int64_t size, int64_t b, int64_t h, int64_t i,
                   int64_t k) {
    return tensor_get(t, flat ? ((b * length + i) * n + h) * size + k : ((b * n + h) * length + i) * size + k);
}

static double score(const Form *f, const Tensor *const *in, int64_t b, int64_t h, int64_t i, int64_t j) {
    int64_t group = f->heads / f->kv_heads, total = f->past + f->keys;
    double sum = 0, scale = f->scale != 0 ? f->scale : 1 / sqrt((double)f->size);
    for (int64_t k = 0; k < f->size; k++) {
        double q = part(in[0], f->flat, f->heads, f->queries, f->size, b, h, i, k);
        double key = j < f->past ? part(in[4], false, f->kv_heads, f->past, f->size, b, h / group, j, k)
                                 : part(in[1], f->flat, f->kv_heads, f->keys, f->size, b, h / group, j - f->past, k);
        sum += q * key;
    }
    sum *= scale;
    if (f->cap > 0) sum = f->cap * tanh(sum / f->cap);
    if (f->causal && j > i + f->past) return -INFINITY;
    return f->masked ? sum + tensor_get(in[3], i * total + j) : sum;
}

static double attended(const Form *f, const Tensor *const *in, int64_t b, int64_t h, int64_t i, int64_t k) {
    int64_t group = f->heads / f->kv_heads;
    double sum = 0, weights = 0;
    for (int64_t j = 0; j < f->past + f->keys; j++) {
        double v = j < f->past ? part(in[5], false, f->kv_heads, f->past, f->v_size, b, h / group, j, k)
                               : part(in[2], f->flat, f->kv_heads, f->keys, f->v_size, b, h / group, j - f->past, k);
        double w = exp(score(f, in, b, h, i, j));
        sum += w * v;
        weights += w;
    }
    return sum / weights;
}

static Shape operand_shape(const Form *f, int64_t heads, int64_t length, int64_t size) {
    if (f->flat) return shape_of(3, (int64_t[]){f->batch, length, heads * size});
    return shape_of(4, (int64_t[]){f->batch, heads, length, size});
}

static void add_operands(OpCase *c, const Form *f) {
    c->n_in = 0;
    case_in(c, waves(c, operand_shape(f, f->heads, f->queries, f->size), 0.7));
    case_in(c, waves(c, operand_shape(f, f->kv_heads, f->keys, f->size), 1.3));
    case_in(c, waves(c, operand_shape(f, f->kv_heads, f->keys, f->v_size), 2.1));
    if (f->masked)
        case_in(c, waves(c, DIMS(f->queries, f->past + f->keys), 3.3));
    else
        case_absent(c);
    if (!f->past) return;
    case_in(c, waves(c, DIMS(f->batch, f->kv_heads, f->past, f->size), 0.9));
    case_in(c, waves(c, DIMS(f->batch, f->kv_heads, f->past, f->v_size), 1.7));
}

static void check_form(OpCase *c, const Form *f) {
    add_operands(c, f);
    Text t = {.arena = &c->arena};
    text_add(&t, "is_causal=%d softcap=%g", f->causal, f->cap);
    if (f->scale != 0) text_add(&t, " scale=%g", f->scale);
    if (f->flat) text_add(&t, " q_num_heads=%d kv_num_heads=%d", (int)f->heads, (int)f->kv_heads);
    Shape s = operand_shape(f, f->heads, f->queries, f->v_size);
    Tensor *want = tensor_new(&c->arena, (Type){QCC_F32, s});
    int64_t at = 0;
    for (int64_t b = 0; b < f->batch; b++)
        for (int64_t h = 0; h < f->heads; h++)
            for (int64_t i = 0; i < f->queries; i++)
                for (int64_t k = 0; k < f->v_size; k++, at++) {
                    int64_t to = f->flat ? ((b * f->queries + i) * f->heads + h) * f->v_size + k : at;
                    tensor_set(want, to, attended(f, c->data, b, h, i, k));
                }
    case_gives(c, OP_Attention, t.s, want);
}

TEST(attention) {
    OPEN;
    static const Form forms[] = {
        {.batch = 1, .heads = 1, .kv_heads = 1, .queries = 1, .keys = 1, .size = 1, .v_size = 1},
        {.batch = 2, .heads = 3, .kv_heads = 3, .queries = 4, .keys = 5, .size = 8, .v_size = 6},
        {.batch = 2, .heads = 4, .kv_heads = 2, .queries = 3, .keys = 3, .size = 5, .v_size = 5, .causal = true},
        {.batch = 2, .heads = 4, .kv_heads = 1, .queries = 3, .keys = 4, .size = 4, .v_size = 2, .masked = true},
        {.batch = 2,
         .heads = 2,
         .kv_heads = 2,
         .queries = 2,
         .keys = 2,
         .past = 3,
         .size = 4,
         .v_size = 4,
         .causal = true},
        {.batch = 1,
         .heads = 2,
         .kv_heads = 1,
         .queries = 3,
         .keys = 3,
         .size = 4,
         .v_size = 4,
         .scale = 2,
         .cap = 1.5},
        {.batch = 2,
         .heads = 6,
         .kv_heads = 2,
         .queries = 3,
         .keys = 4,
         .size = 4,
         .v_size = 3,
         .masked = true,
         .flat = true},
        {.batch = 1,
         .heads = 2,
         .kv_heads = 2,
         .queries = 1,
         .keys = 1,
         .past = 6,
         .size = 4,
         .v_size = 4,
         .flat = true},
    };
    for (size_t i = 0; i < COUNT_OF(forms); i++) check_form(c, &forms[i]);
    case_free(c);
}

/* A query that may see nothing gives zeros; a mask of bool keeps what is true. */
TEST(attention_masks) {
    OPEN;
    case_in(c, F32(c, DIMS(1, 1, 2, 1), 0));
    case_in(c, F32(c, DIMS(1, 1, 3, 1), 1, 2, 3));
    case_in(c, F32(c, DIMS(1, 1, 3, 1), 1, 3, 5));
    case_in(c, TENSOR(c, QCC_BOOL, DIMS(2, 3), 1, 0, 1, 0, 0, 0));
    case_gives(c, OP_Attention, NULL, F32(c, DIMS(1, 1, 2, 1), 3, 0));
    c->n_in = 3;
    case_gives(c, OP_Attention, "left_window_size=0 right_window_size=0", F32(c, DIMS(1, 1, 2, 1), 1, 3));
    case_gives(c, OP_Attention, "right_window_size=1", F32(c, DIMS(1, 1, 2, 1), 2, 3));
    case_in(c, F32(c, DIMS(2, 2), 0, 0, 0, 0)); /* shorter than the keys: the rest is not seen */
    case_gives(c, OP_Attention, NULL, F32(c, DIMS(1, 1, 2, 1), 2, 2));
    case_free(c);
}

TEST(attention_outputs) {
    OPEN;
    case_in(c, F32(c, DIMS(1, 1, 1, 1), 2));
    case_in(c, F32(c, DIMS(1, 1, 1, 1), log(3) / 2));
    case_in(c, F32(c, DIMS(1, 1, 1, 1), 8));
    case_absent(c);
    case_in(c, F32(c, DIMS(1, 1, 1, 1), 0));
    case_in(c, F32(c, DIMS(1, 1, 1, 1), 4));
    c->n_out = 4;
    Node *n = case_node(c, OP_Attention, "qk_matmul_output_mode=3");
    case_output(c, n, 0, F32(c, DIMS(1, 1, 1, 1), 7));
    case_output(c, n, 1, F32(c, DIMS(1, 1, 2, 1), 0, log(3) / 2));
    case_output(c, n, 2, F32(c, DIMS(1, 1, 2, 1), 4, 8));
    case_output(c, n, 3, F32(c, DIMS(1, 1, 1, 2), 0.25, 0.75));
    case_output(c, case_node(c, OP_Attention, NULL), 3, F32(c, DIMS(1, 1, 1, 2), 0, log(3)));
    case_free(c);
}

TEST(attention_refusals) {
    OPEN;
    case_in(c, F32(c, DIMS(1, 2, 4), 0));
    case_in(c, F32(c, DIMS(1, 3, 4), 0));
    case_in(c, F32(c, DIMS(1, 3, 4), 0));
    case_refused(c, OP_Attention, NULL, D_ATTRIBUTE, "no q_num_heads");
    case_refused(c, OP_Attention, "q_num_heads=3 kv_num_heads=1", D_ATTRIBUTE, "q_num_heads is 3");
    case_refused(c, OP_Attention, "q_num_heads=2 kv_num_heads=4", D_OPERAND_SHAPE, "heads of 1 elements");
    case_refused(c, OP_Attention, "q_num_heads=2 kv_num_heads=2 softcap=-1", D_ATTRIBUTE, "softcap -1");
    case_in(c, F32(c, DIMS(5, 3), 0));
    case_refused(c, OP_Attention, "q_num_heads=2 kv_num_heads=2", D_OPERAND_SHAPE, "a mask of shape [5,3]");
    case_free(c);
}

/* ---- RotaryEmbedding: by a right angle (p, q) becomes (-q, p) ---- */

TEST(rotary) {
    OPEN;
    case_in(c, F32(c, DIMS(1, 1, 2, 4), 1, 2, 3, 4, 5, 6, 7, 8));
    case_in(c, F32(c, DIMS(1, 2, 2), 1, 0, 0, 0.6));
    case_in(c, F32(c, DIMS(1, 2, 2), 0, 1, 1, 0.8));
    case_gives(c, OP_RotaryEmbedding, NULL,
               F32(c, DIMS(1, 1, 2, 4), 1, -4, 3, 2, -7, 0.6 * 6 - 0.8 * 8, 5, 0.8 * 6 + 0.6 * 8));
    case_gives(c, OP_RotaryEmbedding, "interleaved=1",
               F32(c, DIMS(1, 1, 2, 4), 1, 2, -4, 3, -6, 5, 0.6 * 7 - 0.8 * 8, 0.8 * 7 + 0.6 * 8));
    case_free(c);
}

/* Positions choose rows of the tables; two heads of four, half of which are turned. */
TEST(rotary_by_position) {
    OPEN;
    case_in(c, F32(c, DIMS(1, 2, 8), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16));
    case_in(c, F32(c, DIMS(3, 1), 1, 7, 0));
    case_in(c, F32(c, DIMS(3, 1), 0, 7, 1));
    case_in(c, I64(c, DIMS(1, 2), 2, 0));
    case_gives(c, OP_RotaryEmbedding, "num_heads=2 rotary_embedding_dim=2",
               F32(c, DIMS(1, 2, 8), -2, 1, 3, 4, -6, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16));
    case_refused(c, OP_RotaryEmbedding, "rotary_embedding_dim=2", D_ATTRIBUTE, "wants a divisor of 8");
    case_refused(c, OP_RotaryEmbedding, "num_heads=2 rotary_embedding_dim=3", D_ATTRIBUTE, "3 elements to turn");
    case_refused(c, OP_RotaryEmbedding, "num_heads=2", D_OPERAND_SHAPE, "shape [3,1]; wanted rows of 2");
    case_free(c);
}

/* ---- the others ---- */

TEST(swiglu) {
    OPEN;
    case_in(c, F32(c, DIMS(3), 0, log(3), -log(3)));
    case_in(c, F32(c, DIMS(3), 5, 4, 4));
    case_gives(c, OP_SwiGLU, NULL, F32(c, DIMS(3), 0, 3 * log(3), -log(3)));
    case_gives(c, OP_SwiGLU, "alpha=2", F32(c, DIMS(3), 0, 3.6 * log(3), -0.4 * log(3)));
    c->n_in = 1;
    case_in(c, F32(c, DIMS(2), 1));
    case_refused(c, OP_SwiGLU, NULL, D_OPERAND_SHAPE, "shape [2]; wanted that of the gate, [3]");
    case_free(c);
}

static void linear(OpCase *c, const Tensor *q, const Tensor *k, const Tensor *v, const Tensor *past) {
    c->n_in = 0;
    case_in(c, q);
    case_in(c, k);
    case_in(c, v);
    if (past)
        case_in(c, past);
    else
        case_absent(c);
}

/* A state of one number, three steps: state += key * value; out = query * state. */
TEST(linear_attention) {
    OPEN;
    const Tensor *q = F32(c, DIMS(1, 3, 1), 1, 10, 100), *k = F32(c, DIMS(1, 3, 1), 1, 2, -1),
                 *v = F32(c, DIMS(1, 3, 1), 3, 4, 5);
    c->n_out = 2;
    linear(c, q, k, v, NULL);
    Node *n = case_node(c, OP_LinearAttention, "q_num_heads=1 kv_num_heads=1 update_rule=linear");
    case_output(c, n, 0, F32(c, DIMS(1, 3, 1), 3, 110, 600));
    case_output(c, n, 1, F32(c, DIMS(1, 1, 1, 1), 6));
    linear(c, q, k, v, F32(c, DIMS(1, 1, 1, 1), 1));
    n = case_node(c, OP_LinearAttention, "q_num_heads=1 kv_num_heads=1 update_rule=linear scale=2");
    case_output(c, n, 0, F32(c, DIMS(1, 3, 1), 8, 240, 1400));
    /* Gated: the state is multiplied by exp(decay) first. */
    case_in(c, F32(c, DIMS(1, 3, 1), 0, log(2), log(0.5)));
    n = case_node(c, OP_LinearAttention, "q_num_heads=1 kv_num_heads=1 update_rule=gated");
    case_output(c, n, 0, F32(c, DIMS(1, 3, 1), 4, 160, 300));
    /* And delta: what is written is rate * (value - key * state). */
    case_in(c, F32(c, DIMS(1, 3, 1), 1, 0.5, 1));
    n = case_node(c, OP_LinearAttention, "q_num_heads=1 kv_num_heads=1");
    case_output(c, n, 1, F32(c, DIMS(1, 1, 1, 1), -5));
    case_output(c, n, 0, F32(c, DIMS(1, 3, 1), 3, -20, -500));
    case_refused(c, OP_LinearAttention, "q_num_heads=1 kv_num_heads=1 update_rule=linear", D_ARITY,
                 "no decay and no beta");
    case_refused(c, OP_LinearAttention, "q_num_heads=1 kv_num_heads=1 update_rule=new", D_ATTRIBUTE,
                 "update_rule 'new'");
    case_refused(c, OP_LinearAttention, "q_num_heads=3 kv_num_heads=2", D_ATTRIBUTE, "do not fit the operands");
    case_free(c);
}

TEST(causal_convolution) {
    OPEN;
    case_in(c, F32(c, DIMS(1, 2, 3), 1, 2, 3, 10, 20, 30));
    case_in(c, F32(c, DIMS(2, 1, 2), 1, 100, 2, 1));
    c->n_out = 2;
    Node *n = case_node(c, OP_CausalConvWithState, NULL);
    case_output(c, n, 0, F32(c, DIMS(1, 2, 3), 100, 201, 302, 10, 40, 70));
    case_output(c, n, 1, F32(c, DIMS(1, 2, 1), 3, 30));
    case_in(c, F32(c, DIMS(2), -107, 0));
    case_in(c, F32(c, DIMS(1, 2, 1), 7, 5));
    n = case_node(c, OP_CausalConvWithState, "activation=silu");
    case_output(c, n, 0, F32(c, DIMS(1, 2, 3), 0, 94, 195, 20 / (1 + exp(-20)), 40, 70));
    case_refused(c, OP_CausalConvWithState, "activation=relu", D_ATTRIBUTE, "activation 'relu'");
    c->n_in = 1;
    case_in(c, F32(c, DIMS(2, 2, 2), 0));
    case_refused(c, OP_CausalConvWithState, NULL, D_OPERAND_SHAPE, "weights of shape [2,2,2]; wanted [2,1,k]");
    case_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention),
        cmocka_unit_test(attention_masks),
        cmocka_unit_test(attention_outputs),
        cmocka_unit_test(attention_refusals),
        cmocka_unit_test(rotary),
        cmocka_unit_test(rotary_by_position),
        cmocka_unit_test(swiglu),
        cmocka_unit_test(linear_attention),
        cmocka_unit_test(causal_convolution),
    };
    return TEST_RUN(tests);
}
