"""What programs learn about network interfaces: one loopback interface, whatever the host has.

The consumers are real: two libcs, Python with psutil, iproute2, ss, Go, Node and Java.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

import pytest

HELPERS = pathlib.Path(os.environ.get("SANDLOCK_BUILD", "build")).resolve() / "tests/helpers"
SEARCH = "/usr/local/go/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
PYTHON = "/usr/bin/python3"
POLICIES = {
    "no rules": [],
    "tcp rule": ["--net-allow", "tcp://127.0.0.1:9"],
    "rule": ["--net-allow", "127.0.0.1:9"],
    "udp rule": ["--net-allow", "udp://1.2.3.4"],
    "deny": ["--net-deny", "10.0.0.0/8"],
    "deny loopback": ["--net-deny", "127.0.0.0/8"],
}


def program(name):
    path = shutil.which(name, path=SEARCH)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


@pytest.fixture(params=POLICIES)
def policy(request):
    return POLICIES[request.param]


def python(sandlock, code, *options, **kwargs):
    return sandlock.run(*options, "--", PYTHON, "-c", code, **kwargs)


def succeed(result):
    assert result.code == 0, result
    return result.stdout


def stats(result):
    """Notifications by call, of a run with --stats."""
    rows = re.findall(r"^\s+(\d+)\s+[\d.]+/s\s+(\w+)$", result.stderr, re.MULTILINE)
    return {call: int(count) for count, call in rows}


# ---- libcs -----------------------------------------------------------------------------------------

# musl asks for a family by connecting to its loopback address.
LIBCS_THAT_SEE_IPV6 = ["", pytest.param("_musl", marks=pytest.mark.ipv6)]
MORE = ["address lo inet 127.0.0.2", "address lo inet6 ::ffff:127.0.0.2"]


@pytest.mark.root
@pytest.mark.parametrize("libc", ["", "_musl"])
def test_libcs_see_lo_alone(sandlock, policy, libc):
    probe = HELPERS / f"interfaces_probe{libc}"
    if not probe.exists():
        pytest.skip("not built")
    lines = succeed(sandlock.run("-r", HELPERS, *policy, "--", probe)).splitlines()
    facts = [line for line in lines if not line.startswith("getaddrinfo")]
    assert [line for line in facts if line not in MORE] == [
        "link lo up",
        "address lo inet 127.0.0.1",
        "address lo inet6 ::1",
        "interface 1 lo",
        "lo is 1",
        "eth0 is 0 error 19",
        "1 is lo",
        "2 is nothing error 6",
    ]
    # Both or neither: a host that has no other address is one without a network for getaddrinfo.
    assert [line for line in facts if line in MORE] == (MORE if policy else [])


@pytest.mark.parametrize("libc", LIBCS_THAT_SEE_IPV6)
def test_both_families_are_configured(sandlock, policy, libc):
    probe = HELPERS / f"interfaces_probe{libc}"
    if not probe.exists():
        pytest.skip("not built")
    if libc and not policy:
        pytest.skip("musl asks by a UDP socket, which needs a rule")
    lines = succeed(sandlock.run("-r", HELPERS, *policy, "--", probe)).splitlines()
    assert "getaddrinfo any unspec:  inet inet6" in lines
    if policy:
        assert lines[-2:] == ["getaddrinfo 127.0.0.1 inet:  inet", "getaddrinfo ::1 inet6:  inet6"]


# ---- Python -----------------------------------------------------------------------------------------

OPEN = """
import errno, os, socket, struct
def dump(kind=18, flags=0x301, body=b"\\0" * 4):
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 5, 0) + body
def fails(call, *args):
    try:
        call(*args)
    except OSError as error:
        return errno.errorcode.get(error.errno, "no such thing")
    return "OK"
