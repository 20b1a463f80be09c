"""Calls that the supervisor performs for members turned against it: a close that waits, more waiting calls
than its process has descriptors for, waiting that costs time, and a name that is not the member's."""

import errno
import os
import resource
import socket
import struct
import subprocess
import time

import pytest

from witnesses import bound, descriptors, rules, short_directory

OPEN_FILES = 256
ADMITTED = OPEN_FILES // 4
CALLS = ADMITTED + 20  # each has two sockets, which is less than the members may have


def test_no_close_waits_for_a_peer(attack):
    with bound(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)) as server:
        server.listen(8)  # and nobody reads
        port = server.getsockname()[1]
        expected = {"reset": "(1, 0)", "short": "EINVAL", "file": "ENOTSOCK"}
        assert attack.outside("net_held.py", "linger", port) == {"close": "waits", **expected}
        inside = attack.inside("net_held.py", "linger", port, options=rules(f"127.0.0.1:{port}"))
        assert inside == {"close": "at once", **expected}, inside.result


def test_waiting_calls_leave_descriptors_to_the_host(attack):
    assert attack.outside("net_held.py", "crowd", CALLS) == {"refused": "0", "errors": ""}
    limit = (OPEN_FILES, OPEN_FILES)
    process = attack.start("net_held.py", "crowd", CALLS,
                           preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limit))
    try:
        assert process.stdout.readline() == f"refused: {CALLS - ADMITTED}\n"
        assert process.stdout.readline() == "errors: EAGAIN\n"
        held = descriptors(process.pid)
        assert held is None or held < OPEN_FILES * 3 // 4
    finally:
        process.kill()
        process.communicate()


def processor_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stream:
        fields = stream.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_waiting_for_a_full_queue_costs_little(attack):
    with short_directory() as directory:
        path = directory / "full"
        with bound(socket.AF_UNIX, socket.SOCK_DGRAM, str(path)) as server, \
                socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            with pytest.raises(BlockingIOError):
                while True:
                    sender.sendto(b"x", str(path))
            process = attack.start("net_held.py", "queue", path, 24, options=["-w", directory])
            try:
                assert process.stdout.readline() == "ready: OK\n"
                time.sleep(1)
                before = processor_seconds(process.pid)
                time.sleep(2)
                assert processor_seconds(process.pid) - before < 1.2  # of 0.06 where nobody polls without end
                # They do wait: with room they come.
                server.settimeout(30)
                while len(server.recv(65536)) != 50000:
                    pass
            finally:
                process.kill()
                process.communicate()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a member of another user")
@pytest.mark.other_users
def test_peers_see_a_member_that_gave_up_root(attack):
    with short_directory() as directory:
        os.chmod(directory, 0o755)
        with bound(socket.AF_UNIX, socket.SOCK_DGRAM, str(directory / "datagrams")) as datagrams, \
                bound(socket.AF_UNIX, socket.SOCK_DGRAM, str(directory / "private")) as private, \
                bound(socket.AF_UNIX, socket.SOCK_STREAM, str(directory / "stream")) as stream:
            os.chmod(directory / "private", 0o600)
            stream.listen(4)
            stream.settimeout(0.5)
            for name in ("datagrams", "stream"):
                os.chmod(directory / name, 0o666)
            seen = []
            for run in (attack.outside, attack.inside):
                near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                far.settimeout(5)
                datagrams.settimeout(5)
                for receiver in (datagrams, far):
                    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
                options = {} if run == attack.outside else {"options": ["-w", directory]}
                results = run("net_held.py", "user", directory, stdin=near, **options)
                users = {}
                assert len(results) == 8, results.result
                for receiver, count in ((datagrams, 3), (far, 2)):
                    for _ in range(count):
                        data, control, _, _ = receiver.recvmsg(100, 200)
                        for level, kind, value in control:
                            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                                users[data.decode()] = struct.unpack("iii", value)[1:]
                            elif kind == socket.SCM_RIGHTS:
                                os.close(struct.unpack("i", value[:4])[0])
                near.close()
                far.close()
                seen.append((results, users))
            (outside, users_outside), (inside, users_inside) = seen
            names = ("named", "named_sendmsg", "named_rights", "connected", "connected_rights")
            assert users_outside == {name: (65534, 65534) for name in names}, outside.result
            assert users_inside == users_outside, inside.result
            assert {name: inside[name] for name in names} == {name: "OK" for name in names}
            # Who connects cannot be told the peer, so a connection is refused.
            assert (outside["connect"], inside["connect"]) == ("OK", "EACCES"), inside.result
            peer, _ = stream.accept()
            with peer:
                credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
                assert struct.unpack("iii", credentials)[1:] == (65534, 65534)
            with pytest.raises(TimeoutError):
                stream.accept()
            # Root's own socket is no more open to it than outside.
            for results in (outside, inside):
                assert (results["private"], results["private_connect"]) == ("EACCES", "EACCES"), results.result
            with pytest.raises(BlockingIOError):
                private.recv(100, socket.MSG_DONTWAIT)


