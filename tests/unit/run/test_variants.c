/*
 * Ways to start that the command line does not have: an open image instead of a path, a function
 * instead of a command, and extra descriptors.
 */
#include "launch/launch.h"
#include "run/sandbox.h"
#include "kernel/sys.h"
#include "util/fd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static struct policy *policy_with(bool readable)
{
    const struct origin origin = {.kind = ORIGIN_SETTER};
    struct policy *policy = NULL;
    struct record record;
    struct error err = {0};

    record_init(&record);
    if (readable) {
        record_add(&record, OPTION_FS_READ, "/usr", &origin);
        record_add(&record, OPTION_FS_READ_TRY, "/lib", &origin);
        record_add(&record, OPTION_FS_READ_TRY, "/lib64", &origin);
        record_add(&record, OPTION_FS_READ_TRY, "/bin", &origin);
    }
    if (!policy_build(&record, &policy, &err))
        fail_msg("%s", err.text);
    record_free(&record);
    return policy;
}

static struct sandbox_spec spec_for(struct policy *policy, const char *const *argv, size_t argc)
{
    return (struct sandbox_spec){
        .launch = {.policy = policy,
                   .argv = argv,
                   .argc = argc,
                   .streams = {{STREAM_NULL, -1}, {STREAM_PIPED, -1}, {STREAM_PIPED, -1}},
                   .end_with_child = true,
                   .confine = true},
        .supervision = SUPERVISE_THREAD,
        .capture = true,
        .denial_fd = -1,
    };
}

/* Runs to the end; the output of stream 1 is copied. */
static struct outcome run(const struct sandbox_spec *spec, char *output, size_t size)
{
    struct error err = {0};
    struct outcome outcome;
    size_t length;
    bool captured;
    struct sandbox *sandbox = sandbox_create(spec, &err);

    if (sandbox == NULL)
        fail_msg("%s", err.text);
    if (!sandbox_wait(sandbox, 20000, 0, &outcome, &err))
        fail_msg("%s", err.text);
    const char *text = sandbox_output(sandbox, 1, &length, &captured);
    snprintf(output, size, "%.*s", (int)length, captured ? text : "");
    sandbox_free(sandbox);
    return outcome;
}

/* A copy of a program in memory, as an image without a path. */
static int image_of(const char *path)
{
    int image = (int)syscall(SYS_memfd_create, "image", 0x0010U /* MFD_EXEC */ | MFD_CLOEXEC);
    CLEANUP_FD int source = open(path, O_RDONLY | O_CLOEXEC);
    char block[4096];
    ssize_t got;

    if (image < 0) /* before Linux 6.3 */
        image = (int)syscall(SYS_memfd_create, "image", MFD_CLOEXEC);
    assert_true(image >= 0 && source >= 0);
    while ((got = read(source, block, sizeof(block))) > 0)
        assert_int_equal(fd_write_all(image, block, (size_t)got), 0);
    return image;
}

static void an_open_image_is_executed_without_a_path(void **state)
{
    static const char *const argv[] = {"no-such-name", "from memory"};
    struct policy *policy = policy_with(true);
    struct sandbox_spec spec = spec_for(policy, argv, 2);
    CLEANUP_FD int image = image_of("/bin/echo");
    char output[64];

    (void)state;
    /* The control: by its name there is nothing to execute. */
    struct outcome outcome = run(&spec, output, sizeof(output));
    assert_int_equal(outcome.code, 127);
    spec.launch.exec_fd = &image;
    outcome = run(&spec, output, sizeof(output));
    assert_int_equal(outcome.reason, EXIT_EXITED);
    assert_int_equal(outcome.code, 0);
    assert_string_equal(output, "from memory\n");
    policy_unref(policy);
}

static int host_secret = 41;

/* Runs confined; only system calls, since the host had threads. */
static void entry(void *data)
{
    char text[128];
    int open_result = (int)sys_call4(SYS_openat, AT_FDCWD, (long)"/etc/passwd", O_RDONLY, 0);
    int descriptors = 0;

    host_secret = 42; /* in a copy of the memory */
    for (int fd = 0; fd < 1024; fd++)
        descriptors += sys_call3(SYS_fcntl, fd, F_GETFD, 0) >= 0;
    int length =
        snprintf(text, sizeof(text), "%s %d %d\n", (const char *)data, open_result, descriptors);
    sys_call3(SYS_write, 1, (long)text, length);
}