"""


@pytest.mark.root
def test_python_sockets_look_like_netlink(sandlock, policy):
    code = OPEN + """
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
s.bind((0, 0))
assert s.getsockname() == (os.getpid(), 0), s.getsockname()
assert s.getpeername() == (0, 0)
assert s.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN) == 16
assert s.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_RAW
same = socket.socket(fileno=os.dup(s.fileno()))
s.send(dump())
data, sender = s.recvfrom(4096)
assert sender == (0, 0), sender
length, kind, flags, seq, pid = struct.unpack_from("=IHHII", data)
assert (kind, flags, seq, pid) == (16, 2, 5, os.getpid())
s.sendto(dump(22, 0x301), (0, 0))
data, ancillary, flags, sender = s.recvmsg(4096)
assert sender == (0, 0) and not ancillary and flags == 0
assert fails(s.sendto, dump(), (4711, 0)) == "EPERM"
assert socket.if_nameindex() == [(1, "lo")] and socket.if_nametoindex("lo") == 1
assert fails(socket.if_nametoindex, "eth0") == "no such thing"
print("ok")
"""
    assert succeed(python(sandlock, code, *policy)) == "ok\n"


def test_other_netlink_protocols_do_not_exist(sandlock, policy):
    code = OPEN + """
for protocol in (2, 4, 9, 12, 15, 16):
    assert fails(socket.socket, socket.AF_NETLINK, socket.SOCK_RAW, protocol) == "EAFNOSUPPORT", protocol
for family in (38, 17, 40, 44, 30):  # ALG, PACKET, VSOCK, XDP, TIPC
    assert fails(socket.socket, family, socket.SOCK_DGRAM, 0) == "EAFNOSUPPORT", family
print("ok")
"""
    assert succeed(python(sandlock, code, *policy)) == "ok\n"


@pytest.mark.root
def test_changes_are_refused(sandlock, policy):
    code = OPEN + """
s = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 0)
for kind in (16, 17, 19, 20, 21, 24, 25, 28, 29, 36):
    s.send(dump(kind, 5, b"\\0" * 16))
    reply = s.recv(4096)
    assert struct.unpack_from("=IHHII", reply)[1] == 2 and struct.unpack_from("=i", reply, 16)[0] == -errno.EPERM
print("ok")
"""
    assert succeed(python(sandlock, code, *policy)) == "ok\n"


@pytest.mark.parametrize("request_, statistics", [("SIOCGIFCONF", 0x8912), ("SIOCETHTOOL", 0x8946)])
def test_requests_that_list_interfaces_are_refused(sandlock, policy, request_, statistics):
    code = OPEN + f"""
import fcntl
print(fails(fcntl.ioctl, socket.socket(), {statistics}, bytearray(40)))
"""
    assert succeed(python(sandlock, code, *policy)) == "EPERM\n"


def test_psutil_finds_the_addresses_of_lo(sandlock, policy):
    if subprocess.run([PYTHON, "-c", "import psutil"], capture_output=True, check=False).returncode != 0:
        pytest.skip("python3-psutil is not installed")
    code = "import psutil; print({n: sorted(a.address for a in l) for n, l in psutil.net_if_addrs().items()})"
    found = eval(succeed(python(sandlock, code, *policy)))  # pylint: disable=eval-used
    assert list(found) == ["lo"] and {"127.0.0.1", "::1"} <= set(found["lo"])


def test_a_child_that_execs_keeps_the_socket(sandlock):
    code = OPEN + """
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
os.set_inheritable(s.fileno(), True)
creator = os.getpid()
inner = '''
import os, socket, struct, sys
s = socket.socket(fileno=int(sys.argv[1]))
assert s.getsockname() == (int(sys.argv[2]), 0), s.getsockname()
s.send(struct.pack("=IHHII", 20, 18, 0x301, 5, 0) + bytes(4))
assert struct.unpack_from("=IHHII", s.recv(4096))[4] == int(sys.argv[2])
print("ok")
'''
os.execv("/usr/bin/python3", ["python3", "-c", inner, str(s.fileno()), str(creator)])
"""
    assert succeed(python(sandlock, code)) == "ok\n"


@pytest.mark.root
def test_ten_thousand_sockets_leave_nothing_behind(sandlock):
    code = OPEN + """
