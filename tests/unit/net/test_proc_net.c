/* The catalogue of /proc/net: names, contents, rows, records. */
#include "member/kernel_place.h"
#include "net/network_files.h"
#include "net/proc_net.h"
#include "net/proc_sockets.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

static void names_are_a_closed_list(void **state)
{
    (void)state;
    for (unsigned i = 0; i < NET_FILE_COUNT; i++)
        assert_int_equal(net_file_find(net_file_name((enum net_file)i)), i);
    const char *const others[] = {"",    "snmp", "netstat", "tcp/", "tcp ",
                                  "TCP", "de",   "device",  "."};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_int_equal(net_file_find(others[i]), NET_FILE_COUNT);
    assert_int_equal(NET_FILE_COUNT, 13);
}

static void fixed_files_have_text(void **state)
{
    (void)state;
    for (unsigned i = 0; i < NET_FILE_COUNT; i++)
        assert_int_equal(net_file_text((enum net_file)i) != NULL, i <= NET_FILE_ARP);
    /* The kernel fills lines of the route table up to 127 columns. */
    const char *route = net_file_text(NET_FILE_ROUTE);
    const char *second = strchr(route, '\n') + 1;
    assert_int_equal(second - route, 128);
    assert_int_equal(strlen(second), 128);
}

static struct own_socket owns[] = {
    {.cookie = 1, .inode = 11, .domain = AF_INET, .type = SOCK_STREAM, .protocol = IPPROTO_TCP},
    {.cookie = 2, .inode = 12, .domain = AF_INET, .type = SOCK_STREAM, .protocol = IPPROTO_TCP},
    {.cookie = 3, .inode = 13, .domain = AF_INET6, .type = SOCK_DGRAM, .protocol = IPPROTO_UDP},
    {.cookie = 4, .inode = 14, .domain = AF_UNIX, .type = SOCK_STREAM},
    {.cookie = 5, .inode = 15, .domain = AF_UNIX, .type = SOCK_STREAM},
    {.cookie = 6, .inode = 16, .domain = AF_UNIX, .type = SOCK_STREAM},
    {.cookie = 7, .inode = 17, .domain = AF_UNIX, .type = SOCK_DGRAM},
};

static struct own_sockets own = {.items = owns, .count = sizeof(owns) / sizeof(owns[0])};

static const struct net_address loopback = {.family = 4, .bytes = {127, 0, 0, 1}};

static char *render(enum net_file file, struct diag_socket *sockets, size_t count,
                    const char *names, size_t names_length, struct port_map *ports)
{
    struct diag_list list = {.sockets = sockets, .count = count};
    struct buffer out = BUFFER_INIT;

    buffer_append(&list.names, names, names_length);
    proc_sockets_render(file, &own, &list, ports, &out);
    buffer_free(&list.names);
    return buffer_take(&out);
}

static void only_own_rows_show(void **state)
{
    struct diag_socket sockets[] = {
        {.cookie = 1,
         .family = AF_INET,
         .protocol = IPPROTO_TCP,
         .state = 10,
         .local = loopback,
         .local_port = 8080,
         .remote = {.family = 4},
         .uid = 1000,
         .inode = 11,
         .receive_queue = 2,
         .send_queue = 128},
        {.cookie = 99,
         .family = AF_INET,
         .protocol = IPPROTO_TCP,
         .state = 10,
         .local = loopback,
         .local_port = 9999,
         .remote = {.family = 4},
         .inode = 11},
        {.cookie = 2,
         .family = AF_INET,
         .protocol = IPPROTO_TCP,
         .state = 1,
         .local = loopback,
         .local_port = 40000,
         .remote = loopback,
         .remote_port = 8080,
         .inode = 12,
         .timer = 2,
         .retransmits = 3,
         .expires = 1000},
    };
    char *text = render(NET_FILE_TCP, sockets, 3, "", 0, NULL);
    (void)state;
    assert_non_null(strstr(text,
                           "\n   0: 0100007F:1F90 00000000:0000 0A 00000000:00000002 00:00000000 "
                           "00000000  1000        0 11 0 0000000000000000 0 0 0 0 0 "));
    assert_non_null(strstr(text,
                           "\n   1: 0100007F:9C40 0100007F:1F90 01 00000000:00000000 02:00000064 "
                           "00000000     0        3 12 0 "));
    assert_null(strstr(text, "270F"));
    assert_int_equal(strlen(text), 3 * 150);
    free(text);
}

