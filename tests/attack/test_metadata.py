"""Mode, owner, times, extended attributes and inode flags of files outside the write grants. The kernel's
own file rules do not cover them."""

import ctypes
import errno
import fcntl
import json
import mmap
import os
import pathlib
import select
import stat
import struct
import subprocess
import threading
import time

import pytest

pytestmark = pytest.mark.root

MODE, TIME = 0o600, 1234567890


class File:
    """A file of the user and all that the probe could change about it."""

    def __init__(self, path):
        self.path = path
        path.parent.mkdir(exist_ok=True)
        path.write_text("text")
        self.reset()

    def reset(self):
        self.path.chmod(MODE)
        os.utime(self.path, (TIME, TIME))
        for name in os.listxattr(self.path):
            os.removexattr(self.path, name)
        self.before = self.look()

    def look(self):
        status = self.path.stat()
        return (status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, status.st_ctime_ns,
                os.listxattr(self.path))


@pytest.fixture
def outside(tmp_path):
    return File(tmp_path / "outside/file")


@pytest.fixture
def granted(tmp_path):
    return File(tmp_path / "granted/file")


@pytest.fixture
def grants(outside, granted):
    """The one may be read, the other written."""
    return ["-r", outside.path.parent, "-w", granted.path.parent, "-r", "/proc", "-r", "/dev"]


def spellings(attack):
    return attack.outside("metadata_probe", "list").result.stdout.split()


def test_no_spelling_changes_a_file_outside_the_write_grants(attack, outside, grants):
    names = spellings(attack)
    assert len(names) > 30
    for name in names:
        inside = attack.inside("metadata_probe", name, outside.path, options=grants)
        assert inside[name] != "OK", name
        assert outside.look() == outside.before, name


@pytest.mark.fchmodat2
def test_what_works_unconfined_works_below_a_write_grant_and_is_refused_outside(attack, outside, granted, grants):
    unconfined = attack.outside("metadata_probe", "all", granted.path)
    granted.reset()
    inside = attack.inside("metadata_probe", "all", granted.path, options=grants)
    refused = attack.inside("metadata_probe", "all", outside.path, options=grants)
    assert dict(inside) == dict(unconfined)
    working = [name for name, result in unconfined.items() if result == "OK"]
    assert {"chmod", "fchmod", "fchmodat2", "utimensat", "futimesat", "fchownat"} <= set(working)
    for name in working:
        assert refused[name] in ("EACCES", "EPERM"), (name, refused[name])
    assert granted.look() != granted.before
    assert outside.look() == outside.before


@pytest.mark.fchmodat2
def test_files_without_any_grant_are_out_of_reach_too(attack, outside, granted):
    for name in ("chmod", "fchmodat", "utimensat", "utimensat_nofollow", "lchown", "fchmodat2_nofollow"):
        inside = attack.inside("metadata_probe", name, outside.path, options=["-w", granted.path.parent])
        assert inside[name] == "EACCES", name
    assert outside.look() == outside.before


def test_without_the_gate_the_kernel_allows_it(attack, outside, grants):
    """Control: it is the gate that refuses."""
    inside = attack.inside("metadata_probe", "chmod", outside.path, options=[*grants, "--without", "metadata-gate"])
    assert inside["chmod"] == "OK"
    assert outside.look() != outside.before


def test_an_inherited_descriptor_does_not_help(attack, outside, granted):
    with open(outside.path, "rb") as stdin:
        inside = attack.inside("metadata_probe", "fds", 0, stdin=stdin,
                               options=["-w", granted.path.parent, "-r", "/proc", "-r", "/dev"])
        assert "OK" not in inside.values(), inside
        assert outside.look() == outside.before
        assert attack.outside("metadata_probe", "fds", 0, stdin=stdin)["fchmod"] == "OK"


def test_links_in_a_writable_directory_do_not_help(attack, outside, granted, grants):
    link = granted.path.parent / "link"
    link.symlink_to(outside.path)
    directory = granted.path.parent / "directory"
    directory.symlink_to(outside.path.parent)
    inside = attack.inside("metadata_probe", "all", link, options=grants)
    for name in ("chmod", "fchmodat", "fchmodat_dirfd", "utimensat", "setxattr", "fchmod", "fchown"):
        assert inside[name] in ("EACCES", "EPERM", "EOPNOTSUPP", "E95"), (name, inside[name])
    inside = attack.inside("metadata_probe", "all", directory / "file", options=grants)
    assert "OK" not in inside.values(), inside
    assert outside.look() == outside.before


