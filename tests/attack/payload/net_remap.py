"""Virtual ports as a way to ports of the host. Every line from standard input is one step: the program says
what came of it in one line.

    net_remap.py PORT    bind HOST | close | connect HOST | share KIND | reuse KIND | race KIND | taken
"""

import os
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(__file__))
from raw import name_of

KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def made(host, kind=socket.SOCK_STREAM):
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    if ":" in host and not host.startswith("::ffff"):
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return sock


class Program:
    def __init__(self, port):
        self.port = port
        self.sockets = []

    def bind(self, host):
        sock = made(host)
        self.sockets.append(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, self.port))
        sock.listen()

    def close(self):
        for sock in self.sockets:
            sock.close()
        self.sockets = []

    def connect(self, host):
        with made(host) as sock:
            sock.settimeout(5)
            sock.connect((host, self.port))

    def shared(self, kind, option=socket.SO_REUSEPORT):
        sock = made("127.0.0.1", KINDS[kind])
        sock.setsockopt(socket.SOL_SOCKET, option, 1)
        try:
            sock.bind(("127.0.0.1", self.port))
            if kind == "tcp":
                sock.listen()
        except OSError:
            sock.close()
            raise
        return sock

    def share(self, kind):
        self.sockets.append(self.shared(kind))

    def reuse(self, kind):
        self.sockets.append(self.shared(kind, socket.SO_REUSEADDR))

    def race(self, kind):
        """Binds without the option again and again, while a thread switches it on."""
        target, end = [None], time.monotonic() + 2

        def switch():
            while time.monotonic() < end:
                sock = target[0]
                try:
                    if sock is not None:
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                except OSError:
                    pass

        thread = threading.Thread(target=switch)
        thread.start()
        while time.monotonic() < end and len(self.sockets) < 20:
            target[0] = sock = made("127.0.0.1", KINDS[kind])
            try:
                sock.bind(("127.0.0.1", self.port))
                if kind == "tcp":
                    sock.listen()
                self.sockets.append(sock)
            except OSError:
                sock.close()
        thread.join()

    def taken(self):
        """How much arrived at the sockets."""
        count = 0
        for sock in self.sockets:
            sock.setblocking(False)
            try:
                while True:
                    if sock.type == socket.SOCK_STREAM:
                        sock.accept()[0].close()
                    else:
                        sock.recv(10)
                    count += 1
            except OSError:
                pass
        return count


program = Program(int(sys.argv[1]))
for line in sys.stdin:
    step, *arguments = line.split()
    try:
        result = getattr(program, step)(*arguments)
        print("OK" if result is None else result, flush=True)
    except OSError as error:
        print(name_of(-error.errno), flush=True)
