/* What the features of a run are in its posture, and by what word a user leaves them out. */
#include "supervisor/internal.h"

#include "kernel/probe.h"
#include "supervisor/posture.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    unsigned bit;
} switches[] = {
    {"metadata-gate", FEATURE_METADATA_GATE}, {"process-gate", FEATURE_PROCESS_GATE},
    {"unix-gate", FEATURE_UNIX_GATE},         {"netlink-view", FEATURE_NETLINK_VIEW},
    {"hosts-view", FEATURE_HOSTS_VIEW},       {"listen-gate", FEATURE_LISTEN_GATE},
    {"proc-view", FEATURE_PROC_VIEW},
};
#define SWITCH_COUNT (sizeof(switches) / sizeof(switches[0]))

static unsigned switch_of(const char *name)
{
    for (size_t i = 0; i < SWITCH_COUNT; i++)
        if (strcmp(switches[i].name, name) == 0)
            return switches[i].bit;
    return 0;
}

const char *supervisor_switch_for(const struct supervisor *supervisor,
                                  const struct feature *feature)
{
    const struct supervisor_config *config = &supervisor->config;

    if (switch_of(feature->name) != 0)
        return feature->name;
    for (size_t i = 0; i < SWITCH_COUNT && feature->wanted != NULL; i++) {
        struct policy without = *config->policy; /* borrows what it points to */
        without.without |= switches[i].bit;
        if (!feature->wanted(&without, config->network))
            return switches[i].name;
    }
    return NULL;
}

bool feature_needs_descriptors(const struct feature *feature)
{
    if (feature->makes_do)
        return false;
    for (const char *const *call = feature->needs.calls; call != NULL && *call != NULL; call++)
        if (strcmp(*call, "pidfd_getfd") == 0)
            return true;
    return false;
}

bool supervisor_cannot_fetch(const struct supervisor *supervisor)
{
    return !supervisor_fetches(supervisor) && probe_fetch_method() != PROBE_FETCH_PIDFD;
}

/* What they judge they reach without following a link of /proc. */
static const struct {
    const char *entry;
    enum probe_call call;
} needed_calls[] = {
    {"explain", PROBE_OPENAT2},   {"explain", PROBE_FACCESSAT2}, {"metadata-gate", PROBE_OPENAT2},
    {"unix-gate", PROBE_OPENAT2}, {"hosts-view", PROBE_OPENAT2}, {"proc-view", PROBE_OPENAT2},
};
#define NEEDED_CALL_COUNT (sizeof(needed_calls) / sizeof(needed_calls[0]))

bool feature_needs_call(const char *entry, enum probe_call call)
{
    for (size_t i = 0; i < NEEDED_CALL_COUNT; i++)
        if (needed_calls[i].call == call && strcmp(needed_calls[i].entry, entry) == 0)
            return true;
    return false;
}

static void describe_refused_calls(struct posture *posture)
{
    char why[64];

    for (size_t i = 0; i < NEEDED_CALL_COUNT; i++) {
        const struct posture_entry *entry = posture_find(posture, needed_calls[i].entry);
        if (entry == NULL || entry->state != POSTURE_ACTIVE || probe_has_call(needed_calls[i].call))
            continue;
        snprintf(why, sizeof(why), "%s is refused here", probe_call_name(needed_calls[i].call));
        posture_set(posture, entry->name, POSTURE_DEGRADED, NULL, why);
    }
}

static void describe_wanted(const struct supervisor *supervisor, const struct feature *feature,
                            struct posture *posture)
{
    if (feature->describe != NULL)
        feature->describe(supervisor->config.policy, posture);
    else
        posture_set(posture, feature->name, POSTURE_ACTIVE, "supervisor", NULL);
}

/* Such a feature refuses what it would do on a descriptor: it opens nothing, and is of no use. */
static void describe_unfetched(const struct supervisor *supervisor, const struct feature *feature,
                               struct posture *posture)
{
    struct posture own = POSTURE_INIT;

    if (!feature_needs_descriptors(feature))
        return;
    describe_wanted(supervisor, feature, &own);
    for (size_t i = 0; i < own.count; i++) {
        const struct posture_entry *entry = posture_find(posture, own.entries[i].name);
        if (entry != NULL && entry->state == POSTURE_ACTIVE)
            posture_set(posture, entry->name, POSTURE_DEGRADED, NULL, SUPERVISOR_UNFETCHED);
    }
    posture->failed |= own.failed;
    posture_free(&own);
}

void supervisor_describe(const struct supervisor *supervisor, struct posture *posture)
{
    const struct policy *policy = supervisor->config.policy;
    const struct feature *const *registry = supervisor->config.registry;

    for (size_t i = 0; registry != NULL && registry[i] != NULL; i++) {
        const struct feature *feature = registry[i];
        if ((policy->without & switch_of(feature->name)) != 0)
            posture_set(posture, feature->name, POSTURE_DISABLED, NULL, "--without");
        else if (policy->no_supervisor)
            posture_set(posture, feature->name, POSTURE_OFF, NULL, "no supervisor");
        else if (!supervisor_wants(supervisor, feature) &&
                 posture_find(posture, feature->name) != NULL)
            continue; /* one of several features of a name, and another is wanted */
        else if (!supervisor_wants(supervisor, feature))
            posture_set(posture, feature->name, POSTURE_OFF, NULL, "not used by this policy");
        else
            describe_wanted(supervisor, feature, posture);
    }
    for (size_t i = 0; supervisor_cannot_fetch(supervisor) && i < supervisor->feature_count; i++)
        describe_unfetched(supervisor, supervisor->wanted[i], posture);
    describe_refused_calls(posture);
}
