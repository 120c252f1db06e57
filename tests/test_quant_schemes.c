/* The quantizers: their constants, codes and ties against numbers worked out elsewhere (40-digit arithmetic, and by
 * hand), the operators of the IR against the codes, and fits of awkward tensors. */
#include "tests/support.h"

#include "tests/op_case.h"

#include <math.h>
#include <string.h>

#include "quant/scheme.h"

static void near(double got, double want, double most) {
    if (!(fabs(got - want) <= most)) fail_msg("%.15g is not %.15g", got, want);
}

/* ---- constants of the half-wave Gaussian ---- */

static void check_levels(HalfWave kind, int n, const double *want, double error) {
    double level[255];
    near(half_wave(kind, n, level), error, 1e-10 * error + 1e-15);
    for (int k = 0; k < n; k++) near(level[k], want[k], 2e-11 * want[k]);
}
#define LEVELS(kind, error, ...) \
    check_levels((kind), (int)COUNT_OF(((double[]){__VA_ARGS__})), (double[]){__VA_ARGS__}, (error))

static void lloyd_constants(void **state) {
    (void)state;
    LEVELS(HALF_LLOYD, 0.363380227632, 0.797884560803);
    LEVELS(HALF_LLOYD, 0.117481847829, 0.452780034636, 1.5104176085);
    LEVELS(HALF_LLOYD, 0.0579776537151, 0.317716369295, 1.0001060462, 1.89359481164);
    LEVELS(HALF_LLOYD, 0.0122320001084, 0.145706244142, 0.441320889377, 0.750442617979, 1.0856353125, 1.46752826799,
           1.93861240649, 2.62506250816);
    LEVELS(HALF_LLOYD, 0.00283928040428, 0.0701552458467, 0.210928094511, 0.353109629495, 0.497713704638,
           0.645876291777, 0.798926980295, 0.95849035521, 1.12663985746, 1.30614683613, 1.50091233345, 1.71677886284,
           1.96322379512, 2.25744031961, 2.63661420423, 3.21356223762);
    LEVELS(HALF_LLOYD_ZERO, 0.190174039248, 1.22400636192);
    LEVELS(HALF_LLOYD_ZERO, 0.0440003824986, 0.560576888274, 1.18814695307, 2.0333691813);
    LEVELS(HALF_LLOYD_ZERO, 0.0107372105592, 0.273856854904, 0.554763694676, 0.851134412124, 1.17487917836,
           1.54605675371, 2.00647439615, 2.68086611899);
}

static void check_step(HalfWave kind, int n, double step, double error) {
    double level[256];
    double found = half_wave(kind, n, level);
    double first = kind == HALF_MIDRISE ? step / 2 : step;
    near(level[0], first, 2e-11 * first);
    if (error > 0) near(found, error, 1e-9 * error);
}

static void uniform_constants(void **state) {
    (void)state;
    check_step(HALF_UNIFORM, 1, 0.79788456080287, 0.363380227632);
    check_step(HALF_UNIFORM, 2, 0.65101381494468, 0.158117719686);
    check_step(HALF_UNIFORM, 3, 0.53881192339969, 0.0864413156353);
    check_step(HALF_UNIFORM, 7, 0.32172890906777, 0.0204060261817);
    check_step(HALF_UNIFORM, 15, 0.18424334276319, 0.00502527729028);
    check_step(HALF_UNIFORM, 31, 0.102984010306, 0.00129471287735);
    check_step(HALF_UNIFORM, 63, 0.05658434398266, 0.000345389583085);
    check_step(HALF_UNIFORM, 255, 0.016481784105694, 2.59048742816e-5);
    check_step(HALF_MIDPOINT, 1, 1.224006361925, 0.190174039248);
    check_step(HALF_MIDPOINT, 3, 0.65076970399684, 0.0468599743888);
    check_step(HALF_MIDPOINT, 15, 0.19324852439718, 0.00369321977235);
    check_step(HALF_MIDPOINT, 255, 0.016528152830823, 2.50080569846e-5);
    check_step(HALF_MIDRISE, 1, 1.5957691216057, 0);
    check_step(HALF_MIDRISE, 2, 0.99568668594351, 0);
    check_step(HALF_MIDRISE, 4, 0.58601944144349, 0);
    check_step(HALF_MIDRISE, 8, 0.33520061219997, 0);
    check_step(HALF_MIDRISE, 128, 0.030762387582325, 0);
}

