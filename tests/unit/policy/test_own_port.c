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
    const char *reason = own_port_suggest(policy, &range, protocol, &address, NULL, port, &advice);
    assert_false(buffer_failed(&advice));
    const char *told = advice.length > 0 || reason == NULL ? buffer_text(&advice) : reason;
    if (strcmp(told, expected) != 0)
        fail_msg("%s", told);
    /* The first rule ends what --port-remap allows without one. */
    bool ends = advice.length > 0 && policy->port_remap &&
                policy->net_allow.count + policy->net_deny.count == 0;
    assert_int_equal(reason != NULL && strstr(reason, "beside any rule") != NULL, ends);
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

/* What a member may send to it goes on to anybody. */
static void test_no_dns_server_is_suggested(void **state)
{
    struct net_address address;
    const enum net_protocol protocols[] = {NET_TCP, NET_UDP};

    (void)state;
    assert_true(net_address_parse("192.0.2.1", &address));
    for (size_t i = 0; i < 2; i++) {
        struct policy *policy = build_words(WORDS("--net-allow=h:1"));
        CLEANUP_BUFFER struct buffer advice = BUFFER_INIT;
        const char *reason =
            own_port_suggest(policy, &range, protocols[i], &address, NULL, 53, &advice);
        assert_int_equal(advice.length, 0);
        assert_non_null(strstr(reason, "--net-allow HOST:PORT"));
        policy_unref(policy);
    }
}

static void assert_suggests_bind(const char *const *words, uint16_t port, const char *expected)
{
    struct policy *policy = build_words(words);
    CLEANUP_BUFFER struct buffer advice = BUFFER_INIT;

    own_port_suggest_bind(policy, &range, port, &advice);
    assert_string_equal(buffer_text(&advice), expected);
    policy_unref(policy);
}

static void test_a_number_that_bind_zero_gave_is_not_suggested_to_be_bound(void **state)
{
    const char *const *zero = WORDS("--net-allow-bind=0");
    const char *const *other = WORDS("--net-allow-bind=80");

    (void)state;
    assert_suggests_bind(zero, 40000, "--net-allow-bind 40000-50000");
    assert_suggests_bind(zero, 39999, "--net-allow-bind 39999");
    assert_suggests_bind(other, 40000, "--net-allow-bind 40000");
    assert_suggests_bind(other, 0, "--net-allow-bind 0");
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
    struct policy *policy = build_words(WORDS("--net-allow=tcp://h:1"));
    CLEANUP_BUFFER struct buffer advice = BUFFER_INIT;
    struct net_address address;
    assert_true(net_address_parse("127.0.0.1", &address));
    assert_null(own_port_suggest(policy, NULL, NET_UDP, &address, NULL, 0, &advice));
    assert_string_equal(buffer_text(&advice), "--net-allow udp://127.0.0.1:20000-20100");
    policy_unref(policy);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_rules_no_option_is_sure_to_help),
        cmocka_unit_test(test_beside_rules_the_ports_that_the_kernel_chooses_are_suggested),
        cmocka_unit_test(test_other_destinations_are_suggested_as_they_are),
        cmocka_unit_test(test_no_port_suggests_no_address_alone),
        cmocka_unit_test(test_no_dns_server_is_suggested),
        cmocka_unit_test(test_a_number_that_bind_zero_gave_is_not_suggested_to_be_bound),
        cmocka_unit_test(test_the_range_is_the_kernels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
