"""A denial is recorded exactly where the sandbox is what refused: not for what the kernel says without it, and
not twice; and what is suggested makes the same act succeed."""

import json
import os
import platform
import re
import shlex

import pytest

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the acts use x86-64 numbers")

PYTHON = ["/usr/bin/python3", "-I", "-S", "-B", "-c"]
TEXT = "#!/bin/sh\nexit 0\n"

# Each line of the acts is tried by itself; `t` is the tree, with t/ro granted to read, t/w to write and t/out
# not at all. What it was told stands behind it.
PROLOGUE = """
import ctypes, errno, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
t = sys.argv[1]
here = -100
def call(number, *arguments):
    words = [os.fsencode(word) if isinstance(word, str) else word for word in arguments]
    result = libc.syscall(number, *words)
    if result < 0: raise OSError(ctypes.get_errno(), "call")
    return result
def openat2(directory, path, flags=0, resolve=0, size=24):
    call(437, directory, path, (ctypes.c_uint64 * 4)(flags, 0, resolve, 0), size)
def link(a, b): call(86, a, b)
def rename(a, b): call(82, a, b)
def exchange(a, b, flags): call(316, here, a, here, b, flags)
def program(path): call(59, path, (ctypes.c_char_p * 2)(b"x", None), None)
for act in sys.argv[2].splitlines():
    try:
        exec(act)
        print("OK")
    except OSError as error:
        print(errno.errorcode[error.errno])
"""

# The kernel's own answers: whatever is granted, they stay the same.
NATIVE = """
link(t + "/w/none", t + "/ro/new")
rename(t + "/w/none", t + "/ro/new")
rename(t + "/ro/none", t + "/ro/new")
rename(t + "/w/own", "/dev/shm/new")
exchange(t + "/w/own", t + "/ro/file", 1)
exchange(t + "/w/own", t + "/ro/none", 2)
exchange(t + "/w/own", t + "/ro/new", 64)
rename(t + "/out/dir", t + "/out/dir/new")
link(t + "/out/file", t + "/ro/file")
link(t + "/out/file", "/dev/shm/new")
os.open(t + "/out/file", os.O_DIRECTORY)
os.open(t + "/ro", os.O_WRONLY)
os.open(t + "/out", os.O_RDONLY | os.O_TRUNC)
os.open(t + "/ro", os.O_CREAT)
os.open(t + "/ro/file", os.O_CREAT | os.O_EXCL)
os.open(t + "/ro/new/", os.O_CREAT)
os.open(t + "/out/link", os.O_NOFOLLOW)
os.open(t + "/out/none", os.O_RDWR)
openat2(here, t + "/out/file", 1 << 40)
openat2(here, t + "/out/file", 0, 1 << 40)
openat2(here, t + "/out/file", 0, 8)
openat2(here, t + "/w/link", 0, 4)
openat2(os.open(t + "/ro", os.O_PATH), t + "/out/file", 0, 16)
openat2(here, t + "/out/file", 0, 0, 16)
call(76, t + "/out", 0)
call(76, t + "/out/file", -1)
call(133, t + "/ro/new", 0o40600)
call(88, "", t + "/ro/new")
os.mkdir(t + "/ro/file")
os.symlink("x", t + "/ro/file")
os.unlink(t + "/out/none")
os.unlink(t + "/out/file/")
call(263, here, t + "/out/file", 512)
call(263, here, t + "/out/file", 4)
call(322, here, t + "/out/link", None, None, 0x100)
program(t + "/out/dir")
""".strip().splitlines()
TOLD = """ENOENT ENOENT ENOENT EXDEV EEXIST ENOENT EINVAL EINVAL EEXIST EXDEV ENOTDIR EISDIR EISDIR EISDIR EEXIST EISDIR
ELOOP ENOENT EINVAL EINVAL EXDEV ELOOP ENOENT EINVAL EISDIR EINVAL EPERM ENOENT EEXIST EEXIST ENOENT ENOTDIR
EACCES EINVAL ELOOP EACCES""".split()


class Tree:
    def __init__(self, sandlock, path):
        self.sandlock, self.path, self.log = sandlock, path, path / "log"
        for name in ("ro", "w", "out", "out/dir"):
            (path / name).mkdir()
        (path / "w/own").write_text("")
        for name in ("ro/file", "out/file"):
            (path / name).write_text(TEXT)
            (path / name).chmod(0o755)
        for name in ("w/link", "out/link"):
            (path / name).symlink_to(path / "out/file")

    def run(self, acts, *options, explain=True):
        """What the acts were told, and the records about objects of the tree."""
        for left in (self.log, self.path / "w/dangling"):
            left.unlink(missing_ok=True)
        words = ["-r", self.path / "ro", "-w", self.path / "w", *options]
        if explain:
            words += ["--log-denials", self.log]
        done = self.sandlock.run(*words, "--", *PYTHON, PROLOGUE, self.path, "\n".join(acts))
        assert done.code == 0, done
        records = [json.loads(line) for line in self.log.read_text().splitlines()] if explain else []
        return done.stdout.split(), [record for record in records if (record["object"] or "").startswith(str(self.path))]

    def short(self, text):
        return text and text.replace(str(self.path), "t")


