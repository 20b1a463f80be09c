/*
 * What a member gets in place of a file: sealed memory with the text of a view, or the pinned object
 * itself, opened with no more rights than the member has. Every open has a description of its own.
 */
#include "net/network_files.h"

#include "kernel/procfs.h"
#include "kernel/sys.h"
#include "member/path_verdict.h"
#include "net/network.h"
#include "util/fault.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#ifndef F_ADD_SEALS
#define F_ADD_SEALS 1033
#define F_SEAL_SEAL 0x0001
#define F_SEAL_SHRINK 0x0002
#define F_SEAL_GROW 0x0004
#define F_SEAL_WRITE 0x0008
#endif

/* Without a rule that names a host. */
#define HOSTS_PLAIN "127.0.0.1 localhost\n::1 localhost\n"

#define ACCESS_MODE 3 /* musl's O_ACCMODE has O_PATH in it */

/* What a description can be asked to be; not how the name is walked. */
#define KEPT_FLAGS                                                                                \
    (ACCESS_MODE | O_APPEND | O_NONBLOCK | O_DIRECTORY | O_NOATIME | O_DSYNC | O_SYNC | O_TRUNC | \
     O_NOCTTY)

/* Sealed memory with this text, for reading, as old as the sandbox. A descriptor or -errno. */
static int seal_text(const struct file_views *views, const char *name, const char *text,
                     size_t length)
{
    const struct timespec times[2] = {{.tv_sec = views->started}, {.tv_sec = views->started}};

    char full_name[64];

    snprintf(full_name, sizeof(full_name), VIEW_FILE_PREFIX "%s", name);
    CLEANUP_FD int fd = sys_memfd(full_name, 0);
    if (fd < 0)
        return fd;
    int result = fd_write_all(fd, text, length);
    if (result < 0)
        return result;
    if (fchmod(fd, 0444) != 0 || futimens(fd, times) != 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0)
        return -errno;
    return fd_steal(&fd);
}

/* A description of its own: at offset 0, for reading alone. */
static int open_again(const struct file_views *views, int fd, uint64_t flags)
{
    char name[32];

    snprintf(name, sizeof(name), "fd/%d", fd);
    return procfs_open_file(views->proc_fd, 0, name, (int)flags);
}

/* Made for this open alone: nothing of a look is kept. */
static int open_sockets(struct file_views *views, enum net_file file)
{
    CLEANUP_BUFFER struct buffer text = BUFFER_INIT;
    struct proc_sockets source = views->sockets;

    source.guardian = supervisor_guardian(views->supervisor);
    source.netlink = network_of(views->supervisor)->netlink;
    int result = proc_sockets_text(&source, file, &text);
    if (result < 0) /* whatever it was: there is no answer, and never the host's */
        return result == -ENOMEM || result == -EMFILE || result == -ENFILE ? result : -EACCES;
    CLEANUP_FD int fd = seal_text(views, net_file_name(file), buffer_text(&text), text.length);
    return fd < 0 ? fd : open_again(views, fd, O_RDONLY);
}

static int open_fixed(struct file_views *views, enum net_file file)
{
    const char *text = net_file_text(file);

    pthread_mutex_lock(&views->fixed_lock);
    if (views->net_fds[file] < 0)
        views->net_fds[file] = seal_text(views, net_file_name(file), text, strlen(text));
    int sealed = views->net_fds[file];
    pthread_mutex_unlock(&views->fixed_lock);
    return sealed < 0 ? sealed : open_again(views, sealed, O_RDONLY);
}

int view_open_net(struct file_views *views, enum net_file file)
{
    if (net_file_text(file) != NULL)
        return open_fixed(views, file);
    pthread_mutex_lock(&views->sockets_lock);
    int fd = open_sockets(views, file);
    pthread_mutex_unlock(&views->sockets_lock);
    return fd;
}

static bool is_same(int path_fd, int other_fd)
{
    struct object_identity object, other;

    return object_identify(path_fd, &object) && object_identify(other_fd, &other) &&
           object.device == other.device && object.inode == other.inode;
}

/* The pinned object was found with the supervisor's rights. 0: the member finds it, too. -EAGAIN with
 * `cached_only`: telling would wait. */
static int find_as_member(const struct file_views *views, const struct request *request,
                          const struct open_call *call, int path_fd, bool cached_only,
                          const struct member_identity *identity)
{
    struct lowered_rights lowered;

    int result = identity_lower(identity, &lowered);
    if (result < 0)
        return result;
    CLEANUP_FD int fd = open_call_pin(call, cached_only);
    identity_restore(&lowered);
    if (fd < 0 && fd != -EAGAIN && walk_is_needed(views, call, fd)) {
        if (cached_only)
            return -EAGAIN;
        fd = walk_as_caller(views, request, call, identity);
    }
    if (fd < 0)
        return fd;
    return is_same(path_fd, fd) ? 0 : -EACCES;
}

static int open_as_member(const struct file_views *views, int path_fd, uint64_t flags,
                          const struct member_identity *identity)
{
    struct lowered_rights lowered;

    int result = identity_lower(identity, &lowered);
    if (result < 0)
        return result;
    int fd = open_again(views, path_fd, flags);
    identity_restore(&lowered);
    return fd;
}

/* The kernel asks nobody about the caller's own process (ptrace(2)), and lets it list its own entries. */
static int open_own(const struct file_views *views, int path_fd, uint64_t flags,
                    struct member_identity *identity)
{
    if (object_type(path_fd) == S_IFDIR)
        return open_again(views, path_fd, flags);
    identity->effective |= 1ULL << CAP_SYS_PTRACE;
    return open_as_member(views, path_fd, flags, identity);
}

int view_reopen(const struct file_views *views, const struct request *request,
                const struct open_call *call, int path_fd, bool own, bool *waits)
{
    CLEANUP_IDENTITY struct member_identity identity = {0};
    uint64_t flags = call->flags & (uint64_t)KEPT_FLAGS;
    bool known = false;

    int result = own_rights_look(&views->rights, request, views->mapped, &known, &identity);
    if (result < 0)
        return result;
    if (!known || !identity_differs(&identity))
        return open_again(views, path_fd, flags);
    if (own)
        return open_own(views, path_fd, flags, &identity);
    result = find_as_member(views, request, call, path_fd, waits != NULL, &identity);
    if (result == -EAGAIN && waits != NULL)
        *waits = true;
    return result < 0 ? result : open_as_member(views, path_fd, flags, &identity);
}

bool view_seal_hosts(struct file_views *views, struct error *err)
{
    const struct network *network = network_of(views->supervisor);
    bool has_text = network->hosts != NULL;
    const char *text = has_text ? network->hosts : HOSTS_PLAIN;

    views->hosts_fd =
        FAULT_OR("hosts-file", -EIO,
                 seal_text(views, "hosts", text, has_text ? network->hosts_length : strlen(text)));
    return views->hosts_fd >= 0 ||
           error_runtime(err, -views->hosts_fd, "hosts file of the sandbox");
}

int view_open_hosts(const struct file_views *views)
{
    return open_again(views, views->hosts_fd, O_RDONLY);
}
