/* Building policies: what is accepted, what it becomes, and the words of every refusal. */
#include "policy_test.h"

#include "kernel/arch.h"

#include <unistd.h>

static const struct origin setter = {.kind = ORIGIN_SETTER};

static struct policy *build_setter(enum option_id id, const char *text)
{
    struct record record;

    record_init(&record);
    assert_true(record_add(&record, id, text, &setter));
    return build_record(&record);
}

static void assert_setter_refused(enum option_id id, const char *text, const char *const *texts)
{
    struct record record;

    record_init(&record);
    assert_true(record_add(&record, id, text, &setter));
    assert_record_refused(&record, texts);
}

/* ---- Basics ---------------------------------------------------------------------------------- */

static void test_an_empty_record_is_the_default_policy(void **state)
{
    struct policy *policy = build_words(WORDS("ls"));

    assert_int_equal(policy->fs_read.count, 0);
    assert_false(policy->bind_any);
    assert_int_equal(policy->bind_port_count, 0);
    assert_int_equal(policy->max_processes, 0);
    assert_int_equal(policy->gpu, GPU_NONE);
    assert_null(policy->cpu_cores);
    assert_false(policy->has_user);
    assert_false(policy->explain);
    for (size_t i = 0; i < PROTECTION_COUNT; i++)
        assert_int_equal(policy->protections[i], PROTECTION_STRICT);
    for (size_t i = 0; i < OPTION_COUNT; i++)
        assert_false(policy->given[i]);
    policy_unref(policy);
}

static void test_references_are_counted(void **state)
{
    struct policy *policy = build_words(WORDS("-r/a"));

    assert_ptr_equal(policy_ref(policy), policy);
    policy_unref(policy);
    assert_string_equal(policy->fs_read.items[0], "/a");
    policy_unref(policy);
    policy_unref(NULL);
}

static void test_building_leaves_the_record_alone(void **state)
{
    struct record record;
    struct policy *policy;
    struct error err;

    parse_words(WORDS("-r/a", "-r/b", "--require=x,y"), &record);
    for (int i = 0; i < 2; i++) {
        assert_true(policy_build(&record, &policy, &err));
        assert_int_equal(policy->fs_read.count, 2);
        policy_unref(policy);
    }
    record_free(&record);
}

static void test_every_policy_option_is_noted_as_given(void **state)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option_spec *spec = &option_specs[i];
        char word[128];
        if (spec->name == NULL)
            continue;
        const char *value = sample_value(spec->id);
        snprintf(word, sizeof(word), "--%s%s%s", spec->name, value == NULL ? "" : "=",
                 value == NULL ? "" : value);
        struct policy *policy = build_words(WORDS(word));
        assert_int_equal(policy->given[i], spec->scope == SCOPE_POLICY);
        policy_unref(policy);
    }
}

static void test_flags_reach_the_policy(void **state)
{
    struct policy *policy =
        build_words(WORDS("--clean-env", "--no-coredump", "--no-huge-pages",
                          "--no-randomize-memory", "--no-supervisor", "--cwd=/d"));

    assert_true(policy->clean_env && policy->no_coredump && policy->no_huge_pages);
    assert_true(policy->no_randomize_memory && policy->no_supervisor);
    assert_false(policy->explain);
    assert_string_equal(policy->cwd, "/d");
    policy_unref(policy);
}

static void test_explain_is_implied_by_the_denial_log(void **state)
{
    struct policy *policy = build_words(WORDS("--log-denials=-"));

    assert_true(policy->explain);
    policy_unref(policy);
    policy = build_words(WORDS("--explain"));
    assert_true(policy->explain);
    policy_unref(policy);
}

static void test_a_rejected_setter_value_fails_the_build(void **state)
{
    struct record record;

    record_init(&record);
    record.setter_error = strdup("max_memory: '1X' is no size");
    assert_record_refused(&record, TEXTS("max_memory: '1X' is no size"));
}

static void test_empty_paths_are_refused(void **state)
{
    assert_build_refused(WORDS("--fs-read="), TEXTS("--fs-read", "empty"));
    assert_build_refused(WORDS("--fs-write-try="), TEXTS("--fs-write-try", "empty"));
    assert_build_refused(WORDS("--cwd="), TEXTS("--cwd", "empty"));
}

/* ---- Ports ----------------------------------------------------------------------------------- */

