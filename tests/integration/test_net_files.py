"""Files that tell of the network: /etc/hosts, /proc/net, /sys/class/net."""

import errno
import json
import os
import pathlib
import socket
import subprocess

import pytest

LOOPBACK = "127.0.0.1 localhost\n::1 localhost\n"
NAMES = "dev if_inet6 route ipv6_route fib_trie arp tcp tcp6 udp udp6 unix sockstat sockstat6".split()
PYTHON = ["/usr/bin/python3", "-I", "-S", "-B", "-c"]
RULE = ["--net-allow", "127.0.0.1:1"]

HELPERS = """
import ctypes, errno, os, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    result = libc.syscall(number, *arguments)
    return result if result >= 0 else errno.errorcode[ctypes.get_errno()]
def name_of(function, *arguments):
    try:
        result = function(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    if isinstance(result, int) and not isinstance(result, bool):
        os.close(result)
    return "OK"
def opened(path, flags=os.O_RDONLY, **options):
    return name_of(lambda: os.open(path, flags, **options))
def openat2(directory, path, flags=0, resolve=0):
    how = struct.pack("QQQ", flags, 0, resolve)
    for _ in range(1000):
        answer = call(437, directory, os.fsencode(path), how, len(how))
        if answer != "EAGAIN": # a scoped walk of the kernel's, while somebody renamed something: openat2(2)
            break
    return answer
def text(path):
    with open(path, "rb") as stream:
        return stream.read().decode()
def fd_text(fd):
    return os.read(fd, 65536).decode() if isinstance(fd, int) else fd
def say(name, value):
    print(f"{name}: {value!r}")
"""


def python(sandlock, options, code, *arguments, base=True):
    """Runs code inside and returns what it said."""
    words = [*options, "--", *PYTHON, HELPERS + code, *map(str, arguments)]
    result = sandlock.run(*words) if base else sandlock("run", *words)
    assert result.code == 0, result
    said = {}
    for line in result.stdout.splitlines():
        name, _, value = line.partition(": ")
        said[name] = eval(value)  # repr() of the code above
    return said


# ---- /etc/hosts -----------------------------------------------------------------------------------


@pytest.mark.root
def test_nobody_changes_the_hosts_file_of_the_sandbox(sandlock):
    """All members read the same memory."""
    code = """
import os
for path in ("/etc/hosts", "/proc/net/dev"):
    fd = os.open(path, os.O_RDONLY)
    for act in (lambda: os.fchmod(fd, 0), lambda: os.utime(fd, (1, 1)), lambda: os.chown(fd, -1, os.getgid())):
        try: act(); print("changed")
        except PermissionError: print("refused")
    seen = os.fstat(os.open(path, os.O_RDONLY))
    print(oct(seen.st_mode & 0o7777), seen.st_mtime > 1)
own = os.memfd_create("own")
os.fchmod(own, 0o600)
print(oct(os.fstat(own).st_mode & 0o7777))
"""
    result = sandlock.run(*RULE, "-r", "/proc", "--", "/usr/bin/python3", "-I", "-S", "-c", code)
    assert result.stdout.splitlines() == [*(["refused"] * 3 + ["0o444 True"]) * 2, "0o600"], result


def test_without_rules_the_hosts_file_is_the_hosts(sandlock):
    result = sandlock.run("--", "/bin/cat", "/etc/hosts")
    assert result.stdout == pathlib.Path("/etc/hosts").read_text()


@pytest.mark.root
@pytest.mark.parametrize("grant", [[], ["-r", "/etc"], ["-r", "/etc/hosts"], ["-r", "/"]])
def test_with_rules_it_is_the_sandboxes_own_with_and_without_a_grant(sandlock, grant):
    base = [word for path in ("/usr", "/lib", "/lib64", "/bin") if os.path.exists(path) for word in ("-r", path)]
    result = sandlock("run", *base, *grant, *RULE, "--", "/bin/cat", "/etc/hosts")
    assert result.stdout == LOOPBACK, result


def test_names_of_rules_follow_the_loopback_lines(sandlock):
    result = sandlock.run("--net-allow", "localhost:80", "--", "/bin/cat", "/etc/hosts")
    assert result.stdout.startswith(LOOPBACK)
    assert all(line.split()[1] == "localhost" for line in result.stdout.splitlines())


@pytest.mark.root
@pytest.mark.openat2
def test_every_spelling_reads_the_same(sandlock, area):
    (area / "link").symlink_to("/etc/hosts")
    (area / "chain").symlink_to("link")
    (area / "directory").symlink_to("/etc")
    said = python(sandlock, [*RULE, "-w", area], """
area = sys.argv[1]
for path in ("/etc/hosts", "//etc/hosts", "/etc/../etc/hosts", "/etc/./hosts", "/proc/self/root/etc/hosts",
             area + "/link", area + "/chain", area + "/directory/hosts", f"/proc/{os.getpid()}/root/etc/hosts",
             "/proc/thread-self/root/etc/hosts"):
    say("open " + path.replace(area, "AREA").replace(str(os.getpid()), "PID"), text(path))
    say("openat2 " + path.replace(area, "AREA").replace(str(os.getpid()), "PID"), fd_text(openat2(-100, path)))
etc = os.open("/etc", os.O_RDONLY)
say("dirfd", fd_text(os.open("hosts", os.O_RDONLY, dir_fd=etc)))
say("dirfd openat2", fd_text(openat2(etc, "hosts")))
say("dirfd beneath", fd_text(openat2(etc, "./hosts", 0, 0x08)))
root = os.open("/", os.O_PATH)
say("in root", fd_text(openat2(root, "/etc/hosts", 0, 0x10)))
say("plain open", fd_text(call(2, b"/etc/hosts", 0)) if os.uname().machine == "x86_64" else "skip")
os.chdir("/etc")
say("cwd", text("hosts"))
say("cwd dots", text("../etc/hosts"))
say("cwd magic", text("/proc/self/cwd/hosts"))
path_only = os.open("/etc/hosts", os.O_PATH)
say("reopened", text(f"/proc/self/fd/{path_only}"))
fd = os.open("/etc/hosts", os.O_RDONLY)
say("again", text(f"/proc/self/fd/{fd}"))
say("no links", openat2(-100, area + "/link", 0, 0x04))
""", area)
    assert said.pop("no links") == "ELOOP"
    if said["plain open"] == "skip":
        said.pop("plain open")
    assert {name for name, value in said.items() if value != LOOPBACK} == set()
    assert len(said) >= 30


@pytest.mark.root
def test_flags_of_an_open(sandlock):
    said = python(sandlock, RULE, """
import fcntl
say("write", opened("/etc/hosts", os.O_WRONLY))
say("both", opened("/etc/hosts", os.O_RDWR))
say("truncate", opened("/etc/hosts", os.O_RDONLY | os.O_TRUNC))
say("directory", opened("/etc/hosts", os.O_DIRECTORY))
say("new", opened("/etc/hosts", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
say("slash", opened("/etc/hosts/"))
say("below", opened("/etc/hosts/x"))
fd = os.open("/etc/hosts", os.O_RDONLY)
say("cloexec", fcntl.fcntl(fd, fcntl.F_GETFD))
raw = call(257, -100, b"/etc/hosts", 0) if os.uname().machine == "x86_64" else call(56, -100, b"/etc/hosts", 0)
say("inherited", fcntl.fcntl(raw, fcntl.F_GETFD))
say("mode", fcntl.fcntl(fd, fcntl.F_GETFL) & 3)
say("written", name_of(lambda: os.write(fd, b"x")))
os.lseek(fd, 0, 0)
other = os.open("/etc/hosts", os.O_RDONLY)
os.read(other, 10)
say("own position", os.lseek(fd, 0, 1))
say("reopened for writing", opened(f"/proc/self/fd/{fd}", os.O_WRONLY) != "OK" or
    name_of(lambda: os.ftruncate(os.open(f"/proc/self/fd/{fd}", os.O_WRONLY), 0)) != "OK")
say("still", text("/etc/hosts"))
""")
    assert said.pop("new") in ("EEXIST", "EACCES")
    assert said == {
        "write": "EACCES", "both": "EACCES", "truncate": "EACCES", "directory": "ENOTDIR", "slash": "ENOTDIR",
        "below": "ENOTDIR", "cloexec": 1, "inherited": 0, "mode": 0, "written": "EBADF", "own position": 0,
        "reopened for writing": True, "still": LOOPBACK,
    }


