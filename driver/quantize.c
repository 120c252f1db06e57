/* qcc quantize: a float model becomes a quantized one, without training. */
#include "passes/quantize.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/driver.h"

/* A number at *s, which moves behind it. */
static bool parse_number(const char **s, double *out) {
    char *end;
    errno = 0;
    *out = strtod(*s, &end);
    bool good = end != *s && errno == 0 && isfinite(*out);
    *s = end;
    return good;
}

static bool parse_range(Driver *dr, RangeChoice *out) {
    const char *word = command_get(&dr->cmd, O_RANGE);
    *out = (RangeChoice){.rule = RANGE_MSE};
    if (!word || strcmp(word, "mse") == 0) return true;
    if (strcmp(word, "minmax") == 0) {
        out->rule = RANGE_MINMAX;
        return true;
    }
    if (strncmp(word, "percentile:", 11) == 0) {
        const char *at = word + 11;
        out->rule = RANGE_PERCENTILE;
        if (parse_number(&at, &out->share) && !*at && out->share > 0 && out->share <= 1) return true;
    }
    diag(dr->diags, D_USAGE, LOC_NONE, "--range=%s: expected mse, minmax or percentile:SHARE with a share up to 1",
         word);
    return false;
}

static bool parse_input_range(Driver *dr, double range[2], const double **out) {
    const char *word = command_get(&dr->cmd, O_INPUT_RANGE), *at = word;
    *out = NULL;
    if (!word) return true;
    *out = range;
    if (parse_number(&at, &range[0]) && *at++ == ',' && parse_number(&at, &range[1]) && !*at &&
        (float)range[0] < (float)range[1] && fabs(range[0]) <= FLT_MAX && fabs(range[1]) <= FLT_MAX)
        return true;
    diag(dr->diags, D_USAGE, LOC_NONE, "--input-range=%s: expected two numbers, the lesser first, as float32 has them",
         word);
    return false;
}

/* --layer and --keep in the order given. */
static bool parse_rules(Driver *dr, QuantizeOptions *o) {
    LayerRule *rules = NEW_ARRAY(dr->arena, LayerRule, dr->cmd.opts.n + 1);
    o->rules = rules;
    for (size_t i = 0; i < dr->cmd.opts.n; i++) {
        const OptValue *v = &dr->cmd.opts.at[i];
        if (v->id != O_LAYER && v->id != O_KEEP) continue;
        LayerRule *r = &rules[o->n_rules++];
        *r = (LayerRule){.glob = v->value, .keep = v->id == O_KEEP};
        if (r->keep) continue;
        const char *eq = strrchr(v->value, '=');
        if (!eq || eq == v->value) {
            diag(dr->diags, D_USAGE, LOC_NONE, "--layer '%s' is not of the form GLOB=SCHEME", v->value);
            return false;
        }
        r->glob = arena_strn(dr->arena, v->value, (size_t)(eq - v->value));
        if (!scheme_parse(dr->diags, eq + 1, &r->scheme)) return false;
    }
    return true;
}

bool quantize_graph(Driver *dr, Graph *g, const char *scheme, Text *report) {
    double range[2];
    QuantizeOptions o = {.report = report, .keep_means = command_has(&dr->cmd, O_NO_CORRECT)};
    const char *edges = command_get(&dr->cmd, O_EDGES);
    if (!scheme_parse(dr->diags, scheme, &o.scheme) || !scheme_parse(dr->diags, edges ? edges : "lsq:w8a8", &o.edge) ||
        !parse_rules(dr, &o) || !parse_range(dr, &o.range) || !parse_input_range(dr, range, &o.input_range) ||
        !samples_read(dr, g, &o.samples, &o.n_samples))
        return false;
    progress_say("quantizing");
    return graph_quantize(g, dr->diags, &o);
}

bool quantize_verb(Driver *dr) {
    const char *path = single_file(dr), *output = command_get(&dr->cmd, O_OUTPUT);
    const char *scheme = command_get(&dr->cmd, O_SCHEME);
    if (!path) return false;
    if (!output || !scheme) {
        diag(dr->diags, D_USAGE, LOC_NONE, "qcc quantize needs %s",
             scheme ? "the name of the file to write: -o OUT.onnx" : "--scheme=SCHEME");
        return false;
    }
    if (!spares_model(dr, path, output)) return false;
    Text report = {.arena = dr->arena};
    Graph *g = import_graph(dr, path);
    if (!g || !quantize_graph(dr, g, scheme, &report) || !write_onnx(dr, g, output)) return false;
    progress_done();
    if (report.n && strcmp(output, "-") != 0) fputs(report.s, stdout);
    return true;
}
