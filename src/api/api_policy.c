/*
 * Policies as objects of the C interface, confinement of the calling thread, and questions about this
 * build and this kernel.
 */
#include "api/api.h"

#include "kernel/arch.h"
#include "kernel/landlock.h"
#include "launch/launch.h"
#include "policy/options.h"
#include "policy/profile.h"

#include <stdlib.h>
#include <string.h>

/* The numbers of the header are those used inside. */
_Static_assert((int)SANDLOCK_PROTECTION_FS_REFER == (int)PROTECTION_FS_REFER, "protection");
_Static_assert((int)SANDLOCK_PROTECTION_FS_TRUNCATE == (int)PROTECTION_FS_TRUNCATE, "protection");
_Static_assert((int)SANDLOCK_PROTECTION_NET_TCP == (int)PROTECTION_NET_TCP, "protection");
_Static_assert((int)SANDLOCK_PROTECTION_FS_IOCTL_DEV == (int)PROTECTION_FS_IOCTL_DEV, "protection");
_Static_assert((int)SANDLOCK_PROTECTION_SIGNAL_SCOPE == (int)PROTECTION_SIGNAL_SCOPE, "protection");
_Static_assert((int)SANDLOCK_PROTECTION_ABSTRACT_UNIX_SOCKET_SCOPE ==
                   (int)PROTECTION_ABSTRACT_UNIX_SCOPE,
               "protection");
_Static_assert(PROTECTION_COUNT == 6, "a new protection needs a constant in sandlock.h");

/* ---- Objects ----------------------------------------------------------------------------------- */

static void policy_release(sandlock_sandbox_t *policy)
{
    policy->object.tag = API_RELEASED;
    policy_unref(policy->policy);
    free(policy);
}

void api_release(void *object)
{
    if (object == NULL)
        return;
    switch (((const struct api_object *)object)->tag) {
    case API_BUILDER:
        sandlock_builder_free(object);
        return;
    case API_POLICY:
        policy_release(object);
        return;
    case API_HANDLE:
        sandlock_handle_free(object);
        return;
    case API_RESULT:
        sandlock_result_free(object);
        return;
    default: /* not ours, or released before */
        return;
    }
}

void sandlock_sandbox_free(sandlock_sandbox_t *policy)
{
    api_release(policy);
}

/* ---- Build ------------------------------------------------------------------------------------- */

static sandlock_sandbox_t *build(const struct record *record, struct error *err)
{
    sandlock_sandbox_t *object = calloc(1, sizeof(*object));

    if (object == NULL) {
        error_runtime(err, 0, "out of memory while building a policy");
        return NULL;
    }
    if (!policy_build(record, &object->policy, err)) {
        free(object);
        return NULL;
    }
    object->object.tag = API_POLICY;
    return object;
}

sandlock_sandbox_t *sandlock_sandbox_build(sandlock_builder_t *b, int *err, char **err_msg)
{
    API_UNCANCELLED;
    struct error reason;
    sandlock_sandbox_t *policy = NULL;

    if (err_msg != NULL)
        *err_msg = NULL;
    if (!api_is(b, API_BUILDER)) {
        /* No text on purpose: callers hold it against their own. */
        api_fail(0, "the builder is NULL: an earlier setter released it, or there never was one");
    } else {
        error_clear(&reason);
        policy = build(&b->record, &reason);
        sandlock_builder_free(b);
        if (policy == NULL) {
            api_set_error(&reason);
            if (err_msg != NULL)
                *err_msg = api_string_copy(reason.text);
        }
    }
    if (err != NULL)
        *err = policy != NULL ? 0 : -1;
    return policy;
}

/* ---- Confinement of the caller ----------------------------------------------------------------- */

int sandlock_confine(const sandlock_sandbox_t *policy)
{
    API_UNCANCELLED;
    struct error err;

    error_clear(&err);
    if (!api_is(policy, API_POLICY))
        error_config(&err, "confine: the policy is NULL or not a policy");
    else if (launch_confine(policy->policy, &err))
        return 0;
    api_report(&err);
    return -1;
}

/* ---- Questions --------------------------------------------------------------------------------- */

uint32_t sandlock_protection_min_abi(uint32_t protection)
{
    return protection_min_abi(protection);
}

int sandlock_landlock_abi_version(void)
{
    const struct landlock_support *support = landlock_support_get();

    if (support->abi >= 1)
        return support->abi;
    api_fail(support->unavailable_errno, "this kernel offers no Landlock");
    return -1;
}

int sandlock_min_landlock_abi(void)
{
    return LANDLOCK_ABI_MINIMUM;
}

int64_t sandlock_syscall_nr(const char *name)
{
    int number = name != NULL ? arch_syscall_number(arch_native, name) : -1;

    if (number < 0)
        api_fail(0, "%s has no system call of this name", arch_native->name);
    return number < 0 ? -1 : number;
}

const char *sandlock_version(void)
{
    return SANDLOCK_VERSION;
}

int sandlock_feature(const char *name)
{
    enum protection protection;

    if (name == NULL)
        return 0;
    const struct option_spec *option = option_find_long(name, strlen(name));
    if (option != NULL && option->scope == SCOPE_POLICY)
        return 1;
    if (protection_parse(name, &protection))
        return 1;
    for (unsigned bit = 1; policy_feature_name(bit) != NULL; bit <<= 1) {
        if (strcmp(policy_feature_name(bit), name) == 0)
            return 1;
    }
    return 0;
}

char *sandlock_profile_dir(char **err_msg)
{
    API_UNCANCELLED;
    struct error err;

    if (err_msg != NULL)
        *err_msg = NULL;
    error_clear(&err);
    char *path = profile_directory(&err);
    if (path != NULL && (path = api_string_give(path)) == NULL)
        error_runtime(&err, 0, "out of memory while looking for the profile directory");
    if (path != NULL)
        return path;
    api_set_error(&err);
    if (err_msg != NULL)
        *err_msg = api_string_copy(err.text);
    return NULL;
}