@pytest.mark.root
def test_the_neighbours_stay_readable(sandlock):
    """The grant on /etc is split around the hosts file."""
    said = python(sandlock, RULE, """
say("passwd", text("/etc/passwd"))
say("listed", sorted(os.listdir("/etc")))
say("below", opened("/etc/ld.so.conf.d"))
""")
    assert said["passwd"] == pathlib.Path("/etc/passwd").read_text()
    assert said["listed"] == sorted(os.listdir("/etc"))
    assert said["below"] in ("OK", "ENOENT")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can put a file into /etc")
def test_a_file_put_beside_it_later_is_readable(sandlock):
    new = pathlib.Path(f"/etc/sandlock-test-late-{os.getpid()}")
    process = sandlock.start(*RULE, "--", "/bin/sh", "-c", f"echo ready; read x; cat {new}", stdin=-1)
    try:
        assert process.stdout.readline() == "ready\n"
        new.write_text("late\n")
        assert process.communicate("go\n", timeout=20)[0] == "late\n"
    finally:
        new.unlink(missing_ok=True)
        process.kill()
        process.wait()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: members with fewer rights")
@pytest.mark.other_users
def test_a_file_that_is_opened_for_a_member_needs_the_members_rights(sandlock):
    """Such files the kernel does not open for the sandbox by itself: one put beside /etc/hosts later, one of /proc."""
    roots, users = (pathlib.Path(f"/etc/sandlock-test-{name}-{os.getpid()}") for name in ("roots", "users"))
    bare = "--clear-groups --bounding-set=-all --inh-caps=-all"
    # Containers put /dev/null over it.
    timers = " /proc/timer_list" if os.path.isfile("/proc/timer_list") else ""
    script = (f"all='{roots} {users}{timers}' other='{roots}{timers}'; say() {{ for f in $2; do "
              "$3 head -c 4 $f >/dev/null 2>&1 && echo $1 $f; done; }; echo ready; read x; "
              f"say root \"$all\"; say user \"$other\" 'setpriv --reuid=1234 --regid=1234 {bare}'; say bare \"$all\" 'setpriv {bare}'")
    words = ["/bin/sh", "-c", script]
    expected = {f"root {roots}", f"root {users}", f"bare {roots}"}
    if timers:
        expected |= {"root /proc/timer_list", "bare /proc/timer_list"}
    process = sandlock.start(*RULE, "-r", "/proc", "-w", "/dev/null", "--", *words, stdin=-1)
    try:
        assert process.stdout.readline() == "ready\n"
        for file, owner in ((roots, 0), (users, 1234)):
            file.write_text("late\n")
            file.chmod(0o400)
            os.chown(file, owner, owner)
        assert set(process.communicate("go\n", timeout=20)[0].splitlines()) == expected
        unconfined = subprocess.run(words, input="go\n", capture_output=True, encoding="utf-8", check=False)
        assert set(unconfined.stdout.splitlines()) == expected | {"ready"}
    finally:
        roots.unlink(missing_ok=True)
        users.unlink(missing_ok=True)
        process.kill()
        process.wait()


OTHER_USER = """
import errno, os, subprocess, time
other = subprocess.Popen(["setpriv", "--bounding-set=-all", "--inh-caps=-all", "sleep", "60"])
entry = f"/proc/{other.pid}"
while open(entry + "/comm").read() != "sleep\\n": time.sleep(0.01)
def attempt(name, act):
    try: act(); print(name, "OK", flush=True)
    except OSError as error: print(name, errno.errorcode[error.errno], flush=True)
def look(who):
    reader, writer = os.pipe()
    for name in ("maps", "smaps_rollup", "fdinfo/0", "auxv", "status", "root/etc/passwd", "fd"):
        attempt(f"{who} other {name}", lambda: os.close(os.open(f"{entry}/{name}", os.O_RDONLY)))
    for name in ("maps", "smaps_rollup", "environ", f"fdinfo/{reader}", f"fd/{reader}", "fd", "task", "status"):
        attempt(f"{who} own {name.rstrip('0123456789')}", lambda: os.close(os.open(f"/proc/self/{name}", os.O_RDONLY)))
    attempt(f"{who} closed directory", lambda: os.close(os.open("/proc/tty/driver/serial", os.O_RDONLY)))
    attempt(f"{who} list", lambda: os.listdir("/proc/self/fd"))
def become():
    os.setgroups([])
    os.setresgid(1234, 1234, 1234)
    os.setresuid(1234, 1234, 1234)
look("root")
if os.fork() == 0:
    become()
    look("changed")
    os._exit(0)
os.wait()
other.kill()
"""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: members of another user")
@pytest.mark.other_users
def test_a_member_of_another_user_finds_in_proc_what_the_kernel_shows_it(sandlock):
    """The supervisor walks and opens there: with the member's rights, and what is the member's own stays its own."""
    words = [*PYTHON, OTHER_USER]
    unconfined = subprocess.run(words, capture_output=True, encoding="utf-8", check=True).stdout.splitlines()
    confined = sandlock.run(*RULE, "-r", "/proc", "-r", "/etc/passwd", "--", *words)
    assert confined.stdout.splitlines() == unconfined, confined
    for line in ("root other maps OK", "changed other maps EACCES", "changed other fdinfo/0 EACCES",
                 "changed other status OK", "changed own maps OK", "changed list OK"):
        assert line in unconfined


@pytest.mark.root
def test_under_a_write_grant_it_is_the_sandboxes_own_and_cannot_be_written(sandlock):
    before = pathlib.Path("/etc/hosts").read_bytes()
    for grant in ("/etc", "/"):
        said = python(sandlock, ["-w", grant, *RULE], """
say("read", text("/etc/hosts"))
say("write", opened("/etc/hosts", os.O_WRONLY))
say("both", opened("/etc/hosts", os.O_RDWR | os.O_CREAT))
""")
        assert said == {"read": LOOPBACK, "write": "EACCES", "both": "EACCES"}, grant
        assert "a write grant covers /etc/hosts" in posture(sandlock, "-w", grant, *RULE)
    assert pathlib.Path("/etc/hosts").read_bytes() == before


