/* Destination rules: what each form becomes, the words of each refusal, and that rules read back. */
#include "policy_test.h"

#include "policy/net_rule.h"

/* The rules of some specs as text, one after the other with blanks between them. */
static void assert_rules(enum net_rule_side side, const char *const *specs, const char *expected)
{
    struct net_rules rules = {0};
    struct buffer text = BUFFER_INIT;
    struct error err = {0};

    for (; *specs != NULL; specs++) {
        if (!net_rules_parse(&rules, *specs, side, &err))
            fail_msg("refused: %s", err.text);
    }
    assert_true(net_rules_drop_duplicates(&rules));
    for (size_t i = 0; i < rules.count; i++) {
        buffer_append_text(&text, i > 0 ? " " : "");
        net_rule_render(&rules.items[i], &text);
    }
    assert_string_equal(buffer_text(&text), expected);
    buffer_free(&text);
    net_rules_free(&rules);
}

#define ALLOWS(spec, expected) assert_rules(NET_ALLOW, TEXTS(spec), expected)

static void assert_refused(enum net_rule_side side, const char *spec, const char *const *texts)
{
    struct net_rules rules = {0};
    struct error err = {0};

    if (net_rules_parse(&rules, spec, side, &err))
        fail_msg("accepted: %s", spec);
    assert_int_equal(err.kind, ERROR_CONFIG);
    assert_int_equal(rules.count, 0);
    assert_has_texts(err.text, texts);
    assert_has_texts(err.text, TEXTS(spec));
    net_rules_free(&rules);
}

#define REFUSES(spec, ...) assert_refused(NET_ALLOW, spec, TEXTS(__VA_ARGS__))

/* ---- Forms ----------------------------------------------------------------------------------- */

static void test_without_a_scheme_it_is_tcp_and_udp(void **state)
{
    ALLOWS("10.0.0.1:80", "tcp://10.0.0.1:80 udp://10.0.0.1:80");
    ALLOWS("example.com:443", "tcp://example.com:443 udp://example.com:443");
    ALLOWS("tcp://10.0.0.1:80", "tcp://10.0.0.1:80");
    ALLOWS("udp://10.0.0.1:80", "udp://10.0.0.1:80");
}

static void test_no_port_is_every_port(void **state)
{
    ALLOWS("tcp://example.com", "tcp://example.com");
    ALLOWS("tcp://example.com:*", "tcp://example.com");
    ALLOWS("tcp://example.com:*, *", "tcp://example.com");
    ALLOWS("tcp://10.0.0.1", "tcp://10.0.0.1");
    ALLOWS("tcp://10.0.0.1:1-65535", "tcp://10.0.0.1");
}

static void test_any_address_has_several_spellings(void **state)
{
    ALLOWS("tcp://*", "tcp://*");
    ALLOWS("tcp://:*", "tcp://*");
    ALLOWS("tcp://*:*", "tcp://*");
    ALLOWS("*", "tcp://* udp://*");
    ALLOWS(":443", "tcp://*:443 udp://*:443");
    ALLOWS("tcp://*:443", "tcp://*:443");
}

static void test_ports_are_sorted_and_joined(void **state)
{
    ALLOWS("tcp://*: 443 ,80,443", "tcp://*:80,443");
    ALLOWS("tcp://*:8000-8010", "tcp://*:8000-8010");
    ALLOWS("tcp://*:8005-8010, 8000 - 8006 ,8011", "tcp://*:8000-8011");
    ALLOWS("tcp://*:65535", "tcp://*:65535");
}

static void test_an_address_is_read_before_a_colon_is(void **state)
{
    ALLOWS("tcp://::1", "tcp://::1");
    ALLOWS("tcp://fc00::/7", "tcp://fc00::/7");
    ALLOWS("tcp://::1:443", "tcp://::1:443"); /* an address */
    ALLOWS("tcp://[::1]:443", "tcp://[::1]:443");
    ALLOWS("tcp://[::1]:*", "tcp://::1");
    REFUSES("tcp://[::1]", "malformed bracketed address");
    REFUSES("[fc00::/7]", "for every port ADDRESS alone");
    ALLOWS("tcp://[fe80::/10]:80", "tcp://[fe80::/10]:80");
    ALLOWS("tcp://[10.0.0.1]:80", "tcp://10.0.0.1:80");
    ALLOWS("tcp://fc00::/7:443", "tcp://[fc00::/7]:443");
}

