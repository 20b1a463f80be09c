/*
 * The three calls that send to a name, from the registers to the answer: see send.h. What cannot wait
 * is done here and now on the receiving thread. A name that may lie on a slow file system and a long
 * batch go to a worker, a message that the kernel does not take to the holder.
 */
#include "net/send.h"

#include "net/send_message.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

/* Entries of a sendmmsg that the receiving thread handles itself. */
#define BATCH_INLINE 16U

enum stage {
    STAGE_FINISHED,
    STAGE_FULL, /* the member waits until the kernel takes more */
    STAGE_SLOW, /* to be looked at by a worker */
};

/* One call. Copied to a worker when it goes there. */
struct call {
    struct send *send; /* owned */
    uint64_t entry;    /* sendmmsg: where the next entry lies */
    unsigned left;     /* entries from there on; 0: another call */
    bool is_read;      /* the present message has been copied from the member */
    bool on_worker;    /* nobody waits for this thread */
    const void *ready; /* the whole payload, or NULL */
};

/* ---- One message -------------------------------------------------------------------------------- */

/* Judges and sends what has been read. */
static enum stage go_on(const struct request *request, struct call *call, int64_t *result)
{
    struct send *send = call->send;

    *result = send_judge(request, send, !call->on_worker);
    if (*result == SEND_SLOW && !call->on_worker)
        return STAGE_SLOW;
    if (*result == 0) {
        if (send_push(request, send, call->ready, SEND_WINDOWS, result))
            return STAGE_FINISHED;
        if (send_waits(send))
            return STAGE_FULL;
        *result = send_partial(send, EAGAIN);
    }
    return STAGE_FINISHED;
}

/* A small payload comes along, so that the pin's validation covers it too. */
static int read_message(struct call *call, uint64_t header, uint8_t payload[SEND_READY_MAX])
{
    struct send *send = call->send;
    struct message *message = &send->message;

    int result = message_read(send->tid, header, message);
    call->ready = NULL;
    if (result < 0 || message->length > SEND_READY_MAX)
        return result;
    result = message_copy_payload(send->tid, message, 0, payload, (size_t)message->length);
    call->ready = payload;
    return result;
}

/* ---- Batches ------------------------------------------------------------------------------------ */

static int read_entry(const struct request *request, struct call *call,
                      uint8_t payload[SEND_READY_MAX])
{
    struct send *send = call->send;

    send_next(send);
    send->length_at = call->entry + MESSAGE_ENTRY_LENGTH_AT;
    int result = read_message(call, call->entry, payload);
    if (result == 0 && !request_is_valid(request))
        result = -ESRCH;
    return result;
}

/* In order; the first failure ends the batch, as does a later message that would wait. */
static enum stage run_entries(const struct request *request, struct call *call,
                              uint8_t payload[SEND_READY_MAX], int64_t *result)
{
    struct send *send = call->send;

    *result = send->before;
    while (call->left > 0) {
        *result = call->is_read ? 0 : read_entry(request, call, payload);
        call->is_read = false;
        if (*result < 0) {
            *result = send_settle(request, send, *result);
            return STAGE_FINISHED;
        }
        enum stage stage = go_on(request, call, result);
        if (stage == STAGE_FULL && send->done == 0 && send->before > 0) {
            *result = send->before;
            return STAGE_FINISHED;
        }
        if (stage == STAGE_SLOW && send->before > 0) {
            *result = send->before; /* fewer than asked for is legal, and the rest comes again */
            return STAGE_FINISHED;
        }
        if (stage != STAGE_FINISHED) {
            call->is_read = true;
            return stage;
        }
        bool whole = *result >= 0 && (uint64_t)*result == send->message.length;
        unsigned before = send->before;
        *result = send_settle(request, send, *result);
        if (!whole || send->before == before)
            return STAGE_FINISHED;
        call->entry += MESSAGE_ENTRY_SIZE;
        call->left--;
    }
    return STAGE_FINISHED;
}

static enum stage run_batch(const struct request *request, struct call *call, int64_t *result)
{
    uint8_t payload[SEND_READY_MAX];
    enum stage stage = run_entries(request, call, payload, result);

    call->ready = NULL; /* it is copied again where the call goes on */
    return stage;
}

/* ---- On a worker -------------------------------------------------------------------------------- */

static void release(void *data)
{
    struct call *call = data;

    send_free(call->send);
    free(call);
}

