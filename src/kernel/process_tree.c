/* The list of a process's descendants: see process_tree.h. */
#include "kernel/process_tree.h"

#include "kernel/sys.h"
#include "util/fd.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define CHILDREN_FIRST_READ 64

/* How often the children of one process are listed in a refresh, while the list changes. */
#define LISTINGS_MAX 4

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

/* Room for one more. 0 or -errno, and then nothing has changed. */
static int grow(struct process_tree *tree)
{
    size_t capacity = tree->capacity == 0 ? 16 : tree->capacity * 2;

    if (tree->count >= PROCESS_TREE_MAX)
        return -E2BIG;
    struct process_entry *entries = calloc(capacity, sizeof(*entries));
    uint32_t *slots = calloc(capacity * 2, sizeof(*slots));
    if (entries == NULL || slots == NULL) {
        free(entries);
        free(slots);
        return -ENOMEM;
    }
    if (tree->entries != NULL)
        memcpy(entries, tree->entries, tree->count * sizeof(*entries));
    free(tree->entries);
    free(tree->slots);
    tree->entries = entries;
    tree->capacity = capacity;
    tree->slots = slots;
    tree->slot_count = capacity * 2;
    fill_slots(tree);
    return 0;
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
    entry->parent = stat.parent;
    entry->group = stat.group;
    entry->threads = stat.threads;
    entry->start_time = stat.start_time;
    entry->alive = process_stat_is_alive(&stat);
    return 0;
}

static int append(struct process_tree *tree, const struct process_entry *entry)
{
    int result = tree->entries == NULL || tree->count == tree->capacity ? grow(tree) : 0;

    if (result < 0)
        return result;
    uint32_t *slot = slot_of(tree, entry->pid);
    tree->entries[tree->count++] = *entry;
    *slot = (uint32_t)tree->count;
    return 0;
}

/* ---- Ended parents -------------------------------------------------------------------------------- */

/* State of a refresh. */
struct walk {
    struct process_tree *tree;
    int proc_fd;
    bool repeated; /* the one before left a doubt */
    bool in_doubt; /* so does this one */
    size_t added;
};

/* The process was alive, and has ended by now. An orphan goes to an ancestor. */
static void note_end(struct walk *walk, const struct process_entry *before)
{
    if (walk->repeated) {
        walk->in_doubt |= before->heir;
        return;
    }
    if (!before->forked)
        return;
    walk->in_doubt = true;
    struct process_entry *ancestor = find(walk->tree, before->parent);
    while (ancestor != NULL && !ancestor->heir) {
        ancestor->heir = true;
        ancestor = find(walk->tree, ancestor->parent);
    }
}

static bool is_same(const struct process_entry *a, const struct process_entry *b)
{
    return a->start_time == b->start_time;
}

/* Looks again at a listed process. The result of look_at(). */
static int look_again(struct walk *walk, struct process_entry *known)
{
    struct process_entry before = *known;
    struct process_entry now;
    int result = look_at(walk->proc_fd, before.pid, &now);

    if (result < 0 && result != -ESRCH)
        return result;
    if (before.alive && (result == -ESRCH || !now.alive || !is_same(&before, &now)))
        note_end(walk, &before);
    now.forked = before.forked;
    now.heir = before.heir;
    if (result == 0)
        *known = now;
    else
        known->alive = false;
    return result;
}

/* Adds or updates one process. 1: it is new, 0: it was known, -ESRCH: gone. */
static int note(struct walk *walk, pid_t pid)
{
    struct process_entry *known = find(walk->tree, pid);
    struct process_entry entry;

    if (known != NULL && known->reached)
        return 0;
    if (known != NULL) {
        struct process_entry before = *known;
        int result = look_again(walk, known);
        /* The same number with another start time is another process. */
        return result != 0 ? result : !is_same(&before, known);
    }
    int result = look_at(walk->proc_fd, pid, &entry);
    if (result == 0)
        result = append(walk->tree, &entry);
    return result < 0 ? result : 1;
}

