/* The C interface as far as no command is started: NULL, builders, build errors, strings, results. */
#include "api/api.h"
#include "kernel/arch.h"
#include "util/fd.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static sandlock_builder_t *builder(void)
{
    sandlock_builder_t *b = sandlock_sandbox_builder_new();

    assert_non_null(b);
    return b;
}

/* Builds and returns the inside of the policy. */
static sandlock_sandbox_t *build_good(sandlock_builder_t *b)
{
    int err = 7;
    char *text = (char *)"untouched";
    sandlock_sandbox_t *policy = sandlock_sandbox_build(b, &err, &text);

    if (policy == NULL)
        print_message("build failed: %s\n", text);
    assert_non_null(policy);
    assert_int_equal(err, 0);
    assert_null(text);
    return policy;
}

/* The build fails and its text, which is also the last error, contains every word. */
static void build_bad(sandlock_builder_t *b, const char *const *words)
{
    int err = 7;
    char *text = NULL;
    sandlock_sandbox_t *policy = sandlock_sandbox_build(b, &err, &text);

    assert_null(policy);
    assert_int_equal(err, -1);
    assert_non_null(text);
    assert_string_equal(text, sandlock_last_error());
    for (size_t i = 0; words[i] != NULL; i++) {
        if (strstr(text, words[i]) == NULL)
            print_message("'%s' is not in: %s\n", words[i], text);
        assert_non_null(strstr(text, words[i]));
    }
    sandlock_string_free(text);
}

#define BUILD_BAD(b, ...) build_bad(b, (const char *const[]){__VA_ARGS__, NULL})

/* ---- NULL -------------------------------------------------------------------------------------- */

static void every_setter_gives_null_for_a_null_builder(void **state)
{
    const uint32_t one[] = {0};

    assert_null(sandlock_sandbox_builder_fs_read(NULL, "/"));
    assert_null(sandlock_sandbox_builder_fs_read_if_exists(NULL, "/"));
    assert_null(sandlock_sandbox_builder_fs_write(NULL, "/"));
    assert_null(sandlock_sandbox_builder_gpu_devices(NULL, one, 1));
    assert_null(sandlock_sandbox_builder_cwd(NULL, "/"));
    assert_null(sandlock_sandbox_builder_max_processes(NULL, 1));
    assert_null(sandlock_sandbox_builder_cpu_cores(NULL, one, 1));
    assert_null(sandlock_sandbox_builder_net_allow(NULL, "*"));
    assert_null(sandlock_sandbox_builder_net_deny(NULL, "*"));
    assert_null(sandlock_sandbox_builder_net_allow_bind(NULL, "1"));
    assert_null(sandlock_sandbox_builder_net_deny_bind(NULL, "1"));
    assert_null(sandlock_sandbox_builder_port_remap(NULL, true));
    assert_null(sandlock_sandbox_builder_user(NULL, 0, 0));
    assert_null(sandlock_sandbox_builder_clean_env(NULL, true));
    assert_null(sandlock_sandbox_builder_env_var(NULL, "K", "V"));
    assert_null(sandlock_sandbox_builder_extra_deny_syscalls(NULL, "mount"));
    assert_null(sandlock_sandbox_builder_extra_allow_syscalls(NULL, "sysv_ipc"));
    assert_null(sandlock_sandbox_builder_max_open_files(NULL, 1));
    assert_null(sandlock_sandbox_builder_no_randomize_memory(NULL, true));
    assert_null(sandlock_sandbox_builder_no_huge_pages(NULL, true));
    assert_null(sandlock_sandbox_builder_no_coredump(NULL, true));
    assert_null(sandlock_sandbox_builder_allow_degraded(NULL, 0));
    assert_null(sandlock_sandbox_builder_disable(NULL, 1));
    assert_null(sandlock_sandbox_builder_no_supervisor(NULL, true));
    assert_null(sandlock_sandbox_builder_without(NULL, "process-gate"));
    assert_null(sandlock_sandbox_builder_explain(NULL, true));
}

