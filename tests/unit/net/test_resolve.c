/* Names of rules: each asked once, one bad name fails all, and nothing waits beyond the deadline. No
 * name here needs a network: the machine's own files know localhost, and .invalid does not exist. */
#include "../policy/policy_test.h"

#include "net/network.h"
#include "net/resolve.h"

#include <dlfcn.h>
#include <netdb.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <unistd.h>

/* ---- A resolver that hangs --------------------------------------------------------------------- */

static atomic_int hanging_over;
static atomic_int example_asked;

/* In place of the C library's: names that begin with "hang" take a second, and
 * counted.invalid is an address. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
    typedef int (*resolver)(const char *, const char *, const struct addrinfo *,
                            struct addrinfo **);
    resolver real = (resolver)dlsym(RTLD_NEXT, "getaddrinfo");

    if (strcmp(name, "counted.invalid") == 0) {
        atomic_fetch_add(&example_asked, 1);
        return real("127.0.0.5", service, hints, found);
    }
    if (strncmp(name, "hang", 4) != 0)
        return real(name, service, hints, found);
    usleep(3000000);
    atomic_fetch_add(&hanging_over, 1);
    return EAI_NONAME;
}

static pid_t hanging_program;

/* In place of the C library's: the program that is asked for such a name is one that sleeps. */
int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    typedef int (*spawner)(pid_t *, const char *, const posix_spawn_file_actions_t *,
                           const posix_spawnattr_t *, char *const[], char *const[]);
    spawner real = (spawner)dlsym(RTLD_NEXT, "posix_spawn");
    char *const sleeps[] = {(char *)"sleep", (char *)"600", NULL};

    for (size_t i = 0; argv[i] != NULL; i++) {
        if (strncmp(argv[i], "hang", 4) == 0) {
            int result = real(pid, "/bin/sleep", actions, attributes, sleeps, envp);
            hanging_program = *pid;
            return result;
        }
    }
    return real(pid, path, actions, attributes, argv, envp);
}

static void test_a_program_that_hangs_is_ended(void **state)
{
    const char *names[] = {"localhost", "hang1"};
    struct resolve_answer answers[2] = {0};
    int64_t before = resolve_now();

    hanging_program = 0;
    resolve_by_program(names, 2, before + 1000, answers);
    assert_in_range(resolve_now() - before, 900, 20000);
    assert_true(answers[0].count > 0);
    assert_int_equal(answers[1].count, 0);
    assert_has_texts(answers[1].reason, TEXTS("no answer within"));
    free(answers[0].addresses);
    if (access("/usr/bin/getent", X_OK) == 0)
        assert_true(hanging_program > 0);
    if (hanging_program > 0) /* killed and waited for */
        assert_int_equal(kill(hanging_program, 0), -1);
}

static void test_a_resolver_that_hangs_is_left_behind(void **state)
{
    const char *names[] = {"localhost", "hang1", "hang2"};
    struct resolve_answer answers[3] = {0};
    int64_t before = resolve_now();

    resolve_in_threads(names, 3, before + 200, answers);
    assert_true(resolve_now() - before < 2800);
    assert_true(answers[0].count > 0);
    assert_int_equal(answers[1].count, 0);
    assert_has_texts(answers[2].reason, TEXTS("no answer within"));
    free(answers[0].addresses);
    /* It comes back later and finds everything it needs. */
    for (int i = 0; i < 3000 && atomic_load(&hanging_over) < 2; i++)
        usleep(10000);
    assert_int_equal(atomic_load(&hanging_over), 2);
    usleep(50000);
}

/* ---- Rules ------------------------------------------------------------------------------------- */

static struct net_rules rules_of(const char *const *specs)
{
    struct net_rules rules = {0};
    struct error err = {0};

    for (; *specs != NULL; specs++) {
        if (!net_rules_parse(&rules, *specs, NET_ALLOW, &err))
            fail_msg("refused: %s", err.text);
    }
    return rules;
}

static void assert_address(const struct net_address *address, const char *expected)
{
    struct buffer text = BUFFER_INIT;

    net_address_render(address, &text);
    assert_string_equal(buffer_text(&text), expected);
    buffer_free(&text);
}

/* ---- Names ----------------------------------------------------------------------------------- */