int process_tree_note_fork(struct process_tree *tree, int proc_fd, pid_t pid)
{
    struct process_entry *known = find(tree, pid);
    struct process_entry entry;

    if (known != NULL) {
        known->forked = known->alive = true;
        return 0;
    }
    int result = look_at(proc_fd, pid, &entry);
    if (result != 0)
        return result;
    entry.forked = entry.alive = true;
    return append(tree, &entry);
}

/* ---- The walk ------------------------------------------------------------------------------------- */

/* A list of numbers, first in `few`. */
struct numbers {
    pid_t few[CHILDREN_FIRST_READ];
    pid_t *many; /* owned; NULL: all are in `few` */
    ssize_t count;
};

static void free_numbers(struct numbers *numbers)
{
    free(numbers->many);
}

#define CLEANUP_NUMBERS __attribute__((cleanup(free_numbers)))

typedef ssize_t number_reader(int proc_fd, pid_t pid, pid_t *numbers, size_t capacity);

/* 0 or -errno. Whoever is gone has none. */
static int read_numbers(struct numbers *numbers, number_reader *reader, int proc_fd, pid_t pid)
{
    ssize_t capacity = CHILDREN_FIRST_READ;

    free(numbers->many);
    numbers->many = NULL;
    ssize_t count = reader(proc_fd, pid, numbers->few, CHILDREN_FIRST_READ);
    while (count > capacity) {
        if (count > PROCESS_TREE_MAX)
            return -E2BIG;
        free(numbers->many);
        capacity = count + 16; /* some more may come meanwhile */
        numbers->many = malloc((size_t)capacity * sizeof(*numbers->many));
        if (numbers->many == NULL)
            return -ENOMEM;
        count = reader(proc_fd, pid, numbers->many, (size_t)capacity);
    }
    bool gone = count == -ENOENT || count == -ESRCH;
    numbers->count = count < 0 ? 0 : count;
    return count < 0 && !gone ? (int)count : 0;
}

static const pid_t *items(const struct numbers *numbers)
{
    return numbers->many != NULL ? numbers->many : numbers->few;
}

/* The kernel lists threads in the order of their birth. */
static bool has_all(const struct numbers *numbers, const struct numbers *wanted)
{
    ssize_t k = 0;

    for (ssize_t i = 0; i < wanted->count; i++, k++) {
        while (k < numbers->count && items(numbers)[k] != items(wanted)[i])
            k++;
        if (k >= numbers->count)
            return false;
    }
    return true;
}

/* 1: the list is not to be relied on, because somebody left it while it was read: the kernel finds its
 * place in it again by counting. */
static int list_children_once(struct walk *walk, pid_t pid)
{
    CLEANUP_NUMBERS struct numbers children = {.count = 0};
    int result = read_numbers(&children, procfs_children, walk->proc_fd, pid);
    bool changed = false;

    for (ssize_t i = 0; i < children.count && result == 0; i++) {
        int noted = note(walk, items(&children)[i]);
        changed |= noted == -ESRCH;
        if (noted > 0)
            walk->added += (size_t)noted;
        else if (noted < 0 && noted != -ESRCH)
            result = noted;
    }
    return result < 0 ? result : changed;
}

/* The children of a thread that ends go to the first one that is left, whose list may have been read. */
static int list_children_of_threads(struct walk *walk, pid_t pid)
{
    CLEANUP_NUMBERS struct numbers before = {.count = 0};
    CLEANUP_NUMBERS struct numbers after = {.count = 0};
    int result = read_numbers(&before, procfs_threads, walk->proc_fd, pid);

    if (result == 0)
        result = list_children_once(walk, pid);
    int changed = result;
    if (result >= 0)
        result = read_numbers(&after, procfs_threads, walk->proc_fd, pid);
    if (result == 0 && !has_all(&after, &before))
        changed = 1;
    return result < 0 ? result : changed;
}

static int note_children(struct walk *walk, pid_t pid, bool threads)
{
    int result = 1;

    for (int i = 0; i < LISTINGS_MAX && result > 0; i++)
        result = threads ? list_children_of_threads(walk, pid) : list_children_once(walk, pid);
    return result < 0 ? result : 0;
}

