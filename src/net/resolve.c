/* Names of the allow rules to addresses: see resolve.h. */
#include "net/resolve.h"

#include "util/fd.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

int64_t resolve_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool resolve_answer_add(struct resolve_answer *answer, const struct net_address *address)
{
    for (size_t i = 0; i < answer->count; i++) {
        if (net_address_equal(&answer->addresses[i], address))
            return true;
    }
    if (answer->count == RESOLVE_ADDRESSES_MAX)
        return true;
    if (answer->addresses == NULL)
        answer->addresses = calloc(RESOLVE_ADDRESSES_MAX, sizeof(*answer->addresses));
    if (answer->addresses == NULL)
        return false;
    answer->addresses[answer->count++] = *address;
    return true;
}

/* ---- Names -------------------------------------------------------------------------------------- */

static int compare_names(const void *left, const void *right)
{
    return strcasecmp(left, right);
}

static void keep_name(void *name)
{
    (void)name; /* it belongs to the rules */
}

/* Each name once, in the order of the rules. False when out of memory. */
static bool distinct_names(const struct net_rules *rules, const char **names, size_t *count)
{
    void *seen = NULL;
    bool good = true;

    *count = 0;
    for (size_t i = 0; i < rules->count && good; i++) {
        const char *host = rules->items[i].host;
        if (rules->items[i].target != NET_TARGET_HOST || tfind(host, &seen, compare_names) != NULL)
            continue;
        good = tsearch(host, &seen, compare_names) != NULL;
        names[(*count)++] = host;
    }
    tdestroy(seen, keep_name);
    return good;
}

/* RFC 6761: no resolver is asked for it. */
static bool is_localhost(const char *name)
{
    return strcasecmp(name, "localhost") == 0 || strcasecmp(name, "localhost.") == 0;
}

static bool answer_localhost(struct resolve_answer *answer)
{
    static const struct net_address loopback4 = {.family = 4, .bytes = {127, 0, 0, 1}};
    static const struct net_address loopback6 = {.family = 6, .bytes = {[15] = 1}};

    return resolve_answer_add(answer, &loopback4) && resolve_answer_add(answer, &loopback6);
}

/* ---- Resolution --------------------------------------------------------------------------------- */

static void ask(const char *const *names, size_t count, uint64_t limit_ms,
                struct resolve_answer *answers)
{
    int64_t time = RESOLVE_DEADLINE_SECONDS * 1000;

    if (limit_ms > 0 && limit_ms < (uint64_t)time)
        time = (int64_t)limit_ms;
    int64_t deadline = resolve_now() + time;

#if defined(SANDLOCK_STATIC_CLI)
    resolve_by_program(names, count, deadline, answers);
#else
    resolve_in_threads(names, count, deadline, answers);
#endif
}

/* Asks for what is not known already, and puts the answers where they belong. */
static bool ask_unknown(const char *const *names, size_t count, uint64_t limit_ms,
                        struct resolve_answer *answers)
{
    CLEANUP_FREE const char **unknown = calloc(count + 1, sizeof(*unknown));
    CLEANUP_FREE struct resolve_answer *asked = calloc(count + 1, sizeof(*asked));
    size_t unknown_count = 0;

    if (unknown == NULL || asked == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!is_localhost(names[i]))
            unknown[unknown_count++] = names[i];
        else if (!answer_localhost(&answers[i]))
            return false;
    }
    if (unknown_count > 0)
        ask(unknown, unknown_count, limit_ms, asked);
    size_t next = 0;
    for (size_t i = 0; i < count; i++) {
        if (!is_localhost(names[i]))
            answers[i] = asked[next++];
    }
    return true;
}

static bool out_of_memory(struct error *err)
{
    return error_runtime(err, ENOMEM, "resolving the hosts of the network rules");
}

static bool take_answers(const char *const *names, struct resolve_answer *answers, size_t count,
                         struct resolved_hosts *hosts, struct error *err)
{
    hosts->items = calloc(count + 1, sizeof(*hosts->items));
    if (hosts->items == NULL)
        return out_of_memory(err);
    for (size_t i = 0; i < count; i++) {
        if (answers[i].count == 0)
            return error_runtime(err, 0, "failed to resolve host '%s': %s", names[i],
                                 answers[i].reason[0] != '\0' ? answers[i].reason : "no address");
        char *name = strdup(names[i]);
        if (name == NULL)
            return out_of_memory(err);
        hosts->items[hosts->count++] =
            (struct net_resolved){name, answers[i].addresses, answers[i].count};
        answers[i].addresses = NULL;
    }
    return true;
}

bool resolve_hosts(const struct net_rules *rules, uint64_t limit_ms, struct resolved_hosts *hosts,
                   struct error *err)
{
    CLEANUP_FREE const char **names = calloc(rules->count + 1, sizeof(*names));
    CLEANUP_FREE struct resolve_answer *answers = calloc(rules->count + 1, sizeof(*answers));
    size_t count = 0;

    *hosts = (struct resolved_hosts){0};
    if (names == NULL || answers == NULL || !distinct_names(rules, names, &count))
        return out_of_memory(err);
    if (count == 0)
        return true; /* cppcheck-suppress memleak ; freed at the end of its scope */
    bool good = ask_unknown(names, count, limit_ms, answers)
                    ? take_answers(names, answers, count, hosts, err)
                    : out_of_memory(err);
    for (size_t i = 0; i < count; i++)
        free(answers[i].addresses);
    if (!good)
        resolved_hosts_free(hosts);
    return good;
}

void resolved_hosts_free(struct resolved_hosts *hosts)
{
    for (size_t i = 0; i < hosts->count; i++) {
        free((char *)hosts->items[i].host);
        free((struct net_address *)hosts->items[i].addresses);
    }
    free(hosts->items);
    *hosts = (struct resolved_hosts){0};
}

/* ---- /etc/hosts --------------------------------------------------------------------------------- */

void resolve_hosts_text(const struct resolved_hosts *hosts, struct buffer *out)
{
    buffer_append_text(out, "127.0.0.1 localhost\n::1 localhost\n");
    for (size_t i = 0; i < hosts->count; i++) {
        const struct net_resolved *host = &hosts->items[i];
        if (strcasecmp(host->host, "localhost") == 0)
            continue; /* both lines are there */
        for (size_t k = 0; k < host->count; k++) {
            net_address_render(&host->addresses[k], out);
            buffer_printf(out, " %s\n", host->host);
        }
    }
}
