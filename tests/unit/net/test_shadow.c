/* Which grants reach something hidden. */
#include "member/kernel_place.h"
#include "net/shadow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static const struct shadow host = {
    .hosts = true,
    .kernel = true,
    .hosts_path = "/etc/hosts",
    .hosts_file = {8, 100},
    .way = {{8, 2}, {8, 50}},
    .way_count = 2,
    .root = {8, 2},
    .proc_device = 20,
    .sys_device = 21,
    .sys_root = 1,
};

static enum shadow_kind kind(const struct shadow *shadow, const char *path, uint64_t device,
                             uint64_t inode, bool write)
{
    const struct object_identity object = {.device = device, .inode = inode, .mode = S_IFDIR};

    const struct granted granted = {.path = path, .fd = -1, .write = write, .object = object};
    return shadow_kind_of(shadow, &granted);
}

static void the_hosts_file_has_no_rule_and_its_directories_are_split(void **state)
{
    struct shadow hosts = host;
    (void)state;
    hosts.kernel = false;
    assert_int_equal(kind(&hosts, "/etc/hosts", 8, 100, false), SHADOW_HIDDEN);
    assert_int_equal(kind(&hosts, "/some/link", 8, 100, false), SHADOW_HIDDEN);
    assert_int_equal(kind(&hosts, "/etc", 8, 50, false), SHADOW_SPLIT);
    assert_int_equal(kind(&hosts, "/", 8, 2, false), SHADOW_SPLIT);
    assert_int_equal(kind(&hosts, "/usr", 8, 60, false), SHADOW_NONE);
    assert_int_equal(kind(&hosts, "/x", 9, 100, false), SHADOW_NONE);
    assert_int_equal(kind(&hosts, "/proc", 20, 1, false), SHADOW_NONE);
    /* Files that are made in /etc have to be usable. */
    assert_int_equal(kind(&hosts, "/etc", 8, 50, true), SHADOW_NONE);
}

static void the_kernels_file_systems_have_no_rule(void **state)
{
    (void)state;
    for (int write = 0; write < 2; write++) {
        assert_int_equal(kind(&host, "/", 8, 2, write), SHADOW_SPLIT);
        assert_int_equal(kind(&host, "/proc", 20, 1, write), SHADOW_HIDDEN);
        assert_int_equal(kind(&host, "/proc/self", 20, 77, write), SHADOW_HIDDEN);
        assert_int_equal(kind(&host, "/sys", 21, 1, write), SHADOW_SYSFS);
        assert_int_equal(kind(&host, "/sys/class", 21, 5, write), SHADOW_HIDDEN);
        assert_int_equal(kind(&host, NULL, 21, 5, write), SHADOW_HIDDEN);
        assert_int_equal(kind(&host, "/sys/devices/system/cpu", 21, 6, write), SHADOW_NONE);
        assert_int_equal(kind(&host, "/sys/kernel/mm/x", 21, 7, write), SHADOW_NONE);
        assert_int_equal(kind(&host, "/sys/kernel", 21, 8, write), SHADOW_HIDDEN);
        assert_int_equal(kind(&host, "/sys/devices/system/../virtual", 21, 6, write),
                         SHADOW_HIDDEN);
    }
    const struct object_identity root = {.device = 8, .inode = 2};
    const struct object_identity etc = {.device = 8, .inode = 50};
    assert_true(shadow_hides_listing(&host, &root));
    assert_false(shadow_hides_listing(&host, &etc));
}

static void neighbours_are_told_by_their_directory(void **state)
{
    (void)state;
    assert_true(shadow_names_hosts(&host, "/etc/hosts"));
    assert_false(shadow_names_hosts(&host, "/etc/hosts2"));
    assert_true(shadow_lies_beside(&host, "/etc/passwd"));
    assert_true(shadow_lies_beside(&host, "/file"));
    assert_false(shadow_lies_beside(&host, "/etc/ssl/cert"));
    assert_false(shadow_lies_beside(&host, "/et/passwd"));
    assert_false(shadow_lies_beside(&host, "/usr/x"));
    assert_true(shadow_has_device(&host, 8));
    assert_false(shadow_has_device(&host, 9));
}

static void entries_of_sysfs_that_name_interfaces_are_hidden(void **state)
{
    (void)state;
    assert_non_null(sys_hides("/sys/class/net"));
    assert_non_null(sys_hides("/sys/devices/pci0000:00/virtio0/net/eth0"));
    assert_non_null(sys_hides("/sys/kernel/irq/24/actions"));
    assert_non_null(sys_hides("/sys/kernel/security"));
    assert_null(sys_hides("/sys/kernel/irqx"));
    assert_null(sys_hides("/sys/kernel/notes"));
}

static bool shows_kernel(const struct policy *policy)
{
    struct shadow shadow;

    shadow_init(&shadow, policy, NULL, 0);
    return shadow.kernel;
}

static bool is_shown(const char *path)
{
    struct shadow kernel;
    struct granted granted = {.path = path, .fd = -1};

    shadow_find_kernel(&kernel);
    assert_true(object_identify_path(AT_FDCWD, path, &granted.object));
    return shadow_shows_kernel(&kernel, &granted);
}

static void this_host_is_found(void **state)
{
    char read[] = "/usr", all[] = "/", proc[] = "/proc/self", cpu[] = "/sys/devices/system";
    char files[] = "/proc/stat";
    char *items[1] = {read};
    struct policy policy = {.fs_read = {.items = items, .count = 1}};
    (void)state;
    assert_false(shows_kernel(&policy));
    items[0] = all;
    assert_true(shows_kernel(&policy));
    items[0] = proc;
    assert_true(shows_kernel(&policy));
    policy.without = FEATURE_PROC_VIEW;
    assert_false(shows_kernel(&policy));
    assert_true(is_shown(proc));
    assert_true(is_shown(files));
    assert_true(is_shown(all));
    assert_false(is_shown(read));
    assert_false(is_shown(cpu));
    policy.without = 0;
    items[0] = cpu;
    assert_false(shows_kernel(&policy));
}

static void write_grants_are_told_apart_from_others(void **state)
{
    char usr[] = "/usr", all[] = "/";
    char *read[1] = {all}, *write[1] = {usr};
    struct net_rule anywhere = {.target = NET_TARGET_ANY};
    struct policy policy = {.fs_read = {.items = read, .count = 1},
                            .fs_write = {.items = write, .count = 1},
                            .net_allow = {.items = &anywhere, .count = 1}};
    struct shadow shadow;
    (void)state;
    shadow_init(&shadow, &policy, NULL, 0);
    assert_true(shadow.kernel);
    assert_true(shadow.hosts);
    assert_false(shadow.writes_reach_kernel);
    assert_false(shadow.writes_reach_hosts);
    write[0] = all;
    shadow_init(&shadow, &policy, NULL, 0);
    assert_true(shadow.writes_reach_kernel);
    assert_true(shadow.writes_reach_hosts);
    policy.without = FEATURE_PROC_VIEW;
    shadow_init(&shadow, &policy, NULL, 0);
    assert_false(shadow.writes_reach_kernel);
    assert_true(shadow.writes_reach_hosts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hosts_file_has_no_rule_and_its_directories_are_split),
        cmocka_unit_test(the_kernels_file_systems_have_no_rule),
        cmocka_unit_test(neighbours_are_told_by_their_directory),
        cmocka_unit_test(entries_of_sysfs_that_name_interfaces_are_hidden),
        cmocka_unit_test(this_host_is_found),
        cmocka_unit_test(write_grants_are_told_apart_from_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