import sys
def count():
    print("now", flush=True)
    sys.stdin.readline()
count()
for i in range(10000):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as s:
        if i % 50 == 0:
            s.send(dump())
            assert len(s.recv(4096)) > 100
count()
"""
    process = sandlock.start("--", PYTHON, "-c", code, stdin=subprocess.PIPE)
    held = []
    try:
        for _ in range(2):
            assert process.stdout.readline() == "now\n"
            for _ in range(200):  # what is closed is given back a moment later
                time.sleep(0.1)
                count = len(os.listdir(f"/proc/{process.pid}/fd"))
                if not held or count <= held[0] + 2:
                    break
            held.append(count)
            process.stdin.write("\n")
            process.stdin.flush()
        assert process.wait(60) == 0, process.stderr.read()
    finally:
        process.kill()
        process.communicate()
    assert held[1] <= held[0] + 2


# ---- iproute2 -----------------------------------------------------------------------------------------

IP = {
    "addr": r"^1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 .*state UNKNOWN",
    "link show dev lo": r"^1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536",
    "link": r"^1: lo: ",
    "route": r"^$",
    "rule": r"^$",
    "neigh": r"^$",
    "-6 route": r"^$",
    "route get 127.0.0.1": r"^local 127.0.0.1 dev lo",
}


@pytest.mark.parametrize("words", IP)
def test_ip_shows_lo_alone_and_ends(sandlock, policy, words):
    ip = program("ip")
    taken = []
    while len(taken) < 3 and min(taken, default=2) > 1:  # the machine may be busy once
        started = time.monotonic()
        out = succeed(sandlock.run(*policy, "--", ip, *words.split(), timeout=30))
        taken.append(time.monotonic() - started)
    assert min(taken) < 3
    assert re.search(IP[words], out), out
    assert set(re.findall(r"^\d+: (\w+)", out, re.MULTILINE)) <= {"lo"}


def test_ip_on_the_host_shows_the_host():
    """The positive control: what is hidden exists."""
    names = re.findall(r"^\d+: ([\w.-]+)", subprocess.run(
        [program("ip"), "link"], capture_output=True, text=True, check=True).stdout, re.MULTILINE)
    assert "lo" in names
    if names == ["lo"]:
        pytest.skip("this host has no other interface")


@pytest.mark.root
@pytest.mark.parametrize("words,message", [
    ("link set lo down", "Operation not permitted"),
    ("addr add 10.9.8.7/8 dev lo", "Operation not permitted"),
    ("route add 10.0.0.0/8 dev lo", "Operation not permitted"),
    ("route get 192.0.2.1", "Network is unreachable"),
    ("link show dev eth0", "does not exist"),
])
def test_ip_changes_nothing_and_is_told_why(sandlock, policy, words, message):
    result = sandlock.run(*policy, "--", program("ip"), *words.split(), timeout=30)
    assert result.code != 0 and message in result.stderr, result


def test_ss_ends_without_the_hosts_sockets(sandlock):
    result = sandlock.run("--", program("ss"), "-tan", timeout=30)
    assert not re.findall(r"^(LISTEN|ESTAB)", result.stdout, re.MULTILINE), result


# ---- Other runtimes ---------------------------------------------------------------------------------

GO = r"""
package main

import (
	"fmt"
	"net"
	"os"
	"syscall"
)

func check(err error) {
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

// As the netlink packages do: the sender's address must be a SockaddrNetlink of the kernel.
func raw() {
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, 0)
	check(err)
	defer syscall.Close(fd)
	check(syscall.Bind(fd, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}))
	name, err := syscall.Getsockname(fd)
	check(err)
	own := name.(*syscall.SockaddrNetlink)
	request := make([]byte, 20)
	request[0], request[4], request[6], request[7], request[8] = 20, 18, 1, 3, 1
	check(syscall.Sendto(fd, request, 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}))
	reply := make([]byte, 4096)
	n, from, err := syscall.Recvfrom(fd, reply, 0)
	check(err)
	sender, ok := from.(*syscall.SockaddrNetlink)
	messages, err := syscall.ParseNetlinkMessage(reply[:n])
	check(err)
	fmt.Println("raw", ok && sender.Pid == 0, own.Pid == uint32(os.Getpid()), len(messages))
}

