"""Real programs that use the network, unmodified, each with a rule that allows what they do, and without it.

Servers that only serve as peers run outside the sandbox, on loopback, and count who reached them: what is
refused must not arrive.
"""

import contextlib
import functools
import http.server
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import threading
import time

import pytest

SEARCH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
PYTHON = "/usr/bin/python3"


def need(*programs):
    for program in programs:
        if shutil.which(program, path=SEARCH) is None:
            pytest.skip(f"{program} is not installed")


def succeed(result):
    assert result.code == 0, result
    return result


def free_ports(count, kind=socket.SOCK_STREAM):
    sockets = [socket.socket(socket.AF_INET, kind) for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def wait_for_port(port, process=None):
    for _ in range(1600):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        if process is not None and process.poll() is not None:
            pytest.fail(f"the server ended: {process.communicate()}")
        time.sleep(0.025)
    pytest.fail(f"nobody listens on port {port}")


@contextlib.contextmanager
def ended(process):
    """Whatever happens, the process does not survive the test."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
        process.communicate(timeout=20)


@contextlib.contextmanager
def serving(handler):
    """An HTTP server of this process; `requests` counts the connections."""
    class Server(http.server.ThreadingHTTPServer):
        connections = 0

        def get_request(self):
            self.connections += 1
            return super().get_request()

    with Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        server.port = server.server_address[1]
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[::-1])


@pytest.fixture
def site(tmp_path):
    """A web site with one page and one large file."""
    root = tmp_path / "site"
    root.mkdir()
    (root / "page").write_text("the page\n")
    (root / "large").write_bytes(os.urandom(1 << 20) * 16)
    with serving(functools.partial(Quiet, directory=str(root))) as server:
        server.root = root
        yield server


# Rules that allow a port of this machine, and ones that do not, for the port and another one.
ALLOWING = {
    "host": ["--net-allow", "127.0.0.1:PORT"], "port": ["--net-allow", ":PORT"], "tcp": ["--net-allow", "tcp://*"],
    "range": ["--net-allow", "tcp://127.0.0.0/8"], "name": ["--net-allow", "localhost:PORT"],
    "deny_elsewhere": ["--net-deny", "10.0.0.0/8", "--net-deny", ":OTHER"],
    "both": ["--net-allow", "*", "--net-deny", "169.254.0.0/16"],
}
REFUSING = {
    "nothing": [], "another_port": ["--net-allow", "127.0.0.1:OTHER"], "another_host": ["--net-allow", "10.1.2.3:PORT"],
    "udp": ["--net-allow", "udp://127.0.0.1:PORT"], "denied_range": ["--net-deny", "127.0.0.0/8"],
    "denied_port": ["--net-deny", ":PORT"], "denied_over_allowed": ["--net-allow", "127.0.0.1:PORT", "--net-deny", "127.0.0.1"],
}


def options(words, port):
    (other,) = free_ports(1)
    return [word.replace("PORT", str(port)).replace("OTHER", str(other)) for word in words]


# ---- curl --------------------------------------------------------------------------------------


def curl(*words):
    return ["curl", "--silent", "--show-error", "--max-time", "20", *words]


@pytest.mark.parametrize("rule", ALLOWING)
def test_curl_fetches_and_posts_where_a_rule_allows_it(sandlock, site, area, rule):
    need("curl")
    words = options(ALLOWING[rule], site.port)
    result = succeed(sandlock.run(*words, "--", *curl(f"http://127.0.0.1:{site.port}/page")))
    assert result.stdout == "the page\n"
    result = succeed(sandlock.run(*words, "--", *curl("-d", "abc", f"http://127.0.0.1:{site.port}/")))
    assert result.stdout == "cba"
    succeed(sandlock.run(*words, "-w", area, "--", *curl("-o", area / "large", f"http://127.0.0.1:{site.port}/large")))
    assert (area / "large").read_bytes() == (site.root / "large").read_bytes()


@pytest.mark.parametrize("rule", REFUSING)
def test_curl_connects_nowhere_else(sandlock, site, rule):
    need("curl")
    url = f"http://127.0.0.1:{site.port}/page"
    result = sandlock.run(*options(REFUSING[rule], site.port), "--", *curl(url))
    assert (result.code, result.stdout) == (7, "")  # "failed to connect to host"
    assert "after" in result.stderr and site.connections == 0
    assert subprocess.run(curl(url), capture_output=True, check=False).stdout == b"the page\n"


def test_curl_finds_an_allowed_name_without_asking_anybody(sandlock, site):
    need("curl")
    words = ["--net-allow", f"localhost:{site.port}"]
    result = succeed(sandlock.run(*words, "--", *curl(f"http://localhost:{site.port}/page")))
    assert result.stdout == "the page\n"
    result = sandlock.run(*words, "--", *curl(f"http://elsewhere.invalid:{site.port}/page"))
    assert result.code == 6  # "couldn't resolve host"


# ---- git over smart HTTP -----------------------------------------------------------------------


class SmartGit(Quiet):
    """git http-backend behind this server: the environment and the headers of CGI."""

    root = None

    def backend(self):
        path, _, query = self.path.partition("?")
        length = self.headers.get("Content-Length")
        body = self.rfile.read(int(length)) if length else b"".join(self.chunks())
        environment = {"GIT_PROJECT_ROOT": str(self.root), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query,
                       "REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                       "CONTENT_LENGTH": str(len(body)), "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                       "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""), "REMOTE_USER": "tester", "REMOTE_ADDR": "127.0.0.1",
                       "PATH": SEARCH, "HOME": str(self.root)}
        done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=True)
        header, _, content = done.stdout.partition(b"\r\n\r\n")
        lines = [line.split(": ", 1) for line in header.decode().split("\r\n")]
        status = dict(lines).get("Status", "200 OK")
        self.send_response(int(status.split()[0]))
        for name, value in lines:
            if name not in ("Status", "Content-Length"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def chunks(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return
        while True:
            size = int(self.rfile.readline(), 16)
            data = self.rfile.read(size)
            self.rfile.readline()
            if size == 0:
                return
            yield data

    do_GET = do_POST = backend


GIT_ENVIRONMENT = {"GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "C",
                   "GIT_COMMITTER_EMAIL": "c@example.org", "GIT_TERMINAL_PROMPT": "0"}


@pytest.fixture
def forge(tmp_path):
    """A git server with one repository of some size."""
    need("git")
    root, work = tmp_path / "repositories", tmp_path / "origin"
    root.mkdir()
    script = """
        git init -q -b main . && head -c 300000 /dev/urandom >blob && echo one >file && git add . && git commit -q -m one &&
        for i in 1 2 3 4 5 6 7 8; do echo $i >>file; git commit -q -a -m $i; done
        git clone -q --bare . "$1/project.git" && git -C "$1/project.git" config http.receivepack true
    """
    work.mkdir()
    environment = {"PATH": SEARCH, "HOME": str(tmp_path), **GIT_ENVIRONMENT}
    subprocess.run(["sh", "-ec", script, "sh", root], cwd=work, env=environment, check=True)
    with serving(type("Handler", (SmartGit,), {"root": root})) as server:
        server.repository, server.work = root / "project.git", work
        yield server


def git_head(directory):
    return subprocess.run(["git", "-c", f"safe.directory={directory}", "-C", directory, "rev-parse", "main"],
                          capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("rule", ["host", "name", "tcp", "deny_elsewhere"])
def test_git_clones_and_pushes_over_http(sandlock, forge, area, rule):
    words = [*options(ALLOWING[rule], forge.port), "-w", area, "-w", "/dev/null", "-r", "/dev/urandom", "--cwd", area]
    host = "localhost" if rule == "name" else "127.0.0.1"
    url = f"http://{host}:{forge.port}/project.git"
    succeed(sandlock.run(*words, "--", "git", "clone", "-q", url, "copy", env=GIT_ENVIRONMENT))
    assert git_head(area / "copy") == git_head(forge.repository)
    assert (area / "copy/blob").read_bytes() == (forge.work / "blob").read_bytes()
    script = "cd copy && echo more >>file && git commit -q -a -m more && git push -q && git fetch -q && git status -sb"
    result = succeed(sandlock.run(*words, "--", "sh", "-ec", script, env=GIT_ENVIRONMENT))
    assert "ahead" not in result.stdout
    assert git_head(area / "copy") == git_head(forge.repository)


@pytest.mark.parametrize("rule", ["nothing", "another_port", "denied_range"])
def test_git_clones_from_no_other_server(sandlock, forge, area, rule):
    words = [*options(REFUSING[rule], forge.port), "-w", area, "-w", "/dev/null", "--cwd", area]
    url = f"http://127.0.0.1:{forge.port}/project.git"
    result = sandlock.run(*words, "--", "git", "clone", "-q", url, "copy", env=GIT_ENVIRONMENT)
    assert result.code == 128 and re.search("Failed to connect|Couldn't connect", result.stderr), result
    assert forge.connections == 0 and not (area / "copy/file").exists()


# ---- Python ------------------------------------------------------------------------------------

HTTP_CLIENT = """
import http.client, sys
connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=20)
for _ in range(3):
    connection.request("GET", "/page")
    sys.stdout.write(connection.getresponse().read().decode())
