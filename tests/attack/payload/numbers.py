"""Makes system calls by number, each in a process of its own in case it ends it, and prints the results
that occurred with how many numbers gave them: "ENOSYS: 1024". Usage: numbers.py LOW HIGH [STEP]"""

import os
import sys

sys.path.insert(0, os.path.dirname(__file__))
from raw import call, name_of


def main():
    low, high = int(sys.argv[1], 0), int(sys.argv[2], 0)
    step = int(sys.argv[3], 0) if len(sys.argv) > 3 else 1
    counts = {}
    for number in range(low, high + 1, step):
        result = name_of(call(number, -1, -1, -1, -1, -1, -1))
        counts[result] = counts.get(result, 0) + 1
    for result, count in counts.items():
        print(f"{result}: {count}")


main()
