/* What a policy leaves possible: the questions that filter, rulesets, features and posture ask. */
#include "policy_test.h"

#include "policy/network.h"

static struct network_shape shape_of(const char *const *words)
{
    struct policy *policy = build_words(words);
    struct network_shape shape = network_shape_of(policy);

    policy_unref(policy);
    return shape;
}

#define SHAPE(...) shape_of(WORDS(__VA_ARGS__))

static bool may_bind(const char *const *words, uint16_t port)
{
    struct policy *policy = build_words(words);
    bool may = network_may_bind(policy, port);

    policy_unref(policy);
    return may;
}

#define BINDS(port, ...) may_bind(WORDS(__VA_ARGS__), port)

/* ---- Destinations ---------------------------------------------------------------------------- */

static void test_without_rules_the_network_is_closed(void **state)
{
    struct network_shape shape = SHAPE("-r/");

    assert_false(shape.destination_policy);
    assert_int_equal(shape.udp, UDP_CLOSED);
    assert_false(shape.ping);
    assert_false(shape.direct);
    assert_false(shape.hosts_view);
    shape = SHAPE("--port-remap", "--net-allow-bind=80", "--net-deny-bind=81");
    assert_int_equal(shape.udp, UDP_CLOSED);
    assert_false(shape.destination_policy);
}

static void test_udp_is_inert_where_no_datagram_passes(void **state)
{
    assert_int_equal(SHAPE("--net-allow=tcp://*").udp, UDP_INERT);
    assert_int_equal(SHAPE("--net-allow=icmp://*").udp, UDP_INERT);
    assert_int_equal(SHAPE("--net-deny=udp://*").udp, UDP_INERT);
    assert_int_equal(SHAPE("--net-deny=udp://*:1-65535").udp, UDP_INERT);
    assert_int_equal(SHAPE("--net-deny=udp://0.0.0.0/0", "--net-deny=udp://::/0").udp, UDP_INERT);
    assert_int_equal(SHAPE("--net-allow=udp://10.0.0.1:53", "--net-deny=*").udp, UDP_INERT);
    assert_int_equal(SHAPE("--net-allow=udp://10.0.0.1:53", "--net-deny=10.0.0.0/8").udp,
                     UDP_INERT);
}

static void test_udp_is_open_where_one_passes(void **state)
{
    assert_int_equal(SHAPE("--net-allow=10.0.0.1:53").udp, UDP_OPEN);
    assert_int_equal(SHAPE("--net-deny=tcp://*").udp, UDP_OPEN);
    assert_int_equal(SHAPE("--net-deny=udp://0.0.0.0/0").udp, UDP_OPEN);
    assert_int_equal(SHAPE("--net-deny=udp://*:53").udp, UDP_OPEN);
    assert_int_equal(SHAPE("--net-allow=udp://10.0.0.1:53", "--net-deny=11.0.0.0/8").udp, UDP_OPEN);
    assert_int_equal(SHAPE("--net-allow=udp://h", "--net-deny=10.0.0.0/8").udp, UDP_OPEN);
}

