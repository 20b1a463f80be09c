/* See place.h. */
#include "policy/place.h"

#include <stddef.h>
#include <string.h>

/* clang-format off */
#define OWN_DIRECTORY \
    " hands over other programs' files and sockets, too; use a directory of its own: " \
    "--fs-write DIR --env TMPDIR=DIR"
/* clang-format on */

const char *const place_system_directories[] = {"/usr", "/lib", "/lib64", NULL};

/* Where programs of all users, or of one session, keep what they share: sockets, memory, temporary files. */
static const struct {
    const char *directory;
    const char *caution;
} shared_places[] = {
    {"/tmp", "no rule: --fs-write /tmp" OWN_DIRECTORY},
    {"/var/tmp", "no rule: --fs-write /var/tmp" OWN_DIRECTORY},
    {"/dev/shm", "no rule: --fs-write /dev/shm hands over other programs' shared memory, too"},
    {"/dev", "no rule: --fs-write /dev hands over every device, too"},
    {"/run", "no rule: --fs-write /run hands over the sockets of services, too"},
    {"/run/user", "no rule: --fs-write /run/user hands over the sockets of sessions, too"},
    {"/var", "no rule: --fs-write /var hands over what other programs keep there, too"},
};
#define SHARED_PLACE_COUNT (sizeof(shared_places) / sizeof(shared_places[0]))

static const char root_read[] =
    "no rule: --fs-read / shows every file that the user can read, keys and passwords, too";
static const char root_written[] =
    "no rule: --fs-write / hands over everything that the user can change";
static const char session_written[] =
    "no rule: a write grant of this directory hands over the sockets of the session, too";
static const char home_read[] = "no rule: a read grant of this directory shows what lies at home, "
                                "keys and passwords, too; grant what is needed there";
static const char home_written[] = "no rule: a write grant of this directory hands over what lies "
                                   "at home, start-up files of shells, too; make what is needed "
                                   "there first, and grant that";

bool place_is_within(const char *path, const char *directory)
{
    size_t length = strlen(directory);

    while (length > 1 && directory[length - 1] == '/')
        length--;
    if (length == 1 && directory[0] == '/')
        return path[0] == '/';
    return strncmp(directory, path, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

const char *place_system_directory(const char *path)
{
    for (size_t i = 0; place_system_directories[i] != NULL; i++) {
        if (place_is_within(path, place_system_directories[i]))
            return place_system_directories[i];
    }
    return NULL;
}

/* True if `path` is one name below `parent`. */
static bool is_child(const char *path, const char *parent)
{
    size_t length = strlen(parent);

    return strncmp(path, parent, length) == 0 && path[length] == '/' && path[length + 1] != '\0' &&
           strchr(path + length + 1, '/') == NULL;
}

/* A home directory, or one that home directories lie in. */
static bool holds_home(const char *directory, const char *home)
{
    return strcmp(directory, "/root") == 0 || strcmp(directory, "/home") == 0 ||
           is_child(directory, "/home") || (home != NULL && place_is_within(home, directory));
}

const char *place_caution(const char *directory, bool write, const char *home)
{
    if (strcmp(directory, "/") == 0)
        return write ? root_written : root_read;
    for (size_t i = 0; write && i < SHARED_PLACE_COUNT; i++) {
        if (strcmp(directory, shared_places[i].directory) == 0)
            return shared_places[i].caution;
    }
    if (holds_home(directory, home))
        return write ? home_written : home_read;
    return write && is_child(directory, "/run/user") ? session_written : NULL;
}