static void a_null_argument_leaves_the_builder_as_it_was(void **state)
{
    sandlock_builder_t *b = builder();

    assert_ptr_equal(sandlock_sandbox_builder_fs_read(b, NULL), b);
    assert_ptr_equal(sandlock_sandbox_builder_fs_read_if_exists(b, NULL), b);
    assert_ptr_equal(sandlock_sandbox_builder_fs_write(b, NULL), b);
    assert_ptr_equal(sandlock_sandbox_builder_gpu_devices(b, NULL, 2), b);
    assert_ptr_equal(sandlock_sandbox_builder_cwd(b, NULL), b);
    assert_ptr_equal(sandlock_sandbox_builder_cpu_cores(b, NULL, 2), b);
    assert_ptr_equal(sandlock_sandbox_builder_net_allow(b, NULL), b);
    assert_ptr_equal(sandlock_sandbox_builder_net_deny(b, NULL), b);
    assert_ptr_equal(sandlock_sandbox_builder_net_allow_bind(b, NULL), b);
    assert_ptr_equal(sandlock_sandbox_builder_net_deny_bind(b, NULL), b);
    assert_ptr_equal(sandlock_sandbox_builder_env_var(b, NULL, "V"), b);
    assert_ptr_equal(sandlock_sandbox_builder_env_var(b, "K", NULL), b);
    assert_ptr_equal(sandlock_sandbox_builder_extra_deny_syscalls(b, NULL), b);
    assert_ptr_equal(sandlock_sandbox_builder_extra_allow_syscalls(b, NULL), b);
    assert_ptr_equal(sandlock_sandbox_builder_without(b, NULL), b);
    assert_ptr_equal(sandlock_sandbox_builder_allow_degraded(b, 6), b);
    assert_ptr_equal(sandlock_sandbox_builder_disable(b, UINT32_MAX), b);

    sandlock_sandbox_t *policy = build_good(b);
    for (size_t i = 0; i < OPTION_COUNT; i++)
        assert_false(policy->policy->given[i]);
    sandlock_sandbox_free(policy);
}

static void a_null_builder_fails_the_build_without_text(void **state)
{
    int err = 0;
    char *text = (char *)"x";

    assert_null(sandlock_sandbox_build(NULL, &err, &text));
    assert_int_equal(err, -1);
    assert_null(text);
    assert_null(sandlock_sandbox_build(NULL, NULL, NULL));
}

static void handle_and_run_functions_refuse_null(void **state)
{
    const char *argv[] = {"/bin/true"};
    int fd = 5;

    assert_null(sandlock_run(NULL, NULL, argv, 1));
    assert_int_equal(sandlock_run_interactive(NULL, NULL, argv, 1), -1);
    assert_null(sandlock_create(NULL, NULL, argv, 1));
    assert_null(sandlock_create_for_run(NULL, NULL, argv, 1));
    assert_null(sandlock_popen(NULL, NULL, argv, 1, 0, 1, 0, NULL, &fd, NULL));
    assert_int_equal(fd, -1);
    assert_int_equal(sandlock_start(NULL), -1);
    assert_int_equal(sandlock_handle_pid(NULL), 0);
    assert_int_equal(sandlock_handle_kill(NULL), -1);
    assert_int_equal(sandlock_handle_pause(NULL), -1);
    assert_int_equal(sandlock_handle_resume(NULL), -1);
    assert_null(sandlock_handle_wait(NULL));
    assert_null(sandlock_handle_wait_timeout(NULL, 1));
    assert_int_equal(sandlock_handle_poll_fd(NULL), -1);
    assert_null(sandlock_handle_posture(NULL));
    assert_null(sandlock_handle_denials(NULL));
    assert_int_equal(sandlock_confine(NULL), -1);
    assert_string_equal(sandlock_last_error(), "confine: the policy is NULL or not a policy");
}

