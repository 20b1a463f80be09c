/* The caller's own links in paths, pinning, and the verdict on what is pinned. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../skip_because.h"

#include "grant_now.h"
#include "gates/affinity.h"
#include "member/identity.h"
#include "member/object.h"
#include "member/path_verdict.h"
#include "kernel/procfs.h"
#include "kernel/sys.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TID 71
#define TGID 70

static void assert_link(const char *path, const char *name, const char *rest)
{
    struct own_link link;

    if (!own_link_parse(path, TID, TGID, &link))
        fail_msg("%s is the caller's own link", path);
    assert_string_equal(link.name, name);
    assert_string_equal(link.rest, rest);
}

static void assert_no_link(const char *path)
{
    struct own_link link;

    if (own_link_parse(path, TID, TGID, &link))
        fail_msg("%s is not a link of the caller", path);
}

static void test_links_of_the_caller_are_recognised_in_every_spelling(void **state)
{
    (void)state;
    assert_link("/proc/self/fd/7", "fd/7", "");
    assert_link("/proc/thread-self/fd/7", "fd/7", "");
    assert_link("/proc/70/fd/0", "fd/0", "");
    assert_link("/proc/71/fd/0", "fd/0", "");
    assert_link("/proc/self/task/71/fd/12", "fd/12", "");
    assert_link("//proc/./self//fd/7", "fd/7", "");
    assert_link("/dev/fd/3", "fd/3", "");
    assert_link("/dev/stdin", "fd/0", "");
    assert_link("/dev/stderr", "fd/2", "");
    assert_link("/proc/self/cwd", "cwd", "");
    assert_link("/proc/self/root/etc/passwd", "root", "etc/passwd");
    assert_link("/proc/self/cwd/a/b", "cwd", "a/b");
    assert_link("/proc/self/fd/7/", "fd/7", ".");
    assert_link("/proc/self/fd/7/sub//file", "fd/7", "sub//file");
}

static void test_other_paths_are_not_taken_for_them(void **state)
{
    (void)state;
    assert_no_link("proc/self/fd/7");
    assert_no_link("/proc/72/fd/7");
    assert_no_link("/proc/1/cwd");
    assert_no_link("/proc/070/fd/7");
    assert_no_link("/proc/self/fd");
    assert_no_link("/proc/self/fd/");
    assert_no_link("/proc/self/fd/07");
    assert_no_link("/proc/self/fd/-1");
    assert_no_link("/proc/self/fd/99999999999");
    assert_no_link("/proc/self/fd/7x");
    assert_no_link("/proc/self/fdinfo/7");
    assert_no_link("/proc/self/task/72/fd/1");
    assert_no_link("/proc/self/status");
    assert_no_link("/proc/self/../1/cwd");
    assert_no_link("/dev/stdinx");
    assert_no_link("/dev/null");
    assert_no_link("/srv/proc/self/fd/7");
    assert_no_link("/");
    assert_no_link("");
}

/* ---- Pinning, with this process as the member ----------------------------------------------------- */

struct place {
    char directory[64];
    struct member_view view;
};

