/* Choosing the register tile, and packing weights for it.
 *
 * The tile is the "micro-kernel" of the GEMM literature (Goto and van de Geijn 2008; BLIS), the model behind the choice
 * the analytical one of Low et al. 2016: the accumulators must fit the registers beside one round's B vectors and one
 * broadcast, and a round costs as many cycles as its busiest resource: multiply-add ports, load ports, decode width,
 * the latency of a multiply-add on the same accumulator, and B's bytes from the second-level cache. */
#include "codegen/kernels/tile.h"

#include <string.h>

/* ---- the reduction ------------------------------------------------------------------------------------------- */

void reduction_add(Reduction *r, int64_t n, int64_t a, int64_t b) {
    if (n == 1) return;
    Reduce *outer = r->n ? &r->loop[r->n - 1] : NULL;
    if (outer && outer->a == n * a && outer->b == n * b) {
        *outer = (Reduce){outer->n * n, a, b};
        return;
    }
    if (r->n == MAX_REDUCE) bug("reduction of more than %d loops", MAX_REDUCE);
    r->loop[r->n++] = (Reduce){n, a, b};
}

int64_t reduction_rounds(const Reduction *r) {
    int64_t rounds = 1;
    for (int i = 0; i < r->n; i++) rounds *= r->loop[i].n;
    return rounds;
}

/* ---- the cost of a tile -------------------------------------------------------------------------------------- */

/* Of a core as they are sold now: two multiply-adds of four cycles latency and two loads per cycle, 4 to 5 instructions
 * decoded, and the bytes per cycle that B streams at while it is also computed with: from the second-level cache, and
 * from beyond it where the weights are larger. */
static const double ports = 2, loads = 2, decode = 4.5, latency = 4, near_bytes = 16, far_bytes = 9.5;
enum { NEAR_WEIGHTS = 512 << 10, NEAR_PANEL = 640 << 10 };

/* More pixels than this gain nothing, and their rows of channels, a power of two apart, would fall on too few sets of
 * the first-level cache. */
enum { MAX_PIXELS = 16 };

/* Registers beside the sums, the weights and the cell: parts of both, where no instruction takes them whole. */
static int parts(const Target *t, Core core) {
    if (core == CORE_F32 || (core == CORE_DOT16 && t->arch == ARCH_X86)) return 0;
    if (core == CORE_XOR) return t->count ? 1 : 3;
    return t->dot8 ? 0 : core == CORE_PAIR8 || core == CORE_PAIR8S ? 2 : 3;
}

static bool fits(const Target *t, Core core, int pixels, int nr) {
    int regs = pixels * nr + nr + 1 + parts(t, core);
    return pixels <= MAX_PIXELS && pixels * nr <= MAX_TILE && regs <= t->n_vector_regs;
}

static double round_cost(const Target *t, Core core, int pixels, int nr, double b_rate) {
    if (pixels == 0 || nr == 0) return 0;
    double muls = pixels * nr *
                  (core == CORE_XOR ? 1.5
                   : parts(t, core) ? 1 + parts(t, core)
                                    : 1),
           all = muls + pixels + nr + 1;
    double cost = muls / ports;
    cost = cost < (pixels + nr) / loads ? (pixels + nr) / loads : cost;
    cost = cost < all / decode ? all / decode : cost;
    cost = cost < latency ? latency : cost;
    double stream = nr * t->vector_bits / 8 / b_rate;
    cost = cost < stream ? stream : cost;
    return cost + 0.01 * all + 0.2; /* the fewer instructions, and the fewer tiles, the better */
}

/* Of an image of h x w pixels in tiles of mh x mw, ragged edges included, per round of the reduction. */
static double image_cost(const Target *t, Core core, int64_t h, int64_t w, int nr, int mh, int mw, double b_rate) {
    double rows = (double)(h / mh), cols = (double)(w / mw);
    int rest_h = (int)(h % mh), rest_w = (int)(w % mw);
    return rows * cols * round_cost(t, core, mh * mw, nr, b_rate) +
           rows * round_cost(t, core, mh * rest_w, nr, b_rate) + cols * round_cost(t, core, rest_h * mw, nr, b_rate) +
           round_cost(t, core, rest_h * rest_w, nr, b_rate);
}

