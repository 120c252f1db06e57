/* qcc bench: median times of whole runs, and of the steps one by one through the step table. */
#include "driver/session.h"

#include <stdio.h>
#include <stdlib.h>

enum { LEAST_RUNS = 11, MOST_RUNS = 100000 };

static int compare_doubles(const void *p, const void *q) {
    double a = *(const double *)p, b = *(const double *)q;
    return (a > b) - (a < b);
}

static double median(double *v, size_t n) {
    qsort(v, n, sizeof *v, compare_doubles);
    return n % 2 ? v[n / 2] : 0.5 * (v[n / 2 - 1] + v[n / 2]);
}

static int64_t choose_runs(int64_t asked, double seconds_each) {
    if (asked) return asked;
    double fit = 1.0 / (seconds_each > 1e-9 ? seconds_each : 1e-9);
    return fit<(double)LEAST_RUNS ? LEAST_RUNS : fit>(double) MOST_RUNS ? MOST_RUNS : (int64_t)fit;
}

static double timed_run(const Session *s, size_t n) {
    double start = seconds_now();
    session_run(s, n);
    return seconds_now() - start;
}

/* Runs all steps in order `runs` times, timing each, and prints the medians. */
static void time_steps(Driver *dr, const Session *s, int64_t runs) {
    const qcc_model *m = s->model;
    double *times = NEW_ARRAY(dr->arena, double, (size_t)runs * m->n_steps + 1);
    qcc_frame frame = {.inputs = s->in, .outputs = s->out, .prep = s->prep, .work = s->work};
    for (int64_t r = 0; r < runs; r++) {
        for (uint32_t i = 0; i < m->n_steps; i++) {
            double start = seconds_now();
            session_step(s, &m->steps[i], &frame);
            times[(size_t)i * (size_t)runs + (size_t)r] = seconds_now() - start;
        }
    }
    printf("%10s %10s %9s  %-40s %s\n", "us", "MACs", "GMAC/s", "kernel", "nodes");
    double total = 0;
    for (uint32_t i = 0; i < m->n_steps; i++) {
        const qcc_step *step = &m->steps[i];
        double t = median(times + (size_t)i * (size_t)runs, (size_t)runs);
        total += t;
        printf("%10.1f %10s %9.1f  %-40s %s\n", 1e6 * t, count_str(dr->arena, step->macs),
               t > 0 ? 1e-9 * (double)step->macs / t : 0.0, step->kernel, step_nodes(dr->arena, step));
    }
    printf("%10.1f %10s %9s  sum of the steps' medians\n", 1e6 * total, "", "");
}

static bool bench_session(Driver *dr, const Session *s, size_t n) {
    int64_t asked, warmup;
    if (!command_count(dr, O_REPEAT, 1, MOST_RUNS, 0, &asked) || !command_count(dr, O_WARMUP, 0, MOST_RUNS, 3, &warmup))
        return false;
    double once = timed_run(s, n);
    for (int64_t i = 0; i < warmup; i++) once = timed_run(s, n);
    int64_t runs = choose_runs(asked, once);
    double *times = NEW_ARRAY(dr->arena, double, runs);
    for (int64_t i = 0; i < runs; i++) {
        times[i] = timed_run(s, n);
        progress_say("run %lld of %lld", (long long)i + 1, (long long)runs);
    }
    progress_done();
    double mid = median(times, (size_t)runs);
    printf("%s: median %.1f us, best %.1f us, %lld runs, %u thread%s, %zu sample%s a run\n", s->model->name, 1e6 * mid,
           1e6 * times[0], (long long)runs, s->exec ? s->exec->workers : 1, s->exec ? "s" : "", n, n == 1 ? "" : "s");
    if (!command_has(&dr->cmd, O_LAYERS)) return true;
    if (!s->model->steps) {
        diag(dr->diags, D_USAGE, LOC_NONE, "the library has no step table: it was compiled with --no-steps");
        return false;
    }
    time_steps(dr, s, i64_min(runs, 1000));
    return true;
}

bool bench_verb(Driver *dr) {
    int64_t threads, batch;
    const char *path = single_file(dr);
    if (!path || !command_count(dr, O_THREADS, 0, 1024, 1, &threads)) return false;
    const qcc_model *m = library_open(dr, path);
    if (!m || !command_count(dr, O_BATCH, 1, m->max_batch, m->max_batch, &batch)) return false;
    PortType *ports = NEW_ARRAY(dr->arena, PortType, m->n_inputs + 1);
    for (uint32_t i = 0; i < m->n_inputs; i++) {
        ports[i] = (PortType){m->inputs[i].name, port_type(&m->inputs[i])};
        if (ports[i].type.shape.rank) ports[i].type.shape.dim[0] *= batch;
    }
    Feeds feeds;
    Session s;
    if (!feeds_read(dr, ports, m->n_inputs, true, &feeds) || !session_open(dr, m, threads, &s)) return false;
    for (uint32_t i = 0; i < m->n_inputs; i++) s.in[i] = feeds.tensor[i]->data;
    for (uint32_t i = 0; i < m->n_outputs; i++)
        s.out[i] = arena_get(dr->arena, (size_t)m->outputs[i].bytes * (size_t)batch + QCC_ALIGN);
    return bench_session(dr, &s, (size_t)batch);
}
