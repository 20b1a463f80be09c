"""Inside a container as a runtime would make it: an overlay for its root, process numbers, network and devices of its own,
parts of /proc out of reach, and the filter of an unmodified profile. An ordinary user makes it in a user namespace."""

import os
import pathlib
import subprocess

import pytest

pytestmark = pytest.mark.root

ROOT = pathlib.Path(__file__).resolve().parents[2]
PYTHON = "/usr/bin/python3 -I -S -B"
ENTER = r"""
set -e
top=$1 place=$2
shift 2
mount -t tmpfs none "$place"
cd "$place"
layers() { # layers LOWER MERGED
    mkdir "up-${1#/}" "work-${1#/}"
    mount -t overlay none -o "lowerdir=$1,upperdir=up-${1#/},workdir=work-${1#/}$OPTIONS" "$2"
}
mkdir root low low/usr low/etc low/proc low/sys low/dev low/old low/granted low/granted/dir
mkdir -p -m 1777 low/tmp && mkdir -p "low$top"
for name in bin sbin lib lib32 lib64; do
    if [ -L /$name ]; then cp -d /$name low; elif [ -d /$name ]; then mkdir low/$name; own="$own $name"; fi
done
for file in precious granted/lower granted/emptied granted/dir/file; do printf text >low/$file; done
layers low root
for name in usr etc $own; do layers /$name root/$name; done
mount --bind "$top" "root$top"
cd root
mount -t proc -o nosuid,nodev,noexec proc proc
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
mount -t tmpfs -o nosuid,mode=755 none dev
for name in null zero full random urandom tty; do : >dev/$name; mount --bind /dev/$name dev/$name; done
for name in fd:fd stdin:fd/0 stdout:fd/1 stderr:fd/2; do ln -s /proc/self/${name#*:} dev/${name%:*}; done
mkdir dev/shm dev/pts
mount -t tmpfs -o nosuid,nodev,noexec,mode=1777 none dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 none dev/pts
for name in keys timer_list interrupts; do [ ! -e proc/$name ] || mount --bind dev/null proc/$name; done
mount --bind proc/sys proc/sys
mount -o remount,bind,ro,nosuid,nodev,noexec proc/sys
ip link set lo up
pivot_root . old
cd /granted
umount -l /old
exec setpriv --ambient-caps=-all --inh-caps=-all "$@"
"""
AS_USER = os.geteuid() != 0
OWN = ["--mount", "--pid", "--fork", "--kill-child", "--ipc", "--uts", "--net",
       *(["--user", "--map-current-user", "--keep-caps"] if AS_USER else [])]
TOP = pathlib.Path(os.environ.get("SANDLOCK_TOP", ROOT))


def enter(directory, *words):
    """Runs the words in a new one, made in the directory."""
    environment = {"PATH": "/usr/sbin:/sbin:/usr/bin:/bin", "HOME": "/tmp", "LC_ALL": "C",
                   "OPTIONS": ",userxattr" if AS_USER else ""}
    return subprocess.run(["unshare", *OWN, "sh", "-c", ENTER, "sh", TOP, directory, *map(str, words)], timeout=60,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, check=False)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("place")
    done = enter(path, "true")
    if done.returncode != 0:
        pytest.skip(f"no such container can be made by this user here: {' '.join(done.stderr.split())}")
    return path


class Place:
    """A new one for each call, under the filter."""

    def __init__(self, sandlock, directory):
        self.sandlock = sandlock
        self.directory = directory
        build = pathlib.Path(os.environ.get("SANDLOCK_BUILD", ROOT / "build")).resolve()
        self.filter = build / "tests/helpers/container_filter"

    def __call__(self, *words):
        return enter(self.directory, self.filter, "--", *words)

    def run(self, *words):
        return self(self.sandlock.binary, "run", *self.sandlock.base, *words)


@pytest.fixture
def place(sandlock, directory):
    return Place(sandlock, directory)


