/* The runtime's thread pool: every task of every run once, with worker numbers that fit, and nothing left running when
 * a run returns, whatever the workers are doing meanwhile. */
#include "qcc/pool.h"
#include "tests/support.h"

#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

enum { MOST_TASKS = 1000 };

typedef struct Run {
    unsigned workers;
    bool rest; /* tasks sleep a little */
    atomic_int done[MOST_TASKS];
    atomic_int bad_worker, inside[64]; /* inside: tasks that a worker is in */
} Run;

static void task(void *arg, size_t i, unsigned worker) {
    Run *r = arg;
    if (worker >= r->workers || atomic_fetch_add(&r->inside[worker], 1) != 0) atomic_store(&r->bad_worker, 1);
    if (r->rest) usleep(200);
    atomic_fetch_add(&r->done[i], 1);
    atomic_fetch_sub(&r->inside[worker], 1);
}

static void run_tasks(const qcc_exec *exec, size_t n, bool rest) {
    static Run r;
    memset(&r, 0, sizeof r);
    r.workers = exec->workers;
    r.rest = rest;
    exec->parallel_for(exec->ctx, n, task, &r);
    for (size_t i = 0; i < MOST_TASKS; i++) assert_int_equal(atomic_load(&r.done[i]), i < n);
    assert_int_equal(atomic_load(&r.bad_worker), 0);
}

static void test_runs(void **state) {
    (void)state;
    static const unsigned workers[] = {1, 2, 3, 8, 33};
    static const size_t tasks[] = {0, 1, 2, 3, 7, 64, MOST_TASKS};
    for (size_t w = 0; w < COUNT_OF(workers); w++) {
        qcc_pool *pool = qcc_pool_new(workers[w]);
        assert_non_null(pool);
        assert_int_equal(qcc_pool_exec(pool)->workers, workers[w]);
        for (int round = 0; round < 20; round++)
            for (size_t t = 0; t < COUNT_OF(tasks); t++) run_tasks(qcc_pool_exec(pool), tasks[t], false);
        qcc_pool_free(pool);
    }
}

/* Short runs one after the other, which late workers must not mix up. */
static void test_short_runs(void **state) {
    (void)state;
    qcc_pool *pool = qcc_pool_new(4);
    assert_non_null(pool);
    for (int i = 0; i < 3000; i++) run_tasks(qcc_pool_exec(pool), 2 + (size_t)i % 3, false);
    qcc_pool_free(pool);
}

/* Workers asleep before a run, and in the middle of tasks when the caller has none left. */
static void test_sleepers(void **state) {
    (void)state;
    qcc_pool *pool = qcc_pool_new(4);
    assert_non_null(pool);
    for (int i = 0; i < 20; i++) {
        usleep(2000);
        run_tasks(qcc_pool_exec(pool), 9, true);
    }
    usleep(2000);
    qcc_pool_free(pool);
    qcc_pool_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_short_runs),
        cmocka_unit_test(test_sleepers),
    };
    return TEST_RUN(tests);
}
