/* Any words as a command line, one per line of the input: parsing and building never crash. */
#include "policy/options_parse.h"
#include "policy/policy.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    const char *words[WORDS_MAX + 1];
    int count = 0;
    struct options_parsed parsed;
    struct record record;
    struct policy *policy = NULL;
    struct error err = {0};

    if (text == NULL)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    for (char *rest = text; rest != NULL && count < WORDS_MAX;) {
        char *end = strchr(rest, '\n');
        words[count++] = rest;
        if (end != NULL)
            *end++ = '\0';
        rest = end;
    }
    words[count] = NULL;

    record_init(&record);
    if (options_parse(count, words, 0, &record, &parsed, &err)) {
        if (parsed.command_index < 0 || parsed.command_index > count)
            abort();
        if (parsed.help == HELP_NONE)
            policy_build(&record, &policy, &err);
    }
    policy_unref(policy);
    record_free(&record);
    free(text);
    return 0;
}