static void test_host_bits_are_dropped(void **state)
{
    ALLOWS("tcp://10.1.2.3/8:53", "tcp://10.0.0.0/8:53");
    ALLOWS("tcp://10.1.2.3/32", "tcp://10.1.2.3");
    ALLOWS("tcp://1.2.3.4/0", "tcp://0.0.0.0/0");
    ALLOWS("tcp://2001:db8:ffff::1/33", "tcp://2001:db8:8000::/33");
    ALLOWS("tcp://::1/128", "tcp://::1");
}

static void test_icmp_has_a_target_and_no_ports(void **state)
{
    ALLOWS("icmp://*", "icmp://*");
    ALLOWS("icmp://10.0.0.0/8", "icmp://10.0.0.0/8");
    ALLOWS("icmp://::1", "icmp://::1");
    ALLOWS("icmp://[::1]", "icmp://::1");
    ALLOWS("icmp://[fe80::/10]", "icmp://fe80::/10");
    ALLOWS("icmp://example.com", "icmp://example.com");
}

static void test_hosts_are_kept_as_given(void **state)
{
    ALLOWS("tcp://Example.COM.:80", "tcp://Example.COM.:80");
    ALLOWS("tcp://my_host-1", "tcp://my_host-1");
    ALLOWS("tcp://localhost:80", "tcp://localhost:80");
    ALLOWS("tcp://1e100.net", "tcp://1e100.net");
}

static void test_deny_takes_addresses(void **state)
{
    assert_rules(NET_DENY, TEXTS("tcp://10.0.0.0/8", ":25", "udp://*", "icmp://::1"),
                 "tcp://10.0.0.0/8 tcp://*:25 udp://*:25 udp://* icmp://::1");
}

static void test_repeated_rules_are_dropped_and_the_order_kept(void **state)
{
    assert_rules(NET_ALLOW,
                 TEXTS("tcp://b:1", "tcp://a:1", "b:1", "tcp://10.1.0.0/8", "tcp://10.2.0.0/8",
                       "tcp://a:1,1", "tcp://A:1"),
                 "tcp://b:1 tcp://a:1 udp://b:1 tcp://10.0.0.0/8");
}

static void test_rules_read_back_as_themselves(void **state)
{
    static const char *const rules[] = {
        "tcp://*",
        "tcp://*:1,3-5",
        "udp://10.0.0.0/8:53",
        "tcp://[::1]:443",
        "tcp://::1",
        "icmp://example.com",
        "udp://::/0",
        "tcp://[fc00::/7]:80-90",
        "icmp://fe80::/10",
        "tcp://::ffff:10.0.0.1",
        "tcp://0.0.0.0/0",
        "udp://h.example:1",
    };

    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
        ALLOWS(rules[i], rules[i]);
}

/* ---- Refusals -------------------------------------------------------------------------------- */

static void test_schemes_are_three(void **state)
{
    REFUSES("sctp://10.0.0.1", "unknown scheme", "tcp://", "udp://", "icmp://");
    REFUSES("icmp-raw://*", "unknown scheme");
    REFUSES("TCP://*", "unknown scheme");
    REFUSES("://*", "unknown scheme");
}

static void test_a_rule_says_something(void **state)
{
    REFUSES("", "empty rule", "*");
    REFUSES("tcp://", "empty rule", "*");
    REFUSES("icmp://", "needs a host/IP or `*`");
    REFUSES(":", "invalid port");
    REFUSES("example.com:", "invalid port");
}

static void test_icmp_takes_no_port(void **state)
{
    REFUSES("icmp://10.0.0.1:8", "icmp rule takes no port");
    REFUSES("icmp://[::1]:8", "icmp rule takes no port");
    REFUSES("icmp://*:*", "icmp rule takes no port");
    REFUSES("icmp://[::1", "malformed bracketed address");
    REFUSES("icmp://[host]", "malformed bracketed address");
}

static void test_ports_are_judged(void **state)
{
    REFUSES(":0", "port 0");
    REFUSES("tcp://10.0.0.1:0-5", "port 0");
    REFUSES(":65536", "invalid port");
    REFUSES(":http", "invalid port");
    REFUSES(":80,", "invalid port");
    REFUSES(":80,,81", "invalid port");
    REFUSES(":-1", "invalid port");
    REFUSES(":80-", "invalid port");
    REFUSES(":+80", "invalid port");
    REFUSES(":90-80", "invalid port", "reversed");
    REFUSES(":80,*", "cannot mix");
    REFUSES("host:80:81:x", "invalid port");
}

