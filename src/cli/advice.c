/* Advice after a failed run: see advice.h. */
#include "cli/advice.h"

#include "policy/place.h"
#include "policy/quote.h"
#include "util/fd.h"
#include "util/strv.h"
#include "util/text.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool any_covers(const struct strv *grants, const char *path)
{
    for (size_t i = 0; i < grants->count; i++) {
        if (place_is_within(path, grants->items[i]))
            return true;
    }
    return false;
}

bool advice_is_granted(const struct policy *policy, const char *path)
{
    return any_covers(&policy->fs_read, path) || any_covers(&policy->fs_read_try, path) ||
           any_covers(&policy->fs_write, path) || any_covers(&policy->fs_write_try, path);
}

static bool has_grants(const struct policy *policy)
{
    return policy->fs_read.count + policy->fs_read_try.count + policy->fs_write.count +
               policy->fs_write_try.count >
           0;
}

static void append_system_grants(const struct policy *policy, struct buffer *out)
{
    for (size_t i = 0; place_system_directories[i] != NULL; i++) {
        if (!advice_is_granted(policy, place_system_directories[i]))
            buffer_printf(out, " -r %s", place_system_directories[i]);
    }
}

/* ---- Places ------------------------------------------------------------------------------------ */

/* The place of `path` as the command sees it, from the directory it starts in. Not getcwd(): the wall
 * of the supervisor does not allow it. */
static void append_absolute(const struct policy *policy, const char *path, struct buffer *out)
{
    char current[PATH_MAX] = "";

    if (path[0] != '/' && policy->cwd != NULL && policy->cwd[0] == '/') {
        buffer_printf(out, "%s/", policy->cwd);
    } else if (path[0] != '/') {
        ssize_t length = readlink("/proc/self/cwd", current, sizeof(current) - 1);
        if (length > 0)
            buffer_printf(out, "%.*s/", (int)length, current);
        if (policy->cwd != NULL)
            buffer_printf(out, "%s/", policy->cwd);
    }
    while (strncmp(path, "./", 2) == 0)
        path += 2;
    buffer_append_text(out, path);
}

/* The object behind links, "" if there is none: Landlock judges objects, not names. */
static void real_place(const char *path, char real[PATH_MAX])
{
    char link[32];
    CLEANUP_FD int fd = open(path, O_PATH | O_CLOEXEC);
    ssize_t length = -1;

    if (fd >= 0) {
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        length = readlink(link, real, PATH_MAX - 1);
    }
    real[length > 0 ? length : 0] = '\0';
}

static bool list_reaches(const struct policy *policy, const struct strv *grants, const char *path,
                         const char *real)
{
    for (size_t i = 0; i < grants->count; i++) {
        CLEANUP_BUFFER struct buffer place = BUFFER_INIT;
        char grant[PATH_MAX] = "";
        append_absolute(policy, grants->items[i], &place);
        if (place_is_within(path, buffer_text(&place)))
            return true;
        real_place(buffer_text(&place), grant);
        if (grant[0] != '\0' && real[0] != '\0' && place_is_within(real, grant))
            return true;
    }
    return false;
}

static bool reaches(const struct policy *policy, const char *path)
{
    char real[PATH_MAX] = "";

    real_place(path, real);
    return list_reaches(policy, &policy->fs_read, path, real) ||
           list_reaches(policy, &policy->fs_read_try, path, real) ||
           list_reaches(policy, &policy->fs_write, path, real) ||
           list_reaches(policy, &policy->fs_write_try, path, real);
}

/* ---- The program ------------------------------------------------------------------------------- */

/* What the command's PATH is; the default is that of the launch. */
static const char *search_path(const struct policy *policy)
{
    ptrdiff_t index = strv_find_key(&policy->env, "PATH", 4);
    const char *inherited = getenv("PATH");

    if (index >= 0)
        return policy->env.items[index] + 5;
    if (inherited != NULL)
        return inherited;
    return policy->clean_env ? "/usr/local/bin:/usr/bin:/bin" : "/bin:/usr/bin";
}