@pytest.fixture
def tree(sandlock, area):
    return Tree(sandlock, area)


@pytest.mark.root
@pytest.mark.openat2
def test_what_the_kernel_refuses_without_the_sandbox_is_no_denial(tree):
    told, records = tree.run(NATIVE)
    expected = list(TOLD)
    removal = NATIVE.index('call(263, here, t + "/out/file", 512)')  # Landlock is asked first
    assert dict(zip(NATIVE, told)) == dict(zip(NATIVE, expected))
    assert [(record["call"], record["errno"], record["suggest"]) for record in records] == [("unlinkat", "EACCES", None)]
    assert told == tree.run(NATIVE, explain=False)[0]
    told, records = tree.run(NATIVE, "-w", tree.path)
    expected[removal] = "ENOTDIR"
    assert (dict(zip(NATIVE, told)), records) == (dict(zip(NATIVE, expected)), [])


# What Landlock refuses: the act, what it was told, the object and the suggestion of its one record.
REFUSED = [
    ('link(t + "/ro/file", t + "/w/new")', "EXDEV", "t/ro/file", "--fs-write t/ro"),
    ('link(t + "/out/file", t + "/w/new")', "EXDEV", "t/out/file", "--fs-write t/out"),
    ('link(t + "/w/own", t + "/ro/new")', "EACCES", "t/ro/new", "--fs-write t/ro"),
    ('link(t + "/out/file", t + "/ro/other")', "EACCES", "t/ro/other", "--fs-write t/out --fs-write t/ro"),
    ('rename(t + "/ro/file", t + "/ro/new")', "EACCES", "t/ro/file", "--fs-write t/ro"),
    ('rename(t + "/out/file", t + "/ro/new")', "EACCES", "t/out/file", "--fs-write t/out --fs-write t/ro"),
    ('rename(t + "/w/own", t + "/out/other")', "EACCES", "t/out/other", "--fs-write t/out"),
    ('exchange(t + "/w/own", t + "/out/file", 2)', "EACCES", "t/out/file", "--fs-write t/out"),
    ('openat2(os.open(t, os.O_PATH), "/out/file", 0, 16)', "EACCES", "t/out/file", "--fs-read t/out/file"),
    ('openat2(here, t + "/out/dir", 0, 2, 32)', "EACCES", "t/out/dir", "--fs-read t/out/dir"),
    ('os.open(t + "/out", os.O_DIRECTORY)', "EACCES", "t/out", "--fs-read t/out"),
    ('os.open(t + "/ro/file", os.O_RDONLY | os.O_TRUNC)', "EACCES", "t/ro/file", "--fs-write t/ro/file"),
    ('os.open(t + "/ro", os.O_TMPFILE | os.O_RDWR)', "EACCES", "t/ro", "--fs-write t/ro"),
    ('os.symlink(t + "/out/made", t + "/w/dangling"); open(t + "/w/dangling", "w")', "EACCES", "t/out/made",
     "--fs-write t/out"),
    ('os.mkdir(t + "/ro/new/")', "EACCES", "t/ro/new", "--fs-write t/ro"),
    ('os.rmdir(t + "/out/dir")', "EACCES", "t/out/dir", "--fs-write t/out"),
    ('os.truncate(t + "/ro/file", 0)', "EACCES", "t/ro/file", "--fs-write t/ro/file"),
    ('os.chmod(t + "/ro/file", 0o700)', "EACCES", "t/ro/file", "--fs-write t/ro/file"),
    ('os.utime(t + "/out/file")', "EACCES", "t/out/file", "--fs-write t/out/file"),
    ('os.chown(t + "/out/link", -1, -1, follow_symlinks=False)', "EACCES", "t/out/link", "--fs-write t/out"),
]


@pytest.mark.openat2
def test_a_refusal_of_the_sandbox_has_one_record(tree):
    told, records = tree.run([row[0] for row in REFUSED])
    assert told == [row[1] for row in REFUSED] == tree.run([row[0] for row in REFUSED], explain=False)[0]
    assert all(record["layer"] in ("landlock", "metadata-gate") and record["count"] == 1 for record in records), records
    assert [(record["errno"], tree.short(record["object"]), tree.short(record["suggest"])) for record in records] == [
        row[1:] for row in REFUSED]


