/* Views of files, marks and refusals of the network, for a caller that is gone: see stale_run.h. */
#include "stale_network.h"

#include "gates/gates.h"
#include "net/net.h"
#include "net/network.h"
#include "net/open_call.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define UNTOUCHED 0x77

/* What is not in the caches of names, and where all workers are busy, has to wait. */
int __real_open_call_pin(const struct open_call *call, bool cached_only);
int __wrap_open_call_pin(const struct open_call *call, bool cached_only);
bool __real_request_would_wait(const struct request *request);
bool __wrap_request_would_wait(const struct request *request);

static bool nothing_is_cached, all_are_busy;

int __wrap_open_call_pin(const struct open_call *call, bool cached_only)
{
    return nothing_is_cached && cached_only ? -EAGAIN : __real_open_call_pin(call, cached_only);
}

bool __wrap_request_would_wait(const struct request *request)
{
    return all_are_busy || __real_request_would_wait(request);
}

static bool is_written(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != UNTOUCHED)
            return true;
    }
    return false;
}

static bool looks_at_a_file(void)
{
    struct stat status;

    memset(&status, UNTOUCHED, sizeof(status));
    syscall(SYS_newfstatat, AT_FDCWD, "/proc/self/net/tcp", &status, 0);
    return is_written((const char *)&status, sizeof(status));
}

static bool lists_processes(void)
{
    char records[4096];

    memset(records, UNTOUCHED, sizeof(records));
    syscall(SYS_getdents64, open("/proc", O_RDONLY | O_DIRECTORY), records, sizeof(records));
    return is_written(records, sizeof(records));
}

/* Not the kernel's own file. */
static bool is_served(void)
{
    struct stat status, kernels;
    int fd = open("/proc/self/net/tcp", O_RDONLY);

    return fstat(fd, &status) == 0 && stat("/proc", &kernels) == 0 &&
           status.st_dev != kernels.st_dev;
}

static bool opens(void)
{
    return open("/etc/passwd", O_RDONLY) >= 0;
}

/* Not in every libc's headers: the limit that carries the mark. */
#define LOCKS 10

static bool confines_itself(void)
{
    const struct landlock_ruleset_attr attributes = {.handled_access_fs =
                                                         LANDLOCK_ACCESS_FS_MAKE_SOCK};
    struct rlimit before, after;

    getrlimit(LOCKS, &before);
    long ruleset = syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);
    syscall(SYS_landlock_restrict_self, ruleset, 0);
    return getrlimit(LOCKS, &after) == 0 && after.rlim_max != before.rlim_max;
}

#define UDP_PORT 7777

static bool binds_without_a_rule(void)
{
    const struct sockaddr_in name = {.sin_family = AF_INET,
                                     .sin_port = htons(UDP_PORT),
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    return bind(socket(AF_INET, SOCK_DGRAM, 0), (const struct sockaddr *)&name, sizeof(name)) == 0;
}

static bool has_recorded_the_port(void)
{
    return has_recorded() && strstr(stale->object, "7777") != NULL;
}

static void try_calls(const char *const *words, const struct feature *const *features,
                      const struct call *calls, size_t count)
{
    stale_try_in_network("/proc", false, words, features, calls, count);
}

#define TRY(words, features, calls) \
    try_calls(words, features, calls, sizeof(calls) / sizeof((calls)[0]))

static void nothing_of_proc_is_shown(void **state)
{
    static const struct feature *const features[] = {&feature_proc_view, &feature_proc_looks, NULL};
    static const struct call calls[] = {
        {"newfstatat", looks_at_a_file, NULL, 1, 0, 0},
        {"getdents64", lists_processes, NULL, 1, 1, 0},
    };

    (void)state;
    TRY(WORDS("--fs-read=/proc"), features, calls);
}

static void nothing_is_told_of_what_a_worker_found(void **state)
{
    static const struct feature *const features[] = {&feature_proc_view, &feature_explain, NULL};
    static const struct call calls[] = {{"open", opens, has_recorded, 2, 2, 0}};

    (void)state;
    nothing_is_cached = true;
    TRY(WORDS("--fs-read=/proc", "--explain"), features, calls);
    nothing_is_cached = false;
}

static void nothing_is_served_that_is_read_again(void **state)
{
    static const struct feature *const features[] = {&feature_proc_view, NULL};
    static const struct call calls[] = {{"open", is_served, NULL, 1, 0, 0}};

    (void)state;
    nothing_is_cached = all_are_busy = true;
    TRY(WORDS("--fs-read=/proc"), features, calls);
    nothing_is_cached = all_are_busy = false;
}

static void nobody_is_marked_as_confined(void **state)
{
    static const struct feature *const features[] = {&feature_own_domain, NULL};
    static const struct call calls[] = {
        {"landlock_restrict_self", confines_itself, NULL, 1, 0, 0},
    };

    (void)state;
    TRY(WORDS("--fs-read=/proc"), features, calls);
}

static void no_address_is_told(void **state)
{
    static const struct feature *const features[] = {&feature_bind, NULL};
    static const struct call calls[] = {
        {"bind", binds_without_a_rule, has_recorded_the_port, 2, 0, 0},
    };

    (void)state;
    TRY(WORDS("--fs-read=/usr", "--net-allow=tcp://127.0.0.1:1"), features, calls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_of_proc_is_shown),
        cmocka_unit_test(nothing_is_told_of_what_a_worker_found),
        cmocka_unit_test(nothing_is_served_that_is_read_again),
        cmocka_unit_test(nobody_is_marked_as_confined),
        cmocka_unit_test(no_address_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
