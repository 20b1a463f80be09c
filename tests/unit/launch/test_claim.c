/*
 * Names of sandboxes. The runtime root is named after the effective user id, so this program answers
 * geteuid() itself, and fstat() and fstatat() in accordance: an id that nobody has gives it a root of its
 * own, and a foreign owner of that root can be imitated by any user.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "launch/claim.h"
#include "policy/grammar.h"
#include "util/fd.h"

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uid_t own_id;      /* names the root */
static int foreign_owner; /* the files here are another user's */

uid_t geteuid(void)
{
    return own_id;
}

int fstatat(int at, const char *path, struct stat *status, int flags)
{
    int result = (int)syscall(SYS_newfstatat, at, path, status, flags);

    if (result == 0 && status->st_uid == (uid_t)syscall(SYS_geteuid))
        status->st_uid = own_id + (foreign_owner ? 1 : 0);
    return result;
}

int fstat(int fd, struct stat *status)
{
    return fstatat(fd, "", status, AT_EMPTY_PATH);
}

static int publish_go = -1; /* after the first look at a pid file the owner publishes it */
static int publish_done;

static bool no_descriptors; /* for looks at a pid file */
static mode_t made_with;    /* the mode of the last pid file that was made */

int openat(int at, const char *path, int flags, ...)
{
    va_list arguments;
    char byte;

    va_start(arguments, flags);
    mode_t mode = va_arg(arguments, mode_t);
    va_end(arguments);
    bool is_look = strstr(path, "pid") != NULL && (flags & O_CREAT) == 0;
    if (is_look && no_descriptors) {
        errno = EMFILE;
        return -1;
    }
    int fd = (int)syscall(SYS_openat, at, path, flags, mode);
    if (strstr(path, "pid") != NULL && !is_look)
        made_with = mode;
    int error = errno;
    if (publish_go >= 0 && is_look) {
        assert_int_equal(write(publish_go, "", 1), 1);
        assert_int_equal(read(publish_done, &byte, 1), 1);
        publish_go = -1;
    }
    errno = error;
    return fd;
}

/* ---- Helpers --------------------------------------------------------------------------------- */

static char root[64];

static void path_in_root(char path[160], const char *name)
{
    snprintf(path, 160, "%s/%.80s", root, name);
}

static bool exists(const char *name)
{
    char path[160];

    path_in_root(path, name);
    return access(path, F_OK) == 0;
}