@pytest.mark.parametrize("act, advice", [
    pytest.param(row[0], row[3], id=row[0], marks=[pytest.mark.openat2] if "openat2" in row[0] or "O_TRUNC" in row[0] else [])
    for row in REFUSED])
def test_the_suggested_grant_helps(tree, act, advice):
    words = shlex.split(re.sub(r"\bt/", f"{tree.path}/", advice))
    assert tree.run([act], *words) == (["OK"], [])


@pytest.mark.root
def test_the_interpreter_of_a_program_is_recorded(tree, sandlock):
    script = tree.path / "ro/script"
    script.write_text(f"#! {tree.path}/out/file\n")
    script.chmod(0o755)
    act = f"program({str(script)!r})"
    told, records = tree.run([act])
    assert told == ["EACCES"]
    assert [(record["call"], record["object"], record["suggest"]) for record in records] == [
        ("execve", f"{tree.path}/out/file", f"--fs-read {tree.path}/out/file")]
    assert tree.run([act], *shlex.split(records[0]["suggest"])) == ([], [])  # the script ran instead
    # The loader, of the run's own command: the same file is granted, and nothing else.
    program = tree.path / "ro/true"
    program.write_bytes(open("/bin/true", "rb").read())
    program.chmod(0o755)
    words = ["run", "--log-denials", tree.log, "-r", tree.path / "ro", "--", program]
    tree.log.unlink()
    refused = sandlock(*words)
    records = [json.loads(line) for line in tree.log.read_text().splitlines()]
    assert refused.code == 126 and [record["call"] for record in records] == ["execve"], (refused, records)
    directory = records[0]["object"].split("/")[1]
    assert "ld-" in records[0]["object"] and records[0]["suggest"] == f"--fs-read /{directory}"
    tree.log.unlink()
    assert sandlock(*words[:3], *sandlock.base, *words[3:]).code == 0
    assert not any("ld-" in line for line in tree.log.read_text().splitlines())


def test_what_is_switched_off_is_not_recorded(tree):
    acts = ['os.truncate(t + "/out/file", 0)', 'os.open(t + "/out/file", 3)', 'link(t + "/w/own", t + "/w/new")']
    assert tree.run(acts, "--disable", "fs-truncate") == (["OK", "OK", "OK"], [])


# Where another user gets, and where it does not: what the modes of files and directories keep from it is no denial.
OTHERS = [
    ('os.open(t + "/out/file", os.O_RDONLY)', True),
    ('os.open(t + "/out/private", os.O_RDONLY)', False),
    ('os.open(t + "/out/closed/file", os.O_RDONLY)', False),
    ('os.open(t + "/out/closed/none", os.O_RDONLY)', False),
    ('os.open(t + "/out/closed/none", os.O_CREAT | os.O_WRONLY)', False),
    ('os.mkdir(t + "/out/new")', False),
    ('os.mkdir(t + "/out/open/new")', True),
    ('link(t + "/out/closed/file", t + "/out/open/new")', False),
    ('rename(t + "/out/open/file", t + "/out/open/new")', True),
    ('rename(t + "/out/open/file", t + "/out/new")', False),
]


@pytest.mark.root
@pytest.mark.skipif(os.getuid() != 0, reason="needs root: a member of another user")
@pytest.mark.other_users
def test_a_member_of_another_user_is_told_of_nothing_that_its_own_rights_keep_from_it(tree):
    for name in ("closed", "open"):
        (tree.path / "out" / name).mkdir()
        (tree.path / "out" / name / "file").write_text("")
    (tree.path / "out/private").write_text("")
    (tree.path / "out/private").chmod(0o600)
    (tree.path / "out/closed").chmod(0o700)
    (tree.path / "out/open").chmod(0o777)
    for path in (tree.path, *tree.path.parents):
        if path.stat().st_uid == 0 and len(path.parts) > 2:
            path.chmod(path.stat().st_mode | 0o011)
    become = "os.setgroups([]); os.setresgid(1234, 1234, 1234); os.setresuid(1234, 1234, 1234)"
    told, records = tree.run([become, *(act for act, _ in OTHERS)], "--explain")
    assert told[0] == "OK" and "OK" not in told[1:], told
    expected = [act for act, recorded in OTHERS if recorded]
    assert len(records) == len(expected), records
    assert [tree.short(record["object"]) for record in records] == ["t/out/file", "t/out/open/new", "t/out/open/file"]
    records = tree.run([act for act, _ in OTHERS], "--explain")[1]
    # Equal ones are one record if the log is behind.
    assert sum(record["count"] for record in records) == len(OTHERS) - 1, "of root only the missing file"


def records_of(tree, acts, calls, *options):
    """The records of these calls, whatever their objects."""
    tree.run(acts, *options)
    records = [json.loads(line) for line in tree.log.read_text().splitlines()]
    return [record for record in records if record["call"] in calls]


