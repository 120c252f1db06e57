/* Fork-join over one shared counter. A run of n tasks is published by raising `epoch`; workers take indices from `next`
 * until none is left. Workers spin for a while before they sleep, because the steps of a network follow each other
 * within microseconds; a sleeping worker is woken through a condition variable. */
#include "qcc/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

enum { SPIN_ROUNDS = 4000 };

struct qcc_pool {
    qcc_exec exec;
    qcc_task *task;
    void *arg;
    size_t n;
    atomic_size_t next;
    atomic_uint epoch;   /* one more for every run; odd-even has no meaning */
    atomic_uint running; /* workers that have not finished this run */
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

/* Returns the next epoch after `seen`, or `seen` itself when the pool stops. */
static unsigned await_epoch(qcc_pool *p, unsigned seen) {
    for (int i = 0; i < SPIN_ROUNDS; i++) {
        unsigned now = atomic_load_explicit(&p->epoch, memory_order_acquire);
        if (now != seen || atomic_load_explicit(&p->stop, memory_order_relaxed)) return now;
        relax();
    }
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->sleeping, 1);
    while (atomic_load(&p->epoch) == seen && !atomic_load(&p->stop)) pthread_cond_wait(&p->wake, &p->lock);
    atomic_fetch_sub(&p->sleeping, 1);
    pthread_mutex_unlock(&p->lock);
    return atomic_load_explicit(&p->epoch, memory_order_acquire);
}

static void *work(void *arg) {
    struct Worker *w = arg;
    qcc_pool *p = w->pool;
    unsigned seen = 0;
    for (;;) {
        unsigned now = await_epoch(p, seen);
        if (now == seen) return NULL;
        seen = now;
        take_tasks(p, w->index);
        atomic_fetch_sub_explicit(&p->running, 1, memory_order_release);
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
    atomic_store_explicit(&p->running, p->n_threads, memory_order_relaxed);
    atomic_fetch_add(&p->epoch, 1); /* sequentially consistent with `sleeping`: no sleeper is missed */
    if (atomic_load(&p->sleeping) > 0) {
        pthread_mutex_lock(&p->lock);
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->lock);
    }
    take_tasks(p, 0);
    for (unsigned spins = 0; atomic_load_explicit(&p->running, memory_order_acquire) != 0; spins++) {
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