def test_a_path_that_changes_in_memory_never_reaches_the_outside(attack, tmp_path, granted):
    """One thread swaps the bytes of the path while another makes the call."""
    decoy = File(tmp_path / "outsidd/file")  # of the same length as the granted path
    assert len(str(decoy.path)) == len(str(granted.path))
    inside = attack.inside("metadata_probe", "race", granted.path, decoy.path, 3, options=["-w", granted.path.parent])
    words = inside["race"].split()
    assert int(words[1]) > 0 and int(words[3]) > 0, "both names were tried"
    assert decoy.look() == decoy.before


def test_a_link_that_is_swapped_never_leads_outside(attack, sandlock, outside, granted):
    """Somebody renames a link to the outside over the file while the member changes its mode."""
    name, link, spare = (granted.path.parent / word for word in ("name", "link", "spare"))
    name.write_text("mine")
    link.symlink_to(outside.path)
    over = threading.Event()

    def swap():
        while not over.is_set():
            os.rename(name, spare)
            os.rename(link, name)
            os.rename(name, link)
            os.rename(spare, name)

    thread = threading.Thread(target=swap)
    thread.start()
    script = (f"import os, time\nend = time.monotonic() + 3\nok = refused = 0\n"
              f"while time.monotonic() < end or not (ok and refused) and time.monotonic() < end + 20:\n"
              f"  for path in ('{name}', '{link}'):\n"
              f"    try:\n      os.chmod(path, 0o777); ok += 1\n    except OSError: refused += 1\nprint(ok, refused)")
    try:
        result = sandlock.run("-w", granted.path.parent, "--", *attack.words("raw.py")[:-1], "-c", script)
    finally:
        over.set()
        thread.join()
    ok, refused = map(int, result.stdout.split())
    assert ok > 0 and refused > 0, "both were met"
    assert outside.look() == outside.before


def test_the_gate_lends_no_rights(attack, granted, grants):
    """A file of another user below the write grant stays that user's."""
    if os.getuid() != 0:
        inside = attack.inside("metadata_probe", "chmod", "/usr/bin/env", options=[*grants, "-r", "/usr"])
        assert inside["chmod"] in ("EACCES", "EPERM")
        assert attack.outside("metadata_probe", "chmod", "/usr/bin/env")["chmod"] == "EPERM"
        return
    # As root: a member that gave up its capabilities cannot borrow the supervisor's.
    os.chown(granted.path, 12345, 12345)
    before = granted.look()
    probe = attack.words("metadata_probe", "chmod", granted.path)
    words = ["setpriv", "--reuid=54321", "--clear-groups", "--bounding-set=-all", *probe]
    os.chmod(granted.path.parent, 0o777)
    result = attack.sandlock.run(*attack.grants("metadata_probe"), *grants, "--", *words)
    assert result.stdout in ("chmod: EPERM\n", "chmod: EACCES\n"), result
    assert granted.look() == before
    words[1] = "--reuid=0"
    words.remove("--bounding-set=-all")
    assert attack.sandlock.run(*attack.grants("metadata_probe"), *grants, "--", *words).stdout == "chmod: OK\n"


