/*
 * Listings while the proc view is on. A descriptor of /proc/net is the real directory, so that paths
 * relative to it mean what they say; its names come from the catalogue. The list of /proc leaves out the
 * processes outside the sandbox. Every listing is made here, on a
 * duplicate of the descriptor, and none continues where the descriptor could be another one by then. The
 * position is the open file description's, so dup(), fork() and lseek() behave as ever.
 */
#include "net/network_files.h"

#include "kernel/process_tree.h"
#include "kernel/procfs.h"
#include "kernel/sys.h"
#include "kernel/task_memory.h"
#include "member/socket.h"
#include "supervisor/grants.h"
#include "util/fd.h"
#include "util/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What one call hands out at most; a caller with a larger buffer calls again. */
#define LISTING_MAX 32768

/* The kernel's records: struct linux_dirent64, and struct linux_dirent, whose type is the last byte. */
#define RECORD64_NAME 19
#define RECORD_NAME 18

/* "." and "..", then the catalogue. */
#define RECORDS (2 + NET_FILE_COUNT)

static const char *record_name(unsigned index)
{
    return index == 0 ? "." : index == 1 ? ".." : net_file_name((enum net_file)(index - 2));
}

static uint64_t record_inode(unsigned index)
{
    return index == 0   ? NET_INODE_DIRECTORY
           : index == 1 ? NET_INODE_PARENT
                        : NET_INODE_FILES + index - 2;
}

/* One record at the end of `used` bytes; its size, 0 if it does not fit. */
static size_t put_record(uint8_t *buffer, size_t used, size_t size, bool legacy, unsigned index)
{
    const char *name = record_name(index);
    size_t head = legacy ? RECORD_NAME : RECORD64_NAME;
    size_t length = (head + strlen(name) + 1 + (legacy ? 1 : 0) + 7) & ~(size_t)7;
    uint64_t inode = record_inode(index), next = index + 1;
    uint16_t reclen = (uint16_t)length;
    uint8_t type = index < 2 ? DT_DIR : DT_REG;

    if (used + length > size)
        return 0;
    uint8_t *record = buffer + used;
    memset(record, 0, length);
    memcpy(record, &inode, sizeof(inode));
    memcpy(record + 8, &next, sizeof(next));
    memcpy(record + 16, &reclen, sizeof(reclen));
    memcpy(record + head, name, strlen(name));
    record[legacy ? length - 1 : head - 1] = type;
    return length;
}

ssize_t net_listing(uint8_t *buffer, size_t size, bool legacy, unsigned *index)
{
    size_t used = 0;
    unsigned next = *index;

    while (next < RECORDS) {
        size_t length = put_record(buffer, used, size, legacy, next);
        if (length == 0)
            break;
        used += length;
        next++;
    }
    if (used == 0 && next < RECORDS)
        return -EINVAL;
    *index = next;
    return (ssize_t)used;
}

/* ---- One call ------------------------------------------------------------------------------------- */

enum directory_kind { DIRECTORY_PLAIN, DIRECTORY_NET, DIRECTORY_PROC };

struct listing {
    struct file_views *views;
    int fd; /* a duplicate of the member's, owned; -1: to be looked up again */
    enum directory_kind kind;
    bool legacy;
    uint64_t address;
    size_t size;
};

static void listing_free(void *data)
{
    struct listing *listing = data;

    fd_close(listing->fd);
    free(listing);
}

static enum directory_kind kind_of(const struct listing *listing)
{
    struct object_identity object;
    struct proc_place place;
    char path[PATH_MAX];
    bool unlinked;

    if (!object_identify(listing->fd, &object) ||
        object.device != listing->views->shadow->proc_device ||
        grants_path_of(listing->fd, path, sizeof(path), &unlinked) != 0)
        return DIRECTORY_PLAIN;
    if (strcmp(path, "/proc") == 0)
        return DIRECTORY_PROC;
    return proc_place_parse(path, &place) && strcmp(place.rest, "net") == 0 ? DIRECTORY_NET
                                                                            : DIRECTORY_PLAIN;
}

static bool is_listed(const struct process_tree *tree, const char *name)
{
    uint64_t pid;

    if (!text_parse_uint(name, strlen(name), INT32_MAX, &pid))
        return true; /* no process */
    for (size_t i = 0; i < tree->count; i++) {
        if (tree->entries[i].pid == (pid_t)pid)
            return true;
    }
    return false;
}

/* Takes the records of processes outside the sandbox out; what is left. The kernel made the records. */
static size_t drop_foreign(const struct process_tree *tree, bool legacy, uint8_t *buffer,
                           size_t used)
{
    size_t kept = 0, length;

    for (size_t at = 0; at < used; at += length) {
        uint16_t reclen;
        memcpy(&reclen, buffer + at + 16, sizeof(reclen));
        length = reclen;
        if (!is_listed(tree, (const char *)buffer + at + (legacy ? RECORD_NAME : RECORD64_NAME)))
            continue;
        memmove(buffer + kept, buffer + at, length);
        kept += length;
    }
    return kept;
}

