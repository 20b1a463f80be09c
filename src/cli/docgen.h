/* Generators of documentation and completions from the option table. Build-time only. */
#ifndef SANDLOCK_CLI_DOCGEN_H
#define SANDLOCK_CLI_DOCGEN_H

#include "util/buffer.h"

void docgen_man(struct buffer *out);         /* sandlock(1) */
void docgen_man_profile(struct buffer *out); /* sandlock-profile(5) */
void docgen_bash(struct buffer *out);
void docgen_zsh(struct buffer *out);
void docgen_fish(struct buffer *out);

#endif