GROUPS = """
import os, sys
for name in sys.argv[1:]:
    for act in (lambda: os.chown(name, -1, 0), lambda: os.chown(name, -1, 4321), lambda: os.chmod(name, 0o2755)):
        try:
            act()
            print(name, "OK")
        except OSError as error:
            print(name, os.strerror(error.errno))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="needs root: members of another user and group")
@pytest.mark.other_users
def test_the_gate_lends_no_groups(attack, granted, grants):
    """An owner without capabilities gives its file to groups of its own alone and sets no id of another's; nor has it
    those that the supervisor is in."""
    files = {"own": (1234, 1234), "foreign": (1234, 4321), "roots": (0, 1234), "other": (1234, 1234), "any": (1234, 4321)}
    bare = "--bounding-set=-all --inh-caps=-all"
    script = (f"setpriv --reuid=1234 --regid=1234 --clear-groups {bare} \"$@\" own foreign; "
              f"setpriv --regid=1234 --clear-groups {bare} \"$@\" roots; "
              f"setpriv --reuid=1234 --regid=1234 --groups 4321 {bare} \"$@\" other; \"$@\" any")
    words = ["sh", "-c", script, "sh", *attack.words("raw.py")[:-1], "-c", GROUPS]
    directory = granted.path.parent
    os.chmod(directory, 0o711)
    kept, no = os.getgroups(), "Operation not permitted"
    os.setgroups([4321])
    try:
        for where in ("outside", "inside"):
            for name, ids in files.items():
                (directory / name).write_text("text")
                os.chown(directory / name, *ids)
            run = attack.sandlock.run(*grants, "--", *words, cwd=directory) if where == "inside" else \
                subprocess.run(words, cwd=directory, capture_output=True, encoding="utf-8", check=True)
            assert run.stdout.splitlines() == [
                f"own {no}", f"own {no}", "own OK", f"foreign {no}", "foreign OK", "foreign OK", f"roots {no}",
                f"roots {no}", "roots OK", f"other {no}", "other OK", "other OK", "any OK", "any OK", "any OK"], (where, run)
            seen = {name: (directory / name).stat() for name in files}
            assert {name: (status.st_gid, oct(status.st_mode)) for name, status in seen.items()} == {
                "own": (1234, "0o102755"), "foreign": (4321, "0o100755"), "roots": (1234, "0o102755"),
                "other": (4321, "0o102755"), "any": (4321, "0o102755")}, where
    finally:
        os.setgroups(kept)


class Held:
    """Holds a file's lock in the kernel: a write whose bytes are not there yet (userfaultfd(2))."""

    SIZE = 65536

    def __init__(self, path):
        self.libc = ctypes.CDLL(None, use_errno=True)
        number = {"x86_64": 323}.get(os.uname().machine, 282)
        # One that blocks is always readable for select().
        self.faults = self.libc.syscall(number, os.O_CLOEXEC | os.O_NONBLOCK)
        if self.faults < 0:
            pytest.skip("no userfaultfd")
        self.memory = mmap.mmap(-1, self.SIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        fcntl.ioctl(self.faults, 0xC018AA3F, struct.pack("QQQ", 0xAA, 0, 0))  # UFFDIO_API
        fcntl.ioctl(self.faults, 0xC020AA00, struct.pack("QQQQ", self.address, self.SIZE, 1, 0))  # UFFDIO_REGISTER
        self.fd = os.open(path, os.O_WRONLY)
        self.writer = threading.Thread(target=lambda: self.libc.pwrite(
            self.fd, ctypes.c_void_p(self.address), ctypes.c_size_t(self.SIZE), ctypes.c_long(0)), daemon=True)
        self.writer.start()
        assert select.select([self.faults], [], [], 10)[0], "it waits for its bytes"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        fcntl.ioctl(self.faults, 0xC020AA04, struct.pack("QQQQQ", self.address, self.SIZE, 0, 0, 0))  # UFFDIO_ZEROPAGE
        self.writer.join()
        os.close(self.fd)
        os.close(self.faults)


def is_blocked(thread):
    try:
        return (thread / "stat").read_text().rsplit(")", 1)[1].split()[0] == "D"
    except FileNotFoundError:
        return False


def wait_until_blocked(process, thread="*"):
    """In the kernel, uninterruptibly: one of its threads, or this one."""
    end = time.monotonic() + 30
    while not any(map(is_blocked, pathlib.Path(f"/proc/{process}/task").glob(thread))):
        assert time.monotonic() < end, f"nothing waits in {process}"
        time.sleep(0.005)


def start_chown(file):
    """Of root, and it waits."""
    root = threading.Thread(target=os.chown, args=(file, 0, 0), daemon=True)
    root.start()
    wait_until_blocked(os.getpid(), str(root.native_id))
    return root


@pytest.mark.skipif(os.getuid() != 0, reason="needs root: members of another user")
@pytest.mark.parametrize("act", ["chmod", "utime", "chown"])
def test_who_loses_a_file_while_it_waits_for_it_changes_nothing_of_it(attack, tmp_path, act):
    """Root takes a member's file over, and the change that the member asked for comes behind that."""
    tmp_path.chmod(0o755)
    script = ("import os, sys\nos.setgroups([4321])\nos.setresgid(1234, 1234, 1234)\nos.setresuid(1234, 1234, 1234)\n"
              "acts = {'chmod': lambda name: os.chmod(name, 0o6777), 'utime': lambda name: os.utime(name, (1, 1)),\n"
              "        'chown': lambda name: os.chown(name, -1, 4321)}\n"
              "for line in sys.stdin:\n"
              "  try: acts[sys.argv[1]](line.strip()); print('OK', flush=True)\n"
              "  except OSError as error: print(os.strerror(error.errno), flush=True)\n")
    command = [*attack.words("raw.py")[:-1], "-c", script, act]
    for where in ("outside", "inside"):
        file = tmp_path / where
        file.write_text("text")
        os.chown(file, 1234, 1234)
        file.chmod(0o755)
        words = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "encoding": "utf-8"}
        member = attack.sandlock.start("-w", tmp_path, "--", *command, stdin=subprocess.PIPE, cwd=tmp_path) \
            if where == "inside" else subprocess.Popen(command, cwd=tmp_path, **words)

        def ask(member=member, name=where):
            member.stdin.write(f"{name}\n")
            member.stdin.flush()

        ask()
        assert member.stdout.readline() == "OK\n", "its own it may change"
        with Held(file):
            root = start_chown(file)
            ask()
            wait_until_blocked(member.pid)
        root.join()
        assert member.stdout.readline() == "Operation not permitted\n", where
        status = file.stat()
        assert (status.st_uid, status.st_gid, status.st_mtime == 1) == (0, 0, False), where
        assert stat.S_IMODE(status.st_mode) == (0o777 if act == "chmod" else 0o755), where
        member.stdin.close()
        member.wait(timeout=20)
        member.stdout.close()


