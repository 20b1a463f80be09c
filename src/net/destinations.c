/*
 * feature_destinations: which calls lead out of the sandbox and who judges them. See connect.c,
 * send.c and unix_target.c for the judgement.
 */
#include "net/destinations.h"

#include "kernel/landlock.h"
#include "net/ancillary.h"
#include "net/connect.h"
#include "net/device.h"
#include "net/net.h"
#include "net/send.h"

#include <errno.h>
#include <stdlib.h>

static bool destinations_wanted(const struct policy *policy, const struct network *network)
{
    (void)network;
    return network_shape_of(policy).connect_on_behalf;
}

/* Descriptors in messages that are under way: they are open files of the host's process. */
#define PASSED_MAX 1024U

static unsigned limit_passed(unsigned limit)
{
    if (limit < ANCILLARY_FDS_MAX) /* one message can always be sent */
        return ANCILLARY_FDS_MAX;
    return limit < PASSED_MAX ? limit : PASSED_MAX;
}

/* Where rules let no UDP datagram pass, also because all that is allowed is denied, its sockets are inert. */
static enum device_peers udp_peers_of(const struct network *network)
{
    if (network->shape.udp == UDP_INERT)
        return PEERS_ANY;
    return net_allows_everything(network->verdicts, NET_UDP) ? PEERS_ALIKE : PEERS_SAME;
}

static bool destinations_start(struct supervisor *supervisor, void **state, struct error *err)
{
    const struct policy *policy = supervisor_policy(supervisor);
    struct destinations *shared = calloc(1, sizeof(*shared));
    struct landlock_masks masks;

    if (shared == NULL)
        return error_runtime(err, ENOMEM, "destinations");
    landlock_resolve(landlock_support_get(), policy->protections, &masks);
    shared->network = network_of(supervisor);
    shared->proc_fd = supervisor_proc_fd(supervisor);
    shared->rights = own_rights_now();
    shared->mapped = policy_maps_user(policy);
    shared->judge_unix = (policy->without & FEATURE_UNIX_GATE) == 0;
    shared->abstract_scope =
        policy->protections[PROTECTION_ABSTRACT_UNIX_SCOPE] == PROTECTION_DISABLED ||
        (supervisor_is_confined(supervisor) &&
         masks.status[PROTECTION_ABSTRACT_UNIX_SCOPE] == STATUS_ACTIVE);
    shared->udp_peers = udp_peers_of(shared->network);
    shared->tcp_protected = masks.status[PROTECTION_NET_TCP] == STATUS_ACTIVE;
    shared->grants = supervisor_grants(supervisor);
    shared->passed_max = limit_passed(holder_limit(shared->network->holder));
    pthread_mutex_init(&shared->local.lock, NULL);
    pthread_mutex_init(&shared->device_lock, NULL);
    pthread_mutex_init(&shared->ended.lock, NULL);
    for (size_t i = 0; i < TIMEOUT_LOCKS; i++)
        pthread_mutex_init(&shared->timeout_locks[i], NULL);
    *state = shared;
    return true;
}

/* The polling thread is a worker that would not end by itself. */
static void destinations_leave_loop(void *state)
{
    struct destinations *shared = state;

    holder_stop(shared->network->holder);
}

static void destinations_stop(void *state)
{
    struct destinations *shared = state;

    if (shared == NULL)
        return;
    for (size_t i = 0; i < TIMEOUT_LOCKS; i++)
        pthread_mutex_destroy(&shared->timeout_locks[i]);
    pthread_mutex_destroy(&shared->device_lock);
    pthread_mutex_destroy(&shared->ended.lock);
    pthread_mutex_destroy(&shared->local.lock);
    free(shared);
}

static void destinations_describe(const struct policy *policy, struct posture *posture)
{
    struct network_shape shape = network_shape_of(policy);

    if (shape.destination_policy)
        posture_set(posture, "network-rules", POSTURE_ACTIVE, "supervisor", NULL);
    else
        posture_set(posture, "network-rules", POSTURE_OFF, NULL, "no rules are given");
    if (shape.unix_gate)
        posture_set(posture, "unix-gate", POSTURE_ACTIVE, "supervisor", NULL);
}

static const struct filter_rule no_address[] = {
    {.test_count = 1, .tests = {{.arg = 4, .op = ARG_IS_NULL}}},
};

static const struct trap traps[] = {
    {.syscall = "connect", .handle = on_connect},
    {.syscall = "sendto", .passes = no_address, .pass_count = 1, .handle = on_sendto},
    {.syscall = "sendmsg", .handle = on_sendmsg},
    {.syscall = "sendmmsg", .handle = on_sendmmsg},
};

static const char *const needs[] = {CONNECT_CALLS, SEND_CALLS, DEVICE_CALLS, NULL};

const struct feature feature_destinations = {
    .name = "network-rules",
    .wanted = destinations_wanted,
    .traps = traps,
    .trap_count = sizeof(traps) / sizeof(traps[0]),
    .needs = {.calls = needs},
    .start = destinations_start,
    .leave_loop = destinations_leave_loop,
    .stop = destinations_stop,
    .describe = destinations_describe,
};
