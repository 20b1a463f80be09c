/* Calls that the features of the network judge, each for a caller that is gone: see stale_run.h. */
#ifndef SANDLOCK_TESTS_STALE_NETWORK_H
#define SANDLOCK_TESTS_STALE_NETWORK_H

#include "../gates/stale_run.h"
#include "../grant_now.h"
#include "../policy/policy_test.h"

#include "net/network.h"

#include <fcntl.h>

/* With one grant, of `granted`, and the window of routing sockets as it is for small limits. */
static inline void stale_try_in_network(const char *granted, bool write, const char *const *words,
                                        const struct feature *const *features,
                                        const struct call *calls, size_t count)
{
    struct grants grants = {0};
    struct error err = {0};
    CLEANUP_FD int fd = open(granted, O_PATH | O_CLOEXEC);

    assert_int_equal(grant_now(&grants, fd, write), 0);
    struct policy *policy = build_words(words);
    struct network *network = network_new(policy, NULL, 0, 0, &err);
    assert_non_null(network);
    struct gated_run run = {.policy = policy,
                            .features = features,
                            .grants = &grants,
                            .network = network,
                            .window = {448, 511}};

    stale_try(&run, calls, count);
    network_free(network);
    policy_unref(policy);
    grants_free(&grants);
}

#endif