LONG_WALK = """
import os, sys
os.chdir(sys.argv[1])
while os.path.exists("d" * 200): os.chdir("d" * 200)
for act in (lambda: os.chmod("file", 0o640), lambda: os.utime("file", (1, 1)), lambda: os.chown("file", os.getuid(), -1)):
    try: act(); print("OK")
    except OSError as error: print(os.strerror(error.errno))
"""


def test_what_lies_too_deep_to_have_a_name_is_not_changed(attack, tmp_path, granted):
    deep, home = tmp_path / "deep", os.open(".", os.O_PATH)
    deep.mkdir()
    os.chdir(deep)
    try:
        for _ in range(25):
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
        with open("file", "w", encoding="ascii"):
            os.chmod("file", MODE)
        before = os.stat("file")
        words = [*attack.words("raw.py")[:-1], "-c", LONG_WALK, str(deep)]
        inside = attack.sandlock.run("-w", granted.path.parent, "--", *words)
        assert inside.stdout.splitlines() == [REFUSED] * 3, inside
        assert os.stat("file") == before
        unconfined = subprocess.run(words, capture_output=True, encoding="utf-8", check=True)
        assert unconfined.stdout.splitlines() == ["OK"] * 3, unconfined
        assert os.stat("file").st_mode != before.st_mode
    finally:
        os.fchdir(home)
        os.close(home)


# ---- Objects that others rename ----

ACTS = """
import os, sys
for line in sys.stdin:
    act, path = line.rstrip("\\n").split(" ", 1)
    try:
        if act == "open": os.close(os.open(path, os.O_WRONLY))
        elif act == "chmod": os.chmod(path, 0o640)
        elif act == "utime": os.utime(path, (1, 1))
        elif act == "chown": os.chown(path, os.getuid(), os.getgid())
        elif act == "setxattr": os.setxattr(path, "user.planted", b"x")
        elif act == "keep": kept = os.open(path, 3)
        elif act == "fchmod": os.fchmod(kept, 0o640)
        print("OK", flush=True)
    except OSError as error:
        print(os.strerror(error.errno), flush=True)
"""