static void test_rules_without_hosts_ask_nobody(void **state)
{
    struct net_rules rules = rules_of(TEXTS("10.0.0.1", "*:80", "icmp://::1"));
    struct resolved_hosts hosts;
    struct error err = {0};

    assert_true(resolve_hosts(&rules, 0, &hosts, &err));
    assert_int_equal(hosts.count, 0);
    resolved_hosts_free(&hosts);
    net_rules_free(&rules);
}

static void test_localhost_is_both_loopback_addresses_once(void **state)
{
    struct net_rules rules =
        rules_of(TEXTS("localhost:80", "tcp://LOCALHOST:90", "udp://localhost"));
    struct resolved_hosts hosts;
    struct error err = {0};

    assert_true(resolve_hosts(&rules, 0, &hosts, &err));
    assert_int_equal(hosts.count, 1);
    assert_string_equal(hosts.items[0].host, "localhost");
    assert_int_equal(hosts.items[0].count, 2);
    assert_address(&hosts.items[0].addresses[0], "127.0.0.1");
    assert_address(&hosts.items[0].addresses[1], "::1");
    resolved_hosts_free(&hosts);
    net_rules_free(&rules);
}

static void test_a_name_of_several_rules_is_asked_once(void **state)
{
    struct net_rules rules =
        rules_of(TEXTS("tcp://counted.invalid:80", "counted.invalid:443", "udp://COUNTED.invalid"));
    struct resolved_hosts hosts;
    struct error err = {0};

    atomic_store(&example_asked, 0);
    assert_true(resolve_hosts(&rules, 0, &hosts, &err));
    assert_int_equal(atomic_load(&example_asked), 1);
    assert_int_equal(hosts.count, 1);
    assert_address(&hosts.items[0].addresses[0], "127.0.0.5");
    resolved_hosts_free(&hosts);
    net_rules_free(&rules);
}

static void test_names_get_no_more_time_than_the_run_has(void **state)
{
    struct net_rules rules = rules_of(TEXTS("localhost:80", "hanglimited.invalid:80"));
    struct resolved_hosts hosts;
    struct error err = {0};
    int over = atomic_load(&hanging_over);
    int64_t before = resolve_now();

    assert_false(resolve_hosts(&rules, 200, &hosts, &err));
    assert_in_range(resolve_now() - before, 150, 2800);
    assert_has_texts(err.text, TEXTS("failed to resolve host 'hanglimited.invalid': "));
    for (int i = 0; i < 3000 && atomic_load(&hanging_over) == over; i++)
        usleep(10000); /* it uses this program's memory */
    usleep(50000);
    atomic_store(&hanging_over, over);
    net_rules_free(&rules);
}

static void test_an_unknown_name_is_named(void **state)
{
    struct net_rules rules = rules_of(TEXTS("localhost:80", "nosuch.invalid:80"));
    struct resolved_hosts hosts;
    struct error err = {0};

    assert_false(resolve_hosts(&rules, 0, &hosts, &err));
    assert_int_equal(err.kind, ERROR_RUNTIME);
    assert_has_texts(err.text, TEXTS("failed to resolve host 'nosuch.invalid': "));
    assert_int_equal(hosts.count, 0);
    net_rules_free(&rules);
}

static void test_answers_keep_each_address_once_and_not_too_many(void **state)
{
    struct resolve_answer answer = {0};
    struct net_address address = {.family = 4, .bytes = {10}};

    for (int i = 0; i < 2 * RESOLVE_ADDRESSES_MAX; i++) {
        address.bytes[2] = (uint8_t)(i >> 8);
        address.bytes[3] = (uint8_t)i;
        assert_true(resolve_answer_add(&answer, &address));
        assert_true(resolve_answer_add(&answer, &address));
    }
    assert_int_equal(answer.count, RESOLVE_ADDRESSES_MAX);
    free(answer.addresses);
}

/* ---- Ways to ask ----------------------------------------------------------------------------- */

typedef void (*resolver)(const char *const *names, size_t count, int64_t deadline,
                         struct resolve_answer *answers);

static const resolver resolvers[] = {resolve_in_threads, resolve_by_program};

#define NAMES 40

static void free_answers(struct resolve_answer *answers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(answers[i].addresses);
}

