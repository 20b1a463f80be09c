/* Profiles: reading, variables, and the directories they live in. */
#include "policy_test.h"

#include "../skip_because.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Keys ------------------------------------------------------------------------------------ */

static void write_sample(const struct option_spec *spec, char *text, size_t size)
{
    const char *value = sample_value(spec->id);

    switch (spec->kind) {
    case VALUE_FLAG:
        snprintf(text, size, "%s = true\n", spec->key);
        return;
    case VALUE_UINT:
        snprintf(text, size, "%s = %s\n", spec->key, value);
        return;
    case VALUE_UINT_LIST:
    case VALUE_PORT_LIST:
        snprintf(text, size, "%s = [%s]\n", spec->key, value);
        return;
    case VALUE_TEXT_LIST:
    case VALUE_PATH_LIST:
        snprintf(text, size, "%s = [\"%s\"]\n", spec->key, value);
        return;
    case VALUE_ENV:
        snprintf(text, size, "%s = { KEY = \"value\" }\n", spec->key);
        return;
    default:
        snprintf(text, size, "%s = \"%s\"\n", spec->key, value);
        return;
    }
}

static void test_every_key_can_be_set(void **state)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option_spec *spec = &option_specs[i];
        char line[128];
        char text[256];
        struct record record;
        if (spec->section == NULL)
            continue;
        write_sample(spec, line, sizeof(line));
        /* uid and gid come together. */
        snprintf(text, sizeof(text), "[%s]\n%s%s", spec->section, line,
                 i == OPTION_UID   ? "gid = 1\n"
                 : i == OPTION_GID ? "uid = 1\n"
                                   : "");
        load_text(text, &record);
        assert_true(record_given(&record, spec->id));
        assert_string_equal(record_text(&record, spec->id),
                            sample_value(spec->id) != NULL ? sample_value(spec->id) : "true");
        const struct origin *origin = &record.lists[i].values[0].origin;
        assert_int_equal(origin->kind, ORIGIN_PROFILE);
        assert_string_equal(origin->file, "p.toml");
        assert_int_equal(origin->line, 2);
        record_free(&record);
    }
}

static void test_an_empty_profile_gives_nothing(void **state)
{
    struct record record;

    load_text("# nothing\n[filesystem]\n[limits]\n", &record);
    for (size_t i = 0; i < OPTION_COUNT; i++)
        assert_false(record_given(&record, (enum option_id)i));
    record_free(&record);
}

static void test_false_is_not_given(void **state)
{
    struct record record;

    load_text("[program]\nclean_env = false\nno_supervisor = false\n", &record);
    assert_false(record_given(&record, OPTION_CLEAN_ENV));
    assert_false(record_given(&record, OPTION_NO_SUPERVISOR));
    record_free(&record);
}

static void test_ports_mix_numbers_and_texts(void **state)
{
    struct policy *policy = build_text("[network]\nallow_bind = [80, \"90-95\", 81]\n");

    assert_int_equal(policy->bind_port_count, 2);
    assert_int_equal(policy->bind_ports[0].high, 81);
    policy_unref(policy);
}

static void test_env_inline_or_as_a_table(void **state)
{
    struct policy *policy = build_text("[program.env]\nA = \"1\"\n\"B C\" = \"x=y\"\n");

    assert_string_equal(policy->env.items[0], "A=1");
    assert_string_equal(policy->env.items[1], "B C=x=y");
    policy_unref(policy);
    assert_text_refused("[program]\nenv = { A = 1 }\n",
                        TEXTS("[program].env", "'A'", "string", "integer"));
    assert_text_refused("[program.env]\n\"A=B\" = \"1\"\n", TEXTS("[program].env", "'A=B'"));
    assert_text_refused("[program.env]\n\"\" = \"1\"\n", TEXTS("[program].env", "''"));
    assert_text_refused("[program.env]\n\"A\\u0000\" = \"1\"\n", TEXTS("[program].env", "NUL"));
    assert_text_refused("[program.env]\nA = \"\\u0000\"\n", TEXTS("[program].env", "NUL"));
    assert_text_refused("[program]\nenv = [\"A=1\"]\n", TEXTS("[program].env", "table", "array"));
}

