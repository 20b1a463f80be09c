/*
 * Helpers of the policy tests: cases are one line each, "these words give this policy" or "these
 * words are refused with a message that has all these texts".
 */
#ifndef SANDLOCK_TESTS_POLICY_TEST_H
#define SANDLOCK_TESTS_POLICY_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/options_parse.h"
#include "policy/policy.h"
#include "policy/profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define TEXTS(...) ((const char *const[]){__VA_ARGS__, NULL})

static inline int count_words(const char *const *words)
{
    int count = 0;

    while (words[count] != NULL)
        count++;
    return count;
}

static inline void assert_has_texts(const char *message, const char *const *texts)
{
    for (; *texts != NULL; texts++) {
        if (strstr(message, *texts) == NULL)
            fail_msg("\"%s\" is missing in: %s", *texts, message);
    }
}

/* Options that parse; the record is the caller's. */
static inline struct options_parsed parse_words(const char *const *words, struct record *record)
{
    struct options_parsed parsed;
    struct error err = {0};

    record_init(record);
    if (!options_parse(count_words(words), words, 0, record, &parsed, &err))
        fail_msg("refused: %s", err.text);
    return parsed;
}

static inline void assert_words_refused(const char *const *words, const char *const *texts)
{
    struct options_parsed parsed;
    struct record record;
    struct error err = {0};

    record_init(&record);
    assert_false(options_parse(count_words(words), words, 0, &record, &parsed, &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    assert_has_texts(err.text, texts);
    record_free(&record);
}

static inline struct policy *build_record(struct record *record)
{
    struct policy *policy = NULL;
    struct error err = {0};

    if (!policy_build(record, &policy, &err))
        fail_msg("refused: %s", err.text);
    record_free(record);
    return policy;
}

static inline struct policy *build_words(const char *const *words)
{
    struct record record;

    parse_words(words, &record);
    return build_record(&record);
}

static inline void assert_record_refused(struct record *record, const char *const *texts)
{
    struct policy *policy = NULL;
    struct error err = {0};

    assert_false(policy_build(record, &policy, &err));
    assert_null(policy);
    assert_int_equal(err.kind, ERROR_CONFIG);
    assert_has_texts(err.text, texts);
    record_free(record);
}

/* Well-formed options whose values no policy accepts. */
static inline void assert_build_refused(const char *const *words, const char *const *texts)
{
    struct record record;

    parse_words(words, &record);
    assert_record_refused(&record, texts);
}

static inline void load_text(const char *text, struct record *record)
{
    struct error err = {0};

    record_init(record);
    if (!profile_parse(text, strlen(text), "p.toml", record, &err))
        fail_msg("refused: %s\n%s", err.text, text);
}

static inline struct policy *build_text(const char *text)
{
    struct record record;

    load_text(text, &record);
    return build_record(&record);
}

static inline void assert_text_refused(const char *text, const char *const *texts)
{
    struct record record;
    struct error err = {0};

    record_init(&record);
    if (profile_parse(text, strlen(text), "p.toml", &record, &err))
        fail_msg("accepted: %s", text);
    assert_int_equal(err.kind, ERROR_CONFIG);
    assert_has_texts(err.text, texts);
    record_free(&record);
}

/* A value that every rule accepts, for loops over the option table. NULL for flags. */
static inline const char *sample_value(enum option_id id)
{
    switch (id) {
    case OPTION_NET_ALLOW:
        return "tcp://*:443";
    case OPTION_NET_DENY:
        return "tcp://10.0.0.0/8";
    case OPTION_NET_ALLOW_BIND:
    case OPTION_NET_DENY_BIND:
        return "8080";
    case OPTION_MAX_PROCESSES:
    case OPTION_MAX_OPEN_FILES:
        return "77";
    case OPTION_GPU:
    case OPTION_CPU_CORES:
        return "0";
    case OPTION_TIMEOUT:
    case OPTION_KILL_AFTER:
        return "7s";
    case OPTION_ENV:
        return "KEY=value";
    case OPTION_USER:
        return "12:34";
    case OPTION_UID:
    case OPTION_GID:
        return "12";
    case OPTION_EXTRA_DENY:
        return "ptrace";
    case OPTION_EXTRA_ALLOW:
        return "sysv_ipc";
    case OPTION_ALLOW_DEGRADED:
        return "net-tcp";
    case OPTION_DISABLE:
        return "signal-scope";
    case OPTION_WITHOUT:
        return "metadata-gate";
    case OPTION_WITH:
        return "process-gate";
    case OPTION_STATUS_FD:
        return "3";
    default:
        return option_takes_value(&option_specs[id]) || option_specs[id].name == NULL ? "/sample"
                                                                                      : NULL;
    }
}

#endif
