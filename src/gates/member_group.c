/* Process groups of members: see member_group.h. */
#include "gates/member_group.h"

#include "kernel/process_tree.h"
#include "kernel/procfs.h"
#include "supervisor/supervisor.h"

/* Parents asked on the way up to the guardian; deeper trees are walked from the top. */
#define ANCESTORS_MAX 64

/* A walk misses a process that changes its parent in that moment. */
#define GROUP_LOOKS 3

/* A group usually has its leader: then its ancestors tell, and no walk over all members is needed. 1 or 0;
 * -1: it cannot be told this way. */
static int leader_is_member(const struct request *request, pid_t group)
{
    int proc_fd = supervisor_proc_fd(request->supervisor);
    pid_t guardian = supervisor_guardian(request->supervisor);
    struct procfs_stat stat;

    if (procfs_stat(proc_fd, group, &stat) != 0 || stat.group != group)
        return -1;
    pid_t ancestor = stat.parent;
    for (int i = 0; i < ANCESTORS_MAX && ancestor > 1; i++) {
        if (ancestor == guardian)
            return 1;
        ancestor = procfs_parent(proc_fd, ancestor);
    }
    /* A way that was read to its end; one that broke off had an ancestor that died meanwhile. */
    return ancestor == 0 || ancestor == 1 ? 0 : -1;
}

bool member_group_exists(const struct request *request, pid_t group)
{
    struct supervisor *supervisor = request->supervisor;
    int proc_fd = supervisor_proc_fd(supervisor);
    struct process_tree tree = PROCESS_TREE_INIT;
    struct procfs_stat caller;
    bool found = false;

    if (procfs_stat(proc_fd, request->tgid, &caller) == 0 && caller.group == group)
        return true;
    int by_leader = leader_is_member(request, group);
    if (by_leader >= 0)
        return by_leader == 1;
    /* Zombies count: a pipeline's first process may have ended when the others join its group. */
    for (int i = 0; i < GROUP_LOOKS && !found; i++) {
        if (process_tree_refresh(&tree, proc_fd, supervisor_guardian(supervisor)) < 0)
            break;
        found = process_tree_has_group(&tree, group);
    }
    process_tree_free(&tree);
    return found;
}
