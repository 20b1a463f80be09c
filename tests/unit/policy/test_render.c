/* Writing policies: the exact form, and that what is written loads back to the same policy. */
#include "policy_test.h"

#include "policy/render.h"

static char *toml_of(const struct policy *policy)
{
    struct buffer out = BUFFER_INIT;

    assert_true(policy_to_toml(policy, &out));
    return buffer_take(&out);
}

static char *json_of(const struct policy *policy)
{
    struct buffer out = BUFFER_INIT;

    assert_true(policy_to_json(policy, &out));
    return buffer_take(&out);
}

static void assert_toml(const char *const *words, const char *expected)
{
    struct policy *policy = build_words(words);
    char *text = toml_of(policy);

    assert_string_equal(text, expected);
    free(text);
    policy_unref(policy);
}

static void assert_json(const char *const *words, const char *expected)
{
    struct policy *policy = build_words(words);
    char *text = json_of(policy);

    assert_string_equal(text, expected);
    free(text);
    policy_unref(policy);
}

/* TOML and JSON of the policy that its own TOML gives are the same again. */
static void assert_survives(struct policy *policy)
{
    char *first = toml_of(policy);
    char *first_json = json_of(policy);
    struct policy *again = build_text(first);
    char *second = toml_of(again);
    char *second_json = json_of(again);

    assert_string_equal(first, second);
    assert_string_equal(first_json, second_json);
    assert_int_equal(policy->without, again->without);
    assert_memory_equal(policy->protections, again->protections, sizeof(policy->protections));
    free(first);
    free(first_json);
    free(second);
    free(second_json);
    policy_unref(again);
    policy_unref(policy);
}

static void test_the_default_policy_is_empty(void **state)
{
    assert_toml(WORDS("ls"), "");
    assert_json(WORDS("ls"), "{}");
}

static void test_form_of_toml(void **state)
{
    assert_toml(WORDS("-w/b", "-r/a", "-r/c", "-P5", "--gpu=all", "--cwd=/d", "--env=B=2",
                      "--env=A b=1", "--no-randomize-memory", "--net-allow-bind=80,90-95",
                      "--user=1:2", "--allow-degraded=net-tcp", "--without=process-gate",
                      "--extra-deny-syscall=ptrace", "--clean-env"),
                "[determinism]\n"
                "no_randomize_memory = true\n"
                "\n"
                "[program]\n"
                "cwd = \"/d\"\n"
                "uid = 1\n"
                "gid = 2\n"
                "clean_env = true\n"
                "\n"
                "[program.env]\n"
                "B = \"2\"\n"
                "\"A b\" = \"1\"\n"
                "\n"
                "[filesystem]\n"
                "read = [\n"
                "    \"/a\",\n"
                "    \"/c\",\n"
                "]\n"
                "write = [\"/b\"]\n"
                "\n"
                "[network]\n"
                "allow_bind = [\n"
                "    80,\n"
                "    \"90-95\",\n"
                "]\n"
                "\n"
                "[syscalls]\n"
                "extra_deny = [\"ptrace\"]\n"
                "\n"
                "[limits]\n"
                "processes = 5\n"
                "gpu_devices = []\n"
                "\n"
                "[protections]\n"
                "degraded = [\"net-tcp\"]\n"
                "\n"
                "[features]\n"
                "without = [\"process-gate\"]\n");
}

static void test_form_of_json(void **state)
{
    assert_json(WORDS("-w/b", "-r/a", "--gpu=1", "--env=B=2", "--env=A=1", "--clean-env",
                      "--net-allow-bind=80,90-95", "-P5"),
                "{\n"
                "  \"filesystem\": {\n"
                "    \"read\": [\n"
                "      \"/a\"\n"
                "    ],\n"
                "    \"write\": [\n"
                "      \"/b\"\n"
                "    ]\n"
                "  },\n"
                "  \"limits\": {\n"
                "    \"gpu_devices\": [\n"
                "      1\n"
                "    ],\n"
                "    \"processes\": 5\n"
                "  },\n"
                "  \"network\": {\n"
                "    \"allow_bind\": [\n"
                "      80,\n"
                "      \"90-95\"\n"
                "    ]\n"
                "  },\n"
                "  \"program\": {\n"
                "    \"clean_env\": true,\n"
                "    \"env\": {\n"
                "      \"A\": \"1\",\n"
                "      \"B\": \"2\"\n"
                "    }\n"
                "  }\n"
                "}");
}

static void test_network_rules_are_written_in_their_own_lists(void **state)
{
    static const char *const words[] = {
        "--net-allow=h:80",
        "--net-allow=tcp://h:80",
        "--net-deny=tcp://10.9.9.9/8:5-6,1",
        "--net-allow-bind=0,5",
        "--net-deny-bind=7,8-9",
        "--port-remap",
        NULL,
    };

    assert_toml(words, "[network]\n"
                       "allow = [\n"
                       "    \"tcp://h:80\",\n"
                       "    \"udp://h:80\",\n"
                       "]\n"
                       "deny = [\"tcp://10.0.0.0/8:1,5-6\"]\n"
                       "allow_bind = [\n"
                       "    0,\n"
                       "    5,\n"
                       "]\n"
                       "deny_bind = [\"7-9\"]\n"
                       "port_remap = true\n");
    assert_survives(build_words(words));
}

