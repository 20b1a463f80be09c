/*
 * Profiles: TOML files that hold a policy and a command. Reading puts raw text into a record, with
 * the file, line and column of every value; variables are expanded in path values only. Profile
 * names are looked up in the user's and the machine's profile directories, never elsewhere.
 */
#ifndef SANDLOCK_POLICY_PROFILE_H
#define SANDLOCK_POLICY_PROFILE_H

#include "policy/record.h"
#include "util/error.h"
#include "util/strv.h"

#include <stdbool.h>
#include <stddef.h>

/* A profile file larger than this is refused. */
#define PROFILE_SIZE_MAX (1 << 20)

/* Reads profile text into the record (which must be empty). `source` names the file in messages and
 * must outlive the record; NULL for text that is no file. */
bool profile_parse(const char *text, size_t length, const char *source, struct record *record,
                   struct error *err);

/* The same from a file. */
bool profile_load_file(const char *path, struct record *record, struct error *err);

/* -p NAME: a name is looked up in the profile directories; a text with '/' or ending in ".toml" is
 * a path. *path receives the owned path of the file used. */
bool profile_load(const char *name, struct record *record, char **path, struct error *err);

/* HOME/.config/sandlock/profiles; it need not exist. Owned; NULL and an error without a
 * usable home. */
char *profile_directory(struct error *err);

/* Names in all profile directories, sorted bytewise, without duplicates. A missing directory is an
 * empty list. */
bool profile_list(struct strv *names, struct error *err);

/* Where a profile of this name is; owned path. Errors: not a profile name, no such profile. */
char *profile_find(const char *name, struct error *err);
bool profile_delete(const char *name, struct error *err);

/* The user's home: $HOME if absolute and not all slashes, else the passwd entry of the real uid
 * under the same test. Owned; NULL and an error otherwise. */
char *profile_home(struct error *err);

#endif
