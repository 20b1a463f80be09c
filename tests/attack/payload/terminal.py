"""What can be done to the terminal on standard input: typing into it, taking it over."""

import ctypes
import os
import sys

sys.path.insert(0, os.path.dirname(__file__))
from raw import call, report

for text in "id\n":
    report("TIOCSTI", call("ioctl", 0, 0x5412, ctypes.byref(ctypes.c_char(text.encode()))))
report("TIOCSTI_high", call("ioctl", 0, 0x5412 | (7 << 32), ctypes.byref(ctypes.c_char(b"\n"))))
report("TIOCSETD", call("ioctl", 0, 0x5423, ctypes.byref(ctypes.c_int(0))))
report("TIOCLINUX", call("ioctl", 0, 0x541C, ctypes.byref(ctypes.c_char(b"\x02"))))
report("TCGETS", call("ioctl", 0, 0x5401, ctypes.create_string_buffer(256)))
report("TCOOFF", call("ioctl", 0, 0x540A, 0))
report("TCOOFF_high", call("ioctl", 0, 0x540A, 4 << 32))
report("TCOON", call("ioctl", 0, 0x540A, 1))
