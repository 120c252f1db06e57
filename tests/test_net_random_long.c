/* Random quantized networks: 200, or as many as QCC_NETS says, each for one CPU in turn, and some for all CPUs. */
#include "tests/net_random.h"
#include "tests/support.h"

#include <stdlib.h>

static int count_from(const char *variable, int otherwise) {
    const char *s = getenv(variable);
    return s ? atoi(s) : otherwise;
}

static void test_networks(void **state) {
    (void)state;
    NetTest t = {.first = 1000, .count = count_from("QCC_NETS", 200), .cpus = net_cpus()};
    net_check(&t);
}

/* Integer networks are the same to the bit on all of them. */
static void test_every_cpu(void **state) {
    (void)state;
    NetTest t = {.first = 1000000, .count = count_from("QCC_NETS", 200) / 8, .cpus = net_cpus(), .all = true};
    net_check(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_networks), cmocka_unit_test(test_every_cpu)};
    return TEST_RUN(tests);
}