/* Remembers `place` if it is better than what was found so far: a file that can be executed, else any
 * file. True when there is no need to look further. */
static bool consider(const char *place, struct buffer *found, struct stat *status)
{
    struct stat seen;

    if (stat(place, &seen) != 0)
        return false;
    bool executable = S_ISREG(seen.st_mode) && (seen.st_mode & 0111) != 0;
    if (found->length == 0 || executable) {
        buffer_free(found);
        buffer_append_text(found, place);
        *status = seen;
    }
    return executable;
}

/* Where the program lies, granted or not; empty if nowhere. */
static void locate(const struct policy *policy, const char *program, struct buffer *found,
                   struct stat *status)
{
    const char *path = search_path(policy);

    for (bool more = true; more;) {
        CLEANUP_BUFFER struct buffer entry = BUFFER_INIT;
        CLEANUP_BUFFER struct buffer place = BUFFER_INIT;
        size_t length = strcspn(path, ":");
        if (strchr(program, '/') != NULL) {
            buffer_append_text(&entry, program);
            more = false;
        } else {
            buffer_append(&entry, path, length);
            buffer_printf(&entry, "%s%s", length > 0 ? "/" : "", program);
            more = path[length] == ':';
            path += length + (more ? 1 : 0);
        }
        append_absolute(policy, buffer_text(&entry), &place);
        if (consider(buffer_text(&place), found, status))
            return;
    }
}

/* The interpreter that the first line of a script names. */
static bool script_interpreter(const char *text, size_t length, char name[PATH_MAX])
{
    if (length < 3 || text[0] != '#' || text[1] != '!')
        return false;
    size_t start = 2;
    while (start < length && (text[start] == ' ' || text[start] == '\t'))
        start++;
    size_t end = start;
    while (end < length && strchr(" \t\r\n", text[end]) == NULL)
        end++;
    /* A line of DOS ends in a carriage return, which is then part of the name. */
    while (end < length && text[end] == '\r')
        end++;
    snprintf(name, PATH_MAX, "%.*s", (int)(end - start), text + start);
    return name[0] != '\0';
}

/* The loader that a 64-bit ELF file of this byte order names. */
static bool elf_loader(int fd, const char *text, size_t length, char name[PATH_MAX])
{
    Elf64_Ehdr header;
    Elf64_Phdr segment;

    if (length < sizeof(header))
        return false;
    memcpy(&header, text, sizeof(header));
    if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
        header.e_phentsize != sizeof(segment))
        return false;
    for (unsigned i = 0; i < header.e_phnum && i < 64; i++) {
        off_t at = (off_t)(header.e_phoff + i * sizeof(segment));
        if (pread(fd, &segment, sizeof(segment), at) != (ssize_t)sizeof(segment))
            return false;
        if (segment.p_type != PT_INTERP || segment.p_filesz < 2 || segment.p_filesz > PATH_MAX)
            continue;
        ssize_t got = pread(fd, name, (size_t)segment.p_filesz, (off_t)segment.p_offset);
        if (got != (ssize_t)segment.p_filesz)
            return false;
        name[got - 1] = '\0';
        return name[0] == '/';
    }
    return false;
}

