"""The host's /etc/hosts and /proc/net: what the supervisor looks at is changed while it looks."""

import os
import pathlib
import socket

import pytest

# Landlock judges root as it judges others: once is enough.

SECONDS = "1"
CONTROL_SECONDS = "15"  # at most: a race ends when it is won
RACES = ("path", "link", "descriptor", "directory")


def all_never(attempts):
    return {name: attempts[name] for name in RACES if attempts[name] == "OK"}


def control(outside):
    """Each race is won unconfined, or would prove nothing."""
    lost = [name for name in RACES if outside[name] != "OK"]
    if lost:
        pytest.skip(f"the control: unconfined these races do not show here: {lost}")


def hosts_word():
    """A word that the host's file has and the sandbox's own has not."""
    words = set(pathlib.Path("/etc/hosts").read_text().split()) - {"127.0.0.1", "localhost", "::1"}
    if not words:
        pytest.skip("the host's /etc/hosts says nothing of its own")
    return sorted(words)[0]


@pytest.mark.parametrize("grants", [["-r", "/etc"], ["-r", "/"]])
def test_the_hosts_file_of_the_host_is_never_read(attack, area, grants):
    word = hosts_word()
    arguments = (area, SECONDS, word, "/etc/hosts", "/etc/passwd")
    outside = attack.outside("net_files.py", area, CONTROL_SECONDS, word, "/etc/hosts", "/etc/passwd")
    control(outside)
    inside = attack.inside("net_files.py", *arguments,
                           options=[*grants, "-w", area, "--net-allow", "127.0.0.1:1"])
    assert all_never(inside) == {}


@pytest.mark.parametrize("spelling", ["/proc/net/tcp", "/proc/self/net/tcp"])
def test_the_socket_table_of_the_host_is_never_read(attack, area, spelling):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        word = "0100007F:%04X" % listener.getsockname()[1]
        arguments = (word, spelling, "/etc/passwd")
        outside = attack.outside("net_files.py", area, CONTROL_SECONDS, *arguments)
        control(outside)
        inside = attack.inside("net_files.py", area, SECONDS, *arguments,
                               options=["-r", "/proc", "-r", "/etc", "-w", area])
        assert all_never(inside) == {}


@pytest.mark.skipif(not os.path.exists("/sys/class/net/lo/mtu"), reason="needs /sys/class/net")
def test_the_interfaces_of_the_host_are_never_read(attack, area):
    target = os.path.realpath("/sys/class/net/lo/mtu")
    word = pathlib.Path(target).read_text().strip()
    outside = attack.outside("net_files.py", area, CONTROL_SECONDS, word, target, "/etc/hostname")
    control(outside)
    inside = attack.inside("net_files.py", area, SECONDS, word, target, "/etc/hostname",
                           options=["-r", "/sys", "-r", "/etc", "-w", area])
    assert all_never(inside) == {}
