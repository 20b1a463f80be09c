/* What is shadowed: see shadow.h. Objects are known by device and inode, never by how they are spelled. */
#include "net/shadow.h"

#include "kernel/procfs.h"
#include "policy/network.h"
#include "util/fd.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define HOSTS "/etc/hosts"

static struct shadow_place place_of(const struct object_identity *object)
{
    return (struct shadow_place){object->device, object->inode};
}

static bool is_place(const struct shadow_place *place, const struct object_identity *object)
{
    return place->device == object->device && place->inode == object->inode;
}

/* ---- The host's places ----------------------------------------------------------------------------- */

static void find_kernel(struct shadow *shadow)
{
    struct object_identity identity;

    if (object_identify_path(AT_FDCWD, "/", &identity))
        shadow->root = place_of(&identity);
    /* An empty directory where nothing is mounted belongs to the root's file system. */
    if (object_identify_path(AT_FDCWD, "/proc", &identity) &&
        identity.device != shadow->root.device)
        shadow->proc_device = identity.device;
    if (object_identify_path(AT_FDCWD, "/sys", &identity) &&
        identity.device != shadow->root.device) {
        shadow->sys_device = identity.device;
        shadow->sys_root = identity.inode;
    }
}

/* The directories of hosts_path, each by the real name, so that no link is in the way. */
static void find_way(struct shadow *shadow)
{
    struct object_identity identity;
    char path[PATH_MAX];

    shadow->way[shadow->way_count++] = shadow->root;
    snprintf(path, sizeof(path), "%s", shadow->hosts_path);
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (shadow->way_count == SHADOW_WAY_MAX || !object_identify_path(AT_FDCWD, path, &identity))
            return;
        shadow->way[shadow->way_count++] = place_of(&identity);
        *slash = '/';
    }
}

static void find_hosts(struct shadow *shadow)
{
    struct object_identity identity;
    CLEANUP_FD int fd = open(HOSTS, O_PATH | O_CLOEXEC);

    if (fd < 0 || !object_identify(fd, &identity) ||
        procfs_read_fd_link(-1, 0, fd, shadow->hosts_path, sizeof(shadow->hosts_path)) < 0 ||
        shadow->hosts_path[0] != '/') {
        shadow->hosts_path[0] = '\0';
        return;
    }
    shadow->hosts_file = place_of(&identity);
    find_way(shadow);
}

/* ---- Grants ---------------------------------------------------------------------------------------- */

/* Trees of sysfs where nothing of the network is. */
static bool is_harmless(const char *path)
{
    static const char *const trees[] = {"/sys/devices/system", "/sys/fs",    "/sys/kernel/mm",
                                        "/sys/module",         "/sys/power", "/sys/hypervisor"};

    for (size_t i = 0; i < sizeof(trees) / sizeof(trees[0]); i++) {
        size_t length = strlen(trees[i]);
        if (strncmp(path, trees[i], length) == 0 && (path[length] == '/' || path[length] == '\0'))
            return strstr(path, "..") == NULL;
    }
    return false;
}

static bool shows_kernel(const struct shadow *host, const struct object_identity *identity)
{
    return is_place(&host->root, identity) || identity->device == host->proc_device ||
           identity->device == host->sys_device;
}

/* Calls `visit` for what each granted path is at this moment. */
static void each_grant(struct shadow *host, const struct policy *policy, bool write,
                       void (*visit)(struct shadow *host, const struct object_identity *identity,
                                     bool write))
{
    const struct strv *const lists[] = {write ? &policy->fs_write : &policy->fs_read,
                                        write ? &policy->fs_write_try : &policy->fs_read_try};
    struct object_identity identity;
    CLEANUP_FD int start_fd = -1;
    int start = AT_FDCWD;

    if (policy->cwd != NULL) {
        start_fd = open(policy->cwd, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (start_fd >= 0)
            start = start_fd;
    }
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        for (size_t k = 0; k < lists[i]->count; k++) {
            const char *path = lists[i]->items[k];
            if (!is_harmless(path) && object_identify_path(start, path, &identity))
                visit(host, &identity, write);
        }
    }
}

static bool is_on_way(const struct shadow *shadow, const struct object_identity *object)
{
    for (unsigned i = 0; i < shadow->way_count; i++) {
        if (is_place(&shadow->way[i], object))
            return true;
    }
    return false;
}

static bool reaches_hosts(const struct shadow *host, const struct object_identity *identity)
{
    return shadow_is_hosts(host, identity) || is_on_way(host, identity);
}

