"""A machine where the kernel can only choose a port that is denied, and a client that keeps trying that port.

net_few.py COMMAND...: in a network namespace of its own (unshare) the other ports are taken, and the command runs beside
the client; prints what the command does, and whether the client was ever answered.
net_few.py listen: listens again and again without a bind and after a bind to port 0; prints what came of each way.
"""
import errno
import select
import socket
import subprocess
import sys
import threading

FIRST, DENIED, LAST = 40000, 40003, 40007
OWN_PORTS = range(20000, 30000)  # of the client: the kernel has none left


def listen():
    for way in ("listen", "bind"):
        results = set()
        for _ in range(1000):
            with socket.socket() as server:
                try:
                    if way == "bind":
                        server.bind(("", 0))
                    server.listen()
                    results.add(str(server.getsockname()[1]))
                    if select.select([server], [], [], 20)[0]:  # the control: the client has come
                        break
                except OSError as error:
                    results.add(errno.errorcode[error.errno])
        print(f"{way}: {' '.join(sorted(results))}", flush=True)


def serve(command):
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with open("/proc/sys/net/ipv4/ip_local_port_range", "w", encoding="ascii") as choice:
        choice.write(f"{FIRST} {LAST}")
    held = []
    for port in range(FIRST, LAST + 1):
        if port != DENIED:
            held.append(socket.socket())
            held[-1].bind(("", port))
    over, answered = threading.Event(), []

    def client():
        while not over.is_set():
            for own in OWN_PORTS:
                with socket.socket() as trying:
                    trying.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    trying.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    try:
                        trying.bind(("127.0.0.1", own))
                        trying.connect(("127.0.0.1", DENIED))
                        answered.append(own)
                    except OSError:
                        pass
                if over.is_set():
                    return

    trying = threading.Thread(target=client)
    trying.start()
    done = subprocess.run(command, stdout=subprocess.PIPE, encoding="ascii", timeout=40, check=False)
    over.set()
    trying.join()
    print(done.stdout, end="")
    print(f"answered: {'yes' if answered else 'no'}", flush=True)


if sys.argv[1] == "listen":
    listen()
else:
    serve(sys.argv[1:])
