/*
 * Denial records: see denial.h. Records lie in one array that grows up to the ring's limit, found
 * through hash chains of indices, so that a denial costs the same whether it is the first or the
 * millionth, and memory is bounded by the limit whatever the members do.
 */
#include "supervisor/denial_internal.h"

#include "util/fd.h"
#include "util/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NO_RECORD UINT32_MAX
#define NO_RULE "no rule"
#define ELLIPSIS "..."

#define ERRNO_NAME(name) [name] = #name

/* Those that the supervisor and the filter answer; a name per number of asm-generic/errno*.h. */
static const char *const errno_names[] = {
    ERRNO_NAME(EPERM),
    ERRNO_NAME(ENOENT),
    ERRNO_NAME(ESRCH),
    ERRNO_NAME(EINTR),
    ERRNO_NAME(EIO),
    ERRNO_NAME(ENXIO),
    ERRNO_NAME(E2BIG),
    ERRNO_NAME(ENOEXEC),
    ERRNO_NAME(EBADF),
    ERRNO_NAME(ECHILD),
    ERRNO_NAME(EAGAIN),
    ERRNO_NAME(ENOMEM),
    ERRNO_NAME(EACCES),
    ERRNO_NAME(EFAULT),
    ERRNO_NAME(ENOTBLK),
    ERRNO_NAME(EBUSY),
    ERRNO_NAME(EEXIST),
    ERRNO_NAME(EXDEV),
    ERRNO_NAME(ENODEV),
    ERRNO_NAME(ENOTDIR),
    ERRNO_NAME(EISDIR),
    ERRNO_NAME(EINVAL),
    ERRNO_NAME(ENFILE),
    ERRNO_NAME(EMFILE),
    ERRNO_NAME(ENOTTY),
    ERRNO_NAME(ETXTBSY),
    ERRNO_NAME(EFBIG),
    ERRNO_NAME(ENOSPC),
    ERRNO_NAME(ESPIPE),
    ERRNO_NAME(EROFS),
    ERRNO_NAME(EMLINK),
    ERRNO_NAME(EPIPE),
    ERRNO_NAME(EDOM),
    ERRNO_NAME(ERANGE),
    ERRNO_NAME(EDEADLK),
    ERRNO_NAME(ENAMETOOLONG),
    ERRNO_NAME(ENOLCK),
    ERRNO_NAME(ENOSYS),
    ERRNO_NAME(ENOTEMPTY),
    ERRNO_NAME(ELOOP),
    ERRNO_NAME(ENODATA),
    ERRNO_NAME(EPROTO),
    ERRNO_NAME(EOVERFLOW),
    ERRNO_NAME(ENOTSOCK),
    ERRNO_NAME(EDESTADDRREQ),
    ERRNO_NAME(EMSGSIZE),
    ERRNO_NAME(EPROTOTYPE),
    ERRNO_NAME(ENOPROTOOPT),
    ERRNO_NAME(EPROTONOSUPPORT),
    ERRNO_NAME(ESOCKTNOSUPPORT),
    ERRNO_NAME(EOPNOTSUPP),
    ERRNO_NAME(EPFNOSUPPORT),
    ERRNO_NAME(EAFNOSUPPORT),
    ERRNO_NAME(EADDRINUSE),
    ERRNO_NAME(EADDRNOTAVAIL),
    ERRNO_NAME(ENETDOWN),
    ERRNO_NAME(ENETUNREACH),
    ERRNO_NAME(ECONNABORTED),
    ERRNO_NAME(ECONNRESET),
    ERRNO_NAME(ENOBUFS),
    ERRNO_NAME(EISCONN),
    ERRNO_NAME(ENOTCONN),
    ERRNO_NAME(ETIMEDOUT),
    ERRNO_NAME(ECONNREFUSED),
    ERRNO_NAME(EHOSTUNREACH),
    ERRNO_NAME(EALREADY),
    ERRNO_NAME(EINPROGRESS),
    ERRNO_NAME(ESTALE),
    ERRNO_NAME(EDQUOT),
    ERRNO_NAME(ECANCELED),
};