def test_it_is_like_a_container(place):
    """Control of the imitation."""
    seen = place(place.filter, "check").stdout
    assert "pidfd_getfd: EPERM\n" in seen and "mount: EPERM\n" in seen and "clone3: ENOSYS\n" in seen, seen
    done = place("sh", "-c", "stat -f -c %T / . /usr /etc /dev; echo $$; cat /proc/keys; grep Cap /proc/self/status; ls /old /sys")
    lines = done.stdout.splitlines()
    assert lines[:6] == ["overlayfs"] * 4 + ["tmpfs", "1"], done
    assert [line.split()[1] for line in lines if "CapPrm" in line or "CapEff" in line] == ["0" * 16] * 2
    assert place("sh", "-c", "echo >/proc/sys/kernel/hostname").returncode != 0


# What programs do to files of their own and to those of the lower layer.
PROGRAMS = r"""
echo a >new; echo b >>new; : >emptied; wc -c <emptied; echo more >>lower; cat new lower
chmod 640 lower; touch -d @1 lower; stat -c '%a %Y' lower
mktemp ./XXXXXX | wc -l; mv dir other; ls other; cp -r other third; rm -r third; ln lower link; sed -i s/a/c/ new
tar -c other | tar -xO; truncate -s 1 lower; cat link; set -C; echo x >new; set +C; echo x >|new; exec 5<>new; cat <&5
printf 'int main(void) { return 7; }' >p.c; cc -c p.c; cc -o p p.o; ./p; echo $?; cc -o p p.o; ./p; echo $?
git init -q . && git -c user.name=n -c user.email=e commit -q --allow-empty -m x && git log --format=%s
""" + PYTHON + r""" -c '
import os, sqlite3, tempfile
os.write(os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600), b"x")
with tempfile.NamedTemporaryFile(dir="."), open("new", "w+"): print(os.stat("new").st_size)
os.close(os.open("new", os.O_RDWR | os.O_CREAT | os.O_TRUNC))
with sqlite3.connect("base") as base: base.execute("create table t (a)")
base.execute("pragma journal_mode = wal"); base.execute("insert into t values (1)"); base.commit()
print(base.execute("select * from t").fetchall())'
"""
OUTSIDE = ": >/precious; chmod 600 /precious; echo planted >/planted"
LEFT = 'cd /granted; "$@" >/dev/null 2>&1; cat /precious; stat -c " %a" /precious; ls /planted'


def test_programs_do_there_what_they_do_without_and_nothing_outside(place):
    unconfined = place("env", "TMPDIR=/granted", "sh", "-c", PROGRAMS)
    assert unconfined.stdout.endswith("\nx\n0\n[(1,)]\n"), unconfined
    assert place("sh", "-c", LEFT, "sh", "sh", "-c", OUTSIDE).stdout == " 600\n/planted\n", "the control"
    for options, mode in ([], " 644\n"), (["-r", "/"], " 644\n"), (["--no-supervisor"], ""):  # without the metadata gate
        words = [place.sandlock.binary, "run", *place.sandlock.base, "-w", "/granted", "-w", "/dev/null", "-r", "/dev/urandom",
                 *options, "--"]
        confined = place("env", "TMPDIR=/granted", *words, "sh", "-c", PROGRAMS)
        assert (confined.stdout, confined.stderr) == (unconfined.stdout, unconfined.stderr), options
        assert place("sh", "-c", LEFT, "sh", *words, "sh", "-c", OUTSIDE).stdout.startswith(f"text{mode}"), options


def test_the_demo_keeps_its_promises_there(place):
    done = place(TOP / "demo/run-demo", place.sandlock.binary)
    assert done.returncode == 0 and "everything as promised" in done.stdout, done


@pytest.mark.parametrize("options", [[], ["--no-supervisor"]], ids=["supervised", "unsupervised"])
def test_it_can_be_the_first_process_there(place, options):
    script = "setsid sleep 60 & (setsid sleep 60 &) ; echo up; exit 3"
    done = place.run(*options, "-w", "/dev/null", "--", "sh", "-c", script)
    assert (done.returncode, done.stdout) == (3, "up\n"), done
    done = place.run(*options, "-t", "300ms", "--", "sh", "-c", "trap '' TERM; echo up; while :; do sleep 60; done")
    assert (done.returncode, done.stdout) == (124, "up\n"), done