func main() {
	interfaces, err := net.Interfaces()
	check(err)
	for _, one := range interfaces {
		fmt.Println("interface", one.Index, one.Name, one.MTU, one.Flags)
		addresses, err := one.Addrs()
		check(err)
		for _, address := range addresses {
			fmt.Println("address", address)
		}
	}
	_, err = net.InterfaceByName("eth0")
	fmt.Println("eth0", err != nil)
	raw()
	done := make(chan bool)
	for i := 0; i < 8; i++ {
		go func() {
			for j := 0; j < 100; j++ {
				list, err := net.Interfaces()
				if err != nil || len(list) != 1 {
					done <- false
					return
				}
			}
			done <- true
		}()
	}
	right := true
	for i := 0; i < 8; i++ {
		right = <-done && right
	}
	fmt.Println("many", right)
}
"""


def build_go(place, text, **environment):
    """The standard library is compiled at the first use: minutes on a small machine, so it is kept."""
    cache = pathlib.Path(tempfile.gettempdir()) / f"sandlock-go-cache-{os.geteuid()}"
    (place / "main.go").write_text(text)
    env = {"PATH": SEARCH, "HOME": str(place), "GOCACHE": str(cache), "GO111MODULE": "off",
           "CGO_ENABLED": "0", "GOFLAGS": "-p=2", **environment}
    done = subprocess.run([program("go"), "build", "-o", place / "program", "main.go"], cwd=place, env=env,
                          capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        pytest.skip(f"go build failed here: {done.stderr[-300:]}")
    return place / "program"


@pytest.fixture(scope="session")
def go_program(tmp_path_factory):
    program("go")
    return build_go(tmp_path_factory.mktemp("go"), GO)


GO_PACKAGES = pathlib.Path("/usr/share/gocode")

GO_NETLINK = r"""
package main

import (
	"fmt"

	"github.com/vishvananda/netlink"
)

func main() {
	links, err := netlink.LinkList()
	fmt.Println("links", err)
	for _, link := range links {
		fmt.Println("link", link.Attrs().Index, link.Attrs().Name, link.Attrs().MTU)
		addresses, err := netlink.AddrList(link, netlink.FAMILY_ALL)
		fmt.Println("addresses", err)
		for _, address := range addresses {
			fmt.Println("address", address.IPNet)
		}
	}
	_, err = netlink.LinkByName("eth0")
	fmt.Println("eth0", err != nil)
	_, err = netlink.RouteList(nil, netlink.FAMILY_ALL)
	fmt.Println("routes", err)
	lo, err := netlink.LinkByName("lo")
	fmt.Println("lo", err)
	fmt.Println("down", netlink.LinkSetDown(lo))
}
"""


@pytest.fixture(scope="session")
def go_netlink_program(tmp_path_factory):
    program("go")
    if not (GO_PACKAGES / "src/github.com/vishvananda/netlink").is_dir():
        pytest.skip("golang-github-vishvananda-netlink-dev is not installed")
    return build_go(tmp_path_factory.mktemp("go-netlink"), GO_NETLINK, GOPATH=str(GO_PACKAGES))


def test_a_netlink_package_of_go_finds_lo_alone(sandlock, policy, go_netlink_program):
    words = ["-r", go_netlink_program.parent, *policy, "--", go_netlink_program]
    lines = succeed(sandlock.run(*words)).splitlines()
    assert [line for line in lines if "127.0.0.2" not in line] == [
        "links <nil>",
        "link 1 lo 65536",
        "addresses <nil>",
        "address 127.0.0.1/8",
        "address ::1/128",
        "eth0 true",
        "routes <nil>",
        "lo <nil>",
        "down operation not permitted",
    ]


def test_go_finds_lo_alone(sandlock, policy, go_program):
    lines = succeed(sandlock.run("-r", go_program.parent, *policy, "--", go_program)).splitlines()
    assert [line for line in lines if "127.0.0.2" not in line] == [
        "interface 1 lo 65536 up|loopback|running",
        "address 127.0.0.1/8",
        "address ::1/128",
        "eth0 true",
        "raw true true 2",
        "many true",
    ]


def test_node_finds_lo_alone(sandlock, policy):
    node = program("node")
    code = "console.log(JSON.stringify(require('os').networkInterfaces()))"
    options = [word for path in ("/opt", "/proc", "/sys/fs") if os.path.exists(path) for word in ("-r", path)]
    found = json.loads(succeed(sandlock.run(*options, *policy, "--", node, "-e", code)))
    assert list(found) == ["lo"]
    assert {"127.0.0.1", "::1"} <= {one["address"] for one in found["lo"]}


JAVA = r"""
import java.net.*;
import java.util.*;

