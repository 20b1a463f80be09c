/* Planning of descriptors: see streams.h. */
#include "launch/streams.h"

#include "util/fault.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Takes `fd` over, moves it above `floor`, remembers it as a source. Returns it or -errno. */
static int add_source(struct streams *streams, int fd, int floor)
{
    int moved = fd;

    if (fd < 0)
        return -errno;
    if (fd < floor) {
        moved = fd_duplicate_above(fd, floor);
        fd_close(fd);
        if (moved < 0)
            return moved;
    }
    streams->sources[streams->source_count++] = moved;
    return moved;
}

static void add_map(struct streams *streams, int source, int target)
{
    streams->maps[streams->map_count++] = (struct bare_map){source, target};
}

static int add_pipe(struct streams *streams, int stream, int floor)
{
    int ends[2];
    bool child_reads = stream == 0;

    if (pipe2(ends, O_CLOEXEC) != 0)
        return -errno;
    int child_end = ends[child_reads ? 0 : 1];
    int host_end = ends[child_reads ? 1 : 0];
    if (host_end <= 2) {
        int moved = fd_duplicate_above(host_end, 3);
        fd_close(host_end);
        host_end = moved;
    }
    if (host_end < 0) {
        fd_close(child_end);
        return host_end;
    }
    streams->host_ends[stream] = host_end;
    return add_source(streams, child_end, floor);
}

static int open_null(int stream)
{
    return open("/dev/null", (stream == 0 ? O_RDONLY : O_WRONLY) | O_CLOEXEC | O_NOCTTY);
}

/* True if the descriptor is one that a command would inherit, not one of ours that landed on a number
 * which the host had closed: all of ours are close-on-exec. */
static bool is_hosts_own(int fd)
{
    int flags = fcntl(fd, F_GETFD);

    return flags >= 0 && (flags & FD_CLOEXEC) == 0;
}

/* A file of the kernel's own memory, without a name: a memfd, of huge pages too. */
static bool is_memory(const struct stat *status, const struct statfs *system)
{
    return S_ISREG(status->st_mode) && status->st_nlink == 0 &&
           (system->f_type == TMPFS_MAGIC || system->f_type == HUGETLBFS_MAGIC);
}

/* Whoever has one end of an anonymous pipe can open the other through /proc/self/fd, and Landlock does not
 * judge pipes. What a member writes into the pipe that it reads from reaches all who read there: a
 * shell that takes its script from it would run that. So such a pipe may not be opened for writing any
 * more; who has its other end keeps it. Members cannot change the mode back (metadata gate). Somebody
 * else's pipe cannot be changed, nor opened by our user. The same of a memfd: anybody may open it by its mode, and the
 * caller who handed it out for reading may read its script from it; for writing, and have what is there to itself. */
static void close_way_back(int fd)
{
    struct stat status;
    struct statfs system;
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || (flags & O_PATH) != 0 || fstat(fd, &status) != 0 ||
        (!S_ISFIFO(status.st_mode) && !S_ISREG(status.st_mode)) || fstatfs(fd, &system) != 0)
        return;
    bool memory = is_memory(&status, &system);
    if (!memory && system.f_type != PIPEFS_MAGIC)
        return;
    mode_t kept = 07777;
    if ((flags & O_ACCMODE) == O_RDONLY)
        kept = 0555;
    else if (memory && (flags & O_ACCMODE) == O_WRONLY)
        kept = 0333;
    if ((status.st_mode & 07777 & ~kept) != 0)
        fchmod(fd, status.st_mode & kept);
}

static bool add_stream(struct streams *streams, int stream, const struct stream_spec *spec,
                       int floor, struct error *err)
{
    static const char *const names[] = {"standard input", "standard output", "standard error"};
    int source;

    switch (spec->mode) {
    case STREAM_INHERIT:
        add_map(streams, -1, stream);
        close_way_back(stream);
        if (stream == 2 && is_hosts_own(2))
            streams->error_fd = 2;
        return true;
    case STREAM_CLOSED:
        return true; /* not among the kept numbers */
    case STREAM_PIPED:
        source = FAULT_OR("pipe", -EIO, add_pipe(streams, stream, floor));
        break;
    case STREAM_NULL:
        source = add_source(streams, open_null(stream), floor);
        break;
    case STREAM_FD:
        source = add_source(streams, fcntl(spec->fd, F_DUPFD_CLOEXEC, floor), floor);
        break;
    default:
        return error_config(err, "unknown mode %u of %s: 0 inherit, 1 piped, 2 null",
                            (unsigned)spec->mode, names[stream]);
    }
    if (source < 0)
        return error_runtime(err, -source, "%s", names[stream]);
    add_map(streams, source, stream);
    if (spec->mode == STREAM_FD)
        close_way_back(source);
    if (stream == 2)
        streams->error_fd = source;
    return true;
}

