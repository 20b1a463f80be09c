/* Places in procfs and sysfs: see kernel_place.h. */
#include "member/kernel_place.h"

#include "kernel/process_tree.h"
#include "kernel/procfs.h"
#include "supervisor/supervisor.h"
#include "util/text.h"

#include <stdint.h>
#include <string.h>

#define PROC "/proc"

/* Parents asked on the way up to the guardian; deeper trees are walked from the top. */
#define ANCESTORS_MAX 64

#define INTERFACES_HIDDEN "the host's interfaces are not shown"

/* ---- Processes ------------------------------------------------------------------------------------- */

/* "/12" at the start of a text; the rest behind it. */
static bool take_number(const char **text, pid_t *number)
{
    size_t length = (*text)[0] == '/' ? strspn(*text + 1, "0123456789") : 0;
    uint64_t value;

    if (length == 0 || ((*text)[1 + length] != '/' && (*text)[1 + length] != '\0') ||
        !text_parse_uint(*text + 1, length, INT32_MAX, &value))
        return false;
    *number = (pid_t)value;
    *text += 1 + length;
    return true;
}

bool proc_place_parse(const char *path, struct proc_place *place)
{
    const char *rest = path + strlen(PROC);
    pid_t thread;

    if (strncmp(path, PROC, strlen(PROC)) != 0 || !take_number(&rest, &place->pid))
        return false;
    if (strncmp(rest, "/task/", 6) == 0) {
        const char *below = rest + 5;
        if (take_number(&below, &thread))
            rest = below;
    }
    place->rest = rest[0] == '/' ? rest + 1 : rest;
    return true;
}

bool proc_place_is_net(const struct proc_place *place)
{
    return strncmp(place->rest, "net", 3) == 0 && (place->rest[3] == '/' || place->rest[3] == '\0');
}

static bool is_sensitive(const char *rest, bool write)
{
    static const char *const always[] = {"pagemap", "stack", "seccomp_cache"};
    static const char *const written[] = {"mem",       "uid_map",    "gid_map",
                                          "setgroups", "projid_map", NULL};
    const char *slash = strrchr(rest, '/');
    const char *name = slash == NULL ? rest : slash + 1;

    for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++) {
        if (strcmp(name, always[i]) == 0)
            return true;
    }
    if (write && (strncmp(rest, "attr/", 5) == 0 || strstr(rest, "/attr/") != NULL))
        return true;
    for (size_t i = 0; write && written[i] != NULL; i++) {
        if (strcmp(name, written[i]) == 0)
            return true;
    }
    return false;
}

bool proc_place_is_sensitive(const struct proc_place *place, bool own, bool write)
{
    return is_sensitive(place->rest, write || !own);
}

bool proc_is_member(const struct request *request, pid_t pid)
{
    struct process_tree tree = PROCESS_TREE_INIT;
    pid_t ancestor = pid;
    bool found = false;

    if (pid == request->tgid || (uint32_t)pid == request->notification.pid)
        return true;
    int proc_fd = supervisor_proc_fd(request->supervisor);
    pid_t guardian = supervisor_guardian(request->supervisor);
    for (int i = 0; i < ANCESTORS_MAX && ancestor > 1; i++) {
        ancestor = procfs_parent(proc_fd, ancestor);
        if (ancestor == guardian)
            return true;
    }
    if (ancestor <= 1)
        return false;
    if (process_tree_refresh(&tree, proc_fd, guardian) >= 0) {
        for (size_t i = 0; i < tree.count && !found; i++)
            found = tree.entries[i].pid == pid;
    }
    process_tree_free(&tree);
    return found;
}

/* The scheduler's group is made with the session (sched(7)). The number of a session is its leader's, and
 * stays taken while somebody is in it. */
bool proc_place_reaches_out(const struct request *request, const struct proc_place *place)
{
    struct procfs_stat stat;

    if (strcmp(place->rest, "autogroup") != 0)
        return false;
    return procfs_stat(supervisor_proc_fd(request->supervisor), place->pid, &stat) != 0 ||
           !proc_is_member(request, stat.session);
}

/* ---- The kernel's own ------------------------------------------------------------------------------ */

/* Memory and keys of the kernel; "locks" and "sysvipc" tell of other processes, "interrupts" and "irq" name the
 * host's interfaces. */
static bool is_hidden_kernel_file(const char *path)
{
    static const char *const names[] = {"kcore",       "kmsg",          "kallsyms",   "keys",
                                        "key-users",   "sysrq-trigger", "kpagecount", "kpageflags",
                                        "kpagecgroup", "locks",         "interrupts", "irq",
                                        "sysvipc"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t length = strlen(PROC "/");
        if (strncmp(path, PROC "/", length) != 0)
            return false;
        const char *rest = path + length;
        length = strlen(names[i]);
        if (strncmp(rest, names[i], length) == 0 && (rest[length] == '\0' || rest[length] == '/'))
            return true;
    }
    return false;
}

bool proc_names_interface(const char *path)
{
    static const char *const parents[] = {"/conf", "/neigh"};
    static const char *const everywhere[] = {"all", "default", "lo"};
    const char *net = PROC "/sys/net/";

    if (strncmp(path, net, strlen(net)) != 0)
        return false;
    const char *family = path + strlen(net);
    const char *kind = family + strcspn(family, "/");
    const char *entry = NULL;
    for (size_t i = 0; i < sizeof(parents) / sizeof(parents[0]); i++) {
        size_t length = strlen(parents[i]);
        if (strncmp(kind, parents[i], length) == 0 && (kind[length] == '\0' || kind[length] == '/'))
            entry = kind + length;
    }
    if (entry == NULL)
        return false;
    entry += strspn(entry, "/");
    size_t length = strcspn(entry, "/");
    for (size_t i = 0; i < sizeof(everywhere) / sizeof(everywhere[0]); i++) {
        if (length == strlen(everywhere[i]) && strncmp(entry, everywhere[i], length) == 0)
            return false;
    }
    return true;
}

const char *proc_hides(const char *path)
{
    if (is_hidden_kernel_file(path))
        return "not shown to any sandbox";
    return proc_names_interface(path) ? INTERFACES_HIDDEN : NULL;
}

static bool is_hidden_in_sysfs(const char *path)
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

bool cgroup_tells_of_processes(const char *path)
{
    static const char *const endings[] = {"procs", "tasks", "threads"};
    size_t length = strlen(path);

    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        size_t size = strlen(endings[i]);
        if (length >= size && strcmp(path + length - size, endings[i]) == 0)
            return true;
    }
    return false;
}

const char *sys_hides(const char *path)
{
    return is_hidden_in_sysfs(path) ? INTERFACES_HIDDEN : NULL;
}