/* An object of another kind, or one that was released, in memory that can be looked at. */
static void objects_of_another_kind_are_refused(void **state)
{
    static const enum api_tag kinds[] = {API_BUILDER, API_POLICY, API_HANDLE, API_RESULT,
                                         API_RELEASED};
    static _Alignas(16) char memory[8192];
    struct api_object *object = (struct api_object *)memory;
    const char *const argv[] = {"true"};
    const uint32_t one[] = {1};
    uintptr_t length = 7;

    (void)state;
    memset(memory, 1, sizeof(memory)); /* no pointer in it leads anywhere */
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        object->tag = kinds[i];
        if (kinds[i] != API_BUILDER) {
            sandlock_builder_t *b = (void *)memory;
            assert_null(sandlock_sandbox_builder_fs_read(b, "/"));
            assert_null(sandlock_sandbox_builder_cwd(b, "/"));
            assert_null(sandlock_sandbox_builder_gpu_devices(b, one, 1));
            assert_null(sandlock_sandbox_builder_cpu_cores(b, one, 1));
            assert_null(sandlock_sandbox_builder_extra_allow_syscalls(b, NULL));
            assert_null(sandlock_sandbox_builder_max_processes(b, 1));
            assert_null(sandlock_sandbox_builder_max_open_files(b, 1));
            assert_null(sandlock_sandbox_builder_user(b, 0, 0));
            assert_null(sandlock_sandbox_builder_clean_env(b, true));
            assert_null(sandlock_sandbox_builder_clean_env(b, false));
            assert_null(sandlock_sandbox_builder_env_var(b, NULL, NULL));
            assert_null(sandlock_sandbox_builder_disable(b, 0));
            assert_null(sandlock_sandbox_build(b, NULL, NULL));
        }
        if (kinds[i] != API_POLICY) {
            sandlock_sandbox_t *policy = (void *)memory;
            assert_null(sandlock_run(policy, NULL, argv, 1));
            assert_null(sandlock_create(policy, NULL, argv, 1));
            assert_int_equal(sandlock_confine(policy), -1);
        }
        if (kinds[i] != API_HANDLE) {
            sandlock_handle_t *handle = (void *)memory;
            assert_int_equal(sandlock_start(handle), -1);
            assert_int_equal(sandlock_handle_kill(handle), -1);
            assert_null(sandlock_handle_wait(handle));
        }
        if (kinds[i] != API_RESULT) {
            sandlock_result_t *result = (void *)memory;
            assert_int_equal(sandlock_result_exit_code(result), -1);
            assert_int_equal(sandlock_result_reason(result), SANDLOCK_EXIT_REASON_KILLED);
            assert_int_equal(sandlock_result_signal(result), -1);
            result->reason = SANDLOCK_EXIT_REASON_EXITED;
            result->code = 0;
            assert_false(sandlock_result_success(result));
            assert_null(sandlock_result_stdout(result));
            assert_null(sandlock_result_stderr_bytes(result, &length));
        }
    }
    /* Once more. */
    object->tag = API_RELEASED;
    sandlock_builder_free((void *)memory);
    sandlock_sandbox_free((void *)memory);
    sandlock_handle_free((void *)memory);
    sandlock_result_free((void *)memory);
    assert_int_equal(object->tag, API_RELEASED);
}

static void release_functions_accept_null(void **state)
{
    sandlock_builder_free(NULL);
    sandlock_sandbox_free(NULL);
    sandlock_handle_free(NULL);
    sandlock_result_free(NULL);
    sandlock_string_free(NULL);
}

static void commands_with_bad_pointers_and_counts_are_refused(void **state)
{
    sandlock_sandbox_t *policy = build_good(builder());
    const char *hole[] = {"/bin/true", NULL, "x"};
    int fds[3] = {1, 2, 3};

    assert_null(sandlock_run(policy, NULL, hole, 3));
    assert_string_equal(sandlock_last_error(), "argv[1] is NULL");
    assert_null(sandlock_run(policy, NULL, hole, 0));
    assert_string_equal(sandlock_last_error(), "empty command");
    assert_null(sandlock_run(policy, NULL, NULL, 1));
    assert_string_equal(sandlock_last_error(), "argv is NULL");
    assert_null(sandlock_run(policy, NULL, hole, (1 << 20) + 1));
    assert_non_null(strstr(sandlock_last_error(), "1048577"));
    assert_null(sandlock_popen(policy, NULL, hole, 1, 0, 3, 0, &fds[0], &fds[1], &fds[2]));
    assert_string_equal(sandlock_last_error(),
                        "popen: unknown mode 3 for stdout (0 inherit, 1 piped, 2 /dev/null)");
    for (int i = 0; i < 3; i++)
        assert_int_equal(fds[i], -1);
    sandlock_sandbox_free(policy);
}

/* ---- Setters and build ------------------------------------------------------------------------- */

