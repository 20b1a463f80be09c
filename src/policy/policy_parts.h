/*
 * Private to the policy room: policy_build() in parts, one per area. Each takes its rows of the
 * record into the policy or fills the error; what it stored is freed with the policy either way.
 */
#ifndef SANDLOCK_POLICY_POLICY_PARTS_H
#define SANDLOCK_POLICY_POLICY_PARTS_H

#include "policy/policy.h"

/* policy_process.c: directory, environment, user, limits, devices. */
bool policy_take_process(struct policy *policy, const struct record *record, struct error *err);

/* policy_syscalls.c: extra denied and allowed calls. */
bool policy_take_syscalls(struct policy *policy, const struct record *record, struct error *err);

/* policy_hardening.c: protections, feature switches, required posture. */
bool policy_take_hardening(struct policy *policy, const struct record *record, struct error *err);

/* "ORIGIN: MESSAGE" about one value. Returns false. */
bool policy_refuse(struct error *err, enum option_id id, const struct raw_value *value,
                   const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Puts the value's origin in front of a filled error. Returns false. */
bool policy_blame(struct error *err, enum option_id id, const struct raw_value *value);

bool policy_out_of_memory(struct error *err);

#endif
