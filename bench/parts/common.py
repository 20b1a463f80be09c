"""What all parts share: where the programs are, the sandboxes they compare, medians, tables."""
import os
import re
import shutil
import statistics
import subprocess
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))


class BenchError(Exception):
    """Something cannot be measured; the text says what and why."""


def number_from_environment(name, default):
    text = os.environ.get(name, str(default))
    if not re.fullmatch(r"[1-9][0-9]{0,6}", text):
        raise BenchError("%s=%s: a number above 0 is needed" % (name, text))
    return int(text)


class Bench:
    """One run of the bench: paths, the directory that may be written, the sandboxes to compare."""

    def __init__(self, build=None):
        self.build = os.path.abspath(build or os.environ.get("SANDLOCK_BUILD")
                                     or os.path.join(TOP, "build"))
        self.programs = os.path.join(self.build, "bench")
        self.sandlock = os.environ.get("SANDLOCK_BIN") or os.path.join(self.build, "sandlock")
        self.peer = os.environ.get("BENCH_PEER")
        self.rounds = number_from_environment("BENCH_ROUNDS", 300)
        self.crowd = number_from_environment("BENCH_CROWD", 1000)
        for program in [self.sandlock, self.program("spawner")] + ([self.peer] if self.peer else []):
            if not os.access(program, os.X_OK):
                raise BenchError("%s: not an executable; build first (make)" % program)
        self.bwrap = shutil.which("bwrap")
        self.firejail = shutil.which("firejail")
        self.notes = ["%s is not installed: no row for it" % name
                      for name in ("bwrap", "firejail") if shutil.which(name) is None]

    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix="sandlock-bench.", dir="/tmp")
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.directory, ignore_errors=True)

    def program(self, name):
        return os.path.join(self.programs, "bench-" + name)

    def helper(self, name):
        return self.program("helper-" + name)

    def grants(self):
        """Six paths, what a dynamically linked program with one place to write needs."""
        return ["-r", "/usr", "-r", "/lib64", "-r", "/etc", "-r", "/dev", "-r", self.programs,
                "-w", self.directory]

    def sandboxed(self, *options, executable=None):
        """The words before the command."""
        return [executable or self.sandlock, "run", *self.grants(), *options, "--"]

    def least(self, command, *options):
        """The command under a filter of one instruction: what no sandbox with a filter can undercut."""
        return [self.helper("filtered"), *options, *command]

    def sandlocks(self):
        """Name and executable of every sandlock that is compared."""
        return [("sandlock", self.sandlock)] + ([("peer", self.peer)] if self.peer else [])

    def works(self, command):
        """None, or why the command cannot be measured."""
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
                                  check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        if done.returncode == 0:
            return None
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        return "exit status %d%s" % (done.returncode, ": " + lines[-1] if lines else "")


def run_text(command, **options):
    """Standard output of a command that must succeed."""
    options.setdefault("timeout", 120)
    options.setdefault("stdin", subprocess.DEVNULL)
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise BenchError("%s: exit status %d%s" % (" ".join(command[:3]) + " ...", done.returncode,
                                                   ": " + lines[-1] if lines else ""))
    return done.stdout


def median(values):
    return statistics.median(values)


class Section:
    """A table. Columns are (key, heading, format of a number); a row is a dictionary, and what a row
    has no value for is shown as "-". The key "verdict" holds "", "ok" or "MISSED ..."."""

    def __init__(self, title, columns):
        self.title = title
        self.columns = columns
        self.rows = []
        self.notes = []

    def add(self, **row):
        self.rows.append(row)
        return row

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)

    def as_dict(self):
        return {"title": self.title, "rows": self.rows, "notes": self.notes}

    @staticmethod
    def cell(value, form):
        if value is None or value == "":
            return "-" if value is None else ""
        return value if isinstance(value, str) else form % value

    def render(self):
        lines = [[heading for _, heading, _ in self.columns]]
        for row in self.rows:
            lines.append([self.cell(row.get(key), form) for key, _, form in self.columns])
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        out = [self.title, "-" * len(self.title)]
        for line in lines:
            cells = [text.ljust(width) if form == "%s" else text.rjust(width)
                     for text, width, (_, _, form) in zip(line, widths, self.columns)]
            out.append("  ".join(cells).rstrip())
        return "\n".join(out + ["  " + note for note in self.notes])


def judge(*conditions):
    """Each condition is (value, limit) or None for one that cannot be judged here."""
    known = [pair for pair in conditions if pair is not None]
    if not known:
        return ""
    return "ok" if all(value <= limit for value, limit in known) else "MISSED"