connection.request("POST", "/", body=b"abc" * 100000)
assert connection.getresponse().read() == b"cba" * 100000
"""


@pytest.mark.parametrize("rule", ["host", "port", "name", "both"])
def test_pythons_http_client_keeps_a_connection(sandlock, site, rule):
    host = "localhost" if rule == "name" else "127.0.0.1"
    words = options(ALLOWING[rule], site.port)
    result = succeed(sandlock.run(*words, "--", PYTHON, "-I", "-c", HTTP_CLIENT, host, site.port))
    assert result.stdout == "the page\n" * 3
    assert site.connections == 1


@pytest.mark.parametrize("rule, error", [("nothing", "PermissionError"), ("another_port", "ConnectionRefusedError"),
                                         ("denied_port", "ConnectionRefusedError")])
def test_pythons_http_client_is_told_why_not(sandlock, site, rule, error):
    words = options(REFUSING[rule], site.port)
    result = sandlock.run(*words, "--", PYTHON, "-I", "-c", HTTP_CLIENT, "127.0.0.1", site.port)
    assert result.code == 1 and f"{error}: " in result.stderr
    assert site.connections == 0


# ---- redis -------------------------------------------------------------------------------------


def redis_server(port):
    return ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]


BENCHMARK = ["redis-benchmark", "-h", "127.0.0.1", "-q", "-c", "50", "-n", "3000", "-t", "set,get,lpush"]


def results_of(text):
    return len(re.findall(r"[\d.]+ requests per second", text))


@pytest.mark.parametrize("rule", ["host", "port", "tcp", "deny_elsewhere"])
def test_redis_is_used_through_a_rule(sandlock, area, rule):
    need("redis-server", "redis-benchmark")
    (port,) = free_ports(1)
    with ended(subprocess.Popen(redis_server(port), cwd=area, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)) as server:
        wait_for_port(port, server)
        result = succeed(sandlock.run(*options(ALLOWING[rule], port), "--", *BENCHMARK, "-p", port, timeout=60))
        assert results_of(result.stdout) == 3
        refused = sandlock.run(*options(REFUSING["another_port"], port), "--", *BENCHMARK, "-p", port)
        assert refused.code != 0 and "Connection refused" in refused.stdout + refused.stderr
        assert results_of(refused.stdout) == 0


def test_a_confined_redis_serves_a_confined_client(sandlock, area):
    need("redis-server", "redis-benchmark")
    (port,) = free_ports(1)
    with ended(sandlock.start("--net-allow-bind", port, "-w", area, "--cwd", area, "-w", "/dev/null", "--",
                              *redis_server(port))) as server:
        wait_for_port(port, server)
        client = ["--net-allow", f"127.0.0.1:{port}", "--", *BENCHMARK, "-p", port]
        assert results_of(succeed(sandlock.run(*client, timeout=60)).stdout) == 3


# ---- A web server that believes it has a port ----------------------------------------------------


def httpd(port, root):
    return ["busybox", "httpd", "-f", "-p", f"127.0.0.1:{port}", "-h", str(root)]


def listening_ports(pid):
    """Ports on which the process or a descendant listens, by the host's tables."""
    inodes, pids = set(), [pid]
    while pids:
        each = pids.pop()
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{each}/task"):
                pids += map(int, pathlib.Path(f"/proc/{each}/task/{task}/children").read_text().split())
            for fd in os.listdir(f"/proc/{each}/fd"):
                inodes.update(re.findall(r"socket:\[(\d+)\]", os.readlink(f"/proc/{each}/fd/{fd}")))
    rows = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [int(row[1].partition(":")[2], 16) for row in rows if row[3] == "0A" and row[9] in inodes]


