/*
 * Memory of a sandboxed task, read and written from outside.
 *
 * Two methods exist, because containers often refuse the first: process_vm_readv/-writev, and
 * /proc/<tid>/mem. Which one works is found out once per process on the process's own memory.
 *
 * What was read may belong to nobody or to a stranger: the task can die meanwhile and its id be
 * used again. A caller that acts for a notification must check *after the read and before the use*
 * that the notification is still pending (notify_check_id()). And another thread of the task can
 * change the memory at any time: decide on the copy, act on the copy, never let the kernel read it
 * again.
 *
 * Reading can block as long as a page fault of the task can, and as long as its threads hold the lock of its
 * memory map: on a slow file system, not for ever, provided that the filter keeps members from userfaultfd.
 */
#ifndef SANDLOCK_KERNEL_TASK_MEMORY_H
#define SANDLOCK_KERNEL_TASK_MEMORY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

enum task_memory_method {
    TASK_MEMORY_NONE = 0, /* neither works */
    TASK_MEMORY_CALL,     /* process_vm_readv / process_vm_writev */
    TASK_MEMORY_FILE,     /* /proc/<tid>/mem */
};

/* What this process may use; probed once, thread-safe. Probe before the caller's own filter is
 * installed or let that filter allow both. */
enum task_memory_method task_memory_read_method(void);
enum task_memory_method task_memory_write_method(void);

/* Reads up to `size` bytes at `address`. Returns the number read, which is less than `size` when
 * the range runs into memory that is not mapped (0 only for size 0), or -errno: -EFAULT nothing
 * mapped there, -ESRCH no such task, -EPERM/-EACCES not allowed. */
ssize_t task_memory_read(pid_t tid, uint64_t address, void *data, size_t size);

/* Reads exactly `size` bytes: 0, or -errno (-EFAULT if not all are mapped). */
int task_memory_read_all(pid_t tid, uint64_t address, void *data, size_t size);

/* Reads `size` bytes that lie in `count` (at most 1024) ranges of the task, one behind the other: 0, or
 * -errno (-EFAULT if not all are mapped). The ranges hold addresses of the task; their lengths add up to
 * `size`. */
int task_memory_gather(pid_t tid, const struct iovec *ranges, size_t count, void *data,
                       size_t size);

/* The same with a place of the same size for each range. */
int task_memory_gather_into(pid_t tid, const struct iovec *ranges, const struct iovec *places,
                            size_t count);

/* Reads a NUL-terminated string into `text`, which has room for `max` bytes including the NUL.
 * Returns the length without it. Never touches a page behind the one that holds the NUL.
 * -ENAMETOOLONG: no NUL within `max` bytes; -EFAULT: address 0, or unmapped before a NUL. On
 * failure `text` holds the empty string (if max > 0). Bytes, not text: any value but 0 can occur.
 */
ssize_t task_memory_read_string(pid_t tid, uint64_t address, char *text, size_t max);

/* Writes up to `size` bytes and respects page protection: read-only memory yields -EFAULT as it
 * would for the kernel. Returns the number written (a prefix as for reading) or -errno. */
ssize_t task_memory_write(pid_t tid, uint64_t address, const void *data, size_t size);

/* Writes all `size` bytes: 0, or -errno (-EFAULT if not all are writable; a prefix may be written).
 */
int task_memory_write_all(pid_t tid, uint64_t address, const void *data, size_t size);

/* Writes several places of ours to ranges of the same sizes, in order. 0, or -errno (a part may be
 * written). */
int task_memory_scatter(pid_t tid, const struct iovec *ranges, const struct iovec *places,
                        size_t count);

/* The same by a given method, for probes and tests. */
ssize_t task_memory_read_by(enum task_memory_method method, pid_t tid, uint64_t address, void *data,
                            size_t size);
ssize_t task_memory_write_by(enum task_memory_method method, pid_t tid, uint64_t address,
                             const void *data, size_t size);

#endif
