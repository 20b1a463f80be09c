/* The network of one sandbox: see network.h. */
#include "net/network.h"

#include "net/resolve.h"
#include "supervisor/supervisor.h"
#include "util/fd.h"

#include <errno.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

struct network *network_of(const struct supervisor *supervisor)
{
    return supervisor_network(supervisor);
}

static bool out_of_memory(struct error *err)
{
    return error_runtime(err, ENOMEM, "network of the sandbox");
}

struct network_shape network_shape_known(const struct policy *policy, const struct network *network)
{
    return network != NULL ? network->shape : network_shape_of(policy);
}

static size_t add_addresses(struct net_rule *rules, const struct net_rule *named,
                            const struct resolved_hosts *hosts)
{
    size_t count = 0;

    for (size_t i = 0; i < hosts->count; i++) {
        const struct net_resolved *host = &hosts->items[i];
        if (strcasecmp(host->host, named->host) != 0)
            continue;
        for (size_t k = 0; k < host->count; k++) {
            rules[count] = *named;
            rules[count].target = NET_TARGET_RANGE;
            rules[count].base = host->addresses[k];
            rules[count++].prefix = (uint8_t)net_address_bits(&host->addresses[k]);
        }
    }
    return count;
}

/* Names that lead to nothing but denied addresses make no UDP socket useful. Whether ping sockets exist is decided
 * by the filter, from the rules alone. */
static bool resolve_shape(struct network *network, const struct resolved_hosts *hosts)
{
    const struct net_rules *allow = &network->policy->net_allow;
    size_t most = 1;

    if (!network->shape.named_hosts || network->policy->net_deny.count == 0)
        return true;
    for (size_t i = 0; i < hosts->count; i++)
        most = hosts->items[i].count > most ? hosts->items[i].count : most;
    /* The copies borrow ports and names. */
    CLEANUP_FREE struct net_rule *items = calloc(allow->count, most * sizeof(*items));
    if (items == NULL)
        return false;
    struct net_rules resolved = {.items = items};
    for (size_t i = 0; i < allow->count; i++) {
        if (allow->items[i].target == NET_TARGET_HOST)
            resolved.count += add_addresses(items + resolved.count, &allow->items[i], hosts);
        else
            items[resolved.count++] = allow->items[i];
    }
    bool ping = network->shape.ping;
    if (resolved.count > 0) /* none would mean that everything is allowed */
        network_shape_pass(&network->shape, network->policy, &resolved);
    network->shape.ping = ping;
    return true;
}

static bool fill(struct network *network, const struct resolved_hosts *hosts, struct error *err)
{
    const struct policy *policy = network->policy;
    struct buffer text = BUFFER_INIT;

    network->verdicts = net_verdicts_new(policy, hosts->items, hosts->count);
    if (network->verdicts == NULL || !resolve_shape(network, hosts))
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
