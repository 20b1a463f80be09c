"""A host of the library, by ctypes. It prints "handle PID" when the sandbox exists and then waits to be
killed.

    library_host.py LIBRARY create|start|exec GRANT... -- COMMAND...

"exec" starts it, and with the next line of its input the host becomes sleep(1). "exec-unsupervised" is the same without
a supervisor; with "-copied" behind it a fork of the host, whose pid is then printed, lives on, and with "exec-copied-barely"
one that was made past the libc, and keeps all of the host's descriptors. "wait" waits for it with the next line of input.
"start-unscoped" starts it without the signal scope.
"""

import ctypes
import os
import signal
import sys

FORK = 57  # of x86-64
SIGNAL_SCOPE = 4  # SANDLOCK_PROTECTION_SIGNAL_SCOPE

library = ctypes.CDLL(sys.argv[1])
for name in ("sandlock_sandbox_builder_new", "sandlock_sandbox_builder_fs_read", "sandlock_sandbox_build",
             "sandlock_sandbox_builder_no_supervisor", "sandlock_sandbox_builder_disable", "sandlock_create"):
    getattr(library, name).restype = ctypes.c_void_p
library.sandlock_last_error.restype = ctypes.c_char_p

words = sys.argv[3:]
split = words.index("--")
builder = ctypes.c_void_p(library.sandlock_sandbox_builder_new())
for path in words[:split]:
    builder = ctypes.c_void_p(library.sandlock_sandbox_builder_fs_read(builder, path.encode()))
if sys.argv[2].startswith("exec-unsupervised"):
    builder = ctypes.c_void_p(library.sandlock_sandbox_builder_no_supervisor(builder, True))
if sys.argv[2] == "start-unscoped":
    builder = ctypes.c_void_p(library.sandlock_sandbox_builder_disable(builder, SIGNAL_SCOPE))
policy = ctypes.c_void_p(library.sandlock_sandbox_build(builder, None, None))
command = [word.encode() for word in words[split + 1:]]
argv = (ctypes.c_char_p * len(command))(*command)
handle = ctypes.c_void_p(library.sandlock_create(policy, None, argv, len(command)))
if not handle:
    sys.exit(library.sandlock_last_error().decode())
if sys.argv[2] != "create":
    library.sandlock_start(handle)
print("handle", library.sandlock_handle_pid(handle), flush=True)
if sys.argv[2].startswith("exec"):
    sys.stdin.readline()
    if "copied" in sys.argv[2]:
        copy = ctypes.CDLL(None).syscall(FORK) if sys.argv[2].endswith("barely") else os.fork()
        if copy == 0:
            signal.pause()
        print(copy, flush=True)
    os.execv("/bin/sleep", ["sleep", "60"])
if sys.argv[2] == "wait":
    sys.stdin.readline()
    library.sandlock_handle_wait_timeout.restype = ctypes.c_void_p
    result = ctypes.c_void_p(library.sandlock_handle_wait_timeout(handle, ctypes.c_uint64(100)))
    print(library.sandlock_result_reason(result), library.sandlock_last_error().decode(), flush=True)
    library.sandlock_handle_free(handle)
    print("freed", flush=True)
while True:
    signal.pause()
