/* See place.h. */
#include "policy/place.h"

#include <stddef.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

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

/* What all users and services run and trust. */
static const char *const trusted_places[] = {
    "/etc",
    "/boot",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/usr",
    "/var/spool/cron",
    "/var/spool/anacron",
    "/var/spool/at",
};

/* Below a home, besides hidden names: what shells and sessions run of themselves. */
static const char *const start_directories[] = {"bin", "go/bin"};

/* Below a home: keys, passwords and sessions of services, by the begin of a name. */
static const char *const secrets[] = {
    ".aws",
    ".azure",
    ".bash_history",
    ".cargo/credentials",
    ".config/chromium",
    ".config/gcloud",
    ".config/gh",
    ".config/git/credentials",
    ".config/google-chrome",
    ".docker",
    ".git-credentials",
    ".gnupg",
    ".kube",
    ".local/share/keyrings",
    ".mozilla",
    ".my.cnf",
    ".netrc",
    ".npmrc",
    ".password-store",
    ".pgpass",
    ".pypirc",
    ".ssh",
    ".thunderbird",
};

static const char root_read[] =
    "no rule: --fs-read / shows every file that the user can read, keys and passwords, too";
static const char root_written[] =
    "no rule: --fs-write / hands over everything that the user can change";
static const char session_written[] =
    "no rule: a write grant of this directory hands over the sockets of the session, too";
static const char trusted_written[] =
    "no rule: a write grant here hands over what others run and trust";
static const char start_written[] =
    "no rule: a write grant here hands over what the user's shells and sessions run";
static const char hidden_written[] =
    "no rule: a write grant here hands over settings that other programs obey later; below a home "
    "give the command a home of its own: --fs-write DIR --env HOME=DIR";
static const char git_written[] =
    "no rule: a write grant here hands over hooks and settings by which git runs programs later; "
    "git status needs none with --env GIT_OPTIONAL_LOCKS=0";
static const char secret_read[] =
    "no rule: a read grant here shows keys, passwords or sessions of services";
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

/* What of the path lies below the home that it is in; NULL: nothing, or it is in none. */
static const char *below_home(const char *path, const char *home)
{
    size_t length;

    if (home != NULL && place_is_within(path, home)) {
        length = strlen(home);
        while (length > 0 && home[length - 1] == '/')
            length--;
    } else if (place_is_within(path, "/root")) {
        length = strlen("/root");
    } else if (strncmp(path, "/home/", strlen("/home/")) == 0) {
        length = strlen("/home/");
        length += strcspn(path + length, "/");
    } else {
        return NULL;
    }
    return path[length] == '/' ? path + length + 1 : NULL;
}

static bool is_trusted(const char *path)
{
    for (size_t i = 0; i < COUNT(trusted_places); i++) {
        if (place_is_within(path, trusted_places[i]) || place_is_within(trusted_places[i], path))
            return true;
    }
    return false;
}

static bool starts_programs(const char *path, const char *home)
{
    const char *rest = below_home(path, home);

    for (size_t i = 0; rest != NULL && rest[0] != '\0' && i < COUNT(start_directories); i++) {
        if (place_is_within(rest, start_directories[i]) ||
            place_is_within(start_directories[i], rest))
            return true;
    }
    return false;
}

/* Or what holds them. */
static bool is_secret(const char *path, const char *home)
{
    const char *rest = below_home(path, home);

    for (size_t i = 0; rest != NULL && rest[0] != '\0' && i < COUNT(secrets); i++) {
        if (strncmp(rest, secrets[i], strlen(secrets[i])) == 0 || place_is_within(secrets[i], rest))
            return true;
    }
    return false;
}

static bool name_ends_in(const char *name, size_t length, const char *end)
{
    size_t size = strlen(end);

    return length >= size && strncmp(name + length - size, end, size) == 0;
}

/* Hidden names are settings, wherever they are: of shells, editors, tools and their hooks. Those that call themselves
 * a cache (".cache", ".pytest_cache") are not. */
static const char *caution_of_names(const char *path)
{
    const char *caution = NULL;

    for (const char *name = path; *name != '\0';) {
        size_t length = strcspn(name, "/");
        if (name_ends_in(name, length, ".git")) /* also of a repository without a work tree */
            return git_written;
        if (name[0] == '.' && !name_ends_in(name, length, "cache"))
            caution = hidden_written;
        name += length;
        name += strspn(name, "/");
    }
    return caution;
}

const char *place_caution(const char *directory, bool write, const char *home)
{
    if (strcmp(directory, "/") == 0)
        return write ? root_written : root_read;
    for (size_t i = 0; write && i < COUNT(shared_places); i++) {
        if (strcmp(directory, shared_places[i].directory) == 0)
            return shared_places[i].caution;
    }
    if (holds_home(directory, home))
        return write ? home_written : home_read;
    if (!write)
        return is_secret(directory, home) ? secret_read : NULL;
    if (is_trusted(directory))
        return trusted_written;
    if (starts_programs(directory, home))
        return start_written;
    if (is_child(directory, "/run/user"))
        return session_written;
    return caution_of_names(directory);
}
