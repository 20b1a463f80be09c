/* The list of a process's descendants: see process_tree.h. */
#include "kernel/process_tree.h"

#include "kernel/sys.h"
#include "util/fd.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define CHILDREN_FIRST_READ 64

void process_tree_free(struct process_tree *tree)
{
    free(tree->entries);
    free(tree->slots);
    *tree = PROCESS_TREE_INIT;
}

bool process_stat_is_alive(const struct procfs_stat *stat)
{
    /* A process whose first thread has ended shows as a zombie while the others go on. */
    return (stat->state != 'Z' && stat->state != 'X') || stat->threads > 1;
}

/* ---- Finding one: a table with open addressing, never more than half full ------------------------- */

/* The slot of a process, or the free one where it belongs. Slots hold indices plus 1. */
static uint32_t *slot_of(const struct process_tree *tree, pid_t pid)
{
    size_t slot = (uint32_t)pid * 0x9E3779B1U & (tree->slot_count - 1);

    while (tree->slots[slot] != 0 && tree->entries[tree->slots[slot] - 1].pid != pid)
        slot = (slot + 1) & (tree->slot_count - 1);
    return &tree->slots[slot];
}

static struct process_entry *find(const struct process_tree *tree, pid_t pid)
{
    if (tree->count == 0)
        return NULL;
    uint32_t index = *slot_of(tree, pid);
    return index == 0 ? NULL : &tree->entries[index - 1];
}

static void fill_slots(struct process_tree *tree)
{
    memset(tree->slots, 0, tree->slot_count * sizeof(*tree->slots));
    for (size_t i = 0; i < tree->count; i++)
        *slot_of(tree, tree->entries[i].pid) = (uint32_t)i + 1;
}

static bool grow_slots(struct process_tree *tree)
{
    size_t count = tree->capacity * 2;
    uint32_t *slots = calloc(count, sizeof(*slots));

    if (slots == NULL)
        return false;
    free(tree->slots);
    tree->slots = slots;
    tree->slot_count = count;
    fill_slots(tree);
    return true;
}

/* False: nobody has this number, or it is a zombie; also if it cannot be told by lack of rights to
 * look, which a process of the same user does not hide. */
static bool runs_unseen(pid_t pid)
{
    CLEANUP_FD int pidfd = sys_pidfd_open(pid, 0);
    struct pollfd exited = {.fd = pidfd, .events = POLLIN};

    if (pidfd < 0)
        return pidfd != -ESRCH; /* no descriptor left: count it */
    return poll(&exited, 1, 0) == 0;
}

/* 0, -ESRCH for a process that is gone, other -errno. */
static int look_at(int proc_fd, pid_t pid, struct process_entry *entry)
{
    struct procfs_stat stat;
    int result = procfs_stat(proc_fd, pid, &stat);

    *entry = (struct process_entry){.pid = pid, .reached = true};
    if (result == -ENOENT || result == -ESRCH || result == -EACCES) {
        /* /proc may hide a process (hidepid) that is there and counts all the same. */
        entry->alive = runs_unseen(pid);
        return entry->alive ? 0 : -ESRCH;
    }
    if (result < 0)
        return result;
    entry->group = stat.group;
    entry->start_time = stat.start_time;
    entry->alive = process_stat_is_alive(&stat);
    return 0;
}

static int append(struct process_tree *tree, const struct process_entry *entry)
{
    if (tree->count == tree->capacity) {
        size_t capacity = tree->capacity == 0 ? 16 : tree->capacity * 2;
        struct process_entry *entries = NULL;
        if (tree->count >= PROCESS_TREE_MAX)
            return -E2BIG;
        entries = realloc(tree->entries, capacity * sizeof(*entries));
        if (entries == NULL)
            return -ENOMEM;
        tree->entries = entries;
        tree->capacity = capacity;
        if (!grow_slots(tree))
            return -ENOMEM;
    }
    uint32_t *slot = slot_of(tree, entry->pid);
    tree->entries[tree->count++] = *entry;
    *slot = (uint32_t)tree->count;
    return 0;
}

