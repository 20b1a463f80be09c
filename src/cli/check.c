/*
 * What `sandlock check` prints, for people and as JSON. The first block of the text keeps its layout:
 * scripts read it.
 */
#include "cli/check.h"

#include "launch/registry.h"
#include "net/net.h"
#include "policy/quote.h"
#include "supervisor/supervisor.h"
#include "util/json.h"
#include "util/strv.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

/* ---- Tables ------------------------------------------------------------------------------------ */

/* What Landlock offers beyond its first version, told by the bits the kernel really takes. */
static const struct {
    const char *title;
    const char *key;
    unsigned abi;
    uint64_t fs, net, scoped;
} landlock_features[] = {
    {"Filesystem:", "filesystem", 1, LL_FS_BASE, 0, 0},
    {"File truncate:", "file_truncate", 3, LL_FS_TRUNCATE, 0, 0},
    {"TCP ports:", "tcp_ports", 4, 0, LL_NET_BIND_TCP | LL_NET_CONNECT_TCP, 0},
    {"Device ioctl:", "device_ioctl", 5, LL_FS_IOCTL_DEV, 0, 0},
    {"IPC scoping:", "ipc_scoping", 6, 0, 0, LL_SCOPE_ABSTRACT_UNIX},
    {"Signal scoping:", "signal_scoping", 6, 0, 0, LL_SCOPE_SIGNAL},
};
#define LANDLOCK_FEATURE_COUNT (sizeof(landlock_features) / sizeof(landlock_features[0]))

static const struct {
    const char *title;
    const char *key;
    size_t offset; /* of the probe_item */
} host_items[] = {
    {"Landlock domains:", "landlock_restrict_self",
     offsetof(struct probe_result, landlock_restrict)},
    {"User notification:", "user_notification", offsetof(struct probe_result, user_notification)},
    {"Seccomp listener:", "listener", offsetof(struct probe_result, listener)},
    {"Killable receive:", "wait_killable_recv", offsetof(struct probe_result, wait_killable)},
    {"Atomic fd injection:", "addfd_send", offsetof(struct probe_result, addfd_send)},
    {"Sync wake-up:", "sync_wake_up", offsetof(struct probe_result, sync_wake_up)},
    {"pidfd_open:", "pidfd_open", offsetof(struct probe_result, pidfd_open)},
    {"pidfd_getfd:", "pidfd_getfd", offsetof(struct probe_result, pidfd_getfd)},
    {"process_vm_readv:", "process_vm_readv", offsetof(struct probe_result, process_vm_readv)},
    {"process_vm_writev:", "process_vm_writev", offsetof(struct probe_result, process_vm_writev)},
    {"/proc:", "proc", offsetof(struct probe_result, proc)},
    {"/proc/PID/mem:", "proc_mem", offsetof(struct probe_result, proc_mem)},
    {"ptrace:", "ptrace", offsetof(struct probe_result, ptrace)},
    {"kcmp:", "kcmp", offsetof(struct probe_result, kcmp)},
#define CALL(name, number) name ":", name, offsetof(struct probe_result, calls[number])
    {CALL("openat2", PROBE_OPENAT2)},
    {CALL("faccessat2", PROBE_FACCESSAT2)},
    {CALL("statx", PROBE_STATX)},
    {CALL("close_range", PROBE_CLOSE_RANGE)},
    {CALL("pidfd_send_signal", PROBE_PIDFD_SEND_SIGNAL)},
    {CALL("memfd_create", PROBE_MEMFD_CREATE)},
    {CALL("signalfd4", PROBE_SIGNALFD)},
    {CALL("kill", PROBE_KILL)},
#undef CALL
    {"User namespaces:", "user_namespaces", offsetof(struct probe_result, user_namespaces)},
    {"/dev/shm:", "dev_shm", offsetof(struct probe_result, dev_shm)},
};
#define HOST_ITEM_COUNT (sizeof(host_items) / sizeof(host_items[0]))

static const struct probe_item *item_of(const struct probe_result *host, size_t index)
{
    return (const struct probe_item *)((const char *)host + host_items[index].offset);
}