static void test_many_names_are_answered_each(void **state)
{
    for (size_t way = 0; way < 2; way++) {
        const char *names[NAMES];
        struct resolve_answer answers[NAMES] = {0};
        for (size_t i = 0; i < NAMES; i++)
            names[i] = i % 4 == 3 ? "nosuch.invalid" : "localhost";
        resolvers[way](names, NAMES, resolve_now() + 20000, answers);
        for (size_t i = 0; i < NAMES; i++) {
            assert_int_equal(answers[i].count > 0, i % 4 != 3);
            assert_int_equal(answers[i].reason[0] != '\0', i % 4 == 3);
        }
        assert_true(net_address_is_loopback(&answers[0].addresses[0]));
        free_answers(answers, NAMES);
    }
}

static void test_a_passed_deadline_is_an_answer(void **state)
{
    for (size_t way = 0; way < 2; way++) {
        const char *names[] = {"nosuch.invalid", "nosuch2.invalid"};
        struct resolve_answer answers[2] = {0};
        int64_t before = resolve_now();
        resolvers[way](names, 2, before - 1, answers);
        assert_true(resolve_now() - before < 2000);
        assert_int_equal(answers[1].count, 0);
        assert_true(answers[1].reason[0] != '\0');
        free_answers(answers, 2);
    }
}

/* ---- /etc/hosts ------------------------------------------------------------------------------ */

static void assert_hosts(const struct net_resolved *items, size_t count, const char *expected)
{
    struct resolved_hosts hosts = {(struct net_resolved *)items, count};
    struct buffer text = BUFFER_INIT;

    resolve_hosts_text(&hosts, &text);
    assert_string_equal(buffer_text(&text), expected);
    buffer_free(&text);
}

static void test_the_hosts_file_has_loopback_and_every_pinned_address(void **state)
{
    const struct net_address one[] = {{4, {192, 0, 2, 7}}, {6, {0x20, 0x01, 0x0d, 0xb8, [15] = 7}}};
    const struct net_address two[] = {{4, {192, 0, 2, 9}}};
    const struct net_address loopback[] = {{4, {127, 0, 0, 1}}, {6, {[15] = 1}}};
    const struct net_resolved items[] = {
        {"b.example", one, 2}, {"localhost", loopback, 2}, {"a", two, 1}};

    assert_hosts(NULL, 0, "127.0.0.1 localhost\n::1 localhost\n");
    assert_hosts(items, 3,
                 "127.0.0.1 localhost\n::1 localhost\n192.0.2.7 b.example\n"
                 "2001:db8::7 b.example\n192.0.2.9 a\n");
}

/* ---- The network of a policy ------------------------------------------------------------------- */

static void test_a_network_has_what_its_features_share(void **state)
{
    struct policy *policy = build_words(WORDS("--net-allow=localhost:80", "--port-remap"));
    struct error err = {0};
    struct network *network = network_new(policy, NULL, 0, 0, &err);
    struct net_address loopback = {.family = 4, .bytes = {127, 0, 0, 1}};

    assert_non_null(network);
    assert_true(network->shape.named_hosts);
    assert_non_null(network->ports);
    assert_non_null(network->holder);
    assert_string_equal(network->hosts, "127.0.0.1 localhost\n::1 localhost\n");
    assert_int_equal(network->hosts_length, strlen(network->hosts));
    assert_true(net_allows(network->verdicts, NET_TCP, &loopback, 80));
    assert_false(net_allows(network->verdicts, NET_TCP, &loopback, 81));
    network_free(network);
    network_free(NULL);
    policy_unref(policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules_without_hosts_ask_nobody),
        cmocka_unit_test(test_localhost_is_both_loopback_addresses_once),
        cmocka_unit_test(test_a_name_of_several_rules_is_asked_once),
        cmocka_unit_test(test_names_get_no_more_time_than_the_run_has),
        cmocka_unit_test(test_an_unknown_name_is_named),
        cmocka_unit_test(test_answers_keep_each_address_once_and_not_too_many),
        cmocka_unit_test(test_many_names_are_answered_each),
        cmocka_unit_test(test_a_passed_deadline_is_an_answer),
        cmocka_unit_test(test_a_resolver_that_hangs_is_left_behind),
        cmocka_unit_test(test_a_program_that_hangs_is_ended),
        cmocka_unit_test(test_the_hosts_file_has_loopback_and_every_pinned_address),
        cmocka_unit_test(test_a_network_has_what_its_features_share),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
