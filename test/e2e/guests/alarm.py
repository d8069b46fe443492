"""Listens on PORT, and says when a timerfd of four seconds has expired, which it sets at the first connection.

usage: alarm.py PORT
"""
import ctypes
import os
import socket
import sys


class Spec(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("every_s", "every_ns", "in_s", "in_ns")]


libc = ctypes.CDLL(None)
listener = socket.create_server(("", int(sys.argv[1])))
listener.accept()[0].close()
timer = libc.timerfd_create(1, 0)
assert libc.timerfd_settime(timer, 0, ctypes.byref(Spec(0, 0, 4, 0)), None) == 0
os.read(timer, 8)
print("it rang", flush=True)
listener.accept()
