"""prctl options that weaken a process, and one that must stay usable. "dumpable" is read back."""

import os
import sys

sys.path.insert(0, os.path.dirname(__file__))
from raw import call, report

GARBAGE = 0x7B << 32  # above the 32 bits that the kernel reads

report("PR_SET_DUMPABLE", call("prctl", 4, 0, 0, 0, 0))
report("PR_SET_DUMPABLE_high", call("prctl", 4 | GARBAGE, 0, 0, 0, 0))
print(f"dumpable: {call('prctl', 3, 0, 0, 0, 0)}")
report("PR_SET_PTRACER", call("prctl", 0x59616D61, 1, 0, 0, 0))
report("PR_SET_SECUREBITS", call("prctl", 28, call("prctl", 27, 0, 0, 0, 0), 0, 0, 0))
report("PR_SET_PDEATHSIG", call("prctl", 1, 0, 0, 0, 0))
report("PR_SET_NO_NEW_PRIVS", call("prctl", 38, 1, 0, 0, 0))
