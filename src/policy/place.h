/*
 * Directories that advice about grants knows, by canonical names alone: those of the system, which hold no
 * secrets, those of which a grant gives away more than what was asked for, what others run and trust, settings,
 * which others obey, and secrets.
 */
#ifndef SANDLOCK_POLICY_PLACE_H
#define SANDLOCK_POLICY_PLACE_H

#include <stdbool.h>

/* Where the loader, the C library and the usual interpreters are. NULL-terminated. */
extern const char *const place_system_directories[];

/* True if `path` is `directory` or lies below it. */
bool place_is_within(const char *path, const char *directory);

/* The system directory that holds `path`, or NULL. */
const char *place_system_directory(const char *path);

/* What a grant of this very directory or file would hand over besides, or to whom it hands over others, and what to do
 * instead: a static text. NULL: no more than its name says. `home` is the user's home directory, or NULL; those in
 * /home are known as such. */
const char *place_caution(const char *directory, bool write, const char *home);

#endif
