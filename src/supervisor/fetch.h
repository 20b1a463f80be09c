/*
 * Descriptors that pidfd_getfd would have duplicated, where it is refused: the supervisor's half of
 * kernel/fetch.h. A handler asks for one (request_fetched_fd()) and fails; instead of its answer the call
 * gets a restart, and comes again when the descriptor is here. So nothing on the way of a notification
 * waits: while the guardian works, other members are served. Internal to the supervisor.
 */
#ifndef SANDLOCK_SUPERVISOR_FETCH_H
#define SANDLOCK_SUPERVISOR_FETCH_H

#include "supervisor/supervisor.h"

#include <linux/seccomp.h>
#include <stdbool.h>
#include <sys/types.h>

struct fetcher;

/* NULL with errno: out of memory or descriptors. */
struct fetcher *fetcher_new(struct supervisor *supervisor);
void fetcher_free(struct fetcher *fetcher); /* NULL is accepted, as by all below */

/* On the loop's thread. False: out of memory. */
bool fetcher_attach(struct fetcher *fetcher, struct fetch_mailbox *mailbox, int guardian_pidfd);
void fetcher_leave_loop(struct fetcher *fetcher);
int fetcher_report_fd(const struct fetcher *fetcher);

/* Before a notification is judged. True: it was the fetch's own and has its answer. */
bool fetcher_intercept(struct fetcher *fetcher, const struct seccomp_notif *notification);

/* Takes a call whose handler lacked descriptor `number`. Any thread. False: the call must be answered. */
bool fetcher_take(struct fetcher *fetcher, const struct request *request, int number);

/* The call of this thread has its answer. Any thread. */
void fetcher_forget(struct fetcher *fetcher, pid_t tid);

/* The process is gone. */
void fetcher_forget_process(struct fetcher *fetcher, pid_t tgid);

#endif