BY_MODES = """
import os, socket
os.setgroups([4321])
os.setresgid(1234, 1234, 1234)
os.setresuid(1234, 1234, 1234)
for name in ("group", "owner", "closed/all", "file"):
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    for act in (lambda: sender.sendto(b"x", name), lambda: sender.connect(name)):
        try:
            act()
            print(name, "OK")
        except OSError as error:
            print(name, os.strerror(error.errno))
"""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a member of another user")
@pytest.mark.other_users
def test_the_way_to_a_socket_is_judged_with_the_rights_of_a_member_that_gave_up_root(attack):
    with short_directory() as directory:
        (directory / "closed").mkdir(mode=0o700)
        os.chmod(directory, 0o755)
        modes = {"group": (0o660, 4321), "owner": (0o600, 0), "closed/all": (0o666, 0)}
        sockets = [bound(socket.AF_UNIX, socket.SOCK_DGRAM, str(directory / name)) for name in modes]
        with sockets[0] as group, sockets[1], sockets[2]:
            for name, (mode, owners) in modes.items():
                os.chmod(directory / name, mode)
                os.chown(directory / name, -1, owners)
            (directory / "file").touch(mode=0o600)
            words = [*attack.words("raw.py")[:-1], "-c", BY_MODES]
            inside = attack.sandlock.run("-w", directory, "--", *words, cwd=directory)
            unconfined = subprocess.run(words, cwd=directory, capture_output=True, encoding="utf-8", check=True)
            assert inside.stdout.splitlines() == unconfined.stdout.splitlines() == [
                "group OK", "group OK", *["owner Permission denied"] * 2, *["closed/all Permission denied"] * 2,
                *["file Permission denied"] * 2], inside
            assert [group.recv(9, socket.MSG_DONTWAIT) for _ in range(2)] == [b"x", b"x"]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a member of another user")
@pytest.mark.other_users
def test_nobody_who_gave_up_root_listens_with_its_name(attack):
    with short_directory() as directory:
        os.chmod(directory, 0o777)
        for where in ("outside", "inside"):
            path = directory / where
            words = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "encoding": "utf-8"}
            process = attack.start("net_held.py", "listens", path, options=["-w", directory], stdin=subprocess.PIPE) \
                if where == "inside" else subprocess.Popen(attack.words("net_held.py", "listens", path), **words)
            with socket.socket(socket.AF_UNIX) as peer:
                result = process.stdout.readline()
                error = peer.connect_ex(str(path))
                credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
                process.communicate("over\n", timeout=20)
            if where == "inside":
                assert (result, error) == ("listen: EACCES\n", errno.ECONNREFUSED)
            else:
                assert (result, error, struct.unpack("iii", credentials)[1:]) == ("listen: OK\n", 0, (65534, 65534))


# The supervisor binds where it looks after ports and no domain handles the right.
BINDS_ON_BEHALF = ["--port-remap", "--disable", "net-tcp"]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a member of another user")
@pytest.mark.other_users
def test_no_name_of_a_socket_is_made_with_rights_that_the_member_gave_up(attack):
    with short_directory() as directory:
        os.chmod(directory, 0o777)
        (directory / "others").mkdir()
        os.chown(directory / "others", 65534, 65534)
        # Another user, and root without its capabilities where only these would help.
        for who, path, results in (("user", "own", ("OK", "EACCES")), ("bare", "others/none", ("EACCES", "EACCES"))):
            for run, result in zip((attack.outside, attack.inside), results):
                options = {} if run == attack.outside else {"options": ["-w", directory, *BINDS_ON_BEHALF]}
                told = run("net_held.py", "binds", who, directory / path, **options)
                assert dict(told) == {"bind": result}, told.result
                assert (directory / path).exists() == (result == "OK")
                (directory / path).unlink(missing_ok=True)
        # Control: what it may do it does.
        options = ["-w", directory, *BINDS_ON_BEHALF]
        told = attack.inside("net_held.py", "binds", "bare", directory / "own", options=options)
        assert dict(told) == {"bind": "OK"}, told.result


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a member of another user")
@pytest.mark.other_users
def test_nobody_who_gave_up_root_connects_as_root_to_an_abstract_name(attack):
    with short_directory() as directory:
        name = f"held-{os.getpid()}"
        outside = attack.outside("net_held.py", "abstract", name)
        assert outside == {"connect": "OK", "peer": "65534"}, outside.result
        inside = attack.inside("net_held.py", "abstract", name, options=["-w", directory])
        assert inside == {"connect": "EACCES", "peer": "nobody"}, inside.result