UNUSUAL = """
import threading
area = sys.argv[1]
write_only = ctypes.CDLL(None).mmap
write_only.restype = ctypes.c_void_p
def in_write_only_memory(path):
    place = write_only(None, ctypes.c_size_t(4096), 3, 0x22, -1, ctypes.c_long(0))
    ctypes.memmove(place, path + b"\\0", len(path) + 1)
    assert libc.mprotect(ctypes.c_void_p(place), ctypes.c_size_t(4096), 2) == 0
    return ctypes.c_void_p(place)
def long_how(size, tail=b""):
    how = (struct.pack("QQQ", 0, 0, 0) + tail).ljust(size, b"\\0")
    return call(437, -100, b"/etc/hosts", how, ctypes.c_size_t(size))
number = {"x86_64": 257, "aarch64": 56, "riscv64": 56}[os.uname().machine]
stop = threading.Event()
thread = threading.Thread(target=stop.wait)
thread.start()
read_end, write_end = os.pipe()
etc = os.open("/etc", os.O_PATH)
child = os.fork()
if child == 0:
    os.close(write_end)
    os.read(read_end, 1)
    os._exit(0)
say("how of 32", fd_text(long_how(32)))
say("how of a page", fd_text(long_how(4096)))
say("how of more", long_how(4104))
say("how with news", long_how(32, b"\\1"))
say("how too short", long_how(16))
say("write-only memory", fd_text(call(number, -100, in_write_only_memory(b"/etc/hosts"), 0)))
def spell(name, path, **options):
    try:
        say(name, fd_text(os.open(path, os.O_RDONLY, **options)))
    except OSError as error:
        say(name, errno.errorcode[error.errno])
spell("a member's root", f"/proc/{child}/root/etc/hosts")
spell("another thread's root", f"/proc/self/task/{thread.native_id}/root/etc/hosts")
spell("a member's descriptor", f"/proc/{child}/fd/{etc}/hosts")
spell("dots", "/proc/self/../self/root/etc/hosts")
spell("dots to a thread", f"/proc/self/../self/task/{thread.native_id}/root/etc/hosts")
for name, target in (("root", "/proc/self/root/etc/hosts"), ("descriptor", f"/proc/self/fd/{etc}"),
                     ("thread", f"/proc/self/task/{thread.native_id}/root"),
                     ("member", f"/proc/{child}/root/etc/hosts")):
    os.symlink(target, f"{area}/to-{name}")
spell("link to root", area + "/to-root")
spell("link to a descriptor", area + "/to-descriptor/hosts")
spell("link to a thread", area + "/to-thread/etc/hosts")
spell("link to a member", area + "/to-member")
os.symlink(f"/proc/self/task/{thread.native_id}/root/etc/hosts", area + "/to-a-thread")
spell("link to a thread's root", area + "/to-a-thread")
say("how of a link", fd_text(openat2(-100, area + "/to-root")))
os.chdir("/proc/self")
spell("from /proc/self", "root/etc/hosts")
os.chdir("/proc")
spell("from /proc", "self/root/etc/hosts")
spell("from /proc to a thread", f"self/task/{thread.native_id}/root/etc/hosts")
spell("by a directory", "self/root/etc/hosts", dir_fd=os.open("/proc", os.O_PATH))
spell("foreign root", f"/proc/{sys.argv[2]}/root/etc/hosts")
say("loop", opened(f"/proc/{child}/root{area}/loop") if not os.symlink("loop", area + "/loop") else 0)
say("other file", fd_text(os.open(f"/proc/{child}/root/etc/passwd", os.O_RDONLY)) == text("/etc/passwd"))
say("missing", opened(f"/proc/{child}/root/etc/sandlock-none"))
say("new", opened(f"/proc/{child}/root{area}/new", os.O_CREAT | os.O_WRONLY))
say("slash", opened(f"/proc/{child}/root/etc/passwd/"))
say("no magic links", openat2(-100, f"/proc/{child}/root/etc/hosts", 0, 0x02))
say("beneath", openat2(os.open("/", os.O_PATH), f"proc/{child}/root/etc/hosts", 0, 0x08))
os.close(write_end)
stop.set()
"""


@pytest.mark.root
@pytest.mark.parametrize("options", [["-r", "/etc"], ["-r", "/"], ["-w", "/etc"], ["-w", "/"],
                                     ["-w", "/etc", "-r", "/proc"], ["-w", "/etc", "--explain"]])
@pytest.mark.openat2
def test_an_unusual_call_does_not_read_the_hosts_either(sandlock, area, options):
    """What the supervisor cannot read or walk is refused where a write grant covers the file."""
    covered = "-w" in options
    said = python(sandlock, ["-w", area, *options, *RULE], UNUSUAL, area, os.getpid())
    refusals = {
        "how of more": "E2BIG", "how with news": "E2BIG", "how too short": "EINVAL", "loop": "ELOOP", "missing": "ENOENT",
        "new": "OK", "slash": "ENOTDIR", "no magic links": "ELOOP", "foreign root": "EACCES", "other file": True,
        "write-only memory": "EFAULT" if covered else "EACCES", "beneath": said["beneath"],
    }
    assert said["beneath"] in ("ELOOP", "EXDEV")
    if not covered:  # the kernel refuses
        for name in ("link to a thread", "link to a thread's root"):
            assert said.pop(name) in (LOOPBACK, "EACCES")
    assert {name: said.pop(name) for name in refusals} == refusals
    assert {name: value for name, value in said.items() if value != LOOPBACK} == {}
    assert len(said) >= 14


def test_without_the_view_it_is_the_hosts(sandlock):
    result = sandlock.run("--without", "hosts-view", *RULE, "--", "/bin/cat", "/etc/hosts")
    assert result.stdout == pathlib.Path("/etc/hosts").read_text()


# ---- /proc/net --------------------------------------------------------------------------------------

PROC = ["-r", "/proc"]


@pytest.mark.root
@pytest.mark.parametrize("grant", [["-r", "/proc"], ["-r", "/"]])
def test_the_catalogue_is_closed(sandlock, grant):
    said = python(sandlock, grant, """
import threading
pid, tid = os.getpid(), threading.get_native_id()
for path in ("/proc/net", "/proc/self/net", "/proc/thread-self/net", f"/proc/{pid}/net",
             f"/proc/{pid}/task/{tid}/net", f"/proc/self/task/{tid}/net", "/proc/../proc/./net/"):
    say(path.replace(str(pid), "PID"), os.listdir(path))
os.chdir("/proc/net")
say("cwd", os.listdir("."))
for name in ("snmp", "netstat", "netlink", "packet", "raw", "ptype", "psched", "dev_snmp6", "nothing"):
    say("no " + name, opened("/proc/net/" + name))
say("below", opened("/proc/net/tcp/x"))
""")
    for name in [name for name in said if name.startswith("no ")]:
        assert said.pop(name) == "ENOENT", name
    assert said.pop("below") == "ENOENT"
    assert {name: value for name, value in said.items() if value != NAMES} == {}


@pytest.mark.root
def test_fixed_contents_tell_of_a_loopback_interface(sandlock):
    said = python(sandlock, PROC, """
for name in ("dev", "if_inet6", "route", "ipv6_route", "fib_trie", "arp"):
    say(name, text("/proc/net/" + name))
    for path in ("/proc/self/net/", "/proc/thread-self/net/", f"/proc/{os.getpid()}/net/"):
        assert text(path + name) == text("/proc/net/" + name), path
""")
    header = pathlib.Path("/proc/net/dev").read_text().splitlines()[:2]
    assert said["dev"].splitlines()[:2] == header
    assert [line.split() for line in said["dev"].splitlines()[2:]] == [["lo:"] + ["0"] * 16]
    assert said["if_inet6"] == "00000000000000000000000000000001 01 80 10 80       lo\n"
    assert said["route"].splitlines()[1].split() == "lo 0000007F 00000000 0001 0 0 0 000000FF 0 0 0".split()
    assert len(said["ipv6_route"].split()) == 10
    assert said["ipv6_route"].split()[-1] == "lo"
    assert "127.0.0.0/8 1 0 0" in said["fib_trie"]
    assert said["fib_trie"].count("/32 host LOCAL") == 2
    assert said["arp"].count("\n") == 1


