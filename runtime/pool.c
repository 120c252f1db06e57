/* Fork-join over one shared counter. Publishing a run of n tasks opens it; workers that notice join it and take indices
 * from `next` until none is left. When the caller finds none left it closes the run and waits for those that have
 * joined, not for those that the system keeps from running: on a busy machine they are the ones that would cost most.
 * Workers spin for a while before they sleep, because the steps of a network follow each other within microseconds; a
 * sleeping worker is woken through a condition variable. */
#include "qcc/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

enum { SPIN_ROUNDS = 4000 };

#define OPEN ((uint_least64_t)1 << 31)
#define WORKERS (OPEN - 1)

struct qcc_pool {
    qcc_exec exec;
    qcc_task *task;
    void *arg;
    size_t n;
    atomic_size_t next;
    atomic_uint_least64_t state; /* number of the run << 32 | OPEN | workers in it; task, arg and n are its own */
    atomic_bool stop;
    atomic_uint sleeping;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    unsigned n_threads;
    struct Worker {
        pthread_t thread;
        qcc_pool *pool;
        unsigned index;
    } threads[];
};

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#else
    sched_yield();
#endif
}

static void take_tasks(qcc_pool *p, unsigned worker) {
    for (;;) {
        size_t i = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed);
        if (i >= p->n) return;
        p->task(p->arg, i, worker);
    }
}

/* Joins the run of state s if it is open; false if it was closed meanwhile. */
static bool join(qcc_pool *p, uint_least64_t s) {
    while (s & OPEN)
        if (atomic_compare_exchange_weak(&p->state, &s, s + 1)) return true;
    return false;
}

/* Returns the number of a later run than `seen`, or `seen` itself when the pool stops. */
static uint_least64_t await_run(qcc_pool *p, uint_least64_t seen) {
    for (int i = 0; i < SPIN_ROUNDS; i++) {
        uint_least64_t now = atomic_load_explicit(&p->state, memory_order_acquire) >> 32;
        if (now != seen || atomic_load_explicit(&p->stop, memory_order_relaxed)) return now;
        relax();
    }
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->sleeping, 1);
    while (atomic_load(&p->state) >> 32 == seen && !atomic_load(&p->stop)) pthread_cond_wait(&p->wake, &p->lock);
    atomic_fetch_sub(&p->sleeping, 1);
    pthread_mutex_unlock(&p->lock);
    return atomic_load(&p->state) >> 32;
}

static void *work(void *arg) {
    struct Worker *w = arg;
    qcc_pool *p = w->pool;
    uint_least64_t seen = 0;
    for (;;) {
        uint_least64_t now = await_run(p, seen);
        if (now == seen) return NULL;
        if (join(p, atomic_load(&p->state))) {
            take_tasks(p, w->index);
            now = atomic_fetch_sub_explicit(&p->state, 1, memory_order_release) >> 32;
        }
        seen = now;
    }
}

static void parallel_for(void *ctx, size_t n, qcc_task *task, void *arg) {
    qcc_pool *p = ctx;
    if (p->n_threads == 0 || n <= 1) {
        for (size_t i = 0; i < n; i++) task(arg, i, 0);
        return;
    }
    p->task = task;
    p->arg = arg;
    p->n = n;
    atomic_store_explicit(&p->next, 0, memory_order_relaxed);
    uint_least64_t run = (atomic_load_explicit(&p->state, memory_order_relaxed) >> 32) + 1;
    atomic_store(&p->state, run << 32 | OPEN); /* sequentially consistent with `sleeping`: no sleeper is missed */
    if (atomic_load(&p->sleeping) > 0) {
        pthread_mutex_lock(&p->lock);
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->lock);
    }
    take_tasks(p, 0);
    atomic_fetch_and(&p->state, ~OPEN);
    for (unsigned spins = 0; atomic_load_explicit(&p->state, memory_order_acquire) & WORKERS; spins++) {
        if (spins < SPIN_ROUNDS) {
            relax();
        } else {
            sched_yield();
        }
    }
}

static unsigned usable_cpus(void) {
    long n = sysconf(_SC_NPROCESSORS_ONLN);
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) n = CPU_COUNT(&set);
#endif
    return n < 1 ? 1 : (unsigned)n;
}

qcc_pool *qcc_pool_new(unsigned workers) {
    if (workers == 0) workers = usable_cpus();
    qcc_pool *p = calloc(1, sizeof *p + (workers - 1) * sizeof p->threads[0]);
    if (!p) return NULL;
    p->exec = (qcc_exec){.workers = workers, .ctx = p, .parallel_for = parallel_for};
    if (pthread_mutex_init(&p->lock, NULL) != 0) {
        free(p);
        return NULL;
    }
    if (pthread_cond_init(&p->wake, NULL) != 0) {
        pthread_mutex_destroy(&p->lock);
        free(p);
        return NULL;
    }
    for (unsigned i = 0; i + 1 < workers; i++) {
        p->threads[i] = (struct Worker){.pool = p, .index = i + 1};
        if (pthread_create(&p->threads[i].thread, NULL, work, &p->threads[i]) != 0) {
            qcc_pool_free(p);
            return NULL;
        }
        p->n_threads++;
    }
    return p;
}

void qcc_pool_free(qcc_pool *p) {
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->stop, true);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->n_threads; i++) pthread_join(p->threads[i].thread, NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

const qcc_exec *qcc_pool_exec(const qcc_pool *p) { return &p->exec; }
