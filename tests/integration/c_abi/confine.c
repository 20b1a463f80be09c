/* sandlock_confine(): what it confines, what it refuses. Each case in a process of its own. */
#include "check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>

static void in_child(void (*body)(void))
{
    int status = 0;
    pid_t child = fork();

    CHECK(child >= 0);
    if (child == 0) {
        body();
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static bool readable(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static char directory[] = "/tmp/sandlock-c-abi-XXXXXX";

static bool writable(const char *name)
{
    char path[128];

    snprintf(path, sizeof(path), "%s%s", directory, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void grants_confine_the_thread(void)
{
    sandlock_builder_t *b =
        sandlock_sandbox_builder_fs_read(sandlock_sandbox_builder_new(), "/usr");
    sandlock_sandbox_t *policy = build(sandlock_sandbox_builder_fs_write(b, directory));

    CHECK(readable("/etc/passwd") && writable("-beside"));
    CHECK(sandlock_confine(policy) == 0);
    CHECK(readable("/usr") && writable("/inside"));
    CHECK(!readable("/etc/passwd") && errno == EACCES);
    CHECK(!writable("-other") && errno == EACCES);
    sandlock_sandbox_free(policy);
}

static void check_refused(sandlock_builder_t *b, const char *field)
{
    sandlock_sandbox_t *policy = build(b);

    CHECK(sandlock_confine(policy) == -1);
    CHECK_CONTAINS(sandlock_last_error(), field);
    CHECK(readable("/etc/passwd")); /* nothing was confined */
    sandlock_sandbox_free(policy);
}

static void other_fields_are_refused_by_name(void)
{
    const uint32_t core[] = {0};

    check_refused(sandlock_sandbox_builder_max_open_files(base_builder(), 100), "max_open_files");
    check_refused(sandlock_sandbox_builder_max_processes(base_builder(), 100), "max_processes");
    check_refused(sandlock_sandbox_builder_net_allow(base_builder(), "*"), "net_allow");
    check_refused(sandlock_sandbox_builder_net_deny(base_builder(), "*"), "net_deny");
    check_refused(sandlock_sandbox_builder_net_allow_bind(base_builder(), "80"), "net_allow_bind");
    check_refused(sandlock_sandbox_builder_net_deny_bind(base_builder(), "80"), "net_deny_bind");
    check_refused(sandlock_sandbox_builder_port_remap(base_builder(), true), "port_remap");
    check_refused(sandlock_sandbox_builder_cwd(base_builder(), "/"), "cwd");
    check_refused(sandlock_sandbox_builder_env_var(base_builder(), "A", "B"), "env");
    check_refused(sandlock_sandbox_builder_clean_env(base_builder(), true), "clean_env");
    check_refused(sandlock_sandbox_builder_user(base_builder(), 1, 1), "user");
    check_refused(sandlock_sandbox_builder_cpu_cores(base_builder(), core, 1), "cpu_cores");
    check_refused(sandlock_sandbox_builder_gpu_devices(base_builder(), NULL, 0), "gpu_devices");
    check_refused(sandlock_sandbox_builder_no_coredump(base_builder(), true), "no_coredump");
    check_refused(sandlock_sandbox_builder_extra_deny_syscalls(base_builder(), "getpid"),
                  "extra_deny_syscalls");
}

static void a_missing_grant_is_refused(void)
{
    check_refused(sandlock_sandbox_builder_fs_read(base_builder(), "/no/such/grant"),
                  "/no/such/grant");
}

static void *sleep_long(void *unused)
{
    pause();
    return unused;
}

/* Where the kernel can confine all threads it does; elsewhere the call says why it does not. False there. */
static bool another_thread_is_confined_too(sandlock_sandbox_t *policy)
{
    pthread_t thread;

    CHECK(pthread_create(&thread, NULL, sleep_long, NULL) == 0);
    if (sandlock_landlock_abi_version() >= 8) {
        CHECK(sandlock_confine(policy) == 0);
        return true;
    }
    CHECK(sandlock_confine(policy) == -1);
    CHECK_CONTAINS(sandlock_last_error(), "thread");
    return false;
}

static void other_threads_never_stay_unconfined_silently(void)
{
    CHECK(another_thread_is_confined_too(base_policy()) || readable("/etc/passwd"));
}

/* Confined once without /proc, it cannot be read there how many there are. */
static void other_threads_are_seen_without_proc(void)
{
    sandlock_sandbox_t *policy = base_policy();

    CHECK(sandlock_confine(policy) == 0); /* a single thread */
    CHECK(!readable("/proc/self/status"));
    if (unshare(CLONE_THREAD) !=
        0) { /* a container's filter: nobody tells, and nothing is risked */
        CHECK(sandlock_confine(policy) == -1);
        return;
    }
    CHECK(sandlock_confine(policy) == 0);
    another_thread_is_confined_too(policy);
}

static void *end_at_once(void *unused)
{
    return unused;
}

/* A joined thread may still be on its way out. */
static void joined_threads_are_none(void)
{
    sandlock_sandbox_t *policy = base_policy();
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, end_at_once, NULL) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    CHECK(sandlock_confine(policy) == 0);
    CHECK(!readable("/etc/passwd"));
}

/* In a sandbox, where /proc need not be granted. */
static int inside_a_sandbox(void)
{
    CHECK(readable("/etc/passwd"));
    in_child(other_threads_are_seen_without_proc);
    CHECK(readable("/etc/passwd"));
    return 0;
}

static void switched_off_protections_are_accepted(void)
{
    sandlock_builder_t *b =
        sandlock_sandbox_builder_fs_read(sandlock_sandbox_builder_new(), "/usr");

    b = sandlock_sandbox_builder_disable(b, SANDLOCK_PROTECTION_SIGNAL_SCOPE);
    b = sandlock_sandbox_builder_allow_degraded(b, SANDLOCK_PROTECTION_FS_IOCTL_DEV);
    sandlock_sandbox_t *policy = build(b);
    CHECK(sandlock_confine(policy) == 0);
    CHECK(kill(getppid(), 0) == 0); /* the signal scope is off */
    CHECK(!readable("/etc/passwd"));
    sandlock_sandbox_free(policy);
}

static void signals_to_others_are_refused(void)
{
    sandlock_sandbox_t *policy = base_policy();

    CHECK(kill(getppid(), 0) == 0);
    CHECK(sandlock_confine(policy) == 0);
    CHECK(kill(getppid(), 0) == -1 && errno == EPERM);
    sandlock_sandbox_free(policy);
}

static int bound_to(struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t size = sizeof(*address);

    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK(bind(fd, (struct sockaddr *)address, size) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)address, &size) == 0);
    return fd;
}

static void the_network_is_left_alone(void)
{
    sandlock_sandbox_t *policy = base_policy();
    struct sockaddr_in server, other;

    CHECK(listen(bound_to(&server), 1) == 0);
    CHECK(sandlock_confine(policy) == 0);
    bound_to(&other);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(connect(fd, (struct sockaddr *)&server, sizeof(server)) == 0);
    sandlock_sandbox_free(policy);
}

/* Where the kernel reports an older Landlock. */
static void a_missing_protection_is_refused(void)
{
    check_refused(base_builder(), "this host has ABI");
}

int main(int argc, char **argv)
{
    const char *kind = argc > 1 ? argv[1] : "";
    char command[128];

    if (strcmp(kind, "inside") == 0)
        return inside_a_sandbox();
    if (strcmp(kind, "threads") == 0 || strcmp(kind, "older") == 0) {
        in_child(strcmp(kind, "older") == 0 ? a_missing_protection_is_refused
                                            : other_threads_never_stay_unconfined_silently);
        return 0;
    }
    CHECK(mkdtemp(directory) != NULL);
    in_child(grants_confine_the_thread);
    in_child(other_fields_are_refused_by_name);
    in_child(a_missing_grant_is_refused);
    in_child(other_threads_never_stay_unconfined_silently);
    in_child(other_threads_are_seen_without_proc);
    for (int i = 0; i < 300; i++)
        in_child(joined_threads_are_none);
    in_child(switched_off_protections_are_accepted);
    in_child(signals_to_others_are_refused);
    in_child(the_network_is_left_alone);
    snprintf(command, sizeof(command), "rm -rf %s %s-beside", directory, directory);
    return system(command) == 0 ? 0 : 1;
}
