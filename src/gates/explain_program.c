/*
 * What the kernel opens besides the program that is executed: the interpreter that a script names, or the
 * loader that an ELF file names (execve(2)). Both are judged like the program, and the call tells the
 * caller the same errno as if the program itself were refused.
 */
#include "gates/explain_files.h"

#include "util/fd.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The kernel looks for the first line in so many bytes (BINPRM_BUF_SIZE, since 5.1). */
#define HEAD_MAX 256

/* More is refused by the kernel (a page of program headers, load_elf_phdrs()). */
#define PROGRAM_HEADERS_MAX 64

/* "#!  /bin/sh -e" */
static bool interpreter_of_script(const char *head, size_t size, char interpreter[PATH_MAX])
{
    size_t start = 2, end;

    while (start < size && (head[start] == ' ' || head[start] == '\t'))
        start++;
    for (end = start; end < size; end++) {
        if (strchr(" \t\n", head[end]) != NULL) /* finds the end of a text, too */
            break;
    }
    if (end == start || end == HEAD_MAX) /* none, or cut off: ENOEXEC */
        return false;
    memcpy(interpreter, head + start, end - start);
    interpreter[end - start] = '\0';
    return true;
}

static bool loader_of_elf(int fd, const char *head, size_t size, char interpreter[PATH_MAX])
{
    Elf64_Ehdr header;
    Elf64_Phdr part;

    if (size < sizeof(header) || head[EI_CLASS] != ELFCLASS64)
        return false;
    memcpy(&header, head, sizeof(header));
    if (header.e_phentsize != sizeof(part) || header.e_phnum > PROGRAM_HEADERS_MAX)
        return false;
    for (size_t i = 0; i < header.e_phnum; i++) {
        uint64_t place = header.e_phoff + i * sizeof(part);
        if (place > INT64_MAX || pread(fd, &part, sizeof(part), (off_t)place) != sizeof(part))
            return false;
        if (part.p_type != PT_INTERP)
            continue;
        size_t length = part.p_filesz;
        if (length < 2 || length > PATH_MAX || part.p_offset > INT64_MAX ||
            pread(fd, interpreter, length, (off_t)part.p_offset) != (ssize_t)length)
            return false;
        return interpreter[length - 1] == '\0';
    }
    return false;
}

bool explain_interpreter(int path_fd, char interpreter[PATH_MAX], bool *script)
{
    char link[48], head[HEAD_MAX];

    *script = false;
    if (object_type(path_fd) != S_IFREG)
        return false;
    snprintf(link, sizeof(link), "/proc/thread-self/fd/%d", path_fd);
    /* Not waiting for who holds a lease on it. */
    CLEANUP_FD int fd = open(link, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t size = pread(fd, head, sizeof(head), 0);
    if (size < 4)
        return false;
    *script = memcmp(head, "#!", 2) == 0;
    if (*script)
        return interpreter_of_script(head, (size_t)size, interpreter);
    return memcmp(head, ELFMAG, SELFMAG) == 0 && loader_of_elf(fd, head, (size_t)size, interpreter);
}
