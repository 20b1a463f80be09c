/* Denial records: merging, the bound, cutting, hostile text, the three outputs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../skip_because.h"

#include "supervisor/denial.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
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

#define LONG_ENOUGH 20000000000LL
#define NOT_LONG 50000000LL

static void the_sink_gets_a_line_per_record_at_the_end(void **state)
{
    struct denial_log *log = *state;
    int ends[2];
    int error;
    char text[4096];

    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    assert_false(denial_log_has_sink(log));
    denial_log_set_sink(log, ends[1]);
    assert_true(denial_log_has_sink(log));
    add(log, "open", "/a\nb");
    add(log, "open", "/a\nb");
    add(log, "open", "/c");
    assert_int_equal(denial_log_finish(log, LONG_ENOUGH, &error), 0);
    assert_int_equal(error, 0);
    ssize_t length = read(ends[0], text, sizeof(text) - 1);
    assert_true(length > 0);
    text[length] = '\0';
    assert_int_equal(count_text(text, "\n"), 2);
    assert_int_equal(strncmp(text, "{\"seq\":1,\"ts\":", 14), 0);
    assert_non_null(strstr(text,
                           "\"pid\":42,\"comm\":\"cat\",\"call\":\"open\",\"object\":\"/a\\nb\","
                           "\"want\":\"read\",\"errno\":\"EACCES\",\"layer\":\"metadata-gate\","
                           "\"rule\":\"no rule\",\"suggest\":null,\"count\":2}\n"));
    close(ends[0]);
    close(ends[1]);
}

static void add_many(struct denial_log *log, int count)
{
    char object[32];

    for (int i = 0; i < count; i++) {
        snprintf(object, sizeof(object), "/file/%d", i);
        add(log, "open", object);
    }
}

static void *write_out(void *data)
{
    denial_log_write_out(data);
    denial_log_free(data);
    return NULL;
}

static pthread_t start_writer(struct denial_log *log)
{
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, write_out, denial_log_share(log)), 0);
    return thread;
}

struct slow_reader {
    int fd;
    int lines;
    bool in_order;
};

/* Begins late, when the pipe has long been full. */
static void *read_slowly(void *data)
{
    struct slow_reader *reader = data;
    char line[1024];
    unsigned long seq;

    poll(NULL, 0, 300);
    FILE *stream = fdopen(reader->fd, "r");
    for (reader->in_order = true; fgets(line, sizeof(line), stream) != NULL; reader->lines++)
        reader->in_order &= sscanf(line, "{\"seq\":%lu,", &seq) == 1 &&
                            seq == (unsigned long)reader->lines + 1 &&
                            line[strlen(line) - 1] == '\n';
    fclose(stream);
    return NULL;
}

static void a_slow_reader_gets_every_line(struct denial_log *log, int flags)
{
    struct slow_reader reader = {0};
    pthread_t writing, reading;
    int ends[2];
    int error;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(fcntl(ends[1], F_SETFL, O_WRONLY | flags), 0);
    denial_log_set_sink(log, ends[1]);
    writing = start_writer(log);
    reader.fd = ends[0];
    assert_int_equal(pthread_create(&reading, NULL, read_slowly, &reader), 0);
    add_many(log, 3000);
    assert_int_equal(denial_log_finish(log, LONG_ENOUGH, &error), 0);
    assert_int_equal(error, 0);
    pthread_join(writing, NULL);
    /* What others set there is theirs. */
    assert_int_equal(fcntl(ends[1], F_GETFL) & O_NONBLOCK, flags);
    close(ends[1]);
    pthread_join(reading, NULL);
    assert_int_equal(reader.lines, 3000);
    assert_true(reader.in_order);
}

static void a_slow_reader_gets_every_line_of_a_blocking_pipe(void **state)
{
    a_slow_reader_gets_every_line(*state, 0);
}

static void a_slow_reader_gets_every_line_of_a_pipe_that_does_not_block(void **state)
{
    a_slow_reader_gets_every_line(*state, O_NONBLOCK);
}

static void add_of(struct denial_log *log, pid_t pid, const char *comm, const char *object)
{
    struct denial denial = {
        .pid = pid,
        .call = "open",
        .object = (char *)object,
        .want = "read",
        .error = EACCES,
        .layer = "landlock",
    };

    snprintf(denial.comm, sizeof(denial.comm), "%s", comm);
    denial_log_add(log, &denial);
}