static void ports_are_the_virtual_ones(void **state)
{
    struct diag_socket sockets[] = {
        {.cookie = 1,
         .family = AF_INET,
         .protocol = IPPROTO_TCP,
         .state = 10,
         .local = loopback,
         .local_port = 40001,
         .remote = {.family = 4}},
        {.cookie = 2,
         .family = AF_INET,
         .protocol = IPPROTO_TCP,
         .state = 1,
         .local = loopback,
         .local_port = 40001,
         .remote = loopback,
         .remote_port = 40001},
    };
    struct port_map *ports = port_map_new();
    (void)state;
    assert_true(port_map_record(ports, NET_TCP, 80, 40001, 1));
    char *text = render(NET_FILE_TCP, sockets, 2, "", 0, ports);
    assert_non_null(strstr(text, "0: 0100007F:0050 00000000:0000 0A"));
    assert_non_null(strstr(text, "1: 0100007F:0050 0100007F:0050 01"));
    free(text);
    port_map_free(ports);
}

static void unix_names_cannot_forge_rows(void **state)
{
    static const char names[] = "\0abstract\0x"
                                "/run/socket"
                                "relative"
                                "\0bad\nrow"
                                "\0\xff";
    struct diag_socket sockets[] = {
        {.cookie = 4,
         .family = AF_UNIX,
         .type = SOCK_STREAM,
         .state = 10,
         .inode = 14,
         .name_offset = 0,
         .name_length = 11},
        {.cookie = 5,
         .family = AF_UNIX,
         .type = SOCK_STREAM,
         .state = 1,
         .inode = 15,
         .name_offset = 11,
         .name_length = 11},
        {.cookie = 6,
         .family = AF_UNIX,
         .type = SOCK_STREAM,
         .state = 7,
         .inode = 16,
         .name_offset = 22,
         .name_length = 8},
        {.cookie = 7,
         .family = AF_UNIX,
         .type = SOCK_DGRAM,
         .state = 7,
         .inode = 17,
         .name_offset = 30,
         .name_length = 8},
        {.cookie = 7,
         .family = AF_UNIX,
         .type = SOCK_DGRAM,
         .state = 7,
         .inode = 17,
         .name_offset = 38,
         .name_length = 2},
    };
    char *text = render(NET_FILE_UNIX, sockets, 5, names, sizeof(names) - 1, NULL);
    (void)state;
    assert_string_equal(text,
                        "Num       RefCount Protocol Flags    Type St Inode Path\n"
                        "0000000000000000: 00000000 00000000 00010000 0001 01    14 @abstract@x\n"
                        "0000000000000000: 00000000 00000000 00000000 0001 03    15 /run/socket\n"
                        "0000000000000000: 00000000 00000000 00000000 0001 01    16\n");
    free(text);
}

static void counts_are_of_own_sockets(void **state)
{
    char *text = render(NET_FILE_SOCKSTAT, NULL, 0, "", 0, NULL);
    (void)state;
    assert_string_equal(text, "sockets: used 7\nTCP: inuse 2 orphan 0 tw 0 alloc 2 mem 0\n"
                              "UDP: inuse 0 mem 0\nUDPLITE: inuse 0\nRAW: inuse 0\n"
                              "FRAG: inuse 0 memory 0\n");
    free(text);
    text = render(NET_FILE_SOCKSTAT6, NULL, 0, "", 0, NULL);
    assert_string_equal(text, "TCP6: inuse 0\nUDP6: inuse 1\nUDPLITE6: inuse 0\nRAW6: inuse 0\n"
                              "FRAG6: inuse 0 memory 0\n");
    free(text);
}

