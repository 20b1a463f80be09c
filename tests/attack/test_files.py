"""Files outside the grants: by every call, and by every spelling of the way to them."""

import os
import pathlib
import platform
import signal
import subprocess
import threading
import time

import pytest

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the payloads use x86-64 numbers"),
]

TEXT = "#!/bin/sh\nexit 0\n"


class Outside:
    """A directory that no grant covers, with one file; and what it looks like."""

    def __init__(self, directory):
        self.directory = directory
        self.fill()

    def fill(self):
        self.directory.mkdir(exist_ok=True)
        for entry in self.directory.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                entry.rmdir()
            else:
                entry.unlink()
        self.file = self.directory / "file"
        self.file.write_text(TEXT)
        self.file.chmod(0o755)

    def look(self):
        names = sorted(entry.name for entry in self.directory.iterdir())
        return names, self.file.read_text(), self.file.stat().st_nlink, self.file.stat().st_mode


@pytest.fixture
def outside(tmp_path):
    return Outside(tmp_path / "outside")


@pytest.fixture
def link(area):
    (area / "link.own").write_text("mine")
    return area / "link"


# What may be answered. Two directories of different grants: also EXDEV.
REFUSED = {"EACCES", "EXDEV"}
# Some calls succeed only for root, or never, without a sandbox.
NO_CONTROL = {"uselib", "rmdir"}


def test_no_operation_reaches_a_file_outside_the_grants(attack, outside, area, link, mode, needs_met):
    before = outside.look()
    inside = attack.inside("files.py", "direct", outside.file, link, options=[*mode, "-w", area])
    for name in inside:
        if name not in NO_CONTROL:
            refused = {"ENOSYS"} if "openat2" in name and not needs_met("openat2") else REFUSED
            assert inside[name] in refused, (name, inside[name])
    assert outside.look() == before
    assert sorted(entry.name for entry in area.iterdir()) == ["link.own"]


def test_every_operation_works_unconfined(attack, outside, area, link):
    """Control: with fresh files for each, every one succeeds for this user."""
    names = attack.inside("files.py", "direct", outside.file, link, options=["-w", area])
    assert len(names) > 20
    for name in names:
        if name in NO_CONTROL:
            continue
        outside.fill()
        link.unlink(missing_ok=True)
        (area / "link.own").write_text("mine")
        assert attack.outside("files.py", "direct", outside.file, link, name)[name] == "OK", name


def test_no_operation_writes_below_a_read_grant(attack, outside, area, link, mode, needs_met):
    before = outside.look()
    inside = attack.inside("files.py", "direct", outside.file, link,
                           options=[*mode, "-w", area, "-r", outside.directory])
    for name in ("open_read", "openat_read", "openat2_read", "exec"):
        assert inside[name] == ("OK" if needs_met("openat2") or name != "openat2_read" else "ENOSYS"), name
    for name in inside:
        if name not in NO_CONTROL and inside[name] == "OK":
            assert name in ("open_read", "openat_read", "openat2_read", "exec")
    assert outside.look() == before


def test_no_spelling_leads_out_of_the_grants(attack, outside, area, mode):
    before = outside.look()
    inside = attack.inside("files.py", "ways", area, outside.file, options=[*mode, "-w", area, "-r", "/proc", "-r", "/dev"],
                           cwd=area)
    for name in inside:
        assert inside[name] in {"EACCES", "EPERM", "EXDEV", "ENOENT"}, (name, inside[name])
    assert inside["plain_read"] == inside["symlink_write"] == inside["o_path_read"] == "EACCES"
    assert outside.look() == before
    assert not (area / "linked").exists()


def test_the_same_spellings_work_unconfined(attack, outside, area):
    results = attack.outside("files.py", "ways", area, outside.file, cwd=area)
    for name in results:
        if not name.startswith(("proc_1_root", "dev_fd", "o_path_link")):
            assert results[name] == "OK", (name, results[name])


