"""Real programs, unmodified, each under the profile that the repository ships for it.

Every program does its job under confinement, fails to do the same act outside its grants, and does
that act when it is not confined: the last is the positive control of the refusal.
"""

import contextlib
import errno
import fcntl
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import socket
import stat
import subprocess
import termios
import threading
import time
import types
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROFILES = ROOT / "profiles"
SEARCH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
DENIED = "Permission denied"


def need(*programs):
    for program in programs:
        if shutil.which(program, path=SEARCH) is None:
            pytest.skip(f"{program} is not installed")


class Workshop:
    """A directory that is granted, one that is not, and two ways to run a command in the first."""

    def __init__(self, sandlock, tmp_path):
        self.sandlock = sandlock
        self.project = tmp_path / "project"
        self.outside = tmp_path / "outside"
        self.project.mkdir()
        self.outside.mkdir()
        self.secret = self.outside / "secret.txt"
        self.secret.write_text("the secret\n")

    def words(self, profile, *options):
        return ["run", "-p", PROFILES / f"{profile}.toml", "-w", ".", *options, "--"]

    def confined(self, profile, *command, options=(), cwd=None, **kwargs):
        words = self.words(profile, *options)
        return self.sandlock(*words, *command, cwd=cwd or self.project, **kwargs)

    def bare(self, *command, env=None, cwd=None, timeout=30):
        done = subprocess.run(
            list(map(str, command)), env=self.sandlock.environment(env), stdin=subprocess.DEVNULL,
            cwd=cwd or self.project, capture_output=True, text=True, timeout=timeout, check=False
        )
        return types.SimpleNamespace(code=done.returncode, stdout=done.stdout, stderr=done.stderr)

    def start(self, profile, *command, options=()):
        return subprocess.Popen(
            [self.sandlock.binary, *map(str, self.words(profile, *options)), *map(str, command)],
            cwd=self.project, env=self.sandlock.environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )


@pytest.fixture
def workshop(sandlock, tmp_path):
    return Workshop(sandlock, tmp_path)


def succeed(result):
    assert result.code == 0, result
    return result


# ---- Profiles ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(PROFILES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_profile_loads(sandlock, area, path):
    result = succeed(sandlock("run", "--print-policy", "-p", path, cwd=area))
    assert '"/usr"' in result.stdout
    assert result.stderr == ""


# ---- git ---------------------------------------------------------------------------------------

GIT_IDENTITY = {
    "GIT_AUTHOR_NAME": "A U Thor", "GIT_AUTHOR_EMAIL": "author@example.org",
    "GIT_COMMITTER_NAME": "C O Mitter", "GIT_COMMITTER_EMAIL": "committer@example.org",
    "GIT_AUTHOR_DATE": "2020-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2020-01-01T00:00:00Z",
}
GIT_SESSION = """
git init -q -b main
echo one >file; git add file; git commit -q -m one
test -z "$(git status --porcelain)"
echo two >>file
git diff | grep -q '^+two'
git commit -q -a -m two
git checkout -q -b topic HEAD~1
echo other >other; git add other; git commit -q -m other
git checkout -q main
git merge -q -m merged topic
test -f other
echo unfinished >>file
git stash -q; ! grep unfinished file; git stash pop -q; grep -q unfinished file
git checkout -q file
git gc -q; git fsck --strict
git branch --list | wc -l
git log --format=%H%d%s
"""


def test_git_works_in_a_granted_directory_exactly_as_unconfined(workshop):
    need("git")
    confined = succeed(workshop.confined("git", "sh", "-ec", GIT_SESSION, env=GIT_IDENTITY))
    control = workshop.outside / "control"
    control.mkdir()
    bare = succeed(workshop.bare("sh", "-ec", GIT_SESSION, env=GIT_IDENTITY, cwd=control))
    assert "merged" in confined.stdout
    assert confined.stdout == bare.stdout


def test_git_reads_the_settings_of_the_user(workshop):
    need("git")
    (workshop.sandlock.home / ".gitconfig").write_text("[user]\n\tname = Configured\n")
    result = succeed(workshop.confined("git", "git", "config", "user.name"))
    assert result.stdout == "Configured\n"


