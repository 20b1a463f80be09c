/*
 * Memory of a sandboxed task: see task_memory.h. One idea: both methods have the same contract (a
 * mapped prefix, or -EFAULT), so that nobody above needs to know which one is in use.
 */
#include "kernel/task_memory.h"

#include "kernel/procfs.h"
#include "kernel/sys.h"
#include "util/fd.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* The smallest page of the supported architectures; a larger real page only means more calls. */
#define PAGE_STEP 4096

/* One line of maps is the range, the rights and a path of at most PATH_MAX, escaped fourfold. */
#define MAPS_LINE_MAX 20480

/* ---- by system call ---- */

static ssize_t read_by_call(pid_t tid, uint64_t address, void *data, size_t size)
{
    ssize_t got = sys_process_read(tid, address, data, size);

    return got == 0 ? -EFAULT : got;
}

static ssize_t write_by_call(pid_t tid, uint64_t address, const void *data, size_t size)
{
    ssize_t put = sys_process_write(tid, address, data, size);

    return put == 0 ? -EFAULT : put;
}

/* ---- by file ---- */

/* EIO is how the mem file says that an address is not mapped; 0, that the address space is gone. */
static ssize_t file_result(ssize_t moved)
{
    if (moved < 0)
        return errno == EIO ? -EFAULT : -errno;
    return moved == 0 ? -EFAULT : moved;
}

/* The file offset is signed: the kernel's half of the address space cannot be a task's memory. */
static bool address_fits(uint64_t address, size_t size)
{
    return address <= INT64_MAX && size <= (uint64_t)INT64_MAX - address;
}

static ssize_t read_by_file(pid_t tid, uint64_t address, void *data, size_t size)
{
    if (!address_fits(address, size))
        return -EFAULT;
    CLEANUP_FD int fd = procfs_open_file(-1, tid, "mem", O_RDONLY);
    if (fd < 0)
        return fd == -ENOENT ? -ESRCH : fd;
    return file_result(RETRY_ON_EINTR(pread(fd, data, size, (off_t)address)));
}

/* Reads a file line by line in a buffer of fixed size. */
struct line_reader {
    int fd;
    size_t start;
    size_t end;
    char data[MAPS_LINE_MAX];
};

/* The next line without its line feed, NULL at the end or on an error. */
static char *next_line(struct line_reader *reader)
{
    for (;;) {
        char *line = reader->data + reader->start;
        char *feed = memchr(line, '\n', reader->end - reader->start);
        if (feed != NULL) {
            *feed = '\0';
            reader->start = (size_t)(feed - reader->data) + 1;
            return line;
        }
        memmove(reader->data, line, reader->end - reader->start);
        reader->end -= reader->start;
        reader->start = 0;
        if (reader->end == sizeof(reader->data))
            return NULL;
        ssize_t got = RETRY_ON_EINTR(
            read(reader->fd, reader->data + reader->end, sizeof(reader->data) - reader->end));
        if (got <= 0)
            return NULL;
        reader->end += (size_t)got;
    }
}

/* How many bytes from `address` on lie in writable mappings without a gap, at most `size`. */
static size_t writable_prefix(pid_t tid, uint64_t address, size_t size)
{
    CLEANUP_FREE struct line_reader *reader = malloc(sizeof(*reader));
    CLEANUP_FD int fd = procfs_open_file(-1, tid, "maps", O_RDONLY);
    uint64_t reached = address;

    if (reader == NULL || fd < 0)
        return 0;
    reader->fd = fd;
    reader->start = 0;
    reader->end = 0;
    for (char *line = next_line(reader); line != NULL && reached - address < size;
         line = next_line(reader)) {
        char *cursor;
        uint64_t first = strtoull(line, &cursor, 16);
        if (*cursor != '-')
            break;
        uint64_t behind = strtoull(cursor + 1, &cursor, 16);
        if (cursor[0] != ' ' || cursor[1] == '\0' || cursor[2] == '\0')
            break;
        if (behind <= reached)
            continue;
        if (first > reached || cursor[2] != 'w')
            break; /* mappings are sorted: the range has a gap or a read-only part here */
        reached = behind;
    }
    return reached - address < size ? (size_t)(reached - address) : size;
}

