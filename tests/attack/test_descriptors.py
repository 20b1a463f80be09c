"""What a member has open: the three standard streams and nothing else, whatever its host holds."""

import contextlib
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.root

# fd by fd, without a grant on /proc and without opening anything
PROBE = ("import fcntl\nfound = []\nfor fd in range(4096):\n"
         "  try: fcntl.fcntl(fd, fcntl.F_GETFD)\n  except OSError: continue\n  found.append(str(fd))\nprint(*found)")


def host(sandlock, *words, holding=0, code=""):
    """Runs sandlock from a process that holds many descriptors without close-on-exec, at scattered numbers."""
    script = (f"import os, sys, fcntl\nfor i in range({holding}):\n"
              f"  r, w = os.pipe()\n  os.set_inheritable(r, True); os.set_inheritable(w, True)\n"
              f"  fcntl.fcntl(r, fcntl.F_DUPFD, 600 + 3 * i)\n"
              f"{code}\nos.execv(sys.argv[1], sys.argv[1:])")
    command = [sys.executable, "-c", script, sandlock.binary, "run", *sandlock.base, *map(str, words)]
    return subprocess.run(command, env=sandlock.environment(), capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          timeout=60, check=False)


def test_a_member_of_a_host_with_hundreds_of_descriptors_has_three(sandlock, mode):
    done = host(sandlock, *mode, "--", "/usr/bin/python3", "-I", "-S", "-c", PROBE, holding=200)
    assert done.stdout == "0 1 2\n", done


def test_such_descriptors_are_inherited_without_the_sandbox():
    """Control: what the sandbox takes away."""
    read_end, write_end = os.pipe()
    os.set_inheritable(read_end, True)
    done = subprocess.run([sys.executable, "-I", "-S", "-c", PROBE], capture_output=True, text=True, pass_fds=[read_end],
                          check=True)
    assert str(read_end) in done.stdout.split()
    os.close(read_end)
    os.close(write_end)


def opened(pid):
    """What the descriptors of a process lead to, by number."""
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed since
            found[fd] = os.readlink(f"/proc/{pid}/fd/{fd}")
    return found


def has_its_streams_only(member, streams):
    """Whether only they are left. What its loader has open for a moment is a library or a locale, never
    anything of its keepers: not in a single look."""
    held = opened(member)
    for fd, name in held.items():
        assert streams[fd] == name if fd in streams else name.startswith(("/usr/", "/lib", "/etc/")), held
    return held.keys() == streams.keys()


def test_neither_listener_nor_runtime_files_are_open_in_a_member(sandlock, look):
    process = sandlock.start("--", "sh", "-c", "echo up; exec sleep 30")
    try:
        assert process.stdout.readline() == "up\n"
        guardian = look.children_of(process.pid)[0]
        member = look.children_of(guardian)[0]
        assert look.eventually(lambda: os.path.basename(os.readlink(f"/proc/{member}/exe")) == "sleep")
        streams = {"0": "/dev/null", "1": os.readlink(f"/proc/self/fd/{process.stdout.fileno()}"),
                   "2": os.readlink(f"/proc/self/fd/{process.stderr.fileno()}")}
        assert look.eventually(lambda: has_its_streams_only(member, streams)), opened(member)
        assert any("seccomp" in name for name in opened(process.pid).values()), "the supervisor holds the listener"
        assert not any("seccomp" in name for name in opened(guardian).values()), "the guardian does not"
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.mark.parametrize("closed", [[0], [1], [2], [0, 1], [0, 1, 2]], ids=str)
def test_closed_streams_of_the_host_do_not_become_something_else(sandlock, area, closed, mode):
    out = area / "out"
    code = "".join(f"os.close({fd})\n" for fd in closed)
    script = PROBE.replace("print(*found)", f"open({str(out)!r}, 'w').write(' '.join(found))")
    done = host(sandlock, *mode, "-w", area, "--", "/usr/bin/python3", "-I", "-S", "-c", script, holding=20, code=code)
    assert done.returncode == 0, done
    assert out.read_text().split() == [str(fd) for fd in range(3) if fd not in closed]


def test_mapped_descriptors_of_reports_are_not_open_in_a_member(sandlock, mode):
    read_end, write_end = os.pipe()
    options = [f"--status-fd={write_end}", "--posture", f"fd:{write_end}"]
    if not mode:
        options += ["--log-denials", f"fd:{write_end}"]
    result = sandlock.run(*mode, *options, "--", "/usr/bin/python3", "-I", "-S", "-c", PROBE, pass_fds=[write_end])
    os.close(write_end)
    os.close(read_end)
    assert result.stdout == "0 1 2\n", result
