"""The name of a sandbox is taken as long as anything of it is there."""

import socket
import subprocess
import time

from witnesses import port_below

HOLD = """
import mmap, os, socket, sys
memory = mmap.mmap(-1, 300 << 20)
for page in range(0, len(memory), 4096):
    memory[page] = 1
held = socket.socket()
held.bind(("127.0.0.1", int(sys.argv[1])))
held.listen()
print("held", flush=True)
sys.stdin.read()
os._exit(0)
"""
PYTHON = ["/usr/bin/python3", "-I", "-S", "-c"]


def test_a_name_is_given_up_after_the_last_socket_of_its_sandbox(sandlock):
    """What a member holds goes with its memory, which can take long after its last instruction."""
    port, name = port_below(), ["--name", "held"]
    first = sandlock.start(*name, "--net-allow-bind", str(port), "--", *PYTHON, HOLD, str(port), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert first.stdout.readline() == "held\n"
        assert "already running" in sandlock.run(*name, "--", "/bin/true").stderr, "the control: its name is taken"
        first.stdin.close()
        deadline, taken = time.monotonic() + 20, True
        while taken and time.monotonic() < deadline:
            second = sandlock.run(*name, "--", "/bin/true")
            taken = "already running" in second.stderr
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
        assert second.code == 0, second
    finally:
        first.kill()
        first.wait()
