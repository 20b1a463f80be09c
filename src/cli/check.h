/* Rendering of `sandlock check`: pure functions of what the probe found. */
#ifndef SANDLOCK_CLI_CHECK_H
#define SANDLOCK_CLI_CHECK_H

#include "kernel/probe.h"
#include "supervisor/posture.h"
#include "util/buffer.h"

void check_text(const struct probe_result *host, const char *platform, struct buffer *out);
void check_json(const struct probe_result *host, const char *platform, struct buffer *out);

/* What a profile would have here, one line per entry, then what it leaves open. */
void check_posture_text(const struct posture *posture, const char *profile, struct buffer *out);

#endif