static void setters_reach_the_policy(void **state)
{
    sandlock_builder_t *b = builder();
    const uint32_t cores[] = {0};
    const uint32_t gpus[] = {3, 1};

    b = sandlock_sandbox_builder_fs_read(b, "/usr");
    b = sandlock_sandbox_builder_fs_read(b, "/\xff");
    b = sandlock_sandbox_builder_fs_read_if_exists(b, "/opt");
    b = sandlock_sandbox_builder_fs_write(b, "/tmp");
    b = sandlock_sandbox_builder_cwd(b, "/");
    b = sandlock_sandbox_builder_cwd(b, "/tmp");
    b = sandlock_sandbox_builder_gpu_devices(b, gpus, 2);
    b = sandlock_sandbox_builder_cpu_cores(b, cores, 1);
    b = sandlock_sandbox_builder_max_processes(b, 5);
    b = sandlock_sandbox_builder_max_open_files(b, 9);
    b = sandlock_sandbox_builder_net_allow(b, "example.com:443");
    b = sandlock_sandbox_builder_net_deny(b, "tcp://10.0.0.0/8");
    b = sandlock_sandbox_builder_net_allow_bind(b, "80,8000-8010");
    b = sandlock_sandbox_builder_net_deny_bind(b, "81");
    b = sandlock_sandbox_builder_port_remap(b, true);
    b = sandlock_sandbox_builder_user(b, 12, 34);
    b = sandlock_sandbox_builder_clean_env(b, true);
    b = sandlock_sandbox_builder_env_var(b, "A", "1");
    b = sandlock_sandbox_builder_env_var(b, "B", "x=\xff");
    b = sandlock_sandbox_builder_env_var(b, "A", "2");
    b = sandlock_sandbox_builder_extra_deny_syscalls(b, " getpid ,, getppid,");
    b = sandlock_sandbox_builder_extra_allow_syscalls(b, "sysv_ipc");
    b = sandlock_sandbox_builder_no_randomize_memory(b, true);
    b = sandlock_sandbox_builder_no_huge_pages(b, true);
    b = sandlock_sandbox_builder_no_coredump(b, true);
    b = sandlock_sandbox_builder_without(b, "metadata-gate");
    b = sandlock_sandbox_builder_explain(b, true);

    sandlock_sandbox_t *built = build_good(b);
    const struct policy *policy = built->policy;
    assert_int_equal(policy->fs_read.count, 2);
    assert_string_equal(policy->fs_read.items[1], "/\xff");
    assert_string_equal(policy->fs_read_try.items[0], "/opt");
    assert_string_equal(policy->fs_write.items[0], "/tmp");
    assert_string_equal(policy->cwd, "/tmp");
    assert_int_equal(policy->gpu, GPU_LIST);
    assert_int_equal(policy->gpu_device_count, 2);
    assert_int_equal(policy->cpu_core_count, 1);
    assert_int_equal(policy->max_processes, 5);
    assert_int_equal(policy->max_open_files, 9);
    assert_int_equal(policy->net_allow.count, 2);
    assert_int_equal(policy->net_deny.count, 1);
    assert_int_equal(policy->bind_port_count, 2);
    assert_int_equal(policy->deny_bind_port_count, 1);
    assert_true(policy->port_remap);
    assert_true(policy->has_user && policy->uid == 12 && policy->gid == 34);
    assert_true(policy->clean_env);
    assert_int_equal(policy->env.count, 2);
    assert_string_equal(policy->env.items[0], "A=2");
    assert_string_equal(policy->env.items[1], "B=x=\xff");
    assert_int_equal(policy->extra_deny.count, 2);
    assert_string_equal(policy->extra_deny.items[0], "getpid");
    assert_true(policy->sysv_ipc_allowed);
    assert_true(policy->no_randomize_memory && policy->no_huge_pages && policy->no_coredump);
    assert_int_equal(policy->without, FEATURE_METADATA_GATE);
    assert_true(policy->explain);
    assert_false(policy->no_supervisor);
    sandlock_sandbox_free(built);
}

static void flags_can_be_taken_back(void **state)
{
    sandlock_builder_t *b = builder();

    b = sandlock_sandbox_builder_clean_env(b, true);
    b = sandlock_sandbox_builder_clean_env(b, false);
    b = sandlock_sandbox_builder_port_remap(b, true);
    b = sandlock_sandbox_builder_port_remap(b, false);
    b = sandlock_sandbox_builder_no_supervisor(b, true);
    b = sandlock_sandbox_builder_no_supervisor(b, false);
    sandlock_sandbox_t *policy = build_good(b);
    assert_false(policy->policy->clean_env);
    assert_false(policy->policy->no_supervisor);
    sandlock_sandbox_free(policy);
}

static void number_lists_replace_and_may_be_empty(void **state)
{
    sandlock_builder_t *b = builder();
    const uint32_t many[] = {1, 2, 3};
    const uint32_t zero[] = {0};

    b = sandlock_sandbox_builder_gpu_devices(b, many, 3);
    b = sandlock_sandbox_builder_gpu_devices(b, NULL, 0);
    b = sandlock_sandbox_builder_cpu_cores(b, many, 3);
    b = sandlock_sandbox_builder_cpu_cores(b, zero, 1);
    sandlock_sandbox_t *policy = build_good(b);
    assert_int_equal(policy->policy->gpu, GPU_ALL);
    assert_int_equal(policy->policy->cpu_core_count, 1);
    assert_int_equal(policy->policy->cpu_cores[0], 0);
    sandlock_sandbox_free(policy);

    b = sandlock_sandbox_builder_cpu_cores(builder(), zero, 1);
    policy = build_good(sandlock_sandbox_builder_cpu_cores(b, NULL, 0));
    assert_null(policy->policy->cpu_cores);
    sandlock_sandbox_free(policy);

    /* The count is not believable, so the array is not read. */
    BUILD_BAD(sandlock_sandbox_builder_cpu_cores(builder(), zero, 4000000000U), "cpu_cores",
              "4000000000");
}

