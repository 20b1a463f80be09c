/*
 * The children of the calling process, which has one thread, as their list is read. One that ends meanwhile can make
 * another be passed over, which the next list has. No libc, like all of the guardian.
 */
#ifndef SANDLOCK_BARE_CHILDREN_H
#define SANDLOCK_BARE_CHILDREN_H

#define CHILDREN_TEXT_SIZE 2048

struct children {
    long fd;
    long length;
    long at;
    char text[CHILDREN_TEXT_SIZE];
};

/* A descriptor, which children_close() closes; or -errno, and nothing is open. */
long children_open(struct children *children);

/* The number of the next one; 0 at the end. */
long children_next(struct children *children);

void children_close(const struct children *children);

#endif
