/*
 * Entry of the command line program: gives the standard descriptors an owner, installs the handler
 * that names a violation of our own filters, and hands over to the command.
 */
#include "cli/cli.h"
#include "cli/help.h"

#include "kernel/sys.h"
#include "policy/options.h"
#include "policy/quote.h"
#include "supervisor/wall.h"
#include "util/fd.h"
#include "util/text.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

const struct cli_command cli_commands[] = {
#define COMMAND(name, arguments, summary) {#name, cli_##name##_main, help_##name},
    CLI_COMMANDS(COMMAND)
#undef COMMAND
        {0},
};

const struct cli_command *cli_command_find(const char *name)
{
    for (const struct cli_command *command = cli_commands; command->name != NULL; command++) {
        if (strcmp(command->name, name) == 0)
            return command;
    }
    return NULL;
}

#if defined(SANDLOCK_STATIC_CLI)
/* The start of this program, by the linker. */
extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

/* What the linker marks for it: musl's start files relocate a static program, but leave that open. */
static bool protect_relocated_data(void)
{
    const char *base = (const char *)&__ehdr_start;
    const ElfW(Phdr) *header = (const void *)(base + __ehdr_start.e_phoff);

    for (unsigned i = 0; i < __ehdr_start.e_phnum; i++) {
        if (header[i].p_type != PT_GNU_RELRO)
            continue;
        uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
        uintptr_t start = ((uintptr_t)base + header[i].p_vaddr) & ~(page - 1);
        uintptr_t end = ((uintptr_t)base + header[i].p_vaddr + header[i].p_memsz) & ~(page - 1);
        if (mprotect((void *)start, end - start, PROT_READ) != 0)
            return false;
    }
    return true;
}
#else
static bool protect_relocated_data(void)
{
    return true; /* the dynamic linker has done it */
}
#endif

/* Descriptors 0 to 2 that the caller left closed get a placeholder, or the first file we open would
 * become the standard output of somebody. Close-on-exec: the command finds them closed, as the caller
 * wanted. */
static bool occupy_standard_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            continue;
        if (RETRY_ON_EINTR(open("/dev/null", O_RDWR | O_CLOEXEC)) != fd) {
            cli_say(
                "descriptor %d is closed, and nothing can be put in its place: open /dev/null: %s",
                fd, strerror(errno));
            return false;
        }
    }
    return true;
}

/* The caller's mask and dispositions are the command's, too. What is ignored stays so: a handler would become the
 * default action there, and a call outside the walls then ends this process without a word. */
static void prepare_for_violations(void)
{
    struct sigaction before;
    uint64_t mask = 0;

    if (sigaction(SIGSYS, NULL, &before) == 0 && before.sa_handler == SIG_IGN)
        return;
    sys_call4(SYS_rt_sigprocmask, SIG_BLOCK, 0, (long)&mask, sizeof(mask));
    wall_install_sigsys_handler();
    /* With the first handler musl unblocks signals that it uses for itself. */
    sys_call4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&mask, 0, sizeof(mask));
}

static int unknown_command(const char *name)
{
    /* Commands of other releases: some are also programs, which nobody means to run here. */
    static const char *const others[] = {"network", "ps",    "list",  "inspect",
                                         "kill",    "learn", "config"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strcmp(name, others[i]) == 0)
            return cli_usage_error("", "unknown command '%s': this release has no such feature",
                                   name);
    }

    const char *names[16];
    size_t count = 0;
    for (const struct cli_command *command = cli_commands; command->name != NULL; command++)
        names[count++] = command->name;
    names[count] = NULL;

    const char *meant = text_closest(name, names);
    if (meant != NULL)
        return cli_usage_error("", "unknown command %s; did you mean '%s'?", quote(name).text,
                               meant);
    CLEANUP_BUFFER struct buffer word = BUFFER_INIT;
    text_shell_quote(&word, name);
    return cli_usage_error("", "unknown command %s; to run a program: sandlock run ... -- %s",
                           quote(name).text, buffer_text(&word));
}

static int help_on_stderr(void)
{
    CLEANUP_BUFFER struct buffer text = BUFFER_INIT;

    help_top(&text);
    fd_write_all(STDERR_FILENO, buffer_text(&text), text.length);
    return CLI_USAGE;
}

static int help_on_stdout(void)
{
    CLEANUP_BUFFER struct buffer text = BUFFER_INIT;

    help_top(&text);
    return cli_print(&text);
}

static int print_version(void)
{
    CLEANUP_BUFFER struct buffer text = BUFFER_INIT;

    buffer_append_text(&text, "sandlock " SANDLOCK_VERSION "\n");
    return cli_print(&text);
}

int cli_help_main(int argc, const char *const *argv)
{
    if (argc < 2)
        return help_on_stdout();
    if (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)
        return cli_help(cli_command_find("help"), true);
    if (argv[1][0] == '-')
        return cli_usage_error("help", "unknown option %s", quote(argv[1]).text);
    const struct cli_command *command = cli_command_find(argv[1]);
    if (command == NULL)
        return unknown_command(argv[1]);
    if (argc > 2)
        return cli_usage_error("help", "unexpected argument %s", quote(argv[2]).text);
    return cli_help(command, true);
}

static bool is_option_of_run(const char *word)
{
    if (word[0] != '-' || word[1] == '\0')
        return false;
    if (word[1] != '-')
        return option_find_short(word[1]) != NULL;
    return option_find_long(word + 2, strcspn(word + 2, "=")) != NULL;
}

static int option_before_command(const char *option)
{
    CLEANUP_BUFFER struct buffer word = BUFFER_INIT;

    text_shell_quote(&word, option);
    return cli_usage_error("", "%s is an option of run; write: sandlock run %s ...",
                           quote(option).text, buffer_text(&word));
}

int main(int argc, char **argv)
{
    if (!protect_relocated_data()) {
        cli_say("cannot make relocated data read-only: %s", strerror(errno));
        return CLI_OWN_FAILURE;
    }
    if (!occupy_standard_descriptors())
        return CLI_OWN_FAILURE;
    prepare_for_violations();

    const char *const *words = (const char *const *)argv;
    if (argc < 2)
        return help_on_stderr();
    if (strcmp(words[1], "-h") == 0 || strcmp(words[1], "--help") == 0)
        return help_on_stdout();
    if (strcmp(words[1], "-V") == 0 || strcmp(words[1], "--version") == 0)
        return argc == 2 ? print_version()
                         : cli_usage_error("", "unexpected argument %s", quote(words[2]).text);
    if (is_option_of_run(words[1]))
        return option_before_command(words[1]);
    if (words[1][0] == '-')
        return cli_usage_error("", "unknown option %s", quote(words[1]).text);
    const struct cli_command *command = cli_command_find(words[1]);
    if (command == NULL)
        return unknown_command(words[1]);
    return command->main(argc - 1, words + 1);
}
