/* Time limits of a run: see time_limit.h. */
#include "cli/time_limit.h"

#include "policy/grammar.h"

static bool take(const struct record *record, enum option_id id, uint64_t *milliseconds,
                 struct error *err)
{
    const char *text = record_text(record, id);

    *milliseconds = 0;
    /* SIGKILL after no time at all is what happens without the option. */
    return text == NULL || grammar_duration(text, id == OPTION_KILL_AFTER, milliseconds, err) ||
           record_blame(record, id, err);
}

bool time_limit_take(const struct record *record, uint64_t *timeout_ms, uint64_t *kill_after_ms,
                     struct error *err)
{
    if (!take(record, OPTION_TIMEOUT, timeout_ms, err) ||
        !take(record, OPTION_KILL_AFTER, kill_after_ms, err))
        return false;
    if (*kill_after_ms == 0 || *timeout_ms > 0)
        return true;
    error_config(err, "without a timeout it has no meaning; give --timeout as well");
    return record_blame(record, OPTION_KILL_AFTER, err);
}
