"""A host of the library that changes itself while its sandbox runs. Run as root.

    changing_host.py LIBRARY CHANGE TREE [COMMAND...]

The command may read "/" and write TREE. Once it has made TREE/ready the host makes the CHANGE and then
TREE/go, and afterwards prints what the command printed. Changes: "none"; "chroot" into TREE, with umask and
working directory; "chroot-shared", by a host that may not unshare; "root", by a host that had the effective
user and group of TREE's owner until then, and "user", which is that host without the change.
"""

import ctypes
import os
import struct
import sys
import time

CHANGE, TREE, COMMAND = sys.argv[2], sys.argv[3], [word.encode() for word in sys.argv[4:]]
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, UNSHARE = 38, 22, 272

library = ctypes.CDLL(sys.argv[1])
for name in ("sandlock_sandbox_builder_new", "sandlock_sandbox_builder_fs_read", "sandlock_sandbox_builder_fs_write",
             "sandlock_sandbox_builder_net_allow", "sandlock_sandbox_builder_net_deny_bind",
             "sandlock_sandbox_build", "sandlock_create", "sandlock_handle_wait"):
    getattr(library, name).restype = ctypes.c_void_p
for name in ("sandlock_last_error", "sandlock_result_stdout", "sandlock_result_stderr"):
    getattr(library, name).restype = ctypes.c_char_p


def refuse_unshare():
    code = struct.pack("HBBI" * 4, 0x20, 0, 0, 0, 0x15, 0, 1, UNSHARE, 0x06, 0, 0, 0x00050001,
                       0x06, 0, 0, 0x7FFF0000)
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("HxxxxxxP", 4, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None)
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 and libc.prctl(PR_SET_SECCOMP, 2, program) == 0


def call(name, *arguments):
    return ctypes.c_void_p(getattr(library, name)(*arguments))


tree = os.open(TREE, os.O_RDONLY | os.O_DIRECTORY)
if CHANGE in ("root", "user"):
    owner = os.stat(TREE)
    os.setgroups([])
    os.setresgid(owner.st_gid, owner.st_gid, 0)
    os.setresuid(owner.st_uid, owner.st_uid, 0)
if CHANGE == "chroot-shared":
    refuse_unshare()
builder = call("sandlock_sandbox_builder_new")
builder = call("sandlock_sandbox_builder_fs_read", builder, b"/")
builder = call("sandlock_sandbox_builder_fs_write", builder, TREE.encode())
builder = call("sandlock_sandbox_builder_net_allow", builder, b"127.0.0.1:80")  # with a view of the hosts file
builder = call("sandlock_sandbox_builder_net_deny_bind", builder, b"1")  # binds are performed by the supervisor
policy = call("sandlock_sandbox_build", builder, None, None)
handle = call("sandlock_create", policy, None, (ctypes.c_char_p * len(COMMAND))(*COMMAND), len(COMMAND))
if not handle or library.sandlock_start(handle) != 0:
    sys.exit(library.sandlock_last_error().decode())
end = time.monotonic() + 20
while "ready" not in os.listdir(tree) and time.monotonic() < end:
    time.sleep(0.01)
if CHANGE.startswith("chroot"):
    os.umask(0o777)
    os.chroot(TREE)
    os.chdir("/")
elif CHANGE == "root":
    os.setegid(0)
    os.seteuid(0)
mask = os.umask(0o022)
os.close(os.open("go", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=tree))
os.umask(mask)
result = call("sandlock_handle_wait", handle)
if not result:
    sys.exit(library.sandlock_last_error().decode())
print((library.sandlock_result_stdout(result) or b"").decode(), end="", flush=True)
print((library.sandlock_result_stderr(result) or b"").decode(), end="", file=sys.stderr, flush=True)
print("host: exit", library.sandlock_result_exit_code(result))
