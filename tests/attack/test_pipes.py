"""The pipe that a command reads from is no way to write: whoever else reads there may be a shell."""

import os
import subprocess
import sys

import pytest

# What a member does to its standard input: open it anew, perhaps after it has made that possible.
WAYS = {
    "reopen": "",
    "fchmod": "os.fchmod(0, 0o600)",
    "chmod": "os.chmod('/proc/self/fd/0', 0o666)",
    "chmod of the task's": "os.chmod(f'/proc/thread-self/fd/0', 0o600)",
}
PROBE = """
import os, sys
try:
    %s
except OSError as error: print(error.strerror, file=sys.stderr)
for name in "/proc/self/fd/0", "/dev/stdin", "/proc/thread-self/fd/0":
    for flags in os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_NONBLOCK:
        try:
            os.write(os.open(name, flags), b"\\n echo outside > %s\\n")
            sys.exit("written")
        except OSError as error: print(name, error.strerror, file=sys.stderr)
"""


def run_script(*commands):
    """A shell that reads its commands from a pipe, as `curl ... | sh` does."""
    return subprocess.run(["sh"], input="".join(line + "\n" for line in commands), capture_output=True, text=True,
                          timeout=60, check=False)


def attack(area, way, prefix):
    mark, program = area / "mark", area / "probe.py"
    mark.unlink(missing_ok=True)
    program.write_text(PROBE % (WAYS[way] or "pass", mark))
    done = run_script(f"{prefix} /usr/bin/python3 -I -S {program}", "echo last")
    return mark.exists(), done


@pytest.mark.parametrize("way", WAYS)
def test_a_member_cannot_write_into_the_pipe_that_a_shell_reads_its_script_from(sandlock, area, way):
    prefix = " ".join([str(sandlock.binary), "run", *map(str, sandlock.base), "-r", str(area), "--"])
    reached, done = attack(area, way, prefix)
    assert not reached and "Permission denied" in done.stderr, done
    assert done.stdout == "last\n" and "written" not in done.stderr


def test_without_supervisor_it_cannot_open_that_pipe_either(sandlock, area):
    prefix = " ".join([str(sandlock.binary), "run", *map(str, sandlock.base), "--no-supervisor", "-r", str(area), "--"])
    reached, done = attack(area, "reopen", prefix)
    assert not reached and "Permission denied" in done.stderr and done.stdout == "last\n", done


@pytest.mark.parametrize("way", WAYS)
def test_outside_it_can(area, way):
    """Control."""
    reached, done = attack(area, way, "")
    assert reached and "written" in done.stderr, done


MEMORY = '''
import os, struct, sys
fd, flags, bits = int(sys.argv[1]), getattr(os, sys.argv[2]), 0o777
everything = struct.pack("=I" + 3 * "HHI", 2, 1, 7, 0xffffffff, 4, 7, 0xffffffff, 32, 7, 0xffffffff)
back = [lambda: os.fchmod(fd, bits), lambda: os.setxattr(fd, "system.posix_acl_access", everything), lambda: None]
for give_back in back:
    try:
        again = os.open(f"/proc/self/fd/{fd}", flags)
        text = os.pread(again, 100, 0) if flags == os.O_RDONLY else os.pwrite(again, b"echo injected", 0)
        print("opened", text, file=sys.stderr)
    except OSError as error: print("refused", error.strerror, file=sys.stderr)
    try: give_back()
    except OSError: pass
own = os.memfd_create("own")
os.fchmod(own, 0o600)
os.fchmod(own, 0o644)
print("own", file=sys.stderr)
'''


def open_anew(prefix, stream, way, others):
    memory = os.memfd_create("script")
    os.write(memory, b"echo original")
    half = os.open(f"/proc/self/fd/{memory}", way)
    done = subprocess.run([*prefix, "/usr/bin/python3", "-I", "-S", "-c", MEMORY, str(stream), others],
                          **{["stdin", "stdout"][stream]: half}, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    content = os.pread(memory, 100, 0)
    os.close(half)
    os.close(memory)
    return done.stderr.splitlines(), content


@pytest.mark.parametrize("stream, way, others", [(0, os.O_RDONLY, "O_WRONLY"), (0, os.O_RDONLY, "O_RDWR"),
                                                 (1, os.O_WRONLY, "O_RDONLY")])
def test_a_memfd_is_not_opened_anew_in_the_other_direction(sandlock, stream, way, others):
    lines, content = open_anew([], stream, way, others)
    assert lines[0].startswith("opened"), "the control"
    for options, times in ([], 3), (["--no-supervisor"], 1):
        prefix = [sandlock.binary, "run", *map(str, sandlock.base), *options, "--"]
        lines, content = open_anew(prefix, stream, way, others)
        assert lines[:times] == ["refused Permission denied"] * times and lines[-1] == "own", lines
        assert content == b"echo original" or options, content


def test_what_comes_through_the_pipe_is_read_as_ever(sandlock):
    for command in (["cat"], ["cat", "/dev/stdin"], ["cat", "/proc/self/fd/0"]):
        done = subprocess.run([sandlock.binary, "run", *map(str, sandlock.base), "--", *command], input="text\n", text=True,
                              stdout=subprocess.PIPE, timeout=60, check=False)
        assert done.stdout == "text\n" and done.returncode == 0


def test_who_has_the_other_end_goes_on_writing(sandlock):
    read_end, write_end = os.pipe()
    process = subprocess.Popen([sandlock.binary, "run", *map(str, sandlock.base), "--", "cat"], stdin=read_end,
                               stdout=subprocess.PIPE, text=True)
    os.close(read_end)
    os.write(write_end, b"one\n")
    assert process.stdout.readline() == "one\n"
    os.write(write_end, b"two\n")
    os.close(write_end)
    assert process.stdout.read() == "two\n" and process.wait(30) == 0


def test_a_mapped_pipe_of_a_python_host_is_closed_the_same_way(sandlock):
    """Nothing but standard streams is inherited by the command line; the pipe may be any of them."""
    code = "import os\ntry: os.open('/proc/self/fd/1', os.O_WRONLY)\nexcept PermissionError: os.write(2, b'refused')"
    read_end, write_end = os.pipe()
    done = subprocess.run([sandlock.binary, "run", *map(str, sandlock.base), "--", "/usr/bin/python3", "-I", "-S", "-c", code],
                          stdin=subprocess.DEVNULL, stdout=read_end, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(read_end)
    os.close(write_end)
    assert done.stderr == "refused", (done, sys.version)