def test_an_inherited_descriptor_gives_no_more_than_it_is(attack, outside, mode):
    before = outside.look()
    with open(outside.file, "rb") as stdin:
        inside = attack.inside("files.py", "fd", 0, options=[*mode, "-r", "/proc", "-r", "/dev"], stdin=stdin)
    assert inside["read"] == "OK"
    for name in ("write", "ftruncate"):
        assert inside[name] in ("EBADF", "EINVAL"), name
    for name in ("reopen_read", "reopen_write", "reopen_truncate", "dev_stdin"):
        assert inside[name] == "EACCES", name
    assert outside.look() == before
    with open(outside.file, "rb") as stdin:
        free = attack.outside("files.py", "fd", 0, stdin=stdin)
    assert free["reopen_write"] == "OK"


def test_grants_follow_the_object_and_not_its_name(attack, sandlock, tmp_path):
    """What is put under a granted name after the start is not granted."""
    granted, other = tmp_path / "granted", tmp_path / "other"
    for directory, text in ((granted, "granted"), (other, "other")):
        directory.mkdir()
        (directory / "file").write_text(text)
    process = sandlock.start("-r", granted, "--", "sh", "-c", f"echo up; read x; cat {granted}/file",
                             stdin=subprocess.PIPE)
    assert process.stdout.readline() == "up\n"
    granted.rename(tmp_path / "moved")
    other.rename(granted)
    out, err = process.communicate("go\n", timeout=20)
    assert out == "" and "Permission denied" in err


def test_a_swapped_directory_never_leads_a_write_outside(attack, sandlock, area, outside):
    """A thread outside swaps a directory for a link to the outside while the member writes through it."""
    real, link = area / "name", area / "spare"
    real.mkdir()
    link.symlink_to(outside.directory)
    over = threading.Event()

    def swap():
        while not over.is_set():
            os.rename(real, area / "aside")
            os.rename(link, real)
            os.rename(real, link)
            os.rename(area / "aside", real)

    thread = threading.Thread(target=swap)
    thread.start()
    before = outside.look()
    script = (f"import os, time\nend = time.monotonic() + 2\ncount = 0\n"
              f"while time.monotonic() < end or count == 0 and time.monotonic() < end + 20:\n"
              f"  for name in ('{area}/name/new', '{area}/spare/new', '{area}/name/file'):\n"
              f"    try:\n      os.close(os.open(name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)); count += 1\n"
              f"    except OSError: pass\nprint(count)")
    result = sandlock.run("-w", area, "--", *attack.words("raw.py")[:-1], "-c", script)
    over.set()
    thread.join()
    assert int(result.stdout) > 0, result
    assert outside.look() == before


# ---- Links that an earlier run left ---------------------------------------------------------------------


def leave_link(sandlock, area, target, options=("-w",)):
    """A first run replaces a directory, which the second is granted by name, by a link."""
    (area / "cache").mkdir()
    done = sandlock.run(*options, area, "-r", area / "cache", "--", "sh", "-c",
                        f"rmdir {area}/cache && ln -s {target} {area}/cache")
    assert done.code == 0, done
    assert os.readlink(area / "cache") == str(target)


@pytest.mark.parametrize("spelling", ["{area}/cache", "{area}/cache/", "{area}/./cache/.", "{link}/cache",
                                      "{area}/cache/../outside"])
@pytest.mark.parametrize("grant", ["-r", "--fs-read-try", "-w"])
def test_a_grant_does_not_follow_a_link_that_an_earlier_run_left(sandlock, area, outside, mode, spelling, grant):
    link = area.parent / "link"
    link.symlink_to(area)
    leave_link(sandlock, area, outside.directory, options=(*mode, "-w"))
    path = spelling.format(area=area, link=link)
    result = sandlock.run(*mode, "-w", area, grant, path, "--", "cat", outside.file)
    assert (result.code, result.stdout) == (2, ""), result
    assert f"{path}: a symbolic link below --fs-write {area}" in result.stderr
    # Control: the same words where the command cannot change the link.
    control = sandlock.run(*mode, "-r", area, "-r", path, "--", "cat", outside.file)
    assert (control.code, control.stdout) == (0, TEXT), control


