/*
 * GPU grants. NVIDIA: the control nodes and one node per device. AMD and others: the render node of
 * the n-th card on the PCI bus, never all of /dev/dri unless all GPUs are allowed, since one rule
 * there would expose every card.
 */
#include "launch/gpu.h"

#include "util/strv.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef bool (*add_node)(void *data, const char *path, bool write, bool requested);

static const char *const control_nodes[] = {
    "/dev/nvidiactl",
    "/dev/nvidia-uvm",
    "/dev/nvidia-uvm-tools",
    "/dev/kfd",
};
/* These reach every card: the displays, and the parts that cards are divided into. */
static const char *const shared_nodes[] = {
    "/dev/nvidia-modeset",
    "/dev/nvidia-caps",
};
static const char *const information_files[] = {
    "/proc/driver/nvidia",
    "/sys/bus/pci/devices",
    "/sys/module/nvidia",
    "/sys/class/kfd",
};

static bool add_all_numbered(const char *directory, const char *prefix, add_node add, void *data)
{
    DIR *listing = opendir(directory);
    struct dirent *entry;
    bool ok = true;

    if (listing == NULL)
        return true;
    while (ok && (entry = readdir(listing)) != NULL) {
        size_t length = strlen(prefix);
        const char *digits = entry->d_name + length;
        char path[PATH_MAX];
        if (strncmp(entry->d_name, prefix, length) != 0 || digits[0] == '\0' ||
            digits[strspn(digits, "0123456789")] != '\0')
            continue;
        snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        ok = add(data, path, true, false);
    }
    closedir(listing);
    return ok;
}

/* Render nodes sorted by the PCI address of their device, the order that indices follow. */
static void list_render_nodes(struct strv *keys)
{
    DIR *listing = opendir("/sys/class/drm");
    struct dirent *entry;

    if (listing == NULL)
        return;
    while ((entry = readdir(listing)) != NULL) {
        char link[PATH_MAX];
        char target[PATH_MAX];
        if (strncmp(entry->d_name, "renderD", 7) != 0)
            continue;
        snprintf(link, sizeof(link), "/sys/class/drm/%s/device", entry->d_name);
        ssize_t length = readlink(link, target, sizeof(target) - 1);
        if (length <= 0)
            continue;
        target[length] = '\0';
        const char *address = strrchr(target, '/');
        char key[PATH_MAX + 300];
        snprintf(key, sizeof(key), "%s /dev/dri/%s", address != NULL ? address + 1 : target,
                 entry->d_name);
        strv_add(keys, key);
    }
    closedir(listing);
    strv_sort(keys);
}

static bool add_listed(const struct policy *policy, add_node add, void *data)
{
    CLEANUP_STRV struct strv render_nodes = STRV_INIT;

    list_render_nodes(&render_nodes);
    for (size_t i = 0; i < policy->gpu_device_count; i++) {
        uint32_t index = policy->gpu_devices[i];
        bool has_render = index < render_nodes.count;
        char path[64];

        snprintf(path, sizeof(path), "/dev/nvidia%u", index);
        if (!add(data, path, true, !has_render))
            return false;
        if (has_render) {
            const char *node = strchr(render_nodes.items[index], ' ');
            if (!add(data, node + 1, true, true))
                return false;
        }
    }
    return true;
}

static bool add_every_card(add_node add, void *data)
{
    for (size_t i = 0; i < sizeof(shared_nodes) / sizeof(shared_nodes[0]); i++) {
        if (!add(data, shared_nodes[i], true, false))
            return false;
    }
    return add_all_numbered("/dev", "nvidia", add, data) && add(data, "/dev/dri", true, false);
}

bool gpu_each_node(const struct policy *policy, add_node add, void *data)
{
    if (policy->gpu == GPU_NONE)
        return true;
    for (size_t i = 0; i < sizeof(control_nodes) / sizeof(control_nodes[0]); i++) {
        if (!add(data, control_nodes[i], true, false))
            return false;
    }
    for (size_t i = 0; i < sizeof(information_files) / sizeof(information_files[0]); i++) {
        if (!add(data, information_files[i], false, false))
            return false;
    }
    if (policy->gpu == GPU_LIST)
        return add_listed(policy, add, data);
    return add_every_card(add, data);
}
