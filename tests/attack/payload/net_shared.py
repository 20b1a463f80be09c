"""A service of the machine whose UDP ports can be shared, on a machine where the kernel chooses among few ports.

net_shared.py COMMAND...: in a network namespace of its own (unshare) it has these ports, and the command runs beside it;
prints how many of its datagrams the service got.
net_shared.py take: takes every port that it can get without a bind.
"""
import socket
import subprocess
import sys

FIRST, SENT = 40000, 20
SHARING = {"SO_REUSEADDR": socket.SO_REUSEADDR, "SO_REUSEPORT": socket.SO_REUSEPORT}


def take():
    """Sockets that have a port without a bind. More than there are ports: the kernel begins anywhere."""
    held = []
    for option in SHARING.values():
        for _ in range(64):
            held.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            held[-1].setsockopt(socket.SOL_SOCKET, option, 1)
            try:
                held[-1].send(b"")
            except OSError:
                pass
    print("taken", flush=True)
    sys.stdin.readline()


def serve(command):
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with open("/proc/sys/net/ipv4/ip_local_port_range", "w", encoding="ascii") as choice:
        choice.write(f"{FIRST} {FIRST + len(SHARING) - 1}")
    services = {}
    for port, (name, option) in enumerate(SHARING.items(), FIRST):
        services[name] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        services[name].setsockopt(socket.SOL_SOCKET, option, 1)
        services[name].bind(("0.0.0.0", port))
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="ascii")
    ready = other.stdout.readline()
    for name, service in services.items():
        for client in range(SENT):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.bind(("127.0.0.1", FIRST + 1000 + client))
                sender.sendto(b"for the service", ("127.0.0.1", service.getsockname()[1]))
        got = 0
        while True:  # on loopback all has arrived
            try:
                service.recv(100, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            got += 1
        print(f"{name}: {got}", flush=True)
    other.communicate("over\n", timeout=30)
    print(f"ready: {ready.strip()}")


if sys.argv[1] == "take":
    take()
else:
    serve(sys.argv[1:])
