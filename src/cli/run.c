/*
 * `sandlock run`: from options and profile to a confined command and its exit status.
 *
 * Everything that can be wrong in what was asked for is found before a process, file or socket exists
 * (status 2). What is written afterwards goes to descriptors that were opened before, because from the
 * launch on this process is itself confined.
 */
#include "cli/advice.h"
#include "cli/cli.h"
#include "cli/command.h"
#include "cli/destination.h"
#include "cli/result.h"
#include "cli/time_limit.h"

#include "kernel/arch.h"
#include "kernel/sys.h"
#include "launch/gpu.h"
#include "policy/grammar.h"
#include "policy/network.h"
#include "policy/options_parse.h"
#include "policy/policy.h"
#include "policy/profile.h"
#include "policy/quote.h"
#include "policy/render.h"
#include "run/sandbox.h"
#include "supervisor/denial.h"
#include "supervisor/posture.h"
#include "supervisor/stats.h"
#include "util/fd.h"
#include "util/strv.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

struct run {
    struct record record; /* the options, laid over the profile */
    struct options_parsed parsed;
    char *profile; /* path of the profile; owned, NULL without one */
    struct strv argv;
    struct policy *policy;
    struct destination posture, denials;
    int status_fd; /* -1: none; borrowed from the caller */
    uint64_t timeout_ms, kill_after_ms;
    int64_t started_ns;
    struct rlimit inherited_nofile;
    uint64_t own_ignored; /* signals that are ignored here and not by the caller */
    bool told_timeout;    /* the limit has come, and that was said */
    int stream_flags[3];  /* of descriptors 0 to 2 as they came; -1: closed */
    struct sandbox *sandbox;
};

static void run_init(struct run *run)
{
    *run = (struct run){
        .posture = DESTINATION_NONE,
        .denials = DESTINATION_NONE,
        .status_fd = -1,
    };
    record_init(&run->record);
}

/* File status flags belong to the open file that we share with the caller: what the command set there
 * (O_NONBLOCK, above all) would make the caller's next read fail. */
static void restore_streams(const struct run *run)
{
    for (int fd = 0; fd < 3; fd++) {
        if (run->stream_flags[fd] >= 0 && fcntl(fd, F_GETFL) != run->stream_flags[fd])
            fcntl(fd, F_SETFL, run->stream_flags[fd]);
    }
}

/* The process is about to exit, which frees all of this at once and sooner. Only leak checkers care. */
static void run_free(struct run *run)
{
#if !defined(__SANITIZE_ADDRESS__)
    if (run->sandbox != NULL)
        return;
#endif
    sandbox_free(run->sandbox);
    policy_unref(run->policy);
    destination_close(&run->posture);
    destination_close(&run->denials);
    strv_free(&run->argv);
    record_free(&run->record);
    free(run->profile); /* the record's origins point at it */
}

/* ---- What is asked for ------------------------------------------------------------------------- */

static bool load_profile(struct run *run, struct error *err)
{
    const char *name = record_text(&run->record, OPTION_PROFILE);
    const char *file = record_text(&run->record, OPTION_PROFILE_FILE);
    struct record base;
    bool loaded;

    if (name == NULL && file == NULL)
        return true;
    record_init(&base);
    if (name != NULL) {
        loaded = profile_load(name, &base, &run->profile, err);
    } else {
        run->profile = strdup(file);
        loaded = run->profile != NULL ? profile_load_file(run->profile, &base, err)
                                      : error_runtime(err, ENOMEM, "loading the profile");
    }
    if (loaded && !record_overlay(&base, &run->record))
        loaded = error_runtime(err, ENOMEM, "loading the profile");
    if (!loaded) {
        record_free(&base);
        return false;
    }
    record_free(&run->record);
    run->record = base;
    return true;
}

static bool take_name(const struct run *run, struct error *err)
{
    const char *name = record_text(&run->record, OPTION_NAME);

    return name == NULL || grammar_name(name, err) || record_blame(&run->record, OPTION_NAME, err);
}

