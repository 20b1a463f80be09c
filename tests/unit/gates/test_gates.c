/* The gates at work: a child under the real filter, answered by a supervisor behind its own filter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gated_run.h"
#include "grant_now.h"
#include "gates/gates.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>

struct place {
    char root[64], granted[96], other[96];
    struct grants grants;
    pid_t outsider;
};

static int make_place(void **state)
{
    struct place *place = calloc(1, sizeof(*place));

    strcpy(place->root, "/tmp/sandlock-gates-XXXXXX");
    if (mkdtemp(place->root) == NULL)
        return -1;
    snprintf(place->granted, sizeof(place->granted), "%s/granted", place->root);
    snprintf(place->other, sizeof(place->other), "%s/other", place->root);
    mkdir(place->granted, 0700);
    close(open(place->other, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    CLEANUP_FD int directory = open(place->granted, O_PATH | O_CLOEXEC);
    close(openat(directory, "file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    if (symlinkat("../other", directory, "link") != 0)
        return -1;
    place->outsider = getpid();
    *state = place;
    return grant_now(&place->grants, directory, true);
}

static int remove_place(void **state)
{
    struct place *place = *state;
    char path[128];

    snprintf(path, sizeof(path), "%s/file", place->granted);
    unlink(path);
    snprintf(path, sizeof(path), "%s/link", place->granted);
    unlink(path);
    rmdir(place->granted);
    unlink(place->other);
    rmdir(place->root);
    grants_free(&place->grants);
    free(place);
    return 0;
}

static mode_t mode_of(const char *path)
{
    struct stat status = {0};

    assert_int_equal(stat(path, &status), 0);
    return status.st_mode & 07777;
}

static int run(struct place *place, const struct feature *feature, struct policy *policy,
               int (*body)(void *data), struct denial_log *denials)
{
    const struct feature *const features[] = {feature, NULL};
    struct gated_run run = {
        .policy = policy,
        .features = features,
        .grants = &place->grants,
        .denials = denials,
        .body = body,
        .data = place,
    };

    if (denials != NULL)
        return gated_run_here(&run);
    run.confined = true;
    return gated_run_apart(&run);
}

/* ---- metadata-gate --------------------------------------------------------------------------------- */

static int change_granted_file(void *data)
{
    const struct place *place = data;
    struct timespec times[2] = {{1000, 0}, {1000, 0}};

    EXPECT(chdir(place->granted) == 0);
    for (int i = 0; i < 3; i++)
        EXPECT(chmod("file", 0640) == 0);
    int fd = open("file", O_RDONLY);
    EXPECT(fchmod(fd, 0444) == 0);
    EXPECT(futimens(fd, times) == 0);
    EXPECT(utimensat(AT_FDCWD, "link", times, AT_SYMLINK_NOFOLLOW) == 0);
    EXPECT(chmod("nothing", 0600) == -1 && errno == ENOENT);
    EXPECT(chmod("file/x", 0600) == -1 && errno == ENOTDIR);
    EXPECT(syscall(SYS_fchmodat, AT_FDCWD, (void *)8, 0600) == -1 && errno == EFAULT);
    EXPECT(fchmod(999, 0600) == -1 && errno == EBADF);
    return 0;
}

static void test_metadata_below_a_write_grant_changes(void **state)
{
    struct place *place = *state;
    struct policy policy = {0};
    char path[128];

    assert_int_equal(run(place, &feature_metadata_gate, &policy, change_granted_file, NULL), 0);
    snprintf(path, sizeof(path), "%s/file", place->granted);
    assert_int_equal(mode_of(path), 0444);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mtime, 1000);
}

