/* The network verdict: the layers and spellings one by one, then against a slow model at random. */
#include "../policy/policy_test.h"

#include "net/verdict.h"
#include "policy/network_reach.h"

static struct net_address address_of(const char *text)
{
    struct net_address address;

    if (!net_address_parse(text, &address))
        fail_msg("no address: %s", text);
    return address;
}

/* The verdicts of options, with the host "h" at 192.0.2.7 and 2001:db8::7. */
struct fixture {
    struct policy *policy;
    struct net_verdicts *verdicts;
};

static struct fixture fixture_of(const char *const *words)
{
    const struct net_address addresses[] = {address_of("192.0.2.7"), address_of("2001:db8::7")};
    const struct net_resolved resolved = {"h", addresses, 2};
    struct fixture fixture = {.policy = build_words(words)};

    fixture.verdicts = net_verdicts_new(fixture.policy, &resolved, 1);
    assert_non_null(fixture.verdicts);
    return fixture;
}

static void fixture_free(struct fixture *fixture)
{
    net_verdicts_free(fixture->verdicts);
    policy_unref(fixture->policy);
}

static bool asks(const struct fixture *fixture, enum net_protocol protocol, const char *address,
                 uint16_t port)
{
    struct net_address asked = address_of(address);

    return net_allows(fixture->verdicts, protocol, &asked, port);
}

#define YES(protocol, address, port) assert_true(asks(&f, protocol, address, port))
#define NO(protocol, address, port) assert_false(asks(&f, protocol, address, port))

/* ---- Layers ---------------------------------------------------------------------------------- */

static void test_without_rules_nothing_is_allowed(void **state)
{
    struct fixture f = fixture_of(WORDS("ls"));

    NO(NET_TCP, "127.0.0.1", 80);
    NO(NET_UDP, "::1", 53);
    NO(NET_ICMP, "127.0.0.1", 0);
    fixture_free(&f);
}

static void test_an_allow_rule_opens_its_protocol_address_and_port_alone(void **state)
{
    struct fixture f = fixture_of(WORDS("--net-allow=tcp://10.0.0.1:80,8000-8010"));

    YES(NET_TCP, "10.0.0.1", 80);
    YES(NET_TCP, "10.0.0.1", 8005);
    NO(NET_TCP, "10.0.0.1", 81);
    NO(NET_TCP, "10.0.0.2", 80);
    NO(NET_UDP, "10.0.0.1", 80);
    NO(NET_ICMP, "10.0.0.1", 80);
    fixture_free(&f);
}

static void test_a_host_is_the_addresses_it_had(void **state)
{
    struct fixture f = fixture_of(WORDS("--net-allow=H:443", "--net-allow=unknown:443"));

    YES(NET_TCP, "192.0.2.7", 443);
    YES(NET_UDP, "2001:db8::7", 443);
    NO(NET_TCP, "192.0.2.8", 443);
    NO(NET_TCP, "192.0.2.7", 444);
    fixture_free(&f);
}

static void test_rules_of_one_address_add_up(void **state)
{
    struct fixture f =
        fixture_of(WORDS("--net-allow=tcp://10.0.0.1:80", "--net-allow=tcp://10.0.0.1:90",
                         "--net-allow=tcp://:53", "--net-allow=tcp://10.0.0.0/24:70"));

    YES(NET_TCP, "10.0.0.1", 80);
    YES(NET_TCP, "10.0.0.1", 90);
    YES(NET_TCP, "10.0.0.1", 70);
    YES(NET_TCP, "10.0.0.9", 70);
    YES(NET_TCP, "1.1.1.1", 53);
    YES(NET_TCP, "::1", 53);
    NO(NET_TCP, "10.0.0.9", 80);
    fixture_free(&f);
}

static void test_deny_alone_leaves_everything_else_open(void **state)
{
    struct fixture f = fixture_of(WORDS("--net-deny=tcp://10.0.0.0/8"));

    NO(NET_TCP, "10.1.2.3", 1);
    YES(NET_TCP, "11.1.2.3", 1);
    YES(NET_UDP, "10.1.2.3", 1);
    YES(NET_ICMP, "10.1.2.3", 0);
    fixture_free(&f);
}