@pytest.mark.root
@pytest.mark.ipv6
@pytest.mark.pidfd_getfd
def test_only_own_sockets_are_listed(sandlock):
    with socket.socket() as foreign, socket.socket(socket.AF_UNIX) as unix:
        foreign.bind(("127.0.0.1", 0))
        foreign.listen()
        unix.bind(f"\0sandlock-test-foreign-{os.getpid()}")
        code = """
foreign = "%04X" % int(sys.argv[1])
say("empty", len(text("/proc/net/tcp").splitlines()))
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
port = "%04X" % listener.getsockname()[1]
six = socket.socket(socket.AF_INET6)
six.bind(("::1", 0))
six.listen()
copies = [os.dup(listener.fileno()) for _ in range(3)]
child = os.fork()
if child == 0:
    os.read(0, 1)
    os._exit(0)
name = socket.socket(socket.AF_UNIX)
name.bind(f"\\0mine{os.getpid()}\\0x")
name.listen()
pair = socket.socketpair()
rows = [line.split() for line in text("/proc/net/tcp").splitlines()[1:]]
say("rows", len(rows))
say("fields", {len(row) for row in rows})
say("address", rows[0][1] == "0100007F:" + port)
say("state", rows[0][3])
say("inode", int(rows[0][9]) == os.fstat(listener.fileno()).st_ino)
say("uid", int(rows[0][7]) == os.getuid())
say("tcp6", len(text("/proc/net/tcp6").splitlines()))
say("foreign", foreign in text("/proc/net/tcp"))
unix = text("/proc/net/unix")
say("unix own", f"@mine{os.getpid()}@x" in unix)
say("unix foreign", "foreign" in unix)
say("unix rows", len(unix.splitlines()) - 1)
say("sockstat", text("/proc/net/sockstat").splitlines()[:2])
os.kill(child, 9)
os.waitpid(child, 0)
for fd in copies:
    os.close(fd)
say("before", len(text("/proc/net/tcp").splitlines()))
listener.close()
say("after", len(text("/proc/net/tcp").splitlines()))
"""
        said = python(sandlock, [*PROC, "--net-allow-bind", "*"], code, foreign.getsockname()[1])
    assert said == {
        "empty": 1, "rows": 1, "fields": {17}, "address": True, "state": "0A", "inode": True, "uid": True, "tcp6": 2,
        "foreign": False, "unix own": True, "unix foreign": False, "unix rows": 3,
        "sockstat": ["sockets: used 5", "TCP: inuse 1 orphan 0 tw 0 alloc 2 mem 0"], "before": 2, "after": 1,
    }


@pytest.mark.root
@pytest.mark.pidfd_getfd
def test_rows_of_connections_ports_and_threads(sandlock):
    """A connection outward has both ends; a remapped port is the one the member knows; every thread has
    the same view; and sockets of the routing kind are no rows at all."""
    with socket.socket() as peer, socket.socket() as holder:
        for one in (peer, holder):
            one.bind(("127.0.0.1", 0))
            one.listen()
        port, taken = peer.getsockname()[1], holder.getsockname()[1]
        options = [*PROC, "--net-allow", f"tcp://127.0.0.1:{port}", "--net-allow-bind", taken, "--port-remap"]
        said = python(sandlock, options, """
import threading
port, taken = map(int, sys.argv[1:])
def rows(path="/proc/net/tcp"):
    return [line.split()[1:4] for line in text(path).splitlines()[1:]]
def at(port):
    return "0100007F:%04X" % port
client = socket.create_connection(("127.0.0.1", port))
say("connection", rows() == [[at(client.getsockname()[1]), at(port), "01"]])
client.close()
server = socket.socket()
server.bind(("127.0.0.1", taken))  # the host has it
server.listen()
say("virtual", rows() == [[at(taken), "00000000:0000", "0A"]])
seen = []
def look():
    seen.append([rows(path) for path in ("/proc/thread-self/net/tcp", f"/proc/self/task/{threading.get_native_id()}/net/tcp")])
thread = threading.Thread(target=look)
thread.start()
thread.join()
say("thread", seen == [[rows(), rows()]])
before = text("/proc/net/unix")
with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as routing:
    say("routing", text("/proc/net/unix") == before)
    say("inode", str(os.fstat(routing.fileno()).st_ino) in text("/proc/net/unix"))
with socket.socket(socket.AF_UNIX) as own:
    say("control", text("/proc/net/unix") != before)
""", port, taken)
    assert said == {"connection": True, "virtual": True, "thread": True, "routing": True, "inode": False, "control": True}


@pytest.mark.root
@pytest.mark.pidfd_getfd
def test_udp_rows(sandlock):
    said = python(sandlock, [*PROC, "--net-allow", "udp://127.0.0.1:*"], """
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", 0))
rows = [line.split() for line in text("/proc/net/udp").splitlines()[1:]]
say("rows", len(rows))
say("fields", len(rows[0]))
say("address", rows[0][1] == "0100007F:%04X" % udp.getsockname()[1])
say("state", rows[0][3])
""")
    assert said == {"rows": 1, "fields": 13, "address": True, "state": "07"}


@pytest.mark.root
@pytest.mark.openat2
def test_flags_and_spellings_of_the_catalogue(sandlock):
    said = python(sandlock, PROC, """
say("write", opened("/proc/net/tcp", os.O_WRONLY))
say("truncate", opened("/proc/net/dev", os.O_RDONLY | os.O_TRUNC))
say("create", opened("/proc/net/dev", os.O_CREAT))
say("directory", opened("/proc/net/dev", os.O_DIRECTORY))
say("slash", opened("/proc/net/dev/"))
say("path", opened("/proc/net/dev", os.O_PATH))
say("path missing", opened("/proc/net/none", os.O_PATH))
say("nofollow", opened("/proc/net", os.O_NOFOLLOW))
say("no symlinks", openat2(-100, "/proc/net/dev", 0, 0x04))
say("no magic links", fd_text(openat2(-100, "/proc/net/dev", 0, 0x02))[:6])
root = os.open("/", os.O_PATH)
say("in root", fd_text(openat2(root, "/proc/net/arp", 0, 0x10))[:10])
net = os.open("/proc/net", os.O_RDONLY)
say("dirfd", fd_text(os.open("arp", os.O_RDONLY, dir_fd=net))[:10])
say("dirfd missing", opened("snmp", dir_fd=net))
os.chdir("/proc/self/net")
say("cwd", text("arp")[:10])
say("root link", text("/proc/self/root/proc/net/arp")[:10])
""")
    arp = "IP address"
    assert said == {
        "write": "EACCES", "truncate": "EACCES", "create": "EACCES", "directory": "ENOTDIR", "slash": "ENOTDIR",
        "path": errno.errorcode[errno.EOPNOTSUPP], "path missing": "ENOENT", "nofollow": "ELOOP", "no symlinks": "ELOOP",
        "no magic links": "Inter-", "in root": arp, "dirfd": arp, "dirfd missing": "ENOENT", "cwd": arp,
        "root link": arp,
    }


@pytest.mark.root
@pytest.mark.parametrize("name", ["getdents64", "getdents"])
def test_the_directory_stream(sandlock, name):
    legacy = name == "getdents"  # the type of an entry is its last byte
    if legacy and os.uname().machine != "x86_64":
        pytest.skip("this machine has no such call")
    said = python(sandlock, PROC, f"legacy = {legacy}" + """
number = 78 if legacy else {"x86_64": 217, "aarch64": 61, "riscv64": 61}[os.uname().machine]
def names(data):
    found, at = [], 0
    while at < len(data):
        inode, _, length = struct.unpack_from("=QQH", data, at)
        kind = data[at + length - 1 if legacy else at + 18]
        start = at + (18 if legacy else 19)
        found.append((inode, kind, data[start:at + length].split(b"\\0")[0].decode()))
        at += length
    return found
fd = os.open("/proc/net", os.O_RDONLY | os.O_DIRECTORY)
buffer = ctypes.create_string_buffer(4096)
def read(descriptor, size=4096):
    got = call(number, descriptor, buffer, size)
    return got if not isinstance(got, int) else names(buffer.raw[:got])
say("small", read(fd, 8))
say("fault", call(number, fd, 8, 4096))
say("first", read(fd, 24))
copy = os.dup(fd)
say("second", read(copy, 24))
rest = read(fd)
say("rest", [name for _, _, name in rest])
say("inodes", [inode for inode, _, _ in rest])
say("kinds", {kind for _, kind, _ in rest})
say("end", read(copy))
os.lseek(copy, 0, 0)
say("rewound", len(read(fd)))
""")
    assert said["small"] == "EINVAL"
    assert said["fault"] == "EFAULT"
    assert said["first"] == [(2, 4, ".")]
    assert said["second"] == [(1, 4, "..")]
    assert said["rest"] == NAMES
    assert said["inodes"] == list(range(3, 16))
    assert said["kinds"] == {8}
    assert said["end"] == []
    assert said["rewound"] == 15


