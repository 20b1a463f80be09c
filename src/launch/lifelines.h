/*
 * The write ends of this process's lifelines (see guardian.h), so that a fork of the host closes its copies: a copy
 * would keep the guardian from seeing that the host executes another program. A copy made by the bare system call, past
 * the handlers of fork (pthread_atfork(3)), keeps them.
 */
#ifndef SANDLOCK_LAUNCH_LIFELINES_H
#define SANDLOCK_LAUNCH_LIFELINES_H

#include <sys/types.h>

/* From the opening of the write end to before it is closed. Any thread. */
void lifelines_add(int fd, dev_t device, ino_t inode);
void lifelines_remove(int fd);

#endif
