/* Which nodes a policy's GPUs come to. Whether they exist on this machine does not matter here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "launch/gpu.h"

#include <stdio.h>
#include <string.h>

#define NODES_MAX 256

struct nodes {
    struct {
        char path[128];
        bool write;
        bool requested;
    } items[NODES_MAX];
    size_t count;
    size_t stop_at; /* the call that fails, 0: none */
};

static bool add(void *data, const char *path, bool write, bool requested)
{
    struct nodes *nodes = data;

    assert_true(nodes->count < NODES_MAX);
    snprintf(nodes->items[nodes->count].path, sizeof(nodes->items[0].path), "%s", path);
    nodes->items[nodes->count].write = write;
    nodes->items[nodes->count].requested = requested;
    nodes->count++;
    return nodes->count != nodes->stop_at;
}

static ptrdiff_t position(const struct nodes *nodes, const char *path)
{
    for (size_t i = 0; i < nodes->count; i++) {
        if (strcmp(nodes->items[i].path, path) == 0)
            return (ptrdiff_t)i;
    }
    return -1;
}

/* Control nodes to write, information only to read, and none of them need exist. */
static void assert_common_nodes(const struct nodes *nodes)
{
    static const char *const written[] = {"/dev/nvidiactl", "/dev/nvidia-uvm",
                                          "/dev/nvidia-uvm-tools", "/dev/kfd"};
    static const char *const read[] = {"/proc/driver/nvidia", "/sys/bus/pci/devices",
                                       "/sys/module/nvidia", "/sys/class/kfd"};

    for (size_t i = 0; i < sizeof(written) / sizeof(written[0]); i++) {
        ptrdiff_t at = position(nodes, written[i]);
        assert_true(at >= 0);
        assert_true(nodes->items[at].write);
        assert_false(nodes->items[at].requested);
    }
    for (size_t i = 0; i < sizeof(read) / sizeof(read[0]); i++) {
        ptrdiff_t at = position(nodes, read[i]);
        assert_true(at >= 0);
        assert_false(nodes->items[at].write);
        assert_false(nodes->items[at].requested);
    }
    for (size_t i = 0; i < nodes->count; i++)
        assert_true(nodes->items[i].write == (strncmp(nodes->items[i].path, "/dev/", 5) == 0));
}

static void without_gpus_there_is_no_node(void **state)
{
    uint32_t devices[] = {0};
    struct policy policy = {.gpu = GPU_NONE, .gpu_devices = devices, .gpu_device_count = 1};
    struct nodes nodes = {0};

    (void)state;
    assert_true(gpu_each_node(&policy, add, &nodes));
    assert_int_equal(nodes.count, 0);
}

static void all_gpus_are_the_directory_of_all_cards(void **state)
{
    struct policy policy = {.gpu = GPU_ALL};
    struct nodes nodes = {0};

    (void)state;
    assert_true(gpu_each_node(&policy, add, &nodes));
    assert_common_nodes(&nodes);
    assert_true(position(&nodes, "/dev/nvidia-caps") >= 0);
    assert_true(position(&nodes, "/dev/nvidia-modeset") >= 0);
    ptrdiff_t at = position(&nodes, "/dev/dri");
    assert_true(at >= 0 && nodes.items[at].write);
    for (size_t i = 0; i < nodes.count; i++)
        assert_false(nodes.items[i].requested); /* "all" may be none */
}

static void listed_gpus_are_their_own_nodes_only(void **state)
{
    uint32_t devices[] = {60001, 60003}; /* no machine has so many */
    struct policy policy = {.gpu = GPU_LIST, .gpu_devices = devices, .gpu_device_count = 2};
    struct nodes nodes = {0};
    int numbered = 0;

    (void)state;
    assert_true(gpu_each_node(&policy, add, &nodes));
    assert_common_nodes(&nodes);
    /* Nothing that reaches other cards. */
    assert_int_equal(position(&nodes, "/dev/dri"), -1);
    assert_int_equal(position(&nodes, "/dev/nvidia-caps"), -1);
    assert_int_equal(position(&nodes, "/dev/nvidia-modeset"), -1);
    assert_int_equal(position(&nodes, "/dev/nvidia0"), -1);
    for (size_t i = 0; i < nodes.count; i++) {
        unsigned number;
        if (sscanf(nodes.items[i].path, "/dev/nvidia%u", &number) != 1)
            continue;
        assert_int_equal(number, devices[numbered++]);
        assert_true(nodes.items[i].write);
        assert_true(nodes.items[i].requested); /* missing: somebody should hear of it */
    }
    assert_int_equal(numbered, 2);
}

static void every_listed_gpu_is_requested_by_one_node(void **state)
{
    uint32_t devices[] = {0};
    struct policy policy = {.gpu = GPU_LIST, .gpu_devices = devices, .gpu_device_count = 1};
    struct nodes nodes = {0};
    int requested = 0;

    (void)state;
    assert_true(gpu_each_node(&policy, add, &nodes));
    assert_true(position(&nodes, "/dev/nvidia0") >= 0);
    for (size_t i = 0; i < nodes.count; i++)
        requested += nodes.items[i].requested;
    assert_int_equal(requested, 1);
}

static void a_call_that_fails_is_the_last(void **state)
{
    uint32_t devices[] = {0, 1};
    struct policy policy = {.gpu = GPU_LIST, .gpu_devices = devices, .gpu_device_count = 2};
    struct nodes all = {0};

    (void)state;
    assert_true(gpu_each_node(&policy, add, &all));
    for (size_t stop = 1; stop <= all.count; stop++) {
        struct nodes nodes = {.stop_at = stop};
        assert_false(gpu_each_node(&policy, add, &nodes));
        assert_int_equal(nodes.count, stop);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_gpus_there_is_no_node),
        cmocka_unit_test(all_gpus_are_the_directory_of_all_cards),
        cmocka_unit_test(listed_gpus_are_their_own_nodes_only),
        cmocka_unit_test(every_listed_gpu_is_requested_by_one_node),
        cmocka_unit_test(a_call_that_fails_is_the_last),
    };

    return cmocka_run_group_tests_name("gpu", tests, NULL, NULL);
}