static void the_last_word_on_a_protection_counts(void **state)
{
    sandlock_builder_t *b = builder();

    b = sandlock_sandbox_builder_disable(b, 1);
    b = sandlock_sandbox_builder_allow_degraded(b, 1);
    b = sandlock_sandbox_builder_allow_degraded(b, 2);
    b = sandlock_sandbox_builder_disable(b, 2);
    b = sandlock_sandbox_builder_disable(b, 0);
    b = sandlock_sandbox_builder_allow_degraded(b, 0);
    sandlock_sandbox_t *policy = build_good(b);
    assert_int_equal(policy->policy->protections[0], PROTECTION_DEGRADABLE);
    assert_int_equal(policy->policy->protections[1], PROTECTION_DEGRADABLE);
    assert_int_equal(policy->policy->protections[2], PROTECTION_DISABLED);
    assert_int_equal(policy->policy->protections[3], PROTECTION_STRICT);
    sandlock_sandbox_free(policy);
}

static void the_build_names_what_it_refuses(void **state)
{
    BUILD_BAD(sandlock_sandbox_builder_extra_deny_syscalls(builder(), "getpid,nonsense,bogus"),
              "extra_deny_syscalls", "nonsense", "bogus");
    BUILD_BAD(sandlock_sandbox_builder_extra_deny_syscalls(builder(), "\xff\xfe"),
              "extra_deny_syscalls");
    BUILD_BAD(sandlock_sandbox_builder_extra_allow_syscalls(builder(), "mount"), "mount",
              "sysv_ipc", "single syscalls cannot be re-allowed");
    BUILD_BAD(sandlock_sandbox_builder_extra_deny_syscalls(
                  sandlock_sandbox_builder_extra_allow_syscalls(builder(), "sysv_ipc"), "shmget"),
              "shmget", "sysv_ipc");
    BUILD_BAD(sandlock_sandbox_builder_disable(builder(), 0), "FsRefer", "allow_degraded");
    BUILD_BAD(sandlock_sandbox_builder_max_open_files(builder(), 0), "max_open_files", "inherit");
    BUILD_BAD(sandlock_sandbox_builder_max_processes(builder(), 0), "max_processes", "omit");
    BUILD_BAD(sandlock_sandbox_builder_net_allow(builder(), "x://y"), "net_allow", "x://y",
              "unknown scheme");
    BUILD_BAD(sandlock_sandbox_builder_net_deny(builder(), "host"), "net_deny", "hostnames");
    BUILD_BAD(sandlock_sandbox_builder_net_deny_bind(builder(), "*"), "net_deny_bind",
              "--net-allow-bind");
    BUILD_BAD(sandlock_sandbox_builder_port_remap(
                  sandlock_sandbox_builder_no_supervisor(builder(), true), true),
              "incompatible", "port_remap");
    BUILD_BAD(sandlock_sandbox_builder_net_allow_bind(builder(), "80-"), "net_allow_bind", "80-");
    BUILD_BAD(sandlock_sandbox_builder_net_allow_bind(builder(), "*,80"), "wildcard");
    BUILD_BAD(sandlock_sandbox_builder_net_allow_bind(
                  sandlock_sandbox_builder_net_allow_bind(builder(), "80"), "*"),
              "wildcard");
    BUILD_BAD(sandlock_sandbox_builder_fs_read(builder(), ""), "fs_read", "empty");
    BUILD_BAD(sandlock_sandbox_builder_user(builder(), UINT32_MAX, 0), "user");
    BUILD_BAD(sandlock_sandbox_builder_without(builder(), "gravity"), "without", "gravity");
    BUILD_BAD(sandlock_sandbox_builder_max_processes(
                  sandlock_sandbox_builder_no_supervisor(builder(), true), 3),
              "max_processes");
}

static void a_key_with_an_equals_sign_fails_and_its_rest_is_not_told(void **state)
{
    sandlock_builder_t *b = builder();

    b = sandlock_sandbox_builder_env_var(b, "TOKEN=hunter2", "x");
    b = sandlock_sandbox_builder_env_var(b, "TOKEN", "good"); /* repairs nothing */
    b = sandlock_sandbox_builder_env_var(b, "", "second");    /* the first reason stays */
    BUILD_BAD(b, "env_var", "'TOKEN'");
    assert_null(strstr(sandlock_last_error(), "hunter2"));
    BUILD_BAD(sandlock_sandbox_builder_env_var(builder(), "", "x"), "env_var", "empty");
    BUILD_BAD(sandlock_sandbox_builder_env_var(builder(), "=x", "x"), "env_var", "begins");
}

