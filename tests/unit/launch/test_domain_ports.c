/* TCP rights of the two domains: what each handles, and for what it has rules. */
#include "../policy/policy_test.h"
#include "../skip_because.h"

#include "kernel/landlock.h"
#include "launch/domain_ports.h"
#include "util/fd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define BOTH (LL_NET_BIND_TCP | LL_NET_CONNECT_TCP)
#define BIND LL_NET_BIND_TCP
#define CONNECT LL_NET_CONNECT_TCP

static struct domain_ports plan_of(const char *const *words)
{
    struct policy *policy = build_words(words);
    struct domain_ports ports = domain_ports_plan(policy, BOTH);

    policy_unref(policy);
    return ports;
}

static void assert_rights(struct port_rights rights, uint64_t handled, uint64_t with_rules)
{
    assert_int_equal(rights.handled, handled);
    assert_int_equal(rights.with_rules, with_rules);
}

static void test_nothing_given_is_handled_without_rules(void **state)
{
    struct policy *policy = build_words(WORDS("-r/"));
    struct domain_ports ports = domain_ports_plan(policy, BOTH);

    assert_int_equal(ports.members.handled, BOTH);
    assert_int_equal(ports.supervisor.handled, BOTH);
    ports = domain_ports_plan(policy, 0); /* the kernel or the policy has no such protection */
    assert_rights(ports.members, 0, 0);
    assert_rights(ports.supervisor, 0, 0);
    policy_unref(policy);
}

static void test_what_is_performed_on_behalf_has_no_rule_for_members(void **state)
{
    struct domain_ports ports = plan_of(WORDS("-r/", "--net-allow=tcp://10.0.0.1:80"));

    assert_rights(ports.members, BOTH, BIND);
    assert_rights(ports.supervisor, BOTH, BOTH);
    ports = plan_of(WORDS("-r/", "--net-allow-bind=80", "--net-deny-bind=81"));
    assert_rights(ports.members, BOTH, 0);
    assert_rights(ports.supervisor, BOTH, BOTH);
}

static void test_the_direct_path_has_rules_in_both(void **state)
{
    struct domain_ports ports = plan_of(WORDS("--net-allow=tcp://:80"));

    assert_rights(ports.members, BOTH, BOTH);
    ports = plan_of(WORDS("--no-supervisor", "-r/", "--net-allow=tcp://:80"));
    assert_rights(ports.members, BOTH, BOTH);
}

static void test_endless_ports_are_not_handled(void **state)
{
    struct domain_ports ports = plan_of(WORDS("--net-allow=tcp://*", "--net-allow-bind=*"));

    assert_rights(ports.members, 0, 0);
    assert_rights(ports.supervisor, 0, 0);
    /* On behalf the members stay closed, whatever the supervisor may do. */
    ports = plan_of(WORDS("-r/", "--net-allow=tcp://*", "--net-allow-bind=*", "--net-deny-bind=1"));
    assert_rights(ports.members, BOTH, 0);
    assert_rights(ports.supervisor, 0, 0);
    ports = plan_of(WORDS("-r/", "--net-allow=tcp://10.0.0.1"));
    assert_rights(ports.members, BOTH, BIND);
    assert_rights(ports.supervisor, BIND, BIND);
    ports = plan_of(WORDS("-r/", "--net-deny=tcp://10.0.0.1", "--net-deny-bind=1"));
    assert_rights(ports.members, BOTH, 0);
    assert_rights(ports.supervisor, 0, 0);
}

static void test_udp_rules_open_no_tcp_port(void **state)
{
    struct domain_ports ports = plan_of(WORDS("-r/", "--net-allow=udp://*"));

    assert_rights(ports.members, BOTH, BIND);
    assert_rights(ports.supervisor, BOTH, BOTH);
}

static void test_remapped_ports_are_known_later(void **state)
{
    struct domain_ports ports = plan_of(WORDS("-r/", "--port-remap", "--net-allow-bind=80"));

    assert_rights(ports.members, BOTH, 0);
    assert_rights(ports.supervisor, 0, 0);
}

