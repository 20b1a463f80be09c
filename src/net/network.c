/* The network of one sandbox: see network.h. */
#include "net/network.h"

#include "net/resolve.h"
#include "supervisor/supervisor.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

struct network *network_of(const struct supervisor *supervisor)
{
    return supervisor_network(supervisor);
}

static bool out_of_memory(struct error *err)
{
    return error_runtime(err, ENOMEM, "network of the sandbox");
}

static bool fill(struct network *network, const struct resolved_hosts *hosts, struct error *err)
{
    const struct policy *policy = network->policy;
    struct buffer text = BUFFER_INIT;

    network->verdicts = net_verdicts_new(policy, hosts->items, hosts->count);
    if (network->verdicts == NULL)
        return out_of_memory(err);
    resolve_hosts_text(hosts, &text);
    network->hosts_length = text.length;
    network->hosts = buffer_take(&text);
    if (network->hosts == NULL)
        return out_of_memory(err);
    if (policy->port_remap) {
        network->ports = port_map_new();
        if (network->ports == NULL)
            return out_of_memory(err);
    }
    network->holder = holder_new();
    return network->holder != NULL || error_runtime(err, errno, "network of the sandbox");
}

struct network *network_new(const struct policy *policy, const struct granted *granted,
                            size_t count, uint64_t limit_ms, struct error *err)
{
    struct network *network = calloc(1, sizeof(*network));
    struct resolved_hosts hosts = {0};

    if (network == NULL) {
        out_of_memory(err);
        return NULL;
    }
    network->policy = policy;
    network->shape = network_shape_of(policy);
    shadow_init(&network->shadow, policy, granted, count);
    if (network->shadow.hosts || network->shadow.kernel)
        network->started = (int64_t)time(NULL);
    bool good =
        resolve_hosts(&policy->net_allow, limit_ms, &hosts, err) && fill(network, &hosts, err);
    resolved_hosts_free(&hosts);
    if (good)
        return network;
    network_free(network);
    return NULL;
}

void network_free(struct network *network)
{
    if (network == NULL)
        return;
    holder_free(network->holder);
    port_map_free(network->ports);
    net_verdicts_free(network->verdicts);
    free(network->hosts);
    free(network);
}
