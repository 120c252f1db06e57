/* The descriptor NAME_qcc_model with its tables, as runtime/include/qcc/qcc.h describes them: what tools read. */
#include "codegen/program.h"
#include "ir/op.h"
#include "quant/alphabet.h"
#include "quant/range.h"

#include <llvm-c/Core.h>
#include <math.h>
#include <string.h>

/* ---- constant data ------------------------------------------------------------------------------------------- */

static Reg hidden_data(Program *p, Reg value) {
    Reg g = LLVMAddGlobal(p->em->module, LLVMTypeOf(value), arena_printf(p->arena, "%s_data", p->options->name));
    LLVMSetInitializer(g, value);
    LLVMSetGlobalConstant(g, true);
    LLVMSetLinkage(g, LLVMPrivateLinkage);
    LLVMSetUnnamedAddress(g, LLVMGlobalUnnamedAddr);
    return g;
}

static Reg null_pointer(Program *p) { return LLVMConstNull(p->em->ptr); }

static Reg text_of(Program *p, const char *s) {
    if (!s) s = "";
    return hidden_data(p, LLVMConstStringInContext2(p->em->ctx, s, strlen(s), false));
}

static Reg u32(Program *p, uint64_t v) { return LLVMConstInt(p->em->i32, v, false); }
static Reg u64(Program *p, uint64_t v) { return LLVMConstInt(p->em->i64, v, false); }

static Reg i64_array(Program *p, int n, const int64_t *v) {
    if (n == 0) return null_pointer(p);
    Reg *all = NEW_ARRAY(p->arena, Reg, n);
    for (int i = 0; i < n; i++) all[i] = em_i64(p->em, v[i]);
    return hidden_data(p, LLVMConstArray2(p->em->i64, all, (uint64_t)n));
}

static Reg record(Program *p, int n, Reg *fields) {
    return LLVMConstStructInContext(p->em->ctx, fields, (unsigned)n, false);
}
#define RECORD(p, ...) record(p, (int)COUNT_OF(((Reg[]){__VA_ARGS__})), (Reg[]){__VA_ARGS__})

static Reg table(Program *p, size_t n, Reg *rows) {
    return n ? hidden_data(p, LLVMConstArray2(LLVMTypeOf(rows[0]), rows, n)) : null_pointer(p);
}

/* ---- codes ------------------------------------------------------------------------------------------------------ */

static bool of_planes(const Node *n) { return n->op == OP_QXorConv || n->op == OP_QXorMatMul; }

/* The bits that number n different values. */
static int bits_of_count(double n) { return n > 1 ? (int)ceil(log2(n)) : 0; }

/* Width of the values of v, as far as is proved: at most that of its elements. */
static int code_bits(Ranges *r, const Value *v) {
    Alphabet a;
    Range range;
    int whole = 8 * elem_bytes(v->type.elem);
    if (elem_is_float(v->type.elem)) return whole;
    if (v->constant && alphabet_of(v->constant, &a)) return a.bits;
    if (!range_of(r, v, &range)) return whole;
    return (int)i64_min(whole, bits_of_count((double)((range.hi - range.lo) / range.step) + 1));
}

static const char *code_text(Ranges *r, const Value *v) {
    Alphabet a;
    Range range;
    if (elem_is_float(v->type.elem)) return "";
    if (v->constant && alphabet_of(v->constant, &a)) return alphabet_str(r->arena, &a);
    if (!range_of(r, v, &range)) return "";
    return arena_printf(r->arena, "%lld..%lld", (long long)range.lo, (long long)range.hi);
}

/* Operands 0 and 1 of a product of bit-planes hold one plane of 32 codes in a word. */
static int operand_bits(Ranges *r, const Node *n, int i) {
    bool conv = n->op == OP_QXorConv;
    if (!of_planes(n) || i > 1) return code_bits(r, n->in[i]);
    return (int)node_int(n, i == 0 ? conv ? "x_planes" : "a_planes" : conv ? "w_planes" : "b_planes");
}

static const char *operand_code(Ranges *r, const Node *n, int i) {
    return of_planes(n) && i <= 1 ? "32 in a word" : code_text(r, n->in[i]);
}