class Member:
    """A command in a sandbox that does what it is told."""

    def __init__(self, attack, *options):
        self.process = attack.sandlock.start(*attack.grants("raw.py"), *options, "--", *attack.words("raw.py")[:-1],
                                             "-c", ACTS, stdin=subprocess.PIPE)

    def __call__(self, act, path):
        self.process.stdin.write(f"{act} {path}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.communicate(timeout=30)


REFUSED = "Permission denied"


def test_what_takes_a_granted_name_is_not_granted_and_what_had_it_stays_so(attack, tmp_path):
    """Log rotation: others move the granted file and the granted directory away and make new ones."""
    log, directory = tmp_path / "app.log", tmp_path / "directory"
    File(log)
    File(directory / "file")
    File(directory / "below/file")
    with Member(attack, "-w", log, "-w", directory) as member:
        for path in (log, directory, directory / "file", directory / "below/file"):
            assert member("utime", path) == "OK", path
        log.rename(tmp_path / "app.log.1")
        directory.rename(tmp_path / "directory.1")
        new = [File(path) for path in (log, directory / "file", directory / "below/file")]
        directory_before = directory.stat()
        for file in new:
            for act in ("open", "chmod", "utime", "chown", "setxattr"):
                assert member(act, file.path) == REFUSED, (act, file.path)
            assert file.look() == file.before, file.path
        for act in ("chmod", "utime", "chown"):
            assert member(act, directory) == REFUSED, act
        assert directory.stat() == directory_before
        for name in ("app.log.1", "directory.1/file", "directory.1/below/file"):
            for act in ("open", "chmod", "utime", "chown"):
                assert member(act, tmp_path / name) == "OK", (act, name)
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o640
        assert member("utime", tmp_path / "directory.1") == "OK"


def test_an_object_without_its_name_belongs_where_it_was(attack, tmp_path):
    directory = tmp_path / "directory"
    File(directory / "file")
    with Member(attack, "-w", directory) as member:
        assert member("keep", directory / "file") == "OK"
        (directory / "file").unlink()
        assert member("fchmod", "") == "OK"
        directory.rename(tmp_path / "moved")
        assert member("fchmod", "") == "OK"
        new = File(directory / "file")
        assert member("keep", new.path) == "OK"
        with open(new.path, "rb") as held:
            new.path.unlink()
            before = os.fstat(held.fileno())
            assert member("fchmod", "") == REFUSED
            assert os.fstat(held.fileno()) == before


def test_a_directory_that_is_swapped_in_a_loop_lends_its_grant_to_nobody(attack, sandlock, tmp_path):
    """Others exchange the granted directory and another one while the member changes what it finds."""
    granted, other = File(tmp_path / "granted/file"), File(tmp_path / "outside/file")
    over = threading.Event()
    exchange = ctypes.CDLL(None).renameat2

    def swap():
        first, second = (os.fsencode(file.path.parent) for file in (granted, other))
        while not over.is_set():
            exchange(-100, first, -100, second, 2)

    before = [os.stat(file.path).st_ino for file in (granted, other)]
    script = (f"import os, time\nend = time.monotonic() + 3\nok = refused = 0\n"
              f"while time.monotonic() < end or not (ok and refused) and time.monotonic() < end + 20:\n"
              f"  for path in ('{granted.path}', '{other.path}'):\n"
              f"    try:\n      os.chmod(path, 0o777); ok += 1\n    except OSError: refused += 1\nprint(ok, refused)")
    thread = threading.Thread(target=swap)
    with Member(attack, "-w", granted.path.parent) as member:
        assert member("chmod", granted.path) == "OK"
    process = sandlock.start("-w", granted.path.parent, "--", *attack.words("raw.py")[:-1], "-c",
                             "print(flush=True)\n" + script)
    process.stdout.readline()
    thread.start()
    try:
        output, errors = process.communicate(timeout=60)
    finally:
        over.set()
        thread.join()
    ok, refused = map(int, output.split())
    assert ok > 0 and refused > 0, errors
    modes = {status.st_ino: stat.S_IMODE(status.st_mode) for status in (granted.path.stat(), other.path.stat())}
    assert [modes[number] for number in before] == [0o777, MODE]


@pytest.mark.skipif(os.getuid() != 0, reason="mounts")
@pytest.mark.namespaces
def test_another_mount_of_a_granted_directory_is_granted_and_one_of_its_parts_is_not(attack, tmp_path):
    """As the kernel judges opens there."""
    for name in ("granted/file", "granted/below/file", "alias/file", "part/file"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("text")
    acts = "\n".join(f"{act} {tmp_path / name}" for name in ("alias/file", "alias/below/file", "part/file")
                     for act in ("open", "chmod"))
    command = [attack.sandlock.binary, "run", *attack.sandlock.base, *attack.grants("raw.py"), "-w", tmp_path / "granted",
               "--", *attack.words("raw.py")[:-1], "-c", ACTS]
    script = 'mount --bind granted alias && mount --bind granted/below part && exec "$@"'
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", *map(str, command)], cwd=tmp_path, input=acts,
                          capture_output=True, timeout=60, encoding="utf-8", check=False)
    assert done.stdout.splitlines() == ["OK"] * 4 + [REFUSED] * 2, done.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="mounts")
@pytest.mark.namespaces
def test_an_object_of_another_file_system_with_the_same_number_is_not_granted(attack, tmp_path):
    """Inode numbers say nothing without the file system."""
    names = ("granted", "other", "other/file")
    for name in names[:2]:
        (tmp_path / name).mkdir()
    acts = "\n".join(f"{act} {tmp_path / name}" for name in names for act in ("chmod", "utime"))
    command = [attack.sandlock.binary, "run", *attack.sandlock.base, *attack.grants("raw.py"), "-w", tmp_path / "granted",
               "--", *attack.words("raw.py")[:-1], "-c", ACTS]
    script = ("mount -t tmpfs none granted && mount -t tmpfs none other && touch other/file && chmod 700 * other/file && "
              'stat -c %i granted other && "$@" && stat -c %a granted other other/file')
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", *map(str, command)], cwd=tmp_path, input=acts,
                          capture_output=True, timeout=60, encoding="utf-8", check=False)
    first, second, *seen = done.stdout.splitlines()
    assert first == second, "of one number"
    assert seen == ["OK"] * 2 + [REFUSED] * 4 + ["640", "700", "700"], done