static bool open_reports(struct run *run, struct grant_opener *opener, struct error *err)
{
    const char *posture = record_text(&run->record, OPTION_POSTURE);
    const char *denials = record_text(&run->record, OPTION_LOG_DENIALS);

    return (posture == NULL || destination_open(posture, "--posture", DESTINATION_REPLACE, opener,
                                                &run->posture, err)) &&
           (denials == NULL || destination_open(denials, "--log-denials", DESTINATION_APPEND,
                                                opener, &run->denials, err));
}

/* Not before everything else was found good: a request that is refused leaves files alone. */
static bool open_destinations(void *data, int *denial_fd, struct error *err)
{
    struct run *run = data;
    struct destination *const destinations[] = {&run->posture, &run->denials};
    const char *const texts[] = {record_text(&run->record, OPTION_POSTURE),
                                 record_text(&run->record, OPTION_LOG_DENIALS)};
    const char *start = run->policy->cwd;
    CLEANUP_FD int start_fd = start == NULL ? -1 : open(start, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct grant_opener opener = {.policy = run->policy,
                                  .start_fd = start_fd < 0 ? AT_FDCWD : start_fd};

    bool opened = open_reports(run, &opener, err);
    grant_opener_free(&opener);
    for (size_t i = 0; !opened && i < 2; i++)
        destination_withdraw(destinations[i], texts[i]);
    if (!opened)
        return false;
    *denial_fd = run->denials.fd;
    return true;
}

/* Profile, overlay, command, validation: the order of messages a user sees. */
static bool settle(struct run *run, int argc, const char *const *argv, struct error *err)
{
    const char *const *words = argv + run->parsed.command_index;
    size_t word_count = (size_t)(argc - run->parsed.command_index);

    if (!load_profile(run, err))
        return false;
    /* With the profile: every key that is in the way is named at once, and before a missing command is. */
    if (record_given(&run->record, OPTION_NO_SUPERVISOR) &&
        !policy_check_unsupervised(&run->record, NULL, err))
        return false;
    if (!record_given(&run->record, OPTION_PRINT_POLICY) &&
        !command_choose(&run->record, words, word_count, &run->argv, err))
        return false;
    return policy_build(&run->record, &run->policy, err) &&
           time_limit_take(&run->record, &run->timeout_ms, &run->kill_after_ms, err) &&
           take_name(run, err);
}

/* ---- --print-policy ---------------------------------------------------------------------------- */

static bool copy_option(struct record *to, const struct record *from, enum option_id id)
{
    const struct raw_list *list = &from->lists[id];

    for (size_t i = 0; i < list->count; i++) {
        if (!record_add(to, id, list->values[i].text, &list->values[i].origin))
            return false;
    }
    return true;
}

/* `own_command`: one was given, which takes the place of the profile's. */
static int print_policy(const struct run *run, bool own_command)
{
    static const enum option_id beside_policy[] = {OPTION_EXEC, OPTION_ARGS, OPTION_TIMEOUT,
                                                   OPTION_KILL_AFTER};
    CLEANUP_BUFFER struct buffer text = BUFFER_INIT;
    struct record effective;

    record_init(&effective);
    bool good = policy_to_record(run->policy, &effective);
    /* The command that was given is not of the policy; the other one would not run. */
    size_t first = own_command ? 2 : 0;
    for (size_t i = first; good && i < sizeof(beside_policy) / sizeof(beside_policy[0]); i++)
        good = copy_option(&effective, &run->record, beside_policy[i]);
    good = good && record_to_toml(&effective, &text);
    record_free(&effective);
    if (!good) {
        cli_say("out of memory");
        return CLI_OWN_FAILURE;
    }
    return cli_print(&text);
}

/* ---- The run ----------------------------------------------------------------------------------- */

/* The supervisor pins a descriptor per member, so it takes what it may have. The command gets the
 * caller's own pair back: raised limits make some programs close a million descriptors. */
static void raise_open_files(struct rlimit *inherited)
{
    if (getrlimit(RLIMIT_NOFILE, inherited) != 0)
        return;
    struct rlimit raised = {.rlim_cur = inherited->rlim_max, .rlim_max = inherited->rlim_max};
    if (raised.rlim_cur != inherited->rlim_cur)
        setrlimit(RLIMIT_NOFILE, &raised);
}

/* Standard descriptors that the caller left closed hold a close-on-exec placeholder (main.c). */
static void close_missing_streams(struct stream_spec streams[3])
{
    for (int fd = 0; fd <= 2; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags < 0 || (flags & FD_CLOEXEC) != 0)
            streams[fd].mode = STREAM_CLOSED;
    }
}

