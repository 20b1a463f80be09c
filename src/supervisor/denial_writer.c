/*
 * The denial log's sink: see denial.h. A reader may be slow or asleep, so nobody who records ever writes:
 * a thread of its own takes one record after the other out of the ring and waits as long as it must.
 * A new record is written at once, what it has grown by in a later round, so that the counts of all
 * lines add up to the number of denials. What did not get to the reader by the end of the run is counted.
 */
#include "supervisor/denial_internal.h"

#include "kernel/sys.h"
#include "util/fd.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#define NANOSECONDS 1000000000LL

/* A reader sees within a round that a denial goes on; no run writes more than so many lines in one, new
 * records apart, of which there are as many as the ring has places. */
#define ROUND_NS NANOSECONDS
#define ROUND_LINES 64

void denial_writer_init(struct denial_writer *writer)
{
    pthread_condattr_t monotonic;

    *writer = (struct denial_writer){.sink = -1};
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&writer->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

void denial_writer_destroy(struct denial_writer *writer)
{
    pthread_cond_destroy(&writer->changed);
}

void denial_writer_wake(struct denial_log *log, bool is_new)
{
    if (log->writer.sink >= 0 && (is_new || log->writer.idle))
        pthread_cond_broadcast(&log->writer.changed);
}

void denial_log_set_sink(struct denial_log *log, int fd)
{
    pthread_mutex_lock(&log->lock);
    log->writer.sink = fd;
    pthread_mutex_unlock(&log->lock);
}

bool denial_log_has_sink(struct denial_log *log)
{
    if (log == NULL)
        return false;
    pthread_mutex_lock(&log->lock);
    bool has_sink = log->writer.sink >= 0;
    pthread_mutex_unlock(&log->lock);
    return has_sink;
}

/* ---- Writing ----------------------------------------------------------------------------------- */

/* With the lock. */
static bool is_open(const struct denial_log *log)
{
    return !log->writer.closed && log->writer.error == 0;
}

/* With the lock. Some of what the ring counts is not in the sink. */
static bool has_untold(const struct denial_log *log)
{
    return log->writer.told + log->dropped < log->total;
}

static bool has_grown(const struct record_slot *slot)
{
    return slot->told < slot->denial.count;
}

/* With the lock. NULL: nothing is to be written now. */
static struct record_slot *next_grown(struct denial_log *log)
{
    struct denial_writer *writer = &log->writer;
    int64_t now = sys_monotonic_ns();

    if (!has_untold(log))
        return NULL;
    if (writer->finishing || now >= writer->round_at) {
        writer->round_at = now + ROUND_NS;
        writer->to_visit = writer->written;
        writer->lines = writer->finishing ? writer->written : ROUND_LINES;
    }
    while (writer->to_visit > 0 && writer->lines > 0) {
        struct record_slot *slot = &log->slots[writer->next_seen % writer->written];
        writer->next_seen = (writer->next_seen + 1) % writer->written;
        writer->to_visit--;
        if (has_grown(slot)) {
            writer->lines--;
            return slot;
        }
    }
    return NULL;
}

/* With the lock. */
static struct record_slot *next_to_write(struct denial_log *log)
{
    if (!is_open(log))
        return NULL;
    if (log->writer.written < log->count)
        return &log->slots[log->writer.written];
    return next_grown(log);
}

/* The line tells of the denials that no line told of, as the last of them was. */
static void make_line(const struct record_slot *slot, struct buffer *line)
{
    struct denial shown = slot->denial;
    struct json json;

    shown.count -= slot->told;
    shown.time_ns = slot->last.time_ns;
    shown.pid = slot->last.pid;
    memcpy(shown.comm, slot->last.comm, sizeof(shown.comm));
    json_init(&json, line, 0);
    denial_write_json(&json, &shown);
    buffer_append_char(line, '\n');
}

/* With the lock, which is left for the write; the array may move meanwhile. */
static void write_line(struct denial_log *log, uint32_t index)
{
    struct denial_writer *writer = &log->writer;
    CLEANUP_BUFFER struct buffer line = BUFFER_INIT;
    uint64_t count = log->slots[index].denial.count;
    int sink = writer->sink;

    make_line(&log->slots[index], &line);
    pthread_mutex_unlock(&log->lock);
    int result = buffer_failed(&line) ? -ENOMEM : fd_write_all(sink, line.data, line.length);
    pthread_mutex_lock(&log->lock);
    if (result == 0) {
        struct record_slot *slot = &log->slots[index];
        writer->told += count - slot->told;
        slot->told = count;
        if (index == writer->written)
            writer->written++;
    } else {
        writer->error = -result; /* the reader is gone or the disk is full: never try again */
    }
    pthread_cond_broadcast(&writer->changed);
}

static struct timespec timespec_of(int64_t nanoseconds)
{
    return (struct timespec){.tv_sec = (time_t)(nanoseconds / NANOSECONDS),
                             .tv_nsec = (long)(nanoseconds % NANOSECONDS)};
}

/* With the lock. Until something is recorded; what equal denials there are waits for their round. */
static void await_denials(struct denial_log *log)
{
    struct denial_writer *writer = &log->writer;

    if (has_untold(log)) {
        struct timespec until = timespec_of(writer->round_at);
        pthread_cond_timedwait(&writer->changed, &log->lock, &until);
        return;
    }
    writer->idle = true;
    pthread_cond_wait(&writer->changed, &log->lock);
    writer->idle = false;
    writer->round_at = sys_monotonic_ns() + ROUND_NS;
}

void denial_log_write_out(struct denial_log *log)
{
    struct denial_writer *writer = &log->writer;

    pthread_mutex_lock(&log->lock);
    bool is_first = !writer->busy;
    writer->busy = true;
    while (is_first && is_open(log)) {
        struct record_slot *slot = next_to_write(log);
        if (slot != NULL)
            write_line(log, (uint32_t)(slot - log->slots));
        else
            await_denials(log);
    }
    pthread_mutex_unlock(&log->lock);
}

/* ---- The end ----------------------------------------------------------------------------------- */

void denial_log_close(struct denial_log *log)
{
    if (log == NULL)
        return;
    pthread_mutex_lock(&log->lock);
    log->writer.closed = true;
    pthread_cond_broadcast(&log->writer.changed);
    pthread_mutex_unlock(&log->lock);
}

/* With the lock. */
static void await_writer(struct denial_log *log, int64_t deadline)
{
    struct timespec until = timespec_of(deadline);

    while (is_open(log) && has_untold(log))
        if (pthread_cond_timedwait(&log->writer.changed, &log->lock, &until) != 0)
            break;
}

static bool becomes_writable(int fd, int64_t deadline)
{
    struct pollfd polled = {.fd = fd, .events = POLLOUT};
    int64_t left = (deadline - sys_monotonic_ns()) / 1000000;

    return left > 0 && RETRY_ON_EINTR(poll(&polled, 1, (int)left)) > 0;
}

/* With the lock: no thread could be made. Other writers of a pipe could make this wait for longer than
 * it should, but no member lives any more. */
static void write_rest(struct denial_log *log, int64_t deadline)
{
    struct record_slot *slot;

    log->writer.busy = true;
    while ((slot = next_to_write(log)) != NULL && becomes_writable(log->writer.sink, deadline))
        write_line(log, (uint32_t)(slot - log->slots));
}

uint64_t denial_log_finish(struct denial_log *log, int64_t patience, int *error)
{
    uint64_t lost = 0;

    *error = 0;
    if (log == NULL)
        return 0;
    pthread_mutex_lock(&log->lock);
    if (log->writer.sink >= 0) {
        log->writer.finishing = true;
        pthread_cond_broadcast(&log->writer.changed);
        if (log->writer.busy)
            await_writer(log, sys_monotonic_ns() + patience);
        else
            write_rest(log, sys_monotonic_ns() + patience);
        log->writer.closed = true;
        pthread_cond_broadcast(&log->writer.changed);
        lost = log->total - log->writer.told;
        *error = log->writer.error;
    }
    pthread_mutex_unlock(&log->lock);
    return lost;
}
