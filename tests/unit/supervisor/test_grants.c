/* Path grants: which object is covered, and what a descriptor is called. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../skip_because.h"

#include "kernel/sys.h"
#include "supervisor/grants.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

struct scene {
    char directory[64];
    struct grants grants;
};

static char *path_in(const struct scene *scene, const char *name)
{
    static char path[4][160];
    static unsigned next;
    char *result = path[next++ % 4];

    snprintf(result, sizeof(path[0]), "%s/%s", scene->directory, name);
    return result;
}

static void write_file(const char *path)
{
    CLEANUP_FD int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
}

/* Pins the object and asks for its name, as the launch and the first verdict do. */
static int grant(struct scene *scene, const char *path, bool writable)
{
    CLEANUP_FD int fd = open(path, O_PATH | O_CLOEXEC);
    struct stat object;

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &object), 0);
    assert_int_equal(grants_pin(&scene->grants, fd, writable, S_ISDIR(object.st_mode)), 0);
    fd_steal(&fd);
    return grants_resolve(&scene->grants);
}

static int setup(void **state)
{
    struct scene *scene = calloc(1, sizeof(*scene));
    char made[] = "/tmp/sandlock-grants-XXXXXX";

    assert_non_null(mkdtemp(made));
    char *real = realpath(made, NULL);
    snprintf(scene->directory, sizeof(scene->directory), "%s", real);
    free(real);
    assert_int_equal(mkdir(path_in(scene, "dir"), 0700), 0);
    assert_int_equal(mkdir(path_in(scene, "dir/sub"), 0700), 0);
    write_file(path_in(scene, "file"));
    *state = scene;
    return 0;
}

static int teardown(void **state)
{
    struct scene *scene = *state;
    static const char *const files[] = {"file", "link", "dir/x", "x (deleted)", "second"};

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        unlink(path_in(scene, files[i]));
    rmdir(path_in(scene, "dir/sub"));
    rmdir(path_in(scene, "dir"));
    rmdir(path_in(scene, "moved"));
    assert_int_equal(rmdir(scene->directory), 0);
    grants_free(&scene->grants);
    free(scene);
    return 0;
}

static void a_directory_covers_what_is_below_and_not_its_neighbours(void **state)
{
    struct scene *scene = *state;

    assert_int_equal(grant(scene, path_in(scene, "dir"), false), 0);
    assert_non_null(grants_find(&scene->grants, path_in(scene, "dir"), false));
    assert_non_null(grants_find(&scene->grants, path_in(scene, "dir/sub/deep"), false));
    assert_null(grants_find(&scene->grants, path_in(scene, "dir2"), false));
    assert_null(grants_find(&scene->grants, path_in(scene, "di"), false));
    assert_null(grants_find(&scene->grants, scene->directory, false));
    assert_null(grants_find(&scene->grants, path_in(scene, "dir/x"), true)); /* read only */
    assert_null(grants_find(&scene->grants, "", false));
}

static void a_file_covers_itself_alone(void **state)
{
    struct scene *scene = *state;

    assert_int_equal(grant(scene, path_in(scene, "file"), true), 0);
    assert_non_null(grants_find(&scene->grants, path_in(scene, "file"), true));
    assert_null(grants_find(&scene->grants, path_in(scene, "file/x"), false));
    assert_null(grants_find(&scene->grants, path_in(scene, "file2"), false));
}

static void the_closest_grant_is_found(void **state)
{
    struct scene *scene = *state;

    assert_int_equal(grant(scene, "/", false), 0);
    assert_false(grants_write_all(&scene->grants));
    assert_int_equal(grant(scene, path_in(scene, "dir/sub"), true), 0);
    assert_int_equal(grant(scene, path_in(scene, "dir"), true), 0);
    assert_string_equal(grants_find(&scene->grants, "/etc/passwd", false)->path, "/");
    assert_string_equal(grants_find(&scene->grants, "/", false)->path, "/");
    assert_null(grants_find(&scene->grants, "/etc/passwd", true));
    assert_string_equal(grants_find(&scene->grants, path_in(scene, "dir/sub/x"), true)->path,
                        path_in(scene, "dir/sub"));
    assert_int_equal(grant(scene, "/", true), 0);
    assert_true(grants_write_all(&scene->grants));
}