/* ---- Network --------------------------------------------------------------------------------- */

static void test_allow_and_deny_combine(void **state)
{
    struct policy *policy = build_words(WORDS(
        "--net-allow=10.0.0.1:80", "--net-allow=tcp://10.0.0.1:80", "--net-deny=tcp://10.0.0.0/8",
        "--net-allow-bind=*", "--net-deny-bind=0,22", "--port-remap"));

    assert_int_equal(policy->net_allow.count, 2); /* the repeated one is gone */
    assert_int_equal(policy->net_deny.count, 1);
    assert_true(policy->bind_any);
    assert_int_equal(policy->deny_bind_port_count, 2);
    assert_true(policy->port_remap);
    policy_unref(policy);
}

static void test_bad_rules_are_named_with_their_place(void **state)
{
    assert_build_refused(WORDS("--net-allow=*", "--net-allow=sctp://10.0.0.1"),
                         TEXTS("--net-allow: ", "'sctp://10.0.0.1'", "unknown scheme"));
    assert_build_refused(WORDS("--net-deny=example.com:80"),
                         TEXTS("--net-deny: ", "example.com:80", "hostnames are not allowed"));
    assert_build_refused(WORDS("--net-deny-bind=80", "--net-deny-bind=*"),
                         TEXTS("--net-deny-bind", "only supported for --net-allow-bind"));
    assert_build_refused(WORDS("--net-deny-bind=9-1"), TEXTS("--net-deny-bind", "reversed"));
    assert_setter_refused(OPTION_NET_ALLOW, "icmp://h:1",
                          TEXTS("net_allow", "icmp://h:1", "icmp rule takes no port"));
    assert_setter_refused(OPTION_NET_DENY, "", TEXTS("net_deny", "empty rule"));
    assert_setter_refused(OPTION_NET_DENY_BIND, "80,", TEXTS("net_deny_bind", "empty item"));

    struct record record;
    load_text("[network]\nallow = [\"*\"]\ndeny = [\n  \"*\",\n  \"10.0.0.0/33\"]\n", &record);
    assert_record_refused(&record, TEXTS("p.toml:5:3", "[network].deny", "invalid CIDR"));
}

static void test_bind_ports_are_merged(void **state)
{
    struct policy *policy =
        build_words(WORDS("--net-allow-bind=90,80", "--net-allow-bind=81-85,80"));

    assert_int_equal(policy->bind_port_count, 2);
    assert_int_equal(policy->bind_ports[0].low, 80);
    assert_int_equal(policy->bind_ports[0].high, 85);
    assert_int_equal(policy->bind_ports[1].low, 90);
    assert_false(policy->bind_any);
    policy_unref(policy);
    policy = build_words(WORDS("--net-allow-bind=*", "--net-allow-bind=*"));
    assert_true(policy->bind_any);
    policy_unref(policy);
}

static void test_bad_ports_name_the_option(void **state)
{
    assert_build_refused(WORDS("--net-allow-bind=80", "--net-allow-bind=9-1"),
                         TEXTS("--net-allow-bind", "9-1"));
    assert_build_refused(WORDS("--net-allow-bind=65536"), TEXTS("--net-allow-bind", "65536"));
    assert_build_refused(WORDS("--net-allow-bind=80", "--net-allow-bind=*"),
                         TEXTS("--net-allow-bind", "wildcard"));
    assert_setter_refused(OPTION_NET_ALLOW_BIND, "x", TEXTS("net_allow_bind", "x"));
}

/* ---- Limits, CPUs, GPUs ---------------------------------------------------------------------- */

static void test_zero_limits_say_what_omitting_means(void **state)
{
    assert_build_refused(WORDS("--max-open-files=0"),
                         TEXTS("--max-open-files: must be at least 1", "omit", "inherit"));
    assert_setter_refused(OPTION_MAX_OPEN_FILES, "0", TEXTS("max_open_files", "omit"));
    assert_build_refused(WORDS("-P0"), TEXTS("--max-processes", "omit", "no limit"));
    assert_build_refused(WORDS("-P", "many"), TEXTS("--max-processes", "many"));
    assert_build_refused(WORDS("-P4294967296"),
                         TEXTS("--max-processes", "4294967296", "1 to 4294967295"));
    struct policy *policy = build_words(WORDS("-P1", "--max-open-files=4294967295"));
    assert_int_equal(policy->max_processes, 1);
    assert_int_equal(policy->max_open_files, UINT32_MAX);
    policy_unref(policy);
}

