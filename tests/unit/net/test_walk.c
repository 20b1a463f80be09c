/* Paths that lead through links of processes. */
#include "net/network_files.h"

#include "kernel/procfs.h"
#include "kernel/sys.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char area[] = "/tmp/sandlock-walk-XXXXXX";
static struct shadow shadow;
static struct file_views views = {.shadow = &shadow};
static struct request request;

static int prepare(void **state)
{
    struct object_identity proc;
    (void)state;
    if (mkdtemp(area) == NULL || !object_identify_path(AT_FDCWD, "/proc", &proc))
        return -1;
    views.proc_fd = procfs_open();
    shadow.proc_device = proc.device;
    request.tgid = getpid();
    request.notification.pid = (uint32_t)getpid();
    return 0;
}

static int clean(void **state)
{
    (void)state;
    fd_close(views.proc_fd);
    return rmdir(area);
}

static int walk_from(int base, const char *path, uint64_t flags)
{
    struct open_call call = {.flags = flags, .object = OBJECT_INIT};

    snprintf(call.path, sizeof(call.path), "%s", path);
    call.object.base = base;
    snprintf(call.object.path, sizeof(call.object.path), "%s", path);
    return walk_as_caller(&views, &request, &call, NULL);
}

static void assert_leads(const char *path, const char *target)
{
    struct object_identity found, wanted;
    CLEANUP_FD int fd = walk_from(-1, path, 0);

    assert_true(fd >= 0);
    assert_true(object_identify(fd, &found));
    assert_true(object_identify_path(AT_FDCWD, target, &wanted));
    assert_true(found.device == wanted.device && found.inode == wanted.inode);
}

static void a_path_means_what_the_kernel_says(void **state)
{
    char process[64];
    (void)state;
    assert_leads("/", "/");
    assert_leads("//etc/./../etc/passwd", "/etc/passwd");
    assert_leads("/proc/self/root/etc/passwd", "/etc/passwd");
    assert_leads("/proc/self/../thread-self/root/etc", "/etc");
    assert_leads("/proc/self/cwd/.", ".");
    assert_leads("/proc/mounts", "/proc/self/mounts");
    snprintf(process, sizeof(process), "/proc/%d/task/%d/root/etc/", (int)getpid(), (int)getpid());
    assert_leads(process, "/etc");
    int base = open("/proc/self", O_PATH | O_CLOEXEC);
    CLEANUP_FD int fd = walk_from(base, "root/etc/passwd", 0);
    assert_true(fd >= 0);
    fd_close(base);
}

static void what_is_not_there_is_refused_as_by_the_kernel(void **state)
{
    char name[NAME_MAX + 8];
    (void)state;
    assert_int_equal(walk_from(-1, "/proc/self/root/etc/sandlock-none", 0), -ENOENT);
    assert_int_equal(walk_from(-1, "/etc/passwd/", 0), -ENOTDIR);
    assert_int_equal(walk_from(-1, "/etc/passwd/x", 0), -ENOTDIR);
    assert_int_equal(walk_from(-1, "/proc/self/fd/4095/x", 0), -ENOENT);
    memset(name, 'x', sizeof(name) - 1);
    name[0] = '/';
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(walk_from(-1, name, 0), -ENAMETOOLONG);
}

static void links_are_counted(void **state)
{
    char loop[64], direct[64];
    (void)state;
    snprintf(loop, sizeof(loop), "%s/loop", area);
    snprintf(direct, sizeof(direct), "%s/direct", area);
    assert_int_equal(symlink("loop", loop), 0);
    assert_int_equal(symlink("/proc/self/root/etc/passwd", direct), 0);
    assert_leads(direct, "/etc/passwd");
    assert_int_equal(walk_from(-1, loop, 0), -ELOOP);
    CLEANUP_FD int link = walk_from(-1, loop, O_NOFOLLOW);
    assert_true(link >= 0);
    assert_int_equal(object_type(link), S_IFLNK);
    assert_int_equal(unlink(loop), 0);
    assert_int_equal(unlink(direct), 0);
}

static void a_walk_is_made_where_the_kernels_says_nothing(void **state)
{
    struct open_call call = {.object = OBJECT_INIT};
    (void)state;
    snprintf(call.object.path, sizeof(call.object.path), "/proc/self/sandlock-none");
    assert_true(walk_is_needed(&views, &call, -ELOOP));
    assert_false(walk_is_needed(&views, &call, -EACCES));
    assert_false(walk_is_needed(&views, &call, -ENOENT));
    views.reached = true;
    assert_true(walk_is_needed(&views, &call, -ENOENT));
    snprintf(call.object.path, sizeof(call.object.path), "/etc/sandlock-none");
    /* Once the kernel knows that there is none. */
    assert_int_equal(access(call.object.path, F_OK), -1);
    assert_false(walk_is_needed(&views, &call, -ENOENT));
    call.resolve = RESOLVE_NO_MAGICLINKS;
    assert_false(walk_is_needed(&views, &call, -ELOOP));
    views.reached = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_means_what_the_kernel_says),
        cmocka_unit_test(what_is_not_there_is_refused_as_by_the_kernel),
        cmocka_unit_test(links_are_counted),
        cmocka_unit_test(a_walk_is_made_where_the_kernels_says_nothing),
    };

    return cmocka_run_group_tests(tests, prepare, clean);
}
