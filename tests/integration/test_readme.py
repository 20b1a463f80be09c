"""The examples of README.md, run as they are pasted.

In the source of the page an example is a block of sh behind a comment:

    <!-- example: expect STATUS -->     the exit status of its last command
    <!-- example: setup -->             runs before each of the others

A block of text directly behind it has lines that must appear, whole and in this order, in what the
example writes; "..." stands for anything.
"""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(os.environ.get("SANDLOCK_TOP", pathlib.Path(__file__).resolve().parents[2]))
README = (ROOT / "README.md").read_text(encoding="utf-8")

BLOCK = re.compile(
    r"^<!-- example: (setup|expect (?P<status>\d+)) -->\n```sh\n(?P<script>.*?)^```\n"
    r"(?:```text\n(?P<output>.*?)^```\n)?",
    re.M | re.S,
)
BLOCKS = list(BLOCK.finditer(README))
SETUP = "".join(block["script"] for block in BLOCKS if block["status"] is None)
EXAMPLES = [block for block in BLOCKS if block["status"] is not None]


def first_line(block):
    """The command line that names the test."""
    lines = [line for line in block["script"].splitlines() if line.startswith("sandlock")]
    return re.sub(r"[^\w./-]+", "_", lines[0] if lines else block["script"].splitlines()[0])[:60]


def test_every_sh_block_is_an_example_and_there_are_ten():
    assert README.count("```sh\n") == len(BLOCKS)
    assert len(EXAMPLES) >= 10


@pytest.fixture
def checkout(binary, tmp_path):
    """A directory laid out like a checkout after `make`."""
    place = tmp_path / "checkout"
    place.mkdir()
    for name in ("profiles", "examples", "include", "demo"):
        shutil.copytree(ROOT / name, place / name)
    build = place / "build"
    build.mkdir()
    source = pathlib.Path(os.environ.get("SANDLOCK_BUILD", ROOT / "build"))
    for path in source.glob("libsandlock*"):
        if path.is_file():
            shutil.copy2(path, build / path.name, follow_symlinks=False)
    shutil.copy2(binary, build / "sandlock")
    return place


def need_programs_of(script):
    for program in ("git", "gcc", "/usr/bin/python3"):
        if re.search(rf"(?<![\w/.-]){program}(?![\w/.-])", script) and shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


@pytest.mark.parametrize("block", EXAMPLES, ids=first_line)
def test_example(checkout, tmp_path, block):
    need_programs_of(block["script"])
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run(
        ["/bin/bash", "-c", SETUP + block["script"]],
        cwd=checkout,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=60, check=False,
    )
    assert done.returncode == int(block["status"]), done.stdout
    wanted = (block["output"] or "").splitlines()
    written = iter(done.stdout.splitlines())
    for line in wanted:
        pattern = ".*".join(map(re.escape, line.split("...")))
        assert any(re.fullmatch(pattern, other) for other in written), (line, done.stdout)


def test_every_option_is_in_the_table_of_options(sandlock):
    options = set(re.findall(r"^ +(?:-\w, )?(--[\w-]+)", sandlock("run", "--help").stdout, re.M))
    table = README[README.index("## Options"):README.index("## Profiles")]
    assert options - {"--help"} == set(re.findall(r"--[a-z][\w-]+", table)) - {"--help"}


def test_every_profile_is_in_the_table_of_profiles():
    table = README[README.index("## Profiles"):README.index("## Library")]
    assert {f"profiles/{path.name}" for path in (ROOT / "profiles").iterdir()} == set(
        re.findall(r"\((profiles/[\w.-]+)\)", table))


def test_links_to_files_lead_somewhere():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    outside = {"CONTRIBUTING.md", "SECURITY.md", "LICENSE"}  # not staged by tests/run-integration
    assert links != []
    assert [link for link in links if link not in outside and not (ROOT / link).exists()] == []


def test_the_map_of_the_tests_names_every_file_that_there_is_and_no_other():
    text = (ROOT / "docs/testing.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\btest_\w+\.(?:py|c)\b", text))
    there = {path.name for place in ("integration", "attack", "unit")
             for path in (ROOT / "tests" / place).rglob("test_*.*") if path.suffix in (".py", ".c")}
    assert named == there