static void test_rules_that_deny_all_that_is_allowed_only_together_are_seen(void **state)
{
    assert_int_equal(
        SHAPE("--net-deny=udp://0.0.0.0/1", "--net-deny=udp://128.0.0.0/1", "--net-deny=udp://::/0")
            .udp,
        UDP_INERT);
    assert_int_equal(
        SHAPE("--net-deny=udp://0.0.0.0/1", "--net-deny=udp://128.0.0.0/2", "--net-deny=udp://::/0")
            .udp,
        UDP_OPEN);
    assert_int_equal(SHAPE("--net-deny=udp://*:1-1000", "--net-deny=udp://*:1001-65535").udp,
                     UDP_INERT);
    assert_int_equal(SHAPE("--net-deny=udp://*:1-1000", "--net-deny=udp://*:1002-65535").udp,
                     UDP_OPEN);
    assert_int_equal(SHAPE("--net-allow=udp://10.0.0.0/24", "--net-deny=udp://10.0.0.0/25",
                           "--net-deny=udp://10.0.0.128/25")
                         .udp,
                     UDP_INERT);
    assert_int_equal(SHAPE("--net-allow=udp://10.0.0.0/24:53", "--net-deny=udp://10.0.0.0/25:53",
                           "--net-deny=udp://10.0.0.128/26", "--net-deny=udp://10.0.0.192/26:52")
                         .udp,
                     UDP_OPEN);
    /* An IPv6 address is denied with the IPv4 one that it carries. */
    assert_int_equal(SHAPE("--net-allow=udp://2002::/16", "--net-deny=udp://0.0.0.0/0").udp,
                     UDP_INERT);
    assert_int_equal(SHAPE("--net-allow=udp://2002::/15", "--net-deny=udp://0.0.0.0/0").udp,
                     UDP_OPEN);
    /* The addresses of a name are not known here. */
    assert_int_equal(SHAPE("--net-allow=udp://h:53", "--net-deny=udp://*:1-99").udp, UDP_INERT);
    assert_int_equal(SHAPE("--net-allow=udp://h:53", "--net-deny=udp://*:54-99").udp, UDP_OPEN);
    assert_false(SHAPE("--net-allow=icmp://10.0.0.0/31", "--net-deny=icmp://10.0.0.0",
                       "--net-deny=icmp://10.0.0.1")
                     .ping);
}

/* 2^bits addresses are allowed, and each of them is denied by a rule of its own. */
static struct network_shape shape_of_single_denials(unsigned bits, const char *last)
{
    static char texts[2049][40];
    static const char *words[2051];
    unsigned count = 1;

    snprintf(texts[0], sizeof(texts[0]), "--net-allow=udp://10.0.0.0/%u:53", 32 - bits);
    for (unsigned i = 0; i < 1U << bits; i++)
        snprintf(texts[count++], sizeof(texts[0]), "--net-deny=udp://10.0.%u.%u", i / 256, i % 256);
    for (unsigned i = 0; i < count; i++)
        words[i] = texts[i];
    words[count] = last;
    words[count + 1] = NULL;
    return shape_of(words);
}

/* More rules than the answer has time for are taken to leave something. */
static void test_very_many_rules_that_deny_all_only_together_leave_udp_open(void **state)
{
    assert_int_equal(shape_of_single_denials(8, NULL).udp, UDP_INERT);
    assert_int_equal(shape_of_single_denials(11, NULL).udp, UDP_OPEN);
    assert_int_equal(shape_of_single_denials(11, "--net-deny=udp://*").udp, UDP_INERT);
}

static void test_ping_needs_its_own_rule_or_a_deny_list(void **state)
{
    assert_false(SHAPE("--net-allow=*").ping);
    assert_true(SHAPE("--net-allow=icmp://10.0.0.1").ping);
    assert_true(SHAPE("--net-deny=10.0.0.1").ping);
    assert_false(SHAPE("--net-deny=icmp://*").ping);
}

static void test_connects_are_on_behalf_where_something_needs_it(void **state)
{
    assert_false(SHAPE("ls").connect_on_behalf);
    assert_true(SHAPE("-r/").connect_on_behalf); /* the gate of named unix sockets */
    assert_false(SHAPE("-r/", "--without=unix-gate").connect_on_behalf);
    assert_true(SHAPE("--net-allow=10.0.0.1").connect_on_behalf);
    assert_true(SHAPE("--port-remap").connect_on_behalf);
    assert_false(SHAPE("-r/", "--no-supervisor").connect_on_behalf);
}

static void test_tcp_ports_alone_are_the_kernels(void **state)
{
    struct network_shape shape = SHAPE("-r/", "--without=unix-gate", "--net-allow=tcp://:80,443");

    assert_true(shape.direct);
    assert_false(shape.connect_on_behalf);
    assert_true(shape.destination_policy);
    assert_int_equal(shape.udp, UDP_INERT);
    assert_true(SHAPE("--net-allow=tcp://*").direct);
    assert_false(SHAPE("-r/", "--net-allow=tcp://:80").direct);
    assert_false(SHAPE("--net-allow=tcp://10.0.0.1:80").direct);
    assert_false(SHAPE("--net-allow=:80").direct);
    assert_false(SHAPE("--net-allow=tcp://:80", "--net-deny=tcp://10.0.0.1").direct);
    assert_false(SHAPE("--net-allow=tcp://:80", "--port-remap").direct);
    assert_false(SHAPE("--net-allow=tcp://:80", "--disable=net-tcp").direct);
    assert_false(SHAPE("--net-allow=tcp://:80", "--allow-degraded=net-tcp").direct);
}