/* ---- codes ---- */

static void check_codes(const Quantizer *q, int n, const float *x, const int *want) {
    for (int i = 0; i < n; i++) {
        int got = quantizer_code(q, 0, x[i]);
        if (got != want[i]) print_error("x = %.9g\n", (double)x[i]);
        assert_int_equal(got, want[i]);
    }
}
#define CODES_OF(q, x, ...) check_codes((q), (int)COUNT_OF(x), (x), (const int[COUNT_OF(x)]){__VA_ARGS__})

static void hwgq_codes(void **state) {
    (void)state;
    static const float step = 0.538f, unit = 0.151f, mid[] = {0, 0.9815f};
    static const float x[] = {-1,    0,     1e-6f,  .2f,    .269f,  .27f,   .538f, .806f,
                              .807f, .808f, 1.076f, 1.344f, 1.345f, 1.346f, 5};
    static const int levels[] = {0, 3, 10}, index[] = {0, 1, 2};
    Quantizer paper = {.form = QUANT_HWGQ, .n_step = 1, .step = &step, .hi = 3}, later = paper;
    later.form = QUANT_UNIFORM;
    CODES_OF(&paper, x, 0, 0, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3);
    CODES_OF(&later, x, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3);
    Quantizer uneven = {.form = QUANT_LEVELS, .n_step = 1, .step = &unit, .n = 2, .thr = mid, .code = index};
    CODES_OF(&uneven, x, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2);
    uneven.code = levels;
    assert_float_equal(quantizer_value(&uneven, 0, .2f), 0.453f, 1e-7f);
    assert_float_equal(quantizer_value(&uneven, 0, 5), 1.51f, 1e-7f);
}

static void pact_codes(void **state) {
    (void)state;
    const float two = 2.5f / 3, four = 6.0f / 15;
    const float x2[] = {-.3f, 0, 2.5f / 6, 1.25f, 12.5f / 6, 1, 2.475f, 2.5f, 3.5f};
    const float x4[] = {-.3f, 0, .2f, .6f, 1, 2.4f, 5.94f, 6, 7};
    Quantizer q = {.form = QUANT_UNIFORM, .n_step = 1, .step = &two, .hi = 3};
    CODES_OF(&q, x2, 0, 0, 0, 2, 2, 1, 3, 3, 3);
    q.step = &four, q.hi = 15;
    CODES_OF(&q, x4, 0, 0, 0, 2, 2, 6, 15, 15, 15);
}

static const float weights[] = {-1.2f, -.5f, -.1f, 0, .05f, .3f, .9f};
static const Weights seven = {.channels = 1, .each = 7, .w = weights};

static void dorefa_codes(void **state) {
    (void)state;
    Arena a = {0};
    static const int want[3][7] = {{-3, -1, -1, 1, 1, 1, 3}, {-7, -3, -1, 1, 1, 3, 7}, {-15, -9, -1, 1, 1, 5, 13}};
    for (int bits = 2; bits <= 4; bits++) {
        Scheme s = {.id = SCHEME_dorefa, .w_bits = bits};
        Quantizer q = scheme_fit_weights(&a, &s, &seven);
        check_codes(&q, 7, weights, want[bits - 2]);
    }
    Scheme one = {.id = SCHEME_pact, .w_bits = 1};
    Quantizer q = scheme_fit_weights(&a, &one, &seven);
    assert_float_equal(q.step[0], 0.435714f, 1e-6f);
    CODES_OF(&q, weights, -1, -1, -1, 1, 1, 1, 1);
    arena_free(&a);
}

