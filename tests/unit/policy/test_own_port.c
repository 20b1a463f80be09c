/* What would let a member reach a destination, whose port may be another one in the next run. */
#include "policy_test.h"
#include "../skip_because.h"

#include "policy/own_port.h"
#include "util/buffer.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

static const struct port_range range = {40000, 50000};

/* `expected`: what is suggested, or said where nothing is. */
static void assert_suggests(const char *const *words, enum net_protocol protocol, const char *host,
                            uint16_t port, const char *expected)
{
    struct policy *policy = build_words(words);
    CLEANUP_BUFFER struct buffer advice = BUFFER_INIT;
    struct net_address address;

    assert_true(net_address_parse(host, &address));
    const char *reason = own_port_suggest(policy, range, protocol, &address, NULL, port, &advice);
    assert_false(buffer_failed(&advice));
    assert_true(reason == NULL || advice.length == 0);
    if (strcmp(reason != NULL ? reason : buffer_text(&advice), expected) != 0)
        fail_msg("%s", reason != NULL ? reason : buffer_text(&advice));
    policy_unref(policy);
}

#define REMAP \
    "no rule; a server of the command's own at a port that the kernel chose needs --port-remap"

static void test_without_rules_no_option_is_sure_to_help(void **state)
{
    (void)state;
    assert_suggests(WORDS("--net-allow-bind=0"), NET_TCP, "127.0.0.1", 40000, REMAP);
    assert_suggests(WORDS("--net-allow-bind=*"), NET_TCP, "::1", 50000, REMAP);
    assert_suggests(WORDS("--net-deny-bind=80"), NET_TCP, "127.0.0.1", 40000, REMAP);
    /* It is there already, so this was no member's. */
    assert_suggests(WORDS("--net-allow-bind=0", "--port-remap"), NET_TCP, "127.0.0.1", 40000,
                    "--net-allow tcp://127.0.0.1:40000");
}

static void test_beside_rules_the_ports_that_the_kernel_chooses_are_suggested(void **state)
{
    (void)state;
    assert_suggests(WORDS("--net-allow-bind=0", "--net-allow=tcp://h:1"), NET_TCP, "127.0.0.1",
                    40000, "--net-allow tcp://127.0.0.1:40000-50000");
    assert_suggests(WORDS("--net-allow-bind=0", "--net-allow=tcp://h:1"), NET_TCP, "::1", 40000,
                    "--net-allow 'tcp://[::1]:40000-50000'");
    assert_suggests(WORDS("--net-allow-bind=0", "--net-allow=udp://h:1", "--port-remap"), NET_TCP,
                    "127.0.0.1", 40000, "--net-allow tcp://127.0.0.1:40000-50000");
    assert_suggests(WORDS("--net-allow=udp://h:1"), NET_UDP, "127.0.0.1", 40000,
                    "--net-allow udp://127.0.0.1:40000-50000");
}

static void test_other_destinations_are_suggested_as_they_are(void **state)
{
    const char *const *zero = WORDS("--net-allow-bind=0");

    (void)state;
    assert_suggests(zero, NET_TCP, "127.0.0.1", 39999, "--net-allow tcp://127.0.0.1:39999");
    assert_suggests(zero, NET_TCP, "127.0.0.1", 50001, "--net-allow tcp://127.0.0.1:50001");
    assert_suggests(zero, NET_TCP, "192.0.2.1", 40000, "--net-allow tcp://192.0.2.1:40000");
    assert_suggests(zero, NET_ICMP, "127.0.0.1", 40000, "--net-allow icmp://127.0.0.1");
    assert_suggests(WORDS("--net-allow-bind=8080"), NET_TCP, "127.0.0.1", 40000,
                    "--net-allow tcp://127.0.0.1:40000");
    assert_suggests(WORDS("--net-allow=tcp://h:1"), NET_UDP, "127.0.0.1", 40000,
                    "--net-allow udp://127.0.0.1:40000");
    /* All that is allowed is denied. */
    assert_suggests(WORDS("--net-allow=udp://192.0.2.1:1", "--net-deny=udp://192.0.2.1"), NET_UDP,
                    "127.0.0.1", 40000, "--net-allow udp://127.0.0.1:40000");
    /* The user has written it. */
    assert_suggests(WORDS("--net-allow-bind=0,40000"), NET_TCP, "127.0.0.1", 40000,
                    "--net-allow tcp://127.0.0.1:40000");
}

/* No act of a member makes a rule look useful that opens every port of the machine. */
static void test_no_port_suggests_no_address_alone(void **state)
{
    (void)state;
    assert_suggests(WORDS("--net-allow=tcp://h:1"), NET_TCP, "127.0.0.1", 0, "");
    assert_suggests(WORDS("--net-allow=tcp://h:1"), NET_UDP, "127.0.0.1", 0,
                    "--net-allow udp://127.0.0.1:40000-50000");
}

static void assert_range(uint16_t low, uint16_t high)
{
    struct port_range told = own_port_range();

    assert_int_equal(told.low, low);
    assert_int_equal(told.high, high);
}

/* Last: in a network of its own, which has the usual range, and may have another. */
static void test_the_range_is_the_kernels(void **state)
{
    static const char other[] = "20000 20100";

    (void)state;
    if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
        skip_because("no network namespace for this user here");
    int fd = open("/proc/sys/net/ipv4/ip_local_port_range", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        skip_because("the range of ports cannot be set here");
    assert_range(32768, 60999);
    assert_int_equal(write(fd, other, strlen(other)), strlen(other));
    assert_range(20000, 20100);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_rules_no_option_is_sure_to_help),
        cmocka_unit_test(test_beside_rules_the_ports_that_the_kernel_chooses_are_suggested),
        cmocka_unit_test(test_other_destinations_are_suggested_as_they_are),
        cmocka_unit_test(test_no_port_suggests_no_address_alone),
        cmocka_unit_test(test_the_range_is_the_kernels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