static void test_durations_are_texts_or_seconds(void **state)
{
    struct record record;

    load_text("[limits]\ntimeout = 5\nkill_after = \"200ms\"\n", &record);
    assert_string_equal(record_text(&record, OPTION_TIMEOUT), "5");
    assert_string_equal(record_text(&record, OPTION_KILL_AFTER), "200ms");
    record_free(&record);
    load_text("[limits]\ntimeout = 5\nkill_after = 0\n", &record);
    assert_string_equal(record_text(&record, OPTION_KILL_AFTER), "0");
    record_free(&record);
    assert_text_refused("[limits]\ntimeout = \"soon\"\n", TEXTS("[limits].timeout", "soon"));
    assert_text_refused("[limits]\ntimeout = 0\n", TEXTS("[limits].timeout"));
    assert_text_refused("[limits]\ntimeout = -1\n", TEXTS("[limits].timeout", "-1"));
    assert_text_refused("[limits]\ntimeout = 1.5\n", TEXTS("[limits].timeout", "float"));
}

/* ---- Refusals -------------------------------------------------------------------------------- */

static void test_unknown_fields(void **state)
{
    assert_text_refused("[filesystem]\nraed = [\"/\"]\n",
                        TEXTS("p.toml:2:1: ", "unknown field 'raed'", "[filesystem]",
                              "did you mean 'read'", "write", "read_try"));
    assert_text_refused("\n[filesytem]\n", TEXTS("p.toml:2:", "unknown field 'filesytem'",
                                                 "did you mean 'filesystem'", "program", "limits"));
    assert_text_refused("bogus = 1\n", TEXTS("p.toml:1:1: ", "unknown field 'bogus'", "program"));
    assert_text_refused("[config]\nworkdir = \"/\"\n", TEXTS("unknown field 'config'"));
    assert_text_refused("[http]\nports = [80]\n", TEXTS("unknown field 'http'"));
    assert_text_refused("[limits]\nmemory = \"1G\"\n", TEXTS("unknown field 'memory'"));
    assert_text_refused("[limits]\n\"time\\u0000out\" = 1\n",
                        TEXTS("unknown field 'time\\x00out'"));
}

static void test_a_section_of_other_releases_may_be_there_if_it_is_empty(void **state)
{
    struct record record;

    load_text("[config]\n[http]\n[program]\nexec = \"true\"\n", &record);
    assert_string_equal(record_text(&record, OPTION_EXEC), "true");
    record_free(&record);
    assert_text_refused("[http]\n[[config]]\n", TEXTS("p.toml:2:", "unknown field 'config'"));
    assert_text_refused("config = 1\n", TEXTS("unknown field 'config'"));
    assert_text_refused("[http]\n[bogus]\n", TEXTS("p.toml:2:", "unknown field 'bogus'"));
}

static void test_features_of_other_releases_are_answered_with_no_other_name(void **state)
{
    static const struct {
        const char *text, *field;
    } absent[] = {
        {"[filesystem]\ndeny = []\n", "'deny' in [filesystem]"},
        {"[filesystem]\nmount = []\n", "'mount' in [filesystem]"},
        {"[filesystem]\nchroot = \"/\"\n", "'chroot' in [filesystem]"},
        {"[filesystem]\non_exit = \"keep\"\n", "'on_exit' in [filesystem]"},
        {"[limits]\nmemory = \"1G\"\n", "'memory' in [limits]"},
        {"[limits]\ncpu = 5\n", "'cpu' in [limits]"},
        {"[determinism]\nrandom_seed = 5\n", "'random_seed' in [determinism]"},
        {"[http]\nallow = []\n", "'http'"},
        {"[config]\nworkdir = \"/\"\n", "'config'"},
    };

    for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++) {
        char expected[128];
        snprintf(expected, sizeof(expected), "unknown field %s; this release has no such feature (",
                 absent[i].field);
        assert_text_refused(absent[i].text, TEXTS(expected));
    }
    /* A key in the wrong section, and one that is misspelt, are something else. */
    assert_text_refused("[filesystem]\ndeny_bind = []\n",
                        TEXTS("it is written [network].deny_bind"));
    assert_text_refused("[network]\ndenny = []\n", TEXTS("did you mean 'deny'"));
}