def test_git_status_needs_no_write_grant(workshop):
    """What could write .git decides what the next git outside runs."""
    need("git")
    log = workshop.outside / "log"
    succeed(workshop.bare("sh", "-ec", "git init -q; echo one >file; git add file; git commit -q -m one; touch -d tomorrow file",
                          env=GIT_IDENTITY))
    for options, asked in ((), False), (("--env", "GIT_OPTIONAL_LOCKS=1"), True):
        succeed(workshop.sandlock("run", "-p", PROFILES / "git.toml", "-r", ".", "--log-denials", log, *options, "--",
                                  "git", "status", "--short", cwd=workshop.project))
        assert (".git" in log.read_text()) == asked, log.read_text()


def test_git_makes_no_repository_outside(workshop):
    need("git")
    command = ["git", "init", "-q", workshop.outside / "repository"]
    assert workshop.confined("git", *command).code != 0
    assert not (workshop.outside / "repository").exists()
    succeed(workshop.bare(*command))
    assert (workshop.outside / "repository/.git/HEAD").exists()


def test_a_hook_of_a_repository_reaches_nothing_outside(workshop):
    need("git")
    planted = workshop.outside / "planted"
    succeed(workshop.bare("git", "init", "-q"))
    hook = workshop.project / ".git/hooks/post-commit"
    hook.write_text(f"#!/bin/sh\ncp '{workshop.secret}' stolen\necho x >'{planted}'\n")
    hook.chmod(0o755)
    command = ["git", "commit", "-q", "--allow-empty", "-m", "x"]
    result = succeed(workshop.confined("git", *command, env=GIT_IDENTITY))
    assert DENIED in result.stderr
    assert not planted.exists() and not (workshop.project / "stolen").exists()
    succeed(workshop.bare(*command, env=GIT_IDENTITY))
    assert planted.exists() and (workshop.project / "stolen").exists()


# ---- gcc and make ------------------------------------------------------------------------------

MAKEFILE = """\
app: main.o sum.o
\tgcc -o $@ $^
%.o: %.c sum.h
\tgcc -O2 -Wall -c $<
install: app
\tinstall -m 750 app "$(DESTDIR)/app"
clean:
\trm -f app *.o
"""
SOURCES = {
    "Makefile": MAKEFILE,
    "sum.h": "int sum(int upto);\n",
    "sum.c": '#include "sum.h"\nint sum(int n) { return n ? n + sum(n - 1) : 0; }\n',
    "main.c": '#include "sum.h"\n#include <stdio.h>\n'
              'int main(void) { printf("%d\\n", sum(100)); return 0; }\n',
}


def write_project(directory):
    for name, text in SOURCES.items():
        (directory / name).write_text(text)


def test_gcc_and_make_build_a_project(workshop):
    need("gcc", "make")
    write_project(workshop.project)
    temporary = {"TMPDIR": str(workshop.project)}
    succeed(workshop.confined("build-c", "make", "-j4", env=temporary))
    assert succeed(workshop.confined("build-c", "./app")).stdout == "5050\n"
    (workshop.project / "root").mkdir()
    succeed(workshop.confined("build-c", "make", "install", "DESTDIR=root", env=temporary))
    assert stat.S_IMODE((workshop.project / "root/app").stat().st_mode) == 0o750
    succeed(workshop.confined("build-c", "make", "clean", env=temporary))
    assert sorted(os.listdir(workshop.project)) == sorted([*SOURCES, "root"])


def test_make_installs_nothing_outside(workshop):
    need("gcc", "make")
    write_project(workshop.project)
    env = {"TMPDIR": str(workshop.project)}
    command = ["make", "install", f"DESTDIR={workshop.outside}"]
    result = workshop.confined("build-c", *command, env=env)
    assert result.code == 2
    assert DENIED in result.stderr
    assert not (workshop.outside / "app").exists()
    succeed(workshop.bare(*command, env=env))
    assert stat.S_IMODE((workshop.outside / "app").stat().st_mode) == 0o750


