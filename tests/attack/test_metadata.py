"""Mode, owner, times, extended attributes and inode flags of files outside the write grants. The kernel's
own file rules do not cover them."""

import os
import threading

import pytest

pytestmark = pytest.mark.root

MODE, TIME = 0o600, 1234567890


class File:
    """A file of the user and all that the probe could change about it."""

    def __init__(self, path):
        self.path = path
        path.parent.mkdir(exist_ok=True)
        path.write_text("text")
        self.reset()

    def reset(self):
        self.path.chmod(MODE)
        os.utime(self.path, (TIME, TIME))
        for name in os.listxattr(self.path):
            os.removexattr(self.path, name)
        self.before = self.look()

    def look(self):
        status = self.path.stat()
        return (status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, status.st_ctime_ns,
                os.listxattr(self.path))


@pytest.fixture
def outside(tmp_path):
    return File(tmp_path / "outside/file")


@pytest.fixture
def granted(tmp_path):
    return File(tmp_path / "granted/file")


@pytest.fixture
def grants(outside, granted):
    """The one may be read, the other written."""
    return ["-r", outside.path.parent, "-w", granted.path.parent, "-r", "/proc", "-r", "/dev"]


def spellings(attack):
    return attack.outside("metadata_probe", "list").result.stdout.split()


def test_no_spelling_changes_a_file_outside_the_write_grants(attack, outside, grants):
    names = spellings(attack)
    assert len(names) > 30
    for name in names:
        inside = attack.inside("metadata_probe", name, outside.path, options=grants)
        assert inside[name] != "OK", name
        assert outside.look() == outside.before, name


def test_what_works_unconfined_works_below_a_write_grant_and_is_refused_outside(attack, outside, granted, grants):
    unconfined = attack.outside("metadata_probe", "all", granted.path)
    granted.reset()
    inside = attack.inside("metadata_probe", "all", granted.path, options=grants)
    refused = attack.inside("metadata_probe", "all", outside.path, options=grants)
    assert dict(inside) == dict(unconfined)
    working = [name for name, result in unconfined.items() if result == "OK"]
    assert {"chmod", "fchmod", "fchmodat2", "utimensat", "futimesat", "fchownat"} <= set(working)
    for name in working:
        assert refused[name] in ("EACCES", "EPERM"), (name, refused[name])
    assert granted.look() != granted.before
    assert outside.look() == outside.before


def test_files_without_any_grant_are_out_of_reach_too(attack, outside, granted):
    for name in ("chmod", "fchmodat", "utimensat", "utimensat_nofollow", "lchown", "fchmodat2_nofollow"):
        inside = attack.inside("metadata_probe", name, outside.path, options=["-w", granted.path.parent])
        assert inside[name] == "EACCES", name
    assert outside.look() == outside.before


def test_without_the_gate_the_kernel_allows_it(attack, outside, grants):
    """Control: it is the gate that refuses."""
    inside = attack.inside("metadata_probe", "chmod", outside.path, options=[*grants, "--without", "metadata-gate"])
    assert inside["chmod"] == "OK"
    assert outside.look() != outside.before


def test_an_inherited_descriptor_does_not_help(attack, outside, granted):
    with open(outside.path, "rb") as stdin:
        inside = attack.inside("metadata_probe", "fds", 0, stdin=stdin,
                               options=["-w", granted.path.parent, "-r", "/proc", "-r", "/dev"])
        assert "OK" not in inside.values(), inside
        assert outside.look() == outside.before
        assert attack.outside("metadata_probe", "fds", 0, stdin=stdin)["fchmod"] == "OK"


def test_links_in_a_writable_directory_do_not_help(attack, outside, granted, grants):
    link = granted.path.parent / "link"
    link.symlink_to(outside.path)
    directory = granted.path.parent / "directory"
    directory.symlink_to(outside.path.parent)
    inside = attack.inside("metadata_probe", "all", link, options=grants)
    for name in ("chmod", "fchmodat", "fchmodat_dirfd", "utimensat", "setxattr", "fchmod", "fchown"):
        assert inside[name] in ("EACCES", "EPERM", "EOPNOTSUPP", "E95"), (name, inside[name])
    inside = attack.inside("metadata_probe", "all", directory / "file", options=grants)
    assert "OK" not in inside.values(), inside
    assert outside.look() == outside.before


def test_a_path_that_changes_in_memory_never_reaches_the_outside(attack, tmp_path, granted):
    """One thread swaps the bytes of the path while another makes the call."""
    decoy = File(tmp_path / "outsidd/file")  # of the same length as the granted path
    assert len(str(decoy.path)) == len(str(granted.path))
    inside = attack.inside("metadata_probe", "race", granted.path, decoy.path, 3, options=["-w", granted.path.parent])
    words = inside["race"].split()
    assert int(words[1]) > 0 and int(words[3]) > 0, "both names were tried"
    assert decoy.look() == decoy.before


def test_a_link_that_is_swapped_never_leads_outside(attack, sandlock, outside, granted):
    """Somebody renames a link to the outside over the file while the member changes its mode."""
    name, link, spare = (granted.path.parent / word for word in ("name", "link", "spare"))
    name.write_text("mine")
    link.symlink_to(outside.path)
    over = threading.Event()

    def swap():
        while not over.is_set():
            os.rename(name, spare)
            os.rename(link, name)
            os.rename(name, link)
            os.rename(spare, name)

    thread = threading.Thread(target=swap)
    thread.start()
    script = (f"import os, time\nend = time.monotonic() + 3\nok = refused = 0\nwhile time.monotonic() < end:\n"
              f"  for path in ('{name}', '{link}'):\n"
              f"    try:\n      os.chmod(path, 0o777); ok += 1\n    except OSError: refused += 1\nprint(ok, refused)")
    try:
        result = sandlock.run("-w", granted.path.parent, "--", *attack.words("raw.py")[:-1], "-c", script)
    finally:
        over.set()
        thread.join()
    ok, refused = map(int, result.stdout.split())
    assert ok > 0 and refused > 0, "both were met"
    assert outside.look() == outside.before


def test_the_gate_lends_no_rights(attack, granted, grants):
    """A file of another user below the write grant stays that user's."""
    if os.getuid() != 0:
        inside = attack.inside("metadata_probe", "chmod", "/usr/bin/env", options=[*grants, "-r", "/usr"])
        assert inside["chmod"] in ("EACCES", "EPERM")
        assert attack.outside("metadata_probe", "chmod", "/usr/bin/env")["chmod"] == "EPERM"
        return
    # As root: a member that gave up its capabilities cannot borrow the supervisor's.
    os.chown(granted.path, 12345, 12345)
    before = granted.look()
    probe = attack.words("metadata_probe", "chmod", granted.path)
    words = ["setpriv", "--reuid=54321", "--clear-groups", "--bounding-set=-all", *probe]
    os.chmod(granted.path.parent, 0o777)
    result = attack.sandlock.run(*attack.grants("metadata_probe"), *grants, "--", *words)
    assert result.stdout in ("chmod: EPERM\n", "chmod: EACCES\n"), result
    assert granted.look() == before
    words[1] = "--reuid=0"
    words.remove("--bounding-set=-all")
    assert attack.sandlock.run(*attack.grants("metadata_probe"), *grants, "--", *words).stdout == "chmod: OK\n"
