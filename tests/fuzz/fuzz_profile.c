/*
 * Profile text of strangers: reading never crashes, and a policy that builds is written as a
 * profile that builds to the same text again.
 */
#include "policy/policy.h"
#include "policy/profile.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct policy *build(const char *text, size_t length)
{
    struct record record;
    struct policy *policy = NULL;
    struct error err = {0};

    record_init(&record);
    if (profile_parse(text, length, "fuzz.toml", &record, &err))
        policy_build(&record, &policy, &err);
    record_free(&record);
    return policy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct policy *policy = build((const char *)data, size);
    struct buffer first = BUFFER_INIT;
    struct buffer second = BUFFER_INIT;
    struct buffer json = BUFFER_INIT;

    if (policy == NULL)
        return 0;
    if (!policy_to_toml(policy, &first) || !policy_to_json(policy, &json))
        abort();
    struct policy *again = build(buffer_text(&first), first.length);
    if (again == NULL || !policy_to_toml(again, &second) ||
        strcmp(buffer_text(&first), buffer_text(&second)) != 0)
        abort();
    policy_unref(again);
    policy_unref(policy);
    buffer_free(&first);
    buffer_free(&second);
    buffer_free(&json);
    return 0;
}
