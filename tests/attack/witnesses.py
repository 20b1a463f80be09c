"""Servers outside the sandbox that remember who reached them. A refusal counts only if nothing arrived."""

import contextlib
import functools
import os
import pathlib
import random
import select
import shutil
import socket
import tempfile
import threading
import time

import pytest

# Seconds until "nothing arrived" is believed: on loopback what was sent has arrived when the sender is gone.
PATIENCE = 0.1


class Witness:
    """A socket that is asked, after an attack, what has arrived since the last question."""

    def __init__(self, bound):
        self.socket = bound
        self.socket.settimeout(10)

    @property
    def port(self):
        return self.socket.getsockname()[1]

    def close(self):
        self.socket.close()

    def gather(self, receive, patience):
        found = []
        while select.select([self.socket], [], [], 0 if found else patience)[0]:
            found.append(receive())
        return found


class StreamWitness(Witness):
    """Counts connections."""

    def __init__(self, bound):
        bound.listen(4096)
        super().__init__(bound)

    def arrivals(self, patience=PATIENCE):
        def receive():
            connection, _ = self.socket.accept()
            connection.close()
            return True
        return len(self.gather(receive, patience))


class DatagramWitness(Witness):
    """Keeps datagrams."""

    def arrivals(self, patience=PATIENCE):
        return self.gather(lambda: self.socket.recv(4096), patience)


class UnixDatagramWitness(Witness):
    """Keeps datagrams as they come: only a few fit in the queue, and the next sender would wait."""

    def __init__(self, bound):
        super().__init__(bound)
        self.socket.setblocking(False)
        self.found, self.lock = [], threading.Lock()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.collect, daemon=True)
        self.thread.start()

    def collect(self):
        while not self.over.is_set():
            if select.select([self.socket], [], [], 0.02)[0]:
                self.drain()

    def drain(self):
        with self.lock, contextlib.suppress(BlockingIOError):
            while True:
                self.found.append(self.socket.recv(4096))

    def arrivals(self, patience=PATIENCE):
        time.sleep(patience)
        self.drain()
        with self.lock:
            found, self.found = self.found, []
        return found

    def close(self):
        self.over.set()
        self.thread.join()


@contextlib.contextmanager
def tcp_witness(host="127.0.0.1"):
    """A TCP server; `port` is its port."""
    with bound(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, (host, 0)) as stream:
        yield StreamWitness(stream)


@contextlib.contextmanager
def udp_witness(host="127.0.0.1"):
    with bound(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM, (host, 0)) as datagram:
        yield DatagramWitness(datagram)


@contextlib.contextmanager
def udp_witness_at(host, port):
    with bound(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM, (host, port)) as datagram:
        yield DatagramWitness(datagram)


@contextlib.contextmanager
def unix_witness(path, kind=socket.SOCK_STREAM):
    """A named (or, with a leading zero byte, abstract) unix server of this kind."""
    with bound(socket.AF_UNIX, kind, path) as server:
        witness = UnixDatagramWitness(server) if kind == socket.SOCK_DGRAM else StreamWitness(server)
        try:
            yield witness
        finally:
            witness.close()


@contextlib.contextmanager
def bound(family, kind, address):
    try:
        server = socket.socket(family, kind)
        if family == socket.AF_INET6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.bind(address)
    except OSError as error:
        if family == socket.AF_INET6:
            pytest.skip(f"no IPv6 loopback: {error}")
        raise
    with server:
        yield server


def free_port(kind=socket.SOCK_STREAM):
    """A port of 127.0.0.1 that nobody uses."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def port_below():
    """A free TCP port that the kernel never chooses by itself."""
    for port in random.sample(range(20000, 30000), 100):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no port is free")


@contextlib.contextmanager
def short_directory():
    """A directory with a name that leaves room in the name of a unix socket."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="sl", dir="/tmp"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def rules(*words):
    """--net-allow for every word; for a word that starts with ! --net-deny."""
    return [part for word in words
            for part in (("--net-deny", word[1:]) if word.startswith("!") else ("--net-allow", word))]


@functools.lru_cache(maxsize=None)
def is_sanitized():
    """The sanitizers keep what is freed, so that the size of the process tells nothing."""
    return b"__asan_init" in pathlib.Path(os.environ.get("SANDLOCK_BIN", "build/sandlock")).read_bytes()


def resident_kib(pid):
    """Memory of a process, or None where this is not told."""
    if is_sanitized():
        return None
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/status", encoding="ascii") as stream:
            for line in stream:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1])
    return None


def descriptors(pid):
    """How many descriptors a process holds, or None where this is not told."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return None