static void test_deny_wins_over_every_kind_of_allow(void **state)
{
    struct fixture f =
        fixture_of(WORDS("--net-allow=*", "--net-allow=h:1", "--net-allow=192.0.2.9:1",
                         "--net-deny=192.0.2.0/24", "--net-deny=:25"));

    NO(NET_TCP, "192.0.2.7", 1);
    NO(NET_TCP, "192.0.2.9", 1);
    NO(NET_UDP, "192.0.2.9", 1);
    NO(NET_TCP, "1.1.1.1", 25);
    YES(NET_TCP, "1.1.1.1", 26);
    YES(NET_TCP, "2001:db8::7", 1);
    NO(NET_ICMP, "1.1.1.1", 0); /* no rule for it */
    fixture_free(&f);
}

static void test_icmp_has_no_ports(void **state)
{
    struct fixture f =
        fixture_of(WORDS("--net-allow=icmp://10.0.0.0/8", "--net-deny=icmp://10.9.0.0/16"));

    YES(NET_ICMP, "10.0.0.1", 0);
    YES(NET_ICMP, "10.0.0.1", 7);
    NO(NET_ICMP, "10.9.0.1", 7);
    NO(NET_ICMP, "11.0.0.1", 0);
    fixture_free(&f);
}

/* ---- Spellings ------------------------------------------------------------------------------- */

static void test_addresses_are_judged_as_what_they_reach(void **state)
{
    struct fixture f = fixture_of(
        WORDS("--net-deny=tcp://127.0.0.0/8", "--net-deny=tcp://::1", "--net-deny=tcp://10.0.0.1"));

    NO(NET_TCP, "0.0.0.0", 1);
    NO(NET_TCP, "::", 1);
    NO(NET_TCP, "::ffff:0.0.0.0", 1);
    NO(NET_TCP, "::ffff:127.0.0.1", 1);
    NO(NET_TCP, "::ffff:10.0.0.1", 1);
    YES(NET_TCP, "::ffff:10.0.0.2", 1);
    fixture_free(&f);
}

static void test_rules_too_are_read_as_what_they_reach(void **state)
{
    struct fixture f =
        fixture_of(WORDS("--net-allow=tcp://[::ffff:10.0.0.1]:1", "--net-allow=tcp://0.0.0.0:2",
                         "--net-allow=tcp://[::]:3", "--net-allow=tcp://[::ffff:10.8.0.0/109]:4",
                         "--net-allow=tcp://[::ffff:0.0.0.0/104]:5"));

    YES(NET_TCP, "10.0.0.1", 1);
    YES(NET_TCP, "127.0.0.1", 2);
    YES(NET_TCP, "0.0.0.0", 2);
    YES(NET_TCP, "::1", 3);
    YES(NET_TCP, "10.15.0.1", 4);
    NO(NET_TCP, "10.16.0.1", 4);
    YES(NET_TCP, "0.1.2.3", 5); /* a network is not what its first address is */
    NO(NET_TCP, "127.0.0.2", 5);
    fixture_free(&f);
}

static void test_families_do_not_match_each_other(void **state)
{
    struct fixture f = fixture_of(WORDS("--net-allow=tcp://0.0.0.0/0"));

    YES(NET_TCP, "1.2.3.4", 1);
    YES(NET_TCP, "::ffff:1.2.3.4", 1);
    NO(NET_TCP, "2001:db8::1", 1);
    fixture_free(&f);
}

static void test_deny_sees_the_address_inside_a_translated_one(void **state)
{
    struct fixture f = fixture_of(WORDS("--net-deny=tcp://10.0.0.0/8:80"));

    NO(NET_TCP, "64:ff9b::10.1.2.3", 80);
    NO(NET_TCP, "2002:0a01:0203::1", 80);
    NO(NET_TCP, "::10.1.2.3", 80);
    YES(NET_TCP, "64:ff9b::11.1.2.3", 80);
    YES(NET_TCP, "2002:0b01:0203::1", 80);
    YES(NET_TCP, "64:ff9b::10.1.2.3", 81);
    YES(NET_TCP, "64:ff9c::10.1.2.3", 80);
    fixture_free(&f);
}

