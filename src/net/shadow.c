/* What is shadowed: see shadow.h. Objects are known by device and inode, never by how they are spelled. */
#include "net/shadow.h"

#include "kernel/procfs.h"
#include "net/network_files.h"
#include "policy/network.h"
#include "supervisor/grants.h"
#include "util/fd.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define HOSTS "/etc/hosts"
#define SYS_FS "/sys/fs"
#define CGROUPS "/sys/fs/cgroup"

static struct shadow_place place_of(const struct object_identity *object)
{
    return (struct shadow_place){object->device, object->inode};
}

static bool is_place(const struct shadow_place *place, const struct object_identity *object)
{
    return place->device == object->device && place->inode == object->inode;
}

bool shadow_is_cgroup(const struct shadow *shadow, uint64_t device)
{
    for (unsigned i = 0; i < shadow->cgroup_count; i++) {
        if (shadow->cgroup_devices[i] == device)
            return true;
    }
    return false;
}

static bool is_above_cgroups(const struct shadow *shadow, const struct object_identity *object)
{
    return shadow->cgroup_count > 0 && is_place(&shadow->sys_fs, object);
}

/* ---- The host's places ----------------------------------------------------------------------------- */

static void add_cgroup(struct shadow *shadow, const struct object_identity *identity)
{
    if (identity->device != shadow->sys_device && identity->device != shadow->root.device &&
        !shadow_is_cgroup(shadow, identity->device) && shadow->cgroup_count < SHADOW_CGROUPS_MAX)
        shadow->cgroup_devices[shadow->cgroup_count++] = identity->device;
}

/* Those that every system has at one place: one tree, or a directory of trees. */
static void find_cgroups(struct shadow *shadow)
{
    struct object_identity identity;

    shadow->cgroups_known = true;
    if (!object_identify_path(AT_FDCWD, SYS_FS, &identity))
        return;
    shadow->sys_fs = place_of(&identity);
    int fd = open(CGROUPS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && object_identify(fd, &identity))
        add_cgroup(shadow, &identity);
    DIR *directory = fd < 0 || shadow->cgroup_count == 0 ? NULL : fdopendir(fd);
    if (directory == NULL) {
        fd_close(fd);
        return;
    }
    for (const struct dirent *entry = readdir(directory); entry != NULL;
         entry = readdir(directory)) {
        if (entry->d_type == DT_DIR && strcmp(entry->d_name, "..") != 0 &&
            object_identify_path(fd, entry->d_name, &identity))
            add_cgroup(shadow, &identity);
    }
    closedir(directory);
}

