/*
 * See pause.h. A list of children would have to be read for every thread, and to be followed to any depth. The
 * list of all processes is flat, and whether one is a member the kernel says: from within a domain that scopes
 * signals only members can be signalled. Without the scope a member is known by its line of parents, which is
 * short or ends at the guardian, since that gets every orphan.
 */
#include "bare/pause.h"

#include "kernel/put_text.h"
#include "kernel/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>

/* Without the scope members are stopped one after the other, and those not yet stopped may fork; with it, one may
 * continue another in the same moment. */
#define STOP_ROUNDS 16
#define STOP_PAUSE_NS 1000000

/* Parents of one process: more are a mistake, or change faster than they can be read. */
#define PARENTS_MAX 65536
#define PARENT_TRIES 4

/* ---- Reading ---------------------------------------------------------------------------------- */

/* struct linux_dirent64 */
struct entry {
    uint64_t inode;
    int64_t offset;
    uint16_t size;
    uint8_t type;
    char name[];
};

/* The numbers among the names of a directory. */
struct listing {
    long fd;
    long length;
    long at;
    char entries[1024] __attribute__((aligned(8)));
};

static long listing_open(struct listing *listing, const char *path)
{
    listing->length = 0;
    listing->at = 0;
    listing->fd =
        sys_call4(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    return listing->fd;
}

static long number_at(const char *text)
{
    long number = 0;

    while (*text >= '0' && *text <= '9')
        number = number * 10 + (*text++ - '0');
    return number;
}

/* 0 at the end, -errno where the list cannot be read. */
static long listing_next(struct listing *listing)
{
    for (;;) {
        if (listing->at >= listing->length) {
            listing->at = 0;
            listing->length = sys_call3(SYS_getdents64, listing->fd, (long)listing->entries,
                                        sizeof(listing->entries));
            if (listing->length <= 0)
                return listing->length;
        }
        const struct entry *entry =
            (const struct entry *)(const void *)(listing->entries + listing->at);
        listing->at += entry->size; /* NOLINT(clang-analyzer-core.uninitialized.Assign) */
        long number = number_at(entry->name);
        if (number > 0)
            return number;
    }
}

static void listing_close(const struct listing *listing)
{
    sys_call1(SYS_close, listing->fd);
}

/* What stat(5) tells of a process or thread. */
struct look {
    long number;
    char state;
    long parent;
};

/* False: it has ended, or nothing may be known of it. */
static bool look_at(const char *path, struct look *look)
{
    char text[512];
    long fd = sys_call4(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0);

    if (fd < 0)
        return false;
    long length = sys_call3(SYS_read, fd, (long)text, sizeof(text) - 1);
    sys_call1(SYS_close, fd);
    if (length <= 0)
        return false;
    text[length] = '\0';
    while (length > 0 && text[length] != ')') /* the name may contain one */
        length--;
    if (length == 0 || text[length + 1] != ' ' || text[length + 2] == '\0')
        return false;
    look->number = number_at(text);
    look->state = text[length + 2];
    look->parent = text[length + 3] == ' ' ? number_at(text + length + 4) : 0;
    return true;
}

static bool look_at_process(long process, struct look *look)
{
    char path[48];
    char *end = put_text(path, "/proc/");

    end = put_number(end, (unsigned long)process);
    end = put_text(end, "/stat");
    *end = '\0';
    return look_at(path, look);
}

/* ---- Members ---------------------------------------------------------------------------------- */

/* 1, 0, or -1: a parent ended while we looked. */
static int has_ancestor(long process, long ancestor)
{
    struct look look;

    for (int i = 0; i < PARENTS_MAX; i++) {
        if (!look_at_process(process, &look))
            return -1;
        if (look.parent <= 1 || look.parent == ancestor)
            return look.parent == ancestor;
        process = look.parent;
    }
    return 0;
}

static bool is_member(long process, long guardian, bool signal_scope)
{
    if (process == guardian || sys_call2(SYS_kill, process, 0) != 0)
        return false;
    if (signal_scope)
        return true;
    int result = -1;
    for (int i = 0; i < PARENT_TRIES && result < 0; i++)
        result = has_ancestor(process, guardian);
    return result > 0;
}

/* A first thread that has ended, or that the kernel does not interrupt, says nothing of the others. */
static bool is_stopped(long process)
{
    char path[80];
    struct look look;
    struct listing threads;

    if (!look_at_process(process, &look))
        return false;
    if (look.state != 'Z' && look.state != 'D')
        return look.state == 'T';
    char *end = put_text(path, "/proc/");
    end = put_number(end, (unsigned long)process);
    end = put_text(end, "/task");
    *end = '\0';
    if (listing_open(&threads, path) < 0)
        return false;
    bool stopped = false;
    long thread;
    *end++ = '/';
    while (!stopped && (thread = listing_next(&threads)) > 0) {
        char *tail = put_number(end, (unsigned long)thread);
        tail = put_text(tail, "/stat");
        *tail = '\0';
        stopped = look_at(path, &look) && look.state == 'T';
    }
    listing_close(&threads);
    return stopped;
}

/* Opens the list of all processes. Not one of another pid namespace, whose numbers are not ours, nor one that
 * hides processes (hidepid in proc(5)): nobody would be found in those. */
static bool open_processes(struct listing *listing, long guardian)
{
    struct look self;

    if (!look_at("/proc/self/stat", &self) || self.number != guardian)
        return false;
    long first = sys_call4(SYS_openat, AT_FDCWD, (long)"/proc/1/stat", O_PATH | O_CLOEXEC, 0);
    if (first == -ENOENT)
        return false;
    if (first >= 0)
        sys_call1(SYS_close, first);
    return listing_open(listing, "/proc") >= 0;
}

/* ---- Pause ------------------------------------------------------------------------------------ */

static bool was_stopped(const struct pause *pause, long process)
{
    for (int i = 0; i < pause->count; i++) {
        if (pause->stopped[i] == process)
            return true;
    }
    return false;
}

static void note_stopped(struct pause *pause, long guardian, bool signal_scope)
{
    struct listing processes;
    long process;

    pause->count = 0;
    if (!open_processes(&processes, guardian))
        return;
    while (pause->count < PAUSE_NOTED_MAX && (process = listing_next(&processes)) > 0) {
        if (is_member(process, guardian, signal_scope) && is_stopped(process))
            pause->stopped[pause->count++] = (int)process;
    }
    listing_close(&processes);
}

/* Returns how many members were running; -1 if they cannot be listed. */
static long stop_those_that_run(long guardian, bool signal_scope)
{
    struct listing processes;
    struct look look;
    long count = 0;
    long process;

    if (!open_processes(&processes, guardian))
        return -1;
    while ((process = listing_next(&processes)) > 0) {
        if (!is_member(process, guardian, signal_scope) || is_stopped(process))
            continue;
        sys_call2(SYS_kill, process, SIGSTOP);
        /* Whether it was only the first thread that has ended cannot be told, so this is done without. */
        count += look_at_process(process, &look) && look.state != 'Z';
    }
    listing_close(&processes);
    return count;
}

/* False: perhaps not everybody has been found. */
static bool continue_others(const struct pause *pause, long guardian, bool signal_scope)
{
    struct listing processes;
    long process;

    if (!open_processes(&processes, guardian))
        return false;
    while ((process = listing_next(&processes)) > 0) {
        if (!was_stopped(pause, process) && is_member(process, guardian, signal_scope))
            sys_call2(SYS_kill, process, SIGCONT);
    }
    listing_close(&processes);
    return process == 0;
}

bool pause_begin(struct pause *pause, bool signal_scope)
{
    long guardian = sys_call0(SYS_getpid);
    const struct timespec moment = {0, STOP_PAUSE_NS};
    long running = 1;

    if (!pause->active)
        note_stopped(pause, guardian, signal_scope);
    pause->active = true;
    if (signal_scope && sys_call2(SYS_kill, -1, SIGSTOP) != 0)
        return false;
    for (int i = 0; i < STOP_ROUNDS && running > 0; i++) {
        running = stop_those_that_run(guardian, signal_scope);
        if (running > 0 && signal_scope) /* who was interrupted a moment ago is about to stop */
            sys_call2(SYS_nanosleep, (long)&moment, 0);
    }
    return signal_scope || running >= 0;
}

bool pause_end(struct pause *pause, bool signal_scope)
{
    if (!pause->active)
        return true;
    pause->active = false;
    if ((pause->count > 0 || !signal_scope) &&
        continue_others(pause, sys_call0(SYS_getpid), signal_scope))
        return true;
    /* Rather one too many than one too few, who would be stopped for ever. */
    return signal_scope && sys_call2(SYS_kill, -1, SIGCONT) == 0;
}