static void test_where_the_kernel_gates_unix_sockets_the_supervisor_does_not(void **state)
{
    struct policy *policy = build_words(WORDS("-r/", "--net-allow=tcp://:80"));
    struct network_shape supervised = network_shape_with(policy, false);
    struct network_shape kernel = network_shape_with(policy, true);

    assert_true(supervised.unix_gate && supervised.connect_on_behalf && !supervised.direct);
    assert_false(supervised.unix_gate_by_kernel);
    assert_false(kernel.unix_gate || kernel.connect_on_behalf);
    assert_true(kernel.unix_gate_by_kernel && kernel.direct);
    policy_unref(policy);
    policy = build_words(WORDS("-r/", "--without=unix-gate"));
    kernel = network_shape_with(policy, true);
    assert_false(kernel.unix_gate || kernel.unix_gate_by_kernel || kernel.connect_on_behalf);
    policy_unref(policy);
    policy = build_words(WORDS("-r/", "--no-supervisor"));
    assert_true(network_shape_with(policy, true).unix_gate_by_kernel);
    policy_unref(policy);
}

static void test_without_a_supervisor_the_kernel_judges(void **state)
{
    struct network_shape shape = SHAPE("-r/", "--no-supervisor", "--net-allow=tcp://:80");

    assert_false(shape.connect_on_behalf);
    assert_int_equal(shape.udp, UDP_CLOSED);
    assert_false(shape.hosts_view);
}

/* ---- Bind ------------------------------------------------------------------------------------ */

static void test_ports_that_may_be_bound(void **state)
{
    assert_false(BINDS(80, "ls"));
    assert_false(BINDS(0, "ls"));
    assert_true(BINDS(80, "--net-allow-bind=80"));
    assert_false(BINDS(0, "--net-allow-bind=80"));
    assert_true(BINDS(0, "--net-allow-bind=0"));
    assert_false(BINDS(1, "--net-allow-bind=0"));
    assert_true(BINDS(1, "--net-allow-bind=*"));
    assert_true(BINDS(0, "--net-allow-bind=*"));
    assert_false(BINDS(80, "--port-remap"));
}

static void test_denied_ports_are_never_bound(void **state)
{
    assert_false(BINDS(80, "--net-deny-bind=80"));
    assert_true(BINDS(81, "--net-deny-bind=80"));
    assert_true(BINDS(0, "--net-deny-bind=80"));
    assert_false(BINDS(0, "--net-deny-bind=0"));
    assert_false(BINDS(80, "--net-deny-bind=80", "--net-allow-bind=*"));
    assert_false(BINDS(80, "--net-deny-bind=80", "--net-allow-bind=79-81"));
    assert_true(BINDS(81, "--net-deny-bind=80", "--net-allow-bind=79-81"));
    assert_false(BINDS(82, "--net-deny-bind=80", "--net-allow-bind=79-81"));
    assert_false(BINDS(80, "--net-deny-bind=80", "--disable=net-tcp"));
    assert_true(BINDS(81, "--net-deny-bind=80", "--disable=net-tcp"));
}

static void test_the_shape_of_bind(void **state)
{
    struct network_shape shape = SHAPE("--net-allow-bind=80");

    assert_true(shape.bind_restricted && shape.tcp_allow_layer);
    assert_false(shape.bind_on_behalf || shape.bind_zero);
    shape = SHAPE("--net-allow-bind=*");
    assert_false(shape.bind_restricted || shape.tcp_allow_layer || shape.bind_on_behalf);
    assert_true(shape.bind_zero);
    shape = SHAPE("--net-deny-bind=80");
    assert_true(shape.bind_restricted && shape.bind_on_behalf && shape.bind_zero);
    assert_false(shape.tcp_allow_layer);
    shape = SHAPE("--port-remap");
    assert_true(shape.bind_restricted && shape.bind_on_behalf);
    assert_false(shape.bind_zero);
}