/* Adds or updates one process. 1: it is new, 0: it was known or is gone. */
static int note(struct process_tree *tree, int proc_fd, pid_t pid)
{
    struct process_entry *known = find(tree, pid);
    struct process_entry entry;

    if (known != NULL && known->reached)
        return 0;
    int result = look_at(proc_fd, pid, &entry);
    if (result == -ESRCH)
        return 0;
    if (result < 0)
        return result;
    if (known == NULL) {
        result = append(tree, &entry);
        return result < 0 ? result : 1;
    }
    /* The same number with another start time is another process. */
    result = known->start_time != entry.start_time;
    *known = entry;
    return result;
}

static int note_children(struct process_tree *tree, int proc_fd, pid_t pid, size_t *added)
{
    pid_t few[CHILDREN_FIRST_READ];
    CLEANUP_FREE pid_t *many = NULL;
    pid_t *children = few;
    ssize_t capacity = CHILDREN_FIRST_READ;
    ssize_t count = procfs_children(proc_fd, pid, few, CHILDREN_FIRST_READ);

    while (count > capacity) {
        if (count > PROCESS_TREE_MAX)
            return -E2BIG;
        free(many);
        capacity = count + 16; /* some more may come meanwhile */
        children = many = malloc((size_t)capacity * sizeof(*many));
        if (many == NULL)
            return -ENOMEM;
        count = procfs_children(proc_fd, pid, many, (size_t)capacity);
    }
    if (count == -ENOENT || count == -ESRCH)
        return 0; /* ended meanwhile; its children have another parent now */
    if (count < 0)
        return (int)count;
    for (ssize_t i = 0; i < count; i++) {
        int result = note(tree, proc_fd, children[i]);
        if (result < 0)
            return result;
        *added += (size_t)result;
    }
    return 0;
}

/* Processes that the walk has not reached: kept if they are still there. */
static int look_after_the_others(struct process_tree *tree, int proc_fd)
{
    size_t kept = 0;

    for (size_t i = 0; i < tree->count; i++) {
        struct process_entry entry = tree->entries[i];
        if (!entry.reached) {
            uint64_t start_time = entry.start_time;
            int result = look_at(proc_fd, entry.pid, &entry);
            if (result < 0 && result != -ESRCH)
                return result;
            if (result == -ESRCH || entry.start_time != start_time)
                continue;
        }
        tree->entries[kept++] = entry;
    }
    if (kept < tree->count) {
        tree->count = kept;
        fill_slots(tree);
    }
    return 0;
}

ssize_t process_tree_refresh(struct process_tree *tree, int proc_fd, pid_t root)
{
    CLEANUP_FREE bool *walked = NULL;
    size_t added = 0;

    for (size_t i = 0; i < tree->count; i++)
        tree->entries[i].reached = false;
    int result = note_children(tree, proc_fd, root, &added);
    /* Entries are appended while their parents are walked, and old ones are reached in any order. */
    bool progress = true;
    size_t walked_count = 0;
    while (result == 0 && progress) {
        progress = false;
        for (size_t i = 0; i < tree->count && result == 0; i++) {
            if (i >= walked_count) {
                bool *grown = realloc(walked, tree->capacity * sizeof(*walked));
                if (grown == NULL)
                    return -ENOMEM;
                walked = grown;
                while (walked_count < tree->capacity)
                    walked[walked_count++] = false;
            }
            if (walked[i] || !tree->entries[i].reached)
                continue;
            walked[i] = true;
            if (!tree->entries[i].alive)
                continue; /* its children went to another parent when its last thread ended */
            progress = true;
            result = note_children(tree, proc_fd, tree->entries[i].pid, &added);
        }
    }
    if (result == 0)
        result = look_after_the_others(tree, proc_fd);
    return result < 0 ? result : (ssize_t)added;
}

size_t process_tree_count_alive(const struct process_tree *tree)
{
    size_t count = 0;

    for (size_t i = 0; i < tree->count; i++)
        count += tree->entries[i].alive;
    return count;
}

bool process_tree_has_group(const struct process_tree *tree, pid_t group)
{
    for (size_t i = 0; i < tree->count; i++) {
        if (tree->entries[i].group == group)
            return true;
    }
    return false;
}