static void qn_codes(void **state) {
    (void)state;
    Arena a = {0};
    static const int levels[] = {-4, -2, -1, 0, 1, 2, 4};
    const double beta = 5 * 4 / (4 * 1.2), b[] = {-3, -1.5, -.05, .05, 1.5, 3};
    double thr[6];
    for (int k = 0; k < 6; k++) thr[k] = b[k] / beta;
    Quantizer q = {.form = QUANT_LEVELS};
    quantizer_set_levels(&a, &q, 6, thr, levels);
    quantizer_set_step(&a, &q, 1 / beta);
    CODES_OF(&q, weights, -4, -2, -1, 0, 1, 1, 4);
    /* Fitted: the two thresholds about 0 are the paper's, and codes keep the order of the weights. */
    Scheme s = {.id = SCHEME_qn, .w_bits = 3};
    q = scheme_fit_weights(&a, &s, &seven);
    assert_int_equal(q.n, 6);
    assert_float_equal(q.thr[2], -0.012f, 1e-6f);
    assert_float_equal(q.thr[3], 0.012f, 1e-6f);
    s.w_bits = 1;
    q = scheme_fit_weights(&a, &s, &seven);
    CODES_OF(&q, weights, -1, -1, -1, -1, 1, 1, 1); /* 0 is not above 0 */
    arena_free(&a);
}

static void aqe_codes(void **state) {
    (void)state;
    Arena a = {0};
    static const float x[] = {-1, -.3f, -.1f, -.05f, -.01f, 0, .01f, .02f, .05f, .07f, .1f, .14f, .15f, .8f};
    const Weights w = {.channels = 1, .each = COUNT_OF(x), .w = x};
    Scheme s = {.id = SCHEME_aqe, .w_bits = 1};
    Quantizer q = scheme_fit_weights(&a, &s, &w);
    CODES_OF(&q, x, -1, -1, -1, -1, -1, -1, 1, 1, 1, 1, 1, 1, 1, 1);
    s.w_bits = 2;
    q = scheme_fit_weights(&a, &s, &w);
    CODES_OF(&q, x, -1, -1, -1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1);
    s.w_bits = 3;
    q = scheme_fit_weights(&a, &s, &w);
    CODES_OF(&q, x, -4, -4, -2, -1, 0, 0, 0, 0, 1, 1, 2, 2, 4, 4);
    arena_free(&a);
}

static void sign_and_ternary_codes(void **state) {
    (void)state;
    Arena a = {0};
    Scheme s = {.id = SCHEME_xnor, .w_bits = 1};
    Quantizer q = scheme_fit_weights(&a, &s, &seven);
    CODES_OF(&q, weights, -1, -1, -1, 1, 1, 1, 1);
    s = (Scheme){.id = SCHEME_twn, .w_bits = 2};
    q = scheme_fit_weights(&a, &s, &seven); /* 0.7 * 0.435714 = 0.305; the rest is 1.2, 0.5, 0.9 */
    CODES_OF(&q, weights, -1, -1, 0, 0, 0, 0, 1);
    assert_float_equal(q.step[0], 2.6f / 3, 1e-6f);
    arena_free(&a);
}

/* ---- fits ---- */

static Quantizer fit_standard(Arena *a, const char *text) {
    Diags d;
    Scheme s;
    diags_init(&d, a);
    assert_true(scheme_parse(&d, text, &s));
    const Normal standard = {0, 1, 1};
    Spread x = spread_of_normals(a, 1, &standard, true);
    return scheme_fit_activations(a, &s, &x, &(RangeChoice){.rule = RANGE_MSE});
}

/* Where normalisation has no scale and shift, the fit gives the published constants. */
static void hwgq_fits(void **state) {
    (void)state;
    Arena a = {0};
    assert_float_equal(fit_standard(&a, "hwgq:a2").step[0], 0.53881192f, 1e-7f);
    assert_float_equal(fit_standard(&a, "hwgq:a3").step[0], 0.32172891f, 1e-7f);
    assert_float_equal(fit_standard(&a, "hwgq:a2,midpoint").step[0], 0.65076970f, 1e-7f);
    Quantizer q = fit_standard(&a, "hwgq:a2,nonuniform");
    assert_int_equal(q.n, 3);
    assert_float_equal(q.step[0] * (float)q.code[1], 0.3177f, 0.01f);
    assert_float_equal(q.step[0] * (float)q.code[3], 1.8936f, 0.02f);
    assert_true(q.code[3] <= 255 && q.thr[0] == 0);
    for (int bits = 1; bits <= 8; bits++) {
        q = fit_standard(&a, arena_printf(&a, "hwgq:a%d,nonuniform", bits));
        assert_int_equal(q.n, (1 << bits) - 1);
        for (int k = 0; k < q.n; k++) assert_true(q.code[k] < q.code[k + 1]);
        assert_in_range(quantizer_high(&q), q.n, 255);
        q = fit_standard(&a, arena_printf(&a, "hwgq:a%d", bits));
        assert_int_equal(quantizer_high(&q), (1 << bits) - 1);
        assert_int_equal(quantizer_low(&q), 0);
    }
    arena_free(&a);
}