# Options, and the call, the act, the object and a part of the reason, the suggestion.
REASONS = [
    ([], [
        ("getsockopt", "socket.socket().getsockopt(1, 25, 16)", "SOL_SOCKET option 25", "host's network", None),
        ("setsockopt", "socket.socket().setsockopt(6, 31, b'tls')", "IPPROTO_TCP option 31", "unseen", None),
        ("setsockopt", "socket.socket().setsockopt(6, 19, 1)", "IPPROTO_TCP option 19", "make up a connection", None),
        ("setsockopt", "socket.socket().setsockopt(0, 64, b'x')", "IPPROTO_IP option 64", "packet filter", None),
        ("setsockopt", "socket.socket().setsockopt(0, 15, 1)", "IPPROTO_IP option 15", "source address", None),
        ("prctl", "call(157, 28, 0, 0, 0, 0)", "option 0x1c", "capabilities", None),
        ("prctl", "call(157, 4, 0, 0, 0, 0)", "option 0x4", "hide the process", None),
        ("mknodat", "os.mknod('dev', 0o20600, os.makedev(1, 3))", "dev", "device files", None),
        ("setpgid", "call(109, 0, 1)", "process group 1", "groups of members", None),
        ("socket", "socket.socket(2, 1, 262)", "AF_INET SOCK_STREAM MPTCP", "only TCP", None),
    ]),
    (["--no-huge-pages", "-P", "1"], [
        ("prctl", "call(157, 41, 1, 0, 0, 0)", "option 0x29", "--no-huge-pages", "leaving out --no-huge-pages"),
        ("clone", "os.fork()", "", "at most 1 process", "--max-processes 2"),
    ]),
    (["--cpu-cores", str(min(os.sched_getaffinity(0)))], [
        ("sched_setaffinity", "os.sched_setaffinity(1, {0})", "process 1", "caller's own process", None),
    ]),
    (["--without", "process-gate"], [
        ("setpriority", "os.setpriority(os.PRIO_PROCESS, 1, 5)", "process, group or user 1", "process-gate", None),
        ("prlimit64", "call(302, os.getpid(), 7, (ctypes.c_ulong * 2)(10, 10), None)", "process ", "process-gate",
         "leaving out --without process-gate"),
    ]),
]


@pytest.mark.parametrize("options, rows", REASONS, ids=["filter", "limits", "cores", "ungated"])
def test_a_record_names_its_object_and_the_true_reason(tree, options, rows):
    records = records_of(tree, [row[1] for row in rows], {row[0] for row in rows}, *options)
    assert [record["call"] for record in records] == [row[0] for row in rows], records
    for record, (_, _, thing, reason, advice) in zip(records, rows):
        assert (record["object"] or "").startswith(thing), record
        assert reason in record["rule"] and record["suggest"] == advice, record
        assert not record["rule"].endswith("1 processes")


def test_addresses_of_what_is_no_socket_are_not_recorded(tree):
    address = "b'\\x02\\0\\0\\x09\\x7f\\0\\0\\x01' + bytes(8), 16"
    unix = "b'\\x01\\0' + os.fsencode(t + '/ro/name'), 2 + len(t + '/ro/name')"
    acts = [f"call({number}, os.open(t + '/ro/file', os.O_RDONLY), {name})" for number in (42, 49) for name in (address, unix)]
    options = ["--without", "unix-gate"]
    assert records_of(tree, acts, {"connect", "bind"}, *options) == []
    acts = ["s = socket.socket(); call(42, s.fileno(), %s)" % address, "s = socket.socket(1); call(49, s.fileno(), %s)" % unix]
    records = records_of(tree, acts, {"connect", "bind"}, *options)
    assert [record["object"] for record in records] == ["tcp://127.0.0.1:9", f"{tree.path}/ro/name"], records


def test_a_message_queue_needs_the_group_and_its_file_system(tree):
    act = f"call(240, 'sandlock-test-{os.getpid()}', 0o102, 0o600, None); call(241, 'sandlock-test-{os.getpid()}')"
    mounted = os.path.ismount("/dev/mqueue")
    (record,) = records_of(tree, [act], {"mq_open"})
    assert record["suggest"] == ("--extra-allow-syscall sysv_ipc --fs-write /dev/mqueue" if mounted else None)
    (refused,) = records_of(tree, [act], {"mq_open"}, "--extra-allow-syscall", "sysv_ipc")
    assert refused["errno"] == "EACCES" and "queue" in refused["object"], refused
    assert refused["suggest"] == ("--fs-write /dev/mqueue" if mounted else None)
    if mounted:
        assert tree.run([act], *shlex.split(record["suggest"]))[0] == ["OK"]