static int64_t constant_elements(const Node *n, int i) {
    int64_t words = shape_count(in_shape(n, i));
    if (!of_planes(n) || i > 1) return words;
    return words * 32 / node_int(n, n->op == OP_QXorConv ? "w_planes" : "b_planes");
}

/* Of integer products, the product of both operands' widths, each at least 1; else 0. */
static int product_bits(Ranges *r, const Node *n) {
    bool integers = n->op == OP_QConv || n->op == OP_QConvTranspose || n->op == OP_QMatMul || of_planes(n);
    if (!integers) return 0;
    int x = operand_bits(r, n, 0), w = operand_bits(r, n, 1);
    return (x ? x : 1) * (w ? w : 1);
}

/* ---- the descriptor ------------------------------------------------------------------------------------------ */

static Reg port_table(Program *p, const GraphPort *ports, size_t n) {
    Reg *rows = NEW_ARRAY(p->arena, Reg, n);
    for (size_t i = 0; i < n; i++) {
        const Type *t = &ports[i].value->type;
        rows[i] = RECORD(p, text_of(p, ports[i].name), u32(p, t->elem), u32(p, (uint64_t)t->shape.rank),
                         i64_array(p, t->shape.rank, t->shape.dim), u64(p, (uint64_t)type_bytes(t)));
    }
    return table(p, n, rows);
}

/* What a copy that layout put in is a copy of. */
static const Value *original(const Program *p, const Value *v) {
    while (v->def && map_get_ptr(&p->copies, v->def)) v = v->def->in[0];
    return v;
}

/* v as it lies in s. */
static Reg slot_row(Program *p, Ranges *r, const Value *v, const Storage *s, const Bits *b) {
    static const qcc_space spaces[] = {QCC_SPACE_INPUT, QCC_SPACE_OUTPUT, QCC_SPACE_WORK, QCC_SPACE_WORK};
    int rank = v->type.shape.rank;
    int64_t offset = s->offset + (s->buffer->space == SPACE_WORK ? s->buffer->offset : 0);
    return RECORD(p, text_of(p, v->name), u32(p, v->type.elem), u32(p, (uint64_t)rank),
                  i64_array(p, rank, v->type.shape.dim), i64_array(p, rank, s->stride),
                  u32(p, spaces[s->buffer->space]), u32(p, (uint64_t)s->buffer->port), u64(p, (uint64_t)offset),
                  u32(p, (uint64_t)v->id), u32(p, (uint64_t)code_bits(r, v)), text_of(p, code_text(r, v)),
                  u32(p, (uint64_t)b->planes), u32(p, (uint64_t)b->axis), u64(p, (uint64_t)b->low),
                  u64(p, (uint64_t)b->step));
}

/* Of a QPack, which makes bit-planes of its operand, the slot is the operand. */
static Reg slot_table(Program *p, Ranges *r, const Step *s, uint32_t *count) {
    const Node *n = s->node;
    Reg *rows = NEW_ARRAY(p->arena, Reg, n->n_out);
    *count = 0;
    for (int i = 0; i < n->n_out; i++) {
        if (!n->out[i]) continue;
        Bits bits = n->op == OP_QPack ? bits_of_node(n) : i == 0 ? s->bits : (Bits){0};
        const Value *v = original(p, n->op == OP_QPack ? n->in[0] : n->out[i]);
        rows[(*count)++] = slot_row(p, r, v, storage_of(p, n->out[i]), &bits);
    }
    return table(p, *count, rows);
}

const char *step_node_name(const Step *s) {
    const Loc *l = &s->node->loc;
    return l->node && *l->node ? l->node : l->op && *l->op ? l->op : op_def(s->node->op)->name;
}

int64_t step_bytes(const Step *s) {
    int64_t sum = 0;
    for (int i = 0; i < s->node->n_in; i++)
        if (s->node->in[i] && !s->plan.in[i].packed) sum += type_bytes(&s->node->in[i]->type);
    for (int i = 0; i < s->node->n_out; i++)
        if (s->node->out[i]) sum += type_bytes(&(i == 0 && s->planes ? s->planes : s->node)->out[i]->type);
    for (size_t i = 0; i < s->plan.packs.n; i++) sum += s->plan.packs.at[i].bytes;
    return sum;
}