static void test_flat_keys_of_old_profiles_name_the_new_place(void **state)
{
    assert_text_refused("fs_readable = [\"/\"]\n",
                        TEXTS("unknown field 'fs_readable'", "[filesystem].read"));
    assert_text_refused("max_processes = 5\n",
                        TEXTS("unknown field 'max_processes'", "[limits].processes"));
    assert_text_refused("name = \"x\"\n", TEXTS("unknown field 'name'", "--name"));
    assert_text_refused("clean_env = true\n",
                        TEXTS("unknown field 'clean_env'", "[program].clean_env"));
    assert_text_refused("net_allow_hosts = [\"h\"]\n", TEXTS("it is written [network].allow ("));
    assert_text_refused("net_connect = [80]\n",
                        TEXTS("it is written [network].allow = [\"tcp://*:PORT\"]"));
    assert_text_refused("no_raw_sockets = true\n", TEXTS("there are never raw sockets"));
    assert_text_refused("no_udp = true\n", TEXTS("without rules in [network] there is no UDP"));
    assert_text_refused("[sandbox]\nfs_readable = []\n", TEXTS("unknown field 'sandbox'"));
}

static void test_names_of_options_are_told_the_key(void **state)
{
    assert_text_refused("[network]\nnet_allow = []\n", TEXTS("it is written [network].allow ("));
    assert_text_refused("net_allow = []\n", TEXTS("it is written [network].allow ("));
    assert_text_refused("[network]\nnet_deny_bind = []\n",
                        TEXTS("it is written [network].deny_bind ("));
    assert_text_refused("[filesystem]\nfs_read = []\n", TEXTS("it is written [filesystem].read ("));
    assert_text_refused("[limits]\nmax_processes = 1\n",
                        TEXTS("it is written [limits].processes ("));
    assert_text_refused("[program]\nuser = \"1:2\"\n",
                        TEXTS("it is written [program].uid and [program].gid ("));
}

static void test_flat_keys_of_absent_features_say_so(void **state)
{
    static const char *const absent[] = {"max_memory", "max_cpu",    "max_disk",   "fs_denied",
                                         "workdir",    "http_ports", "http_allow", "http_ca",
                                         "https_key",  "num_cpus",   "random_seed"};
    char text[64], expected[96];

    for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++) {
        snprintf(expected, sizeof(expected), "unknown field '%s'", absent[i]);
        snprintf(text, sizeof(text), "%s = 1\n", absent[i]);
        assert_text_refused(text, TEXTS(expected, "; this release has no such feature ("));
        snprintf(text, sizeof(text), "[limits]\n%s = 1\n", absent[i]);
        assert_text_refused(text, TEXTS(expected, "; this release has no such feature ("));
    }
}

static void test_a_part_of_a_key_finds_the_key_of_its_section(void **state)
{
    assert_text_refused("[syscalls]\ndeny = []\n", TEXTS("did you mean 'extra_deny'"));
    assert_text_refused("[syscalls]\nallow = []\n", TEXTS("did you mean 'extra_allow'"));
    assert_text_refused("[filesystem]\nallow = []\n", TEXTS("it is written [network].allow"));
    assert_text_refused("[program]\ncoredump = true\n", TEXTS("'coredump' in [program] (valid"));
}

static void test_type_mismatches(void **state)
{
    assert_text_refused("[filesystem]\nread = \"/\"\n", TEXTS("p.toml:2:8: ", "[filesystem].read",
                                                              "expected array", "found string"));
    assert_text_refused("[filesystem]\nread = [\"/\", 5]\n",
                        TEXTS("[filesystem].read", "expected string", "found integer"));
    assert_text_refused("[program]\nclean_env = 1\n",
                        TEXTS("[program].clean_env", "expected boolean", "found integer"));
    assert_text_refused("[program]\ncwd = true\n",
                        TEXTS("[program].cwd", "expected string", "found boolean"));
    assert_text_refused("[limits]\nprocesses = \"5\"\n",
                        TEXTS("[limits].processes", "expected integer", "found string"));
    assert_text_refused("[network]\nallow_bind = [1.5]\n",
                        TEXTS("[network].allow_bind", "integer or string", "float"));
    assert_text_refused("[limits]\ngpu_devices = [\"all\"]\n",
                        TEXTS("[limits].gpu_devices", "expected integer", "found string"));
    assert_text_refused("limits = 5\n", TEXTS("[limits]", "expected table", "found integer"));
}