static int change_other_file(void *data)
{
    const struct place *place = data;
    char link[128], by_fd[64];

    EXPECT(chmod(place->other, 0666) == -1 && errno == EACCES);
    snprintf(link, sizeof(link), "%s/link", place->granted);
    EXPECT(chmod(link, 0666) == -1 && errno == EACCES);
    snprintf(link, sizeof(link), "%s/../other", place->granted);
    EXPECT(chmod(link, 0666) == -1 && errno == EACCES);
    int fd = open(place->other, O_RDONLY);
    EXPECT(fd >= 0);
    EXPECT(fchmod(fd, 0666) == -1 && errno == EACCES);
    snprintf(by_fd, sizeof(by_fd), "/proc/self/fd/%d", fd);
    EXPECT(chmod(by_fd, 0666) == -1 && errno == EACCES);
    EXPECT(chmod("/proc/self/comm", 0666) == -1 && errno == EACCES);
    return 0;
}

static void test_metadata_outside_does_not(void **state)
{
    struct place *place = *state;
    struct policy policy = {0};
    struct denial_log *denials = denial_log_new();
    CLEANUP_BUFFER struct buffer summary = BUFFER_INIT;

    assert_int_equal(chmod(place->other, 0600), 0); /* the same act succeeds unconfined */
    assert_int_equal(run(place, &feature_metadata_gate, &policy, change_other_file, denials), 0);
    assert_int_equal(mode_of(place->other), 0600);
    denial_log_summary(denials, &summary);
    assert_non_null(strstr(buffer_text(&summary), place->other));
    assert_non_null(strstr(buffer_text(&summary), "--fs-write"));
    denial_log_free(denials);
    assert_int_equal(run(place, &feature_metadata_gate, &policy, change_other_file, NULL), 0);
}

static int change_nameless(void *data)
{
    int fds[2];

    (void)data;
    EXPECT(pipe(fds) == 0);
    EXPECT(fchmod(fds[0], 0600) == -1 && errno == EACCES); /* see launch/streams.c */
    EXPECT(fchown(fds[0], getuid(), (gid_t)-1) == -1 && errno == EACCES);
    EXPECT(futimens(fds[0], NULL) == -1 && errno == EACCES);
    struct stat status;
    EXPECT(fstat(fds[0], &status) == 0 && (status.st_mode & 07777) == 0600);
    int memory = sys_memfd("x", 0);
    EXPECT(fchmod(memory, 0600) == 0 && fchown(memory, getuid(), (gid_t)-1) == 0);
    return 0;
}

static void test_objects_without_a_place_may_be_changed_but_pipes(void **state)
{
    struct policy policy = {0};

    assert_int_equal(run(*state, &feature_metadata_gate, &policy, change_nameless, NULL), 0);
}

static void test_the_gate_is_not_wanted_where_everything_is_writable(void **state)
{
    char *root[] = {(char *)"/", NULL};
    struct policy policy = {0};

    (void)state;
    assert_true(feature_metadata_gate.wanted(&policy, NULL));
    policy.without = FEATURE_METADATA_GATE;
    assert_false(feature_metadata_gate.wanted(&policy, NULL));
    policy.without = 0;
    policy.fs_write = (struct strv){.items = root, .count = 1};
    assert_false(feature_metadata_gate.wanted(&policy, NULL));
}

/* ---- process-gate ---------------------------------------------------------------------------------- */

static void *touch_from_thread(void *data)
{
    struct rlimit limit;

    (void)data;
    getrlimit(RLIMIT_CORE, &limit);
    bool good = syscall(SYS_prlimit64, getpid(), RLIMIT_CORE, &limit, NULL) == 0 &&
                syscall(SYS_prlimit64, syscall(SYS_gettid), RLIMIT_CORE, &limit, NULL) == 0 &&
                setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 5) == 0;
    return good ? data : NULL;
}

static int touch_itself(void *data)
{
    pthread_t thread;
    void *good = NULL;

    EXPECT(pthread_create(&thread, NULL, touch_from_thread, data) == 0);
    pthread_join(thread, &good);
    EXPECT(good == data);
    return 0;
}

