/*
 * The object that a member's call points at, by descriptor or by path, pinned with O_PATH as the
 * member would see it. A verdict is made on the pinned object and the operation is performed on it,
 * so that nothing a member changes afterwards (memory, links, names) can swap it.
 */
#ifndef SANDLOCK_MEMBER_OBJECT_H
#define SANDLOCK_MEMBER_OBJECT_H

#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Whose view it is: the calling thread, its process, and /proc to look at them. */
struct member_view {
    int proc_fd;
    pid_t tid, tgid;
};

/* Filled by object_by_*(), released by object_release(). */
struct object {
    int base;     /* owned: what `path` starts from, or the object itself; -1 for absolute paths */
    bool is_base; /* the object is `base`, there is no path */
    bool no_follow; /* a symbolic link at the end is the object */
    char path[PATH_MAX];
};

#define OBJECT_INIT ((struct object){.base = -1})

/* The object behind the caller's descriptor `fd`. -EBADF also for an O_PATH descriptor, unless
 * `path_only_too`. 0 or -errno. */
int object_by_fd(struct object *object, const struct member_view *view, int fd, bool path_only_too);

/* `path` as the caller passed it with `dirfd` (AT_FDCWD: its working directory) and AT_SYMLINK_NOFOLLOW
 * and AT_EMPTY_PATH in `at_flags`. The starting point is opened here; the path is not walked yet. The
 * caller validates the notification afterwards. 0 or -errno (-EBADF, -ENOENT for an empty path). */
int object_by_path(struct object *object, const struct member_view *view, int dirfd,
                   const char *path, unsigned at_flags);

/* An O_PATH descriptor of the object, owned by the caller; or -errno as the walk gave it. With
 * `cached_only` the walk never waits: -EAGAIN if it would. Magic links other than the caller's own
 * (which object_by_path() has taken apart) are -ELOOP. Can be repeated. */
int object_pin(const struct object *object, bool cached_only);

/* The directory that holds what the path names, and its name there: `parent` borrows the base and is not
 * released. False: there is no last name, or it is "." or "..". */
bool object_parent(const struct object *object, struct object *parent, char name[NAME_MAX + 1]);

void object_release(struct object *object);

/* ---- Where a look at an object may wait --------------------------------------------------------- */

#define LOCAL_DEVICES_MAX 16

/* Devices whose file systems were found to be local, so that operations on them do not wait for
 * another process or machine. */
struct local_devices {
    pthread_mutex_t lock;
    uint64_t devices[LOCAL_DEVICES_MAX];
    size_t count;
};

#define LOCAL_DEVICES_INIT                \
    {                                     \
        .lock = PTHREAD_MUTEX_INITIALIZER \
    }

/* True if a device seen before is known to be local. Never waits. */
bool local_devices_has(struct local_devices *local, int path_fd);

/* The same. *on_block_device: it lies on one. */
bool local_devices_find(struct local_devices *local, int path_fd, bool *on_block_device);

/* Looks at the file system and remembers it if it is local. May wait: for workers. */
void local_devices_learn(struct local_devices *local, int path_fd);

/* The type bits of the object's mode (S_IFMT), 0 if unknown. Never waits. */
unsigned object_type(int path_fd);

/* Which object it is, and when it was last changed (ctime, seconds); from what the kernel knows without
 * asking anybody. False if it cannot be told. */
struct object_identity {
    uint64_t device, inode;
    unsigned mode;
    uint32_t uid;
    int64_t changed;
};

bool object_identify(int path_fd, struct object_identity *identity);

/* The same by name, links followed: for the host's own side. */
bool object_identify_path(int directory, const char *path, struct object_identity *identity);

/* True if it is a block device's, so none of the kernel's own file systems, which have no major number. */
static inline bool object_device_is_block(uint64_t device)
{
    return device >> 32 != 0;
}

/* The magic number of the object's file system (statfs(2)), 0 if it cannot be told. May wait where
 * local_devices_has() does not say otherwise. */
uint32_t object_file_system(int path_fd);

/* True if its file system may empty a file that is opened with O_TRUNC before Landlock is asked for the right to
 * truncate, whatever the file is opened for: overlayfs, FUSE, and what cannot be told. */
bool object_truncates_early(int path_fd);
bool object_type_truncates_early(uint32_t type); /* of statfs(2), 0: cannot be told */

/* True if the object lies in a procfs, and if it cannot be told. */
bool object_is_in_procfs(int path_fd);

/* ---- For tests ---------------------------------------------------------------------------------- */

/* One of the caller's own magic links at the start of a path. */
struct own_link {
    char name[32];    /* below /proc/<tid>: "fd/3", "cwd", "root", "exe" */
    const char *rest; /* what follows; "" when the link ends the path, "." for a trailing slash */
    bool by_dev;      /* spelled through /dev, so only if the names there are the usual links */
};

/* True if `path` starts with a link of the caller: below /proc/self, /proc/thread-self, its own
 * numbers, or /dev/fd and /dev/stdin, stdout, stderr. */
bool own_link_parse(const char *path, pid_t tid, pid_t tgid, struct own_link *link);

#endif
