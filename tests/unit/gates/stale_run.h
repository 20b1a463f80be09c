/*
 * A caller that is gone, or interrupted, has no effect any more: its number may be another process's by now, and what
 * was read of it that process's, a descriptor first of all. Each call is made as often as the supervisor asks
 * whether its caller still waits, and each time another of these questions is answered with no.
 *
 * A program that includes this is linked with --wrap for the two functions below.
 */
#ifndef TESTS_STALE_RUN_H
#define TESTS_STALE_RUN_H

#include "../policy/policy_test.h"
#include "gated_run.h"

#include "member/identity.h"

/* The linker puts the second in the place of the first, in every file but its own. */
bool __real_request_is_valid(const struct request *request);
bool __wrap_request_is_valid(const struct request *request);
void __real_request_record_denial(const struct request *request, const char *object,
                                  const char *want, int error, const char *layer, const char *rule,
                                  const char *suggest);
void __wrap_request_record_denial(const struct request *request, const char *object,
                                  const char *want, int error, const char *layer, const char *rule,
                                  const char *suggest);

static struct stale {
    atomic_int asked, refused; /* refused: the number of the question that is answered with no */
    atomic_int recorded;
    char object[256]; /* of the last record */
} * stale;

bool __wrap_request_is_valid(const struct request *request)
{
    bool gone = atomic_fetch_add(&stale->asked, 1) + 1 == atomic_load(&stale->refused);

    return !gone && __real_request_is_valid(request);
}

void __wrap_request_record_denial(const struct request *request, const char *object,
                                  const char *want, int error, const char *layer, const char *rule,
                                  const char *suggest)
{
    snprintf(stale->object, sizeof(stale->object), "%s", object == NULL ? "" : object);
    atomic_fetch_add(&stale->recorded, 1);
    __real_request_record_denial(request, object, want, error, layer, rule, suggest);
}

#define ACTED 10
#define NOT_ACTED 11

struct call {
    const char *name;
    bool (*act)(void);
    bool (*witness)(void); /* outside, after it; NULL: `act` knows */
    int before;            /* so many questions at least before it acts */
    int privileged; /* and so many more where the supervisor has rights that the caller may lack */
    int after;      /* questions when it has acted, about what the caller is told */
};

/* A witness: something was told about the caller's call. */
static inline bool has_recorded(void)
{
    return atomic_load(&stale->recorded) != 0;
}

static inline int stale_make_call(void *data)
{
    const struct call *call = data;

    return call->act() ? ACTED : NOT_ACTED;
}

static inline bool stale_has_effect(const struct call *call, struct gated_run *run, int refused)
{
    atomic_store(&stale->asked, 0);
    atomic_store(&stale->recorded, 0);
    stale->object[0] = '\0';
    atomic_store(&stale->refused, refused);
    run->data = (void *)call;
    int status = gated_run_apart(run);
    if (status != ACTED && status != NOT_ACTED)
        fail_msg("%s: the run ended with %d", call->name, status);
    return call->witness != NULL ? call->witness() : status == ACTED;
}

/* `run`: all but the body. How often a call that waits is looked at is a matter of time: what was not asked was
 * not refused. */
static inline void stale_try(struct gated_run *run, const struct call *calls, size_t count)
{
    const bool privileged = identity_is_privileged();

    run->body = stale_make_call;
    stale = mmap(NULL, sizeof(*stale), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(stale, MAP_FAILED);
    for (size_t i = 0; i < count; i++) {
        const struct call *call = &calls[i];
        if (!stale_has_effect(call, run, 0))
            fail_msg("%s: does not act", call->name);
        int asked = atomic_load(&stale->asked);
        int expected = call->before + call->after + (privileged ? call->privileged : 0);
        if (asked < expected)
            fail_msg("%s: asked %d times, not %d", call->name, asked, expected);
        for (int refused = 1; refused <= asked - call->after; refused++) {
            bool acted = stale_has_effect(call, run, refused);
            if (acted && atomic_load(&stale->asked) >= refused)
                fail_msg("%s: acts for a caller that is gone (question %d)", call->name, refused);
        }
    }
    munmap(stale, sizeof(*stale));
}

#endif
