/* Convolutions: Conv, ConvTranspose and, of integers without a bias, QConv and QConvTranspose. ints: group, then
 * strides, dilations and begin pads of three spatial axes (leading axes of fewer than three count as size 1). Each
 * result is one sum, accumulated as row.h says. */
#include "runtime/ref/row.h"

RefFn ref_Conv, ref_ConvTranspose, ref_QConv, ref_QConvTranspose;

enum { DEPTH, HEIGHT, WIDTH, AXES };

/* The operands with their spatial axes widened to three. */
typedef struct Job {
    const RefTensor *x, *w, *b, *y; /* b: NULL for none */
    int64_t group, c, m;            /* channels in and out */
    int64_t in[AXES], out[AXES], kernel[AXES], stride[AXES], dilation[AXES], pad[AXES];
} Job;

static void widen(const RefTensor *t, int64_t d[AXES]) {
    for (int i = 0; i < AXES; i++) {
        int from = t->rank - AXES + i;
        d[i] = from >= 2 ? t->dim[from] : 1;
    }
}

/* A kernel of one point with steps of one and no pads sees an image as one long row. */
static void flatten_points(Job *j) {
    int64_t points = 1;
    for (int i = 0; i < AXES; i++) {
        if (j->kernel[i] != 1 || j->stride[i] != 1 || j->pad[i] != 0 || j->in[i] != j->out[i]) return;
        points *= j->in[i];
    }
    for (int i = 0; i < AXES; i++) j->in[i] = j->out[i] = i == WIDTH ? points : 1;
}

static Job open_job(const RefArgs *a) {
    Job j = {.x = &a->in[0], .w = &a->in[1], .b = a->n_in > 2 ? &a->in[2] : NULL, .y = &a->out[0], .group = a->ints[0]};
    j.c = j.x->dim[1];
    j.m = j.y->dim[1];
    widen(j.x, j.in);
    widen(j.w, j.kernel);
    widen(j.y, j.out);
    for (int i = 0; i < AXES; i++) {
        j.stride[i] = a->ints[1 + i];
        j.dilation[i] = a->ints[1 + AXES + i];
        j.pad[i] = a->ints[1 + 2 * AXES + i];
    }
    flatten_points(&j);
    return j;
}

static int64_t floor_div(int64_t n, int64_t by) { return n / by - (n % by < 0); }
static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }

/* A row of results [x0, x0 + n) at depth d and height h of channel m of image i. */
typedef struct Place {
    int64_t i, m, d, h, x0, n;
} Place;

typedef void AddLine(const Job *j, RefRow *row, const Place *p, int64_t x_at, int64_t w_at);
/* Index of the input position that kernel tap k meets from output position o along axis i; -1 in the padding. */
typedef int64_t Meet(const Job *j, int i, int64_t o, int64_t k);

static int64_t meet_forward(const Job *j, int i, int64_t o, int64_t k) {
    int64_t at = o * j->stride[i] - j->pad[i] + k * j->dilation[i];
    return at >= 0 && at < j->in[i] ? at : -1;
}

static int64_t meet_transposed(const Job *j, int i, int64_t o, int64_t k) {
    int64_t at = o + j->pad[i] - k * j->dilation[i];
    return at >= 0 && at % j->stride[i] == 0 && at / j->stride[i] < j->in[i] ? at / j->stride[i] : -1;
}

/* One line of the kernel against one line of the input: the positions of the row that read inside it form a run. */
static void line_forward(const Job *j, RefRow *row, const Place *p, int64_t x_at, int64_t w_at) {
    int64_t stride = j->stride[WIDTH];
    for (int64_t k = 0; k < j->kernel[WIDTH]; k++) {
        int64_t shift = k * j->dilation[WIDTH] - j->pad[WIDTH];
        int64_t from = max(p->x0, floor_div(-shift + stride - 1, stride));
        int64_t to = min(p->x0 + p->n, floor_div(j->in[WIDTH] - 1 - shift, stride) + 1);
        ref_row_add(row, from - p->x0, 1, to - from, (RefRun){j->x, x_at + from * stride + shift, stride}, j->w,
                    w_at + k);
    }
}

/* Here input position q adds to result q * stride - pad + k * dilation. */
static void line_transposed(const Job *j, RefRow *row, const Place *p, int64_t x_at, int64_t w_at) {
    int64_t stride = j->stride[WIDTH];
    for (int64_t k = 0; k < j->kernel[WIDTH]; k++) {
        int64_t shift = k * j->dilation[WIDTH] - j->pad[WIDTH];
        int64_t from = max(0, floor_div(p->x0 - shift + stride - 1, stride));
        int64_t to = min(j->in[WIDTH], floor_div(p->x0 + p->n - 1 - shift, stride) + 1);
        ref_row_add(row, from * stride + shift - p->x0, stride, to - from, (RefRun){j->x, x_at + from, 1}, j->w,
                    w_at + k);
    }
}

/* Adds channel c of the input under kernel `w_at` (index of its first element). */
static void add_channel(const Job *j, RefRow *row, const Place *p, int64_t c, int64_t w_at, Meet *meet, AddLine *line) {
    for (int64_t kd = 0; kd < j->kernel[DEPTH]; kd++) {
        int64_t d = meet(j, DEPTH, p->d, kd);
        for (int64_t kh = 0; d >= 0 && kh < j->kernel[HEIGHT]; kh++) {
            int64_t h = meet(j, HEIGHT, p->h, kh);
            int64_t x_at = (((p->i * j->c + c) * j->in[DEPTH] + d) * j->in[HEIGHT] + h) * j->in[WIDTH];
            if (h >= 0) line(j, row, p, x_at, w_at + (kd * j->kernel[HEIGHT] + kh) * j->kernel[WIDTH]);
        }
    }
}

static void run_row(const Job *j, const Place *p, bool transposed) {
    int64_t taps = j->kernel[DEPTH] * j->kernel[HEIGHT] * j->kernel[WIDTH];
    int64_t per_group = j->c / j->group, outs = j->m / j->group, g = p->m / outs;
    RefRow row;
    ref_row_start(&row, p->n, j->y->elem, j->b, p->m);
    for (int64_t k = 0; k < per_group; k++) {
        int64_t c = g * per_group + k, kernel = transposed ? c * outs + p->m % outs : p->m * per_group + k;
        add_channel(j, &row, p, c, kernel * taps, transposed ? meet_transposed : meet_forward,
                    transposed ? line_transposed : line_forward);
    }
    int64_t line = ((p->i * j->m + p->m) * j->out[DEPTH] + p->d) * j->out[HEIGHT] + p->h;
    ref_row_store(&row, p->n, j->y, line * j->out[WIDTH] + p->x0);
}

static int run(const RefArgs *a, bool transposed) {
    Job j = open_job(a);
    Place p;
    for (p.i = 0; p.i < j.y->dim[0]; p.i++)
        for (p.m = 0; p.m < j.m; p.m++)
            for (p.d = 0; p.d < j.out[DEPTH]; p.d++)
                for (p.h = 0; p.h < j.out[HEIGHT]; p.h++)
                    for (p.x0 = 0; p.x0 < j.out[WIDTH]; p.x0 += REF_ROW) {
                        p.n = min(REF_ROW, j.out[WIDTH] - p.x0);
                        run_row(&j, &p, transposed);
                    }
    return REF_OK;
}

int ref_Conv(const RefArgs *a) { return run(a, false); }
int ref_ConvTranspose(const RefArgs *a) { return run(a, true); }
int ref_QConv(const RefArgs *a) { return run(a, false); }
int ref_QConvTranspose(const RefArgs *a) { return run(a, true); }
