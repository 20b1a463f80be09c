"""How the products are built: what readelf and nm say of the program and of the shared library."""

import os
import pathlib
import platform
import re
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
X86_64 = platform.machine() == "x86_64"


def tool(*words):
    return subprocess.run([*map(str, words)], env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
                          capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def library():
    path = pathlib.Path(os.environ.get("SANDLOCK_BUILD", ROOT / "build")) / "libsandlock_ffi.so"
    assert path.exists(), path
    return path.resolve()


@pytest.fixture(scope="module")
def sanitized(binary):
    return "__asan_init" in tool("nm", binary)


@pytest.fixture(params=["program", "library"])
def product(request, binary, library, sanitized):
    if sanitized:
        pytest.skip("a build with sanitizers")
    return binary if request.param == "program" else library


def segments(path):
    """[(type, flags)] of the program headers."""
    found = []
    for line in tool("readelf", "-lW", path).splitlines():
        match = re.match(r"  (\w+) +0x\w+ 0x\w+ 0x\w+ 0x\w+ 0x\w+ ([RWE ]{3}) 0x", line)
        if match:
            found.append((match.group(1), match.group(2).replace(" ", "")))
    assert any(kind == "LOAD" and "E" in flags for kind, flags in found), found
    return found


def needed(path):
    return re.findall(r"\(NEEDED\) .*\[(.*)\]", tool("readelf", "-dW", path))


def code_symbols(path):
    return {line.split()[-1].split("@")[0] for line in tool("nm", path).splitlines()
            } | {line.split()[-1].split("@")[0] for line in tool("nm", "-D", path).splitlines()}


def test_relocated_data_of_the_running_program_is_read_only(binary, sanitized):
    """Not only marked: somebody has to do it."""
    if sanitized:
        pytest.skip("a build with sanitizers")
    line = next(line for line in tool("readelf", "-lW", binary).splitlines() if "GNU_RELRO" in line)
    start, size = (int(line.split()[index], 16) for index in (2, 5))
    run = subprocess.Popen([binary, "run", "-r", "/usr", "-r", "/lib", "-r", "/lib64", "--", "/usr/bin/sleep", "60"])
    try:
        for _ in range(1500):
            maps = pathlib.Path(f"/proc/{run.pid}/maps").read_text()
            mapped = [row.split() for row in maps.splitlines() if row.endswith(str(binary))]
            if mapped and pathlib.Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text():
                break
            time.sleep(0.02)
        base = min(int(row[0].split("-")[0], 16) for row in mapped)
        around = {(int(row[0].split("-")[0], 16) - base, int(row[0].split("-")[1], 16) - base): row[1] for row in mapped}
        inside = start + size // 2 & ~0xfff
        assert [rights for (low, high), rights in around.items() if low <= inside < high] == ["r--p"], maps
    finally:
        run.terminate()
        run.wait()


def test_code_may_be_loaded_at_any_address(product):
    assert "Type:" in tool("readelf", "-hW", product)
    assert re.search(r"Type: +DYN ", tool("readelf", "-hW", product))
    assert "TEXTREL" not in tool("readelf", "-dW", product)


def test_nothing_is_writable_and_executable(product):
    assert not [segment for segment in segments(product) if "W" in segment[1] and "E" in segment[1]]
    assert ("GNU_STACK", "RW") in segments(product)


def test_relocated_data_is_read_only_before_the_first_line_runs(product):
    assert "GNU_RELRO" in [kind for kind, _ in segments(product)]
    # A static program is relocated by its own start code, at once by its nature.
    if needed(product):
        dynamic = tool("readelf", "-dW", product)
        assert re.search(r"BIND_NOW|\(FLAGS_1\).* NOW", dynamic), dynamic


def test_stacks_are_protected(product):
    assert "__stack_chk_fail" in code_symbols(product)


def test_the_library_checks_sizes_of_buffers(library, sanitized):
    if sanitized:
        pytest.skip("a build with sanitizers")
    assert [name for name in code_symbols(library) if re.fullmatch(r"__\w+_chk", name)]


@pytest.mark.skipif(not X86_64, reason="control flow marks of x86-64")
def test_indirect_branches_of_our_code_have_targets(product):
    assert tool("objdump", "-d", "--no-show-raw-insn", product).count("endbr64") > 100


@pytest.mark.skipif(not X86_64, reason="control flow marks of x86-64")
def test_the_library_promises_branch_tracking_and_shadow_stacks(library, sanitized):
    if sanitized:
        pytest.skip("a build with sanitizers")
    notes = tool("readelf", "-nW", library)
    assert re.search(r"x86 feature: .*IBT", notes) and re.search(r"x86 feature: .*SHSTK", notes), notes
    # What the loader calls by address lies in our objects or the compiler's, which are marked too.
    assert not re.search(r"\((INIT|FINI)\)", tool("readelf", "-dW", library))


def test_the_library_exports_its_interface_only(library):
    exported = [line.split()[-1].split("@")[0] for line in
                tool("nm", "-D", "--defined-only", library).splitlines()]
    assert exported and all(name.startswith(("sandlock_", "SANDLOCK_")) for name in exported), exported