static ssize_t write_by_file(pid_t tid, uint64_t address, const void *data, size_t size)
{
    if (!address_fits(address, size))
        return -EFAULT;
    CLEANUP_FD int fd = procfs_open_file(-1, tid, "mem", O_WRONLY);
    if (fd < 0)
        return fd == -ENOENT ? -ESRCH : fd;
    /* The mem file ignores page protection and would change a private copy of a constant. A task
     * that changes its mappings between the look and the write harms only itself: the kernel never
     * lets this file write to a shared mapping that is not writable. */
    size_t writable = writable_prefix(tid, address, size);
    if (writable == 0)
        return -EFAULT;
    return file_result(RETRY_ON_EINTR(pwrite(fd, data, writable, (off_t)address)));
}

/* ---- choice of the method ---- */

/* Once-caches: what the kernel and a surrounding filter let this process do. */
static pthread_once_t methods_once = PTHREAD_ONCE_INIT;
static enum task_memory_method read_method;
static enum task_memory_method write_method;

/* Without memory to move the call does not look for the task, which is most of its cost. What is left to
 * find out is whether it exists and no filter around us refuses it: over what may be read and written the
 * kernel decides for both methods alike. */
static bool has_call(long number)
{
    return sys_call6(number, sys_gettid(), 0, 0, 0, 0, 0) == 0;
}

static bool can_read_file(void)
{
    volatile uint64_t source = 0x5341u;
    uint64_t copy = 0;

    return task_memory_read_by(TASK_MEMORY_FILE, sys_gettid(), (uintptr_t)&source, &copy,
                               sizeof(copy)) == (ssize_t)sizeof(copy) &&
           copy == source;
}

static bool can_write_file(void)
{
    volatile uint64_t target = 0;
    const uint64_t value = 0x5342u;

    return task_memory_write_by(TASK_MEMORY_FILE, sys_gettid(), (uintptr_t)&target, &value,
                                sizeof(value)) == (ssize_t)sizeof(value) &&
           target == value;
}

static void probe_methods(void)
{
    read_method = has_call(SYS_process_vm_readv) ? TASK_MEMORY_CALL
                  : can_read_file()              ? TASK_MEMORY_FILE
                                                 : TASK_MEMORY_NONE;
    write_method = has_call(SYS_process_vm_writev) ? TASK_MEMORY_CALL
                   : can_write_file()              ? TASK_MEMORY_FILE
                                                   : TASK_MEMORY_NONE;
}

enum task_memory_method task_memory_read_method(void)
{
    pthread_once(&methods_once, probe_methods);
    return read_method;
}

enum task_memory_method task_memory_write_method(void)
{
    pthread_once(&methods_once, probe_methods);
    return write_method;
}

/* ---- public ---- */

ssize_t task_memory_read_by(enum task_memory_method method, pid_t tid, uint64_t address, void *data,
                            size_t size)
{
    if (size == 0)
        return 0;
    if (tid <= 0)
        return -ESRCH;
    switch (method) {
    case TASK_MEMORY_CALL:
        return read_by_call(tid, address, data, size);
    case TASK_MEMORY_FILE:
        return read_by_file(tid, address, data, size);
    case TASK_MEMORY_NONE:
        break;
    }
    return -EPERM;
}

ssize_t task_memory_write_by(enum task_memory_method method, pid_t tid, uint64_t address,
                             const void *data, size_t size)
{
    if (size == 0)
        return 0;
    if (tid <= 0)
        return -ESRCH;
    switch (method) {
    case TASK_MEMORY_CALL:
        return write_by_call(tid, address, data, size);
    case TASK_MEMORY_FILE:
        return write_by_file(tid, address, data, size);
    case TASK_MEMORY_NONE:
        break;
    }
    return -EPERM;
}

