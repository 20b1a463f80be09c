/*
 * Injected faults, for tests that prove what happens when a step fails or a verdict is wrong. They
 * exist only in builds with -Dfault_injection=true; in all others fault_is() is the constant false and
 * nothing of this is compiled.
 */
#ifndef SANDLOCK_UTIL_FAULT_H
#define SANDLOCK_UTIL_FAULT_H

#include <errno.h>
#include <stdbool.h>

#if defined(SANDLOCK_FAULT_INJECTION)

/* True if the environment variable SANDLOCK_FAULT, a comma-separated list, has this name. "NAME:N" in
 * the list holds for the first N questions only. The variable is read once, at the first question; later
 * ones allocate nothing and take no lock. */
bool fault_is(const char *name);

/* The result of `call`; with the fault `failed` instead, errno being EIO, and no call. */
#define FAULT_OR(name, failed, call) (fault_is(name) ? (errno = EIO, (failed)) : (call))

#else
#define fault_is(name) false
#define FAULT_OR(name, failed, call) (call)
#endif

#endif
