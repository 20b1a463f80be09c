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

/* So often somebody may go on in one pause. */
#define STRIKES_MAX 3

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

enum life { LIFE_NONE, LIFE_STOPPED, LIFE_RUNS, LIFE_SLEEPS };

/* Of a thread. Who is traced and stopped by its tracer does not run, and is not stopped as we mean it; who waits in the
 * kernel without hearing signals will stop. */
static enum life life_of_state(char state)
{
    return state == 'T'   ? LIFE_STOPPED
           : state == 'R' ? LIFE_RUNS
           : state == 'S' ? LIFE_SLEEPS
                          : LIFE_NONE;
}

/* Of a process, and which thread says so. A first thread that has ended, or that the kernel does not interrupt, says
 * nothing of the others. */
static enum life life_of(long process, long *witness)
{
    char path[80];
    struct look look;
    struct listing threads;

    *witness = process;
    if (!look_at_process(process, &look))
        return LIFE_NONE;
    if (look.state != 'Z' && look.state != 'D')
        return life_of_state(look.state);
    char *end = put_text(path, "/proc/");
    end = put_number(end, (unsigned long)process);
    end = put_text(end, "/task");
    *end = '\0';
    if (listing_open(&threads, path) < 0)
        return LIFE_NONE;
    enum life life = LIFE_NONE;
    long thread;
    *end++ = '/';
    while (life != LIFE_STOPPED && (thread = listing_next(&threads)) > 0) {
        char *tail = put_number(end, (unsigned long)thread);
        tail = put_text(tail, "/stat");
        *tail = '\0';
        enum life one = look_at(path, &look) ? life_of_state(look.state) : LIFE_NONE;
        if (one == LIFE_NONE)
            continue;
        *witness = thread;
        life = one;
    }
    listing_close(&threads);
    return life;
}

static bool is_stopped(long process)
{
    long witness;

    return life_of(process, &witness) == LIFE_STOPPED;
}

/* The kernel gives a signal to the first thread, which may wait for long before it hears of it. */
static void stop_by(long process, long witness)
{
    sys_call2(SYS_kill, process, SIGSTOP);
    if (witness != process)
        sys_call3(SYS_tgkill, process, witness, SIGSTOP);
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
    long process, witness;

    if (!open_processes(&processes, guardian))
        return -1;
    while ((process = listing_next(&processes)) > 0) {
        if (!is_member(process, guardian, signal_scope) ||
            life_of(process, &witness) == LIFE_STOPPED)
            continue;
        stop_by(process, witness);
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
    pause->seen_count = pause->strikes = 0;
    pause->looks = 0;
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

static bool was_seen(const int *seen, int count, long process)
{
    for (int i = 0; i < count; i++) {
        if (seen[i] == process)
            return true;
    }
    return false;
}

/* True: it is stopped now, after a moment at most. */
static bool stop_again(long process, long witness)
{
    const struct timespec moment = {0, STOP_PAUSE_NS};
    bool stopped = false;

    stop_by(process, witness);
    for (int i = 0; i < STOP_ROUNDS && !stopped; i++) {
        sys_call2(SYS_nanosleep, (long)&moment, 0);
        stopped = is_stopped(process);
    }
    return stopped;
}

/* Who has been stopped and is not any more was continued, and so was who sleeps: nobody sleeps with a SIGSTOP that it
 * has not taken. Who runs and was never seen stopped may have had no processor since. */
bool pause_look_again(struct pause *pause, bool signal_scope)
{
    long guardian = sys_call0(SYS_getpid);
    struct listing processes;
    int seen[PAUSE_NOTED_MAX];
    int count = pause->seen_count;
    bool went_on = false;
    long process, witness;

    for (int i = 0; i < count; i++)
        seen[i] = pause->seen[i];
    pause->seen_count = 0;
    pause->looks++;
    if (!open_processes(&processes, guardian))
        return false;
    while ((process = listing_next(&processes)) > 0) {
        if (!is_member(process, guardian, signal_scope))
            continue;
        enum life life = life_of(process, &witness);
        bool runs = life == LIFE_RUNS || life == LIFE_SLEEPS;
        went_on = went_on || life == LIFE_SLEEPS || (runs && was_seen(seen, count, process));
        bool stopped = life == LIFE_STOPPED || (runs && stop_again(process, witness));
        if (stopped && pause->seen_count < PAUSE_NOTED_MAX)
            pause->seen[pause->seen_count++] = (int)process;
    }
    listing_close(&processes);
    if (went_on) {
        pause->strikes++;
        pause->looks = 0;
    }
    return pause->strikes >= STRIKES_MAX;
}

void members_kill(void)
{
    long guardian = sys_call0(SYS_getpid);
    struct listing processes;
    long process;

    if (!open_processes(&processes, guardian))
        return;
    while ((process = listing_next(&processes)) > 0) {
        if (is_member(process, guardian, false))
            sys_call2(SYS_kill, process, SIGKILL);
    }
    listing_close(&processes);
}
