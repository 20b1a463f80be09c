"""A file system of a server that can stop answering: the FUSE protocol, as far as a few names need it.

Its names are never cached (every lookup asks the server again), unless `remembered`.
"""

import ctypes
import os
import struct
import threading

# fuse(4), include/uapi/linux/fuse.h
LOOKUP, FORGET, GETATTR, SETATTR, OPEN, STATFS, RELEASE, INIT, OPENDIR = 1, 2, 3, 4, 14, 17, 18, 26, 27
READDIR, RELEASEDIR, BATCH_FORGET = 28, 29, 42
ROOT_NODE, FILE_NODE = 1, 2
FILE = b"file"
MAJOR, MINOR = 7, 31
HEADER = struct.Struct("<IIQQ")
HEADER_SIZE = 40
MNT_FORCE, MNT_DETACH = 1, 2  # forced: what waits for an answer gets an error
NOSUID_NODEV = 6

libc = ctypes.CDLL(None, use_errno=True)


class StallingServer:
    """Mounted at `where`, which becomes a directory that holds FILE. Only for root."""

    def __init__(self, where, remembered=False):
        self.where = os.fsencode(where)
        self.valid = 3600 if remembered else 0
        self.silent = threading.Event()
        self.device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = b"fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other" % self.device
        if libc.mount(b"stalling", self.where, b"fuse", NOSUID_NODEV, options) != 0:
            error = ctypes.get_errno()
            os.close(self.device)
            raise OSError(error, os.strerror(error))
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                request = os.read(self.device, 1 << 20)
            except OSError:  # unmounted
                return
            _, operation, number, node = HEADER.unpack_from(request)
            if operation in (FORGET, BATCH_FORGET) or self.silent.is_set():
                continue
            error, answer = self.answer(operation, node, request[HEADER_SIZE:])
            os.write(self.device, struct.pack("<IiQ", 16 + len(answer), error, number) + answer)

    def answer(self, operation, node, body):
        if operation == INIT:
            return 0, struct.pack("<IIIIHHIIHH28x", MAJOR, MINOR, 65536, 0, 16, 16, 65536, 1, 16, 0)
        if operation == LOOKUP:
            if body.rstrip(b"\0") != FILE:
                return -2, b""
            return 0, struct.pack("<QQQQII", FILE_NODE, 0, self.valid, 0, 0, 0) + self.attributes(FILE_NODE)
        if operation in (GETATTR, SETATTR):
            return 0, struct.pack("<QII", 0, 0, 0) + self.attributes(node)
        if operation in (OPEN, OPENDIR):
            return 0, struct.pack("<QII", 1, 0, 0)
        if operation == STATFS:
            return 0, bytes(80)
        if operation in (RELEASE, READDIR, RELEASEDIR):
            return 0, b""
        return -38, b""

    @staticmethod
    def attributes(node):
        mode = 0o40777 if node == ROOT_NODE else 0o100666
        return struct.pack("<6Q10I", node, 0, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

    def stop_answering(self):
        self.silent.set()

    def close(self):
        """What waits for an answer gets an error. Can be repeated."""
        if self.device >= 0:
            libc.umount2(self.where, MNT_FORCE | MNT_DETACH)
            self.thread.join(10)
            os.close(self.device)
            self.device = -1
