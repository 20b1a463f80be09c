/*
 * Build-time generator: compiles the members' filter for the policies of everyday use and the
 * guardian's filter, proves each against its plan, and prints them as C tables
 * (src/launch/precompiled.h). With --unproven it leaves the proof out, which takes long without optimisation.
 */
#include "filter/filter.h"
#include "launch/registry.h"
#include "net/net.h"
#include "net/network.h"
#include "supervisor/supervisor.h"
#include "supervisor/wall.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A container's root is an overlay; some refuse pidfd_getfd. */
enum place { ON_HOST, IN_CONTAINER, IN_REFUSING_CONTAINER };

/* One policy of everyday use: options by id and value. */
struct variant {
    const char *name;
    enum option_id options[3];
    const char *values[3];
    size_t count;
    enum place place;
    bool privileged; /* started by root; whoever builds this */
};

static const struct variant variants[] = {
    {"ordinary", {OPTION_FS_READ}, {"/usr"}, 1},
    {"process limit", {OPTION_MAX_PROCESSES}, {"8"}, 1},
    {"all readable", {OPTION_FS_READ}, {"/"}, 1},
    {"all writable", {OPTION_FS_WRITE}, {"/"}, 1},
    {"all writable, process limit", {OPTION_FS_WRITE, OPTION_MAX_PROCESSES}, {"/", "8"}, 2},
    {"cpu cores", {OPTION_CPU_CORES}, {"0"}, 1},
    {"no supervisor", {OPTION_NO_SUPERVISOR}, {"true"}, 1},
    {"ordinary, of root", {OPTION_FS_READ}, {"/usr"}, 1, ON_HOST, true},
    {"process limit, of root", {OPTION_MAX_PROCESSES}, {"8"}, 1, ON_HOST, true},
    {"all readable, of root", {OPTION_FS_READ}, {"/"}, 1, ON_HOST, true},
    {"all writable, of root", {OPTION_FS_WRITE}, {"/"}, 1, ON_HOST, true},
    {"no supervisor, of root", {OPTION_NO_SUPERVISOR}, {"true"}, 1, ON_HOST, true},
#define CONTAINED(name, place, privileged)                                             \
    {"ordinary, " name, {OPTION_FS_READ}, {"/usr"}, 1, place, privileged},             \
        {"process limit, " name, {OPTION_MAX_PROCESSES}, {"8"}, 1, place, privileged}, \
    {                                                                                  \
        "all readable, " name, {OPTION_FS_READ}, {"/"}, 1, place, privileged           \
    }
    CONTAINED("in a container", IN_CONTAINER, false),
    CONTAINED("of root in a container", IN_CONTAINER, true),
    CONTAINED("in a container that refuses pidfd_getfd", IN_REFUSING_CONTAINER, false),
    CONTAINED("of root in a container that refuses pidfd_getfd", IN_REFUSING_CONTAINER, true),
#undef CONTAINED
    {"no supervisor, in a container", {OPTION_NO_SUPERVISOR}, {"true"}, 1, IN_CONTAINER},
    {"no supervisor, of root in a container",
     {OPTION_NO_SUPERVISOR},
     {"true"},
     1,
     IN_CONTAINER,
     true},
};

/* Soft limits of open files that most systems start programs with; see netlink_window(). */
static const unsigned limits[] = {1024, 65536};

#define LIMIT_COUNT (sizeof(limits) / sizeof(limits[0]))

/* Each limit without a terminal of the caller's, in front of one, and in the background of one that can be read. */
static const char *const terminals[] = {"", ", terminal", ", terminal in the background"};

#define TERMINAL_COUNT (sizeof(terminals) / sizeof(terminals[0]))
#define KINDS (LIMIT_COUNT * TERMINAL_COUNT)

/* Of a build whose filters another one proves. */
static bool unproven;

static void stop(const char *what, const struct error *err)
{
    fprintf(stderr, "gen-filters: %s: %s\n", what, err->text);
    exit(1);
}

static void print_program(const char *label, const struct bpf_program *program)
{
    printf("static const struct sock_filter %s[] = {\n", label);
    for (size_t i = 0; i < program->length; i++) {
        const struct sock_filter *one = &program->instructions[i];
        printf("    {0x%04x, %u, %u, 0x%08xU},\n", (unsigned)one->code, (unsigned)one->jt,
               (unsigned)one->jf, one->k);
    }
    printf("};\n\n");
}