# ---- Scripts -----------------------------------------------------------------------------------

# Each adds the numbers of the first file with the help of a child process (`cat`) and writes the
# sum to the second.
SCRIPTS = {
    "python3": ("python", ["/usr/bin/python3", "-c", """
import subprocess, sys, threading
text = subprocess.run(["cat", sys.argv[1]], stdout=subprocess.PIPE, check=True).stdout
total = []
thread = threading.Thread(target=lambda: total.append(sum(map(int, text.split()))))
thread.start()
thread.join()
with open(sys.argv[2], "w") as target:
    target.write(str(total[0]) + "\\n")
"""]),
    "perl": ("base", ["perl", "-MList::Util=sum", "-e", """
open my $source, "-|", "cat", $ARGV[0] or die $!;
my @numbers = <$source>;
close $source or exit 1;
open my $target, ">", $ARGV[1] or die "$!\\n";
print $target sum(@numbers), "\\n";
"""]),
    "node": ("node", ["node", "-e", """
const text = require("child_process").execFileSync("cat", [process.argv[1]]).toString();
const sum = text.trim().split("\\n").map(Number).reduce((a, b) => a + b);
if (require("os").cpus().length == 0 || process.memoryUsage().rss == 0) process.exit(1);
require("fs").writeFileSync(process.argv[2], sum + "\\n");
"""]),
    "busybox": ("base", ["busybox", "sh", "-c", """
sum=0
for number in $(busybox cat "$1"); do sum=$((sum + number)); done || exit 1
test $sum -gt 0 && echo $sum >"$2"
""", "sum"]),
}


@pytest.mark.parametrize("program", SCRIPTS)
def test_a_script_works_on_its_own_files_only(workshop, program):
    need(program)
    profile, words = SCRIPTS[program]
    (workshop.project / "numbers").write_text("1\n20\n300\n")
    elsewhere = workshop.outside / "numbers"
    elsewhere.write_text("4000\n")
    target = workshop.outside / "sum"

    succeed(workshop.confined(profile, *words, "numbers", "sum"))
    assert (workshop.project / "sum").read_text() == "321\n"

    failed = workshop.confined(profile, *words, "missing", "sum2")
    assert failed.code != 0 and "hint: " not in failed.stderr, "no denial is to blame"

    assert workshop.confined(profile, *words, "numbers", target).code != 0
    assert not target.exists()
    assert workshop.confined(profile, *words, elsewhere, "sum").code != 0
    assert (workshop.project / "sum").read_text() == "321\n"

    succeed(workshop.bare(*words, elsewhere, target))
    assert target.read_text() == "4000\n"


# ---- Virtual environments and pip ----------------------------------------------------------------