static void build_works_without_out_pointers(void **state)
{
    sandlock_sandbox_t *policy = sandlock_sandbox_build(builder(), NULL, NULL);

    assert_non_null(policy);
    sandlock_sandbox_free(policy);
    assert_null(
        sandlock_sandbox_build(sandlock_sandbox_builder_max_open_files(builder(), 0), NULL, NULL));
    assert_non_null(strstr(sandlock_last_error(), "max_open_files"));
}

static void any_of_our_objects_can_be_freed_as_a_policy(void **state)
{
    struct outcome outcome = {.reason = EXIT_EXITED};
    const char *const output[2] = {"a", "b"};
    const size_t length[2] = {1, 1};

    sandlock_sandbox_free((sandlock_sandbox_t *)(void *)builder());
    sandlock_result_t *result = api_result_new(&outcome, output, length);
    sandlock_sandbox_free((sandlock_sandbox_t *)(void *)result);

    struct api_object foreign = {.tag = 12345};
    sandlock_sandbox_free((sandlock_sandbox_t *)(void *)&foreign);
    assert_int_equal(foreign.tag, 12345);
}

static void a_policy_is_not_taken_for_a_builder(void **state)
{
    sandlock_sandbox_t *policy = build_good(builder());
    int err = 0;

    assert_null(sandlock_sandbox_builder_fs_read((sandlock_builder_t *)(void *)policy, "/"));
    assert_null(sandlock_sandbox_build((sandlock_builder_t *)(void *)policy, &err, NULL));
    assert_int_equal(err, -1);
    assert_int_equal(sandlock_handle_pid((sandlock_handle_t *)(void *)policy), 0);
    sandlock_sandbox_free(policy);
}

/* ---- Strings ----------------------------------------------------------------------------------- */

static void only_strings_of_ours_are_freed_and_only_once(void **state)
{
    char foreign[] = "on the stack";
    size_t before = api_string_count();
    char *text = api_string_copy("text");

    assert_int_equal(api_string_count(), before + 1);
    sandlock_string_free(foreign);
    sandlock_string_free(text + 1);
    sandlock_string_free((char *)(uintptr_t)16);
    assert_string_equal(text, "text");
    assert_int_equal(api_string_count(), before + 1);
    sandlock_string_free(text);
    sandlock_string_free(text);
    assert_int_equal(api_string_count(), before);
    assert_string_equal(foreign, "on the stack");
}

/* Many at once, released in another order: every one is found again, whatever moved in between. */
static void the_registry_keeps_every_string(void **state)
{
    enum { MANY = 5000 };
    static char *texts[MANY];
    size_t before = api_string_count();

    for (size_t i = 0; i < MANY; i++) {
        texts[i] = api_string_copy("x");
        assert_non_null(texts[i]);
    }
    assert_int_equal(api_string_count(), before + MANY);
    for (size_t i = 0; i < MANY; i++) {
        size_t scattered = (i * 2477) % MANY; /* coprime: each exactly once */
        sandlock_string_free(texts[scattered]);
        assert_int_equal(api_string_count(), before + MANY - i - 1);
    }
}

static void *churn_strings(void *unused)
{
    for (int i = 0; i < 2000; i++) {
        char *text = api_string_copy("y");
        sandlock_string_free(text);
        sandlock_string_free(text);
    }
    return unused;
}

static void strings_work_from_many_threads_and_in_forked_children(void **state)
{
    pthread_t threads[4];
    size_t before = api_string_count();

    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn_strings, NULL), 0);
    for (int i = 0; i < 50; i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(60); /* a lock held by a thread that the child does not have would hang */
            char *text = api_string_copy("z");
            sandlock_string_free(text);
            _exit(text != NULL ? 0 : 1);
        }
        int status = -1;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(api_string_count(), before);
}

/* ---- Last error -------------------------------------------------------------------------------- */

static void *last_error_of_a_new_thread(void *unused)
{
    static char text[8];

    snprintf(text, sizeof(text), "%s", sandlock_last_error());
    assert_int_equal(sandlock_last_errno(), 0);
    return text;
}

