/* Denial records: merging, the bound, cutting, hostile text, the three outputs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "supervisor/denial.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int setup(void **state)
{
    *state = denial_log_new();
    return *state == NULL;
}

static int teardown(void **state)
{
    denial_log_free(*state);
    return 0;
}

static struct denial denial_of(const char *call, const char *object)
{
    return (struct denial){.pid = 42,
                           .comm = "cat",
                           .call = call,
                           .object = (char *)object,
                           .want = "read",
                           .error = EACCES,
                           .layer = "metadata-gate"};
}

static void add(struct denial_log *log, const char *call, const char *object)
{
    struct denial denial = denial_of(call, object);

    denial_log_add(log, &denial);
}

static char *summary_of(struct denial_log *log)
{
    struct buffer out = BUFFER_INIT;

    denial_log_summary(log, &out);
    return buffer_take(&out);
}

static char *json_of(struct denial_log *log)
{
    struct buffer out = BUFFER_INIT;

    denial_log_json(log, &out);
    return buffer_take(&out);
}

static size_t count_text(const char *text, const char *part)
{
    size_t count = 0;

    for (text = strstr(text, part); text != NULL; text = strstr(text + 1, part))
        count++;
    return count;
}

static void equal_denials_merge_and_the_most_frequent_comes_first(void **state)
{
    struct denial_log *log = *state;

    add(log, "chmod", "/etc/rare");
    for (int i = 0; i < 3; i++)
        add(log, "chmod", "/etc/frequent");
    struct denial named = denial_of("chown", "/srv/x");
    named.rule = "no write grant";
    named.suggest = (char *)"--fs-write /srv";
    named.error = EPERM;
    for (int i = 0; i < 2; i++)
        denial_log_add(log, &named);

    assert_int_equal(denial_log_total(log), 6);
    assert_int_equal(denial_log_dropped(log), 0);
    CLEANUP_FREE char *summary = summary_of(log);
    assert_string_equal(
        summary,
        "sandlock: 6 denials\n"
        "  3x chmod /etc/frequent: EACCES (metadata-gate: no rule)\n"
        "  2x chown /srv/x: EPERM (metadata-gate: no write grant); allow with: --fs-write /srv\n"
        "  1x chmod /etc/rare: EACCES (metadata-gate: no rule)\n");
}

static void denials_that_differ_in_any_part_of_the_key_are_separate(void **state)
{
    struct denial_log *log = *state;
    struct denial denial = denial_of("chmod", "/x");

    denial_log_add(log, &denial);
    denial.error = EPERM;
    denial_log_add(log, &denial);
    denial.want = "write";
    denial_log_add(log, &denial);
    denial.layer = "filter";
    denial_log_add(log, &denial);
    denial.object = NULL;
    denial_log_add(log, &denial);
    denial.call = "chown";
    denial_log_add(log, &denial);
    denial.pid = 43; /* not part of the key */
    denial_log_add(log, &denial);

    CLEANUP_FREE char *json = json_of(log);
    assert_int_equal(count_text(json, "\"seq\""), 6);
    assert_int_equal(denial_log_total(log), 7);
}

static void merging_tells_what_is_new(void **state)
{
    struct denial_log *log = *state;
    struct denial denial = denial_of("chmod", "/x");

    assert_false(denial_log_merge(log, &denial));
    assert_int_equal(denial_log_total(log), 0);
    denial_log_add(log, &denial);
    assert_true(denial_log_merge(log, &denial));
    assert_int_equal(denial_log_total(log), 2);
    assert_true(denial_log_merge(NULL, &denial));
    denial_log_add(NULL, &denial);
}

static void a_key_finds_the_record_it_was_set_for_and_no_other(void **state)
{
    struct denial_log *log = *state;
    struct denial denial = denial_of("setpriority", "process 12");
    struct denial_key key = {.call = denial.call,
                             .kind = "process",
                             .want = denial.want,
                             .layer = denial.layer,
                             .number = 12,
                             .error = denial.error};

    assert_false(denial_log_merge_key(log, &key));
    denial_log_set_key(log, &denial, &key); /* no such record yet */
    assert_false(denial_log_merge_key(log, &key));
    denial_log_add(log, &denial);
    denial_log_set_key(log, &denial, &key);
    assert_true(denial_log_merge_key(log, &key));
    assert_true(denial_log_merge_key(log, &key));
    assert_int_equal(denial_log_total(log), 3);
    CLEANUP_FREE char *json = json_of(log);
    assert_int_equal(count_text(json, "\"count\":3"), 1);

    for (int64_t other = 0; other < 4096; other++) {
        key.number = other;
        assert_int_equal(denial_log_merge_key(log, &key), other == 12);
    }
    key.number = 12;
    key.error = 1000;
    assert_false(denial_log_merge_key(log, &key));
    assert_true(denial_log_merge_key(NULL, &key));
    assert_int_equal(denial_log_total(log), 4);
}

