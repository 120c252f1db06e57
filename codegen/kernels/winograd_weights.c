/* Weights of the Winograd kernel, u = G w G':
 *
 *     floats:    [panel][16][c][channels of the panel]                               f32
 *     integers:  [panel][16]{ starts [channels] i32, [c / 4][channels][4] s8 }        2 G in place of G
 *
 * The file holds the weights themselves, 9/16 of that or less, and NAME_prepare transforms them:
 *
 *     floats:    [panel][9][c][channels of the panel]
 *     integers:  [panel][c / 4][9][channels of the panel][4], in as many bits as they have (codegen/crush.h)
 */
#include "codegen/crush.h"
#include "codegen/kernels/winograd.h"

#include <string.h>

/* ---- floats ---------------------------------------------------------------------------------------------------- */

typedef struct WeightPack {
    const Tensor *tensor;
    int64_t ins, outs;
    int nr, lanes;
} WeightPack;

static const double g_matrix[IN][TAP] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};

/* What is computed of weights, in the library as in the compiler: in doubles, where these products are exact, term
 * after term, and rounded once. */
static double coefficient(int point, int tap) {
    return g_matrix[point / IN][tap / TAP] * g_matrix[point % IN][tap % TAP];
}

static float transform_weights(const float w[TAPS], int point) {
    double u = 0;
    for (int i = 0; i < TAPS; i++)
        if (coefficient(point, i) != 0) u += coefficient(point, i) * (double)w[i];
    return (float)u;
}

/* Panels of `n` numbers for each pair of channels: the taps, or the points made of them. */
static void fill_panels(const WeightPack *p, int n, float *to) {
    const float *data = p->tensor->data;
    int64_t panel = (int64_t)p->nr * p->lanes;
    for (int64_t c = 0; c < p->outs; c += panel) {
        int64_t some = i64_min(panel, p->outs - c), width = round_up(some, p->lanes);
        for (int64_t j = 0; j < some; j++)
            for (int64_t i = 0; i < p->ins; i++) {
                float w[TAPS];
                for (int k = 0; k < TAPS; k++) w[k] = data[p->tensor->splat ? 0 : ((c + j) * p->ins + i) * TAPS + k];
                for (int k = 0; k < n; k++)
                    to[(k * p->ins + i) * width + j] = n == TAPS ? w[k] : transform_weights(w, k);
            }
        to += n * p->ins * width;
    }
}

static void points_fill(void *ctx, uint8_t *dst) { fill_panels(ctx, POINTS, (float *)(void *)dst); }
static void taps_fill(void *ctx, uint8_t *dst) { fill_panels(ctx, TAPS, (float *)(void *)dst); }

/* A vector of floats at each of n places. */
static void transform_taps(Emit *e, int lanes, Reg dst, Reg src, Reg n) {
    RegType wide = em_vec(e, e->f64, lanes), narrow = em_vec(e, e->f32, lanes);
    const int64_t four[] = {4, 4};
    Loop l = em_loop_reg(e, em_i64(e, 0), n, lanes, 0, NULL);
    Reg w[TAPS];
    for (int i = 0; i < TAPS; i++) {
        Index at[] = {index_reg(l.i), index_reg(em_mul(e, n, em_i64(e, i)))};
        w[i] = em_float_resize(e, em_load(e, narrow, em_address(e, src, 2, at, four), lanes * 4), wide);
    }
    for (int k = 0; k < POINTS; k++) {
        Reg u = em_zero(e, wide);
        for (int i = 0; i < TAPS; i++) {
            double by = coefficient(k, i);
            if (by != 0) u = em_add(e, u, em_mul(e, w[i], em_float(e, wide, by)));
        }
        Index at[] = {index_reg(l.i), index_reg(em_mul(e, n, em_i64(e, k)))};
        em_store(e, em_float_resize(e, u, narrow), em_address(e, dst, 2, at, four), lanes * 4);
    }
    em_loop_end(e, &l);
}