def wait_for_listener(process):
    for _ in range(1600):
        found = listening_ports(process.pid)
        if found:
            return found[0]
        if process.poll() is not None:
            pytest.fail(f"the server ended: {process.communicate()}")
        time.sleep(0.025)
    return pytest.fail("the server does not listen")


def fetch(port):
    with socket.create_connection(("127.0.0.1", port), 30) as client:
        client.sendall(b"GET /page HTTP/1.0\r\n\r\n")
        data = b""
        while piece := client.recv(4096):
            data += piece
        return data.rpartition(b"\r\n\r\n")[2].decode()


def test_two_web_servers_have_the_same_port(sandlock, tmp_path):
    need("busybox")
    (port,) = free_ports(1)
    with contextlib.ExitStack() as stack:
        servers = []
        for number in range(2):
            root = tmp_path / f"site{number}"
            root.mkdir()
            (root / "page").write_text(f"site {number}\n")
            words = ["--port-remap", "--net-allow-bind", port, "-r", root, "--", *httpd(port, root)]
            server = stack.enter_context(ended(sandlock.start(*words)))
            servers.append((server, wait_for_listener(server)))
        (_, first), (_, second) = servers
        assert first != second and port in (first, second)
        assert {fetch(first), fetch(second)} == {"site 0\n", "site 1\n"}
        # A client in the first sandbox, or beside it, finds what the host has under the port.
        assert fetch(port) == "site 0\n"