static void test_addresses_are_judged(void **state)
{
    REFUSES("[::1]443", "malformed bracketed address");
    REFUSES("[host]:443", "malformed bracketed address");
    REFUSES("[::1:443", "malformed bracketed address");
    REFUSES("[fe80::1%eth0]:80", "addresses have no zone");
    REFUSES("fe80::1%eth0", "addresses have no zone");
    REFUSES("10.0.0.0/33", "invalid CIDR");
    REFUSES("10.0.0.0/:80", "invalid CIDR");
    REFUSES("10.0.0.0/-1", "invalid CIDR");
    REFUSES("fc00::/129", "invalid CIDR");
    REFUSES("example.com/24", "invalid CIDR");
    REFUSES("example.com/24:80", "invalid CIDR");
}

static void test_hosts_are_judged(void **state)
{
    REFUSES("exa mple.com", "invalid host");
    REFUSES("example.com;", "invalid host");
    REFUSES("ex\xc3\xa4mple.com", "invalid host");
    REFUSES("a..b", "invalid host", "empty label");
    REFUSES(".a", "invalid host", "empty label");
    REFUSES(".", "invalid host", "empty label");
    REFUSES("a..", "invalid host", "empty label");
    REFUSES("-A:80", "invalid host", "'-'");
    REFUSES("a:b:80", "invalid host", "[ADDRESS]:PORTS");
    REFUSES("10.0.0.256", "neither an address nor a host");
    REFUSES("443", "neither an address nor a host", ":PORT");
    /* What resolvers read as a number. */
    static const char *const numbers[] = {
        "2130706433", "0177.0.0.1",   "0x7f000001", "0X7F000001:80", "0xA9FEa9fe", "127.0.0.0x1",
        "127.0x1.",   "tcp://0x7f.1", "h.0x1f",     "icmp://0x7f1",  "0x",         "017700000001"};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        REFUSES(numbers[i], "neither an address nor a host");
    REFUSES("a*.b", "invalid host");
}

static void test_the_longest_host_has_253_bytes(void **state)
{
    char name[260];
    char expected[600];
    struct net_rules rules = {0};
    struct error err = {0};

    for (size_t i = 0; i < sizeof(name); i++)
        name[i] = i % 50 == 49 ? '.' : 'a';
    name[253] = '\0';
    snprintf(expected, sizeof(expected), "tcp://%s udp://%s", name, name);
    ALLOWS(name, expected);
    strcpy(name + 253, "a");
    assert_false(net_rules_parse(&rules, name, NET_ALLOW, &err));
    assert_has_texts(err.text, TEXTS("253"));
    net_rules_free(&rules);
}

static void test_host_patterns_are_refused_as_such(void **state)
{
    REFUSES("*.example.com", "patterns", "not supported");
    REFUSES("tcp://*.example.com:443", "patterns", "not supported");
}

static void test_deny_takes_no_hosts(void **state)
{
    assert_refused(NET_DENY, "example.com", TEXTS("hostnames are not allowed", "deny addresses"));
    assert_refused(NET_DENY, "tcp://localhost:80", TEXTS("hostnames are not allowed"));
    assert_refused(NET_DENY, "icmp://example.com", TEXTS("hostnames are not allowed"));
}

static void test_a_protocol_alone_is_told_how_it_is_written(void **state)
{
    static const char *const names[] = {"tcp", "udp", "icmp"};
    struct net_rules rules = {0};
    struct error err = {0};
    char spec[32];

    for (size_t i = 0; i < 3; i++) {
        snprintf(spec, sizeof(spec), "written %s://*", names[i]);
        assert_refused(NET_ALLOW, names[i], TEXTS(spec));
        assert_refused(NET_DENY, names[i], TEXTS(spec));
        snprintf(spec, sizeof(spec), "%s:*", names[i]); /* a host */
        assert_true(net_rules_parse(&rules, spec, NET_ALLOW, &err));
        snprintf(spec, sizeof(spec), "tcp://%s", names[i]);
        assert_true(net_rules_parse(&rules, spec, NET_ALLOW, &err));
    }
    assert_true(net_rules_parse(&rules, "icmp.example", NET_ALLOW, &err));
    net_rules_free(&rules);
    assert_refused(NET_ALLOW, "raw", TEXTS("never raw sockets", "raw:*"));
    assert_refused(NET_DENY, "raw", TEXTS("never raw sockets"));
}

