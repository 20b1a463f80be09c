/* Terminals among the standard streams: see stream_terminals.h. */
#include "launch/stream_terminals.h"

#include "util/fd.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum kind { NO_TERMINAL, OWN_TERMINAL, FOREIGN_TERMINAL };

/* The other end of a pseudo terminal is none: nobody types there. */
static enum kind kind_of(int fd)
{
    struct stat status;
    unsigned number;
    pid_t session;

    if (fstat(fd, &status) != 0 || !S_ISCHR(status.st_mode) || !isatty(fd) ||
        ioctl(fd, TIOCGPTN, &number) == 0)
        return NO_TERMINAL;
    /* The kernel answers this for the controlling terminal of who asks, and for no other. */
    return ioctl(fd, TIOCGSID, &session) == 0 ? OWN_TERMINAL : FOREIGN_TERMINAL;
}

/* The descriptor that the stream would be. -1: none of the caller's; one that is close-on-exec ends at the exec. */
static int descriptor_of(const struct stream_spec *spec, int stream)
{
    int flags = spec->mode == STREAM_INHERIT ? fcntl(stream, F_GETFD) : FD_CLOEXEC;

    if (spec->mode == STREAM_FD)
        return spec->fd;
    return flags >= 0 && (flags & FD_CLOEXEC) == 0 ? stream : -1;
}

static bool same_terminal(int one, int other)
{
    unsigned first = 0, second = 1;

    return ioctl(one, TIOCGDEV, &first) == 0 && ioctl(other, TIOCGDEV, &second) == 0 &&
           first == second;
}

/* By the descriptor, not by a name. What was opened as /dev/tty may be another terminal by now. */
static int open_anew(int fd, int access)
{
    char path[48];

    snprintf(path, sizeof(path), "/proc/thread-self/fd/%d", fd);
    /* Without waiting for a line that is not connected. */
    CLEANUP_FD int opened = open(path, access | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (opened < 0 || !same_terminal(opened, fd) || fcntl(opened, F_SETFL, 0) != 0)
        return -1;
    return opened > 2 ? fd_steal(&opened) : fd_duplicate_above(opened, 3);
}

static void note_foreign(struct stream_terminals *terminals, int fd)
{
    unsigned device = 0;

    if (ioctl(fd, TIOCGDEV, &device) == 0)
        terminals->foreign[terminals->foreign_count++] = device;
}

/* Stream number `stream` is the terminal `fd`, and the command may read it or not. */
static void give(struct stream_terminals *terminals, int stream, int fd, enum kind kind, bool reads)
{
    int flags = fcntl(fd, F_GETFL);
    int access = flags & O_ACCMODE;

    if (flags < 0 || (flags & O_PATH) != 0 || access == O_ACCMODE)
        return;
    if (!reads && access == O_RDONLY) { /* an output that can only be read */
        terminals->streams[stream] = (struct stream_spec){STREAM_NULL, -1};
        return;
    }
    int opened = open_anew(fd, reads ? access : O_WRONLY);
    if (opened >= 0) {
        terminals->opened[stream] = opened;
        terminals->streams[stream] = (struct stream_spec){STREAM_FD, opened};
    }
    bool readable = access != O_WRONLY && (reads || opened < 0);
    terminals->keeps_output = terminals->keeps_output || (readable && !reads);
    terminals->reads_own = terminals->reads_own || (readable && kind == OWN_TERMINAL);
    terminals->reads_foreign = terminals->reads_foreign || (readable && kind == FOREIGN_TERMINAL);
}

/* In a run of the library whose output is collected the command is in the background for good, where reading fails:
 * there the input is nothing from the start. Who asks for the terminal (-i) gets what there is. */
static bool refuses_input(const struct launch_spec *spec, enum kind kind)
{
    bool collected = false;

    for (int i = 0; i < 3; i++)
        collected = collected || spec->streams[i].mode != STREAM_INHERIT;
    return kind == FOREIGN_TERMINAL
               ? !spec->force_terminal
               : !spec->own_process && collected && spec->streams[0].mode == STREAM_INHERIT;
}

void stream_terminals_plan(struct stream_terminals *terminals, const struct launch_spec *spec)
{
    int fds[3];
    enum kind kinds[3];

    *terminals = STREAM_TERMINALS_INIT;
    for (int i = 0; i < 3; i++) {
        terminals->streams[i] = spec->streams[i];
        fds[i] = descriptor_of(&spec->streams[i], i);
        kinds[i] = fds[i] < 0 ? NO_TERMINAL : kind_of(fds[i]);
        terminals->on_own = terminals->on_own || kinds[i] == OWN_TERMINAL;
        if (kinds[i] == FOREIGN_TERMINAL)
            note_foreign(terminals, fds[i]);
    }
    terminals->input_is_own = kinds[0] == OWN_TERMINAL;
    bool refused = kinds[0] != NO_TERMINAL && refuses_input(spec, kinds[0]);
    if (refused)
        terminals->streams[0] = (struct stream_spec){STREAM_NULL, -1};
    else if (kinds[0] != NO_TERMINAL)
        give(terminals, 0, fds[0], kinds[0], true);
    terminals->input_refused = refused && kinds[0] == FOREIGN_TERMINAL;
    for (int i = 1; i < 3; i++) {
        bool reads = spec->force_terminal ||
                     (!refused && kinds[0] == OWN_TERMINAL && kinds[i] == OWN_TERMINAL);
        if (kinds[i] != NO_TERMINAL)
            give(terminals, i, fds[i], kinds[i], reads);
    }
}

void stream_terminals_close(struct stream_terminals *terminals)
{
    for (int i = 0; i < 3; i++) {
        fd_close(terminals->opened[i]);
        terminals->opened[i] = -1;
    }
}