/* The fit of a sample comes close to that of the Gaussian it was drawn from. */
static void spreads_agree(void **state) {
    (void)state;
    Arena a = {0};
    enum { N = 20000 };
    float *x = NEW_ARRAY(&a, float, N);
    uint64_t seed = 7;
    for (int i = 0; i < N; i++) {
        double sum = -6;
        for (int k = 0; k < 12; k++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            sum += (double)(seed >> 40) / 16777216.0;
        }
        x[i] = (float)(0.3 + 2 * sum);
    }
    const Normal normal = {0.3, 2, 1};
    Spread sample = spread_of_values(&a, N, x), exact = spread_of_normals(&a, 1, &normal, false);
    near(spread_mean_abs(&sample), spread_mean_abs(&exact), 0.02);
    near(spread_sd(&sample), 2, 0.03);
    near(spread_percentile(&sample, 0.9), spread_percentile(&exact, 0.9), 0.05);
    Steps q = steps_uniform(&a, -8, 7);
    near(steps_scale(&q, &sample), steps_scale(&q, &exact), 0.02);
    arena_free(&a);
}

/* Every scheme and width on tensors that have no spread, or too much of it. */
static void awkward_tensors(void **state) {
    (void)state;
    Arena a = {0};
    static const float cases[][4] = {
        {0, 0, 0, 0}, {1e-45f, 0, 0, -1e-45f}, {3e38f, -3e38f, 3e38f, 1}, {2, 2, 2, 2}, {NAN, INFINITY, -1, 1}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const Weights w = {.channels = 2, .each = 2, .w = cases[i]};
        Spread x = weights_spread(&a, &w);
        for (SchemeId id = 0; id < SCHEME_COUNT; id++) {
            for (int bits = 1; bits <= 8; bits++) {
                Scheme s = {.id = id, .w_bits = bits, .a_bits = bits};
                Quantizer q[2] = {{0}};
                if (bits <= scheme_info[id].w_bits) q[0] = scheme_fit_weights(&a, &s, &w);
                if (bits <= scheme_info[id].a_bits)
                    q[1] = scheme_fit_activations(&a, &s, &x, &(RangeChoice){.rule = RANGE_MSE});
                for (int side = 0; side < 2; side++) {
                    for (int64_t k = 0; k < q[side].n_step; k++)
                        assert_true(q[side].step[k] > 0 && isfinite(q[side].step[k]));
                    for (int k = 0; k < 4 && q[side].n_step; k++) {
                        int code = quantizer_code(&q[side], k / 2, cases[i][k]);
                        assert_in_range(code + 1000, quantizer_low(&q[side]) + 1000, quantizer_high(&q[side]) + 1000);
                    }
                }
            }
        }
    }
    arena_free(&a);
}

static void ranges(void **state) {
    (void)state;
    Arena a = {0};
    float x[1001];
    for (int i = 0; i <= 1000; i++) x[i] = (float)i / 1000;
    x[1000] = 10;
    Spread s = spread_of_values(&a, 1001, x);
    Steps q = steps_uniform(&a, 0, 255);
    near(steps_choose(&q, &s, &(RangeChoice){.rule = RANGE_MINMAX}), 10.0 / 255, 1e-9);
    near(steps_choose(&q, &s, &(RangeChoice){RANGE_PERCENTILE, 0.999}), 0.999 / 255, 1e-5);
    double best = steps_choose(&q, &s, &(RangeChoice){.rule = RANGE_MSE});
    assert_true(steps_error(&q, &s, best) <= steps_error(&q, &s, 10.0 / 255));
    assert_true(steps_error(&q, &s, best) <= steps_error(&q, &s, 0.999 / 255));
    arena_free(&a);
}

/* ---- the command line's spelling ---- */

