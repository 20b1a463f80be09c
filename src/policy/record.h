/*
 * The unvalidated record: what options, profile and library setters say, as text, with where each
 * value came from. Everything lands here first and is normalised exactly once, by policy_build(),
 * so that no front end parses a value on its own and nothing is expanded twice.
 */
#ifndef SANDLOCK_POLICY_RECORD_H
#define SANDLOCK_POLICY_RECORD_H

#include "policy/options.h"
#include "util/error.h"

#include <stdbool.h>
#include <stddef.h>

enum origin_kind {
    ORIGIN_OPTION,  /* named "--fs-read" in messages */
    ORIGIN_PROFILE, /* named "[filesystem].read" with file:line:column */
    ORIGIN_SETTER,  /* named by the field ("max_open_files") */
};

struct origin {
    enum origin_kind kind;
    const char *file; /* profile path; borrowed, must outlive the record's use; NULL otherwise */
    unsigned line;    /* 1-based; 0 unknown */
    unsigned column;
};

struct raw_value {
    char *text; /* owned; for VALUE_ENV "KEY=VALUE"; for flags "true" */
    struct origin origin;
};

struct raw_list {
    struct raw_value *values; /* owned */
    size_t count;
    size_t capacity;
    bool given; /* also true for a list given as empty, e.g. gpu_devices = [] */
};

struct record {
    struct raw_list lists[OPTION_COUNT];
    char *setter_error; /* first value a text setter could not keep; makes the build fail */
};

void record_init(struct record *record);
void record_free(struct record *record);

/* Appends a copy of `text` for the option. False when out of memory. Nothing is judged here. */
bool record_add(struct record *record, enum option_id id, const char *text,
                const struct origin *origin);

/* Replaces whatever was given for the option by this one value. */
bool record_set(struct record *record, enum option_id id, const char *text,
                const struct origin *origin);

/* Marks as given without a value (an explicit empty list), dropping earlier values. */
void record_set_empty(struct record *record, enum option_id id);

static inline bool record_given(const struct record *record, enum option_id id)
{
    return record->lists[id].given;
}

/* Forgets the option altogether. */
void record_clear(struct record *record, enum option_id id);

/* Drops every value equal to `text`; without values left the option counts as not given. */
void record_remove(struct record *record, enum option_id id, const char *text);

/* The last value's text, NULL if the option was not given. */
const char *record_text(const struct record *record, enum option_id id);

/* Lays `over` (the command line) on `base` (a profile) by each row's merge rule, into `base`.
 * `over` is left empty. False when out of memory. */
bool record_overlay(struct record *base, struct record *over);

/* "--NAME", "[section].key" or the setter's field name. */
void record_field_name(enum option_id id, enum origin_kind kind, char *text, size_t size);

/* The same for messages about one value: a profile's begins with "FILE:LINE:COLUMN: ". */
void record_origin_name(enum option_id id, const struct origin *origin, char *text, size_t size);

/* Puts the origin of the option's last value in front of a filled error. Returns false. */
bool record_blame(const struct record *record, enum option_id id, struct error *err);

#endif