static void test_cpu_cores_exist(void **state)
{
    struct policy *policy = build_words(WORDS("--cpu-cores=0", "--cpu-cores=0"));

    assert_int_equal(policy->cpu_core_count, 1);
    assert_int_equal(policy->cpu_cores[0], 0);
    policy_unref(policy);
    assert_build_refused(WORDS("--cpu-cores=0,99999"), TEXTS("--cpu-cores", "CPU 99999"));
    assert_build_refused(WORDS("--cpu-cores=a"), TEXTS("--cpu-cores", "a"));
}

static void test_gpus(void **state)
{
    struct policy *policy = build_words(WORDS("--gpu=ALL"));

    assert_int_equal(policy->gpu, GPU_ALL);
    policy_unref(policy);
    policy = build_words(WORDS("--gpu=2,0"));
    assert_int_equal(policy->gpu, GPU_LIST);
    assert_int_equal(policy->gpu_device_count, 2);
    policy_unref(policy);
    policy = build_text("[limits]\ngpu_devices = []\n");
    assert_int_equal(policy->gpu, GPU_ALL);
    assert_true(policy->given[OPTION_GPU]);
    policy_unref(policy);
    policy = build_text("[limits]\ngpu_devices = [1, 3]\ncpu_cores = []\n");
    assert_int_equal(policy->gpu, GPU_LIST);
    assert_int_equal(policy->gpu_device_count, 2);
    assert_null(policy->cpu_cores);
    assert_false(policy->given[OPTION_CPU_CORES]);
    policy_unref(policy);
    assert_build_refused(WORDS("--gpu=x"), TEXTS("--gpu", "x"));
}

/* ---- User and environment -------------------------------------------------------------------- */

static void test_users(void **state)
{
    struct policy *policy = build_words(WORDS("--user=12:34"));

    assert_true(policy->has_user);
    assert_int_equal(policy->uid, 12);
    assert_int_equal(policy->gid, 34);
    policy_unref(policy);
    policy = build_words(WORDS("--uid=12"));
    assert_true(policy->has_user);
    assert_int_equal(policy->uid, 12);
    assert_int_equal(policy->gid, 12);
    policy_unref(policy);
    assert_build_refused(WORDS("--user=12"), TEXTS("--user", "12"));
    assert_build_refused(WORDS("--uid=x"), TEXTS("--uid", "x"));
    assert_build_refused(WORDS("--user=4294967295:0"), TEXTS("--user", "4294967295"));
}

static void test_half_a_user_names_both_keys(void **state)
{
    assert_text_refused("[program]\nuid = 1\n",
                        TEXTS("p.toml:2:", "[program].uid", "[program].gid"));
    assert_text_refused("[program]\ngid = 1\n", TEXTS("[program].uid", "[program].gid"));
    struct policy *policy = build_text("[program]\ngid = 2\nuid = 1\n");
    assert_int_equal(policy->uid, 1);
    assert_int_equal(policy->gid, 2);
    policy_unref(policy);
}

static void test_the_last_value_of_a_variable_wins(void **state)
{
    struct policy *policy =
        build_words(WORDS("--env=A=1", "--env=B=2", "--env=A=x=y", "--env=AB=", "--env=C=\xff"));

    assert_int_equal(policy->env.count, 4);
    assert_string_equal(policy->env.items[0], "A=x=y");
    assert_string_equal(policy->env.items[1], "B=2");
    assert_string_equal(policy->env.items[2], "AB=");
    assert_string_equal(policy->env.items[3], "C=\xff");
    policy_unref(policy);
}

static void test_bad_variables_are_named(void **state)
{
    assert_build_refused(WORDS("--env=NOTHING"), TEXTS("--env", "KEY=VALUE", "NOTHING"));
    assert_build_refused(WORDS("--env==x"), TEXTS("--env", "=x"));
    assert_build_refused(WORDS("--env="), TEXTS("--env", "KEY=VALUE"));
}

/* ---- System calls ---------------------------------------------------------------------------- */