@pytest.mark.parametrize("report", ["--posture", "--log-denials"])
@pytest.mark.parametrize("name", ["kept", "new"])
def test_a_report_does_not_follow_a_link_that_an_earlier_run_left(sandlock, area, outside, report, name):
    kept = outside.directory / "kept"
    kept.write_text("precious\n")
    path = area / "cache" / name
    (area / "cache").mkdir()
    assert sandlock.run("-w", area, report, path, "--", "true").code == 0
    path.unlink()
    (area / "cache").rmdir()
    leave_link(sandlock, area, outside.directory)
    before = sorted(os.listdir(outside.directory))
    result = sandlock.run("-w", area, report, path, "--", "cat", "/etc/shadow")
    assert result.code == 2 and report in result.stderr and "symbolic link" in result.stderr, result
    assert kept.read_text() == "precious\n"
    assert sorted(os.listdir(outside.directory)) == before
    # Nobody's command can have made this one.
    assert sandlock.run("-r", area, report, path, "--", "true").code == 0


@pytest.mark.parametrize("spelling", ["relative", "absolute"])
def test_links_below_the_start_directory_are_not_followed_either(sandlock, area, outside, mode, spelling):
    leave_link(sandlock, area, outside.directory)
    words = {"relative": ["--cwd", area, "-w", ".", "-r", "cache"], "absolute": ["--cwd", area / "cache", "-w", area]}
    result = sandlock.run(*mode, *words[spelling], "--", "cat", outside.file)
    assert (result.code, result.stdout) == (2, ""), result
    assert "a symbolic link below --fs-write" in result.stderr
    assert sandlock.run(*mode, "--cwd", area, "-r", ".", "-r", "cache", "--", "cat", outside.file).stdout == TEXT


def test_links_that_the_command_cannot_change_are_followed(sandlock, area, outside, mode):
    (area / "real").mkdir()
    (area / "real/file").write_text("inner")
    (area.parent / "link").symlink_to(area / "real")
    (area.parent / "there").symlink_to(outside.directory)
    for words, file, text in (
            (["-w", area, "-r", area / "real"], area / "real/file", "inner"),
            (["-w", area, "-r", area.parent / "there"], outside.file, TEXT),
            (["-w", area, "-r", f"{area}/../there"], outside.file, TEXT),
            (["-w", area.parent / "link", "-w", area.parent / "link"], area / "real/file", "inner"),
            (["-w", area, "-r", "/proc/self/status", "-w", "/dev/stdin"], area / "real/file", "inner"),
            (["-w", "/", "-r", area.parent / "there"], outside.file, TEXT)):
        result = sandlock.run(*mode, *words, "--", "cat", file)
        assert (result.code, result.stdout) == (0, text), (words, result)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: who may make nodes of devices")
@pytest.mark.parametrize("mode", [[], ["--no-supervisor"]], ids=["supervised", "no-supervisor"])
def test_a_node_of_a_device_below_a_write_grant_opens_no_device(sandlock, area, tmp_path, mode):
    """/dev is not granted; a node that is made where the command may write would be the same device."""
    code = """
import errno, os, stat, sys
where = sys.argv[1]
for name, kind, device in (("character", stat.S_IFCHR, os.makedev(1, 3)), ("block", stat.S_IFBLK, os.makedev(7, 250))):
    path = os.path.join(where, name)
    try:
        os.mknod(path, kind | 0o600, device)
        print(name + ": made")
    except OSError as error:
        print(name + ": " + errno.errorcode[error.errno])
try:
    os.mknod(os.path.join(where, "whiteout"), stat.S_IFCHR | 0o600, 0)
except PermissionError: # an overlay keeps them for itself
    pass
os.mkfifo(os.path.join(where, "fifo"))
"""
    own = tmp_path / "own"
    own.mkdir()
    free = subprocess.run(["/usr/bin/python3", "-c", code, own], capture_output=True, text=True, check=True).stdout
    assert free == "character: made\nblock: made\n"
    made = set(os.listdir(own))
    assert made | {"whiteout"} == {"block", "character", "fifo", "whiteout"}
    confined = sandlock.run(*mode, "-w", area, "--", "/usr/bin/python3", "-I", "-S", "-c", code, area)
    assert confined.stdout == "character: EPERM\nblock: EPERM\n", confined
    assert set(os.listdir(area)) == made - {"block", "character"}