def make_wheel(directory):
    """A package with a module and a program, as pip installs it without network and build tools."""
    info = "greeting-1.0.dist-info"
    files = {
        "greeting.py": "def main():\n    print('hello from the wheel')\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\ngreet = greeting:main\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    wheel = directory / "greeting-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in [*files.items(), (f"{info}/RECORD", record)]:
            archive.writestr(name, text)
    return wheel.name


def test_venv_and_pip_work_with_a_tmpdir_and_install_nothing_outside(workshop):
    need("/usr/bin/python3")
    probe = workshop.bare("/usr/bin/python3", "-c", "import ensurepip; ensurepip.version()")
    if probe.code != 0:
        pytest.skip("Python has no ensurepip")
    wheel = make_wheel(workshop.project)
    (workshop.outside / wheel).write_bytes((workshop.project / wheel).read_bytes())
    options = ["--env", f"TMPDIR={workshop.project}"]
    install = ["v/bin/pip", "install", "--no-index", "--disable-pip-version-check"]

    def confined(*command):
        return workshop.confined("python", *command, options=options, timeout=120)

    succeed(confined("/usr/bin/python3", "-m", "venv", "v"))
    assert confined("v/bin/python", "-c", "import greeting").code != 0
    succeed(confined(*install, wheel))
    assert succeed(confined("v/bin/greet")).stdout == "hello from the wheel\n"
    assert "greeting" in succeed(confined("v/bin/pip", "list")).stdout
    succeed(confined("v/bin/pip", "uninstall", "-y", "greeting"))
    assert confined("v/bin/greet").code != 0

    target = workshop.outside / "target"
    target.mkdir()
    assert confined(*install, "--target", target, wheel).code != 0
    assert confined(*install, workshop.outside / wheel).code != 0
    assert list(target.iterdir()) == []
    succeed(workshop.bare(*install, "--target", target, workshop.outside / wheel, timeout=60))
    assert (target / "greeting.py").exists()


# ---- curl --------------------------------------------------------------------------------------


@contextlib.contextmanager
def web_server():
    """Answers every connection; yields the port and the list of what was received."""
    received = []
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                link, _ = server.accept()
            except OSError:
                return
            with link:
                received.append(link.recv(1000))
                link.sendall(b"HTTP/1.0 200 OK\r\n\r\nhello")

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server.getsockname()[1], received
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def test_curl_cannot_connect(workshop):
    need("curl")
    with web_server() as (port, received):
        command = ["curl", "-sS", "-m", "10", "--data-binary", f"@{workshop.project}/data",
                   f"http://127.0.0.1:{port}/"]
        (workshop.project / "data").write_text("my data")
        assert succeed(workshop.bare(*command)).stdout == "hello"
        assert len(received) == 1
        result = workshop.confined("base", *command)
        assert result.code == 7, result
        assert result.stdout == ""
        assert len(received) == 1


# ---- redis -------------------------------------------------------------------------------------


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def redis_words(port, *more):
    return ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", *more]


def redis_command(port, *words):
    done = subprocess.run(["redis-cli", "-p", str(port), *words], capture_output=True, text=True,
                          timeout=10, check=False)
    return done.stdout.strip()


def wait_for_redis(process, port):
    for _ in range(800):
        if process.poll() is not None:
            pytest.fail(f"redis-server ended: {process.stdout.read()}")
        if redis_command(port, "ping") == "PONG":
            return
        time.sleep(0.05)
    pytest.fail("redis-server does not answer")


@contextlib.contextmanager
def ended(process):
    """Whatever happens, the server does not survive the test."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(timeout=30)
        process.stdout.close()


def test_redis_serves_an_unconfined_client_on_the_allowed_port(workshop):
    need("redis-server", "redis-cli", "redis-benchmark")
    (port,) = free_ports(1)
    options = ["--net-allow-bind", port]
    with ended(workshop.start("redis", *redis_words(port), options=options)) as server:
        wait_for_redis(server, port)
        bench = workshop.bare("redis-benchmark", "-p", port, "-n", 2000, "-q", "-t", "set,get,lpush")
        assert len(re.findall(r"[\d.]+ requests per second", succeed(bench).stdout)) == 3
        assert redis_command(port, "set", "key", "value") == "OK"
        assert redis_command(port, "save") == "OK"
        assert (workshop.project / "dump.rdb").stat().st_size > 0
        redis_command(port, "shutdown", "nosave")
        assert server.wait(timeout=30) == 0


def test_redis_cannot_bind_another_port(workshop):
    need("redis-server", "redis-cli")
    allowed, other = free_ports(2)
    result = workshop.confined("redis", *redis_words(other), options=["--net-allow-bind", allowed])
    assert result.code == 1
    assert f"{other}: bind: {DENIED}" in result.stdout
    with ended(subprocess.Popen(list(map(str, redis_words(other))), cwd=workshop.project, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)) as control:
        wait_for_redis(control, other)


def test_redis_saves_nothing_outside(workshop):
    need("redis-server", "redis-cli")
    (port,) = free_ports(1)
    words = redis_words(port, "--dir", workshop.outside)
    dump = workshop.outside / "dump.rdb"
    with ended(workshop.start("redis", *words, options=["--net-allow-bind", port])) as server:
        wait_for_redis(server, port)
        assert redis_command(port, "save").startswith("ERR")
    assert not dump.exists()
    with ended(subprocess.Popen(list(map(str, words)), text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)) as control:
        wait_for_redis(control, port)
        assert redis_command(port, "save") == "OK"
    assert dump.exists()


# ---- Metadata ----------------------------------------------------------------------------------

# What the supervisor does on behalf: modes, owners and times, by name and by descriptor, through
# links and on them, of files, directories and FIFOs.
METADATA_WORK = """
cp -a source copy
tar cf archive.tar --numeric-owner --sort=name source
mkdir unpacked; tar xpf archive.tar -C unpacked
cp -a source changed
chmod 640 changed/file
chmod u+s,g+s,o-rwx changed/program
chmod -R go-w changed/directory
chmod 1777 changed/directory
chmod 600 changed/fifo
touch -d '2001-02-03 04:05:06.123456789 UTC' changed/file
touch -h -d '2002-03-04 05:06:07.5 UTC' changed/link
touch -d '1969-12-31 23:00:00 UTC' changed/program
touch -r source/file changed/fifo
chown "$(id -u):$(id -g)" changed/file
chgrp -h "$(id -g)" changed/link
install -m 2711 -p source/program changed/installed
mv changed/directory/inner changed/moved
touch -d '2003-01-01 UTC' changed/directory changed
"""


def make_source(directory):
    source = directory / "source"
    (source / "directory").mkdir(parents=True)
    (source / "file").write_text("text\n")
    (source / "program").write_text("#!/bin/sh\n")
    (source / "directory/inner").write_text("inner\n")
    (source / "link").symlink_to("file")
    os.link(source / "file", source / "second-name")
    os.mkfifo(source / "fifo")
    modes = {"file": 0o644, "program": 0o755, "directory/inner": 0o666, "fifo": 0o622,
             "directory": 0o2775, "": 0o711}
    for number, (name, mode) in enumerate(modes.items()):
        os.chmod(source / name, mode)
        os.utime(source / name, ns=(10**18 + number, 10**18 + 1000 * number + 1))
    os.utime(source / "link", ns=(10**18, 10**18 + 7), follow_symlinks=False)


def describe(directory):
    """{name: everything that the programs set} of all objects below a directory and of itself."""
    found = {}
    for where, directories, files in os.walk(directory):
        for name in [".", *directories, *files] if where == str(directory) else directories + files:
            path = os.path.join(where, name)
            info = os.lstat(path)
            attributes = {key: os.getxattr(path, key, follow_symlinks=False)
                          for key in os.listxattr(path, follow_symlinks=False)}
            link = os.readlink(path) if stat.S_ISLNK(info.st_mode) else None
            found[os.path.relpath(path, directory)] = (
                oct(info.st_mode), info.st_uid, info.st_gid, info.st_mtime_ns,
                info.st_nlink if stat.S_ISREG(info.st_mode) else 0, link, attributes)
    return found


def xattrs_are_supported(path):
    try:
        os.setxattr(path, "user.note", b"kept\0whole")
    except OSError as error:
        assert error.errno == errno.ENOTSUP
        return False
    return True


def test_metadata_set_on_behalf_is_the_same_as_unconfined(workshop):
    control = workshop.outside / "control"
    for directory in (workshop.project, control):
        make_source(directory)
        xattrs_are_supported(directory / "source/program")
        os.utime(directory / "source/program", ns=(10**18, 10**18 + 5))
    succeed(workshop.bare("sh", "-ec", METADATA_WORK, cwd=control))
    succeed(workshop.confined("base", "sh", "-ec", METADATA_WORK))
    for name in ("copy", "unpacked/source", "changed"):
        confined = describe(workshop.project / name)
        assert len(confined) >= 8
        assert confined == describe(control / name), name
    assert describe(workshop.project / "copy") == describe(workshop.project / "source")
    archives = [(place / "archive.tar").read_bytes() for place in (workshop.project, control)]
    assert archives[0] == archives[1]


SET_XATTR = 'import os, sys; os.setxattr(sys.argv[1], "user.set", b"value")'


def test_extended_attributes_are_set_and_copied(workshop):
    source = workshop.project / "file"
    source.write_text("text\n")
    if not xattrs_are_supported(source):
        pytest.skip("no user attributes on the file system of the test")
    succeed(workshop.confined("base", "/usr/bin/python3", "-c", SET_XATTR, source))
    succeed(workshop.confined("base", "cp", "-a", "file", "copy"))
    attributes = describe(workshop.project)["copy"][-1]
    assert attributes == {"user.note": b"kept\0whole", "user.set": b"value"}


def outside_acts(place, project):
    """Changes of metadata and content of what lies outside, as (name, command)."""
    return [
        ("chmod", ["chmod", "600", place / "file"]),
        ("chmod -R", ["chmod", "-R", "go-rwx", place]),
        ("touch", ["touch", "-d", "2001-01-01", place / "file"]),
        ("touch -h", ["touch", "-h", "-d", "2001-01-01", place / "link"]),
        ("new file", ["touch", place / "new"]),
        ("cp -a", ["cp", "-a", project / "source", place / "copy"]),
        ("cp -p onto", ["cp", "-p", project / "source/program", place / "file"]),
        ("tar -x", ["tar", "xpf", project / "archive.tar", "-C", place]),
        ("mv in", ["mv", project / "source/file", place / "moved"]),
        ("mv out", ["mv", place / "file", project / "taken"]),
        ("through a link", ["chmod", "600", project / "escape/file"]),
        ("rm", ["rm", "-f", place / "file"]),
    ]


ACTS = [name for name, _ in outside_acts(ROOT, ROOT)]


@pytest.mark.parametrize("act", ACTS)
def test_what_lies_outside_is_not_changed(workshop, act):
    make_source(workshop.project)
    make_source(workshop.outside)
    place = workshop.outside / "source"
    (workshop.project / "escape").symlink_to(place)
    succeed(workshop.bare("tar", "cf", "archive.tar", "source"))
    command = dict(outside_acts(place, workshop.project))[act]
    before = describe(place)
    result = workshop.confined("base", *command)
    assert result.code != 0
    assert DENIED in result.stderr
    assert describe(place) == before
    succeed(workshop.bare(*command))
    assert describe(place) != before


# ---- An interactive shell ----------------------------------------------------------------------

PROMPT = "ready> "


class Terminal:
    """A process as leader of a session with a terminal, and the terminal's other end."""

    def __init__(self, words, cwd, env):
        self.text = ""
        self.status = None
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.chdir(cwd)
                os.execve(words[0], words, env)
            finally:
                os._exit(99)
        attributes = termios.tcgetattr(self.fd)
        attributes[3] &= ~termios.ECHO
        termios.tcsetattr(self.fd, termios.TCSANOW, attributes)

    def expect(self, text, timeout=40):
        """Reads until `text` appears and returns what came before it."""
        end = time.monotonic() + timeout
        while text not in self.text:
            ready, _, _ = select.select([self.fd], [], [], max(0, end - time.monotonic()))
            try:
                data = os.read(self.fd, 4096) if ready else b""
            except OSError:  # EIO: the last process has closed it
                data = b""
            if not data:
                raise AssertionError(f"{text!r} does not appear in {self.text!r}")
            self.text += data.decode(errors="replace")
        before, self.text = self.text.split(text, 1)
        return before

    def send(self, text):
        os.write(self.fd, text.encode())

    def foreground(self):
        """The process group in the foreground of the terminal."""
        return int.from_bytes(fcntl.ioctl(self.fd, termios.TIOCGPGRP, b"\0\0\0\0"), "little")

    def command(self, text):
        """The output of one line of shell."""
        self.send(text + "\n")
        return self.expect(PROMPT).replace("\r", "").replace(text + "\n", "")

    def start(self, text):
        """Starts a command and waits until it is in the foreground."""
        shell = self.foreground()
        self.send(text + "\n")
        end = time.monotonic() + 40
        while self.foreground() == shell:
            assert time.monotonic() < end, f"{text} never came to the foreground"
            time.sleep(0.02)
        time.sleep(0.1)

    def wait(self, timeout=40):
        end = time.monotonic() + timeout
        while self.status is None and time.monotonic() < end:
            ready, _, _ = select.select([self.fd], [], [], 0.05)
            with contextlib.suppress(OSError):
                if ready:
                    os.read(self.fd, 4096)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid != 0:
                self.status = status
        assert self.status is not None, "the shell does not end"
        return os.waitstatus_to_exitcode(self.status)

    def close(self):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


@pytest.fixture(params=["confined", "bare"])
def shell(request, workshop):
    """An interactive bash at its first prompt; .confined tells which of the two it is."""
    need("bash")
    words = ["/bin/bash", "--noprofile", "--norc", "-i"]
    if request.param == "confined":
        words = [workshop.sandlock.binary, *map(str, workshop.words("shell")), *words]
    env = workshop.sandlock.environment({"PS1": PROMPT, "TERM": "dumb", "HISTFILE": ""})
    terminal = Terminal(words, workshop.project, env)
    terminal.confined = request.param == "confined"
    terminal.workshop = workshop
    try:
        greeting = terminal.expect(PROMPT)
        assert "no job control" not in greeting
        terminal.command("bind 'set enable-bracketed-paste off' 2>/dev/null; stty -echo")
        yield terminal
    finally:
        terminal.close()


def test_a_shell_runs_commands_and_returns_its_exit_code(shell):
    assert shell.command("echo a b | tr a-z A-Z") == "A B\n"
    assert shell.command("echo text >file; cat file") == "text\n"
    assert shell.command("[ -t 0 ] && [ -t 1 ] && tty >/dev/null && echo terminal") == "terminal\n"
    shell.send("exit 7\n")
    assert shell.wait() == 7


def test_a_shell_writes_to_its_terminal_by_every_name(shell):
    for name in "/dev/tty", "/dev/stdout", "/dev/stderr", "$(tty)":
        assert shell.command(f"echo by name >{name}") == "by name\n"
    assert shell.command("echo twice | tee /dev/stderr") == "twice\ntwice\n"
    shell.send("read word </dev/stdin; echo got $word\n")
    shell.send("typed\n")
    shell.expect("got typed")


def test_interrupt_ends_the_command_and_not_the_shell(shell):
    shell.start("sleep 100")
    shell.send("\x03")
    shell.expect(PROMPT)
    assert shell.command("echo $?") == "130\n"


def test_a_command_is_stopped_and_continued(shell):
    shell.start("cat")
    shell.send("\x1a")
    assert "Stopped" in shell.expect(PROMPT)
    assert re.search(r"\[1\]\+\s+Stopped\s+cat", shell.command("jobs"))
    shell.start("fg")
    shell.send("hello\n")
    shell.expect("hello\r\n")
    shell.send("\x04")
    shell.expect(PROMPT)
    assert shell.command("jobs; echo $?") == "0\n"


def test_background_jobs_work(shell):
    assert re.search(r"\[1\] \d+", shell.command("sleep 100 &"))
    assert re.search(r"Running\s+sleep 100", shell.command("jobs"))
    shell.command("kill %1; wait")
    assert shell.command("jobs") in ("", "[1]+  Terminated              sleep 100\n")


def test_the_end_of_the_terminal_input_ends_the_shell(shell):
    shell.command("(exit 3)")
    shell.send("\x04")
    assert shell.wait() == 3


def test_a_shell_reaches_its_own_directory_only(shell):
    place = shell.workshop
    victim = subprocess.Popen(["sleep", "100"])
    try:
        output = shell.command(f"cat {place.secret}")
        written = shell.command(f"echo x >{place.outside}/new; echo $?")
        killed = shell.command(f"kill -TERM {victim.pid}; echo $?")
        if shell.confined:
            assert DENIED in output and "the secret" not in output
            assert written.endswith("1\n") and not (place.outside / "new").exists()
            assert killed.endswith("1\n") and victim.poll() is None
        else:
            assert output == "the secret\n"
            assert written == "0\n" and (place.outside / "new").exists()
            assert killed == "0\n" and victim.wait(timeout=30) == -signal.SIGTERM
    finally:
        victim.kill()
        victim.wait()