BUSY_FILE = """
import threading, time
fd = os.open(sys.argv[1], os.O_RDONLY)
room = [bytearray(1 << 21)] * 32
done = []
ended = False
def read_on():
    while not ended:
        os.lseek(fd, 0, os.SEEK_SET)
        os.readv(fd, room)
        done.append(1)
readers = [threading.Thread(target=read_on, daemon=True) for _ in range(4)]
for reader in readers:
    reader.start()
while len(done) < len(readers):
    time.sleep(0.01)
answers, waited = set(), 0
for _ in range(20):
    time.sleep(0.005) # a call right after another takes the lock before those who sleep for it
    before = len(done)
    answers.add(call(217, fd, ctypes.create_string_buffer(64), 64))
    waited += len(done) > before
ended = True
for reader in readers:
    reader.join()
say("answers", answers)
say("calls that waited", waited)
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="calls by number")
@pytest.mark.pidfd_getfd
def test_a_listing_does_not_wait_for_readers_of_a_file(sandlock, area):
    """Each holds the file's position for as long as it reads, and whoever asks for it stands in line."""
    big = area / "big"
    with open(big, "wb") as stream:
        stream.truncate(64 << 20)
    native = python(sandlock, ["-w", area], BUSY_FILE, big)
    said = python(sandlock, ["-r", "/proc", "-w", area], BUSY_FILE, big)
    assert native["answers"] == said["answers"] == {"ENOTDIR"}
    assert native["calls that waited"] > 2 * said["calls that waited"] + 4


@pytest.mark.root
def test_which_grant_reaches_it(sandlock):
    code = 'say("net", opened("/proc/net/dev")); say("self", opened("/proc/self/net/dev"))'
    assert python(sandlock, [], code) == {"net": "EACCES", "self": "EACCES"}
    assert python(sandlock, ["-r", "/proc/self"], code) == {"net": "EACCES", "self": "EACCES"}
    assert python(sandlock, ["-r", "/proc/net"], code) == {"net": "OK", "self": "OK"}
    assert python(sandlock, ["-r", "/proc/self/net/dev"], code) == {"net": "OK", "self": "OK"}


@pytest.mark.root
def test_the_rest_of_proc_is_the_callers_own(sandlock):
    said = python(sandlock, PROC, """
say("listed", [int(name) for name in os.listdir("/proc") if name.isdigit()] == [os.getpid()])
say("others", {"cpuinfo", "self", "net", "sys"} <= set(os.listdir("/proc")))
say("own", f"Pid:\\t{os.getpid()}\\n" in text("/proc/self/status"))
child = os.fork()
if child == 0:
    ok = f"Pid:\\t{os.getpid()}\\n" in text("/proc/self/status")
    os._exit(0 if ok else 1)
say("child", os.waitpid(child, 0)[1])
child = os.fork()
if child == 0:
    import time
    time.sleep(20)
    os._exit(0)
say("member", opened(f"/proc/{child}/status"))
say("its memory", opened(f"/proc/{child}/mem"))
os.kill(child, 9)
say("supervisor", opened(f"/proc/{sys.argv[1]}/status"))
say("foreign net", opened(f"/proc/{sys.argv[1]}/net/tcp"))
say("init", opened("/proc/1/environ"))
say("cpuinfo", opened("/proc/cpuinfo"))
say("kcore", opened("/proc/kcore"))
say("mounts", opened("/proc/mounts"))
say("maps", "python" in text("/proc/self/maps"))
say("fd", name_of(lambda: os.listdir("/proc/self/fd")))
say("exe", name_of(lambda: os.readlink("/proc/self/exe")))
say("write", opened("/proc/self/comm", os.O_WRONLY))
""", os.getpid())
    assert said == {
        "listed": True, "others": True, "own": True, "child": 0, "member": "OK", "its memory": "EACCES", "supervisor": "EACCES",
        "foreign net": "EACCES", "init": "EACCES", "cpuinfo": "OK", "kcore": said["kcore"], "mounts": "OK",
        "maps": True, "fd": "OK", "exe": "OK", "write": "EACCES",
    }
    assert said["kcore"] in ("EACCES", "ENOENT")


@pytest.mark.root
def test_a_write_grant_on_proc_writes_own_entries(sandlock):
    said = python(sandlock, ["-w", "/proc"], """
with open("/proc/self/comm", "w") as stream:
    stream.write("renamed")
say("comm", text("/proc/self/comm"))
say("mem", opened("/proc/self/mem", os.O_RDWR))
say("net", opened("/proc/net/dev", os.O_RDWR))
""")
    assert said == {"comm": "renamed\n", "mem": "EACCES", "net": "EACCES"}


@pytest.mark.root
def test_what_is_mounted_over_a_file_of_the_kernels_is_read_with_the_grant_that_is_suggested(sandlock, area):
    """As containers have it whose /proc/meminfo is another file system's (lxcfs)."""
    words = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-Urm"]
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no mount namespace can be made here")
    files = ["/proc/meminfo", "/proc/loadavg"] + (["/sys/power/state"] if os.path.exists("/sys/power/state") else [])
    mounts = "mount -t tmpfs none $1 && echo mounted >$1/file && " + "".join(
        f"mount --bind $1/file {file} && " for file in files)
    log = area / "log"

    def read(*options):
        run = [sandlock.binary, "run", "-r", "/", "--log-denials", log, *options, "--", "cat", *files, "/proc/uptime"]
        done = subprocess.run([*words, "sh", "-c", mounts + 'shift && exec "$@"', "sh", "/mnt", *map(str, run)],
                              capture_output=True, text=True, timeout=20, check=False, env=sandlock.environment())
        records = [json.loads(line) for line in log.read_text().splitlines()]
        log.unlink()
        return done, [(record["object"], record["errno"], record.get("suggest")) for record in records]

    done, records = read()
    # Below /sys/power members' own rules hold.
    assert done.stdout.count("mounted\n") == len(files) - 2 and done.returncode == 1, done
    assert records == [(file, "EACCES", f"--fs-read {file}") for file in files[:2]]
    done, records = read(*[word for _, _, advice in records for word in advice.split()])
    assert (done.returncode, done.stdout.count("mounted\n"), records) == (0, len(files), []), done


@pytest.mark.root
def test_names_of_the_hosts_interfaces_and_locks_of_others_are_refused(sandlock, area):
    family = "/proc/sys/net/ipv4"
    if not os.path.isdir(family + "/conf/lo"):
        pytest.skip("needs /proc/sys/net/ipv4/conf")
    host = sorted(set(os.listdir(family + "/conf")) - {"all", "default", "lo"})
    first = os.path.exists(family + "/neigh/default/gc_interval")  # the machine's first network namespace
    said = python(sandlock, ["-r", "/proc", "-w", area], f"DEFAULT = {first}" + """
say("all", text("/proc/sys/net/ipv4/conf/all/forwarding"))
say("lo", text("/proc/sys/net/ipv4/conf/lo/forwarding"))
say("listed lo", name_of(lambda: os.listdir("/proc/sys/net/ipv4/conf/lo")))
if DEFAULT:
    say("default neighbour", opened("/proc/sys/net/ipv4/neigh/default/gc_interval"))
say("else", opened("/proc/sys/net/ipv4/ip_forward"))
say("families", name_of(lambda: os.listdir("/proc/sys/net/ipv4")))
say("by a path", opened("lo/forwarding", dir_fd=os.open("/proc/sys/net/ipv4/conf", os.O_PATH)))
for kind in ("conf", "neigh"):
    say("refused " + kind, name_of(lambda: os.listdir("/proc/sys/net/ipv4/" + kind)))
for name in sys.argv[2:]:
    say("refused entry " + name, opened(f"/proc/sys/net/ipv4/conf/{name}/forwarding"))
    say("refused list " + name, name_of(lambda: os.listdir(f"/proc/sys/net/ipv4/conf/{name}")))
os.symlink("/proc/sys/net/ipv4/conf", sys.argv[1] + "/link")
say("refused link", name_of(lambda: os.listdir(sys.argv[1] + "/link")))
for path in ("locks", "interrupts", "irq", "irq/default_smp_affinity"):
    say("refused " + path, opened("/proc/" + path))
""", area, *host)
    assert {name: value for name, value in said.items()
            if name.startswith("refused") and value not in ("EACCES", "ENOENT")} == {}
    assert said["refused conf"] == said["refused locks"] == said["refused interrupts"] == "EACCES"
    assert said.pop("all") in "0\n1\n" and said.pop("lo") in "0\n1\n"
    assert {value for name, value in said.items() if not name.startswith("refused")} == {"OK"}