/* "interpreter" or "loader" and its path, NULL if the program names none or cannot be read. */
static const char *read_helper(const char *program, char name[PATH_MAX])
{
    char text[512];
    CLEANUP_FD int fd = open(program, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    ssize_t length = fd >= 0 ? pread(fd, text, sizeof(text), 0) : -1;

    if (length <= 0)
        return NULL;
    if (script_interpreter(text, (size_t)length, name))
        return "interpreter";
    return elf_loader(fd, text, (size_t)length, name) ? "loader" : NULL;
}

/* ---- Advice ------------------------------------------------------------------------------------ */

/* -r for the place itself, or for the system directory that holds it. */
static void append_grant(const char *path, struct buffer *out)
{
    char real[PATH_MAX] = "";

    real_place(path, real);
    const char *system = place_system_directory(real[0] != '\0' ? real : path);
    buffer_append_text(out, " -r ");
    text_shell_quote(out, system != NULL ? system : path);
}

/* What a program needs besides itself: the interpreter of a script, the loader of a binary. */
static bool advise_helper(const struct policy *policy, const char *program, struct buffer *out)
{
    char name[PATH_MAX] = "";
    CLEANUP_BUFFER struct buffer place = BUFFER_INIT;
    struct stat status;
    const char *kind = read_helper(program, name);

    if (kind == NULL)
        return false;
    append_absolute(policy, name, &place);
    if (stat(buffer_text(&place), &status) != 0) {
        buffer_printf(out, "its %s %s does not exist", kind, quote(name).text);
        return true;
    }
    if (!reaches(policy, buffer_text(&place))) {
        buffer_printf(out, "no grant covers its %s %s; add", kind, quote(name).text);
        append_grant(buffer_text(&place), out);
        return true;
    }
    if (S_ISREG(status.st_mode) && (status.st_mode & 0111) != 0)
        return false;
    buffer_printf(out, "its %s %s cannot be executed", kind, quote(name).text);
    return true;
}

/* The program is not where it was looked for. */
static void advise_missing(const struct policy *policy, const char *program, struct buffer *out)
{
    CLEANUP_BUFFER struct buffer place = BUFFER_INIT;

    if (strchr(program, '/') == NULL) {
        buffer_printf(out, "command not found in PATH=%s", quote(search_path(policy)).text);
        return;
    }
    append_absolute(policy, program, &place);
    if (program[0] != '/')
        buffer_printf(out, "%s does not exist", quote(buffer_text(&place)).text);
}

static void advise_without_grants(const struct policy *policy, const char *place,
                                  struct buffer *out)
{
    buffer_append_text(out, "nothing is accessible without -r or -w; try");
    if (place[0] == '/' && !place_is_within(place, "/usr")) {
        char real[PATH_MAX] = "";
        real_place(place, real);
        if (!place_is_within(real, "/usr")) {
            buffer_append_text(out, " -r ");
            text_shell_quote(out, place);
        }
    }
    append_system_grants(policy, out);
}

static void advise_present(const struct policy *policy, const char *program, const char *place,
                           const struct stat *status, struct buffer *out)
{
    if (S_ISDIR(status->st_mode)) {
        buffer_printf(out, "%s is a directory", quote(place).text);
    } else if ((status->st_mode & 0111) == 0) {
        buffer_append_text(out, "it has no execute permission; chmod +x ");
        /* As it was given, where that means the same to chmod in the caller's directory. */
        bool same = strchr(program, '/') != NULL && program[0] != '-' && policy->cwd == NULL;
        text_shell_quote(out, same ? program : place);
    } else if (!has_grants(policy)) {
        advise_without_grants(policy, place, out);
    } else if (!reaches(policy, place)) {
        buffer_printf(out, "no grant covers %s; add", quote(place).text);
        append_grant(place, out);
    } else if (!advise_helper(policy, place, out)) {
        buffer_append_text(out, "its interpreter or loader is outside the -r grants, or a "
                                "directory above it or its file system refuses execution");
    }
}

void advice_exec(const struct policy *policy, const char *program, int failed_errno,
                 struct buffer *out)
{
    CLEANUP_BUFFER struct buffer place = BUFFER_INIT;
    struct stat status = {0};

    if (failed_errno != EACCES && failed_errno != ENOENT && failed_errno != ENOTDIR)
        return;
    locate(policy, program, &place, &status);
    if (place.length > 0) {
        advise_present(policy, program, buffer_text(&place), &status, out);
        return;
    }
    if (failed_errno != EACCES) {
        advise_missing(policy, program, out);
        return;
    }
    /* It cannot even be looked at. */
    append_absolute(policy, program, &place);
    if (!has_grants(policy))
        advise_without_grants(policy, strchr(program, '/') != NULL ? buffer_text(&place) : "", out);
    else
        buffer_append_text(out, "a directory above it cannot be searched");
}