def test_a_descriptor_that_stands_for_a_process_takes_no_attributes(attack):
    """Attributes of a process's descriptor (Linux 6.17) are seen by everybody who holds one of that process."""
    script = (f"import os\nfd = os.pidfd_open({os.getpid()})\n"
              "for name in ('user.planted', 'trusted.planted'):\n"
              "  try: os.setxattr(fd, name, b'x'); print('OK')\n"
              "  except OSError as error: print(os.strerror(error.errno))\n"
              "memory = os.memfd_create('x')\nos.fchmod(memory, 0o600)\nprint('changed')\n")
    result = attack.sandlock.run("--", *attack.words("raw.py")[:-1], "-c", script)
    assert result.stdout.splitlines() == [REFUSED, REFUSED, "changed"], result
    descriptor = os.pidfd_open(os.getpid())
    try:
        if os.getuid() == 0:
            os.setxattr(descriptor, "trusted.control", b"x")
            assert os.listxattr(descriptor) == ["trusted.control"]
            os.removexattr(descriptor, "trusted.control")
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EPERM):
            raise
    finally:
        os.close(descriptor)


SHARED = """
import ctypes, os, socket, struct
def attempt(name, act):
    try:
        act()
        print(f"{name}: OK")
    except OSError as error:
        print(f"{name}: {os.strerror(error.errno)}")
for name, fd in (("pipe", 0), ("memory", os.memfd_create("x"))):
    attempt(f"{name} times", lambda: os.utime(fd, (1, 1)))
    attempt(f"{name} owner", lambda: os.fchown(fd, os.getuid(), os.getgid()))
    attempt(f"{name} mode", lambda: os.fchmod(fd, 0o600))
unix = socket.socket(socket.AF_UNIX)
attempt("socket mode", lambda: os.fchmod(unix.fileno(), 0o600))
libc, nothing = ctypes.CDLL(None, use_errno=True), struct.pack("qqqq", 0, 0x3ffffffe, 0, 0x3ffffffe)
print("no times:", libc.utimensat(-100, b"/none/at/all", nothing, 0), libc.utimensat(-1, b"x", nothing, 0))
"""


def test_a_pipe_of_the_caller_keeps_owner_and_times(attack):
    """What others hold, too, and no tree contains. What is the member's alone, and a call that asks for nothing, go on."""
    words = [*attack.words("raw.py")[:-1], "-c", SHARED]
    for where in ("inside", "outside"):
        reader, writer = os.pipe()
        try:
            before = os.fstat(reader)
            result = attack.sandlock.run("--", *words, stdin=reader) if where == "inside" else \
                subprocess.run(words, stdin=reader, capture_output=True, encoding="utf-8", check=True)
            after = os.fstat(reader)
        finally:
            os.close(reader)
            os.close(writer)
        said = [REFUSED if where == "inside" else "OK"] * 3 + ["OK"] * 4
        names = ("pipe times", "pipe owner", "pipe mode", "memory times", "memory owner", "memory mode", "socket mode")
        assert result.stdout.splitlines() == [*map(": ".join, zip(names, said)), "no times: 0 0"], (where, result)
        kept = (after.st_uid, after.st_gid, after.st_mtime) == (before.st_uid, before.st_gid, before.st_mtime)
        assert kept == (where == "inside"), where


OWN_IDS = """
import os, struct, sys
path, other = sys.argv[1], int(sys.argv[2])
entry = struct.Struct("<HHI").pack
access = struct.pack("<I", 2) + b"".join([entry(1, 6, 0xffffffff), entry(2, 4, 1), entry(4, 4, 0xffffffff),
                                          entry(16, 4, 0xffffffff), entry(32, 0, 0xffffffff)])
def attempt(name, act):
    try:
        act()
        print(f"{name}: OK")
    except OSError as error:
        print(f"{name}: {os.strerror(error.errno)}")
attempt("acl", lambda: os.setxattr(path, "system.posix_acl_access", access))
attempt("chown", lambda: os.chown(path, -1, other))
attempt("chmod", lambda: os.chmod(path, 0o640))
"""