/* Nobody else of this process can say it, or end it. */
static void on_lost(const char *why)
{
    cli_say("%s", why);
    _exit(CLI_OWN_FAILURE);
}

static void say_timeout(const struct run *run)
{
    char duration[32];

    result_duration(run->timeout_ms, duration, sizeof(duration));
    cli_say("timeout after %s", duration);
}

/* At once: members may take long to end. */
static void on_timeout(void *data)
{
    struct run *run = data;

    run->told_timeout = true;
    say_timeout(run);
}

static void on_wanted_terminal(void)
{
    cli_say("the command wants the terminal, of which it is not in front: -i gives it to the "
            "command from the start, and so does fg to a job that is stopped or in the background");
}

static bool note_device(void *data, const char *path, bool write, bool requested)
{
    struct stat status;
    bool *any = data;
    bool exists = stat(path, &status) == 0;

    *any = *any || (write && exists);
    if (requested && !exists)
        cli_say("warning: --gpu: there is no such GPU: %s does not exist", path);
    return true;
}

static void warn_of_missing_gpus(const struct policy *policy)
{
    bool any = false;

    gpu_each_node(policy, note_device, &any);
    if (policy->gpu == GPU_ALL && !any)
        cli_say("warning: --gpu has no effect: this system has no device of a GPU");
}

/* What is accepted and does nothing in this combination, or on this machine. */
static void warn_of_shared_report(const struct destination *report, const char *what)
{
    if (report->grant != NULL)
        cli_say("warning: the %s lies below --fs-write %s, so the command can change it", what,
                quote(report->grant).text);
}

static void warn_of_vain_options(const struct run *run)
{
    struct network_shape shape = network_shape_of(run->policy);

    if (run->policy->port_remap && shape.tcp_allow_layer && run->policy->bind_port_count == 0 &&
        shape.udp != UDP_OPEN)
        cli_say("warning: --port-remap has no effect: no port may be bound; add --net-allow-bind "
                "PORTS");
    warn_of_missing_gpus(run->policy);
}

/* Resolving the names of rules may take all the time there is. */
static bool is_overdue(const struct run *run)
{
    return run->timeout_ms > 0 &&
           (uint64_t)(sys_monotonic_ns() - run->started_ns) / 1000000 >= run->timeout_ms;
}

/* The time limit counts from before the set-up. */
static uint64_t remaining_ms(const struct run *run)
{
    uint64_t spent = (uint64_t)(sys_monotonic_ns() - run->started_ns) / 1000000;

    if (run->timeout_ms == 0)
        return 0;
    return spent < run->timeout_ms ? run->timeout_ms - spent : 1;
}