/* Bytes of operand i in the file, and as NAME_prepare writes it out. */
static void constant_bytes(const Program *p, const Step *s, int i, int64_t *stored, int64_t *prepared) {
    const Storage *raw = s->plan.in[i].packed ? NULL : storage_of(p, s->node->in[i]);
    *stored = raw ? raw->buffer->bytes : 0;
    *prepared = 0;
    for (size_t k = 0; k < s->plan.packs.n; k++) {
        if (s->plan.packs.at[k].value != s->node->in[i]) continue;
        *stored += s->packs[k]->bytes;
        *prepared += s->packs[k]->prep_bytes;
    }
}

static Reg constant_table(Program *p, Ranges *r, const Step *s, uint32_t *count) {
    const Node *n = s->node;
    Reg *rows = NEW_ARRAY(p->arena, Reg, n->n_in);
    *count = 0;
    for (int i = 0; i < n->n_in; i++) {
        int64_t stored, prepared;
        const Value *v = n->in[i];
        if (!v || !v->constant) continue;
        constant_bytes(p, s, i, &stored, &prepared);
        if (stored == 0) continue;
        rows[(*count)++] =
            RECORD(p, text_of(p, v->name), u64(p, (uint64_t)constant_elements(n, i)), u32(p, v->type.elem),
                   u32(p, (uint64_t)operand_bits(r, n, i)), text_of(p, operand_code(r, n, i)), u64(p, (uint64_t)stored),
                   u64(p, (uint64_t)prepared));
    }
    return table(p, *count, rows);
}

static Reg step_row(Program *p, Ranges *r, const Step *s) {
    uint32_t n_slots, n_constants;
    Reg names[] = {text_of(p, step_node_name(s)), null_pointer(p)};
    Reg slots = slot_table(p, r, s, &n_slots), constants = constant_table(p, r, s, &n_constants);
    int width = product_bits(r, s->node);
    return RECORD(p, text_of(p, s->name), table(p, 2, names), s->fn, u64(p, (uint64_t)s->plan.n_tasks),
                  u64(p, (uint64_t)s->plan.macs), u64(p, (uint64_t)(s->plan.macs * width)),
                  u64(p, (uint64_t)step_bytes(s)), slots, constants, u32(p, n_slots), u32(p, n_constants));
}

static Reg step_table(Program *p) {
    if (!p->options->steps) return null_pointer(p);
    Reg *rows = NEW_ARRAY(p->arena, Reg, p->steps.n);
    Ranges ranges = {.arena = p->arena};
    for (size_t i = 0; i < p->steps.n; i++) rows[i] = step_row(p, &ranges, p->steps.at[i]);
    return table(p, p->steps.n, rows);
}

void descriptor_emit(Program *p, Reg prepare, Reg run) {
    const CodegenOptions *o = p->options;
    const Graph *g = p->graph;
    Reg model =
        RECORD(p, u32(p, QCC_ABI_VERSION), u32(p, p->fallback ? QCC_MODEL_FALLBACK : 0), text_of(p, o->name),
               text_of(p, QCC_VERSION), text_of(p, g->sha256), text_of(p, o->options),
               text_of(p, arena_printf(p->arena, "%s %s", p->target->triple, p->target->cpu)), u32(p, g->inputs.n),
               u32(p, g->outputs.n), u32(p, o->steps ? p->steps.n : 0), u32(p, (uint64_t)o->max_batch),
               port_table(p, g->inputs.at, g->inputs.n), port_table(p, g->outputs.at, g->outputs.n), step_table(p),
               u64(p, (uint64_t)p->weight_bytes), u64(p, (uint64_t)p->prep_bytes), u64(p, (uint64_t)p->work_bytes),
               u64(p, (uint64_t)p->scratch_bytes), prepare, run);
    Reg symbol = LLVMAddGlobal(p->em->module, LLVMTypeOf(model), arena_printf(p->arena, "%s_qcc_model", o->name));
    LLVMSetInitializer(symbol, model);
    LLVMSetGlobalConstant(symbol, true);
}
