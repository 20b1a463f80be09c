"""Process creation with flags that a member must not have, and the ordinary kinds that must work.

    clones.py flags         raw clone with every flag alone
    clones.py clone3        clone3 with and without a namespace
    clones.py ordinary      fork, vfork-like spawn, threads, subprocess
    clones.py parent        "parent: PID" of a child made with CLONE_PARENT
"""

import ctypes
import os
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(__file__))
from raw import attempt, call, report

SIGCHLD = 17
FLAGS = {
    "CLONE_NEWNS": 0x20000, "CLONE_NEWCGROUP": 0x2000000, "CLONE_NEWUTS": 0x4000000,
    "CLONE_NEWIPC": 0x8000000, "CLONE_NEWUSER": 0x10000000, "CLONE_NEWPID": 0x20000000,
    "CLONE_NEWNET": 0x40000000, "CLONE_PARENT": 0x8000, "CLONE_UNTRACED": 0x800000, "none": 0,
    "garbage_above_32_bits": 0x10000000 | (0x5A << 32),
}
NAMESPACES = [name for name in FLAGS if name.startswith("CLONE_NEW")]


def namespaces():
    names = {}
    for name in ("user", "net", "mnt", "pid", "uts", "ipc", "cgroup"):
        names[name] = os.readlink(f"/proc/self/ns/{name}")
    return names


def clone(flags, in_child=lambda: 0):
    """Forks by raw clone and returns the child's exit code, or -errno."""
    pid = call("clone", flags | SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os._exit(in_child())
    if pid < 0:
        return pid
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:  # CLONE_PARENT: it is not ours
        return 0


def clone3(flags):
    arguments = (ctypes.c_uint64 * 8)(flags, 0, 0, 0, SIGCHLD)
    pid = call("clone3", arguments, 64)
    if pid == 0:
        os._exit(0)
    if pid > 0:
        os.waitpid(pid, 0)
    return pid


def main():
    what = sys.argv[1]
    if what == "flags":
        for name, flags in FLAGS.items():
            # Other namespaces need the rights that a user namespace gives to an ordinary user.
            if name in NAMESPACES and name != "CLONE_NEWUSER":
                report(name, clone(flags | FLAGS["CLONE_NEWUSER"]))
                report(f"{name}_alone", clone(flags))
            else:
                report(name, clone(flags))
    elif what == "clone3":
        report("plain", clone3(0))
        for name in NAMESPACES:
            report(name, clone3(FLAGS[name] | FLAGS["CLONE_NEWUSER"]))
        report("CLONE_NEWTIME", clone3(0x80 | FLAGS["CLONE_NEWUSER"]))
    elif what == "ordinary":
        report("fork", clone(0))
        attempt("subprocess", lambda: subprocess.run(["/bin/true"], check=True))
        attempt("posix_spawn", lambda: os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0))
        done = []
        thread = threading.Thread(target=lambda: done.append(1))
        thread.start()
        thread.join()
        report("thread", 0 if done else -1)
        report("system", os.system("true"))


main()