def can_open(path, flags=os.O_RDONLY):
    try:
        os.close(os.open(path, flags))
    except OSError:
        return False
    return True


def firsts(top, names=None):
    """The first file of each name below a directory that can be read, or of any name."""
    found = {}
    for directory, _, files in os.walk(top):
        for name in files:
            key = name if names else "any"
            if key not in found and (names is None or name in names) and can_open(f"{directory}/{name}"):
                found[key] = f"{directory}/{name}"
        if len(found) == len(names or "1"):
            break
    return list(found.values())


KERNEL_OWN = """kcore kmsg kallsyms keys key-users sysrq-trigger kpagecount kpageflags kpagecgroup locks interrupts
    irq/default_smp_affinity sysvipc/shm self/pagemap self/stack self/seccomp_cache""".split()
WRITTEN = """sysrq-trigger self/mem self/uid_map self/gid_map self/setgroups self/projid_map self/attr/current
    self/attr/exec self/attr/keycreate""".split()


@pytest.mark.root
def test_what_the_kernel_keeps_to_itself_is_refused_name_by_name(sandlock):
    """What this user can open outside, that is; the root pass has most of them."""
    read = [path for path in (f"/proc/{name}" for name in KERNEL_OWN) if can_open(path)]
    read += firsts("/sys/firmware") + firsts("/sys/fs/cgroup", {"cgroup.procs", "cgroup.threads", "tasks"})
    written = [path for path in (f"/proc/{name}" for name in WRITTEN) if can_open(path, os.O_WRONLY)]
    assert len(read) > 5 and "/proc/self/mem" in written
    said = python(sandlock, ["-r", "/", "-w", "/proc"], """
for path in filter(None, sys.argv[1].split(" ")):
    say("read " + path, opened(path))
for path in filter(None, sys.argv[2].split(" ")):
    say("write " + path, opened(path, os.O_WRONLY))
say("control", [opened("/proc/cpuinfo"), opened("/sys/kernel/mm/transparent_hugepage/enabled"),
                opened("/proc/self/comm", os.O_WRONLY)])
""", " ".join(read), " ".join(written))
    assert said.pop("control") == ["OK"] * 3
    assert said == {**{f"read {path}": "EACCES" for path in read}, **{f"write {path}": "EACCES" for path in written}}


@pytest.mark.root
def test_without_the_proc_view_the_hosts_proc_is_visible(sandlock):
    options = ["--without", "proc-view", "-r", "/"]
    said = python(sandlock, options, """
say("dev", text("/proc/net/dev"))
say("listed", sys.argv[1] in os.listdir("/proc"))
say("status", opened(f"/proc/{sys.argv[1]}/status"))
say("memory", opened(f"/proc/{sys.argv[1]}/environ"))
say("own", f"Pid:\\t{os.getpid()}\\n" in text("/proc/self/status"))
say("interrupts", opened("/proc/interrupts"))
""", os.getpid())
    assert [line.split(":")[0] for line in said.pop("dev").splitlines()] == [
        line.split(":")[0] for line in pathlib.Path("/proc/net/dev").read_text().splitlines()]
    memory = said.pop("memory")  # since Linux 6.13 CAP_PERFMON opens it to root
    assert memory == "EACCES" or (os.geteuid() == 0 and memory == "OK")
    assert said == {"listed": True, "status": "OK", "own": True, "interrupts": "OK"}
    told = posture(sandlock, *options)
    assert "--without proc-view: the grant on /proc or /sys shows other processes" in told


# ---- /sys ---------------------------------------------------------------------------------------------


@pytest.mark.root
@pytest.mark.skipif(not os.path.isdir("/sys/class/net"), reason="needs /sys/class/net")
def test_interfaces_in_sys_are_refused(sandlock, area):
    (area / "link").symlink_to("/sys/class/net")
    said = python(sandlock, ["-r", "/sys", "-w", area], """
area = sys.argv[1]
for path in ("/sys/class/net", "/sys/class/net/lo", "/sys/class/net/lo/address", "/sys/devices/virtual/net",
             "/sys/devices/virtual/net/lo/mtu", area + "/link"):
    say("net " + path.replace(area, "AREA"), opened(path))
say("list", name_of(lambda: os.listdir("/sys/class/net")))
say("class", name_of(lambda: os.listdir("/sys/class")))
say("cpus", opened("/sys/devices/system/cpu/online"))
for path in ("/sys/kernel/security", "/sys/kernel/irq", "/sys/kernel/irq/1/actions"):
    say("hidden " + path, opened(path))
say("kernel", name_of(lambda: os.listdir("/sys/kernel")))
say("pages", opened("/sys/kernel/mm/transparent_hugepage/enabled"))
say("kernel file", opened("/sys/kernel/uevent_seqnum"))
say("top", name_of(lambda: os.listdir("/sys")))
""", area)
    assert said.pop("class") == "OK"
    assert said.pop("cpus") in ("OK", "ENOENT")
    assert said.pop("top") == said.pop("kernel") == "OK"
    assert {said.pop("pages"), said.pop("kernel file")} <= {"OK", "ENOENT"}
    assert {name for name, value in said.items() if value not in ("EACCES", "ENOENT")} == set()


# ---- What stays visible without a look ------------------------------------------------------------------

# Attributes and link targets of a name, and every way to what is in it.
LOOK_AT = """
import stat
def tells(path):
    try:
        found = os.lstat(path)
    except OSError as error:
        return errno.errorcode[error.errno]
    return stat.S_IFMT(found.st_mode), found.st_uid, os.access(path, os.F_OK), stat.S_ISLNK(found.st_mode) and os.readlink(path)
def chdir_and_open(directory, name):
    os.chdir(directory)
    return os.open(name, os.O_RDONLY)
def list_here(path):
    os.chdir(path)
    return os.listdir(".")
def found(function, *arguments):
    try:
        value = function(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "OK" if isinstance(value, int) else [text for text in value if isinstance(text, str)]
for path in sys.argv[1:]:
    parent, name = os.path.split(path)
    directory = os.open("/", os.O_PATH)
    say("tells " + path, tells(path))
    for flags in (os.O_RDONLY, os.O_RDWR, os.O_RDONLY | os.O_NOFOLLOW, os.O_RDONLY | os.O_DIRECTORY, os.O_RDONLY | os.O_NONBLOCK):
        say(f"open {flags} {path}", found(os.open, path, flags))
    say("relative " + path, found(lambda: os.open(path[1:], os.O_RDONLY, dir_fd=directory)))
    say("working directory " + path, found(chdir_and_open, parent, name))
    say("through a descriptor " + path, found(os.open, f"/proc/self/fd/{directory}{path}", os.O_RDONLY))
    say("in root " + path, openat2(directory, path, 0, 0x10))
    say("walk " + path, found(lambda: [names for _, names, files in os.walk(path) for names in names + files]))
    say("list " + path, found(os.listdir, path))
    say("list here " + path, found(list_here, path))
"""