static double best_tile(const Target *t, Core core, int64_t h, int64_t w, int nr, double b_rate, int *mh, int *mw) {
    double best = -1;
    *mh = *mw = 1;
    for (int y = 1; y <= MAX_TILE && y <= h; y++)
        for (int x = 1; x <= MAX_TILE && x <= w && fits(t, core, x * y, nr); x++) {
            double cost = image_cost(t, core, h, w, nr, y, x, b_rate);
            if (best >= 0 && cost >= best) continue;
            best = cost;
            *mh = y;
            *mw = x;
        }
    return best;
}

void tile_pixels(const Target *t, Core core, int64_t h, int64_t w, int nr, int *mh, int *mw) {
    best_tile(t, core, h, w, nr, near_bytes, mh, mw);
}

/* Of one panel per round of the reduction. Where the weights are larger than the cache, its first tile brings the panel
 * in; where the panel is too, every tile does. */
static double panel_cost(const Target *t, Core core, int64_t h, int64_t w, int nr, int64_t panel_bytes, bool far) {
    int mh, mw;
    double rate = panel_bytes > NEAR_PANEL ? far_bytes : near_bytes,
           cost = best_tile(t, core, h, w, nr, rate, &mh, &mw);
    return far ? cost + round_cost(t, core, mh * mw, nr, far_bytes) - round_cost(t, core, mh * mw, nr, rate) : cost;
}

int tile_vectors(const Target *t, Core core, int64_t h, int64_t w, int64_t rounds, int64_t channels, int lanes) {
    int64_t vectors = ceil_div(channels, lanes), vector_bytes = rounds * lanes * 4;
    bool far = vectors * vector_bytes > NEAR_WEIGHTS;
    double best_cost = -1;
    int best = 1;
    for (int nr = 1; nr <= MAX_NR && nr <= vectors && fits(t, core, 1, nr); nr++) {
        int rest = (int)(vectors % nr);
        double cost = (double)(vectors / nr) * panel_cost(t, core, h, w, nr, nr * vector_bytes, far);
        if (rest) cost += panel_cost(t, core, h, w, rest, rest * vector_bytes, far);
        if (best_cost >= 0 && cost >= best_cost) continue;
        best = nr;
        best_cost = cost;
    }
    return best;
}

int tile_lanes(const Target *t, int64_t channels) {
    int lanes = target_lanes(t, 32);
    while (lanes > 1 && lanes / 2 >= channels) lanes /= 2;
    return lanes;
}

/* ---- panels -------------------------------------------------------------------------------------------------- */

static int64_t rounds_of(const PanelPack *p) {
    int64_t rounds = 1;
    for (int i = 0; i < p->n; i++) rounds *= i == p->n - 1 ? ceil_div(p->count[i], core_values(p->core)) : p->count[i];
    return rounds;
}

int64_t panel_group_bytes(const PanelPack *p) { return rounds_of(p) * round_up(p->channels, p->lanes) * CELL_BYTES; }
int64_t panel_bytes(const PanelPack *p) { return p->groups * panel_group_bytes(p); }

/* The cell whose first weight is source element `at`, `left` elements being left of the innermost reduction. */
static void fill_cell(const PanelPack *p, int64_t at, int64_t left, uint8_t *dst) {
    if (p->core == CORE_F32) {
        const float *data = p->tensor->data;
        float v = p->scale * data[p->tensor->splat ? 0 : at];
        memcpy(dst, &v, sizeof v);
        return;
    }
    if (p->core == CORE_XOR || p->core == CORE_I32) {
        uint32_t word = (uint32_t)tensor_get_int(p->tensor, at);
        memcpy(dst, &word, sizeof word);
        return;
    }
    int values = core_values(p->core), bytes = CELL_BYTES / values;
    for (int i = 0; i < values && i < left; i++) {
        int16_t v = (int16_t)tensor_get_int(p->tensor, at + i * p->stride[p->n - 1]);
        memcpy(dst + i * bytes, &v, (size_t)bytes); /* little endian, as all targets are */
    }
}

