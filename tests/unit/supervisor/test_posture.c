/* The posture record: entries, --require, JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "supervisor/posture.h"
#include "util/fd.h"

#include <string.h>

static void an_entry_is_replaced_by_the_next_of_its_name(void **state)
{
    struct posture posture = POSTURE_INIT;

    (void)state;
    posture_set(&posture, "fs-refer", POSTURE_ACTIVE, "landlock", NULL);
    posture_set(&posture, "fs-refer", POSTURE_DEGRADED, "landlock", "needs Landlock ABI 2");
    assert_int_equal(posture.count, 1);
    const struct posture_entry *entry = posture_find(&posture, "fs-refer");
    assert_non_null(entry);
    assert_int_equal(entry->state, POSTURE_DEGRADED);
    assert_null(entry->by); /* what is not active is enforced by nothing */
    assert_string_equal(entry->why, "needs Landlock ABI 2");
    assert_null(posture_find(&posture, "fs-refe"));
    posture_free(&posture);
    assert_int_equal(posture.count, 0);
}

static void required_entries_must_be_known_and_active(void **state)
{
    static const struct {
        const char *required;
        const char *error; /* NULL: accepted */
        enum error_kind kind;
    } cases[] = {
        {"deny-list", NULL, ERROR_NONE},
        {"typo",
         "--require: no posture entry is called \"typo\" (known: deny-list, net-tcp, guardian, "
         "unix-gate, process-gate)",
         ERROR_CONFIG},
        {"deny-lits",
         "--require: no posture entry is called \"deny-lits\"; did you mean \"deny-list\"? (known: "
         "deny-list, net-tcp, guardian, unix-gate, process-gate)",
         ERROR_CONFIG},
        {"net-tcp", "required protection \"net-tcp\" is degraded: needs Landlock ABI 4",
         ERROR_RUNTIME},
        {"guardian", "required protection \"guardian\" is off", ERROR_RUNTIME},
        {"unix-gate", "required protection \"unix-gate\" is absent", ERROR_RUNTIME},
        {"process-gate", "required protection \"process-gate\" is disabled: --without",
         ERROR_RUNTIME},
    };
    struct posture posture = POSTURE_INIT;

    (void)state;
    posture_set(&posture, "deny-list", POSTURE_ACTIVE, "filter", NULL);
    posture_set(&posture, "net-tcp", POSTURE_DEGRADED, NULL, "needs Landlock ABI 4");
    posture_set(&posture, "guardian", POSTURE_OFF, NULL, NULL);
    posture_set(&posture, "unix-gate", POSTURE_ABSENT, NULL, NULL);
    posture_set(&posture, "process-gate", POSTURE_DISABLED, NULL, "--without");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CLEANUP_STRV struct strv required = STRV_INIT;
        struct error err = {0};
        assert_true(strv_add(&required, "deny-list"));
        assert_true(strv_add(&required, cases[i].required));
        bool accepted = posture_check_required(&posture, &required, &err);
        assert_int_equal(accepted, cases[i].error == NULL);
        if (cases[i].error == NULL)
            continue;
        assert_string_equal(err.text, cases[i].error);
        assert_int_equal(err.kind, cases[i].kind);
    }
    posture_free(&posture);
}

static void the_json_is_one_line_with_every_part(void **state)
{
    struct posture posture = POSTURE_INIT;
    CLEANUP_BUFFER struct buffer out = BUFFER_INIT;

    (void)state;
    posture_set(&posture, "deny-list", POSTURE_ACTIVE, "filter", NULL);
    posture_set(&posture, "cow", POSTURE_ABSENT, NULL, "not in this \"build\"\n");
    posture_method(&posture, "listener", "fork");
    posture_method(&posture, "listener", "shared-table");
    posture_exception(&posture, "write grant on %s", "/");
    posture_exception(&posture, "write grant on %s", "/"); /* said once */
    assert_true(posture_to_json(&posture, "box", "supervised", &out));

    const char *json = buffer_text(&out);
    assert_int_equal(strncmp(json, "{\"v\":1,\"sandbox\":\"box\",\"kernel\":\"", 33), 0);
    assert_non_null(strstr(json, "\"landlock\":{\"abi\":"));
    assert_non_null(strstr(json, "\"mode\":\"supervised\""));
    assert_non_null(
        strstr(json, "\"entries\":["
                     "{\"name\":\"deny-list\",\"state\":\"active\",\"by\":\"filter\",\"why\":null},"
                     "{\"name\":\"cow\",\"state\":\"absent\",\"by\":null,"
                     "\"why\":\"not in this \\\"build\\\"\\n\"}]"));
    assert_non_null(strstr(json, "\"methods\":{\"listener\":\"shared-table\"}"));
    assert_non_null(strstr(json, "\"exceptions\":[\"write grant on /\"]}"));
    assert_null(strchr(json, '\n'));
    posture_free(&posture);
}

static void a_lost_entry_makes_the_record_fail(void **state)
{
    struct posture posture = POSTURE_INIT;
    CLEANUP_BUFFER struct buffer out = BUFFER_INIT;

    (void)state;
    posture.failed = true; /* as after an allocation failure */
    assert_false(posture_to_json(&posture, "box", "supervised", &out));
    posture_free(&posture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_is_replaced_by_the_next_of_its_name),
        cmocka_unit_test(required_entries_must_be_known_and_active),
        cmocka_unit_test(the_json_is_one_line_with_every_part),
        cmocka_unit_test(a_lost_entry_makes_the_record_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