static void work(const struct request *request, void *data)
{
    struct call *call = data;
    struct send *send = call->send;
    int64_t result;

    call->ready = NULL; /* lay on the stack of another thread */
    enum stage stage =
        call->left > 0 ? run_batch(request, call, &result) : go_on(request, call, &result);
    if (stage == STAGE_FULL) {
        if (send_hold(request, send)) {
            call->send = NULL;
            return;
        }
        result = send_settle(request, send, send_partial(send, ENOMEM));
    }
    /* The member's socket and what it passes on have no other holder when the call returns. */
    send_next(send);
    socket_unpin(&send->socket);
    request_answer_value(request, result);
}

static struct verdict hand_to_worker(const struct request *request, const struct call *call)
{
    struct call *copy = malloc(sizeof(*copy));

    if (copy == NULL || !send_admit(call->send)) {
        send_free(call->send);
        free(copy);
        return verdict_errno(copy == NULL ? ENOMEM : EAGAIN);
    }
    *copy = *call;
    copy->on_worker = true;
    /* It may end up there, and only this thread can start them. */
    struct holder *holder = call->send->shared->network->holder;
    bool passes = call->send->socket.domain == AF_UNIX;
    if (holder_start(holder, request) && (!passes || holder_start_closing(holder, request)) &&
        request_submit(request, work, copy, release))
        return verdict_taken();
    release(copy);
    return verdict_errno(EAGAIN);
}

/* ---- On the receiving thread -------------------------------------------------------------------- */

static struct verdict conclude(const struct request *request, struct call *call, enum stage stage,
                               int64_t result)
{
    struct send *send = call->send;

    if (stage == STAGE_SLOW)
        return hand_to_worker(request, call);
    if (stage == STAGE_FULL) {
        bool admitted = send_admit(send);
        if (admitted && holder_start(send->shared->network->holder, request) &&
            send_hold(request, send))
            return verdict_taken();
        int error = admitted ? ENOMEM : EAGAIN;
        result = send_settle(request, send, send_partial(send, error));
    }
    send_free(send);
    return verdict_value(result);
}

static struct verdict give_up(struct send *send, int error)
{
    send_free(send);
    return verdict_errno(-error);
}

struct verdict on_sendto(struct request *request)
{
    const uint64_t *args = (const uint64_t *)request->notification.data.args;
    struct call call = {.send = send_new(request, (unsigned)args[3])};
    uint8_t payload[SEND_READY_MAX];
    bool copied;
    int64_t result;

    if (call.send == NULL)
        return verdict_errno(ENOMEM);
    struct send *send = call.send;
    int failed =
        message_read_sendto(send->tid, args, payload, sizeof(payload), &send->message, &copied);
    if (failed == 0)
        failed = socket_pin_kind(request, (int)args[0], &send->socket);
    if (failed < 0)
        return give_up(send, failed);
    call.ready = copied ? payload : NULL;
    enum stage stage = go_on(request, &call, &result);
    return conclude(request, &call, stage, result);
}

struct verdict on_sendmsg(struct request *request)
{
    const uint64_t *args = (const uint64_t *)request->notification.data.args;
    struct call call = {.send = send_new(request, (unsigned)args[2])};
    uint8_t payload[SEND_READY_MAX];
    int64_t result;

    if (call.send == NULL)
        return verdict_errno(ENOMEM);
    int failed = read_message(&call, args[1], payload);
    if (failed == 0)
        failed = socket_pin_kind(request, (int)args[0], &call.send->socket);
    if (failed < 0)
        return give_up(call.send, failed);
    enum stage stage = go_on(request, &call, &result);
    return conclude(request, &call, stage, result);
}

struct verdict on_sendmmsg(struct request *request)
{
    const uint64_t *args = (const uint64_t *)request->notification.data.args;
    struct call call = {.entry = args[1], .left = (unsigned)args[2]};
    int64_t result = 0;

    call.send = send_new(request, (unsigned)args[3]);
    if (call.send == NULL)
        return verdict_errno(ENOMEM);
    int failed = socket_pin_kind(request, (int)args[0], &call.send->socket);
    if (failed < 0)
        return give_up(call.send, failed);
    if (call.left > MESSAGE_BATCH_MAX)
        call.left = MESSAGE_BATCH_MAX;
    enum stage stage = call.left > BATCH_INLINE ? STAGE_SLOW : run_batch(request, &call, &result);
    return conclude(request, &call, stage, result);
}