static bool create(struct run *run, struct error *err)
{
    struct sandbox_spec spec = {
        .launch =
            {
                .policy = run->policy,
                .name = record_text(&run->record, OPTION_NAME),
                .argv = (const char *const *)run->argv.items,
                .argc = run->argv.count,
                /* The posture is written before the command can run. */
                .park = record_given(&run->record, OPTION_POSTURE),
                .end_with_child = true,
                .own_process = true,
                .confine = true,
                .force_terminal = record_given(&run->record, OPTION_INTERACTIVE),
                .own_ignored = run->own_ignored,
                .inherited_nofile = &run->inherited_nofile,
                .resolve_ms = remaining_ms(run),
            },
        .supervision = SUPERVISE_CALLER,
        .forward_signals = true,
        .denial_fd = -1,
        .admitted = open_destinations,
        .admitted_data = run,
        .lost = on_lost,
        .timed_out = on_timeout,
        .timed_out_data = run,
        .wants_terminal = on_wanted_terminal,
    };

    close_missing_streams(spec.launch.streams);
    warn_of_vain_options(run);
    run->sandbox = sandbox_create(&spec, err);
    if (run->sandbox != NULL) {
        warn_of_shared_report(&run->posture, "posture record");
        warn_of_shared_report(&run->denials, "denial log");
    }
    if (run->sandbox != NULL && sandbox_warning(run->sandbox) != NULL)
        cli_say("warning: " SANDBOX_WARNING, sandbox_warning(run->sandbox));
    if (run->sandbox != NULL && sandbox_refuses_input(run->sandbox))
        cli_say(
            "warning: standard input is a terminal of another session: the command reads nothing "
            "from it; give input by a pipe or a file, or the terminal with -i");
    return run->sandbox != NULL;
}

static const char *mode_text(const struct run *run)
{
    if (run->policy->no_supervisor)
        return "no-supervisor";
    return sandbox_stats(run->sandbox) != NULL ? "supervised" : "kernel-only";
}

/* Signals and the time limit are heard while nobody reads. */
static int await_room_for_posture(void *data, int fd)
{
    const struct run *run = data;
    int64_t patience = cli_patience();
    uint64_t limit = remaining_ms(run);

    if (limit > 0 && limit < (uint64_t)patience / 1000000)
        patience = (int64_t)limit * 1000000;
    return sandbox_await_room(run->sandbox, fd, patience);
}

static bool write_posture(struct run *run, struct error *err)
{
    CLEANUP_BUFFER struct buffer text = BUFFER_INIT;

    if (run->posture.fd < 0)
        return true;
    if (!posture_to_json(sandbox_posture(run->sandbox), sandbox_name(run->sandbox), mode_text(run),
                         &text))
        return error_runtime(err, ENOMEM, "writing the posture");
    buffer_append_char(&text, '\n');
    if (!destination_empty(&run->posture, "--posture", err))
        return false;
    int result =
        cli_write(run->posture.fd, buffer_text(&text), text.length, await_room_for_posture, run);
    if (result == -EINTR)
        return sandbox_kill(run->sandbox) == 0 ||
               error_runtime(err, 0, "the guardian process cannot be reached");
    if (result == -ETIMEDOUT)
        return error_runtime(err, 0, "writing --posture: nobody reads it");
    if (result == -ESRCH) /* the guardian has ended, and who waits is told why */
        return true;
    if (result != 0)
        return error_runtime(err, -result, "writing --posture");
    if (sandbox_start(run->sandbox) != 0)
        return error_runtime(err, 0, "the sandbox ended before its command could start");
    return true;
}

/* ---- Reports ----------------------------------------------------------------------------------- */

/* The child itself has named program and errno on standard error; what it cannot know is added. */
static void advise_after_exec(const struct run *run, int failed_errno)
{
    CLEANUP_BUFFER struct buffer advice = BUFFER_INIT;
    const char *program = run->argv.items[0];

    advice_exec(run->policy, program, failed_errno, &advice);
    if (advice.length > 0)
        cli_say("cannot execute %s: %s", quote(program).text, buffer_text(&advice));
}

static void say_ending(const struct run *run, const struct outcome *outcome)
{
    if (outcome->failure != NULL) {
        cli_say("%s", outcome->failure);
    } else if (outcome->failed_step == STEP_EXEC) {
        advise_after_exec(run, outcome->failed_errno);
    } else if (outcome->failed_step != STEP_NONE) {
        cli_say("launch step \"%s\" failed: %s", launch_step_name(outcome->failed_step),
                strerror(outcome->failed_errno));
    } else if (outcome->reason == EXIT_TIMEOUT) {
        if (!run->told_timeout)
            say_timeout(run);
    } else if (outcome->reason == EXIT_KILLED) {
        cli_say("the command was killed by SIGKILL");
    }
    if (outcome->left != NULL)
        cli_say("%s", outcome->left);
}