def test_the_callers_own_user_is_no_other_user(attack, granted):
    """No user namespace is made for it, so ids mean what they mean on the host."""
    root = os.getuid() == 0
    other = 12345 if root else os.getgid()
    words = ["-w", granted.path.parent, "-r", "/proc"]
    command = ["--", *attack.words("raw.py")[:-1], "-c", OWN_IDS, granted.path, other]
    unconfined = subprocess.run(list(map(str, command[1:])), capture_output=True, text=True, check=True).stdout
    assert unconfined == "acl: OK\nchown: OK\nchmod: OK\n"
    if root: # another user's file, which only a capability may change
        os.chown(granted.path, 12345, 12345)
    own = attack.sandlock.run(*words, "--user", f"{os.getuid()}:{os.getgid()}", *command)
    assert own.stdout == unconfined, own
    assert attack.sandlock.run(*words, *command).stdout == unconfined


@pytest.mark.user_namespaces
def test_ids_of_the_sandboxes_own_user_namespace_are_not_taken_for_the_hosts(attack, granted):
    other = 12345 if os.getuid() == 0 else os.getgid()
    user = f"{os.getuid() + 1000}:{os.getgid() + 1000}"
    command = [*attack.words("raw.py")[:-1], "-c", OWN_IDS, str(granted.path), str(other)]
    inside = attack.sandlock.run("-w", granted.path.parent, "-r", "/proc", "--user", user, "--", *command)
    assert inside.stdout == "acl: Operation not supported\nchown: Invalid argument\nchmod: OK\n", inside
    assert (granted.path.stat().st_gid, os.listxattr(granted.path)) == (granted.before[2], [])
    unconfined = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    assert unconfined.stdout == "acl: OK\nchown: OK\nchmod: OK\n"


def test_a_fifo_is_not_opened_for_a_call_about_flags(attack, granted):
    """Whoever waits for a reader would take the supervisor for one."""
    fifo = granted.path.parent / "fifo"
    os.mkfifo(fifo)
    script = (f"import fcntl, os, struct\nreader = os.open('{fifo}', os.O_RDONLY | os.O_NONBLOCK)\n"
              f"writer = os.open('{fifo}', os.O_WRONLY)\nos.close(reader)\nprint('ready', flush=True)\ninput()\n"
              "for _ in range(100):\n  try: fcntl.ioctl(writer, 0x40086602, struct.pack('q', 0)); print('OK')\n"
              "  except OSError as error: print(os.strerror(error.errno))\n"
              f"print('asked', flush=True)\ninput()\nos.open('{fifo}', os.O_RDONLY | os.O_NONBLOCK)\ninput()\n")
    come = threading.Event()
    other = threading.Thread(target=lambda: (os.close(os.open(fifo, os.O_WRONLY)), come.set()), daemon=True)
    member = attack.sandlock.start("-w", granted.path.parent, "--", *attack.words("raw.py")[:-1], "-c", script,
                                   stdin=subprocess.PIPE)
    try:
        assert member.stdout.readline() == "ready\n"
        other.start()
        assert not come.wait(0.1)
        member.stdin.write("ask\n")
        member.stdin.flush()
        assert {member.stdout.readline() for _ in range(100)} == {"Inappropriate ioctl for device\n"}
        assert member.stdout.readline() == "asked\n"
        assert not come.wait(0.1)
        member.stdin.write("read\n")
        member.stdin.flush()
        assert come.wait(30), "with a reader it goes on"
    finally:
        member.communicate("\n\n\n", timeout=20)


PLACES = """
import errno, os, sys
def attempt(name, function, *arguments):
    try:
        function(*arguments)
        print(f"{name}: OK")
    except OSError as error:
        print(f"{name}: {errno.errorcode[error.errno]}")
def times(file):
    os.utime(file, (1, 1))
os.chdir(sys.argv[1])
"""

# Deeper than any name can be long. Twice, so that the way there is the test's own as well.
DEEP = PLACES + """
for level in range(24):
    os.makedirs("d" * 200, exist_ok=True)
    os.chdir("d" * 200)
if sys.argv[2] == "make":
    open("f", "w").close()
    sys.exit()
attempt("mode", os.chmod, "f", 0o640)
attempt("times", times, "f")
attempt("directory", os.chmod, ".", 0o750)
directory = os.open(".", os.O_RDONLY)
attempt("open directory", os.fchmod, directory, 0o700)
attempt("open directory's file", lambda: os.chmod("f", 0o600, dir_fd=directory))
os.symlink("f", "link")
attempt("link", times, "link")
os.unlink("link")
"""