/* As what it reaches, like every address; loopback carries none. */
static void test_an_address_inside_another_is_read_as_what_it_reaches(void **state)
{
    struct fixture f = fixture_of(WORDS("--net-deny=tcp://127.0.0.0/8:1", "--net-deny=0.0.0.1:2"));

    NO(NET_TCP, "64:ff9b::0.0.0.0", 1);
    NO(NET_TCP, "2002::1", 1);
    YES(NET_TCP, "64:ff9b::0.0.0.1", 1);
    NO(NET_TCP, "64:ff9b::0.0.0.1", 2);
    YES(NET_TCP, "::1", 2);
    fixture_free(&f);
}

static void test_allow_does_not_see_it(void **state)
{
    struct fixture f = fixture_of(WORDS("--net-allow=tcp://10.0.0.0/8"));

    NO(NET_TCP, "64:ff9b::10.1.2.3", 80);
    NO(NET_TCP, "2002:0a01:0203::1", 80);
    fixture_free(&f);
}

/* ---- Explanations ---------------------------------------------------------------------------- */

static void assert_explained(const struct fixture *fixture, enum net_protocol protocol,
                             const char *address, uint16_t port, const char *rule,
                             const char *suggest)
{
    struct net_address asked = address_of(address);
    struct net_verdict verdict;

    net_explain(fixture->verdicts, protocol, &asked, port, &verdict);
    assert_false(verdict.allowed);
    assert_string_equal(verdict.rule, rule);
    assert_string_equal(verdict.suggest, suggest);
}

static void test_a_refusal_names_the_rule_or_what_would_allow_it(void **state)
{
    struct fixture f = fixture_of(WORDS("--net-allow=tcp://h:443", "--net-allow=tcp://10.0.0.0/8",
                                        "--net-deny=:25", "--net-deny=tcp://10.0.0.0/24",
                                        "--net-deny=tcp://[2001:db8::9]:1"));

    assert_explained(&f, NET_TCP, "1.2.3.4", 80, "no rule", "--net-allow tcp://1.2.3.4:80");
    assert_explained(&f, NET_UDP, "2001:db8::1", 5353, "no rule",
                     "--net-allow 'udp://[2001:db8::1]:5353'");
    assert_explained(&f, NET_TCP, "192.0.2.7", 80, "no rule", "--net-allow tcp://h:80");
    assert_explained(&f, NET_ICMP, "1.2.3.4", 0, "no rule", "--net-allow icmp://1.2.3.4");
    assert_explained(&f, NET_TCP, "10.0.0.5", 80, "--net-deny tcp://10.0.0.0/24", "");
    assert_explained(&f, NET_UDP, "1.1.1.1", 25, "--net-deny udp://*:25", "");
    assert_explained(&f, NET_TCP, "2001:db8::9", 1, "--net-deny tcp://[2001:db8::9]:1", "");
    assert_explained(&f, NET_TCP, "64:ff9b::10.0.0.5", 80, "--net-deny tcp://10.0.0.0/24", "");
    fixture_free(&f);
}

static void test_what_is_allowed_needs_no_reason(void **state)
{
    struct fixture f = fixture_of(WORDS("--net-allow=tcp://10.0.0.0/8"));
    struct net_address asked = address_of("10.0.0.1");
    struct net_verdict verdict;

    net_explain(f.verdicts, NET_TCP, &asked, 80, &verdict);
    assert_true(verdict.allowed);
    assert_string_equal(verdict.rule, "");
    assert_string_equal(verdict.suggest, "");
    fixture_free(&f);
}

static bool names(const struct fixture *fixture, const char *address)
{
    struct net_address asked = address_of(address);

    return net_allows_address(fixture->verdicts, &asked);
}