static void write_report(const struct buffer *text)
{
    if (!buffer_failed(text))
        cli_write(STDERR_FILENO, buffer_text(text), text->length, NULL, NULL);
}

static void report_statistics(const struct run *run)
{
    const struct stats *stats = sandbox_stats(run->sandbox);
    CLEANUP_BUFFER struct buffer text = BUFFER_INIT;

    if (!record_given(&run->record, OPTION_STATS))
        return;
    if (stats == NULL)
        buffer_append_text(&text, "sandlock: stats: no notifications: nothing is supervised\n");
    else
        stats_print(stats, arch_native, &text);
    write_report(&text);
}

/* A run that failed by itself, not by a limit or a signal from outside, nor before its command. */
static bool deserves_hint(const struct outcome *outcome, int status)
{
    return status != 0 && outcome->failure == NULL && outcome->failed_step == STEP_NONE &&
           outcome->reason != EXIT_TIMEOUT && outcome->reason != EXIT_KILLED;
}

/* The lines that are still on their way to the reader of --log-denials, and a word about those that
 * never arrive. */
static void finish_log(const struct run *run)
{
    int error;
    int64_t started = sys_monotonic_ns();
    uint64_t lost = denial_log_finish(sandbox_denials(run->sandbox), cli_patience(), &error);

    cli_patience_spend(sys_monotonic_ns() - started);

    if (lost > 0)
        cli_say("%" PRIu64 " denial%s not written to the log%s%s", lost,
                lost == 1 ? " was" : "s were", error != 0 ? ": " : "",
                error != 0 ? strerror(error) : "");
}

static void report_denials(const struct run *run, const struct outcome *outcome, int status)
{
    const struct denial_log *log = sandbox_denials(run->sandbox);
    CLEANUP_BUFFER struct buffer text = BUFFER_INIT;

    if (log == NULL)
        return;
    if (record_given(&run->record, OPTION_EXPLAIN)) {
        denial_log_summary(log, &text);
    } else if (deserves_hint(outcome, status) && denial_log_total(log) > 0) {
        CLEANUP_BUFFER struct buffer line = BUFFER_INIT;
        denial_log_likeliest(log, &line);
        if (line.length > 0)
            buffer_printf(&text, "hint: a denial may have caused this: %s (--explain lists all)\n",
                          buffer_text(&line));
    }
    write_report(&text);
}

static void write_status(const struct run *run, const struct outcome *outcome, const char *error,
                         int status)
{
    CLEANUP_BUFFER struct buffer line = BUFFER_INIT;
    struct result_facts facts = {.error = error, .status = status};

    if (run->status_fd < 0)
        return;
    facts.name = record_text(&run->record, OPTION_NAME);
    if (run->sandbox != NULL) {
        facts.name = sandbox_name(run->sandbox);
        facts.pid = sandbox_pid(run->sandbox);
        facts.denials = denial_log_total(sandbox_denials(run->sandbox));
    }
    result_record(outcome, &facts, &line);
    if (buffer_failed(&line))
        return;
    int result = cli_write(run->status_fd, line.data, line.length, NULL, NULL);
    if (result != 0)
        cli_say("--status-fd: %s", result == -ETIMEDOUT ? "nobody reads it" : strerror(-result));
}

/* A launch or configuration failure: message, record, status. */
static int fail(const struct run *run, const struct error *err)
{
    int status = cli_fail(err);

    write_status(run, NULL, err->text, status);
    return status;
}

static int report(const struct run *run, const struct outcome *outcome)
{
    int status = result_exit_status(outcome);

    finish_log(run);
    say_ending(run, outcome);
    report_denials(run, outcome, status);
    report_statistics(run);
    write_status(run, outcome, NULL, status);
    return status;
}

/* ---- Entry ------------------------------------------------------------------------------------- */