static int make_place(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    char path[128];

    strcpy(place->directory, "/tmp/sandlock-object-XXXXXX");
    if (mkdtemp(place->directory) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/file", place->directory);
    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    snprintf(path, sizeof(path), "%s/link", place->directory);
    if (symlink("file", path) != 0)
        return -1;
    place->view =
        (struct member_view){.proc_fd = procfs_open(), .tid = sys_gettid(), .tgid = getpid()};
    *state = place;
    return 0;
}

static int remove_place(void **state)
{
    struct place *place = *state;
    char path[128];

    snprintf(path, sizeof(path), "%s/file", place->directory);
    unlink(path);
    snprintf(path, sizeof(path), "%s/link", place->directory);
    unlink(path);
    rmdir(place->directory);
    close(place->view.proc_fd);
    free(place);
    return 0;
}

/* The inode that the path leads to, or -errno. */
static int pin(const struct place *place, int dirfd, const char *path, unsigned flags)
{
    struct object object;
    int result = object_by_path(&object, &place->view, dirfd, path, flags);

    if (result == 0)
        result = object_pin(&object, false);
    object_release(&object);
    return result;
}

static void assert_is(int path_fd, const char *directory, const char *name)
{
    struct stat pinned, named;
    char path[128];

    assert_true(path_fd >= 0);
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    assert_int_equal(fstat(path_fd, &pinned), 0);
    assert_int_equal(lstat(path, &named), 0);
    assert_true(pinned.st_ino == named.st_ino && pinned.st_dev == named.st_dev);
    close(path_fd);
}

static void test_paths_lead_where_the_caller_would_get(void **state)
{
    struct place *place = *state;
    char path[128];
    CLEANUP_FD int directory = open(place->directory, O_PATH | O_CLOEXEC);
    CLEANUP_FD int file = openat(directory, "file", O_RDONLY | O_CLOEXEC);

    snprintf(path, sizeof(path), "%s/link", place->directory);
    assert_is(pin(place, AT_FDCWD, path, 0), place->directory, "file");
    assert_is(pin(place, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW), place->directory, "link");
    assert_is(pin(place, directory, "link", 0), place->directory, "file");
    assert_is(pin(place, file, "", AT_EMPTY_PATH), place->directory, "file");
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    assert_is(pin(place, AT_FDCWD, path, 0), place->directory, "file");
    snprintf(path, sizeof(path), "/proc/%d/fd/%d/file", (int)getpid(), directory);
    assert_is(pin(place, AT_FDCWD, path, 0), place->directory, "file");
}

static void test_failures_are_those_of_the_kernel(void **state)
{
    struct place *place = *state;
    CLEANUP_FD int directory = open(place->directory, O_PATH | O_CLOEXEC);

    assert_int_equal(pin(place, directory, "nothing", 0), -ENOENT);
    assert_int_equal(pin(place, directory, "file/x", 0), -ENOTDIR);
    assert_int_equal(pin(place, directory, "file/", 0), -ENOTDIR);
    assert_int_equal(pin(place, directory, "", 0), -ENOENT);
    assert_int_equal(pin(place, 999, "file", 0), -EBADF);
    assert_int_equal(pin(place, AT_FDCWD, "/proc/self/fd/999", 0), -ENOENT);
}

/* A name that nobody asked for is not cached: the file system would have to be asked, and that may be a
 * server. */
static int pin_cached(const struct place *place, int dirfd, const char *path)
{
    struct object object;
    int result = object_by_path(&object, &place->view, dirfd, path, 0);

    if (result == 0)
        result = object_pin(&object, true);
    object_release(&object);
    return result;
}

static void test_a_cached_walk_asks_no_file_system_wherever_it_starts(void **state)
{
    struct place *place = *state;
    CLEANUP_FD int directory = open(place->directory, O_PATH | O_CLOEXEC);
    CLEANUP_FD int before = open(".", O_PATH | O_CLOEXEC);
    const char *name = "never-asked";
    char path[128];

    assert_int_equal(pin_cached(place, directory, name), -EAGAIN);
    snprintf(path, sizeof(path), "%s/%s", place->directory, name);
    assert_int_equal(pin_cached(place, AT_FDCWD, path), -EAGAIN);
    snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", directory, name);
    assert_int_equal(pin_cached(place, AT_FDCWD, path), -EAGAIN);
    assert_int_equal(fchdir(directory), 0);
    int by_directory = pin_cached(place, AT_FDCWD, name);
    snprintf(path, sizeof(path), "/proc/self/cwd/%s", name);
    int by_link = pin_cached(place, AT_FDCWD, path);
    assert_int_equal(fchdir(before), 0);
    assert_int_equal(by_directory, -EAGAIN);
    assert_int_equal(by_link, -EAGAIN);
    /* The control: who may wait is told. */
    assert_int_equal(pin(place, directory, name, 0), -ENOENT);
}

static void test_magic_links_of_others_are_not_followed(void **state)
{
    struct place *place = *state;
    char path[128];

    /* -EACCES where we may not even look at that process. */
    snprintf(path, sizeof(path), "/proc/%d/cwd", (int)getppid());
    int by_cwd = pin(place, AT_FDCWD, path, 0);
    assert_true(by_cwd == -ELOOP || by_cwd == -EACCES);
    int by_root = pin(place, AT_FDCWD, "/proc/1/root/etc", 0);
    assert_true(by_root == -ELOOP || by_root == -EACCES);
    /* Reached through a link, even one's own cannot be told from the supervisor's. */
    snprintf(path, sizeof(path), "%s/self", place->directory);
    assert_int_equal(symlink("/proc/self/cwd", path), 0);
    int by_link = pin(place, AT_FDCWD, path, 0);
    unlink(path);
    assert_int_equal(by_link, -ELOOP);
}

static void test_a_path_only_descriptor_is_none_for_descriptor_calls(void **state)
{
    struct place *place = *state;
    CLEANUP_FD int only_path = open(place->directory, O_PATH | O_CLOEXEC);
    CLEANUP_FD int real = open(place->directory, O_RDONLY | O_CLOEXEC);
    struct object object;

    assert_int_equal(object_by_fd(&object, &place->view, only_path, false), -EBADF);
    assert_int_equal(object_by_fd(&object, &place->view, only_path, true), 0);
    object_release(&object);
    assert_int_equal(object_by_fd(&object, &place->view, real, false), 0);
    object_release(&object);
    assert_int_equal(object_by_fd(&object, &place->view, -1, false), -EBADF);
}

/* ---- Verdicts ------------------------------------------------------------------------------------- */

static void test_the_verdict_is_on_the_object_not_on_its_link(void **state)
{
    struct place *place = *state;
    struct grants grants = GRANTS_INIT;
    char path[PATH_MAX];
    CLEANUP_FD int directory = open(place->directory, O_PATH | O_CLOEXEC);
    CLEANUP_FD int inside = openat(directory, "file", O_PATH | O_CLOEXEC);
    CLEANUP_FD int outside = open("/", O_PATH | O_CLOEXEC);

    assert_int_equal(grant_now(&grants, directory, true), 0);
    assert_int_equal(path_verdict_of(&grants, inside, true, false, path), PATH_GRANTED);
    assert_int_equal(path_verdict_of(&grants, outside, true, false, path), PATH_REFUSED);
    assert_string_equal(path, "/");
    assert_int_equal(path_verdict_of(NULL, inside, true, false, path), PATH_REFUSED);
    grants_free(&grants);

    assert_int_equal(grant_now(&grants, directory, false), 0);
    assert_int_equal(path_verdict_of(&grants, inside, true, false, path), PATH_REFUSED);
    assert_int_equal(path_verdict_of(&grants, inside, false, false, path), PATH_GRANTED);
    grants_free(&grants);
}

static void test_pipes_and_memory_files_have_no_place(void **state)
{
    int pipe_fds[2];
    char path[PATH_MAX];
    CLEANUP_FD int memory = sys_memfd("x", 0);

    (void)state;
    assert_int_equal(pipe(pipe_fds), 0);
    assert_int_equal(path_verdict_of(NULL, pipe_fds[0], true, false, path), PATH_NAMELESS);
    assert_int_equal(path_verdict_of(NULL, memory, true, false, path), PATH_NAMELESS);
    assert_int_equal(path_verdict_of(NULL, -1, true, false, path), PATH_UNKNOWN);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

static void assert_advice(bool write, const char *path, bool itself, const char *expected)
{
    CLEANUP_BUFFER struct buffer advice = BUFFER_INIT;

    assert_null(path_advice(&advice, write, path, itself, "/srv/people/u"));
    assert_string_equal(buffer_text(&advice), expected);
}

static void assert_caution(bool write, const char *path, bool itself, const char *expected)
{
    CLEANUP_BUFFER struct buffer advice = BUFFER_INIT;
    const char *caution = path_advice(&advice, write, path, itself, "/srv/people/u");

    assert_int_equal(advice.length, 0);
    if (caution == NULL || strstr(caution, expected) == NULL)
        fail_msg("%s: %s", path, caution == NULL ? "no caution" : caution);
}

static void test_advice_names_the_directory(void **state)
{
    (void)state;
    assert_advice(true, "/srv/data/file", false, "--fs-write /srv/data");
    assert_advice(true, "/srv/data", true, "--fs-write /srv/data");
    assert_advice(true, "/a b/file", false, "--fs-write '/a b'");
    assert_advice(false, "/etc/passwd", true, "--fs-read /etc/passwd");
}

static void test_advice_to_read_names_the_whole_of_a_system_directory(void **state)
{
    (void)state;
    assert_advice(false, "/usr/share/a b", true, "--fs-read /usr");
    assert_advice(false, "/usr", true, "--fs-read /usr");
    assert_advice(false, "/lib64/ld.so", true, "--fs-read /lib64");
    assert_advice(false, "/libx/y", true, "--fs-read /libx/y");
}

/* Not where that holds a home. */
static void test_advice_to_read_is_not_widened_to_a_home(void **state)
{
    CLEANUP_BUFFER struct buffer advice = BUFFER_INIT;

    (void)state;
    assert_null(path_advice(&advice, false, "/usr/share/x", true, "/usr/people/u"));
    assert_string_equal(buffer_text(&advice), "--fs-read /usr/share/x");
}

static void test_advice_hands_over_nothing_that_others_run(void **state)
{
    static const char *const trusted[] = {
        "/etc",     "/etc/cron.d/x",    "/boot/grub", "/bin/sh",
        "/sbin",    "/lib/x",           "/lib64",     "/usr",
        "/usr/bin", "/usr/local/bin/x", "/var/spool", "/var/spool/cron/crontabs"};
    static const char *const started[] = {"bin", "go/bin/x", "go"};
    static const char *const settings[] = {
        ".bashrc", ".ssh/keys", ".config",     ".config/app",  ".local/bin/x",
        ".vimrc",  ".npm",      "tree/.envrc", ".cargo/bin/x", "tree/.vscode/tasks.json"};
    static const char *const homes[] = {"/srv/people/u", "/home/else", "/root"};
    char path[64];

    (void)state;
    for (size_t i = 0; i < sizeof(trusted) / sizeof(trusted[0]); i++)
        assert_caution(true, trusted[i], true, "what others run and trust");
    for (size_t i = 0; i < sizeof(started) / sizeof(started[0]); i++) {
        for (size_t k = 0; k < sizeof(homes) / sizeof(homes[0]); k++) {
            snprintf(path, sizeof(path), "%s/%s", homes[k], started[i]);
            assert_caution(true, path, true, "shells and sessions run");
        }
    }
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        for (size_t k = 0; k < sizeof(homes) / sizeof(homes[0]); k++) {
            snprintf(path, sizeof(path), "%s/%s", homes[k], settings[i]);
            assert_caution(true, path, true, "settings that other programs obey");
        }
    }
    assert_caution(true, "/srv/people/u/.ssh/new", false, "settings that other programs obey");
    assert_caution(true, "/srv/people/v/.bashrc", true, "settings that other programs obey");
    assert_caution(true, "/srv/tree/.git", true, "GIT_OPTIONAL_LOCKS=0");
    assert_caution(true, "/srv/tree/.git/hooks/new", false, "GIT_OPTIONAL_LOCKS=0");
    assert_caution(true, "/srv/bare.git/config", true, "GIT_OPTIONAL_LOCKS=0");
    assert_advice(false, "/srv/people/u/.bashrc", true, "--fs-read /srv/people/u/.bashrc");
    assert_advice(true, "/srv/people/u/.cache/x", true, "--fs-write /srv/people/u/.cache/x");
    assert_advice(true, "/srv/tree/.a_cache", true, "--fs-write /srv/tree/.a_cache");
    assert_advice(true, "/srv/people/u/x.y", true, "--fs-write /srv/people/u/x.y");
    assert_advice(true, "/srv/people/u/binary", true, "--fs-write /srv/people/u/binary");
    assert_advice(true, "/etcetera", true, "--fs-write /etcetera");
}

static void test_advice_shows_no_secrets(void **state)
{
    static const char *const secrets[] = {
        ".ssh",    ".ssh/id_x",      ".gnupg",         ".aws/credentials",
        ".config", ".config/gcloud", ".local/share",   ".docker/config.json",
        ".netrc",  ".kube/config",   ".mozilla/x/y.z", ".git-credentials"};
    static const char *const homes[] = {"/srv/people/u", "/home/else", "/root"};
    char path[64];

    (void)state;
    for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
        for (size_t k = 0; k < sizeof(homes) / sizeof(homes[0]); k++) {
            snprintf(path, sizeof(path), "%s/%s", homes[k], secrets[i]);
            assert_caution(false, path, true, "shows keys");
        }
    }
    assert_advice(false, "/srv/people/u/.config/app", true, "--fs-read /srv/people/u/.config/app");
    assert_advice(false, "/srv/tree/.git", true, "--fs-read /srv/tree/.git");
}