def test_a_server_reaches_itself_on_the_port_it_believes_to_have(sandlock, tmp_path):
    need("busybox", "curl")
    root = tmp_path / "site"
    root.mkdir()
    (root / "page").write_text("own site\n")
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        script = " ".join([*httpd(port, root), "& sleep 0.3;", *curl("--retry", "20", "--retry-connrefused", "--retry-delay", "0",
                                                                      f"http://127.0.0.1:{port}/page"), "; kill $!"])
        words = ["--port-remap", "--net-allow-bind", port, "-r", root, "-w", "/dev/null"]
        result = succeed(sandlock.run(*words, "--", "sh", "-c", script))
        assert result.stdout == "own site\n"
        refused = sandlock.run("--net-allow-bind", port, "-r", root, "--", *httpd(port, root))
        assert refused.code == 1 and "bind" in refused.stderr


def test_a_web_server_without_a_bind_rule_has_no_port(sandlock, site, tmp_path):
    need("busybox")
    (port,) = free_ports(1)
    for words in ([], ["--port-remap"], ["--net-allow", "*"], ["--net-deny-bind", port]):
        result = sandlock.run(*words, "-r", site.root, "--", *httpd(port, site.root))
        assert result.code == 1 and "Permission denied" in result.stderr, result


def test_a_client_that_tries_one_address_of_a_name_tries_the_allowed_one(sandlock, site):
    need("busybox")
    for rule in (f"tcp://127.0.0.1:{site.port}", f"127.0.0.1:{site.port}"):
        words = ["--net-allow", rule, "--", "busybox", "wget", "-q", "-O", "-", f"http://localhost:{site.port}/page"]
        assert succeed(sandlock.run(*words)).stdout == "the page\n"


# ---- DNS ---------------------------------------------------------------------------------------