static void test_rules_go_where_they_are_planned(void **state)
{
    struct policy *policy = build_words(WORDS("-r/", "--net-allow-bind=0,90"));
    struct landlock_masks masks = {.net = BOTH};
    struct domain_ports ports = domain_ports_plan(policy, BOTH);
    struct error err = {0};
    int members = landlock_create(&masks);
    int supervisor = landlock_create(&masks);

    if (members < 0 || supervisor < 0)
        skip_because("Landlock does not judge TCP here");
    assert_true(domain_ports_add(&ports, policy, members, supervisor, &err));
    assert_true(domain_ports_add(&ports, policy, members, -1, &err));
    /* A rule for a right that the ruleset does not handle is the kernel's error. */
    struct landlock_masks only_connect = {.net = CONNECT};
    int wrong = landlock_create(&only_connect);
    assert_false(domain_ports_add(&ports, policy, wrong, -1, &err));
    assert_int_equal(err.sys_errno, EINVAL);
    assert_has_texts(err.text, TEXTS("TCP port 0"));
    close(wrong);
    close(supervisor);
    close(members);
    policy_unref(policy);
}

/* ---- What the rules come to in the kernel ----------------------------------------------------- */

enum attempt { ATTEMPT_BIND, ATTEMPT_CONNECT };

static bool is_refused(enum attempt attempt, uint16_t port)
{
    CLEANUP_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port)};

    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int result = attempt == ATTEMPT_BIND
                     ? bind(fd, (const struct sockaddr *)&name, sizeof(name))
                     : connect(fd, (const struct sockaddr *)&name, sizeof(name));
    return result != 0 && errno == EACCES; /* somebody may have the port, nobody may be there */
}

/* Which of four ports from this one on the domain of the members, or of the supervisor, refuses: bits. */
static int refused_of(const char *const *words, bool of_members, enum attempt attempt,
                      uint16_t first)
{
    struct landlock_masks masks = {.net = BOTH};
    struct policy *policy = build_words(words);
    struct domain_ports ports = domain_ports_plan(policy, BOTH);
    struct error err = {0};
    int members = landlock_create(&masks), supervisor = landlock_create(&masks), status;

    if (members < 0 || supervisor < 0)
        skip_because("Landlock does not judge TCP here");
    assert_true(domain_ports_add(&ports, policy, members, supervisor, &err));
    pid_t child = fork();
    if (child == 0) {
        int refused = 0;
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
            landlock_enter(of_members ? members : supervisor, 0) != 0)
            _exit(255);
        for (unsigned i = 0; i < 4; i++)
            refused |= is_refused(attempt, (uint16_t)(first + i)) << i;
        _exit(refused);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    close(members);
    close(supervisor);
    policy_unref(policy);
    return WEXITSTATUS(status);
}

static void test_a_range_of_ports_ends_where_it_is_said_to(void **state)
{
    const char *const *connects = WORDS("--net-allow=tcp://:28101-28102");
    const char *const *binds = WORDS("--net-allow-bind=28301-28302");

    assert_int_equal(refused_of(connects, true, ATTEMPT_CONNECT, 28100), 1 << 0 | 1 << 3);
    assert_int_equal(refused_of(connects, false, ATTEMPT_CONNECT, 28100), 1 << 0 | 1 << 3);
    assert_int_equal(refused_of(binds, true, ATTEMPT_BIND, 28300), 1 << 0 | 1 << 3);
    assert_int_equal(refused_of(binds, false, ATTEMPT_BIND, 28300), 1 << 0 | 1 << 3);
}

/* The domain of the supervisor is the wall behind a wrong verdict of its own. */
static void test_a_listed_port_that_is_denied_is_refused_to_the_supervisor_too(void **state)
{
    const char *const *words = WORDS("--net-allow-bind=28301-28303", "--net-deny-bind=28302");

    assert_int_equal(refused_of(words, false, ATTEMPT_BIND, 28300), 1 << 0 | 1 << 2);
    assert_int_equal(refused_of(words, true, ATTEMPT_BIND, 28300), 0xf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_given_is_handled_without_rules),
        cmocka_unit_test(test_what_is_performed_on_behalf_has_no_rule_for_members),
        cmocka_unit_test(test_the_direct_path_has_rules_in_both),
        cmocka_unit_test(test_endless_ports_are_not_handled),
        cmocka_unit_test(test_udp_rules_open_no_tcp_port),
        cmocka_unit_test(test_remapped_ports_are_known_later),
        cmocka_unit_test(test_rules_go_where_they_are_planned),
        cmocka_unit_test(test_a_range_of_ports_ends_where_it_is_said_to),
        cmocka_unit_test(test_a_listed_port_that_is_denied_is_refused_to_the_supervisor_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
