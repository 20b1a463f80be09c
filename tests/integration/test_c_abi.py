"""The C library: its files, its exports, its header, and programs that use it (c_abi/*.c).

The libraries are those in $SANDLOCK_BUILD, build/ by default.
"""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = ROOT / "tests/integration/c_abi"
HEADER = ROOT / "include/sandlock.h"
STRICT = ["-Wall", "-Wextra", "-Werror", "-Wpedantic", "-I", str(HEADER.parent)]


@pytest.fixture(scope="session")
def build():
    directory = pathlib.Path(os.environ.get("SANDLOCK_BUILD", ROOT / "build")).resolve()
    if not (directory / "libsandlock_ffi.so").exists():
        pytest.exit(f"no libsandlock_ffi.so in {directory}: build first", returncode=2)
    return directory


@pytest.fixture(scope="session")
def compiled(build, tmp_path_factory):
    """Compiles a program of c_abi/, or another one, against either library, once each."""
    directory = tmp_path_factory.mktemp("c_abi")
    programs = {}

    def compile_program(name, static=False):
        key = (name, static)
        if key not in programs:
            source = ROOT / f"{name}.c" if "/" in name else SOURCES / f"{name}.c"
            path = directory / (source.stem + ("-static" if static else ""))
            library = [build / "libsandlock_ffi.a"] if static else [
                f"-L{build}", f"-Wl,-rpath,{build}", "-lsandlock_ffi"]
            run("cc", "-std=gnu11", "-D_GNU_SOURCE", "-g", *STRICT, "-Wno-pedantic", source, "-o", path,
                *library, "-lpthread", "-ldl")
            programs[key] = path
        return programs[key]

    return compile_program


def run(*words, code=0, timeout=120, **kwargs):
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=timeout,
                          stdin=subprocess.DEVNULL, errors="surrogateescape", check=False, **kwargs)
    assert done.returncode == code, f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def exported(library):
    """(name, kind) of every dynamic symbol the library defines."""
    lines = run("nm", "-D", "--defined-only", library).stdout.splitlines()
    return sorted((line.split()[2], line.split()[1]) for line in lines)


def declared_names():
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(encoding="utf-8"), flags=re.DOTALL)
    return sorted(set(re.findall(r"\b(sandlock_\w+)\(", text)))


def listed_names():
    return (SOURCES / "exports.txt").read_text(encoding="utf-8").split()


# ---- Files ------------------------------------------------------------------------------------


def test_the_shared_library_exports_the_listed_functions_and_nothing_else(build):
    symbols = exported(build / "libsandlock_ffi.so")
    assert [name for name, _ in symbols] == listed_names()
    assert {kind for _, kind in symbols} == {"T"}, "functions only, no data"


def test_the_header_declares_what_is_exported():
    assert declared_names() == listed_names()


def test_the_static_library_shows_the_same_names_and_hides_the_rest(build):
    lines = run("nm", "-g", "--defined-only", build / "libsandlock_ffi.a").stdout.splitlines()
    names = sorted(line.split()[-1] for line in lines if len(line.split()) == 3)
    assert names == listed_names()


def test_the_dynamic_section(build):
    text = run("readelf", "-dW", build / "libsandlock_ffi.so").stdout
    sonames = re.findall(r"SONAME.*\[(.*)\]", text)
    assert sonames in ([], ["libsandlock_ffi.so"])
    assert "NODELETE" in text and "NOW" in text
    needed = set(re.findall(r"NEEDED.*\[(.*)\]", text))
    assert all(re.match(r"(libc\.so|ld-linux|libpthread|libasan|libubsan|libgcc_s)", name)
               for name in needed), needed
    headers = run("readelf", "-lW", build / "libsandlock_ffi.so").stdout
    assert "GNU_RELRO" in headers
    assert re.search(r"GNU_STACK.* RW ", headers)


def test_the_plain_names_are_links(build):
    for name in ("libsandlock.so", "libsandlock.a"):
        assert (build / name).resolve().name == name.replace("sandlock", "sandlock_ffi")


def test_the_symbols_carry_no_version(build):
    assert "Version definition" not in run("readelf", "-VW", build / "libsandlock_ffi.so").stdout


