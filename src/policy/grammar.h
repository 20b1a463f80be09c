/*
 * The value grammars of the command line, the profiles and the C library, one
 * function each. They judge text only: no state, no system call. Messages quote the text and give
 * the reason; the caller prefixes the name of the option or key.
 */
#ifndef SANDLOCK_POLICY_GRAMMAR_H
#define SANDLOCK_POLICY_GRAMMAR_H

#include "policy/policy.h"
#include "util/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* SIZE: digits and K, M, G, T (any case) or KiB, MiB, GiB, TiB; powers of 1024; bytes otherwise.
 * Overflow says "out of range". */
bool grammar_size(const char *text, uint64_t *bytes, struct error *err);

/* Duration: N[ms|s|m|h], a bare number is seconds; result in milliseconds. Zero is refused unless it
 * may be: a limit of zero means nothing that anybody wants. */
bool grammar_duration(const char *text, bool may_be_zero, uint64_t *milliseconds,
                      struct error *err);

/* PORTS: comma list of N and LO-HI. `allow_any`: "*" is accepted (only on the allow side). Several
 * texts merge into one sorted, disjoint list; *ranges is owned by the caller. */
bool grammar_ports(const char *const *texts, size_t count, bool allow_any, bool *any,
                   struct port_range **ranges, size_t *range_count, struct error *err);

/* UID:GID, blanks around each number tolerated. */
bool grammar_user(const char *text, uint32_t *uid, uint32_t *gid, struct error *err);

/* "all" (any case) or a comma list of numbers, each kept once. *devices is owned, NULL for "all". */
bool grammar_gpu(const char *text, enum gpu_mode *mode, uint32_t **devices, size_t *count,
                 struct error *err);

/* Comma lists of numbers; several texts add up, in order, each number once. *values is owned, NULL if
 * there is none. */
bool grammar_uint_list(const char *const *texts, size_t count, uint32_t **values,
                       size_t *value_count, struct error *err);

/* KEY=VALUE: non-empty key without '='. *key_length is the length of KEY. */
bool grammar_env(const char *text, size_t *key_length, struct error *err);

/* Sandbox NAME: 1..64 bytes, each above 0x20 and not 0x7F, no '/', not "." or "..", UTF-8. */
bool grammar_name(const char *text, struct error *err);

/* A decimal u32 within bounds. */
bool grammar_uint32(const char *text, uint32_t minimum, uint32_t maximum, uint32_t *value,
                    struct error *err);

#endif