static void test_an_address_is_named_where_some_port_is_left_of_it(void **state)
{
    struct fixture none = fixture_of(WORDS("ls"));
    struct fixture f =
        fixture_of(WORDS("--net-allow=tcp://10.0.0.0/24:80-90", "--net-allow=udp://10.0.0.1:53",
                         "--net-allow=icmp://10.0.0.3", "--net-deny=10.0.0.1:70-85",
                         "--net-deny=tcp://10.0.0.0/30:86-100", "--net-deny=10.0.0.2"));
    struct fixture denied = fixture_of(
        WORDS("--net-deny=10.0.0.1", "--net-deny=10.0.0.2:1-65535", "--net-deny=tcp://10.0.0.3"));

    assert_false(names(&none, "10.0.0.1"));
    assert_true(names(&f, "10.0.0.1"));  /* for UDP */
    assert_false(names(&f, "10.0.0.2")); /* what the first rule of denial leaves the second takes */
    assert_true(names(&f, "10.0.0.3"));  /* for ping, and TCP up to 85 */
    assert_true(names(&f, "::ffff:10.0.0.4"));
    assert_false(names(&f, "10.0.1.1"));
    assert_false(names(&f, "::1"));
    assert_false(names(&denied, "10.0.0.1"));
    assert_false(names(&denied, "10.0.0.2"));
    assert_true(names(&denied, "10.0.0.3"));
    assert_false(names(&denied, "64:ff9b::a00:1"));
    fixture_free(&none);
    fixture_free(&f);
    fixture_free(&denied);
}