/* The next line, its sum of counts and its process. */
static uint64_t read_record(FILE *stream, unsigned long *seq, int *pid, char comm[16])
{
    char line[1024];
    unsigned long count;

    assert_non_null(fgets(line, sizeof(line), stream));
    assert_int_equal(sscanf(line, "{\"seq\":%lu,", seq), 1);
    assert_int_equal(sscanf(strstr(line, "\"pid\":"), "\"pid\":%d,\"comm\":\"%15[a-z]", pid, comm),
                     2);
    assert_int_equal(sscanf(strstr(line, "\"count\":"), "\"count\":%lu}\n", &count), 1);
    return count;
}

static void the_counts_of_all_lines_add_up_and_tell_the_last_process(void **state)
{
    struct denial_log *log = *state;
    unsigned long seq;
    char comm[16];
    int ends[2], pid, error;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    denial_log_set_sink(log, ends[1]);
    pthread_t writing = start_writer(log);
    FILE *stream = fdopen(ends[0], "r");
    add_of(log, 1, "sh", "/a");
    assert_int_equal(read_record(stream, &seq, &pid, comm), 1);
    assert_int_equal(seq, 1);
    add_of(log, 2, "cat", "/a");
    add_of(log, 3, "ls", "/a");
    assert_int_equal(read_record(stream, &seq, &pid, comm), 2); /* while the run goes on */
    assert_int_equal(seq, 1);
    assert_int_equal(pid, 3);
    assert_string_equal(comm, "ls");
    add_of(log, 4, "cp", "/a");
    assert_int_equal(denial_log_finish(log, LONG_ENOUGH, &error), 0);
    assert_int_equal(read_record(stream, &seq, &pid, comm), 1);
    assert_int_equal(pid, 4);
    pthread_join(writing, NULL);
    close(ends[1]);
    assert_int_equal(fgetc(stream), EOF);
    fclose(stream);
}

static int64_t milliseconds_since(const struct timespec *start)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - start->tv_sec) * 1000 + (now.tv_nsec - start->tv_nsec) / 1000000;
}

/* How many lines the pipe got, and that the others were counted. */
static void nobody_waits_for_a_reader_that_sleeps(struct denial_log *log, bool has_writer)
{
    CLEANUP_FREE char *text = malloc(1 << 20);
    struct timespec start;
    pthread_t writing;
    int ends[2];
    int error;

    assert_non_null(text);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    denial_log_set_sink(log, ends[1]);
    if (has_writer)
        writing = start_writer(log);
    clock_gettime(CLOCK_MONOTONIC, &start);
    add_many(log, DENIAL_RING_MAX + 7);
    uint64_t lost = denial_log_finish(log, NOT_LONG, &error);
    assert_true(milliseconds_since(&start) < 10000);
    assert_int_equal(error, 0);
    ssize_t length = read(ends[0], text, 1 << 20);
    assert_true(length > 0);
    text[length] = '\0';
    assert_int_equal(lost, DENIAL_RING_MAX + 7 - count_text(text, "\n"));
    assert_true(lost > 7 && lost < DENIAL_RING_MAX);
    assert_int_equal(denial_log_total(log), DENIAL_RING_MAX + 7);
    close(ends[0]);
    if (has_writer)
        pthread_join(writing, NULL);
    close(ends[1]);
}

static void a_storm_of_denials_is_no_storm_of_lines(void **state)
{
    struct denial_log *log = *state;
    struct timespec start;
    unsigned added = 0;
    int ends[2];
    int error;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_true(fcntl(ends[1], F_SETPIPE_SZ, 1 << 20) > 0);
    denial_log_set_sink(log, ends[1]);
    pthread_t writing = start_writer(log);
    clock_gettime(CLOCK_MONOTONIC, &start);
    while (milliseconds_since(&start) < 2500 || added <= 10 * 200) {
        char object[16];
        snprintf(object, sizeof(object), "/%u", added++ % 200);
        add_of(log, 1, "sh", object);
        poll(NULL, 0, added % 100 == 0);
    }
    assert_int_equal(denial_log_finish(log, LONG_ENOUGH, &error), 0);
    pthread_join(writing, NULL);
    unsigned rounds = (unsigned)(milliseconds_since(&start) / 1000) + 1;
    close(ends[1]);
    FILE *stream = fdopen(ends[0], "r");
    uint64_t told = 0;
    unsigned lines = 0;
    for (int next; (next = fgetc(stream)) != EOF; lines++) {
        unsigned long seq;
        char comm[16];
        int pid;
        ungetc(next, stream);
        told += read_record(stream, &seq, &pid, comm);
    }
    fclose(stream);
    assert_int_equal(told, added);
    assert_true(added > 10 * 200);
    /* Each once when it is new and once at the end; between them two or three rounds, or more on a busy machine. */
    assert_in_range(lines, 2 * 200, 2 * 200 + (rounds + 1) * 64);
}

