/*
 * Looks at a path that open nothing: stat(2), access(2), readlink(2) and their siblings. The kernel's rules
 * do not cover them, so where the proc view is on they are asked of the supervisor, and answered for what
 * that view shows differently: the names of /proc/net. All else is the kernel's to answer.
 */
#ifndef SANDLOCK_NET_FILE_LOOK_H
#define SANDLOCK_NET_FILE_LOOK_H

#include "net/network_files.h"

/* Their spellings follow those of opens in trap.detail. */
enum look_spelling {
    LOOK_STAT = OPEN_SPELLINGS,
    LOOK_LSTAT,
    LOOK_FSTATAT,
    LOOK_STATX,
    LOOK_ACCESS,
    LOOK_FACCESSAT,
    LOOK_FACCESSAT2,
    LOOK_READLINK,
    LOOK_READLINKAT,
};

/* As open_call_decode(): the object is what the look means. */
int file_look_decode(struct open_call *call, enum look_spelling spelling,
                     const struct member_view *view, const struct seccomp_data *data);

/* The answer for the pinned object. VERDICT_NEXT: the kernel's holds. */
struct verdict file_look_answer(const struct file_views *views, const struct request *request,
                                const struct open_call *call, int path_fd);

/* True if a walk that ended with ENOTDIR did so at a file of /proc/net: below it there is nothing. May wait:
 * for workers. */
bool file_look_is_below_net(const struct file_views *views, const struct open_call *call);

#endif