/* `panels` of n places each, in a function of its own. */
static void emit_taps(Emit *e, int lanes, Reg dst, Reg src, int64_t panels, int64_t n) {
    RegType args[] = {e->ptr, e->ptr, e->i64, e->i64};
    Function f = em_function(e, arena_printf(e->arena, "winograd weights %d", lanes), 4, args);
    if (!f.exists) {
        Loop l = em_loop_reg(e, em_i64(e, 0), f.arg[2], 1, 0, NULL);
        Index at = index_reg(em_mul(e, l.i, f.arg[3]));
        transform_taps(e, lanes, em_address(e, f.arg[0], 1, &at, (int64_t[]){POINTS * 4}),
                       em_address(e, f.arg[1], 1, &at, (int64_t[]){TAPS * 4}), f.arg[3]);
        em_loop_end(e, &l);
        em_function_end(e, &f);
    }
    em_call(e, &f, 4, (Reg[]){dst, src, em_i64(e, panels), em_i64(e, n)});
}

static void emit_points(void *ctx, Emit *e, Reg dst, Reg src) {
    const WeightPack *p = ctx;
    int64_t panel = (int64_t)p->nr * p->lanes, whole = p->outs / panel, rest = p->outs % panel;
    if (whole) emit_taps(e, p->lanes, dst, src, whole, p->ins * panel);
    int64_t done = whole * p->ins * panel * 4;
    if (rest)
        emit_taps(e, p->lanes, em_at(e, dst, done * POINTS), em_at(e, src, done * TAPS), 1,
                  p->ins * round_up(rest, p->lanes));
}

static int plan_floats(KernelPlan *p, const Winograd *g) {
    const Value *v = p->node->in[1];
    WeightPack pack = {v->constant, g->ins, g->outs, g->nr, g->lanes};
    const char *key = arena_printf(p->arena, "winograd 2x2 %dx%d", g->nr, g->lanes);
    int64_t numbers = g->ins * round_up(g->outs, g->lanes);
    void *ctx = arena_copy(p->arena, &pack, sizeof pack);
    PackForm form = {numbers * TAPS * 4, taps_fill, emit_points, ctx};
    int i = plan_pack(p, v, key, numbers * POINTS * 4, points_fill, ctx);
    p->packs.at[i].form = arena_copy(p->arena, &form, sizeof form);
    return i;
}

/* ---- integers -------------------------------------------------------------------------------------------------- */

static const int8_t g2_matrix[IN][TAP] = {{2, 0, 0}, {1, 1, 1}, {1, -1, 1}, {0, 0, 2}};
static int transform_codes(const int w[TAPS], int point) {
    int u = 0;
    for (int i = 0; i < TAPS; i++) u += g2_matrix[point / IN][i / TAP] * g2_matrix[point % IN][i % TAP] * w[i];
    return u;
}

/* The taps of a pair of channels. */
static void read_taps(const Tensor *t, int64_t pair, int w[TAPS]) {
    for (int k = 0; k < TAPS; k++) w[k] = (int)tensor_get_int(t, t->splat ? 0 : pair * TAPS + k);
}

int64_t winograd_reach(const Tensor *t, int64_t pairs) {
    int64_t most = 0;
    for (int64_t i = 0; i < pairs && most <= INT8_MAX; i++) {
        int w[TAPS];
        read_taps(t, i, w);
        for (int k = 0; k < TAPS; k++)
            if (w[k] < INT8_MIN || w[k] > INT8_MAX) return INT8_MAX + 1;
        for (int p = 0; p < POINTS; p++) {
            int u = transform_codes(w, p);
            most = i64_max(most, u < 0 ? -u : u);
        }
    }
    return most;
}

typedef struct CodePack {
    WeightPack w;
    int64_t cells;
    uint8_t offset[POINTS];
    Crush *taps; /* what the file holds */
} CodePack;

typedef struct CodePanel {
    int64_t from, n, width; /* channels; with those that fill the last vector */
} CodePanel;

static CodePanel panel_at(const WeightPack *p, int64_t from) {
    int64_t n = i64_min((int64_t)p->nr * p->lanes, p->outs - from);
    return (CodePanel){from, n, round_up(n, p->lanes)};
}

static void fill_tap_panel(const CodePack *p, const CodePanel *c, int8_t *to) {
    for (int64_t j = 0; j < c->n; j++)
        for (int64_t i = 0; i < p->w.ins; i++) {
            int w[TAPS];
            read_taps(p->w.tensor, (c->from + j) * p->w.ins + i, w);
            for (int k = 0; k < TAPS; k++) to[((i / 4 * TAPS + k) * c->width + j) * 4 + i % 4] = (int8_t)w[k];
        }
}

