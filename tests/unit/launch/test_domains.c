/* What the supervisor's domain allows below /proc, tried in it. */
#include "../policy/policy_test.h"

#include "kernel/landlock.h"
#include "launch/domains.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Exit status of the one who tries: an errno, 0 if it was opened. */
static int open_in(int ruleset, int flags)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || landlock_enter(ruleset, 0) != 0)
            _exit(255);
        _exit(open("/proc/self/comm", flags | O_CLOEXEC) >= 0 ? 0 : errno);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void assert_opens(const char *const *words, bool proc_writes, int read, int write,
                         int truncate)
{
    struct policy *policy = build_words(words);
    CLEANUP_FD int proc = open("/proc", O_PATH | O_CLOEXEC);
    struct domains_options options = {
        .policy = policy, .proc_fd = proc, .confined = true, .proc_writes = proc_writes};
    struct posture posture = POSTURE_INIT;
    struct domains domains;
    struct error err = {0};

    if (!domains_build(&domains, &options, &posture, &err))
        fail_msg("%s", err.text);
    assert_int_equal(open_in(domains.supervisor, O_RDONLY), read);
    assert_int_equal(open_in(domains.supervisor, O_WRONLY), write);
    assert_int_equal(open_in(domains.supervisor, O_WRONLY | O_TRUNC), truncate);
    domains_free(&domains);
    posture_free(&posture);
    policy_unref(policy);
}

static void test_the_supervisor_writes_below_proc_only_where_the_run_needs_it(void **state)
{
    (void)state;
    assert_opens(WORDS("-r/usr"), false, 0, EACCES, EACCES);
    assert_opens(WORDS("-r/proc"), false, 0, EACCES, EACCES);
    assert_opens(WORDS("-r/usr"), true, 0, 0, EACCES);
    assert_opens(WORDS("-w/proc/self"), false, 0, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_supervisor_writes_below_proc_only_where_the_run_needs_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
