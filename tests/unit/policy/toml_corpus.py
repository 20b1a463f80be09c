#!/usr/bin/env python3
"""Runs the TOML reader over the toml-test suite (https://github.com/toml-lang/toml-test).

usage: toml_corpus.py TOML_TO_JSON

The suite is looked for in $SANDLOCK_TOML_TEST (its "tests" directory), then beside the source tree in
shared/toml-test/tests. Exit status 77 (skipped) when it is in neither place.
"""
import json
import math
import os
import re
import subprocess
import sys

SKIPPED = 77
PLACE = re.compile(r"\d+:\d+: .")


def find_suite():
    given = os.environ.get("SANDLOCK_TOML_TEST")
    beside = os.path.join(os.environ.get("SANDLOCK_SOURCE_ROOT", "."), "..", "shared", "toml-test", "tests")
    for directory in (given, beside):
        if directory and os.path.exists(os.path.join(directory, "files-toml-1.0.0")):
            return directory
    return None


def normal_time(text):
    """The same instant in one spelling: no zeros at the end of the fraction, Z as an offset."""
    text = text.upper().replace(" ", "T").replace("Z", "+00:00")
    return re.sub(r"\.(\d*?)0*(?=$|[+-])", lambda m: "." + m[1] if m[1] else "", text)


def same_scalar(found, expected):
    if found["type"] != expected["type"]:
        return False
    if found["type"] == "float":
        a, b = float(found["value"]), float(expected["value"])
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    if found["type"] in ("datetime", "datetime-local", "date-local", "time-local"):
        return normal_time(found["value"]) == normal_time(expected["value"])
    return found["value"] == expected["value"]


def is_scalar(value):
    return isinstance(value, dict) and set(value) == {"type", "value"} and isinstance(value["value"], str)


def same(found, expected):
    if is_scalar(expected):
        return is_scalar(found) and same_scalar(found, expected)
    if isinstance(expected, list):
        return (isinstance(found, list) and len(found) == len(expected)
                and all(map(same, found, expected)))
    return (isinstance(found, dict) and found.keys() == expected.keys()
            and all(same(found[key], expected[key]) for key in expected))


def judge(suite, name, line):
    """None, or what is wrong with the reader's answer."""
    if name.startswith("invalid/"):
        if not line.startswith("!"):
            return "accepted: " + line
        return None if PLACE.match(line[1:]) else "no place in: " + line
    if line.startswith("!"):
        return "refused: " + line[1:]
    with open(os.path.join(suite, name[:-len(".toml")] + ".json"), encoding="utf-8") as file:
        expected = json.load(file)
    return None if same(json.loads(line), expected) else "differs: " + line


def main():
    suite = find_suite()
    if suite is None:
        print("skipped: the toml-test suite is not here (set SANDLOCK_TOML_TEST to its tests directory)")
        return SKIPPED
    with open(os.path.join(suite, "files-toml-1.0.0"), encoding="utf-8") as file:
        names = [line.strip() for line in file if line.strip().endswith(".toml")]
    answer = subprocess.run([sys.argv[1]] + [os.path.join(suite, name) for name in names],
                            stdout=subprocess.PIPE, check=True)
    lines = answer.stdout.decode("utf-8").split("\n")[:-1]
    if len(lines) != len(names) or not names:
        print(f"{len(names)} files, {len(lines)} answers")
        return 1
    failures = 0
    for name, line in zip(names, lines):
        problem = judge(suite, name, line)
        if problem:
            failures += 1
            print(f"{name}: {problem}")
    valid = sum(name.startswith("valid/") for name in names)
    print(f"{valid} valid and {len(names) - valid} invalid files, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