static int compare_ints(const void *left, const void *right)
{
    int a = *(const int *)left;
    int b = *(const int *)right;

    return (a > b) - (a < b);
}

size_t descriptor_ranges(int *kept, size_t count, struct bare_range *ranges)
{
    size_t used = 0;
    int next = 0;

    qsort(kept, count, sizeof(*kept), compare_ints);
    ranges[used++] = (struct bare_range){count > 0 ? (unsigned)kept[count - 1] + 1 : 0, ~0U};
    for (size_t i = 0; i < count; i++) {
        if (kept[i] > next)
            ranges[used++] = (struct bare_range){(unsigned)next, (unsigned)kept[i] - 1};
        next = kept[i] + 1;
    }
    return used;
}

static bool plan_ranges(struct streams *streams)
{
    size_t count = streams->map_count;
    CLEANUP_FREE int *kept = calloc(count + 1, sizeof(*kept));

    streams->ranges = FAULT_OR("streams", NULL, calloc(count + 2, sizeof(*streams->ranges)));
    if (kept == NULL || streams->ranges == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct bare_map *map = &streams->maps[i];
        kept[i] = map->source >= 0 ? map->source : map->target;
    }
    if (streams->exec_fd >= 0)
        kept[count++] = streams->exec_fd;
    streams->range_count = descriptor_ranges(kept, count, streams->ranges);
    return true;
}

bool streams_prepare(struct streams *streams, const struct launch_spec *spec, struct error *err)
{
    size_t count = 4 + spec->fd_count;
    int floor = 3;

    *streams = STREAMS_INIT;
    streams->maps = calloc(count, sizeof(*streams->maps));
    streams->sources = calloc(count, sizeof(*streams->sources));
    if (streams->maps == NULL || streams->sources == NULL)
        goto no_memory;
    for (size_t i = 0; i < spec->fd_count; i++) {
        if (spec->fds[i].target < 3) {
            streams_free(streams);
            return error_config(err, "extra descriptor target %d is below 3", spec->fds[i].target);
        }
        if (spec->fds[i].target >= floor)
            floor = spec->fds[i].target + 1;
    }
    for (int stream = 0; stream < 3; stream++) {
        if (!add_stream(streams, stream, &spec->streams[stream], floor, err)) {
            streams_free(streams);
            return false;
        }
    }
    for (size_t i = 0; i < spec->fd_count; i++) {
        int source = add_source(streams, fcntl(spec->fds[i].source, F_DUPFD_CLOEXEC, floor), floor);
        if (source < 0) {
            int target = spec->fds[i].target;
            streams_free(streams);
            return error_runtime(err, -source, "descriptor for target %d", target);
        }
        add_map(streams, source, spec->fds[i].target);
        close_way_back(source);
    }
    if (spec->exec_fd != NULL) {
        streams->exec_fd =
            add_source(streams, fcntl(*spec->exec_fd, F_DUPFD_CLOEXEC, floor), floor);
        if (streams->exec_fd < 0) {
            int error = -streams->exec_fd;
            streams_free(streams);
            return error_runtime(err, error, "descriptor of the image");
        }
    }
    if (!plan_ranges(streams))
        goto no_memory;
    return true;

no_memory:
    streams_free(streams);
    return error_runtime(err, ENOMEM, "descriptors");
}

void streams_close_sources(struct streams *streams)
{
    for (size_t i = 0; streams->sources != NULL && i < streams->source_count; i++)
        fd_close(streams->sources[i]);
    streams->source_count = 0;
}

void streams_free(struct streams *streams)
{
    streams_close_sources(streams);
    for (int i = 0; i < 3; i++)
        fd_close(streams->host_ends[i]);
    free(streams->maps);
    free(streams->sources);
    free(streams->ranges);
    *streams = STREAMS_INIT;
}
