"""Inside an unmodified container: under a filter that refuses what default profiles of container runtimes
refuse, without capabilities."""

import json
import os
import pathlib
import subprocess

import pytest

pytestmark = pytest.mark.root

ROOT = pathlib.Path(__file__).resolve().parents[2]
PYTHON = ["/usr/bin/python3", "-I", "-S", "-B"]


@pytest.fixture(scope="session")
def helpers():
    build = pathlib.Path(os.environ.get("SANDLOCK_BUILD", ROOT / "build")).resolve()
    return build / "tests/helpers"


class Container:
    """Calls of sandlock under the container's filter."""

    def __init__(self, sandlock, helpers, refused):
        self.sandlock = sandlock
        self.prefix = [str(helpers / "container_filter"), *refused, "--"]

    def __call__(self, *words, **kwargs):
        return subprocess.run([*self.prefix, str(self.sandlock.binary), *map(str, words)], capture_output=True, text=True,
                              env=self.sandlock.environment(), timeout=60, check=False, stdin=subprocess.DEVNULL, **kwargs)

    def run(self, *words, **kwargs):
        return self("run", *self.sandlock.base, *words, **kwargs)


@pytest.fixture(params=[[], ["process-vm"], ["ptrace", "process-vm"]],
                ids=["default profile", "no process-vm", "no ptrace either"])
def container(request, sandlock, helpers):
    return Container(sandlock, helpers, request.param)


@pytest.fixture(params=["supervised", "unsupervised"])
def mode(request):
    return [] if request.param == "supervised" else ["--no-supervisor"]


def test_the_filter_refuses_what_containers_refuse(helpers):
    """Control of the imitation."""
    seen = subprocess.run([helpers / "container_filter", "process-vm", "--", "check"], capture_output=True, text=True,
                          check=True).stdout
    results = dict(line.split(": ") for line in seen.splitlines())
    for name in ("pidfd_getfd", "kcmp", "unshare", "mount", "clone", "personality", "process_vm_readv"):
        assert results[name] == "EPERM", name
    assert results["clone3"] == "ENOSYS"
    assert results["personality_query"] == results["landlock"] == "OK"


def test_a_run_works_as_outside(container, area, secret, mode):
    result = container.run(*mode, "-w", area, "--", "sh", "-c",
                           f"echo text >{area}/file; cat {area}/file; cat {secret}; exit 3")
    assert (result.returncode, result.stdout) == (3, "text\n")
    assert "Permission denied" in result.stderr


def test_the_metadata_gate_works_there(container, area, secret, helpers):
    mine = area / "file"
    mine.write_text("")
    before = secret.stat()
    for path, answer in ((mine, "OK"), (secret, "EACCES")):
        for call in ("chmod", "fchmodat", "utimensat", "setxattr"):
            result = container.run("-r", helpers, "-w", area, "--", helpers / "metadata_probe", call, path)
            if call == "setxattr" and answer == "OK":
                continue  # not every file system has them
            assert result.stdout == f"{call}: {answer}\n", result
    assert secret.stat().st_ctime_ns == before.st_ctime_ns
    assert mine.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("libc", ["", "_musl"])
def test_interfaces_are_shown_there(container, helpers, libc):
    probe = helpers / f"interfaces_probe{libc}"
    if not probe.exists():
        pytest.skip("not built")
    lines = container.run("-r", helpers, "--", probe).stdout.splitlines()
    assert lines[:8] == ["link lo up", "address lo inet 127.0.0.1", "address lo inet6 ::1", "interface 1 lo", "lo is 1",
                         "eth0 is 0 error 19", "1 is lo", "2 is nothing error 6"]


def test_the_process_gate_works_there(container, helpers):
    result = container.run("-r", helpers, "--", helpers / "process_probe", "prlimit", os.getpid())
    assert result.stdout == "prlimit: EPERM\n", result
    result = container.run("-r", helpers, "--", helpers / "process_probe", "own")
    assert result.returncode == 0, result


def test_the_process_limit_works_there(container):
    script = ("import os, time\nn = 1\ntry:\n  while n < 20:\n"
              "    if os.fork() == 0: time.sleep(30)\n    n += 1\nexcept OSError as e: print(n, e.errno)")
    result = container.run("-P", "5", "--", *PYTHON, "-c", script)
    assert result.stdout == "5 11\n", result


def test_threads_and_spawning_work_there(container, mode):
    script = ("import subprocess, threading\nt = threading.Thread(target=lambda: print('thread', flush=True))\n"
              "t.start(); t.join()\n"
              "subprocess.run(['/bin/echo', 'spawned'])")
    assert container.run(*mode, "--", *PYTHON, "-c", script).stdout == "thread\nspawned\n"


def test_everything_dies_at_the_end_there(container, helpers, mode):
    mark = f"container-{os.getpid()}"
    result = container.run(*mode, "-r", helpers, "-t", "1s", "--", helpers / "survivor", "groups", "30", mark)
    assert (result.returncode, result.stdout) == (124, "up\n")
    found = subprocess.run(["pgrep", "-f", f"survivor.*{mark}"], capture_output=True, text=True, check=False)
    assert found.stdout == ""


def test_explanations_work_there(container, secret):
    result = container.run("--explain", "--", "cat", secret)
    assert result.returncode == 1
    assert str(secret) in result.stderr


def test_what_needs_a_refused_call_is_refused_with_the_reason(container, mode):
    """Never run without it."""
    mapped = container.run(*mode, "--user", "4321:4321", "--", "echo", "ran")
    assert mapped.returncode == 125 and mapped.stdout == ""
    assert "namespace" in mapped.stderr
    fixed = container.run(*mode, "--no-randomize-memory", "--", "echo", "ran")
    assert fixed.returncode == 125 and fixed.stdout == ""
    assert "personality" in fixed.stderr


def test_check_and_posture_name_the_methods(container, area):
    report = json.loads(container("check", "--json").stdout)
    text = json.dumps(report)
    assert "pidfd_getfd" in text
    path = area / "posture"
    assert container.run("--posture", path, "--", "true").returncode == 0
    methods = json.loads(path.read_text())["methods"]
    assert methods["listener"] == "shared-table"
    if "process-vm" in container.prefix:
        assert methods["child-memory"] != "process_vm_readv"


def test_without_landlock_nothing_runs(sandlock, helpers, mode):
    container = Container(sandlock, helpers, ["landlock"])
    result = container.run(*mode, "--", "echo", "ran")
    assert result.returncode == 125 and result.stdout == ""
    assert "Landlock" in result.stderr