static void make_directory(const char *name)
{
    char path[160];

    path_in_root(path, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static void make_file(const char *name, const char *text)
{
    char path[160];

    path_in_root(path, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void give_up(struct claim *claim)
{
    claim_release(claim, false);
    claim_close(claim);
}

static void take(struct claim *claim, const char *name)
{
    char warning[256] = "unset";
    struct error err = {0};

    if (!claim_take(claim, name, true, warning, sizeof(warning), &err))
        fail_msg("refused: %s", err.text);
    assert_string_equal(warning, "");
    assert_true(claim->active);
}

static void assert_in_use(const char *name)
{
    struct claim claim;
    char warning[256];
    char text[128];
    struct error err = {0};

    snprintf(text, sizeof(text), "sandbox '%s' is already running", name);
    assert_false(claim_take(&claim, name, true, warning, sizeof(warning), &err));
    assert_int_equal(err.kind, ERROR_RUNTIME);
    assert_memory_equal(err.text, text, strlen(text));
    assert_false(claim.active);
    give_up(&claim); /* does not touch what another one holds */
    assert_true(exists(name));
}

/* The run goes on, without a claim and with a warning that says this. */
static void assert_warning(const char *part)
{
    struct claim claim;
    char warning[256];
    struct error err = {0};

    assert_true(claim_take(&claim, "name", false, warning, sizeof(warning), &err));
    if (strstr(warning, part) == NULL || strstr(warning, root) == NULL)
        fail_msg("\"%s\" is missing in: %s", part, warning);
    assert_false(claim.active);
    assert_int_equal(claim_publish(&claim, 1, 2), 0);
    give_up(&claim);
    assert_false(exists("name"));
}

static int setup(void **state)
{
    (void)state;
    own_id = (uid_t)(4100000000U + (unsigned)getpid());
    snprintf(root, sizeof(root), "/dev/shm/sandlock-%lu", (unsigned long)own_id);
    rmdir(root);
    foreign_owner = 0;
    return 0;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status, (void)kind, (void)place;
    return remove(path);
}

/* Every test leaves a root with nothing but the lock file, or none. */
static int teardown(void **state)
{
    char lock[160];

    (void)state;
    foreign_owner = 0;
    path_in_root(lock, ".lock file");
    unlink(lock);
    if (rmdir(root) == 0 || errno == ENOENT)
        return 0;
    print_error("%s: %s\n", root, strerror(errno));
    nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return -1;
}

/* A process that holds a name until it is killed. */
static pid_t start_owner(const char *name)
{
    int ready[2];
    char byte;

    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct claim claim;
        char warning[256];
        struct error err = {0};
        if (!claim_take(&claim, name, true, warning, sizeof(warning), &err) || !claim.active ||
            claim_publish(&claim, 1, 2) != 0 || write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    assert_true(pid > 0);
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

/* The host of "one" is gone, and its lock with it; its guardian still ends the members. */
static pid_t start_guardian(void)
{
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = CLAIM_GUARDIAN_BYTE, .l_len = 1};
    int ready[2];
    char path[160];
    char byte;

    assert_int_equal(mkdir(root, 0700), 0);
    make_directory("one");
    make_file("one/pid", "1\n1\n");
    path_in_root(path, "one/pid");
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t guardian = fork();
    if (guardian == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int fd = open(path, O_RDWR | O_CLOEXEC);
        if (fcntl(fd, F_SETLK, &lock) != 0 || write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return guardian;
}

static void end_owner(pid_t pid)
{
    int status;

    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

/* ---- Names ----------------------------------------------------------------------------------- */

static void automatic_names_are_counted(void **state)
{
    char first[65];
    char second[65];
    char given[65];
    char prefix[32];

    (void)state;
    claim_resolve_name(NULL, first);
    claim_resolve_name("given", given);
    claim_resolve_name(NULL, second);
    int length = snprintf(prefix, sizeof(prefix), "sandbox-%ld-", (long)getpid());
    assert_memory_equal(first, prefix, (size_t)length);
    assert_memory_equal(second, prefix, (size_t)length);
    assert_int_equal(atol(second + length), atol(first + length) + 1);
    assert_string_equal(given, "given");
}

static void a_name_is_taken_published_and_given_up(void **state)
{
    struct claim claim;
    struct stat status;
    char path[160];
    char text[64] = "";

    (void)state;
    take(&claim, "one");
    assert_int_equal(stat(root, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_false(exists("one/pid"));
    assert_int_equal(claim_publish(&claim, 123, 45), 0);
    path_in_root(path, "one/pid");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    /* Any descriptor of the file drops the lock when it is closed: this claim is not needed again. */
    assert_true(read(fd, text, sizeof(text) - 1) > 0);
    close(fd);
    assert_string_equal(text, "123\n45\n");
    give_up(&claim);
    assert_false(exists("one"));
    give_up(&claim); /* once is enough */
}

static void a_claim_that_was_never_published_leaves_nothing(void **state)
{
    struct claim claim;

    (void)state;
    take(&claim, "one");
    give_up(&claim);
    assert_false(exists("one"));
}

static void a_second_claim_of_this_process_is_refused(void **state)
{
    struct claim claim;
    struct claim other;

    (void)state;
    take(&claim, "one");
    assert_in_use("one");
    assert_int_equal(claim_publish(&claim, 1, 2), 0);
    assert_in_use("one");
    take(&other, "two");
    give_up(&other);
    give_up(&claim);
    take(&claim, "one");
    give_up(&claim);
}

static void the_claim_of_another_process_is_respected_until_it_is_killed(void **state)
{
    struct claim claim;
    pid_t owner = start_owner("one");

    (void)state;
    assert_in_use("one");
    assert_in_use("one"); /* looking at it did not take it away */
    end_owner(owner);
    assert_true(exists("one/pid")); /* nobody tidied up */
    take(&claim, "one");
    assert_false(exists("one/pid"));
    give_up(&claim);
    assert_false(exists("one"));
}

/* The guardian of a name that nobody chose may be the one of another copy of the library in this process. */
static void nobody_waits_for_a_name_that_was_not_chosen(void **state)
{
    struct timespec begin, end;
    struct claim claim;
    char warning[256];
    struct error err = {0};
    pid_t guardian = start_guardian();

    (void)state;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    assert_false(claim_take(&claim, "one", false, warning, sizeof(warning), &err));
    clock_gettime(CLOCK_MONOTONIC, &end);
    assert_true((end.tv_sec - begin.tv_sec) * 1000 + (end.tv_nsec - begin.tv_nsec) / 1000000 <
                3000);
    end_owner(guardian);
    take(&claim, "one");
    give_up(&claim);
}

/* A refused attempt in the owning process must not drop the lock that others look at. */
static void a_refused_second_claim_does_not_free_the_name_for_others(void **state)
{
    struct claim claim;
    int status;

    (void)state;
    take(&claim, "one");
    assert_int_equal(claim_publish(&claim, 1, 2), 0);
    assert_in_use("one");
    pid_t pid = fork();
    if (pid == 0) { /* by exec another process would know nothing; a fork knows the list as well */
        char path[160];
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        path_in_root(path, "one/pid");
        int fd = open(path, O_RDWR | O_CLOEXEC);
        _exit(fd >= 0 && fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type == F_WRLCK &&
                      lock.l_pid == getppid()
                  ? 0
                  : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    give_up(&claim);
}

static void a_stale_directory_is_taken_over(void **state)
{
    struct claim claim;

    (void)state;
    assert_int_equal(mkdir(root, 0700), 0);
    make_directory("one");
    make_file("one/pid", "1\n1\n"); /* a live number, but nobody's lock */
    make_file("one/.pid.tmp", "");
    make_file("one/mode", "x");
    take(&claim, "one");
    assert_false(exists("one/pid"));
    assert_false(exists("one/mode"));
    assert_int_equal(claim_publish(&claim, 123, 45), 0);
    assert_true(exists("one/pid"));
    give_up(&claim);
    assert_false(exists("one"));
}

static void files_of_others_are_not_removed(void **state)
{
    struct claim claim;
    char path[160];

    (void)state;
    assert_int_equal(mkdir(root, 0700), 0);
    make_directory("one");
    make_file("one/keep", "");
    take(&claim, "one");
    give_up(&claim);
    assert_true(exists("one/keep"));
    path_in_root(path, "one/keep");
    unlink(path);
    path_in_root(path, "one");
    rmdir(path);
}

/* The guardian removes our file; before our turn comes somebody else may have taken the directory. */
static void a_file_of_the_next_owner_is_not_removed(void **state)
{
    struct claim claim;
    char path[160];

    (void)state;
    take(&claim, "one");
    assert_int_equal(claim_publish(&claim, 1, 2), 0);
    path_in_root(path, "one/pid");
    assert_int_equal(unlink(path), 0);
    make_file("one/other", ""); /* or its file would get our inode number */
    make_file("one/pid", "3\n4\n");
    give_up(&claim);
    assert_true(exists("one/pid"));
    unlink(path);
    path_in_root(path, "one/other");
    unlink(path);
    path_in_root(path, "one");
    rmdir(path);
}

/* The look under the one name comes before the rename, the look under the other one behind it. */
static void a_name_that_is_published_during_the_look_is_in_use(void **state)
{
    int go[2];
    int done[2];

    (void)state;
    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    assert_int_equal(pipe2(done, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct claim claim;
        char byte;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        take(&claim, "one");
        if (write(done[1], "", 1) != 1 || read(go[0], &byte, 1) != 1 ||
            claim_publish(&claim, 1, 2) != 0 || write(done[1], "", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    char byte;
    assert_int_equal(read(done[0], &byte, 1), 1);
    publish_go = go[1];
    publish_done = done[0];
    assert_in_use("one");
    assert_int_equal(publish_go, -1); /* it happened in between */
    assert_true(exists("one/pid"));
    end_owner(pid);
    struct claim claim;
    take(&claim, "one");
    give_up(&claim);
    for (int i = 0; i < 2; i++) {
        close(go[i]);
        close(done[i]);
    }
}

/* ---- A root that cannot be trusted ----------------------------------------------------------- */

/* Not even of its owner's: root, too, is told by the mode. */
static void a_umask_takes_no_rights(void **state)
{
    struct claim claim;
    struct stat status;

    (void)state;
    mode_t before = umask(0777);
    take(&claim, "name");
    umask(before);
    assert_int_equal(stat(root, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_int_equal(fstat(claim.directory_fd, &status), 0);
    assert_int_equal(status.st_mode & 0700, 0700);
    assert_in_use("name");
    give_up(&claim);
    assert_false(exists("name"));
}

static void a_root_of_another_user_gives_a_warning(void **state)
{
    struct claim claim;

    (void)state;
    assert_int_equal(mkdir(root, 0700), 0);
    foreign_owner = 1;
    assert_warning("is owned by another user");
    foreign_owner = 0;
    take(&claim, "name");
    give_up(&claim);
}

static void a_root_that_others_can_write_gives_a_warning(void **state)
{
    static const mode_t modes[] = {0770, 0702, 01777};

    (void)state;
    assert_int_equal(mkdir(root, 0700), 0);
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        assert_int_equal(chmod(root, modes[i]), 0);
        assert_warning("is writable for others");
    }
}

static void a_root_that_others_can_read_is_closed(void **state)
{
    struct claim claim;
    struct stat status;

    (void)state;
    assert_int_equal(mkdir(root, 0700), 0);
    assert_int_equal(chmod(root, 0755), 0);
    take(&claim, "one");
    assert_int_equal(stat(root, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    give_up(&claim);
}

/* ---- The lock -------------------------------------------------------------------------------- */

static int set_lock(int fd, int command, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET};

    return fcntl(fd, command, &lock);
}

/* The claims of everybody wait for whoever holds it; nobody can who may only read there. */
static void the_lock_file_can_be_written_alone(void **state)
{
    struct claim claim;
    struct stat status;
    char path[160];
    char warning[256];
    struct error err = {0};
    mode_t before = umask(0777);

    (void)state;
    assert_int_equal(mkdir(root, 0700) == 0 ? chmod(root, 0700) : -1, 0);
    path_in_root(path, ".lock file");
    assert_true(claim_take(&claim, "one", true, warning, sizeof(warning), &err)); /* or a warning */
    give_up(&claim);
    umask(before);
    path_in_root(path, "one");
    rmdir(path);
    take(&claim, "one");
    give_up(&claim);
    path_in_root(path, ".lock file");
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0200);

    CLEANUP_FD int writer = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(set_lock(writer, F_OFD_SETLK, F_WRLCK), 0);
    assert_false(claim_take(&claim, "one", true, warning, sizeof(warning), &err));
    assert_non_null(strstr(err.text, "lock"));
    assert_int_equal(set_lock(writer, F_OFD_SETLK, F_UNLCK), 0);
    take(&claim, "one");
    give_up(&claim);
}

/* What serialises the claims lies beside them: none of them may be called like it. */
static void no_sandbox_can_be_called_like_the_lock_file(void **state)
{
    struct error err = {0};
    struct claim first;
    struct claim second;

    (void)state;
    assert_false(grammar_name(".lock file", &err));
    assert_true(grammar_name(".lock", &err));
    take(&first, ".lock");
    assert_in_use(".lock");
    assert_true(exists(".lock file"));
    take(&second, "lock");
    give_up(&second);
    give_up(&first);
    assert_true(exists(".lock file"));
}

static void a_chosen_name_whose_place_is_taken_by_something_else_is_refused(void **state)
{
    char path[160];
    char warning[256];
    struct claim claim;
    struct error err = {0};

    (void)state;
    assert_int_equal(mkdir(root, 0700), 0);
    make_file("taken", "");
    path_in_root(path, "taken");
    assert_false(claim_take(&claim, "taken", true, warning, sizeof(warning), &err));
    assert_non_null(strstr(err.text, path));
    assert_false(claim.active);
    assert_true(exists("taken"));
    assert_int_equal(unlink(path), 0);
    take(&claim, "taken");
    give_up(&claim);
}

static void a_lock_file_that_can_be_read_is_not_used(void **state)
{
    static const mode_t modes[] = {0600, 0400, 0220, 0201};
    char path[160];

    (void)state;
    assert_int_equal(mkdir(root, 0700), 0);
    make_file(".lock file", "");
    path_in_root(path, ".lock file");
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        assert_int_equal(chmod(path, modes[i]), 0);
        assert_warning(".lock file");
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0200), 0);
    assert_warning(".lock file");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/dev/null", path), 0);
    assert_warning(".lock file");
}

/* A member that can read the files of a dead sandbox can lock them so. */
static void a_lock_for_reading_keeps_no_name(void **state)
{
    struct claim claim;
    char path[160];

    (void)state;
    assert_int_equal(mkdir(root, 0700), 0);
    make_directory("one");
    make_file("one/pid", "1\n1\n");
    path_in_root(path, "one/pid");
    CLEANUP_FD int reader = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(set_lock(reader, F_OFD_SETLK, F_RDLCK), 0);
    take(&claim, "one");
    give_up(&claim);
    assert_false(exists("one"));
}

static void the_lock_of_a_guardian_keeps_the_name(void **state)
{
    pid_t guardian = start_guardian();

    (void)state;
    assert_in_use("one");
    end_owner(guardian);
    struct claim claim;
    take(&claim, "one");
    give_up(&claim);
}

/* Whose lock cannot be looked at is not taken for nobody's. */
static void without_descriptors_no_name_is_taken_away(void **state)
{
    pid_t owner = start_owner("one");

    (void)state;
    no_descriptors = true;
    assert_in_use("one");
    no_descriptors = false;
    end_owner(owner);
    struct claim claim;
    take(&claim, "one");
    give_up(&claim);
}

/* Who can open it for reading can lock it first. */
static void a_pid_file_cannot_be_read_before_it_is_locked(void **state)
{
    struct claim claim;
    struct stat status;

    (void)state;
    take(&claim, "one");
    assert_int_equal(made_with, 0200);
    assert_int_equal(fstat(claim.pid_fd, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    give_up(&claim);
}

/* Not even to a directory that could be the root itself. */
static void a_link_in_place_of_the_root_is_not_followed(void **state)
{
    char own[80];

    (void)state;
    snprintf(own, sizeof(own), "%s-own", root);
    assert_int_equal(mkdir(own, 0700), 0);
    assert_int_equal(symlink(own, root), 0);
    assert_warning(": Not a directory");
    assert_int_equal(unlink(root), 0);
    assert_int_equal(rmdir(own), 0); /* nothing was made in it */
}

static void a_link_in_place_of_a_name_is_not_followed(void **state)
{
    char path[160];
    char warning[256];
    struct claim claim;
    struct error err = {0};

    (void)state;
    assert_int_equal(mkdir(root, 0700), 0);
    make_directory("own");
    path_in_root(path, "name");
    assert_int_equal(symlink("own", path), 0);
    assert_false(claim_take(&claim, "name", true, warning, sizeof(warning), &err));
    assert_non_null(strstr(err.text, path));
    assert_false(claim.active);
    assert_int_equal(unlink(path), 0);
    path_in_root(path, "own");
    assert_int_equal(rmdir(path), 0);
    take(&claim, "name");
    give_up(&claim);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(automatic_names_are_counted),
        CASE(a_name_is_taken_published_and_given_up),
        CASE(a_claim_that_was_never_published_leaves_nothing),
        CASE(a_second_claim_of_this_process_is_refused),
        CASE(the_claim_of_another_process_is_respected_until_it_is_killed),
        CASE(nobody_waits_for_a_name_that_was_not_chosen),
        CASE(a_refused_second_claim_does_not_free_the_name_for_others),
        CASE(a_stale_directory_is_taken_over),
        CASE(files_of_others_are_not_removed),
        CASE(a_file_of_the_next_owner_is_not_removed),
        CASE(a_name_that_is_published_during_the_look_is_in_use),
        CASE(a_umask_takes_no_rights),
        CASE(a_root_of_another_user_gives_a_warning),
        CASE(a_root_that_others_can_write_gives_a_warning),
        CASE(a_root_that_others_can_read_is_closed),
        CASE(a_link_in_place_of_the_root_is_not_followed),
        CASE(a_link_in_place_of_a_name_is_not_followed),
        CASE(the_lock_file_can_be_written_alone),
        CASE(no_sandbox_can_be_called_like_the_lock_file),
        CASE(a_chosen_name_whose_place_is_taken_by_something_else_is_refused),
        CASE(a_lock_file_that_can_be_read_is_not_used),
        CASE(a_lock_for_reading_keeps_no_name),
        CASE(the_lock_of_a_guardian_keeps_the_name),
        CASE(without_descriptors_no_name_is_taken_away),
        CASE(a_pid_file_cannot_be_read_before_it_is_locked),
    };
#undef CASE

    return cmocka_run_group_tests_name("claim", tests, NULL, NULL);
}