static void a_million_denials_are_counted_in_bounded_memory(void **state)
{
    struct denial_log *log = *state;
    char object[32];

    for (int i = 0; i < 1000000; i++) {
        snprintf(object, sizeof(object), "/x/%d", i);
        add(log, "chmod", object);
    }
    add(log, "chmod", "/x/7"); /* still merged when the ring is full */
    assert_int_equal(denial_log_total(log), 1000001);
    assert_int_equal(denial_log_dropped(log), 1000000 - DENIAL_RING_MAX);
    CLEANUP_FREE char *json = json_of(log);
    assert_int_equal(count_text(json, "\"seq\""), DENIAL_RING_MAX);
    assert_int_equal(count_text(json, "\"count\":2"), 1);
    CLEANUP_FREE char *summary = summary_of(log);
    assert_non_null(strstr(summary, "  2x chmod /x/7: "));
    assert_non_null(strstr(summary, "  and 995904 more that were not recorded\n"));
}

static void a_long_object_is_cut_in_the_middle(void **state)
{
    struct denial_log *log = *state;
    char object[5000];

    memset(object, 'a', sizeof(object));
    memcpy(object, "/head/", 6);
    memcpy(object + sizeof(object) - 6, "/tail", 6);
    add(log, "open", object);
    object[2500] = 'b'; /* differs only in the part that is cut out: still another object */
    add(log, "open", object);
    add(log, "open", object);

    CLEANUP_FREE char *summary = summary_of(log);
    assert_int_equal(count_text(summary, "x open /head/"), 2);
    assert_int_equal(count_text(summary, "..."), 2);
    assert_int_equal(count_text(summary, "/tail: EACCES"), 2);
    assert_int_equal(count_text(summary, "  2x "), 1);
    assert_true(strlen(summary) < 2 * (DENIAL_OBJECT_MAX + 80));
}

static void a_cut_does_not_split_a_character(void **state)
{
    struct denial_log *log = *state;
    char object[3001];

    for (size_t i = 0; i < 3000; i += 3)
        memcpy(object + i, "\xe2\x82\xac", 3); /* EURO SIGN */
    for (size_t skip = 0; skip < 3; skip++) {
        object[3000] = '\0';
        char shifted[3100];
        snprintf(shifted, sizeof(shifted), "%.*s%s", (int)skip, "xx", object);
        add(log, "open", shifted);
    }
    CLEANUP_FREE char *json = json_of(log);
    assert_int_equal(count_text(json, "\"object\""), 3);
    assert_null(strstr(json, "_b64")); /* valid UTF-8 needs no second form */
}

static void hostile_names_cannot_forge_a_line(void **state)
{
    struct denial_log *log = *state;

    add(log, "open", "/x\n  9x open /etc/shadow: \x1b[2J\xff");
    CLEANUP_FREE char *summary = summary_of(log);
    assert_int_equal(count_text(summary, "\n"), 2); /* the header and one record */
    assert_null(strchr(summary, '\x1b'));
    assert_null(strchr(summary, '\xff'));
    CLEANUP_FREE char *json = json_of(log);
    assert_null(strchr(json, '\n'));
    assert_null(strchr(json, '\x1b'));
    assert_non_null(strstr(json, "\"object_b64\":"));
}

static void the_sink_gets_one_line_per_new_record(void **state)
{
    struct denial_log *log = *state;
    int ends[2];
    char text[4096];

    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    denial_log_set_sink(log, ends[1]);
    add(log, "open", "/a\nb");
    add(log, "open", "/a\nb");
    add(log, "open", "/c");
    ssize_t length = read(ends[0], text, sizeof(text) - 1);
    assert_true(length > 0);
    text[length] = '\0';
    assert_int_equal(count_text(text, "\n"), 2);
    assert_int_equal(strncmp(text, "{\"seq\":1,\"ts\":", 14), 0);
    assert_non_null(strstr(text,
                           "\"pid\":42,\"comm\":\"cat\",\"call\":\"open\",\"object\":\"/a\\nb\","
                           "\"want\":\"read\",\"errno\":\"EACCES\",\"layer\":\"metadata-gate\","
                           "\"rule\":\"no rule\",\"suggest\":null,\"count\":1}\n"));
    close(ends[0]);
    close(ends[1]);
}