# A directory that nobody may pass any more.
CLOSED = PLACES + """
os.makedirs("closed", exist_ok=True)
os.chmod("closed", 0o700)
file, directory = os.open("closed/f", os.O_RDONLY | os.O_CREAT, 0o644), os.open("closed", os.O_RDONLY)
if sys.argv[2] != "open":
    os.fchmod(directory, 0)
print("ready", flush=True)
sys.stdin.readline()
attempt("mode", os.fchmod, file, 0o640)
attempt("times", times, file)
attempt("directory", os.fchmod, directory, 0o700)
"""


def words(attack, script, *arguments):
    return [*attack.words("raw.py")[:-1], "-c", script, *map(str, arguments)]


def test_places_too_deep_for_a_name_are_judged_as_others(attack, tmp_path):
    trees = {name: tmp_path / name for name in ("granted", "outside")}
    for tree in trees.values():
        tree.mkdir()
        subprocess.run(words(attack, DEEP, tree, "make"), check=True)
    options = ["-w", trees["granted"], "-r", trees["outside"], "--"]
    inside = attack.sandlock.run(*options, *words(attack, DEEP, trees["granted"], "try"))
    assert inside.stdout == ("mode: OK\ntimes: OK\ndirectory: OK\nopen directory: OK\nopen directory's file: OK\n"
                             "link: EACCES\n"), inside
    deep = words(attack, DEEP.replace('os.symlink("f", "link")', "sys.exit()"), trees["outside"], "try")
    inside = attack.sandlock.run(*options, *deep)
    names = ("mode", "times", "directory", "open directory", "open directory's file")
    assert inside.stdout == "".join(f"{name}: EACCES\n" for name in names), inside
    assert subprocess.run(deep, capture_output=True, text=True, check=True).stdout == \
        "".join(f"{name}: OK\n" for name in names)
    for tree in trees.values():
        subprocess.run(["rm", "-rf", tree], check=True)


def test_a_directory_that_lets_nobody_through_hides_nothing_from_its_owner(attack, tmp_path):
    for name in ("granted", "outside"):
        (tmp_path / name).mkdir()
    options = ["-w", tmp_path / "granted", "--"]
    closed = attack.sandlock.run(*options, *words(attack, CLOSED, tmp_path / "granted", "close"))
    assert closed.stdout == "ready\nmode: OK\ntimes: OK\ndirectory: OK\n", closed
    subprocess.run(words(attack, CLOSED, tmp_path / "outside", "open"), check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL)
    os.utime(tmp_path / "outside/closed/f", (TIME, TIME))
    reading = CLOSED.replace('os.chmod("closed", 0o700)', "pass").replace(" | os.O_CREAT, 0o644", "")
    member = attack.sandlock.start("-r", tmp_path / "outside", *options,
                                   *words(attack, reading, tmp_path / "outside", "open"), stdin=subprocess.PIPE)
    assert member.stdout.readline() == "ready\n"
    (tmp_path / "outside/closed").chmod(0)
    out, _ = member.communicate("go\n", timeout=20)
    (tmp_path / "outside/closed").chmod(0o700)
    assert out == "mode: EACCES\ntimes: EACCES\ndirectory: EACCES\n"
    assert (tmp_path / "outside/closed/f").stat().st_mtime == TIME


@pytest.mark.skipif(os.getuid() == 0, reason="for root the kernel would do it where the gate fails")
def test_what_acts_on_a_whole_file_system_is_refused_below_a_write_grant_too(attack, granted, tmp_path):
    """The label of the file system; without the gate the kernel says to this user that it is not permitted or not there."""
    script = ("import fcntl, os, struct, sys\n"
              "for request, data in ((0x40086602, struct.pack('q', 0)), (0x41009432, b'label'.ljust(256, bytes(1)))):\n"
              "  try: fcntl.ioctl(os.open(sys.argv[1], os.O_RDWR), request, data); print('OK')\n"
              "  except OSError as error: print(os.strerror(error.errno))\n")
    log = tmp_path / "denials"
    command = ["--", *attack.words("raw.py")[:-1], "-c", script, granted.path]
    result = attack.sandlock.run("-w", granted.path.parent, "--log-denials", log, *command)
    flags, label = result.stdout.splitlines()
    assert label == "Permission denied", result
    record, = map(json.loads, log.read_text(encoding="utf-8").splitlines())
    assert (record["call"], record["object"], record["rule"]) == ("ioctl", str(granted.path), "acts on the whole file system")
    native = subprocess.run(list(map(str, command[1:])), capture_output=True, text=True, check=True).stdout.splitlines()
    assert native[0] == flags and native[1] != label, "the control"