@pytest.mark.skipif(shutil.which("pkg-config") is None, reason="pkg-config is not installed")
def test_pkg_config(build):
    env = dict(os.environ, PKG_CONFIG_PATH=str(build),
               PKG_CONFIG_ALLOW_SYSTEM_CFLAGS="1", PKG_CONFIG_ALLOW_SYSTEM_LIBS="1")

    def ask(*words):
        return run("pkg-config", *words, "sandlock", env=env).stdout.split()

    libdir = ask("--variable=libdir")[0]
    assert ask("--libs") == [f"-L{libdir}", f"-Wl,-rpath,{libdir}", "-lsandlock_ffi"]
    assert ask("--libs", "--static")[3:] == ["-lpthread", "-ldl", "-lm"]
    assert ask("--cflags") == ["-I" + ask("--variable=includedir")[0]]


# ---- Header -----------------------------------------------------------------------------------


@pytest.mark.parametrize("compiler", ["gcc", "clang-14"])
@pytest.mark.parametrize("language", [["-x", "c", "-std=c11"], ["-x", "c++", "-std=c++17"]])
def test_the_header_compiles_cleanly(compiler, language, tmp_path):
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    if "c++" in language and shutil.which("g++") is None:
        pytest.skip("no C++ compiler is installed")
    run(compiler, *language, *STRICT, "-Wshadow", "-c",
        SOURCES / "header.c", "-o", tmp_path / "header.o")


def test_the_header_includes_standard_headers_only():
    included = re.findall(r"#include (.*)", HEADER.read_text(encoding="utf-8"))
    assert sorted(included) == ["<stdbool.h>", "<stddef.h>", "<stdint.h>"]


def test_no_constant_uses_the_prefixes_that_bindings_compare():
    text = HEADER.read_text(encoding="utf-8")
    assert "SANDLOCK_ACTION_" not in text and "SANDLOCK_EXCEPTION_" not in text


def test_enum_constants_are_written_as_decimal_numbers():
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(encoding="utf-8"), flags=re.DOTALL)
    constants = re.findall(r"\b(SANDLOCK_(?!H\b)[A-Z_]+)\b(.*)", text)
    assert len(constants) == 13
    assert all(re.fullmatch(r" = \d+,?", rest) for _, rest in constants), constants


# ---- Programs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("program, static", [
    (program, static) for program in ("runs", "handles", "popen", "confine", "header") for static in (False, True)
    if (program, static) != ("handles", True)])  # the longest, and of the same calls
def test_program(compiled, program, static):
    # handles.c counts allocated bytes: chunks kept in caches of threads would count as allocated.
    exact = dict(os.environ, GLIBC_TUNABLES="glibc.malloc.tcache_count=0:glibc.malloc.arena_max=1")
    run(compiled(program, static), env=exact)


@pytest.mark.parametrize("kind", ["threads", "big", "closed-fds", "no-threads", "no-clone3", "no-commands",
                                  "no-ends", "sigpipe",
                                  pytest.param("state", marks=pytest.mark.personality), "file-limit", "umask", "reads-pid",
                                  "not-dumpable", pytest.param("tables", marks=pytest.mark.unshare), "terminal", "stops",
                                  "own-entry"])
def test_host(compiled, kind):
    run(compiled("hosts"), kind)


@pytest.mark.parametrize("what", ["sleeps", "forks", "connects", "orphans"])
def test_a_host_that_closes_its_descriptors_ends_its_sandboxes_and_keeps_what_it_opens(compiled, what):
    run(compiled("closed"), what)


@pytest.mark.parametrize("how", ["supervised", "no-supervisor", "no-scope"])
@pytest.mark.parametrize("before", ["running", "stopped"])
@pytest.mark.parametrize("kind", ["threads", "deep", "wide", "headless"])
def test_resume_continues_what_pause_stopped_and_nothing_else(compiled, kind, before, how):
    run(compiled("pauses"), kind, before, how)


@pytest.mark.parametrize("how", ["supervised", "no-supervisor", "no-scope", "silent"])
def test_kill_pause_and_resume_return_when_it_is_done(compiled, how):
    run(compiled("commands"), how)