static void the_last_error_belongs_to_the_thread(void **state)
{
    pthread_t thread;
    void *seen = NULL;

    assert_int_equal(sandlock_start(NULL), -1);
    assert_string_equal(sandlock_last_error(), "the handle is NULL");
    assert_int_equal(pthread_create(&thread, NULL, last_error_of_a_new_thread, NULL), 0);
    pthread_join(thread, &seen);
    assert_string_equal(seen, "");
    assert_string_equal(sandlock_last_error(), "the handle is NULL");
    sandlock_sandbox_free(build_good(builder())); /* a success leaves it alone */
    assert_string_equal(sandlock_last_error(), "the handle is NULL");
}

/* ---- Results ----------------------------------------------------------------------------------- */

static sandlock_result_t *result_of(enum exit_reason reason, int code, int signal, const char *out,
                                    size_t length)
{
    struct outcome outcome = {.reason = reason, .code = code, .signal = signal};
    const char *const output[2] = {out, NULL};
    const size_t lengths[2] = {length, 0};
    sandlock_result_t *result = api_result_new(&outcome, output, lengths);

    assert_non_null(result);
    return result;
}

static void check_status(sandlock_result_t *result, sandlock_exit_reason reason, int code,
                         int signal, bool success)
{
    assert_int_equal(sandlock_result_reason(result), reason);
    assert_int_equal(sandlock_result_exit_code(result), code);
    assert_int_equal(sandlock_result_signal(result), signal);
    assert_int_equal(sandlock_result_success(result), success);
    sandlock_result_free(result);
}

static void results_give_only_what_belongs_to_their_reason(void **state)
{
    check_status(result_of(EXIT_EXITED, 0, 0, NULL, 0), SANDLOCK_EXIT_REASON_EXITED, 0, -1, true);
    check_status(result_of(EXIT_EXITED, 7, 0, NULL, 0), SANDLOCK_EXIT_REASON_EXITED, 7, -1, false);
    check_status(result_of(EXIT_SIGNALED, -1, 15, NULL, 0), SANDLOCK_EXIT_REASON_SIGNALED, -1, 15,
                 false);
    check_status(result_of(EXIT_KILLED, -1, 9, NULL, 0), SANDLOCK_EXIT_REASON_KILLED, -1, -1,
                 false);
    check_status(result_of(EXIT_TIMEOUT, 0, 9, NULL, 0), SANDLOCK_EXIT_REASON_TIMEOUT, -1, -1,
                 false);
    check_status(NULL, SANDLOCK_EXIT_REASON_KILLED, -1, -1, false);
}

static void captured_empty_and_absent_output_differ(void **state)
{
    sandlock_result_t *result = result_of(EXIT_EXITED, 0, 0, "", 0);
    uintptr_t length = 9;

    assert_non_null(sandlock_result_stdout_bytes(result, &length));
    assert_int_equal(length, 0);
    length = 9;
    assert_null(sandlock_result_stderr_bytes(result, &length));
    assert_int_equal(length, 0);
    assert_null(sandlock_result_stdout_bytes(result, NULL));
    length = 9;
    assert_null(sandlock_result_stdout_bytes(NULL, &length));

    char *text = sandlock_result_stdout(result);
    assert_string_equal(text, "");
    sandlock_string_free(text);
    assert_null(sandlock_result_stderr(result));
    assert_null(sandlock_result_stdout(NULL));
    sandlock_result_free(result);
}

static void output_with_a_nul_byte_is_bytes_only(void **state)
{
    sandlock_result_t *result = result_of(EXIT_EXITED, 0, 0, "a\0b", 3);
    uintptr_t length = 0;

    assert_null(sandlock_result_stdout(result));
    const uint8_t *bytes = sandlock_result_stdout_bytes(result, &length);
    assert_int_equal(length, 3);
    assert_memory_equal(bytes, "a\0b", 3);
    sandlock_result_free(result);
}

#define REPLACED "\xef\xbf\xbd"