static int touch_outsider(void *data)
{
    const struct place *place = data;
    struct rlimit limit;
    struct sched_param param = {0};
    unsigned long mask[16] = {1};

    EXPECT(syscall(SYS_prlimit64, place->outsider, RLIMIT_CORE, NULL, &limit) == 0);
    EXPECT(syscall(SYS_prlimit64, place->outsider, RLIMIT_CORE, &limit, NULL) == -1 &&
           errno == EPERM);
    EXPECT(setpriority(PRIO_PROCESS, (id_t)place->outsider, 1) == -1 && errno == EPERM);
    EXPECT(setpriority(PRIO_USER, 0, 1) == -1 && errno == EPERM);
    EXPECT(syscall(SYS_sched_setaffinity, place->outsider, sizeof(mask), mask) == -1 &&
           errno == EPERM);
    EXPECT(syscall(SYS_sched_setscheduler, place->outsider, SCHED_OTHER, &param) == -1 &&
           errno == EPERM);
    EXPECT(syscall(SYS_ioprio_set, 1, place->outsider, 2 << 13) == -1 && errno == EPERM);
    return 0;
}

static void test_a_member_touches_itself_alone(void **state)
{
    struct policy policy = {0};

    assert_int_equal(run(*state, &feature_process_gate, &policy, touch_itself, NULL), 0);
    assert_int_equal(run(*state, &feature_process_gate, &policy, touch_outsider, NULL), 0);
}

static int use_groups(void *data)
{
    const struct place *place = data;

    EXPECT(setpgid(0, getpgid(place->outsider)) == 0 ||
           getpgrp() == getpgid(place->outsider)); /* its own already */
    EXPECT(setpgid(0, 0) == 0);
    EXPECT(setpgid(0, getpgid(place->outsider)) == -1 && errno == EPERM);
    pid_t first = fork();
    if (first == 0)
        _exit(setpgid(0, 0));
    siginfo_t info;
    EXPECT(waitid(P_PID, (id_t)first, &info, WEXITED | WNOWAIT) == 0);
    pid_t second = fork();
    if (second == 0)
        _exit(setpgid(0, first)); /* a zombie keeps the group */
    int status;
    EXPECT(waitpid(second, &status, 0) == second && status == 0);
    EXPECT(waitpid(first, &status, 0) == first && status == 0);
    return 0;
}

static void test_groups_of_members_can_be_joined_and_no_other(void **state)
{
    struct policy policy = {0};

    assert_int_equal(run(*state, &feature_process_gate, &policy, use_groups, NULL), 0);
}

/* ---- cpu-affinity ---------------------------------------------------------------------------------- */

static int widen_affinity(void *data)
{
    cpu_set_t set;

    (void)data;
    memset(&set, 0xFF, sizeof(set));
    EXPECT(sched_setaffinity(0, sizeof(set), &set) == 0);
    EXPECT(sched_getaffinity(0, sizeof(set), &set) == 0);
    EXPECT(CPU_COUNT(&set) == 1);
    CPU_ZERO(&set);
    EXPECT(sched_setaffinity(0, sizeof(set), &set) == -1 && errno == EINVAL);
    return 0;
}

static void test_the_processors_cannot_be_widened(void **state)
{
    cpu_set_t set;
    uint32_t core = 0;

    assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
    while (!CPU_ISSET(core, &set))
        core++;
    struct policy policy = {.cpu_cores = &core, .cpu_core_count = 1};
    assert_int_equal(run(*state, &feature_cpu_affinity, &policy, widen_affinity, NULL), 0);
}

/* ---- explain --------------------------------------------------------------------------------------- */

static int open_several(void *data)
{
    const struct place *place = data;
    char path[128];

    EXPECT(open(place->other, O_RDONLY) >= 0); /* no Landlock here: nothing changes the outcome */
    snprintf(path, sizeof(path), "%s/missing", place->root);
    EXPECT(open(path, O_RDONLY) == -1 && errno == ENOENT);
    snprintf(path, sizeof(path), "%s/file", place->granted);
    EXPECT(open(path, O_RDONLY) >= 0);
    snprintf(path, sizeof(path), "%s/made", place->root);
    EXPECT(mkdir(path, 0700) == 0);
    EXPECT(rmdir(path) == 0);
    return 0;
}