@pytest.mark.parametrize("options", [[], ["--explain"], ["--no-supervisor"]], ids=["supervised", "explained", "unsupervised"])
@pytest.mark.unshare
def test_a_member_with_one_thread_confines_itself(build, compiled, options):
    program = compiled("confine")
    run(build / "sandlock", "run", *options, "-r", "/usr", "--fs-read-try", "/lib", "--fs-read-try", "/lib64", "-r", "/etc",
        "-r", "/bin", "-w", "/dev/null", "-r", "/dev/zero", "-r", build, "-r", program.parent, "--", program, "inside")


def test_confining_a_caller_leaves_no_thread_out_in_a_container_either(build, compiled):
    """There the kernel may not be asked whether there are others, and /proc is."""
    run(build / "tests/helpers/container_filter", "--", compiled("confine"), "threads")


def test_confining_a_caller_is_refused_where_the_host_lacks_a_protection(build, compiled):
    older = [build / "tests/helpers/landlock_abi", "4"]
    if subprocess.run([*older, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no filter can have a listener here")
    run(*older, compiled("confine"), "older")


def test_more_members_stopped_than_a_pause_remembers(compiled):
    run(compiled("pauses"), "many", "stopped")


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("kind", ["dropped", "effective"])
def test_hosts_that_become_another_user(compiled, kind):
    run(compiled("hosts"), kind)


def test_a_name_that_cannot_be_had_is_told_in_the_words_of_the_command_line(build, compiled):
    """In a sandbox without a grant on /dev/shm."""
    outer = [build / "sandlock", "run", "--no-supervisor", "-r", "/", "-w", "/dev/null", "--"]
    host = compiled("hosts")
    assert run(host, "no-names").stderr == ""
    lines = run(*outer, host, "no-names").stderr.splitlines()
    line = run(*outer, build / "sandlock", "run", "--name", "chosen", "-r", "/", "--", "true").stderr
    assert re.fullmatch(r"sandlock: warning: .* \(the run is not listed and its name is not protected\)\n", line)
    assert lines == line.splitlines() * 3


def test_copies_of_a_host_touch_nothing(compiled):
    """In a pid namespace: what they might kill by mistake is then no more than that."""
    own = ["--user", "--map-current-user"] if os.geteuid() != 0 else []
    enter = ["unshare", *own, "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*enter, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no pid namespace for this user here")
    run(*enter, compiled("forks"))


@pytest.mark.parametrize("kibibytes", [64, 240, 300, 2000])
def test_hosts_with_much_thread_local_storage(build, tmp_path, kibibytes):
    """It lies in the same block as a thread's stack."""
    path = tmp_path / "storage"
    run("cc", f"-DSTORAGE=({kibibytes} * 1024)", "-I", HEADER.parent, "-I", SOURCES, SOURCES / "storage.c", "-o", path,
        f"-L{build}", f"-Wl,-rpath,{build}", "-lsandlock")
    run(path)


def test_loading_has_no_side_effect(build, compiled):
    done = run(compiled("load"), build / "libsandlock_ffi.so")
    assert re.fullmatch(r"\d+\.\d+\.\d+.*\n", done.stdout)


@pytest.mark.parametrize("static", [False, True], ids=["shared", "static"])
def test_the_example(compiled, static):
    hello = compiled("examples/hello", static)
    assert run(hello, "/bin/echo", "hello").stdout == "hello\n"
    assert "denied" in run(hello, "/bin/cat", "/etc/passwd", code=1).stderr
    assert "/no/such" in run(hello, "/no/such", code=127).stderr
    assert "usage" in run(hello, code=2).stderr


@pytest.mark.parametrize("static", [False, True], ids=["shared", "static"])
def test_a_program_may_have_functions_named_like_ours(build, tmp_path, static):
    source = tmp_path / "clash.c"
    source.write_text("#include <sandlock.h>\n"
                      "int buffer_append(void); int error_wrap(void); int policy_build(void);\n"
                      "int buffer_append(void) { return 1; }\n"
                      "int error_wrap(void) { return 2; }\n"
                      "int policy_build(void) { return 4; }\n"
                      "int main(void) { return buffer_append() + error_wrap() + policy_build() == 7"
                      " && sandlock_min_landlock_abi() == 6 ? 0 : 1; }\n", encoding="utf-8")
    library = [build / "libsandlock.a"] if static else [
        f"-L{build}", f"-Wl,-rpath,{build}", "-lsandlock"]
    run("cc", "-I", HEADER.parent, source, "-o", tmp_path / "clash", *library)
    run(tmp_path / "clash")