static void a_symlink_grants_the_object_it_leads_to(void **state)
{
    struct scene *scene = *state;

    assert_int_equal(symlink("dir", path_in(scene, "link")), 0);
    assert_int_equal(grant(scene, path_in(scene, "link"), false), 0);
    assert_non_null(grants_find(&scene->grants, path_in(scene, "dir/x"), false));
    assert_null(grants_find(&scene->grants, path_in(scene, "link/x"), false));
}

static int name_of(int fd, char *path, bool *unlinked)
{
    return grants_path_of(fd, path, 4096, unlinked);
}

static void the_name_of_an_open_object_follows_renames(void **state)
{
    struct scene *scene = *state;
    char path[4096];
    bool unlinked = true;

    write_file(path_in(scene, "dir/x"));
    CLEANUP_FD int fd = open(path_in(scene, "dir/x"), O_PATH | O_CLOEXEC);
    assert_int_equal(rename(path_in(scene, "dir/x"), path_in(scene, "second")), 0);
    assert_int_equal(name_of(fd, path, &unlinked), 0);
    assert_string_equal(path, path_in(scene, "second"));
    assert_false(unlinked);
}

static void an_unlinked_file_keeps_its_last_name_and_tells(void **state)
{
    struct scene *scene = *state;
    char path[4096];
    bool unlinked = false;

    write_file(path_in(scene, "dir/x"));
    CLEANUP_FD int fd = open(path_in(scene, "dir/x"), O_RDONLY | O_CLOEXEC);
    assert_int_equal(unlink(path_in(scene, "dir/x")), 0);
    assert_int_equal(name_of(fd, path, &unlinked), 0);
    assert_string_equal(path, path_in(scene, "dir/x"));
    assert_true(unlinked);
}

static void a_grant_covers_nothing_before_its_name_is_known(void **state)
{
    struct scene *scene = *state;
    int fd = open(path_in(scene, "dir"), O_PATH | O_CLOEXEC);

    assert_int_equal(grants_pin(&scene->grants, fd, true, true), 0);
    assert_null(grants_find(&scene->grants, path_in(scene, "dir/x"), false));
    /* The object is what was pinned, whatever its name is by then. */
    assert_int_equal(rename(path_in(scene, "dir"), path_in(scene, "moved")), 0);
    assert_int_equal(grants_resolve(&scene->grants), 0);
    assert_null(grants_find(&scene->grants, path_in(scene, "dir/x"), false));
    assert_non_null(grants_find(&scene->grants, path_in(scene, "moved/x"), true));
    assert_int_equal(rename(path_in(scene, "moved"), path_in(scene, "dir")), 0);
}

static void descriptors_of_some_write_grants_stay_open_and_no_others(void **state)
{
    struct scene *scene = *state;
    int read_fd = open(path_in(scene, "dir"), O_PATH | O_CLOEXEC);
    int open_count = 0;

    assert_int_equal(grants_pin(&scene->grants, read_fd, false, true), 0);
    for (int i = 0; i < GRANTS_KEPT_MAX + 3; i++)
        assert_int_equal(grant(scene, path_in(scene, "dir/sub"), true), 0);
    for (size_t i = 0; i < scene->grants.count; i++)
        open_count += scene->grants.items[i].path_fd >= 0;
    assert_int_equal(open_count, GRANTS_KEPT_MAX);
    assert_int_equal(scene->grants.items[0].path_fd, -1);
}

/* ---- Objects -------------------------------------------------------------------------------------- */