static void test_advice_hands_over_no_directory_that_others_share(void **state)
{
    static const char *const homes[] = {"/srv",  "/srv/people", "/srv/people/u",
                                        "/home", "/home/else",  "/root"};
    static const char *const temporary[] = {"/tmp", "/var/tmp"};
    static const char *const others[] = {"/run", "/run/user", "/run/user/1000", "/var", "/dev"};

    (void)state;
    assert_caution(true, "/", true, "everything");
    assert_caution(true, "/file", false, "everything");
    assert_caution(false, "/", true, "--fs-read /");
    for (size_t i = 0; i < sizeof(homes) / sizeof(homes[0]); i++) {
        assert_caution(true, homes[i], true, "make what is needed there first");
        assert_caution(false, homes[i], true, "keys and passwords");
    }
    assert_caution(true, "/srv/people/u/link", false, "make what is needed there first");
    for (size_t i = 0; i < sizeof(temporary) / sizeof(temporary[0]); i++)
        assert_caution(true, temporary[i], true, "--env TMPDIR=DIR");
    assert_caution(true, "/dev/shm", true, "--fs-write /dev/shm");
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_caution(true, others[i], true, "hands over");
    /* What lies in them is nobody else's. */
    assert_advice(false, "/tmp", true, "--fs-read /tmp");
    assert_advice(true, "/tmp/own", true, "--fs-write /tmp/own");
    assert_advice(true, "/tmp/own/new", false, "--fs-write /tmp/own");
    assert_advice(true, "/run/user/1000/own", true, "--fs-write /run/user/1000/own");
    assert_advice(true, "/srv/people/u/new", true, "--fs-write /srv/people/u/new");
    assert_advice(true, "/srv/people/other", true, "--fs-write /srv/people/other");
}