class Datagrams {
    public static void main(String[] words) throws Exception {
        new DatagramSocket().close();
        java.nio.channels.DatagramChannel.open().close();
        new MulticastSocket().close();
        System.out.println("opened");
    }
}

public class Probe {
    interface Call {
        Object make() throws Exception;
    }

    static void show(String name, Call call) {
        Object result;
        try {
            result = call.make();
        } catch (Exception error) {
            result = error.getClass().getSimpleName();
        }
        System.out.println(name + ": " + result);
    }

    public static void main(String[] words) throws Exception {
        System.out.println(InetAddress.getLoopbackAddress().isLoopbackAddress());
        System.out.println(InetAddress.getByName("localhost").isLoopbackAddress());
        new Socket().close();
        show("all", () -> Collections.list(NetworkInterface.getNetworkInterfaces()).size() > 0);
        show("by name", () -> NetworkInterface.getByName("lo").getName());
        show("by index", () -> NetworkInterface.getByIndex(1).getName());
        show("by address", () ->
            NetworkInterface.getByInetAddress(InetAddress.getLoopbackAddress()).getName());
    }
}
"""


@pytest.fixture(scope="module")
def java_class(tmp_path_factory):
    place = tmp_path_factory.mktemp("java")
    (place / "Probe.java").write_text(JAVA)
    subprocess.run([program("javac"), "Probe.java"], cwd=place, check=True, capture_output=True, timeout=120)
    return place


def test_java_runs_and_knows_its_loopback_address_and_no_interface(sandlock, policy, java_class):
    """Its class NetworkInterface asks by SIOCGIFCONF alone, which is refused."""
    java = [program("java"), "-cp", java_class, "Probe"]
    words = ["-r", java_class, "-r", "/proc", "-r", "/sys/fs", *policy]
    assert succeed(sandlock.run(*words, "--", *java, timeout=60)).splitlines() == [
        "true",
        "true",
        "all: SocketException",
        "by name: SocketException",
        "by index: SocketException",
        "by address: SocketException",
    ]


def test_java_opens_its_kinds_of_udp_sockets(sandlock, java_class):
    """Each sets options that say how multicast is sent, and is bound at once."""
    java = [program("java"), "-cp", java_class, "Datagrams"]
    words = ["-r", java_class, "-r", "/proc", "-r", "/sys/fs", "--net-allow", "udp://127.0.0.1:9"]
    assert succeed(sandlock.run(*words, "--", *java, timeout=60)) == "opened\n"


def test_java_on_the_host_finds_the_interfaces(java_class):
    """The positive control: nothing but the sandbox hides them."""
    done = subprocess.run([program("java"), "-cp", java_class, "Probe"], capture_output=True, text=True,
                          timeout=60, check=True)
    assert done.stdout.splitlines()[2:] == ["all: true", "by name: lo", "by index: lo", "by address: lo"]


# ---- Cost and limits -----------------------------------------------------------------------------------

def test_receiving_writing_and_closing_are_never_notified(sandlock):
    code = """