static void records_fill_the_buffer_and_go_on(void **state)
{
    uint8_t buffer[4096];
    unsigned index = 0;
    (void)state;
    assert_int_equal(net_listing(buffer, 8, false, &index), -EINVAL);
    assert_int_equal(index, 0);
    ssize_t first = net_listing(buffer, 24, false, &index);
    assert_int_equal(first, 24);
    assert_int_equal(index, 1);
    assert_string_equal((char *)buffer + 19, ".");
    assert_true(net_listing(buffer, sizeof(buffer), false, &index) > 0);
    assert_int_equal(index, 15);
    assert_int_equal(net_listing(buffer, sizeof(buffer), false, &index), 0);
    /* The older layout: the name at 18, the type in the last byte. */
    index = 2;
    assert_int_equal(net_listing(buffer, 24, true, &index), 24);
    assert_string_equal((char *)buffer + 18, "dev");
    assert_int_equal(buffer[23], 8);
}

static void places_of_processes_are_told(void **state)
{
    struct proc_place place;
    (void)state;
    assert_true(proc_place_parse("/proc/12/net/tcp", &place));
    assert_int_equal(place.pid, 12);
    assert_string_equal(place.rest, "net/tcp");
    assert_true(proc_place_parse("/proc/12/task/13/net", &place));
    assert_string_equal(place.rest, "net");
    assert_true(proc_place_parse("/proc/12/task/13", &place));
    assert_string_equal(place.rest, "");
    assert_true(proc_place_parse("/proc/12/task", &place));
    assert_string_equal(place.rest, "task");
    assert_true(proc_place_parse("/proc/12", &place));
    assert_string_equal(place.rest, "");
    assert_false(proc_place_parse("/proc", &place));
    assert_false(proc_place_parse("/proc/", &place));
    assert_false(proc_place_parse("/proc/12x/net", &place));
    assert_false(proc_place_parse("/proc/sys/net", &place));
    assert_false(proc_place_parse("/procx/12/net", &place));
    assert_false(proc_place_parse("/proc/99999999999/net", &place));
}

static void settings_of_the_hosts_interfaces_are_told_by_their_names(void **state)
{
    (void)state;
    assert_true(proc_names_interface("/proc/sys/net/ipv4/conf"));
    assert_true(proc_names_interface("/proc/sys/net/ipv4/conf/eth0"));
    assert_true(proc_names_interface("/proc/sys/net/ipv6/neigh/lo1/x"));
    assert_true(proc_names_interface("/proc/sys/net/mpls/conf/al/input"));
    assert_false(proc_names_interface("/proc/sys/net/ipv4/conf/all"));
    assert_false(proc_names_interface("/proc/sys/net/ipv4/conf/lo/forwarding"));
    assert_false(proc_names_interface("/proc/sys/net/ipv6/neigh/default/x"));
    assert_false(proc_names_interface("/proc/sys/net/ipv4/config"));
    assert_false(proc_names_interface("/proc/sys/net/ipv4"));
    assert_false(proc_names_interface("/proc/sys/net"));
    assert_false(proc_names_interface("/proc/sys/kernel/conf"));
}

static void interfaces_in_sysfs_are_known(void **state)
{
    (void)state;
    assert_non_null(sys_hides("/sys/class/net"));
    assert_non_null(sys_hides("/sys/class/net/lo"));
    assert_non_null(sys_hides("/sys/devices/virtual/net"));
    assert_non_null(sys_hides("/sys/devices/pci0/net/eth0/address"));
    assert_null(sys_hides("/sys/devices/network/x"));
    assert_null(sys_hides("/sys/class/network"));
    assert_null(sys_hides("/sys/module/net"));
    assert_null(sys_hides("/sys/devices/system/cpu/online"));
    assert_non_null(sys_hides("/sys/devices/netx/y/net/z"));
}

