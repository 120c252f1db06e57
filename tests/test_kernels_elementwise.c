/* Every element-wise operator of the table, for every element type that its signature allows, compiled and held against
 * the evaluator bit for bit: all corners of the types, one operand broadcast, no vector filled. */
#include "tests/codegen_support.h"
#include "tests/kernel_case.h"
#include "tests/op_case.h"
#include "tests/support.h"

#include <string.h>

enum { MOST_NODES = 60 }; /* of one library */

static bool allows(const OpDef *def, char var, Elem e) { return var == '_' || def->types[var - 'A'] >> e & 1; }

/* The type of a variable where the first one is e: the same if it may be, else the first that it may be. */
static Elem type_of(const OpDef *def, char var, Elem e) {
    if (allows(def, var, e)) return e;
    for (Elem other = 0; other < QCC_ELEM_END; other++)
        if (elem_known(other) && allows(def, var, other)) return other;
    fail_msg("%s has a variable of no type", def->name);
    return 0;
}

/* The attributes that must be given. */
static const char *attributes(const char *name, int turn) {
    static const char *const casts[] = {"to=1", "to=11", "to=10", "to=16", "to=3",
                                        "to=2", "to=6",  "to=12", "to=7",  "to=9"};
    if (strcmp(name, "BitShift") == 0) return turn % 2 ? "direction=LEFT" : "direction=RIGHT";
    if (strcmp(name, "Cast") == 0) return casts[turn % (int)COUNT_OF(casts)];
    return NULL;
}

/* The kinds of a node that differ in code only. */
static const char *variant(const char *name, int turn) {
    if (strcmp(name, "Gelu") == 0 && turn % 2) return "approximate=tanh";
    if (strcmp(name, "IsInf") == 0 && turn % 2) return "detect_negative=0";
    return strcmp(name, "Mod") == 0 ? NULL : attributes(name, turn);
}

static Value *operand(KernelCase *c, Random *r, Elem e, int i) {
    Shape s = i == 1 ? DIMS(17) : DIMS(3, 17);
    return kernel_feed(c, random_tensor(&c->arena, r, (Type){e, s}, elem_info[e].bits < 8));
}

static void add_node(KernelCase *c, Random *r, OpId op, Elem e, int turn) {
    const OpDef *def = op_def(op);
    Value *in[4];
    int n = 0;
    for (; n < def->n_in; n++) in[n] = operand(c, r, n ? type_of(def, def->in[n].var, e) : e, n);
    if (strcmp(def->name, "Clip") == 0)
        for (int i = 1; i < 3; i++) in[i] = kernel_weight(c, e, SCALAR);
    /* The remainder of floats is fmod. */
    bool fmod = strcmp(def->name, "Mod") == 0 && elem_is_float(e);
    kernel_node_of(c, op, fmod ? "fmod=1" : variant(def->name, turn), 1, n, in);
}

/* Those that carry a program or tables (Map, Ladder) and those of operands of one width (BitCast) have tests of their
 * own. */
static bool is_tested(OpId op) {
    const OpDef *def = op_def(op);
    bool needs = op == OP_Map || op == OP_BitCast;
    for (int i = 0; i < def->n_attr; i++) needs = needs || (def->attr[i].required && !attributes(def->name, 0));
    return def->kind == OP_EXPR && !needs;
}

static void test_table(void **state) {
    (void)state;
    KernelCase *c = NULL;
    Random r = {41};
    int nodes = 0, turn = 0;
    for (OpId op = 1; op < OP_COUNT; op++) {
        if (!is_tested(op)) continue;
        for (Elem e = 0; e < QCC_ELEM_END; e++) {
            if (!elem_known(e) || !allows(op_def(op), op_def(op)->in[0].var, e)) continue;
            if (!c) c = kernel_case_new();
            add_node(c, &r, op, e, turn++);
            if (++nodes % MOST_NODES) continue;
            kernel_case_check(c);
            c = NULL;
        }
    }
    if (c) kernel_case_check(c);
    assert_true(nodes > 400);
}

/* Between all pairs of types, from values of any kind. */
static void test_casts(void **state) {
    (void)state;
    Random r = {42};
    KernelCase *c = NULL;
    int types = 0;
    for (Elem from = 0; from < QCC_ELEM_END; from++) {
        if (!elem_known(from)) continue;
        if (!c) c = kernel_case_new();
        Value *x = operand(c, &r, from, 0);
        for (Elem to = 0; to < QCC_ELEM_END; to++)
            if (elem_known(to) && to != from) kernel_node(c, OP_Cast, arena_printf(&c->arena, "to=%d", (int)to), 1, x);
        if (++types % 6) continue;
        kernel_case_check(c);
        c = NULL;
    }
    if (c) kernel_case_check(c);
}

/* An image whose few channels become the innermost dimension, with an operand for each channel and one for each column;
 * rows below, at and above the vector. */
static void test_few_channels(void **state) {
    (void)state;
    static const int64_t widths[] = {1, 3, 4, 5, 15, 16, 17, 31, 37};
    for (int64_t channels = 1; channels <= 5; channels++) {
        KernelCase *c = kernel_case_new();
        for (size_t i = 0; i < COUNT_OF(widths); i++) {
            Shape s = DIMS(2, channels, 3, widths[i]);
            Value *x = kernel_inner(c, OP_Transpose, "perm=0,2,3,1", kernel_input(c, QCC_F32, s));
            Value *y = kernel_inner(c, OP_Transpose, "perm=0,2,3,1", kernel_input(c, QCC_F32, s));
            kernel_node(c, OP_Cast, "to=2", 1, kernel_inner(c, OP_Abs, NULL, x));
            kernel_node(c, OP_Greater, NULL, 1, x, y);
            kernel_node(c, OP_Add, NULL, 1, x, kernel_input(c, QCC_F32, DIMS(channels)));
            kernel_node(c, OP_Mul, NULL, 1, kernel_input(c, QCC_F32, DIMS(widths[i], 1)), y);
            kernel_node(c, OP_Neg, NULL, 1, x);
        }
        kernel_case_check(c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_table), cmocka_unit_test(test_casts),
                                       cmocka_unit_test(test_few_channels)};
    return TEST_RUN(tests);
}
