/* The home directory behind $HOME, also by links that were not followed lately. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "launch/home.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char base[64];

static const char *in_base(const char *name)
{
    static char path[128];

    snprintf(path, sizeof(path), "%s/%s", base, name);
    return path;
}

/* Its time of access is due: the kernel would write it at the next look. */
static void make_link(const char *text, const char *name)
{
    const struct timespec times[2] = {{.tv_sec = 1}, {.tv_nsec = UTIME_NOW}};

    assert_int_equal(symlink(text, in_base(name)), 0);
    assert_int_equal(utimensat(AT_FDCWD, in_base(name), times, AT_SYMLINK_NOFOLLOW), 0);
}

static int setup(void **state)
{
    char people[128];

    (void)state;
    snprintf(base, sizeof(base), "/tmp/home-XXXXXX");
    if (mkdtemp(base) == NULL || mkdir(in_base("people"), 0700) != 0 ||
        mkdir(in_base("people/u"), 0700) != 0)
        return -1;
    snprintf(people, sizeof(people), "%s", in_base("people"));
    make_link(people, "absolute");
    make_link("people/../absolute", "relative");
    make_link("round", "round");
    return 0;
}

static int teardown(void **state)
{
    static const char *const names[] = {"absolute", "relative", "round", "people/u", "people", ""};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        remove(in_base(names[i]));
    return 0;
}

static const char *home_of(const char *named)
{
    static char room[PATH_MAX];

    setenv("HOME", named, 1);
    return home_directory(room);
}

static void test_links_are_followed_however_long_ago_they_were_used(void **state)
{
    static const char *const ways[] = {"people/u",      "absolute/u",        "relative/u",
                                       "relative//u/.", "people//u",         "people/./u",
                                       "people/u/",     "people/../people/u"};
    char expected[128];

    (void)state;
    snprintf(expected, sizeof(expected), "%s", in_base("people/u"));
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
        assert_string_equal(home_of(in_base(ways[i])), expected);
}

static void test_what_leads_nowhere_stands_as_it_is(void **state)
{
    (void)state;
    assert_string_equal(home_of(in_base("round")), in_base("round"));
    assert_string_equal(home_of(in_base("absent/u")), in_base("absent/u"));
    assert_null(home_of("people"));
    unsetenv("HOME");
    assert_null(home_directory((char[PATH_MAX]){""}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_links_are_followed_however_long_ago_they_were_used),
        cmocka_unit_test(test_what_leads_nowhere_stands_as_it_is),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