const char *denial_errno_name(int error)
{
    size_t count = sizeof(errno_names) / sizeof(errno_names[0]);

    if (error <= 0 || (size_t)error >= count || errno_names[error] == NULL)
        return "E?";
    return errno_names[error];
}

struct denial_log *denial_log_new(void)
{
    struct denial_log *log = calloc(1, sizeof(*log));

    if (log == NULL)
        return NULL;
    pthread_mutex_init(&log->lock, NULL);
    denial_writer_init(&log->writer);
    log->holders = 1;
    return log;
}

struct denial_log *denial_log_share(struct denial_log *log)
{
    pthread_mutex_lock(&log->lock);
    log->holders++;
    pthread_mutex_unlock(&log->lock);
    return log;
}

static bool let_go(struct denial_log *log)
{
    pthread_mutex_lock(&log->lock);
    bool was_last = --log->holders == 0;
    pthread_mutex_unlock(&log->lock);
    return was_last;
}

void denial_log_free(struct denial_log *log)
{
    if (log == NULL || !let_go(log))
        return;
    for (uint32_t i = 0; i < log->count; i++) {
        free(log->slots[i].denial.object);
        free((char *)log->slots[i].denial.rule); /* the ring's own copy */
        free(log->slots[i].denial.suggest);
    }
    free(log->slots);
    free(log->buckets);
    denial_writer_destroy(&log->writer);
    pthread_mutex_destroy(&log->lock);
    free(log);
}

/* ---- Equality ---------------------------------------------------------------------------------- */

static uint64_t hash_bytes(uint64_t hash, const void *data, size_t size)
{
    const unsigned char *bytes = data;

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3ULL; /* FNV-1a */
    return hash;
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
    return text == NULL ? hash_bytes(hash, "\1", 1) : hash_bytes(hash, text, strlen(text) + 1);
}

static uint64_t denial_hash(const struct denial *denial)
{
    uint64_t hash = 0xcbf29ce484222325ULL;

    hash = hash_text(hash, denial->call);
    hash = hash_text(hash, denial->object);
    hash = hash_text(hash, denial->want);
    hash = hash_text(hash, denial->layer);
    hash = hash_bytes(hash, &denial->error, sizeof(denial->error));
    return hash ^ (hash >> 32); /* the low bits choose the bucket */
}

static bool is_same_text(const char *left, const char *right)
{
    return left == right || (left != NULL && right != NULL && strcmp(left, right) == 0);
}

/* A copy of at most DENIAL_OBJECT_MAX bytes, cut in the middle at UTF-8 boundaries: both ends of a
 * path tell more than its beginning alone. */
static char *copy_cut(const char *text)
{
    size_t length = strlen(text);

    if (length <= DENIAL_OBJECT_MAX)
        return strdup(text);
    size_t head = (DENIAL_OBJECT_MAX - strlen(ELLIPSIS)) / 2;
    size_t tail = length - (DENIAL_OBJECT_MAX - strlen(ELLIPSIS) - head);
    for (int i = 0; i < 3 && ((unsigned char)text[head] & 0xC0) == 0x80; i++)
        head--;
    for (int i = 0; i < 3 && ((unsigned char)text[tail] & 0xC0) == 0x80; i++)
        tail++;
    char *copy = malloc(head + strlen(ELLIPSIS) + (length - tail) + 1);
    if (copy == NULL)
        return NULL;
    memcpy(copy, text, head);
    memcpy(copy + head, ELLIPSIS, strlen(ELLIPSIS));
    memcpy(copy + head + strlen(ELLIPSIS), text + tail, length - tail + 1);
    return copy;
}

/* Long objects are compared by the hash of the whole text: the cut copies of two may be equal. */
static bool is_same_object_text(const char *kept, const char *text)
{
    if (kept != NULL && text != NULL && strlen(text) > DENIAL_OBJECT_MAX)
        return true;
    return is_same_text(kept, text);
}