import ctypes, os, socket
a, b = socket.socketpair()
libc, place = ctypes.CDLL(None), ctypes.create_string_buffer(8)
parts = (ctypes.c_uint64 * 2)(ctypes.addressof(place), 1)
header = (ctypes.c_uint64 * 8)(0, 0, ctypes.addressof(parts), 1)
for _ in range(200):
    a.send(b"x"); b.recv(1); os.write(a.fileno(), b"x"); os.read(b.fileno(), 1); b.send(b"y"); a.recvmsg(1)
    a.send(b"x"); assert libc.recvmmsg(b.fileno(), header, 1, 0, None) == 1
    socket.socket().close()
"""
    result = python(sandlock, code, "--stats")
    assert result.code == 0, result
    counted = stats(result)
    names = ["recvfrom", "recvmsg", "recvmmsg", "read", "write", "close", "sendto", "socket", "getsockname"]
    # Python itself asks sockets that it is given for their names: never these hundreds.
    assert {name: counted.get(name, 0) for name in names} == dict.fromkeys(names, 0), counted


@pytest.mark.parametrize("limit,numbers", [(1024, range(960, 1024)), (2000, range(1936, 2000)),
                                           (512, range(448, 512)),
                                           (256, range(224, 256)), (64, range(56, 64)), (16, range(12, 16))])
def test_the_window_lies_below_the_limit_of_open_files(sandlock, limit, numbers):
    code = OPEN + """
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
s.send(dump())
assert len(s.recv(4096)) > 100
print(s.fileno())
"""
    assert int(succeed(python(sandlock, code, "--max-open-files", limit))) in numbers


LOW = [16, 64, 256, 512]


@pytest.mark.parametrize("limit", LOW)
@pytest.mark.parametrize("libc", LIBCS_THAT_SEE_IPV6)
def test_libcs_see_lo_under_a_low_limit_of_open_files(sandlock, limit, libc):
    probe = HELPERS / f"interfaces_probe{libc}"
    if not probe.exists():
        pytest.skip("not built")
    words = ["-r", HELPERS, "--net-allow", "127.0.0.1:9", "--", probe]
    lines = succeed(sandlock.run("--max-open-files", limit, *words)).splitlines()
    assert lines == succeed(sandlock.run(*words)).splitlines()
    assert "interface 1 lo" in lines and "getaddrinfo any unspec:  inet inet6" in lines


def test_a_question_of_iproute2_gives_no_hint_and_is_explained(sandlock):
    words = ["--", program("ip"), "link", "show", "sandlock-none"]
    result = sandlock.run(*words)
    assert result.code == 1 and "does not exist" in result.stderr and "hint:" not in result.stderr
    explained = sandlock.run("--explain", *words)
    assert explained.code == 1 and "EPERM (netlink-view: the network cannot be changed)" in explained.stderr


@pytest.mark.parametrize("limit", LOW)
@pytest.mark.parametrize("tool", ["ip", "busybox"])
def test_ip_shows_lo_under_a_low_limit_of_open_files(sandlock, limit, tool):
    words = [program(tool), "-br", "a"] if tool == "ip" else [program(tool), "ip", "addr"]
    words = ["--net-allow", "tcp://127.0.0.1:9", "--", *words]
    out = succeed(sandlock.run("--max-open-files", limit, *words, timeout=30))
    assert "127.0.0.1/8" in out and out == succeed(sandlock.run(*words, timeout=30))


@pytest.mark.parametrize("limit", LOW)
def test_psutil_finds_lo_under_a_low_limit_of_open_files(sandlock, limit):
    if subprocess.run([PYTHON, "-c", "import psutil"], capture_output=True, check=False).returncode != 0:
        pytest.skip("python3-psutil is not installed")
    code = "import psutil; print(list(psutil.net_if_addrs()))"
    assert succeed(python(sandlock, code, "--max-open-files", limit)) == "['lo']\n"


def test_go_finds_lo_under_a_low_limit_of_open_files(sandlock, go_program):
    words = ["--max-open-files", 64, "-r", go_program.parent, "--", go_program]
    lines = succeed(sandlock.run(*words)).splitlines()
    assert lines[0] == "interface 1 lo 65536 up|loopback|running" and "raw true true 2" in lines


def test_node_finds_lo_under_a_low_limit_of_open_files(sandlock):
    node = program("node")
    code = "console.log(Object.keys(require('os').networkInterfaces()).join())"
    options = [word for path in ("/opt", "/proc", "/sys/fs") if os.path.exists(path) for word in ("-r", path)]
    assert succeed(sandlock.run("--max-open-files", 64, *options, "--", node, "-e", code)) == "lo\n"


def test_every_socket_works_or_does_not_exist(sandlock):
    """The 65th of a process: outside the reserved numbers it would have the names of a unix socket."""
    code = OPEN + """