static void test_paths_are_protected_from_expansion(void **state)
{
    struct policy *policy = build_words(WORDS("-r/a$b", "-r${HOME}", "-r~x", "--cwd=$$"));
    char *text = toml_of(policy);

    assert_has_texts(text, TEXTS("\"/a$$b\"", "\"$${HOME}\"", "\"./~x\"", "cwd = \"$$$$\""));
    struct policy *again = build_text(text);
    assert_string_equal(again->fs_read.items[0], "/a$b");
    assert_string_equal(again->fs_read.items[1], "${HOME}");
    assert_string_equal(again->fs_read.items[2], "./~x");
    assert_string_equal(again->cwd, "$$");
    policy_unref(again);
    free(text);
    policy_unref(policy);
}

static void test_strange_text_survives(void **state)
{
    assert_survives(build_words(
        WORDS("-r/a\"b\\c\nd\te\x01\x7f", "--env=K\"=v\n\r\\", "--env=\xc3\xa4=\xe2\x82\xac")));
}

static void test_what_is_no_utf8_becomes_a_comment(void **state)
{
    struct policy *policy = build_words(WORDS("-r/ok", "-r/\xff\n", "--cwd=/\xfe", "--env=A=\xff"));
    char *text = toml_of(policy);

    assert_has_texts(
        text, TEXTS("# read: omitted", "'/\\xff\\n'", "read = [\"/ok\"]", "# cwd:", "# env:"));
    struct policy *again = build_text(text);
    assert_int_equal(again->fs_read.count, 1);
    assert_null(again->cwd);
    policy_unref(again);
    free(text);
    policy_unref(policy);
}

static void test_every_policy_option_with_a_key_is_written_and_survives(void **state)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option_spec *spec = &option_specs[i];
        char word[128];
        if (spec->name == NULL || spec->section == NULL || spec->scope != SCOPE_POLICY)
            continue;
        const char *value = sample_value(spec->id);
        snprintf(word, sizeof(word), "--%s%s%s", spec->name, value == NULL ? "" : "=",
                 value == NULL ? "" : value);
        struct policy *policy = build_words(WORDS(word));
        char *text = toml_of(policy);
        char *json = json_of(policy);
        char section[64];
        snprintf(section, sizeof(section), "[%s", spec->section);
        assert_has_texts(text, TEXTS(section, spec->key));
        snprintf(section, sizeof(section), "\"%s\"", spec->key);
        assert_has_texts(json, TEXTS(section));
        free(text);
        free(json);
        assert_survives(policy);
    }
}

static void test_all_options_together_survive(void **state)
{
    assert_survives(build_words(
        WORDS("-r/a", "-w/b", "--fs-read-try=/c", "--fs-write-try=/d", "--net-allow-bind=1,5-9",
              "-P3", "--max-open-files=9", "--gpu=1,3", "--cpu-cores=0", "--env=A=1", "--clean-env",
              "--cwd=/x", "--user=5:6", "--no-coredump", "--no-huge-pages", "--no-randomize-memory",
              "--extra-deny-syscall=ptrace", "--extra-allow-syscall=sysv_ipc",
              "--allow-degraded=fs-refer", "--disable=net-tcp", "--without=metadata-gate",
              "--with=process-gate")));
    assert_survives(build_words(WORDS("--net-allow-bind=*", "--no-supervisor")));
}

static void test_a_record_with_its_command_is_a_whole_profile(void **state)
{
    struct buffer out = BUFFER_INIT;
    struct record record;

    load_text("[limits]\ntimeout = 5\nkill_after = \"2s\"\n"
              "[program]\nargs = [\"-l\", \"$x\"]\nexec = \"/bin/ls\"\n",
              &record);
    assert_true(record_to_toml(&record, &out));
    assert_string_equal(buffer_text(&out), "[program]\n"
                                           "exec = \"/bin/ls\"\n"
                                           "args = [\n"
                                           "    \"-l\",\n"
                                           "    \"$x\",\n"
                                           "]\n"
                                           "\n"
                                           "[limits]\n"
                                           "timeout = 5\n"
                                           "kill_after = \"2s\"\n");
    buffer_free(&out);
    record_free(&record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_default_policy_is_empty),
        cmocka_unit_test(test_form_of_toml),
        cmocka_unit_test(test_form_of_json),
        cmocka_unit_test(test_network_rules_are_written_in_their_own_lists),
        cmocka_unit_test(test_paths_are_protected_from_expansion),
        cmocka_unit_test(test_strange_text_survives),
        cmocka_unit_test(test_what_is_no_utf8_becomes_a_comment),
        cmocka_unit_test(test_every_policy_option_with_a_key_is_written_and_survives),
        cmocka_unit_test(test_all_options_together_survive),
        cmocka_unit_test(test_a_record_with_its_command_is_a_whole_profile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