/* Asked where waiting is allowed; where it is not, the answer is the same or none. */
static bool covers_fd(struct scene *scene, int fd, bool write)
{
    char path[4096], again[4096];
    bool unlinked;

    assert_int_equal(grants_path_of(fd, path, sizeof(path), &unlinked), 0);
    strcpy(again, path);
    enum grants_answer answer = grants_judge(&scene->grants, fd, path, unlinked, write, false);
    enum grants_answer at_once = grants_judge(&scene->grants, fd, again, unlinked, write, true);
    assert_int_not_equal(answer, GRANTS_WOULD_WAIT);
    assert_true(at_once == answer || at_once == GRANTS_WOULD_WAIT);
    return answer == GRANTS_COVER;
}

static bool covers(struct scene *scene, const char *name, bool write)
{
    CLEANUP_FD int fd = open(path_in(scene, name), O_PATH | O_NOFOLLOW | O_CLOEXEC);

    assert_true(fd >= 0);
    return covers_fd(scene, fd, write);
}

/* The roots of these have the same inode number everywhere. */
static void the_number_of_an_object_says_nothing_without_its_file_system(void **state)
{
    struct scene *scene = *state;
    CLEANUP_FD int proc = open("/proc", O_PATH | O_CLOEXEC), sys = open("/sys", O_PATH | O_CLOEXEC),
                   below = open("/sys/kernel", O_PATH | O_CLOEXEC);
    struct stat granted, other;

    if (proc < 0 || sys < 0 || below < 0) {
        skip_because("/proc or /sys is not mounted");
    }
    assert_int_equal(fstat(proc, &granted), 0);
    assert_int_equal(fstat(sys, &other), 0);
    if (granted.st_ino != other.st_ino) {
        skip_because("the roots of /proc and /sys have different numbers");
    }
    assert_int_equal(grant(scene, "/proc", true), 0);
    assert_true(covers_fd(scene, proc, true));
    assert_false(covers_fd(scene, sys, true));
    assert_false(covers_fd(scene, below, true)); /* found on the way up */
}

static void move_away_and_make_anew(struct scene *scene)
{
    assert_int_equal(rename(path_in(scene, "dir"), path_in(scene, "moved")), 0);
    assert_int_equal(mkdir(path_in(scene, "dir"), 0700), 0);
    assert_int_equal(mkdir(path_in(scene, "dir/sub"), 0700), 0);
    write_file(path_in(scene, "dir/x"));
    write_file(path_in(scene, "dir/sub/x"));
}

static void move_back(struct scene *scene)
{
    unlink(path_in(scene, "dir/sub/x"));
    unlink(path_in(scene, "dir/x"));
    assert_int_equal(rmdir(path_in(scene, "dir/sub")), 0);
    assert_int_equal(rmdir(path_in(scene, "dir")), 0);
    unlink(path_in(scene, "moved/sub/x"));
    unlink(path_in(scene, "moved/x"));
    assert_int_equal(rename(path_in(scene, "moved"), path_in(scene, "dir")), 0);
}

/* Grants of directories, with and without a descriptor that stays open. */
static void check_moved_directory(struct scene *scene, bool writable)
{
    write_file(path_in(scene, "dir/x"));
    write_file(path_in(scene, "dir/sub/x"));
    assert_int_equal(grant(scene, path_in(scene, "dir"), writable), 0);
    assert_true(covers(scene, "dir", writable));
    assert_true(covers(scene, "dir/x", writable));
    assert_true(covers(scene, "dir/sub/x", writable));
    assert_false(covers(scene, "file", writable));
    assert_false(covers(scene, "", writable));
    move_away_and_make_anew(scene);
    static const char *const names[] = {"", "/x", "/sub", "/sub/x"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char old[32], new[32];
        snprintf(old, sizeof(old), "moved%s", names[i]);
        snprintf(new, sizeof(new), "dir%s", names[i]);
        assert_true(covers(scene, old, writable));
        assert_false(covers(scene, new, writable));
    }
    move_back(scene);
}

