/* The denial log's own state, shared by denial.c (records and reports) and denial_writer.c (their way into
 * a file or a pipe while the run goes on). Nobody else includes this. */
#ifndef SANDLOCK_SUPERVISOR_DENIAL_INTERNAL_H
#define SANDLOCK_SUPERVISOR_DENIAL_INTERNAL_H

#include "supervisor/denial.h"
#include "util/json.h"

#include <pthread.h>

#define KEYS_KEPT 32 /* power of two */

/* Of equal denials the last one; kept where there is a sink. */
struct occurrence {
    int64_t time_ns; /* CLOCK_REALTIME */
    pid_t pid;
    char comm[16];
};

struct record_slot {
    struct denial denial;
    struct occurrence last;
    uint64_t told; /* so many of denial.count are in the sink */
    uint64_t hash; /* over the uncut object */
    uint32_t next; /* chain */
};

struct kept_key {
    struct denial_key key;
    uint32_t record; /* meaningless while key.call is NULL */
};

/* The ring is all the buffer there is: records stay in it, so the place of the next one is enough. What
 * equal denials a record has had since it was written is told by a further line, in rounds: a storm of
 * denials must not become a storm of lines. */
struct denial_writer {
    int sink;         /* borrowed, -1: none */
    uint32_t written; /* so many records have a line in the sink */
    uint64_t told;    /* so many denials the lines in the sink stand for */
    bool busy;        /* somebody writes them out */
    bool idle;        /* who writes waits for any denial, not for a round */
    bool finishing;   /* the run is over: what is left is written without rounds */
    bool closed;      /* nothing is written any more */
    int error;        /* of the write that failed; none follows it */

    int64_t round_at;   /* when the next round may begin, CLOCK_MONOTONIC */
    uint32_t to_visit;  /* records that this round has not come to */
    uint32_t lines;     /* that this round may still write */
    uint32_t next_seen; /* the record where it goes on */
    pthread_cond_t changed;
};

struct denial_log {
    pthread_mutex_t lock; /* guards everything below */
    unsigned holders;
    struct record_slot *slots;
    uint32_t count, capacity;
    uint32_t *buckets; /* `capacity` of them */
    uint64_t total, dropped;
    struct kept_key keys[KEYS_KEPT];
    struct denial_writer writer;
};

void denial_write_json(struct json *json, const struct denial *denial);

/* With the lock. A denial was recorded, which is a new record or has its place: whoever writes may go on. */
void denial_writer_wake(struct denial_log *log, bool is_new);

void denial_writer_init(struct denial_writer *writer);
void denial_writer_destroy(struct denial_writer *writer);

#endif
