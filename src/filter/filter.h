/*
 * The seccomp filter: what is decided for every system call number, and the program that decides
 * it.
 *
 * A plan is a table from numbers to rules on register values. It has three readers that must agree:
 * filter_plan_evaluate() is the meaning, filter_compile() emits a balanced tree of classic BPF, and
 * filter_verify() runs the emitted program in an interpreter over all numbers and all interesting
 * argument values and compares. Supervisor traps and the supervisor's own allow lists are plans
 * too.
 */
#ifndef SANDLOCK_FILTER_FILTER_H
#define SANDLOCK_FILTER_FILTER_H

#include "kernel/arch.h"
#include "kernel/bpf.h"
#include "policy/policy.h"
#include "util/buffer.h"
#include "util/error.h"

#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One test on one argument. Parameters of type int or unsigned are compared by the low 32 bits, as
 * the kernel reads them; pointers are tested over both halves. */
enum arg_operator {
    ARG_EQUAL,     /* (low & mask) == value */
    ARG_ANY_BIT,   /* (low & mask) != 0 */
    ARG_NO_BIT,    /* (low & mask) == 0 */
    ARG_IN_RANGE,  /* value <= (low & mask) <= value_high */
    ARG_IS_NULL,   /* all 64 bits zero */
    ARG_SAME_AS,   /* low == low of argument number `value`; no mask */
    ARG_NOT_EQUAL, /* (low & mask) != value */
    ARG_NOT_NULL,  /* any of the 64 bits set */
};

struct arg_test {
    uint8_t arg; /* 0..5 */
    enum arg_operator op;
    uint32_t mask; /* 0 is read as 0xFFFFFFFF */
    uint32_t value;
    uint32_t value_high;
};

/* Room for the conditions of two traps that meet on one number. */
#define FILTER_TESTS_MAX 4

/* If all tests hold, the answer is `action` (a SECCOMP_RET_* value with its data). */
struct filter_rule {
    uint8_t test_count; /* 0: always */
    struct arg_test tests[FILTER_TESTS_MAX];
    uint32_t action;
};

#define FILTER_ALLOW SECCOMP_RET_ALLOW
#define FILTER_NOTIFY SECCOMP_RET_USER_NOTIF
#define FILTER_ERRNO(number) (SECCOMP_RET_ERRNO | ((uint32_t)(number)&SECCOMP_RET_DATA))

/* What the plan answers for one number: the first rule that holds, else `otherwise`. */
struct filter_entry {
    struct filter_rule *rules; /* owned */
    size_t rule_count;
    uint32_t otherwise;
};

struct filter_plan {
    const struct arch *arch;
    uint32_t foreign_arch;        /* answer for another architecture's calls */
    uint32_t unknown;             /* numbers above arch->newest and holes; also x32 on x86-64 */
    struct filter_entry *entries; /* arch->newest + 1 of them, owned */
};

/* Every number answers `otherwise`; unknown numbers ERRNO(ENOSYS); foreign architectures are
 * killed. NULL when out of memory. */
struct filter_plan *filter_plan_new(const struct arch *arch, uint32_t otherwise);
void filter_plan_free(struct filter_plan *plan);

/* Sets what a number answers and drops its rules. Numbers the architecture lacks are ignored. */
void filter_plan_set(struct filter_plan *plan, int number, uint32_t action);

/* Appends a rule in front of the entry's `otherwise`, after earlier rules. Numbers the architecture
 * lacks are ignored. False: out of memory, or a rule that names an argument that does not exist. */
bool filter_plan_add_rule(struct filter_plan *plan, int number, const struct filter_rule *rule);

/* The meaning of the plan. Handles architecture and x32 as the emitted program does. */
uint32_t filter_plan_evaluate(const struct filter_plan *plan, const struct seccomp_data *data);

/* True if all tests of the rule hold for these registers. */
bool filter_rule_holds(const struct filter_rule *rule, const uint64_t args[6]);

/* Emits the program. Errors: more than 4096 instructions. The program owns its memory. */
bool filter_compile(const struct filter_plan *plan, struct bpf_program *program, struct error *err);

/* Proves program == plan over every number 0..newest+64, x32 forms, foreign architectures, and
 * every argument case of every rule (each test just met, just missed, with garbage in the high
 * half). False names the first difference. For tests and debug builds: it runs some 100,000 cases.
 */
bool filter_verify(const struct filter_plan *plan, const struct bpf_program *program,
                   struct error *err);

/* Readable listing of the program, one line per instruction. */
void filter_print(const struct bpf_program *program, struct buffer *out);

/* ---- The members' filter --------------------------------------------------------------------- */

/* A trap wanted by a feature: the call goes to the supervisor unless one of `passes` holds (their
 * `action` is ignored). */
struct filter_trap {
    int number;
    const struct filter_rule *passes;
    size_t pass_count;
};

struct member_filter_options {
    bool supervised;
    const struct filter_trap *traps; /* of all wanted features; several may name one number */
    size_t trap_count;
    bool netlink_view;     /* a trap of `socket` answers routing sockets */
    bool interface_view;   /* a trap of `ioctl` answers interface requests */
    bool privileged;       /* a member may have capabilities */
    bool early_truncation; /* of a file system that members see (member/object.h) */
    bool traced;           /* no two processes may share a descriptor table (kernel/fetch.h) */
    bool keeps_session;    /* nobody leaves the session of the terminal (no trap judges it) */
    bool unexplained;      /* the plan as it would be without the policy's `explain` */
};

/* The plan for a policy: deny list, argument rules, traps, in that order of precedence, so that a
 * call that is both denied and trapped is simply denied. Every number of the architecture has an
 * explicit class (syscall_class.def). The cross-process calls (prlimit64, setpriority, sched_set*,
 * ioprio_set) are refused for another process unless the process gate traps them. Traps need
 * `supervised`. `policy->denied_numbers` are numbers of `arch`. NULL and an error when out of
 * memory or for options that contradict. */
struct filter_plan *member_filter_plan(const struct arch *arch, const struct policy *policy,
                                       const struct member_filter_options *options,
                                       struct error *err);

/* Names the plan that member_filter_plan() would make, for programs that were compiled with the
 * build: equal keys mean equal plans. 0: the policy names system calls itself, nothing precompiled
 * can serve it. */
uint64_t member_filter_key(const struct policy *policy,
                           const struct member_filter_options *options);

/* Why a number is refused by the members' filter whatever its arguments: the rule's name for a
 * denial record (static), NULL if it is not. Numbers that this build does not know are refused too.
 */
const char *member_filter_denial_reason(const struct arch *arch, const struct policy *policy,
                                        bool supervised, int number);

#endif
