/*
 * One error object for everything that can fail with a reason a person will read.
 *
 * The level that knows the object fills it ("open grant /srv/x: No such file or directory"), the
 * level that knows the purpose wraps it. Functions that take a `struct error *` return bool, false
 * meaning that the error was filled. A text is one line that drives no terminal, whatever names and
 * paths it quotes (text_to_line).
 */
#ifndef SANDLOCK_UTIL_ERROR_H
#define SANDLOCK_UTIL_ERROR_H

#include <stdbool.h>

/* Room for one message; longer text is cut in the middle ("..."), which leaves the reason at its end. */
#define ERROR_TEXT_MAX 1024

enum error_kind {
    ERROR_NONE = 0,
    ERROR_CONFIG,  /* asked for wrongly, found before a process exists: the CLI exits 2 */
    ERROR_RUNTIME, /* failed in doing it: the CLI exits 125 */
};

struct error {
    enum error_kind kind;
    int sys_errno; /* errno behind the failure, 0 if there is none */
    char text[ERROR_TEXT_MAX];
};

/* Fills err (may be NULL) and returns false, so that a caller can `return error_config(err, …)`. */
bool error_config(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same for ERROR_RUNTIME. sys_errno may be 0; otherwise ": strerror" is appended to the text. */
bool error_runtime(struct error *err, int sys_errno, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " in front of a filled error and returns false. */
bool error_wrap(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

void error_clear(struct error *err);

#endif
