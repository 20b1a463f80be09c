"""Hosts of the library that change their root directory, umask or user while a sandbox runs. The members get
nothing of that."""

import os
import socket
import subprocess

import pytest

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="only root can change so")]

USER = 61407


class Places:
    def __init__(self, tmp_path):
        self.tree, self.outside = tmp_path / "tree", tmp_path / "outside"
        for place in (self.tree, self.outside):
            place.mkdir()
        self.file, self.secret = self.outside / "file", self.outside / "secret"
        self.file.write_text("text")
        self.file.chmod(0o600)
        for parent in (tmp_path, *list(tmp_path.parents)[:3]):
            parent.chmod(parent.stat().st_mode | 0o011)

    def hand_over(self):
        """The tree to the user, with a file and a socket of root in it; a secret of root beside it."""
        os.chown(self.tree, USER, USER)
        (self.tree / "root").write_text("text")
        (self.tree / "root").chmod(0o600)
        self.secret.write_text("secret")
        self.secret.chmod(0o600)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.tree / "socket"))
        (self.tree / "socket").chmod(0o700)
        self.listener.listen()
        self.listener.setblocking(False)

    def clean(self):
        subprocess.run(["rm", "-rf", self.tree], check=True)
        self.tree.mkdir()


@pytest.fixture
def places(tmp_path):
    return Places(tmp_path)


def confined(attack, change, what, places):
    library = attack.helpers.parent.parent / "libsandlock_ffi.so"
    return attack.outside("changing_host.py", library, change, places.tree,
                          *attack.words("changed.py", what, places.tree, places.outside))


def unconfined(attack, what, places):
    (places.tree / "go").write_text("")
    return attack.outside("changed.py", what, places.tree, places.outside)


@pytest.mark.unshare
def test_a_new_root_directory_of_the_host_lends_no_file(attack, places):
    assert set(unconfined(attack, "places", places).values()) == {"OK"}
    places.file.chmod(0o600)
    places.clean()
    seen = confined(attack, "chroot", "places", places)
    assert seen == {"own by name": "OK", "outside by descriptor": "EACCES", "outside by name": "EACCES",
                    "host": "exit 0"}
    assert places.file.stat().st_mode & 0o7777 == 0o600
    assert (places.tree / "own").stat().st_mode & 0o7777 == 0o640


def test_where_the_supervisor_has_no_root_of_its_own_the_run_ends(attack, places):
    seen = confined(attack, "chroot-shared", "places", places)
    assert seen["host"] == "exit -1" and set(seen.values()) <= {"exit -1", "EIO"}
    assert places.file.stat().st_mode & 0o7777 == 0o600
    places.clean()
    seen = confined(attack, "none", "places", places)
    assert seen["own by name"] == "OK" and seen["host"] == "exit 0"


@pytest.mark.other_users
def test_a_host_that_is_root_again_lends_no_rights(attack, places):
    places.hand_over()
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as file:
        every_port = int(file.read()) <= 83
    serial = os.path.exists("/proc/tty/driver/serial")
    by_root = unconfined(attack, "rights", places)
    if not serial:
        assert by_root.pop("read root's of /proc") == "ENOENT"
    assert set(by_root.values()) == {"OK"}
    places.listener.accept()
    places.clean()
    places.hand_over()
    for change in ("user", "root"):
        for name in ("own", "ready", "go"):
            (places.tree / name).unlink(missing_ok=True)
        seen = confined(attack, change, "rights", places)
        assert seen["own mode"] == "OK" and seen["host"] == "exit 0", seen.result
        assert [seen[name] for name in ("root's mode", "read root's", "connect to root's", "own to root")] == \
            ["EPERM", "EACCES", "EACCES", "EPERM"], seen.result
        assert seen["read root's of /proc"] == "EACCES"
        assert seen["bind a port of root"] == ("OK" if every_port else "EACCES")
        assert (places.tree / "root").stat().st_mode & 0o7777 == 0o600
        own = (places.tree / "own").stat()
        assert (own.st_uid, own.st_gid) == (USER, USER)
        with pytest.raises(BlockingIOError):
            places.listener.accept()
