/*
 * Live sandboxes: every call is one of the sandbox's, with the answers the C interface promises for
 * NULL and for failures.
 */
#include "api/api.h"

#include "supervisor/denial.h"
#include "supervisor/posture.h"
#include "util/buffer.h"

#include <errno.h>
#include <stdlib.h>

/* The sandbox of a handle; NULL and the thread's last error if it is none. */
static struct sandbox *sandbox_of(const sandlock_handle_t *handle)
{
    if (!api_is(handle, API_HANDLE)) {
        api_fail(0, handle == NULL ? "the handle is NULL" : "not a handle");
        return NULL;
    }
    if (!sandbox_is_ours(handle->sandbox)) {
        api_fail(0, "the handle belongs to the process that made it, of which this one is a fork");
        return NULL;
    }
    return handle->sandbox;
}

/* 0 or -errno of the sandbox as 0 or -1 with the thread's last error. */
static int answer(int result, const char *what)
{
    if (result == 0)
        return 0;
    api_fail(-result, result == -ETIMEDOUT ? "%s: the guardian process does not answer" : "%s",
             what);
    return -1;
}

int sandlock_start(sandlock_handle_t *handle)
{
    API_UNCANCELLED;
    struct sandbox *sandbox = sandbox_of(handle);

    if (sandbox == NULL)
        return -1;
    if (sandbox_start(sandbox) == 0)
        return 0;
    api_fail(0, "start: the command is not parked (any more), or was killed");
    return -1;
}

int32_t sandlock_handle_pid(const sandlock_handle_t *handle)
{
    struct sandbox *sandbox = sandbox_of(handle);

    return sandbox != NULL ? (int32_t)sandbox_pid(sandbox) : 0;
}

int sandlock_handle_kill(sandlock_handle_t *handle)
{
    API_UNCANCELLED;
    struct sandbox *sandbox = sandbox_of(handle);

    return sandbox != NULL ? answer(sandbox_kill(sandbox), "kill") : -1;
}

int sandlock_handle_pause(sandlock_handle_t *handle)
{
    API_UNCANCELLED;
    struct sandbox *sandbox = sandbox_of(handle);

    return sandbox != NULL ? answer(sandbox_pause(sandbox), "pause") : -1;
}

int sandlock_handle_resume(sandlock_handle_t *handle)
{
    API_UNCANCELLED;
    struct sandbox *sandbox = sandbox_of(handle);

    return sandbox != NULL ? answer(sandbox_resume(sandbox), "resume") : -1;
}

sandlock_result_t *sandlock_handle_wait(sandlock_handle_t *handle)
{
    return sandlock_handle_wait_timeout(handle, 0);
}

sandlock_result_t *sandlock_handle_wait_timeout(sandlock_handle_t *handle, uint64_t timeout_ms)
{
    API_UNCANCELLED;
    struct sandbox *sandbox = sandbox_of(handle);

    return sandbox != NULL ? api_result_wait(sandbox, timeout_ms) : NULL;
}

int sandlock_handle_poll_fd(const sandlock_handle_t *handle)
{
    API_UNCANCELLED;
    struct sandbox *sandbox = sandbox_of(handle);

    if (sandbox == NULL)
        return -1;
    int fd = sandbox_poll_fd(sandbox);
    if (fd >= 0)
        return fd;
    api_fail(-fd, "poll_fd: no descriptor for the command");
    return -1;
}

/* The text of a buffer as an owned string; NULL and the thread's last error when memory ran out. */
static char *give_text(struct buffer *buffer)
{
    char *text = api_string_give(buffer_take(buffer));

    if (text == NULL)
        api_fail(0, "out of memory while writing JSON");
    return text;
}

/* The same words as the command line's. */
static const char *mode_of(const sandlock_handle_t *handle)
{
    if (handle->no_supervisor)
        return "no-supervisor";
    return sandbox_denials(handle->sandbox) != NULL ? "supervised" : "kernel-only";
}

char *sandlock_handle_posture(const sandlock_handle_t *handle)
{
    API_UNCANCELLED;
    CLEANUP_BUFFER struct buffer json = BUFFER_INIT;
    struct sandbox *sandbox = sandbox_of(handle);

    if (sandbox == NULL)
        return NULL;
    if (!posture_to_json(sandbox_posture(sandbox), sandbox_name(sandbox), mode_of(handle), &json)) {
        api_fail(0, "out of memory while writing JSON");
        return NULL;
    }
    return give_text(&json);
}

char *sandlock_handle_denials(const sandlock_handle_t *handle)
{
    API_UNCANCELLED;
    CLEANUP_BUFFER struct buffer json = BUFFER_INIT;
    struct sandbox *sandbox = sandbox_of(handle);

    if (sandbox == NULL)
        return NULL;
    struct denial_log *log = sandbox_denials(sandbox);
    if (log == NULL) {
        api_fail(0, "denials: this run is not supervised, so none are recorded");
        return NULL;
    }
    denial_log_json(log, &json);
    return give_text(&json);
}

uint64_t sandlock_handle_denials_dropped(const sandlock_handle_t *handle)
{
    API_UNCANCELLED;
    struct sandbox *sandbox = sandbox_of(handle);

    return sandbox != NULL ? denial_log_dropped(sandbox_denials(sandbox)) : 0;
}

char *sandlock_handle_port_mappings(const sandlock_handle_t *handle)
{
    API_UNCANCELLED;
    CLEANUP_BUFFER struct buffer json = BUFFER_INIT;
    struct sandbox *sandbox = sandbox_of(handle);

    if (sandbox == NULL || !sandbox_ports(sandbox, &json))
        return NULL;
    return give_text(&json);
}

void sandlock_handle_free(sandlock_handle_t *handle)
{
    API_UNCANCELLED;
    if (!api_is(handle, API_HANDLE))
        return;
    handle->object.tag = API_RELEASED;
    sandbox_free(handle->sandbox);
    free(handle);
}