@pytest.mark.root
@pytest.mark.openat2
def test_hidden_names_can_be_tested_but_neither_read_nor_listed(sandlock):
    """Under a grant of everything looks without a descriptor are the kernel's own, so that they cost nothing."""
    interfaces = [name for name in os.listdir("/sys/class/net") if name != "lo"] if os.path.isdir("/sys/class/net") else []
    paths = ["/proc/net/netlink", "/proc/net/packet", "/proc/net/dev_snmp6", "/proc/net/dev_snmp6/lo", "/proc/net/stat",
             "/sys/class/net", "/sys/class/net/lo/address", "/sys/devices/virtual/net/lo",
             *[f"/sys/class/net/{name}" for name in interfaces], *[f"/proc/net/dev_snmp6/{name}" for name in interfaces]]
    paths = [path for path in paths if os.path.lexists(path)]
    assert paths
    said = python(sandlock, ["-r", "/"], LOOK_AT, *paths)
    for path in paths:
        seen = os.lstat(path)
        link = os.path.islink(path) and os.readlink(path)
        assert said.pop("tells " + path) == (seen.st_mode & 0o170000, seen.st_uid, True, link), path
        assert said.pop("walk " + path) == []
    refusals = ("EACCES", "ENOENT", "ELOOP", "ENOTDIR", "EISDIR")
    assert {what: answer for what, answer in said.items() if answer not in refusals} == {}
    assert said["list " + paths[0]] == "ENOENT"


@pytest.mark.root
def test_the_listing_of_proc_net_is_the_catalogue_by_every_way_to_it(sandlock):
    said = python(sandlock, ["-r", "/"], """
pinned = os.open("/proc/self/net", os.O_PATH)
say("pinned", os.listdir(os.open(".", os.O_RDONLY, dir_fd=pinned)))
say("descriptor", os.listdir(f"/proc/self/fd/{pinned}"))
os.chdir("/proc/net")
say("here", os.listdir("."))
say("above", os.listdir("../net"))
say("working directory", os.listdir("/proc/self/cwd"))
say("root", os.listdir("/proc/self/root/proc/net"))
say("walk", next(os.walk("/proc/net"))[2])
child = os.fork()
if child == 0:
    os._exit(os.listdir(".") != os.listdir(f"/proc/{os.getppid()}/net"))
say("child", os.waitpid(child, 0)[1] == 0 and os.listdir("."))
""")
    assert {way: sorted(names) for way, names in said.items() if sorted(names) != sorted(NAMES)} == {}


LOOKS = """
import stat, threading
pid, tid = os.getpid(), threading.get_native_id()
def facts(status):
    return (stat.filemode(status.st_mode), status.st_nlink, status.st_ino, status.st_size, status.st_blksize,
            status.st_atime == status.st_mtime == status.st_ctime, status.st_mtime)
def outcome(function, *arguments, **options):
    try:
        return function(*arguments, **options)
    except OSError as error:
        return errno.errorcode[error.errno]
def statx(path, directory=-100, flags=0):
    place = ctypes.create_string_buffer(256)
    if call(332 if os.uname().machine == "x86_64" else 291, directory, os.fsencode(path), flags, 0x7ff, place) != 0:
        return errno.errorcode[ctypes.get_errno()]
    links, _, _, mode, _, inode, size = struct.unpack_from("IIIHHQQ", place.raw, 16)
    return stat.filemode(mode), links, inode, size
"""


@pytest.mark.root
def test_what_looks_tell_of_the_catalogue(sandlock):
    said = python(sandlock, PROC, LOOKS + """
os.chdir("/proc")
directory = os.open("/proc/self/net", os.O_PATH)
for form in ("/proc/net/%s", "/proc/self/net/%s", f"/proc/{pid}/net/%s", f"/proc/{pid}/task/{tid}/net/%s", "net/%s",
             "/proc/../proc//net/./%s"):
    for name in ("dev", "sockstat6"):
        path = form % name
        status = os.stat(path)
        same = all(facts(os.lstat(path)) == facts(other) for other in
                   (status, os.stat(name, dir_fd=directory), os.stat(f"{directory}/{name}", dir_fd=os.open("self/fd", os.O_PATH))))
        say(f"{form.replace(str(pid), 'PID').replace(str(tid), 'TID')} {name}", (facts(status)[:-1], same, statx(path)[:4] ==
            (stat.filemode(status.st_mode), status.st_nlink, status.st_ino, 0), [os.access(path, mode) for mode in (0, 4, 2, 1)],
            outcome(os.readlink, path)))
    path = (form % "")[:-1]
    say(f"{form.replace(str(pid), 'PID').replace(str(tid), 'TID')} directory", (facts(os.stat(path + "/"))[:-1],
        [os.access(path, mode) for mode in (0, 4, 2, 1)]))
opened_file = os.fstat(os.open("/proc/net/dev", os.O_RDONLY))
say("opened", facts(opened_file)[0] == "-r--r--r--" and opened_file.st_mtime == os.stat("/proc/net/dev").st_mtime)
say("link", (stat.filemode(os.lstat("/proc/net").st_mode), os.lstat("/proc/net").st_size, os.readlink("/proc/net")))
say("null", outcome(lambda: call(4, b"/proc/net/dev", 0)) if os.uname().machine == "x86_64" else "EFAULT")
say("fstat", stat.filemode(os.fstat(directory).st_mode)[0])
""")
    assert said.pop("opened") is True
    assert said.pop("link") == ("lrwxrwxrwx", 8, "self/net")
    assert said.pop("null") == "EFAULT" and said.pop("fstat") == "d"
    expected = {name: (("-r--r--r--", 1, 3 + NAMES.index(name), 0, 1024, True), True, True, [True, True, False, False], "EINVAL")
                for name in ("dev", "sockstat6")}
    expected["directory"] = (("dr-xr-xr-x", 2, 2, 0, 1024, True), [True, True, False, True])
    assert len(said) == 18
    assert {where: value for where, value in said.items() if value != expected[where.split()[1]]} == {}


@pytest.mark.root
@pytest.mark.parametrize("explain", [[], ["--explain"]])
def test_looks_find_no_other_name_beside_the_catalogue(sandlock, area, explain):
    """Controls: a name of the catalogue, and what is not below /proc/net."""
    (area / "link").symlink_to("/proc/net/snmp")
    (area / "net").symlink_to("/proc/self/net")
    (area / "dev").symlink_to("/proc/net/dev")
    assert os.stat("/proc/net/snmp") and os.access("/proc/self/net/netstat", os.F_OK)
    said = python(sandlock, [*explain, *PROC, "-w", area], LOOKS + """
os.chdir(sys.argv[1])
for path in ("/proc/net/snmp", "/proc/self/net/netstat", f"/proc/{pid}/net/dev_snmp6/lo", "link", "net/packet", "net/nothing",
             "/proc/net/tcp/x", "net/tcp/x/y", "dev", "net/dev", "/proc/self/status", "."):
    say(path.replace(str(pid), "PID"), (name_of(lambda: os.stat(path) and None), statx(path) if isinstance(statx(path), str) else "OK",
        os.access(path, os.F_OK), os.access(path, os.R_OK, effective_ids=True)))
say("lstat", name_of(lambda: os.lstat("/proc/net/snmp") and None))
say("readlink", outcome(os.readlink, "/proc/net/snmp"))
say("link itself", (os.readlink("link"), stat.S_ISLNK(os.lstat("link").st_mode)))
say("slash", name_of(lambda: os.stat("/proc/net/tcp/") and None))
say("plain", outcome(os.stat, f"{sys.argv[1]}/file/x"))
say("foreign", outcome(os.stat, "/proc/1/net/dev"))
""", area)
    visible = {name: said.pop(name) for name in ("dev", "net/dev", "/proc/self/status", ".")}
    assert set(visible.values()) == {("OK", "OK", True, True)}, visible
    assert said.pop("link itself") == ("/proc/net/snmp", True)
    assert said.pop("slash") == "ENOTDIR" and said.pop("plain") == "ENOENT" and said.pop("foreign") == "EACCES"
    assert said.pop("lstat") == said.pop("readlink") == "ENOENT"
    assert {path: seen for path, seen in said.items() if seen != ("ENOENT", "ENOENT", False, False)} == {}


