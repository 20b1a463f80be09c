/* Variables in path values: see profile_path.h. */
#include "policy/profile_path.h"

#include "policy/profile.h"
#include "policy/quote.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void profile_expander_free(struct profile_expander *expander)
{
    free(expander->home);
    expander->home = NULL;
}

static bool is_name_start(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

static bool is_name_char(char c)
{
    return is_name_start(c) || (c >= '0' && c <= '9');
}

static size_t name_length(const char *text)
{
    size_t length = 0;

    if (!is_name_start(text[0]))
        return 0;
    while (is_name_char(text[length]))
        length++;
    return length;
}

static bool append_home(struct profile_expander *expander, struct buffer *out, struct error *err)
{
    if (expander->home == NULL) {
        expander->home = profile_home(err);
        if (expander->home == NULL)
            return error_wrap(err, "cannot resolve ${HOME}");
    }
    buffer_append_text(out, expander->home);
    return true;
}

/* `text` is just behind "${"; *end receives the position behind "}". */
static bool append_braced(struct profile_expander *expander, struct buffer *out, const char *text,
                          const char **end, struct error *err)
{
    const char *close = strchr(text, '}');

    if (close == NULL)
        return error_config(err, "unterminated ${ (supported: ${HOME}; $$ stands for one $)");
    size_t length = (size_t)(close - text);
    *end = close + 1;
    if (length == 0 || name_length(text) != length)
        return error_config(err, "malformed variable name %s (supported: ${HOME})",
                            quote_bytes(text, length).text);
    if (length == 4 && memcmp(text, "HOME", 4) == 0)
        return append_home(expander, out, err);
    int shown = length > 100 ? 100 : (int)length;
    if (length == 4 && strncasecmp(text, "HOME", 4) == 0)
        return error_config(err,
                            "unknown variable ${%.*s}, did you mean ${HOME}? (supported: ${HOME})",
                            shown, text);
    return error_config(err, "unknown variable ${%.*s} (supported: ${HOME})", shown, text);
}

static bool refuse_bare(const char *text, struct error *err)
{
    size_t length = name_length(text);

    if (length == 0)
        return error_config(err, "bare $ (write $$ for a dollar sign; supported: ${HOME})");
    return error_config(err,
                        "bare $: write ${%.*s} for a variable or $$ for a dollar sign "
                        "(supported: ${HOME})",
                        length > 100 ? 100 : (int)length, text);
}

static bool expand_into(struct profile_expander *expander, struct buffer *out, const char *value,
                        struct error *err)
{
    if (value[0] == '~')
        return error_config(err, "tilde is not expanded, write ${HOME} (or ./~ for a name that "
                                 "begins with it)");
    while (*value != '\0') {
        size_t plain = strcspn(value, "$");
        buffer_append(out, value, plain);
        value += plain;
        if (*value == '\0')
            break;
        if (value[1] == '$') {
            buffer_append_char(out, '$');
            value += 2;
        } else if (value[1] != '{') {
            return refuse_bare(value + 1, err);
        } else if (!append_braced(expander, out, value + 2, &value, err)) {
            return false;
        }
    }
    return true;
}

char *profile_expand(struct profile_expander *expander, const char *value, struct error *err)
{
    CLEANUP_BUFFER struct buffer out = BUFFER_INIT;

    if (!expand_into(expander, &out, value, err))
        return NULL;
    char *expanded = buffer_take(&out);
    if (expanded == NULL)
        error_runtime(err, ENOMEM, "expanding a path");
    return expanded;
}

void profile_protect(struct buffer *out, const char *path)
{
    if (path[0] == '~')
        buffer_append_text(out, "./");
    for (; *path != '\0'; path++) {
        if (*path == '$')
            buffer_append_char(out, '$');
        buffer_append_char(out, *path);
    }
}
