/* Command selection: see command.h. */
#include "cli/command.h"

#include <errno.h>

static bool add_words(struct strv *argv, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!strv_add(argv, words[i]))
            return false;
    }
    return true;
}

static bool add_shell(struct strv *argv, const char *script)
{
    return strv_add(argv, "/bin/sh") && strv_add(argv, "-c") && strv_add(argv, script);
}

static bool add_program(struct strv *argv, const struct record *record)
{
    const struct raw_list *args = &record->lists[OPTION_ARGS];

    if (!strv_add(argv, record_text(record, OPTION_EXEC)))
        return false;
    for (size_t i = 0; i < args->count; i++) {
        if (!strv_add(argv, args->values[i].text))
            return false;
    }
    return true;
}

static bool is_empty(const char *program)
{
    return program != NULL && program[0] == '\0';
}

bool command_choose(const struct record *record, const char *const *words, size_t word_count,
                    struct strv *argv, struct error *err)
{
    const char *script = record_text(record, OPTION_EXEC_SHELL);
    bool added;

    if (script != NULL)
        added = add_shell(argv, script) && add_words(argv, words, word_count);
    else if (word_count > 0)
        added = add_words(argv, words, word_count);
    else if (is_empty(record_text(record, OPTION_EXEC)))
        return error_config(err, "the command is empty") || record_blame(record, OPTION_EXEC, err);
    else if (record_text(record, OPTION_EXEC) != NULL)
        added = add_program(argv, record);
    else
        return error_config(err, "no command: give one after the options (sandlock run ... -- "
                                 "COMMAND), with -e, or as [program].exec in a profile");
    return added || error_runtime(err, ENOMEM, "choosing the command");
}