static void find_kernel(struct shadow *shadow)
{
    struct object_identity identity;

    if (object_identify_path(AT_FDCWD, "/", &identity))
        shadow->root = place_of(&identity);
    /* An empty directory where nothing is mounted belongs to the root's file system. */
    if (object_identify_path(AT_FDCWD, "/proc", &identity) &&
        identity.device != shadow->root.device) {
        shadow->proc_device = identity.device;
        shadow->proc_root = identity.inode;
    }
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

/* All of procfs, or what lies in the "net" of a process; not that of which procfs is a part. By the object:
 * "/proc/sys/net" and a link of any name are what they are. */
static bool is_grant_of_net(const struct shadow *host, const struct granted *granted)
{
    const struct object_identity *object = &granted->object;
    char path[PATH_MAX];
    struct proc_place place;
    bool unlinked;

    if (host->proc_device == 0 || object->device != host->proc_device)
        return false;
    return object->inode == host->proc_root ||
           (granted->fd >= 0 && grants_path_of(granted->fd, path, sizeof(path), &unlinked) == 0 &&
            proc_place_parse(path, &place) && proc_place_is_net(&place));
}

static void look_at_grant(struct shadow *host, const struct granted *granted)
{
    /* Only below these can they be, and looking for them costs more than all else here. */
    if (!host->cgroups_known && host->sys_device != 0 &&
        (granted->object.device == host->sys_device || is_place(&host->root, &granted->object)))
        find_cgroups(host);
    if (is_harmless(granted->path) && !is_above_cgroups(host, &granted->object))
        return;
    bool kernel = shows_kernel(host, &granted->object);
    host->shows_kernel = host->shows_kernel || kernel;
    host->names_net = host->names_net || is_grant_of_net(host, granted);
    if (!granted->write)
        return;
    host->writes_reach_kernel = host->writes_reach_kernel || kernel;
    host->writes_reach_hosts = host->writes_reach_hosts || reaches_hosts(host, &granted->object);
}

static void look_at_paths(struct shadow *host, const struct strv *paths, int start, bool write)
{
    for (size_t i = 0; i < paths->count; i++) {
        struct granted granted = {.path = paths->items[i], .fd = -1, .write = write};
        if (object_identify_path(start, granted.path, &granted.object))
            look_at_grant(host, &granted);
    }
}

/* Where nobody has opened them. */
static void look_at_policy(struct shadow *host, const struct policy *policy)
{
    CLEANUP_FD int start_fd = -1;

    if (policy->cwd != NULL)
        start_fd = open(policy->cwd, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int start = start_fd < 0 ? AT_FDCWD : start_fd;
    look_at_paths(host, &policy->fs_read, start, false);
    look_at_paths(host, &policy->fs_read_try, start, false);
    look_at_paths(host, &policy->fs_write, start, true);
    look_at_paths(host, &policy->fs_write_try, start, true);
}

void shadow_find_kernel(struct shadow *shadow)
{
    memset(shadow, 0, sizeof(*shadow));
    find_kernel(shadow);
}

bool shadow_shows_kernel(const struct shadow *shadow, const struct granted *granted)
{
    return shows_kernel(shadow, &granted->object) && !is_harmless(granted->path);
}

void shadow_init(struct shadow *shadow, const struct policy *policy, const struct granted *granted,
                 size_t count)
{
    memset(shadow, 0, sizeof(*shadow));
    if (policy->no_supervisor)
        return;
    find_kernel(shadow);
    shadow->hosts = network_shape_of(policy).hosts_view;
    if (shadow->hosts)
        find_hosts(shadow);
    if (granted == NULL)
        look_at_policy(shadow, policy);
    for (size_t i = 0; granted != NULL && i < count; i++)
        look_at_grant(shadow, &granted[i]);
    shadow->kernel = shadow->shows_kernel && (policy->without & FEATURE_PROC_VIEW) == 0;
    shadow->writes_reach_kernel = shadow->writes_reach_kernel && shadow->kernel;
}

enum shadow_kind shadow_kind_of(const struct shadow *shadow, const struct granted *granted)
{
    const struct object_identity *object = &granted->object;
    const char *path = granted->path;

    if (shadow->kernel) {
        if (is_place(&shadow->root, object))
            return SHADOW_SPLIT;
        if (object->device == shadow->proc_device)
            return SHADOW_HIDDEN;
        if (shadow_is_cgroup(shadow, object->device))
            return path == NULL ? SHADOW_HIDDEN : SHADOW_NONE;
        if (is_above_cgroups(shadow, object))
            return SHADOW_SYS_FS;
        if (object->device == shadow->sys_device && (path == NULL || !is_harmless(path)))
            return object->inode == shadow->sys_root ? SHADOW_SYSFS : SHADOW_HIDDEN;
    }
    if (shadow->hosts && !granted->write) {
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

static bool lies_below(const char *path, const char *directory)
{
    size_t length = strlen(directory);

    return strncmp(path, directory, length) == 0 && path[length] == '/';
}

bool shadow_hides_mount(const struct shadow *shadow, const char *path, const char *granted,
                        uint64_t device)
{
    bool by_root = strcmp(granted, "/") == 0;
    char entry[64];

    if (!shadow->kernel)
        return false;
    if (lies_below(path, "/proc"))
        return by_root || device == shadow->proc_device;
    if (!lies_below(path, "/sys"))
        return false;
    for (unsigned i = 0; shadow_sysfs_entry(i) != NULL; i++) {
        snprintf(entry, sizeof(entry), "/sys/%s", shadow_sysfs_entry(i));
        if (lies_below(path, entry))
            return false;
    }
    return by_root || (device == shadow->sys_device && !is_harmless(granted));
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
