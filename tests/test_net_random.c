/* Random quantized networks, a few of them. QCC_SEED=N runs the network of one seed, for all CPUs. */
#include "tests/net_random.h"
#include "tests/support.h"

#include <stdlib.h>

static void test_networks(void **state) {
    (void)state;
    const char *seed = getenv("QCC_SEED");
    NetTest t = {.first = 1, .count = 30, .cpus = net_cpus()};
    if (seed) t = (NetTest){.first = strtoull(seed, NULL, 10), .count = 1, .cpus = net_cpus(), .all = true};
    net_check(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_networks)};
    return TEST_RUN(tests);
}