static bool has_feature(const struct landlock_support *support, size_t index)
{
    uint64_t fs = landlock_features[index].fs;
    uint64_t net = landlock_features[index].net;
    uint64_t scoped = landlock_features[index].scoped;

    return support->abi > 0 && (support->fs & fs) == fs && (support->net & net) == net &&
           (support->scoped & scoped) == scoped;
}

static void resolve_strict(const struct landlock_support *support, struct landlock_masks *masks)
{
    static const enum protection_request strict[PROTECTION_COUNT] = {PROTECTION_STRICT};

    landlock_resolve(support, strict, masks);
}

static bool is_fully_supported(const struct landlock_support *support)
{
    struct landlock_masks masks;

    if (support->abi <= 0)
        return false;
    resolve_strict(support, &masks);
    for (int i = 0; i < PROTECTION_COUNT; i++) {
        if (masks.status[i] != STATUS_ACTIVE)
            return false;
    }
    return true;
}

static const char *unavailable_reason(const struct landlock_support *support)
{
    if (support->unavailable_errno == EOPNOTSUPP)
        return "built into the kernel but not enabled at boot: add landlock to lsm=";
    if (support->unavailable_errno == ENOSYS)
        return "this kernel is built without it";
    return strerror(support->unavailable_errno);
}

/* ---- Text -------------------------------------------------------------------------------------- */

static void write_landlock_text(const struct landlock_support *support, struct buffer *out)
{
    buffer_printf(out, "  Landlock:       ABI v%d\n", support->abi);
    buffer_printf(out, "  Minimum required: ABI v%d\n", LANDLOCK_ABI_MINIMUM);
    buffer_printf(out, "  Status:         %s\n",
                  is_fully_supported(support) ? "OK" : "UNSUPPORTED (upgrade kernel)");
    for (size_t i = 0; i < LANDLOCK_FEATURE_COUNT; i++) {
        buffer_printf(out, "  %-15s ", landlock_features[i].title);
        if (has_feature(support, i))
            buffer_printf(out, "supported (ABI v%u+)\n", landlock_features[i].abi);
        else
            buffer_append_text(out, "not supported\n");
    }
}

static void write_protections_text(const struct landlock_support *support, struct buffer *out)
{
    struct landlock_masks masks;

    resolve_strict(support, &masks);
    buffer_printf(out, "\nPer-protection availability (host Landlock ABI v%d):\n", support->abi);
    for (int i = 0; i < PROTECTION_COUNT; i++)
        buffer_printf(out, "  %-22s requires v%u \xE2\x80\x94 %s\n",
                      protection_display((enum protection)i), protection_min_abi((uint32_t)i),
                      masks.status[i] == STATUS_ACTIVE ? "available" : "unavailable");
}

static void write_item_text(const struct probe_result *host, size_t index, struct buffer *out)
{
    const struct probe_item *item = item_of(host, index);

    buffer_printf(out, "  %-22s %s", host_items[index].title,
                  item->available ? "available" : "unavailable");
    if (item->reason[0] != '\0')
        buffer_printf(out, " (%s)", item->reason);
    buffer_append_char(out, '\n');
}

static void write_yama_text(int scope, struct buffer *out)
{
    if (scope < 0)
        buffer_printf(out, "  %-22s not present\n", "Yama:");
    else
        buffer_printf(out, "  %-22s ptrace_scope %d\n", "Yama:", scope);
}

static void write_nesting_text(const struct probe_result *host, struct buffer *out)
{
    const char *state = "no";

    if (host->under_listener)
        state = "yes, under a supervisor: only --no-supervisor sandboxes can start here";
    else if (host->under_filter)
        state = "yes, by a seccomp filter";
    else if (host->no_new_privileges)
        state = "no filter, but no_new_privs is set";
    buffer_printf(out, "  %-22s %s\n", "Already confined:", state);
}

