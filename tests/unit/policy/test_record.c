/* The unvalidated record: adding, replacing, overlaying, naming. */
#include "policy_test.h"

static const struct origin option_origin = {.kind = ORIGIN_OPTION};
static const struct origin setter_origin = {.kind = ORIGIN_SETTER};
static const struct origin profile_origin = {
    .kind = ORIGIN_PROFILE, .file = "p.toml", .line = 3, .column = 9};

static void add(struct record *record, enum option_id id, const char *text)
{
    assert_true(record_add(record, id, text, &option_origin));
}

static void add_profile(struct record *record, enum option_id id, const char *text)
{
    assert_true(record_add(record, id, text, &profile_origin));
}

static void test_values_are_copies_in_order(void **state)
{
    struct record record;
    char text[] = "/a";

    record_init(&record);
    assert_null(record_text(&record, OPTION_FS_READ));
    assert_false(record_given(&record, OPTION_FS_READ));
    add(&record, OPTION_FS_READ, text);
    text[1] = 'x';
    add(&record, OPTION_FS_READ, "/b");
    assert_string_equal(record.lists[OPTION_FS_READ].values[0].text, "/a");
    assert_string_equal(record_text(&record, OPTION_FS_READ), "/b");
    assert_true(record_given(&record, OPTION_FS_READ));
    record_free(&record);
}

static void test_set_replaces_and_survives_itself(void **state)
{
    struct record record;

    record_init(&record);
    add(&record, OPTION_CWD, "/a");
    add(&record, OPTION_CWD, "/b");
    assert_true(record_set(&record, OPTION_CWD, record_text(&record, OPTION_CWD), &setter_origin));
    assert_int_equal(record.lists[OPTION_CWD].count, 1);
    assert_string_equal(record_text(&record, OPTION_CWD), "/b");
    record_free(&record);
}

static void test_an_empty_list_is_given(void **state)
{
    struct record record;

    record_init(&record);
    add(&record, OPTION_GPU, "1");
    record_set_empty(&record, OPTION_GPU);
    assert_true(record_given(&record, OPTION_GPU));
    assert_int_equal(record.lists[OPTION_GPU].count, 0);
    record_clear(&record, OPTION_GPU);
    assert_false(record_given(&record, OPTION_GPU));
    record_free(&record);
}

static void test_removing_values(void **state)
{
    struct record record;

    record_init(&record);
    add(&record, OPTION_DISABLE, "net-tcp");
    add(&record, OPTION_DISABLE, "fs-truncate");
    add(&record, OPTION_DISABLE, "net-tcp");
    record_remove(&record, OPTION_DISABLE, "net-tcp");
    assert_int_equal(record.lists[OPTION_DISABLE].count, 1);
    record_remove(&record, OPTION_DISABLE, "fs-truncate");
    assert_false(record_given(&record, OPTION_DISABLE));
    record_free(&record);
}

static void test_overlay_follows_each_rule(void **state)
{
    struct record base;
    struct record over;

    record_init(&base);
    record_init(&over);
    add_profile(&base, OPTION_FS_READ, "/profile");
    add_profile(&base, OPTION_CWD, "/profile");
    add_profile(&base, OPTION_CPU_CORES, "0");
    add_profile(&base, OPTION_NO_COREDUMP, "true");
    add_profile(&base, OPTION_FS_WRITE, "/kept");
    add(&over, OPTION_FS_READ, "/option");
    add(&over, OPTION_CWD, "/option");
    add(&over, OPTION_CPU_CORES, "1");
    add(&over, OPTION_CLEAN_ENV, "true");
    add(&over, OPTION_NAME, "n");
    assert_true(record_overlay(&base, &over));

    assert_int_equal(base.lists[OPTION_FS_READ].count, 2);
    assert_string_equal(base.lists[OPTION_FS_READ].values[0].text, "/profile");
    assert_string_equal(base.lists[OPTION_FS_READ].values[1].text, "/option");
    assert_int_equal(base.lists[OPTION_CWD].count, 1);
    assert_string_equal(record_text(&base, OPTION_CWD), "/option");
    assert_int_equal(base.lists[OPTION_CPU_CORES].count, 1);
    assert_true(record_given(&base, OPTION_NO_COREDUMP));
    assert_true(record_given(&base, OPTION_CLEAN_ENV));
    assert_string_equal(record_text(&base, OPTION_FS_WRITE), "/kept");
    assert_string_equal(record_text(&base, OPTION_NAME), "n");
    for (size_t i = 0; i < OPTION_COUNT; i++)
        assert_false(over.lists[i].given);
    record_free(&base);
    record_free(&over);
}

static void test_a_user_replaces_the_whole_pair(void **state)
{
    struct record base;
    struct record over;

    record_init(&base);
    record_init(&over);
    add_profile(&base, OPTION_UID, "1");
    add_profile(&base, OPTION_GID, "2");
    add(&over, OPTION_UID, "7");
    assert_true(record_overlay(&base, &over));
    struct policy *policy = build_record(&base);
    assert_int_equal(policy->uid, 7);
    assert_int_equal(policy->gid, 7);
    policy_unref(policy);
    record_free(&over);
}

static void assert_origin_name(enum option_id id, const struct origin *origin, const char *expected)
{
    char text[128];

    record_origin_name(id, origin, text, sizeof(text));
    assert_string_equal(text, expected);
}

static void test_values_are_named_by_their_origin(void **state)
{
    assert_origin_name(OPTION_MAX_OPEN_FILES, &option_origin, "--max-open-files");
    assert_origin_name(OPTION_MAX_OPEN_FILES, &setter_origin, "max_open_files");
    assert_origin_name(OPTION_MAX_OPEN_FILES, &profile_origin, "p.toml:3:9: [limits].open_files");
    assert_origin_name(OPTION_EXTRA_DENY, &setter_origin, "extra_deny_syscalls");
    assert_origin_name(OPTION_GID, &setter_origin, "gid");
    assert_origin_name(OPTION_CWD, &(struct origin){.kind = ORIGIN_PROFILE, .line = 2, .column = 1},
                       "2:1: [program].cwd");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_are_copies_in_order),
        cmocka_unit_test(test_set_replaces_and_survives_itself),
        cmocka_unit_test(test_an_empty_list_is_given),
        cmocka_unit_test(test_removing_values),
        cmocka_unit_test(test_overlay_follows_each_rule),
        cmocka_unit_test(test_a_user_replaces_the_whole_pair),
        cmocka_unit_test(test_values_are_named_by_their_origin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