/* ---- Other pure parts ------------------------------------------------------------------------------ */

static void test_identity_is_read_from_the_right_columns(void **state)
{
    struct member_identity identity;

    (void)state;
    assert_int_equal(identity_parse("Name:\tx\\nUid:\t0\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\n"
                                    "Groups:\t7 9 \nCapInh:\t00\nCapEff:\t000001ffffffffff\n",
                                    false, &identity),
                     0);
    assert_int_equal(identity.uid, 4);
    assert_int_equal(identity.gid, 8);
    assert_true(identity.effective == 0x1ffffffffffULL);
    assert_true(identity.any_group && identity.groups == NULL);
    assert_int_equal(identity_parse("Name:\tx\nUid:\t1\t2\t3\n", false, &identity), -EINVAL);
    assert_int_equal(identity_parse("", false, &identity), -EINVAL);
}

#define STATUS(groups) \
    "Uid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t" groups "CapEff:\t000001ffffffffff\n"

static void test_groups_are_read_unless_every_one_can_be_had(void **state)
{
    struct member_identity identity;

    (void)state;
    assert_int_equal(identity_parse(STATUS("7 9 4294967294 \n"), true, &identity), 0);
    assert_int_equal(identity.group_count, 3);
    assert_int_equal(identity.groups[0], 7);
    assert_int_equal(identity.groups[2], 4294967294U);
    assert_true(!identity.any_group && identity.effective == 0);
    identity_release(&identity);
    assert_int_equal(identity_parse(STATUS(" \n"), true, &identity), 0);
    assert_true(identity.groups == NULL && identity.group_count == 0);
    assert_int_equal(identity_parse(STATUS("7 x \n"), true, &identity), -EINVAL);
    assert_null(identity.groups);
}