/* Above its own stack stood that of the guardian, which in a library runs in the host's memory. */
static void touch_what_lies_above(void *data)
{
    volatile char *page = (volatile char *)(((uintptr_t)&data | 4095) + 1);

    for (int i = 0; i < 7; i++) /* 32 KiB, with the record */
        page[i * 4096] = page[i * 4096];
}

static void a_function_does_not_keep_the_memory_of_the_guardian(void **state)
{
    static const char *const argv[] = {"worker"};
    struct policy *policy = policy_with(false);
    struct sandbox_spec spec = spec_for(policy, argv, 1);
    char output[128];

    (void)state;
    spec.launch.entry = touch_what_lies_above;
    struct outcome outcome = run(&spec, output, sizeof(output));
    assert_int_equal(outcome.reason, EXIT_SIGNALED);
    assert_int_equal(outcome.signal, SIGSEGV);
    assert_null(outcome.failure);
    policy_unref(policy);
}

static void a_function_runs_confined_in_a_copy_of_the_memory(void **state)
{
    static const char *const argv[] = {"worker"};
    struct policy *policy = policy_with(false);
    struct sandbox_spec spec = spec_for(policy, argv, 1);
    char output[128];
    char data[] = "entered";

    (void)state;
    CLEANUP_FD int extra = open("/dev/null", O_RDONLY); /* not close-on-exec, and not passed on */
    spec.launch.entry = entry;
    spec.launch.entry_data = data;
    struct outcome outcome = run(&spec, output, sizeof(output));
    assert_int_equal(outcome.reason, EXIT_EXITED);
    assert_int_equal(outcome.code, 0);
    assert_string_equal(output, "entered -13 3\n");
    assert_int_equal(host_secret, 41);
    assert_true(extra >= 0);
    policy_unref(policy);
}

static void mapped_descriptors_arrive_where_they_belong(void **state)
{
    static const char *const argv[] = {"/bin/sh", "-c", "echo five >&5; echo seven >&7; cat <&6"};
    struct policy *policy = policy_with(true);
    struct sandbox_spec spec = spec_for(policy, argv, 3);
    int five[2], seven[2], six[2];
    char output[64];
    char text[16] = "";

    (void)state;
    assert_int_equal(pipe2(five, O_CLOEXEC) | pipe2(seven, O_CLOEXEC) | pipe2(six, O_CLOEXEC), 0);
    assert_int_equal(fd_write_all(six[1], "six\n", 4), 0);
    close(six[1]);
    const struct fd_map maps[] = {{5, five[1]}, {7, seven[1]}, {6, six[0]}};
    spec.launch.fds = maps;
    spec.launch.fd_count = 3;
    struct outcome outcome = run(&spec, output, sizeof(output));
    assert_int_equal(outcome.code, 0);
    assert_string_equal(output, "six\n");
    close(five[1]);
    close(seven[1]);
    assert_int_equal(fd_read_full(five[0], text, sizeof(text) - 1), 5);
    assert_string_equal(text, "five\n");
    assert_int_equal(fd_read_full(seven[0], text, sizeof(text) - 1), 6);
    close(five[0]);
    close(seven[0]);
    close(six[0]);
    policy_unref(policy);
}

static void a_given_descriptor_becomes_a_stream(void **state)
{
    static const char *const argv[] = {"/bin/cat"};
    struct policy *policy = policy_with(true);
    struct sandbox_spec spec = spec_for(policy, argv, 1);
    int input[2];
    char output[64];

    (void)state;
    assert_int_equal(pipe2(input, O_CLOEXEC), 0);
    assert_int_equal(fd_write_all(input[1], "given\n", 6), 0);
    close(input[1]);
    spec.launch.streams[0] = (struct stream_spec){STREAM_FD, input[0]};
    struct outcome outcome = run(&spec, output, sizeof(output));
    assert_int_equal(outcome.code, 0);
    assert_string_equal(output, "given\n");
    close(input[0]);
    policy_unref(policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_open_image_is_executed_without_a_path),
        cmocka_unit_test(a_function_runs_confined_in_a_copy_of_the_memory),
        cmocka_unit_test(a_function_does_not_keep_the_memory_of_the_guardian),
        cmocka_unit_test(mapped_descriptors_arrive_where_they_belong),
        cmocka_unit_test(a_given_descriptor_becomes_a_stream),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