static void code_taps_fill(void *ctx, uint8_t *dst) {
    const CodePack *p = ctx;
    for (int64_t c = 0; c < p->w.outs;) {
        CodePanel panel = panel_at(&p->w, c);
        fill_tap_panel(p, &panel, (int8_t *)dst);
        dst += p->cells * TAPS * panel.width * 4;
        c += panel.n;
    }
}

static void fill_point_panel(const CodePack *p, const CodePanel *c, uint8_t *to) {
    int64_t point_bytes = (1 + p->cells) * c->width * 4;
    for (int64_t j = 0; j < c->n; j++) {
        int32_t start[POINTS] = {0};
        for (int64_t i = 0; i < p->w.ins; i++) {
            int w[TAPS];
            read_taps(p->w.tensor, (c->from + j) * p->w.ins + i, w);
            for (int k = 0; k < POINTS; k++) {
                int u = transform_codes(w, k);
                start[k] -= p->offset[k] * u;
                to[k * point_bytes + ((1 + i / 4) * c->width + j) * 4 + i % 4] = (uint8_t)u;
            }
        }
        for (int k = 0; k < POINTS; k++) memcpy(to + k * point_bytes + j * 4, &start[k], sizeof start[k]);
    }
}

static void code_points_fill(void *ctx, uint8_t *dst) {
    const CodePack *p = ctx;
    for (int64_t c = 0; c < p->w.outs;) {
        CodePanel panel = panel_at(&p->w, c);
        fill_point_panel(p, &panel, dst);
        dst += POINTS * (1 + p->cells) * panel.width * 4;
        c += panel.n;
    }
}

/* Cell `cell` of all points of a panel of nr vectors, from its taps at src: rows of bytes, [9][nr * lanes * 4]. Sums in
 * eight bits, for the results are s8. */
static void transform_cell(const CodePack *p, Emit *e, int nr, Reg dst, Reg src, Reg cell) {
    int bytes = p->w.lanes * 4;
    int64_t width = (int64_t)nr * bytes, point = (1 + p->cells) * width;
    Reg to = reg_advance(e, em_at(e, dst, width), cell, width);
    for (int r = 0; r < nr; r++) {
        Reg w[TAPS], u[POINTS];
        for (int k = 0; k < TAPS; k++)
            w[k] = em_load(e, em_vec(e, e->i8, bytes), em_at(e, src, k * width + r * bytes), 1);
        winograd_transform(e, g2_matrix[0], IN, TAP, w, u);
        for (int k = 0; k < POINTS; k++) em_store(e, u[k], em_at(e, to, k * point + r * bytes), bytes);
    }
}

/* The starts of all points of a panel: offsets are a cell of A for every cell of u. */
static void sum_starts(const CodePack *p, Emit *e, int nr, Reg dst) {
    int64_t row = (int64_t)p->w.lanes * 4, width = nr * row, point = (1 + p->cells) * width;
    RegType sums = em_vec(e, e->i32, p->w.lanes);
    uint8_t cell[POINTS][CELL_BYTES];
    for (int k = 0; k < POINTS; k++) memset(cell[k], p->offset[k], CELL_BYTES);
    Reg offsets = em_data(e, cell, sizeof cell, CELL_BYTES);
    Loop points = em_loop(e, 0, POINTS, 1, 0, NULL), vectors = em_loop(e, 0, nr, 1, 0, NULL);
    Reg offset = em_splat(e, em_load(e, e->i32, reg_advance(e, offsets, points.i, CELL_BYTES), CELL_BYTES), p->w.lanes);
    Reg to = reg_advance(e, reg_advance(e, dst, points.i, point), vectors.i, row), sum = em_zero(e, sums);
    Loop cells = em_loop(e, 0, p->cells, 1, 1, &sum);
    Reg u = em_load(e, sums, reg_advance(e, em_at(e, to, width), cells.i, width), (int)row);
    sum = core_add(e, CORE_DOT8, offset, u, sum);
    em_loop_end(e, &cells);
    em_store(e, em_neg(e, sum), to, (int)row);
    em_loop_end(e, &vectors);
    em_loop_end(e, &points);
}