static bool denies(const struct policy *policy, const char *name)
{
    int number = arch_syscall_number(arch_native, name);

    for (size_t i = 0; i < policy->denied_count; i++) {
        if (policy->denied_numbers[i] == number)
            return true;
    }
    return false;
}

static void test_denied_calls_and_groups(void **state)
{
    struct policy *policy =
        build_words(WORDS("--extra-deny-syscall=sysv_ipc", "--extra-deny-syscall=getpid",
                          "--extra-deny-syscall=getpid", "--extra-deny-syscall=semop"));

    assert_int_equal(policy->extra_deny.count, 3);
    assert_true(denies(policy, "shmget"));
    assert_true(denies(policy, "semtimedop"));
    assert_true(denies(policy, "getpid"));
    assert_false(denies(policy, "getppid"));
    for (size_t i = 1; i < policy->denied_count; i++)
        assert_true(policy->denied_numbers[i - 1] < policy->denied_numbers[i]);
    assert_false(policy->sysv_ipc_allowed);
    policy_unref(policy);
    policy = build_words(WORDS("--extra-allow-syscall=sysv_ipc"));
    assert_true(policy->sysv_ipc_allowed);
    assert_int_equal(policy->denied_count, 0);
    policy_unref(policy);
}

static void test_calls_of_other_architectures_are_accepted(void **state)
{
    /* x86-64 alone has arch_prctl, riscv64 alone has riscv_flush_icache. */
    struct policy *policy = build_words(
        WORDS("--extra-deny-syscall=arch_prctl", "--extra-deny-syscall=riscv_flush_icache"));

    assert_int_equal(policy->extra_deny.count, 2);
    assert_true(policy->denied_count < 2);
    policy_unref(policy);
}

static void test_bad_denies_are_all_named(void **state)
{
    assert_build_refused(
        WORDS("--extra-deny-syscall=nosuchcall", "--extra-deny-syscall=getpid",
              "--extra-deny-syscall=alsonone"),
        TEXTS("--extra-deny-syscall", "unknown syscall or group", "nosuchcall", "alsonone"));
    assert_build_refused(WORDS("--extra-deny-syscall=ptrase"),
                         TEXTS("'ptrase'", "did you mean 'ptrace'"));
    assert_text_refused("[syscalls]\nextra_deny = [1]\n", TEXTS("[syscalls].extra_deny"));
}

static void test_bad_allows_explain_groups(void **state)
{
    assert_build_refused(WORDS("--extra-allow-syscall=ptrace", "--extra-allow-syscall=nogroup"),
                         TEXTS("--extra-allow-syscall", "unknown syscall group", "ptrace",
                               "nogroup", "sysv_ipc", "single syscalls cannot be re-allowed"));
}

static void test_contradictions_are_refused(void **state)
{
    assert_build_refused(WORDS("--extra-allow-syscall=sysv_ipc", "--extra-deny-syscall=sysv_ipc"),
                         TEXTS("sysv_ipc", "both allowed and denied"));
    assert_build_refused(WORDS("--extra-allow-syscall=sysv_ipc", "--extra-deny-syscall=shmget"),
                         TEXTS("shmget", "belongs to allowed group", "sysv_ipc"));
}

static void test_calls_of_the_launch_cannot_be_denied(void **state)
{
    for (size_t i = 0; policy_launch_syscalls[i] != NULL; i++) {
        char word[64];
        assert_true(arch_name_known_anywhere(policy_launch_syscalls[i]));
        snprintf(word, sizeof(word), "--extra-deny-syscall=%s", policy_launch_syscalls[i]);
        assert_build_refused(WORDS(word), TEXTS(policy_launch_syscalls[i], "launch"));
    }
}

/* ---- Protections and features ---------------------------------------------------------------- */

static void test_protections(void **state)
{
    struct policy *policy = build_words(
        WORDS("--disable=Net-TCP", "--allow-degraded=net-tcp", "--allow-degraded=fs-refer"));

    assert_int_equal(policy->protections[PROTECTION_NET_TCP], PROTECTION_DISABLED);
    assert_int_equal(policy->protections[PROTECTION_FS_REFER], PROTECTION_DEGRADABLE);
    assert_int_equal(policy->protections[PROTECTION_SIGNAL_SCOPE], PROTECTION_STRICT);
    policy_unref(policy);
    policy = build_text("[protections]\ndisabled = [\"net-tcp\"]\ndegraded = [\"net-tcp\"]\n");
    assert_int_equal(policy->protections[PROTECTION_NET_TCP], PROTECTION_DISABLED);
    policy_unref(policy);
}

