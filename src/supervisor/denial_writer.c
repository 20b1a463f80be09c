/*
 * The denial log's sink: see denial.h. A reader may be slow or asleep, so nobody who records ever writes:
 * a thread of its own takes one record after the other out of the ring and waits as long as it must.
 * What it did not get to the reader by the end of the run is counted.
 */
#include "supervisor/denial_internal.h"

#include "kernel/sys.h"
#include "util/fd.h"

#include <errno.h>
#include <poll.h>
#include <time.h>

#define NANOSECONDS 1000000000LL

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

void denial_writer_wake(struct denial_log *log)
{
    if (log->writer.sink >= 0)
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
static bool has_more(const struct denial_log *log)
{
    const struct denial_writer *writer = &log->writer;

    return !writer->closed && writer->error == 0 && writer->written < log->count;
}

/* The line tells of the first occurrence, whenever it is written. */
static void make_line(const struct denial *denial, struct buffer *line)
{
    struct denial first = *denial;
    struct json json;

    first.count = 1;
    json_init(&json, line, 0);
    denial_write_json(&json, &first);
    buffer_append_char(line, '\n');
}

/* With the lock, which is left for the write. */
static void write_next(struct denial_log *log)
{
    struct denial_writer *writer = &log->writer;
    CLEANUP_BUFFER struct buffer line = BUFFER_INIT;
    int sink = writer->sink;

    make_line(&log->slots[writer->written].denial, &line);
    pthread_mutex_unlock(&log->lock);
    int result = buffer_failed(&line) ? -ENOMEM : fd_write_all(sink, line.data, line.length);
    pthread_mutex_lock(&log->lock);
    if (result == 0)
        writer->written++;
    else
        writer->error = -result; /* the reader is gone or the disk is full: never try again */
    pthread_cond_broadcast(&writer->changed);
}

void denial_log_write_out(struct denial_log *log)
{
    struct denial_writer *writer = &log->writer;

    pthread_mutex_lock(&log->lock);
    bool is_first = !writer->busy;
    writer->busy = true;
    while (is_first && !writer->closed && writer->error == 0) {
        if (has_more(log))
            write_next(log);
        else
            pthread_cond_wait(&writer->changed, &log->lock);
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
    struct timespec until = {.tv_sec = (time_t)(deadline / NANOSECONDS),
                             .tv_nsec = (long)(deadline % NANOSECONDS)};

    while (has_more(log))
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
    log->writer.busy = true;
    while (has_more(log) && becomes_writable(log->writer.sink, deadline))
        write_next(log);
}

uint64_t denial_log_finish(struct denial_log *log, int64_t patience, int *error)
{
    uint64_t lost = 0;

    *error = 0;
    if (log == NULL)
        return 0;
    pthread_mutex_lock(&log->lock);
    if (log->writer.sink >= 0) {
        if (log->writer.busy)
            await_writer(log, sys_monotonic_ns() + patience);
        else
            write_rest(log, sys_monotonic_ns() + patience);
        log->writer.closed = true;
        pthread_cond_broadcast(&log->writer.changed);
        lost = log->count - log->writer.written + log->dropped;
        *error = log->writer.error;
    }
    pthread_mutex_unlock(&log->lock);
    return lost;
}
