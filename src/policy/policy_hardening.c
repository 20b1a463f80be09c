/*
 * Hardening part of a policy: what each protection does where the kernel lacks it, which default
 * features are off, and which posture entries a run insists on.
 */
#include "policy/policy_parts.h"
#include "policy/quote.h"
#include "util/text.h"

#include <stdlib.h>
#include <string.h>

/* ---- Protections ----------------------------------------------------------------------------- */

static void list_protections(struct buffer *names)
{
    for (unsigned i = 0; i < PROTECTION_COUNT; i++)
        buffer_printf(names, "%s%s", i == 0 ? "" : ", ", protection_name((enum protection)i));
}

static bool take_protection_list(struct policy *policy, const struct record *record,
                                 enum option_id id, enum protection_request request,
                                 struct error *err)
{
    const struct raw_list *list = &record->lists[id];

    for (size_t i = 0; i < list->count; i++) {
        const struct raw_value *value = &list->values[i];
        enum protection protection;
        if (!protection_parse(value->text, &protection)) {
            CLEANUP_BUFFER struct buffer names = BUFFER_INIT;
            list_protections(&names);
            return policy_refuse(err, id, value, "unknown protection %s (valid: %s)",
                                 quote(value->text).text, buffer_text(&names));
        }
        if (request == PROTECTION_DISABLED && protection == PROTECTION_FS_REFER)
            return policy_refuse(
                err, id, value,
                "%s (%s) cannot be disabled: the kernel denies reparenting by default, also when "
                "it is not asked to; to run where the kernel lacks it, use allow_degraded "
                "(--allow-degraded %s)",
                protection_name(protection), protection_display(protection),
                protection_name(protection));
        policy->protections[protection] = request;
    }
    return true;
}

/* Degradable first, so that disabling wins whatever the order of the options. */
static bool take_protections(struct policy *policy, const struct record *record, struct error *err)
{
    return take_protection_list(policy, record, OPTION_ALLOW_DEGRADED, PROTECTION_DEGRADABLE,
                                err) &&
           take_protection_list(policy, record, OPTION_DISABLE, PROTECTION_DISABLED, err);
}

/* ---- Feature switches ------------------------------------------------------------------------ */

static const struct {
    unsigned bit;
    const char *name;
} features[] = {
#define FEATURE(id, name) {FEATURE_##id, name},
#include "policy/features.def"
#undef FEATURE
};

/* Each with ", " in front. */
static const char feature_names[] =
#define FEATURE(id, name) ", " name
#include "policy/features.def"
#undef FEATURE
    ;

const char *policy_feature_name(unsigned bit)
{
    for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
        if (features[i].bit == bit)
            return features[i].name;
    }
    return NULL;
}

static unsigned find_feature(const char *name)
{
    for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
        if (strcmp(features[i].name, name) == 0)
            return features[i].bit;
    }
    return 0;
}

/* Adds up the features named by a profile, or those named elsewhere. */
static bool collect_features(const struct record *record, enum option_id id, bool from_profile,
                             unsigned *bits, struct error *err)
{
    const struct raw_list *list = &record->lists[id];

    for (size_t i = 0; i < list->count; i++) {
        const struct raw_value *value = &list->values[i];
        unsigned bit = find_feature(value->text);
        if (bit == 0)
            return policy_refuse(err, id, value, "unknown feature %s (known: %s)",
                                 quote(value->text).text, feature_names + 2);
        if ((value->origin.kind == ORIGIN_PROFILE) == from_profile)
            *bits |= bit;
    }
    return true;
}

/* Options beat the profile; within one of them "with" wins, because it is the safer answer. */
static bool take_features(struct policy *policy, const struct record *record, struct error *err)
{
    for (int round = 0; round < 2; round++) {
        bool from_profile = round == 0;
        unsigned with = 0;
        unsigned without = 0;
        if (!collect_features(record, OPTION_WITHOUT, from_profile, &without, err) ||
            !collect_features(record, OPTION_WITH, from_profile, &with, err))
            return false;
        policy->without = (policy->without | without) & ~with;
        policy->with = (policy->with & ~without) | with;
    }
    return true;
}

/* ---- Required posture ------------------------------------------------------------------------ */

/* NAME[,NAME...], blanks around names tolerated. The names are judged where the posture is known.
 */
static bool take_required(struct policy *policy, const struct record *record, struct error *err)
{
    const struct raw_list *list = &record->lists[OPTION_REQUIRE];

    for (size_t i = 0; i < list->count; i++) {
        const char *rest = list->values[i].text;
        while (rest != NULL) {
            const char *comma = strchr(rest, ',');
            const char *name = rest;
            size_t length = comma != NULL ? (size_t)(comma - rest) : strlen(rest);
            text_trim(&name, &length);
            if (length == 0)
                return policy_refuse(err, OPTION_REQUIRE, &list->values[i],
                                     "empty name in %s (expected NAME[,NAME...])",
                                     quote(list->values[i].text).text);
            char *copy = strndup(name, length);
            if (copy != NULL && strv_contains(&policy->required, copy))
                free(copy);
            else if (!strv_take(&policy->required, copy))
                return policy_out_of_memory(err);
            rest = comma != NULL ? comma + 1 : NULL;
        }
    }
    return true;
}

bool policy_take_hardening(struct policy *policy, const struct record *record, struct error *err)
{
    return take_protections(policy, record, err) && take_features(policy, record, err) &&
           take_required(policy, record, err);
}
