"""System V IPC from end to end: a segment, a queue and a semaphore are made, used and removed."""

import ctypes
import os
import sys

sys.path.insert(0, os.path.dirname(__file__))
from raw import call, report

null = ctypes.c_void_p(None)


class Message(ctypes.Structure):
    _fields_ = [("type", ctypes.c_long), ("text", ctypes.c_char * 8)]


segment = call("shmget", 0, 4096, 0o1600)
report("shmget", segment)
address = call("shmat", segment, null, 0)
report("shmat", address)
report("shmdt", call("shmdt", address))
report("shmctl", call("shmctl", segment, 0, null))
queue = call("msgget", 0, 0o1600)
report("msgget", queue)
report("msgsnd", call("msgsnd", queue, ctypes.byref(Message(1, b"text")), 8, 0))
report("msgrcv", call("msgrcv", queue, ctypes.byref(Message()), 8, 0, 0))
report("msgctl", call("msgctl", queue, 0, null))
semaphore = call("semget", 0, 1, 0o1600)
report("semget", semaphore)
up = (ctypes.c_short * 3)(0, 1, 0)
report("semop", call("semop", semaphore, up, 1))
report("semtimedop", call("semtimedop", semaphore, up, 1, null))
report("semctl", call("semctl", semaphore, 0, 0, null))