static void test_everything_is_allowed_where_no_destination_is_refused(void **state)
{
    static const struct {
        const char *words[3];
        bool everything;
    } cases[] = {
        {{"ls"}, false},
        {{"--net-allow=udp://*"}, true},
        {{"--net-allow=udp://*", "--net-deny=tcp://10.0.0.1"}, true},
        {{"--net-allow=udp://*", "--net-deny=udp://10.0.0.1:53"}, false},
        {{"--net-allow=udp://*", "--net-deny=udp://*:53"}, false},
        {{"--net-allow=udp://*:1-65534"}, false},
        {{"--net-allow=udp://0.0.0.0/0"}, false},
        {{"--net-allow=tcp://*"}, false},
        {{"--net-deny=tcp://10.0.0.1"}, true},
        {{"--net-deny=10.0.0.1"}, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture f = fixture_of(cases[i].words);
        assert_int_equal(net_allows_everything(f.verdicts, NET_UDP), cases[i].everything);
        fixture_free(&f);
    }
}

/* ---- Against a model ------------------------------------------------------------------------- */

/* A small world, so that rules and questions meet: few networks, few ports, long and short prefixes. */
static unsigned next_random(unsigned *seed)
{
    *seed = *seed * 1103515245 + 12345;
    return *seed >> 16;
}

static void random_address(unsigned *seed, struct net_address *address)
{
    *address = (struct net_address){.family = next_random(seed) % 2 ? 4 : 6};
    unsigned size = address->family == 4 ? 4 : 16;
    for (unsigned i = 0; i < size; i++)
        address->bytes[i] =
            (uint8_t)(next_random(seed) % 3 == 0 ? 0x80 >> next_random(seed) % 8 : 0);
    address->bytes[0] |= 0x40; /* nothing that is another address */
}

static void random_spec(unsigned *seed, char *spec, size_t size)
{
    static const char *const schemes[] = {"tcp://", "udp://", ""};
    static const char *const ports[] = {"", ":5", ":1-4", ":2,7-9", ":*"};
    struct net_address address;
    struct buffer text = BUFFER_INIT;
    unsigned port = next_random(seed) % 5;

    random_address(seed, &address);
    buffer_append_text(&text, schemes[next_random(seed) % 3]);
    if (next_random(seed) % 8 == 0) {
        buffer_append_char(&text, '*');
    } else {
        buffer_append_text(&text, address.family == 6 && port > 0 ? "[" : "");
        net_address_render(&address, &text);
        if (next_random(seed) % 2 == 0)
            buffer_printf(&text, "/%u", next_random(seed) % (net_address_bits(&address) + 1));
        buffer_append_text(&text, address.family == 6 && port > 0 ? "]" : "");
    }
    buffer_append_text(&text, ports[port]);
    snprintf(spec, size, "%s", buffer_text(&text));
    buffer_free(&text);
}

static bool model_names(const struct net_rules *rules, enum net_protocol protocol,
                        const struct net_address *address, uint16_t port)
{
    for (size_t i = 0; i < rules->count; i++) {
        const struct net_rule *rule = &rules->items[i];
        bool target =
            rule->target == NET_TARGET_ANY || net_address_in(address, &rule->base, rule->prefix);
        bool ports = rule->port_count == 0;
        for (size_t k = 0; k < rule->port_count; k++)
            ports = ports || (port >= rule->ports[k].low && port <= rule->ports[k].high);
        if (rule->protocol == protocol && target && ports)
            return true;
    }
    return false;
}

static void compare_with_model(const struct policy *policy, const struct net_verdicts *verdicts,
                               unsigned *seed)
{
    for (int i = 0; i < 300; i++) {
        struct net_address address;
        enum net_protocol protocol = (enum net_protocol)(next_random(seed) % 2);
        uint16_t port = (uint16_t)(next_random(seed) % 11);
        random_address(seed, &address);
        bool allowed = (policy->net_allow.count == 0 && policy->net_deny.count > 0) ||
                       model_names(&policy->net_allow, protocol, &address, port);
        bool denied = model_names(&policy->net_deny, protocol, &address, port);
        assert_int_equal(net_allows(verdicts, protocol, &address, port), allowed && !denied);
    }
}

/* Rules of random_spec() name no port above 10 but all. */
static void compare_addresses_with_model(const struct policy *policy,
                                         const struct net_verdicts *verdicts, unsigned *seed)
{
    for (int i = 0; i < 30; i++) {
        struct net_address address;
        random_address(seed, &address);
        bool any = policy->net_allow.count > 0 && net_allows(verdicts, NET_ICMP, &address, 0);
        for (uint16_t port = 1; port <= 12; port++)
            any = any || net_allows(verdicts, NET_TCP, &address, port) ||
                  net_allows(verdicts, NET_UDP, &address, port);
        assert_int_equal(net_allows_address(verdicts, &address), any);
    }
}

static void test_random_rules_agree_with_a_linear_model(void **state)
{
    unsigned seed = 20240607;

    for (int round = 0; round < 200; round++) {
        static char texts[40][128];
        const char *words[41] = {NULL};
        unsigned count = next_random(&seed) % 40;
        for (unsigned i = 0; i < count; i++) {
            char spec[100];
            random_spec(&seed, spec, sizeof(spec));
            snprintf(texts[i], sizeof(texts[i]), "--net-%s=%s",
                     next_random(&seed) % 3 == 0 ? "deny" : "allow", spec);
            words[i] = texts[i];
        }
        struct policy *policy = build_words(words);
        struct net_verdicts *verdicts = net_verdicts_new(policy, NULL, 0);
        assert_non_null(verdicts);
        compare_with_model(policy, verdicts, &seed);
        compare_addresses_with_model(policy, verdicts, &seed);
        net_verdicts_free(verdicts);
        policy_unref(policy);
    }
}

/* ---- Whether anything passes -------------------------------------------------------------------- */

#define FEW_PORTS 4

static bool anything_passes(const struct net_verdicts *verdicts)
{
    /* Eight addresses, in every form that the rules below can name. */
    static const char *const first[] = {"10.0.0.0", "64:ff9b::a00:0", "2002:a00:0::"};
    static const unsigned last_byte[] = {3, 15, 5};

    for (size_t form = 0; form < sizeof(first) / sizeof(first[0]); form++) {
        for (uint8_t i = 0; i < 8; i++) {
            struct net_address address = address_of(first[form]);
            address.bytes[last_byte[form]] = i;
            for (uint16_t port = 1; port <= FEW_PORTS; port++) {
                if (net_allows(verdicts, NET_UDP, &address, port))
                    return true;
            }
        }
    }
    return false;
}

/* A network of 1, 2, 4 or 8 of the addresses, and some of the ports. */
static void few_addresses(unsigned *seed, const char *option, char *text, size_t size)
{
    unsigned size_bits = next_random(seed) % 4, form = next_random(seed) % 6;
    unsigned low = next_random(seed) % 8 >> size_bits << size_bits;
    unsigned first = 1 + next_random(seed) % FEW_PORTS;
    unsigned last = first + next_random(seed) % (FEW_PORTS + 1 - first);
    char target[48];

    if (form == 0)
        snprintf(target, sizeof(target), "[64:ff9b::a00:%u/%u]", low, 128 - size_bits);
    else if (form == 1)
        snprintf(target, sizeof(target), "[2002:a00:%u::/%u]", low, 48 - size_bits);
    else if (form == 2)
        snprintf(target, sizeof(target), "[::ffff:10.0.0.%u/%u]", low, 128 - size_bits);
    else
        snprintf(target, sizeof(target), "10.0.0.%u/%u", low, 32 - size_bits);
    snprintf(text, size, "%s=udp://%s:%u-%u", option, target, first, last);
}

static void test_what_random_rules_leave_is_known(void **state)
{
    unsigned seed = 5, counts[2] = {0};

    for (unsigned round = 0; round < 2000; round++) {
        char texts[12][80];
        const char *words[13] = {NULL};
        unsigned count = 1 + next_random(&seed) % 12;
        for (unsigned i = 0; i < count; i++) {
            few_addresses(&seed, i < 1 + round % 3 ? "--net-allow" : "--net-deny", texts[i],
                          sizeof(texts[i]));
            words[i] = texts[i];
        }
        struct policy *policy = build_words(words);
        struct net_verdicts *verdicts = net_verdicts_new(policy, NULL, 0);
        assert_non_null(verdicts);
        bool passes = anything_passes(verdicts);
        counts[passes]++;
        if (network_reaches(&policy->net_allow, &policy->net_deny, NET_UDP) != passes)
            fail_msg("round %u: %s", round, passes ? "something passes" : "nothing passes");
        net_verdicts_free(verdicts);
        policy_unref(policy);
    }
    assert_true(counts[false] > 100 && counts[true] > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_rules_nothing_is_allowed),
        cmocka_unit_test(test_an_allow_rule_opens_its_protocol_address_and_port_alone),
        cmocka_unit_test(test_a_host_is_the_addresses_it_had),
        cmocka_unit_test(test_rules_of_one_address_add_up),
        cmocka_unit_test(test_deny_alone_leaves_everything_else_open),
        cmocka_unit_test(test_deny_wins_over_every_kind_of_allow),
        cmocka_unit_test(test_icmp_has_no_ports),
        cmocka_unit_test(test_addresses_are_judged_as_what_they_reach),
        cmocka_unit_test(test_rules_too_are_read_as_what_they_reach),
        cmocka_unit_test(test_families_do_not_match_each_other),
        cmocka_unit_test(test_deny_sees_the_address_inside_a_translated_one),
        cmocka_unit_test(test_an_address_inside_another_is_read_as_what_it_reaches),
        cmocka_unit_test(test_allow_does_not_see_it),
        cmocka_unit_test(test_an_address_is_named_where_some_port_is_left_of_it),
        cmocka_unit_test(test_everything_is_allowed_where_no_destination_is_refused),
        cmocka_unit_test(test_a_refusal_names_the_rule_or_what_would_allow_it),
        cmocka_unit_test(test_what_is_allowed_needs_no_reason),
        cmocka_unit_test(test_random_rules_agree_with_a_linear_model),
        cmocka_unit_test(test_what_random_rules_leave_is_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
