/* sandlock-docgen KIND: writes one generated document to standard output. Build-time only. */
#include "cli/docgen.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *kind;
    void (*write)(struct buffer *out);
} documents[] = {
    {"man", docgen_man},   {"man-profile", docgen_man_profile},
    {"bash", docgen_bash}, {"zsh", docgen_zsh},
    {"fish", docgen_fish},
};

int main(int argc, char **argv)
{
    CLEANUP_BUFFER struct buffer text = BUFFER_INIT;

    for (size_t i = 0; argc == 2 && i < sizeof(documents) / sizeof(documents[0]); i++) {
        if (strcmp(argv[1], documents[i].kind) != 0)
            continue;
        documents[i].write(&text);
        if (buffer_failed(&text) || fwrite(text.data, 1, text.length, stdout) != text.length ||
            fflush(stdout) != 0)
            return 1;
        return 0;
    }
    fputs("Usage: sandlock-docgen man|man-profile|bash|zsh|fish\n", stderr);
    return 2;
}
