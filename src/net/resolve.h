/*
 * Host names of the allow rules, resolved once at the start with the host's resolver: every name at
 * the same time, all of them within one deadline. On the caller's thread, before anything is confined.
 */
#ifndef SANDLOCK_NET_RESOLVE_H
#define SANDLOCK_NET_RESOLVE_H

#include "net/verdict.h"
#include "policy/net_rule.h"
#include "util/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RESOLVE_DEADLINE_SECONDS 10

/* Addresses kept of one name; a resolver that answers with more is cut. */
#define RESOLVE_ADDRESSES_MAX 256

struct resolved_hosts {
    struct net_resolved *items; /* owned with what they point to; in the order of the rules */
    size_t count;
};

/* Every distinct name of the rules, of whatever protocol, once. False and "failed to resolve host
 * 'NAME': reason" (ERROR_RUNTIME) for the first name in the order of the rules that has no address, or
 * out of memory; *hosts is empty then. "localhost" is known without asking anybody. Takes no longer than
 * `limit_ms` milliseconds if that is shorter than the usual deadline; 0: no limit of the caller's. */
bool resolve_hosts(const struct net_rules *rules, uint64_t limit_ms, struct resolved_hosts *hosts,
                   struct error *err);
void resolved_hosts_free(struct resolved_hosts *hosts);

/* The content of /etc/hosts: the loopback lines, then one line per resolved address, each once. */
void resolve_hosts_text(const struct resolved_hosts *hosts, struct buffer *out);

/* ---- Ways to ask: one answer per name ------------------------------------------------------------- */

struct resolve_answer {
    struct net_address *addresses; /* owned; distinct */
    size_t count;
    char reason[96]; /* why there are none */
};

/* Each fills answers[i] for names[i] until the deadline (CLOCK_MONOTONIC milliseconds); a name without
 * an answer by then has a reason. Names have passed the grammar of rules: none begins with '-'. */

/* getaddrinfo() in threads of their own. A resolver that does not come back keeps its thread and what
 * that needs, nothing of the caller's. */
void resolve_in_threads(const char *const *names, size_t count, int64_t deadline,
                        struct resolve_answer *answers);

/* The host's getent(1), for a program that is linked statically and has no name services of its own;
 * where there is none, the C library's resolver in a process of its own. */
void resolve_by_program(const char *const *names, size_t count, int64_t deadline,
                        struct resolve_answer *answers);

/* Appends an address unless it is there, or there are too many. False when out of memory. */
bool resolve_answer_add(struct resolve_answer *answer, const struct net_address *address);

int64_t resolve_now(void); /* CLOCK_MONOTONIC milliseconds */

#endif