/* Ends as whoever sent the signal expects: by that signal. */
static void die_by(int signal_number)
{
    sigset_t only;

    signal(signal_number, SIG_DFL);
    sigemptyset(&only);
    sigaddset(&only, signal_number);
    sigprocmask(SIG_UNBLOCK, &only, NULL);
    raise(signal_number);
}

/* It may still live: its directory would stay. */
static void end_sandbox(struct run *run)
{
    sandbox_free(run->sandbox);
    run->sandbox = NULL;
}

static int execute(struct run *run, int *host_signal)
{
    struct outcome outcome = {0};
    struct error err = {0};

    raise_open_files(&run->inherited_nofile);
    bool created = create(run, &err);
    bool started = created && write_posture(run, &err);
    if (!started && is_overdue(run)) {
        if (created) /* nobody has read the posture, so the command has not run */
            sandbox_kill(run->sandbox);
        outcome = (struct outcome){
            .code = -1,
            .command_code = -1,
            .reason = EXIT_TIMEOUT,
            .wall_ns = sys_monotonic_ns() - run->started_ns,
        };
        say_ending(run, &outcome);
        write_status(run, &outcome, NULL, result_exit_status(&outcome));
        end_sandbox(run);
        return result_exit_status(&outcome);
    }
    if (!started ||
        !sandbox_wait(run->sandbox, remaining_ms(run), run->kill_after_ms, &outcome, &err)) {
        int status = fail(run, &err);
        end_sandbox(run);
        return status;
    }
    *host_signal = outcome.host_signal;
    return report(run, &outcome);
}

/* --status-fd may have been among the options that were understood. */
static int fail_options(struct run *run, const struct error *err)
{
    const char *status_fd = record_text(&run->record, OPTION_STATUS_FD);
    struct error ignored = {0};
    int status =
        err->kind == ERROR_CONFIG ? cli_usage_error("run", "%s", err->text) : cli_fail(err);

    if (status_fd != NULL)
        destination_inherited(status_fd, "--status-fd", &run->status_fd, &ignored);
    write_status(run, NULL, err->text, status);
    return status;
}

/* The status of a command that prints; here 1 is one that the sandbox's command could have. */
static int own_failure(int status)
{
    return status == CLI_FAILURE ? CLI_OWN_FAILURE : status;
}

static int run_with(struct run *run, int argc, const char *const *argv, int *host_signal)
{
    struct error err = {0};

    run->started_ns = sys_monotonic_ns();
    if (!options_parse(argc, argv, 1, &run->record, &run->parsed, &err))
        return fail_options(run, &err);
    if (run->parsed.help != HELP_NONE)
        return own_failure(cli_help(cli_command_find("run"), run->parsed.help == HELP_LONG));

    const char *status_fd = record_text(&run->record, OPTION_STATUS_FD);
    if (status_fd != NULL &&
        !destination_inherited(status_fd, "--status-fd", &run->status_fd, &err))
        return cli_fail(&err);
    if (!settle(run, argc, argv, &err))
        return fail(run, &err);
    if (record_given(&run->record, OPTION_PRINT_POLICY))
        return own_failure(print_policy(run, run->parsed.command_index < argc ||
                                                 record_given(&run->record, OPTION_EXEC_SHELL)));
    return execute(run, host_signal);
}

/* A report whose reader has gone, or a file as large as the caller allows, must not end this process
 * before it has ended the sandbox. */
static void ignore_write_signals(struct run *run)
{
    static const int numbers[] = {SIGPIPE, SIGXFSZ};

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (signal(numbers[i], SIG_IGN) != SIG_IGN)
            run->own_ignored |= 1ULL << (numbers[i] - 1);
    }
}

int cli_run_main(int argc, const char *const *argv)
{
    struct run run;
    int host_signal = 0;

    run_init(&run);
    ignore_write_signals(&run);
    for (int fd = 0; fd < 3; fd++)
        run.stream_flags[fd] = fcntl(fd, F_GETFL);
    int status = run_with(&run, argc, argv, &host_signal);
    restore_streams(&run);
    run_free(&run);
    if (host_signal != 0)
        die_by(host_signal);
    return status;
}
