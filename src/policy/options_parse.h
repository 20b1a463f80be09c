/*
 * The command line of `run`-like commands: argv to an unvalidated record, driven by the option
 * table alone. It knows nothing of files, processes or the meaning of values; those are judged when
 * the policy is built. Options end at "--" or at the first word that is no option, and from there
 * on everything belongs to the command, verbatim.
 */
#ifndef SANDLOCK_POLICY_OPTIONS_PARSE_H
#define SANDLOCK_POLICY_OPTIONS_PARSE_H

#include "policy/record.h"
#include "util/error.h"

#include <stdbool.h>

enum help_request {
    HELP_NONE = 0,
    HELP_SHORT, /* -h */
    HELP_LONG,  /* --help */
};

struct options_parsed {
    int command_index;      /* where the command begins in argv; argc if there is none */
    enum help_request help; /* asked for: parsing stopped there and the record is incomplete */
};

/* Parses argv[first..argc) into `record` (empty before; argv is not kept). False and a usage error
 * that names the option and the text: unknown option, missing or unwanted value, a value that
 * begins with '-' without '=', a flag or single value given twice, options that exclude each other.
 */
bool options_parse(int argc, const char *const *argv, int first, struct record *record,
                   struct options_parsed *parsed, struct error *err);

#endif
