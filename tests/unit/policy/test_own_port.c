/* Destinations that have another port in the next run. */
#include "policy_test.h"

#include "policy/own_port.h"

static const struct port_range range = {40000, 50000};

static void assert_own_port(const char *const *words, enum net_protocol protocol, const char *host,
                            uint16_t port, enum own_port expected)
{
    struct policy *policy = build_words(words);
    struct net_address address;

    assert_true(net_address_parse(host, &address));
    assert_int_equal(own_port_of(policy, range, protocol, &address, port), expected);
    policy_unref(policy);
}

static void test_own_ports_need_no_rule_but_port_remap(void **state)
{
    (void)state;
    assert_own_port(WORDS("--net-allow-bind=0"), NET_TCP, "127.0.0.1", 40000, OWN_PORT_REMAP);
    assert_own_port(WORDS("--net-allow-bind=*"), NET_TCP, "::1", 50000, OWN_PORT_REMAP);
    assert_own_port(WORDS("--net-deny-bind=80"), NET_TCP, "127.0.0.1", 40000, OWN_PORT_REMAP);
    /* It is there already, so this was no member's. */
    assert_own_port(WORDS("--net-allow-bind=0", "--port-remap"), NET_TCP, "127.0.0.1", 40000,
                    OWN_PORT_NO);
}

static void test_own_ports_beside_rules_need_one_of_the_address(void **state)
{
    (void)state;
    assert_own_port(WORDS("--net-allow-bind=0", "--net-allow=tcp://h:1"), NET_TCP, "127.0.0.1",
                    40000, OWN_PORT_ADDRESS);
    assert_own_port(WORDS("--net-allow-bind=0", "--net-allow=udp://h:1", "--port-remap"), NET_TCP,
                    "127.0.0.1", 40000, OWN_PORT_ADDRESS);
    assert_own_port(WORDS("--net-allow=udp://h:1"), NET_UDP, "127.0.0.1", 40000, OWN_PORT_ADDRESS);
}

static void test_other_destinations_are_nobodys_own(void **state)
{
    const char *const *zero = WORDS("--net-allow-bind=0");

    (void)state;
    assert_own_port(zero, NET_TCP, "127.0.0.1", 39999, OWN_PORT_NO);
    assert_own_port(zero, NET_TCP, "127.0.0.1", 50001, OWN_PORT_NO);
    assert_own_port(zero, NET_TCP, "192.0.2.1", 40000, OWN_PORT_NO);
    assert_own_port(zero, NET_ICMP, "127.0.0.1", 40000, OWN_PORT_NO);
    assert_own_port(WORDS("--net-allow-bind=8080"), NET_TCP, "127.0.0.1", 40000, OWN_PORT_NO);
    assert_own_port(WORDS("--net-allow=tcp://h:1"), NET_UDP, "127.0.0.1", 40000, OWN_PORT_NO);
    /* The user has written it. */
    assert_own_port(WORDS("--net-allow-bind=0,40000"), NET_TCP, "127.0.0.1", 40000, OWN_PORT_NO);
}

static void test_the_range_is_the_kernels_where_it_matters(void **state)
{
    struct policy *none = build_words(WORDS("--net-allow-bind=80"));
    struct policy *some = build_words(WORDS("--net-allow-bind=0"));

    (void)state;
    assert_true(own_port_range(none).low > own_port_range(none).high);
    assert_true(own_port_range(some).low <= own_port_range(some).high);
    policy_unref(none);
    policy_unref(some);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_ports_need_no_rule_but_port_remap),
        cmocka_unit_test(test_own_ports_beside_rules_need_one_of_the_address),
        cmocka_unit_test(test_other_destinations_are_nobodys_own),
        cmocka_unit_test(test_the_range_is_the_kernels_where_it_matters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