static struct record_slot *find(struct denial_log *log, const struct denial *denial, uint64_t hash)
{
    if (log->count == 0)
        return NULL;
    uint32_t index = log->buckets[hash & (log->capacity - 1)];
    while (index != NO_RECORD) {
        struct record_slot *slot = &log->slots[index];
        if (slot->hash == hash && slot->denial.error == denial->error &&
            is_same_text(slot->denial.call, denial->call) &&
            is_same_text(slot->denial.want, denial->want) &&
            is_same_text(slot->denial.layer, denial->layer) &&
            is_same_object_text(slot->denial.object, denial->object))
            return slot;
        index = slot->next;
    }
    return NULL;
}

/* ---- JSON -------------------------------------------------------------------------------------- */

void denial_write_json(struct json *json, const struct denial *denial)
{
    json_object_begin(json);
    json_key(json, "seq");
    json_uint(json, denial->seq);
    json_key(json, "ts");
    json_double(json, (double)denial->time_ns / 1e9, 6);
    json_int_member(json, "pid", denial->pid);
    json_string_member(json, "comm", denial->comm);
    json_string_member(json, "call", denial->call);
    json_string_member(json, "object", denial->object);
    json_string_member(json, "want", denial->want);
    json_string_member(json, "errno", denial_errno_name(denial->error));
    json_string_member(json, "layer", denial->layer);
    json_string_member(json, "rule", denial->rule);
    json_string_member(json, "suggest", denial->suggest);
    json_key(json, "count");
    json_uint(json, denial->count);
    json_object_end(json);
}

/* ---- Adding ------------------------------------------------------------------------------------ */

static bool grow(struct denial_log *log)
{
    uint32_t capacity = log->capacity == 0 ? 16 : log->capacity * 2;

    struct record_slot *slots = realloc(log->slots, capacity * sizeof(*slots));
    if (slots == NULL)
        return false;
    log->slots = slots;
    uint32_t *buckets = malloc(capacity * sizeof(*buckets));
    if (buckets == NULL)
        return false;
    free(log->buckets);
    log->buckets = buckets;
    log->capacity = capacity;
    memset(buckets, 0xFF, capacity * sizeof(*buckets));
    for (uint32_t i = 0; i < log->count; i++) {
        uint32_t *bucket = &buckets[slots[i].hash & (capacity - 1)];
        slots[i].next = *bucket;
        *bucket = i;
    }
    return true;
}

static int64_t now_realtime(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000LL + now.tv_nsec;
}

static bool copy_denial(struct denial *to, const struct denial *from)
{
    CLEANUP_FREE char *object = from->object == NULL ? NULL : copy_cut(from->object);
    CLEANUP_FREE char *rule = copy_cut(from->rule == NULL ? NO_RULE : from->rule);
    CLEANUP_FREE char *suggest = from->suggest == NULL ? NULL : strdup(from->suggest);

    if ((from->object != NULL && object == NULL) || rule == NULL ||
        (from->suggest != NULL && suggest == NULL))
        return false;
    *to = *from;
    to->comm[sizeof(to->comm) - 1] = '\0';
    to->object = object;
    to->rule = rule;
    to->suggest = suggest;
    object = rule = suggest = NULL;
    return true;
}

/* With the lock. Who reads a log wants to know of the last one: that which is going on. */
static void note_occurrence(struct denial_log *log, struct record_slot *slot,
                            const struct denial *denial)
{
    if (log->writer.sink < 0)
        return;
    slot->last.time_ns = denial->time_ns == 0 ? now_realtime() : denial->time_ns;
    slot->last.pid = denial->pid;
    memcpy(slot->last.comm, denial->comm, sizeof(slot->last.comm));
    slot->last.comm[sizeof(slot->last.comm) - 1] = '\0';
}