/* void f(dst, table, codes, n): n panels of nr vectors. */
static Function panel_function(const CodePack *p, Emit *e, int nr) {
    int bits = crush_bits(p->taps);
    Text key = {.arena = e->arena};
    text_add(&key, "winograd codes %d %dx%d %lld", bits, nr, p->w.lanes, (long long)p->cells);
    for (int k = 0; k < POINTS; k++) text_add(&key, " %d", p->offset[k]);
    Function f = em_function(e, key.s, 4, (RegType[]){e->ptr, e->ptr, e->ptr, e->i64});
    if (f.exists) return f;
    int64_t width = (int64_t)nr * p->w.lanes * 4, groups = TAPS * width / CRUSH_GROUP;
    Reg taps = em_local(e, TAPS * width + QCC_ALIGN, QCC_ALIGN);
    Loop panels = em_loop_reg(e, em_i64(e, 0), f.arg[3], 1, 0, NULL);
    Reg dst = reg_advance(e, f.arg[0], panels.i, POINTS * (1 + p->cells) * width);
    Reg codes = reg_advance(e, f.arg[2], panels.i, p->cells * groups * bits);
    Loop cells = em_loop(e, 0, p->cells, 1, 0, NULL);
    crush_expand(e, bits, 1, taps, f.arg[1], reg_advance(e, codes, cells.i, groups * bits), groups);
    transform_cell(p, e, nr, dst, taps, cells.i);
    em_loop_end(e, &cells);
    sum_starts(p, e, nr, dst);
    em_loop_end(e, &panels);
    em_function_end(e, &f);
    return f;
}

static void emit_code_panels(const CodePack *p, Emit *e, int nr, Reg dst, Reg table, Reg codes, int64_t n) {
    Function f = panel_function(p, e, nr);
    em_call(e, &f, 4, (Reg[]){dst, table, codes, em_i64(e, n)});
}

static void emit_code_points(void *ctx, Emit *e, Reg dst, Reg src) {
    const CodePack *p = ctx;
    int64_t whole = p->w.outs / ((int64_t)p->w.nr * p->w.lanes);
    int64_t vectors = ceil_div(p->w.outs, p->w.lanes), done = whole * p->w.nr * p->w.lanes * 4;
    Reg codes = em_at(e, src, crush_table(p->taps));
    if (whole) emit_code_panels(p, e, p->w.nr, dst, src, codes, whole);
    if (vectors == whole * p->w.nr) return;
    emit_code_panels(p, e, (int)(vectors - whole * p->w.nr), em_at(e, dst, POINTS * (1 + p->cells) * done), src,
                     em_at(e, codes, p->cells * TAPS * done / CRUSH_GROUP * crush_bits(p->taps)), 1);
}

static void code_form_fill(void *ctx, uint8_t *dst) {
    const CodePack *p = ctx;
    crush_fill(p->taps, dst);
}

static int plan_codes(KernelPlan *p, const Winograd *g) {
    const Value *v = p->node->in[1];
    CodePack *pack = NEW(p->arena, CodePack);
    *pack = (CodePack){.w = {v->constant, g->ins, g->outs, g->nr, g->lanes}, .cells = g->cells};
    memcpy(pack->offset, g->offset, sizeof pack->offset);
    Text key = {.arena = p->arena};
    text_add(&key, "winograd 2x2 u8 %dx%d", g->nr, g->lanes);
    for (int k = 0; k < POINTS; k++) text_add(&key, " %d", g->offset[k]);
    int64_t width = round_up(g->outs, g->lanes) * 4;
    int i = plan_pack(p, v, key.s, POINTS * (1 + g->cells) * width, code_points_fill, pack);
    ConstPack taps = {.value = v, .bytes = g->cells * TAPS * width, .fill = code_taps_fill, .ctx = pack, .unit = 1};
    pack->taps = crush_find(p->arena, arena_copy(p->arena, &taps, sizeof taps));
    if (!pack->taps) return i;
    PackForm form = {crush_bytes(pack->taps), code_form_fill, emit_code_points, pack};
    p->packs.at[i].form = arena_copy(p->arena, &form, sizeof form);
    return i;
}

int winograd_plan_weights(KernelPlan *p, const Winograd *g) {
    return g->core == CORE_F32 ? plan_floats(p, g) : plan_codes(p, g);
}
