/*
 * What the files of explain share: looks at pinned objects that tell what the kernel says by itself.
 */
#ifndef SANDLOCK_GATES_EXPLAIN_PARTS_H
#define SANDLOCK_GATES_EXPLAIN_PARTS_H

#include "gates/explain_files.h"
#include "kernel/sys.h"
#include "util/buffer.h"

#define LAYER "landlock"

#define STATX_MOUNT 0x1000 /* STATX_MNT_ID, since 5.8: in rest[0] */

/* An O_PATH descriptor of what the question is about, owned by the caller, or -errno; -EAGAIN if it would
 * wait. */
int explain_pin(const struct question *question, bool cached_only);

/* True where nothing waits for another process or machine; without `cached_only` always. */
bool explain_is_local(struct explain_files *files, int path_fd, bool cached_only);

bool explain_look_at(int path_fd, struct sys_statx *answer);
unsigned explain_kind_of_mode(unsigned mode); /* KIND_* */

/* The kind of the leaf; 0: there is none. */
unsigned explain_leaf_kind(const struct question *question, int directory);
bool explain_leaf_fits(const struct question *question, unsigned kind);
bool explain_mode_bits_allow(int path_fd, int access);

/* The looks are the supervisor's. Before one is recorded: may the member, where it is less, find the object of the
 * question and does its mode allow the access? 1; 0: the kernel refuses it by itself; -EAGAIN as explain_pin(). */
int explain_member_reaches(const struct request *request, const struct explain_files *files,
                           const struct question *question, int access, bool cached_only);

/* The name of the record's object: `leaf` in `place`, or with "" `place` itself. */
void explain_append_name(struct buffer *out, const char *place, const char *leaf);

/* As explain_job_ask(), of two names: explain_pair.c. */
bool explain_ask_pair(const struct request *request, struct explain_job *job, bool cached_only);

#endif
