/* Which links a grant may lead through. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "launch/grant_open.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char base[64]; /* the current directory of every test */

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status, (void)kind, (void)place;
    return remove(path);
}

/* work/ is written by the command, outside/ is not. */
static int setup(void **state)
{
    (void)state;
    snprintf(base, sizeof(base), "/tmp/grant-open-XXXXXX");
    if (mkdtemp(base) == NULL || chdir(base) != 0)
        return -1;
    return mkdir("work", 0700) != 0 || mkdir("work/real", 0700) != 0 ||
           mkdir("outside", 0700) != 0 || mkdir("outside/deep", 0700) != 0 ||
           symlink("../outside", "work/link") != 0 || symlink("work", "to-work") != 0 ||
           symlink("outside", "to-outside") != 0 || symlink("loop", "loop") != 0 ||
           symlink("nothing", "work/dangling") != 0 || symlink("/proc/self/cwd", "to-proc") != 0;
}

static int teardown(void **state)
{
    (void)state;
    return chdir("/") != 0 ? -1 : nftw(base, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* What comes of opening `path` where `written` may be written: the object it leads to, or an error. */
static int open_beside(const char *path, const char *written, const char **below,
                       struct stat *status)
{
    char *items[] = {(char *)written, NULL};
    struct policy policy = {.fs_write = {.items = items, .count = written == NULL ? 0 : 1}};
    struct grant_opener opener = {.policy = &policy, .start_fd = AT_FDCWD};
    CLEANUP_FD int fd = grant_open(&opener, path, below);

    grant_opener_free(&opener);
    return fd < 0 ? fd : fstat(fd, status) == 0 ? 0 : -errno;
}

static void assert_leads_to(const char *path, const char *written, const char *target)
{
    const char *below;
    struct stat opened, expected;
    int result = open_beside(path, written, &below, &opened);

    if (result != 0)
        fail_msg("%s beside %s: %s", path, written == NULL ? "nothing" : written,
                 strerror(-result));
    assert_null(below);
    assert_int_equal(stat(target, &expected), 0);
    assert_true(opened.st_dev == expected.st_dev && opened.st_ino == expected.st_ino);
}

static void assert_refused(const char *path, const char *written)
{
    const char *below;
    struct stat status;

    assert_int_equal(open_beside(path, written, &below, &status), -ELOOP);
    assert_non_null(below);
    assert_string_equal(below, written);
    assert_leads_to(path, NULL, path); /* it is the write grant that makes the difference */
}

static void links_below_a_write_grant_are_refused(void **state)
{
    char absolute[128];

    (void)state;
    snprintf(absolute, sizeof(absolute), "%s/work", base);
    assert_refused("work/link", "work");
    assert_refused("work/link/", "work");
    assert_refused("work/link/.", "work");
    assert_refused("work//./link", "work");
    assert_refused("work/link/deep", "work");
    assert_refused("work/real/../link/deep", "work");
    assert_refused("work/link/../outside", "work"); /* whatever is written behind it */
    assert_refused("to-work/link", "work");
    assert_refused("work/link", "to-work");
    assert_refused("work/link", absolute);
    assert_refused("outside/../work/link", absolute);
    assert_refused("work/link", ".");
    assert_refused("to-outside", ".");
}

static void other_links_are_followed(void **state)
{
    (void)state;
    assert_leads_to("to-outside", "work", "outside");
    assert_leads_to("to-outside/deep/", "work", "outside/deep");
    assert_leads_to("work/../to-outside/deep", "work", "outside/deep");
    assert_leads_to("to-work", "to-work", "work"); /* the grant itself is not below itself */
    assert_leads_to("to-work/real", "work", "work/real");
    assert_leads_to("work/link", "outside", "outside");
    assert_leads_to("work/link", "work/real", "outside");
    assert_leads_to("work/link", "missing", "outside");
    assert_leads_to("to-proc", "work", ".");
    assert_leads_to("/proc/self/cwd/outside", "work", "outside");
}

static void the_text_of_a_link_has_room_for_a_whole_path(void **state)
{
    char target[4000], path[200] = "long";
    const char *below;
    struct stat status;

    (void)state;
    for (size_t i = 0; i + 10 < sizeof(target); i += 2)
        memcpy(target + i, "./", 3);
    strcat(target, "outside");
    assert_int_equal(symlink(target, "long"), 0);
    assert_leads_to("long", "work", "outside");
    assert_leads_to("long/deep/", "work", "outside/deep");
    while (strlen(path) < 150)
        strcat(path, "/.");
    assert_int_equal(open_beside(path, "work", &below, &status), -ENAMETOOLONG);
    assert_leads_to(path, NULL, "outside");
}

static void where_everything_is_written_every_link_is_followed(void **state)
{
    (void)state;
    assert_leads_to("work/link", "/", "outside");
}

static void what_the_kernel_does_not_find_is_its_own_error(void **state)
{
    const char *below;
    struct stat status;

    (void)state;
    assert_int_equal(open_beside("missing", "work", &below, &status), -ENOENT);
    assert_int_equal(open_beside("work/dangling", "work", &below, &status), -ENOENT);
    assert_int_equal(open_beside("loop", "work", &below, &status), -ELOOP);
    assert_null(below);
    assert_int_equal(open_beside("", "work", &below, &status), -ENOENT);
}

static void a_directory_opened_by_another_name_is_noticed(void **state)
{
    char *items[] = {(char *)"work", NULL};
    struct policy policy = {.fs_write = {.items = items, .count = 1}};
    struct grant_opener opener = {.policy = &policy, .start_fd = AT_FDCWD};
    const char *below;
    CLEANUP_FD int outside = open("outside", O_PATH | O_CLOEXEC);

    (void)state;
    assert_int_equal(grant_check(&opener, "to-outside", outside, &below), 0);
    assert_int_equal(grant_check(&opener, "work/link", outside, &below), -ELOOP);
    assert_string_equal(below, "work");
    assert_int_equal(grant_check(&opener, "work/real", outside, &below), -ESTALE);
    assert_null(below);
    grant_opener_free(&opener);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(links_below_a_write_grant_are_refused),
        CASE(other_links_are_followed),
        CASE(the_text_of_a_link_has_room_for_a_whole_path),
        CASE(where_everything_is_written_every_link_is_followed),
        CASE(what_the_kernel_does_not_find_is_its_own_error),
        CASE(a_directory_opened_by_another_name_is_noticed),
    };
#undef CASE

    return cmocka_run_group_tests_name("grant_open", tests, NULL, NULL);
}