static void a_thread_waits_for_a_reader_that_sleeps_and_nobody_else(void **state)
{
    signal(SIGPIPE, SIG_IGN);
    nobody_waits_for_a_reader_that_sleeps(*state, true);
}

static void without_a_thread_nobody_waits_for_long_either(void **state)
{
    nobody_waits_for_a_reader_that_sleeps(*state, false);
}

static void what_is_recorded_after_the_end_is_not_written(void **state)
{
    struct denial_log *log = *state;
    char text[4096];
    int ends[2];
    int error;

    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    denial_log_set_sink(log, ends[1]);
    pthread_t writing = start_writer(log);
    denial_log_close(log);
    pthread_join(writing, NULL);
    add(log, "open", "/late");
    assert_int_equal(denial_log_finish(log, LONG_ENOUGH, &error), 1);
    assert_int_equal(read(ends[0], text, sizeof(text)), -1);
    close(ends[0]);
    close(ends[1]);
}

static void assert_stops_with(struct denial_log *log, int fd, int wanted)
{
    int error;

    denial_log_set_sink(log, fd);
    add_many(log, 3);
    assert_int_equal(denial_log_finish(log, LONG_ENOUGH, &error), 3);
    assert_int_equal(error, wanted);
    assert_int_equal(denial_log_total(log), 3);
}

static void a_reader_that_has_gone_is_told(void **state)
{
    int ends[2];

    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    close(ends[0]);
    assert_stops_with(*state, ends[1], EPIPE);
    close(ends[1]);
}

static void a_full_disk_is_told(void **state)
{
    CLEANUP_FD int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

    if (fd < 0) {
        skip_because("no /dev/full here");
    }
    assert_stops_with(*state, fd, ENOSPC);
}

static void a_log_without_a_sink_loses_nothing(void **state)
{
    int error = EIO;

    add_many(*state, 3);
    assert_int_equal(denial_log_finish(*state, LONG_ENOUGH, &error), 0);
    assert_int_equal(error, 0);
    assert_int_equal(denial_log_finish(NULL, LONG_ENOUGH, &error), 0);
    assert_false(denial_log_has_sink(NULL));
    denial_log_close(NULL);
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

static void what_programs_look_for_at_their_start_comes_last(void **state)
{
    CLEANUP_BUFFER struct buffer line = BUFFER_INIT;

    for (int i = 0; i < 2; i++) {
        add(*state, "openat", "/proc/filesystems");
        add(*state, "openat", "/proc/self/mounts");
    }
    add(*state, "openat", "/srv/wanted");
    CLEANUP_FREE char *summary = summary_of(*state);
    const char *wanted = strstr(summary, "1x openat /srv/wanted");
    assert_true(wanted != NULL && wanted < strstr(summary, "2x openat /proc/filesystems"));
    denial_log_likeliest(*state, &line);
    assert_non_null(strstr(buffer_text(&line), "/srv/wanted"));
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
        DENIAL_TEST(the_sink_gets_a_line_per_record_at_the_end),
        DENIAL_TEST(the_counts_of_all_lines_add_up_and_tell_the_last_process),
        DENIAL_TEST(a_storm_of_denials_is_no_storm_of_lines),
        DENIAL_TEST(a_slow_reader_gets_every_line_of_a_blocking_pipe),
        DENIAL_TEST(a_slow_reader_gets_every_line_of_a_pipe_that_does_not_block),
        DENIAL_TEST(a_thread_waits_for_a_reader_that_sleeps_and_nobody_else),
        DENIAL_TEST(without_a_thread_nobody_waits_for_long_either),
        DENIAL_TEST(what_is_recorded_after_the_end_is_not_written),
        DENIAL_TEST(a_reader_that_has_gone_is_told),
        DENIAL_TEST(a_full_disk_is_told),
        DENIAL_TEST(a_log_without_a_sink_loses_nothing),
        DENIAL_TEST(the_likeliest_is_the_last_of_the_network_else_the_last),
        DENIAL_TEST(what_programs_look_for_at_their_start_comes_last),
        DENIAL_TEST(a_question_to_the_routing_socket_is_no_likely_cause),
        DENIAL_TEST(an_empty_log_says_so),
        DENIAL_TEST(errno_names_are_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