@pytest.mark.root
def test_unusual_looks_at_the_catalogue(sandlock):
    said = python(sandlock, PROC, LOOKS + """
place = ctypes.create_string_buffer(256)
for flags in (0x2000, 0x4000, 0x100, 0x800):
    say(f"newfstatat {flags:#x}", call(262 if os.uname().machine == "x86_64" else 79, -100, b"/proc/net/snmp", place, flags))
    say(f"statx {flags:#x}", statx("/proc/net/snmp", flags=flags))
say("statx both", statx("/proc/net/dev", flags=0x6000))
say("statx unknown", statx("/proc/net/dev", flags=0x8000))
for size in (0, -1):
    say(f"readlink {size}", call(267 if os.uname().machine == "x86_64" else 78, -100, b"/proc/net/snmp", place, size))
say("access mode", call(269 if os.uname().machine == "x86_64" else 48, -100, b"/proc/net/snmp", 8))
for path in ("/proc/net/tcp/.", "/proc/net/tcp/.."):
    say(path, outcome(os.stat, path))
""")
    expected = {"statx both": "EINVAL", "statx unknown": "EINVAL", "readlink 0": "EINVAL", "readlink -1": "EINVAL", "access mode": "EINVAL",
                "/proc/net/tcp/.": "ENOTDIR", "/proc/net/tcp/..": "ENOTDIR"}
    assert {what: answer for what, answer in said.items() if answer != expected.get(what, "ENOENT")} == {}


def test_owners_are_those_of_the_members_user_namespace(sandlock):
    probe = sandlock.run("--user", "1234:1234", "--", "/bin/true")
    if probe.code != 0:
        pytest.skip("no user namespaces here: " + probe.stderr.strip())
    done = sandlock.run("--user", "1234:1234", *PROC, "--", "/bin/ls", "-ldn", "/proc/net/", "/proc/net/dev")
    owners = [line.split()[2:4] for line in done.stdout.splitlines()]
    assert owners == [["1234", "1234"], ["65534", "65534"]], done


@pytest.mark.root
@pytest.mark.parametrize("grant, call", [("/proc", "fstat"), ("/proc/self", "stat"), ("/proc/self/status", "stat"),
                                         ("/proc/sys/net/core/somaxconn", "stat"), ("/", "stat")])
def test_looks_that_are_no_notification(sandlock, grant, call):
    """Those at a descriptor, and those under a grant that is not of /proc/net."""
    code = """
file = os.open("/usr", os.O_RDONLY)
for number in range(int(sys.argv[1])):
    os.fstat(file) if sys.argv[2] == "fstat" else (os.stat("/proc/net/dev"), os.access("/usr", 4))
"""
    def notifications(rounds):
        done = sandlock.run("--stats", "-r", grant, "--", *PYTHON, HELPERS + code, str(rounds), call)
        assert done.code == 0, done
        return int(done.stderr[done.stderr.index("stats: ") + 7:].split()[0])
    few, many = notifications(1), notifications(50)
    assert many - few < 49


@pytest.mark.root
def test_a_look_without_a_descriptor_is_no_notification(sandlock):
    code = """
for number in range(int(sys.argv[1])):
    for path in ("/proc/net/tcp", "/proc/net/packet", "/proc/net", "/sys/class/net", "/proc/self/net/none", "/etc/hosts"):
        name_of(lambda: os.stat(path) and None)
        os.access(path, os.R_OK)
        name_of(lambda: os.readlink(path) and None)
"""
    def notifications(rounds):
        words = ["--stats", "-r", "/", *RULE, "--", *PYTHON, HELPERS + code, str(rounds)]
        text = sandlock.run(*words).stderr
        return int(text[text.index("stats: ") + 7:].split()[0])
    few, many = notifications(1), notifications(50)
    assert many - few < 49


# ---- Posture -------------------------------------------------------------------------------------------


def posture(sandlock, *options):
    result = sandlock.run("--posture", "-", *options, "--", "/bin/true")
    assert result.code == 0, result
    return result.stdout + result.stderr


def test_the_posture_tells_which_views_are_on(sandlock):
    assert "/proc/net" in posture(sandlock, "--no-supervisor", "-r", "/proc")
    assert "a grant covers /proc or /sys" in posture(sandlock, "-r", "/proc")
    assert "destinations go by rules" in posture(sandlock, *RULE)


# ---- Explained ------------------------------------------------------------------------------------------

WALK = """
import re, stat
seen, own = set(), (str(os.getpid()), str(os.getppid()))
def plain(path): # without what differs from run to run
    path = re.sub(r"/[0-9a-f]+-[0-9a-f]+(?=/|$)", "/RANGE", path)
    return "/".join("OWN" if part in own else part for part in path.split("/"))
def note(path, flags, directory=None):
    how = struct.pack("QQQ", flags, 0, 0)
    outcome = name_of(lambda: os.open(path, flags))
    again = call(437, -100, os.fsencode(path), how, len(how))
    if isinstance(again, int):
        os.close(again)
        again = "OK"
    seen.add((plain(path), flags, outcome, again))
def listing(path):
    try:
        names = os.listdir(path)
    except OSError as error:
        seen.add((plain(path), "list", errno.errorcode[error.errno]))
        return []
    return sorted(name for name in names if not name.isdigit() or len(name) < 3 or name in own)
def walk(path, depth):
    names = listing(path)
    for name in names[:30]:
        below = path + "/" + name
        # Opens act there, or names come and go: with groups, and with the mounts that other tests make.
        if below in ("/sys/kernel/tracing", "/sys/kernel/debug", "/sys/fs/cgroup") or name == "bdi":
            continue
        try:
            kind = os.lstat(below).st_mode
        except OSError as error:
            seen.add((plain(below), "stat", errno.errorcode[error.errno]))
            continue
        note(below, os.O_RDONLY | os.O_NONBLOCK)
        note(path + "/../" + os.path.basename(path) + "/" + name, os.O_RDONLY | os.O_NONBLOCK)
        if sum(map(ord, plain(below))) % 7 == 0:
            note(below, os.O_WRONLY | os.O_NONBLOCK)
        if stat.S_ISDIR(kind) or stat.S_ISLNK(kind):
            note(below + "/", os.O_RDONLY | os.O_NONBLOCK)
        if stat.S_ISDIR(kind) and depth > 0:
            walk(below, depth - 1)
for root, depth in (("/sys", 2), ("/sys/class/net", 2), ("/proc", 2), ("/proc/self", 2), ("/etc", 1), (sys.argv[1], 2)):
    walk(root, depth)
say("seen", sorted(map(str, seen)))
"""


@pytest.mark.root
@pytest.mark.parametrize("grant", [["-r", "/", *RULE], pytest.param(["-r", "/proc", "-r", "/sys"], marks=pytest.mark.costly),
                                   ["-w", "/etc", *RULE]])
def test_explained_runs_open_the_same_files(sandlock, area, grant):
    (area / "file").touch()
    (area / "link").symlink_to("file")
    (area / "loop").symlink_to("loop")
    (area / "fd").symlink_to("/proc/self/fd")
    runs = [[], ["--explain"], ["--log-denials", area.parent / "log"]]
    plain, *observed = [set(python(sandlock, [*grant, *options], WALK, area)["seen"]) for options in runs]
    outcomes = {outcome for outcome in ("'OK'", "'EACCES'") if any(outcome in line for line in plain)}
    assert outcomes == {"'OK'", "'EACCES'"} and len(plain) > 300
    for seen in observed:
        assert sorted(seen ^ plain) == []


@pytest.mark.root
def test_explained_opens_of_any_spelling_are_recorded(sandlock, secret):
    result = sandlock.run("-r", "/proc", "-r", "/sys", "--explain", "--", *PYTHON, HELPERS + """
for path in ("/sys/class/net", "/sys/class/../class/net/", sys.argv[1], "/proc/self/root" + sys.argv[1]):
    say("opened", opened(path))
""", secret)
    assert result.stdout == "opened: 'EACCES'\n" * 4
    assert "2x openat /sys/class/net: EACCES (proc-view: the host's interfaces are not shown)" in result.stderr
    assert f"openat {secret}: EACCES (landlock: no rule); allow with: --fs-read {secret}" in result.stderr