static bool append(struct denial_log *log, const struct denial *denial, uint64_t hash)
{
    if (log->count == log->capacity && !grow(log))
        return false;
    struct record_slot *slot = &log->slots[log->count];
    if (!copy_denial(&slot->denial, denial))
        return false;
    slot->denial.seq = log->total;
    slot->denial.count = 1;
    if (slot->denial.time_ns == 0)
        slot->denial.time_ns = now_realtime();
    slot->told = 0;
    slot->hash = hash;
    note_occurrence(log, slot, &slot->denial);
    uint32_t *bucket = &log->buckets[hash & (log->capacity - 1)];
    slot->next = *bucket;
    *bucket = log->count++;
    denial_writer_wake(log, true);
    return true;
}

/* With the lock held. True: the denial has been accounted for. */
static bool merge(struct denial_log *log, const struct denial *denial, uint64_t hash)
{
    struct record_slot *slot = find(log, denial, hash);

    if (slot == NULL && log->count < DENIAL_RING_MAX)
        return false;
    log->total++;
    if (slot == NULL) {
        log->dropped++;
        return true;
    }
    slot->denial.count++;
    note_occurrence(log, slot, denial);
    denial_writer_wake(log, false);
    return true;
}

bool denial_log_merge(struct denial_log *log, const struct denial *denial)
{
    if (log == NULL)
        return true;
    pthread_mutex_lock(&log->lock);
    bool merged = merge(log, denial, denial_hash(denial));
    pthread_mutex_unlock(&log->lock);
    return merged;
}

void denial_log_add(struct denial_log *log, const struct denial *denial)
{
    if (log == NULL)
        return;
    uint64_t hash = denial_hash(denial);
    pthread_mutex_lock(&log->lock);
    if (!merge(log, denial, hash)) {
        log->total++;
        if (!append(log, denial, hash))
            log->dropped++;
    }
    pthread_mutex_unlock(&log->lock);
}

/* ---- Keys -------------------------------------------------------------------------------------- */

static struct kept_key *place_of_key(struct denial_log *log, const struct denial_key *key)
{
    uintptr_t mixed = (uintptr_t)key->number ^ ((uintptr_t)key->call >> 2) ^
                      ((uintptr_t)key->kind >> 3) ^ (uintptr_t)key->error;

    return &log->keys[(mixed ^ (mixed >> 8)) & (KEYS_KEPT - 1)];
}

static bool is_same_key(const struct denial_key *left, const struct denial_key *right)
{
    return left->call == right->call && left->kind == right->kind && left->want == right->want &&
           left->layer == right->layer && left->number == right->number &&
           left->error == right->error;
}

bool denial_log_merge_key(struct denial_log *log, const struct denial_key *key)
{
    if (log == NULL)
        return true;
    pthread_mutex_lock(&log->lock);
    const struct kept_key *kept = place_of_key(log, key);
    bool found = log->writer.sink < 0 && key->call != NULL && is_same_key(&kept->key, key);
    if (found) {
        log->slots[kept->record].denial.count++;
        log->total++;
    }
    pthread_mutex_unlock(&log->lock);
    return found;
}

void denial_log_set_key(struct denial_log *log, const struct denial *denial,
                        const struct denial_key *key)
{
    if (log == NULL)
        return;
    pthread_mutex_lock(&log->lock);
    struct record_slot *slot = find(log, denial, denial_hash(denial));
    if (slot != NULL)
        *place_of_key(log, key) =
            (struct kept_key){.key = *key, .record = (uint32_t)(slot - log->slots)};
    pthread_mutex_unlock(&log->lock);
}

/* ---- Reading ----------------------------------------------------------------------------------- */

static pthread_mutex_t *lock_of(const struct denial_log *log)
{
    return (pthread_mutex_t *)&log->lock; /* reading does not change what the caller sees */
}

uint64_t denial_log_total(const struct denial_log *log)
{
    if (log == NULL)
        return 0;
    pthread_mutex_lock(lock_of(log));
    uint64_t total = log->total;
    pthread_mutex_unlock(lock_of(log));
    return total;
}

uint64_t denial_log_dropped(const struct denial_log *log)
{
    if (log == NULL)
        return 0;
    pthread_mutex_lock(lock_of(log));
    uint64_t dropped = log->dropped;
    pthread_mutex_unlock(lock_of(log));
    return dropped;
}