static void a_directory_that_moved_stays_granted_and_its_successor_is_not(void **state)
{
    check_moved_directory(*state, true);
}

static void the_same_holds_where_no_descriptor_was_kept(void **state)
{
    check_moved_directory(*state, false);
}

static void nested_grants_move_with_the_outer_one(void **state)
{
    struct scene *scene = *state;

    write_file(path_in(scene, "dir/x"));
    write_file(path_in(scene, "dir/sub/x"));
    assert_int_equal(grant(scene, path_in(scene, "dir/sub"), true), 0);
    assert_int_equal(grant(scene, path_in(scene, "dir"), false), 0);
    move_away_and_make_anew(scene);
    assert_true(covers(scene, "moved/sub/x", true));
    assert_false(covers(scene, "moved/x", true));
    assert_true(covers(scene, "moved/x", false));
    assert_false(covers(scene, "dir/sub/x", true));
    assert_false(covers(scene, "dir/sub/x", false));
    move_back(scene);
}

static void a_file_that_moved_stays_granted_by_every_name_and_its_successor_is_not(void **state)
{
    struct scene *scene = *state;

    assert_int_equal(grant(scene, path_in(scene, "file"), true), 0);
    assert_int_equal(rename(path_in(scene, "file"), path_in(scene, "second")), 0);
    write_file(path_in(scene, "file"));
    assert_int_equal(link(path_in(scene, "second"), path_in(scene, "dir/x")), 0);
    assert_true(covers(scene, "second", true));
    assert_true(covers(scene, "dir/x", true));
    assert_false(covers(scene, "file", true));
}

static void a_link_in_a_moved_directory_does_not_lead_to_the_successor(void **state)
{
    struct scene *scene = *state;

    assert_int_equal(grant(scene, path_in(scene, "dir"), true), 0);
    move_away_and_make_anew(scene);
    /* "dir/sub/x" from the granted directory would be the new one, if links were followed. */
    assert_int_equal(rmdir(path_in(scene, "moved/sub")), 0);
    assert_int_equal(symlink("../dir/sub", path_in(scene, "moved/sub")), 0);
    assert_false(covers(scene, "dir/sub/x", true));
    assert_int_equal(unlink(path_in(scene, "moved/sub")), 0);
    assert_int_equal(mkdir(path_in(scene, "moved/sub"), 0700), 0);
    move_back(scene);
}

static void unlinked_objects_belong_where_they_were(void **state)
{
    struct scene *scene = *state;

    write_file(path_in(scene, "dir/x"));
    write_file(path_in(scene, "second"));
    assert_int_equal(grant(scene, path_in(scene, "dir"), true), 0);
    CLEANUP_FD int inside = open(path_in(scene, "dir/x"), O_PATH | O_CLOEXEC);
    CLEANUP_FD int directory = open(path_in(scene, "dir/sub"), O_PATH | O_CLOEXEC);
    CLEANUP_FD int outside = open(path_in(scene, "second"), O_PATH | O_CLOEXEC);
    assert_int_equal(unlink(path_in(scene, "dir/x")), 0);
    assert_int_equal(unlink(path_in(scene, "second")), 0);
    assert_int_equal(rmdir(path_in(scene, "dir/sub")), 0);
    assert_true(covers_fd(scene, inside, true));
    assert_true(covers_fd(scene, directory, true));
    assert_false(covers_fd(scene, outside, true));
    assert_int_equal(mkdir(path_in(scene, "dir/sub"), 0700), 0);
    move_away_and_make_anew(scene);
    assert_true(covers_fd(scene, inside, true)); /* the kernel says "moved/x (deleted)" */
    CLEANUP_FD int successor = open(path_in(scene, "dir/x"), O_PATH | O_CLOEXEC);
    assert_int_equal(unlink(path_in(scene, "dir/x")), 0);
    assert_false(covers_fd(scene, successor, true));
    move_back(scene);
}

