/* Random quantized networks on aarch64 under qemu-user: the same codes to the bit. */
#include "tests/net_random.h"
#include "tests/support.h"

#include <stdio.h>
#include <stdlib.h>

static void run(const char *command) {
    int status = system(command);
    if (status != 0) fail_msg("%s: %d", command, status);
}

static void test_aarch64(void **state) {
    (void)state;
    if (system("command -v qemu-aarch64 aarch64-linux-gnu-gcc >/dev/null") != 0) {
        const char *ci = getenv("CI");
        print_message("qemu-user or gcc-aarch64-linux-gnu is not installed\n");
        if (ci && *ci) fail();
        skip();
    }
    Arena a = {0};
    const char *runner = arena_printf(&a, "%s/run_model", test_dir(&a));
    run(arena_printf(&a,
                     "aarch64-linux-gnu-gcc -O1 -I" QCC_SOURCE_DIR "/runtime/include " QCC_SOURCE_DIR
                     "/tests/cross/run_model.c -o %s -ldl",
                     runner));
    setenv("QEMU_LD_PREFIX", "/usr/aarch64-linux-gnu", 1);
    NetTest t = {.first = 5000,
                 .count = 40,
                 .cpus = net_cpus(),
                 .target = "aarch64",
                 .runner = arena_printf(&a, "qemu-aarch64 %s", runner)};
    net_check(&t);
    arena_free(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_aarch64)};
    return TEST_RUN(tests);
}
