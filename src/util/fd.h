/*
 * Descriptor and memory ownership helpers: cleanup attributes so that every early return is
 * correct, and the few I/O loops that are needed everywhere. Every descriptor made by sandlock is
 * close-on-exec from birth.
 */
#ifndef SANDLOCK_UTIL_FD_H
#define SANDLOCK_UTIL_FD_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/* Repeats a libc call while it fails with EINTR. */
#define RETRY_ON_EINTR(expression)                      \
    __extension__({                                     \
        __typeof__(expression) retry_result;            \
        do {                                            \
            retry_result = (expression);                \
        } while (retry_result == -1 && errno == EINTR); \
        retry_result;                                   \
    })

/* In somebody else's process our numbers can be closed under us (close_range(2)), and be given to what is none of
 * ours. A guard tells whether they still mean what they meant; without a function they always do. Any thread. */
struct fd_guard {
    bool (*are_ours)(const void *data);
    const void *data;
};

/* For threads that come back from calls that last, and for a teardown after that has happened: from here on fd_close()
 * asks first on this thread, and others can. {NULL}: no more. Returns the one before. */
struct fd_guard fd_guard_thread(struct fd_guard guard);
bool fd_are_guarded(void);
bool fd_are_ours(void); /* true on a thread without a guard */

static inline void fd_close(int fd)
{
    if (fd >= 0 && fd_are_ours()) {
        int saved = errno;
        close(fd); /* never retried: on Linux the number is free also after EINTR */
        errno = saved;
    }
}

static inline void fd_cleanup(int *fd)
{
    fd_close(*fd);
    *fd = -1;
}

static inline void free_cleanup(void *slot)
{
    void *pointer; /* the slot may be a pointer to anything */

    memcpy(&pointer, slot, sizeof(pointer));
    free(pointer);
}

#define CLEANUP_FD __attribute__((cleanup(fd_cleanup)))
#define CLEANUP_FREE __attribute__((cleanup(free_cleanup)))

/* Before closing what may be the last descriptor of a socket: with SO_LINGER and a time the kernel would
 * wait for the peer. Anything else is left alone; errno stays. */
void fd_end_lingering(int fd);

/* Hands a descriptor out of a CLEANUP_FD variable. */
static inline int fd_steal(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

/* Writes all of it, repeating short writes and waiting for room, also where the descriptor does not
 * block: for ever if nobody reads. Returns 0 or -errno. Never raises SIGPIPE on sockets; on pipes the
 * caller's SIGPIPE disposition applies. */
int fd_write_all(int fd, const void *data, size_t size);

/* Reads until end of file or until `size` bytes are there. Returns the count or -errno. */
ssize_t fd_read_full(int fd, void *data, size_t size);

/* A duplicate at or above `minimum`, close-on-exec. Returns the descriptor or -errno. */
int fd_duplicate_above(int fd, int minimum);

/* Reads a whole file of at most `limit` bytes into a malloc'd, NUL-terminated buffer (*length
 * excludes the NUL). Returns 0 or -errno; -EFBIG if the file is larger. */
int fd_read_file(int fd, size_t limit, char **data, size_t *length);

#endif
