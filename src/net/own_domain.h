/*
 * Members that have confined themselves: what Landlock takes from such a process it must not get back
 * because the supervisor, which is in another domain, performs the call on its behalf. All of these cost
 * one look at a flag while no process of the sandbox ever entered a domain of its own.
 */
#ifndef SANDLOCK_NET_OWN_DOMAIN_H
#define SANDLOCK_NET_OWN_DOMAIN_H

#include "net/address.h"
#include "supervisor/feature.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Of one sandbox. */
struct own_domains {
    atomic_bool any; /* some process has confined itself */
    uint64_t whole;  /* the hard limit that tells those that have not; immutable after the start */
};

/* True if the calling process is in a domain of its own, made by itself or by an ancestor since the start;
 * also if that cannot be told. Any thread. */
bool own_domain_restricts(const struct request *request);

/* Each: 0, or -errno and a denial is recorded: the call of such a process is not performed. What the
 * process may do in its own domain nobody can ask the kernel. */
int own_domain_judge_tcp(const struct request *request, const struct socket_address *address,
                         const char *want);
int own_domain_judge_abstract(const struct request *request, const struct socket_address *address,
                              const char *want);
int own_domain_judge_path(const struct request *request, const char *path, const char *want);

#endif