static void look_at_grant(struct shadow *host, const struct object_identity *identity, bool write)
{
    bool kernel = shows_kernel(host, identity);

    host->kernel = host->kernel || kernel;
    host->writes_reach_kernel = host->writes_reach_kernel || (kernel && write);
    host->writes_reach_hosts = host->writes_reach_hosts || (write && reaches_hosts(host, identity));
}

static void look_at_grants(struct shadow *shadow, const struct policy *policy)
{
    each_grant(shadow, policy, false, look_at_grant);
    each_grant(shadow, policy, true, look_at_grant);
}

bool shadow_grants_show_kernel(const struct policy *policy)
{
    struct shadow host = {0};

    find_kernel(&host);
    look_at_grants(&host, policy);
    return host.kernel;
}

void shadow_init(struct shadow *shadow, const struct policy *policy)
{
    memset(shadow, 0, sizeof(*shadow));
    if (policy->no_supervisor)
        return;
    find_kernel(shadow);
    shadow->hosts = network_shape_of(policy).hosts_view;
    if (shadow->hosts)
        find_hosts(shadow);
    look_at_grants(shadow, policy);
    if ((policy->without & FEATURE_PROC_VIEW) != 0)
        shadow->kernel = shadow->writes_reach_kernel = false;
}

enum shadow_kind shadow_kind_of(const struct shadow *shadow, const char *path,
                                const struct object_identity *object, bool write)
{
    if (shadow->kernel) {
        if (is_place(&shadow->root, object))
            return SHADOW_SPLIT;
        if (object->device == shadow->proc_device)
            return SHADOW_HIDDEN;
        if (object->device == shadow->sys_device && (path == NULL || !is_harmless(path)))
            return object->inode == shadow->sys_root ? SHADOW_SYSFS : SHADOW_HIDDEN;
    }
    if (shadow->hosts && !write) {
        if (shadow_is_hosts(shadow, object))
            return SHADOW_HIDDEN;
        if (is_on_way(shadow, object))
            return SHADOW_SPLIT;
    }
    return SHADOW_NONE;
}

const char *shadow_sysfs_entry(unsigned index)
{
    static const char *const names[] = {"fs", "kernel/mm", "module", "power", "hypervisor", NULL};

    return names[index];
}

bool shadow_hides_listing(const struct shadow *shadow, const struct object_identity *object)
{
    return shadow->kernel && is_place(&shadow->root, object);
}

/* ---- Objects --------------------------------------------------------------------------------------- */

bool shadow_is_hosts(const struct shadow *shadow, const struct object_identity *object)
{
    return shadow->hosts && shadow->hosts_path[0] != '\0' && is_place(&shadow->hosts_file, object);
}

bool shadow_names_hosts(const struct shadow *shadow, const char *path)
{
    const char *name = shadow->hosts_path[0] == '\0' ? HOSTS : shadow->hosts_path;

    return shadow->hosts && strcmp(path, name) == 0;
}

bool shadow_lies_beside(const struct shadow *shadow, const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - path);

    if (slash == NULL)
        return false;
    if (length == 0) /* in the root directory */
        return shadow->kernel || shadow->way_count > 0;
    return shadow->hosts && strncmp(path, shadow->hosts_path, length) == 0 &&
           shadow->hosts_path[length] == '/';
}

bool shadow_has_device(const struct shadow *shadow, uint64_t device)
{
    for (unsigned i = 0; i < shadow->way_count; i++) {
        if (shadow->way[i].device == device)
            return true;
    }
    return device == shadow->root.device;
}

bool shadow_hides_sysfs(const char *path)
{
    static const char *const trees[] = {
        "/sys/class/net", "/sys/firmware", "/sys/kernel/security",
        "/sys/kernel/irq", /* its "actions" name the interfaces */
    };
    const char *devices = "/sys/devices/";

    for (size_t i = 0; i < sizeof(trees) / sizeof(trees[0]); i++) {
        size_t length = strlen(trees[i]);
        if (strncmp(path, trees[i], length) == 0 && (path[length] == '/' || path[length] == '\0'))
            return true;
    }
    if (strncmp(path, devices, strlen(devices)) != 0)
        return false;
    const char *net = strstr(path, "/net");
    while (net != NULL && net[4] != '/' && net[4] != '\0')
        net = strstr(net + 1, "/net");
    return net != NULL;
}