static void a_directory_that_lets_nobody_through_can_be_judged(void **state)
{
    struct scene *scene = *state;

    assert_int_equal(grant(scene, path_in(scene, "dir"), true), 0);
    assert_int_equal(chmod(path_in(scene, "dir/sub"), 0), 0);
    assert_true(covers(scene, "dir/sub", true));
    assert_int_equal(rename(path_in(scene, "dir"), path_in(scene, "moved")), 0);
    assert_true(covers(scene, "moved/sub", true));
    assert_int_equal(rename(path_in(scene, "moved"), path_in(scene, "dir")), 0);
    assert_int_equal(chmod(path_in(scene, "dir/sub"), 0700), 0);
}

static void a_pinned_object_that_was_unlinked_covers_nothing(void **state)
{
    struct scene *scene = *state;

    write_file(path_in(scene, "dir/x"));
    int fd = open(path_in(scene, "dir/x"), O_PATH | O_CLOEXEC);
    assert_int_equal(grants_pin(&scene->grants, fd, true, false), 0);
    assert_int_equal(unlink(path_in(scene, "dir/x")), 0);
    write_file(path_in(scene, "dir/x")); /* its name would cover this one */
    assert_int_equal(grants_resolve(&scene->grants), 0);
    assert_null(grants_find(&scene->grants, path_in(scene, "dir/x"), false));
}

static void a_file_that_is_called_deleted_is_not(void **state)
{
    struct scene *scene = *state;
    char path[4096];
    bool unlinked = true;

    write_file(path_in(scene, "x (deleted)"));
    CLEANUP_FD int fd = open(path_in(scene, "x (deleted)"), O_PATH | O_CLOEXEC);
    assert_int_equal(name_of(fd, path, &unlinked), 0);
    assert_string_equal(path, path_in(scene, "x (deleted)"));
    assert_false(unlinked);
}

static void a_lost_name_of_a_file_with_another_link_is_unlinked(void **state)
{
    struct scene *scene = *state;
    char path[4096];
    bool unlinked = false;

    write_file(path_in(scene, "dir/x"));
    assert_int_equal(link(path_in(scene, "dir/x"), path_in(scene, "second")), 0);
    CLEANUP_FD int fd = open(path_in(scene, "dir/x"), O_PATH | O_CLOEXEC);
    assert_int_equal(unlink(path_in(scene, "dir/x")), 0);
    assert_int_equal(name_of(fd, path, &unlinked), 0);
    assert_string_equal(path, path_in(scene, "dir/x"));
    assert_true(unlinked);
}

static void objects_without_a_path_have_no_name(void **state)
{
    char path[4096];
    bool unlinked;
    int ends[2];

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(name_of(ends[0], path, &unlinked), -ENOENT);
    close(ends[0]);
    close(ends[1]);
    CLEANUP_FD int memory = sys_memfd("etc", 0);
    assert_true(memory >= 0);
    assert_int_equal(name_of(memory, path, &unlinked), -ENOENT);
    assert_int_equal(name_of(-1, path, &unlinked), -EBADF);
}

