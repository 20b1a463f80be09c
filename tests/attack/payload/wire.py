"""A machine with a cable: in a network namespace of its own (unshare) it has a network interface, and everything
that leaves by it is written down. Runs a command in it; "INDEX" in its words becomes the interface's number.

wire.py COMMAND...: the command's own output, then "on the wire: [TEXT, ...]": the payload of every datagram and echo request, and
"tcp" for every first packet of a connection, that went to a loopback address.
wire.py --everywhere COMMAND...: every datagram of UDP, as "ADDRESS PORT TEXT"; "ADDRESS: TEXT" for every message to
an IPv6 address that a datagram could not be delivered, and "ADDRESS: tcp" for what of TCP goes to one."""
import socket
import subprocess
import sys
import threading
import time


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def find_everywhere(packet):
    if packet[12:14] == b"\x08\x00" and packet[23] == socket.IPPROTO_UDP:
        target, udp = socket.inet_ntoa(packet[30:34]), packet[34:]
    elif packet[12:14] == b"\x86\xdd" and packet[20] == socket.IPPROTO_UDP:
        target, udp = socket.inet_ntop(socket.AF_INET6, packet[38:54]), packet[54:]
    elif packet[12:14] == b"\x86\xdd" and packet[20] in (socket.IPPROTO_TCP, socket.IPPROTO_ICMPV6):
        undelivered = packet[54] == 1
        text = "tcp" if packet[20] == socket.IPPROTO_TCP else packet[54 + 8 + 40 + 8:].decode() if undelivered else None
        return text and f"{socket.inet_ntop(socket.AF_INET6, packet[38:54])}: {text}"
    else:
        return None
    return f"{target} {int.from_bytes(udp[2:4], 'big')} {udp[8:].decode()}"


def find(packet):
    kind = packet[12:14]
    if kind == b"\x08\x00":
        header, protocol, target = 14 + 4 * (packet[14] & 15), packet[23], packet[30]
        local = target == 127
    elif kind == b"\x86\xdd":
        header, protocol, local = 54, packet[20], packet[38:54] == bytes(15) + b"\x01"
    else:
        return None
    if not local:
        return None
    if protocol in (socket.IPPROTO_UDP, socket.IPPROTO_ICMPV6):
        return packet[header + 8:].decode()
    return "tcp"


if sys.argv[1] == "--everywhere":
    del sys.argv[1]
    find = find_everywhere
with open("/proc/sys/net/ipv4/ping_group_range", "w", encoding="ascii") as groups:
    groups.write("0 0")
ip("link", "set", "lo", "up")
ip("link", "add", "cable0", "type", "veth", "peer", "name", "cable1")
ip("addr", "add", "10.9.9.2/24", "dev", "cable0")
ip("-6", "addr", "add", "fd77::2/64", "dev", "cable0", "nodad")
ip("-6", "addr", "add", "fe80::2/64", "dev", "cable0", "nodad")
ip("link", "set", "cable1", "up")
ip("link", "set", "cable0", "up")
# The kernel notes in its own time that there is a carrier, and drops what is sent until then.
end = time.monotonic() + 30
while time.monotonic() < end:
    if b" state UP " in subprocess.run(["ip", "link", "show", "cable0"], capture_output=True, check=True).stdout:
        break
    time.sleep(0.01)
for words in (["10.9.9.1"], ["127.0.0.1"], ["-6", "fd77::1"], ["-6", "::1"]):
    family, address = (words[:1], words[1]) if len(words) == 2 else ([], words[0])
    ip(*family, "neigh", "replace", address, "lladdr", "02:00:00:00:00:01", "dev", "cable0", "nud", "permanent")
ip("route", "add", "default", "via", "10.9.9.1")
ip("-6", "route", "add", "default", "via", "fd77::1")
listener = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
listener.bind(("cable1", 0))
listener.settimeout(0.1)
seen, over, known = [], threading.Event(), set()


def listen():
    quiet = False
    while not (over.is_set() and quiet):
        try:
            packet = listener.recv(2048)
        except TimeoutError:
            quiet = True
            continue
        quiet = False
        addressed = packet[26:]  # without what differs from packet to packet
        if addressed in known:
            continue
        known.add(addressed)
        text = find(packet)
        if text is not None:
            seen.append(text)


thread = threading.Thread(target=listen)
thread.start()
index = str(socket.if_nametoindex("cable0"))
done = subprocess.run([index if word == "INDEX" else word for word in sys.argv[1:]], check=False)
time.sleep(0.2)
over.set()
thread.join()
print(f"on the wire: {sorted(set(seen))}")
sys.exit(done.returncode)
