"""System calls that no member may make, by any spelling: the deny list, namespaces, other call tables,
unknown numbers, and the arguments that are refused."""

import platform

import pytest

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the payloads use x86-64 numbers"),
]

# Refused with and without a supervisor.
ALWAYS = """perf_event_open bpf io_uring_setup io_uring_enter io_uring_register fsopen fsconfig fsmount
    fspick move_mount open_tree open_tree_attr mount_setattr fanotify_init quotactl_fd swapon swapoff
    reboot kexec_load kexec_file_load init_module finit_module delete_module iopl ioperm syslog
    settimeofday clock_settime adjtimex clock_adjtime no_random_addresses read_implies_exec""".split()

# Left to a nested sandbox when there is no supervisor.
SUPERVISED = """ptrace process_vm_readv process_vm_writev process_madvise pidfd_getfd kcmp unshare_user
    unshare_net unshare_mount unshare_files unshare_thread_and_files setns name_to_handle_at open_by_handle_at keyctl add_key
    request_key userfaultfd mount umount2 pivot_root chroot sethostname setdomainname acct
    quotactl""".split()

HIDDEN = ["listmount", "statmount", "memfd_secret"]

_results = {}


def results(attack, where):
    """All attempts once per way to run; the tests look at one each."""
    if where not in _results:
        if where == "outside":
            _results[where] = attack.outside("syscalls.py")
        else:
            options = ["--no-supervisor"] if where == "unsupervised" else []
            _results[where] = attack.inside("syscalls.py", options=options)
    return _results[where]


def control(attack, name):
    """The call gets past the permission check when this user makes it unconfined."""
    result = results(attack, "outside")[name]
    if result in ("EPERM", "EACCES", "ENOSYS"):
        pytest.skip(f"{name} is {result} for this user and kernel without a sandbox too")


@pytest.mark.parametrize("name", ALWAYS)
@pytest.mark.parametrize("where", ["supervised", "unsupervised"])
def test_is_refused_in_both_modes(attack, name, where):
    assert results(attack, where)[name] == "EPERM"
    control(attack, name)


@pytest.mark.parametrize("name", SUPERVISED)
def test_is_refused_under_a_supervisor(attack, name):
    assert results(attack, "supervised")[name] == "EPERM"
    control(attack, name)


@pytest.mark.parametrize("name", HIDDEN)
def test_is_hidden_under_a_supervisor(attack, name):
    assert results(attack, "supervised")[name] == "ENOSYS"
    control(attack, name)


@pytest.mark.parametrize("name", ["ptrace", "process_vm_readv", "pidfd_getfd", "kcmp"])
def test_a_nested_sandbox_finds_what_it_needs_without_a_supervisor(attack, name):
    control(attack, name)
    assert results(attack, "unsupervised")[name] == "OK"


# ---- Namespaces -----------------------------------------------------------------------------------

NAMESPACES = ["CLONE_NEWNS", "CLONE_NEWCGROUP", "CLONE_NEWUTS", "CLONE_NEWIPC", "CLONE_NEWUSER", "CLONE_NEWPID",
              "CLONE_NEWNET"]


@pytest.mark.user_namespaces
def test_clone_refuses_every_namespace_flag(attack, mode):
    inside, outside = attack.inside("clones.py", "flags", options=mode), attack.outside("clones.py", "flags")
    assert inside["none"] == "OK"
    for name in NAMESPACES:
        assert outside[name] == "OK", f"{name} works unconfined"
        assert inside[name] == "EPERM", name
        if name != "CLONE_NEWUSER":
            assert inside[f"{name}_alone"] == "EPERM", name
    assert inside["garbage_above_32_bits"] == "EPERM", "only the low half of the flags counts"


def test_clone_cannot_make_a_sibling_or_an_untraced_child(attack, mode):
    inside, outside = attack.inside("clones.py", "flags", options=mode), attack.outside("clones.py", "flags")
    for name in ("CLONE_PARENT", "CLONE_UNTRACED"):
        assert (outside[name], inside[name]) == ("OK", "EPERM")


@pytest.mark.clone3
def test_clone3_never_makes_anything(attack, mode):
    inside, outside = attack.inside("clones.py", "clone3", options=mode), attack.outside("clones.py", "clone3")
    for name in ["plain", *NAMESPACES, "CLONE_NEWTIME"]:
        assert outside[name] == "OK", f"{name} works unconfined"
        assert inside[name] == "ENOSYS", name


def test_ordinary_process_creation_works(attack, mode):
    inside = attack.inside("clones.py", "ordinary", options=mode)
    for name in ("fork", "subprocess", "posix_spawn", "thread", "system"):
        assert inside[name] == "OK", inside.result


# ---- Other call tables and numbers ----------------------------------------------------------------

