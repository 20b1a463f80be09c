/*
 * Works on every regular file of a directory the way programs do: stat in all spellings, open, fstat,
 * lseek, read, map, copy beside it, write, rename, unlink, close. Exits 1 when something fails.
 * Usage: bench-helper-file DIRECTORY
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static void must(int holds, const char *what)
{
    if (!holds) {
        perror(what);
        exit(1);
    }
}

static void copy_and_remove(int from)
{
    char buffer[4096];

    int to = open("copy.tmp", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(to >= 0, "create");
    must(lseek(from, 0, SEEK_SET) == 0, "lseek");
    ssize_t got = read(from, buffer, sizeof(buffer));
    must(got >= 0, "read");
    must(write(to, buffer, (size_t)got) == got, "write");
    must(pwrite(to, "x", 1, 0) == 1, "pwrite");
    must(pread(to, buffer, 1, 0) == 1, "pread");
    struct iovec part = {.iov_base = buffer, .iov_len = 1};
    must(writev(to, &part, 1) == 1, "writev");
    must(ftruncate(to, 16) == 0, "ftruncate");
    must(close(to) == 0, "close");
    must(rename("copy.tmp", "moved.tmp") == 0, "rename");
    must(unlink("moved.tmp") == 0, "unlink");
}

static void use_file(const char *name)
{
    struct stat status;

    must(stat(name, &status) == 0, "stat");
    must(lstat(name, &status) == 0, "lstat");
    must(access(name, R_OK) == 0, "access");
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    must(fd >= 0, "open");
    must(fstat(fd, &status) == 0, "fstat");
    must(lseek(fd, 0, SEEK_END) == status.st_size, "lseek");
    if (status.st_size > 0) {
        size_t length = (size_t)status.st_size;
        void *memory = mmap(NULL, length, PROT_READ, MAP_PRIVATE, fd, 0);
        must(memory != MAP_FAILED, "mmap");
        must(munmap(memory, length) == 0, "munmap");
    }
    int second = dup(fd);
    must(second >= 0 && close(second) == 0, "dup");
    copy_and_remove(fd);
    must(close(fd) == 0, "close");
}

int main(int argc, char **argv)
{
    must(argc == 2 && chdir(argv[1]) == 0, "chdir");
    DIR *directory = opendir(".");
    must(directory != NULL, "opendir");
    struct dirent *entry;
    while ((entry = readdir(directory)) != NULL)
        if (entry->d_type == DT_REG && entry->d_name[0] == 'f')
            use_file(entry->d_name);
    closedir(directory);
    return 0;
}