static void invalid_utf8_is_replaced_by_maximal_parts(void **state)
{
    static const struct {
        const char *bytes;
        const char *text;
    } cases[] = {
        {"plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80",
         "plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"a\xff"
         "b",
         "a" REPLACED "b"},
        {"\xe2\x82", REPLACED}, /* cut off: one part */
        {"\xf0\x9f\x98", REPLACED},
        {"\xf0\x9f\x98"
         "A",
         REPLACED "A"},
        {"\xe2\x82\xe2\x82\xac", REPLACED "\xe2\x82\xac"},
        {"\xc0\xaf", REPLACED REPLACED},              /* overlong: byte by byte */
        {"\xed\xa0\x80", REPLACED REPLACED REPLACED}, /* a surrogate */
        {"\xf4\x90\x80\x80", REPLACED REPLACED REPLACED REPLACED},
        {"\x80"
         "x",
         REPLACED "x"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sandlock_result_t *result =
            result_of(EXIT_EXITED, 0, 0, cases[i].bytes, strlen(cases[i].bytes));
        char *text = sandlock_result_stdout(result);
        assert_string_equal(text, cases[i].text);
        sandlock_string_free(text);
        sandlock_result_free(result);
    }
}

/* ---- Questions --------------------------------------------------------------------------------- */

static void protections_tell_the_abi_they_need(void **state)
{
    static const uint32_t abis[] = {2, 3, 4, 5, 6, 6, 0};

    for (uint32_t i = 0; i < 7; i++)
        assert_int_equal(sandlock_protection_min_abi(i), abis[i]);
    assert_int_equal(sandlock_protection_min_abi(UINT32_MAX), 0);
    assert_int_equal(sandlock_min_landlock_abi(), 6);
    assert_true(sandlock_landlock_abi_version() == -1 || sandlock_landlock_abi_version() >= 1);
}

static void every_system_call_of_the_architecture_has_its_number(void **state)
{
    int known = 0;

    for (int number = 0; number <= arch_native->newest; number++) {
        const char *name = arch_syscall_name(arch_native, number);
        if (name == NULL)
            continue;
        known++;
        assert_int_equal(sandlock_syscall_nr(name), number);
    }
    assert_true(known > 250);
    assert_true(sandlock_syscall_nr("newfstatat") > 0);
    assert_int_equal(sandlock_syscall_nr(NULL), -1);
    assert_int_equal(sandlock_syscall_nr(""), -1);
    assert_int_equal(sandlock_syscall_nr("\xff"), -1);
    assert_int_equal(sandlock_syscall_nr("no_such_call"), -1);
}

static void features_are_those_of_the_build(void **state)
{
    assert_int_equal(sandlock_feature("max-processes"), 1);
    assert_int_equal(sandlock_feature("net-tcp"), 1);
    assert_int_equal(sandlock_feature("process-gate"), 1);
    assert_int_equal(sandlock_feature("teleport"), 0);
    assert_int_equal(sandlock_feature(""), 0);
    assert_int_equal(sandlock_feature(NULL), 0);
    assert_string_equal(sandlock_version(), SANDLOCK_VERSION);
}

static void the_profile_directory_is_below_home(void **state)
{
    char *text = (char *)"x";

    setenv("HOME", "/home/\xff/me", 1);
    char *path = sandlock_profile_dir(&text);
    assert_string_equal(path, "/home/\xff/me/.config/sandlock/profiles");
    assert_null(text);
    sandlock_string_free(path);
    sandlock_string_free(sandlock_profile_dir(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_setter_gives_null_for_a_null_builder),
        cmocka_unit_test(a_null_argument_leaves_the_builder_as_it_was),
        cmocka_unit_test(a_null_builder_fails_the_build_without_text),
        cmocka_unit_test(handle_and_run_functions_refuse_null),
        cmocka_unit_test(objects_of_another_kind_are_refused),
        cmocka_unit_test(release_functions_accept_null),
        cmocka_unit_test(commands_with_bad_pointers_and_counts_are_refused),
        cmocka_unit_test(setters_reach_the_policy),
        cmocka_unit_test(flags_can_be_taken_back),
        cmocka_unit_test(number_lists_replace_and_may_be_empty),
        cmocka_unit_test(the_last_word_on_a_protection_counts),
        cmocka_unit_test(the_build_names_what_it_refuses),
        cmocka_unit_test(a_key_with_an_equals_sign_fails_and_its_rest_is_not_told),
        cmocka_unit_test(build_works_without_out_pointers),
        cmocka_unit_test(any_of_our_objects_can_be_freed_as_a_policy),
        cmocka_unit_test(a_policy_is_not_taken_for_a_builder),
        cmocka_unit_test(only_strings_of_ours_are_freed_and_only_once),
        cmocka_unit_test(the_registry_keeps_every_string),
        cmocka_unit_test(strings_work_from_many_threads_and_in_forked_children),
        cmocka_unit_test(the_last_error_belongs_to_the_thread),
        cmocka_unit_test(results_give_only_what_belongs_to_their_reason),
        cmocka_unit_test(captured_empty_and_absent_output_differ),
        cmocka_unit_test(output_with_a_nul_byte_is_bytes_only),
        cmocka_unit_test(invalid_utf8_is_replaced_by_maximal_parts),
        cmocka_unit_test(protections_tell_the_abi_they_need),
        cmocka_unit_test(every_system_call_of_the_architecture_has_its_number),
        cmocka_unit_test(features_are_those_of_the_build),
        cmocka_unit_test(the_profile_directory_is_below_home),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
