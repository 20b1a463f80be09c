/* A test that cannot say anything here says why. */
#ifndef SANDLOCK_TESTS_SKIP_BECAUSE_H
#define SANDLOCK_TESTS_SKIP_BECAUSE_H

#define skip_because(reason)                    \
    do {                                        \
        print_message("skipped: %s\n", reason); \
        skip();                                 \
    } while (0)

#endif