held = []
def serve(s):
    s.bind((0, 0))
    assert s.getsockname()[0] and s.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN) == 16
    s.send(dump())
    assert len(s.recv(4096, socket.MSG_DONTWAIT)) > 100
for _ in range(64):
    held.append(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0))
    serve(held[-1])
assert fails(socket.socket, socket.AF_NETLINK, socket.SOCK_RAW, 0) == "ENOBUFS"
assert fails(socket.if_nameindex) == "ENOBUFS"
child = os.fork()
if child == 0:  # other processes have numbers of their own
    held.pop().close()
    held.clear()
    serve(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0))
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
held.pop().close()
assert socket.if_nameindex() == [(1, "lo")]
print("ok")
"""
    assert succeed(python(sandlock, code)) == "ok\n"


def test_a_lowered_limit_leaves_no_sockets_but_what_else_there_is(sandlock):
    code = OPEN + """
import resource
def lower(limit):
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
lower(962)  # two of the reserved numbers are left
assert socket.if_nameindex() == [(1, "lo")]
lower(64)
assert fails(socket.socket, socket.AF_NETLINK, socket.SOCK_RAW, 0) == "EMFILE"
assert fails(socket.if_nameindex) == "EMFILE"
socket.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)  # does without
socket.socket().close()
print("ok")
"""
    words = ["--max-open-files", 1024, "--net-allow", "tcp://127.0.0.1:9"]
    assert succeed(python(sandlock, code, *words)) == "ok\n"
    out = sandlock.run("--", "sh", "-c", f"ulimit -n 64; {program('ip')} -br a")
    assert out.code != 0 and "Too many open files" in out.stderr, out


@pytest.mark.parametrize("limit", [256, 1024])
def test_ordinary_sockets_are_not_notified_for_a_window(sandlock, limit):
    code = """
import socket
for _ in range(100):
    a, b = socket.socketpair()
    a.send(b"x"); b.recv(1); a.getpeername(); a.getsockname()
    a.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1); a.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
"""
    result = python(sandlock, code, "--stats", "--max-open-files", limit)
    assert result.code == 0, result
    counted = stats(result)
    names = ["recvfrom", "sendto", "socket", "getsockname", "getpeername", "setsockopt", "getsockopt"]
    assert {name: counted.get(name, 0) for name in names} == dict.fromkeys(names, 0), counted


def test_without_the_view_the_sockets_do_not_exist(sandlock):
    code = OPEN + "print(fails(socket.socket, socket.AF_NETLINK, socket.SOCK_RAW, 0))"
    assert succeed(python(sandlock, code, "--without", "netlink-view")) == "EAFNOSUPPORT\n"


def test_the_posture_says_so(sandlock, tmp_path):
    path = tmp_path / "posture"
    for words, state in (([], "active"), (["--without", "netlink-view"], "disabled")):
        assert sandlock.run(*words, "--posture", path, "--", "true").code == 0
        entries = {entry["name"]: entry for entry in json.loads(path.read_text())["entries"]}
        assert entries["netlink-view"]["state"] == state