MANY_DENIED = """accept accept4 acct afs_syscall alarm chown clock_getres clock_nanosleep connect copy_file_range
    creat epoll_create epoll_ctl epoll_pwait epoll_wait eventfd eventfd2 fadvise64 fallocate fchdir fchmod
    fchmodat fchown fchownat fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fsync ftruncate
    futimesat getitimer getpeername getpgid getpgrp getpriority getresgid getresuid getsid getsockname
    getsockopt getxattr inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy
    io_getevents io_setup io_submit ioprio_get ioprio_set lchown lgetxattr link linkat listen listxattr
    llistxattr lremovexattr lsetxattr membarrier memfd_create migrate_pages mincore mkdir mkdirat mknod
    mknodat mlock mlock2 mlockall modify_ldt move_pages mq_getsetattr mq_notify mq_open mq_timedreceive
    mq_timedsend mq_unlink msync munlock munlockall nanosleep openat2 pause pidfd_open pidfd_send_signal
    pkey_alloc pkey_free pkey_mprotect ppoll preadv preadv2 process_mrelease pselect6 pwritev pwritev2
    readahead recvfrom recvmmsg recvmsg remap_file_pages removexattr rename renameat renameat2 rmdir
    rt_sigpending rt_sigqueueinfo rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max
    sched_get_priority_min sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
    sched_setaffinity sched_setattr sched_setparam sched_setscheduler select semctl sendfile sendmmsg
    sendmsg sendto set_mempolicy setdomainname setfsgid setfsuid setgid setgroups setitimer setns setpgid
    setpriority setregid setresgid setresuid setreuid setsid setsockopt setuid setxattr shutdown
    signalfd signalfd4 socket socketpair splice swapon symlink symlinkat sync sync_file_range syncfs
    tee tgkill timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create
    timerfd_gettime timerfd_settime times tkill truncate umask unlink unlinkat ustat utime utimensat
    utimes vmsplice waitid add_key bpf capget capset chroot fsopen fspick fstatfs get_mempolicy getcpu
    getrlimit kcmp keyctl mbind mount ptrace request_key setrlimit umount2 unshare userfaultfd""".split()


def denials(count=len(MANY_DENIED)):
    return [word for name in MANY_DENIED[:count] for word in ("--extra-deny-syscall", name)]


@pytest.mark.parametrize("options", [[], ["--no-supervisor"], denials()],
                         ids=["supervised", "unsupervised", "long filter"])
def test_the_32_bit_entry_kills_by_sigsys(attack, options):
    assert len(MANY_DENIED) >= 200
    if attack.outside("compat_probe").result.code != 0:
        pytest.skip("this kernel has no 32-bit entry")
    inside = attack.inside("compat_probe", options=options)
    assert inside.result.code == 128 + 31
    assert inside.result.stdout == ""


def test_every_32_bit_number_kills_by_sigsys(attack):
    if attack.outside("compat_probe").result.code != 0:
        pytest.skip("this kernel has no 32-bit entry")
    inside = attack.inside("compat_probe", "all")
    assert inside.result.stdout == "ending: signal 31\n"


@pytest.mark.parametrize("low,high,step", [
    (0x40000000, 0x40000000 + 1100, 1), (0x7FFFFFFF - 64, 0x7FFFFFFF, 1), (-64, -1, 1),
    (0x40000000, 0x7FFFFFFF, 0x1000001),
], ids=["x32 numbers", "largest numbers", "negative numbers", "scattered numbers"])
def test_x32_numbers_are_not_implemented(attack, mode, low, high, step):
    inside = attack.inside("numbers.py", low, high, step, options=mode)
    assert list(inside) == ["ENOSYS"], inside.result


def test_unknown_numbers_are_not_implemented(attack, mode):
    inside = attack.inside("numbers.py", 700, 4096, options=mode)
    assert list(inside) == ["ENOSYS"], inside.result


def test_a_known_number_is_implemented(attack, mode):
    """Control of the statements about numbers: getpid by number works in the same way."""
    assert list(attack.inside("numbers.py", 39, 39, options=mode)) == ["OK"]


def test_a_long_list_of_denied_names_denies_each_and_nothing_else(attack):
    script = ("import sys; sys.path.insert(0, sys.argv[1]); from raw import call, report\n"
              "report('chown', call(92, -1, 0, 0)); report('waitid', call(247, -1, 0, 0, 0, 0))\n"
              "report('umask', call(95, 18)); report('getpid', call(39)); report('getppid', call(110))\n"
              "report('uname', call(63, 0))\n")
    payload = str(attack.words("raw.py")[-1]).rpartition("/")[0]
    words = ["-r", payload, "--", *attack.words("raw.py")[:-1], "-c", script, payload]
    with_list = attack.sandlock.run(*denials(), *words)
    assert with_list.stdout.split("\n")[:6] == ["chown: EPERM", "waitid: EPERM", "umask: EPERM", "getpid: OK",
                                               "getppid: OK", "uname: EFAULT"]
    without = attack.sandlock.run(*words)
    assert without.stdout.split("\n")[:3] == ["chown: EFAULT", "waitid: EINVAL", "umask: OK"]


# ---- Arguments --------------------------------------------------------------------------------------


def test_a_member_cannot_hide_from_its_supervisor(attack, mode):
    inside, outside = attack.inside("prctls.py", options=mode), attack.outside("prctls.py")
    assert outside["PR_SET_DUMPABLE"] == "OK" and outside["dumpable"] == "0"
    for name in ("PR_SET_DUMPABLE", "PR_SET_DUMPABLE_high", "PR_SET_SECUREBITS", "PR_SET_PTRACER"):
        assert inside[name] == "EPERM", name
    assert inside["dumpable"] == "1"
    assert inside["PR_SET_PDEATHSIG"] == inside["PR_SET_NO_NEW_PRIVS"] == "OK"


SYSV = ["shmget", "shmat", "shmdt", "shmctl", "msgget", "msgsnd", "msgrcv", "msgctl", "semget", "semop",
        "semtimedop", "semctl"]


def test_sysv_ipc_needs_its_group(attack, mode):
    outside = attack.outside("sysv.py")
    inside = attack.inside("sysv.py", options=mode)
    allowed = attack.inside("sysv.py", options=[*mode, "--extra-allow-syscall", "sysv_ipc"])
    for name in SYSV:
        assert (outside[name], inside[name], allowed[name]) == ("OK", "EPERM", "OK"), name