static void test_lists_of_destinations_are_named_as_such(void **state)
{
    REFUSES("a:80,b:443", "one destination per option");
    REFUSES("10.0.0.1,10.0.0.2", "one destination per option");
    REFUSES("10.0.0.0/8,192.168.0.0/16", "one destination per option");
    REFUSES("10.0.0.1:80,10.0.0.2", "one destination per option");
    REFUSES("[::1]:80,[::2]:80", "one destination per option");
    assert_refused(NET_DENY, "10.0.0.1,10.0.0.2", TEXTS("one destination per option"));
}

static void test_a_bad_spec_adds_nothing_to_earlier_ones(void **state)
{
    struct net_rules rules = {0};
    struct error err = {0};

    assert_true(net_rules_parse(&rules, "10.0.0.1:80", NET_ALLOW, &err));
    assert_false(net_rules_parse(&rules, "10.0.0.1:80,0", NET_ALLOW, &err));
    assert_int_equal(rules.count, 2);
    net_rules_free(&rules);
}

/* ---- Cover ----------------------------------------------------------------------------------- */

static bool covers(const char *cover, const char *rule)
{
    struct net_rules rules = {0};
    struct error err = {0};

    assert_true(net_rules_parse(&rules, cover, NET_ALLOW, &err));
    assert_true(net_rules_parse(&rules, rule, NET_ALLOW, &err));
    assert_int_equal(rules.count, 2);
    bool result = net_rule_covers(&rules.items[0], &rules.items[1]);
    net_rules_free(&rules);
    return result;
}

static void test_a_rule_covers_what_it_names_entirely(void **state)
{
    assert_true(covers("tcp://*", "tcp://10.0.0.0/8:80"));
    assert_true(covers("tcp://*", "tcp://host"));
    assert_true(covers("tcp://10.0.0.0/8", "tcp://10.1.0.0/16"));
    assert_true(covers("tcp://10.0.0.0/8:1-100", "tcp://10.0.0.1:5,7-9"));
    assert_true(covers("tcp://*:1-10,20", "tcp://*:3-4,20"));
    assert_false(covers("udp://*", "tcp://10.0.0.1"));
    assert_false(covers("tcp://10.0.0.0/16", "tcp://10.0.0.0/8"));
    assert_false(covers("tcp://0.0.0.0/0", "tcp://::1"));
    assert_false(covers("tcp://0.0.0.0/0", "tcp://*"));
    assert_false(covers("tcp://*:1-10", "tcp://*"));
    assert_false(covers("tcp://*:1-10,20", "tcp://*:9-20"));
    assert_false(covers("tcp://10.0.0.0/8", "tcp://host"));
}

/* ---- Addresses ------------------------------------------------------------------------------- */

static struct net_address address_of(const char *text)
{
    struct net_address address;

    if (!net_address_parse(text, &address))
        fail_msg("no address: %s", text);
    return address;
}

static void assert_renders(const char *text, const char *expected)
{
    struct net_address address = address_of(text);
    struct buffer out = BUFFER_INIT;

    net_address_render(&address, &out);
    assert_string_equal(buffer_text(&out), expected);
    buffer_free(&out);
}

static void test_addresses_have_one_text(void **state)
{
    assert_renders("10.0.0.1", "10.0.0.1");
    assert_renders("::", "::");
    assert_renders("::1", "::1");
    assert_renders("1::", "1::");
    assert_renders("2001:DB8:0:0:0:0:0:1", "2001:db8::1");
    assert_renders("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"); /* one group is not shortened */
    assert_renders("2001:0:0:1:0:0:0:1", "2001:0:0:1::1");
    assert_renders("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"); /* the first of equal runs */
    assert_renders("1:2:3:4:5:6:0:0", "1:2:3:4:5:6::");
    assert_renders("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8");
    assert_renders("::ffff:1.2.3.4", "::ffff:1.2.3.4");
    assert_renders("64:ff9b::1.2.3.4", "64:ff9b::102:304");
}

static void test_only_plain_addresses_are_read(void **state)
{
    static const char *const bad[] = {
        "",         "1.2.3",    "1.2.3.4.5",  "01.2.3.4", "1.2.3.256", "fe80::1%1",    "[::1]",
        " 1.2.3.4", "1.2.3.4 ", "0x7f.0.0.1", "::1::2",   "12345::1",  "1:2:3:4:5:6:7"};
    struct net_address address;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (net_address_parse(bad[i], &address))
            fail_msg("read as an address: %s", bad[i]);
    }
}