/* What fails harmlessly, and is seldom why a run failed: programs ask the routing socket for a change to learn what the
 * kernel knows (ip link show), and libselinux looks for its file system whenever coreutils and others start. */
static bool is_probe(const struct denial *denial)
{
    return is_same_text(denial->layer, "netlink-view") ||
           is_same_text(denial->object, "/proc/filesystems") ||
           is_same_text(denial->object, "/proc/self/mounts");
}

static int compare_interest(const void *left, const void *right)
{
    const struct denial *a = *(const struct denial *const *)left;
    const struct denial *b = *(const struct denial *const *)right;

    if (is_probe(a) != is_probe(b))
        return is_probe(a) ? 1 : -1;
    if (a->count != b->count)
        return a->count < b->count ? 1 : -1;
    return a->seq < b->seq ? -1 : 1;
}

static void write_summary_line(const struct denial *denial, struct buffer *out)
{
    buffer_printf(out, "%" PRIu64 "x %s", denial->count, denial->call);
    if (denial->object != NULL) {
        buffer_append_char(out, ' ');
        text_escape(out, denial->object, strlen(denial->object));
    }
    buffer_printf(out, ": %s (%s: ", denial_errno_name(denial->error), denial->layer);
    text_escape(out, denial->rule, strlen(denial->rule));
    buffer_append_char(out, ')');
    if (denial->suggest != NULL) {
        buffer_append_text(out, "; allow with: ");
        /* For pasting: the names in it are quoted, and to escape a quoted name is to rewrite it. */
        text_escape_controls(out, denial->suggest, strlen(denial->suggest));
    }
}

static void write_summary(const struct denial_log *log, struct buffer *out)
{
    buffer_printf(out, "sandlock: %" PRIu64 " denial%s\n", log->total, log->total == 1 ? "" : "s");
    if (log->count == 0)
        return;
    CLEANUP_FREE const struct denial **order = malloc(log->count * sizeof(*order));
    if (order == NULL) {
        out->failed = true;
        return;
    }
    for (uint32_t i = 0; i < log->count; i++)
        order[i] = &log->slots[i].denial;
    qsort(order, log->count, sizeof(*order), compare_interest);
    for (uint32_t i = 0; i < log->count; i++) {
        buffer_append_text(out, "  ");
        write_summary_line(order[i], out);
        buffer_append_char(out, '\n');
    }
    if (log->dropped > 0)
        buffer_printf(out, "  and %" PRIu64 " more that were not recorded\n", log->dropped);
}

void denial_log_summary(const struct denial_log *log, struct buffer *out)
{
    pthread_mutex_lock(lock_of(log));
    write_summary(log, out);
    pthread_mutex_unlock(lock_of(log));
}

/* Programs look for files that they can do without; they seldom connect to what they do not need. */
static bool is_of_network(const struct denial *denial)
{
    static const char *const calls[] = {"connect", "bind",    "listen",  "socket",
                                        "sendto",  "sendmsg", "sendmmsg"};

    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        if (is_same_text(denial->call, calls[i]))
            return true;
    }
    return false;
}

void denial_log_likeliest(const struct denial_log *log, struct buffer *out)
{
    const struct denial *likeliest = NULL;

    pthread_mutex_lock(lock_of(log));
    for (uint32_t i = 0; i < log->count; i++) { /* in the order of their sequence */
        const struct denial *denial = &log->slots[i].denial;
        if (is_probe(denial))
            continue;
        if (likeliest == NULL || is_of_network(denial) || !is_of_network(likeliest))
            likeliest = denial;
    }
    if (likeliest != NULL)
        write_summary_line(likeliest, out);
    pthread_mutex_unlock(lock_of(log));
}

void denial_log_json(const struct denial_log *log, struct buffer *out)
{
    struct json json;

    json_init(&json, out, 0);
    json_array_begin(&json);
    pthread_mutex_lock(lock_of(log));
    for (uint32_t i = 0; i < log->count; i++)
        denial_write_json(&json, &log->slots[i].denial);
    pthread_mutex_unlock(lock_of(log));
    json_array_end(&json);
}
