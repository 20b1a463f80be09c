/*
 * Denial records: what was refused, on which object, by which rule, and what would allow it. A
 * bounded ring per sandbox; equal records merge by count, overflow is counted. Thread-safe: the
 * receiver and the workers record, the report is made after the run.
 */
#ifndef SANDLOCK_SUPERVISOR_DENIAL_H
#define SANDLOCK_SUPERVISOR_DENIAL_H

#include "util/buffer.h"
#include "util/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Records kept per sandbox. A further, different one is only counted. */
#define DENIAL_RING_MAX 4096

/* Longest object text kept; longer ones are cut in the middle. */
#define DENIAL_OBJECT_MAX 512

struct denial {
    uint64_t seq;
    int64_t time_ns; /* CLOCK_REALTIME of the first occurrence */
    pid_t pid;
    char comm[16];
    const char *call;  /* system call name, static */
    char *object;      /* as the user would write it, raw bytes; owned by the ring; may be NULL */
    const char *want;  /* "read", "write", "bind", …; static */
    int error;         /* errno answered */
    const char *layer; /* "landlock", "filter", "metadata-gate", …; static */
    const char *rule;  /* the rule that decided, "no rule" otherwise; static or owned by the ring */
    char *suggest;     /* option that would allow it ("--fs-write /srv"), NULL if nothing would */
    uint64_t count;
};

struct denial_log;

struct denial_log *denial_log_new(void); /* NULL when out of memory */

/* One holder more; each frees it. */
struct denial_log *denial_log_share(struct denial_log *log);
void denial_log_free(struct denial_log *log); /* NULL is accepted */

/* Records with copies of object, suggest and rule. `log` NULL: nothing happens. Never fails: what
 * cannot be kept is counted as dropped. Never waits for the sink. */
void denial_log_add(struct denial_log *log, const struct denial *denial);

/* Counts the denial if an equal record exists (call, object, want, errno and layer) or if the ring is
 * full. False: it is new, and the caller goes on with denial_log_add(). Without a sink it spares the
 * caller the cost of finding out `comm`, which is then kept for the first occurrence only; the lines of a
 * sink tell that of the last. `log` NULL: true. */
bool denial_log_merge(struct denial_log *log, const struct denial *denial);

/* What a denial is about, if its object is a kind and a number: a record that was added under a key is
 * found by it without any text being written or compared. The texts are static and told apart by their
 * address. */
struct denial_key {
    const char *call, *kind, *want, *layer;
    int64_t number;
    int error;
};

/* Counts the denial if its key is among those of late. False: the caller goes on as without a key; always
 * where there is a sink, which is told who it was. `log` NULL: true. */
bool denial_log_merge_key(struct denial_log *log, const struct denial_key *key);

/* The record that is equal to `denial`, if there is one, is found by `key` from now on. */
void denial_log_set_key(struct denial_log *log, const struct denial *denial,
                        const struct denial_key *key);

/* "EACCES"; "E?" for a number without a name. */
const char *denial_errno_name(int error);

/*
 * Every new record is also to go to `fd`, as one line of JSON, one write per line. What equal denials
 * come later is told by further lines of the same seq, at most one of a record and a few dozen in all per
 * second, and at the end: `count` is that of the denials which no line before told of, ts, pid and comm
 * are those of the last of them. The descriptor is borrowed, must be open before the supervisor confines
 * itself, and may be one that others have too: a pipe, a terminal. Its reader keeps nobody waiting but the
 * thread in denial_log_write_out().
 */
void denial_log_set_sink(struct denial_log *log, int fd);
bool denial_log_has_sink(struct denial_log *log); /* `log` NULL: false */

/* Writes the lines as the records come, on a thread that may wait; returns after a failed write, or when
 * the log is closed. It may be in a write that never ends, and holds a share of the log for as long. */
void denial_log_write_out(struct denial_log *log);

/* Nothing more is written. NULL is accepted. */
void denial_log_close(struct denial_log *log);

/* At the end of the run: waits until all denials are told, on this thread if no other does it, but not
 * for longer than `patience` nanoseconds; then closes the log. Returns how many denials were not
 * written, those included that found no place in the ring. *error: of the write that failed, 0 if none
 * did. 0 without a sink, or without a log. */
uint64_t denial_log_finish(struct denial_log *log, int64_t patience, int *error);

uint64_t denial_log_total(
    const struct denial_log *log); /* all denials, merged and dropped ones too */
uint64_t denial_log_dropped(const struct denial_log *log); /* those that found the ring full */

/* The summary for people, most frequent first: call, object, rule, suggestion. */
void denial_log_summary(const struct denial_log *log, struct buffer *out);

/* The line of the summary that a failed run most likely is about: of the network's refusals, else of
 * all, the one that came last. Nothing if there is none, or only questions to the routing socket. */
void denial_log_likeliest(const struct denial_log *log, struct buffer *out);

/* All records as a JSON array, oldest first: seq, ts (seconds since 1970), pid, comm, call, object,
 * want, errno (its name), layer, rule, suggest, count. */
void denial_log_json(const struct denial_log *log, struct buffer *out);

#endif