static void spelling(void **state) {
    (void)state;
    Arena a = {0};
    Diags d;
    Scheme s;
    diags_init(&d, &a);
    static const char *const good[] = {"hwgq:w1a2", "hwgq:w1a2,nonuniform", "qn:w3a2,narrow", "twn:w2",
                                       "lsq:a8,affine"};
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        assert_true(scheme_parse(&d, good[i], &s));
        assert_string_equal(scheme_str(&a, &s), good[i]);
    }
    assert_true(scheme_parse(&d, "pact:w32a4", &s));
    assert_int_equal(s.w_bits, 0);
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"hwgp:w1a2", "name is not known"},
        {"ttq:w2a2", "two scales"},
        {"hwgq", "like w1a2"},
        {"hwgq:", "like w1a2"},
        {"hwgq:w9a2", "9-bit weights"},
        {"hwgq:w1a1.5", "like w1a2"},
        {"hwgq:w0a2", "0 bits"},
        {"aqe:w5a2", "5-bit weights"},
        {"pact:w4a4,affine", "affine"},
        {"hwgq:w1a2x", "not understood"},
        {"xnor:w1a2", "2-bit activations"},
        {"xnor:w1a1,map", "a scale for each position"},
        {"lsq:w8a8,", "none of its words"},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        diags_init(&d, &a);
        assert_false(scheme_parse(&d, bad[i].text, &s));
        assert_non_null(strstr(test_diags(&a, &d), bad[i].why));
    }
    arena_free(&a);
}

/* ---- the operators ---- */

/* Values about every tie of the quantizer, and far off. */
static const Tensor *probes(OpCase *c, const Quantizer *q) {
    float x[4096];
    int n = 0;
    for (int k = -260; k <= 260 && n < 1500; k++) {
        float tie = ((float)k + 0.5f) * q->step[0], around[] = {tie, nextafterf(tie, 1e9f), nextafterf(tie, -1e9f)};
        for (int i = 0; i < 3; i++) x[n++] = around[i];
    }
    for (int k = 0; k < q->n; k++)
        for (int i = -1; i <= 1; i++) {
            x[n++] = nextafterf(q->thr[k], q->thr[k] + (float)i);
            x[n++] = -nextafterf(q->thr[k], q->thr[k] + (float)i);
        }
    const float more[] = {0, -0.0f, 1e-40f, -1e-40f, 1e30f, -1e30f, INFINITY, -INFINITY};
    for (size_t i = 0; i < COUNT_OF(more); i++) x[n++] = more[i];
    return tensor_from_f32(&c->arena, DIMS(n), x);
}

static const Tensor *whole(OpCase *c, int v) { return F32(c, SCALAR, v); }

static OpId add_operands(OpCase *c, const Quantizer *q) {
    static const OpId ops[] = {OP_QSign, OP_QUniform, OP_QHwgq, OP_QLevels, OP_QMagnitude, OP_QDorefa, OP_QOdd};
    case_const(c, tensor_from_f32(&c->arena, SCALAR, q->step));
    if (q->form == QUANT_DOREFA) case_const(c, tensor_from_f32(&c->arena, SCALAR, &q->range));
    if (q->form == QUANT_UNIFORM) case_const(c, whole(c, q->lo));
    if (q->n) {
        float codes[256];
        for (int k = 0; k <= q->n; k++) codes[k] = (float)q->code[k];
        case_const(c, tensor_from_f32(&c->arena, DIMS(q->n), q->thr));
        case_const(c, tensor_from_f32(&c->arena, DIMS(q->n + 1), codes));
    } else if (q->form != QUANT_SIGN) {
        case_const(c, whole(c, q->hi));
    }
    return ops[q->form];
}

/* tanh is within an ulp or so in either, so its codes may differ where they meet. */
static void check_operator(const Quantizer *q) {
    OpCase *c = case_new();
    const Tensor *x = probes(c, q);
    case_in(c, x);
    Node *n = case_node(c, add_operands(c, q), NULL);
    const Tensor *y = case_eval(c, n, 0);
    int64_t count = shape_count(&x->type.shape), off = 0;
    for (int64_t i = 0; i < count; i++) {
        float v = (float)tensor_get(x, i), got = (float)tensor_get(y, i), want = quantizer_value(q, 0, v);
        if (q->form == QUANT_DOREFA) {
            off += got != want;
            continue;
        }
        if (got != want) print_error("form %d x = %.9g\n", (int)q->form, (double)v);
        assert_true(got == want);
    }
    assert_in_range(off, 0, count / 50);
    case_free(c);
}

