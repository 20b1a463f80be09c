"""Ways to named unix sockets.

    net_unix.py reach CWD KIND LABEL=HEX...   connects and sends to each name (its bytes in hex), in CWD;
                                              KIND is stream, datagram or seqpacket
    net_unix.py handles DIRECTORY NAME        by descriptors of the directory and of the socket file
    net_unix.py missing PATH...               the error of names that lead to no socket
    net_unix.py bind CWD LABEL=HEX...         binding each name
    net_unix.py abstract HEX                  an abstract stream and datagram (NAME.datagram) name
    net_unix.py own DIRECTORY                 a server of its own in the directory
"""

import os
import socket
import sys

sys.path.insert(0, os.path.dirname(__file__))
from net_raw import *

KINDS = {"stream": STREAM, "datagram": DGRAM, "seqpacket": SEQPACKET}


def labelled(words):
    for word in words:
        label, _, text = word.partition("=")
        yield label, bytes.fromhex(text)


def whole_batch(fd, headers):
    """Sends what is left again: fewer than asked for is no error."""
    while headers:
        result = sendmmsg(fd, headers)
        if result <= 0:
            return result
        headers = headers[result:]
    return 0


def ways(name, kind):
    """label -> function(fd): every call that reaches this name; names end at a zero or at the length."""
    found = {"connect": lambda fd: connect(fd, unix(name)), "connect_ended": lambda fd: connect(fd, unix(name + b"\0rest"))}
    if len(name) < 108:
        found["connect_full"] = lambda fd: connect(fd, unix(name.ljust(108, b"\0")))
    if kind == DGRAM:
        found.update(all_sends(unix(name)))
        found["sendmmsg_second"] = lambda fd: whole_batch(fd, [message(b"attack", unix(name)) for _ in range(2)])
        found["connected"] = then(lambda fd: connect(fd, unix(name)), lambda fd: sendto(fd, None))
    return found


def reach(cwd, kind, *words):
    os.chdir(cwd)
    for label, name in labelled(words):
        for way, function in ways(name, KINDS[kind]).items():
            with_socket(f"{label} {way}", AF_UNIX, KINDS[kind], 0, function)
        if kind == "datagram":  # one end of a pair takes a name as well
            left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            report(f"{label} pair", sendto(left.fileno(), unix(name)))
            report(f"{label} pair_sendmsg", sendmsg(left.fileno(), message(b"attack", unix(name))))
            left.close()
            right.close()


def handles(directory, name):
    path = os.path.join(directory, name)
    socket_fd = directory_fd = None
    try:
        socket_fd = os.open(path, os.O_PATH)
        directory_fd = os.open(directory, os.O_PATH)
    except OSError as error:
        report("open", -error.errno)
        return
    report("open", 0)
    names = {"fd": f"/proc/self/fd/{socket_fd}", "thread_fd": f"/proc/thread-self/fd/{socket_fd}",
             "pid_fd": f"/proc/{os.getpid()}/fd/{socket_fd}", "dev_fd": f"/dev/fd/{socket_fd}",
             "directory_fd": f"/proc/self/fd/{directory_fd}/{name}"}
    for label, text in names.items():
        with_socket(f"{label} connect", AF_UNIX, STREAM, 0, lambda fd: connect(fd, unix(text)))
    attempt("fchdir", lambda: os.fchdir(directory_fd))
    with_socket("after_fchdir connect", AF_UNIX, STREAM, 0, lambda fd: connect(fd, unix(name)))


def missing(*paths):
    for number, path in enumerate(paths):
        with_socket(f"{number} connect", AF_UNIX, STREAM, 0, lambda fd: connect(fd, unix(path)))
        with_socket(f"{number} sendto", AF_UNIX, DGRAM, 0, lambda fd: sendto(fd, unix(path)))
        with_socket(f"{number} sendmsg", AF_UNIX, DGRAM, 0, lambda fd: sendmsg(fd, message(b"x", unix(path))))


def bind_(cwd, *words):
    os.chdir(cwd)
    for label, name in labelled(words):
        with_socket(f"{label} bind", AF_UNIX, STREAM, 0, lambda fd: bind(fd, unix(name)))


def abstract(text):
    name = b"\0" + bytes.fromhex(text)
    with_socket("stream", AF_UNIX, STREAM, 0, lambda fd: connect(fd, unix(name)))
    for way, function in all_sends(unix(name + b".datagram")).items():
        with_socket(way, AF_UNIX, DGRAM, 0, function)
    with_socket("connect", AF_UNIX, DGRAM, 0, lambda fd: connect(fd, unix(name + b".datagram")))


def own(directory):
    os.chdir(directory)
    server = socket.socket(socket.AF_UNIX)
    server.bind("own")
    server.listen()
    client = socket.socket(socket.AF_UNIX)
    attempt("connect", lambda: client.connect("own"))
    peer, _ = server.accept()
    attempt("send", lambda: client.sendmsg([b"a", b"ttack"]))
    print(f"received: {peer.recv(16).decode()}")
    datagram, sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    datagram.bind("own.datagram")
    attempt("sendto", lambda: sender.sendto(b"attack", "own.datagram"))
    print(f"received_datagram: {datagram.recv(16).decode()}")


if __name__ == "__main__":
    main({**globals(), "bind": bind_})