/* The children of entry `index`, which is alive. */
static int walk_entry(struct walk *walk, size_t index)
{
    const struct process_entry entry = walk->tree->entries[index];
    int result = note_children(walk, entry.pid, entry.threads > 1);

    /* If it ended before its list was read, that list was empty, and not because it has no children. */
    if (result == 0 && (entry.forked || entry.heir)) {
        struct process_entry *known = &walk->tree->entries[index];
        result = look_again(walk, known);
        if (result == 0 &&
            !is_same(&entry, known)) { /* whoever has the number now was not in a list */
            *known = entry;
            known->alive = false;
        }
    }
    return result == -ESRCH ? 0 : result;
}

/* Everyone who is reached, whether found in a list or known before. Entries are appended while their
 * parents are walked, and old ones are reached in any order. */
static int walk_all(struct walk *walk, bool **walked, size_t *walked_count)
{
    struct process_tree *tree = walk->tree;
    bool progress = true;
    int result = 0;

    while (result == 0 && progress) {
        progress = false;
        for (size_t i = 0; i < tree->count && result == 0; i++) {
            if (i >= *walked_count) {
                bool *grown = realloc(*walked, tree->capacity * sizeof(**walked));
                if (grown == NULL)
                    return -ENOMEM;
                *walked = grown;
                while (*walked_count < tree->capacity)
                    grown[(*walked_count)++] = false;
            }
            if ((*walked)[i] || !tree->entries[i].reached)
                continue;
            (*walked)[i] = true;
            if (!tree->entries[i].alive)
                continue; /* its children went to another parent when its last thread ended */
            progress = true;
            result = walk_entry(walk, i);
        }
    }
    return result;
}

/* Processes that the walk has not reached are kept if they are still there, and have children. */
static int look_after_the_others(struct walk *walk)
{
    struct process_tree *tree = walk->tree;
    int result = 0;

    for (size_t i = 0; i < tree->count; i++) {
        struct process_entry *entry = &tree->entries[i];
        if (entry->reached)
            continue;
        struct process_entry before = *entry;
        result = look_again(walk, entry);
        if (result < 0 && result != -ESRCH)
            return result;
        entry->reached = result == 0 && is_same(&before, entry);
    }
    return 0;
}

static void drop_the_unreached(struct process_tree *tree)
{
    size_t kept = 0;

    for (size_t i = 0; i < tree->count; i++) {
        if (tree->entries[i].reached)
            tree->entries[kept++] = tree->entries[i];
    }
    if (kept < tree->count) {
        tree->count = kept;
        fill_slots(tree);
    }
}

/* Whose children have gone elsewhere already leaves no doubt. */
static int look_for_ended_parents(struct walk *walk)
{
    for (size_t i = 0; i < walk->tree->count; i++) {
        struct process_entry *entry = &walk->tree->entries[i];
        struct process_entry now;
        if (!entry->forked || !entry->alive)
            continue;
        int result = look_at(walk->proc_fd, entry->pid, &now);
        if (result < 0 && result != -ESRCH)
            return result;
        if (result == -ESRCH || (is_same(entry, &now) && !now.alive))
            entry->alive = false;
    }
    return 0;
}

ssize_t process_tree_refresh(struct process_tree *tree, int proc_fd, pid_t root)
{
    struct walk walk = {.tree = tree, .proc_fd = proc_fd, .repeated = tree->in_doubt};
    CLEANUP_FREE bool *walked = NULL;
    size_t walked_count = 0;

    for (size_t i = 0; i < tree->count; i++) {
        tree->entries[i].reached = false;
        tree->entries[i].heir &= walk.repeated;
    }
    int result = walk.repeated ? 0 : look_for_ended_parents(&walk);
    if (result == 0)
        result = note_children(&walk, root, false);
    if (result == 0)
        result = walk_all(&walk, &walked, &walked_count);
    if (result == 0)
        result = look_after_the_others(&walk);
    if (result == 0)
        result = walk_all(&walk, &walked, &walked_count);
    if (result < 0)
        return result;
    drop_the_unreached(tree);
    tree->in_doubt = walk.in_doubt;
    return (ssize_t)walk.added;
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
