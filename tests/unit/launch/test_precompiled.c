/* Which starts find the members' filter ready. */
#include "../policy/policy_test.h"

#include "filter/filter.h"
#include "launch/precompiled.h"
#include "launch/registry.h"
#include "net/net.h"
#include "net/network.h"
#include "supervisor/supervisor.h"

/* As a start of root or of another user looks, in a container (`overlaid`) or not, which may refuse pidfd_getfd
 * (`traced`). */
static bool is_ready(struct policy *policy, bool privileged, bool overlaid, bool traced,
                     unsigned terminal)
{
    struct error err = {0};
    struct supervisor_config config = {.policy = policy,
                                       .registry = feature_registry,
                                       .traced = traced,
                                       .early_truncation = overlaid,
                                       .terminal = terminal > 0,
                                       .keeps_session = terminal > 1,
                                       .window = netlink_window(1024)};

    config.network = network_new(policy, NULL, 0, 0, &err);
    assert_non_null(config.network);
    struct supervisor *supervisor = supervisor_new(&config, &err);
    assert_non_null(supervisor);
    struct member_filter_options options = supervisor_filter_options(supervisor);
    options.privileged = privileged;
    bool ready = precompiled_members_filter(member_filter_key(policy, &options)) != NULL;
    supervisor_free(supervisor);
    network_free(config.network);
    return ready;
}

static void assert_always_ready(const char *const *words)
{
    struct policy *policy = build_words(words);

    for (unsigned i = 0; i < 24; i++) {
        bool privileged = (i & 4) != 0, overlaid = (i & 2) != 0, traced = (i & 1) != 0;
        unsigned terminal = i / 8; /* in front of it, in the background of it */
        if ((overlaid || !traced) && !is_ready(policy, privileged, overlaid, traced, terminal))
            fail_msg("%s: privileged %d, overlaid %d, traced %d, terminal %u", words[0], privileged,
                     overlaid, traced, terminal);
    }
    policy_unref(policy);
}

static void test_everyday_policies_find_their_filter_whoever_starts_them(void **state)
{
    (void)state;
    assert_always_ready(WORDS("--fs-read=/usr"));
    assert_always_ready(WORDS("--fs-read=/"));
    assert_always_ready(WORDS("--max-processes=8"));
}

static void test_other_policies_do_not(void **state)
{
    struct policy *policy = build_words(WORDS("--net-deny=tcp://192.0.2.1", "--port-remap"));

    (void)state;
    assert_false(is_ready(policy, false, false, false, false));
    policy_unref(policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everyday_policies_find_their_filter_whoever_starts_them),
        cmocka_unit_test(test_other_policies_do_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