static struct bpf_program compile(const struct filter_plan *plan, const char *name)
{
    struct bpf_program program = {0};
    struct error err = {0};

    if (plan == NULL || !filter_compile(plan, &program, &err) ||
        (!unproven && !filter_verify(plan, &program, &err)))
        stop(name, &err);
    return program;
}

static struct policy *build_policy(const struct variant *variant)
{
    struct record record;
    struct policy *policy = NULL;
    struct error err = {0};
    const struct origin origin = {.kind = ORIGIN_OPTION};

    record_init(&record);
    for (size_t i = 0; i < variant->count; i++)
        record_add(&record, variant->options[i], variant->values[i], &origin);
    if (!policy_build(&record, &policy, &err))
        stop(variant->name, &err);
    record_free(&record);
    return policy;
}

static uint64_t print_variant(size_t index)
{
    const struct variant *variant = &variants[index / KINDS];
    size_t terminal = index % KINDS / LIMIT_COUNT;
    struct policy *policy = build_policy(variant);
    struct supervisor_config config = {.policy = policy,
                                       .registry = feature_registry,
                                       .traced = variant->place == IN_REFUSING_CONTAINER,
                                       .early_truncation = variant->place != ON_HOST,
                                       .terminal = terminal > 0,
                                       .keeps_session = terminal > 1,
                                       .window = netlink_window(limits[index % LIMIT_COUNT])};
    struct member_filter_options options = {.supervised = !policy->no_supervisor,
                                            .early_truncation = variant->place != ON_HOST};
    struct supervisor *supervisor = NULL;
    struct error err = {0};
    char label[32];

    if (options.supervised) {
        config.network = network_new(policy, NULL, 0, 0, &err);
        if (config.network == NULL)
            stop(variant->name, &err);
        supervisor = supervisor_new(&config, &err);
        if (supervisor == NULL)
            stop(variant->name, &err);
        options = supervisor_filter_options(supervisor);
    }
    options.privileged = variant->privileged;
    options.keeps_session = !options.supervised && terminal > 1;
    struct filter_plan *plan = member_filter_plan(arch_native, policy, &options, &err);
    if (plan == NULL)
        stop(variant->name, &err);
    struct bpf_program program = compile(plan, variant->name);
    uint64_t key = member_filter_key(policy, &options);

    snprintf(label, sizeof(label), "members_%zu", index);
    printf("/* %s, %u open files%s: %zu instructions */\n", variant->name,
           limits[index % LIMIT_COUNT], terminals[terminal], program.length);
    print_program(label, &program);
    bpf_program_free(&program);
    filter_plan_free(plan);
    supervisor_free(supervisor);
    network_free(config.network);
    policy_unref(policy);
    return key;
}

static void print_guardian(const char *label, bool traced)
{
    const struct wall_options options = {.role = ROLE_GUARDIAN, .traced = traced};
    struct filter_plan *plan = wall_plan(arch_native, &options);
    struct bpf_program program = compile(plan, label);

    print_program(label, &program);
    filter_plan_free(plan);
    bpf_program_free(&program);
}

static void name_guardian(const char *label)
{
    printf("const struct bpf_program precompiled_%s_filter = {(struct sock_filter *)%s, "
           "sizeof(%s) / sizeof(%s[0])};\n",
           label, label, label, label);
}

int main(int words, char **word)
{
    uint64_t keys[sizeof(variants) / sizeof(variants[0]) * KINDS];
    size_t count = sizeof(keys) / sizeof(keys[0]);

    unproven = words > 1 && strcmp(word[1], "--unproven") == 0;
    printf("/* Written by tools/gen_filters.c. */\n#include \"launch/precompiled.h\"\n\n");
    for (size_t i = 0; i < count; i++)
        keys[i] = print_variant(i);
    print_guardian("guardian", false);
    print_guardian("tracing_guardian", true);

    printf("const struct precompiled_filter precompiled_filters[] = {\n");
    for (size_t i = 0; i < count; i++)
        printf("    {0x%016" PRIx64
               "ULL, {(struct sock_filter *)members_%zu, sizeof(members_%zu) / "
               "sizeof(members_%zu[0])}},\n",
               keys[i], i, i, i);
    printf("};\nconst size_t precompiled_filter_count = %zu;\n\n", count);
    name_guardian("guardian");
    name_guardian("tracing_guardian");
    return 0;
}