static void what_the_kernel_keeps_to_itself_is_told_name_by_name(void **state)
{
    static const char *const kernel[] = {"kcore",       "kmsg",          "kallsyms",   "keys",
                                         "key-users",   "sysrq-trigger", "kpagecount", "kpageflags",
                                         "kpagecgroup", "locks",         "interrupts", "irq",
                                         "sysvipc"};
    static const char *const sysfs[] = {"/sys/class/net", "/sys/firmware", "/sys/kernel/security",
                                        "/sys/kernel/irq"};
    static const char *const lists[] = {"cgroup.procs", "cgroup.threads", "tasks"};
    char path[64];

    (void)state;
    for (size_t i = 0; i < sizeof(kernel) / sizeof(kernel[0]); i++) {
        snprintf(path, sizeof(path), "/proc/%s", kernel[i]);
        assert_non_null(proc_hides(path));
        snprintf(path, sizeof(path), "/proc/%s/x", kernel[i]);
        assert_non_null(proc_hides(path));
        snprintf(path, sizeof(path), "/proc/%sx", kernel[i]);
        assert_null(proc_hides(path));
    }
    assert_null(proc_hides("/proc/cpuinfo"));
    for (size_t i = 0; i < sizeof(sysfs) / sizeof(sysfs[0]); i++) {
        assert_non_null(sys_hides(sysfs[i]));
        snprintf(path, sizeof(path), "%s/x", sysfs[i]);
        assert_non_null(sys_hides(path));
        snprintf(path, sizeof(path), "%sx", sysfs[i]);
        assert_null(sys_hides(path));
    }
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        snprintf(path, sizeof(path), "/sys/fs/cgroup/a/%s", lists[i]);
        assert_true(cgroup_tells_of_processes(path));
    }
    assert_false(cgroup_tells_of_processes("/sys/fs/cgroup/a/memory.max"));
}

static void what_an_entry_shows_or_does_depends_on_who_opens_it(void **state)
{
    static const char *const always[] = {"pagemap", "stack", "seccomp_cache"};
    static const char *const written[] = {"mem",        "uid_map",        "gid_map",   "setgroups",
                                          "projid_map", "attr/keycreate", "attr/exec", "attr/x/y"};

    (void)state;
    for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
        assert_true(proc_place_is_sensitive(&(struct proc_place){1, always[i]}, true, false));
    for (size_t i = 0; i < sizeof(written) / sizeof(written[0]); i++) {
        struct proc_place place = {1, written[i]};
        assert_true(proc_place_is_sensitive(&place, true, true));
        assert_true(proc_place_is_sensitive(&place, false, false));
        assert_false(proc_place_is_sensitive(&place, true, false));
    }
    assert_true(proc_place_is_sensitive(&(struct proc_place){1, "task/2/attr/exec"}, true, true));
    assert_false(proc_place_is_sensitive(&(struct proc_place){1, "comm"}, false, true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_a_closed_list),
        cmocka_unit_test(fixed_files_have_text),
        cmocka_unit_test(only_own_rows_show),
        cmocka_unit_test(ports_are_the_virtual_ones),
        cmocka_unit_test(unix_names_cannot_forge_rows),
        cmocka_unit_test(counts_are_of_own_sockets),
        cmocka_unit_test(records_fill_the_buffer_and_go_on),
        cmocka_unit_test(places_of_processes_are_told),
        cmocka_unit_test(settings_of_the_hosts_interfaces_are_told_by_their_names),
        cmocka_unit_test(interfaces_in_sysfs_are_known),
        cmocka_unit_test(what_the_kernel_keeps_to_itself_is_told_name_by_name),
        cmocka_unit_test(what_an_entry_shows_or_does_depends_on_who_opens_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
