/*
 * The name of a sandbox is a claim: a directory /dev/shm/sandlock-UID/NAME that holds a locked pid
 * file. The record lock belongs to this process, dies with it also on SIGKILL, and is not inherited
 * by a fork, so a live name is one whose lock is held; nothing is guessed from numbers. The guardian locks
 * another byte of the file, because a process loses all its locks on a file when it closes any descriptor of
 * it: a host that reads the file would give up the name.
 */
#ifndef SANDLOCK_LAUNCH_CLAIM_H
#define SANDLOCK_LAUNCH_CLAIM_H

#include "util/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The host locks what is in front of it. */
#define CLAIM_GUARDIAN_BYTE 1

struct claim {
    int root_fd; /* the runtime root, -1: no claim (introspection is off, a warning was given) */
    int directory_fd; /* NAME/ */
    int pid_fd;       /* keeps the lock */
    dev_t device;     /* of the directory that was made, so that only that one is removed */
    ino_t inode;
    uint64_t pid_file_inode; /* of the locked file */
    char name[65];
    bool published;
    bool active; /* this process must give it up */
    bool chosen; /* the name is somebody's choice */
};

#define CLAIM_INIT ((struct claim){.root_fd = -1, .directory_fd = -1, .pid_fd = -1})

/* Resolves NULL to "sandbox-PID-N" (N counts per process), else copies; `name` was validated. */
void claim_resolve_name(const char *name, char resolved[65]);

/* Takes the name. A live sandbox of that name is an error ("already running"). Where the runtime root
 * cannot be used at all (not ours, no /dev/shm, forbidden by an outer sandbox) `warning` receives the
 * reason, and the run goes on without a claim; likewise if others keep its lock for seconds, unless the
 * name was `chosen` by somebody who may have another sandbox of it: that is an error. */
bool claim_take(struct claim *claim, const char *name, bool chosen, char *warning,
                size_t warning_size, struct error *err);

/* Writes CHILD\nSUPERVISOR\n and renames it into place. Failure is not fatal: 0 or -errno. */
int claim_publish(struct claim *claim, pid_t child, pid_t supervisor);

/* Removes the known files and the directory, if it is still the one made by claim_take, and unless somebody
 * else has done that (`removed`): the name is free. Both calls may come twice. */
void claim_release(struct claim *claim, bool removed);

/* Closes what claim_release() leaves open; freeing the removed file is the larger part of both. */
void claim_close(struct claim *claim);

#endif
