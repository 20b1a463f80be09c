/* The denial log's own state, shared by denial.c (records and reports) and denial_writer.c (their way into
 * a file or a pipe while the run goes on). Nobody else includes this. */
#ifndef SANDLOCK_SUPERVISOR_DENIAL_INTERNAL_H
#define SANDLOCK_SUPERVISOR_DENIAL_INTERNAL_H

#include "supervisor/denial.h"
#include "util/json.h"

#include <pthread.h>

#define KEYS_KEPT 32 /* power of two */

struct record_slot {
    struct denial denial;
    uint64_t hash; /* over the uncut object */
    uint32_t next; /* chain */
};

struct kept_key {
    struct denial_key key;
    uint32_t record; /* meaningless while key.call is NULL */
};

/* The ring is all the buffer there is: records stay in it, so the place of the next one is enough. */
struct denial_writer {
    int sink;         /* borrowed, -1: none */
    uint32_t written; /* so many records are in the sink */
    bool busy;        /* somebody writes them out */
    bool closed;      /* nothing is written any more */
    int error;        /* of the write that failed; none follows it */
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

/* With the lock. A record was appended: whoever writes may go on. */
void denial_writer_wake(struct denial_log *log);

void denial_writer_init(struct denial_writer *writer);
void denial_writer_destroy(struct denial_writer *writer);

#endif
