/*
 * A record as a profile or as JSON of the same schema. policy_to_toml() and policy_to_json() are
 * these over policy_to_record(); a caller that also knows a command and how long it may run (rows
 * that are no part of a policy) adds those to the record before it writes.
 */
#ifndef SANDLOCK_POLICY_RENDER_H
#define SANDLOCK_POLICY_RENDER_H

#include "policy/record.h"
#include "util/buffer.h"

#include <stdbool.h>

/* Sections and keys in the order of the reference; arrays of two and more elements one per line.
 * Values that are not UTF-8 cannot be written and become a comment. False when out of memory. */
bool record_to_toml(const struct record *record, struct buffer *out);

/* Two blanks per level, keys sorted, empty sections omitted. False when out of memory. */
bool record_to_json(const struct record *record, struct buffer *out);

#endif