class Resolver:
    """A name server on loopback that knows one address, and counts the questions."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.questions = 0
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                question, client = self.socket.recvfrom(512)
            except OSError:
                return
            if not question:
                return
            self.questions += 1
            end = question.index(b"\0", 12) + 5
            (kind,) = struct.unpack(">H", question[end - 4 : end - 2])
            answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\x2a" if kind == 1 else b""
            header = question[:2] + b"\x81\x80" + struct.pack(">HHHH", 1, bool(answer), 0, 0)
            self.socket.sendto(header + question[12:end] + answer, client)

    def close(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", self.port))
        time.sleep(0.05)
        self.socket.close()


@pytest.fixture
def resolver():
    server = Resolver()
    yield server
    server.close()


@pytest.mark.parametrize("rule", ["udp://127.0.0.1:PORT", "udp://*", "127.0.0.0/8", ":PORT"])
def test_a_name_is_asked_for_over_udp(sandlock, resolver, rule):
    need("busybox")
    command = ["busybox", "nslookup", "-type=a", "host.test", f"127.0.0.1:{resolver.port}"]
    result = succeed(sandlock.run("--net-allow", rule.replace("PORT", str(resolver.port)), "--", *command))
    assert "Address: 127.0.0.42" in result.stdout and resolver.questions == 1


@pytest.mark.parametrize("words", [[], ["--net-allow", "tcp://*"], ["--net-allow", "udp://127.0.0.1:9"],
                                   ["--net-deny", "udp://127.0.0.0/8"], ["--net-allow", "icmp://*"]],
                         ids=lambda words: " ".join(words) or "nothing")
def test_no_name_is_asked_for_without_a_udp_rule(sandlock, resolver, words):
    need("busybox")
    command = ["busybox", "nslookup", "-type=a", "host.test", f"127.0.0.1:{resolver.port}"]
    result = sandlock.run(*words, "--", *command)
    assert result.code != 0 and "127.0.0.42" not in result.stdout
    assert resolver.questions == 0
    assert b"127.0.0.42" in subprocess.run(command, capture_output=True, check=True).stdout


# ---- ping --------------------------------------------------------------------------------------

# In a network of its own, where its one group may make ping sockets.
OWN_NETWORK = """
echo "0 0" >/proc/sys/net/ipv4/ping_group_range && busybox ip link set lo up || exit 77
exec "$@"
"""


def in_own_network(sandlock, *words):
    prefix = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    done = subprocess.run([*prefix, "sh", "-c", OWN_NETWORK, "sh", *map(str, words)], env=sandlock.environment(),
                          capture_output=True, text=True, timeout=30, check=False)
    if done.returncode == 77 or done.stderr.startswith("unshare:"):
        pytest.skip(f"no network of its own here: {done.stderr}")
    return done


# iputils asks for a route by connecting a UDP socket to port 1025, unless it is told its own address. The
# ICMP rule is enough for both.
PINGS = {"iputils": ["ping", "-n", "-c", "1", "-W", "1", "127.0.0.1"],
         "iputils_with_an_address": ["ping", "-n", "-c", "1", "-W", "1", "-I", "127.0.0.1", "127.0.0.1"]}


@pytest.mark.root
@pytest.mark.parametrize("program", PINGS)
def test_ping_needs_an_icmp_rule(sandlock, program):
    need("ping", "busybox", "unshare")
    ping = PINGS[program]
    if in_own_network(sandlock, *ping).returncode != 0:
        pytest.skip("ping does not work in a network of its own")
    run = [sandlock.binary, "run", *sandlock.base]
    for rule in ("icmp://127.0.0.1", "icmp://*", "icmp://127.0.0.0/8"):
        done = in_own_network(sandlock, *run, "--net-allow", rule, "--", *ping)
        assert done.returncode == 0 and "0% packet loss" in done.stdout, (rule, done)
    done = in_own_network(sandlock, *run, "--net-deny", "10.0.0.0/8", "--", *ping)
    assert done.returncode == 0, done
    refused = in_own_network(sandlock, *run, "--net-allow", "icmp://10.0.0.1", "--explain", "--", *ping)
    assert "allow with: --net-allow icmp://127.0.0.1\n" in refused.stderr, refused
    for words in ([], ["--net-allow", "*"], ["--net-allow", "icmp://10.0.0.1"],
                  ["--net-deny", "icmp://127.0.0.0/8"], ["--net-deny", "icmp://*"]):
        done = in_own_network(sandlock, *run, *words, "--", *ping)
        assert done.returncode != 0 and " 0% packet loss" not in done.stdout, (words, done)


ROUTE_PROBE = """
import errno, socket
def probe(address, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        s.connect((address, port))
        found = [s.getsockname()[0]]
        for send in (lambda: s.send(b"out"), lambda: s.sendto(b"out", (address, port))):
            try:
                send()
                found.append("sent")
            except OSError as error:
                found.append(errno.errorcode[error.errno])
        return found
    except OSError as error:
        return errno.errorcode[error.errno]
print([probe(*at) for at in (("127.0.0.1", 1025), ("127.0.0.1", 1026), ("127.0.0.2", 1025))])
"""


@pytest.mark.root
@pytest.mark.parametrize("rule,found", [
    (["--net-allow", "icmp://127.0.0.1"], [["127.0.0.1", "EPIPE", "ECONNREFUSED"], "ECONNREFUSED", "ECONNREFUSED"]),
    (["--net-allow", "icmp://127.0.0.1", "--net-deny", "icmp://127.0.0.0/8"], ["ECONNREFUSED"] * 3),
    (["--net-allow", "tcp://127.0.0.1"], ["ECONNREFUSED"] * 3),
    (["--net-allow", "icmp://127.0.0.1", "--net-allow", "udp://127.0.0.9:9"], ["ECONNREFUSED"] * 3),
])
def test_the_way_to_an_icmp_destination_may_be_asked_and_nothing_is_sent(sandlock, rule, found):
    result = sandlock.run(*rule, "--", PYTHON, "-c", ROUTE_PROBE)
    succeed(result)
    assert result.stdout == f"{found}\n"