ssize_t task_memory_read(pid_t tid, uint64_t address, void *data, size_t size)
{
    return task_memory_read_by(task_memory_read_method(), tid, address, data, size);
}

ssize_t task_memory_write(pid_t tid, uint64_t address, const void *data, size_t size)
{
    return task_memory_write_by(task_memory_write_method(), tid, address, data, size);
}

/* A short result may also come from a signal: the rest decides whether the range really ends. */
int task_memory_read_all(pid_t tid, uint64_t address, void *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t got = task_memory_read(tid, address + done, (char *)data + done, size - done);
        if (got < 0)
            return (int)got;
        done += (size_t)got;
    }
    return 0;
}

int task_memory_write_all(pid_t tid, uint64_t address, const void *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t put =
            task_memory_write(tid, address + done, (const char *)data + done, size - done);
        if (put < 0)
            return (int)put;
        done += (size_t)put;
    }
    return 0;
}

/* All ranges in one call where that works, else, and once more after a call that was cut short, one by
 * one. There are as many places as ranges, or one for all of them. */
static int transfer(pid_t tid, const struct iovec *ranges, size_t count, const struct iovec *places,
                    size_t place_count, bool writes)
{
    enum task_memory_method method =
        writes ? task_memory_write_method() : task_memory_read_method();
    size_t size = 0, done = 0;

    for (size_t i = 0; i < count; i++)
        size += ranges[i].iov_len;
    if (size == 0)
        return 0;
    if (method == TASK_MEMORY_CALL) {
        ssize_t moved = writes ? sys_process_scatter(tid, ranges, count, places, place_count)
                               : sys_process_gather(tid, ranges, count, places, place_count);
        if (moved == (ssize_t)size)
            return 0;
        if (moved < 0)
            return (int)moved;
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t address = (uintptr_t)ranges[i].iov_base;
        size_t length = ranges[i].iov_len;
        char *place = place_count == 1 ? (char *)places[0].iov_base + done : places[i].iov_base;
        int result = writes ? task_memory_write_all(tid, address, place, length)
                            : task_memory_read_all(tid, address, place, length);
        if (result < 0)
            return result;
        done += length;
    }
    return 0;
}

int task_memory_gather(pid_t tid, const struct iovec *ranges, size_t count, void *data, size_t size)
{
    const struct iovec place = {.iov_base = data, .iov_len = size};

    return transfer(tid, ranges, count, &place, 1, false);
}

int task_memory_gather_into(pid_t tid, const struct iovec *ranges, const struct iovec *places,
                            size_t count)
{
    return transfer(tid, ranges, count, places, count, false);
}

int task_memory_scatter(pid_t tid, const struct iovec *ranges, const struct iovec *places,
                        size_t count)
{
    return transfer(tid, ranges, count, places, count, true);
}

static ssize_t read_string(pid_t tid, uint64_t address, char *text, size_t max)
{
    size_t length = 0;

    while (length < max) {
        /* Up to the end of the page: the next one may be unmapped, or a trap of the task's. */
        size_t step = PAGE_STEP - (size_t)((address + length) % PAGE_STEP);
        if (step > max - length)
            step = max - length;
        ssize_t got = task_memory_read(tid, address + length, text + length, step);
        if (got < 0)
            return got;
        const char *end = memchr(text + length, '\0', (size_t)got);
        if (end != NULL)
            return end - text;
        length += (size_t)got;
    }
    return -ENAMETOOLONG;
}

ssize_t task_memory_read_string(pid_t tid, uint64_t address, char *text, size_t max)
{
    ssize_t length = address == 0 ? -EFAULT : read_string(tid, address, text, max);

    if (length < 0 && max > 0)
        text[0] = '\0';
    return length;
}
