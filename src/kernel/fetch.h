/*
 * Duplicating a member's descriptor where pidfd_getfd is refused, as containers do: the guardian, as a
 * tracer, makes the calling thread send the descriptor itself. This is the mailbox between supervisor and
 * guardian, one fetch at a time; the halves are in supervisor/fetch.c and bare/tracer.c.
 *
 *     supervisor                                  guardian
 *     STOP  ──────────────────────────────────▶   seizes all threads of the process, stops the others
 *                                    ◀─────────   STOPPED
 *     puts one end of a socket pair into the
 *     caller's table, answers the call with
 *     "restart"; GO  ─────────────────────────▶   makes the caller run sendmsg() and close()
 *     lets that sendmsg() pass       ◀─────────   SENDING
 *                                    ◀─────────   DONE: the call comes again by itself
 *
 * The order is the point. The injected sendmsg() is the one call of a member that passes with what its
 * memory says at that moment. It is harmless because the socket takes no address (SOCK_SEQPACKET: a name
 * in the message is ignored, unix(7); a datagram socket would send to it), and it is that socket because
 * from STOPPED on nobody who shares the caller's descriptor table can run, so that nobody can put another
 * one in its place (dup2): siblings are stopped, no other process shares a table (the members' filter
 * refuses CLONE_FILES without CLONE_THREAD), and the caller itself makes no call but the two, or dies: it
 * can leave the way to them, so each is looked at in its entry stop. Processes that share its memory run on
 * and can change the message, which then carries another descriptor of the caller's; that one is judged.
 */
#ifndef SANDLOCK_KERNEL_FETCH_H
#define SANDLOCK_KERNEL_FETCH_H

#include <stdatomic.h>
#include <stdint.h>

enum fetch_state {
    FETCH_IDLE = 0,
    FETCH_STOP,    /* supervisor */
    FETCH_STOPPED, /* guardian */
    FETCH_GO,      /* supervisor: the socket is in place, the call is being answered */
    FETCH_CANCEL,  /* supervisor: nothing was put anywhere; let everything go */
    FETCH_SENDING, /* guardian: `message` is valid */
    FETCH_SENT,    /* guardian: and has been sent, or not; the socket is being closed */
    /* The end, by the guardian: */
    FETCH_DONE,    /* sent; the call comes again */
    FETCH_AGAIN,   /* interrupted; the call comes again */
    FETCH_REFUSED, /* before GO: the call still waits for an answer; `error` says which */
    FETCH_FAILED,  /* after GO: the call has its answer, or its thread is dead */
};

/* Restart of a system call without a signal handler's say (ERESTARTNOINTR, signal(7)). */
#define FETCH_RESTART 513

/* What the injected call looks like, for the supervisor to recognise. */
#define FETCH_SEND_FLAGS 0x4040 /* MSG_DONTWAIT | MSG_NOSIGNAL */

struct fetch_mailbox {
    _Atomic uint32_t state; /* enum fetch_state, futex */

    /* With STOP. */
    int32_t tgid, tid; /* the calling thread and its process */
    int32_t number;    /* of the system call that waits */
    int32_t wanted;    /* the descriptor */
    int64_t patience;  /* how long the process may take to be stopped, in nanoseconds */

    int32_t channel; /* with GO: the number of the socket in the caller's table */

    /* By the guardian. */
    _Atomic uint64_t message; /* with SENDING: where the message lies in the caller's memory */
    _Atomic int32_t error;    /* with REFUSED: errno, positive */
};

#endif