static void assert_reaches(const char *text, const char *expected)
{
    struct net_address address = address_of(text);
    struct net_address reached = net_address_canonical(&address);
    struct net_address wanted = address_of(expected);

    assert_true(net_address_equal(&reached, &wanted));
}

static void test_an_address_is_what_it_reaches(void **state)
{
    assert_reaches("10.0.0.1", "10.0.0.1");
    assert_reaches("::ffff:10.0.0.1", "10.0.0.1");
    assert_reaches("0.0.0.0", "127.0.0.1");
    assert_reaches("::", "::1");
    assert_reaches("::ffff:0.0.0.0", "127.0.0.1");
    assert_reaches("0.0.0.1", "0.0.0.1");
    assert_reaches("::fffe:10.0.0.1", "::fffe:10.0.0.1");
}

static void test_loopback_is_known(void **state)
{
    static const char *const loopback[] = {"127.0.0.1", "127.9.9.9", "0.0.0.0",
                                           "::",        "::1",       "::ffff:127.0.0.1"};
    static const char *const other[] = {"128.0.0.1", "::2", "::ffff:10.0.0.1"};

    for (size_t i = 0; i < sizeof(loopback) / sizeof(loopback[0]); i++) {
        struct net_address address = address_of(loopback[i]);
        assert_true(net_address_is_loopback(&address));
    }
    for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
        struct net_address address = address_of(other[i]);
        assert_false(net_address_is_loopback(&address));
    }
}

static bool lies_in(const char *address_text, const char *base_text, unsigned prefix)
{
    struct net_address address = address_of(address_text);
    struct net_address base = address_of(base_text);

    return net_address_in(&address, &base, prefix);
}

static void test_networks_hold_what_shares_their_prefix(void **state)
{
    assert_true(lies_in("10.255.0.1", "10.0.0.0", 8));
    assert_false(lies_in("11.0.0.1", "10.0.0.0", 8));
    assert_true(lies_in("10.0.0.129", "10.0.0.128", 25));
    assert_false(lies_in("10.0.0.127", "10.0.0.128", 25));
    assert_true(lies_in("1.2.3.4", "0.0.0.0", 0));
    assert_false(lies_in("::1", "0.0.0.0", 0));
    assert_true(lies_in("fdff::1", "fc00::", 7));
    assert_false(lies_in("fe00::1", "fc00::", 7));
    assert_false(lies_in("10.0.0.1", "10.0.0.1", 33));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_a_scheme_it_is_tcp_and_udp),
        cmocka_unit_test(test_no_port_is_every_port),
        cmocka_unit_test(test_any_address_has_several_spellings),
        cmocka_unit_test(test_ports_are_sorted_and_joined),
        cmocka_unit_test(test_an_address_is_read_before_a_colon_is),
        cmocka_unit_test(test_host_bits_are_dropped),
        cmocka_unit_test(test_icmp_has_a_target_and_no_ports),
        cmocka_unit_test(test_hosts_are_kept_as_given),
        cmocka_unit_test(test_deny_takes_addresses),
        cmocka_unit_test(test_repeated_rules_are_dropped_and_the_order_kept),
        cmocka_unit_test(test_rules_read_back_as_themselves),
        cmocka_unit_test(test_schemes_are_three),
        cmocka_unit_test(test_a_rule_says_something),
        cmocka_unit_test(test_icmp_takes_no_port),
        cmocka_unit_test(test_ports_are_judged),
        cmocka_unit_test(test_addresses_are_judged),
        cmocka_unit_test(test_hosts_are_judged),
        cmocka_unit_test(test_the_longest_host_has_253_bytes),
        cmocka_unit_test(test_host_patterns_are_refused_as_such),
        cmocka_unit_test(test_deny_takes_no_hosts),
        cmocka_unit_test(test_a_protocol_alone_is_told_how_it_is_written),
        cmocka_unit_test(test_lists_of_destinations_are_named_as_such),
        cmocka_unit_test(test_a_bad_spec_adds_nothing_to_earlier_ones),
        cmocka_unit_test(test_a_rule_covers_what_it_names_entirely),
        cmocka_unit_test(test_addresses_have_one_text),
        cmocka_unit_test(test_only_plain_addresses_are_read),
        cmocka_unit_test(test_an_address_is_what_it_reaches),
        cmocka_unit_test(test_loopback_is_known),
        cmocka_unit_test(test_networks_hold_what_shares_their_prefix),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