static void write_host_text(const struct probe_result *host, struct buffer *out)
{
    buffer_printf(out, "\nSupervision (kernel %s):\n", host->kernel_release);
    if (host->landlock.abi > 0)
        buffer_printf(out, "  %-22s 0x%" PRIx32 "\n", "Landlock errata:", host->landlock.errata);
    for (size_t i = 0; i < HOST_ITEM_COUNT; i++)
        write_item_text(host, i, out);
    write_yama_text(host->yama_ptrace_scope, out);
    write_nesting_text(host, out);
    buffer_printf(out, "  %-22s %s\n",
                  "Fetch descriptors by:", probe_fetch_name(host->fetch_method));
    buffer_printf(out, "  %-22s %s\n", "Read memory by:", probe_memory_name(host->read_method));
    buffer_printf(out, "  %-22s %s\n", "Write memory by:", probe_memory_name(host->write_method));
}

/* What a supervised run loses, the names of posture entries: for want of members' descriptors, or of a call.
 * Nothing where calls are not supervised at all. */
static void list_unfetched(const struct probe_result *host, struct strv *lost)
{
    if (host->fetch_method != PROBE_FETCH_NONE || !host->listener.available)
        return;
    for (size_t i = 0; feature_registry[i] != NULL; i++) {
        const struct feature *feature = feature_registry[i];
        if (feature_needs_descriptors(feature) && !strv_contains(lost, feature->name))
            strv_add(lost, feature->name);
        if (feature == &feature_destinations)
            strv_add(lost, "unix-gate"); /* an entry of its own */
    }
}

static void list_without_call(const struct probe_result *host, enum probe_call call,
                              struct strv *lost)
{
    if (host->calls[call].available || !host->listener.available)
        return;
    for (size_t i = 0; feature_registry[i] != NULL; i++) {
        const char *name =
            feature_registry[i] == &feature_destinations ? "unix-gate" : feature_registry[i]->name;
        if (feature_needs_call(name, call) && !strv_contains(lost, name))
            strv_add(lost, name);
    }
}

static void write_lost_text(const struct strv *lost, const char *why, struct buffer *out)
{
    if (lost->count == 0)
        return;
    buffer_printf(out, "  %-22s ", "Lost here:");
    for (size_t i = 0; i < lost->count; i++)
        buffer_printf(out, "%s%s", i > 0 ? ", " : "", lost->items[i]);
    buffer_printf(out, " (%s)\n", why);
}

static void write_all_lost_text(const struct probe_result *host, struct buffer *out)
{
    CLEANUP_STRV struct strv unfetched = STRV_INIT;

    list_unfetched(host, &unfetched);
    write_lost_text(&unfetched, SUPERVISOR_UNFETCHED, out);
    for (int i = 0; i < PROBE_CALLS; i++) {
        CLEANUP_STRV struct strv lost = STRV_INIT;
        list_without_call(host, (enum probe_call)i, &lost);
        write_lost_text(&lost, host->calls[i].reason, out);
    }
}

void check_text(const struct probe_result *host, const char *platform, struct buffer *out)
{
    buffer_append_text(out, "Kernel feature support:\n");
    if (host->landlock.abi > 0) {
        write_landlock_text(&host->landlock, out);
        write_protections_text(&host->landlock, out);
    } else {
        buffer_printf(out, "  Landlock: unavailable (%s)\n", unavailable_reason(&host->landlock));
        buffer_append_text(out, "  Status:   UNSUPPORTED\n");
    }
    buffer_printf(out, "  Platform: %s\n", platform);
    write_host_text(host, out);
    write_all_lost_text(host, out);
    buffer_append_text(out, "\n`sandlock run --print-policy` shows the rules of a run, "
                            "`sandlock check -p PROFILE` what they amount to here.\n");
}

/* ---- JSON -------------------------------------------------------------------------------------- */

static void write_landlock_json(const struct landlock_support *support, struct json *json)
{
    struct landlock_masks masks;

    json_key(json, "landlock");
    json_object_begin(json);
    json_int_member(json, "abi", support->abi);
    json_int_member(json, "minimum_abi", LANDLOCK_ABI_MINIMUM);
    json_bool_member(json, "supported", is_fully_supported(support));
    json_int_member(json, "errata", support->errata);
    if (support->abi <= 0)
        json_string_member(json, "reason", unavailable_reason(support));
    for (size_t i = 0; i < LANDLOCK_FEATURE_COUNT; i++)
        json_bool_member(json, landlock_features[i].key, has_feature(support, i));
    json_object_end(json);

    resolve_strict(support, &masks);
    json_key(json, "protections");
    json_array_begin(json);
    for (int i = 0; i < PROTECTION_COUNT; i++) {
        json_object_begin(json);
        json_string_member(json, "name", protection_name((enum protection)i));
        json_int_member(json, "requires_abi", protection_min_abi((uint32_t)i));
        json_bool_member(json, "available", support->abi > 0 && masks.status[i] == STATUS_ACTIVE);
        json_object_end(json);
    }
    json_array_end(json);
}