/* Writes all rounds of the channels [from, from + n) of a group as rows of `width`; returns the end. */
static uint8_t *fill_panel(const PanelPack *p, int64_t group, int64_t from, int64_t n, int64_t width, uint8_t *dst) {
    int64_t idx[MAX_REDUCE] = {0}, rounds = rounds_of(p), at = group * p->stride_g + from * p->stride_c;
    int inner = p->n - 1, values = core_values(p->core);
    for (int64_t r = 0; r < rounds; r++, dst += width * CELL_BYTES) {
        int64_t left = inner < 0 ? 1 : p->count[inner] - idx[inner];
        for (int64_t c = 0; c < n; c++) fill_cell(p, at + c * p->stride_c, left, dst + c * CELL_BYTES);
        for (int d = inner; d >= 0; d--) {
            int step = d == inner ? values : 1;
            at += step * p->stride[d];
            idx[d] += step;
            if (idx[d] < p->count[d]) break;
            at -= idx[d] * p->stride[d];
            idx[d] = 0;
        }
    }
    return dst;
}

void panel_fill(void *pack, uint8_t *dst) {
    const PanelPack *p = pack;
    int64_t panel = (int64_t)p->nr * p->lanes;
    for (int64_t g = 0; g < p->groups; g++)
        for (int64_t c = 0; c < p->channels; c += panel) {
            int64_t n = i64_min(panel, p->channels - c);
            dst = fill_panel(p, g, c, n, round_up(n, p->lanes), dst);
        }
}

static const char *panel_key(Arena *a, const PanelPack *p) {
    Text t = {.arena = a};
    text_add(&t, "%s panels %d x %d of %lld:%lld %lld:%lld", core_name(p->core), p->nr, p->lanes, (long long)p->groups,
             (long long)p->stride_g, (long long)p->channels, (long long)p->stride_c);
    for (int i = 0; i < p->n; i++) text_add(&t, " %lld:%lld", (long long)p->count[i], (long long)p->stride[i]);
    text_add(&t, " * ");
    text_f32(&t, p->scale);
    return t.s;
}

int plan_panels(KernelPlan *p, const Value *v, const PanelPack *pack) {
    void *ctx = arena_copy(p->arena, pack, sizeof *pack);
    int made = plan_pack(p, v, panel_key(p->arena, pack), panel_bytes(pack), panel_fill, ctx);
    p->packs.at[made].unit = pack->core == CORE_XOR ? 0 : CELL_BYTES / core_values(pack->core);
    return made;
}

/* -128 times the sum of each channel's weights. */
static void fill_start(void *pack, uint8_t *dst) {
    const PanelPack *p = pack;
    for (int64_t g = 0; g < p->groups; g++)
        for (int64_t c = 0; c < p->channels; c++) {
            int64_t idx[MAX_REDUCE] = {0}, at = g * p->stride_g + c * p->stride_c, sum = 0;
            for (int d = 0; d >= 0;) {
                sum += tensor_get_int(p->tensor, at);
                for (d = p->n - 1; d >= 0; d--) {
                    at += p->stride[d];
                    if (++idx[d] < p->count[d]) break;
                    at -= idx[d] * p->stride[d];
                    idx[d] = 0;
                }
            }
            int32_t start = (int32_t)(-128 * sum);
            memcpy(dst + (g * round_up(p->channels, p->lanes) + c) * CELL_BYTES, &start, sizeof start);
        }
}

int plan_start(KernelPlan *p, const Value *v, const PanelPack *weights) {
    if (!core_shifted(weights->core)) return -1;
    void *ctx = arena_copy(p->arena, weights, sizeof *weights);
    int64_t bytes = weights->groups * round_up(weights->channels, weights->lanes) * CELL_BYTES;
    return plan_pack(p, v, arena_printf(p->arena, "start of %s", panel_key(p->arena, weights)), bytes, fill_start, ctx);
}

int plan_channel_pack(KernelPlan *p, const Value *v, int64_t groups, int64_t channels, int64_t stride, int lanes,
                      float scale) {
    PanelPack pack = {.tensor = v->constant,
                      .groups = groups,
                      .channels = channels,
                      .stride_g = channels * stride,
                      .stride_c = stride,
                      .nr = 1,
                      .lanes = lanes,
                      .scale = scale};
    return plan_panels(p, v, &pack);
}
