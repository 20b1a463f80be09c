/* What the parts of the file views share; for this room only. */
#ifndef SANDLOCK_NET_NETWORK_FILES_H
#define SANDLOCK_NET_NETWORK_FILES_H

#include "member/kernel_place.h"
#include "member/own_rights.h"
#include "net/open_call.h"
#include "net/proc_net.h"
#include "net/proc_sockets.h"
#include "net/shadow.h"
#include "supervisor/supervisor.h"

#include <pthread.h>
#include <stdint.h>

struct file_views {
    struct supervisor *supervisor;
    const struct grants *grants; /* borrowed, may be NULL */
    const struct shadow *shadow; /* the network's */
    struct local_devices local;  /* whose listings do not wait */
    int proc_fd;                 /* borrowed */
    pid_t own;                   /* whom "self" in /proc names when the supervisor walks */
    pid_t own_thread;            /* whom "thread-self" named when the grants were opened */
    int64_t started;             /* wall clock, seconds: what lies beside the hosts file since
                                   before has a rule */
    bool reached; /* a write grant covers the hosts file: what continues may open it */
    struct own_rights rights;
    bool mapped;                  /* members live in a user namespace */
    int hosts_fd;                 /* sealed memory; -1 if the hosts view is off */
    struct proc_sockets sockets;  /* without a guardian */
    pthread_mutex_t sockets_lock; /* one look at the sockets at a time; for workers alone */
    pthread_mutex_t fixed_lock;   /* guards net_fds; never held over anything that waits */
    int net_fds[NET_FILE_COUNT]; /* the same of /proc/net, made when first asked for; -1: not yet */
};

enum open_answer {
    ANSWER_CONTINUE, /* the kernel judges: no rule of the members reaches what is hidden */
    ANSWER_REFUSE,
    ANSWER_HOSTS,  /* the sandbox's own /etc/hosts */
    ANSWER_NET,    /* a file of the catalogue */
    ANSWER_REOPEN, /* the pinned object, opened as asked */
};

/* What is to become of an open. */
struct open_decision {
    enum open_answer answer;
    int error;          /* ANSWER_REFUSE */
    const char *rule;   /* for the denial record; NULL: no denial, the kernel would say the same */
    bool of_grant;      /* a grant of the object would allow it */
    bool of_hosts;      /* the hosts view refuses */
    enum net_file file; /* ANSWER_NET */
    bool may_wait;      /* to be carried out by a worker */
    bool own;           /* ANSWER_REOPEN: what it shows is the caller's own process */
};

/* Judges a pinned object of procfs. *path_fd may be replaced by the object that the caller means.
 * `path` receives its canonical name. (kernel_files.c) */
struct open_decision proc_decide(const struct file_views *views, const struct request *request,
                                 const struct open_call *call, int *path_fd, char path[PATH_MAX]);

/* The same for sysfs. */
struct open_decision sys_decide(const struct file_views *views, const struct open_call *call,
                                int path_fd, char path[PATH_MAX]);

/* The same for file systems of control groups. */
struct open_decision cgroup_decide(const struct file_views *views, const struct open_call *call,
                                   int path_fd, char path[PATH_MAX]);

/* The same for what is neither, and may be mounted below /proc or /sys all the same. */
struct open_decision mount_decide(const struct file_views *views, const struct open_call *call,
                                  int path_fd, char path[PATH_MAX]);

/* Pins a path below /proc without waiting for a disk, where that can be told from its text: -EAGAIN if
 * it cannot. */
int proc_pin(const struct file_views *views, const struct request *request,
             const struct open_call *call);

/* True if a failed pin (-errno) does not tell what the kernel will find for the caller, so that
 * walk_as_caller() has to. Never waits. (walk.c) */
bool walk_is_needed(const struct file_views *views, const struct open_call *call, int error);

/* Pins the object of the call by a walk of its own, which knows the caller's "self" and the magic links
 * of all members; those of others are -EACCES. May wait: for workers. `identity`: with the rights of the
 * member, but in the entries of its own process; NULL: with the supervisor's. An O_PATH descriptor, owned by the
 * caller, or -errno. */
int walk_as_caller(const struct file_views *views, const struct request *request,
                   const struct open_call *call, const struct member_identity *identity);

/* ---- view_contents.c: descriptors to hand over, owned by the caller, or -errno ------------------- */

/* Before the supervisor is confined. False and an error: no memory. */
bool view_seal_hosts(struct file_views *views, struct error *err);

int view_open_hosts(const struct file_views *views);

/* Tables of sockets are made for this open alone, which takes a while: for workers. */
int view_open_net(struct file_views *views, enum net_file file);

/* The pinned object, with the flags of the call and the rights of the member, who has to find the way there with
 * them, too. `own`: it is the caller's own process that it shows. `waits` NULL: on a worker; else *waits, and
 * nothing is done, where looking for that way would wait. */
int view_reopen(const struct file_views *views, const struct request *request,
                const struct open_call *call, int path_fd, bool own, bool *waits);

/* ---- network_files.c: for features of looks alone ------------------------------------------------- */

#define PROC_LAYER "proc-view"

void proc_describe(const struct policy *policy, struct posture *posture);

/* Without what only opens need. NULL and an error: no memory. Ended by views_stop(), which accepts NULL. */
struct file_views *views_new(struct supervisor *supervisor, struct error *err);
void views_stop(void *state);

/* All opens, and looks by their trap.detail. */
struct verdict on_open(struct request *request);

/* getdents and getdents64 (listing.c). */
enum listing_spelling { LISTING_64, LISTING_LEGACY };

struct verdict on_getdents(struct request *request);

/* Records of /proc/net from number *index on, which moves behind the last that fits. The bytes used, 0
 * at the end, -EINVAL if not even one fits. For tests. */
ssize_t net_listing(uint8_t *buffer, size_t size, bool legacy, unsigned *index);

#endif
