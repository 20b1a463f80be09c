/*
 * Where profiles live: the directory below the user's home first (an error if every user can write there), then
 * one below XDG_CONFIG_HOME if nobody else can write there, then the machine's own (/etc and where sandlock was
 * installed), which only root or the caller may be able to write. A policy is never read from a shared or relative
 * place, and a name never leads out of the directories. Every directory is opened once and judged,
 * listed and searched through that descriptor.
 */
#include "policy/profile.h"
#include "policy/profile_path.h"
#include "policy/quote.h"
#include "util/buffer.h"
#include "util/fd.h"
#include "util/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROFILE_NAME_MAX 64
#define PROFILE_SUFFIX ".toml"
#define PROFILE_DIRECTORIES_MAX 5

#ifndef SANDLOCK_PROFILE_DIRECTORY
#define SANDLOCK_PROFILE_DIRECTORY "/usr/local/share/sandlock/profiles"
#endif

static const char *const system_directories[] = {
    "/etc/sandlock/profiles",
    SANDLOCK_PROFILE_DIRECTORY,
    "/usr/share/sandlock/profiles",
};

/* ---- Home ------------------------------------------------------------------------------------ */

/* A process that runs with more rights than its caller must not be led by the caller's environment.
 */
static bool environment_is_trusted(void)
{
    return getauxval(AT_SECURE) == 0 && getuid() == geteuid() && getgid() == getegid();
}

/* "/" is no home: a grant on it would be a grant on everything. */
static bool is_usable_home(const char *path)
{
    return path != NULL && path[0] == '/' && path[strspn(path, "/")] != '\0';
}

static char *passwd_home(void)
{
    size_t size = 1024;

    for (;;) {
        CLEANUP_FREE char *room = malloc(size);
        struct passwd entry;
        struct passwd *found = NULL;
        if (room == NULL)
            return NULL;
        int result = getpwuid_r(getuid(), &entry, room, size, &found);
        if (result == ERANGE && size < (1 << 20)) {
            size *= 4;
            continue;
        }
        if (result != 0 || found == NULL || !is_usable_home(entry.pw_dir))
            return NULL;
        return strdup(entry.pw_dir);
    }
}

char *profile_home(struct error *err)
{
    const char *home = environment_is_trusted() ? getenv("HOME") : NULL;
    char *copy = home != NULL && is_usable_home(home) ? strdup(home) : passwd_home();

    if (copy == NULL)
        error_config(err,
                     "no usable home directory: neither HOME nor the passwd entry of uid %u is an "
                     "absolute path other than /",
                     (unsigned)getuid());
    return copy;
}

/* ---- Directories ----------------------------------------------------------------------------- */

static char *join(const char *left, const char *right)
{
    struct buffer text = BUFFER_INIT;

    buffer_printf(&text, "%s/%s", left, right);
    return buffer_take(&text);
}

static bool out_of_memory(struct error *err)
{
    return error_runtime(err, ENOMEM, "looking for profiles");
}

char *profile_directory(struct error *err)
{
    CLEANUP_FREE char *home = profile_home(err);

    if (home == NULL)
        return NULL;
    char *path = join(home, ".config/sandlock/profiles");
    if (path == NULL)
        out_of_memory(err);
    return path;
}

struct directory {
    char *path;  /* owned */
    int fd;      /* -1: it does not exist */
    bool system; /* the machine's: read only, and its files are judged like the directory */
};

struct directories {
    struct directory items[PROFILE_DIRECTORIES_MAX];
    size_t count;
};

#define CLEANUP_DIRECTORIES __attribute__((cleanup(directories_close)))

static void directories_close(struct directories *directories)
{
    for (size_t i = 0; i < directories->count; i++) {
        free(directories->items[i].path);
        fd_close(directories->items[i].fd);
    }
    directories->count = 0;
}