static bool can_read(const char *path)
{
    CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);

    return fd >= 0;
}

static void assert_member_may(const char *path, const char *status, bool expected)
{
    CLEANUP_IDENTITY struct member_identity identity;
    struct lowered_rights lowered;
    uint32_t before[8], after[8];
    long count = sys_call2(SYS_getgroups, 8, (long)before);

    assert_int_equal(identity_parse(status, false, &identity), 0);
    assert_true(identity_differs(&identity));
    assert_int_equal(identity_lower(&identity, &lowered), 0);
    bool may = can_read(path);
    identity_restore(&lowered);
    assert_int_equal(may, expected);
    assert_true(can_read(path));
    assert_int_equal(sys_call2(SYS_getgroups, 8, (long)after), count);
    assert_true(count <= 0 || memcmp(before, after, (size_t)count * sizeof(before[0])) == 0);
    assert_int_equal(sys_call1(SYS_setfsuid, -1), geteuid());
    assert_int_equal(sys_call1(SYS_setfsgid, -1), getegid());
}

#define MEMBER(uid, gid, groups, effective) \
    "Uid:\t0\t0\t0\t" uid "\nGid:\t0\t0\t0\t" gid "\nGroups:\t" groups "\nCapEff:\t" effective "\n"

static void test_the_kernel_judges_by_the_members_identity(void **state)
{
    char path[] = "/tmp/sandlock-identity-XXXXXX";

    (void)state;
    if (geteuid() != 0 || sys_call2(SYS_setgroups, 0, 0) != 0)
        skip_because("only root changes its groups");
    CLEANUP_FD int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(fchown(fd, 61900, 61901), 0);
    assert_int_equal(fchmod(fd, 0640), 0);
    assert_member_may(path, MEMBER("61900", "5", "", "0"), true);
    assert_member_may(path, MEMBER("61902", "61901", "", "0"), true);
    assert_member_may(path, MEMBER("61902", "5", "4 61901 ", "0"), true);
    assert_member_may(path, MEMBER("61902", "5", "4 ", "0"), false);
    assert_member_may(path, MEMBER("0", "0", "", "0"), false);
    assert_member_may(path, MEMBER("0", "0", "61901 ", "0"), true);
    assert_member_may(path, MEMBER("61902", "5", "", "4"), true); /* CAP_DAC_READ_SEARCH */
    unlink(path);
}