static void test_integers_out_of_range(void **state)
{
    assert_text_refused("[limits]\nprocesses = -1\n",
                        TEXTS("[limits].processes", "-1", "out of range", "4294967295"));
    assert_text_refused("[limits]\nopen_files = 4294967296\n",
                        TEXTS("[limits].open_files", "4294967296", "out of range"));
    assert_text_refused("[network]\nallow_bind = [65536]\n",
                        TEXTS("[network].allow_bind", "65536", "out of range", "65535"));
}

static void test_text_that_is_no_toml(void **state)
{
    assert_text_refused("[limits]\nprocesses = \n", TEXTS("p.toml:2:"));
    assert_text_refused("[limits]\nprocesses = 1\nprocesses = 2\n", TEXTS("p.toml:3:"));
}

static void test_values_with_nul(void **state)
{
    assert_text_refused("[filesystem]\nread = [\"/a\\u0000b\"]\n",
                        TEXTS("[filesystem].read", "NUL"));
    assert_text_refused("[program]\nargs = [\"\\u0000\"]\n", TEXTS("[program].args", "NUL"));
}

static void test_errors_of_the_build_name_the_place(void **state)
{
    struct record record;

    load_text("[limits]\nopen_files = 0\n", &record);
    assert_record_refused(&record, TEXTS("p.toml:2:14: [limits].open_files: must be at least 1"));
    load_text("[protections]\ndisabled = [\n  \"fs-refer\"]\n", &record);
    assert_record_refused(&record, TEXTS("p.toml:3:3: [protections].disabled"));
}

/* ---- Variables ------------------------------------------------------------------------------- */

static void assert_path_is(const char *value, const char *expected)
{
    char text[512];
    struct record record;

    snprintf(text, sizeof(text), "[filesystem]\nread = ['%s']\n", value);
    load_text(text, &record);
    assert_string_equal(record_text(&record, OPTION_FS_READ), expected);
    record_free(&record);
}

static void assert_path_refused(const char *value, const char *const *texts)
{
    char text[512];

    snprintf(text, sizeof(text), "[filesystem]\nread = ['%s']\n", value);
    assert_text_refused(text, texts);
    assert_text_refused(text, TEXTS("[filesystem].read", value));
}

static void test_home_is_expanded_in_paths(void **state)
{
    setenv("HOME", "/home/me", 1);
    assert_path_is("${HOME}", "/home/me");
    assert_path_is("${HOME}/a:${HOME}/b", "/home/me/a:/home/me/b");
    assert_path_is("/a$$b", "/a$b");
    assert_path_is("$${HOME}", "${HOME}");
    assert_path_is("$$$$", "$$");
    assert_path_is("./~x", "./~x");
    assert_path_is("a~", "a~");
}

static void test_what_looks_like_a_variable_is_refused(void **state)
{
    setenv("HOME", "/home/me", 1);
    assert_path_refused("~/x", TEXTS("tilde is not expanded", "${HOME}"));
    assert_path_refused("~", TEXTS("tilde is not expanded"));
    assert_path_refused("/${HOME", TEXTS("unterminated ${"));
    assert_path_refused("/${}", TEXTS("malformed variable name"));
    assert_path_refused("/${1A}", TEXTS("malformed variable name"));
    assert_path_refused("/${HO ME}", TEXTS("malformed variable name"));
    assert_path_refused("/${TMP}", TEXTS("unknown variable ${TMP}", "supported: ${HOME}"));
    assert_path_refused("/${home}", TEXTS("unknown variable ${home}", "did you mean ${HOME}"));
    assert_path_refused("/$HOME", TEXTS("bare $", "${HOME}"));
    assert_path_refused("/a$", TEXTS("bare $"));
    assert_path_refused("/a$/b", TEXTS("bare $"));
}

