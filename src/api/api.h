/*
 * What the files of the C interface share: the tagged objects behind the opaque types, the error a
 * failing call leaves for its thread, and the strings that belong to callers.
 *
 * Every object begins with a tag, because callers mix up release functions: bindings written for the
 * first library that had this interface free a fork template with the function for policies, where
 * both happened to look alike. A tag also turns the wrong pointer into an error instead of a crash.
 */
#ifndef SANDLOCK_API_API_H
#define SANDLOCK_API_API_H

/* Everything else is hidden; definitions follow the visibility of these declarations. */
#pragma GCC visibility push(default)
#include "sandlock.h"
#pragma GCC visibility pop

#include "policy/policy.h"
#include "policy/record.h"
#include "run/sandbox.h"
#include "util/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Values that memory does not have by chance. */
enum api_tag {
    API_RELEASED = 0x51ac0000,
    API_BUILDER = 0x51ac0b01,
    API_POLICY = 0x51ac0b02,
    API_HANDLE = 0x51ac0b03,
    API_RESULT = 0x51ac0b04,
};

struct api_object {
    uint32_t tag; /* enum api_tag */
};

struct sandlock_builder_t {
    struct api_object object;
    struct record record;
};

struct sandlock_sandbox_t {
    struct api_object object;
    struct policy *policy; /* one reference */
};

struct sandlock_handle_t {
    struct api_object object;
    struct sandbox *sandbox; /* owned */
    bool no_supervisor;      /* the policy asked for it */
};

struct captured {
    uint8_t *bytes; /* owned; NULL: not captured. Empty output is an allocation too. */
    size_t length;
};

struct sandlock_result_t {
    struct api_object object;
    sandlock_exit_reason reason;
    int code;                   /* -1 unless EXITED */
    int signal;                 /* -1 unless SIGNALED */
    bool failed;                /* sandlock did, and has said why */
    struct captured streams[2]; /* standard output, standard error */
};

/* True if the pointer is not NULL and the object is of this kind. */
static inline bool api_is(const void *object, enum api_tag tag)
{
    return object != NULL && ((const struct api_object *)object)->tag == (uint32_t)tag;
}

/* Releases any object of ours by its tag; NULL and objects without a known tag are left alone. */
void api_release(void *object);

/* ---- Cancellation (api_cancel.c) --------------------------------------------------------------- */

/* At the start of every function that locks, waits or starts something: cancelled in it, a thread of the
 * host would leave locks taken and runs that nobody owns. It ends at the next cancellation point after. */
#define API_UNCANCELLED \
    __attribute__((cleanup(api_allow_cancel), unused)) int api_cancel_state = api_forbid_cancel()

int api_forbid_cancel(void);
void api_allow_cancel(const int *state);

/* ---- Errors (api_error.c) ---------------------------------------------------------------------- */

/* Keeps the error as the thread's last one. */
void api_set_error(const struct error *err);

/* The same from a text. Returns false. */
bool api_fail(int sys_errno, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Keeps the error and writes it to standard error as "sandlock: TEXT". */
void api_report(const struct error *err);

/* Writes what is missing in a run that goes on all the same (NULL: nothing) to standard error, in the words of
 * the command line. The thread's last error stays: nothing has failed. */
void api_warn(const char *warning);

/* ---- Strings (api_string.c) -------------------------------------------------------------------- */

/* Registers a malloc'd string as handed out, so that sandlock_string_free() releases it. NULL stays
 * NULL. Frees it and returns NULL when memory runs out. */
char *api_string_give(char *text);

/* A registered copy. NULL when out of memory. */
char *api_string_copy(const char *text);

/* Number of strings handed out and not released, for tests. */
size_t api_string_count(void);

/* ---- Results (api_result.c) -------------------------------------------------------------------- */

/* Waits for the sandbox and makes the result. NULL and the thread's last error on failure. */
sandlock_result_t *api_result_wait(struct sandbox *sandbox, uint64_t timeout_ms);

/* A result from an outcome, with copies of the captured bytes (NULL: not captured). NULL when out of
 * memory. */
sandlock_result_t *api_result_new(const struct outcome *outcome, const char *const output[2],
                                  const size_t length[2]);

/* Bytes as UTF-8 text, the maximal invalid parts replaced by U+FFFD; malloc'd, NULL when out of
 * memory. */
char *api_text_from_bytes(const uint8_t *bytes, size_t length);

#endif