# ---- Control groups ---------------------------------------------------------------------------------

CGROUPS = pathlib.Path("/sys/fs/cgroup")


def of_a_group():
    """A group's list of processes, and another file that anybody may read."""
    for directory in (CGROUPS, *sorted(path for path in CGROUPS.glob("*") if path.is_dir())):
        for name in ("cgroup.controllers", "notify_on_release", "cgroup.stat"):
            if (directory / "cgroup.procs").exists() and (directory / name).exists():
                return directory / "cgroup.procs", directory / name
    return pytest.skip("no control groups here")


@pytest.mark.parametrize("options", [["-r", "/"], ["-r", "/sys"], ["-r", "/sys/fs"], ["-w", "/"], ["-w", "/sys"],
                                     ["-w", "/sys/fs"]], ids=" ".join)
def test_control_groups_tell_of_no_process_outside(sandlock, options):
    procs, other = of_a_group()
    read = ["--", "sh", "-c", f"cat {procs} && echo read; cat {other} && echo read; ls {procs.parent}"]
    outside = subprocess.run(read[1:], capture_output=True, text=True, check=True).stdout
    assert outside.count("read\n") == 2
    inside = sandlock.run(*options, *read)
    assert inside.stdout == outside[outside.index("read\n") + 5:], inside
    assert f"{procs}: Permission denied" in inside.stderr
    # A grant of its own is one.
    own = sandlock.run(*options, "-r", CGROUPS, *read).stdout
    assert own.count("read\n") == 2 and own.endswith(outside.rpartition("read\n")[2]), own


@pytest.mark.parametrize("table", ["shm", "msg", "sem"])
@pytest.mark.parametrize("grant", ["/", "/proc"])
def test_tables_of_shared_objects_tell_of_no_process_outside(sandlock, grant, table):
    path = f"/proc/sysvipc/{table}"
    if not os.path.exists(path):
        pytest.skip("a kernel without them")
    with open(path, encoding="ascii") as stream:
        assert stream.readline() != ""
    inside = sandlock.run("-r", grant, "--", "sh", "-c", f"cat {path}; cat /proc/uptime")
    assert inside.stdout.count("\n") == 1 and f"{path}: Permission denied" in inside.stderr, inside


@pytest.fixture
def group(tmp_path):
    """A group with a process outside the sandbox in it: its directory and the process."""
    for tree in (CGROUPS, CGROUPS / "unified"):
        directory = tree / f"sandlock-test-{os.getpid()}"
        try:
            directory.mkdir()
        except OSError:
            continue
        if (directory / "cgroup.kill").exists():
            break
        directory.rmdir()
    else:
        pytest.skip("no control group of version 2 can be made here")
    sleeper = subprocess.Popen(["sleep", "60"])
    (directory / "cgroup.procs").write_text(str(sleeper.pid), encoding="ascii")
    yield directory, sleeper
    sleeper.kill()
    sleeper.wait()
    end = time.monotonic() + 30
    while directory.exists() and time.monotonic() < end:
        try:
            directory.rmdir()
        except OSError:
            time.sleep(0.02)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: an ordinary user has no group of its own")
@pytest.mark.parametrize("options", [["-w", "/"], ["-w", "/sys"], ["-w", "/sys/fs"]], ids=" ".join)
def test_control_groups_end_and_stop_no_process_outside(sandlock, group, options):
    directory, sleeper = group
    for name, text in (("cgroup.freeze", "1"), ("cgroup.procs", "0"), ("cgroup.kill", "1")):
        command = ["--", "sh", "-c", f"echo {text} > {directory / name} && echo written"]
        inside = sandlock.run(*options, *command)
        assert inside.stdout == "" and "Permission denied" in inside.stderr, inside
    assert sleeper.poll() is None
    assert "frozen 0" in (directory / "cgroup.events").read_text(encoding="ascii")
    assert sandlock.run(*options, "-w", directory, *command).stdout == "written\n"
    assert sleeper.wait(timeout=30) == -signal.SIGKILL