static ssize_t read_records(const struct listing *listing, uint8_t *buffer, size_t size,
                            const off_t *position)
{
    if (listing->kind != DIRECTORY_NET) {
#if defined(SYS_getdents)
        if (listing->legacy)
            return sys_call3(SYS_getdents, listing->fd, (long)buffer, (long)size);
#endif
        return sys_call3(SYS_getdents64, listing->fd, (long)buffer, (long)size);
    }
    unsigned index = *position > RECORDS ? RECORDS : (unsigned)*position;
    ssize_t used = net_listing(buffer, size, listing->legacy, &index);
    if (used > 0 && lseek(listing->fd, index, SEEK_SET) < 0)
        return -errno;
    return used;
}

/* The list of /proc without the processes outside. */
static ssize_t read_processes(const struct listing *listing, uint8_t *buffer, size_t size)
{
    const struct file_views *views = listing->views;
    struct process_tree tree = PROCESS_TREE_INIT;
    ssize_t used =
        process_tree_refresh(&tree, views->proc_fd, supervisor_guardian(views->supervisor));
    const off_t unused = 0;

    while (used >= 0) {
        used = read_records(listing, buffer, size, &unused);
        if (used <= 0)
            break;
        used = (ssize_t)drop_foreign(&tree, listing->legacy, buffer, (size_t)used);
        if (used > 0)
            break;
    }
    process_tree_free(&tree);
    return used;
}

/* The answer: bytes, or -errno. A buffer that cannot be written leaves the position. */
static ssize_t list(const struct request *request, const struct listing *listing)
{
    _Alignas(uint64_t) uint8_t buffer[LISTING_MAX];
    size_t size = listing->size < sizeof(buffer) ? listing->size : sizeof(buffer);
    off_t position = lseek(listing->fd, 0, SEEK_CUR);

    if (position < 0)
        return errno == ESPIPE ? -ENOTDIR : -errno;
    ssize_t used = listing->kind == DIRECTORY_PROC ? read_processes(listing, buffer, size)
                                                   : read_records(listing, buffer, size, &position);
    if (used <= 0)
        return used;
    int result = request_is_valid(request)
                     ? task_memory_write_all((pid_t)request->notification.pid, listing->address,
                                             buffer, (size_t)used)
                     : -EINTR;
    if (result < 0)
        lseek(listing->fd, position, SEEK_SET);
    return result < 0 ? result : used;
}

/* 0, or -errno and there is no descriptor. */
static int look_up(const struct request *request, struct listing *listing)
{
    int fd = member_get_fd(request, (int)(uint32_t)request->notification.data.args[0]);

    if (fd < 0)
        return fd;
    /* Whoever reads or seeks in another kind of file may hold its position for long. */
    if (object_type(fd) != S_IFDIR) {
        member_close(request, fd);
        return -ENOTDIR;
    }
    listing->fd = fd;
    listing->kind = kind_of(listing);
    return 0;
}

static void work(const struct request *request, void *data)
{
    struct listing *listing = data;
    ssize_t used = listing->fd < 0 ? look_up(request, listing) : 0;

    if (used == 0) {
        local_devices_learn(&listing->views->local, listing->fd);
        used = list(request, listing);
    }
    if (used < 0)
        request_answer_errno(request, (int)-used);
    else
        request_answer_value(request, used);
}

/* Takes the descriptor over. */
static struct verdict submit(const struct request *request, const struct listing *listing)
{
    struct listing *copy = malloc(sizeof(*copy));

    if (copy == NULL) {
        member_close(request, listing->fd);
        return verdict_errno(ENOMEM);
    }
    *copy = *listing;
    if (request_would_wait(request)) {
        member_close(request, copy->fd);
        copy->fd = -1;
    }
    if (request_perform(request, work, copy, listing_free))
        return verdict_taken();
    listing_free(copy);
    return verdict_errno(ENOMEM);
}

/*
 * Where a duplicate is had by tracing it costs many times what the listing does. But there nobody else shares the
 * caller's table (kernel/fetch.h), and its only thread waits for us: what the descriptor refers to stays. True if
 * its name says that this is nothing of kind_of() but a plain directory, or none at all.
 */
static bool stays_plain(const struct request *request, const struct file_views *views)
{
    pid_t caller = (pid_t)request->notification.pid;
    char name[PATH_MAX];

    if (!supervisor_fetches(request->supervisor) ||
        procfs_thread_count(views->proc_fd, caller) != 1)
        return false;
    ssize_t length =
        procfs_read_fd_link(views->proc_fd, caller,
                            (int)(uint32_t)request->notification.data.args[0], name, sizeof(name));
    return length > 0 && name[0] == '/' && strncmp(name, "/proc", strlen("/proc")) != 0 &&
           request_is_valid(request);
}

struct verdict on_getdents(struct request *request)
{
    const struct seccomp_data *data = &request->notification.data;
    struct listing listing = {
        .views = request->state,
        .fd = -1,
        .legacy = request->trap->detail == LISTING_LEGACY,
        .address = data->args[1],
        .size = (uint32_t)data->args[2],
    };

    if (stays_plain(request, listing.views))
        return verdict_continue();
    int result = look_up(request, &listing);
    if (result < 0)
        return verdict_errno(-result);
    int fd = listing.fd;
    if (listing.kind == DIRECTORY_PROC ||
        (listing.kind == DIRECTORY_PLAIN && !local_devices_has(&listing.views->local, fd)))
        return submit(request, &listing);
    ssize_t used = list(request, &listing);
    if (used == -ENOTDIR) /* closing what is no directory may take its time */
        member_close(request, fd);
    else
        fd_close(fd);
    return used < 0 ? verdict_errno((int)-used) : verdict_value(used);
}