/* A port that the kernel chooses may be a denied one. */
static void test_listen_is_judged_where_it_may_take_what_bind_may_not(void **state)
{
    assert_true(SHAPE("--net-allow-bind=80").listen_restricted);
    assert_true(SHAPE("--net-deny-bind=0").listen_restricted);
    assert_true(SHAPE("--net-deny-bind=40000").listen_restricted);
    assert_true(SHAPE("--net-deny-bind=40000", "--net-allow-bind=0").listen_restricted);
    assert_false(SHAPE("--net-allow-bind=0").listen_restricted);
    assert_false(SHAPE("--net-allow-bind=*").listen_restricted);
}

/* Elsewhere the kernel's own verdict is enough, and nobody waits for the supervisor. */
static void test_binds_are_on_behalf_where_an_interface_would_mislead_packets(void **state)
{
    struct network_shape shape = SHAPE("--net-allow=tcp://127.0.0.1", "--net-allow-bind=80");

    assert_true(shape.bind_on_behalf && !shape.bind_by_port);
    assert_true(SHAPE("--net-deny=10.0.0.0/8", "--net-allow-bind=*").bind_on_behalf);
    assert_true(SHAPE("--net-allow=tcp://127.0.0.1", "--disable=net-tcp").bind_on_behalf);
    assert_false(SHAPE("--net-allow=tcp://127.0.0.1").bind_on_behalf); /* no port at all */
    assert_false(SHAPE("--net-allow-bind=80").bind_on_behalf);         /* no packet at all */
    shape = SHAPE("--net-deny-bind=80");
    assert_true(shape.bind_on_behalf && shape.bind_by_port);
}

static void assert_gap(const struct port_range *ranges, size_t count, struct port_range range,
                       unsigned low, unsigned high)
{
    struct port_range gap = {0, 0};

    assert_int_equal(port_ranges_widest_gap(ranges, count, range, &gap), high != 0);
    assert_int_equal(gap.low, low);
    assert_int_equal(gap.high, high);
}

static void test_the_widest_stretch_without_a_listed_port(void **state)
{
    static const struct port_range all = {1, 65535}, some = {100, 200};
    const struct port_range one[] = {{110, 110}}, two[] = {{1, 120}, {150, 65535}};
    const struct port_range ends[] = {{100, 100}, {200, 200}}, middle[] = {{150, 150}};
    const struct port_range outside[] = {{1, 99}, {201, 300}};

    (void)state;
    assert_gap(NULL, 0, some, 100, 200);
    assert_gap(outside, 2, some, 100, 200);
    assert_gap(one, 1, some, 111, 200);
    assert_gap(two, 2, some, 121, 149);
    assert_gap(ends, 2, some, 101, 199);
    assert_gap(middle, 1, some, 100, 149);
    assert_gap(one, 1, all, 111, 65535);
    assert_gap(two, 2, all, 121, 149);
    assert_gap(&all, 1, some, 0, 0);
    assert_gap(&all, 1, all, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_rules_the_network_is_closed),
        cmocka_unit_test(test_udp_is_inert_where_no_datagram_passes),
        cmocka_unit_test(test_udp_is_open_where_one_passes),
        cmocka_unit_test(test_rules_that_deny_all_that_is_allowed_only_together_are_seen),
        cmocka_unit_test(test_very_many_rules_that_deny_all_only_together_leave_udp_open),
        cmocka_unit_test(test_ping_needs_its_own_rule_or_a_deny_list),
        cmocka_unit_test(test_connects_are_on_behalf_where_something_needs_it),
        cmocka_unit_test(test_tcp_ports_alone_are_the_kernels),
        cmocka_unit_test(test_where_the_kernel_gates_unix_sockets_the_supervisor_does_not),
        cmocka_unit_test(test_without_a_supervisor_the_kernel_judges),
        cmocka_unit_test(test_ports_that_may_be_bound),
        cmocka_unit_test(test_denied_ports_are_never_bound),
        cmocka_unit_test(test_the_shape_of_bind),
        cmocka_unit_test(test_listen_is_judged_where_it_may_take_what_bind_may_not),
        cmocka_unit_test(test_binds_are_on_behalf_where_an_interface_would_mislead_packets),
        cmocka_unit_test(test_the_widest_stretch_without_a_listed_port),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