static void test_a_processor_mask_never_widens(void **state)
{
    struct affinity_mask allowed = {{0}}, mask = {{0}};

    (void)state;
    affinity_mask_set(&allowed, 1);
    affinity_mask_set(&allowed, 70);
    affinity_mask_set(&allowed, AFFINITY_CPUS_MAX); /* ignored */
    mask.words[0] = 0xF;
    mask.words[1] = UINT64_MAX;
    assert_true(affinity_mask_intersect(&mask, &allowed));
    assert_true(mask.words[0] == 2 && mask.words[1] == 1ULL << 6);
    mask = (struct affinity_mask){{1}};
    assert_false(affinity_mask_intersect(&mask, &allowed));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_links_of_the_caller_are_recognised_in_every_spelling),
        cmocka_unit_test(test_other_paths_are_not_taken_for_them),
        cmocka_unit_test(test_paths_lead_where_the_caller_would_get),
        cmocka_unit_test(test_failures_are_those_of_the_kernel),
        cmocka_unit_test(test_a_cached_walk_asks_no_file_system_wherever_it_starts),
        cmocka_unit_test(test_magic_links_of_others_are_not_followed),
        cmocka_unit_test(test_a_path_only_descriptor_is_none_for_descriptor_calls),
        cmocka_unit_test(test_the_verdict_is_on_the_object_not_on_its_link),
        cmocka_unit_test(test_pipes_and_memory_files_have_no_place),
        cmocka_unit_test(test_advice_names_the_directory),
        cmocka_unit_test(test_advice_to_read_names_the_whole_of_a_system_directory),
        cmocka_unit_test(test_advice_to_read_is_not_widened_to_a_home),
        cmocka_unit_test(test_advice_hands_over_nothing_that_others_run),
        cmocka_unit_test(test_advice_shows_no_secrets),
        cmocka_unit_test(test_advice_hands_over_no_directory_that_others_share),
        cmocka_unit_test(test_identity_is_read_from_the_right_columns),
        cmocka_unit_test(test_groups_are_read_unless_every_one_can_be_had),
        cmocka_unit_test(test_the_kernel_judges_by_the_members_identity),
        cmocka_unit_test(test_a_processor_mask_never_widens),
    };

    return cmocka_run_group_tests(tests, make_place, remove_place);
}