/* "root/from" and "granted/to", both free afterwards. */
static int move_several(void *data)
{
    const struct place *place = data;
    char from[128], to[128], dangling[128];

    snprintf(from, sizeof(from), "%s/from", place->root);
    snprintf(to, sizeof(to), "%s/to", place->granted);
    snprintf(dangling, sizeof(dangling), "%s/dangling", place->granted);
    EXPECT(symlink(from, dangling) == 0);
    int fd = open(dangling, O_CREAT | O_WRONLY, 0700);
    EXPECT(fd >= 0 && write(fd, "#!/none/such -x", 15) == 15 && close(fd) == 0);
    EXPECT(link(from, to) == 0);
    EXPECT(execl(to, to, NULL) == -1 && errno == ENOENT);
    EXPECT(unlink(to) == 0);
    EXPECT(rename(from, to) == 0);
    EXPECT(rename(from, to) == -1 && errno == ENOENT);
    EXPECT(unlink(to) == 0 && unlink(dangling) == 0);
    return 0;
}

static void test_explain_of_two_names_and_of_links_that_lead_nowhere(void **state)
{
    struct place *place = *state;
    struct policy policy = {.explain = true};
    struct denial_log *denials = denial_log_new();
    CLEANUP_BUFFER struct buffer summary = BUFFER_INIT;
    char line[320];

    assert_int_equal(run(place, &feature_explain, &policy, move_several, denials), 0);
    denial_log_summary(denials, &summary);
    const char *calls[] = {"open", "link", "rename"};
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        snprintf(line, sizeof(line), "%s/from: %s (landlock: no rule); allow with: --fs-write %s\n",
                 place->root, i == 1 ? "EXDEV" : "EACCES", place->root);
        assert_non_null(strstr(buffer_text(&summary), line));
        assert_non_null(strstr(buffer_text(&summary), calls[i]));
    }
    assert_int_equal(denial_log_total(denials), 3);
    denial_log_free(denials);
}

static void test_explain_records_what_is_not_granted_and_changes_nothing(void **state)
{
    struct place *place = *state;
    struct policy policy = {.explain = true};
    struct denial_log *denials = denial_log_new();
    CLEANUP_BUFFER struct buffer summary = BUFFER_INIT;
    char made[96], advice[128];

    assert_int_equal(run(place, &feature_explain, &policy, open_several, denials), 0);
    denial_log_summary(denials, &summary);
    snprintf(made, sizeof(made), "%s/made", place->root);
    snprintf(advice, sizeof(advice), "--fs-read %s", place->other);
    assert_non_null(strstr(buffer_text(&summary), advice));
    snprintf(advice, sizeof(advice), "--fs-write %s\n", place->root);
    assert_non_null(strstr(buffer_text(&summary), advice));
    assert_non_null(strstr(buffer_text(&summary), made));
    assert_null(strstr(buffer_text(&summary), "missing"));
    assert_null(strstr(buffer_text(&summary), "granted/file"));
    denial_log_free(denials);
    assert_int_equal(run(place, &feature_explain, &policy, open_several, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metadata_below_a_write_grant_changes),
        cmocka_unit_test(test_metadata_outside_does_not),
        cmocka_unit_test(test_objects_without_a_place_may_be_changed_but_pipes),
        cmocka_unit_test(test_the_gate_is_not_wanted_where_everything_is_writable),
        cmocka_unit_test(test_a_member_touches_itself_alone),
        cmocka_unit_test(test_groups_of_members_can_be_joined_and_no_other),
        cmocka_unit_test(test_the_processors_cannot_be_widened),
        cmocka_unit_test(test_explain_of_two_names_and_of_links_that_lead_nowhere),
        cmocka_unit_test(test_explain_records_what_is_not_granted_and_changes_nothing),
    };

    return cmocka_run_group_tests(tests, make_place, remove_place);
}