static void test_bad_protections(void **state)
{
    assert_build_refused(WORDS("--disable=everything"),
                         TEXTS("--disable", "unknown protection 'everything'", "fs-refer",
                               "fs-truncate", "net-tcp", "fs-ioctl-dev", "signal-scope",
                               "abstract-unix-socket-scope"));
    assert_build_refused(WORDS("--disable=fs-refer"),
                         TEXTS("FsRefer", "the kernel denies", "allow_degraded"));
}

static void test_features(void **state)
{
    struct record base;
    struct record over;

    struct policy *policy = build_words(WORDS("--without=metadata-gate", "--without=process-gate"));
    assert_int_equal(policy->without, FEATURE_METADATA_GATE | FEATURE_PROCESS_GATE);
    policy_unref(policy);

    load_text("[features]\nwithout = [\"process-gate\"]\n", &base);
    parse_words(WORDS("--with=process-gate"), &over);
    assert_true(record_overlay(&base, &over));
    policy = build_record(&base);
    assert_int_equal(policy->without, 0);
    policy_unref(policy);

    load_text("[features]\nwith = [\"process-gate\"]\n", &base);
    parse_words(WORDS("--without=process-gate"), &over);
    assert_true(record_overlay(&base, &over));
    policy = build_record(&base);
    assert_int_equal(policy->without, FEATURE_PROCESS_GATE);
    policy_unref(policy);

    /* Of both in one place the safer one wins, whatever comes last. */
    policy = build_words(WORDS("--with=process-gate", "--without=process-gate"));
    assert_int_equal(policy->without, 0);
    policy_unref(policy);
    policy = build_text("[features]\nwith = [\"process-gate\"]\nwithout = [\"process-gate\"]\n");
    assert_int_equal(policy->without, 0);
    policy_unref(policy);

    assert_build_refused(
        WORDS("--without=gravity"),
        TEXTS("--without", "'gravity'", "metadata-gate", "process-gate", "supervisor-confinement"));
}

static void test_required_names_are_split(void **state)
{
    struct policy *policy = build_words(WORDS("--require=a, b", "--require=b,c"));

    assert_int_equal(policy->required.count, 3);
    assert_string_equal(policy->required.items[1], "b");
    policy_unref(policy);
    assert_build_refused(WORDS("--require=a,,b"), TEXTS("--require", "a,,b"));
}

/* ---- Modes ----------------------------------------------------------------------------------- */

static void test_no_supervisor_lists_every_offender(void **state)
{
    assert_build_refused(WORDS("--no-supervisor", "-P5", "--explain", "--log-denials=-"),
                         TEXTS("--no-supervisor is incompatible with: ", "--max-processes",
                               "--explain", "--log-denials"));
    struct policy *policy =
        build_words(WORDS("--no-supervisor", "-r/", "--net-allow-bind=80", "--user=1:1",
                          "--cpu-cores=0", "--gpu=all", "--max-open-files=9", "--timeout=5"));
    assert_true(policy->no_supervisor);
    policy_unref(policy);
}

static void test_no_supervisor_takes_what_the_kernel_can_judge(void **state)
{
    struct policy *policy = build_words(
        WORDS("--no-supervisor", "--net-allow=tcp://*:80,443", "--net-allow=tcp://:9000-9010"));

    assert_int_equal(policy->net_allow.count, 2);
    policy_unref(policy);
    policy = build_words(WORDS("--no-supervisor", "--net-allow=tcp://*"));
    policy_unref(policy);
    static const char *const refused[] = {"--net-allow=:80", "--net-allow=tcp://10.0.0.1:80",
                                          "--net-allow=tcp://localhost:80",
                                          "--net-allow=udp://*:80", "--net-allow=icmp://*"};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        assert_build_refused(WORDS("--no-supervisor", "--net-allow=tcp://*:1", refused[i]),
                             TEXTS("--no-supervisor is incompatible with: --net-allow;",
                                   "takes only tcp://*:PORTS", "not '",
                                   strchr(refused[i], '=') + 1));
    assert_build_refused(WORDS("--no-supervisor", "--net-allow=h", "--net-deny=10.0.0.1",
                               "--net-deny-bind=1", "--port-remap"),
                         TEXTS("--net-allow, --net-deny, --net-deny-bind, --port-remap"));
    assert_build_refused(WORDS("--no-supervisor", "--net-allow=:x"), TEXTS("invalid port"));
}