static void write_host_json(const struct probe_result *host, struct json *json)
{
    for (size_t i = 0; i < HOST_ITEM_COUNT; i++) {
        const struct probe_item *item = item_of(host, i);
        json_key(json, host_items[i].key);
        json_object_begin(json);
        json_bool_member(json, "available", item->available);
        if (item->sys_errno != 0)
            json_int_member(json, "errno", item->sys_errno);
        if (item->reason[0] != '\0')
            json_string_member(json, "reason", item->reason);
        json_object_end(json);
    }
    json_key(json, "yama_ptrace_scope");
    if (host->yama_ptrace_scope < 0)
        json_null(json);
    else
        json_int(json, host->yama_ptrace_scope);
    json_key(json, "confined");
    json_object_begin(json);
    json_bool_member(json, "filter", host->under_filter);
    json_int_member(json, "filters", host->filter_count);
    json_bool_member(json, "listener", host->under_listener);
    json_bool_member(json, "no_new_privs", host->no_new_privileges);
    json_object_end(json);
    json_key(json, "methods");
    json_object_begin(json);
    json_string_member(json, "fetch", probe_fetch_name(host->fetch_method));
    json_string_member(json, "read_memory", probe_memory_name(host->read_method));
    json_string_member(json, "write_memory", probe_memory_name(host->write_method));
    json_object_end(json);
    CLEANUP_STRV struct strv lost = STRV_INIT;
    list_unfetched(host, &lost);
    for (int i = 0; i < PROBE_CALLS; i++)
        list_without_call(host, (enum probe_call)i, &lost);
    json_key(json, "lost");
    json_array_begin(json);
    for (size_t i = 0; i < lost.count; i++)
        json_string(json, lost.items[i]);
    json_array_end(json);
}

void check_json(const struct probe_result *host, const char *platform, struct buffer *out)
{
    struct json json;

    json_init(&json, out, 2);
    json_object_begin(&json);
    json_int_member(&json, "v", 1);
    json_string_member(&json, "platform", platform);
    json_string_member(&json, "kernel", host->kernel_release);
    write_landlock_json(&host->landlock, &json);
    write_host_json(host, &json);
    json_object_end(&json);
    buffer_append_char(out, '\n');
}

/* ---- A profile here ---------------------------------------------------------------------------- */

static const char *state_text(enum posture_state state)
{
    switch (state) {
    case POSTURE_ACTIVE:
        return "active";
    case POSTURE_DEGRADED:
        return "degraded";
    case POSTURE_DISABLED:
        return "disabled";
    case POSTURE_OFF:
        return "off";
    case POSTURE_ABSENT:
        break;
    }
    return "absent";
}

void check_posture_text(const struct posture *posture, const char *profile, struct buffer *out)
{
    buffer_printf(out, "Posture of profile %s on this system:\n", quote(profile).text);
    for (size_t i = 0; i < posture->count; i++) {
        const struct posture_entry *entry = &posture->entries[i];
        buffer_printf(out, "  %-28s %-9s", entry->name, state_text(entry->state));
        if (entry->by != NULL)
            buffer_printf(out, " by %s", entry->by);
        if (entry->why != NULL)
            buffer_printf(out, " (%s)", entry->why);
        buffer_append_char(out, '\n');
    }
    if (posture->exceptions.count > 0)
        buffer_append_text(out, "\nLeft open:\n");
    for (size_t i = 0; i < posture->exceptions.count; i++)
        buffer_printf(out, "  %s\n", posture->exceptions.items[i]);
    buffer_append_text(out, "\n--print-policy shows the rules.\n");
}
