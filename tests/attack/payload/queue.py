"""What can be done to the message queue on standard input."""

import ctypes
import os
import sys

sys.path.insert(0, os.path.dirname(__file__))
from raw import call, report

null = ctypes.c_void_p(None)
report("send", call("mq_timedsend", 0, b"forged", 6, 0, null))
report("receive", call("mq_timedreceive", 0, ctypes.create_string_buffer(8192), 8192, null, null))
report("notify", call("mq_notify", 0, ctypes.create_string_buffer(b"\0" * 12 + b"\1", 64)))  # SIGEV_NONE
report("attributes", call("mq_getsetattr", 0, null, ctypes.create_string_buffer(64)))
