"""A name that is granted leads elsewhere while the sandbox starts: what is judged is what was opened."""

import os
import threading
import time

RUNS = 200
SECONDS = 20 # long enough, also on a busy machine


def switch(link, targets, stop):
    """Lets `link` lead to each target in turn, without a moment in which it does not exist."""
    other = link.with_name("other")
    while not stop.is_set():
        for target in targets:
            os.symlink(target, other)
            os.rename(other, link)


def test_a_grant_that_becomes_proc_in_the_meantime_does_not_show_other_processes(sandlock, tmp_path):
    link, plain = tmp_path / "link", tmp_path / "plain"
    plain.mkdir()
    (plain / "here").touch()
    os.symlink(plain, link)
    looked = f"cat {link}/{os.getpid()}/status /proc/{os.getpid()}/status 2>&1 | grep -c ^Uid; ls {link} | head -1"
    unhidden = sandlock("run", *sandlock.base, "-r", "/proc", "--without", "proc-view", "--", "sh", "-c", looked)
    assert int(unhidden.stdout.split()[0]) > 0, "the control: without the view it is readable"

    stop = threading.Event()
    switcher = threading.Thread(target=switch, args=(link, (plain, "/proc"), stop))
    switcher.start()
    seen, deadline = set(), time.monotonic() + SECONDS
    try:
        for _ in range(RUNS):
            run = sandlock("run", *sandlock.base, "-r", link, "--", "sh", "-c", looked)
            if run.code == 0:
                length, *first = run.stdout.split()
                assert int(length) == 0, run
                seen.update("plain" if name == "here" else "proc" for name in first)
            if time.monotonic() > deadline:
                break
    finally:
        stop.set()
        switcher.join()
    assert seen, "no run saw anything"
