"""Acts on a file that no grant covers, by every call and by every way to it.

    files.py direct PATH LINK [NAME] every operation on PATH, or one; LINK is a name in a writable place
                                    and LINK.own a file there
    files.py ways DIRECTORY PATH    opens PATH for reading and for writing by other spellings, from links
                                    made in the writable DIRECTORY
    files.py fd N                   what can be done with the inherited descriptor N of a read-only file
"""

import ctypes
import os
import sys

sys.path.insert(0, os.path.dirname(__file__))
from raw import attempt, call, report

NULL = ctypes.c_void_p(None)


def text(path):
    return ctypes.c_char_p(os.fsencode(path))


def openat2(path, flags, resolve=0):
    how = (ctypes.c_uint64 * 3)(flags, 0, resolve)
    fd = call("openat2", -100, text(path), how, 24)
    if fd >= 0:
        os.close(fd)
    return fd


def opened(number, *arguments):
    fd = call(number, *arguments)
    if fd >= 0:
        os.close(fd)
    return fd


def direct(path, link, only=None):
    new = path + ".new"
    operations = {
        "open_read": lambda: opened(2, text(path), os.O_RDONLY),
        "openat_read": lambda: opened(257, -100, text(path), os.O_RDONLY),
        "openat2_read": lambda: openat2(path, os.O_RDONLY),
        "open_write": lambda: opened(2, text(path), os.O_WRONLY),
        "open_append": lambda: opened(2, text(path), os.O_WRONLY | os.O_APPEND),
        "open_truncate": lambda: opened(2, text(path), os.O_RDONLY | os.O_TRUNC),
        "openat2_write": lambda: openat2(path, os.O_RDWR),
        "truncate": lambda: call(76, text(path), 0),
        "creat": lambda: opened(85, text(new), 0o600),
        "open_create": lambda: opened(2, text(new), os.O_CREAT | os.O_WRONLY, 0o600),
        "tmpfile": lambda: opened(2, text(os.path.dirname(path)), os.O_TMPFILE | os.O_RDWR, 0o600),
        "mkdir": lambda: call(83, text(new), 0o700),
        "mknod_fifo": lambda: call(133, text(new), 0o010600, 0),
        "mknod_file": lambda: call(133, text(new), 0o100600, 0),
        "symlink": lambda: call(88, text("/"), text(new)),
        "link_out": lambda: call(86, text(path), text(new)),
        "link_in": lambda: call(86, text(path), text(link)),
        "linkat_in": lambda: call(265, -100, text(path), -100, text(link), 0x400),
        "rename_in": lambda: call(82, text(path), text(link)),
        "renameat2_exchange": lambda: call(316, -100, text(path), -100, text(link + ".own"), 2),
        "rename_over": lambda: call(82, text(link + ".own"), text(path)),
        "unlink": lambda: call(87, text(path)),
        "unlinkat": lambda: call(263, -100, text(path), 0),
        "rmdir": lambda: call(84, text(os.path.dirname(path))),
        "exec": lambda: exec_of(path),
        "uselib": lambda: call(134, text(path)),
    }
    for name, operation in operations.items():
        if only in (None, name):
            report(name, operation())


def exec_of(path):
    pid = os.fork()
    if pid == 0:
        try:
            os.execv(path, [path])
        except OSError as error:
            os._exit(error.errno)
    return -os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def o_path_read():
    fd = os.open(sys.argv[3], os.O_PATH)
    os.close(os.open(f"/proc/self/fd/{fd}", os.O_RDONLY))


def o_path_directory():
    fd = os.open(os.path.dirname(sys.argv[3]), os.O_PATH | os.O_DIRECTORY)
    os.close(os.open(os.path.basename(sys.argv[3]), os.O_RDWR, dir_fd=fd))


def o_path_link():
    fd = os.open(sys.argv[3], os.O_PATH)
    result = call(265, fd, text(""), -100, text(f"{sys.argv[2]}/linked"), 0x1000)
    if result < 0:
        result = call(265, -100, text(f"/proc/self/fd/{fd}"), -100, text(f"{sys.argv[2]}/linked"), 0x400)
    if result < 0:
        raise OSError(-result, "linkat")


def change_directory():
    fd = os.open(os.path.dirname(sys.argv[3]), os.O_PATH | os.O_DIRECTORY)
    os.fchdir(fd)
    os.close(os.open(os.path.basename(sys.argv[3]), os.O_RDWR))


def read_and_write(path):
    def one(flags):
        return lambda: os.close(os.open(path, flags))
    return one(os.O_RDONLY), one(os.O_WRONLY)


def ways(directory, path):
    link = f"{directory}/link"
    os.symlink(path, link)
    os.symlink(os.path.dirname(path), f"{directory}/directory")
    os.symlink("link", f"{directory}/link-to-link")
    name = os.path.basename(path)
    spellings = {
        "plain": path,
        "symlink": link,
        "symlink_twice": f"{directory}/link-to-link",
        "directory_symlink": f"{directory}/directory/{name}",
        "dots": f"{directory}/../{os.path.relpath(path, os.path.dirname(directory))}",
        "double_slash": path.replace("/", "//"),
        "proc_self_root": f"/proc/self/root{path}",
        "proc_1_root": f"/proc/1/root{path}",
        "proc_self_cwd": f"/proc/self/cwd/{os.path.relpath(path)}",
        "dev_fd": f"/dev/fd/../../..{path}",
    }
    for spelling, name in spellings.items():
        read, write = read_and_write(name)
        attempt(f"{spelling}_read", read)
        attempt(f"{spelling}_write", write)
    attempt("o_path_read", o_path_read)
    attempt("o_path_directory", o_path_directory)
    attempt("o_path_link", o_path_link)
    attempt("change_directory", change_directory)


def fd(number):
    number = int(number)
    attempt("read", lambda: os.read(number, 1))
    attempt("write", lambda: os.write(number, b"changed"))
    attempt("ftruncate", lambda: os.ftruncate(number, 0))
    attempt("reopen_read", lambda: os.close(os.open(f"/proc/self/fd/{number}", os.O_RDONLY)))
    attempt("reopen_write", lambda: os.close(os.open(f"/proc/self/fd/{number}", os.O_RDWR)))
    attempt("reopen_truncate", lambda: os.close(os.open(f"/proc/self/fd/{number}", os.O_RDONLY | os.O_TRUNC)))
    attempt("dev_stdin", lambda: os.close(os.open("/dev/stdin", os.O_RDWR)))


globals()[sys.argv[1]](*sys.argv[2:])