static void test_only_paths_have_variables(void **state)
{
    struct record record;

    setenv("HOME", "/home/me", 1);
    load_text("[program]\nexec = \"${HOME}/bin/x\"\nargs = [\"${HOME}\", \"$PATH\", \"~\"]\n"
              "cwd = \"${HOME}\"\nenv = { A = \"$B\" }\n",
              &record);
    assert_string_equal(record_text(&record, OPTION_EXEC), "/home/me/bin/x");
    assert_string_equal(record_text(&record, OPTION_CWD), "/home/me");
    assert_string_equal(record.lists[OPTION_ARGS].values[0].text, "${HOME}");
    assert_string_equal(record.lists[OPTION_ARGS].values[1].text, "$PATH");
    assert_string_equal(record_text(&record, OPTION_ENV), "A=$B");
    record_free(&record);
}

static void test_a_home_must_be_usable(void **state)
{
    struct error err = {0};
    const char *const useless[] = {"/", "///", "", "relative", NULL};

    for (size_t i = 0; useless[i] != NULL; i++) {
        setenv("HOME", useless[i], 1);
        char *home = profile_home(&err);
        /* The passwd entry, where there is one. */
        if (home == NULL)
            assert_has_texts(err.text, TEXTS("no usable home"));
        else
            assert_true(home[0] == '/' && home[strspn(home, "/")] != '\0');
        free(home);
    }
    setenv("HOME", "//h/", 1);
    char *home = profile_home(&err);
    assert_string_equal(home, "//h/");
    free(home);
}

/* ---- Directories ----------------------------------------------------------------------------- */

static char root[64];

static void make_path(char *text, size_t size, const char *name)
{
    snprintf(text, size, "%s/%s", root, name);
}