static void operators_agree(void **state) {
    (void)state;
    Arena a = {0};
    static const char *const texts[] = {"hwgq:w1a1",
                                        "hwgq:w2a2",
                                        "hwgq:w4a4,nonuniform",
                                        "hwgq:w8a8",
                                        "hwgq:w3a3,midpoint",
                                        "pact:w4a4",
                                        "qn:w3a2",
                                        "qn:w5a4",
                                        "aqe:w1a1",
                                        "aqe:w2a2",
                                        "aqe:w3a3",
                                        "aqe:w4a4",
                                        "xnor:w1a1",
                                        "twn:w2a8",
                                        "lsq:w8a8",
                                        "lsq:w2a4,affine"};
    const Normal normal = {0.2, 1.3, 1};
    Spread x = spread_of_normals(&a, 1, &normal, false);
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        Diags d;
        Scheme s;
        diags_init(&d, &a);
        assert_true(scheme_parse(&d, texts[i], &s));
        Quantizer w = scheme_fit_weights(&a, &s, &seven);
        check_operator(&w);
        w = scheme_fit_activations(&a, &s, &x, &(RangeChoice){.rule = RANGE_MSE});
        check_operator(&w);
    }
    arena_free(&a);
}

static void operators_refuse(void **state) {
    (void)state;
    OpCase *c = case_new();
    case_in(c, F32(c, DIMS(2, 2), 1));
    case_const(c, F32(c, SCALAR, -1));
    case_refused(c, OP_QSign, NULL, D_OPERAND_VALUE, "wanted a positive number");
    case_free(c);
    c = case_new();
    case_in(c, F32(c, DIMS(2, 2), 1));
    case_const(c, F32(c, DIMS(3), 1));
    case_refused(c, OP_QSign, NULL, D_OPERAND_SHAPE, "broadcasts to [2,2]");
    case_free(c);
    c = case_new();
    case_in(c, F32(c, DIMS(2, 2), 1));
    case_const(c, F32(c, SCALAR, 1));
    case_const(c, F32(c, SCALAR, 0));
    case_refused(c, OP_QHwgq, NULL, D_OPERAND_VALUE, "whole number from 1");
    case_refused(c, OP_QOdd, NULL, D_OPERAND_VALUE, "whole number from 1");
    case_const(c, F32(c, SCALAR, -1));
    case_refused(c, OP_QUniform, NULL, D_OPERAND_VALUE, "whole number from 0");
    case_free(c);
    c = case_new();
    case_in(c, F32(c, DIMS(2, 2), 1));
    case_const(c, F32(c, SCALAR, 1));
    case_const(c, F32(c, DIMS(2), 1, 0.5));
    case_const(c, F32(c, DIMS(3), 0, 1, 2));
    case_refused(c, OP_QLevels, NULL, D_OPERAND_VALUE, "ascending");
    case_free(c);
    c = case_new();
    case_in(c, F32(c, DIMS(2, 2), 1));
    case_const(c, F32(c, SCALAR, 1));
    case_const(c, F32(c, DIMS(2), 0.5, NAN));
    case_const(c, F32(c, DIMS(3), 1, 2, 3));
    case_refused(c, OP_QMagnitude, NULL, D_OPERAND_VALUE, "ascending");
    case_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lloyd_constants), cmocka_unit_test(uniform_constants),      cmocka_unit_test(hwgq_codes),
        cmocka_unit_test(pact_codes),      cmocka_unit_test(dorefa_codes),           cmocka_unit_test(qn_codes),
        cmocka_unit_test(aqe_codes),       cmocka_unit_test(sign_and_ternary_codes), cmocka_unit_test(hwgq_fits),
        cmocka_unit_test(spreads_agree),   cmocka_unit_test(awkward_tensors),        cmocka_unit_test(ranges),
        cmocka_unit_test(spelling),        cmocka_unit_test(operators_agree),        cmocka_unit_test(operators_refuse),
    };
    return TEST_RUN(tests);
}