static void the_likeliest_is_the_last_of_the_network_else_the_last(void **state)
{
    static const struct {
        const char *call, *object, *likeliest;
    } steps[] = {
        {"openat", "/first", "1x openat /first: "},
        {"chmod", "/second", "1x chmod /second: "},
        {"openat", "/first", "1x chmod /second: "}, /* merged: the first time counts */
        {"connect", "tcp://192.0.2.1:80", "1x connect tcp://192.0.2.1:80: "},
        {"openat", "/third", "1x connect tcp://192.0.2.1:80: "},
        {"bind", "tcp://0.0.0.0:80", "1x bind tcp://0.0.0.0:80: "},
    };
    CLEANUP_BUFFER struct buffer nothing = BUFFER_INIT;

    denial_log_likeliest(*state, &nothing);
    assert_int_equal(nothing.length, 0);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        CLEANUP_BUFFER struct buffer line = BUFFER_INIT;
        add(*state, steps[i].call, steps[i].object);
        denial_log_likeliest(*state, &line);
        assert_int_equal(
            strncmp(buffer_text(&line), steps[i].likeliest, strlen(steps[i].likeliest)), 0);
        assert_null(strchr(buffer_text(&line), '\n'));
    }
}

static void a_question_to_the_routing_socket_is_no_likely_cause(void **state)
{
    CLEANUP_BUFFER struct buffer nothing = BUFFER_INIT;
    CLEANUP_BUFFER struct buffer line = BUFFER_INIT;
    struct denial change = {.call = "sendto",
                            .object = (char *)"NETLINK_ROUTE",
                            .want = "change",
                            .error = EPERM,
                            .layer = "netlink-view"};

    denial_log_add(*state, &change);
    denial_log_likeliest(*state, &nothing);
    assert_int_equal(nothing.length, 0);
    add(*state, "openat", "/first");
    change.call = "sendmsg";
    denial_log_add(*state, &change);
    denial_log_likeliest(*state, &line);
    assert_int_equal(strncmp(buffer_text(&line), "1x openat /first: ", 18), 0);
    assert_int_equal(denial_log_total(*state), 3);
}

static void an_empty_log_says_so(void **state)
{
    CLEANUP_FREE char *summary = summary_of(*state);
    CLEANUP_FREE char *json = json_of(*state);

    assert_string_equal(summary, "sandlock: 0 denials\n");
    assert_string_equal(json, "[]");
}

static void errno_names_are_known(void **state)
{
    (void)state;
    assert_string_equal(denial_errno_name(EACCES), "EACCES");
    assert_string_equal(denial_errno_name(EOPNOTSUPP), "EOPNOTSUPP");
    assert_string_equal(denial_errno_name(0), "E?");
    assert_string_equal(denial_errno_name(-1), "E?");
    assert_string_equal(denial_errno_name(4095), "E?");
}

#define DENIAL_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DENIAL_TEST(equal_denials_merge_and_the_most_frequent_comes_first),
        DENIAL_TEST(denials_that_differ_in_any_part_of_the_key_are_separate),
        DENIAL_TEST(merging_tells_what_is_new),
        DENIAL_TEST(a_key_finds_the_record_it_was_set_for_and_no_other),
        DENIAL_TEST(a_million_denials_are_counted_in_bounded_memory),
        DENIAL_TEST(a_long_object_is_cut_in_the_middle),
        DENIAL_TEST(a_cut_does_not_split_a_character),
        DENIAL_TEST(hostile_names_cannot_forge_a_line),
        DENIAL_TEST(the_sink_gets_one_line_per_new_record),
        DENIAL_TEST(the_likeliest_is_the_last_of_the_network_else_the_last),
        DENIAL_TEST(a_question_to_the_routing_socket_is_no_likely_cause),
        DENIAL_TEST(an_empty_log_says_so),
        DENIAL_TEST(errno_names_are_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