static void make_directory(const char *name)
{
    char path[256];

    make_path(path, sizeof(path), name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static void make_file(const char *name, const char *text)
{
    char path[256];

    make_path(path, sizeof(path), name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static int enter_store(void **state)
{
    char path[256];

    snprintf(root, sizeof(root), "%s", "/tmp/sandlock-test-XXXXXX");
    assert_non_null(mkdtemp(root));
    make_directory("home");
    make_directory("xdg");
    make_directory("xdg/sandlock");
    make_directory("xdg/sandlock/profiles");
    make_path(path, sizeof(path), "home");
    setenv("HOME", path, 1);
    make_path(path, sizeof(path), "xdg");
    setenv("XDG_CONFIG_HOME", path, 1);
    return 0;
}

static int leave_store(void **state)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf '%s'", root);
    unsetenv("XDG_CONFIG_HOME");
    return system(command) == 0 ? 0 : -1;
}

static void make_home_store(void)
{
    make_directory("home/.config");
    make_directory("home/.config/sandlock");
    make_directory("home/.config/sandlock/profiles");
}

static void test_a_missing_directory_is_an_empty_list(void **state)
{
    struct strv names = STRV_INIT;
    struct error err = {0};
    char expected[256];

    assert_true(profile_list(&names, &err));
    assert_int_equal(names.count, 0);
    char *directory = profile_directory(&err);
    make_path(expected, sizeof(expected), "home/.config/sandlock/profiles");
    assert_string_equal(directory, expected);
    free(directory);
    strv_free(&names);
}

static void test_the_list_is_sorted_and_merged(void **state)
{
    struct strv names = STRV_INIT;
    struct error err = {0};

    make_home_store();
    make_file("home/.config/sandlock/profiles/b.toml", "");
    make_file("home/.config/sandlock/profiles/a b.toml", "");
    make_file("home/.config/sandlock/profiles/.hidden.toml", "");
    make_file("home/.config/sandlock/profiles/.toml", "");
    make_file("home/.config/sandlock/profiles/notes.txt", "");
    make_directory("home/.config/sandlock/profiles/d.toml");
    make_file("xdg/sandlock/profiles/b.toml", "");
    make_file("xdg/sandlock/profiles/c.toml", "");
    assert_true(profile_list(&names, &err));
    assert_int_equal(names.count, 3);
    assert_string_equal(names.items[0], "a b");
    assert_string_equal(names.items[1], "b");
    assert_string_equal(names.items[2], "c");
    strv_free(&names);
}

static const char *loaded_cwd(const char *name)
{
    static char cwd[64];
    struct record record;
    struct error err = {0};
    char *path;

    record_init(&record);
    if (!profile_load(name, &record, &path, &err))
        fail_msg("refused: %s", err.text);
    snprintf(cwd, sizeof(cwd), "%s", record_text(&record, OPTION_CWD));
    assert_string_equal(record.lists[OPTION_CWD].values[0].origin.file, path);
    record_free(&record);
    free(path);
    return cwd;
}

static void assert_load_refused(const char *name, const char *const *texts)
{
    struct record record;
    struct error err = {0};
    char *path;

    record_init(&record);
    assert_false(profile_load(name, &record, &path, &err));
    assert_null(path);
    assert_int_equal(err.kind, ERROR_CONFIG);
    assert_has_texts(err.text, texts);
    record_free(&record);
}

static void test_home_is_searched_before_xdg(void **state)
{
    make_home_store();
    make_file("home/.config/sandlock/profiles/p.toml", "[program]\ncwd = '/home-one'\n");
    make_file("xdg/sandlock/profiles/p.toml", "[program]\ncwd = '/xdg-one'\n");
    make_file("xdg/sandlock/profiles/q.toml", "[program]\ncwd = '/xdg-two'\n");
    assert_string_equal(loaded_cwd("p"), "/home-one");
    assert_string_equal(loaded_cwd("q"), "/xdg-two");
}

static void test_a_shared_xdg_directory_is_ignored(void **state)
{
    char path[256];

    make_file("xdg/sandlock/profiles/q.toml", "[program]\ncwd = '/x'\n");
    assert_string_equal(loaded_cwd("q"), "/x");
    make_path(path, sizeof(path), "xdg/sandlock/profiles");
    assert_int_equal(chmod(path, 0777), 0);
    assert_load_refused("q", TEXTS("no profile named 'q'"));
    assert_int_equal(chmod(path, 0770), 0);
    assert_load_refused("q", TEXTS("no profile named 'q'"));
    assert_int_equal(chmod(path, 0700), 0);
    setenv("XDG_CONFIG_HOME", "xdg", 1);
    assert_load_refused("q", TEXTS("no profile named 'q'"));
}

/* As of a set-user-ID program: its caller must not lead it. */
static void test_with_other_rights_than_the_callers_the_environment_is_not_asked(void **state)
{
    struct error err = {0};
    char own[256];

    if (getuid() != 0)
        skip_because("needs root: has another effective user than its caller");
    make_path(own, sizeof(own), "home");
    make_file("xdg/sandlock/profiles/q.toml", "[program]\ncwd = '/x'\n");
    char *trusted = profile_home(&err);
    assert_string_equal(trusted, own);
    assert_string_equal(loaded_cwd("q"), "/x");
    const struct passwd *superuser = getpwuid(0);
    assert_non_null(superuser);
    assert_int_equal(setegid(4321), 0);
    char *by_group = profile_home(&err);
    char *path = profile_find("q", &err);
    assert_int_equal(setegid(0), 0);
    assert_int_equal(seteuid(4321), 0);
    char *by_user = profile_home(&err);
    assert_int_equal(seteuid(0), 0);
    assert_string_equal(by_group, superuser->pw_dir);
    assert_string_equal(by_user, superuser->pw_dir);
    assert_null(path);
    free(trusted);
    free(by_group);
    free(by_user);
}

static void test_paths_are_taken_as_paths(void **state)
{
    char path[256];

    make_file("home/x.toml", "[program]\ncwd = '/p'\n");
    make_path(path, sizeof(path), "home/x.toml");
    assert_string_equal(loaded_cwd(path), "/p");
    assert_load_refused("nosuch.toml", TEXTS("nosuch.toml", "No such file"));
    assert_load_refused("./nosuch", TEXTS("./nosuch", "No such file"));
    make_path(path, sizeof(path), "home");
    assert_load_refused(path, TEXTS(path, "directory"));
}

static void test_names_do_not_escape(void **state)
{
    struct error err = {0};
    const char *const bad[] = {"",        ".",    "..",    "../x", "/etc/passwd", "a/b",
                               ".hidden", "a\nb", "a\x7f", "\xff", "a\xc2\x85z",  "a\xe2\x80\xaez",
                               NULL};

    make_home_store();
    make_file("home/.config/sandlock/x.toml", "");
    for (size_t i = 0; bad[i] != NULL; i++) {
        assert_null(profile_find(bad[i], &err));
        assert_has_texts(err.text, TEXTS("profile name"));
        assert_false(profile_delete(bad[i], &err));
        assert_has_texts(err.text, TEXTS("profile name"));
    }
    char name[256];
    memset(name, 'n', sizeof(name));
    name[65] = '\0';
    assert_null(profile_find(name, &err));
    assert_has_texts(err.text, TEXTS("64 bytes"));
    assert_load_refused("..", TEXTS("profile name"));
    make_path(name, sizeof(name), "home/.config/sandlock/x.toml");
    assert_int_equal(access(name, F_OK), 0);
}

static void test_finding_and_deleting(void **state)
{
    struct error err = {0};
    char expected[256];

    make_home_store();
    make_file("home/.config/sandlock/profiles/p.toml", "");
    make_path(expected, sizeof(expected), "home/.config/sandlock/profiles/p.toml");
    char *path = profile_find("p", &err);
    assert_string_equal(path, expected);
    free(path);
    assert_true(profile_delete("p", &err));
    assert_int_equal(access(expected, F_OK), -1);
    assert_null(profile_find("p", &err));
    assert_has_texts(err.text, TEXTS("no profile named 'p'", expected));
    assert_false(profile_delete("p", &err));
    assert_has_texts(err.text, TEXTS(expected));
}

static void test_a_huge_profile_is_refused(void **state)
{
    char path[256];

    make_file("home/x.toml", "");
    make_path(path, sizeof(path), "home/x.toml");
    assert_int_equal(truncate(path, PROFILE_SIZE_MAX + 1), 0);
    assert_load_refused(path, TEXTS("larger than"));
}

int main(void)
{
#define STORE_TEST(test) cmocka_unit_test_setup_teardown(test, enter_store, leave_store)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_key_can_be_set),
        cmocka_unit_test(test_an_empty_profile_gives_nothing),
        cmocka_unit_test(test_false_is_not_given),
        cmocka_unit_test(test_ports_mix_numbers_and_texts),
        cmocka_unit_test(test_env_inline_or_as_a_table),
        cmocka_unit_test(test_durations_are_texts_or_seconds),
        cmocka_unit_test(test_unknown_fields),
        cmocka_unit_test(test_a_section_of_other_releases_may_be_there_if_it_is_empty),
        cmocka_unit_test(test_features_of_other_releases_are_answered_with_no_other_name),
        cmocka_unit_test(test_flat_keys_of_old_profiles_name_the_new_place),
        cmocka_unit_test(test_names_of_options_are_told_the_key),
        cmocka_unit_test(test_flat_keys_of_absent_features_say_so),
        cmocka_unit_test(test_a_part_of_a_key_finds_the_key_of_its_section),
        cmocka_unit_test(test_type_mismatches),
        cmocka_unit_test(test_integers_out_of_range),
        cmocka_unit_test(test_text_that_is_no_toml),
        cmocka_unit_test(test_values_with_nul),
        cmocka_unit_test(test_errors_of_the_build_name_the_place),
        cmocka_unit_test(test_home_is_expanded_in_paths),
        cmocka_unit_test(test_what_looks_like_a_variable_is_refused),
        cmocka_unit_test(test_only_paths_have_variables),
        cmocka_unit_test(test_a_home_must_be_usable),
        STORE_TEST(test_a_missing_directory_is_an_empty_list),
        STORE_TEST(test_the_list_is_sorted_and_merged),
        STORE_TEST(test_home_is_searched_before_xdg),
        STORE_TEST(test_a_shared_xdg_directory_is_ignored),
        STORE_TEST(test_with_other_rights_than_the_callers_the_environment_is_not_asked),
        STORE_TEST(test_paths_are_taken_as_paths),
        STORE_TEST(test_names_do_not_escape),
        STORE_TEST(test_finding_and_deleting),
        STORE_TEST(test_a_huge_profile_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
