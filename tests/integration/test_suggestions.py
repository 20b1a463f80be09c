"""What --explain suggests is what makes the same act succeed."""

import json
import os
import pathlib
import shlex

import pytest

PYTHON = ["/usr/bin/python3", "-I", "-S", "-B", "-c"]

# Name of the act: what it does to `t`, the options it is first tried with.
ACTS = {
    "open to read": ("open(t + '/file').read()", []),
    "open to write": ("open(t + '/file', 'r+').write('x')", []),
    "create": ("open(t + '/new', 'x')", []),
    "mkdir": ("os.mkdir(t + '/new')", []),
    "symlink": ("os.symlink('x', t + '/new')", []),
    "rename": ("os.rename(t + '/file', t + '/new')", []),
    "unlink": ("os.unlink(t + '/file')", []),
    "rmdir": ("os.rmdir(t + '/empty')", []),
    "truncate": ("os.truncate(t + '/file', 0)", []),
    "chmod": ("os.chmod(t + '/file', 0o600)", []),
    "bind": ("import socket; socket.socket().bind(('127.0.0.1', %d))" % (20000 + os.getpid() % 10000), []),
    "shmget": ("import ctypes; libc = ctypes.CDLL(None, use_errno=True)\n"
               "i = libc.shmget(0, 4096, 0o600)\n"
               "if i < 0: raise OSError(ctypes.get_errno(), 'shmget')\n"
               "libc.shmctl(i, 0, None)", []),
    "processes": ("pids = []\n"
                  "for _ in range(3):\n"
                  "    pid = os.fork()\n"
                  "    if pid == 0:\n        time.sleep(5); os._exit(0)\n"
                  "    pids.append(pid)\n"
                  "for pid in pids: os.kill(pid, 9)", ["-P", "3"]),
}


def attempt(sandlock, target, log, code, *options):
    script = "import os, time; t = %r\n%s" % (str(target), code)
    return sandlock.run("--explain", "--log-denials", log, *options, "--", *PYTHON, script)


def suggestions(log):
    found = []
    for line in pathlib.Path(log).read_text().splitlines():
        suggest = json.loads(line).get("suggest")
        if suggest and suggest not in found:
            found.append(suggest)
    return found


@pytest.mark.parametrize("act", ACTS)
def test_what_is_suggested_makes_the_same_act_succeed(sandlock, area, tmp_path, act):
    code, options = ACTS[act]
    target = tmp_path / "target"
    (target / "empty").mkdir(parents=True)
    (target / "file").write_text("content")
    log = area / "log"

    assert attempt(sandlock, target, log, code, *options).code == 1
    advice = suggestions(log)
    assert advice, log.read_text()
    words = [word for line in advice for word in shlex.split(line)]
    result = attempt(sandlock, target, area / "again", code, *words)
    assert result.code == 0, (advice, result)


@pytest.mark.parametrize("family,kind,protocol,error", [
    ("AF_INET", "SOCK_DGRAM", 0, "EPERM"),
    ("AF_INET6", "SOCK_RAW", 58, "EPERM"),
    ("AF_INET", "SOCK_STREAM", 262, "EPROTONOSUPPORT"),
    ("AF_NETLINK", "SOCK_RAW", 4, "EAFNOSUPPORT"),
])
def test_a_refused_socket_is_recorded_and_nothing_is_suggested(sandlock, area, family, kind, protocol, error):
    code = ("import errno, socket\n"
            "try: socket.socket(socket.%s, socket.%s, %d)\n"
            "except OSError as e: print(errno.errorcode[e.errno])" % (family, kind, protocol))
    log = area / "log"
    result = attempt(sandlock, area, log, code)
    assert result.stdout == error + "\n", result
    assert sandlock.run("--", *PYTHON, code).stdout == error + "\n"  # without --explain the same
    records = [record for record in map(json.loads, log.read_text().splitlines())
               if record["call"] == "socket"]
    assert [(record["object"], record["errno"], record["layer"], record.get("suggest"))
            for record in records] == [(family + " " + kind, error, "filter", None)], records


def test_explained_runs_make_the_sockets_that_are_allowed(sandlock, area):
    code = "import socket; socket.socket(); socket.socket(socket.AF_UNIX); socket.socketpair(); socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)"
    assert attempt(sandlock, area, area / "log", code).code == 0
    assert not [line for line in (area / "log").read_text().splitlines() if "socket" in line]


@pytest.mark.parametrize("grant,shown", [
    ("/usr", False), ("/proc", True), ("/proc/self", True), ("/proc/", True), ("/", True),
])
@pytest.mark.parametrize("option", ["-r", "-w"])
def test_the_posture_names_proc_only_where_it_is_granted(sandlock, area, option, grant, shown):
    if option == "-w" and grant == "/usr":
        grant = area
    path = area / "posture"
    assert sandlock.run(option, grant, "--posture", path, "--", "true").code == 0
    exceptions = json.loads(path.read_text())["exceptions"]
    assert any("/proc shows other processes" in text for text in exceptions) == shown, exceptions