static int open_directory(const char *path)
{
    return RETRY_ON_EINTR(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static bool is_private(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 && status.st_uid == getuid() &&
           (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

static bool everybody_writes(int fd)
{
    struct stat status;

    return fstat(fd, &status) != 0 || (status.st_mode & S_IWOTH) != 0;
}

static bool is_same_directory(int left, int right)
{
    struct stat a;
    struct stat b;

    return left >= 0 && right >= 0 && fstat(left, &a) == 0 && fstat(right, &b) == 0 &&
           a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* The second directory; skipped without a word where it is missing or not the caller's alone. */
static bool add_xdg_directory(struct directories *directories, struct error *err)
{
    const char *config = environment_is_trusted() ? getenv("XDG_CONFIG_HOME") : NULL;

    if (config == NULL || config[0] != '/')
        return true;
    char *path = join(config, "sandlock/profiles");
    if (path == NULL)
        return out_of_memory(err);
    int fd = open_directory(path);
    if (fd < 0 || !is_private(fd) || is_same_directory(fd, directories->items[0].fd)) {
        fd_close(fd);
        free(path);
        return true;
    }
    directories->items[directories->count++] = (struct directory){.path = path, .fd = fd};
    return true;
}

static bool only_root_or_caller_writes(const struct stat *status)
{
    return (status->st_uid == 0 || status->st_uid == getuid()) &&
           (status->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

/* Skipped without a word where they are missing or not safe. */
static bool add_system_directories(struct directories *directories, struct error *err)
{
    for (size_t i = 0; i < sizeof(system_directories) / sizeof(system_directories[0]); i++) {
        CLEANUP_FD int fd = open_directory(system_directories[i]);
        struct stat status;
        bool known = false;
        if (fd < 0 || fstat(fd, &status) != 0 || !only_root_or_caller_writes(&status))
            continue;
        for (size_t k = 0; k < directories->count; k++)
            known = known || is_same_directory(fd, directories->items[k].fd);
        if (known)
            continue;
        char *path = strdup(system_directories[i]);
        if (path == NULL)
            return out_of_memory(err);
        directories->items[directories->count++] =
            (struct directory){.path = path, .fd = fd_steal(&fd), .system = true};
    }
    return true;
}

static bool directories_open(struct directories *directories, struct error *err)
{
    char *path = profile_directory(err);

    *directories = (struct directories){0};
    if (path == NULL)
        return false;
    int fd = open_directory(path);
    int reason = errno;
    directories->items[directories->count++] = (struct directory){.path = path, .fd = fd};
    if (fd < 0 && reason != ENOENT && reason != ENOTDIR)
        return error_config(err, "open profile directory %s: %s", path, strerror(reason));
    if (fd >= 0 && everybody_writes(fd))
        return error_config(err, "every user can write the profile directory %s: chmod o-w it",
                            path);
    return add_xdg_directory(directories, err) && add_system_directories(directories, err);
}

/* ---- Names ----------------------------------------------------------------------------------- */

/* The grammar of sandbox names, but blanks are fine and hidden files are not. */
static const char *name_fault(const char *name, size_t length)
{
    if (length == 0)
        return "must not be empty";
    if (length > PROFILE_NAME_MAX)
        return "must have at most 64 bytes";
    if (name[0] == '.')
        return "must not start with '.'";
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7F)
            return "must not contain control characters";
        if (name[i] == '/')
            return "must not contain '/'";
    }
    if (!text_is_utf8(name, length))
        return "must be UTF-8";
    return text_is_printable(name, length) ? NULL
                                           : "must not contain control characters or characters "
                                             "that hide or reorder text";
}

static bool file_name(const char *name, char file[PROFILE_NAME_MAX + sizeof(PROFILE_SUFFIX)],
                      struct error *err)
{
    size_t length = strlen(name);
    const char *fault = name_fault(name, length);

    if (fault != NULL)
        return error_config(err, "profile name %s %s", quote(name).text, fault);
    memcpy(file, name, length);
    memcpy(file + length, PROFILE_SUFFIX, sizeof(PROFILE_SUFFIX));
    return true;
}

/* The stem of NAME.toml, 0 for files that are no profiles. */
static size_t stem_length(const char *file)
{
    size_t length = strlen(file);
    size_t suffix = strlen(PROFILE_SUFFIX);

    if (length <= suffix || strcmp(file + length - suffix, PROFILE_SUFFIX) != 0)
        return 0;
    return name_fault(file, length - suffix) == NULL ? length - suffix : 0;
}

static bool refuse_missing(const char *name, const char *file,
                           const struct directories *directories, struct error *err)
{
    CLEANUP_BUFFER struct buffer tried = BUFFER_INIT;

    for (size_t i = 0; i < directories->count; i++)
        buffer_printf(&tried, "%s%s/%s", i == 0 ? "" : ", ", directories->items[i].path, file);
    if (access(system_directories[0], F_OK) != 0) /* that there is such a place */
        buffer_printf(&tried, ", %s/%s", system_directories[0], file);
    error_config(err, "no profile named %s (looked for %s)", quote(name).text, buffer_text(&tried));
    return false;
}

/* The directory that has the file, NULL and an error if none has. */
static const struct directory *find_directory(const char *name, const char *file,
                                              const struct directories *directories,
                                              struct error *err)
{
    for (size_t i = 0; i < directories->count; i++) {
        const struct directory *directory = &directories->items[i];
        struct stat status;
        if (directory->fd < 0)
            continue;
        if (fstatat(directory->fd, file, &status, AT_SYMLINK_NOFOLLOW) == 0) {
            if (!directory->system || only_root_or_caller_writes(&status))
                return directory;
            error_config(err, "profile %s/%s can be written by others", directory->path, file);
            return NULL;
        }
        if (errno != ENOENT) {
            error_config(err, "profile %s/%s: %s", directory->path, file, strerror(errno));
            return NULL;
        }
    }
    refuse_missing(name, file, directories, err);
    return NULL;
}

/* ---- Public ---------------------------------------------------------------------------------- */

static bool list_directory(const struct directory *directory, struct strv *names, struct error *err)
{
    int fd = RETRY_ON_EINTR(openat(directory->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    bool good = true;

    if (stream == NULL) {
        int reason = errno;
        fd_close(fd);
        return error_config(err, "list profile directory %s: %s", directory->path,
                            strerror(reason));
    }
    for (struct dirent *entry; good && (entry = readdir(stream)) != NULL;) {
        size_t length = stem_length(entry->d_name);
        struct stat status;
        if (length == 0 || fstatat(directory->fd, entry->d_name, &status, 0) != 0 ||
            !S_ISREG(status.st_mode))
            continue;
        entry->d_name[length] = '\0';
        if (!strv_contains(names, entry->d_name))
            good = strv_add(names, entry->d_name) || out_of_memory(err);
    }
    closedir(stream);
    return good;
}

bool profile_list(struct strv *names, struct error *err)
{
    CLEANUP_DIRECTORIES struct directories directories;

    if (!directories_open(&directories, err))
        return false;
    for (size_t i = 0; i < directories.count; i++) {
        if (directories.items[i].fd >= 0 && !list_directory(&directories.items[i], names, err))
            return false;
    }
    strv_sort(names);
    return true;
}

char *profile_find(const char *name, struct error *err)
{
    CLEANUP_DIRECTORIES struct directories directories = {0};
    char file[PROFILE_NAME_MAX + sizeof(PROFILE_SUFFIX)];

    if (!file_name(name, file, err) || !directories_open(&directories, err))
        return NULL;
    const struct directory *directory = find_directory(name, file, &directories, err);
    if (directory == NULL)
        return NULL;
    char *path = join(directory->path, file);
    if (path == NULL)
        out_of_memory(err);
    return path;
}

bool profile_delete(const char *name, struct error *err)
{
    CLEANUP_DIRECTORIES struct directories directories = {0};
    char file[PROFILE_NAME_MAX + sizeof(PROFILE_SUFFIX)];

    if (!file_name(name, file, err) || !directories_open(&directories, err))
        return false;
    const struct directory *directory = find_directory(name, file, &directories, err);
    if (directory == NULL)
        return false;
    if (directory->system)
        return error_config(err, "profile %s belongs to the machine (%s) and is not deleted",
                            quote(name).text, directory->path);
    if (unlinkat(directory->fd, file, 0) != 0)
        return error_runtime(err, errno, "delete profile %s/%s", directory->path, file);
    return true;
}

static bool is_path(const char *name)
{
    size_t length = strlen(name);
    size_t suffix = strlen(PROFILE_SUFFIX);

    return strchr(name, '/') != NULL ||
           (length >= suffix && strcmp(name + length - suffix, PROFILE_SUFFIX) == 0);
}

static bool load_by_name(const char *name, struct record *record, char **path, struct error *err)
{
    CLEANUP_DIRECTORIES struct directories directories = {0};
    char file[PROFILE_NAME_MAX + sizeof(PROFILE_SUFFIX)];

    if (!file_name(name, file, err) || !directories_open(&directories, err))
        return false;
    const struct directory *directory = find_directory(name, file, &directories, err);
    if (directory == NULL)
        return false;
    *path = join(directory->path, file);
    if (*path == NULL)
        return out_of_memory(err);
    /* NONBLOCK: a FIFO of that name must not hang us. */
    CLEANUP_FD int fd =
        RETRY_ON_EINTR(openat(directory->fd, file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
    struct stat status;
    if (fd < 0)
        return error_config(err, "open profile %s: %s", *path, strerror(errno));
    if (fstat(fd, &status) == 0 && !S_ISREG(status.st_mode))
        return error_config(err, "profile %s is not a regular file", *path);
    return profile_load_fd(fd, *path, record, err);
}

bool profile_load(const char *name, struct record *record, char **path, struct error *err)
{
    *path = NULL;
    if (is_path(name)) {
        *path = strdup(name);
        if (*path == NULL)
            return out_of_memory(err);
    }
    bool good = *path != NULL ? profile_load_file(*path, record, err)
                              : load_by_name(name, record, path, err);
    if (!good) {
        /* Values that were read before the error point at the path: they go with it. */
        record_free(record);
        free(*path);
        *path = NULL;
    }
    return good;
}
