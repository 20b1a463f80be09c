/*
 * Linked into the command line program of a sanitizer build. At its exit LeakSanitizer clones a
 * tracer and calls prctl, which the supervisor's own filter refuses, so leaks are looked for only
 * where ASAN_OPTIONS=detect_leaks=1 asks for it (runs without that filter). 99 is no exit status of
 * sandlock, so that a finding is never taken for a refusal.
 */
#define EXPORTED __attribute__((visibility("default"), used))

EXPORTED const char *__asan_default_options(void);
EXPORTED const char *__ubsan_default_options(void);

const char *__asan_default_options(void)
{
    return "detect_leaks=0:exitcode=99";
}

const char *__ubsan_default_options(void)
{
    return "halt_on_error=1:exitcode=99:print_stacktrace=1";
}