static void test_no_supervisor_names_keys_and_profile(void **state)
{
    struct record base;
    struct record over;
    struct error err = {0};

    load_text("[limits]\nprocesses = 5\n", &base);
    parse_words(WORDS("--no-supervisor", "--explain"), &over);
    assert_true(record_overlay(&base, &over));
    assert_false(policy_check_unsupervised(&base, "build", &err));
    assert_has_texts(err.text, TEXTS("--no-supervisor is incompatible with: ", "[limits].processes",
                                     "--explain", "'build'"));
    assert_record_refused(&base, TEXTS("[limits].processes", "'p.toml'"));
    record_free(&over);
}

static void test_confine_lists_every_other_field(void **state)
{
    struct error err = {0};
    struct policy *policy =
        build_words(WORDS("-r/", "-w/tmp", "--fs-read-try=/x", "--disable=net-tcp"));

    assert_true(policy_check_confine(policy, &err));
    policy_unref(policy);
    policy = build_words(WORDS("-r/", "--cwd=/", "--env=A=b", "-P5"));
    assert_false(policy_check_confine(policy, &err));
    assert_has_texts(err.text, TEXTS("cwd", "env_var", "max_processes"));
    assert_null(strstr(err.text, "fs_read"));
    policy_unref(policy);
    policy = build_words(WORDS("--net-allow=*", "--net-deny=:1", "--net-allow-bind=1",
                               "--net-deny-bind=1", "--port-remap"));
    assert_false(policy_check_confine(policy, &err));
    assert_has_texts(err.text, TEXTS("net_allow,", "net_deny,", "net_allow_bind", "net_deny_bind",
                                     "port_remap"));
    policy_unref(policy);
    policy = build_setter(OPTION_EXTRA_DENY, "ptrace");
    assert_false(policy_check_confine(policy, &err));
    assert_has_texts(err.text, TEXTS("extra_deny_syscalls"));
    policy_unref(policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_record_is_the_default_policy),
        cmocka_unit_test(test_references_are_counted),
        cmocka_unit_test(test_building_leaves_the_record_alone),
        cmocka_unit_test(test_every_policy_option_is_noted_as_given),
        cmocka_unit_test(test_flags_reach_the_policy),
        cmocka_unit_test(test_explain_is_implied_by_the_denial_log),
        cmocka_unit_test(test_a_rejected_setter_value_fails_the_build),
        cmocka_unit_test(test_empty_paths_are_refused),
        cmocka_unit_test(test_allow_and_deny_combine),
        cmocka_unit_test(test_bad_rules_are_named_with_their_place),
        cmocka_unit_test(test_bind_ports_are_merged),
        cmocka_unit_test(test_bad_ports_name_the_option),
        cmocka_unit_test(test_zero_limits_say_what_omitting_means),
        cmocka_unit_test(test_cpu_cores_exist),
        cmocka_unit_test(test_gpus),
        cmocka_unit_test(test_users),
        cmocka_unit_test(test_half_a_user_names_both_keys),
        cmocka_unit_test(test_the_last_value_of_a_variable_wins),
        cmocka_unit_test(test_bad_variables_are_named),
        cmocka_unit_test(test_denied_calls_and_groups),
        cmocka_unit_test(test_calls_of_other_architectures_are_accepted),
        cmocka_unit_test(test_bad_denies_are_all_named),
        cmocka_unit_test(test_bad_allows_explain_groups),
        cmocka_unit_test(test_contradictions_are_refused),
        cmocka_unit_test(test_calls_of_the_launch_cannot_be_denied),
        cmocka_unit_test(test_protections),
        cmocka_unit_test(test_bad_protections),
        cmocka_unit_test(test_features),
        cmocka_unit_test(test_required_names_are_split),
        cmocka_unit_test(test_no_supervisor_lists_every_offender),
        cmocka_unit_test(test_no_supervisor_takes_what_the_kernel_can_judge),
        cmocka_unit_test(test_no_supervisor_names_keys_and_profile),
        cmocka_unit_test(test_confine_lists_every_other_field),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
