/*
 * Places in procfs and sysfs, by the names that the kernel prints: whose an entry is, and what no
 * sandbox gets to see. Names alone, since these file systems have no links that others could change;
 * nothing here opens or waits.
 */
#ifndef SANDLOCK_MEMBER_KERNEL_PLACE_H
#define SANDLOCK_MEMBER_KERNEL_PLACE_H

#include <stdbool.h>
#include <sys/types.h>

struct request;

/* "/proc/12/task/13/net/dev" into its parts. */
struct proc_place {
    pid_t pid;
    const char *rest; /* without the numbers: "net/dev"; "" for the directory itself */
};

/* False if the path is not below a process's directory. */
bool proc_place_parse(const char *path, struct proc_place *place);

/* True if it is the "net" of the process, or lies in it. */
bool proc_place_is_net(const struct proc_place *place);

/* True for entries of a process that show or do more when another, privileged process opens them, as the
 * supervisor would. `own`: the caller's. */
bool proc_place_is_sensitive(const struct proc_place *place, bool own, bool write);

/* True if the process or thread is one of the sandbox. */
bool proc_is_member(const struct request *request, pid_t pid);

/* True for entries that act, when they are written, on the whole session of the process, and others than
 * members are in it: it was not begun in the sandbox, or nobody can tell. */
bool proc_place_reaches_out(const struct request *request, const struct proc_place *place);

/* Why no sandbox opens this path of procfs that is not a process's, or of sysfs; NULL: nothing is said
 * against it. */
const char *proc_hides(const char *path);
const char *sys_hides(const char *path);

/* True for the files of a control group that list its processes. */
bool cgroup_tells_of_processes(const char *path);

/* True for settings of one interface below /proc/sys/net, unless every host has it, and for the
 * directories that list them. */
bool proc_names_interface(const char *path);

#endif