static void a_lack_of_descriptors_is_no_verdict(void **state)
{
    struct scene *scene = *state;
    struct rlimit before, none;
    char path[4096];
    bool unlinked;

    write_file(path_in(scene, "dir/x"));
    assert_int_equal(grant(scene, path_in(scene, "dir"), true), 0);
    CLEANUP_FD int fd = open(path_in(scene, "dir/x"), O_PATH | O_CLOEXEC);
    int next = dup(fd);
    assert_true(next >= 0);
    assert_int_equal(close(next), 0);
    assert_int_equal(name_of(fd, path, &unlinked), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = (rlim_t)next;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    errno = 0;
    enum grants_answer answer = grants_judge(&scene->grants, fd, path, unlinked, true, false);
    int error = errno;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(answer, GRANTS_FAILED);
    assert_int_equal(error, EMFILE);
    assert_true(covers_fd(scene, fd, true));
}

static void an_object_is_judged_by_a_directory_only_where_it_lies_there(void **state)
{
    struct scene *scene = *state;

    write_file(path_in(scene, "dir/x"));
    assert_int_equal(grant(scene, path_in(scene, "dir"), true), 0);
    CLEANUP_FD int inside = open(path_in(scene, "dir/x"), O_PATH | O_CLOEXEC);
    CLEANUP_FD int outside = open(path_in(scene, "file"), O_PATH | O_CLOEXEC);
    CLEANUP_FD int sub = open(path_in(scene, "dir/sub"), O_PATH | O_CLOEXEC);
    CLEANUP_FD int dir = open(path_in(scene, "dir"), O_PATH | O_CLOEXEC);
    CLEANUP_FD int above = open(scene->directory, O_PATH | O_CLOEXEC);
    const struct grants *grants = &scene->grants;
    assert_int_equal(grants_judge_in(grants, inside, dir, "x", true, false), GRANTS_COVER);
    assert_int_equal(grants_judge_in(grants, inside, dir, "x", false, false), GRANTS_COVER);
    assert_int_equal(grants_judge_in(grants, sub, -1, NULL, true, false), GRANTS_COVER);
    assert_int_equal(grants_judge_in(grants, above, -1, NULL, true, false), GRANTS_DO_NOT_COVER);
    assert_int_equal(grants_judge_in(grants, outside, above, "file", true, false),
                     GRANTS_DO_NOT_COVER);
    assert_int_equal(grants_judge_in(grants, outside, dir, "x", true, false), GRANTS_CANNOT_TELL);
    assert_int_equal(grants_judge_in(grants, inside, sub, "x", true, false), GRANTS_CANNOT_TELL);
    assert_int_equal(grants_judge_in(grants, inside, -1, NULL, true, false), GRANTS_CANNOT_TELL);
    assert_int_equal(symlink("../file", path_in(scene, "dir/sub/link")), 0);
    assert_int_equal(grants_judge_in(grants, outside, sub, "link", true, false),
                     GRANTS_CANNOT_TELL);
    unlink(path_in(scene, "dir/sub/link"));
}

#define GRANTS_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        GRANTS_TEST(a_directory_covers_what_is_below_and_not_its_neighbours),
        GRANTS_TEST(a_file_covers_itself_alone),
        GRANTS_TEST(the_closest_grant_is_found),
        GRANTS_TEST(a_symlink_grants_the_object_it_leads_to),
        GRANTS_TEST(the_name_of_an_open_object_follows_renames),
        GRANTS_TEST(an_unlinked_file_keeps_its_last_name_and_tells),
        GRANTS_TEST(a_grant_covers_nothing_before_its_name_is_known),
        GRANTS_TEST(descriptors_of_some_write_grants_stay_open_and_no_others),
        GRANTS_TEST(the_number_of_an_object_says_nothing_without_its_file_system),
        GRANTS_TEST(a_directory_that_moved_stays_granted_and_its_successor_is_not),
        GRANTS_TEST(the_same_holds_where_no_descriptor_was_kept),
        GRANTS_TEST(nested_grants_move_with_the_outer_one),
        GRANTS_TEST(a_file_that_moved_stays_granted_by_every_name_and_its_successor_is_not),
        GRANTS_TEST(a_link_in_a_moved_directory_does_not_lead_to_the_successor),
        GRANTS_TEST(unlinked_objects_belong_where_they_were),
        GRANTS_TEST(a_directory_that_lets_nobody_through_can_be_judged),
        GRANTS_TEST(a_pinned_object_that_was_unlinked_covers_nothing),
        GRANTS_TEST(a_file_that_is_called_deleted_is_not),
        GRANTS_TEST(a_lost_name_of_a_file_with_another_link_is_unlinked),
        GRANTS_TEST(objects_without_a_path_have_no_name),
        GRANTS_TEST(a_lack_of_descriptors_is_no_verdict),
        GRANTS_TEST(an_object_is_judged_by_a_directory_only_where_it_lies_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
